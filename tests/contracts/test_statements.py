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
    """How many statements went to the database."""

    def __init__(self):
        self.count = 0

    def __call__(self, execute, *statement):
        self.count += 1
        return execute(*statement)


@pytest.mark.parametrize("size", [2_000, 6_000])
def test_a_thousand_invoices_take_at_most_forty_statements(entity, size):
    """A run has some seventy statements of its own, whatever it writes; beyond them it stays far below."""
    counted = Counted()
    with clock.at(AS_OF):
        seed(0, size)
        with connection.execute_wrapper(counted):
            runs.run(actor=system_actor("test"), entity_id=entity.pk, as_of=AS_OF)
    assert list(Invoice.objects.values_list("state", flat=True).distinct()) == ["open"]
    assert Invoice.objects.count() == size
    assert counted.count <= MOST * size / 1_000
