"""Every figure on a page, explained once: what it means, its formula, its source, and the rows that it is made of.

A tile links to `/figures/<key>/`, where the rows add up to what the tile shows; the documentation prints the same definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Literal

import polars as pl
from django.urls import reverse

from topline.billing import queries as billing
from topline.books import queries as books
from topline.books import rates
from topline.books.models import Account, Entity
from topline.collections import board
from topline.engine import aging, cash
from topline.kernel.errors import Invalid, NotFound
from topline.kernel.money import format_amount
from topline.market import queries as market
from topline.receivables import figures
from topline.receivables import queries as receivables
from topline.receivables.models import Payment
from topline.treasury import queries as treasury
from topline.ui.tables import Column

SHOWN = 500  # rows of a part that are listed; what lies beyond is one row with its sum
Unit = Literal["money", "days", "percent"]


@dataclass(frozen=True)
class Asked:
    """What a figure is asked about: one company on one day, in one currency, perhaps one customer or document."""

    entity: Entity
    as_of: date
    params: Mapping[str, str]

    @property
    def currency(self) -> str:
        """The currency asked for, else the company's."""
        return self.params.get("currency") or self.entity.currency

    def number(self, name: str) -> int:
        """An id from the address. Raises: Invalid."""
        text = self.params.get(name, "")
        if not text.isdigit() or len(text) > 18:
            raise Invalid(f"Of which {name}? The address does not say.", field=name, remedy="Follow the link beside the figure.")
        return int(text)

    @property
    def customer_ids(self) -> list[int] | None:
        """Records of the customer asked for, or of all whom a member owns; None: of everybody."""
        if self.params.get("customer"):
            return market.customer_detail(self.number("customer")).ids
        return market.record_ids_of(self.number("owner")) if self.params.get("owner") else None

    def day(self, name: str) -> date:
        """A day from the address. Raises: Invalid."""
        try:
            return date.fromisoformat(self.params.get(name, ""))
        except ValueError:
            raise Invalid(
                f"Of which {name}? The address does not say.", field=name, remedy="Follow the link beside the figure."
            ) from None


@dataclass(frozen=True)
class Part:
    """Rows that add up: `amount` is what each brings (minor units, days or percent), `total` their sum over all rows."""

    title: str
    columns: list[Column]
    rows: list[dict[str, Any]]
    total: int | Fraction

    @property
    def count(self) -> int:
        """Rows that are listed."""
        return len(self.rows)


@dataclass(frozen=True)
class Explained:
    """A figure and how it comes about: the sum of its one part, or `scale` times the first part over the second."""

    value: int | Fraction | None
    parts: list[Part]
    currency: str
    scale: int = 1


@dataclass(frozen=True)
class Definition:
    """One figure in words; `explain` finds its rows, `permission` says who may see them."""

    key: str
    title: str
    unit: Unit
    meaning: str
    formula: str
    source: str
    permission: str
    explain: Callable[[Asked], Explained]


def owed(asked: Asked) -> Explained:
    """Open documents less credits and unapplied cash."""
    aged = _aged(asked)
    items = _items(aged.items.filter(pl.col("currency") == asked.currency))
    left = aged.unapplied.filter(pl.col("currency") == asked.currency).to_dicts()
    free = [_row(p["number"], p["received_on"], "money not applied", -p["left_minor"], reverse("receivables:payment", args=[p["payment_id"]])) for p in left]  # fmt: skip
    return _summed("Open documents, credits and unapplied payments", [*items, *free], asked.currency)


def overdue(asked: Asked) -> Explained:
    """Documents past due."""
    return _of_items("Documents past due", asked, (pl.col("age_days") > 0) & (pl.col("open_minor") > 0))


def not_due(asked: Asked) -> Explained:
    """Documents not yet due."""
    return _of_items("Documents not yet due", asked, (pl.col("age_days") <= 0) & (pl.col("open_minor") > 0))


