"""Frames in and out of tables: what is written is read back, whatever the text."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from django.db import IntegrityError, connection, transaction

from topline.books.models import Entity
from topline.kernel import bulk, outbox, series
from topline.kernel.models import DocumentSeries, OutboxMessage
from topline.timeline.models import Milestone

ODD = ["", "plain", 'quote " and , comma', "line\nbreak", "\\N", "ünï çødé 漢", "tab\there", "'single'", "NULL", "=1+1"]


def milestones(notes):
    return pl.DataFrame({"note": notes}).with_columns(
        kind=pl.lit("invoice_paid"), occurred_on=pl.lit(date(1999, 12, 31)), recorded_at=pl.lit(datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)),
        customer_id=pl.when(pl.int_range(pl.len()) % 2 == 0).then(None).otherwise(pl.int_range(pl.len())), subject_kind=pl.lit("invoice"),
        subject_id=pl.int_range(pl.len()), actor_key=pl.lit("system:test"), amount_minor=pl.lit(-(2**62)), currency=pl.lit("EUR"),
        visible_to_customer=pl.int_range(pl.len()) % 3 == 0,
    )  # fmt: skip


def test_every_type_and_every_text_survives_the_way_there_and_back(db):
    frame = milestones(ODD)
    with transaction.atomic():
        written = bulk.insert(Milestone, frame)
    back = bulk.read(Milestone.objects.order_by("id").values(*written.columns))
    assert back.equals(written.select(back.columns).cast(dict(back.schema)))
    assert Milestone.objects.get(pk=int(written["id"][3])).note == "line\nbreak"


def test_reserved_ids_never_collide_with_single_inserts(db):
    with transaction.atomic():
        first = bulk.reserve_ids(Entity, 3)
        row = Entity.objects.create(key="a", name="A", currency="EUR")
        second = bulk.reserve_ids(Entity, 2)
    assert len({*first, row.pk, *second}) == 6


def test_an_update_touches_its_rows_and_no_others(db):
    with transaction.atomic():
        ids = [Entity.objects.create(key=k, name=k, currency="EUR").pk for k in "abc"]
        bulk.update(
            Entity,
            pl.DataFrame({"id": ids[:2], "name": ["x", None]}).with_columns(pl.col("name").fill_null("y"), country=pl.lit("DE")),
        )
    assert list(Entity.objects.order_by("id").values_list("name", "country")) == [("x", "DE"), ("y", "DE"), ("c", "")]


def test_a_filter_that_matches_nothing_gives_an_empty_typed_frame(db):
    for rows in (Milestone.objects.filter(pk__in=[]), Milestone.objects.filter(pk=-1)):
        frame = bulk.read(rows.values("id", "occurred_on", "visible_to_customer"))
        assert (frame.height, frame.schema["occurred_on"], frame.schema["visible_to_customer"]) == (0, pl.Date, pl.Boolean)


def test_the_database_refuses_what_its_constraints_forbid(db):
    from topline.books.models import Transfer

    row = pl.DataFrame(
        {
            "entry_id": [1],
            "debit_account_id": [1],
            "credit_account_id": [1],
            "currency": ["EUR"],
            "amount_minor": [1],
            "functional_minor": [1],
        }
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        bulk.insert(Transfer, row)


def test_numbers_of_a_series_have_no_gap_even_after_a_rollback(db):
    with transaction.atomic():
        assert series.take(entity_id=1, code="invoice", count=2, prefix="INV-").to_list() == ["INV-000001", "INV-000002"]
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        series.take(entity_id=1, code="invoice", count=5, prefix="INV-")
        1 / 0  # noqa: B018
    with transaction.atomic():
        assert series.take(entity_id=1, code="invoice", count=1).to_list() == ["INV-000003"]
        assert series.take(entity_id=2, code="invoice", count=1, prefix="R", width=3).to_list() == ["R001"]
    assert DocumentSeries.objects.get(entity_id=1).next_number == 4


def test_a_message_is_handled_once_and_a_failing_one_stays_visible(db):
    done = []
    with transaction.atomic():
        outbox.enqueue("good", {"n": 1}, key="k")
        outbox.enqueue("good", {"n": 1}, key="k")
        outbox.enqueue("bad", {})
        outbox.enqueue("nobody", {})

    def fail(payload):
        Entity.objects.create(key="half", name="half", currency="EUR")
        raise ValueError("the printer is on fire")

    handlers = {"good": lambda payload: done.append(payload["n"]), "bad": fail}
    assert outbox.drain(handlers) == 3
    assert outbox.drain(handlers) == 0
    assert done == [1]
    states = dict(OutboxMessage.objects.values_list("topic", "state"))
    assert states == {"good": "done", "bad": "waiting", "nobody": "waiting"}
    bad = OutboxMessage.objects.get(topic="bad")
    assert (bad.attempts, bad.last_error) == (1, "ValueError: the printer is on fire")
    assert not Entity.objects.filter(key="half").exists()


def test_what_takes_long_is_computed_while_no_transaction_is_open_and_kept_inside_one(db):
    seen = []

    def compute(payload):
        seen.append(("compute", len(connection.savepoint_ids)))
        return 10 // payload["n"]

    def write(payload, found):
        seen.append((found, len(connection.savepoint_ids)))

    with transaction.atomic():
        outbox.enqueue("long", {"n": 5})
        outbox.enqueue("long", {"n": 0})
    assert outbox.drain({"long": outbox.Long(compute, write)}) == 2
    assert seen == [("compute", 0), (2, 2), ("compute", 0)]
    assert list(OutboxMessage.objects.order_by("id").values_list("state", "last_error")) == [
        ("done", ""),
        ("waiting", "ZeroDivisionError: integer division or modulo by zero"),
    ]


def test_a_message_is_given_up_after_eight_tries_and_says_so(db):
    from topline.kernel import clock

    with transaction.atomic():
        outbox.enqueue("bad", {})
    for n in range(10):
        with clock.at(datetime(2030, 1, 1 + n, tzinfo=UTC)):
            outbox.drain({"bad": lambda payload: 1 / 0})
    message = OutboxMessage.objects.get()
    assert (message.state, message.attempts) == ("failed", outbox.MAX_ATTEMPTS)


@pytest.mark.parametrize("microsecond", [0, 5, 120_000])
def test_a_moment_written_in_bulk_is_found_by_that_very_moment(db, microsecond):
    moment = datetime(2026, 3, 15, 8, 0, 0, microsecond, tzinfo=UTC)
    frame = pl.DataFrame({"topic": ["x"], "available_at": [moment], "recorded_at": [moment]})
    bulk.insert(OutboxMessage, frame)
    found = OutboxMessage.objects.filter(topic="x")
    assert found.filter(recorded_at=moment).exists()
    assert found.filter(recorded_at__lte=moment).exists()
    assert not found.filter(recorded_at__lt=moment).exists()


def test_moments_with_and_without_a_fraction_are_read_back_together(db):
    moments = [datetime(2026, 3, 15, 8, 0, 0, microsecond, tzinfo=UTC) for microsecond in (0, 5, 120_000, 0)]
    bulk.insert(OutboxMessage, pl.DataFrame({"topic": "x", "available_at": moments, "recorded_at": moments}))
    assert bulk.read(OutboxMessage.objects.order_by("id").values("recorded_at"))["recorded_at"].to_list() == moments
