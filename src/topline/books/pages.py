"""The books: trial balance, an account's movements, entries."""

from __future__ import annotations

import uuid
from typing import Any

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books import actions, queries, rates
from topline.books.company import company, day_asked
from topline.books.forms import CompanyForm, EntryForm, LockForm, RateForm, ReverseForm
from topline.books.models import Account, ExchangeRate
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.export import export
from topline.ui.tables import Column

TRIAL = [Column("code", "Code", link="url"), Column("name", "Account", link="url"), Column("kind", "Kind"), Column("debit", "Debit", "money", currency="home"), Column("credit", "Credit", "money", currency="home"),
         Column("own", "In its currency", "money"), Column("currency", "")]  # fmt: skip
MOVES = [
    Column("effective_on", "Day", "date"),
    Column("kind", "What", link="url"),
    Column("memo", "Memo"),
    Column("amount_minor", "Amount", "money"),
    Column("functional_minor", "In home currency", "money", currency="home"),
    Column("currency", ""),
]
PAGE = 100


@page("books.view")
def trial_balance(request: Asked) -> HttpResponse:
    """Every account with its balance on a day; debit and credit add up to the same."""
    entity = company(request)
    as_of = day_asked(request, entity)
    table = queries.trial_balance(entity_id=entity.pk, as_of=as_of)
    worth = pl.col("functional_minor")
    table = table.with_columns(
        debit=pl.when(worth > 0).then(worth),
        credit=pl.when(worth < 0).then(-worth),
        own=pl.col("balance_minor"),
        home=pl.lit(entity.currency),
    )
    rows = [{**r, "url": reverse("books:account", args=[r["account_id"]]) + f"?as_of={as_of}"} for r in table.to_dicts()]
    if (form := request.GET.get("export", "")) in ("csv", "xlsx"):
        return export(rows, TRIAL, name=f"trial-balance-{as_of}", form=form)
    context = {
        "rows": rows, "columns": TRIAL, "as_of": as_of, "home": entity.currency, "debit": int(table["debit"].sum()), "credit": int(table["credit"].sum()),
        "locked": queries.locked_through(entity.pk), "query": request.GET.urlencode(),
    }  # fmt: skip
    return render(request, "books/trial_balance.html", context)


@page("books.view")
def account(request: Asked, account_id: int) -> HttpResponse:
    """Movements on an account until a day, newest last; their sum is the balance in the trial balance."""
    found = Account.objects.select_related("entity").filter(pk=account_id).first()
    if found is None:
        raise NotFound(f"There is no account {account_id}.", field="account_id")
    as_of = day_asked(request, found.entity)
    number = request.GET.get("page", "1")
    if not number.isdigit() or int(number) < 1 or int(number) > 10_000:
        raise Invalid(f"{number!r} is no page.", field="page")
    moves = queries.account_statement(account_id=account_id, until=as_of, limit=PAGE + 1, offset=(int(number) - 1) * PAGE)
    rows = [
        {
            **r,
            "url": reverse("books:entry", args=[r["entry_id"]]),
            "kind": r["kind"].replace("_", " "),
            "home": found.entity.currency,
        }
        for r in moves.head(PAGE).to_dicts()
    ]
    table = queries.trial_balance(entity_id=found.entity_id, as_of=as_of).filter(pl.col("account_id") == account_id)
    context = {"account": found, "rows": rows, "columns": MOVES, "as_of": as_of, "page": int(number), "more": moves.height > PAGE,
               "balances": table.select("currency", "balance_minor", "functional_minor").to_dicts(), "home": found.entity.currency}  # fmt: skip
    return render(request, "books/account.html", context)


