"""How reads look in a terminal: calm tables, amounts right-aligned, verdicts in words."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.columns import Columns
from rich.table import Table

from topline.contracts.renewal_pages import likely
from topline.engine import aging as engine
from topline.engine.recurring_revenue import KINDS
from topline.kernel.money import format_amount
from topline.lifecycle import queries as lifecycle
from topline.market.experience import words
from topline.market.prices import unit_price
from topline.pipeline.forecast import STALE_DAYS, Board
from topline.ui.format import percent, whole

if TYPE_CHECKING:
    from rich.console import Console

    from topline.billing.einvoice.check import Problem
    from topline.billing.einvoice.model import EInvoice
    from topline.collections.claims import Part
    from topline.connect.models import ImportBatch
    from topline.contracts.bills import Bill
    from topline.contracts.models import Contract
    from topline.engine.deals.backtest import Backtest as SalesBacktest
    from topline.engine.payment_timing.backtest import Backtest
    from topline.flows.proofs import Proof
    from topline.leads.models import Lead
    from topline.lifecycle.value import Value
    from topline.pipeline.machine import Machine
    from topline.receivables.figures import Aging
    from topline.treasury.outlook import Outlook, Score
    from topline.treasury.queries import Forecast
    from topline.web.today import PayrollAnswer, Today

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
    if found.missing:
        console.print()
    aging(console, found.aging)
    _collection(console, found)
    console.print("\n[bold]In the bank[/bold]")
    table = _table("account", ">balance", "told by the bank until")
    for balance in found.forecast.balances:
        told = f"{balance.as_of:%d %b %Y}" if balance.as_of else "no statement yet"
        table.add_row(
            balance.account.name,
            f"{format_amount(balance.balance_minor, balance.account.currency)} {balance.account.currency}",
            told,
        )
    if found.forecast.balances:
        console.print(table)
    else:
        console.print("  Nothing is known. Import a statement: topline import bank FILE.", highlight=False)
    console.print("\n[bold]Can we make payroll?[/bold]")
    if not found.payrolls:
        console.print("  No payroll is planned. Import one: topline import payroll FILE.", highlight=False)
    elif found.forecast.stray.words:
        console.print(f"  [dim]{found.forecast.stray.words}[/dim]", highlight=False)
    for answer in (*found.payrolls, *(duty for duty in found.duties if duty.help)):
        console.print(f"  [{_TONE[answer.verdict]}]{answer.sentence}[/]", highlight=False)
        if answer.odds_sentence:
            console.print(f"      {answer.odds_sentence}", highlight=False)
        for lever in answer.help.levers[:3] if answer.help else ():
            cost = f"costs {format_amount(lever.cost_minor, home)} {home}" if lever.cost_minor else "costs nothing"
            days = "today" if not lever.days else "in 1 day" if lever.days == 1 else f"in {lever.days} days"
            assumed = "" if lever.is_exact else ", effect assumed"
            console.print(f"      {lever.title}: {lever.gains}, {cost}, {days}{assumed}", highlight=False)
        for row in answer.deciding[:5]:
            amount = format_amount(int(str(row["amount_minor"])), home)
            console.print(
                f"      {row['number']}  {row['customer']}  {amount} {home}, expected {row['expected_on']:%d %b}", highlight=False
            )
    if found.outlook is not None:
        console.print(
            f"  Ranges: {found.outlook.trust}. What contracts will be billed for is in it; what will be used, and sold anew, is not.",
            highlight=False,
        )
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
        "payrolls": [_answer_as_data(a) for a in found.payrolls],
        "duties": [_answer_as_data(a) for a in found.duties],
        "trust": found.outlook.trust if found.outlook else None,
        "lowest": dict(zip(("day", "closing_minor"), found.forecast.lowest, strict=True))
        if found.forecast.daily.height
        else None,
        "missing": [step for step, _ in found.missing],
    }


def _answer_as_data(said: PayrollAnswer) -> dict[str, Any]:
    return {
        **asdict(said.coverage), "verdict": said.verdict, "sentence": said.sentence, "percent": said.odds.percent if said.odds else None,
        "levers": [asdict(lever) for lever in said.help.levers] if said.help else [],
    }  # fmt: skip


def pipeline(console: Console, groups: Sequence[dict[str, Any]], *, by: str, currency: str, as_of: date) -> None:
    """The open pipeline in groups; a category also with all surer ones."""
    console.print(f"[bold]Open pipeline[/bold] at the end of {as_of:%d %b %Y}", highlight=False)
    if not any(row["deals"] for row in groups):
        console.print("  No deal is open. Import your CRM: topline import opportunities FILE.\n", highlight=False)
        return
    cumulative = any(row["cumulative_minor"] is not None for row in groups)
    table = _table(by.lower(), ">deals", ">alone", *([">with all surer ones"] if cumulative else []), "currency")
    for row in groups:
        sums = [row["value_minor"], *([row["cumulative_minor"]] if cumulative else [])]
        told = ["" if minor is None else format_amount(minor, currency) for minor in sums]
        table.add_row(row["label"], f"{row['deals']:,}", *told, currency)
    console.print(table)


def interest(console: Console, found: Sequence[Part], notes: Sequence[int]) -> None:
    """What may be claimed for paying late, a row per invoice or instalment, and what is missing for it."""
    if not found:
        console.print("Nothing is late, or was paid late, that has not been claimed.", highlight=False)
        return
    table = _table("invoice", "until", ">days", ">owed", ">a year", ">interest", ">fixed", "")
    for p in found:
        amounts = [format_amount(a, p.currency) for a in (p.principal_minor, p.interest_minor, p.compensation_minor)]
        rates = ", ".join(f"{r} %" for r in p.percents)
        table.add_row(p.number, str(p.until), str(p.days), amounts[0], rates, *amounts[1:], p.currency)
    console.print(table)
    for missing in dict.fromkeys(p.unknown.words for p in found if p.unknown):
        console.print(f"{missing} Enter it on the page Reference rates.", highlight=False)
    for note in notes:
        console.print(f"An interest note was issued (document {note}).", highlight=False)


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


def bill(console: Console, found: Bill, names: dict[int, str]) -> None:
    """What a run would write, by period, and what it would leave out."""
    if found.lines.is_empty():
        console.print("Nothing is due that was not billed yet.")
    table = _table("contract", "what", "from", ">net", "")
    for row in found.lines.head(40).to_dicts():
        table.add_row(
            row["contract"], row["text"], str(row["start"]), format_amount(row["net_minor"], row["currency"]), row["currency"]
        )
    if found.lines.height:
        console.print(table)
    for currency, minor in found.lines.group_by("currency").agg(pl.col("net_minor").sum()).sort("currency").iter_rows():
        console.print(
            f"{format_amount(minor, currency)} {currency} net on {found.heads.height:,} documents for {found.lines.height:,} periods.",
            highlight=False,
        )
    for row in [r for r in found.parked.to_dicts() if r["contract_id"] in names]:
        console.print(f"Would be left out: {names[row['contract_id']]}. {row['message']} {row['remedy']}", highlight=False)
    if found.parked.height > len(names):
        console.print(f"... and {found.parked.height - len(names):,} more.", highlight=False)


def renewals(console: Console, found: pl.DataFrame) -> None:
    """Contracts that end soon."""
    if found.is_empty():
        console.print("No contract ends within 120 days.")
        return
    table = _table("contract", "customer", "ends", "renews", "likely to", ">a year", ">at list", "")
    for r in found.head(60).to_dicts():
        renews = f"by {r['renews_months']} months" if r["renews_months"] else "not by itself"
        listed = format_amount(r["list_yearly_minor"], r["currency"]) if r["list_ppm"] else ""
        table.add_row(r["number"], r["customer"], str(r["ends_on"]), renews, likely(r), format_amount(r["yearly_minor"], r["currency"]), listed, r["currency"])  # fmt: skip
    console.print(table)


def wallets(console: Console, rows: list[dict[str, Any]]) -> None:
    """Who has credits."""
    if not rows:
        console.print("Nobody has credits. Sell some on the page of a customer.")
        return
    table = _table("customer", ">can be used", ">bought of it", ">expires soon", "next on", "", "")
    for r in rows:
        amounts = [format_amount(r[f"{kind}_minor"], r["currency"]) for kind in ("usable", "bought", "soon")]
        table.add_row(r["customer"], *amounts, str(r["next_on"] or ""), r["currency"], "low" if r["is_low"] else "")
    console.print(table)


def recurring(console: Console, found: pl.DataFrame) -> None:
    """Recurring revenue by month and currency, and what moved it."""
    if found.is_empty():
        console.print("Nothing recurs: no contract has anything that is paid for by months or years.")
        return
    table = _table("through", "", ">start", *[f">{kind}" for kind in KINDS], ">end", ">customers", ">net kept", ">gross kept")
    for r in found.to_dicts():
        moved = [format_amount(r[f"{kind}_minor"], r["currency"]) for kind in ("start", *KINDS, "end")]
        table.add_row(str(r["day"]), r["currency"], *moved, f"{r['customers']:,}", percent(r["net"]), percent(r["gross"]))
    console.print(table)


def leads(console: Console, groups: pl.DataFrame, open_ones: Sequence[Lead], *, by: str) -> None:
    """What became of leads by group, and the likeliest open ones."""
    table = _table(by.lower(), ">leads", ">qualified", ">deals", ">won", ">won for", "")
    for row in groups.to_dicts():
        won = format_amount(row["won_minor"], row["currency"]) if row["currency"] else ""
        table.add_row(
            row["key"], *(f"{row[c]:,}" for c in ("leads", "qualified", "converted", "won")), won, row["currency"] or ""
        )
    console.print(table)
    table = _table("lead", "company", "source", "state", ">likely")
    for lead in open_ones:
        likely = f"{min(99, max(1, round(lead.score_ppm / 10_000)))} in 100" if lead.score_ppm is not None else ""
        table.add_row(lead.number, lead.company or lead.name, lead.source, lead.state, likely)
    console.print(table)


def quotes(console: Console, rows: Sequence[dict[str, Any]], state: str) -> None:
    """Quotes, one row each."""
    if not rows:
        console.print(f"No quote is {state}.")
        return
    table = _table("quote", "customer", ">net", "", "sent", "valid until", "seen")
    for r in rows:
        table.add_row(r["number"], r["customer"], format_amount(r["net_minor"], r["currency"]), r["currency"], str(r["sent_on"] or ""), str(r["valid_until"]), "yes" if r["seen"] else "no")  # fmt: skip
    console.print(table)


def einvoice(console: Console, found: EInvoice, broken: Sequence[Problem]) -> None:
    """What an e-invoice says, and what of it does not hold."""
    kind = "Credit note" if found.is_credit else "Invoice"
    console.print(f"{kind} {found.number} of {found.issued_on}, {found.seller.name} to {found.buyer.name}")
    console.print(f"Total {found.gross} {found.currency} (net {found.net_total}, VAT {found.tax_total or 0}), to pay {found.due} by {found.due_on or found.terms or 'no day'}")  # fmt: skip
    table = _table("#", "description", ">quantity", ">price", "VAT", ">net")
    for line in found.lines[:200]:
        table.add_row(line.identifier, line.name, str(line.quantity), str(line.price), f"{line.category} {line.rate if line.rate is not None else ''}", str(line.net))  # fmt: skip
    console.print(table)
    if found.tax_accounted is not None:
        console.print(f"VAT in the currency of accounting: {found.tax_accounted} {found.tax_currency}", highlight=False)
    for each in found.attachments:
        where = f"{each.mime}, {len(each.content):,} bytes" if each.content is not None else each.address or "named only"
        console.print(f"Attached: {each.file_name or each.reference} {each.description} ({where})", highlight=False)
    if not broken:
        console.print("[green]Everything that it must say is there, and its figures hold.[/green]")
    for problem in broken:
        console.print(f"[red]{problem.rule}[/red] {problem.text}")


def health(console: Console, found: pl.DataFrame, currency: str) -> None:
    """Customers by stage, and those who are least well."""
    table = _table("stage", ">customers", f">sales of a year, {currency}")
    counts = found.group_by("stage").agg(n=pl.len(), minor=pl.col("year_minor").sum())
    known = {stage: (n, minor) for stage, n, minor in counts.iter_rows()}
    for stage, words_ in lifecycle.WORDS.items():
        if stage in known:
            table.add_row(words_, f"{known[stage][0]:,}", format_amount(int(known[stage][1] or 0), currency))
    console.print(table)
    table = _table("customer", "stage", ">health", "because")
    for row in found.filter(pl.col("health").is_not_null()).head(15).to_dicts():
        table.add_row(row["name"], lifecycle.WORDS[row["stage"]], f"{row['health']:.0f}", row["because"])
    console.print(table)


def cohorts(console: Console, found: pl.DataFrame, currency: str) -> None:
    """What each cohort keeps of its customers, the last eight periods of each."""
    ages = [a for a in found["age"].unique().sort().to_list() if a <= 8]
    table = _table("first bought in", ">customers", *(f">{a}" for a in ages))
    for (cohort,), cells in found.group_by("cohort", maintain_order=True):
        share = dict(cells.select("age", "share").iter_rows())
        table.add_row(f"{cohort:%Y-%m}", str(cells["customers"][0]), *(percent(share[a], 0) if a in share else "" for a in ages))
    console.print(table)


def unnamed(console: Console, found: pl.DataFrame, of: str) -> None:
    """How much of what was sold or billed names no product."""
    for row in found.filter(pl.col("whole_minor") > 0).to_dicts():
        share, amount = percent(row["unnamed_minor"] / row["whole_minor"]), format_amount(row["unnamed_minor"], row["currency"])
        console.print(f"{share} of {of} in {row['currency']}, {amount}, names no product.", highlight=False)


def margins(console: Console, found: pl.DataFrame, currency: str) -> None:
    """Who earns us money: the fifteen largest margins and the five smallest."""
    table = _table("group", ">price realised", ">cost", ">margin", ">of price", "")
    known, unknown = found.filter(pl.col("margin_minor").is_not_null()), found.filter(pl.col("margin_minor").is_null())
    shown = pl.concat([known.head(15), known.slice(15).tail(5)])
    for row in shown.to_dicts():
        amounts = (format_amount(row[c], row["currency"]) for c in ("realised_minor", "cost_minor", "margin_minor"))
        table.add_row(row["name"], *amounts, percent(row["margin"]), row["currency"])
    console.print(table)
    if unknown.height:
        console.print(f"{unknown.height} more have no known cost.", highlight=False)


def customer_value(console: Console, found: Value, currency: str) -> None:
    """What customers are still worth, and how well the method foresaw the last half year."""
    if found.why:
        console.print(found.why, highlight=False)
        return
    table = _table("customer", "still there", ">purchases", f">worth, {currency}", ">P10", ">P90")
    for row in found.rows.head(20).to_dicts():
        amounts = (format_amount(row[c], currency) for c in ("value_minor", "p10_minor", "p90_minor"))
        table.add_row(row["name"], f"{min(99, max(1, round(100 * row['p_alive'])))} in 100", f"{row['purchases']:.1f}", *amounts)
    console.print(table)
    earned = f"{percent(found.margin)} of sales is earned" if found.margin else "no costs are known: the worth is of sales"
    console.print(f"{earned[0].upper()}{earned[1:]}.", highlight=False)
    if check := found.check:
        console.print(
            f"Learned half a year earlier, it told {check.told:,.0f} purchases of that half year; {check.seen:,} were seen. Error a customer {check.error:.2f};"
            f" as many as before would have missed by {check.plain_error:.2f}.", highlight=False,
        )  # fmt: skip
    else:
        console.print("Not yet verified on your data: too few customers half a year ago.")


def match(console: Console, found: dict[str, Any]) -> None:
    """What the matcher did, the queue with its reasons, and how right it was per week."""
    console.print(
        f"\nBooked {found['lines_booked']} bank credits, linked {found['lines_linked']}; applied {found['posted']} payments, {found['waiting']} wait.",
        highlight=False,
    )
    for row in found["queue"]:
        sure = f"{row['sure']} % sure" if row["confidence"] else "a guess"
        fits = f"{row['documents']}, {sure}" if row["links"] else "nothing fits"
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


def cash(console: Console, found: Forecast, told: Outlook | None, accounts: pl.DataFrame, *, every: str) -> None:
    """Days, weeks or months in rows; what may stand there at the end of each, with how such ranges held; then the accounts."""
    money = functools.partial(format_amount, currency=found.currency)
    console.print(f"[bold]Cash in {found.currency}[/bold], from {found.as_of:%d %b %Y}", highlight=False)
    if found.stray.words:
        console.print(f"[dim]{found.stray.words}[/dim]", highlight=False)
    periods, name = found.by(every), "week of" if every == "week" else every
    written = "%b %Y" if every == "month" else "%d %b %Y"
    table = _table(name, ">opening", ">in", ">out", ">closing", *([] if every == "day" else [">lowest"]))
    for row in periods.to_dicts():
        lowest = [] if every == "day" else [money(row["lowest_minor"])]
        flows = (row["opening_minor"], row["in_minor"], row["out_minor"], row["closing_minor"])
        table.add_row(f"{row['period']:{written}}", *[money(a) for a in flows], *lowest)
    console.print(table)
    if told is not None:
        at_end = {found.as_of + timedelta(days=r.day): r for r in told.ranges}
        console.print(f"\n[bold]What may stand there[/bold] at its end, 8 times in 10. Ranges: {told.trust}.", highlight=False)
        table = _table(name, ">low (P10)", ">middle (P50)", ">high (P90)")
        for row in periods.to_dicts():
            if r := at_end.get(row.get("last_on", row["period"])):
                table.add_row(f"{row['period']:{written}}", money(r.p10), money(r.p50), money(r.p90))
        console.print(table)
    if accounts.height:
        console.print("\n[bold]By account[/bold]")
        table = _table("account", ">opening", ">closing", ">lowest", "on", ">to be kept")
        for row in accounts.to_dicts():
            told_of = [money(row[f"{n}_minor"]) for n in ("opening", "closing", "lowest")]
            table.add_row(row["name"], *told_of, f"{row['lowest_on']:%d %b %Y}", money(row["minimum_minor"]))
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
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        # narrow terminals break lines; nothing is cut off
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def revenue(console: Console, through: date, contracts: int, sums: pl.DataFrame) -> None:
    """What contracts earned by the end of a month, by currency."""
    console.print(f"[bold]By {through:%d %b %Y}[/bold], {contracts:,} contracts", highlight=False)
    table = _table(
        "currency",
        ">billed",
        ">earned",
        ">billed ahead",
        ">of it beyond a year",
        ">to be paid back",
        ">earned, not billed",
        ">of it beyond a year",
    )
    for currency, *amounts in sums.iter_rows():
        table.add_row(currency, *(format_amount(amount, currency) for amount in amounts))
    console.print(table)


def earned(console: Console, contract: Contract, through: date, told: dict[str, Any]) -> None:
    """What one contract earns: obligations, amendments, variable amounts, months."""
    currency = contract.currency
    console.print(f"[bold]{contract.number}[/bold], {contract.customer.name}, by {through:%d %b %Y}, {currency}", highlight=False)
    table = _table("item", "what", "earned", ">sold for", ">costs alone", ">share", ">earned so far")
    for o in told["obligations"]:
        alone = "" if o["ssp_minor"] is None else format_amount(o["ssp_minor"], currency)
        table.add_row(
            str(o["item_id"]),
            o["description"],
            o["method"],
            format_amount(o["sold_minor"], currency),
            alone,
            *(format_amount(o[c], currency) for c in ("amount_minor", "earned_minor")),
        )
    console.print(table)
    for a in told["amendments"]:
        why = f" ({a['because']})" if a["because"] else ""
        console.print(
            f"Amendment {a['amendment_id']}, {a['on']}: {a['told']}: {a['treatment'].replace('_', ' ')}{why}", highlight=False
        )
    for e in told["elements"]:
        console.print(
            f"Variable amount {e['element_id']}, {e['what']}, {e['on']}: {format_amount(e['counted_minor'], currency)} of {format_amount(e['estimate_minor'], currency)} {e['because']}",
            highlight=False,
        )
    for f in told["financing"]:
        console.print(
            f"{f['description']} is paid {abs(f['months'])} months {'ahead' if f['months'] < 0 else 'afterwards'}: interest may be in the price.",
            highlight=False,
        )
    months = _table("month", ">earned")
    for m in told["months"]:
        months.add_row(f"{m['month']:%b %Y}", format_amount(m["amount_minor"], currency))
    console.print(months)


def waterfall(console: Console, found: pl.DataFrame, *, by: str) -> None:
    """What was booked, or billed, month by month, by the month in which it is earned."""
    table = _table(by, "earned", ">amount", "")
    for at, month, currency, amount in found.select(pl.col(found.columns[0]), "month", "currency", "amount_minor").iter_rows():
        table.add_row(f"{at:%b %Y}", f"{month:%b %Y}", format_amount(amount, currency), currency)
    console.print(table)


def remaining(console: Console, found: pl.DataFrame, contracts: dict[int, tuple[str, str]]) -> None:
    """What contracts with an end still have to earn, the largest first. contracts: number and customer by id."""
    console.print("[bold]To be earned[/bold]", highlight=False)
    table = _table("contract", "customer", ">in twelve months", ">later", ">when accepted", ">in all", "")
    for row in found.iter_rows(named=True):
        amounts = (format_amount(row[f"{c}_minor"], row["currency"]) for c in ("within", "later", "undated", "left"))
        table.add_row(*contracts.get(row["contract_id"], ("", "")), *amounts, row["currency"])
    console.print(table)


def prices_alone(console: Console, said: Sequence[dict[str, Any]], seen: pl.DataFrame) -> None:
    """What products cost alone as it was said, and as sales of a year propose it."""
    console.print("[bold]Said[/bold]", highlight=False)
    table = _table("said of", "from", ">a unit and month, from", ">to", "", "by", "because")
    for r in said:
        ends = (unit_price(r[c], r["currency"]) for c in ("low_nano", "high_nano"))
        table.add_row(r["product__code"], str(r["valid_from"]), *ends, r["currency"], r["basis"], r["because"])
    console.print(table)
    console.print("[bold]Seen in sales of a year[/bold]", highlight=False)
    table = _table("seen of", ">sales", ">least", ">median", ">most", ">proposed, from", ">to", "")
    for r in seen.iter_rows(named=True):
        figures = ("" if r[c] is None else unit_price(r[c], r["currency"]) for c in ("least_nano", "median_nano", "most_nano", "low_nano", "high_nano"))  # fmt: skip
        table.add_row(r["product"], f"{r['count']:,}", *figures, r["currency"])
    console.print(table)


def cash_record(console: Console, scores: Sequence[Score]) -> None:
    """How often the range that was to hold 8 times in 10 held, by days ahead."""
    table = Table(title="Receipts of the open book, as past Mondays would have told them", title_justify="left", box=None)
    for name in ("days ahead", "Mondays", "range widened by", "held"):
        table.add_column(name, justify="right")
    for score in scores:
        held = score.held or "not yet verified"
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
            table.add_column(
                _SHORT.get(name, name.replace("_", " ")), justify="left" if name == "method" else "right", overflow="fold"
            )
        for row in frame.iter_rows():
            table.add_row(*("–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
        console.print(table)


def sales_forecast(console: Console, board: Board, said: Machine | None, why: str, *, held: tuple[int, int]) -> None:
    """What people say about the quarter, by team and person; then, apart from it, what the machines say, and how many of how many ranges held."""
    money = functools.partial(whole, currency=board.currency)
    last = board.end - timedelta(days=1)
    console.print(f"[bold]Sales forecast[/bold] for {board.start:%d %b %Y} to {last:%d %b %Y}, as known at the end of {board.as_of:%d %b %Y}; in {board.currency}", highlight=False)  # fmt: skip
    company = board.company
    single, cumulative = _table("open deals", ">alone"), _table("with all surer ones", "> ")
    for name in ("commit", "best_case", "pipeline"):
        single.add_row(name.replace("_", " "), money(company[name]))
    for name in ("commit_forecast", "best_case_forecast", "open_pipeline"):
        cumulative.add_row(name.replace("_", " "), money(company[name]))
    console.print(f"Won to date {money(company['won_minor'])}. {company['undated']:,} of the open deals are expected on no day and counted here.", highlight=False)  # fmt: skip
    console.print(Columns([single, cumulative]))
    table = _table("who", ">quota", ">won", ">met", ">pace", ">commit", ">best", "call")
    for row in board.rows.to_dicts():
        told = row["commit_by"] or row["best_case_by"]
        stale = f", {row['stale_days']} days old" if row["stale_days"] is not None and row["stale_days"] > STALE_DAYS else ""
        table.add_row("  " * row["level"] + row["name"], money(row["quota_minor"]), money(row["won_minor"]), _percent(row["attainment"]), _percent(row["pace"]),
                      money(row["commit_call"]), money(row["best_case_call"]), f"{told}{stale}")  # fmt: skip
    console.print(table)
    if company["quota_minor"] is None:
        console.print("[dim]No quotas yet: share a target out on the Quotas page, or topline import quotas FILE.[/dim]")
    console.print("\n[bold]What the machines say[/bold]", highlight=False)
    if said is None:
        console.print(f"  Nothing: {why}", highlight=False)
        return
    table = _table("method", ">total", ">P10", ">P50", ">P90", ">weight in the pool")
    for row in said.methods.to_dicts():
        middle = said.p50_minor if row["p10_minor"] is not None else None
        table.add_row(
            row["name"],
            money(row["amount_minor"]),
            money(row["p10_minor"]),
            money(middle),
            money(row["p90_minor"]),
            _percent(row["weight"]),
        )
    console.print(table)
    console.print(f"[dim]The pool weighs its methods by their error on {said.snapshots} past Mondays, each freed of its own bias.[/dim]", highlight=False)  # fmt: skip
    low, high = money(said.p10_minor), money(said.p90_minor)
    console.print(
        f"Between {low} and {high} {said.currency}, 8 times in 10. Plan on {low}: 9 times in 10 it is more.", highlight=False
    )
    kept, judged = held
    record = f"Of {judged} such ranges of quarters that are over, {kept} held." if judged else "Not yet verified on your data: topline backtest forecast judges it."  # fmt: skip
    console.print(record, highlight=False)


def sales_record(console: Console, found: SalesBacktest, currency: str) -> None:
    """Error, bias and value added of each method: in all, by quarter, and by Monday."""
    for title, frame in (("In all", found.bookings), ("By quarter", found.quarters)):
        console.print(
            f"[bold]{title}[/bold]: error (WAPE), signed bias, share of ranges that held, error saved against the previous 30 days",
            highlight=False,
        )
        table = _table(
            *(f">{n.replace('_', ' ')}" if kind.is_numeric() else n.replace("_", " ") for n, kind in frame.schema.items())
        )
        for values in frame.iter_rows():
            table.add_row(*("–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in values))
        console.print(table)
    console.print("[bold]By Monday[/bold]: total foreseen for the quarter and what came", highlight=False)
    table = _table("Monday", "quarter from", "method", ">foreseen", ">came", ">off by")
    for row in found.weeks.select("on", "start", "method", "forecast_minor", "actual_minor").iter_rows(named=True):
        off = row["forecast_minor"] / row["actual_minor"] - 1 if row["actual_minor"] else None
        table.add_row(
            str(row["on"]),
            str(row["start"]),
            row["method"],
            *(whole(None if row[c] is None else round(row[c]), currency=currency) for c in ("forecast_minor", "actual_minor")),
            _percent(off),
        )
    console.print(table)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def accounts(console: Console, found: pl.DataFrame, names: dict[int, str], since: date, until: date) -> None:
    """Statements of account, the first customers of them: where each stood, what moved, where it stands."""
    console.print(f"[bold]Accounts from {since} to {until}[/bold]", highlight=False)
    columns = ["opening", "invoiced", "credited", "paid", "other", "closing"]
    table = _table("customer", *(f">{name}" for name in columns), "")
    shown = [row for row in found.to_dicts() if row["customer_id"] in names]
    for row in shown:
        amounts = [format_amount(row[f"{name}_minor"], row["currency"]) for name in columns]
        table.add_row(names[row["customer_id"]], *amounts, row["currency"])
    console.print(table)
    if found.height > len(shown):
        console.print(f"{found.height - len(shown):,} more.", highlight=False)


def schedules(console: Console, rows: list[dict[str, Any]], off: pl.DataFrame) -> None:
    """Parts of schedules that are not billed yet, and what does not add up."""
    if rows:
        table = _table("contract", "customer", "part", "billed", ">net", "")
        for row in rows:
            when = str(row["due_on"] or "when accepted")
            table.add_row(row["contract"], row["customer"], row["part"], when, format_amount(row["amount_minor"], row["currency"]), row["currency"])  # fmt: skip
        console.print(table)
    else:
        console.print("No part of a schedule is open.")
    for row in off.to_dicts():
        agreed, told = (format_amount(row[name], row["currency"]) for name in ("agreed_minor", "schedule_minor"))
        console.print(
            f"{row['contract']}, {row['what']}: {told} are billed in all, {agreed} {row['currency']} were agreed.",
            highlight=False,
        )
