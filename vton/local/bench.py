"""`make bench`: how fast it is, on the real parts, each figure beside its yardstick.

python -m vton.local.bench worker   one worker, WORKER_CONCURRENCY try-ons at once
python -m vton.local.bench steady   eight minutes of steady arrivals: does memory stay flat
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import requests

from config import Config
from vton.adapters.queue import SessionJobs
from vton.imaging import normalise_photo
from vton.local.stack import Stack, free_ports
from vton.tryon.model import photo_path
from vton.tryon.ports import Limits, NewSession
from vton.wiring import Services, connect

PHOTOS = Path(__file__).parents[1] / "demo" / "static" / "photos"
MEGABYTE = 1024 * 1024


class Bench:
    """A stack of its own, and sessions that are made without the web process."""

    def __init__(self, provider_seconds: float, **settings: str) -> None:
        names = Config.__dataclass_fields__
        environ = {k: v for k, v in os.environ.items() if k.lower() not in names}
        environ |= {"PYTHON_DOTENV_DISABLED": "1", "MAX_PAID_PER_DAY": "0", **settings}
        data = Path(tempfile.mkdtemp(prefix="vton-bench-"))
        self.provider_seconds = provider_seconds
        self.stack = Stack(
            environ, data, free_ports(), simulator_delay=provider_seconds, quiet=True
        )

    def __enter__(self) -> "Bench":
        self.stack.start()
        self.services: Services = connect(Config.from_env(self.stack.child_environ), 20)
        self.database = psycopg.connect(self.stack.database_url, autocommit=True)
        garments = requests.get(f"{self.stack.web_url}/api/garments", timeout=10).json()["data"]
        self.garment_id = garments[0]["id"]
        self.user_id = self._sign_up()
        self._photo = normalise_photo((PHOTOS / "mei.jpg").read_bytes())
        self._warm_up()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stack.stop(remove=True)

    def make(self, count: int) -> list[str]:
        """Make queued sessions with their photos, and no jobs."""
        begin = time.time_ns() // 1_000_000

        def one(number: int) -> str:
            session_id, path = str(uuid4()), photo_path(self.user_id, begin + number)
            tryons = self.services.tryons
            new = NewSession(session_id, self.user_id, self.garment_id, path, None, "")
            tryons._sessions.create(new, Limits(0, 0, 0, 0))
            tryons._pictures.put(path, self._photo, "image/jpeg", replace=False)
            return session_id

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(one, range(count)))

    def run(self, session_ids: list[str]) -> dict[str, float]:
        """Enqueue sessions at once and wait; each one's end in seconds after that."""
        jobs = SessionJobs(self.services.redis)
        began = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda one: jobs.enqueue(self.user_id, one), session_ids))
        ended: dict[str, float] = {}
        while len(ended) < len(session_ids) and time.monotonic() - began < 600:
            for (session_id,) in self.database.execute(
                "select id::text from try_on_history"
                " where id = any(%s::uuid[]) and status = 'success'",
                [session_ids],
            ):
                ended.setdefault(session_id, time.monotonic() - began)
            time.sleep(0.02)
        return ended

    def worker_memory(self) -> tuple[float, float]:
        """The worker's resident megabytes: now, and at most so far."""
        status = Path(f"/proc/{self.stack.pid('worker')}/status").read_text()
        values = dict(line.split(":", 1) for line in status.splitlines())
        return tuple(int(values[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))  # type: ignore[return-value]

    def worker_cpu(self) -> float:
        """CPU seconds the worker has used."""
        stat = Path(f"/proc/{self.stack.pid('worker')}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def _sign_up(self) -> str:
        answer = requests.post(
            f"{self.stack.settings['SUPABASE_URL']}/auth/v1/signup",
            json={"email": f"{uuid4().hex}@example.com", "password": uuid4().hex},
            headers={"apikey": self.stack.settings["SUPABASE_PUBLISHABLE_KEY"]},
            timeout=10,
        )
        user_id: str = answer.json()["user"]["id"]
        return user_id

    def _warm_up(self) -> None:
        """Have the simulator compose the picture, so that it is ready from then on."""
        url = f"{self.stack.pixazo_url}/_simulator/settings"
        requests.put(url, json={"delay": 0}, timeout=5)
        self.run(self.make(1))
        requests.put(url, json={"delay": self.provider_seconds}, timeout=5)


def bench_worker(count: int) -> list[tuple[str, str]]:
    """One worker, `count` try-ons of 10 s at once, and how soon an idle one picks up."""
    settings = {"WORKER_CONCURRENCY": str(count), "PIXAZO_POLL_INTERVAL": "1"}
    settings |= {"PIXAZO_POLLS_PER_SECOND": "1000"}
    with Bench(10, **settings) as bench:
        idle, _ = bench.worker_memory()
        cpu = bench.worker_cpu()
        ended = bench.run(bench.make(count))
        _, peak = bench.worker_memory()
        cpu = (bench.worker_cpu() - cpu) / count
        added = sorted(seconds - 10 for seconds in ended.values())
        return [
            (f"{count} try-ons of 10 s at once, all done after", f"{max(ended.values()):.1f} s"),
            ("  the provider's time, times", f"{max(ended.values()) / 10:.2f}"),
            ("  done", f"{len(ended)} of {count}"),
            ("  added, p50 and p95", f"{added[len(added) // 2]:.2f} s, {_p95(added):.2f} s"),
            ("  the worker's memory at most", f"{peak:.0f} MB, idle {idle:.0f} MB"),
            ("  its CPU for one try-on", f"{cpu * 1000:.0f} ms"),
            ("an idle worker starts a job after (p50 of 40)", f"{_pick_up(bench) * 1000:.1f} ms"),
        ]


def _pick_up(bench: Bench) -> float:
    """Median seconds from the job's enqueueing to the start of its thread.

    Both times are RQ's own, to the microsecond: `enqueued_at` and `started_at`.
    """
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
    return statistics.median(delays)


def bench_steady(seconds: float) -> list[tuple[str, str]]:
    """Five new try-ons a second: added time, and whether memory stays flat."""
    settings = {"WORKER_CONCURRENCY": "200", "PIXAZO_POLL_INTERVAL": "1"}
    settings |= {"PIXAZO_POLLS_PER_SECOND": "1000"}
    with Bench(10, **settings) as bench:
        jobs = SessionJobs(bench.services.redis)
        samples: list[float] = []
        started = 0
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            began = time.monotonic()
            for session_id in bench.make(25):
                jobs.enqueue(bench.user_id, session_id)
                started += 1
            time.sleep(max(0.0, 5 - (time.monotonic() - began)))
            samples.append(bench.worker_memory()[0])
        time.sleep(20)
        row = bench.database.execute(
            "select count(*) from try_on_history where status = 'success'"
        ).fetchone()
        assert row is not None
        third = len(samples) // 3
        early, late = statistics.mean(samples[third : 2 * third]), statistics.mean(samples[-third:])
        return [
            (f"steady arrivals for {seconds:g} s, started and done", f"{started}, {row[0] - 1}"),
            ("  memory in the second and the last third", f"{early:.0f} MB, {late:.0f} MB"),
            ("  growth", f"{(late / early - 1) * 100:+.1f} %"),
        ]


def _p95(values: list[float]) -> float:
    return values[int(len(values) * 0.95)]


def main() -> int:
    """Run the named benches and print a table."""
    benches: dict[str, Callable[[], list[tuple[str, str]]]] = {
        "worker": lambda: bench_worker(200),
        "steady": lambda: bench_steady(480),
    }
    parser = argparse.ArgumentParser(prog="python -m vton.local.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*benches, []], metavar="BENCH")
    names: Any = parser.parse_args().names or list(benches)
    for name in names:
        for what, figure in benches[name]():
            print(f"{what:52} {figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
