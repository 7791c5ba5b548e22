"""Polars frames in and out of tables, inside the current transaction.

Writing is COPY on PostgreSQL and executemany on SQLite; reading is COPY back or one fetch. Columns are matched to model
fields by name (`customer_id` for a foreign key), types by the field, so that no row ever becomes a Python object.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

import polars as pl
from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models import QuerySet

from topline.kernel.database import is_postgresql, one_of

CHUNK = 50_000
FEW = 900  # ids that one statement may name: SQLite takes 999 parameters where it was built sparingly
_NULL = "\x01"  # a control character that no input may hold
_DTYPES: list[tuple[type[models.Field[Any, Any]], pl.DataType]] = [
    (models.BooleanField, pl.Boolean()),
    (models.DateTimeField, pl.Datetime("us", "UTC")),
    (models.DateField, pl.Date()),
    (models.FloatField, pl.Float64()),
    (models.IntegerField, pl.Int64()),
    (models.ForeignKey, pl.Int64()),
    (models.JSONField, pl.String()),
    (models.CharField, pl.String()),
    (models.TextField, pl.String()),
]


def dtype(field: models.Field[Any, Any]) -> pl.DataType:
    """The Polars type that holds a model field."""
    for kind, polars_type in _DTYPES:
        if isinstance(field, kind):
            return polars_type
    raise TypeError(f"{field!r} has no Polars type: use integers, dates, text or booleans")


def schema(model: type[models.Model], columns: Iterable[str]) -> dict[str, pl.DataType]:
    """Polars types of a model's columns, by attribute name."""
    fields = {f.attname: f for f in model._meta.concrete_fields}
    return {name: dtype(fields[name]) for name in columns}


def reserve_ids(model: type[models.Model], count: int) -> pl.Series:
    """`count` new primary keys, ascending; on PostgreSQL from the table's own sequence, so that single inserts never collide."""
    if count == 0:
        return pl.Series("id", [], dtype=pl.Int64)
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if is_postgresql():
            named = "(SELECT pg_get_serial_sequence(%s, 'id')::regclass)"  # asked once: nextval of the bare call would look the name up for each id
            taken = f"SELECT nextval({named}) AS id FROM generate_series(1, %s)"
            gaps = "max(id) - min(id) + 1 > count(*)"  # another took some in between
            cursor.execute(
                f"SELECT min(id), CASE WHEN {gaps} THEN array_agg(id ORDER BY id) END FROM ({taken}) AS taken", [table, count]
            )
            first, listed = cursor.fetchone()
            if listed:
                return pl.Series("id", listed, dtype=pl.Int64)
            return pl.int_range(first, first + count, dtype=pl.Int64, eager=True).alias("id")
        cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = %s RETURNING seq", [count, table])
        found = cursor.fetchall()  # to the end: the statement takes effect only then
        if not found:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, count])
        first = (found[0][0] if found else count) - count + 1
    return pl.int_range(first, first + count, dtype=pl.Int64, eager=True).alias("id")


def insert(model: type[models.Model], frame: pl.DataFrame) -> pl.DataFrame:
    """Write a frame as new rows; returns it with the column `id`, reserved here unless it is already there.

    frame   one row per new row: attribute names of the model; defaults of fields left out are filled in
    Work: one statement per 50,000 rows and at most two for ids (one, once the table has rows).
    Raises: django.db.IntegrityError where a constraint refuses; the surrounding transaction is then to be rolled back.
    """
    if frame.is_empty():
        return frame if "id" in frame.columns else frame.with_columns(id=pl.lit(None, dtype=pl.Int64))
    if "id" not in frame.columns:
        frame = frame.with_columns(reserve_ids(model, frame.height).alias("id"))
    columns = [f.attname for f in model._meta.concrete_fields if f.attname in frame.columns or _default(f) is not None]
    unknown = set(frame.columns) - set(columns)
    if unknown:
        raise TypeError(f"{model.__name__} has no columns {sorted(unknown)}")
    typed = _typed(model, frame, columns)
    for start in range(0, typed.height, CHUNK):
        _insert_chunk(model, typed.slice(start, CHUNK))
    return frame


