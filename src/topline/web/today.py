"""What the Today page tells, in the browser and in the terminal: one read, no arithmetic anywhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from topline.bank.models import BankStatement
from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.engine.cash import Coverage
from topline.kernel.money import Money
from topline.kernel.remember import Remembered
from topline.market import queries as market
from topline.receivables import figures
from topline.treasury import frozen, levers
from topline.treasury import queries as treasury
from topline.treasury.levers import Help, Plan
from topline.treasury.models import PayPlan, PlannedOutflow
from topline.treasury.outlook import Odds, Outlook

LISTED = 6  # payrolls, and duties, that are told


@dataclass(frozen=True)
class PayrollAnswer:
    """One payroll, tax or vendor in words: the verdict, the invoices it hangs on, its odds, and what can be done where it is not safe."""

    coverage: Coverage
    verdict: str  # "covered", "depends", "short"
    sentence: str
    deciding: list[dict[str, object]]
    odds: Odds | None = None
    odds_sentence: str = ""
    help: Help | None = None


@dataclass(frozen=True)
class Today:
    """One company on one day."""

    entity: Entity
    as_of: date
    aging: figures.Aging
    collection: figures.Collection
    forecast: treasury.Forecast
    payrolls: list[PayrollAnswer]
    duties: list[PayrollAnswer]
    largest_overdue: list[dict[str, object]]
    missing: list[tuple[str, str]]
    outlook: Outlook | None

    @property
    def overdue_minor(self) -> int:
        """What is past due in the company's currency."""
        mine = self.aging.items.filter(
            (pl.col("currency") == self.entity.currency) & (pl.col("age_days") > 0) & (pl.col("open_minor") > 0)
        )
        return int(mine["open_minor"].sum())


_LAST: Remembered[Today] = Remembered(size=16)


def today(*, entity: Entity, as_of: date) -> Today:
    """Who owes us, what is in the bank, is payroll covered: as of the end of a day.

    Work: one statement when nothing has changed since it was asked last; else one pass over the open items.
    """
    return _LAST.get((entity.pk, as_of), lambda: _read(entity, as_of))


def _read(entity: Entity, as_of: date) -> Today:
    aging = figures.aged(entity_id=entity.pk, as_of=as_of)
    forecast = treasury.forecast(entity=entity, as_of=as_of, items=aging.items)
    needs = bool(forecast.payrolls or forecast.duties)
    helps = levers.plan(entity=entity, as_of=as_of, plain=forecast) if needs else None
    told = (helps.outlook if helps else None) or (frozen.told(entity=entity, as_of=as_of, plain=forecast) if needs else None)
    late = aging.items.filter((pl.col("age_days") > 0) & (pl.col("open_minor") > 0)).sort("open_minor", descending=True).head(8)
    return Today(
        entity=entity,
        as_of=as_of,
        aging=aging,
        collection=figures.collection(entity_id=entity.pk, as_of=as_of, currency=entity.currency, now=aging),
        forecast=forecast,
        payrolls=[with_odds(answer(c, forecast), told, helps) for c in forecast.payrolls[:LISTED]],
        duties=[with_odds(answer(c, forecast), told, helps) for c in forecast.duties[:LISTED]],
        outlook=told,
        largest_overdue=_named(
            late.select("invoice_id", "number", "customer_id", "currency", "open_minor", "due_on", "age_days")
        ),
        missing=checklist(entity),
    )


def answer(coverage: Coverage, forecast: treasury.Forecast) -> PayrollAnswer:
    """The verdict on one payroll as a sentence for a person."""
    money = Money(coverage.amount_minor, forecast.currency)
    in_time = forecast.receipts.filter(pl.col("item_id").is_in(coverage.deciding) & (pl.col("expected_on") < coverage.debit_on))
    whole = in_time.group_by("item_id", "number", "customer_id", "currency")
    deciding = whole.agg(pl.col("amount_minor").sum(), pl.col("expected_on").max()).sort(
        "amount_minor", "item_id", descending=[True, False]
    )
    rows = _named(deciding.select("number", "customer_id", "currency", "expected_on", "amount_minor", invoice_id="item_id"))
    day = f"{coverage.debit_on:%a %d %b}"
    if coverage.short_minor:
        verdict, sentence = (
            "short",
            f"{coverage.name} of {money} on {day} is short by {Money(coverage.short_minor, forecast.currency)}.",
        )
    elif not coverage.deciding:
        verdict, sentence = "covered", f"{coverage.name} of {money} on {day} is covered by what is in the bank today."
    else:
        count = len(coverage.deciding)
        verdict, sentence = (
            "depends",
            f"{coverage.name} of {money} on {day} is covered if {count} expected {'payment comes' if count == 1 else 'payments come'} in.",
        )
    return PayrollAnswer(coverage, verdict, sentence, rows)


def with_odds(said: PayrollAnswer, told: Outlook | None, helps: Plan | None) -> PayrollAnswer:
    """The answer with its probability, in fixed words, and what can be done where it is not safe; without an outlook as it was."""
    known = (*told.payrolls, *told.duties) if told else ()
    odds = next((o for o in known if o.coverage == said.coverage), None)
    if told is None or odds is None:
        return said
    if odds.verdict != said.verdict:
        said = replace(said, verdict=odds.verdict, sentence=_by_odds(odds, told.currency))
    sentence = f"Covered in {odds.percent} of 100 futures ({odds.words})."
    if odds.short_p90_minor:
        sentence += f" To be covered 9 times in 10 it lacks {Money(odds.short_p90_minor, told.currency)}."
    found = helps.of(said.coverage) if helps else None
    if found and found.unmoved is not None:
        sentence += f" If nothing is moved between accounts: {found.unmoved} of 100."
    return replace(said, odds=odds, odds_sentence=sentence, help=found)


def _by_odds(odds: Odds, currency: str) -> str:
    """The verdict where many small chances add up to another than each invoice on its likeliest day."""
    at = odds.coverage
    need = f"{at.name} of {Money(at.amount_minor, currency)} on {at.debit_on:%a %d %b}"
    if odds.short_minor:
        return f"{need} is short by {Money(odds.short_minor, currency)} in the middle of the futures."
    return f"{need} is covered if as much comes in as customers usually pay by then."


def checklist(entity: Entity) -> list[tuple[str, str]]:
    """What a new company still lacks: (key of the step, sentence); empty when everything is there."""
    steps = [
        ("receivables", "Import your open invoices", Invoice.objects.filter(entity=entity).exists()),
        ("bank", "Import a bank statement", BankStatement.objects.filter(account__entity=entity).exists()),
        ("payroll", "Import who is paid, and when", PayPlan.objects.filter(entity=entity).exists()),
        ("outflows", "Add rent, taxes and other recurring costs", PlannedOutflow.objects.filter(entity=entity).exists()),
    ]
    return [(key, sentence) for key, sentence, done in steps if not done]


def _named(rows: pl.DataFrame) -> list[dict[str, object]]:
    """Rows with the customer's name, as plain dictionaries for templates."""
    names = market.names(rows["customer_id"].unique().to_list())
    return [{**row, "customer": names.get(row["customer_id"], "")} for row in rows.iter_rows(named=True)]
