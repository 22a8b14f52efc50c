"""A real PostgreSQL with our migrations, and nothing else: no gateway, no web, no worker.

`VTON_MIGRATIONS` names another folder of migrations, and `VTON_DATABASE_URL` a database of a server
that already runs; `tests/mutate_sql.py` sets both.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sql.rows import Database

from devstack import postgres

Connect = Callable[[], Database]

SPECIFICATION = """
drop table garments, try_on_history, provider_tasks, submits, erasures, idempotency_keys, pauses,
  session_log cascade;
create table garments (
  id uuid default gen_random_uuid() primary key, name text not null, brand text, category text,
  image_url text not null, created_at timestamptz default now()
);
create table try_on_history (
  id uuid default gen_random_uuid() primary key,
  user_id uuid references auth.users (id) on delete cascade,
  garment_id uuid references garments (id) on delete set null,
  original_user_image_url text, result_image_url text, status text not null default 'queued',
  error_message text, created_at timestamptz default now()
);
alter table try_on_history enable row level security;
create policy "own rows" on try_on_history for all using (user_id = auth.uid());
update storage.buckets set public = true;
"""
"""The tables as the specification makes them, instead of ours, and the public bucket."""

STATEMENT_SECONDS = 10
"""No statement takes longer, unless it waits for a lock that is never given back."""
NEAR_MIDNIGHT = timedelta(seconds=10)


@pytest.fixture(scope="session")
def migrations() -> Path:
    """The folder of the migrations under test."""
    return Path(os.environ.get("VTON_MIGRATIONS") or postgres.MIGRATIONS)


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory, migrations: Path) -> Iterator[str]:
    """A migrated database."""
    if given := os.environ.get("VTON_DATABASE_URL"):
        postgres.migrate(given, migrations)
        yield given
        return
    server = postgres.start(tmp_path_factory.mktemp("postgres"))
    try:
        postgres.migrate(server.url, migrations)
        yield server.url
    finally:
        server.stop(remove=True)


@pytest.fixture(scope="session")
def connect(database_url: str) -> Connect:
    """Open one more connection, as `postgres`, to the migrated database."""
    options = f"-c statement_timeout={STATEMENT_SECONDS}s"
    return lambda: psycopg.connect(database_url, autocommit=True, options=options)


@pytest.fixture(scope="session")
def _connection(connect: Connect) -> Iterator[Database]:
    with connect() as connection:
        yield connection


@pytest.fixture
def db(_connection: Database) -> Iterator[Database]:
    """The database as its owner, in a transaction that is never kept; `now()` stands still."""
    with _connection.transaction(force_rollback=True):
        yield _connection


@pytest.fixture
def several(connect: Connect, database_url: str) -> Iterator[Connect]:
    """Open connections that see what the others committed; afterwards every row is gone.

    Not at midnight (UTC), so that all that a test does is done on one day.
    """
    now = datetime.now(UTC)
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    if tomorrow - now < NEAR_MIDNIGHT:
        time.sleep((tomorrow - now).total_seconds())
    with ExitStack() as opened:
        yield lambda: opened.enter_context(connect())
    with psycopg.connect(database_url, user=postgres.SUPERUSER, autocommit=True) as admin:
        admin.execute(
            "truncate try_on_history, garments, provider_tasks, submits, erasures,"
            " idempotency_keys, pauses, session_log"
        )
        admin.execute("delete from auth.users")


@pytest.fixture
def without_default_grants(
    database_url: str, migrations: Path, tmp_path: Path
) -> Iterator[Database]:
    """Our migrations on a project that grants nothing on new tables and functions by itself."""
    name = f"bare_{uuid4().hex}"
    url = make_conninfo(database_url, dbname=name)
    with psycopg.connect(database_url, user=postgres.SUPERUSER, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        try:
            postgres.migrate(url, tmp_path)  # an empty folder: only what Supabase brings
            with psycopg.connect(url, autocommit=True) as bare:
                for kind in (b"tables", b"functions"):
                    bare.execute(
                        b"alter default privileges in schema public revoke all on "
                        + kind
                        + b" from anon, authenticated, service_role"
                    )
                for path in sorted(migrations.glob("*.sql")):
                    bare.execute(path.read_bytes())
                yield bare
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def theirs(connect: Connect) -> Iterator[Database]:
    """A database as the specification makes it, in a transaction that is never kept."""
    with connect() as connection:
        connection.prepare_threshold = None  # the tables change
        with connection.transaction(force_rollback=True):
            connection.execute(SPECIFICATION)
            yield connection


@pytest.fixture
def adopt(theirs: Database, migrations: Path) -> Callable[[], None]:
    """Apply all migrations."""

    def apply() -> None:
        for path in sorted(migrations.glob("*.sql")):
            theirs.execute(path.read_bytes())

    return apply
