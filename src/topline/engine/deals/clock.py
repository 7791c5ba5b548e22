"""When deals close and how: the chance of each day to be the closing day, and of a deal that closes then to be won.

Both follow the deal's age and the place of the day in the week and in the quarter, and where stages are kept, the stage and how long
the deal has stood in it. What tells one deal from another comes on top (`tilt`). Deals that are still open are part of the lesson up
to the day before: leaving them out would teach that every deal closes. Days before the first recorded closing teach nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from topline.engine.deals.book import NEVER, WON, Days, Flags, History, Matrix, Quarters

if TYPE_CHECKING:  # slow to load: only where something is learned
    from sklearn.ensemble import HistGradientBoostingClassifier

OLDEST = 730  # days; an older deal is as likely to close as one of this age
FINE = 28  # ages up to here are looked at day by day, older ones by the week
AGES = np.array([0, 3, 7, 14, 21, 28, 42, 56, 70, 84, 98, 119, 140, 182, 273, 365, OLDEST + 1])
PRIOR_DAILY, PRIOR_CLOSINGS = 1 / 60, 10.0  # one closing in 60 open days, worth this many closings of the company's own
PRIOR_WON, PRIOR_DEALS = 0.3, 10.0
LEARNED_FROM = 150  # closed deals from which boosting beats counting
RARER = (
    0.1  # share by which closed deals may lack a stage oftener than open ones: beyond it, to have one says that a deal is open
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the clock is learned; frozen on the first 13 of the 22 snapshots of the test book and on made-up books."""

    deals: int = 12_000  # drawn at random from a larger book
    rows: int = 250_000  # most open days of one lesson: bounds memory and time
    rounds: int = 80
    learning_rate: float = 0.05
    leaves: int = 8
    leaf_rows: int = 150
    won_rounds: int = 60
    won_leaves: int = 4
    won_leaf_rows: int = 50
    penalty: float = 5.0
    seed: int = 20_170_703


@dataclass(frozen=True, slots=True)
class Stages:
    """Which stage each deal was in, and since when: intervals in order of deal and day, and the share won of each stage.

    deal, since, code  one element per interval; code is a place in `names`, -1 where unknown
    """

    names: tuple[str, ...] = ()
    share_won: Matrix = field(default_factory=lambda: np.zeros(0))
    deal: Days = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    since: Days = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    code: Days = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def kept(self) -> bool:
        """Whether this company keeps stages at all."""
        return bool(self.names)

    def at(self, deal: Days, day: Days) -> tuple[Days, Days]:
        """Stage code of each deal on each day (before its business), and the day on which it was entered."""
        if not self.kept:
            return np.full(len(deal), -1), day
        shift = 1 << 20
        place = np.searchsorted(self.deal * shift + self.since, deal * shift + day, side="left") - 1
        found = (place >= 0) & (self.deal[np.maximum(place, 0)] == deal)
        code = np.where(found, self.code[np.maximum(place, 0)], -1)
        return code, np.where(found, self.since[np.maximum(place, 0)], day)


def stages_of(past: History, changes: pl.DataFrame | None, *, names: tuple[str, ...] | None = None) -> Stages:
    """The stages of a book that was cut: from the changes where there are any, else the row's own.

    names    those to number by, where a clock has learned them already; one that it does not know is unknown
    returns  none where closed deals lack a stage much oftener than open ones, or the reverse: having one would then tell the outcome
    A change counts from the day it was recorded. The share won of a stage is that of closed deals that passed through it, leaning
    on the company's. Work: O(n log n).
    """
    if "stage" not in past.rows.columns or past.rows["stage"].null_count() == len(past):
        return Stages()
    rows = past.rows.select(
        "deal_id", "stage", "outcome", deal=pl.int_range(pl.len(), dtype=pl.Int64), since=pl.Series(past.opened)
    )
    moves = pl.DataFrame(schema={"deal": pl.Int64, "since": pl.Int64, "stage": pl.String})
    if changes is not None:
        moved = changes.filter(pl.col("field") == "stage").join(rows.select("deal_id", "deal"), on="deal_id")
        moved = moved.sort("deal", "recorded_on", "effective_on", maintain_order=True)
        day = pl.col("recorded_on").to_physical().cast(pl.Int64)
        moves = moved.select("deal", since=day, stage=pl.col("after").cast(pl.String))
        first = moved.group_by("deal", maintain_order=True).agg(pl.col("before").first().cast(pl.String).alias("first"))
        rows = rows.join(first, on="deal", how="left", maintain_order="left")
    else:
        rows = rows.with_columns(first=pl.lit(None, dtype=pl.String))
    moving = pl.col("deal").is_in(moves["deal"].unique().to_list())
    begun = rows.select("deal", "since", stage=pl.when(moving).then("first").otherwise("stage")).drop_nulls("stage")
    every = pl.concat([begun, moves]).sort("deal", "since", maintain_order=True)
    told = rows.select(known=pl.col("deal").is_in(every["deal"].unique().to_list()), closed=pl.col("outcome").is_not_null())
    shares = dict(told.group_by("closed").agg(pl.col("known").mean()).iter_rows())
    if len(shares) == 2 and abs(shares[True] - shares[False]) > RARER:
        return Stages()
    names = names or tuple(every["stage"].drop_nulls().unique().sort().to_list())
    coded = every.join(pl.DataFrame({"stage": names, "code": range(len(names))}), on="stage", how="left", maintain_order="left")
    passed = coded.select("deal", "code").unique().join(rows.select("deal", "outcome"), on="deal").drop_nulls()
    won = int(past.won.sum())
    usual = (won + PRIOR_DEALS * PRIOR_WON) / (rows["outcome"].count() + PRIOR_DEALS)
    counted = passed.group_by("code").agg(pl.len().alias("n"), (pl.col("outcome") == WON).sum().alias("won"))
    share = np.full(len(names), usual)
    share[counted["code"].to_numpy()] = ((counted["won"] + PRIOR_DEALS * usual) / (counted["n"] + PRIOR_DEALS)).to_numpy()
    columns = [coded[name].fill_null(-1).cast(pl.Int64).to_numpy() for name in ("deal", "since", "code")]
    return Stages(names, share, *columns)


