"""Damaged files, of which a part is there, and files of many pictures."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, face_at, same, twice

from revisage.cli import main
from revisage.cli import restore as command
from revisage.errors import DamagedError, PhotoError, PhotoTooLargeError, UsageError
from revisage.faces import Face
from revisage.image import Photo, decode, encode, from_array
from revisage.image.containers import tiff
from revisage.image.containers.png import chunk
from revisage.label import read
from revisage.restore import Restorer

PLAIN = ["--model", "none", "--scene", "none", "--scale", "1"]


@pytest.fixture(autouse=True)
def _stub_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = StubModels()
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))


def picture(size: int = 160, seed: int = 0) -> Image.Image:
    """Noise: its bytes are spread evenly over a file."""
    return Image.fromarray(np.random.default_rng(seed).integers(1, 255, (size, size, 3), dtype=np.uint8))


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


# Damaged


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF"])
def test_a_cut_file_tells_how_much_is_there_and_gives_it(format: str, share: float, isolate: bool) -> None:
    whole = saved(picture(), format, interlace=0)
    cut = whole[: int(share * len(whole))]
    with pytest.raises(DamagedError, match=r"\d+% of the picture is there; `--damaged` takes that$"):
        decode(cut, isolate=isolate, damaged=False)
    with pytest.raises(DamagedError, match=r"\d+% of the picture is there$"):  # who asks has no such option
        decode(cut, isolate=isolate)
    found = decode(cut, isolate=isolate, damaged=True)
    assert found.there == pytest.approx(share, abs=0.12)
    assert any("damaged: about" in note for note in found.notes)
    rows = int(found.there * 160) - 24  # JPEG smooths colour across its blocks
    np.testing.assert_array_equal(found.pixels[:rows], decode(whole, isolate=False).pixels[:rows])
    assert (found.pixels[-1] == found.pixels[-1, 0]).all()


def broken(data: bytes, how: str) -> bytes:
    half = len(data) // 2
    return {
        "a bit": data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :],
        "a hole": data[:half] + bytes(1000) + data[half + 1000 :],
        "a gap": data[:half] + data[half + 512 :],
        "the lower half": data[:half] + bytes(len(data) - half - 100) + data[-100:],
    }[how]


@pytest.mark.parametrize("how", ["a bit", "a hole", "a gap", "the lower half"])
def test_a_png_with_broken_pixels_is_damaged(how: str) -> None:
    data = broken(saved(picture(), "PNG"), how)
    with pytest.raises(DamagedError, match="is there"):
        decode(data)
    assert any("damaged: " in note for note in decode(data, damaged=True).notes)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("where", ["in front", "behind", "the end"])
def test_a_png_with_broken_metadata_is_whole(where: str, depth: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 1 << depth, (64, 64, 3)).astype(f"uint{depth}")
    whole = encode(from_array(pixels), format="PNG")
    wrong = b"\0\0\0\3tEXtA\0bnone"  # the checksum
    broken = {
        "in front": whole[:33] + wrong + whole[33:],
        "behind": whole[:-12] + wrong + whole[-12:],
        "the end": whole[:-12] + b"\0\0\xff\xfftEXtA\0b",
    }[where]
    found = decode(broken)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.there == 1


def test_that_all_of_a_cut_interlaced_png_is_there_is_not_sure() -> None:
    pixels = np.asarray(picture())
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    rows = (row for y, x, down, across in passes for row in pixels[y::down, x::across])
    coded = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", 160, 160, 8, 2, 0, 0, 1)
    whole = b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (b"IHDR", b"IDAT", b"IEND"), (header, coded, b"")))
    np.testing.assert_array_equal(decode(whole).pixels, pixels)
    with pytest.raises(DamagedError, match=r"is there, though parts may be wrong$"):
        decode(whole[: len(whole) // 2])


def test_a_jpeg_whose_lower_half_could_not_be_read_is_told() -> None:
    whole = saved(picture(), "JPEG")
    assert decode(whole).notes == ()
    (note,) = decode(whole[: len(whole) // 2] + whole[-2:]).notes
    assert re.fullmatch(r"its lowest (4|5)\d% are plain gray, as where a damaged file breaks off", note)
    gray = saved(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG")
    assert decode(gray).notes == ()


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_share_is_of_the_file_however_it_is_turned(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    whole = saved(picture(), "JPEG", exif=exif)
    assert decode(whole[: len(whole) // 2], damaged=True).there == pytest.approx(0.5, abs=0.12)


def test_of_a_cut_bmp_the_lower_part_is_there() -> None:
    whole = saved(picture(), "BMP")
    found = decode(whole[: int(0.7 * len(whole))], damaged=True)
    assert found.there == pytest.approx(0.7, abs=0.02)
    np.testing.assert_array_equal(found.pixels[60:], decode(whole).pixels[60:])


def test_a_cut_progressive_jpeg_is_there_in_coarse() -> None:
    whole = saved(picture(), "JPEG", progressive=True)
    assert decode(whole[: int(0.9 * len(whole))], damaged=True).there == 1


def test_16_bits_of_a_cut_png_are_told() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    data = encode(from_array(pixels), format="PNG")
    assert "read in 8 of its 16 bits" in decode(data[: len(data) // 2], damaged=True).notes


def test_of_a_cut_tiff_of_16_bits_the_upper_part_is_there() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (160, 120), dtype=np.uint16)
    whole = saved(Image.fromarray(pixels), "TIFF")
    cut = whole[: int(0.6 * len(whole))]
    with pytest.raises(DamagedError, match="about 60% of the picture is there"):
        decode(cut)
    found = decode(cut, damaged=True)
    assert found.there == pytest.approx(0.6, abs=0.02)
    np.testing.assert_array_equal(found.pixels[:90, :, 0], pixels[:90])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_of_next_to_nothing_nothing_is_made(format: str) -> None:
    with pytest.raises(PhotoError) as error:
        decode(saved(picture(), format)[:200], damaged=True)
    assert "--damaged" not in str(error.value)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_cut_file_of_which_nothing_can_be_read_says_that_it_is_damaged(damaged: bool) -> None:
    webp, tiff = saved(picture(), "WEBP"), saved(picture(), "TIFF", compression="tiff_lzw")
    at = int.from_bytes(tiff[4:8], "little")
    assert at > 1000  # its directory lies behind the picture
    for cut, told in ((webp[:-40], "ends early, and WebP"), (tiff[: at - 40], "before the directory")):
        with pytest.raises(PhotoError, match=f"it is damaged: it .*{told}"):
            decode(cut, damaged=damaged)


def test_nearly_all_is_not_called_all() -> None:
    data = saved(picture(400), "JPEG")
    with pytest.raises(DamagedError, match="damaged: nearly all of the picture is there"):
        decode(data[:-30])


def test_a_cut_animation_says_that_it_ends_early() -> None:
    data = saved(picture(), "GIF", save_all=True, append_images=[picture(seed=n) for n in (1, 2, 3)])
    cut_off = data[: len(data) * 6 // 10]
    for cut, expected in ((data, 0), (data + bytes(4), 0), (data + bytes(range(1, 99)), 0), (cut_off, 1)):
        assert sum("ends early" in note for note in decode(cut).notes) == expected


def test_a_whole_file_is_the_same_with_damaged() -> None:
    data = saved(picture(), "JPEG")
    whole, asked = decode(data), decode(data, damaged=True)
    assert asked.there == 1
    assert asked.notes == ()
    np.testing.assert_array_equal(whole.pixels, asked.pixels)


def test_the_command_restores_what_is_there_and_says_how_much(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared / "data/reports/trunc90.jpg"
    out, report = tmp_path / "out.jpg", tmp_path / "report.json"
    arguments = ["restore", str(source), "-o", str(out), "--report", str(report), *PLAIN]
    assert main(arguments) == 1
    told = "about 95% of the picture is there; `--damaged` takes that"
    assert told in capsys.readouterr().err
    assert not out.exists()
    assert main([*arguments, "--damaged"]) == 0
    assert "about 95% of it is there" in capsys.readouterr().err
    entry = json.loads(report.read_text())["photos"][0]
    assert entry["there"] == pytest.approx(0.953, abs=1e-3)
    assert Image.open(out).size == (320, 320)


# Pages


def pages(count: int = 3, dtype: type = np.uint8) -> list[np.ndarray]:
    top = np.iinfo(dtype).max
    return [np.full((20 + 4 * n, 30, 3), (n + 1) * top // (count + 1), dtype) for n in range(count)]


def many(arrays: list[np.ndarray]) -> bytes:
    return tiff.write_tiff([Photo(array) for array in arrays])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_page_of_a_tiff_is_read_and_written(dtype: type) -> None:
    arrays = pages(3, dtype)
    data = many(arrays)
    first = decode(data)
    assert first.pages == 3
    again = encode(first, format="TIFF", further=[first.page(1), first.page(2)])
    for page, array in enumerate(arrays):
        np.testing.assert_array_equal(decode(again, page=page).pixels, array)
    with pytest.raises(PhotoError, match="no page 4"):
        decode(data, page=3)
    assert Image.open(io.BytesIO(again)).n_frames == 3


def test_each_page_keeps_its_own_words() -> None:
    written = []
    for number, array in enumerate(pages(2)):
        exif = Image.Exif()
        exif[0x010E] = f"page number {number}"
        exif[0x8769] = {0x9003: f"2001:01:0{number + 1} 00:00:00"}
        written.append(Photo(array, exif=exif.tobytes()))
    data = tiff.write_tiff(written)
    photo = decode(data)
    again = encode(photo, format="TIFF", further=[photo.page(1)])
    for data_now in (data, again):
        with Image.open(io.BytesIO(data_now)) as image:
            for number in range(2):
                image.seek(number)
                exif = image.getexif()
                assert exif[0x010E] == f"page number {number}"
                assert exif.get_ifd(0x8769)[0x9003] == f"2001:01:0{number + 1} 00:00:00"


def test_reduced_copies_and_masks_are_no_pages() -> None:
    buffer = io.BytesIO()
    small = Image.new("RGB", (4, 4))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.new("RGB", (8, 8)).save(buffer, "TIFF", save_all=True, append_images=[small])
    assert decode(buffer.getvalue()).pages == 1


def test_a_loop_of_directories_ends() -> None:
    data = bytearray(many(pages(1)))
    directory = int.from_bytes(data[4:8], "little")
    data[-4:] = directory.to_bytes(4, "little")
    assert decode(bytes(data)).pages == 1


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF", "JXL"])
def test_pictures_of_an_animation_are_counted_and_each_can_be_read(format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    if format == "JXL":
        data = imagecodecs.jpegxl_encode(np.stack([np.asarray(frame) for frame in frames]))
    else:
        data = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
    photo = decode(data)
    assert photo.pages == 3
    assert photo.pixels[8, 8].argmax() == 0
    assert photo.page(2).pixels[8, 8].argmax() == 2


def test_the_command_tells_of_pages_left_and_restores_all(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared / "data/reports/multi.tif"
    out, report = tmp_path / "out.tif", tmp_path / "report.json"
    arguments = ["restore", str(source), "-o", str(out), "--report", str(report), *PLAIN]
    assert main(arguments) == 0
    assert "2 of its 3 pages are left out: --pages all" in capsys.readouterr().err
    entry = json.loads(report.read_text())["photos"][0]
    assert (entry["pages"], entry["pages_left"]) == (3, 2)
    assert main([*arguments, "--pages", "all"]) == 0
    assert "left out" not in capsys.readouterr().err
    entry = json.loads(report.read_text())["photos"][0]
    assert (entry["pages"], entry["pages_left"], len(entry["further_pages"])) == (3, 0, 2)
    with Image.open(source) as before, Image.open(out) as after:
        assert after.n_frames == 3
        for number in range(3):
            before.seek(number)
            after.seek(number)
            np.testing.assert_array_equal(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))


def test_the_faces_of_all_pages_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = StubModels(face=same, faces=lambda pixels: [face_at(60, 60, 50)])
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    (tmp_path / "a.tif").write_bytes(many([np.full((160, 160, 3), 99, np.uint8)] * 3))
    assert main(["restore", str(tmp_path / "a.tif"), "--pages", "all", "--scale", "1"]) == 0
    assert "3 of 3 faces" in capsys.readouterr().out
    report = tmp_path / "report.json"
    one = ["-o", str(tmp_path / "a.png"), "--report", str(report)]
    assert main(["restore", str(tmp_path / "a.tif"), "--pages", "all", "--scale", "1", *one]) == 0
    assert "1 of 1 face," in capsys.readouterr().out
    entry = json.loads(report.read_text())["photos"][0]
    assert (entry["pages"], entry["pages_left"], entry["further_pages"]) == (3, 2, [])


def test_a_format_without_pages_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.gif"
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(source, save_all=True, append_images=frames[1:])
    out = str(tmp_path / "out.png")
    assert main(["restore", str(source), "-o", out, "--pages", "all", *PLAIN]) == 0
    told = "2 of its 3 pictures are left out: --pages all restores each into a TIFF\n"
    assert capsys.readouterr().err.endswith(told)


def test_pages_that_are_too_much_together_are_refused() -> None:
    restorer = Restorer(models=StubModels(), max_output_pixels=1500)
    with pytest.raises(PhotoTooLargeError, match="its 3 pages"):
        restorer.restore(many(pages()), pages="all", scale=1)


def test_the_label_tells_what_was_done_to_any_page() -> None:
    sharp = np.random.default_rng(0).choice(np.uint8([4, 90, 180, 255]), (40, 60, 1)).repeat(3, axis=2)
    faded = sharp // 3 + np.uint8(90)
    none = np.float32([0, 0, 0, 1, 1, 1, 1, 1, 1]).reshape(1, 9, 1)  # and its tones tell that it has
    models = StubModels(scene=twice, tone=lambda _: none)
    result = Restorer(models=models).restore(many([sharp, faded]), pages="all", scale=2, colour="revive")
    assert [page.tone.changes for page in (result, *result.further)] == [False, True]
    assert read(result.encode("TIFF")).models == (
        "stub-scene 1", "stub-tone 1", "tones by estimate",
    )  # fmt: skip


def in_large(pixels: np.ndarray) -> list[Face]:
    return [face_at(40, 30, 30)] if pixels.shape[0] > 30 else []


def test_what_does_not_fit_a_page_names_it() -> None:
    with pytest.raises(UsageError, match="page 2: there is no face 1"):
        Restorer(models=StubModels(face=same, faces=in_large)).restore(
            many([np.zeros((60, 80, 3), np.uint8), np.zeros((20, 20, 3), np.uint8)]),
            pages="all", scale=1, faces="1",
        )  # fmt: skip


def test_the_box_of_a_face_is_of_the_first_page() -> None:
    result = Restorer(models=StubModels(face=same)).restore(
        many([np.zeros((60, 80, 3), np.uint8), np.zeros((70, 90, 3), np.uint8)]),
        pages="all", scale=1, face="40,30,20,20",
    )  # fmt: skip
    assert [len(page.faces) for page in (result, *result.further)] == [1, 0]


def test_a_gain_map_and_a_film_are_told(shared: Path) -> None:
    notes = " ".join(decode(shared / "data/reports/ultrahdr_motion.jpg").notes)
    assert "gain map" in notes
    assert "film" in notes


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        (b"MotionPhoto_Data" + b"\0\0\0\x18ftypmp42" + bytes(90), "film"),  # Samsung
        (b"\0\0\0\x14ftypisom" + bytes(90), "film"),
        (b"\0\0\0\x14ftypqt  " + bytes(90), "film"),
        (b"urn:com:apple:photo:2020:aux:hdrgainmap\0", "gain map"),  # an iPhone's auxiliary picture
        (b"urn:iso:std:iso:ts:21496:-1\0", "gain map"),
        (b"urn:mpeg:hevc:2015:auxid:2\0", "depth map"),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "HEIF", "AVIF", "PNG"])
def test_what_else_is_in_a_file_is_told_whatever_the_format(format: str, behind: bytes, told: str) -> None:
    photo = from_array(np.full((32, 32, 3), 90, np.uint8))
    plain = encode(photo, format=format)
    assert decode(plain).notes == ()
    (note,) = decode(plain + behind).notes
    assert told in note
    assert note.endswith("is left out")


def test_a_gain_map_is_told_by_the_xmp_and_its_description_goes() -> None:
    photo = decode(saved(picture(), "JPEG", xmp=XMP))
    assert photo.notes == ("its gain map for HDR screens is left out",)
    assert b"hdrgm:Version" not in photo.xmp
    assert decode(encode(photo)).notes == ()


def test_an_ordinary_photo_has_no_notes(shared: Path) -> None:
    for name in ("strip16000x130.jpg", "halftone.png", "magenta.jpg", "head90.jpg"):
        found: Photo = decode(shared / "data/reports" / name)
        assert (found.pages, found.there, found.notes) == (1, 1.0, ()), name


# Floats


def float_tiff(array: np.ndarray, sample_format: int = 3) -> bytes:
    """An uncompressed TIFF of any samples, gray or RGB."""
    height, width = array.shape[:2]
    samples = 1 if array.ndim == 2 else array.shape[2]
    data = np.ascontiguousarray(array).tobytes()
    buffer = bytearray(b"II*\0\0\0\0\0" + data)

    def tag(number: int, *values: int) -> tiff._Tag:
        return tiff._Tag(number, 4, len(values), struct.pack(f"<{len(values)}I", *values))

    tags = [tag(256, width), tag(257, height), tag(258, *[8 * array.itemsize] * samples), tag(259, 1),
            tag(262, 1 if samples == 1 else 2), tag(273, 8), tag(277, samples), tag(278, height),
            tag(279, len(data)), tag(339, *[sample_format] * samples)]  # fmt: skip
    if samples == 4:
        tags.append(tag(338, 2))
    tiff._append_directory(buffer, tags, "<", 4)
    return bytes(buffer)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("above", [1.0, 1.3])
def test_floats_up_to_one_and_a_little_above_have_white_at_one(
    dtype: type, channels: int, above: float
) -> None:
    ramp = np.tile(np.linspace(0, above, 40, dtype=dtype)[None, :, None], (20, 1, channels))
    if channels == 4:
        ramp[..., 3] = 1
    photo = decode(float_tiff(ramp.squeeze()))
    expected = np.rint(np.clip(ramp[..., :1].astype(np.float64), 0, 1) * 65535)
    np.testing.assert_array_equal(photo.pixels[..., :1], expected.astype(np.uint16))
    assert photo.gray == (channels == 1)
    assert (photo.alpha is not None) == (channels == 4)


def test_a_few_high_lights_darken_nothing() -> None:
    ramp = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (200, 1))
    ramp[0, :20] = 50
    photo = decode(float_tiff(ramp))
    assert photo.pixels[100, -1, 0] == 65535
    assert photo.pixels[0, 0, 0] == 65535
    assert photo.pixels[100, 100, 0] == pytest.approx(65535 * ramp[100, 100], abs=1)


@pytest.mark.parametrize(("white", "top"), [(255, 255), (255, 300), (65535, 70000)])
def test_other_ranges_of_floats(white: int, top: int) -> None:
    ramp = np.tile(np.linspace(0, top, 200, dtype=np.float32), (20, 1))
    pixels = decode(float_tiff(ramp)).pixels
    np.testing.assert_allclose(pixels[..., 0], np.clip(ramp / white, 0, 1) * 65535, atol=1)


@pytest.mark.parametrize(("dtype", "format"), [(np.int16, 2), (np.uint32, 1), (np.int32, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_whole_numbers_within_16_bits_stay(dtype: type, format: int, channels: int) -> None:
    ramp = np.tile(np.arange(0, 30000, 1000, dtype=dtype)[None, :, None], (4, 1, channels))
    np.testing.assert_array_equal(decode(float_tiff(ramp.squeeze(), format)).pixels[..., :1], ramp[..., :1])


def test_the_reported_float_is_not_black(shared: Path) -> None:
    photo = decode(shared / "data/reports/f32gray_max1.3.tif")
    with Image.open(shared / "data/reports/f32gray_max1.3.tif") as image:
        expected = np.rint(np.clip(np.asarray(image, np.float64), 0, 1) * 65535)
    np.testing.assert_array_equal(photo.pixels[..., 0], expected.astype(np.uint16))