def update(model: type[models.Model], frame: pl.DataFrame, *, key: str = "id") -> None:
    """Set columns of existing rows from a frame of one row per `key`. Work: one statement per 50,000 rows."""
    names = [c for c in frame.columns if c != key]
    if frame.is_empty() or not names:
        return
    typed = _typed(model, frame, [*names, key])
    fields = {f.attname: f for f in model._meta.concrete_fields}
    table, quote = connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name
    column = {name: quote(cast(str, fields[name].column)) for name in [*names, key]}
    for start in range(0, typed.height, CHUNK):
        chunk = typed.slice(start, CHUNK)
        with connection.cursor() as cursor:
            if is_postgresql():
                arrays = ", ".join(f"%s::{fields[name].db_type(connection)}[]".replace("identity", "") for name in [*names, key])
                sets = ", ".join(f"{column[name]} = v.c{i}" for i, name in enumerate(names))
                alias = ", ".join(f"c{i}" for i in range(len(names) + 1))
                sql = f"UPDATE {table} t SET {sets} FROM unnest({arrays}) AS v({alias}) WHERE t.{column[key]} = v.c{len(names)}"
                cursor.execute(sql, [chunk[name].to_list() for name in [*names, key]])
            else:
                sets = ", ".join(f"{column[name]} = ?" for name in names)
                with connection.wrap_database_errors:
                    _raw_sqlite(cursor).executemany(f"UPDATE {table} SET {sets} WHERE {column[key]} = ?", _sqlite_rows(chunk))


def read(rows: QuerySet[Any, Any]) -> pl.DataFrame:
    """A `.values(...)` queryset as a frame: one column per name, typed by the model's fields.

    Work: one statement; a million rows take seconds, not minutes, because no model instances are made.
    """
    types = _query_schema(rows)
    try:
        sql, params = rows.query.sql_with_params()
    except EmptyResultSet:  # the filter can match nothing, such as `id__in=[]`
        return pl.DataFrame(schema=types)
    return query(sql, params, types)


def any_known(field: str, model: type[models.Model], values: Sequence[str]) -> str | None:
    """The first of many texts that stands in a column of a table, if one does. Work: one statement, whatever their number."""
    table, column = connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name(field)
    among, given = one_of(column, values)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE {among} LIMIT 1", given)
        found = cursor.fetchone()
    return str(found[0]) if found else None


def read_by_id(model: type[models.Model], ids: Sequence[int] | pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """Rows of a table in the order of their ids, of those that exist. Work: one statement with one parameter, however many ids."""
    types = schema(model, columns)
    wanted = pl.Series("id", ids, dtype=pl.Int64).unique().sort().to_list()
    if not wanted:
        return pl.DataFrame(schema=types)
    fields, quote = {f.attname: f for f in model._meta.concrete_fields}, connection.ops.quote_name
    named = ", ".join(quote(cast(str, fields[name].column)) for name in columns)
    is_wanted, given = one_of("id", wanted)
    return query(f"SELECT {named} FROM {quote(model._meta.db_table)} WHERE {is_wanted} ORDER BY id", given, types)


def read_locked(model: type[models.Model], ids: Sequence[int], columns: Sequence[str]) -> pl.DataFrame:
    """Rows by id, locked in the order of their ids until the transaction ends, so that rivals queue instead of deadlock.

    Work: one statement, two on PostgreSQL. The caller must be in a transaction; SQLite's immediate ones are the lock.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("Rows are locked inside a transaction; open one first.")
    ordered = sorted(set(ids))
    if is_postgresql() and ordered:
        with connection.cursor() as cursor:
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(f"SELECT id FROM {table} WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [ordered])
    return read_by_id(model, ordered, columns)


def query(sql: str, params: Sequence[Any], types: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows of a SQL statement as a frame of the named types, in the order of its columns."""
    with connection.cursor() as cursor:
        if is_postgresql():
            buffer = io.BytesIO()
            from psycopg import ClientCursor  # here alone: it takes a tenth of a second to load, and SQLite needs none of it

            bound = ClientCursor(connection.connection).mogrify(sql, params or None)  # COPY takes no parameters
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY ({bound}) TO STDOUT (FORMAT csv, NULL '{_NULL}', FORCE_QUOTE *)") as copy,
            ):
                for data in copy:
                    buffer.write(data)
            if not buffer.tell():
                return pl.DataFrame(schema=types)
            buffer.seek(0)
            wire = {name: _WIRE.get(type(kind), kind) for name, kind in types.items()}
            frame = pl.read_csv(buffer, has_header=False, schema=wire, null_values=_NULL, empty_string_is_null=False)
            return _from_wire(frame, types)
        # A cast has no declared type, so the driver hands out plain text instead of converting value by value.
        names = [f"c{i}" for i in range(len(types))]
        casts = [_SQLITE_CAST.get(type(kind), "{}").format(name) for name, kind in zip(names, types.values(), strict=True)]
        cursor.execute(f"WITH q({', '.join(names)}) AS ({sql}) SELECT {', '.join(casts)} FROM q", params)
        raw = cursor.fetchall()
    wire = {name: pl.Int64() if isinstance(kind, pl.Boolean) else _WIRE.get(type(kind), kind) for name, kind in types.items()}
    columns = (
        zip(wire, zip(*raw, strict=True), strict=True) if raw else ((name, ()) for name in wire)
    )  # column by column: a third of the time of row by row
    return _from_wire(pl.DataFrame([pl.Series(name, values, dtype=wire[name]) for name, values in columns]), types)


