"""A refusal told beside the field of a form that it is about."""

from __future__ import annotations

from collections.abc import Mapping

from django import forms

from topline.kernel.errors import DomainError


def blame(form: forms.Form, error: DomainError, names: Mapping[str, str] | None = None) -> None:
    """Put what was refused, with its remedy, beside its field, or above the form where it has none; names: the verb's word to the form's."""
    field = (names or {}).get(error.field, error.field)
    form.add_error(field if field in form.fields else None, f"{error.message} {error.remedy}".strip())
