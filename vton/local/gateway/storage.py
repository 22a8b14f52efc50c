"""The Storage service at `/storage/v1`: the part of supabase/storage that this project uses.

A row of `storage.objects` says that an object exists, and row level security who may read or
change it; its bytes lie in a file that is named after the row's `version`, never after the
object. Bytes are written before their row and removed after it: a crash may leave a file that
nothing names, never a row without bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote
from uuid import uuid4

import jwt
import psycopg
from flask import Blueprint, Response, jsonify, request, send_file
from psycopg import Cursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from werkzeug.exceptions import RequestedRangeNotSatisfiable, RequestEntityTooLarge
from werkzeug.http import http_date

from vton.local.gateway.callers import Caller, bearer, identify
from vton.local.gateway.database import become
from vton.local.gateway.services import gateway

bp = Blueprint("storage", __name__, url_prefix="/storage/v1")

VALID_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
"""The characters of an object's name, as in supabase/storage: ASCII, and not all of it."""
LARGEST_OBJECT = 50 * 1024 * 1024
"""A hosted project's default, where the bucket says nothing."""
FORM_OVERHEAD = 64 * 1024
OWNER = (
    "id, name, owner, owner_id, public, file_size_limit, allowed_mime_types, created_at, updated_at"
)


class StorageError(Exception):
    """A failure as storage-api words it. Its own status is in the body; the answer's is 400."""

    def __init__(self, status: int, code: str, message: str, error: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.error = status, code, message, error or code


def error_response(status: int, code: str, message: str, error: str = "") -> Response:
    """Storage's error body. Answered with 400 for whatever the client did, as the real one does."""
    response = jsonify(statusCode=str(status), code=code, error=error or code, message=message)
    response.status_code = status if status >= 500 else 400
    return response


@bp.errorhandler(StorageError)
def _failed(error: StorageError) -> Response:
    return error_response(error.status, error.code, error.message, error.error)


@bp.errorhandler(RequestEntityTooLarge)
def _too_large(_error: RequestEntityTooLarge) -> Response:
    return _failed(_entity_too_large())


@bp.errorhandler(RequestedRangeNotSatisfiable)
def _bad_range(_error: RequestedRangeNotSatisfiable) -> Response:
    return error_response(400, "InvalidRange", "invalid range provided", "invalid_range")


def _entity_too_large() -> StorageError:
    message = "The object exceeded the maximum allowed size"
    return StorageError(413, "EntityTooLarge", message, "Payload too large")


def _no_such_key() -> StorageError:
    return StorageError(404, "NoSuchKey", "Object not found", "not_found")


def _no_such_bucket() -> StorageError:
    return StorageError(404, "NoSuchBucket", "Bucket not found", "Bucket not found")


def _caller() -> Caller:
    """Who calls; the real service reads the Authorization header alone."""
    if not bearer(request.headers) and "apikey" not in request.headers:
        message = "headers must have required property 'authorization'"
        raise StorageError(400, "InvalidRequest", message, "Error")
    try:
        return identify(request.headers, gateway().keys)
    except jwt.ExpiredSignatureError:
        message = '"exp" claim timestamp check failed'
    except jwt.InvalidSignatureError:
        message = "signature verification failed"
    except jwt.PyJWTError:
        message = "Invalid Compact JWS"
    raise StorageError(403, "AccessDenied", message, "Unauthorized")


@contextmanager
def _transaction(caller: Caller | None) -> Iterator[Cursor[DictRow]]:
    """A transaction as the caller; what PostgreSQL refuses becomes Storage's own words."""
    try:
        with gateway().database.transaction(caller) as cursor:
            yield cursor
    except psycopg.errors.UniqueViolation:
        message = "The resource already exists"
        raise StorageError(409, "ResourceAlreadyExists", message, "Duplicate") from None
    except psycopg.errors.InsufficientPrivilege:
        message = "new row violates row-level security policy"
        raise StorageError(403, "AccessDenied", message, "Unauthorized") from None


# Buckets --------------------------------------------------------------------------------------


@bp.get("/bucket")
def list_buckets() -> Response:
    """The buckets that the caller may see."""
    with _transaction(_caller()) as cursor:
        return jsonify(
            cursor.execute(f"select {OWNER} from storage.buckets order by id").fetchall()
        )


@bp.get("/bucket/<bucket>")
def get_bucket(bucket: str) -> Response:
    """One bucket, if the caller may see it."""
    with _transaction(_caller()) as cursor:
        query = f"select {OWNER} from storage.buckets where id = %s"
        row = cursor.execute(query, (bucket,)).fetchone()
    if row is None:
        raise _no_such_bucket()
    return jsonify(row)


def _bucket(name: str) -> DictRow:
    """A bucket's settings, whoever asks."""
    with gateway().database.transaction() as cursor:
        row = cursor.execute("select * from storage.buckets where id = %s", (name,)).fetchone()
    if row is None:
        raise _no_such_bucket()
    return row


# Upload ---------------------------------------------------------------------------------------


@dataclass
class Upload:
    """An object on its way in."""

    stream: IO[bytes]
    mime_type: str
    cache_control: str
    user_metadata: dict[str, Any]


@bp.route("/object/<bucket>/<path:name>", methods=["POST", "PUT"])
def upload(bucket: str, name: str) -> Response:
    """Store an object; over another of its name only with PUT or `x-upsert: true`."""
    caller = _caller()
    limits = _bucket(bucket)
    _check_key(name)
    limit = min(limits["file_size_limit"] or LARGEST_OBJECT, LARGEST_OBJECT)
    sent = _sent(limit)
    _check_mime_type(sent.mime_type, limits["allowed_mime_types"])
    version = str(uuid4())
    metadata = _save(sent, version, limit)
    upserts = request.method == "PUT" or request.headers.get("x-upsert") == "true"
    row = {
        "id": str(uuid4()),
        "bucket_id": bucket,
        "name": name,
        "owner_id": caller.claims.get("sub"),
        "version": version,
        "metadata": Jsonb(metadata),
        "user_metadata": Jsonb(sent.user_metadata),
    }
    try:
        replaced = _record(caller, row, upserts=upserts)
    except BaseException:
        _remove([version])
        raise
    _remove([replaced["version"]] if replaced else [])
    identifier = str(replaced["id"]) if replaced else row["id"]
    return jsonify(Id=identifier, Key=f"{bucket}/{name}")


def _record(caller: Caller, row: dict[str, Any], *, upserts: bool) -> DictRow | None:
    """Write the object's row as the caller; returns the row that it took the place of."""
    statement = (
        "insert into storage.objects"
        " (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata) values"
        " (%(id)s, %(bucket_id)s, %(name)s, %(owner_id)s::uuid, %(owner_id)s, %(version)s, %(metadata)s,"
        " %(user_metadata)s)"
    )
    if upserts:
        statement += (
            " on conflict (bucket_id, name) do update set owner = excluded.owner,"
            " owner_id = excluded.owner_id, version = excluded.version, updated_at = now(),"
            " metadata = excluded.metadata, user_metadata = excluded.user_metadata"
        )
    with _transaction(None) as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended(%(bucket_id)s || '/' || %(name)s, 0))",
            row,
        )
        replaced = cursor.execute(
            "select id, version from storage.objects"
            " where bucket_id = %(bucket_id)s and name = %(name)s",
            row,
        ).fetchone()
        become(cursor, caller)
        cursor.execute(statement, row)
    return replaced


