"""Text cells to money, days and text by a profile; every cell that cannot be read is told with row, column and cure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import polars as pl

from topline.engine.sheets.profile import Column, Profile
from topline.engine.sheets.reader import Sheet, SheetRefused
from topline.kernel import money
from topline.kernel.errors import Invalid

PROBLEM = {"row": pl.Int64, "column": pl.String, "value": pl.String, "code": pl.String, "message": pl.String, "remedy": pl.String}
EARLIEST, LATEST = date(1900, 1, 1), date(2199, 12, 31)
_MARKS = "'’ \u00a0\u202f"
_DAY = r"^(\d{1,4})[./\- ](\d{1,2})[./\- ](\d{1,4})(?:[T ].*)?$"


@dataclass(frozen=True)
class Typed:
    """rows  the good records: `row` and a column per profile column (amounts i64 minor units, days as dates), constants filled in
    problems  one row per refused cell: row, column, value, code, message, remedy; their records are not among the rows
    detected  what was found out: decimal mark, order of days
    facts  texts of the cells outside the records that the profile asks for
    footer  the closing rows: `row` and the profile's columns as text; they are no records
    """

    rows: pl.DataFrame
    problems: pl.DataFrame
    detected: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    footer: pl.DataFrame = field(default_factory=pl.DataFrame)


def typed(sheet: Sheet, profile: Profile) -> Typed:
    """Read a sheet by a profile.

    Raises: SheetRefused when a required column is missing, the order of day and month or the decimal mark cannot be known.
    """
    sheet = _headed(sheet, profile)
    header_at, places = find_header(sheet, profile)
    body, tail = _parted(sheet.cells.slice(header_at + 1), profile, places)
    headers = {name: sheet.cells[f"c{place}"][header_at] or name for name, place in places.items()}
    chosen = ["row", *[pl.col(f"c{place}").str.strip_chars().alias(name) for name, place in places.items()]]
    picked = body.select(chosen)
    long = _ragged(sheet, body, header_at, places)
    picked = _fold(picked, profile)
    for name, column in profile.columns.items():
        if name not in picked.columns:
            picked = picked.with_columns(pl.lit(None, dtype=pl.String).alias(name))
        if column.replace:
            picked = picked.with_columns(pl.col(name).replace(column.replace))
        if column.default:
            picked = picked.with_columns(pl.col(name).replace("", None).fill_null(column.default))
    for name, value in profile.constants.items():
        if name in profile.columns:
            picked = picked.with_columns(pl.col(name).replace("", None).fill_null(str(value)))
    problems, detected = [long], {}
    if "currency" in picked.columns:
        picked = picked.with_columns(pl.col("currency").fill_null("").str.to_uppercase())
    exponents = _exponents(picked, profile, problems, headers)
    for name, column in profile.columns.items():
        text = pl.col(name).fill_null("")
        if column.required:
            _tell(problems, picked.filter(text == ""), name, headers, "missing", "is empty", "Fill it in.")
        match column.type:
            case "date":
                order = _date_order(picked[name], profile, headers.get(name, name))
                detected[f"order of days in {headers.get(name, name)}"] = order
                picked = _dates(picked, name, order, headers, problems)
            case "amount":
                mark = profile.decimal_mark or _decimal_mark(picked[name], headers.get(name, name))
                if bool((picked[name].fill_null("") != "").any()):
                    detected["decimal mark"] = mark
                picked = _amounts(picked, name, column, mark, exponents, headers, problems)
            case "integer":
                odd = picked.filter((text != "") & ~text.str.contains(r"^-?\d{1,18}$"))
                _tell(problems, odd, name, headers, "not_a_number", "is not a whole number", "Correct it.")
                picked = picked.with_columns(pl.col(name).cast(pl.Int64, strict=False))
            case _:
                picked = picked.with_columns(text.alias(name))
    told = pl.concat(problems).sort("row")
    rows = picked.join(told.select("row").unique(), on="row", how="anti", maintain_order="left")
    return Typed(rows, told, detected | sheet.detected, _facts(sheet.cells, header_at, tail, profile), tail.select(chosen))


def _headed(sheet: Sheet, profile: Profile) -> Sheet:
    """The sheet with the header that the profile brings, above the first record, where the file has none."""
    if not profile.headers:
        return sheet
    names = dict(zip(sheet.cells.columns[1:], profile.headers, strict=False))
    head = pl.DataFrame([{"row": 0, **names}], schema=sheet.cells.schema)
    return replace(sheet, cells=pl.concat([head, sheet.cells]))


def find_header(sheet: Sheet, profile: Profile) -> tuple[int, dict[str, int]]:
    """Position of the header record (among the first 60) and the place of each profile column in it.

    Raises: SheetRefused naming the columns that are missing and those that are there.
    """
    wanted = {name: [_folded(h) for h in column.header] for name, column in profile.columns.items() if column.header}
    required = {name for name in wanted if profile.columns[name].required or profile.columns[name].present}
    best: tuple[int, int, dict[str, int]] = (-1, 0, {})
    for position, record in enumerate(sheet.cells.head(60).drop("row").iter_rows()):
        cells = [_folded(cell or "") for cell in record]
        places = {
            name: place
            for name, headers in wanted.items()
            if (place := next((cells.index(h) for h in headers if h in cells), None)) is not None
        }
        if len(places) > best[0] and required <= set(places) and places:
            best = (len(places), position, places)
    if best[0] > 0:
        return best[1], best[2]
    first = [c for c in sheet.cells.head(1).drop("row").row(0) if c] if sheet.cells.height else []
    present = {_folded(str(c)) for c in first}
    missing = [
        profile.columns[name].header[0] for name in profile.columns if name in required and not present & set(wanted[name])
    ]
    raise SheetRefused(
        f"{sheet.name} has no column {missing[0] if missing else 'of ' + profile.title}; it begins with {', '.join(map(str, first[:12])) or 'nothing'}.",
        field="file",
        remedy=f"Choose another profile than {profile.id}, or name the columns as it does.",
        missing=missing,
    )


def _folded(header: str) -> str:
    """A header as it is compared: letters beyond ASCII count as one and the same, since banks and mailers garble them."""
    return re.sub(r"[^\x00-\x7f]", "?", "".join(header.split()).lower().strip("\ufeff:*"))


def _parted(body: pl.DataFrame, profile: Profile, places: dict[str, int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The records, and the closing words below the last row that bears a day (none unless the profile expects them)."""
    if not profile.footer or body.is_empty():
        return body, body.clear()
    days = body[f"c{places[profile.skip_if_empty[0]]}"].str.strip_chars().str.contains(f"{_DAY}|^\\d{{8}}$").fill_null(False)
    last = days.arg_true().max()
    if last is None:
        return body, body.clear()
    return body.head(int(last) + 1), body.slice(int(last) + 1)  # type: ignore[arg-type]


