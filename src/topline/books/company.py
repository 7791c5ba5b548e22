"""Which company, and which day, a page is about: read from the address and a cookie, the same way everywhere."""

from __future__ import annotations

from datetime import date

from django.http import HttpRequest

from topline.books import queries
from topline.books.models import Entity
from topline.kernel import clock
from topline.kernel.errors import Invalid

COOKIE = "company"


def company(request: HttpRequest) -> Entity:
    """The company chosen in the address (`?company=`) or before, else the first. Raises: NotFound when there is none."""
    asked = request.GET.get("company")
    if asked:
        return queries.entity(asked)
    remembered = request.COOKIES.get(COOKIE, "")
    known = Entity.objects.filter(key=remembered).first() if remembered else None
    return known or queries.entity()


def day_asked(request: HttpRequest, entity: Entity) -> date:
    """The day that `?as_of=` names, else today in the company's time zone. Raises: Invalid."""
    text = request.GET.get("as_of", "")
    if not text:
        return clock.today(entity.time_zone)
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no day.", field="as_of", remedy="Write it as 2026-01-31.") from error
    if not 1900 <= day.year <= 2199:
        raise Invalid(f"{text} lies outside 1900 to 2199.", field="as_of")
    return day
