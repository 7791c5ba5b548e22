"""The run is set-based: how many statements it takes hardly follows how many invoices it writes."""

from __future__ import annotations

import pytest
from django.db import connection

from bench.billing import AS_OF, seed
from topline.billing.models import Invoice
from topline.contracts import runs
from topline.kernel import clock
from topline.team.queries import system_actor

MOST = 40  # for a thousand invoices of two lines: billed, finalised and posted


class Counted:
    """How many statements went to the database; those that begin and end the verbs' own transactions are not counted, as in production they are none."""

    def __init__(self):
        self.seen = []

    def __call__(self, execute, sql, *rest):
        if not str(sql).startswith(("SAVEPOINT", "RELEASE")):
            self.seen.append(sql)
        return execute(sql, *rest)


@pytest.mark.parametrize("size", [1_000, 6_000])
def test_a_thousand_invoices_take_at_most_forty_statements(entity, size):
    """The part of a run that does not grow is below that for a thousand, and no statement is made for each invoice."""
    counted = Counted()
    with clock.at(AS_OF):
        seed(0, 10)
        runs.run(
            actor=system_actor("test"), entity_id=entity.pk, as_of=AS_OF
        )  # on SQLite the very first rows of a table take a statement more
        seed(10, size + 10)
        with connection.execute_wrapper(counted):
            runs.run(actor=system_actor("test"), entity_id=entity.pk, as_of=AS_OF)
    assert list(Invoice.objects.values_list("state", flat=True).distinct()) == ["open"]
    assert Invoice.objects.count() == size + 10
    assert len(counted.seen) <= MOST * size / 1_000, "\n".join(str(sql)[:100] for sql in counted.seen)
