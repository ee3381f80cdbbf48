"""Signals to end: what is in hand is finished and reported, and a second signal ends at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

PROGRAM = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
from restore_stubs import StubModels, twice
from revisage.cli import main, restore as command
from revisage.restore import Restorer

done = []

def scene(picture):
    time.sleep(float(sys.argv[2]) if done else 0)
    done.append(picture)
    return twice(picture)

models = StubModels(scene=scene)
signal.signal(signal.SIGINT, signal.default_int_handler)  # as for a job in the foreground
for number in (signal.SIGHUP, signal.SIGTERM):  # what started the tests may ignore them, as nohup does
    signal.signal(number, signal.SIG_DFL)
command.Restorer = lambda *args, **kwargs: Restorer(models=models)
sys.exit(main(sys.argv[3:]))
"""


def started(folder: Path, seconds: float, report: Path) -> subprocess.Popen[str]:
    """A run over six photos of which each takes `seconds` but the first, once that is done."""
    (folder / "in").mkdir()
    for number in range(6):
        Image.new("RGB", (40, 30)).save(folder / "in" / f"{number}.png")
    arguments = [
        "restore",
        str(folder / "in"),
        "-o",
        str(folder / "out"),
        "--report",
        str(report),
        "--workers",
        "1",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(seconds), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    assert "0.png" in process.stdout.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("name", ["report.json", "report.jsonl"])
def test_a_signal_leaves_a_report_with_every_photo_that_was_done(
    tmp_path: Path, number: signal.Signals, name: str
) -> None:
    process = started(tmp_path, 0.3, tmp_path / name)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number, said
    text = (tmp_path / name).read_text()
    entries = (
        json.loads(text)["photos"] if name == "report.json" else list(map(json.loads, text.splitlines()))
    )
    done = sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert sorted(entry["output"] for entry in entries) == done
    assert 1 <= len(done) < 6
    assert "interrupted before" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_the_report_has_what_was_done_before(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = started(tmp_path, 60.0, tmp_path / "r.json")
    process.send_signal(number)
    assert process.stderr is not None
    assert "again stops at once" in process.stderr.readline()
    time.sleep(0.3)
    process.send_signal(number)
    process.communicate(timeout=30)  # not after the photo under way
    assert process.returncode == -number
    assert [Path(e["input"]).name for e in json.loads((tmp_path / "r.json").read_text())["photos"]] == [
        "0.png"
    ]
