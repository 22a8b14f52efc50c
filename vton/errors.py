"""Every failure a client can be told about: its status, code and words, in one catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """What a code of the catalogue stands for.

    `status` is the HTTP status of a request that fails so, or 200 for a try-on that failed
    after it was accepted. `message` and `hint` (what to do) are for a shopper and are translated
    (`vton.words`), `detail` is for who programs a client. `retryable` says whether the same
    request can succeed later.
    """

    status: int
    message: str
    hint: str
    detail: str = ""
    retryable: bool = False


_NOT_UNDERSTOOD = "This page asked for something that the service does not understand."
_RELOAD = "Reload the page and try again."

CATALOGUE: Mapping[str, ErrorSpec] = {
    # -- requests ------------------------------------------------------------------------
    "bad_request": ErrorSpec(
        400, _NOT_UNDERSTOOD, _RELOAD,
        detail="The request could not be understood. Compare it with docs/api.md.",
    ),
    "token_missing": ErrorSpec(
        401, "You are not signed in.", "Please sign in.",
        detail="Send the Supabase access token as 'Authorization: Bearer …'.",
    ),
    "token_expired": ErrorSpec(
        401, "You have been signed out.", "Please sign in again.",
        detail="The token has expired: refresh the Supabase session and send the new one.",
    ),
    "token_invalid": ErrorSpec(
        401, "Your sign-in is no longer valid.", "Please sign in again.",
        detail="Not an access token of a user of this project's Supabase Auth.",
    ),
    "admin_login_needed": ErrorSpec(
        401, "You are not signed in.", "Please sign in.",
        detail="Use ADMIN_USER and ADMIN_PASSWORD.",
    ),
    "metrics_token_needed": ErrorSpec(
        401, "You are not signed in.", "Please sign in.",
        detail="Send METRICS_TOKEN as 'Authorization: Bearer …'.",
    ),
    "read_only": ErrorSpec(
        403, "This page only shows.", "Nothing can be changed here.", detail="Use the API."
    ),
    "not_found": ErrorSpec(404, "There is nothing at this address.", "Check the address."),
    "session_not_found": ErrorSpec(
        404, "Session not found.", "It may have been deleted.",
        detail="See GET /api/try-on/history for those that are there.",
    ),
    "method_not_allowed": ErrorSpec(
        405, _NOT_UNDERSTOOD, _RELOAD,
        detail="This address does not take that method. See the Allow header.",
    ),
    "not_acceptable": ErrorSpec(
        406, _NOT_UNDERSTOOD, _RELOAD, detail="That form of answer is not available: accept JSON."
    ),
    "upload_too_slow": ErrorSpec(
        408, "The upload was too slow.", "Try again with a smaller photo or a better connection.",
        retryable=True,
    ),
    "form_too_large": ErrorSpec(
        413, _NOT_UNDERSTOOD, _RELOAD,
        detail="There is more in the request than it needs. Send multipart/form-data with the"
        " photo in the file field userImage, and garmentId.",
    ),
    "photo_too_large": ErrorSpec(
        413, "The photo is larger than 10 MB.",
        "Choose a smaller one; 2048 pixels a side are plenty.",
    ),
    "url_too_long": ErrorSpec(
        414, _NOT_UNDERSTOOD, _RELOAD, detail="The address is too long: 8 KB is the most."
    ),
    "photo_unsupported": ErrorSpec(
        415, "The file is not a picture that can be used.",
        "Choose a JPEG, PNG, WebP or HEIC photo.",
    ),
    "photo_unreadable": ErrorSpec(
        422, "The photo is damaged or incomplete.",
        "Choose the original file once more, or another photo.",
    ),
    "photo_too_small": ErrorSpec(
        422, "The photo is too small.", "Choose one with at least 300 pixels a side."
    ),
    "photo_too_many_pixels": ErrorSpec(
        422, "The photo has too many pixels.",
        "Choose one of at most 40 megapixels, as WebP at most 16.",
    ),
    "headers_too_large": ErrorSpec(
        431, _NOT_UNDERSTOOD, _RELOAD,
        detail="The request's headers are too large: 16 KB in one header is the most.",
    ),
    "invalid_fields": ErrorSpec(
        422, "Something is missing or not right.", "Please check and try again."
    ),
    "internal": ErrorSpec(
        500, "Something went wrong on our side.", "Please try again in a moment.",
        detail="Quote the request id to who runs the service if it stays.", retryable=True,
    ),
    "unavailable": ErrorSpec(
        503, "The service is briefly unavailable.", "Try again in a few seconds.", retryable=True
    ),
    "keys_unavailable": ErrorSpec(
        503, "Sign-in cannot be checked at the moment.", "Try again in a few seconds.",
        retryable=True,
    ),
    "idempotency_key_invalid": ErrorSpec(
        400, _NOT_UNDERSTOOD, _RELOAD,
        detail="The Idempotency-Key has to be 1 to 200 printable ASCII characters, no comma.",
    ),
    "idempotency_in_progress": ErrorSpec(
        409, "Your try-on is being started.", "Try again in a second.", retryable=True
    ),
    "idempotency_mismatch": ErrorSpec(
        422, _NOT_UNDERSTOOD, _RELOAD,
        detail="This Idempotency-Key was used for another request. Use a new one for each try-on.",
    ),
    "too_many_unfinished": ErrorSpec(
        429, "You have too many try-ons under way.", "Wait until one of them ends.", retryable=True
    ),
    "daily_quota": ErrorSpec(
        429, "You have used up your try-ons for today.", "Try again tomorrow.", retryable=True
    ),
    "rate_limited": ErrorSpec(
        429, "That was too much at once.", "Wait a moment and try again.", retryable=True
    ),
    "busy": ErrorSpec(
        503, "Too many try-ons are waiting.", "Try again in a few seconds.", retryable=True
    ),
    "provider_paused": ErrorSpec(
        503, "The try-on service is not available at the moment.", "Try again in a minute.",
        retryable=True,
    ),
    "paused": ErrorSpec(
        503, "Try-ons are taking a break.", "Come back a little later.", retryable=True
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
        200, "The garment is not available.", "Choose another garment."
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

SESSION_FAILURES = (
    *(code for code, spec in CATALOGUE.items() if spec.status == HTTPStatus.OK), "paid_cap_reached"
)  # fmt: skip
"""What a session that was accepted can fail with."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a field of a request is wrong: `text` for people, `detail` for who programs a client."""

    text: str
    detail: str = ""


