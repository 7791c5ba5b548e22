"""Deals, stages and sales people over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.books.models import Entity
from topline.engine.sales.waterfall import summary
from topline.kernel import clock
from topline.kernel.errors import NotFound
from topline.pipeline import actions, around, calls, figures, forecast, machine, people, queries, quotas, stages, territories
from topline.pipeline.models import DealChance, Opportunity, Territory
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Code,
    Currency,
    Day,
    Flag,
    Id,
    Name,
    OfCompany,
    Page,
    Ref,
    Room,
    Rows,
    Whole,
    done,
    frame,
    given,
    once,
    page,
    rows,
)

room = Room(tags=["Pipeline"])
DEAL = ["id", "number", "name", "entity_id", "customer_id", "rep_id", "state", "category", "amount_minor", "currency", "opened_on", "engaged_on", "close_on",
        "closed_on", "source", "segment", "next_step", "loss_reason", "competitor"]  # fmt: skip
CHANCE = [
    "as_of",
    "is_rehearsed",
    "ends_on",
    "in_period_bp",
    "ever_bp",
    "by_week",
    "reasons",
    "age_days",
    "stage_key",
    "stage_days",
]
Sixty = Annotated[str, Field(max_length=60)]
Step = Annotated[str, Field(max_length=300)]
Reason = Annotated[str, Field(max_length=100)]
OpenCategory = Literal["omitted", "pipeline", "best_case", "commit"]


class DealsAsked(Asked):
    state: Literal["", "open", "won", "lost"] = ""
    stage: Code = ""
    rep_id: Annotated[int, Field(ge=0)] = 0
    search: Name = ""


class NewDeal(Body):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    rep_id: Ref
    stage: Code
    currency: Currency
    number: Code = ""
    customer_id: Ref | None = None
    category: OpenCategory | None = None
    amount_minor: Whole | None = None
    opened_on: Day | None = None
    engaged_on: Day | None = None
    close_on: Day | None = None
    closed_on: Day | None = None
    source: Sixty = ""
    segment: Code = ""
    next_step: Step = ""
    loss_reason: Reason = ""
    competitor: Reason = ""


class NewDeals(Body):
    opportunities: Annotated[list[NewDeal], Field(min_length=1, max_length=MAX_ROWS)]
    known_on: Day


class DealChanges(Body):
    on: Day
    stage: Code = ""
    category: OpenCategory = "pipeline"
    amount_minor: Whole | None = None
    close_on: Day | None = None
    rep_id: Ref = 1
    next_step: Step = ""
    customer_id: Ref = 1


class Won(Body):
    on: Day
    amount_minor: Whole | None = None
    said_by: Name = ""


class PersonOfDeal(Body):
    contact_id: Ref
    role: Code = ""


class LineOfDeal(Body):
    product_id: Ref
    quantity_micro: Annotated[int, Field(gt=0, le=10**15)] = 1_000_000


class LinesOfDeal(Body):
    on: Day
    lines: Annotated[list[LineOfDeal], Field(max_length=around.MAX_LINES)]


class RivalsOfDeal(Body):
    competitor_ids: Annotated[list[Ref], Field(max_length=around.MAX_RIVALS)]


class TerritoryRule(Body):
    name: Name
    countries: Annotated[list[Code], Field(max_length=250)] = []
    segments: Annotated[list[Code], Field(max_length=100)] = []
    sources: Annotated[list[Name], Field(max_length=100)] = []
    rep_ids: Annotated[list[Ref], Field(min_length=1, max_length=territories.MAX_REPS)]


class TerritoryRules(Body):
    territories: Annotated[list[TerritoryRule], Field(max_length=territories.MAX_RULES)]


class Lost(Body):
    on: Day
    loss_reason: Reason
    competitor: Reason


class Withdrawn(Body):
    import_batch_id: Ref
    on: Day


class SnapshotOf(Body):
    as_of: Day


class NewRep(Body):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    code: Code = ""
    manager: Annotated[str, Field(max_length=200, description="code or name")] = ""
    region: Sixty = ""
    member_id: Ref | None = None
    joined_on: Day | None = None
    left_on: Day | None = None


class NewReps(Body):
    reps: Annotated[list[NewRep], Field(min_length=1, max_length=MAX_ROWS)]


class RepsAsked(OfCompany):
    as_of: Annotated[Day | None, Field(description="whose teams; those of now without")] = None


class RepChanges(Body):
    name: Name = ""
    led_from: Annotated[
        Day | None, Field(description="from which the manager leads; today without, 1900-01-01: it was always so")
    ] = None
    manager_id: Ref | None = None
    region: Sixty = ""
    member_id: Ref | None = None
    joined_on: Day | None = None
    left_on: Day | None = None


class NewStage(Body):
    key: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    name: Annotated[str, Field(min_length=1, max_length=60)]
    kind: Literal["open", "won", "lost"]
    category: Literal["omitted", "pipeline", "best_case", "commit", "closed"]
    is_qualified: Flag = False


class NewStages(Body):
    stages: Annotated[list[NewStage], Field(min_length=3, max_length=20)]


@room.reads("/opportunities", "pipeline.view", Page)
def list_opportunities(request: Caller, asked: Query[DealsAsked]) -> Any:
    """Deals as they stand, by state, stage, owner, or part of a name or number."""
    found = queries.opportunities(
        entity_id=books.entity(asked.company or None).pk, state=asked.state, stage=asked.stage, rep_id=asked.rep_id, search=asked.search
    )  # fmt: skip
    return page(found, [*DEAL, "stage__key"], asked)


@room.reads("/opportunities/{int:opportunity_id}", "pipeline.view")
def get_opportunity(request: Caller, opportunity_id: Id) -> Any:
    """One deal with its lines, its chance to be won (of 10,000, as last told) and its history, oldest change first."""
    found = Opportunity.objects.filter(pk=opportunity_id).select_related("stage").first()
    if found is None:
        raise NotFound(f"There is no deal {opportunity_id}.", field="opportunity_id")
    lines = (
        found.lines.filter(removed_on__isnull=True)
        .order_by("id")
        .values("id", "product_id", "quantity_micro", "unit_price_nano", "amount_minor")[:200]
    )
    changes = found.changes.order_by("effective_on", "id").values(
        "field", "before", "after", "effective_on", "recorded_at", "actor_key"
    )[:500]
    return {
        **{name: getattr(found, name) for name in DEAL},
        "stage": found.stage.key,
        "lines": list(lines),
        "people": list(found.people.values("contact_id", "role")[: around.MAX_PEOPLE]),
        "competitor_ids": list(found.rivals.values_list("competitor_id", flat=True)[: around.MAX_RIVALS]),
        "changes": list(changes),
        "chance": _chance(found),
    }


def _chance(deal: Opportunity) -> dict[str, Any] | None:
    """How likely an open deal is to be won, of 10,000, as last told; null where nothing was."""
    told = DealChance.objects.filter(opportunity_id=deal.pk).order_by("-as_of").first() if deal.state == "open" else None
    return {name: getattr(told, name) for name in CHANCE} if told else None


@room.reads("/stages", "pipeline.view", Rows)
def list_stages(request: Caller) -> Any:
    """The steps of the way to a deal, in their order."""
    return rows(queries.stages())


@room.reads("/sales-people", "pipeline.view", Rows)
def list_reps(request: Caller, asked: Query[RepsAsked]) -> Any:
    """Everybody who sells or sold, with who leads them now, or led them on a day."""
    return rows(queries.reps(on=asked.as_of))


@room.does("/opportunities", "pipeline.add_opportunities", Rows)
def add_opportunities(request: Caller, target: Query[OfCompany], body: NewDeals) -> Any:
    """Add deals, open or closed; answers with id and number of each, in order."""
    entity_id = books.entity(target.company or None).pk
    made = actions.add_opportunities(
        entity_id=entity_id, opportunities=frame(body.opportunities), known_on=body.known_on, **once(request)
    )
    return rows(made)


@room.does("/opportunities/{int:opportunity_id}/change", "pipeline.change_opportunity")
def change_opportunity(request: Caller, opportunity_id: Id, body: DealChanges) -> Any:
    """Change the facts that are sent, on a day; an open stage opens a closed deal again. Answers with the deal's id."""
    changes = dict(given(body))
    on = changes.pop("on")
    return done(actions.change_opportunity(opportunity_id=opportunity_id, changes=changes, on=on, **once(request)))


