"""Arithmetic of invoices and credit notes: lines, taxes and totals that always add up.

A line is rounded once, to the minor unit, half away from zero. Tax is rounded per line or per document and tax group, as the
caller's rule says; what rounding leaves over goes through one allocator (largest remainder), so that no two documents can
disagree by a cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import polars as pl

from topline.kernel import money
from topline.kernel.errors import Invalid, ensure

EXACT = pl.Decimal(38, 15)
PPM = 1_000_000
TAX_ROUNDINGS = ("line", "document")


@dataclass(frozen=True, slots=True)
class Tax:
    """One tax on a line. Taxes of the same sequence share a base; `raises_base` adds this tax to the base of later ones.

    percent  share of the base in percent, or fixed: an amount per unit
    """

    percent: Decimal | None = None
    fixed: Decimal | None = None
    sequence: int = 10
    raises_base: bool = False


@dataclass(frozen=True, slots=True)
class TaxAmount:
    """What one tax is on: its base and the tax itself, both exact."""

    base: Decimal
    tax: Decimal


def round_half_away(exact: pl.Expr) -> pl.Expr:
    """Exact minor units to whole ones, half away from zero (EN 16931 leaves the mode to the seller; ours is the common one)."""
    return exact.round(0, mode="half_away_from_zero").cast(pl.Int64)


def line_tax() -> pl.Expr:
    """The tax of a line that is rounded by itself: net_minor at tax_rate_ppm (millionths)."""
    return round_half_away(_exact_tax())


def ensure_tax_rounding(rule: str) -> None:
    """Raises: Invalid, for a way to round tax that there is not."""
    ensure(rule in TAX_ROUNDINGS, Invalid(f"{rule!r} is no way to round tax.", field="tax_rounding", remedy=f"Use {' or '.join(TAX_ROUNDINGS)}."))  # fmt: skip


def with_tax(lines: pl.DataFrame, *, tax_rounding: str, document: Sequence[str] = ("ref",)) -> pl.DataFrame:
    """Lines with tax_minor i64.

    lines         net_minor i64, tax_category str, tax_rate_ppm i64, and the columns that name the document
    tax_rounding  line: each by itself; document: the tax of a group (category, rate, and sign: charges and refunds stay apart) is
                  rounded once and shared over its lines by largest remainder
    Raises: Invalid (another rounding). Source: EN 16931 BR-CO-14, BR-S-08. Work: O(lines).
    """
    ensure_tax_rounding(tax_rounding)
    if tax_rounding == "line":
        return lines.with_columns(tax_minor=line_tax())
    group = [*document, "tax_category", "tax_rate_ppm", "_refund"]
    rows = lines.with_columns(_refund=pl.col("net_minor") < 0, _exact=_exact_tax())
    total = round_half_away(pl.col("_exact").sum().over(group))
    return rows.with_columns(tax_minor=largest_remainder(pl.col("_exact"), total, over=group)).drop("_refund", "_exact")


def price_lines(lines: pl.DataFrame, *, tax_rounding: str = "line") -> pl.DataFrame:
    """Net and tax of document lines.

    lines    one row per line: ref (its document), quantity_micro i64 (millionths), unit_price_nano i64 (billionths of a minor unit),
             discount_ppm i64, tax_category str, tax_rate_ppm i64; tax_rounding: as in `with_tax`
    returns  the same rows with net_exact decimal(38,15), net_minor i64 and tax_minor i64
    Source: EN 16931 BR-CO-10. Work: O(lines).
    """
    # millionths x billionths: the product has 15 decimals and is exact
    gross = (pl.col("quantity_micro").cast(EXACT) / 10**6) * (pl.col("unit_price_nano").cast(EXACT) / 10**9)
    rows = lines.with_columns(net_exact=gross * ((PPM - pl.col("discount_ppm")).cast(EXACT) / PPM))
    return with_tax(rows.with_columns(net_minor=round_half_away(pl.col("net_exact"))), tax_rounding=tax_rounding)


def largest_remainder(exact: pl.Expr, total: pl.Expr, *, over: Sequence[str]) -> pl.Expr:
    """Whole parts of exact shares that add up to a whole total: the largest fractions get the units that are left.

    A share of zero never gets one. Ties go to the earlier row.
    """
    down = exact.abs().floor()
    left = total.abs() - down.sum().over(over).cast(pl.Int64)
    fraction = pl.when(exact == 0).then(-1.0).otherwise((exact.abs() - down).cast(pl.Float64))
    rank = fraction.rank("ordinal", descending=True).over(over)
    part = down.cast(pl.Int64) + (rank <= left).cast(pl.Int64)
    return pl.when(total < 0).then(-part).otherwise(part)


def credit_lines(lines: pl.DataFrame, credited: pl.DataFrame, *, total_minor: int) -> pl.DataFrame:
    """The lines of a credit note over a gross part of an invoice, from what earlier credit notes left of it.

    lines     the invoice's lines: position, net_minor, tax_minor and whatever else is kept
    credited  per position what was credited so far: position, net_minor, tax_minor
    returns   the lines that get something, with net_minor and tax_minor of this credit note, unit price and quantity such that
              quantity 1 x price = net; their gross adds up to total_minor
    The shares are what is left of each line's net and tax; a credit of all that is left takes exactly that.
    Raises: Invalid when more is asked than is left.
    """
    rest = lines.join(credited, on="position", how="left", suffix="_gone", maintain_order="left").with_columns(
        net=pl.col("net_minor") - pl.col("net_minor_gone").fill_null(0),
        tax=pl.col("tax_minor") - pl.col("tax_minor_gone").fill_null(0),
    )
    left = [*rest["net"].to_list(), *rest["tax"].to_list()]
    ensure(
        0 < total_minor <= sum(left),
        Invalid(f"{total_minor} minor units cannot be credited: {sum(left)} are left.", field="total_minor"),
    )
    parts = _shares_within(total_minor, left)
    half = len(parts) // 2
    return (
        rest.with_columns(net_minor=pl.Series(parts[:half], dtype=pl.Int64), tax_minor=pl.Series(parts[half:], dtype=pl.Int64))
        .filter((pl.col("net_minor") != 0) | (pl.col("tax_minor") != 0))
        .with_columns(
            quantity_micro=pl.lit(PPM, dtype=pl.Int64),
            unit_price_nano=pl.col("net_minor") * 10**9,
            discount_ppm=pl.lit(0, dtype=pl.Int64),
        )
        .drop("net", "tax", "net_minor_gone", "tax_minor_gone")
    )


def stacked_taxes(*, unit_price: Decimal, quantity: Decimal, taxes: Sequence[Tax]) -> list[TaxAmount]:
    """Taxes on a line when some raise the base of later ones; one row per tax, in order of sequence.

    Fixed taxes are per unit. Taxes of one sequence share one base; only those flagged raise the base of LATER sequences.
    """
    base, raised, found = unit_price * quantity, Decimal(0), []
    previous: int | None = None
    for tax in sorted(taxes, key=lambda t: t.sequence):
        if tax.sequence != previous:
            base, raised, previous = base + raised, Decimal(0), tax.sequence
        amount = tax.fixed * quantity if tax.fixed is not None else base * (tax.percent or Decimal(0)) / 100
        found.append(TaxAmount(base=base, tax=amount))
        raised += amount if tax.raises_base else Decimal(0)
    return found


def net_from_gross(*, gross_unit: Decimal, taxes: Sequence[Tax]) -> Fraction:
    """The unit price from which these taxes lead to a gross unit price: the exact solution of a linear equation."""

    def gross(price: Fraction) -> Fraction:
        base, raised, total = price, Fraction(0), price
        previous: int | None = None
        for tax in sorted(taxes, key=lambda t: t.sequence):
            if tax.sequence != previous:
                base, raised, previous = base + raised, Fraction(0), tax.sequence
            amount = Fraction(tax.fixed) if tax.fixed is not None else base * Fraction(tax.percent or 0) / 100
            total += amount
            raised += amount if tax.raises_base else 0
        return total

    at_zero = gross(Fraction(0))
    return (Fraction(gross_unit) - at_zero) / (gross(Fraction(1)) - at_zero)


def share_residual(*, amount: Decimal, rates_percent: Sequence[Decimal], step: Decimal = Decimal("0.01")) -> list[Decimal]:
    """Taxes of one base rounded so that together they are the rounded sum; a tax of zero rate never takes the odd cent."""
    exact = [amount * rate / 100 for rate in rates_percent]
    total = money.round_to_step(sum(exact, Decimal(0)), step, "half_away")
    parts = _shares_within(
        int(total / step), [int((e / step).to_integral_value(rounding="ROUND_CEILING")) for e in exact], weights=exact
    )
    return [part * step for part in parts]


def cash_basis(*, base_minor: int, tax_minor: int, gross_minor: int, paid_minor: int) -> tuple[int, int]:
    """Base and tax to report when tax falls due on payment: in proportion paid to gross, where gross holds every tax."""
    share = Decimal(paid_minor) / Decimal(gross_minor)
    return money.round_minor(base_minor * share), money.round_minor(tax_minor * share)


def final_lines(*, order_minor: int, advances_minor: Sequence[int]) -> list[int]:
    """Lines of a final invoice: each advance that was invoiced and stands comes back as a negative line, then the order."""
    return [*(-a for a in advances_minor), order_minor]


def _shares_within(total: int, limits: Sequence[int], weights: Sequence[Decimal] | None = None) -> list[int]:
    """Largest-remainder shares of a total by weights (default: the limits), none above its limit in size; signs follow the limits."""
    given = [abs(Fraction(w)) for w in (weights or [Decimal(v) for v in limits])]
    negative = [v < 0 for v in limits]
    whole = sum(-g if n else g for g, n in zip(given, negative, strict=True))
    if not whole:
        return [0] * len(limits)
    exact = [Fraction(total) * (-g if n else g) / whole for g, n in zip(given, negative, strict=True)]
    parts = [int(e) for e in exact]
    order = sorted((i for i, g in enumerate(given) if g), key=lambda i: (-abs(exact[i] - parts[i]), i))
    missing = total - sum(parts)
    for i in order:
        if missing == 0:
            break
        step = 1 if missing > 0 else -1
        if abs(parts[i] + step) <= abs(limits[i]) or limits[i] == 0:
            parts[i] += step
            missing -= step
    return parts


def _exact_tax() -> pl.Expr:
    return pl.col("net_minor").cast(EXACT) * (pl.col("tax_rate_ppm").cast(EXACT) / PPM)
