"""A CRM on its way in: accounts, products, sales people and deals, and what its files get wrong."""

from __future__ import annotations

import shutil
from datetime import date

import polars as pl
import pytest
from django.db import connection

from topline.catalog.models import Price, Product
from topline.connect import actions, readers
from topline.connect.models import ImportBatch
from topline.kernel import clock
from topline.kernel.errors import Conflict
from topline.market.models import Customer
from topline.pipeline import actions as pipeline
from topline.pipeline import figures, forecast, machine, people, queries
from topline.pipeline.models import Opportunity, Rep, Stage

END = date(2017, 12, 31)


@pytest.fixture
def load(owner, entity):
    def run(content, kind, name="file.csv", profile=""):
        batch = actions.check_file(
            actor=owner, entity_id=entity.pk, kind=kind, content=content if isinstance(content, bytes) else content.encode(), file_name=name, profile=profile
        )  # fmt: skip
        while actions.run_import(actor=owner, batch_id=batch):
            pass
        return ImportBatch.objects.get(pk=batch)

    return run


@pytest.fixture
def crm(load, shared):
    """The folder of a real CRM, in one of its two ways to write days; returns the batches."""

    def run(folder="crm_maven"):
        files = shared / "data" / folder
        return [load((files / p.file).read_bytes(), p.kind, p.file, p.id) for p in readers.folder_profiles("maven-crm")]

    return run


