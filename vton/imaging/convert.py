"""Pictures decoded and encoded, by Pillow and libheif; how long that takes is not bounded here."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import pillow_heif
from PIL import Image, ImageCms, ImageFile, TiffTags

from vton.errors import Problem
from vton.imaging import png
from vton.imaging.colour import Colours
from vton.imaging.heif import is_turned
from vton.imaging.provenance import mark_png
from vton.imaging.triage import is_plain_profile

MAX_BYTES = 10 * 1024 * 1024
"""The largest photo, in bytes: the provider's own limit."""
MAX_RESULT_BYTES = 25 * 1024 * 1024
"""What the bucket takes; a JPEG may become a PNG four times its size."""
MAX_PIXELS = 40_000_000
MAX_WEBP_PIXELS = 16_000_000
"""Pillow holds four copies of a WebP, 16 bytes a pixel; of everything else, 8 at most."""
HEIF_BYTES = 300_000_000
"""What decoding a HEIC may fill: all 40 megapixels of a phone's, 24 of a camera's with 10 bits."""
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

_DEPTH = 24
"""Where a PNG says of how many bits its values are."""

BAND_ROWS = 64
"""Transparent pictures are made plain so many rows at a time."""

# The limit is ours and is checked on the header, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


def photo_to_jpeg(data: bytes) -> bytes:
    """Return a photo as an upright JPEG without metadata; without a bound on time.

    Raises Problem as `vton.imaging.photos.PictureConverter.normalise_photo` does.
    """
    with _opened(data) as image:
        image.draft("RGB", _draft_size(image.size))
        return encode_jpeg(_plain(image))


def garment_to_png(data: bytes) -> bytes:
    """Return a garment's picture as a PNG on white; without a bound on time. Raises Problem."""
    with _opened(data) as image:
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
        with _open_png(data) as image:
            if not is_plain_profile(image.info.get("icc_profile")) or _turn(image) is not None:
                return _result_encoded(image)
            _check_pixels(image)
            if not png.check_pixels(data):
                image.load()
                data = png.mended(data)  # nothing is left behind the pixels
            return mark_png(data)
    except Problem:
        raise
    except Exception:
        raise Problem("photo_unreadable") from None


def _result_encoded(image: Image.Image) -> bytes:
    """Return a result upright, on white and in sRGB; grey without a profile stays grey."""
    _check_pixels(image)
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
}
"""What the sandbox may be asked for, by name."""


def encode_jpeg(image: Image.Image) -> bytes:
    """Return `image` as a JPEG without metadata."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=JPEG_QUALITY)
    return output.getvalue()


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
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open a picture whose header is in bounds; damage found on the way is a Problem."""
    if len(data) > MAX_BYTES:
        raise Problem("photo_too_large")
    format_name = image_format(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(data, format_name) as image:
                _check_sides(image.size)
                _check_pixels(image)
                yield image
    except Problem:
        raise
    except Exception:  # decoders raise whatever damaged or hostile bytes lead them into
        raise Problem("photo_unreadable") from None


def _open(data: bytes, format_name: str) -> ImageFile.ImageFile:
    """Read a picture's header. HEIC stays unknown to the rest of Pillow: nothing is registered."""
    if format_name == "PNG":
        return _open_png(png.without_metadata(data))
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


def _open_png(data: bytes) -> ImageFile.ImageFile:
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
    samples = {420: 1.5, 422: 2.0}.get(image.info["chroma"], 3.0) + ("A" in image.mode)
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


def _check_pixels(image: Image.Image) -> None:
    most = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if image.width * image.height > most:
        raise Problem("photo_too_many_pixels")


def _plain(image: Image.Image) -> Image.Image:
    """Return a picture in bounds, upright, in sRGB and without metadata."""
    upright = _upright(_shrunk(image))
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


def _shrunk(image: Image.Image) -> Image.Image:
    """Return `image` within 2048 pixels a side, on white where it was transparent.

    Pillow would copy a whole picture to scale its transparency or palette, so these are made
    plain and smaller in bands: 40 megapixels take 230 MB so, and 530 MB otherwise.
    """
    image.load()
    image = eight_bit(image)
    if image.mode not in ("1", "P") and not _transparent(image):
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return image
    factor = max(1, max(image.size) // MAX_SIDE)
    width, height = image.size
    plain = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = BAND_ROWS * factor
    for top in range(0, height, rows):
        band = on_white(image.crop((0, top, width, min(height, top + rows))))
        plain.paste(band.reduce(factor), (0, top // factor))
    plain.info = image.info
    plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
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
