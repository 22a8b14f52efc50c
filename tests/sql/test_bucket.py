"""The private bucket, and who may open which of its objects."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from sql.rows import Database, make_user, one, values

BUCKET = "vton-assets"
SETTINGS = "select name, public, file_size_limit, allowed_mime_types from storage.buckets"
RIGHT = (BUCKET, False, 26_214_400, ["image/jpeg", "image/png", "image/webp"])
POLICIES = (
    "vton users read their own pictures",
    "vton garment pictures are readable by everyone",
    "vton nobody opens the pictures of others",
    "vton only the service adds pictures",
    "vton only the service changes pictures",
    "vton only the service removes pictures",
)
WRITES = (
    "insert into storage.objects (bucket_id, name) values ('vton-assets', '{folder}/forged.png')",
    "update storage.objects set name = name",
    "delete from storage.objects",
)


class Objects:
    """Objects of two users, of the shop and of others; the first user or nobody asks for them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.user_id, other = make_user(db), make_user(db)
        db.execute("insert into storage.buckets (id, name) values ('another', 'another')")
        for bucket in (BUCKET, "another"):
            for name in self.own(self.user_id) + self.own(other) + self.shop() + self.elsewhere():
                db.execute(
                    "insert into storage.objects (bucket_id, name) values (%s, %s)", [bucket, name]
                )

    @staticmethod
    def own(user_id: UUID) -> list[str]:
        """The names of a user's objects."""
        return [
            f"try-on-results/{user_id}/x_result.png",
            f"user-uploads/{user_id}/1_original.jpg",
        ]

    @staticmethod
    def shop() -> list[str]:
        """The names of the garments' objects."""
        return ["garments/a.png", "garments/b.png"]

    def elsewhere(self) -> list[str]:
        """Names that are nobody's."""
        return [
            f"backups/{self.user_id}/1.jpg",
            f"backups/user-uploads/{self.user_id}/1.jpg",
            f"user-uploads/x/{self.user_id}/1.jpg",
            f"user-uploads/{self.user_id}",
            "backups/garments/a.png",
            "garments",
        ]

    def ask(self, role: str, statement: str) -> Any:
        """The rows that a role reads, or how many it writes; "hidden" if a policy refuses."""
        claims = {"sub": str(self.user_id)} if role == "authenticated" else {}
        with self._db.transaction(force_rollback=True):
            for name, value in (
                ("request.jwt.claims", json.dumps(claims)),
                ("storage.allow_delete_query", "true"),
            ):
                self._db.execute("select set_config(%s, %s, true)", [name, value])
            self._db.execute(f"set local role {role}".encode())
            try:
                done = self._db.execute(statement.encode())
            except errors.InsufficientPrivilege:
                return "hidden"
            return done.fetchall() if done.description else done.rowcount


@pytest.fixture
def objects(db: Database) -> Objects:
    """What lies in the bucket, and in another."""
    return Objects(db)


def test_everybody_opens_the_garments_and_users_their_own_pictures(objects: Objects) -> None:
    query = "select bucket_id, name from storage.objects order by name"
    shop = [(BUCKET, name) for name in objects.shop()]
    own = [(BUCKET, name) for name in objects.own(objects.user_id)]

    assert objects.ask("anon", query) == shop
    assert objects.ask("authenticated", query) == shop + own
    assert len(objects.ask("service_role", query)) == 24


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("folder", ["garments", "user-uploads/{user}", "try-on-results/{user}"])
def test_only_the_service_writes_objects(objects: Objects, role: str, folder: str) -> None:
    folder = folder.format(user=objects.user_id)
    statements = [statement.format(folder=folder) for statement in WRITES]

    assert [objects.ask(role, statement) for statement in statements] == ["hidden", 0, 0]
    assert [objects.ask("service_role", statement) for statement in statements] == [1, 24, 24]


OPEN_TO_ALL = [
    "using (true)", "using (bucket_id is not null)", "using (bucket_id <> 'private')",
    "using (bucket_id like 'vton%')", "using (bucket_id = 'avatars' or metadata is null)",
    "using (exists (select from storage.buckets))",
]  # fmt: skip


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("condition", OPEN_TO_ALL)
@pytest.mark.parametrize("to", ["public", "anon, authenticated"])
def test_no_policy_of_anybody_opens_the_pictures_of_others(
    objects: Objects, db: Database, role: str, condition: str, to: str
) -> None:
    """Neither one that was there before nor one that is made in the dashboard tomorrow."""
    query = "select name from storage.objects where bucket_id = 'vton-assets' order by name"
    before = objects.ask(role, query)
    check = condition.replace("using", "with check", 1)
    db.execute("set local role supabase_storage_admin")
    db.execute(f'create policy "theirs" on storage.objects to {to} {condition} {check}'.encode())
    db.execute("reset role")

    assert objects.ask(role, query) == before
    for statement in WRITES:
        ours = statement.format(folder=f"user-uploads/{objects.user_id}")
        if "insert" not in ours:
            ours += " where bucket_id = 'vton-assets'"
        assert objects.ask(role, ours) in ("hidden", 0)
    others = "select count(*) from storage.objects where bucket_id = 'another'"
    of_all = condition in OPEN_TO_ALL[:3] or "metadata" in condition
    assert objects.ask(role, others) == [(12 if of_all else 0,)], "what is not ours stays theirs"


def test_nobody_lists_buckets(objects: Objects) -> None:
    for role in ("anon", "authenticated"):
        assert objects.ask(role, "select id from storage.buckets") == []


def test_the_bucket_is_private_and_takes_pictures_of_a_size(db: Database) -> None:
    assert one(db, f"{SETTINGS} where id = %s", BUCKET) == RIGHT


def test_a_bucket_that_was_there_before_is_made_private(db: Database, migrations: Path) -> None:
    db.execute("set local role supabase_storage_admin")
    for policy in POLICIES:
        db.execute(f'drop policy "{policy}" on storage.objects'.encode())
    db.execute("reset role")
    db.execute(
        "update storage.buckets set public = true, file_size_limit = 1, allowed_mime_types = null"
    )

    (path,) = migrations.glob("*_storage.sql")
    db.execute(path.read_bytes())

    assert values(db, SETTINGS) == [RIGHT]
