"""Names made comparable: how `Müller & Söhne GmbH` and `MUELLER SOEHNE` are seen to be one."""

from __future__ import annotations

import polars as pl

from topline.engine import text

# Legal forms that files write or leave out at will; a name that is nothing else keeps them.
LEGAL_FORMS = (
    "gmbh co kg|gmbh|mbh|ag|kg|ohg|ug|se|eg|ev|inc|incorporated|corp|corporation|llc|llp|lp|ltd|limited|plc|pty|pte|co|company|sa|sas|sarl|srl|spa|"
    "bv|nv|ab|as|asa|oy|oyj|aps|sp z o o|sro|doo|kft|zrt|kk"
)


def folded(column: pl.Expr) -> pl.Expr:
    """Text folded for comparison: lower case, no accents (ä, ö, ü as in ae, oe, ue), letters and digits only, no legal form."""
    bare = _bare(column).str.replace_all(" ", "")
    return pl.when(bare == "").then(text.words(column).str.replace_all(" ", "")).otherwise(bare)


def bare_words(name: str) -> str:
    """A name in folded words without its legal form: `Müller & Söhne GmbH` is `mueller soehne`."""
    return str(pl.select(_bare(pl.lit(name)).str.strip_chars()).item())


def _bare(column: pl.Expr) -> pl.Expr:
    words = text.words(column)
    for _ in range(2):  # of two legal forms side by side one pass finds the first
        words = words.str.replace_all(rf"(^| )({LEGAL_FORMS})( |$)", " ")
    return words
