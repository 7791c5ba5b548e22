"""The console of bill runs: preview, progress, what is parked and why, the signature; and the tax rates that runs need."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing import delivery, taxes
from topline.billing.models import Invoice, TaxRate
from topline.books.company import company, day_asked
from topline.contracts import bills, drawing, queries, run_queue, runs
from topline.contracts.models import BillRun, Charge, Contract, Parked
from topline.contracts.pages import CHARGES, _shown
from topline.kernel import clock
from topline.kernel.errors import DomainError, NotFound
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.format import percent, plural
from topline.ui.tables import Column

DAY = forms.DateInput(attrs={"type": "date"})
SHOWN = 200
SENT_AT_ONCE = 5_000  # documents of a transaction
RUNS = [Column("as_of", "Up to", "date", link="url"), Column("state", "State", "badge"), Column("documents", "Documents", "integer"), Column("charges", "Periods", "integer"), Column("parts", "Parts billed"), Column("started_at", "Begun", "moment"), Column("finished_at", "Done", "moment")]  # fmt: skip
PARKED = [Column("contract", "Contract", "code", link="url"), Column("customer", "Customer"), Column("owner", "Owner"), Column("message", "Why", "sentence"), Column("remedy", "What to do", "sentence"), Column("since", "Since", "date")]  # fmt: skip
DOCUMENTS = [Column("number", "Document", "code", link="url"), Column("customer", "Customer"), Column("kind", "Kind"), Column("net_minor", "Net", "money"), Column("before_minor", "Last bill", "money"), Column("change", "Change"), Column("currency", ""), Column("state", "State", "badge")]  # fmt: skip
RATES = [Column("country", "Country"), Column("tax_class", "Class"), Column("rate", "Rate"), Column("valid_from", "From", "date")]


class TaxRateForm(forms.Form):
    """A dated rate."""

    country = forms.CharField(max_length=2, min_length=2, help_text="two letters, such as DE")
    tax_class = forms.CharField(max_length=20, initial="standard", label="Class")
    rate = forms.DecimalField(min_value=Decimal(0), max_value=Decimal(100), max_digits=7, decimal_places=4, label="Rate, %")
    valid_from = forms.DateField(label="From", widget=DAY)


@page("contracts.view")
def run_list(request: Asked) -> HttpResponse:
    """Bill runs, what waits for a signature, and what is parked."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    found = list(BillRun.objects.filter(entity=entity).order_by("-id")[:50])
    rows, all_seen = [], queries.progress([r.pk for r in found])
    for r in found:
        seen = all_seen[r.pk]
        rows.append({"as_of": r.as_of, "url": reverse("contracts:run", args=[r.pk]), "state": "signed" if r.state == "drafted" and r.signed_by else r.state, "documents": seen["documents"], "charges": seen["charges"], "parts": f"{seen['done']} of {seen['parts']}", "started_at": r.started_at, "finished_at": r.finished_at})  # fmt: skip
    context = {
        "rows": rows,
        "columns": RUNS,
        "today": today,
        "waiting": runs.unbilled(entity.pk),
    }
    return render(request, "contracts/runs.html", context | _parked(entity.pk))


@page("contracts.view")
def preview(request: Asked) -> HttpResponse:
    """What a run up to a day would write; nothing is written."""
    entity = company(request)
    as_of = day_asked(request, entity)
    bill = bills.preview(entity=entity, as_of=as_of)
    sums = bill.lines.group_by("currency").agg(queries.NET).sort("currency").to_dicts()
    lines = _shown(bill.lines)
    numbers = {
        c.pk: c
        for c in Contract.objects.filter(pk__in=bill.parked["contract_id"].to_list()[:SHOWN]).select_related("customer__owner")
    }
    parked = [{**p, "contract": numbers[p["contract_id"]].number, "customer": (of := numbers[p["contract_id"]].customer).name, "owner": of.owner.name if of.owner else "", "url": reverse("contracts:contract", args=[p["contract_id"]])} for p in bill.parked.head(SHOWN).to_dicts()]  # fmt: skip
    paid_ahead = drawing.foreseen(bill.lines, entity=entity, on=as_of).to_dicts()
    context = {"as_of": as_of, "sums": sums, "from_credits": paid_ahead, "documents": bill.heads.height, "lines": lines, "total": bill.lines.height, "columns": [Column("contract", "Contract", "code"), *CHARGES[:-1]], "parked": parked, "parked_total": bill.parked.height, "parked_columns": PARKED[:-1]}  # fmt: skip
    return render(request, "contracts/preview.html", context)


