"""Verbs of the pipeline: deals and what becomes of them. Every change of a deal leaves a row of history."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
from django.db import connection

from topline.books.models import Entity
from topline.engine.sales.history import changes_told
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market.models import Contact, Customer
from topline.pipeline import queries, territories
from topline.pipeline.models import (
    Category,
    Opportunity,
    OpportunityChange,
    OpportunityLine,
    OpportunitySnapshot,
    Rep,
    Stage,
)
from topline.pipeline.numbers import numbered
from topline.timeline import actions as timeline

DEAL: dict[str, Any] = {
    "ref": pl.String, "number": pl.String, "name": pl.String, "customer_id": pl.Int64, "rep_id": pl.Int64, "stage": pl.String, "category": pl.String,
    "amount_minor": pl.Int64, "currency": pl.String, "opened_on": pl.Date, "engaged_on": pl.Date, "close_on": pl.Date, "closed_on": pl.Date, "source": pl.String,
    "segment": pl.String, "next_step": pl.String, "loss_reason": pl.String, "competitor": pl.String, "import_batch_id": pl.Int64,
}  # fmt: skip
TEXTS = ["source", "segment", "next_step", "loss_reason", "competitor"]
DAYS = {
    "opened_on": "the day it was opened", "engaged_on": "the day of the first talk", "close_on": "the day it is expected to close", "closed_on": "the day it was closed",
}  # fmt: skip
CHANGEABLE = {"stage", "category", "amount_minor", "close_on", "rep_id", "next_step", "customer_id"}
FIELD = {"amount_minor": "amount", "rep_id": "rep"}  # how the history calls a column
ANY_DEAL = "pipeline.change_any"  # the right to change deals of others


class OpportunityNumberTaken(Conflict):
    """Another deal has the number."""

    code = "opportunity_number_taken"


class OpportunityClosed(Conflict):
    """The deal is won or lost."""

    code = "opportunity_closed"


class ChangeOutOfOrder(Conflict):
    """A later change of the deal is known already."""

    code = "change_out_of_order"


class NotYourDeal(Conflict):
    """Sales people change their own deals: the role is right, the owner is another."""

    code = "not_your_deal"


@action("pipeline.add_opportunities")
def add_opportunities(
    *,
    actor: Actor,
    entity_id: int,
    opportunities: pl.DataFrame,
    known_on: date,
    lines: pl.DataFrame | None = None,
    history: pl.DataFrame | None = None,
    entry_stage: str = "",
    engaged_stage: str = "",
) -> pl.DataFrame:
    """Add deals, open or closed, with what is known of their past.

    opportunities  one row per deal: name, rep_id, stage (key), currency; optional ref (for lines and history), number (else taken from the
                   series), customer_id, category (else the stage's usual one), amount_minor, opened_on, engaged_on, close_on (expected),
                   closed_on, source, segment, next_step, loss_reason, competitor, import_batch_id
    known_on       the day of which they tell; a deal without any day of its own begins on it
    lines          one row per line: ref, product_id; optional quantity_micro (default one unit), unit_price_nano and amount_minor together
    history        one row per change: ref, field, before, after, effective_on; without it the deals' own days tell their past
                   (engine.sales.history.changes_told), with `entry_stage` (default the first) and `engaged_stage`
    returns        one row per deal in the same order: opportunity_id i64, number str
    Work: a fixed number of statements.
    Raises: Invalid (name, rep, stage, category, currency, amount, days out of order or not come yet, won without amount or day),
    OpportunityNumberTaken.
    """
    if opportunities.is_empty():
        return pl.DataFrame(schema={"opportunity_id": pl.Int64, "number": pl.String})
    frame, now = _deals(opportunities), clock.now()
    _check_deals(entity_id, frame, known_on)
    rows = frame.select(
        *(c for c in frame.columns if c not in {"ref", "stage", "kind"}),
        state="kind",
        entity_id=pl.lit(entity_id),
        created_at=pl.lit(now),
    )
    written = bulk.insert(Opportunity, rows).with_columns(frame["ref"])
    ids = written.select("ref", opportunity_id="id")
    if lines is not None and lines.height:
        placed = lines.join(ids, on="ref", how="left", maintain_order="left").drop("ref")
        ensure(placed["opportunity_id"].null_count() == 0, Invalid("A line names no deal of the batch.", field="ref"))
        bulk.insert(OpportunityLine, placed)
    if history is None:
        steps = queries.stages()
        first = entry_stage or str(steps.filter(pl.col("kind") == "open")["key"][0])
        usual = dict(steps.select("key", "category").iter_rows())
        told = frame.with_columns(is_closed=pl.col("kind") != "open")
        history = changes_told(told, categories=usual, entry_stage=first, engaged_stage=engaged_stage, known_on=known_on)
    past = history.join(ids, on="ref", how="left", maintain_order="left").drop("ref")
    bulk.insert(OpportunityChange, past.with_columns(recorded_at=pl.lit(now), actor_key=pl.lit(actor.key)))
    changed_many("opportunity", written["id"])
    begun = pl.coalesce(pl.min_horizontal("opened_on", "engaged_on"), "closed_on", pl.lit(known_on))
    facts = written.select("customer_id", "amount_minor", "currency", "state", "closed_on", opportunity_id="id", begun=begun)
    timeline.record("opportunity_added", facts.drop("amount_minor"), subject="opportunity", actor=actor, on=pl.col("begun"))
    for state in ("won", "lost"):
        closed = facts.filter(pl.col("state") == state)
        timeline.record(f"opportunity_{state}", closed, subject="opportunity", actor=actor, on=pl.col("closed_on"))
    return written.select(opportunity_id="id", number="number")


@action("pipeline.change_opportunity")
def change_opportunity(*, actor: Actor, opportunity_id: int, changes: dict[str, Any], on: date) -> int:
    """Move a deal to another stage, category, amount, closing day, owner or next step; each leaves a row of history. Returns its id.

    An open stage for a closed deal opens it again. The category follows the stage unless somebody chose another one than the stage's.
    changes  stage (key), category, amount_minor, close_on, rep_id, next_step
    Raises: NotFound, Invalid (unknown field or value, won and lost have verbs of their own), OpportunityClosed, ChangeOutOfOrder, NotYourDeal.
    """
    deal = _deal(actor, opportunity_id, on)
    unknown = sorted(set(changes) - CHANGEABLE)
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    before = _facts(deal)
    was_closed = deal.state != Stage.Kind.OPEN
    if "stage" in changes:
        _move(deal, _stage(changes["stage"]))
    ensure(
        deal.state == Stage.Kind.OPEN,
        OpportunityClosed(f"{deal.number} is {deal.state}.", field="stage", remedy="Open it again: choose an open stage."),
    )
    if was_closed:
        deal.loss_reason = deal.competitor = ""
    if "rep_id" in changes:
        _ensure_sells(changes["rep_id"], on)
    if "category" in changes:
        open_ones = {c for c in Category.values if c != Category.CLOSED}
        ensure(
            changes["category"] in open_ones, Invalid(f"{changes['category']} is no category of an open deal.", field="category")
        )
    amount = changes.get("amount_minor")
    ensure(amount is None or amount >= 0, Invalid("An amount is zero or more.", field="amount_minor", remedy="Correct it."))
    buyer = changes.get("customer_id")
    ensure(
        buyer is None or Customer.objects.filter(pk=buyer, merged_into__isnull=True).exists(),
        Invalid("There is no such customer.", field="customer", remedy="Add the customer first."),
    )
    expected = changes.get("close_on")
    ensure(
        expected is None or deal.opened_on is None or expected >= deal.opened_on,
        Invalid("A deal does not close before it was opened.", field="close_on", remedy="Choose a later day."),
    )
    ensure(
        deal.customer_id is None or buyer in (None, deal.customer_id),
        Invalid("A deal keeps its customer.", field="customer", remedy="Lose this one and add a deal of the other customer."),
    )
    for name in CHANGEABLE - {"stage"}:
        if name in changes and not (name == "customer_id" and buyer is None):
            setattr(deal, name, changes[name] if changes[name] is not None or name != "next_step" else "")
    deal.save()
    told = _tell(actor, deal, before, on)
    if "stage" in told or "rep" in told:
        note = "; ".join(f"{field}: {was or 'none'} to {now or 'none'}" for field, (was, now) in told.items() if field != "rep")
        timeline.record_one(
            "opportunity_reopened" if was_closed else "opportunity_moved", subject="opportunity", subject_id=deal.pk, actor=actor, on=on,
            customer_id=deal.customer_id, amount_minor=deal.amount_minor, currency=deal.currency, note=note,
        )  # fmt: skip
    return deal.pk


@action("pipeline.win_opportunity")
def win_opportunity(*, actor: Actor, opportunity_id: int, on: date, amount_minor: int | None = None, said_by: str = "") -> int:
    """The customer said yes; returns the deal's id. The amount must be known, or be given now.

    said_by  who said yes; needed where nobody of the customer is known yet, and then becomes a contact
    Raises: NotFound, Invalid (no amount, no customer, nobody who said yes, before it was opened), OpportunityClosed, ChangeOutOfOrder, NotYourDeal.
    """
    deal = open_deal(actor, opportunity_id, on)
    before = _facts(deal)
    deal.amount_minor = deal.amount_minor if amount_minor is None else amount_minor
    ensure(
        deal.amount_minor is not None and deal.amount_minor >= 0,
        Invalid("A won deal has an amount.", field="amount_minor", remedy="Say what it was sold for."),
    )
    _ensure_buyer(deal, said_by.strip())
    return _close(actor, deal, Stage.Kind.WON, before, on)


@action("pipeline.lose_opportunity")
def lose_opportunity(*, actor: Actor, opportunity_id: int, on: date, loss_reason: str, competitor: str) -> int:
    """The customer said no, or nothing any more; returns the deal's id.

    loss_reason  why; competitor: to whom (say "nobody" where the customer buys nothing)
    Raises: NotFound, Invalid (reason or competitor missing), OpportunityClosed, ChangeOutOfOrder, NotYourDeal.
    """
    deal = open_deal(actor, opportunity_id, on)
    ensure(bool(loss_reason.strip()), Invalid("Why was it lost?", field="loss_reason", remedy="Say the reason."))
    ensure(
        bool(competitor.strip()),
        Invalid("To whom was it lost?", field="competitor", remedy="Name the competitor, or say nobody."),
    )
    before = _facts(deal)
    deal.loss_reason, deal.competitor = loss_reason.strip()[:100], competitor.strip()[:100]
    return _close(actor, deal, Stage.Kind.LOST, before, on)


@action("pipeline.withdraw_opportunities")
def withdraw_opportunities(*, actor: Actor, import_batch_id: int, on: date) -> int:
    """Take back the deals of an import, which then count nowhere; returns how many.

    Raises: Conflict where somebody has changed one of them since.
    """
    ids = bulk.read(Opportunity.objects.filter(import_batch_id=import_batch_id, is_withdrawn=False).order_by("id").values("id"))
    deals = bulk.read_locked(Opportunity, ids["id"].to_list(), ["id", "number", "created_at"])
    late = bulk.read(
        OpportunityChange.objects.filter(opportunity__import_batch_id=import_batch_id).values("opportunity_id", "recorded_at")
    ).rename({"opportunity_id": "id"})
    touched = late.join(deals, on="id").filter(pl.col("recorded_at") > pl.col("created_at"))
    if touched.height:
        raise Conflict(
            f"{touched['id'].n_unique()} deals of the file were changed since, among them {touched['number'][0]}.",
            field="batch_id",
            remedy="Close them instead of taking the file back.",
        )
    bulk.update(Opportunity, deals.select("id", is_withdrawn=True))
    gone = deals.select(
        opportunity_id="id", field=pl.lit("withdrawn"), before=pl.lit(""), after=pl.lit("yes"), effective_on=pl.lit(on)
    )
    bulk.insert(OpportunityChange, gone.with_columns(recorded_at=pl.lit(clock.now()), actor_key=pl.lit(actor.key)))
    changed_many("opportunity", deals["id"], after={"withdrawn": True})
    return deals.height


@action("pipeline.snapshot_pipeline")
def snapshot_pipeline(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Write down every open deal by value at the end of a day; returns how many. A day that is written down already stays as it is.

    Work: one statement writes all rows; a day after which deals have changed already is written as its history tells it.
    """
    if OpportunitySnapshot.objects.filter(entity_id=entity_id, as_of=as_of).exists():
        return 0
    later = OpportunityChange.objects.filter(opportunity__entity_id=entity_id, effective_on__gt=as_of)
    count = _write_history(entity_id, as_of) if later.exists() else _write_present(entity_id, as_of)
    changed("pipeline_snapshot", entity_id, after={"as_of": as_of.isoformat(), "deals": count})
    return count


# --- parts ---
def _ensure_buyer(deal: Opportunity, said_by: str) -> None:
    """A won deal has a customer, and somebody there who said yes."""
    if deal.customer_id is None:
        raise Invalid("A won deal has a customer.", field="customer", remedy="Say whose deal it is under Change.")
    if not Contact.objects.filter(customer_id=deal.customer_id).exists():
        ensure(
            bool(said_by),
            Invalid("Who said yes? Nobody of the customer is known yet.", field="said_by", remedy="Name the person."),
        )
        made = Contact.objects.create(customer_id=deal.customer_id, name=said_by[:200])
        changed("contact", made.pk, after={"customer_id": deal.customer_id, "name": made.name})


def _write_present(entity_id: int, as_of: date) -> int:
    columns = "opportunity_id, entity_id, rep_id, stage_key, category, amount_minor, currency, close_on"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO pipeline_opportunitysnapshot (as_of, {columns})"
            " SELECT %s, o.id, o.entity_id, o.rep_id, s.key, o.category, o.amount_minor, o.currency, o.close_on"
            " FROM pipeline_opportunity o JOIN pipeline_stage s ON s.id = o.stage_id"
            " WHERE o.entity_id = %s AND o.state = 'open' AND NOT o.is_withdrawn",
            [as_of, entity_id],
        )
        return int(cursor.rowcount)


