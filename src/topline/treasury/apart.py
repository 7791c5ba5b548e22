"""Payrolls apart from a debt: what stands before each if some invoices never came, and when these come by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from topline.books.models import Entity
from topline.collections import timing
from topline.engine import cash_paths
from topline.engine.cash import Coverage
from topline.kernel.models import AuditRecord
from topline.treasury import outlook, queries
from topline.treasury.outlook import PATHS, _at_home, _cumulative, _factor


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What stands in the bank before a payroll is taken, in each future.

    day         days ahead of the last one whose money is in time; need_minor: what must stand there
    futures     minor units in the currency of the company, one value a future, in rising order
    """

    coverage: Coverage
    day: int
    need_minor: int
    futures: Any


@dataclass(frozen=True, slots=True, eq=False)
class Apart:
    """Payrolls without some invoices; chances: (days ahead, probability) that these come then by themselves, all as one."""

    payrolls: tuple[Standing, ...]
    chances: tuple[tuple[int, float], ...]


def apart(*, entity: Entity, as_of: date, invoice_ids: frozenset[int]) -> Apart:
    """The payrolls if some invoices never came, and when these come by themselves. Kept in memory until anything changes.

    Work: that of `outlook.outlook`.
    """
    last = AuditRecord.objects.order_by("-id").values_list("id", "recorded_at").first()
    return _apart(entity.pk, as_of, invoice_ids, last)


@lru_cache(maxsize=8)
def _apart(entity_id: int, as_of: date, invoice_ids: frozenset[int], last_change: tuple[int, datetime] | None) -> Apart:
    entity = Entity.objects.get(pk=entity_id)
    base = queries.forecast(entity=entity, as_of=as_of)
    told = timing.forecast(entity_id=entity_id, as_of=as_of)
    mine = told.invoices["invoice_id"].is_in(list(invoice_ids)).to_numpy()
    weights = told.invoices["open_minor"].to_numpy()[mine].astype(float)
    chances = weights @ told.pmf[mine] / weights.sum() if mine.any() else np.zeros(0)

    rest = told.invoices.filter(~mine)
    days = tuple(sorted({day for c in base.payrolls if (day := (c.debit_on - as_of).days - 1) > 0}))
    amounts = _at_home(rest, entity.currency, as_of)
    received = np.zeros((PATHS, 0))
    if days:
        book = cash_paths.Book(amounts, rest["customer_id"].to_numpy(), _cumulative(told.pmf[~mine], days), days)
        record = outlook.outlook(entity=entity, as_of=as_of).record
        paths = cash_paths.simulate(book, paths=PATHS, seed=cash_paths.seed_of(entity.key, as_of))
        received = cash_paths.widened(paths, [_factor(record, day) for day in days], within=(0.0, float(amounts.sum()))).received
    outflows = [((row["debit_on"] - as_of).days, row["amount_minor"]) for row in base.outflows.to_dicts()]

    def standing(covered: Coverage) -> Standing:
        """Money of the debit day comes too late; everything else that leaves until then leaves first."""
        last = (covered.debit_on - as_of).days - 1
        need = base.minimum_minor + sum(amount for day, amount in outflows if day <= last + 1)
        came = received[:, days.index(last)] if last in days else np.zeros(PATHS)
        return Standing(covered, last, need, np.sort(base.opening_minor + came))

    return Apart(
        tuple(standing(covered) for covered in base.payrolls),
        tuple((day, float(p)) for day, p in enumerate(chances, start=1) if p > 0),
    )
