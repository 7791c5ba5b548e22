"""Forecasts of whole books: no look into the future, sound answers for small companies, notes, reasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from tests.engine.payment_timing.conftest import START, made_up
from topline.engine.payment_timing import notes
from topline.engine.payment_timing.backtest import backtest
from topline.engine.payment_timing.book import Book, LeakingColumn, as_of, day_number
from topline.engine.payment_timing.explain import explain
from topline.engine.payment_timing.features import DAILY, STATIC, curves, daily_features, prepare, questions_of, static_features
from topline.engine.payment_timing.hazard import Settings
from topline.engine.payment_timing.model import predict, train
from topline.kernel.errors import Invalid

QUICK = Settings(members=1, rounds=80)
TODAY = START + timedelta(days=430)


@pytest.fixture(scope="module")
def model(company):
    return train(company, on=TODAY, settings=QUICK)


def with_notes(book: Book) -> Book:
    """The same book with reminders, a few disputes and promises, all dated."""
    some = book.invoices["invoice_id"].to_list()[::9]
    issued = book.invoices.filter(pl.col("invoice_id").is_in(some))["issued_on"]
    learned = issued.dt.offset_by("20d")
    return replace(
        book,
        reminders=pl.DataFrame({"invoice_id": some, "learned_on": learned}),
        promises=pl.DataFrame({"invoice_id": some, "learned_on": learned, "promised_on": issued.dt.offset_by("40d")}),
        disputes=pl.DataFrame(
            {
                "invoice_id": some,
                "kind": "quality",
                "learned_on": learned,
                "resolved_on": issued.dt.offset_by("60d"),
                "in_litigation": False,
            }
        ),
    )


def same(a, b) -> bool:
    """Bit-identical forecasts."""
    return a.invoices.equals(b.invoices) and a.pmf.tobytes() == b.pmf.tobytes() and a.excluded.equals(b.excluded)


@pytest.mark.parametrize("noted", [False, True])
def test_deleting_everything_learned_later_changes_no_bit(company, noted):
    book = with_notes(company) if noted else company
    kept = replace(
        book,
        invoices=book.invoices.filter(pl.col("issued_on") < TODAY),
        **{
            name: getattr(book, name).filter(pl.col("learned_on") < TODAY)
            for name in ("payments", "disputes", "promises", "reminders")
            if getattr(book, name) is not None
        },
    )
    assert kept.payments.height < book.payments.height
    whole, cut = (train(b, on=TODAY, settings=QUICK) for b in (book, kept))
    assert whole.version == cut.version
    assert same(predict(whole, book, on=TODAY), predict(cut, kept, on=TODAY))


def test_shuffling_what_happened_later_changes_no_bit(company, model):
    later = pl.col("learned_on") >= TODAY
    future = company.payments.filter(later)
    moved = future.with_columns(pl.col("paid_on", "learned_on").shuffle(seed=3))
    assert not moved.equals(future)
    book = replace(company, payments=pl.concat([company.payments.filter(~later), moved]))
    assert same(predict(train(book, on=TODAY, settings=QUICK), book, on=TODAY), predict(model, company, on=TODAY))


def test_a_rolling_backtest_says_what_a_book_cut_on_the_day_would_have_said(company, model):
    whole = prepare(company)
    later = company.invoices.with_row_index("row").filter(pl.col("issued_on") >= TODAY).head(12)
    for row, invoice in enumerate(later["invoice_id"].to_list()):
        issued = later["issued_on"][row]
        ask = questions_of(whole, np.array([later["row"][row]]), np.array([day_number(issued)]))
        own = company.invoices.filter(pl.col("invoice_id") == invoice)
        cut = as_of(company, issued)
        alone = prepare(replace(cut, invoices=pl.concat([cut.invoices, own])))
        single = questions_of(alone, np.array([cut.invoices.height]), np.array([day_number(issued)]))
        assert model.distribution(whole, ask).tobytes() == model.distribution(alone, single).tobytes()


@pytest.mark.parametrize("name", ["Disputed", "days_to_settle", "DaysLate", "paid_on_copy", "Tags", "last_modified", "Status"])
def test_a_column_that_changes_after_the_outcome_is_refused_by_name(company, name):
    book = replace(company, invoices=company.invoices.with_columns(pl.lit(1).alias(name)))
    with pytest.raises(LeakingColumn) as refused:
        train(book, on=TODAY, settings=QUICK)
    assert refused.value.field == name


@pytest.mark.parametrize("kind", ["equal", "scaled", "flag", "day", "filled"])
def test_a_planted_outcome_is_refused_whatever_its_name(company, kind):
    paid = company.invoices.join(company.payments, on="invoice_id", how="left")
    delay = (paid["paid_on"] - paid["due_on"]).dt.total_days()
    known = paid["learned_on"] < TODAY
    planted = {
        "equal": delay,
        "scaled": -3.5 * delay + 7,
        "flag": (delay > 0).cast(pl.Int32),
        "day": paid["paid_on"],
        "filled": pl.Series(np.where(known, 1.0, np.nan)).fill_nan(None),
    }[kind]
    book = replace(company, invoices=company.invoices.with_columns(planted.alias("score_x")))
    with pytest.raises(LeakingColumn):
        train(book, on=TODAY, settings=QUICK)


def test_an_honest_column_is_an_input(company):
    serial = replace(
        company, invoices=company.invoices.with_columns(serial=pl.col("invoice_id"), region=pl.col("customer_id") % 3)
    )
    assert serial.extras == ["serial", "region"]
    wide, plain = train(serial, on=TODAY, settings=QUICK), train(company, on=TODAY, settings=QUICK)
    assert len(wide.hazard.used) == len(plain.hazard.used) + 2


def test_a_forecast_adds_up_and_rises(company, model):
    forecast = predict(model, company, on=TODAY)
    assert forecast.invoices.height > 10
    assert forecast.pmf.sum(axis=1) + forecast.invoices["later"].to_numpy() == pytest.approx(np.ones(len(forecast.pmf)))
    days = [TODAY + timedelta(days=n) for n in (0, 7, 30, 90)]
    by = np.stack([forecast.paid_by(day) for day in days])
    assert (np.diff(by, axis=0) >= 0).all()
    rows = forecast.invoices.drop_nulls("p90_on")
    assert ((rows["p10_on"] <= rows["p50_on"]) & (rows["p50_on"] <= rows["p90_on"]) & (rows["p10_on"] >= TODAY)).all()
    total = forecast.expected_minor(TODAY, TODAY + timedelta(days=180))
    assert 0.95 * forecast.invoices["open_minor"].sum() < total <= forecast.invoices["open_minor"].sum()


def test_the_same_book_gives_the_same_model_and_another_row_another_version(company, model):
    again = train(
        replace(company, invoices=company.invoices.sample(fraction=1.0, shuffle=True, seed=1)), on=TODAY, settings=QUICK
    )
    assert again.version == model.version
    assert same(predict(train(company, on=TODAY, settings=QUICK), company, on=TODAY), predict(model, company, on=TODAY))
    fewer = replace(company, invoices=company.invoices.slice(1))
    assert train(fewer, on=TODAY, settings=QUICK).version != model.version


def test_it_learns_that_nobody_pays_on_a_weekend(company, model):
    forecast = predict(model, company, on=TODAY)
    weekend = [(TODAY + timedelta(days=n)).weekday() >= 5 for n in range(forecast.pmf.shape[1])]
    soon = np.arange(forecast.pmf.shape[1]) < 28
    share = forecast.pmf[:, weekend & soon].sum() / forecast.pmf[:, soon].sum()
    assert share < 0.22, "two days of seven would be 0.29"


@pytest.mark.parametrize(
    ("invoices", "tier"),
    [(1, "public curve and customer"), (15, "public curve and customer"), (60, "public, company and customer curve")],
)
def test_small_companies_are_served_by_counting(invoices, tier):
    book = made_up(invoices=invoices, customers=3, days=300)
    day = START + timedelta(days=310)
    model = train(book, on=day)
    assert (model.tier, model.hazard) == (tier, None)
    forecast = predict(model, book, on=day)
    assert forecast.pmf.shape[0] == forecast.invoices.height
    assert (forecast.pmf.sum(axis=1) > 0.9).all()


def test_no_history_at_all_still_gives_a_forecast():
    book = made_up(invoices=3, days=5)
    book = replace(book, payments=book.payments.clear())
    forecast = predict(train(book, on=START + timedelta(days=10)), book, on=START + timedelta(days=10))
    assert forecast.invoices["p50_on"].null_count() == 0
    assert predict(train(book, on=START - timedelta(days=1)), book, on=START).invoices.is_empty()


@pytest.mark.parametrize("habit", ["all late, all alike", "one customer"])
def test_monotonous_books_are_no_obstacle(habit):
    base = made_up(invoices=200, customers=1 if habit == "one customer" else 8)
    same_amount = base.invoices.with_columns(amount_minor=pl.lit(10_000, dtype=pl.Int64))
    paid = base.invoices.select("invoice_id", paid_on=pl.col("due_on").dt.offset_by("40d")).with_columns(learned_on="paid_on")
    book = Book(same_amount, paid if habit != "one customer" else base.payments)
    forecast = predict(train(book, on=TODAY, settings=QUICK), book, on=TODAY)
    assert np.isfinite(forecast.pmf).all()
    if habit != "one customer":
        fresh = forecast.invoices.filter(pl.col("due_on") > TODAY - timedelta(days=30))
        error = (fresh["p50_on"] - fresh["due_on"]).dt.total_days() - 40
        assert error.abs().max() <= 2


def open_invoice(company, model):
    return predict(model, company, on=TODAY).invoices["invoice_id"][0]


def test_a_promise_moves_the_forecast_to_its_day_and_a_past_one_does_not(company, model):
    invoice = open_invoice(company, model)
    note = lambda day: pl.DataFrame({"invoice_id": [invoice], "learned_on": [TODAY - timedelta(days=2)], "promised_on": [day]})  # noqa: E731
    promised = predict(model, replace(company, promises=note(TODAY + timedelta(days=12))), on=TODAY)
    row = promised.invoices.row(by_predicate=pl.col("invoice_id") == invoice, named=True)
    assert row["method"] == "promise"
    assert abs((row["p50_on"] - TODAY).days - 12) <= 1
    past = predict(model, replace(company, promises=note(TODAY - timedelta(days=1))), on=TODAY)
    assert past.invoices.row(by_predicate=pl.col("invoice_id") == invoice, named=True)["method"] == model.tier


def test_what_is_promised_in_part_moves_only_that_part_and_what_came_since_covers_the_earliest(company, model):
    invoice = open_invoice(company, model)
    whole = company.invoices.filter(pl.col("invoice_id") == invoice)["amount_minor"][0]
    cash = company.payments.join(company.invoices.select("invoice_id", "amount_minor"), on="invoice_id")
    said, days = TODAY - timedelta(days=9), [TODAY + timedelta(days=n) for n in (10, 40, 70)]
    share = whole // 4
    promises = pl.DataFrame(
        {"invoice_id": [invoice] * 3, "learned_on": [said] * 3, "promised_on": days, "amount_minor": [share] * 3, "settled_on": [None] * 3},
        schema_overrides={"settled_on": pl.Date},
    )  # fmt: skip

    def told(paid=0, **kept):
        since = pl.DataFrame(
            {"invoice_id": [invoice], "paid_on": [said], "learned_on": [said + timedelta(days=1)], "amount_minor": [paid]}
        )
        payments = pl.concat([cash, since.filter(pl.col("amount_minor") > 0)], how="diagonal_relaxed")
        found = predict(model, replace(company, payments=payments, **kept), on=TODAY)
        place = found.invoices["invoice_id"].to_list().index(invoice)
        mine = found.parts["row"] == place
        return found, place, found.parts.filter(mine)["amount_minor"].to_list(), found.parts_pmf[mine.to_numpy()]

    plain, place, parts, _ = told()
    assert parts == []
    found, _, parts, pmf = told(promises=promises)
    assert found.invoices["method"][place] == "part promised"
    assert parts == [share, share, share, whole - 3 * share]
    assert (np.array(parts)[:, None] * pmf).sum(axis=0) / whole == pytest.approx(found.pmf[place])
    assert [pmf[n, day - 2 : day + 6].sum() > 0.7 for n, day in enumerate((10, 40, 70))] == [True] * 3
    assert pmf[3] == pytest.approx(plain.pmf[place])  # the rest is expected as before
    assert told(share + 1, promises=promises)[2] == [share - 1, share, whole - 3 * share]
    over = promises.with_columns(settled_on=pl.lit(TODAY - timedelta(days=1)))
    assert told(promises=over)[0].pmf[place] == pytest.approx(plain.pmf[place])


def test_a_promise_of_a_part_is_kept_when_that_part_came(company):
    invoice, learned = company.invoices["invoice_id"][0], company.invoices["issued_on"][0]
    due = learned + timedelta(days=20)

    def rate(came):
        cash = pl.DataFrame({"invoice_id": [invoice], "paid_on": [due], "learned_on": [due], "amount_minor": [came]})
        said = pl.DataFrame({"invoice_id": [invoice], "learned_on": [learned], "promised_on": [due], "amount_minor": [50]})
        return notes.kept_rate(replace(company, payments=cash, promises=said), day=day_number(TODAY))

    assert (rate(50), rate(49)) == (pytest.approx(8 / 11), pytest.approx(7 / 11))


def test_a_dispute_adds_the_time_to_resolve_and_litigation_is_left_out(company, model):
    plain = predict(model, company, on=TODAY)
    invoice = open_invoice(company, model)
    note = lambda court: pl.DataFrame(  # noqa: E731
        {
            "invoice_id": [invoice],
            "kind": ["price"],
            "learned_on": [TODAY - timedelta(days=2)],
            "resolved_on": [None],
            "in_litigation": [court],
        },
        schema_overrides={"resolved_on": pl.Date},
    )
    argued = predict(model, replace(company, disputes=note(False)), on=TODAY)
    before, after = (f.invoices.row(by_predicate=pl.col("invoice_id") == invoice, named=True) for f in (plain, argued))
    assert after["method"] == "dispute"
    assert 15 <= (after["p50_on"] - before["p50_on"]).days <= 50
    court = predict(model, replace(company, disputes=note(True)), on=TODAY)
    assert invoice not in court.invoices["invoice_id"].to_list()
    assert court.excluded["invoice_id"].to_list() == [invoice]
    assert court.invoices.height == plain.invoices.height - 1


def test_a_part_payment_leaves_the_rest_to_be_foreseen_to_the_cent_and_a_returned_one_the_whole(company, model):
    invoice = open_invoice(company, model)
    whole = company.invoices.join(company.payments.select("invoice_id", "paid_on", "learned_on"), on="invoice_id")
    cash = whole.select("invoice_id", "paid_on", "learned_on", "amount_minor").with_columns(
        reversed_on=pl.lit(None, dtype=pl.Date)
    )
    amount = company.invoices.filter(pl.col("invoice_id") == invoice)["amount_minor"][0]
    yesterday = TODAY - timedelta(days=1)
    part = pl.DataFrame(
        {
            "invoice_id": [invoice],
            "paid_on": [yesterday],
            "learned_on": [yesterday],
            "amount_minor": [amount - 1],
            "reversed_on": [None],
        },
        schema=cash.schema,
    )
    book = replace(company, payments=pl.concat([cash, part]))
    shown = predict(model, book, on=TODAY).invoices
    assert shown.filter(pl.col("invoice_id") == invoice)["open_minor"].to_list() == [1]
    back = replace(book, payments=pl.concat([cash, part.with_columns(reversed_on=pl.lit(yesterday))]))
    assert predict(model, back, on=TODAY).invoices.filter(pl.col("invoice_id") == invoice)["open_minor"].to_list() == [amount]


def test_what_is_written_off_is_no_longer_foreseen(company, model):
    invoice = open_invoice(company, model)
    lost = pl.DataFrame({"invoice_id": [invoice], "learned_on": [TODAY - timedelta(days=1)]})
    book = replace(company, write_offs=lost)
    assert invoice not in predict(train(book, on=TODAY, settings=QUICK), book, on=TODAY).invoices["invoice_id"].to_list()


def test_reasons_name_the_habit_and_what_departs_from_it(company, model):
    forecast = predict(model, company, on=TODAY)
    told = explain(model, company, forecast)
    assert told["invoice_id"].to_list() == forecast.invoices["invoice_id"].to_list()
    assert all(reasons[0].startswith(("usually pays", "paid", "no payment")) for reasons in told["reasons"].to_list())
    one = explain(model, company, forecast, invoice_ids=[told["invoice_id"][3]])
    assert one.row(0) == told.row(3)
    past = prepare(as_of(company, TODAY))
    row = int(np.flatnonzero(as_of(company, TODAY).invoices["invoice_id"] == told["invoice_id"][0])[0])
    own = past.paid.before(
        questions_of(past, np.array([row]), np.array([day_number(TODAY)])).customer, np.array([day_number(TODAY)])
    )[0]
    days = round(own[1] / own[0])
    habit = "on the due day" if days == 0 else f"{abs(days)} day{'' if abs(days) == 1 else 's'} {'late' if days > 0 else 'early'}"
    assert told["reasons"][0][0] == f"usually pays {habit}"


def test_a_model_of_a_later_day_may_not_forecast_an_earlier_one(company, model):
    with pytest.raises(Invalid, match="was trained on"):
        predict(model, company, on=TODAY - timedelta(days=1))


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda rows: pl.concat([rows, rows.head(1)]), "invoice_id"),
        (lambda rows: rows.with_columns(amount_minor=pl.lit(0, dtype=pl.Int64)), "amount_minor"),
        (lambda rows: rows.with_columns(due_on=pl.lit(None, dtype=pl.Date)), "invoices"),
        (lambda rows: rows.drop("due_on"), "invoices"),
        (lambda rows: rows.with_columns(issued_on=date(1900, 1, 1)), "issued_on"),
    ],
)
def test_a_book_that_cannot_be_right_is_refused(company, spoil, field):
    with pytest.raises(Invalid) as refused:
        prepare(replace(company, invoices=spoil(company.invoices)))
    assert refused.value.field == field


def test_the_learned_hazard_beats_counting_and_the_due_date_on_habits_with_a_calendar():
    book = made_up(invoices=900, customers=12)
    result = backtest(
        book,
        split=START + timedelta(days=350),
        mondays=10,
        model=train(book, on=START + timedelta(days=350), settings=QUICK),
    )
    table = {row["method"]: row for row in result.at_issue.iter_rows(named=True)}
    assert table["shipped"]["crps_days"] < table["customer curve, shrunk"]["crps_days"] < table["due date"]["crps_days"]
    assert 0.70 <= table["shipped"]["coverage_80"] <= 0.90
    book_error = dict(result.open_book.select("method", "wape").iter_rows())
    assert book_error["shipped"] < book_error["due date"]


def test_the_plain_baselines_on_the_real_file_are_the_published_ones(distributor):
    """Small tier, so that nothing has to be learned: the file's baselines do not depend on the model."""
    split = date(2013, 7, 1)
    small = train(replace(distributor, payments=distributor.payments.head(0)), on=split)
    table = {row["method"]: row for row in backtest(distributor, split=split, model=small).at_issue.iter_rows(named=True)}
    assert table["due date"]["invoices"] == 536
    assert table["due date"]["mae_days"] == pytest.approx(11.11, abs=0.005)
    assert table["customer mean"]["mae_days"] == pytest.approx(6.47, abs=0.005)
    assert table["company curve"]["mae_days"] == pytest.approx(9.86, abs=0.02)
    assert table["customer curve, raw"]["mae_days"] == pytest.approx(6.16, abs=0.05)


