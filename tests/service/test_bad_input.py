"""Wrong, missing, huge and foreign input: the envelope, the right status, nothing left behind."""

import base64
import socket
from typing import Any

import psycopg
import pytest
import requests
from actors import Simulator, User, encoded, jpeg
from PIL import Image
from redis import Redis

from devstack.stack import Stack

ODD_CURSOR = base64.urlsafe_b64encode(
    b"0001-01-01T00:00:00+23:59|8a6e0804-2bd0-4672-b79d-d97027f9071a"
).decode()
NOBODYS = "8a6e0804-2bd0-4672-b79d-d97027f9071a"
MEGABYTE = 1024 * 1024
PHOTO = ("a.jpg", jpeg())

BAD_POSTS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "nothing": (422, "invalid_fields", {}),
    "json": (422, "invalid_fields", {"json": {"garmentId": "x"}}),
    "no photo": (422, "invalid_fields", {"data": {"garmentId": "GARMENT"}}),
    "no garment": (422, "invalid_fields", {"files": {"userImage": PHOTO}}),
    "a garment that is no UUID": (
        422, "invalid_fields", {"files": {"userImage": PHOTO}, "data": {"garmentId": "1; drop"}},
    ),
    "an unknown garment": (
        422, "invalid_fields",
        {"files": {"userImage": PHOTO}, "data": {"garmentId": NOBODYS}},
    ),
    "two photos": (
        422, "invalid_fields",
        {"files": [("userImage", PHOTO), ("userImage", PHOTO)], "data": {"garmentId": "GARMENT"}},
    ),
    "another file": (
        422, "invalid_fields",
        {"files": {"userImage": PHOTO, "more": PHOTO}, "data": {"garmentId": "GARMENT"}},
    ),
    "a photo as text": (
        422, "invalid_fields", {"data": {"userImage": "x", "garmentId": "GARMENT"}},
    ),
    "the photo of a try-on that is not there": (
        422, "invalid_fields", {"data": {"photoOf": NOBODYS, "garmentId": "GARMENT"}},
    ),
    "the photo of what is no id": (
        422, "invalid_fields", {"data": {"photoOf": "", "garmentId": "GARMENT"}},
    ),
    "a photo and one of another try-on": (
        422, "invalid_fields",
        {"files": {"userImage": PHOTO}, "data": {"photoOf": NOBODYS, "garmentId": "GARMENT"}},
    ),
    "an empty file": (
        422, "invalid_fields",
        {"files": {"userImage": ("a.jpg", b"")}, "data": {"garmentId": "GARMENT"}},
    ),
    "text": (
        415, "photo_unsupported",
        {"files": {"userImage": ("a.jpg", b"hello")}, "data": {"garmentId": "GARMENT"}},
    ),
    "a GIF": (
        415, "photo_unsupported",
        {
            "files": {"userImage": ("a.jpg", encoded(Image.new("L", (400, 400)), "GIF"))},
            "data": {"garmentId": "GARMENT"},
        },
    ),
    "a truncated JPEG": (
        422, "photo_unreadable",
        {"files": {"userImage": ("a.jpg", jpeg()[:2000])}, "data": {"garmentId": "GARMENT"}},
    ),
    "299 pixels": (
        422, "photo_too_small",
        {"files": {"userImage": ("a.jpg", jpeg(299, 600))}, "data": {"garmentId": "GARMENT"}},
    ),
    "10 MB and a byte": (
        413, "photo_too_large",
        {
            "files": {"userImage": ("a.jpg", jpeg().ljust(10 * MEGABYTE + 1, b"\0"))},
            "data": {"garmentId": "GARMENT"},
        },
    ),
    "11 MB": (
        413, "photo_too_large",
        {"files": {"userImage": ("a.jpg", bytes(11 * MEGABYTE))}, "data": {"garmentId": "GARMENT"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_POSTS)
def test_a_bad_post_is_refused_and_leaves_nothing(
    name: str,
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: psycopg.Connection[Any],
    redis: Redis,
) -> None:
    status, code, request = BAD_POSTS[name]
    form = {k: garment_id if v == "GARMENT" else v for k, v in request.get("data", {}).items()}

    response = user.call("POST", "/api/try-on", **{**request, "data": form or None})

    assert response.status_code == status, response.text
    assert_envelope(response, code)
    left = database.execute(
        "select (select count(*) from try_on_history where user_id = %(id)s),"
        " (select count(*) from storage.objects where name like '%%' || %(id)s || '%%')",
        {"id": user.id},
    ).fetchone()
    assert left == (0, 0)
    assert redis.llen("rq:queue:try-on") == 0
    assert simulator.submits() == []


FORM = "multipart/form-data with the file field userImage"
UPLOADS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, f"Required: send {FORM}, not a body without a Content-Type."),
    "JSON": ({"json": {"userImage": "x"}}, f"Required: send {FORM}, not application/json."),
    "urlencoded": (
        {"data": {"userImage": "x"}},
        f"Required: send {FORM}, not application/x-www-form-urlencoded.",
    ),
    "the photo alone": ({"data": jpeg(), "headers": {"Content-Type": "image/jpeg"}},
                        f"Required: send {FORM}, not image/jpeg."),
    "no boundary": (
        {"data": jpeg(), "headers": {"Content-Type": "multipart/form-data"}},
        f"Required: send {FORM}. The Content-Type lacks its boundary: leave it to the client.",
    ),
    "a part without a file name": (
        {"files": {"userImage": (None, jpeg())}},
        f"Not a file: send {FORM}, as a part with a file name (a File or Blob), not as text.",
    ),
    "a data URL": (
        {"files": {"userImage": (None, "data:image/jpeg;base64,/9j/")}},
        f"Not a file: send {FORM}, as a part with a file name (a File or Blob), not as text.",
    ),
    "another field": ({"files": {"image": PHOTO}}, f"Required: send {FORM}."),
    "two": ({"files": [("userImage", PHOTO)] * 2}, "Only one file."),
}  # fmt: skip


