"""JPEG: what is left of a file for Pillow, and the bound on its scans."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFile

from gender_classifier.runtime.decode import jpeg
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status
from support.pictures import (
    GREY,
    SCANS,
    SECONDS,
    child_decodes,
    encoded,
    failure,
    jpeg_with_scans,
    sequential,
    textured,
    with_size,
)


def mpo(jpeg: bytes) -> bytes:
    """Returns a file of two pictures; the first is the JPEG."""
    two = encoded(GREY, "MPO", save_all=True, append_images=[GREY])
    assert two[2:4] == b"\xff\xe0"
    end = 4 + int.from_bytes(two[4:6], "big")
    index = end + 2 + int.from_bytes(two[end + 2 : end + 4], "big")
    return two[:index] + jpeg[2:] + two[two.rindex(b"\xff\xd8\xff") :]


def test_more_scans_than_any_program_writes() -> None:
    assert decode(jpeg_with_scans(GREY, 500 - SCANS)).size == GREY.size
    for data in (jpeg_with_scans(GREY, 501 - SCANS), mpo(jpeg_with_scans(GREY, 501 - SCANS))):
        error = failure(data)
        assert error.status is Status.UNREADABLE
        assert "scans" in error.message


@pytest.mark.parametrize("container", ["JPEG", "MPO"])
def test_more_scans_than_ten_seconds_allow(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_args: object) -> None:
        raise ValueError("pixels would be decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", reached)
    wrap = {"JPEG": lambda data: data, "MPO": mpo}[container]
    bomb = wrap(with_size(jpeg_with_scans(GREY, 200), 9400, 9400))
    error = failure(bomb)
    assert error.status is Status.TOO_LARGE
    assert f"9400 x 9400 pixels in {SCANS + 200} scans" in error.message
    # Twice the pixels, twice the time.
    assert "pixels would be decoded" in failure(bomb, Limits(max_pixels=2 * Limits().max_pixels)).message


def test_as_many_scans_as_programs_write_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred scans at the largest size: libjpeg's, mozjpeg's and jpegli's scripts have up to a few dozen."""

    def reached(*_args: object) -> None:
        raise ValueError("pixels would be decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", reached)
    assert "pixels would be decoded" in failure(with_size(jpeg_with_scans(GREY, 100 - SCANS), 9459, 9459)).message


def test_scans_of_what_is_behind_the_picture_and_in_its_segments_do_not_count() -> None:
    """A telephone's video behind the picture, a thumbnail in the EXIF."""
    data = jpeg_with_scans(GREY, 0)
    many = b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 1000
    segment = b"\xff\xe5" + struct.pack(">H", 2 + len(many)) + many
    assert decode(data[:2] + segment + data[2:] + many).size == GREY.size


@pytest.mark.parametrize("hide", [b"\xff\x02\xff\xff", b"\xff\xff\xff", b"\xff\x01\xff\xff", b"\xff\xd8\xff\xff"])
def test_scans_cannot_hide_behind_a_marker_without_a_segment(hide: bytes) -> None:
    data = jpeg_with_scans(GREY, 600)
    at = data.rindex(b"\xff\xda", 0, len(data) // 10)
    with pytest.raises(ImageError, match="more than the 500"):
        decode(data[:at] + hide + data[at:])


def test_the_frame_of_many_scans_cannot_hide_behind_junk() -> None:
    """Where libjpeg looks for the next marker, the look through the headers ends."""
    data = jpeg_with_scans(GREY, 600)
    for at in (data.index(b"\xff\xdb"), data.index(b"\xff\xc2")):
        for junk in (b"junk", bytes(70_000), b"\xff\0" * 9):
            assert failure(data[:at] + junk + data[at:]).status is Status.UNREADABLE
    tables = b"\xff\xdb\0\x43\0" + b"\1" * 64
    assert failure(data[:2] + tables * 2_000 + data[2:]).status is Status.UNREADABLE


def test_a_sequential_jpeg_of_several_scans_counts_too() -> None:
    assert decode(sequential(3, [(1,), (2,), (3,)])).size == (64, 64)
    assert failure(sequential(3, [(1,), (2,)] * 300)).status is Status.UNREADABLE
    assert failure(sequential(4, [(1, 2, 3)] * 100, (9400, 9400))).status is Status.TOO_LARGE
    assert failure(sequential(3, [(1,), (2,), (3,)] * 10, (9400, 9400), frame=0xC9)).status is Status.TOO_LARGE


@pytest.mark.parametrize("options", [{}, {"quality": 95, "subsampling": 0}], ids=["4:2:0", "4:4:4"])
def test_an_ordinary_jpeg_is_not_searched_for_scans(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(*_args: object) -> None:
        raise ValueError("the whole file was searched")

    monkeypatch.setattr(jpeg, "count_scans", searched)
    for mode in ("RGB", "L", "CMYK"):
        data = encoded(textured(mode), "JPEG", **options)
        assert decode(data).size == decode(mpo(data)).size == (160, 120)
    assert "searched" in failure(encoded(textured(), "JPEG", progressive=True)).message


@pytest.mark.slow
def test_scan_bombs_cost_little(tmp_path: Path) -> None:
    """The worst that is let through: as many scans as the time allows, at the largest size."""
    path = tmp_path / "bomb.jpg"
    path.write_bytes(jpeg_with_scans(Image.new("L", (9400, 9400), 128), 200))
    status, seconds, peak = child_decodes(path)
    assert (status, seconds < 1, peak < 100 << 20) == ("too_large", True, True)
    path.write_bytes(jpeg_with_scans(Image.new("L", (9400, 9400), 128), 115))
    status, seconds, peak = child_decodes(path)
    assert status == "ok"
    assert seconds < 1.5 * SECONDS  # the cores may be busy with other work
    assert peak < 1 << 30
