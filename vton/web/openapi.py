"""The OpenAPI document: what it says beside the views' own schemas, and where it can be read.

`/openapi.json` is the document, `/docs` shows it with Swagger UI, whose files come with the
package flask-swagger-ui and are served from here.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    jsonify,
    send_file,
    send_from_directory,
)
from flask_smorest import Api
from marshmallow import Schema, fields, validate

from vton.errors import CATALOGUE, Problem
from vton.web.auth import public
from vton.web.envelope import failure_body
from vton.web.paging import CursorField

bp = Blueprint("docs", __name__)

OUR_FILES = Path(__file__).parent / "static"
SWAGGER_FILES = Path(str(files("flask_swagger_ui"))) / "dist"
SHOWN = ("swagger-ui.css", "swagger-ui-bundle.js")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
DESCRIPTION = """\
Try a garment on: send a photo and a garment's id, poll the status, show the picture.

Every answer is JSON in one envelope: `{"success": true, "data": …}`, or
`{"success": false, "message", "code", "hint", "retryable", "request_id"}`. Sign in with Supabase
and send its access token as `Authorization: Bearer …`.
"""
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
FOR_ALL = ("bad_request", "not_found", "internal", "unavailable")
"""What every address may answer."""
FOR_USERS = (*FOR_ALL, "token_missing", "token_expired", "token_invalid", "keys_unavailable")
"""What an address for signed-in users may answer."""


class Error(Schema):
    """Every failure: for people, for programs, and what to do."""

    success = fields.Boolean(required=True, validate=validate.Equal(False))
    message = fields.String(required=True, metadata={"description": "For people."})
    code = fields.String(
        required=True,
        validate=validate.OneOf([code for code, spec in CATALOGUE.items() if spec.status >= 400]),
        metadata={"description": "For programs. Codes may be added."},
    )
    hint = fields.String(required=True, metadata={"description": "What to do, for people."})
    detail = fields.String(metadata={"description": "For who programs a client; in English."})
    retryable = fields.Boolean(
        required=True,
        metadata={"description": "Whether the same request can succeed later."},
    )
    request_id = fields.String(
        required=True, metadata={"description": "Also the header X-Request-ID."}
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "The wrong fields, each with its reasons."},
    )


class PageMeta(Schema):
    """Beside a list."""

    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Send it as `cursor` for the next page; null at the end."},
    )


@cache
def envelope(data: type[Schema]) -> type[Schema]:
    """The schema of `{"success": true, "data": …}`."""
    return _envelope(f"{data.__name__}Answer", data=fields.Nested(data, required=True))


@cache
def page_of(item: type[Schema]) -> type[Schema]:
    """The schema of an envelope with a list, and the next page's cursor beside it."""
    return _envelope(
        f"{item.__name__}Page",
        data=fields.List(fields.Nested(item), required=True),
        meta=fields.Nested(PageMeta, required=True),
    )


def _envelope(name: str, **members: fields.Field[Any]) -> type[Schema]:
    success = fields.Boolean(required=True, validate=validate.Equal(True))
    return Schema.from_dict({"success": success, **members}, name=name)


def refusals(*codes: str) -> dict[int, dict[str, object]]:
    """The `responses` of the catalogue's failures that an operation can have."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[CATALOGUE[code].status].append(code)
    return {status: _refusal(same) for status, same in sorted(by_status.items())}


def _refusal(codes: list[str]) -> dict[str, object]:
    specs = {code: CATALOGUE[code] for code in codes}
    lines = [
        f"- `{code}`: {spec.message} {spec.detail or spec.hint}" for code, spec in specs.items()
    ]
    examples = {
        code: {"value": failure_body(Problem(code), "0b6c9f6f6a7d4d0e8f6b8a4f0f2f7a51")}
        for code in codes
    }
    answer: dict[str, object] = {
        "description": "\n".join(lines),
        "content": {"application/json": {"schema": Error, "examples": examples}},
    }
    status = CATALOGUE[codes[0]].status
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": header("The challenge of RFC 6750.", True)}
    elif status in (409, 429, 503):
        answer["headers"] = {"Retry-After": header("Seconds to wait.", schema_type="integer")}
    return answer


def header(
    description: str, required: bool = False, schema_type: str = "string"
) -> dict[str, object]:
    """A response's header, as the document has it."""
    return {"description": description, "required": required, "schema": {"type": schema_type}}


def init_app(app: Flask) -> Api:
    """Return what collects the operations of the blueprints that are registered with it."""
    app.config.update(
        API_TITLE="Virtual try-on",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION},
            "servers": [{"url": "/"}],
        },
    )
    api = Api()
    api.ERROR_SCHEMA = Error
    api.DEFAULT_ERROR_RESPONSE_NAME = None  # each operation lists its own
    api.register_field(CursorField, "string", None)
    api.register_field(fields.Url, "string", "uri")
    api.init_app(app, spec_kwargs={"marshmallow_plugin": _ForGenerators()})
    api.spec.components.schema("NullableUrl", {"type": ["string", "null"], "format": "uri"})
    api.spec.components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
         "description": "The access token of a user of the Supabase project."},
    )  # fmt: skip
    app.extensions["openapi"] = api.spec
    app.register_blueprint(bp)
    return api


class _ForGenerators(MarshmallowPlugin):
    """Writes schemas so that clients can be generated from them, by orval 7, too.

    It names types after their fields, so that two spellings of one nullable field would give the
    same name twice: they have one type. And it knows literal booleans by `const` alone.
    """

    def init_spec(self, spec: APISpec) -> None:
        super().init_spec(spec)
        converter = cast(Any, self.converter)
        converter.add_attribute_function(self._nullable_url)
        converter.add_attribute_function(self._literal)

    @staticmethod
    def _nullable_url(
        _converter: object, field: object, ret: dict[str, object], **_: object
    ) -> dict[str, object]:
        if not isinstance(field, fields.Url) or not field.allow_none:
            return {}
        del ret["type"], ret["format"]
        return {"$ref": "#/components/schemas/NullableUrl"}

    @staticmethod
    def _literal(_converter: object, field: object, **_: object) -> dict[str, object]:
        for validator in field.validators if isinstance(field, fields.Boolean) else ():
            if isinstance(validator, validate.Equal):
                return {"const": validator.comparable}
        return {}


# -- where it can be read --------------------------------------------------------------------


@bp.get("/openapi.json")
@public
def show_document() -> Response:
    """Show the document; any page may read it."""
    document = cast(Mapping[str, object], current_app.extensions["openapi"].to_dict())
    response = jsonify(document)
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


@bp.get("/docs")
@public
def show_docs() -> Response:
    """Show the page."""
    response = send_file(OUR_FILES / "docs.html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@bp.get("/docs/<path:filename>")
@public
def show_docs_file(filename: str) -> Response:
    """Show a file that the page needs."""
    folder = SWAGGER_FILES if filename in SHOWN else OUR_FILES
    return send_from_directory(folder, filename, max_age=3600)
