"""The renewal board, what survives of each year's contracts, and price rises with the amendment that makes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.contracts import renewing
from topline.engine import renewals as engine
from topline.kernel.errors import Invalid
from topline.ui.access import Asked, page
from topline.ui.format import percent
from topline.ui.tables import Column

BOARD = [
    Column("number", "Contract", "code", link="url"), Column("customer", "Customer", link="customer_url"), Column("owner", "Owner"), Column("ends_on", "Ends", "date"), Column("notice_by", "Notice until", "date"), Column("renews", "Renews"),
    Column("likely", "Likely to renew"), Column("yearly_minor", "A year", "money"), Column("currency", ""),
]  # fmt: skip
RISES = [
    Column("number", "Contract", "code", link="url"), Column("customer", "Customer"), Column("yearly_minor", "A year now", "money"), Column("list_said", "To the list"), Column("list_yearly_minor", "A year at list", "money"), Column("list_verb", "", link="list_url"),
    Column("index_yearly_minor", "A year by the index", "money"), Column("index_verb", "", link="index_url"), Column("currency", ""),
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
    rises = [_rise(r, index_ppm) for r in rows if r["list_ppm"] or index_ppm > 0]
    kinds = [{**r, "kind": NAMES[r["number"]], "likely": likely(r)} for r in engine.by_number(past).to_dicts()]
    survived = [{**r, "cohort": str(r["cohort"]), "likely": likely(r), "left": percent(r["survival"]) if r["survival"] is not None else "not enough data"} for r in engine.survival(past).tail(SHOWN).to_dicts()]  # fmt: skip
    context = {
        "rows": rows, "columns": BOARD, "total": found.height, "by_itself": int((found["renews_months"] > 0).sum()), "as_of": as_of, "form": form, "rises": rises, "rise_columns": RISES if index_ppm > 0 else [c for c in RISES if not c.key.startswith("index")],
        "kinds": kinds, "kind_columns": KINDS, "survived": survived, "survival_columns": SURVIVAL, "fewest": engine.FEWEST,
    }  # fmt: skip
    return render(request, "contracts/renewals.html", context)


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


def _rise(row: dict[str, Any], index_ppm: int) -> dict[str, Any]:
    by_list, by_index = row["list_ppm"], index_ppm if index_ppm > 0 else None
    return {
        **row,
        "list_said": f"+{by_list / 10_000:.2f} %" if by_list else "at the list already" if row["list_minor"] is not None else "no list price",
        "list_verb": "Renew at list" if by_list else "", "list_url": _renewal(row, by_list, "to list prices") if by_list else "",
        "index_verb": "Renew by the index" if by_index else "", "index_url": _renewal(row, by_index, "by the index") if by_index else "",
    }  # fmt: skip


def _renewal(row: dict[str, Any], ppm: int, because: str) -> str:
    """The form of the amendment that renews a contract at another price, filled in; it previews and asks before it changes anything."""
    said = {"months": row["renews_months"] or 12, "uplift": f"{ppm / 10_000:.4f}", "because": because}
    return f"{reverse('contracts:amend', args=[row['contract_id'], 'renew'])}?{urlencode(said)}"
