"""What an answer of Supabase means: what is certain is said, and all the rest may be repeated."""

import logging

import httpx
import pytest
from postgrest import APIError
from storage3.exceptions import StorageApiError

from vton.adapters.supabase import client, storage
from vton.adapters.supabase.client import LAPSED_IN_A_ROW, unavailable_when_away
from vton.errors import Problem, Unavailable
from vton.tryon.ports.storage import NameTaken, PictureMissing, PictureRefused

ODD = (
    "25006", "40P01", "40001", "55P03", "42P05", "26000", "PGRST202", "PGRST204", "PGRST205",
    "PGRST000", "PGRST001", "PGRST002", "PGRST003", "PGRST301", "PGRST302", "PGRST303", "42501",
    "57014", "57P01", "53300", "08006", "XX000", "58030", "42P01", "42703", "42883", "P0001",
    "21000", "401", "429", "500", "502", "504", "520", "544", "PGRST116", "", "what is this",
)  # fmt: skip
"""Codes of PostgreSQL, of PostgREST and of what is in front of it, none of which is about us."""


def failure(code: str, message: str = "of whatever kind") -> APIError:
    """An error as PostgREST's client raises it."""
    return APIError({"code": code, "message": message, "details": None, "hint": None})


@pytest.mark.parametrize("code", ODD)
def test_what_is_no_proven_rejection_may_be_repeated(code: str) -> None:
    assert isinstance(client.meaning(failure(code)), Unavailable)


@pytest.mark.parametrize("code", ["23505", "23503", "23514", "23502"])
def test_a_constraint_that_is_violated_is_told_as_it_is(code: str) -> None:
    error = failure(code)

    assert client.meaning(error) is error


@pytest.mark.parametrize("code", ["22P02", "22021", "22003"])
def test_a_value_that_is_none_is_the_callers(code: str) -> None:
    meaning = client.meaning(failure(code))

    assert isinstance(meaning, Problem)
    assert meaning.code == "bad_request"


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"),
     ValueError("a page"), TypeError("a page"), KeyError("signedURL"), AttributeError("get")],
)  # fmt: skip
def test_what_nobody_can_read_may_be_repeated(error: Exception) -> None:
    with pytest.raises(Unavailable), unavailable_when_away():
        raise error


@pytest.mark.parametrize("code", ["PGRST202", "PGRST204", "PGRST205", "42P01", "42703", "42883"])
def test_what_is_not_there_yet_is_told_to_who_runs_it(code: str) -> None:
    meaning = client.meaning(failure(code))

    assert isinstance(meaning, Unavailable)
    assert "flask --app wsgi migrate" in meaning.why


@pytest.mark.parametrize(
    ("code", "message"),
    [("401", "x"), ("", "Invalid API key"), ("PGRST301", "x"), ("42501", "permission denied")],
)
def test_a_refused_key_is_an_alarm(
    caplog: pytest.LogCaptureFixture, code: str, message: str
) -> None:
    client.meaning(failure(code, message))

    assert "ALARM Supabase refuses SUPABASE_SERVICE_ROLE_KEY" in caplog.text


def lapse() -> None:
    """One call whose token Supabase takes for lapsed."""
    with pytest.raises(Unavailable), unavailable_when_away():
        raise failure("PGRST303", "JWT expired")


def test_one_lapsed_token_is_no_alarm_and_several_in_a_row_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(LAPSED_IN_A_ROW):
        with unavailable_when_away():
            pass
        for _ in range(LAPSED_IN_A_ROW - 1):
            lapse()
    assert "ALARM" not in caplog.text

    lapse()

    assert "ALARM Supabase refuses SUPABASE_SERVICE_ROLE_KEY" in caplog.text


def refusal(status: int | str, code: str, message: str = "") -> StorageApiError:
    """An error as the storage's client raises it."""
    return StorageApiError(message or code, code, status)


@pytest.mark.parametrize("putting", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        refusal(404, "Bucket not found"), refusal("404", "NoSuchBucket"),
        refusal(400, "InvalidJWT"), refusal("403", "Unauthorized", "Invalid Compact JWS"),
        refusal("403", "Unauthorized"), refusal(401, "x"), refusal(544, "DatabaseTimeout"),
        refusal(413, "InternalError", "Unable to parse error message: <html>"),
        refusal(415, "InternalError", "Unable to parse error message: <html>"),
        refusal(404, "InternalError", "Unable to parse error message: <html>"),
        refusal(409, "InternalError", "Unable to parse error message: <html>"),
        refusal(429, "too_many_connections"), refusal(500, "InternalError"), refusal(503, "x"),
        refusal(400, "InvalidRequest"), refusal(423, "ResourceLocked"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_storage_does_not_say_of_the_object_may_be_repeated(
    error: StorageApiError, putting: bool
) -> None:
    assert isinstance(storage.meaning(error, "a/b.png", putting=putting), Unavailable)


@pytest.mark.parametrize(
    ("error", "putting", "meaning"),
    [
        (refusal("409", "Duplicate"), True, NameTaken),
        (refusal("413", "Payload too large"), True, PictureRefused),
        (refusal("415", "invalid_mime_type"), True, PictureRefused),
        (refusal("400", "InvalidKey"), True, PictureRefused),
        (refusal("404", "not_found"), False, PictureMissing),
        (refusal("413", "Payload too large"), False, Unavailable),
        (refusal("409", "Duplicate"), False, Unavailable),
    ],
)
def test_what_it_says_of_the_object_is_told(
    error: StorageApiError, putting: bool, meaning: type[Exception]
) -> None:
    assert isinstance(storage.meaning(error, "a/b.png", putting=putting), meaning)


def test_a_list_of_objects_is_not_missing() -> None:
    assert isinstance(storage.meaning(refusal("404", "x"), "", putting=False), Unavailable)
