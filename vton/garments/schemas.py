"""What a garment looks like to a client."""

from collections.abc import Mapping

from marshmallow import fields, validate

from vton.garments.model import Garment
from vton.garments.ports import Signed
from vton.web.paging import PageQuery, limit_field


class GarmentsQuery(PageQuery):
    """`?category=&limit=&cursor=`; without a limit, all of them."""

    category = fields.String(
        load_default=None,
        validate=[validate.Length(max=200), validate.ContainsNoneOf("\0")],
    )
    limit = limit_field(None)


def garment_item(garment: Garment, signed: Mapping[str, Signed]) -> dict[str, object]:
    """The table's columns, with a URL that opens the picture."""
    url = signed[garment.picture].url if garment.picture in signed else None
    return {
        "id": garment.id,
        "name": garment.name,
        "brand": garment.brand,
        "category": garment.category,
        "image_url": url,
        "imageUrl": url,
        "created_at": garment.created_at.isoformat(),
    }
