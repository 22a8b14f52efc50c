"""The private bucket: photos, results and garments, and the URLs that open them for a while."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from storage3.exceptions import StorageApiError
from supabase import Client

from vton.adapters.redis.signed_urls import SIGNED_SECONDS, SignedUrlCache
from vton.adapters.supabase.client import unavailable_when_away
from vton.errors import Unavailable
from vton.tryon.ports.storage import NameTaken, PictureMissing, SignedUrl

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bucket:
    """Implements `vton.tryon.ports.storage.Pictures`."""

    client: Client
    name: str
    signed_urls: SignedUrlCache

    def _bucket(self) -> Any:
        return self.client.storage.from_(self.name)

    def check(self) -> None:
        """Raise Unavailable if the bucket is not there."""
        with unavailable_when_away():
            try:
                self.client.storage.get_bucket(self.name)
            except StorageApiError:
                raise Unavailable(f"there is no bucket {self.name}") from None

    def put(self, path: str, data: bytes, content_type: str, *, replace: bool) -> None:
        options = {"content-type": content_type, "upsert": "true" if replace else "false"}
        with unavailable_when_away():
            try:
                self._bucket().upload(path, data, options)
            except StorageApiError as error:
                if str(error.status) == "409":
                    raise NameTaken(path) from None
                logger.error("the storage refuses %s: %s", path.split("/")[0], error.code)
                raise Unavailable from None

    def get(self, path: str) -> bytes:
        with unavailable_when_away():
            try:
                return cast(bytes, self._bucket().download(path))
            except StorageApiError as error:
                if str(error.status) in ("404", "400"):
                    raise PictureMissing(path) from None
                raise

    def remove(self, paths: Collection[str]) -> None:
        if not paths:
            return
        self.signed_urls.forget(paths)
        with unavailable_when_away():
            self._bucket().remove(list(paths))

    def sign(self, paths: Collection[str]) -> Mapping[str, SignedUrl]:
        elsewhere = {path for path in paths if path.startswith("https://")}
        wanted = sorted(set(paths) - elsewhere)
        signed = self.signed_urls.find(wanted)
        missing = [path for path in wanted if path not in signed]
        if missing:
            signed |= self._sign(missing)
        never = datetime.max.replace(tzinfo=UTC)
        return signed | {url: SignedUrl(url, never) for url in elsewhere}

    def _sign(self, paths: list[str]) -> dict[str, SignedUrl]:
        """Sign in one call; an object that is not there has no URL."""
        expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SIGNED_SECONDS)
        with unavailable_when_away():
            answers = self._bucket().create_signed_urls(paths, SIGNED_SECONDS)
        signed = {
            answer["path"]: SignedUrl(answer["signedURL"], expires_at)
            for answer in answers
            if not answer.get("error") and answer.get("signedURL")
        }
        self.signed_urls.remember(signed)
        return signed
