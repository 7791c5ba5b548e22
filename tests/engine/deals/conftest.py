"""Books of deals to forecast from: a made-up company with habits, and a real export of a sales system."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from topline.engine.deals.book import Book

START = date(2024, 1, 1)
LOOKS = date(2025, 4, 7)


def made_up(
    *, deals: int = 600, seed: int = 5, days: int = 500, owners: int = 5, edge: float = 0.0, staged: bool = False
) -> Book:
    """Deals that close at some 40 days, a half of them won; `edge` makes those of the first owner likelier to be won, the second's less.

    The book goes on to the end of everything: what a day may know of it is for `as_of` to say.
    """
    rng = np.random.default_rng(seed)
    opened = np.sort(rng.integers(0, days, deals))
    who, what = rng.integers(0, owners, deals), rng.integers(0, 3, deals)
    took = np.maximum(rng.gamma(2.0, 20.0, deals), 1).astype(int)
    closes = rng.random(deals) < 0.8
    won = rng.random(deals) < 0.5 + edge * np.where(who == 0, 1, np.where(who == 1, -1, 0))
    price = np.array([100_000, 250_000, 900_000])[what]
    day = [START + timedelta(days=int(d)) for d in opened]
    end = [START + timedelta(days=int(d + t)) if c else None for d, t, c in zip(opened, took, closes, strict=True)]
    frame = pl.DataFrame(
        {
            "deal_id": np.arange(deals), "owner": [f"owner {n}" for n in who], "team": [f"team {n % 2}" for n in who],
            "product": [f"product {n}" for n in what], "segment": [None if n % 4 == 0 else f"segment {n % 3}" for n in range(deals)],
            "opened_on": day, "closed_on": end, "outcome": [None if e is None else "won" if w else "lost" for e, w in zip(end, won, strict=True)],
            "value_minor": [int(p * 0.9) if w and e is not None else None for p, w, e in zip(price, won, end, strict=True)], "list_minor": price,
        }
    )  # fmt: skip
    if not staged:
        return Book(frame)
    moved = frame.filter(pl.int_range(pl.len()) % 3 != 0).with_columns(at=pl.col("opened_on").dt.offset_by("12d"))
    moved = moved.filter(pl.col("closed_on").is_null() | (pl.col("closed_on") > pl.col("at")))
    changes = moved.select(
        "deal_id", field=pl.lit("stage"), before=pl.lit("talk"), after=pl.lit("offer"), effective_on="at", recorded_on="at"
    )
    stage = pl.when(pl.col("deal_id").is_in(moved["deal_id"].to_list())).then(pl.lit("offer")).otherwise(pl.lit("talk"))
    return Book(frame.with_columns(stage=stage), changes)


@pytest.fixture(scope="session")
def company() -> Book:
    """600 deals of five owners in two teams."""
    return made_up()


@pytest.fixture(scope="session")
def exported(shared) -> Book:
    """8,800 deals of 30 people, closed from March to December 2017; open ones have no value: the list price of the day stands."""
    folder = shared / "data/crm_maven"
    day = {name: pl.col(name).str.to_date("%m/%d/%Y") for name in ("engage_date", "close_date")}
    deals = pl.read_csv(folder / "sales_pipeline.csv").with_columns(pl.col("product").replace({"GTXPro": "GTX Pro"}))
    for other, key in (("products", "product"), ("sales_teams", "sales_agent"), ("accounts", "account")):
        deals = deals.join(pl.read_csv(folder / f"{other}.csv"), on=key, how="left")
    won = pl.col("deal_stage") == "Won"
    return Book(
        deals.select(
            deal_id="opportunity_id", owner="sales_agent", team="manager", product="product", segment="sector",
            opened_on=day["engage_date"], closed_on=day["close_date"],
            outcome=pl.when(won).then(pl.lit("won")).when(pl.col("deal_stage") == "Lost").then(pl.lit("lost")),
            value_minor=pl.when(won).then(pl.col("close_value") * 100), list_minor=pl.col("sales_price") * 100,
        )
    )  # fmt: skip
