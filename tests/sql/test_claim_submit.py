"""claim_submit: who may make the paid call for a session."""

from uuid import uuid4

import pytest
from sql.rows import (
    Database,
    allow_resubmit,
    claim,
    end_session,
    make_session,
    make_submit,
    make_user,
    one,
    record,
    values,
)

CLAIMS = "select session_id, attempt, provider, task_id, status_url from provider_tasks"
LEDGER = "select attempt, session_id, user_id, outcome, provider, task_id, charged from submits"


def test_a_claim_is_in_the_ledger_before_anything_is_submitted(db: Database) -> None:
    user_id, attempt = make_user(db), uuid4()
    session_id = make_session(db, user_id)

    assert claim(db, session_id, attempt) == ("claimed", 0)

    assert values(db, CLAIMS) == [(session_id, attempt, None, None, None)]
    assert values(db, LEDGER) == [(attempt, session_id, user_id, "open", None, None, None)]
    assert one(db, "select at = now() from submits")


def test_one_attempt_has_the_claim_and_may_ask_again(db: Database) -> None:
    session_id, attempt = make_session(db), uuid4()
    claim(db, session_id, attempt)

    assert claim(db, session_id)[0] == "held"
    assert claim(db, session_id, attempt)[0] == "claimed"
    assert values(db, "select attempt from submits") == [attempt]


def test_the_age_of_a_claim_is_told_in_seconds(db: Database) -> None:
    session_id, attempt = make_session(db), uuid4()
    claim(db, session_id, attempt)
    db.execute("update submits set at = clock_timestamp() - interval '90 s'")

    assert claim(db, session_id) == ("held", pytest.approx(90, abs=5))
    assert claim(db, session_id, attempt) == ("claimed", pytest.approx(90, abs=5))


def test_a_claim_is_of_one_session(db: Database) -> None:
    first, second = make_session(db), make_session(db)

    assert claim(db, first)[0] == "claimed"
    assert claim(db, second)[0] == "claimed"


def test_the_age_is_that_of_the_claims_attempt(db: Database) -> None:
    first, second, attempt = make_session(db), make_session(db), uuid4()
    claim(db, first)
    db.execute("update submits set at = now() - interval '1 hour'")
    claim(db, second, attempt)

    assert claim(db, second) == ("held", pytest.approx(0, abs=5))


def test_a_task_is_told_to_everybody(db: Database) -> None:
    session_id, attempt = make_session(db), uuid4()
    claim(db, session_id, attempt)
    record(db, attempt, "accepted", "t1")

    assert claim(db, session_id) == ("task", 0)
    assert claim(db, session_id, attempt) == ("task", 0)
    assert one(db, "select count(*) from submits") == 1


@pytest.mark.parametrize("status", ["queued", "success", "failed"])
def test_only_a_session_that_is_processing_may_be_submitted(db: Database, status: str) -> None:
    make_session(db)
    session_id = make_session(db, status=status)

    assert claim(db, session_id) == ("ended", 0)
    assert claim(db, session_id, cap=9) == ("ended", 0)
    assert values(db, LEDGER) == []


def test_a_session_that_is_gone_may_not_be_submitted(db: Database) -> None:
    make_session(db)

    assert claim(db, uuid4()) == ("ended", 0)
    assert values(db, LEDGER) == []


@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_session_that_ended_is_ended_for_who_had_the_claim_too(db: Database, status: str) -> None:
    session_id, attempt = make_session(db), uuid4()
    claim(db, session_id, attempt)

    end_session(db, session_id, status)

    assert claim(db, session_id, attempt) == ("ended", 0)


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_the_cap_is_reached_exactly(db: Database, cap: int) -> None:
    for _ in range(cap - 1):
        make_submit(db)
    make_submit(db, outcome="not_accepted")
    first, second = make_session(db), make_session(db)

    assert claim(db, first, cap=cap)[0] == "claimed"
    assert claim(db, second, cap=cap) == ("capped", 0)
    assert one(db, "select count(*) from provider_tasks") == 1
    assert claim(db, second)[0] == "claimed"  # 0 switches it off


def test_a_claim_or_a_task_of_before_is_told_though_the_cap_is_reached(db: Database) -> None:
    session_id, attempt = make_session(db), uuid4()
    claim(db, session_id, attempt, cap=1)

    assert claim(db, session_id, attempt, cap=1)[0] == "claimed"
    assert claim(db, session_id, cap=1)[0] == "held"
    record(db, attempt, "accepted", "t1")
    assert claim(db, session_id, cap=1)[0] == "task"


def test_a_submit_that_was_not_accepted_may_be_made_again(db: Database) -> None:
    session_id, first = make_session(db), uuid4()
    claim(db, session_id, first, cap=1)

    record(db, first, "not_accepted")

    assert claim(db, session_id, cap=1)[0] == "claimed"
    assert values(db, "select outcome from submits order by outcome") == ["not_accepted", "open"]


def test_a_session_is_submitted_twice_at_most(db: Database) -> None:
    session_id = make_session(db)
    for task_id, again in (("t1", True), ("t2", False)):
        attempt = uuid4()
        assert claim(db, session_id, attempt)[0] == "claimed"
        record(db, attempt, "accepted", task_id)
        assert allow_resubmit(db, session_id, task_id) is again

    assert claim(db, session_id)[0] == "task"
    assert values(db, "select charged from submits") == [False, False]
