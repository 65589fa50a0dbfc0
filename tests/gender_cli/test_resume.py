"""A long run loses nothing: killed and resumed, it holds the lines of one run."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gender_classifier.gender_cli.inputs import Item, expand
from gender_classifier.gender_cli.jsonl import WriteError
from gender_classifier.gender_cli.resume import ResultsFile, is_torn
from gender_classifier.gender_cli.tally import Tally
from gender_classifier.runtime.errors import OptionError
from gender_classifier.runtime.prediction import Person, Prediction, Status
from support import ROOT

# ruff: noqa: PTH110, PTH119
WHOLE = {"female": 0.75, "male": 0.25}


class Killed(BaseException):
    """Stands for the end of the process."""


def person(label: str) -> Person:
    return Person(None, None, label, 0.75, WHOLE, "Female")


def predict(path: str) -> Prediction:
    """Answers by the file's name, so that every run gives the same."""
    if not os.path.exists(path):
        return Prediction.failed(path, Status.NOT_FOUND, f"{path} is not there")
    digit = len(os.path.basename(path)) % 4
    if digit == 3:
        return Prediction.failed(path, Status.UNREADABLE, f"{path} is broken")
    return Prediction.from_people(path, (person(("female", "male", "uncertain")[digit]),))


def answer(items: Iterable[Item]) -> Iterator[Prediction]:
    for item in items:
        yield predict(item.path) if item.problem is None else Prediction.failed(item.path, *item.problem)


def run(
    output: Path, arguments: list[str], *, resume: bool = False, stop_after: int | None = None, ahead: int = 3
) -> Tally:
    """Runs as the command line does, reading a few inputs ahead; dies after some lines when told to."""
    tally = Tally()
    with ResultsFile(output, resume=resume, tally=tally) as results:
        waiting: list[Item] = []
        written = 0

        def flush(keep: int) -> None:
            nonlocal written
            while len(waiting) > keep:
                if written == stop_after:
                    raise Killed
                [prediction] = answer([waiting.pop(0)])
                tally.add(prediction)
                results.append(prediction)
                written += 1

        for item in results.missing(expand(arguments, recursive=True)):
            waiting.append(item)
            flush(ahead)
        flush(0)
    return tally


def lines(path: Path) -> Counter[str]:
    return Counter(path.read_text(encoding="ascii").splitlines())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        (folder / f"{'x' * number}{number}.jpg").write_bytes(bytes(number))
    return folder


def test_a_line_holds_the_prediction_and_the_files_size_and_mtime(tmp_path: Path, pictures: Path) -> None:
    output = tmp_path / "out.jsonl"
    run(output, [str(pictures)])
    rows = [json.loads(line) for line in output.read_text(encoding="ascii").splitlines()]
    assert len(rows) == 12
    for row in rows:
        info = Path(row["path"]).stat()
        assert row.pop("file") == {"size": info.st_size, "mtime_ns": info.st_mtime_ns}
        assert row == predict(row["path"]).asdict()


def test_a_file_with_results_needs_resume_and_is_left_as_it_was(tmp_path: Path, pictures: Path) -> None:
    output = tmp_path / "out.jsonl"
    run(output, [str(pictures)])
    before = output.read_bytes()
    with pytest.raises(OptionError, match="--resume"):
        ResultsFile(output, resume=False)
    assert output.read_bytes() == before
    output.write_bytes(b"")
    ResultsFile(output, resume=False).close()


def test_resume_skips_what_did_not_change(tmp_path: Path, pictures: Path) -> None:
    output = tmp_path / "out.jsonl"
    first = run(output, [str(pictures)])
    assert first.held == 0
    before = output.read_bytes()
    again = run(output, [str(pictures)], resume=True)
    assert output.read_bytes() == before
    assert (again.answers, again.failures, again.held) == (first.answers, first.failures, 12)

    changed = pictures / "0.jpg"
    os.utime(changed, ns=(1, 1))
    (pictures / "new.jpg").touch()
    assert run(output, [str(pictures)], resume=True).held == 11
    added = output.read_bytes().removeprefix(before).decode().splitlines()
    assert [json.loads(line)["path"] for line in added] == [str(changed), str(pictures / "new.jpg")]


def test_a_missing_file_is_held_until_it_is_there(tmp_path: Path) -> None:
    output, late = tmp_path / "out.jsonl", tmp_path / "late.jpg"
    run(output, [str(late)])
    assert run(output, [str(late)], resume=True).held == 1
    late.touch()
    assert run(output, [str(late)], resume=True).held == 0


