"""Access tokens and the keys they are checked with, away from any stack."""

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
import pytest
import requests
from actors import ROOT, clean_environ
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from vton.adapters.supabase.tokens import (
    COOLDOWN_SECONDS,
    LAST_GOOD_SECONDS,
    MAX_REMEMBERED,
    REFRESH_SECONDS,
    REMEMBERED_SECONDS,
    KeySet,
    SupabaseTokens,
    fetch_from,
)
from vton.errors import Problem

URL = "https://abcdefghijklmnopqrst.supabase.co"
SECRET = "a-legacy-secret-of-at-least-32-characters"
NOW = 1_800_000_000
ALGORITHMS = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm}
RSA_KEY = rsa.generate_private_key(65537, 2048)


class Signer:
    """A signing key of a project's Auth."""

    def __init__(self, algorithm: str = "ES256", kid: str = "") -> None:
        self.algorithm, self.kid = algorithm, kid or str(uuid4())
        self.key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else RSA_KEY

    @property
    def jwk(self) -> dict[str, Any]:
        """What the project publishes of it, as Supabase does."""
        public = ALGORITHMS[self.algorithm].to_jwk(self.key.public_key(), as_dict=True)
        extra = {"kid": self.kid, "alg": self.algorithm, "use": "sig", "ext": True}
        return {**public, **extra, "key_ops": ["verify"]}

    @property
    def pem(self) -> bytes:
        """The public key as a file."""
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """A token."""
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": self.kid, **headers})


def claims(**changes: Any) -> dict[str, Any]:
    """What Supabase Auth says in a token; None leaves a claim out."""
    everything = {
        "iss": f"{URL}/auth/v1",
        "sub": "7b0b4b5e-5e44-4a5c-8f6e-0b3f6d9a8c11",
        "aud": "authenticated",
        "exp": NOW + 3600,
        "iat": NOW,
        "email": "somebody@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email": "somebody@example.com", "email_verified": True},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": NOW}],
        "session_id": "3f0b8c1e-2f0f-4d0e-9b55-6d8f2d3f0c2a",
        "is_anonymous": False,
        **changes,
    }
    return {name: value for name, value in everything.items() if value is not None}


class World:
    """A clock, and what a project publishes: keys, or nothing while it is away."""

    def __init__(self, *signers: Signer) -> None:
        self.time = float(NOW)
        self.published: list[Any] | None = [signer.jwk for signer in signers]
        self.fetches = 0

    def clock(self) -> float:
        """What time it is."""
        return self.time

    def fetch(self) -> dict[str, Any]:
        """The key set, asked for once more."""
        self.fetches += 1
        if self.published is None:
            raise requests.ConnectTimeout
        return {"keys": self.published}

    def keys(self) -> KeySet:
        """What reads it; a thread's work is done at once."""
        return KeySet(self.fetch, self.clock, spawn=lambda work: work())

    def tokens(self, secret: str = "") -> SupabaseTokens:
        """What checks tokens of this world."""
        return SupabaseTokens(URL, secret, self.keys(), self.clock, self.clock)


def refusal(check: Callable[[], object]) -> str:
    """The code that a check is refused with."""
    with pytest.raises(Problem) as caught:
        check()
    return caught.value.code


@pytest.fixture
def signer() -> Signer:
    """The project's key."""
    return Signer()


@pytest.fixture
def world(signer: Signer) -> World:
    """A project that publishes it."""
    return World(signer)


# -- good ones -------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_token_signed_with_a_published_key_is_good(algorithm: str) -> None:
    signer = Signer(algorithm)

    assert World(signer).tokens().verify(signer.sign(claims())) == claims()["sub"]


def test_a_token_signed_with_the_secret_is_good_where_one_is_configured() -> None:
    world = World()

    assert world.tokens(SECRET).verify(jwt.encode(claims(), SECRET)) == claims()["sub"]
    assert world.fetches == 0


def test_clocks_may_differ_a_little(world: World, signer: Signer) -> None:
    tokens = world.tokens()

    assert tokens.verify(signer.sign(claims(iat=NOW + 4)))
    assert tokens.verify(signer.sign(claims(exp=NOW - 4)))


