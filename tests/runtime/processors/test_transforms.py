"""The pure functions: sizes, crops and tables, against what they say, without any reference library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.prediction import Status
from gender_classifier.runtime.processors import transforms

EDGE = st.integers(1, 70)
SIZE = st.tuples(EDGE, EDGE)


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Noise without black, so that padding can be told from the picture."""
    pixels = np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [
        ((480, 640), 256, (256, 341)),
        ((640, 480), 256, (341, 256)),
        ((300, 300), 224, (224, 224)),
        ((1, 1), 224, (224, 224)),
        ((3, 200), 224, (224, 14933)),
        ((217, 333), 255, (255, 391)),
    ],
)
def test_short_edge_size(size: tuple[int, int], edge: int, expected: tuple[int, int]) -> None:
    assert transforms.short_edge_size(size, edge) == expected


@given(SIZE, EDGE)
def test_short_edge_size_keeps_the_ratio_rounded_down(size: tuple[int, int], edge: int) -> None:
    result = transforms.short_edge_size(size, edge)
    assert min(result) == edge
    exact = edge * max(size) / min(size)
    assert exact - 1 < max(result) <= exact


@given(SIZE, SIZE)
def test_thumbnail_size_fits_and_never_grows(size: tuple[int, int], frame: tuple[int, int]) -> None:
    height, width = transforms.thumbnail_size(size, frame)
    assert 1 <= height <= size[0]
    assert 1 <= width <= size[1]
    if size[0] <= frame[0] and size[1] <= frame[1]:
        assert (height, width) == size


@given(SIZE, st.integers(1, 40))
def test_round_up(size: tuple[int, int], multiple: int) -> None:
    for before, after in zip(size, transforms.round_up(size, multiple), strict=True):
        assert after % multiple == 0
        assert before <= after < before + multiple


@settings(max_examples=60)
@given(SIZE, SIZE)
def test_center_crop_is_the_picture_in_the_middle_of_black(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    pixels = np.asarray(picture(*size))
    result = np.asarray(transforms.center_crop(Image.fromarray(pixels), wanted))
    assert result.shape == (*wanted, 3)
    # The definition, pixel by pixel: row r of the result is row r + floor((H - h) / 2) of the picture, or black.
    top, left = (size[0] - wanted[0]) // 2, (size[1] - wanted[1]) // 2
    for row, column in {(0, 0), (wanted[0] - 1, wanted[1] - 1), (wanted[0] // 2, wanted[1] // 2)}:
        y, x = row + top, column + left
        inside = 0 <= y < size[0] and 0 <= x < size[1]
        assert np.array_equal(result[row, column], pixels[y, x] if inside else [0, 0, 0])


@pytest.mark.parametrize(
    ("edge", "wanted", "floor", "even"), [(7, 4, 1, 2), (9, 4, 2, 2), (4, 4, 0, 0), (4, 7, -2, -1), (4, 6, -1, -1)]
)
def test_the_two_roundings_of_a_center_crop(edge: int, wanted: int, floor: int, even: int) -> None:
    image = picture(edge, edge)
    assert transforms.center_crop(image, (wanted, wanted)) == transforms.crop(image, floor, floor, (wanted, wanted))
    assert transforms.rounded_center_crop(image, (wanted, wanted)) == transforms.crop(
        image, even, even, (wanted, wanted)
    )


def test_crop_fills_what_lies_beyond_with_the_colour() -> None:
    image = picture(2, 3)
    result = np.asarray(transforms.crop(image, -1, -2, (5, 6), (10, 20, 30)))
    assert np.array_equal(result[1:3, 2:5], np.asarray(image))
    outside = np.ones((5, 6), bool)
    outside[1:3, 2:5] = False
    assert np.array_equal(np.unique(result[outside], axis=0), [[10, 20, 30]])


def test_resize_takes_height_first_and_leaves_the_picture_alone() -> None:
    image = picture(20, 30)
    before = np.array(image)
    assert transforms.size_of(transforms.resize(image, (5, 9), 2)) == (5, 9)
    assert np.array_equal(np.asarray(image), before)


@pytest.mark.parametrize("resample", range(6))
def test_every_filter_is_pillows(resample: int) -> None:
    image = picture(31, 47)
    assert transforms.resize(image, (13, 11), resample) == image.resize((11, 13), resample)


def test_a_very_thin_picture_is_refused_before_it_is_enlarged() -> None:
    with pytest.raises(ImageError, match=r"1x100000 pixels.*224x22400000") as caught:
        transforms.resize_short_edge(Image.new("RGB", (1, 100_000)), 224, 2)
    assert caught.value.status is Status.TOO_LARGE


def test_the_long_axis_is_turned_clockwise() -> None:
    lying = picture(3, 5)
    turned = transforms.turn_to_long_axis(lying, (9, 4))
    assert transforms.size_of(turned) == (5, 3)
    assert turned.getpixel((2, 0)) == lying.getpixel((0, 0))  # top left goes to top right
    for size in ((4, 9), (6, 6)):
        assert transforms.turn_to_long_axis(lying, size) is lying


def test_a_picture_larger_than_the_frame_is_an_error() -> None:
    with pytest.raises(ImageError, match="does not fit"):
        transforms.pad_to_frame(picture(5, 5), (4, 9))


@given(
    st.floats(1e-4, 2.0),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.tuples(*[st.floats(0.01, 2)] * 3),
)
def test_the_table_is_rescale_and_normalise(
    factor: float, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    table = transforms.value_table(rescale_factor=factor, mean=mean, std=std)
    assert table.dtype == np.float32
    assert table.shape == (3, 256)
    # The formula, in float64; the rounding of three float32 operations (relative to what was subtracted), and what is
    # below the smallest normal float32.
    exact = (np.arange(256) * factor - np.array(mean)[:, None]) / np.array(std)[:, None]
    scale = (np.arange(256) * factor + np.abs(mean).max()) / np.array(std)[:, None]
    assert np.all(np.abs(table - exact) <= 4 * np.finfo(np.float32).eps * scale + 1e-35)


def test_the_table_of_efficientnet() -> None:
    std = (0.5, 0.25, 2.0)
    table = transforms.value_table(
        rescale_factor=1 / 127.5, subtract_one=True, mean=(0.0, 0.0, 0.0), std=std, divide_again=True
    )
    assert table[:, 0].tolist() == [-4.0, -16.0, -0.25]
    assert table[:, 255].tolist() == [4.0, 16.0, 0.25]


def test_without_rescaling_the_pixels_stay() -> None:
    table = transforms.value_table(rescale_factor=None)
    assert np.array_equal(table, np.tile(np.arange(256, dtype=np.float32), (3, 1)))


@settings(max_examples=30)
@given(SIZE, st.booleans())
def test_to_values_looks_up_every_pixel_in_its_channel(size: tuple[int, int], flip: bool) -> None:
    pixels = np.asarray(picture(*size))
    table = np.arange(768, dtype=np.float32).reshape(3, 256)
    values = transforms.to_values(pixels, table, flip_channels=flip)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    planes = (pixels[..., ::-1] if flip else pixels).transpose(2, 0, 1).astype(np.float32)
    assert np.array_equal(values, planes + np.array([0, 256, 512], np.float32)[:, None, None])
