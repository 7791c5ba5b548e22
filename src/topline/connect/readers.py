"""From a file to the frame that an import writes: one function per kind of import, pure reading, no change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from topline.billing.models import Invoice
from topline.catalog import queries as catalog
from topline.connect import sales_readers
from topline.connect.sheets import Ready, optional, refuse, refuse_shared, with_currency
from topline.engine import terms
from topline.engine.sheets import Profile, Typed, load_profiles, parse_profile, read_sheet, typed
from topline.engine.sheets.profile import ProfileInvalid
from topline.kernel import bulk, clock
from topline.kernel.countries import countries
from topline.kernel.errors import DomainError, NotFound, ensure
from topline.kernel.money import format_amount
from topline.market import competitors
from topline.market import queries as market
from topline.market.actions import TaxIdInvalid, check_tax_id
from topline.market.names import folded
from topline.receivables.models import Payment

FOLDER = Path(__file__).resolve().parent / "profiles"
KINDS_TOLD = {
    "recommendation": "nps",
    "net promoter score": "nps",
    "satisfaction": "csat",
    "support": "ticket",
    "support ticket": "ticket",
}


def profiles(kind: str | None = None) -> list[Profile]:
    """The profiles that ship with Topline, of one kind or all, by id."""
    return [p for p in load_profiles(FOLDER).values() if kind in (None, p.kind)]


def folder_profiles(name: str) -> list[Profile]:
    """The profiles by which the files of one folder are read, in the order in which they rest on each other.

    Raises: NotFound with the names there are.
    """
    every = load_profiles(FOLDER).values()
    found = [p for p in every if p.folder and p.folder == name]
    ensure(
        bool(found),
        NotFound(
            f"There is no profile {name!r} for a folder.",
            field="profile",
            remedy=f"Use one of: {', '.join(sorted({p.folder for p in every if p.folder}))}.",
        ),
    )
    return found


def profile(name: str, kind: str, *, own: str = "") -> Profile:
    """A profile of ours by id, or the caller's own; a name never opens a file.

    own  the text of a profile in YAML; the name is then only what it is called
    Raises: NotFound with the names there are, ProfileInvalid.
    """
    if own:
        given = parse_profile(own, name=name)
        ensure(
            given.kind == kind,
            ProfileInvalid(
                f"{name} is a profile for {given.kind}, not for {kind}.", field="profile", remedy=f"Say kind: {kind}."
            ),
        )
        return given
    found = load_profiles(FOLDER).get(name or f"topline-{kind}")
    if found is None or found.kind != kind:
        raise NotFound(
            f"There is no profile {name!r} for {kind}.",
            field="profile",
            remedy=f"Use one of: {', '.join(p.id for p in profiles(kind)) or 'your own YAML file'}.",
        )
    return found


def read(kind: str, content: bytes, *, name: str, using: Profile, entity_id: int | None, currency: str) -> Ready:
    """Read a sheet of one kind; amounts without a currency of their own are in `currency`.

    entity_id  compare with what this entity has, so that known numbers are refused; None reads the file alone

    Raises: SheetRefused, NotFound (kind).
    """
    sheet = read_sheet(content, name=name, delimiter=using.delimiter, drop_nul=using.drop_nul)
    given = typed(sheet, using_currency(using, currency))
    if kind not in READERS:
        raise NotFound(f"{kind!r} cannot be imported.", field="kind", remedy=f"Use one of {', '.join(sorted(READERS))}.")
    return READERS[kind](given, using_currency(using, currency), entity_id)


def using_currency(profile: Profile, currency: str) -> Profile:
    """The profile with the company's currency for files and profiles that name none."""
    if profile.constants.get("currency"):
        return profile
    return Profile(**{**profile.__dict__, "constants": {**profile.constants, "currency": currency}})


