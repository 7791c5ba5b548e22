"""Bank sheets (CSV, TSV, XLSX): one reader, told by headers what each column means.

The columns of many banks go by a few dozen names; they stand in `profiles/*.yaml`, tried in order of how much they recognise.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl

from topline.bank.formats.model import Statement, StatementEntry, StatementRefused
from topline.engine.sheets import Profile, Sheet, Typed, load_profiles, read_sheet, typed
from topline.engine.sheets.profile import DateOrder, DecimalMark
from topline.engine.sheets.typed import find_header
from topline.kernel import money
from topline.kernel.errors import DomainError

FOLDER = Path(__file__).resolve().parent / "profiles"
OUT = ("d", "dr", "dbit", "debit", "s", "soll", "lastschrift", "belastung", "débit", "addebito", "-", "out")
IN = ("c", "cr", "crdt", "credit", "h", "haben", "gutschrift", "crédit", "accredito", "+", "in")
TEXTS = ("counterparty_name", "counterparty_account", "remittance_information", "bank_reference", "transaction_code")


def read(
    content: bytes,
    *,
    name: str = "",
    profile: str | Profile = "",
    currency: str | None = None,
    date_order: DateOrder | None = None,
    decimal_mark: DecimalMark | None = None,
) -> list[Statement]:
    """A sheet of bank movements as one statement per currency.

    profile   a profile or the id of one of ours; "" tries all and takes the one that recognises most columns
    currency  of amounts where the sheet names none; date_order, decimal_mark  instead of the profile's
    Opening and closing come from the running balances (or, where there are none, from the cells that the profile names); every
    balance that the sheet gives must follow from the one before it.
    Raises: StatementRefused with the first rows that cannot be read, or why no profile fits.
    """
    sheet = read_sheet(content, name=name, drop_nul=True)
    using = _chosen(profile) if profile else _recognised(sheet)
    if using.delimiter or not using.drop_nul:
        sheet = read_sheet(content, name=name, delimiter=using.delimiter, drop_nul=using.drop_nul)
    header_at, places = find_header(sheet, using)
    headers = [str(sheet.cells[f"c{place}"][header_at]) for name, place in places.items() if using.columns[name].type == "amount"]
    named = _named_by(headers) or using.currency
    if not named and not currency and "currency" not in places:
        raise StatementRefused(
            "The sheet names no currency.", field="currency", remedy="Say it: --currency EUR (or in the profile)."
        )
    using = replace(
        using,
        constants={**using.constants, "currency": named or currency or ""},
        date_order=date_order or using.date_order,
        decimal_mark=decimal_mark or using.decimal_mark,
    )
    result = typed(sheet, using)
    if result.problems.height:
        first = result.problems.row(0, named=True)
        raise StatementRefused(
            f"{result.problems.height} cells cannot be read; the first: {first['message']}",
            field="file",
            remedy=first["remedy"],
            row=first["row"],
        )
    assumed = not named and "currency" not in places
    return _statements(result, using, [f"The sheet names no currency; {using.currency} was taken."] if assumed else [])


def _named_by(headers: list[str]) -> str:
    """The currency that the headers of amounts name, as "Credit in CHF" or "Betrag (EUR)" do."""
    codes = {match[1] for header in headers if (match := re.search(r"(?:\bin |\()([A-Z]{3}|€)\)?\s*$", header))}
    return {"€": "EUR"}.get(code := codes.pop(), code) if len(codes) == 1 else ""


def _statements(result: Typed, using: Profile, notes: list[str]) -> list[Statement]:
    rows = _with_amount(result.rows, using)
    if "currency" not in rows.columns:
        rows = rows.with_columns(currency=pl.lit(using.currency))
    rows = rows.with_columns(pl.col("currency").replace("", None).fill_null(using.currency))
    rows = rows.with_columns([pl.lit("").alias(c) for c in TEXTS if c not in rows.columns])
    if "account" not in rows.columns:
        rows = rows.with_columns(account=pl.lit(result.facts.get("account", "")))
    if "value_on" not in rows.columns:
        rows = rows.with_columns(value_on=pl.lit(None, dtype=pl.Date))
    rows = rows.with_columns(booked_on=pl.coalesce("booked_on", "value_on")).drop_nulls("booked_on")
    if rows.is_empty():
        raise StatementRefused("The sheet holds no movement.", field="file", remedy="Check that it is the right file.")
    _check_footer(result, rows)
    groups = rows.partition_by("currency", maintain_order=True)
    given = _given_balances(result, str(rows["currency"][0])) if len(groups) == 1 else {}
    return [_statement(group, given, notes) for group in groups]


def _statement(rows: pl.DataFrame, given: dict[str, int], notes: list[str]) -> Statement:
    newest_first = rows["booked_on"][0] > rows["booked_on"][-1] or (
        rows["booked_on"][0] == rows["booked_on"][-1] and _falls(rows)
    )
    ordered = rows.reverse() if newest_first else rows
    entries = tuple(
        StatementEntry(
            amount_minor=amount, currency=code, booked_on=booked, value_on=value, **dict(zip(TEXTS, texts, strict=True))
        )
        for amount, code, booked, value, *texts in ordered.select(
            "amount", "currency", "booked_on", "value_on", *TEXTS
        ).iter_rows()
    )
    opening, closing = _running(ordered)
    if opening is None and not given.keys() >= {"opening", "closing"}:
        notes = [*notes, "The sheet gives no balances, so the sum could not be checked."]
    account = str(rows["account"][0] or "")
    return Statement(
        account="".join(account.split()), currency=str(ordered["currency"][0]), entries=entries, opening_minor=given.get("opening", opening),
        closing_minor=given.get("closing", closing), opening_on=ordered["booked_on"].min(), closing_on=ordered["booked_on"].max(), notes=tuple(notes),  # type: ignore[arg-type]
    )  # fmt: skip


def _running(ordered: pl.DataFrame) -> tuple[int | None, int | None]:
    """What stood on the account before the oldest row and after the newest, by the running balances (some banks give one a day).

    Raises: StatementRefused with the row whose balance does not follow from the one before it.
    """
    if "balance" not in ordered.columns or ordered["balance"].null_count() == ordered.height:
        return None, None
    begun = ordered.with_columns(_begun=pl.col("balance") - pl.col("amount").cum_sum()).drop_nulls("balance")
    odd = begun.filter(pl.col("_begun") != pl.col("_begun").shift(1))
    if odd.height:
        first = odd.row(0, named=True)
        expected = first["balance"] - first["_begun"] + begun.filter(pl.col("row") != first["row"])["_begun"][0]
        raise StatementRefused(
            f"The running balance of row {first['row']} does not add up: it is {money.format_amount(first['balance'], first['currency'])}, but the "
            f"movements before it lead to {money.format_amount(expected, first['currency'])} {first['currency']}.",
            field="file",
            remedy="Export the whole sheet again; nothing of it was stored.",
            row=first["row"],
        )
    opening = int(begun["_begun"][0])
    return opening, opening + int(ordered["amount"].sum())


def _given_balances(result: Typed, currency: str) -> dict[str, int]:
    """The opening and closing balance that stand outside the records; what cannot be read there counts as not given."""
    found = {}
    for name in ("opening", "closing"):
        value = _plain(result.facts.get(name, ""), result.detected.get("decimal mark", "."))
        try:
            if value is not None:
                found[name] = money.to_minor(value, currency)
        except DomainError:
            continue
    return found


def _check_footer(result: Typed, rows: pl.DataFrame) -> None:
    """An amount among the closing words must be a balance or the total of its column: no record may hide there."""
    mark = result.detected.get("decimal mark", ".")
    known = {text for text in result.facts.values() if text}
    columns = [c for c in ("amount", "debit", "credit") if c in result.footer.columns]
    totals = {abs(int(rows[column].fill_null(0).sum())) for column in columns}
    for column in columns:
        for row, text in result.footer.select("row", column).iter_rows():
            value = _plain(text or "", mark)
            if value is None or text in known or money.to_minor(abs(value), str(rows["currency"][0])) in totals:
                continue
            raise StatementRefused(
                f"Row {row} has the amount {text} but no day, and is not the total of a column.",
                field="file",
                remedy="Correct the day, or export the sheet again.",
                row=row,
            )


def _plain(text: str, mark: str) -> Decimal | None:
    bare = re.sub(r"[\s'’+\u00a0\u202f]", "", text).removesuffix("€").replace("," if mark == "." else ".", "").replace(mark, ".")
    return Decimal(bare).normalize() if re.fullmatch(r"-?\d{1,15}(\.\d{1,12})?", bare) else None


def _falls(rows: pl.DataFrame) -> bool:
    """Whether the running balance of a one-day sheet only makes sense read from the bottom."""
    if "balance" not in rows.columns or rows.height < 2 or rows["balance"].null_count():
        return False
    downwards = rows["balance"][1] - rows["amount"][1] == rows["balance"][0]
    return not downwards and rows["balance"][0] - rows["amount"][0] == rows["balance"][1]


def _with_amount(rows: pl.DataFrame, using: Profile) -> pl.DataFrame:
    """One signed amount: as given, or money in less money out (banks sign the debit column or not), or by an indicator."""
    if "debit" in rows.columns or "credit" in rows.columns:
        rows = rows.with_columns([pl.lit(None, dtype=pl.Int64).alias(c) for c in ("debit", "credit") if c not in rows.columns])
        # a column that is negative throughout is signed already; in the other kind a minus is a movement taken back
        signed_already = bool((rows["debit"].drop_nulls() <= 0).all())
        debit = pl.col("debit").abs() if signed_already else pl.col("debit")
        moved = pl.col("debit").is_not_null() | pl.col("credit").is_not_null()
        signed = pl.when(moved).then(pl.col("credit").fill_null(0) - debit.fill_null(0))
        rows = rows.with_columns(amount=pl.coalesce("amount", signed) if "amount" in rows.columns else signed)
    if "indicator" in rows.columns and bool((rows["indicator"] != "").any()):
        word = pl.col("indicator").str.to_lowercase()
        odd = rows.filter(~word.is_in([*OUT, *IN]) & pl.col("amount").is_not_null())
        if odd.height:
            raise StatementRefused(
                f"Row {odd['row'][0]}: {odd['indicator'][0]!r} says neither money in nor money out.",
                field="file",
                remedy=f"Write one of {', '.join([*IN, *OUT])}.",
                row=odd["row"][0],
            )
        rows = rows.with_columns(
            amount=pl.when(word.is_in(list(OUT))).then(-pl.col("amount").abs()).otherwise(pl.col("amount").abs())
        )
    return rows.filter(pl.col("amount").is_not_null())


def _chosen(profile: str | Profile) -> Profile:
    if isinstance(profile, Profile):
        return profile
    found = load_profiles(FOLDER).get(profile)
    if found is None:
        raise StatementRefused(
            f"There is no bank profile {profile!r}.", field="profile", remedy=f"Use one of: {', '.join(load_profiles(FOLDER))}."
        )
    return found


def _recognised(sheet: Sheet) -> Profile:
    """The profile that asks for most columns and finds all it asks for; among equals the one that knows most of the others."""
    scores = []
    for profile in load_profiles(FOLDER).values():
        try:
            _, places = find_header(sheet, profile)
        except DomainError:
            continue
        if places.keys() & {"amount", "debit", "credit"}:
            asked = sum(c.required or c.present for c in profile.columns.values())
            scores.append((asked, len(places), profile.id, profile))
    if not scores:
        raise StatementRefused(
            "No bank profile recognises the columns of this sheet.",
            field="file",
            remedy="Name one with --profile, or write your own YAML file.",
        )
    return max(scores, key=lambda s: s[:3])[3]
