"""What passes between a browser, or a socket, and the service: headers, CORS, bounds, envelopes."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
import requests
from actors import User, jpeg, upload
from flask import Flask, request
from PIL import Image

from config import Config
from devstack.stack import Stack
from vton.app import create_app
from vton.errors import CATALOGUE, Problem
from vton.imaging.opening import MAX_BYTES
from vton.web import uploads

REQUIRED = {
    "SUPABASE_URL": "https://example.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
    "CORS_ORIGINS": "https://shop.example,https://*.lovable.app,http://localhost:*",
}
NOBODYS = "8a6e0804-2bd0-4672-b79d-d97027f9071a"
SLOW_UPLOADS = 40


@pytest.fixture
def app() -> Flask:
    """The application; nothing it is connected to is there."""
    return create_app(Config.from_env(REQUIRED))


# -- headers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/api/try-on/history", "/nowhere", "/static/x/page.css"]
)
def test_every_answer_tells_the_browser_what_not_to_do(app: Flask, path: str) -> None:
    headers = app.test_client().get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in headers


def test_an_answer_by_the_api_may_load_nothing(app: Flask) -> None:
    policy = app.test_client().get("/api/try-on/history").headers["Content-Security-Policy"]

    assert policy == "default-src 'none'; frame-ancestors 'none'"


def test_who_came_by_https_stays_there(app: Flask) -> None:
    answer = app.test_client().get("/health/live", headers={"X-Forwarded-Proto": "https"})

    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("scheme", ["javascript", "ftp", "", "https, ws", "http:x"])
def test_no_other_scheme_is_taken_from_a_proxy(app: Flask, scheme: str) -> None:
    seen: list[str] = []
    app.before_request(lambda: seen.append(request.scheme))

    app.test_client().get("/health/live", headers={"X-Forwarded-Proto": scheme})
    app.test_client().get("/health/live", headers={"X-Forwarded-Proto": f"{scheme}, https"})

    assert seen == ["http", "https"]


def test_only_who_is_asked_by_a_trusted_name_answers() -> None:
    names = {"TRUSTED_HOSTS": "localhost,127.0.0.1,.shop.example"}
    client = create_app(Config.from_env({**REQUIRED, **names})).test_client()

    def answer(host: str) -> Any:
        return client.get("/api/try-on/history", headers={"Host": host})

    trusted = ("localhost:8000", "127.0.0.1", "a.shop.example")
    assert {answer(host).status_code for host in trusted} == {401}
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000"):
        assert answer(host).status_code == 400
        assert answer(host).get_json()["code"] == "bad_request"
    probe = client.get("/health/live", headers={"Host": "10.0.0.7:8000"})
    assert probe.status_code == 200  # by an address, as those do who restart what is not well


def test_the_page_is_opened_by_no_other(app: Flask) -> None:
    assert app.test_client().get("/").headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_no_version_is_told(stack: Stack) -> None:
    answer = requests.get(f"{stack.web_url}/health/live", timeout=10)

    assert answer.headers["Server"] == "gunicorn"


# -- CORS ------------------------------------------------------------------------------------

ALLOWED = [
    "https://shop.example",
    "https://preview--shop.lovable.app",
    "https://a.b.lovable.app",
    "http://localhost:8080",
]
REFUSED = [
    "http://shop.example",
    "https://shop.example:8443",
    "https://SHOP.example",
    "https://www.shop.example",
    "https://shop.example.evil.com",
    "https://evil.com/https://shop.example",
    "https://lovable.app",
    "https://evil-lovable.app",
    "https://lovable.app.evil.com",
    "https://x.lovable.app.evil.com",
    "https://evil.com#.lovable.app",
    "https://evil.com@x.lovable.app",
    "https://x.lovable.app:444",
    "https://X.lovable.app",
    "https://.lovable.app",
    "http://x.lovable.app",
    "http://localhost",
    "http://localhost:",
    "http://localhost:80.evil.com",
    "http://localhost.evil.com:80",
    "http://localhost:8080/",
    "null",
    "*",
    "file://",
    "",
]


@pytest.mark.parametrize("origin", ALLOWED)
def test_listed_origins_may_read_every_answer(app: Flask, origin: str) -> None:
    client = app.test_client()
    answers = [
        client.open(path, method=method, headers={"Origin": origin})
        for method, path in (
            ("GET", "/api/try-on/history"),
            ("GET", "/api/nowhere"),
            ("PUT", "/api/try-on"),
            ("GET", "/api/garments?limit=0"),
            ("GET", "/api/garments"),
        )
    ]

    assert [answer.status_code for answer in answers] == [401, 404, 405, 422, 503]
    for answer in answers:
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [origin]
        (vary,) = answer.headers.getlist("Vary")
        assert set(vary.split(", ")) == {"Origin", "Accept-Language"}
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest.mark.parametrize("origin", REFUSED)
def test_other_origins_may_not(app: Flask, origin: str, method: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}

    answer = app.test_client().open("/api/try-on/history", method=method, headers=asked)

    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    assert "Origin" in answer.headers["Vary"].split(", ")


def test_without_origins_nobody_may() -> None:
    app = create_app(Config.from_env({**REQUIRED, "CORS_ORIGINS": ""}))

    answer = app.test_client().get("/api/garments", headers={"Origin": "https://shop.example"})

    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "setting",
    [
        "*",
        "https://",
        "https://*",
        "https://*.com",
        "https://*com",
        "https://shop.*",
        "https://*.*.shop.example",
        "https://user@shop.example",
        "shop.example",
        "https://shop.example/page",
        "ftp://shop.example",
    ],
)
def test_what_is_no_origin_is_named_at_the_start(setting: str) -> None:
    with pytest.raises(SystemExit, match="CORS_ORIGINS must list"):
        Config.from_env({**REQUIRED, "CORS_ORIGINS": f"https://shop.example,{setting}"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/try-on"),
        ("GET", f"/api/try-on/{NOBODYS}/status"),
        ("DELETE", f"/api/try-on/{NOBODYS}"),
        ("GET", "/api/garments"),
    ],
)
def test_a_preflight_lets_our_headers_through(app: Flask, method: str, path: str) -> None:
    asked = "authorization, content-type, idempotency-key, if-none-match"

    answer = app.test_client().options(
        path,
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": f"{asked}, x-other",
        },
    )

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert method in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"].lower() == asked
    assert answer.headers["Access-Control-Max-Age"] == "600"


def test_an_endless_preflight_is_refused(app: Flask) -> None:
    answer = app.test_client().options(
        "/api/garments",
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "a," * 8000,
        },
    )

    assert answer.get_json()["code"] == "headers_too_large"


def test_other_addresses_have_no_cors(app: Flask) -> None:
    for path in ("/", "/health/live", "/docs", "/static/x/page.js"):
        answer = app.test_client().get(path, headers={"Origin": "https://shop.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers


# -- failures --------------------------------------------------------------------------------


def test_an_unhandled_failure_is_in_the_envelope_and_its_id_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = create_app(Config.from_env(REQUIRED))  # whose log is what is captured

    @app.get("/api/broken")
    def broken() -> str:
        raise RuntimeError("a secret: hunter2")

    answer = app.test_client().get("/api/broken", headers={"Origin": "https://shop.example"})

    body = answer.get_json()
    assert (answer.status_code, body["code"], body["retryable"]) == (500, "internal", True)
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["X-Request-ID"] == body["request_id"]
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert f"request={body['request_id']} unhandled RuntimeError" in capsys.readouterr().out


# -- bodies ----------------------------------------------------------------------------------


@pytest.fixture
def reader(app: Flask) -> Flask:
    """The application, with an address that reads a form without asking who sends it."""

    @app.post("/api/form")
    def read_form() -> dict[str, int]:
        return {"fields": len(request.form), "files": len(request.files)}

    return app


def test_a_form_has_few_parts(reader: Flask) -> None:
    many = {f"field{number}": "x" for number in range(11)}

    answer = reader.test_client().post("/api/form", data=many, content_type="multipart/form-data")

    assert answer.status_code == 413
    assert answer.get_json()["code"] == "form_too_large"


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_field_is_short(reader: Flask, kind: str) -> None:
    answer = reader.test_client().post("/api/form", data={"a": "x" * 500_000}, content_type=kind)

    assert answer.status_code == 413
    assert answer.get_json()["code"] == "form_too_large"


def test_a_form_with_a_file_of_the_greatest_size_is_read(reader: Flask) -> None:
    answer = reader.test_client().post("/api/form", data=upload(bytes(MAX_BYTES), NOBODYS))

    assert answer.get_json() == {"fields": 1, "files": 1}


def test_the_greatest_photo_is_taken_and_nothing_greater(user: User, garment_id: str) -> None:
    """10 MB and 40 megapixels: what the documentation promises."""
    greatest = jpeg(8000, 5000).ljust(10 * 1024 * 1024, b"\0")
    user.wait(user.start(garment_id, greatest))
    [session] = user.call("GET", "/api/try-on/history").json()["data"]
    stored = Image.open(
        BytesIO(requests.get(session["original_user_image_url"], timeout=10).content)
    )
    stored.load()
    greater = {
        "photo_too_large": greatest + b"\0",
        "photo_too_many_pixels": jpeg(3015, 13267),  # 40 000 005
    }
    refused = {
        code: user.call(
            "POST",
            "/api/try-on",
            files={"userImage": ("me.jpg", photo)},
            data={"garmentId": garment_id},
        )
        for code, photo in greater.items()
    }

    assert session["status"] == "success"
    assert stored.size == (2000, 1250)
    for code, answer in refused.items():
        assert (answer.status_code, answer.json()["code"]) == (CATALOGUE[code].status, code)


GARBAGE = {
    "no boundary": ("multipart/form-data", b"abc"),
    "an empty boundary": ("multipart/form-data; boundary=", b"abc"),
    "a long boundary": (f"multipart/form-data; boundary={'b' * 5000}", b"--b\r\n"),
    "no parts": ("multipart/form-data; boundary=b", b"rubbish" * 1000),
    "no end": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="garmentId"\r\n\r\nx',
    ),
    "headers without end": ("multipart/form-data; boundary=b", b"--b\r\n" + b"a: b\r\n" * 20_000),
    "a header of bytes": ("multipart/form-data; boundary=b", b"--b\r\n\xff\xfe\x00: \x00\r\n\r\n"),
    "an unknown charset": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="garmentId"\r\n'
        b"Content-Type: text/plain; charset=utf-7\r\n\r\n\xff\r\n--b--\r\n",
    ),
    "a file name of paths": (
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"userImage\"; "
        b"filename*=utf-99''..%2f..%2fetc\r\n\r\nx\r\n--b--\r\n",
    ),
    "JSON": ("application/json", b'{"garmentId": '),
    "a type that is none": ("a/b/c; charset=utf-99; =", b"abc"),
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_in_the_envelope(user: User, name: str) -> None:
    kind, body = GARBAGE[name]

    answer = user.call("POST", "/api/try-on", data=body, headers={"Content-Type": kind})

    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["success"] is False


# -- sockets ---------------------------------------------------------------------------------


def talk(stack: Stack, *sent: bytes) -> bytes:
    """Send bytes and return everything that is answered until the connection ends."""
    with socket.create_connection(("127.0.0.1", stack.ports.web), timeout=20) as connection:
        answer = b""
        with suppress(ConnectionError):  # it may end while more is sent
            for part in sent:
                connection.sendall(part)
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
        return answer


def head(stack: Stack, token: str, *lines: str) -> bytes:
    """The head of a try-on's POST."""
    start = ["POST /api/try-on HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    kind = "Content-Type: multipart/form-data; boundary=b"
    return "\r\n".join([*start, kind, *lines, "", ""]).encode()


SPEECHES = {
    "not HTTP": (b"hello\r\n\r\n", "bad_request"),
    "TLS": (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n", "bad_request",
    ),
    "no version": (b"GET /\r\n\r\n", "bad_request"),
    "a strange version": (b"GET / HTTP/9.9\r\n\r\n", "bad_request"),
    "an overlong line": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", "url_too_long"),
    "an overlong header": (
        b"GET / HTTP/1.1\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", "headers_too_large",
    ),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 2000 + b"\r\n", "headers_too_large"),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "bad_request",
    ),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "bad_request",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPEECHES)
