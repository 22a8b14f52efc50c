"""The connection to Redis that all of a process shares."""

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect_redis(url: str, connections: int, ssl_cert_reqs: str = "required") -> Redis:
    """Return a client whose threads share at most `connections` connections.

    Small hosted plans cap clients at 20. `ssl_cert_reqs` is "none" where the server's
    certificate is self-signed, as Heroku's is. Nothing is decoded: RQ stores bytes.
    """
    tls = {"ssl_cert_reqs": ssl_cert_reqs} if url.startswith("rediss://") else {}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=5,
        socket_connect_timeout=2,
        socket_timeout=2,  # RQ makes it longer for a worker, which waits in BLMOVE
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
        **tls,
    )
    return Redis(connection_pool=pool)
