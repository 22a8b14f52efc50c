"""REST through the real Supabase client: rights, and what is not there. Its answers as such are
compared to the real PostgREST's in test_postgrest.py."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from postgrest import APIError, CountMethod
from servers import Servers, User
from supabase import Client

pytestmark = pytest.mark.usefixtures("reset")


def test_users_see_and_change_their_own_rows_alone(ada: User, bob: User, anon: Client) -> None:
    made = ada.client.table("notes").insert({"body": "Ada's"}).execute().data[0]

    assert made["user_id"] == ada.id
    assert ada.client.table("notes").select("body").execute().data == [{"body": "Ada's"}]
    assert bob.client.table("notes").select("*").execute().data == []
    assert anon.table("notes").select("*").execute().data == []
    assert bob.client.table("notes").update({"body": "Bob's"}).eq("id", 1).execute().data == []
    assert bob.client.table("notes").delete().eq("id", 1).execute().data == []
    assert ada.client.table("notes").delete().eq("id", 1).execute().data == [made]


def test_a_row_for_somebody_else_is_refused(ada: User, bob: User) -> None:
    with pytest.raises(APIError) as failed:
        bob.client.table("notes").insert({"body": "x", "user_id": ada.id}).execute()

    assert failed.value.code == "42501"
    assert failed.value.message == 'new row violates row-level security policy for table "notes"'


def test_the_service_sees_everything(service: Client, ada: User) -> None:
    ada.client.table("notes").insert({"body": "Ada's"}).execute()

    assert service.table("notes").select("body").execute().data == [{"body": "Ada's"}]
    assert service.rpc("whoami", {}).execute().data == "service_role"


def test_a_function_sees_the_callers_claims(ada: User, anon: Client) -> None:
    claims = ada.client.rpc("claims", {}).execute().data

    assert (claims["sub"], claims["role"]) == (ada.id, "authenticated")
    assert anon.rpc("claims", {}).execute().data == {"role": "anon"}


def test_a_change_whose_rows_are_not_wanted_needs_no_right_to_read_them(
    anon: Client, connection: psycopg.Connection
) -> None:
    connection.execute("grant insert on secrets to anon")
    try:
        anon.table("secrets").insert({"id": 5, "word": "w"}, returning="minimal").execute()  # type: ignore[arg-type]
    finally:
        connection.execute("revoke insert on secrets from anon")

    assert connection.execute("select word from secrets where id = 5").fetchall() == [("w",)]


def test_one_object_or_none(anon: Client) -> None:
    table = anon.table("authors").select("name")

    assert table.eq("id", 1).single().execute().data == {"name": "Ursula"}
    assert anon.table("authors").select("name").eq("id", 99).maybe_single().execute() is None
    with pytest.raises(APIError) as failed:
        anon.table("authors").select("name").eq("id", 99).single().execute()
    assert failed.value.code == "PGRST116"
    assert failed.value.details == "The result contains 0 rows"


def test_bulk_rows_with_different_keys_take_the_defaults(anon: Client) -> None:
    rows: list[Any] = [{"title": "A", "price": 1}, {"title": "B", "tags": ["x"]}]

    made = anon.table("books").insert(rows, default_to_null=False).execute().data

    assert [(row["title"], row["price"], row["tags"]) for row in made] == [
        ("A", 1, []),
        ("B", None, ["x"]),
    ]


def test_a_count_without_the_rows(anon: Client) -> None:
    counted = anon.table("books").select("*", count=CountMethod.exact, head=True).execute()

    assert counted.count == 5


def test_an_upsert_that_only_updates_answers_200(servers: Servers) -> None:
    headers = {"apikey": servers.keys.secret, "Prefer": "resolution=merge-duplicates"}
    url = f"{servers.url}/rest/v1/authors"

    updated = httpx.post(url, json={"id": 1, "name": "U."}, headers=headers)
    inserted = httpx.post(url, json={"id": 50, "name": "New"}, headers=headers)

    assert (updated.status_code, inserted.status_code) == (200, 201)


def test_a_list_ends_at_a_thousand_rows(anon: Client) -> None:
    numbers = anon.rpc("squares", {"up_to": 1500}).execute().data

    assert len(numbers) == 1000


def test_a_table_made_after_the_start_is_found(
    anon: Client, connection: psycopg.Connection
) -> None:
    connection.execute("create table late (id int primary key, book_id int references books (id))")
    try:
        anon.table("late").insert({"id": 1, "book_id": 3}).execute()
        rows = anon.table("late").select("id,books(title)").execute().data
        connection.execute("alter table late add column more text")
        anon.table("late").update({"more": "x"}).eq("id", 1).execute()
        after = anon.table("late").select("*").execute().data
    finally:
        connection.execute("drop table late")

    assert rows == [{"id": 1, "books": {"title": "Solaris"}}]
    assert after == [{"id": 1, "book_id": 3, "more": "x"}]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "", {}),
        ("GET", "books?select=price::text", {}),
        ("GET", "books?select=cost:price::text", {}),
        ("GET", "books?select=info->pages", {}),
        ("GET", "books?select=count()", {}),
        ("GET", "books?select=title,...authors(name)", {}),
        ("GET", "books?info->>pages=eq.1", {}),
        ("GET", "books?title=fts.sun", {}),
        ("GET", "books?tags=cs.{sf}", {}),
        ("GET", "books?id=eq(any).{1,2}", {}),
        ("GET", "books?or=(id.eq(any).{1,2})", {}),
        ("GET", "books?order=authors(name)", {}),
        ("GET", "books", {"Accept": "text/csv"}),
        ("GET", "books", {"Accept": "application/vnd.pgrst.plan"}),
        ("GET", "books", {"Prefer": "count=planned"}),
        ("POST", "books", {"Content-Type": "text/csv"}),
        ("POST", "books", {"Prefer": "return=headers-only"}),
        ("PUT", "books?id=eq.1", {}),
        ("PATCH", "books?limit=1", {}),
        ("DELETE", "books?limit=1&order=id", {}),
        ("GET", "a/b/c", {}),
    ],
)
def test_what_is_not_supported_says_so(
    servers: Servers, method: str, path: str, headers: dict[str, str]
) -> None:
    response = httpx.request(
        method,
        f"{servers.url}/rest/v1/{path}",
        json={},
        headers={"apikey": servers.keys.publishable, **headers},
    )

    assert response.status_code == 501
    assert response.json()["code"] == "PGRST127"
    assert "does not support" in response.json()["message"]


def test_a_missing_table_is_named(anon: Client) -> None:
    with pytest.raises(APIError) as failed:
        anon.table("nowhere").select("*").execute()

    assert failed.value.code == "PGRST205"
    assert failed.value.message == "Could not find the table 'public.nowhere' in the schema cache"


def test_a_null_character_is_a_bad_request(servers: Servers) -> None:
    headers = {"apikey": servers.keys.publishable}
    in_query = httpx.get(f"{servers.url}/rest/v1/authors?name=eq.%00", headers=headers)
    body = {"id": 8, "name": "\0"}
    in_body = httpx.post(f"{servers.url}/rest/v1/authors", json=body, headers=headers)

    assert (in_query.status_code, in_body.status_code) == (400, 400)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "No API key found in request"),
        ({"apikey": "sb_publishable_wrong"}, "Invalid API key"),
        ({"Authorization": "Bearer sb_secret_wrong"}, "Invalid API key"),
    ],
)
def test_a_call_needs_a_key(servers: Servers, headers: dict[str, str], message: str) -> None:
    response = httpx.get(f"{servers.url}/rest/v1/authors", headers=headers)

    assert (response.status_code, response.json()["message"]) == (401, message)


def test_the_secret_key_is_taken_in_either_header(servers: Servers) -> None:
    secret = servers.keys.secret
    for headers in ({"apikey": secret}, {"Authorization": f"Bearer {secret}"}):
        response = httpx.post(f"{servers.url}/rest/v1/rpc/whoami", headers=headers)
        assert response.json() == "service_role"


def test_a_foreign_token_is_refused(servers: Servers, ada: User) -> None:
    forged = jwt.encode({"sub": ada.id, "aud": "authenticated", "role": "service_role"}, "x" * 32)
    response = httpx.get(
        f"{servers.url}/rest/v1/authors",
        headers={"apikey": servers.keys.publishable, "Authorization": f"Bearer {forged}"},
    )

    assert (response.status_code, response.json()["code"]) == (401, "PGRST301")


def test_browsers_of_every_origin_may_call(servers: Servers) -> None:
    asked = "authorization,apikey,content-profile,x-client-info"
    for path in ("rest/v1/authors", "auth/v1/token", "storage/v1/object/private/x.png"):
        preflight = httpx.options(
            f"{servers.url}/{path}",
            headers={
                "Origin": "http://localhost:5173",
                "Access-Control-Request-Method": "DELETE",
                "Access-Control-Request-Headers": asked,
            },
        )
        answer = httpx.get(f"{servers.url}/{path}")

        assert preflight.status_code == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert preflight.headers["Access-Control-Allow-Headers"] == asked
        assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]


def test_two_hundred_callers_at_once_each_get_their_own_answer(servers: Servers) -> None:
    def double(client: httpx.Client, number: int) -> bool:
        answer = client.post("/rest/v1/rpc/add", json={"a": number, "b": number})
        return bool(answer.json() == 2 * number)

    limits = httpx.Limits(max_connections=200)
    headers = {"apikey": servers.keys.publishable}
    with (
        httpx.Client(base_url=servers.url, headers=headers, limits=limits, timeout=30) as client,
        ThreadPoolExecutor(200) as pool,
    ):
        assert all(pool.map(lambda number: double(client, number), range(400)))


def test_a_refusal_undoes_the_whole_request(anon: Client, reset: Callable[[], list[Any]]) -> None:
    before = reset()
    with pytest.raises(APIError):
        anon.table("authors").insert([{"id": 70, "name": "A"}, {"id": 1, "name": "B"}]).execute()

    assert reset() == before
