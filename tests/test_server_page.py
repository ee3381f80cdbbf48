"""The web page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
from PIL import Image, ImageFilter
from restore_stubs import StubModels
from server_stub import SLOW, TOKEN, Running, photo, running

from revisage.cli import main
from revisage.faces import Face
from revisage.image import decode
from revisage.restore import Restorer
from revisage.restore.faces import Outcome, identity_guard, place_face
from revisage.restore.repair import Repair
from revisage.restore.tone import Tone
from revisage.server import app, problems

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = {"width": 375, "height": 812}
ROOT = Path(__file__).parents[1]
LANGUAGES = sorted(path.stem for path in (app.PAGE / "words").glob("*.json"))


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


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Makes pages that must raise no error and ask no other server, in a context with these options."""
    contexts = []
    troubles: list[str] = []
    hosts: set[str] = set()

    def make(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console",
            lambda message: troubles.append(message.text) if "Security Policy" in message.text else None,
        )
        page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
        return page

    yield make
    for context in contexts:
        context.close()
    assert troubles == []
    assert hosts <= {"127.0.0.1", ""}  # "" is a blob of the page's own


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def files(*named: tuple[str, bytes]) -> Any:
    return [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in named]


def opened(page: Page, server: Running) -> Page:
    page.goto(server.url)
    page.locator(".promises").get_by_text("stay on this computer").wait_for()
    return page


def added(page: Page, server: Running, *named: tuple[str, bytes]) -> Page:
    """The page with photos that have been restored, the first one shown."""
    opened(page, server).set_input_files("#files", files(*named))
    done(page, len(named))
    page.wait_for_function(
        "() => { const { current, viewer } = window.revisage;"
        " return current.pictures && viewer.shown.pictures === current.pictures; }"
    )
    return page


def test_a_photo_that_comes_before_the_server_has_answered_is_restored(page: Page, server: Running) -> None:
    held: list[Any] = []
    page.route("**/v1/server", lambda route: held.append(route), times=1)  # noqa: PLW0108 (Playwright wraps it)
    page.goto(server.url)
    page.set_input_files("#files", files(("a.png", photo())))
    held[0].continue_()
    done(page, 1)


def slow_photo(level: int, size: tuple[int, int] = (1600, 800)) -> bytes:
    """A photo of which every tile takes a while, unless the server has just had the same."""
    stream = io.BytesIO()
    Image.new("RGB", size, (SLOW, level, 0)).save(stream, "PNG")
    return stream.getvalue()


def done(page: Page, count: int) -> None:
    page.wait_for_function(
        "count => { const photos = window.revisage?.photos ?? [];"
        " return photos.length === count && photos.every((one) => one.state === 'done' && one.thumb); }",
        arg=count,
    )


def downloaded(page: Page, button: Locator) -> bytes:
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_bytes()


def shown(page: Page) -> np.ndarray:
    """The restored picture as the page draws it, in its own size: (H, W, 3)."""
    script = """async () => {
        const { drawAfter } = await import('/page/layers.js');
        const { pictures, weights } = window.revisage.current;
        const canvas = new OffscreenCanvas(...pictures.size);
        drawAfter(canvas.getContext('2d'), pictures, weights, 0, 0, 1);
        const bytes = await (await canvas.convertToBlob()).arrayBuffer();
        return [...new Uint8Array(bytes)];
    }"""
    return np.asarray(Image.open(io.BytesIO(bytes(page.evaluate(script)))).convert("RGB"), int)


def viewer(page: Page, name: str) -> Any:
    return page.evaluate(f"window.revisage.viewer.{name}")


def test_a_real_photo_comes_back_as_the_command_line_makes_it(
    page: Page, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Upload, progress, a face left out, strength; the file is the CLI's, byte for byte."""
    portrait = Image.open(ROOT / "examples" / "portrait.jpg").convert("RGB").crop((120, 10, 340, 250))
    pair = Image.new("RGB", (440, 240))
    pair.paste(portrait, (0, 0))
    pair.paste(portrait.resize((165, 180)), (240, 30))
    source = tmp_path / "two sisters.jpg"
    pair.save(source, quality=90)
    with running(tmp_path_factory.mktemp("real"), models="real_models") as real:
        real.ready(120)
        page.goto(real.url)
        page.locator(".promises").get_by_text("erased after 24 hours").wait_for()
        page.set_input_files("#files", source)
        page.locator(".status progress").wait_for()
        page.wait_for_function("() => document.querySelector('.status progress')?.value > 0.05")
        done(page, 1)
        page.locator(".stage:not(.bare)").wait_for()
        assert page.locator(".faces li").count() >= 2
        whole = downloaded(page, page.locator(".download"))
        page.get_by_label("Strength of the faces").fill("70")
        page.get_by_label("Restore face 2").uncheck()
        partly = downloaded(page, page.locator(".download"))
        boxes = page.locator(".faces input[type=checkbox]")
        chosen = ",".join(str(n + 1) for n in range(boxes.count()) if boxes.nth(n).is_checked())
        for options, data in ([], whole), (["--strength", "0.7", "--faces", chosen], partly):
            target = tmp_path / "cli.jpg"
            assert main(["restore", str(source), "-o", str(target), *options]) == 0
            assert data == target.read_bytes()
        assert whole != partly
        preview = shown(page)
        file = np.asarray(Image.open(io.BytesIO(partly)), int)
        assert preview.shape == file.shape
        assert np.abs(preview - file).mean() < 2, "what is shown is what is downloaded, but for JPEG"


def test_zoom_and_pan_by_wheel_keys_and_double_click(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    whole = viewer(page, "percent")
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function("whole => window.revisage.viewer.percent > 2 * whole", arg=whole)
    before = viewer(page, "centre")
    page.mouse.move(x + 200, y)
    page.mouse.down()
    page.mouse.move(x + 100, y - 20, steps=4)
    page.mouse.up()
    after = viewer(page, "centre")
    assert after[0] > before[0]
    assert after[1] > before[1]
    page.keyboard.press("2")
    assert viewer(page, "percent") == pytest.approx(200, abs=1)
    page.keyboard.press("0")
    assert viewer(page, "percent") == whole
    page.keyboard.press("+")
    assert viewer(page, "percent") > whole
    page.mouse.dblclick(x, y)
    assert viewer(page, "percent") == whole
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom to face 2").click()
    x, y = viewer(page, "centre")
    assert x == pytest.approx(160 / 220, abs=0.12), "the second face is in the middle"
    assert y == pytest.approx(0.5, abs=0.15)


def in_the_middle(page: Page) -> int:
    """The number of the face that is in the middle of the view, 0 for none."""
    x, y = viewer(page, "centre")
    boxes = page.evaluate("window.revisage.current.boxes")
    inside = [left < 440 * x < left + w and top < 240 * y < top + h for left, top, w, h in boxes]
    return inside.index(True) + 1 if True in inside else 0


def test_200_percent_and_the_close_up_show_the_same_face(
    open_page: Callable[..., Page], server: Running
) -> None:
    page = added(open_page(viewport=PHONE), server, ("a.png", photo()))
    page.keyboard.press("2")
    assert (viewer(page, "percent"), in_the_middle(page)) == (200, 1), "the largest"
    page.get_by_role("button", name="Zoom to face 2").click()
    close_up = viewer(page, "percent")
    assert in_the_middle(page) == 2
    page.keyboard.press("0")
    for percent in (close_up, 200) if close_up < 200 else (close_up,):
        page.locator(".percent").click()
        assert (viewer(page, "percent"), in_the_middle(page)) == (percent, 2), "the one looked at last"
    page.locator(".percent").click()
    assert viewer(page, "isWhole")


def test_an_album_is_restored_on_a_phone(open_page: Callable[..., Page], server: Running) -> None:
    """Four photos in, one face at 200 %, one face left out, all downloaded, one deleted: with a finger."""
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    added(page, server, *[(f"{n}.png", photo(n)) for n in range(1, 5)])
    page.get_by_role("button", name="Zoom to face 1").tap()
    page.get_by_role("button", name="Zoom in").tap()
    page.wait_for_function("() => window.revisage.viewer.percent >= 200")
    page.get_by_label("Restore face 2").tap()
    data = downloaded(page, page.get_by_role("button", name="Download all 4"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("restored.csv").decode("utf-8-sig"))))
    assert [row["faces restored"] for row in rows] == ["1", "2", "2", "2"]
    page.locator(".film button").nth(2).tap()
    page.get_by_role("button", name="Delete 3.png").tap()
    page.locator(".film li").nth(3).wait_for(state="detached")
    assert page.evaluate("window.revisage.photos.map((one) => one.name)") == ["1.png", "2.png", "4.png"]


def test_pinch_zooms_with_two_fingers(open_page: Callable[..., Page], server: Running) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    added(page, server, ("a.png", photo()))
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    whole = viewer(page, "percent")
    session = page.context.new_cdp_session(page)

    def touch(kind: str, apart: float) -> None:
        points = (
            []
            if kind == "touchEnd"
            else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        )
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 20)
    for apart in (30, 45, 60):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    assert viewer(page, "percent") > 2 * whole
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "nothing lies beside the screen of a phone"