def _write_history(entity_id: int, as_of: date) -> int:
    then = queries.deals(entity_id=entity_id, as_of=as_of).filter(pl.col("state") == "open")
    columns = ["opportunity_id", "rep_id", "category", "amount_minor", "currency", "close_on"]
    rows = then.select(*columns, stage_key="stage", as_of=pl.lit(as_of), entity_id=pl.lit(entity_id))
    return bulk.insert(OpportunitySnapshot, rows).height


def _deals(opportunities: pl.DataFrame) -> pl.DataFrame:
    """The batch with every column, its numbers, the ids of its stages, and the category of its stage where it says none."""
    have = opportunities.columns
    frame = opportunities.select(
        (pl.col(name) if name in have else pl.lit(None).alias(name)).cast(kind) for name, kind in DEAL.items()
    ).with_columns(pl.col(name).fill_null("") for name in TEXTS)
    if "ref" not in have:
        frame = frame.with_columns(ref=pl.int_range(pl.len()).cast(pl.String))
    frame = _owned(frame)
    steps = bulk.read(Stage.objects.values("id", "key", "kind", "category"))
    frame = numbered(frame, column="number", code="opportunity", prefix="D-")
    return (
        frame.join(steps.select(stage="key", stage_id="id", kind="kind", _usual="category"), on="stage", how="left", maintain_order="left")
        .with_columns(category=pl.coalesce("category", "_usual"))
        .drop("_usual")
    )  # fmt: skip


