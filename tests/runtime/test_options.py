"""One place for every option: keywords, flags and what a sort records are read from the same fields."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import fields
from pathlib import Path

import pytest

import gender_classifier as gc
from gender_classifier.gender_cli.arguments import build_parser
from gender_classifier.gender_cli.sorting import command as sort
from gender_classifier.gender_cli.sorting.options import SETTINGS
from gender_classifier.runtime.errors import OptionError
from gender_classifier.runtime.options import PARTS, Faces, Limits, Options, flat, from_flat, options_of

NO_FLAG = {"optimize"}
"""The command line chooses it by the number of pictures."""


def flags(parser) -> dict[str, object]:
    return {action.dest: action for action in parser._actions}


def test_the_keywords_of_load_are_the_fields_of_options():
    model, *keywords = inspect.signature(gc.load).parameters.values()
    assert (model.name, model.default) == ("model", None)
    found = ["revision", "download"]  # which model it is; the options are how it is used
    assert [each.name for each in keywords] == [*(field.name for field in fields(Options)), *found]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in keywords)
    with pytest.raises(TypeError, match="max_faces"):
        gc.load(max_faces=1)


@pytest.mark.parametrize("parser", [build_parser, sort.build_parser])
def test_every_field_is_a_flag_with_its_own_words(parser):
    known = flags(parser())
    for part in PARTS:
        described = dict(options_of(part))
        undescribed = {field.name for field in fields(part) if field not in described}
        assert undescribed <= NO_FLAG | {"limits"}  # its own fields are flags
        for option in described.values():
            action = known[option.name]
            assert action.default is None
            assert option.help in action.help
            assert f"--{option.name.replace('_', '-')}" in action.option_strings
            assert action.metavar == option.metavar


def test_a_sort_records_every_option_that_decides_an_answer():
    deciding = {option.name for part in PARTS for _, option in options_of(part) if option.decides}
    assert set(SETTINGS) == {"model"} | deciding
    assert {option.name for part in PARTS for _, option in options_of(part)} - deciding == {"provider", "threads"}


def test_flat_names_are_unique_and_lead_back():
    names = [option.name for part in PARTS for _, option in options_of(part)]
    assert len(names) == len(set(names))
    told = Options(
        variant="int8",
        threads=2,
        threshold=0.25,
        faces=Faces("d.onnx", threshold=0.5, detect_size=640, min_size=9, limit=3),
        limits=Limits(max_bytes=10, max_pixels=20),
        exact=False,
    )
    assert set(flat(told)) == set(names)
    assert from_flat(flat(told)) == told
    assert from_flat({}) == Options()
    assert from_flat({**flat(told), "faces": False}).faces is False
    assert from_flat({"faces": True, "something": "else"}) == Options(faces=True)


@pytest.mark.parametrize("parser", [build_parser, sort.build_parser])
def test_the_command_line_gives_options_their_values(parser):
    words = "--variant int8 --threads 2 --threshold 0.25 --max-faces 3 --min-face 9 --no-exact --max-pixels 20"
    told = from_flat(vars(parser().parse_args(words.split())))
    assert told == Options(
        variant="int8",
        threads=2,
        threshold=0.25,
        faces=Faces(min_size=9, limit=3),
        limits=Limits(max_pixels=20),
        exact=False,
    )
    assert from_flat(vars(parser().parse_args([]))) == Options()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--threshold 1.5", "argument --threshold: 1.5 is not from 0 to 1"),
        ("--threshold nan", "argument --threshold: nan is not from 0 to 1"),
        ("--detector-threshold x", "argument --detector-threshold: invalid number value: 'x'"),
        ("--max-faces 0", "argument --max-faces: 0 is not 1 or more"),
        ("--min-face -1", "argument --min-face: -1 is not 0 or more"),
        ("--threads 1.5", "argument --threads: invalid whole number value: '1.5'"),
    ],
)
def test_a_flag_and_its_field_allow_the_same_values(words, sentence, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(words.split())
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Options(threshold=1.5), "threshold is 1.5; it must be from 0 to 1"),
        (lambda: Options(threads=0), "threads is 0; it must be 1 or more"),
        (lambda: Options(threads=True), "threads is True"),
        (lambda: Faces(threshold=float("nan")), "threshold is nan"),
        (lambda: Faces(min_size=-1), "min_size is -1; it must be 0 or more"),
        (lambda: Faces(limit=0), "limit is 0"),
        (lambda: Limits(max_pixels=0), "max_pixels is 0"),
        (lambda: Limits(max_bytes=1.5), "max_bytes is 1.5"),
        (lambda: Limits(max_bytes=None), "max_bytes is None"),
    ],
)
def test_a_wrong_value_is_an_option_error(make, sentence):
    with pytest.raises(OptionError, match=sentence):
        make()


def test_options_are_compared_and_pickled_by_value():
    told = Options(faces=Faces(Path("x") / "d.onnx"))
    assert told == Options(faces=Faces(str(Path("x") / "d.onnx")))
    assert pickle.loads(pickle.dumps(told)) == told
