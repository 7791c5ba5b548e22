"""Price models of items: what each needs, and what is wrong with a price, told at its field before anybody is billed by it.

per_unit              a price a unit; the first `included_micro` cost nothing
package               a price for each begun package of `package_micro`; the first `included_micro` cost nothing
graduated             each unit (or begun block of `block_micro`) at the price of its own tier, and the fee of each tier that is reached
volume                all units at the price of the tier that is reached
percentage            a share of each transaction's value, with a fee, an allowance, a least and a most a transaction
graduated_percentage  each part of the value by the share of its own tier
dynamic               what the events themselves say (property `amount`)
commitment            no price of its own: what is missing of a least amount of several items, or beyond a most
matrix                a price a unit by properties of the events; the first row that fits holds
capacity              a price of the period by the limits of several meters; the first row whose every limit holds
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from topline.kernel.errors import Invalid, ensure
from topline.kernel.money import MAX_MINOR
from topline.metering.models import LEVELS

COMMITMENT = "commitment"
MODELS = (
    "per_unit",
    "package",
    "graduated",
    "volume",
    "percentage",
    "graduated_percentage",
    "dynamic",
    "matrix",
    "capacity",
    COMMITMENT,
)
OF_FEES = ("per_unit", "package", "graduated", "volume")  # a quantity that is agreed has no events
BY_TIERS = ("graduated", "volume", "graduated_percentage")
BY_CONDITIONS = ("matrix", "capacity")
BY_ROWS = (*BY_TIERS, *BY_CONDITIONS)
BY_UNIT_PRICE = ("per_unit", "package")
EACH = ("fee_nano", "free_count", "free_minor", "each_least_minor", "each_most_minor")  # of a transaction
TERMS = {"included_micro": BY_UNIT_PRICE, "package_micro": ("package",), "share_ppm": ("percentage",)} | dict.fromkeys(EACH, ("percentage",))  # fmt: skip
PRICE = ("unit_price_nano", "price_model", "tiers", *TERMS, "minimum_minor", "maximum_minor")  # what a changed item keeps
PPM = 1_000_000
MAX_ROWS = 200
MAX_NANO = MAX_MINOR  # both are kept in 64 bits
TOO_LARGE = "The price is too large to be kept: at most 92,233,720.36 a unit, in a currency with two decimals."
ROWS = pl.List(
    pl.Struct(
        {
            "up_to": pl.Int64, "up_to_micro": pl.Int64, "unit_price_nano": pl.Int64, "flat_fee_minor": pl.Int64, "share_ppm": pl.Int64, "block_micro": pl.Int64, "when": pl.List(pl.String),
        }
    )
)  # fmt: skip
CONDITION = {
    "matrix": (re.compile(r"[A-Za-z0-9_.-]{1,40}=.{1,100}"), "Write property=value, such as region=eu."),
    "capacity": (re.compile(r"[A-Za-z0-9_.-]{1,40}<=\d{1,12}(\.\d{1,6})?"), "Write meter<=units, such as CALLS<=1000."),
}
NAMES = {
    "per_unit": "a price a unit", "package": "packages", "graduated": "graduated tiers", "volume": "volume tiers", "percentage": "a share of each transaction",
    "graduated_percentage": "graduated shares", "dynamic": "what the events say", "matrix": "by properties", "capacity": "by the limits of meters", COMMITMENT: "a least or a most of several items",
}  # fmt: skip
FIELD_NAMES = {
    "included_micro": "included units", "package_micro": "the size of a package", "share_ppm": "the share", "fee_nano": "the fee of a transaction", "free_count": "free transactions",
    "free_minor": "the free amount", "each_least_minor": "the least of a transaction", "each_most_minor": "the most of a transaction",
}  # fmt: skip


def ensure_price(row: Mapping[str, Any], *, method: str | None) -> None:
    """Refuse a price that cannot be billed by.

    row     the item as the verbs take it; method: how its meter counts, None where the quantity is agreed
    Raises: Invalid, at the field: a model that is unknown or needs a meter, a term that the model has not, tiers with overlaps, prices below zero.
    """
    model, rows = row.get("price_model") or "per_unit", row.get("tiers") or []
    ensure(model in MODELS, Invalid(f"{model!r} is no price model.", field="price_model", remedy=f"Use one of {', '.join(MODELS)}."))  # fmt: skip
    ensure(model != COMMITMENT or method is None, Invalid("A commitment is of what other items come to, not of a meter.", field="meter_id", remedy="Leave the meter empty."))  # fmt: skip
    ensure(model != COMMITMENT or row.get("minimum_minor") is not None or row.get("maximum_minor") is not None, Invalid("A commitment has a least or a most amount.", field="minimum_minor", remedy="Say at least one of them."))  # fmt: skip
    ensure(method is not None or model in (*OF_FEES, COMMITMENT), Invalid(f"{NAMES[model].capitalize()} is a price for what is metered.", field="meter_id", remedy="Name the meter."))  # fmt: skip
    price = row.get("unit_price_nano")
    ensure(price is None or price >= 0, Invalid("A price is zero or more; money back is a credit note.", field="unit_price_nano"))
    ensure((price or 0) <= MAX_NANO, Invalid(TOO_LARGE, field="unit_price_nano", remedy="Raise the quantity instead."))
    for name, models in TERMS.items():
        value = row.get(name)
        ensure(value is None or model in models, Invalid(f"A price of this model ({NAMES[model]}) does not have {FIELD_NAMES[name]}.", field=name, remedy=f"Leave it empty, or use {' or '.join(models)}."))  # fmt: skip
        ensure(value is None or 0 <= value <= MAX_NANO, Invalid(f"{FIELD_NAMES[name].capitalize()}: zero or more, and not that much.", field=name))  # fmt: skip
    ensure(model != "package" or (row.get("package_micro") or 0) > 0, Invalid("A package holds more than nothing.", field="package_micro", remedy="Say how many units it holds."))  # fmt: skip
    ensure(model != "percentage" or row.get("share_ppm") is not None, Invalid("A share of each transaction needs the share.", field="share_ppm"))  # fmt: skip
    least, most = row.get("each_least_minor"), row.get("each_most_minor")
    ensure(least is None or most is None or most >= least, Invalid("The most of a transaction is less than its least.", field="each_most_minor"))  # fmt: skip
    _ensure_rows(model, rows)
    ensure(model != "matrix" or method not in LEVELS, Invalid("A level over time has no properties to price it by.", field="price_model", remedy="Use a meter that sums or counts."))  # fmt: skip


def is_priced(item: Any) -> bool:
    """Whether an item (its row, or the model) says what it costs."""
    return item.price_model not in BY_UNIT_PRICE or item.unit_price_nano is not None


def price_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item that make its price, as they are kept: what the model does not read is left out."""
    model = row.get("price_model") or "per_unit"
    told: dict[str, Any] = {name: row[name] for name in PRICE if row.get(name) is not None and name != "tiers"}
    of = "share_ppm" if model == "graduated_percentage" else "unit_price_nano"
    if model in BY_CONDITIONS:
        told["tiers"] = [{"when": list(r.get("when") or []), of: r[of]} for r in row.get("tiers") or []]
    else:
        told["tiers"] = [
            {"up_to": r.get("up_to"), **({"up_to_micro": r["up_to_micro"]} if r.get("up_to_micro") else {}), of: r[of], "flat_fee_minor": r.get("flat_fee_minor") or 0} | ({"block_micro": r["block_micro"]} if r.get("block_micro") else {}) for r in row.get("tiers") or []
        ]  # fmt: skip
    return told