def _owned(frame: pl.DataFrame) -> pl.DataFrame:
    """The batch with the owner of its territory where it names none."""
    if not frame["rep_id"].null_count():
        return frame
    buyers = bulk.read(
        Customer.objects.filter(pk__in=frame["customer_id"].drop_nulls().unique().to_list()).values("id", "country", "segment")
    )
    asked = frame.join(
        buyers.rename({"id": "customer_id", "segment": "_segment"}), on="customer_id", how="left", maintain_order="left"
    )
    asked = asked.with_columns(segment=pl.when(pl.col("segment") != "").then("segment").otherwise("_segment"))
    placed = territories.place(asked.select("country", "segment", "source"), turn=Opportunity.objects.count())
    return frame.with_columns(rep_id=pl.coalesce("rep_id", placed["rep_id"]))


def _check_deals(entity_id: int, frame: pl.DataFrame, known_on: date) -> None:
    def refuse(odd: pl.Expr, sentence: str, field: str, remedy: str = "Correct it.") -> None:
        bad = frame.filter(odd.fill_null(False))
        if bad.height:
            whose = f"{bad['number'][0]}: " if frame.height > 1 else ""  # one alone needs no number, and may not have it yet
            said = sentence if whose else sentence[0].upper() + sentence[1:]
            raise Invalid(f"{whose}{said}", field=field, remedy=remedy, number=bad["number"][0])

    entity = Entity.objects.filter(pk=entity_id).first()
    if entity is None:
        raise NotFound(f"There is no company {entity_id}.", field="entity_id")
    today = clock.today(entity.time_zone)
    ensure_come(known_on, today, "known_on")
    refuse(pl.col("name").fill_null("").str.strip_chars() == "", "a deal needs a name.", "name", "Fill in the name.")
    unknown = ", ".join(frame.filter(pl.col("stage_id").is_null())["stage"].fill_null("").unique().to_list())
    refuse(pl.col("stage_id").is_null(), f"there is no stage {unknown}.", "stage", "Use a stage of the pipeline.")
    refuse(~pl.col("category").is_in(list(Category.values)), "this is no forecast category.", "category")
    for code in frame["currency"].unique().to_list():
        money.ensure_currency(code or "")
    for column, model in (("rep_id", Rep), ("customer_id", Customer)):
        known = bulk.read(model._default_manager.values("id"))["id"]
        refuse(~pl.col(column).is_in(known.implode()), f"there is no such {column.removesuffix('_id')}.", column)
    refuse(pl.col("rep_id").is_null(), "a deal needs an owner.", "rep_id", "Say who sells it.")
    refuse(pl.col("amount_minor") < 0, "an amount is zero or more.", "amount_minor")
    is_open, is_won = pl.col("kind") == "open", pl.col("kind") == "won"
    refuse(is_won & pl.col("amount_minor").is_null(), "a won deal has an amount.", "amount_minor", "Say what it was sold for.")
    refuse(~is_open & pl.col("closed_on").is_null(), "a closed deal has a day.", "closed_on", "Say when it was closed.")
    refuse(is_open & pl.col("closed_on").is_not_null(), "an open deal has no closing day.", "closed_on", "Leave it empty.")
    for first, second in (
        ("opened_on", "closed_on"),
        ("engaged_on", "closed_on"),
        ("opened_on", "close_on"),
        ("opened_on", "engaged_on"),
    ):
        sentence = f"{DAYS[second]} lies before {DAYS[first]}."
        refuse(pl.col(second) < pl.col(first), sentence, second, "Correct one of the two days.")
    for column, what in (("opened_on", "opened"), ("engaged_on", "first talked about"), ("closed_on", "closed")):
        refuse(
            pl.col(column) > today,
            f"a deal cannot have been {what} on a day that has not come yet.",
            column,
            f"Choose {today} or an earlier day.",
        )
    few = {"number__in": frame["number"].to_list()} if frame.height <= bulk.FEW else {}
    known = bulk.read(Opportunity.objects.filter(is_withdrawn=False, **few).values("number"))["number"]
    taken = frame.filter(pl.col("number").is_duplicated() | pl.col("number").is_in(known.implode()))["number"]
    if taken.len():
        raise OpportunityNumberTaken(f"There is a deal {taken[0]} already.", field="number", remedy="Use another number.")


