"""Forms of the bank room."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from topline.bank.models import BankAccount
from topline.kernel.errors import Invalid
from topline.kernel.money import currencies, format_amount, parse_amount


class AccountForm(forms.Form):
    """One of our bank accounts."""

    name = forms.CharField(max_length=100)
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    number = forms.CharField(max_length=40, required=False, label="IBAN or number")
    bic = forms.CharField(max_length=11, required=False, label="BIC")
    pays_payroll = forms.BooleanField(required=False, label="Payroll is paid from it")
    credit_line_minor = forms.CharField(
        max_length=30, required=False, label="Credit line", help_text="Up to which the bank lets it go below zero; empty: none."
    )
    credit_line_bps = forms.DecimalField(
        min_value=0, max_value=1000, decimal_places=2, required=False, label="It costs, % a year"
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("currency"):
            try:
                line = data.get("credit_line_minor", "")
                data["credit_line_minor"] = parse_amount(line, data["currency"]) if line else 0
            except Invalid as error:
                self.add_error("credit_line_minor", str(error))
        data["credit_line_bps"] = int((data.get("credit_line_bps") or 0) * 100)
        return data


class AccountChangeForm(AccountForm):
    """What can be changed of an account: all but its currency."""

    currency = None  # type: ignore[assignment]

    def __init__(self, data: Any, *, account: BankAccount) -> None:
        line = format_amount(account.credit_line_minor, account.currency) if account.credit_line_minor else ""
        rate = Decimal(account.credit_line_bps) / 100 if account.credit_line_bps else None
        told = {n: getattr(account, n) for n in ("name", "number", "bic", "pays_payroll")}
        super().__init__(data, initial={**told, "credit_line_minor": line, "credit_line_bps": rate})
        self.account = account

    def clean(self) -> dict[str, Any]:
        self.cleaned_data["currency"] = self.account.currency
        data = super().clean()
        data.pop("currency", None)
        return data
