"""Billing schedules: what is billed next of them and what waits to be accepted, one item's parts, whether all adds up; and what a customer accepts on a link."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing import delivery
from topline.books.company import company
from topline.contracts import queries, schedules
from topline.contracts.forms import ScheduleForm, parts_as_text
from topline.contracts.models import Item, SchedulePart
from topline.kernel import clock
from topline.kernel.errors import DomainError, NotFound
from topline.kernel.money import format_amount
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.links import linked
from topline.ui.tables import Column

OPEN = [
    Column("contract", "Contract", "code", link="url"),
    Column("customer", "Customer"),
    Column("item", "What"),
    Column("description", "Part"),
    Column("due_on", "Billed on", "date"),
    Column("amount_minor", "Net", "money"),
    Column("currency", ""),
    Column("asked", "Asked", "date"),
]
WAITING = [Column("expected_on", "Expected", "date") if c.key == "due_on" else c for c in OPEN]  # fmt: skip
OFF = [
    Column("contract", "Contract", "code", link="url"), Column("what", "What"), Column("agreed_minor", "Agreed", "money"), Column("schedule_minor", "Billed in all", "money"), Column("off_minor", "Off by", "money"), Column("currency", ""),
]  # fmt: skip
SHOWN = 200
milestone_link = functools.partial(linked, schedules.by_token, "contracts/link_refusal.html")


@page("contracts.view")
def schedule_list(request: Asked) -> HttpResponse:
    """Parts that are not billed yet, milestones apart, and the contracts whose billing does not add up to what was agreed."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    open_parts = schedules.open_parts(entity_id=entity.pk)
    dated = [_row(part) for part in open_parts.filter(due_on__gt=today)[:SHOWN]]
    waiting = [_row(part) for part in open_parts.filter(due_on__isnull=True)[:SHOWN]]
    off = queries.out_of_balance(entity_id=entity.pk).head(SHOWN).to_dicts()
    rows = [
        {**r, "off_minor": r["schedule_minor"] - r["agreed_minor"], "url": reverse("contracts:contract", args=[r["contract_id"]])}
        for r in off
    ]
    context = {
        "dated": dated,
        "waiting": waiting,
        "off": rows,
        "columns": [c for c in OPEN if c.key != "asked"],
        "waiting_columns": WAITING,
        "off_columns": OFF,
        "today": today,
    }
    return render(request, "contracts/schedules.html", context)


@page("contracts.set_schedule", methods=("GET", "POST"))
def schedule(request: Asked, item_id: int) -> HttpResponse:
    """Say in which parts an item is billed; the form tells when they do not add up to it."""
    item = Item.objects.select_related("contract__customer").filter(pk=item_id).first()
    if item is None:
        raise NotFound(f"There is no item {item_id}.", field="item_id")
    currency = item.contract.currency
    known = schedules.of_contract(item.contract_id)
    mine = [part for part in known if part["item_id"] == item.pk]
    form = ScheduleForm(
        request.POST or None, initial={"parts": parts_as_text([p for p in mine if p["state"] == "open"], currency)}
    )
    if form.is_valid():
        try:
            made = schedules.set_schedule(actor=request.actor, item_id=item.pk, parts=form.said(currency))
        except DomainError as error:
            blame(form, error, {"item_id": "parts"})
        else:
            messages.success(request, f"{item.description} is billed in {made} parts.")
            return redirect("contracts:contract", item.contract_id)
    fixed = [part for part in mine if part["state"] != "open"]
    context = {
        "form": form, "item": item, "contract": item.contract, "whole": schedules.value_of(item), "fixed": fixed, "fixed_minor": sum(part["amount_minor"] for part in fixed)
    }  # fmt: skip
    return render(request, "contracts/schedule.html", context, status=400 if form.errors else 200)


