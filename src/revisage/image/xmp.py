"""XMP packets (ISO 16684-1): what is kept of them, turned with the picture, and cut in two for JPEG."""

import hashlib
import re
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

_MAX_XMP = 4 << 20
_MAX_NODES = 20_000  # tags and attributes; a tree of them takes 0.2 s

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMLNS = "http://www.w3.org/2000/xmlns/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_MICROSOFT = "http://ns.microsoft.com/photo/1.2/t/Region#"

Way = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): where a point of the old picture, x and y in 0 to 1, lies in the new one, at
a x + b y + c and d x + e y + f."""

# Properties of the old file that are wrong in the new one. Orientation goes because the pixels are upright,
# and not to "1": a reader of tiff:Orientation takes its absence as upright.
_STALE = {
    *((_TIFF, name) for name in ("Orientation", "ImageWidth", "ImageLength")),
    *((_EXIF, name) for name in ("PixelXDimension", "PixelYDimension")),
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails"),
    (_NOTE, "HasExtendedXMP"),
}
# Motion photos, depth and gain maps: they describe data appended to the old file, which no longer exists.
_STALE_SPACES = ("http://ns.google.com/photos/", "http://ns.adobe.com/hdr-gain-map/")

_PLACE = {
    *((_PHOTOSHOP, name) for name in ("City", "State", "Country")),
    *((_IPTC_CORE, name) for name in ("Location", "CountryCode")),
    *((IPTC_EXT, name) for name in ("LocationShown", "LocationCreated")),
    ("http://purl.org/dc/elements/1.1/", "coverage"),
    ("http://ns.adobe.com/xmp/1.0/DynamicMedia/", "shotLocation"),
    ("http://ns.iview-multimedia.com/mediapro/1.0/", "Location"),
}
"""Where a photo was taken, besides every property whose name begins with GPS."""


def clean_xmp(
    xmp: bytes | None,
    *,
    keep_gps: bool = True,
    orientation: int = 1,
    way: Way | None = None,
    stored: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
) -> bytes | None:
    """The packet without what is stale in a new file, and without the place unless kept.

    `stored` is the width and height of the picture that the packet is true of: its regions in pixels become
    shares of that. `orientation` is how the picture was turned since, or `way` where its points have gone:
    the regions of faces and things go with it. `size` is that of the new file, to which they then apply.

    Returns None where `parse_xmp` does.
    """
    document = parse_xmp(xmp)
    if document is None:
        return None
    try:
        for element in list(document.getElementsByTagName("*")):
            for attribute in list((element.attributes or {}).values()):
                if _unwanted(attribute, keep_gps):
                    element.removeAttributeNode(attribute)
            if element.parentNode is not None and _unwanted(element, keep_gps):
                element.parentNode.removeChild(element)
        for element in document.getElementsByTagName("*"):
            _move_regions(element, way or TURNS.get(orientation), stored, size)
        cleaned = "".join(node.toxml() for node in document.childNodes)
    except (ValueError, RecursionError, AttributeError):
        return None
    return cleaned.encode()


def parse_xmp(xmp: bytes | None) -> minidom.Document | None:
    """The packet as a tree. Returns None for no packet, one larger than 4 MiB or of more than 20,000 tags and
    attributes, one that is not well-formed, and one with a document type: XMP has none (ISO 16684-1, 7.1),
    and entities are how XML parsers are attacked."""
    if not xmp or len(xmp) > _MAX_XMP:
        return None
    encoding = "utf-16" if xmp[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = xmp.decode(encoding).strip("\0 \r\n\t")
        text = re.sub(r"^<\?xml\s[^>]*\?>", "", text)
        # Every tag has a "<" and every attribute an "=", so this bounds the tree before it is built.
        if text.count("<") + text.count("=") > _MAX_NODES or "<!DOCTYPE" in text or "<!ENTITY" in text:
            return None
        return minidom.parseString(text.encode())
    except (ExpatError, ValueError, RecursionError, AttributeError):
        return None


def _unwanted(node: minidom.Attr | minidom.Element, keep_gps: bool) -> bool:
    space, name = node.namespaceURI or "", node.localName or ""
    if (space, name) in _STALE or space.startswith(_STALE_SPACES):
        return True
    return not keep_gps and (name.lower().startswith("gps") or (space, name) in _PLACE)


# From the stored picture to the upright one (CIPA DC-008, tag 0x0112).
TURNS: dict[int, Way] = {
    2: (-1, 0, 1, 0, 1, 0),
    3: (-1, 0, 1, 0, -1, 1),
    4: (1, 0, 0, 0, -1, 1),
    5: (0, 1, 0, 1, 0, 0),
    6: (0, -1, 1, 1, 0, 0),
    7: (0, -1, 1, -1, 0, 1),
    8: (0, 1, 0, -1, 0, 1),
}


# Namespace, names of place and size and of their unit, the unit of shares, and whether the place is a corner.
_FORMS = (
    (_AREA, ("x", "y", "w", "h"), "unit", "normalized", False),
    (IPTC_EXT, ("rbX", "rbY", "rbW", "rbH"), "rbUnit", "relative", True),
)


def _move_regions(
    element: minidom.Element, way: Way | None, stored: tuple[int, int] | None, size: tuple[int, int] | None
) -> None:
    """Of MWG (centre and size), Microsoft (a rectangle in one text) and IPTC (corner and size, or points)."""
    if size is not None and (element.namespaceURI, element.localName) == (_REGIONS, "AppliedToDimensions"):
        for holder in (element, *element.getElementsByTagName("*")):
            for name, value in zip("wh", size, strict=True):
                _set(holder, _DIMENSIONS, name, str(value))
    spaces = {node.namespaceURI for node in (*element.childNodes, *element.attributes.values())}
    if spaces.isdisjoint((_AREA, IPTC_EXT, _MICROSOFT)):
        return
    for space, names, unit, share, corner in _FORMS:
        values = [_number(_get(element, space, name)) for name in names]
        if None in values[:2]:
            continue
        x, y, w, h = (value or 0.0 for value in values)
        if _get(element, space, unit) == "pixel":
            if stored is None:
                continue
            x, y, w, h = x / stored[0], y / stored[1], w / stored[0], h / stored[1]
            _set(element, space, unit, share)
        elif way is None:
            continue
        moved = _moved_box(element, way, x, y, w, h, corner=corner) if way else (x, y, w, h)
        for name, old, new in zip(names, values, moved, strict=True):
            if old is not None:
                _set(element, space, name, _text(new))
    rectangle = _get(element, _MICROSOFT, "Rectangle")
    parts = [_number(part) for part in (rectangle or "").split(",")]
    if way is not None and len(parts) == 4 and None not in parts:
        x, y, w, h = (part or 0.0 for part in parts)
        moved = _moved_box(element, way, x, y, w, h, corner=True)
        _set(element, _MICROSOFT, "Rectangle", ", ".join(map(_text, moved)))


def _moved_box(  # noqa: PLR0917 (a box)
    element: Any, way: Way, x: float, y: float, w: float, h: float, *, corner: bool
) -> tuple[float, float, float, float]:
    """A box by its centre, or by its upper left `corner`; what lies outside the new picture is taken out."""
    a, b, c, d, e, f = way
    x, y = (x + w / 2, y + h / 2) if corner else (x, y)
    x, y = a * x + b * y + c, d * x + e * y + f
    w, h = abs(a) * w + abs(b) * h, abs(d) * w + abs(e) * h
    if not (0 <= x <= 1 and 0 <= y <= 1):
        while element is not None and (element.namespaceURI, element.localName) != (RDF, "li"):
            element = element.parentNode
        if element is not None and element.parentNode is not None:
            element.parentNode.removeChild(element)
    return (x - w / 2, y - h / 2, w, h) if corner else (x, y, w, h)


def _get(element: Any, space: str, name: str) -> str | None:
    """A property of a structure, written as an attribute or as an element."""
    if element.hasAttributeNS(space, name):
        return str(element.getAttributeNS(space, name))
    found = child(element, space, name)
    return None if found is None else text_of(found)


def _set(element: Any, space: str, name: str, value: str) -> None:
    """Change a property that is there."""
    if element.hasAttributeNS(space, name):
        element.getAttributeNodeNS(space, name).value = value
    elif (found := child(element, space, name)) is not None and found.firstChild is not None:
        while found.lastChild is not found.firstChild:
            found.removeChild(found.lastChild)
        found.firstChild.nodeValue = value


def child(element: Any, space: str, name: str) -> Any:
    """The first element of this name in another; None without one."""
    return next((n for n in element.childNodes if (n.namespaceURI, n.localName) == (space, name)), None)


def text_of(element: Any) -> str:
    """What stands in an element."""
    return "".join(n.data for n in element.childNodes if n.nodeType in (n.TEXT_NODE, n.CDATA_SECTION_NODE))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _text(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'.encode()


# A JPEG segment holds 64 KiB. What is beyond goes into a second packet (XMP part 3, 1.1.3.1).


def merge(main: bytes, other: bytes | None) -> bytes:
    """The packet with the properties of another one, which count where both have one."""
    document, second = parse_xmp(main), parse_xmp(other)
    if document is None or second is None:
        return other or main if document is None else main
    homes, guests = (one.getElementsByTagNameNS(RDF, "RDF") for one in (document, second))
    if not homes or not guests:
        return main
    theirs = {(n.namespaceURI, n.localName) for d in descriptions(guests[0]) for n in properties(d)}
    theirs.add((_NOTE, "HasExtendedXMP"))
    for description in descriptions(homes[0]):
        for node in properties(description):
            if (node.namespaceURI, node.localName) in theirs:
                take_out(description, node)
    for description in descriptions(guests[0]):
        homes[0].appendChild(_apart(document, description, properties(description)))
    return "".join(node.toxml() for node in document.childNodes).encode()


def split(xmp: bytes, limit: int) -> tuple[bytes, bytes | None]:
    """The packet in at most `limit` bytes, and, where it has more, a second one with its largest properties,
    whose MD5 in hex the first names. Raises ValueError where it cannot be split."""
    if len(xmp) <= limit:
        return xmp, None
    document = parse_xmp(xmp)
    roots = document.getElementsByTagNameNS(RDF, "RDF") if document is not None else []
    if document is None or not roots:
        raise ValueError("packet too long for a segment")
    sized = [
        (len((n.toxml() if n.nodeType == n.ELEMENT_NODE else n.value).encode()), d, n)
        for d in descriptions(roots[0])
        for n in properties(d)
    ]
    second = minidom.parseString(EMPTY)
    excess = len(xmp) - limit + 256
    for length, description, node in sorted(sized, key=lambda item: -item[0]):
        if excess <= 0:
            break
        second.getElementsByTagNameNS(RDF, "RDF")[0].appendChild(_apart(second, description, [node]))
        take_out(description, node)
        excess -= length
    extension = "".join(node.toxml() for node in second.childNodes).encode()
    prefix = roots[0].prefix or "rdf"
    named = document.createElementNS(RDF, f"{prefix}:Description")
    named.setAttributeNS(XMLNS, f"xmlns:{prefix}", RDF)
    named.setAttributeNS(XMLNS, "xmlns:xmpNote", _NOTE)
    named.setAttributeNS(RDF, f"{prefix}:about", "")
    named.setAttributeNS(_NOTE, "xmpNote:HasExtendedXMP", digest(extension))
    roots[0].appendChild(named)
    main = "".join(node.toxml() for node in document.childNodes).encode()
    if len(main) > limit:
        raise ValueError("packet too long for a segment")
    return main, extension


def digest(extension: bytes) -> str:
    """By which the first packet names the second."""
    return hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()


def descriptions(rdf: Any) -> list[Any]:
    """The descriptions in an rdf:RDF, whose properties are the packet's."""
    return [n for n in rdf.childNodes if (n.namespaceURI, n.localName) == (RDF, "Description")]


