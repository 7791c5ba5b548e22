"""What tells one deal from another at the same moment: how much quicker some close, and how much oftener they are won.

For each owner, team, product, segment, size and further input the deals' closings and wins are set beside what the clock expects of
them. How far the groups lie apart beyond chance decides how much of each group's record is believed: groups that differ by chance
only count for nothing. A deal whose group is unknown counts as the average, so that a blank field cannot give an outcome away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from topline.engine.deals.book import Days, Flags, History, Matrix

FACTORS = ("team", "owner", "product", "segment")
SIZES = 5
CHANCE = 1.645  # standard deviations by which groups must lie apart before their difference is believed (one side, 5 %)
FEWEST_GROUP = 1e-9


@dataclass(frozen=True, slots=True)
class Effect:
    """One factor: by group the logarithm of how much quicker its deals close, and the shift of their log-odds to be won."""

    factor: str
    quicker: dict[str, float]
    likelier: dict[str, float]


@dataclass(frozen=True, slots=True)
class Tilt:
    """All factors that tell deals apart. Empty: this company's data does not. edges: upper bounds of the size groups."""

    effects: tuple[Effect, ...] = ()
    edges: dict[str, tuple[float, ...]] | None = None

    @property
    def tells_apart(self) -> bool:
        """Whether any field says which deals are won."""
        return any(effect.likelier for effect in self.effects)

    def of(self, rows: pl.DataFrame, amount: Matrix, *, first: int | None = None) -> tuple[Matrix, Matrix]:
        """For each deal the ratio of its hazard to the clock's, and the shift of its log-odds to be won; by the first so many factors, or all."""
        quicker, likelier = np.zeros(rows.height), np.zeros(rows.height)
        groups = groups_of(rows, amount, self.edges or {})
        for effect in self.effects[:first]:
            if effect.factor in groups.columns:
                column = groups[effect.factor]
                quicker += _mapped(column, effect.quicker)
                likelier += _mapped(column, effect.likelier)
        return np.exp(np.clip(quicker, -2.0, 2.0)), np.clip(likelier, -4.0, 4.0)


def _mapped(column: pl.Series, values: dict[str, float]) -> Matrix:
    if not values:
        return np.zeros(len(column))
    return column.replace_strict(values, default=0.0, return_dtype=pl.Float64).fill_null(0.0).to_numpy()


def size_edges(rows: pl.DataFrame, amount: Matrix, extras: list[str]) -> dict[str, tuple[float, ...]]:
    """Bounds of five groups of equal number for the amount and each numeric input."""
    numbers = {"size": amount}
    numbers |= {name: rows[name].cast(pl.Float64).drop_nulls().to_numpy() for name in extras if rows.schema[name].is_numeric()}
    return {
        name: tuple(np.unique(np.quantile(values, np.arange(1, SIZES) / SIZES)).tolist())
        for name, values in numbers.items()
        if len(values)
    }


def groups_of(rows: pl.DataFrame, amount: Matrix, edges: dict[str, tuple[float, ...]]) -> pl.DataFrame:
    """The group of each deal by factor, as text; null where it is unknown."""
    known = [c for c in rows.columns if c in FACTORS or (rows.schema[c] in (pl.String, pl.Boolean, pl.Categorical))]
    held = [c for c in known if c not in ("deal_id", "outcome", "currency", "stage")]
    groups = rows.select(pl.col(c).cast(pl.String) for c in held)
    for name, bounds in edges.items():
        values = amount if name == "size" else rows[name].cast(pl.Float64).to_numpy()
        place = np.searchsorted(np.asarray(bounds), values, side="left")
        text = pl.Series(name, place.astype(str).tolist(), dtype=pl.String)
        groups = groups.with_columns(pl.when(pl.Series(~np.isnan(values))).then(text).alias(name))
    return groups


