"""What can be done about a payroll, a tax or a vendor that is not safe: levers of every kind, with what each gains and costs.

Levers that bring sure cash are held against the same futures as the odds, so their gain is exact. What a call, an offer or a factor
brings is assumed until own records say otherwise, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from topline.bank.models import BankAccount
from topline.books.models import Entity
from topline.collections import reminders, worklist
from topline.collections.models import PayrollStake
from topline.engine import early_payment, late_payment
from topline.engine import levers as engine
from topline.engine.cash import Coverage
from topline.kernel import clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import NotFound
from topline.kernel.money import Money, exponent
from topline.kernel.remember import Remembered
from topline.market import queries as market
from topline.market.models import Customer
from topline.receivables import offers as standing_offers
from topline.treasury import offers, outlook, queries
from topline.treasury.actions import FURTHEST_DEFERRAL
from topline.treasury.calendar import closed_days
from topline.treasury.models import PlannedOutflow
from topline.treasury.outlook import Outlook

LOOKED_AT = 6  # payrolls, and duties, in order of their days
AT_MOST = {"chase": 5, "offer": 5, "defer": 5, "transfer": 3, "draw": 3, "factor": 3}  # levers of a kind for one need
LEAST_WEIGHED_PPM, MOST_WEIGHED = (
    100,
    1_000,
)  # invoices whose call gains less than a hundredth of a point, or beyond these many, are left out
MOST_POINTS = 98.0  # odds lie between 1 and 99 in 100
LEAST_GAIN = 0.0005  # of the probability: what gains less than a twentieth of a point is no lever
LINE_DAYS = 30  # assumed: what is drawn is paid back after a month
BANK_DAYS = 1  # assumed: a transfer between own banks, and a drawing, are there on the next day
WAITS_FIRST = {
    PlannedOutflow.Kind.VENDOR: 0,
    PlannedOutflow.Kind.OTHER: 0,
    PlannedOutflow.Kind.RENT: 1,
    PlannedOutflow.Kind.LOAN: 2,
}
LATE_PERCENT = Decimal(10)  # assumed: yearly interest that a vendor may ask for where no law is known
# Assumed, as for a case: a factor buys one debt in two, within ten days, and pays 85 % of it at once less a flat fee of 6 % (3 % a
# month) and a fixed sum for the papers; the rest comes when the customer pays, after some 60 days.
FACTOR_CHANCE, FACTOR_DAYS, FACTOR_ADVANCE, FACTOR_FEE, FACTOR_FIXED, FACTOR_REST_DAYS = 0.5, 10, 0.85, 0.06, 1_000, 60
FACTOR_OLDEST = 90  # days late beyond which no factor buys
SCHEMA = {
    "key": pl.String, "amount_minor": pl.Int64, "discount_minor": pl.Int64, "before": pl.Float64, "after": pl.Float64, "cost_minor": pl.Int64,
    "days": pl.Int64, "priority": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lever:
    """One thing to do about a need.

    kind        chase, offer, defer, transfer, draw or factor
    points      by how many in a hundred it raises the odds; percent_after: what they are then
    cash_minor  expected by the day; cost_minor: expected cost; yearly_percent: of the money, None where that makes no sense
    days        until the cash is there
    is_exact    whether the gain is read from the futures alone; else it rests on an assumption
    needs       what it takes, and who decides
    about       what a button needs: ids, days, the discount
    by_cost, by_effect, by_days   its place in each order, 0 first
    """

    kind: str
    title: str
    points: float
    percent_after: int
    cash_minor: int
    cost_minor: int
    yearly_percent: float | None
    days: int
    is_exact: bool
    needs: str
    about: dict[str, Any] = field(hash=False)
    by_cost: int
    by_effect: int
    by_days: int

    @property
    def gains(self) -> str:
        """Its gain in words; where the odds cannot move by a tenth of a point it only brings the money nearer to the need."""
        return f"+{self.points} in 100" if self.points > 0 else "less than 0.1 in 100"


@dataclass(frozen=True, slots=True)
class Help:
    """A need that is not safe, and what can be done about it; levers in the order of what a point of safety costs.

    lacks_minor    to be covered 9 times in 10; pay_by: the last day on which money is in time
    unmoved        its odds if nothing were moved between own accounts, None where that changes none of a hundred
    """

    coverage: Coverage
    percent: int
    lacks_minor: int
    pay_by: date
    unmoved: int | None
    levers: tuple[Lever, ...]

    def in_order(self, order: str) -> list[Lever]:
        """Levers by cost for each point, by effect, or by days to cash."""
        return sorted(self.levers, key=lambda lever: int(getattr(lever, f"by_{order if order in engine.ORDERS else 'cost'}")))


@dataclass(frozen=True, slots=True)
class Plan:
    """Needs that are not safe on a day, in the company's currency, and the outlook that says so; None: the book is too large for a page."""

    as_of: date
    currency: str
    outlook: Outlook | None
    payrolls: tuple[Help, ...] = ()
    duties: tuple[Help, ...] = ()

    def of(self, coverage: Coverage) -> Help | None:
        """What helps one need; None when it is safe."""
        return next((h for h in (*self.payrolls, *self.duties) if h.coverage == coverage), None)


