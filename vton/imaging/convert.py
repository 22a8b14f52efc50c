"""Pictures decoded and encoded, by Pillow and libheif; how long that takes is not bounded here."""

import io
from collections.abc import Callable, Mapping
from contextlib import suppress

from PIL import Image, ImageCms, TiffTags

from vton.errors import Problem
from vton.imaging import png
from vton.imaging.colour import Colours
from vton.imaging.opening import MAX_SIDE, check_pixels, open_png, opened
from vton.imaging.provenance import mark_png
from vton.imaging.triage import is_plain_profile

MAX_RESULT_BYTES = 25 * 1024 * 1024
"""What the bucket takes; a JPEG may become a PNG four times its size."""
DCT_SIDE = 1280
"""A large JPEG is decoded at the DCT scale that leaves at least so many pixels."""
FORMATS = ("JPEG", "PNG", "WEBP")
JPEG_QUALITY = 90
THUMBNAIL_SIDE = 384
"""The long side, in pixels: what a card shows on a screen of two pixels for one."""
THUMBNAIL_QUALITY = 75

ORIENTATION = 0x0112
SHORT_BYTES = 2
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture of each EXIF orientation upright."""

BAND_ROWS = 64
"""Transparent pictures are made plain so many rows at a time."""


def photo_to_jpeg(data: bytes) -> bytes:
    """Return a photo as an upright JPEG without metadata; without a bound on time.

    Raises Problem as `vton.imaging.photos.PictureConverter.normalise_photo` does.
    """
    with opened(data) as image:
        image.draft("RGB", _draft_size(image.size))
        return encode_jpeg(_plain(image))


def garment_to_png(data: bytes) -> bytes:
    """Return a garment's picture as a PNG on white; without a bound on time. Raises Problem."""
    with opened(data) as image:
        output = io.BytesIO()
        _plain(image).save(output, "PNG", optimize=True)
        return output.getvalue()


def result_to_png(data: bytes) -> bytes:
    """Return a result as a marked PNG; without a bound on time. Raises Problem."""
    try:
        if not data.startswith(png.SIGNATURE):
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _result_encoded(image)
        data = png.without_metadata(data)
        with open_png(data) as image:
            if not is_plain_profile(image.info.get("icc_profile")) or _turn(image) is not None:
                return _result_encoded(image)
            check_pixels(image)
            if not png.check_pixels(data):
                image.load()
                data = png.mended(data)  # nothing is left behind the pixels
            if len(data) > MAX_RESULT_BYTES:
                return _result_encoded(image)
            return mark_png(data)
    except Problem:
        raise
    except Exception:
        raise Problem("photo_unreadable") from None


def thumbnail_of(data: bytes) -> bytes:
    """Return a stored picture, a PNG of ours, as a small WebP; without a bound on time."""
    try:
        with open_png(data) as image:
            small = _plain(image, THUMBNAIL_SIDE)
    except Exception:
        raise Problem("photo_unreadable") from None
    output = io.BytesIO()
    small.save(output, "WEBP", quality=THUMBNAIL_QUALITY)
    return output.getvalue()


