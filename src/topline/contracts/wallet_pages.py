"""The pages of credits: who has some, one wallet with its credits and moves, and the forms by which they are sold, given and taken back."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing.models import Invoice
from topline.books.company import company
from topline.books.models import Entity
from topline.contracts import wallet_queries as queries
from topline.contracts import wallets
from topline.contracts.models import Credit, CreditMove, Wallet
from topline.contracts.wallet_forms import GrantForm, LowForm, SellForm, TakeBackForm
from topline.kernel import clock
from topline.kernel.errors import DomainError, NotFound
from topline.kernel.money import exponent, format_amount
from topline.market.models import Customer
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

LIST = [
    Column("customer", "Customer", sort="customer__name", link="url"), Column("usable", "Can be used", "money", sort="usable"), Column("bought", "Bought of it", "money"), Column("soon", "Expires within 30 days", "money"),
    Column("next_on", "Next on", "date", sort="next_on"), Column("currency", ""), Column("state", "", "badge"),
]  # fmt: skip
CREDITS = [
    Column("name", "Credits"), Column("kind", "Kind"), Column("amount_minor", "Were", "money"), Column("left_minor", "Left", "money"), Column("units", "In units"), Column("priority", "Priority", "integer"), Column("pays_for", "Pays for"),
    Column("starts_on", "From", "date"), Column("expires_on", "Until before", "date"), Column("carried", "Carried over"), Column("invoice", "Sold by", "code", link="invoice_url"), Column("action", "Next", link="action_url"),
]  # fmt: skip
MOVES = [
    Column("on", "Day", "date"), Column("what", "What"), Column("credit__name", "Credits"), Column("amount_minor", "Amount", "money"), Column("document", "Document", "code", link="url"), Column("note", "Note", "sentence"),
]  # fmt: skip
FIELDS = {
    "customer_id": "customer", "amount_minor": "amount", "units_micro": "units", "unit_nano": "unit_worth", "rollover_ppm": "rollover", "rollover_cap_minor": "rollover_cap", "contract_id": "contract", "low_minor": "low",
}  # fmt: skip


@page("contracts.view")
def wallet_list(request: Asked) -> HttpResponse:
    """Who has credits, and how much of them can be used."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    state = listing(request.path, request.GET.dict(), columns=LIST, default_sort="customer__name", filters=["q"])
    found = queries.wallets(entity_id=entity.pk, on=today)
    if wanted := state.filters.get("q", ""):
        found = found.filter(customer__name__icontains=wanted)
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    rows = [
        {"customer": w.customer.name, "url": reverse("contracts:wallet", args=[w.pk]), "usable": w.usable, "bought": w.bought, "soon": w.soon, "next_on": w.next_on, "currency": w.currency, "state": _state(w)}
        for w in found.order_by(*state.order, "id")[start:end]
    ]  # fmt: skip
    if state.export:
        return export(rows, LIST, name="credits", form=state.export)
    return render(request, "contracts/wallets.html", {"list": state, "rows": rows, "total": found.count()})


@page("contracts.view")
def wallet(request: Asked, wallet_id: int) -> HttpResponse:
    """One wallet: what can be used, its credits, what went in and out."""
    today = _today(wallet_id)
    found = queries.wallet(wallet_id, on=today)
    may = request.actor.may("contracts.take_back_credits")
    credits_now = [_credit(c, today, may=may) for c in queries.credits_of(found.pk)]
    moves = [
        {**m, "what": CreditMove.Kind(m["kind"]).label.capitalize(), "currency": found.currency, "document": m["invoice__number"], "url": reverse("billing:invoice", args=[m["invoice_id"]]) if m["invoice_id"] else ""}
        for m in queries.moves_of(found.pk)
    ]  # fmt: skip
    context = {
        "wallet": found,
        "credits": credits_now,
        "credit_columns": CREDITS,
        "moves": moves,
        "move_columns": MOVES,
        "today": today,
        "state": _state(found),
    }
    return render(request, "contracts/wallet.html", context)


