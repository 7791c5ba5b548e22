"""What became of a forecast: the bank today against what was told on a frozen day, the difference by cause, to the cent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.bank import queries as bank
from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Entity
from topline.engine.matching.subsets import MOST_ITEMS, adding_up
from topline.kernel import bulk
from topline.kernel.errors import NotFound
from topline.receivables.models import Allocation, Payment
from topline.treasury import queries
from topline.treasury.models import FrozenForecast
from topline.treasury.outlook import Score, trust

NEAR_DAYS, MOST_CHANCE = (
    5,
    0.001,
)  # how far lines may be from the day planned; expected sets by chance above which a sum proves nothing
FURTHEST = 28  # days that a frozen forecast keeps one by one
HOME = {"item_id": pl.Int64, "amount_minor": pl.Int64}


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for the difference: what it brought (minus: took), and the rows behind it, largest first.

    rows  item_id (an invoice, or null), what, amount_minor; they add up to amount_minor
    """

    said: str
    amount_minor: int
    rows: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Variance:
    """A frozen forecast against the bank. causes add up to actual_minor - told_minor, always; trust: what was known of the range then."""

    frozen_on: date
    as_of: date
    currency: str
    told_minor: int
    p10_minor: int
    p90_minor: int
    actual_minor: int
    causes: tuple[Cause, ...]
    trust: str

    @property
    def held(self) -> bool:
        """Whether the bank stands within the range that was told."""
        return self.p10_minor <= self.actual_minor <= self.p90_minor


def frozen_days(*, entity: Entity, as_of: date) -> list[date]:
    """Frozen forecasts that a day can be held against, newest first."""
    rows = FrozenForecast.objects.filter(entity=entity, as_of__lt=as_of, as_of__gte=as_of - timedelta(days=FURTHEST))
    return list(rows.order_by("-as_of").values_list("as_of", flat=True))


def usual_day(days: Sequence[date], *, as_of: date) -> date | None:
    """Of frozen days, newest first, the one to look at: the newest that has had a week to come true, else the newest."""
    ripe = [day for day in days if day <= as_of - timedelta(days=7)]
    return next(iter(ripe or days), None)


def explain(*, entity: Entity, as_of: date, frozen_on: date | None = None) -> Variance:
    """Hold what was told on a frozen day (default: the last one a week or more before, else the last one) against the bank at the end of a day.

    An outflow was as planned when a line of the same amount left the bank, or lines near its day that come to it (net pay and
    contributions). Amounts in the company's currency at today's rate.
    Raises: NotFound when nothing was frozen in the four weeks before.
    """
    days = frozen_days(entity=entity, as_of=as_of)
    on = frozen_on or usual_day(days, as_of=as_of)
    if on is None or on not in days:
        raise NotFound(
            f"No forecast was frozen in the {FURTHEST} days before {as_of}.",
            field="frozen_on",
            remedy="It is frozen on Mondays; wait for the next one, or run: topline train.",
        )
    kept = FrozenForecast.objects.get(entity=entity, as_of=on)
    told = [row for row in kept.days if on.isoformat() < row["day"] <= as_of.isoformat()]
    told_in, told_out = sum(r["in_minor"] for r in told), sum(r["out_minor"] for r in told)
    then = queries.forecast(entity=entity, as_of=on)
    due = then.receipts.filter(pl.col("expected_on") <= as_of)
    due = due.group_by("item_id", maintain_order=True).agg(
        pl.col("amount_minor").sum()
    )  # instalments and disputed parts are rows of one
    came = _came(entity, on, as_of)
    lines = _lines(entity, on, as_of)
    plan = then.outflows.filter(pl.col("debit_on") <= as_of).select("amount_minor", what="name", day="debit_on")
    planned, unplanned = _unmatched(plan, lines.filter(pl.col("amount_minor") < 0).with_columns(-pl.col("amount_minor")))
    both = due.join(came, on="item_id", how="left", suffix="_came")
    early = came.join(due, on="item_id", how="anti")
    fresh = bulk.read(Invoice.objects.filter(entity=entity, issued_on__gt=on, issued_on__lte=as_of).values("id")).rename(
        {"id": "item_id"}
    )
    now, known_since = _stands(entity, as_of), _stands(entity, on)
    foreseen = int(then.coming.filter(pl.col("expected_on") <= as_of)["amount_minor"].sum())
    told_closing = kept.opening_minor + told_in - told_out
    other_in = int(lines.filter(pl.col("amount_minor") > 0)["amount_minor"].sum()) - int(came["amount_minor"].sum())
    restated = now - known_since - int(lines["amount_minor"].sum())
    recorded = (int(due["amount_minor"].sum()) + foreseen - told_in) - (int(plan["amount_minor"].sum()) - told_out)
    missing = both.filter(pl.col("amount_minor_came").is_null()).select("item_id", -pl.col("amount_minor"))
    differed = both.filter(pl.col("amount_minor_came") != pl.col("amount_minor")).select(
        "item_id", amount_minor=pl.col("amount_minor_came") - pl.col("amount_minor")
    )
    causes = [
        _cause("Expected, and has not come", missing),
        _cause("Came with another amount", differed),
        _cause("Came sooner than expected", early.join(fresh, on="item_id", how="anti")),
        _cause("Invoices issued since", early.join(fresh, on="item_id", how="semi")),
        _lump("Foreseen of bills that were not written then", -foreseen),
        _lump("Other money in, less what came without the bank", other_in),
        _cause("Planned, and has not left", planned),
        _cause("Left without a plan", unplanned.with_columns(-pl.col("amount_minor"))),
        _lump("Moved until that day, told by the bank since", known_since - kept.opening_minor),
        _lump("Recorded since, with an earlier day", recorded),
        _lump("Exchange rates, and balances that the bank restated", restated),
    ]
    last = told[-1] if told else {"p10_minor": kept.opening_minor, "p90_minor": kept.opening_minor}
    return Variance(
        frozen_on=on, as_of=as_of, currency=entity.currency, told_minor=told_closing, p10_minor=last["p10_minor"], p90_minor=last["p90_minor"],
        actual_minor=now, causes=tuple(c for c in causes if c.amount_minor or c.rows.height),
        trust=trust([Score(**row) for row in kept.record]),
    )  # fmt: skip


