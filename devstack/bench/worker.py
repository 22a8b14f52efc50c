"""The worker: many try-ons at once, a steady stream, and how soon an idle one picks up."""

import random
import signal
import statistics
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import requests

from devstack.bench.stand import Bench, percentile
from devstack.bench.table import Row, Section
from vton.adapters.redis.queue import SessionJobs
from vton.tryon.model import result_path

PROVIDER_SECONDS = 10.0
COUNT = 200
PER_SECOND = 5
STOCK_COUNT = 3
SETTINGS = {
    "WORKER_CONCURRENCY": str(COUNT),
    "PIXAZO_POLL_INTERVAL": "1",
    "PIXAZO_IMAGE_MODE": "url",  # as production does
    "PIXAZO_POLLS_PER_SECOND": "1000",
}


def measure(seconds: float) -> Section:
    """Both kinds of results; the steady stream lasts so many seconds."""
    rows: list[Row] = []
    for kind in ("png", "jpeg"):
        with Bench(PROVIDER_SECONDS, **SETTINGS) as bench:
            bench.change_simulator(result_format=kind)
            bench.run(bench.make(1))
            rows += _at_once(bench, kind)
        with Bench(PROVIDER_SECONDS, **SETTINGS) as bench:
            bench.change_simulator(result_format=kind)
            rows += _steady(bench, kind, seconds)
            if kind == "png":
                rows += _idle(bench)
    about = (
        f"The provider takes {PROVIDER_SECONDS:g} s and the worker polls every second. "
        "'Added' is what a try-on takes beyond the provider's time."
    )
    return Section("The worker", about, rows)


def _at_once(bench: Bench, kind: str) -> list[Row]:
    idle, _ = bench.memory("worker")
    session_ids = bench.make(COUNT)
    cpu = bench.cpu("worker")
    ended = bench.run(session_ids)
    cpu = (bench.cpu("worker") - cpu) / COUNT
    _, peak = bench.memory("worker")
    added = [seconds - PROVIDER_SECONDS for seconds in ended.values()]
    stored = bench.services.tryons.pictures.get(result_path(bench.user_id, session_ids[0]))
    size = f"{kind.upper()} results, {len(stored) / 1e6:.1f} MB as stored"
    all_done = max(ended.values())
    return [
        Row(f"{COUNT} at once, {size}: {len(ended)} done after", f"{all_done:.1f} s",
            f"the provider: {PROVIDER_SECONDS:g} s", all_done / PROVIDER_SECONDS, "under 14 s"),
        Row("added, p50 and p95",
            f"{statistics.median(added):.2f} s, {percentile(added, 0.95):.2f} s"),
        Row("memory at most", f"{peak:.0f} MB", f"idle: {idle:.0f} MB", peak / idle,
            "under 200 MB"),
        Row("CPU of one try-on", f"{cpu * 1000:.0f} ms"),
    ]  # fmt: skip


def _steady(bench: Bench, kind: str, seconds: float) -> list[Row]:
    """New try-ons at random moments; and whether `etaSeconds` was true, a second later."""
    jobs, arrivals = SessionJobs(bench.services.redis), random.Random(1)  # noqa: S311
    started: dict[str, float] = {}
    said: dict[str, tuple[float, int]] = {}
    memory: list[float] = []

    def poll(session_id: str) -> None:
        headers = {"Authorization": f"Bearer {bench.token}"}
        url = f"{bench.stack.web_url}/api/try-on/{session_id}/status"
        eta = requests.get(url, headers=headers, timeout=10).json()["data"]["etaSeconds"]
        if eta is not None:
            said[session_id] = time.time(), eta

    with ThreadPoolExecutor(8) as others:
        # Not all at the start: the sweep finds what has no job after 20 s.
        making = deque(others.submit(bench.make, 1) for _ in range(PER_SECOND))
        for _ in range(int(seconds * PER_SECOND)):
            making.append(others.submit(bench.make, 1))
            (session_id,) = making.popleft().result()
            jobs.enqueue(bench.user_id, session_id)
            started[session_id] = time.time()
            if len(started) > PER_SECOND:
                others.submit(poll, list(started)[-PER_SECOND])
            memory.append(bench.memory("worker")[0])
            time.sleep(arrivals.expovariate(PER_SECOND))
    ended = _ends(bench, list(started))
    added = [ended[one] - started[one] - PROVIDER_SECONDS for one in ended]
    true = [
        abs(eta - (ended[one] - at)) <= 0.25 * (ended[one] - at)
        for one, (at, eta) in said.items()
        if one in ended and ended[one] > at
    ]
    third = len(memory) // 3
    early, late = statistics.mean(memory[third : 2 * third]), statistics.mean(memory[-third:])
    return [
        Row(f"steady stream, {PER_SECOND} a second for {seconds:g} s, {kind.upper()}: added, "
            "p50 and p95",
            f"{statistics.median(added):.2f} s, {percentile(added, 0.95):.2f} s",
            f"{len(ended)} of {len(started)} done", len(ended) / len(started), "p50 under 1.2 s"),
        Row("memory in its second and last third", f"{late:.0f} MB", f"{early:.0f} MB",
            late / early),
        Row(f"`etaSeconds` within 25 % of the truth, {len(true)} sessions",
            f"{sum(true) / max(1, len(true)) * 100:.0f} %", "", None, "90 %"),
    ]  # fmt: skip


def _ends(bench: Bench, session_ids: list[str]) -> dict[str, float]:
    """When each session ended: when its result was stored, by the database's own clock."""
    time.sleep(PROVIDER_SECONDS + 8)
    rows = bench.database.execute(
        "select h.id::text, extract(epoch from o.created_at)::float8"
        " from try_on_history h join storage.objects o on o.name = h.result_image_url"
        " where h.id = any(%s::uuid[])",
        [session_ids],
    )
    return dict(rows)


def _idle(bench: Bench) -> list[Row]:
    """From the job's enqueueing to its start, by RQ's own times; and RQ's own worker."""
    jobs = SessionJobs(bench.services.redis)
    delays = []
    for _ in range(40):
        session_id = str(uuid4())  # no such session: the run ends at once
        jobs.enqueue(bench.user_id, session_id)
        time.sleep(0.05)
        job = jobs._queue.fetch_job(session_id)
        assert job is not None
        assert job.started_at is not None
        assert job.enqueued_at is not None
        delays.append((job.started_at - job.enqueued_at).total_seconds())
    bench.stack.end_process("worker", signal.SIGTERM)
    session_ids = bench.make(STOCK_COUNT)
    bench.enqueue(session_ids)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "devstack.bench.stock"], env=bench.stack.child_environ, check=True
    )
    each = (time.monotonic() - began) / STOCK_COUNT
    return [
        Row("pick-up by an idle worker, p50 of 40", f"{statistics.median(delays) * 1000:.1f} ms"),
        Row(f"{COUNT} by RQ's own worker, from {STOCK_COUNT}", f"{each * COUNT / 60:.0f} min",
            f"{each:.1f} s each"),
    ]  # fmt: skip
