"""Contracts and bill runs over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query, Schema
from pydantic import Field

from topline.billing import taxes
from topline.billing.models import TaxRate
from topline.books import queries as books
from topline.contracts import (
    actions,
    amendments,
    bills,
    drawing,
    queries,
    rebilling,
    renewal_quotes,
    renewing,
    rerating,
    runs,
    schedules,
)
from topline.contracts.models import BillRun, Contract, Parked, SchedulePart
from topline.contracts.recurring import recurring
from topline.engine.renewals import survival
from topline.kernel import clock
from topline.kernel.errors import NotFound
from topline.ui.wire import (  # fmt: skip
    MAX_MINOR,
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Currency,
    Day,
    Flag,
    Id,
    Name,
    OfCompany,
    Page,
    Positive,
    Ref,
    Room,
    Rows,
    Share,
    Whole,
    done,
    given,
    once,
    page,
    rows,
)

room = Room(tags=["Contracts"])
CONTRACT = ["id", "number", "customer_id", "bill_to_id", "quote_id", "currency", "terms", "purchase_order", "starts_on", "ends_on", "renews_months", "notice_days", "on_upgrade", "on_downgrade", "month_days", "late_usage"]  # fmt: skip
RUN = ["id", "entity_id", "as_of", "state", "started_at", "finished_at"]
PARKED = ["id", "contract_id", "code", "message", "remedy", "since", "is_released", "cleared_at"]
PART = [
    "id",
    "item_id",
    "position",
    "description",
    "amount_minor",
    "due_on",
    "expected_on",
    "accepted_on",
    "accepted_by",
    "dropped_on",
]
PREVIEWED = [
    "contract_id",
    "item_id",
    "description",
    "full_start",
    "start",
    "end",
    "net_minor",
    "currency",
    "sequence",
    "days",
    "full_days",
    "explained",
]
RATE = ["id", "country", "tax_class", "rate_ppm", "valid_from"]
Unit = Literal["day", "week", "month", "quarter", "year"]
Micro = Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR * 1_000, description="millionths")]
Nano = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1, description="billionths of a minor unit")]
Months = Annotated[int, Field(strict=True, ge=0, le=1_200)]
Days = Annotated[int, Field(strict=True, ge=0, le=3_660)]
Mode = Literal["invoice_now", "with_next_invoice", "at_period_end", "restart"]
Kind = Literal["add", "remove", "quantity", "price", "plan", "renew", "co_term", "terminate", "pause", "resume", "transfer"]
Late = Literal["", "next_invoice", "credit_and_rerate"]
MonthDays = Annotated[int, Field(strict=True, ge=28, le=31, description="days of a month for parts of a period")] | None


class PriceTier(Body):
    """A row of a price: of tiers up_to (null: no end) with a unit price or a share, and a fee; of a matrix when (such as region=eu, all must hold) and a unit price; by capacity when (such as CALLS<=1000) and the price of the period."""

    up_to: Annotated[int, Field(strict=True, ge=1, le=10**15)] | None = None
    up_to_micro: Annotated[Micro | None, Field(description="in its place where a tier ends inside a unit")] = None
    unit_price_nano: Nano | None = None
    share_ppm: Annotated[int, Field(strict=True, ge=0, le=10**12)] | None = None
    flat_fee_minor: Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)] = 0
    block_micro: Annotated[Micro | None, Field(description="units of a block; one that is begun is charged whole")] = None
    when: Annotated[list[Annotated[str, Field(max_length=141)]], Field(max_length=10)] = []


class ItemPrice(Body):
    """What an item costs; the guide says which terms a model reads."""

    unit_price_nano: Nano | None = None
    price_model: (
        Literal[
            "per_unit",
            "package",
            "graduated",
            "volume",
            "percentage",
            "graduated_percentage",
            "dynamic",
            "matrix",
            "capacity",
            "commitment",
        ]
        | None
    ) = None
    tiers: Annotated[list[PriceTier], Field(max_length=200)] | None = None
    included_micro: Micro | None = None
    package_micro: Micro | None = None
    share_ppm: Annotated[int, Field(strict=True, ge=0, le=10**12)] | None = None
    fee_nano: Nano | None = None
    free_count: Annotated[int, Field(strict=True, ge=0, le=10**9)] | None = None
    free_minor: Whole | None = None
    each_least_minor: Whole | None = None
    each_most_minor: Whole | None = None
    minimum_minor: Whole | None = None
    maximum_minor: Whole | None = None


class ContractItem(ItemPrice):
    description: Name = ""
    product_id: Ref | None = None
    quantity_micro: Micro = 1_000_000
    unit: Unit
    every: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    in_advance: Flag = True
    day: Annotated[int, Field(strict=True, ge=1, le=31)] | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    anchor: Annotated[Day | None, Field(description="a day on which a period begins; default: its first day")] = None
    aligned: Annotated[Flag, Field(description="its periods begin with those of the contract")] = False
    free_until: Annotated[Day | None, Field(description="a trial: the first day that costs")] = None
    tax_class: Annotated[str, Field(max_length=20)] = "standard"
    meter_id: Ref | None = None
    alerts_minor: Annotated[
        list[Positive], Field(max_length=10, description="net amounts of an open period at which customer and team are told")
    ] = []
    bill_at_minor: Annotated[
        list[Positive], Field(max_length=10, description="net amounts of an open period at which what was used so far is billed")
    ] = []
    bill_every_minor: Annotated[Positive | None, Field(description="and each further amount after the last of them")] = None
    by_peak: Annotated[Flag, Field(description="a period costs the most that was agreed in it, whatever its days")] = False
    pool: Annotated[
        str,
        Field(max_length=40, description="which commitment it counts towards; of a commitment: what counts, empty for all items"),
    ] = ""


class NewContract(Body):
    customer_id: Ref
    currency: Currency
    starts_on: Day
    ends_on: Day | None = None
    terms: Annotated[str, Field(max_length=60)] = "net 30"
    purchase_order: Annotated[str, Field(max_length=60)] = ""
    bill_to_id: Ref | None = None
    renews_months: Months = 0
    notice_days: Days = 0
    on_upgrade: Mode = "invoice_now"
    on_downgrade: Mode = "invoice_now"
    month_days: MonthDays = None
    late_usage: Late = ""
    items: Annotated[list[ContractItem], Field(min_length=1, max_length=actions.MAX_ITEMS)]


class LateUsagePolicy(Body):
    """How use is billed that comes after its period was, where a contract says nothing."""

    policy: Literal["next_invoice", "credit_and_rerate"]


class ContractOfQuote(Body):
    quote_id: Ref
    renews_months: Months = 0
    notice_days: Days = 0
    purchase_order: Annotated[str, Field(max_length=60)] = ""


class ContractChanges(Body):
    terms: Annotated[str, Field(min_length=1, max_length=60)] = "net 30"
    purchase_order: Annotated[str, Field(max_length=60)] = ""
    bill_to_id: Ref = 1
    renews_months: Months = 0
    notice_days: Days = 0
    on_upgrade: Mode = "invoice_now"
    on_downgrade: Mode = "invoice_now"
    month_days: MonthDays = None
    late_usage: Late = ""


class NewAmendment(ItemPrice):
    kind: Kind
    on: Day
    because: Name = ""
    mode: Annotated[Mode | None, Field(description="of a quantity, price or plan; default: as the contract says")] = None
    item_id: Ref | None = None
    item: ContractItem | None = None
    quantity_micro: Micro | None = None
    months: Months | None = None
    uplift_ppm: Annotated[int, Field(strict=True, gt=-1_000_000, le=10_000_000)] | None = None
    until: Day | None = None
    customer_id: Ref | None = None


class RenewalQuoted(Body):
    """At which prices: today's raised by a share, or those of the list (null)."""

    on: Day
    uplift_ppm: Annotated[int, Field(strict=True, gt=-1_000_000, le=10_000_000)] | None = None


