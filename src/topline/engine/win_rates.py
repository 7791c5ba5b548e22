"""What winning goes with: competitors, segments, prices and promotions, each told only where the data can carry it.

A small group that lost its three deals is not a strong competitor, and a discount given to a hard deal is not the reason that it was
lost. So rates are shrunk, claims are held to rules of showing, and a price effect says whether it is one or only an association.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import polars as pl
import scipy  # its parts load where they are first used
from numpy.typing import NDArray

from topline.engine.proportions import NORMAL_95
from topline.kernel.errors import Invalid, ensure

Floats = NDArray[np.float64]
SURE, FEWEST, FALSE_SHARE = 0.9, 15, 0.10  # chance of being below the rest, deals of the group, false claims among those shown
GROUP_PRIOR = 10.0  # deals that the company's rate counts for where groups are too few to learn it from
LOSS_ONLY = 0.2  # named on won deals this much rarer than on lost ones: then the name was asked for when it was lost
STRONG = 10.0  # F of the first stage from which an instrument carries
DRAWS, SEED = 200, 20_170_703
QUANTILES = (np.arange(2_000) + 0.5) / 2_000


@dataclass(frozen=True, slots=True)
class WinRates:
    """rows: one per group, see `by_group`; warning: why they should not be believed, or empty."""

    rows: pl.DataFrame
    warning: str


def by_group(deals: pl.DataFrame) -> WinRates:
    """Win rate by competitor, segment or anything, shrunk to the company's, with the claims that may be shown.

    deals    one row per closed deal: group str or null (not named), won bool
    returns  rows: group, deals u32, won u32, rate f64 (raw), shrunk f64, low f64 and high f64 (80 % of belief), p_below f64 (chance that
             the true rate is below that of all other deals), p_value f64 (two-sided, exact), shown bool: at least 15 deals, a chance
             of .9 to lie below or above, and among the claims of which at most 10 % are false; claim "loses more", "wins more" or null
    Sources: empirical Bayes for a Beta-binomial; Fisher's exact test; Benjamini and Hochberg, JRSS B 57 (1995). Work: O(n + groups).
    """
    named = deals.drop_nulls("group")
    counted = named.group_by("group").agg(deals=pl.len(), won=pl.col("won").sum()).sort("group")
    total, won_all = deals.height, int(deals["won"].sum())
    n, won = counted["deals"].to_numpy().astype(float), counted["won"].to_numpy().astype(float)
    usual = (won_all + 1) / (total + 2)
    weight = _group_weight(n, won, usual)
    a, b = won + weight * usual, n - won + weight * (1 - usual)
    rest_a, rest_b = won_all - won + 1, (total - n) - (won_all - won) + 1
    points = scipy.special.betaincinv(a[:, None], b[:, None], QUANTILES[None, :])
    below = 1.0 - scipy.special.betainc(rest_a[:, None], rest_b[:, None], points)
    p_below = below.mean(axis=1) if len(n) else np.zeros(0)
    p_value = np.array(
        [scipy.stats.fisher_exact([[w, m - w], [won_all - w, total - m - won_all + w]]).pvalue for m, w in zip(n.astype(int), won.astype(int), strict=True)],
        dtype=float,
    )  # fmt: skip
    enough = n >= FEWEST
    claimed = np.zeros(len(n), dtype=bool)
    claimed[enough] = not_by_chance(p_value[enough])
    shown = claimed & ((p_below > SURE) | (p_below < 1 - SURE))
    claim = pl.when("shown").then(pl.when(pl.col("p_below") > 0.5).then(pl.lit("loses more")).otherwise(pl.lit("wins more")))
    rows = counted.with_columns(
        rate=pl.col("won") / pl.col("deals"), shrunk=pl.Series(a / (a + b)), low=pl.Series(scipy.special.betaincinv(a, b, 0.1)),
        high=pl.Series(scipy.special.betaincinv(a, b, 0.9)), p_below=pl.Series(p_below), p_value=pl.Series(p_value), shown=pl.Series(shown, dtype=pl.Boolean),
    ).with_columns(claim=claim)  # fmt: skip
    return WinRates(rows, _named_when_lost(deals))


def _group_weight(n: Floats, won: Floats, usual: float) -> float:
    """How many deals the company's rate counts for beside a group's own: few where groups lie far apart, many where by chance only."""
    if len(n) < 3:
        return GROUP_PRIOR
    chance = n * usual * (1 - usual)
    apart = float(((won - n * usual) ** 2 - chance).sum() / (n * (n - 1)).sum()) if (n > 1).any() else 0.0
    return float(np.clip(usual * (1 - usual) / apart - 1, 2.0, 1_000.0)) if apart > 0 else 1_000.0


def not_by_chance(p_value: Floats, *, share: float = FALSE_SHARE) -> NDArray[np.bool_]:
    """Which claims stand if at most this share of those that stand may be false (Benjamini-Hochberg)."""
    order = np.argsort(p_value, kind="stable")
    holds = p_value[order] <= share * np.arange(1, len(p_value) + 1) / max(len(p_value), 1)
    stands = np.zeros(len(p_value), dtype=bool)
    if holds.any():
        stands[order[: int(np.flatnonzero(holds)[-1]) + 1]] = True
    return stands


def _named_when_lost(deals: pl.DataFrame) -> str:
    named = dict(deals.group_by("won").agg(pl.col("group").is_not_null().mean()).iter_rows())
    if len(named) == 2 and named[True] < LOSS_ONLY * named[False]:
        return "The name is nearly only given on lost deals, so rates by name say nothing."
    return ""


@dataclass(frozen=True, slots=True)
class PriceEffect:
    """What a lower price goes with.

    per_ten      change of the log-odds to win for a price 10 % lower, with its 95 % interval (low, high)
    is_effect    an instrument carried it; else it is an association
    strength     F of the instrument in the first stage
    sentence     what a page says
    """

    per_ten: float
    low: float
    high: float
    is_effect: bool
    strength: float
    deals: int
    sentence: str


def price_effect(deals: pl.DataFrame) -> PriceEffect | None:
    """P(win) on log(net / list) by a logit, with each owner's habit in other deals as the instrument, or as an association.

    Hard deals get discounts, so a plain logit makes discounts look useless or harmful. How much an owner gives away in all other deals
    does not know how hard this one is. It may still know how good the owner is: the sentence says so.

    deals    one row per closed deal: owner str, won bool, net_minor, list_minor i64 > 0
    returns  nothing where fewer than 100 deals or 15 of either outcome can be used, or prices do not differ
    Source: control function of a probability model; interval by a bootstrap of owners. Work: O(200 n).
    """
    usable = deals.filter((pl.col("net_minor") > 0) & (pl.col("list_minor") > 0)).drop_nulls(["owner", "won"]).sort("owner")
    price = (pl.col("net_minor") / pl.col("list_minor")).log()
    others = (price.sum().over("owner") - price) / (pl.len().over("owner") - 1)
    rows = usable.with_columns(x=price, z=others).filter(pl.len().over("owner") > 1)
    won = rows["won"].cast(pl.Float64).to_numpy()
    if len(won) < 100 or min(won.sum(), len(won) - won.sum()) < FEWEST or float(rows["x"].std() or 0.0) < 1e-6:  # type: ignore[arg-type]
        return None
    x, z = rows["x"].to_numpy(), rows["z"].to_numpy()
    _, who = np.unique(rows["owner"].to_numpy(), return_inverse=True)
    strength = _strength(x, z)
    is_effect = strength >= STRONG and len(np.unique(who)) >= 10
    slope = _slope(won, x, z if is_effect else None)
    rng = np.random.default_rng(SEED)
    members = [np.flatnonzero(who == n) for n in range(int(who.max()) + 1)]
    drawn = []
    for _ in range(DRAWS):
        pick = np.concatenate([members[n] for n in rng.integers(0, len(members), len(members))])
        if 0 < won[pick].sum() < len(pick):
            drawn.append(_slope(won[pick], x[pick], z[pick] if is_effect else None))
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (-np.inf, np.inf)
    step = float(np.log(0.9))
    ends = sorted((float(low) * step, float(high) * step))
    if is_effect:
        sentence = "Effect of price, from how much each owner gives away elsewhere; it would mislead if generous owners also sell better or worse."
    else:
        sentence = "Association only: hard deals get discounts, and nothing here tells the two apart."
    return PriceEffect(slope * step, ends[0], ends[1], is_effect, strength, len(won), sentence)


def _strength(x: Floats, z: Floats) -> float:
    if float(np.ptp(z)) < 1e-9:
        return 0.0
    r = float(np.corrcoef(x, z)[0, 1])
    return r * r / max(1 - r * r, 1e-12) * (len(x) - 2) if r > 0 else 0.0


def _slope(won: Floats, x: Floats, z: Floats | None) -> float:
    """Slope of the log-odds on x; with an instrument, beside what of x it does not explain."""
    columns = [np.ones(len(x)), x - x.mean()]
    if z is not None:
        first = np.stack([np.ones(len(z)), z], axis=1)
        columns.append(x - first @ np.linalg.lstsq(first, x, rcond=None)[0])
    return float(logit(np.stack(columns, axis=1), won)[1])


def logit(inputs: Floats, won: Floats, *, ridge: float = 1e-6) -> Floats:
    """Coefficients of a logistic regression by Newton's method; the first column is the constant."""
    found = np.zeros(inputs.shape[1])
    for _ in range(50):
        p = scipy.special.expit(np.clip(inputs @ found, -30, 30))
        slope = inputs.T @ (won - p) - ridge * found
        step = np.linalg.solve((inputs * (p * (1 - p))[:, None]).T @ inputs + ridge * np.eye(len(found)), slope)
        found = found + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(found)


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95 % interval; None throughout where there is not enough data. is_told: the interval leaves out 0."""

    value: float | None
    low: float | None
    high: float | None
    sentence: str

    @property
    def is_told(self) -> bool:
        """Whether the figure can be called different from nothing."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


