"""Payments, what they settle, ageing, and statements of account."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

import polars as pl
from django.contrib import messages
from django.db.models import F, Q, Sum
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing import queries as billing
from topline.billing.models import Invoice
from topline.books.company import company, day_asked
from topline.engine import aging as engine
from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.kernel.money import format_amount, parse_amount, to_major
from topline.market import queries as market
from topline.receivables import actions, figures, matching, offers, payers, queries
from topline.receivables.forms import PaymentForm
from topline.receivables.models import Payment
from topline.timeline import queries as timeline
from topline.ui.access import Asked, page
from topline.ui.charts import bar_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

PAYMENTS = [
    Column("number", "Number", sort="number", link="url"), Column("received_on", "Received", "date", sort="received_on"), Column("customer__name", "Customer", sort="customer__name", link="customer_url"),
    Column("payer_name", "Payer"), Column("reference", "Reference"), Column("state", "", "badge"), Column("amount_minor", "Amount", "money", sort="amount_minor"),
    Column("left_minor", "Unapplied", "money", sort="left_minor"), Column("currency", ""),
]  # fmt: skip
SETTLED = [
    Column("effective_on", "On", "date"),
    Column("kind", "By"),
    Column("number", "Document", link="url"),
    Column("amount_minor", "Amount", "money"),
    Column("currency", ""),
]


@page("receivables.view")
def payments(request: Asked) -> HttpResponse:
    """Money that came in; `left` shows what waits to be applied."""
    entity = company(request)
    state = listing(
        request.path, request.GET.dict(), columns=PAYMENTS, default_sort="-received_on", filters=["q", "left", "customer"]
    )
    rows = Payment.objects.filter(entity_id=entity.pk).annotate(left_minor=F("amount_minor") - F("allocated_minor"))
    if wanted := state.filters.get("q"):
        rows = rows.filter(
            Q(number__istartswith=wanted)
            | Q(payer_name__icontains=wanted)
            | Q(reference__icontains=wanted)
            | Q(customer__name__icontains=wanted)
        )
    if state.filters.get("left"):
        rows = rows.filter(left_minor__gt=0, state=Payment.State.RECEIVED)
    if state.filters.get("customer", "").isdigit():
        rows = rows.filter(customer_id__in=market.record_ids(int(state.filters["customer"])))
    total = rows.count()
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    values = rows.order_by(*state.order).values(
        "id",
        "number",
        "received_on",
        "customer_id",
        "customer__name",
        "payer_name",
        "reference",
        "state",
        "amount_minor",
        "left_minor",
        "currency",
    )[start:end]
    shown = [
        {**r, "url": reverse("receivables:payment", args=[r["id"]]), "customer_url": reverse("web:customer", args=[r["customer_id"]]) if r["customer_id"] else "",
         "left_minor": r["left_minor"] if r["state"] == "received" else 0}
        for r in values
    ]  # fmt: skip
    if state.export:
        return export(shown, PAYMENTS, name="payments", form=state.export)
    sums = (
        rows.filter(state="received")
        .values("currency")
        .annotate(total=Sum("amount_minor"), left=Sum("left_minor"))
        .order_by("currency")[:20]
    )
    return render(request, "receivables/payments.html", {"list": state, "rows": shown, "total": total, "sums": list(sums)})


@page("receivables.record_payments", methods=("GET", "POST"))
def new_payment(request: Asked) -> HttpResponse:
    """Book a payment by hand."""
    entity = company(request)
    form = PaymentForm(
        request.POST or None,
        initial={
            "received_on": clock.today(entity.time_zone),
            "currency": entity.currency,
            "customer": request.GET.get("customer"),
        },
    )
    if form.is_valid():
        data = form.cleaned_data
        frame = pl.DataFrame(
            {"customer_id": [data["customer"]], "currency": [data["currency"]], "amount_minor": [data["amount_minor"]], "received_on": [data["received_on"]],
             "reference": [data["reference"]], "payer_name": [data["payer_name"]]}, schema_overrides={"customer_id": pl.Int64},
        )  # fmt: skip
        made = actions.record_payments(actor=request.actor, entity_id=entity.pk, payments=frame)
        messages.success(request, f"Payment {made['number'][0]} was booked. Apply it to what it settles.")
        return redirect("receivables:payment", made["payment_id"][0])
    context = {"form": form, "title": "New payment", "back": ("Payments", reverse("receivables:payments"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("receivables.view")
def payment(request: Asked, payment_id: int) -> HttpResponse:
    """One payment: what is left of it, what it settled, and the open documents that it could settle."""
    found = Payment.objects.select_related("customer", "bank_account", "entity").filter(pk=payment_id).first()
    if found is None:
        raise NotFound(f"There is no payment {payment_id}.", field="payment_id")
    as_of = clock.today(found.entity.time_zone)
    ids = market.record_ids(found.customer_id) if found.customer_id else None
    candidates = queries.open_items(entity_id=found.entity_id, as_of=as_of, customer_ids=ids).filter(
        (pl.col("open_minor") > 0) & (pl.col("currency") == found.currency)
    )
    settled = queries.standing_allocations(payment_ids=[payment_id])
    spine = timeline.milestones(subject=("payment", payment_id)).to_dicts()
    returned = next((m for m in spine if m["kind"] == "payment_returned"), None)
    return render(
        request,
        "receivables/payment.html",
        {
            "undone": _settled(queries.undone_allocations(payment_id)), "returned_on": returned["occurred_on"] if returned else None,
            "payment": found, "left": found.amount_minor - found.allocated_minor if found.state == "received" else 0, "today": as_of,
            "candidates": candidates.unique("invoice_id", keep="first", maintain_order=True).head(100).to_dicts(), "settled": _settled(settled), "text": matching.texts([found])[payment_id], "matched": matching.shown(matching.decided(found.entity_id).filter(payment_id=payment_id)[:5], as_of=as_of), "offers": offers.takers(found.entity_id, payment_id=payment_id) if found.customer_id else [],
            "spine": [{**m, "url": ""} for m in spine],
        },
    )  # fmt: skip


@page("receivables.apply_cash", methods=("POST",))
def apply(request: Asked, payment_id: int) -> HttpResponse:
    """Apply a payment: an amount per ticked document, or oldest first when asked."""
    found = Payment.objects.select_related("entity").filter(pk=payment_id).first()
    if found is None:
        raise NotFound(f"There is no payment {payment_id}.", field="payment_id")
    today = clock.today(found.entity.time_zone)
    if request.POST.get("oldest"):
        links = oldest_first(found, today)
    else:
        links = _amounts(request, found.currency).select(
            pl.lit(payment_id, dtype=pl.Int64).alias("payment_id"), "invoice_id", "amount_minor"
        )
    if links.is_empty():
        raise Invalid(
            "Nothing is open to apply it to.", field="amount", remedy="Wait for the next invoice, or refund the payment."
        )
    actions.apply_cash(actor=request.actor, links=links, on=today, teaches=payers.BY_HAND)
    messages.success(request, f"{format_amount(int(links['amount_minor'].sum()), found.currency)} {found.currency} was applied.")
    return redirect("receivables:payment", payment_id)


@page("receivables.apply_credit_note", methods=("GET", "POST"))
def apply_credit_note(request: Asked, invoice_id: int) -> HttpResponse:
    """Use a credit note against the customer's open documents of its currency."""
    note = billing.invoice_detail(invoice_id).invoice
    if note.kind != Invoice.Kind.CREDIT_NOTE:
        raise Invalid(
            f"{note.number} is no credit note.", field="invoice_id", remedy="Open a credit note and apply it from there."
        )
    today = clock.today(note.entity.time_zone)
    if request.method == "POST":
        links = _amounts(request, note.currency)
        actions.apply_credit_note(actor=request.actor, credit_note_id=note.pk, links=links, on=today)
        messages.success(
            request, f"{format_amount(int(links['amount_minor'].sum()), note.currency)} {note.currency} was applied."
        )
        return redirect("billing:invoice", note.pk)
    items = queries.open_items(entity_id=note.entity_id, as_of=today, customer_ids=market.record_ids(note.customer_id))
    candidates = items.filter((pl.col("open_minor") > 0) & (pl.col("currency") == note.currency)).unique(
        "invoice_id", keep="first", maintain_order=True
    )
    left = note.total_minor - note.allocated_minor
    return render(
        request, "receivables/credit_note.html", {"note": note, "left": left, "candidates": candidates.head(100).to_dicts()}
    )


