"""The collector's pages: the day's list, one customer's debt with its keys, and the board of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from functools import partial
from typing import Any
from urllib.parse import urlencode

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing.models import Invoice
from topline.books.company import company, day_asked
from topline.books.models import Entity
from topline.collections import actions, queries, reminders, worklist
from topline.collections import board as figures
from topline.collections.forms import (
    CallForm,
    DisputeForm,
    HoldForm,
    PlanForm,
    PromiseForm,
    ReasonForm,
    RemindForm,
    ResolveForm,
    SnoozeForm,
    WaysForm,
)
from topline.collections.letters import letters
from topline.collections.models import Dispute, PaymentPlan, Promise, Reminder
from topline.collections.trials import PAID_WITHIN_DAYS
from topline.collections.workspace import Debt, debt
from topline.engine import dunning
from topline.kernel import clock, money
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.market import actions as market_actions
from topline.market.models import Customer
from topline.receivables.trend import Point
from topline.team import queries as team
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.charts import Chart, lines_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

PARTS = dict.fromkeys(("instalments", "due_on", "amount_minor"), "parts")  # what a plan is refused for stands in one field
SHOW = {"": "Today", "waiting": "Waiting", "all": "All"}
LIST = [
    Column("customer", "Customer", sort="customer", link="url"), Column("step", "Next step"), Column("gain_minor", "Gain", "money", sort="gain_minor"),
    Column("overdue_minor", "Overdue", "money", sort="overdue_minor"), Column("open_minor", "Open", "money", sort="open_minor"),
    Column("oldest_days", "Oldest", "integer", sort="oldest_days"), Column("why", "Why", "sentence"),
    Column("expected_on", "Expected", "date", sort="expected_on"), Column("promised_on", "Promised", "date", sort="promised_on"),
    Column("disputed_minor", "Disputed", "money", sort="disputed_minor"), Column("contacted_on", "Last contact", "date", sort="contacted_on"),
]  # fmt: skip
ITEMS = [
    Column("number", "Document", "code", link="url"), Column("due_on", "Due", "date"), Column("late_days", "Days late", "integer"), Column("open_minor", "Open", "money"), Column("currency", ""),
    Column("expected", "Expected, and why"), Column("said", "Said"), Column("interest_minor", "Interest", "money"),
]  # fmt: skip


@dataclass(frozen=True)
class Verb:
    """Something to do about a customer: its key, words, permission and form; `does` carries it out and says so in a sentence."""

    name: str
    key: str
    label: str
    button: str
    permission: str
    form: Callable[..., forms.Form]
    does: Callable[[Asked, Entity, Debt, dict[str, Any]], str]


@page("collections.view")
def day_list(request: Asked) -> HttpResponse:
    """One row a customer: whom to act on today, best first, and who waits and why."""
    entity = company(request)
    as_of = day_asked(request, entity)
    state = listing(request.path, request.GET.dict(), columns=LIST, default_sort="rank", filters=["q", "owner", "show", "as_of"])
    show = state.filters.get("show", "")
    if show not in SHOW:
        raise Invalid(f"There is no list {show!r}.", field="show", remedy="Use today's, waiting or all.")
    everybody = worklist.worklist(entity=entity, as_of=as_of).with_row_index("rank")
    mine = worklist.owned(everybody, _owner(request))
    if wanted := state.filters.get("q"):
        mine = mine.filter(pl.col("customer").str.to_lowercase().str.contains(wanted.lower(), literal=True))
    counts = {"": mine.filter(pl.col("waits") == "").height, "all": mine.height}
    counts["waiting"] = counts["all"] - counts[""]
    rows = {"": mine.filter(pl.col("waits") == ""), "waiting": mine.filter(pl.col("waits") != ""), "all": mine}[show]
    found = rows.sort(state.sort.lstrip("-"), descending=state.sort.startswith("-"), nulls_last=True, maintain_order=True)
    start, size = (0, MAX_ROWS) if state.export else (state.offset, state.size)
    query = _carried(request)
    shown = [
        {**r, "currency": entity.currency, "why": worklist.why(r, entity.currency), "url": reverse("collections:workspace", args=[r["customer_id"]]) + query,
         "disputed_minor": r["disputed_minor"] or None, "oldest_days": r["oldest_days"] or None, "gain_minor": r["gain_minor"] if r["chase_minor"] else None}
        for r in found.slice(start, size).to_dicts()
    ]  # fmt: skip
    if state.export:
        return export(shown, LIST, name=f"collections-{as_of}", form=state.export)
    unsaid = [
        name for name in ("promised_on", "disputed_minor") if state.sort.lstrip("-") != name and not any(r[name] for r in shown)
    ]
    state = replace(state, columns=[c for c in LIST if c.key not in unsaid])
    owners = sorted(
        {(i, n) for i, n in everybody.select("owner_id", "owner").unique().iter_rows() if i is not None}, key=lambda o: o[1]
    )
    context = {
        "list": state, "rows": shown, "total": rows.height, "entity": entity, "as_of": as_of, "show": show, "tabs": [(k, label, counts[k]) for k, label in SHOW.items()],
        "owners": owners, "sums": {k: int(rows[k].sum()) for k in ("overdue_minor", "sooner_minor")}, "first": shown[0]["url"] if shown and not show else "",
        "within": worklist.WITHIN_DAYS,
    }  # fmt: skip
    return render(request, "collections/worklist.html", context)


@page("collections.view")
def workspace(request: Asked, customer_id: int) -> HttpResponse:
    """One customer's debt: documents with when they are expected and why, all that was said, the timeline, and the keys."""
    entity = company(request)
    as_of = day_asked(request, entity)
    listed = worklist.worklist(entity=entity, as_of=as_of)
    found = debt(entity=entity, customer_id=customer_id, as_of=as_of, listed=listed)
    customer = found.customer.customer
    order = worklist.todays(entity=entity, as_of=as_of, owner=_owner(request), listed=listed)
    query = _carried(request)
    place = order.index(customer.pk) if customer.pk in order else None
    after = next(iter(_following(order, customer.pk)), None)
    items = [
        {**i, "url": reverse("billing:invoice", args=[i["invoice_id"]]), "said": _said(i), "expected": _expected(i), "late_days": max(i["late_days"], 0) or None}
        for i in found.items
    ]  # fmt: skip
    at_home = all(i["currency"] == entity.currency for i in items)
    columns = [c for c in ITEMS if c.key not in ("said", "interest_minor") or any(i[c.key] for i in items)]
    columns = [c for c in columns if c.key != "currency" or not at_home]
    context = {
        "debt": found, "customer": customer, "as_of": as_of, "home": entity.currency, "items": items, "columns": columns, "query": query, "place": place, "count": len(order),
        "why": worklist.why(found.row, entity.currency) if found.row else "Nothing is open.",
        "next": reverse("collections:workspace", args=[after]) + query if after is not None else "",
        "hold": found.hold and {**found.hold, "who": team.actor_names([found.hold["actor_key"]])[found.hold["actor_key"]]},
        "verbs": list(_verbs(request, entity, found)), "spine": _linked(found.spine), "tasks": team.tasks(about=("customer", customer.pk), limit=10),
        "case_id": found.case_id,
        "to_decide": bool(found.row and found.row["step"].startswith("Decide on:")),
        "is_snoozed": bool(found.desk and found.desk.snoozed_until and found.desk.snoozed_until > as_of),
    }  # fmt: skip
    return render(request, "collections/workspace.html", context)


