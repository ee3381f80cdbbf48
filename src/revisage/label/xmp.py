"""The XMP packet that carries the label (ISO 16684-1), made anew or merged into an existing one."""

from dataclasses import dataclass, field
from xml.dom import minidom

from revisage.image import xmp
from revisage.image.xmp import EMPTY, IPTC_EXT, RDF, XMLNS, descriptions

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term: an existing picture altered by a trained model."""

_WHOLLY_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

_XMP = "http://ns.adobe.com/xap/1.0/"
_OURS = "urn:x-revisage:xmp:1.0#"
_DCTERMS = "http://purl.org/dc/terms/"

UNSEALED = "0" * 64

_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>'


@dataclass(frozen=True)
class Label:
    """Who made the edit."""

    tool: str
    """Name and version, e.g. "revisage 0.1.0"."""
    models: tuple[str, ...] = ()
    """Name and version of each model used, e.g. ("revisage-face-256 1",)."""
    digest: str = field(default=UNSEALED, compare=False)
    """SHA-256 in hex of the file with `UNSEALED` in this one's place; `UNSEALED` where nothing is told."""


def packet(label: Label, old: bytes | None = None) -> bytes:
    """A packet (UTF-8) of the label and everything an old packet says besides.

    The old one is dropped when it is not well-formed XMP or not safe to parse (`parse_xmp`). Its
    xmp:CreatorTool stays (it names the first tool), and so do the AI system that it names and a source type
    of wholly generated, which says more than ours. An address of a C2PA manifest goes: that one was of the
    original.
    """
    document = _parse(old) or _parse(EMPTY)
    assert document is not None
    rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
    about = next((d.getAttributeNS(RDF, "about") for d in descriptions(rdf)), "")
    source = _value(rdf, IPTC_EXT, "DigitalSourceType")
    creator = _value(rdf, _XMP, "CreatorTool")
    system = _value(rdf, IPTC_EXT, "AISystemUsed")
    earlier = _label_in(rdf)
    # None where there is none, or an earlier label put it there.
    creator = None if earlier and creator == earlier.tool else creator
    system = None if earlier and system == _system(earlier) else system
    stale = {(IPTC_EXT, "DigitalSourceType"), (_DCTERMS, "provenance")}
    if creator is None:
        stale.add((_XMP, "CreatorTool"))
    if system is None:
        stale |= {(IPTC_EXT, "AISystemUsed"), (IPTC_EXT, "AISystemVersionUsed")}
    _forget(rdf, stale)

    description = document.createElementNS(RDF, _name(rdf, "Description"))
    description.setAttributeNS(RDF, _name(rdf, "about"), about)
    for prefix, space in (("xmp", _XMP), ("Iptc4xmpExt", IPTC_EXT), ("revisage", _OURS)):
        description.setAttributeNS(XMLNS, f"xmlns:{prefix}", space)

    def put(space: str, name: str, text: str, parent: minidom.Element = description) -> minidom.Element:
        element = document.createElementNS(space, name)
        if text:
            element.appendChild(document.createTextNode(_printable(text)))
        parent.appendChild(element)
        return element

    kind = source if source == _WHOLLY_GENERATED else DIGITAL_SOURCE_TYPE
    put(IPTC_EXT, "Iptc4xmpExt:DigitalSourceType", kind)
    if creator is None:
        put(_XMP, "xmp:CreatorTool", label.tool)
    if system is None:
        put(IPTC_EXT, "Iptc4xmpExt:AISystemUsed", _system(label))
        if version := label.tool.partition(" ")[2]:
            put(IPTC_EXT, "Iptc4xmpExt:AISystemVersionUsed", version)
    put(_OURS, "revisage:Tool", label.tool)
    put(_OURS, "revisage:SHA256", label.digest)
    sequence = put(RDF, _name(rdf, "Seq"), "", put(_OURS, "revisage:Models", ""))
    for model in label.models:
        put(RDF, _name(rdf, "li"), model, sequence)
    rdf.appendChild(description)

    body = "".join(n.toxml() for n in document.childNodes if n.nodeType == n.ELEMENT_NODE)
    return (_BEGIN + body + _END).encode()


def label_of(data: bytes | None) -> Label | None:
    """The label in a packet; None when there is none or the packet is not well-formed."""
    document = _parse(data)
    if document is None:
        return None
    return _label_in(document.getElementsByTagNameNS(RDF, "RDF")[0])


def _system(label: Label) -> str:
    """What AISystemUsed says: the program, and the models in it. IPTC Photo Metadata 2025.1."""
    name = label.tool.partition(" ")[0]
    return _printable(f"{name} ({', '.join(label.models)})" if label.models else name).strip()


def _label_in(rdf: minidom.Element) -> Label | None:
    tool = _value(rdf, _OURS, "Tool")
    if tool is None:
        return None
    models: list[str] = []
    for element in rdf.getElementsByTagNameNS(_OURS, "Models"):
        models += [xmp.text_of(item) for item in element.getElementsByTagNameNS(RDF, "li")]
    return Label(tool, tuple(models), _value(rdf, _OURS, "SHA256") or UNSEALED)


def _parse(data: bytes | None) -> minidom.Document | None:
    """The packet as a tree that holds an rdf:RDF; None when it is not one, or not safe to parse."""
    document = xmp.parse_xmp(data)
    if document is None or not document.getElementsByTagNameNS(RDF, "RDF"):
        return None
    try:
        document.toxml()  # a tree too deep to be written is as good as broken
    except (ValueError, RecursionError):
        return None
    return document


def _name(rdf: minidom.Element, local: str) -> str:
    return f"{rdf.prefix}:{local}" if rdf.prefix else local


def _value(rdf: minidom.Element, space: str, local: str) -> str | None:
    """A simple property, written as an attribute or as an element."""
    for description in descriptions(rdf):
        if description.hasAttributeNS(space, local):
            return str(description.getAttributeNS(space, local))
        if (found := xmp.child(description, space, local)) is not None:
            return xmp.text_of(found).strip() or str(found.getAttributeNS(RDF, "resource"))
    return None


def _forget(rdf: minidom.Element, stale: set[tuple[str, str]]) -> None:
    """Take out what an earlier label said, what is `stale` (namespace, name), and descriptions left empty."""
    for description in descriptions(rdf):
        for node in xmp.properties(description):
            if node.namespaceURI == _OURS or (node.namespaceURI, node.localName) in stale:
                xmp.take_out(description, node)
        if not xmp.properties(description):
            rdf.removeChild(description)


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())
