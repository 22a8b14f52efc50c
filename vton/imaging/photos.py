"""Pictures made safe: decoded once, upright, without metadata, in bounds.

What is soon decoded is decoded here: a JPEG whose markers show that it is an ordinary one, as
phones send it, and a result of ordinary size. Everything else goes to the sandbox, and so does
what could not be read here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from vton.errors import Problem
from vton.imaging.convert import photo_to_jpeg, result_to_png, thumbnail_of
from vton.imaging.likeness import kind_of_result
from vton.imaging.opening import MAX_BYTES, image_format
from vton.imaging.sandbox import Sandbox
from vton.imaging.triage import is_ordinary_jpeg, is_ordinary_result


@dataclass(frozen=True)
class PictureConverter:
    """What features call to make somebody else's picture safe."""

    sandbox: Sandbox

    def may_take_long(self, data: bytes) -> bool:
        """Whether a photo goes to the sandbox.

        Raises Problem `photo_too_large` or `photo_unsupported`.
        """
        if len(data) > MAX_BYTES:
            raise Problem("photo_too_large")
        return image_format(data) != "JPEG" or not is_ordinary_jpeg(data)

    def normalise_photo(self, data: bytes, owner: str | None = None) -> bytes:
        """Return a photo as an upright, metadata-free JPEG of at most 2048 pixels a side.

        `data` is what was uploaded, whatever its name or declared type says. Raises Problem
        `photo_too_large`, `photo_unsupported`, `photo_unreadable`, `photo_too_small` or
        `photo_too_many_pixels`, and what `Sandbox.convert` raises for this `owner` (a user's id).
        """
        if not self.may_take_long(data):
            with _untidy_ones(), self.sandbox.counted(owner):
                return photo_to_jpeg(data)
        return self.sandbox.convert("photo", data, owner)

    def normalise_garment(self, data: bytes) -> bytes:
        """Return a garment's picture as a metadata-free PNG on white.

        Bounds and what is raised are those of `normalise_photo`.
        """
        return self.sandbox.convert("garment", data)

    def verify_result(self, data: bytes) -> bytes:
        """Return a result as a PNG with the mark that AI made it, and no other metadata.

        A PNG keeps its pixels' bytes, anything else is encoded as one. Its content type is not
        trusted (the vendor documents `application/octet-stream`). Raises Problem when `data` is
        not a whole picture in bounds, and Unavailable as the sandbox does.
        """
        if is_ordinary_result(data):
            with _untidy_ones(), self.sandbox.slot():
                return result_to_png(data)
        return self.sandbox.convert("result", data)

    def thumbnail(self, picture: bytes) -> bytes:
        """Return a stored result or garment, a PNG, as a WebP of at most 384 pixels a side.

        Raises Problem when it is no picture, and Unavailable as the sandbox does.
        """
        if is_ordinary_result(picture):
            with self.sandbox.slot():
                return thumbnail_of(picture)
        return self.sandbox.convert("thumbnail", picture)

    def kind_of_result(
        self, result: bytes, photo: bytes
    ) -> Literal["new", "photo", "blank"] | None:
        """Return whether a stored result is new, the stored photo itself, or blank.

        None of a result that is not plainly soon decoded, and where it cannot be told.
        """
        if not is_ordinary_result(result):
            return None
        try:
            with self.sandbox.slot():
                return kind_of_result(result, photo)
        except Exception:  # decoders raise whatever damaged bytes lead them into
            return None


@contextmanager
def _untidy_ones() -> Iterator[None]:
    """Leave what cannot be read to the sandbox, which mends what is only untidy."""
    try:
        yield
    except Problem as problem:
        if problem.code != "photo_unreadable":
            raise
