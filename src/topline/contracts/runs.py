"""The bill run: what should be billed by a day against what was, written part by part, issued and posted after somebody signs.

A part is a span of payers. It is billed whole or not at all, so a run that is killed goes on where it stopped; on PostgreSQL several workers take
parts of one run. The unique key of a charge refuses whatever would be billed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl
from django.db import connection
from django.db.models import Exists, Q, Sum
from django.db.models.functions import Coalesce

from topline.billing import actions as billing
from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.contracts import bills, wallets
from topline.contracts.models import BillRun, BillRunPart, Charge, Contract, Parked
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed, changed_many, inside
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.receivables import actions as receivables

PART = 5_000  # payers of a part
S = BillRun.State


class RunUnderWay(Conflict):
    """Another run of the company is not finished."""

    code = "run_under_way"


class RunNotDrafted(Conflict):
    """The run has parts that are not billed yet, or is final."""

    code = "run_not_drafted"


@action("contracts.start_run")
def start_run(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Begin the run up to a day, or go on with the one that is under way; returns its id. Raises: NotFound, RunUnderWay (another day)."""
    running = BillRun.objects.select_for_update().filter(entity_id=entity_id, state=S.RUNNING).first()
    if running is not None:
        ensure(running.as_of == as_of, RunUnderWay(f"The run of {running.as_of} is not finished.", field="as_of", remedy="Let it finish first: topline bill run."))  # fmt: skip
        return running.pk
    payers = bulk.read(Contract.objects.filter(entity_id=entity_id).order_by("bill_to_id").values("bill_to_id").distinct())
    ensure(payers.height > 0 or Entity.objects.filter(pk=entity_id).exists(), NotFound(f"There is no company {entity_id}.", field="entity_id"))  # fmt: skip
    made = BillRun.objects.create(entity_id=entity_id, as_of=as_of, started_at=clock.now(), started_by=actor.key)
    spans = (
        payers.with_row_index("_n")
        .group_by(part=pl.col("_n") // PART)
        .agg(first_payer_id=pl.col("bill_to_id").min(), last_payer_id=pl.col("bill_to_id").max())
    )
    rows = spans.sort("part").select("first_payer_id", "last_payer_id").to_dicts()
    BillRunPart.objects.bulk_create([BillRunPart(run=made, **row) for row in rows], batch_size=1_000)
    changed("bill_run", made.pk, after={"as_of": as_of, "parts": spans.height})
    return made.pk


@action("contracts.bill_part")
def bill_part(*, actor: Actor, run_id: int) -> int | None:
    """Bill the next part of a run as drafts; returns how many parts are left: with none the run is drafted. None: others are at all that is left.

    Work: a fixed number of statements a part, whatever it holds. Raises: NotFound.
    """
    open_parts = BillRunPart.objects.filter(run_id=run_id, is_done=False).order_by("id")
    part = open_parts.select_related("run__entity").select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked, of=("self",)).first()  # fmt: skip
    if part is not None:
        _bill(actor, part.run, part)
    done = BillRun.objects.filter(~Exists(open_parts.order_by()), pk=run_id, state=S.RUNNING).update(
        state=S.DRAFTED, finished_at=clock.now()
    )
    if done:
        changed("bill_run", run_id, after={"state": S.DRAFTED})
        return 0
    left = open_parts.count()
    if not left:
        _run(run_id)  # there is none, or it was drafted before
    return left if part is not None or not left else None


@action("contracts.sign_run")
def sign_run(*, actor: Actor, run_id: int, issue_on: date, limit: int = PART) -> int:
    """Issue the drafts of a run, at most `limit` at once: legal numbers, ledger, milestones, credit notes against what they correct, and what credits pay; returns how many are left.

    With none left the run is final. Issuing again what is issued changes nothing. Work: what is read and written depends on `limit`, not on how large the
    run is. Raises: NotFound, RunNotDrafted, and what issuing refuses.
    """
    run = _run(run_id, is_locked=True)
    ensure(run.state == S.DRAFTED, RunNotDrafted(f"The run of {run.as_of} is {run.state}.", field="run_id", remedy="Bill all its parts first." if run.state == S.RUNNING else ""))  # fmt: skip
    ids, left = _next(run, limit)
    if ids:
        issued = inside(billing.issue_invoices)(actor=actor, invoice_ids=ids, issue_on=issue_on)
        notes = issued.filter((pl.col("kind") == Invoice.Kind.CREDIT_NOTE) & pl.col("corrects_id").is_not_null())
        if notes.height:
            receivables.settle_corrections(actor=actor, credit_note_ids=notes["invoice_id"].to_list(), on=issue_on)
        wallets.settle_run(actor=actor, entity_id=run.entity_id, invoice_ids=ids, on=issue_on)
    run.signed_by = run.signed_by or actor.key  # who signed first; the worker issues the rest in their name
    if not left:
        run.state, run.finished_at = S.FINAL, clock.now()
    run.save()
    changed("bill_run", run.pk, after={"issued": len(ids), "left": left})
    return left


