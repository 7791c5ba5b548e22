"""Forms of credits: sold, given, taken back, and the amount below which somebody is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import polars as pl
from django import forms

from topline.contracts.forms import DAY, minor, nano, some_amount
from topline.contracts.models import Contract
from topline.kernel.errors import Invalid
from topline.kernel.money import currencies
from topline.market import queries as market
from topline.metering.models import Meter


class CreditsForm(forms.Form):
    """Credits, however they come about."""

    customer = forms.CharField(max_length=200, help_text="number or name of who pays the bills")
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    name = forms.CharField(max_length=80, label="Called", help_text="such as Starter pack 2026")
    amount = some_amount(help_text="or units and what one is worth")
    units = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=6, required=False)
    unit_name = forms.CharField(max_length=20, required=False, label="Units are called", help_text="such as credits")
    unit_worth = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=9, required=False, label="One is worth")
    starts_on = forms.DateField(label="Pays from", required=False, widget=DAY, help_text="empty: at once")
    expires_on = forms.DateField(label="Pays until before", required=False, widget=DAY, help_text="empty: it never expires")
    rollover = forms.DecimalField(
        min_value=Decimal(0), max_value=Decimal(100), max_digits=7, decimal_places=4, required=False, label="Carried over, %", help_text="of the rest, once, for as long again"
    )  # fmt: skip
    rollover_cap = some_amount(label="Carried over at most")
    priority = forms.IntegerField(
        min_value=0, max_value=1_000, initial=50, help_text="the lowest pays first; of two, the one that expires first"
    )
    pays_for = forms.ChoiceField(required=False, label="Pays for")
    contract = forms.CharField(
        max_length=40, required=False, label="Of one contract", help_text="its number; empty: of all that the customer pays"
    )

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        meters = [
            (f"meter:{pk}", f"use of {name}") for pk, name in Meter.objects.order_by("code").values_list("id", "name")[:200]
        ]
        cast(forms.ChoiceField, self.fields["pays_for"]).choices = [
            ("", "everything"),
            ("use", "all use"),
            ("fees", "fees"),
            *meters,
        ]

    def said(self, entity_id: int) -> dict[str, Any]:
        """What the verbs need. Raises: Invalid for a customer or contract that is not here."""
        known = self.cleaned_data
        customer = market.find(pl.Series([known["customer"]]))["customer_id"][0]
        if customer is None:
            raise Invalid("There is no such customer, or more than one.", field="customer", remedy="Use its number.")
        contract = None
        if known["contract"]:
            contract = (
                Contract.objects.filter(entity_id=entity_id, number__iexact=known["contract"].strip())
                .values_list("id", flat=True)
                .first()
            )
            if contract is None:
                raise Invalid("There is no such contract.", field="contract", remedy="Use its number, such as CT-000001.")
        currency = known["currency"]
        return {
            "customer_id": int(customer), "currency": currency, "name": known["name"], "amount_minor": minor(known["amount"], currency), "units_micro": None if known["units"] is None else int(known["units"] * 10**6),
            "unit_nano": nano(known["unit_worth"], currency), "unit_name": known["unit_name"] or None, "starts_on": known["starts_on"], "expires_on": known["expires_on"],
            "rollover_ppm": None if known["rollover"] is None else int(known["rollover"] * 10_000), "rollover_cap_minor": minor(known["rollover_cap"], currency), "priority": known["priority"],
            "pays_for": [known["pays_for"]] if known["pays_for"] else None, "contract_id": contract,
        }  # fmt: skip


class SellForm(CreditsForm):
    """Credits that are paid for."""

    terms = forms.CharField(max_length=60, initial="net 30")
    field_order = ["customer", "currency", "name", "amount", "terms"]


class GrantForm(CreditsForm):
    """Credits that are given away."""

    because = forms.CharField(max_length=300, label="Why", help_text="such as an outage, or a trial")
    field_order = ["customer", "currency", "name", "amount", "because"]


class TakeBackForm(forms.Form):
    """Unused credits that are taken back."""

    amount = some_amount(help_text="empty: all that is left")
    because = forms.CharField(max_length=300, label="Why", help_text="it stands on the credit note")


class LowForm(forms.Form):
    """Below which amount somebody is told."""

    low = some_amount(label="Tell below", help_text="what can be used; empty: never")