def test_clocks_may_differ_by_five_seconds_and_no_more(world: World, signer: Signer) -> None:
    tokens = world.tokens()

    assert tokens.verify(signer.sign(claims(iat=NOW + 5)))
    assert tokens.verify(signer.sign(claims(nbf=NOW + 5)))
    assert tokens.verify(signer.sign(claims(exp=NOW - 4.5)))
    for change, code in (
        ({"iat": NOW + 5.5}, "token_invalid"),
        ({"nbf": NOW + 5.5}, "token_invalid"),
        ({"exp": NOW - 5}, "token_expired"),
    ):
        token = signer.sign(claims(**change))
        assert refusal(lambda token=token: tokens.verify(token)) == code


def test_a_time_beyond_all_reason_is_none(world: World, signer: Signer) -> None:
    tokens = world.tokens()

    assert tokens.verify(signer.sign(claims(exp=10**12 - 1)))
    assert refusal(lambda: tokens.verify(signer.sign(claims(exp=10**12)))) == "token_invalid"
    assert refusal(lambda: tokens.verify(signer.sign(claims(nbf=-1)))) == "token_invalid"


# -- bad ones --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"iss": "https://elsewhere.supabase.co/auth/v1"}, "token_invalid"),
        ({"iss": None}, "token_invalid"),
        ({"aud": "anon"}, "token_invalid"),
        ({"aud": None}, "token_invalid"),
        ({"exp": NOW - 6}, "token_expired"),
        ({"exp": None}, "token_invalid"),
        ({"exp": "never"}, "token_invalid"),
        ({"exp": float("nan")}, "token_invalid"),
        ({"exp": float("inf")}, "token_invalid"),
        ({"exp": True}, "token_invalid"),
        ({"nbf": NOW + 6}, "token_invalid"),
        ({"iat": NOW + 6}, "token_invalid"),
        ({"iat": None}, "token_invalid"),
        ({"sub": None}, "token_invalid"),
        ({"sub": ""}, "token_invalid"),
        ({"sub": "somebody"}, "token_invalid"),
        ({"sub": 7}, "token_invalid"),
        ({"role": None}, "token_invalid"),
        ({"role": "anon"}, "token_invalid"),
        ({"role": "service_role"}, "token_invalid"),
    ],
)
@pytest.mark.parametrize("kind", ["published key", "secret"])
def test_a_claim_that_is_not_right_is_refused(
    world: World, signer: Signer, change: dict[str, Any], code: str, kind: str
) -> None:
    changed = claims(**change)
    by_secret = kind == "secret"
    if isinstance(changed.get("sub"), int):
        token = raw_token(changed, signer, SECRET if by_secret else None)
    else:
        token = jwt.encode(changed, SECRET) if by_secret else signer.sign(changed)

    assert refusal(lambda: world.tokens(SECRET).verify(token)) == code


def test_no_algorithm_is_refused(world: World, signer: Signer) -> None:
    for name in ("none", "None", "NONE", "nOnE"):
        head = encoded({"alg": name, "typ": "JWT", "kid": signer.kid})
        for signature in ("", "AAAA"):
            token = f"{head}.{encoded(claims())}.{signature}"
            assert refusal(lambda token=token: world.tokens(SECRET).verify(token)) == (
                "token_invalid"
            )


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
@pytest.mark.parametrize("secret", ["", SECRET])
def test_a_public_key_is_no_secret(algorithm: str, secret: str) -> None:
    signer = Signer(algorithm)
    tokens = World(signer).tokens(secret)
    number = signer.jwk.get("x") or signer.jwk["n"]
    known = [signer.pem, signer.pem.strip(), json.dumps(signer.jwk).encode()]
    known += [number.encode(), base64.urlsafe_b64decode(number + "==")]

    for secret_of_theirs in known:
        forged = hs256(claims(), secret_of_theirs, signer.kid)
        assert refusal(lambda forged=forged: tokens.verify(forged)) == "token_invalid"


def test_a_secret_is_refused_where_none_is_configured(world: World) -> None:
    assert refusal(lambda: world.tokens().verify(jwt.encode(claims(), SECRET))) == "token_invalid"
    empty = hs256(claims(), b"", "")
    assert refusal(lambda: world.tokens().verify(empty)) == "token_invalid"


def test_another_secret_is_refused(world: World) -> None:
    forged = jwt.encode(claims(), "another-secret-of-at-least-32-characters")

    assert refusal(lambda: world.tokens(SECRET).verify(forged)) == "token_invalid"