@room.does("/opportunities/{int:opportunity_id}/win", "pipeline.win_opportunity")
def win_opportunity(request: Caller, opportunity_id: Id, body: Won) -> Any:
    """The customer said yes; the amount may be given now. Answers with the deal's id."""
    won = actions.win_opportunity(
        opportunity_id=opportunity_id, on=body.on, amount_minor=body.amount_minor, said_by=body.said_by, **once(request)
    )
    return done(won)


@room.does("/opportunities/{int:opportunity_id}/lose", "pipeline.lose_opportunity")
def lose_opportunity(request: Caller, opportunity_id: Id, body: Lost) -> Any:
    """The customer said no: why, and to whom it went. Answers with the deal's id."""
    return done(actions.lose_opportunity(opportunity_id=opportunity_id, **body.model_dump(), **once(request)))


@room.does("/opportunities/{int:opportunity_id}/people", "pipeline.set_deal_contact")
def set_deal_contact(request: Caller, opportunity_id: Id, body: PersonOfDeal) -> Any:
    """Say which role a person of the customer plays; an empty role takes the person off. Answers with the deal's id."""
    return done(around.set_deal_contact(opportunity_id=opportunity_id, **body.model_dump(), **once(request)))


@room.does("/opportunities/{int:opportunity_id}/lines", "pipeline.set_deal_lines")
def set_deal_lines(request: Caller, opportunity_id: Id, body: LinesOfDeal) -> Any:
    """Say what an open deal is about from a day on, all of it; answers with the deal's id."""
    lines = [(line.product_id, line.quantity_micro) for line in body.lines]
    return done(around.set_deal_lines(opportunity_id=opportunity_id, lines=lines, on=body.on, **once(request)))


