"""A fake of every port of a try-on, in memory and with its own clock, and `World`, all of them.

They keep the ports' promises and nothing else: what SQL, Redis and HTTP make of them is tested on
the real stack. Any method of a fake can be made to fail: see `World.spoil`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from vton.errors import CATALOGUE, Problem, Unavailable
from vton.tryon.model import Garment, ProviderTask, Session, SessionState, Status, own_photo
from vton.tryon.ports.database import (
    Admission,
    Claim,
    ClaimResult,
    Erasure,
    Limits,
    NewSession,
    Outcome,
    PhotoSource,
    UnfinishedSession,
    UnknownGarment,
    UnknownUser,
)
from vton.tryon.ports.pauses import Pause
from vton.tryon.ports.photos import ResultKind
from vton.tryon.ports.provider import Inputs, Progress
from vton.tryon.ports.queue import CachedStatus, TypicalDurations
from vton.tryon.ports.storage import NameTaken, PictureMissing, SignedUrl
from vton.tryon.result_check import ResultCheck
from vton.tryon.retries import Retries
from vton.tryon.runner import SessionRunner
from vton.tryon.service import TryOns
from vton.tryon.starter import Starter
from vton.tryon.submitter import Submitter
from vton.tryon.sweep import Sweep

START = datetime(2026, 11, 27, 12, tzinfo=UTC)
T = TypeVar("T")
RESULT_URL = "https://results.example/picture.png"


class FakeClock:
    """A `Clock` and a `Shutdown`: time passes only by waiting, and things can happen meanwhile."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stopping = False
        self._due: list[tuple[float, Callable[[], object]]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        until = self.seconds + seconds
        while due := [one for one in self._due if one[0] <= until and not self.stopping]:
            first = min(due, key=lambda one: one[0])
            self._due.remove(first)
            self.seconds = max(self.seconds, first[0])
            first[1]()
        self.seconds = max(self.seconds, until)

    def wait(self, seconds: float) -> bool:
        if not self.stopping:
            self.sleep(seconds)
        return self.stopping

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something happen once that much time has passed."""
        self._due.append((self.seconds + seconds, action))

    def stop(self) -> None:
        """Ask the process to end."""
        self.stopping = True


@dataclass
class Submit:
    """A row of the ledger."""

    session_id: str
    user_id: str
    at: datetime
    outcome: str = "open"
    task_id: str | None = None
    charged: bool | None = None
    refused: bool = False
    abandoned_at: datetime | None = None
    result_kind: ResultKind | None = None

    @property
    def may_be_paid(self) -> bool:
        """Whether it counts for the bill."""
        return self.outcome != "not_accepted" and self.charged is not False


class FakeDatabase:
    """`Sessions`, `SubmitLedger` and `Erasures` over the same rows, as the migrations have them."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.rows: dict[str, Session] = {}
        self.garments: dict[str, Garment] = {}
        self.deleted_users: set[str] = set()
        self.keys: dict[tuple[str, str], tuple[str, str, datetime]] = {}
        self.ledger: dict[str, Submit] = {}
        self.claims: dict[str, str] = {}
        self.tasks: dict[str, ProviderTask] = {}
        self.erasures: dict[int, tuple[str, datetime, bool]] = {}
        self.log: dict[str, datetime] = {}
        self.looks: dict[str, int] = {}

    # -- sessions ------------------------------------------------------------------------

    def create(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None]:
        key = (new.user_id, new.idempotency_key or new.id)
        if key in self.keys:
            fingerprint, session_id, _ = self.keys[key]
            same = fingerprint == new.fingerprint
            return (Admission.REPLAY if same else Admission.MISMATCH), session_id
        for (user_id, _), (fingerprint, session_id, _) in list(self.keys.items()):
            twin = self.rows.get(session_id)
            same = (user_id, fingerprint) == (new.user_id, new.fingerprint)
            if same and twin and not twin.status.ended:
                self.keys[key] = fingerprint, session_id, self.clock.now()
                return Admission.REPLAY, session_id
        if refusal := self._over(new.user_id, limits):
            return refusal, None
        if new.garment_id not in self.garments:
            raise UnknownGarment
        if new.user_id in self.deleted_users:
            raise UnknownUser
        if any(row.photo == new.photo for row in self.rows.values()):
            raise NameTaken(new.photo)
        self.rows[new.id] = Session(
            new.id, new.user_id, new.garment_id, new.photo, None, Status.QUEUED, None, None,
            self.clock.now(),
        )  # fmt: skip
        self.keys[key] = new.fingerprint, new.id, self.clock.now()
        self.log[new.id] = self.clock.now()
        return Admission.CREATED, new.id

    def _over(self, user_id: str, limits: Limits) -> Admission | None:
        unfinished = [row for row in self.rows.values() if not row.status.ended]
        submitted = {s.session_id for s in self.ledger.values() if s.outcome != "not_accepted"}
        theirs = {row.id for row in unfinished if row.user_id == user_id}
        today = {s.session_id for s in self.ledger.values() if s.user_id == user_id} & submitted
        waiting = [row for row in unfinished if row.status is Status.QUEUED]
        ours = [submit for submit in self.ledger.values() if submit.user_id == user_id]
        recently = self.clock.now() - timedelta(minutes=5)
        left = {s.session_id for s in ours if s.may_be_paid and s.abandoned_at
                and s.abandoned_at > recently}  # fmt: skip
        refused = {s.session_id for s in ours if s.refused}
        for limit, count, admission in (
            (limits.paid_per_day, self._paid(), Admission.PAID_CAP),
            (limits.waiting, len(waiting), Admission.BUSY),
            (limits.unfinished_per_user, len(theirs) + len(left), Admission.UNFINISHED),
            (limits.per_day_per_user, len(theirs | today), Admission.QUOTA),
            (2 * limits.per_day_per_user, len(refused), Admission.QUOTA),
        ):
            if limit and count >= limit:
                return admission
        return None

    def _paid(self) -> int:
        return sum(submit.may_be_paid for submit in self.ledger.values())

    def check(self, new: NewSession, limits: Limits) -> tuple[Admission, str | None] | None:
        before = dict(self.rows), dict(self.keys)
        found = self.create(replace(new, photo=str(uuid4())), limits)
        self.rows, self.keys = before
        return None if found[0] is Admission.CREATED else found

    def undo(self, session_id: str) -> bool:
        submits = [s.outcome for s in self.ledger.values() if s.session_id == session_id]
        if session_id in self.rows and set(submits) - {"not_accepted"}:
            return False
        self.keys = {key: value for key, value in self.keys.items() if value[1] != session_id}
        self._delete(session_id)
        return True

    def delete_log(self, before: datetime) -> None:
        self.log = {key: at for key, at in self.log.items() if at >= before}

    def delete_idempotency_keys(self, before: datetime) -> None:
        self.keys = {key: value for key, value in self.keys.items() if value[2] >= before}

    def find(self, session_id: str, user_id: str) -> Session | None:
        row = self.rows.get(session_id)
        return self._with_garment(row) if row and row.user_id == user_id else None

    def photo_source(self, session_id: str, user_id: str) -> PhotoSource | None:
        row = self.find(session_id, user_id)
        photo = own_photo(row) if row else None
        if row is None or photo is None:
            return None
        kept = [fingerprint for fingerprint, of, _ in self.keys.values() if of == session_id]
        ours = bool(kept or session_id in self.tasks or not row.status.ended)
        return PhotoSource(photo, row.garment_id, kept[0] if kept else None, ours)

    def history(
        self,
        user_id: str,
        statuses: Collection[Status],
        limit: int,
        before: tuple[datetime, str] | None,
    ) -> list[Session]:
        theirs = [r for r in self.rows.values() if r.user_id == user_id and r.status in statuses]
        theirs.sort(key=lambda row: (row.created_at, row.id), reverse=True)
        behind = [r for r in theirs if before is None or (r.created_at, r.id) < before]
        return [self._with_garment(row) for row in behind[:limit]]

    def delete(self, session_id: str, user_id: str) -> Session | None:
        row = self.find(session_id, user_id)
        if row:
            self._delete(session_id)
        return row

    def _delete(self, session_id: str) -> None:
        if row := self.rows.pop(session_id, None):
            self.claims.pop(session_id, None)
            self.tasks.pop(session_id, None)
            self._note_erasure(row.photo)
            self._note_erasure(row.result_path)
            for submit in self.ledger.values():
                if submit.session_id == session_id and not row.status.ended:
                    submit.abandoned_at = self.clock.now()

    def claim(self, session_id: str) -> Session | None:
        if not self._update(session_id, status=Status.PROCESSING):
            return None
        row = self._with_garment(self.rows[session_id])
        return replace(row, task=self.tasks.get(session_id))

    def succeed(self, session_id: str, result: str, looks: int = 0) -> bool:
        self.looks[session_id] = looks
        return self._update(session_id, status=Status.SUCCESS, result=result)

    def fail(self, session_id: str, code: str, looks: int = 0) -> bool:
        self.looks[session_id] = looks
        message = CATALOGUE[code].message
        failed = self._update(
            session_id, status=Status.FAILED, error_code=code, error_message=message
        )
        if failed and session_id in self.claims:
            self._note_erasure(self.rows[session_id].result_path)
        if failed and code == "photo_rejected":
            self._note_erasure(self.rows[session_id].photo)
        return failed

    def _update(self, session_id: str, **change: Any) -> bool:
        row = self.rows.get(session_id)
        if row is None or row.status.ended:
            return False
        self.rows[session_id] = replace(row, **change)
        return True

    def status(self, session_id: str) -> Status | None:
        row = self.rows.get(session_id)
        return row.status if row else None

    def task(self, session_id: str) -> ProviderTask | None:
        return self.tasks.get(session_id)

    def unfinished(self) -> Iterator[UnfinishedSession]:
        for row in sorted(self.rows.values(), key=lambda row: (row.created_at, row.id)):
            if not row.status.ended:
                yield UnfinishedSession(row.id, row.user_id, row.status, row.created_at)

    def delete_ended(self, before: datetime, limit: int) -> int:
        old = [r.id for r in self.rows.values() if r.status.ended and r.created_at < before]
        for session_id in old[:limit]:
            self._delete(session_id)
        return len(old[:limit])

    def _with_garment(self, row: Session) -> Session:
        return replace(row, garment=self.garments.get(row.garment_id or ""))

    # -- the ledger ----------------------------------------------------------------------

    def claim_submit(self, session_id: str, attempt: str, paid_cap: int) -> Claim:
        row = self.rows.get(session_id)
        if row is None or row.status is not Status.PROCESSING:
            return Claim(ClaimResult.ENDED, 0)
        if session_id in self.tasks:
            return Claim(ClaimResult.TASK, 0)
        if holder := self.claims.get(session_id):
            age = (self.clock.now() - self.ledger[holder].at).total_seconds()
            mine = holder == attempt
            return Claim(ClaimResult.CLAIMED if mine else ClaimResult.HELD, age)
        if paid_cap and self._paid() >= paid_cap:
            return Claim(ClaimResult.CAPPED, 0)
        self.ledger[attempt] = Submit(session_id, row.user_id, self.clock.now())
        self.claims[session_id] = attempt
        return Claim(ClaimResult.CLAIMED, 0)

    def record_outcome(
        self, attempt: str, outcome: Outcome, task: ProviderTask | None = None
    ) -> None:
        submit = self.ledger.get(attempt)
        if submit is None or submit.outcome not in ("open", "uncertain"):
            return
        refused = outcome is Outcome.REFUSED
        submit.outcome = Outcome.NOT_ACCEPTED.value if refused else outcome.value
        submit.refused, submit.task_id = refused, task.id if task else None
        if submit.outcome == "not_accepted" and self.claims.get(submit.session_id) == attempt:
            del self.claims[submit.session_id]
        if task and submit.session_id in self.claims:
            self.tasks.setdefault(submit.session_id, task)

    def allow_one_resubmit(self, session_id: str, task_id: str) -> bool:
        submits = [submit for submit in self.ledger.values() if submit.session_id == session_id]
        for submit in submits:
            if submit.task_id == task_id:
                submit.charged = False
        if sum(submit.charged is False for submit in submits) > 1:
            return False
        if (task := self.tasks.get(session_id)) and task.id == task_id:
            del self.tasks[session_id], self.claims[session_id]
        return self.status(session_id) is Status.PROCESSING

    def record_result_kind(self, session_id: str, task_id: str, kind: ResultKind) -> None:
        for submit in self.ledger.values():
            if (submit.session_id, submit.task_id) == (session_id, task_id):
                submit.result_kind = kind

    def mark_stale_uncertain(self, before: datetime) -> None:
        for submit in self.ledger.values():
            if submit.outcome == "open" and submit.at < before:
                submit.outcome = "uncertain"

    # -- erasures ------------------------------------------------------------------------

    def _note_erasure(self, path: str) -> None:
        self.erasures[len(self.erasures) + 1] = path, self.clock.now(), False

    def due(self, made_before: datetime, limit: int) -> list[Erasure]:
        found = [
            Erasure(number, path, erased)
            for number, (path, made_at, erased) in self.erasures.items()
            if not erased or made_at < made_before
        ]
        return found[:limit]

    def mark_erased(self, ids: Collection[int]) -> None:
        for number in ids:
            path, made_at, _ = self.erasures[number]
            self.erasures[number] = path, made_at, True

    def forget(self, ids: Collection[int]) -> None:
        for number in ids:
            del self.erasures[number]


class FakePictures:
    """`Pictures`: a bucket."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.objects: dict[str, bytes] = {}
        self.content_types: dict[str, str] = {}

    def put(self, path: str, data: bytes, content_type: str, *, replace: bool) -> None:
        if path in self.objects and not replace:
            raise NameTaken(path)
        self.objects[path] = data
        self.content_types[path] = content_type

    def copy(self, source: str, path: str) -> None:
        self.put(path, self.get(source), self.content_types[source], replace=False)

    def check(self) -> None:
        pass

    def get(self, path: str) -> bytes:
        if path not in self.objects:
            raise PictureMissing(path)
        return self.objects[path]

    def remove(self, paths: Collection[str]) -> None:
        for path in paths:
            self.objects.pop(path, None)

    def sign(self, paths: Collection[str]) -> Mapping[str, SignedUrl]:
        until = self.clock.now() + timedelta(hours=1)
        return {
            p: SignedUrl(f"https://signed.example/{p}", until) for p in self.objects.keys() & paths
        }


class FakePhotos:
    """`PhotoNormaliser` and `ResultComparer`: anything is a photo, and a result is what is said.

    A photo that begins with "slow" may take long.
    """

    def __init__(self) -> None:
        self.owners: list[str] = []
        self.result_kind: ResultKind | None = "new"
        self.compared: list[tuple[bytes, bytes]] = []
        self.makes_thumbnails = False

    def kind_of_result(self, result: bytes, photo: bytes) -> ResultKind | None:
        self.compared.append((result, photo))
        return self.result_kind

    def thumbnail(self, picture: bytes) -> bytes:
        if not self.makes_thumbnails:
            raise Problem("photo_unreadable")
        return b"small " + picture

    def may_take_long(self, data: bytes) -> bool:
        return data.startswith(b"slow")

    def normalise_photo(self, data: bytes, owner: str) -> bytes:
        self.owners.append(owner)
        return b"jpeg of " + data


class FakeJobs:
    """`Jobs`: a queue, whose jobs a test runs."""

    def __init__(self) -> None:
        self.queue: list[str] = []
        self.alive: set[str] = set()
        self.cancelled_ids: set[str] = set()
        self.leads = True
        self.orphans_expired_for: list[list[str]] = []
        self.enqueued_for: list[str] = []

    def enqueue(self, user_id: str, session_id: str) -> None:
        self.enqueued_for.append(user_id)
        self.queue.append(session_id)

    def enqueue_again(self, session_id: str) -> None:
        self.cancelled_ids.discard(session_id)
        self.queue.append(session_id)

    def cancel(self, session_id: str) -> None:
        self.cancelled_ids.add(session_id)
        if session_id in self.queue:
            self.queue.remove(session_id)

    def exists(self, session_id: str) -> bool:
        return session_id in self.queue or session_id in self.alive

    def cancelled(self, session_id: str) -> bool:
        return session_id in self.cancelled_ids

    def waiting(self) -> set[str]:
        return set(self.queue)

    def running(self, session_ids: Sequence[str]) -> set[str]:
        return self.alive & set(session_ids)

    def expire_orphaned_jobs(self, unfinished: Collection[str]) -> None:
        self.orphans_expired_for.append(list(unfinished))

    def try_acquire_leadership(self) -> bool:
        return self.leads


class FakeStatusCache:
    """`StatusCache`: what polls are told, and all that they were told before."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], SessionState] = {}
        self.told: list[SessionState] = []
        self.away = False
        self.deleted: set[tuple[str, str]] = set()
        self.results: dict[str, SignedUrl] = {}
        self.typical: TypicalDurations | None = None
        self.durations: list[TypicalDurations] = []
        self.extended: list[tuple[str, str]] = []

    def find(self, user_id: str, session_id: str) -> CachedStatus:
        key = user_id, session_id
        state, deleted = self.states.get(key), key in self.deleted
        result = self.results.get(session_id)
        return CachedStatus(None if deleted else state, deleted, result, self.typical)

    def advance(self, user_id: str, session_id: str, state: SessionState) -> bool:
        if self.away:
            return False
        self.told.append(state)
        self.states[user_id, session_id] = state
        return True

    def fill(self, user_id: str, session_id: str, state: SessionState) -> SessionState | None:
        key = user_id, session_id
        return None if key in self.deleted else self.states.setdefault(key, state)

    def mark_deleted(self, user_id: str, session_id: str) -> None:
        self.deleted.add((user_id, session_id))

    def extend_ttl(self, sessions: Collection[tuple[str, str]]) -> None:
        self.extended += sessions

    def record_durations(self, durations: TypicalDurations) -> None:
        self.durations.append(durations)


class FakeCircuitBreaker:
    """`CircuitBreaker`: open for a minute after each trip."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.open_until = float("-inf")
        self.trips = self.closes = 0
        self.tripped_by = ""

    def seconds_until_allowed(self, session_id: str) -> float:
        left = max(0.0, self.open_until - self.clock.seconds)
        mine = session_id == self.tripped_by and self.clock.seconds < self.open_until + 60
        return left or float(mine)

    def tripped(self) -> bool:
        return bool(self.tripped_by)

    def trip(self, session_id: str) -> None:
        self.trips += 1
        self.tripped_by = session_id
        self.open_until = self.clock.seconds + 60

    def close(self) -> None:
        self.closes += 1
        self.open_until, self.tripped_by = float("-inf"), ""

    def paused_for(self) -> int:
        return int(max(0.0, self.open_until - self.clock.seconds))


@dataclass
class FakeProvider:
    """`Provider`: takes every submit and is done after `takes` seconds, unless told otherwise.

    What is in `submit_answers`, `poll_answers` and `downloads` comes first, one for each call:
    something to return, or to raise.
    """

    clock: FakeClock
    takes: float = 10.0
    name: str = "fake"
    submit_answers: list[ProviderTask | Exception] = field(default_factory=list)
    poll_answers: list[Progress | Exception] = field(default_factory=list)
    downloads: list[bytes | Exception] = field(default_factory=list)
    prepared: list[tuple[str, str]] = field(default_factory=list)
    submitted: list[Inputs] = field(default_factory=list)
    polled: list[ProviderTask] = field(default_factory=list)
    downloaded: list[str] = field(default_factory=list)
    started: dict[str, float] = field(default_factory=dict)

    def prepare(self, person: str, garment: str) -> Inputs:
        self.prepared.append((person, garment))
        return Inputs(f"photo {person}", f"garment {garment}")

    def submit(self, inputs: Inputs) -> ProviderTask:
        self.submitted.append(inputs)
        task = ProviderTask(self.name, f"task-{len(self.submitted)}", None)
        self.started[task.id] = self.clock.seconds
        return _next(self.submit_answers, task)

    def poll(self, task: ProviderTask) -> Progress:
        self.polled.append(task)
        done = self.clock.seconds - self.started.get(task.id, 0.0) >= self.takes
        return _next(self.poll_answers, Progress(RESULT_URL) if done else Progress())

    def download_result(self, url: str) -> bytes:
        self.downloaded.append(url)
        return _next(self.downloads, b"png")


class FakePauses:
    """`Pauses`: the operator's, as a test sets it."""

    def __init__(self) -> None:
        self.pause: Pause | None = None

    def current(self) -> Pause | None:
        return self.pause


def _next(answers: list[T | Exception], otherwise: T) -> T:
    answer = answers.pop(0) if answers else otherwise
    if isinstance(answer, Exception):
        raise answer
    return answer


class Spoilable:
    """Stands before a fake, and has its methods fail when a test says so."""

    def __init__(self, fake: Any) -> None:
        self._fake = fake
        self._spoiled: dict[str, list[tuple[BaseException | Callable[[], object], bool]]] = {}

    def spoil(
        self, method: str, what: BaseException | Callable[[], object], *, after: bool
    ) -> None:
        """Have the next call of a method raise, or something happen, before or after its work."""
        self._spoiled.setdefault(method, []).append((what, after))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fake, name)
        if not self._spoiled.get(name):
            return found

        def call(*args: Any, **options: Any) -> Any:
            what, after = self._spoiled[name].pop(0)
            if not after:
                _happen(what)
            answer = found(*args, **options)
            if after:
                _happen(what)
            return answer

        return call


