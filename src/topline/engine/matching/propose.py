"""Proposals of cash application: what each payment settles, by which rule, how surely, and the reason in words.

Precision comes before recall: a proposal is posted only when one reading stands alone, nothing speaks against it, and readings
of its kind were right often enough on labelled books. Everything else waits for a person with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from topline.engine.matching import confidence, references
from topline.engine.matching.guesses import AGAINST, guesses
from topline.engine.matching.payers import payers
from topline.engine.matching.subsets import MOST_ITEMS, adding_up
from topline.engine.text import words as folded_words

RETURNED = r"(?i)\b(nsf|return of|returned|reversal|storno|retoure|ruecklastschrift|rücklastschrift|chargeback)\b"
INSTALMENT = r"(?i)\b(instal+ment|part(ial)? payment|on account|teilzahlung|rate \d|acompte)\b"
DEDUCTION = r"(?i)\b(deduct\w*|less|claim|allowance|dispute\w*|short ship\w*|abz[uü]gl\w*)\b"
EARLY = r"(?i)(discount|skonto|escompte|early pay)"
GOES_BACK = "The text says that money goes back: undo the earlier payment instead."
NAMED = 4  # items that a reason names before it counts the rest
RECOGNISED = 95.0  # likeness from which a name is taken as the payer's identity
# what may stand after our own name in a text that means us; any other word makes it the name of a sister company
AFTER_OUR_NAME = [
    "inc", "llc", "corp", "corporation", "gmbh", "ltd", "limited", "ag", "kg", "sa", "se", "bv", "nv", "plc", "co", "ug", "srl", "sarl", "ab", "as", "oy",
    "invoice", "invoices", "inv", "rechnung", "rechnungen", "rg", "rnr", "re", "nr", "no", "number", "ref", "reference", "order", "po", "payment", "payments",
    "zahlung", "facture", "fact", "factura", "fattura", "bill", "account", "acct", "iban", "for", "from", "of", "on", "dated", "per", "and", "und", "et", "vom",
    "thanks", "thank", "customer", "kunde", "kdnr", "contract", "vertrag", "subscription", "services", "service", "less", "minus", "abz", "abzgl", "skonto", "discount",
    "your", "our", "ihre", "unsere", "full", "part", "instalment", "installment", "q1", "q2", "q3", "q4", "remittance", "statement", "total", "net",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policy:
    """What the company allows.

    threshold        confidence from which a proposal posts by itself
    fee_minor        largest difference taken as a bank's fee, and at most `fee_bps` of the amount due
    withheld_percents  taxes that payers keep back; such a payment always waits for a person
    most_chance      expected sets that add up by chance, above which a sum proves nothing
    own_name         our name in folded words without its legal form, where it is two words or more; a text that names a sister company
                     of ours ("Global Imports North") is not posted
    """

    threshold: float = 0.99
    fee_minor: int = 50_00
    fee_bps: int = 100
    withheld_percents: tuple[int, ...] = (5, 10, 15, 20, 25, 30)
    most_chance: float = 0.001
    own_name: str = ""


@dataclass(frozen=True, slots=True)
class Proposals:
    """payments: one row per payment with decision, rule, confidence, reason; links: what each would settle; evidence: what the
    confidence was read from, one row per payment that has links."""

    payments: pl.DataFrame
    links: pl.DataFrame
    evidence: pl.DataFrame


def propose(
    payments: pl.DataFrame,
    items: pl.DataFrame,
    *,
    known: pl.DataFrame,
    policy: Policy | None = None,
    weights: dict[str, float] | None = None,
) -> Proposals:
    """For every payment: apply, review or nothing found.

    payments  one row per payment: payment_id i64, amount_minor i64, currency, booked_on date, payer_key (folded name),
              payer_account, remittance, reference (structured)
    items     one row per open item: item_id i64, customer_id i64, customer_key (folded name), number, order_number,
              reference, currency, open_minor i64 > 0, due_on, discount_minor i64, discount_until date or null, blocked bool
    known     customer_id, payer_key, payer_account: learned aliases and accounts, parents and factors included
    returns   payments: payment_id, decision (apply, review, unknown), rule, customer_id, confidence (0 for a guess), reason;
              links: payment_id, item_id, amount_minor (cash), settled_minor (what the item is reduced by), difference
    No item is ever proposed for posting beyond what is open on it, all payments together.
    Work: hash joins over blocks; the subset search runs once per payment without a number, over 16 items at most.
    """
    policy = policy or Policy()
    who = payers(payments, items.select("customer_id", "customer_key").unique(), known)
    named = _named(payments, items, who)
    # a number of somebody else's item, from a payer that we recognise, is more often a slip than a gift: look at the amount first
    recognised = who.filter(pl.col("likeness") >= RECOGNISED)
    theirs = named.join(items.select("item_id", "customer_id"), on="item_id").join(
        who, on=["payment_id", "customer_id"], how="semi"
    )
    foreign = named.join(theirs, on="payment_id", how="anti").join(recognised, on="payment_id", how="semi")
    named = named.join(foreign, on="payment_id", how="anti")
    fitting = _by_amount(payments.join(named, on="payment_id", how="anti"), items, who, policy)
    chosen = pl.concat([named, fitting, foreign.join(fitting, on="payment_id", how="anti")], how="diagonal_relaxed")
    silent = payments.join(chosen, on="payment_id", how="anti").filter(
        (pl.col("amount_minor") > 0) & ~pl.col("remittance").fill_null("").str.contains(RETURNED)
    )
    unclaimed = items.join(chosen, on="item_id", how="anti")
    chosen = pl.concat([chosen, guesses(silent, unclaimed, recognised, instalment=INSTALMENT)], how="diagonal_relaxed")
    return _decide(payments, items, who, chosen, policy, weights)


def _named(payments: pl.DataFrame, items: pl.DataFrame, who: pl.DataFrame) -> pl.DataFrame:
    """Items that the payment names: payment_id, item_id, by (structured, number, order, digits), rivals."""
    text = payments.select(
        "payment_id", text=pl.concat_str([pl.col("remittance").fill_null(""), pl.col("reference").fill_null("")], separator=" ; ")
    )
    said = references.windows(text)
    numbers = references.number_keys(items, column="number")
    orders = (
        references.number_keys(items, column="order_number").filter(pl.col("kind") == "number").with_columns(kind=pl.lit("order"))
    )
    plain = pl.col("reference").str.replace_all(r"[^A-Za-z0-9]", "").str.to_uppercase()
    given = payments.select("payment_id", key=plain).filter(pl.col("key").str.len_chars() >= references.SHORTEST)
    printed = items.select("item_id", key=plain).filter(pl.col("key").str.len_chars() >= references.SHORTEST)
    bodies = given.with_columns(
        key=pl.Series([references.structured_body(k) for k in given["key"]], dtype=pl.String)
    ).drop_nulls()
    digits = numbers.filter(pl.col("kind") == "digits").select("item_id", "key")
    hits = pl.concat(
        [
            given.join(printed, on="key").select("payment_id", "item_id", by=pl.lit("structured"), rank=pl.lit(0)),
            bodies.join(digits, on="key").select("payment_id", "item_id", by=pl.lit("structured"), rank=pl.lit(0)),
            said.join(numbers, on="key").select(
                "payment_id", "item_id", by="kind", rank=pl.when(pl.col("kind") == "number").then(1).otherwise(3)
            ),
            said.join(orders, on="key").select("payment_id", "item_id", by="kind", rank=pl.lit(2)),
        ]
    )
    hits = hits.sort("payment_id", "rank", "item_id").unique(["payment_id", "item_id"], keep="first", maintain_order=True)
    hits = hits.join(items.select("item_id", "customer_id", "number"), on="item_id").join(
        who.select("payment_id", "customer_id", theirs=pl.lit(value=True)), on=["payment_id", "customer_id"], how="left"
    )
    # bare digits and orders count only for the payer's own items, and only where no whole number was given
    strong = pl.col("rank") <= 1
    hits = hits.filter(strong | (~strong.any().over("payment_id") & pl.col("theirs").fill_null(value=False)))
    # the same number of two customers: the payer's own is meant
    theirs = pl.col("theirs").fill_null(value=False)
    hits = hits.filter(theirs | ~theirs.any().over("payment_id", "number"))
    return hits.with_columns(rivals=pl.len().over("payment_id", "number") - 1, chance=pl.lit(0.0)).select(
        "payment_id", "item_id", "by", "rivals", "chance"
    )


def _by_amount(payments: pl.DataFrame, items: pl.DataFrame, who: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Items of the payer that the amount fits: one alone, one less its discount, several together, or their oldest."""
    best = who.filter(pl.col("likeness") >= pl.col("likeness").max().over("payment_id") - 3)
    mine = payments.join(best, on="payment_id").join(
        items.select("item_id", "customer_id", "currency", "open_minor", "discount_minor", "discount_until", "due_on"),
        on=["customer_id", "currency"],
    )
    left = pl.col("open_minor") - _discount()
    single = mine.filter((pl.col("amount_minor") == pl.col("open_minor")) | (pl.col("amount_minor") == left))
    alone = single.with_columns(rivals=pl.len().over("payment_id") - 1).sort("payment_id", "due_on", "item_id")
    density = mine.group_by("payment_id").agg(chance=pl.len() / pl.col("open_minor").max().clip(1))
    ones = (
        alone.unique("payment_id", keep="first", maintain_order=True)
        .join(density, on="payment_id")
        .select("payment_id", "item_id", "rivals", "chance", by=pl.lit("amount"))
    )
    open_now = (
        mine.join(single, on="payment_id", how="anti")
        .filter(pl.col("customer_id").n_unique().over("payment_id") == 1)
        .sort("payment_id", "due_on", "item_id")
        .group_by("payment_id", maintain_order=True)
        .agg(pl.col("amount_minor").first(), "item_id", "open_minor")
        .filter(pl.col("item_id").list.len().is_between(2, MOST_ITEMS))
    )
    rows: list[tuple[int, int, int, float]] = []
    for payment_id, amount, ids, opens in open_now.iter_rows():
        found = adding_up(opens, amount)
        rivals = int(found.chance > policy.most_chance)
        rows.extend((payment_id, ids[n], rivals, found.chance) for n in found.positions)
    sums = pl.DataFrame(
        rows, schema={"payment_id": pl.Int64, "item_id": pl.Int64, "rivals": pl.Int64, "chance": pl.Float64}, orient="row"
    ).with_columns(by=pl.lit("sum"))
    return pl.concat([ones, sums], how="diagonal_relaxed")


