"""Invoices a second beside Tryton's: `python -m bench.peers.tryton [COUNT]` installs Tryton into an environment of its own under var/, lets it bill COUNT
subscriptions of two lines with 20 % tax, and Topline the same, on the same database.

With PostgreSQL: python tests/with_postgres.py python -m bench.peers.tryton
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.__main__ import show
from bench.company import a_company, sized, timed

ROOT = Path(__file__).resolve().parents[3]
HOME = ROOT / "var" / "peers" / "tryton"
PACKAGES = ["trytond[PostgreSQL]~=8.2.0", "trytond-sale-subscription~=8.2.0", "proteus~=8.2.0"]
MANY = sized(10_000)


def installed() -> str:
    """The interpreter of Tryton's environment, made at the first run."""
    python = HOME / "bin" / "python"
    if not (HOME / "ready").exists():
        print(f"Installing Tryton into {HOME.relative_to(ROOT)} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
        (HOME / "ready").touch()
    return str(python)


def theirs(count: int) -> dict[str, Any]:
    """What Tryton says of itself: version, posted, seconds, cpu."""
    url = os.environ.get("TOPLINE_DATABASE_URL", "sqlite:///")
    given = {name: value for name, value in os.environ.items() if not name.startswith(("TRYTOND", "PYTHON"))}
    if url.startswith("postgres"):
        parts = urlsplit(url)
        host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
        user = parts.username or "topline"
        given |= {"TRYTOND_DATABASE_URI": f"postgresql://{user}@/", "PGHOST": host, "PGUSER": user, "DB_NAME": "tryton_bench"}
        given |= {"PGPASSWORD": parts.password} if parts.password else {}
    done = subprocess.run([installed(), str(Path(__file__).with_name("work.py")), str(count)], env=given, capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ours(count: int) -> float:
    """Invoices a second of the same: drafted, issued, posted."""
    from bench.billing import AS_OF, seed

    with a_company():
        from topline.billing.models import Invoice
        from topline.books.models import Entity
        from topline.contracts import runs
        from topline.team.queries import system_actor

        seed(0, count)
        took, _ = timed(lambda: runs.run(actor=system_actor("bench"), entity_id=Entity.objects.get().pk, as_of=AS_OF))
        if Invoice.objects.filter(state="open", tax_minor__gt=0).count() != count:
            raise RuntimeError("Not every subscription was billed.")
    return count / took


def main(count: int) -> None:
    found = theirs(count)
    rate = found["posted"] / found["seconds"]
    same, many = ours(count), ours(MANY)
    show(
        f"bill run beside Tryton {found['version']}",
        [
            (f"Tryton: {count:,} subscriptions of two lines", f"{rate:,.1f} invoices a second, {1e3 * found['cpu'] / count:,.0f} ms of CPU an invoice"),
            (f"Topline: the same {count:,}", f"{same:,.0f} invoices a second, {same / rate:,.0f} times as many"),
            (f"Topline: {MANY:,} subscriptions", f"{many:,.0f} invoices a second, {many / rate:,.0f} times as many"),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
