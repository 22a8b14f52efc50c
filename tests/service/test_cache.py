"""Reads of Redis that are shared: each reader gets its own answer, whatever happens to others."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import hiredis
import pytest
from actors import PATIENCE, ROOT, clean_environ, until
from redis import Redis

from devstack.stack import Stack
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.connection import connect_redis

ENDED = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from vton.adapters.redis.cache import Cache
from vton.adapters.redis.connection import connect_redis

cache = Cache(connect_redis(sys.argv[1], 4))
for ended in range(4):
    readers = [gevent.spawn(cache.read, [key, key]) for key in "abcd"]
    gevent.sleep(0)
    readers[ended].kill(block=False)
    gevent.joinall(readers, timeout=5)
    assert all(reader.ready() for reader in readers), ended
    assert cache.read(["shared reads"]) == [b"are there"], ended
"""

HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"


@contextmanager
def answering(answers: Sequence[bytes]) -> Iterator[Redis]:
    """A Redis that gives these answers to `MGET`, one after another, and OK to everything else."""
    left = iter(answers)

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        asked = hiredis.Reader()
        with connection, suppress(OSError):
            while data := connection.recv(4096):
                asked.feed(data)
                while isinstance(command := asked.gets(), list):
                    if command[0] == b"MGET":
                        connection.sendall(next(left))
                    else:
                        connection.sendall(HELLO if command[0] == b"HELLO" else b"+OK\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield connect_redis(f"redis://127.0.0.1:{server.getsockname()[1]}/0", 4)


def test_readers_that_are_answered_together_get_each_their_own(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else somebody would be told another user's status, or get their signed URL."""
    wanted = [["t:a"], ["t:b"], ["t:c", "t:not-there", "t:d"], ["t:e", "t:f"]]
    redis.mset({f"t:{name}": f"of {name}" for name in "abcdef"})
    cache = Cache(redis)
    shared, asked, may_go_on = cache._values, [], threading.Event()
    real = shared._ask

    def ask(keys: list[str]) -> list[bytes | None]:
        asked.append(keys)
        may_go_on.wait(PATIENCE)
        return real(keys)

    monkeypatch.setattr(shared, "_ask", ask)
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(cache.read, wanted[0])]
        until(lambda: asked)
        for number, keys in enumerate(wanted[1:], 1):
            answers.append(threads.submit(cache.read, keys))
            until(lambda: len(shared._waiting) == number)  # noqa: B023 - at once
        may_go_on.set()
        seen = [answer.result() for answer in answers]
    redis.delete(*(f"t:{name}" for name in "abcdef"))

    assert asked == [wanted[0], wanted[1] + wanted[2] + wanted[3]]
    assert seen == [[b"of a"], [b"of b"], [b"of c", None, b"of d"], [b"of e", b"of f"]]


def test_a_reader_that_is_ended_keeps_nobody_waiting(stack: Stack, redis: Redis) -> None:
    redis.set("shared reads", "are there", ex=60)

    done = subprocess.run(
        [sys.executable, "-c", ENDED, stack.child_environ["REDIS_URL"]],
        cwd=ROOT, env=clean_environ(), capture_output=True, text=True, check=False, timeout=40,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "wrong",
    [b"*0\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"$-1\r\n", b"-LOADING\r\n", b"-ERR\r\n"],
)
def test_an_answer_that_is_none_is_not_believed_and_not_left_to_the_next(wrong: bytes) -> None:
    with answering([wrong, wrong, b"*1\r\n$4\r\nmine\r\n"]) as redis:
        cache = Cache(redis)
        first = cache.read(["a"])
        cache._not_before = 0.0  # not to wait until it is asked again

        while (found := cache.read(["a"])) == [None]:
            cache._not_before = 0.0

    assert first == [None]
    assert found == [b"mine"]
