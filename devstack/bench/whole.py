"""The whole: simulated frontends that upload and poll as the specification's function does."""

import asyncio
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from devstack.bench.post import photo
from devstack.bench.stand import Bench, percentile
from devstack.bench.table import Row, Section

PROVIDER_SECONDS = 30.0
POLL_SECONDS = 2.0
STEPS = ((50, 45.0), (500, 120.0))
"""How many frontends, for how many seconds."""


def measure() -> Section:
    """Have more and more frontends at work."""
    rows: list[Row] = []
    few: dict[str, float] = {}
    settings = {"WORKER_CONCURRENCY": "600", "PIXAZO_POLLS_PER_SECOND": "1000"}
    with Bench(PROVIDER_SECONDS, **settings, WEB_CONCURRENCY="2") as bench:
        for count, seconds in STEPS:
            seen = _have(bench, count, seconds)
            accepts, polls = (
                percentile(seen[what], 0.99) * 1000 if seen[what] else 0.0
                for what in ("accepts", "polls")
            )
            minute = len(seen["ended"]) / seconds * 60
            few = few or {"accepts": accepts, "polls": polls, "minute": minute}
            rows += [
                Row(f"{count} frontends for {seconds:g} s: errors", f"{len(seen['errors'])}",
                    "; ".join(sorted({*seen["errors"]}))[:300], None, "none"),
                Row(f"{count}: polls, p50 and p99",
                    f"{percentile(seen['polls'], 0.5) * 1000:.0f} ms, {polls:.0f} ms",
                    f"of {STEPS[0][0]}: {few['polls']:.0f} ms", polls / few["polls"]),
                Row(f"{count}: accepts, p50 and p99",
                    f"{percentile(seen['accepts'], 0.5) * 1000:.0f} ms, {accepts:.0f} ms",
                    f"of {STEPS[0][0]}: {few['accepts']:.0f} ms", accepts / few["accepts"]),
                Row(f"{count}: sessions finished a minute", f"{minute:.0f}",
                    f"of {STEPS[0][0]}: {few['minute']:.0f}", minute / few["minute"]),
            ]  # fmt: skip
            if count != STEPS[-1][0]:
                time.sleep(PROVIDER_SECONDS)
    about = (
        f"Each frontend uploads a photo, polls every {POLL_SECONDS:g} s until there is a picture, "
        f"and begins again; the provider takes {PROVIDER_SECONDS:g} s. Two web processes, one "
        "worker, PostgreSQL, gateway, Valkey, simulator and all frontends share two cores."
    )
    return Section("The whole", about, rows)


def _have(bench: Bench, count: int, seconds: float) -> dict[str, list[Any]]:
    order = [bench.stack.ports.web, bench.token, bench.garment_id, count, seconds]
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(order)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seen: dict[str, list[Any]] = json.loads(done.stdout)
    return seen


@dataclass
class Measured:
    """Seconds that uploads and polls took; when sessions ended; what went wrong."""

    accepts: list[float] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class Frontend:
    """One browser, with one connection."""

    port: int
    token: str
    upload: bytes
    until: float
    seen: Measured

    async def work(self, delay: float) -> None:
        """Try on, again and again."""
        await asyncio.sleep(delay)
        while time.monotonic() < self.until:
            try:
                await self._try_on()
            except Exception as error:  # whatever a client may see is an error here
                self.seen.errors.append(f"{type(error).__name__}: {error}"[:200])
                await asyncio.sleep(POLL_SECONDS)

    async def _try_on(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            answer, took = await self._ask(self.upload)
            self.seen.accepts.append(took)
            path = f"/api/try-on/{answer['data']['sessionId']}/status"
            poll = (
                f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n"
            ).encode()
            while time.monotonic() < self.until:
                await asyncio.sleep(POLL_SECONDS)
                answer, took = await self._ask(poll)
                self.seen.polls.append(took)
                status = answer["data"]["status"]
                if status == "success":
                    self.seen.ended.append(time.monotonic())
                    return
                if status == "failed":
                    raise RuntimeError(answer["data"]["error"]["code"])
        finally:
            self._writer.close()

    async def _ask(self, request: bytes) -> tuple[Any, float]:
        began = time.monotonic()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        if head[9:12] not in (b"200", b"202"):
            raise RuntimeError(f"{head[9:12].decode()} {body[:150].decode()}")
        return json.loads(body), time.monotonic() - began


async def _run(port: int, token: str, garment_id: str, count: int, seconds: float) -> Measured:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="garmentId"\r\n\r\n{garment_id}\r\n'.encode(),
        b'--b\r\nContent-Disposition: form-data; name="userImage"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n",
        photo(900, 1200, 75),
        b"\r\n--b--\r\n",
    ]
    body = b"".join(parts)
    head = (
        "POST /api/try-on HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    seen, until = Measured(), time.monotonic() + seconds
    one = Frontend(port, token, head.encode() + body, until, seen)
    frontends = [Frontend(one.port, one.token, one.upload, until, seen) for _ in range(count)]
    # They do not all come in the same second.
    spread = PROVIDER_SECONDS / count
    await asyncio.gather(*(f.work(n * spread) for n, f in enumerate(frontends)))
    return seen


if __name__ == "__main__":
    print(json.dumps(vars(asyncio.run(_run(*json.loads(sys.argv[1]))))))
