"""E-invoices as files: an XML in either syntax, or a PDF that carries one."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from decimal import Decimal
from typing import cast

import pikepdf
from lxml import etree

from topline.billing.einvoice import cii, mapping, ubl
from topline.billing.einvoice.mapping import EInvoiceRefused
from topline.billing.einvoice.model import EInvoice, Line
from topline.kernel import xml
from topline.kernel.errors import Invalid, ensure

MAX_BYTES = 20_000_000
_SYNTAXES = {
    f"{{{syntax.namespaces[syntax.root.partition(':')[0] if ':' in syntax.root else '']}}}{syntax.root.rpartition(':')[2]}": syntax
    for syntax in (cii.SYNTAX, ubl.INVOICE, ubl.CREDIT_NOTE)
}

_FX = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_FX_TERMS = {"DocumentFileName": "factur-x.xml", "DocumentType": "INVOICE", "Version": "1.0", "ConformanceLevel": "EN 16931"}
_FX_SAID = f'<rdf:Description rdf:about="" xmlns:fx="{_FX}">{"".join(f"<fx:{term}>{said}</fx:{term}>" for term, said in _FX_TERMS.items())}</rdf:Description>'.encode()
_FX_SCHEMA = (
    '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
    f"<pdfaSchema:namespaceURI>{_FX}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix><pdfaSchema:property><rdf:Seq>"
    + "".join(
        f'<rdf:li rdf:parseType="Resource"><pdfaProperty:name>{term}</pdfaProperty:name><pdfaProperty:valueType>Text</pdfaProperty:valueType>'
        f"<pdfaProperty:category>external</pdfaProperty:category><pdfaProperty:description>{term} of the file inside</pdfaProperty:description></rdf:li>"
        for term in _FX_TERMS
    )
    + "</rdf:Seq></pdfaSchema:property></rdf:li>"
).encode()
_NAMES = ("factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml")  # by which Factur-X and ZUGFeRD attach it
_SCHEMAS_END, _ABOUT_END = b"</rdf:Bag></pdfaExtension:schemas>", b"</rdf:RDF>"


def as_cii(document: EInvoice) -> bytes:
    """The document as UN/CEFACT Cross Industry Invoice, which has one payment reference and no day of tax point of its own."""
    return mapping.write(whole(document), cii.SYNTAX)


def as_ubl(document: EInvoice) -> bytes:
    """The document as UBL 2.1 Invoice or CreditNote. UBL wants a total of VAT even where there is none."""
    document = document if document.tax_total is not None else replace(document, tax_total=Decimal(0))
    return mapping.write(whole(document), ubl.CREDIT_NOTE if document.is_credit else ubl.INVOICE)


def told_as_factur_x(pdf: bytes) -> bytes:
    """A PDF/A-3 of ours that carries factur-x.xml, with the metadata that say so (Factur-X 1.07, 6.2.2)."""
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        metadata = cast(pikepdf.Stream, opened.Root.Metadata)
        about = metadata.read_bytes()
        ensure(
            about.count(_SCHEMAS_END) == 1 and about.count(_ABOUT_END) == 1,
            Invalid("The PDF has no metadata of PDF/A.", remedy="Report this: it is a fault of Topline."),
        )
        metadata.write(about.replace(_SCHEMAS_END, _FX_SCHEMA + _SCHEMAS_END).replace(_ABOUT_END, _FX_SAID + _ABOUT_END))
        out = io.BytesIO()
        opened.save(out)
    return out.getvalue()


def read(content: bytes) -> EInvoice:
    """What a file states, as it stands there; `check.problems` says whether it holds.

    content  XML in CII or UBL, or a PDF with such a file attached (Factur-X, ZUGFeRD)
    Raises: EInvoiceRefused.
    """
    if len(content) > MAX_BYTES:
        raise EInvoiceRefused(
            "The file is larger than 20 MB.", field="file", remedy="Ask the sender for the invoice without its attachments."
        )
    if content.lstrip()[:5] == b"%PDF-":
        content = _attached(content)
    try:
        root = xml.parse(content)
    except xml.NotXml as error:
        raise EInvoiceRefused(
            "The file is neither XML nor PDF.", field="file", remedy="Choose an e-invoice: an .xml, or a PDF that carries one."
        ) from error
    except xml.XmlRefused as error:
        raise EInvoiceRefused(str(error), field="file", remedy="Ask the sender for a correct file.") from error
    syntax = _SYNTAXES.get(str(root.tag))
    if syntax is None:
        raise EInvoiceRefused(
            f"{etree.QName(root).localname} is no invoice in CII or UBL.",
            field="file",
            remedy="Ask the sender for EN 16931 in one of the two.",
        )
    found: EInvoice = mapping.read(root, EInvoice, syntax)
    return found


def whole(document: EInvoice) -> EInvoice:
    """With both parts of every price that has something taken off: one syntax may leave either out, and the other wants it. A currency of VAT is
    stated with its total, or not at all."""
    tax_currency = document.tax_currency if document.tax_accounted is not None else ""
    return replace(document, tax_currency=tax_currency, lines=tuple(_priced(line) for line in document.lines))


def _priced(line: Line) -> Line:
    if line.price_off is None and line.gross_price is None:
        return line
    off = line.price_off if line.price_off is not None else (line.gross_price or line.price) - line.price
    return replace(line, price_off=off, gross_price=line.gross_price if line.gross_price is not None else line.price + off)


def _attached(pdf: bytes) -> bytes:
    """The XML inside a PDF."""
    broken = (pikepdf.PdfError, LookupError, TypeError, ValueError)  # a PDF, or its tree of attachments, that is damaged
    with contextlib.suppress(*broken), pikepdf.open(io.BytesIO(pdf)) as opened:
        for name, attached in opened.attachments.items():
            if name.lower() in _NAMES:
                return bytes(attached.get_file().read_bytes())
    raise EInvoiceRefused(
        "The PDF carries no e-invoice.", field="file", remedy="Ask the sender for the XML, or a PDF with it inside (Factur-X)."
    )
