"""record_outcome and allow_one_resubmit: what became of a submit, and whether there is another."""

from uuid import UUID, uuid4

import pytest
from sql.rows import (
    Database,
    allow_resubmit,
    claim,
    end_session,
    make_claim,
    make_session,
    make_submit,
    one,
    record,
    values,
)


def claimed(db: Database) -> tuple[UUID, UUID]:
    """A session that an attempt has claimed."""
    session_id, attempt = make_session(db), uuid4()
    claim(db, session_id, attempt)
    return session_id, attempt


def entry(db: Database, attempt: UUID) -> tuple[str, str | None, str | None]:
    """What the ledger says of an attempt."""
    query = "select outcome, provider, task_id from submits where attempt = %s"
    found: tuple[str, str | None, str | None] = one(db, query, attempt)
    return found


def claim_of(db: Database, session_id: UUID) -> tuple[object, ...] | None:
    """A session's claim: the attempt and its task."""
    query = "select attempt, provider, task_id, status_url from provider_tasks"
    found: tuple[object, ...] | None = one(db, f"{query} where session_id = %s", session_id)
    return found


def submitted(db: Database, task_id: str = "t1", session_id: UUID | None = None) -> UUID:
    """A session with a task."""
    session_id = session_id or make_session(db)
    make_claim(
        db, session_id, make_submit(db, session_id=session_id, task_id=task_id), task_id=task_id
    )
    return session_id


# -- record_outcome --------------------------------------------------------------------------------


def test_an_accepted_submit_gives_its_session_the_task(db: Database) -> None:
    other, others_attempt = claimed(db)
    session_id, attempt = claimed(db)

    for _ in range(2):
        record(db, attempt, "accepted", "t1", "https://example.com/t1")

    assert entry(db, attempt) == ("accepted", "pixazo", "t1")
    assert claim_of(db, session_id) == (attempt, "pixazo", "t1", "https://example.com/t1")
    assert entry(db, others_attempt) == ("open", None, None)
    assert claim_of(db, other) == (others_attempt, None, None, None)


def test_a_task_needs_no_url_of_its_own(db: Database) -> None:
    session_id, attempt = claimed(db)

    record(db, attempt, "accepted", "t1")

    assert claim_of(db, session_id) == (attempt, "pixazo", "t1", None)


def test_a_refused_photo_is_one_that_was_not_accepted_and_is_told_apart(db: Database) -> None:
    other, others_attempt = claimed(db)
    session_id, attempt = claimed(db)

    for _ in range(2):
        record(db, attempt, "refused")

    refused = "select attempt from submits where refused"
    assert entry(db, attempt) == ("not_accepted", None, None)
    assert values(db, refused) == [attempt]
    assert claim_of(db, session_id) is None
    assert claim_of(db, other) == (others_attempt, None, None, None)
    record(db, others_attempt, "not_accepted")
    assert values(db, refused) == [attempt]


def test_a_submit_that_was_not_accepted_gives_its_claim_up(db: Database) -> None:
    other, others_attempt = claimed(db)
    session_id, attempt = claimed(db)

    for _ in range(2):
        record(db, attempt, "not_accepted")

    assert entry(db, attempt) == ("not_accepted", None, None)
    assert claim_of(db, session_id) is None
    assert claim_of(db, other) == (others_attempt, None, None, None)


def test_a_claim_is_given_up_for_its_own_attempt_only(db: Database) -> None:
    session_id, attempt = claimed(db)
    late = make_submit(db, outcome="open", session_id=session_id)

    record(db, late, "not_accepted")

    assert entry(db, late)[0] == "not_accepted"
    assert claim_of(db, session_id) == (attempt, None, None, None)


def test_an_uncertain_submit_keeps_its_claim(db: Database) -> None:
    session_id, attempt = claimed(db)

    for _ in range(2):
        record(db, attempt, "uncertain")

    assert entry(db, attempt) == ("uncertain", None, None)
    assert claim_of(db, session_id) == (attempt, None, None, None)
    assert claim(db, session_id)[0] == "held"


@pytest.mark.parametrize("outcome", ["accepted", "not_accepted"])
def test_an_uncertain_submit_may_still_be_known(db: Database, outcome: str) -> None:
    session_id, attempt = claimed(db)
    record(db, attempt, "uncertain")

    record(db, attempt, outcome, "t1" if outcome == "accepted" else None)

    assert entry(db, attempt)[0] == outcome
    assert claim(db, session_id)[0] == ("task" if outcome == "accepted" else "claimed")


@pytest.mark.parametrize("outcome", ["open", "uncertain", "not_accepted", "accepted"])
def test_an_accepted_submit_stays_what_it_is(db: Database, outcome: str) -> None:
    session_id, attempt = claimed(db)
    record(db, attempt, "accepted", "t1")

    record(db, attempt, outcome, "t2" if outcome == "accepted" else None)

    assert entry(db, attempt) == ("accepted", "pixazo", "t1")
    assert claim_of(db, session_id) == (attempt, "pixazo", "t1", None)


def test_a_submit_that_was_not_accepted_stays_what_it_is(db: Database) -> None:
    session_id, attempt = claimed(db)
    record(db, attempt, "not_accepted")

    record(db, attempt, "accepted", "t1")

    assert entry(db, attempt) == ("not_accepted", None, None)
    assert claim_of(db, session_id) is None


