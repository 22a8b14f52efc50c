"""Every query has its index, as PostgreSQL itself says on filled tables."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from sql.rows import (
    Database,
    allow_resubmit,
    claim,
    create,
    make_session,
    make_submit,
    make_user,
    one,
    paid,
    tried,
)

from devstack.postgres import SUPERUSER

FILL = """
    set local session_replication_role = replica;
    insert into try_on_history (user_id, original_user_image_url, garment_id, status,
                                error_message, error_code, created_at)
      select owner, 'user-uploads/' || owner || '/1_original.jpg', gen_random_uuid(), 'failed',
             'm', 'provider_failed', now() - n * interval '1 min'
      from (select n, gen_random_uuid() owner from generate_series(1, 5000) n) made;
    insert into try_on_history (user_id, original_user_image_url)
      select owner, 'user-uploads/' || owner || '/1_original.jpg'
      from (select gen_random_uuid() owner from generate_series(1, 1000) n) made;
    insert into garments (name, category, image_url, created_at)
      select n::text, 'category' || n % 100, 'https://shop.example/' || n,
             now() - n * interval '1 s'
      from generate_series(1, 5000) n;
    insert into submits (attempt, session_id, user_id, at, outcome, provider, task_id)
      select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
             now() - interval '1 day' - n * interval '1 min', 'accepted', 'pixazo', n::text
      from generate_series(1, 5000) n;
    insert into submits (attempt, session_id, user_id)
      select gen_random_uuid(), gen_random_uuid(), gen_random_uuid() from generate_series(1, 300);
    insert into erasures (session_id, path, created_at, erased_at)
      select gen_random_uuid(), n::text, now() + n * interval '1 s', now()
      from generate_series(1, 5000) n;
    insert into idempotency_keys (user_id, key, fingerprint, session_id)
      select gen_random_uuid(), 'k', 'f', gen_random_uuid() from generate_series(1, 5000) n;
    set local session_replication_role = default;
    insert into session_log (session_id, user_id, accepted_at, ended_at, outcome)
      select gen_random_uuid(), gen_random_uuid(), at, at + interval '20 s', 'success'
      from (select now() - n * interval '10 min' as at from generate_series(1, 5000) n) made;
    analyze try_on_history, garments, submits, erasures, idempotency_keys, session_log;
