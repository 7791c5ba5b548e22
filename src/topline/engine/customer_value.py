"""What customers without a contract will still buy: how often, for how much, and whether they are still there.

BG/NBD: a customer buys at a rate of its own (gamma over customers) and after each purchase may leave (beta over customers). Gamma-Gamma:
the worth of a purchase scatters around the customer's own mean. Both are learned from how often, how recently and for how long.
Sources: Fader, Hardie, Lee, Marketing Science 24 (2005) 275-284; Fader and Hardie, note on the Gamma-Gamma model (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
import scipy  # its parts load where they are first used
from numpy.typing import NDArray

from topline.kernel.errors import Invalid, ensure

Floats = NDArray[np.float64]
FEWEST = 50  # customers, of whom some have come back
PATHS = 1_000


def summary(purchases: pl.DataFrame, *, until: date, unit_days: float = 7.0) -> pl.DataFrame:
    """What the models need to know of each customer by the end of a day. Several purchases of one day count as one.

    purchases  customer, on date, amount_minor i64
    returns    one row per customer who had bought by then, ordered: customer, x u32 (repeat purchases), t_x f64 (time of the last one after
               the first), age f64 (time since the first), both in units of 7 days, mean_minor f64 of the repeat purchases (null without)
    Work: O(n log n).
    """
    days = (
        purchases.filter(pl.col("on") <= until)
        .group_by("customer", "on")
        .agg(pl.col("amount_minor").sum())
        .sort("customer", "on")
    )
    first, last = pl.col("on").min(), pl.col("on").max()
    later = pl.col("amount_minor").slice(1)
    return days.group_by("customer", maintain_order=True).agg(
        x=(pl.len() - 1).cast(pl.UInt32),
        t_x=(last - first).dt.total_days() / unit_days,
        age=(pl.lit(until) - first).dt.total_days() / unit_days,
        mean_minor=later.mean(),
    )


@dataclass(frozen=True, slots=True)
class Buying:
    """Parameters of the BG/NBD model: rate of buying gamma(r, alpha), chance to leave after a purchase beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, x: Floats, t_x: Floats, age: Floats) -> Floats:
        """Of each customer's history."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        common = scipy.special.gammaln(r + x) - scipy.special.gammaln(r) + r * np.log(alpha)
        stayed = scipy.special.betaln(a, b + x) - scipy.special.betaln(a, b) - (r + x) * np.log(alpha + age)
        left = scipy.special.betaln(a + 1, b + np.maximum(x, 1) - 1) - scipy.special.betaln(a, b) - (r + x) * np.log(alpha + t_x)
        return np.asarray(common + np.where(x > 0, np.logaddexp(stayed, left), stayed))

    def alive(self, x: Floats, t_x: Floats, age: Floats) -> Floats:
        """Chance that each customer is still there; without a repeat purchase always, for only a purchase makes them leave."""
        odds = self.a / (self.b + np.maximum(x, 1) - 1) * ((self.alpha + age) / (self.alpha + t_x)) ** (self.r + x)
        return np.asarray(np.where(x > 0, 1.0 / (1.0 + odds), 1.0))

    def expected(self, t: Floats | float) -> Floats:
        """Repeat purchases of a new customer up to t."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        t = np.asarray(t, dtype=float)
        curve = scipy.special.hyp2f1(r, b, a + b - 1, t / (alpha + t))
        return np.asarray((a + b - 1) / (a - 1) * (1 - (alpha / (alpha + t)) ** r * curve))

    def to_come(self, x: Floats, t_x: Floats, age: Floats, *, t: float) -> Floats:
        """Purchases of each customer in the next t."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        curve = scipy.special.hyp2f1(r + x, b + x, a + b + x - 1, t / (alpha + age + t))
        whole = (a + b + x - 1) / (a - 1) * (1 - ((alpha + age) / (alpha + age + t)) ** (r + x) * curve)
        return np.asarray(whole * self.alive(x, t_x, age))

    def chance_of(self, n: int, t: float) -> float:
        """Chance that a new customer comes back exactly n times up to t."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        often = np.exp(
            scipy.special.gammaln(r + np.arange(n + 1)) - scipy.special.gammaln(r) - scipy.special.gammaln(np.arange(n + 1) + 1.0)
        )
        terms = often * (alpha / (alpha + t)) ** r * (t / (alpha + t)) ** np.arange(n + 1)
        found = np.exp(scipy.special.betaln(a, b + n) - scipy.special.betaln(a, b)) * terms[n]
        if n:
            found += np.exp(scipy.special.betaln(a + 1, b + n - 1) - scipy.special.betaln(a, b)) * (1 - terms[:n].sum())
        return float(found)


