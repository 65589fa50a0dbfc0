"""Loads the original: a checkpoint's network in PyTorch, and transformers' PIL processor in front of it."""

from __future__ import annotations

import copy
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..runtime.decode.decode import decode
from .architectures import ModelClass, find_class
from .errors import CheckpointError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .checkpoint import Checkpoint

__all__ = ["Original", "load_original", "load_processor", "normalised_config"]


@dataclass(frozen=True)
class Original:
    """The network and the processor that the bundle has to equal.

    Attributes:
        model_class: Which class it is.
        model: The network, float32, in evaluation mode.
        processor: transformers' PIL processor (``use_fast=False``).
        config: ``config.json`` as the bundle will hold it.
    """

    model_class: ModelClass
    model: Any
    processor: Any
    config: dict[str, Any]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self.model.parameters())

    def pixels(self, picture: Path) -> NDArray[np.float32]:
        """Reads a picture file as transformers' pipeline does, but for 16-bit grey; float32 (3, H, W)."""
        from transformers.image_utils import load_image

        named: dict[str, Any] = {"return_tensors": "pt"}  # timm's gives nothing else
        if "input_data_format" in inspect.signature(self.processor.preprocess).parameters:
            # Else a picture one or three pixels high is taken for one whose channels come first.
            named["input_data_format"] = "channels_last"
        with Image.open(picture) as opened:
            wide = opened.mode.startswith("I")
        # 16-bit grey is scaled by the runtime and clipped by transformers (docs/decode.md): both get what is scaled.
        image = decode(picture) if wide else load_image(str(picture))
        batch = self.processor(images=image, **named)
        return np.asarray(batch["pixel_values"][0].numpy(), dtype=np.float32)

    def logits(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Runs the network on float32 (N, 3, H, W); returns float32 (N, classes)."""
        import torch

        with torch.inference_mode():
            return self.model(pixel_values=torch.from_numpy(pixel_values)).logits.numpy()  # type: ignore[no-any-return]

    def probabilities(self, pictures: Sequence[Path], activation: str, temperature: float) -> NDArray[np.float64]:
        """Answers for picture files, one at a time, in PyTorch alone; float64 (pictures, classes)."""
        import torch

        rows = []
        for picture in pictures:
            logits = torch.from_numpy(self.logits(self.pixels(picture)[None])).double() / temperature
            if activation == "softmax":
                row = logits.softmax(dim=1)
            else:
                row = logits.sigmoid()
                if activation == "single_logit":
                    row = torch.cat([1 - row, row], dim=1)
            rows.append(row[0])
        return torch.stack(rows).numpy()


def load_original(checkpoint: Checkpoint) -> Original:
    """Loads a checkpoint: safetensors only, no code but transformers' own, plain ("eager") attention.

    Raises:
        UnsupportedArchitectureError: If the architecture cannot be exported.
        CheckpointError: If the weights do not fit the architecture, or lack a classifier.
    """
    import torch

    model_class = find_class(checkpoint.config)
    network_class = model_class.model_class()
    config = normalised_config(checkpoint.config, model_class)
    parsed = model_class.config_class().from_dict(copy.deepcopy(config))  # it changes what it is given
    try:
        model, report = network_class.from_pretrained(
            checkpoint.folder,
            config=parsed,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:  # transformers, safetensors and torch each raise their own
        raise CheckpointError(
            f"The weights in {checkpoint.folder} cannot be loaded as {model_class.name}: {first_line(error)}"
        ) from error
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise CheckpointError(
            f"The weights in {checkpoint.folder} lack what {model_class.name} needs ({', '.join(lacking[:3])}"
            f"{', ...' if len(lacking) > 3 else ''}): the checkpoint was not trained as this classifier."
        )
    model.eval()
    return Original(
        model_class, model, load_processor(checkpoint.processor_config, config, model_class.model_type), config
    )


def normalised_config(config: Mapping[str, Any], model_class: ModelClass) -> dict[str, Any]:
    """Returns the configuration as transformers can read it back; equal to the given one where that works.

    Two things do not work as published: ``model_type`` ``vit-hybrid``, and classes like ``PvtConfig`` that overwrite
    the labels with their own default number unless ``num_labels`` stands beside them.
    """
    made = dict(config)
    made["model_type"] = model_class.model_type
    labels = config.get("id2label")
    if isinstance(labels, dict):
        parsed = model_class.config_class().from_dict(copy.deepcopy(made))
        if parsed.num_labels != len(labels) or list(parsed.id2label.values()) != list(labels.values()):
            made["num_labels"] = len(labels)
    return made


def load_processor(processor_config: Mapping[str, Any], config: Mapping[str, Any], model_type: str) -> Any:
    """Loads transformers' PIL processor from a parsed configuration.

    Raises:
        CheckpointError: If transformers cannot make one of it.
    """
    from transformers import AutoImageProcessor, TimmWrapperImageProcessor

    nested = processor_config.get("image_processor")
    plain = dict(nested if isinstance(nested, dict) else processor_config)
    try:
        if plain.get("image_processor_type") == "TimmWrapperImageProcessor":
            return TimmWrapperImageProcessor(plain["pretrained_cfg"])
        # A folder of its own: AutoImageProcessor reads files, and must not see anything else of the checkpoint.
        with TemporaryDirectory() as folder:
            _write_json(Path(folder) / "preprocessor_config.json", _slow(plain))
            _write_json(Path(folder) / "config.json", {**config, "model_type": model_type})
            return AutoImageProcessor.from_pretrained(folder, use_fast=False, local_files_only=True)
    except Exception as error:  # transformers raises whatever the configuration provokes
        raise CheckpointError(
            f"transformers cannot make an image processor of this configuration: {first_line(error)}"
        ) from error


def _slow(config: dict[str, Any]) -> dict[str, Any]:
    """Names the PIL class where the configuration names the torchvision one (``ViTImageProcessorFast``)."""
    name = config.get("image_processor_type")
    if isinstance(name, str) and name.endswith("Fast"):
        return {**config, "image_processor_type": name.removesuffix("Fast")}
    return config


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")
