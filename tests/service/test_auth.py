"""Who gets in, and who does not; and whose a session is."""

import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
import psycopg
import pytest
import requests
from actors import User, jpeg, until, upload
from flask import Flask
from redis import Redis
from werkzeug.test import TestResponse

from config import Config
from devstack.stack import Stack
from devstack.supabase.keys import Keys, load_keys
from vton.adapters.redis.status_cache import ENDED_SECONDS, status_key
from vton.app import create_app

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


@pytest.mark.parametrize("first", ["good", "bad"])
def test_two_headers_are_refused(stack: Stack, user: User, first: str) -> None:
    tokens = [user.token, "bad"] if first == "good" else ["bad", user.token]
    lines = [f"GET {HISTORY} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"Authorization: Bearer {token}" for token in tokens]
    request = "".join(f"{line}\r\n" for line in lines) + "\r\n"

    with socket.create_connection(("127.0.0.1", stack.ports.web), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = connection.makefile("rb").read().decode()

    assert answer.startswith("HTTP/1.1 401 ")
    assert '"token_invalid"' in answer


def delete_account(stack: Stack, user: User) -> None:
    """Delete a user, as an operator does."""
    key = stack.settings["SUPABASE_SERVICE_ROLE_KEY"]
    requests.delete(
        f"{stack.settings['SUPABASE_URL']}/auth/v1/admin/users/{user.id}",
        headers={"apikey": key, "Authorization": f"Bearer {key}"},
        timeout=10,
    ).raise_for_status()


def test_a_deleted_account_finds_nothing_and_starts_nothing(
    stack: Stack, sign_up: Callable[[], User], garment_id: str, redis: Redis
) -> None:
    user = sign_up()
    session_id = user.start(garment_id)
    session = f"/api/try-on/{session_id}"
    user.wait(session_id)
    delete_account(stack, user)

    started = user.call(
        "POST",
        "/api/try-on",
        files={"userImage": ("a.jpg", jpeg())},
        data={"garmentId": garment_id},
    )

    assert started.status_code == 401
    assert started.json()["code"] == "token_invalid"
    assert user.call("GET", HISTORY).json()["data"] == []
    kept = status_key(user.id, session_id)
    assert redis.ttl(kept) <= ENDED_SECONDS
    redis.delete(kept)  # as Redis does by then
    assert user.call("GET", f"{session}/status").status_code == 404
    assert user.call("DELETE", session).json()["code"] == "session_not_found"


# -- whose a session is ----------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One request that the service made of Supabase."""

    method: str
    path: str
    query: str
    body: str


class Tap:
    """Stands between the service and Supabase, and writes down what is asked."""

    def __init__(self, behind: str) -> None:
        self.asked: list[Asked] = []
        tap = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path, _, query = self.path.partition("?")
                tap.asked.append(Asked(self.command, path, query, body.decode("latin-1")))
                sent = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
                answer = requests.request(
                    self.command, behind + self.path, headers=sent, data=body, timeout=20
                )
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = handle_one  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


HOP = {
    "host", "connection", "content-length", "transfer-encoding", "content-encoding",
    "accept-encoding", "date", "server",
}  # fmt: skip


@pytest.fixture(scope="module")
def tap(stack: Stack) -> Iterator[Tap]:
    """The stack's Supabase, with somebody who writes."""
    tap = Tap(stack.settings["SUPABASE_URL"])
    thread = threading.Thread(target=tap.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield tap
    tap.server.shutdown()
    tap.server.server_close()


@pytest.fixture(scope="module")
def tapped(stack: Stack, tap: Tap) -> Flask:
    """The service, with nobody but us to ask it for anything."""
    config = Config.from_env(stack.child_environ)
    return create_app(config.model_copy(update={"supabase_url": tap.url}))


class Caller:
    """A user of that service, whose token says that the tap is the project."""

    def __init__(self, app: Flask, tap: Tap, user: User, keys: Keys, claims: dict[str, Any]):
        claims = {**claims, "sub": user.id, "iss": f"{tap.url}/auth/v1"}
        self.headers = {"Authorization": f"Bearer {keys.sign_token(claims)}"}
        self.id, self._app, self._tap = user.id, app, tap
        self.call("GET", HISTORY)  # the keys have been fetched

    def call(self, method: str, path: str, **options: Any) -> tuple[TestResponse, list[Asked]]:
        """An answer, and what was asked for its sake."""
        before = len(self._tap.asked)
        answer = self._app.test_client().open(path, method=method, headers=self.headers, **options)
        return answer, self._tap.asked[before:]


@pytest.fixture
def caller(
    tapped: Flask, tap: Tap, keys: Keys, claims: dict[str, Any], sign_up: Callable[[], User]
) -> Caller:
    """Somebody."""
    return Caller(tapped, tap, sign_up(), keys, claims)


def anonymous(text: str, session_id: str) -> str:
    """A text without what is another one each time."""
    text = re.sub(r'"request_id":\s*"[^"]*"', "", text)
    return text.replace(session_id, "<session>")


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = ("/api/try-on/{}", "/api/try-on/{}/status")


@pytest.mark.parametrize("status", ["success", "queued"])
def test_anothers_session_is_like_one_that_does_not_exist(
    caller: Caller,
    user: User,
    garment_id: str,
    database: psycopg.Connection[Any],
    status: str,
) -> None:
    theirs, none = user.start(garment_id), str(uuid4())
    user.wait(theirs)
    if status == "queued":
        sql = "update try_on_history set status = %s, result_image_url = null where id = %s"
        database.execute(sql, [status, theirs])

    def seen(method: str, path: str, session_id: str) -> tuple[Any, ...]:
        answer, asked = caller.call(method, path.format(session_id))
        headers = {k: v for k, v in answer.headers.items() if k not in ("X-Request-ID", "Date")}
        queries = [anonymous(repr(one), session_id) for one in asked]
        return answer.status_code, anonymous(answer.text, session_id), headers, queries

    for method, path in itertools.product(METHODS, PATHS):
        of_theirs, of_none = seen(method, path, theirs), seen(method, path, none)
        assert of_theirs == of_none
        assert of_theirs[0] in ((404, 405) if method != "OPTIONS" else (200,))
    assert user.status(theirs)["sessionId"] == theirs
    database.execute("delete from try_on_history where id = %s", [theirs])


def is_filtered(asked: Asked, user_id: str) -> bool:
    """Whether a request to Supabase can touch this user's rows and photos only.

    The service key may do anything, so the query itself must say whose.
    """
    if asked.path == "/rest/v1/pauses":  # which are everybody's
        return True
    if asked.path.startswith("/rest/v1/rpc/"):
        return f'"p_user_id":"{user_id}"' in asked.body.replace(" ", "")
    if asked.path.startswith("/rest/v1/"):
        return f"user_id=eq.{user_id}" in asked.query.split("&")
    if asked.path.startswith("/storage/v1/"):
        names = re.findall(r"(?:user-uploads|try-on-results)/([^/\"]+)/", asked.path + asked.body)
        return bool(names) and set(names) == {user_id}
    return False


def test_every_query_for_a_user_says_whose(
    caller: Caller, tapped: Flask, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    answer, asked = caller.call("POST", "/api/try-on", data=upload(jpeg(), garment_id))
    assert answer.status_code == 202
    session_id = answer.get_json()["data"]["sessionId"]
    until(lambda: ended(database, session_id))
    calls = {
        "try-on.create_session": asked,
        "try-on.get_status": caller.call("GET", f"/api/try-on/{session_id}/status")[1],
        "try-on.list_history": caller.call("GET", f"{HISTORY}?limit=1")[1],
        "try-on.delete_session": caller.call("DELETE", f"/api/try-on/{session_id}")[1],
    }

    views = tapped.view_functions
    assert set(calls) == {name for name in views if access(views[name]) == "user"}
    for name, made in calls.items():
        assert made, name
        for one in made:
            assert is_filtered(one, caller.id), f"{name}: {one}"


def access(view: Any) -> str | None:
    """Who may call a view: what its decorator says."""
    found: str | None = getattr(view, "access", None)
    return found


def ended(database: psycopg.Connection[Any], session_id: str) -> bool:
    """Whether a session has ended."""
    row = database.execute("select status from try_on_history where id = %s", [session_id])
    return row.fetchone() in (("success",), ("failed",))
