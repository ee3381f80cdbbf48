"""How fast a run goes, and when it will be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from revisage.batch import Job, Outcome
from revisage.cli._progress import Meter
from revisage.restore import Stage, overall


def test_the_time_left_of_one_photo_falls_by_tiles() -> None:
    now = 0.0
    meter = Meter(1, clock=lambda: now)
    told = []
    for tile in range(1, 11):
        now += 6 if tile == 4 else 4  # one takes longer
        told.append(meter.left(overall(Stage("scene", tile, 10))))
    assert told[:2] == ["", "0:00:45 left"]
    assert told[1:] == sorted(told[1:], reverse=True)
    assert len(set(told)) > 7


def test_the_meter_tells_rates_and_the_time_left() -> None:
    now = 0.0
    meter = Meter(1000, clock=lambda: now)
    job = Job(Path("a"), Path("b"))
    assert "left" not in meter.line()
    for number in range(1, 401):
        now = number * 0.5
        faces = [{"outcome": "restored"}, {"outcome": "skipped"}]
        meter.add(Outcome(job, {"faces": faces}, None if number % 4 else "bad"))
    assert meter.rates()[0] == pytest.approx(2.0, rel=0.02)
    assert meter.rates()[1] == pytest.approx(1.5, rel=0.02)
    assert meter.line() == "400 of 1,000: 2.00 photos/s, 1.49 faces/s, 100 failed, 0:05:00 left"
    for number in range(1, 201):  # of late it is ten times as slow, and the line soon says so
        now = 200 + number * 5
        meter.add(Outcome(job, {"faces": []}))
    assert meter.rates()[0] == pytest.approx(0.2, rel=0.05)
