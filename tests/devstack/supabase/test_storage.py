"""Storage through the real Supabase client, and what that client cannot ask."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from servers import Servers, User
from storage3.exceptions import StorageApiError
from supabase import Client

PNG: Any = {"content-type": "image/png"}


@pytest.fixture(autouse=True)
def _empty(connection: psycopg.Connection, service: Client) -> None:
    for bucket in ("private", "open"):
        rows = connection.execute(
            "select name from storage.objects where bucket_id = %s", (bucket,)
        )
        names = [name for (name,) in rows]
        if names:
            service.storage.from_(bucket).remove(names)


def stored(servers: Servers) -> list[Path]:
    """The files of all objects."""
    return list((servers.data / "objects").iterdir())


def failure(call: Any) -> StorageApiError:
    with pytest.raises(StorageApiError) as failed:
        call()
    return failed.value


def test_bytes_come_back_as_they_were(service: Client) -> None:
    content = bytes(range(256)) * 3
    bucket = service.storage.from_("private")

    uploaded = bucket.upload("a/b c/é.png".replace("é", "e"), content, PNG)

    assert uploaded.full_path == "private/a/b c/e.png"
    assert bucket.download("a/b c/e.png") == content
    info = bucket.info("a/b c/e.png")
    assert (info["size"], info["content_type"]) == (768, "image/png")
    assert bucket.exists("a/b c/e.png")
    assert not bucket.exists("a/other.png")


def test_an_object_is_overwritten_only_when_that_is_asked_for(
    service: Client, servers: Servers
) -> None:
    bucket = service.storage.from_("private")
    before = len(stored(servers))
    bucket.upload("x.png", b"first", PNG)

    refused = failure(lambda: bucket.upload("x.png", b"second", PNG))
    assert (refused.status, refused.code, refused.message) == (
        "409",
        "Duplicate",
        "The resource already exists",
    )
    assert bucket.download("x.png") == b"first"
    bucket.upload("x.png", b"third", {**PNG, "upsert": "true"})
    assert bucket.download("x.png") == b"third"
    bucket.update("x.png", b"fourth", PNG)
    assert bucket.download("x.png") == b"fourth"
    assert len(stored(servers)) == before + 1, "no bytes are left of what was replaced or refused"


def test_a_raw_body_is_stored_too(servers: Servers, service: Client) -> None:
    response = httpx.post(
        f"{servers.url}/storage/v1/object/private/raw.png",
        content=b"raw",
        headers={
            "Authorization": f"Bearer {servers.keys.secret}",
            "Content-Type": "image/png",
            "Cache-Control": "max-age=60",
        },
    )

    assert response.json()["Key"] == "private/raw.png"
    served = httpx.get(
        f"{servers.url}/storage/v1/object/authenticated/private/raw.png",
        headers={"apikey": servers.keys.secret},
    )
    assert served.content == b"raw"
    assert served.headers["Content-Type"] == "image/png"
    assert served.headers["Cache-Control"] == "max-age=60"
    assert served.headers["X-Content-Type-Options"] == "nosniff"


def test_row_level_security_decides_who_reads_and_writes(
    service: Client, ada: User, bob: User, anon: Client
) -> None:
    path = f"{ada.id}/mine.png"
    hers, his, nobodys = (c.storage.from_("private") for c in (ada.client, bob.client, anon))
    hers.upload(path, b"ada", PNG)

    assert hers.download(path) == b"ada"
    for other in (his, nobodys):
        assert failure(lambda other=other: other.download(path)).code == "not_found"
        assert failure(lambda other=other: other.create_signed_url(path, 60)).code == "not_found"
        assert other.list(ada.id) == []
        assert other.remove([path]) == []
        refused = failure(lambda other=other: other.upload(f"{ada.id}/x.png", b"no", PNG))
        assert (refused.status, refused.code) == ("403", "Unauthorized")
        assert refused.message == "new row violates row-level security policy"
    refused = failure(lambda: his.upload(path, b"no", {**PNG, "upsert": "true"}))
    assert refused.status == "403"
    service.storage.from_("private").upload("shared/all.png", b"all", PNG)
    assert nobodys.download("shared/all.png") == b"all"
    assert [row["name"] for row in hers.remove([path, "shared/all.png"])] == [path]


def test_a_public_bucket_is_read_without_a_key(servers: Servers, service: Client) -> None:
    service.storage.from_("open").upload("p.txt", b"open", {"content-type": "text/plain"})
    service.storage.from_("private").upload("p.txt", b"closed", {"content-type": "text/plain"})
    base = f"{servers.url}/storage/v1/object"

    assert httpx.get(service.storage.from_("open").get_public_url("p.txt")).content == b"open"
    assert httpx.get(f"{base}/open/p.txt").content == b"open"
    for path in ("public/private/p.txt", "private/p.txt"):
        closed = httpx.get(f"{base}/{path}")
        assert (closed.status_code, closed.json()["error"]) == (400, "Bucket not found")


def test_a_signed_url_opens_one_object_for_a_while(servers: Servers, service: Client) -> None:
    bucket = service.storage.from_("private")
    bucket.upload("s/a.png", b"0123456789", PNG)
    url = bucket.create_signed_url("s/a.png", 60)["signedURL"]
    assert url
    assert url.startswith(f"{servers.url}/storage/v1/object/sign/private/s/a.png?token=")

    whole = httpx.get(url)
    part = httpx.get(url, headers={"Range": "bytes=2-4"})
    beyond = httpx.get(url, headers={"Range": "bytes=99-"})
    again = httpx.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    head = httpx.head(url)

    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["Content-Type"] == "image/png"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Access-Control-Allow-Origin"] == "*"
    assert "Expires" in whole.headers
    assert "Content-Disposition" not in whole.headers
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    assert beyond.status_code == 416
    assert again.status_code == 304
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "10", b"")


def test_a_signed_url_may_ask_for_a_download(service: Client) -> None:
    bucket = service.storage.from_("private")
    bucket.upload("a.png", b"x", PNG)

    named = bucket.create_signed_url("a.png", 60, {"download": "my file.png"})["signedURL"]
    unnamed = bucket.create_signed_url("a.png", 60, {"download": True})["signedURL"]

    assert named
    assert unnamed
    assert httpx.get(named).headers["Content-Disposition"] == (
        "attachment; filename=my%20file.png; filename*=UTF-8''my%20file.png"
    )
    assert httpx.get(unnamed).headers["Content-Disposition"] == "attachment;"


def test_a_signed_url_that_is_not_right_opens_nothing(
    servers: Servers, service: Client, ada: User
) -> None:
    bucket = service.storage.from_("private")
    bucket.upload("a.png", b"a", PNG)
    bucket.upload("b.png", b"b", PNG)
    base = f"{servers.url}/storage/v1/object/sign/private"
    token = servers.keys.sign_url("private/a.png", 60)

    def error(path: str, token: str) -> tuple[int, str]:
        response = httpx.get(f"{base}/{path}", params={"token": token} if token else None)
        return response.status_code, response.json()["error"]

    assert httpx.get(f"{base}/a.png?token={token}").content == b"a"
    assert error("a.png", token[:-5] + "AAAAA") == (400, "InvalidJWT")
    assert error("a.png", servers.keys.sign_url("private/a.png", -5)) == (400, "InvalidJWT")
    assert error("a.png", ada.token) == (400, "InvalidJWT")
    assert error("b.png", token) == (400, "InvalidSignature")
    assert error("a.png", "") == (400, "Error")
    bucket.remove(["a.png"])
    assert error("a.png", token) == (400, "not_found")


def test_an_access_token_and_a_url_token_are_not_exchangeable(servers: Servers) -> None:
    token = servers.keys.sign_url("private/a.png", 60)
    with pytest.raises(jwt.PyJWTError):
        servers.keys.read_token(token)


def test_signing_many_says_which_are_missing(service: Client) -> None:
    bucket = service.storage.from_("private")
    bucket.upload("a.png", b"a", PNG)

    found, missing = bucket.create_signed_urls(["a.png", "no.png"], 60)

    assert found["error"] is None
    assert found["signedURL"]
    assert httpx.get(found["signedURL"]).content == b"a"
    assert (missing["path"], missing["signedURL"]) == ("no.png", None)
    assert missing["error"] == "Either the object does not exist or you do not have access to it"


@pytest.mark.parametrize("expires", ["0", "-1", "soon", ""])
def test_a_url_is_signed_for_a_whole_number_of_seconds(service: Client, expires: Any) -> None:
    bucket = service.storage.from_("private")
    bucket.upload("a.png", b"a", PNG)

    assert failure(lambda: bucket.create_signed_url("a.png", expires)).status == "400"


def test_a_list_shows_one_folder(service: Client) -> None:
    bucket = service.storage.from_("private")
    for path in ("b.png", "a/1.png", "a/2.png", "a/deep/3.png", "C.png"):
        bucket.upload(path, b"x", PNG)

    top = bucket.list()
    inside = bucket.list("a", {"sortBy": {"column": "name", "order": "desc"}})
    by_time = bucket.list("a", {"sortBy": {"column": "created_at", "order": "desc"}})
    searched = bucket.list("a", {"search": "2"})
    page = bucket.list("", {"limit": 1, "offset": 1})

    assert [(entry["name"], entry["id"] is None) for entry in top] == [
        ("a", True),
        ("b.png", False),
        ("C.png", False),
    ]
    assert [entry["name"] for entry in inside] == ["deep", "2.png", "1.png"]
    assert [entry["name"] for entry in by_time] == ["deep", "2.png", "1.png"]
    assert [entry["name"] for entry in searched] == ["2.png"]
    assert [entry["name"] for entry in page] == ["b.png"]
    assert top[1]["metadata"]["mimetype"] == "image/png"
    assert bucket.list("nowhere") == []


def test_removing_names_what_was_there(servers: Servers, service: Client) -> None:
    bucket = service.storage.from_("private")
    before = len(stored(servers))
    bucket.upload("a.png", b"a", PNG)
    bucket.upload("b.png", b"b", PNG)

    assert [row["name"] for row in bucket.remove(["a.png", "no.png"])] == ["a.png"]
    one = httpx.delete(
        f"{servers.url}/storage/v1/object/private/b.png", headers={"apikey": servers.keys.secret}
    )
    gone = httpx.delete(
        f"{servers.url}/storage/v1/object/private/b.png", headers={"apikey": servers.keys.secret}
    )

    assert one.json() == {"message": "Successfully deleted"}
    assert (gone.status_code, gone.json()["statusCode"]) == (400, "404")
    assert len(stored(servers)) == before


@pytest.mark.parametrize("name", ["é.png", "a\\b.png", "a%00.png", "x#.png", "a" * 1100, "\n.png"])
def test_a_name_has_only_the_characters_that_storage_takes(service: Client, name: str) -> None:
    refused = failure(lambda: service.storage.from_("private").upload(name, b"x", PNG))

    assert (refused.status, refused.code) == ("400", "InvalidKey")


@pytest.mark.parametrize("name", ["../../keys.json", "..%2f..%2fkeys.json", "/etc/passwd", "."])
def test_a_name_is_never_a_path(servers: Servers, name: str) -> None:
    headers = {"apikey": servers.keys.secret, "Content-Type": "image/png"}
    for bucket in ("private", "..", "open/../.."):
        url = httpx.URL(servers.url, raw_path=f"/storage/v1/object/{bucket}/{name}".encode())
        uploaded = httpx.post(url, content=b"x", headers=headers)
        read = httpx.get(url, headers=headers)

        assert b"sb_secret" not in read.content
        assert uploaded.status_code < 500 or uploaded.status_code == 501
    assert (servers.data / "keys.json").stat().st_mode & 0o777 == 0o600
    assert all(len(path.name) == 36 for path in stored(servers))


def test_a_bucket_keeps_its_limits(servers: Servers, service: Client) -> None:
    before = len(stored(servers))
    bucket = service.storage.from_("private")

    large = failure(lambda: bucket.upload("a.png", b"x" * 1001, PNG))
    huge = failure(lambda: bucket.upload("a.png", b"x" * 200_000, PNG))
    raw = httpx.post(
        f"{servers.url}/storage/v1/object/private/a.png",
        content=iter([b"x" * 600, b"x" * 600]),
        headers={"apikey": servers.keys.secret, "Content-Type": "image/png"},
    )
    gif = failure(lambda: bucket.upload("a.gif", b"x", {"content-type": "image/gif"}))
    bucket.upload("a.txt", b"x" * 1000, {"content-type": "text/markdown"})

    assert (large.status, large.code) == ("413", "Payload too large")
    assert (huge.status, huge.code) == ("413", "Payload too large")
    assert raw.json()["statusCode"] == "413"
    assert (gif.status, gif.code) == ("415", "invalid_mime_type")
    assert gif.message == "mime type image/gif is not supported"
    assert len(stored(servers)) == before + 1


def test_a_page_is_never_served_as_one(servers: Servers, service: Client) -> None:
    page = b"<script>alert(1)</script>"
    service.storage.from_("open").upload("x.html", page, {"content-type": "text/html"})

    served = httpx.get(service.storage.from_("open").get_public_url("x.html"))

    assert served.headers["Content-Type"].startswith("text/plain")
    assert served.headers["X-Content-Type-Options"] == "nosniff"


def test_a_missing_bucket_and_a_missing_object_are_told_apart(service: Client) -> None:
    bucket = service.storage.from_("private")
    no_object = failure(lambda: bucket.download("no.png"))
    no_bucket = failure(lambda: service.storage.from_("nowhere").download("no.png"))
    no_upload = failure(lambda: service.storage.from_("nowhere").upload("a.png", b"x", PNG))

    assert (no_object.status, no_object.code) == ("404", "not_found")
    assert (no_bucket.status, no_bucket.code) == ("404", "Bucket not found")
    assert (no_upload.status, no_upload.code) == ("404", "Bucket not found")


def test_buckets_are_seen_by_the_service_alone(service: Client, ada: User) -> None:
    found = service.storage.get_bucket("private")

    assert (found.id, found.public, found.file_size_limit) == ("private", False, 1000)
    assert {bucket.id for bucket in service.storage.list_buckets()} >= {"private", "open"}
    assert failure(lambda: ada.client.storage.get_bucket("private")).code == "Bucket not found"


def test_objects_are_not_deleted_by_sql(service: Client, connection: psycopg.Connection) -> None:
    service.storage.from_("private").upload("a.png", b"x", PNG)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="Use the Storage API"):
        connection.execute("delete from storage.objects")


def test_a_bad_token_reads_nothing(servers: Servers, ada: User) -> None:
    expired = servers.keys.sign_token(
        {"sub": ada.id, "aud": "authenticated", "role": "authenticated", "exp": time.time() - 9}
    )
    messages = {
        expired: '"exp" claim timestamp check failed',
        ada.token[:-9] + "AAAAAAAAA": "signature verification failed",
        "sb_secret_wrong": "Invalid Compact JWS",
    }
    for token, message in messages.items():
        response = httpx.post(
            f"{servers.url}/storage/v1/object/list/private",
            json={"prefix": ""},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert (response.status_code, response.json()["statusCode"]) == (400, "403")
        assert response.json()["message"] == message
    bare = httpx.post(f"{servers.url}/storage/v1/object/list/private", json={"prefix": ""})
    assert bare.json()["message"] == "headers must have required property 'authorization'"


def test_a_copy_is_an_object_of_its_own(service: Client, servers: Servers) -> None:
    bucket = service.storage.from_("private")
    options: Any = {"content-type": "image/png", "cache-control": "60"}
    bucket.upload("copied/a.png", b"picture", options)

    bucket.copy("copied/a.png", "copied/b.png")
    bucket.remove(["copied/a.png"])

    assert bucket.download("copied/b.png") == b"picture"
    kept = bucket.info("copied/b.png")
    assert (kept["content_type"], kept["cache_control"]) == ("image/png", "max-age=60")
    bucket.remove(["copied/b.png"])


@pytest.mark.parametrize(
    ("source", "target", "refusal"),
    [
        ("copied/none.png", "copied/b.png", ("404", "NoSuchKey")),
        ("copied/a.png", "copied/a.png", ("409", "KeyAlreadyExists")),
        ("copied/a.png", "../b.png", ("400", "InvalidKey")),
        ("copied/a.png", None, ("400", "InvalidRequest")),
    ],
)
def test_what_cannot_be_copied_says_why(
    service: Client, servers: Servers, source: str, target: str | None, refusal: tuple[str, str]
) -> None:
    bucket = service.storage.from_("private")
    bucket.upload("copied/a.png", b"picture", {"content-type": "image/png"})

    answer = httpx.post(
        f"{servers.url}/storage/v1/object/copy",
        json={"bucketId": "private", "sourceKey": source, "destinationKey": target},
        headers={"apikey": servers.keys.secret},
    )
    bucket.remove(["copied/a.png"])

    assert answer.status_code == 400
    assert (answer.json()["statusCode"], answer.json()["code"]) == refusal


def test_nobody_copies_what_they_may_not_read(service: Client, servers: Servers, ada: User) -> None:
    bucket = service.storage.from_("private")
    bucket.upload("copied/a.png", b"picture", {"content-type": "image/png"})

    answer = httpx.post(
        f"{servers.url}/storage/v1/object/copy",
        json={
            "bucketId": "private",
            "sourceKey": "copied/a.png",
            "destinationKey": f"{ada.id}/b.png",
        },
        headers={"apikey": servers.keys.publishable, "Authorization": f"Bearer {ada.token}"},
    )
    bucket.remove(["copied/a.png"])

    assert (answer.json()["statusCode"], answer.json()["code"]) == ("404", "NoSuchKey")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "object/move"),
        ("POST", "object/upload/sign/private/a.png"),
        ("GET", "render/image/public/open/a.png"),
        ("POST", "bucket"),
    ],
)
def test_what_is_not_there_says_so(servers: Servers, method: str, path: str) -> None:
    response = httpx.request(
        method, f"{servers.url}/storage/v1/{path}", json={}, headers={"apikey": servers.keys.secret}
    )

    assert (response.status_code, response.json()["statusCode"]) == (501, "501")


def test_many_upserts_of_one_name_leave_one_whole_object(servers: Servers, service: Client) -> None:
    before = len(stored(servers))
    url = f"{servers.url}/storage/v1/object/private/race.png"
    headers = {"apikey": servers.keys.secret, "Content-Type": "image/png", "x-upsert": "true"}
    contents = [bytes([number]) * 900 for number in range(24)]

    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda content: httpx.post(url, content=content, headers=headers), contents)
        )

    assert {answer.status_code for answer in answers} == {200}
    assert service.storage.from_("private").download("race.png") in contents
    assert len(stored(servers)) == before + 1


def test_of_many_uploads_of_one_name_one_wins(servers: Servers) -> None:
    before = len(stored(servers))
    url = f"{servers.url}/storage/v1/object/private/once.png"
    headers = {"apikey": servers.keys.secret, "Content-Type": "image/png"}

    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda _: httpx.post(url, content=b"x", headers=headers), range(24))
        )

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 23
    assert len(stored(servers)) == before + 1
