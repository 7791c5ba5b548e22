"""Readers of a CRM's sheets: products, sales people, deals."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from topline.books import queries as books
from topline.catalog import queries as catalog
from topline.catalog.models import Product
from topline.connect import selling
from topline.connect.sheets import Ready, optional, refuse, refuse_shared, with_currency
from topline.engine.sheets import Profile, Typed
from topline.kernel import bulk, clock
from topline.kernel.countries import countries
from topline.kernel.money import exponent
from topline.leads.models import Campaign
from topline.market import queries as market
from topline.pipeline import queries as pipeline
from topline.pipeline.models import Category, Opportunity, Quota


def products(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Products: code, name, family, unit, price (minor units, null for none), currency, valid_from; those known already are left out."""
    rows = with_currency(optional(given.rows, {"name": "", "family": "", "unit": "unit"}), using)
    absent = {"price": pl.Int64, "valid_from": pl.Date}
    rows = rows.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in absent.items() if name not in rows.columns)
    rows = rows.with_columns(
        name=pl.when(pl.col("name") == "").then("code").otherwise("name"),
        valid_from=pl.col("valid_from").fill_null(selling.day_of(using, "valid_from")),
    )
    problems = [given.problems]
    twice = pl.col("code").is_duplicated() & ~pl.col("code").is_first_distinct()
    rows = refuse(rows, problems, twice, "code", "duplicate_product", "stands twice in the file", "Keep one row a product.")
    rows = refuse(rows, problems, pl.col("price") < 0, "price", "negative_price", "is negative", "Correct the price.")
    if entity_id is not None:
        known = catalog.find(rows["code"]).drop_nulls("product_id")["value"]
        there = pl.col("code").is_in(known.implode())
        rows = refuse(rows, problems, there, "code", "known_product", "is a product already", "Leave the row out.")
    return Ready(rows, pl.concat(problems), given.detected)


def reps(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Sales people: code, name, manager (name or code), region, joined_on, left_on; those known already are left out, and those who lead each other in
    a circle: others of the file are kept."""
    rows = optional(given.rows, {"code": "", "manager": "", "region": ""})
    days = [name for name in ("joined_on", "left_on") if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=pl.Date).alias(name) for name in days)
    problems = [given.problems]
    twice = pl.col("name").is_duplicated() & ~pl.col("name").is_first_distinct()
    rows = refuse(rows, problems, twice, "name", "duplicate_rep", "stands twice in the file", "Keep one row a person.")
    early = pl.col("left_on") < pl.col("joined_on")
    rows = refuse(
        rows, problems, early, "left_on", "left_before_joining", "is before the day of joining", "Correct one of the two days."
    )
    alone = pl.col("manager") == pl.col("name")
    rows = refuse(rows, problems, alone, "manager", "own_manager", "would lead themselves", "Name who leads them.")
    circular = pl.col("row").is_in(selling.circular(rows))
    rows = refuse(
        rows, problems, circular, "manager", "circular_team", "would report to this person in the end", "Somebody among them has to report to another."
    )  # fmt: skip
    if entity_id is not None:
        known = pipeline.find_reps(rows["name"]).drop_nulls("rep_id")["value"]
        there = pl.col("name").is_in(known.implode())
        rows = refuse(rows, problems, there, "name", "known_rep", "is a sales person already", "Leave the row out.")
    return Ready(rows, pl.concat(problems), given.detected)


def opportunities(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Deals: number, name, rep, product, customer (texts), stage_key, kind, category, amount_minor, currency, days and texts.

    A closing day of an open deal is the day on which it is expected to close, as most CRMs mean it; a lost deal of 0 has no amount.
    """
    texts = ["name", "product", "customer", "category", "source", "segment", "next_step", "loss_reason", "competitor"]
    rows = with_currency(optional(given.rows, dict.fromkeys(texts, "")), using)
    absent = {"amount": pl.Int64, **dict.fromkeys(("opened_on", "engaged_on", "close_on", "closed_on"), pl.Date)}
    rows = rows.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in absent.items() if name not in rows.columns)
    words = selling.stage_keys(using).rename({"stage": "stage_key"})
    rows = (
        rows.with_columns(word=pl.col("stage").str.to_lowercase())
        .join(words, on="word", how="left", maintain_order="left")
        .with_columns(pl.col("category").str.to_lowercase().str.replace_all(r"[ -]+", "_"))
    )
    problems = [given.problems]
    rows = refuse(
        rows,
        problems,
        pl.col("stage_key").is_null(),
        "stage",
        "unknown_stage",
        "is no stage of the pipeline",
        "Add the stage, or correct the cell.",
    )
    is_open = pl.col("kind") == "open"
    no_amount = (pl.col("kind") == "lost") & (pl.col("amount") == 0)
    rows = rows.with_columns(
        close_on=pl.when(is_open).then(pl.coalesce("close_on", "closed_on")).otherwise("close_on"),
        closed_on=pl.when(~is_open).then("closed_on"),
        amount_minor=pl.when(~no_amount).then("amount"),
    )
    today = books.today(entity_id)
    checks = [
        (pl.col("number").is_duplicated() & ~pl.col("number").is_first_distinct(), "number", "duplicate_number", "stands twice in the file", "Number every deal once."),
        (~pl.col("category").is_in(["", *Category.values]), "category", "unknown_category", "is no forecast category", f"Use one of {', '.join(Category.values)}."),
        (pl.col("amount_minor") < 0, "amount", "negative_amount", "is negative", "Correct the amount."),
        ((pl.col("kind") == "won") & pl.col("amount_minor").is_null(), "amount", "won_without_amount", "tells no amount of a won deal", "Say what it was sold for."),
        (~is_open & pl.col("closed_on").is_null(), "closed_on", "closed_without_day", "is no day on which it was closed", "Say the day."),
        (pl.col("closed_on") < pl.col("opened_on"), "closed_on", "closed_before_opened", "is before it was opened", "Correct one of the two days."),
        (pl.col("closed_on") < pl.col("engaged_on"), "closed_on", "closed_before_engaged", "is before the first talk", "Correct one of the two days."),
        (pl.col("close_on") < pl.col("opened_on"), "close_on", "expected_before_opened", "is before it was opened", "Correct one of the two days."),
        (pl.col("engaged_on") < pl.col("opened_on"), "engaged_on", "engaged_before_opened", "is before it was opened", "Correct one of the two days."),
        *((pl.col(day) > today, day, "in_the_future", "has not come yet", "Correct the day.") for day in ("opened_on", "engaged_on", "closed_on")),
    ]  # fmt: skip
    for odd, column, code, what, remedy in checks:
        rows = refuse(rows, problems, odd, column, code, what, remedy)
    if entity_id is not None:
        rows = _known_only(rows, problems)
    return Ready(rows, pl.concat(problems), given.detected)


