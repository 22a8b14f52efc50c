"""The photo, made safe."""

from typing import Protocol


class PhotoNormaliser(Protocol):
    """Turns an uploaded file into a picture that may be stored and shown."""

    def normalise_photo(self, data: bytes, owner: str) -> bytes:
        """Return a photo as an upright JPEG without metadata, of at most 2048 pixels a side.

        `data` is the file as it was uploaded, `owner` the id of the user who sent it. Raises
        Problem when it is no photo we take, and Unavailable when too many wait to be decoded.
        """
        ...
