"""Credits over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.contracts import wallets
from topline.contracts.models import Credit, CreditMove, Wallet
from topline.ui.wire import (
    MAX_MINOR,
    Asked,
    Body,
    Caller,
    Currency,
    Day,
    Id,
    Name,
    OfCompany,
    Page,
    Positive,
    Ref,
    Room,
    Share,
    Whole,
    done,
    once,
    page,
)

room = Room(tags=["Credits"])
WALLET = ["id", "customer_id", "currency", "low_minor", "told_on"]
CREDIT = [
    "id", "wallet_id", "contract_id", "name", "is_paid", "invoice_id", "unit_name", "units_micro", "amount_minor", "left_minor", "priority", "pays_for", "starts_on", "expires_on", "rollover_ppm", "rollover_cap_minor", "follows_id", "closed_on",
]  # fmt: skip
MOVE = ["id", "credit_id", "kind", "amount_minor", "on", "invoice_id", "position", "note"]


class NewCredits(Body):
    """An amount; or units, what one is worth, and what they are called."""

    customer_id: Ref
    currency: Currency
    name: Annotated[str, Field(min_length=1, max_length=80)]
    amount_minor: Positive | None = None
    units_micro: Annotated[int, Field(strict=True, ge=1, le=MAX_MINOR * 1_000, description="millionths")] | None = None
    unit_nano: Annotated[int, Field(strict=True, ge=1, le=MAX_MINOR * 1_000, description="billionths of a minor unit")] | None = (
        None
    )
    unit_name: Annotated[str, Field(max_length=20)] | None = None
    starts_on: Day | None = None
    expires_on: Annotated[Day | None, Field(description="the first day on which they pay nothing")] = None
    priority: Annotated[int, Field(strict=True, ge=0, le=1_000, description="the lowest pays first")] = 50
    contract_id: Annotated[Ref | None, Field(description="they pay its charges alone")] = None
    pays_for: Annotated[
        list[Annotated[str, Field(max_length=40)]],
        Field(max_length=wallets.MAX_KINDS, description="use, fees, meter:<id>, product:<id>; none: all"),
    ] = []
    rollover_ppm: Share = 0
    rollover_cap_minor: Whole | None = None


class SoldCredits(NewCredits):
    issue_on: Day
    terms: Annotated[str, Field(max_length=60)] = "net 30"


class GrantedCredits(NewCredits):
    on: Day
    because: Name


class TakenBack(Body):
    on: Day
    because: Name
    amount_minor: Annotated[Positive | None, Field(description="default: all that is left")] = None


class CreditsOn(Body):
    on: Day


class CreditsBackOn(CreditsOn):
    because: Name


class LowCredits(Body):
    low_minor: Annotated[Positive | None, Field(description="null: never")] = None


class UpTo(Body):
    as_of: Day


@room.reads("/wallets", "contracts.view", Page)
def list_wallets(request: Caller, asked: Query[Asked]) -> Any:
    """Wallets: what a customer's credits in a currency stand in."""
    return page(Wallet.objects.all(), WALLET, asked)


@room.reads("/credits", "contracts.view", Page)
def list_credits(request: Caller, asked: Query[Asked]) -> Any:
    """Credits with what is left of each."""
    return page(Credit.objects.all(), CREDIT, asked)


@room.reads("/credit-moves", "contracts.view", Page)
def list_moves(request: Caller, asked: Query[Asked]) -> Any:
    """What went into credits and out of them."""
    return page(CreditMove.objects.all(), MOVE, asked)


@room.does("/credits", "contracts.sell_credits")
def sell_credits(request: Caller, body: SoldCredits, target: Query[OfCompany]) -> Any:
    """Sell credits: they are invoiced; answers with their id."""
    return done(wallets.sell_credits(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/credits/grant", "contracts.grant_credits")
def grant_credits(request: Caller, body: GrantedCredits, target: Query[OfCompany]) -> Any:
    """Give credits away; answers with their id."""
    return done(wallets.grant_credits(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/credits/{int:credit_id}/take-back", "contracts.take_back_credits")
def take_back_credits(request: Caller, credit_id: Id, body: TakenBack) -> Any:
    """Take back what was not used; answers with the credit note's id, 0 where they were given."""
    return done(wallets.take_back_credits(credit_id=credit_id, **body.model_dump(), **once(request)))


@room.does("/invoices/{int:invoice_id}/pay-from-credits", "contracts.pay_from_credits")
def pay_from_credits(request: Caller, invoice_id: Id, body: CreditsOn) -> Any:
    """Pay an open invoice from the customer's credits; answers with how much was paid."""
    return done(wallets.pay_from_credits(invoice_id=invoice_id, on=body.on, **once(request)))


@room.does("/invoices/{int:invoice_id}/put-credits-back", "contracts.put_credits_back")
def put_credits_back(request: Caller, invoice_id: Id, body: CreditsBackOn) -> Any:
    """Undo that credits paid an invoice; answers with how much is open again."""
    return done(wallets.put_credits_back(invoice_id=invoice_id, on=body.on, because=body.because, **once(request)))


@room.does("/credit-notes/{int:credit_note_id}/return-credits", "contracts.return_credits")
def return_credits(request: Caller, credit_note_id: Id, body: CreditsOn) -> Any:
    """Have a credit note give back the credits that paid what it credits; answers with how much."""
    return done(wallets.return_credits(credit_note_id=credit_note_id, on=body.on, **once(request)))


@room.does("/wallets/{int:wallet_id}/low", "contracts.set_low_credits")
def set_low_credits(request: Caller, wallet_id: Id, body: LowCredits) -> Any:
    """Say below which amount customer and team are told; answers with the wallet's id."""
    return done(wallets.set_low_credits(wallet_id=wallet_id, low_minor=body.low_minor, **once(request)))


@room.does("/credits/expire", "contracts.expire_credits")
def expire_credits(request: Caller, body: UpTo, target: Query[OfCompany]) -> Any:
    """Let credits go whose day has come; answers with how many."""
    return done(wallets.expire_credits(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))
