"""The Storage service at `/storage/v1`: the part of supabase/storage that this project uses.

A row of `storage.objects` says that an object exists, and row level security who may read or
change it. Answers: https://github.com/supabase/storage/tree/master/src/http/routes.
"""

import json
import re
import select
import socket
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import jwt
from flask import Blueprint, Response, jsonify, request, send_file
from psycopg.rows import DictRow
from werkzeug.exceptions import RequestedRangeNotSatisfiable, RequestEntityTooLarge
from werkzeug.http import http_date

from devstack.supabase.services import gateway
from devstack.supabase.storage_errors import (
    StorageError,
    access_denied,
    bad_request,
    caller,
    error_response,
    no_such_bucket,
    too_large,
    transaction,
)
from devstack.supabase.storage_objects import (
    LIST_COLUMNS,
    Upload,
    check_key,
    delete,
    find_bucket,
    find_object,
    list_folder,
    path_of,
    store,
)

bp = Blueprint("storage", __name__, url_prefix="/storage/v1")

LARGEST_OBJECT = 50 * 1024 * 1024
"""A hosted project's limit, where the bucket has none of its own."""
FORM_OVERHEAD = 64 * 1024
MOST_PATHS = 1000
"""So many can be signed in one call."""
UNREAD_BYTES = 200_000
"""A larger upload that is refused is answered before it is read, and its connection is dead."""
DEAD_MS = 15_000
_BUCKET = (
    "select id, name, coalesce(owner::text, '') as owner, owner_id, public, file_size_limit,"
    " allowed_mime_types, created_at, updated_at from storage.buckets"
)


@bp.errorhandler(StorageError)
def _failed(error: StorageError) -> Response:
    response = error_response(error.status, error.code, error.message, error.error)
    unread = request.endpoint == "storage.upload" and (request.content_length or 0) > UNREAD_BYTES
    if unread and error.status in (403, 404, 409):
        response.call_on_close(partial(_leave_dead, request.environ["gunicorn.socket"]))
    return response


@bp.after_request
def _say_the_charset(response: Response) -> Response:
    if response.mimetype == "application/json":
        response.content_type = "application/json; charset=utf-8"
    return response


def _leave_dead(connection: socket.socket) -> None:
    """Keep the connection open and take no more requests from it, until the client parts."""
    gone = select.poll()
    gone.register(connection, getattr(select, "POLLRDHUP", 0))  # only Linux tells
    gone.poll(DEAD_MS)


@bp.errorhandler(RequestEntityTooLarge)
def _too_large(_error: RequestEntityTooLarge) -> Response:
    return _failed(too_large())


@bp.errorhandler(RequestedRangeNotSatisfiable)
def _bad_range(_error: RequestedRangeNotSatisfiable) -> Response:
    return error_response(416, "InvalidRange", "invalid range provided", "invalid_range")


@bp.get("/bucket")
def list_buckets() -> Response:
    """The buckets that the caller may see."""
    with transaction(caller()) as cursor:
        return jsonify([_row(row) for row in cursor.execute(f"{_BUCKET} order by id")])


