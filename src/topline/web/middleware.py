"""Around every request: who is asking, a request id, one line in the log."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from topline.team.models import Member
from topline.team.queries import actor_of

log = structlog.get_logger("topline.access")


class ActorMiddleware:
    """Sets `request.actor` (None when nobody is signed in) and tells what was asked, how it went and how long it took."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        request_id = uuid.uuid4().hex[:12]
        structlog.contextvars.bind_contextvars(request_id=request_id)
        member = request.user
        request.actor = actor_of(member) if isinstance(member, Member) and member.is_active else None  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response["X-Request-ID"] = request_id
        patch_vary_headers(response, ["HX-Request"])
        if not request.path.startswith(("/static/", "/healthz")):
            actor = request.actor  # type: ignore[attr-defined]
            duration = round(1000 * (time.perf_counter() - started), 1)
            log.info(
                "request",
                method=request.method,
                path=request.path,
                status=response.status_code,
                ms=duration,
                actor=actor.key if actor else "",
                id=request_id,
            )
        return response