@room.does("/opportunities/{int:opportunity_id}/competitors", "pipeline.set_deal_competitors")
def set_deal_competitors(request: Caller, opportunity_id: Id, body: RivalsOfDeal) -> Any:
    """Say who else wants the deal, all of them; answers with the deal's id."""
    return done(around.set_deal_competitors(opportunity_id=opportunity_id, competitor_ids=body.competitor_ids, **once(request)))


@room.reads("/territories", "pipeline.view", Rows)
def list_territories(request: Caller) -> Any:
    """Whose customers and leads are: rules in order, the first that fits decides."""
    return {
        "items": list(
            Territory.objects.order_by("position").values("name", "countries", "segments", "sources", "rep_ids")[
                : territories.MAX_RULES
            ]
        )
    }


@room.does("/territories", "pipeline.set_territories")
def set_territories(request: Caller, body: TerritoryRules) -> Any:
    """All territories in their order; answers with how many."""
    return done(territories.set_territories(territories=[t.model_dump() for t in body.territories], **once(request)))


@room.does("/opportunities/withdraw", "pipeline.withdraw_opportunities")
def withdraw_opportunities(request: Caller, body: Withdrawn) -> Any:
    """Take back the deals of an import; answers with how many."""
    return done(actions.withdraw_opportunities(**body.model_dump(), **once(request)))


@room.does("/pipeline/snapshot", "pipeline.snapshot_pipeline")
def snapshot_pipeline(request: Caller, target: Query[OfCompany], body: SnapshotOf) -> Any:
    """Write down every open deal by value at the end of a day; answers with how many."""
    entity_id = books.entity(target.company or None).pk
    return done(actions.snapshot_pipeline(entity_id=entity_id, as_of=body.as_of, **once(request)))


@room.does("/stages", "pipeline.set_stages")
def set_stages(request: Caller, body: NewStages) -> Any:
    """All steps in their order, won and lost last; answers with how many."""
    return done(stages.set_stages(stages=frame(body.stages), **once(request)))


@room.does("/sales-people", "pipeline.add_reps", Rows)
def add_reps(request: Caller, body: NewReps) -> Any:
    """Add people who sell; answers with id and code of each, in order."""
    return rows(people.add_reps(reps=frame(body.reps), **once(request)))


@room.does("/sales-people/{int:rep_id}/change", "pipeline.change_rep")
def change_rep(request: Caller, rep_id: Id, body: RepChanges) -> Any:
    """Change the facts that are sent, such as who leads them or when they left; answers with the id."""
    changes = dict(given(body))
    led_from = changes.pop("led_from", None)
    return done(people.change_rep(rep_id=rep_id, changes=changes, led_from=led_from, **once(request)))


class DealsDayAsked(OfCompany):
    as_of: Day | None = None


class FunnelAsked(DealsDayAsked):
    since: Day
    until: Day


class StatisticsAsked(FunnelAsked):
    by: Literal[
        "", "rep", "team", "product", "segment", "region", "source", "month", "quarter", "competitor", "loss_reason", "business"
    ] = ""
    beside: Literal["before", "year"] = "before"


