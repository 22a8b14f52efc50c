"""Row Level Security, asked of PostgreSQL itself, as each role and for each operation."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import requests
from actors import User
from psycopg import errors
from supabase import create_client

from devstack.stack import Stack

SERVICE_ONLY = (
    "provider_tasks", "erasures", "submits", "idempotency_keys", "pauses", "session_log"
)  # fmt: skip
TABLES = ("try_on_history", "garments", "storage.objects", *SERVICE_ONLY)

INSERTS = {
    "try_on_history": "insert into try_on_history (user_id, original_user_image_url)"
    " values ('{a}', 'user-uploads/{a}/9_original.jpg')",
    "garments": "insert into garments (name, image_url) values ('Forged', 'garments/forged.png')",
    "provider_tasks": "insert into provider_tasks (session_id, attempt)"
    " values ('{session}', gen_random_uuid()) on conflict do nothing",
    "erasures": "insert into erasures (session_id, path) values ('{a}', 'x')",
    "submits": "insert into submits (attempt, session_id, user_id)"
    " values (gen_random_uuid(), '{a}', '{a}')",
    "idempotency_keys": "insert into idempotency_keys (user_id, key, fingerprint, session_id)"
    " values ('{a}', 'k', 'f', '{a}')",
    "pauses": "insert into pauses (message) values ('forged')",
    "session_log": "insert into session_log (session_id, user_id) values ('{a}', '{a}')",
    "storage.objects": "insert into storage.objects (bucket_id, name)"
    " values ('vton-assets', 'user-uploads/{a}/9_original.jpg')",
}
UPDATES = {
    "try_on_history": "update try_on_history set created_at = now()",
    "garments": "update garments set name = 'Forged'",
    "provider_tasks": "update provider_tasks set attempt = gen_random_uuid()",
    "erasures": "update erasures set path = 'x'",
    "submits": "update submits set at = at",
    "idempotency_keys": "update idempotency_keys set fingerprint = 'x'",
    "pauses": "update pauses set message = 'x'",
    "session_log": "update session_log set looks = 1",
    "storage.objects": "update storage.objects set name = name",
}


class Asking:
    """Runs SQL as a Supabase role, in a transaction that is never kept."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def ask(self, role: str, user_id: str | None, statement: str) -> Any:
        """The rows of a query or the number of rows a write touched; "refused" if it was."""
        with self._connection.transaction(force_rollback=True):
            claims = json.dumps({"sub": user_id, "role": role} if user_id else {"role": role})
            self._connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            self._connection.execute(f"set local role {role}")
            try:
                done = self._connection.execute(statement)
            except errors.InsufficientPrivilege:
                return "refused"
            return done.fetchall() if done.description else done.rowcount


@pytest.fixture
def asking(database: psycopg.Connection[Any]) -> Asking:
    """The database, asked as one role or another."""
    return Asking(database)


@pytest.fixture
def pair(
    sign_up: Callable[[], User], garment_id: str, simulator: object
) -> Iterator[tuple[User, User]]:
    """Two users; the first has a finished session."""
    a, b = sign_up(), sign_up()
    session_id = a.start(garment_id)
    a.wait(session_id)
    yield a, b
    a.call("DELETE", f"/api/try-on/{session_id}")


def test_users_read_their_own_rows_and_nothing_else(
    asking: Asking, pair: tuple[User, User]
) -> None:
    a, b = pair
    sessions = f"select count(*) from try_on_history where user_id = '{a.id}'"
    photos = f"select count(*) from storage.objects where name like '%/{a.id}/%'"
    garments = "select count(*) > 0 from garments"
    shop = "select count(*) > 0 from storage.objects where name like 'garments/%'"

    seen = {
        who: [asking.ask(role, user_id, query) for query in (sessions, photos, garments, shop)]
        for who, role, user_id in (
            ("anon", "anon", None),
            ("A", "authenticated", a.id),
            ("B", "authenticated", b.id),
            ("service", "service_role", None),
        )
    }

    assert seen == {
        "anon": ["refused", [(0,)], [(True,)], [(True,)]],
        "A": [[(1,)], [(3,)], [(True,)], [(True,)]],
        "B": [[(0,)], [(0,)], [(True,)], [(True,)]],
        "service": [[(1,)], [(3,)], [(True,)], [(True,)]],
    }


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_only_the_service_writes(
    asking: Asking,
    pair: tuple[User, User],
    database: psycopg.Connection[Any],
    role: str,
    table: str,
) -> None:
    a, _ = pair
    user_id = a.id if role == "authenticated" else None
    row = database.execute("select id from try_on_history where user_id = %s", [a.id]).fetchone()
    assert row is not None
    insert = INSERTS[table].replace("{a}", a.id).replace("{session}", str(row[0]))
    statements = (insert, UPDATES[table], f"delete from {table}")

    for statement in statements:
        done = asking.ask(role, user_id, statement)
        assert done in ("refused", 0), f"{role} may: {statement}"

    for statement in statements[:2]:
        assert asking.ask("service_role", None, statement) != "refused"


