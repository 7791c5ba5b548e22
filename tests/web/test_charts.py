"""Charts: what stands at an axis can be read as an amount."""

from __future__ import annotations

import re

from topline.ui.charts import bar_chart


def labels(*amounts):
    """The figures at the axis of bars of these amounts."""
    chart = bar_chart([{"bucket": str(n), "amount": a} for n, a in enumerate(amounts)], x="bucket", y="amount", title="Amounts")
    assert chart is not None
    return re.findall(r"<text[^>]*>([−\d][^<]*[.k]?[^<]*)</text>", chart.svg)


def test_cents_are_not_written_as_thousandths_nor_nothing_as_thousands():
    cents = labels(0.01, 0.02)
    assert any("0.01" in label or "0.02" in label for label in cents) and not any(label.endswith("m") for label in cents)
    thousands = labels(5_000, 40_000)
    assert "0" in thousands and "40k" in thousands and "0k" not in thousands
