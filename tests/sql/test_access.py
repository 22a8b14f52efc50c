"""Who may do what: grants and Row Level Security, for each role, table and operation."""

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors
from sql.rows import (
    Database,
    claim,
    create,
    make_garment,
    make_session,
    make_user,
    one,
    photo_of,
    values,
)

ROLES = ("anon", "authenticated", "service_role")
TABLES = (
    "garments", "try_on_history", "provider_tasks", "submits", "erasures", "idempotency_keys",
    "pauses", "session_log",
)  # fmt: skip
PRIVILEGES = {"select", "insert", "update", "delete", "truncate", "references", "trigger"}
FUNCTIONS = {
    "paid_today", "claim_submit", "record_outcome", "allow_one_resubmit", "tried_today",
    "refused_today", "under_way", "admission", "create_session", "undo_session", "object_path",
    "schema_version", "database_time", "end_session", "overview", "stats", "session_timeline",
    "named_objects", "stray_objects", "missing_objects", "objects_of_user", "forget_user",
    "installation_faults",
}  # fmt: skip
TRIGGER_FUNCTIONS = {"record_erasures", "record_failed_result", "log_session"}
SHOP = {"anon": {"select"}, "authenticated": {"select"}}
OWN = {"authenticated": {"select"}}
ALLOWED: dict[str, dict[str, set[str]]] = {"garments": SHOP, "try_on_history": OWN}
"""What is granted to anybody but the service, which may everything."""

READABLE = {("garments", "anon"): 1, ("garments", "authenticated"): 1}
READABLE[("try_on_history", "authenticated")] = 1
"""How many rows who is not the service sees, of one or two in each table."""

INSERTS = {
    "garments": "insert into garments (name, image_url) values ('Forged', 'garments/forged.png')",
    "try_on_history": "insert into try_on_history (user_id, original_user_image_url)"
    " values ('{user}', '{photo}')",
    "provider_tasks": "insert into provider_tasks (session_id, attempt)"
    " values ('{waiting}', gen_random_uuid())",
    "submits": "insert into submits (attempt, session_id, user_id)"
    " values (gen_random_uuid(), '{waiting}', '{user}')",
    "erasures": "insert into erasures (session_id, path) values ('{waiting}', 'x')",
    "idempotency_keys": "insert into idempotency_keys (user_id, key, fingerprint, session_id)"
    " values ('{user}', 'forged', 'f', '{waiting}')",
    "pauses": "insert into pauses (message) values ('forged')",
    "session_log": "insert into session_log (session_id, user_id)"
    " values (gen_random_uuid(), '{user}')",
}
COLUMNS = {
    "garments": "name", "try_on_history": "garment_id", "provider_tasks": "attempt",
    "submits": "at", "erasures": "path", "idempotency_keys": "key", "pauses": "message",
    "session_log": "looks",
}  # fmt: skip


