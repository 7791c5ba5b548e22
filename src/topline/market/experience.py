"""Customer experience: what customers say of us and of competitors, in figures that say how much they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Count, QuerySet

from topline.engine import experience as engine
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid
from topline.market import competitors, queries
from topline.market.models import Customer, ExperienceRecord
from topline.timeline import actions as timeline

KINDS = {"nps": (0, 10), "csat": (1, 5)}
SPAN_DAYS = 365
NOT_ENOUGH = "not enough data"
US = "Us"
RECORD = {"customer_id": pl.Int64, "competitor_id": pl.Int64, "segment": pl.String, "kind": pl.String, "score": pl.Int64, "on": pl.Date,
          "topic": pl.String, "text": pl.String, "response_minutes": pl.Int64}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """What one group of customers says: name and its figures."""

    name: str
    competitor_id: int | None
    nps: engine.Told
    csat: engine.Told
    tickets: engine.Tickets


@dataclass(frozen=True)
class Experience:
    """The span's figures: of us as a whole, by segment, of each competitor, and by quarter."""

    since: date
    until: date
    us: Group
    segments: list[Group]
    rivals: list[Group]
    quarters: list[Group]


@action("market.record_experience")
def record_experience(*, actor: Actor, records: pl.DataFrame, import_batch_id: int | None = None) -> pl.DataFrame:
    """Write down what customers told or asked; what is about us stands on the customer's timeline.

    records  one row per record: kind str (nps, csat, ticket), on date; score i64 (nps 0 to 10, csat 1 to 5, none for tickets);
             customer_id i64 (needed when it is about us), competitor_id i64 (whom it is about; null: us); optional segment (else
             that of the customer now), topic, text, response_minutes i64 (tickets)
    returns  one row per record, in the same order: record_id i64
    Raises: Invalid (kind, score, day, response), NotFound (customer, competitor).
    """
    if records.is_empty():
        return pl.DataFrame(schema={"record_id": pl.Int64})
    frame = records.with_columns(pl.lit(None).alias(name) for name in RECORD if name not in records.columns)
    frame = frame.select([pl.col(name).cast(kind) for name, kind in RECORD.items()])
    frame = frame.with_columns(pl.col("segment", "topic", "text").fill_null("").str.strip_chars())
    _ensure_sound(frame)
    queries.ensure_known(frame["customer_id"])
    for competitor_id in frame["competitor_id"].drop_nulls().unique().to_list():
        competitors.competitor(competitor_id)
    facts = bulk.read(Customer.objects.exclude(segment="").values("id", "segment")).rename(
        {"id": "customer_id", "segment": "now"}
    )
    frame = frame.join(facts, on="customer_id", how="left", maintain_order="left").with_columns(
        segment=pl.when(pl.col("segment") == "").then(pl.col("now").fill_null("")).otherwise("segment"), topic=pl.col("topic").str.slice(0, 60)
    )  # fmt: skip
    rows = frame.drop("now").with_columns(
        recorded_at=pl.lit(clock.now()), import_batch_id=pl.lit(import_batch_id, dtype=pl.Int64)
    )
    written = bulk.insert(ExperienceRecord, rows)
    changed_many("experience_record", written["id"])
    told = written.filter(pl.col("competitor_id").is_null()).select(
        "customer_id", "on", experience_id="id",
        note=pl.concat_str(pl.col("kind").replace({"nps": "NPS", "csat": "CSAT", "ticket": "ticket"}), pl.col("score").cast(pl.String).fill_null(""),
                           pl.col("topic"), separator=" ").str.strip_chars(),
    )  # fmt: skip
    timeline.record("experience_told", told, subject="experience", actor=actor, on=pl.col("on"))
    return written.select(record_id="id")


def records(
    *, since: date, until: date, segment: str = "", kind: str = "", competitor_id: int | None = None, about_us: bool | None = None, customer_ids: list[int] | None = None
) -> QuerySet[ExperienceRecord]:  # fmt: skip
    """Records of a span that fit the filters; order and slice before use."""
    rows = ExperienceRecord.objects.filter(on__gte=since, on__lte=until)
    if segment:
        rows = rows.filter(segment=segment)
    if kind:
        rows = rows.filter(kind=kind)
    if competitor_id is not None:
        rows = rows.filter(competitor_id=competitor_id)
    if about_us is not None:
        rows = rows.filter(competitor__isnull=about_us)
    if customer_ids is not None:
        rows = rows.filter(customer_id__in=customer_ids)
    return rows


def experience(*, as_of: date, days: int = SPAN_DAYS, segment: str = "") -> Experience:
    """Recommendation, contentment and tickets of the days up to one, of us and of competitors; with fewer than 15 answers none is told.

    segment  only what customers of a segment said. Work: three statements.
    """
    since = as_of - timedelta(days=days - 1)
    frame = bulk.read(
        records(since=since, until=as_of, segment=segment).values(
            "competitor_id", "segment", "kind", "score", "on", "response_minutes"
        )
    )
    own = frame.filter(pl.col("competitor_id").is_null())
    asked = Customer.objects.filter(merged_into__isnull=True)
    counted: dict[str, int] = dict(asked.order_by().values_list("segment").annotate(n=Count("id")))
    names = competitors.names()
    return Experience(
        since, as_of,
        _group(segment or US, own, counted.get(segment, 0) if segment else sum(counted.values())),
        [_group(name, own.filter(pl.col("segment") == name), counted.get(name, 0)) for name in own["segment"].unique().sort().to_list() if name],
        [_group(names[pk], frame.filter(pl.col("competitor_id") == pk), 0, pk) for pk in sorted(frame["competitor_id"].drop_nulls().unique().to_list(), key=lambda pk: names[pk])],
        _by_quarter(own, counted.get(segment, 0) if segment else sum(counted.values())),
    )  # fmt: skip


def against(competitor_id: int, *, as_of: date, days: int = SPAN_DAYS) -> tuple[Group, Group]:
    """What customers say of us and of a competitor in the days up to one."""
    found = experience(as_of=as_of, days=days)
    nothing = pl.DataFrame(schema={"kind": pl.String, "score": pl.Int64, "response_minutes": pl.Int64})
    rival = next((g for g in found.rivals if g.competitor_id == competitor_id), None)
    return found.us, rival or _group(competitors.competitor(competitor_id).name, nothing, 0, competitor_id)


def words(told: engine.Told, *, percent: bool = False) -> str:
    """A figure as people read it: value, interval and answers, or that there is not enough data."""
    if told.value is None or told.low is None or told.high is None:
        return f"{NOT_ENOUGH} ({told.n} of {engine.ENOUGH} answers)"
    scale, sign = (100, " %") if percent else (1, "")
    text = f"{told.value * scale:.0f}{sign} ({told.low * scale:.0f} to {told.high * scale:.0f}, n = {told.n})"
    return text.replace("-", "\u2212")


def _group(name: str, frame: pl.DataFrame, customers: int, competitor_id: int | None = None) -> Group:
    recommended, content = engine.scores(frame)
    return Group(name, competitor_id, recommended, content, engine.tickets(frame, customers=customers))


def _by_quarter(frame: pl.DataFrame, customers: int) -> list[Group]:
    dated = frame.with_columns(quarter=pl.format("{} Q{}", pl.col("on").dt.year(), pl.col("on").dt.quarter()))
    return [_group(str(name), rows, customers) for (name,), rows in sorted(dated.partition_by("quarter", as_dict=True).items())]


def _ensure_sound(frame: pl.DataFrame) -> None:
    """Refuse what the tables would refuse, with a sentence."""
    odd: list[tuple[pl.Expr, str, str, str]] = [
        (~pl.col("kind").fill_null("").is_in([*KINDS, "ticket"]), "kind", "is no kind of record", "Use nps, csat or ticket."),
        (pl.col("on").is_null() | (pl.col("on") > clock.today() + timedelta(days=1)), "on", "is no day until today", "Say when it was told."),
        (pl.col("customer_id").is_null() & pl.col("competitor_id").is_null(), "customer_id", "is missing", "Say which customer told it."),
        ((pl.col("kind") == "ticket") & pl.col("score").is_not_null(), "score", "stands on a ticket", "Leave it empty."),
        ((pl.col("kind") != "ticket") & pl.col("response_minutes").is_not_null(), "response_minutes", "is for tickets alone", "Leave it empty."),
        (pl.col("response_minutes") < 0, "response_minutes", "is negative", "Correct it."),
        *((((pl.col("kind") == kind) & ~pl.col("score").is_between(low, high)).fill_null(pl.col("kind") == kind), "score", f"is no {kind.upper()}", f"It lies between {low} and {high}.")
          for kind, (low, high) in KINDS.items()),
    ]  # fmt: skip
    for wrong, column, what, remedy in odd:
        found = frame.with_row_index("_row", offset=1).filter(wrong.fill_null(False))
        if found.height:
            row: dict[str, Any] = found.row(0, named=True)
            value = "" if row[column] is None else f" {row[column]}"
            raise Invalid(f"Record {row['_row']}: {column}{value} {what}.", field=column, remedy=remedy)
