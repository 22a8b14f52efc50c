"""The queue: a session is in it once, what a dead worker left is removed, and nothing stays."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis import Redis
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from vton.adapters.redis.cache import Cache
from vton.adapters.redis.circuit_breaker import RedisCircuitBreaker
from vton.adapters.redis.queue import (
    ALIVE_SECONDS,
    CANCELLED_SECONDS,
    FINISHED_SECONDS,
    GENERATION_KEY,
    LEADER_KEY,
    LEADER_SECONDS,
    NEW_GENERATION_KEY,
    NEW_GENERATION_SECONDS,
    Liveness,
    SessionJobs,
    open_queue,
)
from vton.adapters.redis.signed_urls import SignedUrlCache
from vton.adapters.redis.status_cache import RedisStatusCache, status_key
from vton.errors import Unavailable
from vton.tryon.model import SessionState, Status
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import SignedUrl
from vton.web.limits import RequestRate

USER = "user"


class World:
    """A queue, and the Redis that it is in."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.redis: Redis = FakeStrictRedis(server=self.server)
        self.queue = open_queue(self.redis)
        self.jobs = SessionJobs(self.redis)
        self.liveness = Liveness(self.redis)
        self.statuses = RedisStatusCache(
            Cache(self.redis), SignedUrlCache(Cache(self.redis), "https://a.supabase.co/try-on")
        )

    def job(self, session_id: str) -> Job:
        """RQ's job of a session."""
        return Job.fetch(session_id, self.redis, serializer=JSONSerializer)

    def names(self, pattern: str = "*") -> set[str]:
        """What there is in Redis."""
        return {key.decode() for key in cast(list[bytes], self.redis.keys(pattern))}

    def lives(self, key: str) -> float:
        """How many seconds a key still lives; less than 0 where it has no end or is not there."""
        return self.redis.pttl(key) / 1000

    def take(self, session_id: str) -> Execution:
        """Take a session's job out of the queue, as a worker does that is about to die."""
        assert self.redis.lmove(self.queue.key, self.queue.intermediate_queue.key) is not None
        job = self.job(session_id)
        with self.redis.pipeline() as pipeline:
            execution = Execution.create(job, 30, pipeline, worker_name="dead")
            job.set_status(JobStatus.STARTED, pipeline=pipeline)
            pipeline.execute()
        return execution


@pytest.fixture
def world() -> World:
    """A queue of this test's own."""
    return World()


# -- into the queue ----------------------------------------------------------------------------


def test_a_session_is_in_the_queue_once_with_its_id_and_nothing_else(world: World) -> None:
    world.jobs.enqueue(USER, "a")

    assert world.queue.get_job_ids() == ["a"]
    job = world.job("a")
    assert (job.func_name, job.args, job.kwargs) == ("vton.tryon.jobs.run", ["a"], {})
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (-1, 600, FINISHED_SECONDS)
    assert job.description == "try-on"
    assert job.get_status() == JobStatus.QUEUED


def test_sessions_are_taken_in_their_order(world: World) -> None:
    for session_id in "abc":
        world.jobs.enqueue(USER, session_id)

    assert world.queue.get_job_ids() == ["a", "b", "c"]


def test_a_new_session_is_found_queued_at_once(world: World) -> None:
    before = datetime.now(UTC).timestamp()

    world.jobs.enqueue(USER, "a")

    state = world.statuses.find(USER, "a").state
    assert state is not None
    assert state.status is Status.QUEUED
    assert before <= (state.queued_at or 0) <= datetime.now(UTC).timestamp()
    assert 14 < world.lives(status_key(USER, "a")) <= 15


def test_a_session_that_was_deleted_meanwhile_stays_so(world: World) -> None:
    world.statuses.mark_deleted(USER, "a")

    world.jobs.enqueue(USER, "a")

    assert world.statuses.find(USER, "a").deleted
    assert world.lives(status_key(USER, "a")) > 59


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.SUCCESS, Status.FAILED])
def test_a_session_that_has_got_further_meanwhile_stays_there(world: World, status: Status) -> None:
    state = SessionState(status, queued_at=1.0)
    world.statuses.advance(USER, "a", state)

    world.jobs.enqueue(USER, "a")

    assert world.statuses.find(USER, "a").state == state


# -- once more ---------------------------------------------------------------------------------