def _facts(cells: pl.DataFrame, header_at: int, tail: pl.DataFrame, profile: Profile) -> dict[str, str]:
    found = {}
    for name, place in profile.facts.items():
        above, below = header_at - place.get("above", 0), place.get("below", 0) - 1
        row = cells.slice(above, 1) if "above" in place and above >= 0 else tail.slice(max(below, 0), 1)
        column = f"c{place['cell'] - 1}"
        found[name] = str(row[column][0] or "").strip() if row.height and column in row.columns else ""
    return found


def _ragged(sheet: Sheet, body: pl.DataFrame, header_at: int, places: dict[str, int]) -> pl.DataFrame:
    """Records with more cells than the header; shorter ones are fine as long as their required cells are there."""
    width = max((i for i in range(sheet.width) if (sheet.cells[f"c{i}"][header_at] or "") != ""), default=0)
    extra = [f"c{i}" for i in range(width + 1, sheet.width)]
    if not extra or not places:
        return pl.DataFrame(schema=PROBLEM)
    odd = body.filter(pl.any_horizontal(pl.col(extra).fill_null("") != ""))
    return odd.select(
        "row", column=pl.lit(""), value=pl.col(extra[0]), code=pl.lit("ragged"),
        message=pl.format("Row {} has more cells than the header ({}).", "row", pl.lit(width + 1)),
        remedy=pl.lit("Check the delimiter, or put quotes around text that holds one."),
    )  # fmt: skip