@dataclass(frozen=True, slots=True)
class Seen:
    """Deals as seen from a day: opened and day numbers, and stage code and the day it was entered where stages are kept."""

    opened: Days
    day: Days
    code: Days
    entered: Days

    def __len__(self) -> int:
        return len(self.opened)

    def take(self, which: Days | slice) -> Seen:
        """The same, for some of them."""
        return Seen(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class Clock:
    """A fitted clock. A booster is None where there was too little to learn from, or where it did not beat counting."""

    quarters: Quarters
    stages: Stages
    closing: HistGradientBoostingClassifier | None
    winning: HistGradientBoostingClassifier | None
    by_age: Matrix  # daily chance of closing by band of AGES
    share_won: float
    used: Days

    def inputs(self, seen: Seen, which: Days, day: Days) -> Matrix:
        """What is known about candidate days: one row per element of day, which names the deal it belongs to."""
        return inputs_of(self.quarters, self.stages, seen, which, day)[:, self.used]

    def of(self, seen: Seen, *, horizon: int) -> tuple[Matrix, Matrix]:
        """Chance of each day to be the closing day, given open before it, and of a deal closed then to be won.

        returns  two matrices, one row per deal and one column per day from the day seen. Work: O(rows x days x trees)
        """
        ahead = np.arange(horizon)
        hazard, won = np.empty((len(seen), horizon)), np.full((len(seen), horizon), self.share_won)
        step = max(1, 400_000 // horizon)
        for start in range(0, len(seen), step):
            part = seen.take(slice(start, start + step))
            day = (part.day[:, None] + ahead[None, :]).ravel()
            which = np.repeat(np.arange(len(part)), horizon)
            shape = (len(part), horizon)
            if self.closing is None:
                found = self.by_age[band(day - part.opened[which])]
            else:
                inputs = self.inputs(part, which, day)
                found = self.closing.predict_proba(inputs)[:, 1]
            hazard[start : start + step] = found.reshape(shape)
            if self.winning is not None:
                inputs = self.inputs(part, which, day)
                won[start : start + step] = self.winning.predict_proba(inputs)[:, 1].reshape(shape)
        return np.clip(hazard, 0.0, 0.95), np.clip(won, 0.01, 0.99)


def band(age: Days) -> Days:
    """Place of an age among the bands of AGES."""
    return np.asarray(np.searchsorted(AGES, np.clip(age, 0, OLDEST), side="right") - 1)


def inputs_of(quarters: Quarters, stages: Stages, seen: Seen, which: Days, day: Days) -> Matrix:
    """Age, weekday, place in the quarter of the day and of the opening; share won of the stage, days in it, days since seen."""
    opened = seen.opened[which]
    since, left = quarters.place(day)
    begun, _ = quarters.place(np.maximum(opened, quarters.first))
    columns = [np.minimum(day - opened, OLDEST), since, left, (day + 3) % 7, begun]
    if stages.kept:
        code, known = seen.code[which], seen.code[which] >= 0
        share = np.where(known, stages.share_won[np.maximum(code, 0)], np.nan)
        columns += [share, np.minimum(seen.day[which] - seen.entered[which], OLDEST), day - seen.day[which]]
    return np.stack([np.asarray(c, dtype=float) for c in columns], axis=1)


@dataclass(frozen=True, slots=True)
class Lesson:
    """Open days of deals: whose, when, as seen from which day, and whether the deal closed on it. kept: share of days drawn."""

    deal: Days
    day: Days
    seen: Seen
    closed: Flags
    kept: float


def lesson(past: History, stages: Stages, *, until: int, settings: Settings, rng: np.random.Generator) -> Lesson:
    """Draw open days of deals known before `until`; where stages are kept each is seen from a random earlier day of the deal."""
    chosen = np.arange(len(past))
    if len(chosen) > settings.deals:
        chosen = np.sort(rng.choice(chosen, settings.deals, replace=False))
    first = np.maximum(past.opened[chosen], past.begin)
    last = np.minimum(np.minimum(past.closed[chosen], until - 1), past.opened[chosen] + OLDEST)
    length = np.maximum(last - first + 1, 0)
    deal = np.repeat(chosen, length)
    day = np.repeat(first, length) + np.arange(len(deal)) - np.repeat(np.cumsum(length) - length, length)
    kept = min(1.0, settings.rows / max(len(deal), 1))
    if kept < 1.0:
        drawn = rng.random(len(deal)) < kept
        deal, day = deal[drawn], day[drawn]
    return Lesson(deal, day, _seen(past, stages, deal, day, rng), past.closed[deal] == day, kept)


def _seen(past: History, stages: Stages, deal: Days, day: Days, rng: np.random.Generator) -> Seen:
    opened = past.opened[deal]
    if not stages.kept:
        return Seen(opened, day, np.full(len(deal), -1), day)
    seen = np.minimum(opened + 1 + np.floor(rng.random(len(deal)) * (day - opened)).astype(np.int64), day)
    code, entered = stages.at(deal, seen)
    return Seen(opened, seen, code, entered)


def fit(
    past: History, changes: pl.DataFrame | None, *, until: int, first_month: int, settings: Settings, ahead: int
) -> tuple[Clock, Lesson]:
    """Learn the clock from deals known before a day.

    ahead    days beyond it that will be asked for
    returns  the clock, and the lesson that it was taught
    """
    rng = np.random.default_rng(settings.seed)
    quarters = Quarters.of(min(int(past.opened.min(initial=until)), until) - 1, until + ahead, first_month=first_month)
    stages = stages_of(past, changes)
    taught = lesson(past, stages, until=until, settings=settings, rng=rng)
    ended = np.flatnonzero(past.closed < NEVER)
    at = band(taught.day - past.opened[taught.deal])
    closings = np.bincount(at, weights=taught.closed, minlength=len(AGES) - 1) / taught.kept
    days = np.bincount(at, minlength=len(AGES) - 1) / taught.kept
    overall = (closings.sum() + PRIOR_CLOSINGS) / (days.sum() + PRIOR_CLOSINGS / PRIOR_DAILY)
    by_age = (closings + PRIOR_CLOSINGS) / (days + PRIOR_CLOSINGS / overall)
    share = (past.won.sum() + PRIOR_DEALS * PRIOR_WON) / (len(ended) + PRIOR_DEALS)
    closing = winning = None
    inputs = inputs_of(quarters, stages, taught.seen, np.arange(len(taught.deal)), taught.day)
    used = np.flatnonzero([len(np.unique(c[~np.isnan(c)])) > 1 for c in inputs.T])
    if len(ended) >= LEARNED_FROM and taught.closed.sum() > 0 and len(used):
        closing = _booster(settings, rounds=settings.rounds, leaves=settings.leaves, leaf=settings.leaf_rows)
        closing.fit(inputs[:, used], taught.closed)
        winning = _winning(past, stages, quarters, ended, used, settings, rng)
    return Clock(quarters, stages, closing, winning, by_age, float(share), used), taught


def _booster(settings: Settings, *, rounds: int, leaves: int, leaf: int) -> HistGradientBoostingClassifier:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=leaves,
        min_samples_leaf=leaf,
        l2_regularization=settings.penalty,
        early_stopping=False,
        random_state=settings.seed,
    )


def _winning(
    past: History, stages: Stages, quarters: Quarters, ended: Days, used: Days, settings: Settings, rng: np.random.Generator
) -> HistGradientBoostingClassifier | None:
    """Share won by the clock; none where the last quarter of the closings was told no better than by the share won before them."""
    order = ended[np.argsort(past.closed[ended], kind="stable")]
    seen = _seen(past, stages, order, past.closed[order], rng)
    inputs = inputs_of(quarters, stages, seen, np.arange(len(order)), past.closed[order])[:, used]
    won, part = past.won[order], len(order) * 3 // 4

    def learned(count: int) -> HistGradientBoostingClassifier:
        booster = _booster(settings, rounds=settings.won_rounds, leaves=settings.won_leaves, leaf=settings.won_leaf_rows)
        booster.fit(inputs[:count], won[:count])
        return booster

    if len(np.unique(won[:part])) < 2:
        return None
    told = learned(part).predict_proba(inputs[part:])[:, 1]
    if np.mean((told - won[part:]) ** 2) >= np.mean((won[:part].mean() - won[part:]) ** 2):
        return None
    return learned(len(order))
