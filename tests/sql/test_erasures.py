"""What a delete leaves behind: objects to be erased, the ledger, keys, and others' rows."""

from uuid import UUID, uuid4

import pytest
from sql.rows import (
    Database,
    claim,
    create,
    end_session,
    make_garment,
    make_session,
    make_submit,
    make_user,
    one,
    photo_of,
    record,
    results_of,
    values,
)

ERASURES = "select session_id, path from erasures order by id"


@pytest.mark.parametrize("status", ["queued", "processing", "success", "failed"])
def test_a_deleted_session_leaves_its_photo_and_its_result_to_be_erased(
    db: Database, status: str
) -> None:
    user_id = make_user(db)
    photo = photo_of(user_id)
    make_session(db, user_id)
    session_id = make_session(db, user_id, status, original_user_image_url=photo)

    db.execute("delete from try_on_history where id = %s", [session_id])

    paths = [photo, *results_of(user_id, session_id)]
    assert values(db, ERASURES) == [(session_id, path) for path in paths]
    new = "select created_at = now() and erased_at is null from erasures"
    assert values(db, new) == [True, True, True]


def test_a_deleted_session_takes_its_claim_along_and_leaves_the_ledger(db: Database) -> None:
    session_id, other = make_session(db), make_session(db)
    for one_of_them in (session_id, other):
        claim(db, one_of_them)

    db.execute("delete from try_on_history where id = %s", [session_id])

    assert values(db, "select session_id from provider_tasks") == [other]
    assert set(values(db, "select session_id from submits")) == {session_id, other}


def test_a_deleted_account_leaves_its_pictures_to_be_erased_and_what_was_paid(
    db: Database,
) -> None:
    user_id, other = make_user(db), make_user(db)
    sessions = {}
    for owner in (user_id, other):
        _, session_id = create(db, owner, key="k")
        assert session_id is not None
        sessions[owner] = session_id
        db.execute("update try_on_history set status = 'processing' where id = %s", [session_id])
        claim(db, session_id)
    photo = one(
        db, "select original_user_image_url from try_on_history where user_id = %s", user_id
    )

    db.execute("delete from auth.users where id = %s", [user_id])

    gone = sessions[user_id]
    assert values(db, ERASURES) == [(gone, path) for path in (photo, *results_of(user_id, gone))]
    for table in ("try_on_history", "idempotency_keys"):
        assert values(db, f"select user_id from {table}") == [other]
    assert values(db, "select session_id from provider_tasks") == [sessions[other]]
    assert set(values(db, "select user_id from submits")) == {user_id, other}


def test_an_account_that_never_tried_anything_on_is_deleted_without_a_trace(db: Database) -> None:
    user_id = make_user(db)

    db.execute("delete from auth.users where id = %s", [user_id])

    assert values(db, ERASURES) == []


def test_whoever_deletes_a_session_the_erasures_are_written(db: Database) -> None:
    """Also somebody who may not write them: a later policy may let users delete."""
    user_id = make_user(db)
    session_id = make_session(db, user_id)
    db.execute("grant delete on try_on_history to authenticated")
    db.execute("create policy d on try_on_history for delete to authenticated using (true)")

    with db.transaction():
        db.execute("set local role authenticated")
        db.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{user_id}"}}'])
        db.execute("delete from try_on_history where id = %s", [session_id])
        db.execute("reset role")

    assert len(values(db, ERASURES)) == 3


# -- failures --------------------------------------------------------------------------------------


def ended(db: Database, user_id: UUID, status: str, *, claimed: bool) -> UUID:
    """A session that ended; beside it one that has a claim and goes on."""
    claim(db, make_session(db))
    session_id = make_session(db, user_id)
    if claimed:
        claim(db, session_id)
    end_session(db, session_id, status)
    return session_id


def test_a_failed_session_that_was_submitted_may_still_get_a_result_to_erase(db: Database) -> None:
    user_id = make_user(db)

    session_id = ended(db, user_id, "failed", claimed=True)

    expected = [(session_id, path) for path in results_of(user_id, session_id)]
    assert values(db, ERASURES) == expected


