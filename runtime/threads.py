"""How many CPUs this process may really use.

``os.cpu_count()`` counts the host's cores, also inside a container that may use half of one. A thread pool sized by it
is slower than no pool at all. Three limits count: CPU affinity, the cgroup's quota, and what helps at all.
"""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Final

from .log import logger

__all__ = [
    "CGROUP_ROOT",
    "MAX_DEFAULT_THREADS",
    "SELF_CGROUP",
    "available_cpus",
    "cgroup_folders",
    "default_threads",
    "startable",
]

MAX_DEFAULT_THREADS = 4
"""Beyond four intra-op threads, latency of one picture hardly falls while CPU time rises."""

CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
SELF_CGROUP: Final = Path("/proc/self/cgroup")


def available_cpus() -> float:
    """Returns the CPUs this process may use: the smaller of affinity and cgroup quota, at least 0.01.

    A fraction is kept (a container with half a CPU has 0.5), because callers round in different directions.
    """
    affinity = float(_affinity())
    quota = _cgroup_quota(CGROUP_ROOT, SELF_CGROUP)
    return affinity if quota is None else max(0.01, min(affinity, quota))


def default_threads() -> int:
    """Returns the intra-op thread count used unless told otherwise: 1 to :data:`MAX_DEFAULT_THREADS`."""
    return max(1, min(MAX_DEFAULT_THREADS, math.floor(available_cpus() + 0.25)))


def startable(threads: int) -> int:
    """Returns so many threads, or 1 where the system does not give as many beside this one.

    They are started for a moment: onnxruntime hangs or ends the process when one of its own cannot be, and one thread
    is all that it never starts.
    """
    if threads == 1:
        return 1
    enough = threading.Event()
    others: list[threading.Thread] = []
    try:
        for _ in range(threads):  # one more than it takes
            thread = threading.Thread(target=enough.wait, daemon=True)
            thread.start()
            others.append(thread)
    except RuntimeError:
        logger.warning("No more than %d threads can be started; the network runs in one.", len(others))
        return 1
    finally:
        enough.set()
        for thread in others:
            thread.join()
    return threads


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def _cgroup_quota(root: Path, membership: Path) -> float | None:
    """Returns the tightest CPU quota on the way from this process's cgroup to the root, or ``None``.

    Version 2 has ``cpu.max`` ("max 100000" or "50000 100000"); version 1 has ``cpu.cfs_quota_us`` (-1 for none) and
    ``cpu.cfs_period_us``. A parent's quota binds its children, so every level counts.
    """
    folders = cgroup_folders("cpu", root, membership)
    quotas = [quota for folder in folders if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def cgroup_folders(controller: str, root: Path = CGROUP_ROOT, membership: Path = SELF_CGROUP) -> list[Path]:
    """Returns every folder whose limits on ``cpu`` or ``memory`` bind this process, of cgroup version 1 or 2."""
    folders = [root, root / controller, root / "cpu,cpuacct"]
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return folders
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base = root
        elif controller in controllers.split(","):
            base = root / controllers
        else:
            continue
        folder = base / path.lstrip("/")
        while folder != base and base in folder.parents:
            folders.append(folder)
            folder = folder.parent
    return folders


def _quota_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        if quota == "max" or float(quota) <= 0:
            return None
        return float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
