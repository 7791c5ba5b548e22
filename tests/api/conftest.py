"""Callers of the API: a token for each set of roles, and requests with a fresh idempotency key."""

from __future__ import annotations

import itertools
import json

import pytest
from django.test import Client

from topline.kernel.actor import Actor
from topline.team import actions as team
from topline.team.models import Member
from topline.team.queries import actor_of
from topline.team.roles import SYSTEM

ALL_SCOPES = sorted({f"{code.partition('.')[0]}.*" for code in SYSTEM})


class Caller:
    """A client with a token."""

    def __init__(self, secret: str | None):
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.keys = itertools.count(1)

    def get(self, path: str, **query):
        return self.client.get(f"/api/v1{path}", query, headers=self.headers)

    def post(self, path: str, body=None, *, key: str | None = "", raw: bytes | None = None, **query):
        headers = {**self.headers}
        if key is not None:
            headers["Idempotency-Key"] = key or f"fresh-{next(self.keys)}"
        data = raw if raw is not None else json.dumps(body or {}).encode()
        return self.client.post(f"/api/v1{path}", data, content_type="application/json", headers=headers, query_params=query)


@pytest.fixture
def make_member(owner):
    """A member with roles; returns it."""
    numbers = itertools.count(1)

    def make(*roles: str, customer_id: int | None = None) -> Member:
        address = f"m{next(numbers)}@example.com"
        made = team.add_member(
            actor=owner, email=address, name="Someone", roles=roles, password="long enough words 42", customer_id=customer_id
        )
        return Member.objects.get(pk=made)

    return make


@pytest.fixture
def call_as(make_member):
    """A caller with roles and scopes (all scopes unless told)."""

    def make(*roles: str, scopes=ALL_SCOPES, customer_id: int | None = None) -> Caller:
        actor = actor_of(make_member(*roles, customer_id=customer_id))
        maker = Actor(key=actor.key, name=actor.name, permissions=SYSTEM)
        return Caller(team.create_token(actor=maker, name="test", scopes=scopes))

    return make


@pytest.fixture
def api(call_as, entity) -> Caller:
    """A caller who may do everything, in a company."""
    return call_as("Owner")
