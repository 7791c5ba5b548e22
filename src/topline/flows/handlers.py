"""The outbox's handler table: what happens after a commit, by topic. Every handler is idempotent."""

from __future__ import annotations

from typing import Any

from topline.books import actions as books
from topline.connect import actions as connect
from topline.connect import queue
from topline.contracts import actions as contracts
from topline.flows import daily, deliveries, reminders
from topline.kernel.outbox import Handler
from topline.leads import actions as leads
from topline.leads import queries as lead_queries
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


HANDLERS: dict[str, Handler] = {
    "seal_books": seal_books,
    "run_import": run_import,
    "send_reminder": reminders.send,
    "send_invoice": deliveries.send,
    daily.TOPIC: daily.handle,
    "take_in": daily.handled_by(daily.take_in),
    "judge_and_remind": daily.handled_by(daily.judge_and_remind),
    "price_lateness": daily.handled_by(daily.price_lateness),
    "renew_contracts": daily.handled_by(contracts.renew_due),
    "score_leads": daily.handled_in_parts(lead_queries.scores, leads.score_leads),
    "write_deals_down": daily.handled_by(daily.write_down),
    "learn_timing": daily.handled_in_parts(daily.lesson, daily.learn),
    "weigh_calls": daily.handled_in_parts(levers.stake, levers.weigh_calls),
    "freeze_forecast": daily.handled_in_parts(daily.to_freeze, outlook.freeze_forecast),
    "freeze_sales": daily.handled_in_parts(daily.sales_to_freeze, daily.freeze_sales),
}
