"""Forms of contracts: a new one, its facts, and one for each amendment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, cast, overload

import polars as pl
from django import forms

from topline.catalog import queries as catalog
from topline.contracts.models import CREDIT_AND_RERATE, NEXT_INVOICE
from topline.contracts.pricing import BY_CONDITIONS, COMMITMENT, MODELS, NAMES
from topline.kernel.errors import Invalid, ensure
from topline.kernel.money import currencies, exponent, format_amount, parse_amount
from topline.market import queries as market
from topline.metering.models import Meter

DAY = forms.DateInput(attrs={"type": "date"})
UNITS = [("month", "a month"), ("quarter", "a quarter"), ("year", "a year"), ("week", "a week"), ("day", "once")]
PPM, NANO = 1_000_000, 10**9
MODE_CHOICES = [
    ("invoice_now", "from that day, billed by the next run"), ("with_next_invoice", "from that day, billed with the next period"), ("at_period_end", "from the next period on"),
    ("restart", "a new period begins on that day"),
]  # fmt: skip


def some_amount(**said: Any) -> forms.DecimalField:
    """An amount as people write it, which may be left out."""
    return forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=2, required=False, **said)


def known_customer(text: str) -> int:
    """The id of a customer by number or name. Raises: Invalid."""
    found = market.find(pl.Series([text]))["customer_id"][0]
    if found is None:
        raise Invalid("There is no such customer, or more than one.", field="customer", remedy="Use its number.")
    return int(found)


class PriceFields(forms.Form):
    """What something costs, whatever its model."""

    price = forms.DecimalField(
        min_value=Decimal(0),
        max_digits=18,
        decimal_places=9,
        required=False,
        help_text="of a unit and period; empty: not agreed yet",
    )
    price_model = forms.ChoiceField(
        choices=[(m, NAMES[m]) for m in MODELS], required=False, label="Price model", help_text="shares and properties are for what is metered"
    )  # fmt: skip
    tiers = forms.CharField(
        required=False,
        label="Rows of the price",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="one a line; tiers: up to, price of a unit (or share in %), fee; the last begins with * for no end. By properties: region=eu size=large 0.10; the last, for all else: * 0.20. By limits of meters: CALLS<=1000 SEATS<=5 50.00, a price of the period",
    )  # fmt: skip
    included = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=6, required=False, label="Included units", help_text="of a period, at no price")  # fmt: skip
    package = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=6, required=False, label="Units of a package", help_text="one that is begun is charged whole")  # fmt: skip
    share = forms.DecimalField(min_value=Decimal(0), max_digits=10, decimal_places=4, required=False, label="Share, %", help_text="of the value of each transaction")  # fmt: skip
    fee = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=9, required=False, label="Fee of a transaction")
    free_count = forms.IntegerField(min_value=0, required=False, label="Free transactions", help_text="of a period")
    free_amount = some_amount(label="Free value", help_text="of a period; the first limit that is reached ends what is free")
    each_least = some_amount(label="A transaction costs at least")
    each_most = some_amount(label="A transaction costs at most")

    def terms_of_price(self, currency: str) -> dict[str, Any]:
        """The price as the verbs take it. Raises: Invalid for rows that cannot be read."""
        said = self.cleaned_data
        model = said["price_model"] or "per_unit"
        return {
            "unit_price_nano": nano(said["price"], currency), "price_model": model, "tiers": rows(said["tiers"], currency, model), "included_micro": micro(said["included"]), "package_micro": micro(said["package"]),
            "share_ppm": None if said["share"] is None else int(said["share"] * 10_000), "fee_nano": nano(said["fee"], currency), "free_count": said["free_count"], "free_minor": minor(said["free_amount"], currency),
            "each_least_minor": minor(said["each_least"], currency), "each_most_minor": minor(said["each_most"], currency),
        }  # fmt: skip


@dataclass(frozen=True)
class FieldGroup:
    """Fields of a form under a heading; is_more: behind it until it is opened."""

    title: str
    fields: list[forms.BoundField]
    is_more: bool = False
    is_open: bool = False


GROUPS: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    ("What is billed", False, ("product", "description", "quantity", "price", "unit", "when", "meter", "price_model", "tiers")),
    ("Included units, packages, shares", True, ("included", "package", "share", "fee", "free_count", "free_amount", "each_least", "each_most")),
    ("Trial, tax class, limits, alerts", True, ("aligned", "free_until", "tax_class", "minimum", "maximum", "alerts", "bill_at", "bill_every", "by_peak", "pool")),
    ("Renewal, changes, late use", True, ("renews_months", "notice_days", "on_upgrade", "on_downgrade", "month_days", "late_usage")),
)  # fmt: skip


class ItemForm(PriceFields):
    """What is billed, at what price, how often."""

    product = forms.CharField(max_length=200, required=False, help_text="code or name, where it is in the catalog")
    description = forms.CharField(max_length=300, required=False)
    quantity = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=6, initial=1)
    unit = forms.ChoiceField(choices=UNITS, label="Billed")
    when = forms.ChoiceField(choices=[("advance", "in advance"), ("arrears", "in arrears")])
    aligned = forms.ChoiceField(
        choices=[("", "on its own first day"), ("1", "with those of the contract")], required=False, label="Its periods begin", help_text="with others, its first one is a part"
    )  # fmt: skip
    free_until = forms.DateField(
        required=False, widget=DAY, label="Free until before", help_text="a trial: the first day that costs"
    )
    tax_class = forms.CharField(max_length=20, initial="standard")
    meter = forms.ChoiceField(
        required=False, help_text="for what is billed by use, in arrears; then the quantity is that of the meter"
    )
    minimum = some_amount(label="At least", help_text="what a period of use, or of a commitment, costs all the same")
    maximum = some_amount(label="At most", help_text="what a period of use, or of a commitment, costs whatever was used")

    alerts = forms.CharField(
        max_length=200,
        required=False,
        label="Tell at",
        help_text="amounts of the open period, with blanks between them, such as 100 500",
    )

    bill_at = forms.CharField(
        max_length=200,
        required=False,
        label="Bill at",
        help_text="amounts of the open period at which what was used so far is billed, such as 200 500",
    )
    bill_every = some_amount(label="And every", help_text="further amount after the last of them")
    by_peak = forms.BooleanField(
        required=False, label="By its peak", help_text="a period costs the most that was agreed in it, whatever its days"
    )
    pool = forms.CharField(
        max_length=40,
        required=False,
        label="Counts towards",
        help_text="the name of a commitment; of a commitment: its own name, empty for all items",
    )

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        cast(forms.ChoiceField, self.fields["meter"]).choices = [
            ("", "none"),
            *(
                (str(pk), f"{code}: {name}")
                for pk, code, name in Meter.objects.order_by("code").values_list("id", "code", "name")[:200]
            ),
        ]

    def groups(self) -> list[FieldGroup]:
        """The fields as they are shown: what every item says first, what few say behind a heading that opens."""
        grouped = {name for _, _, names in GROUPS for name in names}
        shown = {bound.name: bound for bound in self.visible_fields()}
        found = [FieldGroup("", [bound for name, bound in shown.items() if name not in grouped])]
        for title, is_more, names in GROUPS:
            mine = [shown[name] for name in names if name in shown]
            said = any(bound.errors or (self.is_bound and bound.value() not in (None, "", False, bound.initial, str(bound.initial))) for bound in mine)  # fmt: skip
            found += [FieldGroup(title, mine, is_more=is_more, is_open=said)] if mine else []
        return found

    def item(self, currency: str, starts_on: Any) -> dict[str, Any]:
        """The item as the verbs take it. Raises: Invalid for a product that is not here."""
        said = self.cleaned_data
        product = catalog.find(pl.Series([said["product"]]))["product_id"][0] if said["product"] else None
        if said["product"] and product is None:
            raise Invalid("There is no such product.", field="product", remedy="Add it to the catalog, or describe the item.")
        metered = (
            {
                "meter_id": int(said["meter"]),
                "minimum_minor": minor(said["minimum"], currency),
                "maximum_minor": minor(said["maximum"], currency),
                "alerts_minor": [parse_amount(word, currency, field="alerts") for word in said["alerts"].split()],
                "bill_at_minor": [parse_amount(word, currency, field="bill_at") for word in said["bill_at"].split()],
                "bill_every_minor": minor(said["bill_every"], currency),
            }
            if said["meter"]
            else {}
        )
        if said["price_model"] == COMMITMENT:
            metered = {"minimum_minor": minor(said["minimum"], currency), "maximum_minor": minor(said["maximum"], currency)}
        metered |= self.terms_of_price(currency)
        once = {"ends_on": starts_on.fromordinal(starts_on.toordinal() + 1)} if said["unit"] == "day" else {}
        return {
            "product_id": product, "description": said["description"], "quantity_micro": micro(said["quantity"]), "unit": said["unit"],
            "in_advance": said["when"] == "advance", "tax_class": said["tax_class"], "aligned": bool(said["aligned"]), "free_until": said["free_until"], "by_peak": said["by_peak"], "pool": said["pool"], **once, **metered,
        }  # fmt: skip


LATE_CHOICES = [
    (NEXT_INVOICE, "the difference, on the next invoice"), (CREDIT_AND_RERATE, "a credit note for what was billed, and the period anew"),
]  # fmt: skip


class ProrationFields(forms.Form):
    """How changes inside a period, and use that comes late, are billed where nothing else is said."""

    on_upgrade = forms.ChoiceField(choices=MODE_CHOICES, required=False, initial="invoice_now", label="A dearer plan or quantity")
    on_downgrade = forms.ChoiceField(choices=MODE_CHOICES, required=False, initial="invoice_now", label="A cheaper one")
    month_days = forms.IntegerField(min_value=28, max_value=31, required=False, label="Days of a month", help_text="for parts of a period, such as 30; empty: those of the calendar")  # fmt: skip

    late_usage = forms.ChoiceField(choices=[("", "as the company does"), *LATE_CHOICES], required=False, label="Late use")

    def clean_on_upgrade(self) -> str:
        """Where nothing is said: at once."""
        return self.cleaned_data["on_upgrade"] or "invoice_now"

    def clean_on_downgrade(self) -> str:
        """Where nothing is said: at once."""
        return self.cleaned_data["on_downgrade"] or "invoice_now"


class ContractForm(ItemForm, ProrationFields):
    """A contract with its first item."""

    customer = forms.CharField(max_length=200, help_text="number or name of a customer that is here")
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    starts_on = forms.DateField(label="From", widget=DAY)
    ends_on = forms.DateField(label="Until before", required=False, widget=DAY, help_text="empty: until somebody ends it")
    terms = forms.CharField(max_length=60, initial="net 30")
    purchase_order = forms.CharField(max_length=60, required=False)
    renews_months = forms.IntegerField(
        min_value=0, max_value=1_200, initial=0, label="Renews by months", help_text="0: not by itself"
    )
    notice_days = forms.IntegerField(min_value=0, max_value=3_660, initial=0, label="Notice, days")
    field_order = ["customer", "currency", "starts_on", "ends_on", "terms", "purchase_order", "renews_months", "notice_days", "on_upgrade", "on_downgrade", "month_days", "late_usage"]  # fmt: skip

    def buyer(self) -> int:
        """The customer's id. Raises: Invalid."""
        return known_customer(self.cleaned_data["customer"])


