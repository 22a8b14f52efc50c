"""Who sees the operator's pages, and whose address counts."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakeredis import FakeStrictRedis
from flask.testing import FlaskClient

from config import Config
from vton.app import create_app
from vton.web.limits import FAILED_LOGINS
from vton.wiring import connect

PASSWORD, TOKEN = "a-password-of-the-operator", "a-token-of-prometheus"
SETTINGS = {
    "SUPABASE_URL": "http://127.0.0.1:1",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
    "ADMIN_PASSWORD": PASSWORD,
    "METRICS_TOKEN": TOKEN,
}


@pytest.fixture
def client(caplog: pytest.LogCaptureFixture) -> Iterator[FlaskClient]:
    """Somebody behind a proxy; behind the service there is nothing but Redis."""
    config = Config.from_env(SETTINGS)
    app = create_app(config, replace(connect(config), redis=FakeStrictRedis()))
    with caplog.at_level("WARNING"):
        yield app.test_client()


def sign_in(client: FlaskClient, forwarded: str, password: str = "wrong") -> int:
    """Try to see the page, from an address that a proxy has added."""
    answer = client.get(
        "/admin/rq/nothing", auth=("admin", password), headers={"X-Forwarded-For": forwarded}
    )
    return answer.status_code


def tries(client: FlaskClient, *forwarded: str) -> list[int]:
    """What comes of so many wrong tries from each address."""
    return [sign_in(client, one) for one in forwarded for _ in range(FAILED_LOGINS + 1)]


@pytest.mark.parametrize(
    "sent", ['", {0}', "{0}", "1.1.1.1, {0}", "8.8.8.8 status=200 ALARM, {0}", "a,b,, {0}"]
)
def test_whoever_guesses_shuts_out_nobody_else(client: FlaskClient, sent: str) -> None:
    assert tries(client, sent.format("192.0.2.1"))[-1] == 429

    assert sign_in(client, "192.0.2.2", PASSWORD) == 404
    assert sign_in(client, '", 192.0.2.2', PASSWORD) == 404


def test_a_network_of_ipv6_is_one_address(client: FlaskClient) -> None:
    found = [sign_in(client, f"2001:db8::{number:x}") for number in range(FAILED_LOGINS + 1)]

    assert found[-1] == 429
    assert sign_in(client, "2001:db8:0:1::1", PASSWORD) == 404


def test_what_is_no_address_is_in_no_line(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    sign_in(client, "8.8.8.8 ms=1 user=root ALARM")

    assert "ALARM" not in caplog.text
    assert "user=root" not in caplog.text


def test_who_has_the_token_is_never_shut_out(client: FlaskClient) -> None:
    for _ in range(3 * FAILED_LOGINS):
        assert client.get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 401
    tries(client, "127.0.0.1")

    right = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert right.status_code == 200
