"""What a processor is to us: a page on which a customer pays, a charge of a saved card or account, and events that are signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from topline.kernel.errors import DomainError, Invalid


class ProcessorUnreachable(DomainError):
    """The processor gave no answer, so nobody knows whether it did what was asked: the same key is tried again."""

    code = "processor_unreachable"
    status = 503


class SignatureWrong(Invalid):
    """An event does not come from the processor, is too old, or is no event at all."""

    code = "signature_wrong"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the processor. key: makes the call count once; back_url: where the customer returns to; done_url: where after paying."""

    key: str
    amount_minor: int
    currency: str
    about: str
    email: str = ""
    back_url: str = ""
    done_url: str = ""
    saves_method: bool = False
    customer_ref: str = ""
    method_ref: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """What is asked to go back of a charge. key: makes the call count once."""

    key: str
    charge_ref: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Page:
    """The processor's page for one payment."""

    ref: str
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a charge, or a refund: paid, processing or failed with the processor's code."""

    state: str
    charge_ref: str = ""
    fee_minor: int = 0
    decline_code: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """An event in our words.

    kind          page_done, paid, processing, failed, expired, disputed, dispute_won, dispute_lost, refunded, payout, or other (nothing to do)
    key           of the intent, where the processor gave it back; charge_ref: its name of the charge
    amount_minor  of refunded: all that went back of the charge so far
    """

    ref: str
    kind: str
    key: str = ""
    charge_ref: str = ""
    amount_minor: int = 0
    currency: str = ""
    fee_minor: int = 0
    decline_code: str = ""
    method_ref: str = ""
    customer_ref: str = ""
    method_label: str = ""
    payout_ref: str = ""
    arrives_on: date | None = None


class Processor(Protocol):
    """A processor. No method is called while a transaction is open."""

    name: str

    def page(self, wanted: Wanted) -> Page:
        """A page on which the customer pays. Raises: ProcessorUnreachable."""

    def charge(self, wanted: Wanted) -> Answer:
        """Charge a saved card or account. Raises: ProcessorUnreachable."""

    def refund(self, back: Back) -> Answer:
        """Give money of a charge back. Raises: ProcessorUnreachable."""

    def verified(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """The event in a request. Raises: SignatureWrong."""

    def told(self, payload: dict[str, Any]) -> Told:
        """A verified event in our words; may ask the processor what the event leaves out. Raises: ProcessorUnreachable."""
