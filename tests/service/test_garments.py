"""The garments: listed for everybody, imported by the operator."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from actors import encoded
from PIL import Image

from config import Config
from devstack.stack import Stack
from vton.app import create_app


def listed(stack: Stack, **query: Any) -> requests.Response:
    """The answer to somebody who is not signed in."""
    return requests.get(f"{stack.web_url}/api/garments", params=query, timeout=10)


def test_everybody_sees_all_garments(stack: Stack) -> None:
    response = listed(stack)

    garments = response.json()["data"]
    assert {garment["name"] for garment in garments} >= sample_names(stack)
    first = garments[0]
    assert set(first) == {
        "id", "name", "brand", "category", "image_url", "imageUrl", "thumbnailUrl", "created_at"
    }  # fmt: skip
    assert first["image_url"] == first["imageUrl"]
    picture = requests.get(first["image_url"], timeout=10)
    assert picture.headers["Content-Type"] == "image/png"
    small = requests.get(first["thumbnailUrl"], timeout=10)
    assert small.headers["Content-Type"] == "image/webp"
    assert max(Image.open(BytesIO(small.content)).size) <= 384


def test_garments_are_cacheable(stack: Stack) -> None:
    first = listed(stack)

    again = requests.get(
        f"{stack.web_url}/api/garments",
        headers={"If-None-Match": first.headers["ETag"]},
        timeout=10,
    )

    assert first.headers["Cache-Control"] == "public, max-age=300"
    assert again.status_code == 304
    assert again.content == b""


@pytest.fixture
def shop(database: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """Five garments of a category of their own, newest first."""
    database.execute(
        "insert into garments (name, category, image_url, created_at)"
        " select 'Hat ' || n, 'hats', 'https://example.com/' || n, '2026-01-01'::timestamptz"
        " from generate_series(1, 5) n"
    )
    rows = database.execute("select id from garments where category = 'hats' order by id desc")
    yield [str(garment_id) for (garment_id,) in rows]
    database.execute("delete from garments where category = 'hats'")


def test_garments_of_a_category(stack: Stack, shop: list[str]) -> None:
    assert [garment["id"] for garment in listed(stack, category="hats").json()["data"]] == shop
    assert listed(stack, category="none").json() == {
        "success": True,
        "data": [],
        "meta": {"next_cursor": None},
    }


def test_pages_continue_where_times_are_equal(stack: Stack, shop: list[str]) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = listed(stack, category="hats", limit=2, cursor=cursor).json()
        seen += [garment["id"] for garment in page["data"]]
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            break

    assert seen == shop


def test_a_picture_elsewhere_keeps_its_url(stack: Stack, shop: list[str]) -> None:
    first = listed(stack, category="hats").json()["data"][0]

    assert first["image_url"].startswith("https://example.com/")


def test_importing_again_changes_what_changed_and_adds_nothing(
    stack: Stack, tmp_path: Path, database: psycopg.Connection[Any]
) -> None:
    picture = encoded(Image.new("RGB", (400, 400), "navy"), "JPEG")
    (tmp_path / "Blaue Jacke Größe 5.jpg").write_bytes(picture)
    by_name = stack.run_flask("garments", "import", str(tmp_path))
    assert "1 of 1 garments imported: 1 new" in by_name.stdout, by_name.stdout
    (tmp_path / "garments.csv").write_text(
        "file,name,brand,category\nBlaue Jacke Größe 5.jpg,Navy jacket,Nord,coats\n"
    )

    with_list = stack.run_flask("garments", "import", str(tmp_path))

    assert with_list.returncode == 0, with_list.stdout
    assert "0 new, 1 changed, 0 unchanged." in with_list.stdout
    again = stack.run_flask("garments", "import", str(tmp_path))
    assert "0 new, 0 changed, 1 unchanged." in again.stdout
    rows = database.execute(
        "select name, brand, category, image_url from garments where image_url like '%gro%e-5%'"
    ).fetchall()
    assert rows == [("Navy jacket", "Nord", "coats", "garments/blaue-jacke-grosse-5.png")]
    database.execute("delete from garments where name = 'Navy jacket'")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no pictures"),
        ({"a.png": b"not a picture"}, "skipped a.png: The file is not a picture that can be used."),
        ({"a.png": b"", "garments.csv": b"name\nx\n"}, "needs the columns file and name"),
        ({"garments.csv": b"file,name\n../secret.png,x\n"}, "line 2: no file '../secret.png'"),
        ({"garments.csv": b"file,name\nb.png,x\n"}, "line 2: no file 'b.png'"),
        ({"a.png": b"", "garments.csv": b"file,name\na.png,\n"}, "line 2: no name"),
        ({"a.png": b"", "a.jpg": b""}, "two files would be garments/a.png"),
    ],
)
def test_a_folder_that_cannot_be_imported_is_said(
    stack: Stack, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    done = stack.run_flask("garments", "import", str(tmp_path))

    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout


def sample_names(stack: Stack) -> set[str]:
    """The names in the list that the samples come with."""
    lines = (stack.garments / "garments.csv").read_text().splitlines()[1:]
    return {line.split(",")[1] for line in lines}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SUPABASE_URL": "http://127.0.0.1:1"}, "The database is not ready: Supabase cannot be"),
        ({"SUPABASE_SERVICE_ROLE_KEY": "sb_secret_wrong"}, "Supabase refuses SUPABASE_SERVICE_RO"),
        ({"SUPABASE_SERVICE_ROLE_KEY": "the publishable one"}, "Supabase refuses SUPABASE_SERVIC"),
        ({"STORAGE_BUCKET": "vton-asets"}, "The storage is not ready: there is no such bucket"),
    ],
)
def test_an_import_says_what_is_wrong_before_it_stores_anything(
    stack: Stack, tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    if "publishable" in settings.get("SUPABASE_SERVICE_ROLE_KEY", ""):
        settings = {"SUPABASE_SERVICE_ROLE_KEY": stack.settings["SUPABASE_PUBLISHABLE_KEY"]}
    app = create_app(Config.from_env(stack.child_environ | settings))

    done = app.test_cli_runner().invoke(args=["garments", "import", str(tmp_path)])

    assert done.exit_code == 1
    assert words in done.output
