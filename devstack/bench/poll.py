"""Polls: requests a second of one web process, against the database and a constant view."""

import time

from devstack.bench.load import Load, ask, request
from devstack.bench.stand import Bench
from devstack.bench.table import Row, Section

CONNECTIONS = (1, 32, 256)
SECONDS = 5.0
SESSIONS = 32
NEW_REDIS_SECONDS = 30
"""So long after Redis has begun, nothing is prolonged: see `vton.adapters.redis.queue`."""
WARM_SECONDS = 15
"""Until a pass of the sweep prolongs what the first polls have found."""
SPECIFICATIONS_STACK = 776
"""Polls a second of the specification's own stack on such a machine, one process, 32
connections, 5 ms to the database (measured 2026-11-24)."""


def measure() -> Section:
    """Poll sessions that a worker has, by 1, 32 and 256 connections."""
    rows: list[Row] = []
    settings = {"WORKER_CONCURRENCY": str(SESSIONS), "PIXAZO_FIRST_POLL": "0.5"}
    with Bench(3600, **settings, PIXAZO_POLL_INTERVAL="3") as bench:
        session_ids = bench.make(SESSIONS)
        bench.enqueue(session_ids)
        time.sleep(NEW_REDIS_SECONDS)
        polls = [request(f"/api/try-on/{one}/status", bench.token) for one in session_ids]
        ask(bench.stack.ports.web, polls, SESSIONS, WARM_SECONDS)
        with bench.server("devstack.bench.yardsticks:constant()") as port:
            constant = _loads(port, [request("/")])
        ask(bench.stack.ports.web, polls, SESSIONS, WARM_SECONDS)
        bench.change_gateway(latency=0)
        ours = _loads(bench.stack.ports.web, polls)
        calls = bench.gateway_calls()
        unchanged = _loads(bench.stack.ports.web, [_unchanged(bench, one) for one in session_ids])
        rows += [
            Row(
                f"polls a second, {count} connections", _told(load),
                f"constant view: {_told(constant[count])}", load.rate / constant[count].rate,
                "0.60 or more",
            )
            for count, load in ours.items()
        ]  # fmt: skip
        rows.append(
            Row("the same with `If-None-Match`, 32", _told(unchanged[32]),
                f"constant view: {_told(constant[32])}", unchanged[32].rate / constant[32].rate)
        )  # fmt: skip
        rows.append(
            Row("against the specification's stack, 32", f"{ours[32].rate:.0f}/s",
                f"{SPECIFICATIONS_STACK}/s", ours[32].rate / SPECIFICATIONS_STACK, "2.00 or more")
        )  # fmt: skip
        looked = sum(n for what, n in calls.items() if what.startswith("GET rest try_on_history"))
        polled = sum(sum(load.statuses.values()) for load in ours.values())
        rows.append(
            Row(f"reads of the session table in {polled} polls", f"{looked}",
                f"the sweep's own in that time: {SECONDS * 3 / 10 + 1:.0f} or so", None, "none")
        )  # fmt: skip
        for latency in (0, 0.005, 0.03):
            bench.change_gateway(latency=latency)
            with bench.server("devstack.bench.yardsticks:database()") as port:
                ask(port, polls, 32, 1)
                database = ask(port, polls, 32, SECONDS)
            mine = ask(bench.stack.ports.web, polls, 32, SECONDS)
            rows.append(
                Row(f"with {latency * 1000:.0f} ms to Supabase, 32 connections", _told(mine),
                    f"the same route reading the database: {_told(database)}",
                    mine.rate / database.rate)
            )  # fmt: skip
    about = (
        "One gunicorn process, an ES256 token, sessions that are processing; the clients are on "
        "the same two cores."
    )
    return Section("Polls", about, rows)


def _loads(port: int, requests: list[str]) -> dict[int, Load]:
    ask(port, requests, 32, 1)
    loads = {count: ask(port, requests, count, SECONDS) for count in CONNECTIONS}
    for load in loads.values():
        assert set(load.statuses) <= {"200", "304"}, load.statuses
    return loads


def _unchanged(bench: Bench, session_id: str) -> str:
    plain = request(f"/api/try-on/{session_id}/status", bench.token)
    return plain.removesuffix("\r\n") + 'If-None-Match: W/"processing-None"\r\n\r\n'


def _told(load: Load) -> str:
    return f"{load.rate:.0f}/s, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms"
