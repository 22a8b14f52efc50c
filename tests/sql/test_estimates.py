"""What the planner estimates of try_on_history, which PostgREST tells whoever asks it to count.

`Prefer: count=planned` is an EXPLAIN with the user's own role.
"""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sql.rows import Database, make_session, make_user, one, values

MANY, FEW = 300, 2


def fill(db: Database) -> tuple[UUID, UUID]:
    """One who has tried on often, and one who has not, all known to the planner."""
    often, seldom = make_user(db), make_user(db)
    for user_id, count in ((often, MANY), (seldom, FEW)):
        for _ in range(count):
            make_session(db, user_id, "success")
    db.execute("analyze try_on_history")
    return often, seldom


def estimate(db: Database, condition: str, *parameters: object) -> int:
    """How many rows the planner expects, asked as some signed-in user asks."""
    claims = json.dumps({"sub": str(uuid4()), "role": "authenticated"})
    with db.transaction(force_rollback=True):
        db.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        db.execute("set local role authenticated")
        query = f"explain (format json) select * from try_on_history where {condition}"
        plan: Any = db.execute(query.encode(), parameters).fetchone()
    return int(plan[0][0]["Plan"]["Plan Rows"])


def test_of_every_user_the_same_is_estimated(db: Database) -> None:
    often, seldom = fill(db)

    estimates = {estimate(db, "user_id = %s", user) for user in (often, seldom, uuid4())}

    assert len(estimates) == 1


@pytest.mark.parametrize("column", ["id", "user_id", "garment_id"])
@pytest.mark.parametrize("comparison", [">=", "<", "="])
def test_an_id_is_not_found_by_halves(db: Database, column: str, comparison: str) -> None:
    fill(db)
    known = values(db, f"select {column} from try_on_history where {column} is not null limit 5")
    places = [UUID(int=n << 124) for n in range(16)]

    estimates = {
        estimate(db, f"{column} {comparison} %s", place) for place in (*known, *places, uuid4())
    }

    assert len(estimates) == 1


@pytest.mark.parametrize("window", ["1 second", "1 hour", "1 day", "10 years"])
def test_of_every_time_the_same_is_estimated(db: Database, window: str) -> None:
    fill(db)
    condition = "created_at >= now() - %s::interval"

    assert estimate(db, condition, window) == estimate(db, condition, "1 minute")


def test_of_every_path_and_message_the_same_is_estimated(db: Database) -> None:
    often, seldom = fill(db)

    for column in ("original_user_image_url", "result_image_url", "error_message", "error_code"):
        likes = [f"user-uploads/{user}/%" for user in (often, seldom)]
        assert len({estimate(db, f"{column} like %s", like) for like in likes}) == 1, column
        equal = [one(db, f"select coalesce(max({column}), 'y') from try_on_history"), "x", ""]
        assert len({estimate(db, f"{column} = %s", text) for text in equal}) == 1, column


def test_what_was_known_before_the_migrations_is_forgotten(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    user_id = make_user(theirs)
    for _ in range(FEW):
        theirs.execute(
            "insert into try_on_history (user_id, status) values (%s, 'queued')", [user_id]
        )
    theirs.execute("analyze try_on_history")
    known = "select attname from pg_stats where tablename = 'try_on_history'"
    assert len(values(theirs, known)) > 3

    adopt()
    assert set(values(theirs, known)) <= {"status"}
    theirs.execute("analyze try_on_history")
    assert values(theirs, known) == ["status"]


def test_what_somebody_has_a_view_of_is_adopted_all_the_same(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    theirs.execute("insert into try_on_history (user_id) values (%s)", [make_user(theirs)])
    theirs.execute("analyze try_on_history")
    theirs.execute("create view latest as select user_id from try_on_history")

    adopt()

    assert one(theirs, "select count(*) from latest") == 1
