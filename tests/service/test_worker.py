"""The worker: many at once, ended politely, and only what is listed is run."""

import inspect
import signal
import threading
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import rq
from actors import PATIENCE, Simulator, User, until
from fakeredis import FakeStrictRedis
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from devstack.stack import Stack
from vton.adapters.redis import rq_worker
from vton.adapters.redis.queue import (
    ALIVE_SECONDS,
    CANCELLED_SECONDS,
    LEADER_KEY,
    NEW_GENERATION_KEY,
    Liveness,
    SessionJobs,
    open_queue,
)
from vton.adapters.redis.rq_worker import ThreadedWorker


def test_many_try_ons_wait_at_once(user: User, garment_id: str, simulator: Simulator) -> None:
    simulator.change(delay=1.5)
    started = [user.start(garment_id) for _ in range(12)]

    until(lambda: len(simulator.submits()) == len(started))
    ended = [user.wait(session_id)["status"] for session_id in started]

    assert ended == ["success"] * 12
    assert len(simulator.submits()) == 12


def test_three_workers_share_the_load_without_a_duplicate(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    names = ["worker", "worker-2", "worker-3"]
    for name in names[1:]:
        stack.start_process(name, "worker")
    try:
        until(lambda: all(is_listening(stack, name) for name in names[1:]))
        simulator.change(delay=1)
        started = [user.start(garment_id) for _ in range(15)]
        assert [user.wait(session_id)["status"] for session_id in started] == ["success"] * 15
        took = [
            sum(f"session={s} submitted" in line for line in stack.output(name) for s in started)
            for name in names
        ]
    finally:
        for name in names[1:]:
            stack.end_process(name, signal.SIGTERM, seconds=20)

    assert len(simulator.submits()) == sum(took) == 15
    assert sum(count > 0 for count in took) > 1


def test_a_worker_that_is_ended_leaves_its_sessions_to_the_next(
    stack: Stack, user: User, garment_id: str, simulator: Simulator
) -> None:
    simulator.change(delay=6)  # it is not over before the worker has ended
    started = [user.start(garment_id) for _ in range(3)]
    for session_id in started:
        user.wait(session_id, "processing")
    until(lambda: len(simulator.submits()) == 3)

    try:
        code = stack.end_process("worker", signal.SIGTERM, seconds=10)
        assert code == 0
        assert {user.status(session_id)["status"] for session_id in started} == {"processing"}
    finally:
        stack.start_process("worker")

    assert [user.wait(session_id)["status"] for session_id in started] == ["success"] * 3
    assert len(simulator.submits()) == 3


def test_a_session_is_queued_while_no_worker_is_there(
    stack: Stack,
    user: User,
    garment_id: str,
    database: psycopg.Connection[Any],
    redis: Redis,
) -> None:
    stack.end_process("worker", signal.SIGTERM, seconds=10)
    try:
        kept, deleted = user.start(garment_id), user.start(garment_id)
        assert user.status(kept)["status"] == "queued"
        assert user.call("DELETE", f"/api/try-on/{deleted}").status_code == 200
        waiting = redis.lrange("rq:queue:try-on", 0, -1)  # and what the worker has put back
        assert kept.encode() in waiting
        assert deleted.encode() not in waiting
    finally:
        stack.start_process("worker")

    assert user.wait(kept)["status"] == "success"
    submitted = database.execute(
        "select session_id::text from submits where session_id in (%s, %s)", [kept, deleted]
    ).fetchall()
    assert submitted == [(kept,)]


def test_a_function_that_is_not_listed_is_not_run(
    stack: Stack, user: User, garment_id: str, redis: Redis
) -> None:
    queue = open_queue(redis)
    job = queue.enqueue("os.getcwd", job_id="intruder", failure_ttl=60)

    until(lambda: "intruder" in FailedJobRegistry(queue=queue))

    assert job.return_value() is None
    assert user.wait(user.start(garment_id))["status"] == "success"


def test_jobs_carry_the_sessions_id_and_nothing_else(
    stack: Stack, user: User, garment_id: str, redis: Redis
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    job = until(lambda: fetched(redis, session_id))

    assert (job.func_name, job.args, job.kwargs) == ("vton.tryon.jobs.run", [session_id], {})


def test_jobs_run_side_by_side_on_threads() -> None:
    together = threading.Barrier(3, timeout=10)
    queue = open_queue(FakeStrictRedis())
    for _ in range(3):
        queue.enqueue("meet")

    worker = ThreadedWorker(
        queue,
        {"meet": lambda: together.wait() and None},
        3,
        threading.Event(),
        Liveness(queue.connection),
    )
    worker.work(burst=True)

    assert queue.finished_job_registry.count == 3


def in_background(worker: ThreadedWorker) -> threading.Thread:
    """Have a worker work until its `shutdown` is set."""
    working = threading.Thread(target=worker.work, daemon=True)
    working.start()
    return working


def test_a_worker_that_found_nothing_more_often_than_it_has_slots_still_takes_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rq_worker, "DEQUEUE_SECONDS", 1)
    queue, shutdown, done = open_queue(FakeStrictRedis()), threading.Event(), threading.Event()
    worker = ThreadedWorker(queue, {"job": done.set}, 2, shutdown, Liveness(queue.connection))
    turns = []
    dequeue = worker._dequeue
    monkeypatch.setattr(worker, "_dequeue", lambda wait: turns.append(1) or dequeue(wait))
    working = in_background(worker)
    try:
        until(lambda: len(turns) > 3)  # the fourth turn has begun: three found nothing
        queue.enqueue("job")
        assert done.wait(PATIENCE)
    finally:
        shutdown.set()
        working.join(PATIENCE)
    assert not working.is_alive()


class Hasty(threading.Event):
    """Whoever waits for it is not kept for long, as if the time were over."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0.05)


def test_a_run_that_lasts_is_said_to_live_again_and_again(redis: Redis) -> None:
    """Else the sweep would enqueue it a second time after half a minute."""
    queue = Queue("lasting", connection=redis, serializer=JSONSerializer)
    shutdown, may_end = Hasty(), threading.Event()
    handlers = {"last": lambda: may_end.wait(2 * PATIENCE) and None}
    working = in_background(ThreadedWorker(queue, handlers, 1, shutdown, Liveness(redis)))
    jobs, key = SessionJobs(redis), "vton:alive:lasting"
    try:
        queue.enqueue("last", job_id="lasting")
        until(lambda: jobs.running(["lasting", "another"]) == {"lasting"})
        for _ in range(2):
            redis.expire(key, ALIVE_SECONDS // 2)
            until(lambda: redis.ttl(key) > ALIVE_SECONDS // 2)
        assert redis.ttl(key) <= ALIVE_SECONDS
    finally:
        may_end.set()
        until(lambda: not jobs.running(["lasting"]))
        shutdown.set()
        working.join(PATIENCE)
        queue.delete()


def test_a_run_that_misses_two_beats_is_still_alive() -> None:
    assert 3 * rq_worker.BEAT_SECONDS <= ALIVE_SECONDS


def test_what_a_cancellation_leaves_in_redis_has_an_end(redis: Redis) -> None:
    jobs, session_id = SessionJobs(redis), str(uuid4())

    jobs.cancel(session_id)

    assert jobs.cancelled(session_id)
    assert 0 < redis.ttl(f"vton:cancelled:{session_id}") <= CANCELLED_SECONDS


def test_nobody_sweeps_for_a_while_after_redis_was_emptied() -> None:
    """Until all living runs have said again that they live."""
    redis = FakeStrictRedis()
    jobs = SessionJobs(redis)

    def asked_again() -> bool:
        redis.delete(LEADER_KEY)
        return jobs.try_acquire_leadership()

    assert not jobs.try_acquire_leadership()
    assert not asked_again()
    assert ALIVE_SECONDS - rq_worker.BEAT_SECONDS <= redis.ttl(NEW_GENERATION_KEY) <= 25
    redis.delete(NEW_GENERATION_KEY)  # the time is over
    assert asked_again()
    assert not jobs.try_acquire_leadership()  # one at a time
    redis.flushall()
    assert not asked_again()


def test_the_installed_rq_has_what_the_worker_builds_on() -> None:
    """A new RQ may rename what is overridden or called; then this fails, and not production."""
    signatures = {
        "execute_job": ["self", "job", "queue"],
        "get_heartbeat_ttl": ["self", "job", "working_time"],
        "maintain_heartbeats": ["self", "job", "execution"],
        "perform_job": ["self", "job", "queue", "execution"],
        "prepare_execution": ["self", "job"],
        "register_birth": ["self"],
        "register_death": ["self"],
        "run_maintenance_tasks": ["self"],
    }

    assert rq.VERSION.startswith("3.0.")
    for name, parameters in signatures.items():
        assert list(inspect.signature(getattr(BaseWorker, name)).parameters) == parameters
    assert isinstance(inspect.getattr_static(Job, "func"), property)


def fetched(redis: Redis, session_id: str) -> Job | None:
    """The finished job of a session."""
    job = Job.fetch(session_id, redis, serializer=JSONSerializer)
    return job if job.is_finished else None


def is_listening(stack: Stack, name: str) -> bool:
    """Whether a worker has registered with Redis."""
    redis = Redis.from_url(stack.child_environ["REDIS_URL"])
    pid = str(stack.pid(name)).encode()
    return any(redis.hget(key, "pid") == pid for key in redis.smembers("rq:workers"))
