"""The rules of garments; they know no framework."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from vton.errors import Problem, Unavailable
from vton.garments.folder import Entry
from vton.garments.model import Garment, thumbnail_path
from vton.garments.ports import GarmentNormaliser, GarmentTable, Pictures
from vton.single_flight import SingleFlight

KEPT_SECONDS = 3.0
MOST_PAGES = 100
MOST_KEPT = 2000
"""How many garments are kept at once, on all pages, of about a kilobyte each."""
READERS = 4
READER_SECONDS = 5.0
"""So many pages are read at once, and so long others wait: users need the database, too."""


class Outcome(StrEnum):
    """What has become of an entry."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Imported:
    """An entry that is done; `why` is said of a skipped one."""

    entry: Entry
    outcome: Outcome
    why: str | None = None


@dataclass(frozen=True, slots=True)
class ListedGarment:
    """A garment, and a URL that opens its picture, if that is there."""

    garment: Garment
    image_url: str | None
    thumbnail_url: str | None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Page:
    """Some garments of the list, and whether there are more behind them.

    No other is equal to it: what is made of one may be kept for as long as that is.
    """

    garments: Sequence[ListedGarment]
    more: bool

    @property
    def pictured(self) -> bool:
        """Whether any picture can be opened; a list whose pictures are all away is an outage's."""
        return not self.garments or any(one.image_url for one in self.garments)


@dataclass(frozen=True, kw_only=True)
class Garments:
    """Everything that can be done with garments."""

    table: GarmentTable
    pictures: Pictures
    photos: GarmentNormaliser
    now: Callable[[], float] = time.monotonic
    reader_seconds: float = READER_SECONDS
    _reads: SingleFlight[Page] = field(default_factory=SingleFlight)
    _readers: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(READERS)
    )
    _kept: dict[Hashable, tuple[float, Page]] = field(default_factory=dict)
    _keeping: threading.Lock = field(default_factory=threading.Lock)

    def page(
        self, category: str | None, limit: int, before: tuple[datetime, str] | None = None
    ) -> Page:
        """Return garments, newest first, from behind `before` on.

        Everybody may ask for them, so a page is kept for some seconds, and read once for all who
        ask at once. Raises Unavailable.
        """
        key = category, limit, before
        until, page = self._kept.get(key, (0.0, None))
        if page is not None and self.now() < until:
            return page
        return self._reads.do(key, lambda: self._read(category, limit, before))

    def _read(self, category: str | None, limit: int, before: tuple[datetime, str] | None) -> Page:
        if not self._readers.acquire(timeout=self.reader_seconds):
            raise Unavailable("too many ask for garments")
        try:
            found = self.table.list(category, limit + 1, before)
            page = Page(self._with_urls(found[:limit]), more=len(found) > limit)
        finally:
            self._readers.release()
        if page.pictured and page.garments:
            self._keep((category, limit, before), page)
        return page

    def _keep(self, key: Hashable, page: Page) -> None:
        """Keep a page, in place of the oldest ones."""
        with self._keeping:
            self._kept.pop(key, None)
            self._kept[key] = self.now() + KEPT_SECONDS, page
            count = sum(len(one.garments) for _, one in self._kept.values())
            while len(self._kept) > 1 and (count > MOST_KEPT or len(self._kept) > MOST_PAGES):
                _, oldest = self._kept.pop(next(iter(self._kept)))
                count -= len(oldest.garments)

    def _with_urls(self, garments: Sequence[Garment]) -> Sequence[ListedGarment]:
        """Each garment with a URL that opens its picture."""
        paths = {path for one in garments for path in (one.picture, one.thumbnail) if path}
        signed = self.pictures.sign(paths)

        def url(path: str | None) -> str | None:
            return signed[path].url if path and path in signed else None

        return [ListedGarment(one, url(one.picture), url(one.thumbnail)) for one in garments]

    def import_entries(self, entries: Sequence[Entry]) -> Iterator[Imported]:
        """Store each entry's picture with its row, yielding each when it is done.

        Again, it changes what changed and adds nothing twice. A picture that is unusable is
        skipped. Raises Unavailable.
        """
        before = {one.picture: one for one in self.table.list(None, None, None)}
        for entry in entries:
            yield self._import(entry, before.get(entry.picture_path))

    def _import(self, entry: Entry, before: Garment | None) -> Imported:
        path = entry.picture_path
        try:
            data = self.photos.normalise_garment(entry.file.read_bytes())
            small = self.photos.thumbnail(data)
        except Problem as problem:
            why = f"{problem.spec.message} {problem.spec.hint}"
            return Imported(entry, Outcome.SKIPPED, why)
        except OSError as error:
            return Imported(entry, Outcome.SKIPPED, str(error))
        beside = thumbnail_path(path)
        same_picture = (
            before is not None
            and self.pictures.find(path) == data
            and self.pictures.find(beside) == small
        )
        if not same_picture:
            self.pictures.put(path, data, "image/png", replace=True)
            self.pictures.put(beside, small, "image/webp", replace=True)
        now = entry.name, entry.brand, entry.category
        same_row = before is not None and now == (before.name, before.brand, before.category)
        if not same_row:
            self.table.save(*now, path)
        if before is None:
            return Imported(entry, Outcome.NEW)
        return Imported(entry, Outcome.UNCHANGED if same_picture and same_row else Outcome.CHANGED)
