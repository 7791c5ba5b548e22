"""Is there enough money: what the bank says, what will come in, what will go out, and whether each payroll is covered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache, partial

import polars as pl
from django.db.models import Count, Max, Sum

from topline.bank import queries as bank
from topline.books import rates
from topline.books.models import Entity
from topline.collections import queries as collections
from topline.collections import timing
from topline.contracts import foresight
from topline.engine import cash, stray_money
from topline.engine.in_turn import in_turn
from topline.kernel import bulk, money
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.market import queries as market
from topline.receivables import figures
from topline.receivables import queries as receivables
from topline.receivables.models import Payment
from topline.treasury.calendar import closed_days, debit_day, occurrences
from topline.treasury.models import OutflowDeferral, PayLine, PayPlan, PlannedOutflow

WEEKS = 13
History = Callable[[], pl.DataFrame]  # how late customers paid, counted once where it is asked for
BY_ACCOUNT = {
    "name": pl.String, "opening_minor": pl.Int64, "in_minor": pl.Int64, "out_minor": pl.Int64, "closing_minor": pl.Int64,
    "lowest_minor": pl.Int64, "lowest_on": pl.Date, "minimum_minor": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True)
class Stray:
    """Money in the bank of which nobody knows whose it is, in the company's currency: it pays something that is open, so that is not expected again.

    moves      how many payments of no customer; total_minor: what is left of them
    set_minor  what of open invoices is left out of the forecast for it; less than the total where less is open
    """

    currency: str
    moves: int
    total_minor: int
    set_minor: int

    @property
    def words(self) -> str:
        """As a sentence or two, empty where there is none."""
        if not self.moves:
            return ""
        whose = f"{money.Money(self.total_minor, self.currency)} in the bank is from payers whom nobody recognised ({self.moves} payment{'s' if self.moves > 1 else ''})."
        kept = "as much" if self.set_minor == self.total_minor else str(money.Money(self.set_minor, self.currency))
        return (
            f"{whose} So that it is not counted twice, {kept} of what is open is not expected again." if self.set_minor else whose
        )


@dataclass(frozen=True)
class Forecast:
    """The cash forecast of one company in its own currency, from the day after `as_of`.

    balances   what the bank says per account; opening_minor is their sum in the company's currency
    receipts   cash.RECEIPTS in the company's currency, with number and customer_id
    covered    what of open invoices is paid by money and credits that wait to be applied: invoice_id, covered_minor (own currency)
    stray      money among it that nobody recognised
    coming     the same of what contracts will be billed for within the forecast, with bill_on and due_on; it has no item yet
    outflows   name, kind, payday, debit_on, amount_minor in the company's currency, is_critical, bank_account_id
    daily      cash.project; weekly and monthly add up to it
    payrolls   one Coverage each, in order of debit day; duties: the same of taxes and of vendors that cannot wait
    """

    as_of: date
    currency: str
    balances: list[bank.BankBalance]
    opening_minor: int
    minimum_minor: int
    receipts: pl.DataFrame
    covered: pl.DataFrame
    stray: Stray
    coming: pl.DataFrame
    outflows: pl.DataFrame
    daily: pl.DataFrame
    weekly: pl.DataFrame
    monthly: pl.DataFrame
    payrolls: list[cash.Coverage]
    duties: list[cash.Coverage]

    def by(self, every: str) -> pl.DataFrame:
        """One row per day, week or month, the first column `period`. Raises: Invalid (another period)."""
        periods = {"day": self.daily.rename({"day": "period"}), "week": self.weekly, "month": self.monthly}
        ensure(every in periods, Invalid(f"{every!r} is no period.", field="every", remedy="Use day, week or month."))
        return periods[every]

    @property
    def lowest(self) -> tuple[date, int]:
        """The day on which least stands in the bank, and how much."""
        row = self.daily.sort("closing_minor", "day").row(0, named=True)
        return row["day"], row["closing_minor"]


def forecast(*, entity: Entity, as_of: date, weeks: int = WEEKS, items: pl.DataFrame | None = None) -> Forecast:
    """Opening bank balance, expected receipts and planned outflows by day, week and month, and each payroll's cover.

    Receipts are open invoices, and what contracts will be billed for, on the day for which they are promised, else at their due day
    shifted by the customer's own history. What unapplied money and open credit notes of a customer cover, and what money of an unknown payer is set against, is not expected again.
    Everything is told in the company's currency at the last known rate.

    items  the open items of that day with customers resolved, where the caller has them already
    """
    start = as_of + timedelta(days=1)
    end = start + timedelta(days=7 * weeks)
    balances = bank.bank_balances(entity_id=entity.pk, as_of=as_of)
    opening, minimum = sum(in_bank(balances, entity.currency, as_of)), sum(kept_there(balances, entity.currency, as_of))
    closed = [day for day in closed_days(entity.country)[start:end]] if entity.country else []  # noqa: C416  (a slice of holidays is a list of days)
    if items is None:
        items = market.resolve(receivables.open_items(entity_id=entity.pk, as_of=as_of))
    history = cache(partial(figures.lateness, entity_id=entity.pk, as_of=as_of))
    open_now, covered, stray = _uncovered(entity, as_of, items)
    receipts = _receipts(entity, as_of, closed, open_now, history)
    coming = _coming(entity, as_of, end, closed, history)
    outflows = planned(entity=entity, start=start, end=end)
    daily = cash.project(
        opening_minor=opening, receipts=_together(receipts, coming), outflows=outflows, start=start, days=7 * weeks
    )
    payroll = outflows["kind"] == "payroll"
    cover = partial(cash.coverage, daily, receipts=receipts, minimum_minor=minimum)
    return Forecast(
        as_of=as_of, currency=entity.currency, balances=balances, opening_minor=opening, minimum_minor=minimum, receipts=receipts, covered=covered, stray=stray, coming=coming, outflows=outflows, daily=daily,
        weekly=cash.rolled_up(daily, every="1w"), monthly=cash.rolled_up(daily, every="1mo"),
        payrolls=cover(payrolls=outflows.filter(payroll)), duties=cover(payrolls=outflows.filter(~payroll & pl.col("is_critical"))),
    )  # fmt: skip


def planned(*, entity: Entity, start: date, end: date) -> pl.DataFrame:
    """What leaves in [start, end), on the day the bank takes it: name, kind, payday, debit_on, amount_minor (home currency).

    is_critical tells payrolls, taxes and vendors that cannot wait; bank_account_id is null where none is named, outflow_id for payrolls.
    An occurrence that was put off leaves on its later day; payday is then the day on which it was planned.
    """
    rows: list[tuple[str, str, date, date, bool, int | None, int | None, str, int]] = []
    for plan in PayPlan.objects.filter(entity=entity).annotate(pay_minor=Sum("lines__amount_minor")).order_by("id")[:100]:
        pay = plan.pay_minor or 0
        amount = pay + money.round_minor(Decimal(pay) * plan.employer_cost_ppm / 1_000_000)
        for payday in occurrences(
            first_on=plan.first_payday, frequency=plan.frequency, start=start, end=end + timedelta(days=21), until=plan.until
        ):
            debit = debit_day(payday, lead_days=plan.debit_lead_days, country=entity.country)
            if start <= debit < end:
                rows.append((plan.name, "payroll", payday, debit, True, plan.bank_account_id, None, plan.currency, amount))
    moved = {(d.outflow_id, d.occurs_on): d.moved_to for d in deferrals(entity.pk)}
    for outflow in planned_outflows(entity.pk):
        days = occurrences(first_on=outflow.first_on, frequency=outflow.frequency, start=start, end=end, until=outflow.until)
        before = [day for pk, day in moved if pk == outflow.pk and day < start]  # planned before the span, put off into it
        critical = outflow.is_critical or outflow.kind == PlannedOutflow.Kind.TAX
        rows += [
            (outflow.name, outflow.kind, day, leaves, critical, outflow.bank_account_id, outflow.pk, outflow.currency, outflow.amount_minor)
            for day in [*before, *days]
            if start <= (leaves := moved.get((outflow.pk, day), day)) < end
        ]  # fmt: skip
    home = at_home([(currency, amount) for *_, currency, amount in rows], entity.currency, start)
    columns = {
        "name": pl.String, "kind": pl.String, "payday": pl.Date, "debit_on": pl.Date, "is_critical": pl.Boolean, "bank_account_id": pl.Int64,
        "outflow_id": pl.Int64,
    }  # fmt: skip
    frame = pl.DataFrame([row[:7] for row in rows], schema=columns, orient="row")
    return frame.with_columns(amount_minor=pl.Series(home, dtype=pl.Int64)).sort("debit_on", "name")


def pay_plans(entity_id: int) -> list[PayPlan]:
    """Pay plans with people and total per period: .people, .pay_minor."""
    return list(
        PayPlan.objects.filter(entity_id=entity_id)
        .annotate(people=Count("lines"), pay_minor=Sum("lines__amount_minor"))
        .order_by("name")[:100]
    )


def people_paid(entity_id: int) -> int:
    """How many people the pay plans of a company pay."""
    return PayLine.objects.filter(plan__entity_id=entity_id).count()


def pay_plan(plan_id: int) -> tuple[PayPlan, pl.DataFrame]:
    """A pay plan and what each person gets per period: person, group, amount_minor. Raises: NotFound."""
    plan = PayPlan.objects.filter(pk=plan_id).first()
    if plan is None:
        raise NotFound(f"There is no pay plan {plan_id}.", field="plan_id")
    return plan, bulk.read(
        PayLine.objects.filter(plan_id=plan_id).order_by("group", "person", "id").values("person", "group", "amount_minor")
    )


def planned_outflows(entity_id: int) -> list[PlannedOutflow]:
    """Planned outflows that stand, by name."""
    return list(PlannedOutflow.objects.filter(entity_id=entity_id, is_dropped=False).order_by("name", "id")[:1000])


def planned_outflow(outflow_id: int) -> PlannedOutflow:
    """A planned outflow that stands. Raises: NotFound."""
    found = PlannedOutflow.objects.filter(pk=outflow_id, is_dropped=False).first()
    if found is None:
        raise NotFound(f"There is no planned outflow {outflow_id}.", field="outflow_id")
    return found


def next_occurrence(outflow: PlannedOutflow, *, after: date) -> date | None:
    """The next day after a day on which an outflow is planned; None when it has ended."""
    start = max(after + timedelta(days=1), outflow.first_on)
    days = occurrences(
        first_on=outflow.first_on, frequency=outflow.frequency, start=start, end=start + timedelta(days=367), until=outflow.until
    )
    return days[0] if days else None


def deferrals(entity_id: int) -> list[OutflowDeferral]:
    """Occurrences that were put off and stand so, the latest first (at most 500), each with its outflow."""
    rows = OutflowDeferral.objects.filter(outflow__entity_id=entity_id, outflow__is_dropped=False, is_undone=False)
    return list(rows.select_related("outflow").order_by("-moved_to", "-id")[:500])


def _receipts(entity: Entity, as_of: date, closed: list[date], items: pl.DataFrame, history: History) -> pl.DataFrame:
    """Open invoices as expected receipts in the company's currency.

    What is promised, or a part of a plan, is expected on its day. Disputes count as in `collections.timing`: what is not disputed is expected as usual, the disputed part later by the time that
    disputes of its reason take, and an invoice in litigation not at all.
    """
    items = _with_promises(entity, as_of, _with_disputes(entity, as_of, items))
    if items.is_empty():
        return pl.DataFrame(schema={**cash.RECEIPTS, "number": pl.String})
    worth = rates.convert(items.select("currency", amount_minor="open_minor", on=pl.lit(as_of)), to=entity.currency)
    items = items.with_columns(amount_minor=worth["converted_minor"], currency=pl.lit(entity.currency))
    expected = cash.expected_receipts(
        items.select("customer_id", "currency", "due_on", "amount_minor", "later_days", "promised_on", item_id="invoice_id"),
        history(),
        as_of=as_of,
        closed=closed,
    )
    return expected.with_columns(items["number"])


def _together(receipts: pl.DataFrame, coming: pl.DataFrame) -> pl.DataFrame:
    """Everything that is expected in, as cash.RECEIPTS."""
    return pl.concat([frame.select(cash.RECEIPTS.keys()) for frame in (receipts, coming)])


def _coming(entity: Entity, as_of: date, end: date, closed: list[date], history: History) -> pl.DataFrame:
    """What contracts will be billed for and customers are expected to pay before a day, in the company's currency."""
    billed = foresight.coming(entity=entity, as_of=as_of, until=end)
    nothing = pl.DataFrame(schema={**cash.RECEIPTS, "bill_on": pl.Date, "due_on": pl.Date})
    if billed.is_empty():
        return nothing
    worth = rates.convert(billed.select("currency", "amount_minor", on=pl.lit(as_of)), to=entity.currency)
    billed = market.resolve(billed.with_columns(amount_minor=worth["converted_minor"], currency=pl.lit(entity.currency)))
    items = billed.select("customer_id", "currency", "due_on", "amount_minor", item_id=pl.lit(None, dtype=pl.Int64))
    expected = cash.expected_receipts(items, history(), as_of=as_of, closed=closed)
    return expected.with_columns(billed["bill_on"], billed["due_on"]).filter(pl.col("expected_on") < end).select(nothing.columns)


