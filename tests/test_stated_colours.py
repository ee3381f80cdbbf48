"""Colours that files state without an ICC profile stay, or are converted and told; more than 8 bits stay."""

from __future__ import annotations

import datetime
import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms
from restore_stubs import StubModels

from revisage.cli import main
from revisage.cli import restore as command
from revisage.image import Photo, colour, decode, encode, from_array, left_out
from revisage.image.containers.png import chunk
from revisage.restore import Restorer

PLAIN = ["--model", "none", "--scene", "none", "--scale", "1"]
P3 = (12, 13)


@pytest.fixture(autouse=True)
def _stub_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=StubModels()))


def ramp(dtype: type = np.uint8, gray: bool = False) -> np.ndarray:
    top = np.iinfo(dtype).max
    x = np.linspace(0, top, 64).astype(dtype)
    planes = [np.tile(x, (32, 1)), np.tile(x[::-1], (32, 1)), np.full((32, 64), top // 3, dtype)]
    return planes[0] if gray else np.dstack(planes)


def png_with(array: np.ndarray, *chunks: bytes) -> bytes:
    data = encode(from_array(array), format="PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 * gamma)))


def chrm(*points: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * v) for v in (*points[6:], *points[:6]))))


def to_srgb(v: np.ndarray) -> np.ndarray:
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


def shown(photo: Photo) -> np.ndarray:
    """(H, W, 3) in sRGB, 8 bits, as a viewer that knows ICC shows it."""
    image = Image.fromarray(
        (photo.pixels if photo.pixels.dtype == np.uint8 else photo.pixels >> 8).astype(np.uint8)
    )
    if photo.icc is None:
        return np.asarray(image)
    if photo.gray:
        image = image.convert("L")
    profile = ImageCms.ImageCmsProfile(io.BytesIO(photo.icc))
    return np.asarray(
        ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    )


# PNG


@pytest.mark.parametrize("gray", [False, True])
def test_a_profile_does_not_tell_when_it_was_made(gray: bool) -> None:
    """Else the same photo gives another file every second."""
    icc = decode(png_with(ramp(gray=gray), gama(0.35))).icc
    assert icc is not None
    made = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.creation_date
    assert made == datetime.datetime(2000, 1, 1)


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gamma", [1.0, 2.5, 0.35, 0.7, 0.55, 0.45455, 0.25])
def test_a_png_with_a_gamma_looks_as_before(gamma: float, dtype: type, gray: bool) -> None:
    array = ramp(dtype, gray)
    photo = decode(png_with(array, gama(gamma)))
    expected = 255 * to_srgb((array / np.iinfo(dtype).max) ** (1 / gamma))
    off = np.abs(shown(photo).astype(float) - (expected[..., None] if gray else expected))
    assert off.max() <= (
        2.5 if gamma != 0.45455 else 9
    )  # 2.2 is taken for sRGB, whose curve differs near black
    converted = not 1.6 <= 1 / gamma <= 3.2
    assert bool(photo.notes) == converted
    if not converted:
        np.testing.assert_array_equal(photo.pixels[..., 0], array if gray else array[..., 0])


def test_chromaticities_become_a_profile() -> None:
    wide = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.329)
    photo = decode(png_with(ramp(), gama(0.45455), chrm(*wide)))
    assert photo.icc is not None
    assert not photo.notes
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 128
    assert shown(decode(png_with(red, gama(0.45455), chrm(*wide))))[0, 0, 0] > 140  # redder than sRGB's
    assert decode(png_with(ramp(), chrm(*colour._SRGB))).icc is None


@pytest.mark.parametrize("format", ["PNG", "HEIF"])
def test_display_p3_stays_display_p3(format: str) -> None:
    data = png_with(ramp(), chunk(b"cICP", bytes([*P3, 0, 1])), gama(1.0))
    photo = decode(data)
    assert (photo.cicp, photo.notes) == (P3, ())
    np.testing.assert_array_equal(photo.pixels, ramp())
    again = decode(encode(photo, format=format, quality=100))
    assert again.cicp == P3
    assert np.abs(shown(again).astype(int) - shown(photo)).max() <= 4


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_other_formats_hold_display_p3_as_a_profile(format: str) -> None:
    photo = decode(png_with(ramp(), chunk(b"cICP", bytes([*P3, 0, 1]))))
    again = decode(encode(photo, format=format))
    assert again.icc == photo.icc
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    seen = shown(decode(png_with(red, chunk(b"cICP", bytes([*P3, 0, 1])))))
    assert seen[0, 0, 0] > 205  # redder than sRGB's


def test_a_profile_counts_before_gamma_and_code_points_before_a_profile() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(Photo(pixels=ramp(), icc=icc), format="PNG")
    assert decode(data[:33] + gama(1.0) + data[33:]).icc == icc
    assert decode(data[:33] + chunk(b"cICP", bytes([*P3, 0, 1])) + data[33:]).icc not in (None, icc)
    assert decode(png_with(ramp(), chunk(b"sRGB", b"\0"), gama(1.0))).notes == ()


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (8, "gamma 1")])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_high_dynamic_range_is_converted_and_told(transfer: int, name: str, dtype: type) -> None:
    array = np.sort(ramp(dtype, gray=True))
    photo = decode(png_with(np.dstack([array] * 3), chunk(b"cICP", bytes([9, transfer, 0, 1]))))
    assert photo.notes == (f"its samples were converted from {name} to the curve of sRGB",)
    assert photo.cicp == (9, 13)
    line = photo.pixels[0, :, 0].astype(int)
    assert (np.diff(line) >= 0).all()
    assert line[0] == 0
    assert line[-1] >= 0.99 * np.iinfo(dtype).max