def test_what_a_dead_worker_left_of_a_job_is_removed(world: World) -> None:
    world.jobs.enqueue(USER, "a")
    left = [world.take("a")]
    with world.redis.pipeline() as pipeline:  # and once more, by another worker
        left.append(Execution.create(world.job("a"), 30, pipeline))
        pipeline.execute()
    assert world.queue.intermediate_queue.get_job_ids() == ["a"]
    assert world.queue.started_job_registry.get_job_ids() == ["a", "a"]

    world.jobs.enqueue_again("a")

    assert world.queue.get_job_ids() == ["a"]
    assert world.queue.intermediate_queue.get_job_ids() == []
    assert world.queue.started_job_registry.get_job_ids() == []
    assert not world.redis.exists(*(execution.key for execution in left))
    assert world.job("a").execution_registry.get_execution_ids() == []
    assert not world.redis.exists(world.job("a").execution_registry.key)
    assert (world.job("a").get_status(), world.job("a").args) == (JobStatus.QUEUED, ["a"])


def test_what_others_have_left_stays(world: World) -> None:
    for session_id in "ab":
        world.jobs.enqueue(USER, session_id)
    world.take("a")
    others = world.take("b")

    world.jobs.enqueue_again("a")

    assert world.queue.intermediate_queue.get_job_ids() == ["b"]
    assert world.queue.started_job_registry.get_job_ids() == ["b"]
    assert world.redis.exists(others.key)
    assert world.job("b").get_status() == JobStatus.STARTED


def test_a_job_of_which_nothing_is_left_is_made_anew(world: World) -> None:
    world.redis.lpush(world.queue.intermediate_queue.key, "a")

    world.jobs.enqueue_again("a")

    assert world.queue.get_job_ids() == ["a"]
    assert world.queue.intermediate_queue.get_job_ids() == []


def test_a_job_that_waits_is_not_in_the_queue_twice(world: World) -> None:
    world.jobs.enqueue(USER, "a")
    world.jobs.enqueue(USER, "b")

    world.jobs.enqueue_again("a")

    assert world.queue.get_job_ids() == ["b", "a"]


@pytest.mark.parametrize("ended", [JobStatus.FAILED, JobStatus.FINISHED])
def test_a_job_that_ended_is_in_no_list_of_ended_ones_any_more(
    world: World, ended: JobStatus
) -> None:
    world.jobs.enqueue(USER, "a")
    world.redis.delete(world.queue.key)
    job, failed = world.job("a"), ended == JobStatus.FAILED
    job.set_status(ended)
    registry = world.queue.failed_job_registry if failed else world.queue.finished_job_registry
    registry.add(job, ttl=600)

    world.jobs.enqueue_again("a")

    assert registry.get_job_ids() == []
    assert world.queue.get_job_ids() == ["a"]
    assert world.job("a").get_status() == JobStatus.QUEUED


def test_a_session_that_lost_its_run_is_not_called_queued(world: World) -> None:
    """Polls go on to say processing, or ask the database."""
    world.jobs.enqueue_again("a")

    assert not world.redis.exists(status_key(USER, "a"))
    assert world.names("vton:*") == set()


# -- out of the queue --------------------------------------------------------------------------


def test_a_session_that_waits_is_taken_out(world: World) -> None:
    for session_id in "abc":
        world.jobs.enqueue(USER, session_id)

    world.jobs.cancel("b")

    assert world.queue.get_job_ids() == ["a", "c"]
    assert [world.jobs.exists(session_id) for session_id in "abc"] == [True, False, True]


def test_a_session_that_runs_is_told_to_stop(world: World) -> None:
    world.jobs.enqueue(USER, "a")
    world.take("a")

    world.jobs.cancel("a")

    assert world.jobs.cancelled("a")
    assert world.jobs.exists("a")
    assert world.job("a").get_status() == JobStatus.STARTED


def test_a_cancellation_is_the_sessions_own_and_outlives_any_run(world: World) -> None:
    world.jobs.cancel("a")

    assert world.jobs.cancelled("a")
    assert not world.jobs.cancelled("b")
    (key,) = world.names()
    assert 600 < world.lives(key) <= CANCELLED_SECONDS == 3600


def test_a_session_was_enqueued_or_not(world: World) -> None:
    world.jobs.enqueue(USER, "a")

    assert world.jobs.exists("a")
    assert not world.jobs.exists("b")


