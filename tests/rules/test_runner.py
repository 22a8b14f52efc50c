"""The rules of a run: whatever happens, a session ends, and is paid for once at most.

What each fault, crash, delete and outage leads to: what its row holds, what polls are told, what
the ledger says, and what lies in the bucket. The waits in between are those of `WAITS`.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fakes import RESULT_URL, START, FakeProvider, World

from vton.adapters.redis.status_cache import UNFINISHED_SECONDS
from vton.errors import CATALOGUE
from vton.tryon.model import ProviderTask, SessionState, Status
from vton.tryon.ports.database import Outcome
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PaymentRequired,
    PermanentError,
    Progress,
    ResultLapsed,
    RetryableError,
    TaskNotFound,
)
from vton.tryon.ports.queue import TypicalDurations
from vton.tryon.ports.storage import PictureMissing, PictureRefused
from vton.tryon.retries import Interrupted

RUNNING, DONE = Progress(), Progress(RESULT_URL)
FAILED = Progress(failure="provider_failed")
NOT_CHARGED = Progress(failure="provider_failed", charged=False)
NOT_FOUND = TaskNotFound("404")
AWAY = RetryableError("503")
OTHER_FORM = Inputs("photo", "garment", "the other form")


class Crash(BaseException):
    """Ends a run as the end of its process would, but for the handlers on its way."""


@pytest.fixture
def world() -> World:
    """Everything, in memory."""
    return World()


def run(world: World) -> str:
    """Run a new session. Return its id."""
    session_id = world.start()
    world.runner.run(session_id)
    return session_id


def with_task(world: World, task: ProviderTask | None = None) -> str:
    """Start a session whose run has submitted and ended then. Return its id."""
    session_id = world.start()
    world.database.claim(session_id)
    world.database.claim_submit(session_id, f"first run of {session_id}", 0)
    world.database.record_outcome(
        f"first run of {session_id}",
        Outcome.ACCEPTED,
        task or ProviderTask("fake", "task-0", None),
    )
    return session_id


def assert_succeeded(world: World, session_id: str) -> None:
    """A session is a success in its row, in the bucket, in the ledger, and to polls."""
    session, told = world.session(session_id), world.told(session_id)
    assert (session.status, session.result) == (Status.SUCCESS, session.result_path)
    assert (session.error_code, session.error_message) == (None, None)
    assert world.bucket.objects[session.result_path] == b"png"
    assert world.outcomes(session_id).count("accepted") == 1
    assert told == SessionState(Status.SUCCESS)


def assert_failed(world: World, session_id: str, code: str) -> None:
    """A session failed with a code in its row and to polls, and there is no picture."""
    session, told = world.session(session_id), world.told(session_id)
    message = CATALOGUE[code].message
    assert (session.status, session.error_code) == (Status.FAILED, code)
    assert session.error_message == message
    assert told == SessionState(Status.FAILED, code)
    assert session.result is None
    assert session.result_path not in world.bucket.objects


def test_a_run_ends_in_a_picture(world: World) -> None:
    session_id = world.start()

    world.runner.run(session_id)

    session = world.session(session_id)
    assert (session.status, session.result) == (Status.SUCCESS, session.result_path)
    assert world.bucket.objects[session.result_path] == b"png"
    assert world.outcomes(session_id) == ["accepted"]
    assert [state.status for state in world.polls.told] == [Status.PROCESSING, Status.SUCCESS]


# -- what each fault leads to ----------------------------------------------------------------


def refused(code: str) -> PermanentError:
    """An answer of the provider that no repetition can help."""
    return PermanentError(code, "an answer of the provider")


FAULTS: dict[str, tuple[str, list[Any], str, list[str]]] = {
    "submit: away": ("submit", [AWAY], "success", ["not_accepted", "accepted"]),
    "submit: another form": (
        "submit", [FormRefused("field", OTHER_FORM)], "success", ["not_accepted", "accepted"],
    ),
    "submit: neither form": (
        "submit", [FormRefused("field", OTHER_FORM), refused("photo_rejected")],
        "photo_rejected", ["not_accepted"] * 2,
    ),
    "submit: no money": (
        "submit", [PaymentRequired("402")], "success", ["not_accepted", "accepted"],
    ),
    "submit: never any money": (
        "submit", [PaymentRequired("402")] * 99, "deadline_exceeded", ["not_accepted"] * 5,
    ),  # the last was claimed too late, and not made
    "submit: no key": (
        "submit", [refused("provider_unavailable")], "provider_unavailable", ["not_accepted"],
    ),
    "submit: photo refused": (
        "submit", [refused("photo_rejected")], "photo_rejected", ["not_accepted"],
    ),
    "submit: timeout": (
        "submit", [refused("provider_uncertain")], "provider_uncertain", ["uncertain"],
    ),
    "submit: a bug": ("submit", [RuntimeError("bug")], "interrupted", ["uncertain"]),
    "poll: running": ("poll", [RUNNING, RUNNING, DONE], "success", ["accepted"]),
    "poll: away": ("poll", [AWAY] * 9 + [DONE], "success", ["accepted"]),
    "poll: away for ever": ("poll", [AWAY] * 99, "deadline_exceeded", ["accepted"]),
    "poll: running for ever": ("poll", [RUNNING] * 999, "deadline_exceeded", ["accepted"]),
    "poll: unknown at first": ("poll", [NOT_FOUND, DONE], "success", ["accepted"]),
    "poll: unknown for ever": ("poll", [NOT_FOUND] * 99, "provider_failed", ["accepted"]),
    "poll: no key": (
        "poll", [refused("provider_unavailable")], "provider_unavailable", ["accepted"],
    ),
    "poll: failed": ("poll", [FAILED, DONE], "provider_failed", ["accepted"]),
    "poll: photo refused": (
        "poll", [Progress(failure="photo_rejected"), DONE], "photo_rejected", ["accepted"],
    ),
    "poll: no picture": (
        "poll", [Progress(failure="result_unusable"), DONE], "result_unusable", ["accepted"],
    ),
    "poll: ERROR": ("poll", [NOT_CHARGED, RUNNING, DONE], "success", ["accepted"] * 2),
    "poll: ERROR twice": ("poll", [NOT_CHARGED] * 2, "provider_failed", ["accepted"] * 2),
    "poll: ERROR, then photo refused": (
        "poll", [NOT_CHARGED, Progress(failure="photo_rejected", charged=False)],
        "photo_rejected", ["accepted"] * 2,
    ),
    "poll: a bug": ("poll", [RuntimeError("bug")], "interrupted", ["accepted"]),
    "result: away": ("download", [AWAY] * 7, "success", ["accepted"]),
    "result: away for ever": ("download", [AWAY] * 99, "deadline_exceeded", ["accepted"]),
    "result: no picture": (
        "download", [refused("result_unusable")], "result_unusable", ["accepted"],
    ),
    "result: away, then no picture": (
        "download", [AWAY, refused("result_unusable")], "result_unusable", ["accepted"],
    ),
    "result: a bug": ("download", [RuntimeError("bug")], "interrupted", ["accepted"]),
}  # fmt: skip


def set_answers(world: World, call: str, answers: list[Any]) -> None:
    """Have the provider's next calls answer so."""
    name = {"submit": "submit_answers", "poll": "poll_answers", "download": "downloads"}[call]
    setattr(world.provider, name, list(answers))


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_fault_of_the_provider_leads_to(world: World, name: str) -> None:
    call, answers, end, ledger = FAULTS[name]
    set_answers(world, call, answers)

    session_id = run(world)

    if end == "success":
        session = world.session(session_id)
        assert (session.status, session.result) == (Status.SUCCESS, session.result_path)
        assert world.bucket.objects[session.result_path] == b"png"
        assert world.told(session_id) == SessionState(Status.SUCCESS)
    else:
        assert_failed(world, session_id, end)
    assert len(world.provider.submitted) == len(ledger) - (name == "submit: never any money")
    assert world.outcomes(session_id) == ledger
    assert [state.status for state in world.polls.told[:-1]] == [Status.PROCESSING]


