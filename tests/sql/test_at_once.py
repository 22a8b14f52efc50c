"""What holds however many ask at once: limits, keys, claims. Here transactions are committed."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from time import sleep
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from sql.rows import (
    Database,
    allow_resubmit,
    claim,
    create,
    end_session,
    make_claim,
    make_session,
    make_submit,
    make_user,
    one,
    record,
    values,
)

Answer = TypeVar("Answer")
Connect = Callable[[], Database]


def at_once(several: Connect, count: int, call: Callable[[Database, int], Answer]) -> list[Answer]:
    """Call on so many connections at the same moment."""
    connections, start = [several() for _ in range(count)], Barrier(count)

    def call_one(number: int) -> Answer:
        start.wait(10)
        return call(connections[number], number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call_one, range(count)))


def behind(
    several: Connect, first: Callable[[Database], object], second: Callable[[Database], Answer]
) -> tuple[bool, Answer]:
    """Call `second` while the transaction of `first` is open: whether it waits, and its answer."""
    before, after = several(), several()
    with ThreadPoolExecutor(1) as thread:
        with before.transaction():
            first(before)
            answer = thread.submit(second, after)
            waits = _waits(before, after.info.backend_pid, answer)
        return waits, answer.result()


def _waits(db: Database, pid: int, answer: Future[Answer]) -> bool:
    while not answer.done():
        if one(db, "select cardinality(pg_blocking_pids(%s)) > 0", pid):
            return True
        sleep(0.001)
    return False


# -- create_session --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "refusal"), [("unfinished", "unfinished"), ("per_day", "quota"), ("waiting", "busy")]
)
def test_the_limits_of_a_user_are_exact(several: Connect, limit: str, refusal: str) -> None:
    user_id = make_user(several())
    limits = {limit: 3}

    answers = at_once(
        several,
        20,
        lambda db, _: create(db, user_id, **limits)[0],  # type: ignore[arg-type]
    )

    assert Counter(answers) == {"created": 3, refusal: 17}
    assert one(several(), "select count(*) from try_on_history") == 3


def test_one_key_starts_one_session(several: Connect) -> None:
    user_id = make_user(several())

    answers = at_once(several, 20, lambda db, _: create(db, user_id, key="k"))

    assert Counter(result for result, _ in answers) == {"created": 1, "replay": 19}
    (session_id,) = {session_id for _, session_id in answers}
    assert values(several(), "select id from try_on_history") == [session_id]


def test_a_user_waits_for_their_own_requests(several: Connect) -> None:
    user_id = make_user(several())

    waited, answer = behind(
        several,
        lambda db: create(db, user_id, unfinished=1),
        lambda db: create(db, user_id, unfinished=1),
    )

    assert (waited, answer) == (True, ("unfinished", None))


def test_no_user_waits_for_another(several: Connect) -> None:
    user_id, other = make_user(several()), make_user(several())

    waited, answer = behind(
        several, lambda db: create(db, user_id, key="k"), lambda db: create(db, other, key="k")
    )

    assert (waited, answer[0]) == (False, "created")


# -- claim_submit ----------------------------------------------------------------------------------


def test_the_days_cap_is_exact(several: Connect) -> None:
    db = several()
    sessions = [make_session(db) for _ in range(30)]
    make_submit(db)

    answers = at_once(several, 30, lambda db, number: claim(db, sessions[number], cap=8)[0])

    assert Counter(answers) == {"claimed": 7, "capped": 23}
    assert one(db, "select paid_today()") == 8


def test_with_a_cap_one_claim_waits_for_another(several: Connect) -> None:
    first, second = (make_session(several()) for _ in range(2))

    waited, answer = behind(
        several, lambda db: claim(db, first, cap=1), lambda db: claim(db, second, cap=1)
    )

    assert (waited, answer) == (True, ("capped", 0))


def test_without_a_cap_claims_of_two_sessions_do_not_wait(several: Connect) -> None:
    first, second = (make_session(several()) for _ in range(2))

    waited, answer = behind(several, lambda db: claim(db, first), lambda db: claim(db, second))

    assert (waited, answer) == (False, ("claimed", 0))


def test_one_of_many_attempts_gets_the_claim(several: Connect) -> None:
    session_id = make_session(several())

    answers = at_once(several, 10, lambda db, _: claim(db, session_id)[0])

    assert Counter(answers) == {"claimed": 1, "held": 9}
    assert one(several(), "select count(*) from submits") == 1


def test_the_same_attempt_may_ask_twice_at_once(several: Connect) -> None:
    session_id, attempt = make_session(several()), uuid4()

    waited, answer = behind(
        several,
        lambda db: claim(db, session_id, attempt),
        lambda db: claim(db, session_id, attempt)[0],
    )

    assert (waited, answer) == (True, "claimed")


@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_claim_waits_for_who_is_ending_the_session(several: Connect, status: str) -> None:
    session_id = make_session(several())

    waited, answer = behind(
        several,
        lambda db: end_session(db, session_id, status),
        lambda db: claim(db, session_id),
    )

    assert (waited, answer) == (True, ("ended", 0))


def test_a_session_that_is_being_claimed_is_deleted_with_its_claim(several: Connect) -> None:
    session_id = make_session(several())
    delete = "delete from try_on_history where id = %s"

    waited, _ = behind(
        several,
        lambda db: claim(db, session_id),
        lambda db: db.execute(delete, [session_id]),
    )

    assert waited
    assert one(several(), "select count(*) from provider_tasks") == 0
    assert values(several(), "select outcome from submits") == ["open"]


# -- outcomes --------------------------------------------------------------------------------------


def test_the_first_of_two_outcomes_of_an_attempt_stays(several: Connect) -> None:
    session_id, attempt = make_session(several()), uuid4()
    claim(several(), session_id, attempt)

    waited, _ = behind(
        several,
        lambda db: record(db, attempt, "accepted", "t1"),
        lambda db: record(db, attempt, "not_accepted"),
    )

    assert waited
    assert one(several(), "select outcome from submits") == "accepted"
    assert claim(several(), session_id)[0] == "task"


def submitted(db: Database) -> UUID:
    """A session with a task, t1."""
    session_id = make_session(db)
    attempt = make_submit(db, session_id=session_id, task_id="t1")
    make_claim(db, session_id, attempt, "t1")
    return session_id


def test_two_runs_that_ask_for_a_resubmit_make_one(several: Connect) -> None:
    session_id = submitted(several())

    def resubmit(db: Database) -> tuple[bool, str]:
        return allow_resubmit(db, session_id, "t1"), claim(db, session_id)[0]

    answers = at_once(several, 10, lambda db, _: resubmit(db))

    assert Counter(answers) == {(True, "claimed"): 1, (True, "held"): 9}
    assert one(several(), "select count(*) from submits") == 2
