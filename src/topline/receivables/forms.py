"""Forms of the receivables room."""

from __future__ import annotations

from typing import Any

from django import forms

from topline.kernel.errors import Invalid
from topline.kernel.money import currencies, parse_amount
from topline.market.models import Customer


class PaymentForm(forms.Form):
    """A payment by hand; the amount as people write it."""

    customer = forms.TypedChoiceField(coerce=int, empty_value=None, required=False)
    received_on = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}))
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    amount = forms.CharField(max_length=30)
    reference = forms.CharField(max_length=140, required=False)
    payer_name = forms.CharField(max_length=200, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = Customer.objects.filter(merged_into__isnull=True).order_by("name").values_list("id", "name")[:2000]
        self.fields["customer"].choices = [("", "payer unknown"), *known]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("amount") and data.get("currency"):
            try:
                data["amount_minor"] = parse_amount(data["amount"], data["currency"])
            except Invalid as error:
                self.add_error("amount", str(error))
            else:
                if data["amount_minor"] <= 0:
                    self.add_error("amount", "A payment must be more than zero.")
        return data
