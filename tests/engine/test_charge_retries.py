"""Declined charges: soft ones are tried again after longer and longer, hard ones never."""

from __future__ import annotations

from datetime import date

import pytest

from topline.engine.charge_retries import HARD, Policy, next_try

DAY = date(2026, 3, 2)


def test_a_soft_decline_has_as_many_tries_more_as_the_policy_has_days():
    days = [next_try("insufficient_funds", tries=n, on=DAY) for n in range(1, 7)]
    assert [(d - DAY).days if d else None for d in days] == [1, 3, 5, 7, None, None]
    assert next_try("generic_decline", tries=1, on=DAY, policy=Policy(days=())) is None


@pytest.mark.parametrize("code", sorted(HARD))
def test_a_hard_decline_is_never_tried_again(code):
    assert next_try(code, tries=1, on=DAY) is None
