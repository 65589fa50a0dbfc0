"""CPUs are counted by what this process may use, not by what the host has."""

from __future__ import annotations

import os
import threading

import pytest

from gender_classifier.runtime import threads


@pytest.fixture
def cgroup(tmp_path):
    root = tmp_path / "cgroup"
    root.mkdir()
    membership = tmp_path / "self"
    membership.write_text("0::/outer/inner\n")
    return root, membership


def quota(cgroup):
    return threads._cgroup_quota(*cgroup)


def test_no_quota(cgroup):
    assert quota(cgroup) is None
    (cgroup[0] / "cpu.max").write_text("max 100000\n")
    assert quota(cgroup) is None


def test_version_2_quota(cgroup):
    (cgroup[0] / "cpu.max").write_text("50000 100000\n")
    assert quota(cgroup) == 0.5


def test_the_tightest_level_counts(cgroup):
    root, _ = cgroup
    (root / "outer/inner").mkdir(parents=True)
    (root / "outer/cpu.max").write_text("150000 100000\n")
    (root / "outer/inner/cpu.max").write_text("max 100000\n")
    assert quota(cgroup) == 1.5


def test_version_1_quota(cgroup):
    root, membership = cgroup
    (root / "cpu,cpuacct/job").mkdir(parents=True)
    (root / "cpu,cpuacct/job/cpu.cfs_quota_us").write_text("200000\n")
    (root / "cpu,cpuacct/job/cpu.cfs_period_us").write_text("100000\n")
    membership.write_text("4:cpu,cpuacct:/job\n3:memory:/job\n")
    assert quota(cgroup) == 2.0


@pytest.mark.parametrize("content", ["", "-1 100000", "nonsense", "50000 0"])
def test_nonsense_is_no_quota(cgroup, content):
    (cgroup[0] / "cpu.max").write_text(content)
    assert quota(cgroup) is None


@pytest.mark.parametrize(("cpus", "expected"), [(0.5, 1), (1.0, 1), (1.5, 1), (1.8, 2), (2.0, 2), (3.9, 4), (64.0, 4)])
def test_default_threads(monkeypatch, cpus, expected):
    monkeypatch.setattr(threads, "available_cpus", lambda: cpus)
    assert threads.default_threads() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this platform")
def test_affinity_is_respected():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert threads.available_cpus() <= 1
        assert threads.default_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_threads_that_can_be_started_are_all_there():
    before = threading.active_count()
    assert threads.startable(1) == 1
    assert threads.startable(4) == 4
    assert threading.active_count() == before


@pytest.mark.parametrize("given", [0, 1, 3])
def test_where_one_cannot_be_started_the_network_has_the_callers_alone(monkeypatch, caplog, given):
    start, left = threading.Thread.start, iter(range(given))

    def scarce(thread):
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    assert threads.startable(4) == 1
    assert threads.startable(1) == 1
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("gender_classifier", "WARNING")
