"""Pictures as they come in a submit: an http(s) URL or raw base64, checked as the vendor says."""

from __future__ import annotations

import base64
import binascii
import io
import re
import time

import requests
from PIL import Image
from requests.adapters import HTTPAdapter

MAX_BYTES = 10_000_000  # documented: "not exceeding 10MB"
MIN_SIDE = 300  # documented: "width and height not less than 300px"
MAX_PIXELS = 60_000_000  # not documented; keeps the simulator's own memory in bounds


_session = requests.Session()  # keeps connections: one for each picture costs more than it does
_session.trust_env = False
for _scheme in ("http://", "https://"):
    _session.mount(_scheme, HTTPAdapter(pool_maxsize=32))


class IntakeError(Exception):
    """A submit that is answered with an error: status, and a message that names the field."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def read_picture(name: str, value: object) -> bytes:
    """The bytes of a JPEG or PNG given in field `name`; IntakeError says what is wrong with it."""
    if not isinstance(value, str) or not value:
        raise IntakeError(400, f"{name} is required")
    content = _fetch(name, value) if re.match(r"https?://", value) else _decode(name, value)
    if len(content) > MAX_BYTES:
        raise IntakeError(400, f"{name}: image file size cannot exceed 10MB")
    _check(name, content)
    return content


def _decode(name: str, value: str) -> bytes:
    """Base64 without a `data:` prefix and without line breaks."""
    if value.startswith("data:"):
        raise IntakeError(400, f"{name}: base64 must not have a data: prefix")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise IntakeError(400, f"{name}: neither a URL nor valid base64") from None


def _fetch(name: str, url: str, seconds: float = 10.0) -> bytes:
    """Fetch in bounds. The real gateway was seen to answer 500 for a URL it cannot fetch."""
    limit = time.monotonic() + seconds
    content = bytearray()
    try:
        with _session.get(url, stream=True, timeout=(3, 5)) as reply:
            reply.raise_for_status()
            for chunk in reply.iter_content(65_536):
                content += chunk
                if len(content) > MAX_BYTES or time.monotonic() > limit:
                    break
    except requests.RequestException:
        raise IntakeError(500, f"{name}: the URL could not be fetched") from None
    return bytes(content)


def _check(name: str, content: bytes) -> None:
    """Read the header alone: format and size."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise IntakeError(400, f"{name}: image format must be jpg, jpeg or png") from None
    if min(width, height) < MIN_SIDE:
        raise IntakeError(400, f"{name}: image width and height must be at least 300px")
    if width * height > MAX_PIXELS:
        raise IntakeError(400, f"{name}: image is too large")
