"""A sort, or its undo, that is killed at any step and started again ends as if nothing had happened."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gender_classifier.gender_cli.sorting.command import SortOptions, SortTally, run_sort, undo
from gender_classifier.runtime.errors import OptionError
from support import ROOT
from support.sorting import Tree, classified, grow, random_trees, snapshot

MODES = ("copy", "move", "hardlink", "symlink")
SYSTEMS = ("one file system", "two file systems", "no hard links")
CASES = [(mode, system) for mode in MODES for system in SYSTEMS if mode != "hardlink" or system == SYSTEMS[0]]

CALLS = (
    (os, "link"),
    (os, "unlink"),
    (os, "replace"),
    (os, "rename"),
    (os, "symlink"),
    (os, "mkdir"),
    (os, "rmdir"),
    (os, "write"),
    (os, "fsync"),
    (os, "ftruncate"),
    (shutil, "copyfileobj"),
    (shutil, "copystat"),
)


class Killed(BaseException):
    """Stands for the end of the process."""


class Machine:
    """Counts the steps that change the file system, and dies before or in the middle of one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, system: str, root: Path) -> None:
        self.steps = 0
        self.die_at = -1
        self.dead = False
        self._system = system
        self._root = str(root)
        for module, name in CALLS:
            monkeypatch.setattr(module, name, self._wrapped(name, getattr(module, name)))

    def start(self, die_at: int = -1) -> None:
        self.steps, self.die_at, self.dead = 0, die_at, False

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            if name == "fsync":
                return None  # a kill, unlike a power cut, does not need it, and it takes most of the time
            if not self._armed(arguments):
                return call(*arguments, **options)
            if self.dead:
                raise Killed  # nothing runs after a kill: no cleaning up either
            if self.steps == self.die_at:
                self.dead = True
                if name == "write":  # a torn line
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                elif name == "copyfileobj":
                    arguments[1].write(arguments[0].read(1))
                raise Killed
            self.steps += 1
            self._refuse(name, arguments)
            return call(*arguments, **options)

        return wrapper

    def _armed(self, arguments: tuple[Any, ...]) -> bool:
        first = arguments[0]
        return not isinstance(first, str) or first.startswith(self._root)

    def _refuse(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "link" and self._system == "no hard links":
            raise OSError(errno.EPERM, "Operation not permitted")
        if name in ("link", "replace") and self._system == "two file systems":
            sides = {str(path).removeprefix(self._root).split("/")[2] for path in arguments[:2]}
            if len(sides) > 1:
                raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.fixture
def stride(request: pytest.FixtureRequest) -> int:
    """Every step with --slow; else a sample, a different one in each test."""
    return 1 if request.config.getoption("--slow") else 5


@contextmanager
def patched(system: str, root: Path) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Machine(monkeypatch, system, root)


def sort(root: Path, mode: str, **options: Any) -> SortTally:
    """Sorts ``root/src`` into ``root/dst`` by the answers that the files' contents name."""
    chosen = SortOptions(str(root / "src"), str(root / "dst"), mode, **options)
    return run_sort(classified(root / "src"), chosen)


def undo_what_is_left(root: Path) -> None:
    """Calls undo again after one that was killed, which may have been at its end already."""
    try:
        assert undo(str(root / "dst")).left == 0
    except OptionError as error:
        assert "no journal" in str(error)  # noqa: PT017


def counts(tally: SortTally) -> tuple[Any, ...]:
    return dict(tally.placed), tally.equal, dict(tally.left), tally.failed


FIXED: Tree = {
    "a.jpg": ("female", b"1"),
    "b/a.jpg": ("female", b"2"),
    "b/c/a.jpg": ("female", b"1"),
    "b/d.jpg": ("male", b"4"),
    "e.jpg": ("unreadable", b""),
    "f\n\udcff\U0001f600.jpg": ("uncertain", b"6"),
    "g.jpg": ("mixed", b"7"),
    "h.jpg": ("no_face", b"8"),
}


@pytest.mark.parametrize("keep_tree", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("mode", "system"), CASES)
def test_killed_at_every_step_and_started_again(
    tmp_path: Path, mode: str, system: str, keep_tree: bool, stride: int
) -> None:
    with patched(system, tmp_path) as machine:
        grow(tmp_path / "one/src", FIXED)
        before = snapshot(tmp_path / "one")
        machine.start()
        expected = sort(tmp_path / "one", mode, keep_tree=keep_tree)
        steps = machine.steps
        assert steps > 20
        after = snapshot(tmp_path / "one")
        for step in range(len(mode + system) % stride, steps, stride):
            root = tmp_path / f"k{step}"
            grow(root / "src", FIXED)
            machine.start(die_at=step)
            with pytest.raises(Killed):
                sort(root, mode, keep_tree=keep_tree)
            machine.start()
            again = sort(root, mode, keep_tree=keep_tree)
            assert snapshot(root) == after, f"killed at step {step}"
            assert counts(again) == counts(expected), f"killed at step {step}"
            assert undo(str(root / "dst")).left == 0
            assert snapshot(root) == before, f"killed at step {step}, then undone"
            shutil.rmtree(root)


@pytest.mark.parametrize("where", ["dst", "dst/new", ""])
def test_a_start_killed_at_every_step_and_undone(tmp_path: Path, where: str, stride: int) -> None:
    """Not started again first; DEST is two folders deep, and the journal lies in it, above it or beside it."""
    with patched(SYSTEMS[0], tmp_path) as machine:
        for step in (*range(12), *range(12, 100, stride)):
            root = tmp_path / f"k{step}"
            grow(root / "src", FIXED)
            before = snapshot(root)
            journal = str(root / where / "journal.jsonl") if where != "dst/new" else None
            options = SortOptions(str(root / "src"), str(root / "dst/new"), "move", journal=journal)
            machine.start(die_at=step)
            with suppress(Killed):
                run_sort(classified(root / "src"), options)
            machine.start()
            with suppress(OptionError):
                undo(journal or options.destination)
            left = snapshot(root)
            if where == "" and step <= 2:  # before its second line ends; an undo leaves alone what may be anybody's
                left.pop("journal.jsonl", None)
            assert left == before, f"killed at step {step}"
            shutil.rmtree(root)


@pytest.mark.parametrize(("mode", "system"), CASES)
def test_undo_killed_at_every_step_and_started_again(tmp_path: Path, mode: str, system: str, stride: int) -> None:
    with patched(system, tmp_path) as machine:
        for step in range(len(mode + system) % stride, 1000, stride):
            root = tmp_path / f"k{step}"
            grow(root / "src", FIXED)
            before = snapshot(root)
            machine.start()
            sort(root, mode)
            machine.start(die_at=step)
            with suppress(Killed):
                undo(str(root / "dst"))
            killed = machine.dead
            machine.start()
            undo_what_is_left(root)
            assert snapshot(root) == before, f"killed at step {step}"
            shutil.rmtree(root)
            if not killed:
                break
        assert step > 10


@given(tree=random_trees(), case=st.sampled_from(CASES), data=st.data())
@settings(max_examples=30, deadline=None)
def test_random_trees_killed_again_and_again(tree: Tree, case: tuple[str, str], data: st.DataObject) -> None:
    mode, system = case
    with tempfile.TemporaryDirectory() as name, patched(system, Path(name)) as machine:
        one, root = Path(name, "one"), Path(name, "two")
        grow(one / "src", tree)
        grow(root / "src", tree)
        before = snapshot(one)
        machine.start()
        expected = sort(one, mode)
        for _ in range(data.draw(st.integers(1, 4), label="kills")):
            machine.start(die_at=data.draw(st.integers(0, 60), label="step"))
            with suppress(Killed):
                sort(root, mode)
        machine.start()
        assert counts(sort(root, mode)) == counts(expected)
        assert snapshot(root) == snapshot(one)
        for _ in range(data.draw(st.integers(0, 3), label="kills of undo")):
            machine.start(die_at=data.draw(st.integers(0, 60), label="step of undo"))
            with suppress(Killed):
                undo_what_is_left(root)
        machine.start()
        undo_what_is_left(root)
        assert snapshot(root) == before


CHILD = """
import sys, time
from pathlib import Path
from gender_classifier.gender_cli.sorting.command import SortOptions, run_sort
from sort_support import classified
root = Path({root!r})
def slow(root):
    for pair in classified(root):
        time.sleep(0.005)
        yield pair
run_sort(slow(root / "src"), SortOptions(str(root / "src"), str(root / "dst"), {mode!r}))
"""


@pytest.mark.parametrize(
    "mode", ["move", *(pytest.param(mode, marks=pytest.mark.slow) for mode in MODES if mode != "move")]
)
def test_kill_9_of_a_real_process(tmp_path: Path, mode: str) -> None:
    generator = random.Random(mode)
    answers = ("female", "male", "uncertain", "unreadable")
    tree: Tree = {f"{number % 7}/{number // 14}.jpg": (answers[number % 4], bytes([number])) for number in range(150)}
    one, root = tmp_path / "one", tmp_path / "two"
    grow(one / "src", tree)
    grow(root / "src", tree)
    before = snapshot(one)
    expected = sort(one, mode)
    code = CHILD.format(root=str(root), mode=mode)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent), str(ROOT / "tests")]),
    }
    journal = root / "dst/.gender-classifier-journal.jsonl"
    kills = 0
    goal = 0
    for _ in range(30):
        process = subprocess.Popen([sys.executable, "-c", code], env=environment)
        goal += generator.randint(3000, 9000)
        while process.poll() is None and (journal.stat().st_size if journal.exists() else 0) < goal:
            time.sleep(generator.random() / 500)
        process.kill()
        if process.wait() == 0:
            break
        kills += 1
    assert kills >= 2
    assert counts(sort(root, mode)) == counts(expected)
    assert snapshot(root) == snapshot(one)
    assert undo(str(root / "dst")).left == 0
    assert snapshot(root) == before
