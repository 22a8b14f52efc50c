"""What a garment looks like to a client."""

from collections.abc import Mapping

from marshmallow import Schema, fields, validate

from vton.garments.model import Garment
from vton.garments.ports import Signed
from vton.web.paging import PageQuery, absent, limit_field


class GarmentsQuery(PageQuery):
    """`?category=&limit=&cursor=`; without a limit, all of them."""

    category = fields.String(
        load_default=absent,
        validate=[validate.Length(max=200), validate.ContainsNoneOf("\0")],
    )
    limit = limit_field(absent)


class GarmentItem(Schema):
    """A garment: the table's columns, with a URL that opens the picture."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    brand = fields.String(required=True, allow_none=True)
    category = fields.String(required=True, allow_none=True)
    image_url = fields.Url(required=True, allow_none=True)
    imageUrl = fields.Url(required=True, allow_none=True)  # noqa: N815 - as clients read it
    created_at = fields.AwareDateTime(required=True)


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
