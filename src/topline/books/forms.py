"""Forms of the books room."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from topline.books.models import Account
from topline.kernel.errors import Invalid
from topline.kernel.money import currencies, parse_amount

DAY = {"type": "date"}


class CompanyForm(forms.Form):
    """What documents print of the company."""

    name = forms.CharField(max_length=200)
    line1 = forms.CharField(label="Street", max_length=200, required=False)
    line2 = forms.CharField(label="Second line", max_length=200, required=False)
    postal_code = forms.CharField(max_length=20, required=False)
    city = forms.CharField(max_length=100, required=False)
    country = forms.RegexField(r"^([A-Z]{2})?$", required=False, help_text="two letters, such as DE; invoices need it")
    tax_id = forms.CharField(
        label="VAT or tax number", max_length=40, required=False, help_text="with the country's letters: DE123456788"
    )
    registration = forms.CharField(label="Register of companies", max_length=40, required=False)
    email = forms.EmailField(label="E-mail for questions", required=False)
    phone = forms.CharField(max_length=40, required=False)
    tax_rounding = forms.ChoiceField(
        label="Tax is rounded",
        choices=[("line", "on each line"), ("document", "once a document and rate")],
        help_text="of what is drafted from now on",
    )
    accent = forms.RegexField(
        r"^(#[0-9a-fA-F]{6})?$", label="Colour", required=False, help_text="#rrggbb, of headings on documents"
    )
    logo = forms.FileField(required=False, help_text="PNG or SVG, at most 200 kB")
    no_logo = forms.BooleanField(label="Take the logo away", required=False)


class EntryForm(forms.Form):
    """A manual entry of one transfer."""

    effective_on = forms.DateField(label="Counts on", widget=forms.DateInput(attrs=DAY))
    debit = forms.ChoiceField()
    credit = forms.ChoiceField()
    amount = forms.CharField(max_length=30)
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    memo = forms.CharField(max_length=200, help_text="why: it stays in the books")

    def __init__(self, *args: Any, entity_id: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = Account.objects.filter(entity_id=entity_id).order_by("code").values_list("code", "name")[:2000]
        for name in ("debit", "credit"):
            self.fields[name].choices = [("", "choose"), *((c, f"{c} {n}") for c, n in known)]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("amount") and data.get("currency"):
            try:
                data["amount_minor"] = parse_amount(data["amount"], data["currency"])
            except Invalid as error:
                self.add_error("amount", str(error))
        return data


class ReverseForm(forms.Form):
    """Undo a manual entry by its mirror image."""

    effective_on = forms.DateField(label="Counts on", widget=forms.DateInput(attrs=DAY))
    reason = forms.CharField(max_length=200)


class LockForm(forms.Form):
    """Close all days up to one."""

    through = forms.DateField(required=False, widget=forms.DateInput(attrs=DAY), help_text="empty: everything is open again")
    reason = forms.CharField(max_length=200, required=False)


class RateForm(forms.Form):
    """One exchange rate of one day."""

    currency = forms.ChoiceField(choices=[(c, c) for c in currencies() if c != "EUR"])
    on = forms.DateField(widget=forms.DateInput(attrs=DAY))
    per_euro = forms.DecimalField(
        min_value=Decimal("0.000000001"), max_digits=18, decimal_places=9, help_text="units for one euro"
    )
    source = forms.CharField(max_length=60, initial="by hand")