class FactsForm(ProrationFields):
    """What is no amendment."""

    terms = forms.CharField(max_length=60)
    purchase_order = forms.CharField(max_length=60, required=False)
    renews_months = forms.IntegerField(min_value=0, max_value=1_200, label="Renews by months", help_text="0: not by itself")
    notice_days = forms.IntegerField(min_value=0, max_value=3_660, label="Notice, days")


class AmendForm(forms.Form):
    """From when, and why."""

    on = forms.DateField(label="From", widget=DAY)
    because = forms.CharField(max_length=300, required=False)

    def offer(self, items: list[tuple[int, str]]) -> None:
        """Set which items may be chosen."""
        if "item_id" in self.fields:
            cast(forms.ChoiceField, self.fields["item_id"]).choices = items

    def said(self, currency: str) -> dict[str, Any]:
        """What `amendments.amend` needs beside day and reason."""
        known = {**self.cleaned_data}
        told: dict[str, Any] = {
            name: known[name] for name in ("item_id", "months", "until", "mode") if known.get(name) is not None
        }
        if "quantity" in known:
            told["quantity_micro"] = micro(known["quantity"])
        if "uplift" in known:
            told["uplift_ppm"] = int((known["uplift"] or Decimal(0)) * 10_000)
        if "customer" in known:
            told["customer_id"] = known_customer(known["customer"])
        return told


