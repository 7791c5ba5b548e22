"""The door of pages: signed in, allowed, and refusals shown as a sentence with what to do next."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from topline.kernel.actor import Actor
from topline.kernel.errors import DomainError

View = Callable[..., HttpResponse]


class Asked(HttpRequest):
    """A request that has passed the door: it knows who asks, and whether htmx does."""

    actor: Actor
    htmx: Any


def page(permission: str, *, methods: tuple[str, ...] = ("GET", "HEAD")) -> Callable[[View], View]:
    """Make a function a page that needs a permission; its address appears in the tests' table of who may see what.

    Another method: 405. Not signed in: to the sign-in page. Not allowed: 403 with a sentence. A DomainError that the page lets through becomes a
    page with its sentence and remedy and the error's status.
    """

    def wrap(view: View) -> View:
        @functools.wraps(view)
        def call(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            actor = cast(Asked, request).actor
            if request.method not in methods:
                answer: HttpResponse = HttpResponseNotAllowed(methods)
                if actor is not None:
                    answer = refusal(
                        request, 405, "Nothing is shown at this address.", "Go back, and use the button of the page."
                    )
                    answer["Allow"] = ", ".join(methods)
                return answer
            if actor is None:
                return redirect_to_login(settings.LOGIN_REDIRECT_URL if request.path == "/" else request.get_full_path())
            if not actor.may(permission):
                return refusal(
                    request, 403, "This page is not for your role.", f"Ask an Owner for a role that allows {permission}."
                )
            try:
                return view(request, *args, **kwargs)
            except DomainError as error:
                return refusal(request, error.status, error.message, error.remedy)

        call.permission = permission  # type: ignore[attr-defined]
        return call

    return wrap


def refusal(request: HttpRequest, status: int, message: str, remedy: str) -> HttpResponse:
    """A page that says what is wrong and what to do."""
    came_from = request.headers.get("Referer", "")
    here = url_has_allowed_host_and_scheme(came_from, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    back = came_from if here and came_from != request.build_absolute_uri() else "/"
    context = {"status": status, "message": message, "remedy": remedy, "back": back}
    return render(request, "ui/refusal.html", context, status=status)
