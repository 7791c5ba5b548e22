"""Run a command with a private PostgreSQL cluster: python tests/with_postgres.py pytest ...

Finds /usr/lib/postgresql/*/bin (or pg_ctl on PATH), makes a cluster in a short temporary folder, listens on a socket
only, and stops and removes it at the end. PostgreSQL refuses to run as root, so root lends it the user `postgres` or
`nobody`. Where no server is found it says so and exits 0.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def server_folder() -> Path | None:
    """The newest folder that holds initdb and pg_ctl."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda p: float(p.parts[-3]), reverse=True)
    on_path = shutil.which("pg_ctl")
    return found[0].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A running cluster; yields its address for TOPLINE_DATABASE_URL."""
    home = Path(tempfile.mkdtemp(prefix="tl-", dir="/tmp"))
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(home, user.pw_uid, user.pw_gid)

    def run(*command: str) -> None:
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        subprocess.run(
            command, check=True, cwd=home, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"}, **as_user
        )

    data = home / "data"
    try:
        run(str(folder / "initdb"), "-D", str(data), "-U", "topline", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = (
            f"-k {home} -c listen_addresses='' -c fsync=off -c max_connections=60 -c shared_buffers=256MB -c max_wal_size=2GB"
        )
        run(str(folder / "pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log"), "-o", options, "start")
        try:
            yield f"postgresql://topline@/postgres?host={home}"
        finally:
            run(str(folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    folder = server_folder()
    if folder is None:
        print("PostgreSQL is not installed here: its half of the tests is skipped.")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with cluster(folder) as url:
        return subprocess.run(sys.argv[1:], check=False, env={**os.environ, "TOPLINE_DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
