"""The one strict reader of XML: no document type, no entities, no comment inside a value, bounded in size and depth."""

from __future__ import annotations

from lxml import etree

from topline.bank.formats.model import NotThisFormat, StatementRefused

MAX_DEPTH = 200


def parse(content: bytes) -> etree._Element:
    """The root element of a document.

    Raises: NotThisFormat when it is no XML at all, StatementRefused (with the line) when it is malformed or asks for more than data.
    """
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith(b"<"):
        raise NotThisFormat("The file is not XML.")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise _declared()
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(start, parser)
    except etree.XMLSyntaxError as error:
        if "depth" in (error.msg or ""):
            raise _too_deep() from error
        raise StatementRefused(
            f"The XML breaks in line {error.lineno}: {error.msg}.",
            remedy="Fetch the file from the bank again.",
            line=error.lineno,
        ) from error
    if root.getroottree().docinfo.internalDTD is not None:  # written in another encoding than the search above sees
        raise _declared()
    _check(root)
    return root


def _declared() -> StatementRefused:
    return StatementRefused(
        "The XML carries a document type or entities, which statements never do.", remedy="Fetch the file from the bank again."
    )


def _too_deep() -> StatementRefused:
    return StatementRefused(f"The XML nests deeper than {MAX_DEPTH} levels.", remedy="Fetch the file from the bank again.")


def _check(root: etree._Element) -> None:
    depth = 0
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event in {"comment", "pi"}:
            parent = node.getparent()
            if parent is not None and not any(isinstance(child.tag, str) for child in parent):
                raise StatementRefused(
                    f"Line {node.sourceline} hides a comment or an instruction inside a value.",
                    remedy="Fetch the file from the bank again.",
                    line=node.sourceline,
                )
            continue
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            raise _too_deep()