@page("collections.log_contact", methods=("GET", "POST"))
def call(request: Asked, customer_id: int) -> HttpResponse:
    """Log a call or another contact."""
    return _act(request, customer_id, "call")


@page("collections.record_promise", methods=("GET", "POST"))
def promise(request: Asked, customer_id: int) -> HttpResponse:
    """Write a promise down."""
    return _act(request, customer_id, "promise")


@page("collections.raise_dispute", methods=("GET", "POST"))
def dispute(request: Asked, customer_id: int) -> HttpResponse:
    """Write a dispute down."""
    return _act(request, customer_id, "dispute")


@page("collections.agree_plan", methods=("GET", "POST"))
def plan(request: Asked, customer_id: int) -> HttpResponse:
    """Agree a payment plan."""
    return _act(request, customer_id, "plan")


@page("collections.remind_customer", methods=("GET", "POST"))
def remind(request: Asked, customer_id: int) -> HttpResponse:
    """Send a letter of the ladder."""
    return _act(request, customer_id, "remind")


@page("market.change_customer", methods=("GET", "POST"))
def hold(request: Asked, customer_id: int) -> HttpResponse:
    """Put on credit hold, or release."""
    return _act(request, customer_id, "hold")


@page("collections.set_desk", methods=("GET", "POST"))
def snooze(request: Asked, customer_id: int) -> HttpResponse:
    """Put off until a day."""
    return _act(request, customer_id, "snooze")


