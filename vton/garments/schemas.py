"""What a garment looks like to a client."""

from marshmallow import Schema, fields, post_dump, validate

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

    id = fields.UUID(required=True, attribute="garment.id")
    name = fields.String(required=True, attribute="garment.name")
    brand = fields.String(required=True, allow_none=True, attribute="garment.brand")
    category = fields.String(required=True, allow_none=True, attribute="garment.category")
    image_url = fields.Url(required=True, allow_none=True)
    imageUrl = fields.Url(required=True, allow_none=True)  # noqa: N815 - as clients read it
    thumbnailUrl = fields.Url(required=True, allow_none=True, attribute="thumbnail_url")  # noqa: N815
    created_at = fields.AwareDateTime(required=True, attribute="garment.created_at")

    @post_dump
    def _spell_twice(self, item: dict[str, object], **_: object) -> dict[str, object]:
        """Say the picture's URL in both of the spellings that clients read."""
        return item | {"imageUrl": item["image_url"]}
