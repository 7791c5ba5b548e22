"""Putting off what can wait: one occurrence moves, the others stay, it can be undone, and what cannot wait is refused."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import IntegrityError, transaction

from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.kernel.models import AuditRecord
from topline.treasury import actions, queries
from topline.treasury.models import OutflowDeferral

MARCH, APRIL, LATER = date(2026, 3, 10), date(2026, 4, 10), date(2026, 3, 24)


@pytest.fixture
def plan(owner, entity):
    """Plan an outflow of the 10th of each month from March on."""

    def make(kind="vendor", **more):
        told = {"name": kind, "currency": "EUR", "amount_minor": 5_000, "first_on": MARCH, "kind": kind}
        return actions.plan_outflow(actor=owner, entity_id=entity.pk, **{**told, **more})

    return make


@pytest.fixture
def leaves(entity):
    def read(start=date(2026, 3, 1), end=date(2026, 5, 1)):
        return queries.planned(entity=entity, start=start, end=end).select("payday", "debit_on").rows()

    return read


def test_one_occurrence_moves_and_the_others_stay_until_it_is_undone(owner, plan, leaves):
    outflow = plan()
    made = actions.defer_outflow(actor=owner, outflow_id=outflow, occurs_on=MARCH, moved_to=LATER, reason="Payroll first")
    assert leaves() == [(MARCH, LATER), (APRIL, APRIL)]
    record = AuditRecord.objects.order_by("-id").first()
    assert (record.action, record.inputs["reason"]) == ("treasury.defer_outflow", "Payroll first")
    assert actions.undo_deferral(actor=owner, deferral_id=made) == made
    assert leaves() == [(MARCH, MARCH), (APRIL, APRIL)]
    actions.undo_deferral(actor=owner, deferral_id=made)
    assert OutflowDeferral.objects.count() == 1


def test_what_was_put_off_into_a_span_is_in_it_and_what_was_put_off_beyond_it_is_not(owner, plan, leaves):
    actions.defer_outflow(actor=owner, outflow_id=plan(), occurs_on=MARCH, moved_to=LATER)
    assert leaves(start=date(2026, 3, 15), end=date(2026, 4, 1)) == [(MARCH, LATER)]
    assert leaves(start=date(2026, 3, 1), end=LATER) == []


def test_the_forecast_takes_the_money_off_on_the_later_day_and_the_same_sum_in_all(owner, entity, plan):
    outflow = plan(frequency="once")
    before = queries.forecast(entity=entity, as_of=date(2026, 3, 1)).daily
    actions.defer_outflow(actor=owner, outflow_id=outflow, occurs_on=MARCH, moved_to=LATER)
    after = queries.forecast(entity=entity, as_of=date(2026, 3, 1)).daily
    assert before.filter(before["day"] == MARCH)["out_minor"].item() == 5_000
    assert after.filter(after["day"] == MARCH)["out_minor"].item() == 0
    assert after.filter(after["day"] == LATER)["out_minor"].item() == 5_000
    assert after["closing_minor"][-1] == before["closing_minor"][-1]


@pytest.mark.parametrize("told", [{"kind": "tax"}, {"is_critical": True}])
def test_taxes_and_what_is_critical_never_wait(owner, plan, leaves, told):
    outflow = plan(**told)
    with pytest.raises(actions.CannotWait) as refused:
        actions.defer_outflow(actor=owner, outflow_id=outflow, occurs_on=MARCH, moved_to=LATER)
    assert refused.value.code == "cannot_wait" and refused.value.remedy
    assert leaves() == [(MARCH, MARCH), (APRIL, APRIL)]


@pytest.mark.parametrize(
    ("occurs_on", "moved_to", "field"),
    [
        (date(2026, 3, 11), LATER, "occurs_on"),
        (MARCH, MARCH, "moved_to"),
        (MARCH, date(2026, 3, 9), "moved_to"),
        (MARCH, date(2026, 6, 9), "moved_to"),
    ],
)
def test_a_day_that_cannot_be_is_refused_at_its_field(owner, plan, occurs_on, moved_to, field):
    with pytest.raises(Invalid) as refused:
        actions.defer_outflow(actor=owner, outflow_id=plan(), occurs_on=occurs_on, moved_to=moved_to)
    assert refused.value.field == field
    assert not OutflowDeferral.objects.exists()


def test_the_same_again_changes_nothing_and_another_day_is_refused_until_the_first_is_undone(owner, plan, leaves):
    outflow = plan()
    first = actions.defer_outflow(actor=owner, outflow_id=outflow, occurs_on=MARCH, moved_to=LATER)
    assert actions.defer_outflow(actor=owner, outflow_id=outflow, occurs_on=MARCH, moved_to=LATER) == first
    with pytest.raises(actions.AlreadyDeferred):
        actions.defer_outflow(actor=owner, outflow_id=outflow, occurs_on=MARCH, moved_to=date(2026, 3, 30))
    actions.undo_deferral(actor=owner, deferral_id=first)
    actions.defer_outflow(actor=owner, outflow_id=outflow, occurs_on=MARCH, moved_to=date(2026, 3, 30))
    assert leaves()[0] == (MARCH, date(2026, 3, 30))


def test_the_table_itself_refuses_an_earlier_day_and_a_second_deferral(owner, plan):
    outflow = plan()
    told = {"outflow_id": outflow, "occurs_on": MARCH, "deferred_by_key": "t", "recorded_at": clock.now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        OutflowDeferral.objects.create(**told, moved_to=MARCH)
    OutflowDeferral.objects.create(**told, moved_to=LATER)
    with pytest.raises(IntegrityError), transaction.atomic():
        OutflowDeferral.objects.create(**told, moved_to=LATER)


def test_what_was_dropped_or_never_was_cannot_be_put_off(owner, plan):
    outflow = plan()
    actions.drop_outflow(actor=owner, outflow_id=outflow)
    for unknown in (outflow, 99_999):
        with pytest.raises(NotFound):
            actions.defer_outflow(actor=owner, outflow_id=unknown, occurs_on=MARCH, moved_to=LATER)
    with pytest.raises(NotFound):
        actions.undo_deferral(actor=owner, deferral_id=99_999)