@page("collections.resolve_dispute", methods=("GET", "POST"))
def resolve(request: Asked, dispute_id: int) -> HttpResponse:
    """End a dispute."""
    found = Dispute.objects.select_related("invoice__customer").filter(pk=dispute_id).first()
    if found is None:
        raise NotFound(f"There is no dispute {dispute_id}.", field="dispute_id")
    notes = (
        Invoice.objects.filter(corrects_id=found.invoice_id, kind=Invoice.Kind.CREDIT_NOTE).exclude(number=None).order_by("-id")
    )
    form = ResolveForm(request.POST or None, notes=[(pk, number or "") for pk, number in notes.values_list("id", "number")[:50]])
    back = reverse("collections:workspace", args=[found.invoice.customer_id])
    if form.is_valid():
        try:
            actions.resolve_dispute(
                actor=request.actor,
                dispute_id=dispute_id,
                resolved_on=clock.today(company(request).time_zone),
                **form.cleaned_data,
            )
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, "The dispute is resolved.")
            return redirect(back)
    context = {
        "form": form,
        "title": f"Resolve the dispute of {found.invoice.number}",
        "back": (found.invoice.customer.name, back),
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("collections.withdraw_promise", methods=("GET", "POST"))
def withdraw_promise(request: Asked, promise_id: int) -> HttpResponse:
    """Take an open promise back, and say why."""
    found = Promise.objects.select_related("customer").filter(pk=promise_id).first()
    if found is None:
        raise NotFound(f"There is no promise {promise_id}.", field="promise_id")
    title = f"Withdraw the promise of {money.Money(found.amount_minor, found.currency)} by {_day(found.due_on)}"
    return _ended(
        request, found.customer, title, "The promise is withdrawn.", partial(actions.withdraw_promise, promise_id=promise_id)
    )


@page("collections.cancel_plan", methods=("GET", "POST"))
def cancel_plan(request: Asked, plan_id: int) -> HttpResponse:
    """End a payment plan by agreement, and say why; its invoices are due as they were."""
    found = PaymentPlan.objects.select_related("customer").filter(pk=plan_id).first()
    if found is None:
        raise NotFound(f"There is no plan {plan_id}.", field="plan_id")
    title = f"End the plan over {money.Money(found.total_minor, found.currency)}"
    said = "The plan has ended; its invoices are due as they were."
    return _ended(request, found.customer, title, said, partial(actions.cancel_plan, plan_id=plan_id))


@page("collections.release_reminder", methods=("POST",))
def release(request: Asked, reminder_id: int) -> HttpResponse:
    """Let a held reminder go."""
    reminders.release_reminder(actor=request.actor, reminder_id=reminder_id)
    messages.success(request, "It leaves at the next allowed hour.")
    return redirect("collections:workspace", _addressee(reminder_id))


@page("collections.drop_reminder", methods=("POST",))
def drop(request: Asked, reminder_id: int) -> HttpResponse:
    """Not send a held reminder."""
    reminders.drop_reminder(actor=request.actor, reminder_id=reminder_id, reason=f"Dropped by {request.actor.name}.")
    messages.success(request, "It is not sent.")
    return redirect("collections:workspace", _addressee(reminder_id))


@page("collections.send_offer", methods=("POST",))
def write_offer(request: Asked, customer_id: int, offer_id: int) -> HttpResponse:
    """Write a running offer to its customer."""
    try:
        reminders.send_offer(actor=request.actor, offer_id=offer_id, on=clock.today(company(request).time_zone))
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "It is written, and leaves at the next allowed hour.")
    return redirect("collections:workspace", customer_id)


@page("collections.view")
def board(request: Asked) -> HttpResponse:
    """How collecting goes: figures of the day, and what each week brought."""
    entity = company(request)
    as_of, owner = day_asked(request, entity), request.GET.get("owner", "")
    if owner and not owner.isdigit():
        raise Invalid(f"{owner!r} is no member.", field="owner", remedy="Follow a link of the board.")
    found = figures.board(entity=entity, as_of=as_of, owner_id=int(owner) if owner else None)
    named = next((row["owner"] for row in found.owners if str(row["owner_id"]) == owner), "")
    if owner and not named:
        raise NotFound(
            "This member owns no customer who owes or bought anything.", field="owner", remedy="Look at the whole company."
        )
    return render(
        request,
        "collections/board.html",
        {
            "found": found, "owner": owner, "named": named, "charts": _trend_charts(found.trend), "as_of": as_of, "home": entity.currency, "paid_within": PAID_WITHIN_DAYS,
            "may_set": request.actor.may("collections.set_policy"),
        },
    )  # fmt: skip