def _discount() -> pl.Expr:
    """The discount that the payer may still take on the day."""
    return pl.when(pl.col("booked_on") <= pl.col("discount_until")).then(pl.col("discount_minor")).otherwise(0).fill_null(0)


def _decide(
    payments: pl.DataFrame,
    items: pl.DataFrame,
    who: pl.DataFrame,
    chosen: pl.DataFrame,
    policy: Policy,
    weights: dict[str, float] | None,
) -> Proposals:
    rows = chosen.join(payments, on="payment_id").join(
        items.drop("reference", "customer_key").rename({"currency": "item_currency"}), on="item_id"
    )
    rows = rows.with_columns(allowed=_discount()).join(
        who.rename({"by": "payer_by"}), on=["payment_id", "customer_id"], how="left"
    )
    per = rows.group_by("payment_id").agg(
        pl.col("amount_minor", "by", "remittance").first(),
        pl.col("rivals").max(),
        pl.col("chance").max(),
        pl.col("customer_id").first(),
        pl.col("likeness").min(),
        pl.col("payer_by").first(),
        customers=pl.col("customer_id").n_unique(),
        count=pl.len(),
        due=pl.col("open_minor").sum(),
        discount=pl.col("allowed").sum(),
        blocked=pl.col("blocked").any(),
        foreign=(pl.col("currency") != pl.col("item_currency")).any(),
        numbers=pl.col("number").sort().head(NAMED).str.join(", "),
    )
    more = pl.when(pl.col("count") > NAMED).then(pl.format(" and {} more", pl.col("count") - NAMED)).otherwise(pl.lit(""))
    per = per.with_columns(numbers=pl.col("numbers") + more)
    other = who.filter(pl.col("likeness") >= RECOGNISED).group_by("payment_id").agg(recognised=pl.col("customer_id"))
    twice = payments.select(
        "payment_id",
        doubled=pl.struct("payer_key", "amount_minor", "currency", "remittance", "reference", "booked_on").is_duplicated()
        & (pl.col("remittance").fill_null("").str.len_chars() + pl.col("reference").fill_null("").str.len_chars() > 0),
    )
    gap = pl.col("due") - pl.col("amount_minor")
    withheld = pl.any_horizontal((gap * 100 - pl.col("due") * p).abs() <= 100 for p in policy.withheld_percents)
    difference = (
        pl.when(gap == 0).then(pl.lit("none"))
        .when((pl.col("discount") > 0) & ((gap - pl.col("discount")).abs() <= 1)).then(pl.lit("discount"))
        .when(gap < 0).then(pl.lit("over"))
        .when(pl.col("remittance").fill_null("").str.contains(INSTALMENT) & (pl.col("count") == 1)).then(pl.lit("part"))
        .when((gap <= policy.fee_minor) & (gap * 10_000 <= pl.col("due") * policy.fee_bps)
              & ~pl.col("remittance").fill_null("").str.contains(DEDUCTION)).then(pl.lit("fee"))
        .when(withheld).then(pl.lit("withheld"))
        .otherwise(pl.lit("short"))
    )  # fmt: skip
    per = per.join(other, on="payment_id", how="left").join(twice, on="payment_id").with_columns(difference=difference)
    per = per.with_columns(
        contradicted=pl.col("recognised").is_not_null()
        & ~pl.col("recognised").list.contains(pl.col("customer_id")).fill_null(value=False)
    )
    per = _several_payments(per, rows)
    per = per.with_columns(confidence.confidence(per, weights)).with_columns(
        confidence=pl.when(pl.col("by").is_in(list(AGAINST))).then(0.0).otherwise("confidence")
    )
    per = _over_claimed(per, rows)
    per = per.with_columns(against=_against(policy))
    decision = (
        pl.when(pl.col("against").is_null() & (pl.col("confidence") >= policy.threshold))
        .then(pl.lit("apply"))
        .otherwise(pl.lit("review"))
    )
    per = per.with_columns(
        decision=decision,
        rule=pl.col("by") + pl.when(pl.col("difference") == "none").then(pl.lit("")).otherwise("+" + pl.col("difference")),
    )
    per = per.with_columns(
        reason=pl.concat_str(
            [
                _evidence(),
                pl.when(pl.col("decision") == "apply")
                .then(pl.lit(""))
                .otherwise(" " + pl.col("against").fill_null("Not sure enough to post by itself.")),
            ]
        )
    )
    nothing = (
        pl.when(pl.col("remittance").fill_null("").str.contains(RETURNED))
        .then(pl.lit(GOES_BACK))
        .otherwise(pl.lit("No open item is named, and no payer that we know has items which add up to this amount."))
    )
    outcome = payments.select("payment_id", nothing=nothing).join(
        per.select("payment_id", "decision", "rule", "customer_id", "confidence", "reason"),
        on="payment_id",
        how="left",
        maintain_order="left",
    )
    outcome = outcome.with_columns(
        pl.col("decision").fill_null("unknown"), pl.col("rule").fill_null(""), pl.col("confidence").fill_null(0.0),
        reason=pl.coalesce("reason", "nothing"),
    ).drop("nothing")  # fmt: skip
    evidence = per.select("payment_id", "by", "difference", "likeness", "payer_by", "contradicted", "chance", "against")
    return Proposals(outcome, _links(rows, per), evidence)


