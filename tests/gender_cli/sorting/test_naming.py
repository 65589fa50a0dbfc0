"""Names in the sorted folders."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.gender_cli.sorting.naming import numbered
from support.sorting import (
    grow,
    placed,
    sort,
)


def test_a_name_that_is_always_taken_ends_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})

    def never(src: str, dst: str) -> None:
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", never)
    assert sort(tmp_path, "move").left == {"not_placed": 1}
    assert (tmp_path / "src/a.jpg").exists()


def test_numbers_in_names() -> None:
    assert numbered("a.jpg", 1) == "a.jpg"
    assert numbered("a.jpg", 2) == "a (2).jpg"
    assert numbered("archive.tar.gz", 3) == "archive.tar (3).gz"
    assert numbered(".hidden", 2) == ".hidden (2)"
    long = numbered("é" * 125 + ".jpg", 12)
    assert len(long.encode()) <= 255
    assert long.endswith(" (12).jpg")


def test_a_thousand_pictures_of_one_name_stay_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {f"{number}/1.jpg": ("female", b"%05d" % number) for number in range(1000)})
    looks = [0]
    lexists = os.path.lexists

    def counted(path: Any) -> bool:
        looks[0] += 1
        return lexists(path)

    monkeypatch.setattr(os.path, "lexists", counted)
    start = time.perf_counter()
    sort(tmp_path, "hardlink")
    assert looks[0] < 10_000, "asking for every number up to the free one would be half a million questions"
    assert len(placed(tmp_path)) == 1000
    assert time.perf_counter() - start < 60
