"""`flask --app wsgi migrate`, the line that a release runs first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from databases import SPECIFICATION

from config import Config
from devstack import postgres
from devstack.stack import Stack
from vton.adapters.supabase.migrations import MIGRATIONS, apply_migrations
from vton.app import create_app
from vton.errors import MigrationFailed, Unavailable
from vton.web.health import Health, Parts
from vton.wiring import Services

NAMES = [path.name for path in sorted(MIGRATIONS.glob("*.sql"))]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[postgres.Postgres]:
    """PostgreSQL as Supabase makes it, with the specification's tables and nothing of ours."""
    (tmp_path / "none").mkdir()
    running = postgres.start(tmp_path / "postgres")
    try:
        postgres.migrate(running.url, tmp_path / "none")
        with psycopg.connect(running.url) as connection:
            connection.execute(SPECIFICATION.encode())
        yield running
    finally:
        running.stop(remove=True)


def migrate(
    stack: Stack, services: Services | None = None, *options: str, **settings: str
) -> Result:
    """Run the command, as an operator would, with some settings more."""
    app = create_app(Config.from_env(stack.child_environ | settings), services)
    return app.test_cli_runner().invoke(args=["migrate", *options])


def test_it_applies_what_is_missing_and_records_it(stack: Stack, server: postgres.Postgres) -> None:
    first = migrate(stack, SUPABASE_DB_URL=server.url)
    again = migrate(stack, SUPABASE_DB_URL=server.url)

    assert (first.exit_code, first.output.split("\n")) == (
        0, [*NAMES, "The database is up to date.", ""]
    )  # fmt: skip
    assert (again.exit_code, again.output) == (0, "The database is up to date.\n")
    with psycopg.connect(server.url) as connection:
        recorded = connection.execute(
            "select version || '_' || name || '.sql' from supabase_migrations.schema_migrations"
        ).fetchall()
    assert sorted(recorded) == [(name,) for name in NAMES]


def test_what_somebody_has_changed_since_is_said_and_mended(
    stack: Stack, server: postgres.Postgres
) -> None:
    def faults() -> list[str]:
        with psycopg.connect(server.url) as connection:
            found = connection.execute("select installation_faults('vton-assets')").fetchall()
        return [fault for (fault,) in found]

    migrate(stack, SUPABASE_DB_URL=server.url)
    with psycopg.connect(server.url) as connection:
        connection.execute("alter function claim_submit(uuid, uuid, bigint) rename to hidden")
        connection.execute("alter table submits disable row level security")
        connection.execute("alter table try_on_history disable trigger try_on_history_erasures")
        connection.execute('drop policy "users read their own sessions" on try_on_history')
        connection.execute("drop function schema_version cascade")
    assert len(faults()) == 5

    said = migrate(stack, SUPABASE_DB_URL=server.url)
    mended = migrate(stack, None, "--again", SUPABASE_DB_URL=server.url)

    assert said.exit_code == 1
    assert "flask --app wsgi migrate --again" in said.output
    assert (mended.exit_code, mended.output.split("\n")) == (
        0, [*NAMES, "The database is up to date.", ""]
    )  # fmt: skip
    assert faults() == []


@pytest.mark.thorough
def test_two_releases_at_once_apply_each_migration_once(server: postgres.Postgres) -> None:
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(lambda _: list(apply_migrations(server.url)), range(4)))

    assert sorted(name for names in applied for name in names) == NAMES


def test_without_the_databases_address_it_looks_whether_that_was_done(
    stack: Stack, services: Services
) -> None:
    done = migrate(stack)

    def check() -> None:
        raise Unavailable("it is not migrated")

    missing = Parts({"database": check})
    missed = migrate(stack, replace(services, health=Health(ready=missing, service=missing)))

    assert (done.exit_code, done.output) == (0, "The database is up to date.\n")
    assert missed.exit_code == 1
    assert missed.output == "Error: The database is not ready: it is not migrated.\n"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres:geh#eim@127.0.0.1/postgres",
        "postgresql://postgres:geh/eim@127.0.0.1/postgres",
        "postgresql://postgres:geh%eim@127.0.0.1/postgres",
        "postgresql://postgres:geh@eim@127.0.0.1/postgres",
        "postgresql://postgres:geheim@127.0.0.1:1/postgres",
        "postgresql://postgres:geheim@[::1/postgres",
    ],
)
def test_a_wrong_address_is_told_without_its_password(url: str) -> None:
    with pytest.raises(MigrationFailed) as failed:
        list(apply_migrations(url))

    assert "eim" not in str(failed.value)
    assert "geh" not in str(failed.value)