_PLANS: Remembered[Plan] = Remembered(size=16)


def plan(*, entity: Entity, as_of: date, plain: queries.Forecast | None = None) -> Plan:
    """Levers for the next payrolls, and the next taxes and vendors that cannot wait, whose odds are below 90 in 100.

    plain  the plain forecast of that day, where the caller has it already
    Kept in memory until anything changes. Work: the outlook of the day, and a fixed number of statements.
    """
    return _PLANS.get((entity.pk, as_of), lambda: _plan(entity, as_of, plain))


def _plan(entity: Entity, as_of: date, plain: queries.Forecast | None) -> Plan:
    if not outlook.is_quick(entity):
        return Plan(as_of, entity.currency, None)
    told, read = outlook.with_behind(entity=entity, as_of=as_of, plain=plain)
    if not (read.payrolls or read.duties):
        return Plan(as_of, entity.currency, told)
    desk = _Desk(entity, as_of, read)
    drafts = [[d for at in needs[:LOOKED_AT] if (d := desk.draft(at))] for needs in (read.payrolls, read.duties)]
    asked = {row["about"].get("customer_id") for of_kind in drafts for draft in of_kind for row in draft.rows}
    names = market.names(sorted(asked - {None}))
    payrolls, duties = (tuple(_help(draft, names) for draft in of_kind) for of_kind in drafts)
    return Plan(as_of, entity.currency, told, payrolls, duties)


def stake(*, entity_id: int, as_of: date) -> dict[str, Any] | None:
    """What a call about each invoice does to the next payroll that is not safe, from what was known at the end of the day before.

    returns  payroll, payday, debit_on, amount_minor and changes (millionths of the probability by invoice); empty where all payrolls
             are safe; None where the day is weighed already or the book is too large to be weighed
    Raises: NotFound. Work: the outlook of the day before.
    """
    entity = Entity.objects.filter(pk=entity_id).first()
    if entity is None:
        raise NotFound(f"There is no company {entity_id}.", field="entity_id")
    if PayrollStake.objects.filter(entity=entity, as_of=as_of).exists() or not outlook.is_quick(entity):
        return None
    before = as_of - timedelta(days=1)
    read = outlook.with_behind(entity=entity, as_of=before)[1]
    at = next((at for at in read.payrolls if at.percent < offers.SAFE_PERCENT and at.coverage.debit_on > as_of), None)
    if at is None:
        return {}
    chances = read.paid_by(at.day)
    effects = engine.effect_of_actions(
        at.futures, need_minor=at.need_minor, amounts=read.book.amounts, before=chances, after=engine.with_hazard_ratio(chances, engine.CALL_RATIO)
    )  # fmt: skip
    found = read.invoices.select("invoice_id", ppm=pl.Series(np.rint(effects.change * 1_000_000)).cast(pl.Int64))
    most = found.filter(pl.col("ppm") >= LEAST_WEIGHED_PPM).sort("ppm", "invoice_id", descending=[True, False]).head(MOST_WEIGHED)
    return {
        "payroll": at.coverage.name, "payday": at.coverage.payday, "debit_on": at.coverage.debit_on, "amount_minor": at.coverage.amount_minor,
        "changes": {str(pk): ppm for pk, ppm in most.iter_rows()},
    }  # fmt: skip


