"""Start-up: how soon web and worker are there, and the whole of `make run`."""

import signal
import time

import requests

from devstack.bench.stand import Bench
from devstack.bench.table import Row, Section


def measure() -> Section:
    """Start each again on a running stack."""
    with Bench(1) as bench:
        began = time.monotonic()
        with bench.server("devstack.bench.yardsticks:constant()") as port:
            _until_answers(f"http://127.0.0.1:{port}/")
            constant = time.monotonic() - began
        began = time.monotonic()
        with bench.server("wsgi:app") as port:
            _until_answers(f"http://127.0.0.1:{port}/health/live")
            web = time.monotonic() - began
        memory, _ = bench.web_memory()
        bench.stack.end_process("worker", signal.SIGTERM)
        session_ids = bench.make(1)
        bench.enqueue(session_ids)
        began = time.monotonic()
        bench.stack.start_process("worker")
        while not bench.submits():
            time.sleep(0.01)
        worker = time.monotonic() - began
        worker_memory, _ = bench.memory("worker")
        rows = [
            Row("web, until it answers", f"{web:.2f} s", f"constant view: {constant:.2f} s",
                web / constant),
            Row("web's memory, after some requests", f"{memory:.0f} MB"),
            Row("worker, until it has submitted a session that waited", f"{worker:.2f} s"),
            Row("worker's memory", f"{worker_memory:.0f} MB"),
            Row("the whole stack of `make run`", f"{bench.started_after:.1f} s"),
        ]  # fmt: skip
    rows.append(Row("the end of all of it", f"{bench.ended_after:.1f} s"))
    return Section("Start-up", "From a warm environment.", rows)


def _until_answers(url: str) -> None:
    while True:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.01)