def test_a_small_picture_is_stored_beside_the_result(world: World) -> None:
    world.photos.makes_thumbnails = True

    session = world.session(run(world))

    path = f"try-on-results/{session.user_id}/{session.id}_result_thumbnail.webp"
    assert world.bucket.objects[path] == b"small png"
    assert world.tryons.with_urls([session])[0].thumbnail_url is not None
    world.tryons.delete(session.user_id, session.id)
    assert world.bucket.objects == {}


def test_without_a_small_picture_a_try_on_is_a_success_all_the_same(world: World) -> None:
    world.photos.makes_thumbnails = True
    world.spoil("pictures.put", lambda: None, times=2)  # the photo, and the result
    world.spoil("pictures.put")

    session = world.session(run(world))

    assert session.status is Status.SUCCESS
    assert world.tryons.with_urls([session])[0].thumbnail_url is None


def test_a_small_picture_of_a_failure_goes_with_the_result(world: World) -> None:
    world.photos.makes_thumbnails = True
    session_id = world.start()
    world.spoil("sessions.succeed", lambda: world.database.fail(session_id, "deadline_exceeded"))

    world.runner.run(session_id)

    assert [path for path in world.bucket.objects if "result" in path] == []


# -- the wait for the result -----------------------------------------------------------------


def poll_times(world: World, count: int) -> list[float]:
    """Return a list that each of the next `count` polls adds its time to."""
    times: list[float] = []
    world.spoil("vendor.poll", lambda: times.append(world.clock.seconds), times=count)
    return times


def test_a_task_is_polled_five_seconds_after_its_submit_and_every_three_then(world: World) -> None:
    world.provider.takes = 15
    times = poll_times(world, 20)

    session_id = run(world)

    assert times == [5, 8, 11, 14, 17]
    assert set(world.provider.polled) == {ProviderTask("fake", "task-1", None)}
    assert_succeeded(world, session_id)


@pytest.mark.parametrize(("count", "end"), [(1, True), (10, True), (11, True), (12, False)])
def test_a_task_may_be_unknown_for_half_a_minute(world: World, count: int, end: bool) -> None:
    """It is asked for every three seconds, the eleventh time 30 s after the first."""
    world.provider.poll_answers = [NOT_FOUND] * count + [DONE]

    session_id = run(world)

    if end:
        assert_succeeded(world, session_id)
        assert world.clock.seconds == 5 + 3 * count
    else:
        assert_failed(world, session_id, "provider_failed")
        assert world.clock.seconds == 5 + 33
    assert len(world.provider.submitted) == 1


def test_an_outage_does_not_count_as_not_knowing_the_task(world: World) -> None:
    world.provider.poll_answers = [*[AWAY] * 8, NOT_FOUND, DONE]  # more than a minute away

    assert_succeeded(world, run(world))
    assert world.clock.seconds > 60


def test_a_task_that_becomes_unknown_once_more_has_half_a_minute_again(world: World) -> None:
    world.provider.poll_answers = [*[NOT_FOUND] * 10, RUNNING, *[NOT_FOUND] * 10, DONE]

    assert_succeeded(world, run(world))


@pytest.mark.parametrize("asked", [None, 0.5, 7.0, 45.0])
def test_a_poll_that_fails_is_repeated_when_the_provider_says(
    world: World, asked: float | None
) -> None:
    world.provider.poll_answers = [RetryableError("429", asked), DONE]
    times = poll_times(world, 2)

    run(world)

    assert times == [5, 5 + (asked or 1)]


def test_polls_that_work_begin_the_pauses_anew(world: World) -> None:
    world.provider.poll_answers = [AWAY, AWAY, RUNNING, AWAY, DONE]
    times = poll_times(world, 5)

    run(world)

    assert times == [5, 6, 8, 11, 12]


def test_a_task_that_was_not_charged_is_made_again_and_the_new_one_polled(world: World) -> None:
    world.provider.poll_answers = [NOT_CHARGED]
    times = poll_times(world, 20)

    session_id = run(world)

    assert times[:3] == [5, 10, 13]
    assert [task.id for task in world.provider.polled[:3]] == ["task-1", "task-2", "task-2"]
    rows = [(s.task_id, s.charged) for s in world.database.ledger.values()]
    assert rows == [("task-1", False), ("task-2", None)]
    assert world.database.tasks[session_id].id == "task-2"
    assert world.session(session_id).status is Status.SUCCESS


