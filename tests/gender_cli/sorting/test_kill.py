"""A sort, or its undo, that is killed at any step and started again ends as if nothing had happened."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gender_classifier.gender_cli.sorting.command import SortOptions, SortTally, undo
from gender_classifier.runtime.errors import OptionError
from support.sorting import (
    ANSWERS,
    JOURNAL,
    Tree,
    classified,
    grow,
    random_trees,
    run_sort,
    snapshot,
)

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
    (os, "chmod"),
    (os, "utime"),
)


EARLY = 6
"""Steps until a journal's second line is whole: DEST is made, nothing else is done."""


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


def undo_what_is_left(root: Path, before: dict[str, Any], *, early: bool = False) -> None:
    """Calls undo again after one that was killed, which may have been at its end already."""
    try:
        assert undo(str(root / "dst")).left == 0
    except OptionError as error:
        assert "no journal" in str(error)  # noqa: PT017
        early = True  # or so late, between the removal of the journal and that of DEST
    started_anew(root, before, early=early)
    assert snapshot(root) == before


def started_anew(root: Path, before: dict[str, Any], *, early: bool) -> None:
    """Removes a DEST that was made by a sort which was killed before it could write that down."""
    if early and snapshot(root) == before | {"dst": "folder"}:
        (root / "dst").rmdir()


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
            started_anew(root, before, early=step < EARLY)
            assert snapshot(root) == before, f"killed at step {step}, then undone"
            shutil.rmtree(root)


@pytest.mark.parametrize("where", ["dst", "dst/new", ""])
def test_a_start_killed_at_every_step_and_undone(tmp_path: Path, where: str, stride: int) -> None:
    """Not started again first; DEST is two folders deep, and the journal lies in it, above it or beside it."""
    unfinished = set()
    with patched(SYSTEMS[0], tmp_path) as machine:
        for step in (*range(12), *range(12, 100, stride)):
            root = tmp_path / f"k{step}"
            grow(root / "src", FIXED)
            (root / "dst").mkdir()
            before = snapshot(root)
            journal = str(root / where / "journal.jsonl") if where != "dst/new" else None
            options = SortOptions(str(root / "src"), str(root / "dst/new"), "move", journal=journal)
            machine.start(die_at=step)
            with suppress(Killed):
                run_sort(classified(root / "src"), options)
            machine.start()
            try:
                undo(journal or options.destination, confirm=lambda announcement: True)
            except OptionError as error:
                assert "no journal" in str(error)  # noqa: PT017
                unfinished.add(step)
                left = {name for name, what in snapshot(root).items() if before.get(name) != what}
                assert left <= {"dst/new", "journal.jsonl", "dst/journal.jsonl"}, f"killed at step {step}"
            else:
                assert snapshot(root) == before, f"killed at step {step}"
            shutil.rmtree(root)
    assert unfinished <= set(range(EARLY)), "before the journal's second line was whole: nothing was done yet"


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
            undo_what_is_left(root, before)
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
        early = False
        for _ in range(data.draw(st.integers(1, 4), label="kills")):
            step = data.draw(st.integers(0, 60), label="step")
            early |= step < EARLY
            machine.start(die_at=step)
            with suppress(Killed):
                sort(root, mode)
        machine.start()
        assert counts(sort(root, mode)) == counts(expected)
        assert snapshot(root) == snapshot(one)
        for _ in range(data.draw(st.integers(0, 3), label="kills of undo")):
            machine.start(die_at=data.draw(st.integers(0, 60), label="step of undo"))
            with suppress(Killed, OptionError):
                undo(str(root / "dst"))
        machine.start()
        undo_what_is_left(root, before, early=early)


def in_a_process(action: Callable[[], object], seconds: float) -> bool:
    """Runs something in a process of its own, and ends that with SIGKILL after a time; returns whether it was early."""
    process = os.fork()
    if not process:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    assert status in (0, signal.SIGKILL), "it failed"
    return status == signal.SIGKILL


