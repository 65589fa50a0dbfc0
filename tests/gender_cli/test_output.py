"""How predictions are written: a line a picture, tables, JSON."""

from __future__ import annotations

import csv
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gender_classifier.gender_cli.output import csv_safe, make_writer, percent
from gender_classifier.runtime.options import Main
from gender_classifier.runtime.prediction import Person, Prediction, Status

MEANINGS = ("female", "male")


def person(label: str, score: float = 0.9, box: tuple[float, float, float, float] | None = None) -> Person:
    shares = {"female": score, "male": 1 - score} if label != "male" else {"female": 1 - score, "male": score}
    return Person(box, None if box is None else 0.95, label, score, shares, "raw")


def of(*people: Person, main: Main | None = None) -> Prediction:
    return Prediction.from_people("a.jpg", people, size=(40, 30), model="m fp32 0", main=main)


def text(
    *predictions: Prediction, stream: io.TextIOWrapper | None = None, lang: str = "en", verbose: bool = False
) -> str:
    stream = stream or io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    writer = make_writer("text", stream, lang=lang, meanings=MEANINGS, verbose=verbose)
    for prediction in predictions:
        writer.write(prediction)
    writer.close()
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)  # type: ignore[attr-defined]


def rows(*predictions: Prediction, kind: str) -> list[dict[str, str]]:
    stream = io.StringIO()
    writer = make_writer("csv", stream, lang="fr", meanings=MEANINGS, rows=kind)
    for prediction in predictions:
        writer.write(prediction)
    writer.close()
    return list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))


CROWD = of(*[person("female")] * 3, *[person("male")] * 2, person("uncertain", 0.55))


@pytest.mark.parametrize(
    ("prediction", "english", "french"),
    [
        (of(person("female", 0.973)), "woman 97.3%  ████████████", "femme 97,3 %  ████████████"),
        (of(person("male", 0.75)), "man 75.0%  █████████░░░", "homme 75,0 %  █████████░░░"),
        (
            of(person("uncertain", 0.5)),
            "uncertain (woman 50.0%)  ██████░░░░░░",
            "incertain (femme 50,0 %)  ██████░░░░░░",
        ),
        (CROWD, "3 women, 2 men, 1 uncertain", "3 femmes, 2 hommes, 1 incertain"),
        (of(person("male"), person("male")), "2 men", "2 hommes"),
        (of(person("cat"), person("female")), "1 woman, 1 cat", "1 femme, 1 cat"),
        (of(), "no face", "aucun visage"),
        (
            of(person("male", 0.75), person("female"), main="largest"),
            "man 75.0%  █████████░░░  (of 2 people)",
            "homme 75,0 %  █████████░░░  (de 2 personnes)",
        ),
    ],
)
def test_text_is_one_line_a_picture(prediction: Prediction, english: str, french: str) -> None:
    assert text(prediction) == f"a.jpg  {english}\n"
    assert text(prediction, lang="fr") == f"a.jpg  {french}\n"


def test_text_leaves_failures_to_stderr() -> None:
    assert text(Prediction.failed("a.jpg", Status.UNREADABLE, "It is broken.")) == ""


def test_verbose_has_a_line_for_every_person() -> None:
    two = of(person("female", 0.9, (-2.4, 3.0, 7.6, 12.6)), person("uncertain", 0.5))
    assert text(two, verbose=True).splitlines() == [
        "a.jpg  1 woman, 1 uncertain",
        "  1. woman: woman 90.0%, man 10.0%  (10 x 10 px at -2, 3)",
        "  2. uncertain: woman 50.0%, man 50.0%",
    ]


def test_a_bar_is_ascii_where_the_encoding_has_no_blocks() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert text(of(person("male", 0.75)), stream=stream) == "a.jpg  man 75.0%  #########...\n"


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": ""}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_on_a_terminal_unless_unwanted(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shown = text(CROWD, of(person("\x1b[2Jcat")), stream=Terminal(io.BytesIO(), encoding="utf-8"))
    assert ("\x1b[38;5;208m3 women\x1b[0m" in shown) == coloured
    assert "\x1b[2J" not in shown
    assert "\\x1b[2Jcat" in shown


def test_a_row_for_each_picture_counts_its_people() -> None:
    crowd, alone, none, broken = rows(
        CROWD, of(person("male")), of(), Prediction.failed("=b", Status.UNREADABLE, "-x"), kind="pictures"
    )
    counts = ("label", "people", "women", "men", "uncertain")
    assert [crowd[name] for name in counts] == ["mixed", "6", "3", "2", "1"]
    assert (crowd["score"], crowd["female"], crowd["raw_label"]) == ("0.900000", "", "")
    assert (alone["female"], alone["male"], alone["raw_label"]) == ("0.100000", "0.900000", "raw")
    assert [none[name] for name in counts] == ["", "0", "0", "0", "0"]
    assert [broken[name] for name in counts] == [""] * 5
    assert (broken["path"], broken["error"]) == ("'=b", "'-x")
    assert all((row["width"], row["height"], row["model"]) == ("40", "30", "m fp32 0") for row in (crowd, alone, none))


def test_a_row_for_each_person_has_numbers_that_stay_numbers() -> None:
    first, second = rows(of(person("male", 0.75, (-2.456, 3, 7, 8)), person("female")), kind="people")
    assert [first[name] for name in ("person", "label", "x0", "y0", "x1", "y1")] == [
        "1",
        "male",
        "-2.46",
        "3",
        "7",
        "8",
    ]
    assert (first["detection_score"], first["male"]) == ("0.950000", "0.750000")
    assert [second[name] for name in ("person", "label", "x0", "detection_score")] == ["2", "female", "", ""]


def test_json_is_a_list_also_of_nothing() -> None:
    for predictions in ((), (CROWD,), (CROWD, of())):
        stream = io.StringIO()
        writer = make_writer("json", stream, lang="en", meanings=MEANINGS)
        for prediction in predictions:
            writer.write(prediction)
        writer.close()
        assert json.loads(stream.getvalue()) == [prediction.asdict() for prediction in predictions]


def test_percent_in_both_languages() -> None:
    assert [percent(0.9734, "en"), percent(0.9734, "fr"), percent(0.9734, "fr", digits=0)] == [
        "97.3%",
        "97,3 %",
        "97 %",
    ]


@given(text=st.text() | st.text("=+-@'\t\r\nab", max_size=4) | st.binary(max_size=6).map(os.fsdecode))
def test_a_cell_starts_no_formula_and_comes_back(text: str) -> None:
    cell = csv_safe(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell.removeprefix("'") == text
    if "\0" not in text:  # csv before Python 3.11 cannot, and no path holds one
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogatepass", newline="")
        csv.writer(stream).writerow([cell, "x"])
        stream.seek(0)
        assert next(csv.reader(stream)) == [cell, "x"]