@pytest.mark.parametrize("failure", [FAILED, Progress(failure="photo_rejected")])
def test_a_task_that_was_charged_is_not_made_again(world: World, failure: Progress) -> None:
    world.provider.poll_answers = [failure]
    world.spoil("sessions.allow_one_resubmit", AssertionError("it was charged"))

    session_id = run(world)

    assert world.session(session_id).error_code == failure.failure
    assert [s.charged for s in world.database.ledger.values()] == [None]
    assert len(world.provider.submitted) == 1


def test_a_task_that_was_not_charged_is_not_made_again_for_a_session_that_ended(
    world: World,
) -> None:
    session_id = world.start()
    world.provider.poll_answers = [NOT_CHARGED]
    world.spoil("vendor.poll", lambda: world.database.fail(session_id, "deadline_exceeded"))

    world.runner.run(session_id)

    assert world.session(session_id).error_code == "deadline_exceeded"
    assert len(world.provider.submitted) == 1
    assert [state.status for state in world.polls.told] == [Status.PROCESSING]


# -- the result ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "at"),
    [([], 5), ([AWAY], 6), ([AWAY] * 4, 20), ([RetryableError("429", 40.0)], 45)],
)
def test_a_result_is_fetched_from_the_url_of_the_task_until_it_is_there(
    world: World, answers: list[Any], at: float
) -> None:
    world.provider.takes = 0
    world.provider.downloads = [*answers, b"the picture"]

    session_id = run(world)

    assert world.provider.downloaded == [RESULT_URL] * (len(answers) + 1)
    assert len(world.provider.polled) == 1
    assert world.bucket.objects[world.session(session_id).result_path] == b"the picture"
    assert world.clock.seconds == at


def test_a_result_is_stored_as_a_png(world: World) -> None:
    session_id = run(world)

    session = world.session(session_id)
    assert world.bucket.content_types[session.result_path] == "image/png"
    assert session.result == f"try-on-results/{world.user_id}/{session_id}_result.png"


def test_a_result_replaces_that_of_an_earlier_run(world: World) -> None:
    session_id = world.start()
    world.bucket.objects[world.session(session_id).result_path] = b"half a png"

    world.runner.run(session_id)

    assert_succeeded(world, session_id)


@pytest.mark.parametrize("away", [0, 2])
def test_a_result_that_the_storage_will_never_take_is_unusable(world: World, away: int) -> None:
    session_id = world.start()
    world.spoil("pictures.put", times=away)
    world.spoil("pictures.put", PictureRefused("too large"), times=99)

    world.runner.run(session_id)

    assert_failed(world, session_id, "result_unusable")
    assert world.clock.seconds < 30
    assert world.outcomes(session_id) == ["accepted"]


def test_a_session_is_no_success_before_its_result_is_stored(world: World) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    seen: list[tuple[str, Status, bool, Status]] = []

    def note(call: str) -> Callable[[], None]:
        def look() -> None:
            told = world.told(session_id)
            assert told
            row = world.session(session_id).status
            seen.append((call, row, path in world.bucket.objects, told.status))

        return look

    for call in ("vendor.download_result", "pictures.put", "sessions.succeed"):
        world.spoil(call, note(call))

    world.runner.run(session_id)

    processing = Status.PROCESSING
    assert seen == [
        ("vendor.download_result", processing, False, processing),
        ("pictures.put", processing, False, processing),
        ("sessions.succeed", processing, True, processing),
    ]
    assert_succeeded(world, session_id)


# -- a run that takes over -------------------------------------------------------------------


@pytest.mark.parametrize(("takes", "looks"), [(0, 1), (5, 1), (6, 2), (20, 6)])
def test_it_is_noted_how_often_the_provider_was_asked(
    world: World, takes: float, looks: int
) -> None:
    world.provider.takes = takes
    session_id = world.start()

    world.runner.run(session_id)

    assert world.database.looks == {session_id: looks}


def test_the_looks_of_one_that_failed_are_noted_too(world: World) -> None:
    world.provider.poll_answers = [RUNNING, RUNNING, FAILED]
    session_id = world.start()

    world.runner.run(session_id)

    assert world.database.looks == {session_id: 3}


def test_a_run_that_finds_a_task_polls_it_at_once_and_pays_nothing(world: World) -> None:
    session_id = with_task(world)
    world.provider.takes = 0

    world.runner.run(session_id)

    assert_succeeded(world, session_id)
    assert world.clock.seconds == 0
    assert world.provider.prepared == []
    assert world.provider.submitted == []


def test_a_run_that_finds_a_task_needs_neither_garment_nor_photo_nor_breaker(world: World) -> None:
    session_id = with_task(world)
    world.database.garments.clear()
    world.bucket.objects.clear()
    world.circuit_breaker.open_until = 1000

    world.runner.run(session_id)

    assert_succeeded(world, session_id)


def test_a_picture_that_is_there_is_delivered_also_after_the_deadline(world: World) -> None:
    session_id = with_task(world)
    world.clock.sleep(700)

    world.runner.run(session_id)

    assert_succeeded(world, session_id)


def test_a_task_is_polled_at_the_provider_that_has_it(world: World) -> None:
    earlier = FakeProvider(world.clock, name="earlier", downloads=[b"png of the earlier one"])
    world.runner = replace(world.runner, providers={"fake": world.vendor, "earlier": earlier})
    session_id = with_task(world, ProviderTask("earlier", "t1", "https://earlier.example/t1"))

    world.runner.run(session_id)

    path = world.session(session_id).result_path
    assert world.bucket.objects[path] == b"png of the earlier one"
    assert set(earlier.polled) == {ProviderTask("earlier", "t1", "https://earlier.example/t1")}
    assert world.provider.polled == world.provider.downloaded == []


