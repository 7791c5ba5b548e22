"""Revenue recognition over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.contracts import queries as contracts
from topline.kernel import clock
from topline.recognition import actions, queries
from topline.recognition.facts import Assumed
from topline.recognition.models import StandalonePrice
from topline.ui.wire import (
    MAX_ROWS,
    Body,
    Caller,
    Code,
    Currency,
    Day,
    Flag,
    Id,
    Minor,
    Name,
    OfCompany,
    Room,
    Rows,
    Share,
    Whole,
    done,
    once,
    rows,
)

room = Room(tags=["Recognition"])
Nano = Annotated[int, Field(strict=True, ge=0, le=actions.MAX_NANO, description="billionths of a minor unit")]
Reason = Annotated[str, Field(max_length=300)]
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
    ssp_low_nano: Nano | None = None
    ssp_high_nano: Nano | None = None
    life_months: Annotated[int, Field(ge=1, le=600)] | None = None


class PriceAlone(Body):
    product_id: Id
    currency: Currency
    valid_from: Day
    low_nano: Nano
    high_nano: Nano
    basis: Code
    because: Reason = ""


class Outcome(Body):
    amount_minor: Minor
    probability_ppm: Share


class EstimateOfAmount(Body):
    on: Day
    outcomes: Annotated[list[Outcome], Field(min_length=1, max_length=actions.MAX_OUTCOMES)]
    method: Code = "expected_value"
    ceiling_minor: Minor | None = None
    because: Reason = ""


class VariableAmount(EstimateOfAmount):
    contract_id: Id
    what: Name
    item_id: Id | None = None
    is_paid_back: Flag = False


class TreatedAs(Body):
    treatment: Code
    because: Reason


class WhatIfAsked(Through):
    """item:billionths, element:minor units, amendment:treatment; each as often as there are such."""

    alone: Annotated[list[Annotated[str, Field(pattern=r"^[0-9]{1,18}:[0-9]{1,18}$")]], Field(max_length=200)] = []
    amount: Annotated[list[Annotated[str, Field(pattern=r"^[0-9]{1,18}:-?[0-9]{1,14}$")]], Field(max_length=200)] = []
    treat: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9]{1,18}:(separate_contract|prospective|catch_up)$")]], Field(max_length=200)
    ] = []


class ProductWhatIfAsked(Through):
    product_id: Id
    low_nano: Annotated[int, Field(ge=0, le=actions.MAX_NANO)]
    high_nano: Annotated[int, Field(ge=0, le=actions.MAX_NANO)]


class RevenueWaterfallAsked(Through):
    by: Code = "billed"


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
    """What contracts were billed and have earned by the end of a month, by id, and what of liability and asset is not current (later than twelve months); the next thousand begin after the last id."""
    told = queries.balances(books.entity(asked.company or None), through=asked.through)
    return rows(told.filter(told["contract_id"] > asked.after_contract_id).head(MAX_ROWS))


@room.reads("/recognition/waterfall", "recognition.view", Rows)
def list_waterfall(request: Caller, asked: Query[RevenueWaterfallAsked]) -> Any:
    """What was billed (by=billed) or booked (by=booked) by month, by the month in which it is earned; the newest thousand cells."""
    return rows(queries.waterfall(books.entity(asked.company or None), through=asked.through, by=asked.by).tail(MAX_ROWS))


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


@room.reads("/recognition/contracts/{int:contract_id}/what-if", "recognition.view")
def get_contract_what_if(request: Caller, contract_id: Id, asked: Query[WhatIfAsked]) -> Any:
    """One contract under other prices alone, estimates or treatments of amendments than those that were kept. Nothing is kept of it."""
    found = contracts.contract(contract_id)
    pairs = {name: [text.split(":", 1) for text in getattr(asked, name)] for name in ("alone", "amount", "treat")}
    supposed = Assumed(
        item_ssp={int(k): int(v) for k, v in pairs["alone"]}, estimates={int(k): int(v) for k, v in pairs["amount"]}, treatments={int(k): v for k, v in pairs["treat"]}
    )  # fmt: skip
    return queries.detail(found.entity, found.pk, through=queries.ensure_month_end(asked.through), assume=supposed)


@room.reads("/recognition/what-if", "recognition.view", Rows)
def list_what_if(request: Caller, asked: Query[ProductWhatIfAsked]) -> Any:
    """What all contracts would earn by month, if a product cost something else alone, beside what they do. Nothing is kept of it."""
    supposed = Assumed(product_ssp={asked.product_id: (asked.low_nano, asked.high_nano)})
    return rows(queries.what_if(books.entity(asked.company or None), through=asked.through, assume=supposed))


@room.reads("/recognition/costs", "recognition.view", Rows)
def list_costs(request: Caller, asked: Query[Through]) -> Any:
    """What it cost to win contracts and what is left of it by the end of a month; the newest thousand."""
    return rows(
        queries.cost_rows(books.entity(asked.company or None), through=queries.ensure_month_end(asked.through)).tail(MAX_ROWS)
    )


@room.reads("/recognition/prices", "recognition.view", Rows)
def list_prices_alone(request: Caller, asked: Query[OfCompany]) -> Any:
    """What products cost alone, the newest thousand that were said."""
    names = ("id", "product_id", "currency", "valid_from", "low_nano", "high_nano", "basis", "because")
    return {"items": list(StandalonePrice.objects.order_by("-id").values(*names)[:MAX_ROWS])}


@room.reads("/recognition/prices/observed", "recognition.view", Rows)
def list_observed_prices(request: Caller, asked: Query[OfCompany]) -> Any:
    """What products were sold for in the last year, with the range that this proposes; a thousand products."""
    entity = books.entity(asked.company or None)
    return rows(queries.observed(entity, until=clock.today(entity.time_zone)).head(MAX_ROWS))


@room.does("/recognition/prices", "recognition.set_standalone_price")
def set_standalone_price(request: Caller, body: PriceAlone) -> Any:
    """Say what a product costs alone from a day on; answers with the price's id."""
    return done(actions.set_standalone_price(**body.model_dump(), **once(request)))


@room.does("/recognition/variable-amounts", "recognition.add_variable_amount")
def add_variable_amount(request: Caller, body: VariableAmount) -> Any:
    """Put a variable amount into a contract's price; answers with its id."""
    return done(actions.add_variable_amount(**body.model_dump(), **once(request)))


@room.does("/recognition/variable-amounts/{int:element_id}/estimates", "recognition.estimate_variable_amount")
def estimate_variable_amount(request: Caller, element_id: Id, body: EstimateOfAmount) -> Any:
    """Put a variable amount at something else; answers with the estimate's id."""
    return done(actions.estimate_variable_amount(element_id=element_id, **body.model_dump(), **once(request)))


@room.does("/recognition/amendments/{int:amendment_id}/treatment", "recognition.treat_amendment")
def treat_amendment(request: Caller, amendment_id: Id, body: TreatedAs) -> Any:
    """Account for an amendment otherwise than the policy would; answers with the decision's id."""
    return done(actions.treat_amendment(amendment_id=amendment_id, **body.model_dump(), **once(request)))


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
