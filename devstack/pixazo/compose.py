"""The picture: the garment laid on the person's torso, and SIMULATED across it."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from PIL.Image import Resampling

from devstack.pixazo.silhouette import Torso, cut_out, find_garment, find_person

MAX_SIZE = (1024, 1536)
EASE = 1.10  # a garment's chest is this much wider than the body's


def try_on(person: bytes, garment: bytes, result_format: str) -> bytes:
    """A person's and a garment's picture in, one PNG or JPEG of the person's size out."""
    photo = _open(person).convert("RGB")
    cloth = _open(garment)
    mask = cut_out(cloth)
    layer = cloth.convert("RGB")
    layer.putalpha(mask)
    body = find_person(photo) or _usual_torso(photo)
    dressed = _lay(photo, layer, body, find_garment(mask) or _whole(mask))
    return _encode(_stamp(dressed), result_format)


def without_garment(person: bytes, result_format: str, *, blank: bool) -> bytes:
    """The person as they came, or nothing at all of the same size."""
    photo = _open(person).convert("RGB")
    return _encode(Image.new("RGB", photo.size, "white") if blank else photo, result_format)


def _open(content: bytes) -> Image.Image:
    """Upright and no larger than a result."""
    opened = Image.open(io.BytesIO(content))
    opened.draft("RGB", MAX_SIZE)
    picture = ImageOps.exif_transpose(opened)
    picture.thumbnail(MAX_SIZE, Resampling.LANCZOS)
    return picture


def _usual_torso(photo: Image.Image) -> Torso:
    """Where the torso is in a usual half-length portrait, when no shape is seen."""
    return Torso(photo.width / 2, photo.width * 0.36, photo.height * 0.34)


def _whole(mask: Image.Image) -> Torso:
    """A garment without sleeves that stand off: all of it is torso."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    return Torso((left + right) / 2, (right - left) * 0.8, top + (bottom - top) * 0.06)


def _lay(photo: Image.Image, layer: Image.Image, body: Torso, cloth: Torso) -> Image.Image:
    """Scale the garment to the body's chest, put shoulders on shoulders, with a soft shadow."""
    factor = body.width * EASE / cloth.width
    scaled = layer.resize(
        (round(layer.width * factor), round(layer.height * factor)), Resampling.LANCZOS
    )
    place = (
        round(body.x - cloth.x * factor),
        round(body.shoulder_y - cloth.shoulder_y * factor - body.width * 0.035),
    )
    placed = Image.new("RGBA", photo.size)
    placed.paste(scaled, place)
    alpha = placed.getchannel("A")
    soft = alpha.filter(ImageFilter.GaussianBlur(body.width * 0.03))
    shadow = Image.new("L", photo.size)
    shadow.paste(soft.point(lambda v: v * 0.45), (0, round(body.width * 0.02)))
    dressed = Image.composite(Image.new("RGB", photo.size, (24, 20, 30)), photo, shadow)
    dressed.paste(placed, mask=alpha)
    return dressed


def _stamp(picture: Image.Image) -> Image.Image:
    """SIMULATED across the middle from lower left to upper right, white with a dark rim."""
    size = picture.width // 7
    layer = Image.new("RGBA", (picture.width, size * 2))
    ImageDraw.Draw(layer).text(
        (layer.width / 2, layer.height / 2),
        "SIMULATED",
        font=ImageFont.load_default(size),
        anchor="mm",
        fill=(255, 255, 255, 150),
        stroke_width=max(1, size // 30),
        stroke_fill=(30, 30, 40, 110),
    )
    layer = layer.rotate(32, expand=True, resample=Resampling.BICUBIC)
    place = ((picture.width - layer.width) // 2, (picture.height - layer.height) // 2)
    picture.paste(layer, place, layer)
    return picture


def _encode(picture: Image.Image, result_format: str) -> bytes:
    out = io.BytesIO()
    if result_format == "jpeg":
        picture.save(out, "JPEG", quality=92)
    else:
        picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
