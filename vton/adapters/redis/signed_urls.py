"""Signed URLs, handed out again for half of their life, so that browsers can cache pictures."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from redis import Redis

from vton.adapters.redis.cache import Cache
from vton.tryon.ports.storage import SignedUrl

SIGNED_SECONDS = 3600
"""How long a signed URL opens its object."""
CACHED_SECONDS = SIGNED_SECONDS // 2
"""How long it is handed out again."""


@dataclass(frozen=True)
class SignedUrlCache:
    """The URLs of one bucket, by path. `bucket_url` tells it from another project's."""

    cache: Cache
    bucket_url: str

    def key(self, path: str) -> str:
        """Return where an object's URL is: another project's or bucket's would not open here."""
        bucket = hashlib.sha256(self.bucket_url.encode()).hexdigest()[:12]
        return f"vton:signed:{bucket}:{path}"

    def find(self, paths: Collection[str]) -> dict[str, SignedUrl]:
        """Return the URLs that are known."""
        if not paths:
            return {}
        found = zip(paths, self.cache.read([self.key(path) for path in paths]), strict=True)
        known = ((path, load(value)) for path, value in found if value)
        return {path: url for path, url in known if url}

    def remember(self, signed: Mapping[str, SignedUrl]) -> None:
        """Hand these URLs out for a while."""

        def store(redis: Redis) -> None:
            with redis.pipeline(transaction=False) as pipeline:
                for path, url in signed.items():
                    pipeline.set(self.key(path), dump(url), ex=CACHED_SECONDS)
                pipeline.execute()

        self.cache.ask(store, None)

    def forget(self, paths: Collection[str]) -> None:
        """Hand out the URLs of these objects no more."""
        self.cache.require(lambda redis: redis.delete(*map(self.key, paths)), None)


def load(value: bytes) -> SignedUrl | None:
    """Return a URL from what is stored in Redis; None of what another version of us has written."""
    try:
        url, expires_at = json.loads(value)
        return SignedUrl(url, datetime.fromisoformat(expires_at))
    except (ValueError, TypeError):
        return None


def dump(signed: SignedUrl) -> str:
    """Return what is stored of a URL."""
    return json.dumps([signed.url, signed.expires_at.isoformat()])