def bucket(asked: Asked) -> Explained:
    """Open documents of one age, as the ageing page cuts them."""
    edges = aging.edges_of(asked.params.get("buckets", ""))
    name = asked.params.get("bucket", "")
    if name not in aging.labels(edges):
        raise Invalid(f"There is no bucket {name!r}.", field="bucket", remedy=f"Use one of {', '.join(aging.labels(edges))}.")
    by: Literal["due", "issued"] = "issued" if asked.params.get("by") == "issued" else "due"
    found = figures.aged(entity_id=asked.entity.pk, as_of=asked.as_of, by=by, edges=edges, customer_ids=asked.customer_ids).items
    keep = (pl.col("bucket") == name) & (pl.col("currency") == asked.currency) & (pl.col("open_minor") > 0)
    return _summed(f"Open, {name}", _items(found.filter(keep)), asked.currency)


def unapplied(asked: Asked) -> Explained:
    """Payments with money left."""
    left = _aged(asked).unapplied.filter(pl.col("currency") == asked.currency).to_dicts()
    rows = [_row(p["number"], p["received_on"], "left", p["left_minor"], reverse("receivables:payment", args=[p["payment_id"]])) for p in left]  # fmt: skip
    return _summed("Payments with money left", rows, asked.currency)


def in_bank(asked: Asked) -> Explained:
    """Accounts at the company's currency."""
    found = treasury.forecast(entity=asked.entity, as_of=asked.as_of, weeks=1)
    told = pl.DataFrame(
        [(b.account.currency, b.balance_minor, asked.as_of) for b in found.balances],
        schema={"currency": pl.String, "amount_minor": pl.Int64, "on": pl.Date},
        orient="row",
    )
    home = rates.convert(told, to=asked.entity.currency)["converted_minor"].to_list() if found.balances else []
    rows = [
        _row(b.account.name, b.as_of, f"{format_amount(b.balance_minor, b.account.currency)} {b.account.currency}", minor, reverse("bank:account", args=[b.account.pk]))
        for b, minor in zip(found.balances, home, strict=True)
    ]  # fmt: skip
    return _summed("Accounts", rows, asked.entity.currency)


def lowest(asked: Asked) -> Explained:
    """What stands in the bank and all that moves until the lowest day."""
    found = treasury.forecast(entity=asked.entity, as_of=asked.as_of)
    if found.daily.is_empty():
        return Explained(None, [], asked.entity.currency)
    day, _ = found.lowest
    rows = [_row("In the bank", asked.as_of, "opening balance", found.opening_minor, reverse("bank:accounts"))]
    for row in found.daily.filter(pl.col("day") <= day).to_dicts():
        for name, sign in (("in_minor", 1), ("out_minor", -1)):
            if row[name]:
                rows.append(
                    _row("Expected in" if sign > 0 else "Planned out", row["day"], "", sign * row[name], reverse("treasury:cash"))
                )
    return _summed(f"Until {day:%d %b %Y}", rows, asked.entity.currency)


def before_debit(asked: Asked) -> Explained:
    """What stands there before a payment leaves: the bank, what comes in before that day, what else leaves until its end."""
    found = treasury.forecast(entity=asked.entity, as_of=asked.as_of)
    day, amount = asked.day("day"), asked.number("amount")
    rows = [_row("In the bank", asked.as_of, "opening balance", found.opening_minor, reverse("bank:accounts"))]
    coming = found.daily.filter((pl.col("day") < day) & (pl.col("in_minor") > 0))
    rows += [_row("Expected in", r["day"], "", r["in_minor"], reverse("treasury:cash")) for r in coming.to_dicts()]
    leaving = found.outflows.filter(pl.col("debit_on") <= day)
    rows += [
        _row(r["name"], r["debit_on"], "planned out", -r["amount_minor"], reverse("treasury:cash")) for r in leaving.to_dicts()
    ]
    rows.append(_row("The payment itself", day, "not yet taken", amount, reverse("treasury:cash")))
    return _summed(f"Before the payment of {day:%d %b %Y}", rows, asked.entity.currency)


