"""Pictures of the cash forecast, the same on every page."""

from __future__ import annotations

from datetime import timedelta

from topline.kernel.money import format_amount, to_major
from topline.treasury.outlook import Outlook
from topline.treasury.queries import Forecast
from topline.ui.charts import Chart, balance_chart, range_chart


def cash_chart(found: Forecast, told: Outlook | None) -> Chart | None:
    """The balance by day as the range it may lie in, or as one path where no outlook is at hand; payroll debits and what is to be kept are marked."""
    home = found.currency
    marks, floor = [{"day": c.debit_on} for c in found.payrolls], float(to_major(found.minimum_minor, home))
    if told is None:
        daily = [
            {
                "day": r["day"],
                "major": float(to_major(r["closing_minor"], home)),
                "shown": format_amount(r["closing_minor"], home),
            }
            for r in found.daily.to_dicts()
        ]
        return balance_chart(
            daily, x="day", y="major", title="Balance by day", y_title=home, marks=marks, shown="shown", floor=floor
        )
    rows = [
        {
            "day": found.as_of + timedelta(days=r.day),
            **{name: float(to_major(getattr(r, name), home)) for name in ("p10", "p50", "p90")},
            **{f"{name}_shown": format_amount(getattr(r, name), home) for name in ("p10", "p50", "p90")},
        }
        for r in told.ranges
    ]
    shown = ("p10_shown", "p50_shown", "p90_shown")
    return range_chart(rows, x="day", low="p10", middle="p50", high="p90", title="Balance by day, as a range", y_title=home, marks=marks, shown=shown, floor=floor)  # fmt: skip
