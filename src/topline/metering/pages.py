"""The page of usage: meters with what came in, and events that could not be placed."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.kernel.errors import DomainError
from topline.metering import actions, lake, queries
from topline.metering.models import METHODS, StrayEvent
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.tables import Column

METERS = [
    Column("code", "Meter", "code"),
    Column("name", "Name"),
    Column("method", "Counts"),
    Column("unit", "Unit"),
    Column("only", "Only where"),
    Column("group_by", "Apart by"),
    Column("rounded", "Rounded"),
    Column("count", "Events", "integer"),
    Column("newest", "Newest", "moment"),
]
BACKFILLS = [
    Column("meter__code", "Meter", "code"),
    Column("customer__name", "Customer"),
    Column("start_at", "From", "moment"),
    Column("end_at", "Until", "moment"),
    Column("replaced", "Replaced", "integer"),
    Column("recorded", "Sent", "integer"),
    Column("because", "Why", "sentence"),
    Column("actor_name", "Who"),
    Column("recorded_at", "When", "moment"),
]
STRAYS = [
    Column("key", "Key"),
    Column("message", "Why", "sentence"),
    Column("meter", "Meter"),
    Column("customer", "Customer"),
    Column("at", "When"),
    Column("received_at", "Came", "moment"),
]


ROUNDED = {"round": "to the nearest", "ceil": "up", "floor": "down"}


class MeterForm(forms.Form):
    """What is counted."""

    code = forms.CharField(max_length=40)
    name = forms.CharField(max_length=100)
    method = forms.ChoiceField(
        choices=[(m, m.replace("_", " ")) for m in METHODS],
        help_text="time weighted, day weighted, peak: events are changes of a level",
    )
    unit = forms.CharField(max_length=40, required=False, help_text="such as call, GB, seat")
    filters = forms.CharField(
        max_length=5_000,
        required=False,
        label="Only where",
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="properties of events with the values that count, one a line: region=eu, us; empty: all events",
    )
    group_by = forms.CharField(
        max_length=40,
        required=False,
        label="Apart by",
        help_text="a property, such as server: each of its values is measured by itself, and the quantity is their sum",
    )
    rounding = forms.ChoiceField(
        choices=[("", "not at all"), *ROUNDED.items()],
        required=False,
        label="Rounded",
        help_text="the quantity of a period, before it is priced",
    )
    round_decimals = forms.IntegerField(
        min_value=-9, max_value=6, initial=0, required=False, label="To decimals", help_text="-2: to hundreds"
    )

    def clean_filters(self) -> dict[str, list[str]]:
        """Property to values."""
        found: dict[str, list[str]] = {}
        for line in self.cleaned_data["filters"].splitlines():
            if line.strip():
                name, sign, values = line.partition("=")
                if not sign or name.strip() in found:
                    raise forms.ValidationError(
                        f"{line.strip()} cannot be read. Write each property once, such as region=eu, us."
                    )
                found[name.strip()] = values.split(",")
        return found

    def clean_round_decimals(self) -> int:
        """Where nothing is said: to whole units."""
        return self.cleaned_data["round_decimals"] or 0


@page("metering.view")
def usage(request: Asked) -> HttpResponse:
    """Meters with their events, and what could not be placed."""
    rows = [
        {
            **m,
            "method": m["method"].replace("_", " "),
            "only": "; ".join(f"{name} is {' or '.join(values)}" for name, values in sorted(m["filters"].items())),
            "rounded": f"{ROUNDED[m['rounding']]}, to {m['round_decimals']} decimals" if m["rounding"] else "",
        }
        for m in queries.meters()
    ]
    strays = [
        {
            "key": s.key,
            "message": s.message,
            "meter": s.said.get("meter"),
            "customer": s.said.get("customer"),
            "at": s.said.get("at"),
            "received_at": s.received_at,
        }
        for s in StrayEvent.objects.order_by("-id")[:100]
    ]
    return render(
        request,
        "metering/usage.html",
        {
            "rows": rows,
            "columns": METERS,
            "backfills": queries.backfills(),
            "backfill_columns": BACKFILLS,
            "lake_count": sum(count for count, _ in lake.by_meter().values()),
            "strays": strays,
            "stray_columns": STRAYS,
            "stray_count": StrayEvent.objects.count(),
        },
    )


@page("metering.place_strays", methods=("POST",))
def place_strays(request: Asked) -> HttpResponse:
    """Try again to place what was kept aside."""
    placed = actions.place_strays(actor=request.actor)
    if placed:
        messages.success(request, f"{placed} {'event has its' if placed == 1 else 'events have their'} place now.")
    else:
        messages.error(request, "Nothing could be placed: what is missing is still missing.")
    return redirect("metering:usage")


@page("metering.add_meter", methods=("GET", "POST"))
def new_meter(request: Asked) -> HttpResponse:
    """Add a meter."""
    form = MeterForm(request.POST or None)
    if form.is_valid():
        try:
            actions.add_meter(actor=request.actor, **form.cleaned_data)
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "The meter is there; events name it by its code, items of contracts are billed by it.")
            return redirect("metering:usage")
    context = {"form": form, "title": "New meter", "back": ("Usage", reverse("metering:usage"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)
