"""The page's files: compressed, kept for good under their content's name, and nothing else."""

import gzip
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from config import Config
from vton.app import create_app

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "SUPABASE_URL": "https://example.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
}
GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """A client of the application; nothing it is connected to is there."""
    return create_app(Config.from_env(SETTINGS)).test_client()


@pytest.fixture(scope="module")
def folder(client: FlaskClient) -> str:
    """Where the page says its files are."""
    found = re.search(r"/static/(\w+)/page.js", client.get("/").text)
    assert found
    return f"/static/{found[1]}"


def test_a_text_is_compressed_for_who_takes_that(client: FlaskClient, folder: str) -> None:
    plain, small = client.get(f"{folder}/page.js"), client.get(f"{folder}/page.js", headers=GZIP)

    assert gzip.decompress(small.data) == plain.data
    assert plain.data == (ROOT / "vton/demo/static/page.js").read_bytes()
    assert len(small.data) < len(plain.data) / 2
    assert (small.headers["Content-Encoding"], small.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert small.headers["ETag"] != plain.headers["ETag"]
    assert small.headers["Content-Type"] == "text/javascript; charset=utf-8"


def test_no_part_of_one_encoding_is_joined_to_one_of_another(
    client: FlaskClient, folder: str
) -> None:
    tag = client.get(f"{folder}/page.js", headers=GZIP).headers["ETag"]

    asked = {"Range": "bytes=100-", "If-Range": tag}
    assert client.get(f"{folder}/page.js", headers=asked).status_code == 200


def test_what_is_known_is_not_sent_again(client: FlaskClient, folder: str) -> None:
    tag = client.get(f"{folder}/page.js", headers=GZIP).headers["ETag"]

    again = client.get(f"{folder}/page.js", headers={**GZIP, "If-None-Match": tag})

    assert (again.status_code, again.data) == (304, b"")


def test_it_is_kept_for_good_only_under_its_own_name(client: FlaskClient, folder: str) -> None:
    kept = client.get(f"{folder}/page.css").headers["Cache-Control"]

    assert "immutable" in kept
    assert client.get("/static/another/page.css").headers["Cache-Control"] == "no-cache"
    assert client.get(f"{folder}/photos/mei.jpg").headers["Cache-Control"] == kept


def test_pages_of_other_origins_may_import_the_client(client: FlaskClient) -> None:
    for name in ("vton-client.js", "vton-client.d.ts"):
        answer = client.get(f"/static/{name}", headers={"Origin": "https://shop.example"})
        assert answer.data == (ROOT / "clients/js" / name).read_bytes()
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize(
    "path", ["", "page.js", "x/../routes.py", "x/%2e%2e/routes.py", "x//etc/passwd", "x/nothing.js"]
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404
