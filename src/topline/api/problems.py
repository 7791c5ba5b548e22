"""Refusals as `application/problem+json` (RFC 9457): the domain's errors, and those of the request itself."""

from __future__ import annotations

import json
from typing import Any

from django.db import DataError, IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from topline.kernel.errors import DomainError


def problem(
    status: int, code: str, detail: str, *, field: str = "", remedy: str = "", details: dict[str, Any] | None = None
) -> HttpResponse:
    """One refusal as a response."""
    body = {
        "type": f"urn:topline:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "field": field,
        "remedy": remedy,
        "details": details or {},
    }
    return HttpResponse(json.dumps(body, default=str), status=status, content_type="application/problem+json")


def problem_of(error: DomainError) -> HttpResponse:
    """A domain error as it stands."""
    return problem(error.status, error.code, error.message, field=error.field, remedy=error.remedy, details=error.details)


def install(api: NinjaAPI) -> None:
    """Give the API its handlers; what none of them knows is a fault of ours and goes on to the log."""

    def domain(request: HttpRequest, error: Any) -> HttpResponse:
        return problem_of(error)

    def unsigned(request: HttpRequest, error: Any) -> HttpResponse:
        response = problem(
            401, "not_signed_in", "This needs a valid bearer token.", remedy="Make one under Team, Account; send it as Authorization: Bearer."
        )  # fmt: skip
        response["WWW-Authenticate"] = 'Bearer realm="Topline"'
        return response

    def invalid(request: HttpRequest, error: Any) -> HttpResponse:
        found = [{"field": _path(e["loc"]), "message": str(e["msg"])} for e in error.errors[:20]]
        return problem(
            422, "invalid", f"{found[0]['field']}: {found[0]['message']}.", field=found[0]["field"], remedy="See /api/docs.", details={"errors": found}
        )  # fmt: skip

    def refused(request: HttpRequest, error: Any) -> HttpResponse:
        if isinstance(error.__cause__, DomainError):
            return problem_of(error.__cause__)
        return problem(error.status_code, "refused", str(error))

    def missing(request: HttpRequest, error: Any) -> HttpResponse:
        return problem(404, "not_found", "There is nothing at this address.", remedy="See /api/docs.")

    def conflicting(request: HttpRequest, error: Any) -> HttpResponse:
        return problem(
            409, "conflict", "The database refused it: it names something that does not exist, or repeats something that does.", remedy="Nothing was changed; read the current state and try again."
        )  # fmt: skip

    def out_of_range(request: HttpRequest, error: Any) -> HttpResponse:
        return problem(
            422, "out_of_range", "A value is too large for its column.", remedy="Nothing was changed; send a smaller value."
        )

    for kind, handler in (
        (DomainError, domain), (AuthenticationError, unsigned), (ValidationError, invalid), (HttpError, refused), (Http404, missing),
        (IntegrityError, conflicting), (DataError, out_of_range), (OverflowError, out_of_range),
    ):  # fmt: skip
        api.add_exception_handler(kind, handler)


def _path(place: tuple[Any, ...]) -> str:
    """Where in the request: `customers.0.name`; the part that it was read from (body, query) and the argument are left out."""
    parts = [str(p) for p in place]
    return ".".join(parts[2:] or parts[-1:])
