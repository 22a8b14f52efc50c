"""Every failure a client can be told about: its status, code and words, in one catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """What a code of the catalogue stands for.

    `status` is the HTTP status of a request that fails so, or 200 for a try-on that failed
    after it was accepted. `message` is for people, `hint` says what to do, `retryable`
    whether the same request can succeed later.
    """

    status: int
    message: str
    hint: str
    retryable: bool = False


CATALOGUE: Mapping[str, ErrorSpec] = {
    # -- requests ------------------------------------------------------------------------
    "bad_request": ErrorSpec(
        400, "The request could not be understood.", "Compare it with docs/api.md."
    ),
    "token_missing": ErrorSpec(
        401, "Please sign in.", "Send the Supabase access token as 'Authorization: Bearer …'."
    ),
    "token_expired": ErrorSpec(
        401, "Your session has expired.", "Refresh the Supabase session and send the new token."
    ),
    "token_invalid": ErrorSpec(
        401, "The access token is not valid.", "Sign in again with this project's Supabase Auth."
    ),
    "admin_login_needed": ErrorSpec(
        401, "Please sign in.", "Use ADMIN_USER and ADMIN_PASSWORD."
    ),
    "read_only": ErrorSpec(403, "This page only shows.", "Use the API."),
    "not_found": ErrorSpec(404, "There is nothing at this address.", "Check the URL."),
    "session_not_found": ErrorSpec(
        404, "Session not found.", "It may have been deleted; see GET /api/try-on/history."
    ),
    "method_not_allowed": ErrorSpec(
        405, "This address does not take that method.", "See the Allow header."
    ),
    "not_acceptable": ErrorSpec(406, "That form of answer is not available.", "Accept JSON."),
    "upload_too_slow": ErrorSpec(
        408, "The upload was too slow.", "Send a smaller photo, or try a better connection.",
        retryable=True,
    ),
    "form_too_large": ErrorSpec(
        413, "There is more in the request than it needs.",
        "Send multipart/form-data with the photo in the file field userImage, and garmentId.",
    ),
    "photo_too_large": ErrorSpec(
        413, "The photo is larger than 10 MB.", "Send a smaller photo; 2048 px a side is plenty."
    ),
    "url_too_long": ErrorSpec(414, "The address is too long.", "Check the URL; 8 KB is the most."),
    "photo_unsupported": ErrorSpec(
        415, "The file is not a picture that can be used.", "Send a JPEG, PNG, WebP or HEIC photo."
    ),
    "photo_unreadable": ErrorSpec(
        422, "The photo is damaged or incomplete.", "Send the original file once more."
    ),
    "photo_too_small": ErrorSpec(
        422, "The photo is too small.", "Each side must be at least 300 pixels."
    ),
    "photo_too_many_pixels": ErrorSpec(
        422, "The photo has too many pixels.", "Send at most 40 megapixels, as WebP at most 16."
    ),
    "headers_too_large": ErrorSpec(
        431, "The request's headers are too large.", "Send no more than 16 KB in one header."
    ),
    "invalid_fields": ErrorSpec(422, "Some fields are wrong.", "See 'errors' for which, and why."),
    "internal": ErrorSpec(
        500, "Something went wrong on our side.", "Try again; quote the request id if it stays.",
        retryable=True,
    ),
    "unavailable": ErrorSpec(
        503, "The service is briefly unavailable.", "Try again in a few seconds.", retryable=True
    ),
    "keys_unavailable": ErrorSpec(
        503, "Sign-in cannot be checked at the moment.", "Try again in a few seconds.",
        retryable=True,
    ),
    "idempotency_key_invalid": ErrorSpec(
        400, "The Idempotency-Key is not usable.",
        "Send 1 to 200 printable ASCII characters, no comma.",
    ),
    "idempotency_in_progress": ErrorSpec(
        409, "The same request is still being worked on.", "Repeat it in a second.", retryable=True
    ),
    "idempotency_mismatch": ErrorSpec(
        422, "This Idempotency-Key was used for another request.", "Use a new key."
    ),
    "too_many_unfinished": ErrorSpec(
        429, "You have too many try-ons under way.", "Wait until one of them ends.", retryable=True
    ),
    "daily_quota": ErrorSpec(
        429, "You have used up your try-ons for today.", "Try again tomorrow.", retryable=True
    ),
    "rate_limited": ErrorSpec(429, "Too many requests.", "Slow down.", retryable=True),
    "busy": ErrorSpec(
        503, "Too many try-ons are waiting.", "Try again in a few seconds.", retryable=True
    ),
    "provider_paused": ErrorSpec(
        503,
        "The try-on service is not available at the moment.",
        "Try again in a minute.",
        retryable=True,
    ),
    "paid_cap_reached": ErrorSpec(
        503, "Today's try-ons are used up.", "Try again tomorrow.", retryable=True
    ),
    # -- try-ons that were accepted and failed later -------------------------------------
    "photo_rejected": ErrorSpec(
        200,
        "The photo could not be used for a try-on.",
        "Use a bright photo that shows one person from the front, from head to hips.",
    ),
    "garment_missing": ErrorSpec(
        200, "The garment is not available.", "Pick another garment."
    ),
    "provider_failed": ErrorSpec(
        200, "The try-on did not work out.", "Try again, or use another photo.", retryable=True
    ),
    "provider_unavailable": ErrorSpec(
        200, "The try-on service is not available at the moment.", "Try again later.",
        retryable=True,
    ),
    "provider_uncertain": ErrorSpec(
        200, "The try-on was interrupted.", "Please start it again.", retryable=True
    ),
    "result_unusable": ErrorSpec(
        200, "The result could not be used.", "Please start it again.", retryable=True
    ),
    "deadline_exceeded": ErrorSpec(
        200, "The try-on took too long.", "Please start it again.", retryable=True
    ),
    "interrupted": ErrorSpec(
        200, "The try-on was interrupted by a fault on our side.", "Please start it again.",
        retryable=True,
    ),
}  # fmt: skip


class Problem(Exception):
    """A failure from the catalogue, raised anywhere and answered in the envelope.

    `errors` names the wrong fields, each with its reasons; `retry_after` is in seconds,
    `policy` names the limit that was reached.
    """

    def __init__(
        self,
        code: str,
        *,
        errors: Mapping[str, Sequence[str]] | None = None,
        retry_after: int | None = None,
        policy: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.spec = CATALOGUE[code]
        self.errors = errors
        self.retry_after = retry_after
        self.policy = policy

    def envelope(self, request_id: str | None) -> dict[str, object]:
        """The body of the answer that tells a client."""
        body: dict[str, object] = {
            "success": False,
            "message": self.spec.message,
            "code": self.code,
            "hint": self.spec.hint,
            "retryable": self.spec.retryable,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        return body


class MigrationFailed(Exception):
    """The database could not be brought up to date; says why, for people, and no password."""


class Unavailable(Problem):
    """Supabase or Redis is away: 503, and the client may try again in a few seconds.

    `why` is for who runs the service.
    """

    def __init__(self, why: str = "it is away") -> None:
        super().__init__("unavailable", retry_after=5)
        self.why = why
