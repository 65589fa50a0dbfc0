"""Text from anywhere is safe to print."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gender_classifier.runtime.escaping import printable, printable_lines

HOSTILE = "\x1b[2J\u202e\x9b31m\r\n\x07"


@given(text=st.text() | st.text(HOSTILE + "\ud800\udcff\\"))
def test_printable_text_is_one_line_that_steers_nothing(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode("utf-8")
    assert shown == text or not text.isprintable()


def test_bytes_of_a_path_are_shown_as_bytes() -> None:
    assert printable("caf\udce9\n\u202e.png") == r"caf\xe9\n\u202e.png"
    assert printable("été \U0001f600") == "été \U0001f600"


def test_lines_stay_lines_and_all_but_the_first_are_indented() -> None:
    assert printable_lines("one\ngender-classifier: \x1btwo") == "one\n  gender-classifier: \\x1btwo"
