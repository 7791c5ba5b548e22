"""Around every request: who is asking, where they are signed in, a request id, one line in the log."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import structlog
from allauth.account.adapter import get_adapter
from allauth.usersessions.middleware import UserSessionsMiddleware
from allauth.usersessions.models import UserSession
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from topline.kernel import clock
from topline.team.models import Member
from topline.team.queries import actor_of

SEEN_EVERY = timedelta(minutes=1)
log = structlog.get_logger("topline.access")


class SessionsMiddleware(UserSessionsMiddleware):  # type: ignore[misc]
    """Keeps the list of where somebody is signed in: last seen to the minute, so that reading pages writes nothing.

    A write at every request would let all readers queue for SQLite's one writer. Another address or browser is written at once.
    """

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response if _was_seen(request) else super().__call__
        return cast(HttpResponse, answer(request))


def _was_seen(request: HttpRequest) -> bool:
    """Whether this session was noted here, from this address and browser, within the last minute; one statement."""
    longest = UserSession._meta.get_field("user_agent").max_length
    noted = UserSession.objects.filter(
        session_key=request.session.session_key,
        user_id=request.user.pk,
        ip=get_adapter().get_client_ip(request),
        user_agent=request.META.get("HTTP_USER_AGENT", "")[:longest],
        last_seen_at__gt=clock.now() - SEEN_EVERY,
    )
    return request.user.is_authenticated and noted.exists()


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