def test_reference_white_of_pq_is_nearly_white_and_gray_below_is_exact() -> None:
    def pq(nits: float) -> int:
        y = (nits / 10_000) ** 0.1593017578125
        return round(65535 * ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)

    array = np.zeros((2, 3, 3), np.uint16)
    array[:, 0], array[:, 1], array[:, 2] = pq(203 * 0.18), pq(203), pq(1000)
    levels = decode(png_with(array, chunk(b"cICP", bytes([9, 16, 0, 1])))).pixels[0, :, 0] / 65535
    assert levels[0] == pytest.approx(float(to_srgb(np.array(0.18))), abs=1e-3)
    assert 0.93 < levels[1] < levels[2] <= 1


def test_the_reported_gamma_looks_the_same(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/reports/gama10.png"
    assert main(["restore", str(source), "-o", str(tmp_path / "out.png"), *PLAIN]) == 0
    with Image.open(source) as before, Image.open(tmp_path / "out.png") as after:
        expected = 255 * to_srgb(np.asarray(before.convert("RGB")) / 255)
        assert "gamma" not in after.info
        assert np.abs(np.asarray(after.convert("RGB")) - expected).max() <= 0.51


# HEIF and AVIF


def heif(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    mode = "RGB;16" if array.dtype == np.uint16 else "RGB"
    pillow_heif.encode(
        mode, array.shape[1::-1], array.tobytes(), buffer, quality=100, chroma="444", **options
    )
    return buffer.getvalue()


def test_ten_bits_of_heif_stay(tmp_path: Path) -> None:
    array = ramp(np.uint16)
    photo = decode(heif(array))
    assert photo.pixels.dtype == np.uint16
    assert np.abs(photo.pixels.astype(int) - array).max() < 400  # 10 bits, and lossy
    assert photo.pixels.max() == 65535
    data = encode(photo, format="HEIF", quality=100)
    assert pillow_heif.open_heif(io.BytesIO(data)).info["bit_depth"] == 10
    assert np.abs(decode(data).pixels.astype(int) - array).max() < 800
    assert left_out(photo, "HEIF") == ()
    assert left_out(photo, "JPEG") == ("its depth cannot go into JPEG",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_heif_holds_gray_and_alpha_of_both_depths(channels: int, dtype: type) -> None:
    array = np.full((32, 32, channels), np.iinfo(dtype).max // 3, dtype)
    photo = decode(encode(from_array(array), format="HEIF", quality=100))
    assert photo.gray == (channels == 1)  # libheif gives gray with alpha as RGBA
    assert (photo.alpha is not None) == (channels in (2, 4))
    assert photo.pixels.dtype == dtype
    assert photo.pixels.mean() == pytest.approx(np.iinfo(dtype).max / 3, rel=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("code", "kept"), [(P3, P3), ((9, 16), (9, 13)), ((9, 18), (9, 13)), ((1, 13), None)]
)
def test_nclx_of_heif(code: tuple[int, int], kept: tuple[int, int] | None, dtype: type) -> None:
    data = heif(ramp(dtype), color_primaries=code[0], transfer_characteristics=code[1])
    photo = decode(data)
    assert photo.cicp == kept
    assert bool(photo.notes) == (code[1] in (16, 18))
    assert (photo.icc is None) == (kept is None)
    assert decode(encode(photo, format="HEIF")).cicp == kept


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("code", [P3, (9, 16), (1, 13)])
def test_depth_and_nclx_of_avif(code: tuple[int, int], bits: int) -> None:
    import imagecodecs

    array = ramp(np.uint16) >> (16 - bits)
    array = array.astype(np.uint8) if bits == 8 else array
    data = imagecodecs.avif_encode(
        array, level=100, bitspersample=bits, primaries=code[0], transfer=code[1], matrix=1, speed=10
    )
    photo = decode(bytes(data))
    assert photo.pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert photo.cicp == {P3: P3, (9, 16): (9, 13), (1, 13): None}[code]
    assert bool(photo.notes) == (code[1] == 16)
    if code != (9, 16):
        assert np.abs(photo.pixels / np.iinfo(photo.pixels.dtype).max - ramp() / 255).max() < 0.02


def test_the_reported_p3_stays(shared: Path, tmp_path: Path) -> None:
    source, out = shared / "data/reports/p3.heic", tmp_path / "out.heic"
    assert main(["restore", str(source), "-o", str(out), *PLAIN]) == 0
    nclx = pillow_heif.open_heif(out).info["nclx_profile"]
    assert (nclx["color_primaries"], nclx["transfer_characteristics"]) == P3
    assert main(["restore", str(source), "-o", str(tmp_path / "out.jpg"), *PLAIN]) == 0
    assert decode(tmp_path / "out.jpg").icc is not None


def test_chromaticities_of_a_tiff() -> None:
    buffer = io.BytesIO()
    tags = {318: (0.3127, 0.329), 319: (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)}
    Image.fromarray(ramp()).save(buffer, "TIFF", tiffinfo=tags)
    assert decode(buffer.getvalue()).icc is not None
