"""create_session: what one user may start, and what a repeated request finds."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from sql.rows import (
    Database,
    create,
    end_session,
    make_garment,
    make_key,
    make_session,
    make_submit,
    make_user,
    one,
    photo_of,
    values,
)

KEYS = "select key, fingerprint, session_id from idempotency_keys where user_id = %s order by key"


def use_paid_call(db: Database, _: UUID) -> None:
    """A call of anybody's that is paid for."""
    make_submit(db)


def wait(db: Database, _: UUID) -> None:
    """A session of anybody's that waits."""
    make_session(db, status="queued")


def leave_unfinished(db: Database, user_id: UUID) -> None:
    """A session of this user's that is under way."""
    make_session(db, user_id, "processing")


def try_on(db: Database, user_id: UUID) -> None:
    """A try-on of this user's that was submitted today."""
    make_submit(db, user_id)


LIMITS = [
    ("paid", "paid_cap", use_paid_call),
    ("waiting", "busy", wait),
    ("unfinished", "unfinished", leave_unfinished),
    ("per_day", "quota", try_on),
]
"""The limits in the order in which they are checked: their result, and what uses one of them up."""


def test_a_new_session_is_queued(db: Database) -> None:
    user_id, garment_id = make_user(db), make_garment(db)
    photo = photo_of(user_id)

    result, session_id = create(db, user_id, garment_id=garment_id, photo=photo)

    assert result == "created"
    assert one(db, "select * from try_on_history") == (
        session_id, user_id, garment_id, photo, None, "queued", None, None, one(db, "select now()")
    )  # fmt: skip
    assert values(db, KEYS, user_id) == [(str(session_id), str(session_id), session_id)]


def test_the_key_and_the_fingerprint_of_a_new_session_are_kept(db: Database) -> None:
    user_id = make_user(db)

    _, session_id = create(db, user_id, key="k", fingerprint="what was asked")

    assert values(db, KEYS, user_id) == [("k", "what was asked", session_id)]


@pytest.mark.parametrize(("limit", "refusal", "use"), LIMITS)
@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_limit_is_reached_exactly(
    db: Database, limit: str, refusal: str, use: Callable[[Database, UUID], None], most: int
) -> None:
    user_id = make_user(db)

    for _ in range(most - 1):
        use(db, user_id)
    with db.transaction(force_rollback=True):
        assert create(db, user_id, **{limit: most})[0] == "created"  # type: ignore[arg-type]
    for _ in range(2):
        use(db, user_id)
        assert create(db, user_id, **{limit: most}) == (refusal, None)  # type: ignore[arg-type]

    assert create(db, user_id)[0] == "created"  # 0 switches each of them off


@pytest.mark.parametrize(("limit", "refusal", "use"), LIMITS)
def test_a_refusal_leaves_neither_a_row_nor_a_key(
    db: Database, limit: str, refusal: str, use: Callable[[Database, UUID], None]
) -> None:
    user_id = make_user(db)
    use(db, user_id)
    before = values(db, "select id from try_on_history")

    assert create(db, user_id, key="k", **{limit: 1}) == (refusal, None)  # type: ignore[arg-type]

    assert values(db, "select id from try_on_history") == before
    assert values(db, KEYS, user_id) == []


def test_the_limits_are_checked_in_their_order(db: Database) -> None:
    user_id = make_user(db)
    limits = {}
    for limit, _, use in LIMITS:
        use(db, user_id)
        limits[limit] = 1

    for limit, refusal, _ in LIMITS:
        assert create(db, user_id, **limits)[0] == refusal  # type: ignore[arg-type]
        limits[limit] = 0


def test_busy_counts_queued_sessions_only(db: Database) -> None:
    for status in ("processing", "success", "failed"):
        make_session(db, status=status)

    assert create(db, make_user(db), waiting=1)[0] == "created"
    assert create(db, make_user(db), waiting=1)[0] == "busy"


@pytest.mark.parametrize("status", ["queued", "processing"])
def test_unfinished_counts_this_users_unfinished_sessions_only(db: Database, status: str) -> None:
    user_id = make_user(db)
    make_session(db, user_id, "success")
    make_session(db, user_id, "failed")
    make_session(db, status=status)
    with db.transaction(force_rollback=True):
        assert create(db, user_id, unfinished=1)[0] == "created"

    make_session(db, user_id, status)

    assert create(db, user_id, unfinished=1)[0] == "unfinished"


