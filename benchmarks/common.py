"""Describes the machine, measures whole processes, computes medians and ratios; shared by the benchmarks."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Run:
    """One finished process: wall seconds, CPU seconds, peak resident memory in MiB, exit code."""

    wall: float
    cpu: float
    peak_mib: float
    code: int


def machine() -> str:
    """Returns one line on the processor, its cores, and the versions that count."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    from gender_classifier.runtime.threads import available_cpus

    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("onnxruntime", "numpy", "Pillow"))
    return f"{model}, {available_cpus():g} CPUs usable, Python {platform.python_version()}, {packages}"


def measure(command: Sequence[str], *, env: dict[str, str] | None = None) -> Run:
    """Runs a command to its end, output thrown away, and returns what the kernel says it used."""
    null = os.open(os.devnull, os.O_RDWR)
    start = time.perf_counter()
    child = os.posix_spawn(
        command[0],
        list(command),
        {**os.environ, **(env or {})},
        file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)],
    )
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - start
    os.close(null)
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))


def interleaved(commands: dict[str, Sequence[str]], *, runs: int, warmup: int = 1) -> dict[str, list[Run]]:
    """Measures several commands in turn (A B A B ...), so that a machine's drift hits all alike."""
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(warmup + runs):
        for name, command in commands.items():
            run = measure(command)
            if run.code != 0:
                raise SystemExit(f"{name} ended with exit code {run.code}: {' '.join(command)}")
            if number >= warmup:
                found[name].append(run)
    return found


def median(runs: Sequence[Run], field: str) -> float:
    """Returns the median of one figure."""
    return statistics.median(getattr(run, field) for run in runs)


def paired_ratio(above: Sequence[Run], below: Sequence[Run], field: str) -> tuple[float, float, float]:
    """Returns minimum, median and maximum of the ratios of runs made one right after the other."""
    ratios = sorted(getattr(a, field) / getattr(b, field) for a, b in zip(above, below, strict=True))
    return ratios[0], statistics.median(ratios), ratios[-1]


@contextmanager
def cpu_quota(cpus: float) -> Iterator[Callable[[], None]]:
    """Makes a cgroup that may use so many CPUs; yields a function by which a child process joins it.

    Raises:
        OSError: If cgroups may not be made here (it takes root, or a delegated cgroup).
    """
    period = 100_000
    version_2 = (_CGROUPS / "cgroup.controllers").exists()
    folder = (_CGROUPS if version_2 else _CGROUPS / "cpu") / f"gender-classifier-{os.getpid()}"
    folder.mkdir()
    try:
        if version_2:
            (folder / "cpu.max").write_text(f"{round(cpus * period)} {period}", encoding="ascii")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(period), encoding="ascii")
            (folder / "cpu.cfs_quota_us").write_text(str(round(cpus * period)), encoding="ascii")

        def join() -> None:
            (folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

        yield join
    finally:
        folder.rmdir()
