"""Pictures made safe: decoded once, upright, without metadata, in bounds.

A picture is somebody else's bytes, and some kilobytes of JPEG, PNG or HEIC can keep a decoder
busy for hours (scans without end, grids of grids). So it is decoded by `python -m vton.imaging`
in a process of its own, which may use so much time and memory, has no secrets in its
environment, and leaves this process free to answer meanwhile. That costs 70 ms of CPU; what is
soon done is done here: a JPEG whose markers show that it is an ordinary one, as phones send it,
and a result of ordinary size.
"""

import io
import math
import os
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pillow_heif
from PIL import Image, ImageCms, ImageFile, ImageOps

from vton import png
from vton.errors import Problem, Unavailable
from vton.provenance import mark_png

MAX_BYTES = 10 * 1024 * 1024
"""The largest photo, in bytes: the provider's own limit."""
MAX_PIXELS = 40_000_000
MAX_WEBP_PIXELS = 16_000_000
"""Pillow holds four copies of a WebP, 16 bytes a pixel; of everything else, 8 at most."""
MIN_SIDE = 300
"""The smallest side, in pixels: the provider's own limit."""
MAX_SIDE = 2048
"""The long side, in pixels, of what is stored."""
DCT_SIDE = 1280
"""A large JPEG is decoded at the DCT scale that leaves at least so many pixels."""
FORMATS = ("JPEG", "PNG", "WEBP")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1")
"""Still pictures; `hevc` and `msf1` are films, `avif` is AVIF, which is refused."""
JPEG_QUALITY = 90

CPU_SECONDS = 5
"""Twice and more what the slowest 40-megapixel photo takes (1.3 s, measured)."""
MEMORY_BYTES = 1024**3
"""Address space of a process that decodes; the worst photo fills 340 MB (progressive CMYK)."""
WALL_SECONDS = 10
"""For waiting until it may begin, and for decoding; Heroku ends a request after 30."""
REFUSED_SECONDS = 60
"""How long no photo that may be long is taken of somebody whose last one had to be ended."""
REFUSED = 3
"""Exit status of a process that writes a Problem's code instead of a JPEG."""

QUICK_MARKERS = frozenset((0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE))
"""What stands before the pixels of an ordinary JPEG. Others have no length, or hide something."""
QUICK_HEAD_BYTES = 128 * 1024
"""EXIF of 800 KB, tag behind tag, takes seconds to read."""
QUICK_PROFILE_BYTES = 4096
"""The colour profiles of cameras have 600 to 3200 bytes; a long one may be endless work, and so
may one with programs (`mpet`) in it, however short."""
QUICK_CHUNKS = 5000
"""A PNG of 20 MB has 2500 chunks as libpng writes them; millions of empty ones can be had."""
QUICK_SEGMENTS = 100
QUICK_SCANS = 12
QUICK_PIXELS = 13_000_000
"""What an ordinary JPEG has at most: segments before its pixels, and scans and pixels if it is
a progressive one."""

BAND_ROWS = 64
"""Transparent pictures are made plain so many rows at a time."""

_decoding = threading.BoundedSemaphore(min(2, os.cpu_count() or 1))
"""More pictures decoded at once only take memory: a small dyno shows all of its host's cores."""
_places = threading.BoundedSemaphore(6)
"""For those that are decoded and those that wait for it, each with its bytes in memory."""
_owners: set[str | None] = set()
"""Whose photos are being decoded that may be long."""
_refused_until: dict[str, float] = {}
"""Until when (`time.monotonic`) no such photo is taken of whom, since the last one was ended."""

# The limit is ours and is checked on the header, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


def normalise_photo(data: bytes, owner: str | None = None) -> bytes:
    """Return a photo as an upright, metadata-free JPEG of at most 2048 pixels a side.

    `data` is what was uploaded, whatever its name or declared type says. Raises Problem
    `photo_too_large`, `photo_unsupported`, `photo_unreadable`, `photo_too_small` or
    `photo_too_many_pixels`, Unavailable when too many others wait to be decoded, and
    `rate_limited` when a photo of the same `owner` (a user's id) is being decoded that may be
    long, or had to be ended a moment ago: else one user could keep everybody else waiting.
    """
    if len(data) > MAX_BYTES:
        raise Problem("photo_too_large")
    if _kind(data) == "JPEG" and _is_quick(data):
        return photo_to_jpeg(data)
    return _in_child("photo", data, owner)


def normalise_garment(data: bytes) -> bytes:
    """Return a garment's picture as a metadata-free PNG on white.

    Bounds and what is raised are those of `normalise_photo`.
    """
    return _in_child("garment", data)


