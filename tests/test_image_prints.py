"""Prints on one scan, drawn here: found, told apart, straightened."""

from __future__ import annotations

import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from revisage import Restorer
from revisage.cli import main, split
from revisage.errors import PhotoError, UsageError
from revisage.image import decode, encode, from_array, save
from revisage.image.prints import Print, cut, find_prints, framed
from revisage.options import RestoreOptions

PICTURES = [data.astronaut(), data.cat(), data.coffee(), data.rocket()]
LIDS = {"white": 246, "gray": 128, "black": 9}


def scan(
    prints: list[Print], lid: int = 246, noise: float = 2.0, size: tuple[int, int] = (1200, 900)
) -> np.ndarray:
    """(900, 1200, 3) uint8: pictures, with the thin white border of a print, before a lid."""
    canvas = np.full((size[1], size[0], 3), lid, np.float32)
    for index, one in enumerate(prints):
        picture = PICTURES[index % len(PICTURES)].astype(np.float32) * 0.75 + 20  # neither white nor black
        height, width = picture.shape[:2]
        corners = np.float32([(0, 0), (width, 0), (width, height)]) - 0.5
        matrix = cv2.getAffineTransform(corners, one.corners[:3])
        cover = cv2.warpAffine(np.ones((height, width), np.float32), matrix, size, flags=cv2.INTER_AREA)[
            ..., None
        ]
        canvas += cover * (cv2.warpAffine(picture, matrix, size) / np.maximum(cover, 1e-3) - canvas)
    canvas += np.random.default_rng(0).normal(0, noise, canvas.shape)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


THREE = [
    Print((280.0, 240.0), (420.0, 300.0), 3.5),
    Print((840.0, 260.0), (300.0, 420.0), -6.0),
    Print((400.0, 660.0), (480.0, 340.0), 0.0),
]


def overlap(first: Print, second: Print, size: tuple[int, int] = (1200, 900)) -> float:
    """Intersection over union."""
    one, other = (
        cv2.fillPoly(np.zeros(size[::-1], np.uint8), [np.rint(it.corners).astype(np.int32)], 1)
        for it in (first, second)
    )
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("noise", [0.0, 6.0])
@pytest.mark.parametrize("lid", LIDS.values(), ids=LIDS)
def test_prints_are_found_on_any_lid(lid: int, noise: float) -> None:
    found = find_prints(scan(THREE, lid, noise))
    assert len(found) == len(THREE)
    for one, true in zip(found, THREE, strict=True):
        assert overlap(one, true) > 0.96
        assert one.angle == pytest.approx(true.angle, abs=0.5)


@pytest.mark.parametrize("lid", [LIDS["white"], LIDS["black"]])
def test_faded_prints_are_found_where_nothing_else_is(lid: int) -> None:
    faint = lid + 0.2 * (scan(THREE, lid, 0) - float(lid))
    faint += np.random.default_rng(0).normal(0, 2, faint.shape)
    found = find_prints(np.clip(np.rint(faint), 0, 255).astype(np.uint8))
    assert [overlap(one, true) > 0.95 for one, true in zip(found, THREE, strict=True)] == [True] * 3


def test_a_print_that_is_nearly_as_dark_as_the_lid_in_parts_is_found_whole() -> None:
    lid = 20.0
    canvas = scan(THREE, 20, 0).astype(np.float32)
    # A night sky around a bright middle, and a shadow across the lower part of another.
    sky = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(sky, [np.rint(THREE[0].corners).astype(np.int32)], 1)
    cv2.ellipse(sky, (280, 240), (150, 110), 0, 0, 360, 0, cv2.FILLED)
    canvas[sky > 0] = 0
    canvas[760:800, 170:630] = lid + 24
    canvas[752:760, 170:630] = 0
    canvas += np.random.default_rng(0).normal(0, 2, canvas.shape)
    found = find_prints(np.clip(np.rint(canvas), 0, 255).astype(np.uint8))
    assert [round(overlap(one, true), 1) for one, true in zip(found, THREE, strict=True)] == [1.0] * 3


def test_a_shadow_on_the_lid_is_no_print() -> None:
    canvas = scan(THREE, 200, 0).astype(np.float32)
    canvas[500:850, 760:1150] -= 22
    canvas += np.random.default_rng(0).normal(0, 2, canvas.shape)
    assert len(find_prints(np.clip(np.rint(canvas), 0, 255).astype(np.uint8))) == 3


