"""What every template can use."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse
from jinja2 import Environment, StrictUndefined

from topline.ui.format import FILTERS


def furnish(environment: Environment) -> Environment:
    """Add filters and globals; unknown names in a template are an error, not an empty string."""
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(FILTERS)
    environment.globals.update(static=static, url=_url)
    return environment


def _url(name: str, *args: Any, **kwargs: Any) -> str:
    return reverse(name, args=args or None, kwargs=kwargs or None)
