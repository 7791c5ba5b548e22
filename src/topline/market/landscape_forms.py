"""Forms of the market's landscape: competitors, their prices, assessments and cards, segments, experience."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from topline.kernel.money import currencies
from topline.market import competitors
from topline.team.models import Member

DAY: dict[str, Any] = {"widget": forms.DateInput(attrs={"type": "date"})}
LONG: dict[str, Any] = {"widget": forms.Textarea(attrs={"rows": 4})}
NOBODY = [("", "nobody")]


def _currencies() -> list[tuple[str, str]]:
    return [(c, c) for c in currencies()]


class CompetitorForm(forms.Form):
    """Facts of a competitor."""

    name = forms.CharField(max_length=100)
    website = forms.CharField(max_length=200, required=False)
    owner_id = forms.TypedChoiceField(label="Kept fresh by", required=False, coerce=int, empty_value=None)
    segments = forms.CharField(required=False, max_length=400, help_text="where we meet them, parted by commas")
    notes = forms.CharField(required=False, max_length=5_000, **LONG)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = Member.objects.filter(is_active=True, customer_id__isnull=True).order_by("name").values_list("id", "name")[:500]
        self.fields["owner_id"].choices = [*NOBODY, *people]  # type: ignore[attr-defined]

    def clean_segments(self) -> list[str]:
        """The segments as a list."""
        return [s.strip() for s in self.cleaned_data["segments"].split(",") if s.strip()]


class ChangeCompetitorForm(CompetitorForm):
    """What can be changed of a competitor that is there."""

    is_active = forms.BooleanField(label="Still about", required=False)


class PriceForm(forms.Form):
    """A price as it was seen."""

    product = forms.CharField(max_length=100, help_text="what they call it")
    compares_with = forms.CharField(max_length=60, required=False, help_text="code of our product, where one compares")
    price = forms.DecimalField(min_value=Decimal("0"), max_value=Decimal(10) ** 6, decimal_places=6)
    currency = forms.ChoiceField(choices=_currencies)
    unit = forms.CharField(max_length=40, help_text="user and month, 1,000 events, ...")
    valid_from = forms.DateField(**DAY)
    seen_on = forms.DateField(**DAY)
    source = forms.CharField(max_length=300, help_text="an address, an offer, a person")


class AssessmentForm(forms.Form):
    """A strength or weakness."""

    theme = forms.ChoiceField(choices=list(competitors.THEMES.items()))
    kind = forms.ChoiceField(choices=[("strength", "strength"), ("weakness", "weakness")])
    statement = forms.CharField(max_length=300)
    evidence = forms.CharField(required=False, max_length=5_000, **LONG)
    source = forms.CharField(max_length=300, help_text="an address, a deal, a person")
    since = forms.DateField(label="Holds since", **DAY)
    weight = forms.TypedChoiceField(coerce=int, choices=list(competitors.WEIGHTS.items()), initial=2)


class BattlecardForm(forms.Form):
    """How to win."""

    how_to_win = forms.CharField(max_length=5_000, **LONG)
    landmines = forms.CharField(required=False, max_length=5_000, help_text="questions to lay before them, one a line", **LONG)
    objections = forms.CharField(
        required=False, max_length=10_000, help_text="one a line: what they say | what we answer", **LONG
    )
    proof = forms.CharField(required=False, max_length=5_000, help_text="customers, figures, documents", **LONG)
    review_every_days = forms.IntegerField(
        min_value=1, max_value=730, initial=90, help_text="after so many days the card is stale"
    )

    def clean_objections(self) -> list[dict[str, str]]:
        """Each line as objection and answer."""
        told = []
        for line in self.cleaned_data["objections"].splitlines():
            if line.strip():
                objection, _, answer = line.partition("|")
                if not objection.strip() or not answer.strip():
                    raise forms.ValidationError(f"“{line.strip()[:60]}” needs both, parted by |.")
                told.append({"objection": objection.strip(), "answer": answer.strip()})
        return told


class SegmentForm(forms.Form):
    """What a segment is, and how large."""

    name = forms.CharField(max_length=40, help_text="the text that stands on customers")
    description = forms.CharField(required=False, max_length=5_000, **LONG)
    accounts = forms.IntegerField(required=False, min_value=1, max_value=10**9, help_text="companies in it")
    spend = forms.DecimalField(
        label="Yearly spend", required=False, min_value=Decimal("0.01"), max_value=Decimal(10) ** 11, decimal_places=2
    )
    currency = forms.ChoiceField(choices=_currencies)
    on = forms.DateField(label="Size as of", required=False, **DAY)
    source = forms.CharField(required=False, max_length=300, help_text="who says so: a study, an address")


class ExperienceForm(forms.Form):
    """One thing that a customer told."""

    customer = forms.CharField(required=False, max_length=200, help_text="number or name; needed when it is about us")
    competitor_id = forms.TypedChoiceField(label="About", required=False, coerce=int, empty_value=None)
    kind = forms.ChoiceField(choices=[("nps", "NPS, 0 to 10"), ("csat", "CSAT, 1 to 5"), ("ticket", "ticket")])
    score = forms.IntegerField(required=False, min_value=0, max_value=10)
    on = forms.DateField(label="Day", **DAY)
    topic = forms.CharField(required=False, max_length=60)
    text = forms.CharField(required=False, max_length=5_000, **LONG)
    response_hours = forms.DecimalField(
        label="Hours to the first response", required=False, min_value=Decimal("0"), max_value=Decimal(100_000), decimal_places=2
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["competitor_id"].choices = [("", "us"), *competitors.names().items()]  # type: ignore[attr-defined]
