"""Quotas: a target shared out so that it adds up, prorated and ramped, and how far along each owner is.

A share leans on what an owner brought before as far as that says something about the owner and not about luck; the rest is what the
territory holds. Frames hold one row per owner; all amounts are minor units of one currency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import erfc, sqrt

import numpy as np
import polars as pl

from topline.engine.deals.book import Matrix
from topline.kernel import money
from topline.kernel.errors import Invalid, ensure

ATTAINABLE = 0.4  # quantile of the owner's forecast: six of ten futures reach it
UNFAIR = 0.2  # correlation of attainment with potential from which quotas follow the territory and not the work
NORMAL_90 = 1.2815515655446004  # 90 % quantile of the normal distribution
FEWEST = 5  # owners below which a correlation says nothing
PPM = 1_000_000


def history_weights(past: pl.DataFrame) -> pl.DataFrame:
    """How far each owner's past share of bookings is the owner's own: w = tau^2 / (tau^2 + sigma^2 / n).

    past     one row per owner and past period, periods of equal length: owner, period, won_minor i64
    returns  one row per owner, ordered: owner, history f64 (mean share of the company), n u32, weight f64. tau^2 is the variance between
             owners beyond luck, sigma^2 that within one owner over periods; both 0 with one owner: then history counts whole
    Work: O(n).
    """
    share = pl.col("won_minor") / pl.col("won_minor").sum().over("period")
    rows = past.with_columns(share=pl.when(pl.col("won_minor").sum().over("period") > 0).then(share)).drop_nulls("share")
    by_owner = (
        rows.group_by("owner")
        .agg(history=pl.col("share").mean(), n=pl.len(), apart=pl.col("share").var().fill_null(0.0))
        .sort("owner")
    )
    free = by_owner["n"] - 1
    sigma = float((by_owner["apart"] * free).sum() / max(int(free.sum()), 1))
    luck = sigma * float((1 / by_owner["n"]).mean() or 0.0)  # type: ignore[arg-type]
    tau = max(float(by_owner["history"].var() or 0.0) - luck, 0.0) if by_owner.height > 1 else 0.0  # type: ignore[arg-type]
    whole = pl.lit(tau) + sigma / pl.col("n")
    return by_owner.select("owner", "history", "n", weight=pl.when(whole > 0).then(tau / whole).otherwise(1.0))


def quotas(target_minor: int, owners: pl.DataFrame, *, buffer_ppm: int = 0) -> pl.DataFrame:
    """A target shared out: Q_i = T (1 + buffer) share_i, adding up to the minor unit.

    owners   one row per owner: owner; potential f64 >= 0, what the territory holds, on any scale; history and weight f64 of
             `history_weights` (null: new, potential alone); ramp f64 and capacity f64 from 0 to 1
    returns  the same rows with share f64 and quota_minor i64
    Raises: Invalid without owners, for a potential below 0 or when nobody can carry a part. Work: O(n log n).
    """
    ensure(owners.height > 0, Invalid("A quota needs an owner.", field="owners"))
    ensure(bool((owners["potential"] >= 0).all()), Invalid("A potential is zero or more.", field="potential"))
    potential = pl.col("potential") / pl.col("potential").sum()
    filled = owners.with_columns(_potential=pl.when(pl.col("potential").sum() > 0).then(potential).otherwise(1 / pl.len()))
    weight = pl.when(pl.col("history").is_null()).then(0.0).otherwise(pl.col("weight").fill_null(0.0))
    blended = weight * pl.col("history").fill_null(0.0) + (1 - weight) * pl.col("_potential")
    rows = filled.with_columns(share=blended * pl.col("ramp") * pl.col("capacity")).drop("_potential")
    ensure(float(rows["share"].sum()) > 0, Invalid("Nobody can carry a part of the target.", field="capacity"))
    rows = rows.with_columns(pl.col("share") / pl.col("share").sum())
    total = money.round_minor(Decimal(target_minor) * (PPM + buffer_ppm) / PPM)
    return rows.with_columns(
        quota_minor=pl.Series(money.split(total, [Decimal(str(s)) for s in rows["share"].to_list()]), dtype=pl.Int64)
    )


def split_down(tree: pl.DataFrame, *, root: str, target_minor: int) -> pl.DataFrame:
    """A target from the company to teams to people: what the members of a node get adds up to the node's own, at every level.

    tree     one row per member: member, parent, weight >= 0 (their shares are in proportion)
    returns  one row per member, parents before their members: member, parent, level u32, target_minor i64
    Raises: Invalid for a member of two parents, a cycle, or members that no weight reaches. Work: O(n log n).
    """
    ensure(tree["member"].n_unique() == tree.height, Invalid("A member stands twice in the tree.", field="member"))
    members: dict[str, list[tuple[str, Decimal]]] = {}
    for member, parent, weight in tree.select("member", "parent", "weight").iter_rows():
        members.setdefault(parent, []).append((member, Decimal(str(weight))))
    rows: list[tuple[str, str, int, int]] = []
    reached = [(root, 0, target_minor)]
    for node, level, amount in reached:
        below = members.get(node, [])
        if not below:
            continue
        for (member, _), part in zip(below, money.split(amount, [w for _, w in below]), strict=True):
            rows.append((member, node, level + 1, part))
            reached.append((member, level + 1, part))
    lost = sorted(set(tree["member"].to_list()) - {row[0] for row in rows})
    ensure(
        not lost, Invalid(f"{', '.join(lost[:5])} cannot be reached from {root}: the tree has a cycle or a gap.", field="parent")
    )
    schema = {"member": pl.String, "parent": pl.String, "level": pl.UInt32, "target_minor": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def checked_split(percents: Mapping[str, Decimal], *, overlay: Mapping[str, Decimal] | None = None) -> dict[str, Decimal]:
    """Credit by person in percent: shares of revenue reach exactly 100; overlay comes on top, so all credit may exceed it.

    Raises: Invalid for a split that is not 100 %, or a negative part. Source: opportunity splits, revenue and overlay.
    """
    extra = overlay or {}
    total = sum(percents.values(), Decimal(0))
    ensure(total == 100, Invalid(f"The split comes to {total} %.", field="split", remedy="Make it 100 %."))
    ensure(
        all(v >= 0 for v in (*percents.values(), *extra.values())), Invalid("A part of a split is zero or more.", field="split")
    )
    return {
        who: percents.get(who, Decimal(0)) + extra.get(who, Decimal(0))
        for who in (*percents, *(w for w in extra if w not in percents))
    }


def active_days(*, start: date, end: date, joined: date | None = None, left: date | None = None) -> tuple[int, int]:
    """Days of [start, end) on which someone carries a quota, and days of the period. The first day counts, the day of leaving does not."""
    ensure(start < end, Invalid("A period ends after it starts.", field="end"))
    begun, over = max(start, joined or start), min(end, left or end)
    return max((over - begun).days, 0), (end - start).days


def prorated(quota_minor: int, *, start: date, end: date, joined: date | None = None, left: date | None = None) -> int:
    """A quota for part of a period, by days, rounded half away from zero: what joiners, leavers and movers carry."""
    active, whole = active_days(start=start, end=end, joined=joined, left=left)
    return money.round_minor(Decimal(quota_minor) * active / whole)


def ramp(curve: Sequence[float], *, joined: date, start: date, end: date) -> float:
    """Mean share of full capacity over [start, end) of someone who joined then: one step of the curve per 30 days, full after it."""
    days = np.arange((start - joined).days, (end - joined).days)
    steps = np.r_[np.asarray(curve, dtype=float), 1.0]
    return float(np.where(days < 0, 0.0, steps[np.clip(days // 30, 0, len(steps) - 1)]).mean())


def gone_share(*, start: date, end: date, today: date, working: bool = True) -> float:
    """Share of [start, end) that is over in the morning of a day, counted in working days (Monday to Friday) or in all days."""
    ensure(start < end, Invalid("A period ends after it starts.", field="end"))
    until = min(max(today, start), end)
    whole = int(np.busday_count(start, end)) if working else 0
    return int(np.busday_count(start, until)) / whole if whole else (until - start).days / (end - start).days


def attainment(rows: pl.DataFrame, *, start: date, end: date, today: date, working: bool = False) -> pl.DataFrame:
    """How far along each quota is, to date and at the pace of the days gone; of the working days if `working`.

    rows     one row per quota, prorated already: quota_minor, won_minor i64
    today    the morning of this day: the days before it are gone
    returns  the same rows with attainment f64 (null for a quota of 0), remaining_minor i64 >= 0, pace f64 (won to what would be due by
             now with even days; null on the first day), on_pace_minor i64 (won so far gone on to the end)
    """
    gone = gone_share(start=start, end=end, today=today, working=working)
    won, quota = pl.col("won_minor"), pl.col("quota_minor")
    reached = won / pl.when(quota > 0).then(quota)
    return rows.with_columns(
        attainment=reached,
        remaining_minor=pl.max_horizontal(quota - won, 0),
        pace=reached / gone if gone > 0 else pl.lit(None, dtype=pl.Float64),
        on_pace_minor=(won / gone).round().cast(pl.Int64) if gone > 0 else pl.lit(None, dtype=pl.Int64),
    )


def projected(futures: Matrix, quota_minor: Sequence[int]) -> pl.DataFrame:
    """Chance of each quota to be reached, and what the middle future attains.

    futures  futures x owners, minor units of the whole period (`Forecast.futures`); the sum over owners is the company's
    returns  one row per owner in order: p_attain f64 kept between .01 and .99, p50_minor i64, attainment f64 (null for a quota of 0),
             attainable_minor i64 (what six of ten futures reach)
    """
    quota = np.asarray(quota_minor, dtype=float)
    ensure(futures.shape[1] == len(quota), Invalid("One quota per owner is needed.", field="quota_minor"))
    middle = np.median(futures, axis=0)
    return pl.DataFrame(
        {
            "p_attain": np.clip((futures >= quota).mean(axis=0), 0.01, 0.99), "p50_minor": np.rint(middle).astype(np.int64),
            "attainment": [float(m / q) if q > 0 else None for m, q in zip(middle, quota, strict=True)],
            "attainable_minor": np.rint(np.quantile(futures, ATTAINABLE, axis=0)).astype(np.int64),
        },
        schema_overrides={"attainment": pl.Float64},
    )  # fmt: skip


def chance(quota_minor: int, *, p10_minor: int, p50_minor: int, p90_minor: int) -> float:
    """How likely a quota is reached by what is said between a tenth and nine tenths, from .01 to .99; each side spreads like its half of a
    normal."""
    side = (p50_minor - p10_minor if quota_minor < p50_minor else p90_minor - p50_minor) / NORMAL_90
    if side <= 0:
        return 0.99 if quota_minor <= p50_minor else 0.01
    return min(0.99, max(0.01, 0.5 * erfc((quota_minor - p50_minor) / side / sqrt(2))))


def coverage(rows: pl.DataFrame) -> pl.DataFrame:
    """Open pipeline against what is left of the quota, and what it would have to be: 1 / win rate, segment by segment.

    rows     one row per segment: remaining_minor, open_minor i64, win_rate f64 from 0 to 1 by value, or null where unknown
    returns  the same rows with coverage f64 (null once nothing remains), needed f64 (null for a win rate of 0 or unknown),
             gap_minor i64 >= 0 (pipeline still to be made)
    """
    rate = pl.when(pl.col("win_rate") > 0).then(pl.col("win_rate"))
    left = pl.when(pl.col("remaining_minor") > 0).then(pl.col("remaining_minor"))
    gap = (pl.col("remaining_minor") / rate - pl.col("open_minor")).clip(lower_bound=0)
    return rows.with_columns(coverage=pl.col("open_minor") / left, needed=1 / rate, gap_minor=gap.round().cast(pl.Int64))


def over_assignment(quota_minor: Sequence[int], *, target_minor: int) -> float | None:
    """How much the quotas of the street exceed the company's target: 1.1 = 10 % more. None without a target."""
    return sum(quota_minor) / target_minor if target_minor > 0 else None


@dataclass(frozen=True, slots=True)
class Fairness:
    """correlation of attainment with potential, None below five owners or where either is the same for all; sentence for the page."""

    correlation: float | None
    owners: int
    sentence: str

    @property
    def fair(self) -> bool | None:
        """Whether attainment does not follow the territory; None where nothing can be said."""
        return None if self.correlation is None else abs(self.correlation) < UNFAIR


def fairness(rows: pl.DataFrame) -> Fairness:
    """Whether those with the better territory attain more: then quotas measure the territory. rows: attainment, potential f64."""
    both = rows.select("attainment", "potential").drop_nulls()
    x, y = both["attainment"].to_numpy(), both["potential"].to_numpy()
    if both.height < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Fairness(None, both.height, "Too few owners, or all alike: nothing can be said about fairness.")
    found = float(np.corrcoef(x, y)[0, 1])
    fair = (
        "Attainment does not follow the territory."
        if abs(found) < UNFAIR
        else "Attainment follows the territory: the quotas do not."
    )
    return Fairness(found, both.height, fair)
