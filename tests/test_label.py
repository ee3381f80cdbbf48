"""The label: written into every format that holds XMP, merged, read back; pixels and the rest untouched."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from revisage.errors import SaveError
from revisage.image import containers, decode, encode, from_array
from revisage.label import DIGITAL_SOURCE_TYPE, Label, add, packet, read

LABELLED = ["JPEG", "PNG", "WEBP", "TIFF"]
LABEL = Label("revisage 0.1.0", ("revisage-face-256 1", "revisage-scene-x2 <1>&"))
PHOTO = from_array(np.random.default_rng(0).integers(0, 256, (17, 23, 4), dtype=np.uint8))
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TAIL = "</rdf:RDF></x:xmpmeta>"
OLD = (
    HEAD + '<rdf:Description rdf:about="uuid:7" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="attic"'
    ' xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' i:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/negativeFilm"'
    ' xmp:CreatorTool="Scanner 3"><dc:title>Großmutter</dc:title></rdf:Description>' + TAIL
).encode()


def properties(xmp: bytes, name: str) -> list[str]:
    """Every value of a property, as attribute or element."""
    found = []
    for description in ElementTree.fromstring(xmp).iter(f"{RDF}Description"):
        if name in description.attrib:
            found.append(description.attrib[name])
        found += [e.text or "" for e in description.findall(name)]
    return found


def packet_of(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        found = image.info.get("xmp")
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize("format", LABELLED)
@pytest.mark.parametrize("old", [None, OLD], ids=["bare", "with packet"])
def test_the_label_is_where_viewers_look_and_reads_back(format: str, old: bytes | None) -> None:
    data = encode(dataclasses.replace(PHOTO, xmp=old), format=format)
    assert read(data) is None
    labelled = add(data, format, LABEL)
    assert read(labelled) == LABEL
    xmp = packet_of(labelled)
    assert properties(xmp, IPTC + "DigitalSourceType") == [DIGITAL_SOURCE_TYPE]
    assert properties(xmp, XMP + "CreatorTool") == ["Scanner 3" if old else LABEL.tool]
    if old:
        assert properties(xmp, "{http://purl.org/dc/elements/1.1/}title") == ["Großmutter"]
        assert properties(xmp, "{http://purl.org/dc/elements/1.1/}source") == ["attic"]
        abouts = {d.get(RDF + "about") for d in ElementTree.fromstring(xmp).iter(RDF + "Description")}
        assert abouts == {"uuid:7"}


@pytest.mark.parametrize("format", LABELLED)
def test_pixels_and_other_metadata_are_untouched(format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    photo = dataclasses.replace(PHOTO, exif=exif.tobytes(), dpi=(300.0, 300.0), xmp=OLD)
    before = decode(encode(photo, format=format), isolate=False)
    after = decode(add(encode(photo, format=format), format, LABEL), isolate=False)
    assert np.array_equal(before.pixels, after.pixels)
    assert (before.alpha is None) == (after.alpha is None)
    assert before.alpha is None or np.array_equal(before.alpha, after.alpha)
    assert (before.exif, before.dpi, before.icc) == (after.exif, after.dpi, after.icc)


@pytest.mark.parametrize("format", LABELLED)
@pytest.mark.parametrize("old", [None, OLD], ids=["bare", "with packet"])
def test_labelling_twice_changes_nothing_and_a_new_label_replaces_the_old(
    format: str, old: bytes | None
) -> None:
    once = add(encode(dataclasses.replace(PHOTO, xmp=old), format=format), format, LABEL)
    assert add(once, format, LABEL) == once
    newer = Label("revisage 0.2.0", ("another 2",))
    twice = add(once, format, newer)
    assert read(twice) == newer
    assert properties(packet_of(twice), IPTC + "DigitalSourceType") == [DIGITAL_SOURCE_TYPE]
    assert len(properties(packet_of(twice), XMP + "CreatorTool")) == 1


@pytest.mark.parametrize("format", LABELLED)
def test_there_is_one_packet_and_the_file_is_well_formed(format: str) -> None:
    labelled = add(encode(dataclasses.replace(PHOTO, xmp=OLD), format=format), format, LABEL)
    if format == "JPEG":
        assert labelled.count(b"http://ns.adobe.com/xap/1.0/\0") == 1
        assert labelled.index(b"JFIF") < labelled.index(b"http://ns.adobe.com/xap/1.0/\0")
    elif format == "PNG":
        at, packets = 8, 0
        while at < len(labelled):
            (length,) = struct.unpack_from(">I", labelled, at)
            body = labelled[at + 4 : at + 8 + length]
            assert struct.unpack_from(">I", labelled, at + 8 + length)[0] == zlib.crc32(body)
            packets += body.startswith(b"iTXtXML:com.adobe.xmp\0")
            at += 12 + length
        assert at == len(labelled)
        assert packets == 1
    elif format == "WEBP":
        assert struct.unpack_from("<I", labelled, 4)[0] + 8 == len(labelled)
        assert labelled[12:16] == b"VP8X"
        assert labelled[20] & 0x04
        assert labelled.count(b"XMP ") == 1
    else:
        with Image.open(io.BytesIO(labelled)) as image:
            assert list(image.tag_v2).count(700) == 1


def test_the_ai_system_is_named_where_iptc_has_its_place() -> None:
    xmp = packet(LABEL)
    system = f"revisage ({', '.join(LABEL.models)})"
    assert properties(xmp, IPTC + "AISystemUsed") == [system]
    assert properties(xmp, IPTC + "AISystemVersionUsed") == ["0.1.0"]
    again = packet(Label("revisage 0.2.0", ("another 2",)), xmp)
    assert properties(again, IPTC + "AISystemUsed") == ["revisage (another 2)"]
    assert properties(again, IPTC + "AISystemVersionUsed") == ["0.2.0"]


@pytest.mark.parametrize("version", [' i:AISystemVersionUsed="3"', ""])
def test_the_system_that_made_a_picture_stays_named(version: str) -> None:
    old = OLD.decode().replace(" xmp:CreatorTool", f' i:AISystemUsed="Painter"{version} xmp:CreatorTool')
    for xmp in (packet(LABEL, old.encode()), packet(LABEL, packet(LABEL, old.encode()))):
        assert properties(xmp, IPTC + "AISystemUsed") == ["Painter"]
        assert properties(xmp, IPTC + "AISystemVersionUsed") == (["3"] if version else [])


def test_the_address_of_the_originals_manifest_goes() -> None:
    dcterms = 'xmlns:d="http://purl.org/dc/terms/" d:provenance="https://elsewhere.example/m" d:type="scan"'
    xmp = packet(LABEL, OLD.replace(b" xmlns:i=", f" {dcterms} xmlns:i=".encode()))
    assert b"elsewhere" not in xmp
    assert properties(xmp, "{http://purl.org/dc/terms/}type") == ["scan"]


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_simple_webp_becomes_an_extended_one(lossless: bool, mode: str) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 13, len(mode)), dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, exact=True)
    labelled = add(buffer.getvalue(), "WEBP", LABEL)
    with Image.open(io.BytesIO(labelled)) as again, Image.open(buffer) as before:
        assert again.mode == mode
        assert np.array_equal(np.asarray(again), np.asarray(before))
    assert read(labelled) == LABEL


@pytest.mark.parametrize("compressed", [True, False])
def test_a_packet_that_another_program_put_into_a_png_is_merged(compressed: bool) -> None:
    info = io.BytesIO()
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", OLD.decode(), zip=compressed)
    Image.fromarray(PHOTO.pixels).save(info, "PNG", pnginfo=text)
    labelled = add(info.getvalue(), "PNG", LABEL)
    assert labelled.count(b"XML:com.adobe.xmp") == 1
    assert "Großmutter".encode() in labelled


def test_big_endian_and_odd_sized_tiffs_are_labelled() -> None:
    exif = Image.Exif()
    exif.endian = ">"
    exif[0x010F] = "Maker"
    data = encode(dataclasses.replace(PHOTO, exif=exif.tobytes()), format="TIFF")
    assert data.startswith(b"MM")
    for odd in (data, data + b"\0"):
        labelled = add(odd, "TIFF", LABEL)
        assert read(labelled) == LABEL
        assert np.array_equal(decode(labelled, isolate=False).pixels, PHOTO.pixels)


@pytest.mark.parametrize("format", ["BMP", "HEIF", "AVIF"])
def test_formats_that_are_not_labelled_come_back_unchanged(format: str) -> None:
    data = encode(PHOTO, format=format)
    assert add(data, format, LABEL) == data


@pytest.mark.parametrize("format", ["HEIF", "AVIF", *LABELLED])
def test_a_packet_given_to_the_encoder_is_read_in_every_format(format: str) -> None:
    photo = dataclasses.replace(PHOTO, xmp=packet(LABEL, OLD))
    assert read(encode(photo, format=format)) == LABEL


@pytest.mark.parametrize(
    "old",
    [
        b"<broken",
        b"<a/>",
        b"\xff\xfe\x00",
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + OLD.decode()).encode(),
        ("<?xml version='1.0' encoding='utf-16'?>" + HEAD).encode(),
        (HEAD + "<a>" * 30_000 + "</a>" * 30_000 + TAIL).encode(),
        (HEAD + " " * (4 << 20) + TAIL).encode(),
    ],
)
def test_a_packet_that_cannot_be_merged_is_replaced(old: bytes) -> None:
    assert packet(LABEL, old) == packet(LABEL)


def test_a_billion_laughs_is_not_expanded() -> None:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]>{HEAD}<a>&l9;</a>{TAIL}'
    assert packet(LABEL, bomb.encode()) == packet(LABEL)
    assert packet(LABEL, bomb.encode("utf-16")) == packet(LABEL)


def test_a_wholly_generated_picture_stays_declared_as_one() -> None:
    generated = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    old = OLD.replace(b"http://cv.iptc.org/newscodes/digitalsourcetype/negativeFilm", generated.encode())
    assert properties(packet(LABEL, old), IPTC + "DigitalSourceType") == [generated]


def test_a_packet_larger_than_a_jpeg_segment_is_kept_with_the_label() -> None:
    photo = dataclasses.replace(PHOTO, xmp=OLD.replace(b"attic", b"x" * 65_000))
    labelled = add(encode(photo, format="JPEG"), "JPEG", LABEL)
    assert read(labelled) == LABEL
    assert properties(packet_of(labelled), XMP + "CreatorTool") == ["Scanner 3"]
    assert b"x" * 65_000 in (containers.read_xmp(labelled) or b"")


@given(
    st.sampled_from([*LABELLED]),
    st.builds(Label, st.text(min_size=1, max_size=40), st.lists(st.text(max_size=30), max_size=4).map(tuple)),
)
@settings(max_examples=60, deadline=None)
def test_any_names_survive_but_for_control_characters(format: str, label: Label) -> None:
    def printable(text: str) -> str:
        return "".join(c for c in text if c.isprintable())

    expected = Label(printable(label.tool), tuple(printable(m) for m in label.models))
    found = read(add(ENCODED[format], format, label))
    assert found is not None
    assert (found.tool.strip(), found.models) == (expected.tool.strip(), expected.models)


ENCODED = {format: encode(PHOTO, format=format) for format in LABELLED}


@given(st.sampled_from(LABELLED), st.integers(0, 400), st.binary(max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_malformed_file_is_a_save_error_and_has_no_label(format: str, at: int, junk: bytes) -> None:
    data = ENCODED[format][:at] + junk
    assert read(data) is None
    try:
        labelled = add(data, format, LABEL)
    except SaveError as error:
        assert format in str(error)  # noqa: PT017
    else:
        assert read(labelled) == LABEL


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(SaveError):
        add(b"GIF89a", "GIF", LABEL)
    assert read(b"GIF89a") is None
    assert read(b"") is None
