"""The same seed gives the same demo company, whatever the database."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import transaction

from topline.billing.models import Invoice
from topline.books import queries as books
from topline.demo import company, script
from topline.pipeline.models import Opportunity
from topline.receivables import figures
from topline.timeline.models import Milestone
from topline.treasury import queries as treasury

END, DAYS = date(2026, 6, 30), 90


class Undone(Exception):
    """Takes a built company away again."""


def picture(entity_id):
    """The figures by which two companies are told apart."""
    entity = books.entity(company.KEY)
    aged = figures.aged(entity_id=entity_id, as_of=END)
    forecast = treasury.forecast(entity=entity, as_of=END)
    return {
        "trial balance": books.trial_balance(entity_id=entity_id)
        .drop("account_id", "role")
        .rows(),  # a bank account's role holds its id
        "buckets": aged.buckets.rows(),
        "numbers": list(Invoice.objects.order_by("number").values_list("number", "total_minor", "state")),
        "weeks": forecast.weekly.rows(),
        "milestones": Milestone.objects.count(),
        "deals": list(Opportunity.objects.order_by("number").values_list("number", "name", "state", "amount_minor", "close_on")),
    }


def build(seed):
    with pytest.raises(Undone), transaction.atomic():
        found = picture(company.build(seed=seed, end=END, days=DAYS))
        raise Undone
    return found


def test_the_same_seed_gives_the_same_company_and_another_seed_another(db):
    assert build(7) == build(7)
    start = END - timedelta(days=DAYS - 1)
    assert script.write(seed=8, start=start, end=END).sales != script.write(seed=7, start=start, end=END).sales