def test_the_shipped_method_meets_its_bars_on_the_real_file(distributor):
    result = backtest(distributor, split=date(2013, 7, 1))
    shipped = result.at_issue.row(by_predicate=pl.col("method") == "shipped", named=True)
    assert shipped["mae_days"] <= 5.90
    assert shipped["crps_days"] <= 4.20
    assert 0.74 <= shipped["coverage_80"] <= 0.87
    assert shipped["auc_late"] >= 0.855
    assert dict(result.open_book.select("method", "wape").iter_rows())["shipped"] <= 0.185
    assert result.model.paid == 1846  # 1,930 issued before, 84 of them not yet paid


def test_a_large_invoice_is_named_as_a_reason_where_large_ones_are_paid_later():
    base = made_up(invoices=1200)
    big = pl.col("amount_minor") > 45_000
    paid = base.payments.join(base.invoices.select("invoice_id", "amount_minor"), on="invoice_id").with_columns(
        pl.when(big).then(pl.col("paid_on").dt.offset_by("21d")).otherwise("paid_on").alias("paid_on")
    )
    book = replace(base, payments=paid.select("invoice_id", "paid_on", learned_on=pl.col("paid_on").dt.offset_by("1d")))
    model = train(book, on=TODAY, settings=replace(QUICK, rounds=150))
    assert model.hazard is not None
    forecast = predict(model, book, on=TODAY)
    told = explain(model, book, forecast).join(book.invoices, on="invoice_id")
    large = pl.col("reasons").list.eval(pl.element().str.starts_with("this one is large (+")).list.any()
    named = told.select("amount_minor", "due_on", named=large).filter(pl.col("due_on") > TODAY)
    assert named.filter(big)["named"].mean() > 0.5
    assert not named.filter(pl.col("amount_minor") < 20_000)["named"].any()


