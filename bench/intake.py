"""Usage events over HTTP into the database, committed before the answer: in batches of a thousand and one by one, beside a bare bulk insert of the same rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import polars as pl

from bench.company import bare_insert, sized, timed
from bench.serving import connected, served

SENDERS, BATCH, CUSTOMERS = 8, 1_000, 500
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def run(sizes: Sequence[int] = ()) -> list[tuple[str, str]]:
    from topline.kernel import bulk
    from topline.kernel.actor import Actor
    from topline.market import actions as market
    from topline.metering import actions as metering
    from topline.metering.models import UsageEvent
    from topline.team import actions as team
    from topline.team.models import Member
    from topline.team.queries import actor_of, system_actor
    from topline.team.roles import SYSTEM

    owner = system_actor("bench")
    names = pl.DataFrame({"name": [f"Caller {n:04d}" for n in range(CUSTOMERS)], "currency": "EUR"})
    market.add_customers(actor=owner, customers=names)
    metering.add_meter(actor=owner, code="CALLS", name="Calls", method="sum")
    member = team.add_member(
        actor=owner, email="bench@example.com", name="Bench", roles=["Owner"], password="a-long-bench-password"
    )
    maker = Actor(key=actor_of(Member.objects.get(pk=member)).key, name="Bench", permissions=SYSTEM)
    token = team.create_token(actor=maker, name="bench", scopes=["metering.*"])

    batches = max(SENDERS, (sizes[0] if sizes else sized(400_000)) // BATCH)
    bodies = [_body(n * BATCH, BATCH) for n in range(batches)]
    singles = [_body(batches * BATCH + n, 1) for n in range(sized(8_000))]
    with served() as port:
        _send(port, token, [_body(10**9, 1)], senders=1)  # the server is warm
        many = _send(port, token, bodies, senders=SENDERS)
        one = _send(port, token, singles, senders=2 * SENDERS)
        again = _send(port, token, bodies[: max(1, batches // 10)], senders=SENDERS)
    if UsageEvent.objects.count() != batches * BATCH + len(singles) + 1:
        raise RuntimeError("Not every event was recorded once.")
    rows, seconds = bare_insert(UsageEvent)
    whole = rows / seconds
    by_batch = batches * BATCH / many
    columns = [f.attname for f in UsageEvent._meta.concrete_fields]
    few = bulk.read(UsageEvent.objects.order_by("id").values(*columns)[: min(1_000, len(singles))])
    bare_one, _ = timed(lambda: _one_by_one(few))
    bare_rate = min(1_000, len(singles)) / bare_one
    return [
        (f"{batches * BATCH:,} events in batches of {BATCH:,}", f"{by_batch:,.0f} events a second"),
        ("bare bulk insert of the same rows at once", f"{whole:,.0f} rows a second; intake reaches {by_batch / whole:.0%} of it"),
        ("batches that are known already", f"{max(1, batches // 10) * BATCH / again:,.0f} events a second"),
        (f"{len(singles):,} events one by one, {2 * SENDERS} senders", f"{len(singles) / one:,.0f} events a second"),
        ("bare inserts one by one, each committed", f"{bare_rate:,.0f} rows a second; intake reaches {len(singles) / one / bare_rate:.0%} of it"),
    ]  # fmt: skip


def _body(first: int, size: int) -> bytes:
    rows = (
        {"key": f"evt-{n:024d}", "meter": "CALLS", "customer": f"Caller {n % CUSTOMERS:04d}", "at": (FIRST + timedelta(seconds=n % 2_000_000)).isoformat(),
         "value": n % 1_000 / 8, "properties": {"region": "eu" if n % 3 else "us"}}
        for n in range(first, first + size)
    )  # fmt: skip
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _send(port: int, token: str, bodies: list[bytes], *, senders: int) -> float:
    """Seconds until the last answer; each sender keeps one connection and waits for its answer."""
    turn, failed = count(), []
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}

    def work() -> None:
        connection = connected(port)
        while (n := next(turn)) < len(bodies) and not failed:
            connection.request("PUT", "/api/v1/usage-events", body=bodies[n], headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                failed.append(content)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(senders)]
    took, _ = timed(lambda: _all(threads))
    if failed:
        raise RuntimeError(failed[0].decode()[:300])
    return took


def _all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _one_by_one(frame: pl.DataFrame) -> None:
    """The same rows under other keys, one statement and one commit each."""
    from topline.kernel import bulk
    from topline.metering.models import UsageEvent

    for row in frame.with_columns(key=pl.format("bare-{}", "key")).drop("id").iter_slices(1):
        bulk.insert(UsageEvent, row)
