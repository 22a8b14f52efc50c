"""The rules of garments; they know no framework."""

import csv
import hashlib
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from string import capwords

from vton.errors import Problem, Unavailable
from vton.garments.model import Garment
from vton.garments.ports import GarmentNormaliser, GarmentTable, Pictures
from vton.single_flight import SingleFlight

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LIST_FILE = "garments.csv"
COLUMNS = ("file", "name", "brand", "category")
KEPT_SECONDS = 3.0
MOST_PAGES = 100
MOST_KEPT = 2000
"""How many garments are kept at once, on all pages, of about a kilobyte each."""
READERS = 4
READER_SECONDS = 5.0
"""So many pages are read at once, and so long others wait: users need the database, too."""


class ImportFailed(Exception):
    """The folder cannot be imported; says why, naming the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a folder, and what the folder's list says of it."""

    file: Path
    name: str
    brand: str | None
    category: str | None

    @property
    def picture_path(self) -> str:
        """The object's path: the file's name in ASCII, since object keys are ASCII only.

        What is lost of a name in another script stands behind it, as a few hexadecimal digits.
        """
        stem = unicodedata.normalize("NFC", self.file.stem)
        plain = unicodedata.normalize("NFKD", stem.replace("ß", "ss"))
        words = re.findall(r"[a-z0-9]+", plain.encode("ascii", "ignore").decode().lower())
        if not words or any(letter.isalnum() and not letter.isascii() for letter in plain):
            words.append(hashlib.sha256(stem.encode()).hexdigest()[:10])
        return f"garments/{'-'.join(words)}.png"


@dataclass(frozen=True, slots=True)
class ListedGarment:
    """A garment, and a URL that opens its picture, if that is there."""

    garment: Garment
    image_url: str | None


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
        signed = self.pictures.sign({garment.picture for garment in garments})
        return [
            ListedGarment(one, signed[one.picture].url if one.picture in signed else None)
            for one in garments
        ]

    def import_folder(self, folder: Path) -> Iterator[Entry]:
        """Store every picture of a folder with its row, yielding each when it is done.

        `garments.csv` (file, name, brand, category) is optional; without it a garment is
        called after its file. Running it again changes what changed and adds nothing twice.
        Raises ImportFailed before anything is stored, Problem when a picture is unusable.
        """
        entries = _read_folder(folder)
        for entry in entries:
            try:
                data = self.photos.normalise_garment(entry.file.read_bytes())
            except Problem as problem:
                text = f"{problem.spec.message} {problem.spec.hint}"
                raise ImportFailed(f"{entry.file.name}: {text}") from None
            self.pictures.put(entry.picture_path, data, "image/png", replace=True)
            self.table.save(entry.name, entry.brand, entry.category, entry.picture_path)
            yield entry


def _read_folder(folder: Path) -> list[Entry]:
    if not folder.is_dir():
        raise ImportFailed(f"{folder} is not a folder")
    if (folder / LIST_FILE).exists():
        try:
            entries = list(_listed(folder))
        except UnicodeDecodeError:
            raise ImportFailed(f"{LIST_FILE} is not UTF-8: save it as 'CSV UTF-8'") from None
        except (csv.Error, OSError) as error:
            raise ImportFailed(f"{LIST_FILE}: {error}") from None
    else:
        files = (f for f in folder.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES)
        entries = [
            Entry(f, capwords(re.sub(r"[-_]+", " ", f.stem)) or f.name, None, None)
            for f in sorted(files)
            if f.is_file()
        ]
    if not entries:
        raise ImportFailed(f"{folder} has no pictures ({', '.join(PICTURE_SUFFIXES)})")
    paths = [entry.picture_path for entry in entries]
    for entry in entries:
        if paths.count(entry.picture_path) > 1:
            raise ImportFailed(f"{entry.file.name}: two files would be {entry.picture_path}")
    return entries


def _listed(folder: Path) -> Iterator[Entry]:
    """The entries of the folder's list, each with its picture checked to be there."""
    with (folder / LIST_FILE).open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"file", "name"} <= set(rows.fieldnames or ()):
            raise ImportFailed(f"{LIST_FILE} needs the columns file and name ({COLUMNS})")
        for number, row in enumerate(rows, start=2):
            values = {column: (row.get(column) or "").strip() for column in COLUMNS}
            picture = folder / values["file"]
            if not values["name"]:
                raise ImportFailed(f"{LIST_FILE}, line {number}: no name")
            if not values["file"] or picture.parent != folder or not picture.is_file():
                raise ImportFailed(f"{LIST_FILE}, line {number}: no file {values['file']!r}")
            yield Entry(
                picture, values["name"], values["brand"] or None, values["category"] or None
            )