def limits(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, str]]:
    """The limits of a price by capacity: number of the row, code of the meter, units as written."""
    return [(n, *condition.split("<=", 1)) for n, row in enumerate(rows) for condition in row.get("when") or []]


def raised(price: Mapping[str, Any], ppm: int) -> dict[str, Any]:
    """The amounts of money of a price, higher (or lower) by a share, each rounded half up; shares, sizes and limits stay."""

    def up(amount: int | None) -> int | None:
        return None if amount is None else (amount * (PPM + ppm) + PPM // 2) // PPM

    told: dict[str, Any] = {name: up(price[name]) for name in ("unit_price_nano", "fee_nano")}
    money = ("unit_price_nano", "flat_fee_minor")
    return told | {"tiers": [{name: up(value) if name in money else value for name, value in r.items()} for r in price["tiers"]]}


def _ensure_rows(model: str, rows: list[Mapping[str, Any]]) -> None:
    by_rows = model in BY_ROWS
    ensure(
        by_rows == bool(rows),
        Invalid(
            "Graduated and volume prices have tiers, prices by properties or limits have rows, others have none.", field="tiers"
        ),
    )
    ensure(len(rows) <= MAX_ROWS, Invalid(f"A price has at most {MAX_ROWS} rows.", field="tiers"))
    of = "share_ppm" if model == "graduated_percentage" else "unit_price_nano"
    for number, row in enumerate(rows, start=1):
        ensure(row.get(of) is not None, Invalid(f"Row {number} has no price.", field="tiers"))
        ensure(row[of] >= 0 and (row.get("flat_fee_minor") or 0) >= 0, Invalid(f"Row {number}: prices and fees of tiers are zero or more.", field="tiers"))  # fmt: skip
        ensure(max(row[of], row.get("flat_fee_minor") or 0) <= MAX_NANO, Invalid(f"Row {number}: {TOO_LARGE[0].lower()}{TOO_LARGE[1:]}", field="tiers"))  # fmt: skip
        ensure((_edge(row) or 0) <= MAX_NANO, Invalid(f"Row {number}: a tier ends below {MAX_NANO // PPM:,} units, or has no end.", field="tiers"))  # fmt: skip
        ensure((row.get("block_micro") or 0) >= 0, Invalid(f"Row {number}: a block holds more than nothing.", field="tiers"))
        conditions = row.get("when") or []
        ensure(model in BY_CONDITIONS or not conditions, Invalid(f"Row {number}: only prices by properties or limits have conditions.", field="tiers"))  # fmt: skip
        for condition in conditions:
            form, remedy = CONDITION[model]
            ensure(bool(form.fullmatch(condition)), Invalid(f"Row {number}: {condition!r} is no condition.", field="tiers", remedy=remedy))  # fmt: skip
    if model in BY_CONDITIONS:
        seen = [frozenset(row.get("when") or []) for row in rows]
        ensure(len(set(seen)) == len(seen), Invalid("Two rows have the same conditions.", field="tiers", remedy="Leave one of them out."))  # fmt: skip
        ensure(frozenset() not in seen[:-1], Invalid("The row without conditions holds for all that is left: it comes last.", field="tiers"))  # fmt: skip
    elif rows:
        ends = [_edge(row) for row in rows]
        rising = all(end is not None and end > ((ends[n - 1] or 0) if n else 0) for n, end in enumerate(ends[:-1]))
        ensure(rising and ends[-1] is None, Invalid("Each tier ends above the one before, and the last has no end.", field="tiers", remedy="Leave no gap and no overlap."))  # fmt: skip


def _edge(row: Mapping[str, Any]) -> int | None:
    """Where a tier ends, in millionths of a unit; None: nowhere."""
    whole = row.get("up_to")
    ensure(
        whole is None or row.get("up_to_micro") is None,
        Invalid("A tier ends once.", field="tiers", remedy="Give up_to, or up_to_micro."),
    )
    return row.get("up_to_micro") if whole is None else whole * PPM