def test_a_task_of_a_provider_that_we_do_not_know_any_more_fails(world: World) -> None:
    session_id = with_task(world, ProviderTask("gone", "t1", None))

    world.runner.run(session_id)

    assert_failed(world, session_id, "provider_failed")
    assert world.provider.polled == world.provider.submitted == []


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED])
def test_a_session_that_has_ended_is_left_alone(world: World, status: Status) -> None:
    session_id = world.start()
    world.database._update(session_id, status=status)
    before = world.session(session_id)

    world.runner.run(session_id, lambda *_: pytest.fail("there is no step to report"))

    assert world.session(session_id) == before
    assert world.polls.told == world.polls.durations == []
    assert world.provider.prepared == []


def test_a_session_that_is_gone_is_left_alone(world: World) -> None:
    world.runner.run("gone")

    assert world.polls.told == world.polls.durations == []
    assert world.provider.prepared == []


# -- what polls and the queue are told -------------------------------------------------------


def test_polls_are_told_when_a_session_was_made_and_when_it_began(world: World) -> None:
    session_id = world.start()
    world.clock.sleep(7)

    world.runner.run(session_id)

    at = START.timestamp()
    assert world.polls.told == [
        SessionState(Status.PROCESSING, queued_at=at, began_at=at + 7),
        SessionState(Status.SUCCESS),
    ]


def test_when_a_run_of_another_worker_began_is_not_known(world: World) -> None:
    session_id = with_task(world)
    world.clock.sleep(7)

    world.runner.run(session_id)

    assert world.polls.told[0] == SessionState(
        Status.PROCESSING, queued_at=START.timestamp(), began_at=None
    )


def test_polls_are_told_of_a_run_once_its_row_says_so(world: World) -> None:
    session_id = world.start()
    world.spoil("sessions.claim", times=3)
    seen: list[tuple[int, Status]] = []
    world.clock.after(8, lambda: seen.append((len(world.polls.told), Status.QUEUED)))
    world.spoil(
        "vendor.prepare",
        lambda: seen.append((len(world.polls.told), world.session(session_id).status)),
    )

    world.runner.run(session_id)

    assert seen == [(0, Status.QUEUED), (1, Status.PROCESSING)]


@pytest.mark.parametrize("wait", [0.0, 4.0, 100.0])
@pytest.mark.parametrize("takes", [0.0, 10.0, 50.0])
def test_how_long_a_whole_run_waited_and_took_is_recorded(
    world: World, wait: float, takes: float
) -> None:
    world.provider.takes = takes
    session_id = world.start()
    world.clock.sleep(wait)

    world.runner.run(session_id)

    assert world.polls.durations == [TypicalDurations(wait, world.clock.seconds - wait)]
    assert world.clock.seconds - wait >= takes


def not_whole(world: World, name: str) -> str:
    """Start a session whose run will not be one from the queue to a picture. Return its id."""
    if name == "taken over":
        return with_task(world)
    session_id = world.start()
    if name == "failed":
        world.provider.poll_answers = [FAILED]
    elif name == "broke":
        world.provider.poll_answers = [ValueError("bug")]
    elif name == "cancelled":
        world.clock.after(6, lambda: world.queue.cancel(session_id))
    elif name == "interrupted":
        world.clock.after(6, world.clock.stop)
    elif name == "overtaken":
        world.spoil("sessions.succeed", lambda: world.database.succeed(session_id, "path"))
    return session_id


@pytest.mark.parametrize(
    "name", ["taken over", "failed", "broke", "cancelled", "interrupted", "overtaken"]
)
def test_how_long_any_other_run_took_is_not(world: World, name: str) -> None:
    session_id = not_whole(world, name)

    try:
        world.runner.run(session_id)
    except Interrupted:
        assert name == "interrupted"

    assert world.polls.durations == []