@page("collections.set_policy", methods=("GET", "POST"))
def ways(request: Asked) -> HttpResponse:
    """Name a second, near-equal way of a step, and let chance deal customers between the two, or stop it."""
    entity = company(request)
    steps = {
        f"{policy.segment}/{step.key}": f"{step.key}{f' ({policy.segment})' if policy.segment else ''}: {dunning.in_words(step.ways[0])}"
        for policy in queries.policies(entity_id=entity.pk)
        for step in dunning.parse_steps(policy.steps)
        if step.channel != "handover" and not step.needs_approval
    }
    form = WaysForm(request.POST or None, steps=list(steps.items()), letters=letters())
    back = reverse("collections:board") + _carried(request)
    if form.is_valid():
        said = dict(form.cleaned_data)
        segment, _, key = said.pop("step").rpartition("/")
        randomised = said.pop("is_randomised")
        try:
            reminders.set_ways(
                actor=request.actor, entity_id=entity.pk, segment=segment, step=key, alternative=said, is_randomised=randomised
            )
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(
                request, f"The ways of step {key} are set." + (" Chance deals them from now on." if randomised else "")
            )
            return redirect(back)
    context = {"form": form, "title": "Two ways of a step", "back": ("Collections board", back)}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _trend_charts(points: list[Point]) -> list[Chart | None]:
    """The weeks as two drawings: days of sales, and effectiveness in percent."""
    days = [("DSO", "dso"), ("Best possible", "best_possible"), ("Days lost", "days_delinquent")]

    def drawn(series: list[tuple[str, str]], title: str, y_title: str) -> Chart | None:
        told = [{"day": p.on, **{label: getattr(p, name) for label, name in series}} for p in points]
        rows = [{k: float(v) if isinstance(v, Fraction) else v for k, v in row.items()} for row in told]
        shown = [{**row, **{f"{s} shown": "–" if row[s] is None else f"{row[s]:.1f}" for s, _ in series}} for row in rows]
        labels = [label for label, _ in series]
        return lines_chart(
            shown,
            x="day",
            series=labels,
            title=title,
            y_title=y_title,
            shown={label: f"{label} shown" for label in labels},
            height=200,
        )

    return [
        drawn(days, "Days of sales by week", "days"),
        drawn([("Effectiveness", "effectiveness")], "Collection effectiveness by week", "%"),
    ]


def _log_call(request: Asked, entity: Entity, found: Debt, said: dict[str, Any]) -> str:
    actions.log_contact(actor=request.actor, **_whom(entity, found), occurred_on=found.as_of, **said)
    return "The contact is logged."


def _promise(request: Asked, entity: Entity, found: Debt, said: dict[str, Any]) -> str:
    """A promise covers what is not promised yet: what is overdue first, the oldest document first, and then what is not yet due.

    In the place of an older promise it covers what that one covered first.
    """
    older = queries.promise_items(said["instead"]) if said.get("instead") else {}
    known = {i["invoice_id"] for i in found.items if i["currency"] == said["currency"]}
    open_of = {invoice_id: amount for invoice_id, amount in older.items() if invoice_id in known}
    for item in found.promisable:
        if item["currency"] == said["currency"]:
            open_of[item["invoice_id"]] = open_of.get(item["invoice_id"], 0) + item["ask_minor"]
    left, links = said["amount_minor"], []
    for invoice_id, amount in open_of.items():
        if (part := min(left, amount)) > 0:
            links.append((invoice_id, part))
            left -= part
    if left > 0:
        free = money.Money(sum(open_of.values()), said["currency"])
        remedy = (
            "Say which promise it takes the place of, or write down less."
            if found.standing_promises and not older
            else "Write down less."
        )
        raise actions.NotOwed(
            f"More is promised than is open: {free} is neither disputed nor promised nor in a plan.",
            field="amount",
            remedy=remedy,
        )
    items = pl.DataFrame(links, schema={"invoice_id": pl.Int64, "amount_minor": pl.Int64}, orient="row")
    actions.record_promise(
        actor=request.actor, **_whom(entity, found), due_on=said["due_on"], items=items, made_on=found.as_of, note=said["note"],
        channel=said["channel"], replaces=[said["instead"]] if older else [],
    )  # fmt: skip
    return "The promise is written down."


