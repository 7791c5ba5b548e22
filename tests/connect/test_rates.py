"""Exchange rates from a file: `topline import rates FILE`, the cure that the books name when a rate is missing."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.books import rates
from topline.connect import actions
from topline.connect.models import ImportBatch


@pytest.fixture
def load(owner, entity):
    def run(text, **options):
        batch = actions.check_file(
            actor=owner, entity_id=entity.pk, kind="rates", content=text.encode(), file_name="rates.csv", options=options
        )
        while actions.run_import(actor=owner, batch_id=batch):
            pass
        return ImportBatch.objects.get(pk=batch)

    return run


def worth(currency, amount_minor, on):
    frame = pl.DataFrame({"currency": [currency], "amount_minor": [amount_minor], "on": [on]})
    return rates.convert(frame, to="EUR").row(0, named=True)


def test_rates_of_a_file_are_used_from_their_day_on_and_the_last_one_stays(load):
    batch = load("currency,date,rate per euro\nUSD,2030-01-02,1.25\nUSD,2030-01-05,1.6\nJPY,2030-01-02,200\n")
    assert (batch.state, batch.rows_done, batch.rows_refused) == ("done", 3, 0)
    assert worth("USD", 1_000, date(2030, 1, 4))["converted_minor"] == 800
    later = worth("USD", 1_000, date(2031, 1, 1))
    assert (later["converted_minor"], later["rate_on"]) == (625, date(2030, 1, 5))
    assert worth("JPY", 1_000, date(2030, 1, 2))["converted_minor"] == 500
    assert rates.last_day() == date(2030, 1, 5)


def test_a_newer_file_replaces_a_rate_of_the_same_day(load):
    load("currency,date,rate\nUSD,2030-01-02,1.25\n")
    load("currency,date,rate\nUSD,2030-01-02,2\n")
    assert worth("USD", 1_000, date(2030, 1, 2))["converted_minor"] == 500


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("EUR,2030-01-02,1", "base_currency"),
        ("USD,2030-01-02,0", "not_positive"),
        ("USD,2030-01-02,-1", "not_a_rate"),
        ("USD,2030-01-02,one", "not_a_rate"),
        ('USD,2030-01-02,"1,25"', "not_a_rate"),
        ("CHF,2030-01-01,0.95", "duplicate_day"),
    ],
)
def test_a_row_that_is_no_rate_is_told_and_the_others_come_in(load, row, code):
    batch = load(f"currency,date,rate\nCHF,2030-01-01,0.9\n{row}\n")
    assert (batch.rows_done, list(batch.problems.values_list("row", "code"))) == (1, [(3, code)])


def test_commas_are_read_when_the_caller_says_so(load):
    load("currency;date;rate\nUSD;2030-01-02;1,25\n", decimal_mark=",")
    assert worth("USD", 1_000, date(2030, 1, 2))["converted_minor"] == 800


def test_rates_are_not_taken_back(owner, load):
    batch = load("currency,date,rate\nUSD,2030-01-02,1.25\n")
    with pytest.raises(actions.ImportHasDependants, match="valued at these rates"):
        actions.undo_import(actor=owner, batch_id=batch.pk, on=date(2030, 2, 1))
