"""The REST service at `/rest/v1`: the part of PostgREST that this project's clients use.

Which answers: https://docs.postgrest.org/en/v12/references/api/tables_views.html; the tests put
the same requests to the real PostgREST.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import jwt
import psycopg
from flask import Blueprint, Response, current_app, request
from psycopg.sql import Composed

from devstack.supabase.callers import Caller, identify
from devstack.supabase.rest_errors import RestError, from_database, not_supported
from devstack.supabase.rest_query import Column, Query, parse
from devstack.supabase.rest_schema import SCHEMA, Schema, Table
from devstack.supabase.rest_sql import Statements
from devstack.supabase.services import gateway

bp = Blueprint("rest", __name__, url_prefix="/rest/v1")
JSON = "application/json; charset=utf-8"
OBJECT = "application/vnd.pgrst.object+json"


@dataclass(frozen=True)
class Preferences:
    """The header `Prefer`, as far as it is supported."""

    returns: str = "minimal"
    resolution: str = ""
    defaults: bool = False
    count: bool = False


@bp.errorhandler(RestError)
def _failed(error: RestError) -> Response:
    response = Response(json.dumps(error.body), error.status, content_type=JSON)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@bp.route("/", methods=["GET", "HEAD"])
def describe() -> Response:
    """PostgREST describes itself here in OpenAPI; this does not."""
    raise not_supported("the OpenAPI description")


@bp.get("/<table>")
def read(table: str) -> Response:
    """Select rows; HEAD is Flask's."""
    preferences, query = _preferences(), _query()
    statements = Statements(_schema(), query, single=_wants_object())
    statement = statements.read(_schema().table(table), count=preferences.count)
    return _ranged(_run(statement, single=statements.single), query)


@bp.post("/<table>")
def insert(table: str) -> Response:
    """Insert one row or many; with `resolution` an upsert."""
    preferences, query = _preferences(), _query()
    found = _schema().table(table)
    body, parsed, columns = _body(found, query)
    listed = body if isinstance(parsed, list) else f"[{body}]"
    statements = _statements(query, preferences)
    statement = statements.insert(
        found, listed, columns, resolution=preferences.resolution, defaults=preferences.defaults
    )
    answer = _run(statement, single=statements.single)
    updated = preferences.resolution == "merge" and not answer["inserted"]
    return _changed(answer, preferences, 200 if updated else 201)


@bp.patch("/<table>")
def update(table: str) -> Response:
    """Set columns in the rows the filters choose."""
    preferences, query = _preferences(), _query()
    found = _schema().table(table)
    body, parsed, columns = _body(found, query)
    first = json.dumps(parsed[0]) if isinstance(parsed, list) and parsed else body
    statements = _statements(query, preferences)
    answer = _run(statements.update(found, first, columns), single=statements.single)
    return _changed(answer, preferences, 200, span=answer["rows"])


@bp.delete("/<table>")
def delete(table: str) -> Response:
    """Delete the rows the filters choose."""
    preferences, query = _preferences(), _query()
    statements = _statements(query, preferences)
    answer = _run(statements.delete(_schema().table(table)), single=statements.single)
    return _changed(answer, preferences, 200)


@bp.route("/<table>", methods=["PUT"])
def replace(table: str) -> Response:
    """PostgREST's upsert of one row by its key."""
    raise not_supported(f"PUT on '{table}'; POST with Prefer: resolution=merge-duplicates is")


@bp.post("/rpc/<name>")
def call(name: str) -> Response:
    """Call a function with the JSON object in the body as its named arguments."""
    body = request.get_data(as_text=True) or "{}"
    given = _parsed(body)
    if not isinstance(given, dict):
        raise not_supported("a function's arguments as anything but a JSON object")
    return _call(name, body, set(given), _query(), read_only=False)


@bp.get("/rpc/<name>")
def call_by_get(name: str) -> Response:
    """Call a function that changes nothing, with the query string's parameters."""
    known = _schema().parameters(name)
    pairs = list(request.args.items(multi=True))
    given = {key: value for key, value in pairs if key in known}
    query = _query([pair for pair in pairs if pair[0] not in known])
    return _call(name, json.dumps(given), set(given), query, read_only=True)


@bp.route("/rpc/<name>", methods=["PATCH", "PUT", "DELETE"])
def refuse_call(name: str) -> Response:  # noqa: ARG001 - of the route
    """A function is called, not changed."""
    message = f"Cannot use the {request.method} method on RPC"
    raise RestError(405, "PGRST101", message)


def _call(name: str, body: str, given: set[str], query: Query, *, read_only: bool) -> Response:
    function = _schema().function(name, given)
    if function.returns == "scalar" and (query.levels or query.items != (Column("*"),)):
        raise not_supported("filters and select on a function that returns no rows")
    statements = Statements(_schema(), query, single=_wants_object() and function.returns == "rows")
    statement = statements.call(function, body, given, count=_preferences().count)
    read_only = read_only or not function.volatile
    answer = _run(statement, single=statements.single, read_only=read_only)
    if function.returns == "void":
        return _empty(204, "0-0/*")
    return _ranged(answer, query)


def _schema() -> Schema:
    schema: Schema = current_app.extensions["rest_schema"]
    return schema


def _statements(query: Query, preferences: Preferences) -> Statements:
    wanted = preferences.returns == "representation"
    return Statements(_schema(), query, wanted and _wants_object(), wanted)


def _caller() -> Caller:
    try:
        return identify(request.headers, gateway().keys)
    except jwt.ExpiredSignatureError:
        raise RestError(401, "PGRST301", "JWT expired") from None
    except jwt.PyJWTError:
        raise RestError(401, "PGRST301", "JWSError JWSInvalidSignature") from None