def test_the_quota_counts_what_this_user_tried_only(db: Database) -> None:
    user_id = make_user(db)
    make_submit(db)
    make_session(db)

    assert create(db, user_id, per_day=1)[0] == "created"
    assert create(db, user_id, per_day=1)[0] == "quota"  # the one that waits will be submitted


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_answers_with_the_session_that_it_started(db: Database) -> None:
    user_id = make_user(db)
    _, first = create(db, user_id, key="k", fingerprint="f")

    assert create(db, user_id, key="k", fingerprint="f") == ("replay", first)
    assert create(db, user_id, key="k", fingerprint="g") == ("mismatch", first)
    assert values(db, "select id from try_on_history") == [first]
    assert values(db, KEYS, user_id) == [("k", "f", first)]


@pytest.mark.parametrize(("fingerprint", "result"), [("f", "replay"), ("g", "mismatch")])
def test_a_key_answers_before_any_limit_and_outlives_its_session(
    db: Database, fingerprint: str, result: str
) -> None:
    user_id = make_user(db)
    _, first = create(db, user_id, key="k")
    db.execute("delete from try_on_history")
    for _, _, use in LIMITS:
        use(db, user_id)

    again = create(
        db, user_id, key="k", fingerprint=fingerprint, unfinished=1, per_day=1, waiting=1, paid=1
    )

    assert again == (result, first)


def test_a_key_is_one_users_and_another_key_another_session(db: Database) -> None:
    user_id, other = make_user(db), make_user(db)
    _, first = create(db, user_id, key="k", fingerprint="f")

    assert create(db, other, key="k", fingerprint="g")[0] == "created"
    assert create(db, user_id, key="l", fingerprint="g")[0] == "created"
    assert create(db, user_id, key="k", fingerprint="f") == ("replay", first)
    assert [create(db, user_id)[0] for _ in range(2)] == ["created", "created"]


@pytest.mark.parametrize("age", ["0", "23 hours", "24 hours"])
def test_a_key_is_kept_for_24_hours(db: Database, age: str) -> None:
    user_id = make_user(db)
    first = make_key(db, user_id, age=age)

    assert create(db, user_id, key="k") == ("replay", first)


def test_after_24_hours_a_key_starts_anew(db: Database) -> None:
    user_id = make_user(db)
    make_key(db, user_id, age="24 hours 1 microsecond")

    result, session_id = create(db, user_id, key="k", fingerprint="new")

    assert result == "created"
    assert values(db, KEYS, user_id) == [("k", "new", session_id)]


def test_only_the_key_that_was_sent_is_forgotten_when_it_is_old(db: Database) -> None:
    user_id, other = make_user(db), make_user(db)
    for owner, key in ((user_id, "k"), (user_id, "l"), (other, "k")):
        make_key(db, owner, key, "25 hours")

    create(db, user_id, key="k")

    assert [key for key, _, _ in values(db, KEYS, user_id)] == ["k", "l"]
    assert [key for key, _, _ in values(db, KEYS, other)] == ["k"]


# -- what cannot be inserted -----------------------------------------------------------------------


def test_an_unknown_garment_is_named(db: Database) -> None:
    with pytest.raises(errors.ForeignKeyViolation) as caught, db.transaction():
        create(db, make_user(db), garment_id=uuid4(), key="k")

    assert caught.value.diag.constraint_name == "try_on_history_garment_id_fkey"
    assert values(db, "select key from idempotency_keys") == []


def test_an_unknown_user_is_named(db: Database) -> None:
    with pytest.raises(errors.ForeignKeyViolation) as caught, db.transaction():
        create(db, uuid4(), key="k")

    assert caught.value.diag.constraint_name == "try_on_history_user_id_fkey"


def test_a_photos_name_that_is_taken_is_named(db: Database) -> None:
    user_id = make_user(db)
    photo = photo_of(user_id)
    create(db, user_id, photo=photo)

    with pytest.raises(errors.UniqueViolation) as caught, db.transaction():
        create(db, user_id, photo=photo, key="k")

    assert caught.value.diag.message_primary == "there is a session with this photo"
    assert create(db, user_id, key="k")[0] == "created"


# -- undo_session ----------------------------------------------------------------------------------


def test_an_undone_session_is_gone_with_its_key_and_no_other_is(db: Database) -> None:
    user_id = make_user(db)
    _, kept = create(db, user_id, key="kept")
    _, undone = create(db, user_id, key="undone", fingerprint="another")

    db.execute("select undo_session(%s)", [undone])

    assert values(db, "select id from try_on_history") == [kept]
    assert values(db, KEYS, user_id) == [("kept", "f", kept)]
    assert create(db, user_id, key="undone", fingerprint="another")[0] == "created"