def _uncovered(entity: Entity, as_of: date, items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, Stray]:
    """Open invoices less what money that is here covers; what that covers of each; and the money that nobody recognised.

    Unapplied money and open credit notes of a customer cover what that customer owes, the earliest due first. Money of an unknown payer
    covers what was due nearest to the day it came, of whoever: that is what somebody is likeliest to have paid, and it would be counted twice.
    Interest notes are not foreseen.
    """
    unapplied = receivables.unapplied(entity_id=entity.pk, as_of=as_of)
    cash = market.resolve(unapplied.drop_nulls("customer_id"))
    notes = items.filter(pl.col("open_minor") < 0).select("customer_id", "currency", amount_minor=-pl.col("open_minor"))
    means = pl.concat([notes, cash.select("customer_id", "currency", amount_minor="left_minor")])
    debts = items.filter((pl.col("open_minor") > 0) & (pl.col("kind") != "interest")).with_row_index("row")
    debts = debts.with_columns(pl.col("row").cast(pl.Int64))
    who = ["customer_id", "currency"]
    met = in_turn(
        debts.sort("due_on", "invoice_id").select(*who, "row", amount_minor="open_minor"),
        means.group_by(who).agg(pl.col("amount_minor").sum()), by=who,
    )  # fmt: skip
    left = _less(debts, met)
    strange = unapplied.filter(pl.col("customer_id").is_null()).select("currency", on="received_on", amount_minor="left_minor")
    paid = stray_money.met(left.select("row", "currency", "issued_on", "due_on", amount_minor="open_minor"), strange)
    gone = pl.concat([frame.select("row", "amount_minor") for frame in (met, paid)]).join(
        debts.select("row", "invoice_id", "currency"), on="row"
    )
    covered = gone.group_by("invoice_id").agg(covered_minor=pl.col("amount_minor").sum()).sort("invoice_id")
    set_against = paid.join(debts.select("row", "currency"), on="row")
    totals, parts = (
        sum(at_home(frame.group_by("currency").agg(pl.col("amount_minor").sum()).sort("currency").rows(), entity.currency, as_of))
        for frame in (strange, set_against)
    )
    return _less(left, paid).select(items.columns), covered, Stray(entity.currency, strange.height, totals, parts)