def properties(description: Any) -> list[Any]:
    """Those of a description, attributes and elements."""
    attributes = [a for a in description.attributes.values() if a.namespaceURI not in (XMLNS, RDF)]
    return [*attributes, *(n for n in description.childNodes if n.nodeType == n.ELEMENT_NODE)]


def take_out(description: Any, node: Any) -> None:
    """Remove one of the `properties`."""
    if node.nodeType == node.ELEMENT_NODE:
        description.removeChild(node)
    else:
        description.removeAttributeNode(node)


def _apart(document: minidom.Document, description: Any, nodes: list[Any]) -> Any:
    """A description of its own with copies of some properties, and all the prefixes that they may have."""
    made = document.createElementNS(RDF, "rdf:Description")
    made.setAttributeNS(XMLNS, "xmlns:rdf", RDF)
    made.setAttributeNS(RDF, "rdf:about", description.getAttributeNS(RDF, "about"))
    holder = description
    while holder is not None and holder.nodeType == holder.ELEMENT_NODE:
        for a in holder.attributes.values():
            if a.namespaceURI == XMLNS and not made.hasAttribute(a.name):
                made.setAttributeNS(XMLNS, a.name, a.value)
        holder = holder.parentNode
    for node in nodes:
        if node.nodeType == node.ELEMENT_NODE:
            made.appendChild(document.importNode(node, True))
        else:
            made.setAttributeNS(node.namespaceURI, node.name, node.value)
    return made
