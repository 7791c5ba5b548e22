"""The page on which the steps of the way to a deal are edited."""

from __future__ import annotations

from typing import Any

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify

from topline.kernel.errors import DomainError, Invalid
from topline.pipeline import queries, stages
from topline.pipeline.models import Category, Stage
from topline.ui.access import Asked, page

SPARE, MOST = 2, 20


class StageForm(forms.Form):
    """One step; a row without a name is left out."""

    key = forms.CharField(max_length=40, required=False, widget=forms.HiddenInput)
    name = forms.CharField(max_length=60, required=False)
    kind = forms.ChoiceField(choices=[(k.value, k.label.lower()) for k in Stage.Kind])
    category = forms.ChoiceField(choices=[(c.value, c.label.lower()) for c in Category])
    is_qualified = forms.BooleanField(required=False)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        number = int(str(self.prefix).rpartition("-")[2]) + 1
        for key, label in (("name", "Name"), ("kind", "Kind"), ("category", "Usual category"), ("is_qualified", "Qualified")):
            self.fields[key].widget.attrs |= (
                {"aria-label": f"{label}, step {number}", "size": 24}
                if key == "name"
                else {"aria-label": f"{label}, step {number}"}
            )


StageSet = forms.formset_factory(StageForm, extra=0, max_num=MOST, absolute_max=MOST)


@page("pipeline.set_stages", methods=("GET", "POST"))
def set_stages(request: Asked) -> HttpResponse:
    """Set all steps in their order, won and lost last."""
    told = ""
    if request.method == "POST":
        rows = StageSet(request.POST)
        if rows.is_valid():
            said = [r for r in rows.cleaned_data if r.get("name", "").strip()]
            try:
                if not said:
                    raise Invalid(
                        "There are no steps.",
                        field="stages",
                        remedy="Name at least one open step, one that is won and one that is lost.",
                    )
                frame = pl.DataFrame([{**r, "key": r["key"] or slugify(r["name"]).replace("-", "_")[:40]} for r in said])
                stages.set_stages(actor=request.actor, stages=frame)
            except DomainError as error:
                told = f"{error.message} {error.remedy}".strip()
            else:
                messages.success(request, "The steps are set.")
                return redirect("pipeline:funnel")
    else:
        known = queries.stages().select("key", "name", "kind", "category", "is_qualified").to_dicts()
        is_open = [k for k in known if k["kind"] == "open"]
        ends = [k for k in known if k["kind"] != "open"]
        rows = StageSet(initial=[*is_open, *({"kind": "open", "category": "pipeline"} for _ in range(SPARE)), *ends])
    return render(
        request, "pipeline/set_stages.html", {"rows": rows, "told": told}, status=400 if request.method == "POST" else 200
    )
