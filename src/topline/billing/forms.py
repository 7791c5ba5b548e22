"""Forms of the billing room."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from topline.catalog.models import Product
from topline.kernel.money import currencies


class ProductField(forms.ModelChoiceField[Product]):
    """A product that is for sale, by its name."""

    def label_from_instance(self, obj: Product) -> str:
        """The name."""
        return obj.name


class InvoiceForm(forms.Form):
    """One invoice with one line; files and the API take more."""

    customer = forms.IntegerField(widget=forms.HiddenInput)
    issue_on = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}))
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    terms = forms.CharField(max_length=60)
    product = ProductField(
        Product.objects.filter(is_active=True).order_by("name"), required=False, empty_label="none of the catalog"
    )
    description = forms.CharField(max_length=300, required=False, help_text="the product's name unless you say otherwise")
    quantity = forms.DecimalField(min_value=Decimal("0.000001"), max_value=Decimal(10) ** 9, decimal_places=6, initial=1)
    unit_price = forms.DecimalField(min_value=Decimal("0"), max_value=Decimal(10) ** 12, decimal_places=9)
    tax_percent = forms.DecimalField(min_value=Decimal(0), max_value=Decimal(100), decimal_places=4, initial=19)
    purchase_order = forms.CharField(max_length=60, required=False)

    def clean(self) -> dict[str, Any]:
        """A line says what is billed: a product, or words."""
        said = super().clean() or self.cleaned_data
        product = said.get("product")
        if not said.get("description") and "description" in said:
            if product is None:
                self.add_error("description", "Say what is billed, or choose a product.")
            else:
                said["description"] = product.name
        return said


class CheckForm(forms.Form):
    """An e-invoice to look into."""

    file = forms.FileField(label="E-invoice", help_text="XML in CII or UBL, or a PDF that carries one")