@pytest.mark.parametrize("name", ["PS256", "RS512", "HS512"])
def test_no_keys_are_fetched_for_an_algorithm_that_is_not_ours(world: World, name: str) -> None:
    key: Any = SECRET * 2 if name == "HS512" else RSA_KEY
    token = jwt.encode(claims(), key, name, headers={"kid": "unseen"})

    assert refusal(lambda: world.tokens(SECRET).verify(token)) == "token_invalid"
    assert world.fetches == 0


def test_another_key_id_is_refused(world: World, signer: Signer) -> None:
    assert refusal(lambda: world.tokens().verify(signer.sign(claims(), kid="x"))) == "token_invalid"
    no_kid = jwt.encode(claims(), signer.key, "ES256")
    assert refusal(lambda: world.tokens().verify(no_kid)) == "token_invalid"


def test_anothers_key_of_the_same_id_is_refused(world: World, signer: Signer) -> None:
    forged = Signer(kid=signer.kid).sign(claims())

    assert refusal(lambda: world.tokens().verify(forged)) == "token_invalid"


def test_the_token_does_not_choose_the_algorithm() -> None:
    elliptic, other = Signer("ES256"), Signer("RS256")
    tokens = World(elliptic, other).tokens(SECRET)

    crossed = [elliptic.sign(claims(), kid=other.kid), other.sign(claims(), kid=elliptic.kid)]
    crossed += [jwt.encode(claims(), RSA_KEY, name, headers={"kid": other.kid})
                for name in ("RS384", "RS512", "PS256")]  # fmt: skip
    crossed += [jwt.encode(claims(), SECRET * 2, name) for name in ("HS384", "HS512")]

    for token in crossed:
        assert refusal(lambda token=token: tokens.verify(token)) == "token_invalid"


def test_keys_that_a_token_brings_along_are_ignored(world: World, signer: Signer) -> None:
    theirs = Signer(kid=signer.kid)
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


def test_a_tampered_byte_is_refused(world: World, signer: Signer) -> None:
    token, tokens = signer.sign(claims()), world.tokens()
    for place in range(0, len(token), 7):
        other = "A" if token[place] != "A" else "B"
        tampered = token[:place] + other + token[place + 1 :]
        if tampered.split(".")[:2] == token.split(".")[:2] and place == len(token) - 1:
            continue  # the last letter of base64 has bits that do not count
        assert refusal(lambda t=tampered: tokens.verify(t)) in ("token_invalid", "token_expired")


@pytest.mark.parametrize(
    "rubbish",
    [
        "",
        ".",
        "..",
        "x" * 10_000,
        "." * 10_000,
        "é" * 5_000,
        "\x00" * 10_000,
        "eyJhbGciOiJFUzI1NiJ9." * 500,
        base64.urlsafe_b64encode(b"[" * 7_000).decode() + ".e30.AA",
        base64.urlsafe_b64encode(b'{"alg":[],"kid":{}}').decode() + ".e30.AA",
        base64.urlsafe_b64encode(b'{"alg":"ES256","kid":7}').decode() + ".e30.AA",
        base64.urlsafe_b64encode(b'"ES256"').decode() + ".e30.AA",
    ],
)
def test_rubbish_is_refused(world: World, rubbish: str) -> None:
    assert refusal(lambda: world.tokens(SECRET).verify(rubbish)) == "token_invalid"
    assert world.fetches == 0


# -- keys come and go ------------------------------------------------------------------------


def test_keys_are_rotated_without_a_restart(world: World, signer: Signer) -> None:
    tokens, new = world.tokens(), Signer()
    assert tokens.verify(signer.sign(claims(exp=NOW + 9000)))
    world.published = [signer.jwk, new.jwk]
    world.time += COOLDOWN_SECONDS

    assert tokens.verify(new.sign(claims()))
    assert tokens.verify(signer.sign(claims(exp=NOW + 9001)))

    world.published = [new.jwk]
    world.time += REFRESH_SECONDS + 1
    assert tokens.verify(new.sign(claims()))
    old = signer.sign(claims(exp=NOW + 9002))
    assert refusal(lambda: tokens.verify(old)) == "token_invalid"


