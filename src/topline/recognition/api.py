"""Revenue recognition over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.contracts import queries as contracts
from topline.recognition import actions, queries
from topline.ui.wire import MAX_ROWS, Body, Caller, Code, Day, Id, Name, OfCompany, Room, Rows, Whole, done, once, rows

room = Room(tags=["Recognition"])
Ppm = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class Through(OfCompany):
    through: Day


class ContractBalancesAsked(Through):
    after_contract_id: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


class ClosedMonth(Body):
    through: Day


class EarningRule(Body):
    product_id: Id | None = None
    item_id: Id | None = None
    method: Code
    ssp_low_nano: Whole | None = None
    ssp_high_nano: Whole | None = None


class AcceptedPart(Body):
    item_id: Id
    on: Day
    share_ppm: Ppm
    note: Name = ""


class WinningCost(Body):
    contract_id: Id
    what: Name
    amount_minor: Whole
    start: Day
    end: Day


@room.reads("/recognition/balances", "recognition.view", Rows)
def list_balances(request: Caller, asked: Query[ContractBalancesAsked]) -> Any:
    """What contracts were billed and have earned by the end of a month, by id; the next thousand begin after the last id."""
    told = queries.balances(books.entity(asked.company or None), through=asked.through)
    return rows(told.filter(told["contract_id"] > asked.after_contract_id).head(MAX_ROWS))


@room.reads("/recognition/waterfall", "recognition.view", Rows)
def list_waterfall(request: Caller, asked: Query[Through]) -> Any:
    """What was billed by month, by the month in which it is earned; the newest thousand cells."""
    return rows(queries.waterfall(books.entity(asked.company or None), through=asked.through).tail(MAX_ROWS))


@room.reads("/recognition/remaining", "recognition.view", Rows)
def list_remaining(request: Caller, asked: Query[Through]) -> Any:
    """What contracts with an end still have to earn, the largest thousand."""
    return rows(queries.remaining(books.entity(asked.company or None), through=asked.through).head(MAX_ROWS))


@room.reads("/recognition/months", "recognition.view", Rows)
def list_months(request: Caller, asked: Query[OfCompany]) -> Any:
    """The last thirteen closed months: opening, billed, earned, closing."""
    return rows(queries.rolled(books.entity(asked.company or None)))


@room.reads("/recognition/contracts/{int:contract_id}", "recognition.view")
def get_contract_revenue(request: Caller, contract_id: Id, asked: Query[Through]) -> Any:
    """One contract: obligations, what is earned by month, its balance, the costs of winning it."""
    found = contracts.contract(contract_id)
    return queries.detail(found.entity, found.pk, through=queries.ensure_month_end(asked.through))


@room.does("/recognition/months", "recognition.close_month")
def close_month(request: Caller, body: ClosedMonth, target: Query[OfCompany]) -> Any:
    """Close a month; answers with the close's id."""
    return done(actions.close_month(entity_id=books.entity(target.company or None).pk, through=body.through, **once(request)))


@room.does("/recognition/rules", "recognition.set_rule")
def set_rule(request: Caller, body: EarningRule) -> Any:
    """Say how a product or an item is earned; answers with the rule's id."""
    return done(actions.set_rule(**body.model_dump(), **once(request)))


@room.does("/recognition/acceptances", "recognition.accept_part")
def accept_part(request: Caller, body: AcceptedPart) -> Any:
    """Note what the customer accepted; answers with the acceptance's id."""
    return done(actions.accept_part(**body.model_dump(), **once(request)))


@room.does("/recognition/costs", "recognition.keep_cost")
def keep_cost(request: Caller, body: WinningCost) -> Any:
    """Keep what it cost to win a contract; answers with the cost's id."""
    return done(actions.keep_cost(**body.model_dump(), **once(request)))