SUBMITTING, FETCHING, STORING = ("submitting", None), ("fetching", None), ("storing", None)
FIRST, SECOND = ("waiting", "task-1"), ("waiting", "task-2")
STEPS: dict[str, tuple[str, list[Any], list[tuple[str, str | None]]]] = {
    "a plain run": ("poll", [], [SUBMITTING, FIRST, FIRST, FETCHING, STORING]),
    "two polls": (
        "poll", [RUNNING, DONE], [SUBMITTING, FIRST, FIRST, FIRST, FETCHING, STORING],
    ),
    "a second task": (
        "poll", [NOT_CHARGED, DONE],
        [SUBMITTING, FIRST, FIRST, SUBMITTING, SECOND, SECOND, FETCHING, STORING],
    ),
    "a result that is late": (
        "download", [AWAY], [SUBMITTING, FIRST, FIRST, FETCHING, FETCHING, STORING],
    ),
    "a submit that fails": ("submit", [refused("photo_rejected")], [SUBMITTING]),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_each_step_of_a_run_is_reported_in_order(world: World, name: str) -> None:
    call, given, expected = STEPS[name]
    world.provider.takes = 0
    set_answers(world, call, given)
    steps: list[tuple[str, str | None]] = []

    world.runner.run(world.start(), lambda step, task: steps.append((step, task)))

    assert steps == expected


def test_a_run_that_takes_over_reports_the_task_it_found(world: World) -> None:
    world.provider.takes = 0
    steps: list[tuple[str, str | None]] = []

    world.runner.run(with_task(world), lambda step, task: steps.append((step, task)))

    assert steps == [("waiting", "task-0"), FETCHING, STORING]


# -- crashes ---------------------------------------------------------------------------------

CALLS = [
    "sessions.claim", "vendor.prepare", "sessions.claim_submit", "vendor.submit",
    "sessions.record_outcome", "vendor.poll", "vendor.download_result", "pictures.put",
    "sessions.succeed",
]  # fmt: skip
"""What a run calls, in its order."""
POINTS = [(call, after) for call in CALLS for after in (False, True)]
CLAIM_ONLY = [
    ("sessions.claim_submit", True),
    ("vendor.submit", False),
    ("vendor.submit", True),
    ("sessions.record_outcome", False),
]
"""Crashes that leave a claim without a task: whether the submit is paid for is not known."""


def crash(world: World, session_id: str, call: str, after: bool) -> None:
    """Run a session into a crash, and wait until what it claimed is nobody's any more."""
    world.spoil(call, Crash(), after=after)
    with pytest.raises(Crash):
        world.runner.run(session_id)
    world.clock.sleep(26)


@pytest.mark.parametrize(("call", "after"), POINTS)
def test_after_a_crash_another_run_ends_the_session_without_paying_again(
    world: World, call: str, after: bool
) -> None:
    session_id = world.start()
    crash(world, session_id, call, after)
    submits, stopped_at = len(world.provider.submitted), world.session(session_id).status
    uncertain = (call, after) in CLAIM_ONLY
    assert uncertain == (
        session_id in world.database.claims and session_id not in world.database.tasks
    )

    world.runner.run(session_id)

    if uncertain:
        assert_failed(world, session_id, "provider_uncertain")
        assert world.outcomes(session_id) in (["open"], ["uncertain"])
        assert len(world.provider.submitted) == submits
    elif stopped_at is Status.SUCCESS:
        assert world.session(session_id).status is Status.SUCCESS
        assert world.polls.told[-1].status is Status.PROCESSING  # the run had no time to say more
    else:
        assert_succeeded(world, session_id)
        assert len(world.provider.submitted) == 1
    assert len(world.provider.submitted) <= 1


@pytest.mark.parametrize("second", POINTS)
@pytest.mark.parametrize("first", POINTS)
def test_nor_do_two_crashes_make_a_session_pay_twice(
    world: World, first: tuple[str, bool], second: tuple[str, bool]
) -> None:
    session_id = world.start()
    crash(world, session_id, *first)
    world.spoil(second[0], Crash(), after=second[1])
    try:
        world.runner.run(session_id)  # does not get there if the first one got further
    except Crash:
        world.clock.sleep(26)
    for port in (world.sessions, world.pictures, world.vendor):
        port._spoiled.clear()
    claim_only = session_id in world.database.claims and session_id not in world.database.tasks

    world.runner.run(session_id)

    session = world.session(session_id)
    assert (session.error_code or session.status) == (
        "provider_uncertain" if claim_only else Status.SUCCESS
    )
    assert len(world.provider.submitted) <= 1
    assert len(world.outcomes(session_id)) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_in_the_middle_of_the_call_is_in_the_ledger_at_once(
    world: World, after: bool
) -> None:
    session_id = world.start()
    world.spoil("vendor.submit", Crash(), after=after)

    with pytest.raises(Crash):
        world.runner.run(session_id)

    assert world.outcomes(session_id) == ["uncertain"]
    assert world.session(session_id).status is Status.PROCESSING


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "call",
    ["sessions.allow_one_resubmit", "vendor.prepare", "sessions.claim_submit", "vendor.submit"],
)
def test_a_crash_of_the_second_submit_does_not_lead_to_a_third(
    world: World, call: str, after: bool
) -> None:
    session_id = world.start()
    world.provider.poll_answers = [NOT_CHARGED]
    world.spoil("vendor.poll", lambda: world.spoil(call, Crash(), after=after))
    with pytest.raises(Crash):
        world.runner.run(session_id)
    world.clock.sleep(26)
    if call == "sessions.allow_one_resubmit" and not after:
        world.provider.poll_answers = [NOT_CHARGED]  # the provider says so again
    claim_only = session_id in world.database.claims and session_id not in world.database.tasks

    world.runner.run(session_id)

    session = world.session(session_id)
    assert (session.error_code or session.status) == (
        "provider_uncertain" if claim_only else Status.SUCCESS
    )
    assert len(world.provider.submitted) <= 2
    assert world.outcomes(session_id)[0] == "accepted"
    assert len(world.outcomes(session_id)) == 2


# -- what is away ----------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 2, 6])
@pytest.mark.parametrize(
    "call",
    [
        "sessions.claim",
        "vendor.prepare",
        "sessions.claim_submit",
        "sessions.record_outcome",
        "pictures.put",
        "sessions.succeed",
    ],
)
def test_a_run_outlasts_what_is_away(world: World, call: str, times: int, after: bool) -> None:
    session_id = world.start()
    world.spoil(call, times=times, after=after)

    world.runner.run(session_id)

    session = world.session(session_id)
    assert (session.status, session.result) == (Status.SUCCESS, session.result_path)
    assert world.bucket.objects[session.result_path] == b"png"
    assert world.outcomes(session_id)[-1] == "accepted"  # behind a claim that was too old by then
    assert len(world.provider.submitted) == 1
    assert Status.FAILED not in {state.status for state in world.polls.told}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_resubmit_outlasts_what_is_away(world: World, times: int, after: bool) -> None:
    world.provider.poll_answers = [NOT_CHARGED]
    world.spoil("sessions.allow_one_resubmit", times=times, after=after)

    session_id = run(world)

    assert world.session(session_id).status is Status.SUCCESS
    assert len(world.provider.submitted) == 2


@pytest.mark.parametrize("times", [1, 2, 300])
@pytest.mark.parametrize(
    ("fault", "code"),
    [(PermanentError("photo_rejected", "400"), "photo_rejected"), (KeyError(), "interrupted")],
    ids=["refused", "a bug"],
)
def test_a_failure_is_written_as_soon_as_the_database_is_back(
    world: World, fault: Exception, code: str, times: int
) -> None:
    world.provider.submit_answers = [fault]
    world.spoil("sessions.fail", times=times)

    session_id = run(world)

    assert_failed(world, session_id, code)
    assert world.clock.seconds == 3 * times


def test_a_failure_whose_answer_is_lost_is_written_once(world: World) -> None:
    world.provider.submit_answers = [PermanentError("photo_rejected", "400")]
    world.spoil("sessions.fail", times=2, after=True)

    session_id = run(world)

    assert world.session(session_id).error_code == "photo_rejected"


