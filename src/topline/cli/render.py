"""How reads look in a terminal: calm tables, amounts right-aligned, verdicts in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from topline.connect.models import ImportBatch
from topline.engine import aging as engine
from topline.engine.payment_timing.backtest import Backtest
from topline.flows.proofs import Proof
from topline.kernel.money import format_amount
from topline.market.experience import words
from topline.market.prices import unit_price
from topline.receivables.figures import Aging
from topline.treasury.outlook import Score
from topline.treasury.queries import Forecast
from topline.ui.format import percent
from topline.web.today import Today

_TONE = {"covered": "green", "depends": "yellow", "short": "red"}
# what stands above a column where 80 characters must do
_SHORT = {
    "mae_days": "MAE",
    "crps_days": "CRPS",
    "coverage_50": "in 50",
    "coverage_80": "in 80",
    "coverage_90": "in 90",
    "auc_late": "AUC",
}


def today(console: Console, found: Today) -> None:
    """The Today page."""
    home = found.forecast.currency
    console.print(f"\n[bold]{found.entity.name}[/bold] on {found.as_of:%A, %d %B %Y}\n", highlight=False)
    for step in found.missing:
        console.print(f"[dim]To do: {step[1]}.[/dim]", highlight=False)
    aging(console, found.aging)
    _collection(console, found)
    console.print("[bold]In the bank[/bold]")
    table = _table("account", ">balance", "told by the bank until")
    for balance in found.forecast.balances:
        told = f"{balance.as_of:%d %b %Y}" if balance.as_of else "no statement yet"
        table.add_row(
            balance.account.name,
            f"{format_amount(balance.balance_minor, balance.account.currency)} {balance.account.currency}",
            told,
        )
    console.print(table)
    console.print("[bold]Can we make payroll?[/bold]")
    if not found.payrolls:
        console.print("  No payroll is planned. Import one: topline import payroll FILE.", highlight=False)
    for answer in found.payrolls:
        console.print(f"  [{_TONE[answer.verdict]}]{answer.sentence}[/]", highlight=False)
        if answer.odds_sentence:
            console.print(f"      {answer.odds_sentence}", highlight=False)
        for row in answer.helpful[:3]:
            amount = format_amount(int(str(row["amount_minor"])), home)
            console.print(
                f"      call {row['customer']} about {row['number']} ({amount} {home}): +{row['points']} in 100, effect assumed",
                highlight=False,
            )
        for row in answer.deciding[:5]:
            amount = format_amount(int(str(row["amount_minor"])), home)
            console.print(
                f"      {row['number']}  {row['customer']}  {amount} {home}, expected {row['expected_on']:%d %b}", highlight=False
            )
    if found.outlook is not None:
        console.print(f"  Ranges: {found.outlook.trust}. Invoices that are not issued yet are not in it.", highlight=False)
    console.print()
    if found.forecast.daily.height:
        day, low = found.forecast.lowest
        console.print(
            f"Lowest point of the next 13 weeks: {format_amount(low, home)} {home} on {day:%d %b %Y}.\n", highlight=False
        )


def today_as_data(found: Today) -> dict[str, Any]:
    """The Today page for programs."""
    return {
        "company": found.entity.key,
        "as_of": found.as_of,
        "aging": found.aging.buckets.to_dicts(),
        "overdue_minor": found.overdue_minor,
        "bank": [
            {"account": b.account.name, "currency": b.account.currency, "balance_minor": b.balance_minor, "as_of": b.as_of}
            for b in found.forecast.balances
        ],
        "payrolls": [
            {
                **asdict(a.coverage),
                "verdict": a.verdict,
                "sentence": a.sentence,
                "percent": a.odds.percent if a.odds else None,
                "helpful": a.helpful,
            }
            for a in found.payrolls
        ],
        "trust": found.outlook.trust if found.outlook else None,
        "lowest": dict(zip(("day", "closing_minor"), found.forecast.lowest, strict=True))
        if found.forecast.daily.height
        else None,
        "missing": [step for step, _ in found.missing],
    }


def aging(console: Console, found: Aging) -> None:
    """Buckets in rows, one block per currency."""
    console.print("[bold]Owed to us[/bold]")
    currencies = found.customers["currency"].unique().sort().to_list()
    if not currencies:
        console.print("  Nothing is open. Import open invoices: topline import receivables FILE.\n", highlight=False)
        return
    table = _table("days past due" if found.by == "due" else "days since issue", ">invoices", ">open", "currency")
    for currency in currencies:
        mine = {str(b): (n, m) for c, b, n, m in found.buckets.iter_rows() if c == currency}
        for label in engine.labels(found.edges):
            count, amount = mine.get(label, (0, 0))
            table.add_row(label, str(count), format_amount(amount, currency), currency)
        rows = found.customers.filter(pl.col("currency") == currency)
        for name, column in (("credit notes", "credits_minor"), ("unapplied cash", "unapplied_minor")):
            if amount := int(rows[column].sum()):
                table.add_row(name, "", format_amount(amount, currency), currency)
        table.add_row(
            "[bold]total[/bold]",
            "",
            f"[bold]{format_amount(found.total_minor(currency), currency)}[/bold]",
            currency,
            end_section=True,
        )
    console.print(table)


def market(console: Console, found: dict[str, Any]) -> None:
    """Segments, what competitors ask, their cards, and what customers say."""
    home = found["currency"]
    console.print(f"\n[bold]Market[/bold] on {found['as_of']}\n", highlight=False)
    table = _table("Segment", "Ours", "of all", f"Billed, {home}", "of spend", "Index")
    for view in found["segments"]:
        index = "–" if view.index.value is None else f"{view.index.value:.0f}"
        table.add_row(
            view.name, f"{view.customers:,}", percent(view.share_of_accounts, 2), format_amount(view.billed_minor, home), percent(view.share_of_spend, 2), index
        )  # fmt: skip
    console.print(table if found["segments"] else "No segment is known yet.")
    if found["prices"].height:
        table = _table("Competitor", "Price", "Since", "Product", "per")
        for r in found["prices"].to_dicts():
            table.add_row(r["competitor"], f"{unit_price(r['unit_price_nano'], r['currency'])} {r['currency']}", str(r["valid_from"]), r["product"], r["unit"])  # fmt: skip
        console.print("", table)
    console.print()
    for card in found["battlecards"]:
        told = " ".join(card.reasons) or f"fresh until {card.due_on}."
        console.print(
            f"Battlecard of {card.competitor}: {'[yellow]stale[/yellow]. ' if card.is_stale else ''}{told}", highlight=False
        )
    for group in (found["experience"].us, *found["experience"].rivals):
        console.print(f"{group.name}: NPS {words(group.nps)}; CSAT {words(group.csat, percent=True)}", highlight=False)


def match(console: Console, found: dict[str, Any]) -> None:
    """What the matcher did, the queue with its reasons, and how right it was per week."""
    console.print(
        f"\nBooked {found['lines_booked']} bank credits, linked {found['lines_linked']}; applied {found['posted']} payments, {found['waiting']} wait.",
        highlight=False,
    )
    for row in found["queue"]:
        fits = f"{row['documents']}, {row['confidence']:.1%} sure" if row["links"] else "nothing fits"
        amount = f"{format_amount(row['amount_minor'], row['currency'])} {row['currency']}"
        console.print(f"  {row['payment']}  {row['payer'] or 'payer unknown'}  {amount}  {fits}", highlight=False, markup=False)
        console.print(f"    {row['reason']}", highlight=False, markup=False)
    if found["waiting"] > len(found["queue"]):
        console.print(f"  ... and {found['waiting'] - len(found['queue'])} more on the page Match.", highlight=False)
    for week in found["weeks"]:
        if week["precision"] is not None:
            console.print(
                f"[dim]week of {week['week']}: precision {week['precision']:.1%}, recall {week['recall']:.1%} of {week['proposed']}[/dim]",
                highlight=False,
            )


def forecast(console: Console, found: Forecast) -> None:
    """Weeks in rows."""
    table = _table("week of", ">opening", ">in", ">out", ">closing", ">lowest")
    for period, *amounts in found.weekly.select(
        "period", "opening_minor", "in_minor", "out_minor", "closing_minor", "lowest_minor"
    ).iter_rows():
        table.add_row(f"{period:%d %b %Y}", *[format_amount(a, found.currency) for a in amounts])
    console.print(f"[bold]Cash in {found.currency}[/bold], from {found.as_of:%d %b %Y}", highlight=False)
    console.print(table)


def batch(console: Console, found: ImportBatch) -> None:
    """What an import did, and which rows it refused."""
    detected = ", ".join(f"{name} {value!r}" for name, value in found.detected.items())
    verb = "would come in" if found.state == "checked" else "came in"
    console.print(
        f"{found.file_name}: {found.rows_total if found.state == 'checked' else found.rows_done} rows {verb}, {found.rows_refused} refused.",
        highlight=False,
    )
    console.print(f"[dim]Detected: {detected}[/dim]", highlight=False)
    for problem in found.problems.order_by("row")[:50]:
        console.print(f"  [red]{problem.message}[/red] {problem.remedy}", highlight=False)


def proofs(console: Console, found: list[Proof]) -> None:
    """A light per proof, with the offending rows under a red one."""
    for proof in found:
        console.print(
            f"[{'green' if proof.holds else 'red'}]{'ok ' if proof.holds else 'BAD'}[/] {proof.name}: {proof.meaning}",
            highlight=False,
        )
        if not proof.holds:
            console.print(str(proof.offending.head(20)), highlight=False)


def _collection(console: Console, found: Today) -> None:
    figures = found.collection
    shown = [
        ("days sales outstanding (countback)", figures.dso_countback), ("best possible", figures.best_possible), ("days lost to lateness", figures.average_days_delinquent),
        ("collection effectiveness %", figures.cei),
    ]  # fmt: skip
    told = "   ".join(f"{name} {float(value):.1f}" for name, value in shown if value is not None)
    if told:
        console.print(f"[dim]{told}[/dim]\n", highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table


def cash_record(console: Console, scores: Sequence[Score]) -> None:
    """How often the range that was to hold 8 times in 10 held, by days ahead."""
    table = Table(title="Receipts of the open book, as past Mondays would have told them", title_justify="left", box=None)
    for name in ("days ahead", "Mondays", "range widened by", "held"):
        table.add_column(name, justify="right")
    for score in scores:
        held = "not yet verified" if score.hit_rate is None else f"{round(100 * score.hit_rate)} of 100"
        table.add_row(str(score.horizon_days), str(score.snapshots), f"{score.factor:.2f} times", held)
    console.print(table)


def backtest(console: Console, found: Backtest, split: date) -> None:
    """The two tables: dates of payment at issue, and weekly cash of the open book."""
    for title, frame in (
        (f"When invoices issued from {split} on were paid", found.at_issue),
        ("Cash of the open book, weeks 1 to 4", found.open_book),
    ):
        table = Table(title=title, title_justify="left", box=None)
        for name in frame.columns:
            table.add_column(_SHORT.get(name, name.replace("_", " ")), justify="left" if name == "method" else "right")
        for row in frame.iter_rows():
            table.add_row(*("–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
        console.print(table)
