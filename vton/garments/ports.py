"""What garments need of the world outside; the adapters provide it."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from vton.garments.model import Garment


class GarmentTable(Protocol):
    """The rows of `garments`. Both methods raise Unavailable when the database is away."""

    def list(
        self, category: str | None, limit: int | None, before: tuple[datetime, str] | None
    ) -> list[Garment]:
        """Return garments, newest first; all of them where `limit` is None."""
        ...

    def save(self, name: str, brand: str | None, category: str | None, picture: str) -> None:
        """Insert a garment, or change the one that has this picture."""
        ...


class Signed(Protocol):
    """A URL that opens a private object for a while."""

    @property
    def url(self) -> str:
        """The URL."""
        ...


class Pictures(Protocol):
    """The private bucket. All methods raise Unavailable when the storage is away."""

    def put(self, path: str, data: bytes, content_type: str, *, replace: bool) -> None:
        """Store an object."""
        ...

    def find(self, path: str) -> bytes | None:
        """Return an object, None if it is not there."""
        ...

    def sign(self, paths: Collection[str]) -> Mapping[str, Signed]:
        """Return a URL, good for half an hour at least, for each object that is there."""
        ...


class GarmentNormaliser(Protocol):
    """Turns a file into a garment's picture that may be stored and shown."""

    def normalise_garment(self, data: bytes) -> bytes:
        """Return a picture as a PNG on white, without metadata. Raises Problem, Unavailable."""
        ...

    def thumbnail(self, picture: bytes) -> bytes:
        """Return a small WebP of such a picture. Raises Problem, Unavailable."""
        ...