def expected_in(asked: Asked) -> Explained:
    """Open invoices by expected day."""
    found = treasury.forecast(entity=asked.entity, as_of=asked.as_of)
    names = market.names(found.receipts["customer_id"].unique().to_list())
    rows = [_row(r["number"], r["expected_on"], names.get(r["customer_id"], ""), r["amount_minor"], reverse("billing:invoice", args=[r["item_id"]]))
            for r in found.receipts.sort("amount_minor", descending=True).to_dicts()]  # fmt: skip
    return _summed("Expected receipts", rows, asked.entity.currency)


def coming_in(asked: Asked) -> Explained:
    """What contracts will be billed for, by expected day."""
    found = treasury.forecast(entity=asked.entity, as_of=asked.as_of)
    names = market.names(found.coming["customer_id"].unique().to_list())
    rows = [_row(f"billed on {r['bill_on']:%d %b %Y}", r["expected_on"], names.get(r["customer_id"], ""), r["amount_minor"], reverse("web:customer", args=[r["customer_id"]]))
            for r in found.coming.sort("expected_on", "customer_id").to_dicts()]  # fmt: skip
    return _summed("Coming in", rows, asked.entity.currency)


def dso_countback(asked: Asked) -> Explained:
    """Months that the receivables use up."""
    found = _collection(asked)
    if found.dso_countback is None:
        return Explained(None, [], asked.currency)
    rows, left, days = [], found.receivables_minor, Fraction(0)
    for month, length, sold in _months(asked, 24):
        if days >= found.dso_countback or sold <= 0:
            break
        used = min(left, sold)
        share = Fraction(used * length, sold)
        rows.append(
            _row(
                f"{month:%b %Y}",
                month,
                f"{format_amount(used, asked.currency)} of {format_amount(sold, asked.currency)} sold",
                share,
                "",
            )
        )
        left, days = left - used, days + share
    part = Part("Months, newest first, that what is owed uses up", _columns("days"), rows, _sum(rows))
    return Explained(found.dso_countback, [part], asked.currency)


def dso_simple(asked: Asked) -> Explained:
    """Owed over sales, times days."""
    found = _collection(asked)
    return _ratio(found.dso_simple, [owed(asked).parts[0], _sales(asked)], asked.currency, found.days)


def best_possible(asked: Asked) -> Explained:
    """Not yet due over sales, times days."""
    found = _collection(asked)
    return _ratio(found.best_possible, [not_due(asked).parts[0], _sales(asked)], asked.currency, found.days)


def days_delinquent(asked: Asked) -> Explained:
    """Owed less not yet due, over sales, times days."""
    found = _collection(asked)
    rows = [
        _row("Owed to us", asked.as_of, "", found.receivables_minor, ""),
        _row("Not yet due", asked.as_of, "taken off", -found.current_minor, ""),
    ]
    return _ratio(found.average_days_delinquent, [_part("Owed and not current", rows), _sales(asked)], asked.currency, found.days)


def effectiveness(asked: Asked) -> Explained:
    """What was collected over what could be collected."""
    found = _collection(asked)
    sales = _sales(asked)
    before = figures.span_start(asked.as_of) - timedelta(days=1)
    opening = _aged(Asked(asked.entity, before, asked.params)).total_minor(asked.currency)
    first = _row("Owed before the span", before, "", opening, "")
    collected = _part(
        "Collected", [first, *sales.rows, _row("Owed at the end", asked.as_of, "taken off", -found.receivables_minor, "")]
    )
    could = _part(
        "Could be collected",
        [first, *sales.rows, _row("Not yet due at the end", asked.as_of, "taken off", -found.current_minor, "")],
    )
    return _ratio(found.cei, [collected, could], asked.currency, 100)