def _check_key(name: str) -> None:
    if not VALID_KEY.fullmatch(name) or len(name) > 1024:
        raise StorageError(400, "InvalidKey", f"Invalid key: {name}")


def _sent(limit: int) -> Upload:
    """The object in the request: the file of a form (as both client libraries send it), or raw."""
    if (request.content_length or 0) > limit + FORM_OVERHEAD:
        raise _entity_too_large()
    if request.mimetype != "multipart/form-data":
        return Upload(
            request.stream,
            request.content_type or "application/octet-stream",
            request.headers.get("cache-control", "no-cache"),
            {},
        )
    request.max_content_length = limit + FORM_OVERHEAD
    files = list(request.files.values())
    if not files:
        raise StorageError(400, "InvalidRequest", "No content provided")
    seconds = request.form.get("cacheControl")
    try:
        user_metadata = json.loads(request.form.get("metadata") or "{}")
    except ValueError:
        user_metadata = {}
    return Upload(
        files[0].stream,
        files[0].content_type or "application/octet-stream",
        f"max-age={seconds}" if seconds else "no-cache",
        user_metadata,
    )


def _check_mime_type(mime_type: str, allowed: list[str] | None) -> None:
    kind = mime_type.partition(";")[0].strip()
    if allowed and kind not in allowed and f"{kind.partition('/')[0]}/*" not in allowed:
        message = f"mime type {mime_type} is not supported"
        raise StorageError(415, "InvalidMimeType", message, "invalid_mime_type")


def _file(version: str) -> Path:
    """Where an object's bytes lie: versions are UUIDs of ours."""
    return gateway().objects / version


def _save(sent: Upload, version: str, limit: int) -> dict[str, Any]:
    """Write the bytes to their file, whole or not at all; returns the object's metadata."""
    part = _file(f"{version}.part")
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with part.open("wb") as file:
            while chunk := sent.stream.read(1 << 16):
                size += len(chunk)
                if size > limit:
                    raise _entity_too_large()
                digest.update(chunk)
                file.write(chunk)
        part.rename(_file(version))
    finally:
        part.unlink(missing_ok=True)
    return {
        "eTag": f'"{digest.hexdigest()}"',
        "size": size,
        "mimetype": sent.mime_type,
        "cacheControl": sent.cache_control,
        "lastModified": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "contentLength": size,
        "httpStatusCode": 200,
    }


