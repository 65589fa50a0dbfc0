"""Measures what a long run costs beside the network: walking a tree, the results file, the journal of a sort.

python benchmarks/long_runs.py [--folder DIR] [--pictures 2000] [--lines 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from common import machine

from gender_classifier.gender_cli.inputs import Item, expand
from gender_classifier.gender_cli.resume import ResultsFile
from gender_classifier.gender_cli.sorting.command import SortOptions, undo
from gender_classifier.gender_cli.sorting.options import MODES
from gender_classifier.gender_cli.sorting.sorter import Sorter
from gender_classifier.runtime.prediction import Person, Prediction, Status

LABELS = ("female", "male", "uncertain")


def answer(path: str, number: int) -> Prediction:
    """Returns a prediction of the usual size, without looking at the picture."""
    label = LABELS[number % 3]
    person = Person(None, None, label, 0.8765432109, {"female": 0.8765432109, "male": 0.1234567891}, "Female")
    return Prediction.from_people(path, (person,))


def timed(what: str, count: int, action: Callable[[], object]) -> None:
    """Prints the wall time of an action, and its share of one picture."""
    start = time.perf_counter()
    action()
    seconds = time.perf_counter() - start
    print(f"{what:58}{seconds:8.2f} s{seconds / count * 1e6:10.1f} us each")


def peak(what: str, action: Callable[[], object]) -> None:
    """Prints the peak of what Python allocates in an action."""
    tracemalloc.start()
    action()
    print(f"{what:58}{tracemalloc.get_traced_memory()[1] / 2**20:8.1f} MiB")
    tracemalloc.stop()


def walking(folder: Path, count: int) -> None:
    """A tree with a thousand files a folder."""
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"t/{number // 1000:04}").mkdir(parents=True)
        (folder / f"t/{number // 1000:04}/{number:06}.jpg").touch()

    def walk() -> None:
        assert sum(1 for _ in expand([str(folder / "t")], recursive=True)) == count

    timed(f"walk {count} files", count, walk)
    peak(f"walk {count} files: peak memory", walk)


def results(folder: Path, count: int) -> None:
    """The results file: appending, and knowing its lines again."""
    path = folder / "results.jsonl"

    def append() -> None:
        with ResultsFile(path, resume=True) as file:
            for number, item in enumerate(file.missing(gone(count))):
                file.append(answer(item.path, number))

    timed(f"append {count} results", count, append)
    print(f"{'size of the file':58}{path.stat().st_size / 2**20:8.1f} MiB")
    timed(f"resume, nothing to do, {count} results", count, append)
    peak(f"resume, {count} results: peak memory", append)


def gone(count: int) -> Iterator[Item]:
    """Inputs with a problem, so that no file is asked for its size: the cost of the file alone is measured."""
    return (Item(f"/home/user/Pictures/2019/{n:06}.jpg", (Status.NOT_FOUND, "")) for n in range(count))


def sorting(folder: Path, count: int, size: int, mode: str, *, sync: bool) -> None:
    """A whole sort, a second run that finds nothing to do, and its undo."""
    source, destination = folder / "src", folder / "dst"
    if not source.exists():
        source.mkdir()
        for number in range(count):
            (source / f"{number:06}.jpg").write_bytes(os.urandom(16) + bytes(size - 16))
    fsync = os.fsync
    if not sync:
        os.fsync = lambda descriptor: None  # type: ignore[assignment]
    name = f"{mode}{'' if sync else ', fsync left out'}"

    def sort() -> None:
        with Sorter(SortOptions(str(source), str(destination), mode)) as sorter:
            for n, item in enumerate(sorter.missing(expand([str(source)], recursive=True))):
                sorter.put(item.path, answer(item.path, n))
        assert sorter.tally.placed.total() == count, sorter.tally

    try:
        timed(f"sort {count} files of {size // 1024} KiB, {name}", count, sort)
        journal = destination / ".gender-classifier-journal.jsonl"
        if mode == "copy" and sync:
            print(f"{'size of the journal, per picture':58}{journal.stat().st_size / count:8.0f} bytes")
            json.loads(journal.read_text(encoding="ascii").splitlines()[0])
        timed(f"  the same again, nothing to do, {name}", count, sort)
        timed(f"  undo, {name}", count, lambda: undo(str(destination)))
    finally:
        os.fsync = fsync
    assert not destination.exists()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's temporary folder)")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--kib", type=int, default=512, help="size of a file to sort")
    parser.add_argument("--lines", type=int, default=100_000)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        walking(Path(temporary), arguments.lines)
        results(Path(temporary), arguments.lines)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        for mode in MODES:
            for sync in (True, False):
                sorting(Path(temporary), arguments.pictures, arguments.kib * 1024, mode, sync=sync)


if __name__ == "__main__":
    main()
