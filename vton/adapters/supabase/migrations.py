"""The migrations, applied over a connection to PostgreSQL, as `supabase db push` applies them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from vton.errors import MigrationFailed

MIGRATIONS = Path(__file__).parents[3] / "supabase" / "migrations"

CONNECT_SECONDS = 10
LOCK_SECONDS = 10
"""So long a statement waits for a table that others use: whoever comes after it waits, too."""
_RECORD = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text primary key);
alter table supabase_migrations.schema_migrations
  add column if not exists statements text[], add column if not exists name text;
"""
"""Where the Supabase CLI records what was applied, made as it makes it."""


def apply_migrations(
    url: str, folder: Path = MIGRATIONS, *, again: bool = False, version: int = 0
) -> Iterator[str]:
    """Apply every `<14 digits>_name.sql` that is not recorded yet, yielding its name.

    Each is applied and recorded in a transaction of its own: one that fails leaves no trace, and
    those before it stay. Several may do this at once, and through a pooler that gives each
    transaction another connection. With `again`, those that are recorded are applied once more,
    which mends what somebody has changed. Raises MigrationFailed, also where the schema is none of
    this `version` then.
    """
    _check(url)
    doing = "the database"
    try:
        with psycopg.connect(
            url, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS
        ) as connection:
            connection.execute("set client_min_messages to warning")
            with _alone(connection):
                connection.execute(_RECORD)
            for path in sorted(folder.glob("[0-9]" * 14 + "_*.sql")):
                doing = path.name
                if _apply(connection, path, again=again):
                    yield path.name
            if version:
                _check_version(connection, version)
            connection.execute("notify pgrst, 'reload schema'")
    except psycopg.Error as error:
        raise MigrationFailed(f"{doing}: {error}") from None


def _check(url: str) -> None:
    """Refuse what is no URL, whose password PostgreSQL's own message would quote."""
    try:
        parts = conninfo_to_dict(url)
        usable = "@" not in str(parts.get("host")) and str(parts.get("port", 5432)).isdigit()
    except psycopg.ProgrammingError:
        usable = False
    if not usable:
        raise MigrationFailed(
            "SUPABASE_DB_URL is no URL of a database: special characters of the password have to"
            " be percent-encoded, @ as %40"
        )


@contextmanager
def _alone(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction that no other migrator is in at the same time."""
    with connection.transaction():
        connection.execute("set local statement_timeout = 0")
        connection.execute("select pg_advisory_xact_lock(hashtext('supabase_migrations'))")
        connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'".encode())
        yield


def _check_version(connection: psycopg.Connection[Any], wanted: int) -> None:
    try:
        row = connection.execute("select public.schema_version()").fetchone()
    except psycopg.errors.UndefinedFunction:
        row = None
    if row is None or row[0] < wanted:
        raise MigrationFailed(
            "all migrations are recorded as applied, and the schema is not this release's: it was"
            " changed since. Apply them once more: flask --app wsgi migrate --again"
        )


def _apply(connection: psycopg.Connection[Any], path: Path, *, again: bool) -> bool:
    """Apply a migration unless it is recorded, and say whether it was applied."""
    version, _, name = path.stem.partition("_")
    statements = path.read_text(encoding="utf-8")
    with _alone(connection):
        recorded = connection.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements)"
            " values (%s, %s, array[%s]) on conflict do nothing",
            (version, name, statements),
        )
        if not recorded.rowcount and not again:
            return False
        connection.execute(statements.encode())
        return True
