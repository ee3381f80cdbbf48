"""Archives: what kill -9 loses (nothing), what workers gain, and whether memory grows.

    python benchmarks/archive.py kills [--photos 2000] [--kills 20] [--seed 0]

`kills` makes a folder of photos of which one in twenty is bad, restores it by the command, without models,
and kills the command, alone or with all of its processes, at random moments; then it lets it end, counts, and
runs it once more. Every figure is checked; the program fails where one is wrong.

`throughput` restores the same photos with real models by local processes and by Ray, with one and with two
workers, in turns. Each run has as many of the machine's cores as workers, all of its processes included, and
its rate is that after the first photos, when models are open. Results are compared byte for byte.

`memory` runs the command on folders of several lengths and prints the largest memory of all of its processes
together (unique set sizes) and the share of the last folder's that the first one's is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

ENGINES = {"local": ("--processes", "1"), "processes": ("--processes", "2"), "ray": ("--ray",)}
LIGHT = ("--model", "none", "--scene", "none", "--scale", "1")
BAD_SHARE = 20
SIDE = 96


def make_photos(folder: Path, count: int, seed: int, side: int = SIDE) -> int:
    """Small photos in folders of 100, one in BAD_SHARE bad in one of four ways; how many are bad."""
    draw = np.random.default_rng(seed)
    bad = 0
    for number in range(count):
        path = folder / f"{number // 100:04}" / f"{number:06}.{'png' if number % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = draw.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path)
        if number % BAD_SHARE == BAD_SHARE - 1:
            whole = path.read_bytes()
            kinds = (whole[: len(whole) // 2], b"", b"this is no picture", whole[:20] + os.urandom(200))
            path.write_bytes(kinds[bad % len(kinds)])
            bad += 1
    return bad


def command(source: Path, out: Path, *more: str) -> list[str]:
    code = "import sys; from revisage.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, "restore", str(source), "-o", str(out), "--resume", *more]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    )


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def agent(process: psutil.Process) -> bool:
    try:
        return "Agent" in process.name() or "agent" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def results(out: Path) -> list[Path]:
    inside = (path for path in out.rglob("*") if path.is_file())
    return sorted(path for path in inside if ".revisage" not in path.relative_to(out).parts)


def kills(photos: int, count: int, engine: str, seed: int) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "in", Path(name) / "out"
        bad = make_photos(source, photos, seed)
        arguments = command(source, out, *LIGHT, *ENGINES[engine])
        done = []
        for turn in range(count):
            # Every fourth kill meets the start, the others the work, after a share of what is to be done.
            seconds = draw.uniform(0.0, 3.0) if turn % 4 == 3 else 600.0
            victims = kill(arguments, draw.randint(1, max(1, photos // count - 1)), seconds, draw)
            assert victims, "the run ended before it was killed: take more photos"
            # Ray's two agents, which restore nothing, look only now and then whether their node is alive.
            lasting = [victim for victim in victims if not agent(victim)]
            _, alive = psutil.wait_procs(lasting, timeout=60)
            assert not alive, f"processes outlive the command: {alive}"
            done.append(len(results(out)))
        begin = time.monotonic()
        last = subprocess.run(arguments, capture_output=True, text=True, env=environment(), check=False)
        whole = time.monotonic() - begin
        assert last.returncode == 1, last.stderr  # the bad ones
        check(source, out, photos, bad)
        stamps = {path: path.stat().st_mtime_ns for path in results(out)}
        begin = time.monotonic()
        again = subprocess.run(arguments, capture_output=True, text=True, env=environment(), check=False)
        assert again.returncode == 1, again.stderr
        assert again.stdout == "", again.stdout
        assert f"0 restored, 0 failed, {photos - bad:,} done before" in again.stderr, again.stderr
        assert stamps == {path: path.stat().st_mtime_ns for path in results(out)}
        print(
            f"{engine}: {photos} photos, {bad} bad, {count} kills (results after each: {done}); the last run "
            f"{whole:.1f} s, one more {time.monotonic() - begin:.1f} s. Results {photos - bad}, recorded "
            f"failures {bad}, partial files 0, done again by the last run 0"
        )


def kill(arguments: Sequence[str], photos: int, seconds: float, draw: random.Random) -> list[psutil.Process]:
    """Start a run and kill it after so many photos or seconds: the driver alone, or all of its processes."""
    process = start(arguments)
    assert process.stdout is not None
    told = 0

    def count() -> None:
        nonlocal told
        for _ in process.stdout or ():
            told += 1

    reader = threading.Thread(target=count)
    reader.start()
    until = time.monotonic() + seconds
    while told < photos and time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    victims = [] if process.poll() is not None else family(psutil.Process(process.pid))
    for victim in victims if draw.random() < 0.5 else victims[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
    process.wait()
    reader.join()
    return victims


def check(source: Path, out: Path, photos: int, bad: int) -> None:
    """Results and recorded failures are the inputs, and every result is whole."""
    found = results(out)
    assert not [path for path in found if path.suffix == ".part"], found
    assert len(found) == photos - bad, (len(found), photos, bad)
    for path in found:
        with Image.open(path) as picture:
            picture.load()
            assert picture.size == (SIDE, SIDE), path
    with contextlib.closing(sqlite3.connect(out / ".revisage" / "manifest.sqlite")) as manifest:
        rows = manifest.execute("SELECT target, reason, entry FROM photos").fetchall()
    reasons = Counter(reason for _, reason, _ in rows if reason)
    assert sum(reasons.values()) == bad, (reasons, bad)
    restored = {target for target, reason, _ in rows if reason is None}
    assert restored == {path.relative_to(out).as_posix() for path in found}
    sources = {json.loads(entry)["input"] for _, _, entry in rows}
    assert sources == {str(path) for path in source.rglob("*") if path.is_file()}


WARM = 4
"""Photos for each worker before the clock starts."""


def one_run(source: Path, out: Path, engine: str, workers: int, scene: str) -> float:
    """Photos per second of one engine in this process, which has the cores that it is to use."""
    from revisage.batch import SaveOptions, make_restorer, plan_photos, shared_memory
    from revisage.batch.engines import processes, ray
    from revisage.restore import RestoreOptions, Settings

    settings = shared_memory(Settings(scene=scene, memory=1024))
    jobs = plan_photos([source], out)
    work = processes.Work(partial(make_restorer, settings), RestoreOptions(), SaveOptions(), 2, 1)
    times = []
    with contextlib.ExitStack() as opened:
        if engine == "ray":
            opened.enter_context(ray.connected())
            pool = ray.pool(workers, "cpu")
            outcomes = ray.restore_all(jobs, work, pool, settings.limits)
        else:
            outcomes = processes.restore_all(jobs, work, processes=workers)
        for outcome in outcomes:
            assert outcome.error is None, outcome.error
            times.append(time.perf_counter())
    warm = WARM * workers
    return (len(times) - warm) / (times[-1] - times[warm - 1])


def throughput(photos: int, rounds: int, scene: str) -> None:
    available = sorted(os.sched_getaffinity(0))
    portrait = Image.open(Path(__file__).parents[1] / "examples" / "portrait.jpg").convert("RGB")
    ways = [(engine, workers) for workers in (1, 2) for engine in ("processes", "ray")]
    rates: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "in").mkdir()
        for number in range(photos):
            portrait.rotate(number / photos * 10 - 5, Image.Resampling.BICUBIC).save(
                root / "in" / f"{number}.jpg", quality=90
            )
        for _ in range(rounds):
            for engine, workers in ways:
                out = root / f"{engine}-{workers}"
                done = subprocess.run(
                    [
                        sys.executable,
                        __file__,
                        "run",
                        str(root / "in"),
                        str(out),
                        engine,
                        str(workers),
                        scene,
                    ],
                    preexec_fn=partial(os.sched_setaffinity, 0, available[:workers]),
                    env=environment(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
                rates[engine, workers].append(float(done.stdout.splitlines()[-1]))
        for path in sorted((root / "ray-1").iterdir()):
            for engine, workers in ways:
                assert path.read_bytes() == (root / f"{engine}-{workers}" / path.name).read_bytes(), path.name
    for (engine, workers), values in rates.items():
        print(f"{engine}, {workers} workers: " + ", ".join(f"{value:.3f}" for value in values) + " photos/s")

    def ratio(first: tuple[str, int], second: tuple[str, int]) -> float:
        return statistics.median(a / b for a, b in zip(rates[first], rates[second], strict=True))

    print(f"Ray, two workers over one: {ratio(('ray', 2), ('ray', 1)):.2f}")
    print(f"processes, two over one: {ratio(('processes', 2), ('processes', 1)):.2f}")
    for workers in (1, 2):
        overhead = ratio(("processes", workers), ("ray", workers)) - 1
        print(f"Ray's overhead with {workers} workers: {overhead:.1%}; results equal to the byte")


def memory(counts: Sequence[int], engine: str) -> None:
    peaks = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            source, out = Path(name) / "in", Path(name) / "out"
            make_photos(source, count, 0)
            process = start([*command(source, out, *LIGHT, *ENGINES[engine])])
            assert process.stdout is not None
            reader = threading.Thread(target=process.stdout.read)  # so that the pipe does not fill
            reader.start()
            peak = 0
            while process.poll() is None:
                peak = max(peak, unique(psutil.Process(process.pid)))
                time.sleep(0.1)
            reader.join()
            assert process.returncode == 1, process.returncode
            peaks.append(peak)
            print(f"{engine}, {count:,} photos: {peak / 2**20:.0f} MiB")
    print(f"{counts[-1]:,} photos over {counts[0]:,}: {peaks[-1] / peaks[0]:.2f}")


def unique(process: psutil.Process) -> int:
    """Bytes that a process and its descendants have for themselves."""
    total = 0
    for member in family(process):
        with contextlib.suppress(psutil.Error):
            total += member.memory_full_info().uss
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    parts = commands.add_parser("kills")
    parts.add_argument("--photos", type=int, default=2000)
    parts.add_argument("--kills", type=int, default=20)
    parts.add_argument("--engine", choices=ENGINES, default="local")
    parts.add_argument("--seed", type=int, default=0)
    parts = commands.add_parser("throughput")
    parts.add_argument("--photos", type=int, default=40)
    parts.add_argument("--rounds", type=int, default=3)
    parts.add_argument("--scene", default="auto")
    parts = commands.add_parser("memory")
    parts.add_argument("--photos", type=int, nargs="+", default=[100, 2000])
    parts.add_argument("--engine", choices=ENGINES, default="local")
    parts = commands.add_parser("run")  # one run of `throughput`, in a process of its own
    parts.add_argument("source", type=Path)
    parts.add_argument("out", type=Path)
    parts.add_argument("engine")
    parts.add_argument("workers", type=int)
    parts.add_argument("scene")
    given = parser.parse_args()
    if given.command == "kills":
        kills(given.photos, given.kills, given.engine, given.seed)
    elif given.command == "throughput":
        throughput(given.photos, given.rounds, given.scene)
    elif given.command == "memory":
        memory(given.photos, given.engine)
    else:
        print(one_run(given.source, given.out, given.engine, given.workers, given.scene))


if __name__ == "__main__":
    main()