@page("contracts.sell_credits", methods=("GET", "POST"))
def sell(request: Asked) -> HttpResponse:
    """Sell credits."""
    entity = company(request)
    form = SellForm(request.POST or None, initial=_initial(request, entity))
    if form.is_valid():
        try:
            made = wallets.sell_credits(
                actor=request.actor,
                entity_id=entity.pk,
                issue_on=clock.today(entity.time_zone),
                terms=form.cleaned_data["terms"],
                **form.said(entity.pk),
            )
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "The credits are sold; their invoice is issued, and the next bill run draws on them.")
            return redirect("contracts:wallet", Credit.objects.values_list("wallet_id", flat=True).get(pk=made))
    what = "They are invoiced now without tax, which is due on what they pay for; until then they are a liability."
    return _form(request, form, "Sell credits", what, "Sell")


@page("contracts.grant_credits", methods=("GET", "POST"))
def grant(request: Asked) -> HttpResponse:
    """Give credits away."""
    entity = company(request)
    form = GrantForm(request.POST or None, initial=_initial(request, entity))
    if form.is_valid():
        try:
            on = clock.today(entity.time_zone)
            made = wallets.grant_credits(
                actor=request.actor, entity_id=entity.pk, on=on, because=form.cleaned_data["because"], **form.said(entity.pk)
            )
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "The credits are given; the next bill run draws on them.")
            return redirect("contracts:wallet", Credit.objects.values_list("wallet_id", flat=True).get(pk=made))
    return _form(request, form, "Give credits", "Nothing is owed for them; they lower income as they are used.", "Give")


