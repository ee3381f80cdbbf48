"""The server under load, under kills and under hostile input. Each part prints figures and fails on a fault.

    python benchmarks/server.py clients  [--clients 20] [--requests 500] [--workers 2]
    python benchmarks/server.py kills    [--worker-kills 50] [--server-kills 20]
    python benchmarks/server.py overload [--seconds 60]
    python benchmarks/server.py hostile  [--folder DIR]

`clients`, `kills` and `hostile` use the stub models of the tests, `overload` the installed ones.
Everything goes to a server of its own on a free port of this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import statistics
import struct
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import requests
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from server_stub import photo, running  # noqa: E402

from revisage.server.client import Client, ServerError  # noqa: E402
from revisage.server.options import JobOptions  # noqa: E402

PLAIN = JobOptions(strength=0, scale="2")
MIB = 2**20


def colour_of(level: int) -> tuple[int, int, int]:
    return (200, level % 256, level // 256 % 256)


def found(data: bytes) -> object:
    """The colour of a whole result; it tells which photo it was made of."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.size == (440, 240), picture.size
    return picture.getpixel((300, 200))


def resident(pid: int) -> int:
    """Bytes of a process and its children."""
    process = psutil.Process(pid)
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


def clients(count: int, each: int, workers: int) -> bool:
    """Every answer is checked against its own photo."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), workers=workers, retention_seconds=0.0) as server,
    ):
        server.ready()
        errors: list[str] = []
        mixed: list[int] = []
        seconds: list[float] = []
        memory = [0]

        def user(number: int) -> None:
            client = Client(server.url, patience=600)
            for turn in range(each):
                level = number * each + turn
                start = time.perf_counter()
                try:
                    data = client.restore(photo(level), PLAIN).data
                except ServerError as error:
                    errors.append(str(error))
                    continue
                seconds.append(time.perf_counter() - start)
                if found(data) != colour_of(level):
                    mixed.append(level)
                if len(seconds) == 500:
                    memory[0] = resident(server.process.pid)

        start = time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(user, range(count)))
        took = time.perf_counter() - start
        memory.append(resident(server.process.pid))
        time.sleep(2)  # the last ones are erased after their answer
        left = len(list((Path(folder) / "jobs").iterdir()))
    ordered = sorted(seconds)
    print(f"{count} clients x {each} requests, {workers} workers: {len(seconds) / took:.1f} requests/s")
    print(
        f"errors {len(errors)}, mixed up {len(mixed)}, median {statistics.median(ordered):.3f} s,"
        f" 99 % within {ordered[int(0.99 * len(ordered))]:.3f} s"
    )
    print(
        f"memory after 500 requests {memory[0] / MIB:.0f} MiB, after {len(seconds)}"
        f" {memory[-1] / MIB:.0f} MiB; jobs left on disk {left}"
    )
    return not errors and not mixed and (memory[-1] - memory[0] < 100 * MIB or len(seconds) <= 500)


class Load:
    """Hands photos in and looks at results, in threads, until told to stop or the server is gone."""

    def __init__(self, url: str, first: int, accepted: dict[str, int], partial: list[str]) -> None:
        self._client, self._first = Client(url, patience=0), first
        self._accepted, self._partial = accepted, partial
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._hand_in, self._look)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _hand_in(self) -> None:
        for level in range(self._first, self._first + 10_000):
            if self._stop.is_set():
                return
            try:
                self._accepted[self._client.submit(photo(level), PLAIN).id] = level
            except ServerError as error:
                if error.status != 429:
                    return
                time.sleep(0.2)

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            for id, level in random.sample(list(self._accepted.items()), min(len(self._accepted), 5)):
                with contextlib.suppress(ServerError):  # not done yet
                    data = self._client.result(id)
                    try:
                        right = found(data) == colour_of(level)
                    except (OSError, AssertionError):
                        right = False
                    if not right:
                        self._partial.append(id)


def kills(worker_kills: int, server_kills: int) -> bool:
    """SIGKILL at random moments under load; at the end every accepted job must be done, and right."""
    draw = random.Random(0)
    accepted: dict[str, int] = {}
    partial: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(server_kills + 1):
            left = worker_kills // (server_kills + 1) + (turn < worker_kills % (server_kills + 1))
            with running(Path(folder), workers=2) as server:
                load = Load(server.url, 10_000 * turn, accepted, partial)
                while left:
                    wait_until_busy(server.url)
                    time.sleep(draw.uniform(0.1, 2.5))
                    victims = server.workers()
                    if victims:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(draw.choice(victims), signal.SIGKILL)
                            left -= 1
                wait_until_busy(server.url)
                time.sleep(draw.uniform(0.1, 2.5))
                if turn < server_kills:
                    os.kill(server.process.pid, signal.SIGKILL)
                load.stop()
                if turn == server_kills:
                    lost = [id for id, level in accepted.items() if not is_right(server.client, id, level)]
    print(f"{worker_kills} workers and {server_kills} servers killed, {len(accepted)} jobs accepted")
    print(f"lost {len(lost)}, partial or wrong results seen {len(partial)}")
    return not lost and not partial


def wait_until_busy(url: str) -> None:
    """Until a worker has a job in hand."""
    while 'revisage_jobs{state="running"} 0' in requests.get(url + "/metrics", timeout=60).text:
        time.sleep(0.05)


def is_right(client: Client, id: str, level: int) -> bool:
    status = client.wait(id, seconds=900)
    if status.state != "done":
        print(f"{id}: {status.state}: {status.error}")
        return False
    return found(client.result(id)) == colour_of(level)


def overload(seconds: float) -> bool:
    """Twice as many photos as the machine can restore: what is accepted ends, the rest is refused at once."""
    data = (ROOT / "examples" / "portrait.jpg").read_bytes()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), models="real_models", queue=8, job_seconds=600.0) as server,
    ):
        server.ready(300)
        Client(server.url).restore(data)
        start = time.perf_counter()
        for _ in range(3):
            Client(server.url).restore(data)
        pace = (time.perf_counter() - start) / 3
        accepted: list[str] = []
        refused: list[float] = []
        odd: list[str] = []
        lock = threading.Lock()

        def hand_in() -> None:
            begun = time.perf_counter()
            answer = requests.post(server.url + "/v1/jobs", data=data, timeout=60)
            took = time.perf_counter() - begun
            with lock:
                if answer.status_code == 202:
                    accepted.append(answer.json()["id"])
                elif answer.status_code == 429 and "retry-after" in answer.headers:
                    refused.append(took)
                else:
                    odd.append(answer.text)

        with ThreadPoolExecutor(32) as pool:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                pool.submit(hand_in)
                time.sleep(pace / 2)
        states = [server.client.wait(id, seconds=600).state for id in accepted]
    print(f"one photo takes {pace:.2f} s; one offered every {pace / 2:.2f} s for {seconds:g} s")
    print(f"accepted {len(accepted)}, of these done {states.count('done')}; other answers {len(odd)}")
    if refused:
        refused.sort()
        print(
            f"refused {len(refused)}, each within {refused[-1]:.3f} s"
            f" (median {statistics.median(refused):.3f} s)"
        )
    return states.count("done") == len(accepted) and not odd


def bombs() -> dict[str, bytes]:
    """Twenty small files that are large once opened."""

    def png(width: int, height: int, *chunks: bytes) -> bytes:
        head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + _chunk(b"IEND", b"")

    zeros = zlib.compress(bytes(200 * MIB), 9)
    made = {
        f"{side}x{side}.png": png(side, side, _chunk(b"IDAT", zeros[:1000]))
        for side in (7_072, 30_000, 2**31 - 1)
    }
    made["text.png"] = png(8, 8, _chunk(b"zTXt", b"Comment\0\0" + zeros))
    made["itxt.png"] = png(8, 8, _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros))
    made["profile.png"] = png(8, 8, _chunk(b"iCCP", b"p\0\0" + zeros))
    made["many-texts.png"] = png(8, 8, *[_chunk(b"zTXt", b"C\0\0" + zlib.compress(bytes(MIB), 9))] * 100)
    made["long-data.png"] = png(100, 100, _chunk(b"IDAT", zeros))
    made["wide.png"] = png(50_000_001, 1, _chunk(b"IDAT", zeros))
    frames = io.BytesIO()
    dot = Image.new("L", (4, 4))
    dot.save(
        frames, "PNG", save_all=True, append_images=[Image.new("L", (4, 4), n % 2) for n in range(40_000)]
    )
    made["40000-frames.png"] = frames.getvalue()
    webp = io.BytesIO()
    dot.convert("RGB").save(
        webp,
        "WEBP",
        save_all=True,
        append_images=[Image.new("RGB", (4, 4), (n % 2,) * 3) for n in range(2_000)],
    )
    made["frames.webp"] = webp.getvalue()
    tiff = io.BytesIO()
    dot.save(tiff, "TIFF", save_all=True, append_images=[dot] * 2_000)
    made["pages.tif"] = tiff.getvalue()
    for format, name in (("JPEG", "large.jpg"), ("WEBP", "large.webp"), ("BMP", "small.bmp")):
        stream = io.BytesIO()
        Image.new("L", (16_000, 16_000) if format != "BMP" else (100, 100)).convert(
            "RGB" if format == "WEBP" else "L"
        ).save(stream, format)
        made[name] = stream.getvalue()
    bmp = bytearray(made.pop("small.bmp"))
    struct.pack_into("<ii", bmp, 18, 60_000, 60_000)
    made["claims.bmp"] = bytes(bmp)
    made["offset.tif"] = b"II*\0" + struct.pack(
        "<IHHHIII", 8, 1, 256, 4, 1, 1, 8
    )  # its directory follows itself
    made["box.heic"] = struct.pack(">I4s4sI4s", 2**32 - 1, b"ftyp", b"heic", 0, b"mif1") + bytes(64)
    made["box.avif"] = (
        struct.pack(">I4s4sI4s", 20, b"ftyp", b"avif", 0, b"avif") + b"\xff\xff\xff\xffmeta" * 8
    )
    made["endless.jpg"] = b"\xff\xd8" + b"\xff\xe1\xff\xff" + bytes(65_533) * 20
    made["comments.jpg"] = b"\xff\xd8" + (b"\xff\xfe\xff\xff" + bytes(65_533)) * 200
    assert len(made) == 20, len(made)
    return made


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def hostile(folder: Path) -> bool:
    """Each file gets its picture or a typed error, and the server lives."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())} | bombs()
    names = [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        "/etc/passwd",
        "a\0b.jpg",
        "%2e%2e%2f",
        "~/.ssh/id",
        "con",
        ".",
    ]
    with tempfile.TemporaryDirectory() as place, running(Path(place), workers=2) as server:
        server.ready()
        worst = resident(server.process.pid)

        def send(item: tuple[int, tuple[str, bytes]]) -> tuple[str, int, str]:
            number, (name, data) = item
            query = {"scale": "1", "name": names[number % len(names)]}
            answer = requests.post(server.url + "/v1/restore", params=query, data=data, timeout=400)
            typed = answer.headers.get("content-type") == "application/problem+json"
            return (
                name,
                answer.status_code,
                answer.json()["code"] if typed else "picture" if answer.ok else "untyped",
            )

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(send, enumerate(files.items())))
        alive = server.process.poll() is None and server.client.restore(photo(), PLAIN)
        deaths = server.log().count("another is started")
        worst = max(worst, resident(server.process.pid))
        outside = [path for path in Path(place).iterdir() if not path.name.startswith(("jobs", "log"))]
    for name, status, code in answers[-20:]:  # the bombs
        print(f"{name:<24} {status} {code}")
    codes = [f"{status} {code}" for _, status, code in answers]
    print(", ".join(f"{codes.count(code)} x {code}" for code in sorted(set(codes))))
    print(
        f"{len(files)} files; workers that died {deaths}; files out of place {len(outside)};"
        f" memory {worst / MIB:.0f} MiB"
    )
    return (
        bool(alive) and not outside and all(status < 500 and code != "untyped" for _, status, code in answers)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("clients")
    part.add_argument("--clients", type=int, default=20)
    part.add_argument("--requests", type=int, default=500)
    part.add_argument("--workers", type=int, default=2)
    part = parts.add_parser("kills")
    part.add_argument("--worker-kills", type=int, default=50)
    part.add_argument("--server-kills", type=int, default=20)
    part = parts.add_parser("overload")
    part.add_argument("--seconds", type=float, default=60)
    part = parts.add_parser("hostile")
    part.add_argument("--folder", type=Path, default=ROOT.parent / "shared" / "data" / "hostile")
    options = parser.parse_args()
    match options.part:
        case "clients":
            good = clients(options.clients, options.requests, options.workers)
        case "kills":
            good = kills(options.worker_kills, options.server_kills)
        case "overload":
            good = overload(options.seconds)
        case _:
            good = hostile(options.folder)
    sys.exit(0 if good else "FAULT")


if __name__ == "__main__":
    main()
