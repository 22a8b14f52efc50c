"""A database that the specification's own SQL has made, and people have used, is taken over."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sql.rows import Database, make_user, one, photo_of, result_of, results_of, values

BESIDES = """
create schema other;
create table other.try_on_history (error_code text);
create table mine (error_code text, name text constraint garments_name_check check (name <> 'x'));
"""
"""What people have beside it, and is not ours."""

SESSIONS = "select original_user_image_url, result_image_url from try_on_history where id = %s"
REASONS = "select error_code, error_message from try_on_history where status = %s order by 2"
HOST = "https://abcdefgh.supabase.co/storage/v1/object"


def add(db: Database, **columns: object) -> UUID:
    """A session as another backend wrote it."""
    row = {"id": uuid4(), **columns}
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    query = f"insert into try_on_history ({names}) values ({places}) returning id"
    added: UUID = one(db, query, *row.values())
    return added


def schema(db: Database) -> set[tuple[Any, ...]]:
    """Columns, constraints, indexes, triggers and policies of our tables."""
    return set(
        values(
            db,
            """
            select 'column', table_name, column_name, data_type || column_default
              from information_schema.columns where table_schema = 'public'
            union all select 'constraint', conrelid::regclass::text, conname,
              pg_get_constraintdef(oid) from pg_constraint
              where connamespace = 'public'::regnamespace and contype in ('c', 'f')
            union all select 'index', tablename, indexname, indexdef from pg_indexes
              where schemaname = 'public'
            union all select 'policy', tablename, policyname, qual from pg_policies
            union all select 'trigger', tgrelid::regclass::text, tgname, '' from pg_trigger
              where not tgisinternal
            """,
        )
    )


@pytest.fixture
def new_schema(connect: Callable[[], Database]) -> set[tuple[Any, ...]]:
    """What the migrations make of an empty database."""
    with connect() as connection:
        return schema(connection)


def test_what_is_adopted_is_as_what_is_new_and_may_be_adopted_again(
    new_schema: set[tuple[Any, ...]], theirs: Database, adopt: Callable[[], None]
) -> None:
    for _ in range(2):
        adopt()
        assert schema(theirs) == new_schema


def test_the_constraints_of_other_tables_do_not_stand_for_ours(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    theirs.execute(BESIDES)

    adopt()

    with pytest.raises(psycopg.errors.CheckViolation):
        theirs.execute("insert into garments (name, image_url) values ('', 'x')")


def test_what_was_unfinished_fails_and_failures_get_a_code(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    theirs.execute(BESIDES)
    for status, message in (
        ("queued", None),
        ("processing", None),
        ("failed", "API said no"),
        ("failed", None),
        ("success", None),
        ("done", None),
    ):
        add(theirs, status=status, error_message=message)

    adopt()

    interrupted = ("interrupted", "The try-on was interrupted by a fault on our side.")
    assert values(theirs, REASONS, "failed") == [
        ("provider_failed", "API said no"),
        ("provider_failed", "The try-on did not work out."),
        interrupted,
        interrupted,
    ]
    for other in ("success", "done"):
        assert values(theirs, REASONS, other) == [(None, None)]


def test_a_session_of_ours_lives_on_when_the_migrations_are_applied_again(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    adopt()
    user_id = make_user(theirs)
    add(theirs, user_id=user_id, original_user_image_url=photo_of(user_id), status="processing")

    adopt()

    assert values(theirs, "select status, error_code from try_on_history") == [("processing", None)]


def test_rows_of_no_date_get_one_and_others_keep_theirs(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    for date in (None, "2020-02-02"):
        add(theirs, created_at=date)
        theirs.execute(
            "insert into garments (name, image_url, created_at) values ('', 'x', %s)", [date]
        )

    adopt()

    for table in ("garments", "try_on_history"):
        query = f"select created_at = now() from {table} order by created_at"
        assert values(theirs, query) == [False, True]


def test_urls_of_the_bucket_become_paths_wherever_they_are(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    user_id, first, second = make_user(theirs), uuid4(), uuid4()
    photos = [photo_of(user_id) for _ in range(2)]
    url = f"{HOST}/public/vton-assets"
    query = "insert into garments (name, image_url) values ('x', %s)"
    for picture in (f"{url}/garments/a.png", f"{HOST}/public/other/b.png", "garments/c.png"):
        theirs.execute(query, [picture])
    add(
        theirs, id=first, user_id=user_id, status="success",
        original_user_image_url=f"{url}/{photos[0]}", result_image_url=result_of(user_id, first),
    )  # fmt: skip
    add(
        theirs, id=second, user_id=user_id, status="success", original_user_image_url=photos[1],
        result_image_url=f"{url}/{result_of(user_id, second)}?token=x",
    )  # fmt: skip

    adopt()

    assert set(values(theirs, "select image_url from garments")) == {
        "garments/a.png", "garments/c.png", f"{HOST}/public/other/b.png"
    }  # fmt: skip
    for session_id, photo in zip((first, second), photos, strict=True):
        assert one(theirs, SESSIONS, session_id) == (photo, result_of(user_id, session_id))
    theirs.execute("delete from try_on_history")
    assert len(values(theirs, "select path from erasures")) == 6


def test_anothers_pictures_are_not_erased(theirs: Database, adopt: Callable[[], None]) -> None:
    user_id = make_user(theirs)
    odd = (None, "me.jpg", photo_of(uuid4()), f"garments/{user_id}/x.png")
    sessions = [add(theirs, user_id=user_id, original_user_image_url=photo) for photo in odd]
    sessions.append(add(theirs, original_user_image_url="me.jpg"))  # nobody's

    adopt()
    theirs.execute("delete from try_on_history")

    expected = {path for one_ in sessions[:-1] for path in results_of(user_id, one_)}
    assert set(values(theirs, "select path from erasures")) == expected


# -- object_path -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    [
        f"{HOST}/public", f"{HOST}/sign", f"{HOST}/authenticated", HOST,
        "http://127.0.0.1:54321/storage/v1/object/public",
        "https://api.shop.example/supabase/storage/v1/render/image/public",
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", ["", "?token=x.y.z&t=1", "#part"])
def test_the_path_is_what_follows_the_bucket(db: Database, prefix: str, rest: str) -> None:
    query = "select object_path(%s, 'vton-assets')"

    assert (
        one(db, query, f"{prefix}/vton-assets/a/Gr%C3%B6%c3%9fe%20M+.png{rest}") == "a/Größe M+.png"
    )


@pytest.mark.parametrize(
    "url",
    [
        "garments/a%20b.png", f"{HOST}/public/other/a.png", "https://x.example/vton-assets/a.png",
        f"{HOST}/public/vton-assets/%FF.png", f"x{HOST}/public/vton-assets/a.png", None,
    ],
)  # fmt: skip
def test_what_is_no_url_of_the_bucket_stays(db: Database, url: str | None) -> None:
    assert one(db, "select object_path(%s, 'vton-assets')", url) == url
