"""Where the terms of EN 16931 stand in OASIS UBL 2.1, as Peppol BIS Billing 3 uses it: one table for invoices, one for credit notes."""

from __future__ import annotations

from topline.billing.einvoice.mapping import AMOUNT, COUNT, DAY, FILE, NUMBER, TEXT, TRUTH, Constant, Part, Syntax, Value
from topline.billing.einvoice.model import Adjustment, Attachment, Line, Means, Party, Preceding, TaxLine

_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_SPACES = {"cac": f"{_UBL}:CommonAggregateComponents-2", "cbc": f"{_UBL}:CommonBasicComponents-2"}
_VAT = (("cac:TaxScheme/cbc:ID", "VAT"),)


def _identifiers(party: str) -> tuple[Value, ...]:
    at = f"{party}+cac:PartyIdentification/cbc:ID"
    listed = f"{party}cac:PartyIdentification/cbc:ID[@schemeID and not(@schemeID='SEPA')]"
    return (
        Value("identifier", at, read=f"{party}cac:PartyIdentification/cbc:ID[not(@schemeID)]"),
        Value("global_id", at, read=listed),
        Value("global_scheme", f"{party}cac:PartyIdentification/cbc:ID/@schemeID", read=f"{listed}/@schemeID"),
    )


_PARTY = (
    Value("endpoint", "cac:Party/cbc:EndpointID"),
    Value("endpoint_scheme", "cac:Party/cbc:EndpointID/@schemeID"),
    *_identifiers("cac:Party/"),
    Value("trade_name", "cac:Party/cac:PartyName/cbc:Name"),
    Value("line1", "cac:Party/cac:PostalAddress/cbc:StreetName"),
    Value("line2", "cac:Party/cac:PostalAddress/cbc:AdditionalStreetName"),
    Value("city", "cac:Party/cac:PostalAddress/cbc:CityName"),
    Value("postal_code", "cac:Party/cac:PostalAddress/cbc:PostalZone"),
    Value("region", "cac:Party/cac:PostalAddress/cbc:CountrySubentity"),
    Value("line3", "cac:Party/cac:PostalAddress/cac:AddressLine/cbc:Line"),
    Value("country", "cac:Party/cac:PostalAddress/cac:Country/cbc:IdentificationCode"),
    Value("vat_id", "cac:Party/+cac:PartyTaxScheme/cbc:CompanyID", read="cac:Party/cac:PartyTaxScheme[cac:TaxScheme/cbc:ID='VAT']/cbc:CompanyID", also=_VAT),
    Value("tax_number", "cac:Party/+cac:PartyTaxScheme/cbc:CompanyID", read="cac:Party/cac:PartyTaxScheme[not(cac:TaxScheme/cbc:ID='VAT')]/cbc:CompanyID", also=(("cac:TaxScheme/cbc:ID", "FC"),)),
    Value("name", "cac:Party/cac:PartyLegalEntity/cbc:RegistrationName"),
    Value("register", "cac:Party/cac:PartyLegalEntity/cbc:CompanyID"),
    Value("register_scheme", "cac:Party/cac:PartyLegalEntity/cbc:CompanyID/@schemeID"),
    Value("contact", "cac:Party/cac:Contact/cbc:Name"),
    Value("phone", "cac:Party/cac:Contact/cbc:Telephone"),
    Value("email", "cac:Party/cac:Contact/cbc:ElectronicMail"),
)  # fmt: skip
_PAYEE = (
    *_identifiers(""),
    Value("name", "cac:PartyName/cbc:Name"),
    Value("register", "cac:PartyLegalEntity/cbc:CompanyID"),
    Value("register_scheme", "cac:PartyLegalEntity/cbc:CompanyID/@schemeID"),
)
_MEANS = (
    Value("code", "cbc:PaymentMeansCode"),
    Value("text", "cbc:PaymentMeansCode/@name"),
    Value("reference", "cbc:PaymentID"),
    Value("account", "cac:PayeeFinancialAccount/cbc:ID"),
    Value("account_name", "cac:PayeeFinancialAccount/cbc:Name"),
    Value("bic", "cac:PayeeFinancialAccount/cac:FinancialInstitutionBranch/cbc:ID"),
)
_LINE_ADJUSTMENT = (
    Value("is_charge", "cbc:ChargeIndicator", TRUTH),
    Value("reason_code", "cbc:AllowanceChargeReasonCode"),
    Value("reason", "cbc:AllowanceChargeReason"),
    Value("percent", "cbc:MultiplierFactorNumeric", NUMBER),
    Value("amount", "cbc:Amount", AMOUNT),
    Value("base", "cbc:BaseAmount", AMOUNT),
)
_CATEGORY = (Value("category", "cbc:ID"), Value("rate", "cbc:Percent", NUMBER), Constant("cac:TaxScheme/cbc:ID", "VAT"))
_TAX = (
    Value("base", "cbc:TaxableAmount", AMOUNT),
    Value("tax", "cbc:TaxAmount", AMOUNT),
    Value("category", "cac:TaxCategory/cbc:ID"),
    Value("rate", "cac:TaxCategory/cbc:Percent", NUMBER),
    Value("reason_code", "cac:TaxCategory/cbc:TaxExemptionReasonCode"),
    Value("reason", "cac:TaxCategory/cbc:TaxExemptionReason"),
    Constant("cac:TaxCategory/cac:TaxScheme/cbc:ID", "VAT"),
)


