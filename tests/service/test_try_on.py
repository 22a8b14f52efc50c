"""A try-on from photo to picture, over HTTP, on the real parts."""

from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import uuid4

import psycopg
import requests
from actors import Simulator, User, jpeg, objects_of, until
from PIL import Image
from redis import Redis

from config import Config
from devstack.stack import Stack
from vton.app import create_app

LISTS = ("ended", "unfinished", "all")


def test_a_photo_becomes_a_picture(user: User, garment_id: str, simulator: Simulator) -> None:
    session_id = user.start(garment_id)

    status = user.wait(session_id)

    assert status["status"] == "success"
    picture = requests.get(status["resultImageUrl"], timeout=10)
    assert picture.headers["Content-Type"] == "image/png"
    result = Image.open(BytesIO(picture.content))
    result.load()
    assert (result.format, result.size) == ("PNG", (400, 600))
    assert b"compositeWithTrainedAlgorithmicMedia" in result.info["xmp"]
    assert len(simulator.submits()) == 1


def test_the_answer_to_a_new_try_on_says_where_to_look(user: User, garment_id: str) -> None:
    response = user.call(
        "POST",
        "/api/try-on",
        files={"userImage": ("a.jpg", jpeg())},
        data={"garmentId": garment_id},
    )

    body = response.json()
    session_id = body["data"]["sessionId"]
    assert response.status_code == 202
    assert body == {
        "success": True,
        "data": {
            "sessionId": session_id,
            "status": "queued",
            "urls": {
                "status": f"{user.base_url}/api/try-on/{session_id}/status",
                "delete": f"{user.base_url}/api/try-on/{session_id}",
            },
        },
    }
    assert response.headers["Location"] == body["data"]["urls"]["status"]
    assert response.headers["Retry-After"] == "2"
    assert user.call("GET", response.headers["Location"]).status_code == 200


def test_a_status_has_both_spellings(user: User, garment_id: str, simulator: Simulator) -> None:
    simulator.change(delay=60)
    session_id = user.start(garment_id)

    waiting = user.wait(session_id, "processing")
    simulator.change(delay=0)

    assert waiting == {
        "sessionId": session_id,
        "status": "processing",
        "result_image_url": None,
        "resultImageUrl": None,
        "thumbnailUrl": None,
        "resultExpiresAt": None,
        "error_message": None,
        "error": None,
        "retryAfterSeconds": 2,
        "etaSeconds": waiting["etaSeconds"],
    }
    response = user.call("GET", f"/api/try-on/{session_id}/status")
    assert response.headers["Retry-After"] == "2"
    assert response.headers["Cache-Control"] == "private, no-cache"
    user.call("DELETE", f"/api/try-on/{session_id}")


def test_an_ended_status_asks_for_no_more_polls(user: User, garment_id: str) -> None:
    session_id = user.start(garment_id)
    status = user.wait(session_id)

    response = user.call("GET", f"/api/try-on/{session_id}/status")

    assert "Retry-After" not in response.headers
    assert status["retryAfterSeconds"] is None
    assert status["result_image_url"] == status["resultImageUrl"]
    assert status["resultExpiresAt"] > "2026"


def test_another_garment_with_the_same_photo_needs_no_second_upload(
    user: User, garment_id: str, simulator: Simulator, database: psycopg.Connection[Any]
) -> None:
    first = user.start(garment_id)
    user.wait(first)

    form = {"photoOf": (None, first), "garmentId": (None, garment_id)}
    answer = user.call("POST", "/api/try-on", files=form)
    user.call("DELETE", f"/api/try-on/{first}").raise_for_status()

    assert answer.status_code == 202, answer.text
    second = answer.json()["data"]["sessionId"]
    assert user.wait(second)["status"] == "success"
    photos = [name for name in objects_of(database, user) if name.startswith("user-uploads/")]
    assert len(photos) == 1


def test_photo_and_result_open_only_with_a_signature(user: User, garment_id: str) -> None:
    session_id = user.start(garment_id)
    url = user.wait(session_id)["resultImageUrl"]

    assert requests.get(url, timeout=10).status_code == 200
    assert requests.get(url.split("?")[0], timeout=10).status_code == 400
    public = url.split("?")[0].replace("/object/sign/", "/object/public/")
    assert requests.get(public, timeout=10).status_code == 400


def test_history_lists_ended_sessions_newest_first(
    user: User, garment_id: str, simulator: Simulator
) -> None:
    first = user.start(garment_id)
    user.wait(first)
    simulator.change(faults=[{"at": "submit", "kind": "failed"}])
    second = user.start(garment_id)
    user.wait(second)
    simulator.change(faults=[], delay=60)
    unfinished = user.start(garment_id)

    history = user.call("GET", "/api/try-on/history").json()
    by_status = {
        status: user.call("GET", f"/api/try-on/history?status={status}").json()
        for status in (*LISTS, "success")
    }
    user.call("DELETE", f"/api/try-on/{unfinished}")

    assert [item["sessionId"] for item in history["data"]] == [second, first]
    assert history["meta"] == {"next_cursor": None}
    ids = {name: [item["sessionId"] for item in by_status[name]["data"]] for name in LISTS}
    assert ids == {
        "ended": [second, first], "unfinished": [unfinished], "all": [unfinished, second, first],
    }  # fmt: skip
    assert by_status["success"]["code"] == "invalid_fields"
    failed, success = history["data"]
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "code": "provider_failed",
        "hint": "Try again, or use another photo.",
        "retryable": True,
    }
    assert failed["error_message"] == "The try-on did not work out."
    assert not failed["aiGenerated"]
    assert set(success) == {
        "id", "sessionId", "user_id", "garment_id", "original_user_image_url",
        "result_image_url", "resultImageUrl", "status", "error_message", "error",
        "aiGenerated", "created_at", "garment", "thumbnailUrl",
    }  # fmt: skip
    assert success["id"] == first
    assert success["user_id"] == user.id
    assert success["garment_id"] == success["garment"]["id"] == garment_id
    assert success["aiGenerated"]
    for url in (
        success["original_user_image_url"],
        success["result_image_url"],
        success["garment"]["image_url"],
    ):
        assert requests.get(url, timeout=10).headers["Content-Type"].startswith("image/")


