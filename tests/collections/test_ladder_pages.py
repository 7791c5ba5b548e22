"""Ladders on their pages: seen by everybody at the desk, set by those who may, refused beside the field."""

from __future__ import annotations

import pytest
from django.test import Client

from topline.collections import reminders
from topline.collections.models import DunningPolicy
from topline.engine import dunning
from topline.market import actions as market
from topline.team import actions as team
from topline.team.models import Member

PASSWORD = "a long enough phrase"


@pytest.fixture
def browser(owner, entity):
    """Signed in as somebody with a role."""

    def make(role):
        email = f"{role.lower()}@acme.localhost"
        team.add_member(actor=owner, email=email, name=role, roles=[role], password=PASSWORD)
        client = Client()
        client.force_login(Member.objects.get(email=email))
        return client

    return make


def form(steps, **settings):
    said = {
        "step-TOTAL_FORMS": str(len(steps)),
        "step-INITIAL_FORMS": str(len(steps)),
        "minimum": "50.00",
        "quiet_until_hour": "9",
        "quiet_from_hour": "17",
        "is_on": "on",
    }
    for n, step in enumerate(steps):
        said |= {f"step-{n}-{name}": str(value) for name, value in step.items() if value is not None}
    return said | settings


USUAL = [
    {
        "key": s.key,
        "days": s.days,
        "channel": s.channel,
        "template": s.template,
        "needs_approval": "on" if s.needs_approval else None,
    }
    for s in dunning.LADDER
]


def test_the_usual_ladder_is_offered_set_and_shown(browser):
    approver = browser("Approver")
    assert "No ladder is set" in approver.get("/collections/ladders/").content.decode()
    offered = approver.get("/collections/ladders/set/").content.decode()
    assert all(f'value="{step.key}"' in offered for step in dunning.LADDER)
    assert approver.post("/collections/ladders/set/", form(USUAL)).status_code == 302
    policy = DunningPolicy.objects.get()
    assert dunning.parse_steps(policy.steps) == dunning.LADDER
    assert (policy.minimum_minor, policy.quiet_until_hour, policy.quiet_from_hour, policy.is_on) == (50_00, 9, 17, True)
    shown = browser("Collections").get("/collections/ladders/").content.decode()
    assert "30 days after it is due" in shown and "waits for a second person" in shown and "from 50.00 EUR" in shown


def test_a_segment_has_its_own_and_a_second_way_is_kept(browser, owner, entity, make_customers):
    (made,) = make_customers("Globex")
    market.change_customer(actor=owner, customer_id=made, changes={"segment": "Enterprise"})
    steps = [
        {
            "key": "mild",
            "days": 5,
            "channel": "email",
            "template": "friendly",
            "alternative": {"channel": "call", "template": "", "wait_days": 0},
        }
    ]
    reminders.set_policy(actor=owner, entity_id=entity.pk, segment="Enterprise", steps=steps)
    approver = browser("Approver")
    said = form(
        [
            {"key": "mild", "days": 6, "channel": "email", "template": "friendly"},
            {"key": "firm", "days": 20, "channel": "email", "template": "firm"},
        ]
    )
    assert approver.post("/collections/ladders/set/?segment=Enterprise", said).status_code == 302
    first, second = dunning.parse_steps(DunningPolicy.objects.get().steps)
    assert (first.days, first.alternative.channel, second.key) == (6, "call", "firm")
    gone = form(
        [
            {"key": "mild", "days": 6, "channel": "email", "template": "friendly", "DELETE": "on"},
            {"key": "firm", "days": 20, "channel": "email", "template": "firm"},
        ]
    )
    assert approver.post("/collections/ladders/set/?segment=Enterprise", gone).status_code == 302
    assert [step["key"] for step in DunningPolicy.objects.get().steps] == ["firm"]
    assert approver.get("/collections/ladders/set/?segment=Nobody").status_code == 404


@pytest.mark.parametrize(
    ("steps", "settings", "told"),
    [
        ([{"key": "a", "days": 1, "channel": "email"}], {}, "names no letter"), ([{"key": "a", "channel": "call"}], {}, "This step needs it"),
        ([{"key": "a", "days": 1, "channel": "call"}, {"key": "b", "days": 1, "channel": "call"}], {}, "Two steps fall on the same day"),
        ([{"key": "a", "days": 1, "channel": "call"}, {"key": "a", "days": 2, "channel": "call"}], {}, "Two steps have the same key"),
        ([{"key": "a", "days": 1, "channel": "pigeon"}], {}, "not one of the available choices"), ([], {}, "at least one step"),
        ([{"key": "a", "days": 1, "channel": "call"}], {"quiet_until_hour": "18"}, "some hours of the day"), ([{"key": "a", "days": 1, "channel": "call"}], {"minimum": "-5"}, "negative"),
        ([{"key": "a", "days": 1, "channel": "call"}], {"minimum": "many"}, "many"),
    ],
)  # fmt: skip
def test_a_ladder_that_cannot_be_is_told_and_not_set(browser, steps, settings, told):
    answer = browser("Approver").post("/collections/ladders/set/", form(steps, **settings))
    assert answer.status_code == 400 and told in answer.content.decode()
    assert not DunningPolicy.objects.exists()


def test_a_collector_looks_and_does_not_set(browser):
    assert browser("Collections").post("/collections/ladders/set/", form(USUAL)).status_code == 403
