"""Samples of 16 bits, keys of transparency and colour models that files state."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from revisage.image import decode, encode, from_array
from revisage.image.containers.ifd import Block

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A picture without symmetry that lossy formats keep well."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [40 + 150 * x / width, 30 + 180 * y / height, 20 + 90 * (x + y) / (width + height), 255 - 2 * x]
    return np.stack(planes[:channels], axis=2).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_of(depth: int, colour: int, rows: bytes, size: tuple[int, int], trns: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = [
        chunk(b"IHDR", header),
        chunk(b"tRNS", trns),
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("depth", "row", "key"),
    [
        (1, b"\x40", 1),
        (2, b"\x18", 1),
        (4, b"\x05\xa0", 5),
        (8, b"\x00\x07\x0a\x0f", 7),
        (16, bytes(2) + b"\x01\x02" + bytes(4), 0x0102),
    ],
)
def test_a_gray_key_is_a_sample_of_the_files_own_depth(depth: int, row: bytes, key: int) -> None:
    photo = decode(png_of(depth, 0, b"\0" + row, (4, 1), struct.pack(">H", key)))
    assert photo.gray
    assert photo.alpha is not None
    assert (photo.alpha[0] == 0).tolist() == [False, True, False, False]


def test_a_colour_key_becomes_alpha() -> None:
    photo = decode(png_of(8, 2, b"\0" + bytes([1, 2, 3, 1, 2, 4]), (2, 1), struct.pack(">3H", 1, 2, 3)))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[0, 255]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_its_depth(channels: int) -> None:
    array = np.random.default_rng(2).integers(0, 65536, (7, 5, channels)).astype(np.uint16)
    photo = decode(bytes(imagecodecs.png_encode(array[..., 0] if channels == 1 else array)))
    assert photo.pixels.dtype == np.uint16
    assert photo.gray == (channels <= 2)
    assert np.array_equal(photo.pixels[..., 0], array[..., 0])
    if channels in (2, 4):
        assert np.array_equal(photo.alpha, array[..., -1])


def test_an_interlaced_16_bit_png_is_put_together(shared: Path) -> None:
    data = (shared / "data/odd/image-png__254caf_basi4a16.png").read_bytes()
    reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    at = data.index(b"gAMA")
    photo = decode(data[: at - 4] + data[at + 12 :])  # it says linear light, which would be converted
    assert photo.gray
    assert np.abs((photo.pixels >> 8).astype(int) - reference[..., :3]).max() <= 1


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"compression": 8, "predictor": 2}])
def test_16_bit_tiff_keeps_its_depth(options: dict[str, object]) -> None:
    array = np.random.default_rng(3).integers(0, 65536, (7, 5, 3)).astype(np.uint16)
    photo = decode(bytes(imagecodecs.tiff_encode(array, **options)))
    assert photo.pixels.dtype == np.uint16
    assert np.array_equal(photo.pixels, array)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_tiff_with_alpha_comes_back_from_the_decoding_process(channels: int) -> None:
    photo = from_array(np.random.default_rng(3).integers(0, 65536, (7, 5, channels)).astype(np.uint16))
    found = decode(encode(photo, format="TIFF"))
    assert np.array_equal(found.pixels, photo.pixels)
    assert np.array_equal(found.alpha, photo.alpha) if channels in (2, 4) else found.alpha is None


def test_planar_and_inverted_16_bit_tiff() -> None:
    array = np.random.default_rng(4).integers(0, 65536, (3, 6, 5)).astype(np.uint16)
    planar = decode(bytes(imagecodecs.tiff_encode(array, planarconfig=2, photometric=2)), isolate=False)
    assert np.array_equal(planar.pixels, np.moveaxis(array, 0, 2))
    black_is_zero = bytes(imagecodecs.tiff_encode(array[0], photometric=1))
    entry = struct.pack("<HHI", 262, 3, 1)  # PhotometricInterpretation, one short
    assert black_is_zero.count(entry + b"\1\0") == 1
    inverted = decode(black_is_zero.replace(entry + b"\1\0", entry + b"\0\0"), isolate=False)
    assert inverted.gray
    assert np.array_equal(inverted.pixels[..., 0], 65535 - array[0])


def test_premultiplied_16_bit_tiff_becomes_straight() -> None:
    straight = np.full((2, 3, 3), 40_000, np.uint16)
    alpha = np.array([[65535, 30_000, 0], [65535, 60_000, 1]], np.uint16)
    stored = np.dstack([np.rint(straight * (alpha[..., None] / 65535)).astype(np.uint16), alpha])
    data = encode(from_array(stored), format="TIFF")
    block = Block(data)
    extra = block.find(block.first, 338)
    assert extra is not None
    block.set_integer(extra, 1)
    photo = decode(bytes(block.bytes), isolate=False)
    assert np.array_equal(photo.alpha, alpha)
    assert np.abs(photo.pixels[:, :2].astype(int) - 40_000).max() <= 2


def test_lab_and_cmyk_become_srgb_and_lose_their_profile() -> None:
    rgb = Image.fromarray(smooth(24, 32))
    lab = ImageCms.profileToProfile(
        rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    photo = decode(saved(lab, "TIFF"))
    assert np.abs(photo.pixels.astype(int) - np.asarray(rgb)).mean() <= 2
    assert photo.icc is None
    for profile in (None, SRGB, SRGB[:16] + b"CMYK" + SRGB[20:]):  # the last is none that littlecms can use
        cmyk = decode(saved(rgb.convert("CMYK"), "TIFF", icc_profile=profile), isolate=False)
        assert np.abs(cmyk.pixels.astype(int) - np.asarray(rgb)).max() <= 2
        assert cmyk.icc is None


def test_wide_gray_is_scaled_as_documented() -> None:
    unit = np.array([[0.0, 0.5, 1.0, np.nan, -3.0]], np.float32)
    photo = decode(saved(Image.fromarray(unit), "TIFF"), isolate=False)
    assert photo.gray
    assert photo.pixels[0, :, 0].tolist() == [0, 32768, 65535, 0, 0]
    whole = np.array([[0, 1000, 65535]], np.int32)
    assert decode(saved(Image.fromarray(whole), "TIFF"), isolate=False).pixels[0, :, 0].tolist() == [
        0,
        1000,
        65535,
    ]
