"""File H through the arithmetic of electronic documents: rules of EN 16931 and totals of ISO 20022."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl

from tests.oracles.published import publish
from topline.engine import einvoice

D = Decimal
EXACT = pl.Decimal(38, 15)
Inputs = dict[str, Any]


def decimal(value: str | None) -> Decimal | None:
    return None if value is None else D(value)


def verdict(broken: pl.DataFrame, rule: str) -> Inputs:
    return {"verdict": "fail" if rule in broken["rule"].to_list() else "pass"}


def document(**figures: Decimal | None) -> pl.DataFrame:
    return pl.DataFrame([{"document_id": 1, **figures}], schema={"document_id": pl.Int64, **dict.fromkeys(figures, EXACT)})


def parts(rows: list[Inputs], amount: str) -> pl.DataFrame:
    schema = {"document_id": pl.Int64, "kind": pl.String, "category": pl.String, "rate": EXACT, amount: EXACT}
    return pl.DataFrame(
        [
            {"document_id": 1, "kind": r.get("kind"), "category": r.get("category"), "rate": decimal(r.get("rate")), amount: D(r[amount])}
            for r in rows
        ],
        schema=schema,
    )  # fmt: skip


def total(i: Inputs) -> Inputs:
    """One stated total against what its parts come to."""
    rule = i["rule"]
    if rule == "BR-CO-10":
        facts = {"lines_sum": sum(D(v) for v in i["line_net"]), "line_total": D(i["stated_line_total"])}
    elif rule in {"BR-CO-11", "BR-CO-12"}:
        kind = {"BR-CO-11": "allowance", "BR-CO-12": "charge"}[rule]
        found = sum((D(x["amount"]) for x in i["document_items"] if x["kind"] == kind), D(0))
        facts = {f"{kind}s_sum": found, f"{kind}_total": D(i["stated_total"])}
    elif rule == "BR-CO-13":
        stated = {
            "line_total": i["lines"],
            "allowance_total": i["allowances"],
            "charge_total": i["charges"],
            "net_total": i["stated_net_total"],
        }
        facts = {k: decimal(v) for k, v in stated.items()}
    elif rule == "BR-CO-14":
        facts = {"vat_sum": sum(D(v) for v in i["category_vat"]), "vat_total": D(i["stated_vat_total"])}
    elif rule == "BR-CO-15":
        own = [D(v["amount"]) for v in i["vat_totals"] if v["currency"] == i["document_currency"]]
        facts = {"net_total": D(i["net"]), "gross": D(i["stated_gross"]), "vat_total": own[0], "vat_totals": D(len(own))}
    else:
        stated = {"gross": i["gross"], "prepaid": i["prepaid"], "rounding": i["rounding"], "due": i["stated_due"]}
        facts = {k: decimal(v) for k, v in stated.items()}
    return verdict(einvoice.broken_totals(document(**facts)), rule)


def category_vat(i: Inputs) -> Inputs:
    category = pl.DataFrame(
        [{"document_id": 1, "category": "S", "rate": decimal(i["rate_percent"]), "base": D(i["base"]), "vat": D(i["stated_vat"])}]
    )
    lines = parts([{"category": "S", "rate": i["rate_percent"], "net": i["base"]}], "net")
    broken = einvoice.broken_categories(category, lines=lines, items=parts([], "amount"))
    exact = category.select(einvoice.vat_of(pl.col("base"), pl.col("rate"))).item()
    return {**verdict(broken, "BR-CO-17"), "exact_vat": exact}


def category_base(i: Inputs) -> Inputs:
    stated = parts(i["subtotals"], "base").drop("kind")
    broken = einvoice.broken_categories(stated, lines=parts(i["lines"], "net"), items=parts(i["document_items"], "amount"))
    return verdict(broken, "BR-S-08")


def decimals(i: Inputs) -> Inputs:
    fine = pl.select(einvoice.has_two_decimals(pl.lit(D(i["amount"])))).item()
    return {"verdict": "pass" if fine else "fail"}


def whole_document(i: Inputs) -> Inputs:
    found = einvoice.document_totals(
        document(prepaid=D(i["prepaid"]), rounding=D(i["rounding"])),
        lines=parts(i["lines"], "net"),
        items=parts(i["document_items"], "amount"),
    )
    breakdown = sorted(found.categories.to_dicts(), key=lambda c: f"{c['rate'].normalize():f}")  # the file sorts rates as text
    return {**found.documents.row(0, named=True), "categories": breakdown}


def payment_file(i: Inputs) -> Inputs:
    found = einvoice.control_sum(pl.DataFrame({"message_id": 1, "amount": [D(x["amount"]) for x in i["instructed"]]})).row(
        0, named=True
    )
    return {"number_of_transactions": found["transactions"], "control_sum": found["control_sum"]}


def statement(i: Inputs) -> Inputs:
    if "entries" in i:
        rows = [(D(e["amount"]), e["sign"] == "credit", 1, len(e.get("batch_of", [1]))) for e in i["entries"]]
    else:
        rows = [(D(i[f"{k}_sum"]), k == "credit", int(i[f"{k}_count"]), int(i[f"{k}_count"])) for k in ("credit", "debit")]
    frame = pl.DataFrame(
        {
            "statement_id": 1, "amount": [r[0] for r in rows], "is_credit": [r[1] for r in rows], "entries": [r[2] for r in rows],
            "transactions": [r[3] for r in rows],
        }
    )  # fmt: skip
    found = einvoice.statement_totals(frame).row(0, named=True)
    opening = D(i["opening"]) * (-1 if i.get("opening_sign") == "debit" else 1)
    closing = opening + found["net"] * (1 if found["net_is_credit"] else -1)
    return {
        **found, "entry_count": found["entries"], "transaction_count": found["transactions"], "closing": closing,
        "net_sign": "credit" if found["net_is_credit"] else "debit",
    }  # fmt: skip


AREAS = {
    **{f"en16931.BR-CO-{n}": total for n in range(10, 17)}, "en16931.BR-CO-17": category_vat, "en16931.BR-S-08": category_base,
    "en16931.BR-DEC": decimals, "en16931.document": whole_document, "iso20022.pain001": payment_file, "iso20022.camt053": statement,
}  # fmt: skip

test_a_published_case_comes_out_as_published, test_the_count_is_told = publish("H", AREAS)