def _fold(picked: pl.DataFrame, profile: Profile) -> pl.DataFrame:
    """Leave out rows that are no record; the text of continuation rows goes to the record above."""
    if not profile.skip_if_empty:
        return picked
    real = pl.all_horizontal(pl.col(name).fill_null("") != "" for name in profile.skip_if_empty if name in picked.columns)
    marked = picked.with_columns(_group=real.cast(pl.Int64).cum_sum(), _real=real).filter(pl.col("_group") > 0)
    if profile.fold:
        present = [name for name in profile.fold if name in picked.columns]
        joined = marked.group_by("_group").agg(
            pl.col(name).filter(pl.col(name).fill_null("") != "").str.join(" ") for name in present
        )
        marked = marked.filter("_real").drop(present).join(joined, on="_group", maintain_order="left")
    return marked.filter("_real").select(picked.columns)


def _exponents(picked: pl.DataFrame, profile: Profile, problems: list[pl.DataFrame], headers: dict[str, str]) -> pl.DataFrame:
    """Decimals of each row's currency: row, exponent; unknown currencies are told."""
    text = pl.col("currency") if "currency" in picked.columns else pl.lit(profile.currency)
    frame = picked.select("row", currency=text)
    known: dict[str, int] = {}
    for code in frame["currency"].unique().to_list():
        try:
            known[code] = money.exponent(code)
        except Invalid:
            odd = frame.filter(pl.col("currency") == code)
            _tell(
                problems,
                odd,
                "currency",
                headers,
                "unknown_currency",
                "is not an ISO 4217 currency code",
                "Use three capital letters such as EUR.",
            )
    return frame.select("row", exponent=pl.col("currency").replace_strict(known, default=2, return_dtype=pl.Int64))


def _date_order(cells: pl.Series, profile: Profile, header: str) -> str:
    if profile.date_order != "detect":
        return profile.date_order
    parts = (
        cells.drop_nulls()
        .to_frame("v")
        .select(a=pl.col("v").str.extract(_DAY, 1), b=pl.col("v").str.extract(_DAY, 2))
        .drop_nulls()
    )
    if parts.is_empty() or bool((parts["a"].str.len_chars() == 4).all()):
        return "ymd"
    numbers = parts.select(pl.col("a", "b").cast(pl.Int64))
    says = {  # a cell that is no day in either order says nothing: it is told as a row of its own
        "dmy": numbers.filter(pl.col("a").is_between(13, 31) & (pl.col("b") <= 12)).height,
        "mdy": numbers.filter(pl.col("b").is_between(13, 31) & (pl.col("a") <= 12)).height,
    }
    if sum(map(bool, says.values())) == 1:
        return max(says, key=lambda order: says[order])
    raise SheetRefused(
        f"Is {cells.drop_nulls().to_list()[0]!r} in column {header} day first or month first? No row tells.",
        field=header,
        remedy="Say it: --date-order dmy or mdy (or date_order in the profile).",
    )


def _dates(picked: pl.DataFrame, name: str, order: str, headers: dict[str, str], problems: list[pl.DataFrame]) -> pl.DataFrame:
    text = pl.col(name).fill_null("")
    plain = text.str.replace(r"^(\d{4})(\d{2})(\d{2})$", "${1}-${2}-${3}")
    part = {letter: plain.str.extract(_DAY, place) for place, letter in enumerate("ymd" if order == "ymd" else order, 1)}
    iso = plain.str.contains(r"^\d{4}-\d{1,2}-\d{1,2}")
    year, month, day = (
        pl.when(iso).then(plain.str.extract(_DAY, place)).otherwise(part[letter])
        for place, letter in ((1, "y"), (2, "m"), (3, "d"))
    )
    century = (
        pl.when(year.str.len_chars() == 2)
        .then(pl.when(year.cast(pl.Int64, strict=False) < 70).then(pl.lit("20")).otherwise(pl.lit("19")) + year)
        .otherwise(year)
    )
    read = pl.concat_str([century, month.str.zfill(2), day.str.zfill(2)], separator="-").str.to_date("%Y-%m-%d", strict=False)
    picked = picked.with_columns(read.alias("_day"))
    wrong = picked.filter((text != "") & pl.col("_day").is_null())
    calendar = wrong.filter(text.str.contains(_DAY))
    _tell(
        problems,
        calendar,
        name,
        headers,
        "no_such_day",
        f"is no day of the calendar (read as {order})",
        "Correct the date, or the order of day and month.",
    )
    _tell(
        problems, wrong.filter(~text.str.contains(_DAY)), name, headers, "not_a_date", "is not a date", "Write it as 2026-01-31."
    )
    far = picked.filter((pl.col("_day") < EARLIEST) | (pl.col("_day") > LATEST))
    _tell(problems, far, name, headers, "date_out_of_range", "lies outside 1900 to 2199", "Correct the year.")
    return picked.with_columns(pl.col("_day").alias(name)).drop("_day")