def test_which_sessions_wait(world: World) -> None:
    assert world.jobs.waiting() == set()
    for session_id in "abc":
        world.jobs.enqueue(USER, session_id)
    world.take("a")

    assert world.jobs.waiting() == {"b", "c"}


# -- which runs live ---------------------------------------------------------------------------


def test_which_sessions_have_a_living_run(world: World) -> None:
    world.liveness.keep(["a", "b", "c"])
    world.liveness.drop("c")

    assert world.jobs.running(["x", "b", "c", "a"]) == {"a", "b"}
    assert world.jobs.running(["x", "c"]) == set()
    assert world.jobs.running(["a"]) == {"a"}


def test_a_run_that_says_nothing_is_dead_in_half_a_minute(world: World) -> None:
    world.liveness.keep(["a"])
    (key,) = world.names()
    assert ALIVE_SECONDS - 1 < world.lives(key) <= ALIVE_SECONDS == 30

    world.redis.expire(key, 2)
    world.liveness.keep(["a"])
    assert world.lives(key) > 29
    world.redis.delete(key)  # its time is over
    assert world.jobs.running(["a"]) == set()


def test_nothing_is_asked_where_nothing_runs(world: World) -> None:
    world.liveness.keep([])
    world.server.connected = False

    assert world.jobs.running([]) == set()


# -- one sweeps at a time ----------------------------------------------------------------------


def end(world: World, *keys: str) -> None:
    """Have the time of these keys be over."""
    assert world.redis.delete(*keys) == len(keys)


def test_nobody_sweeps_until_all_living_runs_have_said_again_that_they_live(world: World) -> None:
    assert not world.jobs.try_acquire_leadership()
    for _ in range(2):
        end(world, LEADER_KEY)
        assert not world.jobs.try_acquire_leadership()
    assert 24 < world.lives(NEW_GENERATION_KEY) <= NEW_GENERATION_SECONDS == 25

    end(world, LEADER_KEY, NEW_GENERATION_KEY)
    assert world.jobs.try_acquire_leadership()

    world.redis.flushall()
    assert not world.jobs.try_acquire_leadership()
    end(world, LEADER_KEY)
    assert not world.jobs.try_acquire_leadership()
    end(world, LEADER_KEY, NEW_GENERATION_KEY)
    assert world.jobs.try_acquire_leadership()


def test_the_wait_is_not_made_longer_by_those_who_ask(world: World) -> None:
    world.jobs.try_acquire_leadership()
    world.redis.expire(NEW_GENERATION_KEY, 5)
    end(world, LEADER_KEY)

    world.jobs.try_acquire_leadership()

    assert world.lives(NEW_GENERATION_KEY) <= 5


def test_one_worker_sweeps_at_a_time(world: World) -> None:
    world.jobs.try_acquire_leadership()
    end(world, LEADER_KEY, NEW_GENERATION_KEY)
    workers = [SessionJobs(world.redis) for _ in range(4)]

    assert [worker.try_acquire_leadership() for worker in workers] == [True, False, False, False]
    assert [worker.try_acquire_leadership() for worker in workers] == [False] * 4
    assert 8 < world.lives(LEADER_KEY) <= LEADER_SECONDS == 9
    end(world, LEADER_KEY)
    assert [worker.try_acquire_leadership() for worker in workers[::-1]][:2] == [True, False]


def test_a_worker_that_may_not_sweep_does_not_keep_others_from_it(world: World) -> None:
    world.jobs.try_acquire_leadership()
    world.redis.expire(LEADER_KEY, 3)

    assert not world.jobs.try_acquire_leadership()

    assert world.lives(LEADER_KEY) <= 3


# -- what would stay for ever ------------------------------------------------------------------


def test_only_what_has_no_end_and_nobody_needs_is_given_one(world: World) -> None:
    for session_id in ("unfinished", "orphaned", "ended"):
        world.redis.hset(f"rq:job:{session_id}", "status", "started")
    world.redis.expire("rq:job:ended", 50)
    world.redis.set("rq:jobs", 1)
    world.redis.set("vton:rq:job:x", 1)

    world.jobs.expire_orphaned_jobs(["unfinished", "not there"])

    assert world.lives("rq:job:unfinished") < 0
    assert FINISHED_SECONDS - 1 < world.lives("rq:job:orphaned") <= FINISHED_SECONDS
    assert 0 < world.lives("rq:job:ended") <= 50
    assert world.lives("rq:jobs") < 0
    assert world.lives("vton:rq:job:x") < 0
    assert world.names("rq:job:*") == {
        "rq:job:unfinished", "rq:job:orphaned", "rq:job:ended"
    }  # fmt: skip