def verify_result(data: bytes) -> bytes:
    """Return a result as a PNG with the mark that AI made it, and no other metadata.

    A PNG keeps its pixels' bytes, anything else is encoded as one. Its content type is not
    trusted (the vendor documents `application/octet-stream`). Raises Problem when `data` is not
    a whole picture in bounds, and Unavailable as `normalise_photo` does.
    """
    if _is_quick_result(data):
        with _decoding:
            return _result_to_png(data)
    return _in_child("result", data)


# -- a process of its own ----------------------------------------------------------------


def _in_child(kind: str, data: bytes, owner: str | None = None) -> bytes:
    """Have a picture of that kind (of `_CONVERSIONS`) converted within time and memory."""
    left = _refused_until.get(owner, 0.0) - time.monotonic() if owner else 0.0
    if owner in _owners or left > 0:
        raise Problem("rate_limited", retry_after=max(1, math.ceil(left)))
    if not _places.acquire(blocking=False):
        raise Unavailable
    if owner:
        _owners.add(owner)
    try:
        if not _decoding.acquire(timeout=WALL_SECONDS):
            raise Unavailable
        try:
            child = subprocess.run(  # noqa: S603  # `kind` is ours
                [sys.executable, "-m", "vton.imaging", kind],
                input=data,
                capture_output=True,
                timeout=WALL_SECONDS,
                env=_child_environ(),
                check=False,
            )
        except subprocess.TimeoutExpired:  # the machine is too busy: CPU_SECONDS are not used up
            _refuse_for_a_while(owner)
            raise Unavailable from None
        finally:
            _decoding.release()
    finally:
        _places.release()
        _owners.discard(owner)
    if child.returncode == REFUSED:
        raise Problem(child.stdout.decode())
    if child.returncode != 0:  # killed for its time or memory, or crashed
        _refuse_for_a_while(owner)
        raise Problem("photo_unreadable")
    return child.stdout


def _refuse_for_a_while(owner: str | None) -> None:
    """Else a few accounts with such photos could keep all others' waiting, one after another."""
    now = time.monotonic()
    for other in [other for other, until in list(_refused_until.items()) if until < now]:
        _refused_until.pop(other, None)
    if owner:
        _refused_until[owner] = now + REFUSED_SECONDS


def _is_quick(data: bytes) -> bool:
    """Whether a JPEG's markers (ITU T.81, annex B) show that it is soon decoded.

    A baseline picture has a scan for each component at most, and a usual progressive one about
    ten, each of which goes over all of its pixels.
    """
    frame, width, height, profile, at = 0, 0, 0, 0, 2
    for _ in range(QUICK_SEGMENTS):
        if at + 4 > len(data):
            return False
        start, marker, length = data[at], data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if start != 0xFF or marker not in QUICK_MARKERS or length < 2 or at > QUICK_HEAD_BYTES:
            return False
        if at + 2 + length >= len(data):
            return False
        if marker == 0xE2:
            profile += length
        if marker in (0xC0, 0xC1, 0xC2):
            frame = marker
            height = int.from_bytes(data[at + 5 : at + 7])
            width = int.from_bytes(data[at + 7 : at + 9])
        if profile > QUICK_PROFILE_BYTES:
            return False
        if marker == 0xDA:
            if b"mpet" in data[:at]:
                return False
            scans = data.count(b"\xff\xda", at)
            if frame == 0xC2 or scans > 1:  # all of its coefficients are held in memory
                most = QUICK_SCANS if frame == 0xC2 else 4
                return scans <= most and width * height <= QUICK_PIXELS
            return frame != 0
        at += 2 + length
    return False


def _child_environ() -> dict[str, str]:
    """What Python needs to start; our keys are no business of a decoder."""
    kept = {k: v for k in ("LD_LIBRARY_PATH", "PYTHONHOME") if (v := os.environ.get(k))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[1])}


def _is_quick_result(data: bytes) -> bool:
    """Whether a result is a PNG or an ordinary JPEG, of ordinary size."""
    try:
        if data.startswith(png.SIGNATURE) and any(islice(png.chunks(data), QUICK_CHUNKS, None)):
            return False
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            ordinary = image.format == "PNG" or _is_quick(data)
            return ordinary and image.width * image.height <= QUICK_PIXELS
    except Exception:  # decoders raise whatever damaged or hostile bytes lead them into
        return False


def _child(kind: str) -> None:
    """Read a picture from standard input, write it converted or a Problem's code; bounded."""
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
    ):
        with suppress(ValueError, OSError):  # macOS refuses to limit the address space
            resource.setrlimit(limit, (most, most))
    try:
        sys.stdout.buffer.write(_CONVERSIONS[kind](sys.stdin.buffer.read()))
    except Problem as problem:
        sys.stdout.write(problem.code)
        sys.exit(REFUSED)


# -- conversions -------------------------------------------------------------------------


