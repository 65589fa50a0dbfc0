"""``--output`` and ``--resume`` as people use them: stopped in the middle, gone on with, and nothing is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from support import ROOT, heed_interrupts, tiny_bundle

COUNT = 80

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("t")
    (root / "pictures").mkdir()
    for number in range(COUNT):
        picture = Image.new("RGB", (500, 500), (255, number, 0) if number % 2 else (number, 255, 0))
        picture.save(root / "pictures" / f"{number:03}.png")
    (root / "pictures/broken\n.jpg").write_bytes(b"\xff\xd8\xff")
    os.mkfifo(root / "pictures/fifo")
    command = [sys.executable, str(ROOT / "gender_classifier.py"), str(root / "pictures"), str(root / "gone.jpg")]
    return [*command, "--model", str(tiny_bundle(root)), "--workers", "1", "--threads", "1", "--output"]


def lines(path: Path) -> Counter[bytes]:
    return Counter(path.read_bytes().splitlines())


@pytest.mark.parametrize(("which", "expected"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_and_gone_on_with(command, tmp_path, which, expected):
    one, stopped = tmp_path / "one.jsonl", tmp_path / "stopped.jsonl"
    done = subprocess.run([*command, str(one)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    tally = next(line for line in done.stderr.splitlines() if f"{COUNT + 3} pictures" in line)
    assert "3 failed (1 not a file, 1 not found, 1 unreadable)" in tally

    process = subprocess.Popen([*command, str(stopped)], stderr=subprocess.PIPE, preexec_fn=heed_interrupts)
    while process.poll() is None and not (stopped.exists() and stopped.read_bytes().count(b"\n") >= 10):
        time.sleep(0.001)
    process.send_signal(which)
    _, err = process.communicate()
    assert process.returncode == expected
    assert b"Traceback" not in err
    kept = stopped.read_bytes()
    assert kept.endswith(b"\n")
    assert 10 <= kept.count(b"\n") < COUNT
    assert not lines(stopped) - lines(one)

    again = subprocess.run([*command, str(stopped), "--resume"], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert stopped.read_bytes().startswith(kept)
    assert lines(stopped) == lines(one)
    assert tally.rstrip(".") in again.stderr
    assert f"{kept.count(chr(10).encode())} of them held already" in again.stderr
    paths = [json.loads(line)["path"] for line in one.read_bytes().splitlines()]
    assert paths[:-1] == sorted(paths[:-1])
    assert paths[-1].endswith("gone.jpg")
