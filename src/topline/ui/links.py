"""Pages that a link alone opens: whoever holds it may read them, nobody signs in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from topline.kernel.errors import DomainError

T = TypeVar("T")


def linked(
    find: Callable[[str], T], refusal: str, *methods: str
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A page that gets what `find` knows under the token, and the rest of the address by name; what is wrong is told as the page `refusal`. Never cached or indexed."""

    def wrap(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @functools.wraps(view)
        def call(request: HttpRequest, token: str, **place: str) -> HttpResponse:
            try:
                answer = view(request, find(token), **place)
            except DomainError as error:
                told: dict[str, Any] = {"message": error.message, "remedy": error.remedy}
                answer = render(request, refusal, told, status=error.status)
            answer["Cache-Control"] = "no-store"
            answer["X-Robots-Tag"] = "noindex"
            answer["Referrer-Policy"] = "same-origin"
            return answer

        return require_http_methods(list(methods))(call)

    return wrap
