"""Cases with answers that others published, through Topline's public functions.

Each area of each file is either mapped to a function below or listed as waiting for the room that will answer it. Cases
marked disputed are left out: the source's figure does not follow from its own inputs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
import yaml

from tests.conftest import SHARED
from tests.oracles.published import agree
from topline.engine import aging, currency, documents, receivables, reconcile, terms
from topline.engine.documents import Tax
from topline.engine.terms import Part
from topline.kernel import money
from topline.kernel.errors import DomainError

# Files with a module of their own beside this one.
OWN_MODULE = {"A", "B", "C", "H"}

# Areas whose room is not built yet, by file.
WAITING = {
    "G": r"pareto-nbd\..*|bg-bb\..*|mbg-nbd\..*|m4\..*|payment-date\..*",
    "I": r"commission\..*|clawback",
    "D": r"lots\..*|return\..*",
    "E": r"churn\.annualise|cac|ltv|sales-velocity",
}  # fmt: skip

# Areas that a module of their own answers: test_payment_cost, test_schedules, test_quotas, test_customer_value and test_recurring_revenue.
ELSEWHERE = {
    "F": r".*",
    "G": r"bg-nbd\..*|cdnow\..*|gamma-gamma\..*",
    "D": r"dunning\..*|schedule\..*",
    "E": r"mrr\..*|churn\.rate|retention.*|arr",
    "I": r"quota\..*|forecast\..*|split",
}

D = Decimal


def cents(text: str) -> int:
    return money.to_minor(D(text), "EUR")


def euros(minor: int) -> Decimal:
    return money.to_major(minor, "EUR")


def payment_terms(i: dict[str, Any]) -> dict[str, Any]:
    plan = []
    for line in i["plan"]:
        match line.split(" after "):
            case ["25%", "30 days"]:
                plan.append(Part(percent=D(25), days=30, percent_of="total"))
            case ["25% of total", "1 month"]:
                plan.append(Part(percent=D(25), percent_of="total", months=1))
            case [fixed, "1 month 30 days"]:
                plan.append(Part(fixed_minor=cents(fixed.removeprefix("fixed ")), months=1, days=30))
            case ["remainder", "2 months, day set to 15, plus 30 days"]:
                plan.append(Part(months=2, day=15, days=30))
            case other:
                raise AssertionError(other)
    found = terms.instalments(total_minor=cents(i["total"]), issued_on=date.fromisoformat(i["invoice_date"]), parts=plan)
    return {"dates": [str(d) for d, _ in found], "amounts": [euros(a) for _, a in found]}


def reschedule(i: dict[str, Any]) -> dict[str, Any]:
    first = date(2026, 1, 31)
    if match := re.fullmatch(r"amount (\S+) every (\d+) months", i["by"]):
        found = terms.reschedule_by_amount(
            total_minor=cents(i["total"]), each_minor=cents(match[1]), every_months=int(match[2]), first_on=first
        )
    else:
        count = int(i["by"].split()[0])
        found = terms.reschedule_by_count(total_minor=cents(i["total"]), count=count, every_months=1, first_on=first)
    return {"amounts": [euros(a) for _, a in found], "month_offsets": [(d.year - 2026) * 12 + d.month - 1 for d, _ in found]}


def realised(i: dict[str, Any]) -> dict[str, Any]:
    def home(rate: str) -> int:
        return currency.convert_minor(
            cents(i["invoice_foreign"]),
            from_currency="USD",
            to_currency="EUR",
            from_rate=D(rate.split(maxsplit=1)[0]),
            to_rate=D(1),
        )

    booked, received = home(i["rate_at_invoice"]), home(i["rate_at_payment"])
    return {
        "booked": euros(booked),
        "received": euros(received),
        "realised_gain": euros(received - booked),
        "receivable_after": euros(booked - booked),
    }


def fx_reconcile(i: dict[str, Any]) -> dict[str, Any]:
    found = currency.settle_payable(
        booked_home_minor=cents(i["payable_local"]), booked_foreign_minor=cents(i["payable_foreign"]), paid_home_minor=cents(i["paid_local"]),
        paid_foreign_minor=cents(i["paid_foreign"]), rate=D(i["rate_today"].split()[0]),
    )  # fmt: skip
    return {"write_off": euros(found.write_off_minor), "exchange_gain": euros(found.exchange_gain_minor)}


def convert(i: dict[str, Any]) -> dict[str, Any]:
    rates = {k: None if i[k] == "missing" else D(i[k]) for k in ("from_rate", "to_rate")}
    return {"result": euros(currency.convert_minor(cents(i["amount"]), from_currency="EUR", to_currency="USD", **rates))}


def rounding(i: dict[str, Any]) -> dict[str, Any]:
    return {"result": money.round_to_step(D(i["value"]), D(i["step"]), i["mode"])}


def priced(rows: list[tuple[Decimal, Decimal]], rate: str, mode: str) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "ref": ["a"] * len(rows), "quantity_micro": [int(q * 10**6) for q, _ in rows], "unit_price_nano": [int(p * 100 * 10**9) for _, p in rows],
            "discount_ppm": 0, "tax_category": "S", "tax_rate_ppm": int(D(rate) * 10_000),
        }
    )  # fmt: skip
    return documents.price_lines(frame, tax_rounding=mode)


def tax_rounding(i: dict[str, Any]) -> dict[str, Any]:
    if i["mode"] == "per line":
        count, price = i["lines"].split(" x ")
        rows = priced([(D(1), D(price))] * int(count), i["rate_percent"], "line")
        return {"base": euros(rows["net_minor"].sum()), "tax": euros(rows["tax_minor"].sum())}
    rows = priced([(D(x["quantity"]), D(x["price"])) for x in i["lines"]], i["rate_percent"], "document")
    return {"bases": [euros(v) for v in rows["net_minor"]], "taxes": [euros(v) for v in rows["tax_minor"]]}


def residual(i: dict[str, Any]) -> dict[str, Any]:
    return {"taxes": documents.share_residual(amount=D(i["amount"]), rates_percent=[D(r) for r in i["rates_percent"]])}


def compound(i: dict[str, Any]) -> dict[str, Any]:
    taxes = [
        Tax(
            **{"percent" if t["kind"] == "percent" else "fixed": D(t["value"])},
            sequence=int(t["sequence"]),
            raises_base=t["raises_base_of_later"],
        )
        for t in i["taxes"]
    ]
    found = documents.stacked_taxes(unit_price=D(i["unit_price"]), quantity=D(i["quantity"]), taxes=taxes)
    return {"base_and_tax": [[t.base, t.tax] for t in found]}


def reverse(i: dict[str, Any]) -> dict[str, Any]:
    taxes = [
        Tax(percent=D(10), sequence=5), Tax(fixed=D(5), sequence=10, raises_base=True), Tax(percent=D(20), sequence=20),
        Tax(percent=D(40), sequence=25, raises_base=True), Tax(percent=D(30), sequence=30),
    ]  # fmt: skip
    assert len(taxes) == len(i["taxes"])
    return {"net_unit": documents.net_from_gross(gross_unit=D(i["gross_unit"]), taxes=taxes)}


def cash_basis(i: dict[str, Any]) -> dict[str, Any]:
    net = cents(i["net"])
    cash, accrual = (money.round_minor(D(net) * D(i[k]) / 100) for k in ("cash_basis_rate", "accrual_rate"))
    total = net + cash + accrual
    base, tax = documents.cash_basis(base_minor=net, tax_minor=cash, gross_minor=total, paid_minor=cents(i["paid"]))
    figures = {
        "total": total,
        "cash_base_reported": base,
        "cash_tax_reported": tax,
        "accrual_base_reported": net,
        "accrual_tax_reported": accrual,
    }
    return {k: euros(v) for k, v in figures.items()}


def write_off(i: dict[str, Any]) -> dict[str, Any]:
    amount = reconcile.write_off_needed([cents(i["open_debit"])], [cents(i["open_credit"])])
    return {"write_off": euros(amount), "lines_after": 2 + (amount != 0)}


def best_subset(i: dict[str, Any]) -> dict[str, Any]:
    chosen, remaining = reconcile.best_subset([int(v) for v in i["open_items"]], int(i["target"]))
    return {"chosen_items": chosen, "remaining": remaining}


def advance(i: dict[str, Any]) -> dict[str, Any]:
    order = cents(i["order_total"])
    invoiced = money.round_minor(D(order) * D(i["advance"].split("%")[0]) / 100)
    stands = "cancelled" not in i.get("advance_invoice_state", "")
    lines = documents.final_lines(order_minor=order, advances_minor=[invoiced] if stands else [])
    return {"advance_invoice": euros(invoiced), "final_invoice": euros(sum(lines)), "final_lines": [euros(v) for v in lines]}


def balance(i: dict[str, Any]) -> dict[str, Any]:
    rate = currency.inferred_rate([(p["currency"], D(p["amount"])) for p in i["postings"]])
    return {"inferred_rate": rate, "balanced": True}


def revaluation(i: dict[str, Any]) -> dict[str, Any]:
    values, changes = currency.value_changes([D(v) for v in i["quantity_at_month_end"]], [D(v) for v in i["price_at_month_end"]])
    return {"values": values, "changes": changes}


def dso_simple(i: dict[str, Any]) -> dict[str, Any]:
    return {
        "dso": receivables.dso_simple(
            receivables_minor=cents(i["receivables"]), sales_minor=cents(i["credit_sales"]), days=int(i["days"])
        )
    }


def countback(i: dict[str, Any]) -> dict[str, Any]:
    sales = [(int(i["days_per_month"]), cents(s)) for s in reversed(i["monthly_sales_oldest_first"])]
    return {"dso": receivables.dso_countback(receivables_minor=cents(i["receivables"]), sales=sales)}


def cei(i: dict[str, Any]) -> dict[str, Any]:
    figure = receivables.cei(
        opening_minor=cents(i["opening_receivables"]), sales_minor=cents(i["credit_sales"]), closing_minor=cents(i["closing_receivables"]),
        closing_current_minor=cents(i["closing_current"]),
    )  # fmt: skip
    return {"cei_percent": figure}


def allowance(i: dict[str, Any]) -> dict[str, Any]:
    frame = pl.DataFrame(
        {"open_minor": [cents(b) for b in i["balances"]], "loss_rate_ppm": [int(D(r) * 10_000) for r in i["loss_rates_percent"]]}
    )
    found = aging.expected_loss(frame, opening_minor=cents(i["opening_allowance"]), write_offs_minor=cents(i["write_offs"]))
    return {"allowance": euros(found.allowance_minor), "expense": euros(found.expense_minor)}


def percent_of_sales(i: dict[str, Any]) -> dict[str, Any]:
    found = aging.loss_by_sales(
        sales_minor=cents(i["credit_sales"]), rate_ppm=int(D(i["rate_percent"]) * 10_000), opening_minor=cents(i["opening_allowance"]),
        write_offs_minor=cents(i["write_offs"]),
    )  # fmt: skip
    return {"expense": euros(found.expense_minor), "closing_allowance": euros(found.allowance_minor)}


def bucket(i: dict[str, Any]) -> dict[str, Any]:
    issued = date(2026, 1, 1).toordinal()
    item = pl.DataFrame(
        {"issued_on": [date.fromordinal(issued)], "due_on": [date.fromordinal(issued + int(i["terms_days"]))], "open_minor": [1]}
    )
    return {"bucket": str(aging.age(item, as_of=date.fromordinal(issued + int(i["days_since_invoice"])))["bucket"][0])}


AREAS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "payment_terms": payment_terms, "reschedule": reschedule, "currency.realised": realised, "currency.reconcile": fx_reconcile, "currency.convert": convert,
    "currency.rounding": rounding, "tax.rounding": tax_rounding, "tax.residual": residual, "tax.compound": compound, "tax.reverse": reverse,
    "tax.cash_basis": cash_basis, "reconcile.write_off": write_off, "reconcile.best_subset": best_subset, "advance_payment": advance,
    "balance.conversion": balance, "balance.revaluation": revaluation, "dso.simple": dso_simple, "dso.countback": countback, "cei": cei,
    "aging.allowance": allowance, "aging.percent-of-sales": percent_of_sales, "aging.bucket": bucket,
}  # fmt: skip


def cases() -> list[tuple[str, dict[str, Any]]]:
    files = sorted((SHARED / "oracles").glob("*.yaml")) if SHARED.is_dir() else []
    files = [path for path in files if path.stem not in OWN_MODULE]
    return [(path.stem, case) for path in files for case in yaml.safe_load(path.read_text())["cases"]]


CASES = cases()


def waits(file: str, case: dict[str, Any]) -> bool:
    return re.fullmatch(WAITING.get(file, ""), case["area"]) is not None


def is_elsewhere(file: str, case: dict[str, Any]) -> bool:
    return re.fullmatch(ELSEWHERE.get(file, ""), case["area"]) is not None


HERE = [(f, c) for f, c in CASES if not is_elsewhere(f, c)]
READY = [(f, c) for f, c in HERE if not waits(f, c) and c["check"] != "disputed"]


@pytest.mark.parametrize(("file", "case"), READY, ids=[c["id"] for _, c in READY])
def test_a_published_case_comes_out_as_published(shared, file, case):
    expected = case["expected"]
    if expected.get("result") == "error":
        with pytest.raises(DomainError):
            AREAS[case["area"]](case["inputs"])
        return
    found = AREAS[case["area"]](case["inputs"])
    for name, value in expected.items():
        assert agree(found[name], value, Fraction(case.get("tolerance", 0))), (name, found[name], value, case["note"])


def test_every_area_is_mapped_or_listed_as_waiting_and_the_count_is_told(shared, capsys):
    unknown = {(f, c["area"]) for f, c in HERE if not waits(f, c) and c["area"] not in AREAS}
    assert not unknown
    ran, waiting, disputed = Counter(), Counter(), Counter()
    for file, case in HERE:
        (disputed if case["check"] == "disputed" else waiting if waits(file, case) else ran)[file] += 1
    with capsys.disabled():
        for file in sorted({f for f, _ in HERE}):
            print(f"\noracles {file}: {ran[file]} ran, {waiting[file]} wait for their room, {disputed[file]} disputed", end="")
    assert (ran["D"], ran["E"]) == (30, 6)
