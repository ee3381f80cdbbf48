"""The web page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from server_stub import SLOW, TOKEN, Running, photo, running

from revisage.cli import main

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = {"width": 390, "height": 844}
DONE = ".download:not([hidden]):enabled"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server"), body_bytes=256 * 1024) as server:
        yield server.ready()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("real"), models="real_models") as server:
        yield server.ready(120)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must raise no error and ask no other server."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(60_000)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: troubles.append(message.text) if "Security Policy" in message.text else None,
    )
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
    yield page
    context.close()
    assert troubles == []
    assert hosts <= {"127.0.0.1", ""}  # "" is a blob of the page's own


def files(*named: tuple[str, bytes]) -> Any:
    return [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in named]


def added(page: Page, server: Running, *named: tuple[str, bytes]) -> Locator:
    """The cards of photos that have been restored."""
    page.goto(server.url)
    page.get_by_text("Your photos stay on this computer").wait_for()
    page.set_input_files("#files", files(*named))
    cards = page.locator(".card")
    for number in range(len(named)):
        cards.nth(number).locator(DONE).wait_for()
    return cards


def downloaded(page: Page, button: Locator) -> bytes:
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_bytes()


def shown(card: Locator) -> np.ndarray:
    """The restored picture on the card, (H, W, 3)."""
    script = """async (canvas) => {
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        return canvas.toDataURL('image/png');
    }"""
    url: str = card.locator("canvas.after").evaluate(script)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"), int)


def test_a_real_photo_comes_back_as_the_command_line_makes_it(
    page: Page, real: Running, tmp_path: Path
) -> None:
    """Upload, progress, slider, a face left out, strength; the file is the CLI's, byte for byte."""
    portrait = Image.open(ROOT / "examples" / "portrait.jpg").convert("RGB").crop((120, 10, 340, 250))
    pair = Image.new("RGB", (440, 240))
    pair.paste(portrait, (0, 0))
    pair.paste(portrait.resize((165, 180)), (240, 30))
    source = tmp_path / "two sisters.jpg"
    pair.save(source, quality=90)
    page.goto(real.url)
    page.get_by_text("erased after 24 hours").wait_for()
    page.set_input_files("#files", source)
    card = page.locator(".card")
    page.wait_for_function("() => document.querySelector('progress').value > 0.05")
    card.locator(DONE).wait_for()
    assert card.locator(".outline").count() >= 2
    whole = downloaded(page, card.locator(".download"))
    card.locator(".strength").fill("70")
    card.locator(".people input").nth(1).uncheck()
    partly = downloaded(page, card.locator(".download"))
    for options, data in ([], whole), (["--strength", "0.7", "--faces", chosen(card)], partly):
        target = tmp_path / "cli.jpg"
        assert main(["restore", str(source), "-o", str(target), *options]) == 0
        assert data == target.read_bytes()
    assert whole != partly
    preview = shown(card)
    file = np.asarray(Image.open(io.BytesIO(partly)), int)
    assert preview.shape == file.shape
    assert np.abs(preview - file).mean() < 2, "what is shown is what is downloaded, but for JPEG"


def chosen(card: Locator) -> str:
    boxes = card.locator(".people input")
    return ",".join(str(n) for n in range(1, boxes.count() + 1) if boxes.nth(n - 1).is_checked())


def test_the_line_moves_by_mouse_and_by_keyboard(page: Page, server: Running) -> None:
    card = added(page, server, ("a.png", photo()))
    stage, wipe = card.locator(".stage"), card.locator(".wipe")
    box = stage.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 30
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], y, steps=5)
    page.mouse.up()
    assert abs(float(wipe.input_value()) - 80) <= 1
    assert "inset(0px 0px 0px 80%)" in card.locator(".after").evaluate("e => getComputedStyle(e).clipPath")
    wipe.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert abs(float(wipe.input_value()) - 77) <= 1
    assert "restored" in (wipe.get_attribute("aria-valuetext") or "")


def test_the_line_moves_by_touch(browser: Browser, server: Running) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    card = added(page, server, ("a.png", photo()))
    card.locator(".stage").scroll_into_view_if_needed()
    box = card.locator(".stage").bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + 0.9 * box["height"])
    assert abs(float(card.locator(".wipe").input_value()) - 25) <= 1
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "nothing lies beside the screen of a phone"
    context.close()


def test_faces_and_strength_change_the_picture_without_the_server(page: Page, server: Running) -> None:
    card = added(page, server, ("a.png", photo()))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    first, second = (slice(80, 160), slice(90, 150)), (slice(80, 160), slice(290, 350))
    whole = shown(card)
    card.locator(".strength").fill("50")
    half = shown(card)
    card.locator(".strength").fill("0")
    none = shown(card)
    assert np.abs((whole + none) / 2 - half).max() <= 1
    assert np.abs(whole - none)[first].mean() > 5
    card.locator(".strength").fill("100")
    box = card.locator(".outline").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert not card.locator(".people input").first.is_checked()
    one = shown(card)
    assert np.array_equal(one[first], none[first])
    assert np.array_equal(one[second], whole[second])
    assert requests == []