class OfItem(AmendForm):
    """An amendment of one item."""

    item_id = forms.TypedChoiceField(coerce=int, label="Item")


class MovingForm(OfItem):
    """An amendment that makes an item dearer or cheaper."""

    mode = forms.ChoiceField(choices=[("", "as the contract says"), *MODE_CHOICES], required=False, label="It holds")


class QuantityForm(MovingForm):
    """Another quantity."""

    quantity = forms.DecimalField(min_value=Decimal(0), max_digits=15, decimal_places=6)


class PriceForm(MovingForm, PriceFields):
    """Another price: of a unit, or with a model the whole of it."""

    field_order = ["on", "because", "item_id", "price"]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        cast(forms.ChoiceField, self.fields["price_model"]).choices = [("", "as it is"), *((m, NAMES[m]) for m in MODELS)]

    def said(self, currency: str) -> dict[str, Any]:
        """What `amendments.amend` needs: with a model the whole price, else the terms that are filled in."""
        terms = self.terms_of_price(currency)
        if not self.cleaned_data["price_model"]:
            terms = {name: value for name, value in terms.items() if value not in (None, []) and name != "price_model"}
        return {"item_id": self.cleaned_data["item_id"], "mode": self.cleaned_data["mode"], **terms}


class RenewForm(AmendForm):
    """A longer life, at other prices perhaps."""

    months = forms.IntegerField(min_value=1, max_value=1_200, initial=12)
    uplift = forms.DecimalField(required=False, max_digits=7, decimal_places=4, label="Prices change by, %")