def test_the_line_moves_by_mouse_and_by_keyboard(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    box = page.locator(".stage").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], y, steps=5)
    page.mouse.up()
    assert viewer(page, "line") == pytest.approx(0.8, abs=0.01)
    line = page.get_by_role("slider", name="Compare")
    line.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert viewer(page, "line") == pytest.approx(0.77, abs=0.011)
    assert "restored" in (line.get_attribute("aria-valuetext") or "")


def drawn(page: Page, x: float, y: float) -> list[int]:
    """The colour at a place of the stage, in shares of its sides."""
    script = """async ([x, y]) => {
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        const canvas = document.querySelector('.stage canvas');
        const at = [x * canvas.width, y * canvas.height].map(Math.round);
        return [...canvas.getContext('2d').getImageData(...at, 1, 1).data];
    }"""
    colour: list[int] = page.evaluate(script, [x, y])
    return colour


def test_side_by_side_and_hold_to_see_the_original(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(size=(120, 120))))
    whole = viewer(page, "percent")
    page.get_by_role("button", name="Side by side").click()
    told = page.locator(".percent")
    told.get_by_text(f"{whole} %").wait_for(state="detached")
    assert told.inner_text() == f"{viewer(page, 'percent')} %", "smaller, and told so"
    page.keyboard.press("2")
    page.get_by_role("button", name="Compare with a line").click()
    told.get_by_text("200 %").wait_for()
    assert viewer(page, "percent") == 200, "who looks at 200 % goes on doing so"
    page.get_by_role("button", name="Side by side").click()
    page.set_viewport_size({"width": 1800, "height": 1100})  # as full screen does
    page.wait_for_function("() => window.revisage.viewer.width > 1300")
    assert viewer(page, "percent") == 200
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Compare with a line").click()
    told.get_by_text("200 %").wait_for()
    page.keyboard.press("0")
    page.get_by_role("button", name="Side by side").click()
    assert drawn(page, 0.25, 0.5)[:2] == pytest.approx([200, 128], abs=6), "the photo as it was"
    assert drawn(page, 0.5, 0.5)[3] == 0, "nothing in between"
    page.get_by_role("button", name="Compare with a line").click()
    page.evaluate("window.revisage.viewer.moveLine(0)")
    page.evaluate("window.revisage.viewer.zoomToBox(window.revisage.current.boxes[0])")
    restored = [drawn(page, 0.4 + 0.02 * n, 0.5)[0] for n in range(10)]
    assert max(restored) - min(restored) > 50, "the stripes of the restored face"
    page.keyboard.down("o")
    original = [drawn(page, 0.4 + 0.02 * n, 0.5)[0] for n in range(10)]
    assert max(original) - min(original) < 6
    page.keyboard.up("o")
    assert drawn(page, 0.4, 0.5)[0] == restored[0]


def test_faces_and_strengths_change_the_picture_without_the_server(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    first, second = (slice(80, 160), slice(90, 150)), (slice(80, 160), slice(290, 350))
    whole = shown(page)
    strength = page.get_by_label("Strength of the faces")
    strength.fill("50")
    half = shown(page)
    strength.fill("0")
    none = shown(page)
    assert np.abs((whole + none) / 2 - half).max() <= 2
    assert np.abs(whole - none)[first].mean() > 5
    strength.fill("100")
    page.get_by_role("button", name="Choose or add faces").click()
    page.evaluate("window.revisage.viewer.fit()")
    box = page.locator(".stage").bounding_box()
    assert box is not None
    scale = page.evaluate("() => { const v = window.revisage.viewer; return v.percent / 100; }")
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.wait_for_function("() => window.revisage.viewer.shown.choosing")
    page.mouse.click(middle[0] + (120 - 220) * scale, middle[1])
    page.get_by_role("checkbox", name="Restore face 1", checked=False).wait_for()
    one = shown(page)
    assert np.array_equal(one[first], none[first])
    assert np.array_equal(one[second], whole[second])
    page.get_by_label("Restore face 1").check()
    page.get_by_label("Strength of face 1").fill("50")
    own = shown(page)
    assert np.abs(own - half)[first].max() <= 2
    assert np.array_equal(own[second], whole[second])
    assert [url for url in requests if "/v1/" in url] == []
    data = downloaded(page, page.locator(".download"))
    assert np.abs(np.asarray(Image.open(io.BytesIO(data)), int) - own).mean() < 2
    page.reload()
    page.get_by_label("Strength of face 1").wait_for()
    assert [page.get_by_label(f"Strength of face {n}").input_value() for n in (1, 2)] == ["50", "100"]


def test_a_reload_in_the_middle_loses_nothing(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(1)))
    page.get_by_label("Restore face 2").uncheck()
    page.set_input_files("#files", files(("slow.png", slow_photo(2, (2400, 1600)))))
    page.locator(".film button").nth(1).click()
    page.wait_for_function("() => window.revisage.photos[1]?.state === 'running'")
    page.get_by_text("0 of 1 done").wait_for()
    page.reload()
    page.get_by_text("0 of 1 done").wait_for()
    done(page, 2)
    assert [page.evaluate(f"window.revisage.photos[{n}].name") for n in (0, 1)] == ["a.png", "slow.png"]
    assert page.evaluate("window.revisage.current.name") == "slow.png", "the one that was looked at"
    page.locator(".film button").first.click()
    # The panel is drawn a frame later.
    page.locator('input[aria-label="Restore face 2"]:not(:checked)').wait_for()
    page.get_by_role("button", name="Side by side").click()
    page.get_by_role("button", name="Zoom to face 2").click()
    seen = page.evaluate("window.revisage.viewer.place")
    page.reload()
    page.locator(".stage.side:not(.bare)").wait_for()
    assert page.evaluate("window.revisage.viewer.place") == seen
    again = page.context.new_page()  # as after a restart of the browser: what is stored is all there is
    again.goto(server.url)
    again.locator(".film button").nth(1).wait_for()
    for _ in (0, 1):
        page.locator(".actions .delete").click()
        page.get_by_role("button", name="Undo").wait_for()
        page.wait_for_timeout(700)


def test_a_reload_while_photos_are_restored_again_keeps_what_was_there(page: Page, server: Running) -> None:
    page.set_viewport_size({"width": 1280, "height": 500})
    added(page, server, ("a.png", photo(1)), ("slow.png", slow_photo(9, (1200, 800))))
    page.locator(".film button").nth(1).click()
    page.wait_for_function("() => window.revisage.current.pictures")
    page.evaluate("document.querySelector('.panel').scrollTop = 150")
    page.evaluate("window.revisage.set(({ run }) => { run.scale = '1'; }, true)")
    page.wait_for_function("() => window.revisage.photos[1].pending")
    page.reload()
    page.get_by_role("button", name="Download all 2").wait_for()
    assert page.evaluate("window.revisage.photos[1].isBusy")
    page.wait_for_function("() => window.revisage.photos[1].thumb")
    page.wait_for_function("() => document.querySelector('.panel').scrollTop === 150")
    done(page, 2)
    assert page.evaluate("window.revisage.photos[1].ran") == {"scale": "1"}


def test_a_warning_before_photos_are_lost_that_are_not_sent(page: Page, server: Running) -> None:
    opened(page, server)
    page.route("**/v1/jobs?*", lambda route: None)  # an upload that takes for ever
    page.set_input_files("#files", files(("a.png", photo())))
    page.locator(".film, .panel").first.wait_for()
    page.locator("h2").first.click()  # browsers warn only where somebody has done something
    kinds: list[str] = []
    page.on("dialog", lambda dialog: (kinds.append(dialog.type), dialog.accept()))
    page.close(run_before_unload=True)
    page.wait_for_event("close")
    assert kinds == ["beforeunload"]


