"""`/api/garments`: what can be tried on."""

from typing import Any, cast

from flask import current_app
from flask_smorest import Blueprint

from vton.deadline import in_time
from vton.garments.schemas import GarmentItem, GarmentsQuery
from vton.garments.service import Garments
from vton.web.auth import public
from vton.web.envelope import Answer, answer_page, conditional
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
@conditional
@bp.arguments(GarmentsQuery, location="query")
@bp.response(200, page_of(GarmentItem), headers=ETAG)
@bp.alt_response(304, description="Nothing has changed.", headers=ETAG, success=True)
@bp.doc(operationId="listGarments", responses=refusals(*FOR_ALL, "invalid_fields"))
@in_time
def list_garments(query: dict[str, Any]) -> tuple[Answer, dict[str, str]]:
    """List the garments, newest first; up to a thousand of them unless `limit` is given."""
    garments = cast(Garments, current_app.extensions["garments"])
    page = garments.page(query["category"], query["limit"] or PAGE, query["cursor"])
    last = page.garments[-1].garment if page.more else None
    cursor = next_cursor(last.created_at, last.id) if last else None
    # A catalogue whose pictures are away is not for everybody to keep.
    headers = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"} if page.pictured else {}
    return answer_page(page.garments, cursor), headers
