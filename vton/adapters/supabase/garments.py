"""The rows of `garments`, and where a garment's picture is."""

import re
from datetime import datetime
from urllib.parse import unquote

from supabase import Client

from vton.adapters.supabase.rows import PAGE_ROWS, Row, newest_first, rows
from vton.garments.model import Garment


class GarmentRows:
    """Implements `vton.garments.ports.GarmentTable`."""

    def __init__(self, client: Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def list(
        self, category: str | None, limit: int | None, before: tuple[datetime, str] | None
    ) -> list[Garment]:
        garments: list[Garment] = []
        while limit is None or len(garments) < limit:
            page = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit - len(garments))
            query = self._client.table("garments").select("*")
            if category is not None:
                query = query.eq("category", category)
            found = rows(newest_first(query, before).limit(page))
            garments += [_garment(row, self._bucket) for row in found]
            if not found:
                break
            before = garments[-1].created_at, garments[-1].id
        return garments

    def save(self, name: str, brand: str | None, category: str | None, picture: str) -> None:
        row = {"name": name, "brand": brand, "category": category, "image_url": picture}
        garments = self._client.table("garments")
        if not rows(garments.update(row).eq("image_url", picture)):
            rows(garments.insert(row))


def object_path(url: str, bucket: str) -> str:
    """Return the path in a URL of the bucket, as people copy it from the dashboard.

    It may be of any host (a local Supabase's, one inside Docker), public, signed or neither. Any
    other text is returned as it is.
    """
    found = re.match(
        r"https?://.*?/storage/v1/(?:object|render/image)/(?:public/|sign/|authenticated/)?"
        rf"{re.escape(bucket)}/([^?#]+)",
        url,
    )
    return unquote(found[1]) if found else url


def garment_picture(url: str, bucket: str) -> str:
    """Where a garment's picture is; nothing of a row that names what is a user's own."""
    path = object_path(url, bucket)
    folders = [part for part in path.split("/") if part not in ("", ".")]
    private = folders[:1] in (["user-uploads"], ["try-on-results"]) or ".." in folders
    return "" if private else path


def _garment(row: Row, bucket: str) -> Garment:
    return Garment(
        id=row["id"],
        name=row["name"],
        brand=row["brand"],
        category=row["category"],
        picture=garment_picture(row["image_url"], bucket),
        created_at=datetime.fromisoformat(row["created_at"]),
    )
