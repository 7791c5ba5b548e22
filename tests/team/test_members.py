"""Members, roles, areas, tasks and tokens: who may come in, and as what."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from topline.config import settings as product
from topline.kernel import clock
from topline.kernel.actions import PermissionMissing
from topline.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from topline.team import actions, queries
from topline.team.models import ApiToken, Area, Member, Task
from topline.team.roles import ROLES

PASSWORD = "correct horse battery"


@pytest.fixture
def add(owner):
    def make(name, *roles, password=PASSWORD):
        member = actions.add_member(
            actor=owner, email=f"{name.lower()}@acme.example", name=name, roles=roles or ["Auditor"], password=password
        )
        return Member.objects.get(pk=member)

    return make


def test_a_member_can_do_what_their_roles_permit_together(add):
    actor = queries.actor_of(add("Ann", "Auditor", "Approver"))
    assert actor.permissions == ROLES["Auditor"] | ROLES["Approver"]
    assert "billing.issue_invoices" not in actor.permissions


@pytest.mark.parametrize("password", ["short", "123456789012", "password1234", "ann@acme.example"])
def test_a_weak_password_is_refused_and_nobody_is_added(add, password):
    with pytest.raises(Invalid) as refusal:
        add("Ann", password=password)
    assert refusal.value.field == "password"
    assert not Member.objects.exists()


def test_an_address_is_one_member_whatever_its_case(owner, add):
    add("Ann")
    with pytest.raises(Conflict, match="member already"):
        actions.add_member(actor=owner, email="ANN@acme.example", name="Ann", roles=["Auditor"], password=PASSWORD)


@pytest.mark.parametrize(
    ("change", "field"), [({"email": "nobody"}, "email"), ({"roles": ["King"]}, "roles"), ({"roles": []}, "roles")]
)
def test_a_member_without_address_or_known_role_is_refused(owner, change, field):
    given = {"email": "ann@acme.example", "name": "Ann", "roles": ["Auditor"], "password": PASSWORD, **change}
    with pytest.raises(Invalid) as refusal:
        actions.add_member(actor=owner, **given)
    assert refusal.value.field == field


def test_a_password_is_kept_as_an_argon2_hash(add, settings):
    settings.PASSWORD_HASHERS = product.PASSWORD_HASHERS
    member = add("Ann")
    assert member.password.startswith("argon2")
    assert member.check_password(PASSWORD)


def test_the_last_owner_can_neither_leave_nor_step_down(owner, add):
    first = add("Ann", "Owner")
    for attempt in (
        lambda: actions.grant_roles(actor=owner, member_id=first.pk, roles=["Auditor"]),
        lambda: actions.change_member(actor=owner, member_id=first.pk, changes={"is_active": False}),
    ):
        with pytest.raises(actions.LastOwner):
            attempt()
    second = add("Bob", "Owner")
    actions.grant_roles(actor=owner, member_id=first.pk, roles=["Auditor"])
    with pytest.raises(actions.LastOwner):
        actions.change_member(actor=owner, member_id=second.pk, changes={"is_active": False})


def test_an_owner_who_left_does_not_count_as_one(owner, add):
    first, second = add("Ann", "Owner"), add("Bob", "Owner")
    actions.change_member(actor=owner, member_id=first.pk, changes={"is_active": False})
    with pytest.raises(actions.LastOwner):
        actions.grant_roles(actor=owner, member_id=second.pk, roles=["Billing"])


def test_an_area_has_an_owner_and_another_one_as_deputy(owner, add):
    ann, bob = add("Ann"), add("Bob")
    actions.set_area(actor=owner, key="collections", owner_id=ann.pk, deputy_id=bob.pk)
    actions.set_area(actor=owner, key="collections", owner_id=bob.pk, deputy_id=None)
    assert Area.objects.values_list("key", "owner_id", "deputy_id").get() == ("collections", bob.pk, None)
    with pytest.raises(Invalid, match="somebody else"):
        actions.set_area(actor=owner, key="collections", owner_id=ann.pk, deputy_id=ann.pk)
    with pytest.raises(NotFound):
        actions.set_area(actor=owner, key="weather", owner_id=ann.pk, deputy_id=None)
    with pytest.raises(NotFound):
        actions.set_area(actor=owner, key="sales", owner_id=999, deputy_id=None)


def test_tasks_lie_on_a_desk_in_order_of_their_day_until_they_are_done(owner, add):
    ann = add("Ann")
    late = actions.add_task(
        actor=owner, title="Call Globex", assignee_id=ann.pk, due_on=date(2026, 3, 9), about_kind="customer", about_id=7
    )
    soon = actions.add_task(actor=owner, title="Send the statement", assignee_id=ann.pk, due_on=date(2026, 3, 1))
    assert [t["id"] for t in queries.tasks(assignee_id=ann.pk)] == [soon, late]
    assert [t["id"] for t in queries.tasks(about=("customer", 7))] == [late]
    actions.finish_task(actor=owner, task_id=soon)
    finished_at = Task.objects.get(pk=soon).finished_at
    actions.finish_task(actor=owner, task_id=soon, dropped=True)  # a second click changes nothing
    assert Task.objects.values_list("state", "finished_at").get(pk=soon) == ("done", finished_at)
    assert [t["id"] for t in queries.tasks(assignee_id=ann.pk)] == [late]


@pytest.fixture
def token(add):
    """A token of a Billing member, as its secret and its row."""

    def make(*scopes, **more):
        member = Member.objects.filter(name="Bela").first() or add("Bela", "Billing")
        secret = actions.create_token(actor=queries.actor_of(member), name="script", scopes=scopes, **more)
        return secret, ApiToken.objects.latest("id")

    return make


def test_a_token_can_do_what_both_its_scopes_and_its_member_may(token):
    secret, row = token("billing.*", "treasury.view", "books.lock_period")
    actor = queries.actor_of_token(secret)
    assert actor.permissions == frozenset(p for p in ROLES["Billing"] if p.startswith("billing."))
    assert actor.key == f"member:{row.member_id}"


def test_the_secret_itself_is_nowhere_in_the_database(token):
    secret, row = token("billing.view")
    assert secret not in {str(value) for value in vars(row).values()}
    assert queries.actor_of_token(secret + "x") is None


def test_a_token_ends_on_its_moment_not_before(token):
    end = datetime(2026, 3, 1, 12, tzinfo=UTC)
    secret, _ = token("billing.view", expires_at=end)
    with clock.at(end - timedelta(seconds=1)):
        assert queries.actor_of_token(secret) is not None
    with clock.at(end):
        assert queries.actor_of_token(secret) is None


def test_a_revoked_token_and_one_whose_member_left_open_nothing(owner, add, token):
    add("Ann", "Owner")
    first, row = token("billing.view")
    second, _ = token("billing.view")
    actions.revoke_token(actor=queries.actor_of(row.member), token_id=row.pk)
    assert queries.actor_of_token(first) is None
    assert queries.actor_of_token(second) is not None
    actions.change_member(actor=owner, member_id=row.member_id, changes={"is_active": False})
    assert queries.actor_of_token(second) is None


def test_nobody_but_an_owner_revokes_the_token_of_somebody_else(add, token):
    secret, row = token("billing.view")
    with pytest.raises(NotFound):
        actions.revoke_token(actor=queries.actor_of(add("Cleo", "Collections")), token_id=row.pk)
    assert queries.actor_of_token(secret) is not None
    actions.revoke_token(actor=queries.actor_of(add("Olga", "Owner")), token_id=row.pk)
    assert queries.actor_of_token(secret) is None


def test_a_token_needs_a_member_a_name_and_a_scope(owner, add):
    with pytest.raises(Forbidden):
        actions.create_token(actor=owner, name="x", scopes=["billing.view"])
    ann = queries.actor_of(add("Ann", "Billing"))
    with pytest.raises(Invalid):
        actions.create_token(actor=ann, name=" ", scopes=["billing.view"])
    with pytest.raises(Invalid):
        actions.create_token(actor=ann, name="x", scopes=[])


def test_only_people_with_the_permission_let_others_in(add):
    auditor = queries.actor_of(add("Ann", "Auditor"))
    with pytest.raises(PermissionMissing):
        actions.add_member(actor=auditor, email="eve@acme.example", name="Eve", roles=["Owner"], password=PASSWORD)
    assert not Member.objects.filter(name="Eve").exists()