def _under(path: str, values: tuple[Value | Constant, ...]) -> tuple[Value | Constant, ...]:
    """The values one element further down."""
    return tuple(
        Constant(f"{path}/{v.path}", v.text) if isinstance(v, Constant) else Value(v.name, f"{path}/{v.path}", v.form)
        for v in values
    )


def _line(quantity: str) -> tuple[Value | Constant | Part, ...]:
    item, price = "cac:Item", "cac:Price"
    return (
        Value("identifier", "cbc:ID"),
        Value("note", "cbc:Note"),
        Value("quantity", f"cbc:{quantity}", NUMBER),
        Value("unit", f"cbc:{quantity}/@unitCode"),
        Value("net", "cbc:LineExtensionAmount", AMOUNT),
        Value("starts_on", "cac:InvoicePeriod/cbc:StartDate", DAY),
        Value("ends_on", "cac:InvoicePeriod/cbc:EndDate", DAY),
        Value("order_line", "cac:OrderLineReference/cbc:LineID"),
        Part("adjustments", "cac:AllowanceCharge", Adjustment, _LINE_ADJUSTMENT, many=True),
        Value("description", f"{item}/cbc:Description"),
        Value("name", f"{item}/cbc:Name"),
        Value("buyer_item", f"{item}/cac:BuyersItemIdentification/cbc:ID"),
        Value("seller_item", f"{item}/cac:SellersItemIdentification/cbc:ID"),
        Value("standard_item", f"{item}/cac:StandardItemIdentification/cbc:ID"),
        Value("standard_item_scheme", f"{item}/cac:StandardItemIdentification/cbc:ID/@schemeID"),
        *_under(f"{item}/cac:ClassifiedTaxCategory", _CATEGORY),
        Value("price", f"{price}/cbc:PriceAmount", AMOUNT),
        Value("price_quantity", f"{price}/cbc:BaseQuantity", NUMBER),
        Value("price_unit", f"{price}/cbc:BaseQuantity/@unitCode"),
        Value(
            "price_off",
            f"{price}/cac:AllowanceCharge/cbc:Amount",
            AMOUNT,
            first=((f"{price}/cac:AllowanceCharge/cbc:ChargeIndicator", "false"),),
        ),
        Value("gross_price", f"{price}/cac:AllowanceCharge/cbc:BaseAmount", AMOUNT),
    )


_FILE = "cac:Attachment/cbc:EmbeddedDocumentBinaryObject"
_ATTACHMENT = (
    Value("reference", "cbc:ID"), Value("description", "cbc:DocumentDescription"),
    Value("content", _FILE, FILE), Value("mime", f"{_FILE}/@mimeCode"), Value("file_name", f"{_FILE}/@filename"),
    Value("address", "cac:Attachment/cac:ExternalReference/cbc:URI"),
)  # fmt: skip
_SUMS = "cac:LegalMonetaryTotal"
_OWN_TAX = "cac:TaxTotal[cbc:TaxAmount/@currencyID=$currency or $currency='']"