def _less(debts: pl.DataFrame, met: pl.DataFrame) -> pl.DataFrame:
    """Open items (row, open_minor) less what meets them; those of which nothing is left are gone."""
    sums = met.group_by("row").agg(met_minor=pl.col("amount_minor").sum())
    left = debts.join(sums, on="row", how="left", maintain_order="left")
    left = left.with_columns(open_minor=pl.col("open_minor") - pl.col("met_minor").fill_null(0)).drop("met_minor")
    return left.filter(pl.col("open_minor") > 0)


def _with_promises(entity: Entity, as_of: date, items: pl.DataFrame) -> pl.DataFrame:
    """Open items with promised_on, what is promised apart from the rest; what is due earliest is promised first."""
    opened = items.group_by("invoice_id").agg(pl.col("open_minor").sum())
    said = timing.promised(entity_id=entity.pk, as_of=as_of, opened=opened)
    plain = items.with_columns(promised_on=pl.lit(None, dtype=pl.Date))
    if said.is_empty():
        return plain
    rows = plain.sort("due_on", "invoice_id", "later_days").with_row_index("row")
    met = in_turn(rows.select("invoice_id", "row", amount_minor="open_minor"), said, by=["invoice_id"])
    of_row = met.group_by("row").agg(met_minor=pl.col("amount_minor").sum())
    rest = rows.join(of_row, on="row", how="left", maintain_order="left").with_columns(
        open_minor=pl.col("open_minor") - pl.col("met_minor").fill_null(0)
    )
    promised = rows.drop("promised_on", "open_minor").join(
        met.select("row", "promised_on", open_minor="amount_minor"), on="row", maintain_order="left"
    )
    return pl.concat([frame.select(plain.columns) for frame in (rest.filter(pl.col("open_minor") > 0), promised)])


