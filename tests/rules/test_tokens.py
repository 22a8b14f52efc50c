"""Access tokens and the keys they are checked with, away from any stack."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from jwt.algorithms import ECAlgorithm
from signers import NOW, RSA_KEY, SECRET, Signer, World, claims, refusal

from vton.adapters.supabase.keys import (
    COOLDOWN_SECONDS,
    LAST_GOOD_SECONDS,
    REFRESH_SECONDS,
    KeySet,
)
from vton.adapters.supabase.tokens import MAX_REMEMBERED, REFUSALS_SECONDS, REMEMBERED_SECONDS
from vton.errors import Problem


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


def test_clocks_may_differ_by_half_a_minute_and_no_more(world: World, signer: Signer) -> None:
    tokens = world.tokens()

    assert tokens.verify(signer.sign(claims(iat=NOW + 30)))
    assert tokens.verify(signer.sign(claims(nbf=NOW + 30)))
    assert tokens.verify(signer.sign(claims(exp=NOW - 29.5)))
    for change, code in (
        ({"iat": NOW + 30.5}, "token_invalid"),
        ({"nbf": NOW + 30.5}, "token_invalid"),
        ({"exp": NOW - 30}, "token_expired"),
    ):
        token = signer.sign(claims(**change))
        assert refusal(lambda token=token: tokens.verify(token)) == code


def test_a_time_beyond_all_reason_is_none(world: World, signer: Signer) -> None:
    tokens = world.tokens()

    assert tokens.verify(signer.sign(claims(exp=10**12 - 1)))
    assert refusal(lambda: tokens.verify(signer.sign(claims(exp=10**12)))) == "token_invalid"
    assert refusal(lambda: tokens.verify(signer.sign(claims(nbf=-1)))) == "token_invalid"


@pytest.mark.parametrize(
    "issuer", ["https://login.shop.example/auth/v1", "http://kong:8000/auth/v1"]
)
def test_a_project_of_two_names_may_be_named_by_either(signer: Signer, issuer: str) -> None:
    issuers = ("https://login.shop.example/auth/v1", "http://kong:8000/auth/v1")

    assert World(signer).tokens(issuers=issuers).verify(signer.sign(claims(iss=issuer)))


# -- bad ones --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"iss": "https://elsewhere.supabase.co/auth/v1"}, "token_invalid"),
        ({"iss": None}, "token_invalid"),
        ({"aud": "anon"}, "token_invalid"),
        ({"aud": None}, "token_invalid"),
        ({"exp": NOW - 31}, "token_expired"),
        ({"exp": None}, "token_invalid"),
        ({"exp": "never"}, "token_invalid"),
        ({"exp": float("nan")}, "token_invalid"),
        ({"exp": float("inf")}, "token_invalid"),
        ({"exp": True}, "token_invalid"),
        ({"nbf": NOW + 31}, "token_invalid"),
        ({"iat": NOW + 31}, "token_invalid"),
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
    world.time += 51

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
    with pytest.raises(Problem) as caught:
        keys.find("unseen")
    assert (caught.value.code, caught.value.retry_after) == ("keys_unavailable", COOLDOWN_SECONDS)

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
    with pytest.raises(Problem) as caught:
        keys.find(signer.kid)
    assert (caught.value.code, caught.value.retry_after) == ("keys_unavailable", COOLDOWN_SECONDS)


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


# -- what the log is told ----------------------------------------------------------------------


def test_a_strange_issuer_is_told_once_a_minute_with_what_was_wanted(
    world: World, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = world.tokens()
    token = signer.sign(claims(iss="https://login.shop.example/auth/v1\nERROR forged"))

    for seconds in (0, REFUSALS_SECONDS - 1, 1):
        world.time += seconds
        assert refusal(lambda: tokens.verify(token)) == "token_invalid"

    first, second = caplog.messages
    assert second == first.replace("issuer 1", "issuer 2")
    assert first.startswith("tokens are refused: issuer 1 ('https://login")
    assert r"login.shop.example/auth/v1\nERROR" in first
    assert claims()["iss"] in first


@pytest.mark.parametrize(
    ("algorithm", "found"),
    [("HS256", "HS256, and SUPABASE_JWT_SECRET is not set"), ("HS512", "'HS512'")],
)
def test_a_strange_algorithm_is_told(
    world: World, caplog: pytest.LogCaptureFixture, algorithm: str, found: str
) -> None:
    tokens = world.tokens()
    token = jwt.encode(claims(), SECRET * 3, algorithm)

    for _ in range(3):
        assert refusal(lambda: tokens.verify(token)) == "token_invalid"

    assert caplog.messages == [f"tokens are refused: algorithm 1 ({found})"]


def test_a_forged_issuer_is_not_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody may send it: only what the project has signed is a setting's fault."""
    forged = Signer().sign(claims(iss="https://elsewhere.example"))

    assert refusal(lambda: world.tokens().verify(forged)) == "token_invalid"
    assert "elsewhere" not in caplog.text