def managers(deals):
    lead = queries.reps().select("rep_id", lead=pl.coalesce("manager", "name"))
    won = deals.filter(pl.col("state") == "won").join(lead, on="rep_id")
    return dict(won.group_by("lead").agg(pl.col("amount_minor").sum() // 100).iter_rows())


def test_a_real_crm_comes_in_whole_and_its_figures_come_out(entity, crm):
    batches = crm()
    assert [(b.kind, b.rows_done, b.rows_refused) for b in batches] == [
        ("customers", 85, 0), ("products", 7, 0), ("reps", 35, 0), ("opportunities", 8_800, 0)
    ]  # fmt: skip
    assert (Customer.objects.count(), Product.objects.count(), Price.objects.count()) == (85, 7, 7)
    assert (Rep.objects.count(), Rep.objects.filter(manager=None).count()) == (41, 6)
    assert not Customer.objects.filter(segment="technolgy").exists()
    assert Customer.objects.filter(country="PH").exists()
    deals = queries.deals(entity_id=entity.pk, as_of=END)
    counted = dict(deals.group_by("stage").len().iter_rows())
    assert counted == {"won": 4_238, "lost": 2_473, "engaging": 1_589, "prospecting": 500}
    won = deals.filter(pl.col("state") == "won")
    assert won["amount_minor"].sum() == 10_005_534_00
    assert managers(deals) == {
        "Melvin Marxen": 2_251_930, "Summer Sewald": 1_964_750, "Rocco Neubert": 1_960_545, "Celia Rouche": 1_603_897,
        "Cara Losch": 1_130_049, "Dustin Brinkmann": 1_094_363,
    }  # fmt: skip
    still_open = deals.filter(pl.col("state") == "open")
    assert still_open["amount_minor"].null_count() == still_open.height
    assert still_open["value_minor"].null_count() == 0
    assert deals["list_minor"].null_count() == 0  # GTXPro met its product


def test_the_planner_knows_what_a_file_brought(load):
    """Else the reads that follow are planned as if the tables were empty, and a join of a real CRM takes minutes."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite plans by its indexes, not by what it counted")
    load("name,currency\n" + "".join(f"Customer {n},EUR\n" for n in range(500)), "customers")
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'market_customer'")
        assert cursor.fetchone()[0] >= 500


def test_nothing_of_a_past_day_was_only_known_later(entity, crm):
    crm()
    then = queries.deals(entity_id=entity.pk, as_of=date(2017, 9, 30))
    assert then["closed_on"].drop_nulls().max() <= date(2017, 9, 30)
    assert then["engaged_on"].max() <= date(2017, 9, 30)
    assert then.filter(pl.col("state") == "open")["amount_minor"].null_count() == then.filter(pl.col("state") == "open").height
    assert then.filter(pl.col("stage") == "prospecting").is_empty()  # nobody knows since when they were there
    assert then.filter(pl.col("state") == "won").height == 3_042


def test_the_same_crm_with_days_written_the_other_way_is_the_same(entity, crm):
    batches = crm("crm_maven/original_zip_extracted/CRM+Sales+Opportunities")
    assert batches[-1].detected["order of days in engage_date"] == "ymd"
    deals = queries.deals(entity_id=entity.pk, as_of=END)
    assert deals.filter(pl.col("state") == "won")["amount_minor"].sum() == 10_005_534_00
    assert deals["engaged_on"].min() == date(2016, 10, 20)


HEAD = "deal number,owner,stage,product,account,amount,created on,engaged on,closed on,forecast category\n"


@pytest.fixture
def ground(load):
    load("name\nGlobex\n", "customers")
    load("product code,list price,valid from\nPUMP,10.00,2025-01-01\n", "products")
    load("name,manager,region\nAnn,Mia,North\nBob,Mia,South\n", "reps")


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        ("D2,Zoe,Proposal,PUMP,Globex,5.00,2026-01-05,,,", "rep", "unknown_owner"),
        ("D2,Ann,Signing,PUMP,Globex,5.00,2026-01-05,,,", "stage", "unknown_stage"),
        ("D2,Ann,Proposal,FAN,Globex,5.00,2026-01-05,,,", "product", "unknown_product"),
        ("D2,Ann,Proposal,PUMP,Initech,5.00,2026-01-05,,,", "customer", "unknown_customer"),
        ("D1,Ann,Proposal,PUMP,Globex,5.00,2026-01-05,,,", "number", "duplicate_number"),
        ("D2,Ann,Won,PUMP,Globex,,2026-01-05,,2026-02-01,", "amount", "won_without_amount"),
        ("D2,Ann,Won,PUMP,Globex,5.00,2026-01-05,,,", "closed_on", "closed_without_day"),
        ("D2,Ann,Lost,PUMP,Globex,,2026-01-05,,2026-01-04,", "closed_on", "closed_before_opened"),
        ("D2,Ann,Lost,PUMP,Globex,,2026-01-05,2026-03-01,2026-02-01,", "closed_on", "closed_before_engaged"),
        ("D2,Ann,Proposal,PUMP,Globex,5.00,2026-01-05,2026-01-04,,", "engaged_on", "engaged_before_opened"),
        ("D2,Ann,Proposal,PUMP,Globex,5.00,2026-01-05,,2026-01-01,", "close_on", "expected_before_opened"),
        ("D2,Ann,Proposal,PUMP,Globex,5.00,2026-01-05,,,Perhaps", "category", "unknown_category"),
        ("D2,Ann,Proposal,PUMP,Globex,-5.00,2026-01-05,,,", "amount", "negative_amount"),
        ("D2,Ann,Won,PUMP,Globex,5.00,2026-01-05,,2126-02-01,", "closed_on", "in_the_future"),
        ("D2,Ann,Proposal,PUMP,Globex,5.00,2126-01-05,,,", "opened_on", "in_the_future"),
    ],
)
def test_a_bad_row_is_told_and_the_others_are_kept(ground, load, row, column, code):
    batch = load(f"{HEAD}D1,Ann,Proposal,PUMP,Globex,7.00,2026-01-05,,2026-04-01,Best case\n{row}\n", "opportunities")
    assert list(batch.problems.values_list("row", "column", "code")) == [(3, column, code)]
    kept = Opportunity.objects.get()
    assert (kept.number, kept.amount_minor, kept.close_on, kept.closed_on) == ("D1", 700, date(2026, 4, 1), None)
    assert (kept.category, kept.customer.name, kept.name) == ("best_case", "Globex", "PUMP for Globex")


def test_people_who_lead_each_other_in_a_circle_are_told_and_the_others_are_kept(load):
    batch = load("name,manager,code\nAnn,Bob,A\nBob,c,B\nCid,Ann,c\nDora,Ann,D\nEve,Mia,E\nMia,,M\n", "reps")
    told = {(row, column, code) for row, column, code in batch.problems.values_list("row", "column", "code")}
    assert told == {(row, "manager", "circular_team") for row in (2, 3, 4)}
    assert "Row 3, column manager: 'c' would report to this person in the end." in batch.problems.get(row=3).message
    leads = dict(Rep.objects.values_list("name", "manager__name"))
    assert leads == {"Dora": "Ann", "Ann": None, "Eve": "Mia", "Mia": None}, (
        "Ann leads Dora, so the file says, and reports to nobody yet"
    )


def test_a_duplicate_account_is_told_and_the_others_are_kept(ground, load):
    batch = load("name,country\nInitech,DE\nINITECH GmbH,DE\nglobex,DE\nUmbrella,Germany\n", "customers")
    told = {(row, code) for row, code in batch.problems.values_list("row", "code")}
    assert told == {(3, "duplicate_customer"), (4, "known_customer"), (5, "unknown_country")}
    assert set(Customer.objects.values_list("name", flat=True)) == {"Globex", "Initech"}


def test_a_wrong_tax_id_is_told_before_the_import_and_the_others_are_kept(ground, load):
    batch = load("name,number,country,tax id\nInitech,N-1,DE,DE123\nHooli,N-2,DE,\nInitech BE,N-3,DE,DE123\n", "customers")
    assert list(batch.problems.order_by("row").values_list("row", "column", "code")) == [
        (2, "tax_id", "tax_id_invalid"), (4, "tax_id", "tax_id_invalid"),
    ]  # fmt: skip
    told = batch.problems.get(row=2)
    assert "'DE123' is no valid tax id of DE" in told.message and not told.message.endswith("..") and told.remedy
    assert (batch.state, set(Customer.objects.values_list("name", flat=True))) == ("done", {"Globex", "Hooli"})


def test_a_name_that_two_customers_bear_is_taken_for_neither_and_makes_no_third(ground, load):
    load("name,number\nInitech,N-1\nInitech,N-2\n", "customers")
    again = load("name\nInitech\n", "customers")
    assert list(again.problems.values_list("row", "code")) == [(2, "known_customer")]
    deals = load(
        f"{HEAD}D1,Ann,Proposal,PUMP,Initech,7.00,2026-01-05,,,\nD2,Ann,Proposal,PUMP,N-1,7.00,2026-01-05,,,\n", "opportunities"
    )
    told = deals.problems.get()
    assert (told.row, told.code) == (2, "several_customers") and "is the name of several customers" in told.message
    assert Customer.objects.filter(name="Initech").count() == 2


def test_a_lost_deal_of_nothing_has_no_amount(ground, load):
    load(f"{HEAD}D1,Ann,Lost,PUMP,Globex,0.00,2026-01-05,,2026-02-01,\n", "opportunities")
    assert Opportunity.objects.get().amount_minor is None


def test_an_import_taken_back_counts_nowhere_and_may_come_again(owner, entity, ground, load):
    text = f"{HEAD}D1,Ann,Proposal,PUMP,Globex,7.00,2026-01-05,,,\n"
    batch = load(text, "opportunities")
    actions.undo_import(actor=owner, batch_id=batch.pk, on=date(2026, 3, 1), reason="Wrong file")
    assert queries.deals(entity_id=entity.pk, as_of=date(2026, 3, 1)).is_empty()
    assert load(text, "opportunities").rows_done == 1
    assert Opportunity.objects.filter(is_withdrawn=False).count() == 1


def test_an_import_on_which_work_rests_is_not_taken_back(owner, ground, load):
    batch = load(f"{HEAD}D1,Ann,Proposal,PUMP,Globex,7.00,2026-01-05,,,\n", "opportunities")
    made = Opportunity.objects.get()
    pipeline.change_opportunity(actor=owner, opportunity_id=made.pk, changes={"next_step": "Call"}, on=clock.today())
    with pytest.raises(Conflict):
        actions.undo_import(actor=owner, batch_id=batch.pk, on=date(2026, 3, 1))
    assert not Opportunity.objects.get().is_withdrawn


def test_refused_rows_of_a_file_come_in_when_it_is_brought_again(owner, ground, load):
    file = f"{HEAD}D1,Ann,Proposal,PUMP,Globex,7.00,2026-01-05,,,\nD2,Zoe,Proposal,PUMP,Globex,8.00,2026-01-05,,,\nD3,Zoe,Dreams,PUMP,Globex,-9.00,2026-01-05,,,\n"
    first = load(file, "opportunities")
    assert (first.rows_done, first.rows_refused) == (1, 2)
    with pytest.raises(actions.FileImported, match=r"still refused; the first: Row 3.*'Zoe' is no sales person"):
        load(file, "opportunities")
    people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["Zoe"]}))
    rest = load(file, "opportunities")
    assert (rest.rows_done, rest.rows_refused) == (1, 1)
    assert sorted(Opportunity.objects.values_list("number", flat=True)) == ["D1", "D2"]
    with pytest.raises(actions.FileImported):
        load(file, "opportunities")
    with pytest.raises(actions.ImportHasDependants, match=f"Batch {rest.pk} brought the rest"):
        actions.undo_import(actor=owner, batch_id=first.pk, on=date(2026, 3, 1))
    actions.undo_import(actor=owner, batch_id=rest.pk, on=date(2026, 3, 1))
    actions.undo_import(actor=owner, batch_id=first.pk, on=date(2026, 3, 1))
    assert load(file, "opportunities").rows_done == 2


def test_one_cell_that_is_no_day_does_not_hide_the_order_of_the_others(ground, load):
    rows = "D1,Ann,Proposal,PUMP,Globex,7.00,13/1/2026,,,\nD2,Ann,Proposal,PUMP,Globex,-7.00,12/1/2026,,,\nD3,Ann,Proposal,PUMP,Globex,7.00,14/45/2026,,,\n"
    batch = load(f"{HEAD}{rows}", "opportunities")
    told = dict(batch.problems.values_list("row", "message"))
    assert sorted(told) == [3, 4]
    assert "'-7.00' is negative" in told[3]
    assert Opportunity.objects.get().opened_on == date(2026, 1, 13)


def test_a_file_never_changes_the_stages_of_a_company_that_has_deals(ground, load):
    load(f"{HEAD}D1,Ann,Proposal,PUMP,Globex,7.00,2026-01-05,,,\n", "opportunities")
    head = "opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value\n"
    batch = load(
        f"{head}X1,Ann,PUMP,Globex,Engaging,2016-11-25,,\nX2,Ann,PUMP,Globex,Won,2016-11-25,2017-03-01,7\n",
        "opportunities",
        profile="maven-crm",
    )
    assert list(batch.problems.values_list("row", "code")) == [(2, "unknown_stage")]
    assert Stage.objects.filter(key="proposal").exists()


@pytest.fixture
def copied(shared, tmp_path):
    for name in ("accounts.csv", "products.csv", "sales_teams.csv", "sales_pipeline.csv"):
        shutil.copy(shared / "data" / "crm_maven" / name, tmp_path / name)
        if name == "sales_pipeline.csv":
            lines = (tmp_path / name).read_text().splitlines(keepends=True)
            (tmp_path / name).chmod(0o644)
            (tmp_path / name).write_text("".join(lines[:40]))
    return tmp_path


def test_the_command_takes_a_folder_and_the_same_folder_twice_changes_nothing(db, entity, copied):
    from typer.testing import CliRunner

    from topline.cli import commands

    call = ["import", "crm", str(copied), "--profile", "maven-crm"]
    refused = CliRunner().invoke(commands.app, [*call, "--date-order", "xyz"])
    assert refused.exit_code, refused.output  # what the caller says reaches the files of the folder
    first = CliRunner().invoke(commands.app, [*call, "--date-order", "mdy"])
    assert first.exit_code == 0, first.output
    count = Opportunity.objects.count()
    assert count == 39
    again = CliRunner().invoke(commands.app, call)
    assert again.exit_code == 0, again.output
    assert again.output.count("is in already") == 4
    assert Opportunity.objects.count() == count


def test_the_figures_of_a_real_crm_are_those_of_its_readme(entity, crm):
    crm()
    year = {"entity_id": entity.pk, "since": date(2017, 1, 1), "until": date(2018, 1, 1)}
    whole = figures.statistics(**year).row(0, named=True)
    assert (whole["won"], whole["lost"], whole["bookings_minor"]) == (4_238, 2_473, 10_005_534_00)
    assert round(100 * whole["win_rate"], 3) == 63.150
    assert (round(whole["cycle_mean"], 3), whole["cycle_median"]) == (51.782, 57)
    quarters = figures.statistics(**year, by="quarter")
    assert list(quarters.select("key", "won", pl.col("bookings_minor") // 100).iter_rows()) == [
        ("2017 Q1", 531, 1_134_672), ("2017 Q2", 1_254, 3_086_111), ("2017 Q3", 1_257, 2_982_255), ("2017 Q4", 1_196, 2_802_496)
    ]  # fmt: skip
    teams = figures.statistics(**year, by="team")
    assert dict(teams.select("key", pl.col("bookings_minor") // 100).iter_rows()) == managers(
        queries.deals(entity_id=entity.pk, as_of=END)
    )
    second = figures.statistics(entity_id=entity.pk, since=date(2017, 7, 2), until=date(2017, 10, 1)).row(0, named=True)
    assert second["before_won"] > 0
    steps = figures.funnel(entity_id=entity.pk, as_of=END)
    assert steps["entered"].to_list() == [8_800, 8_300, 4_238]
    legs = figures.waterfall(entity_id=entity.pk, start=date(2017, 6, 30), end=date(2017, 9, 30))
    won = legs.filter(pl.col("step") == "won")
    assert (won.height, won["amount_minor"].sum()) == (1_257, -2_982_255_00)


def test_the_last_quarter_of_a_real_crm_lies_in_the_range_foretold_on_the_day_before_it(entity, crm):
    crm()
    start, end = forecast.quarter(date(2017, 10, 1))
    said = machine.machine(entity_id=entity.pk, as_of=date(2017, 9, 30), start=start, end=end)
    assert said.p10_minor <= 280_249_600 <= said.p90_minor
    assert {"pool", "deals one by one", "91-day rate", "snapshot rate", "stage-weighted"} <= set(said.methods["name"])
    board = forecast.board(entity_id=entity.pk, start=start, end=end, as_of=date(2017, 12, 31))
    won = dict(board.rows.filter(pl.col("level") < 2).select("name", "won_minor").iter_rows())
    assert won["Company"] == 280_249_600 == sum(won.values()) - won["Company"]
