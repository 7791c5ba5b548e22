"""Reads of the cases room: cases, what every option of one is worth today, and what own outcomes taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Count, Max, Q, Sum

from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Entity
from topline.cases import assumptions, rules
from topline.cases.assumptions import WAITING, OptionSpec
from topline.cases.models import Case, CaseInvoice, CaseStep
from topline.collections import interest
from topline.collections import queries as collections
from topline.engine import large_debt, late_payment, options
from topline.engine.cash import Coverage
from topline.engine.large_debt import Assumption
from topline.kernel import bulk, money
from topline.kernel.errors import NotFound
from topline.market import queries as market
from topline.market.models import Customer
from topline.receivables import queries as receivables
from topline.receivables.models import Allocation
from topline.timeline import queries as timeline
from topline.treasury import frozen, outlook
from topline.treasury import queries as treasury

LOOKED_AT = 30  # days ahead in which the money is wanted where no payroll is planned
CURVE = (0, 3, 7, 10, 14, 21, 28, 35, 42, 56, 70, 90, 120, 150, 180)
WORKS_FROM = 0.9  # an option has worked when at least this share of what it promised came


@dataclass(frozen=True, slots=True)
class Row:
    """One option for one debt, in the currency of the company; where it cannot apply, `why_not` and nothing else.

    promised       share of the debt that comes if it works
    expected_minor, by_need_minor   expected cash in all, and by the day it is needed
    value_minor    net present value; cost_minor: fees and what is given up; relation_minor: probability to lose the customer x margin
    odds_percent   of the payroll that is looked at; points: against waiting
    arrives_on     half of what is expected has come by then; learned: what was assumed and what own outcomes made of it
    curve          expected cash by the end of each day of CURVE
    """

    spec: OptionSpec
    label: str
    values: Mapping[str, Any]
    why_not: str = ""
    promised: float = 1.0
    expected_minor: int = 0
    by_need_minor: int = 0
    value_minor: int = 0
    cost_minor: int = 0
    relation_minor: int = 0
    odds_percent: int | None = None
    points: int | None = None
    arrives_on: date | None = None
    learned: str = ""
    curve: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All options of one debt on one day.

    payroll      the one that is looked at: the first that is not safe, else the next; odds_percent: of it, by waiting
    yearly_percent  what cash costs; is_at_risk: whether the dearer rate applies
    best         applicable options by value, the first is recommended
    """

    as_of: date
    currency: str
    debt: rules.Debt
    rows: tuple[Row, ...]
    best: tuple[Row, ...]
    payroll: Coverage | None
    odds_percent: int | None
    need_on: date
    is_at_risk: bool
    yearly_percent: float
    future_margin_minor: int
    is_own_record: bool

    @property
    def waiting(self) -> Row:
        """What comes if nothing is done beyond the usual."""
        return self.rows[0]

    @property
    def reasons(self) -> list[str]:
        """Why the first option is recommended, sentence by sentence."""
        return _reasons(self)

    @property
    def days(self) -> list[date]:
        """The days of the curves."""
        return [self.as_of + timedelta(days=n) for n in CURVE]


def case(case_id: int) -> Case:
    """One case. Raises: NotFound."""
    found = Case.objects.select_related("customer", "entity").filter(pk=case_id).first()
    if found is None:
        raise NotFound(f"There is no case {case_id}.", field="case_id")
    return found


def cases(entity_id: int) -> Any:
    """Cases of a company, for lists: order and slice before use."""
    return Case.objects.filter(entity_id=entity_id)


def invoices_of(case_id: int) -> pl.DataFrame:
    """Invoices of a case: invoice_id, number, due_on, open_minor (when it was opened), left_minor (now)."""
    rows = CaseInvoice.objects.filter(case_id=case_id).order_by("invoice__due_on", "invoice_id")
    frame = bulk.read(
        rows.values(
            "invoice_id", "open_minor", "invoice__number", "invoice__due_on", "invoice__total_minor", "invoice__allocated_minor"
        )
    )
    frame = frame.rename({c: c.removeprefix("invoice__") for c in frame.columns})
    return frame.with_columns(left_minor=pl.col("total_minor") - pl.col("allocated_minor")).drop("total_minor", "allocated_minor")


def reason_of(case_id: int) -> str:
    """How a case gives its reason to what it carries out."""
    return f"Case {case_id}"


def debtor(found: Case) -> Customer:
    """The record that stands for the customer of a case today: the one it was merged into, if it was."""
    return market.customer_detail(found.customer_id).customer


def is_paid(case_id: int) -> bool:
    """Whether all invoices of a case were paid or credited; one that was given up was not."""
    return not CaseInvoice.objects.filter(case_id=case_id).exclude(invoice__state=Invoice.State.PAID).exists()


