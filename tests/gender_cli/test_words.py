"""Every sentence is there in both languages, with the right plural."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from gender_classifier.gender_cli import words
from gender_classifier.gender_cli.words import CATALOGUE, counted, display, phrase
from gender_classifier.runtime.errors import OptionError
from gender_classifier.runtime.labels import FEMALE, MALE
from gender_classifier.runtime.prediction import MIXED, UNCERTAIN, Status

ANSWERS = (FEMALE, MALE, UNCERTAIN, MIXED, Status.NO_FACE.value)


def fields(form: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(form)} - {None}


@pytest.mark.parametrize("key", CATALOGUE)
def test_both_languages_say_the_same_with_the_same_values(key: str) -> None:
    english, french = CATALOGUE[key]
    assert english.strip()
    assert french.strip()
    forms = [*english.split("|"), *french.split("|")]
    assert all(fields(form) == fields(forms[0]) for form in forms)
    assert len(english.split("|")) <= 2
    assert len(french.split("|")) <= 2


def test_every_answer_and_every_failure_has_words() -> None:
    for answer in ANSWERS:
        assert answer in CATALOGUE
        assert f"pictures.{answer}" in CATALOGUE
    for answer in (FEMALE, MALE, UNCERTAIN):
        assert f"people.{answer}" in CATALOGUE
    assert {key.partition(".")[2] for key in CATALOGUE if key.startswith("failed.")} == {
        status.value for status in Status if status.failed
    }


def test_every_entry_is_used() -> None:
    folder = Path(words.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py") if path.name != "words.py")
    plain = [key for key in CATALOGUE if key not in ANSWERS and not re.match("(people|pictures|failed|chosen)[.]", key)]
    assert [key for key in plain if f'"{key}"' not in code and f"'{key}'" not in code] == []


def test_numbers_agree_in_english_and_in_french() -> None:
    assert [counted("en", "people.male", n) for n in (0, 1, 2, 14)] == ["0 men", "1 man", "2 men", "14 men"]
    assert [counted("fr", "people.male", n) for n in (0, 1, 2)] == ["0 homme", "1 homme", "2 hommes"]
    assert [counted("en", "pictures", n) for n in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]
    assert [counted("fr", "pictures", n) for n in (0, 1, 2)] == ["0 image", "1 image", "2 images"]
    # A face is masculine in French, a picture feminine.
    assert counted("fr", "people.uncertain", 2) == "2 incertains"
    assert counted("fr", "pictures.uncertain", 2) == "2 incertaines"


def test_words_shown() -> None:
    assert [display(word, "fr") for word in ANSWERS] == ["femme", "homme", "incertain", "mixte", "aucun visage"]
    assert display("female") == "woman"
    assert display("cat {n}", "fr") == "cat {n}"
    assert counted("fr", "people.cat {n}", 2) == "2 cat {n}"
    with pytest.raises(OptionError, match="'de'"):
        phrase("de", "female")