@bp.get("/bucket/<bucket>")
def get_bucket(bucket: str) -> Response:
    """One bucket, if the caller may see it."""
    with transaction(caller()) as cursor:
        row = cursor.execute(f"{_BUCKET} where id = %s", (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket()
    return jsonify(_row(row))


# Upload ---------------------------------------------------------------------------------------


@bp.route("/object/<bucket>/<path:name>", methods=["POST", "PUT"])
def upload(bucket: str, name: str) -> Response:
    """Store an object; over another of its name only with PUT or `x-upsert: true`."""
    role, settings = caller(), find_bucket(bucket)
    check_key(name)
    limit = min(settings["file_size_limit"] or LARGEST_OBJECT, LARGEST_OBJECT)
    sent = _sent(limit)
    _check_mime_type(sent.mime_type, settings["allowed_mime_types"])
    upsert = request.method == "PUT" or request.headers.get("x-upsert") == "true"
    identifier = store(role, bucket, name, sent, limit=limit, upsert=upsert)
    return jsonify(Id=identifier, Key=f"{bucket}/{name}")


@bp.post("/object/copy")
def copy() -> Response:
    """Store what another object has under a second name, which must be free, in the same bucket."""
    body, role = _json(), caller()
    for field in ("bucketId", "sourceKey", "destinationKey"):
        if not isinstance(body.get(field), str):
            raise bad_request(f"body must have required property '{field}'")
    bucket, name = body["bucketId"], body["destinationKey"]
    check_key(name)
    source = find_object(role, bucket, body["sourceKey"])
    metadata = source["metadata"]
    with path_of(source["version"]).open("rb") as stream:
        kind, cache_control = metadata["mimetype"], metadata["cacheControl"]
        sent = Upload(stream, kind, cache_control, source["user_metadata"])
        identifier = store(role, bucket, name, sent, limit=LARGEST_OBJECT, upsert=False)
    return jsonify(Id=identifier, Key=f"{bucket}/{name}")


@bp.route("/object/upload/<path:rest>", methods=["POST", "PUT"])
def upload_signed(rest: str) -> Response:
    """Uploading with a signed URL."""
    raise StorageError(501, "not_supported", f"The local gateway does not sign uploads: {rest}")


def _sent(limit: int) -> Upload:
    """The object in the request: the file of a form (as both client libraries send it), or raw."""
    if (request.content_length or 0) > limit + FORM_OVERHEAD:
        raise too_large()
    kind = request.content_type or "application/octet-stream"
    if request.mimetype != "multipart/form-data":
        return Upload(request.stream, kind, request.headers.get("cache-control", "no-cache"), {})
    request.max_content_length = limit + FORM_OVERHEAD
    file = next(iter(request.files.values()), None)
    if file is None:
        raise StorageError(400, "InvalidRequest", "No content provided")
    seconds = request.form.get("cacheControl")
    cache_control = f"max-age={seconds}" if seconds else "no-cache"
    kind = file.content_type or "application/octet-stream"
    return Upload(file.stream, kind, cache_control, _user_metadata())


def _user_metadata() -> dict[str, Any]:
    try:
        found = json.loads(request.form.get("metadata") or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise bad_request("metadata must be a JSON object")
    return found


def _check_mime_type(mime_type: str, allowed: list[str] | None) -> None:
    kind = mime_type.partition(";")[0].strip()
    if allowed and kind not in allowed and f"{kind.partition('/')[0]}/*" not in allowed:
        message = f"mime type {mime_type} is not supported"
        raise StorageError(415, "InvalidMimeType", message, "invalid_mime_type")


# Download -------------------------------------------------------------------------------------


@bp.get("/object/<bucket>/<path:name>")
@bp.get("/object/authenticated/<bucket>/<path:name>", endpoint="download_authenticated")
def download(bucket: str, name: str) -> Response:
    """The bytes of an object that the caller may see; of a public bucket, for everybody."""
    return _deliver(_visible(bucket, name))


@bp.get("/object/public/<bucket>/<path:name>")
def download_public(bucket: str, name: str) -> Response:
    """The bytes of an object in a public bucket."""
    if not find_bucket(bucket)["public"]:
        raise no_such_bucket()
    return _deliver(find_object(None, bucket, name))


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
    public = find_bucket(bucket)["public"]
    if public:
        return find_object(None, bucket, name)
    try:
        role = caller()
    except StorageError:
        if request.endpoint != "storage.download":
            raise
        raise no_such_bucket() from None  # as for somebody without a token
    return find_object(role, bucket, name)


def _deliver(row: DictRow, expires: int | None = None) -> Response:
    """The object's bytes; ranges and conditions are werkzeug's."""
    metadata = row["metadata"]
    # As the real service: what is stored is never a page on this origin.
    kind = re.sub(r"^text/html\b", "text/plain", metadata["mimetype"])
    if "," in request.headers.get("Range", ""):
        raise RequestedRangeNotSatisfiable
    try:
        response = send_file(
            path_of(row["version"]),
            mimetype=kind,
            conditional=True,
            etag=metadata["eTag"].strip('"'),
            last_modified=row["updated_at"],
        )
    except FileNotFoundError:
        raise StorageError(500, "InternalError", "Internal server error") from None
    response.headers.pop("Content-Disposition", None)  # it names our file
    response.headers["X-Robots-Tag"] = "none"
    if expires is None:
        response.headers["Cache-Control"] = metadata["cacheControl"]
    else:
        response.headers.pop("Cache-Control", None)
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
    find_object(caller(), bucket, name)
    return jsonify(signedURL=_signed(bucket, name, seconds))


@bp.post("/object/sign/<bucket>")
def sign_many(bucket: str) -> Response:
    """Such URLs for many objects; what cannot be signed says so in its place."""
    body = _json()
    seconds, paths = _seconds(body), _names(body, "paths")
    if len(paths) > MOST_PATHS:
        raise bad_request(f"body/paths must NOT have more than {MOST_PATHS} items")
    with transaction(caller()) as cursor:
        found = cursor.execute(
            "select name from storage.objects where bucket_id = %s and name = any(%s)",
            (bucket, paths),
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
        raise bad_request("querystring must have required property 'token'")
    try:
        claims = gateway().keys.read_url_token(token)
    except jwt.ExpiredSignatureError:
        message = '"exp" claim timestamp check failed'
        raise StorageError(400, "InvalidJWT", message) from None
    except jwt.PyJWTError:
        raise StorageError(400, "InvalidJWT", "signature verification failed") from None
    if claims["url"] != f"{bucket}/{name}":
        raise StorageError(400, "InvalidSignature", "Invalid signature")
    return _deliver(find_object(None, bucket, name), claims["exp"])


def _signed(bucket: str, name: str, seconds: int) -> str:
    """The signed URL, relative to the service as the real one's."""
    token = gateway().keys.sign_url(f"{bucket}/{name}", seconds)
    return f"/object/sign/{quote(bucket)}/{quote(name)}?token={token}"


def _seconds(body: dict[str, Any]) -> int:
    """How long a signed URL lives; a whole number, which the Python client sends as a string."""
    text = str(body.get("expiresIn", ""))
    if not re.fullmatch(r"[1-9]\d{0,9}", text):
        raise bad_request("body/expiresIn must be >= 1")
    return int(text)


# List and remove ------------------------------------------------------------------------------


@bp.post("/object/list/<bucket>")
def list_objects(bucket: str) -> Response:
    """What lies in one folder: objects, and folders as entries without an id."""
    role, body = caller(), _json()
    if "prefix" not in body:
        raise bad_request("body must have required property 'prefix'")
    folder = str(body["prefix"] or "")
    folder = f"{folder}/" if folder and not folder.endswith("/") else folder
    sort = body.get("sortBy")
    sort = sort if isinstance(sort, dict) else {}
    column, direction = sort.get("column") or "name", str(sort.get("order") or "asc").lower()
    if column not in LIST_COLUMNS or direction not in ("asc", "desc"):
        raise bad_request("body/sortBy must be one of the columns that can be sorted by")
    limit, offset = body.get("limit") or 100, body.get("offset") or 0
    if not isinstance(limit, int) or not isinstance(offset, int) or limit < 0 or offset < 0:
        raise bad_request("body/limit and body/offset must be integers")
    page = range(offset, offset + min(limit, 1000))
    search = str(body.get("search") or "")
    found = list_folder(role, bucket, folder, search, (column, direction), page)
    return jsonify([_row(row) for row in found])


@bp.delete("/object/<bucket>")
def remove_many(bucket: str) -> Response:
    """Delete objects by name; answers those that were there and that the caller might delete."""
    names = _names(_json(), "prefixes")
    return jsonify([_row(row) for row in delete(caller(), bucket, names)])


@bp.delete("/object/<bucket>/<path:name>")
def remove(bucket: str, name: str) -> Response:
    """Delete one object."""
    role = caller()
    find_object(None, bucket, name)
    if not delete(role, bucket, [name]):
        raise access_denied("Access denied")
    return jsonify(message="Successfully deleted")


def _json() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise bad_request("Body is not valid JSON")
    return body


def _names(body: dict[str, Any], field: str) -> list[str]:
    names = body.get(field)
    if not isinstance(names, list) or not names:
        raise bad_request(f"body must have required property '{field}'")
    return [str(name) for name in names]


def _row(row: DictRow) -> dict[str, Any]:
    """A row as Storage shows it, its times in ISO format."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }
