"""Oracle file F (discounts, late interest, day counts, plans, yearly rates) and dunning of file D, through the public functions.

Every case can be expressed; disputed ones are left out: the source's figure does not follow from its own inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
import yaml
from tests.conftest import SHARED

from topline.engine import collections, instalments, interest
from topline.engine.collections import Step
from topline.kernel.errors import Invalid

D, F = Decimal, Fraction


def cents(text: str) -> int:
    return int(D(text) * 100)


def euros(minor: int) -> Fraction:
    return F(minor, 100)


def day(text: str) -> date:
    return date.fromisoformat(text)


def discount(i: dict[str, Any]) -> dict[str, Any]:
    cost = interest.discount_cost(
        discount_percent=D(i["discount_percent"]), discount_days=int(i["discount_days"]), net_days=int(i["net_days"]),
        paid_on_day=int(i["paid_on_day"]) if i.get("paid_on_day") else None, year_days=int(i.get("year_basis", 365)),
    )  # fmt: skip
    return {
        "simple_annual_percent": cost.simple_annual_percent, "compound_annual_percent": cost.compound_annual_percent,
        "cost_per_period_percent": cost.period_percent,
    }  # fmt: skip


def discount_refused(i: dict[str, Any]) -> dict[str, Any]:
    try:
        discount(i)
    except Invalid:
        return {"accepted": False}
    return {"accepted": True}


def late_rate(i: dict[str, Any]) -> dict[str, Any]:
    fixed = day(i["reference_date"])
    first = fixed + timedelta(days=1) if i["jurisdiction"] == "UK" else fixed
    found = interest.statutory_rate(i["jurisdiction"], day=first, published={first: D(i["reference_rate"])})
    assert interest.REGIMES[i["jurisdiction"]].margin_points == D(i["margin_points"])
    return {"statutory_rate": found.percent, "applies_from": str(found.applies_from), "applies_to": str(found.applies_to)}


def late_interest(i: dict[str, Any]) -> dict[str, Any]:
    rate = D(i["rate"]) if "rate" in i else D(i["base_rate"]) + D(i["margin_points"])
    debt = cents(i.get("principal") or i["debt"])
    rule = {"principal_minor": debt, "annual_percent": rate, "year_days": int(i["year_basis"])}
    rounded = bool(i.get("daily_interest_rounded_first"))
    amount = interest.simple_interest_minor(**rule, days=int(i["days_late"]), daily_rounded=rounded)
    law = "EU" if "fixed_compensation" in i else "UK"
    fixed = interest.compensation_minor(law, debt_minor=debt)
    return {
        "interest": euros(amount), "daily_interest": euros(interest.simple_interest_minor(**rule, days=1)), "statutory_rate": rate,
        "compensation": euros(fixed), "total": euros(amount + fixed), "total_claim": euros(amount + fixed),
    }  # fmt: skip


def compensation(i: dict[str, Any]) -> dict[str, Any]:
    return {"fixed_compensation": euros(interest.compensation_minor(i["jurisdiction"], debt_minor=cents(i["debt"])))}


def late_start(i: dict[str, Any]) -> dict[str, Any]:
    agreed = day(i["agreed_due_date"]) if i["agreed_due_date"] else None
    found = interest.interest_from(
        agreed_due_on=agreed, invoice_received_on=day(i["invoice_received"]), goods_received_on=day(i["goods_received"])
    )
    return {"interest_from": str(found)}


def late_days(i: dict[str, Any]) -> dict[str, Any]:
    due, paid = day(i["due_date"]), day(i["paid_date"])
    count = interest.days_late(due_on=due, paid_on=paid)
    first = interest.interest_from(agreed_due_on=due, invoice_received_on=due)
    return {"first_interest_day": str(first), "last_interest_day": str(first + timedelta(days=count - 1)), "days_late": count}


def fraction_of_year(basis: interest.DayCount) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda i: {"year_fraction": interest.year_fraction(day(i["start"]), day(i["end"]), basis=basis)}


def monthly(i: dict[str, Any]) -> F:
    return F(i["annual_rate"]) / 12


def annuity(i: dict[str, Any]) -> dict[str, Any]:
    found = instalments.annuity_payment(principal=F(i["principal"]), periodic_percent=monthly(i), periods=int(i["months"]))
    return {"payment": found}


def present_value(i: dict[str, Any]) -> dict[str, Any]:
    exact = instalments.annuity_payment(principal=F(1_000_000), periodic_percent=F(5, 12), periods=int(i["months"]))
    assert round(exact) == int(i["payment"])
    return {"present_value": instalments.present_value(payment=exact, periodic_percent=monthly(i), periods=int(i["months"]))}


def plan_figures(plan: instalments.Plan) -> dict[str, Any]:
    return {
        "level_payment": euros(plan.level_minor), "final_payment": euros(plan.final_minor), "total_paid": euros(plan.total_minor),
        "interest": euros(plan.interest_minor),
    }  # fmt: skip


def level_monthly(i: dict[str, Any]) -> dict[str, Any]:
    start, days = day(i["start"]), [day(d) for d in i["payment_dates"]]
    rounding = (
        "down" if i["interest_rounding"].startswith("down") else "half even" if "even" in i["interest_rounding"] else "half up"
    )
    final = next(f for f in ("not above level", "not below level", "close") if f in i["final_payment_rule"])
    plan = instalments.level_plan(
        principal_minor=cents(i["principal"]), start=start, due_on=days, daily_percent=F(i["interest"].split(", ")[1].split()[0]),
        interest_cap_minor=cents(i["interest_cap_total"]) if "interest_cap_total" in i else None, rounding=rounding, final="closest to level" if final == "close" else final,
    )  # fmt: skip
    apr = instalments.effective_apr(
        advance_minor=cents(i["principal"]), payments=[((r.due_on - start).days, r.payment_minor) for r in plan.rows]
    )
    return {**plan_figures(plan), "apr_percent": F(apr)}


def level_biweekly(i: dict[str, Any]) -> dict[str, Any]:
    principal = cents(i["principal"])
    financed = principal + int(D(principal) * D(i["financed_fee_percent"]) / 100)
    start = day(i["start"])
    days = instalments.every(
        start + timedelta(days=int(i["first_payment_after_days"])), days=int(i["every_days"]), count=int(i["payments"])
    )
    daily = F(i["annual_rate"]) / int(i["day_basis"])
    plan = instalments.level_plan(principal_minor=financed, start=start, due_on=days, daily_percent=daily, rounding="down")
    return {**plan_figures(plan), "financed_total": euros(financed), "last_day": (days[-1] - start).days}


def apr_effective(i: dict[str, Any]) -> dict[str, Any]:
    payments = [(int(p["day"]), cents(p["amount"])) for p in i["payments"]]
    return {"apr_percent": F(instalments.effective_apr(advance_minor=cents(i["advance"]), payments=payments))}


def apr_actuarial(i: dict[str, Any]) -> dict[str, Any]:
    payments: list[int] = []
    pieces = i["payments"].split(" then ")
    for piece in pieces:
        count, amount = piece.split(" x ") if " x " in piece else ("1", piece)
        payments += [cents(amount)] * int(count)
    advanced, first = day(i["advance_date"]), day(i["first_payment"])
    if "term" in i["unit"]:
        (payment,) = payments
        days = (first - advanced).days
        return {
            "apr_percent": instalments.single_payment_apr(advance_minor=cents(i["advance"]), payment_minor=payment, days=days)
        }
    found = instalments.actuarial_apr(
        advance_minor=cents(i["advance"]), advance_on=advanced, first_on=first, unit=i["unit"], payments_minor=payments
    )
    return {"apr_percent": F(found)}


def daily_rate(i: dict[str, Any]) -> dict[str, Any]:
    return {"daily_rate": interest.year_fraction(date(2024, 1, 1), date(2024, 1, 2), basis="act/365") * F(i["annual_rate"])}


def grace(i: dict[str, Any]) -> dict[str, Any]:
    due = date(2026, 3, 1)
    late = interest.days_late(due_on=due, paid_on=due + timedelta(days=int(i["days"])), grace_days=int(i["days"]))
    assert i["settled_inside_grace"]
    found = interest.simple_interest_minor(principal_minor=100_00, annual_percent=D(i["standard_rate"]), days=late)
    return {"interest": euros(found)}


def dunning_fee(i: dict[str, Any]) -> dict[str, Any]:
    overdue, owed, found = cents(i["overdue"]), cents(i["overdue"]), {}
    for number, rung in enumerate(i["levels"], 1):
        value = rung["fee"].split()[0]
        rule = {"fee_percent": D(value.rstrip("%"))} if "%" in value else {"fee_minor": cents(value)}
        owed += collections.fee_minor(Step(int(rung["after_days"]), "level", "email", **rule), overdue_minor=overdue)
        found[f"receivable_after_level_{number}"] = euros(owed)
    return found


def dunning_level(i: dict[str, Any]) -> dict[str, Any]:
    levels = [int(d) for d in i["level_days"]]
    if "history" in i:
        ladder = [Step(d, f"level {d}", "email") for d in levels]
        item = {"item_id": 1, "age_days": 50, "open_minor": 0, "last_step": None, **dict.fromkeys(collections.STOPS, False)}
        due = collections.steps_due(pl.DataFrame([item], schema_overrides={"last_step": pl.Int64}), ladder)
        return {"open_dunnings": due["step"].count()}
    return {"level": collections.level(int(i["days_overdue"]), levels) or "none"}


AREAS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "discount.implied-rate": discount, "discount.validation": discount_refused, "late.rate": late_rate, "late.interest": late_interest,
    "late.compensation": compensation, "late.start": late_start, "late.days": late_days, "daycount.act-act-isda": fraction_of_year("act/act isda"),
    "daycount.act-act-afb": fraction_of_year("act/act afb"), "daycount.30-360-bond": fraction_of_year("30/360 bond"),
    "daycount.act-360": fraction_of_year("act/360"), "plan.annuity": annuity, "plan.present-value": present_value,
    "plan.level-monthly": level_monthly, "plan.level-biweekly": level_biweekly, "apr.eu-uk": apr_effective, "apr.us-actuarial": apr_actuarial,
    "rate.convert": daily_rate, "rate.grace": grace, "dunning.fee": dunning_fee, "dunning.level": dunning_level,
}  # fmt: skip


def cases() -> list[dict[str, Any]]:
    if not SHARED.is_dir():
        return []
    found = yaml.safe_load((SHARED / "oracles" / "F.yaml").read_text())["cases"]
    dunning = yaml.safe_load((SHARED / "oracles" / "D.yaml").read_text())["cases"]
    return found + [c for c in dunning if c["area"].startswith("dunning.")]


CASES = [c for c in cases() if c["check"] != "disputed"]


@pytest.mark.parametrize("case", CASES, ids=[c["id"] for c in CASES])
def test_a_published_case_comes_out_as_published(shared, case):
    found = AREAS[case["area"]](case["inputs"])
    for name, expected in case["expected"].items():
        try:
            wanted = F(str(expected))
        except ValueError:
            assert found[name] == expected, (name, case["note"])
            continue
        if isinstance(expected, bool):
            assert found[name] is expected, (name, case["note"])
            continue
        # a source that prints two decimals cannot be compared more finely than half of the last one
        finest = F(1, 2 * 10 ** len(str(expected).partition(".")[2]))
        assert abs(F(found[name]) - wanted) <= max(F(str(case.get("tolerance", 0))), finest), (
            name,
            float(found[name]),
            case["note"],
        )


def test_every_case_of_these_files_runs_or_is_disputed(shared):
    every = cases()
    disputed = sum(c["check"] == "disputed" for c in every)
    assert (len(every), disputed, len(CASES)) == (96, 2, 94)