@action("contracts.void_run")
def void_run(*, actor: Actor, run_id: int, because: str, limit: int = PART) -> int:
    """Take a run back before anybody signs it: its drafts are void, at most `limit` at once, and the next run bills their periods. Returns how many are left.

    Raises: NotFound, RunNotDrafted (not billed whole, signed or final), Invalid (no reason).
    """
    ensure(bool(because.strip()), Invalid("Say why it is taken back.", field="because"))
    run = _run(run_id, is_locked=True)
    ensure(run.state == S.DRAFTED and not run.signed_by, RunNotDrafted(f"The run of {run.as_of} is {'signed' if run.signed_by else run.state}.", field="run_id", remedy="What was issued is credited." if run.signed_by else "Bill all its parts first." if run.state == S.RUNNING else ""))  # fmt: skip
    ids, left = _next(run, limit)
    if ids:
        inside(billing.void_invoices)(
            actor=actor, invoice_ids=ids, void_on=clock.today(run.entity.time_zone), reason=because.strip()
        )
    if not left:
        run.state, run.finished_at = S.VOID, clock.now()
        run.save()
    changed("bill_run", run.pk, after={"void": len(ids), "left": left, "because": because.strip()})
    return left


@action("contracts.release_parked")
def release_parked(*, actor: Actor, parked_id: int, because: str) -> int:
    """Say that a parked contract was looked at and may be billed: the next run leaves out the bounds for it. Returns the row's id.

    What is missing (a price, a tax rate) is not waived: it is mended. Raises: NotFound, Invalid (no reason).
    """
    ensure(bool(because.strip()), Invalid("Say why it is right.", field="because"))
    found = Parked.objects.select_for_update().filter(pk=parked_id, cleared_at__isnull=True).first()
    if found is None:
        raise NotFound(f"Nothing is parked under {parked_id}.", field="parked_id")
    found.is_released = True
    found.save()
    changed("parked", found.pk, after={"released": True, "because": because.strip()})
    return found.pk


def run(
    *, actor: Actor, entity_id: int, as_of: date, sign: bool = True, issue_on: date | None = None, tell: Callable[[str], None] = lambda _: None
) -> BillRun:  # fmt: skip
    """Start or go on with a run, bill every part and, if asked to, issue all drafts, also those that `waiting` names; each part and each batch commits by itself, and
    `tell` hears what is left. issue_on: the day that documents bear (default as_of)."""
    run_id = start_run(actor=actor, entity_id=entity_id, as_of=as_of)
    while left := bill_part(actor=actor, run_id=run_id):
        tell(f"Parts left to bill: {left:,}")

    def issue(pk: int) -> None:
        while left := sign_run(actor=actor, run_id=pk, issue_on=issue_on or as_of):
            tell(f"Documents left to issue: {left:,}")

    if not sign:
        return BillRun.objects.get(pk=run_id)
    issue(run_id)
    found = {r.pk: r for r in BillRun.objects.filter(Q(pk=run_id) | _waiting(as_of), entity_id=entity_id)}
    for pk in sorted(found.keys() - {run_id}):
        issue(pk)
    return found[run_id]


def waiting(entity_id: int, *, as_of: date) -> list[int]:
    """Runs whose drafts a run up to a day issues too: they are of the same day, or somebody signed them and it was stopped."""
    return list(BillRun.objects.filter(_waiting(as_of), entity_id=entity_id).order_by("id").values_list("id", flat=True))


def unbilled(entity_id: int) -> dict[str, int]:
    """What stands in drafts of runs, by currency in minor units."""
    drafts = Invoice.objects.filter(entity_id=entity_id, state=Invoice.State.DRAFT, pk__in=Charge.objects.values("invoice_id"))
    return dict(drafts.order_by().values_list("currency").annotate(sum=Coalesce(Sum("net_minor"), 0)))


# --- parts ---
def _waiting(as_of: date) -> Q:
    return (Q(as_of=as_of) | ~Q(signed_by="")) & Q(state=S.DRAFTED)


