"""What has to be so for a try-on to be taken, and to be run. Each check raises Unavailable."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from supabase import Client

from vton.adapters.redis.connection import NotThePrimary, WrongRedis, check_redis
from vton.adapters.redis.operations import WORKERS_KEY
from vton.adapters.supabase.rows import call
from vton.adapters.supabase.tables import SessionRows
from vton.errors import Unavailable

SCHEMA_VERSION = 2
"""Of the schema that this release needs: see `schema_version` in the migrations."""
WAITING_SECONDS = 120
"""So long a session may wait in the queue before somebody should look at the workers."""
PROBE_KEY = "vton:health"
PROBE_SECONDS = 60


@dataclass(frozen=True)
class RedisHealth:
    """Whether Redis takes what we write, and whether a worker listens."""

    redis: Redis
    project: str

    def check(self) -> None:
        """Write something: a Redis that is full or a replica answers every read."""
        try:
            check_redis(self.redis, self.project)
            self.redis.set(PROBE_KEY, 1, ex=PROBE_SECONDS)
        except WrongRedis as wrong:
            raise Unavailable(f"Redis: {wrong}") from None
        except (ResponseError, NotThePrimary) as error:
            raise Unavailable(f"Redis takes no write: {str(error)[:100]}") from None
        except RedisError:
            raise Unavailable("Redis cannot be reached") from None

    def check_worker(self) -> None:
        """Find a worker that has said within half a minute that it lives."""
        try:
            workers = self.redis.smembers(WORKERS_KEY)
            if not workers or not self.redis.exists(*workers):
                raise Unavailable("no worker lives")
        except RedisError:
            raise Unavailable("Redis cannot be reached") from None


@dataclass(frozen=True)
class DatabaseHealth:
    """Whether the database has our schema, and how long sessions wait in it."""

    client: Client
    sessions: SessionRows
    now: Callable[[], datetime]

    def check(self) -> None:
        """Compare the schema's version with the one that this release needs."""
        version = call(self.client, "schema_version", {})
        if not isinstance(version, int):
            raise Unavailable("the database cannot be reached")
        if version < SCHEMA_VERSION:
            raise Unavailable(f"the schema is version {version}, {SCHEMA_VERSION} is needed")

    def check_waiting(self) -> None:
        """Find nobody who has waited in the queue for long."""
        oldest = self.sessions.oldest_waiting()
        waited = (self.now() - oldest).total_seconds() if oldest else 0.0
        if waited > WAITING_SECONDS:
            raise Unavailable(f"a session has waited for {waited:.0f} s")
