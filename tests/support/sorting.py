"""Trees to sort, answers for them, and what a tree looks like."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from gender_classifier.gender_cli.inputs import expand
from gender_classifier.gender_cli.sorting.command import SortOptions, SortTally
from gender_classifier.gender_cli.sorting.sorter import Sorter
from gender_classifier.runtime.prediction import Person, Prediction, Status

# ruff: noqa: PTH115, PTH116
Tree = dict[str, tuple[str, bytes]]
"""Relative path -> the answer that the fake model will give, and some content."""

ANSWERS = ("female", "male", "uncertain", "mixed", "unreadable", "no_face", "too_large", "not_found")
JOURNAL = ".gender-classifier-journal.jsonl"


def grow(root: Path, tree: Tree) -> None:
    """Makes the files, each with times and permissions of its own that follow from its name."""
    root.mkdir(parents=True)
    for name, (answer, content) in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer.encode() + b" " + content)
        path.chmod(0o640 if len(name) % 2 else 0o444)
        moment = 1_600_000_000_123_456_789 + len(name) * 1_000_000_007
        os.utime(path, ns=(moment, moment))


def predict(path: str) -> Prediction:
    """Answers as the file's first word says."""
    with open(path, "rb") as file:  # noqa: PTH123
        answer = file.read().split(b" ")[0].decode()
    if answer in [status.value for status in Status if status.failed]:
        return Prediction.failed(path, Status(answer), f"{answer}.")
    labels = {"mixed": ("female", "male"), "no_face": ()}.get(answer, (answer,))
    probabilities = {"female": 0.75, "male": 0.25}
    return Prediction.from_people(
        path, tuple(Person(None, None, label, 0.75, probabilities, "Female") for label in labels)
    )


def classified(root: Path) -> Iterator[tuple[str, Prediction]]:
    """Yields path and answer of every picture, as the command line would."""
    for item in expand([str(root)], recursive=True, follow_folder_links=False):
        if item.path != str(root):
            problem = item.problem
            yield item.path, predict(item.path) if problem is None else Prediction.failed(item.path, *problem)


def snapshot(root: Path) -> dict[str, Any]:
    """Returns all that can be seen of a tree but the journal, the times of folders, and where the tree lies."""
    seen: dict[str, Any] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            info = path.lstat()
            relative = str(path.relative_to(root))
            if stat.S_ISLNK(info.st_mode):
                seen[relative] = ("link", os.readlink(path).replace(str(root), ""))
            elif stat.S_ISDIR(info.st_mode):
                seen[relative] = "folder"
            elif name != JOURNAL:
                links = info.st_nlink
                seen[relative] = (path.read_bytes(), stat.S_IMODE(info.st_mode), info.st_mtime_ns, links)
    return seen


def random_trees() -> st.SearchStrategy[Tree]:
    """Returns trees with many equal names, equal contents and odd names."""
    names = st.sampled_from(["a.jpg", "b.JPG", "a (2).jpg", "=1+1\n.png", "\U0001f600.webp", "x\udcff.jpg", "-.gif"])
    folders = st.lists(st.sampled_from(["d", "e", "d d", "woman"]), max_size=2)
    paths = st.builds(lambda above, name: "/".join([*above, name]), folders, names)
    return st.dictionaries(paths, st.tuples(st.sampled_from(ANSWERS), st.sampled_from([b"", b"1", b"2"])), max_size=10)


MODES = ("copy", "move", "hardlink", "symlink")


posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def run_sort(
    predictions: Iterable[tuple[str, Prediction]],
    options: SortOptions,
    *,
    report: Callable[[str], None] | None = None,
    plan: Callable[[str], None] | None = None,
) -> SortTally:
    """Sorts pictures by predictions that are there already, as the command does by those of its model."""
    with Sorter(options, report=report, plan=plan) as sorter:
        for path, prediction in predictions:
            if not sorter.holds(path):
                sorter.put(path, prediction)
        return sorter.tally


def sort(root: Path, mode: str = "copy", **options: Any) -> SortTally:
    return run_sort(classified(root / "src"), SortOptions(str(root / "src"), str(root / "dst"), mode, **options))


def placed(root: Path) -> set[str]:
    return {name for name, what in snapshot(root / "dst").items() if what != "folder"}


TREE: Tree = {
    "a.jpg": ("female", b"1"),
    "b/a.jpg": ("female", b"2"),
    "b/same.jpg": ("male", b"3"),
    "c/same.jpg": ("male", b"3"),
    "d.jpg": ("uncertain", b""),
    "e.jpg": ("unreadable", b""),
    "f.jpg": ("no_face", b""),
    "g.jpg": ("mixed", b""),
}


def two_places(tmp_path: Path) -> tuple[Path, Path]:
    memory = Path("/dev/shm")
    if not memory.is_dir() or os.stat(memory).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    return tmp_path, Path(tempfile.mkdtemp(dir=memory))


def across(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_device(src: str, dst: str, **options: Any) -> None:
        if ("/src/" in str(src)) != ("/src/" in str(dst)):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        original[0](src, dst, **options)

    original = [os.link]
    monkeypatch.setattr(os, "link", other_device)
    monkeypatch.setattr(os, "replace", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EXDEV, "cross-device")))


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[Path]:
    """Mounts something at a folder, which is made if need be; skips where only others may."""
    at.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, *arguments, str(at)], capture_output=True, check=False).returncode:
        pytest.skip(f"cannot mount {' '.join(arguments)} here")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def yes(announcement: str) -> bool:
    """Confirms what a journal would do."""
    return True


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError("it hangs")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
