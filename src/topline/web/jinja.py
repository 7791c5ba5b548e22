"""The Jinja2 environment of all pages: the components of `ui` and each room's own templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from topline.ui.environment import furnish

PACKAGE = Path(__file__).resolve().parent.parent


def environment(**options: Any) -> Environment:
    """Built once by Django's template backend; a room's templates live in `<room>/templates/<room>/`."""
    options["loader"] = FileSystemLoader([folder for folder in sorted(PACKAGE.glob("*/templates")) if folder.is_dir()])
    return furnish(Environment(**options))  # noqa: S701  (Django's backend sets autoescape)