def test_a_warning_before_strokes_of_the_brush_are_lost(page: Page, server: Running) -> None:
    added(page, server, ("a.png", scratched()))
    painting(page)
    page.keyboard.press(" ")
    assert page.evaluate("window.revisage.brush.canUndo")
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.accept()


def test_deletion_can_be_undone_and_then_erases_at_the_server(page: Page, server: Running) -> None:
    jobs = server.settings.data / "jobs"
    before = set(jobs.iterdir())
    page.clock.install()
    added(page, server, ("a.png", photo(1)), ("b.png", photo(2)))
    page.get_by_label("Strength of the faces").fill("30")
    downloaded(page, page.locator(".download"))
    page.get_by_role("button", name="Delete a.png").click()
    page.locator(".panel h2", has_text="b.png").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.locator(".panel h2", has_text="a.png").wait_for()
    assert page.get_by_label("Strength of the faces").input_value() == "30"
    assert len(set(jobs.iterdir()) - before) >= 2
    for name in ("a.png", "b.png"):
        page.clock.run_for(700)  # a sooner click would be half of a double click
        page.get_by_role("button", name=f"Delete {name}").click()
    page.locator(".drop").wait_for()
    assert page.evaluate("document.activeElement.id") == "files", "the keyboard is not lost"
    page.clock.run_for(9000)
    for _ in range(50):
        if set(jobs.iterdir()) <= before:
            break
        page.wait_for_timeout(100)
    assert set(jobs.iterdir()) <= before
    assert json.loads(page.evaluate("localStorage.getItem('revisage.photos')")) == []


def test_deletion_can_be_undone_after_a_reload(page: Page, server: Running) -> None:
    jobs = server.settings.data / "jobs"
    before = set(jobs.iterdir())
    page.clock.install()
    added(page, server, ("a.png", photo(1)), ("b.png", photo(2)))
    page.get_by_role("button", name="Delete a.png").click()
    page.locator(".panel h2", has_text="b.png").wait_for()
    page.reload()
    page.get_by_text("a.png was deleted").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.locator(".panel h2", has_text="a.png").wait_for()
    page.reload()
    done(page, 2)
    assert page.locator(".toast").count() == 0
    page.get_by_role("button", name="Delete a.png").click()
    page.locator(".panel h2", has_text="b.png").wait_for()
    page.close()
    other = page.context.new_page()  # erases what the tab that is gone cannot, and offers nothing
    other.clock.fast_forward(9000)
    other.goto(server.url)
    other.locator(".panel h2", has_text="b.png").wait_for()
    assert other.locator(".toast").count() == 0
    for _ in range(50):
        if len(set(jobs.iterdir()) - before) == 1:
            break
        other.wait_for_timeout(100)
    assert len(set(jobs.iterdir()) - before) == 1


def test_a_photo_in_hand_can_be_deleted(page: Page, server: Running) -> None:
    opened(page, server).set_input_files("#files", files(("slow.png", photo(mark=SLOW))))
    page.wait_for_function("() => window.revisage.photos[0]?.state === 'running'")
    page.get_by_role("button", name="Delete slow.png").click()
    page.locator(".drop").wait_for()


def test_all_are_downloaded_as_one_file_with_a_table(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(1)), ("a.png", photo(2)), ("=b.png", photo(3)))
    page.get_by_label("Restore face 2").uncheck()
    data = downloaded(page, page.get_by_role("button", name="Download all 3"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = ["a.restored.png", "a.restored-2.png", "=b.restored.png", "restored.csv"]
        assert archive.namelist() == names
        levels = [Image.open(archive.open(name)).getpixel((200, 220)) for name in names[:3]]
        rows = list(csv.DictReader(io.StringIO(archive.read("restored.csv").decode("utf-8-sig"))))
    assert levels == [(200, 1, 0), (200, 2, 0), (200, 3, 0)]
    assert [row["photo"] for row in rows] == ["a.png", "a.png", "'=b.png"]
    assert [(row["faces found"], row["faces restored"], row["notes"]) for row in rows] == [
        ("2", "1", "face 2: not chosen"), ("2", "2", ""), ("2", "2", ""),
    ]  # fmt: skip


def test_all_that_are_there_are_downloaded_and_what_is_not_is_named(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(1)), ("b.png", photo(2)), ("c.png", photo(3)))
    server.client.delete(page.evaluate("revisage.photos[1].job"))
    data = downloaded(page, page.get_by_role("button", name="Download all 3"))
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == [
        "a.restored.png",
        "c.restored.png",
        "restored.csv",
    ]
    page.locator(".toast", has_text="b.png: The photo was deleted at the server.").wait_for()
    page.locator(".film button").nth(1).click()
    page.get_by_role("button", name="Try again: b.png").click()
    done(page, 3)


def test_settings_run_again_for_one_and_for_all(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(1)), ("b.png", photo(2)))
    page.get_by_label("Size").select_option("1")
    page.get_by_text("220 × 120 → 220 × 120 pixels").wait_for()
    page.get_by_text("Use these settings for all photos").click()
    page.locator(".film button").nth(1).click()
    page.get_by_text("220 × 120 → 220 × 120 pixels").wait_for()
    done(page, 2)
    page.get_by_text("File", exact=True).click()
    page.get_by_label("Format").select_option("webp")
    data = downloaded(page, page.locator(".download"))
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("WEBP", (220, 120))
    page.get_by_label("Strength of the faces").fill("83")
    page.get_by_text("83 %").first.wait_for()
    page.get_by_role("button", name="Gentle").click()
    page.get_by_text("60 %").first.wait_for()
    assert page.get_by_label("Strength of the faces").input_value() == "60"


def test_settings_for_all_can_be_undone(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(1)), ("slow.png", slow_photo(10)))
    page.get_by_label("Size").select_option("1")
    page.get_by_text("220 × 120 → 220 × 120 pixels").wait_for()
    page.get_by_text("Use these settings for all photos").click()
    page.wait_for_function("() => window.revisage.photos[1].pending")
    page.locator(".toast", has_text="gets these settings").get_by_role("button", name="Undo").click()
    page.wait_for_function("() => !window.revisage.photos[1].isBusy && !window.revisage.photos[1].pending")
    slow = page.evaluate("window.revisage.photos[1].toSave")
    assert (slow["ran"], slow["settings"]["run"]) == ({}, {})
    assert slow["jobs"] == [slow["job"]], "what was begun is erased"
    assert page.locator(".toast").count() == 0


def test_settings_for_all_send_no_photo_that_has_failed(page: Page, server: Running) -> None:
    opened(page, server).set_input_files("#files", files(("a.png", photo()), ("big.png", bytes(300_000))))
    page.wait_for_function("() => revisage.photos[0].isDone")
    page.evaluate("revisage.setAll()")
    assert page.evaluate("revisage.photos.map(({ state }) => state)") == ["done", "failed"]


@pytest.mark.parametrize("reloaded", [False, True])
def test_settings_that_were_not_sent_are_sent_again(page: Page, server: Running, reloaded: bool) -> None:
    opened(page, server).set_input_files(
        "#files", files(("slow.png", slow_photo(33 + reloaded, (2400, 1600))))
    )
    page.wait_for_function("() => revisage.current?.state === 'running'")
    held: list[Any] = []
    page.route("**/again?*", lambda route: held.append(route), times=1)  # noqa: PLW0108 (Playwright wraps it)
    page.evaluate("revisage.set(({ run }) => { run.clean = 1; }, true)")
    while not held:
        page.wait_for_timeout(20)
    with page.expect_request("**/again?*clean=1*"):
        if reloaded:
            page.reload()
        else:
            held.pop().abort()
    done(page, 1)
    assert page.evaluate("revisage.current.ran") == {"clean": 1}


