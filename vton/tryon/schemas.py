"""What a try-on looks like to a client. Both spellings, where the specification uses both."""

from collections.abc import Mapping
from typing import Any

from flask_smorest.fields import Upload
from marshmallow import EXCLUDE, Schema, fields, validate

from vton.errors import CATALOGUE
from vton.tryon.model import Garment, Look, Session, Status
from vton.tryon.ports import SignedUrl

POLL_SECONDS = 2
"""How long a client should wait between two looks, as the specification's does."""


class TryOnForm(Schema):
    """The text fields of a multipart `POST /api/try-on`."""

    class Meta:
        unknown = EXCLUDE

    garment_id = fields.UUID(
        required=True,
        data_key="garmentId",
        error_messages={"required": "Required.", "invalid_uuid": "Not a garment id (a UUID)."},
    )


class TryOnRequest(TryOnForm):
    """The whole form, as the document shows it."""

    user_image = Upload(
        required=True,
        data_key="userImage",
        metadata={"description": "One photo of at most 10 MB, at least 300 pixels a side."},
    )


# Named as clients read them.
# ruff: noqa: N815


class SessionUrls(Schema):
    """Where a session is."""

    status = fields.Url(required=True)
    delete = fields.Url(required=True)


class Accepted(Schema):
    """A try-on that was taken."""

    sessionId = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.Equal(Status.QUEUED.value))
    urls = fields.Nested(SessionUrls, required=True)


class SessionError(Schema):
    """Why a try-on failed."""

    code = fields.String(required=True, metadata={"description": "For programs."})
    hint = fields.String(required=True, metadata={"description": "What to do."})
    retryable = fields.Boolean(required=True)


class SessionStatus(Schema):
    """How a try-on is getting on."""

    sessionId = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf([s.value for s in Status]))
    result_image_url = fields.Url(
        required=True, allow_none=True, metadata={"description": "Opens the picture of a success."}
    )
    resultImageUrl = fields.Url(
        required=True, allow_none=True, metadata={"description": "The same."}
    )
    resultExpiresAt = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "Until when that URL works."}
    )
    error_message = fields.String(
        required=True, allow_none=True, metadata={"description": "For the user."}
    )
    error = fields.Nested(SessionError, required=True, allow_none=True)
    retryAfterSeconds = fields.Integer(
        required=True, allow_none=True, metadata={"description": "When to look again."}
    )
    etaSeconds = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "When the picture should be there, by how long the last try-ons took; "
            "null while that is not known, and when this one takes longer."
        },
    )


class SessionGarment(Schema):
    """The garment of a try-on."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    brand = fields.String(required=True, allow_none=True)
    category = fields.String(required=True, allow_none=True)
    image_url = fields.Url(required=True, allow_none=True)


class HistoryItem(Schema):
    """An ended try-on: the table's own columns, and what a frontend wants beside them."""

    id = fields.UUID(required=True)
    sessionId = fields.UUID(required=True)
    user_id = fields.UUID(required=True)
    garment_id = fields.UUID(required=True, allow_none=True)
    original_user_image_url = fields.Url(required=True, allow_none=True)
    result_image_url = fields.Url(required=True, allow_none=True)
    resultImageUrl = fields.Url(required=True, allow_none=True)
    status = fields.String(
        required=True, validate=validate.OneOf([s.value for s in Status if s.ended])
    )
    error_message = fields.String(required=True, allow_none=True)
    error = fields.Nested(SessionError, required=True, allow_none=True)
    aiGenerated = fields.Boolean(required=True)
    created_at = fields.AwareDateTime(required=True)
    garment = fields.Nested(SessionGarment, required=True, allow_none=True)


class Deleted(Schema):
    """A try-on that is gone."""

    sessionId = fields.UUID(required=True)


def accepted(session_id: str, status_url: str, delete_url: str) -> dict[str, object]:
    """The `data` of a 202."""
    return {
        "sessionId": session_id,
        "status": "queued",
        "urls": {"status": status_url, "delete": delete_url},
    }


def session_status(
    session_id: str, look: Look, eta: int | None, result: SignedUrl | None
) -> dict[str, object]:
    """The `data` of a status. `eta` is in seconds, `result` opens the picture of a success."""
    url = result.url if result else None
    return {
        "sessionId": session_id,
        "status": look.status,
        "result_image_url": url,
        "resultImageUrl": url,
        "resultExpiresAt": result.expires_at.isoformat() if result else None,
        "error_message": look.error_message,
        "error": _error(look.error_code),
        "retryAfterSeconds": None if look.status.ended else POLL_SECONDS,
        "etaSeconds": eta,
    }


def history_item(session: Session, signed: Mapping[str, SignedUrl]) -> dict[str, object]:
    """One ended session: the table's own columns, and what a frontend wants beside them."""
    result = _url(session.result, signed)
    return {
        "id": session.id,
        "sessionId": session.id,
        "user_id": session.user_id,
        "garment_id": session.garment_id,
        "original_user_image_url": _url(session.photo, signed),
        "result_image_url": result,
        "resultImageUrl": result,
        "status": session.status,
        "error_message": session.error_message,
        "error": _error(session.error_code),
        "aiGenerated": session.result is not None,
        "created_at": session.created_at.isoformat(),
        "garment": _garment(session.garment, signed) if session.garment else None,
    }


def _garment(garment: Garment, signed: Mapping[str, SignedUrl]) -> dict[str, object]:
    return {
        "id": garment.id,
        "name": garment.name,
        "brand": garment.brand,
        "category": garment.category,
        "image_url": _url(garment.picture, signed),
    }


def _url(path: str | None, signed: Mapping[str, SignedUrl]) -> str | None:
    return signed[path].url if path is not None and path in signed else None


def _error(code: str | None) -> dict[str, Any] | None:
    """What the code of a failed session means to a program and to its user."""
    if code is None:
        return None
    kind = CATALOGUE.get(code, CATALOGUE["provider_failed"])
    return {"code": code, "hint": kind.hint, "retryable": kind.retryable}