def fit_buying(customers: pl.DataFrame) -> Buying:
    """The likeliest parameters for a table of `summary`. Customers who are alike are counted once.

    Raises: Invalid with fewer than 50 customers or none who came back. Work: some 100 passes over distinct histories.
    """
    ensure(customers.height >= FEWEST and bool((customers["x"] > 0).any()), Invalid("Too few customers, or none came back.", field="customers"))  # fmt: skip
    alike = customers.group_by("x", "t_x", "age").agg(pl.len()).sort("x", "t_x", "age")
    x, t_x, age, n = (alike[c].to_numpy().astype(float) for c in ("x", "t_x", "age", "len"))
    scale = float(age.max()) / 10 or 1.0  # times of about one make the search steady

    def loss(logs: Floats) -> float:
        r, alpha, a, b = np.exp(np.clip(logs, -10, 10))
        return -float(n @ Buying(r, alpha, a, b).log_likelihood(x, t_x / scale, age / scale)) / float(n.sum())

    found = scipy.optimize.minimize(loss, np.zeros(4), method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 1_000})
    r, alpha, a, b = (float(v) for v in np.exp(np.clip(found.x, -10, 10)))
    return Buying(r, alpha * scale, a if abs(a - 1) > 1e-6 else 1 + 1e-6, b)  # what is expected has a removable gap at a = 1


@dataclass(frozen=True, slots=True)
class Spending:
    """Parameters of the Gamma-Gamma model of the worth of a purchase: shape p, and its scale gamma(q, v)."""

    p: float
    q: float
    v: float

    def mean(self, x: Floats, mean: Floats) -> Floats:
        """Expected worth of each customer's next purchase: their own mean, leaning on all by how few purchases it rests on."""
        weight = self.p * x / (self.p * x + self.q - 1)
        everyone = self.v * self.p / (self.q - 1)
        return np.asarray((1 - weight) * everyone + weight * np.where(x > 0, mean, 0.0))


def fit_spending(x: Floats, mean: Floats) -> Spending:
    """The likeliest parameters for customers with repeat purchases: how many, and their mean worth above zero.

    Raises: Invalid where fewer than 50 such customers are given, or a mean is not above zero.
    """
    ensure(len(x) >= FEWEST and bool((x > 0).all()) and bool((mean > 0).all()), Invalid("Too few customers with repeat purchases of some worth.", field="customers"))  # fmt: skip
    scale = float(mean.mean())
    m = mean / scale

    def loss(logs: Floats) -> float:
        p, q, v = np.exp(np.clip(logs, -10, 10))
        likely = scipy.special.gammaln(p * x + q) - scipy.special.gammaln(p * x) - scipy.special.gammaln(q) + q * np.log(v)
        likely = likely + (p * x - 1) * np.log(m) + p * x * np.log(x) - (p * x + q) * np.log(x * m + v)
        return -float(likely.mean())

    found = scipy.optimize.minimize(loss, np.zeros(3), method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 1_000})
    p, q, v = (float(value) for value in np.exp(np.clip(found.x, -10, 10)))
    return Spending(p, q, v * scale)


def lifetime_value(
    customers: pl.DataFrame,
    buying: Buying,
    spending: Spending,
    *,
    units: int,
    discount_per_unit: float,
    margin: float = 1.0,
    seed: int = 0,
) -> pl.DataFrame:
    """What each customer is still worth over some time: sum of purchases to come x their worth, discounted, with an interval.

    customers          of `summary`
    units              how far ahead, in its units of time
    discount_per_unit  rate per unit (0.002 a week is some 11 % a year); margin: share of the worth that is earned
    returns            one row per customer: customer, p_alive f64, purchases f64, value_minor, p10_minor, p90_minor i64
    Source: CLV = sum S_t m_t / (1 + d)^t. Work: O(customers x (units + 1,000)).
    """
    ensure(units >= 1 and discount_per_unit > -1, Invalid("A value looks one unit ahead or more.", field="units"))
    x, t_x, age = (customers[c].to_numpy().astype(float) for c in ("x", "t_x", "age"))
    worth = spending.mean(x, customers["mean_minor"].fill_null(0.0).to_numpy()) * margin
    reached = np.stack([buying.to_come(x, t_x, age, t=float(t)) for t in range(units + 1)])
    discounted = (np.diff(reached, axis=0) / (1 + discount_per_unit) ** np.arange(1, units + 1)[:, None]).sum(axis=0)
    alive, purchases = buying.alive(x, t_x, age), reached[-1]
    low, high = _range(buying, x, alive, age, float(units), np.random.default_rng(seed))
    per_purchase = np.where(purchases > 0, discounted / np.maximum(purchases, 1e-12), 0.0) * worth
    figures = {"value_minor": discounted * worth, "p10_minor": low * per_purchase, "p90_minor": high * per_purchase}
    return customers.select("customer").with_columns(
        p_alive=pl.Series(alive),
        purchases=pl.Series(purchases),
        **{k: pl.Series(np.rint(v).astype(np.int64)) for k, v in figures.items()},
    )


def _range(buying: Buying, x: Floats, alive: Floats, age: Floats, t: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """P10 and P90 of the purchases to come of each customer: drawn rates and chances to leave, and the luck that is left."""
    low, high = np.zeros(len(x)), np.zeros(len(x))
    for at in range(0, len(x), 2_000):
        part = slice(at, at + 2_000)
        shape = (PATHS, len(x[part]))
        rate = rng.gamma(buying.r + x[part], 1.0, shape) / (buying.alpha + age[part])
        leaves = rng.beta(buying.a, buying.b + x[part], shape)
        bought = rng.poisson(rate * t)
        stays = rng.geometric(np.clip(leaves, 1e-9, 1.0))  # the purchase after which the customer is gone
        counted = np.where(rng.random(shape) < alive[part], np.minimum(bought, stays), 0)
        low[part], high[part] = np.quantile(counted, (0.1, 0.9), axis=0)
    return low, high
