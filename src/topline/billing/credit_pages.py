"""The credit-note wizard: choose lines of an invoice, see what the credit note would say, issue it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from topline.billing import actions, queries
from topline.billing.pages import as_quantity
from topline.engine.rating.credit_notes import Chosen
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, ensure
from topline.kernel.money import format_amount, parse_amount
from topline.ui.access import Asked, page
from topline.ui.tables import Column

PREVIEW = [
    Column("position", "#", "integer"), Column("description", "Description"), Column("quantity", "Quantity"), Column("net", "Net", "money"), Column("tax", "Tax", "money"), Column("total", "Total", "money"),
]  # fmt: skip
SHOWN = 1_000


@page("billing.credit_invoice", methods=("GET", "POST"))
def credit(request: Asked, invoice_id: int) -> HttpResponse:
    """Credit an invoice: lines, wholly or in units or amounts, or a gross amount over all of them. *Preview* is computed by the code that issues."""
    invoice = queries.invoice_detail(invoice_id).invoice
    problem: DomainError | None = None
    shown: list[dict[str, Any]] | None = None
    if request.method == "POST":
        try:
            asked = _asked(request, invoice.currency)
            if "preview" in request.POST:
                shown = actions.preview_credit(invoice_id=invoice_id, **asked).to_dicts()
            else:
                reason = request.POST.get("reason", "").strip()
                ensure(bool(reason), Invalid("Say why it is credited.", field="reason", remedy="It stands on the credit note."))
                on = clock.today(invoice.entity.time_zone)
                note = actions.credit_invoice(
                    actor=request.actor, invoice_id=invoice_id, issue_on=on, reason=reason[:300], **asked
                )
                messages.success(request, "The credit note was issued. Apply it and send it from here.")
                return redirect("billing:invoice", note)
        except DomainError as error:
            problem = error
    lines = [_line(row, invoice.currency, request) for row in queries.creditable(invoice_id).head(SHOWN).to_dicts()]
    sums = {name: sum(row[f"{name}_minor"] for row in shown) for name in ("net", "tax")} if shown is not None else {}
    context = {
        "invoice": invoice, "lines": lines, "problem": problem, "columns": PREVIEW, "given": request.POST,
        "shown": [_shown(row, invoice.currency) for row in shown] if shown is not None else None,
        "footer": {"description": f"Credit note, {invoice.currency}", **_money(sums["net"], sums["tax"], invoice.currency)} if sums else None,
        "is_left": any(line["is_left"] for line in lines),
    }  # fmt: skip
    return render(request, "billing/credit.html", context, status=problem.status if problem else 200)


def _asked(request: Asked, currency: str) -> dict[str, Any]:
    """What of the invoice is credited, as the verb takes it. Raises: Invalid."""
    amount = request.POST.get("amount", "").strip()
    fields = {name: value.strip() for name, value in request.POST.items() if isinstance(value, str) and value.strip()}
    places = sorted(
        {
            int(n.partition("-")[2])
            for n in fields
            if n.partition("-")[0] in ("line", "units", "net") and n.partition("-")[2].isdecimal()
        }
    )
    chosen = [
        Chosen(
            position,
            quantity_micro=_units(fields[f"units-{position}"]) if f"units-{position}" in fields else None,
            net_minor=parse_amount(fields[f"net-{position}"], currency, field="lines") if f"net-{position}" in fields else None,
        )
        for position in places
    ]  # fmt: skip
    everything = "everything" in request.POST
    ensure(everything or bool(chosen) or bool(amount), Invalid("Nothing is chosen.", field="lines", remedy="Choose lines, write an amount, or credit everything."))  # fmt: skip
    ensure(
        not everything or not (chosen or amount),
        Invalid("Everything, or a part of it?", field="lines", remedy="Leave one of them out."),
    )
    return {"total_minor": parse_amount(amount, currency) if amount else None, "lines": chosen}


def _units(text: str) -> int:
    """Units in millionths. Raises: Invalid."""
    try:
        micro = Decimal(text.replace(",", "")) * 10**6
        is_whole = micro == micro.to_integral_value()
    except InvalidOperation:
        is_whole = False
    ensure(is_whole and 0 < micro < 10**15, Invalid(f"{text!r} is no number of units.", field="lines", remedy="Write it such as 2 or 1.5, with at most six decimals."))  # fmt: skip
    return int(micro)


def _line(row: dict[str, Any], currency: str, request: Asked) -> dict[str, Any]:
    given = {name: request.POST.get(f"{name}-{row['position']}", "") for name in ("line", "units", "net")}
    return {
        "position": row["position"], "description": row["description"], "quantity": as_quantity(row["left_micro"]), "of": as_quantity(abs(row["quantity_micro"])),
        "net": format_amount(row["left_minor"], currency), "of_net": format_amount(row["net_minor"], currency), "tax": format_amount(row["left_tax_minor"], currency),
        "is_left": bool(row["left_minor"] or row["left_tax_minor"]), "given": given,
    }  # fmt: skip


def _shown(row: dict[str, Any], currency: str) -> dict[str, Any]:
    return {"position": row["position"], "description": row["description"], "currency": currency, "quantity": as_quantity(row["quantity_micro"]) if row["credits_micro"] else "", "net": row["net_minor"], "tax": row["tax_minor"], "total": row["net_minor"] + row["tax_minor"]}  # fmt: skip


def _money(net: int, tax: int, currency: str) -> dict[str, str]:
    return {"net": format_amount(net, currency), "tax": format_amount(tax, currency), "total": format_amount(net + tax, currency)}
