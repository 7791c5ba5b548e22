"""Errors that a person can act on.

A domain error carries a stable code for programs, a sentence for a person, the field it is about and what to do next.
The API turns it into `application/problem+json`, a form shows it at its field, the command line prints it and exits 2.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """Something the caller can understand and mend; never a fault of the program.

    message  one sentence: what happened and where (row, column, document)
    field    the input it is about, where there is one
    remedy   one sentence: what to do next
    details  plain values for programs (ids, limits, counts)
    """

    code: ClassVar[str] = "domain_error"
    status: ClassVar[int] = 422

    def __init__(self, message: str, *, field: str = "", remedy: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Invalid(DomainError):
    """An input that can never be right: the caller must change it."""

    code = "invalid"
    status = 422


class NotFound(DomainError):
    """What was asked for does not exist, or the caller may not know that it does."""

    code = "not_found"
    status = 404


class Conflict(DomainError):
    """The input is fine but the present state does not allow it."""

    code = "conflict"
    status = 409


class Forbidden(DomainError):
    """The actor lacks the permission."""

    code = "forbidden"
    status = 403


def ensure(condition: bool, error: DomainError) -> None:
    """Raise `error` unless `condition` holds; unlike assert it survives `python -O`."""
    if not condition:
        raise error
