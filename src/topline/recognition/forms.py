"""Forms of recognition."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from topline.recognition.models import Rule

DAY = forms.DateInput(attrs={"type": "date"})


class MethodForm(forms.Form):
    """How something is earned, and the range of what a unit costs alone."""

    method = forms.ChoiceField(choices=Rule.Method.choices, label="Earned")
    ssp_low = forms.DecimalField(required=False, min_value=Decimal(0), max_digits=15, decimal_places=6, label="Alone it costs from", help_text="a unit, for a month; or for all of it, where it is sold once")  # fmt: skip
    ssp_high = forms.DecimalField(required=False, min_value=Decimal(0), max_digits=15, decimal_places=6, label="to", help_text="the same, where it has one price")  # fmt: skip

    def facts(self, exponent: int) -> dict[str, Any]:
        """The rule in billionths of a minor unit."""
        said = self.cleaned_data
        nano = {
            f"{name}_nano": None if said[name] is None else int(said[name].scaleb(exponent + 9))
            for name in ("ssp_low", "ssp_high")
        }
        return {"method": said["method"], **nano}


class RuleForm(MethodForm):
    """The same of a product."""

    field_order = ("product", "method", "ssp_low", "ssp_high")
    product = forms.CharField(max_length=60, label="Product", help_text="its code")


class AcceptForm(forms.Form):
    """A part that the customer accepted."""

    on = forms.DateField(label="On", widget=DAY)
    percent = forms.DecimalField(min_value=Decimal(-100), max_value=Decimal(100), max_digits=7, decimal_places=4, label="Part of it, %", help_text="a minus takes some back")  # fmt: skip
    note = forms.CharField(max_length=300, required=False, help_text="such as: signed by their project lead")


class CostForm(forms.Form):
    """What it cost to win a contract."""

    what = forms.CharField(max_length=200, label="Paid for", initial="Commission")
    amount = forms.CharField(max_length=30)
    start = forms.DateField(label="From", widget=DAY)
    end = forms.DateField(label="Written off until before", widget=DAY)
