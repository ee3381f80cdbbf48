"""The table of `docs/formats.md`, from files that are written and read again: python docs/formats_table.py"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from revisage.image import Photo, colour, decode, encode, left_out
from revisage.image.formats import EXTENSION
from revisage.image.planes import Planes
from revisage.label import Label, add, can_sign, packet, read

PAGE = Path(__file__).parent / "formats.md"
BEGIN, END = "<!-- made by formats_table.py -->\n", "<!-- end -->"
LABEL = Label("revisage 1", ("model 1",))
PLAIN = Photo(pixels=np.full((32, 32, 3), 90, np.uint8))


def exif(description: str) -> bytes:
    made = Image.Exif()
    made[0x010E] = description
    return b"Exif\0\0" + made.tobytes().removeprefix(b"Exif\0\0")


def xmp(description: str) -> bytes:
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    said = f'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="{description}"/>'
    whole = f'<rdf:RDF xmlns:rdf="{rdf}">{said}</rdf:RDF>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{whole}</x:xmpmeta>'.encode()


def again(photo: Photo, format: str) -> Photo:
    return decode(encode(photo, format=format, quality=100), isolate=False)


def with_code_points() -> Photo:
    planes = colour.apply(Planes(PLAIN.pixels), colour.of_code_points(12, 13))
    return replace(PLAIN, icc=planes.icc, cicp=planes.cicp)


def code_points(format: str) -> str | bool:
    photo = with_code_points()
    found = again(photo, format)
    if found.cicp == photo.cicp:
        return True
    if found.icc == photo.icc:
        return "as a profile"
    return told(photo, format)


def told(photo: Photo, format: str) -> str | bool:
    words = " ".join(left_out(photo, format))
    return "converted, told" if "converted" in words else "no, told" if words else False


def profile(format: str) -> str | bool:
    photo = replace(PLAIN, icc=bytes(imagecodecs.cms_profile("adobergb")))
    return True if again(photo, format).icc == photo.icc else told(photo, format)


def bits(format: str) -> str:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = again(replace(PLAIN, pixels=np.dstack([ramp] * 3)), format)
    return "8" if found.pixels.dtype == np.uint8 else str(round(math.log2(len(np.unique(found.pixels)))))


def kept(change: dict[str, object], survives: Callable[[Photo], bool]) -> Callable[[str], str | bool]:
    """Whether a photo with such fields has them when its file is read again; if not, whether that is told."""

    def probe(format: str) -> str | bool:
        photo = replace(PLAIN, **change)
        return survives(again(photo, format)) or told(photo, format)

    return probe


def labelled(format: str) -> bool:
    photo = replace(PLAIN, xmp=packet(LABEL))
    return read(add(encode(photo, format=format), format, LABEL)) == LABEL


def pages(format: str) -> str | bool:
    data = encode(PLAIN, format=format, further=[PLAIN])
    said = left_out(PLAIN, format, [PLAIN])
    return decode(data, isolate=False).pages == 2 or ("no, told" if said else False)


LONG = "x" * 70_000
ROWS: dict[str, Callable[[str], str | bool]] = {
    "ICC profile": profile,
    "colours by code points (cICP, nclx), gamma, chromaticities": code_points,
    "bits a channel, at most": bits,
    "gray as one channel": kept({"gray": True}, lambda photo: photo.gray),
    "transparency": kept({"alpha": np.full((32, 32), 200, np.uint8)}, lambda photo: photo.alpha is not None),
    "EXIF": kept({"exif": exif("attic")}, lambda photo: b"attic" in (photo.exif or b"")),
    "EXIF over 64 KiB": kept({"exif": exif(LONG)}, lambda photo: LONG.encode() in (photo.exif or b"")),
    "XMP": kept({"xmp": xmp("attic")}, lambda photo: b"attic" in (photo.xmp or b"")),
    "XMP over 64 KiB": kept({"xmp": xmp(LONG)}, lambda photo: LONG.encode() in (photo.xmp or b"")),
    "IPTC captions, keywords": kept({"iptc": b"\x1c\x02\x78\0\x02hi"}, lambda photo: photo.iptc is not None),
    "comment": kept({"texts": (("Comment", "hi"),)}, lambda photo: photo.texts == (("Comment", "hi"),)),
    "other texts (PNG)": kept({"texts": (("Title", "hi"),)}, lambda photo: photo.texts == (("Title", "hi"),)),
    "resolution": kept(
        {"dpi": (300.0, 300.0)}, lambda photo: photo.dpi is not None and round(photo.dpi[0]) == 300
    ),
    "several pages (`--pages all`)": pages,
    "label of the edit": labelled,
    "signature (`--sign`)": can_sign,
}


def table() -> str:
    """The rows as Markdown; a cell that is False is told of nowhere."""
    words = {True: "yes", False: "no"}
    lines = ["| | " + " | ".join(EXTENSION) + " |", "|---" * (len(EXTENSION) + 1) + "|"]
    for name, probe in ROWS.items():
        cells = (probe(format) for format in EXTENSION)
        lines.append(
            f"| {name} | " + " | ".join(words[c] if isinstance(c, bool) else c for c in cells) + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
