"""The memory that pictures under way may take together."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from gender_classifier.runtime import load, memory, pipeline
from gender_classifier.runtime.memory import Budget, available_memory
from support import ROOT, TinyModel, tiny_bundle

MEBI = 1 << 20
CGROUP = Path("/sys/fs/cgroup/memory")


def test_nothing_limits_a_budget_of_none() -> None:
    budget = Budget(None)
    with budget.share() as first, budget.share() as second:
        first(1 << 50)
        second(1 << 50)


def test_a_claim_waits_until_there_is_room_again() -> None:
    budget, done = Budget(100), threading.Event()

    def second() -> None:
        with budget.share() as claim:
            claim(60)
            done.set()

    with budget.share() as claim:
        claim(60)
        thread = threading.Thread(target=second)
        thread.start()
        assert not done.wait(0.2)
    assert done.wait(10)
    thread.join()


def test_what_needs_more_than_all_of_it_gets_it_alone() -> None:
    budget = Budget(100)
    with budget.share() as claim:
        claim(1000)
    with budget.share() as claim:  # it was given back
        claim(100)


def test_a_share_is_given_back_when_the_picture_fails() -> None:
    budget = Budget(100)

    def fail() -> None:
        with budget.share() as claim:
            claim(100)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with budget.share() as claim:
        claim(100)


@pytest.mark.parametrize(
    ("file", "text", "limited"),
    [
        ("memory.max", "max\n", False),
        ("memory.max", f"{400 * MEBI}\n", True),
        ("memory/memory.limit_in_bytes", f"{400 * MEBI}\n", True),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", False),
    ],
)
def test_the_limit_of_the_cgroup_is_read(tmp_path, monkeypatch, file, text, limited) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    room = available_memory(tmp_path, tmp_path / "none")
    assert (room is not None) == limited
    if limited:
        assert room is not None
        assert 0 < room < 400 * MEBI


def test_the_tightest_cgroup_on_the_way_to_the_root_counts(tmp_path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n")
    (tmp_path / "a" / "memory.max").write_text(f"{300 * MEBI}\n")
    (tmp_path / "membership").write_text("0::/a/b\n")
    room = available_memory(tmp_path, tmp_path / "membership")
    assert room is not None
    assert room < 300 * MEBI


def test_large_pictures_are_decoded_one_at_a_time_where_memory_is_short(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "available_memory", lambda: 100 * 100 * 8)
    classifier = load(tiny_bundle(tmp_path, TinyModel()))
    decode, under_way, most = pipeline.decode, [0], [0]

    def slow(*arguments, claim, **options):
        def claimed(count: int) -> None:
            claim(count)
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
            time.sleep(0.02)
            under_way[0] -= 1

        return decode(*arguments, claim=claimed, **options)

    monkeypatch.setattr(pipeline, "decode", slow)
    file = io.BytesIO()
    Image.new("RGB", (100, 100), "red").save(file, "JPEG")
    answers = list(classifier.predict_many([file.getvalue()] * 8, workers=4))
    assert [answer.ok for answer in answers] == [True] * 8
    assert most == [1]
    monkeypatch.setattr(classifier.pipeline, "_memory", memory.Budget(None))
    list(classifier.predict_many([file.getvalue()] * 8, workers=4))
    assert most[0] > 1


@pytest.mark.skipif(
    not CGROUP.is_dir() or not os.access(CGROUP, os.W_OK), reason="needs a cgroup (version 1) to write to"
)
def test_large_pictures_are_answered_within_the_limit_of_a_container(tmp_path) -> None:
    """Six of 48 megapixels in 400 MiB; without a budget two of them at once are the end of the process."""
    with Image.open(ROOT / "examples" / "average-woman.jpg") as face:
        face.resize((6000, 8000)).save(tmp_path / "0.jpg")
    for number in range(1, 6):
        (tmp_path / f"{number}.jpg").hardlink_to(tmp_path / "0.jpg")
    group = CGROUP / f"gender-classifier-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(400 * MEBI))
        command = [sys.executable, str(ROOT / "gender_classifier.py"), "-q", "--workers", "2", str(tmp_path)]
        done = subprocess.run(
            ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group), *command],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    finally:
        group.rmdir()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("woman") == 6