@page("contracts.start_run", methods=("POST",))
def start(request: Asked) -> HttpResponse:
    """Begin a run and bill its first part as drafts; the page and the worker go on with the others."""
    entity = company(request)
    run_id = runs.start_run(actor=request.actor, entity_id=entity.pk, as_of=day_asked(request, entity))
    return _bill(request, run_id)


@page("contracts.bill_part", methods=("POST",))
def go_on(request: Asked, run_id: int) -> HttpResponse:
    """Bill the next part of a run."""
    return _bill(request, run_id)


@page("contracts.view")
def run(request: Asked, run_id: int) -> HttpResponse:
    """One run: how far it is, its documents beside the last ones, what is parked."""
    found = _run(run_id)
    is_queued = run_queue.is_queued(found)
    context = {
        "run": found,
        "progress": queries.progress([found.pk])[found.pk],
        "is_queued": is_queued,
        "problem": run_queue.problem(found),
        "written": None if is_queued else _documents(found.pk),
        "columns": DOCUMENTS,
    }
    return render(request, "contracts/run.html", context | _parked(found.entity_id))


@page("contracts.sign_run", methods=("POST",))
def sign(request: Asked, run_id: int) -> HttpResponse:
    """Issue the next drafts of a run; its page goes on with the others while it is open, and so does the worker."""
    found = _run(run_id)
    today = clock.today(found.entity.time_zone)
    if runs.sign_run(actor=request.actor, run_id=run_id, issue_on=today):
        if not run_queue.is_queued(found):
            run_queue.ask_to_sign(run_id, issue_on=today)
    else:
        messages.success(request, "Signed: every document has its number and is posted.")
    return redirect("contracts:run", run_id)


@page("contracts.void_run", methods=("POST",))
def void(request: Asked, run_id: int) -> HttpResponse:
    """Take a run back that nobody signed."""
    while runs.void_run(actor=request.actor, run_id=run_id, because=request.POST.get("because", "")):
        pass
    messages.success(request, "The run is taken back: its drafts are void, and the next run bills their periods.")
    return redirect("contracts:runs")


@page("billing.send_invoices", methods=("POST",))
def send(request: Asked, run_id: int) -> HttpResponse:
    """Send the documents of a final run that were never sent."""
    found = _run(run_id)
    ids = list(_unsent(found.pk).order_by("id").values_list("id", flat=True))
    sent, unsent = 0, 0
    for first in range(0, len(ids), SENT_AT_ONCE):
        made = delivery.send_invoices(actor=request.actor, invoice_ids=ids[first : first + SENT_AT_ONCE])
        odd = int(made["problem"].is_not_null().sum())
        sent, unsent = sent + made.height - odd, unsent + odd
    told = f"{plural(sent, 'document')} {'is' if sent == 1 else 'are'} on {'its' if sent == 1 else 'their'} way."
    messages.success(request, told + (f" {plural(unsent, 'document')} cannot go out, since the customers have no e-mail address: add contacts." if unsent else ""))  # fmt: skip
    return redirect("contracts:run", run_id)


@page("contracts.release_parked", methods=("POST",))
def release(request: Asked, parked_id: int) -> HttpResponse:
    """A parked contract may be billed beyond its bounds."""
    runs.release_parked(actor=request.actor, parked_id=parked_id, because=request.POST.get("because", ""))
    messages.success(request, "Released: the next run bills it.")
    return redirect("contracts:runs")


