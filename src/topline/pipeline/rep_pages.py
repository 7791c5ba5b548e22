"""Pages of the people who sell: somebody joins, is led by another, or leaves."""

from __future__ import annotations

from typing import Any

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.kernel import clock
from topline.kernel.errors import DomainError, NotFound
from topline.pipeline import people, queries
from topline.pipeline.models import Rep
from topline.team.models import Member
from topline.ui.access import Asked, page
from topline.ui.blame import blame

DAY = forms.DateInput(attrs={"type": "date"})
SHOWN = 500  # names to choose from
BACK = ("Sales people", "pipeline:people")


class RepForm(forms.Form):
    """Somebody who sells."""

    name = forms.CharField(max_length=200)
    manager_id = forms.TypedChoiceField(coerce=int, empty_value=None, required=False, label="Led by")
    led_from = forms.DateField(
        required=False,
        label="Led by them from",
        widget=DAY,
        help_text="empty: it was always so; figures of earlier days stay with the team of those days",
    )
    region = forms.CharField(max_length=100, required=False)
    member_id = forms.TypedChoiceField(
        coerce=int, empty_value=None, required=False, label="Signs in as", help_text="whose calls and deals are their own"
    )
    joined_on = forms.DateField(required=False, label="Joined on", widget=DAY)
    left_on = forms.DateField(required=False, label="Left on", widget=DAY, help_text="deals stay; share the target out again")

    def __init__(self, data: Any = None, *, rep: Rep | None = None) -> None:
        super().__init__(
            data,
            initial={name: getattr(rep, name) for name in self.base_fields if name != "led_from"} | {"led_from": clock.today()}
            if rep
            else {},
        )
        if rep is None:
            del self.fields["led_from"]
        here = queries.reps().filter(pl.col("left_on").is_null() & (pl.col("rep_id") != (rep.pk if rep else 0)))
        leads = list(here.select("rep_id", "name").head(SHOWN).iter_rows())
        if rep and rep.manager and rep.manager_id not in {pk for pk, _ in leads}:
            leads.append((rep.manager.pk, rep.manager.name))
        for field, offered in (
            ("manager_id", leads),
            ("member_id", Member.objects.order_by("name").values_list("id", "name")[:SHOWN]),
        ):
            choice = self.fields[field]
            assert isinstance(choice, forms.TypedChoiceField)  # noqa: S101  (for the type checker)
            choice.choices = [("", "nobody"), *offered]


@page("pipeline.add_reps", methods=("GET", "POST"))
def new_rep(request: Asked) -> HttpResponse:
    """Somebody joins."""
    form = RepForm(request.POST or None)
    if form.is_valid():
        said = form.cleaned_data
        leads = dict(Rep.objects.values_list("id", "code"))
        row = {**said, "manager": leads[said["manager_id"]] if said["manager_id"] else ""}
        del row["manager_id"]
        frame = pl.DataFrame([row], schema_overrides={"member_id": pl.Int64, "joined_on": pl.Date, "left_on": pl.Date})
        try:
            people.add_reps(actor=request.actor, reps=frame)
        except DomainError as error:
            blame(form, error, {"manager": "manager_id"})
        else:
            is_here = said["left_on"] is None or said["left_on"] > clock.today()
            messages.success(
                request, f"{said['name']} sells now." if is_here else f"{said['name']} is known as somebody who sold."
            )
            return redirect(BACK[1])
    return _shown(request, form, "New sales person")


@page("pipeline.change_rep", methods=("GET", "POST"))
def change_rep(request: Asked, rep_id: int) -> HttpResponse:
    """Somebody is led by another, moves or leaves."""
    rep = Rep.objects.select_related("manager").filter(pk=rep_id).first()
    if rep is None:
        raise NotFound(f"There is no sales person {rep_id}.", field="rep_id")
    form = RepForm(request.POST or None, rep=rep)
    if form.is_valid():
        led_from = form.cleaned_data.pop("led_from") or people.ALWAYS
        changes = {name: value for name, value in form.cleaned_data.items() if value != getattr(rep, name)}
        try:
            if changes:
                people.change_rep(
                    actor=request.actor, rep_id=rep.pk, changes=changes, led_from=led_from if "manager_id" in changes else None
                )
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, f"{form.cleaned_data['name']} is up to date.")
            return redirect(BACK[1])
    return _shown(request, form, f"Change {rep.name}")


def _shown(request: Asked, form: RepForm, title: str) -> HttpResponse:
    context = {"form": form, "title": title, "back": (BACK[0], reverse(BACK[1]))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)