@pytest.mark.parametrize("call", ["sessions.succeed", "sessions.status", "pictures.remove"])
def test_what_a_late_picture_needs_is_waited_for_past_the_deadline(world: World, call: str) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    if call != "sessions.succeed":
        world.spoil("sessions.succeed", lambda: world.database.fail(session_id, "interrupted"))
    world.spoil(call, times=300)

    world.runner.run(session_id)

    kept = call == "sessions.succeed"
    assert world.clock.seconds > 600
    assert world.session(session_id).status is (Status.SUCCESS if kept else Status.FAILED)
    assert (path in world.bucket.objects) == kept


@pytest.mark.parametrize(
    "call",
    ["sessions.claim", "sessions.succeed", "sessions.status", "pictures.remove", "sessions.fail"],
)
def test_who_waits_for_the_database_ends_with_the_process(world: World, call: str) -> None:
    session_id = world.start()
    if call in ("sessions.status", "pictures.remove"):
        world.spoil("sessions.succeed", lambda: world.database.fail(session_id, "interrupted"))
    if call == "sessions.fail":
        world.provider.poll_answers = [FAILED]
    world.spoil(call, times=1000)
    world.clock.after(50, world.clock.stop)

    with pytest.raises(Interrupted):
        world.runner.run(session_id)

    assert 50 <= world.clock.seconds <= 53
    told = {state.status for state in world.polls.told}
    assert told == (set() if call == "sessions.claim" else {Status.PROCESSING})


# -- what ends a wait ------------------------------------------------------------------------


def late_photo(world: World, session_id: str) -> None:
    """The photo is 45 s late."""
    world.spoil("vendor.prepare", PictureMissing(world.session(session_id).photo), times=15)


def another_run(world: World, session_id: str) -> None:
    """Another run has claimed the submit and has its task after 22 s."""
    world.database.claim(session_id)
    world.database.claim_submit(session_id, "another", 0)
    task = ProviderTask("fake", "task of the other run", None)
    world.clock.after(22, lambda: world.database.record_outcome("another", Outcome.ACCEPTED, task))


def slow_first_poll(world: World, session_id: str) -> None:
    """The first poll is a minute after the submit."""
    world.runner = replace(world.runner, submitter=replace(world.submitter, first_poll=60.0))


def not_charged(world: World, session_id: str) -> None:
    """A task ends ERROR, and the ledger is away."""
    world.provider.poll_answers = [NOT_CHARGED]
    world.spoil("sessions.allow_one_resubmit", times=8)


def storage_away(world: World, session_id: str) -> None:
    """The storage is away when the result is there."""
    world.provider.takes = 0
    world.spoil("pictures.put", times=8)


def breaker_open(world: World, session_id: str) -> None:
    """The circuit breaker is open for 40 s."""
    world.circuit_breaker.open_until = 40


def answers(call: str, *given: Any) -> Callable[[World, str], None]:
    """The provider's first calls answer so."""

    def set_up(world: World, session_id: str) -> None:
        world.provider.takes = 0
        set_answers(world, call, list(given))

    return set_up


WAITS: dict[str, Callable[[World, str], None]] = {
    "for the photo": late_photo,
    "for the pictures to be prepared": lambda w, _: w.spoil("vendor.prepare", times=8),
    "for the breaker": breaker_open,
    "for the ledger": lambda w, _: w.spoil("sessions.claim_submit", times=8),
    "for another run's submit": another_run,
    "to submit again": answers("submit", RetryableError("503", 100.0)),
    "for money": answers("submit", PaymentRequired("402")),
    "for the first poll": slow_first_poll,
    "between polls": answers("poll", *[RUNNING] * 10),
    "for a poll to be answered": answers("poll", RetryableError("503", 100.0)),
    "for the task to be known": answers("poll", *[NOT_FOUND] * 8),
    "to make an ERROR good": not_charged,
    "for the result": answers("download", RetryableError("503", 100.0)),
    "for the storage": storage_away,
}
"""All waits of a run within its session's deadline; each is on from the 7th to the 20th second."""


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("at", [7.0, 13.5])
def test_a_process_that_ends_leaves_its_session_to_the_next_one(
    world: World, wait: str, at: float
) -> None:
    session_id = world.start()
    WAITS[wait](world, session_id)
    world.clock.after(at, world.clock.stop)

    with pytest.raises(Interrupted):
        world.runner.run(session_id)

    assert at <= world.clock.seconds <= at + 3
    assert world.session(session_id).status is Status.PROCESSING
    assert [state.status for state in world.polls.told] == [Status.PROCESSING]
    world.clock.stopping = False
    world.runner.run(session_id)
    assert_succeeded(world, session_id)
    assert world.polls.told[-1].status is Status.SUCCESS


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("at", [7.0, 13.5])
def test_a_cancelled_session_is_left_within_three_seconds(
    world: World, wait: str, at: float
) -> None:
    session_id = world.start()
    WAITS[wait](world, session_id)
    world.clock.after(at, lambda: world.queue.cancel(session_id))

    world.runner.run(session_id)

    assert at <= world.clock.seconds <= at + 3
    assert world.session(session_id).status is Status.PROCESSING
    assert world.session(session_id).result_path not in world.bucket.objects
    assert [state.status for state in world.polls.told] == [Status.PROCESSING]


@pytest.mark.parametrize("wait", WAITS)
def test_a_deleted_session_leaves_nothing(world: World, wait: str) -> None:
    session_id = world.start()
    WAITS[wait](world, session_id)
    world.clock.after(10, lambda: world.tryons.delete(world.user_id, session_id))

    world.runner.run(session_id)

    assert 10 <= world.clock.seconds <= 13
    assert world.database.rows == world.bucket.objects == {}
    assert [state.status for state in world.polls.told] == [Status.PROCESSING]
    assert world.told(session_id) is None


@pytest.mark.parametrize("wait", WAITS)
def test_a_session_ends_at_its_deadline_whatever_it_waits_for(wait: str) -> None:
    world = World(deadline=20)
    session_id = world.start()
    WAITS[wait](world, session_id)

    world.runner.run(session_id)

    assert world.clock.seconds == 20
    assert_failed(world, session_id, "deadline_exceeded")
    submits = len(world.provider.submitted)
    world.clock.sleep(100)
    world.runner.run(session_id)
    assert len(world.provider.submitted) == submits <= 1


