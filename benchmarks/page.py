"""First paint and weight of the server's web page, each time in a browser that has never seen it.

    python benchmarks/page.py [--loads 9]

It starts a server of its own; needs Playwright and Chromium. "first paint" is the browser's first contentful
paint, "largest" its largest one so far (the heading), "usable" when the button for photos can be pressed; all
from when the address was asked for. "plain text" is the first paint of /healthz, one line of the same server,
in turns with the page: what browser and machine take anyway. Bytes are all answers with their headers.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from playwright.sync_api import Browser, sync_playwright

PAINT = "performance.getEntriesByName('first-contentful-paint')[0]"
MEASURED = """async () => {
    const entries = (type) => new Promise((resolve) => {
        const observer = new PerformanceObserver((list) => resolve(list.getEntries()));
        observer.observe({ type, buffered: true });
    });
    const assets = ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type));
    return {
        'first paint': performance.getEntriesByName('first-contentful-paint')[0].startTime,
        'largest': (await entries('largest-contentful-paint')).at(-1).startTime,
        'usable': window.usable,
        'kB': assets.reduce((sum, { transferSize }) => sum + transferSize, 0) / 1000,
        'requests': assets.length,
    };
}"""
WATCHED = """new MutationObserver(() => {
    if (document.getElementById('files')) window.usable ??= performance.now();
}).observe(document, { childList: true, subtree: true });"""


def load(browser: Browser, url: str) -> dict[str, float]:
    """The figures of one load by a browser without a cache, times in milliseconds."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        plain = context.new_page()
        plain.goto(f"{url}/healthz", wait_until="load")
        plain.wait_for_function(f"() => {PAINT}")
        page = context.new_page()
        page.add_init_script(WATCHED)
        page.goto(url, wait_until="load")
        page.locator(".promises").wait_for()
        page.wait_for_timeout(300)
        return {"plain text": plain.evaluate(f"{PAINT}.startTime"), **page.evaluate(MEASURED)}
    finally:
        context.close()


def served(process: subprocess.Popen[str], seconds: float = 120) -> str:
    """The address of a server once it is ready for work."""
    assert process.stdout is not None
    url = next(line.split()[-1] for line in process.stdout if "http://" in line)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
            return url
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise TimeoutError(f"the server at {url} is not ready after {seconds:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loads", type=int, default=9, help="after one that warms the server up")
    loads = parser.parse_args().loads
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-u", "-m", "revisage", "serve", "--no-open", "--data", f"{folder}/data"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            url = served(process)
            figures = [load(browser, url) for _ in range(loads + 1)][1:]
        finally:
            browser.close()
            process.terminate()
            process.wait(60)
    for name in figures[0]:
        values = [one[name] for one in figures]
        spread = f"({min(values):.0f} to {max(values):.0f})"
        unit = "" if name in ("kB", "requests") else " ms"
        print(f"{name:<12} median {statistics.median(values):.0f}{unit}  {spread}")
    over = statistics.median(one["first paint"] - one["plain text"] for one in figures)
    print(f"first paint after that of plain text, by pairs: {over:.0f} ms")


if __name__ == "__main__":
    main()
