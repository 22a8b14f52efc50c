"""rq-dashboard: there with a password only, to look at and not to touch."""

import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from actors import Simulator, User, until
from fakeredis import FakeStrictRedis
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from config import Config
from devstack.stack import Stack
from vton.adapters.redis.queue import Liveness, open_queue
from vton.adapters.redis.rq_worker import ThreadedWorker
from vton.app import create_app
from vton.tryon.jobs import RUN, handlers
from vton.web.dashboard import ENDPOINTS
from vton.web.limits import FAILED_LOGINS

PASSWORD = "pass:wörd"
LOGIN = ("admin", PASSWORD)
CHANGING = {"delete_job_view", "requeue_job_view", "requeue_all", "empty_queue", "compact_queue"}
REGISTRIES = ("queued", "started", "finished", "failed", "canceled", "deferred", "scheduled")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PAGES = ("", "/", "/0/view", "/0/view/queues", "/0/view/workers", "/0/view/jobs", "/favicon.ico")
UNESCAPED = "<b onclick=alert(1)>and what the provider said"


class LoggedIn(FlaskClient):
    """A browser whose owner knows the password."""

    def open(self, *args: Any, **options: Any) -> Any:
        return super().open(*args, **{"auth": LOGIN, **options})

    def look(self, path: str) -> dict[str, Any]:
        """The JSON at an address of the dashboard."""
        response = self.get(f"/admin/rq{path}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.get_json()
        return found

    def job(self, job_id: str) -> dict[str, Any]:
        """What a job's page shows."""
        assert self.get(f"/admin/rq/0/view/job/{job_id}").status_code == 200
        return self.look(f"/0/data/job/{job_id}.json")

    def jobs(self, registry: str, queue: str = "try-on") -> list[str]:
        """The jobs of a state."""
        view = f"/admin/rq/0/view/jobs/{queue}/{registry}/100/dsc/1"
        assert self.get(view).status_code == 200
        data = self.look(f"/0/data/jobs/{queue}/{registry}/100/dsc/1.json")
        return [job["id"] for job in data["jobs"]]

    def workers(self) -> list[dict[str, Any]]:
        """The workers."""
        found: list[dict[str, Any]] = self.look("/0/data/workers.json")["workers"]
        return found


@pytest.fixture(autouse=True)
def _nobody_has_guessed(redis: Redis) -> None:
    """Before each test: what they guess is counted."""
    for key in redis.keys("*vton:rate:login*"):
        redis.delete(key)


@pytest.fixture
def app(stack: Stack) -> Flask:
    """The application of the running stack, with a dashboard."""
    app = create_app(Config.from_env({**stack.child_environ, "ADMIN_PASSWORD": PASSWORD}))
    app.test_client_class = LoggedIn
    return app


@pytest.fixture
def browser(app: Flask) -> LoggedIn:
    """Somebody who looks at the dashboard."""
    client = app.test_client()
    assert isinstance(client, LoggedIn)
    return client


@pytest.fixture
def spare(redis: Redis) -> Iterator[Queue]:
    """A queue that no worker listens on."""
    queue = Queue("spare", connection=redis, serializer=JSONSerializer)
    yield queue
    redis.delete(*(key for name in ("spare*", "*:spare") for key in redis.keys(f"rq:*{name}")))
    redis.srem("rq:queues", "rq:queue:spare")


@pytest.fixture
def failed(redis: Redis) -> str:
    """A job that failed: it named a function that is not listed."""
    queue = open_queue(redis)
    job = queue.enqueue("os.getcwd", failure_ttl=60)
    until(lambda: job.id in queue.failed_job_registry.get_job_ids())
    until(lambda: not queue.started_job_registry.get_job_ids())
    return job.id


# -- who may look ----------------------------------------------------------------------------


def test_the_password_is_guessed_ten_times_a_minute_at_most(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def answers(address: str, password: str, count: int = 1) -> list[int]:
        sent = {"auth": ("admin", password), "environ_base": {"REMOTE_ADDR": address}}
        return [app.test_client().get("/admin/rq/", **sent).status_code for _ in range(count)]

    while (seen := answers("192.0.2.1", "wrong", FAILED_LOGINS + 1))[-1] != 429:
        continue  # a new minute has begun meanwhile
    assert set(seen) <= {401, 429}
    assert answers("192.0.2.1", PASSWORD) == [429]
    assert answers("192.0.2.2", PASSWORD) == [200]
    assert "a sign-in to /admin/rq/ failed, from 192.0.2.1" in caplog.text
    assert "wrong" not in caplog.text


def test_without_a_password_there_is_no_dashboard(stack: Stack) -> None:
    app = create_app(Config.from_env(stack.child_environ))

    response = app.test_client().get("/admin/rq/", auth=("admin", ""))

    assert response.status_code == 404
    assert response.get_json()["code"] == "not_found"
    assert not any(rule.rule.startswith("/admin") for rule in app.url_map.iter_rules())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"auth": ("admin", "wrong")},
        {"auth": ("root", PASSWORD)},
        {"auth": ("admin", "")},
        {"headers": {"Authorization": f"Bearer {PASSWORD}"}},
        {"headers": {"Authorization": "Basic !!!"}},
        {"headers": {"Authorization": "Basic /w=="}},
    ],
)
@pytest.mark.parametrize("path", ["", "/", "/static/css/main.css", "/requeue/try-on", "/nothing"])
def test_who_has_not_the_password_is_asked_for_it(
    app: Flask, path: str, headers: dict[str, Any]
) -> None:
    response = FlaskClient(app, app.response_class).get(f"/admin/rq{path}", **headers)

    assert response.status_code == 401
    assert response.headers.getlist("WWW-Authenticate") == [
        'Basic realm="operator", charset="UTF-8"'
    ]
    assert (body := response.get_json())["code"] == "admin_login_needed"
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert_protected(response)