def at_risk(asked: Asked) -> Explained:
    """What is 90 days late and more over what is open."""
    late = _of_items("90 days late and more", asked, (pl.col("age_days") >= 90) & (pl.col("open_minor") > 0)).parts[0]
    whole = _of_items("All open documents", asked, pl.col("open_minor") > 0).parts[0]
    value = Fraction(100 * int(late.total), int(whole.total)) if whole.total else None
    return _ratio(value, [late, whole], asked.currency, 100)


def expected_loss(asked: Asked) -> Explained:
    """Each bucket's balance at its loss rate; the rounding of the sum is a row of its own."""
    found = _collection(asked)
    items = _aged(asked).items.filter((pl.col("currency") == asked.currency) & (pl.col("open_minor") > 0))
    held = {str(b): minor for b, minor in items.group_by("bucket").agg(pl.col("open_minor").sum()).iter_rows()}
    rows = [
        _row(name, None, f"{format_amount(held.get(name, 0), asked.currency)} at {rate / 10_000:g} %", held.get(name, 0) * rate // 1_000_000, "")
        for name, rate in zip(aging.labels(), figures.LOSS_RATES_PPM, strict=True)
    ]  # fmt: skip
    rest = found.expected_loss_minor - int(_sum(rows))
    if rest:
        rows.append(_row("Rounding", None, "parts of a cent", rest, ""))
    return _summed("Buckets", rows, asked.currency)


def promises_kept(asked: Asked) -> Explained:
    """Promises kept in full over those that were judged."""
    judged = board.promises(entity_id=asked.entity.pk, as_of=asked.as_of)
    names = market.names(judged["customer_id"].unique().to_list())
    rows = [
        (r["is_kept"], _row(names.get(r["customer_id"], ""), r["judged_on"], f"{format_amount(r['amount_minor'], r['currency'])} {r['currency']} by {r['due_on']:%d %b}: {r['state']}", 1, reverse("collections:workspace", args=[r["customer_id"]])))
        for r in judged.to_dicts()
    ]  # fmt: skip
    parts = [
        _part("Kept in full", [row for kept, row in rows if kept], "count"),
        _part("Judged", [row for _, row in rows], "count"),
    ]
    value = Fraction(100 * int(parts[0].total), int(parts[1].total)) if rows else None
    return _ratio(value, parts, asked.currency, 100)


def dispute_age(asked: Asked) -> Explained:
    """Days that open disputes have been open, over their number."""
    found = board.disputes(entity=asked.entity, as_of=asked.as_of).to_dicts()
    urls = [reverse("billing:invoice", args=[r["invoice_id"]]) for r in found]
    told = [(r["number"], r["raised_on"], r["reason"].replace("_", " "), url) for r, url in zip(found, urls, strict=True)]
    days = [_row(what, on, note, r["days"], url) for r, (what, on, note, url) in zip(found, told, strict=True)]
    parts = [
        _part("Days open", days, "days"),
        _part("Open disputes", [_row(what, on, note, 1, url) for what, on, note, url in told], "count"),
    ]
    return _ratio(Fraction(int(parts[0].total), len(found)) if found else None, parts, asked.currency, 1)


def recovered(asked: Asked) -> Explained:
    """Money that came within a week of a contact, over the contacts."""
    contacts, money = board.recovered(entity=asked.entity, as_of=asked.as_of)
    names = market.names(contacts["customer_id"].unique().to_list())
    came = [_row(r["number"], r["received_on"], f"{names.get(r['customer_id'], '')}, contact on {r['occurred_on']:%d %b}", r["amount_minor"], reverse("receivables:payment", args=[r["payment_id"]])) for r in money.to_dicts()]  # fmt: skip
    said = [_row(names.get(r["customer_id"], ""), r["occurred_on"], f"{r['channel']}, {r['outcome'].replace('_', ' ')}", 1, reverse("collections:workspace", args=[r["customer_id"]])) for r in contacts.to_dicts()]  # fmt: skip
    parts = [_part("Came within a week of a contact", came), _part("Contacts", said, "count")]
    return _ratio(Fraction(int(parts[0].total), len(said)) if said else None, parts, asked.entity.currency, 1)


def roll_rate(asked: Asked) -> Explained:
    """What is in the next bucket today over what was in this one a month ago."""
    bucket, names = asked.params.get("bucket", ""), aging.labels()
    if bucket not in names[:-1]:
        raise Invalid(f"{bucket!r} is no bucket that rolls.", field="bucket", remedy=f"Use one of {', '.join(names[:-1])}.")
    before = Asked(asked.entity, asked.as_of - timedelta(days=30), asked.params)
    following = names[names.index(bucket) + 1]
    moved = aging.rolled(_aged(before).items.filter(pl.col("open_minor") > 0), _aged(asked).items)
    moved = moved.filter((pl.col("bucket") == following) & (pl.col("open_minor") > 0) & (pl.col("currency") == asked.currency))
    now = _summed(f"Of it today {following}", _items(moved), asked.currency).parts[0]
    then = _of_items(f"A month ago {bucket}", before, (pl.col("bucket") == bucket) & (pl.col("open_minor") > 0)).parts[0]
    return _ratio(Fraction(100 * int(now.total), int(then.total)) if then.total else None, [now, then], asked.currency, 100)


def usual_delay(asked: Asked) -> Explained:
    """Days after the due day over paid invoices, with the company's mean beside them."""
    ids = set(market.customer_detail(asked.number("customer")).ids)
    history = figures.payment_history(entity_id=asked.entity.pk, as_of=asked.as_of).with_columns(
        late=(pl.col("paid_on") - pl.col("due_on")).dt.total_days()
    )
    mean = Fraction(int(history["late"].sum()), history.height) if history.height else Fraction(0)
    own = history.filter(pl.col("customer_id").is_in(list(ids))).sort("paid_on", descending=True).to_dicts()
    rows = [_row(f"due {r['due_on']:%d %b %Y}", r["paid_on"], "paid", Fraction(r["late"]), "") for r in own]
    rows.append(
        _row("The company's mean", None, f"{float(mean):.1f} days, {cash.PRIOR_PAYMENTS} times", mean * cash.PRIOR_PAYMENTS, "")
    )
    counted = [_row("Paid invoices", None, "", Fraction(len(own)), ""), _row("The mean counts as", None, "so that few payments do not mislead", Fraction(cash.PRIOR_PAYMENTS), "")]  # fmt: skip
    days, counts = _part("Days late", rows, "days"), _part("Payments", counted, "days")
    return _ratio(Fraction(days.total) / Fraction(counts.total), [days, counts], asked.currency, 1)


def invoice_total(asked: Asked) -> Explained:
    """Lines with their tax."""
    detail = billing.invoice_detail(asked.number("invoice"))
    rows: list[dict[str, Any]] = []
    for line in detail.lines:
        rows.append(_row(f"{line.position}", None, line.description, line.net_minor, ""))
        if line.tax_minor:
            rows.append(_row(f"{line.position}", None, f"tax {line.tax_rate_ppm / 10_000:g} %", line.tax_minor, ""))
    rest = detail.invoice.total_minor - int(_sum(rows))
    if rest:
        rows.append(_row("", None, "taken over without lines" if not rows else "rounding of tax per rate", rest, ""))
    return _summed("Lines", rows, detail.invoice.currency)


def invoice_open(asked: Asked) -> Explained:
    """The total less what settled it."""
    detail = billing.invoice_detail(asked.number("invoice"))
    found = detail.invoice
    rows = [
        _row(found.number or "Draft", found.issued_on, "total", found.total_minor, reverse("billing:invoice", args=[found.pk]))
    ]
    for a in receivables.standing_allocations(invoice_ids=[found.pk]).to_dicts():
        url = reverse("receivables:payment", args=[a["payment_id"]]) if a["payment_id"] else ""
        rows.append(_row("Settled", a["effective_on"], a["kind"].replace("_", " "), -a["amount_minor"], url))
    rest = detail.open_minor - int(_sum(rows))
    if rest:
        rows.append(_row("Not open", found.closed_on, found.get_state_display(), rest, ""))
    return _summed("Total less what settled it", rows, found.currency)


def payment_left(asked: Asked) -> Explained:
    """The payment less what was applied."""
    found = Payment.objects.filter(pk=asked.number("payment")).first()
    if found is None:
        raise NotFound(f"There is no payment {asked.number('payment')}.", field="payment")
    rows = [
        _row(found.number, found.received_on, "received", found.amount_minor, reverse("receivables:payment", args=[found.pk]))
    ]
    for a in receivables.standing_allocations(payment_ids=[found.pk]).to_dicts():
        url = reverse("billing:invoice", args=[a["invoice_id"]]) if a["invoice_id"] else ""
        rows.append(_row("Applied", a["effective_on"], a["kind"].replace("_", " "), -a["source_minor"], url))
    left = found.amount_minor - found.allocated_minor if found.state == Payment.State.RECEIVED else 0
    rest = left - int(_sum(rows))
    if rest:
        rows.append(_row("Returned by the bank", None, "", rest, ""))
    return _summed("Received less applied", rows, found.currency)


def account_balance(asked: Asked) -> Explained:
    """Movements until the day."""
    found = Account.objects.filter(pk=asked.number("account"), entity=asked.entity).first()
    if found is None:
        raise NotFound(f"There is no account {asked.number('account')}.", field="account")
    table = books.trial_balance(entity_id=asked.entity.pk, as_of=asked.as_of)
    mine = table.filter((pl.col("account_id") == found.pk) & (pl.col("currency") == asked.currency))
    moves = books.account_statement(account_id=found.pk, until=asked.as_of, limit=SHOWN).filter(
        pl.col("currency") == asked.currency
    )
    rows = [_row(f"Entry {m['entry_id']}", m["effective_on"], m["kind"].replace("_", " "), m["amount_minor"], reverse("books:entry", args=[m["entry_id"]])) for m in moves.to_dicts()]  # fmt: skip
    rest = int(mine["balance_minor"].sum()) - int(_sum(rows))
    if rest:
        rows.append(_row("Later movements", None, f"beyond the first {SHOWN}", rest, reverse("books:account", args=[found.pk])))
    return _summed(f"Movements on {found.code} {found.name}", rows, asked.currency)


FIGURES = {
    d.key: d
    for d in [
        Definition("owed", "Owed to us", "money", "What customers owe at the end of the day.", "open documents - credit notes with something left - unapplied payments", "Own ledger, accounts receivable; gross, with tax.", "receivables.view", owed),
        Definition("overdue", "Overdue", "money", "What should have been paid already.", "sum of what is open on documents whose due day has passed", "Due day from the terms of the document (EN 16931 BT-9).", "receivables.view", overdue),
        Definition("not_due", "Not due yet", "money", "What is open and need not be paid yet.", "sum of what is open on documents whose due day has not passed", "Due day from the terms of the document (EN 16931 BT-9).", "receivables.view", not_due),
        Definition("bucket", "Open by age", "money", "What is open and so many days past its day.", "sum of what is open on documents of that age", "Ageing of receivables; bounds of the buckets as asked for.", "receivables.view", bucket),
        Definition("roll_rate", "Roll rate", "percent", "Share of a bucket a month ago that is in the next one today.", "100 x open today in the next bucket, of what was open 30 days before / open in this bucket then", "Flow rate between ageing buckets.", "receivables.view", roll_rate),
        Definition("unapplied", "Unapplied cash", "money", "Money that came in and settles nothing yet.", "sum of payments - what was applied of them", "Payments and their allocations.", "receivables.view", unapplied),
        Definition("in_bank", "In the bank", "money", "What the bank says stands on our accounts.", "last closing balance + booked lines after it, per account, at the last known rate", "Bank statements (ISO 20022 camt.053 or alike).", "bank.view", in_bank),
        Definition("lowest", "Lowest in 13 weeks", "money", "The day on which least stands in the bank, if all goes as expected.", "in the bank + expected receipts - planned outflows, until that day", "Thirteen-week direct cash forecast.", "treasury.view", lowest),
        Definition("before_debit", "There before it", "money", "What stands there before a payroll, a tax or a vendor is paid.", "in the bank + expected receipts before the day - all else that leaves until its end", "Money of the debit day itself comes too late.", "treasury.view", before_debit),
        Definition("coming_in", "Coming in", "money", "What contracts will be billed for and customers are expected to pay within the forecast, tax included.", "sum of what is not billed yet, converted at the last known rate", "Items of contracts, terms, the customer's own payment history; without usage and renewals.", "treasury.view", coming_in),
        Definition("expected_in", "Expected in", "money", "Open invoices in the company's currency, on the day for which they are promised or on which the customer usually pays.", "sum of what is open and no unapplied money or credit note of the customer covers, nor money of an unknown payer that came when it was there, converted at the last known rate", "Promised day, else due day shifted by the customer's own payment history.", "treasury.view", expected_in),
        Definition("dso_countback", "Days sales outstanding, countback", "days", "How many days of sales are still owed.", "take each month's sales off what is owed, newest first; each month used up counts its days, the last one its share", "Exhaustion method: not misled by seasons.", "receivables.view", dso_countback),
        Definition("dso_simple", "Days sales outstanding, simple", "days", "How many days of the last three months' sales are owed.", "owed / sales of three months x days of the span", "Gross, with tax, on both sides; less credits and unapplied cash.", "receivables.view", dso_simple),
        Definition("best_possible", "Best possible DSO", "days", "DSO if everybody paid on the due day.", "not yet due / sales of three months x days of the span", "Credit Research Foundation: best possible DSO.", "receivables.view", best_possible),
        Definition("days_delinquent", "Days lost to lateness", "days", "How many days of sales are owed because customers pay late.", "(owed - not yet due) / sales of three months x days of the span", "Average days delinquent = DSO - best possible DSO.", "receivables.view", days_delinquent),
        Definition("effectiveness", "Collection effectiveness", "percent", "How much of what could be collected in three months was; 100 leaves nothing overdue.", "100 x (opening + sales - owed at the end) / (opening + sales - not yet due at the end)", "Collection effectiveness index, over the whole span.", "receivables.view", effectiveness),
        Definition("at_risk", "At risk", "percent", "Share of what is open that is 90 days late and more, by value.", "100 x open and 90 days late / open", "Portfolio at risk over 90 days.", "receivables.view", at_risk),
        Definition("expected_loss", "Expected loss", "money", "What will probably not be paid.", "sum over buckets of balance x loss rate, rounded once", "IFRS 9 5.5.15, B5.5.35: provision matrix.", "receivables.view", expected_loss),
        Definition("promises_kept", "Promises kept", "percent", "How many of the promises judged in 90 days were kept in full.", "100 x promises settled in full by their day and two days of grace / promises judged", "Promises to pay; what was kept in part counts as not kept.", "collections.view", promises_kept),
        Definition("dispute_age", "Age of open disputes", "days", "How long open disputes have been open on average.", "sum of days since each was raised / open disputes", "Disputes not resolved on the day.", "collections.view", dispute_age),
        Definition("recovered", "Came after each contact", "money", "What came in within a week of a contact, per contact of 90 days.", "payments received 0 to 7 days after a contact, each after its last one / contacts", "Contact log and payments; it says what followed, not what the contact caused.", "collections.view", recovered),
        Definition("usual_delay", "Usually pays", "days", "How many days after the due day the customer pays.", "(days late of paid invoices + mean of all customers x 5) / (paid invoices + 5)", "Average shrunk to the company's mean where there are few payments.", "receivables.view", usual_delay),
        Definition("invoice_total", "Total", "money", "What the document asks for, with tax.", "sum of net lines + tax", "EN 16931 BT-112.", "billing.view", invoice_total),
        Definition("invoice_open", "Open", "money", "What is still to be settled.", "total - payments, credit notes, discounts and write-offs applied", "EN 16931 BT-115, after what came since.", "billing.view", invoice_open),
        Definition("payment_left", "Unapplied", "money", "What of the payment settles nothing yet.", "amount - what was applied or refunded", "Allocations that stand.", "receivables.view", payment_left),
        Definition("account_balance", "Balance", "money", "What stands on the account.", "debits - credits until the day", "General ledger.", "books.view", account_balance),
    ]
}  # fmt: skip


def _aged(asked: Asked) -> figures.Aging:
    return figures.aged(entity_id=asked.entity.pk, as_of=asked.as_of, customer_ids=asked.customer_ids)


def _collection(asked: Asked) -> figures.Collection:
    return figures.collection(
        entity_id=asked.entity.pk, as_of=asked.as_of, currency=asked.currency, customer_ids=asked.customer_ids
    )


def _of_items(title: str, asked: Asked, keep: pl.Expr) -> Explained:
    return _summed(title, _items(_aged(asked).items.filter(keep & (pl.col("currency") == asked.currency))), asked.currency)


def _items(frame: pl.DataFrame) -> list[dict[str, Any]]:
    names = market.names(frame["customer_id"].unique().to_list()[:30_000])
    return [
        _row(r["number"], r["due_on"], names.get(r["customer_id"], ""), r["open_minor"], reverse("billing:invoice", args=[r["invoice_id"]]))
        for r in frame.sort("open_minor", descending=True).to_dicts()
    ]  # fmt: skip


def _months(asked: Asked, count: int) -> list[tuple[date, int, int]]:
    sales = billing.monthly_sales(entity_id=asked.entity.pk, until=asked.as_of, customer_ids=asked.customer_ids)
    sold = {m: s for m, c, s in sales.iter_rows() if c == asked.currency}
    return [(month, days, sold.get(month, 0)) for month, days in figures.months_back(asked.as_of, count)]


def _sales(asked: Asked) -> Part:
    rows = [_row(f"{month:%b %Y}", month, f"sold in {days} days", sold, "") for month, days, sold in _months(asked, 3)]
    return _part("Sales", rows)


def _row(what: str, on: date | None, note: str, amount: int | Fraction, url: str) -> dict[str, Any]:
    return {"what": what, "on": on, "note": note, "amount": amount, "url": url}


def _columns(kind: str) -> list[Column]:
    label = {"days": "Days", "count": "Number"}.get(kind)
    amount = Column("amount", label or "Amount", "decimal" if label else "money")
    return [Column("what", "What", link="url"), Column("on", "Day", "date"), Column("note", ""), amount]


def _sum(rows: Sequence[Mapping[str, Any]]) -> int | Fraction:
    total: int | Fraction = sum((r["amount"] for r in rows), start=0)
    return total


def _part(title: str, rows: list[dict[str, Any]], kind: str = "money") -> Part:
    listed, rest = rows[:SHOWN], rows[SHOWN:]
    if rest:
        listed = [*listed, _row(f"{len(rest):,} more", None, "smaller ones, in all", _sum(rest), "")]
    return Part(title, _columns(kind), listed, _sum(rows))


def _summed(title: str, rows: list[dict[str, Any]], currency: str) -> Explained:
    part = _part(title, rows)
    return Explained(part.total, [part], currency)


def _ratio(value: Fraction | None, parts: list[Part], currency: str, scale: int) -> Explained:
    return Explained(value, parts, currency, scale)
