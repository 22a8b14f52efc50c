"""What the operator asks Redis."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from vton.adapters.redis.circuit_breaker import TRIPPED_KEY
from vton.adapters.redis.queue import open_queue
from vton.adapters.redis.shared_metrics import ALARMS_KEY
from vton.errors import Unavailable
from vton.operations.model import QueueOverview, WorkerState

WORKERS_KEY = "rq:workers"


class RedisOperations:
    """Implements `vton.operations.ports.Queue`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def overview(self) -> QueueOverview:
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for section in ("memory", "clients", "server"):
                    pipeline.info(section)
                pipeline.llen(open_queue(self._redis).key)
                pipeline.exists(TRIPPED_KEY)
                pipeline.lrange(ALARMS_KEY, 0, -1)
                memory, clients, server, depth, tripped, alarms = pipeline.execute()
            return QueueOverview(
                depth=depth,
                workers=self._workers(),
                wants_money=bool(tripped),
                alarms=[(at, text) for at, text in map(json.loads, alarms)],
                used_memory=int(memory.get("used_memory", 0)),
                max_memory=int(memory.get("maxmemory", 0)),
                policy=str(memory.get("maxmemory_policy", "")),
                clients=int(clients.get("connected_clients", 0)),
                max_clients=int(clients.get("maxclients", 0)),
                version=_version(server),
            )
        except RedisError as error:
            raise Unavailable(f"Redis cannot be reached ({type(error).__name__})") from None

    def _workers(self) -> list[WorkerState]:
        """Return the workers whose sign of life has not lapsed."""
        keys = sorted(cast(set[bytes], self._redis.smembers(WORKERS_KEY)))
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            for key in keys:
                pipeline.hmget(key, "hostname", "pid", "last_heartbeat")
            (seconds, _), *found = pipeline.execute()
        return [_worker(values, seconds) for values in found if all(values)]


def _worker(values: Sequence[bytes], now: float) -> WorkerState:
    """Return a worker as its hash in Redis tells; RQ writes times in UTC, by its own clock."""
    host, pid, heartbeat = (value.decode() for value in values)
    heard = now - datetime.fromisoformat(heartbeat).timestamp()
    return WorkerState(host, pid, max(0.0, heard))


def _version(server: Mapping[str, object]) -> str:
    if valkey := server.get("valkey_version"):
        return f"Valkey {valkey}"
    return f"Redis {server.get('redis_version')}"
