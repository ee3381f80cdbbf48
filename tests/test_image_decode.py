"""Decoding: formats, orientation, colour, depth, limits."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from revisage.errors import PhotoError, PhotoTooLargeError, UnsupportedFormatError, UsageError
from revisage.image import DecodeLimits, Photo, colour, decode, encode, from_array, from_pillow, left_out
from revisage.image.containers.ifd import ORIENTATION, Block
from revisage.image.containers.png import with_metadata
from revisage.image.photo import Metadata
from revisage.image.planes import planes_of

SRGB_PROFILE = ImageCms.createProfile("sRGB")
SRGB = ImageCms.ImageCmsProfile(SRGB_PROFILE).tobytes()


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A picture without symmetry that lossy formats keep well."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [40 + 150 * x / width, 30 + 180 * y / height, 20 + 90 * (x + y) / (width + height), 255 - 2 * x]
    return np.stack(planes[:channels], axis=2).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def outcome(data: bytes) -> Photo | str:
    """The photo, or what the error says."""
    try:
        return decode(data, isolate=False)
    except PhotoError as error:
        return str(error)


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    return exif


def orientation_of(photo: Photo) -> int:
    exif = Image.Exif()
    exif.load(photo.exif or b"")
    return exif.get(0x0112, 1)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"])
def test_every_allowed_format_is_read_in_the_child_process(format: str) -> None:
    pixels = smooth(40, 56)
    photo = decode(encode(from_array(pixels), format=format))
    assert photo.format == format
    assert photo.pixels.shape == (40, 56, 3)
    assert photo.pixels.flags.writeable
    assert photo.pixels.flags.c_contiguous
    assert np.abs(photo.pixels.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("format", ["TGA", "PPM", "ICO", "PCX"])
def test_formats_outside_the_list_are_refused(format: str) -> None:
    data = saved(Image.fromarray(smooth(16, 16)), format)
    with pytest.raises(UnsupportedFormatError, match="convert it"):
        decode(data)


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_once(format: str, orientation: int, isolate: bool) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    stored = saved(Image.fromarray(smooth(24, 40)), format, exif=exif_with(orientation), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(stored))))
    photo = decode(stored, isolate=isolate)
    assert np.array_equal(photo.pixels, expected)
    assert orientation_of(photo) == 1
    again = decode(encode(photo, format="PNG"), isolate=False)
    assert np.array_equal(again.pixels, expected)
    assert orientation_of(again) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_orientation_that_the_container_states_is_applied_once(format: str, orientation: int) -> None:
    stored = smooth(64, 96)
    exif = exif_with(orientation)
    if format == "HEIF":  # writes irot and imir, and leaves the orientation in EXIF as phones do
        buffer = io.BytesIO()
        pillow_heif.from_bytes("RGB", (96, 64), stored.tobytes()).save(
            buffer, exif=exif.tobytes(), quality=95
        )
        data = buffer.getvalue()
    else:
        data = saved(Image.fromarray(stored), format, exif=exif, quality=95)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    photo = decode(data, isolate=False)
    assert photo.pixels.shape == expected.shape
    assert np.abs(photo.pixels - expected).mean() < 5
    assert orientation_of(photo) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_orientation_of_16_bit_files_which_pillow_does_not_decode(format: str, orientation: int) -> None:
    stored = (np.random.default_rng(1).integers(0, 65536, (6, 9, 4))).astype(np.uint16)
    data = encode(from_array(stored), format=format)
    if format == "PNG":
        data = with_metadata(data, Metadata(exif=exif_with(orientation).tobytes()))
    else:
        block = Block(data)
        entry = block.find(block.first, ORIENTATION)
        assert entry is not None
        block.set_integer(entry, orientation)
        data = bytes(block.bytes)
    photo = decode(data, isolate=False)
    for plane, source in ((photo.pixels[..., 1], stored[..., 1]), (photo.alpha, stored[..., 3])):
        image = Image.fromarray(source.astype(np.int32))
        image.getexif()[0x0112] = orientation
        assert np.array_equal(plane, np.asarray(ImageOps.exif_transpose(image)))


def test_xmp_orientation_counts_without_exif_and_never_for_avif() -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    image = Image.fromarray(smooth(24, 40))
    jpeg = decode(saved(image, "JPEG", xmp=xmp), isolate=False)
    assert jpeg.pixels.shape[:2] == (40, 24)
    assert jpeg.xmp is not None
    assert b"Orientation" not in jpeg.xmp
    assert decode(saved(image, "AVIF", xmp=xmp), isolate=False).pixels.shape[:2] == (24, 40)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4])),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_from_array_keeps_every_sample(shape: tuple[int, int, int], dtype: type, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    photo = from_array(array)
    assert photo.gray == (shape[2] <= 2)
    assert np.array_equal(
        photo.pixels, np.broadcast_to(array[..., :1], (*shape[:2], 3)) if photo.gray else array[..., :3]
    )
    assert (photo.alpha is not None) == (shape[2] in (2, 4))
    if photo.alpha is not None:
        assert np.array_equal(photo.alpha, array[..., -1])
    assert not np.shares_memory(photo.pixels, array)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 5), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_from_array_refuses_what_is_no_picture(array: np.ndarray) -> None:
    with pytest.raises(UsageError):
        from_array(array)


@pytest.mark.parametrize("head", [b"\0\0\0\x20ftypisom", b"\x1aE\xdf\xa3\xa3B"])
def test_a_film_is_told_as_one(head: bytes) -> None:
    with pytest.raises(UnsupportedFormatError, match="--video"):
        decode(head + bytes(100))


def test_a_pillow_image_without_pixels_is_refused() -> None:
    with pytest.raises(PhotoError, match="no pixels"):
        from_pillow(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"]
)
def test_from_pillow_takes_every_mode(mode: str) -> None:
    rgb = Image.fromarray(smooth(20, 30))
    image = rgb.convert("L").convert(mode) if mode in ("1", "LA", "I;16", "I", "F") else rgb.convert(mode)
    photo = from_pillow(image)
    assert photo.gray == (mode in ("1", "L", "LA", "I;16", "I", "F"))
    assert (photo.alpha is not None) == (mode in ("LA", "PA", "RGBA"))
    reference = np.asarray(rgb.convert("L").convert("RGB") if photo.gray else rgb).astype(int)
    if mode not in ("1", "P", "PA", "I;16"):
        seen = photo.pixels if photo.pixels.dtype == np.uint8 else photo.pixels // 257
        assert np.abs(seen.astype(int) - reference).mean() < 6


@pytest.mark.parametrize(("most", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16)])
def test_the_largest_value_tells_the_depth_of_mode_i(most: int, dtype: type) -> None:
    values = np.array([[-5, 3, most]], np.int32)
    photo = from_pillow(Image.fromarray(values))
    assert photo.pixels.dtype == dtype
    assert photo.pixels[0, :, 0].tolist() == [0, 3, most]


def test_a_palette_with_transparency_becomes_alpha() -> None:
    image = Image.new("P", (4, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    photo = decode(saved(image, "PNG", transparency=1))
    assert photo.alpha is not None
    assert photo.alpha[0].tolist() == [255, 0, 255, 255]
    assert photo.pixels[0, 0].tolist() == [255, 0, 0]


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "lime")]
    for format in ("PNG", "WEBP"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=100, lossless=True)
        assert decode(data, isolate=False).pixels[0, 0].tolist() == [255, 0, 0]


def test_a_mismatched_or_malformed_profile_is_dropped() -> None:
    image = Image.fromarray(smooth(8, 8))
    assert decode(saved(image, "JPEG", icc_profile=SRGB), isolate=False).icc == SRGB
    for broken in (SRGB[:90], SRGB[:16] + b"Lab " + SRGB[20:]):
        photo = decode(saved(image, "JPEG", icc_profile=broken), isolate=False)
        assert photo.icc is None
        assert photo.notes == ("its colour profile is damaged or not for such pixels, and is left out",)


@pytest.mark.parametrize("gamma", [1.8, 2.2])
@pytest.mark.parametrize("wide", [False, True])
def test_a_gray_picture_with_a_profile_of_rgb_has_one_of_gray_that_says_the_same(
    gamma: float, wide: bool
) -> None:
    rgb = colour.apply(planes_of(smooth(2, 2)), colour.of_gamma(1.8)).icc if gamma == 1.8 else SRGB
    ramp = np.arange(256, dtype=np.uint8)[None]
    picture = ramp.astype(np.uint16) * 257 if wide else ramp
    photo = decode(saved(Image.fromarray(picture), "PNG", icc_profile=rgb), isolate=False)
    assert photo.gray
    assert photo.notes == ()
    shown = [
        ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            SRGB_PROFILE,
            outputMode="RGB",
            renderingIntent=1,
        )
        for image, icc in ((Image.fromarray(ramp), photo.icc), (Image.fromarray(ramp).convert("RGB"), rgb))
    ]
    assert np.abs(np.diff(np.stack([np.asarray(one, int) for one in shown]), axis=0)).max() <= 1
    assert left_out(photo, "WEBP")[0] == "its colour profile of gray cannot go into WEBP"
    table = rgb[:128] + b"\0\0\0\1A2B0" + rgb[136:]  # of no curve
    assert decode(saved(Image.fromarray(picture), "PNG", icc_profile=table), isolate=False).icc is None


@pytest.mark.parametrize(
    ("mode", "how"), [("CMYK", "CMYK to sRGB, without a profile"), ("LAB", "Lab to sRGB")]
)
def test_colours_that_become_srgb_are_told(mode: str, how: str) -> None:
    image = Image.new(mode, (4, 4))
    photo = decode(saved(image, "TIFF"), isolate=False)
    assert photo.notes == (f"its colours were converted from {how}",)


def test_camera_raw_is_not_taken_for_its_preview() -> None:
    data = saved(Image.fromarray(smooth(8, 8)), "TIFF", tiffinfo={50706: b"\x01\x04\0\0"})
    with pytest.raises(UnsupportedFormatError, match="raw"):
        decode(data, isolate=False)


def bomb(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + bytes(13)
    )


@pytest.mark.parametrize("isolate", [True, False])
def test_a_46_byte_png_of_a_billion_pixels_is_refused(isolate: bool) -> None:
    data = bomb(30_000, 30_000)
    assert len(data) == 46
    with pytest.raises(PhotoTooLargeError, match="30000×30000"):
        decode(data, isolate=isolate)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"])
def test_the_pixel_limit_holds_for_every_format(format: str) -> None:
    data = encode(from_array(smooth(40, 50)), format=format)
    assert decode(data, limits=DecodeLimits(max_pixels=2000), isolate=False).size == (50, 40)
    with pytest.raises(PhotoTooLargeError):
        decode(data, limits=DecodeLimits(max_pixels=1999), isolate=False)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("format", ["JPEG", "progressive", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"])
def test_a_cut_file_is_an_error_or_the_whole_picture(format: str) -> None:
    if format == "progressive":
        data = saved(Image.fromarray(smooth(40, 50)), "JPEG", progressive=True)
    else:
        data = encode(from_array(smooth(40, 50)), format=format)
    whole = decode(data, isolate=False).pixels
    for length in range(1, len(data), max(len(data) // 25, 1)):
        found = outcome(data[:length])
        assert isinstance(found, str) or np.array_equal(found.pixels, whole), length


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.binary(max_size=300), st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "BMP"]), st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_any_bytes_end_in_a_photo_or_a_photo_error(junk: bytes, format: str, at: int) -> None:
    data = encode(from_array(smooth(9, 7)), format=format)
    data = data[:at] + junk + data[at + len(junk) :]
    found = outcome(data)
    assert "\n" not in found if isinstance(found, str) else found.pixels.size


@pytest.mark.parametrize("isolate", [True, False])
def test_what_cannot_be_opened_is_a_photo_error(tmp_path: Path, isolate: bool) -> None:
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, text in (
        ("none.jpg", "opened"),
        ("empty.jpg", "empty"),
        (".", "folder"),
        ("pipe.jpg", "regular"),
    ):
        with pytest.raises(PhotoError, match=text):
            decode(tmp_path / name, isolate=isolate)
    with pytest.raises(PhotoError):
        decode("nul\0.jpg", isolate=isolate)


def test_the_resolution_turns_with_the_picture() -> None:
    data = saved(Image.fromarray(smooth(8, 4)), "JPEG", exif=exif_with(6), dpi=(100, 200))
    assert decode(data).dpi == (200, 100)


def test_a_resolution_that_no_photo_states_is_not_made_up() -> None:
    exif = exif_with(1)
    for dpi, resolution, expected in ((None, None, None), ((300, 300), None, 300), (None, 72.0, 72)):
        if resolution is not None:
            exif[0x011A] = exif[0x011B] = resolution
            exif[0x0128] = 2
        data = saved(Image.new("RGB", (8, 8)), "JPEG", exif=exif, **({"dpi": dpi} if dpi else {}))
        stated = None if expected is None else (expected, expected)
        assert decode(data, isolate=False).dpi == stated
        assert from_pillow(Image.open(io.BytesIO(data))).dpi == stated


def test_a_resolution_without_a_unit_is_of_an_inch() -> None:
    exif = exif_with(1)
    exif[0x011A], exif[0x011B] = 300.0, 150.0
    data = saved(Image.new("RGB", (8, 8)), "JPEG", exif=exif)
    assert decode(data, isolate=False).dpi == (300, 150)
