"""The renewal board: contracts that end soon, how likely such contracts went on, and what a renewal could cost by the list or by an index."""

from __future__ import annotations

from datetime import date

import polars as pl
from django.db.models import Exists, OuterRef

from topline.catalog import queries as catalog
from topline.contracts import queries
from topline.contracts.items import PER_YEAR
from topline.contracts.models import Amendment, Contract, Item
from topline.engine import charges as engine
from topline.engine import renewals
from topline.kernel import bulk

K = Amendment.Kind
PPM = 1_000_000


def decided(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """Every time a contract was renewed or ended instead, by the end of a day (see `engine.renewals.decisions`). Two statements."""
    moved = Amendment.objects.filter(contract_id=OuterRef("pk"), kind=K.TRANSFER)
    known = bulk.read(Contract.objects.filter(entity_id=entity_id, starts_on__lte=as_of).order_by("id").annotate(is_moved=Exists(moved)).values("id", "starts_on", "ends_on", "is_moved"))  # fmt: skip
    agreed = Amendment.objects.filter(contract__entity_id=entity_id, kind=K.RENEW, recorded_at__date__lte=as_of).order_by("id")
    rows = bulk.read(agreed.values("contract_id"))
    return renewals.decisions(
        known.rename({"id": "contract_id"}).with_columns(pl.col("is_moved").cast(pl.Boolean)), rows, as_of=as_of
    )


def board(*, entity_id: int, as_of: date, index_ppm: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Contracts that end within 120 days, the next first, and every decision so far.

    index_ppm  what an index rose by, in millionths
    returns    the rows of `queries.renewals` with renewal (which one it is), decided, share, low, high (how many such contracts had to decide, and how
               many went on: see `engine.renewals.by_number`), list_minor (a year at list prices, of the items that have one; null: none has), list_ppm (what the price would
               have to rise by to get there; null: none, or it is above the list already), list_yearly_minor and index_yearly_minor (a year after that rise)
    Work: seven statements.
    """
    rows = queries.renewals(entity_id=entity_id, as_of=as_of)
    past = decided(entity_id=entity_id, as_of=as_of)
    times = past.filter("renewed").group_by("contract_id").agg(renewal=pl.col("number").max() + 1)
    numbered = rows.join(times, on="contract_id", how="left", maintain_order="left").with_columns(pl.col("renewal").fill_null(1))
    kinds = numbered.with_columns(_kind=pl.col("renewal").clip(1, renewals.LAST)).join(
        renewals.by_number(past).rename({"number": "_kind"}).drop("renewed"), on="_kind", how="left", maintain_order="left"
    )
    told = (
        kinds.drop("_kind")
        .join(_listed(rows), on="contract_id", how="left", maintain_order="left")
        .with_columns(pl.col("decided").fill_null(0))
    )
    after = pl.col("yearly_minor")
    return told.with_columns(
        list_yearly_minor=(after + after * pl.col("list_ppm") / PPM).round().cast(pl.Int64), index_yearly_minor=(after + after * index_ppm / PPM).round().cast(pl.Int64)
    ), past  # fmt: skip


def _listed(rows: pl.DataFrame) -> pl.DataFrame:
    """A year of contracts at the list prices of the day on which they end: contract_id, list_minor, list_ppm. Two statements."""
    ends = rows.select("contract_id", "ends_on", "currency")
    columns = ["contract_id", "product_id", "quantity_micro", "unit_price_nano", "unit", "every"]
    items = bulk.read(
        Item.objects.filter(
            contract_id__in=ends["contract_id"].to_list(), product__isnull=False, unit_price_nano__gt=0, meter__isnull=True
        )
        .order_by("id")
        .values(*columns, "ends_on")
    ).rename({"ends_on": "_until"})
    both = items.join(ends, on="contract_id").filter(pl.col("_until").is_null() | (pl.col("_until") == pl.col("ends_on")))
    listed = catalog.prices(both.select("product_id", "currency", on="ends_on"))["unit_price_nano"]
    times = pl.col("unit").replace_strict(PER_YEAR, default=0, return_dtype=pl.Int64) / pl.col("every")
    size = pl.col("quantity_micro").cast(pl.Float64) / engine.MICRO * times / engine.NANO
    known = both.with_columns(_list=listed).drop_nulls("_list")
    sums = known.group_by("contract_id").agg(_now=(size * pl.col("unit_price_nano")).sum(), _list=(size * pl.col("_list")).sum())
    rise = (pl.col("_list") / pl.col("_now") - 1) * PPM
    return sums.filter(pl.col("_now") > 0).select(
        "contract_id", list_minor=pl.col("_list").round().cast(pl.Int64), list_ppm=pl.when(rise >= 1).then(rise.floor().cast(pl.Int64))
    )  # fmt: skip