def _result_encoded(image: Image.Image) -> bytes:
    """Return a result upright, on white and in sRGB; grey without a profile stays grey."""
    check_pixels(image)
    image.load()
    upright = eight_bit(_upright(image))
    plain = on_white(upright) if _transparent(upright) else upright
    plain.info = upright.info
    grey = plain.mode == "L" and not upright.info.keys() & {"icc_profile", "colours"}
    plain = plain if grey else _flat(plain)
    while len(data := mark_png(png.encode(plain))) > MAX_RESULT_BYTES:
        plain = plain.resize((plain.width * 3 // 4, plain.height * 3 // 4))
    return data


CONVERSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "photo": photo_to_jpeg,
    "garment": garment_to_png,
    "result": result_to_png,
    "thumbnail": thumbnail_of,
}
"""What the sandbox may be asked for, by name."""


def encode_jpeg(image: Image.Image) -> bytes:
    """Return `image` as a JPEG without metadata."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=JPEG_QUALITY)
    return output.getvalue()


def _plain(image: Image.Image, side: int = MAX_SIDE) -> Image.Image:
    """Return a picture within `side` pixels, upright, in sRGB and without metadata."""
    upright = _upright(_shrunk(image, side))
    return _flat(upright)


def _draft_size(size: tuple[int, int]) -> tuple[int, int]:
    """The smallest size we want of a JPEG: `draft` takes the DCT scale just above it.

    Decoding at 1/2, 1/4 or 1/8 is done inside the JPEG decoder and costs a fraction. A scale
    that lands between 1280 and 2048 pixels needs no resampling afterwards.
    """
    long_side = max(size)
    if long_side <= MAX_SIDE:
        return size
    return max(1, size[0] * DCT_SIDE // long_side), max(1, size[1] * DCT_SIDE // long_side)


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    """Return `image` within so many pixels a side, on white where it was transparent.

    Pillow would copy a whole picture to scale its transparency or palette, so these are made
    plain and smaller in bands: 40 megapixels take 230 MB so, and 530 MB otherwise.
    """
    image.load()
    image = eight_bit(image)
    if image.mode not in ("1", "P") and not _transparent(image):
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return image
    factor = max(1, max(image.size) // side)
    width, height = image.size
    plain = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = BAND_ROWS * factor
    for top in range(0, height, rows):
        band = on_white(image.crop((0, top, width, min(height, top + rows))))
        plain.paste(band.reduce(factor), (0, top // factor))
    plain.info = image.info
    plain.thumbnail((side, side), Image.Resampling.LANCZOS)
    return plain


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def on_white(image: Image.Image) -> Image.Image:
    """Return `image` as RGB, on white where it is transparent."""
    if not _transparent(image):
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture by its EXIF; libheif has turned a HEIC already where its container says so."""
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What brings a picture upright, as browsers do it.

    Not by what XMP says, and not by a tag of another type than it has (EXIF 2.32, 4.6.4:
    orientation is one SHORT).
    """
    if "orientation" in image.info:
        return _TURNS.get(image.info["orientation"])
    with suppress(Exception):  # EXIF that cannot be read is no reason to refuse a photo
        exif = Image.Exif()
        exif.load(image.info["exif"])
        tags = exif._info
        if tags is not None and tags.tagtype[ORIENTATION] == TiffTags.SHORT:
            one = len(tags._tagdata[ORIENTATION]) == SHORT_BYTES
            return _TURNS.get(exif[ORIENTATION]) if one else None
    return None


def eight_bit(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits with 8, and with an alpha channel where one is see-through.

    Pillow would clip it.
    """
    if image.mode not in ("I;16", "I;16B", "I"):
        return image
    grey, info = image.point(lambda value: value / 256).convert("L"), image.info.copy()
    key = info.pop("transparency", None)
    if key is not None:
        opaque = [255 * (value != key) for value in range(1 << 16)]
        grey = Image.merge("LA", (grey, image.convert("I").point(opaque, "L")))
    grey.info = info
    return grey


def _flat(image: Image.Image) -> Image.Image:
    """Return 8-bit sRGB pixels without metadata, by what the picture says of its colours."""
    image = _to_srgb(image, image.info.get("icc_profile"), image.info.get("colours"))
    image.info = {}  # whatever an encoder would write of it
    return image


def _to_srgb(image: Image.Image, icc: bytes | None, colours: Colours | None) -> Image.Image:
    """Convert to sRGB by the embedded colour profile, or by numbers; phones record Display P3."""
    if icc and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # an unusable profile is no reason to refuse a photo
    if colours:
        with suppress(ArithmeticError):  # nor are numbers that make no colours
            return colours.to_srgb(image)
    return image if image.mode == "RGB" else image.convert("RGB")
