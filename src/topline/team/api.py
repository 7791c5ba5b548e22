"""Members and tasks over HTTP. Members are added, and tokens are made, by a person on a page: their secrets never pass here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.team import actions, queries
from topline.team.models import Task
from topline.ui.wire import Asked, Body, Caller, Code, Day, Flag, Id, Page, Ref, Room, Rows, done, given, once, page

room = Room(tags=["Team"])
TASK = ["id", "title", "note", "assignee_id", "due_on", "state", "about_kind", "about_id", "created_at", "finished_at"]
Title = Annotated[str, Field(min_length=1, max_length=200)]
Roles = Annotated[list[Annotated[str, Field(max_length=30)]], Field(min_length=1, max_length=20)]


class TasksAsked(Asked):
    assignee_id: Id | None = None
    state: Literal["", "open", "done", "dropped"] = ""


class NewTask(Body):
    title: Title
    assignee_id: Ref
    due_on: Day | None = None
    note: Annotated[str, Field(max_length=2000)] = ""
    about_kind: Code = ""
    about_id: Ref | None = None


class Finish(Body):
    dropped: Flag = False


class MemberChanges(Body):
    name: Title = "-"
    is_active: Flag = True


class SetRoles(Body):
    roles: Roles


class SetArea(Body):
    owner_id: Ref | None
    deputy_id: Ref | None


@room.reads("/members", "team.view", Rows)
def list_members(request: Caller) -> Any:
    """Who may sign in, with their roles (at most 500)."""
    return {"items": queries.members()}


@room.reads("/tasks", "team.view", Page)
def list_tasks(request: Caller, asked: Query[TasksAsked]) -> Any:
    """Tasks of all, of one member, or in one state."""
    wanted = {n: v for n in ("assignee_id", "state") if (v := getattr(asked, n))}
    return page(Task.objects.filter(**wanted), TASK, asked)


@room.reads("/tasks/{int:task_id}", "team.view")
def get_task(request: Caller, task_id: Id) -> Any:
    """One task."""
    found = queries.task(task_id)
    return {name: getattr(found, name) for name in TASK}


@room.does("/tasks", "team.add_task")
def add_task(request: Caller, body: NewTask) -> Any:
    """Give somebody something to do; answers with the task's id."""
    return done(actions.add_task(**body.model_dump(), **once(request)))


@room.does("/tasks/{int:task_id}/finish", "team.finish_task")
def finish_task(request: Caller, task_id: Id, body: Finish) -> Any:
    """Mark a task as done, or as dropped; answers with its id."""
    return done(actions.finish_task(task_id=task_id, dropped=body.dropped, **once(request)))


@room.does("/members/{int:member_id}/change", "team.change_member")
def change_member(request: Caller, member_id: Id, body: MemberChanges) -> Any:
    """Change a member's name, or whether they may sign in; answers with the id."""
    return done(actions.change_member(member_id=member_id, changes=dict(given(body)), **once(request)))


@room.does("/members/{int:member_id}/roles", "team.grant_roles")
def grant_roles(request: Caller, member_id: Id, body: SetRoles) -> Any:
    """Set a member's roles; answers with the id."""
    return done(actions.grant_roles(member_id=member_id, roles=body.roles, **once(request)))


@room.does("/areas/{key}", "team.set_area")
def set_area(request: Caller, key: Code, body: SetArea) -> Any:
    """Say who owns an area of the work and who stands in; answers with the area's id."""
    return done(actions.set_area(key=key, owner_id=body.owner_id, deputy_id=body.deputy_id, **once(request)))


@room.does("/tokens/{int:token_id}/revoke", "team.revoke_token")
def revoke_token(request: Caller, token_id: Id) -> Any:
    """End a token at once; answers with its id."""
    return done(actions.revoke_token(token_id=token_id, **once(request)))
