"""Every query that the code makes has an index, as PostgreSQL itself says on filled tables."""

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import requests
from actors import User, clean_environ, jpeg
from redis import Redis

from config import Config
from devstack.postgres import SUPERUSER
from devstack.stack import Stack, free_ports
from vton.adapters.redis.queue import LEADER_KEY, NEW_GENERATION_KEY
from vton.adapters.supabase.submit_ledger import SubmitRows
from vton.tryon.ports.database import Outcome
from vton.wiring import Services, connect

pytestmark = pytest.mark.thorough

INDEXES = {
    "erasures_created_idx", "erasures_new_idx", "garments_category_idx", "garments_created_idx",
    "idempotency_keys_created_idx", "idempotency_keys_session_idx", "submits_open_idx",
    "submits_paid_idx", "submits_refused_idx", "submits_session_idx",
    "submits_user_idx", "try_on_history_created_idx",
    "try_on_history_garment_idx", "try_on_history_photo_idx", "try_on_history_unfinished_idx",
    "try_on_history_user_idx", "try_on_history_user_unfinished_idx",
}  # fmt: skip
"""Each has a query; garments_image_url_idx, which is not among them, serves the import."""
ROWS = 20_000
FEW = 100
"""So many rows may be read and thrown away."""
REMOVED = re.compile(r"Rows Removed by (?:Filter|Index Recheck|Join Filter): (\d+)")
TABLES = (
    "try_on_history", "garments", "provider_tasks", "submits", "erasures", "idempotency_keys"
)  # fmt: skip
FILL = """
    set session_replication_role = replica;
    insert into try_on_history (user_id, original_user_image_url, status, error_message,
                                error_code, created_at)
      select owner, 'user-uploads/' || owner || '/' || n || '_original.jpg', 'failed', 'm',
             'provider_failed', now() - n * interval '1 min'
      from (select n, gen_random_uuid() owner from generate_series(1, {rows}) n) made;
    insert into garments (name, category, image_url, created_at)
      select n::text, 'category' || n % 20, 'https://shop.example/' || n, now() - n * interval '1 s'
      from generate_series(1, {rows}) n;
    insert into provider_tasks (session_id, attempt)
      select gen_random_uuid(), gen_random_uuid() from generate_series(1, {rows}) n;
    insert into submits (attempt, session_id, user_id, at, outcome, provider, task_id)
      select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
             now() - interval '1 day' - n * interval '1 min', 'accepted', 'pixazo', n::text
      from generate_series(1, {rows}) n;
    insert into erasures (session_id, path, created_at, erased_at)
      select gen_random_uuid(), n::text, now() + n * interval '1 s', now()
      from generate_series(1, {rows}) n;
    insert into idempotency_keys (user_id, key, fingerprint, session_id)
      select gen_random_uuid(), 'k', 'f', gen_random_uuid() from generate_series(1, {rows}) n;
    set session_replication_role = default;
    analyze;
"""
EXPLAIN = """
    alter database postgres set session_preload_libraries = 'auto_explain';
    alter database postgres set auto_explain.log_min_duration = 0;
    alter database postgres set auto_explain.log_analyze = on;
    alter database postgres set auto_explain.log_timing = off;
    alter database postgres set auto_explain.log_nested_statements = on;
"""


@pytest.fixture(scope="module")
def explaining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Path]]:
    """A stack with filled tables, whose PostgreSQL writes down each plan; and where."""
    environ = clean_environ(PIXAZO_FIRST_POLL="0.05", PIXAZO_POLL_INTERVAL="0.1")
    data = tmp_path_factory.mktemp("explaining")
    stack = Stack(environ, data, free_ports(), simulator_delay=0, quiet=True)
    try:
        stack.start()
        with psycopg.connect(stack.database_url, user=SUPERUSER, autocommit=True) as connection:
            connection.execute(FILL.format(rows=ROWS))
            connection.execute(EXPLAIN)
            row = connection.execute("show data_directory").fetchone()
            assert row is not None
        for name in ("worker", "web", "supabase"):  # and with them all connections from before
            stack.end_process(name, signal.SIGTERM)
        for name in ("supabase", "web", "worker"):
            stack.start_again(name)
        yield stack, Path(row[0]).with_name("log")
    finally:
        stack.stop(remove=True)