def test_notes_count_from_the_day_after_they_were_learned(company):
    past = prepare(with_notes(company))
    rows = np.array([0, 0, 0])
    issued = day_number(company.invoices["issued_on"][0])
    ask = questions_of(past, rows, np.array([issued + 20, issued + 21, issued + 61]))
    static = static_features(past, ask)
    assert static.shape[1] == len(STATIC)
    assert static[:, STATIC.index("reminders")].tolist() == [0, 1, 1]
    assert static[:, STATIC.index("disputed")].tolist() == [0, 1, 0]
    days = daily_features(past, ask, static, curves(past, ask), day=ask.day, question=np.arange(3))
    assert days.shape[1] == len(STATIC) + len(DAILY)
    promised = days[:, len(STATIC) + DAILY.index("past_promise")]
    assert np.isnan(promised[0]) and promised[1:].tolist() == [-19, 21]


def test_prepayments_dues_before_issue_and_payments_of_unknown_invoices_are_borne(company):
    odd = company.invoices.with_columns(
        due_on=pl.when(pl.col("invoice_id") % 7 == 0).then(pl.col("issued_on").dt.offset_by("-3d")).otherwise("due_on")
    )
    early = company.payments.with_columns(
        paid_on=pl.when(pl.col("invoice_id") % 11 == 0).then(pl.lit(START - timedelta(days=9))).otherwise("paid_on")
    )
    stray = company.payments.head(1).with_columns(invoice_id=pl.lit(-1, dtype=pl.Int64))
    book = Book(odd, pl.concat([early, stray]))
    forecast = predict(train(book, on=TODAY, settings=QUICK), book, on=TODAY)
    assert np.isfinite(forecast.pmf).all() and (forecast.pmf >= 0).all()
    assert (forecast.pmf.sum(axis=1) > 0.9).all()
