"""How likely each open deal is to be won and when, as the machines told it on a Monday; why; and whether such chances kept their word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Avg, Count, F, IntegerField, Q, QuerySet
from django.db.models.functions import Cast

from topline.engine.deals.reasons import BEGINNING, MOMENT
from topline.pipeline import queries
from topline.pipeline.machine import BP
from topline.pipeline.models import DealChance, Opportunity

BAND_BP = 1_000  # chances are judged ten points at a time
WEEK = timedelta(days=7)
FEWEST = 20  # tellings below which a share says little
FACTORS = {"owner": "Owner", "team": "Team of", "product": "Product", "segment": "Segment", "size": "Size, from the smallest:"}


@dataclass(frozen=True)
class Kept:
    """What became of chances of a band whose quarter is over.

    low, high  of the band, of a hundred; told: how many times one was told, about `deals` deals; said and came: the mean of these chances
               and the share that was won, of a hundred
    """

    low: int
    high: int
    told: int
    deals: int
    said: float
    came: float


@dataclass(frozen=True)
class Step:
    """One thing that moves a chance: in words, by how many points, and the chance of a hundred after it."""

    words: str
    points: int
    chance: int


@dataclass(frozen=True)
class Chance:
    """How likely a deal is to be won, of a hundred, as told at the end of a Monday (is_rehearsed: reckoned later, from what was known before it).

    until      the last day of the quarter that `in_quarter` is about; `ever` is within 27 weeks, and `before` what that was the time before
    weeks      first day of each week, ten-thousandths to be won in it; middle_on: by when half of `ever` has come, None where it is small
    steps      from the chance of a deal on its first day to `ever`: points of a hundred that add up to it
    tells      whether anything beside age and stage tells this company's deals apart
    kept       what became of such chances for a quarter, None where none is over
    """

    as_of: date
    is_rehearsed: bool
    until: date
    in_quarter: int
    ever: int
    before: int | None
    before_on: date | None
    weeks: list[tuple[date, int]]
    middle_on: date | None
    steps: list[Step]
    tells: bool
    kept: Kept | None


def of_hundred(bp: int) -> int:
    """Ten-thousandths as a chance of a hundred, never none and never certain."""
    return min(max(round(bp * 100 / BP), 1), 99)


def chance(*, deal: Opportunity, as_of: date) -> Chance | None:
    """What was last told about an open deal by a day; None where nothing was. Work: three statements."""
    rows = DealChance.objects.filter(opportunity_id=deal.pk, as_of__lte=as_of).order_by("-as_of")
    told = list(rows[:2])
    if deal.state != "open" or not told:
        return None
    last, earlier = told[0], told[1] if len(told) > 1 else None
    begins = last.as_of if last.is_rehearsed else last.as_of + timedelta(days=1)
    weeks = [(begins + number * WEEK, bp) for number, bp in enumerate(last.by_week)]
    steps = _steps(last)
    return Chance(
        last.as_of, last.is_rehearsed, last.ends_on - timedelta(days=1), of_hundred(last.in_period_bp), of_hundred(last.ever_bp),
        of_hundred(earlier.ever_bp) if earlier else None, earlier.as_of if earlier else None, weeks, _middle(weeks), steps, len(steps) > 2,
        next(iter(_kept(_judged(last.entity_id, as_of).filter(in_period_bp__gte=(low := _band(last.in_period_bp) * BAND_BP), in_period_bp__lt=low + BAND_BP + (low == BP - BAND_BP)))), None),
    )  # fmt: skip


def kept(*, entity_id: int, as_of: date) -> list[Kept]:
    """Whether chances of quarters that are over by a day kept their word, by band of ten points, the highest first. One statement."""
    return sorted(_kept(_judged(entity_id, as_of)), key=lambda band: -band.low)


def _band(bp: int) -> int:
    return min(bp // BAND_BP, BP // BAND_BP - 1)


def _judged(entity_id: int, as_of: date) -> QuerySet[DealChance]:
    return DealChance.objects.filter(entity_id=entity_id, ends_on__lte=as_of, opportunity__is_withdrawn=False)


def _kept(rows: QuerySet[DealChance]) -> list[Kept]:
    """Bands with what was said and what came of it. A certain chance is in the highest band."""
    in_time = Q(opportunity__state="won", opportunity__closed_on__gte=F("as_of"), opportunity__closed_on__lt=F("ends_on"))
    found = (
        rows.annotate(band=Cast(F("in_period_bp") / BAND_BP, IntegerField()))
        .values("band")
        .annotate(
            told=Count("id"),
            deals=Count("opportunity_id", distinct=True),
            said=Avg("in_period_bp"),
            won=Count("id", filter=in_time),
        )
        .order_by("band")
    )
    bands: dict[int, list[Any]] = {}
    for row in found:
        bands.setdefault(min(row["band"], BP // BAND_BP - 1), []).append(row)
    answer = []
    for band, parts in bands.items():
        told = sum(p["told"] for p in parts)
        said = float(sum(p["said"] * p["told"] for p in parts)) / told * 100 / BP
        came = 100 * sum(p["won"] for p in parts) / told
        answer.append(Kept(band * 10, band * 10 + 10, told, max(p["deals"] for p in parts), said, came))
    return answer


def _middle(weeks: list[tuple[date, int]]) -> date | None:
    """The last day of the week by which half of what chance there is has come; None below five of a hundred."""
    total, reached = sum(bp for _, bp in weeks), 0
    for day, bp in weeks:
        reached += bp
        if total >= BP // 20 and 2 * reached >= total:
            return day + WEEK - timedelta(days=1)
    return None


def _steps(row: DealChance) -> list[Step]:
    """The steps in words; points are those between rounded chances, so that they add up."""
    names = dict(queries.stages().select("key", "name").iter_rows()) if row.stage_key else {}
    found, level, shown = [], 0, 0
    for factor, value, bp in row.reasons:
        level += bp
        after = of_hundred(level)
        found.append(Step(_words(row, factor, value, names), after - shown, after))
        shown = after
    return found


def _words(row: DealChance, factor: str, value: str | None, stages: dict[str, str]) -> str:
    if factor == BEGINNING:
        return "A deal of yours on its first day"
    if factor == MOMENT:
        stands = f", {row.stage_days} of them in {stages.get(row.stage_key, row.stage_key)}" if row.stage_key else ""
        return f"This one is {row.age_days} {'day' if row.age_days == 1 else 'days'} on its way{stands}"
    return f"{FACTORS.get(factor, factor.replace('_', ' ').capitalize())} {value or 'none'}"