def _deal(actor: Actor, opportunity_id: int, on: date) -> Opportunity:
    """The deal, locked, when the actor may change it and nothing later is known of it."""
    deal = (
        Opportunity.objects.select_for_update(of=("self",))
        .select_related("entity")
        .filter(pk=opportunity_id, is_withdrawn=False)
        .first()
    )
    if deal is None:
        raise NotFound(f"There is no deal {opportunity_id}.", field="opportunity_id")
    ensure_mine(actor, deal)
    ensure_come(on, clock.today(deal.entity.time_zone), "on")
    last = OpportunityChange.objects.filter(opportunity_id=opportunity_id).order_by("-effective_on", "-id").first()
    ensure(
        last is None or last.effective_on <= on,
        ChangeOutOfOrder(
            f"{deal.number} was changed on {last.effective_on if last else on}, after {on}.", field="on", remedy="Choose that day or a later one."
        ),
    )  # fmt: skip
    return deal


def ensure_come(on: date, today: date, field: str) -> None:
    """Raises: Invalid for a day of the company that has not come yet: what did not happen cannot be told."""
    ensure(on <= today, Invalid(f"{on} has not come yet.", field=field, remedy=f"Choose {today} or an earlier day."))


def ensure_mine(actor: Actor, deal: Opportunity) -> None:
    """Raises: NotYourDeal, unless the deal is the actor's or the actor may change those of others."""
    if not actor.may(ANY_DEAL):
        mine = actor.member_id is not None and Rep.objects.filter(pk=deal.rep_id, member_id=actor.member_id).exists()
        ensure(mine, NotYourDeal(f"{deal.number} belongs to somebody else.", remedy="Ask its owner, or their manager."))