def test_what_lies_beside_the_prints_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two, disc = tmp_path / "two.png", tmp_path / "disc.png"
    canvas = scan([THREE[0], THREE[2]])
    save(from_array(canvas), two)
    cv2.circle(canvas, (900, 300), 90, (30, 90, 160), -1)
    save(from_array(canvas), disc)
    assert main(["split", str(two), str(disc), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out.count("2 prints") == 2
    assert said.err.count("something else lies on it") == 1
    assert f"{disc}: something" in said.err


def test_prints_that_touch_are_taken_apart() -> None:
    touching = [
        Print((330.0, 300.0), (440.0, 320.0), 2.0),
        Print((781.0, 330.0), (430.0, 310.0), -5.0),
        Print((420.0, 680.0), (460.0, 340.0), -3.0),
    ]
    found = find_prints(scan(touching, LIDS["white"]))
    assert len(found) == len(touching)
    for one, true in zip(found, touching, strict=True):
        assert overlap(one, true) > 0.9


def test_a_print_is_cut_out_upright() -> None:
    pixels = scan([Print((600.0, 450.0), (512.0, 512.0), 7.0)], LIDS["gray"], 0)
    (found,) = find_prints(pixels)
    upright = cut(from_array(pixels), found).pixels
    assert abs(upright.shape[0] - 512) < 6
    assert abs(upright.shape[1] - 512) < 6
    true = cv2.resize(PICTURES[0], upright.shape[1::-1]).astype(float) * 0.75 + 20
    assert np.abs(upright - true).mean() < 12


@pytest.mark.parametrize("zoom", [0.7, 1, 2, 3])
def test_nothing_of_the_lid_is_left_around_a_print(zoom: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PICTURES", [np.full((400, 500, 3), 100, np.uint8)])
    shapes = [((280.4, 240.0), (420.0, 300.0), 1.3), ((840.0, 260.0), (300.0, 420.0), -6.0)]
    shapes += [((400.0, 660.0), (480.0, 340.0), 0.0), ((900.3, 700.0), (300.0, 200.0), -2.2)]
    prints = [Print((x * zoom, y * zoom), (w * zoom, h * zoom), angle) for (x, y), (w, h), angle in shapes]
    pixels = scan(prints, LIDS["white"], noise=1.0, size=(int(1200 * zoom), int(900 * zoom)))
    found = find_prints(pixels)
    assert len(found) == len(prints)
    for one, true in zip(found, prints, strict=True):
        inside = cut(from_array(pixels), one).pixels
        rows = (np.abs(inside[..., 0].astype(int) - 95) > 12).astype(float)
        assert max(side.mean() for side in (rows[0], rows[-1], rows[:, 0], rows[:, -1])) < 0.02
        assert np.abs(np.array(one.size) - true.size).max() < 2 * zoom + 3


def test_a_straight_print_is_not_resampled_in_any_depth() -> None:
    pixels = scan([THREE[2]], LIDS["white"], 0).astype(np.uint16) * 257
    (found,) = find_prints(pixels)
    alone = cut(from_array(pixels), found).pixels
    assert alone.dtype == np.uint16
    height, width = alone.shape[:2]
    left, top = (round(value) for value in found.corners[0] + 0.5)
    near = [
        pixels[y : y + height, x : x + width]
        for y in (top - 1, top, top + 1)
        for x in (left - 1, left, left + 1)
    ]
    assert any(np.array_equal(alone, place) for place in near)


@pytest.mark.parametrize(
    "picture", [*PICTURES, np.full((50, 60, 3), 255, np.uint8), np.zeros((1, 1, 3), np.uint8)]
)
def test_a_photo_that_fills_its_scan_has_no_prints_on_it(picture: np.ndarray) -> None:
    assert len(find_prints(picture)) <= 1
    assert all(one.size[0] * one.size[1] < picture[..., 0].size for one in find_prints(picture))


def test_the_command_writes_each_print_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album.png"
    save(from_array(scan(THREE)), album)
    out = tmp_path / "out"
    command = ["split", str(album), "-o", str(out)]
    assert main([*command, "--preview"]) == 0
    assert [path.name for path in out.iterdir()] == ["album-preview.jpg"]
    assert main(command) == 0
    assert main([*command, str(tmp_path / "." / "album.png")]) == 0  # its own results; a scan named twice
    assert capsys.readouterr().out.count("3 prints") == 3
    second = decode(out / "album-2.png").pixels
    assert second.shape[0] > 1.3 * second.shape[1]
    (out / "album-2.png").write_bytes(b"mine")
    assert main(command) == 1
    assert (out / "album-2.png").read_bytes() == b"mine"
    save(from_array(PICTURES[1]), tmp_path / "one.png")
    assert main(["split", str(tmp_path / "one.png"), "-o", str(out)]) == 1
    assert "no prints" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "told"), [("split", "; `--damaged` takes that"), ("degrade", "")])
def test_a_cut_scan_names_an_option_of_the_command_or_none(
    command: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.jpg"
    save(from_array(scan(THREE)), cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert main([command, str(cut), *(["-o"] if command == "split" else []), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.splitlines()[0].endswith(f"of the picture is there{told}")


def test_every_page_is_split_and_no_scan_is_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    album, other = tmp_path / "album.tif", tmp_path / "album-1.tif"
    pages = [from_array(page) for page in (scan(THREE[:1]), scan([]), scan(THREE))]
    album.write_bytes(encode(pages[0], format="TIFF", further=pages[1:]))
    save(pages[0], other)
    command = ["split", str(album), str(other)]
    assert main([*command, "-o", str(tmp_path / "out"), "--preview"]) == 0
    previews = {f"album-preview-{page}.jpg" for page in (1, 3)} | {"album-1-preview.jpg"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == previews
    assert main(["split", "--help"]) == 0
    assert "of several pages NAME-preview-1.jpg" in " ".join(capsys.readouterr().out.split())
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    assert "4 prints, none on page 2" in capsys.readouterr().out
    prints = {f"album-{n}.tif" for n in range(1, 5)} | {"album-1-1.tif"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == previews | prints
    before = other.read_bytes()
    assert main([*command, "-o", str(tmp_path), "--overwrite"]) == 1
    assert "album-1.tif is a scan and is never written to" in capsys.readouterr().err
    assert other.read_bytes() == before
    assert main([*command, "-o", str(tmp_path / "out"), "--max-pixels", "1000"]) == 1
    assert "raise the limit (--max-pixels)" in capsys.readouterr().err


def test_the_place_goes_to_the_prints_only_where_it_is_asked_for(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N"}
    Image.fromarray(scan(THREE[:1])).save(tmp_path / "a.png", exif=exif)
    for name, options in (("out", []), ("kept", ["--keep-gps"])):
        assert main(["split", str(tmp_path / "a.png"), "-o", str(tmp_path / name), *options]) == 0
        found = Image.open(tmp_path / name / "a-1.png").getexif().get_ifd(0x8825)
        assert found == ({1: "N"} if options else {})


def test_a_signal_ends_a_split_behind_the_scan_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        save(from_array(scan(THREE)), tmp_path / name)

    def interrupted(pixels: np.ndarray) -> list[Print]:
        signal.raise_signal(signal.SIGTERM)
        return find_prints(pixels)

    monkeypatch.setattr(split, "find_prints", interrupted)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        scans = [str(tmp_path / name) for name in ("a.png", "b.png")]
        assert main(["split", *scans, "-o", str(tmp_path / "out")]) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    out, told = capsys.readouterr()
    assert "a.png: 3 prints" in out
    assert f"interrupted before {tmp_path / 'b.png'}" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"a-{n}.png" for n in (1, 2, 3)]


def test_a_scan_of_one_print_is_cropped_before_it_is_restored() -> None:
    restorer = Restorer(model="none", scene="none")
    one = scan([THREE[0]])
    result = restorer.restore(one, scale=1, crop="print")
    assert abs(result.pixels.shape[1] - 420) < 6
    assert result.size_in == result.photo.size
    entry = result.entry()
    assert entry["straightened"] == pytest.approx(-3.5, abs=0.5)
    assert entry["cropped"] == pytest.approx([70, 90, 420, 300], abs=6)
    (note,) = result.notes
    assert note.startswith(f"crop keeps the print, {result.size_in[0]} x {result.size_in[1]} pixels from ")
    assert (
        restorer.restore(one, scale=1, crop="print", straighten=2).notes[0].startswith("crop keeps the print")
    )
    assert (
        restorer.restore(PICTURES[1], crop="print", straighten=2).notes[0].startswith("crop changes nothing")
    )
    full = restorer.restore(PICTURES[1], scale=1, crop="print")
    assert np.array_equal(full.pixels, PICTURES[1])
    assert (full.entry()["straightened"], full.entry()["cropped"]) == (0, None)
    assert full.notes == ("crop changes nothing: no print is found",)
    with pytest.raises(PhotoError, match="revisage split"):
        restorer.restore(scan(THREE), crop="print")
    with pytest.raises(UsageError, match="another analysis"):
        restorer.analyse(one, scale=1).render(crop="print")


def marked(size: tuple[int, int], turn: float = 0.0) -> np.ndarray:
    """(H, W, 3): a red, a green and a blue square in corners of the middle half of a picture with a black
    edge, turned clockwise."""
    width, height = size
    canvas = np.pad(np.full((height - 2, width - 2, 3), 40, np.uint8), ((1, 1), (1, 1), (0, 0)))
    corners = Print(((width - 1) / 2, (height - 1) / 2), (width / 2, height / 2), turn).corners
    for channel, (x, y) in enumerate(np.rint(corners[:3]).astype(int)):
        canvas[y - 5 : y + 6, x - 5 : x + 6, channel] = 250
    return canvas


def middle_of(pixels: np.ndarray, channel: int) -> np.ndarray:
    """(x, y) of the square of a colour."""
    return np.argwhere(pixels[..., channel] > 145).mean(axis=0)[::-1]


@pytest.mark.parametrize("size", [(400, 240), (240, 400)])
@pytest.mark.parametrize("degrees", [7.5, -20.0])
def test_a_photo_is_straightened_and_loses_only_its_corners(size: tuple[int, int], degrees: float) -> None:
    straight = framed(from_array(marked(size, -degrees)), RestoreOptions(straighten=degrees))[0].pixels
    lost = np.array(size) - straight.shape[1::-1]
    assert straight.shape[1] / straight.shape[0] == pytest.approx(size[0] / size[1], rel=0.02)
    assert (straight[..., 0] == 0).sum() < 20, "hardly a pixel of the black edge, and none beyond it"
    for colour in range(3):
        assert middle_of(straight, colour) == pytest.approx(middle_of(marked(size), colour) - lost / 2, abs=1)


def test_a_part_is_taken_of_the_photo_as_it_stands_turned_and_straightened() -> None:
    photo = from_array(marked((400, 240), 90 - 10))
    whole = framed(photo, RestoreOptions(turn="270", straighten=10))[0].pixels
    height, width = whole.shape[:2]
    part = framed(photo, RestoreOptions(turn="270", straighten=10, crop=(0.25, 0.5, 0.5, 0.4)))[0].pixels
    assert part.shape[:2] == (round(0.4 * height), round(0.5 * width))
    top, left = height // 2, width // 4
    expected = whole[top : top + part.shape[0], left : left + part.shape[1]].astype(int)
    assert np.abs(part - expected).mean() < 2
    plain = framed(photo, RestoreOptions(crop="0.5,0,0.5,1"))[0].pixels
    assert np.array_equal(plain, photo.pixels[:, 200:])


@pytest.mark.parametrize("turn", ["keep", "90", "180", "270"])
def test_the_report_tells_what_was_straightened_and_cut_out(turn: str) -> None:
    pixels = np.arange(400 * 240).reshape(240, 400, 1).repeat(3, 2).astype(np.uint16)
    part, frame = framed(from_array(pixels), RestoreOptions(turn=turn, crop=(0.5, 0.1, 0.25, 0.4)))
    assert frame is not None
    x, y, width, height = frame.entry()["cropped"]
    degrees = 0 if turn == "keep" else int(turn)
    assert np.array_equal(part.turned(-degrees).pixels, pixels[y : y + height, x : x + width])
    _, frame = framed(from_array(scan([THREE[0]])), RestoreOptions(turn=turn, crop="print", straighten=5.5))
    assert frame is not None
    assert frame.entry()["straightened"] == pytest.approx(2, abs=0.5)
    assert frame.centre == pytest.approx(THREE[0].centre, abs=2)
    assert Restorer(model="none", scene="none").restore(pixels, straighten=3).entry()["straightened"] == 3


@pytest.mark.parametrize("share", [0.002601, 0.0026, 0.00261, 0.0005, 1e-9])
def test_a_small_part_is_cut_where_it_lies(share: float) -> None:
    column = np.arange(4000)
    photo = from_array(
        np.repeat(np.stack([column // 256, column % 256, column * 0], 1)[None], 9, axis=0).astype(np.uint8)
    )
    part = framed(photo, RestoreOptions(crop=(0.8, 0, share, 1)))[0].pixels[0].astype(int)
    expected = np.arange(3200, 3200 + max(1, round(4000 * share)))
    assert np.abs(256 * part[:, 0] + part[:, 1] - expected).max() <= 1
    turned = framed(photo, RestoreOptions(crop=(0.8, 0, share, 1), straighten=0.1))[0].pixels
    assert turned[0, 0, 0] == 10, "of what is left at column 2,676, and not a corner of the photo"


@pytest.mark.parametrize("crop", ["half", "0,0,1", "0.5,0,0.6,1", "-0.1,0,1,1", "0,0,0,1", "0,0,nan,1"])
def test_a_part_outside_the_photo_is_refused(crop: str) -> None:
    with pytest.raises(UsageError, match=r"^crop '.*': give off, print, or X,Y,W,H in shares"):
        RestoreOptions(crop=crop)