def test_history_continues_behind_a_cursor(user: User, garment_id: str) -> None:
    started = [user.start(garment_id) for _ in range(3)]
    for session_id in started:
        user.wait(session_id)

    first = user.call("GET", "/api/try-on/history?limit=2").json()
    rest = user.call(
        "GET", "/api/try-on/history", params={"limit": 2, "cursor": first["meta"]["next_cursor"]}
    ).json()

    seen = [item["id"] for item in first["data"] + rest["data"]]
    assert seen == started[::-1]
    assert rest["meta"]["next_cursor"] is None


def test_delete_leaves_nothing(
    stack: Stack, user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    session_id = user.start(garment_id)
    result_url = user.wait(session_id)["resultImageUrl"]

    response = user.call("DELETE", f"/api/try-on/{session_id}")

    assert response.status_code == 200
    assert response.json() == {"success": True, "data": {"sessionId": session_id}}
    assert user.call("GET", f"/api/try-on/{session_id}/status").status_code == 404
    assert user.call("DELETE", f"/api/try-on/{session_id}").status_code == 404
    assert requests.get(result_url, timeout=10).status_code == 400
    assert objects_of(database, user) == []


def test_delete_stops_a_running_try_on(
    user: User,
    garment_id: str,
    simulator: Simulator,
    database: psycopg.Connection[Any],
    redis: Redis,
) -> None:
    simulator.change(delay=60)
    session_id = user.start(garment_id)
    user.wait(session_id, "processing")

    assert user.call("DELETE", f"/api/try-on/{session_id}").status_code == 200

    until(lambda: not redis.zscore("rq:wip:try-on", session_id) and not running(redis, session_id))
    assert objects_of(database, user) == []
    assert user.call("GET", "/api/try-on/history").json()["data"] == []


def test_a_deleted_session_is_noted_for_erasure(
    user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    user.call("DELETE", f"/api/try-on/{session_id}")

    rows = database.execute("select path from erasures where session_id = %s", [session_id])

    paths = [path for (path,) in rows]
    assert len(paths) == 3
    assert paths[0].startswith(f"user-uploads/{user.id}/")
    result = f"try-on-results/{user.id}/{session_id}_result"
    assert paths[1:] == [f"{result}.png", f"{result}_thumbnail.webp"]


def test_another_users_session_looks_like_none(
    user: User, sign_up: Callable[[], User], garment_id: str
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)
    other = sign_up()

    for method, path in (
        ("GET", f"/api/try-on/{session_id}/status"),
        ("DELETE", f"/api/try-on/{session_id}"),
    ):
        theirs = other.call(method, path)
        nobodys = other.call(method, path.replace(session_id, str(uuid4())))
        assert theirs.status_code == nobodys.status_code == 404
        assert without_id(theirs) == without_id(nobodys)
    assert other.call("GET", "/api/try-on/history").json()["data"] == []
    assert user.status(session_id)["status"] == "success"


def without_id(response: requests.Response) -> dict[str, Any]:
    """An error's body but for what differs between any two requests."""
    body: dict[str, Any] = response.json()
    body.pop("request_id")
    return body


def running(redis: Redis, session_id: str) -> bool:
    """Whether RQ knows of an execution of the session."""
    return any(redis.scan_iter(f"rq:execution:{session_id}:*"))


def test_links_begin_with_the_address_that_others_reach_supabase_at(
    stack: Stack, user: User, garment_id: str
) -> None:
    done = user.start(garment_id)
    user.wait(done)
    inside = stack.settings["SUPABASE_URL"]
    outside = inside.replace("127.0.0.1", "localhost")
    app = create_app(Config.from_env({**stack.child_environ, "SUPABASE_PUBLIC_URL": outside}))
    client = app.test_client()
    headers = {"Authorization": f"Bearer {user.token}"}

    garment = client.get("/api/garments").get_json()["data"][0]
    session = client.get("/api/try-on/history", headers=headers).get_json()["data"][0]
    page = client.get("/")

    for url in (garment["image_url"], session["resultImageUrl"]):
        assert url.startswith(f"{outside}/storage/v1/")
        assert requests.get(url, timeout=10).headers["Content-Type"] == "image/png"
    assert outside in page.text
    assert outside in page.headers["Content-Security-Policy"]
    assert inside not in page.text


def test_pictures_of_users_are_for_their_own_browser_alone(
    user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    session_id = user.start(garment_id)
    user.wait(session_id)

    kept = database.execute(
        "select metadata ->> 'cacheControl' from storage.objects where name like %s",
        [f"%/{user.id}/%"],
    ).fetchall()
    shown = database.execute(
        "select distinct metadata ->> 'cacheControl' from storage.objects"
        " where name like 'garments/%'"
    ).fetchall()

    assert kept == [("max-age=3600, private",)] * 3
    assert shown == [("max-age=3600",)]