@pytest.mark.parametrize("late", [0.0, 1.0, 1000.0])
def test_a_session_that_comes_past_its_deadline_costs_nothing(world: World, late: float) -> None:
    session_id = world.start()
    world.clock.sleep(600 + late)

    world.runner.run(session_id)

    assert_failed(world, session_id, "deadline_exceeded")
    assert world.outcomes(session_id) == []


def test_a_process_that_is_to_end_begins_no_submit(world: World) -> None:
    session_id = world.start()
    world.clock.stop()

    with pytest.raises(Interrupted):
        world.runner.run(session_id)

    assert world.outcomes(session_id) == []
    assert world.session(session_id).status is Status.PROCESSING


# -- pictures and garments that are not there ------------------------------------------------


def test_a_garment_that_was_removed_costs_nothing(world: World) -> None:
    session_id = world.start()
    world.database.garments.clear()

    world.runner.run(session_id)

    assert_failed(world, session_id, "garment_missing")
    assert world.provider.prepared == []


@pytest.mark.parametrize(("late", "code"), [(0, None), (45, None), (57, None), (66, "interrupted")])
def test_a_photo_may_be_a_minute_late(world: World, late: int, code: str | None) -> None:
    session_id = world.start()
    photo = world.session(session_id).photo
    world.spoil("vendor.prepare", PictureMissing(photo), times=late // 3)

    world.runner.run(session_id)

    if code:
        assert_failed(world, session_id, code)
        assert world.outcomes(session_id) == []
    else:
        assert_succeeded(world, session_id)


def test_a_garments_picture_that_is_missing_fails_at_once(world: World) -> None:
    session_id = world.start()
    world.spoil("vendor.prepare", PictureMissing("garments/shirt.png"))

    world.runner.run(session_id)

    assert_failed(world, session_id, "garment_missing")
    assert world.clock.seconds == 0


def test_at_the_days_cap_a_session_fails_unpaid() -> None:
    world = World(paid_cap=1)
    first, second = run(world), run(world)

    assert_succeeded(world, first)
    assert_failed(world, second, "paid_cap_reached")
    assert world.outcomes(second) == []


# -- two runs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", ["vendor.poll", "vendor.download_result", "pictures.put", "sessions.succeed"]
)
@pytest.mark.parametrize("fault", [None, PermanentError("result_unusable", ""), ValueError("bug")])
def test_what_another_run_has_brought_to_success_stays_one(
    world: World, call: str, fault: Exception | None
) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path

    def overtake() -> None:
        world.bucket.objects[path] = b"png"
        world.database.succeed(session_id, path)
        world.polls.advance(world.user_id, session_id, SessionState(Status.SUCCESS))
        if fault:
            raise fault

    world.spoil(call, overtake)

    world.runner.run(session_id)

    assert_succeeded(world, session_id)
    first, *others = [state.status for state in world.polls.told]
    assert (first, set(others)) == (Status.PROCESSING, {Status.SUCCESS})


@pytest.mark.parametrize(
    "call", ["vendor.poll", "vendor.download_result", "pictures.put", "sessions.succeed"]
)
def test_the_picture_of_a_session_that_failed_meanwhile_is_removed(world: World, call: str) -> None:
    session_id = world.start()
    path = world.session(session_id).result_path
    world.spoil(call, lambda: world.database.fail(session_id, "deadline_exceeded"))

    world.runner.run(session_id)

    assert world.session(session_id).error_code == "deadline_exceeded"
    assert path not in world.bucket.objects
    assert [state.status for state in world.polls.told] == [Status.PROCESSING]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", CALLS[1:-1])
def test_the_picture_of_a_session_whose_row_is_gone_is_removed(
    world: World, call: str, after: bool
) -> None:
    """Its queue does not tell: Redis was away when the user deleted it."""
    session_id = world.start()
    path = world.session(session_id).result_path
    world.spoil(call, lambda: world.database.delete(session_id, world.user_id), after=after)

    world.runner.run(session_id)

    assert path not in world.bucket.objects
    assert [state.status for state in world.polls.told] == [Status.PROCESSING]


@pytest.mark.parametrize("answers", [[DONE], [FAILED]])
def test_polls_are_told_of_an_end_as_soon_as_they_can_be(
    world: World, answers: list[Progress]
) -> None:
    def go_away() -> None:
        world.polls.away = True
        world.clock.after(8, lambda: setattr(world.polls, "away", False))

    world.spoil("vendor.poll", go_away)
    world.provider.poll_answers = answers

    session_id = run(world)

    assert world.told(session_id).status is world.session(session_id).status
    assert world.clock.seconds < 5 + 8.5


def test_a_run_does_not_wait_for_ever_to_tell_its_end(world: World) -> None:
    world.polls.away = True

    session_id = run(world)

    assert world.session(session_id).status is Status.SUCCESS
    assert 5 + UNFINISHED_SECONDS < world.clock.seconds < 5 + 2 * UNFINISHED_SECONDS


def test_polls_are_told_of_a_success_whose_answer_was_lost(world: World) -> None:
    world.spoil("sessions.succeed", after=True)

    assert_succeeded(world, run(world))


@pytest.mark.parametrize("code", ["photo_rejected", "interrupted"])
def test_the_first_code_of_a_failure_is_kept(world: World, code: str) -> None:
    session_id = world.start()
    world.provider.poll_answers = [PermanentError("provider_unavailable", "401")]
    world.spoil("vendor.poll", lambda: world.database.fail(session_id, code))

    world.runner.run(session_id)

    assert world.session(session_id).error_code == code
    assert [state.status for state in world.polls.told] == [Status.PROCESSING]


def test_beside_a_slow_submit_a_second_run_waits_and_shares_its_task(world: World) -> None:
    session_id = world.start()
    another_run(world, session_id)
    status: list[Status] = []
    for at in range(22):
        world.clock.after(at, lambda: status.append(world.session(session_id).status))

    world.runner.run(session_id)

    assert set(status) == {Status.PROCESSING}
    assert_succeeded(world, session_id)
    assert world.provider.submitted == []
    assert {task.id for task in world.provider.polled} == {"task of the other run"}