def test_all_are_downloaded_as_one_file(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(1)), ("a.png", photo(2)), ("b.png", photo(3)))
    data = downloaded(page, page.get_by_role("button", name="Download all 3"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.restored.png", "a.restored-2.png", "b.restored.png"]
        levels = [Image.open(archive.open(name)).getpixel((200, 220)) for name in archive.namelist()]
    assert levels == [(200, 1, 0), (200, 2, 0), (200, 3, 0)]


def test_delete_now_erases_at_the_server(page: Page, server: Running) -> None:
    jobs = server.settings.data / "jobs"
    before = set(jobs.iterdir())
    card = added(page, server, ("a.png", photo()))
    card.locator(".strength").fill("30")
    downloaded(page, card.locator(".download"))
    assert set(jobs.iterdir()) > before
    card.get_by_role("button", name="Delete now").click()
    card.wait_for(state="detached")
    page.wait_for_timeout(300)
    assert set(jobs.iterdir()) <= before


def test_a_photo_in_hand_can_be_deleted(page: Page, server: Running) -> None:
    page.goto(server.url)
    page.get_by_text("Your photos stay").wait_for()
    page.set_input_files("#files", files(("slow.png", photo(mark=SLOW))))
    card = page.locator(".card")
    page.wait_for_function("() => document.querySelector('.status').textContent.includes('found')")
    card.get_by_role("button", name="Delete now").click()
    card.wait_for(state="detached")


def test_colours_and_size_run_again(page: Page, server: Running) -> None:
    card = added(page, server, ("a.png", photo()))
    card.get_by_label("Size").select_option("1")
    card.get_by_text("220 × 120 → 220 × 120 pixels").wait_for()
    card.locator(DONE).wait_for()
    assert Image.open(io.BytesIO(downloaded(page, card.locator(".download")))).size == (220, 120)


def test_what_goes_wrong_is_told_in_words(page: Page, server: Running) -> None:
    page.goto(server.url)
    page.get_by_text("Your photos stay").wait_for()
    name = "<img src=x onerror=document.title=1>.png"
    page.set_input_files(
        "#files", files((name, b"no photo"), ("cut.png", photo()[:200]), ("big.png", bytes(300_000)))
    )
    page.locator(".card").nth(0).get_by_text("This is no photo that can be read").wait_for()
    page.locator(".card").nth(1).get_by_text("damaged").wait_for()
    assert page.locator(".card").count() == 2
    assert "0.3 MiB" in page.get_by_role("alert").inner_text()
    assert page.locator(".card h3").first.inner_text() == name
    assert page.title() != "1"


def test_dropped_and_pasted_photos_are_taken(page: Page, server: Running) -> None:
    page.goto(server.url)
    page.get_by_text("Your photos stay").wait_for()
    script = """(type, bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], `${type}.png`, { type: 'image/png' }));
        const init = { bubbles: true, cancelable: true };
        const event = type === 'drop'
            ? new DragEvent('drop', { ...init, dataTransfer: transfer })
            : new ClipboardEvent('paste', { ...init, clipboardData: transfer });
        document.dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(f"([kind, bytes]) => ({script})(kind, bytes)", [kind, list(photo())])
        page.locator(".card", has_text=f"{kind}.png").locator(DONE).wait_for()


def test_everything_can_be_reached_and_has_a_name(page: Page, server: Running) -> None:
    card = added(page, server, ("a.png", photo()))
    page.locator("#files").focus()
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className + ' ' + document.activeElement.id"))
    for wanted in ("wipe away", "strength", "colour", "scale", "download primary", "delete quiet"):
        assert any(wanted in name for name in reached), (wanted, reached)
    for role, name in (
        ("slider", "Compare"),
        ("slider", "Strength"),
        ("checkbox", "Face 1"),
        ("combobox", "Colours"),
    ):
        assert card.get_by_role(role, name=name).count() == 1  # type: ignore[arg-type]
    assert card.locator("img:not([alt])").count() == 0
    assert page.locator("html").get_attribute("lang") == "en"


def test_a_token_is_asked_for_and_kept_for_the_tab(page: Page, tmp_path: Path) -> None:
    with running(tmp_path, tokens=(TOKEN,)) as guarded:
        guarded.ready()
        page.goto(guarded.url)
        field = page.get_by_label("access token")
        field.fill("not-the-right-token")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("not accepted").wait_for()
        field.fill(TOKEN)
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("erased after").wait_for()
        page.set_input_files("#files", files(("a.png", photo())))
        page.locator(DONE).wait_for()
        assert TOKEN not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location")


def test_the_description_of_the_api_is_shown(page: Page, server: Running) -> None:
    page.goto(server.url + "/docs")
    summary = page.locator("summary", has_text="/v1/restore")
    summary.click()
    assert page.locator("details[open] td").get_by_text("strength", exact=True).count() == 1
