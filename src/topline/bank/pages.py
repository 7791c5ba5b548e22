"""Our bank accounts: what the bank says, what the books say, statements, gaps, lines."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.bank import actions, queries
from topline.bank.forms import AccountChangeForm, AccountForm
from topline.bank.models import BankAccount
from topline.books import queries as books
from topline.books.company import company, day_asked
from topline.kernel.errors import DomainError, NotFound
from topline.ui.access import Asked, page
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

LINES = [
    Column("booked_on", "Booked", "date", sort="booked_on"), Column("counterparty_name", "Counterparty", sort="counterparty_name"), Column("remittance_information", "Text"),
    Column("status", "", "badge"), Column("amount_minor", "Amount", "money", sort="amount_minor"), Column("currency", ""),
]  # fmt: skip
STATEMENTS = [
    Column("first_on", "From", "date"), Column("last_on", "To", "date"), Column("format", "Format"), Column("lines", "Lines", "integer"), Column("opening_minor", "Opening", "money"),
    Column("closing_minor", "Closing", "money"), Column("file_name", "File"),
]  # fmt: skip


@page("bank.view")
def accounts(request: Asked) -> HttpResponse:
    """All our accounts with what the bank says and what the books say."""
    entity = company(request)
    as_of = day_asked(request, entity)
    ledger = {
        role: minor
        for role, minor in books.trial_balance(entity_id=entity.pk, as_of=as_of).select("role", "balance_minor").iter_rows()
        if role and role.startswith("bank:")
    }
    rows = [
        {"name": b.account.name, "number": b.account.number, "url": reverse("bank:account", args=[b.account.pk]), "balance_minor": b.balance_minor, "currency": b.account.currency,
         "books_minor": ledger.get(f"bank:{b.account.pk}", 0), "as_of": b.as_of, "gaps": queries.gaps(bank_account_id=b.account.pk).height, "line_minor": b.account.credit_line_minor or None}
        for b in queries.bank_balances(entity_id=entity.pk, as_of=as_of)
    ]  # fmt: skip
    columns = [Column("name", "Account", link="url"), Column("number", "Number"), Column("balance_minor", "The bank says", "money"), Column("books_minor", "The books say", "money"),
               Column("currency", ""), Column("line_minor", "Credit line", "money"), Column("as_of", "Told until", "date"), Column("gaps", "Gaps", "integer")]  # fmt: skip
    return render(request, "bank/accounts.html", {"rows": rows, "columns": columns, "as_of": as_of})


@page("bank.view")
def account(request: Asked, bank_account_id: int) -> HttpResponse:
    """One account: its lines, statements, and where the chain of statements breaks."""
    found = BankAccount.objects.filter(pk=bank_account_id).first()
    if found is None:
        raise NotFound(f"There is no bank account {bank_account_id}.", field="bank_account_id")
    state = listing(request.path, request.GET.dict(), columns=LINES, default_sort="-booked_on", filters=["q"])
    rows = queries.lines(entity_id=found.entity_id, filters={"account_id": bank_account_id})
    if wanted := state.filters.get("q"):
        rows = rows.filter(counterparty_name__icontains=wanted) | rows.filter(remittance_information__icontains=wanted)
    total = rows.count()
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    shown = list(
        rows.order_by(*state.order).values(
            "id", "booked_on", "counterparty_name", "remittance_information", "status", "amount_minor", "currency"
        )[start:end]
    )
    if state.export:
        return export(shown, LINES, name=f"bank-{bank_account_id}", form=state.export)
    statements = [
        {
            "first_on": s.first_on,
            "last_on": s.last_on,
            "format": s.format,
            "lines": s.lines,
            "opening_minor": s.opening_minor,
            "closing_minor": s.closing_minor,
            "file_name": s.file_name,
            "currency": found.currency,
        }
        for s in queries.statements(bank_account_id=bank_account_id, limit=60)
    ]
    gaps = queries.gaps(bank_account_id=bank_account_id).to_dicts()
    return render(
        request,
        "bank/account.html",
        {
            "account": found,
            "list": state,
            "rows": shown,
            "total": total,
            "statements": statements,
            "statement_columns": STATEMENTS,
            "gaps": gaps,
        },
    )


@page("bank.add_account", methods=("GET", "POST"))
def new_account(request: Asked) -> HttpResponse:
    """Add one of our accounts."""
    entity = company(request)
    form = AccountForm(request.POST or None, initial={"currency": entity.currency})
    if form.is_valid():
        try:
            made = actions.add_account(actor=request.actor, entity_id=entity.pk, **form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, "The account was added. Import its statements next.")
            return redirect("bank:account", made)
    context = {"form": form, "title": "New bank account", "back": ("Bank", reverse("bank:accounts"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("bank.change_account", methods=("GET", "POST"))
def change_account(request: Asked, bank_account_id: int) -> HttpResponse:
    """Change what is known of an account: name, number, credit line, whether payroll is paid from it."""
    found = queries.account(bank_account_id)
    form = AccountChangeForm(request.POST or None, account=found)
    if form.is_valid():
        try:
            actions.change_account(actor=request.actor, bank_account_id=found.pk, changes=form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, "The account was changed.")
            return redirect("bank:account", found.pk)
    context = {"form": form, "title": f"Change {found.name}", "back": (found.name, reverse("bank:account", args=[found.pk]))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)
