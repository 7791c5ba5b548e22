"""What the terminal tells of a payroll that is not safe: its best levers with what they gain, cost and take."""

from __future__ import annotations

from datetime import date
from io import StringIO

import polars as pl
from rich.console import Console

from topline.bank import actions as bank
from topline.cli import render
from topline.treasury import actions as treasury
from topline.web.today import today

TODAY, PAYDAY = date(2026, 4, 1), date(2026, 4, 17)


def test_the_terminal_names_three_levers_a_payroll_and_programs_get_all(owner, entity):
    bank.add_account(
        actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", pays_payroll=True, credit_line_minor=500_000, credit_line_bps=1_200
    )  # fmt: skip
    lines = pl.DataFrame({"person": ["Ada"], "group": [""], "amount_minor": [300_000]})
    treasury.set_pay_plan(
        actor=owner, entity_id=entity.pk, name="Salaries", currency="EUR", frequency="monthly", first_payday=PAYDAY, lines=lines, until=PAYDAY
    )  # fmt: skip
    for name in ("Paper", "Ink", "Tape"):
        treasury.plan_outflow(
            actor=owner, entity_id=entity.pk, name=name, currency="EUR", amount_minor=10_000, first_on=date(2026, 4, 10), frequency="once", kind="vendor"
        )  # fmt: skip
    found = today(entity=entity, as_of=TODAY)
    page = StringIO()
    render.today(Console(file=page, width=200), found)
    told = [line.strip() for line in page.getvalue().splitlines() if " in 100" in line and ", costs " in line]
    assert len(told) == 3
    assert told[0] == "Put Paper of 10 Apr off to 16 Apr: less than 0.1 in 100, costs 0.16 EUR, in 9 days"
    (payroll,) = render.today_as_data(found)["payrolls"]
    assert [lever["kind"] for lever in payroll["levers"]] == ["defer", "defer", "defer", "draw"]  # a day of the line costs more
    draw = payroll["levers"][-1]
    assert (draw["points"], draw["percent_after"], draw["cash_minor"]) == (98.0, 99, 330_000)
