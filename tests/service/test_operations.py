"""The operator's side of the running service: logs, metrics, commands, pages, and what is refused.

On a stack of its own with two web processes, whose log is JSON and whose errors go to a Sentry
that is a server of ours.
"""

import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from uuid import uuid4

import psycopg
import pytest
import requests
from actors import PATIENCE, Simulator, User, clean_environ, jpeg, run_command, until
from redis import Redis

from devstack.stack import Stack, free_ports
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


# -- a pause: at the end, since for seconds one web process may not know that it is over ------


def test_a_pause_refuses_new_try_ons_and_lets_the_others_end(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(delay=3)
    running = user.start(garment_id)
    run_command(stack, "pause", "--minutes", "5", "--message", "We are back at nine.")
    files = {"userImage": ("me.jpg", jpeg(comment=uuid4().hex.encode()), "image/jpeg")}

    def refused() -> tuple[Any, str] | None:
        found = user.call("POST", "/api/try-on", files=files, data={"garmentId": garment_id})
        return (found.json(), found.headers["Retry-After"]) if found.status_code == 503 else None

    try:
        told, seconds = until(refused)
        assert user.wait(running)["status"] == "success"
    finally:
        run_command(stack, "resume")
    assert (told["code"], told["message"]) == ("paused", "We are back at nine.")
    assert 1 <= int(seconds) <= 60
    assert until(lambda: refused() is None)
    assert "It was not paused" in run_command(stack, "resume")
