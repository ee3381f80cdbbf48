"""Draw docs/pictures/page.jpg: the server's web page with an aged portrait restored. Needs Chromium.

python docs/page_sheet.py [OUT.jpg]
"""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from revisage.cli import main as revisage

ROOT = Path(__file__).parents[1]
HEAD = (96, 16, 416, 336)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait(url: str, seconds: float = 120) -> None:
    """Until the server is ready for work."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def screenshot(url: str, photo: Path) -> bytes:
    """The page as PNG once the photo is restored."""
    browser_file = (
        shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.goto(url)
        page.set_input_files("#files", photo)
        page.locator(".card .download:not([hidden]):enabled").wait_for(timeout=120_000)
        # So that the restored half is on the screen when it is taken.
        page.wait_for_timeout(1000)
        shot = page.screenshot(full_page=True)
        browser.close()
    return shot


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures" / "page.jpg"
    with tempfile.TemporaryDirectory() as folder:
        clean, old = Path(folder, "clean.png"), Path(folder, "old.png")
        Image.open(ROOT / "examples" / "portrait.jpg").crop(HEAD).save(clean)
        code = revisage(["degrade", str(clean), str(old), "--seed", "9"])
        assert code == 0
        port = free_port()
        command = [sys.executable, "-m", "revisage", "serve", "--port", str(port), "--data", f"{folder}/data"]
        server = subprocess.Popen(command)
        try:
            wait(f"http://127.0.0.1:{port}/readyz")
            shot = screenshot(f"http://127.0.0.1:{port}/", old)
        finally:
            server.terminate()
            server.wait(60)
    Image.open(io.BytesIO(shot)).convert("RGB").save(out, quality=85)


if __name__ == "__main__":
    main()
