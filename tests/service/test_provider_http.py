"""The provider's key goes to its owner only, and their answers are bounded.

Against real sockets on loopback.
"""

import gzip
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from actors import DECODERS
from http_servers import Server, answer, certificate, dripping, refused, serving, within

from vton.adapters.clock import SystemClock
from vton.adapters.http.client import Answer, HttpClient
from vton.adapters.http.download import Downloads
from vton.adapters.pixazo.client import KEY_HEADER, Pixazo, PixazoSettings
from vton.adapters.pixazo.throttle import Throttle
from vton.imaging.photos import PictureConverter
from vton.imaging.sandbox import Sandbox
from vton.tryon.model import ProviderTask
from vton.tryon.ports.provider import Inputs, PermanentError, RetryableError

KEY = "the-providers-key"
SECONDS = 1.5
"""How long a request may last here."""


# -- the key ---------------------------------------------------------------------------------


class NoPictures:
    """The bucket is not needed here."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def pixazo(base_url: str, *allowed: str) -> Pixazo:
    """A provider's client that sends its key to few."""
    settings = PixazoSettings(
        api_key=KEY,
        base_url=base_url.rstrip("/"),
        submit_path="/submit",
        status_path="/v2/requests/status/{request_id}",
        person_field="human_image",
        garment_field="cloth_image",
        send_urls=False,
        allowed_hosts=frozenset(allowed),
    )
    return Pixazo(
        settings=settings,
        pictures=NoPictures(),
        converter=PictureConverter(Sandbox(decoders=DECODERS)),
        throttle=Throttle(1000, threading.Event(), SystemClock()),
        downloads=Downloads(["127.0.0.1"]),
        http=HttpClient(8),
    )


INPUTS = Inputs("cGVyc29u", "Z2FybWVudA==")


def accepted(polling_url: str) -> bytes:
    """The body of the v2 answer to a submit."""
    body = {"request_id": "r1", "status": "QUEUED", "polling_url": polling_url}
    return json.dumps(body).encode()


GATEWAY = "https://gateway.pixazo.ai"


@pytest.mark.parametrize(
    ("base", "url", "may"),
    [
        (GATEWAY, f"{GATEWAY}/v2/requests/status/1", True),
        (GATEWAY, "https://GATEWAY.pixazo.ai:443/v2", True),
        (GATEWAY, "https://gateway.appypie.com/x", True),
        (GATEWAY, "http://gateway.pixazo.ai/v2", False),
        (GATEWAY, "http://gateway.pixazo.ai:443/v2", False),
        (GATEWAY, "https://gateway.pixazo.ai:8443/v2", False),
        (GATEWAY, "https://user@gateway.pixazo.ai/v2", False),
        (GATEWAY, "https://gateway.pixazo.ai@evil.example/v2", False),
        (GATEWAY, "https://gateway.pixazo.ai\\@evil.example/v2", False),
        (GATEWAY, "https://evil.example\\@gateway.pixazo.ai/v2", False),
        (GATEWAY, "https://gateway.pixazo.ai.evil.example/v2", False),
        (GATEWAY, "https://evil.example/gateway.pixazo.ai", False),
        (GATEWAY, "https://evil.example#gateway.pixazo.ai", False),
        (GATEWAY, "//gateway.pixazo.ai/v2", False),
        (GATEWAY, "http://127.0.0.1/v2", False),
        (GATEWAY, "", False),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/v2", True),
        ("http://127.0.0.1:9", "http://127.0.0.1:10/v2", False),
        ("http://127.0.0.1:9", "http://gateway.appypie.com/v2", False),
        ("http://127.0.0.1:9", "https://gateway.appypie.com/v2", True),
        ("http://10.0.0.1", "http://10.0.0.1/v2", False),
        ("https://own.example:8443", "https://own.example:8443/v2", True),
    ],
)
def test_who_may_have_the_key(base: str, url: str, may: bool) -> None:
    provider = pixazo(base, "gateway.pixazo.ai", "gateway.appypie.com")

    task = ProviderTask("pixazo", "r1", provider._status_url(url, "r1"))

    own = f"{base}/v2/requests/status/r1"
    assert task.status_url == (url if may else own)


@pytest.mark.parametrize(
    "polling_url",
    ["http://127.0.0.2:{port}/", "http://user@127.0.0.1:{port}/", "http://evil.example:{port}/"],
)
def test_the_key_does_not_go_where_an_answer_says(polling_url: str) -> None:
    running = answer(b'{"status": "PROCESSING"}')
    with serving(running, address="127.0.0.2") as elsewhere:
        submit = answer(accepted(polling_url.format(port=elsewhere.port)), "202 Accepted")
        with serving(submit, running) as server:
            provider = pixazo(server.url, "127.0.0.1")
            provider.poll(provider.submit(INPUTS))

    assert elsewhere.connections == 0
    assert server.heads[1].startswith("GET /v2/requests/status/r1 ")
    assert f"{KEY_HEADER}: {KEY}" in server.heads[1]


