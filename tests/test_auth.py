"""Who gets in, and who does not."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
import requests
from actors import User, jpeg

from vton.local.gateway.keys import Keys, load_keys
from vton.local.stack import Stack

HISTORY = "/api/try-on/history"


@pytest.fixture
def keys(stack: Stack) -> Keys:
    """The project's own keys."""
    return load_keys(stack.data / "supabase")


@pytest.fixture
def claims(stack: Stack) -> dict[str, Any]:
    """What a good token says."""
    now = int(time.time())
    return {
        "iss": f"{stack.settings['SUPABASE_URL']}/auth/v1",
        "aud": "authenticated",
        "exp": now + 600,
        "iat": now,
        "sub": str(uuid4()),
        "role": "authenticated",
        "email": "a@example.com",
        "session_id": str(uuid4()),
        "is_anonymous": False,
    }


def history(stack: Stack, token: str) -> requests.Response:
    """Ask for the history with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(stack.web_url + HISTORY, headers=headers, timeout=10)


def test_a_good_token_is_let_in(stack: Stack, keys: Keys, claims: dict[str, Any]) -> None:
    assert history(stack, keys.sign_token(claims)).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exp": 1}, "token_expired"),
        ({"iss": "https://elsewhere.supabase.co/auth/v1"}, "token_invalid"),
        ({"aud": "anon"}, "token_invalid"),
        ({"role": "anon"}, "token_invalid"),
        ({"role": "service_role"}, "token_invalid"),
        ({"sub": "somebody"}, "token_invalid"),
        ({"sub": None}, "token_invalid"),
        ({"exp": None}, "token_invalid"),
        ({"nbf": 2**33}, "token_invalid"),
    ],
)
def test_a_wrong_claim_is_refused(
    stack: Stack, keys: Keys, claims: dict[str, Any], change: dict[str, Any], code: str
) -> None:
    changed = {name: value for name, value in {**claims, **change}.items() if value is not None}

    response = history(stack, keys.sign_token(changed))

    assert response.status_code == 401
    assert response.json()["code"] == code
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_no_token_is_refused(stack: Stack) -> None:
    response = requests.get(stack.web_url + HISTORY, timeout=10)

    assert response.status_code == 401
    assert response.json()["code"] == "token_missing"
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_other_signatures_are_refused(stack: Stack, keys: Keys, claims: dict[str, Any]) -> None:
    good = keys.sign_token(claims)
    kid = {"kid": keys.jwk["kid"]}
    forged = [
        jwt.encode(claims, None, algorithm="none", headers=kid),
        jwt.encode(claims, keys.jwk["x"] * 2, algorithm="HS256", headers=kid),
        jwt.encode(claims, "s" * 40, algorithm="HS256"),
        good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"),
        "x" * 10_000,
        "a.b.c",
    ]

    for token in forged:
        response = history(stack, token)
        assert response.status_code == 401, token[:60]
        assert response.json()["code"] == "token_invalid"


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer ", "token"])
def test_other_headers_are_refused(stack: Stack, header: str) -> None:
    response = requests.get(stack.web_url + HISTORY, headers={"Authorization": header}, timeout=10)

    assert response.status_code == 401
    assert response.json()["code"] == "token_invalid"


def test_a_deleted_account_cannot_start_a_try_on(
    stack: Stack, sign_up: Callable[[], User], garment_id: str
) -> None:
    user = sign_up()
    key = stack.settings["SUPABASE_SERVICE_ROLE_KEY"]
    requests.delete(
        f"{stack.settings['SUPABASE_URL']}/auth/v1/admin/users/{user.id}",
        headers={"apikey": key, "Authorization": f"Bearer {key}"},
        timeout=10,
    ).raise_for_status()

    response = user.call(
        "POST",
        "/api/try-on",
        files={"userImage": ("a.jpg", jpeg())},
        data={"garmentId": garment_id},
    )

    assert response.status_code == 401
    assert user.call("GET", HISTORY).json()["data"] == []