@pytest.mark.parametrize("call", CALLS[5:])
def test_a_second_run_that_is_faster_makes_no_difference(world: World, call: str) -> None:
    session_id = world.start()
    world.spoil(call, lambda: world.runner.run(session_id))

    world.runner.run(session_id)

    assert_succeeded(world, session_id)
    assert len(world.provider.submitted) == 1
    assert Status.FAILED not in {state.status for state in world.polls.told}


@pytest.mark.parametrize("wait", ["", "to submit again", "for money"])
def test_of_two_runs_one_submits(world: World, wait: str) -> None:
    session_id = world.start()
    if wait:
        WAITS[wait](world, session_id)
    world.spoil("vendor.prepare", lambda: world.runner.run(session_id), after=True)

    world.runner.run(session_id)

    assert_succeeded(world, session_id)


# -- pictures in memory ----------------------------------------------------------------------


class BusySlots:
    """Picture slots that are all taken for the first `busy` times that somebody asks."""

    def __init__(self, world: World, busy: int) -> None:
        self.world = world
        self.busy = busy
        self.timeouts: list[float] = []
        self.taken = 0

    def acquire(self, timeout: float) -> bool:
        """Take a slot, or wait in vain."""
        self.timeouts.append(timeout)
        if self.busy:
            self.busy -= 1
            self.world.clock.sleep(timeout)
            return False
        self.taken += 1
        return True

    def release(self) -> None:
        """Give a slot back."""
        self.taken -= 1


SLOTS: dict[str, Callable[[World], None]] = {
    "success": lambda world: None,
    "late": lambda world: set_answers(world, "download", [AWAY] * 3),
    "never": lambda world: set_answers(world, "download", [AWAY] * 99),
    "unusable": lambda world: set_answers(world, "download", [refused("result_unusable")]),
    "a bug": lambda world: set_answers(world, "download", [ValueError("bug")]),
    "a crash": lambda world: world.spoil("vendor.download_result", Crash()),
    "a crash at the end": lambda world: world.spoil("sessions.succeed", Crash()),
    "deleted": lambda world: world.spoil("sessions.succeed", world.database.rows.clear),
    "the process ends": lambda world: world.clock.after(5, world.clock.stop),
    "the storage is away": lambda world: world.spoil(
        "vendor.download_result", lambda: world.spoil("pictures.put", times=99)
    ),
}


@pytest.mark.parametrize("name", SLOTS)
def test_the_slot_of_a_picture_is_given_back_once(world: World, name: str) -> None:
    slots = threading.BoundedSemaphore(1)
    world.runner = replace(world.runner, _picture_slots=slots)
    session_id = world.start()
    SLOTS[name](world)

    with suppress(Crash, Interrupted):
        world.runner.run(session_id)

    assert slots.acquire(blocking=False)
    assert not slots.acquire(blocking=False)


def test_no_slot_is_held_while_a_result_is_waited_for(world: World) -> None:
    slots = BusySlots(world, 0)
    world.runner = replace(world.runner, _picture_slots=slots)
    world.provider.takes = 0
    world.provider.downloads = [RetryableError("503", 20.0)]
    taken: list[int] = []

    def note() -> None:
        taken.append(slots.taken)

    session_id = world.start()
    world.clock.after(3, note)
    world.clock.after(15, note)
    world.spoil("vendor.download_result", note, times=2)
    world.spoil("pictures.put", note)

    world.runner.run(session_id)

    assert taken == [0, 1, 0, 1, 1]


def test_a_worker_has_twenty_pictures_in_memory_at_most(world: World) -> None:
    slots = world.runner._picture_slots

    assert [slots.acquire(blocking=False) for _ in range(21)] == [True] * 20 + [False]


def test_who_waits_for_a_slot_gets_one_in_the_end(world: World) -> None:
    slots = BusySlots(world, 5)
    world.runner = replace(world.runner, _picture_slots=slots)

    session_id = run(world)

    assert_succeeded(world, session_id)
    assert slots.timeouts == [3.0] * 6


@pytest.mark.parametrize(
    ("end", "status"),
    [("cancel", Status.PROCESSING), ("stop", Status.PROCESSING), ("deadline", Status.FAILED)],
)
def test_who_waits_for_a_slot_can_be_ended(world: World, end: str, status: Status) -> None:
    slots = BusySlots(world, 1000)
    world.runner = replace(world.runner, _picture_slots=slots)
    session_id = world.start()
    if end == "cancel":
        world.clock.after(30, lambda: world.queue.cancel(session_id))
    elif end == "stop":
        world.clock.after(30, world.clock.stop)

    try:
        world.runner.run(session_id)
    except Interrupted:
        assert end == "stop"

    assert world.session(session_id).status is status
    assert world.provider.downloaded == []
    assert slots.taken == 0
    ended_at = 600 if end == "deadline" else 30
    assert ended_at <= world.clock.seconds <= ended_at + 6


# -- an address that has lapsed ----------------------------------------------------------------


def test_a_result_whose_address_has_lapsed_is_fetched_from_a_fresh_one(world: World) -> None:
    fresh = "https://results.example/fresh.png"
    world.provider.poll_answers = [Progress(RESULT_URL), Progress(fresh)]
    world.provider.downloads = [ResultLapsed("403"), b"the picture"]
    session_id = world.start()

    world.runner.run(session_id)

    assert world.session(session_id).status is Status.SUCCESS
    assert world.provider.downloaded == [RESULT_URL, fresh]
    assert len(world.provider.submitted) == 1


def test_an_address_that_stays_dead_is_asked_for_until_the_deadline(world: World) -> None:
    world.provider.downloads = [ResultLapsed("404")] * 999
    session_id = world.start()

    world.runner.run(session_id)

    assert world.session(session_id).error_code == "deadline_exceeded"
    assert 20 <= len(world.provider.downloaded) <= 30, "with ever longer pauses"
    assert len(world.provider.polled) >= len(world.provider.downloaded)
    assert len(world.provider.submitted) == 1