def quotas(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Quotas: rep (text), starts_on, ends_on, amount (minor units; deals where the measure counts them), currency (empty for deals), family, measure; a row
    without owner, or of one who left, is told.

    A period without its end lasts the profile's `months`, three unless it says another number.
    """
    rows = with_currency(optional(given.rows, {"rep": "", "family": "", "measure": ""}), using)
    rows = rows.with_columns(pl.col("measure").str.to_lowercase().replace("", Quota.Measure.BOOKINGS.value))
    one = pl.lit(10) ** pl.col("currency").map_elements(exponent, return_dtype=pl.Int64)
    if "ends_on" not in rows.columns:
        rows = rows.with_columns(ends_on=pl.lit(None, dtype=pl.Date))
    months = int(using.constants.get("months", 3))
    rows = rows.with_columns(pl.col("ends_on").fill_null(pl.col("starts_on").dt.offset_by(f"{months}mo")))
    problems = [given.problems]
    checks = [
        (pl.col("rep") == "", "rep", "quota_without_owner", "names nobody", "Say whose quota it is."),
        (pl.col("amount") < 0, "amount", "negative_quota", "is negative", "Correct the amount."),
        (pl.col("ends_on") <= pl.col("starts_on"), "ends_on", "empty_period", "does not lie after the first day", "Correct one of the two days."),
        (~pl.col("measure").is_in(Quota.Measure.values), "measure", "unknown_measure", "measures no quota", f"Use one of {', '.join(Quota.Measure.values)}."),
        ((pl.col("measure") == "deals") & (pl.col("amount") % one != 0), "amount", "parts_of_deals", "is no whole number of deals", "Count the deals."),
        (~pl.struct("rep", "starts_on", "ends_on", "family", "measure").is_first_distinct(), "rep", "duplicate_quota", "stands twice for its period", "Keep one row a period."),
    ]  # fmt: skip
    for odd, column, code, what, remedy in checks:
        rows = refuse(rows, problems, odd, column, code, what, remedy)
    counts = pl.col("measure") == "deals"
    rows = rows.with_columns(amount=pl.when(counts).then(pl.col("amount") // one).otherwise("amount"), currency=pl.when(counts).then(pl.lit("")).otherwise("currency"))  # fmt: skip
    if entity_id is not None:
        families = sorted(set(Product.objects.exclude(family="").values_list("family", flat=True)))
        rows = refuse(rows, problems, ~pl.col("family").is_in(["", *families]), "family", "unknown_family", "is no product family of ours", "Correct it, or add its products first.")  # fmt: skip
        found = pipeline.find_reps(rows["rep"]).rename({"value": "rep"})
        left = pipeline.reps().select("rep_id", "left_on")
        rows = rows.join(found, on="rep", how="left", maintain_order="left").join(
            left, on="rep_id", how="left", maintain_order="left"
        )
        rows = refuse(
            rows,
            problems,
            pl.col("rep_id").is_null(),
            "rep",
            "unknown_owner",
            "is no sales person of ours",
            "Add the person first.",
        )
        rows = refuse(rows, problems, pl.col("left_on") <= pl.col("starts_on"), "rep", "quota_owner_left", "left before the period", "Give it to somebody who is here.")  # fmt: skip
    return Ready(rows, pl.concat(problems), given.detected)


def _known_only(rows: pl.DataFrame, problems: list[pl.DataFrame]) -> pl.DataFrame:
    """Refuse what is here already, and what names somebody or something that is not."""
    here = bulk.read(Opportunity.objects.filter(is_withdrawn=False).values("number"))["number"]
    rows = refuse(
        rows, problems, pl.col("number").is_in(here.implode()), "number", "known_deal", "is a deal already", "Leave the row out."
    )
    sellers = pipeline.find_reps(rows["rep"]).drop_nulls("rep_id")["value"]
    rows = refuse(
        rows,
        problems,
        ~pl.col("rep").is_in(sellers.implode()),
        "rep",
        "unknown_owner",
        "is no sales person of ours",
        "Add the person first.",
    )
    things = catalog.find(rows["product"]).drop_nulls("product_id")["value"]
    odd = (pl.col("product") != "") & ~pl.col("product").is_in(things.implode())
    rows = refuse(
        rows, problems, odd, "product", "unknown_product", "is no product of ours", "Add the product, or correct the cell."
    )
    named = rows["customer"].filter(rows["customer"] != "")
    rows = refuse_shared(rows, problems)
    buyers = market.find(named).drop_nulls("customer_id")["value"]
    odd = (pl.col("customer") != "") & ~pl.col("customer").is_in(buyers.implode())
    return refuse(rows, problems, odd, "customer", "unknown_customer", "names no customer of ours", "Add the customer first.")


def leads(given: Typed, using: Profile, entity_id: int | None) -> Ready:
    """Leads: company, name, email, phone, country, segment, source, campaign, interest, owner (texts), created_on.

    An owner that is empty is taken from the territories.
    """
    texts = ["company", "name", "email", "phone", "country", "segment", "source", "campaign", "interest", "rep"]
    rows = optional(given.rows, dict.fromkeys(texts, "")).with_columns(pl.col("country").str.to_uppercase())
    if "created_on" not in rows.columns:
        rows = rows.with_columns(created_on=pl.lit(None, dtype=pl.Date))
    checks = [
        ((pl.col("company") == "") & (pl.col("name") == ""), "company", "nobody", "names neither company nor person", "Fill in one of them."),
        (~pl.col("country").is_in(["", *countries()]), "country", "not_a_country", "is no country code", "Use two letters, such as DE."),
        ((pl.col("email") != "") & ~pl.col("email").str.contains("^[^@ ]+@[^@ ]+$"), "email", "not_an_address", "is no e-mail address", "Correct it or leave it empty."),
        (pl.col("created_on") > clock.today() + timedelta(days=1), "created_on", "in_the_future", "lies in the future", "Correct the day."),
    ]  # fmt: skip
    problems = [given.problems]
    for odd, column, code, what, remedy in checks:
        rows = refuse(rows, problems, odd, column, code, what, remedy)
    if entity_id is not None:
        lost = pipeline.find_reps(rows["rep"].filter(rows["rep"] != "")).filter(pl.col("rep_id").is_null())["value"]
        rows = refuse(rows, problems, pl.col("rep").is_in(lost.implode()), "rep", "unknown_owner", "is no sales person", "Correct it, or add the person first.")  # fmt: skip
        known = list(Campaign.objects.values_list("code", flat=True))
        rows = refuse(rows, problems, ~pl.col("campaign").is_in(["", *known]), "campaign", "unknown_campaign", "is no campaign", "Correct it, or add it under Leads first.")  # fmt: skip
    return Ready(rows, pl.concat(problems), given.detected)