class NewPart(Body):
    description: Annotated[str, Field(min_length=1, max_length=200)]
    amount_minor: Positive
    due_on: Day | None = None
    expected_on: Annotated[
        Day | None, Field(description="of a milestone: when it is likely to be accepted, for the cash forecast alone")
    ] = None


class Schedule(Body):
    parts: Annotated[list[NewPart], Field(max_length=schedules.MOST, description="without a day: billed when it is accepted")]


class Accepted(Body):
    on: Day
    accepted_by: Annotated[str, Field(min_length=1, max_length=200)]


class Because(Body):
    because: Name


class AskedAcceptance(Body):
    recipient: Annotated[str, Field(min_length=3, max_length=254)]


class AmendmentAsked(Schema):
    """An amendment to look at before it is made, and the day up to which is billed."""

    kind: Literal["remove", "quantity", "price", "renew", "co_term", "terminate", "pause", "resume", "transfer"]
    on: Day
    as_of: Day
    mode: Mode | None = None
    item_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    quantity_micro: Annotated[int, Field(ge=0, le=MAX_MINOR * 1_000)] | None = None
    unit_price_nano: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    months: Annotated[int, Field(ge=1, le=1_200)] | None = None
    uplift_ppm: Annotated[int, Field(gt=-1_000_000, le=10_000_000)] | None = None
    until: Day | None = None
    customer_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None