def open_deal(actor: Actor, opportunity_id: int, on: date) -> Opportunity:
    """An open deal, locked, when the actor may change it. Raises: as `change_opportunity`."""
    deal = _deal(actor, opportunity_id, on)
    ensure(
        deal.state == Stage.Kind.OPEN,
        OpportunityClosed(f"{deal.number} is {deal.state} already.", field="opportunity_id", remedy="Open it again first."),
    )
    return deal


def _stage(key: str) -> Stage:
    stage = Stage.objects.filter(key=key).first()
    if stage is None:
        raise Invalid(f"There is no stage {key!r}.", field="stage", remedy="Use a stage of the pipeline.")
    ensure(
        stage.kind == Stage.Kind.OPEN,
        Invalid("A deal is won or lost by its own verb.", field="stage", remedy="Win it, or lose it with the reason."),
    )
    return stage


def _move(deal: Opportunity, stage: Stage) -> None:
    """Put the deal in a stage; a category that nobody chose follows."""
    if deal.category == deal.stage.category or deal.state != Stage.Kind.OPEN:
        deal.category = stage.category
    deal.stage, deal.state = stage, stage.kind
    if stage.kind == Stage.Kind.OPEN:
        deal.closed_on = None


def _close(actor: Actor, deal: Opportunity, kind: str, before: dict[str, str], on: date) -> int:
    first = max((day for day in (deal.opened_on, deal.engaged_on) if day is not None), default=on)
    ensure(on >= first, Invalid(f"{deal.number} was opened on {first}.", field="on", remedy="Choose a later day."))
    stage = Stage.objects.get(kind=kind)
    deal.stage, deal.state, deal.category, deal.closed_on = stage, kind, stage.category, on
    deal.save()
    _tell(actor, deal, before, on)
    timeline.record_one(
        f"opportunity_{kind}", subject="opportunity", subject_id=deal.pk, actor=actor, on=on, customer_id=deal.customer_id,
        amount_minor=deal.amount_minor, currency=deal.currency, note=deal.loss_reason,
    )  # fmt: skip
    return deal.pk


