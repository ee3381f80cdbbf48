"""Segments, chunks and directories: metadata goes into a file at one place for each format."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from revisage.image import decode, deep, eight_bits, encode, from_array
from revisage.image.containers import declared_size, jpeg, png, read_xmp, replace_xmp, webp
from revisage.image.containers.ifd import EXIF_PREFIX, MAX_ENTRIES, ORIENTATION
from revisage.image.formats import sniff
from revisage.image.photo import Metadata
from revisage.label import read

PIXELS = np.random.default_rng(0).integers(0, 256, (21, 33, 4), np.uint8)
EXIF = EXIF_PREFIX + b"II*\0\x08\0\0\0" + bytes(6)
GIVEN = {"icc": b"profile of odd length", "exif": EXIF, "xmp": b"<x:xmpmeta/>"}


@pytest.mark.parametrize("names", [(), ("icc",), ("exif",), ("xmp",), ("icc", "exif", "xmp")])
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_with_metadata_is_the_one_that_pillow_writes(
    names: tuple[str, ...], lossless: bool, mode: str
) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    given = {name: GIVEN[name] for name in names}
    plain, whole = io.BytesIO(), io.BytesIO()
    image.save(plain, "WEBP", lossless=lossless)
    options = {"icc_profile" if name == "icc" else name: value for name, value in given.items()}
    image.save(whole, "WEBP", lossless=lossless, **options)
    assert webp.with_metadata(plain.getvalue(), Metadata(**given)) == whole.getvalue()


def test_a_webp_whose_picture_has_no_size_is_refused() -> None:
    body = b"VP8 " + struct.pack("<I", 10) + bytes(10)
    with pytest.raises(ValueError, match="no picture"):
        webp.with_metadata(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body, Metadata(xmp=b"<x/>"))


def test_a_packet_goes_behind_exif_wherever_the_old_one_was() -> None:
    plain = encode(from_array(PIXELS[..., :3]), format="JPEG")
    with_exif = jpeg.with_metadata(plain, Metadata(exif=EXIF))
    old = b"\xff\xe1" + struct.pack(">H", 2 + 29 + 3) + b"http://ns.adobe.com/xap/1.0/\0old"
    replaced = replace_xmp(with_exif[:2] + old + with_exif[2:], "JPEG", b"new")
    assert replaced == jpeg.with_metadata(plain, Metadata(exif=EXIF, xmp=b"new"))
    assert read_xmp(replaced) == b"new"


def test_a_tiff_whose_directory_is_too_long_is_refused_in_time() -> None:
    count = MAX_ENTRIES + 1
    lines = b"".join(struct.pack("<HHII", tag, 3, 1, 0) for tag in range(count))
    data = b"II*\0" + struct.pack("<IH", 8, count) + lines + bytes(4)
    with pytest.raises(ValueError, match="too long"):
        read_xmp(data)
    assert read(data) is None


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_the_header_of_a_png_tells_size_and_depth(depth: type) -> None:
    data = encode(from_array(PIXELS.astype(depth)), format="PNG")
    assert png.declared_size(data[:64]) == (33, 21)
    assert deep.BITS["PNG"](data) == 8 * np.dtype(depth).itemsize
    assert png.declared_size(b"\x89PNG\r\n\x1a\n") is None


def test_sixteen_bits_become_the_nearest_eight() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).reshape(1024, 64)
    assert np.array_equal(eight_bits(every), np.rint(every / 257).astype(np.uint8))


def test_eight_bits_stay_as_they_are_and_are_contiguous() -> None:
    turned = PIXELS[:, ::-1]
    assert np.array_equal(eight_bits(turned), turned)
    assert eight_bits(turned).flags.c_contiguous
    assert eight_bits(PIXELS) is PIXELS


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_the_header_of_a_webp_gives_its_size(lossless: bool, alpha: bool) -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[..., : 4 if alpha else 3]).save(stream, "WEBP", lossless=lossless)
    assert declared_size(stream.getvalue()[:64], "WEBP") == (33, 21)


def test_sniff_knows_brands_beyond_the_major_one() -> None:
    head = struct.pack(">I", 24) + b"ftypmif1\0\0\0\0"
    assert sniff(head + b"mif1avif") == "AVIF"
    assert sniff(head + b"mif1heic") == "HEIF"
    assert sniff(struct.pack(">I", 20) + b"ftypisom\0\0\0\0mp42") is None
    assert sniff(b"") is None


def test_exif_and_xmp_behind_the_pixels_of_a_16_bit_png_are_found() -> None:
    data = bytes(imagecodecs.png_encode(np.zeros((4, 6, 3), np.uint16)))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    tagged = png.with_metadata(data, Metadata(exif=exif.tobytes()))
    at = tagged.index(b"eXIf") - 4
    chunk = tagged[at : at + 12 + int.from_bytes(tagged[at : at + 4], "big")]
    moved = data[:-12] + chunk + data[-12:]
    photo = decode(moved, isolate=False)
    assert photo.pixels.shape == (6, 4, 3)
    assert photo.exif is not None
