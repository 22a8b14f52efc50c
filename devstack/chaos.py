"""`make chaos`: break everything at random for a while, then check the accounts.

It starts the whole stack with two workers, lets users try things on and delete them, and
meanwhile kills and restarts processes, empties Redis or has it fail over, has Supabase and Pixazo
misbehave. At the end every fault is lifted, the stack may come to rest, and the accounts are
checked: every session ended, no session was paid for twice, storage and Redis hold what the rows
say and nothing else. It prints a table and ends with 1 on any discrepancy.

`CHAOS_SECONDS` (300) says how long, `CHAOS_SEED` repeats a run's choices.
"""

import hashlib
import io
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import requests
from PIL import Image
from redis import Redis

from config import Config
from devstack.redis_pair import RedisPair
from devstack.stack import Stack, free_ports
from vton.imaging.convert import photo_to_jpeg
from vton.tryon.model import thumbnail_path

PROVIDER_SECONDS = 4
REST_SECONDS = 240.0
"""How long the stack may take to come to rest once all faults are lifted."""
WORKERS = ("worker", "worker-2")
ODD_ANSWERS = (
    (503, None), (503, None), (200, None), (405, "25006"), (500, "40P01"), (500, "40001"),
    (404, "PGRST202"), (400, "PGRST204"), (400, "26000"), (401, "PGRST303"),
)  # fmt: skip
"""What Supabase answers that has nothing to do with what it was asked; without a code, a page."""
RANK = {"queued": 0, "processing": 1, "success": 2, "failed": 2}


@dataclass
class TryOn:
    """A session that a user was promised, and what was seen of it."""

    id: str
    photo_hash: str
    status: str = "queued"
    deleted: bool = False
    perhaps_deleted: bool = False
    """The answer to a delete was lost, or says that it may have been done."""


@dataclass
class Shoppers:
    """Users who start, poll and delete; the promises they got, and the ones that were broken."""

    stack: Stack
    dice: random.Random
    stopping: threading.Event
    tryons: list[TryOn] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {_sign_up(self.stack)}"
        url = f"{self.stack.web_url}/api/garments"
        self._garments = [item["id"] for item in requests.get(url, timeout=10).json()["data"]]

    def shop(self) -> None:
        """Start about two try-ons a second, poll them all, delete one in ten."""
        while not self.stopping.wait(self.dice.uniform(0.2, 0.8)):
            self.start()
            if self.tryons and self.dice.random() < 0.1:
                self.delete(self.dice.choice(self.tryons))
            for tryon in self.dice.sample(self.tryons, min(5, len(self.tryons))):
                self.poll(tryon)

    def start(self) -> None:
        """Start a try-on with a photo that no other has; half of them are repeated by their key."""
        photo, garment_id = _photo(self.dice), self.dice.choice(self._garments)
        headers = {"Idempotency-Key": uuid4().hex} if self.dice.random() < 0.5 else {}
        started: list[str] = []
        for _ in range(self.dice.randint(1, 3) if headers else 1):
            response = self._call(
                "POST",
                "/api/try-on",
                files={"userImage": ("me.jpg", photo)},
                data={"garmentId": garment_id},
                headers=headers,
            )
            if response is not None and response.status_code == 202:
                started.append(response.json()["data"]["sessionId"])
            elif response is not None:
                self.refused[f"{response.status_code} {_code(response)}"] += 1
                if response.status_code not in (409, 429, 503):
                    self.broken.append(f"POST answered {response.status_code} {_code(response)}")
        if started:
            digest = hashlib.sha256(photo_to_jpeg(photo)).hexdigest()
            self.tryons.append(TryOn(started[0], digest))
        if len(set(started)) > 1:
            self.broken.append(f"one key started {started}")

    def poll(self, tryon: TryOn) -> None:
        """Poll once; a status must never go backwards."""
        response = self._call("GET", f"/api/try-on/{tryon.id}/status")
        if response is None or response.status_code == 503:
            return
        if response.status_code == 404:
            if not tryon.deleted and not tryon.perhaps_deleted:
                self.broken.append(f"{tryon.id} is lost")
            return
        if response.status_code != 200:
            self.broken.append(f"status answered {response.status_code} {_code(response)}")
            return
        seen = response.json()["data"]["status"]
        if tryon.deleted:
            self.broken.append(f"{tryon.id} was deleted and is {seen}")
        ended = RANK[tryon.status] == 2 and seen != tryon.status
        if RANK[seen] < RANK[tryon.status] or ended:
            self.broken.append(f"{tryon.id} went from {tryon.status} to {seen}")
        tryon.status = seen

    def delete(self, tryon: TryOn) -> None:
        """Delete one; what a lost answer did is not known."""
        response = self._call("DELETE", f"/api/try-on/{tryon.id}")
        if response is not None and response.status_code in (200, 404):
            tryon.deleted = True
        else:
            tryon.perhaps_deleted = True

    def _call(self, method: str, path: str, **options: Any) -> requests.Response | None:
        """Call the API; None when it could not be reached."""
        try:
            return self._session.request(method, self.stack.web_url + path, timeout=40, **options)
        except requests.RequestException:
            self.refused["no connection"] += 1
            return None


