"""Auth through the real Supabase client, and its wire forms by hand."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from servers import PASSWORD, Servers, User
from supabase import Client
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError


def test_signing_up_signs_in(new_user: Callable[[str], User]) -> None:
    user = new_user("carol")

    found = user.client.auth.get_user()

    assert found
    assert (found.user.id, found.user.email, found.user.role) == (
        user.id,
        user.email,
        "authenticated",
    )
    assert found.user.identities
    assert not found.user.is_anonymous


def test_an_access_token_has_supabases_claims_and_is_verified_by_the_published_key(
    servers: Servers, ada: User
) -> None:
    key = jwt.PyJWKClient(f"{servers.url}/auth/v1/.well-known/jwks.json").get_signing_key_from_jwt(
        ada.token
    )
    issuer = f"{servers.url}/auth/v1"

    claims = jwt.decode(
        ada.token, key, algorithms=["ES256"], audience="authenticated", issuer=issuer
    )

    assert claims["sub"] == ada.id
    assert claims["email"] == ada.email
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert claims["amr"][0]["method"] == "password"
    expected = {"iss", "aud", "exp", "iat", "sub", "email", "phone", "app_metadata", "aal", "amr"}
    expected |= {"user_metadata", "role", "session_id", "is_anonymous"}
    assert set(claims) == expected


def test_the_published_keys_hold_nothing_private(servers: Servers) -> None:
    key = httpx.get(f"{servers.url}/auth/v1/.well-known/jwks.json").json()["keys"][0]

    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use", "key_ops"}


def test_what_the_user_said_at_sign_up_is_kept(anon: Client) -> None:
    email = f"Meta-{time.monotonic_ns()}@Example.com"
    signed_up = anon.auth.sign_up(
        {"email": email, "password": PASSWORD, "options": {"data": {"name": "Meta"}}}
    )

    assert signed_up.user
    assert signed_up.user.email == email.lower()
    assert signed_up.user.user_metadata["name"] == "Meta"


def test_signing_in_anonymously(anon: Client) -> None:
    signed_in = anon.auth.sign_in_anonymously()

    assert signed_in.user
    assert signed_in.session
    assert signed_in.user.is_anonymous
    claims = jwt.decode(signed_in.session.access_token, options={"verify_signature": False})
    assert (claims["is_anonymous"], claims["role"]) == (True, "authenticated")


def test_a_password_signs_in_and_nothing_else_does(
    servers: Servers, anon: Client, ada: User
) -> None:
    signed_in = anon.auth.sign_in_with_password({"email": ada.email, "password": PASSWORD})
    assert signed_in.user
    assert signed_in.user.id == ada.id

    for email, password in [(ada.email, "wrong one"), ("nobody@example.com", PASSWORD)]:
        with pytest.raises(AuthApiError) as failed:
            servers.client(servers.keys.publishable).auth.sign_in_with_password(
                {"email": email, "password": password}
            )
        assert failed.value.code == "invalid_credentials"
        assert failed.value.status == 400
        assert failed.value.message == "Invalid login credentials"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"email": "x@example.com", "password": ""}, 400, "validation_failed"),
        ({"email": "not an address", "password": PASSWORD}, 400, "validation_failed"),
        ({"email": "x@example.com", "password": "p" * 73}, 400, "validation_failed"),
        ({"email": "x@example.com", "password": "short"}, 422, "weak_password"),
        ([1], 400, "bad_json"),
    ],
)
def test_a_bad_sign_up_is_refused(servers: Servers, body: Any, status: int, code: str) -> None:
    headers = {"apikey": servers.keys.publishable}
    response = httpx.post(f"{servers.url}/auth/v1/signup", json=body, headers=headers)

    assert (response.status_code, response.json()["error_code"]) == (status, code)


def test_a_weak_password_says_why(anon: Client) -> None:
    with pytest.raises(AuthWeakPasswordError) as failed:
        anon.auth.sign_up({"email": "weak@example.com", "password": "short"})

    assert failed.value.reasons == ["length"]


def test_an_address_signs_up_once(servers: Servers, anon: Client, ada: User) -> None:
    with pytest.raises(AuthApiError) as failed:
        anon.auth.sign_up({"email": ada.email.upper(), "password": PASSWORD})

    assert (failed.value.status, failed.value.code) == (422, "user_already_exists")


def test_errors_take_the_form_of_the_api_version_asked_for(servers: Servers) -> None:
    url = f"{servers.url}/auth/v1/token?grant_type=password"
    body = {"email": "nobody@example.com", "password": "x"}
    headers = {"apikey": servers.keys.publishable}

    old = httpx.post(url, json=body, headers=headers)
    new = httpx.post(url, json=body, headers={**headers, "X-Supabase-Api-Version": "2024-01-01"})

    assert old.json() == {
        "code": 400,
        "error_code": "invalid_credentials",
        "msg": "Invalid login credentials",
    }
    assert new.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert new.headers["X-Supabase-Api-Version"] == "2024-01-01"


def refresh(servers: Servers, token: str) -> httpx.Response:
    return httpx.post(
        f"{servers.url}/auth/v1/token?grant_type=refresh_token",
        json={"refresh_token": token},
        headers={"apikey": servers.keys.publishable},
    )


def test_refresh_tokens_rotate_and_an_old_one_ends_the_session(
    servers: Servers, new_user: Callable[[str], User]
) -> None:
    session = new_user("dora").client.auth.get_session()
    assert session
    first = session.refresh_token

    second = refresh(servers, first).json()["refresh_token"]
    again = refresh(servers, first).json()["refresh_token"]
    third = refresh(servers, second).json()["refresh_token"]
    stolen = refresh(servers, first)
    after = refresh(servers, third)

    assert first != second
    assert again == second, "an answer that was lost can be asked for again"
    assert third not in (first, second)
    assert (stolen.status_code, stolen.json()["error_code"]) == (400, "refresh_token_already_used")
    assert (after.status_code, after.json()["error_code"]) == (400, "refresh_token_not_found")


def test_two_tabs_that_refresh_at_once_get_the_same_session(
    servers: Servers, new_user: Callable[[str], User]
) -> None:
    session = new_user("erin").client.auth.get_session()
    assert session

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(servers, session.refresh_token), range(8)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_refreshing_and_signing_out_through_the_client(new_user: Callable[[str], User]) -> None:
    user = new_user("frank")
    refreshed = user.client.auth.refresh_session()
    assert refreshed.session
    token = refreshed.session.access_token

    user.client.auth.sign_out()

    with pytest.raises(AuthApiError) as failed:
        user.client.auth.get_user(token)
    assert (failed.value.status, failed.value.code) == (403, "session_not_found")
    assert user.client.auth.get_session() is None


def test_signing_out_elsewhere_keeps_this_session(
    servers: Servers, new_user: Callable[[str], User]
) -> None:
    user = new_user("grace")
    other = servers.client(servers.keys.publishable)
    other.auth.sign_in_with_password({"email": user.email, "password": PASSWORD})

    user.client.auth.sign_out({"scope": "others"})

    assert user.client.auth.get_user(user.token)
    with pytest.raises(AuthApiError):
        other.auth.get_user()


def test_whose_token_it_is_is_not_told_for_a_bad_one(servers: Servers, ada: User) -> None:
    url, key = f"{servers.url}/auth/v1/user", servers.keys.publishable

    missing = httpx.get(url, headers={"apikey": key})
    broken = httpx.get(url, headers={"apikey": key, "Authorization": f"Bearer {ada.token[:-9]}"})

    assert (missing.status_code, missing.json()["error_code"]) == (401, "no_authorization")
    assert (broken.status_code, broken.json()["error_code"]) == (403, "bad_jwt")


def test_the_service_creates_lists_and_deletes_users(
    service: Client, anon: Client, connection: psycopg.Connection
) -> None:
    email = f"made-{time.monotonic_ns()}@example.com"
    created = service.auth.admin.create_user(
        {"email": email, "password": PASSWORD, "email_confirm": True, "user_metadata": {"a": 1}}
    )
    listed = service.auth.admin.list_users(page=1, per_page=1)
    found = service.auth.admin.get_user_by_id(created.user.id)
    signed_in = anon.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    connection.execute("insert into notes (user_id, body) values (%s, 'x')", (created.user.id,))

    with pytest.raises(AuthApiError) as twice:
        service.auth.admin.create_user({"email": email, "password": PASSWORD})
    service.auth.admin.delete_user(created.user.id)
    with pytest.raises(AuthApiError) as gone:
        service.auth.admin.get_user_by_id(created.user.id)
    with pytest.raises(AuthApiError) as token:
        anon.auth.get_user()

    assert [user.id for user in listed] == [created.user.id]
    assert found.user.user_metadata["a"] == 1
    assert signed_in.session
    assert (twice.value.status, twice.value.code) == (422, "email_exists")
    assert (gone.value.status, gone.value.code) == (404, "user_not_found")
    assert (token.value.status, token.value.code) == (403, "user_not_found")


def test_only_the_service_administers(servers: Servers, anon: Client, ada: User) -> None:
    with pytest.raises(AuthApiError) as as_anon:
        anon.auth.admin.list_users()
    with pytest.raises(AuthApiError) as as_user:
        ada.client.auth.admin.list_users()
    no_key = httpx.get(f"{servers.url}/auth/v1/admin/users")

    assert (as_anon.value.status, as_anon.value.code) == (403, "not_admin")
    assert (as_user.value.status, as_user.value.code) == (403, "not_admin")
    assert no_key.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "otp"), ("PUT", "user"), ("GET", "authorize"), ("POST", "token?grant_type=pkce")],
)
def test_what_is_not_there_says_so(servers: Servers, method: str, path: str) -> None:
    headers = {"apikey": servers.keys.publishable}
    response = httpx.request(method, f"{servers.url}/auth/v1/{path}", json={}, headers=headers)

    assert (response.status_code, response.json()["error_code"]) == (501, "not_supported")
