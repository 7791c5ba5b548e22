"""File G's customer-base models on the CDNOW purchases: BG/NBD and Gamma-Gamma; its other models wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.conftest import SHARED
from tests.oracles.published import agree, cases
from topline.engine import customer_value
from topline.engine.customer_value import Buying

Inputs = dict[str, Any]
FIRST, CALIBRATED, HELD_OUT = date(1997, 1, 1), date(1997, 9, 30), date(1998, 6, 30)
SEVEN = 7  # the last class of the published tables holds seven repeats and more


def read(name: str, customer: int) -> pl.DataFrame:
    """Purchases of one of the two files: the sample numbers its customers in the second column and has no header."""
    lines = [line.split() for line in (SHARED / f"data/cdnow_lifetimes/{name}").read_text().splitlines()]
    rows = [(row[customer], row[-3], round(float(row[-1]) * 100)) for row in lines if row and row[-3].isdigit()]
    frame = pl.DataFrame(rows, schema=["customer", "on", "amount_minor"], orient="row")
    return frame.with_columns(pl.col("on").str.to_date("%Y%m%d"))


@cache
def sample() -> pl.DataFrame:
    return read("CDNOW_sample.txt", 1)


@cache
def calibrated() -> pl.DataFrame:
    return customer_value.summary(sample(), until=CALIBRATED)


def histories(customers: pl.DataFrame) -> list[np.ndarray]:
    return [customers[c].to_numpy().astype(float) for c in ("x", "t_x", "age")]


def bought_later(purchases: pl.DataFrame, customers: pl.DataFrame) -> np.ndarray:
    later = purchases.unique(["customer", "on"]).filter((pl.col("on") > CALIBRATED) & (pl.col("on") <= HELD_OUT))
    counted = later.group_by("customer").len()
    return customers.join(counted, on="customer", how="left", maintain_order="left")["len"].fill_null(0).to_numpy().astype(float)


def model(i: Inputs) -> Buying:
    given = i["parameters"]
    return (
        customer_value.fit_buying(calibrated()) if isinstance(given, str) else Buying(**{k: float(v) for k, v in given.items()})
    )


def one(i: Inputs) -> list[np.ndarray]:
    return [np.array([float(i[k])]) for k in ("x", "t_x", "T")]


def summary(i: Inputs) -> Inputs:
    rows = calibrated()
    return {
        "customers": rows.height, "calibration_repeats": int(rows["x"].sum()), "holdout_repeats": int(bought_later(sample(), rows).sum()),
        "zero_repeat_customers": rows.filter(pl.col("x") == 0).height,
    }  # fmt: skip


def errors(found: np.ndarray) -> Inputs:
    came = bought_later(sample(), calibrated())
    return {
        "total_expected": found.sum(), "total_actual": int(came.sum()), "mae": np.abs(found - came).mean(),
        "rmse": np.sqrt(((found - came) ** 2).mean()), "correlation": np.corrcoef(found, came)[0, 1],
    }  # fmt: skip


def tracking(i: Inputs) -> Inputs:
    day = FIRST + timedelta(days=7 * int(i["week"]) - 1)
    begun = sample().group_by("customer").agg(pl.col("on").min())
    ages = np.array([(day - on).days + 1 for on in begun["on"]]) / 7  # to the end of the week's last day
    done = customer_value.summary(sample(), until=day)
    return {"cumulative_actual": int(done["x"].sum()), "cumulative_expected": model(i).expected(ages[ages > 0]).sum()}


def histogram(i: Inputs) -> Inputs:
    rows, buying = calibrated(), model(i)
    expected = np.zeros(SEVEN + 1)
    for age, count in rows.group_by("age").len().iter_rows():
        chances = [buying.chance_of(n, age) for n in range(SEVEN)]
        expected += count * np.array([*chances, 1 - sum(chances)])
    actual = np.bincount(np.minimum(rows["x"].to_numpy(), SEVEN), minlength=SEVEN + 1)
    return {"actual": actual.tolist(), "expected": expected.tolist()}


def conditional(i: Inputs) -> Inputs:
    rows = calibrated()
    found, came = model(i).to_come(*histories(rows), t=float(i["horizon"])), bought_later(sample(), rows)
    kind = np.minimum(rows["x"].to_numpy(), SEVEN)
    return {
        "actual": [came[kind == n].mean() for n in range(SEVEN + 1)],
        "expected": [found[kind == n].mean() for n in range(SEVEN + 1)],
    }


def spending(i: Inputs) -> Inputs:
    back = calibrated().filter(pl.col("x") > 0)
    found = customer_value.fit_spending(back["x"].to_numpy().astype(float), back["mean_minor"].to_numpy() / 100)
    return {"p": found.p, "q": found.q, "v": found.v, "customers": back.height}


AREAS: dict[str, Callable[[Inputs], Inputs]] = {
    "bg-nbd.loglik": lambda i: {"log_likelihood": model(i).log_likelihood(*histories(calibrated())).sum()},
    "bg-nbd.expected-count": lambda i: {"expected_repeats": float(model(i).expected(float(i["t"])))},
    "bg-nbd.conditional": lambda i: {"expected_repeats": model(i).to_come(*one(i), t=float(i["horizon"]))[0]},
    "bg-nbd.alive": lambda i: {"probability_alive": model(i).alive(*one(i))[0]},
    "bg-nbd.pmf": lambda i: {"probability": model(i).chance_of(int(i["n"]), float(i["t"]))},
    "cdnow.summary": summary,
    "cdnow.holdout": lambda i: errors(model(i).to_come(*histories(calibrated()), t=float(i["horizon"]))),
    "cdnow.naive": lambda i: errors(histories(calibrated())[0]),
    "cdnow.tracking": tracking,
    "cdnow.histogram": histogram,
    "cdnow.conditional": conditional,
    "gamma-gamma.fit": spending,
}
READY = [c for c in cases("G") if c["area"] in AREAS]


@pytest.mark.parametrize("case", READY, ids=[c["id"] for c in READY])
def test_a_published_figure_of_a_customer_base_comes_out_as_published(shared, case):
    found = AREAS[case["area"]](case["inputs"])
    for name, value in case["expected"].items():
        assert agree(found[name], value, Fraction(case.get("tolerance", 0))), (name, found[name], value, case["note"])


def test_the_published_parameters_are_the_likeliest(shared):
    found = customer_value.fit_buying(calibrated())
    assert [round(v, 3) for v in (found.r, found.alpha, found.a, found.b)] == [0.243, 4.414, 0.793, 2.426]


def test_purchases_of_all_customers_are_foreseen_within_the_floor_and_better_than_by_repeating(shared):
    purchases = read("CDNOW_master.txt", 0)
    rows = customer_value.summary(purchases, until=CALIBRATED)
    came = bought_later(purchases, rows)
    found = customer_value.fit_buying(rows).to_come(*histories(rows), t=39.0)
    assert rows.height == 23_570
    assert np.abs(found - came).mean() <= 0.83 < np.abs(histories(rows)[0] - came).mean()
    assert abs(found.sum() / came.sum() - 1) <= 0.16