NOT_ENOUGH = Measured(None, None, None, "Not enough data.")


def promotion_against_comparable(deals: pl.DataFrame) -> tuple[Measured, Measured]:
    """Win rate and size of deals with a promotion against comparable ones without it.

    deals    one row per closed deal: promoted bool, won bool, value_minor i64 (null unless won), stratum str (what makes deals comparable)
    returns  difference of the win rate, and ratio less 1 of the mean size of won deals; only strata with both kinds count, and 15
             deals of each kind are needed
    Source: stratified risk difference with Mantel-Haenszel weights. Work: O(n).
    """
    given, won = pl.col("promoted"), pl.col("won")
    strata = deals.group_by("stratum").agg(
        n1=given.sum(), n0=(~given).sum(), w1=(given & won).sum(), w0=(~given & won).sum(),
    ).filter((pl.col("n1") > 0) & (pl.col("n0") > 0)).sort("stratum")  # fmt: skip
    n1, n0, w1, w0 = (strata[c].to_numpy().astype(float) for c in ("n1", "n0", "w1", "w0"))
    rate = NOT_ENOUGH
    if n1.sum() >= FEWEST and n0.sum() >= FEWEST:
        p1, p0 = (w1 + 0.5) / (n1 + 1), (w0 + 0.5) / (n0 + 1)
        weight = n1 * n0 / (n1 + n0)
        value = float((weight * (w1 / n1 - w0 / n0)).sum() / weight.sum())
        spread = sqrt(float((weight**2 * (p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)).sum())) / float(weight.sum())
        rate = _between(value, spread, "of the win rate")
    sizes = deals.filter(won & (pl.col("value_minor") > 0)).with_columns(size=pl.col("value_minor").log())
    by = (
        sizes.group_by("stratum", "promoted")
        .agg(pl.col("size").mean(), v=pl.col("size").var(), n=pl.len())
        .filter(pl.col("n") > 1)
    )
    both = by.filter("promoted").join(by.filter(~given), on="stratum", suffix="_0").sort("stratum")
    if not both.height or both["n"].sum() < FEWEST or both["n_0"].sum() < FEWEST:
        return rate, NOT_ENOUGH
    m1, v1, k1, m0, v0, k0 = (both[c].to_numpy().astype(float) for c in ("size", "v", "n", "size_0", "v_0", "n_0"))
    weight = k1 * k0 / (k1 + k0)
    value = float((weight * (m1 - m0)).sum() / weight.sum())
    spread = sqrt(float((weight**2 * (v1 / k1 + v0 / k0)).sum())) / float(weight.sum())
    ends = [float(np.expm1(value + side * NORMAL_95 * spread)) for side in (-1, 1)]
    return rate, Measured(float(np.expm1(value)), ends[0], ends[1], _told(ends[0], ends[1], "of the size"))