def _with_disputes(entity: Entity, as_of: date, items: pl.DataFrame) -> pl.DataFrame:
    """Open items with later_days, a disputed one split in two: its earliest parts are what is not disputed."""
    contested = collections.disputed(entity_id=entity.pk, as_of=as_of)
    plain = items.with_columns(later_days=pl.lit(0, dtype=pl.Int64))
    if contested.is_empty():
        return plain
    usual = timing.resolution_days(entity_id=entity.pk, as_of=as_of)
    waits = pl.Series("waits", [round(usual.get(reason, usual[None])) for reason in contested["reason"]], dtype=pl.Int64)
    known = contested.select("invoice_id", "in_court", waits, contested_minor="amount_minor")
    kept = plain.join(known, on="invoice_id", how="left", maintain_order="left").filter(
        ~pl.col("in_court").fill_null(value=False)
    )
    from_here = pl.col("open_minor").cum_sum(reverse=True).over("invoice_id", order_by="due_on")
    later = (pl.col("contested_minor").fill_null(0) - (from_here - pl.col("open_minor"))).clip(0, pl.col("open_minor"))
    kept = kept.with_columns(later_minor=later)
    now = kept.with_columns(open_minor=pl.col("open_minor") - pl.col("later_minor"))
    argued = kept.with_columns(open_minor="later_minor", later_days="waits")
    return pl.concat([now, argued]).filter(pl.col("open_minor") > 0).select(plain.columns)


