"""Draws answers on copies of the pictures, and saves what the model really saw.

A copy is marked in its name, by which a walk knows that it is not a photograph, and in its file, by which a later run
replaces its own copy of the same picture and nothing else. Of the originals' metadata it carries nothing.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ..runtime.decode.decode import decode
from ..runtime.errors import ImageError, OptionError
from ..runtime.prediction import UNCERTAIN
from .inputs import COPY_MARK, STDIN
from .output import percent
from .words import display

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..runtime.classifier import Classifier
    from ..runtime.prediction import Box, Person, Prediction

    SideOutput = Callable[[Prediction], None]

__all__ = ["annotate", "annotator", "crop_saver", "save_copy"]

_STYLES: Final = {
    "female": ((230, 159, 0), (0, 0, 0)),
    "male": ((0, 114, 178), (255, 255, 255)),
    UNCERTAIN: ((255, 255, 255), (0, 0, 0)),
}
"""Colour of the box and its label, and of the words on it: orange and blue of Okabe and Ito's palette ("Color Universal
Design", 2008), which stay apart for every kind of colour blindness, at a contrast of 5:1 or more."""

_OTHER: Final = ((0, 158, 115), (0, 0, 0))

_LEAST_SIDE: Final = 800
_MOST_SIDE: Final = 2400
"""A copy is enlarged up to these longest sides, so that words fit: always, and where faces are small."""

_LEAST_FONT: Final = 14
"""Pixels; smaller letters cannot be read."""


_JPEG_SIDE: Final = 65_500
"""Pixels; the JPEG library writes no longer side."""


def annotator(folder: Path, classifier: Classifier, *, lang: str = "en") -> SideOutput:
    """Returns a function that writes an annotated copy of each picture it is given the answer for.

    Raises:
        OptionError: If the folder cannot be made.
    """
    _make(folder)

    def write(prediction: Prediction) -> None:
        source = _source(prediction)
        if source is None:
            return
        try:
            picture = decode(source, classifier.options.limits)
        except ImageError:  # it was there when it was classified; the answer stands without a copy
            return
        save_copy(annotate(picture, prediction.people, lang=lang), folder, source, "annotated", ".jpg")

    return write


def crop_saver(folder: Path, classifier: Classifier) -> SideOutput:
    """Returns a function that writes what the model saw of each person, at its size, as lossless PNG.

    Raises:
        OptionError: If the folder cannot be made.
    """
    _make(folder)

    def write(prediction: Prediction) -> None:
        source = _source(prediction)
        if source is None:
            return
        try:
            views = classifier.views(source, prediction.people)
        except ImageError:
            return
        for number, view in enumerate(views, 1):
            save_copy(view, folder, source, "input" if len(views) == 1 else f"input{number}", ".png")

    return write


def annotate(picture: Image.Image, people: Sequence[Person], *, lang: str = "en") -> Image.Image:
    """Draws a box and words for every person on a copy of a picture.

    Small pictures, and those with small faces, are enlarged until the words can be read.

    Args:
        picture: An upright RGB picture; it is not changed.
        people: With boxes in its pixels; a person without a box gets a frame around the whole picture.
        lang: Language of the words.

    Returns:
        The annotated copy.
    """
    scale = _scale(picture.size, people)
    size = (round(picture.width * scale), round(picture.height * scale))
    copy = picture.resize(size, Image.Resampling.LANCZOS) if scale > 1 else picture.copy()
    draw = ImageDraw.Draw(copy)
    boxes = [_scaled_box(person.box, scale, copy.size) for person in people]
    line = max(2, round(max(copy.size) / 500))
    fonts = [_font(box, copy.size) for box in boxes]
    # The boxes first: a neighbour's box must not cross a word.
    for person, box in zip(people, boxes, strict=True):
        _draw_box(draw, box, person.label, line)
    taken: list[Box] = []
    for number, (person, box, font) in enumerate(zip(people, boxes, fonts, strict=True), 1):
        words = _words(person, number if len(people) > 1 else None, lang)
        place = _place(draw, words, font, box, copy.size, [*taken, *(other for other in boxes if other is not box)])
        _draw_words(draw, words, font, place, person.label)
        taken.append(place)
    return copy


def save_copy(picture: Image.Image, folder: Path, source: Path, kind: str, suffix: str) -> Path:
    """Writes a copy under ``STEM.gender-KIND.SUFFIX``, or with ``-2`` and so on where another file has that name.

    An earlier copy of the same picture is replaced; no other file ever is. ``.jpg`` becomes ``.png`` for a picture that
    JPEG cannot hold.

    Args:
        picture: What is written.
        folder: Where to.
        source: The picture that it is a copy of.
        kind: ``annotated`` or ``input``, with a person's number where there are several.
        suffix: ``.jpg`` or ``.png``.

    Returns:
        The copy's path.

    Raises:
        OptionError: If the folder cannot be written to.
    """
    which = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]
    mark = f"gender-classifier: copy of {which}".encode("ascii")
    content = io.BytesIO()
    if suffix == ".jpg" and max(picture.size) <= _JPEG_SIDE:
        picture.save(content, "JPEG", quality=92, comment=mark)
    else:
        suffix, info = ".png", PngImagePlugin.PngInfo()
        info.add_text("Comment", mark.decode("ascii"))
        picture.save(content, "PNG", pnginfo=info)
    # Room for the mark, a number and the suffix within the 255 bytes that file systems give a name.
    stem = os.fsdecode(os.fsencode(source.stem)[:200])
    for number in itertools.count(1):
        path = folder / f"{stem}{COPY_MARK}{kind}{f'-{number}' if number > 1 else ''}{suffix}"
        try:
            # "x" fails where the name exists: no check can be outrun by another program.
            with path.open("wb" if _is_copy(path, mark) else "xb") as file:
                file.write(content.getbuffer())
        except FileExistsError:
            continue
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror or error}.") from error
        return path
    raise AssertionError("itertools.count ends never")


