"""What customers say, in figures: recommendation, contentment, tickets; each with how many said it and between which bounds it lies."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import median

import polars as pl

from topline.engine.proportions import NORMAL_95, wilson

ENOUGH = 15  # answers below which a figure is not told
PROMOTER, DETRACTOR = 9, 6  # scores from 9 up, and up to 6
CONTENT = 4  # scores of contentment from 4 of 5 up


@dataclass(frozen=True, slots=True)
class Told:
    """A figure with its 95 % interval and how many answers it rests on; None with too few of them.

    hits, misses  promoters and detractors, or the content and the others
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    hits: int
    misses: int

    @property
    def is_enough(self) -> bool:
        """Whether there are enough answers to tell the figure."""
        return self.n >= ENOUGH


@dataclass(frozen=True, slots=True)
class Tickets:
    """count  tickets; customers: those who could have asked; answered: tickets of which the first response is known."""

    count: int
    customers: int
    answered: int
    median_minutes: float | None

    @property
    def per_customer(self) -> float | None:
        """Tickets a customer; None without customers."""
        return self.count / self.customers if self.customers else None


def net_promoter(promoters: int, detractors: int, n: int) -> Told:
    """Net promoter score in points from -100 to 100: share of promoters less share of detractors.

    The interval is the adjusted Wald interval of two shares of one sample: one answer is added to either side, so that
    it has a width even when all answers are alike.
    Source: Reichheld, Harvard Business Review 12/2003; Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479-488.
    """
    if n < ENOUGH:
        return Told(None, None, None, n, promoters, detractors)
    up, down = (promoters + 1) / (n + 2), (detractors + 1) / (n + 2)
    half = NORMAL_95 * sqrt((up + down - (up - down) ** 2) / (n + 2))
    value = 100 * (promoters - detractors) / n
    return Told(value, max(-100.0, 100 * (up - down - half)), min(100.0, 100 * (up - down + half)), n, promoters, detractors)


def content_share(content: int, n: int) -> Told:
    """Share of answers that are 4 or 5 of 5, with Wilson's interval. Source: the usual top-two-box score; Wilson, JASA 22 (1927)."""
    if n < ENOUGH:
        return Told(None, None, None, n, content, n - content)
    low, high = wilson(content, n)
    return Told(content / n, low, high, n, content, n - content)


def scores(records: pl.DataFrame) -> tuple[Told, Told]:
    """Recommendation and contentment of one group of records.

    records  one row per record: kind str (nps, csat, ticket), score i64
    """
    nps = records.filter(pl.col("kind") == "nps")["score"]
    csat = records.filter(pl.col("kind") == "csat")["score"]
    recommended = net_promoter(int((nps >= PROMOTER).sum()), int((nps <= DETRACTOR).sum()), nps.len())
    return recommended, content_share(int((csat >= CONTENT).sum()), csat.len())


def tickets(records: pl.DataFrame, *, customers: int) -> Tickets:
    """Tickets of one group: how many, for how many customers, and the median time to the first response; None below 15 known ones."""
    asked = records.filter(pl.col("kind") == "ticket")
    waits = asked["response_minutes"].drop_nulls().to_list()
    return Tickets(asked.height, customers, len(waits), float(median(waits)) if len(waits) >= ENOUGH else None)
