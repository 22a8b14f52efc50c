"""Keys, tokens and signed URLs are where they belong and nowhere else.

On a stack of its own that logs all it can, with a provider's key that is one.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from actors import Simulator, User, clean_environ, jpeg, until
from redis import Redis

from devstack.stack import Stack, free_ports
from devstack.supabase.keys import load_keys

pytestmark = pytest.mark.thorough

PROVIDER_KEY = "px-7d0f4f5e2a9b4c1d8e6f"
ADMIN = ("admin", "a-password-of-the-operator")
OUTPUTS = ("web", "worker", "supabase", "valkey")
SIGNATURE = re.compile(r"token=[\w-]+\.[\w-]+\.[\w-]+")
REGISTRIES = ("queued", "started", "finished", "failed")

FAULTS: list[dict[str, Any]] = [
    {"at": "submit", "kind": "http", "status": 500, "accept": True},
    {"at": "submit", "kind": "http", "status": 401},
    {"at": "submit", "kind": "cut"},
    {"at": "submit", "kind": "failed", "message": "the key was px"},
    {"at": "result", "kind": "redirect", "to": "http://127.0.0.2:1/?token=a.b.c"},
    {"at": "result", "kind": "not_image"},
    {"at": "status", "kind": "http", "status": 401},
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service, told to log everything; its simulator is ours, and wants a real key."""
    ports, folder = free_ports(), tmp_path_factory.mktemp("secrets")
    output = (folder / "simulator.log").open("w+")
    options = ["--port", str(ports.pixazo), "--key", PROVIDER_KEY, "--delay", "0"]
    simulator = subprocess.Popen(
        [sys.executable, "-m", "devstack.pixazo", *options],
        env=clean_environ(PYTHONUNBUFFERED="1"), stdout=output, stderr=subprocess.STDOUT,
    )  # fmt: skip
    environ = clean_environ(
        PIXAZO_API_KEY=PROVIDER_KEY,
        PIXAZO_BASE_URL=f"http://127.0.0.1:{ports.pixazo}",
        PIXAZO_ALLOWED_HOSTS="127.0.0.1",
        RESULT_ALLOWED_HOSTS="127.0.0.1",
        PIXAZO_FIRST_POLL="0.05",
        PIXAZO_POLL_INTERVAL="0.1",
        LOG_LEVEL="DEBUG",
        ADMIN_PASSWORD=ADMIN[1],
    )
    running = Stack(environ, folder, ports, quiet=True)
    try:
        running.start()
        yield running
    finally:
        running.stop(remove=True)
        simulator.terminate()
        simulator.wait(10)
        output.close()


@pytest.fixture
def garment_id(stack: Stack) -> str:
    """One of the sample garments of that stack."""
    found: str = requests.get(f"{stack.web_url}/api/garments", timeout=10).json()["data"][0]["id"]
    return found


class Witness:
    """Everything that was answered, but for the pictures' own URLs where they belong."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.urls: set[str] = set()

    def answer(self, response: requests.Response) -> Any:
        """Note an answer; its JSON."""
        if response.status_code >= 400:
            self.errors.append(f"{response.headers} {response.text}")
        self.urls |= set(re.findall(r'"(http[^"]*token=[^"]+)"', response.text))
        return response.json()


def try_ons(user: User, garment_id: str, simulator: Simulator, seen: Witness) -> list[str]:
    """One try-on that works and one for each fault; the sessions' ids."""
    sessions = []
    for fault in (None, *FAULTS):
        simulator.change(faults=[fault] if fault else [])
        sessions.append(user.start(garment_id))
        user.wait(sessions[-1])
        seen.answer(user.call("GET", f"/api/try-on/{sessions[-1]}/status"))
    seen.answer(user.call("GET", "/api/try-on/history"))
    return sessions


def refusals(stack: Stack, user: User, seen: Witness) -> None:
    """What users get wrong, with tokens and keys in all the wrong places."""
    token, photo = user.token, {"userImage": (f"{user.token}.jpg", jpeg())}
    seen.answer(user.call("GET", f"/api/try-on/{token}/status"))
    seen.answer(user.call("GET", "/api/try-on/history", params={"cursor": "x", "limit": "y"}))
    seen.answer(user.call("POST", "/api/try-on", files=photo, data={"garmentId": "nonsense"}))
    seen.answer(user.call("PUT", "/api/try-on"))
    seen.answer(user.call("POST", "/api/try-on", data=b"{", headers={"Content-Type": "a/b"}))
    for sent in (f"Basic {token}", f"Bearer {token}x", f"Bearer {token} {token}", token):
        url = f"{stack.web_url}/api/try-on/history"
        seen.answer(requests.get(url, headers={"Authorization": sent}, timeout=10))


