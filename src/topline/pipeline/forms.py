"""Forms of the pipeline: a new deal, a change, the two ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, cast

import polars as pl
from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from topline.catalog.models import Product
from topline.kernel.errors import Invalid
from topline.kernel.money import currencies, format_amount, parse_amount
from topline.market import queries as market
from topline.pipeline import queries
from topline.pipeline.actions import ensure_come
from topline.pipeline.models import Category, Opportunity

DAY = forms.DateInput(attrs={"type": "date"})
MOST_OFFERED = 50  # of what was said before
OPEN_CATEGORIES = [(c.value, c.label.lower()) for c in (Category.PIPELINE, Category.BEST_CASE, Category.COMMIT, Category.OMITTED)]


class AmountForm(forms.Form):
    """A form with an amount in `amount`, in the currency of the deal or of the field beside it."""

    def money(self, currency: str) -> int | None:
        """The amount in minor units, None where the field is empty; what cannot be read is told beside it."""
        text = str(self.cleaned_data.get("amount", "")).strip()
        try:
            return parse_amount(text, currency) if text else None
        except Invalid as error:
            self.add_error("amount", str(error))
            return None

    def offer(self, name: str, choices: list[tuple[Any, str]]) -> None:
        """Set what a field may be chosen from."""
        cast(forms.ChoiceField, self.fields[name]).choices = choices


class DealForm(AmountForm):
    """A new deal."""

    name = forms.CharField(max_length=200)
    customer = forms.CharField(max_length=200, required=False, help_text="number or name of a customer that is here")
    rep_id = forms.TypedChoiceField(coerce=int, label="Owner")
    product = forms.CharField(max_length=200, required=False, help_text="code or name; values the deal until it has an amount")
    amount = forms.CharField(max_length=30, required=False)
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    stage = forms.ChoiceField()
    close_on = forms.DateField(required=False, label="Expected to close", widget=DAY)
    next_step = forms.CharField(max_length=300, required=False)
    source = forms.CharField(max_length=60, required=False)

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        self.offer("rep_id", sellers())
        self.offer("stage", open_stages())


class ChangeForm(AmountForm):
    """What changes about an open deal, or opens a closed one again."""

    stage = forms.ChoiceField()
    category = forms.ChoiceField(choices=OPEN_CATEGORIES, label="Forecast category")
    amount = forms.CharField(max_length=30, required=False, help_text="empty: valued by the list")
    close_on = forms.DateField(required=False, label="Expected to close", widget=DAY)
    rep_id = forms.TypedChoiceField(coerce=int, label="Owner")
    next_step = forms.CharField(max_length=300, required=False)
    customer = forms.CharField(max_length=200, required=False, help_text="number or name")

    def __init__(self, data: Any = None, *, deal: Opportunity, auto_id: str = "id_%s") -> None:
        amount = "" if deal.amount_minor is None else format_amount(deal.amount_minor, deal.currency)
        initial = {"stage": deal.stage.key, "category": deal.category, "amount": amount, "close_on": deal.close_on, "rep_id": deal.rep_id, "next_step": deal.next_step, "customer": deal.customer.number if deal.customer else ""}  # fmt: skip
        super().__init__(data, initial=initial, auto_id=auto_id)
        self.deal = deal
        people = sellers()
        if deal.rep_id not in {pk for pk, _ in people}:
            people = [(deal.rep_id, deal.rep.name), *people]
        self.offer("rep_id", people)
        self.offer("stage", open_stages())

    def buyer(self, text: str) -> int | None:
        """The customer that a number or name means; the present one where it is empty or unknown, with the field's error."""
        if not text:
            return self.deal.customer_id
        found = market.find(pl.Series([text]))["customer_id"][0]
        if found is None:
            self.add_error("customer", "There is no such customer, or more than one. Add the customer first.")
        return found if found is not None else self.deal.customer_id

    def changes(self) -> dict[str, Any]:
        """The fields that differ from what stood there."""
        said = {**self.cleaned_data, "amount_minor": self.money(self.deal.currency)}
        said.pop("amount", None)
        said["customer_id"] = self.buyer(said.pop("customer"))
        now = {"stage": self.deal.stage.key, "category": self.deal.category, "amount_minor": self.deal.amount_minor, "close_on": self.deal.close_on, "rep_id": self.deal.rep_id, "customer_id": self.deal.customer_id,
               "next_step": self.deal.next_step}  # fmt: skip
        return {name: value for name, value in said.items() if value != now[name]}


class WinForm(AmountForm):
    """The customer said yes."""

    on = forms.DateField(label="Won on", widget=DAY)
    amount = forms.CharField(max_length=30, label="Sold for")
    said_by = forms.CharField(
        max_length=200, required=False, label="Who said yes", help_text="needed where nobody of the customer is known"
    )


class Suggested(forms.TextInput):
    """A text that offers words used before; others may be written."""

    words: Sequence[str] = ()

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """The field with its list."""
        listed = f"{(attrs or {}).get('id', name)}_words"
        offered = format_html_join("", '<option value="{}"></option>', ((word,) for word in self.words))
        field = super().render(name, value, {**(attrs or {}), "list": listed}, renderer)
        return format_html('{}<datalist id="{}">{}</datalist>', field, listed, offered)


