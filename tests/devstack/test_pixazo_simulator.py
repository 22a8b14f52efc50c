"""The simulator keeps the vendor's contract, misbehaves on demand, and its ledger is right."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from actors import ROOT
from PIL import Image, ImageChops, ImageStat

from devstack.pixazo import silhouette

PEOPLE = sorted((ROOT / "vton/demo/static/photos").glob("*.jpg"))
GARMENTS = sorted(
    ROOT / "devstack/samples/garments" / line.split(",")[0]
    for line in (ROOT / "devstack/samples/garments/garments.csv").read_text().splitlines()[1:]
)
KEY = {"Ocp-Apim-Subscription-Key": "test-key"}
SUBMIT = "/kling-ai-vton/v1/getVirtualTryOnTask"
LEGACY_POLL = "/kling-ai-polling/v1/getVirtualTryOnStatus"


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


@cache
def person() -> bytes:
    return PEOPLE[0].read_bytes()


@cache
def garment(number: int = 0) -> bytes:
    return GARMENTS[number].read_bytes()


def picture(size: tuple[int, int], kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, kind)
    return out.getvalue()


@dataclass
class Client:
    """A client of the simulator, and its control."""

    url: str

    def submit(self, headers: dict[str, str] | None = None, **fields: Any) -> requests.Response:
        body = {"human_image": base64_of(person()), "cloth_image": base64_of(garment()), **fields}
        body = {name: value for name, value in body.items() if value is not None}
        headers = KEY if headers is None else headers
        return requests.post(self.url + SUBMIT, json=body, headers=headers, timeout=20)

    def poll(self, request_id: str) -> requests.Response:
        where = f"{self.url}/v2/requests/status/{request_id}"
        return requests.get(where, headers=KEY, timeout=10)

    def status(self, request_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.poll(request_id).json()
        return found

    def result_url(self, **fields: Any) -> str:
        done = self.status(self.submit(**fields).json()["request_id"])
        (url,) = done["output"]["media_url"]
        return str(url)

    def result(self, **fields: Any) -> Image.Image:
        reply = requests.get(self.result_url(**fields), timeout=20)
        assert reply.status_code == 200
        return Image.open(io.BytesIO(reply.content))

    def set(self, **settings: Any) -> requests.Response:
        return requests.put(self.url + "/_simulator/settings", json=settings, timeout=5)

    def faults(self, *rules: dict[str, Any]) -> None:
        assert self.set(faults=rules).status_code == 200

    def get(self, what: str) -> Any:
        return requests.get(f"{self.url}/_simulator/{what}", timeout=5).json()


def start() -> tuple[subprocess.Popen[str], str]:
    """The real process on a free port, ready."""
    command = [sys.executable, "-m", "devstack.pixazo", "--port", "0", "--key", "test-key"]
    process = subprocess.Popen([*command, "--delay", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1]


@pytest.fixture(scope="module")
def running() -> Iterator[Client]:
    process, url = start()
    yield Client(url)
    process.terminate()
    assert process.wait(30) == 0


@pytest.fixture
def pixazo(running: Client) -> Client:
    requests.post(running.url + "/_simulator/reset", timeout=5)
    return running


def test_it_is_ready_at_once_and_ends_at_once_even_with_a_connection_open() -> None:
    begun = time.monotonic()
    process, url = start()
    with requests.Session() as session:
        assert session.get(url + "/_simulator/stats", timeout=5).status_code == 200
        ready = time.monotonic()
        process.terminate()
        process.wait(60)

    # Under a second each on an idle machine, which the bench measures.
    assert ready - begun < 30
    assert time.monotonic() - ready < 30


class TestV2:
    def test_submit_answers_202_with_a_polling_url(self, pixazo: Client) -> None:
        reply = pixazo.submit()
        body = reply.json()

        assert reply.status_code == 202
        assert set(body) == {"request_id", "status", "polling_url"}
        assert body["request_id"].startswith("kling-virtual-try-on_")
        assert body["status"] == "QUEUED"
        assert body["polling_url"] == f"{pixazo.url}/v2/requests/status/{body['request_id']}"

    def test_the_status_goes_from_queued_over_processing_to_completed(self, pixazo: Client) -> None:
        pixazo.set(delay=0.6)
        request_id, seen = pixazo.submit().json()["request_id"], []
        while "COMPLETED" not in seen:
            seen.append(pixazo.status(request_id)["status"])
            time.sleep(0.02)

        assert list(dict.fromkeys(seen)) == ["QUEUED", "PROCESSING", "COMPLETED"]

    def test_the_status_object_is_the_documented_one(self, pixazo: Client) -> None:
        request_id = pixazo.submit().json()["request_id"]
        body = pixazo.status(request_id)

        assert body.pop("created_at") <= body.pop("completed_at") == body.pop("updated_at")
        assert body == {
            "request_id": request_id,
            "status": "COMPLETED",
            "model_id": "kling-virtual-try-on",
            "error": None,
            "output": {
                "media_url": [f"{pixazo.url}/results/{request_id}/output.png"],
                "media_type": "application/octet-stream",
            },
        }

    def test_an_unknown_request_is_404(self, pixazo: Client) -> None:
        assert pixazo.poll("kling-virtual-try-on_nobody").status_code == 404

    def test_a_result_is_not_there_before_its_time(self, pixazo: Client) -> None:
        pixazo.set(delay=60)
        request_id = pixazo.submit().json()["request_id"]
        reply = requests.get(f"{pixazo.url}/results/{request_id}/output.png", timeout=5)

        assert reply.status_code == 404


class TestLegacy:
    def poll(self, pixazo: Client, task_id: str) -> requests.Response:
        body = {"task_id": task_id}
        return requests.post(pixazo.url + LEGACY_POLL, json=body, headers=KEY, timeout=10)

    def test_submit_and_poll_in_klings_envelope(self, pixazo: Client) -> None:
        pixazo.set(contract="legacy")
        submitted = pixazo.submit()
        envelope = submitted.json()
        task_id = envelope["data"]["task_id"]
        polled = self.poll(pixazo, task_id).json()
        (image,) = polled["data"]["task_result"]["images"]

        assert submitted.status_code == 200
        assert (envelope["code"], envelope["message"]) == (0, "SUCCEED")
        assert envelope["request_id"] != task_id
        assert envelope["data"]["task_status"] == "submitted"
        assert polled["data"]["task_status"] == "succeed"
        assert requests.get(image["url"], timeout=20).headers["Content-Type"] == "image/png"

    def test_the_trace_id_finds_no_task(self, pixazo: Client) -> None:
        pixazo.set(contract="legacy")
        trace = pixazo.submit().json()["request_id"]
        reply = self.poll(pixazo, trace)

        assert reply.status_code == 404
        assert reply.json()["message"] == "task not found"

    def test_a_failed_task_is_http_200_and_code_0(self, pixazo: Client) -> None:
        pixazo.set(contract="legacy", faults=[{"at": "submit", "kind": "failed", "message": "No"}])
        reply = self.poll(pixazo, pixazo.submit().json()["data"]["task_id"])

        assert (reply.status_code, reply.json()["code"]) == (200, 0)
        assert reply.json()["data"]["task_status"] == "failed"
        assert reply.json()["data"]["task_status_msg"] == "No"


class TestRefusals:
    @pytest.mark.parametrize("headers", [{}, {"Ocp-Apim-Subscription-Key": "wrong"}])
    def test_a_wrong_key_is_401_everywhere(self, pixazo: Client, headers: dict[str, str]) -> None:
        request_id = pixazo.submit().json()["request_id"]
        url = pixazo.url
        replies = [
            pixazo.submit(headers=headers),
            requests.get(f"{url}/v2/requests/status/{request_id}", headers=headers, timeout=5),
            requests.post(url + LEGACY_POLL, json={}, headers=headers, timeout=5),
        ]

        assert [reply.status_code for reply in replies] == [401, 401, 401]
        assert {reply.json()["statusCode"] for reply in replies} == {401}

    @pytest.mark.parametrize(
        ("field", "value", "says"),
        [
            ("human_image", None, "required"),
            ("cloth_image", None, "required"),
            ("cloth_image", 7, "required"),
            ("human_image", "data:image/png;base64,AAAA", "data: prefix"),
            ("human_image", "no base64!", "base64"),
            ("cloth_image", base64_of(picture((400, 400), "GIF")), "jpg, jpeg or png"),
            ("human_image", base64_of(picture((299, 400))), "300px"),
            ("human_image", base64_of(picture((300, 300)) + bytes(10_000_000)), "10MB"),
        ],
    )
    def test_a_bad_picture_is_400_and_names_the_field(
        self, pixazo: Client, field: str, value: object, says: str
    ) -> None:
        reply = pixazo.submit(**{field: value})

        assert reply.status_code == 400
        assert field in reply.json()["message"]
        assert says in reply.json()["message"]
        assert [entry["accepted"] for entry in pixazo.get("submits")] == [False]

    def test_the_other_garment_field_is_refused_by_name(self, pixazo: Client) -> None:
        pixazo.set(garment_field="image_tail")
        refused = pixazo.submit()
        accepted = pixazo.submit(cloth_image=None, image_tail=base64_of(garment()))

        assert refused.status_code == 400
        assert "image_tail" in refused.json()["message"]
        assert accepted.status_code == 202

    def test_either_garment_field_where_so_set(self, pixazo: Client) -> None:
        pixazo.set(garment_field="either")
        pixazo.submit()
        pixazo.submit(cloth_image=None, image_tail=base64_of(garment()))

        assert [e["field"] for e in pixazo.get("submits")] == ["cloth_image", "image_tail"]

    def test_urls_are_fetched(self, pixazo: Client) -> None:
        url = pixazo.result_url()

        assert pixazo.submit(human_image=url).status_code == 202
        assert pixazo.submit(human_image=url.replace("output", "nothing")).status_code == 500


class TestFaults:
    def test_the_first_two_submits_are_503_and_the_third_is_accepted(self, pixazo: Client) -> None:
        headers = {"Retry-After": "1"}
        pixazo.faults({"at": "submit", "kind": "http", "times": 2, "headers": headers})
        replies = [pixazo.submit() for _ in range(3)]

        assert [reply.status_code for reply in replies] == [503, 503, 202]
        assert [reply.headers.get("Retry-After") for reply in replies] == ["1", "1", None]
        assert pixazo.get("stats")["accepted"] == 1

    def test_rules_are_used_up_in_order(self, pixazo: Client) -> None:
        pixazo.faults(
            {"at": "submit", "kind": "http", "after": 1, "status": 402},
            {"at": "submit", "kind": "http", "times": None, "status": 429},
        )
        replies = [pixazo.submit() for _ in range(4)]

        assert [reply.status_code for reply in replies] == [202, 402, 429, 429]
        assert replies[1].json()["error"] == "Insufficient Balance"

    def test_a_body_can_be_json_or_html(self, pixazo: Client) -> None:
        html = "<html><title>Just a moment...</title></html>"
        pixazo.faults(
            {"at": "submit", "kind": "http", "status": 429, "body": {"code": 1102}},
            {"at": "status", "kind": "http", "status": 403, "body": html},
        )
        refused, request_id = pixazo.submit(), pixazo.submit().json()["request_id"]
        challenged = pixazo.poll(request_id)

        assert (refused.status_code, refused.json()) == (429, {"code": 1102})
        assert (challenged.status_code, challenged.text) == (403, html)
        assert challenged.headers["Content-Type"].startswith("text/html")
        assert pixazo.status(request_id)["status"] == "COMPLETED"

    @pytest.mark.parametrize("accept", [True, False])
    def test_a_cut_submit_is_in_the_books_as_what_it_was(
        self, pixazo: Client, accept: bool
    ) -> None:
        pixazo.faults({"at": "submit", "kind": "cut", "accept": accept})
        with pytest.raises(requests.ConnectionError):
            pixazo.submit()

        (entry,) = pixazo.get("submits")
        assert (entry["fault"], entry["accepted"]) == ("cut", accept)
        assert pixazo.get("stats")["charged"] == int(accept)

    def test_a_504_can_hide_an_accepted_task(self, pixazo: Client) -> None:
        pixazo.faults({"at": "submit", "kind": "http", "status": 504, "accept": True})

        assert pixazo.submit().status_code == 504
        assert pixazo.get("stats")["accepted"] == 1

    @pytest.mark.parametrize(
        ("kind", "word", "charged"),
        [("failed", "FAILED", 1), ("error", "ERROR", 0), ("never", "PROCESSING", 1),
         ("word", "ASTRAY", 1)],
    )  # fmt: skip
    def test_a_task_can_end_badly(self, pixazo: Client, kind: str, word: str, charged: int) -> None:
        rule = {"at": "submit", "kind": kind, "word": "ASTRAY", "message": "Because"}
        pixazo.faults(rule)
        body = pixazo.status(pixazo.submit().json()["request_id"])

        assert (body["status"], body["output"]) == (word, None)
        assert body["error"] == ("Because" if word in ("FAILED", "ERROR") else None)
        assert pixazo.get("stats")["charged"] == charged

    def test_success_without_a_picture(self, pixazo: Client) -> None:
        pixazo.faults({"at": "submit", "kind": "no_result"})
        body = pixazo.status(pixazo.submit().json()["request_id"])

        assert (body["status"], body["output"]["media_url"]) == ("COMPLETED", [])

    @pytest.mark.parametrize("kind", ["unchanged", "blank"])
    def test_success_without_a_garment(self, pixazo: Client, kind: str) -> None:
        pixazo.faults({"at": "submit", "kind": kind})
        body = pixazo.status(pixazo.submit().json()["request_id"])

        shown = Image.open(
            io.BytesIO(requests.get(body["output"]["media_url"][0], timeout=10).content)
        )
        assert (len(shown.getcolors(1 << 24) or []) == 1) == (kind == "blank")
        assert pixazo.get("stats")["charged"] == 1

    def test_one_poll_with_an_unknown_word(self, pixazo: Client) -> None:
        pixazo.faults({"at": "status", "kind": "word", "word": "HUH"})
        request_id = pixazo.submit().json()["request_id"]

        assert [pixazo.status(request_id)["status"] for _ in "ab"] == ["HUH", "COMPLETED"]

    def test_slow_answers(self, pixazo: Client) -> None:
        pixazo.faults({"at": "submit", "kind": "slow", "seconds": 0.3})
        begun = time.monotonic()

        assert pixazo.submit().status_code == 202
        assert time.monotonic() - begun > 0.3


class TestResultFaults:
    def fetch(self, pixazo: Client, **rule: Any) -> requests.Response:
        url = pixazo.result_url()
        pixazo.faults({"at": "result", **rule})
        return requests.get(url, timeout=10, stream=True, allow_redirects=False)

    def test_not_an_image(self, pixazo: Client) -> None:
        reply = self.fetch(pixazo, kind="not_image")

        assert reply.headers["Content-Type"].startswith("image/png")
        assert reply.content.startswith(b"<html>")

    def test_truncated(self, pixazo: Client) -> None:
        half = self.fetch(pixazo, kind="truncated").content
        whole = requests.get(pixazo.result_url(), timeout=10).content

        assert whole.startswith(half)
        assert len(half) == len(whole) // 2

    def test_cut_in_the_middle(self, pixazo: Client) -> None:
        reply = self.fetch(pixazo, kind="cut")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = reply.content

    def test_huge_without_a_length(self, pixazo: Client) -> None:
        reply = self.fetch(pixazo, kind="huge", size=3_000_000)

        assert "Content-Length" not in reply.headers
        assert reply.content.startswith(b"\x89PNG")
        assert len(reply.content) == 3_000_000

    def test_redirect_elsewhere(self, pixazo: Client) -> None:
        reply = self.fetch(pixazo, kind="redirect", to="http://127.0.0.2:1/x.png")

        assert (reply.status_code, reply.headers["Location"]) == (302, "http://127.0.0.2:1/x.png")

    def test_a_byte_at_a_time(self, pixazo: Client) -> None:
        reply = self.fetch(pixazo, kind="drip", seconds=0.01)
        begun = time.monotonic()
        start = reply.raw.read(10)
        reply.close()

        assert start.startswith(b"\x89PNG")
        assert time.monotonic() - begun > 0.05


class TestSettings:
    @pytest.mark.parametrize(
        "wrong",
        [{"no_such": 1}, {"delay": -1}, {"delay": "3"}, {"contract": "v3"}, {"faults": 3},
         {"faults": [{"at": "submit", "kind": "huge"}]}, {"faults": [{"kind": "http"}]}],
    )  # fmt: skip
    def test_a_wrong_setting_is_400_and_changes_nothing(
        self, pixazo: Client, wrong: dict[str, Any]
    ) -> None:
        before = pixazo.get("settings")

        assert pixazo.set(**wrong).status_code == 400
        assert pixazo.get("settings") == before

    def test_a_change_is_partial_and_reset_takes_it_back(self, pixazo: Client) -> None:
        pixazo.faults({"at": "submit", "kind": "http", "times": 3})
        pixazo.submit()
        pixazo.set(delay=9)
        changed = pixazo.get("settings")
        requests.post(pixazo.url + "/_simulator/reset", timeout=5)

        assert (changed["delay"], changed["faults"][0]["times"]) == (9, 2)
        assert pixazo.get("settings")["delay"] == 0
        assert pixazo.get("settings")["faults"] == []
        assert pixazo.get("submits") == []


def test_the_books_name_every_submit_by_its_pictures(pixazo: Client) -> None:
    request_id = pixazo.submit().json()["request_id"]
    pixazo.submit(human_image="rubbish")
    first, second = pixazo.get("submits")

    assert first["request_id"] == first["task_id"] == request_id
    assert first["person"] == hashlib.sha256(person()).hexdigest()
    assert first["garment"] == hashlib.sha256(garment()).hexdigest()
    assert (second["accepted"], second["refused"], second["request_id"]) == (False, 400, None)
    assert [first["n"], second["n"]] == [1, 2]


def test_one_pair_is_composed_once_however_many_ask(pixazo: Client) -> None:
    with ThreadPoolExecutor(24) as pool:
        urls = list(pool.map(lambda _: pixazo.result_url(), range(24)))
        sizes = set(pool.map(lambda url: len(requests.get(url, timeout=20).content), urls))
    stats = pixazo.get("stats")

    assert len(set(urls)) == 24
    assert len(sizes) == 1
    assert (stats["composed"], stats["downloads"], stats["tasks"]) == (1, 24, {"COMPLETED": 24})


class TestPicture:
    def change(self, before: Image.Image, after: Image.Image, box: tuple[float, ...]) -> float:
        """Mean difference (0 to 255) in a box given in shares of width and height."""
        w, h = before.size
        pixels = (int(box[0] * w), int(box[1] * h), int(box[2] * w), int(box[3] * h))
        pair = [image.convert("RGB").crop(pixels) for image in (before, after)]
        return sum(ImageStat.Stat(ImageChops.difference(*pair)).mean) / 3

    def test_the_torso_is_dressed_and_the_rest_is_left_alone(self, pixazo: Client) -> None:
        before, after = Image.open(io.BytesIO(person())), pixazo.result()

        assert (after.format, after.size) == ("PNG", before.size)
        assert self.change(before, after, (0.4, 0.42, 0.6, 0.6)) > 20
        for corner in ((0, 0, 0.1, 0.1), (0.9, 0, 1, 0.1), (0, 0.9, 0.1, 1), (0.9, 0.9, 1, 1)):
            assert self.change(before, after, corner) == 0
        assert self.change(before, after, (0.4, 0.05, 0.6, 0.25)) == 0, "the head"

    def test_another_garment_makes_another_picture(self, pixazo: Client) -> None:
        one, other = (pixazo.result(cloth_image=base64_of(garment(n))) for n in (0, 1))

        assert self.change(one, other, (0.4, 0.42, 0.6, 0.6)) > 10

    def test_a_garment_with_an_alpha_channel(self, pixazo: Client) -> None:
        shirt = Image.new("RGBA", (600, 600))
        shirt.paste((200, 30, 40, 255), (150, 100, 450, 520))
        out = io.BytesIO()
        shirt.save(out, "PNG")
        after = pixazo.result(cloth_image=base64_of(out.getvalue())).convert("RGB")

        assert after.getpixel((384, 780)) == (200, 30, 40)

    def test_jpeg_results_and_large_photos(self, pixazo: Client) -> None:
        pixazo.set(result_format="jpeg")
        result = pixazo.result(human_image=base64_of(picture((2000, 3000), "JPEG")))

        assert (result.format, result.size) == ("JPEG", (1024, 1536))

    def test_a_photo_in_which_nobody_is_seen_is_dressed_in_the_middle(self, pixazo: Client) -> None:
        blank = picture((600, 900))
        after = pixazo.result(human_image=base64_of(blank))

        assert self.change(Image.open(io.BytesIO(blank)), after, (0.4, 0.4, 0.6, 0.6)) > 20


@pytest.mark.parametrize("path", PEOPLE, ids=lambda path: path.stem)
def test_the_torso_of_every_sample_person_is_found(path: Path) -> None:
    with Image.open(path) as photo:
        found = silhouette.find_person(photo)

    assert found is not None
    assert abs(found.x - photo.width / 2) < 12
    assert 0.3 < found.width / photo.width < 0.45


@pytest.mark.parametrize("path", GARMENTS, ids=lambda path: path.stem)
def test_the_torso_of_every_sample_garment_is_found(path: Path) -> None:
    with Image.open(path) as picture_:
        mask = silhouette.cut_out(picture_)
    found = silhouette.find_garment(mask)

    assert found is not None
    assert abs(found.x - mask.width / 2) < 12
    assert mask.getpixel((4, 4)) == 0
    assert mask.getpixel((mask.width // 2, mask.height // 2)) == 255


def test_somebody_whose_arms_hang_down_is_measured_by_the_shoulders() -> None:
    photo = Image.new("RGB", (600, 900), "#d8d8d0")
    photo.paste("#704030", (240, 80, 360, 250))
    photo.paste("#704030", (270, 250, 330, 290))
    photo.paste("#335577", (160, 290, 440, 900))
    found = silhouette.find_person(photo)

    assert found is not None
    assert abs(found.x - 300) < 12
    assert abs(found.shoulder_y - 290) < 12
    assert 170 < found.width < 220


def test_noise_is_nobody_or_somebody_in_the_frame() -> None:
    photo = Image.effect_noise((600, 900), 90).convert("RGB")
    found = silhouette.find_person(photo)

    assert found is None or 0.2 < found.x / photo.width < 0.8
