"""Amounts of credit notes: they never differ from the invoice by a cent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from topline.engine.documents import EXACT, line_tax, round_half_away
from topline.kernel.errors import Conflict, Invalid, ensure

MICRO, NANO = 10**6, 10**9
MAX_I64 = 2**63 - 1


class CreditTooLarge(Conflict):
    """More is asked back of a line than is left of it."""

    code = "credit_too_large"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of an invoice's line is credited: a number of units, a net amount of the line's sign, or (neither) all that is left."""

    position: int
    quantity_micro: int | None = None
    net_minor: int | None = None


def credit_chosen(lines: pl.DataFrame, credited: pl.DataFrame, chosen: Sequence[Chosen]) -> pl.DataFrame:
    """The lines of a credit note over chosen lines of an invoice, from what earlier credit notes left of them.

    lines     the invoice's lines: position, quantity_micro, unit_price_nano, discount_ppm, net_minor, tax_minor and whatever else is kept
    credited  per position what was credited so far: position, net_minor, tax_minor, credits_micro (units)
    returns   one row per chosen line, in the invoice's order: net_minor and tax_minor of this credit note, credits_micro (units taken back;
              null: an amount), quantity and unit price such that quantity x price = net
    Both amounts are differences of what is credited in all, rounded once, so that parts of a line add up to it: whoever takes the last unit
    takes the net that is left, and whoever takes the last of the net takes the tax that is left. Work: O(lines of one document).
    Raises: Invalid (a line twice, no such line, units and amount, zero, the wrong sign), CreditTooLarge.
    """
    known = {row["position"]: row for row in lines.to_dicts()}
    gone = {row["position"]: row for row in credited.to_dicts()}
    none = {"net_minor": 0, "tax_minor": 0, "credits_micro": 0}
    places = [each.position for each in chosen]
    ensure(bool(places), Invalid("No line is chosen.", field="lines", remedy="Choose at least one line."))
    ensure(len(set(places)) == len(places), Invalid("A line is chosen twice.", field="lines", remedy="Choose each line once."))
    lost = sorted(set(places) - set(known))
    ensure(not lost, Invalid(f"The invoice has no line {lost[0] if lost else ''}.", field="lines"))
    rows = [
        _credited(known[each.position], gone.get(each.position, none), each) for each in sorted(chosen, key=lambda c: c.position)
    ]
    return pl.DataFrame(rows, schema={**lines.schema, "credits_micro": pl.Int64}, orient="row")