@page("billing.add_tax_rate", methods=("GET", "POST"))
def tax_rates(request: Asked) -> HttpResponse:
    """Dated tax rates, and a form for another."""
    form = TaxRateForm(request.POST or None)
    if form.is_valid():
        said = form.cleaned_data
        try:
            taxes.add_tax_rate(
                actor=request.actor,
                country=said["country"],
                tax_class=said["tax_class"],
                rate_ppm=int(said["rate"] * 10_000),
                valid_from=said["valid_from"],
            )
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "The rate is known from that day on.")
            return redirect("contracts:tax_rates")
    rows = [
        {"country": r.country, "tax_class": r.tax_class, "rate": percent(r.rate_ppm / 10**6), "valid_from": r.valid_from}
        for r in TaxRate.objects.order_by("country", "tax_class", "-valid_from")[:SHOWN]
    ]
    return render(
        request, "contracts/tax_rates.html", {"form": form, "rows": rows, "columns": RATES}, status=400 if form.errors else 200
    )


# --- parts ---
def _bill(request: Asked, run_id: int) -> HttpResponse:
    if runs.bill_part(actor=request.actor, run_id=run_id) and not run_queue.is_queued(_run(run_id)):
        run_queue.ask_to_bill(run_id)
    return redirect("contracts:run", run_id)


def _documents(run_id: int) -> dict[str, Any]:
    """The documents of a run, what they come to, and how many differ from the last bill of their payer."""
    found = queries.run_documents(run_id)
    sign = pl.when(pl.col("kind") == Invoice.Kind.CREDIT_NOTE).then(-1).otherwise(1)
    is_bill, before, now = pl.col("kind") == Invoice.Kind.INVOICE, pl.col("before_minor"), pl.col("net_minor")
    counts = found.select(same=(now == before).sum(), more=(now > before).sum(), less=(now < before).sum(), new=(is_bill & before.is_null()).sum(), back=(~is_bill).sum())  # fmt: skip
    rows = [
        {**d, "number": d["number"] or f"draft {d['invoice_id']}", "url": reverse("billing:invoice", args=[d["invoice_id"]]), "kind": d["kind"].replace("_", " "),
         "change": percent(d["net_minor"] / d["before_minor"] - 1) if d["before_minor"] else "first bill" if d["kind"] == Invoice.Kind.INVOICE else None}
        for d in found.head(SHOWN).to_dicts()
    ]  # fmt: skip
    sums = found.group_by("currency").agg((pl.col("net_minor", "total_minor") * sign).sum()).sort("currency").to_dicts()
    return {"rows": rows, "total": found.height, "sums": sums, "counts": counts.row(0, named=True), "unsent": _unsent(run_id).count()}  # fmt: skip


def _unsent(run_id: int) -> QuerySet[Invoice]:
    """The issued documents of a run that were never sent."""
    ours = Charge.objects.filter(run_id=run_id).values("invoice_id")
    return Invoice.objects.filter(pk__in=ours, deliveries__isnull=True).exclude(state__in=["draft", "void"])


def _parked(entity_id: int) -> dict[str, Any]:
    """What is parked, the oldest first, and how much there is of it."""
    found = Parked.objects.filter(contract__entity_id=entity_id, cleared_at__isnull=True).select_related("contract__customer__owner").order_by("id")  # fmt: skip
    rows = [
        {"id": p.pk, "contract": p.contract.number, "url": reverse("contracts:contract", args=[p.contract_id]), "customer": p.contract.customer.name, "owner": p.contract.customer.owner.name if p.contract.customer.owner else "", "message": p.message, "remedy": "released: the next run bills it" if p.is_released else p.remedy,
         "since": p.since, "may_release": p.code in ("beyond_bounds", "billed_too_often") and not p.is_released}
        for p in found[:SHOWN]
    ]  # fmt: skip
    return {"parked": rows, "parked_total": found.count() if len(rows) == SHOWN else len(rows)}


def _run(run_id: int) -> BillRun:
    found = BillRun.objects.select_related("entity").filter(pk=run_id).first()
    if found is None:
        raise NotFound(f"There is no bill run {run_id}.", field="run_id", remedy="See the list of runs.")
    return found
