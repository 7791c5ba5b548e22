"""Around every request to /api/v1: a token instead of a session, and a problem instead of a page when something is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from topline.api.problems import problem, problem_of
from topline.connect.actions import MAX_BYTES
from topline.kernel.errors import Forbidden, Invalid
from topline.team.queries import actor_of_token
from topline.ui.wire import Caller

PREFIX = "/api/v1/"


class ApiMiddleware:
    """Sets `request.actor` from the bearer token alone: a session cookie counts for nothing here, so no forged form can act."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        cast(Caller, request).actor = None
        refused = self._refuse(request)
        response = refused if refused is not None else self.get_response(request)
        if response.status_code >= 400 and not response.headers.get("Content-Type", "").startswith("application/"):
            return _restated(response)
        return response

    def _refuse(self, request: HttpRequest) -> HttpResponse | None:
        if b"\0" in unquote_to_bytes(request.META.get("QUERY_STRING", "")):
            return problem_of(Invalid("The address holds a NUL character.", remedy="Leave it out."))
        length = request.META.get("CONTENT_LENGTH") or "0"
        is_file = request.content_type == "multipart/form-data"  # streamed to disk, as on the pages
        most = MAX_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE if is_file else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if not length.isdigit() or int(length) > most:
            return problem(
                413,
                "body_too_large",
                f"A request holds at most {most} bytes.",
                remedy="Send it in several requests.",
            )
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and secret:
            actor = actor_of_token(secret)
            if actor is not None and (actor.customer_id is not None or "Customer" in actor.roles):
                return problem_of(Forbidden("The API is for the team, not for customers.", remedy="Use the portal."))
            cast(Caller, request).actor = actor
        return None


def _restated(response: HttpResponse) -> HttpResponse:
    """A refusal of Django's own (unknown address, method, fault) as a problem."""
    words = {
        404: ("not_found", "There is nothing at this address.", "See /api/docs."),
        405: ("method_not_allowed", "This address does not take that method.", "See the header Allow and /api/docs."),
        500: ("internal_error", "Something went wrong on our side; it was logged.", "Repeat it with the same idempotency key."),
    }
    code, detail, remedy = words.get(response.status_code, ("refused", response.reason_phrase, ""))
    made = problem(response.status_code, code, detail, remedy=remedy)
    if "Allow" in response.headers:
        made["Allow"] = response["Allow"]
    return made
