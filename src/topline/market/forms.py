"""Forms of the market room."""

from __future__ import annotations

from typing import Any

from django import forms

from topline.kernel.errors import Invalid
from topline.kernel.money import currencies, parse_amount
from topline.market.models import Customer
from topline.team.models import Member


class CustomerForm(forms.Form):
    """Facts of a customer that people may change."""

    name = forms.CharField(max_length=200)
    legal_name = forms.CharField(max_length=200, required=False)
    country = forms.CharField(max_length=2, required=False, help_text="two letters")
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()], initial="EUR")
    tax_id = forms.CharField(max_length=40, required=False)
    terms = forms.CharField(max_length=60, initial="net 30", help_text="net 30, 2/10 net 30, 50% 0, 50% 30")
    segment = forms.CharField(max_length=40, required=False)


class ChangeForm(CustomerForm):
    """What can be changed of a customer that is there."""

    owner_id = forms.TypedChoiceField(label="Owner", required=False, coerce=int, empty_value=None)
    language = forms.CharField(
        label="Language of documents",
        min_length=2,
        max_length=5,
        required=False,
        help_text="en, de, fr, es, it or nl; others: English",
    )
    e_format = forms.ChoiceField(label="Invoices go as", choices=Customer.EFormat.choices, required=False)
    e_address = forms.CharField(
        label="Electronic address", max_length=100, required=False, help_text="9930:DE123456788; empty: by VAT number or e-mail"
    )
    credit_limit = forms.CharField(max_length=30, required=False, help_text="in the customer's currency; empty: none")
    late_interest = forms.DecimalField(
        label="Interest on late payment by contract, % a year", min_value=0, max_value=100, decimal_places=2, required=False,
        help_text="empty: what the law of your country says",
    )  # fmt: skip
    is_on_hold = forms.BooleanField(label="On credit hold", required=False)
    reason = forms.CharField(label="Why the hold, or its release", max_length=300, required=False)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        people = Member.objects.filter(is_active=True, customer_id__isnull=True).order_by("name").values_list("id", "name")[:500]
        self.fields["owner_id"].choices = [("", "nobody"), *people]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """What always has a value stays as it is where nothing is said."""
        data = super().clean() or {}
        limit, percent = data.pop("credit_limit", ""), data.pop("late_interest", None)
        data["late_interest_bps"] = None if percent is None else int(percent * 100)
        data["credit_limit_minor"] = None
        if limit and "currency" in data:
            try:
                data["credit_limit_minor"] = parse_amount(limit, data["currency"])
            except Invalid as error:
                self.add_error("credit_limit", str(error))
            else:
                if data["credit_limit_minor"] < 0:
                    self.add_error("credit_limit", "It cannot be negative.")
        return {**data, **{name: data.get(name) or self.initial[name] for name in ("language", "e_format")}}


class ContactForm(forms.Form):
    """Someone to talk to at a customer."""

    name = forms.CharField(max_length=200)
    email = forms.EmailField(required=False)
    phone = forms.CharField(max_length=40, required=False)
    role = forms.CharField(max_length=60, required=False, help_text="accounts payable, buyer, ...")
    is_primary = forms.BooleanField(label="Write to them first", required=False)


class AddressForm(forms.Form):
    """A postal address of a customer."""

    kind = forms.ChoiceField(choices=[("billing", "billing"), ("delivery", "delivery")])
    line1 = forms.CharField(label="Street", max_length=200)
    line2 = forms.CharField(label="Second line", max_length=200, required=False)
    postal_code = forms.CharField(max_length=20, required=False)
    city = forms.CharField(max_length=100, required=False)
    country = forms.CharField(max_length=2, required=False, help_text="two letters")


class AliasForm(forms.Form):
    """Another name or number by which files and banks know a customer."""

    kind = forms.ChoiceField(choices=[("name", "name"), ("number", "number"), ("iban", "IBAN"), ("tax_id", "tax id")])
    value = forms.CharField(max_length=200)
