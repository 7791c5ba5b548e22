"""Numbers of deals and codes of sales people, from their series where a batch brings none."""

from __future__ import annotations

import polars as pl

from topline.kernel import series


def numbered(frame: pl.DataFrame, *, column: str, code: str, prefix: str) -> pl.DataFrame:
    """The frame with `column` filled from the series `code` where it is empty. Work: two statements."""
    if column not in frame.columns:
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(column))
    missing = frame[column].fill_null("") == ""
    count = int(missing.sum())
    if not count:
        return frame
    fresh = series.take(entity_id=0, code=code, count=count, prefix=prefix, width=5)
    place = missing.cum_sum().cast(pl.Int64).clip(1) - 1
    return frame.with_columns(pl.when(missing).then(fresh.gather(place)).otherwise(pl.col(column)).alias(column))
