"""`/api/try-on`: start a try-on, poll it, list those that ended, delete one."""

import re
import time
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from flask import Response, current_app, g, request, url_for
from flask_smorest import Blueprint

from vton import log, metrics
from vton.deadline import in_time
from vton.errors import REASONS, Problem, Reason
from vton.imaging.opening import MAX_BYTES
from vton.tryon.answers import StatusView
from vton.tryon.model import Status
from vton.tryon.schemas import (
    PHOTO_FIELD,
    POLL_SECONDS,
    Accepted,
    Deleted,
    HistoryItem,
    HistoryQuery,
    SessionStatus,
    TryOnForm,
    TryOnRequest,
    session_status,
)
from vton.tryon.service import TryOns
from vton.tryon.starter import Starter
from vton.web.auth import current_user, user_required
from vton.web.envelope import Answer, answer, answer_page, language, success
from vton.web.limits import not_found_limited, rate_limited
from vton.web.openapi import BEARER, FOR_USERS, envelope, header, page_of, refusals
from vton.web.paging import next_cursor
from vton.web.uploads import PhotosInMemory

bp = Blueprint("try-on", __name__, url_prefix="/api/try-on")

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text of the client's own: with the same key, a try-on starts only once.",
    "schema": {"type": "string", "pattern": "^[!-+\\--~]{1,200}$"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of the last answer: 304 while that is still true.",
    "schema": {"type": "string"},
}
TAG = header("Changes with the answer.", required=True)
TAG_SECONDS = 1500
"""A kept URL is good for another 1800 s at least: see `vton.adapters.supabase.storage`."""
RETRY_AFTER = header("Seconds to wait before the next poll.", schema_type="integer")
STARTED = {
    "Location": header("The address of the status.", required=True),
    "Retry-After": {**RETRY_AFTER, "required": True},
    "Idempotency-Replayed": header("`true` when the key was used before."),
}
THAT_SESSION = {"session_id": "$response.body#/data/sessionId"}
LINKS = {
    "status": {"operationId": "getTryOnStatus", "parameters": THAT_SESSION},
    "delete": {"operationId": "deleteTryOn", "parameters": THAT_SESSION},
}
CREATION_FAILURES = (
    *FOR_USERS, "idempotency_key_invalid", "upload_too_slow", "idempotency_in_progress",
    "form_too_large", "photo_too_large", "photo_unsupported", "photo_unreadable", "photo_too_small",
    "photo_too_many_pixels", "invalid_fields", "idempotency_mismatch", "rate_limited",
    "too_many_unfinished", "daily_quota", "busy", "provider_paused", "paused",
    "paid_cap_reached",
)  # fmt: skip


def _starter() -> Starter:
    return cast(Starter, current_app.extensions["starter"])


def _tryons() -> TryOns:
    return cast(TryOns, current_app.extensions["tryons"])


@bp.post("", parameters=[IDEMPOTENCY_KEY])
@user_required
@rate_limited
@bp.arguments(TryOnForm, location="form", content_type="multipart/form-data")
@bp.response(202, envelope(Accepted), headers=STARTED)
@bp.doc(
    operationId="startTryOn",
    security=BEARER,
    requestBody={"content": {"multipart/form-data": {"schema": TryOnRequest}}},
    responses={202: {"links": LINKS}, **refusals(*CREATION_FAILURES)},
)
@in_time
def create_session(form: dict[str, UUID]) -> tuple[Answer, dict[str, str]]:
    """Start a try-on: multipart `userImage` and `garmentId`.

    With `photoOf`, one of the user's own sessions, in place of `userImage`, its photo is taken.
    Answers at once with 202 and the session's id. Everything that can be checked has been
    checked by then; a worker makes the picture.
    """
    key = _idempotency_key()
    user_id = current_user()
    garment_id, photo_of = str(form["garment_id"]), form.get("photo_of")
    if photo_of:
        started = _starter().start_with_photo_of(user_id, garment_id, str(photo_of), key)
    else:
        with cast(PhotosInMemory, current_app.extensions["photos"]).one_of(user_id):
            started = _starter().start(user_id, garment_id, _uploaded_photo(), key)
    session_id = started.session_id
    log.session_id.set(session_id)
    urls = {
        "status": url_for("try-on.get_status", session_id=session_id, _external=True),
        "delete": url_for("try-on.delete_session", session_id=session_id, _external=True),
    }
    headers = {"Location": urls["status"], "Retry-After": str(POLL_SECONDS)}
    if started.replayed:
        headers["Idempotency-Replayed"] = "true"
    return answer({"sessionId": session_id, "status": Status.QUEUED, "urls": urls}), headers