def test_a_picture_on_stdin_is_never_held(tmp_path: Path) -> None:
    for resume in (False, True):
        with ResultsFile(tmp_path / "out.jsonl", resume=resume) as results:
            assert [item.path for item in results.missing([Item("-")])] == ["-"]
            results.append(predict("-"))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_killed_and_resumed_equals_one_run(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        names = data.draw(
            st.lists(st.text("ab\n\U0001f600é='", min_size=1, max_size=5), min_size=1, max_size=12, unique=True)
        )
        (root / "t").mkdir()
        for text in names:
            (root / "t" / f"{text}.jpg").write_bytes(text.encode())
        if os.name == "posix":
            os.mkfifo(root / "t/fifo")
        arguments = [str(root / "t"), str(root / "gone.jpg"), str(root / "t" / f"{names[0]}.jpg")]
        one = root / "one.jsonl"
        expected = run(one, arguments)
        paths = [json.loads(line)["path"] for line in one.read_text(encoding="ascii").splitlines()]
        assert paths == [item.path for item in expand(arguments, recursive=True)], "one result per input, in order"

        killed = root / "killed.jsonl"
        resume = False
        for _ in range(data.draw(st.integers(1, 3), label="kills")):
            stop = data.draw(st.integers(0, len(names) + 3), label="stop after")
            try:
                run(killed, arguments, resume=resume, stop_after=stop)
            except Killed:
                resume = True
            else:
                resume = True
            content = killed.read_bytes()
            # A kill between two system calls tears nothing; a power cut may.
            torn = data.draw(st.integers(0, min(len(content), 400)), label="bytes torn off")
            zeros = data.draw(st.sampled_from([0, 0, 7]), label="zeros")
            content = content[: len(content) - torn]
            # A file of zeros alone could be anybody's, and is refused.
            killed.write_bytes(content + bytes(zeros if b"\n" in content else 0))
        tally = run(killed, arguments, resume=True)
        assert lines(killed) == lines(one)
        assert (tally.answers, tally.failures, tally.total) == (expected.answers, expected.failures, expected.total)


SLOW_RUN = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}, {here!r}]
import test_resume
predict = test_resume.predict
def slow(path):
    time.sleep(0.002)
    return predict(path)
test_resume.predict = slow
from pathlib import Path
test_resume.run(Path({output!r}), [{pictures!r}], resume=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_9_loses_only_what_was_in_flight(tmp_path: Path) -> None:
    pictures = tmp_path / "t"
    pictures.mkdir()
    for number in range(300):
        (pictures / f"{number:03}{'x' * (number % 4)}.jpg").write_bytes(bytes(number))
    one, killed = tmp_path / "one.jsonl", tmp_path / "killed.jsonl"
    run(one, [str(pictures)])
    code = SLOW_RUN.format(
        root=str(ROOT),
        tests=str(ROOT / "tests"),
        here=str(Path(__file__).parent),
        output=str(killed),
        pictures=str(pictures),
    )
    generator = random.Random(5)
    kills = 0
    counts = [0]
    while True:
        process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "tests")})
        goal = counts[-1] + generator.randint(20, 120)
        while process.poll() is None and (killed.read_bytes().count(b"\n") if killed.exists() else 0) < goal:
            time.sleep(0.001)
        if process.poll() is not None:
            assert process.returncode == 0
            break
        process.kill()
        process.wait()
        kills += 1
        counts.append(killed.read_bytes().count(b"\n"))
        assert counts[-1] >= goal, "every line that was seen is kept"
    assert kills >= 2
    assert lines(killed) == lines(one)


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with ResultsFile(tmp_path / "out.jsonl", resume=True), pytest.raises(OptionError, match="another run"):
        ResultsFile(tmp_path / "out.jsonl", resume=True)
    ResultsFile(tmp_path / "out.jsonl", resume=True).close()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xe0 a picture",
        b"\xff\xd8\xff\xe0 a picture with a line end\n",
        b'{"some": "json"}\n',
        b'{"path": "a.jpg", "status": "ok"}\n',
        b"[]\n",
        b"\0\0\0\n",
        json.dumps(Prediction.failed("a.jpg", Status.NOT_FOUND, "").asdict()).encode() + b"\n",
    ],
)
def test_a_file_that_holds_anything_else_is_never_touched(tmp_path: Path, content: bytes) -> None:
    output = tmp_path / "precious.jpg"
    output.write_bytes(content)
    with pytest.raises(OptionError, match="Line 1"):
        ResultsFile(output, resume=True)
    assert output.read_bytes() == content


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "such.jsonl", Path(os.devnull)):
        with pytest.raises(OptionError):
            ResultsFile(path, resume=True)


