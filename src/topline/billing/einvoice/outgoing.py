"""Our invoices and credit notes as EN 16931 sees them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from topline.billing.einvoice.model import (
    CREDIT_NOTE,
    DEBIT_NOTE,
    INVOICE,
    Adjustment,
    EInvoice,
    Line,
    Means,
    Party,
    Preceding,
    TaxLine,
)
from topline.billing.models import Invoice, InvoiceLine
from topline.billing.queries import InvoiceDetail
from topline.books.models import Entity
from topline.kernel.money import exponent
from topline.market.models import Address, Contact, Customer

EN_16931 = "urn:cen.eu:en16931:2017"
PEPPOL = f"{EN_16931}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
PEPPOL_PROFILE = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
REASONS = {
    "AE": ("VATEX-EU-AE", "Reverse charge: the customer owes the VAT"),
    "G": ("VATEX-EU-G", "Export outside the EU"),
    "O": ("VATEX-EU-O", "Outside the scope of VAT"),
    "E": ("", "Exempt from VAT"),
}  # codes of the CEF VATEX list
KINDS: dict[str, str] = {Invoice.Kind.INVOICE: INVOICE, Invoice.Kind.CREDIT_NOTE: CREDIT_NOTE, Invoice.Kind.INTEREST: DEBIT_NOTE}
# electronic addresses by VAT number: the scheme (EAS) of a country's VAT numbers
VAT_SCHEMES = {"AT": "9914", "BE": "9925", "BG": "9926", "CY": "9928", "CZ": "9929", "DE": "9930", "EE": "9931", "ES": "9920", "FR": "9957", "GB": "9932", "GR": "9933", "HR": "9934", "HU": "9910", "IE": "9935", "IT": "0211", "LI": "9936", "LT": "9937", "LU": "9938", "LV": "9939", "MT": "9943", "NL": "9944", "PL": "9945", "PT": "9946", "RO": "9947", "SE": "9955", "SI": "9949", "SK": "9950", "CH": "9927"}  # fmt: skip


def of_invoice(
    detail: InvoiceDetail,
    *,
    address: Address | None,
    contact: Contact | None,
    paid_into: tuple[str, str],
    tax_accounted: int | None = None,
) -> EInvoice:
    """One issued document as an e-invoice.

    address, contact  of the customer, where known
    paid_into         IBAN and BIC of the account that is named for payment, "" where there is none
    tax_accounted     VAT as it was booked, in minor units of the company's currency, of a document in another (BT-111; VAT Directive, Art. 230)
    """
    invoice, entity = detail.invoice, detail.invoice.entity
    digits = exponent(invoice.currency)
    is_credit = invoice.kind == Invoice.Kind.CREDIT_NOTE

    def major(minor: int) -> Decimal:
        return Decimal(minor).scaleb(-digits)

    seller, buyer = _seller(entity), _buyer(invoice.customer, address, contact)
    rows = tuple(_line(line, digits) for line in detail.lines)
    is_out_of_scope = all(line.category == "O" for line in rows)
    if is_out_of_scope:  # BR-O-02: where nothing is in scope, no VAT number is stated
        seller, buyer = _without_vat(seller), _without_vat(buyer)
    iban, bic = paid_into
    paid = 0 if invoice.state == Invoice.State.VOID or is_credit else invoice.allocated_minor
    return EInvoice(
        number=invoice.number or "",
        kind=KINDS[invoice.kind],
        issued_on=invoice.issued_on,
        due_on=None if is_credit else invoice.due_on,
        currency=invoice.currency,
        tax_currency="" if tax_accounted is None else entity.currency,
        tax_accounted=None if tax_accounted is None else Decimal(tax_accounted).scaleb(-exponent(entity.currency)),
        customization=EN_16931,
        notes=(invoice.memo,) if invoice.memo else (),
        buyer_reference=invoice.purchase_order or invoice.customer.number,
        purchase_order=invoice.purchase_order,
        preceding=(Preceding(invoice.corrects.number or "", invoice.corrects.issued_on),) if invoice.corrects else (),
        terms=invoice.terms or ("Credited to your account" if is_credit else ""),
        seller=seller,
        buyer=buyer,
        means=(Means(code="58" if invoice.currency == "EUR" else "30", reference=invoice.number or "", account=iban, account_name=entity.name, bic=bic),) if iban and not is_credit else (),
        taxes=_taxes(detail.lines, digits),
        lines=rows,
        line_total=major(invoice.net_minor),
        net_total=major(invoice.net_minor),
        tax_total=major(invoice.tax_minor),
        gross=major(invoice.total_minor),
        prepaid=major(paid) if paid else None,
        due=major(invoice.total_minor - paid),
    )  # fmt: skip


def for_peppol(said: EInvoice) -> EInvoice:
    """The document as the Peppol network wants it in UBL, where both sides have an electronic address."""
    reachable = said.seller.endpoint and said.buyer.endpoint
    return replace(said, customization=PEPPOL, profile=PEPPOL_PROFILE) if reachable else said


def _line(line: InvoiceLine, digits: int) -> Line:
    quantity = Decimal(line.quantity_micro).scaleb(-6)
    price = Decimal(line.unit_price_nano).scaleb(-9 - digits)
    if price < 0:  # BR-27: what is taken off is a negative quantity at a price
        quantity, price = -quantity, -price
    net, whole = Decimal(line.net_minor).scaleb(-digits), round(quantity * price, digits)
    off = whole - net
    adjustments: tuple[Adjustment, ...] = ()
    if off:
        percent = Decimal(line.discount_ppm).scaleb(-4).normalize() if line.discount_ppm else None
        adjustments = (
            Adjustment(is_charge=off < 0, amount=abs(off), base=whole if percent else None, percent=percent, reason="Discount" if percent else "Rounding"),
        )  # fmt: skip
    return Line(
        identifier=str(line.position), name=line.description, quantity=_plain(quantity), price=_plain(price), net=net,
        category=line.tax_category, rate=_rate(line.tax_category, line.tax_rate_ppm), adjustments=adjustments,
    )  # fmt: skip


def _rate(category: str, ppm: int) -> Decimal | None:
    return None if category == "O" else _plain(Decimal(ppm).scaleb(-4))


def _plain(value: Decimal) -> Decimal:
    """Without trailing zeros, and never as 1E+3."""
    short = value.normalize()
    return short.quantize(Decimal(1)) if short == short.to_integral_value() else short


def _taxes(lines: list[InvoiceLine], digits: int) -> tuple[TaxLine, ...]:
    kinds = dict.fromkeys(_kind(line) for line in lines)
    sums = {
        kind: (
            sum(line.net_minor for line in lines if _kind(line) == kind),
            sum(line.tax_minor for line in lines if _kind(line) == kind),
        )
        for kind in kinds
    }
    return tuple(
        TaxLine(
            category=category,
            rate=_rate(category, ppm),
            base=Decimal(net).scaleb(-digits),
            tax=Decimal(tax).scaleb(-digits),
            reason_code=REASONS.get(category, ("", ""))[0],
            reason=REASONS.get(category, ("", ""))[1],
        )
        for (category, ppm), (net, tax) in sums.items()
    )


def _kind(line: InvoiceLine) -> tuple[str, int]:
    return line.tax_category, line.tax_rate_ppm


def _seller(entity: Entity) -> Party:
    scheme, endpoint = _endpoint(entity.tax_id, "", entity.email)
    vat_id, tax_number = (entity.tax_id, "") if _is_vat_id(entity.tax_id) else ("", entity.tax_id)
    return Party(
        name=entity.name, register=entity.registration, vat_id=vat_id, tax_number=tax_number, endpoint=endpoint, endpoint_scheme=scheme,
        line1=entity.line1, line2=entity.line2, city=entity.city, postal_code=entity.postal_code, country=entity.country,
        contact=entity.name if entity.email else "", phone=entity.phone, email=entity.email,
    )  # fmt: skip


def _buyer(customer: Customer, address: Address | None, contact: Contact | None) -> Party:
    scheme, endpoint = _endpoint(customer.tax_id, customer.e_address, contact.email if contact else "")
    return Party(
        name=customer.legal_name or customer.name,
        trade_name=customer.name if customer.legal_name and customer.legal_name != customer.name else "",
        identifier=customer.number,
        vat_id=customer.tax_id if _is_vat_id(customer.tax_id) else "",
        register=customer.tax_id if customer.tax_id and not _is_vat_id(customer.tax_id) else "",
        endpoint=endpoint,
        endpoint_scheme=scheme,
        line1=address.line1 if address else "",
        line2=address.line2 if address else "",
        city=address.city if address else "",
        postal_code=address.postal_code if address else "",
        region=address.region if address else "",
        country=(address.country if address else "") or customer.country,
        contact=contact.name if contact else "",
        email=contact.email if contact else "",
    )


def _without_vat(party: Party) -> Party:
    return replace(party, vat_id="", register=party.register or party.vat_id)


def _is_vat_id(number: str) -> bool:
    return len(number) > 4 and number[:2].isalpha()


def _endpoint(tax_id: str, stated: str, email: str) -> tuple[str, str]:
    """Scheme and electronic address: what was stated, else the VAT number where its country has a scheme, else the e-mail address."""
    if stated:  # checked where it was written: market.actions.E_ADDRESS
        told, _, address = stated.partition(":")
        return told, address
    scheme = VAT_SCHEMES.get(tax_id[:2].upper(), "") if _is_vat_id(tax_id) else ""
    if scheme:
        return scheme, tax_id
    return ("EM", email) if email else ("", "")
