"""The renewal board, what survives of each year's contracts, and price rises with the amendment that makes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.contracts import queries, renewal_quotes, renewing
from topline.engine import renewals as engine
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.format import percent
from topline.ui.tables import Column

BOARD = [
    Column("number", "Contract", "code", link="url"), Column("customer", "Customer", link="customer_url"), Column("owner", "Owner"), Column("ends_on", "Ends", "date"), Column("notice_by", "Notice until", "date"), Column("renews", "Renews"),
    Column("likely", "Likely to renew"), Column("yearly_minor", "A year", "money"), Column("currency", ""),
]  # fmt: skip
RISES = [
    Column("number", "Contract", "code", link="url"), Column("customer", "Customer"), Column("yearly_minor", "A year now", "money"), Column("list_said", "To the list"), Column("list_yearly_minor", "A year at list", "money"), Column("list_verb", "", link="list_url"), Column("list_quote", "", link="list_quote_url"),
    Column("index_yearly_minor", "A year by the index", "money"), Column("index_verb", "", link="index_url"), Column("index_quote", "", link="index_quote_url"), Column("currency", ""),
]  # fmt: skip
SURVIVAL = [
    Column("cohort", "Began in"), Column("number", "Renewal", "integer"), Column("decided", "Had to decide", "integer"), Column("renewed", "Went on", "integer"), Column("likely", "Share"), Column("left", "Left of those that began"),
]  # fmt: skip
KINDS = [Column("kind", "Which renewal"), Column("decided", "Had to decide", "integer"), Column("renewed", "Went on", "integer"), Column("likely", "Likely to renew")]  # fmt: skip
NAMES = {1: "the first", 2: "the second", 3: "the third and later"}
SHOWN = 200


class IndexForm(forms.Form):
    """What an index of prices rose by."""

    index = forms.DecimalField(min_value=Decimal(-50), max_value=Decimal(500), decimal_places=4, max_digits=8, required=False, label="An index rose by, %")  # fmt: skip


@page("contracts.view")
def renewals(request: Asked) -> HttpResponse:
    """Contracts that end within 120 days: how likely such contracts went on, and what they could cost."""
    entity = company(request)
    as_of = day_asked(request, entity)
    form = IndexForm(request.GET)
    if not form.is_valid():
        raise Invalid("An index rose by -50 to 500 %, with four decimals at most.", field="index")
    index_ppm = int((form.cleaned_data["index"] or Decimal(0)) * 10_000)
    found, past = renewing.board(entity_id=entity.pk, as_of=as_of, index_ppm=index_ppm)
    rows = [_row(r) for r in found.head(SHOWN).to_dicts()]
    may_quote = request.actor.may("contracts.quote_renewal") and request.actor.may("quotes.write_quote")
    dearer = [r for r in rows if r["list_ppm"] or index_ppm > 0]
    odd = renewal_quotes.refusals([r["contract_id"] for r in dearer], uplifts=[None, index_ppm]) if may_quote else {}
    rises = [_rise(r, index_ppm, odd if may_quote else None) for r in dearer]
    kinds = [{**r, "kind": NAMES[r["number"]], "likely": likely(r)} for r in engine.by_number(past).to_dicts()]
    survived = [{**r, "cohort": str(r["cohort"]), "likely": likely(r), "left": percent(r["survival"]) if r["survival"] is not None else "not enough data"} for r in engine.survival(past).tail(SHOWN).to_dicts()]  # fmt: skip
    context = {
        "rows": rows, "columns": BOARD, "total": found.height, "by_itself": int((found["renews_months"] > 0).sum()), "as_of": as_of, "form": form, "rises": rises, "rise_columns": RISES if index_ppm > 0 else [c for c in RISES if not c.key.startswith("index")],
        "kinds": kinds, "kind_columns": KINDS, "survived": survived, "survival_columns": SURVIVAL, "fewest": engine.FEWEST,
    }  # fmt: skip
    return render(request, "contracts/renewals.html", context)


class QuoteForm(forms.Form):
    """At which prices a renewal is offered."""

    uplift = forms.DecimalField(
        min_value=Decimal(-99), max_value=Decimal(1000), decimal_places=4, max_digits=8, required=False, label="Today's prices rise by, %", help_text="empty: the list prices of the day on which it ends"
    )  # fmt: skip


@page("contracts.quote_renewal", methods=("GET", "POST"))
def quote_renewal(request: Asked, contract_id: int) -> HttpResponse:
    """Write the quote that offers a contract again from its end on; it opens as a draft, to be looked at and sent."""
    found = queries.contract(contract_id)
    form = QuoteForm(request.POST if request.method == "POST" else None, initial={"uplift": request.GET.get("uplift", "")[:20]})
    if request.method == "POST" and form.is_valid():
        rise = form.cleaned_data["uplift"]
        try:
            made = renewal_quotes.quote_renewal(actor=request.actor, contract_id=found.pk, on=clock.today(found.entity.time_zone), uplift_ppm=None if rise is None else int(rise * 10_000))  # fmt: skip
        except DomainError as error:
            blame(form, error, {"uplift_ppm": "uplift"})
        else:
            messages.success(request, "The draft is priced. Look at it, and send it from here.")
            return redirect("quotes:quote", made)
    context = {"form": form, "title": f"Quote the renewal of {found.number}", "back": ("Renewals", reverse("contracts:renewals"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def likely(row: dict[str, Any]) -> str:
    """A share with its interval and the contracts behind it, or that there are too few."""
    if row["share"] is None:
        return f"not enough data: {row['decided']} decided so far"
    return f"{percent(row['share'])} ({percent(row['low'])} to {percent(row['high'])}), of {row['decided']}"


# --- parts ---
def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row, "url": reverse("contracts:contract", args=[row["contract_id"]]), "customer_url": reverse("web:customer", args=[row["customer_id"]]),
        "renews": f"by {row['renews_months']} months" if row["renews_months"] else "not by itself", "likely": likely(row),
    }  # fmt: skip


def _quote(row: dict[str, Any], ppm: int | None) -> str:
    said = "" if ppm is None else f"?{urlencode({'uplift': f'{ppm / 10_000:.4f}'})}"
    return reverse("contracts:quote_renewal", args=[row["contract_id"]]) + said


def _rise(row: dict[str, Any], index_ppm: int, odd: dict[tuple[int, int | None], str] | None) -> dict[str, Any]:
    """A price rise with its ways; odd: why a quote cannot be one of them (None: nobody may write one)."""
    at_list, at_index = (odd.get((row["contract_id"], ppm), "") if odd is not None else "" for ppm in (None, index_ppm))
    by_list, by_index = row["list_ppm"], index_ppm if index_ppm > 0 else None
    return {
        **row,
        "list_said": f"+{by_list / 10_000:.2f} %" if by_list else "at the list already" if row["list_minor"] is not None else "no list price",
        "list_verb": "Renew at list" if by_list else "", "list_url": _renewal(row, by_list, "to list prices") if by_list else "",
        "list_quote": (at_list or "Quote at list") if by_list and odd is not None else "", "list_quote_url": "" if at_list else _quote(row, None),
        "index_quote": (at_index or "Quote by the index") if by_index and odd is not None else "", "index_quote_url": "" if at_index else _quote(row, by_index),
        "index_verb": "Renew by the index" if by_index else "", "index_url": _renewal(row, by_index, "by the index") if by_index else "",
    }  # fmt: skip


def _renewal(row: dict[str, Any], ppm: int, because: str) -> str:
    """The form of the amendment that renews a contract at another price, filled in; it previews and asks before it changes anything."""
    said = {"months": row["renews_months"] or 12, "uplift": f"{ppm / 10_000:.4f}", "because": because}
    return f"{reverse('contracts:amend', args=[row['contract_id'], 'renew'])}?{urlencode(said)}"
