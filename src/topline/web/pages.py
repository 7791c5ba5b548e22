"""Pages that draw on many rooms: Today, a customer, search, the portal, and whether all is well."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from django import forms
from django.contrib import messages
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET
from django.views.defaults import page_not_found

from topline.billing import delivery
from topline.billing import queries as billing
from topline.billing.models import Delivery
from topline.books import rates
from topline.books.company import company, day_asked
from topline.contracts import schedules, wallet_queries
from topline.engine import aging as engine
from topline.kernel import clock, guards
from topline.kernel.actor import Actor
from topline.kernel.errors import DomainError, NotFound
from topline.kernel.models import OutboxMessage
from topline.kernel.money import format_amount, to_major
from topline.kernel.remember import Remembered
from topline.lifecycle import pages as lifecycle
from topline.market import queries as market
from topline.receivables import figures
from topline.team import actions as team_actions
from topline.team import queries as team
from topline.team.models import Member
from topline.timeline import queries as timeline
from topline.timeline.kinds import KINDS
from topline.treasury import lever_pages as levers
from topline.treasury.charts import cash_chart
from topline.ui.access import Asked, page, refusal
from topline.ui.charts import bar_chart
from topline.ui.export import export
from topline.ui.tables import Column
from topline.web import today as today_query
from topline.web.figures import FIGURES
from topline.web.figures import Asked as AskedFigure
from topline.web.search import search
from topline.web.waiting import approvals

SPINE = 30  # milestones on a customer's page before "Older"
ITEMS = [
    Column("number", "Document", link="url"), Column("issued_on", "Issued", "date"), Column("due_on", "Due", "date"), Column("age_days", "Days late", "integer"),
    Column("open_minor", "Open", "money"), Column("currency", ""),
]  # fmt: skip


ISSUED = [
    Column("number", "Document", link="url"), Column("issued_on", "Issued", "date"), Column("state", "State", "badge"), Column("total_minor", "Total", "money"), Column("currency", ""),
]  # fmt: skip
WAITING = [Column("what", "What", link="url"), Column("amount_minor", "Net", "money"), Column("currency", "")]
_PICTURES: Remembered[dict[str, Any]] = Remembered(size=16)


@page("team.account")
def home(request: Asked) -> HttpResponse:
    """Where a sign-in leads: a customer to their own account, everybody else to Today."""
    return redirect("web:today" if request.actor.may("web.today") else "web:portal")


@page("web.today")
def today(request: Asked) -> HttpResponse:
    """Who owes us, what is in the bank, is payroll covered: one page, every morning."""
    entity = company(request)
    as_of = day_asked(request, entity)
    context = {
        **_PICTURES.get((entity.pk, as_of), lambda: _picture(today_query.today(entity=entity, as_of=as_of))),
        "levers": levers.shown(request, entity),
        "tasks": team.tasks(assignee_id=request.actor.member_id, limit=6) if request.actor.member_id else [],
        "approvals": approvals(request.actor, entity_id=entity.pk),
        "step_urls": {
            "receivables": reverse("connect:imports"),
            "bank": reverse("connect:imports"),
            "payroll": reverse("connect:imports"),
            "outflows": reverse("treasury:cash"),
        },
    }
    return render(request, "web/today.html", context)


def _picture(found: today_query.Today) -> dict[str, Any]:
    """What Today shows of the company to everybody: figures and drawn charts."""
    home = found.entity.currency
    buckets = [
        {"bucket": str(b), "amount": float(to_major(m, home)), "shown": format_amount(m, home)}
        for c, b, _, m in found.aging.buckets.iter_rows()
        if c == home
    ]
    return {
        "found": found,
        "home": home,
        "cash_chart": cash_chart(found.forecast, found.outlook),
        "aging_chart": bar_chart(
            buckets, x="bucket", y="amount", title="Open receivables by days past due", y_title=home, shown="shown", height=170
        ),
        "owed": found.aging.total_minor(home),
        "rates_end": rates.last_day(),
    }


@page("market.view")
def customer(request: Asked, customer_id: int) -> HttpResponse:
    """Everything about one customer: what is open, how they pay, what happened."""
    entity = company(request)
    as_of = day_asked(request, entity)
    detail = market.customer_detail(customer_id)
    aged = figures.aged(entity_id=entity.pk, as_of=as_of, customer_ids=detail.ids)
    stage = request.GET.get("stage", "")
    if stage and stage not in {k.stage for k in KINDS.values()}:
        raise NotFound(f"There is no part {stage!r} of the timeline.", field="stage")
    may_see_money = request.actor.may("billing.view")
    ids = detail.ids if request.actor.may("timeline.view") else []
    spine = timeline.milestones(customer_ids=ids, stage=stage, limit=SPINE, older_than=_cursor(request.GET.get("older", "")))
    last = spine.row(-1, named=True) if spine.height == SPINE else None
    delays = figures.delays(entity_id=entity.pk, as_of=as_of).filter(pl.col("customer_id") == detail.customer.pk).to_dicts()
    rows = (
        [
            {**r, "age_days": _late(r), "url": reverse("billing:invoice", args=[r["invoice_id"]])}
            for r in aged.items.sort("due_on").head(200).to_dicts()
        ]
        if may_see_money
        else []
    )
    by_currency = (
        aged.customers.select("currency", *engine.labels(), "credits_minor", "unapplied_minor", "total_minor").to_dicts()
        if may_see_money
        else []
    )
    return render(
        request,
        "web/customer.html",
        {
            "detail": detail, "customer": detail.customer, "as_of": as_of, "rows": rows, "columns": ITEMS, "by_currency": by_currency, "labels": engine.labels(),
            "delay": delays[0] if delays else None, "spine": _linked(spine, actor=request.actor), "older": f"{last['occurred_on']}.{last['id']}" if last else "", "stage": stage, "standing": lifecycle.panel(request, detail.customer.pk, as_of),
            "stages": sorted({k.stage for k in KINDS.values()} - {"data", "bank"}),
            "wallets": wallet_queries.balance_of(detail.ids, entity_id=entity.pk, on=as_of) if request.actor.may("contracts.view") else [],
            "tasks": team.tasks(about=("customer", detail.customer.pk), limit=10), "statement_since": as_of - timedelta(days=365),
        },
    )  # fmt: skip


def _late(item: dict[str, Any]) -> int | None:
    """Days that an open document is late; a credit note never is."""
    return item["age_days"] if item["age_days"] > 0 and item["open_minor"] > 0 else None


def _cursor(text: str) -> tuple[date, int] | None:
    """The milestone after which to go on, as the link "Older" names it; none for anything else."""
    day, _, last = text.partition(".")
    try:
        return (date.fromisoformat(day), int(last)) if 0 < len(last) < 19 else None
    except ValueError:
        return None


@page("web.today")
def figures_page(request: Asked) -> HttpResponse:
    """The dictionary of figures: what each means and how it is made."""
    known = [d for d in FIGURES.values() if request.actor.may(d.permission)]
    return render(request, "web/figures.html", {"figures": known})


@page("web.today")
def figure(request: Asked, key: str) -> HttpResponse:
    """One figure explained: definition, formula, source, day, filters, and the rows that add up to it."""
    definition = FIGURES.get(key)
    if definition is None:
        raise NotFound(f"There is no figure {key!r}.", field="key", remedy="See the list of figures.")
    if not request.actor.may(definition.permission):
        return refusal(
            request, 403, "This figure is not for your role.", f"Ask an Owner for a role that allows {definition.permission}."
        )
    entity = company(request)
    as_of = day_asked(request, entity)
    params = request.GET.dict()
    found = definition.explain(AskedFigure(entity, as_of, params))
    for part in found.parts:
        for row in part.rows:
            row["currency"] = found.currency
    if (form := request.GET.get("export", "")) in ("csv", "xlsx"):
        rows = [row for part in found.parts for row in part.rows]
        return export(rows, found.parts[0].columns if found.parts else [], name=f"{key}-{as_of}", form=form)
    filters = {
        k: v for k, v in params.items() if k in ("customer", "owner", "currency", "invoice", "payment", "account", "bucket")
    }
    names = market.names([int(filters["customer"])]) if filters.get("customer", "").isdigit() else {}
    if names:
        filters["customer"] = next(iter(names.values()))
    if filters.get("owner", "").isdigit():
        filters["owner"] = team.actor_names([f"member:{filters['owner']}"])[f"member:{filters['owner']}"]
    context = {"definition": definition, "found": found, "as_of": as_of, "filters": filters, "query": request.GET.urlencode()}
    return render(request, "web/figure.html", context)


@page("web.portal")
def portal(request: Asked) -> HttpResponse:
    """What a customer sees of their own: open documents, all others, and what happened to them."""
    entity = company(request)
    as_of = clock.today(entity.time_zone)
    if request.actor.customer_id is None:
        raise NotFound("Your account belongs to no customer.", remedy="Ask the people who invited you.")
    detail = market.customer_detail(request.actor.customer_id)
    aged = figures.aged(entity_id=entity.pk, as_of=as_of, customer_ids=detail.ids)
    spine = timeline.milestones(customer_ids=detail.ids, only_visible_to_customer=True, limit=60)
    shown = aged.items.sort("due_on").head(200).to_dicts()
    rows = [{**r, "age_days": _late(r), "url": reverse("web:portal_document", args=[r["invoice_id"]])} for r in shown]  # fmt: skip
    issued = [{**d, "state": d["state"].replace("_", " "), "url": reverse("web:portal_document", args=[d["id"]])} for d in billing.issued_to(detail.ids, limit=100)]  # fmt: skip
    waiting = [
        {"what": f"{p.item.description}: {p.description}", "amount_minor": p.amount_minor, "currency": p.item.contract.currency, "url": reverse("milestone_link:milestone", args=[p.token])}
        for p in schedules.open_parts(entity_id=entity.pk, customer_ids=detail.ids).filter(due_on__isnull=True)[:200]
    ]  # fmt: skip
    return render(
        request,
        "web/portal.html",
        {
            "customer": detail.customer,
            "entity": entity,
            "rows": rows,
            "columns": ITEMS,
            "issued": issued,
            "issued_columns": ISSUED,
            "waiting": waiting,
            "waiting_columns": WAITING,
            "wallets": wallet_queries.balance_of(detail.ids, entity_id=entity.pk, on=as_of),
            "spine": [{**m, "visible_to_customer": False} for m in _linked(spine, actor=None)],  # here all of it is theirs to see
        },
    )


class SignInForm(forms.Form):
    """Somebody of a customer who may sign in."""

    name = forms.CharField(max_length=200)
    email = forms.EmailField()
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), help_text="at least 12 characters; they can change it")  # fmt: skip


@page("team.add_member", methods=("GET", "POST"))
def sign_ins(request: Asked, customer_id: int) -> HttpResponse:
    """Who of a customer may sign in to read their documents; let somebody."""
    detail = market.customer_detail(customer_id)
    known = team.members_of(detail.ids)
    taken = {m.email for m in known}
    person = next((c for c in detail.contacts if c.email and c.email.lower() not in taken), None)
    form = SignInForm(request.POST or None, initial={"name": person.name, "email": person.email} if person else {})
    if form.is_valid():
        try:
            team_actions.add_member(actor=request.actor, roles=["Customer"], customer_id=detail.customer.pk, **form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(
                request, f"{form.cleaned_data['name']} can sign in now, and sees what is {detail.customer.name}'s alone."
            )
            return redirect("web:sign_ins", detail.customer.pk)
    context = {"form": form, "customer": detail.customer, "known": known}
    return render(request, "web/sign_ins.html", context, status=400 if form.errors else 200)


@page("web.portal")
def portal_document(request: Asked, invoice_id: int) -> HttpResponse:
    """A document of the customer who signed in, on its link: to read, to download, to pay."""
    actor, reader = delivery.customer_in_portal(request.actor), Member.objects.get(pk=request.actor.member_id or 0).email
    opened = delivery.open_document(actor=actor, invoice_id=invoice_id, reader=reader)
    return redirect("invoice_link:document", Delivery.objects.get(pk=opened).token)


@page("web.today")
def find(request: Asked) -> HttpResponse:
    """Results for the command palette."""
    return JsonResponse({"results": search(request.actor, request.GET.get("q", "")[:100])})


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """Ready to work: database reachable and migrated, guards in place, outbox moving."""
    problems = []
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            problems.append("migrations wait")
        problems += [f"guard missing: {name}" for name in guards.missing_guards()]
        stuck = clock.now() - timedelta(hours=1)
        if OutboxMessage.objects.filter(state=OutboxMessage.State.WAITING, available_at__lt=stuck).exists():
            problems.append("the outbox has waited for an hour")
    except DatabaseError as error:
        problems.append(f"database: {error}")
    return JsonResponse({"ready": not problems, "problems": problems}, status=503 if problems else 200)


def _linked(spine: pl.DataFrame, *, actor: Actor | None) -> list[dict[str, object]]:
    """Milestones with the address of what they are about, where the reader may see it; nobody who is not of the team may."""
    names = {
        "invoice": ("billing:invoice", "billing.view"),
        "payment": ("receivables:payment", "receivables.view"),
        "customer": ("web:customer", "market.view"),
        "credit_note": ("billing:invoice", "billing.view"),
        "case": ("cases:case", "cases.view"),
        "wallet": ("contracts:wallet", "contracts.view"),
        "opportunity": ("pipeline:deal", "pipeline.view"),
    }
    here = {kind: name for kind, (name, permission) in names.items() if actor is not None and actor.may(permission)}
    return [
        {**m, "url": reverse(here[m["subject_kind"]], args=[m["subject_id"]]) if m["subject_kind"] in here else ""}
        for m in spine.to_dicts()
    ]


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What an address answers at which nothing is: a page with the way back; programs and strangers get the plain answer."""
    if getattr(request, "actor", None) is None or request.path.startswith("/api/"):
        return page_not_found(request, exception)
    return refusal(request, 404, "Nothing is at this address.", "Check it, or find what you look for with Ctrl K.")
