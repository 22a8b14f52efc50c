"""Objects: their rows in `storage.objects`, and their bytes on disk.

The bytes lie in a file that is named after the row's `version`, a UUID of ours, never after the
object. They are written before the row and removed after it: a crash may leave a file that
nothing names, never a row without bytes.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from devstack.supabase.callers import Caller
from devstack.supabase.database import become
from devstack.supabase.services import gateway
from devstack.supabase.storage_errors import (
    StorageError,
    no_such_bucket,
    no_such_key,
    too_large,
    transaction,
)

VALID_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]{1,1024}")
"""The characters of an object's name, as in supabase/storage: ASCII, and not all of it."""


@dataclass
class Upload:
    """An object on its way in."""

    stream: IO[bytes]
    mime_type: str
    cache_control: str
    user_metadata: dict[str, Any]


def find_bucket(name: str) -> DictRow:
    """A bucket's settings, whoever asks."""
    with transaction(None) as cursor:
        row = cursor.execute("select * from storage.buckets where id = %s", (name,)).fetchone()
    if row is None:
        raise no_such_bucket()
    return row


def check_key(name: str) -> None:
    """Refuse a name that Storage would refuse."""
    if not VALID_KEY.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise StorageError(400, "InvalidKey", f"Invalid key: {name}")


def find_object(role: Caller | None, bucket: str, name: str) -> DictRow:
    """An object's row, if the caller may see it; None may see everything."""
    check_key(name)
    with transaction(role) as cursor:
        row = cursor.execute(
            "select * from storage.objects where bucket_id = %s and name = %s", (bucket, name)
        ).fetchone()
    if row is None:
        raise no_such_key()
    return row


def path_of(version: str) -> Path:
    """Where an object's bytes lie."""
    return gateway().objects / version


def store(role: Caller, bucket: str, name: str, sent: Upload, *, limit: int, upsert: bool) -> str:
    """Store an object as the caller, and return its id."""
    version = str(uuid4())
    row = {
        "id": str(uuid4()),
        "bucket_id": bucket,
        "name": name,
        "owner_id": role.claims.get("sub"),
        "version": version,
        "metadata": Jsonb(_save(sent, version, limit)),
        "user_metadata": Jsonb(sent.user_metadata),
    }
    try:
        replaced = _record(role, row, upsert=upsert)
    except BaseException:
        path_of(version).unlink()
        raise
    if replaced is None:
        return str(row["id"])
    path_of(replaced["version"]).unlink(missing_ok=True)
    return str(replaced["id"])


def _save(sent: Upload, version: str, limit: int) -> dict[str, Any]:
    """Write the bytes to their file, whole or not at all; returns the object's metadata."""
    part = path_of(f"{version}.part")
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with part.open("wb") as file:
            while chunk := sent.stream.read(1 << 16):
                size += len(chunk)
                if size > limit:
                    raise too_large()
                digest.update(chunk)
                file.write(chunk)
        part.rename(path_of(version))
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


_INSERT = """
insert into storage.objects
  (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
values (%(id)s, %(bucket_id)s, %(name)s, %(owner_id)s::uuid, %(owner_id)s, %(version)s,
  %(metadata)s, %(user_metadata)s)
"""
_UPSERT = """
on conflict (bucket_id, name) do update set owner = excluded.owner, owner_id = excluded.owner_id,
  version = excluded.version, metadata = excluded.metadata,
  user_metadata = excluded.user_metadata, updated_at = now()
"""


def _record(role: Caller, row: dict[str, Any], *, upsert: bool) -> DictRow | None:
    """Write the object's row as the caller; returns the one that it took the place of."""
    with transaction(None) as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended(%(bucket_id)s || '/' || %(name)s, 0))",
            row,
        )
        replaced = cursor.execute(
            "select id, version from storage.objects"
            " where bucket_id = %(bucket_id)s and name = %(name)s",
            row,
        ).fetchone()
        become(cursor, role)
        cursor.execute(_INSERT + (_UPSERT if upsert else ""), row)
    return replaced


def delete(role: Caller, bucket: str, names: list[str]) -> list[DictRow]:
    """Delete what there is of these objects and the caller may delete; returns their rows."""
    with transaction(role) as cursor:
        cursor.execute("select set_config('storage.allow_delete_query', 'true', true)")
        rows = cursor.execute(
            "delete from storage.objects where bucket_id = %s and name = any(%s) returning"
            " name, bucket_id, owner, owner_id, version, id, updated_at, created_at,"
            " last_accessed_at, metadata, user_metadata",
            (bucket, names),
        ).fetchall()
    for row in rows:
        path_of(row["version"]).unlink(missing_ok=True)
    return rows


_LISTING = """
with found as (
  select *, path_tokens[%(level)s] as entry, cardinality(path_tokens) = %(level)s as is_object
  from storage.objects
  where bucket_id = %(bucket)s and starts_with(lower(name), lower(%(prefix)s))
), entries as (
  select entry as name, id, updated_at, created_at, last_accessed_at, metadata
  from found where is_object
  union all
  select distinct entry, null::uuid, null::timestamptz, null::timestamptz, null::timestamptz,
    null::jsonb
  from found where not is_object
)
select * from entries
"""
LIST_COLUMNS = ("name", "updated_at", "created_at", "last_accessed_at")


def list_folder(
    role: Caller, bucket: str, folder: str, search: str, order: tuple[str, str], page: range
) -> list[DictRow]:
    """What the caller may see in a folder: objects, and folders as rows without an id.

    By name they are mixed; by a time the folders come first. Upper and lower case are alike.
    `order` is one of LIST_COLUMNS, and `asc` or `desc`.
    """
    column, direction = order
    by_name = f'lower(name) collate "C" {direction}'
    if column != "name":
        by_name = f"id is not null, {column} {direction}, {by_name}"
    with transaction(role) as cursor:
        return cursor.execute(
            f"{_LISTING} order by {by_name} limit %(limit)s offset %(offset)s",
            {
                "bucket": bucket,
                "prefix": folder + search,
                "level": folder.count("/") + 1,
                "limit": len(page),
                "offset": page.start,
            },
        ).fetchall()