def test_a_full_disk_stops_the_run_and_leaves_whole_lines(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    room = [1400]
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = write(descriptor, data[: room[0]])
        room[0] -= count
        return count

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(WriteError, match="No space left"):
        run(output, [str(pictures)])
    monkeypatch.undo()
    kept = output.read_bytes()
    assert kept.endswith(b"\n")
    assert kept.count(b"\n") >= 2
    run(tmp_path / "one.jsonl", [str(pictures)])
    run(output, [str(pictures)], resume=True)
    assert lines(output) == lines(tmp_path / "one.jsonl")


LINE = json.dumps({**Prediction.failed('a/b \\ "c".jpg', Status.NO_FACE, "n").asdict(), "file": None}).encode()


def test_the_start_of_a_line_is_known_wherever_it_was_torn() -> None:
    for end in range(1, len(LINE) + 1):
        assert is_torn(LINE[:end]), LINE[:end]


@pytest.mark.parametrize(
    "content",
    [
        b'{"path": "/opt/x", "mine": "data"}',
        b'{"path": "/opt/x", "mi',
        b'{"path": ["a"], "sta',
        b'{"path": 1}',
        b"[" * 100_000,
        LINE[1:],
    ],
)
def test_other_json_is_not_a_torn_line(content: bytes, tmp_path: Path) -> None:
    assert not is_torn(content)
    path = tmp_path / "conf.json"
    path.write_bytes(content)
    with pytest.raises(OptionError, match="not a result that --output wrote"):
        ResultsFile(path, resume=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize("line", [b"[" * 200_000, LINE[:-5] + b'{"size": 1e999, "mtime_ns": 1}}'])
def test_a_hostile_line_is_refused_with_a_sentence(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(OptionError, match="Line 1"):
        ResultsFile(path, resume=True)


def test_zeros_count_as_torn_only_after_results(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.touch()
    os.truncate(path, 3 << 30)  # sparse: it takes no room, and must take no memory
    tracemalloc.start()
    with pytest.raises(OptionError, match="Line 1"):
        ResultsFile(path, resume=True)
    assert tracemalloc.get_traced_memory()[1] < 1 << 28
    tracemalloc.stop()
    assert path.stat().st_size == 3 << 30
    path.write_bytes(LINE + b"\n" + bytes(5000))
    with ResultsFile(path, resume=True) as file:
        assert file.held == 1
    assert path.read_bytes() == LINE + b"\n"
    path.write_bytes(LINE + b"\n" + bytes(3 << 20) + b"x")
    with pytest.raises(OptionError, match="Line 2"):
        ResultsFile(path, resume=True)


def test_the_last_line_of_a_path_is_the_one_that_counts(tmp_path: Path) -> None:
    picture, output = tmp_path / "a.jpg", tmp_path / "results.jsonl"
    picture.write_bytes(b"1")
    run(output, [str(picture)])
    picture.rename(tmp_path / "away")
    run(output, [str(picture)], resume=True)
    (tmp_path / "away").rename(picture)  # as it was, mtime and all
    tally = run(output, [str(picture)], resume=True)
    assert tally.held == 0
    lines = [json.loads(line)["status"] for line in output.read_text().splitlines()]
    assert lines[1] == "not_found"
    assert lines[2] == lines[0] != "not_found"
    # Nothing is left to do, and each path counts once.
    tally = run(output, [str(picture), str(picture)], resume=True)
    assert (tally.held, tally.total) == (1, 2)


def test_a_prediction_out_of_turn_is_refused(tmp_path: Path, pictures: Path) -> None:
    with ResultsFile(tmp_path / "out.jsonl", resume=False) as results:
        first, second, *_ = results.missing(expand([str(pictures)], recursive=True))
        assert first.path != second.path
        with pytest.raises(ValueError, match="was due"):
            results.append(predict(second.path))


@given(path=st.text().filter(lambda text: "\0" not in text) | st.binary().map(os.fsdecode))
def test_any_path_survives_a_line(path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "out.jsonl"
        with ResultsFile(output, resume=False) as results:
            list(results.missing([Item(path, (Status.NOT_A_FILE, "x"))]))
            results.append(Prediction.failed(path, Status.NOT_A_FILE, "x"))
        content = output.read_bytes()
        assert content.count(b"\n") == 1
        assert json.loads(content)["path"] == path
        with ResultsFile(output, resume=True) as results:
            expected = [] if path != "-" else [path]
            assert [item.path for item in results.missing([Item(path, (Status.NOT_A_FILE, "x"))])] == expected


@pytest.mark.slow
def test_a_hundred_thousand_lines_are_known_in_little_memory(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with output.open("wb") as file:
        for number in range(100_000):
            row = {**Prediction.from_people(f"/photos/{number:06}.jpg", (person("female"),)).asdict(), "file": None}
            file.write(json.dumps(row).encode() + b"\n")
    tracemalloc.start()
    try:
        with ResultsFile(output, resume=True) as results:
            size = tracemalloc.get_traced_memory()[0]
            assert results.held == 100_000
    finally:
        tracemalloc.stop()
    assert size < 32 * 1024 * 1024


def test_what_is_held_counts_as_it_did(tmp_path: Path) -> None:
    answers = {
        "couple": Prediction.from_people("couple", (person("female"), person("male"))),
        "landscape": Prediction.from_people("landscape", ()),
        "broken": Prediction.failed("broken", Status.UNREADABLE, "It is broken."),
    }
    for resume in (False, True):
        tally = Tally()
        with ResultsFile(tmp_path / "out.jsonl", resume=resume, tally=tally) as results:
            for item in results.missing([Item(path) for path in answers]):
                results.append(answers[item.path])
                tally.add(answers[item.path])
        assert tally.answers == {"mixed": 1, "no_face": 1}
        assert tally.failures == {"unreadable": 1}
