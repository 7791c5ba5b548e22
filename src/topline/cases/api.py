"""Cases over HTTP: open, weigh, choose, approve, close."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.cases import actions, queries
from topline.kernel import clock
from topline.ui.wire import (
    Asked,
    Body,
    Caller,
    Day,
    Id,
    Ids,
    OfCompany,
    Page,
    Ref,
    Room,
    done,
    once,
    page,
)

room = Room(tags=["Cases"])
CASE = [
    "id", "entity_id", "customer_id", "state", "currency", "debt_minor", "opened_on", "assumptions", "strategy", "chosen_on", "chosen_by_key", "expected_minor",
    "expected_on", "approved_on", "approved_by_key", "refused_because", "closed_on", "received_minor", "received_on", "has_worked", "note",
]  # fmt: skip
Sentence = Annotated[str, Field(max_length=300)]
Values = dict[str, float]


class NewCase(Body):
    customer_id: Ref
    on: Day
    invoice_ids: Ids | None = None


class Assumptions(Body):
    settings: Values = {}
    facts: dict[str, bool] = {}
    options: dict[str, Values] = {}


class Choice(Body):
    option: Annotated[str, Field(min_length=1, max_length=20)]
    on: Day


class Dated(Body):
    on: Day


class Refusal(Body):
    on: Day
    reason: Sentence


class Closing(Body):
    on: Day
    note: Sentence = ""


class Weighing(OfCompany):
    as_of: Day | None = None


@room.reads("/cases", "cases.view", Page)
def list_cases(request: Caller, asked: Query[Asked]) -> Any:
    """Cases of large debts."""
    return page(queries.cases(books.entity(asked.company or None).pk), CASE, asked)


@room.reads("/cases/{int:case_id}", "cases.view")
def get_case(request: Caller, case_id: Id) -> Any:
    """One case with its invoices and steps."""
    found = queries.case(case_id)
    steps = [
        {"task_id": s.task_id, "title": s.task.title, "assignee_id": s.task.assignee_id, "due_on": s.task.due_on, "state": s.task.state}
        for s in queries.steps_of(case_id)
    ]  # fmt: skip
    return {**{n: getattr(found, n) for n in CASE}, "invoices": queries.invoices_of(case_id).to_dicts(), "steps": steps}


@room.reads("/cases/{int:case_id}/options", "cases.view")
def weigh_case(request: Caller, case_id: Id, asked: Query[Weighing]) -> Any:
    """Every option of a case side by side, the recommended one first among `best`, with its reasons."""
    found = queries.case(case_id)
    weighed = queries.evaluate(found, as_of=asked.as_of or clock.today(found.entity.time_zone))
    hidden = {"spec", "curve"}
    rows = [{"option": r.spec.key, **{k: v for k, v in asdict(r).items() if k not in hidden}} for r in weighed.rows]
    return {
        "as_of": weighed.as_of, "currency": weighed.currency, "need_on": weighed.need_on, "odds_percent": weighed.odds_percent, "yearly_percent": weighed.yearly_percent,
        "options": rows, "best": [r.spec.key for r in weighed.best[:3]], "reasons": weighed.reasons,
    }  # fmt: skip


@room.does("/cases", "cases.open_case")
def open_case(request: Caller, target: Query[OfCompany], body: NewCase) -> Any:
    """Take a customer's debt as one case; answers with its id."""
    entity_id = books.entity(target.company or None).pk
    return done(actions.open_case(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/cases/{int:case_id}/assumptions", "cases.set_assumptions")
def set_assumptions(request: Caller, case_id: Id, body: Assumptions) -> Any:
    """Say what is assumed instead of the packaged values; answers with the case's id."""
    return done(actions.set_assumptions(case_id=case_id, told=body.model_dump(), **once(request)))


@room.does("/cases/{int:case_id}/choose", "cases.choose_strategy")
def choose_strategy(request: Caller, case_id: Id, body: Choice) -> Any:
    """Choose an option; answers with the case's id."""
    return done(actions.choose_strategy(case_id=case_id, **body.model_dump(), **once(request)))


@room.does("/cases/{int:case_id}/approve", "cases.approve_strategy")
def approve_strategy(request: Caller, case_id: Id, body: Dated) -> Any:
    """Agree to what somebody else chose; answers with the case's id."""
    return done(actions.approve_strategy(case_id=case_id, on=body.on, **once(request)))


@room.does("/cases/{int:case_id}/refuse", "cases.refuse_strategy")
def refuse_strategy(request: Caller, case_id: Id, body: Refusal) -> Any:
    """Not agree; answers with the case's id."""
    return done(actions.refuse_strategy(case_id=case_id, **body.model_dump(), **once(request)))


@room.does("/cases/{int:case_id}/close", "cases.close_case")
def close_case(request: Caller, case_id: Id, body: Closing) -> Any:
    """End a case and keep its outcome; answers with the case's id."""
    return done(actions.close_case(case_id=case_id, **body.model_dump(), **once(request)))