@page("contracts.take_back_credits", methods=("GET", "POST"))
def take_back(request: Asked, credit_id: int) -> HttpResponse:
    """Take back what is left of credits."""
    credit = Credit.objects.select_related("wallet__entity", "wallet__customer").filter(pk=credit_id).first()
    if credit is None:
        raise NotFound(f"There are no credits {credit_id}.", field="credit_id")
    form = TakeBackForm(request.POST or None)
    currency = credit.wallet.currency
    if form.is_valid():
        amount = form.cleaned_data["amount"]
        said = None if amount is None else int(amount * 10 ** exponent(currency))
        try:
            on = clock.today(credit.wallet.entity.time_zone)
            note = wallets.take_back_credits(
                actor=request.actor, credit_id=credit.pk, on=on, because=form.cleaned_data["because"], amount_minor=said
            )
        except DomainError as error:
            blame(form, error, FIELDS | {"credit_id": "amount"})
        else:
            messages.success(
                request, "Taken back." + (" A credit note says so: apply it to the invoice, or pay it out." if note else "")
            )
            return redirect("contracts:wallet", credit.wallet_id)
    left = f"{format_amount(credit.left_minor, currency)} {currency} of {credit.name} is left."
    what = left + (" Their invoice is credited with what you take back." if credit.is_paid else "")
    context = {
        "form": form,
        "title": "Take credits back",
        "what": what,
        "back": (credit.wallet.customer.name, reverse("contracts:wallet", args=[credit.wallet_id])),
        "button": "Take back",
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("contracts.set_low_credits", methods=("GET", "POST"))
def low(request: Asked, wallet_id: int) -> HttpResponse:
    """Say below which amount customer and team are told."""
    found = queries.wallet(wallet_id, on=_today(wallet_id))
    scale = 10 ** exponent(found.currency)
    form = LowForm(request.POST or None, initial={"low": found.low_minor / scale if found.low_minor else None})
    if form.is_valid():
        said = form.cleaned_data["low"]
        try:
            wallets.set_low_credits(
                actor=request.actor, wallet_id=found.pk, low_minor=None if said is None else int(said * scale)
            )
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(
                request, "Customer and team are told once when less can be used." if said else "Nobody is told any more."
            )
            return redirect("contracts:wallet", found.pk)
    context = {
        "form": form,
        "title": "When credits run low",
        "back": (found.customer.name, reverse("contracts:wallet", args=[found.pk])),
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("contracts.pay_from_credits", methods=("POST",))
def pay(request: Asked, invoice_id: int) -> HttpResponse:
    """Pay an open invoice from credits."""
    entity, currency = _of_document(invoice_id)
    paid = wallets.pay_from_credits(actor=request.actor, invoice_id=invoice_id, on=clock.today(entity.time_zone))
    messages.success(request, f"{format_amount(paid, currency)} {currency} is paid from credits.")
    return redirect("billing:invoice", invoice_id)


@page("contracts.put_credits_back", methods=("POST",))
def put_back(request: Asked, invoice_id: int) -> HttpResponse:
    """Undo that credits paid an invoice."""
    entity, currency = _of_document(invoice_id)
    back = wallets.put_credits_back(
        actor=request.actor,
        invoice_id=invoice_id,
        on=clock.today(entity.time_zone),
        because=request.POST.get("because", "")[:300],
    )
    messages.success(request, f"{format_amount(back, currency)} {currency} is credits again, and open on the invoice.")
    return redirect("billing:invoice", invoice_id)


@page("contracts.return_credits", methods=("POST",))
def give_back(request: Asked, invoice_id: int) -> HttpResponse:
    """Have a credit note give back the credits that paid what it credits."""
    entity, currency = _of_document(invoice_id)
    back = wallets.return_credits(actor=request.actor, credit_note_id=invoice_id, on=clock.today(entity.time_zone))
    if back:
        messages.success(request, f"{format_amount(back, currency)} {currency} is credits again.")
    else:
        messages.error(request, "Credits paid nothing of what it credits, or all of it is back.")
    return redirect("billing:invoice", invoice_id)


# --- parts ---
def _form(request: Asked, form: Any, title: str, what: str, button: str) -> HttpResponse:
    context = {"form": form, "title": title, "what": what, "back": ("Credits", reverse("contracts:wallets")), "button": button}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _initial(request: Asked, entity: Entity) -> dict[str, Any]:
    asked = request.GET.get("customer", "")
    known = Customer.objects.filter(pk=int(asked)).first() if asked.isdigit() and len(asked) < 19 else None
    return {"customer": known.number if known else "", "currency": known.currency if known else entity.currency}


def _credit(c: Credit, today: date, *, may: bool) -> dict[str, Any]:
    left = ""
    if c.unit_name and c.units_micro:
        left = f"{c.units_micro / 10**6 * c.left_minor / c.amount_minor:,.6g} of {c.units_micro / 10**6:,g} {c.unit_name}"
    what = ", ".join(queries.kind_names(c.pays_for)) or "everything"
    carried = (
        f"{c.rollover_ppm / 10_000:g} %"
        + (f", at most {format_amount(c.rollover_cap_minor, c.wallet.currency)}" if c.rollover_cap_minor is not None else "")
        if c.rollover_ppm
        else ""
    )
    return {
        "name": c.name, "kind": "bought" if c.is_paid else "given", "amount_minor": c.amount_minor, "left_minor": c.left_minor, "currency": c.wallet.currency, "units": left, "priority": c.priority, "pays_for": what + (f" of {c.contract.number}" if c.contract else ""),
        "starts_on": c.starts_on, "expires_on": c.expires_on, "carried": carried, "invoice": c.invoice.number if c.invoice else "", "invoice_url": reverse("billing:invoice", args=[c.invoice_id]) if c.invoice_id else "",
        "action": "Take back" if may and c.left_minor else "over" if c.closed_on else "to come" if c.starts_on > today else "", "action_url": reverse("contracts:take_back_credits", args=[c.pk]) if may and c.left_minor else "",
    }  # fmt: skip


def _state(found: Any) -> str:
    return "low" if found.low_minor is not None and found.usable < found.low_minor else "" if found.usable else "empty"


def _today(wallet_id: int) -> date:
    zone = Wallet.objects.filter(pk=wallet_id).values_list("entity__time_zone", flat=True).first()
    if zone is None:
        raise NotFound(f"There is no wallet {wallet_id}.", field="wallet_id", remedy="See the list of credits.")
    return clock.today(zone)


def _of_document(invoice_id: int) -> tuple[Entity, str]:
    found = Invoice.objects.select_related("entity").filter(pk=invoice_id).first()
    if found is None:
        raise NotFound(f"There is no invoice {invoice_id}.", field="invoice_id")
    return found.entity, found.currency