def test_the_first_task_of_a_session_stays(db: Database) -> None:
    session_id, attempt = claimed(db)
    record(db, attempt, "accepted", "t1")
    late = make_submit(db, outcome="uncertain", session_id=session_id)

    record(db, late, "accepted", "t2")

    assert entry(db, late) == ("accepted", "pixazo", "t2")  # it was paid for, and is told
    assert claim_of(db, session_id) == (attempt, "pixazo", "t1", None)


@pytest.mark.parametrize("outcome", ["accepted", "not_accepted", "uncertain"])
def test_an_outcome_is_recorded_though_the_session_was_deleted(db: Database, outcome: str) -> None:
    session_id, attempt = claimed(db)
    db.execute("delete from try_on_history where id = %s", [session_id])

    record(db, attempt, outcome, "t1" if outcome == "accepted" else None)

    assert entry(db, attempt)[0] == outcome
    assert claim_of(db, session_id) is None


def test_the_outcome_of_an_unknown_attempt_changes_nothing(db: Database) -> None:
    session_id, attempt = claimed(db)

    record(db, uuid4(), "accepted", "t1")
    record(db, uuid4(), "not_accepted")

    assert entry(db, attempt) == ("open", None, None)
    assert claim_of(db, session_id) == (attempt, None, None, None)


# -- allow_one_resubmit ----------------------------------------------------------------------------


@pytest.fixture
def bystander(db: Database) -> UUID:
    """Another session that is processing, whose provider happens to use the same id of a task."""
    session_id = submitted(db)
    for _ in range(2):
        make_submit(db, session_id=session_id, task_id="t0", charged=False)
    return session_id


def charges(db: Database, session_id: UUID) -> dict[str, bool | None]:
    """Which of a session's tasks were charged, as far as is known."""
    query = "select task_id, charged from submits where session_id = %s"
    return dict(values(db, query, session_id))


def test_a_task_that_was_not_charged_may_be_submitted_once_more(
    db: Database, bystander: UUID
) -> None:
    session_id = submitted(db)

    for _ in range(2):  # asked by two runs
        assert allow_resubmit(db, session_id, "t1")

    assert charges(db, session_id) == {"t1": False}
    assert claim_of(db, session_id) is None
    assert claim(db, session_id)[0] == "claimed"
    assert charges(db, bystander) == {"t1": None, "t0": False}
    assert claim_of(db, bystander) is not None


def test_it_has_been_submitted_once_more(db: Database, bystander: UUID) -> None:
    session_id = submitted(db)
    allow_resubmit(db, session_id, "t1")
    submitted(db, "t2", session_id)

    assert allow_resubmit(db, session_id, "t1")  # a slower run asks
    assert claim(db, session_id)[0] == "task"
    assert charges(db, session_id) == {"t1": False, "t2": None}


def test_a_second_task_is_the_last(db: Database, bystander: UUID) -> None:
    session_id = submitted(db)
    allow_resubmit(db, session_id, "t1")
    submitted(db, "t2", session_id)

    for task_id in ("t2", "t2", "t1"):
        assert not allow_resubmit(db, session_id, task_id)

    assert charges(db, session_id) == {"t1": False, "t2": False}
    assert claim(db, session_id)[0] == "task"


def test_what_cost_nothing_for_another_reason_does_not_use_it_up(db: Database) -> None:
    session_id = make_session(db)
    for outcome in ("not_accepted", "uncertain"):
        make_submit(db, outcome=outcome, session_id=session_id)
    submitted(db, "t1", session_id)

    assert allow_resubmit(db, session_id, "t1")


@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_session_that_ended_is_not_submitted_again(
    db: Database, bystander: UUID, status: str
) -> None:
    session_id = submitted(db)
    end_session(db, session_id, status)

    assert not allow_resubmit(db, session_id, "t1")

    assert charges(db, session_id) == {"t1": False}  # which is known all the same
    assert claim_of(db, session_id) is not None


@pytest.mark.parametrize("status", ["success", "failed"])
def test_what_was_submitted_once_more_and_ended_is_not_submitted_again(
    db: Database, bystander: UUID, status: str
) -> None:
    session_id = submitted(db)
    allow_resubmit(db, session_id, "t1")
    submitted(db, "t2", session_id)
    end_session(db, session_id, status)

    assert not allow_resubmit(db, session_id, "t1")


def test_a_session_that_is_gone_is_not_submitted_again(db: Database, bystander: UUID) -> None:
    session_id = submitted(db)
    db.execute("delete from try_on_history where id = %s", [session_id])

    assert not allow_resubmit(db, session_id, "t1")
    assert charges(db, session_id) == {"t1": False}


def test_anothers_task_says_nothing_of_this_session(db: Database) -> None:
    session_id, other = submitted(db, "t1"), submitted(db, "t2")

    allow_resubmit(db, session_id, "t2")

    assert charges(db, session_id) == {"t1": None}
    assert charges(db, other) == {"t2": None}
    assert claim(db, session_id)[0] == claim(db, other)[0] == "task"


def test_what_is_known_to_be_charged_stays_so(db: Database) -> None:
    session_id = make_session(db)
    make_submit(db, session_id=session_id, task_id="t1", charged=True)

    allow_resubmit(db, session_id, "t1")

    assert charges(db, session_id) == {"t1": True}


def test_a_claim_that_could_not_be_given_up_is_no_leave_to_submit(db: Database) -> None:
    session_id = submitted(db)
    db.execute(
        "create function pg_temp.keep() returns trigger language plpgsql"
        " as 'begin return null; end'"
    )
    db.execute(
        "create trigger keep before delete on provider_tasks"
        " for each row execute function pg_temp.keep()"
    )

    assert not allow_resubmit(db, session_id, "t1")
