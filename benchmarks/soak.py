"""A server asked thousands of things by several clients: its memory must not grow.

    python benchmarks/soak.py [--count 10000] [--clients 4] [--growth 50]

The server has the stub models of the tests, so that what is measured is ours: uploads as bodies and forms,
results, progress, junk, wrong addresses and names, erasures. Memory is that of the server, its worker and its
decoder together, from the end of the first tenth to the end. Fails (1) when it grows by more than --growth
MiB, when a request is answered with 500, or when a result is another photo's. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import requests
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from server_stub import Running, photo, running  # noqa: E402

MIB = 1 << 20
JUNK = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(2000)


def resident(pid: int) -> int:
    """Bytes that a process and its descendants hold alone."""
    process = psutil.Process(pid)
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total


def ask(server: Running, number: int) -> int:
    """One request, or one job with what belongs to it; the last status. Raises AssertionError."""
    session = requests
    address = server.url
    match number % 8:
        case 0 | 1:
            level = number % 60_000
            query = {"strength": 0, "scale": 2, "format": "png"}
            answer = session.post(f"{address}/v1/restore", params=query, data=photo(level), timeout=60)
            if answer.status_code == 200:
                colour = Image.open(io.BytesIO(answer.content)).convert("RGB").getpixel((300, 200))
                assert colour == (200, level % 256, level // 256), (colour, level)
        case 2:
            answer = session.post(
                f"{address}/v1/jobs", files={"file": ("a.png", photo(number % 60_000))}, timeout=60
            )
            if answer.status_code == 202:
                id = answer.json()["id"]
                session.get(f"{address}/v1/jobs/{id}/events", timeout=60)
                answer = session.delete(f"{address}/v1/jobs/{id}", timeout=60)
        case 3:
            answer = session.post(f"{address}/v1/jobs", data=JUNK, timeout=60)
        case 4:
            answer = session.get(f"{address}/v1/jobs/{number:032x}", timeout=60)
        case 5:
            answer = session.get(f"{address}/metrics", timeout=60)
        case 6:
            answer = session.get(f"{address}/invented/{number}", headers={"Host": f"h{number}"}, timeout=60)
        case _:
            answer = session.get(f"{address}/", timeout=60)
    return answer.status_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--growth", type=float, default=50.0)
    options = parser.parse_args()
    begun = time.perf_counter()
    faults: list[str] = []
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), retention_seconds=5.0) as server:
        server.ready()

        def one(number: int) -> None:
            try:
                status = ask(server, number)
            except (AssertionError, requests.RequestException) as error:
                faults.append(f"{number}: {error}")
                return
            statuses[status] += 1
            if status == 500:
                faults.append(f"{number}: 500")

        warm = options.count // 10
        with ThreadPoolExecutor(options.clients) as clients:
            list(clients.map(one, range(warm)))
            before = resident(server.process.pid)
            list(clients.map(one, range(warm, options.count)))
        after = resident(server.process.pid)
    growth = (after - before) / MIB
    if growth > options.growth:
        faults.append(f"memory grew by {growth:.0f} MiB")
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    figure = {
        "count": options.count,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "faults": len(faults),
        "before_mib": round(before / MIB),
        "growth_mib": round(growth, 1),
        "seconds": round(time.perf_counter() - begun),
    }
    print(json.dumps(figure))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
