"""A database that the specification's own SQL has made, and people have used, is taken over."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from databases import SPECIFICATION, Database, schema

from devstack import postgres

THEIR_OWN = """
ALTER TABLE garments ADD COLUMN price NUMERIC DEFAULT 5 CONSTRAINT price_check CHECK (price > 0);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end';
CREATE TRIGGER theirs BEFORE UPDATE ON try_on_history FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY "staff" ON try_on_history FOR SELECT TO service_role USING (true);
INSERT INTO storage.buckets (id, name, public) VALUES ('avatars', 'avatars', true);
CREATE POLICY "anyone reads vton" ON storage.objects FOR SELECT USING (bucket_id = 'vton-assets');
CREATE POLICY "anyone uploads vton" ON storage.objects FOR INSERT TO authenticated
  WITH CHECK (bucket_id = 'vton-assets');
CREATE POLICY "avatars" ON storage.objects FOR SELECT USING (bucket_id = 'avatars');
CREATE POLICY "all of them" ON storage.objects FOR SELECT TO authenticated USING (true);
CREATE POLICY "two of them" ON storage.objects FOR SELECT
  USING (bucket_id IN ('avatars', 'vton-assets'));
"""
BUCKET = "https://abcdefgh.supabase.co/storage/v1/object"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Postgres]:
    """PostgreSQL as Supabase makes it, without any migration of ours."""
    running = postgres.start(tmp_path_factory.mktemp("adoption"))
    try:
        postgres.migrate(running.url, tmp_path_factory.mktemp("none"))
        yield running
    finally:
        running.stop(remove=True)


@pytest.fixture
def empty(server: postgres.Postgres) -> Iterator[Database]:
    """The database; what a test does in it is taken back."""
    with psycopg.connect(server.url) as connection:
        yield connection
        connection.rollback()


def adopt(database: Database) -> None:
    """Apply all migrations, in this transaction, as `psql -1` does."""
    for path in sorted(postgres.MIGRATIONS.glob("*.sql")):
        database.execute(path.read_bytes())


def add_user(database: Database) -> UUID:
    """Sign somebody up."""
    user_id = uuid4()
    database.execute("insert into auth.users (id) values (%s)", [user_id])
    return user_id


def add_session(database: Database, **columns: Any) -> UUID:
    """A row as somebody else's backend wrote it."""
    session_id = uuid4()
    names = ", ".join(["id", *columns])
    marks = ", ".join(["%s"] * (len(columns) + 1))
    database.execute(
        f"insert into try_on_history ({names}) values ({marks})".encode(),
        [session_id, *columns.values()],
    )
    return session_id


def row(database: Database, session_id: UUID) -> tuple[Any, ...]:
    """What became of it."""
    found = database.execute(
        "select status, original_user_image_url, result_image_url, error_code, error_message"
        " from try_on_history where id = %s",
        [session_id],
    ).fetchone()
    assert found is not None
    return found


def test_migrations_may_be_applied_again(empty: Database) -> None:
    adopt(empty)
    once = schema(empty)

    adopt(empty)

    assert schema(empty) == once


def test_an_adopted_database_has_the_same_schema(empty: Database) -> None:
    adopt(empty)
    fresh = {line[:3] for line in schema(empty)}
    empty.rollback()
    empty.execute(SPECIFICATION.encode())

    adopt(empty)

    adopted = {line[:3] for line in schema(empty)}
    assert fresh - adopted == set()
    theirs = {("index", "garments", "garments_category_idx1")} | {
        line for line in adopted - fresh if line[0] == "index"
    }
    assert adopted - fresh <= theirs


def test_what_people_added_stays(empty: Database) -> None:
    empty.execute(SPECIFICATION.encode())
    empty.execute(THEIR_OWN.encode())
    before = {line for line in schema(empty) if line[2] in ("price", "price_check", "theirs")}

    adopt(empty)

    policies = {line[2]: line[4] for line in schema(empty) if line[0] == "policy"}
    assert len(before) == 3
    assert before <= set(schema(empty))
    assert "staff" in policies
    assert policies["avatars"] == "(bucket_id = 'avatars'::text)"
    assert not {"own rows", "everybody writes"} & set(policies)
    # What is on objects stays, and cannot open the bucket: see tests/sql/test_bucket.py.
    assert {"anyone reads vton", "anyone uploads vton", "all of them"} <= set(policies)
    buckets = dict(empty.execute("select id, public from storage.buckets").fetchall())
    assert buckets == {"vton-assets": False, "avatars": True}