class WaterfallAsked(OfCompany):
    start: Day
    end: Day
    since: Day | None = None
    until: Day | None = None
    rep: Name = ""
    team: Annotated[str, Field(max_length=200, description="who leads the seller")] = ""
    product: Name = ""
    segment: Name = ""
    region: Sixty = ""
    source: Sixty = ""


class PipelineAsked(DealsDayAsked):
    by: Literal["stage", "category", "rep", "team", "close_month"] = "stage"
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""


@room.reads("/pipeline", "pipeline.view")
def get_pipeline(request: Caller, asked: Query[PipelineAsked]) -> Any:
    """The open pipeline of a day in one currency (that of most deals unless you say another), by stage, category, owner, team or month; a
    category also with all surer ones."""
    entity, day = _of(asked)
    book = figures.book(entity_id=entity.pk, as_of=day)
    currency = asked.currency or next(iter(figures.currencies(book)), entity.currency)
    groups = figures.summary(book, by=asked.by, currency=currency)
    return {"as_of": day, "currency": currency, "by": asked.by, "groups": groups}


@room.reads("/funnel", "pipeline.view", Rows)
def get_funnel(request: Caller, asked: Query[FunnelAsked]) -> Any:
    """How far the deals got that began in [since, until), as known on a day: reached, went on, lost, open, and days in each stage."""
    entity, day = _of(asked)
    return rows(figures.funnel(entity_id=entity.pk, as_of=day, since=asked.since, until=asked.until))


@room.reads("/sales-statistics", "pipeline.view", Rows)
def get_statistics(request: Caller, asked: Query[StatisticsAsked]) -> Any:
    """What the deals closed in [since, until) brought, by group and currency, beside as many days before or the same days a year earlier."""
    entity, _ = _of(asked)
    return rows(figures.statistics(entity_id=entity.pk, since=asked.since, until=asked.until, by=asked.by, beside=asked.beside))


@room.reads("/pipeline-waterfall", "pipeline.view", Rows)
def get_waterfall(request: Caller, asked: Query[WaterfallAsked]) -> Any:
    """What became of the pipeline between the ends of two days, by currency and step; start and all steps make the end. `since` and
    `until` narrow it to what is expected to close in those days, the others to deals that are such at the end."""
    entity = books.entity(asked.company or None)
    among = figures.among(
        entity_id=entity.pk, as_of=asked.end, rep=asked.rep, team=asked.team, product=asked.product, segment=asked.segment, region=asked.region, source=asked.source
    )  # fmt: skip
    legs = figures.waterfall(
        entity_id=entity.pk, start=asked.start, end=asked.end, since=asked.since, until=asked.until, among=among
    )
    return rows(summary(legs))


class QuarterAsked(DealsDayAsked):
    quarter: Annotated[Day | None, Field(description="a day of it; that of as_of without")] = None


class PreviewAsked(QuarterAsked):
    target_minor: Annotated[int, Field(ge=1, le=10**15)]
    currency: Currency
    method: Literal["history", "capacity", "evenly"] = "history"
    buffer_percent: Annotated[int, Field(ge=0, le=100)] = 0


class AccuracyAsked(DealsDayAsked):
    by: Literal["method", "person", "week"] = "method"


class NewQuota(Body):
    scope: Literal["company", "team", "person"]
    rep_id: Ref | None = None
    starts_on: Day
    ends_on: Day
    amount_minor: Whole
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""
    measure: Literal["bookings", "deals"] = "bookings"
    family: Sixty = ""
    note: Annotated[str, Field(max_length=200)] = ""


class NewQuotas(Body):
    quotas: Annotated[list[NewQuota], Field(min_length=1, max_length=MAX_ROWS)]
    on: Day


class QuotaSplit(Body):
    start: Day
    end: Day
    target_minor: Whole
    currency: Currency
    on: Day
    method: Literal["history", "capacity", "evenly"] = "history"
    buffer_percent: Annotated[int, Field(ge=0, le=100)] = 0


class NewCall(Body):
    rep_id: Ref
    start: Day
    end: Day
    category: Literal["commit", "most_likely", "best_case"]
    amount_minor: Whole
    currency: Currency
    on: Day
    note: Step = ""


class NewOverride(Body):
    rep_id: Ref
    start: Day
    end: Day
    category: Literal["commit", "most_likely", "best_case"]
    amount_minor: Annotated[Whole | None, Field(description="null takes the override back")] = None
    currency: Currency
    on: Day
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class ForecastOf(Body):
    as_of: Day


