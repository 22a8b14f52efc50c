"""Connections that ask for the same again and again: what wrk does, in a process of its own.

python -m devstack.bench.load PORT CONNECTIONS SECONDS < requests.json
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What came of it: requests a second, times in milliseconds, and how often which status."""

    rate: float
    p50: float
    p99: float
    statuses: Mapping[str, int]


def request(path: str, token: str = "") -> str:
    """A GET as the load sends it."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        f"Origin: http://localhost:5173\r\n{authorization}\r\n"
    )


def ask(port: int, requests: Sequence[str], connections: int, seconds: float) -> Load:
    """Have so many connections ask for so long, each one request after the other."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(port), str(connections), str(seconds)],
        input=json.dumps(requests),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Load(**json.loads(done.stdout))


@dataclass
class _Log:
    took: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, log: _Log) -> None:
        self._request, self._log = request, log
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length and len(body) < int(length[1])):
            return
        self._log.took.append(time.perf_counter() - self._asked_at)
        self._log.statuses[head[9:12].decode()] += 1
        self._received = b""
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._log.statuses["lost"] += 1


async def _run(port: int, requests: list[str], connections: int, seconds: float) -> Load:
    log, loop = _Log(), asyncio.get_running_loop()
    began = time.perf_counter()
    open_ones = [
        (await loop.create_connection(
            lambda n=n: _Connection(requests[n % len(requests)].encode(), log),  # type: ignore[misc]
            "127.0.0.1", port,
        ))[0]
        for n in range(connections)
    ]  # fmt: skip
    await asyncio.sleep(seconds)
    took, elapsed = sorted(log.took), time.perf_counter() - began
    statuses = dict(log.statuses)
    for transport in open_ones:
        transport.abort()
    at = len(took) - 1
    return Load(len(took) / elapsed, took[at // 2] * 1000, took[int(at * 0.99)] * 1000, statuses)


if __name__ == "__main__":
    answer = asyncio.run(
        _run(int(sys.argv[1]), json.load(sys.stdin), int(sys.argv[2]), float(sys.argv[3]))
    )
    json.dump(vars(answer), sys.stdout)
