"""The private bucket: photos, results and garments, and the URLs that open them for a while."""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from redis import Redis
from storage3.exceptions import StorageApiError
from supabase import Client

from vton.adapters.cache import Cache
from vton.adapters.supabase import unavailable_when_away
from vton.errors import Unavailable
from vton.tryon.ports import NameTaken, PictureMissing, SignedUrl

logger = logging.getLogger(__name__)

SIGNED_SECONDS = 3600
"""How long a signed URL opens its object."""
KEPT_SECONDS = SIGNED_SECONDS // 2
"""How long it is handed out again, so that browsers can cache what it opens."""


class Bucket:
    """Implements `vton.tryon.ports.Pictures`. Signed URLs are kept in Redis for half their life."""

    def __init__(self, client: Client, bucket: str, cache: Cache) -> None:
        self._client = client
        self._name = bucket
        self._cache = cache
        self._prefix = f"vton:signed:{_digest(f'{client.supabase_url}/{bucket}')}:"

    def key(self, path: str) -> str:
        """Where an object's URL is kept: another project's or bucket's would not open here."""
        return self._prefix + path

    @staticmethod
    def load(value: bytes) -> SignedUrl:
        """Return a URL as it is kept."""
        url, expires_at = json.loads(value)
        return SignedUrl(url, datetime.fromisoformat(expires_at))

    def _bucket(self) -> Any:
        return self._client.storage.from_(self._name)

    def check(self) -> None:
        """Raise Unavailable if the bucket is not there."""
        with unavailable_when_away():
            try:
                self._client.storage.get_bucket(self._name)
            except StorageApiError:
                logger.error("there is no bucket %s: push the migrations", self._name)
                raise Unavailable from None

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
        self._cache.insist(lambda redis: redis.delete(*map(self.key, paths)), None)
        with unavailable_when_away():
            self._bucket().remove(list(paths))

    def sign(self, paths: Collection[str]) -> Mapping[str, SignedUrl]:
        elsewhere = {path for path in paths if path.startswith("https://")}
        wanted = sorted(set(paths) - elsewhere)
        signed = self._kept(wanted)
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
        self._keep(signed)
        return signed

    def _kept(self, paths: list[str]) -> dict[str, SignedUrl]:
        if not paths:
            return {}
        keys = [self.key(path) for path in paths]
        found = zip(paths, self._cache.read(keys), strict=True)
        return {path: self.load(value) for path, value in found if value}

    def _keep(self, signed: Mapping[str, SignedUrl]) -> None:
        def keep(redis: Redis) -> None:
            with redis.pipeline(transaction=False) as pipeline:
                for path, url in signed.items():
                    pipeline.set(self.key(path), _dump(url), ex=KEPT_SECONDS)
                pipeline.execute()

        self._cache.ask(keep, None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _dump(signed: SignedUrl) -> str:
    return json.dumps([signed.url, signed.expires_at.isoformat()])
