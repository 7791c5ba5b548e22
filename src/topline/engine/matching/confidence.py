"""How often a proposal of its kind was right: a logistic curve fitted to labelled books, its parameters kept as data."""

from __future__ import annotations

import numpy as np
import polars as pl

FEATURES = ("number", "amount", "payer", "account", "contradicted", "chance", "difference")

# Fitted by `fit` on generated books with seeds 101 to 104 (bench/matching.py: 4 x 6,000 payments against which nothing spoke).
WEIGHTS = {
    "constant": 9.118, "number": -0.377, "amount": 0.603, "payer": -0.009, "account": 0.071, "contradicted": 0.0, "chance": 0.09,
    "difference": 0.0,
}  # fmt: skip
MOST = 0.9995  # no proposal is ever certain


def features(found: pl.DataFrame) -> np.ndarray:
    """The evidence as numbers: one row per proposal, one column per name in FEATURES, with a leading 1."""
    named = found["by"].is_in(["number", "structured"]).to_numpy()
    by_digits = (found["by"] == "digits").to_numpy()
    likeness = found["likeness"].fill_null(0.0).to_numpy() / 100
    columns = [
        np.ones(found.height),
        named + 0.5 * by_digits,
        (found["difference"] == "none").to_numpy().astype(float),
        likeness,
        found["payer_by"].is_in(["account", "alias"]).fill_null(value=False).to_numpy().astype(float),
        found["contradicted"].to_numpy().astype(float),
        np.log10(np.maximum(found["chance"].to_numpy(), 1e-6)) / 6,
        found["difference"].is_in(["short", "withheld"]).to_numpy().astype(float),
    ]
    return np.column_stack(columns)


def fit(matrix: np.ndarray, right: np.ndarray, *, ridge: float = 1.0) -> dict[str, float]:
    """Weights of the curve by Newton's method with a ridge; right is 1 where the proposal equals the label."""
    weights = np.zeros(matrix.shape[1])
    penalty = ridge * np.eye(matrix.shape[1])
    penalty[0, 0] = 1e-6
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(matrix @ weights, -30, 30)))
        gradient = matrix.T @ (right - p) - penalty @ weights
        step = np.linalg.solve((matrix * (p * (1 - p))[:, None]).T @ matrix + penalty, gradient)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    return dict(zip(("constant", *FEATURES), weights.tolist(), strict=True))


def confidence(found: pl.DataFrame, weights: dict[str, float] | None = None) -> pl.Series:
    """The probability that each proposal is right, between 0 and 0.9995."""
    vector = np.array([(weights or WEIGHTS)[name] for name in ("constant", *FEATURES)])
    return pl.Series("confidence", np.minimum(1 / (1 + np.exp(-(features(found) @ vector))), MOST))