def spoilt(stack: Stack, user: User, garment_id: str, seen: Witness) -> None:
    """Supabase away, in ways that have clients raise what they were sent."""
    panel = f"{stack.settings['SUPABASE_URL']}/_gateway"
    photo = jpeg()
    for path, kind in (("rpc/create_session", "http"), ("rpc/create_session", "cut"),
                       ("user-uploads", "http"), ("user-uploads", "cut")):  # fmt: skip
        fault = {"kind": kind, "paths": path, "times": 1, "methods": ["POST"]}
        requests.put(f"{panel}/settings", json={"fault": fault}, timeout=5).raise_for_status()
        files, form = {"userImage": ("a.jpg", photo)}, {"garmentId": garment_id}
        seen.answer(user.call("POST", "/api/try-on", files=files, data=form))
    requests.post(f"{panel}/reset", timeout=5).raise_for_status()


def contents(redis: Redis) -> dict[str, str]:
    """All keys with all that is in them."""
    readers: dict[str, Callable[[bytes], Any]] = {
        "string": redis.get,
        "hash": redis.hgetall,
        "list": lambda key: redis.lrange(key, 0, -1),
        "set": redis.smembers,
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        "stream": redis.xrange,
    }
    found = {}
    for key in redis.scan_iter(count=1000):
        kind = redis.type(key).decode()
        if kind != "none":  # it has lapsed since
            found[key.decode()] = repr(readers[kind](key))
    return found


def dashboard(stack: Stack, sessions: list[str]) -> str:
    """All that rq-dashboard shows of the jobs."""
    base = f"{stack.web_url}/admin/rq/0"
    paths = [f"data/jobs/try-on/{name}/100/asc/1.json" for name in REGISTRIES]
    paths += ["data/queues.json", "data/workers.json"]
    paths += [path for one in sessions for path in (f"view/job/{one}", f"data/job/{one}.json")]
    pages = [requests.get(f"{base}/{path}", auth=ADMIN, timeout=10) for path in paths]
    assert any(session in page.text for page in pages for session in sessions)
    return "\n".join(page.text for page in pages)


def test_keys_and_tokens_are_nowhere_and_signed_urls_in_their_entries_only(
    stack: Stack, user: User, garment_id: str, simulator: Simulator, redis: Redis
) -> None:
    seen = Witness()
    sessions = try_ons(user, garment_id, simulator, seen)
    seen.answer(requests.get(f"{stack.web_url}/api/garments", timeout=10))
    refusals(stack, user, seen)
    spoilt(stack, user, garment_id, seen)
    assert len(seen.errors) > 10
    assert any("try-on-results" in url for url in seen.urls)

    kept = contents(redis)
    places = {
        **{name: "\n".join(stack.output(name)) for name in OUTPUTS},
        "simulator": (stack.data / "simulator.log").read_text(),
        "errors": "\n".join(seen.errors),
        "dashboard": dashboard(stack, sessions),
        **{f"redis {key}": value for key, value in kept.items() if not is_signed(key)},
        "redis keys": "\n".join(kept),
    }
    signed = {url for key, value in kept.items() if is_signed(key) for url in [value]}
    assert len(signed) >= 3
    assert sessions[0] in places["worker"]  # it did log
    for place, text in places.items():
        for name, secret in secrets(stack, user).items():
            assert secret not in text, f"{name} in {place}: {around(text, secret)}"
        leak = SIGNATURE.search(text)
        assert leak is None, f"a signed URL in {place}: {around(text, leak[0])}"
    for key, value in kept.items():
        for name, secret in secrets(stack, user).items():
            assert secret not in value, f"{name} in {key}"

    delete_all(user, sessions)
    until(lambda: not any(user.id in key for key in contents(redis) if is_signed(key)))
    mine = {signature(url) for url in seen.urls if user.id in url}
    left = "\n".join(contents(redis).values())
    assert mine
    assert not any(token in left for token in mine)


def secrets(stack: Stack, user: User) -> dict[str, str]:
    """What must not be seen, each by the part of it that is enough to be recognised."""
    keys = load_keys(stack.data / "supabase")
    return {
        "the service key": stack.settings["SUPABASE_SERVICE_ROLE_KEY"],
        "the signing key": keys.jwk["d"],
        "the URLs' secret": keys.url_secret,
        "the provider's key": PROVIDER_KEY,
        "a user's token": user.token,
        "a user's token's signature": user.token.rpartition(".")[2],
        "the operator's password": ADMIN[1],
    }


def is_signed(key: str) -> bool:
    """Whether a key is that of a signed URL."""
    return key.startswith("vton:signed:")


def signature(url: str) -> str:
    """What makes a URL open its object."""
    return json.loads(f'"{url}"').partition("token=")[2]


def delete_all(user: User, sessions: list[str]) -> None:
    """Delete sessions, as their user does."""
    for session in sessions:
        assert user.call("DELETE", f"/api/try-on/{session}").status_code == 200


def around(text: str, found: str) -> str:
    """Where in a text something is, without saying it."""
    place = text.index(found)
    return text[max(0, place - 200) : place]
