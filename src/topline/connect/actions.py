"""Verbs of the import room: check a file, write it in chunks that are each whole, take a whole file back.

A batch remembers its file by its hash: the same file twice changes nothing. Killed in the middle, it goes on where it stood;
what a chunk writes and the count of what is done commit together.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, cast

import polars as pl
from django.conf import settings

from topline.bank import actions as bank
from topline.bank.formats import Statement, is_bank_file, read_statements
from topline.bank.models import BankAccount, BankStatement
from topline.billing import actions as billing
from topline.billing.models import Invoice, InvoiceLine
from topline.books import actions as books
from topline.books.models import Entity, Entry, Transfer
from topline.catalog import queries as catalog
from topline.connect import readers, selling, sheets
from topline.connect.models import ImportBatch, ImportProblem
from topline.engine.sheets import Profile
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.database import analyze, lock
from topline.kernel.errors import Conflict, DomainError, Invalid, NotFound, ensure
from topline.leads import actions as leads
from topline.market import actions as market
from topline.market import competitors, experience
from topline.market import queries as customers
from topline.market.models import Customer, ExperienceRecord
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Opportunity, OpportunityChange, OpportunityLine
from topline.receivables import actions as receivables
from topline.receivables import queries as cash
from topline.receivables.models import Allocation, Payment
from topline.timeline import actions as timeline
from topline.treasury import actions as treasury
from topline.treasury.models import PayPlan

CHUNK = 20_000
KINDS = (
    "receivables",
    "payments",
    "customers",
    "payroll",
    "bank",
    "rates",
    "products",
    "reps",
    "opportunities",
    "quotas",
    "experience",
    "leads",
)
WHOLE = {"payroll", "reps"}  # kinds whose rows name each other
AT_ONCE = {"payroll", "bank"}  # kinds of which no rest can come in later
MAX_PROBLEMS = 1_000
MAX_BYTES = 256 * 1024 * 1024
OWN_PROFILE = "own_profile"  # a batch keeps the caller's profile: it is read again when the batch goes on
S = ImportBatch.State


class FileImported(Conflict):
    """The same file is in already."""

    code = "file_imported"


class ImportHasDependants(Conflict):
    """Later work rests on what the import wrote."""

    code = "import_has_dependants"


class ImportNotReady(Conflict):
    """The batch is not in a state for this."""

    code = "import_not_ready"


class FileTooLarge(Invalid):
    """The file is larger than what is read at once."""

    code = "file_too_large"


def ensure_readable(size: int, *, name: str) -> None:
    """Raises: FileTooLarge; asked with the size alone, before a byte is read into memory."""
    ensure(
        size <= MAX_BYTES,
        FileTooLarge(
            f"{name} has {size:,} bytes; at most {MAX_BYTES:,} are read.", field="file", remedy="Split it into smaller files."
        ),
    )


@action("connect.check_file")
def check_file(
    *,
    actor: Actor,
    entity_id: int,
    kind: str,
    content: bytes,
    file_name: str,
    profile: str = "",
    own_profile: str = "",
    options: dict[str, Any] | None = None,
) -> int:
    """Dry run: read a file, tell what was detected and which rows cannot be taken; nothing is booked. Returns the batch's id.

    A file of which rows were refused may come again when they can come in: then those rows alone are read.
    profile  name of a profile of ours; own_profile: the text of the caller's own in YAML, of which profile is then the name
    options  what the caller says on top of the profile: currency, bank_account, date_order, decimal_mark, first_payday, ...
    Raises: FileTooLarge, FileImported, SheetRefused and StatementRefused (nothing of the file can be taken), NotFound (profile).
    """
    ensure(kind in KINDS, NotFound(f"{kind!r} cannot be imported.", field="kind", remedy=f"Use one of {', '.join(KINDS)}."))
    ensure_readable(len(content), name=file_name)
    sha = hashlib.sha256(content).hexdigest()
    same = ImportBatch.objects.filter(entity_id=entity_id, kind=kind, file_sha256=sha, state__in=[S.RUNNING, S.DONE]).last()
    if same is not None and same.state == S.RUNNING:
        raise FileImported(
            f"{file_name} is half in: {same.rows_done} of {same.rows_total} rows (batch {same.pk}).",
            field="file",
            remedy=f"Let it finish, or go on where it stopped: topline import --resume {same.pk}.",
            batch_id=same.pk,
        )
    if same is not None and (not same.rows_refused or (kind in AT_ONCE and same.rows_done)):
        raise _is_in(same, file_name)
    given = {name: value for name, value in (options or {}).items() if value not in (None, "") and name != OWN_PROFILE}
    if own_profile:
        given[OWN_PROFILE] = own_profile
    batch = ImportBatch(
        entity_id=entity_id, kind=kind, profile=profile[:60], file_name=file_name[:200], file_sha256=sha, file_bytes=len(content), settings=given,
        actor_key=actor.key, recorded_at=clock.now(), rest_of=same,
    )  # fmt: skip
    problems = _look_at(batch, content)
    if same is not None and same.rows_done and not batch.rows_total:
        raise _is_in(same, file_name, f" Its refused rows are still refused; the first: {problems.sort('row')['message'][0]}")
    batch.save()
    _keep_file(sha, content)
    bulk.insert(
        ImportProblem,
        problems.head(MAX_PROBLEMS).select(
            "row",
            pl.col("column").str.slice(0, 100),
            pl.col("value").str.slice(0, 200),
            "code",
            pl.col("message").str.slice(0, 500),
            "remedy",
            batch_id=pl.lit(batch.pk),
        ),
    )
    changed("import_batch", batch.pk, after={"file": file_name, "rows": batch.rows_total, "refused": batch.rows_refused})
    return batch.pk


@action("connect.run_import", replayable=False)
def run_import(*, actor: Actor, batch_id: int) -> bool:
    """Write the next chunk of a checked file, whole or not at all; returns whether more is left.

    Call it until it says no; a batch that was interrupted goes on where it stood.
    Raises: ImportNotReady, FileImported, and whatever the rooms refuse (the chunk is then not written).
    """
    batch = _locked(batch_id)
    # files of one company go in one after the other: the later sees what the earlier wrote, and is told so
    lock(f"import:{batch.entity_id}")
    ensure(
        batch.state in {S.CHECKED, S.RUNNING},
        ImportNotReady(f"Batch {batch_id} is {batch.state}.", field="batch_id", remedy="Import the file again."),
    )
    rival = ImportBatch.objects.filter(
        entity_id=batch.entity_id, kind=batch.kind, file_sha256=batch.file_sha256, state__in=[S.RUNNING, S.DONE]
    )
    ensure(
        not rival.filter(rest_of=batch.rest_of).exclude(pk=batch_id).exists(),
        FileImported(f"{batch.file_name} is being imported, or is in already; nothing was changed.", field="batch_id"),
    )
    content = kept_file(batch.file_sha256).read_bytes()
    if batch.kind == "bank":
        _write_statements(actor, batch, content)
        batch.rows_done = batch.rows_total
    else:
        using = profile_of(batch)
        rows = kept_rows(batch, content).slice(batch.rows_done, None if batch.kind in WHOLE else CHUNK)
        WRITERS[batch.kind](actor, batch, using, rows)
        batch.rows_done += rows.height
    batch.state = S.RUNNING if batch.rows_done < batch.rows_total else S.DONE
    if batch.state == S.DONE:
        batch.finished_at = clock.now()
        analyze(*FILLED.get(batch.kind, ()))
        timeline.record_one(
            "import_finished",
            subject="import_batch",
            subject_id=batch_id,
            actor=actor,
            note=f"{batch.file_name}: {batch.rows_done} rows",
        )
    batch.save()
    changed("import_batch", batch_id, after={"state": batch.state, "rows_done": batch.rows_done})
    return bool(batch.state == S.RUNNING)


@action("connect.undo_import")
def undo_import(*, actor: Actor, batch_id: int, on: date, reason: str = "") -> int:
    """Take back all that a file brought: reversing entries, void documents, deals that count nowhere; returns the batch's id.

    Customers, products and sales people stay.

    Raises: ImportNotReady, ImportHasDependants with what rests on it, books.PeriodLocked.
    """
    batch = _locked(batch_id)
    ensure(batch.state in {S.DONE, S.RUNNING}, ImportNotReady(f"Batch {batch_id} is {batch.state}.", field="batch_id"))
    ensure(
        batch.kind != "rates",
        ImportHasDependants(
            "Amounts were valued at these rates; they are not taken back.",
            field="batch_id",
            remedy="Import the right rates: they replace these.",
        ),
    )
    ensure(
        batch.kind != "quotas",
        ImportHasDependants(
            "A quota that was known is not forgotten; it is replaced.",
            field="batch_id",
            remedy="Import the right quotas: they replace these.",
        ),
    )
    rest = ImportBatch.objects.filter(rest_of=batch, state__in=[S.DONE, S.RUNNING]).first()
    if rest is not None:
        raise ImportHasDependants(
            f"Batch {rest.pk} brought the rest of the file.", field="batch_id", remedy=f"Take batch {rest.pk} back first."
        )
    invoices = list(
        Invoice.objects.filter(import_batch_id=batch_id).exclude(state=Invoice.State.VOID).values_list("id", flat=True)
    )
    received = dict(
        Payment.objects.filter(import_batch_id=batch_id, state=Payment.State.RECEIVED).values_list("id", "received_on")
    )
    payments = list(received)
    _ensure_free(batch_id, invoices, payments)
    if payments:
        day = max(on, *received.values())  # the file may tell of money to come
        receivables.return_payments(actor=actor, payment_ids=payments, on=day, reason=f"Import {batch_id} undone")
    if invoices:
        billing.void_invoices(actor=actor, invoice_ids=invoices, void_on=on, reason=f"Import {batch_id} undone")
    statements = list(BankStatement.objects.filter(import_batch_id=batch_id, is_undone=False).values_list("id", flat=True))
    if statements:
        bank.undo_statements(actor=actor, statement_ids=statements, on=on, reason=f"Import {batch_id} undone")
    PayPlan.objects.filter(import_batch_id=batch_id).delete()
    if batch.kind == "opportunities":
        pipeline.withdraw_opportunities(actor=actor, import_batch_id=batch_id, on=on)
    if batch.kind == "leads":
        leads.withdraw_leads(actor=actor, import_batch_id=batch_id, on=on)
    ExperienceRecord.objects.filter(import_batch_id=batch_id).delete()
    batch.state = S.UNDONE
    batch.finished_at = clock.now()
    batch.save()
    changed("import_batch", batch_id, after={"state": "undone", "reason": reason})
    timeline.record_one("import_undone", subject="import_batch", subject_id=batch_id, actor=actor, on=on, note=reason)
    return batch_id


def profile_of(batch: ImportBatch) -> Profile:
    """The profile of a batch with what the caller said on top."""
    using = readers.profile(batch.profile, batch.kind, own=batch.settings.get(OWN_PROFILE, ""))
    options = {name: value for name, value in batch.settings.items() if name != OWN_PROFILE}
    said = {k: options[k] for k in ("date_order", "decimal_mark") if k in options}
    try:
        return replace(using, constants=readers.options_of(using, options), **said)
    except TypeError as error:
        raise Invalid(f"The options do not fit: {error}.", field="options") from error


def kept_rows(batch: ImportBatch, content: bytes) -> pl.DataFrame:
    """The good rows of a batch's file, read again as they were when it was checked: rows written meanwhile do not shift them."""
    ready = _ready(batch, content, entity_id=None)
    refused = bulk.read(ImportProblem.objects.filter(batch=batch).values("row"))
    return ready.rows.join(refused, on="row", how="anti", maintain_order="left")


