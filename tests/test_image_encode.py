"""Encoding: what survives from a decoded photo to the file made of it."""

from __future__ import annotations

import dataclasses
import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from revisage.errors import SaveError, UsageError
from revisage.image import Photo, can_encode, decode, encode, from_array
from revisage.image.containers.jpeg import with_metadata
from revisage.image.metadata import EXIF_PREFIX, clean_exif, exif_for, valid_dpi, valid_icc
from revisage.image.photo import Metadata
from revisage.image.xmp import clean_xmp

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY = SRGB[:16] + b"GRAY" + SRGB[20:]  # its header is what is looked at
XMP_HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
)
XMP_TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta>"
XMP = (
    XMP_HEAD + 'dc:source="attic" exif:GPSLatitude="1,2N" tiff:Orientation="6">'
    "<exif:GPSLongitude>3,4E</exif:GPSLongitude><xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt>"
    "</xmp:Thumbnails><dc:title>Großmutter</dc:title>" + XMP_TAIL
).encode()


def full_exif(order: str = "<") -> bytes:
    """EXIF with a maker's note, GPS and a thumbnail, in either byte order."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "Maker"
    exif[0x0112] = 8
    exif[0x8769] = {0x9003: "1931:05:06 07:08:09", 0x927C: b"note" * 8, 0xA002: 4000, 0xA003: 70_000}
    exif[0x8825] = {1: "N", 2: (51.0, 28.0, 38.0), 0x1D: "1931:05:06"}
    block = bytearray(exif.tobytes().removeprefix(EXIF_PREFIX))
    thumbnail = len(block)
    ifd1 = struct.pack(order + "H" + "HHII" * 2 + "I", 2, 0x201, 4, 1, thumbnail + 30, 0x202, 4, 1, 9, 0)
    block += ifd1 + b"old thumb"
    first = struct.unpack_from(order + "I", block, 4)[0]
    count = struct.unpack_from(order + "H", block, first)[0]
    struct.pack_into(order + "I", block, first + 2 + 12 * count, thumbnail)
    return EXIF_PREFIX + bytes(block)


def parsed(exif: bytes | None) -> Image.Exif:
    found = Image.Exif()
    found.load(exif or b"")
    return found


@st.composite
def photos(draw: st.DrawFn) -> Photo:
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    shape = (draw(st.integers(1, 33)), draw(st.integers(1, 33)), draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    photo = from_array(rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype))
    return dataclasses.replace(
        photo,
        icc=draw(st.sampled_from([None, GRAY if photo.gray else SRGB])),
        exif=draw(st.sampled_from([None, full_exif("<"), full_exif(">")])),
        xmp=draw(st.sampled_from([None, XMP])),
        dpi=draw(st.sampled_from([None, (300.0, 300.0), (72.0, 144.0)])),
    )


@given(photos(), st.sampled_from(["PNG", "TIFF"]))
@settings(max_examples=60, deadline=None)
def test_png_and_tiff_keep_depth_alpha_gray_profile_and_dpi(photo: Photo, format: str) -> None:
    again = decode(encode(photo, format=format), isolate=False)
    assert again.pixels.dtype == photo.pixels.dtype
    assert np.array_equal(again.pixels, photo.pixels)
    assert again.gray == photo.gray
    assert (again.alpha is None) == (photo.alpha is None)
    if photo.alpha is not None:
        assert np.array_equal(again.alpha, photo.alpha)
    assert again.icc == photo.icc
    assert (again.dpi is None) == (photo.dpi is None)
    if photo.dpi is not None:
        assert again.dpi == pytest.approx(photo.dpi, abs=0.02)
    assert (again.exif is None) == (photo.exif is None)
    assert parsed(again.exif).get(0x0112, 1) == 1
    assert (again.xmp is None) == (photo.xmp is None)


@given(photos())
@settings(max_examples=30, deadline=None)
def test_bmp_keeps_8_bit_pixels_and_alpha(photo: Photo) -> None:
    again = decode(encode(photo, format="BMP"), isolate=False)
    wide = photo.pixels.dtype == np.uint16
    eight = np.rint(photo.pixels / 257).astype(np.uint8) if wide else photo.pixels
    assert np.array_equal(again.pixels, eight)
    assert (again.alpha is None) == (photo.alpha is None)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_reads_what_our_own_writers_write(format: str, channels: int) -> None:
    array = np.random.default_rng(channels).integers(0, 256, (300, 11, channels), dtype=np.uint8)
    with Image.open(io.BytesIO(encode(from_array(array), format=format))) as image:
        assert image.mode == ("L", "LA", "RGB", "RGBA")[channels - 1]
        assert np.array_equal(np.asarray(image).reshape(array.shape), array)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_metadata_survives_in_every_format_that_holds_it(format: str, order: str) -> None:
    photo = from_array(np.full((32, 48, 3), 90, np.uint8))
    photo = dataclasses.replace(photo, icc=SRGB, exif=full_exif(order), xmp=XMP, dpi=(300.0, 300.0))
    again = decode(encode(photo, format=format), isolate=False)
    if format == "BMP":
        assert again.dpi == pytest.approx((300, 300), abs=0.02)
        return
    assert again.icc == SRGB
    exif = parsed(again.exif)
    assert exif[0x010F] == "Maker"
    assert exif.get(0x0112, 1) == 1
    inner = exif.get_ifd(0x8769)
    assert inner[0x9003] == "1931:05:06 07:08:09"
    assert inner[0x927C] == b"note" * 8
    assert (inner[0xA002], inner[0xA003]) == (48, 32)
    assert not exif.get_ifd(0x8825)
    assert again.xmp is not None
    assert "Großmutter" in again.xmp.decode()
    for gone in (b"GPS", b"Orientation", b"Thumbnails"):
        assert gone not in again.xmp


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_gps_leaves_no_trace_unless_kept(format: str) -> None:
    photo = dataclasses.replace(from_array(np.zeros((32, 32, 3), np.uint8)), exif=full_exif(), xmp=XMP)
    dropped, kept = encode(photo, format=format), encode(photo, format=format, keep_gps=True)
    coordinates = parsed(full_exif()).get_ifd(0x8825)[2]
    assert parsed(decode(kept, isolate=False).exif).get_ifd(0x8825)[2] == coordinates
    assert b"GPSLatitude" in (decode(kept, isolate=False).xmp or b"")
    for trace in (b"GPS", struct.pack("<6I", 51, 1, 28, 1, 38, 1), struct.pack(">6I", 51, 1, 28, 1, 38, 1)):
        assert trace not in dropped


def test_the_thumbnail_of_the_old_picture_goes_and_the_rest_stays_in_place() -> None:
    for order in "<>":
        before = full_exif(order)
        after = clean_exif(before)
        assert after is not None
        assert b"old thumb" not in after
        assert len(after) < len(before)
        assert not parsed(after).get_ifd(1)
        assert after.index(b"note") == before.index(b"note")


@given(st.binary(max_size=60), st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_broken_exif_is_mended_or_dropped_but_never_raises(junk: bytes, at: int) -> None:
    block = full_exif()
    block = block[:at] + junk + block[at + len(junk) :]
    cleaned = clean_exif(block)
    if cleaned is not None:
        exif_for(cleaned, (10, 20), keep_gps=False)
        encode(dataclasses.replace(from_array(np.zeros((2, 2), np.uint8)), exif=cleaned), format="TIFF")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"<broken",
        b"\xff\xfe<",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16"),
        b"<a>" * 50_000 + b"</a>" * 50_000,
        b"<a>" + b" " * (4 << 20) + b"</a>",
    ],
)
def test_an_unusable_xmp_packet_is_dropped(packet: bytes) -> None:
    assert clean_xmp(packet) is None


def test_a_utf_16_packet_becomes_utf_8() -> None:
    cleaned = clean_xmp(XMP.decode().encode("utf-16"))
    assert cleaned is not None
    assert "Großmutter" in cleaned.decode()


@pytest.mark.parametrize("format", FORMATS)
def test_gray_stays_one_channel_where_the_format_has_it(format: str) -> None:
    array = np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))
    photo = dataclasses.replace(from_array(array), icc=GRAY)
    again = decode(encode(photo, format=format), isolate=False)
    assert again.gray == (format != "WEBP")
    assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 2
    if format in ("JPEG", "PNG", "TIFF"):
        assert again.icc == GRAY
    coloured = dataclasses.replace(photo, gray=False)
    assert decode(encode(coloured, format="PNG"), isolate=False).icc is None


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
def test_a_gray_line_or_dot_can_be_written(size: tuple[int, int], format: str) -> None:
    again = decode(encode(from_array(np.full(size, 200, np.uint8)), format=format), isolate=False)
    assert again.pixels.shape == (*size, 3)
    assert np.abs(again.pixels.astype(int) - 200).max() < 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_is_flattened_on_white(dtype: type) -> None:
    top = np.iinfo(dtype).max
    array = np.zeros((16, 48, 4), dtype)
    array[:, 16:32, 3] = top // 2
    array[:, 32:, 3] = top
    flat = decode(encode(from_array(array), format="JPEG"), isolate=False)
    assert flat.alpha is None
    assert np.abs(flat.pixels[8, [4, 24, 44], 0].astype(int) - [255, 128, 0]).max() <= 3


@pytest.mark.parametrize("format", ["WEBP", "HEIF", "AVIF"])
def test_alpha_survives_in_lossy_formats(format: str) -> None:
    array = np.full((32, 32, 4), 128, np.uint8)
    array[:, :16, 3] = 0
    alpha = decode(encode(from_array(array), format=format), isolate=False).alpha
    assert alpha is not None
    assert np.abs(alpha[16, [2, 30]].astype(int) - [0, 128]).max() <= 4


def test_what_cannot_be_encoded_says_what_to_do() -> None:
    photo = from_array(np.zeros((1, 20_000), np.uint8))
    with pytest.raises(SaveError, match=r"choose \.png or \.tif"):
        encode(photo, format="WEBP")
    assert decode(encode(photo, format="JPEG"), isolate=False).size == (20_000, 1)
    with pytest.raises(UsageError, match="quality"):
        encode(photo, quality=0)
    with pytest.raises(UsageError, match="GIF"):
        encode(photo, format="GIF")


def test_quality_trades_size() -> None:
    photo = from_array(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for format in ("JPEG", "WEBP", "HEIF", "AVIF"):
        assert len(encode(photo, format=format, quality=95)) > len(encode(photo, format=format, quality=40))


def test_the_source_format_is_the_default() -> None:
    photo = dataclasses.replace(from_array(np.zeros((8, 8), np.uint8)), format="WEBP")
    assert encode(photo)[8:12] == b"WEBP"


def test_every_format_can_be_written_here() -> None:
    assert all(can_encode(format) for format in FORMATS)
    assert not can_encode("GIF")


@pytest.mark.parametrize("dpi", [None, (0, 0), (float("nan"), 72), (72,), "ab", (1e9, 72)])
def test_resolutions_that_are_none(dpi: object) -> None:
    assert valid_dpi(dpi) is None


def test_profiles_are_taken_for_their_own_colour_space_only() -> None:
    assert valid_icc(SRGB, "RGB ") == SRGB
    assert valid_icc(SRGB, "GRAY") is None
    assert valid_icc(SRGB[:200], "RGB ") is None
    assert valid_icc(b"", "RGB ") is None


@pytest.mark.parametrize("quality", [40, 89, 95])
@pytest.mark.parametrize("gray", [False, True])
def test_a_jpeg_is_the_one_that_pillow_writes(quality: int, gray: bool) -> None:
    rng = np.random.default_rng(quality)
    pixels = rng.integers(0, 256, (37, 51), np.uint8) if gray else rng.integers(0, 256, (37, 51, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=quality, subsampling="4:4:4" if gray or quality >= 90 else "4:2:0"
    )
    assert encode(from_array(pixels), format="JPEG", quality=quality) == buffer.getvalue()


def test_a_jpeg_takes_what_takes_many_segments_but_no_packet_that_is_none() -> None:
    plain = encode(from_array(np.zeros((8, 8, 3), np.uint8)), format="JPEG")
    icc = np.random.default_rng(0).bytes(200_000)
    long = b"Exif\0\0" + bytes(70_000)
    data = with_metadata(plain, Metadata(icc=icc, exif=long, xmp=bytes(65_600), dpi=(300.4, 1e6)))
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.info["icc_profile"] == icc
        assert image.info["dpi"] == (300, 65_535)
        assert image.info["exif"] == long
        assert "xmp" not in image.info
