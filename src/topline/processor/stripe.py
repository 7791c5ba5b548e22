"""Stripe: hosted Checkout, so that no card number touches us; saved methods are charged off session; webhooks are verified by its library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import stripe

from topline.processor.port import Answer, Back, Page, ProcessorUnreachable, SignatureWrong, Told, Wanted

T = TypeVar("T")
TOLERANCE = 300  # seconds by which an event may be old
KINDS = {
    "checkout.session.completed": "page_done",
    "checkout.session.expired": "expired",
    "payment_intent.succeeded": "paid",
    "payment_intent.processing": "processing",
    "payment_intent.payment_failed": "failed",
    "charge.dispute.funds_withdrawn": "disputed",  # a mere inquiry takes no money back
    "charge.dispute.funds_reinstated": "dispute_won",
    "charge.dispute.closed": "dispute_lost",  # of which one that was won is told by the money
    "charge.refunded": "refunded",
    "payout.paid": "payout",
}


class Stripe:
    """The adapter. Amounts are in the smallest unit on both sides."""

    name = "stripe"

    def __init__(self, *, key: str, webhook_secret: str, client: Any = None) -> None:
        self.webhook_secret = webhook_secret
        self.client = client or stripe.StripeClient(key, max_network_retries=2)

    def page(self, wanted: Wanted) -> Page:
        """A Checkout session."""
        about: dict[str, Any] = {"metadata": {"topline_key": wanted.key}, "description": wanted.about}
        if wanted.saves_method:
            about["setup_future_usage"] = "off_session"
        product = {
            "currency": wanted.currency.lower(),
            "unit_amount": wanted.amount_minor,
            "product_data": {"name": wanted.about},
        }
        params: dict[str, Any] = {
            "mode": "payment", "client_reference_id": wanted.key, "line_items": [{"quantity": 1, "price_data": product}], "payment_intent_data": about,
            "success_url": wanted.done_url or wanted.back_url, "cancel_url": wanted.back_url,
        }  # fmt: skip
        if wanted.customer_ref:
            params["customer"] = wanted.customer_ref
        else:
            params |= {"customer_creation": "always" if wanted.saves_method else "if_required"} | (
                {"customer_email": wanted.email} if wanted.email else {}
            )
        made = self._ask(lambda: self.client.v1.checkout.sessions.create(params, {"idempotency_key": wanted.key}))
        return Page(made.id, made.url)

    def charge(self, wanted: Wanted) -> Answer:
        """A payment of a saved method, without the customer."""
        params = {
            "amount": wanted.amount_minor, "currency": wanted.currency.lower(), "customer": wanted.customer_ref, "payment_method": wanted.method_ref, "off_session": True,
            "confirm": True, "description": wanted.about, "metadata": {"topline_key": wanted.key}, "expand": ["latest_charge.balance_transaction"],
        }  # fmt: skip
        try:
            made = self._ask(lambda: self.client.v1.payment_intents.create(params, {"idempotency_key": wanted.key}))
        except stripe.CardError as error:
            of = getattr(error.error, "payment_intent", None) or {}
            return Answer(
                "failed",
                charge_ref=_get(of, "id"),
                decline_code=getattr(error.error, "decline_code", None) or error.code or "declined",
            )
        if made.status == "succeeded":
            return Answer("paid", charge_ref=made.id, fee_minor=_fee(made))
        if made.status in {"processing", "requires_capture"}:
            return Answer("processing", charge_ref=made.id)
        return Answer(
            "failed",
            charge_ref=made.id,
            decline_code="authentication_required" if made.status == "requires_action" else made.status,
        )

    def refund(self, back: Back) -> Answer:
        """Money of a charge goes back to the card or account."""
        params = {"payment_intent": back.charge_ref, "amount": back.amount_minor, "metadata": {"topline_key": back.key}}
        try:
            made = self._ask(lambda: self.client.v1.refunds.create(params, {"idempotency_key": back.key}))
        except stripe.InvalidRequestError as error:
            return Answer("failed", decline_code=error.code or "refused")
        return Answer("failed" if made.status in {"failed", "canceled"} else "paid", charge_ref=made.id, decline_code=made.status if made.status in {"failed", "canceled"} else "")  # fmt: skip

    def verified(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """The event, its signature checked by Stripe's library."""
        try:
            stripe.WebhookSignature.verify_header(
                body.decode("utf-8"), headers.get("Stripe-Signature", ""), self.webhook_secret, TOLERANCE
            )
            payload: dict[str, Any] = json.loads(body)
        except (ValueError, stripe.SignatureVerificationError) as error:
            raise SignatureWrong(
                "The event is not signed by Stripe for us, or is too old.",
                field="Stripe-Signature",
                remedy="Check TOPLINE_STRIPE_WEBHOOK_SECRET.",
            ) from error
        if not payload.get("id") or not payload.get("type"):
            raise SignatureWrong("The event has no id or type.", field="body")
        return payload

    def told(self, payload: dict[str, Any]) -> Told:
        """An event of Stripe in our words; the fee and the saved card of a payment are asked for, as events leave them out."""
        about: dict[str, Any] = payload["data"]["object"]
        kind = KINDS.get(payload["type"], "other")
        amount = int(about.get("amount") or about.get("amount_total") or 0)
        currency = str(about.get("currency") or "").upper()
        if kind in {"page_done", "expired"}:
            if kind == "page_done" and about.get("payment_status") == "unpaid":
                kind = "processing"
            return Told(
                payload["id"],
                kind,
                key=about.get("client_reference_id") or "",
                charge_ref=_get(about, "payment_intent"),
                amount_minor=amount,
                currency=currency,
            )
        if kind == "dispute_lost" and about.get("status") != "lost":
            kind = "other"
        if kind in {"disputed", "dispute_won", "dispute_lost", "refunded"}:
            fees = sum(int(t.get("fee") or 0) for t in about.get("balance_transactions") or [] if isinstance(t, dict))
            back = int(about.get("amount_refunded") or 0) if kind == "refunded" else amount
            return Told(
                payload["id"],
                kind,
                charge_ref=_get(about, "payment_intent"),
                amount_minor=back,
                currency=currency,
                fee_minor=fees,
            )
        if kind == "payout":
            day = datetime.fromtimestamp(int(about["arrival_date"]), UTC).date()
            return Told(payload["id"], kind, amount_minor=amount, currency=currency, payout_ref=about["id"], arrives_on=day)
        if kind == "other":
            return Told(payload["id"], kind)
        failed = about.get("last_payment_error") or {}
        key = (about.get("metadata") or {}).get("topline_key", "")
        plain = Told(
            payload["id"],
            kind,
            key=key,
            charge_ref=about["id"],
            amount_minor=amount,
            currency=currency,
            decline_code=failed.get("decline_code") or failed.get("code") or "",
        )
        return self._with_fee(plain) if kind == "paid" and key else plain

    def _with_fee(self, plain: Told) -> Told:
        expand = {"expand": ["latest_charge.balance_transaction", "payment_method"]}
        made = self._ask(lambda: self.client.v1.payment_intents.retrieve(plain.charge_ref, expand))
        method = getattr(made, "payment_method", None)
        saved = (
            method if getattr(made, "setup_future_usage", None) and method is not None and not isinstance(method, str) else None
        )
        return Told(
            plain.ref, plain.kind, plain.key, plain.charge_ref, plain.amount_minor, plain.currency, _fee(made), method_ref=saved.id if saved else "",
            customer_ref=_get(made, "customer") if saved else "", method_label=_label(saved) if saved else "",
        )  # fmt: skip

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except stripe.CardError:
            raise
        except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
            raise ProcessorUnreachable("Stripe gave no answer.", remedy="It is tried again; nothing is charged twice.") from error


def _get(of: Any, name: str) -> str:
    found = of.get(name) if isinstance(of, dict) else getattr(of, name, None)
    return found if isinstance(found, str) else str(getattr(found, "id", "") or (found or {}).get("id", "") if found else "")


def _fee(made: Any) -> int:
    charge = getattr(made, "latest_charge", None)
    balance = getattr(charge, "balance_transaction", None)
    return int(getattr(balance, "fee", 0) or 0)


def _label(method: Any) -> str:
    for kind, word in (("card", "Card"), ("sepa_debit", "Account")):
        found = getattr(method, kind, None)
        if found is not None:
            return f"{str(getattr(found, 'brand', '') or word).capitalize()} ending in {found.last4}"
    return str(getattr(method, "type", "") or "Saved method")
