"""Killed, run over, raced and starved: whatever stops a process, the books are whole and the work can be taken up again."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import tarfile
from contextlib import suppress

import pytest

pytest_plugins = ["tests.faults.house"]

ROWS, CHUNK = 1_000, 100
# the command line with small chunks; `chunk` is printed as each one is in
SMALL_CHUNKS = f"""
connect.CHUNK = {CHUNK}
write_next = connect.run_import
def run_import(**inputs):
    more = write_next(**inputs)
    print("chunk", flush=True)
    return more
connect.run_import = run_import
"""
COMMAND = "\nfrom topline.cli.main import main; main()"
# checks a file, waits for a line, and takes its time over writing what it found free
AT_ONCE = """
import time
content, entity = open(sys.argv[1], "rb").read(), Entity.objects.get()
batch = connect.check_file(actor=actor, entity_id=entity.pk, kind="receivables", content=content, file_name="items.csv")
print("ready", flush=True)
sys.stdin.readline()
kept_file = connect.kept_file
connect.kept_file = lambda sha: time.sleep(0.5) or kept_file(sha)
try:
    while connect.run_import(actor=actor, batch_id=batch):
        pass
    print(json.dumps("done"))
except DomainError as error:
    print(json.dumps([error.code, error.message]))
"""
WHAT_IS_THERE = """
from django.db.models import Sum
numbers = list(Invoice.objects.values_list("number", flat=True))
print(json.dumps({
    "invoices": len(numbers), "distinct": len(set(numbers)), "payments": Payment.objects.count(),
    "total": Invoice.objects.aggregate(t=Sum("total_minor"))["t"], "paid": Payment.objects.aggregate(t=Sum("amount_minor"))["t"],
    "states": sorted(ImportBatch.objects.values_list("state", flat=True)), "broken": [p.name for p in proofs.verify() if not p.holds],
}))
"""
NOTE = "from topline.kernel import outbox\nwith transaction.atomic():\n    outbox.enqueue('note', {'key': 'once'})\n"
WORKER = """
import time
from topline.kernel import outbox
from topline.team.models import Area
def handle(payload):
    Area.objects.create(key=payload["key"], title="Handled")
    print("begun", flush=True)
    time.sleep(float(sys.argv[1]))
"""
HANDLED = """
before = outbox.OutboxMessage.objects.get().state
outbox.drain({"note": handle})
outbox.drain({"note": handle})
print(json.dumps([before, outbox.OutboxMessage.objects.get().state, Area.objects.filter(key="once").count()]))
"""
WRITER = """
from topline.market import actions as market
from topline.receivables import actions as receivables
entity = Entity.objects.get()
customer = market.add_customers(actor=actor, customers=pl.DataFrame({"name": ["Globex"], "currency": ["EUR"]}))["customer_id"][0]
paid = pl.DataFrame({"customer_id": [customer] * 20, "currency": "EUR", "amount_minor": 100, "received_on": date(2026, 3, 1)})
for n in range(10_000):
    receivables.record_payments(actor=actor, entity_id=entity.pk, payments=paid)
    if n == 3:
        print("writing", flush=True)
"""
REFUSED = """
from pathlib import Path
from topline.cli import copies
told = []
for path in sys.argv[1:]:
    try:
        told.append(str(copies.restore(Path(path))))
    except DomainError as error:
        told.append(error.message)
print(json.dumps([told, connection.introspection.table_names(), (Path(os.environ["TOPLINE_HOME"]) / "imports").exists()]))
"""
FULL = """
with connection.cursor() as cursor:
    cursor.execute("PRAGMA page_count")
    cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 150}")
