"""What every page's shell needs: who, where, and the way around."""

from __future__ import annotations

from typing import Any

from django.contrib.messages import get_messages
from django.http import HttpRequest

from topline.books.company import COOKIE
from topline.books.models import Entity
from topline.web.navigation import entries_for


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Context of the shell; `base` is the whole page, or for a request by htmx only its results. One or two statements."""
    actor = getattr(request, "actor", None)
    htmx = getattr(request, "htmx", None)
    part = htmx is not None and bool(htmx) and not htmx.history_restore_request
    theme = request.COOKIES.get("theme", "")
    name = ""
    if actor is not None:
        names = Entity.objects.order_by("id").values_list("name", flat=True)
        key = request.GET.get("company") or request.COOKIES.get(COOKIE)
        name = (names.filter(key=key).first() if key else None) or names.first() or ""
    return {
        "actor": actor,
        "navigation": entries_for(actor, request.path) if actor else [],
        "theme": theme if theme in ("light", "dark") else "",
        "company_name": name,
        "messages": get_messages(request),
        "base": "ui/part.html" if part else "ui/page.html",
    }
