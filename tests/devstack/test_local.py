"""The stand-ins answer programs of this machine, and no page that a browser of it shows."""

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from devstack.local import LOCAL_HOSTS, refuse_pages
from devstack.pixazo.app import create_app
from devstack.pixazo.settings import Settings


@pytest.fixture
def simulator() -> FlaskClient:
    """The provider's simulator."""
    return create_app("key", Settings()).test_client()


@pytest.mark.parametrize("host", ["localhost", "localhost:8002", "127.0.0.1:8002"])
def test_a_program_is_answered(simulator: FlaskClient, host: str) -> None:
    assert simulator.get("/_simulator/settings", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8002", "127.0.0.1.evil.example", "x"])
def test_a_name_that_was_made_to_lead_here_is_not(simulator: FlaskClient, host: str) -> None:
    assert simulator.get("/_simulator/settings", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:8000", "null"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "OPTIONS"])
def test_no_page_reaches_a_control_panel(simulator: FlaskClient, origin: str, method: str) -> None:
    answer = simulator.open("/_simulator/settings", method=method, headers={"Origin": origin})

    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_rest_is_open_to_pages() -> None:
    app = Flask(__name__)
    app.config["TRUSTED_HOSTS"] = LOCAL_HOSTS
    refuse_pages(app, "/_panel")
    app.add_url_rule("/rest", view_func=lambda: Response("rows"))

    assert app.test_client().get("/rest", headers={"Origin": "https://a.example"}).text == "rows"