def _happen(what: BaseException | Callable[[], object]) -> None:
    if isinstance(what, BaseException):
        raise what
    what()


class World:
    """All fakes together, with the service, the runner and the sweep on them."""

    def __init__(
        self, limits: Limits | None = None, paid_cap: int = 0, deadline: float = 600
    ) -> None:
        self.clock = FakeClock()
        self.database = FakeDatabase(self.clock)
        self.bucket = FakePictures(self.clock)
        self.provider = FakeProvider(self.clock)
        self.queue, self.polls = FakeJobs(), FakeStatusCache()
        self.circuit_breaker = FakeCircuitBreaker(self.clock)
        self.pauses = FakePauses()
        self.photos = FakePhotos()
        self.sessions: Any = Spoilable(self.database)
        self.pictures: Any = Spoilable(self.bucket)
        self.jobs: Any = Spoilable(self.queue)
        self.vendor: Any = Spoilable(self.provider)
        self.user_id, self.garment_id = str(uuid4()), str(uuid4())
        self.add_garment(self.garment_id)
        self.starter = Starter(
            sessions=self.sessions, pictures=self.pictures, photos=self.photos, jobs=self.jobs,
            circuit_breaker=self.circuit_breaker, pauses=self.pauses, clock=self.clock,
            limits=limits or Limits(0, 0, 0, 0),
        )  # fmt: skip
        self.tryons = TryOns(
            sessions=self.sessions, pictures=self.pictures, jobs=self.jobs,
            status_cache=self.polls, clock=self.clock,
        )  # fmt: skip
        self.retries = Retries(
            jobs=self.jobs, clock=self.clock, shutdown=self.clock, deadline=deadline
        )
        self.submitter = Submitter(
            sessions=self.sessions, ledger=self.sessions, circuit_breaker=self.circuit_breaker,
            provider=self.vendor, retries=self.retries, clock=self.clock, shutdown=self.clock,
            paid_cap=paid_cap, first_poll=5.0, poll_interval=3.0,
        )  # fmt: skip
        self.result_check = ResultCheck(
            pictures=self.pictures, ledger=self.sessions, comparer=self.photos, clock=self.clock
        )
        self.runner = SessionRunner(
            sessions=self.sessions, ledger=self.sessions, pictures=self.pictures,
            status_cache=self.polls, providers={self.provider.name: self.vendor},
            submitter=self.submitter, photos=self.photos, result_check=self.result_check,
            retries=self.retries, clock=self.clock, poll_interval=3.0,
        )  # fmt: skip
        self.sweep = Sweep(
            sessions=self.sessions, ledger=self.sessions, erasures=self.sessions,
            pictures=self.pictures, jobs=self.jobs, status_cache=self.polls, clock=self.clock,
            deadline=timedelta(seconds=deadline), retention=timedelta(days=30),
        )  # fmt: skip

    def spoil(
        self,
        call: str,
        what: BaseException | Callable[[], object] | None = None,
        *,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """Have `port.method` raise (Unavailable by default), or do something, before its work.

        With `after` its work is done first: the answer is what gets lost.
        """
        port, _, method = call.partition(".")
        for _ in range(times):
            getattr(self, port).spoil(method, what or Unavailable(), after=after)

    def add_garment(self, garment_id: str, picture: str = "garments/shirt.png") -> None:
        """Put a garment into the shop."""
        self.database.garments[garment_id] = Garment(garment_id, "Shirt", None, "tops", picture)

    def start(self, photo: bytes | None = None, key: str | None = None) -> str:
        """Start a try-on as a user does, with a photo of its own or of its key. Return its id."""
        photo = photo or (b"photo" if key else uuid4().bytes)
        return self.starter.start(self.user_id, self.garment_id, photo, key).session_id

    def session(self, session_id: str) -> Session:
        """Return a session's row."""
        return self.database.rows[session_id]

    def outcomes(self, session_id: str) -> list[str]:
        """Return what the ledger says of a session's submits, oldest first."""
        return [s.outcome for s in self.database.ledger.values() if s.session_id == session_id]

    def told(self, session_id: str) -> SessionState | None:
        """Return what a poll of a session would be told by the cache."""
        return self.polls.find(self.user_id, session_id).state
