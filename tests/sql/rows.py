"""Rows to begin a test with, and the SQL functions as calls."""

from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg

Database = psycopg.Connection[Any]

_NUMBERS = count(1)


def one(db: Database, query: str, *parameters: object) -> Any:
    """The only value of the only row of a query; None if there is no row."""
    rows = values(db, query, *parameters)
    assert len(rows) <= 1, rows
    return rows[0] if rows else None


def values(db: Database, query: str, *parameters: object) -> list[Any]:
    """The rows of a query; where a row has one column, its value."""
    rows = db.execute(query.encode(), parameters).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


# -- rows ------------------------------------------------------------------------------------------


def make_user(db: Database) -> UUID:
    """Somebody who has signed up."""
    user_id: UUID = one(db, "insert into auth.users (id) values (%s) returning id", uuid4())
    return user_id


def make_garment(db: Database) -> UUID:
    """A garment of the shop."""
    query = "insert into garments (name, image_url) values ('Shirt', %s) returning id"
    garment_id: UUID = one(db, query, f"garments/{next(_NUMBERS)}.png")
    return garment_id


def photo_of(user_id: UUID) -> str:
    """A photo's path that nobody has taken."""
    return f"user-uploads/{user_id}/{next(_NUMBERS)}_original.jpg"


def result_of(user_id: UUID, session_id: UUID) -> str:
    """The path of a session's result."""
    return f"try-on-results/{user_id}/{session_id}_result.png"


def results_of(user_id: UUID, session_id: UUID) -> list[str]:
    """The paths of a session's result, and of the small one beside it."""
    path = result_of(user_id, session_id)
    return [path, path.replace(".png", "_thumbnail.webp")]


def make_session(
    db: Database, user_id: UUID | None = None, status: str = "processing", **columns: object
) -> UUID:
    """A session of the user (by default a new one), consistent with its status."""
    session_id, user_id = uuid4(), user_id or make_user(db)
    row: dict[str, object] = {
        "id": session_id,
        "user_id": user_id,
        "original_user_image_url": photo_of(user_id),
        "status": status,
    }
    if status == "success":
        row["result_image_url"] = result_of(user_id, session_id)
    if status == "failed":
        row |= {"error_message": "It failed.", "error_code": "provider_failed"}
    _insert(db, "try_on_history", row | columns)
    return session_id


def end_session(db: Database, session_id: UUID, status: str) -> None:
    """Have a session succeed or fail."""
    if status == "success":
        change = "result_image_url = 'try-on-results/' || user_id || '/' || id || '_result.png'"
    else:
        change = "error_message = 'It failed.', error_code = 'provider_failed'"
    query = f"update try_on_history set status = %s, {change} where id = %s"
    db.execute(query.encode(), [status, session_id])


def make_submit(
    db: Database,
    user_id: UUID | None = None,
    outcome: str = "accepted",
    *,
    session_id: UUID | None = None,
    at: datetime | None = None,
    task_id: str = "a task",
    charged: bool | None = None,
    refused: bool = False,
    abandoned_at: datetime | None = None,
) -> UUID:
    """An entry of the ledger, by default of a session that is gone; its attempt."""
    attempt = uuid4()
    row: dict[str, object] = {
        "attempt": attempt,
        "session_id": session_id or uuid4(),
        "user_id": user_id or uuid4(),
        "outcome": outcome,
        "charged": charged,
        "refused": refused,
        "abandoned_at": abandoned_at,
    }
    if at is not None:
        row["at"] = at
    if outcome == "accepted":
        row |= {"provider": "pixazo", "task_id": task_id}
    _insert(db, "submits", row)
    return attempt


def make_claim(
    db: Database, session_id: UUID, attempt: UUID | None = None, task_id: str | None = None
) -> None:
    """The claim of a session; with its task, if one is named."""
    provider = "pixazo" if task_id else None
    row: dict[str, object] = {"session_id": session_id, "attempt": attempt or uuid4()}
    _insert(db, "provider_tasks", row | {"provider": provider, "task_id": task_id})


def make_key(db: Database, user_id: UUID, key: str = "k", age: str = "0") -> UUID:
    """A key that started a session so long ago; that session's id."""
    query = (
        "insert into idempotency_keys (user_id, key, fingerprint, session_id, created_at)"
        " values (%s, %s, 'f', %s, now() - %s::interval) returning session_id"
    )
    session_id: UUID = one(db, query, user_id, key, uuid4(), age)
    return session_id


def _insert(db: Database, table: str, row: dict[str, object]) -> None:
    places = ", ".join(["%s"] * len(row))
    query = f"insert into {table} ({', '.join(row)}) values ({places})"
    db.execute(query.encode(), list(row.values()))


# -- calls -----------------------------------------------------------------------------------------


def create(
    db: Database,
    user_id: UUID,
    *,
    garment_id: UUID | None = None,
    photo: str | None = None,
    key: str | None = None,
    fingerprint: str | None = None,
    unfinished: int = 0,
    per_day: int = 0,
    waiting: int = 0,
    paid: int = 0,
) -> tuple[str, UUID | None]:
    """Call create_session: its result, and the session's id if it names one."""
    session_id = uuid4()
    result, named = one(
        db,
        "select * from create_session(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        session_id, user_id, garment_id, photo or photo_of(user_id), key,
        fingerprint or ("f" if key else str(session_id)),
        unfinished, per_day, waiting, paid,
    )  # fmt: skip
    assert (named == session_id) == (result == "created")
    return result, named


def claim(
    db: Database, session_id: UUID, attempt: UUID | None = None, cap: int = 0
) -> tuple[str, float]:
    """Call claim_submit: its result, and the age of the claim in seconds."""
    query = "select result, age from claim_submit(%s, %s, %s)"
    answer: tuple[str, float] = one(db, query, session_id, attempt or uuid4(), cap)
    return answer


def record(
    db: Database,
    attempt: UUID,
    outcome: str,
    task_id: str | None = None,
    status_url: str | None = None,
) -> None:
    """Call record_outcome; a task is Pixazo's."""
    if task_id is None:
        db.execute("select record_outcome(%s, %s)", [attempt, outcome])
    else:
        db.execute(
            "select record_outcome(%s, %s, 'pixazo', %s, %s)",
            [attempt, outcome, task_id, status_url],
        )


def allow_resubmit(db: Database, session_id: UUID, task_id: str) -> bool:
    """Call allow_one_resubmit."""
    allowed: bool = one(db, "select allow_one_resubmit(%s, %s)", session_id, task_id)
    return allowed


def tried(db: Database, user_id: UUID) -> int:
    """Call tried_today."""
    number: int = one(db, "select tried_today(%s)", user_id)
    return number


def paid(db: Database) -> int:
    """Call paid_today."""
    number: int = one(db, "select paid_today()")
    return number
