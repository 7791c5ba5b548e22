"""Backup and restore: one archive with the database and the kept files, consistent while everything runs."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import zlib
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection

from topline.kernel.database import is_postgresql
from topline.kernel.errors import Conflict, DomainError, Invalid

KEPT = (
    "imports",
    "lake",
)  # folders of the home whose files the database names; they only gain files, so after its copy they are whole
SQLITE, DUMP = "topline.sqlite3", "topline.pgdump"


def backup(target: Path) -> Path:
    """Write an archive; it appears under its name only when it is whole.

    Raises: Conflict (target exists), DomainError (disk, pg_dump).
    """
    if target.exists():
        raise Conflict(f"{target} exists already.", field="target", remedy="Choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder, tarfile.open(part, "w:gz") as archive:
            path = _dump(Path(folder))
            archive.add(path, arcname=path.name)
            for kept in KEPT:
                files = Path(settings.ENVIRONMENT.home) / kept
                if files.is_dir():
                    archive.add(files, arcname=kept)
        part.replace(target)
    except (OSError, DatabaseError) as error:
        raise DomainError(f"The backup could not be written: {error}.", remedy="Free some disk space.") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def restore(source: Path) -> None:
    """Bring an archive into an empty database and home.

    Raises: Invalid (no archive of ours), Conflict (there are books here already).
    """
    _ensure_empty()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with gzip.open(source) as stream:
                with tarfile.open(fileobj=stream, mode="r:") as archive:
                    archive.extractall(folder, filter="data")
                while stream.read(1024 * 1024):  # the checksum stands at the end, beyond what the archive needs
                    pass
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise Invalid(f"{source.name} is no backup that can be read: {error}.", field="source") from error
        dump = Path(folder) / (DUMP if is_postgresql() else SQLITE)
        if not dump.exists():
            raise Invalid(
                f"{source.name} holds no copy for {connection.vendor}.",
                field="source",
                remedy="Restore it into the kind of database it came from.",
            )
        _load(dump)
        for kept in KEPT:
            if (Path(folder) / kept).is_dir():
                shutil.copytree(Path(folder) / kept, Path(settings.ENVIRONMENT.home) / kept, dirs_exist_ok=True)
    call_command("migrate", verbosity=0)


def _dump(folder: Path) -> Path:
    if is_postgresql():
        path = folder / DUMP
        _run("pg_dump", "--format=custom", f"--file={path}")
        return path
    path = folder / SQLITE
    with connection.cursor() as cursor:
        # a consistent snapshot made by SQLite itself, while others read and write
        cursor.execute("VACUUM INTO %s", [str(path)])
    return path


def _load(dump: Path) -> None:
    """Put a copy in the place of the empty database, whole or not at all."""
    if is_postgresql():
        database = f"--dbname={connection.settings_dict['NAME']}"
        _run("pg_restore", "--no-owner", "--clean", "--if-exists", "--single-transaction", database, str(dump))
        return
    _ensure_sound(dump)
    connection.close()
    target = Path(settings.DATABASES["default"]["NAME"])
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    shutil.copyfile(dump, target)


def _ensure_sound(copy: Path) -> None:
    """Raises: Invalid where a SQLite file is damaged or none at all."""
    try:
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as database:
            told = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        told = str(error)
    if told != "ok":
        raise Invalid(f"The copy in the archive is damaged: {told}.", field="source", remedy="Use another backup.")


def _ensure_empty() -> None:
    tables = connection.introspection.table_names()
    if "books_entity" in tables:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM books_entity")
            if cursor.fetchone()[0]:
                raise Conflict(
                    "There are books here already; a restore would overwrite them.",
                    remedy="Use an empty TOPLINE_HOME or database.",
                )


def _run(program: str, *arguments: str) -> None:
    given = connection.settings_dict
    environment = {
        **os.environ, "PGHOST": given["HOST"], "PGPORT": str(given["PORT"] or ""), "PGUSER": given["USER"], "PGPASSWORD": given["PASSWORD"], "PGDATABASE": given["NAME"],
    }  # fmt: skip
    try:
        subprocess.run(
            [_program(program), *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={k: v for k, v in environment.items() if v},
        )
    except FileNotFoundError as error:
        raise DomainError(f"{program} is not installed.", remedy="Install PostgreSQL's client programs.") from error
    except subprocess.CalledProcessError as error:
        raise DomainError(f"{program} failed: {error.stderr.strip()[-300:]}") from error


def _program(name: str) -> str:
    """A client program of PostgreSQL: on the path, or where Debian keeps those of the newest version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return shutil.which(name) or (str(versions[-1]) if versions else name)