def holds(found: Case) -> bool:
    """Whether the credit hold that the customer is on was set by this case: the last one on their timeline gives it as the reason."""
    detail = market.customer_detail(found.customer_id)
    last = timeline.milestones(customer_ids=detail.ids, kinds=["credit_hold_set"], limit=1)
    return detail.customer.is_on_hold and last["note"].to_list() == [reason_of(found.pk)]


def steps_of(case_id: int) -> list[CaseStep]:
    """Steps of the chosen strategy in order, each with its task and owner."""
    return list(CaseStep.objects.filter(case_id=case_id).select_related("task", "task__assignee").order_by("position")[:50])


def debtors_invoices(*, entity_id: int, customer_id: int, as_of: date) -> pl.DataFrame:
    """What a customer owes and is in no open case: invoice_id, number, currency, due_on, open_minor; one row per invoice."""
    items = receivables.open_items(entity_id=entity_id, as_of=as_of, customer_ids=market.record_ids(customer_id))
    taken = CaseInvoice.objects.filter(is_active=True, case__entity_id=entity_id).values_list("invoice_id", flat=True)
    items = items.filter((pl.col("open_minor") > 0) & ~pl.col("invoice_id").is_in(list(taken)))
    return items.group_by("invoice_id", maintain_order=True).agg(
        pl.col("number", "currency").first(), pl.col("due_on").min(), pl.col("open_minor").sum()
    )


def received(case_id: int, *, since: date) -> tuple[int, date | None]:
    """Money that settled the invoices of a case since a day, what was undone taken back: minor units, and the last day."""
    ids = CaseInvoice.objects.filter(case_id=case_id).values_list("invoice_id", flat=True)
    rows = Allocation.objects.filter(invoice_id__in=list(ids), kind=Allocation.Kind.PAYMENT, effective_on__gte=since)
    sums = rows.aggregate(all=Sum("amount_minor"), last=Max("effective_on", filter=Q(amount_minor__gt=0)))
    total = sums["all"] or 0
    return total, sums["last"] if total > 0 else None


def own_outcomes(entity_id: int) -> dict[str, tuple[int, int]]:
    """What closed cases taught, by option: (times it worked, times it was tried)."""
    rows = Case.objects.filter(entity_id=entity_id, state=Case.State.CLOSED, has_worked__isnull=False).values("strategy")
    counted = rows.annotate(tried=Count("id"), won=Count("id", filter=Q(has_worked=True))).order_by("strategy")[:100]
    return {row["strategy"]: (row["won"], row["tried"]) for row in counted}


def evaluate(found: Case, *, as_of: date) -> Evaluation:
    """Every option for a case side by side, with its assumptions as they stand, as of the end of a day.

    Amounts are in the currency of the company at the day's rate. Where the book is too large for a page, waiting is what was assumed,
    and the payroll has the odds that were last frozen: what an option does to them is then not told. Source: EV = sum P(cash at t) x amount x (1 - cost) x (1 + k)^(-t / 365) - fixed - P(churn) x margin.
    """
    changes, entity = found.assumptions, found.entity
    mine = invoices_of(found.pk)
    debt = _debt(found, mine, as_of)
    settings, facts = assumptions.settings_of(changes), assumptions.facts_of(changes)
    known = outlook.without(entity=entity, as_of=as_of, invoice_ids=frozenset(mine["invoice_id"])) if outlook.is_quick(entity) else None  # fmt: skip
    unit, outcomes = 10 ** money.exponent(entity.currency), own_outcomes(entity.pk)
    if known and known.chances:
        chances = known.chances
    else:
        chances = large_debt.as_option(
            assumptions.assumption(WAITING, assumptions.values_of(WAITING, changes, {}), unit=unit)
        ).arrives
    staying = Assumption(WAITING, 0.0, 0)
    at = _payroll(known, debt, chances, settings["safe_percent"])
    kept = None if known else _frozen_payroll(entity, as_of, settings["safe_percent"])
    need = at.day if at else (kept.coverage.debit_on - as_of).days - 1 if kept else LOOKED_AT
    base = kept.percent if kept else None
    if at:
        base = _odds(at, large_debt.outcomes(staying, debt_minor=debt.amount_minor, by_day=need, waiting=chances))
    is_at_risk = base is not None and base < settings["safe_percent"]
    yearly = settings["gap_percent"] if is_at_risk else settings["line_percent"]
    margin = round(_billed(found, mine, as_of) * settings["margin_percent"] / 100)

    def row(spec: OptionSpec) -> Row:
        values = assumptions.values_of(spec.key, changes, _computed(spec.key, debt))
        label = _label(spec, values)
        if spec.key == WAITING:
            assumed, option = staying, options.Option(WAITING, chances)
        else:
            if reason := rules.why_not(spec.key, debt, facts):
                return Row(spec, label, values, reason)
            won, tried = outcomes.get(spec.key, (0, 0))
            assumed = assumptions.assumption(spec.key, values, unit=unit, won=won, tried=tried)
            option = large_debt.as_option(assumed, waiting=chances)
        (worth,) = options.evaluated(
            [option], debt_minor=debt.amount_minor, yearly_percent=yearly, need_in_days=need, future_margin_minor=margin
        )
        odds = _odds(at, large_debt.outcomes(assumed, debt_minor=debt.amount_minor, by_day=need, waiting=chances)) if at else None
        given_up = round(assumed.chance * debt.amount_minor * max(0.0, 1 - assumed.net_share))
        return Row(
            spec, label, values, promised=min(1.0, assumed.net_share),
            expected_minor=worth.expected_minor, by_need_minor=worth.by_need_minor, value_minor=worth.value_minor,
            cost_minor=assumed.fixed_minor + given_up, relation_minor=round(assumed.churn * margin),
            odds_percent=odds, points=None if odds is None or base is None else odds - base,
            arrives_on=_half_on(option, as_of), learned=_learned(values, *outcomes.get(spec.key, (0, 0))),
            curve=tuple(large_debt.expected_by(option, debt_minor=debt.amount_minor, days=CURVE)),
        )  # fmt: skip

    rows = tuple(row(spec) for spec in assumptions.catalogue().values())
    return Evaluation(
        as_of=as_of, currency=entity.currency, debt=debt, rows=rows, best=tuple(sorted((r for r in rows if not r.why_not), key=lambda r: -r.value_minor)),
        payroll=at.coverage if at else kept.coverage if kept else None, odds_percent=base, need_on=as_of + timedelta(days=need), is_at_risk=is_at_risk, yearly_percent=yearly,
        future_margin_minor=margin, is_own_record=bool(known and known.chances),
    )  # fmt: skip


