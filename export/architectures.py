"""Finds a checkpoint's network class, and makes the ONNX configuration that exports it.

The list is transformers' own ``MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES``. Optimum's ONNX configuration is used
where it registers one for image classification, else one general configuration from ``pixel_values`` to ``logits``.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .errors import CheckpointError, UnsupportedArchitectureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch

__all__ = [
    "FIXES",
    "OURS",
    "REFUSED",
    "ModelClass",
    "as_transformers_reads",
    "find_class",
    "make_onnx_config",
]

REFUSED: dict[str, str] = {
    "dinat": "its neighbourhood attention comes from the natten package, whose operations have no ONNX form",
    "imagegpt": "it takes a sequence of colour clusters (input_ids), not pixel_values",
    "nat": "its neighbourhood attention comes from the natten package, whose operations have no ONNX form",
    "shieldgemma2": "it is a language model that judges a picture by a written policy; "
    "it does not classify pixel_values",
    "siglip2": "it takes flattened patches with a mask and shapes (pixel_attention_mask, spatial_shapes), "
    "not pixel_values of a fixed height and width",
}
"""Architectures of the mapping that cannot become a graph from ``pixel_values`` to ``logits``, with the reason."""

OURS: dict[str, str] = {
    "metaclip_2": "Optimum registers it and fails on it (its configuration wants the text model's inputs too)",
}
"""Architectures that Optimum registers for image classification and for which ours is used all the same."""

_PUBLISHED_AS = {"vit-hybrid": "vit_hybrid"}
"""Spellings of ``model_type`` in published files that transformers itself does not read."""

Exporter = Literal["Optimum", "ours"]


@dataclass(frozen=True)
class ModelClass:
    """A network's class in transformers.

    Attributes:
        model_type: transformers' key.
        name: Class name, as the checkpoint's ``architectures`` says.
    """

    model_type: str
    name: str

    def model_class(self) -> Any:
        """Returns the class itself.

        Raises:
            UnsupportedArchitectureError: If a package it needs cannot be imported here.
        """
        import transformers

        if self.model_type == "timm_wrapper":
            try:
                import timm  # noqa: F401
            except Exception as error:  # timm imports torchvision, whose wheel raises RuntimeError beside another torch
                raise UnsupportedArchitectureError(
                    f"The architecture timm_wrapper needs timm, which cannot be imported here ({error})."
                ) from error
        return getattr(transformers, self.name)

    def config_class(self) -> Any:
        """Returns the configuration's class."""
        return self.model_class().config_class