@room.reads("/sales-forecast", "pipeline.view")
def get_sales_forecast(request: Caller, asked: Query[QuarterAsked]) -> Any:
    """Quota, won, open deals by category and calls of a quarter for company, teams and people, as known on a day, in one currency."""
    entity, day = _of(asked)
    start, end = forecast.quarter(asked.quarter or day)
    found = forecast.board(entity_id=entity.pk, start=start, end=end, as_of=day)
    return {"as_of": day, "start": start, "end": end, "currency": found.currency, "rows": found.rows.to_dicts(), "segments": found.segments.to_dicts(), "street": found.street,
            "fairness": found.fairness.sentence, "machine": machine.said(entity_id=entity.pk, start=start, end=end, as_of=day)}  # fmt: skip


@room.reads("/forecast-accuracy", "pipeline.view", Rows)
def get_accuracy(request: Caller, asked: Query[AccuracyAsked]) -> Any:
    """How right what was frozen on Mondays was about quarters that are over, by method, person or week."""
    entity, day = _of(asked)
    return rows(forecast.accuracy(entity_id=entity.pk, as_of=day, by=asked.by))


@room.reads("/quotas", "pipeline.view", Rows)
def list_quotas(request: Caller, asked: Query[QuarterAsked]) -> Any:
    """The quotas of a quarter that were in force on a day."""
    entity, day = _of(asked)
    start, end = forecast.quarter(asked.quarter or day)
    return rows(forecast.quotas_in_force(entity_id=entity.pk, start=start, end=end, as_of=day))


@room.reads("/quotas/preview", "pipeline.view", Rows)
def preview_split(request: Caller, asked: Query[PreviewAsked]) -> Any:
    """How a target of a quarter would be shared out, company first, then teams, then people; nothing is written."""
    entity, day = _of(asked)
    start, end = forecast.quarter(asked.quarter or day)
    told = quotas.split_preview(
        entity_id=entity.pk, start=start, end=end, target_minor=asked.target_minor, currency=asked.currency, on=day, method=asked.method,
        buffer_percent=asked.buffer_percent,
    )  # fmt: skip
    return rows(told)


@room.does("/quotas", "pipeline.set_quotas")
def set_quotas(request: Caller, target: Query[OfCompany], body: NewQuotas) -> Any:
    """Set quotas; each replaces what stood for its owner and period. Answers with how many."""
    entity_id = books.entity(target.company or None).pk
    return done(quotas.set_quotas(entity_id=entity_id, quotas=frame(body.quotas), on=body.on, **once(request)))


@room.does("/quotas/split", "pipeline.split_quota")
def split_quota(request: Caller, target: Query[OfCompany], body: QuotaSplit) -> Any:
    """Share a target out over teams and people and set what comes out. Answers with how many."""
    return done(quotas.split_quota(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/forecast-calls", "pipeline.submit_call")
def submit_call(request: Caller, target: Query[OfCompany], body: NewCall) -> Any:
    """Say what a person will have sold in a period. Answers with the call's id."""
    return done(calls.submit_call(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/forecast-calls/override", "pipeline.override_call")
def override_call(request: Caller, target: Query[OfCompany], body: NewOverride) -> Any:
    """Say a number instead of somebody you lead, with the reason. Answers with the call's id."""
    return done(calls.override_call(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/sales-forecast/freeze", "pipeline.freeze_sales_forecast")
def freeze_sales_forecast(request: Caller, target: Query[OfCompany], body: ForecastOf) -> Any:
    """Write the running quarter's forecast down as it stands; answers with how many figures."""
    entity_id = books.entity(target.company or None).pk
    return done(calls.freeze_sales_forecast(entity_id=entity_id, as_of=body.as_of, **once(request)))


@room.does("/sales-forecast/rehearse", "pipeline.ask_rehearsal")
def ask_rehearsal(request: Caller, target: Query[OfCompany], body: ForecastOf) -> Any:
    """Have the methods rehearse on past Mondays in the background; what they would have said then counts on /forecast-accuracy. Answers with 1."""
    return done(calls.ask_rehearsal(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))


def _of(asked: DealsDayAsked) -> tuple[Entity, date]:
    entity = books.entity(asked.company or None)
    return entity, asked.as_of or clock.today(entity.time_zone)