def test_a_verified_token_outlives_its_key_by_a_minute_at_most(
    world: World, signer: Signer
) -> None:
    tokens, new, token = world.tokens(), Signer(), signer.sign(claims())
    tokens.verify(token)
    world.published = [new.jwk]
    world.time += COOLDOWN_SECONDS
    tokens.verify(new.sign(claims()))

    assert tokens.verify(token)
    world.time += REMEMBERED_SECONDS - COOLDOWN_SECONDS
    assert refusal(lambda: tokens.verify(token)) == "token_invalid"


def test_a_remembered_token_ends_when_it_expires(world: World, signer: Signer) -> None:
    tokens, token = world.tokens(), signer.sign(claims(exp=NOW + 20))
    tokens.verify(token)
    world.time += 26

    assert refusal(lambda: tokens.verify(token)) == "token_expired"


def test_only_so_many_tokens_are_remembered(world: World) -> None:
    tokens = world.tokens(SECRET)
    remembered = tokens._remembered
    for number in range(MAX_REMEMBERED + 50):
        remembered.put(number.to_bytes(32, "big"), "somebody", 60)

    assert len(remembered._users) == MAX_REMEMBERED
    assert remembered.get((0).to_bytes(32, "big")) is None
    assert remembered.get((MAX_REMEMBERED).to_bytes(32, "big")) == "somebody"


def test_a_token_that_is_verified_again_is_not_the_oldest_any_more(world: World) -> None:
    remembered = world.tokens()._remembered
    digests = [number.to_bytes(32, "big") for number in range(MAX_REMEMBERED + 1)]
    for digest in [*digests[:-1], digests[0]]:
        remembered.put(digest, "somebody", 60)
    assert len(remembered._users) == MAX_REMEMBERED

    remembered.put(digests[-1], "somebody", 60)

    found = [remembered.get(digests[number]) for number in (0, 1, 2, -1)]
    assert found == ["somebody", None, "somebody", "somebody"]


def test_a_token_is_remembered_for_a_minute_and_never_longer_than_it_is_good(
    world: World,
) -> None:
    remembered = world.tokens()._remembered
    remembered.put(b"long", "somebody", 3600)
    remembered.put(b"short", "somebody", 20)
    remembered.put(b"late", "somebody", -3)  # good within the leeway only

    def known() -> list[str | None]:
        return [remembered.get(digest) for digest in (b"long", b"short", b"late")]

    assert known() == ["somebody", "somebody", None]
    world.time += 20
    assert known() == ["somebody", None, None]
    world.time += 39
    assert known() == ["somebody", None, None]
    world.time += 1
    assert known() == [None, None, None]


def test_a_remembered_token_is_not_the_other_that_begins_like_it(
    world: World, signer: Signer
) -> None:
    tokens, token = world.tokens(), signer.sign(claims())
    tokens.verify(token)

    assert refusal(lambda: tokens.verify(token[:-8])) == "token_invalid"
    assert hashlib.sha256(token.encode()).digest() in tokens._remembered._users


def test_an_hour_without_the_keys_harms_nobody_who_is_known(world: World, signer: Signer) -> None:
    keys = world.keys()
    keys.find(signer.kid)
    world.published = None

    for _ in range(60):
        world.time += 60
        assert keys.find(signer.kid)
    assert refusal(lambda: keys.find("unseen")) == "keys_unavailable"

    world.published = [signer.jwk]
    world.time += COOLDOWN_SECONDS
    assert keys.find("unseen") is None


def test_the_last_good_keys_serve_for_a_day(world: World, signer: Signer) -> None:
    keys = world.keys()
    keys.find(signer.kid)
    world.published = None
    world.time += LAST_GOOD_SECONDS - 1
    assert keys.find(signer.kid)

    world.time += 2
    assert refusal(lambda: keys.find(signer.kid)) == "keys_unavailable"


def test_keys_never_seen_have_the_set_fetched_every_thirty_seconds_at_most(
    world: World, signer: Signer
) -> None:
    keys = world.keys()
    keys.find(signer.kid)
    for second in (0, 1, 29.5):
        world.time = NOW + second
        assert keys.find(f"unseen {second}") is None
    assert world.fetches == 1

    world.time = NOW + 30
    assert keys.find("unseen") is None
    assert world.fetches == 2


