"""Forms of the bank room."""

from __future__ import annotations

from django import forms

from topline.kernel.money import currencies


class AccountForm(forms.Form):
    """One of our bank accounts."""

    name = forms.CharField(max_length=100)
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    number = forms.CharField(max_length=40, required=False, label="IBAN or number")
    bic = forms.CharField(max_length=11, required=False, label="BIC")
    pays_payroll = forms.BooleanField(required=False, label="Payroll is paid from it")
