"""All commands, in the order in which help lists them. Each reads the day from the clock or --as-of, calls one action or query, and prints it."""

from topline.cli import bringing_in, collecting, selling, billing, recognising, running  # noqa: F401, I001
from topline.cli.main import app

__all__ = ["app"]
