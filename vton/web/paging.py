"""Pages by keyset: a cursor is the creation time and the id of the last item seen."""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, validate

MAX_LIMIT = 100
DEFAULT_LIMIT = 20

Cursor = tuple[datetime, str]


class CursorField(fields.Field[Cursor]):
    """An opaque cursor, as `next_cursor` gave it."""

    def _deserialize(self, value: object, *_args: object, **_kwargs: object) -> Cursor:
        try:
            text = base64.urlsafe_b64decode(str(value).encode()).decode()
            when, _, last_id = text.partition("|")
            created_at = datetime.fromisoformat(when)
            if created_at.tzinfo is None:
                raise ValueError("no time zone")
            return created_at.astimezone(UTC), str(UUID(last_id))
        except (ValueError, OverflowError, binascii.Error):
            raise ValidationError("Not a cursor of this list.") from None


def next_cursor(created_at: datetime, last_id: str) -> str:
    """Return the cursor that continues behind an item."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()}|{last_id}".encode()).decode()


def absent() -> None:
    """Stand for a parameter that was not sent; a plain `None` would allow a `null`."""


def limit_field(default: int | Callable[[], None]) -> fields.Integer:
    """`limit`: how many items a page has, 1 to 100."""
    return fields.Integer(
        load_default=default,
        validate=validate.Range(1, MAX_LIMIT),
        metadata={"description": f"How many items, 1 to {MAX_LIMIT}."},
    )


class PageQuery(Schema):
    """`?limit=&cursor=`; unknown parameters are ignored."""

    limit = limit_field(DEFAULT_LIMIT)
    cursor = CursorField(
        load_default=absent, metadata={"description": "`meta.next_cursor` of the page before."}
    )