def test_no_rule_of_the_dashboard_answers_without_the_password(app: Flask) -> None:
    client = FlaskClient(app, app.response_class)

    answers = {client.open(path, method=m).status_code for _, path in rules(app) for m in METHODS}

    assert answers == {401}


def test_the_rest_of_the_service_is_as_it_was(app: Flask) -> None:
    client = FlaskClient(app, app.response_class)

    assert client.get("/health/live").status_code == 200
    assert client.get("/api/garments").status_code == 200
    assert client.get("/api/try-on/history").headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/").headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert client.get("/static/page.js").status_code in (200, 404)


# -- what may be done ------------------------------------------------------------------------


def test_what_changes_something_is_refused_and_changes_nothing(
    app: Flask, browser: LoggedIn, redis: Redis, spare: Queue, failed: str
) -> None:
    waiting = spare.enqueue(RUN, "some-session", job_id="waiting")
    redis.rpush(spare.key, "without-a-job")
    before = contents(redis)

    refused = set()
    for endpoint, path in rules(app, job_id=failed):
        for method in METHODS:
            if endpoint in ENDPOINTS and method in ("GET", "HEAD"):
                continue
            response = browser.open(path, method=method)
            assert response.status_code == 403, f"{method} {path}"
            assert method == "HEAD" or response.get_json()["code"] == "read_only"
            assert_protected(response)
            refused.add(endpoint.removeprefix("rq_dashboard."))
        for method in ("POST", "DELETE"):
            twisted = path.replace("/admin/rq", "/admin//rq")
            assert browser.open(twisted, method=method).status_code in (308, 403, 404, 405)

    assert contents(redis) == before
    assert refused >= CHANGING
    assert {f"rq_dashboard.{name}" for name in CHANGING} == {
        endpoint for endpoint, _ in rules(app) if endpoint not in ENDPOINTS
    }
    assert waiting.get_status() == "queued"


def test_looking_changes_nothing_and_leaves_no_connection(
    app: Flask, browser: LoggedIn, redis: Redis, spare: Queue, failed: str
) -> None:
    """RQ tidies up while it looks: a job without data, a worker that is gone."""
    spare.enqueue(RUN, "some-session", job_id="waiting")
    redis.rpush(spare.key, "without-a-job")
    redis.sadd("rq:workers", "rq:worker:gone")
    pool = app.redis_conn.connection_pool
    settings = dict(pool.connection_kwargs)
    before = contents(redis)
    try:
        clients = redis.info("clients")["connected_clients"]
        for _ in range(3):
            for path in (*PAGES, "/0/data/queues.json", "/0/data/workers.json"):
                answer = browser.get(f"/admin/rq{path}", follow_redirects=True)
                assert answer.status_code == 200, path
            assert browser.jobs("queued", "spare") == ["waiting"]
            assert failed in browser.jobs("failed")

        assert contents(redis) == before
        assert redis.info("clients")["connected_clients"] <= clients + 1
        assert pool.connection_kwargs == settings
    finally:
        redis.srem("rq:workers", "rq:worker:gone")


