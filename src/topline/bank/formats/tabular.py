"""Bank sheets (CSV, TSV, XLSX): one reader, told by headers what each column means.

The columns of many banks go by a few dozen names; they stand in `profiles/*.yaml`, tried in order of how much they recognise.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from topline.bank.formats.model import Statement, StatementEntry, StatementRefused
from topline.engine.sheets import Profile, Typed, load_profile, load_profiles, read_sheet, typed
from topline.engine.sheets.typed import find_header
from topline.kernel.errors import DomainError

FOLDER = Path(__file__).resolve().parent / "profiles"
TEXTS = ("counterparty_name", "counterparty_account", "remittance_information", "bank_reference", "transaction_code")


def read(content: bytes, *, name: str = "", profile: str = "", currency: str | None = None) -> list[Statement]:
    """A sheet of bank movements as one statement per currency.

    profile   id of a profile, or a YAML file; "" tries all and takes the one that recognises most columns
    currency  of amounts where the sheet names none
    Closing is the running balance of the newest row, opening what it was before the oldest; without a balance column neither.
    Raises: StatementRefused with the first rows that cannot be read, or why no profile fits.
    """
    sheet = read_sheet(content, name=name, drop_nul=True)
    using = _chosen(profile) if profile else _recognised(sheet)
    if using.delimiter or not using.drop_nul:
        sheet = read_sheet(content, name=name, delimiter=using.delimiter, drop_nul=using.drop_nul)
    if currency and not using.constants.get("currency"):
        using = replace(using, constants={**using.constants, "currency": currency})
    result = typed(sheet, using)
    if result.problems.height:
        first = result.problems.row(0, named=True)
        raise StatementRefused(
            f"{result.problems.height} cells cannot be read; the first: {first['message']}",
            field="file",
            remedy=first["remedy"],
            row=first["row"],
        )
    return _statements(result, using)


def _statements(result: Typed, using: Profile) -> list[Statement]:
    rows = _with_amount(result.rows, using)
    if "currency" not in rows.columns:
        rows = rows.with_columns(currency=pl.lit(using.currency))
    rows = rows.with_columns(pl.col("currency").replace("", None).fill_null(using.currency))
    rows = rows.with_columns([pl.lit("").alias(c) for c in TEXTS if c not in rows.columns])
    if "value_on" not in rows.columns:
        rows = rows.with_columns(value_on=pl.lit(None, dtype=pl.Date))
    rows = rows.with_columns(booked_on=pl.coalesce("booked_on", "value_on")).drop_nulls("booked_on")
    if rows.is_empty():
        raise StatementRefused("The sheet holds no movement.", field="file", remedy="Check that it is the right file.")
    return [_statement(group, using) for group in rows.partition_by("currency", maintain_order=True)]


def _statement(rows: pl.DataFrame, using: Profile) -> Statement:
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
    opening = closing = None
    notes = ["The sheet gives no running balance, so the sum could not be checked."]
    if "balance" in rows.columns and ordered["balance"].drop_nulls().len() == ordered.height:
        closing = int(ordered["balance"][-1])
        opening = int(ordered["balance"][0]) - int(ordered["amount"][0])
        notes = []
    account = str(rows["account"][0] or "") if "account" in rows.columns else ""
    return Statement(
        account="".join(account.split()), currency=str(ordered["currency"][0]), entries=entries, opening_minor=opening, closing_minor=closing,
        opening_on=ordered["booked_on"].min(), closing_on=ordered["booked_on"].max(), notes=tuple(notes),  # type: ignore[arg-type]
    )  # fmt: skip


def _falls(rows: pl.DataFrame) -> bool:
    """Whether the running balance of a one-day sheet only makes sense read from the bottom."""
    if "balance" not in rows.columns or rows.height < 2 or rows["balance"].null_count():
        return False
    downwards = rows["balance"][1] - rows["amount"][1] == rows["balance"][0]
    return not downwards and rows["balance"][0] - rows["amount"][0] == rows["balance"][1]


def _with_amount(rows: pl.DataFrame, using: Profile) -> pl.DataFrame:
    """One signed amount: as given, or money in less money out (banks sign the debit column or not), or by an indicator."""
    if "debit" in rows.columns or "credit" in rows.columns:
        credit = pl.col("credit").fill_null(0) if "credit" in rows.columns else pl.lit(0, dtype=pl.Int64)
        debit = pl.col("debit").fill_null(0).abs() if "debit" in rows.columns else pl.lit(0, dtype=pl.Int64)
        signed = credit - debit
        rows = rows.with_columns(amount=pl.coalesce("amount", signed) if "amount" in rows.columns else signed)
    if "indicator" in rows.columns:
        out = pl.col("indicator").str.to_lowercase().is_in(["d", "dbit", "debit", "s", "soll", "lastschrift", "-", "out"])
        rows = rows.with_columns(amount=pl.when(out).then(-pl.col("amount").abs()).otherwise("amount"))
    return rows.filter(pl.col("amount").is_not_null())


def _chosen(profile: str) -> Profile:
    if profile.endswith((".yaml", ".yml")) and Path(profile).is_file():
        return load_profile(Path(profile))
    found = load_profiles(FOLDER).get(profile)
    if found is None:
        raise StatementRefused(
            f"There is no bank profile {profile!r}.", field="profile", remedy=f"Use one of: {', '.join(load_profiles(FOLDER))}."
        )
    return found


def _recognised(sheet: object) -> Profile:
    """The profile that finds most of its columns in the sheet."""
    scores = []
    for profile in load_profiles(FOLDER).values():
        try:
            _, places = find_header(sheet, profile)  # type: ignore[arg-type]
        except DomainError:
            continue
        scores.append((len(places), -len(profile.columns), profile))
    if not scores:
        raise StatementRefused(
            "No bank profile recognises the columns of this sheet.",
            field="file",
            remedy="Name one with --profile, or write your own YAML file.",
        )
    return max(scores, key=lambda s: s[:2])[2]