class LoseForm(forms.Form):
    """The customer said no; the reasons and competitors that are known already are offered, so that they are written alike."""

    on = forms.DateField(label="Lost on", widget=DAY)
    loss_reason = forms.CharField(max_length=100, label="Why", widget=Suggested)
    competitor = forms.CharField(max_length=100, label="To whom", help_text="a competitor, or nobody", widget=Suggested)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        reasons, rivals = queries.loss_words()
        cast(Suggested, self.fields["loss_reason"].widget).words = reasons
        cast(Suggested, self.fields["competitor"].widget).words = [*rivals, "nobody"]


AGREED = "the day from which they are known: an earlier one for what was agreed before it came here"


class Agreed(AmountForm):
    """Something that was agreed on a day, today unless another is said."""

    agreed_on = forms.DateField(required=False, label="Agreed on", widget=DAY, help_text=AGREED)

    def on(self, today: date, *, unless_said: date | None = None) -> date:
        """The day on which it was agreed: as said, else today where the company is (or another). Raises: Invalid, for a day that has not come yet."""
        found: date = self.cleaned_data["agreed_on"] or unless_said or today
        ensure_come(found, today, "agreed_on")
        return found


class SplitForm(Agreed):
    """A target to be shared out."""

    field_order = ("target", "currency", "method", "buffer", "agreed_on")

    target = forms.CharField(max_length=30, label="Target")
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    method = forms.ChoiceField(
        choices=[("history", "By what each brought before"), ("capacity", "By the open pipeline"), ("evenly", "Evenly")]
    )
    buffer = forms.IntegerField(min_value=0, max_value=100, required=False, label="Buffer, %", help_text="over-assignment")

    def clean(self) -> dict[str, Any]:
        """The target in minor units, or what is wrong with it."""
        said = super().clean() or {}
        try:
            said["target_minor"] = parse_amount(str(said.get("target", "")), str(said.get("currency", "")))
        except Invalid as error:
            self.add_error("target", str(error))
        return said

    def wanted(self) -> dict[str, Any]:
        """Target, currency, method and buffer as the verbs take them."""
        said = self.cleaned_data
        return {
            "target_minor": said["target_minor"],
            "currency": said["currency"],
            "method": said["method"],
            "buffer_percent": said["buffer"] or 0,
        }


class QuotaForm(Agreed):
    """One quota, of whoever carries it."""

    field_order = ("owner", "family", "measure", "starts_on", "ends_on", "amount", "currency", "note", "agreed_on")

    owner = forms.ChoiceField()
    family = forms.ChoiceField(required=False, label="Product line")
    measure = forms.ChoiceField(choices=[("bookings", "bookings"), ("deals", "number of won deals")])
    starts_on = forms.DateField(label="From", widget=DAY)
    ends_on = forms.DateField(label="Until before", widget=DAY)
    amount = forms.CharField(max_length=30, label="Quota")
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()], help_text="of bookings")
    note = forms.CharField(max_length=200, required=False)

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        leads = set(queries.reps()["manager_id"].drop_nulls().to_list())
        people = sellers()
        self.offer("owner", [("company", "Company"), *((f"team:{pk}", f"team of {name}") for pk, name in people if pk in leads), *((f"person:{pk}", name) for pk, name in people)])  # fmt: skip
        families = (
            Product.objects.exclude(family="").order_by("family").values_list("family", flat=True).distinct()[:MOST_OFFERED]
        )
        self.offer("family", [("", "all that is sold"), *((f, f) for f in families)])

    def row(self) -> dict[str, Any] | None:
        """The quota as `quotas.set_quotas` takes it; None where the amount cannot be read, with the field's error."""
        said = {name: value for name, value in self.cleaned_data.items() if name != "agreed_on"}
        scope, _, rep = said.pop("owner").partition(":")
        is_count = said["measure"] == "deals"
        text = said.pop("amount").strip()
        minor = int(text) if is_count and text.isascii() and text.isdecimal() and len(text) < 10 else None
        if is_count and minor is None:
            self.add_error("amount", "A number of deals is a whole number.")
        if not is_count:
            minor = self.money(said["currency"])
        if minor is None:
            return None
        return {**said, "scope": scope, "rep_id": int(rep) if rep else None, "amount_minor": minor, "currency": "" if is_count else said["currency"]}  # fmt: skip


class CallForm(AmountForm):
    """What somebody will have sold; an override for those who may, with its reason."""

    category = forms.ChoiceField(choices=[("commit", "commit"), ("most_likely", "most likely"), ("best_case", "best case")])
    amount = forms.CharField(
        max_length=30, required=False, help_text="all of the quarter, won deals included; empty takes an override back"
    )
    note = forms.CharField(max_length=300, required=False, label="Note", help_text="the reason, for an override")
    override = forms.BooleanField(required=False, label="Override their call", help_text="their own stays beside it")

    def __init__(self, data: Any = None, *, currency: str, may_override: bool) -> None:
        super().__init__(data, initial={"override": may_override})
        self.currency = currency
        self.fields["amount"].label = f"Amount, {currency}"
        if not may_override:
            del self.fields["override"]

    def clean(self) -> dict[str, Any]:
        """The amount in minor units in `amount_minor`."""
        said = super().clean() or {}
        self.amount_minor = self.money(self.currency)
        return said


def sellers() -> list[tuple[int, str]]:
    """Those who sell, by name."""
    here = queries.reps().filter(pl.col("left_on").is_null())
    return [(pk, name) for pk, name in here.select("rep_id", "name").iter_rows()]


def open_stages() -> list[tuple[str, str]]:
    """The stages in which a deal is open, in order."""
    found = queries.stages().filter(pl.col("kind") == "open")
    return [(key, name) for key, name in found.select("key", "name").iter_rows()]
