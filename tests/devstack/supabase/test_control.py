"""The control panel: what tests and benchmarks can do to the gateway, and what they can count."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from postgrest import APIError
from servers import PASSWORD, Servers, User, wait_until
from storage3.exceptions import StorageApiError
from supabase import Client
from supabase_auth.errors import AuthRetryableError

AUTHORS = "/rest/v1/authors"
DEFAULTS = {"latency": 0.0, "fault": None, "token_seconds": 3600, "secret_keys": []}


@dataclass
class Control:
    """The panel, which needs no key, and a client that calls the services with one."""

    panel: httpx.Client
    services: httpx.Client

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = self.panel.get("/settings").json()
        return found

    def set(self, **changes: Any) -> None:
        assert self.panel.put("/settings", json=changes).status_code == 200

    def calls(self) -> dict[str, int]:
        found: dict[str, int] = self.panel.get("/calls").json()
        return found

    def reset(self) -> None:
        assert self.panel.post("/reset").json() == DEFAULTS

    def get(self, path: str = AUTHORS, **options: Any) -> httpx.Response:
        return self.services.get(path, **options)


@pytest.fixture
def control(servers: Servers) -> Iterator[Control]:
    """The panel, reset before and after."""
    headers = {"apikey": servers.keys.secret}
    with (
        httpx.Client(base_url=f"{servers.url}/_gateway") as panel,
        httpx.Client(base_url=servers.url, headers=headers) as services,
    ):
        control = Control(panel, services)
        control.reset()
        yield control
        control.reset()


def test_settings_are_changed_one_by_one(control: Control) -> None:
    assert control.settings() == DEFAULTS

    control.set(fault={"kind": "http", "paths": "nowhere"})
    control.set(latency=0.01)

    usual = {"status": 503, "body": None, "seconds": 5.0, "services": ["rest", "auth", "storage"]}
    usual |= {"methods": None, "times": None, "after_work": False}
    assert control.settings() == {
        **DEFAULTS,
        "latency": 0.01,
        "fault": {"kind": "http", "paths": "nowhere", **usual},
    }
    control.set(fault=None)
    assert control.settings() == {**DEFAULTS, "latency": 0.01}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"fault"',
        '{"delay": 1}',
        '{"latency": -1}',
        '{"latency": "1"}',
        '{"latency": true}',
        '{"latency": NaN}',
        '{"latency": Infinity}',
        '{"fault": false}',
        '{"fault": []}',
        '{"fault": {}}',
        '{"fault": {"kind": "slow"}}',
        '{"fault": {"kind": "cut", "time": 1}}',
        '{"fault": {"kind": "http", "status": "503"}}',
        '{"fault": {"kind": "http", "status": 100}}',
        '{"fault": {"kind": "hang", "seconds": null}}',
        '{"fault": {"kind": "hang", "seconds": 1e9}}',
        '{"fault": {"kind": "cut", "services": []}}',
        '{"fault": {"kind": "cut", "services": "rest"}}',
        '{"fault": {"kind": "cut", "services": ["rest", "realtime"]}}',
        '{"fault": {"kind": "cut", "methods": ["post"]}}',
        '{"fault": {"kind": "cut", "methods": [[]]}}',
        '{"fault": {"kind": "cut", "paths": ["authors"]}}',
        '{"fault": {"kind": "cut", "times": 0}}',
        '{"fault": {"kind": "cut", "times": 1.5}}',
        '{"fault": {"kind": "cut", "after_work": 1}}',
        '{"fault": {"kind": "cut"}, "latency": -1}',
    ],
)
def test_a_wrong_name_or_value_changes_nothing(control: Control, body: str) -> None:
    control.set(latency=0.25, fault={"kind": "cut", "times": 2})
    before = control.settings()

    answer = control.panel.put("/settings", content=body)

    assert answer.status_code == 400
    assert answer.json()["message"]
    assert control.settings() == before


def test_calls_are_counted_by_method_service_and_path(
    control: Control, service: Client, ada: User, anon: Client
) -> None:
    control.reset()
    service.table("authors").select("name").execute()
    service.table("authors").select("name").eq("id", 1).execute()
    service.rpc("add", {"a": 1}).execute()
    service.rpc("greet", {"name": "x"}, get=True).execute()
    service.storage.from_("open").upload("x/y.txt", b"x", {"upsert": "true"})
    service.storage.from_("open").create_signed_url("x/y.txt", 60)
    service.storage.from_("open").remove(["x/y.txt"])
    anon.auth.sign_in_with_password({"email": ada.email, "password": PASSWORD})
    control.get("/auth/v1/.well-known/jwks.json")
    control.get("/rest/v1/")
    control.get("/elsewhere")

    assert control.calls() == {
        "GET rest authors": 2,
        "POST rest rpc/add": 1,
        "GET rest rpc/greet": 1,
        "POST storage object": 2,
        "DELETE storage object": 1,
        "POST auth token": 1,
        "GET auth .well-known": 1,
        "GET rest": 1,
        "total": 10,
    }
    control.reset()
    assert control.calls() == {"total": 0}


def test_latency_holds_up_no_other_call(control: Control) -> None:
    control.set(latency=3)
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(control.get)
        wait_until(lambda: control.calls()["total"] == 1, "the slow call")
        control.set(latency=0)

        assert control.get().status_code == 200
        assert not slow.done()
        assert slow.result().status_code == 200
    assert slow.result().elapsed.total_seconds() >= 3


def test_an_error_page_reaches_every_part_of_the_client(
    control: Control, service: Client, anon: Client
) -> None:
    control.set(fault={"kind": "http", "status": 502})

    page = control.get("/auth/v1/.well-known/jwks.json")
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert "<h1>502 Bad Gateway</h1>" in page.text
    with pytest.raises(APIError) as rest:
        service.table("authors").select("name").execute()
    assert rest.value.code == "502"
    with pytest.raises(AuthRetryableError):
        anon.auth.sign_in_anonymously()
    with pytest.raises(StorageApiError):
        service.storage.from_("open").upload("x.txt", b"x")


def test_an_error_can_have_a_body_of_json(control: Control) -> None:
    control.set(fault={"kind": "http", "status": 429, "body": {"message": "Slow down"}})

    answer = control.get()

    assert (answer.status_code, answer.json()) == (429, {"message": "Slow down"})


def test_an_error_leaves_the_connection_open(control: Control) -> None:
    def connection(response: httpx.Response) -> Any:
        return response.extensions["network_stream"].get_extra_info("client_addr")

    before = connection(control.get())
    control.set(fault={"kind": "http"})
    spoilt = control.services.post("/storage/v1/object/open/big", content=bytes(1_000_000))
    control.set(fault=None)
    after = control.get()

    assert (spoilt.status_code, after.status_code) == (503, 200)
    assert before == connection(spoilt) == connection(after)


@pytest.mark.parametrize("fault", [{"kind": "cut"}, {"kind": "hang", "seconds": 0.1}])
@pytest.mark.parametrize("after_work", [False, True])
def test_a_connection_is_closed_without_an_answer(
    control: Control, fault: dict[str, Any], after_work: bool
) -> None:
    control.get()
    control.set(fault=fault | {"times": 2, "after_work": after_work})

    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            control.get()

    assert control.settings()["fault"] is None
    assert control.get().status_code == 200


@pytest.mark.parametrize("fault", [{"kind": "cut"}, {"kind": "hang", "seconds": 0}])
def test_a_large_upload_is_cut_off_as_cleanly(control: Control, fault: dict[str, Any]) -> None:
    control.set(fault=fault)

    for _ in range(5):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            control.services.post("/storage/v1/object/open/big", content=bytes(1_000_000))


def test_a_client_may_lose_patience(control: Control) -> None:
    control.set(fault={"kind": "hang", "seconds": 0.3, "times": 1})

    with pytest.raises(httpx.ReadTimeout):
        control.get(timeout=0.1)

    assert control.get().status_code == 200


@pytest.mark.parametrize(
    "fault", [{"kind": "http"}, {"kind": "cut"}, {"kind": "hang", "seconds": 0.1}]
)
@pytest.mark.parametrize("after_work", [False, True])
def test_the_work_is_done_or_not_though_the_client_cannot_tell(
    control: Control,
    service: Client,
    connection: psycopg.Connection,
    reset: Callable[[], list[Any]],
    fault: dict[str, Any],
    after_work: bool,
) -> None:
    fault |= {"paths": "rpc/add_author", "times": 1, "after_work": after_work}
    control.set(fault=fault)
    add = service.rpc("add_author", {"author": 9, "name": "Twice"})
    found = "select count(*) from authors where id = 9"

    with pytest.raises((APIError, httpx.RemoteProtocolError)):
        add.execute()

    assert connection.execute(found).fetchone() == (int(after_work),)
    if after_work:
        with pytest.raises(APIError) as failed:
            add.execute()
        assert failed.value.code == "23505"
    else:
        add.execute()
    assert connection.execute(found).fetchone() == (1,)
    reset()


def test_bytes_are_stored_though_the_client_cannot_tell(control: Control, service: Client) -> None:
    bucket = service.storage.from_("open")
    control.set(fault={"kind": "cut", "services": ["storage"], "times": 1, "after_work": True})

    with pytest.raises(httpx.RemoteProtocolError):
        bucket.upload("x.txt", b"x")

    assert bucket.download("x.txt") == b"x"
    bucket.remove(["x.txt"])


def test_a_fault_meets_only_the_calls_it_is_meant_for(control: Control) -> None:
    control.set(
        fault={"kind": "http", "services": ["rest"], "methods": ["POST"], "paths": "rpc/add"}
    )

    statuses = [
        control.services.post("/rest/v1/rpc/add", json={"a": 1}).status_code,
        control.get("/rest/v1/rpc/add?a=1").status_code,
        control.services.post("/rest/v1/rpc/greet", json={"name": "x"}).status_code,
        control.get("/auth/v1/health").status_code,
        control.get("/storage/v1/bucket").status_code,
    ]

    assert statuses == [503, 200, 200, 200, 200]


def test_a_fault_is_used_up_once_by_many_calls_at_a_time(control: Control) -> None:
    control.set(fault={"kind": "http", "times": 5})

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: control.get().status_code, range(40)))

    assert (statuses.count(503), statuses.count(200)) == (5, 35)
    assert control.settings()["fault"] is None
    assert control.calls()["GET rest authors"] == 40


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_no_page_reaches_the_panel(servers: Servers, method: str) -> None:
    """Whatever page a browser of this machine shows could else spoil the answers, or read them."""
    origin = {"Origin": "https://evil.example"}

    answer = httpx.request(method, f"{servers.url}/_gateway/settings", headers=origin)

    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_gateway_answers_to_the_names_of_this_machine_alone(servers: Servers) -> None:
    def answer(host: str) -> int:
        return httpx.get(f"{servers.url}/auth/v1/health", headers={"Host": host}).status_code

    assert answer("localhost:1") == answer("127.0.0.1") == 200
    assert answer("evil.example") == 400
