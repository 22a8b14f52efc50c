"""Changes of sessions are published for Supabase Realtime, and nothing else is."""

from collections.abc import Callable

import pytest
from sql.rows import Database, values

PUBLISHED = """
select schemaname, tablename from pg_publication_tables where pubname = 'supabase_realtime'
"""
SESSIONS = [("public", "try_on_history")]


def test_sessions_are_published_and_nothing_else_of_ours(db: Database) -> None:
    assert values(db, PUBLISHED) == SESSIONS


def test_what_is_sent_is_only_what_its_user_may_read(db: Database) -> None:
    """Realtime asks for each row whether the listener may select it, and which columns."""
    policies = """
        select policyname, roles::text[], qual from pg_policies
        where tablename = 'try_on_history' and cmd in ('SELECT', 'ALL')
    """
    assert values(db, policies) == [
        (
            "users read their own sessions",
            ["authenticated"],
            "(( SELECT auth.uid() AS uid) = user_id)",
        )
    ]
    secret = ["provider_tasks", "submits", "erasures", "idempotency_keys"]
    for table in secret:
        granted = f"select has_table_privilege('authenticated', 'public.{table}', 'select')"
        assert values(db, granted) == [False]
    identity = "select relreplident::text from pg_class where oid = 'try_on_history'::regclass"
    assert values(db, identity) == ["d"]  # of what is deleted, the id alone is written


@pytest.mark.parametrize(
    ("before", "published"),
    [
        ("drop publication supabase_realtime", []),
        ("select 1", SESSIONS),
    ],
)
def test_it_is_added_where_there_is_a_publication_and_once(
    theirs: Database, adopt: Callable[[], None], before: str, published: list[tuple[str, str]]
) -> None:
    theirs.execute(before)

    adopt()
    adopt()

    assert values(theirs, PUBLISHED) == published


def test_a_publication_of_somebody_else_is_no_reason_to_fail(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    theirs.execute("""
        create role somebody;
        grant somebody to postgres;
        grant create on database postgres to somebody;
        alter publication supabase_realtime owner to somebody;
        revoke somebody from postgres;
    """)

    adopt()

    assert values(theirs, PUBLISHED) == []