def _debt(found: Case, mine: pl.DataFrame, as_of: date) -> rules.Debt:
    """What the documents tell of a debt, in the currency of the company. What was paid since does not count."""
    entity, ids = found.entity, mine["invoice_id"].to_list()
    contested = collections.disputed(entity_id=entity.pk, as_of=as_of).filter(pl.col("invoice_id").is_in(ids))
    left, disputed = int(mine["left_minor"].sum()), int(contested["amount_minor"].sum())
    due = mine["due_on"].min()
    contract = found.customer.late_interest_bps
    place = "contract" if contract is not None else late_payment.jurisdiction(entity.country)
    items = mine.select("invoice_id", "due_on", currency=pl.lit(found.currency), open_minor="left_minor").to_dicts()
    charges = interest.charges(items, entity=entity, as_of=as_of, contract_bps=contract)
    charge = sum(c.total_minor for c in charges if c is not None)
    taxed = Invoice.objects.filter(pk__in=ids).aggregate(tax=Sum("tax_minor"), total=Sum("total_minor"))
    amounts = pl.DataFrame({"amount_minor": [left, disputed, charge]}, schema={"amount_minor": pl.Int64})
    home = rates.convert(amounts.with_columns(currency=pl.lit(found.currency), on=pl.lit(as_of)), to=entity.currency)
    amount, disputed, charge = home["converted_minor"].to_list()
    return rules.Debt(
        amount_minor=amount, disputed_minor=min(disputed, amount), overdue_days=(as_of - due).days if isinstance(due, date) else 0,
        tax_share=(taxed["tax"] or 0) / (taxed["total"] or 1), late_charge_minor=charge, jurisdiction=place,
        is_planned=bool(set(ids) & collections.planned_invoices(entity_id=entity.pk)), is_on_hold=found.customer.is_on_hold,
        customer_country=found.customer.country,
    )  # fmt: skip


def _computed(key: str, debt: rules.Debt) -> dict[str, Any]:
    """What the documents say of an option instead of an assumption."""
    amount = max(debt.amount_minor, 1)
    if key == "split":
        credited = debt.disputed_minor / 2  # half of what is contested is credited, until own disputes say otherwise
        share = 1 - credited / amount
        return {
            "share_percent": round(100 * share, 2),
            "first_percent": 100 * (amount - debt.disputed_minor) / max(1.0, amount * share),
        }
    if key == "interest":
        return {"share_percent": round(100 * (1 + debt.late_charge_minor / amount), 4)}
    if key == "agency":
        return {"cost_percent": options.agency_percent(age_days=debt.overdue_days)}
    return {"share_percent": round(100 * debt.tax_share, 4)} if key == assumptions.WRITE_OFF else {}


