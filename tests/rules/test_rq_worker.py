"""The worker: so many jobs at once, no slot is lost, and no job is run that it does not know."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import cast

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis import Redis
from redis.exceptions import ConnectionError
from rq import get_current_job
from rq.job import Job, JobStatus, Retry
from rq.serializers import JSONSerializer

from vton.adapters.redis.queue import Liveness, SessionJobs, open_queue
from vton.adapters.redis.rq_worker import AWAY_SECONDS, ThreadedWorker
from vton.tryon.jobs import RUN

PATIENCE = 5.0
"""How long a test waits for what comes at once."""
SLOTS = 2


class Shutdown(threading.Event):
    """Passes the time at once in which a worker waits for Redis to come back."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0 if timeout == AWAY_SECONDS else timeout)


class ModernRedis(FakeStrictRedis):
    """Says which version it is, so that RQ puts a job aside until it is started (LMOVE)."""

    def info(self, *_: object, **__: object) -> dict[str, str]:
        return {"redis_version": "7.2.0"}


class World:
    """A queue, and a worker of it that runs what a test says."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.redis: Redis = ModernRedis(server=self.server)
        self.queue = open_queue(self.redis)
        self.jobs = SessionJobs(self.redis)
        self.shutdown = Shutdown()
        self.ran: list[str] = []
        self.run: Callable[[str], Retry | None] = lambda session_id: None

    def worker(
        self,
        handlers: Mapping[str, Callable[..., object]] | None = None,
        liveness: Liveness | None = None,
    ) -> ThreadedWorker:
        """A worker with two slots."""

        def run(session_id: str) -> Retry | None:
            self.ran.append(session_id)
            return self.run(session_id)

        return ThreadedWorker(
            self.queue, handlers or {RUN: run}, SLOTS, self.shutdown,
            liveness or Liveness(self.redis),
        )  # fmt: skip

    def empty_the_queue(self, worker: ThreadedWorker) -> None:
        """Have the worker run jobs until the queue is empty, and for so long as is patient."""
        give_up = threading.Timer(PATIENCE, self.shutdown.set)
        self.shutdown.clear()
        give_up.start()
        worker.work(burst=True)
        give_up.cancel()

    def status(self, job_id: str) -> JobStatus:
        """How far a job has got."""
        return Job.fetch(job_id, self.redis, serializer=JSONSerializer).get_status()

    def ids_left(self) -> list[bytes]:
        """The ids that are in the queue, or were taken and not started."""
        keys = self.queue.key, self.queue.intermediate_queue.key
        return [one for key in keys for one in cast(list[bytes], self.redis.lrange(key, 0, -1))]


@pytest.fixture
def world() -> Iterator[World]:
    """A queue of this test's own; nothing is left running."""
    world = World()
    yield world
    world.shutdown.set()


def until(happened: Callable[[], object]) -> None:
    """Wait for what comes at once."""
    ends_at = time.monotonic() + PATIENCE
    while not happened() and time.monotonic() < ends_at:
        threading.Event().wait(0.001)


# -- slots -------------------------------------------------------------------------------------


def test_all_jobs_are_run_each_once(world: World) -> None:
    ids = [f"s{number}" for number in range(3 * SLOTS)]
    for session_id in ids:
        world.jobs.enqueue("user", session_id)

    world.empty_the_queue(world.worker())

    assert sorted(world.ran) == ids
    assert {world.status(session_id) for session_id in ids} == {JobStatus.FINISHED}
    assert world.ids_left() == []
    assert world.shutdown.is_set()


def test_a_worker_takes_jobs_also_after_many_idle_turns(world: World) -> None:
    worker = world.worker()
    for _ in range(SLOTS + 2):
        world.empty_the_queue(worker)
    world.jobs.enqueue("user", "a")

    world.empty_the_queue(worker)

    assert world.ran == ["a"]


def test_a_job_gives_its_slot_back_however_it_ends(world: World) -> None:
    ends: list[Exception | None] = [ValueError("a fault"), None, ValueError("a fault"), None]

    def run(session_id: str) -> None:
        if error := ends[int(session_id)]:
            raise error

    world.run = run
    for number in range(len(ends)):
        world.jobs.enqueue("user", str(number))

    world.empty_the_queue(world.worker())

    assert sorted(world.ran) == ["0", "1", "2", "3"]
    assert [world.status(str(n)) for n in range(4)] == [JobStatus.FAILED, JobStatus.FINISHED] * 2


def test_so_many_jobs_run_at_once_and_no_more(world: World) -> None:
    together, lock = threading.Barrier(SLOTS), threading.Lock()
    running, most = set[str](), [0]

    def run(session_id: str) -> None:
        with lock:
            running.add(session_id)
            most[0] = max(most[0], len(running))
        together.wait(PATIENCE)
        with lock:
            running.remove(session_id)

    world.run = run
    ids = [f"s{number}" for number in range(2 * SLOTS)]
    for session_id in ids:
        world.jobs.enqueue("user", session_id)

    world.empty_the_queue(world.worker())

    assert most == [SLOTS]
    assert {world.status(session_id) for session_id in ids} == {JobStatus.FINISHED}