@action("treasury.weigh_calls", ahead=stake)
def weigh_calls(*, actor: Actor, entity_id: int, as_of: date, ahead: dict[str, Any] | None = None) -> int | None:
    """Keep what a call about each invoice does to the next payroll that is not safe, for the order of the day's list.

    A day is weighed once. Returns the id of what is kept, None where the book is too large to be weighed. Raises: NotFound.
    Work: that of `stake`, before the transaction.
    """
    standing = PayrollStake.objects.filter(entity_id=entity_id, as_of=as_of).values_list("id", flat=True).first()
    told = ahead if ahead is not None or standing is not None else stake(entity_id=entity_id, as_of=as_of)
    if standing is not None or told is None:
        return standing
    kept = PayrollStake.objects.create(entity_id=entity_id, as_of=as_of, recorded_at=clock.now(), **told)
    changed("payroll_stake", kept.pk, after={"as_of": as_of, "payroll": kept.payroll, "invoices": len(kept.changes)})
    return kept.pk


class _Draft(NamedTuple):
    """A need that is not safe and its levers, customers still unnamed, with their ranks."""

    at: outlook.Standing
    unmoved: int | None
    rows: list[dict[str, Any]]


class _Own(NamedTuple):
    """One of our accounts, in the company's currency: what can leave it, and what of its credit line is undrawn."""

    account: BankAccount
    spare_minor: int
    undrawn_minor: int


