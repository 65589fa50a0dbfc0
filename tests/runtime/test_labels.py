"""What label words mean, read by index and never assumed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gender_classifier.runtime import labels
from gender_classifier.runtime.errors import OptionError, UnsupportedHeadError
from gender_classifier.runtime.labels import meaning_of, meanings, parse_label_map, read_head

FEMALE_LABELS = [
    "woman", "women", "female", "Female", "Female ♀", "female portrait", "Human Female", "random woman", "human_female",
]  # fmt: skip
MALE_LABELS = ["man", "men", "male", "Male", "Male ♂", "male portrait", "Human Male", "HumanMale"]


@pytest.mark.parametrize("raw", FEMALE_LABELS)
def test_labels_of_women(raw: str) -> None:
    assert meaning_of(raw) == "female"


@pytest.mark.parametrize("raw", MALE_LABELS)
def test_labels_of_men(raw: str) -> None:
    assert meaning_of(raw) == "male"


@pytest.mark.parametrize(
    "raw", ["child", "LABEL_0", "0", "", "♀", "not female", "male child", "human", "portrait", "humane", "Age0to5"]
)
def test_other_labels_are_unknown(raw: str) -> None:
    assert meaning_of(raw) is None


@pytest.mark.parametrize("keys", [("0", "1"), (0, 1)])
def test_index_order_is_read(keys: tuple[object, object]) -> None:
    first, second = keys
    assert [x.meaning for x in meanings({first: "Female", second: "Male"})] == ["female", "male"]
    assert [x.meaning for x in meanings({second: "Female", first: "Male"})] == ["male", "female"]
    assert [x.raw for x in meanings({second: "Female", first: "Male"})] == ["Male", "Female"]


def test_ten_labels_are_ordered_as_numbers() -> None:
    raw = labels.raw_labels({str(i): f"c{i}" for i in reversed(range(11))})
    assert raw == tuple(f"c{i}" for i in range(11))


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (["child", "female", "male"], "3 classes"),
        (["male", "random things", "random woman"], "3 classes"),
        (["age", "gender"], "quantity"),
        (["Female", "Female portrait"], "both mean female"),
        (["LABEL_0", "LABEL_1"], "label map"),
        (["cat", "dog"], "'cat', 'dog'"),
        ([f"c{i}" for i in range(10)], "10 classes"),
    ],
)
def test_other_heads_are_refused_by_name(labels: list[str], word: str) -> None:
    with pytest.raises(UnsupportedHeadError, match=word):
        meanings(dict(enumerate(labels)))


@pytest.mark.parametrize("keys", [("1", "2"), ("a", "b"), ("0", "0.5")])
def test_broken_indices_are_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(UnsupportedHeadError, match="keys"):
        meanings(dict(zip(keys, ["Female", "Male"], strict=True)))


def test_label_map() -> None:
    labels = meanings({"0": "LABEL_0", "1": "LABEL_1"}, parse_label_map("LABEL_0=male, LABEL_1=female"))
    assert [x.meaning for x in labels] == ["male", "female"]
    with pytest.raises(OptionError, match="LABEL_7"):
        meanings({"0": "LABEL_0", "1": "LABEL_1"}, {"LABEL_7": "male"})
    for text in ["x", "x=", "x=child", "=male", "a=male,a=female"]:
        with pytest.raises(OptionError, match="of the form"):
            parse_label_map(text)


def test_activation_is_read() -> None:
    two = {"0": "Male", "1": "Female"}
    assert read_head({"id2label": two})[1] == "softmax"
    assert read_head({"id2label": two, "problem_type": "multi_label_classification"})[1] == "sigmoid"
    labels, activation = read_head({"id2label": {"0": "Female"}})
    assert activation == "single_logit"
    assert [x.meaning for x in labels] == ["male", "female"]
    with pytest.raises(UnsupportedHeadError, match="regression"):
        read_head({"id2label": two, "problem_type": "regression"})
    with pytest.raises(UnsupportedHeadError, match="label map"):
        read_head({"id2label": {"0": "LABEL_0"}})
    with pytest.raises(UnsupportedHeadError, match="LABEL_0"):
        read_head({})


def test_import_is_cheap() -> None:
    heavy = "('numpy', 'onnxruntime', 'PIL', 'torch')"
    code = f"import gender_classifier.runtime.labels, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