def use_everything(stack: Stack) -> None:
    """Make every query that web, worker and sweep make."""
    services: Services = connect(Config.from_env(stack.child_environ))
    answer = requests.post(
        f"{stack.settings['SUPABASE_URL']}/auth/v1/signup",
        json={"email": f"{uuid4().hex}@example.com", "password": "correct horse"},
        headers={"apikey": stack.settings["SUPABASE_PUBLISHABLE_KEY"]},
        timeout=10,
    ).json()
    user = User(answer["user"]["id"], answer["access_token"], stack.web_url)
    page = user.call("GET", "/api/garments?limit=2").json()
    for path in ("&category=category3", f"&cursor={page['meta']['next_cursor']}"):
        assert user.call("GET", f"/api/garments?limit=2{path}").ok
    done = user.start(page["data"][0]["id"])
    user.wait(done)
    again = user.call(
        "POST",
        "/api/try-on",
        files={"userImage": ("me.jpg", jpeg())},
        data={"garmentId": page["data"][0]["id"]},
        headers={"Idempotency-Key": "once"},
    )
    user.wait(again.json()["data"]["sessionId"])
    history = user.call("GET", "/api/try-on/history?limit=1").json()
    assert user.call("GET", f"/api/try-on/history?cursor={history['meta']['next_cursor']}").ok
    with Redis.from_url(stack.child_environ["REDIS_URL"]) as redis:
        redis.flushdb()
        assert user.status(done)
        redis.delete(LEADER_KEY, NEW_GENERATION_KEY)
    ledger, runner = services.runner.ledger, services.runner
    assert isinstance(ledger, SubmitRows)
    ledger.record_outcome(str(uuid4()), Outcome.UNCERTAIN)
    ledger.allow_one_resubmit(done, "no such task")
    runner.sessions.task(done)
    runner.sessions.status(done)
    runner.sessions.fail(done, "interrupted")
    sweep = services.sweep
    for step in (
        sweep.recover,
        sweep.mark_stale_submits,
        sweep.delete_old_sessions,
        sweep.delete_old_idempotency_keys,
        sweep.erase,
    ):
        step()
    assert user.call("DELETE", f"/api/try-on/{done}").ok
    sweep.erase()
    with psycopg.connect(stack.database_url) as connection:
        # As an operator does.
        connection.execute("delete from garments where id = %s", [page["data"][1]["id"]])
    services.tryons.sessions.undo(str(uuid4()))
    services.tryons.sessions.delete_ended(datetime.now(UTC) - timedelta(days=20), 10)


def count_a_users_unfinished_among_many(stack: Stack) -> None:
    """Create a session while many are unfinished, which no worker is to see."""
    user_id = str(uuid4())
    with psycopg.connect(stack.database_url, user=SUPERUSER) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into try_on_history (user_id, original_user_image_url)"
            " select owner, 'user-uploads/' || owner || '/1_original.jpg'"
            " from (select gen_random_uuid() owner from generate_series(1, 5000)) made"
        )
        connection.execute("analyze try_on_history")
        row = connection.execute(
            "select result from create_session(gen_random_uuid(), %s, null, %s,"
            " null, 'f', 3, 30, 0, 0)",
            [user_id, f"user-uploads/{user_id}/1_original.jpg"],
        ).fetchone()
        assert row == ("created",)
        connection.rollback()


def test_every_query_has_an_index(explaining: tuple[Stack, Path]) -> None:
    stack, log = explaining
    start = log.stat().st_size

    use_everything(stack)
    count_a_users_unfinished_among_many(stack)

    with log.open("rb") as file:
        file.seek(start)
        plans = file.read().decode(errors="replace").split("plan:")[1:]
    scans = [(plan, table) for plan in plans for table in TABLES if f" on {table}" in plan]
    assert {table for _, table in scans} == set(TABLES)
    assert len(plans) > 20
    whole = [plan for plan, table in scans if re.search(rf"Seq Scan on {table}\b", plan)]
    assert whole == []
    # An index that serves another query may be gone through from end to end.
    wasteful = [plan for plan, _ in scans if any(int(n) > FEW for n in REMOVED.findall(plan))]
    assert wasteful == []
    # Where one is missing, another may stand in for it, while there are few rows.
    with psycopg.connect(stack.database_url) as connection:
        found = connection.execute("select indexname from pg_indexes where schemaname = 'public'")
        used = {name for (name,) in found if any(name in plan for plan in plans)}
    assert {name for name in used if not name.endswith("_pkey")} == INDEXES
