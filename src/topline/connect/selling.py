"""From a CRM's files to the frames that an import writes, and the writing: products, sales people, deals."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from topline.catalog import actions as catalog
from topline.catalog import queries as products
from topline.connect.models import ImportBatch
from topline.engine.sheets import Profile
from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.leads import actions as leads
from topline.market import queries as market
from topline.pipeline import actions as pipeline
from topline.pipeline import people, quotas, stages
from topline.pipeline import queries as deals
from topline.pipeline.models import Opportunity

NANO = 10**9


def steps_of(using: Profile) -> list[dict[str, Any]]:
    """The stages that the profile tells, as long as no deal stands in others: a company's first file brings its own."""
    told: list[dict[str, Any]] = using.constants.get("stages", [])
    return [] if Opportunity.objects.exists() else told


def stage_keys(using: Profile) -> pl.DataFrame:
    """What a file may call a stage (key or name, in small letters) and the key it means: word, stage, kind."""
    known = pl.DataFrame(steps_of(using)) if steps_of(using) else deals.stages()
    named = [known.select(word=pl.col(c).str.to_lowercase(), stage="key", kind="kind") for c in ("key", "name")]
    return pl.concat(named).unique("word", keep="first", maintain_order=True)


def day_of(using: Profile, name: str) -> date:
    """A day among the profile's constants; the clock's where it says none."""
    said = using.constants.get(name)
    if said is None:
        return clock.today()
    return said if isinstance(said, date) else date.fromisoformat(str(said))


def write_products(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Products, and the list prices of those that have one."""
    made = catalog.add_products(
        actor=actor, products=rows.select("code", "name", "family", "unit", import_batch_id=pl.lit(batch.pk))
    )
    priced = rows.with_columns(made["product_id"]).filter(pl.col("price").is_not_null())
    catalog.add_prices(
        actor=actor,
        prices=priced.select("product_id", "currency", "valid_from", unit_price_nano=pl.col("price") * NANO),
    )


def write_reps(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Sales people; who leads them comes along where the file has no row for them, in the region of most of their team."""
    named = rows.filter(pl.col("manager") != "").with_columns(_known=pl.col("manager").is_in(rows["name"].implode()))
    there = deals.find_reps(named["manager"]).drop_nulls("rep_id")
    leads = (
        named.filter(~pl.col("_known"))
        .join(there, left_on="manager", right_on="value", how="anti")
        .group_by("manager", maintain_order=True)
        .agg(region=pl.col("region").mode(maintain_order=True).first())
    )
    columns = ["code", "name", "manager", "region", "joined_on", "left_on"]
    above = leads.select(
        pl.lit("").alias("code"), pl.col("manager").alias("name"), pl.lit("").alias("manager"), "region",
        pl.lit(None, dtype=pl.Date).alias("joined_on"), pl.lit(None, dtype=pl.Date).alias("left_on"),
    )  # fmt: skip
    everybody = pl.concat([above, rows.select(columns)]).with_columns(import_batch_id=pl.lit(batch.pk))
    people.add_reps(actor=actor, reps=everybody)


def circular(rows: pl.DataFrame) -> list[int]:
    """The rows of people who lead each other in a circle, by their number in the file. Work: O(rows)."""
    named = dict(zip(rows["name"].str.strip_chars().str.to_lowercase(), rows["row"], strict=True))
    coded = {code: row for code, row in zip(rows["code"], rows["row"], strict=True) if code}
    texts = zip(rows["row"], rows["manager"], strict=True)
    above = {row: coded.get(text, named.get(text.strip().lower())) for row, text in texts}
    found: set[int] = set()
    over: set[int] = set()
    for start in above:
        path: dict[int, int] = {}
        at: int | None = start
        while at is not None and at not in over and at not in path:
            path[at] = len(path)
            at = above[at]
        if at is not None and at in path:
            found |= {row for row, place in path.items() if place >= path[at]}
        over |= path.keys()
    return sorted(found)


def write_opportunities(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Deals with their product as a line; the first file of a company brings its stages, when its profile tells them."""
    if told := steps_of(using):
        stages.set_stages(actor=actor, stages=pl.DataFrame(told))
    owners = deals.find_reps(rows["rep"]).rename({"value": "rep"})
    things = products.find(rows["product"]).rename({"value": "product"})
    buyers = market.find(rows["customer"].filter(rows["customer"] != "")).rename({"value": "customer"})
    full = rows
    for found, key in ((owners, "rep"), (things, "product"), (buyers, "customer")):
        full = full.join(found, on=key, how="left", maintain_order="left")
    subject = pl.when(pl.col("product") != "").then("product").otherwise(pl.lit("Deal"))
    title = pl.when(pl.col("customer") != "").then(pl.format("{} for {}", subject, "customer")).otherwise(subject)
    columns = ["number", "customer_id", "rep_id", "currency", "amount_minor", "opened_on", "engaged_on", "close_on", "closed_on", "source", "segment", "next_step",
               "loss_reason", "competitor"]  # fmt: skip
    ready = full.select(
        *columns,
        ref="number",
        name=pl.when(pl.col("name") != "").then("name").otherwise(title).str.slice(0, 200),
        stage="stage_key",
        category=pl.col("category").replace("", None),
        import_batch_id=pl.lit(batch.pk),
    )
    pipeline.add_opportunities(
        actor=actor,
        entity_id=batch.entity_id,
        opportunities=ready,
        lines=full.drop_nulls("product_id").select("product_id", ref="number"),
        known_on=day_of(using, "known_on"),
        entry_stage=str(using.constants.get("entry_stage", "")),
        engaged_stage=str(using.constants.get("engaged_stage", "")),
    )


def write_quotas(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Quotas of people, known from the first day of their period: the file does not say when they were agreed."""
    owners = deals.find_reps(rows["rep"]).rename({"value": "rep", "rep_id": "owner_id"})
    named = rows.join(owners, on="rep", how="left", maintain_order="left")
    for (on,), part in named.group_by("starts_on", maintain_order=True):
        quotas.set_quotas(
            actor=actor,
            entity_id=batch.entity_id,
            on=on,
            quotas=part.select(
                "starts_on", "ends_on", "currency", "family", "measure", rep_id="owner_id", amount_minor="amount", scope=pl.lit("person"), source=pl.lit("imported"),
                import_batch_id=pl.lit(batch.pk),
            ),
        )  # fmt: skip


def write_leads(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Leads, with the owner that the file names or their territory's."""
    owners = deals.find_reps(rows["rep"].filter(rows["rep"] != "")).rename({"value": "rep"})
    full = rows.join(owners, on="rep", how="left", maintain_order="left")
    leads.add_leads(actor=actor, entity_id=batch.entity_id, leads=full, on=clock.today(), import_batch_id=batch.pk)
