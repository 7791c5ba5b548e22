"""The door: its pages look like ours, hold no inline code, and let in only who may."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.web.conftest import PASSWORD
from tests.web.test_every_page import INLINE

pytestmark = pytest.mark.django_db

OWN = [
    "/sign-in/password/change/", "/sign-in/logout/", "/sign-in/sessions/", "/sign-in/2fa/", "/sign-in/2fa/totp/activate/", "/sign-in/2fa/webauthn/add/",
    "/sign-in/2fa/webauthn/", "/sign-in/reauthenticate/",
]  # fmt: skip


def test_signing_in_leads_where_one_wanted_to_go(client, sign_in, entity):
    sign_in("Owner")
    page = client.get("/books/", follow=True).content.decode()
    assert 'class="door"' in page and "ui/topline.css" in page and not INLINE.search(page)
    wrong = client.post("/sign-in/login/", {"login": "owner@acme.localhost", "password": "wrong", "next": "/books/"})
    assert wrong.status_code == 200 and "alert bad" in wrong.content.decode()
    right = client.post("/sign-in/login/", {"login": "owner@acme.localhost", "password": PASSWORD, "next": "/books/"})
    assert right.status_code == 302 and right.headers["Location"] == "/books/"


def test_the_pages_of_ones_own_sign_in_look_like_the_others(client, sign_in, entity):
    sign_in("Owner")
    client.post("/sign-in/login/", {"login": "owner@acme.localhost", "password": PASSWORD})
    door = client.get("/sign-in/2fa/totp/activate/")
    assert door.headers["Location"].startswith("/sign-in/reauthenticate/"), "a second factor is set up only after the password"
    client.post("/sign-in/reauthenticate/", {"password": PASSWORD})
    for address in OWN:
        answer = client.get(address)
        page = answer.content.decode()
        assert answer.status_code == 200, address
        assert "ui/topline.css" in page and ('class="shell"' in page or 'class="door"' in page), address
        assert not INLINE.search(page), (address, INLINE.search(page))


def test_nobody_signs_up_alone(client, entity):
    from topline.team.models import Member

    form = {"email": "stranger@acme.localhost", "password1": PASSWORD, "password2": PASSWORD}
    client.post("/sign-in/signup/", form)
    assert not Member.objects.filter(email="stranger@acme.localhost").exists()


def test_somebody_who_left_is_not_let_in(client, sign_in, entity):
    from topline.team.models import Member

    sign_in("Owner")
    Member.objects.update(is_active=False)
    client.post("/sign-in/login/", {"login": "owner@acme.localhost", "password": PASSWORD})
    assert client.get("/").status_code == 302


def test_reading_writes_nothing_but_once_a_minute_where_one_is_signed_in(client, sign_in, entity):
    from allauth.usersessions.models import UserSession
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from topline.kernel import clock

    def written(browser="Firefox"):
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/customers/", headers={"User-Agent": browser}).status_code == 200
        return [q["sql"] for q in asked if not q["sql"].startswith(("SELECT", "WITH", "SAVEPOINT", "RELEASE"))]

    sign_in("Owner")
    client.post("/sign-in/login/", {"login": "owner@acme.localhost", "password": PASSWORD})
    assert written() and written() == []
    assert written("Chromium") and written("Chromium") == []
    assert UserSession.objects.get().user_agent == "Chromium"
    long_ago = clock.now() - timedelta(minutes=2)
    UserSession.objects.update(last_seen_at=long_ago)
    assert written("Chromium") and written("Chromium") == []
    assert UserSession.objects.get().last_seen_at > long_ago
