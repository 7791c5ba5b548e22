"""Forms of the treasury room."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q

from topline.kernel.errors import Invalid
from topline.kernel.money import currencies, format_amount, parse_amount
from topline.market.models import Customer
from topline.treasury.models import Frequency, PlannedOutflow
from topline.treasury.scenarios import Assumptions


class OutflowForm(forms.Form):
    """Money that will leave."""

    name = forms.CharField(max_length=100)
    kind = forms.ChoiceField(choices=PlannedOutflow.Kind.choices)
    amount = forms.CharField(max_length=30)
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    first_on = forms.DateField(label="First on", widget=forms.DateInput(attrs={"type": "date"}))
    frequency = forms.ChoiceField(choices=Frequency.choices, initial="monthly")
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    is_critical = forms.BooleanField(required=False, label="Cannot wait", help_text="Its odds are told beside those of payrolls.")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("amount") and data.get("currency"):
            try:
                data["amount_minor"] = parse_amount(data.pop("amount"), data["currency"])
            except Invalid as error:
                self.add_error("amount", str(error))
        return data


class DeferralForm(forms.Form):
    """One occurrence of an outflow moved to a later day."""

    occurs_on = forms.DateField(label="Planned on", widget=forms.DateInput(attrs={"type": "date"}))
    moved_to = forms.DateField(label="Pay it on", widget=forms.DateInput(attrs={"type": "date"}))
    reason = forms.CharField(max_length=300, required=False, help_text="Seen beside it in the plan and in the audit log.")


class AssumptionsForm(forms.Form):
    """What the cases assume; without data it holds what they assumed."""

    slip_percent = forms.IntegerField(label="Collections slip by, %", initial=20)
    late_customer = forms.CharField(label="Who pays late", required=False, help_text="Name or number; empty: who owes most.")
    late_days = forms.IntegerField(label="Days late", initial=14)
    lost_customer = forms.CharField(label="Who pays nothing", required=False, help_text="Name or number; empty: who owes most.")
    hires = forms.IntegerField(label="People hired", initial=1)
    hire_cost = forms.CharField(label="Cost of each a month", required=False, help_text="Empty: what one costs today.")
    vendor_days = forms.IntegerField(label="Vendors wait, days", initial=14)

    def __init__(self, data: Any, *, currency: str, start: Assumptions | None = None) -> None:
        cost = format_amount(start.hire_minor, currency) if start and start.hire_minor is not None else ""
        super().__init__(data, initial={"hire_cost": cost})
        self.currency = currency

    def assumptions(self) -> Assumptions:
        """What is assumed. Raises: Invalid for an unknown customer, an amount that is none, or a figure out of its bounds."""
        if not self.is_bound:
            return Assumptions()
        if not self.is_valid():
            raise Invalid("Mend the fields below.")
        data = self.cleaned_data
        cost = data["hire_cost"].replace(",", "")
        return Assumptions(
            slip_percent=data["slip_percent"], late_days=data["late_days"], hires=data["hires"], vendor_days=data["vendor_days"],
            late_customer_id=self._customer("late_customer"), lost_customer_id=self._customer("lost_customer"),
            hire_minor=parse_amount(cost, self.currency, field="hire_cost") if cost else None,
        )  # fmt: skip

    def _customer(self, name: str) -> int | None:
        asked = self.cleaned_data[name].strip()
        if not asked:
            return None
        found = (
            Customer.objects.filter(Q(name__iexact=asked) | Q(number__iexact=asked), merged_into=None)
            .values_list("id", flat=True)
            .first()
        )
        if found is None:
            raise Invalid(
                f"No customer is called {asked!r}.",
                field=name,
                remedy="Use the name or number as it stands on the customer's page.",
            )
        return found


class OfferForm(forms.Form):
    """Less on one invoice, if it is paid by a day."""

    valid_until = forms.DateField(label="Paid by", widget=forms.DateInput(attrs={"type": "date"}))
    less = forms.CharField(max_length=30, label="Less")
    write = forms.BooleanField(required=False, label="Write it to the customer")

    def __init__(self, *given: Any, currency: str, **named: Any) -> None:
        super().__init__(*given, **named)
        self.currency = currency
        self.fields["less"].help_text = f"what is taken off, in {currency}"

    def clean(self) -> dict[str, Any]:
        """Adds discount_minor."""
        data = super().clean() or {}
        if data.get("less"):
            try:
                data["discount_minor"] = parse_amount(data["less"], self.currency)
            except Invalid as error:
                self.add_error("less", str(error))
        return data