@page("receivables.take_offer", methods=("POST",))
def take_offer(request: Asked, offer_id: int) -> HttpResponse:
    """Settle an invoice by a payment that came by the last day of its offer."""
    asked = request.POST.get("payment", "")
    if not asked.isdigit():
        raise Invalid("Choose the payment that takes the offer.", field="payment", remedy="Record it first if it is missing.")
    today = clock.today(company(request).time_zone)
    offers.take_offer(actor=request.actor, offer_id=offer_id, payment_id=int(asked), on=today)
    messages.success(request, "The invoice is settled; what was offered is booked as discount allowed.")
    return redirect("receivables:payment", int(asked))


@page("receivables.unapply", methods=("POST",))
def unapply(request: Asked, allocation_id: int) -> HttpResponse:
    """Undo one allocation."""
    row = queries.allocations([allocation_id]).row(0, named=True)
    actions.unapply(
        actor=request.actor,
        allocation_ids=[allocation_id],
        on=clock.today(company(request).time_zone),
        reason=request.POST.get("reason", "")[:300],
    )
    messages.success(request, "Undone; the document is open again.")
    return (
        redirect("receivables:payment", row["payment_id"])
        if row["payment_id"]
        else redirect("receivables:settlement", row["invoice_id"])
    )


@page("receivables.return_payment", methods=("POST",))
def return_payment(request: Asked, payment_id: int) -> HttpResponse:
    """The bank took a payment back."""
    actions.return_payments(
        actor=request.actor,
        payment_ids=[payment_id],
        on=clock.today(company(request).time_zone),
        reason=request.POST.get("reason", "")[:300],
    )
    messages.success(request, "The payment is marked as returned; what it settled is open again.")
    return redirect("receivables:payment", payment_id)


