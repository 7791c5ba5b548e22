"""The cash simulation against brute force on the same book, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from topline.engine import cash_paths, levers
from topline.engine.cash_paths import EDGE_DAYS, Book


def book(items: int, *, customers: int, seed: int) -> Book:
    """Long-tailed amounts and payers; each invoice pays around its own day, a tenth of them hardly at all."""
    rng = np.random.default_rng(seed)
    amounts = np.maximum(np.exp(rng.normal(10, 1.2, items)), 100).astype(np.int64)
    payer = (customers * rng.random(items) ** 2).astype(np.int64)
    centre, width = rng.uniform(-10, 70, items)[:, None], rng.uniform(4, 20, items)[:, None]
    reach = np.where(rng.random(items) < 0.1, 0.4, 0.97)[:, None]
    paid_by = reach / (1 + np.exp(-(np.asarray(EDGE_DAYS)[None, :] - centre) / width))
    return Book(amounts, payer, paid_by.astype(np.float32))


def best_of_three(work: Callable[[], object]) -> float:
    """Seconds of the fastest of three runs after one to warm up."""
    work()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def spread_error(size: int, *, paths: int) -> float:
    """The largest relative error of the standard deviation over all days, aggregate against one by one."""
    small = book(size, customers=size // 12, seed=5)
    quick = cash_paths.simulate(small, paths=paths, seed=1).received.std(axis=0)
    rng = np.random.default_rng(2)
    slow = cash_paths.one_by_one(small, paths=paths, common=0.05, shared=0.10, rng=rng).std(axis=0)
    return float(np.abs(quick / slow - 1).max())


def run() -> list[tuple[str, str]]:
    """10,000 paths over 100,000 invoices; brute force is timed on a twentieth of it and scaled."""
    large = book(100_000, customers=8_000, seed=4)
    seconds = best_of_three(lambda: cash_paths.simulate(large, seed=1))
    part = Book(large.amounts[::50], large.customers[::50], large.paid_by[::50])
    started = time.perf_counter()
    cash_paths.simulate(part, seed=1)
    brute = (time.perf_counter() - started) * 50
    futures = cash_paths.simulate(large, seed=1).received[:, 13]
    before = large.paid_by[:, 13].astype(float)
    after = levers.with_hazard_ratio(before, 1.2)
    need = int(np.quantile(futures, 0.3))
    effects = best_of_three(
        lambda: levers.effect_of_actions(futures, need_minor=need, amounts=large.amounts, before=before, after=after)
    )
    return [
        ("10,000 paths x 100,000 invoices", f"{seconds:.2f} s"),
        ("the same one by one, scaled from 2,000 invoices", f"{brute:.0f} s, {brute / seconds:.0f} times as long"),
        ("largest error of the spread, 8,000 invoices one by one", f"{spread_error(8_000, paths=10_000):.1%}"),
        ("effect of 100,000 actions", f"{effects * 1000:.1f} ms"),
    ]


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name}: {figure}")