@dataclass
class Chaos:
    """Breaks one thing after another."""

    stack: Stack
    redis: RedisPair
    dice: random.Random
    stopping: threading.Event
    done: Counter[str] = field(default_factory=Counter)

    def rage(self, seconds: float) -> None:
        """Break something every few seconds, for so long."""
        acts: list[Callable[[], None]] = [
            self.kill_a_worker,
            self.kill_a_worker,
            self.end_a_worker,
            self.kill_both_workers,
            self.restart_redis,
            self.fail_over_redis,
            self.lose_redis,
            self.empty_redis,
            self.restart_supabase,
            self.spoil_supabase,
            self.spoil_pixazo,
            self.spoil_pixazo,
            self.restart_web,
        ]
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and not self.stopping.is_set():
            act = self.dice.choice(acts)
            self.done[act.__name__.replace("_", " ")] += 1
            act()
            self.stopping.wait(self.dice.uniform(1, 5))

    def kill_a_worker(self) -> None:
        """kill -9, and a new one after a while."""
        self._restart(self.dice.choice(WORKERS), signal.SIGKILL, self.dice.uniform(0, 3))

    def kill_both_workers(self) -> None:
        """kill -9 of all workers at once."""
        for name in WORKERS:
            self.stack.end_process(name, signal.SIGKILL)
        self.stopping.wait(self.dice.uniform(0, 5))
        for name in WORKERS:
            self.stack.start_again(name)

    def end_a_worker(self) -> None:
        """SIGTERM, as a deploy does."""
        self._restart(self.dice.choice(WORKERS), signal.SIGTERM, 0)

    def restart_web(self) -> None:
        """kill -9 of the web process."""
        self._restart("web", signal.SIGKILL, 0)

    def restart_redis(self) -> None:
        """kill -9 of Redis, away for a few seconds."""
        self.redis.restart(self.dice.uniform(0, 8))

    def fail_over_redis(self) -> None:
        """Another server is the primary; the old one refuses writes on connections that stay."""
        self.redis.wait_until_in_step()
        self.redis.fail_over()

    def lose_redis(self) -> None:
        """kill -9 of the primary, in whose place the replica comes."""
        self.redis.wait_until_in_step()
        self.redis.fail_over(lost=True)

    def empty_redis(self) -> None:
        """FLUSHALL."""
        Redis.from_url(self.stack.child_environ["REDIS_URL"]).flushall()

    def restart_supabase(self) -> None:
        """The gateway away for a few seconds; PostgreSQL stays."""
        self._restart("supabase", signal.SIGKILL, self.dice.uniform(0, 8))

    def spoil_supabase(self) -> None:
        """503, hanging, cut connections, odd answers, also after the work was done."""
        kind = self.dice.choice(["http", "hang", "cut"])
        status, code = self.dice.choice(ODD_ANSWERS)
        fault = {
            "kind": kind,
            "status": status,
            "body": code and {"code": code, "message": "out of the blue"},
            "seconds": 2,
            "services": ["rest", "storage"],
            "times": self.dice.randint(1, 15),
            "after_work": self.dice.random() < 0.5,
        }
        self._put(self.stack.settings["SUPABASE_URL"] + "/_gateway/settings", fault=fault)

    def spoil_pixazo(self) -> None:
        """One of its moods, for a few requests."""
        moods: list[dict[str, Any]] = [
            {"at": "submit", "kind": "http", "status": 503},
            {"at": "submit", "kind": "http", "status": 429, "headers": {"Retry-After": "2"}},
            {"at": "submit", "kind": "http", "status": 500, "accept": True},
            {"at": "submit", "kind": "http", "status": 504, "accept": True},
            {"at": "submit", "kind": "http", "status": 402},
            {"at": "submit", "kind": "cut"},
            {"at": "submit", "kind": "slow", "seconds": 3},
            {"at": "submit", "kind": "error"},
            {"at": "submit", "kind": "failed"},
            {"at": "status", "kind": "http", "status": 500},
            {"at": "status", "kind": "http", "status": 403, "body": "<title>Just a moment</title>"},
            {"at": "status", "kind": "cut"},
            {"at": "status", "kind": "word"},
            {"at": "result", "kind": "cut"},
            {"at": "result", "kind": "truncated"},
            {"at": "result", "kind": "http", "status": 403},
            {"at": "result", "kind": "http", "status": 404},
            {"at": "result", "kind": "slow", "seconds": 3},
        ]
        contract = self.dice.choice(["v2", "v2", "legacy"])
        faults = [{**mood, "times": self.dice.randint(1, 4)} for mood in self.dice.sample(moods, 2)]
        self._put(f"{self.stack.pixazo_url}/_simulator/settings", contract=contract, faults=faults)

    def lift(self) -> None:
        """Let everything run again, and nothing misbehave."""
        for name in ("supabase", "web", *WORKERS):
            if not self.stack.runs(name):
                self.stack.start_again(name)
        self._put(self.stack.settings["SUPABASE_URL"] + "/_gateway/settings", fault=None)
        self._put(f"{self.stack.pixazo_url}/_simulator/settings", faults=[], contract="v2")

    def _restart(self, name: str, number: signal.Signals, away: float) -> None:
        self.stack.end_process(name, number)
        self.stopping.wait(away)
        self.stack.start_again(name)

    def _put(self, url: str, **settings: Any) -> None:
        requests.put(url, json=settings, timeout=10).raise_for_status()


