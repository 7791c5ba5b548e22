"""An electronic invoice as EN 16931 means it, whatever the syntax: what is written to customers and read from vendors.

Amounts, prices and quantities are decimals in major units; a percentage of 20 is 20. Names in brackets are the standard's terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

INVOICE, CREDIT_NOTE, DEBIT_NOTE = "380", "381", "383"  # UNTDID 1001
CREDITS = frozenset({"81", "83", "381", "396", "532"})  # document types that take back


@dataclass(frozen=True, slots=True)
class Party:
    """The seller (BG-4), buyer (BG-7) or payee (BG-10)."""

    name: str = ""
    trade_name: str = ""
    identifier: str = ""
    global_id: str = ""
    global_scheme: str = ""
    register: str = ""  # BT-30, BT-47
    register_scheme: str = ""
    vat_id: str = ""  # BT-31, BT-48
    tax_number: str = ""  # BT-32
    endpoint: str = ""  # BT-34, BT-49: where e-invoices go
    endpoint_scheme: str = ""
    line1: str = ""
    line2: str = ""
    line3: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""
    country: str = ""
    contact: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An allowance or charge, of the document (BG-20, BG-21) or of a line (BG-27, BG-28)."""

    is_charge: bool = False
    amount: Decimal = Decimal(0)
    base: Decimal | None = None
    percent: Decimal | None = None
    reason: str = ""
    reason_code: str = ""
    category: str = ""
    rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """An invoice line (BG-25)."""

    identifier: str = ""
    note: str = ""
    name: str = ""
    description: str = ""
    seller_item: str = ""
    buyer_item: str = ""
    standard_item: str = ""
    standard_item_scheme: str = ""
    quantity: Decimal = Decimal(1)
    unit: str = "C62"  # UN/ECE recommendation 20: one
    price: Decimal = Decimal(0)
    price_quantity: Decimal | None = None
    price_unit: str = ""
    gross_price: Decimal | None = None
    price_off: Decimal | None = None
    net: Decimal = Decimal(0)
    category: str = ""
    rate: Decimal | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    order_line: str = ""
    adjustments: tuple[Adjustment, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxLine:
    """The VAT breakdown of a category and rate (BG-23)."""

    category: str = ""
    rate: Decimal | None = None
    base: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    reason: str = ""
    reason_code: str = ""


@dataclass(frozen=True, slots=True)
class Means:
    """How to pay (BG-16)."""

    code: str = ""  # UNTDID 4461: 30 credit transfer, 58 SEPA credit transfer
    text: str = ""
    reference: str = ""  # BT-83
    account: str = ""
    account_name: str = ""
    bic: str = ""


@dataclass(frozen=True, slots=True)
class Preceding:
    """An earlier document that this one corrects (BG-3)."""

    number: str = ""
    issued_on: date | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A document that supports the invoice (BG-24): where it is to be found, or the file itself."""

    reference: str = ""  # BT-122
    description: str = ""  # BT-123
    address: str = ""  # BT-124
    content: bytes | None = None  # BT-125
    mime: str = ""
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class EInvoice:
    """An invoice or credit note (EN 16931)."""

    number: str = ""
    kind: str = INVOICE
    issued_on: date | None = None
    due_on: date | None = None
    tax_point: date | None = None
    currency: str = ""
    tax_currency: str = ""  # BT-6: in which VAT is accounted for, where that is another
    customization: str = ""
    profile: str = ""
    notes: tuple[str, ...] = ()
    buyer_reference: str = ""
    purchase_order: str = ""
    sales_order: str = ""
    contract: str = ""
    preceding: tuple[Preceding, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    starts_on: date | None = None
    ends_on: date | None = None
    delivered_on: date | None = None
    delivery_country: str = ""
    terms: str = ""
    seller: Party = field(default_factory=Party)
    buyer: Party = field(default_factory=Party)
    payee: Party | None = None
    means: tuple[Means, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    lines: tuple[Line, ...] = ()
    line_total: Decimal = Decimal(0)
    allowance_total: Decimal | None = None
    charge_total: Decimal | None = None
    net_total: Decimal = Decimal(0)
    tax_total: Decimal | None = None
    tax_accounted: Decimal | None = None  # BT-111: total VAT in the currency of accounting
    tax_totals: int = 1  # how many VAT totals it states in its own currency
    gross: Decimal = Decimal(0)
    prepaid: Decimal | None = None
    rounding: Decimal | None = None
    due: Decimal = Decimal(0)

    @property
    def reference(self) -> str:
        """What the payer is asked to state (BT-83)."""
        return next((means.reference for means in self.means if means.reference), "")

    @property
    def is_credit(self) -> bool:
        """Whether it takes back what was invoiced."""
        return self.kind in CREDITS
