"""The one clock. Pages, commands and jobs read it; actions are given dates; nothing reads the system's time directly.

Tests, the demo company and as-of questions set it for a block:

    with clock.at(datetime(2013, 6, 30, 12, tzinfo=UTC)):
        ...
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from topline.kernel.errors import Invalid

_set: ContextVar[datetime | None] = ContextVar("topline_clock", default=None)


def now() -> datetime:
    """The present moment in UTC, or the moment that the surrounding block has set."""
    return _set.get() or datetime.now(UTC)


def today(time_zone: str = "UTC") -> date:
    """The calendar day of `now()` in an entity's time zone."""
    return now().astimezone(ZoneInfo(time_zone)).date()


@contextmanager
def at(moment: datetime | date) -> Iterator[None]:
    """Let the clock stand at `moment` inside the block; a bare date means noon UTC of that day.

    Raises: Invalid for a datetime without time zone.
    """
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(12), tzinfo=UTC)
    if moment.tzinfo is None:
        raise Invalid("The clock needs a time zone.", field="moment", remedy="Give an aware datetime or a date.")
    token = _set.set(moment.astimezone(UTC))
    try:
        yield
    finally:
        _set.reset(token)
