"""`/api/garments`: what can be tried on."""

import hashlib
from typing import Any, cast
from weakref import WeakKeyDictionary

import orjson
from flask import Response, current_app, request
from flask_smorest import Blueprint

from vton.deadline import in_time
from vton.garments.schemas import GarmentItem, GarmentsQuery
from vton.garments.service import Garments, Page
from vton.web.auth import public
from vton.web.envelope import answer_page
from vton.web.openapi import FOR_ALL, header, page_of, refusals
from vton.web.paging import next_cursor

bp = Blueprint("garments", __name__, url_prefix="/api/garments")

PAGE = 1000
"""How many garments are listed at once where no `limit` is given: all of most shops'."""
CACHE_SECONDS = 300
"""Well under the half hour that a picture's URL is good for at least."""
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of an answer that is still there.",
    "schema": {"type": "string"},
}
ETAG = {"ETag": header("Send it as `If-None-Match` next time.", required=True)}


@bp.get("", parameters=[IF_NONE_MATCH])
@public
@bp.arguments(GarmentsQuery, location="query")
@bp.response(200, page_of(GarmentItem), headers=ETAG)
@bp.alt_response(304, description="Nothing has changed.", headers=ETAG, success=True)
@bp.doc(operationId="listGarments", responses=refusals(*FOR_ALL, "invalid_fields"))
@in_time
def list_garments(query: dict[str, Any]) -> Response:
    """List the garments, newest first; up to a thousand of them unless `limit` is given."""
    garments = cast(Garments, current_app.extensions["garments"])
    page = garments.page(query["category"], query["limit"] or PAGE, query["cursor"])
    body, etag = _bodies.get(page) or _bodies.setdefault(page, _body(page))
    response = Response(body, mimetype="application/json")
    response.set_etag(etag)
    if page.pictured:  # a catalogue whose pictures are away is not for everybody to keep
        response.headers["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
    response.make_conditional(request)
    return response


_bodies: WeakKeyDictionary[Page, tuple[bytes, str]] = WeakKeyDictionary()
"""What is answered of a page that the service keeps, and its ETag (RFC 9110, 8.8.3): to make it of
a thousand garments takes 20 ms, and everybody may ask for it."""


def _body(page: Page) -> tuple[bytes, str]:
    last = page.garments[-1].garment if page.more else None
    cursor = next_cursor(last.created_at, last.id) if last else None
    body = orjson.dumps(answer_page(GarmentItem(many=True).dump(page.garments), cursor))
    return body, hashlib.sha256(body).hexdigest()