@pytest.mark.parametrize("table", SERVICE_ONLY)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_the_services_own_tables_are_nobody_elses(
    asking: Asking, pair: tuple[User, User], role: str, table: str
) -> None:
    assert asking.ask(role, pair[0].id, f"select * from {table}") == "refused"


def test_a_user_sees_nothing_of_another_through_supabase_itself(
    stack: Stack, pair: tuple[User, User]
) -> None:
    settings = stack.settings
    seen = {}
    for user in pair:
        client = create_client(settings["SUPABASE_URL"], settings["SUPABASE_PUBLISHABLE_KEY"])
        client.postgrest.auth(user.token)
        seen[user.id] = len(client.table("try_on_history").select("*").execute().data)
    a, b = pair
    photo = f"user-uploads/{a.id}"
    listed = {}
    for user in pair:
        response = requests.post(
            f"{settings['SUPABASE_URL']}/storage/v1/object/list/vton-assets",
            json={"prefix": photo},
            headers={
                "apikey": settings["SUPABASE_PUBLISHABLE_KEY"],
                "Authorization": f"Bearer {user.token}",
            },
            timeout=10,
        )
        listed[user.id] = len(response.json())

    assert seen == {a.id: 1, b.id: 0}
    assert listed == {a.id: 1, b.id: 0}


@pytest.mark.parametrize(
    "change",
    [
        "status = 'done'",
        "status = 'success'",
        "status = 'failed'",
        "status = 'failed', error_message = 'x'",
        "result_image_url = 'try-on-results/x.png'",
        "status = 'success', result_image_url = 'try-on-results/someone/else_result.png'",
        "original_user_image_url = 'user-uploads/someone-else/1_original.jpg'",
        "error_message = 'x', error_code = 'y'",
        "user_id = null",
    ],
)
def test_wrong_states_are_impossible(
    database: psycopg.Connection[Any], user: User, change: str
) -> None:
    with database.transaction(force_rollback=True):
        database.execute(
            "insert into try_on_history (user_id, original_user_image_url)"
            " values (%(id)s::uuid, 'user-uploads/' || %(id)s::text || '/1_original.jpg')",
            {"id": user.id},
        )
        with pytest.raises((errors.CheckViolation, errors.NotNullViolation)):
            database.execute(
                f"update try_on_history set {change} where user_id = %s",  # type: ignore[arg-type]
                [user.id],
            )


def test_a_deleted_account_leaves_its_pictures_to_be_erased(
    database: psycopg.Connection[Any], pair: tuple[User, User]
) -> None:
    a, _ = pair
    with database.transaction(force_rollback=True):
        database.execute("delete from auth.users where id = %s", [a.id])
        rows = database.execute(
            "select path from erasures where path like %s order by id", [f"%/{a.id}/%"]
        ).fetchall()

    folders = [path.split("/")[0] for (path,) in rows]
    assert folders == ["user-uploads", "try-on-results", "try-on-results"]


def test_every_table_of_ours_has_row_level_security(database: psycopg.Connection[Any]) -> None:
    found = database.execute(
        "select relname, relrowsecurity from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    ).fetchall()

    assert dict(found) == {table: True for table in TABLES if "." not in table}


def test_what_the_provider_said_is_in_nothing_that_a_user_reads(
    stack: Stack, user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    row = database.execute(
        "select attempt, task_id, status_url from provider_tasks where session_id = %s",
        [session_id],
    ).fetchone()
    assert row is not None
    assert all(row)
    keys = {"apikey": stack.settings["SUPABASE_PUBLISHABLE_KEY"]}
    asked = {**keys, "Authorization": f"Bearer {user.token}"}

    def read(path: str) -> requests.Response:
        return requests.get(
            f"{stack.settings['SUPABASE_URL']}/rest/v1/{path}", headers=asked, timeout=10
        )

    tables = database.execute(
        "select table_name from information_schema.tables where table_schema = 'public'"
    ).fetchall()
    shown = {name: read(f"{name}?select=*").text for (name,) in tables}
    assert session_id in shown["try_on_history"]
    said = "".join(shown.values()) + user.call("GET", "/api/try-on/history").text
    assert [word for word in row if str(word) in said] == []
    published = database.execute("select tablename from pg_publication_tables").fetchall()
    assert ("provider_tasks",) not in published  # Realtime pushes what is in one
