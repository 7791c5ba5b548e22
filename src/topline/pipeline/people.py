"""Verbs for the people who sell: add them, say who leads them, and when they left."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.database import lock
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.pipeline import queries
from topline.pipeline.models import Rep, RepLead
from topline.pipeline.numbers import numbered
from topline.team.models import Member

ALWAYS = date(1900, 1, 1)  # from which a team is told that nobody dated
CHANGEABLE = {"name", "manager_id", "region", "member_id", "joined_on", "left_on"}
LINES = "reporting lines"  # changed by one at a time: two changes that are fine alone could make a circle together


class RepCodeTaken(Conflict):
    """Another sales person has the code."""

    code = "rep_code_taken"


class TeamIsCircular(Invalid):
    """Somebody would report to themselves, over others."""

    code = "team_is_circular"


@action("pipeline.add_reps")
def add_reps(*, actor: Actor, reps: pl.DataFrame) -> pl.DataFrame:
    """Add people who sell; who leads them may come in the same batch.

    reps     one row per person: name; optional code (else taken from the series), manager (code or name of somebody in the batch or known),
             region, member_id, joined_on, left_on, import_batch_id
    returns  one row per person in the same order: rep_id i64, code str
    Work: a fixed number of statements.
    Raises: Invalid (name missing, unknown manager or member, leaves before joining), RepCodeTaken, TeamIsCircular.
    """
    if reps.is_empty():
        return pl.DataFrame(schema={"rep_id": pl.Int64, "code": pl.String})
    blank = (reps["name"].fill_null("").str.strip_chars() == "").any()
    ensure(not blank, Invalid("A sales person needs a name.", field="name", remedy="Fill in the name."))
    if {"joined_on", "left_on"} <= set(reps.columns):
        odd = reps.filter(pl.col("left_on") < pl.col("joined_on"))
        ensure(odd.is_empty(), Invalid("Nobody leaves before joining.", field="left_on", remedy="Correct one of the two days."))
    frame = numbered(reps, column="code", code="rep", prefix="R-")
    known = bulk.read(Rep.objects.values("code"))["code"]
    taken = frame.filter(pl.col("code").is_duplicated() | pl.col("code").is_in(known.implode()))["code"]
    if taken.len():
        raise RepCodeTaken(f"There is a sales person {taken[0]} already.", field="code", remedy="Use another code.")
    if "member_id" in frame.columns:
        _ensure_members(frame["member_id"].cast(pl.Int64).drop_nulls())
    optional = ["region", "member_id", "joined_on", "left_on", "import_batch_id"]
    present = [name for name in optional if name in frame.columns]
    written = bulk.insert(Rep, frame.select("code", "name", *present))
    told = written.select(rep_id="id", manager_id=pl.lit(None, dtype=pl.Int64))
    if "manager" in frame.columns:
        lock(LINES)
        wanted = written.select("id").with_columns(frame["manager"].fill_null("")).filter(pl.col("manager") != "")
        found = wanted.join(
            queries.find_reps(wanted["manager"]).rename({"value": "manager", "rep_id": "manager_id"}),
            on="manager",
            how="left",
            maintain_order="left",
        )
        lost = found.filter(pl.col("manager_id").is_null())["manager"]
        if lost.len():
            raise Invalid(f"There is no sales person {lost[0]}.", field="manager", remedy="Add the manager first.")
        bulk.update(Rep, found.select("id", "manager_id"))
        _ensure_tree()
        led = found.select("manager_id", rep_id="id")
        told = told.drop("manager_id").join(led, on="rep_id", how="left", maintain_order="left")
    bulk.insert(RepLead, told.with_columns(from_on=pl.lit(ALWAYS), recorded_at=pl.lit(clock.now()), actor_key=pl.lit(actor.key)))
    changed_many("rep", written["id"])
    return written.select(rep_id="id", code="code")


@action("pipeline.change_rep")
def change_rep(*, actor: Actor, rep_id: int, changes: dict[str, Any], led_from: date | None = None) -> int:
    """Change facts of a sales person, such as who leads them or the day they left; returns the id. Their deals stay with them.

    led_from  the day from which another leads them, today unless told; ALWAYS corrects what was told from the beginning. Before it, figures stay
              with the team that they were in
    Raises: NotFound, Invalid (unknown field, name missing, unknown manager or member, leaves before joining, a day that has not come), TeamIsCircular.
    """
    today = clock.today()
    from_on = led_from or today
    ensure(
        from_on <= today,
        Invalid(
            f"{from_on} has not come yet.", field="led_from", remedy=f"Choose {today} or an earlier day, and come back then."
        ),
    )
    lock(LINES)
    rep = Rep.objects.select_for_update().filter(pk=rep_id).first()
    if rep is None:
        raise NotFound(f"There is no sales person {rep_id}.", field="rep_id")
    unknown = sorted(set(changes) - CHANGEABLE)
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    ensure(bool(str(changes.get("name", rep.name)).strip()), Invalid("A sales person needs a name.", field="name"))
    before = {name: getattr(rep, name) for name in changes}
    for name, value in changes.items():
        setattr(rep, name, value)
    ensure(
        rep.left_on is None or rep.joined_on is None or rep.left_on >= rep.joined_on,
        Invalid("Nobody leaves before joining.", field="left_on", remedy="Correct one of the two days."),
    )
    ensure(
        rep.manager_id is None or Rep.objects.filter(pk=rep.manager_id).exists(),
        Invalid(f"There is no sales person {rep.manager_id}.", field="manager_id"),
    )
    ensure(
        rep.member_id is None or Member.objects.filter(pk=rep.member_id).exists(),
        Invalid(f"There is no member {rep.member_id}.", field="member_id"),
    )
    ensure(
        rep.member_id is None or not Rep.objects.filter(member_id=rep.member_id).exclude(pk=rep_id).exists(),
        Invalid("Somebody else is this member.", field="member_id", remedy="Choose another member."),
    )
    ensure(rep.manager_id != rep_id, TeamIsCircular(f"{rep.name} would lead themselves.", field="manager_id"))
    if "manager_id" in changes:
        RepLead.objects.create(rep=rep, manager_id=rep.manager_id, from_on=from_on, recorded_at=clock.now(), actor_key=actor.key)
        last = RepLead.objects.filter(rep=rep).order_by("-from_on", "-id")[0]
        rep.manager_id = last.manager_id  # what is told of an earlier day leaves a later one as it is
    rep.save(update_fields=list(changes))
    _ensure_tree()
    if from_on < today:
        _ensure_trees(from_on)
    changed("rep", rep_id, before=before, after=changes | ({"led_from": from_on} if "manager_id" in changes else {}))
    return rep_id


def _ensure_members(wanted: pl.Series) -> None:
    """Raises: Invalid unless each is a member of the team whom nobody who sells is yet."""
    ids = wanted.to_list()
    known = set(Member.objects.filter(pk__in=ids).values_list("id", flat=True))
    lost = next((pk for pk in ids if pk not in known), None)
    ensure(lost is None, Invalid(f"There is no member {lost}.", field="member_id", remedy="Add the member first."))
    taken = wanted.is_duplicated().any() or Rep.objects.filter(member_id__in=ids).exists()
    ensure(not taken, Invalid("Somebody else is this member.", field="member_id", remedy="Choose another member."))


def _ensure_trees(since: date) -> None:
    """Raises: TeamIsCircular where the teams of some day from a day on had a circle. Work: a statement or two per day on which a team changed."""
    for day in RepLead.objects.filter(from_on__gte=since).values_list("from_on", flat=True).distinct().order_by("from_on"):
        _ensure_tree(dict(queries.reps(on=day).select("rep_id", "manager_id").iter_rows()))


def _ensure_tree(above: dict[int, int | None] | None = None) -> None:
    """Raises: TeamIsCircular unless every chain of managers, those of now unless told, ends at somebody who reports to nobody."""
    above = dict(Rep.objects.values_list("id", "manager_id")) if above is None else above
    names = dict(Rep.objects.values_list("id", "name"))
    safe: set[int] = set()
    for start in above:
        path: list[int] = []
        at: int | None = start
        while at is not None and at not in safe:
            if at in path:
                raise TeamIsCircular(
                    f"{names[at]} would report to themselves.", field="manager_id", remedy="Choose another manager."
                )
            path.append(at)
            at = above[at]
        safe.update(path)