def _credited(line: dict[str, Any], gone: dict[str, Any], chosen: Chosen) -> dict[str, Any]:
    at, net, tax = f"line {chosen.position}", line["net_minor"], line["tax_minor"]
    left, tax_left = net - gone["net_minor"], tax - gone["tax_minor"]
    ensure(bool(left or tax_left), CreditTooLarge(f"Nothing of {at} is left.", field="lines", remedy="Leave the line out."))
    units, back = chosen.quantity_micro, left
    if units is not None:
        ensure(
            chosen.net_minor is None,
            Invalid(f"Of {at}, credit units or an amount.", field="lines", remedy="Leave one of them out."),
        )
        whole, before = abs(line["quantity_micro"]), gone["credits_micro"]
        ensure(units > 0, Invalid(f"Of {at}, credit more than no unit.", field="lines"))
        ensure(
            before + units <= whole,
            CreditTooLarge(
                f"Of {at}, {(whole - before) / MICRO:g} units are left.", field="lines", remedy="Credit at most those."
            ),
        )
        if before + units < whole:
            step = _share(net, before + units, whole) - _share(net, before, whole)
            back = min(step, left) if net >= 0 else max(step, left)
    elif chosen.net_minor is not None:
        back = chosen.net_minor
        ensure(
            back != 0 and (back > 0) == (left > 0),
            Invalid(f"Of {at}, credit an amount other than zero, of the line's own sign.", field="lines"),
        )
        ensure(
            abs(back) <= abs(left),
            CreditTooLarge(f"Of {at}, less than that is left.", field="lines", remedy="Credit at most what is left."),
        )
    else:
        units = abs(line["quantity_micro"]) - gone["credits_micro"] or None  # all that is left goes back with its units
    tax_back = tax_left
    if back != left and net:
        step = _share(tax, abs(gone["net_minor"] + back), abs(net)) - gone["tax_minor"]
        tax_back = min(max(step, 0), tax_left) if tax >= 0 else max(min(step, 0), tax_left)
    ensure(bool(back or tax_back), Invalid(f"Of {at}, that is less than a cent.", field="lines", remedy="Credit more of it."))
    quantity, price = MICRO, back * NANO
    if units is not None:
        price = (abs(back) * MICRO * NANO + units // 2) // units
        if not line["discount_ppm"] and _share(abs(line["unit_price_nano"]), units, MICRO * NANO) == abs(back):
            price = abs(line["unit_price_nano"])
        quantity, price = (units, price if back >= 0 else -price) if price <= MAX_I64 else (MICRO, back * NANO)
    return {**line, "net_minor": back, "tax_minor": tax_back, "credits_micro": units, "quantity_micro": quantity, "unit_price_nano": price, "discount_ppm": 0}  # fmt: skip


def _share(amount: int, part: int, whole: int) -> int:
    """amount x part / whole, rounded half away from zero."""
    sign = -1 if amount < 0 else 1
    return sign * ((2 * abs(amount) * part + whole) // (2 * whole))


def credited_tax(notes: pl.DataFrame) -> pl.DataFrame:
    """The tax of credit notes over an invoice, such that a wholly credited invoice gets exactly its tax back.

    notes    one row per credit note, in order of issue within an invoice: invoice_id, net_minor (credited), invoice_net_minor,
             invoice_tax_minor, tax_rate_ppm
    returns  notes with tax_minor and total_minor: each rounded alone, the note that credits the rest takes the tax that is left;
             none takes more than is left
    Work: O(n).
    """
    so_far = pl.col("net_minor").cum_sum().over("invoice_id")
    gone = pl.min_horizontal(pl.col("_alone").cum_sum().over("invoice_id"), "invoice_tax_minor")
    gone = pl.when(so_far >= pl.col("invoice_net_minor")).then("invoice_tax_minor").otherwise(gone)
    return (
        notes.with_columns(_alone=line_tax())
        .with_columns(_gone=gone)
        .with_columns(tax_minor=pl.col("_gone") - pl.col("_gone").shift(1, fill_value=0).over("invoice_id"))
        .with_columns(total_minor=pl.col("net_minor") + pl.col("tax_minor"))
        .drop("_alone", "_gone")
    )


def credited_discount(parts: pl.DataFrame) -> pl.DataFrame:
    """A partly credited fee gives back its discount in proportion.

    parts    one row per credited fee: amount_minor (the fee), discount_minor (on it), credited_minor (of the fee, before
             discount), tax_rate_ppm
    returns  parts with back_minor (discount taken off the credit), net_minor, tax_minor, total_minor
    Work: O(n).
    """
    back = pl.col("credited_minor").cast(EXACT) * pl.col("discount_minor").cast(EXACT) / pl.col("amount_minor").cast(EXACT)
    return (
        parts.with_columns(back_minor=round_half_away(back))
        .with_columns(net_minor=pl.col("credited_minor") - pl.col("back_minor"))
        .with_columns(tax_minor=line_tax())
        .with_columns(total_minor=pl.col("net_minor") + pl.col("tax_minor"))
    )


def offset_progressive(charges: pl.DataFrame) -> pl.DataFrame:
    """What was billed inside the period is taken off the charge it was for; what was overpaid becomes a credit note.

    charges  one row per charge: amount_minor (of the whole period), progressive_minor (the latest invoice inside the period: it
             is cumulative)
    returns  charges with credit_minor, due_minor and overpaid_minor
    Work: O(n).
    """
    credit = pl.min_horizontal("amount_minor", "progressive_minor")
    return charges.with_columns(credit_minor=credit).with_columns(
        due_minor=pl.col("amount_minor") - pl.col("credit_minor"),
        overpaid_minor=pl.col("progressive_minor") - pl.col("credit_minor"),
    )