"""
UNFINISHED = "status in ('queued', 'processing')"
ENDED = "status in ('success', 'failed')"
NEWEST_FIRST = "order by created_at desc, id desc limit 20"
AN_ID = f"'{uuid4()}'::uuid"
SOMEBODY = f"user_id = {AN_ID}"
DAY_AGO = "now() - interval '1 day'"
QUERIES = {
    "try_on_history_user_idx":
        f"select * from try_on_history where {SOMEBODY} and {ENDED} {NEWEST_FIRST}",
    "try_on_history_created_idx":
        f"select id from try_on_history where {ENDED} and created_at < now() - interval '3 days'"
        " order by created_at limit 100",
    "try_on_history_unfinished_idx":
        f"select id from try_on_history where {UNFINISHED} order by created_at, id limit 1000",
    "try_on_history_user_unfinished_idx":
        f"select count(*) from try_on_history where {SOMEBODY} and {UNFINISHED}",
    "try_on_history_garment_idx":
        f"select id from try_on_history where garment_id = {AN_ID}",
    "garments_category_idx":
        f"select * from garments where category = 'category3' {NEWEST_FIRST}",
    "garments_image_url_idx": "update garments set name = 'x' where image_url = 'garments/x.png'",
    "try_on_history_photo_idx":
        "select from try_on_history where original_user_image_url = 'user-uploads/x/1.jpg'",
    "garments_created_idx": f"select * from garments {NEWEST_FIRST}",
    "submits_session_idx": f"select outcome from submits where session_id = {AN_ID}",
    "submits_user_idx": f"select outcome from submits where {SOMEBODY} and at >= {DAY_AGO}",
    "submits_paid_idx":
        f"select count(*) from submits where outcome <> 'not_accepted' and at >= {DAY_AGO}",
    "submits_open_idx":
        "update submits set outcome = 'uncertain'"
        f" where outcome = 'open' and at < {DAY_AGO}",
    "erasures_new_idx": "select id from erasures where erased_at is null order by created_at",
    "erasures_created_idx":
        f"select id from erasures where erased_at is null or created_at < {DAY_AGO}"
        " order by created_at limit 100",
    "idempotency_keys_session_idx":
        f"delete from idempotency_keys where session_id = {AN_ID}",
    "idempotency_keys_created_idx":
        f"delete from idempotency_keys where created_at < {DAY_AGO}",
    "submits_refused_idx":
        f"select count(*) from submits where {SOMEBODY} and refused and at >= {DAY_AGO}",
    "session_log_accepted_idx":
        f"select * from session_log where accepted_at >= {DAY_AGO}"
        " order by accepted_at desc limit 50",
    "session_log_ended_idx":
        "select outcome, count(*) from session_log where ended_at > now() - interval '1 hour'"
        " group by outcome",
}  # fmt: skip
"""Each index, and a query of the service that is there for."""
UNIQUE = {
    "garments_pkey", "try_on_history_pkey",
    "provider_tasks_pkey", "erasures_pkey", "submits_pkey", "idempotency_keys_pkey",
    "pauses_pkey", "session_log_pkey",
}  # fmt: skip
"""Those for what may be there once only."""


@pytest.fixture(scope="module")
def _filled(database_url: str) -> Iterator[Database]:
    with (
        psycopg.connect(database_url, user=SUPERUSER, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(FILL)
        yield connection


@pytest.fixture
def filled(_filled: Database) -> Iterator[Database]:
    """Tables with thousands of rows, and one transaction after another that is not kept."""
    with _filled.transaction(force_rollback=True):
        yield _filled


def scans(db: Database, index: str) -> int:
    """How often this transaction has gone through an index."""
    number: int = one(db, "select pg_stat_get_xact_numscans(%s::regclass)", index)
    return number


@pytest.mark.parametrize("index", QUERIES)
def test_a_query_uses_its_index(filled: Database, index: str) -> None:
    plan = "\n".join(line for (line,) in filled.execute(f"explain {QUERIES[index]}".encode()))

    assert index in plan
    assert "Seq Scan" not in plan
    # How many rows one user has, the planner is not to know: it takes them for a few, and sorts.
    if NEWEST_FIRST in QUERIES[index] and SOMEBODY not in QUERIES[index]:
        assert "Sort" not in plan


def test_every_index_has_a_query(filled: Database) -> None:
    found = filled.execute("select indexname from pg_indexes where schemaname = 'public'")

    assert {name for (name,) in found} == set(QUERIES) | UNIQUE


def test_the_functions_use_theirs(filled: Database) -> None:
    user_id = make_user(filled)
    session_id = make_session(filled, user_id)
    make_submit(filled, user_id, session_id=session_id, task_id="t1")

    uses = {
        "submits_paid_idx": lambda: paid(filled),
        "submits_user_idx": lambda: tried(filled, user_id),
        "try_on_history_user_unfinished_idx": lambda: create(filled, user_id, unfinished=9),
        "try_on_history_pkey": lambda: claim(filled, session_id),
        "submits_session_idx": lambda: allow_resubmit(filled, session_id, "t1"),
        "idempotency_keys_pkey": lambda: create(filled, user_id, key="k"),
        "idempotency_keys_session_idx": lambda: filled.execute(
            "select undo_session(%s)", [session_id]
        ),
        "try_on_history_user_idx": lambda: filled.execute(
            "delete from auth.users where id = %s", [user_id]
        ),
        "try_on_history_garment_idx": lambda: filled.execute(
            "delete from garments where name = '1'"
        ),
    }
    for index, use in uses.items():
        before = scans(filled, index)
        use()
        assert scans(filled, index) > before, index