class PauseForm(AmendForm):
    """Nothing is billed for a while."""

    until = forms.DateField(
        label="Until before",
        widget=DAY,
        required=False,
        help_text="the first day that is billed again; empty: until it is resumed",
    )


class CoTermForm(AmendForm):
    """Another end, together with other contracts."""

    until = forms.DateField(label="Ends on", widget=DAY, help_text="the first day that is not covered")


class PlanForm(ItemForm, MovingForm):
    """Another plan in the place of an item."""

    field_order = ["on", "item_id", "mode", "product", "description", "quantity", "price", "unit"]


class TransferForm(AmendForm):
    """Another customer takes it over."""

    customer = forms.CharField(max_length=200, help_text="number or name")


class AddForm(ItemForm, AmendForm):
    """One more item."""

    field_order = ["on", "product", "description", "quantity", "price", "unit"]


class ScheduleForm(forms.Form):
    """In which parts an item is billed."""

    parts = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text="one a line: the day it is billed, or * for when it is accepted, with the day on which that is likely right behind it where it is known; the net amount; what it is for",
    )

    def said(self, currency: str) -> list[dict[str, Any]]:
        """The parts as the verb takes them. Raises: Invalid, naming the line."""
        found = []
        for number, line in enumerate(self.cleaned_data["parts"].splitlines(), start=1):
            words = line.split(None, 2)
            if not words:
                continue
            try:
                is_milestone, day = words[0].startswith("*"), words[0].removeprefix("*")
                due_on = None if is_milestone else date.fromisoformat(day)
                expected_on = date.fromisoformat(day) if is_milestone and day else None
                amount, text = parse_amount(words[1], currency, field="parts"), words[2]
            except (IndexError, ValueError, Invalid) as error:
                raise Invalid(
                    f"Line {number} cannot be read.",
                    field="parts",
                    remedy="Write day, amount and words, such as: 2026-03-01 500.00 Deposit, or: *2026-05-15 1,500.00 Design accepted",
                ) from error
            found.append({"due_on": due_on, "expected_on": expected_on, "amount_minor": amount, "description": text})
        return found


def parts_as_text(parts: list[dict[str, Any]], currency: str) -> str:
    """Parts as the form takes them."""
    return "\n".join(
        f"{p['due_on'] or '*' + str(p['expected_on'] or '')} {format_amount(p['amount_minor'], currency)} {p['description']}"
        for p in parts
    )


class DiscountForm(forms.Form):
    """Something off."""

    name = forms.CharField(max_length=60, help_text="such as the promotion's code")
    share = forms.DecimalField(min_value=Decimal(0), max_value=Decimal(100), max_digits=7, decimal_places=4, required=False, label="Share, %")  # fmt: skip
    amount = some_amount(help_text="of a period, or in all where it is taken once")
    unit = forms.ChoiceField(choices=[("once", "once"), ("month", "each month"), ("quarter", "each quarter"), ("year", "each year"), ("week", "each week"), ("day", "each day")], label="Taken")  # fmt: skip
    periods = forms.IntegerField(
        min_value=1, max_value=10_000, required=False, label="How many times", help_text="empty: forever"
    )
    starts_on = forms.DateField(label="From", widget=DAY)
    item_id = forms.TypedChoiceField(coerce=int, empty_value=None, required=False, label="Off")

    def __init__(self, *given: Any, items: list[tuple[int, str]], **named: Any) -> None:
        super().__init__(*given, **named)
        cast(forms.ChoiceField, self.fields["item_id"]).choices = [("", "all of the contract"), *items]

    def said(self, currency: str) -> dict[str, Any]:
        """What `actions.add_discount` needs."""
        known = self.cleaned_data
        share = None if known["share"] is None else int(known["share"] * 10_000)
        return {name: known[name] for name in ("name", "unit", "periods", "starts_on", "item_id")} | {"share_ppm": share, "amount_minor": minor(known["amount"], currency)}  # fmt: skip