class AmendmentBill(Rows):
    """What a run would charge and give back, or why it would leave the contract out."""

    parked: list[dict[str, Any]]


class NewDiscount(Body):
    """A share or an amount off, by periods of its own."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    starts_on: Day
    unit: Literal["once", "day", "week", "month", "quarter", "year"]
    every: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    periods: Annotated[int, Field(strict=True, ge=1, le=10_000, description="null: forever")] | None = None
    share_ppm: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    amount_minor: Positive | None = None
    item_id: Ref | None = None
    product_id: Ref | None = None


class EndedDiscount(Body):
    on: Day


class BilledUpTo(Body):
    as_of: Day


class SignedRun(Body):
    issue_on: Day


class ReleasedContract(Body):
    because: Name


class NewTaxRate(Body):
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    rate_ppm: Share
    valid_from: Day
    tax_class: Annotated[str, Field(min_length=1, max_length=20)] = "standard"


class BillPreviewAsked(OfCompany):
    as_of: Day


class RenewalsAsked(BillPreviewAsked):
    index_ppm: Annotated[int, Field(ge=-500_000, le=5_000_000, description="what an index rose by: 2.4 % is 24000")] = 0


class BillAgain(Body):
    on: Day
    because: Annotated[str, Field(min_length=1, max_length=300)]
    terms: Annotated[str, Field(max_length=60, description="empty: as before")] = ""
    purchase_order: Annotated[str, Field(max_length=60, description="empty: as before")] = ""


@room.reads("/contracts", "contracts.view", Page)
def list_contracts(request: Caller, asked: Query[Asked]) -> Any:
    """Contracts, in the order of their ids."""
    return page(Contract.objects.all(), CONTRACT, asked)


@room.reads("/contracts/{int:contract_id}", "contracts.view")
def get_contract(request: Caller, contract_id: Id) -> Any:
    """One contract with its items, amendments and the newest charges."""
    found = Contract.objects.select_related("entity").filter(pk=contract_id).first()
    if found is None:
        raise NotFound(f"There is no contract {contract_id}.", field="contract_id")
    told = queries.detail(contract_id)
    return {
        **{name: getattr(found, name) for name in CONTRACT},
        **told,
        "discounts": queries.discounts(contract_id, on=clock.today(found.entity.time_zone)),
    }


@room.reads("/contracts/{int:contract_id}/amendment-preview", "contracts.amend", AmendmentBill)
def preview_amendment(request: Caller, contract_id: Id, asked: Query[AmendmentAsked]) -> Any:
    """What the next run would charge and give back after an amendment, and what would keep it from billing the contract; nothing is written."""
    said = {name: value for name, value in asked.dict().items() if value is not None}
    found = amendments.preview_amendment(actor=request.auth, contract_id=contract_id, **said)
    return rows(found.lines.select(PREVIEWED).head(MAX_ROWS)) | {"parked": found.parked.to_dicts()}


@room.reads("/bill-preview", "contracts.view")
def preview_bill(request: Caller, asked: Query[BillPreviewAsked]) -> Any:
    """What a run up to a day would write: totals by currency, what credits would pay of them, what would be parked, and the first thousand lines."""
    entity = books.entity(asked.company or None)
    found = bills.preview(entity=entity, as_of=asked.as_of)
    columns = ["contract_id", "item_id", "full_start", "start", "end", "net_minor", "currency", "sequence", "days", "full_days", "tax_category", "tax_rate_ppm"]  # fmt: skip
    sums = found.lines.group_by("currency").agg(queries.NET).sort("currency")
    return {"documents": found.heads.height, "charges": found.lines.height, "totals": sums.to_dicts(), "from_credits": drawing.foreseen(found.lines, entity=entity, on=asked.as_of).to_dicts(), "parked": found.parked.head(MAX_ROWS).to_dicts(), "lines": found.lines.select(columns).head(MAX_ROWS).to_dicts()}  # fmt: skip


@room.reads("/bill-runs", "contracts.view", Page)
def list_runs(request: Caller, asked: Query[Asked]) -> Any:
    """Bill runs."""
    return page(BillRun.objects.all(), RUN, asked)


@room.reads("/parked-contracts", "contracts.view", Page)
def list_parked(request: Caller, asked: Query[Asked]) -> Any:
    """Contracts that a run left out, and why."""
    return page(Parked.objects.all(), PARKED, asked)


@room.reads("/schedule-parts", "contracts.view", Page)
def list_parts(request: Caller, asked: Query[Asked]) -> Any:
    """Parts of billing schedules: dated ones, and milestones, which have no due_on."""
    return page(SchedulePart.objects.all(), PART, asked)


@room.reads("/out-of-balance", "contracts.view", Rows)
def list_out_of_balance(request: Caller, asked: Query[OfCompany]) -> Any:
    """Contracts and schedules that do not add up to what was agreed; empty when all is well."""
    return rows(queries.out_of_balance(entity_id=books.entity(asked.company or None).pk))


@room.does("/contract-items/{int:item_id}/schedule", "contracts.set_schedule")
def set_schedule(request: Caller, item_id: Id, body: Schedule) -> Any:
    """Say in which parts an item is billed; answers with how many there are."""
    parts = [part.model_dump() for part in body.parts]
    return done(schedules.set_schedule(item_id=item_id, parts=parts, **once(request)))


@room.does("/schedule-parts/{int:part_id}/accept", "contracts.accept_milestone")
def accept_milestone(request: Caller, part_id: Id, body: Accepted) -> Any:
    """Say that a milestone was accepted; answers with the part's id."""
    return done(schedules.accept_milestone(part_id=part_id, **body.model_dump(), **once(request)))


