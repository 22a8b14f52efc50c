"""The photo, made safe, and what came of it."""

from typing import Literal, Protocol

ResultKind = Literal["new", "photo", "blank"]
"""What a result is: a picture, the photo as it was, or nothing."""


class PhotoNormaliser(Protocol):
    """Turns an uploaded file into a picture that may be stored and shown."""

    def may_take_long(self, data: bytes) -> bool:
        """Whether a photo is not plainly soon decoded. Raises Problem if it is none of ours."""
        ...

    def normalise_photo(self, data: bytes, owner: str) -> bytes:
        """Return a photo as an upright JPEG without metadata, of at most 2048 pixels a side.

        `data` is the file as it was uploaded, `owner` the id of the user who sent it. Raises
        Problem when it is no photo we take, and Unavailable when too many wait to be decoded.
        """
        ...


class Thumbnails(Protocol):
    """Makes small pictures of results."""

    def thumbnail(self, picture: bytes) -> bytes:
        """Return a stored result as a small WebP. Raises Problem, and Unavailable."""
        ...


class ResultComparer(Protocol):
    """Looks at what a provider has made."""

    def kind_of_result(self, result: bytes, photo: bytes) -> ResultKind | None:
        """Return what a stored result is, beside the stored photo. None where that is not known."""
        ...
