"""The connection to Redis that all of a process shares."""

from typing import Any, cast

from redis import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

from vton.errors import Unavailable
from vton.log import cleaned

CONNECT_SECONDS = 2
PROJECT_KEY = "vton:project"
"""Whose Redis this is: the host of a project's Supabase."""
_NOT_THE_PRIMARY = ("READONLY", "NOREPLICAS", "UNBLOCKED")
"""How else an answer begins that the primary does not give; LOADING, of one that has just begun,
the library takes for no connection already."""


class NotThePrimary(RedisConnectionError):
    """The server behind a connection takes no write; a new connection may reach one that does."""


class _FollowsThePrimary:
    """A connection that is given up when the server behind it says that it is not the primary.

    After a failover the old one keeps its connections open and refuses every write. A new
    connection, to the same name, reaches the new one.
    """

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer. Raises NotThePrimary, upon which a client connects and asks again."""
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            said = isinstance(error, ReadOnlyError | MasterDownError)
            if said or str(error).startswith(_NOT_THE_PRIMARY):
                raise NotThePrimary(str(error)) from None
            raise


class _Plain(_FollowsThePrimary, Connection):
    pass


class _Tls(_FollowsThePrimary, SSLConnection):
    pass


def connect_redis(url: str, connections: int, ssl_cert_reqs: str = "required") -> Redis:
    """Return a client whose threads share at most `connections` connections.

    Small hosted plans cap clients at 20. `ssl_cert_reqs` is "none" where the server's
    certificate is self-signed, as Heroku's is. Nothing is decoded: RQ stores bytes.
    """
    secure = url.startswith("rediss://")
    tls = {"ssl_cert_reqs": ssl_cert_reqs} if secure else {}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=5,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=2,  # RQ makes it longer for a worker, which waits in BLMOVE
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
        **tls,
    )
    pool.connection_class = _Tls if secure else _Plain
    return Redis(connection_pool=pool)


def refuse_wrong_redis(redis: Redis, project: str) -> None:
    """End the process, with a line that says why, where it must not work with this Redis.

    Raises Unavailable where that cannot be known.
    """
    try:
        check_redis(redis, project)
    except WrongRedis as wrong:
        raise SystemExit(f"REDIS_URL: {wrong}.") from None
    except RedisError as error:
        raise Unavailable(f"Redis does not do what it is told ({type(error).__name__})") from None


class WrongRedis(Exception):
    """This Redis answers, and must not be used; its text says why, and what to do."""


def check_redis(redis: Redis, project: str, *, claim: bool = True) -> None:
    """Claim this Redis for a project. Raises WrongRedis where it is a cluster or another's.

    Two environments on one Redis would take each other's jobs. Without `claim`, one that is
    nobody's stays so. Raises RedisError.
    """
    if str(redis.info("cluster").get("cluster_enabled")) == "1":
        raise WrongRedis("it is a Redis cluster, which RQ cannot use: take a single one")
    if claim and redis.set(PROJECT_KEY, project, nx=True):
        return
    owner = cast(bytes, redis.get(PROJECT_KEY) or b"").decode(errors="replace")
    if owner and owner != project:
        raise WrongRedis(
            f"it is used by the project {cleaned(owner)}, not {project}: give each environment a"
            f" Redis of its own; if the project has only moved, delete the key {PROJECT_KEY}"
        )
