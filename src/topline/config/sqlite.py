"""Put a sound SQLite under Django before anything imports it.

SQLite before 3.51.3 can lose committed transactions when a write-ahead log is reset while another connection
checkpoints. Where the interpreter's own library is older, the pysqlite3 wheel takes its place; settings, command line
and tests import this module first. On a platform without the wheel it warns and goes on.
"""

from __future__ import annotations

import importlib
import sqlite3
import sys
import warnings

NEEDED = (3, 51, 3)


def install() -> str:
    """Make `import sqlite3` mean a library of at least 3.51.3 where one is at hand; returns the version in use."""
    if sqlite3.sqlite_version_info >= NEEDED:
        return sqlite3.sqlite_version
    try:
        newer = importlib.import_module("pysqlite3")
    except ImportError:
        warnings.warn(
            f"SQLite {sqlite3.sqlite_version} can lose commits in WAL mode and no pysqlite3 wheel is installed; use PostgreSQL or Python with"
            " SQLite 3.51.3 or newer for real work.",
            RuntimeWarning,
            stacklevel=2,
        )
        return sqlite3.sqlite_version
    sys.modules["sqlite3"] = newer
    sys.modules["sqlite3.dbapi2"] = importlib.import_module("pysqlite3.dbapi2")
    return str(newer.sqlite_version)


VERSION = install()