@pytest.mark.parametrize("outcome", ["open", "accepted", "uncertain", "not_accepted"])
def test_a_submitted_session_is_not_undone(db: Database, outcome: str) -> None:
    """It may be paid for. Twice asked, once deleted: there is nothing more to do."""
    _, session_id = create(db, make_user(db), key="k")
    db.execute("update try_on_history set status = 'processing'")
    db.execute("select claim_submit(%s, %s, 0)", [session_id, session_id])
    if outcome != "open":
        task = "t" if outcome == "accepted" else None
        db.execute("select record_outcome(%s, %s, %s, %s)", [session_id, outcome, task, task])

    undone = values(db, "select undo_session(%s)", session_id)

    assert undone == [outcome == "not_accepted"]
    assert values(db, "select id from try_on_history") == ([] if undone[0] else [session_id])
    db.execute("delete from try_on_history")
    assert values(db, "select undo_session(%s)", session_id) == [True]


# -- a second tap ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "processing"])
@pytest.mark.parametrize("key", [None, "another"])
def test_the_same_photo_and_garment_under_way_are_one_session(
    db: Database, status: str, key: str | None
) -> None:
    user_id = make_user(db)
    _, first = create(db, user_id, fingerprint="f", key="its own")
    db.execute("update try_on_history set status = %s", [status])

    for _ in range(2):
        assert create(db, user_id, fingerprint="f", key=key, unfinished=1) == ("replay", first)

    assert values(db, "select id from try_on_history") == [first]
    keys = [(name, "f", first) for name in sorted({key or "its own", "its own"})]
    assert values(db, KEYS, user_id) == keys


@pytest.mark.parametrize("status", ["success", "failed"])
def test_after_its_end_they_are_a_new_one(db: Database, status: str) -> None:
    user_id = make_user(db)
    _, first = create(db, user_id, fingerprint="f")
    assert first is not None
    end_session(db, first, status)

    assert create(db, user_id, fingerprint="f")[0] == "created"


def test_so_they_are_for_another_user_and_for_something_else(db: Database) -> None:
    user_id = make_user(db)
    create(db, user_id, fingerprint="f")

    assert create(db, user_id, fingerprint="g")[0] == "created"
    assert create(db, make_user(db), fingerprint="f")[0] == "created"


# -- refused photos, and deleted sessions ----------------------------------------------------------


def refused(db: Database, user_id: UUID, most: int) -> bool:
    """Whether the user may start nothing with this quota; nothing is started."""
    with db.transaction(force_rollback=True):
        return create(db, user_id, per_day=most) == ("quota", None)


def test_refused_photos_have_twice_the_quota(db: Database) -> None:
    user_id, other = make_user(db), make_user(db)
    session_id = uuid4()
    for _ in range(5):  # of one session, of somebody else, of no photo
        make_submit(db, user_id, "not_accepted", refused=True, session_id=session_id)
        make_submit(db, other, "not_accepted", refused=True)
        make_submit(db, user_id, "not_accepted")
    assert not refused(db, user_id, 1)

    for count in (2, 3, 4):
        make_submit(db, user_id, "not_accepted", refused=True)
        assert refused(db, user_id, 1)
        assert refused(db, user_id, 2) == (count == 4)
    assert create(db, user_id)[0] == "created", "0 switches it off"


@pytest.mark.parametrize("outcome", ["open", "accepted", "uncertain"])
def test_what_was_deleted_a_moment_ago_is_under_way(db: Database, outcome: str) -> None:
    user_id = make_user(db)
    ago = "select now() - %s::interval"
    make_submit(db, user_id, outcome, abandoned_at=one(db, ago, "299 s"))

    assert create(db, user_id, unfinished=1) == ("unfinished", None)
    assert create(db, user_id, unfinished=2)[0] == "created"
    assert create(db, make_user(db), unfinished=1)[0] == "created"


def test_what_was_deleted_long_ago_or_costs_nothing_is_not(db: Database) -> None:
    user_id, ago = make_user(db), "select now() - %s::interval"
    make_submit(db, user_id, abandoned_at=one(db, ago, "5 min"))
    make_submit(db, user_id, "not_accepted", abandoned_at=one(db, ago, "1 s"))
    make_submit(db, user_id, charged=False, abandoned_at=one(db, ago, "1 s"))
    make_submit(db, user_id)

    assert create(db, user_id, unfinished=1)[0] == "created"


def test_one_deleted_session_holds_one_place(db: Database) -> None:
    user_id, session_id = make_user(db), uuid4()
    for _ in range(2):
        moment = one(db, "select now() - interval '1 s'")
        make_submit(db, user_id, session_id=session_id, abandoned_at=moment)

    assert create(db, user_id, unfinished=2)[0] == "created"
