"""What customers are told by e-mail when something is reached: credits run low, use comes to an amount."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from babel.dates import format_date
from babel.numbers import format_decimal
from django.core.mail import EmailMessage

from topline.billing import delivery
from topline.billing.documents import DATES, language_of
from topline.books.models import Entity
from topline.kernel.money import exponent, to_major
from topline.market.models import Customer

HERE = Path(__file__).resolve().parent
AMOUNTS = ("left", "below", "threshold", "amount")


def send(payload: dict[str, Any]) -> None:
    """Write to whom invoices of a customer go, in their language; where nobody has an address, the portal tells it alone.

    payload  key (of the message), about (a kind of notices.yaml), entity_id, customer_id, currency, and what its text names: amounts in minor units, since as a day
    """
    contact = delivery.contact_for_invoices(int(payload["customer_id"]))
    if contact is None:
        return
    entity = Entity.objects.get(pk=payload["entity_id"])
    language = language_of(Customer.objects.values_list("language", flat=True).get(pk=payload["customer_id"]))
    told = {name: _money(value, payload["currency"], language) if name in AMOUNTS else value for name, value in payload.items()}
    if "since" in told:
        told["since"] = format_date(date.fromisoformat(told["since"]), "long", locale=DATES.get(language, language))
    subject, text = (part.format(company=entity.name, **told) for part in _texts()[language][payload["about"]])
    message_id = f"<{payload['key'].replace(':', '-')}@{entity.key.replace('_', '-')}.topline>"
    EmailMessage(subject, f"{text}\n\n{entity.name}\n", to=[contact.email], headers={"Message-ID": message_id}).send()


def _money(minor: int, currency: str, language: str) -> str:
    digits = exponent(currency)
    shown = format_decimal(to_major(minor, currency), format=f"#,##0.{'0' * digits}" if digits else "#,##0", locale=language)
    return f"{shown} {currency}"


@lru_cache(maxsize=1)
def _texts() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = yaml.safe_load((HERE / "notices.yaml").read_text(encoding="utf-8"))
    return found