def _billed(found: Case, mine: pl.DataFrame, as_of: date) -> int:
    """Net sales to the customer in the last year, this debt left out, in the currency of the company."""
    rows = Invoice.objects.filter(
        entity_id=found.entity_id, customer_id__in=market.customer_detail(found.customer_id).ids, kind=Invoice.Kind.INVOICE,
        issued_on__gt=as_of - timedelta(days=365), issued_on__lte=as_of,
    )  # fmt: skip
    rows = rows.exclude(state__in=[Invoice.State.DRAFT, Invoice.State.VOID]).exclude(pk__in=mine["invoice_id"].to_list())
    frame = bulk.read(rows.values("net_minor", "total_minor", "functional_minor"))
    net = pl.col("functional_minor") * pl.col("net_minor") / pl.col("total_minor").clip(1)
    return round(frame.select(net.sum()).item() or 0)


def _payroll(
    known: outlook.Without | None, debt: rules.Debt, chances: Sequence[tuple[int, float]], safe_percent: float
) -> outlook.Standing | None:
    """The payroll that is looked at: the first whose odds by waiting are not safe, else the next; None where there is none."""
    if known is None or not known.payrolls:
        return None
    staying = Assumption(WAITING, 0.0, 0)
    for at in known.payrolls:
        by_then = large_debt.outcomes(staying, debt_minor=debt.amount_minor, by_day=at.day, waiting=tuple(chances))
        if _odds(at, by_then) < safe_percent:
            return at
    return known.payrolls[0]


def _frozen_payroll(entity: Entity, as_of: date, safe_percent: float) -> outlook.Odds | None:
    """The payroll that is looked at where the book is too large to compute, by its odds as last frozen."""
    told = frozen.told(entity=entity, as_of=as_of, plain=treasury.forecast(entity=entity, as_of=as_of))
    ahead = [o for o in told.payrolls if (o.coverage.debit_on - as_of).days > 1] if told else []
    return next((o for o in ahead if o.percent < safe_percent), ahead[0] if ahead else None)


def _odds(at: outlook.Standing, outcomes: list[tuple[float, int]]) -> int:
    """In how many of 100 futures a payroll is covered; never quite sure, never quite lost."""
    share = large_debt.covered(at.futures, need_minor=at.need_minor, outcomes=outcomes)
    return min(99, max(1, round(100 * share)))


def _half_on(option: options.Option, as_of: date) -> date | None:
    """The day by which half of what is expected has come."""
    share, left = option.share * (1 - option.cost_percent / 100), 1 - sum(p for _, p in option.arrives)
    cash = [*((d, p * share) for d, p in option.arrives), *((d, p * left) for d, p in option.otherwise)]
    half, reached = sum(part for _, part in cash) / 2, 0.0
    for day, part in sorted(cash):
        reached += part
        if half and reached >= half - 1e-12:
            return as_of + timedelta(days=day)
    return None


def _label(spec: OptionSpec, values: Mapping[str, Any]) -> str:
    if spec.key == assumptions.SETTLEMENT:
        return f"Settlement at {100 - values['share_percent']:g} % off"
    return f"Payment plan in {values['parts']} parts" if spec.key == "plan" else spec.name


def _learned(values: Mapping[str, Any], won: int, tried: int) -> str:
    assumed = values["chance_percent"]
    if not tried:
        return f"assumed {assumed:g} %"
    return f"assumed {assumed:g} %, own {won} of {tried} → {100 * large_debt.learned(assumed / 100, won=won, tried=tried):.0f} %"


def _reasons(found: Evaluation) -> list[str]:
    def say(amount: int) -> str:
        return str(money.Money(amount, found.currency))

    if not found.debt.amount_minor:
        return ["Nothing is open on its invoices any more: close the case to keep its outcome."]
    best, waiting, payroll = found.best[0], found.waiting, found.payroll
    told = [f"{best.label} is worth most today: {say(best.value_minor)}."]
    if best.arrives_on is not None:
        there = f"Half of what it brings is there by {_day(best.arrives_on)}"
        if payroll:
            apart = (found.need_on - best.arrives_on).days
            there += f", {_apart(apart)} the last day in time for {payroll.name} ({_day(found.need_on)})"
        told.append(there + ".")
    if best is not waiting:
        told.append(
            f"By {_day(found.need_on)} it is expected to bring {say(best.by_need_minor)}; waiting brings {say(waiting.by_need_minor)}."
        )
    if payroll and best.odds_percent is not None and best is not waiting:
        odds = f"covered in {best.odds_percent} of 100 futures instead of {found.odds_percent}"
        told.append(f"{payroll.name} is then {odds}." if best.points else f"It does not come in time to help {payroll.name}.")
    why = f"because {payroll.name} is at risk" if payroll and found.is_at_risk else "the rate of the credit line"
    told.append(f"Cash is counted at {found.yearly_percent:g} % a year, {why}.")
    if best.spec.needs_approval:
        told.append("A second person must approve it.")
    return told


def _apart(days: int) -> str:
    if days == 0:
        return "on"
    return f"{abs(days)} {'day' if abs(days) == 1 else 'days'} {'before' if days > 0 else 'after'}"


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"
