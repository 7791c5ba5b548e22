"""Documents that billing hands out: an invoice or credit note as PDF with its e-invoice inside, and as XML."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import segno.helpers
import typst
import yaml
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_decimal

from topline.bank import queries as bank
from topline.billing import delivery, queries
from topline.billing.einvoice import check, files, outgoing
from topline.billing.einvoice.model import EInvoice
from topline.billing.models import Invoice
from topline.billing.queries import InvoiceDetail
from topline.books.actions import picture_kind
from topline.books.models import Entity
from topline.engine import terms
from topline.kernel.errors import Conflict, NotFound, ensure
from topline.kernel.money import exponent
from topline.market.models import Address

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "templates" / "billing" / "invoice.typ"
SYNTAXES = ("ubl", "cii")
DEFAULT_LANGUAGE = "en"
DATES = {"en": "en_GB"}  # 27 Dec 2026, as on all pages
MOST_BY_CODE = Decimal("999999999.99")  # EPC069-12: what a payment code can carry


class NoEInvoice(Conflict):
    """The document lacks something that an e-invoice must say."""

    code = "no_e_invoice"


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice or credit note ready to be handed out: what it says, and what keeps it from being an e-invoice."""

    detail: InvoiceDetail
    said: EInvoice
    problems: tuple[check.Problem, ...]


def document(detail: InvoiceDetail) -> Document:
    """One document as an e-invoice, checked. Drafts have no number yet and are none."""
    invoice = detail.invoice
    address = Address.objects.filter(customer_id=invoice.customer_id).order_by("id").first()
    abroad = invoice.number is not None and invoice.tax_minor and invoice.currency != invoice.entity.currency
    said = outgoing.of_invoice(
        detail,
        tax_accounted=queries.booked_tax(invoice.pk) if abroad else None,
        address=address,
        contact=delivery.contact_for_invoices(invoice.customer_id),
        paid_into=bank.paid_into(entity_id=invoice.entity_id, currency=invoice.currency),
    )
    return Document(detail, said, tuple(check.problems(said)))


def invoice_pdf(detail: InvoiceDetail) -> bytes:
    """A document as PDF/A-3; where it holds as an e-invoice, with its CII inside (Factur-X, profile EN 16931)."""
    return as_pdf(document(detail))


def as_pdf(found: Document) -> bytes:
    """The same of a document that is made already."""
    inside = "" if found.problems else files.as_cii(found.said).decode()
    data = json.dumps({**_printed(found), "inside": inside})
    pdf: bytes = typst.compile(str(TEMPLATE), sys_inputs={"data": data}, pdf_standards=["a-3b"])
    return files.told_as_factur_x(pdf) if inside else pdf


def invoice_xml(detail: InvoiceDetail, syntax: str) -> bytes:
    """A document as XML in `ubl` or `cii`. Raises: NotFound (another syntax), NoEInvoice, which says what is missing."""
    return as_xml(document(detail), syntax)


def as_xml(found: Document, syntax: str) -> bytes:
    """The same of a document that is made already. Raises: as invoice_xml."""
    ensure(syntax in SYNTAXES, NotFound(f"There is no e-invoice in {syntax!r}.", remedy="Use ubl or cii."))
    if found.problems:
        raise NoEInvoice(
            f"{found.detail.invoice.number or 'The draft'} is no e-invoice yet: {' '.join(problem.text for problem in found.problems)}",
            remedy="Fill in what is missing, of the company under Books, of the customer on their page.",
        )
    return files.as_ubl(outgoing.for_peppol(found.said)) if syntax == "ubl" else files.as_cii(found.said)


