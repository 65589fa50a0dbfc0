"""What the tests of the command line share. The tiny model says woman for red, man for green."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import gender_classifier
from support import tiny_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("model"))


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    Image.new("RGB", (10, 10), (255, 0, 0)).save(folder / "a.png")
    Image.new("RGB", (10, 10), (0, 255, 0)).save(folder / "b.jpg", quality=95)
    Image.new("RGB", (10, 10), (0, 255, 0)).save(folder / "deeper" / "c.png")
    (folder / "notes.txt").write_text("no picture")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(model, capsys):
    def call(*arguments: object, model: Path | None = model) -> tuple[int, str, str]:
        chosen = ["--model", str(model)] if model else []
        try:
            code = gender_classifier.main([*map(str, arguments), *chosen])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