@bp.get("/<uuid:session_id>/status")
@user_required
@not_found_limited
@bp.response(200, envelope(SessionStatus), headers={"Retry-After": RETRY_AFTER, "ETag": TAG})
@bp.doc(
    operationId="getTryOnStatus",
    security=BEARER,
    parameters=[IF_NONE_MATCH],
    responses={
        304: {"description": "As before."},
        **refusals(*FOR_USERS, "session_not_found", "rate_limited"),
    },
)
@in_time
def get_status(session_id: UUID) -> Response:
    """Tell how a try-on is getting on. A failed session is a 200, too.

    Poll every `retryAfterSeconds` until `status` is `success` or `failed`.
    """
    # Most polls are answered before they get here, by `vton.tryon.status_middleware`, with what
    # this view would answer.
    tryons, user_id, name = _tryons(), current_user(), str(session_id)
    view = tryons.status(user_id, name)
    data, headers = status_answer(name, view, language())
    headers["Cache-Control"] = "private, no-cache"
    headers["Vary"] = "Accept-Language"
    if request.if_none_match.contains_raw(headers["ETag"]):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    if view.needs_url:
        view = tryons.with_result_url(view, user_id, name)
        data, _ = status_answer(name, view, language())
    if view.needs_url:  # still none: it may be there the next time
        del headers["ETag"]
        headers["Cache-Control"] = "no-store"
    return success(data, headers=headers)


@bp.get("/history")
@user_required
@rate_limited
@bp.arguments(HistoryQuery, location="query")
@bp.response(200, page_of(HistoryItem))
@bp.doc(
    operationId="listTryOns",
    security=BEARER,
    responses=refusals(*FOR_USERS, "invalid_fields", "rate_limited"),
)
@in_time
def list_history(query: dict[str, Any]) -> tuple[Answer, dict[str, str]]:
    """List the user's sessions, newest first; `meta.next_cursor` continues the list."""
    tryons = _tryons()
    limit = query["limit"]
    sessions = tryons.history(current_user(), limit + 1, query["cursor"], query["status"])
    page, more = sessions[:limit], len(sessions) > limit
    cursor = next_cursor(page[-1].created_at, page[-1].id) if more else None
    return answer_page(tryons.with_urls(page), cursor), {"Vary": "Accept-Language"}


@bp.delete("/<uuid:session_id>")
@user_required
@rate_limited
@bp.response(200, envelope(Deleted))
@bp.doc(
    operationId="deleteTryOn",
    security=BEARER,
    responses=refusals(*FOR_USERS, "session_not_found", "rate_limited"),
)
@in_time
def delete_session(session_id: UUID) -> Answer:
    """Delete a session in any state: its row, photo, result and job."""
    _tryons().delete(current_user(), str(session_id))
    return answer({"sessionId": session_id})


def status_answer(
    session_id: str, view: StatusView, language: str
) -> tuple[dict[str, object], dict[str, str]]:
    """Return the `data` of a status, and the headers that are its own."""
    headers = {"ETag": _tag(view, language)}
    if not view.state.status.ended:
        headers["Retry-After"] = str(POLL_SECONDS)
    return session_status(session_id, view, language), headers


def _tag(view: StatusView, language: str) -> str:
    """The answer's ETag, a weak one: two answers that have it say the same.

    A success changes with time, so that no client keeps a URL until it expires, and not with
    the URL, which may be signed again at any time.
    """
    if view.state.status is Status.SUCCESS:
        return f'W/"success-{time.time() // TAG_SECONDS:.0f}"'
    if view.state.status is Status.FAILED:
        return f'W/"failed-{view.state.error_code}-{language}"'
    return f'W/"{view.state.status}-{view.eta}"'


def _idempotency_key() -> str | None:
    """The one `Idempotency-Key` of the request, if it has one."""
    keys = request.headers.getlist("Idempotency-Key")
    if not keys:
        return None
    # WSGI joins repeated headers with a comma.
    if not re.fullmatch(r"[\x21-\x2b\x2d-\x7e]{1,200}", keys[0]):
        raise Problem("idempotency_key_invalid")
    return keys[0]


def _uploaded_photo() -> bytes:
    """The bytes of the one file, which the form was found to have."""
    metrics.UPLOAD_SECONDS.observe(time.perf_counter() - g.began)
    data = request.files[PHOTO_FIELD].stream.read(MAX_BYTES + 1)
    if not data:
        raise Problem("invalid_fields", errors={PHOTO_FIELD: [Reason(REASONS["photo_empty"])]})
    return data