def as_transformers_reads(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a ``config.json`` with what transformers itself adds when it reads one.

    timm's own files name no ``model_type`` and keep the labels under ``label_names``; transformers knows them by their
    ``architecture`` and ``pretrained_cfg``. ``vit-hybrid`` is a published spelling.
    """
    made = dict(config)
    pretrained = config.get("pretrained_cfg")
    if "model_type" not in made and "architecture" in made and isinstance(pretrained, dict):
        made["model_type"] = "timm_wrapper"
    if isinstance(made.get("model_type"), str):
        made["model_type"] = _PUBLISHED_AS.get(made["model_type"], made["model_type"])
    if made.get("model_type") == "timm_wrapper" and "id2label" not in made:
        nested = pretrained if isinstance(pretrained, dict) else {}
        names = made.get("label_names") or nested.get("label_names")
        if isinstance(names, list):
            made["id2label"] = {str(index): name for index, name in enumerate(names)}
    return made


def find_class(config: Mapping[str, Any]) -> ModelClass:
    """Finds the network's class from a ``config.json``.

    Raises:
        UnsupportedArchitectureError: If it is not an image classifier of transformers, or cannot be exported. The
            message names the architecture and the reason.
        CheckpointError: If the configuration names none.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as MAPPING

    model_type = as_transformers_reads(config).get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise CheckpointError("config.json names no model_type, so the architecture is not known.")
    if model_type in REFUSED:
        raise UnsupportedArchitectureError(f"The architecture {model_type} cannot be exported: {REFUSED[model_type]}.")
    if model_type not in MAPPING:
        import transformers

        raise UnsupportedArchitectureError(
            f"The architecture {model_type} is not among the {len(MAPPING)} image classifiers of transformers "
            f"{transformers.__version__}, so it cannot be exported."
        )
    known = MAPPING[model_type]
    names = (known,) if isinstance(known, str) else tuple(known)
    listed = config.get("architectures") or [names[0]]
    chosen = next((name for name in listed if name in names), None)
    if chosen is None:
        remote = " It asks for code of its own (auto_map), which is never run." if config.get("auto_map") else ""
        raise UnsupportedArchitectureError(
            f"The checkpoint holds {', '.join(map(str, listed))}, which is not a single-label classifier of the "
            f"architecture {model_type} (that would be {' or '.join(names)}), so it has no gender head.{remote}"
        )
    return ModelClass(model_type, chosen)


def make_onnx_config(model: Any, model_type: str, height: int, width: int) -> tuple[Any, Exporter]:
    """Makes the ONNX configuration: batch axis dynamic, height and width fixed, ``logits`` the only output.

    Args:
        model: The loaded network.
        model_type: Its key in transformers.
        height: Of the network's input, in pixels.
        width: Of the network's input, in pixels.

    Returns:
        An instance of a subclass of Optimum's own configuration for this architecture, or of the general one; and
        which of the two.
    """
    import torch
    from optimum.exporters.onnx.config import VisionOnnxConfig
    from optimum.exporters.tasks import TasksManager
    from optimum.utils import NormalizedVisionConfig

    registered: dict[str, Any] = {}
    if model_type not in OURS:
        with contextlib.suppress(KeyError):  # not registered at all
            registered = TasksManager.get_supported_tasks_for_model_type(
                model_type, exporter="onnx", library_name="transformers"
            )
    exporter: Exporter = "Optimum" if "image-classification" in registered else "ours"
    if exporter == "Optimum":
        constructor = TasksManager.get_exporter_config_constructor(
            exporter="onnx",
            model=model,
            task="image-classification",
            model_type=model_type,
            library_name="transformers",
        )
        base = constructor.func
    else:
        base = VisionOnnxConfig

    class FixedSizeConfig(base):  # type: ignore[misc, valid-type]
        """``pixel_values`` (batch, 3, height, width) to ``logits`` (batch, classes)."""

        if exporter == "ours":
            NORMALIZED_CONFIG_CLASS = NormalizedVisionConfig

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            return {"pixel_values": {0: "batch_size"}}

        @property
        def outputs(self) -> dict[str, dict[int, str]]:
            return {"logits": {0: "batch_size"}}

        def generate_dummy_inputs(self, framework: str = "pt", **_: Any) -> dict[str, Any]:
            # Batch 2, so that nothing in the trace takes the batch for 1.
            pixels = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
            return {"pixel_values": pixels.numpy() if framework == "np" else pixels}

        def rename_ambiguous_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
            return inputs

    return FixedSizeConfig(model.config, task="image-classification"), exporter


@contextlib.contextmanager
def _frozen_positions(model: Any, pixels: torch.Tensor) -> Iterator[None]:
    """Replaces interpolated position tables by their value for the fixed input size.

    The bicubic, antialiased resize that makes them has no ONNX form, and for one size its result is a constant.
    """
    import torch

    modules = [module for module in model.modules() if hasattr(module, "interpolate_pos_encoding")]
    originals = {id(module): module.interpolate_pos_encoding for module in modules}
    tables: dict[int, torch.Tensor] = {}

    def recorder(key: int) -> Callable[..., torch.Tensor]:
        def record(*args: Any, **kwargs: Any) -> torch.Tensor:
            tables[key] = originals[key](*args, **kwargs).detach().clone()
            return tables[key]

        return record

    def player(key: int) -> Callable[..., torch.Tensor]:
        return lambda *_, **__: tables[key]

    try:
        for module in modules:
            module.interpolate_pos_encoding = recorder(id(module))
        with torch.no_grad():
            model(pixel_values=pixels)
        for module in modules:
            if id(module) in tables:
                module.interpolate_pos_encoding = player(id(module))
        yield
    finally:
        for module in modules:
            del module.interpolate_pos_encoding  # the instance's; the class's method shows again


@contextlib.contextmanager
def _plain_fold(model: Any, pixels: torch.Tensor) -> Iterator[None]:
    """Gives ``F.fold`` plain integers: traced sizes arrive as tensors, which its ONNX form does not take."""
    import torch

    original = torch.nn.functional.fold

    def fold(input: torch.Tensor, output_size: Any, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: A002
        return original(input, tuple(int(edge) for edge in output_size), *args, **kwargs)

    torch.nn.functional.fold = fold
    try:
        yield
    finally:
        torch.nn.functional.fold = original


@contextlib.contextmanager
def _pixels_only(model: Any, pixels: torch.Tensor) -> Iterator[None]:
    """Hides the other arguments of ``forward``: the tracer makes a graph input of each default that is not ``None``."""
    original = model.forward

    def forward(pixel_values: torch.Tensor) -> Any:
        return original(pixel_values=pixel_values)

    model.forward = forward
    try:
        yield
    finally:
        del model.forward  # the instance's; the class's method shows again


FIXES: dict[str, Callable[[Any, torch.Tensor], contextlib.AbstractContextManager[None]]] = {
    "dinov2_with_registers": _frozen_positions,
    "mobilevitv2": _plain_fold,
    "perceiver": _pixels_only,
}
"""What an architecture needs while it is traced, and only then."""
