"""The local PostgreSQL: it starts, stops, survives what kills it, and migrates."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import postgres
from vton.errors import MigrationFailed

pytestmark = pytest.mark.thorough


@pytest.fixture
def data() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="vton-", dir="/tmp"))
    path.chmod(0o755)
    yield path / "postgres"
    shutil.rmtree(path)


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from things").fetchone()
    assert row
    return int(row[0])


def make_things(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table things as select 1 from generate_series(1, 5)")


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


def server_pid(data: Path) -> int:
    return int((data / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def test_data_is_there_after_a_restart_and_stopping_waits_for_nobody(data: Path) -> None:
    server = postgres.start(data)
    make_things(server.url)
    pid = server_pid(data)
    busy = psycopg.connect(server.url)
    started = time.monotonic()
    server.stop()
    took = time.monotonic() - started
    server.stop()

    again = postgres.start(data)
    found = count(again.url)
    again.stop()

    assert found == 5
    assert took < postgres.PATIENCE  # the one who is connected would stay for ever
    assert not alive(pid)
    with pytest.raises(psycopg.OperationalError):
        busy.execute("select 1")


def test_it_runs_in_a_session_of_its_own(data: Path) -> None:
    server = postgres.start(data)
    session = os.getsid(server_pid(data))
    server.stop()

    assert session != os.getsid(0)


def test_a_killed_server_starts_again(data: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from devstack import postgres;"
        "print(postgres.start(Path(sys.argv[1])).url, flush=True); time.sleep(60)"
    )
    for victim in ("server", "owner"):
        owner = subprocess.Popen(
            [sys.executable, "-c", script, str(data)], stdout=subprocess.PIPE, text=True
        )
        assert owner.stdout
        url = owner.stdout.readline().strip()
        if victim == "server":
            make_things(url)
        pid = server_pid(data)
        if victim == "server":
            os.kill(pid, signal.SIGKILL)
        owner.kill()
        owner.wait()

        server = postgres.start(data)
        found = count(server.url)
        server.stop()

        assert found == 5
        assert not alive(pid), "what was left of the killed run has ended"


def test_a_process_id_that_came_back_is_not_taken_for_the_server(data: Path) -> None:
    server = postgres.start(data)
    make_things(server.url)
    server.stop()
    with subprocess.Popen(["sleep", "600"]) as somebody:
        (data / "cluster" / "postmaster.pid").write_text(
            f"{somebody.pid}\n{data}/cluster\n1\n5432\n{data}/cluster\n\n0 0\nready\n"
        )

        again = postgres.start(data)
        found, pid = count(again.url), server_pid(data)
        again.stop()

        assert somebody.poll() is None, "nobody else's process is ended"
        somebody.kill()
    assert found == 5
    assert pid != somebody.pid


def test_one_folder_has_one_owner(data: Path) -> None:
    server = postgres.start(data)
    try:
        with pytest.raises(postgres.PostgresError, match="another run is using the data"):
            postgres.start(data)
        make_things(server.url)
        other = postgres.start(data.with_name("other"))
        with pytest.raises(psycopg.errors.UndefinedTable):
            count(other.url)
        other.stop()
        assert count(server.url) == 5
    finally:
        server.stop()


def test_a_long_path_and_one_with_a_space_work(data: Path) -> None:
    folder = data / ("long" * 20) / "and a space"
    server = postgres.start(folder)
    make_things(server.url)
    server.stop()
    again = postgres.start(folder)
    found = count(again.url)
    again.stop(remove=True)

    assert len(bytes(folder)) > postgres.LONGEST_SOCKET
    assert found == 5
    assert not (folder / "cluster").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change the user")
def test_root_may_keep_its_data_where_nobody_else_gets(data: Path) -> None:
    closed = data / "closed"
    closed.mkdir(parents=True, mode=0o700)

    server = postgres.start(closed / "postgres")
    make_things(server.url)
    server.stop()
    again = postgres.start(closed / "postgres")
    found = count(again.url)
    again.stop(remove=True)

    assert found == 5
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change the user")
def test_root_may_have_the_package_where_nobody_else_gets(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_reachable", lambda path: data in (path, *path.parents))

    server = postgres.start(data)
    make_things(server.url)
    server.stop()

    assert (data / "server").is_dir()


def test_migrations_are_applied_once_each_whole_or_not_at_all(data: Path, tmp_path: Path) -> None:
    (tmp_path / "20260101000000_one.sql").write_text("create table one (a text default '100%');")
    server = postgres.start(data)
    try:
        assert postgres.migrate(server.url, tmp_path) == ["20260101000000_one.sql"]
        assert postgres.migrate(server.url, tmp_path) == []
        broken = tmp_path / "20260102000000_two.sql"
        broken.write_text("create table two (); create table one ();")
        with pytest.raises(MigrationFailed, match=r'two\.sql: relation "one" already'):
            postgres.migrate(server.url, tmp_path)
        broken.write_text("create table two ();")
        assert postgres.migrate(server.url, tmp_path) == ["20260102000000_two.sql"]
        with psycopg.connect(server.url) as connection:
            recorded = connection.execute(
                "select version, name from supabase_migrations.schema_migrations order by 1"
            ).fetchall()
    finally:
        server.stop()

    assert recorded == [("20260101000000", "one"), ("20260102000000", "two")]


def test_it_is_as_open_as_a_hosted_project(data: Path, tmp_path: Path) -> None:
    server = postgres.start(data)
    try:
        postgres.migrate(server.url, tmp_path)
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create table open_by_default (a int)")
            row = connection.execute(
                "select has_table_privilege('anon', 'open_by_default', 'truncate'),"
                " has_table_privilege('authenticated', 'auth.users', 'select'),"
                " (select rolsuper from pg_roles where rolname = current_user),"
                " storage.foldername('a/b/c.tar.gz'), storage.filename('a/b/c.tar.gz'),"
                " storage.extension('a/b/c.tar.gz'), storage.foldername('c'), auth.uid()"
            ).fetchone()
    finally:
        server.stop()

    assert row == (True, False, False, ["a", "b"], "c.tar.gz", "gz", [], None)