def currency_of(batch: ImportBatch) -> str:
    """The currency of amounts of which the file says none."""
    return str(profile_of(batch).constants.get("currency") or _currency(batch))


def kept_file(sha: str) -> Path:
    """Where the file of a batch is kept, by its hash."""
    return Path(settings.ENVIRONMENT.home) / "imports" / sha


def _look_at(batch: ImportBatch, content: bytes) -> pl.DataFrame:
    """Fill in what a dry run finds: rows, refusals, detected facts; returns the problems."""
    if batch.kind == "bank":
        statements = _statements(batch, content)
        batch.rows_total = sum(len(s.entries) for s in statements)
        batch.detected = {
            "statements": str(len(statements)),
            "accounts": ", ".join(sorted({s.account for s in statements if s.account})),
        }
        return pl.DataFrame(schema=sheets.PROBLEM)
    if is_bank_file(content):
        raise Invalid(
            f"{batch.file_name} is a bank statement.", field="kind", remedy="Choose Bank statement, or topline import bank."
        )
    ready = _ready(batch, content, entity_id=batch.entity_id)
    batch.rows_total = ready.rows.height
    batch.rows_refused = ready.problems["row"].n_unique()
    batch.detected = ready.detected
    ensure(
        batch.rows_refused <= MAX_PROBLEMS,
        Invalid(
            f"{batch.rows_refused} rows of {batch.file_name} cannot be read; the first: {ready.problems['message'][0] if ready.problems.height else ''}",
            field="file",
            remedy="Choose another profile, or mend the file.",
        ),
    )
    return ready.problems


