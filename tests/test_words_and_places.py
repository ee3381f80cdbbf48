"""Captions, keywords, comments and long metadata are kept; regions follow the picture; the place goes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest
from PIL import Image, IptcImagePlugin, PngImagePlugin
from restore_stubs import StubModels

from revisage.cli import main
from revisage.cli import restore as command
from revisage.image import Photo, decode, encode, from_array, left_out
from revisage.image.containers import read_xmp
from revisage.image.containers.ifd import EXIF_PREFIX
from revisage.image.iptc import clean_iptc, of_resources, to_resources
from revisage.image.prints import framed
from revisage.image.xmp import clean_xmp, merge
from revisage.label import Label, add, label_of
from revisage.options import RestoreOptions
from revisage.restore import Restorer

PLAIN = ["--model", "none", "--scene", "none", "--scale", "1"]


@pytest.fixture(autouse=True)
def _stub_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=StubModels()))


def dataset(number: int, text: str, record: int = 2) -> bytes:
    value = text.encode()
    return bytes([0x1C, record, number]) + len(value).to_bytes(2, "big") + value


IPTC = (
    dataset(90, "\x1b%G", 1)
    + dataset(120, "Grandmother, 1931")
    + dataset(25, "family")
    + dataset(25, "garden")
)
PLACE = dataset(90, "Graz") + dataset(92, "Main Square") + dataset(95, "Styria") + dataset(101, "Austria")


def gray(**fields: object) -> Photo:
    return Photo(pixels=np.full((20, 30, 3), 90, np.uint8), **fields)


def packet(properties: str, spaces: str = "") -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" {spaces}>{properties}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


# Words


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_iptc_goes_from_every_format_that_holds_it_into_every_other(format: str) -> None:
    there = decode(encode(gray(iptc=IPTC), format=format))
    assert there.iptc == IPTC
    for other in ("JPEG", "PNG", "TIFF"):
        assert decode(encode(there, format=other)).iptc == IPTC
    with Image.open(io.BytesIO(encode(there, format="JPEG"))) as image:
        found = IptcImagePlugin.getiptcinfo(image)
    assert found[2, 120] == b"Grandmother, 1931"
    assert found[2, 25] == [b"family", b"garden"]


def test_iptc_of_more_than_a_segment() -> None:
    long = b"".join(dataset(25, f"word {n} " + "x" * 1000) for n in range(100))
    assert decode(encode(gray(iptc=long), format="JPEG")).iptc == long


def test_iptc_in_photoshop_resources_among_others() -> None:
    other = b"8BIM\x03\xed\x03abc\x00\x00\x00\x03xyz\x00"
    assert of_resources(b"Photoshop 3.0\0" + other + to_resources(IPTC)) == IPTC
    assert of_resources(other) is None
    assert of_resources(b"8BIM") is None


@pytest.mark.parametrize("cut", [1, 4, 7, 30])
def test_broken_iptc_is_kept_as_far_as_it_goes(cut: int) -> None:
    whole = clean_iptc(IPTC[:-cut], keep_gps=True) or b""
    assert IPTC.startswith(whole)
    assert clean_iptc(whole, keep_gps=True) == (whole or None)


def test_comments_go_between_formats() -> None:
    photo = gray(texts=(("Comment", "Größe: 9 × 13 cm"),))
    for format in ("JPEG", "PNG"):
        there = decode(encode(photo, format=format))
        assert there.texts == photo.texts
        assert decode(encode(there, format="JPEG")).texts == photo.texts
    data = encode(photo, format="JPEG")
    assert Image.open(io.BytesIO(data)).info["comment"].decode() == "Größe: 9 × 13 cm"
    gif = io.BytesIO()
    Image.new("L", (8, 8)).save(gif, "GIF", comment="on the back")
    assert decode(gif.getvalue()).texts == (("Comment", "on the back"),)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_texts_of_png_survive_in_any_script(depth: type) -> None:
    texts = (("Title", "Graz"), ("Description", "Großmutter"), ("parameters", "日本 " + "x" * 70_000))
    photo = Photo(pixels=np.zeros((8, 8, 3), depth), texts=texts)
    again = decode(encode(photo, format="PNG"))
    assert again.texts == texts
    assert Image.open(io.BytesIO(encode(again, format="PNG"))).text == dict(texts)


def test_profiles_hidden_in_texts_are_no_words() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n 6\n457869660000\n")
    info.add_text("exif:GPSLatitude", "47/1")
    info.add_text("Title", "a title")
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG", pnginfo=info)
    photo = decode(buffer.getvalue())
    assert dict(photo.texts).keys() == {"exif:GPSLatitude", "Title"}
    assert dict(decode(encode(photo)).texts).keys() == {"Title"}
    assert dict(decode(encode(photo, keep_gps=True)).texts).keys() == {"exif:GPSLatitude", "Title"}


@pytest.mark.parametrize("length", [70_000, 300_000])
@pytest.mark.parametrize("form", ["element", "attribute"])
def test_a_long_packet_is_cut_in_two_and_read_again(length: int, form: str) -> None:
    long = "ü" * (length // 2)
    if form == "element":
        xmp = packet(f"<dc:description>{long}</dc:description><dc:format>short</dc:format>")
    else:
        xmp = packet("<dc:format>short</dc:format>", f'dc:description="{long}"')
    data = encode(gray(xmp=xmp), format="JPEG")
    found = decode(data).xmp
    assert long in found.decode()
    assert b"short" in found
    labelled = add(data, "JPEG", Label("revisage 1", ("model 1",)))
    assert label_of(read_xmp(labelled)) == Label("revisage 1", ("model 1",))
    assert long in decode(labelled).xmp.decode()
    main = re.search(rb"http://ns.adobe.com/xap/1.0/\0(.*?)</x:xmpmeta>", labelled, re.DOTALL)[0]
    assert b"HasExtendedXMP" in main
    assert main.count(b"HasExtendedXMP=") == 1
    assert b"revisage" in main  # readers that know no extension see the label
    with Image.open(io.BytesIO(labelled)) as image:
        assert minidom.parseString(image.info["xmp"]).getElementsByTagName("rdf:RDF")


def test_properties_of_the_second_packet_count() -> None:
    merged = merge(
        packet("<dc:title>old</dc:title><dc:format>kept</dc:format>"), packet("<dc:title>new</dc:title>")
    )
    assert b"new" in merged
    assert b"old" not in merged
    assert b"kept" in merged
    assert merge(b"no xml", packet("")) == packet("")
    assert merge(packet(""), None) == packet("")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_exif_of_more_than_a_segment(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 150_000
    data = encode(gray(exif=EXIF_PREFIX + exif.tobytes().removeprefix(EXIF_PREFIX)), format=format)
    again = Image.Exif()
    again.load(decode(data).exif)
    assert again[0x010E] == "x" * 150_000


def test_what_a_format_cannot_hold_is_told() -> None:
    photo = Photo(
        pixels=np.zeros((8, 8, 3), np.uint16),
        alpha=np.zeros((8, 8), np.uint16),
        iptc=IPTC,
        texts=(("Comment", "a"), ("Title", "b")),
        dpi=(300, 300),
    )
    assert left_out(photo, "PNG") == ()
    assert left_out(photo, "JPEG") == (
        "its texts cannot go into JPEG",
        "its transparency cannot go into JPEG",
        "its depth cannot go into JPEG",
    )
    assert "its IPTC records cannot go into WEBP" in left_out(photo, "WEBP")
    assert left_out(from_array(np.zeros((8, 8, 3), np.uint8)), "BMP") == ()


def test_unreadable_metadata_is_told() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(
        buffer, "JPEG", exif=b"Exif\0\0" + b"junk" * 20, xmp=b"<x:xmpmeta" + b"y" * 60
    )
    assert decode(buffer.getvalue()).notes == (
        "its EXIF cannot be read and is left out",
        "its XMP cannot be read and is left out",
    )


def test_the_reported_words_survive(shared: Path, tmp_path: Path) -> None:
    reports = shared / "data/reports"
    assert (
        main(["restore", str(reports / "iptc_and_comment.jpg"), "-o", str(tmp_path / "a.jpg"), *PLAIN]) == 0
    )
    with Image.open(reports / "iptc_and_comment.jpg") as before, Image.open(tmp_path / "a.jpg") as after:
        assert after.info["comment"] == before.info["comment"]
        there = IptcImagePlugin.getiptcinfo(before)
        assert there
        for key, value in there.items():
            if key[1] not in (90, 92, 95, 100, 101):
                assert IptcImagePlugin.getiptcinfo(after)[key] == value
    assert main(["restore", str(reports / "text.png"), "-o", str(tmp_path / "b.png"), *PLAIN]) == 0
    with Image.open(reports / "text.png") as before, Image.open(tmp_path / "b.png") as after:
        assert {key: after.text[key] for key in before.text} == before.text


def test_the_command_tells_what_is_left_out(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, report = shared / "data/reports/text.png", tmp_path / "r.json"
    assert main(["restore", str(source), "-o", str(tmp_path / "b.jpg"), "--report", str(report), *PLAIN]) == 0
    assert "its texts cannot go into JPEG" in capsys.readouterr().err
    assert "its texts cannot go into JPEG" in json.loads(report.read_text())["photos"][0]["notes"]


# Place


def test_iptc_place_goes_unless_kept() -> None:
    photo = gray(iptc=IPTC + PLACE)
    assert decode(encode(photo, format="JPEG")).iptc == IPTC
    assert decode(encode(photo, format="JPEG", keep_gps=True)).iptc == IPTC + PLACE


SPACES = (
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:core="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/" '
    'xmlns:drone="http://www.dji.com/drone-dji/1.0/" '
    'xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)
PLACES = (
    "<photoshop:City>Graz</photoshop:City><photoshop:State>Styria</photoshop:State>"
    "<photoshop:Country>Austria</photoshop:Country><core:Location>Square</core:Location>"
    "<core:CountryCode>AT</core:CountryCode><exif:GPSLatitude>47,4N</exif:GPSLatitude>"
    "<drone:GpsLongitude>15.4</drone:GpsLongitude>"
    '<ext:LocationCreated><rdf:Bag><rdf:li rdf:parseType="Resource">'
    "<ext:City>Graz</ext:City></rdf:li></rdf:Bag>"
    "</ext:LocationCreated><ext:LocationShown>Graz</ext:LocationShown>"
)


def test_xmp_place_goes_unless_kept() -> None:
    xmp = packet(PLACES + "<photoshop:Headline>kept</photoshop:Headline>", SPACES + ' photoshop:City="Graz"')
    gone = clean_xmp(xmp, keep_gps=False)
    for word in (b"Graz", b"Styria", b"Austria", b"Square", b"AT<", b"47", b"15.4"):
        assert word not in gone, word
    assert b"kept" in gone
    assert clean_xmp(xmp, keep_gps=True).count(b"Graz") == 4


# Regions

REGION_SPACES = (
    'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
    'xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" '
    'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" '
    'xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#" '
    'xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)
ATTRIBUTES = (
    '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="40" stDim:h="20" '
    'stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource"><mwg-rs:Area '
    'stArea:x="0.3" stArea:y="0.2" stArea:w="0.1" stArea:h="0.4" stArea:unit="normalized"/></rdf:li>'
    "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
)
ELEMENTS = (
    '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions rdf:parseType="Resource">'
    "<stDim:w>40</stDim:w><stDim:h>20</stDim:h></mwg-rs:AppliedToDimensions><mwg-rs:RegionList>"
    '<rdf:Bag><rdf:li rdf:parseType="Resource"><mwg-rs:Area rdf:parseType="Resource"><stArea:x>0.3</stArea:x>'
    "<stArea:y>0.2</stArea:y><stArea:w>0.1</stArea:w><stArea:h>0.4</stArea:h></mwg-rs:Area></rdf:li></rdf:Bag>"
    "</mwg-rs:RegionList></mwg-rs:Regions>"
)


def number(xmp: bytes, name: str) -> float:
    found = re.search(rf'{name}(?:="|>)([-\d.]+)["<]', xmp.decode())
    assert found is not None, name
    return float(found[1])


IN_PIXELS = ATTRIBUTES.replace(
    'x="0.3" stArea:y="0.2" stArea:w="0.1" stArea:h="0.4"', 'x="12" stArea:y="4" stArea:w="4" stArea:h="8"'
).replace("normalized", "pixel")


@pytest.mark.parametrize("form", [ATTRIBUTES, ELEMENTS, IN_PIXELS])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_turn_with_the_picture(orientation: int, form: str) -> None:
    marked = np.zeros((20, 40, 3), np.uint8)
    marked[0:8, 10:14] = 255  # 0.25 to 0.35 of the width, 0 to 0.4 of the height: the region
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(marked).save(
        buffer, "TIFF", tiffinfo={0x0112: orientation, 700: packet(form, REGION_SPACES)}
    )
    photo = decode(buffer.getvalue())
    rows, columns = np.nonzero(photo.pixels[..., 0])
    height, width = photo.pixels.shape[:2]
    x, w = (columns.min() + columns.max() + 1) / 2 / width, (columns.max() - columns.min() + 1) / width
    y, h = (rows.min() + rows.max() + 1) / 2 / height, (rows.max() - rows.min() + 1) / height
    written = decode(encode(photo)).xmp
    found = [number(written, f"stArea:{name}") for name in "xywh"]
    np.testing.assert_allclose(found, [x, y, w, h], atol=1e-6)
    assert (number(written, "stDim:w"), number(written, "stDim:h")) == (width, height)
    assert b'stArea:unit="pixel"' not in written


def test_regions_of_other_standards_turn_too() -> None:
    xmp = packet(
        '<ext:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource">'
        '<ext:RegionBoundary rdf:parseType="Resource">'
        "<ext:rbUnit>relative</ext:rbUnit><ext:rbX>0.25</ext:rbX><ext:rbY>0</ext:rbY><ext:rbW>0.1</ext:rbW>"
        "<ext:rbH>0.4</ext:rbH></ext:RegionBoundary></rdf:li></rdf:Bag></ext:ImageRegion>",
        REGION_SPACES + ' MPReg:Rectangle="0.25, 0, 0.1, 0.4"',
    )
    turned = clean_xmp(xmp, orientation=6)
    found = [number(turned, f"ext:rb{name}") for name in "XYWH"]
    np.testing.assert_allclose(found, [0.6, 0.25, 0.4, 0.1], atol=1e-6)
    assert b'MPReg:Rectangle="0.6, 0.25, 0.4, 0.1"' in turned


def test_a_boundary_in_pixels_becomes_shares() -> None:
    xmp = packet(
        '<ext:RegionBoundary ext:rbUnit="pixel" ext:rbX="10" ext:rbY="0" ext:rbW="4" ext:rbH="8"/>',
        REGION_SPACES,
    )
    plain, turned = (clean_xmp(xmp, orientation=way, stored=(40, 20)) for way in (1, 6))
    assert [number(plain, f"ext:rb{name}") for name in "XYWH"] == [0.25, 0, 0.1, 0.4]
    np.testing.assert_allclose([number(turned, f"ext:rb{name}") for name in "XYWH"], [0.6, 0.25, 0.4, 0.1])
    assert b'rbUnit="relative"' in plain


@pytest.mark.parametrize("form", [ATTRIBUTES, ELEMENTS])
@pytest.mark.parametrize("options", [{"crop": "0.2,0.1,0.4,0.6"}, {"straighten": 8}], ids=str)
def test_regions_stay_on_what_they_name_in_a_part(options: dict[str, Any], form: str) -> None:
    marked = np.zeros((200, 400, 3), np.uint8)
    marked[40:120, 100:140] = 255  # 0.25 to 0.35 of the width, 0.2 to 0.6 of the height
    form = form.replace('y="0.2"', 'y="0.4"').replace("y>0.2<", "y>0.4<")
    part = framed(Photo(pixels=marked, xmp=packet(form, REGION_SPACES)), RestoreOptions(**options))[0]
    rows, columns = np.nonzero(part.pixels[..., 0] > 127)
    height, width = part.pixels.shape[:2]
    middle = [(columns.min() + columns.max() + 1) / 2 / width, (rows.min() + rows.max() + 1) / 2 / height]
    size = [(columns.max() - columns.min() + 1) / width, (rows.max() - rows.min() + 1) / height]
    found = [number(part.xmp, f"stArea:{name}") for name in "xywh"]
    np.testing.assert_allclose(found, middle + size, atol=0.01)


def test_a_region_of_what_is_cut_off_goes() -> None:
    """Else a name would stand on somebody else."""
    photo = Photo(pixels=np.zeros((20, 40, 3), np.uint8), xmp=packet(ATTRIBUTES, REGION_SPACES))
    part = framed(photo, RestoreOptions(crop="0.5,0,0.5,1"))[0]
    assert b"stArea" in photo.xmp
    assert b"stArea:x" not in part.xmp


def test_where_the_subject_is_goes_when_the_picture_is_turned_or_enlarged() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9214: (10, 10), 0xA002: 30, 0xA003: 20, 0x9003: "2001:01:01 00:00:00"}
    block = EXIF_PREFIX + exif.tobytes().removeprefix(EXIF_PREFIX)
    big, small = (Photo(pixels=np.zeros((20 * n, 30 * n, 3), np.uint8), exif=block) for n in (2, 1))
    moved = (big, small.turned(180), framed(big, RestoreOptions(crop=(0, 0, 0.5, 0.5)))[0])
    for photo in (small, *moved):
        found = Image.Exif()
        found.load(decode(encode(photo, format="JPEG")).exif)
        assert (0x9003 in found.get_ifd(0x8769), 0x9214 in found.get_ifd(0x8769)) == (True, photo is small)


def test_the_reported_regions_and_place(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/reports/meta6.jpg"
    out = tmp_path / "out.jpg"
    assert (
        main(["restore", str(source), "-o", str(out), "--model", "none", "--scene", "none", "--scale", "2"])
        == 0
    )
    xmp = read_xmp(out.read_bytes())
    assert (number(xmp, "stArea:x"), number(xmp, "stArea:y")) == (0.8, 0.3)
    before = read_xmp(source.read_bytes())
    assert number(xmp, "stArea:w") == number(before, "stArea:h")
    assert number(xmp, "stArea:h") == number(before, "stArea:w")
    assert (number(xmp, "stDim:w"), number(xmp, "stDim:h")) == Image.open(out).size
    assert b"photoshop:City" in before
    assert b"photoshop:City" not in xmp
