"""People: members and roles, areas, tasks, one's own account, the audit log."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from topline.kernel.errors import DomainError
from topline.team import actions, queries
from topline.team.forms import MemberForm, TaskForm, TokenForm
from topline.team.models import Member
from topline.team.roles import ROLES
from topline.ui.access import Asked, page
from topline.ui.tables import Column, listing

AUDIT = [
    Column("recorded_at", "When", "moment", sort="recorded_at"),
    Column("actor_name", "Who"),
    Column("action", "What", sort="action"),
    Column("reason", "Why"),
    Column("inputs", "With"),
]


@page("team.view")
def members(request: Asked) -> HttpResponse:
    """Who is there, which hats they wear, who owns what."""
    return _members(request, MemberForm())


@page("team.add_member", methods=("POST",))
def add_member(request: Asked) -> HttpResponse:
    """Let somebody sign in."""
    form = MemberForm(request.POST)
    if form.is_valid():
        try:
            actions.add_member(actor=request.actor, **form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, f"{form.cleaned_data['name']} can sign in now.")
            return redirect("team:members")
    return _members(request, form, status=400)


@page("team.grant_roles", methods=("POST",))
def grant_roles(request: Asked, member_id: int) -> HttpResponse:
    """Set a member's roles."""
    actions.grant_roles(actor=request.actor, member_id=member_id, roles=request.POST.getlist("roles"))
    messages.success(request, "The roles were set.")
    return redirect("team:members")


@page("team.change_member", methods=("POST",))
def change_member(request: Asked, member_id: int) -> HttpResponse:
    """Let a member no longer sign in, or again."""
    actions.change_member(actor=request.actor, member_id=member_id, changes={"is_active": request.POST.get("is_active") == "1"})
    messages.success(request, "The member was changed.")
    return redirect("team:members")


@page("team.set_area", methods=("POST",))
def set_area(request: Asked, key: str) -> HttpResponse:
    """Say who owns an area."""
    chosen = {name: int(v) if (v := request.POST.get(name, "")).isdigit() else None for name in ("owner", "deputy")}
    actions.set_area(actor=request.actor, key=key, owner_id=chosen["owner"], deputy_id=chosen["deputy"])
    messages.success(request, "The area was set.")
    return redirect("team:members")


@page("team.view")
def tasks(request: Asked) -> HttpResponse:
    """What is to be done, by whom, until when."""
    mine = request.GET.get("mine") == "1"
    rows = queries.tasks(assignee_id=request.actor.member_id if mine else None, limit=200)
    return render(
        request, "team/tasks.html", {"rows": rows, "mine": mine, "form": TaskForm(initial={"assignee": request.actor.member_id})}
    )


@page("team.add_task", methods=("POST",))
def add_task(request: Asked) -> HttpResponse:
    """Give somebody something to do."""
    form = TaskForm(request.POST)
    if not form.is_valid():
        return render(request, "team/tasks.html", {"rows": queries.tasks(limit=200), "mine": False, "form": form}, status=400)
    data = form.cleaned_data
    actions.add_task(actor=request.actor, title=data["title"], assignee_id=data["assignee"], due_on=data["due_on"])
    messages.success(request, "The task was added.")
    return redirect("team:tasks")


@page("team.finish_task", methods=("POST",))
def finish_task(request: Asked, task_id: int) -> HttpResponse:
    """Mark a task as done or dropped."""
    actions.finish_task(actor=request.actor, task_id=task_id, dropped=request.POST.get("dropped") == "1")
    return redirect("team:tasks")


@page("team.view_audit")
def audit(request: Asked) -> HttpResponse:
    """Who did what, newest first."""
    state = listing(request.path, request.GET.dict(), columns=AUDIT, default_sort="-recorded_at", filters=["action", "actor"])
    rows = queries.audit(actor_key=state.filters.get("actor", ""), action=state.filters.get("action", ""))
    total = rows.count()
    shown = list(
        rows.order_by(*state.order).values("id", "recorded_at", "actor_name", "action", "reason", "inputs")[
            state.offset : state.offset + state.size
        ]
    )
    return render(request, "team/audit.html", {"list": state, "rows": shown, "total": total})


@page("team.account")
def account(request: Asked) -> HttpResponse:
    """One's own sign-in and tokens."""
    return _account(request, TokenForm())


@page("team.create_token", methods=("POST",))
def create_token(request: Asked) -> HttpResponse:
    """Make an API token; its secret is shown once."""
    form = TokenForm(request.POST)
    if form.is_valid():
        secret = actions.create_token(
            actor=request.actor, name=form.cleaned_data["name"], scopes=form.cleaned_data["scopes"].split()
        )
        return _account(request, TokenForm(), secret=secret)
    return _account(request, form, status=400)


@page("team.revoke_token", methods=("POST",))
def revoke_token(request: Asked, token_id: int) -> HttpResponse:
    """End a token."""
    actions.revoke_token(actor=request.actor, token_id=token_id)
    messages.success(request, "The token is no longer valid.")
    return redirect("team:account")


def _members(request: Asked, form: MemberForm, status: int = 200) -> HttpResponse:
    people = list(Member.objects.filter(is_active=True, customer_id__isnull=True).order_by("name").values("id", "name")[:500])
    areas = {a.key: a for a in queries.areas()}
    context = {
        "rows": queries.members(),
        "form": form,
        "roles": list(ROLES),
        "areas": [(key, title, areas.get(key)) for key, title in actions.AREAS.items()],
        "people": people,
    }
    return render(request, "team/members.html", context, status=status)


def _account(request: Asked, form: TokenForm, *, secret: str = "", status: int = 200) -> HttpResponse:
    member_id = request.actor.member_id or 0
    return render(
        request,
        "team/account.html",
        {"form": form, "secret": secret, "tokens": queries.tokens(member_id), "email": getattr(request.user, "email", "")},
        status=status,
    )