def _stands(entity: Entity, on: date) -> int:
    """What stood in the bank at the end of a day, as is known now."""
    return sum(queries.in_bank(bank.bank_balances(entity_id=entity.pk, as_of=on), entity.currency, on))


def _came(entity: Entity, after: date, until: date) -> pl.DataFrame:
    """Money that payments received in the span brought to invoices: item_id, amount_minor at home."""
    received = Payment.objects.filter(entity=entity, received_on__gt=after, received_on__lte=until)
    rows = Allocation.objects.filter(payment__in=received, kind=Allocation.Kind.PAYMENT, effective_on__lte=until)
    found = bulk.read(rows.values("invoice_id", "source_minor", "payment__currency"))
    summed = found.group_by(item_id="invoice_id", currency="payment__currency").agg(pl.col("source_minor").sum())
    worth = rates.convert(summed.select("currency", amount_minor="source_minor", on=pl.lit(until)), to=entity.currency)
    at_home = summed.select("item_id").with_columns(amount_minor=worth["converted_minor"])
    return at_home.group_by("item_id", maintain_order=True).agg(pl.col("amount_minor").sum()).filter(pl.col("amount_minor") != 0)


def _lines(entity: Entity, after: date, until: date) -> pl.DataFrame:
    """Booked lines of the span: what, day, amount_minor at home."""
    rows = bank.lines(
        entity_id=entity.pk,
        filters={"status": "booked", "booked_on__gt": after, "booked_on__lte": until, "account__is_closed": False},
    )
    found = bulk.read(
        rows.order_by("booked_on", "id").values(
            "counterparty_name", "remittance_information", "currency", "amount_minor", "booked_on"
        )
    )
    worth = rates.convert(found.select("currency", "amount_minor", on=pl.lit(until)), to=entity.currency)
    what = pl.coalesce(pl.col("counterparty_name").replace("", None), "remittance_information")
    return found.select(what=what.str.slice(0, 80), day="booked_on").with_columns(amount_minor=worth["converted_minor"])


def _unmatched(planned: pl.DataFrame, left: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What was planned and did not leave, and what left unplanned.

    Each amount pairs off as often as it is on both sides; what is still planned then with lines near its day that come to it. Work: one
    search among at most MOST_ITEMS lines a planned row that is left.
    """
    turn = pl.int_range(pl.len()).over("amount_minor").alias("_turn")
    a, b = planned.with_columns(turn), left.with_columns(turn)
    keys = ["amount_minor", "_turn"]
    planned, left = a.join(b, on=keys, how="anti").drop("_turn"), b.join(a, on=keys, how="anti").drop("_turn")
    left, missing = left.with_row_index("line"), []
    for row in planned.sort("amount_minor", descending=True).to_dicts():
        lines = _coming_to(row["amount_minor"], left, near=row["day"])
        if not lines:
            missing.append(row)
        left = left.filter(~pl.col("line").is_in(lines))
    return pl.DataFrame(missing, schema=planned.schema), left.drop("line")


def _coming_to(amount_minor: int, left: pl.DataFrame, *, near: date) -> list[int]:
    """Lines within NEAR_DAYS of a day that together are exactly an amount: all of one day, or the one set of a few that adds up."""
    apart = (pl.col("day") - pl.lit(near)).dt.total_days().abs()
    lines = left.with_columns(_apart=apart).filter((pl.col("_apart") <= NEAR_DAYS) & (pl.col("amount_minor") > 0))
    whole = lines.filter(pl.col("amount_minor").sum().over("day") == amount_minor)
    if whole.height:
        return whole.filter(pl.col("day") == whole["day"][0])["line"].to_list()
    few = lines.sort("_apart", "line").head(MOST_ITEMS)
    found = adding_up(few["amount_minor"].to_list(), amount_minor) if few.height else None
    return [few["line"][n] for n in found.positions] if found and found.chance <= MOST_CHANCE else []


def _cause(said: str, rows: pl.DataFrame) -> Cause:
    named: dict[str, Any] = {
        n: pl.lit(None, dtype=t) for n, t in (("item_id", pl.Int64), ("what", pl.String)) if n not in rows.columns
    }
    table = (
        rows.with_columns(**named).select("item_id", "what", "amount_minor").sort(pl.col("amount_minor").abs(), descending=True)
    )
    return Cause(said, int(table["amount_minor"].sum()), table)


def _lump(said: str, amount_minor: int) -> Cause:
    return Cause(said, amount_minor, pl.DataFrame(schema={"item_id": pl.Int64, "what": pl.String, "amount_minor": pl.Int64}))