class Failing(Liveness):
    """Cannot say of the first runs that they live."""

    def __init__(self, redis: Redis, times: int) -> None:
        super().__init__(redis)
        self.times = times

    def keep(self, session_ids: Collection[str]) -> None:
        self.times -= 1
        if self.times >= 0:
            raise ConnectionError("away")
        super().keep(session_ids)


def test_a_job_that_could_not_be_started_gives_its_slot_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(SLOTS + 2):
        world.jobs.enqueue("user", f"s{number}")

    world.empty_the_queue(world.worker(liveness=Failing(world.redis, SLOTS + 1)))

    assert world.ran == [f"s{SLOTS + 1}"]
    away = [r for r in caplog.records if r.getMessage() == "Redis is away: ConnectionError"]
    assert len(away) == SLOTS + 1


def test_a_thread_that_cannot_be_started_gives_its_slot_back(world: World) -> None:
    class Unthreaded(ThreadedWorker):
        """Has no threads left for the first jobs."""

        failing = SLOTS + 1

        def execute_job(self, job: Job, queue: object) -> None:
            self.failing -= 1
            if self.failing >= 0:
                raise RuntimeError("can't start new thread")
            super().execute_job(job, world.queue)

    for number in range(SLOTS + 2):
        world.jobs.enqueue("user", f"s{number}")
    worker = Unthreaded(
        world.queue, {RUN: world.ran.append}, SLOTS, world.shutdown, Liveness(world.redis)
    )

    world.empty_the_queue(worker)

    assert world.ran == [f"s{SLOTS + 1}"]


def test_a_job_whose_end_redis_could_not_be_told_gives_its_slot_back(world: World) -> None:
    def run(_: str) -> None:
        world.server.connected = False
        world.shutdown.set()

    world.run = run
    worker = world.worker()
    for number in range(SLOTS + 1):
        world.server.connected = True
        world.jobs.enqueue("user", f"s{number}")
        world.empty_the_queue(worker)
    world.server.connected = True
    world.run = lambda _: None
    world.jobs.enqueue("user", "last")

    world.empty_the_queue(worker)

    assert sorted(world.ran) == ["last", *(f"s{number}" for number in range(SLOTS + 1))]