@dataclass
class Audit:
    """What must be so when everything has come to rest."""

    stack: Stack
    tryons: list[TryOn]
    findings: list[tuple[str, str, list[str]]] = field(default_factory=list)

    def check(self) -> bool:
        """Check everything; True if nothing is wrong."""
        self._database = psycopg.connect(self.stack.database_url, autocommit=True)
        self._rows = {
            str(row[0]): row[1:]
            for row in self._database.execute(
                "select id, status, original_user_image_url, result_image_url from try_on_history"
            )
        }
        self._sessions()
        self._submits()
        self._ledger()
        self._objects()
        self._redis()
        return not any(wrong for _, _, wrong in self.findings)

    def _note(self, what: str, count: object, wrong: list[str]) -> None:
        self.findings.append((what, str(count), wrong))

    def _sessions(self) -> None:
        kept = [tryon for tryon in self.tryons if not tryon.deleted]
        ends = Counter(self._rows[t.id][0] for t in kept if t.id in self._rows)
        sure = [tryon for tryon in kept if not tryon.perhaps_deleted]
        wrong = [f"{t.id} is gone" for t in sure if t.id not in self._rows]
        wrong += [f"{i} is {row[0]}" for i, row in self._rows.items() if RANK[row[0]] < 2]
        self._note("promised sessions, by their end", dict(ends), wrong)
        back = [f"{t.id} is back" for t in self.tryons if t.deleted and t.id in self._rows]
        self._note("deleted sessions", sum(t.deleted for t in self.tryons), back)

    def _submits(self) -> None:
        """The provider's own ledger: one accepted and charged submit for a photo at most."""
        entries = requests.get(f"{self.stack.pixazo_url}/_simulator/submits", timeout=30).json()
        accepted = [entry for entry in entries if entry["accepted"]]
        charged = Counter(e["person"] for e in accepted if e["fault"] != "error")
        errors = Counter(e["person"] for e in accepted if e["fault"] == "error")
        wrong = [
            f"photo {person[:12]} was paid {n} times" for person, n in charged.items() if n > 1
        ]
        wrong += [
            f"photo {p[:12]} was submitted after {n} ERRORs" for p, n in errors.items() if n > 2
        ]
        self._note("submits, and those that were accepted", (len(entries), len(accepted)), wrong)

        tasks = {str(e["task_id"] or e["request_id"]) for e in accepted}
        ours = {
            str(task)
            for (task,) in self._database.execute(
                "select task_id from submits where outcome = 'accepted'"
            )
        }
        uncertain = self._count("select count(*) from submits where outcome = 'uncertain'")
        unknown = [f"task {task} is not the provider's" for task in ours - tasks]
        if len(tasks - ours) > uncertain:
            unknown.append(
                f"{len(tasks - ours)} accepted are not in our ledger, {uncertain} uncertain"
            )
        self._note("accepted by our ledger, and uncertain", (len(ours), uncertain), unknown)

    def _ledger(self) -> None:
        left = self._count("select count(*) from submits where outcome = 'open'")
        self._note("submits without an outcome", left, ["there are some"] if left else [])

    def _objects(self) -> None:
        """Every object has a row, every row its objects."""
        names = {
            name
            for (name,) in self._database.execute(
                "select name from storage.objects where name not like 'garments/%'"
            )
        }
        named = {path for row in self._rows.values() for path in row[1:] if path}
        photos = {row[1] for row in self._rows.values() if row[0] == "success"}
        results = {row[2] for row in self._rows.values() if row[0] == "success"}
        small = {thumbnail_path(path) for path in results}  # they may be there
        wrong = [f"no row has {name}" for name in sorted(names - named - small)]
        wrong += [f"a row names {name}, which is not there" for name in (photos | results) - names]
        self._note("objects in storage", len(names), wrong)

    def _redis(self) -> None:
        """No queue, no run, nothing that never lapses."""
        redis = Redis.from_url(self.stack.child_environ["REDIS_URL"], decode_responses=True)
        keys = list(redis.scan_iter(count=1000))
        wrong = [
            f"{key} is not empty"
            for key in ("rq:queue:try-on", "rq:queue:try-on:intermediate", "rq:wip:try-on")
            if key in keys
        ]
        lasting = (
            "rq:queues", "rq:workers", "rq:workers:try-on", "vton:redis_generation",
            "vton:project", "vton:counts",
        )  # fmt: skip
        registries = ("rq:finished:", "rq:failed:", "rq:canceled:")
        for key in keys:
            if key.startswith("vton:alive:") or (
                redis.ttl(key) == -1 and key not in lasting and not key.startswith(registries)
            ):
                wrong.append(f"{key} lasts")
        self._note("keys in Redis", len(keys), wrong)

    def _count(self, query: str) -> int:
        row = self._database.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])


