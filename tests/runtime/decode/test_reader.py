"""What Pillow reads of a file: the parts it is given, as often as it may, never past the end unseen."""

from __future__ import annotations

import io
import random

import pytest
from PIL import ImageFile

from gender_classifier.runtime.decode.reader import EndlessError, GuardedReader, Pieces

WHOLE = bytes(range(256)) * 4


def test_pieces_read_like_the_file_they_stand_for() -> None:
    parts: list[bytes | tuple[int, int]] = [b"head", (10, 100), b"", (500, 0), (400, 50), b"tail"]
    same = io.BytesIO(b"head" + WHOLE[10:110] + WHOLE[400:450] + b"tail")
    pieces = Pieces(io.BytesIO(WHOLE), parts)
    rng = random.Random(0)
    for _ in range(2_000):
        if rng.random() < 0.5:
            size = rng.choice([0, 1, 7, 100, 1000, -1, None])
            assert pieces.read(size) == same.read(size)
        else:
            whence = rng.choice([io.SEEK_SET, io.SEEK_END, io.SEEK_CUR])
            offset = rng.randrange(0, 200) if whence == io.SEEK_SET else rng.randrange(-20, 20)
            base = {io.SEEK_SET: 0, io.SEEK_CUR: same.tell(), io.SEEK_END: len(same.getvalue())}[whence]
            if base + offset >= 0:
                assert pieces.seek(offset, whence) == same.seek(offset, whence)
        assert pieces.tell() == same.tell()
    with pytest.raises(ValueError, match="before the start"):
        pieces.seek(-1)


def test_a_part_behind_the_end_of_the_file_gives_what_there_is() -> None:
    pieces = Pieces(io.BytesIO(WHOLE), [(1000, 100), b"never reached"])
    assert pieces.read() == WHOLE[1000:]
    assert pieces.read(10) == b""


def test_reads_and_bytes_are_bounded() -> None:
    reader = GuardedReader(io.BytesIO(WHOLE), reads=3, volume=10_000)
    assert [reader.read(1) for _ in range(3)] == [b"\0", b"\1", b"\2"]
    with pytest.raises(EndlessError, match="too many pieces"):
        reader.read(1)
    reader = GuardedReader(io.BytesIO(WHOLE), reads=100, volume=50)
    reader.read(50)
    with pytest.raises(EndlessError):
        reader.read(1)


def test_the_end_of_the_pixels_is_an_error_where_pillow_would_fill_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    reader = GuardedReader(io.BytesIO(b"abc"), reads=9)
    assert reader.read(9) == b"abc"
    assert reader.read(9) == b""
    reader.pixels(bounded=False)
    with pytest.raises(OSError, match="truncated"):
        reader.read(9)
