"""What all commands share: their options, the console, and how a company, a day and a value are read and told."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console

from topline.books import queries as book_queries
from topline.books.models import Entity
from topline.kernel import clock
from topline.kernel.errors import Invalid

console = Console()
SHOWN = 200  # rows of a queue that a command prints
AsOf = Annotated[str, typer.Option("--as-of", help="The day to look at, such as 2026-01-31; default today.")]
Company = Annotated[str, typer.Option("--company", help="Key of the company; default the first one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def entity_of(key: str) -> Entity:
    return book_queries.entity(key or None)


def day_of(text: str, entity: Entity) -> date:
    if not text:
        return clock.today(entity.time_zone)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no day.", field="as_of", remedy="Write it as 2026-01-31.") from error


def print_json(value: Any) -> None:
    def plain(item: Any) -> Any:
        if isinstance(item, date | datetime):
            return item.isoformat()
        if isinstance(item, pl.DataFrame):
            return item.to_dicts()
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return str(item)

    sys.stdout.write(json.dumps(value, default=plain, ensure_ascii=False, indent=2) + "\n")
