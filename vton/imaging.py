"""Pictures made safe: decoded once, upright, without metadata, in bounds."""

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vton.errors import Problem
from vton.provenance import mark_png

MAX_BYTES = 10 * 1024 * 1024
"""The largest photo, in bytes: the provider's own limit."""
MAX_PIXELS = 40_000_000
MIN_SIDE = 300
"""The smallest side, in pixels: the provider's own limit."""
MAX_SIDE = 2048
"""The long side, in pixels, of what is stored."""
DCT_SIDE = 1280
"""A large JPEG is decoded at the DCT scale that leaves at least so many pixels."""
FORMATS = ("JPEG", "PNG", "WEBP")
JPEG_QUALITY = 90

_decoding = threading.BoundedSemaphore(os.cpu_count() or 1)
"""More results decoded at once than there are cores only take memory."""

# The limit is ours and is checked on the header, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


def normalise_photo(data: bytes) -> bytes:
    """Return a photo as an upright, metadata-free JPEG of at most 2048 pixels a side.

    `data` is what was uploaded, whatever its name or declared type says. Raises Problem
    `photo_too_large`, `photo_unsupported`, `photo_unreadable`, `photo_too_small` or
    `photo_too_many_pixels`.
    """
    with _opened(data) as image:
        image.draft("RGB", _draft_size(image.size))
        return encode_jpeg(_flat(_upright(image)))


def normalise_garment(data: bytes) -> bytes:
    """Return a garment's picture as a metadata-free PNG on white, in the same bounds."""
    with _opened(data) as image:
        output = io.BytesIO()
        _flat(_upright(image)).save(output, "PNG", optimize=True)
        return output.getvalue()


def encode_jpeg(image: Image.Image) -> bytes:
    """Return `image` as a JPEG without metadata."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=JPEG_QUALITY)
    return output.getvalue()


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open a picture whose header is in bounds; damage found while decoding is a Problem."""
    if len(data) > MAX_BYTES:
        raise Problem("photo_too_large")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError):
        raise Problem("photo_unsupported") from None
    _check_size(image.size)
    try:
        with image:
            yield image
    except Exception:  # decoders raise whatever damaged or hostile bytes lead them into
        raise Problem("photo_unreadable") from None


def _check_size(size: tuple[int, int]) -> None:
    stored_scale = min(1.0, MAX_SIDE / max(size))
    if min(size) * stored_scale < MIN_SIDE:
        raise Problem("photo_too_small")
    if size[0] * size[1] > MAX_PIXELS:
        raise Problem("photo_too_many_pixels")


def _draft_size(size: tuple[int, int]) -> tuple[int, int]:
    """The smallest size we want of a JPEG: `draft` takes the DCT scale just above it.

    Decoding at 1/2, 1/4 or 1/8 is done inside the JPEG decoder and costs a fraction. A scale
    that lands between 1280 and 2048 pixels needs no resampling afterwards.
    """
    long_side = max(size)
    if long_side <= MAX_SIDE:
        return size
    return max(1, size[0] * DCT_SIDE // long_side), max(1, size[1] * DCT_SIDE // long_side)


def _upright(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    upright.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return upright


def _flat(image: Image.Image) -> Image.Image:
    """Return 8-bit sRGB pixels on white, without alpha, palette or metadata."""
    icc = image.info.get("icc_profile")
    if image.mode in ("I;16", "I;16B", "I"):
        image = image.point(lambda value: value / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        image = white
    image = _to_srgb(image, icc)
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    return clean


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert to sRGB by the embedded colour profile; phones record Display P3."""
    if icc and image.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # an unusable profile is no reason to refuse a photo
    return image.convert("RGB")


def verify_result(data: bytes) -> bytes:
    """Return a result as a PNG with the mark that AI made it, and no other metadata.

    A PNG keeps its pixels' bytes, anything else is encoded as one.

    Raises Problem when `data` is not a whole picture in bounds; its content type is not
    trusted (the vendor documents `application/octet-stream`).
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Problem("photo_too_many_pixels")
            with _decoding:
                image.load()
                if image.format != "PNG":
                    output = io.BytesIO()
                    image.convert("RGB").save(output, "PNG", compress_level=1)
                    data = output.getvalue()
            return mark_png(data)
    except Problem:
        raise
    except Exception:
        raise Problem("photo_unreadable") from None