@pytest.mark.parametrize("answer", ["nonsense", {}, {"keys": {}}, {"keys": None}, {"no": 1}])
def test_an_answer_that_is_no_key_set_leaves_the_keys(signer: Signer, answer: Any) -> None:
    answers = iter([{"keys": [signer.jwk]}, answer])
    world = World()
    keys = KeySet(lambda: next(answers), world.clock, spawn=lambda work: work())
    keys.find(signer.kid)
    world.time += REFRESH_SECONDS + 1

    assert keys.find(signer.kid)
    assert refusal(lambda: keys.find("unseen")) == "keys_unavailable"


def test_keys_that_must_not_sign_tokens_are_left_out(signer: Signer) -> None:
    world, good = World(), Signer()
    world.published = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {**signer.jwk, "use": "enc", "kid": "enc"},
        {**signer.jwk, "alg": "HS256", "kid": "hs"},
        {**signer.jwk, "crv": "P-384", "kid": "curve"},
        {**signer.jwk, "x": "AA", "kid": "broken"},
        {**signer.jwk, "kid": ["list"]},
        {"kty": ["EC"], "kid": "odd"},
        "text",
        good.jwk,
    ]
    keys = world.keys()

    assert keys.find(good.kid)
    assert [keys.find(kid) for kid in ("oct", "enc", "hs", "curve", "broken", "odd")] == [None] * 6


def test_a_project_without_published_keys_refuses_them_all() -> None:
    world = World()

    assert refusal(lambda: world.tokens(SECRET).verify(Signer().sign(claims()))) == "token_invalid"


def test_known_keys_are_fetched_again_behind_the_requests_back(signer: Signer) -> None:
    world, begun = World(signer), []
    keys = KeySet(world.fetch, world.clock, spawn=begun.append, patience=0.01)
    refusal(lambda: keys.find(signer.kid))
    begun.pop()()
    assert keys.find(signer.kid)
    world.time += REFRESH_SECONDS + 1

    assert keys.find(signer.kid)  # and the fetch has not even begun
    assert keys.find(signer.kid)
    assert len(begun) == 1
    assert world.fetches == 1


def test_who_has_slept_for_long_looks_before_trusting_an_old_key(
    world: World, signer: Signer
) -> None:
    keys = world.keys()
    keys.find(signer.kid)
    world.published = []
    world.time += 3 * REFRESH_SECONDS

    assert keys.find(signer.kid) is None


@pytest.mark.parametrize(
    ("asked_at", "waits"),
    [
        ([2 * REFRESH_SECONDS], False),
        ([2 * REFRESH_SECONDS + 1], True),
        ([2 * REFRESH_SECONDS, 3 * REFRESH_SECONDS], False),
        ([2 * REFRESH_SECONDS, 3 * REFRESH_SECONDS + 1], True),
    ],
)
def test_only_who_has_slept_waits_for_a_key_that_is_known(
    signer: Signer, asked_at: list[float], waits: bool
) -> None:
    """Where fetching was tried a moment ago and failed, waiting would teach nothing new."""
    world, patience = World(signer), 0.2
    keys = KeySet(world.fetch, world.clock, spawn=lambda work: spawn(work), patience=patience)
    spawn: Callable[[Callable[[], None]], object] = lambda work: work()  # noqa: E731
    keys.find(signer.kid)
    world.published = None
    for at in asked_at[:-1]:
        world.time = NOW + at
        keys.find(signer.kid)
    world.time = NOW + asked_at[-1]
    spawn = [].append  # which is never done
    began = time.monotonic()

    assert keys.find(signer.kid)

    assert (time.monotonic() - began >= patience) == waits


# -- with a real server ----------------------------------------------------------------------


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
from vton.adapters.supabase.tokens import KeySet, fetch_from
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


# -- forgeries -------------------------------------------------------------------------------


def encoded(part: dict[str, Any] | bytes) -> str:
    """A part of a token."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hs256(content: dict[str, Any], secret: bytes, kid: str) -> str:
    """A token by a secret that PyJWT would refuse to sign with."""
    text = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{encoded(content)}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def raw_token(content: dict[str, Any], signer: Signer, secret: str | None) -> str:
    """A token with claims that PyJWT would refuse to sign, signed rightly."""
    if secret is not None:
        return hs256(content, secret.encode(), "")
    text = f"{encoded({'alg': 'ES256', 'typ': 'JWT', 'kid': signer.kid})}.{encoded(content)}"
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(text.encode(), signer.key)
    return f"{text}.{encoded(signature)}"
