"""Pictures opened: their first bytes and headers are in bounds, and nothing is decoded yet."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pillow_heif
from PIL import Image, ImageFile

from vton.errors import Problem
from vton.imaging import png
from vton.imaging.colour import Colours
from vton.imaging.heif import is_turned

MAX_BYTES = 10 * 1024 * 1024
"""The largest photo, in bytes: the provider's own limit."""
MAX_PIXELS = 40_000_000
MAX_WEBP_PIXELS = 16_000_000
"""Pillow holds four copies of a WebP, 16 bytes a pixel; of everything else, 8 at most."""
HEIF_BYTES = 300_000_000
"""What decoding a HEIC may fill: all 40 megapixels of a phone's, 24 of a camera's with 10 bits."""
MIN_SIDE = 300
"""The smallest side, in pixels: the provider's own limit."""
MAX_SIDE = 2048
"""The long side, in pixels, of what is stored."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1")
"""Still pictures; `hevc` and `msf1` are films, `avif` is AVIF, which is refused."""

_DEPTH = 24
"""Where a PNG says of how many bits its values are."""

# The limit is ours and is checked on the header, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


def image_format(data: bytes) -> str:
    """Return which format the first bytes are of: JPEG, PNG, WEBP or HEIF.

    Raises Problem `photo_unsupported`.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    brands = data[8 : min(256, int.from_bytes(data[:4]))]
    if data[4:8] == b"ftyp" and brands.startswith(HEIF_BRANDS) and b"avif" not in brands:
        return "HEIF"
    raise Problem("photo_unsupported")


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """Open a picture whose header is in bounds; damage found on the way is a Problem."""
    if len(data) > MAX_BYTES:
        raise Problem("photo_too_large")
    format_name = image_format(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(data, format_name) as image:
                _check_sides(image.size)
                check_pixels(image)
                yield image
    except Problem:
        raise
    except Exception:  # decoders raise whatever damaged or hostile bytes lead them into
        raise Problem("photo_unreadable") from None


def _open(data: bytes, format_name: str) -> ImageFile.ImageFile:
    """Read a picture's header. HEIC stays unknown to the rest of Pillow: nothing is registered."""
    if format_name == "PNG":
        return open_png(png.without_metadata(data))
    if format_name != "HEIF":
        return Image.open(io.BytesIO(data), formats=[format_name])
    _check_whole(data)
    image: ImageFile.ImageFile = pillow_heif.HeifImageFile(  # type: ignore[no-untyped-call]
        io.BytesIO(data)
    )
    if not image.info["primary"]:  # the one that the file is about cannot be read
        raise Problem("photo_unreadable")
    _check_heif_bytes(image)
    image.info["orientation"] = 1 if is_turned(data) else image.info.get("original_orientation")
    nclx = image.info.get("nclx_profile")
    if nclx and not image.info.get("icc_profile"):
        image.info["colours"] = Colours.of_h273(
            nclx["color_primaries"], nclx["transfer_characteristics"]
        )
    return image


def open_png(data: bytes) -> ImageFile.ImageFile:
    """Read a PNG's header, and what Pillow leaves.

    That is what its colours mean, and the see-through one in as many bits as its pixels will have.
    """
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    with suppress(ArithmeticError):  # numbers that make no colours are no reason to refuse a photo
        if colours := Colours.of_png(data):
            image.info["colours"] = colours
            image.info.pop("icc_profile", None)  # `cICP` is asked first
    key, bits = image.info.get("transparency"), data[_DEPTH]
    if bits == 16 and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif bits < 8 and isinstance(key, int) and image.mode != "P":
        image.info["transparency"] = key * 255 // (2**bits - 1)
    return image


def _check_heif_bytes(image: Image.Image) -> None:
    """Raise Problem `photo_too_many_pixels` if a HEIC's planes, which libheif holds, are too large.

    That is 4 bytes a pixel and two more for each sample's byte, measured: 20 with 12 bits, alpha
    and whole chroma.
    """
    colours = 1.0 if image.mode.startswith("L") else 3.0
    samples = {420: 1.5, 422: 2.0}.get(image.info.get("chroma") or 0, colours) + ("A" in image.mode)
    sample_bytes = 1 if image.info["bit_depth"] == 8 else 2
    if image.width * image.height * (4 + 2 * samples * sample_bytes) > HEIF_BYTES:
        raise Problem("photo_too_many_pixels")


def _check_whole(data: bytes) -> None:
    """Raise Problem `photo_unreadable` if a HEIC was cut; libheif leaves out what is missing."""
    start = 0
    while start + 8 <= len(data):
        size, box = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        if size == 1:
            size = int.from_bytes(data[start + 8 : start + 16])
        if box in (b"meta", b"mdat") and start + size > len(data):
            raise Problem("photo_unreadable")
        if size < 8:  # the last box, or nothing that we know
            return
        start += size


def _check_sides(size: tuple[int, int]) -> None:
    stored_scale = min(1.0, MAX_SIDE / max(size))
    if min(size) * stored_scale < MIN_SIDE:
        raise Problem("photo_too_small")


def check_pixels(image: Image.Image) -> None:
    most = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if image.width * image.height > most:
        raise Problem("photo_too_many_pixels")