def _dispute(request: Asked, entity: Entity, found: Debt, said: dict[str, Any]) -> str:
    actions.raise_dispute(actor=request.actor, raised_on=found.as_of, owner_id=request.actor.member_id, **said)
    return "The dispute is written down; the rest stays due."


def _plan(request: Asked, entity: Entity, found: Debt, said: dict[str, Any]) -> str:
    taken = next(r for r in found.plannable if r["currency"] == said["currency"])
    parts = pl.DataFrame(said["parts"], schema={"due_on": pl.Date, "amount_minor": pl.Int64})
    if parts.is_empty():
        raise Invalid("A plan needs at least one part.", field="parts", remedy="Write the day and the amount of each.")
    actions.agree_plan(
        actor=request.actor, **_whom(entity, found), invoice_ids=taken["invoice_ids"], instalments=parts, agreed_on=found.as_of,
        grace_days=said["grace_days"], note=said["note"], channel=said["channel"],
    )  # fmt: skip
    return f"The plan of {parts.height} part{'s' if parts.height > 1 else ''} is agreed."


def _remind(request: Asked, entity: Entity, found: Debt, said: dict[str, Any]) -> str:
    reminders.remind_customer(actor=request.actor, **_whom(entity, found), as_of=found.as_of, **said)
    return "The reminder leaves at the next allowed hour."


def _hold(request: Asked, entity: Entity, found: Debt, said: dict[str, Any]) -> str:
    customer = found.customer.customer
    market_actions.change_customer(
        actor=request.actor, customer_id=customer.pk, changes={"is_on_hold": not customer.is_on_hold}, reason=said["reason"]
    )
    return "The credit hold is released." if customer.is_on_hold else "On credit hold."


def _snooze(request: Asked, entity: Entity, found: Debt, said: dict[str, Any]) -> str:
    actions.set_desk(actor=request.actor, **_whom(entity, found), **said)
    return f"Put off until {_day(said['snoozed_until'])}." if said["snoozed_until"] else "Back on the list."


VERBS = {
    v.name: v
    for v in [
        Verb("call", "c", "Log a call", "Save", "collections.log_contact", CallForm, _log_call),
        Verb("promise", "p", "Promise", "Save", "collections.record_promise", PromiseForm, _promise),
        Verb("dispute", "d", "Dispute", "Save", "collections.raise_dispute", DisputeForm, _dispute),
        Verb("plan", "l", "Payment plan", "Agree", "collections.agree_plan", PlanForm, _plan),
        Verb("remind", "s", "Send a reminder", "Send", "collections.remind_customer", RemindForm, _remind),
        Verb("hold", "h", "Credit hold", "Put on hold", "market.change_customer", HoldForm, _hold),
        Verb("snooze", "z", "Snooze", "Save", "collections.set_desk", SnoozeForm, _snooze),
    ]
}