def by_account(*, entity: Entity, found: Forecast) -> pl.DataFrame:
    """The forecast split by bank account: receipts go where the customer last paid, outflows leave from where they are planned.

    What names no account goes where most payments came in (receipts), or to the account that pays salaries (outflows).
    returns  one row per open account, in the company's currency: name, opening_minor, in_minor, out_minor, closing_minor,
             lowest_minor, lowest_on, minimum_minor (what is to be kept there); the sums of its columns are the forecast's
    """
    accounts = [b.account for b in found.balances]
    if not accounts:
        return pl.DataFrame(schema=BY_ACCOUNT)
    known = {a.pk for a in accounts}
    payments = Payment.objects.filter(entity=entity, received_on__lte=found.as_of, bank_account_id__in=known)
    busiest = payments.values("bank_account_id").annotate(n=Count("id")).order_by("-n").values_list("bank_account_id", flat=True)
    collects = busiest.first() or accounts[0].pk
    pays = next((a.pk for a in accounts if a.pays_payroll), accounts[0].pk)
    used = bulk.read(payments.filter(customer__isnull=False).values("customer_id", "bank_account_id").annotate(last=Max("id")))
    last = used.sort("last").unique("customer_id", keep="last").drop("last")
    coming = (
        _together(found.receipts, found.coming)
        .join(last, on="customer_id", how="left")
        .select(
            account_id=pl.col("bank_account_id").fill_null(collects),
            day="expected_on",
            in_minor="amount_minor",
            out_minor=pl.lit(0),
        )
    )
    account = pl.col("bank_account_id")
    going = found.outflows.select(
        account_id=pl.when(account.is_in(known)).then(account).otherwise(pays), day="debit_on", in_minor=pl.lit(0), out_minor="amount_minor"
    )  # fmt: skip
    start = pl.DataFrame(
        {
            "account_id": [a.pk for a in accounts],
            "name": [a.name for a in accounts],
            "minimum_minor": kept_there(found.balances, entity.currency, found.as_of),
            "opening_minor": in_bank(found.balances, entity.currency, found.as_of),
        }
    ).with_columns(day=pl.lit(found.as_of))
    end = found.as_of + timedelta(days=found.daily.height)
    moves = pl.concat([coming, going], how="vertical_relaxed").filter(pl.col("day") <= end)
    days = moves.group_by("account_id", "day").agg(pl.col("in_minor", "out_minor").sum())
    rows = pl.concat([start, days], how="diagonal_relaxed").sort("account_id", "day").with_columns(
        pl.col("in_minor", "out_minor", "opening_minor").fill_null(0)
    )  # fmt: skip
    stands = (pl.col("opening_minor") + pl.col("in_minor") - pl.col("out_minor")).cum_sum().over("account_id")
    return (
        rows.with_columns(_stands=stands)
        .group_by("account_id", maintain_order=True)
        .agg(
            pl.col("name", "minimum_minor").drop_nulls().first(), pl.col("opening_minor", "in_minor", "out_minor").sum(), closing_minor=pl.col("_stands").last(),
            lowest_minor=pl.col("_stands").min(), lowest_on=pl.col("day").sort_by("_stands", "day").first(),
        )
        .select(*BY_ACCOUNT)
    )  # fmt: skip


def in_bank(balances: Sequence[bank.BankBalance], home: str, on: date) -> list[int]:
    """What stands on each account, in the company's currency at the rate of a day, in order."""
    return at_home([(b.account.currency, b.balance_minor) for b in balances], home, on)


def kept_there(balances: Sequence[bank.BankBalance], home: str, on: date) -> list[int]:
    """What is to be kept on each account, in the company's currency at the rate of a day, in order."""
    return at_home([(b.account.currency, b.account.minimum_minor) for b in balances], home, on)


def at_home(amounts: list[tuple[str, int]], home: str, on: date) -> list[int]:
    """Amounts (currency, minor units) in the company's currency at the rate of a day, in order."""
    if not amounts:
        return []
    frame = pl.DataFrame(amounts, schema={"currency": pl.String, "amount_minor": pl.Int64}, orient="row").with_columns(
        on=pl.lit(on)
    )
    return rates.convert(frame, to=home)["converted_minor"].to_list()
