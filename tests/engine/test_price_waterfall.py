"""From list to pocket: the steps come in order, stacked discounts multiply, and they always add up to the cent."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.documents import PPM
from topline.engine.price_waterfall import approvals, waterfall
from topline.kernel.errors import Invalid

NANO = 10**9
PROMOTION = {
    "line_id": pl.Int64, "code": pl.String, "position": pl.Int64, "percent_ppm": pl.Int64, "fixed_minor": pl.Int64, "stacks": pl.Boolean,
}  # fmt: skip


def line(units=1, price=100_00, **more):
    row = {"line_id": 1, "product_id": 7, "quantity_micro": units * 10**6, "list_nano": price * NANO, **more}
    return pl.DataFrame([row])


def promotions(*rows):
    return pl.DataFrame([(1, *row) for row in rows], schema=PROMOTION, orient="row")


def told(found):
    return found.steps.select("step", "base_minor", "amount_minor", "running_minor").rows()


def test_every_step_from_list_to_pocket_stands_in_order_with_its_base():
    volumes = pl.DataFrame({"product_id": [7, 7, 8], "from_micro": [1, 10 * 10**6, 1], "discount_ppm": [0, 100_000, 900_000]})
    offered = line(
        10,
        100_00,
        book_nano=95_00 * NANO,
        manual_ppm=50_000,
        terms_ppm=20_000,
        fees_ppm=10_000,
        late_ppm=5_000,
        cost_nano=60_00 * NANO,
    )
    found = waterfall(offered, volumes=volumes, promotions=promotions(("SPRING", 1, 200_000, None, True)))
    assert told(found) == [
        ("list", 0, 1_000_00, 1_000_00),
        ("price_book", 1_000_00, -50_00, 950_00),
        ("volume", 950_00, -95_00, 855_00),
        ("promotion", 855_00, -171_00, 684_00),
        ("manual", 684_00, -34_20, 649_80),
        ("terms", 649_80, -13_00, 636_80),
        ("fees", 636_80, -6_49, 630_31),
        ("late_payment", 630_31, -3_25, 627_06),
    ]
    assert found.lines.row(0, named=True) == {
        "line_id": 1, "list_minor": 1_000_00, "net_minor": 649_80, "pocket_minor": 627_06, "cost_minor": 600_00,
        "discount_ppm": 350_200, "manual_ppm": 50_000, "margin_minor": 27_06,
    }  # fmt: skip
    assert found.steps["note"].to_list() == ["", "", "10.0 %", "SPRING", "5.0 %", "2.0 %", "1.0 %", "0.5 %"]


def test_a_step_that_moves_nothing_is_left_out():
    found = waterfall(line())
    assert told(found) == [("list", 0, 100_00, 100_00)]
    assert found.lines.select("net_minor", "pocket_minor", "cost_minor", "margin_minor").row(0) == (100_00, 100_00, None, None)


def test_stacked_promotions_multiply_in_their_order_and_a_fixed_one_takes_its_amount():
    stacked = promotions(("B", 2, 100_000, None, True), ("A", 1, None, 10_00, True))
    found = waterfall(line(), promotions=stacked)
    assert found.lines["net_minor"][0] == 81_00  # (100 - 10) x 0.9, not 100 x 0.9 - 10
    assert found.steps.filter(pl.col("step") == "promotion")["note"].to_list() == ["A + B"]


@pytest.mark.parametrize(
    ("alone_ppm", "net", "code"), [(300_000, 70_00, "ALONE"), (150_000, 81_00, "A + B"), (190_000, 81_00, "A + B")]
)
def test_one_that_does_not_stack_counts_only_where_it_is_the_better_one(alone_ppm, net, code):
    met = promotions(("A", 1, 100_000, None, True), ("B", 2, 100_000, None, True), ("ALONE", 3, alone_ppm, None, False))
    found = waterfall(line(), promotions=met)
    assert found.lines["net_minor"][0] == net
    assert found.steps.filter(pl.col("step") == "promotion")["note"].to_list() == [code]


def test_a_fixed_promotion_never_takes_more_than_the_price():
    found = waterfall(line(price=5_00), promotions=promotions(("BIG", 1, None, 50_00, True)))
    assert found.lines.select("net_minor", "discount_ppm").row(0) == (0, PPM)


def test_two_promotions_in_one_place_are_refused():
    with pytest.raises(Invalid, match="same place"):
        waterfall(line(), promotions=promotions(("A", 1, 1, None, True), ("B", 1, 1, None, True)))


@pytest.mark.parametrize(
    "odd",
    [
        {"manual_ppm": PPM + 1},
        {"manual_ppm": -1},
        {"fees_ppm": 2 * PPM},
        {"quantity_micro": -1},
        {"list_nano": -1},
        {"book_nano": -1},
    ],
)
def test_what_cannot_be_is_refused_with_its_field(odd):
    with pytest.raises(Invalid) as refused:
        waterfall(line(**odd))
    assert refused.value.field == next(iter(odd))


def test_an_approver_is_asked_only_outside_the_agreed_band():
    bands = pl.DataFrame({"up_to_ppm": [400_000, 100_000, 250_000], "approver": ["Owner", "", "Sales manager"]})
    rows = [
        {"line_id": 1, "discount_ppm": 100_000, "manual_ppm": 100_000, "net_minor": 90, "cost_minor": 50},
        {"line_id": 2, "discount_ppm": 100_001, "manual_ppm": 50_000, "net_minor": 90, "cost_minor": 91},
        {"line_id": 3, "discount_ppm": 300_000, "manual_ppm": 0, "net_minor": 70, "cost_minor": None},
        {"line_id": 4, "discount_ppm": 400_001, "manual_ppm": 1, "net_minor": 60, "cost_minor": 60},
    ]
    asked = approvals(pl.DataFrame(rows), bands)
    assert asked.rows() == [(1, "", False), (2, "Sales manager", True), (3, "", False), (4, None, False)]


SHARES = st.integers(0, PPM)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9), st.integers(0, 10**15), st.none() | st.integers(0, 10**15), SHARES, SHARES, SHARES, SHARES
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.tuples(st.integers(1, 5), SHARES, st.booleans()), max_size=6),
)
def test_steps_always_add_up_and_a_line_prices_alone_as_among_others(rows, offers):
    names = ("quantity_micro", "list_nano", "book_nano", "manual_ppm", "terms_ppm", "fees_ppm", "late_ppm")
    lines = pl.DataFrame(
        [{"line_id": n, "product_id": 7, **dict(zip(names, row, strict=True))} for n, row in enumerate(rows, 1)],
        schema_overrides={"book_nano": pl.Int64},
    )
    met = pl.DataFrame(
        [(n, f"P{k}", k, ppm, None, stacks) for k, (n, ppm, stacks) in enumerate(offers) if n <= len(rows)],
        schema=PROMOTION, orient="row",
    )  # fmt: skip
    found = waterfall(lines, promotions=met)
    added = found.steps.group_by("line_id").agg(pl.col("amount_minor").sum(), last=pl.col("running_minor").last()).sort("line_id")
    assert added["amount_minor"].to_list() == added["last"].to_list() == found.lines["pocket_minor"].to_list()
    assert (found.steps["base_minor"] + found.steps["amount_minor"]).to_list() == found.steps["running_minor"].to_list()
    assert found.lines["net_minor"].min() >= 0
    alone = [waterfall(lines[n : n + 1], promotions=met.filter(pl.col("line_id") == n + 1)).lines for n in range(len(rows))]
    assert pl.concat(alone).equals(found.lines)
