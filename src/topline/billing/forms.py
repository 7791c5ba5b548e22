"""Forms of the billing room."""

from __future__ import annotations

from decimal import Decimal

from django import forms

from topline.kernel.money import currencies


class InvoiceForm(forms.Form):
    """One invoice with one line; files and the API take more."""

    customer = forms.IntegerField(widget=forms.HiddenInput)
    issue_on = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}))
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    terms = forms.CharField(max_length=60)
    description = forms.CharField(max_length=300)
    quantity = forms.DecimalField(min_value=Decimal("0.000001"), max_value=Decimal(10) ** 9, decimal_places=6, initial=1)
    unit_price = forms.DecimalField(min_value=Decimal("0"), max_value=Decimal(10) ** 12, decimal_places=9)
    tax_percent = forms.DecimalField(min_value=Decimal(0), max_value=Decimal(100), decimal_places=4, initial=19)
    purchase_order = forms.CharField(max_length=60, required=False)


class CheckForm(forms.Form):
    """An e-invoice to look into."""

    file = forms.FileField(label="E-invoice", help_text="XML in CII or UBL, or a PDF that carries one")
