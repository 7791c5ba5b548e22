"""Amounts meet amounts in their order, and nothing is lost or made."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.in_turn import in_turn

amounts = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=8)


@given(amounts, amounts)
def test_the_first_meets_the_first_until_one_is_used_up(left, right):
    def table(rows, name):
        return pl.DataFrame(
            {"group": [g for g, _ in rows], name: range(len(rows)), "amount_minor": [a for _, a in rows]},
            schema={"group": pl.Int64, name: pl.Int64, "amount_minor": pl.Int64},
        )

    expected = []
    for group in range(3):
        a = [[n, amount] for n, (g, amount) in enumerate(left) if g == group]
        b = [[n, amount] for n, (g, amount) in enumerate(right) if g == group]
        while a and b:
            met = min(a[0][1], b[0][1])
            if met:
                expected.append((group, a[0][0], b[0][0], met))
            a[0][1] -= met
            b[0][1] -= met
            if not a[0][1]:
                a.pop(0)
            elif not b[0][1]:
                b.pop(0)
    found = in_turn(table(left, "debt"), table(right, "means"), by=["group"])
    assert found.select("group", "debt", "means", "amount_minor").rows() == expected
