"""Forms of quotes: the head of one, its lines, what the customer says."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any, cast

import polars as pl
from django import forms

from topline.catalog.models import PriceBook, Product
from topline.quotes.models import Quote

DAY = forms.DateInput(attrs={"type": "date"})
ROWS, MOST_ROWS = 6, 60
PPM = 1_000_000


class QuoteForm(forms.Form):
    """All of a quote but its lines."""

    starts_on = forms.DateField(label="Begins", widget=DAY)
    months = forms.IntegerField(min_value=1, max_value=1_200, label="For months")
    bill_every = forms.ChoiceField(
        choices=[("once", "once"), ("month", "each month"), ("quarter", "each quarter"), ("year", "each year")], label="Billed"
    )
    terms = forms.CharField(max_length=60, label="Payment terms", help_text="net 30, 2/10 net 30, 50% 0, 50% 30")
    valid_until = forms.DateField(label="Valid until", widget=DAY)
    price_book = forms.TypedChoiceField(coerce=int, required=False, empty_value=None)
    promotions = forms.CharField(max_length=300, required=False, help_text="codes, with commas between them")
    note = forms.CharField(
        max_length=2_000, required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="the customer reads it"
    )

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        books = [("", "list prices"), *PriceBook.objects.order_by("name").values_list("id", "name")[:200]]
        cast(forms.ChoiceField, self.fields["price_book"]).choices = books

    def codes(self) -> list[str]:
        """The promotions that are named."""
        return [code.strip() for code in self.cleaned_data["promotions"].split(",") if code.strip()]


class LineForm(forms.Form):
    """One line; a row without a product is left out."""

    product = forms.TypedChoiceField(coerce=int, required=False, empty_value=None)
    quantity = forms.DecimalField(
        min_value=Decimal("0.000001"), max_value=Decimal(100_000_000), max_digits=15, decimal_places=6, required=False
    )
    periods = forms.IntegerField(min_value=1, max_value=1_200, required=False)
    begins = forms.IntegerField(min_value=0, max_value=1_200, required=False)
    percent = forms.DecimalField(min_value=0, max_value=100, max_digits=7, decimal_places=4, required=False)
    description = forms.CharField(max_length=300, required=False)

    def __init__(self, *given: Any, products: list[tuple[Any, str]], **named: Any) -> None:
        super().__init__(*given, **named)
        cast(forms.ChoiceField, self.fields["product"]).choices = products
        labels = {
            "product": "Product",
            "quantity": "Quantity",
            "periods": "Periods",
            "begins": "From month",
            "percent": "Off by hand, %",
            "description": "Words",
        }
        for name, label in labels.items():
            self.fields[name].widget.attrs["aria-label"] = f"{label}, line {int(str(self.prefix).rpartition('-')[2]) + 1}"


LineSet = forms.formset_factory(LineForm, extra=0, max_num=MOST_ROWS, absolute_max=MOST_ROWS)


def products() -> list[tuple[Any, str]]:
    """What may be chosen: products on sale, by name."""
    return [
        ("", ""),
        *(
            (pk, f"{name} ({code})")
            for pk, name, code in Product.objects.filter(is_active=True)
            .order_by("name", "id")
            .values_list("id", "name", "code")[:500]
        ),
    ]


def lines_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """The filled rows of a form as pricing.LINE."""
    said = [
        {"product_id": r["product"], "description": r["description"], "quantity_micro": int((r["quantity"] or 1) * PPM), "periods": r["periods"] or 1,
         "begins_after_months": r["begins"] or 0, "manual_ppm": int(((r["percent"] or Decimal(0)) * 10_000).quantize(Decimal(1), rounding=ROUND_HALF_UP))}
        for r in rows
        if r.get("product")
    ]  # fmt: skip
    schema = {
        "product_id": pl.Int64,
        "description": pl.String,
        "quantity_micro": pl.Int64,
        "periods": pl.Int64,
        "begins_after_months": pl.Int64,
        "manual_ppm": pl.Int64,
    }
    return pl.DataFrame(said, schema=schema)


def filled_from(quote: Quote) -> list[dict[str, Any]]:
    """The lines of a quote as a form shows them."""
    return [
        {"product": line.product_id, "quantity": Decimal(line.quantity_micro) / PPM, "periods": line.periods, "begins": line.begins_after_months or None,
         "percent": Decimal(line.manual_ppm) / 10_000 if line.manual_ppm else None, "description": line.description}
        for line in quote.lines.order_by("position")
    ]  # fmt: skip