class EndForm(forms.Form):
    """From when on something holds no longer."""

    on = forms.DateField(label="From", widget=DAY)


AMENDMENTS: dict[str, tuple[str, type[AmendForm]]] = {
    "add": ("Add an item", AddForm), "quantity": ("Change a quantity", QuantityForm), "price": ("Change a price", PriceForm), "remove": ("Remove an item", OfItem),
    "plan": ("Change the plan", PlanForm), "co_term": ("Move the end", CoTermForm), "resume": ("Resume", AmendForm), "renew": ("Renew", RenewForm), "pause": ("Pause", PauseForm), "transfer": ("Transfer", TransferForm), "terminate": ("Terminate", AmendForm),
}  # fmt: skip


def rows(text: str, currency: str, model: str) -> list[dict[str, Any]]:
    """Rows of a price as people write them, one a line: up to, price of a unit (or share in %), fee; by properties or limits the conditions and the price. Raises: Invalid, naming the line."""
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        parts = [part.rstrip(",") for part in line.split()]
        if not parts:
            continue
        try:
            found.append(_row(parts, currency, model))
        except Invalid as error:
            raise Invalid(f"Line {number} of the tiers: {error.message}", field="tiers", remedy=error.remedy) from error
        except (IndexError, ValueError, ArithmeticError) as error:
            raise Invalid(
                f"Line {number} of the tiers cannot be read.",
                field="tiers",
                remedy="Write up to, price and fee, such as 1000 0.10 5.00; by properties, such as region=eu 0.10; by limits of meters, such as CALLS<=1000 50.00.",
            ) from error
    return found


def _row(parts: list[str], currency: str, model: str) -> dict[str, Any]:
    """A row of a price from its words."""
    figures = parts[-1:] if model in BY_CONDITIONS else parts
    odd = next((part for part in figures if "," in part), "")
    ensure(not odd, Invalid(f"{odd} has a comma.", field="tiers", remedy="Write a point before decimals, and nothing between thousands."))  # fmt: skip
    if model in BY_CONDITIONS:
        return {"when": [p for p in parts[:-1] if p != "*"], "unit_price_nano": nano(Decimal(parts[-1]), currency)}
    price = Decimal(parts[1])
    is_share = model == "graduated_percentage"
    of = {"share_ppm": _whole(price, 10_000)} if is_share else {"unit_price_nano": nano(price, currency)}
    ensure(len(parts) <= 3, Invalid(f"{' '.join(parts[3:])} is too much.", field="tiers", remedy="Write up to, price and fee."))
    return {**_edge(parts[0]), **of, "flat_fee_minor": minor(Decimal(parts[2] if len(parts) > 2 else 0), currency)}


def _edge(word: str) -> dict[str, int | None]:
    """Where a tier ends, as the verbs take it."""
    if word == "*":
        return {"up_to": None}
    units = Decimal(word) * PPM
    if units != int(units):
        raise ValueError(word)
    return {"up_to": int(units) // PPM} if int(units) % PPM == 0 else {"up_to": None, "up_to_micro": int(units)}


@overload
def micro(value: Decimal) -> int: ...
@overload
def micro(value: None) -> None: ...
def micro(value: Decimal | None) -> int | None:
    """A quantity in millionths."""
    return None if value is None else _whole(value, PPM)


def minor(value: Decimal | None, currency: str) -> int | None:
    """An amount in minor units."""
    return None if value is None else _whole(value, 10 ** exponent(currency))


def nano(value: Decimal | None, currency: str) -> int | None:
    """A price in billionths of a minor unit."""
    return None if value is None else _whole(value, 10 ** exponent(currency) * NANO)


def _whole(value: Decimal, scale: int) -> int:
    """A figure in parts of that scale. Raises: Invalid, where parts of them would be lost."""
    found = value * scale
    ensure(found == int(found), Invalid(f"{value} has more decimals than are kept.", field="price", remedy="Round it."))
    return int(found)
