"""XML of banks, read strictly."""

from __future__ import annotations

from lxml import etree

from topline.bank.formats.model import NotThisFormat, StatementRefused
from topline.kernel import xml


def parse(content: bytes) -> etree._Element:
    """The root element of a document.

    Raises: NotThisFormat when it is no XML at all, StatementRefused (with the line) when it is malformed or asks for more than data.
    """
    try:
        return xml.parse(content)
    except xml.NotXml as error:
        raise NotThisFormat(str(error)) from error
    except xml.XmlRefused as error:
        raise StatementRefused(str(error), remedy="Fetch the file from the bank again.", line=error.line) from error