class _Desk:
    """What is known on a day that levers are made from; read once for all needs."""

    def __init__(self, entity: Entity, as_of: date, read: outlook.Behind) -> None:
        self.entity, self.as_of, self.read, self.home = entity, as_of, read, entity.currency
        may = reminders.chaseable(entity_id=entity.pk, as_of=as_of)
        numbered = may.select("invoice_id", "number", "currency", "due_on", chase_minor="open_minor", debtor_id="customer_id")
        items = read.invoices.with_row_index("row").select("row", "invoice_id", "open_minor", expected_on="p50_on")
        self.items = items.join(numbered, on="invoice_id", how="inner", maintain_order="left")
        offered = {r["invoice_id"] for r in standing_offers.offers(entity.pk, as_of=as_of) if r["state"] == "running"}
        whole = (pl.col("chase_minor") == pl.col("open_minor")) & (pl.col("currency") == self.home)
        self.whole = self.items.filter(whole & ~pl.col("invoice_id").is_in(list(offered)))
        self.at_rest = worklist.at_rest(entity_id=entity.pk, as_of=as_of)
        call = worklist.CALL_COST
        self.call_minor = queries.at_home([(call.currency, call.amount_minor)], self.home, as_of)[0]
        self.accounts = self._accounts()

    def draft(self, at: outlook.Standing) -> _Draft | None:
        """The levers of one need; None when it is safe and nothing need be moved."""
        moves, unmoved, floor = self._transfers(at)
        is_safe = at.percent >= offers.SAFE_PERCENT
        if is_safe and not moves:
            return None
        left = (at.coverage.debit_on - self.as_of).days - 1
        rows = [] if is_safe else [r for kind in (self._calls, self._offers, self._deferrals, self._drawings, self._sales) for r in kind(at, left)]  # fmt: skip
        in_no_doubt = (
            not 100 * engine.ALMOST_SURE <= at.percent <= 100 - 100 * engine.ALMOST_SURE
        )  # then only the distance tells them apart
        table = pl.concat(
            [engine.weighed(_table(some), futures=futures, need_minor=at.need_minor) for some, futures in ((rows, at.futures), (moves, floor))]
        )  # fmt: skip
        ranked = engine.ranked(
            table.filter((pl.col("rank_by") > 0) & (pl.col("cash_minor") > 0) & ((pl.col("change") >= LEAST_GAIN) | in_no_doubt))
        )
        told = {row["key"]: row for row in (*rows, *moves)}
        return _Draft(
            at,
            unmoved if moves and unmoved != at.percent else None,
            [{**told[found["key"]], **found} for found in ranked.sort("by_cost").to_dicts()],
        )

    def _calls(self, at: outlook.Standing, left: int) -> list[dict[str, Any]]:
        """A call about each of the invoices that a call moves most, one a customer, and none to whom was spoken with lately."""
        items = self.items.filter(~pl.col("debtor_id").is_in(self.at_rest))
        if left < 1 or items.is_empty():
            return []
        at_row = items["row"].to_numpy()
        amounts, before = self.read.book.amounts[at_row], self.read.paid_by(at.day)[at_row]
        after = engine.with_hazard_ratio(before, engine.CALL_RATIO)
        effects = engine.effect_of_actions(at.futures, need_minor=at.need_minor, amounts=amounts, before=before, after=after)
        best = items.with_columns(
            _rank=pl.Series(effects.rank_by), home_minor=pl.Series(amounts).cast(pl.Int64), before=pl.Series(before), after=pl.Series(after)
        )  # fmt: skip
        best = best.sort("_rank", "invoice_id", descending=[True, False]).unique("debtor_id", keep="first", maintain_order=True)
        return [
            {
                "kind": "chase", "key": f"chase:{r['invoice_id']}", "title": f"Call {{who}} about {r['number']}", "amount_minor": r["home_minor"],
                "before": r["before"], "after": r["after"], "cost_minor": self.call_minor, "days": self._days_of_call(r["row"], at.day), "yearly_percent": None,
                "is_exact": False, "needs": "A quarter of an hour of a collector.", "about": self._about(r),
            }
            for r in best.head(AT_MOST["chase"]).to_dicts()
        ]  # fmt: skip

    def _offers(self, at: outlook.Standing, left: int) -> list[dict[str, Any]]:
        """A discount for paying by the day, to those whose money costs least."""
        pay_by = self.as_of + timedelta(days=left)
        chances = self.read.paid_by(at.day)[self.whole["row"].to_numpy()]
        late = self.whole.with_columns(
            baseline=pl.Series(chances, dtype=pl.Float64).clip(0, 1),
            expected_on=pl.col("expected_on").fill_null(self.as_of + timedelta(days=worklist.HORIZON)),
        ).filter(pl.col("expected_on") > pay_by)
        if left < 1 or late.is_empty():
            return []
        late = late.sort("open_minor", "invoice_id", descending=[True, False]).head(offers.LOOKED_AT)
        rows = offers.priced(late, pay_by=pay_by, yearly=offers.YEARLY_PERCENT, least=offers.LEAST_PERCENT, take=offers.TAKEN_PERCENT / 100)  # fmt: skip
        everybody = early_payment.cheapest_offers(
            rows, needed_minor=1 << 62, by=pay_by
        )  # no set brings that much: all, by cost per gain
        return [
            {
                "kind": "offer", "key": f"offer:{r['invoice_id']}", "title": f"Offer {{who}} {self._money(r['discount_minor'])} off {r['number']} for paying by {pay_by:%-d %b}",
                "amount_minor": r["amount_minor"], "discount_minor": r["discount_minor"], "before": r["baseline"], "after": r["baseline"] + r["lift"], "cost_minor": r["cost_minor"],
                "days": left, "yearly_percent": r["yearly_percent"], "is_exact": False, "needs": f"Treasury decides; {offers.TAKEN_PERCENT} in 100 are assumed to take one.",
                "about": self._about(r) | {"discount_minor": r["discount_minor"], "expected_on": r["expected_on"]},
            }
            for r in everybody.head(AT_MOST["offer"]).to_dicts()
        ]  # fmt: skip

    def _deferrals(self, at: outlook.Standing, left: int) -> list[dict[str, Any]]:
        """What can wait and is planned to leave before the need or on its day, moved to the business day after it."""
        closed = closed_days(self.entity.country)
        until = at.coverage.debit_on + timedelta(days=1)
        while until.weekday() > 4 or until in closed:
            until += timedelta(days=1)
        rows = self.read.base.outflows.filter(
            pl.col("outflow_id").is_not_null() & ~pl.col("is_critical") & (pl.col("payday") == pl.col("debit_on"))
            & (pl.col("debit_on") <= at.coverage.debit_on) & (pl.col("debit_on") > until - timedelta(days=FURTHEST_DEFERRAL))
        )  # fmt: skip
        found = []
        for r in rows.with_columns(priority=pl.col("kind").replace_strict(WAITS_FIRST, default=2)).sort("priority", "amount_minor", descending=[False, True]).head(AT_MOST["defer"]).to_dicts():  # fmt: skip
            law = late_payment.jurisdiction(self.entity.country)
            charge = late_payment.late_charge(
                jurisdiction=law or "EU", principal_minor=r["amount_minor"], due_on=r["debit_on"], until=until, contract_percent=None if law else LATE_PERCENT
            )  # fmt: skip
            asks = {"rent": "The landlord's word", "loan": "The lender's consent"}.get(r["kind"], "The vendor's word")
            found.append({
                "kind": "defer", "key": f"defer:{r['outflow_id']}:{r['debit_on']}", "title": f"Put {r['name']} of {r['debit_on']:%-d %b} off to {until:%-d %b}", "amount_minor": r["amount_minor"],
                "cost_minor": charge.interest_minor, "days": max(0, (r["debit_on"] - self.as_of).days), "priority": r["priority"], "yearly_percent": float(charge.spans[-1][2]),
                "is_exact": True, "needs": f"{asks}; Treasury decides. Interest {'by law' if law else 'as assumed'} is counted, strain is not.",
                "about": {"outflow_id": r["outflow_id"], "occurs_on": r["debit_on"], "moved_to": until},
            })  # fmt: skip
        return found

    def _drawings(self, at: outlook.Standing, left: int) -> list[dict[str, Any]]:
        """As much of each undrawn credit line as the need lacks."""
        found = []
        for account, _, undrawn in sorted(self.accounts, key=lambda own: (own.account.credit_line_bps, own.account.pk)):
            amount = min(undrawn, at.lacks(0.9))
            if left >= BANK_DAYS and amount > 0:
                cost = round(amount * account.credit_line_bps / 10_000 * LINE_DAYS / 365)
                found.append({
                    "kind": "draw", "key": f"draw:{account.pk}", "title": f"Draw {self._money(amount)} of the credit line on {account.name}", "amount_minor": amount, "cost_minor": cost,
                    "days": BANK_DAYS, "yearly_percent": account.credit_line_bps / 100, "is_exact": True,
                    "needs": f"Treasury decides, as agreed with the bank; paid back after {LINE_DAYS} days is assumed.", "about": {"account_id": account.pk},
                })  # fmt: skip
        return found[: AT_MOST["draw"]]

    def _transfers(self, at: outlook.Standing) -> tuple[list[dict[str, Any]], int, Any]:
        """What stands on other own accounts, where the account that pays would lack it: rows, the odds without it, and its futures."""
        payer = self._payer(at.coverage)
        others = [own for own in self.accounts if payer and own.account.pk != payer.pk and own.spare_minor > 0]
        others.sort(key=lambda own: (-own.spare_minor, own.account.pk))
        floor = at.futures - sum(own.spare_minor for own in others)
        unmoved = min(99, max(1, round(100 * float((floor >= at.need_minor).mean()))))
        left = (at.coverage.debit_on - self.as_of).days - 1
        if payer is None or not others or unmoved >= offers.SAFE_PERCENT or left < BANK_DAYS:
            return [], unmoved, floor
        lacks = max(1, round(float(at.need_minor - np.quantile(floor, 0.1))))
        rows = [
            {
                "kind": "transfer", "key": f"transfer:{account.pk}", "title": f"Move {self._money(min(spare, lacks))} from {account.name} to {payer.name}", "amount_minor": min(spare, lacks),
                "days": BANK_DAYS, "yearly_percent": None, "is_exact": True, "needs": "Treasury decides. The odds count on this money already.",
                "about": {"account_id": account.pk},
            }
            for account, spare, _ in others[: AT_MOST["transfer"]]
        ]  # fmt: skip
        return rows, unmoved, floor

    def _sales(self, at: outlook.Standing, left: int) -> list[dict[str, Any]]:
        """Large debts of customers in good standing that are not old, sold to a factor."""
        if left < FACTOR_DAYS:
            return []
        oldest = self.as_of - timedelta(days=FACTOR_OLDEST)
        held = Customer.objects.filter(pk__in=self.whole["debtor_id"].unique().to_list(), is_on_hold=True).values_list(
            "id", flat=True
        )
        healthy = self.whole.filter((pl.col("due_on") >= oldest) & ~pl.col("debtor_id").is_in(list(held)))
        fixed = FACTOR_FIXED * 10 ** exponent(self.home)
        chances = self.read.paid_by(at.day)[healthy["row"].to_numpy()]
        advance, fee = pl.col("open_minor") * FACTOR_ADVANCE * (1 - FACTOR_FEE) - fixed, pl.col("open_minor") * FACTOR_FEE + fixed
        rows = healthy.with_columns(
            advance=advance, fee=fee, brings=advance - pl.col("open_minor") * pl.Series(chances, dtype=pl.Float64)
        )
        best = rows.filter(pl.col("brings") >= 1).sort("brings", "invoice_id", descending=[True, False]).head(AT_MOST["factor"])
        return [
            {
                "kind": "factor", "key": f"factor:{r['invoice_id']}", "title": f"Sell {r['number']} of {{who}} to a factor", "amount_minor": round(r["brings"]), "after": FACTOR_CHANCE,
                "cost_minor": round(FACTOR_CHANCE * r["fee"]), "days": FACTOR_DAYS, "yearly_percent": 100 * r["fee"] / r["advance"] * 365 / FACTOR_REST_DAYS, "is_exact": False,
                "needs": "A factor's terms, and a second person who approves the case.", "about": self._about(r),
            }
            for r in best.to_dicts()
        ]  # fmt: skip

    def _accounts(self) -> list[_Own]:
        """Open accounts with what can leave them and what of their credit line is undrawn."""
        told = [(b.account, b.balance_minor) for b in self.read.base.balances]
        amounts = [(a.currency, m) for a, b in told for m in (max(0, b - max(0, a.minimum_minor)), max(0, a.credit_line_minor + min(0, b)))]  # fmt: skip
        home = queries.at_home(amounts, self.home, self.as_of)
        return [_Own(account, home[2 * n], home[2 * n + 1]) for n, (account, _) in enumerate(told)]

    def _payer(self, coverage: Coverage) -> BankAccount | None:
        """The account from which a need is paid: the one that its plan names, else the one that pays salaries."""
        rows = self.read.base.outflows.filter((pl.col("name") == coverage.name) & (pl.col("debit_on") == coverage.debit_on))
        named = rows["bank_account_id"].to_list()[:1]
        known = [own.account for own in self.accounts]
        return next((a for a in known if a.pk in named), None) or next((a for a in known if a.pays_payroll), None)

    def _days_of_call(self, row: int, by_day: int) -> int:
        """By which day half of what a call brings until a day has come."""
        chances = self.read.book.paid_by[row].astype(float)
        lift = engine.with_hazard_ratio(chances, engine.CALL_RATIO) - chances
        days = self.read.book.days
        half = lift[days.index(by_day)] / 2 if by_day in days else 0.0
        return next((day for day, gained in zip(days, lift, strict=True) if gained >= half), by_day)

    def _about(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"invoice_id": row["invoice_id"], "customer_id": row["debtor_id"]}

    def _money(self, minor: int) -> str:
        return str(Money(minor, self.home))


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as the engine takes them; what is not named is that of a sure lever without a cost."""
    usual = {"discount_minor": 0, "before": 0.0, "after": 1.0, "cost_minor": 0, "priority": 0}
    return pl.DataFrame([{**usual, **row} for row in rows], schema=SCHEMA)


def _help(draft: _Draft, names: dict[int, str]) -> Help:
    at = draft.at
    levers = tuple(_lever(row, names.get(row["about"].get("customer_id"), "the customer")) for row in draft.rows)
    return Help(at.coverage, at.percent, at.lacks(0.9), at.coverage.debit_on - timedelta(days=1), draft.unmoved, levers)


def _lever(row: dict[str, Any], who: str) -> Lever:
    return Lever(
        kind=row["kind"], title=row["title"].replace("{who}", who), points=min(MOST_POINTS, round(100 * row["change"], 1)), percent_after=row["percent_after"],
        cash_minor=row["cash_minor"], cost_minor=row["cost_minor"], yearly_percent=None if row["yearly_percent"] is None else round(row["yearly_percent"], 1),
        days=row["days"], is_exact=row["is_exact"], needs=row["needs"], about=row["about"], by_cost=row["by_cost"], by_effect=row["by_effect"], by_days=row["by_days"],
    )  # fmt: skip