def learn(
    past: History,
    extras: list[str],
    *,
    deal: Days,
    closed: Flags,
    hazard: Matrix,
    ended: Days,
    share_won: Matrix,
    shift: bool = True,
) -> Tilt:
    """Weigh each factor in turn, the later ones by what the earlier ones leave unexplained.

    deal, closed, hazard  open days of deals: whose, whether it closed then, and the clock's chance of it
    ended, share_won      closed deals, and the clock's chance that they were won
    shift                 whether winning is looked at
    Work: O(open days + deals x factors).
    """
    edges = size_edges(past.rows, past.amount, extras)
    groups = groups_of(past.rows, past.amount, edges)
    names = [c for c in (*FACTORS, "size", *extras) if c in groups.columns]
    expected = np.bincount(deal, weights=hazard, minlength=len(past))
    seen = np.bincount(deal, weights=closed, minlength=len(past))
    chance = share_won.copy()
    effects = []
    for name in names:
        column = groups[name]
        counted = pl.DataFrame({"group": column, "o": seen, "e": expected}).drop_nulls("group").filter(pl.col("e") > FEWEST_GROUP)
        # deals that end are few among those open: their number spreads like a Poisson count
        quicker = _believed(
            counted.group_by("group").agg(pl.col("o").sum(), pl.col("e").sum(), v=pl.col("e").sum()).sort("group"), ratio=True
        )
        expected = expected * np.exp(_mapped(column, quicker))
        likelier: dict[str, float] = {}
        if shift:
            of_ended = pl.DataFrame({"group": column.gather(ended), "o": past.won[ended].astype(float), "e": chance})
            of_ended = of_ended.drop_nulls("group").with_columns(v=pl.col("e") * (1 - pl.col("e")))
            likelier = _believed(of_ended.group_by("group").agg(pl.col("o", "e", "v").sum()).sort("group"), ratio=False)
            chance = moved(chance, _mapped(column.gather(ended), likelier))
        if quicker or likelier:
            effects.append(Effect(name, quicker, likelier))
    return Tilt(tuple(effects), edges)


def moved(chance: Matrix, shift: Matrix) -> Matrix:
    """Probabilities with their log-odds shifted."""
    odds = chance / (1.0 - chance) * np.exp(shift)
    return np.asarray(odds / (1.0 + odds))


def _believed(groups: pl.DataFrame, *, ratio: bool) -> dict[str, float]:
    """Effect by group, shrunk by how far groups lie apart beyond chance; none where chance explains it.

    groups  group, o counted, e expected, v variance by chance alone
    ratio   effect of a rate (log of a ratio) or of a chance (shift of log-odds)
    Source: empirical Bayes, variance between groups by the method of moments.
    """
    groups = groups.filter(pl.col("v") > 0)
    if groups.height < 2:
        return {}
    counted, expected, chance = (groups[name].to_numpy() for name in ("o", "e", "v"))
    expected = (
        expected * counted.sum() / max(expected.sum(), FEWEST_GROUP)
        if ratio
        else expected + (counted - expected).sum() * chance / chance.sum()
    )
    apart = float(((counted - expected) ** 2 / chance).sum())
    free = len(counted) - 1
    if apart <= free + CHANCE * np.sqrt(2.0 * free):
        return {}
    between = max(float(((counted - expected) ** 2 - chance).sum() / (chance**2).sum()), 1e-9)
    if ratio:
        effect = np.log((counted + 1 / between) / (expected + 1 / between))
    else:
        effect = (counted - expected) / (chance + 1 / between)
    return dict(zip(groups["group"].to_list(), effect.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class StaticWins:
    """Whether what is known of a deal says if it will be won, judged on closings after those it was learned from.

    sentence  what a page says; auc, brier, base_brier f64 over `deals` later closings; tells_apart: whether factors were used
    """

    tells_apart: bool
    auc: float
    brier: float
    base_brier: float
    deals: int
    sentence: str


NOT_TOLD = "Your data does not tell deals apart: the fields of a deal say no more about winning than the share won of all deals."
TOLD = "The fields of a deal say something about winning."


def static_model(past: History, extras: list[str], ended: Days) -> tuple[float, Tilt]:
    """Share won of some closed deals, and the factors that move it. The factors are kept only if they help on the last quarter of these."""
    order = ended[np.argsort(past.closed[ended], kind="stable")]
    part = len(order) * 3 // 4
    base, early = _static(past, extras, order[:part])
    held = order[part:]
    if len(held) and early.tells_apart:
        told = moved(np.full(len(held), base), early.of(past.rows[held], past.amount[held])[1])
        gain = (base - past.won[held]) ** 2 - (told - past.won[held]) ** 2
        if gain.mean() > gain.std() / np.sqrt(len(held)):
            return _static(past, extras, order)
    return _static(past, extras, order)[0], Tilt()


def _static(past: History, extras: list[str], ended: Days) -> tuple[float, Tilt]:
    base = float((past.won[ended].sum() + 3.0) / (len(ended) + 10.0))
    nobody = np.zeros(0, dtype=np.int64)
    share = np.full(len(ended), base)
    found = learn(past, extras, deal=nobody, closed=nobody > 0, hazard=np.zeros(0), ended=ended, share_won=share)
    return base, found
