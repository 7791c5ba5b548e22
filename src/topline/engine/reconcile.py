"""Which open items make up an amount."""

from __future__ import annotations

from collections.abc import Sequence

from topline.kernel.errors import Invalid, ensure

EXACT_UP_TO = 24


def best_subset(items_minor: Sequence[int], target_minor: int) -> tuple[list[int], int]:
    """The items whose sum comes closest to a target; the first item of the list is always reason enough to choose something.

    items_minor  open amounts, signed
    returns      positions of the chosen items and what remains: chosen sum less target
    Among equally close sets the one with fewer items wins, then the one of earlier items; the empty set is never chosen.
    Work: O(2^n) up to 24 items, beyond that the 24 largest by size are tried.
    Raises: Invalid when there are no items.
    """
    ensure(bool(items_minor), Invalid("There is nothing to choose from.", field="items"))
    order = sorted(range(len(items_minor)), key=lambda i: (-abs(items_minor[i]), i))[:EXACT_UP_TO]
    chosen = sorted(order)
    # every reachable sum with its best set: fewest items, then earliest
    reachable: dict[int, tuple[int, ...]] = {}
    for position in chosen:
        amount = items_minor[position]
        grown: dict[int, tuple[int, ...]] = {amount: (position,)}
        for total, picked in reachable.items():
            candidate = (*picked, position)
            if total + amount not in grown or (len(candidate), candidate) < (len(grown[total + amount]), grown[total + amount]):
                grown[total + amount] = candidate
        for total, picked in grown.items():
            if total not in reachable or (len(picked), picked) < (len(reachable[total]), reachable[total]):
                reachable[total] = picked
    best = min(reachable, key=lambda total: (abs(total - target_minor), len(reachable[total]), reachable[total]))
    return list(reachable[best]), best - target_minor


def write_off_needed(debits_minor: Sequence[int], credits_minor: Sequence[int]) -> int:
    """What must be written off for open debits and credits to settle each other: zero when they balance."""
    return sum(debits_minor) - sum(credits_minor)
