"""The connection to Redis that all of a process shares."""

from contextlib import suppress
from typing import Any

from redis import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

CONNECT_SECONDS = 2
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


def refuse_cluster(url: str, ssl_cert_reqs: str = "required") -> None:
    """End the process, with a line that says so, where Redis is a cluster: RQ cannot use one.

    One that is away is none of our business here.
    """
    with connect_redis(url, 1, ssl_cert_reqs) as redis, suppress(RedisError):
        if str(redis.info("cluster").get("cluster_enabled")) == "1":
            raise SystemExit(
                "REDIS_URL is a Redis cluster, which RQ cannot use: take a single one."
            )
