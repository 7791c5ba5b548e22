"""Forms of recognition."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms

from topline.engine.recognition.modifications import POLICY
from topline.kernel.errors import Invalid
from topline.kernel.money import parse_amount
from topline.recognition.models import Estimate, Rule, StandalonePrice

DAY = forms.DateInput(attrs={"type": "date"})


class MethodForm(forms.Form):
    """How something is earned, and the range of what a unit costs alone."""

    method = forms.ChoiceField(choices=Rule.Method.choices, label="Earned")
    ssp_low = forms.DecimalField(required=False, min_value=Decimal(0), max_digits=15, decimal_places=6, label="Alone it costs from", help_text="a unit, for a month; or for all of it, where it is sold once")  # fmt: skip
    ssp_high = forms.DecimalField(required=False, min_value=Decimal(0), max_digits=15, decimal_places=6, label="to", help_text="the same, where it has one price")  # fmt: skip
    life_months = forms.IntegerField(required=False, min_value=1, max_value=600, label="Customer's life, months", help_text="of a fee that is not paid again on renewal")  # fmt: skip

    def facts(self, exponent: int) -> dict[str, Any]:
        """The rule in billionths of a minor unit."""
        said = self.cleaned_data
        nano = {
            f"{name}_nano": None if said[name] is None else int(said[name].scaleb(exponent + 9))
            for name in ("ssp_low", "ssp_high")
        }
        return {"method": said["method"], "life_months": said["life_months"], **nano}


class RuleForm(MethodForm):
    """The same of a product."""

    field_order = ("product", "method", "life_months", "ssp_low", "ssp_high")
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


class EstimateForm(forms.Form):
    """What a variable amount is put at."""

    on = forms.DateField(label="As of", widget=DAY)
    outcomes = forms.CharField(
        max_length=2_000, widget=forms.Textarea(attrs={"rows": 4}), label="May come to",
        help_text="one a line: the amount, below zero for what is taken off, then its odds in per cent (150000 60%); one alone is certain",
    )  # fmt: skip
    method = forms.ChoiceField(
        choices=Estimate.Method.choices, label="Put at", help_text="the most likely, where it is all or nothing"
    )
    ceiling = forms.CharField(max_length=30, required=False, label="Count at most", help_text="the most of which a reversal is not highly probable; empty: all of it")  # fmt: skip
    because = forms.CharField(
        max_length=300, required=False, label="Because", help_text="why no more of it is counted, or what changed"
    )

    def facts(self, currency: str) -> dict[str, Any]:
        """The estimate in minor units. Raises: Invalid."""
        said = self.cleaned_data
        rows = [line.rsplit(None, 1) for line in said["outcomes"].splitlines() if line.strip()]
        outcomes = [
            {"amount_minor": parse_amount(row[0], currency), "probability_ppm": _ppm(row[1]) if len(row) > 1 else 1_000_000}
            for row in rows
        ]
        ceiling = parse_amount(said["ceiling"], currency) if said["ceiling"] else None
        return {
            "on": said["on"],
            "outcomes": outcomes,
            "method": said["method"],
            "ceiling_minor": ceiling,
            "because": said["because"],
        }


class VariableForm(EstimateForm):
    """A new variable amount."""

    field_order = ("what", "item_id", "is_paid_back", "on", "outcomes", "method", "ceiling", "because")
    what = forms.CharField(max_length=200, help_text="such as: bonus for going live by June")
    item_id = forms.TypedChoiceField(coerce=int, empty_value=None, required=False, label="Relates to")
    is_paid_back = forms.BooleanField(
        required=False, label="Goes back to the customer", help_text="of what was billed: a refund liability until it did"
    )

    def __init__(self, *args: Any, items: list[tuple[int, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["item_id"]
        field.choices = [("", "all of the contract"), *items]  # type: ignore[attr-defined]


class TreatmentForm(forms.Form):
    """How an amendment is accounted for."""

    treatment = forms.ChoiceField(choices=[(word, word.replace("_", " ")) for word, _, _ in POLICY], label="Accounted for as")
    because = forms.CharField(max_length=300, help_text="kept; an auditor reads it")


class PriceForm(forms.Form):
    """What a product costs alone."""

    product = forms.CharField(max_length=60, help_text="its code")
    currency = forms.CharField(max_length=3, min_length=3)
    valid_from = forms.DateField(label="From", widget=DAY)
    low = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=6, label="Alone it costs from", help_text="a unit, for a month; or for all of it, where it is sold once")  # fmt: skip
    high = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=6, label="to", help_text="the same, where it has one price")  # fmt: skip
    basis = forms.ChoiceField(choices=StandalonePrice.Basis.choices, label="Known by")
    because = forms.CharField(max_length=300, required=False)


def _ppm(text: str) -> int:
    """Per cent as millionths. Raises: Invalid."""
    try:
        return int(Decimal(text.removesuffix("%")) * 10_000)
    except (InvalidOperation, ValueError) as error:
        raise Invalid(
            f"{text!r} are no odds.", field="outcomes", remedy="Write the amount, then the odds: 150000 60%."
        ) from error
