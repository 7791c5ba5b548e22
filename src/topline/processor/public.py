"""What the world outside reaches: paying on the link of an invoice, the processor's events, and the simulator's page. Nobody signs in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from topline.billing import delivery
from topline.billing.models import Delivery
from topline.kernel.actor import Actor
from topline.kernel.errors import DomainError, NotFound
from topline.processor import actions, queries, service
from topline.processor.models import Simulated
from topline.processor.simulator import METHODS, Simulator
from topline.ui.links import linked

MAX_EVENT = 1_000_000
VERBS = frozenset({"processor.begin_payment", "processor.note_page"})  # what the link of an invoice may do
paying_link = linked(delivery.by_token, "billing/link_refusal.html", "GET", "HEAD", "POST")


@paying_link
def pay(request: HttpRequest, found: Delivery) -> HttpResponse:
    """How an invoice is paid online: what became of it so far, and the way to the processor's page."""
    invoice = found.invoice
    back = settings.ENVIRONMENT.url + reverse("pay:invoice", args=[found.token])
    url = ""
    if request.method == "POST":
        if not service.is_on():
            raise NotFound("This invoice cannot be paid online.", remedy="Pay by bank transfer, as it says on the invoice.")
        actor = Actor(key=f"delivery:{found.pk}", name="the customer, by link", permissions=VERBS)
        url = service.page_of(actor=actor, invoice_id=invoice.pk, back_url=back, saves_method=bool(request.POST.get("save")))
    intent = queries.last_of(invoice.pk)
    is_done = service.DONE in request.GET and intent is not None and intent.state in ("new", "open")
    if is_done and request.headers.get("HX-Request"):
        return HttpResponse(status=204)  # nothing new: the page stays as it is, focus and all
    waits = url or (intent.url if intent is not None and intent.state == "open" else "")
    context = {
        "invoice": invoice,
        "token": found.token,
        "intent": intent,
        "away": waits,
        "is_done": is_done,
        "is_on": service.is_on(),
        "open_minor": invoice.total_minor - invoice.allocated_minor,
    }
    return render(request, "processor/pay.html", context)


@csrf_exempt
@require_http_methods(["POST"])
def webhook(request: HttpRequest, processor: str) -> HttpResponse:
    """An event of the processor: verified, kept once, answered; what it asks for is done after that."""
    try:
        with_whom = service.current()
        if with_whom.name != processor:
            raise NotFound(f"Events of {processor} are not taken here.")
        if int(request.headers.get("Content-Length") or 0) > MAX_EVENT:
            raise NotFound("An event is smaller than a megabyte.")
        payload = with_whom.verified(request.body, request.headers)
    except DomainError as error:
        return JsonResponse({"error": error.message}, status=error.status)
    fresh = actions.receive_event(processor=processor, payload=payload)
    return JsonResponse({"kept": fresh})


@require_http_methods(["GET", "POST"])
def simulated(request: HttpRequest, ref: str) -> HttpResponse:
    """The simulator's page: choose what the card will do."""
    try:
        played = service.simulator()
        row = Simulated.objects.filter(ref=ref).first()
        if row is None:
            raise NotFound("There is no such page.")
        if request.method == "POST":
            with transaction.atomic():
                events = played.pay(ref, request.POST.get("digits", ""))
            deliver(played, events)
            went = all(event["type"] != "failed" for event in events)
            return redirect((row.facts.get("done_url") if went else "") or row.facts["back_url"] or "/")
    except DomainError as error:
        return render(
            request, "billing/link_refusal.html", {"message": error.message, "remedy": error.remedy}, status=error.status
        )
    return render(request, "processor/simulator.html", {"row": row, "methods": METHODS})


def deliver(played: Simulator, events: list[dict[str, Any]]) -> int:
    """The simulator's events, signed and taken in as those of any processor; returns how many were new."""
    taken = 0
    for event in events:
        payload = played.verified(*played.signed(event))
        taken += actions.receive_event(processor=played.name, payload=payload)
    return taken