_SQLITE_CAST: dict[type[pl.DataType], str] = {pl.Date: "CAST({} AS text)", pl.Datetime: "CAST({} AS text)", pl.Boolean: "{} + 0"}
_WIRE: dict[type[pl.DataType], pl.DataType] = {pl.Date: pl.String(), pl.Datetime: pl.String(), pl.Boolean: pl.String()}


def _from_wire(frame: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    return frame.with_columns(_parse(name, kind, frame.schema[name]) for name, kind in types.items())


def _parse(name: str, kind: pl.DataType, wire: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    match kind:
        case pl.Date():
            return column.str.slice(0, 10).str.to_date("%Y-%m-%d")
        case pl.Datetime():
            # "2026-01-31 10:00:00[.123456][+00]": both databases write UTC
            return (
                column.str.strip_suffix("+00").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us").dt.replace_time_zone("UTC")
            )
        case pl.Boolean():
            return column == "t" if isinstance(wire, pl.String) else column.cast(pl.Boolean)
        case _:
            return column


def _query_schema(rows: QuerySet[Any, Any]) -> dict[str, pl.DataType]:
    compiler = rows.query.get_compiler(using="default")
    compiler.setup_query()
    names = [*rows.query.extra_select, *rows.query.values_select, *rows.query.annotation_select]
    selected = [expression for expression, _, _ in compiler.select or []]
    # Django selects model columns first and annotations last, unless values() names them in another order.
    by_alias = {alias: expression for expression, _, alias in compiler.select or [] if alias}
    types: dict[str, pl.DataType] = {}
    for position, name in enumerate(names):
        expression = by_alias.get(name, selected[position])
        types[name] = dtype(expression.output_field)
    return types


def _default(field: models.Field[Any, Any]) -> Any:
    """The value to fill in for a column that the frame leaves out; None where the field allows none."""
    if field.primary_key or not field.has_default():
        return "" if isinstance(field, models.CharField | models.TextField) and not field.null and field.blank else None
    return field.get_default()


def _typed(model: type[models.Model], frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    fields = {f.attname: f for f in model._meta.concrete_fields}
    expressions = []
    for name in columns:
        field = fields[name]
        if name in frame.columns:
            expressions.append(pl.col(name).cast(dtype(field)))
        else:
            value = _default(field)
            expressions.append(
                pl.lit(json.dumps(value) if isinstance(field, models.JSONField) else value, dtype=dtype(field)).alias(name)
            )
    return frame.select(expressions)


def _insert_chunk(model: type[models.Model], chunk: pl.DataFrame) -> None:
    fields = {f.attname: f for f in model._meta.concrete_fields}
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    columns = ", ".join(quote(cast(str, fields[name].column)) for name in chunk.columns)
    with connection.cursor() as cursor:
        if is_postgresql():
            data = chunk.with_columns(pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00")).write_csv(
                include_header=False, quote_style="non_numeric", null_value=_NULL
            )
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv, NULL '{_NULL}')") as copy,
            ):
                copy.write(data.encode())
            return
        marks = ", ".join("?" * chunk.width)
        with connection.wrap_database_errors:
            _raw_sqlite(cursor).executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", _sqlite_rows(chunk))


def _sqlite_rows(chunk: pl.DataFrame) -> list[tuple[Any, ...]]:
    return chunk.with_columns(
        # as Django writes it, without an empty fraction: SQLite compares moments as texts
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S%.6f").str.strip_suffix(".000000"),
        pl.col(pl.Date).dt.strftime("%Y-%m-%d"),
        pl.col(pl.Boolean).cast(pl.Int64),
    ).rows()


def _raw_sqlite(cursor: Any) -> Any:
    """The driver's own cursor: Django's would rewrite placeholders and log every row."""
    return cursor.cursor