@pytest.mark.parametrize(("status", "claimed"), [("failed", False), ("success", True)])
def test_other_ends_leave_nothing_to_erase(db: Database, status: str, claimed: bool) -> None:
    ended(db, make_user(db), status, claimed=claimed)

    assert values(db, ERASURES) == []


def test_a_session_that_was_not_accepted_and_failed_leaves_nothing_to_erase(db: Database) -> None:
    session_id, attempt = make_session(db), uuid4()
    claim(db, session_id, attempt)
    record(db, attempt, "not_accepted")

    end_session(db, session_id, "failed")

    assert values(db, ERASURES) == []


def test_whoever_fails_a_session_the_erasure_is_written(db: Database) -> None:
    session_id = make_session(db)
    claim(db, session_id)
    db.execute("grant select, update on try_on_history to authenticated")
    db.execute("create policy u on try_on_history for all to authenticated using (true)")

    with db.transaction():
        db.execute("set local role authenticated")
        end_session(db, session_id, "failed")
        db.execute("reset role")

    assert len(values(db, ERASURES)) == 2


def test_another_change_of_a_failed_session_is_not_a_failure(db: Database) -> None:
    garment_id = make_garment(db)
    session_id = make_session(db, garment_id=garment_id)
    claim(db, session_id)
    end_session(db, session_id, "failed")

    db.execute("delete from garments")

    assert len(values(db, ERASURES)) == 2


# -- garments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "processing", "success", "failed"])
def test_a_removed_garment_leaves_the_history(db: Database, status: str) -> None:
    removed, kept = make_garment(db), make_garment(db)
    first = make_session(db, status=status, garment_id=removed)
    second = make_session(db, status=status, garment_id=kept)

    db.execute("delete from garments where id = %s", [removed])

    history = values(db, "select id, status, garment_id from try_on_history")
    assert set(history) == {(first, status, None), (second, status, kept)}
    assert values(db, ERASURES) == []


def test_the_ledger_needs_neither_a_session_nor_a_user(db: Database) -> None:
    make_submit(db, uuid4(), session_id=uuid4())

    assert one(db, "select count(*) from submits") == 1


@pytest.mark.parametrize("status", ["queued", "processing", "success", "failed"])
@pytest.mark.parametrize("outcome", ["open", "accepted", "uncertain", "not_accepted"])
def test_the_ledger_is_told_of_a_session_that_was_deleted_unfinished(
    db: Database, status: str, outcome: str
) -> None:
    session_id, other = make_session(db, status=status), make_session(db)
    make_submit(db, outcome=outcome, session_id=session_id)
    make_submit(db, session_id=other)

    db.execute("delete from try_on_history where id = %s", [session_id])

    told = status in ("queued", "processing") and outcome != "not_accepted"
    query = "select session_id from submits where abandoned_at = now()"
    assert values(db, query) == ([session_id] if told else [])


@pytest.mark.parametrize("code", ["photo_rejected", "provider_failed"])
def test_a_refused_photo_is_to_be_erased_at_once(db: Database, code: str) -> None:
    session_id = make_session(db)
    photo = one(db, "select original_user_image_url from try_on_history")

    db.execute(
        "update try_on_history set status = 'failed', error_code = %s, error_message = 'x'", [code]
    )

    expected = [(session_id, photo)] if code == "photo_rejected" else []
    assert values(db, ERASURES) == expected


def test_a_refused_picture_elsewhere_is_nobodys_to_erase(db: Database) -> None:
    make_session(db)
    db.execute("alter table try_on_history drop constraint try_on_history_photo_is_owners")
    db.execute("update try_on_history set original_user_image_url = 'https://x.example/me.jpg'")

    db.execute(
        "update try_on_history set status = 'failed', error_code = 'photo_rejected',"
        " error_message = 'x'"
    )

    assert values(db, ERASURES) == []
