"""The pages behind the link of a quote, for whoever holds it: read, ask, accept and sign, decline. Nobody signs in."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from topline.kernel.errors import DomainError
from topline.quotes import documents, links
from topline.quotes.models import Quote
from topline.quotes.pages import as_pdf
from topline.ui.links import linked

quote_link = functools.partial(linked, links.by_token, "quotes/link_refusal.html")


@quote_link("GET", "HEAD")
def quote(request: HttpRequest, quote: Quote) -> HttpResponse:
    """What is offered, until when, and what the customer can do about it."""
    if request.method == "GET":
        links.view_quote(actor=links.customer_behind(quote), quote_id=quote.pk)
    return render(request, "quotes/link.html", _context(quote))


@quote_link("GET", "HEAD")
def pdf(request: HttpRequest, quote: Quote) -> HttpResponse:
    """The document, byte for byte as it was sent."""
    return as_pdf(bytes(quote.document.pdf), quote)


@quote_link("POST")
def accept(request: HttpRequest, quote: Quote) -> HttpResponse:
    """Accept and sign."""
    said = {name: request.POST.get(name, "") for name in ("name", "title", "sha256")}
    if not request.POST.get("agree"):
        return _again(request, quote, "Tick that you accept the quote.", said)
    try:
        links.accept_quote(
            actor=links.customer_behind(quote), quote_id=quote.pk, ip=request.META.get("REMOTE_ADDR") or None, user_agent=request.headers.get("User-Agent", ""), **said
        )  # fmt: skip
    except links.QuoteNotOpen:
        raise
    except DomainError as error:
        return _again(request, quote, f"{error.message} {error.remedy}", said)
    messages.success(request, "Thank you. The quote is accepted.")
    return redirect("quote_link:quote", quote.token)


@quote_link("POST")
def ask(request: HttpRequest, quote: Quote) -> HttpResponse:
    """Ask a question."""
    links.ask_question(actor=links.customer_behind(quote), quote_id=quote.pk, question=request.POST.get("question", ""))
    messages.success(request, "Your question is with the people who sent the quote.")
    return redirect("quote_link:quote", quote.token)


@quote_link("POST")
def decline(request: HttpRequest, quote: Quote) -> HttpResponse:
    """Say no, and why."""
    links.decline_quote(actor=links.customer_behind(quote), quote_id=quote.pk, because=request.POST.get("because", ""))
    messages.success(request, "Thank you for telling us.")
    return redirect("quote_link:quote", quote.token)


def _again(request: HttpRequest, quote: Quote, told: str, said: dict[str, str]) -> HttpResponse:
    return render(request, "quotes/link.html", {**_context(quote), "told": told, "said": said}, status=422)


def _context(quote: Quote) -> dict[str, Any]:
    return {
        "quote": quote, "content": documents.content(quote), "closed": links.why_closed(quote), "sha256": quote.document.sha256, "signature": getattr(quote, "signature", None),
        "told": "", "said": {"name": "", "title": ""},
    }  # fmt: skip