def receivables(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Open items: number, customer, customer_name, currency, issued_on, due_on, kind, total_minor, tax_minor, memo, purchase_order, terms, paid_on,
    product (text), quantity (units of it, one where the file does not say)."""
    rows = with_currency(given.rows, using)
    rows = optional(
        rows,
        {
            "customer_name": "",
            "memo": "",
            "purchase_order": "",
            "product": "",
            "terms": str(using.constants.get("terms", "net 30")),
        },
    )
    if "quantity" not in rows.columns:
        rows = rows.with_columns(quantity=pl.lit(None, dtype=pl.Int64))
    if "due_on" not in rows.columns:
        rows = rows.with_columns(due_on=pl.lit(None, dtype=pl.Date))
    if "paid_on" not in rows.columns:
        rows = rows.with_columns(paid_on=pl.lit(None, dtype=pl.Date))
    if "tax" not in rows.columns:
        rows = rows.with_columns(tax=pl.lit(0, dtype=pl.Int64))
    rows = _due_by_terms(rows)
    problems = [given.problems]
    rows = refuse(rows, problems, pl.col("amount") == 0, "amount", "not_positive", "is zero", "Leave the row out.")
    rows = refuse(
        rows,
        problems,
        pl.col("due_on") < pl.col("issued_on"),
        "due_on",
        "due_before_issue",
        "is before the day of issue",
        "Correct one of the two days.",
    )
    rows = refuse(
        rows,
        problems,
        pl.col("paid_on") < pl.col("issued_on"),
        "paid_on",
        "paid_before_issue",
        "is before the day of issue",
        "Correct one of the two days.",
    )
    rows = refuse(
        rows,
        problems,
        (pl.col("paid_on").is_not_null()) & (pl.col("amount") < 0),
        "paid_on",
        "credit_paid",
        "is set on a credit note",
        "Leave it empty.",
    )
    rows = _at_what_is_open(rows, problems)
    rows = refuse(
        rows,
        problems,
        pl.col("tax").fill_null(0).abs() > pl.col("amount").abs(),
        "tax",
        "tax_too_large",
        "is more than the amount",
        "Correct it.",
    )
    rows = refuse(
        rows,
        problems,
        pl.col("number").is_duplicated() & ~pl.col("number").is_first_distinct(),
        "number",
        "duplicate_number",
        "stands twice in the file",
        "Number every document once.",
    )
    rows = refuse(rows, problems, pl.col("quantity") <= 0, "quantity", "no_quantity", "is no quantity", "Write how many units were sold.")  # fmt: skip
    if entity_id is not None:
        rows = refuse_shared(rows, problems)
        things = catalog.find(rows["product"].filter(rows["product"] != "")).drop_nulls("product_id")["value"]
        odd = (pl.col("product") != "") & ~pl.col("product").is_in(things.implode())
        rows = refuse(rows, problems, odd, "product", "unknown_product", "is no product of ours", "Add the product, or leave the cell empty.")  # fmt: skip
        known = bulk.read(Invoice.objects.filter(entity_id=entity_id, number__isnull=False).values("number"))
        rows = refuse(
            rows,
            problems,
            pl.col("number").is_in(known["number"].implode()),
            "number",
            "duplicate_number",
            "is here already",
            "Leave the row out, or give it another number.",
        )
    ready = rows.with_columns(
        kind=pl.when(pl.col("amount") < 0).then(pl.lit("credit_note")).otherwise(pl.lit("invoice")),
        total_minor=pl.col("amount").abs(),
        tax_minor=pl.col("tax").fill_null(0).abs(),
    )
    return Ready(ready, pl.concat(problems), given.detected)


def _at_what_is_open(rows: pl.DataFrame, problems: list[pl.DataFrame]) -> pl.DataFrame:
    """Documents that were settled in part before come in at what is still open, with their tax in proportion; the memo says so."""
    if "open" not in rows.columns:
        return rows
    owed, whole = pl.col("open"), pl.col("amount")
    rows = refuse(
        rows, problems, (owed * whole.sign() < 0) | (owed.abs() > whole.abs()), "open", "open_not_within_amount",
        "does not lie between zero and the amount", "Correct one of the two.",
    )  # fmt: skip
    rows = refuse(
        rows, problems, (owed == 0) & pl.col("paid_on").is_null(), "open", "nothing_open",
        "leaves nothing open, and no day of payment is given", "Leave the row out, or say when it was paid.",
    )  # fmt: skip
    part = pl.col("paid_on").is_null() & owed.is_not_null() & (owed != whole)
    tax = pl.col("tax").fill_null(0).abs().cast(pl.Int128)
    told = [f"{format_amount(a, c)} {c}" for a, c in rows.filter(part).select("amount", "currency").iter_rows()]
    parts = rows.filter(part).with_columns(
        amount="open", tax=((2 * tax * owed.abs() + whole.abs()) // (2 * whole.abs())).cast(pl.Int64),
        memo=pl.concat_str("memo", pl.lit(" The rest of "), pl.Series(told, dtype=pl.String), pl.lit(".")).str.strip_chars(),
    )  # fmt: skip
    return pl.concat([rows.filter(~part), parts], how="vertical_relaxed").sort("row")


def payments(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Payments: number, customer, received_on, amount, currency, invoice, reference, payer_name."""
    rows = optional(
        with_currency(given.rows, using), {"customer": "", "invoice": "", "reference": "", "payer_name": "", "number": ""}
    )
    problems = [given.problems]
    rows = refuse(
        rows, problems, pl.col("amount") <= 0, "amount", "not_positive", "is zero or less", "Book money that leaves as a refund."
    )
    numbered = pl.col("number") != ""
    rows = refuse(
        rows,
        problems,
        numbered & pl.col("number").is_duplicated() & ~pl.col("number").is_first_distinct(),
        "number",
        "duplicate_number",
        "stands twice in the file",
        "Number every payment once.",
    )
    if entity_id is not None:
        known = bulk.read(Payment.objects.filter(entity_id=entity_id).values("number"))
        rows = refuse(
            rows,
            problems,
            pl.col("number").is_in(known["number"].implode()),
            "number",
            "duplicate_number",
            "is booked already",
            "Leave the row out.",
        )
        invoices = bulk.read(Invoice.objects.filter(entity_id=entity_id, number__isnull=False).values("number"))
        rows = refuse(
            rows,
            problems,
            (pl.col("invoice") != "") & ~pl.col("invoice").is_in(invoices["number"].implode()),
            "invoice",
            "unknown_invoice",
            "is no invoice of ours",
            "Correct the number, or leave it empty.",
        )
    return Ready(rows, pl.concat(problems), given.detected)


def customers(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Customers: number, name, legal_name, tax_id, country, currency, terms, segment; those known already are left out.

    A row without number is known by its name.
    """
    rows = with_currency(
        optional(given.rows, {"number": "", "legal_name": "", "tax_id": "", "country": "", "terms": "net 30", "segment": ""}),
        using,
    )
    problems = [given.problems]
    numbered = pl.col("number") != ""
    rows = refuse(
        rows,
        problems,
        numbered & pl.col("number").is_duplicated() & ~pl.col("number").is_first_distinct(),
        "number",
        "duplicate_number",
        "stands twice in the file",
        "Number every customer once.",
    )
    rows = refuse(
        rows, problems, ~pl.col("country").str.to_uppercase().is_in(["", *countries()]), "country", "unknown_country", "is no country code", "Use two letters, such as DE."
    )  # fmt: skip
    rows = _with_tax_ids(rows, problems)
    key = folded(pl.col("name"))
    twice = ~numbered & key.is_duplicated() & ~key.is_first_distinct()
    rows = refuse(
        rows, problems, twice, "name", "duplicate_customer", "stands twice in the file", "Keep one row, or number them."
    )
    if entity_id is not None:
        known = market.find(rows["number"].filter(rows["number"] != ""), kinds=("number",)).drop_nulls("customer_id")
        rows = refuse(
            rows,
            problems,
            pl.col("number").is_in(known["value"].implode()),
            "number",
            "known_customer",
            "is a customer already",
            "Leave the row out.",
        )
        names = rows["name"].filter(rows["number"] == "")
        named = market.find(names, kinds=("name",)).drop_nulls("customer_id")["value"]
        borne = pl.concat([named, market.shared_names(names, kinds=("name",))])
        there = (pl.col("number") == "") & pl.col("name").is_in(borne.implode())
        rows = refuse(rows, problems, there, "name", "known_customer", "is a customer already", "Leave the row out.")
    return Ready(rows, pl.concat(problems), given.detected)


def _with_tax_ids(rows: pl.DataFrame, problems: list[pl.DataFrame]) -> pl.DataFrame:
    """The rows whose tax id may be one; the others are told with what is wrong with theirs."""
    pairs = rows.filter(pl.col("tax_id") != "").select("tax_id", "country").unique(maintain_order=True)
    for tax_id, country in pairs.iter_rows():
        try:
            check_tax_id(tax_id, country)
        except TaxIdInvalid as error:
            odd = (pl.col("tax_id") == tax_id) & (pl.col("country") == country)
            what = error.message.removeprefix(f"{tax_id} ").rstrip(".")
            rows = refuse(rows, problems, odd, "tax_id", "tax_id_invalid", what, error.remedy)
    return rows


def payroll(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Pay per period and person: person, group, amount. Annual salaries and hourly rates are turned into periods by the profile."""
    rows = optional(given.rows, {"group": ""})
    if "annual" in rows.columns:
        periods = int(using.constants.get("periods_a_year", 26))
        exact = pl.Decimal(38, 6)
        salary = pl.col("annual").cast(exact) / periods
        # typical hours are read with the currency's decimals: hundredths of an hour
        hourly = pl.col("hourly").cast(exact) * pl.col("hours").cast(exact) / 100 * 52 / periods
        rows = rows.with_columns(amount=pl.coalesce(salary, hourly).round(0, mode="half_away_from_zero").cast(pl.Int64))
    if "person" not in rows.columns:
        rows = rows.with_columns(
            person=pl.format("{} {}", pl.col("title") if "title" in rows.columns else pl.lit("person"), "row")
        )
    problems = [given.problems]
    rows = refuse(
        rows,
        problems,
        pl.col("amount").is_null() | (pl.col("amount") < 0),
        "amount",
        "no_pay",
        "is missing or negative",
        "Say what the person is paid.",
    )
    return Ready(
        rows.select("row", pl.col("person").str.slice(0, 100), pl.col("group").str.slice(0, 100), "amount"),
        pl.concat(problems),
        given.detected,
    )


def rates(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Exchange rates: currency, on, per_euro decimal(38,9) (units of the currency for one euro); a currency and day stands once."""
    text = pl.col("rate").str.strip_chars()
    written = text.str.replace(",", ".", literal=True) if using.decimal_mark == "," else text
    rows = given.rows.with_columns(per_euro=written.str.to_decimal(scale=9).cast(pl.Decimal(38, 9), strict=False))
    problems = [given.problems]
    plain = written.str.contains(r"^\d{1,12}(\.\d{1,9})?$")
    rows = refuse(
        rows, problems, ~plain, "rate", "not_a_rate", "is no rate such as 1.0825", "Write units for one euro; say --decimal-mark , for commas."
    )  # fmt: skip
    rows = refuse(rows, problems, pl.col("per_euro") <= 0, "rate", "not_positive", "is zero", "Leave the row out.")
    rows = refuse(
        rows,
        problems,
        pl.col("currency") == "EUR",
        "currency",
        "base_currency",
        "is what rates are told in",
        "Leave the row out.",
    )
    doubled = ~pl.struct("currency", "on").is_first_distinct()
    rows = refuse(rows, problems, doubled, "on", "duplicate_day", "stands twice for its currency", "Keep one rate a day.")
    return Ready(rows.select("row", "currency", "on", "per_euro"), pl.concat(problems), given.detected)


def experience(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """What customers told: customer, subject (a competitor, else empty: us), kind, score, on, segment, topic, text, response_minutes.

    A record about us needs a customer of ours, one about a competitor a competitor that is known.
    """
    rows = optional(given.rows, {"customer": "", "subject": "", "segment": "", "topic": "", "text": "", "response_hours": ""})
    rows = rows.with_columns(
        kind=pl.col("kind").str.to_lowercase().replace(KINDS_TOLD), subject=pl.when(pl.col("subject").str.to_lowercase().is_in(["us", "we"])).then(pl.lit("")).otherwise("subject"),
        hours=pl.col("response_hours").str.replace(",", ".", literal=True).cast(pl.Float64, strict=False),
    )  # fmt: skip
    kind, score = pl.col("kind"), pl.col("score")
    nps, csat = (kind == "nps") & ~score.is_between(0, 10), (kind == "csat") & ~score.is_between(1, 5)
    blank = score.is_null() & kind.is_in(["nps", "csat"])
    told: list[tuple[pl.Expr, str, str, str, str]] = [
        (~kind.is_in(["nps", "csat", "ticket"]), "kind", "unknown_kind", "is no kind of record", "Use nps, csat or ticket."),
        (blank | nps | csat, "score", "score_out_of_bounds", "does not fit its kind", "NPS is 0 to 10, CSAT 1 to 5."),
        ((kind == "ticket") & score.is_not_null(), "score", "score_on_ticket", "stands on a ticket", "Leave it empty."),
        (pl.col("hours").is_null() & (pl.col("response_hours") != "") | (pl.col("hours") < 0) | ~pl.col("hours").is_finite(), "response_hours", "not_hours", "is no number of hours", "Write hours, such as 2.5."),
        ((kind != "ticket") & pl.col("hours").is_not_null(), "response_hours", "response_of_no_ticket", "is for tickets alone", "Leave it empty."),
        (pl.col("on") > clock.today() + timedelta(days=1), "on", "in_the_future", "lies in the future", "Correct the day."),
        ((pl.col("customer") == "") & (pl.col("subject") == ""), "customer", "missing", "is empty", "Say which customer told it."),
    ]  # fmt: skip
    problems = [given.problems]
    for odd, column, code, what, remedy in told:
        rows = refuse(rows, problems, odd, column, code, what, remedy)
    if entity_id is not None:
        names = market.find(rows["customer"].filter(rows["customer"] != "")).filter(pl.col("customer_id").is_null())["value"]
        lost = pl.col("customer").is_in(names.implode())
        rows = refuse(rows, problems, lost, "customer", "unknown_customer", "is no customer of ours", "Correct it, or add the customer first.")  # fmt: skip
        rivals = pl.Series([name.lower() for name in competitors.names().values()], dtype=pl.String)
        strange = (pl.col("subject") != "") & ~pl.col("subject").str.to_lowercase().is_in(rivals.implode())
        rows = refuse(rows, problems, strange, "subject", "unknown_competitor", "is no competitor that we know", "Correct it, or add it under Market first.")  # fmt: skip
    minutes = (pl.col("hours") * 60).round().cast(pl.Int64)
    return Ready(rows.with_columns(response_minutes=minutes).drop("hours", "response_hours"), pl.concat(problems), given.detected)


READERS: dict[str, Callable[[Typed, Profile, int | None], Ready]] = {
    "receivables": receivables,
    "payments": payments,
    "customers": customers,
    "payroll": payroll,
    "rates": rates,
    "products": sales_readers.products,
    "reps": sales_readers.reps,
    "opportunities": sales_readers.opportunities,
    "quotas": sales_readers.quotas,
    "experience": experience,
    "leads": sales_readers.leads,
}


def _due_by_terms(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill due days that the file lacks by the row's terms; one calculation per distinct pair of terms and day of issue."""
    missing = rows.filter(pl.col("due_on").is_null()).select("terms", "issued_on").unique()
    if missing.is_empty():
        return rows
    days: list[date | None] = []
    for text, issued in missing.iter_rows():
        try:
            days.append(terms.due_day(issued, terms.parse_terms(text).parts[-1]))
        except DomainError:
            days.append(None)
    filled = missing.with_columns(_due=pl.Series(days, dtype=pl.Date))
    return (
        rows.join(filled, on=["terms", "issued_on"], how="left", maintain_order="left")
        .with_columns(pl.coalesce("due_on", "_due").alias("due_on"))
        .drop("_due")
    )


def options_of(using: Profile, given: dict[str, Any]) -> dict[str, Any]:
    """The profile's constants with what the caller said on top; empty values do not count."""
    return {**using.constants, **{name: value for name, value in given.items() if value not in (None, "")}}
