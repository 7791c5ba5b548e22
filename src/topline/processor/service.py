"""Which processor there is, and the calls to it: never inside a transaction, always between two actions."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings

from topline.billing import delivery
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, NotFound
from topline.processor import actions, queries
from topline.processor.models import Event, Intent, Refund
from topline.processor.port import Answer, Back, Processor, Told, Wanted
from topline.processor.simulator import Simulator

DONE = "done"  # on the address to which the processor sends the customer back who paid


class NoProcessor(Conflict):
    """No processor is set up, or another than the one asked for."""

    code = "no_processor"


def is_on() -> bool:
    """Whether customers may pay online."""
    return bool(settings.ENVIRONMENT.processor)


def current() -> Processor:
    """The processor that the environment names. Raises: NoProcessor."""
    environment = settings.ENVIRONMENT
    if environment.processor == "stripe":
        from topline.processor.stripe import Stripe  # its library takes long to load, and few commands call it

        return Stripe(key=environment.stripe_key, webhook_secret=environment.stripe_webhook_secret)
    if environment.processor == "simulator":
        return simulator()
    raise NoProcessor("Online payments are not set up.", remedy="Set TOPLINE_PROCESSOR to stripe or simulator.")


def simulator() -> Simulator:
    """The simulator, whose events are signed with a key of this house. Raises: NotFound where it is not the one in use."""
    if settings.ENVIRONMENT.processor != "simulator":
        raise NotFound("There is no simulator here.")
    return _simulator()


def _simulator() -> Simulator:
    return Simulator(
        address=settings.ENVIRONMENT.url, secret=hashlib.sha256(f"simulator:{settings.SECRET_KEY}".encode()).hexdigest()
    )


def page_of(
    *, actor: Actor, invoice_id: int, back_url: str, saves_method: bool = False, processor: Processor | None = None
) -> str:
    """The address of the processor's page on which an invoice is paid: intent, call, answer.

    Raises: NothingToPay, AlreadyOnItsWay, NoProcessor, ProcessorUnreachable (then the intent waits, and the next try makes the same call).
    """
    with_whom = processor or current()
    intent_id = actions.begin_payment(actor=actor, invoice_id=invoice_id, processor=with_whom.name, saves_method=saves_method)
    intent = queries.intent(intent_id)
    if intent.state == Intent.State.OPEN and intent.url:
        return intent.url
    made = with_whom.page(_wanted(intent, back_url=back_url))
    actions.note_page(actor=actor, intent_id=intent_id, page=made)
    return made.url


def call(payload: dict[str, Any], processor: Processor | None = None) -> Answer | None:
    """Charge the saved method of an intent; None where somebody did already. Raises: ProcessorUnreachable."""
    intent = queries.intent(int(payload["intent_id"]))
    if intent.state != Intent.State.NEW or intent.method is None:
        return None
    return (processor or current()).charge(_wanted(intent))


def answered(payload: dict[str, Any], answer: Answer | None, *, actor: Actor) -> None:
    """Write down what a charge brought."""
    if answer is not None:
        actions.note_answer(actor=actor, intent_id=int(payload["intent_id"]), answer=answer)


def give_back(payload: dict[str, Any], processor: Processor | None = None) -> Answer | None:
    """Ask the processor for a refund; None where somebody did already. Raises: ProcessorUnreachable."""
    refund = Refund.objects.select_related("intent").get(pk=payload["refund_id"])
    if refund.state != Refund.State.NEW:
        return None
    intent = refund.intent
    return (processor or current()).refund(Back(refund.key, intent.charge_ref, refund.amount_minor, intent.currency))


def given_back(payload: dict[str, Any], answer: Answer | None, *, actor: Actor) -> None:
    """Write down what a refund brought."""
    if answer is not None:
        actions.note_refund(actor=actor, refund_id=int(payload["refund_id"]), answer=answer)


def told(payload: dict[str, Any], processor: Processor | None = None) -> Told:
    """An event in our words; the processor may be asked for what it leaves out."""
    event = Event.objects.get(pk=payload["event_id"])
    by = processor or (_simulator() if event.processor == Simulator.name else current())
    return by.told(event.payload)


def _wanted(intent: Intent, *, back_url: str = "") -> Wanted:
    contact = delivery.contact_for_invoices(intent.customer_id)
    return Wanted(
        key=intent.key, amount_minor=intent.amount_minor, currency=intent.currency, about=f"Invoice {intent.invoice.number}", email=contact.email if contact else "", back_url=back_url, done_url=f"{back_url}?{DONE}=1" if back_url else "",
        saves_method=intent.saves_method, customer_ref=intent.method.customer_ref if intent.method else "", method_ref=intent.method.ref if intent.method else "",
    )  # fmt: skip