def contents(root: Path) -> Counter[bytes]:
    """Returns the contents of a tree but links, the journal and unfinished copies, which are private."""
    found: Counter[bytes] = Counter()
    for path in root.rglob("*"):
        if path.suffix == ".part":
            partial = path.stat().st_size < 1000  # the permissions of a whole one may be set already
            assert not partial or stat.S_IMODE(path.stat().st_mode) == 0o600
        elif path.is_file() and not path.is_symlink() and path.name != JOURNAL:
            found[path.read_bytes()] += 1
    return found


def seen(folder: Path, src: Path) -> dict[str, Any]:
    """Returns what can be seen of a tree but the numbers of links, and links as from ``src``."""
    return {
        name: (what[0], what[1].replace(str(src), "")) if what[0] == "link" else what[:3]
        for name, what in snapshot(folder).items()
    }


def account(mode: str, before: dict[str, Any], src: Path, dst: Path) -> None:
    """Makes sure that after a kill every byte is where it was, or where it goes, and nothing else is."""
    originals = Counter(what[0] for what in before.values() if what != "folder")
    there = contents(dst) if dst.exists() else Counter[bytes]()
    assert set(there) <= {*originals, b""}, "a torn picture"
    if mode == "move":
        assert not originals - contents(src) - there, "a content is gone"
    else:
        assert seen(src, src) == {name: what[:3] for name, what in before.items()}


def kill_rounds(tmp_path: Path, goal: int, seed: int) -> dict[str, int]:
    """Sorts and undoes random trees in processes that are killed at random times, until that many were."""
    generator = random.Random(seed)
    figures = {"kills of a sort": 0, "kills of an undo": 0, "trees": 0, "pictures": 0}
    while figures["kills of a sort"] + figures["kills of an undo"] < goal:
        mode = generator.choice(MODES)
        here, there = tmp_path, Path(tempfile.mkdtemp(dir="/dev/shm" if mode in ("copy", "move") else tmp_path))
        root = Path(tempfile.mkdtemp(dir=here))
        names = [f"{generator.choice('abc')}/{number % 25}.jpg" for number in range(generator.randint(20, 60))]
        tree: Tree = {
            name: (generator.choice(ANSWERS[:4]), bytes([generator.randrange(9)]) * generator.randint(1000, 300_000))
            for name in names
        }
        src, one, dst = root / "src", root / "one", (generator.choice([root, there])) / "dst"
        grow(src, tree)
        before = snapshot(src)
        shutil.copytree(src, one / "src")
        sort(one, mode)
        expected = seen(one / "dst", one / "src")
        links = generator.random() < 0.7

        def act(mode: str = mode, src: Path = src, dst: Path = dst, links: bool = links) -> None:
            if not links and mode in ("copy", "move"):
                os.link = refuse_links
            run_sort(classified(src), SortOptions(str(src), str(dst), mode))

        def take_back(dst: Path = dst) -> None:
            if (dst / JOURNAL).exists():
                undo(str(dst))

        patience = 0.02
        while in_a_process(act, generator.random() * patience):
            patience *= 1.05  # so that a slow machine comes to an end
            figures["kills of a sort"] += 1
            account(mode, before, src, dst)
        assert seen(dst, src) == expected
        patience = 0.01
        while in_a_process(take_back, generator.random() * patience):
            patience *= 1.05
            figures["kills of an undo"] += 1
            account(mode, before, src, dst)
        assert snapshot(src) == before
        assert not dst.exists() or list(dst.iterdir()) == []
        figures["trees"] += 1
        figures["pictures"] += len(tree)
        shutil.rmtree(root)
        shutil.rmtree(there)
    return figures


def refuse_links(src: str, dst: str, **options: Any) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
def test_kill_9_at_random_times_accounts_for_every_byte(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """SORTING_KILLS=5000 pytest --slow -s -k kill_9 tests/gender_cli/sorting/test_kill.py goes on for longer."""
    goal = int(os.environ.get("SORTING_KILLS", "500")) if request.config.getoption("--slow") else 8
    seed = random.randrange(1 << 30)
    print(f"seed {seed}:", kill_rounds(tmp_path, goal, seed))