@pytest.mark.parametrize("name", UPLOADS)
def test_what_is_not_quite_an_upload_is_told_all_that_is_missing(user: User, name: str) -> None:
    sent, why = UPLOADS[name]

    response = user.call("POST", "/api/try-on", **sent)

    assert response.status_code == 422, response.text
    body = response.json()
    photo = "Please choose one photo only." if name == "two" else "Please choose a photo."
    assert body["errors"] == {"garmentId": ["Please choose a garment."], "userImage": [photo]}
    garment, file = "garmentId: Required.", f"userImage: {why}"
    assert body["detail"] in (f"{garment} {file}", f"{file} {garment}")


@pytest.mark.parametrize("sent", [
    {"json": {"userImage": "data:image/jpeg;base64," + "A" * 200_000}},
    {"files": {"userImage": (None, "data:image/jpeg;base64," + "A" * 200_000)}},
    {"files": {"userImage": (None, jpeg().ljust(300_000, b"x"))}},
])  # fmt: skip
def test_a_photo_as_long_text_is_told_how_to_send_it(user: User, sent: dict[str, Any]) -> None:
    response = user.call("POST", "/api/try-on", **sent)

    assert response.status_code == 413, response.text
    assert "the file field userImage" in response.json()["detail"]


def test_wrong_fields_are_named(user: User) -> None:
    response = user.call("POST", "/api/try-on", data={"garmentId": "shirt"})

    assert "garmentId: Not a garment id (a UUID)." in response.json()["detail"]
    assert set(response.json()["errors"]) == {"garmentId", "userImage"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=MjAyNi0wMS0wMXxub3QtYS11dWlk", "cursor"),
        (f"cursor={ODD_CURSOR}", "cursor"),
    ],
)
@pytest.mark.parametrize("path", ["/api/try-on/history", "/api/garments"])
def test_wrong_pages_are_refused(user: User, path: str, query: str, field: str) -> None:
    response = user.call("GET", f"{path}?{query}")

    assert response.status_code == 422
    assert_envelope(response, "invalid_fields")
    assert field in response.json()["errors"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/try-on/not-a-uuid/status", 404, "not_found"),
        ("GET", f"/api/try-on/{NOBODYS}/status", 404, "session_not_found"),
        ("DELETE", f"/api/try-on/{NOBODYS}", 404, "session_not_found"),
        ("PUT", "/api/try-on", 405, "method_not_allowed"),
        ("POST", "/api/garments", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
    ],
)
def test_wrong_addresses_and_methods_have_the_envelope(
    user: User, method: str, path: str, status: int, code: str
) -> None:
    response = user.call(method, path)

    assert response.status_code == status
    assert_envelope(response, code)


@pytest.mark.parametrize("category", ["%00", "x" * 201])
def test_a_category_that_cannot_be_is_refused(user: User, category: str) -> None:
    response = user.call("GET", f"/api/garments?category={category}")

    assert response.status_code == 422
    assert_envelope(response, "invalid_fields")


def test_a_huge_body_is_refused_before_it_is_sent(stack: Stack, user: User) -> None:
    head = (
        f"POST /api/try-on HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {user.token}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 999999999\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.ports.web), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413")


def assert_envelope(response: requests.Response, code: str) -> None:
    """An error is in the one shape, and its request id is in the header too."""
    body = response.json()
    assert body["success"] is False
    assert body["code"] == code
    assert set(body) - {"errors", "detail"} == {
        "success", "message", "code", "hint", "retryable", "request_id"
    }  # fmt: skip
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert response.headers["Content-Type"] == "application/json"
