"""The private bucket of photos and results."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that opens a private object until `expires_at`."""

    url: str
    expires_at: datetime


class Pictures(Protocol):
    """The bucket. Every method raises Unavailable when the storage is away."""

    def put(self, path: str, data: bytes, content_type: str, *, replace: bool) -> None:
        """Store an object.

        Raises NameTaken if it is there and must not be replaced, and PictureRefused where it will
        never be taken.
        """
        ...

    def copy(self, source: str, path: str) -> None:
        """Store what the object `source` has under `path`, too.

        Raises PictureMissing where there is no such object, and NameTaken as `put` does.
        """
        ...

    def check(self) -> None:
        """Raise Unavailable where there is no such bucket; removing from it would answer well."""
        ...

    def get(self, path: str) -> bytes:
        """Return an object's bytes. Raises PictureMissing."""
        ...

    def remove(self, paths: Collection[str]) -> None:
        """Remove the objects that are there, and what was signed for them."""
        ...

    def sign(self, paths: Collection[str]) -> Mapping[str, SignedUrl]:
        """Return a URL for each object that is there, good for half an hour to an hour."""
        ...


class NameTaken(Exception):
    """An object of that name is there already."""


class PictureRefused(Exception):
    """The storage does not take an object: it is too large, say, or of a type it does not know."""


class PictureMissing(Exception):
    """There is no object of that name."""