def photo_to_jpeg(data: bytes) -> bytes:
    """Do what `normalise_photo` promises, here and without a bound on time."""
    with _opened(data) as image:
        image.draft("RGB", _draft_size(image.size))
        return encode_jpeg(_flat(_upright(_shrunk(image))))


def _garment_to_png(data: bytes) -> bytes:
    with _opened(data) as image:
        output = io.BytesIO()
        _flat(_upright(_shrunk(image))).save(output, "PNG", optimize=True)
        return output.getvalue()


def _result_to_png(data: bytes) -> bytes:
    """Do what `verify_result` promises, here and without a bound on time."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_pixels(image)
            if image.format != "PNG":
                image.load()
                plain = (
                    image if image.mode == "L" else _to_srgb(image, image.info.get("icc_profile"))
                )
                return mark_png(png.encode(plain))
            if not png.check_pixels(data):
                image.load()
            return mark_png(data)
    except Problem:
        raise
    except Exception:
        raise Problem("photo_unreadable") from None


_CONVERSIONS = {"photo": photo_to_jpeg, "garment": _garment_to_png, "result": _result_to_png}


def encode_jpeg(image: Image.Image) -> bytes:
    """Return `image` as a JPEG without metadata."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=JPEG_QUALITY)
    return output.getvalue()


def _kind(data: bytes) -> str:
    """Which format the first bytes are of. Raises Problem `photo_unsupported`."""
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
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open a picture whose header is in bounds; damage found on the way is a Problem."""
    if len(data) > MAX_BYTES:
        raise Problem("photo_too_large")
    kind = _kind(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(data, kind) as image:
                _check_sides(image.size)
                _check_pixels(image)
                yield image
    except Problem:
        raise
    except Exception:  # decoders raise whatever damaged or hostile bytes lead them into
        raise Problem("photo_unreadable") from None


def _open(data: bytes, kind: str) -> ImageFile.ImageFile:
    """Read a picture's header. HEIC stays unknown to the rest of Pillow: nothing is registered."""
    if kind != "HEIF":
        return Image.open(io.BytesIO(data), formats=[kind])
    _check_whole(data)
    image: ImageFile.ImageFile = pillow_heif.HeifImageFile(  # type: ignore[no-untyped-call]
        io.BytesIO(data)
    )
    if not image.info["primary"]:  # the one that the file is about cannot be read
        raise Problem("photo_unreadable")
    return image


def _check_whole(data: bytes) -> None:
    """Raise Problem `photo_unreadable` if a HEIC was cut; libheif leaves out what is missing."""
    start = 0
    while start + 8 <= len(data):
        size, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        if size == 1:
            size = int.from_bytes(data[start + 8 : start + 16])
        if kind in (b"meta", b"mdat") and start + size > len(data):
            raise Problem("photo_unreadable")
        if size < 8:  # the last box, or nothing that we know
            return
        start += size


def _check_sides(size: tuple[int, int]) -> None:
    stored_scale = min(1.0, MAX_SIDE / max(size))
    if min(size) * stored_scale < MIN_SIDE:
        raise Problem("photo_too_small")


def _check_pixels(image: Image.Image) -> None:
    most = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if image.width * image.height > most:
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


def _shrunk(image: Image.Image) -> Image.Image:
    """Return `image` within 2048 pixels a side, on white where it was transparent.

    Pillow would copy a whole picture to scale its transparency or palette, so these are made
    plain and smaller in bands: 40 megapixels take 230 MB so, and 530 MB otherwise.
    """
    image.load()
    if image.mode not in ("1", "P") and not _transparent(image):
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return image
    factor = max(1, max(image.size) // MAX_SIDE)
    width, height = image.size
    plain = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = BAND_ROWS * factor
    for top in range(0, height, rows):
        band = _on_white(image.crop((0, top, width, min(height, top + rows))))
        plain.paste(band.reduce(factor), (0, top // factor))
    plain.info = image.info
    plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return plain


def _transparent(image: Image.Image) -> bool:
    if image.mode.startswith("I"):  # 16 bits: Pillow would clip them on the way to RGBA
        return False
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _on_white(image: Image.Image) -> Image.Image:
    if not _transparent(image):
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture by its EXIF; libheif has turned a HEIC already, by its container."""
    if image.format != "HEIF":
        with suppress(Exception):  # EXIF that cannot be read is no reason to refuse a photo
            ImageOps.exif_transpose(image, in_place=True)
    return image


def _flat(image: Image.Image) -> Image.Image:
    """Return 8-bit sRGB pixels without metadata."""
    icc = image.info.get("icc_profile")
    if image.mode in ("I;16", "I;16B", "I"):
        image = image.point(lambda value: value / 256).convert("L")
    image = _to_srgb(image, icc)
    image.info = {}  # whatever an encoder would write of it
    return image


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
    return image if image.mode == "RGB" else image.convert("RGB")


if __name__ == "__main__":
    _child(sys.argv[1])