def test_two_tabs_have_the_same_photo(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    other = page.context.new_page()
    other.goto(server.url)
    done(other, 1)

    def run_again(clean: float) -> str:
        before = other.evaluate("revisage.current.job")
        other.evaluate("clean => revisage.set(({ run }) => { run.clean = clean; }, true)", clean)
        other.wait_for_function("job => revisage.current.isDone && revisage.current.job !== job", arg=before)
        return other.evaluate("revisage.current.job")

    job = run_again(1)
    page.wait_for_function("job => revisage.current.job === job && revisage.current.pictures", arg=job)
    assert page.evaluate("revisage.current.settings.run") == {"clean": 1}
    page.evaluate("addEventListener('storage', (event) => event.stopImmediatePropagation(), true)")
    run_again(0.2)  # as while the first tab is frozen
    page.evaluate("revisage.save()")
    other.reload()
    done(other, 1)


def test_what_another_tab_wrote_late_does_not_replace_a_newer_result(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    before = page.evaluate("revisage.current.job")
    page.evaluate("requestAnimationFrame = () => 0")  # as on a machine that is too busy to draw
    page.evaluate("revisage.set(({ run }) => { run.clean = 1; }, true)")
    page.wait_for_function("job => revisage.current.job !== job", arg=before, polling=20)
    page.evaluate("dispatchEvent(new StorageEvent('storage', { key: 'revisage.photos' }))")
    assert page.evaluate("revisage.current.job") != before
    page.reload()
    done(page, 1)
    assert page.evaluate("revisage.current.ran") == {"clean": 1}


def test_what_the_browser_had_no_room_for_is_remembered_once_it_has(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.evaluate(
        "() => { window.kept = Storage.prototype.setItem;"
        " Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }; }"
    )
    page.evaluate("revisage.set(({ run }) => { run.clean = 1; }, true)")
    page.wait_for_function("() => revisage.current.ran.clean === 1")
    page.evaluate("() => { Storage.prototype.setItem = window.kept; }")
    page.reload()
    done(page, 1)
    assert page.evaluate("revisage.current.ran") == {"clean": 1}


def test_settings_that_change_before_a_photo_is_sent_are_those_it_is_restored_with(
    page: Page, server: Running
) -> None:
    opened(page, server)
    held: list[Any] = []
    page.route("**/v1/jobs?*", lambda route: held.append(route))  # noqa: PLW0108 (Playwright wraps it)
    page.set_input_files("#files", files(("a.png", photo())))
    page.get_by_label("Size").select_option("1")
    held.pop().continue_()
    page.get_by_text("220 × 120 → 220 × 120 pixels").wait_for()
    done(page, 1)


def test_before_and_after_become_one_picture(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    data = downloaded(page, page.get_by_role("button", name="Before and after as one picture"))
    assert Image.open(io.BytesIO(data)).size == (440, 2 * 240 + 8)


def test_what_goes_wrong_is_gathered_in_words(page: Page, server: Running) -> None:
    name = "<img src=x onerror=document.title=1>.png"
    opened(page, server).set_input_files(
        "#files", files((name, b"no photo"), ("cut.png", photo()[:200]), ("big.png", bytes(300_000)))
    )
    page.get_by_text("3 photos could not be restored").click()
    failures = page.locator(".failures")
    failures.get_by_text("This is no photo that can be read").wait_for()
    failures.get_by_text("damaged").wait_for()
    failures.get_by_text("0.3 MiB").wait_for()
    assert failures.locator("li button").first.inner_text() == name
    failures.get_by_role("button", name="cut.png").first.click()
    assert page.get_by_label("Size").is_enabled(), "the controls stay"
    assert page.title() != "1"


def noise() -> bytes:
    """A JPEG of which every byte counts."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def test_what_is_there_of_a_damaged_file_is_restored_on_demand(page: Page, server: Running) -> None:
    whole = noise()
    cut = whole[: len(whole) * 3 // 4]
    opened(page, server).set_input_files("#files", files(("cut.jpg", cut)))
    failures = page.locator(".failures")
    failures.get_by_text("of the picture is there").wait_for()
    page.reload()
    failures.get_by_role("button", name="Restore what is there").click()
    done(page, 1)
    page.get_by_text("Damaged: about").wait_for()
    assert page.evaluate("window.revisage.current.report.there") == pytest.approx(0.75, abs=0.15)


DROP = """async ([kind, bytes]) => {
    const file = (name) => new File([new Uint8Array(bytes)], name, { type: 'image/png' });
    if (kind === 'folder') {
        const leaf = (name) => ({ name, isDirectory: false, file: (found) => found(file(name)) });
        const entry = (name, some) => ({
            name, isDirectory: true,
            createReader: () => ({ readEntries: (found) => found(some.splice(0, 2)) }),
        });
        const more = entry('more', [leaf('1.png')]);
        const folder = entry('album', [leaf('2.png'), leaf('.hidden.png'), leaf('notes.txt'), more]);
        const event = new Event('drop', { bubbles: true, cancelable: true });
        event.dataTransfer = { types: ['Files'], items: [{ webkitGetAsEntry: () => folder }], files: [] };
        document.dispatchEvent(event);
        return;
    }
    const transfer = new DataTransfer();
    transfer.items.add(file(`${kind}.png`));
    const init = { bubbles: true, cancelable: true };
    document.dispatchEvent(kind === 'drop'
        ? new DragEvent('drop', { ...init, dataTransfer: transfer })
        : new ClipboardEvent('paste', { ...init, clipboardData: transfer }));
}"""


def test_dropped_and_pasted_photos_and_folders_are_taken(page: Page, server: Running) -> None:
    opened(page, server)
    for kind, count in (("drop", 1), ("paste", 2), ("folder", 4)):
        page.evaluate(DROP, [kind, list(photo())])
        done(page, count)
    names = page.evaluate("window.revisage.photos.map((one) => one.name)")
    assert names == ["drop.png", "paste.png", "2.png", "1.png"]


def test_progress_is_told_in_total_and_in_the_title(page: Page, server: Running) -> None:
    opened(page, server)
    slow = [(f"{n}.png", photo(n, mark=SLOW) if n else slow_photo(3)) for n in range(3)]
    page.set_input_files("#files", files(*slow))
    page.get_by_text("of 3 done").wait_for()
    page.wait_for_function("() => /^\\d+ % · about \\d+ seconds? left · Revisage$/.test(document.title)")
    done(page, 3)
    page.wait_for_function("() => document.title === 'Revisage: restore old photos'")


def test_the_time_left_has_one_line_on_a_phone(open_page: Callable[..., Page], server: Running) -> None:
    page = added(open_page(viewport=PHONE), server, ("a.png", photo(1)), ("b.png", photo(2)))
    for left, text in ((12, "≈ 12 sec"), (0.2, "≈ 1 sec"), (600, "≈ 10 min")):
        page.evaluate(
            """left => {
            const value = { share: 0.5, left, done: 1, total: 2 };
            Object.defineProperty(window.revisage, 'progress', { configurable: true, get: () => value });
            window.revisage.changed();
        }""",
            left,
        )
        told = page.locator(".total .narrow", has_text=text)
        told.wait_for()
        height = page.locator(".total p").evaluate("p => p.getBoundingClientRect().height")
        assert height < 24
        assert page.locator(".total").evaluate("total => total.scrollWidth <= total.clientWidth")


def test_help_on_a_phone_is_of_fingers(open_page: Callable[..., Page], server: Running) -> None:
    page = opened(open_page(viewport={"width": 375, "height": 400}, has_touch=True, is_mobile=True), server)
    page.get_by_role("button", name="Help").click()
    help = page.locator("#help")
    help.get_by_text("pinch to zoom").wait_for()
    assert not help.locator("dl").is_visible()
    help.evaluate("help => { help.scrollTop = help.scrollHeight; }")
    assert help.evaluate("help => help.scrollTop") > 0
    beyond = (
        "button => button.getBoundingClientRect().top - button.closest('dialog').getBoundingClientRect().top"
    )
    assert help.get_by_role("button", name="Close").evaluate(beyond) >= 0, "it stays in sight"


def test_a_face_at_the_edge_fills_its_close_up(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    lowest = page.evaluate("""async () => {
        const { current } = window.revisage;
        current.report.faces[0].box = [0, 0, 40, 40];
        window.revisage.changed();
        await new Promise((done) => setTimeout(done, 500));
        const canvas = document.querySelector('.closeups canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return Math.min(...data.filter((_, n) => n % 4 === 3));
    }""")
    assert lowest == 255, "nothing transparent"


def test_faces_are_shown_while_the_rest_is_still_cleaned(page: Page, server: Running) -> None:
    opened(page, server).set_input_files("#files", files(("slow.png", slow_photo(1))))
    page.locator(".stage:not(.bare)").wait_for()
    assert page.evaluate("window.revisage.current.state") == "running"
    assert page.evaluate("window.revisage.current.isDone") is False
    page.get_by_label("Size").select_option("1")  # the controls are alive: it begins anew
    page.get_by_text("1600 × 800 → 1600 × 800 pixels").wait_for()


def test_everything_is_reached_by_keyboard(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.locator("#files").focus()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))
    for wanted in (
        "Side by side",
        "Zoom in",
        "Gentle",
        "Restore face 1",
        "Zoom to face 2",
        "Download",
        "Delete a.png",
    ):
        assert any((name or "").startswith(wanted) for name in reached), (wanted, reached)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Full screen").wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.keyboard.press("b")
    assert page.evaluate("window.revisage.mode") == "side"
    page.keyboard.press("n")
    assert viewer(page, "zoom") > 1


@pytest.mark.parametrize("size", [PHONE, {"width": 1440, "height": 900}, {"width": 2560, "height": 1440}])
def test_axe_finds_nothing(open_page: Callable[..., Page], server: Running, size: dict[str, int]) -> None:
    """WCAG 2.2 AA by axe-core, light and dark: without photos, at work, with results, deletion, help."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = open_page(viewport=size, reduced_motion="reduce", bypass_csp=True)  # no colour is on its way
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

    def check(state: str) -> None:
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            found = axe.Axe().run(page, options={"runOnly": tags}).response["violations"]
            told = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]
            assert told == [], f"{state}, {theme}: {told}"

    opened(page, server)
    check("empty")
    page.set_input_files(
        "#files",
        files(
            ("a.png", photo(1)),
            ("slow.png", slow_photo(size["width"] % 256, (1000, 800))),
            ("x.png", b"no photo"),
        ),
    )
    page.wait_for_function("() => window.revisage.photos[1]?.state === 'running'")
    check("busy")
    page.wait_for_function("() => window.revisage.photos[1].state === 'done'")
    page.locator(".stage:not(.bare)").wait_for()
    page.get_by_role("button", name="Choose or add faces").click()
    check("done")
    page.get_by_role("button", name="Turn, straighten, crop").click()
    page.locator(".part").wait_for()
    check("framing")
    page.get_by_role("button", name="Cancel").click()
    painting(page)
    page.keyboard.press(" ")
    check("painting")
    page.get_by_role("button", name="Repair", exact=True).click()
    page.get_by_label("Show what was repaired").check()
    check("repaired")
    page.get_by_role("button", name="Delete a.png").click()
    page.locator(".toast").wait_for()
    check("undo")
    page.get_by_role("button", name="Help").click()
    check("help")


def test_faces_lie_below_the_picture_of_a_phone_in_plain_words(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    """What was measured stands behind the words, and what leaving a face out does not spare it is told."""
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    with running(tmp_path, models="drifting_models", guard=180) as drifting:
        added(page, drifting.ready(), ("a.png", photo()))
        checkbox = page.get_by_label("Restore face 1").bounding_box()
        bar = page.locator(".actions").bounding_box()
        presets = page.get_by_role("group", name="Presets").bounding_box()
        assert checkbox is not None
        assert bar is not None
        assert presets is not None
        assert checkbox["y"] + checkbox["height"] <= bar["y"], "seen without scrolling"
        assert checkbox["y"] < presets["y"]
        words = page.locator(".faces li small")
        assert words.inner_text() == "Close to the photo"
        page.get_by_text("What does “close” mean?").tap()
        angle = page.evaluate("Math.round(window.revisage.current.faces[0].identity_degrees)")
        assert 25 < angle <= 45
        page.get_by_text(f"Face 1: {angle}°").wait_for()
        page.get_by_label("Restore face 1").tap()
        words.get_by_text("Not restored. The cleaning of the rest reaches it too.").wait_for()
        page.get_by_label("Rest of the photo").select_option("none")
        words.get_by_text("Not restored.", exact=True).wait_for()


def test_targets_are_large_enough_for_fingers(open_page: Callable[..., Page], server: Running) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    added(page, server, ("a.png", photo(1)), ("b.png", photo(2)))
    script = """() => [...document.querySelectorAll('button, select, label.button, summary, .field input')]
        .filter((one) => one.checkVisibility() && !one.closest('dialog'))
        .map((one) => [one.outerHTML.slice(0, 100), one.getBoundingClientRect()])
        .filter(([, box]) => Math.min(box.width, box.height) < 43.9).map(([name]) => name)"""
    assert page.evaluate(script) == []
    painting(page)
    assert page.evaluate(script) == []


def test_the_words_are_there_in_every_language(open_page: Callable[..., Page], server: Running) -> None:
    english = json.loads((app.PAGE / "words" / "en.json").read_text())
    for language in LANGUAGES:
        words = json.loads((app.PAGE / "words" / f"{language}.json").read_text())
        assert words.keys() == english.keys(), language
        for key, text in words.items():
            assert holes(text) == holes(english[key]), (language, key)
        page = open_page(locale=language, viewport=PHONE)
        page.goto(server.url)
        page.get_by_role("heading", name=words["heading"]).wait_for()
        assert page.locator("html").get_attribute("lang") == language
        page.locator(".promises .icon + span").first.get_by_text(words["where.local"]).wait_for()
        page.set_input_files("#files", files(("a.png", photo())))
        page.locator(".closeups canvas").first.wait_for()
        for size in PHONE, {"width": 1440, "height": 900}:
            page.set_viewport_size(size)
            beside = page.locator(".panel").evaluate("panel => panel.scrollWidth - panel.clientWidth")
            assert beside <= 0, (language, "words are too long", size)


def test_why_a_face_was_left_is_told_in_the_pages_words() -> None:
    """The report's sentences, of which the page knows the start or the end."""
    patterns = patterns_of("REASONS")
    far = Face((90.0, 10.0, 30.0, 30.0), np.zeros((5, 2), np.float32), 1.0)
    told = {
        "small": place_face(replace(far, box=(0, 0, 9, 9)), (100, 100), 64, 1),
        "outside": place_face(far, (100, 100), 64, 1),
        "drift": identity_guard({1.0: 70.0, 0.75: 60.0, 0.5: 50.0, 0.25: 40.0}, 1.0, 20.0),
    }
    assert patterns.keys() == told.keys() | {"illegible"}
    for key, outcome in told.items():
        assert isinstance(outcome, Outcome)
        assert re.search(patterns[key], outcome.reason or ""), key
    assert patterns["illegible"] in (Path(place_face.__code__.co_filename)).read_text()


def test_what_is_noted_of_a_photo_is_told_in_the_pages_words() -> None:
    stream, few = io.BytesIO(), np.eye(2, dtype=bool)
    pages = [Image.new("RGB", (60, 40), (200, level, 0)) for level in (10, 20)]
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    lid = np.zeros((600, 800, 3), np.uint8)
    scan = lid.copy()
    scan[100:500, 150:650] = 255
    mended = Restorer(models=StubModels()).restore(lid)
    told = [
        *replace(mended, red_eyes=2, tone=Tone(gamma=(1.0, 1.0, 1.2))).notes,
        *Restorer(models=StubModels()).restore(stream.getvalue(), clean=1.0, revive=0.2).notes,
        *(
            note
            for one in (lid, scan)
            for note in Restorer(models=StubModels()).restore(one, crop="print").notes
        ),
        *decode(noise()[:9000], damaged=True).notes,
        *decode(photo() + b"hdrgm:Version ftypmp42 GDepth:Data").notes,
        *(Repair(few & marks, "a model", found).note for marks, found in ((1, 0.5), (0, 0.0), (0, 0.9))),
    ]
    patterns = patterns_of("NOTES")
    found = [[key for key, pattern in patterns.items() if re.search(pattern, note)] for note in told]
    assert all(len(keys) == 1 for keys in found), (told, found)
    assert {keys[0] for keys in found} == patterns.keys()


def test_every_failure_of_a_photo_has_words_of_the_page() -> None:
    english = json.loads((app.PAGE / "words" / "en.json").read_text())
    codes = {code for _, _, code in problems._PHOTO_ERRORS} | {"too-slow", "no-queue", "no-space", "poisoned"}
    assert {code for code in codes if f"error.{code}" not in english} == set()


def patterns_of(name: str) -> dict[str, str]:
    script = (app.PAGE / "controls.js").read_text()
    line = script[script.index(f"const {name} =") :].split("\n")[0]
    return dict(re.findall(r"(\w+): /(.+?)/[,} ]", line))


def holes(text: str) -> set[str]:
    return {part.partition("}")[0] for part in text.split("{")[1:]}


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
        page.locator(".promises").get_by_text("erased after").wait_for()
        page.set_input_files("#files", files(("a.png", photo(1)), ("b.png", photo(2))))
        done(page, 2)
        data = downloaded(page, page.get_by_role("button", name="Download all 2"))
        assert len(zipfile.ZipFile(io.BytesIO(data)).namelist()) == 3
        assert TOKEN not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location")


def test_the_address_of_lan_brings_its_token_along(page: Page, tmp_path: Path) -> None:
    with running(tmp_path, tokens=(TOKEN,)) as guarded:
        page.goto(f"{guarded.ready().url}/#token={TOKEN}")
        page.locator(".promises").get_by_text("erased after").wait_for()
        assert TOKEN not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location")


def test_the_page_is_small_and_paints_before_any_script(page: Page, server: Running) -> None:
    assert sum(path.stat().st_size for path in app.PAGE.rglob("*") if path.is_file()) < 250_000
    index = (app.PAGE / "index.html").read_text()
    modules = {path.relative_to(app.PAGE).as_posix() for path in app.PAGE.rglob("*.js")} - {"docs.js"}
    assert {name for name in modules if f'"page/{name}"' not in index} == set(), "all asked for at once"
    page.route("**/*.js", lambda route: route.abort())
    page.goto(server.url)
    page.locator(".brand").wait_for()
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length === 1")


def test_a_missed_face_is_drawn_by_hand(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.get_by_role("button", name="Choose or add faces").click()
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + 0.45 * box["width"], box["y"] + 0.45 * box["height"]
    with page.expect_request("**/again?*") as request:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 80, y + 90, steps=4)
        page.mouse.up()
    assert "face=" in request.value.url
    scale = 2 * viewer(page, "percent") / 100
    drawn = [int(side) for side in page.evaluate("window.revisage.current.settings.run.face[0].split(',')")]
    assert drawn[2:] == pytest.approx([80 / scale, 90 / scale], abs=2)


def test_two_results_of_one_photo_are_compared(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(size=(120, 120))))
    page.get_by_role("button", name="Side by side").click()
    page.get_by_text("Compare with this result").click()
    page.get_by_label("Size").select_option("1")
    page.get_by_label("Rest of the photo").select_option("none")
    page.get_by_text("120 × 120 → 120 × 120 pixels").wait_for()
    page.wait_for_function("() => window.revisage.current.pictures && !window.revisage.current.isBusy")
    assert page.evaluate("window.revisage.current.report.models.scene") is None
    page.get_by_label("Strength of the faces").fill("0")
    page.get_by_text("Earlier result").wait_for(state="attached")
    page.evaluate("window.revisage.viewer.zoomToBox(window.revisage.current.boxes[0])")
    rows = [[drawn(page, x + 0.02 * n, 0.5)[0] for n in range(10)] for x in (0.15, 0.65)]
    assert [max(row) - min(row) > 50 for row in rows] == [True, False], "stripes on the earlier side only"
    page.get_by_text("Compare with the photo").click()
    assert page.evaluate("window.revisage.current.pinned") is None


def test_a_photo_is_turned_straightened_and_cropped(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(size=(320, 200))))
    page.get_by_role("button", name="Zoom to face 1").click()
    page.get_by_role("button", name="Turn, straighten, crop").click()
    page.get_by_role("button", name="Turn to the right").click()
    page.get_by_role("slider", name="Straighten").fill("5")
    corner = page.get_by_role("button", name="Corner 3").bounding_box()
    frame = page.locator(".frame").bounding_box()
    assert corner is not None
    assert frame is not None
    assert frame["width"] / frame["height"] == pytest.approx(200 / 320, abs=0.01)
    page.mouse.move(corner["x"] + 22, corner["y"] + 22)
    page.mouse.down()
    page.mouse.move(corner["x"] + 22, corner["y"] + 22 - frame["height"] / 2, steps=4)
    assert page.locator(".frame.moving").count() == 1, "a grid while it moves"
    page.mouse.up()
    page.get_by_role("button", name="Part to keep").first.focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_function("() => window.revisage.current.pictures && window.revisage.current.ran.crop")
    ran = page.evaluate("window.revisage.current.ran")
    x, y, w, h = (float(side) for side in ran["crop"].split(","))
    assert viewer(page, "isWhole"), "what was zoomed to may be gone"
    assert (ran["turn"], ran["straighten"]) == ("90", 5)
    assert (x, y, w, h) == pytest.approx((0, 0.01, 1, 0.5), abs=0.01)
    shrink = 1 / (math.cos(math.radians(5)) + 1.6 * math.sin(math.radians(5)))
    size = page.evaluate("window.revisage.current.report.size_in")
    assert size == pytest.approx([200 * shrink, 320 * shrink * h], abs=1)
    page.reload()
    page.wait_for_function("() => window.revisage?.current?.pictures")
    page.keyboard.press("r")
    page.locator(".part").wait_for()
    assert page.evaluate("window.revisage.framing.image.naturalWidth") == 320, "all of the photo is there"
    assert page.evaluate("window.revisage.framing.box") == pytest.approx([x, y, w, h])
    page.get_by_role("button", name="Cancel").click()
    page.set_input_files("#files", files(("b.png", photo(2))))
    done(page, 2)
    assert page.evaluate("window.revisage.photos[1].ran") == {}, "what is true of one photo stays with it"


def test_a_photo_that_is_shared_to_the_page_is_there(page: Page, server: Running) -> None:
    manifest = requests.get(server.url + "/page/manifest.webmanifest", timeout=5).json()
    assert manifest["share_target"]["action"] == "../share"
    answer = requests.post(
        server.url + "/share", files={"file": ("shared.png", photo())}, allow_redirects=False, timeout=10
    )
    assert answer.status_code == 303
    page.goto(f"{server.url}/{answer.headers['location']}")
    page.locator(".panel h2", has_text="shared.png").wait_for()
    done(page, 1)
    assert page.url == server.url + "/"


def test_the_description_of_the_api_is_shown(page: Page, server: Running) -> None:
    page.goto(server.url + "/docs")
    summary = page.locator("summary", has_text="/v1/restore")
    summary.click()
    assert page.locator("details[open] td").get_by_text("strength", exact=True).count() == 1


def scratched() -> bytes:
    """A photo of 320 x 200 with a dark line across, 4 pixels wide."""
    pixels = np.full((200, 320, 3), (200, 128, 0), np.uint8)
    pixels[150:154, 40:280] = 20
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def painting(page: Page) -> Page:
    page.get_by_role("button", name="Paint over damage").click()
    page.locator(".stage.brushing").wait_for()
    page.wait_for_function("() => window.revisage.viewer.shown.brush")
    return page


def repaired(page: Page) -> Any:
    """What the report says once the painted mask has been used."""
    with page.expect_response("**/again?*"):
        page.get_by_role("button", name="Repair", exact=True).click()
    page.wait_for_function(
        "() => { const { current } = window.revisage; return !current.isBusy && current.pictures; }"
    )
    return page.evaluate("window.revisage.current.report.repair")


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the scratched photo, in pixels, is on the screen while the photo is shown whole."""
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    scale = 2 * viewer(page, "percent") / 100
    return box["x"] + box["width"] / 2 + (x - 160) * scale, box["y"] + box["height"] / 2 + (y - 100) * scale


def test_damage_is_painted_over_shown_and_taken_away_again(page: Page, server: Running) -> None:
    added(page, server, ("a.png", scratched()))
    assert shown(page)[304, 320].max() < 40
    assert page.get_by_label("Show what was repaired").count() == 0
    painting(page)
    page.mouse.move(*on_screen(page, 35, 152))
    page.mouse.down()
    page.mouse.move(*on_screen(page, 285, 152), steps=8)
    page.mouse.up()
    entry = repaired(page)
    wide = 32 / (2 * viewer(page, "percent") / 100)
    assert entry["model"] is None
    assert entry["share"] * 320 * 200 == pytest.approx(250 * wide, rel=0.4)
    assert shown(page)[304, 320] == pytest.approx([200, 128, 0], abs=12), "the line is gone"
    page.get_by_label("Show what was repaired").check()
    page.wait_for_function("() => window.revisage.viewer.shown.mask")
    assert page.evaluate(COVERED, [0.5, 0.76]) == 255
    page.reload()
    page.wait_for_function("() => window.revisage?.current?.pictures?.mask")
    painting(page)
    assert page.evaluate(COVERED, [0.5, 0.76]) == 255, "it begins with what was repaired"
    page.get_by_role("button", name="Take away").click()
    page.mouse.move(*on_screen(page, 160, 152))
    page.mouse.down()
    page.mouse.up()
    assert page.evaluate(COVERED, [0.5, 0.76]) == 0
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate(COVERED, [0.5, 0.76]) == 255
    page.get_by_role("button", name="Take all away").click()
    assert repaired(page) is None
    assert page.evaluate("window.revisage.current.settings.run") == {}
    assert shown(page)[304, 320].max() < 40, "as it was"


@pytest.mark.parametrize("mode", ["Paint over damage", "Turn, straighten, crop"])
def test_a_double_click_on_apply_deletes_nothing(page: Page, server: Running, mode: str) -> None:
    """The second click may come before the page is drawn anew, or hit "Delete", which lies there then."""
    added(page, server, ("a.png", photo()))
    page.get_by_role("button", name=mode).click()
    page.locator(".tools .primary").wait_for()
    page.evaluate("""() => {
        const press = (name) => document.querySelector(name).click();
        ['.tools .primary', '.tools .primary', '.actions .delete'].forEach(press);
    }""")
    assert page.evaluate("window.revisage.photos.length") == 1
    page.locator(".tools .primary").wait_for(state="detached")
    page.wait_for_timeout(600)
    page.locator(".actions .delete").click()
    page.locator(".drop").wait_for()


COVERED = """([x, y]) => {
    const canvas = window.revisage.viewer.shown.mask;
    return canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3];
}"""
"""How opaque the mask is at a place in shares of the picture."""


def test_a_mask_is_painted_with_the_keyboard_alone(page: Page, server: Running) -> None:
    added(page, server, ("a.png", scratched()))
    page.keyboard.press("p")
    page.wait_for_function("() => window.revisage.viewer.shown.brush")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    for _ in range(3):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.down(" ")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.up(" ")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("window.revisage.brush.at[0]") > 0.5
    place = page.evaluate("window.revisage.brush.at")
    across = page.evaluate(COVERED, [0.5 + (place[0] - 0.5) / 2, 0.5 + (place[1] - 0.5) * 0.92])
    assert across == 255
    page.keyboard.press("z")
    assert not page.evaluate("window.revisage.brush.canUndo")
    page.keyboard.press("]")
    page.keyboard.press(" ")
    assert page.evaluate("window.revisage.brush.size") == pytest.approx(32 * 1.4)
    page.keyboard.press("e")
    page.get_by_role("button", name="Take away", pressed=True).wait_for()
    page.keyboard.press("Delete")
    page.keyboard.press(",")
    assert page.evaluate("window.revisage.photos.length") == 1, "nothing else happens while one paints"
    page.get_by_role("button", name="Repair", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.revisage.current.report.repair?.share > 0")


def test_one_finger_paints_and_two_zoom(open_page: Callable[..., Page], server: Running) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    added(page, server, ("a.png", scratched()))
    painting(page)
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = on_screen(page, 160, 100)
    touch("touchStart", (x - 20, y))
    touch("touchStart", (x - 20, y), (x + 20, y))
    for apart in (30, 45, 60):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    assert viewer(page, "zoom") > 2
    assert not page.evaluate("window.revisage.brush.canUndo"), "a pinch paints nothing"
    touch("touchStart", (x - 20, y))
    touch("touchMove", (x + 20, y))
    touch("touchEnd")
    assert page.evaluate("window.revisage.brush.canUndo")
    assert page.evaluate(COVERED, [0.5, 0.5]) == 255
    page.keyboard.press("0")
    assert repaired(page)["share"] > 0


def test_the_brush_paints_where_the_photo_was_turned_by_itself(page: Page, server: Running) -> None:
    """The server takes the mask of the photo as it lay, the page shows it as it was turned."""
    added(page, server, ("a.png", scratched()))
    mask = page.evaluate("""async () => {
        const { Brush } = await import('/page/brush.js');
        const brush = new Brush({ size: [200, 100], mask: null }, 90);
        brush.at = [0.1, 0.2];
        brush.begin(0.05);
        brush.paint();
        return brush.file();
    }""")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask))).convert("L"))
    assert picture.shape == (200, 100)
    y, x = (float(axis.mean()) for axis in np.nonzero(picture))
    assert (x, y) == pytest.approx((20, 180), abs=1), "turned by 90 degrees it is where it was painted"


@pytest.mark.parametrize("framed", [{}, {"turn": "90", "straighten": 5, "crop": "0.1,0.1,0.8,0.8"}])
def test_what_is_painted_on_a_close_up_is_what_is_filled(
    page: Page, server: Running, framed: dict[str, Any]
) -> None:
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 255, (200, 320), dtype=np.uint8))
    stream = io.BytesIO()
    noise.convert("RGB").save(stream, "PNG")
    added(page, server, ("a.png", stream.getvalue()))
    if framed:
        page.evaluate("framed => revisage.set(({ run }) => Object.assign(run, framed), true)", framed)
        page.wait_for_function("() => revisage.current.ran.turn && revisage.current.pictures")
    before = shown(page)
    painting(page)
    page.evaluate("revisage.viewer.zoomTo(400, revisage.viewer.toStage([0.7, 0.8]))")
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=5)
    page.mouse.up()
    drawn = page.evaluate("revisage.brush.file()")
    painted = Image.open(io.BytesIO(base64.b64decode(drawn))).convert("L")
    repaired(page)
    changed = np.abs(shown(page) - before).max(2) > 24
    painted = painted.resize(changed.shape[::-1], Image.Resampling.NEAREST)
    wide = np.asarray(painted.filter(ImageFilter.MaxFilter(35))) > 0
    narrow = np.asarray(painted.filter(ImageFilter.MinFilter(5))) > 0
    assert narrow.sum() > 100
    assert changed[~wide].mean() < 0.001, "nothing else is changed"
    assert changed[narrow].mean() > 0.7, "all of it is filled"


def test_turning_a_painted_photo_says_that_the_paint_is_gone(page: Page, server: Running) -> None:
    added(page, server, ("a.png", scratched()))
    painting(page)
    page.mouse.click(*on_screen(page, 160, 152))
    repaired(page)
    page.get_by_role("button", name="Turn, straighten, crop").click()
    page.get_by_role("button", name="Apply").click()
    page.locator(".frame-tools").wait_for(state="detached")
    assert page.evaluate("window.revisage.current.settings.run.mask"), "nothing was turned"
    page.get_by_role("button", name="Turn, straighten, crop").click()
    page.get_by_role("button", name="Turn to the left").click()
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("paint it again").wait_for()


def test_escape_leaves_but_loses_no_strokes(page: Page, server: Running) -> None:
    added(page, server, ("a.png", scratched()))
    painting(page)
    page.mouse.click(*on_screen(page, 160, 152))
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    assert not page.evaluate("window.revisage.brush.canUndo")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Turn, straighten, crop").click()
    page.locator(".frame-tools").wait_for()
    page.keyboard.press("Escape")
    page.locator(".frame-tools").wait_for(state="detached")


def test_a_missed_face_is_tapped_and_taken_back(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.get_by_role("button", name="Choose or add faces").click()
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    with page.expect_request("**/again?*"):
        page.mouse.click(x, y)
    left, top, w, h = (
        int(side) for side in page.evaluate("revisage.current.settings.run.face[0].split(',')")
    )
    assert (left + w / 2, top + h / 2) == pytest.approx((110, 60), abs=2)
    sides = page.evaluate("revisage.current.faces.map(({ box: [, , w, h] }) => Math.sqrt(w * h))")
    assert min(sides) - 1 < w < max(sides) + 1, "as large as the others"
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => !revisage.current.isBusy && revisage.current.pictures")
    assert page.evaluate("revisage.current.ran") == {}


def test_faces_left_out_stay_so_where_one_is_added(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.evaluate("revisage.toggleFace(1)")
    page.evaluate("revisage.addFace([100, 10, 30, 30])")
    page.wait_for_function("() => revisage.current.faces.length === 3")
    assert page.evaluate("revisage.current.own") == {"2": 0}
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => revisage.current.faces.length === 2")
    assert page.evaluate("revisage.current.own") == {"1": 0}


def test_a_pinch_adds_no_face(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.locator(".look").press("c")
    page.wait_for_function("() => revisage.viewer.shown.choosing")
    page.evaluate("""() => {
        const canvas = revisage.viewer.canvas;
        const { left, top } = canvas.getBoundingClientRect();
        canvas.setPointerCapture = () => {};
        const point = (type, pointerId, at) => canvas.dispatchEvent(new PointerEvent(type, {
            pointerId, pointerType: 'touch', button: 0, clientX: left + at, clientY: top + at }));
        [['down', 1, 200], ['down', 2, 260], ['move', 1, 160], ['move', 2, 340], ['up', 1, 160],
            ['move', 2, 400], ['up', 2, 400]].forEach(([type, ...more]) => point(`pointer${type}`, ...more));
    }""")
    assert viewer(page, "zoom") > 1
    assert page.evaluate("revisage.current.settings.run.face ?? null") is None


def test_a_missed_face_is_added_by_keyboard_alone(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.get_by_role("button", name="Choose or add faces").press("Enter")
    box = page.get_by_role("application", name="missed faces")
    page.wait_for_function("() => revisage.viewer.aim && document.activeElement.tagName === 'CANVAS'")
    assert viewer(page, "aim.at") == pytest.approx([0.5, 0.5]), "in the middle of what is seen"
    side = viewer(page, "aim.side")
    box.press("ArrowDown")
    box.press("Shift+ArrowRight")
    down = 0.5 + 0.25 * side / 240
    assert viewer(page, "aim.at") == pytest.approx([0.5 + side / 440, down])
    box.press("Shift+ArrowLeft")
    box.press("+")
    box.press("+")
    box.press("-")
    assert viewer(page, "aim.side") == pytest.approx(1.25 * side)
    with page.expect_request("**/again?*"):
        box.press("Enter")
    corner_and_sides = [110 - 0.625 * side / 2, 120 * down - 0.625 * side / 2, 0.625 * side, 0.625 * side]
    added_box = [int(side) for side in page.evaluate("revisage.current.settings.run.face[0].split(',')")]
    assert added_box == pytest.approx(corner_and_sides, abs=1)
    assert viewer(page, "aim") is None, "a second Enter adds nothing"
    page.wait_for_function("() => !revisage.current.isBusy && revisage.current.pictures")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS", "the next one can be added"
    box.press("Escape")
    page.get_by_role("button", name="Choose or add faces", pressed=False).wait_for()
    page.wait_for_function("() => document.activeElement.textContent === 'Choose or add faces'")
    page.get_by_role("button", name="Undo").press("z")
    page.wait_for_function("() => !revisage.current.settings.run.face")


def test_a_face_is_left_out_by_the_key_that_adds_one(page: Page, server: Running) -> None:
    """Enter does where the box is what a tap does there; a drag of the mouse takes the box away."""
    added(page, server, ("a.png", photo()))
    page.get_by_role("button", name="Choose or add faces").click()
    box = page.get_by_role("application", name="missed faces")
    page.wait_for_function("() => revisage.viewer.shown.choosing")
    box.press("ArrowLeft")
    assert page.evaluate("revisage.viewer.aim !== null"), "the first key shows it"
    while viewer(page, "aim.at[0]") * 440 > 2 * 70:
        box.press("ArrowLeft")
    box.press("Enter")
    page.get_by_role("checkbox", name="Restore face 1", checked=False).wait_for()
    assert page.evaluate("revisage.current.settings.run.face ?? null") is None
    box.press("ArrowLeft")
    box.click(position={"x": 5, "y": 5})
    assert viewer(page, "aim") is None


@pytest.mark.parametrize("count", [1, 2])
def test_deletion_is_undone_by_a_key(page: Page, server: Running, count: int) -> None:
    added(page, server, *((f"{n}.png", photo(n)) for n in range(count)))
    page.locator(".look").press("Delete")
    focused = ".look" if count > 1 else "#files"
    page.wait_for_function(
        "focused => revisage.toast && document.activeElement.matches(focused)", arg=focused
    )
    page.keyboard.press("z")
    page.get_by_role("button", name="Delete 0.png").wait_for()


def test_a_double_click_on_delete_takes_one_photo(page: Page, server: Running) -> None:
    names = ["a.png", "b.png", "c.png"]
    added(page, server, *((name, photo(level)) for level, name in enumerate(names)))
    page.get_by_role("button", name="Delete a.png").dblclick()
    page.get_by_text("a.png was deleted").wait_for()
    page.wait_for_function("() => revisage.current.name === 'b.png'")
    for _ in range(5):
        page.evaluate("revisage.remove(revisage.removed.photo)")  # drawn late
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate("revisage.photos.map(({ name }) => name)") == names


def test_undo_stays_when_an_earlier_photo_cannot_be_deleted(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo(0)), ("b.png", photo(1)))
    page.route(
        "**/v1/jobs/*", lambda route: route.abort() if route.request.method == "DELETE" else route.fallback()
    )
    page.evaluate("revisage.remove(revisage.photos[0])")
    page.wait_for_timeout(700)  # two at once are a double click
    page.evaluate("revisage.remove(revisage.photos[0])")
    page.wait_for_function("() => revisage.photos.map(({ name }) => name).join() === 'a.png'")
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate("revisage.photos.map(({ name }) => name).sort()") == ["a.png", "b.png"]


def test_letters_are_keys_with_caps_lock_too(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.locator(".look").press("B")
    assert page.evaluate("revisage.mode") == "side"


def test_help_names_the_keys_without_scrolling(page: Page, server: Running) -> None:
    opened(page, server)
    page.get_by_role("button", name="Help").click()
    help = page.get_by_role("dialog", name="Help")
    for told in "While choosing faces", "While painting", "Undo", "Leave what was begun":
        help.locator("dd", has_text=re.compile(f"^{told}")).wait_for()
    assert help.evaluate("help => help.scrollHeight <= help.clientHeight")


def test_nothing_moves_by_itself_where_that_is_not_wanted(
    open_page: Callable[..., Page], server: Running
) -> None:
    page = opened(open_page(reduced_motion="reduce"), server)
    page.set_input_files("#files", files(("slow.png", slow_photo(2))))
    page.locator(".status progress").wait_for()
    moving = """() => [...document.querySelectorAll('*')].flatMap((one) =>
        [null, '::before', '::after', '::-webkit-progress-value'].map((part) => getComputedStyle(one, part)))
        .filter((style) => style.transitionDuration !== '0s' || style.animationName !== 'none').length"""
    assert page.evaluate(moving) == 0


def test_a_scan_with_several_prints_is_told_of(page: Page, server: Running) -> None:
    added(page, server, ("a.png", photo()))
    page.get_by_role("button", name="Turn, straighten, crop").click()
    page.get_by_role("button", name="Only the print").click()
    page.get_by_text("revisage split").wait_for()


def test_the_result_comes_first(page: Page, server: Running) -> None:
    """Most of what is seen is the result, and of what failed and what did not it is the latter."""
    opened(page, server).set_input_files("#files", files(("bad.png", b"no photo"), ("a.png", photo())))
    page.wait_for_function("() => revisage.current.name === 'a.png' && revisage.viewer?.shown.pictures")
    assert viewer(page, "toPicture([revisage.viewer.line * revisage.viewer.width, 0])[0]") == pytest.approx(
        0.2
    )
    page.locator(".film button").first.click()
    page.get_by_role("heading", name="bad.png").wait_for()


def test_a_photo_goes_on_when_the_server_is_back(page: Page, tmp_path: Path) -> None:
    with running(tmp_path) as first:
        opened(page, first.ready(120))
        first.stop()
    page.set_input_files("#files", files(("a.png", photo())))
    page.locator(".failures").get_by_text("does not answer").wait_for()
    with running(tmp_path, port=int(first.url.rsplit(":", 1)[1])):
        done(page, 1)
        page.locator(".failures").wait_for(state="detached")
