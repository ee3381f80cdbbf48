"""The XMP packet that carries the label (ISO 16684-1), made anew or merged into an existing one."""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.dom import minidom

from revisage.image.xmp import parse_xmp

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term: an existing picture altered by a trained model."""

_WHOLLY_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_X = "adobe:ns:meta/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OURS = "urn:x-revisage:xmp:1.0#"
_DCTERMS = "http://purl.org/dc/terms/"
_XMLNS = "http://www.w3.org/2000/xmlns/"

_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>'
_EMPTY = f'<x:xmpmeta xmlns:x="{_X}"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'


@dataclass(frozen=True)
class Label:
    """Who made the edit."""

    tool: str
    """Name and version, e.g. "revisage 0.1.0"."""
    models: tuple[str, ...] = ()
    """Name and version of each model used, e.g. ("revisage-face-256 1",)."""


def packet(label: Label, old: bytes | None = None) -> bytes:
    """A packet (UTF-8) of the label and everything an old packet says besides.

    The old one is dropped when it is not well-formed XMP or not safe to parse (`parse_xmp`). Its
    xmp:CreatorTool stays (it names the first tool), and so do the AI system that it names and a source type
    of wholly generated, which says more than ours. An address of a C2PA manifest goes: that one was of the
    original.
    """
    document = _parse(old) or _parse(_EMPTY.encode())
    assert document is not None
    rdf = document.getElementsByTagNameNS(_RDF, "RDF")[0]
    about = next((d.getAttributeNS(_RDF, "about") for d in _descriptions(rdf)), "")
    source = _value(rdf, _IPTC_EXT, "DigitalSourceType")
    creator = _value(rdf, _XMP, "CreatorTool")
    system = _value(rdf, _IPTC_EXT, "AISystemUsed")
    earlier = _label_in(rdf)
    # None where there is none, or an earlier label put it there.
    creator = None if earlier and creator == earlier.tool else creator
    system = None if earlier and system == _system(earlier) else system
    _forget(rdf, creator_too=creator is None, system_too=system is None)

    description = document.createElementNS(_RDF, _name(rdf, "Description"))
    description.setAttributeNS(_RDF, _name(rdf, "about"), about)
    for prefix, space in (("xmp", _XMP), ("Iptc4xmpExt", _IPTC_EXT), ("revisage", _OURS)):
        description.setAttributeNS(_XMLNS, f"xmlns:{prefix}", space)

    def put(space: str, name: str, text: str, parent: minidom.Element = description) -> minidom.Element:
        element = document.createElementNS(space, name)
        if text:
            element.appendChild(document.createTextNode(_printable(text)))
        parent.appendChild(element)
        return element

    kind = source if source == _WHOLLY_GENERATED else DIGITAL_SOURCE_TYPE
    put(_IPTC_EXT, "Iptc4xmpExt:DigitalSourceType", kind)
    if creator is None:
        put(_XMP, "xmp:CreatorTool", label.tool)
    if system is None:
        put(_IPTC_EXT, "Iptc4xmpExt:AISystemUsed", _system(label))
        if version := label.tool.partition(" ")[2]:
            put(_IPTC_EXT, "Iptc4xmpExt:AISystemVersionUsed", version)
    put(_OURS, "revisage:Tool", label.tool)
    sequence = put(_RDF, _name(rdf, "Seq"), "", put(_OURS, "revisage:Models", ""))
    for model in label.models:
        put(_RDF, _name(rdf, "li"), model, sequence)
    rdf.appendChild(description)

    body = "".join(n.toxml() for n in document.childNodes if n.nodeType == n.ELEMENT_NODE)
    return (_BEGIN + body + _END).encode()


def label_of(xmp: bytes | None) -> Label | None:
    """The label in a packet; None when there is none or the packet is not well-formed."""
    document = _parse(xmp)
    if document is None:
        return None
    return _label_in(document.getElementsByTagNameNS(_RDF, "RDF")[0])


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
        models += [_text(item) for item in element.getElementsByTagNameNS(_RDF, "li")]
    return Label(tool, tuple(models))


def _parse(xmp: bytes | None) -> minidom.Document | None:
    """The packet as a tree that holds an rdf:RDF; None when it is not one, or not safe to parse."""
    document = parse_xmp(xmp)
    if document is None or not document.getElementsByTagNameNS(_RDF, "RDF"):
        return None
    try:
        document.toxml()  # a tree too deep to be written is as good as broken
    except (ValueError, RecursionError):
        return None
    return document


def _name(rdf: minidom.Element, local: str) -> str:
    return f"{rdf.prefix}:{local}" if rdf.prefix else local


def _descriptions(rdf: minidom.Element) -> Iterator[minidom.Element]:
    for node in list(rdf.childNodes):
        name = (node.namespaceURI, node.localName)
        if node.nodeType == node.ELEMENT_NODE and name == (_RDF, "Description"):
            yield node


def _text(element: minidom.Element) -> str:
    return "".join(n.data for n in element.childNodes if n.nodeType in (n.TEXT_NODE, n.CDATA_SECTION_NODE))


def _value(rdf: minidom.Element, space: str, local: str) -> str | None:
    """A simple property, written as an attribute or as an element."""
    for description in _descriptions(rdf):
        if description.hasAttributeNS(space, local):
            return description.getAttributeNS(space, local)
        for node in description.childNodes:
            if node.nodeType == node.ELEMENT_NODE and node.namespaceURI == space and node.localName == local:
                return _text(node).strip() or node.getAttributeNS(_RDF, "resource")
    return None


def _forget(rdf: minidom.Element, *, creator_too: bool, system_too: bool) -> None:
    """Take out what an earlier label said, and the description that it leaves empty."""

    def stale(node: minidom.Node) -> bool:
        name = (node.namespaceURI, node.localName)
        return (
            node.namespaceURI == _OURS
            or name in ((_IPTC_EXT, "DigitalSourceType"), (_DCTERMS, "provenance"))
            or (system_too and name in ((_IPTC_EXT, "AISystemUsed"), (_IPTC_EXT, "AISystemVersionUsed")))
            or (creator_too and name == (_XMP, "CreatorTool"))
        )

    for description in _descriptions(rdf):
        for attribute in list((description.attributes or {}).values()):
            if stale(attribute):
                description.removeAttributeNode(attribute)
        for node in list(description.childNodes):
            if node.nodeType == node.ELEMENT_NODE and stale(node):
                description.removeChild(node)
        said = [a for a in (description.attributes or {}).values() if a.namespaceURI not in (_XMLNS, _RDF)]
        if not said and not any(n.nodeType == n.ELEMENT_NODE for n in description.childNodes):
            rdf.removeChild(description)


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())
