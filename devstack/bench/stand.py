"""A stack of its own for a bench, and what benches do with it."""

import io
import itertools
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import requests
from PIL import Image

from config import Config
from devstack.processes import Processes, free_port
from devstack.stack import Stack, free_ports
from vton.adapters.redis.queue import SessionJobs
from vton.imaging.convert import photo_to_jpeg
from vton.tryon.model import photo_path
from vton.tryon.ports.database import Limits, NewSession
from vton.wiring import Services, connect

PHOTOS = Path(__file__).parents[2] / "vton" / "demo" / "static" / "photos"
NO_LIMITS = dict.fromkeys(
    ("MAX_PAID_PER_DAY", "MAX_WAITING", "MAX_UNFINISHED_PER_USER", "MAX_PER_DAY_PER_USER",
     ), "0",
) | {"RATE_LIMIT": "1000000"}  # fmt: skip


class Bench:
    """The real parts, with sessions that are made without the web process."""

    def __init__(self, provider_seconds: float, **settings: str) -> None:
        names = {*Config.model_fields, "port", "web_concurrency"}
        environ = {k: v for k, v in os.environ.items() if k.lower() not in names}
        environ |= {"PYTHON_DOTENV_DISABLED": "1", "LOG_LEVEL": "WARNING", **NO_LIMITS, **settings}
        data = Path(tempfile.mkdtemp(prefix="vton-bench-"))
        self.provider_seconds = provider_seconds
        self._milliseconds = itertools.count(time.time_ns() // 1_000_000)
        self.stack = Stack(
            environ, data, free_ports(), simulator_delay=provider_seconds, quiet=True
        )

    def __enter__(self) -> "Bench":
        began = time.monotonic()
        self.stack.start()
        self.started_after = time.monotonic() - began
        self.services: Services = connect(Config.from_env(self.stack.child_environ), 20)
        self.database = psycopg.connect(self.stack.database_url, autocommit=True)
        garments = requests.get(f"{self.stack.web_url}/api/garments", timeout=10).json()["data"]
        self.garment_id: str = garments[0]["id"]
        self.user_id, self.token = self.sign_up()
        self._photo = _detailed(PHOTOS / "mei.jpg")
        self._warm_up()
        return self

    def __exit__(self, *_error: object) -> None:
        began = time.monotonic()
        self.stack.stop(remove=True)
        self.ended_after = time.monotonic() - began

    def make(self, count: int) -> list[str]:
        """Make queued sessions with their photos, and no jobs."""

        def one(_number: int) -> str:
            session_id, path = str(uuid4()), photo_path(self.user_id, next(self._milliseconds))
            tryons = self.services.tryons
            new = NewSession(session_id, self.user_id, self.garment_id, path, None, session_id)
            tryons.sessions.create(new, Limits(0, 0, 0, 0))
            tryons.pictures.put(path, self._photo, "image/jpeg", replace=False)
            return session_id

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(one, range(count)))

    def enqueue(self, session_ids: list[str]) -> None:
        """Have the worker run sessions."""
        jobs = SessionJobs(self.services.redis)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda one: jobs.enqueue(self.user_id, one), session_ids))

    def run(self, session_ids: list[str]) -> dict[str, float]:
        """Enqueue sessions at once and wait; each one's end in seconds after that."""
        began = time.monotonic()
        self.enqueue(session_ids)
        ended: dict[str, float] = {}
        while len(ended) < len(session_ids) and time.monotonic() - began < 600:
            for (session_id,) in self.database.execute(
                "select id::text from try_on_history"
                " where id = any(%s::uuid[]) and status = 'success'",
                [session_ids],
            ):
                ended.setdefault(session_id, time.monotonic() - began)
            time.sleep(0.05)
        return ended

    @contextmanager
    def server(self, application: str) -> Iterator[int]:
        """Run a WSGI application as the Procfile runs the service; its port."""
        port = free_port()
        environ = {**self.stack.child_environ, "PORT": str(port)}
        environ |= {"WEB_CONCURRENCY": "1", "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}"}
        processes = Processes(threading.Event(), quiet=True)
        command = shlex.split(f"gunicorn {application} -c gunicorn.conf.py")
        try:
            processes.wait_until_listening(processes.start("server", command, environ), port)
            requests.get(f"http://127.0.0.1:{port}/", timeout=10)  # gunicorn listens too early
            yield port
        finally:
            processes.stop(["server"], 5)

    def change_gateway(self, **settings: Any) -> None:
        """Change the gateway's settings, such as `latency` in seconds; its counts begin anew."""
        panel = f"{self.stack.settings['SUPABASE_URL']}/_gateway"
        requests.post(f"{panel}/reset", timeout=5)
        requests.put(f"{panel}/settings", json=settings, timeout=5)

    def gateway_calls(self) -> dict[str, int]:
        """How often what was asked of Supabase since the last change."""
        panel = f"{self.stack.settings['SUPABASE_URL']}/_gateway"
        calls: dict[str, int] = requests.get(f"{panel}/calls", timeout=5).json()
        return calls

    def change_simulator(self, **settings: Any) -> None:
        """Change the simulator's settings, such as `delay` in seconds."""
        url = f"{self.stack.pixazo_url}/_simulator/settings"
        requests.put(url, json=settings, timeout=5).raise_for_status()

    def submits(self) -> int:
        """How many submits the simulator got since it was last told to forget them."""
        url = f"{self.stack.pixazo_url}/_simulator"
        count: int = requests.get(f"{url}/stats", timeout=5).json()["submits"]
        return count

    def web_memory(self) -> tuple[float, float]:
        """The resident megabytes of the first web process: now, and at most so far."""
        return _memory(psutil.Process(self.stack.pid("web")).children()[0].pid)

    def memory(self, process: str) -> tuple[float, float]:
        """The resident megabytes of a process of the stack: now, and at most so far."""
        return _memory(self.stack.pid(process))

    def cpu(self, process: str) -> float:
        """CPU seconds that a process and those it has begun have used."""
        first = psutil.Process(self.stack.pid(process))
        seconds = 0.0
        for one in (first, *first.children()):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
        return seconds

    def sign_up(self) -> tuple[str, str]:
        """Make a user; the id and an access token."""
        answer = requests.post(
            f"{self.stack.settings['SUPABASE_URL']}/auth/v1/signup",
            json={"email": f"{uuid4().hex}@example.com", "password": uuid4().hex},
            headers={"apikey": self.stack.settings["SUPABASE_PUBLISHABLE_KEY"]},
            timeout=10,
        ).json()
        return answer["user"]["id"], answer["access_token"]

    def _warm_up(self) -> None:
        """Have the simulator compose the picture, so that it is ready from then on."""
        self.change_simulator(delay=0)
        self.run(self.make(1))
        requests.post(f"{self.stack.pixazo_url}/_simulator/reset", timeout=5)
        self.change_simulator(delay=self.provider_seconds)


def _detailed(path: Path) -> bytes:
    """A photo with a camera's noise, so that results have the usual megabyte."""
    with Image.open(path) as image:
        noise = Image.effect_noise(image.size, 30).convert("RGB")
        output = io.BytesIO()
        Image.blend(image.convert("RGB"), noise, 0.12).save(output, "JPEG", quality=92)
    return photo_to_jpeg(output.getvalue())


def _memory(pid: int) -> tuple[float, float]:
    """Now, and at most so far, which only Linux keeps."""
    now = psutil.Process(pid).memory_info().rss / 2**20
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return now, now
    values = dict(line.split(":", 1) for line in status.splitlines())
    return now, int(values["VmHWM"].split()[0]) / 1024


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share of all is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