def test_no_user_writes_and_nobody_sees_anothers(empty: Database) -> None:
    empty.execute(SPECIFICATION.encode())
    owner, other = add_user(empty), add_user(empty)
    add_session(empty, user_id=owner, status="failed", error_message="x")
    adopt(empty)

    empty.execute("set local role authenticated")
    empty.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{other}"}}'])
    assert empty.execute("select 1 from try_on_history").fetchall() == []
    empty.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{owner}"}}'])
    assert len(empty.execute("select 1 from try_on_history").fetchall()) == 1
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        empty.execute("update try_on_history set status = 'success'")


@pytest.mark.parametrize(
    "prefix",
    [
        f"{BUCKET}/public", f"{BUCKET}/sign", f"{BUCKET}/authenticated", BUCKET,
        "http://127.0.0.1:54321/storage/v1/object/public",
        "http://kong:8000/storage/v1/object/sign",
        "https://api.shop.example/supabase/storage/v1/render/image/public",
    ],
)  # fmt: skip
@pytest.mark.parametrize("query", ["", "?token=x.y.z&t=1", "#part"])
def test_urls_of_the_bucket_become_paths(empty: Database, prefix: str, query: str) -> None:
    empty.execute(SPECIFICATION.encode())
    user_id, session_id = add_user(empty), uuid4()
    photo = f"user-uploads/{user_id}/1700000000000_original.jpg"
    result = f"try-on-results/{user_id}/{session_id}_result.png"
    empty.execute(
        "insert into garments (name, image_url) values ('Shirt', %s), ('Else', %s)",
        [
            f"{prefix}/vton-assets/garments/Gr%C3%B6%C3%9Fe%20M.png{query}",
            "https://x.example/a.png",
        ],
    )
    empty.execute(
        "insert into try_on_history (id, user_id, status, original_user_image_url,"
        " result_image_url) values (%s, %s, 'success', %s, %s)",
        [session_id, user_id, *(f"{prefix}/vton-assets/{p}{query}" for p in (photo, result))],
    )

    adopt(empty)

    assert row(empty, session_id)[:3] == ("success", photo, result)
    garments = dict(empty.execute("select name, image_url from garments").fetchall())
    assert garments == {"Shirt": "garments/Größe M.png", "Else": "https://x.example/a.png"}
    # and what was migrated is a row like any other
    empty.execute("update try_on_history set garment_id = null where id = %s", [session_id])


def test_what_was_unfinished_fails_and_failures_get_a_code(empty: Database) -> None:
    empty.execute(SPECIFICATION.encode())
    user_id = add_user(empty)
    queued, processing, failed, wordless = (
        add_session(empty, user_id=user_id, status=status, error_message=message)
        for status, message in [
            ("queued", None), ("processing", None), ("failed", "API said no"), ("failed", None),
        ]
    )  # fmt: skip

    adopt(empty)

    assert [row(empty, s)[3] for s in (queued, processing)] == ["interrupted"] * 2
    assert row(empty, failed)[3:] == ("provider_failed", "API said no")
    assert row(empty, wordless)[3:] == ("provider_failed", "The try-on did not work out.")


def test_a_living_session_survives_a_second_application(empty: Database) -> None:
    adopt(empty)
    user_id = add_user(empty)
    session_id = add_session(
        empty, user_id=user_id, status="processing",
        original_user_image_url=f"user-uploads/{user_id}/1_original.jpg",
    )  # fmt: skip

    adopt(empty)

    assert row(empty, session_id)[0] == "processing"


def test_odd_rows_are_kept(empty: Database) -> None:
    empty.execute(SPECIFICATION.encode())
    user_id = add_user(empty)
    odd = [
        add_session(empty, user_id=None, status="success"),
        add_session(empty, user_id=user_id, status="done", created_at=None),
        add_session(empty, user_id=user_id, status="success", original_user_image_url="me.jpg"),
        add_session(empty, user_id=user_id, status="success",
                    original_user_image_url=f"user-uploads/{uuid4()}/1_original.jpg"),
        *[add_session(empty, user_id=user_id, status="success", original_user_image_url="same")
          for _ in range(2)],
    ]  # fmt: skip
    empty.execute("insert into garments (name, image_url) values ('', ''), ('a', 'x'), ('b', 'x')")

    adopt(empty)

    assert [row(empty, session_id)[0] for session_id in odd]
    assert empty.execute("select count(*) from garments").fetchone() == (3,)
    undated = empty.execute("select 1 from try_on_history where created_at is null").fetchall()
    assert undated == []
    # and can be deleted, with nobody else's picture noted for erasure
    empty.execute("delete from try_on_history")
    assert empty.execute("select count(*) from erasures where path like %s",
                         [f"%{user_id}%"]).fetchone() == (10,)  # fmt: skip
    assert empty.execute("select count(*) from erasures").fetchone() == (10,)
