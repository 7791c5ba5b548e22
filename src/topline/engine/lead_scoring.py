"""How likely a lead is to become a customer, and which of its facts say so.

A logistic regression over the facts that are known when a lead comes in: each value of a fact has its weight, values that are rare or
new weigh nothing, numbers are taken by their rank among those seen. Weights are drawn towards zero, so that a small book says little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topline.kernel.errors import Invalid, ensure

Floats = NDArray[np.float64]
FEWEST = 30  # leads on each side before anything is learned
RARE = 20  # leads that a value needs before it has a weight of its own
BINS = 5  # ranks into which a number is put, beside none and zero
RIDGE = 2.0  # how strongly weights are drawn towards zero
STEPS = 50
LEAKING = {
    "tags",
    "lead quality",
    "last activity",
    "last notable activity",
    "lead profile",
    "state",
    "converted",
    "reason",
}  # told by what came of a lead


@dataclass(frozen=True, slots=True)
class Model:
    """What was learned: the log-odds of the average lead, what each value of a fact adds to them, what a value without a weight of its
    own adds, and the bounds by which numbers are put in ranks.
    """

    base: float
    weights: dict[str, dict[str, float]]
    others: dict[str, float]
    bounds: dict[str, list[float]]
    leads: int
    converted: int


def fit(facts: pl.DataFrame, converted: pl.Series) -> Model | None:
    """Learn from leads whose fate is known; None where there are fewer than 30 on a side.

    Raises: Invalid where a fact is one that is written down after the fate is known.
    facts      one row per lead: texts and numbers that were known when it came in
    converted  bool per lead
    Work: Newton steps on at most a few hundred columns, O(leads x columns^2) each.
    """
    y = converted.cast(pl.Float64).to_numpy()
    leaking = sorted(name for name in facts.columns if name.strip().lower().replace("_", " ") in LEAKING)
    ensure(
        not leaking,
        Invalid(
            f"{', '.join(leaking)} is known only after a lead's fate is.",
            field=leaking[0] if leaking else "",
            remedy="Leave it out.",
        ),
    )
    if min(y.sum(), len(y) - y.sum()) < FEWEST:
        return None
    bounds = {name: _bounds(facts[name]) for name, kind in facts.schema.items() if kind.is_numeric()}
    words = _words(facts, bounds)
    columns = [
        (name, str(value)) for name in words.columns for value, n in words[name].value_counts(sort=True).iter_rows() if n >= RARE
    ]
    x = np.column_stack([np.ones(len(y)), *((words[name] == value).to_numpy().astype(float) for name, value in columns)])
    weights = _newton(x, y)
    usual = dict.fromkeys(words.columns, 0.0)
    for n, (name, _) in enumerate(columns, start=1):
        usual[name] += float(weights[n] * x[:, n].mean())
    told: dict[str, dict[str, float]] = {name: {} for name in words.columns}
    for (name, value), weight in zip(columns, weights[1:], strict=True):
        told[name][value] = float(weight) - usual[name]
    return Model(
        float(weights[0]) + sum(usual.values()), told, {name: -mean for name, mean in usual.items()}, bounds, len(y), int(y.sum())
    )


def score(model: Model, facts: pl.DataFrame) -> pl.DataFrame:
    """How likely each lead is to convert.

    facts    the facts that the model was fitted on. Raises: Invalid where one is missing.
    returns  one row per lead in its order: probability f64
    """
    total = np.full(facts.height, model.base)
    for _, values in _contributions(model, facts):
        total += values
    return pl.DataFrame({"probability": 1 / (1 + np.exp(-total))})


def reasons(model: Model, facts: pl.DataFrame, *, most: int = 4) -> list[list[dict[str, Any]]]:
    """What speaks for and against each lead, the strongest first: fact, value, weight (log-odds against the average lead)."""
    parts = _contributions(model, facts)
    words = _words(facts.select(model.weights.keys()), model.bounds)
    told = []
    for row in range(facts.height):
        weighed = [(name, str(words[name][row]), float(values[row])) for name, values in parts]
        weighed = sorted((w for w in weighed if abs(w[2]) >= 0.05), key=lambda w: -abs(w[2]))[:most]
        told.append([{"fact": name, "value": value, "weight": weight} for name, value, weight in weighed])
    return told


def _contributions(model: Model, facts: pl.DataFrame) -> list[tuple[str, Floats]]:
    missing = sorted(set(model.weights) - set(facts.columns))
    ensure(not missing, Invalid(f"The fact {', '.join(missing)} is missing.", field=missing[0] if missing else ""))
    words = _words(facts.select(model.weights.keys()), model.bounds)
    return [
        (name, words[name].replace_strict(weights, default=model.others[name], return_dtype=pl.Float64).to_numpy())
        for name, weights in model.weights.items()
    ]


def _bounds(numbers: pl.Series) -> list[float]:
    """Where the ranks of a number begin, zero and none aside."""
    above = numbers.drop_nulls().filter(numbers.drop_nulls() > 0)
    cuts = [above.quantile(k / BINS) for k in range(1, BINS)] if above.len() else []
    return sorted({float(c) for c in cuts if c is not None})


def _words(facts: pl.DataFrame, bounds: dict[str, list[float]]) -> pl.DataFrame:
    """Every fact as text: numbers by their rank, what is not known as such."""
    return facts.select(
        (_rank(name, bounds[name]) if name in bounds else pl.when(pl.col(name).cast(pl.String).fill_null("") == "").then(pl.lit("not known")).otherwise(pl.col(name).cast(pl.String))).alias(name)
        for name in facts.columns
    )  # fmt: skip


def _rank(name: str, bounds: list[float]) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    ranked: pl.Expr = pl.lit(f"above {bounds[-1]:g}") if bounds else pl.lit("some")
    for low, high in reversed(list(zip([0.0, *bounds[:-1]], bounds, strict=True))):
        ranked = pl.when(value <= high).then(pl.lit(f"{low:g} to {high:g}")).otherwise(ranked)
    return pl.when(value.is_null()).then(pl.lit("not known")).when(value <= 0).then(pl.lit("none")).otherwise(ranked)


def _newton(x: Floats, y: Floats) -> Floats:
    """Weights of the ridge logistic regression; the first column, the usual odds, is not drawn towards zero."""
    weights = np.zeros(x.shape[1])
    weights[0] = np.log(y.mean() / (1 - y.mean()))
    ridge = np.full(x.shape[1], RIDGE)
    ridge[0] = 0.0
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(x @ weights)))
        gradient = x.T @ (y - p) - ridge * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return weights