def test_a_stored_polling_url_is_checked_again() -> None:
    with serving(answer(), address="127.0.0.2") as elsewhere:
        provider = pixazo("http://127.0.0.1:9", "127.0.0.1")
        assert refused(lambda: provider.poll(ProviderTask("pixazo", "r1", elsewhere.url)))
        assert elsewhere.connections == 0


def test_the_key_does_not_follow_a_redirect() -> None:
    with serving(answer(b"{}"), address="127.0.0.2") as elsewhere:
        moved = answer(b"", "307 Moved", Location=elsewhere.url)
        with serving(moved) as server:
            provider = pixazo(server.url, "127.0.0.1", "127.0.0.2")
            assert "uncertain" in refused(lambda: provider.submit(INPUTS))
            with pytest.raises(RetryableError):
                provider.poll(ProviderTask("pixazo", "r1", server.url))
        assert elsewhere.connections == 0


def test_a_result_is_fetched_without_the_key() -> None:
    with serving(answer()) as server, pytest.raises(PermanentError, match="no picture"):
        pixazo("http://127.0.0.1:9").download_result(server.url)

    assert KEY not in server.heads[0]


def test_the_environment_does_not_send_the_key_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(answer()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        with serving(answer(b'{"status": "PROCESSING"}', Set_Cookie="a=b")) as server:
            provider = pixazo(server.url)
            for _ in range(2):
                provider.poll(ProviderTask("pixazo", "r1", server.url))
        assert proxy.connections == 0

    assert not any(word in head for head in server.heads for word in ("Authorization", "Cookie"))
    assert server.connections == 1  # kept


# -- the provider's answers, bounded ---------------------------------------------------------


def test_a_status_that_is_too_large_or_packed_is_none() -> None:
    big = json.dumps({"status": "PROCESSING", "more": "x" * 1_100_000}).encode()
    packed = gzip.compress(b'{"status": "PROCESSING"}')
    for reply in (answer(big), answer(packed, Content_Encoding="gzip")):
        with serving(reply) as server, pytest.raises(RetryableError):
            pixazo(server.url).poll(ProviderTask("pixazo", "r1", server.url))


def test_a_submits_answer_that_is_too_large_leaves_it_open() -> None:
    with serving(answer(b" " * 1_100_000, "202 Accepted")) as server:
        why = refused(lambda: pixazo(server.url).submit(INPUTS))

    assert "provider_uncertain" in why


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 202 Accepted\r\nX-Long: ",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n",
    ],
)
def test_a_dripping_api_is_given_up_in_time(start: bytes) -> None:
    with dripping(start) as server, within(10), pytest.raises(requests.RequestException):
        ask(HttpClient(1), server.url)


def test_an_api_that_does_not_read_is_given_up_in_time() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with listener, within(10), pytest.raises(requests.RequestException):
        ask(HttpClient(1), url, {"image": "x" * 30_000_000})


def test_a_second_request_has_time_of_its_own_on_the_same_connection() -> None:
    def late(server: Server, connection: socket.socket) -> None:
        server.over.wait(0.6 * SECONDS)  # together longer than one may last
        connection.sendall(answer(b"{}"))

    with Server(late).running() as server:
        http = HttpClient(1)
        for _ in range(2):
            assert ask(http, server.url).status == 200

        assert server.connections == 1


def ask(http: HttpClient, url: str, body: Any = None) -> Answer:
    """Ask an API, with little patience."""
    return http.ask("POST", url, headers={}, body=body, connect=1, seconds=SECONDS, limit=1000)


def test_a_submit_that_was_never_sent_may_be_repeated() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(RetryableError):
        pixazo(f"http://127.0.0.1:{port}").submit(INPUTS)


def test_a_submit_to_who_cannot_prove_the_name_was_never_sent(tmp_path: Path) -> None:
    theirs, _ = certificate("127.0.0.1", tmp_path)
    with serving(answer(accepted("")), tls=theirs) as server, pytest.raises(RetryableError):
        pixazo(f"https://127.0.0.1:{server.port}").submit(INPUTS)

    assert server.heads == []


def test_many_threads_share_the_connections() -> None:
    with serving(answer(b'{"status": "PROCESSING"}')) as server:
        provider = pixazo(server.url)
        task = ProviderTask("pixazo", "r1", server.url)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: provider.poll(task), range(64)))

        assert server.connections <= 8
