"""Repair: what is marked is filled and nothing else, by a model or by hand; red eyes."""

from __future__ import annotations

import base64
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, face_at, same

from revisage import label, zoo
from revisage.cli import main
from revisage.cli import restore as command
from revisage.errors import ModelError, RuntimeUnavailableError, UsageError
from revisage.faces import Detector
from revisage.image import decode, encode, from_array
from revisage.options import DecodeLimits, RestoreOptions, SaveOptions
from revisage.restore import Restorer, Result
from revisage.restore.inpaint import inpaint
from revisage.restore.red_eyes import without_red_eyes
from revisage.restore.repair import MOST, damage_in, drawn, mask_by_hand
from revisage.restore.video.film import Frame, restore_film
from revisage.server.options import JobOptions

FACES = sorted(Path(__file__).parents[2].glob("shared/data/faces256/*"))[::66][:100]

WHITE = 250
HEIGHT, WIDTH = 240, 320


def scenery(seed: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: slopes, an edge, and grain; nothing as light as the marks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    gray = 60 + 50 * np.sin(x / 60) + 30 * np.cos(y / 45) + 40 * (x + 0.5 * y > 200)
    picture = gray[..., None] * [1.0, 0.9, 0.8] + rng.normal(0, 3, (HEIGHT, WIDTH, 1))
    return np.clip(picture, 0, 235).astype(np.uint8)


def marks(thick: bool = False) -> np.ndarray:
    """(HEIGHT, WIDTH) bool: scratches and specks; or also a blot."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for start, end in (((5, 20), (300, 200)), ((160, 0), (150, 239)), ((20, 220), (140, 60))):
        cv2.line(drawn, start, end, 1, 2)
    for x, y in ((60, 30), (250, 60), (220, 190)):
        cv2.circle(drawn, (x, y), 1, 1, -1)
    if thick:
        cv2.circle(drawn, (250, 130), 16, 1, -1)
    return drawn > 0


def marked(thick: bool = False) -> np.ndarray:
    picture = scenery()
    picture[marks(thick)] = WHITE
    return picture


def by_lightness(picture: np.ndarray) -> np.ndarray:
    """A damage model that knows: what is as light as the marks."""
    return np.float32(picture[..., :1] > (WHITE - 5) / 255)


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((picture.astype(float) - truth) ** 2)))


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def mask_png(mask: np.ndarray) -> bytes:
    return png(mask.astype(np.uint8) * 255)


def restorer(**stubs: object) -> Restorer:
    return Restorer(models=StubModels(**stubs))  # type: ignore[arg-type]


@pytest.mark.parametrize("thick", [True, False])
def test_filling_comes_close_to_what_was_there_and_touches_nothing_else(thick: bool) -> None:
    truth, missing = scenery(), marks(thick)
    damaged = marked(thick)
    filled = inpaint(damaged, missing)
    assert np.array_equal(filled[~missing], damaged[~missing])
    assert psnr(filled, truth) > psnr(damaged, truth) + 12
    grain = [np.std((p.astype(float) - cv2.blur(p, (5, 5)))[missing]) for p in (filled, truth)]
    assert 0.6 < grain[0] / grain[1] < 1.4


def test_filling_in_16_bits_and_of_gray_pictures() -> None:
    missing = marks(thick=True)
    wide = inpaint(marked(True).astype(np.uint16) * 257, missing)
    assert wide.dtype == np.uint16
    assert len(np.unique(wide[missing] % 257)) > 50  # finer than 8 bits
    assert psnr(wide / 257, inpaint(marked(True), missing)) > 45
    gray = inpaint(np.repeat(marked(True)[..., :1], 3, axis=2), missing)
    assert (gray == gray[..., :1]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (33, 7)])
def test_filling_small_pictures_and_nearly_everything(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 77, np.uint8)
    assert np.array_equal(inpaint(picture, np.zeros(shape, bool)), picture)
    missing = np.ones(shape, bool)
    missing[-1, -1] = False
    picture[missing] = 200
    assert np.abs(inpaint(picture, missing).astype(int) - 77).max() <= 2


def test_only_the_mask_is_changed_and_all_else_is_kept() -> None:
    rng = np.random.default_rng(1)
    alpha = rng.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    photo = replace(from_array(marked().astype(np.uint16) * 257), alpha=alpha, icc=b"profile")
    result = restorer().restore(photo, scale=1, mask=mask_png(marks()))
    changed = (result.pixels != photo.pixels).any(axis=2)
    assert np.array_equal(result.repair.mask, marks())
    assert not changed[~marks()].any()
    assert changed[marks()].mean() > 0.99
    assert np.array_equal(result.photo.alpha, alpha)
    assert result.photo.icc == b"profile"
    entry = result.entry()
    assert entry["repair"] == {
        "share": round(float(marks().mean()), 5), "found": round(float(marks().mean()), 5), "model": None
    }  # fmt: skip
    assert "of it was damaged and is repaired" in result.notes[0]
    assert label.read(result.encode("PNG")) is None  # no model changed it


def test_off_changes_nothing_and_needs_no_model() -> None:
    result = restorer().restore(marked(), scale=1)
    assert np.array_equal(result.pixels, marked())
    assert (result.repair, result.entry()["repair"]) == (None, None)


def test_without_the_model_it_is_told_before_the_first_photo() -> None:
    options = RestoreOptions(repair="light")
    for act in (restorer().check, lambda chosen: restorer().restore(marked(), chosen)):
        with pytest.raises(ModelError):
            act(options)
    restorer().check(replace(options, mask=mask_png(marks())))  # a mask needs none


def test_a_mask_that_marks_nothing_is_told() -> None:
    result = restorer().restore(marked(), scale=1, mask=mask_png(np.zeros_like(marks())))
    assert result.notes == ("the mask marks nothing: paint damage white",)
    assert np.array_equal(result.pixels, marked())


def test_a_speck_is_told_as_more_than_nothing() -> None:
    speck = np.zeros((HEIGHT, WIDTH), bool)
    speck[100:102, 100:102] = True
    result = restorer().restore(marked(), scale=1, mask=mask_png(speck))
    assert result.notes == ("under 0.1% of it was damaged and is repaired",)


def test_the_model_marks_and_the_label_tells() -> None:
    result = restorer(damage=by_lightness).restore(marked(thick=True), scale=1, repair="full")
    assert psnr(result.pixels, scenery()) > psnr(marked(thick=True), scenery()) + 6
    assert not (marks(True) & ~result.repair.mask).any()
    around = cv2.dilate(marks(True).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.array_equal(result.pixels[~around], marked(True)[~around])
    assert result.models["damage"] == "stub-damage 1"
    assert result.digests["stub-damage 1"]() == ("digest of damage",)
    assert label.read(result.encode("PNG")).models == ("stub-damage 1", "damage filled by estimate")


def test_light_leaves_what_is_wide() -> None:
    result = restorer(damage=by_lightness).restore(marked(thick=True), scale=1, repair="light")
    assert (result.pixels[120:140, 240:260] == WHITE).all()  # the blot
    thin = marks() & ~(cv2.dilate((marks(True) & ~marks()).astype(np.uint8), np.ones((9, 9))) > 0)
    assert result.repair.mask[thin].all()


def test_a_weak_mark_counts_only_where_it_touches_a_sure_one() -> None:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)  # its red is the probability
    picture[100:104, 50:150], picture[100:104, 50:60], picture[30:34, 50:150] = 215, 250, 215
    mask = damage_in(picture, StubModels(damage=lambda picture: picture[..., :1]).damage(), thin=False)
    assert mask[100:104, 50:150].all()
    assert not mask[:90].any()


def test_what_is_not_seen_in_the_mirror_image_too_is_no_damage() -> None:
    def on_the_left(picture: np.ndarray) -> np.ndarray:
        return np.float32(np.indices(picture.shape[:2])[1][..., None] < 20)

    assert not damage_in(scenery(), StubModels(damage=on_the_left).damage(), thin=False).any()


@pytest.mark.parametrize(("height", "width"), [(2001, 1403), (37, 53), (1, 5000)])
def test_any_size_gives_a_mask_of_the_photo(height: int, width: int) -> None:
    models = StubModels(damage=lambda picture: np.zeros((*picture.shape[:2], 1)))
    picture = np.zeros((height, width, 3), np.uint8)
    assert damage_in(picture, models.damage(), thin=True).shape == (height, width)
    sides = [side for shape in models.damage_session.batches for side in shape[2:]]
    assert all(side % 16 == 0 for side in sides)


def test_a_model_that_marks_the_picture_itself_changes_nothing() -> None:
    def half(picture: np.ndarray) -> np.ndarray:
        return np.float32(np.indices(picture.shape[:2])[0][..., None] % 160 < 80)

    result = restorer(damage=half).restore(scenery(), scale=1, repair="full")
    assert np.array_equal(result.pixels, scenery())
    assert result.repair.found > MOST
    assert "too much" in result.notes[0]
    assert result.changed_by == ()


def test_a_model_with_invalid_numbers() -> None:
    models = StubModels(damage=lambda picture: np.full((*picture.shape[:2], 1), np.nan))
    with pytest.raises(RuntimeUnavailableError, match="invalid numbers"):
        damage_in(scenery(), models.damage(), thin=False)


def test_faces_are_found_and_restored_without_the_marks() -> None:
    seen = []

    def find(pixels: np.ndarray) -> list:
        seen.append(pixels)
        return [face_at(160, 120, 120), face_at(285, 40, 50)]

    stubs = StubModels(face=same, faces=find)
    analysed = Restorer(models=stubs).analyse(marked(), scale=1, mask=mask_png(marks()))
    assert np.array_equal(analysed.before.pixels, marked())  # as it was read, to compare with
    result = analysed.render()
    assert seen[0][marks()].max() < WHITE - 5
    assert [face.repaired for face in result.faces] == [True, False]
    assert result.entry()["faces"][0]["repaired"] is True
    assert not analysed.serves(RestoreOptions(scale=1))


def test_the_mask_turns_with_the_photo() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[100:110, 20:200] = True
    by_hand = restorer().restore(marked(), scale=1, turn=90, mask=mask_png(np.rot90(mask, -1)))
    assert np.array_equal(np.rot90(by_hand.repair.mask), mask)
    lying = [face_at(160, 120, 120, angle=90)]
    auto = restorer(face=same, faces=lying).restore(marked(), scale=1, turn="auto", mask=mask_png(mask))
    assert auto.turned == 270
    assert np.array_equal(np.rot90(auto.repair.mask, -1), mask)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_the_mask_of_a_turned_photo_may_be_given_back(angle: int) -> None:
    make = restorer(face=same, faces=[face_at(160, 120, 120, angle=angle)])
    first = make.restore(marked(), scale=1, turn="auto", mask=mask_png(marks()))
    again = make.restore(marked(), scale=1, turn="auto", mask=first.repair.png())
    assert first.turned == -angle % 360
    assert np.array_equal(again.pixels, first.pixels)


def test_a_mask_may_be_an_array_or_a_picture() -> None:
    options = RestoreOptions(mask=mask_png(marks()))
    white = marks().astype(np.uint8) * 255
    lying = Image.fromarray(np.rot90(white))
    lying.getexif()[274] = 6  # to be shown turned clockwise
    layer = Image.new("RGBA", (WIDTH, HEIGHT), "white")
    layer.putalpha(Image.fromarray(white))
    for mask in (
        marks(), white, np.dstack([white] * 3), np.dstack([marks()] * 3), white[::-1][::-1],
        Image.fromarray(marks()), Image.fromarray(white), Image.fromarray(white).convert("P"), lying, layer,
    ):  # fmt: skip
        given = RestoreOptions(mask=mask)
        assert np.array_equal(drawn(given.mask, DecodeLimits()), white)
        assert isinstance(hash(replace(given, strength=0.5)), int)
    result = restorer().restore(marked(), scale=1, mask=marks())
    assert np.array_equal(result.pixels, restorer().restore(marked(), options, scale=1).pixels)


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    def refused(mask: object) -> str:
        with pytest.raises(UsageError) as told:
            restorer().restore(marked(), mask=mask)
        return str(told.value)

    assert "base64" in refused("mask.png")
    assert "the mask mask.png cannot be opened: there is no such file" in refused("mask.png")
    assert "base64" in refused("maské.png")
    assert "cannot be read" in refused(b"no picture")
    assert "cannot be opened" in refused(tmp_path / "none.png")
    assert "another shape" in refused(mask_png(np.zeros((100, 100), bool)))
    assert "another shape" in refused(np.zeros((100, 100), bool))
    assert "another shape" in refused(Image.new("1", (100, 100)))
    assert "marks 100% of the photo" in refused(mask_png(np.ones((HEIGHT, WIDTH), bool)))
    assert "damage is white, and what is intact black" in refused(mask_png(~marks()))
    assert "neither black nor white" in refused(png(marked()))  # a photograph, painted on
    assert "neither black nor white" in refused(marked())
    assert "marks 100% of the photo" in refused(np.ones((HEIGHT, WIDTH), bool))
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4), int), np.zeros((0, 4), bool), np.uint8(1), np.zeros(())):
        assert "the mask is not (H, W) or (H, W, 3) of uint8 or bool" in refused(wrong)
    for shape in ((4, 4, 5), (2, 4, 4, 3)):
        assert "the mask is not (H, W) or (H, W, 3) of uint8 or bool" in refused(np.zeros(shape, np.uint8))
    assert "cannot write mode F" in refused(Image.new("F", (WIDTH, HEIGHT)))


def test_a_mask_of_any_size_and_of_painted_layers() -> None:
    def read(data: bytes) -> np.ndarray:
        return mask_by_hand(base64.b64encode(data).decode(), (WIDTH, HEIGHT), DecodeLimits())

    big = np.repeat(np.repeat(marks(True), 3, axis=0), 3, axis=1)
    assert (read(mask_png(big)) == marks(True)).mean() > 0.998
    small = read(mask_png(marks(True)[::8, ::8]))
    assert small[130, 250]
    layer = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    layer[..., 3] = marks() * 255
    assert np.array_equal(read(png(layer)), marks())
    layer[..., 1:3] = 0  # red is not white
    assert not read(png(layer)).any()


@pytest.mark.parametrize("kind", ["soft", "compressed", "probability"])
def test_masks_that_are_not_quite_black_and_white(kind: str) -> None:
    mask = cv2.GaussianBlur(marks().astype(np.uint8) * 255, (0, 0), 1 if kind == "compressed" else 4)
    if kind == "probability":
        mask = cv2.max(mask, np.random.default_rng(1).integers(0, 60, mask.shape, dtype=np.uint8))
    data = encode(from_array(mask), format="JPEG", quality=20) if kind == "compressed" else png(mask)
    drawn(base64.b64encode(data).decode(), DecodeLimits())


def test_on_the_command_line_a_mask_goes_out_and_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*settings: object, **changes: object) -> Restorer:
        return restorer(damage=by_lightness)

    monkeypatch.setattr(command, "Restorer", make)
    source, out, report = tmp_path / "a.png", tmp_path / "out" / "b.png", tmp_path / "report.json"
    source.write_bytes(png(marked()))
    line = [str(source), "-o", str(out), "--scale", "1", "--report", str(report)]
    assert main([*line, "--repair", "light", "--save-mask"]) == 0
    beside = out.with_name("b.png.mask.png")
    first = np.asarray(Image.open(out))
    (entry,) = json.loads(report.read_text())["photos"]
    assert entry["repair"]["model"] == "stub-damage 1"
    assert entry["repair"]["share"] == pytest.approx(np.mean(np.asarray(Image.open(beside)) > 0), abs=1e-4)
    assert main([*line, "--mask", str(beside)]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), first)
    assert main([*line, "--mask", str(tmp_path / "none.png")]) == 2
    drawn = beside.read_bytes()
    for place, also in ((beside, []), (out, ["--save-mask"])):
        over = [str(source), "-o", str(place), "--mask", str(beside), "--overwrite", *also]
        assert main(over) == 2, "the mask is no place for a result"
    assert beside.read_bytes() == drawn
    beside.write_bytes(png(np.zeros((4, 4), np.uint8)))  # another's
    assert main([*line, "--repair", "light", "--save-mask"]) == 0
    assert Image.open(beside).size == (4, 4)


def test_masks_of_photos_of_one_name_lie_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *_, **__: restorer(damage=by_lightness))
    Image.fromarray(marked()).save(tmp_path / "a.png")
    Image.fromarray(marked(thick=True)).save(tmp_path / "a.tif")
    line = [str(tmp_path), "-o", str(tmp_path / "out"), "--scale", "1", "--repair", "full", "--save-mask"]
    for _ in range(2):
        assert main(line) == 0
        names = ["a.png", "a.png.mask.png", "a.tif", "a.tif.mask.png"]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
        shares = [np.mean(np.asarray(Image.open(tmp_path / "out" / name)) > 0) for name in names[1::2]]
        assert shares[0] < shares[1]


def test_the_mask_of_a_long_name_is_saved(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 250}.png"
    restorer().restore(marked(), scale=1, mask=mask_png(marks())).save(path, save_mask=True)
    assert len(list(tmp_path.glob("*.mask.png"))) == 1


def test_a_mask_that_would_not_be_saved_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(png(marked()))
    line = ["restore", str(tmp_path / "a.png"), "--save-mask"]
    assert main([*line, "-o", str(tmp_path / "b.png")]) == 2
    assert "add --repair full, or a --mask" in capsys.readouterr().err
    for stream in ("-", os.devnull):
        assert main([*line, "--repair", "full", "-o", stream]) == 2
        assert "--save-mask writes beside the result" in capsys.readouterr().err


def test_one_mask_is_of_one_photo_and_told_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *_, **__: restorer())
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(marked()))
    mask, wrong, full = tmp_path / "mask", tmp_path / "wrong", tmp_path / "full"
    mask.write_bytes(mask_png(marks()))
    wrong.write_bytes(b"no picture")
    full.write_bytes(mask_png(~marks()))
    out = str(tmp_path / "out")
    both = ["restore", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "-o", out]
    assert main([*both, "--mask", str(mask)]) == 2
    assert "--mask are for one photo: name that photo alone" in capsys.readouterr().err
    for file, message in ((wrong, "the mask cannot be read"), (full, "what is intact black")):
        for photo in (["restore", str(tmp_path / "a.png")], ["restore", str(tmp_path), "--video"]):
            assert main([*photo, "-o", out, "--mask", str(file), "--processes", "2"]) == 2
            assert message in capsys.readouterr().err
    assert not Path(out).exists()
    assert main(["restore", str(tmp_path / "a.png"), "-o", out, "--mask", str(mask)]) == 0


def test_a_mask_of_another_shape_ends_a_film_at_its_first_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *_, **__: restorer())
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(marked()))
    mask = tmp_path / "mask.txt"
    mask.write_bytes(mask_png(np.eye(30, 90) > 0))
    assert main(["restore", str(tmp_path), "--video", "-o", str(tmp_path / "out"), "--mask", str(mask)]) == 2
    assert capsys.readouterr().err.count("another shape than the photo") == 1


def test_a_mask_is_of_the_first_page() -> None:
    stream, other = io.BytesIO(), np.ascontiguousarray(marked()[::-1])
    Image.fromarray(marked()).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(other)])
    result = restorer(damage=by_lightness).restore(
        stream.getvalue(), scale=1, pages="all", repair="full", mask=mask_png(marks())
    )
    assert (result.pixels != marked()).any()
    assert np.array_equal(result.further[0].pixels, other)


def test_python_saves_the_mask_and_a_job_carries_one(tmp_path: Path) -> None:
    result = restorer().restore(marked(), scale=1, mask=mask_png(marks()))
    result.save(tmp_path / "a.png", SaveOptions(save_mask=True))
    again = JobOptions(mask=tmp_path / "a.png.mask.png")
    assert JobOptions.from_json(again.to_json()) == again
    assert np.array_equal(mask_by_hand(again.mask, (WIDTH, HEIGHT), DecodeLimits()), marks())


SIDE = 200.0
FACE = face_at(160, 120, SIDE)
PUPIL = 5  # pixels, the radius; the eyes are 49 apart


def with_eyes(colour: tuple[int, int, int], skin: tuple[int, int, int] = (205, 160, 140)) -> np.ndarray:
    """A face of skin with two pupils, each with a catchlight."""
    picture = np.full((HEIGHT, WIDTH, 3), skin, np.uint8)
    for x, y in np.rint(FACE.landmarks[:2]).astype(int):
        cv2.ellipse(picture, (int(x), int(y)), (14, 9), 0, 0, 360, (225, 220, 215), -1)
        cv2.circle(picture, (int(x), int(y)), PUPIL, colour, -1, cv2.LINE_AA)
        cv2.circle(picture, (int(x) + 1, int(y) - 1), 1, (250, 248, 245), -1)
    return picture


@pytest.mark.parametrize("depth", [1, 257])
def test_red_eyes_become_dark_and_keep_their_catchlight(depth: int) -> None:
    photo = with_eyes((200, 30, 40)).astype(np.uint16 if depth > 1 else np.uint8) * depth
    result = restorer(faces=[FACE]).restore(photo, scale=1, red_eyes=True)
    assert (result.red_eyes, result.entry()["red_eyes"]) == (2, 2)
    for x, y in np.rint(FACE.landmarks[:2]).astype(int):
        red, green, blue = result.pixels[y + 3, x - 1].astype(int) // depth
        assert max(red, green, blue) < 60
        assert red - green < 20
        assert result.pixels[y - 1, x + 1].min() // depth > 200
    changed = (np.abs(result.pixels.astype(int) - photo) > depth).any(axis=2)
    assert 0 < changed.sum() < 2 * 1.7 * np.pi * (PUPIL + 1) ** 2
    untouched = restorer(faces=[FACE]).restore(photo, scale=1)
    assert np.array_equal(untouched.pixels, photo)
    assert untouched.red_eyes == 0


def test_the_command_line_says_how_many_eyes_are_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *settings, **changes: restorer(faces=[FACE]))
    both = with_eyes((200, 30, 40))
    x, y = np.rint(FACE.landmarks[0]).astype(int)
    one = both.copy()
    one[y - 20 : y + 20, x - 20 : x + 20] = both[0, 0]
    told = {"none": "", "one": "red eyes mended: 1\n", "both": "red eyes mended: 2\n"}
    for name, picture in {"none": with_eyes((20, 20, 20)), "one": one, "both": both}.items():
        source = tmp_path / f"{name}.png"
        source.write_bytes(png(picture))
        assert main(["restore", str(source), "--scale", "1", "--red-eyes"]) == 0
        assert capsys.readouterr().err == (told[name] and f"{source}: {told[name]}")


def test_red_eyes_of_a_film_need_no_face_model() -> None:
    frames = [Frame(str(number), from_array(with_eyes((200, 30, 40)))) for number in range(3)]
    written: list[Result] = []
    sink = SimpleNamespace(begin=lambda *, faces: None, write=lambda frame, result: written.append(result))
    film = SimpleNamespace(frames=lambda: iter(frames))
    models = StubModels(faces=[FACE])
    options = RestoreOptions(red_eyes=True, scale=1)
    list(restore_film(film, sink, Restorer(models=models, model="none"), options))
    assert [result.red_eyes for result in written] == [2, 2, 2]


def test_red_eyes_of_an_aligned_face() -> None:
    left, top = (round(middle - SIDE / 2) for middle in (160, 120))
    crop = with_eyes((200, 30, 40))[top : top + round(SIDE), left : left + round(SIDE)]
    result = restorer(face=same, size=200).restore(crop, aligned=True, red_eyes=True, strength=0)
    assert result.red_eyes == 2
    assert (result.pixels != crop).any(axis=2).sum() > 100


@pytest.mark.parametrize(
    ("colour", "skin"),
    [
        ((60, 40, 30), (205, 160, 140)),  # brown
        ((90, 50, 32), (150, 105, 80)),  # brown, light, in dark skin
        ((60, 90, 130), (205, 160, 140)),  # blue
    ],
)
def test_other_eyes_stay(colour: tuple[int, int, int], skin: tuple[int, int, int]) -> None:
    photo = with_eyes(colour, skin)
    result = restorer(faces=[FACE]).restore(photo, scale=1, red_eyes=True)
    assert result.red_eyes == 0
    assert np.array_equal(result.pixels, photo)


def test_red_light_is_no_red_eye() -> None:
    photo = (with_eyes((60, 40, 30)) * [1.0, 0.3, 0.22]).astype(np.uint8)
    assert restorer(faces=[FACE]).restore(photo, scale=1, red_eyes=True).red_eyes == 0


@pytest.mark.skipif(not FACES, reason="the shared faces are not here")
def test_of_a_hundred_faces_no_eye_is_taken_for_red_and_drawn_ones_are_mended() -> None:
    detector, mended, eyes = Detector(zoo.resolve("finder").path), 0, 0
    for number, path in enumerate(FACES):
        photo = decode(path)
        found = detector.find(photo.pixels)[:1]
        assert without_red_eyes(photo, found)[1] == 0, path.name
        if number % 5 == 0 and found:
            drawn = photo.pixels.astype(np.float32)
            radius = round(0.06 * float(np.hypot(*(found[0].landmarks[1] - found[0].landmarks[0]))))
            for x, y in np.rint(found[0].landmarks[:2]).astype(int):
                disc = cv2.circle(np.zeros(drawn.shape[:2], np.float32), (int(x), int(y)), radius, 0.85, -1)
                drawn += cv2.GaussianBlur(disc, (0, 0), 0.8)[..., None] * ((185, 35, 45) - drawn)
            mended += without_red_eyes(from_array(drawn.astype(np.uint8)), found)[1]
            eyes += 2
    assert mended > 0.9 * eyes


def test_red_beside_the_eyes_stays() -> None:
    photo = with_eyes((60, 40, 30))
    cv2.circle(photo, (160, 170), 8, (200, 20, 30), -1)  # a mouth
    cv2.rectangle(photo, (110, 88), (210, 96), (200, 20, 30), -1)  # the rim of a hat
    result = restorer(faces=[FACE]).restore(photo, scale=1, red_eyes=True)
    assert np.array_equal(result.pixels, photo)


def test_gray_photos_have_no_red_eyes() -> None:
    photo = from_array(with_eyes((200, 30, 40))[..., 0])
    result = restorer(faces=[FACE]).restore(photo, scale=1, red_eyes=True)
    assert (result.red_eyes, encode(result.photo, format="PNG")) == (0, encode(photo, format="PNG"))