"""


def stop(process):
    process.kill()
    process.communicate(timeout=30)


def whole(rows):
    """What stands in the books when each row of `open_items` came in once."""
    amounts = [100 * (n % 900 + 1) + 50 for n in range(1, rows + 1)]
    paid = [amount for n, amount in enumerate(amounts, start=1) if n % 3 == 2]
    return {"invoices": rows, "distinct": rows, "payments": len(paid), "total": sum(amounts), "paid": sum(paid), "broken": []}


def test_an_import_killed_again_and_again_ends_with_every_row_once_and_exact_totals(company, tmp_path, open_items):
    file, draw = tmp_path / "items.csv", random.Random(7)
    file.write_text(open_items(ROWS))
    process = company.start(SMALL_CHUNKS + COMMAND, "import", "receivables", file, "--json")
    for killed in range(2):
        for _ in range(draw.randint(1, 2)):
            assert process.stdout.readline() == "chunk\n", process.stderr.read()
        with suppress(subprocess.TimeoutExpired):  # somewhere in the next chunks
            process.wait(timeout=draw.uniform(0, 0.15))
        stop(process)
        assert process.returncode == -9
        if killed == 0:
            code, said = company.command("import", "receivables", file)
            assert code == 2
            assert "items.csv is half in: " in said
            assert "topline import --resume 1" in said
            there = company.run(WHAT_IS_THERE)
            assert there["broken"] == []
            assert there["invoices"] == there["distinct"] < ROWS
            assert there["invoices"] % CHUNK == 0
        process = company.start(SMALL_CHUNKS + COMMAND, "import", "--resume", 1, "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert company.run(WHAT_IS_THERE) == whole(ROWS) | {"states": ["done"]}


@pytest.mark.parametrize(
    ("second", "refusal", "states"),
    [
        (1, ["file_imported", "items.csv is being imported, or is in already; nothing was changed."], ["checked", "done"]),
        (51, ["invoice_number_taken", None], ["checked", "done"]),
    ],
    ids=["the same file", "another file with numbers of the first"],
)
def test_of_two_imports_at_once_one_is_written_and_the_other_told_why_not(company, tmp_path, open_items, second, refusal, states):
    rivals = []
    for name, first in (("a.csv", 1), ("b.csv", second)):
        (tmp_path / name).write_text(open_items(100, first=first))
        rivals.append(company.start(AT_ONCE, tmp_path / name))
    for rival in rivals:
        assert rival.stdout.readline() == "ready\n", rival.stderr.read()
    for rival in rivals:
        rival.stdin.write("go\n")
        rival.stdin.flush()
    ended = [rival.communicate(timeout=100) for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0, 0], ended
    told = [json.loads(out.splitlines()[-1]) for out, _ in ended]
    assert "done" in told
    told.remove("done")
    assert told[0][0] == refusal[0]
    assert refusal[1] in (None, told[0][1])
    there = company.run(WHAT_IS_THERE)
    assert (there["invoices"], there["distinct"], there["states"], there["broken"]) == (100, 100, states, [])


def test_a_worker_killed_in_the_middle_of_a_message_leaves_it_waiting_and_it_is_handled_once(company):
    worker = company.start(NOTE + WORKER + "outbox.drain({'note': handle})", 60)
    assert worker.stdout.readline() == "begun\n", worker.stderr.read()
    stop(worker)
    assert company.run(WORKER + HANDLED, 0) == ["waiting", "done", 1]


def test_a_backup_made_while_others_write_is_whole_and_its_restore_passes_every_proof(company, tmp_path):
    from tests.faults.house import House, place

    writer, archive = company.start(WRITER), tmp_path / "copy.tar.gz"
    assert writer.stdout.readline() == "writing\n", writer.stderr.read()
    code, said = company.command("backup", archive)
    still_writing = writer.poll() is None
    stop(writer)
    assert (code, still_writing) == (0, True), said
    written = company.run(WHAT_IS_THERE)["payments"]
    with place() as environment:
        other = House(environment)
        code, said = other.command("restore", archive)
        assert code == 0, said
        restored = other.run(WHAT_IS_THERE)
    assert restored["broken"] == []
    assert 80 <= restored["payments"] <= written
    assert restored["payments"] % 20 == 0
    assert company.command("restore", archive) == (
        2,
        "There are books here already; a restore would overwrite them. Use an empty TOPLINE_HOME or database.",
    )


def test_a_damaged_backup_is_refused_in_a_sentence_and_nothing_is_brought_in(company, tmp_path):
    from tests.faults.house import House, place
    from topline.cli.copies import DUMP, SQLITE

    good = tmp_path / "good.tar.gz"
    assert company.command("backup", good)[0] == 0
    whole, middle = good.read_bytes(), good.stat().st_size // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    spoilt = {"cut short": whole[:middle], "flipped": flipped, "checksum": whole[:-6] + b"\0" * 6, "none": b"no archive at all"}
    for name, content in spoilt.items():
        (tmp_path / name).write_bytes(content)
    inside = tmp_path / (SQLITE if company.is_sqlite else DUMP)
    inside.write_bytes(b"SQLite format 3\0" + b"\7" * 5_000)
    with tarfile.open(tmp_path / "inside", "w:gz") as made:
        made.add(inside, arcname=inside.name)
    with gzip.open(tmp_path / "empty", "wb") as made:
        made.write(b"")
    with place() as environment:
        paths = [tmp_path / name for name in (*spoilt, "inside", "empty")]
        told, tables, has_files = House(environment).run(REFUSED, *paths)
    assert (tables, has_files) == ([], False)
    for name, sentence in zip(spoilt, told, strict=False):
        assert sentence.startswith(f"{name} is no backup that can be read: "), sentence
    assert told[4].startswith("The copy in the archive is damaged: " if company.is_sqlite else "pg_restore failed: ")
    assert told[5].startswith("empty is no backup that can be read: ")


def test_a_full_disk_is_one_sentence_nothing_is_half_written_and_the_import_goes_on_once_there_is_room(
    company, tmp_path, open_items
):
    if not company.is_sqlite:
        pytest.skip("the size of a PostgreSQL database cannot be limited")
    file = tmp_path / "items.csv"
    file.write_text(open_items(ROWS))
    code, said = company.command("import", "receivables", file, script=FULL + SMALL_CHUNKS)
    assert code == 2
    assert f" of {ROWS:,} rows are in, then the database refused: database or disk is full." in said
    assert "topline import --resume 1" in said
    there = company.run(WHAT_IS_THERE)
    assert there["broken"] == []
    assert there["invoices"] == there["distinct"] < ROWS
    assert there["invoices"] % CHUNK == 0
    code, said = company.command("import", "--resume", 1)
    assert code == 0, said
    assert company.run(WHAT_IS_THERE) == whole(ROWS) | {"states": ["done"]}
