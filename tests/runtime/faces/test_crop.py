"""Cutting faces out: where the eyes come to lie, what is believed, and how little aliases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gender_classifier.runtime.bundle.manifest import Framing
from gender_classifier.runtime.faces.crop import crop_box, crop_eyes, crop_face, usable_eyes

BOX = (100.0, 100.0, 200.0, 200.0)


def turned(points, degrees, centre=(150.0, 150.0)):
    """Points turned clockwise about a centre, as a person who tilts the head."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x0, y0 = centre
    return tuple((x0 + cos * (x - x0) - sin * (y - y0), y0 + sin * (x - x0) + cos * (y - y0)) for x, y in points)


def middle(image, colour):
    """Centre of the pixels nearest to a colour, in pixel edges."""
    pixels = np.asarray(image, int)
    rows, columns = np.nonzero(np.abs(pixels - colour).sum(axis=2) < 150)
    return columns.mean() + 0.5, rows.mean() + 0.5


@pytest.mark.parametrize("degrees", [0, 17, -40, 90, 180, 251])
@pytest.mark.parametrize("scale", [0.6, 1, 3.3, 12])
def test_the_eyes_come_to_lie_where_the_framing_says(degrees, scale):
    right, left = turned(((130.0, 135.0), (172.0, 135.0)), degrees)
    image = Image.new("RGB", (round(300 * scale), round(300 * scale)), "black")
    draw = ImageDraw.Draw(image)
    for (x, y), colour in ((right, (255, 0, 0)), (left, (0, 0, 255))):
        r = 5 * scale
        draw.ellipse((x * scale - r, y * scale - r, x * scale + r - 1, y * scale + r - 1), fill=colour)
    eyes = tuple((x * scale, y * scale) for x, y in (right, left))
    crop = crop_eyes(image, eyes, 100, eye_distance=0.3, eye_line=0.4)
    assert crop.size == (100, 100)
    assert middle(crop, (255, 0, 0)) == pytest.approx((35, 40), abs=1.2)  # circles are drawn on whole pixels
    assert middle(crop, (0, 0, 255)) == pytest.approx((65, 40), abs=1.2)


def test_what_lies_beyond_the_picture_is_black():
    image = Image.new("RGB", (60, 60), "white")
    pixels = np.asarray(crop_eyes(image, ((20, 5), (40, 5)), 60, eye_distance=0.3, eye_line=0.4))
    assert (pixels[0] == 0).all()
    assert (pixels[30, 30] == 255).all()


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.7, 8.5, 21.0])
def test_a_fine_pattern_does_not_alias(ratio):
    """Stripes too fine for the crop leave about as little as after Pillow's box filter; without a filter, all."""
    size, side = 1200, int(min(48, 800 / ratio))
    y, x = np.mgrid[:size, :size]
    stripes = 127.5 + 127.5 * np.sin(2 * np.pi * (x * 0.8 + y * 0.6) / (ratio / 0.7))  # 0.7 periods a pixel of the crop
    image = Image.fromarray(stripes.round().astype(np.uint8)).convert("RGB")
    whole = side * ratio
    eyes = ((600 - 0.15 * whole, 600.0), (600 + 0.15 * whole, 600.0))
    box = (600 - whole / 2, 600 - whole / 2, 600 + whole / 2, 600 + whole / 2)
    ours = np.asarray(crop_eyes(image, eyes, side, eye_distance=0.3, eye_line=0.5), float).std()
    assert ours < 1.2 * np.asarray(image.resize((side, side), Image.Resampling.BOX, box), float).std()
    assert np.asarray(image.resize((side, side), Image.Resampling.NEAREST, box), float).std() > 80
    tilted = crop_eyes(image, turned(eyes, 13, (600.0, 600.0)), side, eye_distance=0.3, eye_line=0.5)
    assert np.asarray(tilted, float).std() < 1.3 * ours


def test_eyes_of_a_face_are_believed_whichever_way_it_lies():
    for degrees in (0, 25, -60, 90, 180, 270):
        eyes = turned(((132.0, 135.0), (168.0, 135.0)), degrees)
        assert usable_eyes(BOX, eyes) == eyes
        assert usable_eyes(BOX, [*eyes, (150, 160)]) == eyes


@pytest.mark.parametrize(
    "eyes",
    [
        ((168.0, 135.0), (132.0, 135.0)),  # swapped
        ((132.0, 165.0), (168.0, 165.0)),  # below the middle
        ((90.0, 135.0), (130.0, 135.0)),  # outside the box
        ((145.0, 135.0), (155.0, 135.0)),  # a profile
        ((101.0, 135.0), (199.0, 135.0)),  # wider than a face
        ((150.0, 135.0), (150.0, 135.0)),
        ((132.0, 135.0),),
    ],
)
def test_eyes_that_cannot_be_those_of_the_face_are_not_used(eyes):
    assert usable_eyes(BOX, eyes) is None


def test_without_eyes_the_box_frames_the_face():
    image = Image.effect_noise((300, 300), 90).convert("RGB")
    framing = Framing.of("eyes")
    fallback = crop_face(image, framing, 64, BOX, None)
    assert fallback.tobytes() == crop_box(image, BOX, framing.margin).tobytes()
    level = crop_face(image, framing, 64, BOX, ((133.0, 135.0), (167.0, 135.0)))
    assert level.size == (64, 64)
    # Both show the same part of the picture, near enough: the side of the square is 113 pixels.
    assert np.corrcoef(np.ravel(level.resize((8, 8))), np.ravel(fallback.resize((8, 8))))[0, 1] > 0.5
    assert crop_face(image, Framing("image"), 64, BOX, None).tobytes() == crop_box(image, BOX, 0.25).tobytes()
