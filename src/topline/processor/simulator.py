"""A processor that plays itself, for the demo and the tests: a page, declines, direct debits that settle days later, disputes, fees and payouts.

It stands outside: it keeps its own table, signs its events, and tells us only by them. What a card does is said by its last digits, as test
cards of real processors do.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from topline.kernel import clock
from topline.processor.models import Simulated
from topline.processor.port import Answer, Back, Page, SignatureWrong, Told, Wanted

DEBIT_DAYS = 5  # from the customer's word to the money
CARD_PPM, CARD_FIXED = 15_000, 25  # fee of a card: 1.5 % and 25 cents
DEBIT_FIXED = 35
DISPUTE_FEE = 2_000
METHODS = {
    "4242": ("Card ending in 4242", ""),
    "0002": ("Card ending in 0002", "generic_decline"),
    "9995": ("Card ending in 9995", "insufficient_funds"),
    "9987": ("Card ending in 9987", "lost_card"),
    "0259": ("Card ending in 0259", ""),  # paid, and disputed a week later
    "3000": ("Account ending in 3000", ""),  # direct debit
    "3002": ("Account ending in 3002", "debit_not_authorized"),
}
DEBITS = frozenset({"3000", "3002"})
DISPUTED_AFTER = timedelta(days=7)


class Simulator:
    """The adapter. `address`: where its pages hang; `secret`: what its events are signed with."""

    name = "simulator"

    def __init__(self, *, address: str, secret: str) -> None:
        self.address, self.secret = address, secret

    def page(self, wanted: Wanted) -> Page:
        """A page of its own; the same key gives the same page."""
        facts = {
            "amount_minor": wanted.amount_minor, "currency": wanted.currency, "about": wanted.about, "back_url": wanted.back_url, "done_url": wanted.done_url, "saves_method": wanted.saves_method,
        }  # fmt: skip
        made, _ = Simulated.objects.get_or_create(
            key=wanted.key, defaults={"ref": f"sim_{uuid.uuid4().hex}", "facts": facts, "created_at": clock.now()}
        )
        return Page(made.ref, f"{self.address}/pay/simulator/{made.ref}/")

    def charge(self, wanted: Wanted) -> Answer:
        """A charge of a saved method, which is known by its digits."""
        digits = wanted.method_ref.rpartition("_")[2]
        known = Simulated.objects.filter(key=wanted.key).first()
        if known is not None:
            return Answer(**known.facts["answer"])
        ref = f"sim_{uuid.uuid4().hex}"
        code = METHODS[digits][1]
        fee = fee_of(digits, wanted.amount_minor)
        answer = {"state": "failed" if code and digits not in DEBITS else "processing" if digits in DEBITS else "paid", "charge_ref": ref, "fee_minor": 0 if code or digits in DEBITS else fee, "decline_code": "" if digits in DEBITS else code}  # fmt: skip
        facts = {
            "amount_minor": wanted.amount_minor,
            "currency": wanted.currency,
            "digits": digits,
            "fee_minor": fee,
            "answer": answer,
        }
        settles = clock.now().date() + timedelta(days=DEBIT_DAYS) if digits in DEBITS else None
        Simulated.objects.create(
            key=wanted.key, ref=ref, facts=facts, state=str(answer["state"]), settles_on=settles, created_at=clock.now()
        )
        return Answer(**answer)  # type: ignore[arg-type]

    def refund(self, back: Back) -> Answer:
        """Money of a charge goes back; the same key once."""
        charge = Simulated.objects.filter(ref=back.charge_ref, state="paid").first()
        known = Simulated.objects.filter(key=back.key).first()
        if known is not None:
            return Answer("paid", charge_ref=known.ref)
        if charge is None or self.given_back(charge) + back.amount_minor > charge.facts["amount_minor"]:
            return Answer("failed", decline_code="charge_not_refundable")
        facts = {"amount_minor": back.amount_minor, "currency": back.currency, "of": charge.ref}
        made = Simulated.objects.create(key=back.key, ref=f"sim_{uuid.uuid4().hex}", facts=facts, state="refunded", created_at=clock.now())  # fmt: skip
        return Answer("paid", charge_ref=made.ref)

    def given_back(self, charge: Simulated) -> int:
        """What went back of a charge so far."""
        return sum(row.facts["amount_minor"] for row in Simulated.objects.filter(state="refunded", facts__of=charge.ref)[:1000])

    def pay(self, ref: str, digits: str) -> list[dict[str, Any]]:
        """The customer paid on the page; the events that follow at once. A page that was paid on answers nothing."""
        row = Simulated.objects.select_for_update().get(ref=ref)
        if row.state != "open" or digits not in METHODS:
            return []
        label, code = METHODS[digits]
        facts = row.facts
        row.facts = facts | {"digits": digits, "fee_minor": fee_of(digits, facts["amount_minor"])}
        if digits in DEBITS:
            row.state, row.settles_on, kind = "processing", clock.now().date() + timedelta(days=DEBIT_DAYS), "processing"
        elif code:
            row.state, kind = "open", "failed"  # the page stays: another card may do
        else:
            row.state, kind = "paid", "paid"
        row.save()
        saved = (
            {"method_ref": f"{ref}_{digits}", "customer_ref": ref, "method_label": label}
            if facts["saves_method"] and kind != "failed"
            else {}
        )
        return [self.event(row, kind, **({"decline_code": code} if kind == "failed" else {}), **saved)]

    def pass_time(self, today: date) -> list[dict[str, Any]]:
        """What happens by a day without anybody: debits settle or come back, a card is disputed, and what was paid is paid out."""
        events = []
        for row in Simulated.objects.filter(state="processing", settles_on__lte=today).order_by("id")[:1000]:
            code = METHODS[row.facts["digits"]][1]
            row.state = "failed" if code else "paid"
            row.save()
            events.append(self.event(row, row.state, **({"decline_code": code} if code else {})))
        for row in Simulated.objects.filter(state="paid", created_at__date__lte=today - DISPUTED_AFTER).order_by("id")[:1000]:
            if row.facts.get("digits") == "0259":
                row.state = "disputed"
                row.save()
                events.append(self.event(row, "disputed", fee_minor=DISPUTE_FEE))
        return events + self._paid_out(today)

    def _paid_out(self, today: date) -> list[dict[str, Any]]:
        """One payout a currency of what was paid since the last one, less fees and what disputes took back; nothing where that is nothing."""
        fresh = [
            row
            for row in Simulated.objects.filter(state__in=["paid", "disputed", "refunded"]).order_by("id")[:5000]
            if not row.facts.get(f"{row.state}_out")
        ]
        events = []
        for currency in sorted({row.facts["currency"] for row in fresh}):
            mine = [row for row in fresh if row.facts["currency"] == currency]
            net = sum(_worth(row) for row in mine)
            if net <= 0:  # it waits for payments that are worth more
                continue
            for row in mine:
                row.facts[f"{row.state}_out"] = True
                row.save()
            ref = f"po_{currency}_{today:%Y%m%d}_{mine[0].pk}"
            arrives = (today + timedelta(days=2)).isoformat()
            events.append(
                {
                    "id": f"evt_{ref}",
                    "type": "payout",
                    "amount_minor": net,
                    "currency": currency,
                    "payout_ref": ref,
                    "arrives_on": arrives,
                }
            )
        return events

    def event(self, row: Simulated, kind: str, **more: Any) -> dict[str, Any]:
        """An event about a charge."""
        facts = row.facts
        told = {"key": row.key, "charge_ref": row.ref, "amount_minor": facts["amount_minor"], "currency": facts["currency"]}
        fee = {"fee_minor": facts.get("fee_minor", 0)} if kind == "paid" else {}
        return {"id": f"evt_{uuid.uuid4().hex}", "type": kind, **told, **fee, **more}

    def signed(self, event: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """An event as it is sent: body and headers (Standard Webhooks: id, time and body under one HMAC)."""
        body, moment = json.dumps(event).encode(), str(int(clock.now().timestamp()))
        return body, {
            "webhook-id": event["id"],
            "webhook-timestamp": moment,
            "webhook-signature": self._sign(event["id"], moment, body),
        }

    def verified(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """The event of a request."""
        ref, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        right = hmac.compare_digest(self._sign(ref, moment, body), headers.get("webhook-signature", ""))
        fresh = moment.isdigit() and abs(clock.now().timestamp() - int(moment)) <= 300
        if not right or not fresh:
            raise SignatureWrong("The event is not signed for us, or is too old.", field="webhook-signature")
        payload: dict[str, Any] = json.loads(body)
        return payload

    def told(self, payload: dict[str, Any]) -> Told:
        """It speaks our words."""
        said = {name: value for name, value in payload.items() if name in Told.__slots__}
        arrives = {"arrives_on": date.fromisoformat(said["arrives_on"])} if said.get("arrives_on") else {}
        return Told(**(said | arrives | {"ref": payload["id"], "kind": payload["type"]}))

    def _sign(self, ref: str, moment: str, body: bytes) -> str:
        text = b".".join((ref.encode(), moment.encode(), body))
        return "v1," + hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()


def _worth(row: Simulated) -> int:
    """What a charge adds to the next payout: its amount less its fee; where it is disputed after it was paid out, less all of it and the fee for that; a refund takes as much."""
    facts = row.facts
    if row.state == "refunded":
        return -int(facts["amount_minor"])
    if row.state == "paid":
        return int(facts["amount_minor"] - facts["fee_minor"])
    return -DISPUTE_FEE - (int(facts["amount_minor"]) if facts.get("paid_out") else int(facts["fee_minor"]))


def fee_of(digits: str, amount_minor: int) -> int:
    """What a payment costs, rounded up."""
    return DEBIT_FIXED if digits in DEBITS else CARD_FIXED + -(-amount_minor * CARD_PPM // 1_000_000)
