"""Usage of many events in the lake by customer and month, beside a bare group-by of the same files in DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl

from bench.company import peak_gib, sized, timed

CUSTOMERS, CHUNK = 2_000, 500_000
MONTHS = [date(2025, 7, 1), date(2025, 8, 1), date(2025, 9, 1), date(2025, 10, 1)]
FIRST = datetime(2025, 7, 1, tzinfo=UTC)


def seed(count: int, meters: dict[str, int]) -> int:
    """Events over three months, written as files of the lake; returns their bytes."""
    from topline.kernel import clock
    from topline.metering import lake
    from topline.metering.models import LakePart

    span = timedelta(days=92) // timedelta(microseconds=1)
    ids = list(meters.values())
    for start in range(0, count, CHUNK):
        n = pl.col("n")
        rows = pl.DataFrame({"n": pl.int_range(start, min(start + CHUNK, count), eager=True)}).select(
            id=n + 1, key=pl.format("evt-{}", n), meter_id=pl.lit(pl.Series(ids)).gather(n % len(ids)), customer_id=1 + (n * 7919) % CUSTOMERS,
            at=pl.lit(FIRST) + pl.duration(microseconds=(n * (span // count))), value_micro=(n * 31) % 10**9, unique_key=pl.format("u{}", n % 977),
            properties=pl.when(n % 3 == 0).then(pl.lit('{"region":"us"}')).otherwise(pl.lit('{"region":"eu"}')), recorded_at=pl.lit(FIRST),
        ).with_columns(pl.col("at", "recorded_at").dt.cast_time_unit("us"), month=pl.col("at").dt.month_start().dt.date())  # fmt: skip
        parts = [lake._write(month, some.drop("month")) for (month,), some in rows.partition_by("month", as_dict=True).items()]
        LakePart.objects.bulk_create([LakePart(**part, made_at=clock.now()) for part in parts])
    return sum(LakePart.objects.values_list("bytes", flat=True))


def run(sizes: Sequence[int] = ()) -> list[tuple[str, str]]:
    import duckdb

    from topline.metering import actions, lake, queries
    from topline.metering.models import METHODS, Meter
    from topline.team.queries import system_actor

    for method in METHODS:
        actions.add_meter(actor=system_actor("bench"), code=method, name=method, method=method)
    actions.add_meter(actor=system_actor("bench"), code="eu", name="In Europe", method="sum", filters={"region": ["eu"]})
    meters = dict(Meter.objects.values_list("code", "id"))
    count = sizes[0] if sizes else sized(10_000_000)
    size = seed(count, {code: meters[code] for code in ("sum", "eu")})
    files = f"read_parquet('{lake.folder()}/**/*.parquet')"

    def bare(select: str, where: str = "") -> tuple[float, Any]:
        sql = f"SELECT customer_id, meter_id, date_trunc('month', \"at\"), {select} FROM {files} {where} GROUP BY ALL"
        duckdb.sql("SET TimeZone = 'UTC'")
        return min((timed(lambda: duckdb.sql(sql).fetchall()) for _ in range(3)), key=lambda told: told[0])

    def ours(*codes: str) -> tuple[float, Any]:
        spans = pl.DataFrame([(meters[c], n + 1, a, b) for c in codes for n in range(CUSTOMERS) for a, b in pairwise(MONTHS)], schema=["meter_id", "customer_id", "start", "end"], orient="row")  # fmt: skip
        spans = spans.with_row_index("span_id").cast({"span_id": pl.Int64}).with_columns(full_start="start", full_end="end")
        return min((timed(lambda: queries.usage(spans, time_zone="UTC")) for _ in range(3)), key=lambda told: told[0])

    summed, told = ours("sum", "eu")
    plain, rows = bare(
        "sum(value_micro), count(*)",
        "WHERE meter_id = {} OR json_extract_string(properties, '$.region') = 'eu'".format(meters["sum"]),
    )
    if sum(told["events"]) != sum(r[4] for r in rows) or told["quantity"].sum() != Decimal(sum(r[3] for r in rows)) / 10**6:
        raise RuntimeError("The two engines differ.")
    one, _ = ours("sum")
    plain_one, _ = bare("sum(value_micro), count(*)", f"WHERE meter_id = {meters['sum']}")
    return [
        (f"{count:,} events in the lake", f"{size / 1e6:,.0f} MB, {size / count:.0f} bytes an event"),
        (
            "usage by customer and month, two meters, one with a filter",
            f"{summed:.2f} s; DuckDB {plain:.2f} s, ratio {summed / plain:.1f}",
        ),
        ("the same of a meter without a filter", f"{one:.2f} s; DuckDB {plain_one:.2f} s, ratio {one / plain_one:.1f}"),
        ("peak memory of this process", f"{peak_gib():.2f} GiB"),
    ]
