"""Text made comparable, whoever wrote it."""

from __future__ import annotations

import polars as pl

_LETTERS = {"ß": "ss", "ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th"}


def words(text: pl.Expr) -> pl.Expr:
    """Lower case, no accents (ä, ö, ü as in ae, oe, ue), letters and digits only, a blank between words."""
    plain = (
        text.str.to_lowercase()
        .str.replace_many(["ä", "ö", "ü"], ["ae", "oe", "ue"])
        .str.replace_many(list(_LETTERS), list(_LETTERS.values()))
    )
    return plain.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
