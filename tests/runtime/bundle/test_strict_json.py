"""Hostile JSON gives a sentence that names the field, never another error and never much memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gender_classifier.runtime.bundle.strict_json import JSONFormatError, build, excerpt, parse, plain


@dataclass(frozen=True)
class Part:
    size: int
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size is negative")


@dataclass(frozen=True)
class Whole:
    name: str
    kind: Literal["a", "b"]
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = field(default_factory=dict)
    note: str | None = None
    on: bool = False
    free: dict[str, Any] | None = None


def read(text: str | bytes) -> Whole:
    return build(Whole, parse(text))


def test_what_was_written_is_read_back() -> None:
    whole = Whole("x", "a", (Part(1), Part(2, 0.25)), {"p": Part(3)}, "é", True, {"deep": [{"n": 1}]})
    assert read(json.dumps(plain(whole))) == whole
    assert read(b'{"name": "x", "kind": "b"}') == Whole("x", "b")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"surprise": 1}, "it has an unknown field: surprise"),
        ({str(index): 1 for index in range(100)}, "it has an unknown field: 0, 1, 10, 11, 12, ..."),
        ({"\x1b[2J": 1}, r"it has an unknown field: \x1b[2J"),
        ({"parts": [{"size": 1}, {"size": 1, "b": 2}]}, r"parts[1] has an unknown field: b"),
        ({"parts": [{}]}, "parts[0] lacks a field: size"),
        ({"parts": {}}, "parts is not a list"),
        ({"by_name": {"p": 3}}, "by_name.p is not an object"),
        ({"by_name": {"p": {"size": -1}}}, "by_name.p: size is negative"),
        ({"parts": [{"size": 1, "share": "1"}]}, "parts[0].share is not a number"),
        ({"parts": [{"size": 1.0}]}, "parts[0].size is not a whole number"),
        ({"parts": [{"size": True}]}, "parts[0].size is not a whole number"),
        ({"parts": [{"size": 1, "share": True}]}, "parts[0].share is not a number"),
        ({"name": None}, "name is not a text"),
        ({"on": 1}, "on is not true or false"),
        ({"kind": ["a"]}, "kind is ['a'], not one of 'a', 'b'"),
        ({"free": []}, "free is not an object"),
    ],
)
def test_a_value_that_does_not_fit_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(JSONFormatError) as caught:
        read(json.dumps({"name": "x", "kind": "a", **change}))
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 33 + "1" + "}" * 33, "nested too deep"),
        ("1" * 400, "out of range"),
        ("-" + "1" * 400, "out of range"),
        ("9" * 5000, "out of range"),
        (str(2**63), "out of range"),
        ("1e400", "not a finite number"),
        ("NaN", "not a finite number"),
        ("-Infinity", "not a finite number"),
        (r'"a\u0000b"', "NUL character"),
        (r'{"a\u0000b": 1}', "NUL character"),
        (r'["\ud800"]', "half of a character"),
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        (b"\xff\xfe\xff", "not valid JSON"),
    ],
)
def test_what_no_reader_could_use_is_refused_wherever_it_stands(value: str | bytes, words: str) -> None:
    with pytest.raises(JSONFormatError, match=words) as caught:
        parse(value)
    assert len(str(caught.value)) < 300


def test_half_characters_are_let_through_for_names_of_files() -> None:
    assert parse(r'["\udcff"]', lone_surrogates=True) == ["\udcff"]


def test_the_largest_numbers_and_depth_are_read() -> None:
    assert parse(str(2**63 - 1)) == 2**63 - 1
    assert build(Part, parse('{"size": 0, "share": 9223372036854775807}')).share == float(2**63)
    parse("[" * 32 + "]" * 32)


@pytest.mark.parametrize("value", ["x" * 10**6, ["x" * 10**6] * 3, {"a": "b" * 1000}, 10**99])
def test_an_excerpt_is_short(value: object) -> None:
    assert len(excerpt(value)) <= 100


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["a", "b"])
PARTS = st.sampled_from(["size", "share", "p"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner), max_leaves=8)
NAMES = st.sampled_from(["name", "kind", "parts", "by_name", "note", "on", "free"])


@given(st.dictionaries(NAMES, VALUES))
def test_any_json_is_read_or_refused_with_a_sentence(value: dict[str, Any]) -> None:
    try:
        whole = read(json.dumps(value))
    except JSONFormatError:
        return
    assert read(json.dumps(plain(whole))) == whole