# --- parts ---
def _printed(found: Document) -> dict[str, object]:
    invoice, said = found.detail.invoice, found.said
    entity, customer = invoice.entity, invoice.customer
    language = language_of(customer.language)
    words = _labels()[language]
    digits = exponent(invoice.currency)
    is_credit = invoice.kind == Invoice.Kind.CREDIT_NOTE

    def money(amount: Decimal) -> str:
        return str(format_decimal(amount, format=f"#,##0.{'0' * digits}" if digits else "#,##0", locale=language))

    def price(amount: Decimal) -> str:
        return str(format_decimal(amount, format=f"#,##0.{'0' * digits}{'#' * (11 - digits)}", locale=language))

    def number(amount: Decimal) -> str:
        return str(format_decimal(amount, format="#,##0.###########", locale=language))

    def accounted(said: EInvoice) -> list[str]:
        """VAT in the company's own currency, where the document is in another."""
        if said.tax_accounted is None:
            return []
        places = exponent(said.tax_currency)
        shown = format_decimal(said.tax_accounted, format=f"#,##0.{'0' * places}" if places else "#,##0", locale=language)
        return [f"{words['tax']} {said.tax_currency}", str(shown)]

    def day(on: date | None) -> str:
        return str(format_date(on, "medium", locale=DATES.get(language, language))) if on else "–"

    facts = [
        [words["issued"], day(invoice.issued_on)],
        *([] if is_credit else [[words["due"], day(invoice.due_on)]]),
        *([[words["terms"], told_terms(invoice.terms, language)]] if invoice.terms else []),
        *([[words["purchase_order"], invoice.purchase_order]] if invoice.purchase_order else []),
        *[[words["corrects"], each.number] for each in said.preceding],
        [words["customer"], customer.number],
        *([[words["tax_id"], customer.tax_id]] if customer.tax_id else []),
    ]
    means = next(iter(said.means), None)
    open_now = Decimal(found.detail.open_minor).scaleb(-digits)
    ahead = invoice.from_credits_minor
    is_owed = not is_credit and invoice.state in (Invoice.State.OPEN, Invoice.State.PAID)
    settled = {words["credits"]: ahead, words["paid"]: invoice.allocated_minor - ahead} if is_owed else {}
    country = country_name(said.buyer.country, language)
    place = [said.buyer.line1, said.buyer.line2, f"{said.buyer.postal_code} {said.buyer.city}".strip(), country]
    return {
        "language": language,
        "words": words,
        "title": words[invoice.kind],
        "number": invoice.number or "–",
        "accent": entity.accent,
        "logo": logo_of(entity),
        "seller": [part for part in (entity.name, entity.line1, entity.line2, f"{entity.postal_code} {entity.city}".strip(), entity.country) if part],
        "seller_numbers": [part for part in (f"{words['tax_id']} {entity.tax_id}" if entity.tax_id else "", entity.registration, entity.email, entity.phone) if part],
        "buyer": [customer.legal_name or customer.name, *[part for part in place if part]],
        "facts": facts,
        "lines": [
            [line.identifier, line.name, number(line.quantity), price(line.price), f"{number(line.rate)} %" if line.rate is not None else "–", money(line.net)]
            for line in said.lines
        ],
        "net": money(said.net_total),
        "taxes": [
            [f"{words['tax']} {number(tax.rate or Decimal(0))} % {words['base']} {money(tax.base)}", money(tax.tax)] for tax in said.taxes if tax.category != "O"
        ],
        "accounted": accounted(said),
        "total": money(said.gross),
        "paid": [[word, money(Decimal(minor).scaleb(-digits))] for word, minor in settled.items() if minor],
        "open": money(open_now) if is_owed else "",
        "currency": invoice.currency,
        "notes": [words[tax.category] for tax in said.taxes if tax.category in words] + list(said.notes),
        "pay": [["IBAN", means.account], *([["BIC", means.bic]] if means.bic else []), [words["reference"], means.reference]] if means and open_now else [],
        "code": payment_code(said, open_now),
    }  # fmt: skip


def payment_code(said: EInvoice, amount: Decimal) -> str:
    """The code that a banking app reads (EPC069-12, SEPA credit transfer) as SVG; empty where there is nothing to pay so."""
    means = next((each for each in said.means if each.account), None)
    if means is None or said.currency != "EUR" or not Decimal("0.01") <= amount <= MOST_BY_CODE:
        return ""
    code = segno.helpers.make_epc_qr(
        name=means.account_name[:70], iban=means.account, amount=amount, text=means.reference[:140], bic=means.bic or None
    )
    out = io.BytesIO()
    code.save(out, kind="svg", border=0, xmldecl=False)
    return out.getvalue().decode()


def logo_of(entity: Entity) -> str:
    """The logo as SVG; a PNG is wrapped into one."""
    content = bytes(entity.logo or b"")
    kind = picture_kind(content) if content else ""
    if kind == "svg":
        return content.decode("utf-8", "replace")
    if kind == "png":
        width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
        data = base64.b64encode(content).decode()
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><image width="{width}" height="{height}" href="data:image/png;base64,{data}"/></svg>'
    return ""


def covering_mail(invoice: Invoice, *, link: str) -> tuple[str, str]:
    """Subject and text of the e-mail that brings a document, in the customer's language."""
    language = language_of(invoice.customer.language)
    words, digits = _labels()[language], exponent(invoice.currency)
    amount = format_decimal(Decimal(invoice.total_minor).scaleb(-digits), format=f"#,##0.{'0' * digits}" if digits else "#,##0", locale=language)  # fmt: skip
    about = {
        "document": words[invoice.kind],
        "number": invoice.number,
        "amount": f"{amount} {invoice.currency}",
        "company": invoice.entity.name,
    }
    due = "" if invoice.kind == Invoice.Kind.CREDIT_NOTE or invoice.due_on is None else words["mail_due"].format(day=format_date(invoice.due_on, "long", locale=DATES.get(language, language))) + "\n"  # fmt: skip
    text = f"{words['mail_attached'].format(**about)}\n{due}\n{words['mail_read']}\n{link}\n\n{invoice.entity.name}\n"
    return words["mail_subject"].format(**about), text


def told_terms(text: str, language: str) -> str:
    """Payment terms in a language; what is no plain number of days is told as it is written."""
    words = _labels()[language_of(language)]
    try:
        found = terms.parse_terms(text)
    except terms.UnknownTerms:
        return text
    if len(found.parts) > 1 or found.parts[0] != terms.Part(days=found.parts[0].days):
        return text
    net = words["days"].format(days=found.parts[0].days) if found.parts[0].days else words["at_once"]
    if not found.discount_percent:
        return net
    percent = format_decimal(found.discount_percent, locale=language)
    return f"{net}, {words['early'].format(percent=percent, days=found.discount_days)}"


def country_name(code: str, language: str) -> str:
    """A country as it is called in a language."""
    return str(Locale.parse(language).territories.get(code, code))


def language_of(wanted: str) -> str:
    """The nearest language that documents are written in."""
    try:
        short = str(Locale.parse(wanted.replace("-", "_")).language)
    except (ValueError, UnknownLocaleError):
        return DEFAULT_LANGUAGE
    return short if short in _labels() else DEFAULT_LANGUAGE


@lru_cache(maxsize=1)
def _labels() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((HERE / "labels.yaml").read_text(encoding="utf-8"))
    return found