@room.does("/schedule-parts/{int:part_id}/withdraw", "contracts.withdraw_acceptance")
def withdraw_acceptance(request: Caller, part_id: Id, body: Because) -> Any:
    """Say that an acceptance was a mistake; answers with the part's id."""
    return done(schedules.withdraw_acceptance(part_id=part_id, because=body.because, **once(request)))


@room.does("/schedule-parts/{int:part_id}/drop", "contracts.drop_part")
def drop_part(request: Caller, part_id: Id, body: Because) -> Any:
    """Never bill a part; answers with its id."""
    return done(schedules.drop_part(part_id=part_id, because=body.because, **once(request)))


@room.does("/schedule-parts/{int:part_id}/ask", "contracts.ask_acceptance")
def ask_acceptance(request: Caller, part_id: Id, body: AskedAcceptance) -> Any:
    """Ask by e-mail for a milestone to be accepted; answers with the part's id."""
    return done(schedules.ask_acceptance(part_id=part_id, recipient=body.recipient, **once(request)))


@room.reads("/renewals", "contracts.view", Rows)
def list_renewals(request: Caller, asked: Query[RenewalsAsked]) -> Any:
    """Contracts that end within 120 days of a day: how likely such contracts went on, and what they would cost at list prices or by an index."""
    found, _ = renewing.board(entity_id=books.entity(asked.company or None).pk, as_of=asked.as_of, index_ppm=asked.index_ppm)
    return rows(found)


@room.reads("/recurring-revenue", "contracts.view", Rows)
def list_recurring_revenue(request: Caller, asked: Query[BillPreviewAsked]) -> Any:
    """Monthly recurring revenue of the thirteen months up to a day: what it began and ended with, what moved it, and what is kept of a year before."""
    return rows(recurring(entity_id=books.entity(asked.company or None).pk, as_of=asked.as_of).bridge)


@room.reads("/contract-survival", "contracts.view", Rows)
def list_survival(request: Caller, asked: Query[BillPreviewAsked]) -> Any:
    """What is left of each year's contracts after each renewal; shares are null below ten decisions."""
    return rows(survival(renewing.decided(entity_id=books.entity(asked.company or None).pk, as_of=asked.as_of)))


@room.reads("/tax-rates", "contracts.view", Page)
def list_tax_rates(request: Caller, asked: Query[Asked]) -> Any:
    """Dated tax rates."""
    return page(TaxRate.objects.all(), RATE, asked)


@room.reads("/late-usage", "contracts.view")
def get_late_usage(request: Caller, asked: Query[OfCompany]) -> Any:
    """How the company bills use that comes, or is corrected, after its period was billed."""
    return {"policy": rerating.company_policy(books.entity(asked.company or None).pk)}


@room.does("/late-usage", "contracts.set_late_usage")
def set_late_usage(request: Caller, body: LateUsagePolicy, target: Query[OfCompany]) -> Any:
    """Say how the company bills use that comes after its period was; answers with the company's id."""
    return done(rerating.set_late_usage(entity_id=books.entity(target.company or None).pk, policy=body.policy, **once(request)))


