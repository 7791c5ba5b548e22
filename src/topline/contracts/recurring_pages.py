"""Recurring revenue: month by month, who moved it, and what is agreed for the months ahead."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlencode

import polars as pl
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.contracts.recurring import recurring
from topline.engine.recurring_revenue import KINDS, YEAR
from topline.kernel.errors import Invalid
from topline.kernel.money import exponent
from topline.market.models import Customer
from topline.ui.access import Asked, page
from topline.ui.charts import lines_chart
from topline.ui.format import money, percent
from topline.ui.tables import Column

BRIDGE = [
    Column("day", "Through", "date"), Column("start_minor", "At the start", "money"), *[Column(f"{kind}_minor", kind.capitalize(), "money", link=f"{kind}_url") for kind in KINDS], Column("end_minor", "At the end", "money"),
    Column("customers", "Customers", "integer"), Column("gross_said", "Gross kept"), Column("net_said", "Net kept"),
]  # fmt: skip
MOVES = [
    Column("customer", "Customer", link="url"), Column("kind", "What"), Column("before_minor", "Before", "money"), Column("change_minor", "Change", "money"), Column("mrr_minor", "Now", "money"),
]  # fmt: skip
SHOWN = 200


@page("contracts.view")
def recurring_revenue(request: Asked) -> HttpResponse:
    """MRR of a year by what moved it, retention, and the year ahead as agreed; with `?day=` and `?kind=`, who moved it."""
    entity = company(request)
    as_of = day_asked(request, entity)
    found = recurring(entity_id=entity.pk, as_of=as_of)
    known = sorted({*found.bridge["currency"], *found.ahead["currency"]}, key=lambda code: (code != entity.currency, code))
    currency = request.GET.get("currency") or (known[0] if known else entity.currency)
    if known and currency not in known:
        raise Invalid(f"Nothing recurs in {currency[:3]!r}.", field="currency", remedy=f"There is {', '.join(known)}.")
    here = pl.col("currency") == currency
    months = [_month(row, as_of, currency) for row in found.bridge.filter(here).to_dicts()]
    ahead = found.ahead.filter(here).to_dicts()
    context = {
        "months": months[::-1], "columns": BRIDGE, "currency": currency, "currencies": known, "as_of": as_of, "last": months[-1] if months else None, "chart": _chart(months, ahead, currency),
        **_who(request, found.moves.filter(here), as_of),
    }  # fmt: skip
    return render(request, "contracts/recurring.html", context)


# --- parts ---
def _month(row: dict[str, Any], as_of: date, currency: str) -> dict[str, Any]:
    def who(kind: str) -> str:
        asked = urlencode({"day": row["day"], "kind": kind, "as_of": as_of, "currency": currency})
        return f"{reverse('contracts:recurring')}?{asked}#who" if row[f"{kind}_minor"] else ""

    said = {f"{share}_said": percent(row[share]) if row[share] is not None else "–" for share in ("gross", "net")}
    each = round(row["end_minor"] / row["customers"]) if row["customers"] else None
    return {
        **row,
        **said,
        **{f"{kind}_url": who(kind) for kind in KINDS},
        "yearly_minor": row["end_minor"] * YEAR,
        "each_minor": each,
    }


def _chart(months: list[dict[str, Any]], ahead: list[dict[str, Any]], currency: str) -> Any:
    """The year behind and the one ahead; where they meet, all three lines have the same point."""
    series = ["MRR", "as agreed", "if what renews by itself does"]
    if not months and not ahead:
        return None
    figures: dict[date, dict[str, int]] = {m["day"]: {series[0]: m["end_minor"]} for m in months}
    for row in ahead:
        figures.setdefault(row["day"], {}).update({series[1]: row["agreed_minor"], series[2]: row["renewing_minor"]})
    whole, shown = 10 ** exponent(currency), {name: f"{name} shown" for name in series}
    told = [
        {
            "day": day,
            **{n: at[n] / whole if n in at else None for n in series},
            **{shown[n]: money(at[n], currency) if n in at else "–" for n in series},
        }
        for day, at in sorted(figures.items())
    ]
    return lines_chart(
        told, x="day", series=series, title="Monthly recurring revenue", y_title=currency, shown=shown, every="%b %y"
    )


def _who(request: Asked, moves: pl.DataFrame, as_of: date) -> dict[str, Any]:
    """Who moved it in the month asked for, else in the last one, the largest first."""
    text, kind = request.GET.get("day", ""), request.GET.get("kind", "")
    try:
        day = date.fromisoformat(text) if text else as_of
    except ValueError as error:
        raise Invalid(f"{text!r} is no day.", field="day", remedy="Write it as 2026-01-31.") from error
    if kind and kind not in KINDS:
        raise Invalid(f"{kind[:20]!r} is no movement.", field="kind", remedy=f"There is {', '.join(KINDS)}.")
    asked = moves.filter((pl.col("day") == day) & (pl.col("kind") == kind if kind else pl.lit(value=True)))
    rows = asked.sort(pl.col("change_minor").abs(), "customer_id", descending=[True, False]).head(SHOWN).to_dicts()
    names = dict(Customer.objects.filter(pk__in=[r["customer_id"] for r in rows]).values_list("id", "name"))
    told = [{**r, "customer": names[r["customer_id"]], "url": reverse("web:customer", args=[r["customer_id"]])} for r in rows]
    return {"who": told, "who_columns": MOVES, "who_total": asked.height, "who_day": day, "who_kind": kind}
