"""The command line as people and scripts use it: a process of its own, its exit code, and what it prints."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPEN_ITEMS = """number,customer,issued on,due on,amount,paid on
R1,Globex,2026-01-05,2026-02-04,100.00,
R2,Globex,2026-01-06,2026-02-05,250.50,2026-01-20
R3,Initech,2026-01-07,2026-02-31,20.00,
"""
PAYROLL = "person,amount\nAnn,1000.00\nBob,2000.00\n"


class Cli:
    """A home folder and the commands that are run in it, always on a SQLite file of its own."""

    def __init__(self, home: Path):
        self.home = home

    def __call__(self, *arguments, code=0, home=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TOPLINE_")}
        environment |= {"TOPLINE_HOME": str(home or self.home), "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "topline.cli.main", *map(str, arguments)],
            env=environment, capture_output=True, text=True, timeout=120, cwd=self.home, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *arguments, **options):
        return json.loads(self(*arguments, "--json", **options))


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    """A company with open items and a payroll, brought in by the commands themselves."""
    home = tmp_path_factory.mktemp("home")
    run = Cli(home)
    run.welcome = run("init", "Acme GmbH", "--country", "DE", "--email", "ada@acme.example")
    (home / "items.csv").write_text(OPEN_ITEMS)
    (home / "pay.csv").write_text(PAYROLL)
    run.dry = run("import", "receivables", "items.csv", "--dry-run")
    run.after_dry = run.json("aging", "--as-of", "2026-01-31")
    run.items = run.json("import", "receivables", "items.csv")
    run.payroll = run.json("import", "payroll", "pay.csv", "--first-payday", "2026-02-13", "--frequency", "monthly")
    return run


def test_init_prints_a_sign_in_and_what_to_do_next(cli):
    assert "ada@acme.example with password" in cli.welcome
    assert "topline import receivables FILE" in cli.welcome


def test_a_dry_run_tells_the_bad_row_and_writes_nothing(cli):
    assert "Row 4, column due on: '2026-02-31'" in cli.dry
    assert "2 rows would come in, 1 refused" in cli.dry
    assert cli.after_dry["buckets"] == []


def test_an_import_says_in_json_what_came_in_and_what_was_refused(cli):
    assert (cli.items["state"], cli.items["rows_done"], cli.items["rows_refused"]) == ("done", 2, 1)
    assert [(p["row"], p["column"]) for p in cli.items["problems"]] == [(4, "due on")]
    assert (cli.payroll["state"], cli.payroll["rows_done"]) == ("done", 2)


def test_reads_answer_in_json_with_the_right_figures(cli):
    aging = cli.json("aging", "--as-of", "2026-02-10")
    assert aging["as_of"] == "2026-02-10"
    assert aging["buckets"] == [{"currency": "EUR", "bucket": "1-30", "items": 1, "open_minor": 10_000}]
    today = cli.json("today", "--as-of", "2026-02-10")
    assert (today["company"], today["overdue_minor"]) == ("acme-gmbh", 10_000)
    assert today["payrolls"][0]["amount_minor"] == 300_000
    assert today["payrolls"][0]["levers"] == today["duties"] == []
    forecast = cli.json("cash", "--as-of", "2026-02-01", "--weeks", "4")
    assert forecast["currency"] == "EUR"
    assert len(forecast["payrolls"]) == 1
    assert forecast["weekly"][-1]["closing_minor"] == forecast["opening_minor"] + sum(
        w["in_minor"] - w["out_minor"] for w in forecast["weekly"]
    )
    assert forecast["trust"] == "not yet verified on your data" and len(forecast["ranges"]) >= 28
    assert all(r["p10_minor"] <= r["p50_minor"] <= r["p90_minor"] for r in forecast["ranges"])
    assert forecast["accounts"] == []  # no bank is known yet
    assert all(proof["holds"] for proof in cli.json("verify"))


def test_the_market_is_printed_and_what_customers_told_is_imported(cli, tmp_path):
    told = tmp_path / "told.csv"
    told.write_text("customer,kind,score,date\nGlobex,nps,9,2026-02-01\nNobody,nps,9,2026-02-01\n")
    done = cli.json("import", "experience", told)
    assert (done["state"], done["rows_done"], [p["code"] for p in done["problems"]]) == ("done", 1, ["unknown_customer"])
    found = cli.json("market", "--as-of", "2026-02-10")
    assert (found["segments"], found["prices"], found["experience"]["us"]["nps"]["n"]) == ([], [], 1)
    printed = cli("market", "--as-of", "2026-02-10")
    assert "No segment is known yet." in printed and "not enough data (1 of 15 answers)" in printed


def test_a_bill_run_of_nothing_says_so(cli):
    assert "Nothing is due" in cli("bill", "preview", "--as-of", "2026-02-10")
    assert cli.json("bill", "run", "--as-of", "2026-02-10")["state"] == "final"
    assert "0 documents for 0 periods; the run is final" in cli("bill", "run", "--as-of", "2026-02-10")
    assert cli.json("revenue", "waterfall", "--through", "2026-01-31") == {"by": "booked", "items": []}
    assert cli.json("revenue", "show", "--through", "2026-01-31")["drafts"] == 0
    assert "Seen in sales of a year" in cli("revenue", "prices") and "To be earned" in cli("revenue", "remaining")
    assert "No contract ends" in cli("contracts")


def test_leads_come_in_by_file_and_are_printed(cli, tmp_path):
    told = tmp_path / "leads.csv"
    told.write_text(
        "company,email,source,country,created on\nUmbrella,ada@umbrella.example,Fair,de,2026-02-01\n,,Fair,DE,2026-02-01\nInitech,no address,Fair,DE,2026-02-01\n"
    )
    done = cli.json("import", "leads", told)
    assert (done["state"], done["rows_done"], [p["code"] for p in done["problems"]]) == ("done", 1, ["nobody", "not_an_address"])
    found = cli.json("leads", "--as-of", "2026-02-10")
    assert [(g["key"], g["leads"]) for g in found["groups"]] == [("Fair", 1)]
    assert [(lead["company"], lead["state"]) for lead in found["open"]] == [("Umbrella", "new")]
    assert "Umbrella" in cli("leads", "--as-of", "2026-02-10")
    assert "No quote is sent" in cli("quotes")
    assert cli.json("customers", "health", "--as-of", "2026-02-10")["as_of"] == "2026-02-10"
    for what in ("cohorts", "value", "margin"):
        assert cli("customers", what, "--as-of", "2026-02-10")


def test_what_people_read_says_the_same(cli):
    shown = cli("today", "--as-of", "2026-02-10")
    assert "Acme GmbH on Tuesday, 10 February 2026" in shown
    assert "Can we make payroll?" in shown
    assert "100.00" in cli("aging", "--as-of", "2026-02-10", "--by", "issued")
    cash = cli("cash", "--as-of", "2026-02-01", "--every", "month")
    assert "Cash in EUR" in cash
    assert "8 times in 10. Ranges: not yet verified on your data." in " ".join(cash.split())
    assert "Feb 2026" in cash and "By account" not in cash


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("today", "--company", "nobody"), "There is no company 'nobody'"),
        (("today", "--as-of", "31.12.2026"), "'31.12.2026' is no day"),
        (("today", "--as-of", "2026-02-31"), "'2026-02-31' is no day"),
        (("aging", "--by", "mood"), "neither due nor issued"),
        (("import", "receivables", "items.csv"), "is in already"),
        (("import", "dreams", "pay.csv"), "'dreams' cannot be imported"),
        (("import", "receivables", "missing.csv"), "does not exist"),
        (("import", "receivables", "pay.csv"), "has no column"),
        (("import", "customers", "items.csv", "--profile", "no-such"), "There is no profile"),
        (("cash", "--weeks", "0"), "--weeks"),
        (("cash", "--every", "hour"), "'hour' is no period"),
        (("backtest", "payments", "--split", "July"), "'July' is no day"),
        (("dance",), "No such command"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_2(cli, arguments, sentence):
    told = cli(*arguments, code=2)
    assert sentence in told
    assert "Traceback" not in told


def test_without_a_company_the_way_to_one_is_told(tmp_path):
    told = Cli(tmp_path)("today", code=1)
    assert "topline init NAME" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("command", ["serve", "demo --serve"])
def test_a_taken_port_is_told_before_anything_is_done(cli, tmp_path, command):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = cli(*command.split(), "--port", port, code=2, home=tmp_path)
    assert f"Port {port} of 127.0.0.1 is taken." in told
    assert f"--port {port + 1}" in told
    assert not (tmp_path / "topline.sqlite3").exists()


def test_a_profile_of_ones_own_is_a_file_and_one_that_is_missing_is_told(cli):
    columns = "  number: {header: Nr}\n  customer: {header: Wer}\n  issued_on: {header: Wann, type: date}\n  amount: {header: Wieviel, type: amount}\n"
    (cli.home / "mine.yaml").write_text(f"id: mine\nkind: receivables\ntitle: Mine\ncolumns:\n{columns}")
    (cli.home / "other.csv").write_text("Nr;Wer;Wann;Wieviel\nX1;Globex;2026-01-05;1,25\n")
    assert cli.json("import", "receivables", "other.csv", "--profile", "mine.yaml", "--dry-run")["state"] == "checked"
    told = cli("import", "receivables", "other.csv", "--profile", "yours.yaml", code=2)
    assert "There is no file yours.yaml." in told


def test_going_on_with_an_import_needs_its_number_and_no_file(cli):
    assert "There is no import 99." in cli("import", "--resume", 99, code=2)
    assert "A batch that goes on has its file already." in cli("import", "receivables", "items.csv", "--resume", 1, code=2)
    assert "Which file is to be imported?" in cli("import", "receivables", code=2)


def test_rates_come_in_by_the_command_that_the_refusal_names(cli):
    (cli.home / "rates.csv").write_text("currency,date,rate\nUSD,2030-01-02,1.25\n")
    assert cli.json("import", "rates", "rates.csv")["rows_done"] == 1


def test_a_backup_restored_elsewhere_shows_the_same_and_passes_every_proof(cli, tmp_path):
    archive = tmp_path / "copy.tar.gz"
    assert "Wrote" in cli("backup", archive)
    assert "exists already" in cli("backup", archive, code=2)
    other = tmp_path / "other"
    other.mkdir()
    assert "BAD" not in cli("restore", archive, home=other)
    assert cli.json("today", "--as-of", "2026-02-10", home=other) == cli.json("today", "--as-of", "2026-02-10")
    assert "is in already" in cli("import", "receivables", "items.csv", code=2, home=other)
    assert "There are books here already" in cli("restore", archive, code=2, home=other)


def test_a_file_that_is_no_backup_is_refused(cli, tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"no archive")
    home = tmp_path / "home"
    home.mkdir()
    assert "is no backup that can be read" in cli("restore", tmp_path / "x.tar.gz", code=2, home=home)


def test_verify_fails_with_exit_code_1_and_the_offending_rows(cli, tmp_path):
    import sqlite3

    archive, home = tmp_path / "copy.tar.gz", tmp_path / "broken"
    home.mkdir()
    cli("backup", archive)
    cli("restore", archive, home=home)
    with sqlite3.connect(home / "topline.sqlite3") as database:
        database.execute("UPDATE billing_invoice SET allocated_minor = 1 WHERE state = 'open'")
    found = json.loads(cli("verify", "--json", code=1, home=home))
    bad = {proof["proof"]: proof["offending"] for proof in found if not proof["holds"]}
    assert set(bad) == {"allocations add up to documents", "receivables equal documents"}
    assert all(bad.values())


def test_the_past_of_cash_says_how_often_its_ranges_held_or_that_nobody_knows_yet(tmp_path, shared):
    cli = Cli(tmp_path)
    cli("init", "Books of long ago", "--currency", "USD")
    early = cli.json("backtest", "cash", "--as-of", "2012-01-31")["scores"]
    assert [(s["horizon_days"], s["hit_rate"], s["snapshots"]) for s in early] == [(7, None, 0), (14, None, 0), (28, None, 0)]
    assert "not yet verified" in cli("backtest", "cash", "--as-of", "2012-01-31")
    cli("import", "receivables", shared / "data/ar_ibm/WA_Fn-UseC_-Accounts-Receivable.csv", "--profile", "ibm-ar")
    for score in cli.json("backtest", "cash", "--as-of", "2013-11-01")["scores"]:
        assert score["snapshots"] >= 35
        assert 0.65 <= score["hit_rate"] <= 0.95


def test_a_days_work_is_done_once(cli):
    first = cli("daily", "--as-of", "2026-02-09", "--json")
    assert json.loads(first)["frozen"] is not None
    again = cli.json("daily", "--as-of", "2026-02-09")
    assert (again["promises"], again["plans"], again["reminders"], again["frozen"]) == (0, 0, [], json.loads(first)["frozen"])
    assert "plans were judged" in cli("daily", "--as-of", "2026-02-10")


def test_the_worker_handles_what_waits_and_stops(cli):
    assert cli("seal").startswith("Sealed ")
    assert cli("worker", "--once") == ""
    assert cli("seal") == "Sealed 0 entries.\n"


def test_a_database_of_another_version_is_told_with_its_cure(cli, tmp_path):
    home = shutil.copytree(cli.home, tmp_path / "older")
    with closing(sqlite3.connect(home / "topline.sqlite3")) as older:
        older.execute("ALTER TABLE books_entity RENAME COLUMN phone TO telephone")
    told = cli("today", home=home, code=1)
    assert "another version of Topline" in told and "topline migrate" in told and "Traceback" not in told
    assert "has the tables of this version" in cli("migrate")
