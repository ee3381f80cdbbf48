"""JPEG XL in and out; JPEG 2000, GIF and camera raw in; each by the decoding process with all it gives up."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels

from revisage.errors import PhotoError, PhotoTooLargeError, UnsupportedFormatError
from revisage.image import DecodeLimits, Photo, can_encode, decode, deep, encode, from_array, left_out
from revisage.image.containers import boxes, read_xmp
from revisage.image.containers.ifd import EXIF_PREFIX
from revisage.image.containers.tiff import _append_directory, _Tag
from revisage.label import Label, packet, read
from revisage.restore import Restorer

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="attic"/></rdf:RDF></x:xmpmeta>'
)


def smooth(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    x = np.linspace(0, np.iinfo(dtype).max, 96).astype(dtype)
    return np.dstack([np.tile(np.roll(x, 7 * channel), (64, 1)) for channel in range(channels)])


def exif() -> bytes:
    made = Image.Exif()
    made[0x010E] = "the garden"
    return EXIF_PREFIX + made.tobytes().removeprefix(EXIF_PREFIX)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


# JPEG XL


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_xl_holds_gray_alpha_and_16_bits(channels: int, dtype: type) -> None:
    array = np.full((32, 40, channels), np.iinfo(dtype).max // 3, dtype)
    photo = decode(encode(from_array(array), format="JXL"))
    assert photo.format == "JXL"
    assert photo.pixels.dtype == dtype
    assert photo.gray == (channels < 3)
    assert (photo.alpha is not None) == (channels in (2, 4))
    assert photo.pixels.mean() == pytest.approx(np.iinfo(dtype).max / 3, rel=0.03)


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (8, 256), (31, 45), (700, 500)])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_the_header_of_jpeg_xl_tells_the_depth(bits: int, size: tuple[int, int], container: bool) -> None:
    array = np.full((*size, 3), 90, np.uint8 if bits == 8 else np.uint16)
    options = {"bitspersample": bits, "usecontainer": container, "effort": 1}
    assert deep.BITS["JXL"](bytes(imagecodecs.jpegxl_encode(array, level=90, **options))) == bits


def test_jpeg_xl_keeps_exif_and_the_label() -> None:
    label = Label("revisage 1", ("model 1",))
    data = encode(Photo(pixels=smooth(), exif=exif(), xmp=packet(label, XMP)), format="JXL")
    assert can_encode("JXL")
    assert read(data) == label
    photo = decode(data)
    assert b"attic" in photo.xmp
    found = Image.Exif()
    found.load(photo.exif)
    assert found[0x010E] == "the garden"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_profile_of_jpeg_xl_is_read_and_colours_are_converted_on_writing(dtype: type) -> None:
    icc = bytes(
        imagecodecs.cms_profile(
            "rgb", primaries=(0.68, 0.32, 0.265, 0.69, 0.15, 0.06), whitepoint=(0.3127, 0.329, 1.0), gamma=2.2
        )
    )
    buffer = io.BytesIO()
    red = np.zeros((32, 32, 3), dtype)
    red[..., 0] = 0.7 * np.iinfo(dtype).max
    import pillow_jxl  # noqa: F401

    Image.fromarray((red >> (8 * (red.itemsize - 1))).astype(np.uint8)).save(buffer, "JXL", lossless=True)
    assert decode(buffer.getvalue()).icc is not None  # libjxl states sRGB as a profile
    photo = Photo(pixels=red, icc=icc)
    assert left_out(photo, "JXL") == ("its colour profile, converted to sRGB, cannot go into JXL",)
    again = decode(encode(photo, format="JXL", quality=100))
    assert again.pixels[..., 0].mean() > 1.05 * red[..., 0].mean()  # the same red has more in sRGB


def test_metadata_of_jpeg_xl_may_be_compressed() -> None:
    data = encode(Photo(pixels=smooth()), format="JXL")
    squeezed = data + box(b"brob", b"xml " + bytes(imagecodecs.brotli_encode(XMP)))
    assert b"attic" in decode(squeezed).xmp
    assert read_xmp(squeezed) == XMP


# JPEG 2000


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("codestream", [False, True])
def test_jpeg_2000_is_read_in_its_depth(codestream: bool, channels: int, dtype: type) -> None:
    array = smooth(channels, dtype).squeeze()
    data = bytes(imagecodecs.jpeg2k_encode(array, level=0, codecformat="j2k" if codestream else "jp2"))
    photo = decode(data)
    assert photo.format == "JPEG2000"
    assert photo.pixels.dtype == dtype
    colour = array[..., :3] if channels > 1 else array[..., None]
    np.testing.assert_array_equal(photo.pixels[..., : colour.shape[2]], colour)
    assert (photo.alpha is not None) == (channels == 4)


def test_metadata_of_jpeg_2000() -> None:
    icc = bytes(imagecodecs.cms_profile("adobergb"))
    data = bytes(imagecodecs.jpeg2k_encode(smooth(), level=0, codecformat="jp2"))
    at = data.index(b"colr") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    header = data.index(b"jp2h") - 4
    inner = data[header + 8 : at] + box(b"colr", b"\x02\0\0" + icc) + data[at + length :][:0]
    end = header + int.from_bytes(data[header : header + 4], "big")
    inner += data[at + length : end]
    extra = box(b"uuid", boxes._XMP_UUID + XMP) + box(b"uuid", boxes._EXIF_UUID + exif()[6:])
    photo = decode(data[:header] + box(b"jp2h", inner) + extra + data[end:])
    assert photo.icc == icc
    assert b"attic" in photo.xmp
    assert b"the garden" in photo.exif


@pytest.mark.parametrize("name", ["a8c4ee_16bit.cropped.jp2", "a78331_9bit.j2k", "2dc468_comment.jp2"])
def test_odd_jpeg_2000_files(shared: Path, name: str) -> None:
    found = [path for path in (shared / "data/odd").iterdir() if path.name.endswith(name.split("_", 1)[1])]
    for path in found:
        assert decode(path).format == "JPEG2000"


# Camera raw


def dng(width: int = 96, height: int = 64, preview: bytes | None = None) -> bytes:
    """A digital negative of a gray Bayer mosaic; with a preview as its first picture."""
    body = bytearray(b"II*\0\0\0\0\0")

    def tag(number: int, kind: int, count: int, value: bytes) -> _Tag:
        return _Tag(number, kind, count, value)

    def shorts(number: int, *values: int) -> _Tag:
        return tag(number, 3, len(values), struct.pack(f"<{len(values)}H", *values))

    def longs(number: int, *values: int) -> _Tag:
        return tag(number, 4, len(values), struct.pack(f"<{len(values)}I", *values))

    mosaic = np.full((height, width), 20_000, np.uint16)
    at = len(body)
    body += mosaic.tobytes()
    matrix = b"".join(struct.pack("<2i", x, 1) for x in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    raw = [
        longs(254, 0), longs(256, width), longs(257, height), shorts(258, 16), shorts(259, 1),
        shorts(262, 32803),
        longs(273, at), shorts(277, 1), longs(278, height), longs(279, mosaic.nbytes), shorts(284, 1),
        shorts(33421, 2, 2), tag(33422, 1, 4, bytes([0, 1, 1, 2])), tag(50706, 1, 4, bytes([1, 4, 0, 0])),
        tag(50708, 2, 5, b"Test\0"), shorts(50714, 0), longs(50717, 65535), tag(50721, 10, 9, matrix),
        shorts(50778, 21), tag(271, 2, 5, b"Test\0"), tag(272, 2, 5, b"Test\0"),
    ]  # fmt: skip
    if preview is None:
        _append_directory(body, raw, "<", 4)
        return bytes(body)
    link = len(body)
    body += bytes(4)
    _append_directory(body, raw, "<", link)
    start = len(body)
    body += preview
    first = [
        longs(254, 1), longs(256, width), longs(257, height), shorts(258, 8, 8, 8), shorts(259, 7),
        shorts(262, 6),
        longs(273, start), shorts(277, 3), longs(278, height), longs(279, len(preview)),
        tag(330, 4, 1, bytes(body[link : link + 4])), tag(271, 2, 5, b"Test\0"), tag(272, 2, 5, b"Test\0"),
        tag(50706, 1, 4, bytes([1, 4, 0, 0])), tag(50708, 2, 5, b"Test\0"),
    ]  # fmt: skip
    _append_directory(body, first, "<", 4)
    return bytes(body)


@pytest.mark.parametrize("isolate", [True, False])
def test_camera_raw_is_developed(isolate: bool) -> None:
    pytest.importorskip("rawpy")
    photo = decode(dng(), isolate=isolate)
    assert photo.format == "RAW"
    assert photo.pixels.dtype == np.uint16
    assert photo.notes == ("camera raw: it was developed by LibRaw",)
    assert np.ptp(photo.pixels[20:40, 20:60].astype(int)) < 4000  # gray stays even


def test_a_preview_as_large_as_the_picture_is_taken_for_it() -> None:
    pytest.importorskip("rawpy")
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (10, 200, 30)).save(buffer, "JPEG", quality=95)
    photo = decode(dng(preview=buffer.getvalue()))
    assert (photo.format, photo.size) == ("RAW", (96, 64))
    assert photo.notes == ("camera raw: the preview in it was read",)
    assert np.abs(photo.pixels[30, 40].astype(int) - [10, 200, 30]).max() < 6


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for data in (dng(), b"FUJIFILMCCD-RAW 0201" + bytes(200)):
        with pytest.raises(UnsupportedFormatError, match=r"revisage\[raw\]"):
            decode(data, isolate=False)


def test_a_broken_raw_file_is_a_photo_error() -> None:
    pytest.importorskip("rawpy")
    for data in (b"FUJIFILMCCD-RAW 0201" + bytes(500), b"IIU\0" + bytes(500), dng()[:200]):
        with pytest.raises(PhotoError):
            decode(data)


# All of them


@pytest.mark.parametrize("format", ["JXL", "JPEG2000", "GIF", "RAW"])
def test_limits_and_cut_files(format: str) -> None:
    gif = io.BytesIO()
    Image.fromarray(smooth()).save(gif, "GIF")
    data = {
        "JXL": encode(Photo(pixels=smooth()), format="JXL"),
        "JPEG2000": bytes(imagecodecs.jpeg2k_encode(smooth(), level=0)),
        "GIF": gif.getvalue(),
        "RAW": dng(),
    }[format]
    with pytest.raises(PhotoTooLargeError):
        decode(data, limits=DecodeLimits(max_pixels=96 * 64 - 1))
    for length in range(0, len(data), max(1, len(data) // 12)):
        with contextlib.suppress(PhotoError):
            assert decode(data[:length], isolate=True).size == (96, 64)


@pytest.mark.parametrize("format", ["JPEG2000", "GIF", "RAW"])
def test_what_is_only_read_is_written_as_png(format: str) -> None:
    result = Restorer(models=StubModels()).restore(Photo(pixels=smooth(), format=format), scale=1)
    assert decode(result.encode()).format == "PNG"