def test_what_cannot_be_read_is_refused_in_the_envelope(stack: Stack, name: str) -> None:
    sent, code = SPEECHES[name]

    head, _, body = talk(stack, sent).partition(b"\r\n\r\n")

    answer = json.loads(body)
    assert answer["code"] == code
    assert head.startswith(b"HTTP/1.1 %d " % CATALOGUE[code].status)
    assert f"X-Request-ID: {answer['request_id']}".encode() in head
    assert b"X-Content-Type-Options: nosniff" in head


def test_an_old_client_is_served(stack: Stack) -> None:
    assert talk(stack, b"GET /health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize("size", [6_000, 7_900])
def test_a_long_cursor_is_refused_by_the_service(stack: Stack, user: User, size: int) -> None:
    answer = user.call("GET", f"/api/try-on/history?cursor={'a' * size}")

    assert answer.status_code == 422
    assert "Origin" in answer.headers["Vary"]


def test_a_bad_chunk_is_a_4xx_and_the_end(stack: Stack, user: User) -> None:
    answer = talk(stack, head(stack, user.token, "Transfer-Encoding: chunked"), b"zz\r\nabc\r\n")

    assert answer.startswith(b"HTTP/1.1 400 "), answer[:300]
    assert b'"bad_request"' in answer


def test_chunks_without_end_are_refused_while_they_come(stack: Stack, user: User) -> None:
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="userImage"; filename="a"\r\n\r\n'
    first = f"{len(part):x}\r\n".encode() + part + b"\r\n"

    answer = talk(
        stack, head(stack, user.token, "Transfer-Encoding: chunked"), first, *[chunk] * 12,
        b"0\r\n\r\n", b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )  # fmt: skip

    assert answer.startswith(b"HTTP/1.1 413 "), answer[:300]
    assert b'"photo_too_large"' in answer


# -- greedy clients --------------------------------------------------------------------------

FLOODS = {
    "requests one behind the other": (b"", b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 3000),
    "a body without end that nobody wants": (
        b"POST /api/try-on HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n",
        bytes(500_000),
    ),
    "chunks of a byte": (
        b"POST /api/try-on HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\na\r\n" * 50_000,
    ),
}


FLOOD_SECONDS = 8
FLOODERS = 5


@pytest.mark.thorough
@pytest.mark.parametrize("name", FLOODS)
def test_a_client_that_sends_as_fast_as_it_can_stops_nobody(stack: Stack, name: str) -> None:
    first, more = FLOODS[name]
    stopping, waits = threading.Event(), []

    def flood() -> None:
        while not stopping.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", stack.ports.web)) as one:
                one.settimeout(1)
                one.sendall(first)
                while not stopping.is_set():
                    one.sendall(more)

    flooding = [threading.Thread(target=flood) for _ in range(FLOODERS)]
    for one in flooding:
        one.start()
    ends_at = time.monotonic() + FLOOD_SECONDS
    try:
        while time.monotonic() < ends_at:
            began = time.monotonic()
            assert requests.get(f"{stack.web_url}/health/live", timeout=30).status_code == 200
            waits.append(time.monotonic() - began)
    finally:
        stopping.set()
        for one in flooding:
            one.join()

    # Where nobody else gets a turn it is as long as the flood.
    assert max(waits) < FLOOD_SECONDS * 3 / 4


# -- slow uploads ----------------------------------------------------------------------------


class LineOfTheClock:
    """A clock that a slow line moves: stands for `time`, and for the body that comes on it."""

    def __init__(self, bytes_per_second: int, size: int) -> None:
        self.seconds, self.left, self._speed = 0.0, size, bytes_per_second

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def read(self, size: int) -> bytes:
        """So many bytes, after the time that they take."""
        came = min(size, self.left)
        self.left -= came
        self.seconds += came / self._speed
        return bytes(came)


def reading(_environ: dict[str, Any], _start: Any) -> list[bytes]:
    """An application that reads its whole body."""
    found = b""
    while part := _environ["wsgi.input"].read(1_000_000):
        found += part
    return [found]


def test_a_steady_upload_has_all_the_time_that_its_bytes_earn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = LineOfTheClock(17 * 1024, MAX_BYTES)
    monkeypatch.setattr(uploads, "time", line)

    [body] = uploads.UploadDeadlines(reading)({"wsgi.input": line}, None)

    assert len(body) == MAX_BYTES
    assert line.seconds > 10 * uploads.TIMEOUT_SECONDS


def test_what_came_fast_is_no_reason_to_wait_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A byte now and then held a file of 10 MB for ten minutes."""
    line = LineOfTheClock(10_000_000, MAX_BYTES)
    monkeypatch.setattr(uploads, "time", line)

    def slow_in_the_end(environ: dict[str, Any], _start: Any) -> list[bytes]:
        while environ["wsgi.input"].read(64 * 1024):
            if line.left < 100_000:
                line._speed = 1000
        return []

    with pytest.raises(Problem, match="upload_too_slow"):
        uploads.UploadDeadlines(slow_in_the_end)({"wsgi.input": line}, None)

    assert line.seconds < 100


@pytest.mark.parametrize("speed", [1, 8 * 1024])
def test_an_upload_that_is_slower_than_its_bytes_allow_is_refused(
    monkeypatch: pytest.MonkeyPatch, speed: int
) -> None:
    line = LineOfTheClock(speed, MAX_BYTES)
    monkeypatch.setattr(uploads, "time", line)

    with pytest.raises(Problem) as refused:
        uploads.UploadDeadlines(reading)({"wsgi.input": line}, None)

    assert refused.value.code == "upload_too_slow"
    assert line.left > MAX_BYTES * 0.9


@pytest.mark.parametrize(("part", "arrives"), [(16 * 1024, True), (1, False)])
def test_only_a_body_that_comes_too_slowly_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, part: int, arrives: bool
) -> None:
    """On a real socket, by the timer that ends a read: twice as long as without any bytes."""
    monkeypatch.setattr(uploads, "TIMEOUT_SECONDS", 1.5)
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs, suppress(OSError):
            for _ in range(40):
                theirs.sendall(bytes(part))
                time.sleep(0.08)

    sending = threading.Thread(target=send)
    sending.start()
    with ours, ours.makefile("rb") as body:
        environ = {"wsgi.input": body, "gunicorn.socket": ours}
        outcome = outcome_of(lambda: uploads.UploadDeadlines(reading)(environ, None))
    sending.join()

    assert outcome == ([bytes(40 * part)] if arrives else "upload_too_slow")


def outcome_of(call: Callable[[], Any]) -> Any:
    """What a call returns, or the code of its Problem."""
    try:
        return call()
    except Problem as problem:
        return problem.code


@pytest.mark.thorough
def test_a_steady_upload_of_more_than_twenty_seconds_starts_a_try_on(
    stack: Stack, user: User, garment_id: str
) -> None:
    form = requests.Request(
        "POST",
        f"{stack.web_url}/api/try-on",
        files={"userImage": ("me.jpg", jpeg().ljust(1_000_000, b"\0"))},
        data={"garmentId": garment_id},
        headers={"Authorization": f"Bearer {user.token}"},
    ).prepare()
    assert isinstance(form.body, bytes)

    class Slow(BytesIO):
        """Read in pieces of 16 KB."""

        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.4)
            return super().read(size)

    began = time.monotonic()
    answer = requests.post(
        f"{stack.web_url}/api/try-on", data=Slow(form.body), headers=form.headers, timeout=60
    )

    assert time.monotonic() - began > uploads.TIMEOUT_SECONDS
    assert answer.status_code == 202, answer.text


@pytest.fixture
def slow_uploads(stack: Stack, user: User) -> Iterator[list[socket.socket]]:
    """Connections on which an upload has begun; on the last one, not even its head is there.

    That one is ended after gunicorn's `keepalive`, 95 s, the others by the upload's own limit.
    """
    begun = []
    part = b'--b\r\nContent-Disposition: form-data; name="userImage"; filename="a"\r\n\r\n'
    for number in range(SLOW_UPLOADS + 1):
        connection = socket.create_connection(("127.0.0.1", stack.ports.web), timeout=10)
        start = head(stack, user.token, "Content-Length: 1000000") + part
        connection.sendall(start if number < SLOW_UPLOADS else start[:100])
        connection.setblocking(False)
        begun.append(connection)
    yield begun
    for connection in begun:
        connection.close()


@pytest.mark.thorough
def test_slow_uploads_stop_nobody_and_end(
    stack: Stack, user: User, garment_id: str, slow_uploads: list[socket.socket]
) -> None:
    session_id = user.start(garment_id, jpeg())
    began, polls, ended = time.monotonic(), [], {}
    with requests.Session() as poller:
        poller.headers["Authorization"] = f"Bearer {user.token}"
        while len(ended) <= SLOW_UPLOADS and time.monotonic() - began < 180:
            second = time.monotonic()
            for connection in set(slow_uploads) - set(ended):
                if (answer := dribble(connection)) is not None:
                    ended[connection] = answer
            while time.monotonic() - second < 1:
                before = time.monotonic()
                status = poller.get(f"{stack.web_url}/api/try-on/{session_id}/status", timeout=10)
                polls.append(time.monotonic() - before)
                assert status.status_code == 200
                time.sleep(0.05)

    assert len(ended) == SLOW_UPLOADS + 1
    assert ended.pop(slow_uploads[-1]) == b""
    # Where they stop somebody it is as long as they last; how fast it is, the bench measures.
    assert max(polls) < uploads.TIMEOUT_SECONDS / 2
    for answer in ended.values():
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "upload_too_slow"


def dribble(connection: socket.socket) -> bytes | None:
    """Send one byte more; what was answered, if something was."""
    try:
        return connection.recv(65536)
    except BlockingIOError:
        with suppress(OSError):
            connection.send(b"x")
        return None
    except ConnectionError:
        return b""
