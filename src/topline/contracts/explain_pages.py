"""How the lines of a document came about: the period and the price, the rounding, the tax, and what a credit note takes back."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from topline.billing import queries as billing
from topline.billing.models import Invoice, InvoiceLine
from topline.billing.pages import as_line, as_quantity
from topline.contracts.models import Charge, SchedulePart
from topline.contracts.pages import made
from topline.contracts.queries import is_again
from topline.contracts.wallet_queries import paid_by_line
from topline.kernel.money import exponent, format_amount
from topline.ui.access import Asked, page

PLACES = Decimal("0.000001")  # more decimals of a cent than these are not shown


@page("billing.view")
def explained(request: Asked, invoice_id: int) -> HttpResponse:
    """Every line of a document explained, step by step."""
    detail = billing.invoice_detail(invoice_id)
    invoice = detail.invoice
    charges = {c.position: c for c in Charge.objects.filter(invoice=invoice).select_related("item__contract")[:1_000]}
    again = set(Charge.objects.filter(is_again(), invoice=invoice).values_list("position", flat=True)[:1_000])
    parts = _parts(charges)
    paid = paid_by_line(invoice.pk, invoice.currency) if invoice.from_credits_minor else {}
    rated: dict[tuple[str, int], tuple[int, int]] = {}  # net and tax of the document by category and rate
    for line in detail.lines:
        net, tax = rated.get((line.tax_category, line.tax_rate_ppm), (0, 0))
        rated[line.tax_category, line.tax_rate_ppm] = net + line.net_minor, tax + line.tax_minor
    lines = [
        {**as_line(line, invoice.currency), "steps": [*_source(charges.get(line.position), parts, invoice, line.position in again), *steps(line, invoice, rated[line.tax_category, line.tax_rate_ppm]), *paid.get(line.position, [])], "contract": _contract(charges.get(line.position))}
        for line in detail.lines
    ]  # fmt: skip
    return render(request, "contracts/explained.html", {"invoice": invoice, "lines": lines})


def steps(line: InvoiceLine, invoice: Invoice, rated: tuple[int, int]) -> list[str]:
    """How a line's net and tax follow from what stands on it, in sentences. rated: net and tax of all lines of its rate."""
    currency = invoice.currency
    price = Decimal(line.unit_price_nano).scaleb(-9)
    exact = Decimal(line.quantity_micro).scaleb(-6) * price
    told = f"{as_quantity(line.quantity_micro)} x {_exact(price, currency)} = {_exact(exact, currency)}"
    if line.discount_ppm:
        exact -= exact * line.discount_ppm / 1_000_000
        told += f", less {line.discount_ppm / 10_000:g} % = {_exact(exact, currency)}"
    found = [told + _rounded(exact, line.net_minor, currency, "net")]
    if invoice.kind == Invoice.Kind.CREDIT_NOTE and invoice.corrects is not None:
        took = f"{as_quantity(line.credits_micro)} units" if line.credits_micro else "an amount"
        found.append(f"It takes back {took} of line {line.position} of {invoice.corrects.number}, so that all credit notes of a line add up to it.")  # fmt: skip
    tax = Decimal(line.net_minor) * line.tax_rate_ppm / 1_000_000
    if not line.tax_rate_ppm:
        return [*found, f"No tax: category {line.tax_category}."]
    told = f"Tax {line.tax_rate_ppm / 10_000:g} % of {format_amount(line.net_minor, currency)} = {_exact(tax, currency)}"
    is_own = tax.quantize(Decimal(1), ROUND_HALF_UP) == line.tax_minor
    if is_own:
        return [*found, told + _rounded(tax, line.tax_minor, currency, "tax")]
    net, whole = rated
    exact = Decimal(net) * line.tax_rate_ppm / 1_000_000
    if exact.quantize(Decimal(1), ROUND_HALF_UP) != whole:  # such as the last credit note of a line, which takes what is left
        return [*found, f"{told}, {format_amount(line.tax_minor, currency)} with what rounding left to this line"]
    all_of = f"{line.tax_rate_ppm / 10_000:g} % of {format_amount(net, currency)} = {_exact(exact, currency)}{_rounded(exact, whole, currency, 'tax')}"
    share = f"of that {format_amount(line.tax_minor, currency)} is this line's ({_exact(tax, currency)} by itself)"
    return [*found, f"Tax is rounded once for all lines of the rate: {all_of}; {share}."]


# --- parts ---
def _source(charge: Charge | None, parts: dict[tuple[int, Any], SchedulePart], invoice: Invoice, was_before: bool) -> list[str]:
    """Where a line comes from: the part of a schedule, or the period of an item and how its price was made."""
    if charge is None:
        return []
    part = parts.get((charge.item_id, charge.full_start))
    if part is not None:
        why = (
            f"accepted on {part.accepted_on} by {part.accepted_by}"
            if part.accepted_on
            else f"due on {part.due_on}"
            if part.due_on
            else "open again"
        )
        return [f"Part {part.position} of the schedule of {charge.item.description}: {part.description}, {why}."]
    last = charge.end - timedelta(days=1)
    span = f"{charge.start} to {last}" if last > charge.start else str(charge.start)
    row = {"explained": charge.explained, "days": charge.days, "full_days": charge.full_days, "is_again": was_before}
    return [f"{charge.item.description}, {span}: {made(row, invoice.currency)}."]


def _contract(charge: Charge | None) -> tuple[str, str] | None:
    if charge is None:
        return None
    contract = charge.item.contract
    return contract.number, reverse("contracts:contract", args=[contract.pk])


def _parts(charges: dict[int, Charge]) -> dict[tuple[int, Any], SchedulePart]:
    """The parts of schedules that charges stand for. One statement."""
    anchors = {c.item_id: c.item.anchor for c in charges.values()}
    found = SchedulePart.objects.filter(item_id__in=list(anchors))[:1_000]
    return {(part.item_id, anchors[part.item_id] + timedelta(days=part.position - 1)): part for part in found}


def _exact(minor: Decimal, currency: str) -> str:
    """Minor units with parts of them, as people read amounts."""
    major = minor.quantize(PLACES).scaleb(-exponent(currency)).normalize()
    places = max(exponent(currency), -int(major.as_tuple().exponent))
    return f"{major:,.{places}f}"


def _rounded(exact: Decimal, minor: int, currency: str, what: str) -> str:
    return f", rounded to {format_amount(minor, currency)} {what}" if exact != minor else f" {what}"