@page("contracts.accept_milestone", methods=("POST",))
def accept(request: Asked, part_id: int) -> HttpResponse:
    """The customer said that a milestone is accepted."""
    part = _part(part_id)
    on = clock.today(part.item.contract.entity.time_zone)
    schedules.accept_milestone(actor=request.actor, part_id=part.pk, on=on, accepted_by=request.POST.get("accepted_by", ""))
    messages.success(request, f"{part.description} is accepted; the next bill run bills it.")
    return redirect("contracts:contract", part.item.contract_id)


@page("contracts.withdraw_acceptance", methods=("POST",))
def withdraw(request: Asked, part_id: int) -> HttpResponse:
    """An acceptance was a mistake."""
    part = _part(part_id)
    schedules.withdraw_acceptance(actor=request.actor, part_id=part.pk, because=request.POST.get("because", ""))
    messages.success(request, f"{part.description} is open again; what was billed for it is given back by the next run.")
    return redirect("contracts:contract", part.item.contract_id)


@page("contracts.drop_part", methods=("POST",))
def drop(request: Asked, part_id: int) -> HttpResponse:
    """A part will never be billed."""
    part = _part(part_id)
    schedules.drop_part(actor=request.actor, part_id=part.pk, because=request.POST.get("because", ""))
    messages.success(request, f"{part.description} will not be billed.")
    return redirect("contracts:contract", part.item.contract_id)


@page("contracts.ask_acceptance", methods=("POST",))
def ask(request: Asked, part_id: int) -> HttpResponse:
    """Ask the customer by e-mail: the contact for invoices, unless another address is said."""
    part = _part(part_id)
    contact = delivery.contact_for_invoices(part.item.contract.customer_id)
    address = request.POST.get("recipient", "").strip() or (contact.email if contact else "")
    schedules.ask_acceptance(actor=request.actor, part_id=part.pk, recipient=address)
    messages.success(request, f"{address} is asked to accept {part.description}.")
    return redirect("contracts:contract", part.item.contract_id)


@milestone_link("GET", "HEAD", "POST")
def milestone(request: HttpRequest, found: SchedulePart) -> HttpResponse:
    """What is to be accepted, by whoever holds the link: what it is, what it comes to, and a name. Nobody signs in."""
    problem, status = "", 200
    if request.method == "POST":
        try:
            _agreed(request, found)
        except DomainError as error:
            problem, status = f"{error.message} {error.remedy}", error.status
        else:
            return redirect("milestone_link:milestone", found.token)
    context = {"part": found, "contract": found.item.contract, "problem": problem, "given": request.POST.get("name", "")}
    return render(request, "contracts/milestone_link.html", context, status=status)


def shown_parts(contract_id: int, currency: str) -> list[dict[str, Any]]:
    """The schedules of a contract as its page shows them."""
    return [
        {**part, "amount": format_amount(part["amount_minor"], currency), "link": reverse("milestone_link:milestone", args=[part["token"]]) if part["token"] and part["state"] == "open" else "",
         "when": part["due_on"] or part["accepted_on"]}
        for part in schedules.of_contract(contract_id)
    ]  # fmt: skip


# --- parts ---
def _agreed(request: HttpRequest, part: SchedulePart) -> None:
    schedules.accept_milestone(
        actor=schedules.customer_behind(part), part_id=part.pk, on=clock.today(part.item.contract.entity.time_zone), accepted_by=request.POST.get("name", "")
    )  # fmt: skip


def _part(part_id: int) -> SchedulePart:
    found = SchedulePart.objects.select_related("item__contract__entity").filter(pk=part_id).first()
    if found is None:
        raise NotFound(f"There is no part {part_id}.", field="part_id")
    return found


def _row(part: SchedulePart) -> dict[str, Any]:
    contract = part.item.contract
    return {
        "contract": contract.number, "url": reverse("contracts:contract", args=[contract.pk]), "customer": contract.customer.name, "item": part.item.description, "description": part.description,
        "due_on": part.due_on, "expected_on": part.expected_on, "amount_minor": part.amount_minor, "currency": contract.currency, "asked": part.asked_at.date() if part.asked_at else None,
    }  # fmt: skip