def _is_copy(path: Path, mark: bytes) -> bool:
    """Whether a file is an earlier copy of the same picture: its mark stands before the pixels."""
    try:
        if not path.is_file():  # a FIFO would wait for its writer
            return False
        with path.open("rb") as file:
            return mark in file.read(1024)
    except OSError:
        return False


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error


def _source(prediction: Prediction) -> Path | None:
    """Returns the path of a picture with people; one from stdin cannot be read a second time."""
    return None if not prediction.ok or prediction.path is None or prediction.path == STDIN else Path(prediction.path)


def _words(person: Person, number: int | None, lang: str) -> str:
    words = f"{display(person.label, lang)} {percent(person.score, lang, digits=0)}"
    return words if number is None else f"{number} {words}"


def _scale(size: tuple[int, int], people: Sequence[Person]) -> float:
    """Returns how much a copy is enlarged: faces should be about as wide as their words."""
    longest = max(size)
    least = _LEAST_SIDE / longest
    widths = [person.box[2] - person.box[0] for person in people if person.box is not None]
    wanted = max(least, *(5 * _LEAST_FONT / max(1.0, width) for width in widths)) if widths else least
    return max(1.0, min(wanted, max(least, _MOST_SIDE / longest)))


def _scaled_box(box: Box | None, scale: float, size: tuple[int, int]) -> Box:
    """Returns the box in the copy, cut to it; the whole copy when there is none."""
    if box is None:
        return (0, 0, size[0] - 1, size[1] - 1)
    x0, y0, x1, y1 = (edge * scale for edge in box)
    x0, y0 = min(max(0.0, x0), size[0] - 2), min(max(0.0, y0), size[1] - 2)
    return (x0, y0, max(x0 + 1, min(x1, size[0] - 1.0)), max(y0 + 1, min(y1, size[1] - 1.0)))


def _font(box: Box, size: tuple[int, int]) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Chooses letters by the face, within what can be read when the whole copy fills a screen."""
    longest = max(size)
    by_face = (box[2] - box[0]) / 5
    return ImageFont.load_default(round(max(_LEAST_FONT, longest / 110, min(by_face, longest / 28))))


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, label: str, line: int) -> None:
    """Draws a coloured line between two dark ones, so that it shows on any background."""
    x0, y0, x1, y1 = box
    draw.rectangle((x0, y0, x1, y1), outline=(0, 0, 0), width=line + 2)
    inner = (x0 + 1, y0 + 1, max(x0 + 1, x1 - 1), max(y0 + 1, y1 - 1))
    draw.rectangle(inner, outline=_STYLES.get(label, _OTHER)[0], width=line)


def _place(
    draw: ImageDraw.ImageDraw,
    words: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    box: Box,
    size: tuple[int, int],
    others: Sequence[Box],
) -> Box:
    """Finds room for the words: above the box, below it, beside it, else inside; where they hide least."""
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    pad = max(2.0, (bottom - top) / 4)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x0, y0, x1, y1 = box
    middle = (x0 + x1 - width) / 2
    spots = [
        (x0, y0 - height),
        (middle, y0 - height),
        (x0, y1),
        (middle, y1),
        (x1, y0),
        (x0 - width, y0),
        (x0, y1 - height),
        (x0, y0),
    ]
    best, least = (x0, y0), float("inf")
    for x, y in spots:
        x, y = min(max(0.0, x), max(0.0, size[0] - width)), min(max(0.0, y), max(0.0, size[1] - height))
        spot = (x, y, x + width, y + height)
        # A word may lie on its own box's edge, hardly on its face, least of all on another face or word.
        hidden = sum(_shared(spot, other) for other in others) + 0.5 * _shared(spot, box)
        if hidden < least:
            best, least = (x, y), hidden
    return (*best, best[0] + width, best[1] + height)


def _shared(first: Box, second: Box) -> float:
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, wide) * max(0.0, high)


def _draw_words(
    draw: ImageDraw.ImageDraw,
    words: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    place: Box,
    label: str,
) -> None:
    back, front = _STYLES.get(label, _OTHER)
    draw.rectangle(place, fill=back, outline=(0, 0, 0))
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    x = (place[0] + place[2] - (right - left)) / 2 - left
    y = (place[1] + place[3] - (bottom - top)) / 2 - top
    draw.text((x, y), words, font=font, fill=front)
