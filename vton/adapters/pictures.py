"""The private bucket: photos, results and garments, and the URLs that open them for a while."""

import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError
from storage3.exceptions import StorageApiError
from supabase import Client

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

    def __init__(self, client: Client, bucket: str, redis: Redis) -> None:
        self._client = client
        self._name = bucket
        self._redis = redis

    def _bucket(self) -> Any:
        return self._client.storage.from_(self._name)

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
        try:
            self._redis.delete(*map(_key, paths))
        except RedisError:
            logger.warning("signed URLs of removed objects stay in Redis until they lapse")
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
        try:
            values = self._redis.mget([_key(path) for path in paths]) if paths else []
        except RedisError:
            return {}
        found = zip(paths, cast(list[bytes | None], values), strict=True)
        return {path: _load(value) for path, value in found if value}

    def _keep(self, signed: Mapping[str, SignedUrl]) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for path, url in signed.items():
                    pipeline.set(_key(path), _dump(url), ex=KEPT_SECONDS)
                pipeline.execute()
        except RedisError:
            logger.warning("signed URLs are not kept: Redis is away")


def _key(path: str) -> str:
    return f"vton:signed:{path}"


def _dump(signed: SignedUrl) -> str:
    return json.dumps([signed.url, signed.expires_at.isoformat()])


def _load(value: bytes) -> SignedUrl:
    url, expires_at = json.loads(value)
    return SignedUrl(url, datetime.fromisoformat(expires_at))
