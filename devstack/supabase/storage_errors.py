"""Storage's errors, in storage-api's words.

https://github.com/supabase/storage/blob/master/src/internal/errors/codes.ts
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jwt
import psycopg
from flask import Response, jsonify, request
from psycopg import Cursor
from psycopg.rows import DictRow

from devstack.supabase.callers import Caller, bearer, identify
from devstack.supabase.services import gateway


class StorageError(Exception):
    """A failure. Its own status is told in the body; that of the answer is 400."""

    def __init__(self, status: int, code: str, message: str, error: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.error = status, code, message, error


def error_response(status: int, code: str, message: str, error: str = "") -> Response:
    """Storage's error body; as from the real one, whatever the client did is answered with 400."""
    response = jsonify(statusCode=str(status), code=code, error=error or code, message=message)
    response.status_code = status if status == 416 or status >= 500 else 400
    return response


def no_such_key() -> StorageError:
    return StorageError(404, "NoSuchKey", "Object not found", "not_found")


def no_such_bucket() -> StorageError:
    return StorageError(404, "NoSuchBucket", "Bucket not found", "Bucket not found")


def access_denied(message: str) -> StorageError:
    return StorageError(403, "AccessDenied", message, "Unauthorized")


def too_large() -> StorageError:
    message = "The object exceeded the maximum allowed size"
    return StorageError(413, "EntityTooLarge", message, "Payload too large")


def bad_request(message: str) -> StorageError:
    return StorageError(400, "InvalidRequest", message, "Error")


def has_token() -> bool:
    """Whether the request says who calls."""
    return bool(bearer(request.headers)) or "apikey" in request.headers


def caller() -> Caller:
    """Who calls. Storage checks that itself, since a signed URL needs no key."""
    if not has_token():
        raise bad_request("headers must have required property 'authorization'")
    try:
        return identify(request.headers, gateway().keys)
    except jwt.ExpiredSignatureError:
        message = '"exp" claim timestamp check failed'
    except jwt.InvalidSignatureError:
        message = "signature verification failed"
    except jwt.PyJWTError:
        message = "Invalid Compact JWS"
    raise access_denied(message)


@contextmanager
def transaction(role: Caller | None) -> Iterator[Cursor[DictRow]]:
    """A transaction as a caller, or as the owner; what PostgreSQL refuses is put in our words."""
    try:
        with gateway().database.transaction(role) as cursor:
            yield cursor
    except psycopg.errors.UniqueViolation:
        message = "The resource already exists"
        raise StorageError(409, "KeyAlreadyExists", message, "Duplicate") from None
    except psycopg.errors.InsufficientPrivilege:
        raise access_denied("new row violates row-level security policy") from None
    except psycopg.DataError as error:  # a NUL character
        raise bad_request(str(error)) from None
