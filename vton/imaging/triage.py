"""Which pictures are soon decoded, as their bytes show without decoding them.

Some kilobytes of JPEG or PNG can keep a decoder busy for hours (scans without end, tags behind
tags). What is not plainly ordinary goes to the sandbox.
"""

import io
from itertools import islice

from PIL import Image

from vton.imaging import png

ORDINARY_MARKERS = frozenset((0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE))
"""What stands before the pixels of an ordinary JPEG. Others have no length, or hide something."""
ORDINARY_HEAD_BYTES = 128 * 1024
"""EXIF of 800 KB, tag behind tag, takes seconds to read."""
ORDINARY_PROFILE_BYTES = 4096
"""The colour profiles of cameras have 600 to 3200 bytes; a long one may be endless work, and so
may one with programs (`mpet`) in it, however short."""
ORDINARY_CHUNKS = 5000
"""A PNG of 20 MB has 2500 chunks as libpng writes them; millions of empty ones can be had."""
ORDINARY_SEGMENTS = 100
ORDINARY_SCANS = 12
ORDINARY_PIXELS = 13_000_000
ORDINARY_SCANNED = 32_000_000
"""What an ordinary JPEG has at most: segments before its pixels, and if it is a progressive one
scans, and pixels in all of them, which take 0.1 s: 3 megapixels with ten scans."""


def is_ordinary_jpeg(data: bytes) -> bool:
    """Whether a JPEG's markers (ITU T.81, annex B) show that it is soon decoded.

    A baseline picture has a scan for each component at most, and a usual progressive one about
    ten, each of which goes over all of its pixels.
    """
    frame, width, height, colours, profile, at = 0, 0, 0, 0, 0, 2
    for _ in range(ORDINARY_SEGMENTS):
        if at + 4 > len(data):
            return False
        start, marker, length = data[at], data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if (
            start != 0xFF
            or marker not in ORDINARY_MARKERS
            or length < 2
            or at > ORDINARY_HEAD_BYTES
        ):
            return False
        if at + 2 + length >= len(data):
            return False
        if marker == 0xE2:
            profile += length
        if marker in (0xC0, 0xC1, 0xC2):
            frame = marker
            height = int.from_bytes(data[at + 5 : at + 7])
            width, colours = int.from_bytes(data[at + 7 : at + 9]), data[at + 9]
        if profile > ORDINARY_PROFILE_BYTES:
            return False
        if marker == 0xDA:
            if b"mpet" in data[:at]:
                return False
            scans = data.count(b"\xff\xda", at)
            if frame == 0xC2 or scans > 1:  # all of its coefficients are held in memory
                most = ORDINARY_SCANS if frame == 0xC2 else 4
                return scans <= most and width * height * scans <= ORDINARY_SCANNED and colours <= 3
            return frame != 0
        at += 2 + length
    return False


def is_ordinary_result(data: bytes) -> bool:
    """Whether a result is a PNG or an ordinary JPEG, of ordinary size."""
    try:
        if data.startswith(png.SIGNATURE) and any(islice(png.chunks(data), ORDINARY_CHUNKS, None)):
            return False
        plain = png.without_metadata(data) if data.startswith(png.SIGNATURE) else data
        with Image.open(io.BytesIO(plain), formats=("PNG", "JPEG")) as image:
            ordinary = is_ordinary_jpeg(data)
            if image.format == "PNG":
                ordinary = is_plain_profile(image.info.get("icc_profile"))
            return ordinary and image.width * image.height <= ORDINARY_PIXELS
    except Exception:  # decoders raise whatever damaged or hostile bytes lead them into
        return False


def is_plain_profile(icc: bytes | None) -> bool:
    """Whether a colour profile, if there is one, is like those of cameras and screens."""
    return icc is None or (len(icc) <= ORDINARY_PROFILE_BYTES and b"mpet" not in icc)