REASONS: Mapping[str, str] = {
    "photo_missing": "Please choose a photo.",
    "photo_empty": "The file is empty. Please choose another photo.",
    "photo_several": "Please choose one photo only.",
    "photo_gone": "That photo is no longer there. Please choose a photo.",
    "garment_missing": "Please choose a garment.",
    "garment_gone": "That garment is no longer there. Please choose another one.",
}
"""What people are told of a wrong field."""


class Problem(Exception):
    """A failure from the catalogue, raised anywhere and answered in the envelope.

    `errors` names the wrong fields, each with its reasons; `retry_after` is in seconds,
    `policy` names the limit that was reached, `message` replaces the catalogue's.
    """

    def __init__(
        self,
        code: str,
        *,
        errors: Mapping[str, Sequence[str | Reason]] | None = None,
        retry_after: int | None = None,
        policy: str | None = None,
        message: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.spec = CATALOGUE[code]
        self.errors = errors
        self.retry_after = retry_after
        self.policy = policy
        self.message = message or self.spec.message


class MigrationFailed(Exception):
    """The database could not be brought up to date; says why, for people, and no password."""


class Unavailable(Problem):
    """Supabase or Redis is away: 503, and the client may try again in a few seconds.

    `why` is for who runs the service.
    """

    def __init__(self, why: str = "it is away") -> None:
        super().__init__("unavailable", retry_after=5)
        self.why = why
