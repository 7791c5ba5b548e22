"""The Today page, the list of customers and the collector's day through the real server, 16 at a time."""

from __future__ import annotations

import http.client
import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from urllib.parse import urlencode

from bench.company import seed_deals, seed_invoices, sized
from bench.serving import served

CONNECTIONS, REQUESTS = 16, 20  # each connection asks this often
EMAIL, PASSWORD = "bench@example.com", "a-long-bench-password"


def run() -> list[tuple[str, str]]:
    from topline.market.models import Customer
    from topline.team import actions as team
    from topline.team.queries import system_actor

    count = sized(100_000)
    seed_invoices(count, customers=sized(5_000))
    deals = sized(100_000)
    seed_deals(deals)
    ids = list(Customer.objects.order_by("id").values_list("id", flat=True))
    team.add_member(actor=system_actor("bench"), email=EMAIL, name="Bench", roles=["Owner"], password=PASSWORD)
    with served() as port:
        cookie = sign_in(port)
        rows = []
        invoices, pipeline = f"{count:,} open invoices", f"{deals:,} deals"
        for label, size, path in (
            ("Today", invoices, "/?as_of=2026-01-15"),
            ("customers", invoices, "/customers/"),
            ("Collections", invoices, "/collections/?as_of=2026-01-15"),
            ("a customer's debt", invoices, "/collections/{}/?as_of=2026-01-15"),
            ("pipeline", pipeline, "/pipeline/?as_of=2026-01-15"),
            ("lifecycle", invoices, "/lifecycle/?as_of=2026-01-15"),
        ):
            fresh = (path.format(customer_id) for customer_id in cycle(ids))  # a page of a customer: another one each time
            first = get(port, next(fresh), cookie)
            single = sorted(get(port, next(fresh), cookie) for _ in range(5))
            asked = [next(fresh) for _ in range(CONNECTIONS * REQUESTS)]
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                times = sorted(pool.map(lambda p: get(port, p, cookie), asked))
            rows.append(
                (
                    f"{label}, {size}, {CONNECTIONS} at a time",
                    f"p50 {1000 * times[len(times) // 2]:.0f} ms, p99 {1000 * times[int(len(times) * 0.99)]:.0f} ms; alone {1000 * single[2]:.0f} ms, first {first:.1f} s",
                )
            )
        return rows


def get(port: int, path: str, cookie: str) -> float:
    """Seconds that one page took."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path, headers={"Cookie": cookie})
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{path} answered {response.status}")
    return time.perf_counter() - start


def sign_in(port: int) -> str:
    """The session cookie of the bench's Owner."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/sign-in/login/")
    response = connection.getresponse()
    page = response.read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    csrf = re.search(r"csrftoken=([^;]+)", response.getheader("Set-Cookie") or "")
    if token is None or csrf is None:
        raise RuntimeError("The sign-in page has no token.")
    body = urlencode({"login": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": token[1]})
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={csrf[1]}",
        "Referer": f"http://127.0.0.1:{port}/",
    }
    connection.request("POST", "/sign-in/login/", body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    session = re.search(r"sessionid=([^;]+)", " ".join(v for k, v in answer.getheaders() if k.lower() == "set-cookie"))
    if session is None:
        raise RuntimeError(f"Signing in was refused ({answer.status}).")
    return f"sessionid={session[1]}"
