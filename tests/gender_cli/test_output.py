"""How predictions are written."""

from __future__ import annotations

import csv
import io
import os

from hypothesis import given
from hypothesis import strategies as st

from gender_classifier.gender_cli.output import csv_safe


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