@page("books.describe_entity", methods=("GET", "POST"))
def describe(request: Asked) -> HttpResponse:
    """What documents say of the company."""
    entity = company(request)
    names = [name for name in CompanyForm.base_fields if name not in {"logo", "no_logo"}]
    form = CompanyForm(request.POST or None, request.FILES or None, initial={name: getattr(entity, name) for name in names})
    if form.is_valid():
        changes: dict[str, Any] = {
            name: form.cleaned_data[name] for name in names if form.cleaned_data[name] != getattr(entity, name)
        }
        if form.cleaned_data["logo"]:
            changes["logo"] = form.cleaned_data["logo"].read(actions.MAX_LOGO + 1)
        elif form.cleaned_data["no_logo"]:
            changes["logo"] = None
        try:
            if changes:
                actions.describe_entity(actor=request.actor, entity_id=entity.pk, changes=changes)
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "Documents say so from now on." if changes else "Nothing was changed.")
            return redirect("books:trial_balance")
    context = {
        "form": form,
        "title": f"{entity.name} on documents",
        "back": ("Books", reverse("books:trial_balance")),
        "files": True,
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("books.view")
def entries(request: Asked) -> HttpResponse:
    """What was written into the books, newest first."""
    entity = company(request)
    before = request.GET.get("before", "")
    found = queries.entry_page(entity_id=entity.pk, limit=PAGE, before_id=int(before) if before.isdigit() else None)
    rows = [{**r, "url": reverse("books:entry", args=[r["id"]]), "kind": r["kind"].replace("_", " ")} for r in found.to_dicts()]
    columns = [
        Column("id", "Entry", "integer", link="url"),
        Column("effective_on", "Counts on", "date"),
        Column("recorded_at", "Written", "moment"),
        Column("kind", "What"),
        Column("key", "Key"),
        Column("memo", "Memo"),
    ]
    return render(
        request, "books/entries.html", {"rows": rows, "columns": columns, "last": rows[-1]["id"] if len(rows) == PAGE else None}
    )


@page("books.view")
def entry(request: Asked, entry_id: int) -> HttpResponse:
    """One entry with its transfers."""
    found = queries.entry_detail(entry_id)
    home = company(request).currency
    rows = [
        {
            **r,
            "home": home,
            "debit_url": reverse("books:account", args=[r["debit_account_id"]]),
            "credit_url": reverse("books:account", args=[r["credit_account_id"]]),
        }
        for r in found.transfers.to_dicts()
    ]
    columns = [
        Column("debit", "Debit", link="debit_url"),
        Column("credit", "Credit", link="credit_url"),
        Column("amount_minor", "Amount", "money"),
        Column("currency", ""),
        Column("functional_minor", "In home currency", "money", currency="home"),
    ]
    return render(request, "books/entry.html", {"entry": found, "rows": rows, "columns": columns})


@page("books.post_entry", methods=("GET", "POST"))
def new_entry(request: Asked) -> HttpResponse:
    """Write an entry by hand: one amount from one account to another."""
    entity = company(request)
    initial = {"effective_on": clock.today(entity.time_zone), "currency": entity.currency}
    form = EntryForm(request.POST or None, initial=initial, entity_id=entity.pk)
    if form.is_valid():
        data = {k: v for k, v in form.cleaned_data.items() if k != "amount"}
        try:
            made = actions.post_entry(actor=request.actor, entity_id=entity.pk, key=uuid.uuid4().hex, **data)
        except DomainError as error:
            _at_field(form, error)
        else:
            messages.success(request, "The entry is in the books.")
            return redirect("books:entry", made)
    return _form(request, form, "New entry", ("Entries", reverse("books:entries")))


@page("books.reverse_entry", methods=("GET", "POST"))
def reverse_entry(request: Asked, entry_id: int) -> HttpResponse:
    """Undo a manual entry; both stay."""
    found = queries.entry_detail(entry_id)
    form = ReverseForm(request.POST or None, initial={"effective_on": clock.today(company(request).time_zone)})
    if form.is_valid():
        try:
            made = actions.reverse_entry(actor=request.actor, entry_id=found.entry_id, **form.cleaned_data)
        except DomainError as error:
            _at_field(form, error)
        else:
            messages.success(request, "The entry is reversed; both stay in the books.")
            return redirect("books:entry", made)
    return _form(request, form, f"Reverse entry {entry_id}", (f"Entry {entry_id}", reverse("books:entry", args=[entry_id])))


@page("books.lock_period", methods=("GET", "POST"))
def lock(request: Asked) -> HttpResponse:
    """Close the books up to a day, or open them again."""
    entity = company(request)
    form = LockForm(request.POST or None, initial={"through": queries.locked_through(entity.pk)})
    if form.is_valid():
        actions.lock_period(actor=request.actor, entity_id=entity.pk, **form.cleaned_data)
        through = form.cleaned_data["through"]
        messages.success(request, f"Closed through {through:%d %b %Y}." if through else "Every day is open again.")
        return redirect("books:trial_balance")
    return _form(request, form, "Close a period", ("Trial balance", reverse("books:trial_balance")))


@page("books.view")
def exchange_rates(request: Asked) -> HttpResponse:
    """The last known rate of each currency, and the rates that were added by hand."""
    known = rates.table().sort("on").group_by("currency").last().sort("currency").to_dicts()
    own = [
        {"currency": r.currency, "on": r.on, "per_euro": f"{r.per_euro_nano / 10**9:.6f}", "source": r.source}
        for r in ExchangeRate.objects.order_by("-on", "currency")[:200]
    ]
    columns = [Column("currency", "Currency"), Column("on", "Day", "date"), Column("per_euro", "For one euro", "text")]
    context = {
        "known": [{**r, "per_euro": f"{r['per_euro']:.6f}"} for r in known],
        "own": own,
        "columns": columns,
        "own_columns": [*columns, Column("source", "Source")],
    }
    return render(request, "books/rates.html", context)


@page("books.add_rates", methods=("GET", "POST"))
def new_rate(request: Asked) -> HttpResponse:
    """Add the rate of a day."""
    form = RateForm(request.POST or None, initial={"on": clock.today(company(request).time_zone)})
    if form.is_valid():
        data = form.cleaned_data
        table = pl.DataFrame({"currency": [data["currency"]], "on": [data["on"]], "per_euro": [data["per_euro"]]})
        try:
            actions.add_rates(actor=request.actor, table=table, source=data["source"])
        except DomainError as error:
            _at_field(form, error)
        else:
            messages.success(request, "The rate was added.")
            return redirect("books:rates")
    return _form(request, form, "New rate", ("Exchange rates", reverse("books:rates")))


def _at_field(form: forms.Form, error: DomainError) -> None:
    form.add_error(error.field if error.field in form.fields else None, str(error))


def _form(request: Asked, form: forms.Form, title: str, back: tuple[str, str]) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "title": title, "back": back}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)
