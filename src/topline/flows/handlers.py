"""The outbox's handler table: what happens after a commit, by topic. Every handler is idempotent."""

from __future__ import annotations

from datetime import date
from typing import Any

from topline.billing import actions as billing
from topline.books import actions as books
from topline.connect import actions as connect
from topline.connect import queue
from topline.contracts import amendments, open_periods, run_queue, runs, wallets
from topline.contracts.models import NOTICE, BillRun
from topline.flows import daily, deliveries, notices, reminders
from topline.kernel.outbox import Handler, Long
from topline.leads import actions as leads
from topline.leads import queries as lead_queries
from topline.pipeline import calls, machine
from topline.processor import actions as online
from topline.processor import service as processor
from topline.processor.port import Answer, Told
from topline.team.queries import system_actor
from topline.treasury import levers, outlook


def seal_books(payload: dict[str, Any]) -> None:
    """Seal what was posted since the last seal, range by range."""
    while books.seal(actor=system_actor("worker")):
        pass


def run_import(payload: dict[str, Any]) -> None:
    """Write the next chunk of a checked file and ask for the one after it; a chunk that fails leaves the ones before it."""
    batch_id = int(payload["batch_id"])
    if connect.run_import(actor=system_actor("worker"), batch_id=batch_id):
        queue.ask_for_chunk(batch_id)


def bill_part(payload: dict[str, Any]) -> None:
    """Bill the next part of a run and ask for the one after it, until none is left."""
    run_id = int(payload["run_id"])
    left = runs.bill_part(actor=system_actor("worker"), run_id=run_id)
    if left != 0:
        run_queue.ask_for_next(run_id, is_taken=left is None)


def sign_run(payload: dict[str, Any]) -> None:
    """Issue the next batch of a run that somebody signed and ask for the one after it; of one that is final nothing is left."""
    run_id, issue_on = int(payload["run_id"]), date.fromisoformat(payload["issue_on"])
    if BillRun.objects.filter(pk=run_id, state=BillRun.State.DRAFTED).exists() and runs.sign_run(
        actor=system_actor("worker"), run_id=run_id, issue_on=issue_on
    ):
        run_queue.ask_to_sign(run_id, issue_on=issue_on)


def return_credits(payload: dict[str, Any]) -> None:
    """A credit note for what credits paid gives them back."""
    day = date.fromisoformat(payload["day"])
    wallets.return_credits(actor=system_actor("worker"), credit_note_id=int(payload["credit_note_id"]), on=day)


def handle_event(payload: dict[str, Any], told: Told) -> None:
    """Do what an event of the processor asks for."""
    online.handle_event(actor=system_actor("worker"), event_id=int(payload["event_id"]), told=told)


def note_charge(payload: dict[str, Any], answer: Answer | None) -> None:
    """Write down what a charge of a saved card or account brought."""
    processor.answered(payload, answer, actor=system_actor("worker"))


def note_refund(payload: dict[str, Any], answer: Answer | None) -> None:
    """Write down what a refund through the processor brought."""
    processor.given_back(payload, answer, actor=system_actor("worker"))


HANDLERS: dict[str, Handler] = {
    "seal_books": seal_books,
    "run_import": run_import,
    run_queue.BILL: bill_part,
    run_queue.SIGN: sign_run,
    "send_reminder": reminders.send,
    "send_invoice": deliveries.send,
    "send_statement": deliveries.send_statement,
    "ask_acceptance": deliveries.ask_acceptance,
    NOTICE: notices.send,
    online.HANDLE: Long(processor.told, handle_event),
    online.CHARGE: Long(processor.call, note_charge),
    online.REFUND: Long(processor.give_back, note_refund),
    daily.TOPIC: daily.handle,
    "take_in": daily.handled_by(daily.take_in),
    "charge_saved": daily.handled_by(daily.charge_saved),
    "judge_and_remind": daily.handled_by(daily.judge_and_remind),
    "price_lateness": daily.handled_by(daily.price_lateness),
    "place_events": daily.handled_by(daily.place_events),
    "tell_alerts": daily.handled_by(open_periods.tell_alerts),
    "expire_credits": daily.handled_by(wallets.expire_credits),
    "tell_low_credits": daily.handled_by(wallets.tell_low_credits),
    billing.CREDITED: return_credits,
    "renew_contracts": daily.handled_by(amendments.renew_due),
    "score_leads": daily.handled_in_parts(lead_queries.scores, leads.score_leads),
    "write_deals_down": daily.handled_by(daily.write_down),
    "learn_timing": daily.handled_in_parts(daily.lesson, daily.learn),
    "weigh_calls": daily.handled_in_parts(levers.stake, levers.weigh_calls),
    "freeze_forecast": daily.handled_in_parts(daily.to_freeze, outlook.freeze_forecast),
    "freeze_sales": daily.handled_in_parts(daily.sales_to_freeze, daily.freeze_sales),
    "rehearse_sales": daily.handled_in_parts(machine.rehearsals, calls.keep_rehearsals),
    "rehearse_sales_once": daily.handled_in_parts(machine.to_rehearse, calls.keep_rehearsals),
}