def test_an_end_is_not_put_off_by_the_next_pass(world: World) -> None:
    world.redis.hset("rq:job:orphaned", "status", "started")
    world.jobs.expire_orphaned_jobs([])
    world.redis.expire("rq:job:orphaned", 7)

    world.jobs.expire_orphaned_jobs([])

    assert world.lives("rq:job:orphaned") <= 7


def test_each_of_many_gets_what_is_its_own(world: World) -> None:
    ids = [str(uuid4()) for _ in range(300)]
    with world.redis.pipeline() as pipeline:
        for number, session_id in enumerate(ids):
            pipeline.hset(f"rq:job:{session_id}", "status", "started")
            if number % 3 == 0:
                pipeline.expire(f"rq:job:{session_id}", 50)
        pipeline.execute()

    world.jobs.expire_orphaned_jobs(ids[1::3])

    lives = [world.lives(f"rq:job:{session_id}") for session_id in ids]
    assert all(0 < seconds <= 50 for seconds in lives[0::3])
    assert all(seconds < 0 for seconds in lives[1::3])
    assert all(50 < seconds <= 600 for seconds in lives[2::3])


def test_where_nothing_is_nothing_is_expired(world: World) -> None:
    world.jobs.expire_orphaned_jobs([])

    assert world.names() == set()


# -- without Redis -----------------------------------------------------------------------------

CALLS: dict[str, Callable[[SessionJobs], object]] = {
    "enqueue": lambda jobs: jobs.enqueue(USER, "a"),
    "enqueue_again": lambda jobs: jobs.enqueue_again("a"),
    "cancel": lambda jobs: jobs.cancel("a"),
    "exists": lambda jobs: jobs.exists("a"),
    "waiting": lambda jobs: jobs.waiting(),
    "running": lambda jobs: jobs.running(["a"]),
    "expire_orphaned_jobs": lambda jobs: jobs.expire_orphaned_jobs(["a"]),
    "try_acquire_leadership": lambda jobs: jobs.try_acquire_leadership(),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_queue_says_when_redis_is_away(world: World, name: str) -> None:
    world.server.connected = False

    with pytest.raises(Unavailable):
        CALLS[name](world.jobs)


def test_nobody_is_taken_to_be_cancelled_while_that_cannot_be_known(world: World) -> None:
    world.jobs.cancel("a")
    world.server.connected = False

    assert not world.jobs.cancelled("a")


def test_everything_that_we_write_has_an_end_but_the_generation(world: World) -> None:
    world.jobs.enqueue(USER, "a")
    world.jobs.cancel("a")
    world.jobs.enqueue_again("b")
    world.jobs.try_acquire_leadership()
    world.liveness.keep(["a", "b"])
    world.statuses.advance(USER, "b", SessionState(Status.PROCESSING))
    world.statuses.fill(USER, "c", SessionState(Status.SUCCESS))
    world.statuses.mark_deleted(USER, "d")
    world.statuses.extend_ttl([(USER, "b"), (USER, "e")])
    for _ in range(5):
        world.statuses.record_durations(TypicalDurations(1, 2))
    urls = SignedUrlCache(Cache(world.redis), "https://a.supabase.co/try-on")
    urls.remember({"photo.jpg": SignedUrl("https://a.supabase.co/sign", datetime.now(UTC))})
    breaker = RedisCircuitBreaker(world.redis)
    breaker.trip("one")
    world.redis.delete("vton:circuit_breaker:paused")
    breaker.seconds_until_allowed("another")
    breaker_again = RedisCircuitBreaker(world.redis)
    breaker_again.seconds_until_allowed("another")
    rate = RequestRate(world.redis, 10)
    rate.count(USER)

    ours = {key for key in world.names() if not key.startswith("rq:")}
    assert {key.split(":")[1] for key in ours} == {
        "status", "cancelled", "redis_generation", "sweep", "alive", "durations", "typical",
        "signed", "circuit_breaker", "vton",
    }  # fmt: skip
    assert {key for key in ours if world.lives(key) <= 0} == {GENERATION_KEY}