def _ready(batch: ImportBatch, content: bytes, *, entity_id: int | None) -> sheets.Ready:
    ready = readers.read(
        batch.kind, content, name=batch.file_name, using=profile_of(batch), entity_id=entity_id, currency=_currency(batch)
    )
    if batch.rest_of_id is None:
        return ready
    left = bulk.read(ImportProblem.objects.filter(batch_id=batch.rest_of_id).values("row")).unique()
    rows, problems = (part.join(left, on="row", how="semi", maintain_order="left") for part in (ready.rows, ready.problems))
    return replace(ready, rows=rows, problems=problems)


def _is_in(same: ImportBatch, file_name: str, more: str = "") -> FileImported:
    """The refusal of a file that an earlier batch brought."""
    return FileImported(
        f"{file_name} is in already ({same.recorded_at:%d %b %Y}, batch {same.pk}); nothing was changed.{more}",
        field="file",
        batch_id=same.pk,
    )


def _currency(batch: ImportBatch) -> str:
    """The currency that the caller named, else that of the company."""
    return str(batch.settings.get("currency") or Entity.objects.get(pk=batch.entity_id).currency)


def _write_receivables(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Customers that are new, open items, and for paid ones the payment that settled them."""
    rows = _with_customers(actor, rows, names="customer_name", batch_id=batch.pk)
    things = catalog.find(rows["product"].filter(rows["product"] != "")).rename({"value": "product"})
    rows = rows.join(things, on="product", how="left", maintain_order="left")
    rows = rows.with_columns(quantity_micro=pl.col("quantity").fill_null(1) * 10**6)
    against = cast(Literal["opening_balance", "revenue"], using.constants.get("against", "opening_balance"))
    items = rows.select(
        "number",
        "customer_id",
        "currency",
        "issued_on",
        "due_on",
        "total_minor",
        "kind",
        "tax_minor",
        "memo",
        "purchase_order",
        "terms",
        "product_id",
        "quantity_micro",
    )
    made = billing.import_open_items(
        actor=actor, entity_id=batch.entity_id, items=items, against=against, import_batch_id=batch.pk
    )
    paid = rows.join(made, on="number").filter(pl.col("paid_on").is_not_null())
    if paid.is_empty():
        return
    account = _bank_account(actor, batch, using, str(paid["currency"][0]))
    taken = receivables.record_payments(
        actor=actor, entity_id=batch.entity_id, import_batch_id=batch.pk,
        payments=paid.select("customer_id", "currency", "total_minor", "paid_on", reference="number", bank_account_id=pl.lit(account, dtype=pl.Int64)).rename(
            {"total_minor": "amount_minor", "paid_on": "received_on"}
        ),
    )  # fmt: skip
    links = paid.select("invoice_id", amount_minor="total_minor", effective_on="paid_on").with_columns(taken["payment_id"])
    receivables.apply_cash(actor=actor, links=links)


def _write_payments(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Payments; those that name an invoice are applied to it, at most what is open."""
    invoices = bulk.read(
        Invoice.objects.filter(entity_id=batch.entity_id, number__in=rows["invoice"].unique().to_list()).values(
            "id", "number", "customer_id", "currency", "total_minor", "allocated_minor"
        )
    )
    rows = rows.join(
        invoices.select(
            invoice="number",
            invoice_id="id",
            owner_id="customer_id",
            invoice_currency="currency",
            rest=pl.col("total_minor") - pl.col("allocated_minor"),
        ),
        on="invoice",
        how="left",
        maintain_order="left",
    )
    known = customers.find(rows["customer"].filter(rows["customer"] != ""))
    rows = rows.join(
        known.rename({"value": "customer", "customer_id": "named_id"}), on="customer", how="left", maintain_order="left"
    )
    rows = rows.with_columns(customer_id=pl.coalesce("named_id", "owner_id"))
    account = _bank_account(actor, batch, using, str(rows["currency"][0]))
    payments = rows.select(
        "customer_id",
        "currency",
        "reference",
        "payer_name",
        amount_minor="amount",
        received_on="received_on",
        bank_account_id=pl.lit(account, dtype=pl.Int64),
    )
    if bool((rows["number"] != "").all()):
        payments = payments.with_columns(rows["number"])
    taken = receivables.record_payments(actor=actor, entity_id=batch.entity_id, payments=payments, import_batch_id=batch.pk)
    linked = rows.with_columns(taken["payment_id"]).filter(
        pl.col("invoice_id").is_not_null() & (pl.col("invoice_currency") == pl.col("currency"))
    )
    before = pl.col("amount").cum_sum().over("invoice_id") - pl.col("amount")
    links = linked.with_columns(amount_minor=pl.min_horizontal("amount", (pl.col("rest") - before).clip(0))).filter(
        pl.col("amount_minor") > 0
    )
    if links.height:
        receivables.apply_cash(
            actor=actor, links=links.select("payment_id", "invoice_id", "amount_minor", effective_on="received_on")
        )


def _write_customers(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    market.add_customers(
        actor=actor,
        customers=rows.select(
            "number", "name", "legal_name", "tax_id", "country", "currency", "terms", "segment", import_batch_id=pl.lit(batch.pk)
        ),
    )


def _write_payroll(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """One pay plan of all people in the file; pay days and lead come from profile and options."""
    constants = using.constants
    first = constants.get("first_payday")
    ensure(
        first is not None,
        Invalid(
            "When is the first payday? The file does not say.",
            field="first_payday",
            remedy="Say it: --first-payday 2026-01-09 (or in the profile).",
        ),
    )
    currency = currency_of(batch)
    account = (
        BankAccount.objects.filter(entity_id=batch.entity_id, currency=currency, is_closed=False)
        .order_by("-pays_payroll", "id")
        .first()
    )
    treasury.set_pay_plan(
        actor=actor,
        entity_id=batch.entity_id,
        name=str(constants.get("name", "Payroll")),
        currency=currency,
        frequency=str(constants.get("frequency", "biweekly")),
        first_payday=first if isinstance(first, date) else date.fromisoformat(str(first)),
        lines=rows.select("person", "group", amount_minor="amount"),
        debit_lead_days=int(constants.get("debit_lead_days", 2)),
        employer_cost_ppm=int(constants.get("employer_cost_ppm", 0)),
        bank_account_id=account.pk if account else None,
        import_batch_id=batch.pk,
    )


def _write_rates(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """Dated rates for the whole house: a rate of a file replaces what stood for its currency and day."""
    books.add_rates(actor=actor, table=rows.select("currency", "on", "per_euro"), source=f"import:{batch.pk}")


def _write_experience(actor: Actor, batch: ImportBatch, using: Profile, rows: pl.DataFrame) -> None:
    """What customers told: customers and competitors are found by name again, as they are now."""
    known = customers.find(rows["customer"].filter(rows["customer"] != ""))
    rivals = {name.lower(): pk for pk, name in competitors.names().items()}
    found = rows.join(known.rename({"value": "customer"}), on="customer", how="left", maintain_order="left").with_columns(
        competitor_id=pl.col("subject").str.to_lowercase().replace_strict(rivals, default=None, return_dtype=pl.Int64)
    )
    experience.record_experience(actor=actor, records=found, import_batch_id=batch.pk)


WRITERS = {
    "receivables": _write_receivables,
    "payments": _write_payments,
    "customers": _write_customers,
    "payroll": _write_payroll,
    "rates": _write_rates,
    "products": selling.write_products,
    "reps": selling.write_reps,
    "opportunities": selling.write_opportunities,
    "quotas": selling.write_quotas,
    "experience": _write_experience,
    "leads": selling.write_leads,
}
FILLED = {  # tables that a file of a kind can fill from nothing
    "customers": (Customer,),
    "opportunities": (Opportunity, OpportunityChange, OpportunityLine),
    "receivables": (Customer, Invoice, InvoiceLine, Payment, Allocation, Entry, Transfer),
    "payments": (Payment, Allocation, Entry, Transfer),
}


def _write_statements(actor: Actor, batch: ImportBatch, content: bytes) -> None:
    statements = _statements(batch, content)
    named = str(batch.settings.get("bank_account", ""))
    default = BankAccount.objects.filter(entity_id=batch.entity_id, name=named).first() if named else None
    for statement in statements:
        mine = BankAccount.objects.filter(entity_id=batch.entity_id, currency=statement.currency)
        if statement.account and not named and not mine.filter(number=statement.account).exists():
            bank.add_account(
                actor=actor,
                entity_id=batch.entity_id,
                name=_free_name(batch.entity_id, statement.account),
                currency=statement.currency,
                number=statement.account,
            )
        elif default is None and (named or not statement.account):
            fallback = mine.order_by("id").first() if not named else None
            wanted = named or f"{statement.currency} account"
            default = fallback or BankAccount.objects.get(
                pk=bank.add_account(
                    actor=actor, entity_id=batch.entity_id, name=wanted, currency=statement.currency, number=statement.account
                )
            )
    bank.import_statements(
        actor=actor, entity_id=batch.entity_id, statements=statements, file_name=batch.file_name, file_sha256=batch.file_sha256,
        format=str(batch.detected.get("format", "")), default_account_id=default.pk if default else None, import_batch_id=batch.pk,
    )  # fmt: skip


def _statements(batch: ImportBatch, content: bytes) -> list[Statement]:
    """The statements of a bank file, read as the caller says."""
    said = {name: batch.settings.get(name) for name in ("date_order", "decimal_mark")}
    own = batch.settings.get(OWN_PROFILE, "")
    using = readers.profile(batch.profile, "bank", own=own) if own else batch.profile
    return read_statements(content, name=batch.file_name, currency=_currency(batch), profile=using, **said)


def _free_name(entity_id: int, wanted: str) -> str:
    taken = set(BankAccount.objects.filter(entity_id=entity_id, name__startswith=wanted).values_list("name", flat=True))
    return next(name for name in (wanted, *(f"{wanted} ({n})" for n in range(2, 100))) if name not in taken)


def _bank_account(actor: Actor, batch: ImportBatch, using: Profile, currency: str) -> int | None:
    """The account that the profile or the caller names; made when it is not there yet."""
    name = str(using.constants.get("bank_account", ""))
    if not name:
        return None
    found = BankAccount.objects.filter(entity_id=batch.entity_id, name=name).first()
    return found.pk if found else bank.add_account(actor=actor, entity_id=batch.entity_id, name=name, currency=currency)


def _with_customers(actor: Actor, rows: pl.DataFrame, *, names: str, batch_id: int) -> pl.DataFrame:
    """Rows with customer_id: found by number or name, else added under the text by which the file knows them."""
    found = customers.find(rows["customer"])
    missing = found.filter(pl.col("customer_id").is_null())
    if missing.height:
        firsts = rows.unique("customer", keep="first", maintain_order=True).join(
            missing.select(customer="value"), on="customer", how="semi", maintain_order="left"
        )
        fresh = firsts.select(
            "currency",
            "terms",
            number=pl.col("customer").str.slice(0, 40),
            name=pl.when(pl.col(names) == "").then("customer").otherwise(names),
            import_batch_id=pl.lit(batch_id),
        )
        added = market.add_customers(actor=actor, customers=fresh)
        made = firsts.select(value="customer").with_columns(added["customer_id"])
        found = pl.concat([found.drop_nulls("customer_id"), made])
    return rows.join(found.rename({"value": "customer"}), on="customer", how="left", maintain_order="left")


def _ensure_free(batch_id: int, invoices: list[int], payments: list[int]) -> None:
    """Refuse to undo when payments of other batches settled its documents, or its payments settle others' documents."""
    standing = cash.standing_allocations(payment_ids=payments, invoice_ids=invoices)
    mine = set(invoices), set(payments)
    odd = standing.filter(
        (pl.col("invoice_id").is_not_null() & ~pl.col("invoice_id").is_in(list(mine[0])))
        | (pl.col("payment_id").is_null())
        | ~pl.col("payment_id").is_in(list(mine[1]))
    )
    credit = (
        Invoice.objects.filter(corrects_id__in=invoices).exclude(state=Invoice.State.VOID).values_list("number", flat=True)[:5]
    )
    if odd.height or credit:
        numbers = Invoice.objects.filter(pk__in=odd["invoice_id"].drop_nulls().to_list()[:5]).values_list("number", flat=True)
        named = ", ".join(str(n) for n in [*numbers, *credit])
        raise ImportHasDependants(
            f"{odd.height + len(credit)} later bookings rest on batch {batch_id}, among them on {named}.",
            field="batch_id",
            remedy="Unapply or void them first.",
        )


def _locked(batch_id: int) -> ImportBatch:
    batch = ImportBatch.objects.select_for_update().filter(pk=batch_id).first()
    if batch is None:
        raise NotFound(f"There is no import {batch_id}.", field="batch_id")
    return batch


def _keep_file(sha: str, content: bytes) -> None:
    """Keep the file by its hash, whole or not at all."""
    path = kept_file(sha)
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{secrets.token_hex(4)}.part")  # the same file may come twice at once
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DomainError(
            f"The file could not be kept: {error.strerror}.", remedy="Free some disk space and import it again."
        ) from error
