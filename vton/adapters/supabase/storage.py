"""The private bucket: photos, results and garments, and the URLs that open them for a while."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from storage3.exceptions import StorageApiError
from supabase import Client

from vton import metrics
from vton.adapters.clock import SystemClock
from vton.adapters.redis.signed_urls import SIGNED_SECONDS, SignedUrlCache
from vton.adapters.supabase.client import unavailable_when_away
from vton.adapters.supabase.rows import batches
from vton.errors import Unavailable
from vton.log import cleaned
from vton.tryon.ports.storage import NameTaken, PictureMissing, PictureRefused, SignedUrl

logger = logging.getLogger(__name__)

PATHS_IN_A_CALL = 500
"""The storage signs and removes 1000 at most."""


@dataclass(frozen=True)
class Bucket:
    """Implements `vton.tryon.ports.storage.Pictures`."""

    client: Client
    name: str
    signed_urls: SignedUrlCache
    public_url: str
    """Where those who open a signed URL reach Supabase."""
    now: Callable[[], datetime] = SystemClock().now

    def _bucket(self) -> Any:
        return self.client.storage.from_(self.name)

    def check(self) -> None:
        """Raise Unavailable if the bucket is not there."""
        with _answered():
            self.client.storage.get_bucket(self.name)

    def put(self, path: str, data: bytes, content_type: str, *, replace: bool) -> None:
        options = {
            "content-type": content_type,
            "upsert": "true" if replace else "false",
            # The storage puts "max-age=" before it.
            "cache-control": "3600" if path.startswith("garments/") else "3600, private",
        }
        with _answered(path, putting=True):
            self._bucket().upload(path, data, options)

    def copy(self, source: str, path: str) -> None:
        try:
            with _answered(path, putting=True):
                self._bucket().copy(source, path)
        except PictureMissing:
            raise PictureMissing(source) from None

    def get(self, path: str) -> bytes:
        if not path:
            raise PictureMissing(path)
        with _answered(path):
            data = cast(bytes, self._bucket().download(path))
        if _is_page(data):
            raise Unavailable("the storage answers with a page")
        return data

    def find(self, path: str) -> bytes | None:
        """Return an object, None if it is not there. Raises Unavailable."""
        try:
            return self.get(path)
        except PictureMissing:
            return None

    def remove(self, paths: Collection[str]) -> None:
        if not paths:
            return
        self.signed_urls.forget(paths)
        for some in batches(paths, PATHS_IN_A_CALL):
            with _answered():
                self._bucket().remove(some)
        self.signed_urls.forget(paths)  # who signed them meanwhile has kept them

    def sign(self, paths: Collection[str]) -> Mapping[str, SignedUrl]:
        elsewhere = {path for path in paths if path.startswith("https://")}
        wanted = sorted(set(paths) - elsewhere - {""})
        signed = self.signed_urls.find(wanted)
        missing = [path for path in wanted if path not in signed]
        if missing:
            signed |= self._sign(missing)
        never = datetime.max.replace(tzinfo=UTC)
        return signed | {url: SignedUrl(url, never) for url in elsewhere}

    def _sign(self, paths: list[str]) -> dict[str, SignedUrl]:
        """Sign in as few calls as the storage allows; an object that is not there has no URL."""
        expires_at = self.now().replace(microsecond=0) + timedelta(seconds=SIGNED_SECONDS)
        answers: list[Any] = []
        for some in batches(paths, PATHS_IN_A_CALL):
            with _answered():
                answers += self._bucket().create_signed_urls(some, SIGNED_SECONDS)
        signed = {
            answer["path"]: SignedUrl(self._public(answer["signedURL"]), expires_at)
            for answer in answers
            if not answer.get("error") and answer.get("signedURL")
        }
        self.signed_urls.remember(signed)
        return signed

    def _public(self, url: str) -> str:
        """Return a signed URL, which the client makes of its own address, as others open it."""
        return self.public_url + url[url.index("/storage/v1/") :]


@contextmanager
def _answered(path: str = "", *, putting: bool = False) -> Iterator[None]:
    """Turn what the storage refuses into what it means.

    Its status is often 400, with what it means in the body
    (https://supabase.com/docs/guides/storage/debugging/error-codes).
    """
    with unavailable_when_away():
        try:
            yield
        except StorageApiError as error:
            meant = meaning(error, path, putting=putting)
            if isinstance(meant, Unavailable):
                metrics.FAULTS.labels("storage").inc()
            raise meant from None


def meaning(error: StorageApiError, path: str, *, putting: bool) -> Exception:
    """What a refusal means: of the object at `path`, where the call is about one.

    What is not certain to be about the object is Unavailable, and may be repeated: a page of a
    proxy, which the client calls an internal error, says nothing of it.
    """
    status, text = str(error.status), f"{error.code} {error.message}".lower()
    if "bucket not found" in text or "nosuchbucket" in text:
        logger.error("there is no such bucket: migrate the database, or set STORAGE_BUCKET")
        return Unavailable("there is no such bucket: migrate the database, or set STORAGE_BUCKET")
    if error.code == "InternalError":
        logger.warning("Supabase storage is away: status=%s", status)
        return Unavailable(f"the storage is away ({status})")
    if status in ("401", "403") or any(word in text for word in ("jwt", "jws", "signature")):
        logger.error(
            "ALARM Supabase storage refuses SUPABASE_SERVICE_ROLE_KEY: %s", cleaned(error.code)
        )
        return Unavailable("the storage refuses SUPABASE_SERVICE_ROLE_KEY")
    if putting and status == "409":
        return NameTaken(path)
    if putting and (status in ("413", "415") or "invalidkey" in text or "mime" in text):
        logger.error("the storage refuses %s: %s", path.split("/")[0], cleaned(error.code))
        return PictureRefused(cleaned(f"{status} {error.code}"))
    if path and status == "404":
        return PictureMissing(path)
    logger.warning("Supabase storage is away: status=%s code=%s", status, cleaned(error.code))
    return Unavailable(f"the storage is away ({status})")


def _is_page(data: bytes) -> bool:
    """Whether this is HTML, which a proxy may send with status 200, and no picture."""
    start = data[:512].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))
