"""What polls are answered from: a session's status in Redis, so that the database is not asked.

An entry is under its user's and its session's id, so that another user's poll takes the path of
a session that does not exist. Its first byte is a rank, and no entry is replaced by one of a
lower rank: a run that was stalled does not bring `processing` back over `success`.
"""

import json
import statistics
from collections.abc import Collection

import orjson
from redis import Redis

from vton.adapters.redis import signed_urls
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.signed_urls import SignedUrlCache
from vton.tryon.model import SessionState, Status, result_path, thumbnail_path
from vton.tryon.ports.queue import CachedStatus, TypicalDurations

UNFINISHED_SECONDS = 15
"""How long an entry lives; the sweep extends those of sessions that are unfinished."""
ENDED_SECONDS = 15
"""How long an end is kept: longer than a reader may be slow (`service.LOOKUP_SECONDS`), who then
finds it and not what they have read before; and shorter than a Redis that was away is left alone
(`cache.AWAY_SECONDS`), which could not be told of a delete."""
FILLED_SECONDS = 5
"""How long what a reader has found unfinished in the database is believed."""
DELETED_SECONDS = 60
"""How long a delete keeps late readers from filling in what they have found before."""
SAMPLES = 50
"""Of so many try-ons the typical duration is the median."""
MIN_SAMPLES = 5
SAMPLES_KEY = "vton:durations"
TYPICAL_KEY = "vton:typical"
TYPICAL_SECONDS = 24 * 3600

_RANKS = {Status.QUEUED: b"1", Status.PROCESSING: b"2", Status.SUCCESS: b"3", Status.FAILED: b"3"}
_DELETED = b"4"
_ADVANCE = """
local entry = redis.call('GET', KEYS[1])
if entry and string.byte(entry) > string.byte(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
_FILL = """
local entry = redis.call('GET', KEYS[1])
if entry and string.byte(entry) >= string.byte(ARGV[1]) then return entry end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
"""


def status_key(user_id: str, session_id: str) -> str:
    """Return the key of a session's entry."""
    return f"vton:status:{user_id}:{session_id}"


def dump(state: SessionState) -> bytes:
    """Return a state as an entry."""
    return (
        _RANKS[state.status]
        + json.dumps([state.status, state.error_code, state.queued_at, state.began_at]).encode()
    )


class RedisStatusCache:
    """Implements `vton.tryon.ports.queue.StatusCache`."""

    def __init__(self, cache: Cache, results: SignedUrlCache) -> None:
        self._cache = cache
        self._results = results

    def find(self, user_id: str, session_id: str) -> CachedStatus:
        keys = [
            status_key(user_id, session_id),
            self._results.key(picture := result_path(user_id, session_id)),
            self._results.key(thumbnail_path(picture)),
            TYPICAL_KEY,
        ]
        entry, signed, thumbnail, typical = self._cache.read(keys)
        return CachedStatus(
            state=_load(entry) if entry else None,
            deleted=entry == _DELETED,
            result=signed_urls.load(signed) if signed else None,
            thumbnail=signed_urls.load(thumbnail) if thumbnail else None,
            typical=_load_typical(typical) if typical else None,
        )

    def advance(self, user_id: str, session_id: str, state: SessionState) -> bool:
        seconds = ENDED_SECONDS if state.status.ended else UNFINISHED_SECONDS
        return self._write(user_id, session_id, dump(state), seconds)

    def fill(self, user_id: str, session_id: str, state: SessionState) -> SessionState | None:
        key, entry = status_key(user_id, session_id), dump(state)
        seconds = ENDED_SECONDS if state.status.ended else FILLED_SECONDS
        known = self._cache.ask(lambda redis: redis.eval(_FILL, 1, key, entry, seconds), entry)
        return None if known == _DELETED else _load(known) or state

    def mark_deleted(self, user_id: str, session_id: str) -> None:
        self._write(user_id, session_id, _DELETED, DELETED_SECONDS)

    def extend_ttl(self, sessions: Collection[tuple[str, str]]) -> None:
        def expire(redis: Redis) -> None:
            with redis.pipeline(transaction=False) as pipeline:
                for user_id, session_id in sessions:
                    pipeline.expire(status_key(user_id, session_id), UNFINISHED_SECONDS)
                pipeline.execute()

        self._cache.ask(expire, None)

    def record_durations(self, durations: TypicalDurations) -> None:
        def note(redis: Redis) -> None:
            with redis.pipeline() as pipeline:
                pipeline.lpush(SAMPLES_KEY, json.dumps([durations.wait, durations.run]))
                pipeline.ltrim(SAMPLES_KEY, 0, SAMPLES - 1)
                pipeline.expire(SAMPLES_KEY, TYPICAL_SECONDS)
                pipeline.lrange(SAMPLES_KEY, 0, -1)
                samples = list(filter(None, map(_load_typical, pipeline.execute()[-1])))
            if len(samples) >= MIN_SAMPLES:
                medians = [
                    statistics.median(sample.wait for sample in samples),
                    statistics.median(sample.run for sample in samples),
                ]
                redis.set(TYPICAL_KEY, json.dumps(medians), ex=TYPICAL_SECONDS)

        self._cache.ask(note, None)

    def _write(self, user_id: str, session_id: str, entry: bytes, seconds: int) -> bool:
        key = status_key(user_id, session_id)
        answer = self._cache.require(lambda r: r.eval(_ADVANCE, 1, key, entry, seconds), None)
        return answer is not None


def _load_typical(value: bytes) -> TypicalDurations | None:
    """The durations; None of what another version of us has written."""
    try:
        wait, run = orjson.loads(value)
        return TypicalDurations(float(wait), float(run))
    except (ValueError, TypeError):
        return None


def _load(entry: bytes) -> SessionState | None:
    """The state; None of a delete's mark, and of what another version of us has written."""
    try:
        status, code, *rest = json.loads(entry[1:])
        if len(rest) == 3:  # the release before had the message there, too
            rest = rest[1:]
        queued_at, began_at = rest
        return SessionState(Status(status), code, queued_at, began_at)
    except (ValueError, TypeError):
        return None
