"""What the real storage-api answered, word for word, as measured on 2026-11-26.

https://github.com/supabase/storage/tree/4fa61fba9371c4bd40cbb81509f07bcb3af21683
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from servers import Servers, User
from supabase import Client

from devstack.supabase.storage import MOST_PATHS, UNREAD_BYTES
from vton.adapters.redis.signed_urls import SignedUrlCache
from vton.adapters.supabase.client import connect_supabase
from vton.adapters.supabase.storage import Bucket
from vton.tryon.ports.storage import NameTaken

PNG: Any = {"content-type": "image/png"}
BUCKET = "golden"
PHOTO = b"x" * 2_000_000


@pytest.fixture(autouse=True)
def _bucket(connection: psycopg.Connection, service: Client) -> Iterator[None]:
    """A private bucket with one object in it."""
    connection.execute("insert into storage.buckets (id, name) values (%s, %s)", [BUCKET, BUCKET])
    service.storage.from_(BUCKET).upload("a.png", b"0123456789", PNG)
    yield
    names = connection.execute("select name from storage.objects where bucket_id = %s", [BUCKET])
    service.storage.from_(BUCKET).remove([name for (name,) in names.fetchall()])
    connection.execute("select set_config('storage.allow_delete_query', 'true', false)")
    connection.execute("delete from storage.buckets where id = %s", [BUCKET])
    connection.execute("reset storage.allow_delete_query")


def call(
    servers: Servers, method: str, path: str, key: str | None = None, **options: Any
) -> httpx.Response:
    """A call of Storage, with the service's key unless another is given."""
    headers = {"Authorization": f"Bearer {key or servers.keys.secret}"}
    return httpx.request(
        method, f"{servers.url}/storage/v1/object{path}", headers=headers, **options
    )


REFUSALS = {
    "more than a thousand to sign": (
        "POST", f"/sign/{BUCKET}", {"json": {"expiresIn": 60, "paths": ["a"] * (MOST_PATHS + 1)}},
        400, ("400", "InvalidRequest", "Error", "body/paths must NOT have more than 1000 items"),
    ),
    "a name that is taken": (
        "POST", f"/{BUCKET}/a.png", {"files": {"file": ("a.png", b"x", "image/png")}},
        400, ("409", "KeyAlreadyExists", "Duplicate", "The resource already exists"),
    ),
    "a name with a folder above": (
        "POST", f"/{BUCKET}/a/%2e%2e/b.png", {"files": {"file": ("b", b"x", "image/png")}},
        400, ("400", "InvalidKey", "InvalidKey", "Invalid key: a/../b.png"),
    ),
    "a list of no folder": (
        "POST", f"/list/{BUCKET}", {"json": {}},
        400, ("400", "InvalidRequest", "Error", "body must have required property 'prefix'"),
    ),
    "no such bucket": (
        "POST", "/nowhere/a.png", {"files": {"file": ("a.png", b"x", "image/png")}},
        400, ("404", "NoSuchBucket", "Bucket not found", "Bucket not found"),
    ),
    "no such object": (
        "GET", f"/{BUCKET}/b.png", {},
        400, ("404", "NoSuchKey", "not_found", "Object not found"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSALS)
def test_what_is_refused_is_refused_in_its_words(servers: Servers, what: str) -> None:
    method, path, options, status, (inner, code, error, message) = REFUSALS[what]

    answer = call(servers, method, path, **options)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json() == {
        "statusCode": inner, "code": code, "error": error, "message": message
    }  # fmt: skip


def test_a_bad_token_reads_as_if_there_were_no_bucket(servers: Servers, ada: User) -> None:
    for token in ("sb_secret_wrong", ada.token[:-9] + "AAAAAAAAA"):
        answer = call(servers, "GET", f"/{BUCKET}/a.png", token)

        assert (answer.status_code, answer.json()["statusCode"]) == (400, "404")
        assert answer.json()["message"] == "Bucket not found"


def test_a_signed_url_says_when_it_ends_and_nothing_of_caches(
    servers: Servers, service: Client
) -> None:
    url = service.storage.from_(BUCKET).create_signed_url("a.png", 60)["signedURL"]
    assert url
    whole, direct = httpx.get(url), call(servers, "GET", f"/{BUCKET}/a.png")
    ranges = [httpx.get(url, headers={"Range": r}) for r in ("bytes=99-", "bytes=0-1,3-4")]

    assert "Expires" in whole.headers
    assert "Cache-Control" not in whole.headers
    assert {a.headers["X-Robots-Tag"] for a in (whole, direct)} == {"none"}
    assert "Cache-Control" in direct.headers
    assert [a.status_code for a in ranges] == [416, 416]


def test_an_object_whose_bytes_are_gone_can_be_signed_and_not_read(
    servers: Servers, service: Client, connection: psycopg.Connection
) -> None:
    version = connection.execute(
        "select version from storage.objects where bucket_id = %s", [BUCKET]
    ).fetchone()
    assert version
    (servers.data / "objects" / version[0]).unlink()

    answer = call(servers, "GET", f"/{BUCKET}/a.png")

    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert service.storage.from_(BUCKET).create_signed_url("a.png", 60)["signedURL"]


def test_from_a_bucket_that_is_not_there_nothing_is_removed_and_all_is_well(
    servers: Servers,
) -> None:
    answer = call(servers, "DELETE", "/nowhere", json={"prefixes": ["a.png"]})

    assert (answer.status_code, answer.json()) == (200, [])


def test_a_large_upload_that_is_refused_leaves_its_connection_dead(servers: Servers) -> None:
    port = int(servers.url.rsplit(":", 1)[1])
    head = (
        "{} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
        f"{servers.keys.secret}\r\nContent-Type: image/png\r\nContent-Length: {{}}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        size = UNREAD_BYTES + 1
        upload = head.format(f"POST /storage/v1/object/{BUCKET}/a.png", size)
        connection.sendall(upload.encode() + b"x" * size)
        answer = b""
        while b"KeyAlreadyExists" not in answer:
            received = connection.recv(65536)
            assert received, answer
            answer += received
        connection.sendall(head.format(f"GET /storage/v1/object/{BUCKET}/a.png", 0).encode())
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.fixture
def bucket(servers: Servers) -> Bucket:
    """Our own adapter, with one connection, so that the next call gets what the last one left."""
    signed_urls: Any = SignedUrlCache(None, "")  # type: ignore[arg-type] # never asked
    client = connect_supabase(servers.url, servers.keys.secret, connections=1)
    return Bucket(client, BUCKET, signed_urls, servers.url)


def test_after_an_upload_that_was_refused_the_next_call_is_answered(bucket: Bucket) -> None:
    for _ in range(3):
        with pytest.raises(NameTaken):
            bucket.put("a.png", PHOTO, "image/png", replace=False)
        assert bucket.get("a.png") == b"0123456789"


def test_so_they_are_where_many_upload_at_once(bucket: Bucket) -> None:
    def upload(_: int) -> bytes:
        with pytest.raises(NameTaken):
            bucket.put("a.png", PHOTO, "image/png", replace=False)
        return bucket.get("a.png")

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(upload, range(8))) == [b"0123456789"] * 8