def _bill(actor: Actor, run: BillRun, part: BillRunPart) -> None:
    """Write the drafts of a part and what is parked of it."""
    contracts = Contract.objects.filter(entity_id=run.entity_id, bill_to_id__gte=part.first_payer_id, bill_to_id__lte=part.last_payer_id)  # fmt: skip
    bill = bills.compute(contracts, entity=run.entity, as_of=run.as_of, on=clock.today(run.entity.time_zone))
    written = _write(actor, run, bill)
    _park(run, bill)
    part.is_done, part.contracts, part.charges, part.documents = True, bill.contracts, bill.lines.height, len(written)
    part.first_invoice_id, part.last_invoice_id, part.is_issued = (
        min(written, default=None),
        max(written, default=None),
        not written,
    )
    part.save()
    changed(
        "bill_run_part", part.pk, after={"charges": bill.lines.height, "documents": len(written), "parked": bill.parked.height}
    )


def _next(run: BillRun, limit: int) -> tuple[list[int], int]:
    """The next drafts of a run, at most so many, and how many come after them; parts of which nothing is left are marked."""
    waiting, ids, left = list(run.parts.filter(is_issued=False).order_by("id")), dict[int, None](), 0
    while waiting and not left:
        drafts = [pk for pk in _drafts(waiting[0]) if pk not in ids]
        room = limit - len(ids)
        ids.update(dict.fromkeys(drafts[:room]))
        left = len(drafts[room:])
        if not left:
            part = waiting.pop(0)
            part.is_issued = True
            part.save(update_fields=["is_issued"])
    return list(ids), left + sum(part.documents for part in waiting[1:])


def _drafts(part: BillRunPart) -> list[int]:
    """Ids of what waits to be issued of a part, ascending. At most two statements, each a range of one index, so that no stale statistics can mislead a planner."""
    first, last = part.first_invoice_id, part.last_invoice_id
    if first is None or last is None:
        return []
    drafts = list(Invoice.objects.filter(pk__gte=first, pk__lte=last, state=Invoice.State.DRAFT).order_by("pk").values_list("pk", flat=True))  # fmt: skip
    if last - first + 1 == part.documents:
        return drafts  # nobody else's lie between them
    charges = Charge.objects.filter(invoice_id__gte=first, invoice_id__lte=last).values_list("invoice_id", "run_id")
    ours = {invoice_id for invoice_id, run_id in charges if run_id == part.run_id}
    return [pk for pk in drafts if pk in ours]


def _run(run_id: int, *, is_locked: bool = False) -> BillRun:
    asked = BillRun.objects.select_for_update(of=("self",)) if is_locked else BillRun.objects
    found = asked.select_related("entity").filter(pk=run_id).first()
    if found is None:
        raise NotFound(f"There is no bill run {run_id}.", field="run_id")
    return found


def _write(actor: Actor, run: BillRun, bill: bills.Bill) -> list[int]:
    """Write documents, lines and charges; returns the ids of the documents."""
    if bill.heads.is_empty():
        return []
    corrected = bill.heads["corrects_id"].drop_nulls().len() > 0
    heads = bill.heads if corrected else bill.heads.drop("corrects_id")
    lines = bill.lines.select(
        "ref",
        "position",
        "tax_category",
        "tax_rate_ppm",
        "product_id",
        description="text",
        quantity_micro="line_quantity",
        unit_price_nano="line_price",
        **({"credits_micro": "line_credits"} if corrected else {}),
    )
    made = inside(billing.draft_invoices)(
        actor=actor, entity_id=run.entity_id, invoices=heads, lines=lines, tax_rounding=run.entity.tax_rounding
    ).select("ref", "invoice_id")
    columns = [
        "item_id",
        "full_start",
        "full_end",
        "sequence",
        "start",
        "end",
        "days",
        "full_days",
        "net_minor",
        "invoice_id",
        "position",
    ]
    rows = bill.lines.join(made, on="ref", maintain_order="left").with_columns(pl.col("explained").fill_null("[]"))
    written = bulk.insert(Charge, rows.select(*columns, "explained", quantity_micro="used_micro", run_id=pl.lit(run.pk)))
    changed_many("charge", written["id"])
    return made["invoice_id"].to_list()


def _park(run: BillRun, bill: bills.Bill) -> None:
    """Note what was left out, once for each contract; a contract that was billed is cleared."""
    Parked.objects.bulk_create(
        [Parked(**row, since=run.as_of, run=run) for row in bill.parked.to_dicts() if row["contract_id"] not in bill.known_parked]
    )
    billed = bill.known_parked & set(bill.lines["contract_id"].unique())
    if billed:
        Parked.objects.filter(contract_id__in=billed, cleared_at__isnull=True).update(cleared_at=clock.now())
