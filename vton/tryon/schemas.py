"""What a try-on looks like to a client. Both spellings, where the specification uses both."""

from collections.abc import Collection, Mapping
from typing import Any

from flask import request
from flask_smorest.fields import Upload
from marshmallow import (
    EXCLUDE,
    Schema,
    ValidationError,
    fields,
    post_dump,
    post_load,
    validate,
    validates_schema,
)

from vton.errors import REASONS, SESSION_FAILURES, Reason
from vton.tryon.answers import StatusView
from vton.tryon.model import ENDED, UNFINISHED, Status
from vton.web.envelope import language
from vton.web.paging import PageQuery
from vton.web.uploads import wrong_file
from vton.words import translated

PHOTO_FIELD = "userImage"
PHOTO_OF_FIELD = "photoOf"
STATUSES: Mapping[str, Collection[Status]] = {
    "ended": ENDED,
    "unfinished": UNFINISHED,
    "all": tuple(Status),
}
"""What `status` may be in a query of the history."""
POLL_SECONDS = 2
"""How long a client should wait between two polls, as the specification's does."""


class TryOnForm(Schema):
    """The text fields of a multipart `POST /api/try-on`."""

    class Meta:
        unknown = EXCLUDE

    garment_id = fields.UUID(
        required=True,
        data_key="garmentId",
        error_messages={
            "required": [Reason(REASONS["garment_missing"], "Required.")],
            "invalid_uuid": [Reason(REASONS["garment_missing"], "Not a garment id (a UUID).")],
        },
    )

    photo_of = fields.UUID(
        data_key=PHOTO_OF_FIELD,
        error_messages={
            "invalid_uuid": [Reason(REASONS["photo_gone"], "Not a session id (a UUID).")],
        },
        metadata={
            "description": "In place of a photo: the id of one of the user's own sessions, whose "
            "photo is tried on again."
        },
    )

    @validates_schema(skip_on_field_errors=False)
    def _has_a_photo(self, _data: object, **_: object) -> None:
        """Say what is wrong with the file in the same answer as what is with the text."""
        if PHOTO_OF_FIELD in request.form:
            if request.files:
                both = Reason(REASONS["photo_several"], "Send this or a file, not both.")
                raise ValidationError([both], PHOTO_OF_FIELD)
        elif wrong := wrong_file(PHOTO_FIELD):
            raise ValidationError([wrong], PHOTO_FIELD)


class TryOnRequest(TryOnForm):
    """The whole form, as the document shows it."""

    user_image = Upload(
        data_key=PHOTO_FIELD,
        metadata={
            "description": "One photo of at most 10 MB, at least 300 pixels a side. Required "
            "unless there is `photoOf`."
        },
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


class WordsField(fields.String):
    """A sentence of ours, in the language of who reads it."""

    def _serialize(self, value: str | None, *_args: object, **_kwargs: object) -> str | None:
        return value and translated(value, language())


class SessionError(Schema):
    """Why a try-on failed."""

    code = fields.String(
        required=True,
        validate=validate.OneOf(SESSION_FAILURES),
        metadata={"description": "For programs. Codes may be added."},
    )
    hint = WordsField(required=True, metadata={"description": "What to do, for people."})
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
    thumbnailUrl = fields.Url(
        required=True, allow_none=True, metadata={"description": "A small one of it, for lists."}
    )
    resultExpiresAt = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "Until when that URL works."}
    )
    error_message = fields.String(
        required=True, allow_none=True, metadata={"description": "For the user."}
    )
    error = fields.Nested(SessionError, required=True, allow_none=True)
    retryAfterSeconds = fields.Integer(
        required=True, allow_none=True, metadata={"description": "When to poll again."}
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

    id = fields.UUID(required=True, attribute="garment.id")
    name = fields.String(required=True, attribute="garment.name")
    brand = fields.String(required=True, allow_none=True, attribute="garment.brand")
    category = fields.String(required=True, allow_none=True, attribute="garment.category")
    image_url = fields.Url(required=True, allow_none=True)


class HistoryQuery(PageQuery):
    """`?status=` beside the page: which sessions are listed."""

    status = fields.String(
        load_default="ended",
        validate=validate.OneOf(STATUSES),
        metadata={"description": "Which sessions: those that have ended, have not, or all."},
    )

    @post_load
    def _named(self, query: dict[str, Any], **_: object) -> dict[str, Any]:
        return query | {"status": STATUSES[query["status"]]}


class HistoryItem(Schema):
    """A try-on: the table's own columns, and what a frontend wants beside them."""

    id = fields.UUID(required=True, attribute="session.id")
    sessionId = fields.UUID(required=True)
    user_id = fields.UUID(required=True, attribute="session.user_id")
    garment_id = fields.UUID(required=True, allow_none=True, attribute="session.garment_id")
    original_user_image_url = fields.Url(required=True, allow_none=True, attribute="photo_url")
    result_image_url = fields.Url(required=True, allow_none=True, attribute="result_url")
    resultImageUrl = fields.Url(required=True, allow_none=True)
    thumbnailUrl = fields.Url(required=True, allow_none=True, attribute="thumbnail_url")
    status = fields.String(
        required=True,
        attribute="session.status",
        validate=validate.OneOf([s.value for s in Status]),
    )
    error_message = WordsField(
        required=True, allow_none=True, dump_default=None, attribute="session.state.failure.message"
    )
    error = fields.Nested(
        SessionError, required=True, allow_none=True, attribute="session.state.failure"
    )
    aiGenerated = fields.Boolean(required=True, attribute="ai_generated")
    created_at = fields.AwareDateTime(required=True, attribute="session.created_at")
    garment = fields.Nested(SessionGarment, required=True, allow_none=True)

    @post_dump
    def _spell_twice(self, item: dict[str, object], **_: object) -> dict[str, object]:
        """Say what the specification spells in two ways in both."""
        return item | {"sessionId": item["id"], "resultImageUrl": item["result_image_url"]}


class Deleted(Schema):
    """A try-on that is gone."""

    sessionId = fields.UUID(required=True)


def session_status(session_id: str, view: StatusView, language: str) -> dict[str, object]:
    """Return what the schema `SessionStatus` would make of a view.

    Written out, since every client asks for it every two seconds.
    """
    state, failure, result = view.state, view.state.failure, view.result
    url = result.url if result else None
    return {
        "sessionId": session_id,
        "status": state.status,
        "result_image_url": url,
        "resultImageUrl": url,
        "thumbnailUrl": view.thumbnail.url if url and view.thumbnail else None,
        "resultExpiresAt": result.expires_at.isoformat() if result else None,
        "error_message": failure and translated(failure.message, language),
        "error": failure
        and {
            "code": failure.code,
            "hint": translated(failure.hint, language),
            "retryable": failure.retryable,
        },
        "retryAfterSeconds": None if state.status.ended else POLL_SECONDS,
        "etaSeconds": view.eta,
    }