@page("receivables.refund", methods=("POST",))
def refund(request: Asked, payment_id: int) -> HttpResponse:
    """Give unapplied money back."""
    found = Payment.objects.filter(pk=payment_id).first()
    if found is None:
        raise NotFound(f"There is no payment {payment_id}.", field="payment_id")
    amount = parse_amount(request.POST.get("amount", ""), found.currency, field="amount")
    actions.refund(
        actor=request.actor,
        payment_id=payment_id,
        amount_minor=amount,
        on=clock.today(company(request).time_zone),
        reason=request.POST.get("reason", "")[:300],
    )
    messages.success(request, "The refund is booked.")
    return redirect("receivables:payment", payment_id)


@page("billing.view")
def settlement(request: Asked, invoice_id: int) -> HttpResponse:
    """What settled a document, row by row; the sum is its settled amount."""
    detail = billing.invoice_detail(invoice_id)
    settled = _settled(queries.standing_allocations(invoice_ids=[invoice_id]), document=invoice_id)
    return render(
        request,
        "receivables/settlement.html",
        {"invoice": detail.invoice, "rows": settled, "columns": SETTLED, "total": sum(r["amount_minor"] for r in settled)},
    )


@page("receivables.write_off", methods=("POST",))
def write_off(request: Asked, invoice_id: int) -> HttpResponse:
    """Give up what is open on a document."""
    actions.write_off(
        actor=request.actor,
        invoice_ids=[invoice_id],
        on=clock.today(company(request).time_zone),
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, "Written off as bad debt.")
    return redirect("billing:invoice", invoice_id)


@page("receivables.view")
def aging(request: Asked) -> HttpResponse:
    """Open receivables by age, as of any day, by due or issue day; one row per customer, and the figures that follow from it."""
    entity = company(request)
    as_of = day_asked(request, entity)
    by = request.GET.get("by", "due")
    if by not in ("due", "issued"):
        raise Invalid(f"{by!r} is neither due nor issued.", field="by")
    edges = engine.edges_of(request.GET.get("buckets", ""))
    aged = figures.aged(entity_id=entity.pk, as_of=as_of, by="due" if by == "due" else "issued", edges=edges)
    names = market.names(aged.customers["customer_id"].drop_nulls().to_list()[:30_000])
    labels = engine.labels(edges)
    rows = [
        {
            **r,
            "customer": names.get(r["customer_id"], "payer unknown"),
            "url": reverse("web:customer", args=[r["customer_id"]]) if r["customer_id"] else "",
        }
        for r in aged.customers.to_dicts()
    ]
    columns = [Column("customer", "Customer", link="url"), *[Column(n, n.capitalize(), "money", link=f"{n}_url") for n in labels], Column("credits_minor", "Credits", "money"),
               Column("unapplied_minor", "Unapplied", "money"), Column("total_minor", "Total", "money"), Column("currency", "")]  # fmt: skip
    if (form := request.GET.get("export", "")) in ("csv", "xlsx"):
        return export(rows, columns, name=f"ageing-{as_of}", form=form)
    currencies = sorted({r["currency"] for r in rows})
    totals = [
        {
            "currency": c,
            "customer": f"All, {c}",
            "url": "",
            **{
                k: sum(r[k] for r in rows if r["currency"] == c)
                for k in (*labels, "credits_minor", "unapplied_minor", "total_minor")
            },
        }
        for c in currencies
    ]
    asked = urlencode({"as_of": as_of, "by": by, "buckets": ",".join(map(str, edges))})
    figure = reverse("web:figure", args=["bucket"])
    for row in [*totals, *rows[:500]]:
        of = {"currency": row["currency"]} | ({"customer": row["customer_id"]} if row.get("customer_id") else {})
        row |= {f"{n}_url": f"{figure}?{asked}&{urlencode({'bucket': n, **of})}" if row[n] else "" for n in labels}
    bars = [
        {
            "bucket": n,
            "amount": float(to_major(totals_of[n], entity.currency)),
            "shown": format_amount(totals_of[n], entity.currency),
        }
        for totals_of in totals
        if totals_of["currency"] == entity.currency
        for n in labels
    ]
    context = {
        "as_of": as_of, "by": by, "buckets": ",".join(map(str, edges)), "rows": rows[:500], "total": len(rows), "columns": columns, "totals": totals,
        "figures": figures.collection(entity_id=entity.pk, as_of=as_of, currency=entity.currency), "home": entity.currency,
        "rolls": [{**r, "exact": Fraction(100 * r["rolled_minor"], r["balance_minor"]) if r["balance_minor"] else None} for r in figures.roll_rates(entity_id=entity.pk, as_of=as_of, currency=entity.currency).to_dicts()], "query": request.GET.urlencode(),
        "chart": bar_chart(bars, x="bucket", y="amount", title="Open receivables by days past due", y_title=entity.currency, shown="shown", height=150),
    }  # fmt: skip
    return render(request, "receivables/aging.html", context)