def _remove(versions: list[str]) -> None:
    for version in versions:
        _file(version).unlink(missing_ok=True)


# Download -------------------------------------------------------------------------------------


@bp.get("/object/<bucket>/<path:name>")
@bp.get("/object/authenticated/<bucket>/<path:name>", endpoint="download_authenticated")
def download(bucket: str, name: str) -> Response:
    """The bytes of an object that the caller may see; of a public bucket, for everybody."""
    return _deliver(_visible(bucket, name))


@bp.get("/object/public/<bucket>/<path:name>")
def download_public(bucket: str, name: str) -> Response:
    """The bytes of an object in a public bucket."""
    if not _bucket(bucket)["public"]:
        raise _no_such_bucket()
    return _deliver(_object(None, bucket, name))


@bp.get("/object/info/<bucket>/<path:name>")
@bp.get("/object/info/authenticated/<bucket>/<path:name>", endpoint="info_authenticated")
def info(bucket: str, name: str) -> Response:
    """What is known of an object that the caller may see."""
    row = _visible(bucket, name)
    metadata = row["metadata"]
    return jsonify(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        bucket_id=bucket,
        size=metadata["size"],
        content_type=metadata["mimetype"],
        cache_control=metadata["cacheControl"],
        etag=metadata["eTag"],
        metadata=row["user_metadata"],
        last_modified=row["updated_at"].isoformat(),
        created_at=row["created_at"].isoformat(),
    )


def _visible(bucket: str, name: str) -> DictRow:
    """The object's row, if the caller may see it. Without a token only public buckets are."""
    if not bearer(request.headers) and "apikey" not in request.headers:
        if not _bucket(bucket)["public"]:
            raise _no_such_bucket()
        return _object(None, bucket, name)
    return _object(None if _bucket(bucket)["public"] else _caller(), bucket, name)


def _object(caller: Caller | None, bucket: str, name: str) -> DictRow:
    _check_key(name)
    with _transaction(caller) as cursor:
        row = cursor.execute(
            "select * from storage.objects where bucket_id = %s and name = %s", (bucket, name)
        ).fetchone()
    if row is None:
        raise _no_such_key()
    return row


def _deliver(row: DictRow, expires: int | None = None) -> Response:
    """The object's bytes; ranges and conditions are werkzeug's."""
    metadata = row["metadata"]
    # As the real service: what is stored is never a page on this origin.
    kind = re.sub(r"^text/html\b", "text/plain", metadata["mimetype"])
    try:
        response = send_file(
            _file(row["version"]),
            mimetype=kind,
            conditional=True,
            etag=metadata["eTag"].strip('"'),
            last_modified=row["updated_at"],
        )
    except FileNotFoundError:
        raise _no_such_key() from None
    response.headers["Cache-Control"] = metadata["cacheControl"]
    response.headers.pop("Content-Disposition", None)  # it names our file
    if expires is not None:
        response.headers["Expires"] = http_date(expires)
    if "download" in request.args:
        response.headers["Content-Disposition"] = _attachment(request.args["download"])
    return response


def _attachment(filename: str) -> str:
    if not filename:
        return "attachment;"
    encoded = quote(filename, safe="")
    return f"attachment; filename={encoded}; filename*=UTF-8''{encoded}"


# Signed URLs ----------------------------------------------------------------------------------


@bp.post("/object/sign/<bucket>/<path:name>")
def sign(bucket: str, name: str) -> Response:
    """A URL that opens one object for a while, for everybody who has it."""
    seconds = _seconds(_json())
    _object(_caller(), bucket, name)
    return jsonify(signedURL=_signed(bucket, name, seconds))


@bp.post("/object/sign/<bucket>")
def sign_many(bucket: str) -> Response:
    """Such URLs for many objects; what cannot be signed says so in its place."""
    body = _json()
    seconds, paths = _seconds(body), body.get("paths")
    if not isinstance(paths, list) or not paths:
        raise StorageError(400, "InvalidRequest", "body must have required property 'paths'")
    with _transaction(_caller()) as cursor:
        found = cursor.execute(
            "select name from storage.objects where bucket_id = %s and name = any(%s)",
            (bucket, [str(path) for path in paths]),
        ).fetchall()
    names = {row["name"] for row in found}
    missing = "Either the object does not exist or you do not have access to it"
    return jsonify(
        [
            {
                "error": None if path in names else missing,
                "path": path,
                "signedURL": _signed(bucket, path, seconds) if path in names else None,
            }
            for path in paths
        ]
    )