def _run(statement: Composed, *, single: bool, read_only: bool = False) -> dict[str, Any]:
    """Run a statement as the caller; undone where it fails, or `single` finds not one row."""
    caller = _caller()
    try:
        with gateway().database.transaction(caller, read_only=read_only) as cursor:
            answer = cursor.execute(statement).fetchone() or {}
            if single and answer["rows"] != 1:
                raise RestError(
                    406,
                    "PGRST116",
                    "Cannot coerce the result to a single JSON object",
                    details=f"The result contains {answer['rows']} rows",
                )
    except psycopg.Error as error:
        raise from_database(error, anonymous=caller.role == "anon") from error
    return answer


def _query(pairs: list[tuple[str, str]] | None = None) -> Query:
    """The query string, with the range of the header `Range` in it."""
    for header in ("Accept-Profile", "Content-Profile"):
        if request.headers.get(header, SCHEMA) != SCHEMA:
            raise RestError(406, "PGRST106", f"The schema must be one of the following: {SCHEMA}")
    query = parse(request.args.items(multi=True) if pairs is None else pairs)
    if request.method in ("PATCH", "DELETE") and query.level().limit is not None:
        raise not_supported("a limit on a change")
    match = re.fullmatch(r"(\d+)-(\d*)", request.headers.get("Range", ""))
    if match and request.method == "GET":
        _narrow(query, int(match[1]), int(match[2]) if match[2] else None)
    return query


def _narrow(query: Query, first: int, last: int | None) -> None:
    """Take of the rows chosen by limit and offset those that the header asks for as well."""
    if last is not None and last < first:
        raise RestError.range(
            "The lower boundary must be lower than or equal to the upper boundary in the Range"
            " header."
        )
    level = query.level()
    ends = [] if last is None else [last]
    if level.limit is not None:
        ends.append(level.offset + level.limit - 1)
    if level.limit != 0:
        level.offset = max(level.offset, first)
        if ends and min(ends) < level.offset:
            raise RestError.range("Limit should be greater than or equal to zero.")
        level.limit = min(ends) - level.offset + 1 if ends else None


def _preferences() -> Preferences:
    words = [word.strip() for word in request.headers.get("Prefer", "").split(",")]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    if given.get("return") == "headers-only":
        raise not_supported("Prefer: return=headers-only")
    if given.get("count", "exact") != "exact":
        raise not_supported(f"Prefer: count={given['count']}; count=exact is")
    return Preferences(
        returns=given.get("return", "minimal"),
        resolution=given.get("resolution", "").removesuffix("-duplicates"),
        defaults=given.get("missing") == "default",
        count="count" in given,
    )


def _wants_object() -> bool:
    """Whether the one row itself is wanted, and not a list; refuses other formats."""
    accepted = [part.partition(";") for part in request.headers.get("Accept", "*/*").split(",")]
    kinds = [kind.strip() for kind, _, _ in accepted]
    if OBJECT in kinds:
        if any("nulls=stripped" in rest for _, _, rest in accepted):
            raise not_supported("nulls=stripped")
        return True
    if not {"application/json", "*/*", "application/*"} & set(kinds):
        raise not_supported(f"the media type {', '.join(kinds)}")
    return False


def _parsed(body: str) -> Any:
    kind = request.mimetype or "application/json"
    if kind != "application/json":
        raise not_supported(f"a body of the type {kind}")
    try:
        return json.loads(body)
    except ValueError:
        raise RestError(400, "PGRST102", "Empty or invalid json") from None


def _body(table: Table, query: Query) -> tuple[str, Any, tuple[str, ...]]:
    """The body's JSON text, what it says, and the columns to write, all of which the table has."""
    body = request.get_data(as_text=True)
    parsed = _parsed(body)
    columns = query.columns
    if columns is None:
        columns = _keys(parsed if isinstance(parsed, list) else [parsed])
    _schema().check_columns(table, columns)
    return body, parsed, columns


def _keys(rows: list[Any]) -> tuple[str, ...]:
    if any(not isinstance(row, dict) or row.keys() != rows[0].keys() for row in rows):
        raise RestError(400, "PGRST102", "All object keys must match")
    return tuple(rows[0]) if rows else ()


def _ranged(answer: dict[str, Any], query: Query) -> Response:
    """The answer to a read: its status and Content-Range say which part of the whole it is."""
    first, rows, total = query.level().offset, answer["rows"], answer.get("total")
    if total is not None and first > total:
        message = f"An offset of {first} was requested, but there are only {total} rows."
        response = _failed(RestError.range(message))
        response.headers["Content-Range"] = _content_range(0, 0, total)
        return response
    status = 206 if total is not None and rows < total else 200
    return _rows(answer, status, _content_range(first, rows, total))


def _content_range(first: int, rows: int, total: int | None) -> str:
    span = f"{first}-{first + rows - 1}" if rows else "*"
    return f"{span}/{'*' if total is None else total}"


def _changed(
    answer: dict[str, Any], preferences: Preferences, status: int, span: int = 0
) -> Response:
    """The answer to a change; PostgREST tells a span of rows for updates only."""
    total = answer["rows"] if preferences.count else None
    content_range = _content_range(0, span, total)
    if preferences.returns == "representation":
        return _rows(answer, status, content_range)
    empty = 204 if request.method != "POST" else status
    return _empty(empty, content_range)


def _rows(answer: dict[str, Any], status: int, content_range: str) -> Response:
    kind = f"{OBJECT}; charset=utf-8" if _wants_object() else JSON
    headers = {"Content-Range": content_range}
    return Response(answer["body"], status, headers, content_type=kind)


def _empty(status: int, content_range: str) -> Response:
    response = Response(status=status, headers={"Content-Range": content_range})
    del response.headers["Content-Type"]
    return response