def oldest_first(payment: Payment, as_of: date) -> pl.DataFrame:
    """Links that spend what is left of a payment on its customer's documents, the oldest due day first."""
    if payment.customer_id is None:
        raise Invalid("The payer is unknown.", field="customer", remedy="Name the documents it settles.")
    ids = market.record_ids(payment.customer_id)
    items = queries.open_items(entity_id=payment.entity_id, as_of=as_of, customer_ids=ids).filter(
        (pl.col("open_minor") > 0) & (pl.col("currency") == payment.currency)
    )
    per_document = items.group_by("invoice_id", maintain_order=True).agg(pl.col("open_minor").sum())
    before = pl.col("open_minor").cum_sum() - pl.col("open_minor")
    left = payment.amount_minor - payment.allocated_minor
    return per_document.select(
        payment_id=pl.lit(payment.pk),
        invoice_id="invoice_id",
        amount_minor=pl.min_horizontal("open_minor", (left - before).clip(0)),
    ).filter(pl.col("amount_minor") > 0)


def _amounts(request: Asked, currency: str) -> pl.DataFrame:
    """What the form says beside each document: invoice_id, amount_minor. Raises: Invalid (nothing given, no amount)."""
    given = {
        int(k.removeprefix("amount-")): v
        for k, v in request.POST.items()
        if k.startswith("amount-") and k[7:].isdigit() and isinstance(v, str) and v.strip()
    }
    if not given:
        raise Invalid("Nothing was applied: no amount was given.", field="amount", remedy="Write an amount beside a document.")
    rows = [(invoice, parse_amount(text, currency, field="amount")) for invoice, text in given.items()]
    return pl.DataFrame(rows, schema={"invoice_id": pl.Int64, "amount_minor": pl.Int64}, orient="row")


def _settled(rows: pl.DataFrame, *, document: int | None = None) -> list[dict[str, Any]]:
    """Allocations with the number and address of the other side."""
    numbers = dict(
        Invoice.objects.filter(
            pk__in=[*rows["invoice_id"].drop_nulls().to_list(), *rows["credit_note_id"].drop_nulls().to_list()]
        ).values_list("id", "number")
    )
    paid = dict(Payment.objects.filter(pk__in=rows["payment_id"].drop_nulls().to_list()).values_list("id", "number"))
    currencies = dict(Invoice.objects.filter(pk__in=list(numbers)).values_list("id", "currency"))
    found = []
    for r in rows.to_dicts():
        other = r["invoice_id"] if document is None or r["credit_note_id"] == document else r["credit_note_id"]
        by_payment = document is not None and r["payment_id"] is not None
        url = (
            reverse("receivables:payment", args=[r["payment_id"]])
            if by_payment
            else reverse("billing:invoice", args=[other])
            if other
            else ""
        )
        found.append(
            {
                **r,
                "number": paid.get(r["payment_id"], "") if by_payment else numbers.get(other, ""),
                "url": url,
                "currency": currencies.get(r["invoice_id"], "EUR"),
                "kind": r["kind"].replace("_", " "),
            }
        )
    return found