class Scene:
    """Two users with a row in each table, and SQL in the name of the first of them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        make_garment(db)
        self.user_id, other = make_user(db), make_user(db)
        self._waiting = make_session(db, other, "queued")
        for owner in (self.user_id, other):
            _, session_id = create(db, owner, key="k")
            db.execute(
                "update try_on_history set status = 'processing' where id = %s", [session_id]
            )
            assert session_id is not None
            claim(db, session_id)
            db.execute("insert into erasures (session_id, path) values (%s, 'x')", [session_id])

    def ask(self, role: str, statement: str) -> Any:
        """How many rows a statement reads or writes; "denied", or "hidden" by a policy."""
        claims = {"role": role} | ({"sub": str(self.user_id)} if role == "authenticated" else {})
        with self._db.transaction(force_rollback=True):
            self._db.execute(
                "select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)]
            )
            self._db.execute(f"set local role {role}".encode())
            try:
                return self._db.execute(statement.encode()).rowcount
            except errors.InsufficientPrivilege as error:
                return "hidden" if "row-level security" in str(error) else "denied"

    def statement(self, operation: str, table: str) -> str:
        """A statement that works if one may."""
        if operation == "insert":
            return INSERTS[table].format(
                user=self.user_id, photo=photo_of(self.user_id), waiting=self._waiting
            )
        column = COLUMNS[table]
        return {
            "select": f"select * from {table}",
            "update": f"update {table} set {column} = {column}",
            "delete": f"delete from {table}",
        }[operation]


@pytest.fixture
def scene(db: Database) -> Scene:
    """Two users, of whom the first asks."""
    return Scene(db)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("operation", ["select", "insert", "update", "delete"])
def test_who_may_do_what(db: Database, scene: Scene, operation: str, role: str, table: str) -> None:
    done = scene.ask(role, scene.statement(operation, table))

    if role == "service_role":
        assert done == (1 if operation == "insert" else one(db, f"select count(*) from {table}"))
    elif operation == "select":
        assert done == READABLE.get((table, role), "denied")
    else:
        assert done == "denied"


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_grant_by_accident_opens_nothing(
    db: Database, scene: Scene, role: str, table: str
) -> None:
    db.execute("grant all on all tables in schema public to anon, authenticated")

    def ask(operation: str) -> Any:
        return scene.ask(role, scene.statement(operation, table))

    assert ask("select") == READABLE.get((table, role), 0)
    assert (ask("insert"), ask("update"), ask("delete")) == ("hidden", 0, 0)


def test_a_user_reads_their_own_sessions(db: Database, scene: Scene) -> None:
    own = f"select * from try_on_history where user_id = '{scene.user_id}'"
    others = f"select * from try_on_history where user_id <> '{scene.user_id}'"

    assert (scene.ask("authenticated", own), scene.ask("authenticated", others)) == (1, 0)


def test_who_is_nobody_reads_no_sessions(db: Database, scene: Scene) -> None:
    scene.user_id = uuid4()

    assert scene.ask("authenticated", "select * from try_on_history") == 0


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ROLES)
def test_what_is_granted_on_a_table(db: Database, role: str, table: str) -> None:
    assert granted(db, role, table) == (
        PRIVILEGES if role == "service_role" else ALLOWED.get(table, {}).get(role, set())
    )


def granted(db: Database, role: str, table: str) -> set[str]:
    """What a role may do with a table."""
    query = "select has_table_privilege(%s, %s, %s)"
    return {one_ for one_ in PRIVILEGES if one(db, query, role, table, one_)}


def test_no_table_is_forgotten(db: Database) -> None:
    found = values(
        db,
        "select relname, relrowsecurity from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')",
    )

    assert dict(found) == dict.fromkeys(TABLES, True)


def test_policies_let_users_read_and_nothing_else(db: Database) -> None:
    query = "select distinct cmd from pg_policies where permissive = 'PERMISSIVE'"

    assert values(db, query) == ["SELECT"]


# -- functions -------------------------------------------------------------------------------------


def executable(db: Database, role: str) -> set[str]:
    """The functions in `public` that a role may call."""
    query = (
        "select proname from pg_proc where pronamespace = 'public'::regnamespace"
        " and has_function_privilege(%s, oid, 'execute')"
    )
    return set(values(db, query, role))


def test_no_function_is_forgotten(db: Database) -> None:
    query = "select proname from pg_proc where pronamespace = 'public'::regnamespace"

    assert sorted(values(db, query)) == sorted(FUNCTIONS | TRIGGER_FUNCTIONS)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_users_call_no_function_of_ours(db: Database, scene: Scene, role: str) -> None:
    assert executable(db, role) == set()
    assert scene.ask(role, "select paid_today()") == "denied"


def test_the_service_calls_them(db: Database, scene: Scene) -> None:
    assert executable(db, "service_role") >= FUNCTIONS
    assert scene.ask("service_role", "select paid_today()") == 1


def test_no_functions_names_can_be_taken_over(db: Database) -> None:
    query = "select proname, proconfig from pg_proc where pronamespace = 'public'::regnamespace"

    assert {tuple(settings or ()) for _, settings in values(db, query)} == {('search_path=""',)}


def test_the_service_needs_no_grants_by_default(without_default_grants: Database) -> None:
    bare: psycopg.Connection[Any] = without_default_grants

    assert {role: executable(bare, role) for role in ROLES} == {
        "anon": set(),
        "authenticated": set(),
        "service_role": FUNCTIONS,
    }
    for table in TABLES:
        assert granted(bare, "service_role", table) == PRIVILEGES
        for role in ("anon", "authenticated"):
            assert granted(bare, role, table) == ALLOWED.get(table, {}).get(role, set())


def test_the_service_starts_submits_and_deletes_a_session(
    without_default_grants: Database,
) -> None:
    bare: psycopg.Connection[Any] = without_default_grants
    user_id = make_user(bare)
    bare.execute("set role service_role")

    _, session_id = create(bare, user_id, key="k", unfinished=1, per_day=1, waiting=1, paid=1)
    assert isinstance(session_id, UUID)
    bare.execute("update try_on_history set status = 'processing'")
    assert claim(bare, session_id, cap=1)[0] == "claimed"
    bare.execute("delete from try_on_history")

    assert one(bare, "select count(*) from erasures") == 3


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("privilege", ["usage", "select", "update"])
def test_no_sequence_tells_users_how_much_there_is(db: Database, role: str, privilege: str) -> None:
    sequences = values(db, "select oid::regclass::text from pg_class where relkind = 'S'"
                           " and relnamespace = 'public'::regnamespace")  # fmt: skip
    query = "select has_sequence_privilege(%s, %s, %s)"

    assert sequences
    assert not any(one(db, query, role, sequence, privilege) for sequence in sequences)