@room.does("/contracts", "contracts.add_contract")
def add_contract(request: Caller, body: NewContract, target: Query[OfCompany]) -> Any:
    """Write down a contract; answers with its id."""
    return done(actions.add_contract(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/contracts/{int:contract_id}/quote-renewal", "contracts.quote_renewal")
def quote_renewal(request: Caller, contract_id: Id, body: RenewalQuoted) -> Any:
    """Write the quote that offers a contract again from its end on; answers with the draft's id."""
    return done(renewal_quotes.quote_renewal(contract_id=contract_id, **body.model_dump(), **once(request)))


@room.does("/contracts/from-quote", "contracts.make_contract")
def make_contract(request: Caller, body: ContractOfQuote) -> Any:
    """Make the contract of an accepted quote; answers with its id, the same each time."""
    return done(actions.make_contract(**body.model_dump(), **once(request)))


@room.does("/contracts/{int:contract_id}/change", "contracts.change_contract")
def change_contract(request: Caller, contract_id: Id, body: ContractChanges) -> Any:
    """Change the facts that are sent; answers with the contract's id."""
    return done(actions.change_contract(contract_id=contract_id, changes=dict(given(body)), **once(request)))


@room.does("/contracts/{int:contract_id}/amend", "contracts.amend")
def amend(request: Caller, contract_id: Id, body: NewAmendment) -> Any:
    """Change what is billed from a day on; answers with the amendment's id."""
    said = {name: value for name, value in body.model_dump().items() if value is not None}
    return done(amendments.amend(contract_id=contract_id, **said, **once(request)))


@room.does("/contracts/{int:contract_id}/discounts", "contracts.add_discount")
def add_discount(request: Caller, contract_id: Id, body: NewDiscount) -> Any:
    """Take something off what a contract bills; answers with the discount's id."""
    return done(actions.add_discount(contract_id=contract_id, **body.model_dump(), **once(request)))


@room.does("/contract-discounts/{int:discount_id}/end", "contracts.end_discount")
def end_discount(request: Caller, discount_id: Id, body: EndedDiscount) -> Any:
    """Let a discount end; answers with its id."""
    return done(actions.end_discount(discount_id=discount_id, on=body.on, **once(request)))


@room.does("/contracts/renew-due", "contracts.renew_due")
def renew_due(request: Caller, body: BilledUpTo, target: Query[OfCompany]) -> Any:
    """Renew what renews by itself by a day; answers with how many."""
    return done(amendments.renew_due(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))


@room.does("/bill-runs", "contracts.start_run")
def start_run(request: Caller, body: BilledUpTo, target: Query[OfCompany]) -> Any:
    """Begin a run up to a day, or go on with it; answers with its id."""
    return done(runs.start_run(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))


@room.does("/bill-runs/{int:run_id}/part", "contracts.bill_part")
def bill_part(request: Caller, run_id: Id) -> Any:
    """Bill the next part as drafts; answers with how many parts are left: with none the run is drafted."""
    left = runs.bill_part(run_id=run_id, **once(request))
    if left is None:
        seen = queries.progress([run_id])[run_id]
        left = seen["parts"] - seen["done"]
    return done(left)


@room.does("/bill-runs/{int:run_id}/sign", "contracts.sign_run")
def sign_run(request: Caller, run_id: Id, body: SignedRun) -> Any:
    """Issue up to five thousand drafts of a run; answers with how many are left."""
    return done(runs.sign_run(run_id=run_id, issue_on=body.issue_on, **once(request)))


@room.does("/bill-runs/{int:run_id}/void", "contracts.void_run")
def void_run(request: Caller, run_id: Id, body: Because) -> Any:
    """Take a run back that nobody signed: up to five thousand of its drafts are void; answers with how many are left."""
    return done(runs.void_run(run_id=run_id, because=body.because, **once(request)))


@room.does("/invoices/{int:invoice_id}/bill-again", "contracts.bill_again")
def bill_again(request: Caller, invoice_id: Id, body: BillAgain) -> Any:
    """Take an open invoice back by a credit note and issue it anew with other terms or another order; answers with the new invoice's id."""
    return done(rebilling.bill_again(invoice_id=invoice_id, **body.model_dump(), **once(request)))


@room.does("/parked-contracts/{int:parked_id}/release", "contracts.release_parked")
def release_parked(request: Caller, parked_id: Id, body: ReleasedContract) -> Any:
    """Say that a contract may be billed beyond its bounds; answers with the row's id."""
    return done(runs.release_parked(parked_id=parked_id, because=body.because, **once(request)))


@room.does("/tax-rates", "billing.add_tax_rate")
def add_tax_rate(request: Caller, body: NewTaxRate) -> Any:
    """Say what is taxed how from a day on; answers with the rate's id."""
    return done(taxes.add_tax_rate(**body.model_dump(), **once(request)))