def _decimal_mark(cells: pl.Series, header: str) -> str:
    """The decimal mark that the column itself proves: the last mark before one or two digits, never a lone group of three."""
    found = set(cells.drop_nulls().str.extract(r"([.,])\d{1,2}-?\)?$", 1).drop_nulls().to_list())
    both = set(cells.drop_nulls().str.extract(r"[.,].*([.,])\d+-?\)?$", 1).drop_nulls().to_list())
    if len(found) == 1:
        return str(found.pop())
    if not found and len(both) == 1:
        return str(both.pop())
    if not found and not bool(cells.drop_nulls().str.contains(r"[.,]").any()):
        return "."
    raise SheetRefused(
        f"Column {header} uses both '.' and ',' as decimal mark."
        if len(found) > 1
        else f"Nothing in column {header} tells its decimal mark.",
        field=header,
        remedy="Say it: --decimal-mark , or . (or decimal_mark in the profile).",
    )


def _amounts(
    picked: pl.DataFrame,
    name: str,
    column: Column,
    mark: str,
    exponents: pl.DataFrame,
    headers: dict[str, str],
    problems: list[pl.DataFrame],
) -> pl.DataFrame:
    text = pl.col(name).fill_null("")
    other = "," if mark == "." else "."
    body = text.str.replace_all(f"[{_MARKS}]", "'").str.replace_all("\u2212", "-").str.strip_chars("'")
    negative = body.str.contains(r"^\(.*\)$|^-|-$")
    bare = body.str.strip_chars("()+-").str.strip_chars("'")
    shape = rf"^(?:\d{{1,3}}(?:[{other}']\d{{3}})+|\d*)(?:[{mark}]\d*)?$"
    readable = bare.str.contains(shape) & bare.str.contains(r"\d")
    whole = bare.str.split(mark).list.first().str.replace_all(r"[^0-9]", "")
    fraction = (
        pl.when(bare.str.contains(mark, literal=True))
        .then(bare.str.split(mark).list.last())
        .otherwise(pl.lit(""))
        .str.strip_chars_end("0")
    )
    picked = picked.join(exponents, on="row", maintain_order="left").with_columns(
        _ok=readable, _whole=whole, _fraction=fraction, _negative=negative
    )
    _tell(problems, picked.filter((text != "") & ~pl.col("_ok")), name, headers, "not_an_amount", f"is not an amount with {mark!r} as decimal mark",
          "Correct the cell, or set the decimal mark.")  # fmt: skip
    fine = picked.filter(pl.col("_ok") & (pl.col("_fraction").str.len_chars() > pl.col("exponent")))
    _tell(problems, fine, name, headers, "too_many_decimals", "has more decimals than its currency", "Round it at its source.")
    huge = picked.filter(pl.col("_ok") & (pl.col("_whole").str.len_chars() + pl.col("exponent") > 17))
    _tell(problems, huge, name, headers, "amount_too_large", "is too large to book", "Check the decimal mark.")
    digits = (
        pl.col("_whole")
        + pl.col("_fraction")
        + pl.lit("0").repeat_by((pl.col("exponent") - pl.col("_fraction").str.len_chars()).clip(0)).list.join("")
    )
    minor = pl.when((text != "") & pl.col("_ok")).then(digits.cast(pl.Int64, strict=False))
    sign = pl.when(pl.col("_negative") != column.negate).then(-1).otherwise(1)
    return picked.with_columns((minor * sign).alias(name)).drop("_ok", "_whole", "_fraction", "_negative", "exponent")


def _tell(
    problems: list[pl.DataFrame], rows: pl.DataFrame, name: str, headers: dict[str, str], code: str, what: str, remedy: str
) -> None:
    if rows.is_empty():
        return
    header: Any = headers.get(name, name)
    value = pl.col(name).fill_null("").str.slice(0, 60) if name in rows.columns else pl.lit("")
    shown = pl.when(value == "").then(pl.lit("The cell")).otherwise(pl.format("'{}'", value))
    problems.append(
        rows.select(
            "row", column=pl.lit(header), value=value, code=pl.lit(code),
            message=pl.format("Row {}, column {}: {} {}.", "row", pl.lit(header), shown, pl.lit(what)), remedy=pl.lit(remedy),
        )
    )  # fmt: skip
