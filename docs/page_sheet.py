"""Draw the pictures of the server's web page for the docs, in its states, widths and themes. Needs Chromium.

python docs/page_sheet.py [OUT]      into docs/pictures if no folder is given
python docs/page_sheet.py OUT --all  every state at every width and in both themes, one file each, to look at
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
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from revisage.cli import main as revisage

ROOT = Path(__file__).parents[1]
HEAD = (96, 16, 416, 336)
SEEDS = (3, 9, 12, 21)
WIDTHS = {375: 812, 1440: 900, 2560: 1440}
THEMES = ("light", "dark")
DONE = "({ photos }) => photos.every((one) => !one.isBusy) && photos[0].pictures"
GAP = 24
SHEETS = {
    "page_375.jpg": (375, "dark", 6, 1.6),
    "page_1440.jpg": (1440, "light", 3, 2.8),
    "page_2560.jpg": (2560, "light", 3, 4.5),
}
"""Width, theme, columns, and by how much smaller it is drawn."""

Shot = tuple[str, bytes]


def old_photos(folder: Path) -> list[Path]:
    """A portrait aged in several ways, two prints side by side, and a file that is no photo."""
    clean, broken = folder / "clean.png", folder / "letter.jpg"
    Image.open(ROOT / "examples" / "portrait.jpg").convert("RGB").crop(HEAD).save(clean)
    prints = []
    for seed in SEEDS:
        target = folder / f"portrait {seed}.png"
        assert revisage(["degrade", str(clean), str(target), "--seed", str(seed)]) == 0
        prints.append(target)
    pair, pictures = Image.new("RGB", (640, 320)), [Image.open(path) for path in prints]
    pair.paste(pictures[3].resize((320, 320)), (0, 0))
    pair.paste(pictures[0].resize((320, 320)), (320, 0))
    pair.save(folder / "two prints.png")
    broken.write_text("no photo")
    return [folder / "two prints.png", *prints, broken]


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


def states(page: Page, url: str, photos: Sequence[Path]) -> Iterator[Shot]:
    """Each state of the page with its name, as PNG."""

    def shot(name: str) -> Shot:
        page.wait_for_timeout(700)
        return name, page.screenshot()

    page.goto(url)
    page.locator(".promises").wait_for()
    yield shot("empty")
    page.set_input_files("#files", photos)
    page.wait_for_function("() => revisage.photos[0].state === 'running'")
    yield shot("busy")
    page.wait_for_function(f"() => ({DONE})(revisage)", timeout=300_000)
    yield shot("failure")
    page.locator(".failures").evaluate("failures => { failures.open = true; }")
    page.locator(".failures").get_by_role("button", name="Delete").click()
    page.locator(".toast").wait_for()
    yield shot("undo")
    page.get_by_label("Strength of the faces").scroll_into_view_if_needed()
    page.get_by_role("button", name="Choose or add faces").click()
    yield shot("choosing")
    page.get_by_role("button", name="Choose or add faces").click()
    page.get_by_role("button", name="Zoom to face 2").click()
    yield shot("face")
    page.get_by_label("Restore face 1").uncheck()
    page.locator(".faces li").nth(1).scroll_into_view_if_needed()
    yield shot("left-out")
    page.get_by_role("button", name="Side by side").click()
    yield shot("side")
    page.get_by_role("button", name="Turn, straighten, crop").click()
    page.get_by_role("slider", name="Straighten").fill("4")
    yield shot("framing")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Compare with a line").click()
    page.keyboard.press("0")
    page.get_by_role("button", name="Paint over damage").click()
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    left, middle = box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2
    page.mouse.move(left, middle - 40)
    page.mouse.down()
    page.mouse.move(left + 60, middle + 60, steps=6)
    page.mouse.up()
    yield shot("painting")
    page.get_by_role("button", name="Repair", exact=True).click()
    page.wait_for_function(f"() => ({DONE})(revisage) && revisage.current.pictures.mask", timeout=300_000)
    page.get_by_label("Show what was repaired").check()
    yield shot("repaired")
    page.get_by_role("button", name="Help").click()
    yield shot("help")
    page.keyboard.press("Escape")
    page.evaluate("localStorage.clear(), revisage.photos.splice(0).map((one) => one.erase())")


def shots(browser: Browser, url: str, photos: Sequence[Path], width: int, theme: str) -> Iterator[Shot]:
    size = {"width": width, "height": WIDTHS[width]}
    context = browser.new_context(viewport=size, color_scheme=theme, has_touch=width < 500)  # type: ignore[arg-type]
    yield from states(context.new_page(), url, photos)
    context.close()


def sheet(pictures: Sequence[bytes], columns: int) -> Image.Image:
    """Pictures of one size beside and below each other."""
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in pictures]
    width, height = images[0].size
    rows = -(-len(images) // columns)
    canvas = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), "#8d8578")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        canvas.paste(image, (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    return canvas


def draw(browser: Browser, url: str, photos: Sequence[Path], out: Path, *, every: bool) -> None:
    if every:
        for width in WIDTHS:
            for theme in THEMES:
                for name, data in shots(browser, url, photos, width, theme):
                    (out / f"{name}-{width}-{theme}.png").write_bytes(data)
        return
    for sheet_name, (width, theme, columns, shrink) in SHEETS.items():
        taken = dict(shots(browser, url, photos, width, theme))
        if width == 1440:
            Image.open(io.BytesIO(taken["choosing"])).convert("RGB").save(out / "page.jpg", quality=85)
        drawn = sheet(list(taken.values()), columns)
        size = round(drawn.width / shrink), round(drawn.height / shrink)
        small = drawn.resize(size, Image.Resampling.LANCZOS)
        small.save(out / sheet_name, quality=80)


def main() -> None:
    every = "--all" in sys.argv
    named = [Path(argument) for argument in sys.argv[1:] if argument != "--all"]
    out = named[0] if named else Path(__file__).parent / "pictures"
    out.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        photos = old_photos(Path(folder))
        url = f"http://127.0.0.1:{(port := free_port())}/"
        command = [
            sys.executable,
            "-m",
            "revisage",
            "serve",
            "--port",
            str(port),
            "--data",
            f"{folder}/data",
            "--no-open",
        ]
        server = subprocess.Popen(command)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            wait(f"{url}readyz")
            draw(browser, url, photos, out, every=every)
        finally:
            browser.close()
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