def _syntax(root: str, line: str, *, is_credit: bool) -> Syntax:
    due = Value("due_on", "cbc:DueDate", DAY)
    kind = Value("kind", f"cbc:{'CreditNoteTypeCode' if is_credit else 'InvoiceTypeCode'}")
    notes, point = Part("notes", "cbc:Note", str, (), form=TEXT), Value("tax_point", "cbc:TaxPointDate", DAY)
    means = Part("means", "cac:PaymentMeans", Means, _MEANS, many=True)
    return Syntax(
        root=root,
        namespaces={"": f"{_UBL}:{root}-2", **_SPACES},
        currency="cbc:DocumentCurrencyCode",
        parts=(
            Value("customization", "cbc:CustomizationID"),
            Value("profile", "cbc:ProfileID"),
            Value("number", "cbc:ID"),
            Value("issued_on", "cbc:IssueDate", DAY),
            *((point, kind, notes) if is_credit else (due, kind, notes, point)),
            Value("currency", "cbc:DocumentCurrencyCode"),
            Value("tax_currency", "cbc:TaxCurrencyCode"),
            Value("buyer_reference", "cbc:BuyerReference"),
            Value("starts_on", "cac:InvoicePeriod/cbc:StartDate", DAY),
            Value("ends_on", "cac:InvoicePeriod/cbc:EndDate", DAY),
            Value("purchase_order", "cac:OrderReference/cbc:ID"),
            Value("sales_order", "cac:OrderReference/cbc:SalesOrderID"),
            Part("preceding", "cac:BillingReference", Preceding, (
                Value("number", "cac:InvoiceDocumentReference/cbc:ID"), Value("issued_on", "cac:InvoiceDocumentReference/cbc:IssueDate", DAY),
            ), many=True),
            Value("contract", "cac:ContractDocumentReference/cbc:ID"),
            Part("attachments", "cac:AdditionalDocumentReference", Attachment, _ATTACHMENT, many=True, read="cac:AdditionalDocumentReference[not(cbc:DocumentTypeCode='130')]"),
            Part("seller", "cac:AccountingSupplierParty", Party, _PARTY),
            Part("buyer", "cac:AccountingCustomerParty", Party, _PARTY),
            Part("payee", "cac:PayeeParty", Party, _PAYEE),
            Value("delivered_on", "cac:Delivery/cbc:ActualDeliveryDate", DAY),
            Value("delivery_country", "cac:Delivery/cac:DeliveryLocation/cac:Address/cac:Country/cbc:IdentificationCode"),
            means,
            Value("terms", "cac:PaymentTerms/cbc:Note"),
            Part("adjustments", "cac:AllowanceCharge", Adjustment, (*_LINE_ADJUSTMENT, *_under("cac:TaxCategory", _CATEGORY)), many=True),
            Value("tax_total", "cac:TaxTotal/cbc:TaxAmount", AMOUNT, read=f"{_OWN_TAX}/cbc:TaxAmount"),
            Value("tax_totals", "", COUNT, read=f"count({_OWN_TAX})"),
            Part("taxes", "cac:TaxTotal/cac:TaxSubtotal", TaxLine, _TAX, many=True, read=f"{_OWN_TAX}/cac:TaxSubtotal"),
            Value("tax_accounted", "+cac:TaxTotal/cbc:TaxAmount", NUMBER, read="cac:TaxTotal/cbc:TaxAmount[@currencyID!=$currency]"),
            Value("tax_currency", "cac:TaxTotal/cbc:TaxAmount/@currencyID", read="cbc:TaxCurrencyCode"),
            Value("line_total", f"{_SUMS}/cbc:LineExtensionAmount", AMOUNT),
            Value("net_total", f"{_SUMS}/cbc:TaxExclusiveAmount", AMOUNT),
            Value("gross", f"{_SUMS}/cbc:TaxInclusiveAmount", AMOUNT),
            Value("allowance_total", f"{_SUMS}/cbc:AllowanceTotalAmount", AMOUNT),
            Value("charge_total", f"{_SUMS}/cbc:ChargeTotalAmount", AMOUNT),
            Value("prepaid", f"{_SUMS}/cbc:PrepaidAmount", AMOUNT),
            Value("rounding", f"{_SUMS}/cbc:PayableRoundingAmount", AMOUNT),
            Value("due", f"{_SUMS}/cbc:PayableAmount", AMOUNT),
            Part("lines", f"cac:{line}Line", Line, _line("CreditedQuantity" if is_credit else "InvoicedQuantity"), many=True),
            *((Value("due_on", "", DAY, read="cac:PaymentMeans/cbc:PaymentDueDate"),) if is_credit else ()),
        ),
    )  # fmt: skip


INVOICE = _syntax("Invoice", "Invoice", is_credit=False)
CREDIT_NOTE = _syntax("CreditNote", "CreditNote", is_credit=True)
