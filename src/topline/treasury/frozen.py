"""The outlook that a page shows whatever the size of the book: computed where that is quick, else the newest one that was frozen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from topline.books.models import Entity
from topline.engine.cash import Coverage
from topline.engine.cash_paths import Range
from topline.engine.proportions import chance_words
from topline.treasury import outlook
from topline.treasury.models import FrozenForecast
from topline.treasury.outlook import Odds, Outlook, Score, trust
from topline.treasury.queries import Forecast


@dataclass(frozen=True, slots=True)
class FrozenOutlook(Outlook):
    """An outlook as it was frozen on an earlier day; its days count from the day of the question, and calls are not ranked in it."""

    frozen_on: date

    @property
    def trust(self) -> str:
        """From which day it is, and what is known of how often such ranges hold."""
        return f"as of {self.frozen_on.day} {self.frozen_on:%b %Y}, since the book is too large to compute at once; {trust(self.record)}"


def told(*, entity: Entity, as_of: date, plain: Forecast) -> Outlook | None:
    """Cash as a distribution at the end of a day: computed, or as last frozen where the book is too large for a page to wait.

    plain  the plain forecast of that day; its payrolls are those whose odds are told
    returns  None where the book is large and nothing was frozen that still looks ahead
    Work: that of `outlook.outlook`, or one statement.
    """
    if outlook.is_quick(entity):
        return outlook.outlook(entity=entity, as_of=as_of)
    kept = FrozenForecast.objects.filter(entity=entity, as_of__lte=as_of, currency=entity.currency).order_by("-as_of").first()
    if kept is None:
        return None
    days = {date.fromisoformat(row["day"]): row for row in kept.days}
    ranges = tuple(
        Range((day - as_of).days, row["p10_minor"], row["p50_minor"], row["p90_minor"])
        for day, row in sorted(days.items())
        if day > as_of
    )
    if not ranges:
        return None
    known = {(row["name"], date.fromisoformat(row["debit_on"]), row["amount_minor"]): row["percent"] for row in kept.payrolls}
    leaves = dict(plain.daily.select("day", "out_minor").iter_rows())

    def odds(at: Coverage, percent: int) -> Odds:
        before = days.get(at.debit_on - timedelta(days=1))
        need = plain.minimum_minor + leaves.get(at.debit_on, at.amount_minor)
        lacks, short = (max(0, need - before[at_share]) if before else at.short_minor for at_share in ("p10_minor", "p50_minor"))
        return Odds(coverage=at, percent=percent, words=chance_words(percent), short_p90_minor=lacks, short_minor=short)

    asked = [(at, known.get((at.name, at.debit_on, at.amount_minor))) for at in plain.payrolls]
    return FrozenOutlook(
        as_of=as_of,
        currency=kept.currency,
        ranges=ranges,
        lowest=min(ranges, key=lambda r: (r.p10, r.day)),
        payrolls=tuple(odds(at, percent) for at, percent in asked if percent is not None),
        duties=(),
        record=tuple(Score(**row) for row in kept.record),
        method="as it was frozen",
        version=kept.model_version,
        frozen_on=kept.as_of,
    )
