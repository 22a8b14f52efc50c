"""Who and what the tests act with: users, the simulator's controls, pictures."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import requests
from PIL import Image
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.adapters.redis.queue import SessionJobs
from vton.imaging.slots import DecoderSlots, shared_folder
from vton.wiring import Services

ROOT = Path(__file__).parents[1]
DECODERS = DecoderSlots(shared_folder(), 2)
PATIENCE = 20.0
"""Seconds until something that should have happened did not."""


def clean_environ(**settings: str) -> dict[str, str]:
    """This environment without anybody's own settings."""
    names = {name.upper() for name in Config.model_fields} | {"PORT", "WEB_CONCURRENCY"}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, "PYTHON_DOTENV_DISABLED": "1", **settings}


class Simulator:
    """The simulator's control panel."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/_simulator"

    def change(self, **settings: Any) -> None:
        """Change settings: delay, contract, garment_field, result_format, faults."""
        response = requests.put(f"{self._url}/settings", json=settings, timeout=5)
        assert response.ok, response.text

    def submits(self) -> list[dict[str, Any]]:
        """The ledger: every submit received since the reset."""
        answer = requests.get(f"{self._url}/submits", timeout=5).json()
        found: list[dict[str, Any]] = answer["submits"] if isinstance(answer, dict) else answer
        return found

    def stats(self) -> dict[str, Any]:
        """Totals: submits, accepted, charged, polls, downloads, and tasks by their word."""
        found: dict[str, Any] = requests.get(f"{self._url}/stats", timeout=5).json()
        return found

    def reset(self) -> None:
        """Forget everything, and answer at once again."""
        requests.post(f"{self._url}/reset", timeout=5).raise_for_status()


@dataclass
class User:
    """Somebody who is signed in, and what they see of the API."""

    id: str
    token: str
    base_url: str

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call the API as this user."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        url = path if path.startswith("http") else self.base_url + path
        return requests.request(method, url, headers=headers, timeout=30, **options)

    def start(self, garment_id: str, photo: bytes | None = None) -> str:
        """Start a try-on, by default with a photo that no other has; its session's id."""
        photo = photo or jpeg(comment=uuid4().hex.encode())
        files = {"userImage": ("me.jpg", photo, "image/jpeg")}
        form = {"garmentId": garment_id}
        response = self.call("POST", "/api/try-on", files=files, data=form)
        assert response.status_code == 202, response.text
        session_id: str = response.json()["data"]["sessionId"]
        return session_id

    def status(self, session_id: str) -> dict[str, Any]:
        """One poll of a session."""
        response = self.call("GET", f"/api/try-on/{session_id}/status")
        assert response.status_code == 200, response.text
        data: dict[str, Any] = response.json()["data"]
        return data

    def wait(self, session_id: str, *statuses: str) -> dict[str, Any]:
        """Poll until the session has one of the statuses (by default: until it ended)."""
        wanted = statuses or ("success", "failed")
        return until(lambda: (seen := self.status(session_id))["status"] in wanted and seen)


def run_command(stack: Stack, *arguments: str, status: int = 0) -> str:
    """Run a command and return what it prints, errors too."""
    done = stack.run_flask(*arguments)
    assert done.returncode == status, done.stdout
    return done.stdout


def until(condition: Callable[[], Any]) -> Any:
    """Try again and again until there is something to see."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if seen := condition():
            return seen
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def pay(database: psycopg.Connection[Any], times: int = 1) -> None:
    """Have so many paid submits in the ledger that count today.

    They are a minute ahead, so that they still count if midnight (UTC) comes before they are
    counted.
    """
    database.execute(
        "insert into submits (attempt, session_id, user_id, at, outcome, provider, task_id)"
        " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),"
        " now() + interval '1 min', 'accepted', 'pixazo', 'paid-' || n"
        " from generate_series(1, %s) n",
        [times],
    )


def wait_out_midnight(seconds: float = 2 * PATIENCE) -> None:
    """Return when the day (UTC) has so many seconds left: for what is counted by the day."""
    now = datetime.now(UTC)
    if now.timestamp() % 86_400 > 86_400 - seconds:
        time.sleep(86_400 - now.timestamp() % 86_400 + 0.1)


class LeadingJobs(SessionJobs):
    """The queue, as it is seen by the worker whose turn it is to sweep."""

    def try_acquire_leadership(self) -> bool:
        return True


def sweep(services: Services, redis: Redis) -> None:
    """Make a pass now, whoever made the last one and whoever makes one at the same time."""
    replace(services.sweep, jobs=LeadingJobs(redis)).run_once()


def end_all_runs(redis: Redis, database: psycopg.Connection[Any]) -> None:
    """Leave nothing that runs or waits to the next test, which may count it."""
    database.execute("delete from try_on_history where status in ('queued', 'processing')")
    patience = time.monotonic() + 3
    while (alive := redis.keys("vton:alive:*")) and time.monotonic() < patience:
        for key in alive:
            redis.set(key.decode().replace("alive", "cancelled"), 1, ex=60)
        time.sleep(0.05)
    if alive:
        redis.delete(*alive)  # of a run that was killed, or never was


def objects_of(database: psycopg.Connection[Any], user: User) -> list[str]:
    """The names of a user's objects in storage."""
    rows = database.execute(
        "select name from storage.objects where name like %s", [f"%/{user.id}/%"]
    )
    return [name for (name,) in rows]


def upload(photo: bytes, garment_id: str) -> dict[str, Any]:
    """The form of a new try-on, as Flask's test client takes it."""
    return {"userImage": (BytesIO(photo), "me.jpg"), "garmentId": garment_id}


def jpeg(width: int = 400, height: int = 600, **options: Any) -> bytes:
    """A photo of those pixels."""
    return encoded(Image.linear_gradient("L").resize((width, height)).convert("RGB"), **options)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """A picture as a file's bytes."""
    output = BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()
