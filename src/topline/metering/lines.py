"""Usage events as lines of JSON: read with exact quantities, each bad line told by its number while the others are kept."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import msgspec
import polars as pl

MAX_LINE = 1_000_000  # bytes of an event
DECIMALS = 6
TEXT = ("key", "meter", "customer", "at", "value", "unique_key", "properties")
PLAIN = rf"^-?[0-9]{{1,13}}(\.[0-9]{{1,{DECIMALS}}}0*)?$"
MICRO = 10**DECIMALS
LARGEST = 9_000_000_000_000  # units of one event, so that its millionths fit

NOTHING = msgspec.Raw(b"null")
Text = str | int | None
Scalar = str | int | float | bool | None


class Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One event as it is sent. The quantity is kept as it was written: a float would round it unseen."""

    key: Text = None
    meter: Text = None
    customer: Text = None
    at: Text = None
    value: msgspec.Raw = NOTHING
    unique_key: Text = None
    properties: dict[str, Scalar] | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines as they were read: the events with the number of the line of each, and what is wrong with the others: (line, why)."""

    events: list[Line]
    numbers: list[int]
    problems: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of some lines, as `record_events` takes them with their `line`, and what is wrong with the others: (line, why)."""

    events: pl.DataFrame
    problems: list[tuple[int, str]]


_line = msgspec.json.Decoder(Line)
_written = msgspec.json.Encoder().encode


def read(content: bytes, *, first: int = 1) -> Lines:
    """The events of JSON lines; empty lines are passed over. first: the number of the first line. Work: O(bytes)."""
    try:
        if len(content) <= MAX_LINE:  # then no line is longer
            found = _line.decode_lines(content)
            if len(found) == content.count(b"\n") + (not content.endswith(b"\n")):
                return Lines(found, list(range(first, first + len(found))), [])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # read line by line, so that it is known which one it was
    found, numbers, problems = [], [], []
    for number, line in enumerate(content.split(b"\n"), first):
        try:
            if len(line) > MAX_LINE:
                problems.append((number, "It is longer than a megabyte."))
            elif line.strip():
                found.append(_line.decode(line))
                numbers.append(number)
        except msgspec.ValidationError as error:
            problems.append((number, f"It cannot be taken: {error}."))
        except (msgspec.DecodeError, UnicodeDecodeError):
            problems.append((number, "It cannot be read."))
    return Lines(found, numbers, problems)


def frame(found: list[Line]) -> pl.DataFrame:
    """Events as texts: the columns of TEXT."""
    columns = {name: [getattr(e, name) for e in found] for name in ("key", "meter", "customer", "at", "unique_key")}
    columns["value"] = [bytes(e.value).decode().strip('"') for e in found]
    columns["properties"] = [None if e.properties is None else _written(e.properties).decode() for e in found]
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String), strict=False).select(TEXT)


def checked(rows: pl.DataFrame) -> pl.DataFrame:
    """Events from texts: moments as UTC, quantities as millionths, and why one cannot be taken.

    rows     one row per event: the columns of TEXT, and any others
    returns  the same rows with at datetime, value_micro i64 in place of value, and wrong str (null where all is well)
    """
    value = pl.col("value").replace("null", None).fill_null("1").str.strip_chars()
    rows = rows.with_columns(_plain=value, _said=pl.col("at").fill_null("").str.strip_chars())
    if not rows["_plain"].str.contains(PLAIN).all():  # one is written as 1e3, or is no number at all
        rows = rows.with_columns(_plain=pl.col("_plain").map_elements(_plainly, return_dtype=pl.String))
    is_plain = pl.col("_plain").str.contains(PLAIN)
    whole = pl.col("_plain").str.extract(r"^-?([0-9]+)", 1).cast(pl.Int64, strict=False)
    texts = pl.concat_str(pl.col("key", "meter", "customer", "unique_key", "properties").fill_null(""))
    moment = pl.col("_said").str.to_datetime(time_zone="UTC", time_unit="us", strict=False).dt.replace_time_zone(None)
    wrong = (
        pl.when(texts.str.contains("\0", literal=True) | texts.str.contains(r"\u0000", literal=True))
        .then(pl.lit("A text holds a NUL character."))
        .when((pl.col("_said") != "") & pl.col("at").is_null())
        .then(pl.format("{} is no moment.", "_said"))
        .when(~pl.col("at").dt.year().is_between(1970, 2199))
        .then(pl.format("{} lies before 1970 or after 2199.", "_said"))
        .when(pl.col("_plain").is_null())
        .then(pl.format("{} is no quantity.", "value"))
        .when(whole.is_null() | (whole > LARGEST))
        .then(pl.format("{} is more than can be counted.", "value"))
        .when(~is_plain)
        .then(pl.format("{} has more than six decimals.", "value"))
    )
    micro = (pl.when(is_plain).then("_plain").cast(pl.Decimal(38, DECIMALS), strict=False) * MICRO).cast(pl.Int64, strict=False)
    return (
        rows.lazy()
        .with_columns(at=moment)
        .with_columns(wrong=wrong.str.slice(0, 200), value_micro=micro)
        .drop("_plain", "_said", "value")
        .collect(engine="in-memory")
    )


def batch(rows: pl.DataFrame, problems: list[tuple[int, str]]) -> Batch:
    """What can be taken of texts with their `line`, beside what is wrong with other lines."""
    told = checked(rows)
    found = told.filter(pl.col("wrong").is_not_null()).select("line", "wrong").rows()
    return Batch(told.filter(pl.col("wrong").is_null()).drop("wrong"), sorted([*problems, *found]))


# --- parts ---
def _plainly(text: str) -> str | None:
    """A number without its exponent; null where it is none."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    if not found.is_finite():
        return None
    return format(found, "f") if -40 < found.adjusted() < 40 else str(LARGEST + 1) if found.adjusted() > 0 else "0.0000001"
