"""The project's keys, fetched over real HTTP: once, in bounds, and nobody waits for long."""

import base64
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
import requests
from actors import ROOT, clean_environ
from signers import Signer, World, claims, refusal

from vton.adapters.supabase.keys import (
    COOLDOWN_SECONDS,
    KeySet,
    fetch_from,
)


@pytest.fixture
def signer() -> Signer:
    """The project's key."""
    return Signer()


class JwksServer:
    """A tiny project: publishes keys, or hangs, and counts."""

    def __init__(self, keys: list[Any]) -> None:
        self.keys, self.requests, self.url = keys, 0, ""
        self.mood = "well"
        self.go_on = threading.Event()


@contextmanager
def jwks_server(keys: list[Any]) -> Iterator[JwksServer]:
    """Run it on loopback."""
    state, lock = JwksServer(keys), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not state.url.endswith(self.path):  # somebody who had this port before
                return
            with lock:
                state.requests += 1
            if state.mood == "hang":
                state.go_on.wait(20)
                return
            if state.mood == "drip":
                while not state.go_on.wait(0.1):
                    try:
                        self.wfile.write(b"H")
                    except OSError:
                        return
                return
            body = json.dumps({"keys": state.keys}).encode()
            if state.mood == "huge":
                body += b" " * 1_000_000
            self.send_response(302 if state.mood == "redirect" else 200)
            if state.mood == "redirect":
                self.send_header("Location", state.url)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}/{uuid4().hex}/jwks.json"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            state.go_on.set()
            server.shutdown()
            thread.join()


def test_a_flood_of_unknown_key_ids_makes_one_fetch_in_30_s(signer: Signer) -> None:
    world = World()
    with jwks_server([signer.jwk]) as server:
        keys = KeySet(fetch_from(server.url), world.clock)
        assert keys.find("first") is None
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(keys.find, map(str, range(500)))) == {None}
        world.time += COOLDOWN_SECONDS - 1
        assert keys.find("late") is None
        assert server.requests == 1

        world.time += 1
        assert keys.find("later") is None
        assert server.requests == 2


@pytest.mark.parametrize("mood", ["hang", "drip"])
def test_nobody_waits_for_keys_longer_than_three_seconds(signer: Signer, mood: str) -> None:
    world = World()
    with jwks_server([signer.jwk]) as server:
        keys = KeySet(fetch_from(server.url), world.clock)
        assert keys.find(signer.kid)
        server.mood = mood
        world.time += COOLDOWN_SECONDS

        def ask(number: int) -> tuple[str, float]:
            began = time.monotonic()
            known = number % 2
            code = "known" if known and keys.find(signer.kid) else ""
            code = code or refusal(lambda: keys.find(f"unseen {number}"))
            return code, time.monotonic() - began

        with ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(ask, range(30)))

        assert {code for code, _ in answers} == {"known", "keys_unavailable"}
        assert max(seconds for _, seconds in answers) < 3
        assert sum(1 for _, seconds in answers if seconds > 1.5) <= 1
        assert max(seconds for code, seconds in answers if code == "known") < 0.5
        assert server.requests == 2


def test_a_cold_start_is_one_fetch_that_all_wait_for(signer: Signer) -> None:
    with jwks_server([signer.jwk]) as server:
        keys = KeySet(fetch_from(server.url))
        with ThreadPoolExecutor(30) as pool:
            assert all(pool.map(keys.find, [signer.kid] * 30))
        assert server.requests == 1


@pytest.mark.parametrize("mood", ["huge", "redirect"])
def test_an_answer_out_of_bounds_is_none(signer: Signer, mood: str) -> None:
    with jwks_server([signer.jwk]) as server:
        server.mood = mood
        fetch = fetch_from(server.url)

        with pytest.raises(requests.RequestException):
            fetch()
        assert server.requests == 1


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, time
from gevent.pool import Pool
from vton.adapters.supabase.keys import KeySet, fetch_from
from vton.errors import Problem

good, hanging, kid = sys.argv[1:]
keys = KeySet(fetch_from(good))
assert all(Pool(30).map(keys.find, [kid] * 30))
stuck = KeySet(fetch_from(hanging))

def ask(_):
    began = time.monotonic()
    try:
        stuck.find(kid)
    except Problem as problem:
        return problem.code, time.monotonic() - began

answers = Pool(30).map(ask, range(30))
assert {code for code, _ in answers} == {"keys_unavailable"}, answers
assert max(seconds for _, seconds in answers) < 3, answers
assert sorted(seconds for _, seconds in answers)[-2] < 1.5, answers
"""


def test_it_works_with_greenlets(signer: Signer) -> None:
    with jwks_server([signer.jwk]) as good, jwks_server([]) as hanging:
        hanging.mood = "hang"
        done = subprocess.run(
            [sys.executable, "-c", GREENLETS, good.url, hanging.url, signer.kid],
            cwd=ROOT, env=clean_environ(), capture_output=True, text=True, check=False,
            timeout=20,
        )  # fmt: skip

        assert done.returncode == 0, done.stderr
        assert good.requests == hanging.requests == 1


def test_a_refused_connection_is_answered_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    began = time.monotonic()

    code = refusal(lambda: KeySet(fetch_from(f"http://127.0.0.1:{port}/")).find("a"))

    assert code == "keys_unavailable"
    assert time.monotonic() - began < 1


def test_keys_that_a_token_brings_along_are_ignored(signer: Signer) -> None:
    world, theirs = World(signer), Signer(kid=signer.kid)
    with jwks_server([theirs.jwk]) as server:
        heads = [{"jwk": theirs.jwk}, {"jku": server.url}, {"x5u": server.url}]
        heads += [{"x5c": [base64.b64encode(theirs.pem).decode()]}]
        for head in heads:
            forged = theirs.sign(claims(), **head)
            unknown = theirs.sign(claims(), **head, kid="unknown")
            assert refusal(lambda forged=forged: world.tokens().verify(forged)) == "token_invalid"
            assert refusal(lambda u=unknown: world.tokens().verify(u)) == "token_invalid"
            good = signer.sign(claims(), **head)
            assert world.tokens().verify(good) == claims()["sub"]
        assert server.requests == 0
