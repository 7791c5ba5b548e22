"""Forms of the treasury room."""

from __future__ import annotations

from typing import Any

from django import forms

from topline.kernel.errors import Invalid
from topline.kernel.money import currencies, parse_amount
from topline.treasury.models import Frequency, PlannedOutflow


class OutflowForm(forms.Form):
    """Money that will leave."""

    name = forms.CharField(max_length=100)
    kind = forms.ChoiceField(choices=PlannedOutflow.Kind.choices)
    amount = forms.CharField(max_length=30)
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    first_on = forms.DateField(label="First on", widget=forms.DateInput(attrs={"type": "date"}))
    frequency = forms.ChoiceField(choices=Frequency.choices, initial="monthly")
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("amount") and data.get("currency"):
            try:
                data["amount_minor"] = parse_amount(data.pop("amount"), data["currency"])
            except Invalid as error:
                self.add_error("amount", str(error))
        return data