def main() -> int:
    """Run for CHAOS_SECONDS; 0 if everything is accounted for."""
    seconds = float(os.environ.get("CHAOS_SECONDS") or 300)
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"Chaos for {seconds:g} s; CHAOS_SEED={seed} repeats its choices.", flush=True)
    data = Path(tempfile.mkdtemp(prefix="vton-chaos-"))
    redis = RedisPair(data / "redis")
    stack = _stack(data, redis.url)
    stopping = threading.Event()
    dice = random.Random(seed)  # noqa: S311 - choices, no secrets
    try:
        redis.start()
        stack.start()
        stack.start_process("worker-2", "worker")
        shoppers = Shoppers(stack, random.Random(seed + 1), stopping)  # noqa: S311
        shopping = threading.Thread(target=shoppers.shop, daemon=True)
        shopping.start()
        chaos = Chaos(stack, redis, dice, stopping)
        chaos.rage(seconds)
        stopping.set()
        shopping.join(60)
        chaos.stopping = threading.Event()
        chaos.lift()
        audit, right, rested = _come_to_rest(stack, shoppers)
    finally:
        stopping.set()
        stack.stop(remove=True)
        redis.stop()
    _report(chaos, shoppers, audit, rested)
    right = right and not shoppers.broken
    print("Everything is accounted for." if right else "THE ACCOUNTS ARE WRONG.")
    return 0 if right else 1


