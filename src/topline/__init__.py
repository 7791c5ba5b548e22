"""Topline: open-source revenue operations, from the first lead to the money in the bank and on to the people it pays."""

__version__ = "0.1.0"