def test_nothing_is_read_with_pickle(
    browser: LoggedIn, redis: Redis, spare: Queue, tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "bang",)

    job = spare.enqueue(RUN, "some-session")
    redis.hset(job.key, "meta", pickle.dumps(Bomb()))

    assert browser.get(f"/admin/rq/0/view/job/{job.id}").status_code == 200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/0/view/job/no-such-job",
        "/0/data/job/no-such-job.json",
        "/0/view/job/not%20an%20id",
        "/0/data/job/<script>.json",
        "/1/view/queues",
        "/7/data/job/no-such-job.json",
        "/0/data/jobs/try-on/unknown/8/asc/1.json",
        "/0/data/jobs/try-on/queued/0/asc/1.json",
        "/0/data/jobs/try-on/queued/8/asc/x.json",
        "/0/data/jobs/try-on/queued/-1/asc/1.json",
        "/0/view/jobs/'+alert(1)+'/queued/8/asc/1",
        "/static/../web.py",
        "/static/nothing.js",
    ],
)
def test_what_is_not_there_is_a_404_in_the_envelope(browser: LoggedIn, path: str) -> None:
    response = browser.get(f"/admin/rq{path}")

    assert response.status_code == 404
    assert response.get_json()["code"] == "not_found"
    assert_protected(response)


def test_redis_away_is_a_503() -> None:
    app = create_app(
        Config(
            supabase_url="https://example.supabase.co",
            supabase_service_role_key="x",
            redis_url="redis://127.0.0.1:1/0",
            pixazo_api_key="x",
            admin_password=PASSWORD,
        )
    )

    response = app.test_client().get("/admin/rq/0/data/workers.json", auth=LOGIN)

    assert response.status_code == 503
    assert response.get_json()["code"] == "unavailable"


# -- what is shown ---------------------------------------------------------------------------


def test_pages_answer_while_jobs_run_wait_fail_and_are_cancelled(
    browser: LoggedIn,
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: psycopg.Connection[Any],
    spare: Queue,
    failed: str,
) -> None:
    simulator.change(delay=3)
    running = [user.start(garment_id) for _ in range(3)]
    spare.enqueue(RUN, "some-session", job_id="waiting")
    spare.enqueue(RUN, "another-session", job_id="cancelled").cancel()
    until(lambda: len(simulator.submits()) == 3)
    until(lambda: all("task" in browser.job(one)["metadata"] for one in running))

    for path in PAGES:
        assert browser.get(f"/admin/rq{path}", follow_redirects=True).status_code == 200
    assert "try-on" in browser.get("/admin/rq/0/view/jobs").text
    assert all(isinstance(browser.jobs(registry), list) for registry in REGISTRIES)
    queues = {queue["name"]: queue for queue in browser.look("/0/data/queues.json")["queues"]}
    assert queues["try-on"]["started_job_registry_count"] >= 3
    assert queues["spare"]["count"] == 1
    assert queues["spare"]["canceled_job_registry_count"] == 1
    assert set(browser.jobs("started")) >= set(running)
    assert browser.jobs("queued", "spare") == ["waiting"]
    assert browser.jobs("canceled", "spare") == ["cancelled"]
    assert failed in browser.jobs("failed")
    # A worker that another test has killed may still be listed.
    (worker,) = (one for one in browser.workers() if current_job(one) in running)
    assert worker["queues"] == ["try-on"]
    assert worker["current_job"]["call_string"].startswith(f"{RUN}(")

    task = database.execute(
        "select task_id from provider_tasks where session_id = %s", (running[0],)
    ).fetchone()
    assert task is not None
    shown = browser.job(running[0])
    assert shown["id"] == running[0]
    assert shown["status"] == "started"
    assert shown["description"] == "try-on"
    assert json.loads(shown["metadata"]) == {"step": "waiting", "task": task[0]}
    assert shown["exc_info"] is shown["result"] is None
    assert browser.job("waiting")["status"] == "queued"
    assert browser.job("cancelled")["status"] == "canceled"
    assert "this worker does not run that function" in browser.job(failed)["exc_info"]

    assert user.call("DELETE", f"/api/try-on/{running[0]}").status_code == 200
    assert browser.job(running[0])["id"] == running[0]
    assert [user.wait(one)["status"] for one in running[1:]] == ["success"] * 2
    until(lambda: not set(running) & set(browser.jobs("started")))
    assert set(browser.jobs("finished")) >= set(running)
    assert json.loads(browser.job(running[1])["metadata"])["step"] == "storing"
    now = {one["name"]: one["current_job"] for one in browser.workers()}
    assert now[worker["name"]] == "idle"