def _ensure_sells(rep_id: int | None, on: date) -> None:
    rep = Rep.objects.filter(pk=rep_id).first() if rep_id is not None else None
    if rep is None:
        raise Invalid("There is no such sales person.", field="rep_id", remedy="Choose one of the team.")
    ensure(
        rep.left_on is None or rep.left_on > on,
        Invalid(f"{rep.name} left on {rep.left_on}.", field="rep_id", remedy="Choose somebody who is here."),
    )


def _facts(deal: Opportunity) -> dict[str, str]:
    """What history keeps of a deal, as text."""
    values = {
        "stage": deal.stage.key, "category": deal.category, "amount": deal.amount_minor, "close_on": deal.close_on, "rep": deal.rep_id,
        "next_step": deal.next_step, "loss_reason": deal.loss_reason, "competitor": deal.competitor,
    }  # fmt: skip
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _tell(actor: Actor, deal: Opportunity, before: dict[str, str], on: date) -> dict[str, tuple[str, str]]:
    """Write what became of a deal to its history and the audit record; returns field to (before, after)."""
    after = _facts(deal)
    told = {name: (before[name], after[name]) for name in after if before[name] != after[name]}
    OpportunityChange.objects.bulk_create(
        OpportunityChange(
            opportunity=deal, field=name, before=was, after=now, effective_on=on, recorded_at=clock.now(), actor_key=actor.key
        )
        for name, (was, now) in told.items()
    )
    changed("opportunity", deal.pk, before={k: v[0] for k, v in told.items()}, after={k: v[1] for k, v in told.items()})
    return told