# -- what is run -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["os.system", "vton.tryon.jobs.handlers", "builtins.print", "vton.tryon.jobs", "no"]
)
def test_a_function_that_is_not_listed_is_not_run(
    world: World, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    world.queue.enqueue(name, "echo it ran", job_id="bad")
    world.jobs.enqueue("user", "good")

    world.empty_the_queue(world.worker())

    assert world.status("bad") == JobStatus.FAILED
    result = Job.fetch("bad", world.redis, serializer=JSONSerializer).latest_result()
    assert "this worker does not run that function" in str(result and result.exc_string)
    assert world.ran == ["good"]
    assert "it ran" not in capfd.readouterr().out


def test_each_listed_function_is_run_under_its_name(world: World) -> None:
    seen: list[str] = []
    world.queue.enqueue("other", "x", job_id="other")
    world.jobs.enqueue("user", "a")

    worker = world.worker({RUN: seen.append, "other": lambda text: seen.append(f"other {text}")})
    world.empty_the_queue(worker)

    assert sorted(seen) == ["a", "other x"]


def test_a_job_that_runs_here_is_not_started_twice(world: World) -> None:
    left: list[list[bytes]] = []

    def run(_: str) -> None:
        until(lambda: not world.ids_left())
        left.append(world.ids_left())

    world.run = run
    world.jobs.enqueue("user", "a")
    world.redis.rpush(world.queue.key, "a")

    world.empty_the_queue(world.worker())

    assert world.ran == ["a"]
    assert left == [[]]  # the second one only left the queue, while the first one ran
    assert world.status("a") == JobStatus.FINISHED


def test_a_job_that_runs_here_leaves_nothing_when_it_is_taken_again(world: World) -> None:
    """Also where it waits for jobs, as it does but in burst mode."""
    left: list[list[bytes]] = []

    def run(_: str) -> None:
        until(lambda: not world.ids_left())
        left.append(world.ids_left())
        world.shutdown.set()
        world.queue.enqueue("no", job_id="wakes whoever waits")

    world.run = run
    world.jobs.enqueue("user", "a")
    world.redis.rpush(world.queue.key, "a")

    world.worker().work()

    assert world.ran == ["a"]
    assert left == [[]]


def test_the_same_job_may_run_again_when_it_is_over(world: World) -> None:
    worker = world.worker()
    for _ in range(SLOTS + 1):
        world.jobs.enqueue_again("a")
        world.empty_the_queue(worker)

    assert world.ran == ["a"] * (SLOTS + 1)


def test_a_job_that_asks_for_it_is_put_back_and_run_again(world: World) -> None:
    def run(_: str) -> Retry | None:
        return Retry(max=10, interval=0) if len(world.ran) < 3 else None

    world.run = run
    world.jobs.enqueue("user", "a")
    worker = world.worker()

    def has_finished() -> bool:
        world.empty_the_queue(worker)  # into which it may be put back a moment later
        return len(world.ran) == 3 and world.status("a") == JobStatus.FINISHED

    until(has_finished)
    assert world.status("a") == JobStatus.FINISHED


# -- what others see ---------------------------------------------------------------------------


def test_a_run_is_known_to_live_while_it_does(world: World) -> None:
    alive: list[set[str]] = []
    world.run = lambda _: alive.append(world.jobs.running(["a", "b"]))
    world.jobs.enqueue("user", "a")

    world.empty_the_queue(world.worker())

    assert alive == [{"a"}]
    until(lambda: not world.jobs.running(["a", "b"]))  # the thread says so as its last word
    assert world.jobs.running(["a", "b"]) == set()


def test_a_dead_workers_job_is_missed_after_half_a_minute(world: World) -> None:
    lives: list[float] = []

    def run(_: str) -> None:
        lives.extend(world.redis.pttl(key) / 1000 for key in world.redis.keys("rq:execution:*"))

    world.run = run
    world.jobs.enqueue("user", "a")
    worker = world.worker()

    world.empty_the_queue(worker)

    assert len(lives) == 1
    assert 0 < lives[0] <= 30
    assert worker.get_heartbeat_ttl(Job(connection=world.redis)) == 30


def test_a_run_knows_its_job(world: World) -> None:
    seen: list[str | None] = []

    def run(_: str) -> None:
        job = get_current_job()
        seen.append(job.id if job else None)

    world.run = run
    for session_id in "ab":
        world.jobs.enqueue("user", session_id)

    world.empty_the_queue(world.worker())

    assert sorted(map(str, seen)) == ["a", "b"]


def test_what_ended_is_kept_for_ten_minutes(world: World) -> None:
    def run(session_id: str) -> None:
        if session_id == "bad":
            raise ValueError("a fault")

    world.run = run
    for session_id in ("good", "bad"):
        world.jobs.enqueue("user", session_id)

    world.empty_the_queue(world.worker())

    for session_id in ("good", "bad"):
        assert 30 < world.redis.pttl(f"rq:job:{session_id}") / 1000 <= 600


# -- the end of the process --------------------------------------------------------------------


def test_a_worker_that_is_to_end_takes_no_job(world: World) -> None:
    world.jobs.enqueue("user", "a")
    world.shutdown.set()

    world.worker().work()

    assert world.ran == []
    assert world.jobs.waiting() == {"a"}


def test_a_worker_that_is_to_end_lets_its_jobs_end(world: World) -> None:
    def run(_: str) -> None:
        world.shutdown.set()
        threading.Event().wait(0.02)

    world.run = run
    world.jobs.enqueue("user", "a")

    world.empty_the_queue(world.worker())

    assert world.status("a") == JobStatus.FINISHED


def test_a_worker_says_goodbye(world: World) -> None:
    names: list[set[bytes]] = []
    world.run = lambda _: names.append(cast(set[bytes], world.redis.smembers("rq:workers")))
    world.jobs.enqueue("user", "a")
    worker = world.worker()

    world.empty_the_queue(worker)

    assert names == [{worker.key.encode()}]
    assert world.redis.smembers("rq:workers") == set()


def test_a_worker_whose_redis_was_emptied_registers_anew(world: World) -> None:
    worker = world.worker()
    world.empty_the_queue(worker)
    names: list[set[bytes]] = []
    world.run = lambda _: names.append(cast(set[bytes], world.redis.smembers("rq:workers")))
    world.redis.flushall()
    assert worker._registered_until <= time.monotonic() + 1
    worker._registered_until = 0.0  # a second later
    world.jobs.enqueue("user", "a")

    world.empty_the_queue(worker)

    assert names == [{worker.key.encode()}]


def test_a_redis_that_is_away_ends_no_worker(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.jobs.enqueue("user", "a")
    world.server.connected = False
    worker = world.worker()
    thread = threading.Thread(target=world.empty_the_queue, args=(worker,))
    with caplog.at_level(logging.CRITICAL, logger="vton.adapters.redis.rq_worker"):
        thread.start()
        threading.Event().wait(0.01)
        world.server.connected = True
        thread.join(PATIENCE)

    assert world.ran == ["a"]
