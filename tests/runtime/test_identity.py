"""A row names what answered, and its picture's size, so that it can be used later."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path

import pytest
from PIL import Image

from gender_classifier import runtime
from support import TinyModel, tiny_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path, TinyModel("tiny", thresholds={"female": 0.5}))


def test_identity_is_name_variant_and_twelve_hex_digits(folder: Path) -> None:
    classifier = runtime.load(folder)
    assert re.fullmatch("tiny fp32 [0-9a-f]{12}", classifier.identity)
    answers = [classifier.predict(Image.new("RGB", (9, 9))), classifier.predict(b"no picture")]
    assert [answer.model for answer in answers] == [classifier.identity] * 2
    assert pickle.loads(pickle.dumps(classifier)).identity == classifier.identity


def test_what_decides_no_answer_leaves_the_identity_alone(folder: Path, tmp_path: Path) -> None:
    first = runtime.load(folder).identity
    assert runtime.load(folder, threads=1, optimize=False, variant="fp32", faces=False).identity == first
    assert runtime.load(folder.rename(tmp_path / "elsewhere")).identity == first


def test_whatever_decides_answers_changes_the_identity(folder: Path, tmp_path: Path) -> None:
    models = [
        TinyModel("tiny", gain=5.0),
        TinyModel("tiny", temperature=2.0),
        TinyModel("tiny", framing="box", margin=0.5),
    ]
    others = [tiny_bundle(tmp_path / str(number), model) for number, model in enumerate(models)]
    loaded = [runtime.load(folder), *(runtime.load(other, faces=False) for other in others)]
    loaded += [runtime.load(folder, threshold=0.5), runtime.load(folder, exact=False)]
    loaded += [runtime.load(folder, main="central")]
    identities = [classifier.identity for classifier in loaded]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_upright_picture_with_every_pixel(folder: Path, orientation: int, exact: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    Image.new("RGB", (401, 400)).save(content, "JPEG", exif=exif)
    answer = runtime.load(folder, exact=exact).predict(content.getvalue())
    assert (answer.width, answer.height) == ((401, 400) if orientation < 5 else (400, 401))


def test_size_is_absent_where_nothing_was_decoded(folder: Path) -> None:
    answer = runtime.load(folder).predict(b"no picture")
    assert answer.width is answer.height is None
    assert json.loads(json.dumps(answer.asdict()))["width"] is None