def _act(request: Asked, customer_id: int, name: str) -> HttpResponse:
    """Show a verb's form, or carry it out and open the next customer of the day's list."""
    entity, verb = company(request), VERBS[name]
    as_of, owner = clock.today(entity.time_zone), _owner(request)
    found = debt(entity=entity, customer_id=customer_id, as_of=as_of)
    customer = found.customer.customer
    form = _form(verb, entity, found, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        following = _following(worklist.todays(entity=entity, as_of=as_of, owner=owner), customer.pk)
        try:
            said = verb.does(request, entity, found, form.cleaned_data)
        except DomainError as error:
            blame(form, error, PARTS if verb.name == "plan" else {"amount_minor": "amount"})
        else:
            still = set(worklist.todays(entity=entity, as_of=as_of, owner=owner))
            after = next((c for c in following if c in still), None)
            messages.success(request, f"{customer.name}: {said}" + ("" if after else " The day's list is done."))
            there = reverse("collections:workspace", args=[after]) if after else reverse("collections:worklist")
            return redirect(there + _carried(request))
    back = (customer.name, reverse("collections:workspace", args=[customer.pk]) + _carried(request))
    context = {"form": form, "title": f"{_label(verb, found)}: {customer.name}", "back": back, "button": _button(verb, found)}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _verbs(request: Asked, entity: Entity, found: Debt) -> Iterator[dict[str, Any]]:
    """The verbs that the actor may use, each with its form; the one that the next step asks for is first among equals."""
    wanted = "remind" if found.row and found.row["step"].startswith("Send the") else "call"
    for verb in VERBS.values():
        if request.actor.may(verb.permission):
            form = _form(verb, entity, found, None)
            yield {
                "name": verb.name,
                "key": verb.key,
                "label": _label(verb, found),
                "button": _button(verb, found),
                "form": form,
                "is_wanted": verb.name == wanted,
            }


def _form(verb: Verb, entity: Entity, found: Debt, data: Any) -> forms.Form:
    more = {"ladder": reminders.ladder_of(entity.pk, found.customer.customer.segment)} if verb.name == "remind" else {}
    return verb.form(data, debt=found, auto_id=f"{verb.name}_%s", **more)


def _label(verb: Verb, found: Debt) -> str:
    return "Release the hold" if verb.name == "hold" and found.customer.customer.is_on_hold else verb.label


def _button(verb: Verb, found: Debt) -> str:
    return "Release" if verb.name == "hold" and found.customer.customer.is_on_hold else verb.button


def _following(order: list[int], customer_id: int) -> list[int]:
    """The day's list from the place after a customer on, around to the place before."""
    if customer_id not in order:
        return order
    place = order.index(customer_id)
    return [*order[place + 1 :], *order[:place]]


def _whom(entity: Entity, found: Debt) -> dict[str, Any]:
    return {"entity_id": entity.pk, "customer_id": found.customer.customer.pk}


def _owner(request: Asked) -> str:
    """Whose customers are looked at. Raises: Invalid."""
    owner = request.GET.get("owner", "")
    if owner and owner != "none" and not (owner.isdecimal() and len(owner) < 18):
        raise Invalid(f"{owner!r} is no member.", field="owner", remedy="Choose an owner from the list.")
    return owner


def _carried(request: Asked) -> str:
    """The part of the address that stays while one works through the list."""
    kept = {k: request.GET[k] for k in ("owner", "company") if request.GET.get(k)}
    return f"?{urlencode(kept)}" if kept else ""


def _ended(request: Asked, customer: Customer, title: str, said: str, ends: Callable[..., int]) -> HttpResponse:
    """Ask why something that was agreed with a customer ends, end it, and say so on their page."""
    form = ReasonForm(request.POST or None)
    back = reverse("collections:workspace", args=[customer.pk]) + _carried(request)
    if form.is_valid():
        try:
            ends(actor=request.actor, on=clock.today(company(request).time_zone), reason=form.cleaned_data["reason"])
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, said)
            return redirect(back)
    context = {"form": form, "title": title, "back": (customer.name, back), "button": title.split(maxsplit=1)[0]}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _addressee(reminder_id: int) -> int:
    return Reminder.objects.values_list("customer_id", flat=True).get(pk=reminder_id)


def _expected(item: dict[str, Any]) -> str:
    day: date | None = item["expected_on"]
    told = _day(day) if day else "later" if item["is_foreseen"] else "–"
    return f"{told}: {item['reason']}" if item["reason"] else told


def _day(day: date) -> str:
    return f"{day.day}\u00a0{day:%b}\u00a0{day.year}"


def _said(item: dict[str, Any]) -> str:
    """What stands about a document in words."""
    days: list[date] = item["promised_days"]
    part = " in part" if item["promised_minor"] < item["open_minor"] - item["disputed_minor"] else ""
    by = " and ".join(f"{day.day} {day:%b}" for day in dict.fromkeys(days))
    told = [f"promised{part} by {by}"] if days and item["promised_minor"] else []
    told += (
        ["in litigation"]
        if item["in_court"]
        else ["disputed in full" if item["disputed_minor"] == item["open_minor"] else "disputed in part"]
        if item["disputed_minor"]
        else []
    )
    return ", ".join([*told, *(["in a plan"] if item["is_planned"] else [])])


def _linked(spine: pl.DataFrame) -> list[dict[str, Any]]:
    """Milestones with the address of the document they are about, and who acted."""
    names = {
        "invoice": "billing:invoice",
        "credit_note": "billing:invoice",
        "payment": "receivables:payment",
        "case": "cases:case",
    }
    who = team.actor_names(spine["actor_key"].unique().to_list())
    return [
        {
            **m,
            "who": who[m["actor_key"]],
            "url": reverse(names[m["subject_kind"]], args=[m["subject_id"]]) if m["subject_kind"] in names else "",
        }
        for m in spine.to_dicts()
    ]