def _several_payments(per: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Payments that each name one and the same item and together settle it exactly are parts of it."""
    short = per.filter(pl.col("difference").is_in(["short", "withheld", "fee"]) & (pl.col("count") == 1)).select("payment_id")
    together = (
        rows.join(short, on="payment_id")
        .filter((pl.col("amount_minor").sum().over("item_id") == pl.col("open_minor")) & (pl.len().over("item_id") > 1))
        .select("payment_id", together=pl.lit(value=True))
    )
    joined = per.join(together, on="payment_id", how="left")
    return joined.with_columns(difference=pl.when(pl.col("together")).then(pl.lit("part")).otherwise("difference")).drop(
        "together"
    )


def _over_claimed(per: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Marks payments whose items are claimed beyond what is open on them, all payments together."""
    cash = pl.when(pl.col("difference") == "part").then("amount_minor").otherwise("open_minor")
    claims = (
        rows.join(per.select("payment_id", "difference"), on="payment_id")
        .with_columns(cash=cash)
        .join(per.filter(~pl.col("contradicted")), on="payment_id", how="semi")
    )
    over = claims.filter(pl.col("cash").sum().over("item_id") > pl.col("open_minor")).select(
        "payment_id", over_claimed=pl.lit(value=True)
    )
    return per.join(over.unique(), on="payment_id", how="left").with_columns(pl.col("over_claimed").fill_null(value=False))


def _against(policy: Policy) -> pl.Expr:
    """What speaks against posting, first reason first; null when nothing does."""
    text = pl.col("remittance").fill_null("")
    sister: pl.Expr = pl.lit(value=False)
    if " " in policy.own_name:
        after = folded_words(text).str.extract(rf"\b{re.escape(policy.own_name)} ([a-z]+)( |$)")
        sister = after.is_in(AFTER_OUR_NAME).not_().fill_null(value=False)
    is_less = pl.col("difference").is_in(["withheld", "short"])
    reasons = [
        (
            text.str.contains(RETURNED) | (pl.col("amount_minor") <= 0),
            GOES_BACK,
        ),
        (pl.col("foreign"), "The payment is in another currency than the item."),
        (pl.col("blocked"), "The item is disputed or on hold."),
        (sister, "The text names a sister company."),
        (pl.col("doubled"), "The same payment is reported twice."),
        (pl.col("over_claimed"), "Other payments claim the same item, and together they are more than is open."),
        (pl.col("rivals") > 0, "More than one item or set of items fits equally well."),
        (pl.col("customers") > 1, "It names items of several customers."),
        *((pl.col("by") == by, sentence) for by, sentence in AGAINST.items()),
        (pl.col("contradicted"), "The payer is another customer of ours and is not known to pay for this one."),
        (pl.col("difference") == "over", "It is more than the items that it names."),
        (is_less & text.str.contains(EARLY), "It takes a discount that the terms do not give on that day."),
        (is_less & text.str.contains(DEDUCTION), "It is less than what is due: the text speaks of a deduction or a claim."),
        (pl.col("difference") == "withheld", "The difference looks like tax kept back: a certificate is needed."),
        (pl.col("difference") == "short", "It is less than what is due, for no reason that we know."),
    ]
    found: pl.Expr = pl.lit(None, dtype=pl.String)
    for condition, sentence in reversed(reasons):
        found = pl.when(condition).then(pl.lit(sentence)).otherwise(found)
    return found


def _evidence() -> pl.Expr:
    words = {
        "structured": "The creditor reference is that of {}", "number": "The text names {}", "digits": "The text has the digits of {}",
        "order": "The text names the order of {}", "amount": "The amount fits {} of this payer", "sum": "Only {} of this payer add up to the amount",
        "mention": "A customer is named, and the amount is that of {}", "oldest": "An instalment, perhaps of {}",
        "only": "Of all that is open only {} has this amount",
    }  # fmt: skip
    gaps = {
        "none": ".", "discount": ", less the discount for paying early.", "fee": ", less what looks like a bank's fee.", "part": ", as a part.",
        "over": ", and more.", "withheld": ", less a round percentage.", "short": ", short of the amount due.",
    }  # fmt: skip
    start: pl.Expr = pl.lit("")
    for by, sentence in words.items():
        start = pl.when(pl.col("by") == by).then(pl.format(sentence, "numbers")).otherwise(start)
    return start + pl.col("difference").replace_strict(gaps)


def _links(rows: pl.DataFrame, per: pl.DataFrame) -> pl.DataFrame:
    """Cash and settled amounts per item: the gap is carried by the oldest items' discounts first, then by the largest item."""
    joined = rows.join(per.select("payment_id", "difference", "due"), on="payment_id").filter(
        pl.col("currency") == pl.col("item_currency")
    )
    closes = pl.col("difference").is_in(["none", "discount", "fee"])
    ordered = joined.sort("payment_id", "due_on", "item_id")
    before = pl.col("open_minor").cum_sum().over("payment_id") - pl.col("open_minor")
    in_turn = pl.min_horizontal("open_minor", (pl.col("amount_minor") - before).clip(0))
    gap = pl.col("due") - pl.col("amount_minor")
    exact = pl.when(pl.col("difference") == "discount").then(pl.col("allowed")).otherwise(0)
    left = gap - exact.sum().over("payment_id")
    largest = pl.col("open_minor").rank("ordinal", descending=True).over("payment_id") == 1
    cash = pl.when(closes).then(pl.col("open_minor") - exact - pl.when(largest).then(left).otherwise(0)).otherwise(in_turn)
    return (
        ordered.with_columns(cash=cash)
        .filter(pl.col("cash") > 0)
        .select(
            "payment_id",
            "item_id",
            amount_minor="cash",
            settled_minor=pl.when(closes).then("open_minor").otherwise("cash"),
            difference="difference",
        )
    )
