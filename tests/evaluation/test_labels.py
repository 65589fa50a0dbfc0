"""Reading labels: words, filters, bands, folders."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pandas")

import pandas as pd

from gender_classifier.evaluation.errors import LabelsError
from gender_classifier.evaluation.labels import SEVERAL, age_band, filter_rows, group_column, label_meaning, read_labels


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "word", ["female", "Female", "F", "f ", "w", "woman", "Women", "femme", "Femmes", "girl", "Female ♀"]
)
def test_words_for_women(word: str) -> None:
    assert label_meaning(word) == "female"


@pytest.mark.parametrize("word", ["male", "MALE", "m", "man", "homme", "Hommes", "boy", "male portrait"])
def test_words_for_men(word: str) -> None:
    assert label_meaning(word) == "male"


@pytest.mark.parametrize("word", ["", "0", "1", "unknown", "x", "female or male", "fm"])
def test_anything_else_is_not_guessed(word: str) -> None:
    assert label_meaning(word) is None


def test_rows_keep_their_columns_and_find_their_files(tmp_path: Path) -> None:
    labelled = read_labels(
        write(tmp_path, "file, gender, age\na.jpg,F,30\nsub/b.jpg,homme,\nc.jpg,unknown,4\nd.jpg,,4\n")
    )
    assert list(labelled.rows["truth"]) == ["female", "male"]
    assert list(labelled.rows["age"]) == ["30", ""]
    assert labelled.rows["path"][1] == str(tmp_path / "sub/b.jpg")
    assert labelled.unusable == {"(empty)": 1, "unknown": 1}
    assert labelled.name == tmp_path.name


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("women/1.jpg", "women/deep/2.jpg", "men/3.jpg", "other/4.jpg", ".hidden/5.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    labelled = read_labels(tmp_path)
    assert sorted(zip(labelled.rows["file"], labelled.rows["truth"], strict=True)) == [
        ("men/3.jpg", "male"),
        ("women/1.jpg", "female"),
        ("women/deep/2.jpg", "female"),
    ]
    assert labelled.unusable == {"other": 1}


TABLE = pd.DataFrame({"age": ["9", "18", "40", "", "adult"], "race": ["White", "Black", "Black", "Asian", "White"]})


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("age>=18", [1, 2]),
        ("age < 18", [0]),
        ("race=Black", [1, 2]),
        ("race != 'Black'", [0, 3, 4]),
        ("age>=18 and race=Black and age<40", [1]),
        ("age=adult", [4]),
    ],
)
def test_filters(where: str, kept: list[int]) -> None:
    assert list(filter_rows(TABLE, where).index) == kept


@pytest.mark.parametrize("where", ["age", "height>3", "age>=old", ""])
def test_a_filter_that_cannot_be_read_says_so(where: str) -> None:
    with pytest.raises(LabelsError, match="The condition"):
        filter_rows(TABLE, where)


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("0", "0-9"),
        ("9", "0-9"),
        ("9.5", "0-9"),
        ("10", "10-17"),
        ("17", "10-17"),
        ("18", "18-29"),
        ("30", "30-44"),
        ("59.9", "45-59"),
        ("60", "60+"),
        ("116", "60+"),
        ("", ""),
        ("baby", "baby"),
        ("-1", ""),
        ("nan", ""),
    ],
)
def test_age_bands(age: str, band: str) -> None:
    assert age_band(age) == band


def test_a_cell_with_several_groups_is_a_group_of_its_own() -> None:
    rows = pd.DataFrame({"race": ["Asian", "Asian; White", ""]})
    assert list(group_column(rows, "race")) == ["Asian", SEVERAL, ""]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,gender\na.jpg,F\n", "no column file"),
        ("file,sex\na.jpg,F\n", "no column gender"),
        ("file,gender\na.jpg,0\nb.jpg,1\n", "its labels are 0, 1"),
        ("file,gender\n", "leaves no picture"),
        ("", "cannot be read as CSV"),
    ],
)
def test_labels_that_cannot_be_used_are_explained(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(LabelsError, match=says):
        read_labels(write(tmp_path, text))


def test_no_such_file_and_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="does not exist"):
        read_labels(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabelsError, match="no subfolder"):
        read_labels(tmp_path / "empty")
