"""The page on which an invoice is taken back and issued anew."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing import queries as documents
from topline.contracts import rebilling
from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.ui.access import Asked, page
from topline.ui.blame import blame


class AgainForm(forms.Form):
    """What the new document says otherwise."""

    purchase_order = forms.CharField(max_length=60, required=False)
    terms = forms.CharField(max_length=60)
    because = forms.CharField(max_length=300, label="Why", help_text="it stands on the credit note")


@page("contracts.bill_again", methods=("GET", "POST"))
def bill_again(request: Asked, invoice_id: int) -> HttpResponse:
    """Take an invoice back and issue it anew with another order or other terms."""
    invoice = documents.invoice_detail(invoice_id).invoice
    form = AgainForm(request.POST or None, initial={"purchase_order": invoice.purchase_order, "terms": invoice.terms})
    if form.is_valid():
        on = clock.today(invoice.entity.time_zone)
        try:
            made = rebilling.bill_again(actor=request.actor, invoice_id=invoice_id, on=on, **form.cleaned_data)
        except DomainError as error:
            blame(form, error, {"invoice_id": "because"})
        else:
            messages.success(request, f"A credit note took {invoice.number} back; this document stands in its place. Send both.")
            return redirect("billing:invoice", made)
    context = {
        "form": form, "title": f"Bill {invoice.number} again", "back": (str(invoice.number), reverse("billing:invoice", args=[invoice_id])), "button": "Bill again",
        "what": "A credit note takes all of it back, and a new document says the same to the cent, with the name and address that the customer has today.",
    }  # fmt: skip
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)
