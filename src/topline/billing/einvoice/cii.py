"""Where the terms of EN 16931 stand in UN/CEFACT's Cross Industry Invoice (D16B, as Factur-X and XRechnung use it)."""

from __future__ import annotations

from topline.billing.einvoice.mapping import AMOUNT, COUNT, DAY_102, FILE, NUMBER, TEXT, TRUTH, Constant, Part, Syntax, Value
from topline.billing.einvoice.model import Adjustment, Attachment, Line, Means, Party, Preceding, TaxLine

_RSM = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
NAMESPACES = {
    "rsm": _RSM,
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
_DAY = "udt:DateTimeString[@format=102]"
_TRADE = "rsm:SupplyChainTradeTransaction"
_AGREEMENT, _DELIVERY, _SETTLEMENT = (
    f"{_TRADE}/ram:ApplicableHeaderTrade{part}" for part in ("Agreement", "Delivery", "Settlement")
)
_SUMS = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"

_PARTY = (
    Value("identifier", "ram:ID"),
    Value("global_id", "ram:GlobalID"),
    Value("global_scheme", "ram:GlobalID/@schemeID"),
    Value("name", "ram:Name"),
    Value("register", "ram:SpecifiedLegalOrganization/ram:ID"),
    Value("register_scheme", "ram:SpecifiedLegalOrganization/ram:ID/@schemeID"),
    Value("trade_name", "ram:SpecifiedLegalOrganization/ram:TradingBusinessName"),
    Value("contact", "ram:DefinedTradeContact/ram:PersonName"),
    Value("phone", "ram:DefinedTradeContact/ram:TelephoneUniversalCommunication/ram:CompleteNumber"),
    Value("email", "ram:DefinedTradeContact/ram:EmailURIUniversalCommunication/ram:URIID"),
    Value("postal_code", "ram:PostalTradeAddress/ram:PostcodeCode"),
    Value("line1", "ram:PostalTradeAddress/ram:LineOne"),
    Value("line2", "ram:PostalTradeAddress/ram:LineTwo"),
    Value("line3", "ram:PostalTradeAddress/ram:LineThree"),
    Value("city", "ram:PostalTradeAddress/ram:CityName"),
    Value("country", "ram:PostalTradeAddress/ram:CountryID"),
    Value("region", "ram:PostalTradeAddress/ram:CountrySubDivisionName"),
    Value("endpoint", "ram:URIUniversalCommunication/ram:URIID"),
    Value("endpoint_scheme", "ram:URIUniversalCommunication/ram:URIID/@schemeID"),
    Value("vat_id", "+ram:SpecifiedTaxRegistration/ram:ID[@schemeID=VA]"),
    Value("tax_number", "+ram:SpecifiedTaxRegistration/ram:ID[@schemeID=FC]"),
)
_PAYEE = tuple(
    part for part in _PARTY if part.name in {"identifier", "global_id", "global_scheme", "name", "register", "register_scheme"}
)
_LINE_ADJUSTMENT = (
    Value("is_charge", "ram:ChargeIndicator/udt:Indicator", TRUTH),
    Value("percent", "ram:CalculationPercent", NUMBER),
    Value("base", "ram:BasisAmount", NUMBER),
    Value("amount", "ram:ActualAmount", NUMBER),
    Value("reason_code", "ram:ReasonCode"),
    Value("reason", "ram:Reason"),
)
_ADJUSTMENT = (
    *_LINE_ADJUSTMENT,
    Constant("ram:CategoryTradeTax/ram:TypeCode", "VAT"),
    Value("category", "ram:CategoryTradeTax/ram:CategoryCode"),
    Value("rate", "ram:CategoryTradeTax/ram:RateApplicablePercent", NUMBER),
)
_PRICE = "ram:SpecifiedLineTradeAgreement"
_OFF = f"{_PRICE}/ram:GrossPriceProductTradePrice/ram:AppliedTradeAllowanceCharge"
_LINE_TERMS = "ram:SpecifiedLineTradeSettlement"
_LINE = (
    Value("identifier", "ram:AssociatedDocumentLineDocument/ram:LineID"),
    Value("note", "ram:AssociatedDocumentLineDocument/ram:IncludedNote/ram:Content"),
    Value("standard_item", "ram:SpecifiedTradeProduct/ram:GlobalID"),
    Value("standard_item_scheme", "ram:SpecifiedTradeProduct/ram:GlobalID/@schemeID"),
    Value("seller_item", "ram:SpecifiedTradeProduct/ram:SellerAssignedID"),
    Value("buyer_item", "ram:SpecifiedTradeProduct/ram:BuyerAssignedID"),
    Value("name", "ram:SpecifiedTradeProduct/ram:Name"),
    Value("description", "ram:SpecifiedTradeProduct/ram:Description"),
    Value("order_line", f"{_PRICE}/ram:BuyerOrderReferencedDocument/ram:LineID"),
    Value("gross_price", f"{_PRICE}/ram:GrossPriceProductTradePrice/ram:ChargeAmount", NUMBER),
    Value("price_off", f"{_OFF}/ram:ActualAmount", NUMBER, first=((f"{_OFF}/ram:ChargeIndicator/udt:Indicator", "false"),)),
    Value("price", f"{_PRICE}/ram:NetPriceProductTradePrice/ram:ChargeAmount", NUMBER),
    Value("price_quantity", f"{_PRICE}/ram:NetPriceProductTradePrice/ram:BasisQuantity", NUMBER),
    Value("price_unit", f"{_PRICE}/ram:NetPriceProductTradePrice/ram:BasisQuantity/@unitCode"),
    Value("quantity", "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity", NUMBER),
    Value("unit", "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity/@unitCode"),
    Constant(f"{_LINE_TERMS}/ram:ApplicableTradeTax/ram:TypeCode", "VAT"),
    Value("category", f"{_LINE_TERMS}/ram:ApplicableTradeTax/ram:CategoryCode"),
    Value("rate", f"{_LINE_TERMS}/ram:ApplicableTradeTax/ram:RateApplicablePercent", NUMBER),
    Value("starts_on", f"{_LINE_TERMS}/ram:BillingSpecifiedPeriod/ram:StartDateTime/{_DAY}", DAY_102),
    Value("ends_on", f"{_LINE_TERMS}/ram:BillingSpecifiedPeriod/ram:EndDateTime/{_DAY}", DAY_102),
    Part("adjustments", f"{_LINE_TERMS}/ram:SpecifiedTradeAllowanceCharge", Adjustment, _LINE_ADJUSTMENT, many=True),
    Value("net", f"{_LINE_TERMS}/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount", NUMBER),
)
_MEANS = (
    Value("code", "ram:TypeCode"),
    Value("text", "ram:Information"),
    Value("account", "ram:PayeePartyCreditorFinancialAccount/ram:IBANID", read="ram:PayeePartyCreditorFinancialAccount/*[self::ram:IBANID or self::ram:ProprietaryID]"),
    Value("account_name", "ram:PayeePartyCreditorFinancialAccount/ram:AccountName"),
    Value("bic", "ram:PayeeSpecifiedCreditorFinancialInstitution/ram:BICID"),
    Value("reference", "", read="../ram:PaymentReference"),
)  # fmt: skip
_TAX = (
    Value("tax", "ram:CalculatedAmount", NUMBER),
    Constant("ram:TypeCode", "VAT"),
    Value("reason", "ram:ExemptionReason"),
    Value("base", "ram:BasisAmount", NUMBER),
    Value("category", "ram:CategoryCode"),
    Value("reason_code", "ram:ExemptionReasonCode"),
    Value("rate", "ram:RateApplicablePercent", NUMBER),
)
_FILE = "ram:AttachmentBinaryObject"
_ATTACHMENT = (
    Value("reference", "ram:IssuerAssignedID"), Value("address", "ram:URIID"), Constant("ram:TypeCode", "916"), Value("description", "ram:Name"),
    Value("content", _FILE, FILE), Value("mime", f"{_FILE}/@mimeCode"), Value("file_name", f"{_FILE}/@filename"),
)  # fmt: skip
SYNTAX = Syntax(
    root="rsm:CrossIndustryInvoice",
    namespaces=NAMESPACES,
    currency=f"{_SETTLEMENT}/ram:InvoiceCurrencyCode",
    parts=(
        Value("profile", "rsm:ExchangedDocumentContext/ram:BusinessProcessSpecifiedDocumentContextParameter/ram:ID"),
        Value("customization", "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID"),
        Value("number", "rsm:ExchangedDocument/ram:ID"),
        Value("kind", "rsm:ExchangedDocument/ram:TypeCode"),
        Value("issued_on", f"rsm:ExchangedDocument/ram:IssueDateTime/{_DAY}", DAY_102),
        Part("notes", "rsm:ExchangedDocument/+ram:IncludedNote/ram:Content", str, (), form=TEXT),
        Part("lines", f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem", Line, _LINE, many=True),
        Value("buyer_reference", f"{_AGREEMENT}/ram:BuyerReference"),
        Part("seller", f"{_AGREEMENT}/ram:SellerTradeParty", Party, _PARTY),
        Part("buyer", f"{_AGREEMENT}/ram:BuyerTradeParty", Party, _PARTY),
        Value("sales_order", f"{_AGREEMENT}/ram:SellerOrderReferencedDocument/ram:IssuerAssignedID"),
        Value("purchase_order", f"{_AGREEMENT}/ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID"),
        Value("contract", f"{_AGREEMENT}/ram:ContractReferencedDocument/ram:IssuerAssignedID"),
        Part("attachments", f"{_AGREEMENT}/ram:AdditionalReferencedDocument", Attachment, _ATTACHMENT, many=True, read=f"{_AGREEMENT}/ram:AdditionalReferencedDocument[ram:TypeCode='916']"),
        Constant(_DELIVERY, ""),
        Value("delivery_country", f"{_DELIVERY}/ram:ShipToTradeParty/ram:PostalTradeAddress/ram:CountryID"),
        Value("delivered_on", f"{_DELIVERY}/ram:ActualDeliverySupplyChainEvent/ram:OccurrenceDateTime/{_DAY}", DAY_102),
        Value("reference", f"{_SETTLEMENT}/ram:PaymentReference"),
        Value("tax_currency", f"{_SETTLEMENT}/ram:TaxCurrencyCode"),
        Value("currency", f"{_SETTLEMENT}/ram:InvoiceCurrencyCode"),
        Part("payee", f"{_SETTLEMENT}/ram:PayeeTradeParty", Party, _PAYEE),
        Part("means", f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans", Means, _MEANS, many=True),
        Part("taxes", f"{_SETTLEMENT}/ram:ApplicableTradeTax", TaxLine, _TAX, many=True),
        Value("tax_point", "", DAY_102, read=f"{_SETTLEMENT}/ram:ApplicableTradeTax/ram:TaxPointDate/udt:DateString"),
        Value("starts_on", f"{_SETTLEMENT}/ram:BillingSpecifiedPeriod/ram:StartDateTime/{_DAY}", DAY_102),
        Value("ends_on", f"{_SETTLEMENT}/ram:BillingSpecifiedPeriod/ram:EndDateTime/{_DAY}", DAY_102),
        Part("adjustments", f"{_SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge", Adjustment, _ADJUSTMENT, many=True),
        Value("terms", f"{_SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:Description"),
        Value("due_on", f"{_SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime/{_DAY}", DAY_102),
        Value("line_total", f"{_SUMS}/ram:LineTotalAmount", NUMBER),
        Value("charge_total", f"{_SUMS}/ram:ChargeTotalAmount", NUMBER),
        Value("allowance_total", f"{_SUMS}/ram:AllowanceTotalAmount", NUMBER),
        Value("net_total", f"{_SUMS}/ram:TaxBasisTotalAmount", NUMBER),
        Value("tax_total", f"{_SUMS}/ram:TaxTotalAmount", AMOUNT, read=f"{_SUMS}/ram:TaxTotalAmount[@currencyID=$currency or $currency='']"),
        Value("tax_accounted", f"{_SUMS}/+ram:TaxTotalAmount", NUMBER, read=f"{_SUMS}/ram:TaxTotalAmount[@currencyID!=$currency]"),
        Value("tax_currency", f"{_SUMS}/ram:TaxTotalAmount/@currencyID", read=f"{_SETTLEMENT}/ram:TaxCurrencyCode"),
        Value("tax_totals", "", COUNT, read=f"count({_SUMS}/ram:TaxTotalAmount[@currencyID=$currency or $currency=''])"),
        Value("rounding", f"{_SUMS}/ram:RoundingAmount", NUMBER),
        Value("gross", f"{_SUMS}/ram:GrandTotalAmount", NUMBER),
        Value("prepaid", f"{_SUMS}/ram:TotalPrepaidAmount", NUMBER),
        Value("due", f"{_SUMS}/ram:DuePayableAmount", NUMBER),
        Part("preceding", f"{_SETTLEMENT}/ram:InvoiceReferencedDocument", Preceding, (
            Value("number", "ram:IssuerAssignedID"),
            Value("issued_on", "ram:FormattedIssueDateTime/qdt:DateTimeString[@format=102]", DAY_102),
        ), many=True),
    ),
)  # fmt: skip