@bp.get("/object/sign/<bucket>/<path:name>")
def open_signed(bucket: str, name: str) -> Response:
    """The object that a signed URL opens; it needs no key, and no right but its token."""
    token = request.args.get("token")
    if not token:
        message = "querystring must have required property 'token'"
        raise StorageError(400, "InvalidRequest", message, "Error")
    try:
        claims = gateway().keys.read_url_token(token)
    except jwt.ExpiredSignatureError:
        message = '"exp" claim timestamp check failed'
        raise StorageError(400, "InvalidJWT", message) from None
    except jwt.PyJWTError:
        raise StorageError(400, "InvalidJWT", "signature verification failed") from None
    if claims["url"] != f"{bucket}/{name}":
        raise StorageError(400, "InvalidSignature", "Invalid signature")
    return _deliver(_object(None, bucket, name), claims["exp"])


def _signed(bucket: str, name: str, seconds: int) -> str:
    """The signed URL, relative to the service as the real one's."""
    token = gateway().keys.sign_url(f"{bucket}/{name}", seconds)
    return f"/object/sign/{quote(bucket)}/{quote(name)}?token={token}"


def _json() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise StorageError(400, "InvalidRequest", "Body is not valid JSON", "Error")
    return body


def _seconds(body: dict[str, Any]) -> int:
    """How long a signed URL lives; a whole number, which the Python client sends as a string."""
    text = str(body.get("expiresIn", ""))
    if not re.fullmatch(r"[1-9]\d{0,9}", text):
        message = "body/expiresIn must be >= 1"
        raise StorageError(400, "InvalidRequest", message, "Error")
    return int(text)


# List and remove ------------------------------------------------------------------------------


@bp.post("/object/list/<bucket>")
def list_objects(bucket: str) -> Response:
    """What lies in one folder: objects, and folders as entries without an id.

    By name they are mixed; by a time the folders come first. Upper and lower case are alike.
    """
    body = _json()
    prefix = str(body.get("prefix") or "")
    prefix = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
    sort = body.get("sortBy") or {}
    column = sort.get("column") or "name"
    if column not in ("name", "updated_at", "created_at", "last_accessed_at"):
        raise StorageError(400, "InvalidRequest", "body/sortBy/column must be a column", "Error")
    direction = "desc" if str(sort.get("order")).lower() == "desc" else "asc"
    order = f'lower(name) collate "C" {direction}'
    if column != "name":
        order = f"id is not null, {column} {direction}, {order}"
    with _transaction(_caller()) as cursor:
        rows = cursor.execute(
            _LISTING + f" order by {order} limit %(limit)s offset %(offset)s",
            {
                "bucket": bucket,
                "prefix": prefix + str(body.get("search") or ""),
                "level": prefix.count("/") + 1,
                "limit": min(int(body.get("limit") or 100), 1000),
                "offset": int(body.get("offset") or 0),
            },
        ).fetchall()
    return jsonify([_listed(row) for row in rows])


_LISTING = """
with found as (
  select *, path_tokens[%(level)s] as entry, cardinality(path_tokens) = %(level)s as is_object
  from storage.objects
  where bucket_id = %(bucket)s and starts_with(lower(name), lower(%(prefix)s))
)
select * from (
  select entry as name, id, updated_at, created_at, last_accessed_at, metadata
  from found where is_object
  union all
  select distinct entry, null::uuid, null::timestamptz, null::timestamptz, null::timestamptz,
    null::jsonb
  from found where not is_object
) as entries
"""


def _listed(row: DictRow) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }


@bp.delete("/object/<bucket>")
def remove_many(bucket: str) -> Response:
    """Delete objects by name; answers those that were there and that the caller might delete."""
    names = _json().get("prefixes")
    if not isinstance(names, list) or not names:
        raise StorageError(400, "InvalidRequest", "body must have required property 'prefixes'")
    return jsonify([_listed(row) for row in _delete(bucket, [str(name) for name in names])])


@bp.delete("/object/<bucket>/<path:name>")
def remove(bucket: str, name: str) -> Response:
    """Delete one object."""
    _object(None, bucket, name)
    if not _delete(bucket, [name]):
        raise StorageError(403, "AccessDenied", "Access denied", "Unauthorized")
    return jsonify(message="Successfully deleted")


def _delete(bucket: str, names: list[str]) -> list[DictRow]:
    with _transaction(_caller()) as cursor:
        cursor.execute("select set_config('storage.allow_delete_query', 'true', true)")
        rows = cursor.execute(
            "delete from storage.objects where bucket_id = %s and name = any(%s) returning"
            " name, bucket_id, owner, owner_id, version, id, updated_at, created_at,"
            " last_accessed_at, metadata, user_metadata",
            (bucket, names),
        ).fetchall()
    _remove([row["version"] for row in rows])
    return rows
