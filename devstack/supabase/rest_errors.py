"""PostgREST's errors: their JSON form, and the HTTP status of each SQLSTATE.

https://docs.postgrest.org/en/v12/references/errors.html
"""

import re
from typing import Any

import psycopg


class RestError(Exception):
    """A failure with the four fields of PostgREST's error body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Any = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "details": details, "hint": hint, "message": message}

    @classmethod
    def range(cls, details: str) -> "RestError":
        return cls(416, "PGRST103", "Requested range not satisfiable", details=details)


def not_supported(what: str) -> RestError:
    """What PostgREST can do and this gateway cannot. PGRST127 is its own code for such."""
    return RestError(501, "PGRST127", f"The local gateway does not support {what}.")


_STATUS_OF_CLASS = {
    "08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500,
    "39": 500, "3B": 500, "40": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500,
    "F0": 500, "HV": 500, "P0": 500, "XX": 500,
}  # fmt: skip
_STATUS_OF_STATE = {
    "21000": 500, "23503": 409, "23505": 409, "25006": 405, "42883": 404, "42P01": 404,
    "42P17": 500, "53400": 500, "57P01": 503, "P0001": 400,
}  # fmt: skip


def from_database(error: psycopg.Error, *, anonymous: bool) -> RestError:
    """The answer to an error of PostgreSQL."""
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.DataError):  # refused before it was sent: a NUL character
            return RestError(400, "22P05", str(error))
        return RestError(503, "PGRST000", "Database connection error.", details=str(error))
    return RestError(
        _status(state, anonymous),
        state,
        error.diag.message_primary or "",
        details=error.diag.message_detail,
        hint=error.diag.message_hint,
    )


def _status(state: str, anonymous: bool) -> int:
    if state == "42501":
        return 401 if anonymous else 403
    if re.fullmatch(r"PT\d{3}", state):  # `raise sqlstate 'PT402'`: a function chose its status
        return int(state[2:])
    return _STATUS_OF_STATE.get(state) or _STATUS_OF_CLASS.get(state[:2], 400)