def _come_to_rest(stack: Stack, shoppers: Shoppers) -> tuple[Audit, bool, float]:
    """Wait until everything is accounted for, or until it ought to be."""
    began = time.monotonic()
    while True:
        audit = Audit(stack, shoppers.tryons)
        right = audit.check()
        rested = time.monotonic() - began
        if right or rested > REST_SECONDS:
            return audit, right, rested
        time.sleep(2)


def _report(chaos: Chaos, shoppers: Shoppers, audit: Audit, rested: float) -> None:
    print("\nDone:    ", ", ".join(f"{n} x {act}" for act, n in chaos.done.most_common()))
    print("Refused: ", dict(shoppers.refused))
    print(f"At rest after {rested:.0f} s\n")
    for what, count, wrong in audit.findings:
        print(f"{'WRONG' if wrong else 'right':6} {what:42} {count}")
        for line in wrong[:10]:
            print(f"           {line}")
    for line in shoppers.broken[:20]:
        print(f"WRONG  {line}")
    print()


def _stack(data: Path, redis_url: str) -> Stack:
    names = Config.model_fields
    environ = {name: value for name, value in os.environ.items() if name.lower() not in names}
    environ |= {
        "PYTHON_DOTENV_DISABLED": "1",
        "REDIS_URL": redis_url,
        "PIXAZO_FIRST_POLL": "1",
        "PIXAZO_POLL_INTERVAL": "1",
        "SESSION_DEADLINE": "120",
        "MAX_PAID_PER_DAY": "0",
        "MAX_UNFINISHED_PER_USER": "0",
        "MAX_PER_DAY_PER_USER": "0",
        "RATE_LIMIT": "0",
        "RETENTION_DAYS": str(timedelta(days=30).days),
    }
    return Stack(environ, data, free_ports(), simulator_delay=PROVIDER_SECONDS, quiet=True)


def _sign_up(stack: Stack) -> str:
    """A new user's access token."""
    answer = requests.post(
        f"{stack.settings['SUPABASE_URL']}/auth/v1/signup",
        json={"email": f"{uuid4().hex}@example.com", "password": uuid4().hex},
        headers={"apikey": stack.settings["SUPABASE_PUBLISHABLE_KEY"]},
        timeout=10,
    )
    token: str = answer.json()["access_token"]
    return token


def _photo(dice: random.Random) -> bytes:
    """A photo that no other is like."""
    image = Image.frombytes("RGB", (16, 24), dice.randbytes(16 * 24 * 3)).resize((320, 480))
    output = io.BytesIO()
    image.save(output, "JPEG", quality=80)
    return output.getvalue()


def _code(response: requests.Response) -> str:
    try:
        return str(response.json().get("code"))
    except ValueError:
        return "without JSON"


if __name__ == "__main__":
    sys.exit(main())
