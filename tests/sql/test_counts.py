"""paid_today and tried_today: what counts against the caps and quotas of a day (UTC)."""

from datetime import UTC, datetime, timedelta

import pytest
from sql.rows import Database, make_session, make_submit, make_user, one, paid, tried

FAR_EAST, FAR_WEST = "Pacific/Kiritimati", "Pacific/Pago_Pago"
MOMENT = timedelta(microseconds=1)
COUNTED = ("open", "accepted", "uncertain")


def midnight(db: Database) -> datetime:
    """When the day (UTC) of this transaction began."""
    now: datetime = one(db, "select now()")
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def test_everything_is_paid_for_but_what_was_provably_not_accepted(db: Database) -> None:
    assert paid(db) == 0
    for number, outcome in enumerate(COUNTED, 1):
        make_submit(db, outcome=outcome)
        assert paid(db) == number

    make_submit(db, outcome="not_accepted")

    assert paid(db) == len(COUNTED)


def test_what_its_provider_documents_as_free_gives_its_place_back(db: Database) -> None:
    make_submit(db, charged=False)
    assert paid(db) == 0

    make_submit(db, charged=True)
    assert paid(db) == 1


@pytest.mark.parametrize("zone", ["UTC", FAR_EAST, FAR_WEST])
def test_a_day_begins_at_midnight_utc_wherever_one_asks(db: Database, zone: str) -> None:
    user_id = make_user(db)
    db.execute("select set_config('timezone', %s, true)", [zone])

    make_submit(db, user_id, at=midnight(db) - MOMENT)
    assert (paid(db), tried(db, user_id)) == (0, 0)
    make_submit(db, user_id, at=midnight(db))
    assert (paid(db), tried(db, user_id)) == (1, 1)
    make_submit(db, user_id, at=midnight(db) + MOMENT)
    assert (paid(db), tried(db, user_id)) == (2, 2)


@pytest.mark.parametrize("zone", ["UTC", FAR_EAST, FAR_WEST])
def test_refused_photos_are_counted_by_the_same_day(db: Database, zone: str) -> None:
    user_id = make_user(db)
    db.execute("select set_config('timezone', %s, true)", [zone])
    count = "select refused_today(%s)"

    for moment, counted in ((midnight(db) - MOMENT, 0), (midnight(db), 1)):
        make_submit(db, user_id, "not_accepted", refused=True, at=moment)
        assert one(db, count, user_id) == counted


@pytest.mark.parametrize("outcome", COUNTED)
def test_a_submitted_try_on_counts_though_its_session_was_deleted(
    db: Database, outcome: str
) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id)
    make_submit(db, user_id, outcome, session_id=session_id)
    assert tried(db, user_id) == 1

    db.execute("delete from try_on_history")

    assert tried(db, user_id) == 1


def test_a_try_on_that_was_not_accepted_does_not_count(db: Database) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id, "failed")

    make_submit(db, user_id, "not_accepted", session_id=session_id)

    assert tried(db, user_id) == 0


@pytest.mark.parametrize("status", ["queued", "processing"])
def test_an_unfinished_try_on_counts_because_it_will_be_submitted(
    db: Database, status: str
) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id, status)
    assert tried(db, user_id) == 1

    make_submit(db, user_id, "not_accepted", session_id=session_id)
    assert tried(db, user_id) == 1

    make_submit(db, user_id, "open", session_id=session_id)
    assert tried(db, user_id) == 1  # and not twice


@pytest.mark.parametrize("status", ["success", "failed"])
def test_an_ended_try_on_that_was_never_submitted_does_not_count(db: Database, status: str) -> None:
    user_id = make_user(db)

    make_session(db, user_id, status)

    assert tried(db, user_id) == 0


def test_a_session_that_was_submitted_twice_is_one_try_on(db: Database) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id)

    for _ in range(2):
        make_submit(db, user_id, session_id=session_id)

    assert (tried(db, user_id), paid(db)) == (1, 2)


def test_a_session_that_was_submitted_yesterday_and_still_runs_is_yesterdays(db: Database) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id)

    make_submit(db, user_id, "open", session_id=session_id, at=midnight(db) - MOMENT)

    assert tried(db, user_id) == 0


def test_what_others_try_does_not_count(db: Database) -> None:
    user_id = make_user(db)
    make_session(db)
    make_submit(db)
    make_session(db, user_id)

    assert tried(db, user_id) == 1