def current_job(worker: dict[str, Any]) -> str | None:
    """The id of the job that a worker has, as it is shown."""
    job = worker["current_job"]
    return None if job == "idle" else job["job_id"]


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ({"kind": "http", "status": 400, "body": UNESCAPED}, "submitting"),
        ({"kind": "failed", "message": UNESCAPED}, "waiting"),
    ],
)
def test_a_session_that_fails_leaves_nothing_of_the_provider_on_its_page(
    browser: LoggedIn,
    user: User,
    garment_id: str,
    simulator: Simulator,
    fault: dict[str, Any],
    step: str,
) -> None:
    simulator.change(faults=[{"at": "submit", **fault}])
    session_id = user.start(garment_id)
    user.wait(session_id)

    shown = until(lambda: (job := browser.job(session_id))["status"] == "finished" and job)

    assert json.loads(shown["metadata"])["step"] == step
    assert "provider said" not in json.dumps(shown)
    assert shown["exc_info"] is shown["result"] is None


class OneRun:
    """Runs that do what a test says."""

    def __init__(self, task_id: str | None = None, ends: Exception | None = None) -> None:
        self.task_id, self.ends = task_id, ends

    def run(self, _session_id: str, report: Any) -> None:
        """Report a task and end."""
        report("submitting", None)
        report("waiting", self.task_id)
        if self.ends is not None:
            try:
                raise RuntimeError(UNESCAPED)
            except RuntimeError:
                raise self.ends  # noqa: B904 - as in a handler that fails itself


def run_job(runs: OneRun, redis: Redis | None = None) -> Job:
    """The job, after a worker had it."""
    queue = open_queue(redis or FakeStrictRedis())
    queue.enqueue(RUN, "session", job_id="session", description="try-on")
    worker = ThreadedWorker(queue, handlers(runs), 1, threading.Event(), Liveness(queue.connection))
    worker.work(burst=True)
    return Job.fetch("session", queue.connection, JSONSerializer)


@pytest.mark.parametrize(
    ("task_id", "shown"),
    [
        ("12345678", "12345678"),
        ("kling.v1:task_9-a", "kling.v1:task_9-a"),
        (UNESCAPED, None),
        ("a" * 201, None),
        ("line\n", None),
        ("", None),
    ],
)
def test_only_what_looks_like_a_tasks_id_is_shown(task_id: str, shown: str | None) -> None:
    job = run_job(OneRun(task_id))

    assert job.meta == {"step": "waiting", "task": shown}
    assert job.is_finished


def test_a_run_that_breaks_shows_no_text_but_ours() -> None:
    job = run_job(OneRun("1", ValueError(UNESCAPED)))

    result = job.latest_result()
    assert job.is_failed
    assert result is not None
    assert result.exc_string is not None
    assert "RunBroke: see the log of the worker" in result.exc_string
    assert "the provider said" not in result.exc_string


def test_a_run_does_not_need_redis_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Job) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(Job, "save_meta", away)

    assert run_job(OneRun("1")).is_finished


# -- helpers ---------------------------------------------------------------------------------


def rules(app: Flask, job_id: str = "some-job") -> list[tuple[str, str]]:
    """Every endpoint of the dashboard, and an address of each of its rules."""
    values = {
        "instance_number": 0,
        "job_id": job_id,
        "queue_name": "spare",
        "registry_name": "queued",
        "per_page": 8,
        "order": "asc",
        "page": 1,
        "filename": "css/main.css",
    }
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("rq_dashboard."):
            built = rule.build(
                {name: values[name] for name in rule.arguments} | (rule.defaults or {})
            )
            assert built is not None
            found.append((rule.endpoint, built[1]))
    assert len(found) > 15
    return found


def contents(redis: Redis) -> dict[bytes, bytes]:
    """RQ's keys and what is in them, but for the worker's own, which it writes all the time."""
    keys = [key for key in redis.keys("rq:*") if not key.startswith(b"rq:worker:")]
    return {key: redis.dump(key) for key in keys}


def assert_protected(response: Any) -> None:
    """Whatever the answer is, nobody may frame, keep or script it."""
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    policy = response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
