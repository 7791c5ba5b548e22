"""The one strict reader of XML that others send: no document type, no entities, no comment inside a value, bounded in size and depth."""

from __future__ import annotations

from lxml import etree

MAX_DEPTH = 200


class NotXml(ValueError):
    """The content is no XML at all."""


class XmlRefused(ValueError):
    """The XML is malformed or asks for more than data. `line`: where, 0 where no line can be named."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def parse(content: bytes) -> etree._Element:
    """The root element of a document. Raises: NotXml, XmlRefused."""
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith(b"<"):
        raise NotXml("The file is not XML.")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise _declared()
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(start, parser)
    except etree.XMLSyntaxError as error:
        if "depth" in (error.msg or ""):
            raise _too_deep() from error
        raise XmlRefused(f"The XML breaks in line {error.lineno}: {error.msg}.", error.lineno or 0) from error
    if root.getroottree().docinfo.internalDTD is not None:  # written in another encoding than the search above sees
        raise _declared()
    _check(root)
    return root


def _declared() -> XmlRefused:
    return XmlRefused("The XML carries a document type or entities, which data never does.")


def _too_deep() -> XmlRefused:
    return XmlRefused(f"The XML nests deeper than {MAX_DEPTH} levels.")


def _check(root: etree._Element) -> None:
    depth = 0
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event in {"comment", "pi"}:
            parent = node.getparent()
            if parent is not None and not any(isinstance(child.tag, str) for child in parent):
                raise XmlRefused(
                    f"Line {node.sourceline} hides a comment or an instruction inside a value.", node.sourceline or 0
                )
            continue
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            raise _too_deep()
