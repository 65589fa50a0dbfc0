"""Draws the pictures that a bundle is verified on: the same ones on every machine.

Photographs of people cannot be shipped, so the default set is drawn: portraits in many poses, colours and hair styles,
blends of the two average faces (the mean of many people, see examples/README.md), scenes without a person, in odd
sizes, modes, formats and EXIF orientations. ``--pictures DIR`` takes a user's own photographs instead.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["average_faces", "make_pictures", "pictures_in", "set_name"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
_SIZES = (
    (224, 224), (640, 480), (481, 643), (97, 131), (33, 45), (1024, 300), (300, 1201), (15, 17),
    (256, 256), (375, 500), (1600, 1203), (64, 64), (511, 383), (800, 800), (201, 149), (720, 1281),
)  # fmt: skip
_SKIN = ((255, 224, 196), (241, 194, 150), (224, 172, 120), (198, 134, 90), (141, 85, 52), (90, 56, 38))
_HAIR = ((30, 22, 18), (70, 45, 25), (120, 80, 40), (200, 165, 90), (150, 150, 150), (140, 50, 30))

# What is done to a picture before it is saved: mode, file format, EXIF orientation.
_FORMS: tuple[tuple[str, str, int], ...] = (
    ("RGB", "JPEG", 1), ("RGB", "PNG", 1), ("L", "PNG", 1), ("P", "PNG", 1), ("RGB", "JPEG", 6), ("CMYK", "JPEG", 1),
    ("RGB", "JPEG", 3), ("RGB", "WEBP", 1), ("RGB", "JPEG", 8), ("1", "PNG", 1), ("RGB", "BMP", 1), ("L", "JPEG", 5),
)  # fmt: skip


def make_pictures(folder: Path, count: int = 100, *, seed: int = 0) -> tuple[Path, ...]:
    """Writes the verification pictures into a folder.

    Args:
        folder: An existing folder.
        count: How many.
        seed: Another seed makes other pictures (calibration must not see the verification pictures).

    Returns:
        Their paths, in order.
    """
    averages = average_faces()
    made = []
    for index in range(count):
        generator = np.random.default_rng([seed, index])
        size = _SIZES[index % len(_SIZES)]
        if averages and index % 3 == 0:
            picture = _blend(averages, generator, size)
        elif index % 8 == 7:
            picture = _scene(generator, size)
        else:
            picture = _portrait(generator, size)
        mode, form, orientation = _FORMS[index % len(_FORMS)]
        made.append(_write(picture, folder / f"{index:03d}", mode, form, orientation))
    return tuple(made)


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """Returns a folder's pictures, subfolders included, sorted by path.

    Raises:
        ExportError: If there are none.
    """
    if not folder.is_dir():
        raise ExportError(f"{folder}, the folder of verification pictures, does not exist.")
    found = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()))
    if not found:
        raise ExportError(f"The folder {folder} holds no pictures to verify the model on.")
    return found


def average_faces() -> tuple[Image.Image, ...]:
    """Returns the two average faces as RGB, from ``examples/`` beside this package."""
    folder = Path(__file__).resolve().parent.parent / "examples"
    return tuple(Image.open(path).convert("RGB") for path in sorted(folder.glob("average-*.jpg")))


def set_name(pictures: Sequence[Path]) -> str:
    """Names a set of pictures: how many, and the first digits of a sha256 over their contents in order."""
    digest = hashlib.sha256()
    for path in pictures:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{len(pictures)} pictures, sha256 {digest.hexdigest()[:16]}"


def _write(picture: Image.Image, stem: Path, mode: str, form: str, orientation: int) -> Path:
    options: dict[str, Any] = {"quality": 92} if form in ("JPEG", "WEBP") else {}
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    suffix = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}[form]
    path = stem.with_suffix(suffix)
    if mode == "P":
        picture = picture.quantize(64)
    picture.convert(mode).save(path, form, **options)
    return path


def _blend(averages: Sequence[Image.Image], generator: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A face between the two averages, shifted, turned, lit and blurred at random."""
    first, second = averages[0], averages[-1].resize(averages[0].size, Image.Resampling.BICUBIC)
    picture = Image.blend(first, second, float(generator.choice([0.0, 0.15, 0.35, 0.65, 0.85, 1.0])))
    if generator.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.rotate(float(generator.uniform(-12, 12)), Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
    width, height = picture.size
    cut = generator.uniform(0, 0.15, 4) * (width, height, width, height)
    picture = picture.crop((int(cut[0]), int(cut[1]), width - int(cut[2]), height - int(cut[3])))
    light = generator.uniform(0.6, 1.35)
    picture = picture.point([min(255, int(value * light)) for value in range(256)] * 3)
    return _camera(picture.resize(size, Image.Resampling.BICUBIC), generator)


def _portrait(generator: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A drawn head: skin, hair (long, short, none), eyes, mouth, sometimes a beard or glasses."""
    picture = _background(generator, (256, 256))
    draw = ImageDraw.Draw(picture)
    skin, hair = _SKIN[generator.integers(len(_SKIN))], _HAIR[generator.integers(len(_HAIR))]
    x, y = (float(value) for value in generator.uniform(108, 148, 2))
    wide, tall = float(generator.uniform(42, 62)), float(generator.uniform(58, 82))
    style = int(generator.integers(4))
    clothes = tuple(int(value) for value in generator.integers(20, 230, 3))
    draw.ellipse((x - 100, y + tall * 0.95, x + 100, y + 260), fill=clothes)
    if style == 0:
        draw.ellipse((x - wide * 1.4, y - tall * 1.25, x + wide * 1.4, y + tall * 1.5), fill=hair)
    elif style == 1:
        draw.ellipse((x - wide * 1.15, y - tall * 1.2, x + wide * 1.15, y + tall * 0.3), fill=hair)
    elif style == 2:
        draw.rectangle((x - wide * 1.2, y - tall, x + wide * 1.2, y + tall * 0.6), fill=hair)
    draw.rectangle((x - wide * 0.4, y + tall * 0.6, x + wide * 0.4, y + tall * 1.3), fill=skin)
    draw.ellipse((x - wide, y - tall, x + wide, y + tall), fill=skin)
    if style != 3:
        draw.pieslice((x - wide, y - tall * 1.05, x + wide, y + tall * 0.5), 200, 340, fill=hair)
    if generator.random() < 0.3:
        draw.chord((x - wide * 0.8, y - tall * 0.1, x + wide * 0.8, y + tall * 1.02), 20, 160, fill=hair)
    for side in (-1, 1):
        eye = x + side * wide * 0.42
        draw.ellipse((eye - 9, y - 14, eye + 9, y - 4), fill=(250, 250, 250))
        draw.ellipse((eye - 4, y - 13, eye + 4, y - 5), fill=(50, 40, 30))
        draw.line((eye - 11, y - 22, eye + 11, y - 24), fill=hair, width=int(generator.integers(2, 6)))
    draw.line((x, y - 4, x - 5, y + 16, x + 3, y + 17), fill=tuple(value * 3 // 4 for value in skin), width=3)
    lips = (190, 40, 60) if generator.random() < 0.5 else tuple(value * 4 // 5 for value in skin)
    draw.ellipse((x - wide * 0.35, y + tall * 0.42, x + wide * 0.35, y + tall * 0.56), fill=lips)
    picture = picture.filter(ImageFilter.GaussianBlur(float(generator.uniform(0.5, 2.5))))
    return _camera(picture.resize(size, Image.Resampling.BICUBIC), generator)


def _scene(generator: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Shapes without a person."""
    picture = _background(generator, (192, 192))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x0, y0, width, height = (int(value) for value in generator.integers(4, 150, 4))
        colour = tuple(int(value) for value in generator.integers(0, 256, 3))
        (draw.ellipse if generator.random() < 0.5 else draw.rectangle)((x0, y0, x0 + width, y0 + height), fill=colour)
    return _camera(picture.resize(size, Image.Resampling.BICUBIC), generator)


def _background(generator: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    corners = generator.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    return Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC)


def _camera(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Adds sensor noise, so that no region is flat."""
    pixels = np.asarray(picture, dtype=np.float32)
    noise = generator.normal(0.0, float(generator.uniform(1.0, 9.0)), pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