def promotion_margin(weeks: pl.DataFrame) -> dict[str, Measured]:
    """What a promotion brought in margin: more in its weeks, less what was only pulled forward, less what other products lost.

    weeks    one row per week and side: phase "before", "during" or "after", promoted bool (the promoted products, or all others),
             margin_minor i64. What would have been is the mean of the weeks before
    returns  by name: lift (promoted, during), pulled_forward (promoted, after), cannibalised (others, during), and net, their sum
    """
    found: dict[str, Measured] = {}
    value_of: dict[str, tuple[float, float]] = {}
    for name, promoted, phase in (("lift", True, "during"), ("pulled_forward", True, "after"), ("cannibalised", False, "during")):
        side = weeks.filter(pl.col("promoted") == promoted)
        before, then = (side.filter(pl.col("phase") == p)["margin_minor"].to_numpy().astype(float) for p in ("before", phase))
        if len(before) < 4 or (name == "lift" and not len(then)):
            return dict.fromkeys(("lift", "pulled_forward", "cannibalised", "net"), NOT_ENOUGH)
        value = float((then - before.mean()).sum())
        variance = float(before.var(ddof=1)) * (len(then) + len(then) ** 2 / len(before))
        value_of[name] = value, variance
        found[name] = _between(value, sqrt(variance), "of the margin", reach=float(scipy.special.stdtrit(len(before) - 1, 0.975)))
        free = len(before) - 1
    # the two figures of the promoted products lean on the same mean of the weeks before: their errors move together
    mine = weeks.filter(pl.col("promoted"))
    before = mine.filter(pl.col("phase") == "before")["margin_minor"].to_numpy().astype(float)
    during, after = (mine.filter(pl.col("phase") == p).height for p in ("during", "after"))
    together = 2 * float(before.var(ddof=1)) * during * after / len(before)
    total, variance = sum(v for v, _ in value_of.values()), sum(s for _, s in value_of.values()) + together
    found["net"] = _between(total, sqrt(variance), "of the margin", reach=float(scipy.special.stdtrit(free, 0.975)))
    return found


def _between(value: float, spread: float, of: str, *, reach: float = NORMAL_95) -> Measured:
    ensure(np.isfinite(spread), Invalid("A spread could not be computed.", field="deals"))
    low, high = value - reach * spread, value + reach * spread
    return Measured(value, low, high, _told(low, high, of))


def _told(low: float, high: float, of: str) -> str:
    return f"A change {of} can be told." if low > 0 or high < 0 else f"No change {of} can be told from chance."
