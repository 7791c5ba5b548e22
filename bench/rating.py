"""Rating: charges a second for a million graduated charges, beside a bare multiplication of the same columns in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import polars as pl

from topline.engine import rating
from topline.engine.documents import EXACT

CHARGES = 1_000_000
PRICES = 1_000


def run() -> list[tuple[str, str]]:
    """Name and figure of each measurement; the best of three runs, the frames made beforehand."""
    charges = pl.DataFrame({"charge_id": pl.int_range(CHARGES, eager=True)}).with_columns(
        price_id=pl.col("charge_id") % PRICES, quantity=((pl.col("charge_id") * 7919) % 30_000).cast(EXACT) / 10
    )
    prices = pl.DataFrame({"price_id": pl.int_range(PRICES, eager=True), "model": "graduated"})
    edges = [(Decimal(0), Decimal(100)), (Decimal(100), Decimal(1000)), (Decimal(1000), None)]
    steps = pl.DataFrame(
        {
            "lower": [low for low, _ in edges], "upper": [high for _, high in edges], "unit_price": [Decimal(10), Decimal("7.5"), Decimal("4.25")],
            "flat_fee": [Decimal(0), Decimal(50), Decimal(50)],
        }
    )  # fmt: skip
    tiers = prices.select("price_id").join(steps, how="cross")
    unit = charges.with_columns(unit_price=pl.lit(Decimal("7.5")).cast(EXACT))

    bare = best(lambda: unit.select(pl.col("quantity") * pl.col("unit_price")))
    joined = best(lambda: charges.join(tiers, on="price_id"))
    amounts = best(lambda: rating.rate(charges, prices=prices, tiers=tiers, explain=False))
    explained = best(lambda: rating.rate(charges, prices=prices, tiers=tiers))
    return [
        ("graduated charges a second, three tiers", f"{CHARGES / amounts:,.0f}"),
        ("the same with every step explained", f"{CHARGES / explained:,.0f}"),
        ("time over a bare multiplication", f"{amounts / bare:,.1f} x"),
        ("time over a bare join with the tiers", f"{amounts / joined:,.1f} x"),
    ]


def best(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the quickest of several runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name:45} {figure}")
