"""Garments: a folder of pictures is imported, and the shop is listed, through fakes."""

import hashlib
import threading
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from fakes import START

from vton.errors import CATALOGUE, Problem, Unavailable
from vton.garments.folder import PICTURE_SUFFIXES, Entry, Folder, ImportFailed, read_folder
from vton.garments.model import Garment
from vton.garments.service import (
    KEPT_SECONDS,
    MOST_KEPT,
    MOST_PAGES,
    READERS,
    Garments,
    Imported,
    Page,
)
from vton.tryon.ports.storage import SignedUrl

Form = Literal["NFC", "NFD"]
Row = tuple[str, str | None, str | None]
"""What a garment is called, who made it, and what kind of thing it is."""


@dataclass
class FakeTable:
    """`GarmentTable`: rows by their picture, and what was asked for."""

    rows: dict[str, Row] = field(default_factory=dict)
    garments: list[Garment] = field(default_factory=list)
    asked: list[tuple[str | None, int | None, tuple[datetime, str] | None]] = field(
        default_factory=list
    )
    meanwhile: Callable[[], None] = lambda: None

    def list(
        self, category: str | None, limit: int | None, before: tuple[datetime, str] | None
    ) -> list[Garment]:
        self.asked.append((category, limit, before))
        self.meanwhile()
        return self.garments

    def save(self, name: str, brand: str | None, category: str | None, picture: str) -> None:
        self.rows[picture] = name, brand, category
        self.garments = [
            Garment(picture, *row, picture, START) for picture, row in self.rows.items()
        ]


@dataclass
class FakeBucket:
    """`Pictures`: objects, how they were put, and how often something was signed."""

    objects: dict[str, bytes] = field(default_factory=dict)
    puts: list[tuple[str, str, bool]] = field(default_factory=list)
    signed: list[Collection[str]] = field(default_factory=list)
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    away: bool = False
    elsewhere: str = "https://elsewhere.example/hat.png"

    def put(self, path: str, data: bytes, content_type: str, *, replace: bool) -> None:
        if self.away:
            raise Unavailable
        if content_type == "image/webp":
            self.thumbnails[path] = data
            return
        self.puts.append((path, content_type, replace))
        self.objects[path] = data

    def find(self, path: str) -> bytes | None:
        return self.objects.get(path) or self.thumbnails.get(path)

    def sign(self, paths: Collection[str]) -> Mapping[str, SignedUrl]:
        self.signed.append(paths)
        until = START + timedelta(hours=1)
        return {p: SignedUrl(f"https://signed.example/{p}", until) for p in self.known & set(paths)}

    @property
    def known(self) -> set[str]:
        """What can be opened: the objects, and every address elsewhere."""
        return {*self.objects, *self.thumbnails, self.elsewhere}


class FakeNormaliser:
    """`GarmentNormaliser`: anything is a picture, unless it says which problem it is."""

    def normalise_garment(self, data: bytes) -> bytes:
        if data.decode() in CATALOGUE:
            raise Problem(data.decode())
        return b"png of " + data

    def thumbnail(self, picture: bytes) -> bytes:
        return b"small " + picture


@dataclass
class Shop:
    """The garments on their fakes, and a folder to import."""

    folder: Path
    table: FakeTable = field(default_factory=FakeTable)
    bucket: FakeBucket = field(default_factory=FakeBucket)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.garments = Garments(
            table=self.table,
            pictures=self.bucket,
            photos=FakeNormaliser(),
            now=lambda: self.seconds,
        )

    def has(self, *names: str, listed: str | None = None) -> None:
        """Put pictures into the folder, and a list of them."""
        for name in names:
            (self.folder / name).write_bytes(name.encode())
        if listed is not None:
            (self.folder / "garments.csv").write_text(listed, encoding="utf-8")

    def read(self) -> Folder:
        """What the folder has."""
        return read_folder(self.folder)

    def imported(self) -> list[Imported]:
        """Import the whole folder: what has become of each picture."""
        return list(self.garments.import_entries(self.read().entries))

    def do_import(self) -> list[Entry]:
        """Import the whole folder: its entries."""
        return [one.entry for one in self.imported()]

    def refuses(self) -> str:
        """Why the folder cannot be imported. Nothing of it must have been stored."""
        with pytest.raises(ImportFailed) as caught:
            self.do_import()
        assert (self.table.rows, self.bucket.objects) == ({}, {})
        return str(caught.value)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop without garments, and an empty folder."""
    return Shop(tmp_path)


# -- a folder without a list --------------------------------------------------------------------


def test_each_picture_is_stored_with_its_row(shop: Shop) -> None:
    shop.has("navy-jacket.jpg", "Red_Dress.PNG")

    entries = shop.do_import()

    assert shop.bucket.objects == {
        "garments/navy-jacket.png": b"png of navy-jacket.jpg",
        "garments/red-dress.png": b"png of Red_Dress.PNG",
    }
    assert shop.table.rows == {
        "garments/navy-jacket.png": ("Navy Jacket", None, None),
        "garments/red-dress.png": ("Red Dress", None, None),
    }
    assert {entry.file.name for entry in entries} == {"navy-jacket.jpg", "Red_Dress.PNG"}


def test_pictures_are_pngs_that_replace_what_was_there(shop: Shop) -> None:
    shop.has("shirt.webp")

    shop.do_import()

    assert shop.bucket.puts == [("garments/shirt.png", "image/png", True)]


@pytest.mark.parametrize("suffix", [*PICTURE_SUFFIXES, ".JPG", ".WebP", ".Heic"])
def test_these_are_pictures(shop: Shop, suffix: str) -> None:
    shop.has(f"a{suffix}")

    assert [entry.name for entry in shop.do_import()] == ["A"]


def test_other_files_are_left_out_and_named(shop: Shop) -> None:
    others = ["notes.txt", "b.gif", "png", "c.png.bak", ".DS_Store", "._a.png", "._notes.txt"]
    shop.has("a.png", *others)

    found = shop.read()

    assert [entry.file.name for entry in found.entries] == ["a.png"]
    assert set(found.left_out) == set(others)
    assert found.left_out["._a.png"] == "what macOS notes of another file"
    assert found.left_out["b.gif"].startswith("no picture (.png, ")


def test_a_small_picture_lies_beside_each(shop: Shop) -> None:
    shop.has("a.png")
    shop.do_import()
    assert shop.bucket.thumbnails == {"garments/a_thumbnail.webp": b"small png of a.png"}

    shop.bucket.thumbnails.clear()  # as one that was imported by an earlier release

    assert [one.outcome for one in shop.imported()] == ["changed"]
    (listed,) = shop.garments.page(None, 5).garments
    assert listed.thumbnail_url == "https://signed.example/garments/a_thumbnail.webp"


def test_a_picture_elsewhere_has_no_small_one(shop: Shop) -> None:
    shop.table.garments = [garment(1, shop.bucket.elsewhere)]

    (listed,) = shop.garments.page(None, 5).garments

    assert (listed.image_url is not None, listed.thumbnail_url) == (True, None)


def test_they_come_in_the_order_of_their_names(shop: Shop) -> None:
    shop.has("c.png", "a.png", "b.jpg")

    assert [entry.name for entry in shop.do_import()] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("navy-jacket", "Navy Jacket"),
        ("navy__jacket--2", "Navy Jacket 2"),
        ("-navy_", "Navy"),
        ("NAVY jacket", "Navy Jacket"),
        ("Größe 5", "Größe 5"),
    ],
)
def test_a_garment_is_called_after_its_file(shop: Shop, stem: str, name: str) -> None:
    shop.has(f"{stem}.png")

    assert [entry.name for entry in shop.do_import()] == [name]


# -- what an object is called -------------------------------------------------------------------


def slug(stem: str) -> str:
    """What the object of a picture is called."""
    path = Entry(Path(f"{stem}.jpg"), "name", None, None).picture_path
    assert path.startswith("garments/")
    assert path.endswith(".png")
    return path.removeprefix("garments/").removesuffix(".png")


def digits(stem: str) -> str:
    """What stands for a name in another script."""
    return hashlib.sha256(stem.encode()).hexdigest()[:10]


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("shirt", "shirt"),
        ("Red Dress", "red-dress"),
        ("red_dress", "red-dress"),
        ("--red...dress--", "red-dress"),
        ("Jäcke à la Größe 5", "jacke-a-la-grosse-5"),
        ("a & b / c".replace("/", "+"), "a-b-c"),
        ("!!", digits("!!")),
        ("---", digits("---")),
        ("ジャケット", digits("ジャケット")),
        ("куртка 5", f"5-{digits('куртка 5')}"),
        ("fine ™ print!", "fine-tm-print"),
    ],
)
def test_an_objects_name_is_the_files_in_ascii(stem: str, expected: str) -> None:
    assert slug(stem) == expected


def test_two_names_in_another_script_are_two_objects(shop: Shop) -> None:
    shop.has("куртка 5.png", "платье 5.png", "шапка.png")

    assert len({entry.picture_path for entry in shop.do_import()}) == 3
    assert all(path.isascii() for path in shop.bucket.objects)


@pytest.mark.parametrize("stem", ["Größe 5", "ガ", "й"])
def test_it_does_not_matter_how_accents_are_encoded(stem: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, stem) for form in ("NFC", "NFD"))

    assert slug(composed) == slug(decomposed)


# -- a folder with a list -----------------------------------------------------------------------


def test_the_list_says_what_they_are_called(shop: Shop) -> None:
    shop.has(
        "b.png",
        "a.jpg",
        listed="file,name,brand,category\nb.png,Navy jacket,Nord,coats\na.jpg,Hat,,\n",
    )

    entries = shop.do_import()

    assert [entry.name for entry in entries] == ["Navy jacket", "Hat"]
    assert shop.table.rows == {
        "garments/b.png": ("Navy jacket", "Nord", "coats"),
        "garments/a.png": ("Hat", None, None),
    }
    assert shop.bucket.objects["garments/a.png"] == b"png of a.jpg"


def test_what_is_not_in_the_list_is_left_out_and_named(shop: Shop) -> None:
    shop.has("a.png", "b.png", listed="file,name,Price\na.png,Hat,7\n")

    found = shop.read()

    assert [entry.file.name for entry in found.entries] == ["a.png"]
    assert found.left_out == {
        "b.png": "garments.csv does not name it",
        "garments.csv, column price": "not a column of ours",
    }


FOUND = Path(__file__).parent / "garments"


@pytest.mark.parametrize(("name", "entry", "left_out"), [
    ("appledouble", ("a.jpg", "A", None, None), {"._a.jpg"}),
    ("cp1252", ("a.jpg", "Café dress", "Acéme", "dresses"), set()),
    ("hspace", ("a.jpg", "Dress", "Acme", "dresses"), set()),
    ("semi", ("a.jpg", "Dress", "Acme", "dresses"), set()),
    ("jfif", ("a.jfif", "A", None, None), set()),
])  # fmt: skip
def test_a_folder_that_failed_once_is_read(
    name: str, entry: tuple[str | None, ...], left_out: set[str]
) -> None:
    found = read_folder(FOUND / name)

    first = found.entries[0]
    assert (first.file.name, first.name, first.brand, first.category) == entry
    assert set(found.left_out) == left_out


LIST = "File ; NAME;Brand\r\n\r\nHat.PNG;Größe 5;Acmé\r\n;;\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["", "sep={}\r\n", "\r\n"])
@pytest.mark.parametrize("called", ["garments.csv", "Garments.csv", "GARMENTS.CSV"])
def test_a_list_is_read_as_a_spreadsheet_writes_it(
    shop: Shop, encoding: str, delimiter: str, first: str, called: str
) -> None:
    shop.has("hat.png")
    text = first.format(delimiter) + LIST.replace(";", delimiter)
    (shop.folder / called).write_bytes(text.encode(encoding))

    found = shop.read()

    (entry,) = found.entries
    assert (entry.file.name, entry.name, entry.brand) == ("hat.png", "Größe 5", "Acmé")
    assert found.left_out == {}


@pytest.mark.parametrize("in_the_list", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_accents_may_be_taken_apart(shop: Shop, in_the_list: Form, on_disk: Form) -> None:
    name = unicodedata.normalize(on_disk, "Café.png")
    (shop.folder / name).write_bytes(b"x")
    listed = unicodedata.normalize(in_the_list, "file,name\nCafé.png,Café\n")
    (shop.folder / "garments.csv").write_text(listed, encoding="utf-8")

    (entry,) = shop.read().entries

    assert (entry.name, entry.picture_path) == ("Café", "garments/cafe.png")


def test_the_line_of_a_fault_counts_the_empty_ones(shop: Shop) -> None:
    shop.has("a.png", listed="\nfile,name\n\n\na.png,\n")

    assert "garments.csv, line 5: no name" in shop.refuses()


def test_of_two_lists_neither_is_taken(shop: Shop) -> None:
    shop.has("a.png", listed="file,name\na.png,A\n")
    (shop.folder / "Garments.csv").write_text("file,name\na.png,B\n")

    assert shop.refuses() == "Garments.csv and garments.csv: which one?"


@pytest.mark.parametrize("data", [b"\xff\xfef", b"file,name\n\x81\x8d", b"PK\3\4\0\0\0\0"])
def test_a_list_that_is_no_text_is_said(shop: Shop, data: bytes) -> None:
    shop.has("a.png")
    (shop.folder / "garments.csv").write_bytes(data)

    assert shop.refuses() == "garments.csv is no text that can be read: save it as 'CSV UTF-8'"


@pytest.mark.parametrize(
    "listed",
    [
        "file,name\na.png,Hat\n",
        "name,file\nHat,a.png\n",
        "\ufefffile,name\r\na.png,Hat\r\n",
        "file,name,size\na.png,Hat,XL\n",
        "file,name,brand\na.png,Hat\n",
        "file,name\na.png,Hat,too,many\n",
        "file,name\n a.png ,  Hat  \n",
        'file,name,brand\n"a.png","Hat"," "\n',
        "file,name\n./a.png,Hat\n",
    ],
)
def test_a_list_may_be_written_in_many_ways(shop: Shop, listed: str) -> None:
    shop.has("a.png", listed=listed)

    shop.do_import()

    assert shop.table.rows == {"garments/a.png": ("Hat", None, None)}


def test_a_name_may_have_commas_and_other_letters(shop: Shop) -> None:
    shop.has("a.png", listed='file,name\na.png,"Jacke, grün"\n')

    assert [entry.name for entry in shop.do_import()] == ["Jacke, grün"]


# -- what cannot be imported --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ("", "garments.csv needs the columns file and name"),
        ("file\na.png\n", "garments.csv needs the columns file and name"),
        ("name\nHat\n", "garments.csv needs the columns file and name"),
        ("file|name\na.png|Hat\n", "garments.csv needs the columns file and name"),
        ("file,name\n", "has no pictures"),
        ("file,name\na.png,\n", "garments.csv, line 2: no name"),
        ("file,name\na.png,  \n", "garments.csv, line 2: no name"),
        ("file,name\na.png,Hat\nb.png,Cap\n", "garments.csv, line 3: no file 'b.png'"),
        ("file,name\n,Hat\n", "garments.csv, line 2: no file ''"),
        ("file,name\n.,Hat\n", "garments.csv, line 2: no file '.'"),
        ("file,name\nsub,Hat\n", "garments.csv, line 2: no file 'sub'"),
        ("file,name\nsub/c.png,Hat\n", "garments.csv, line 2: no file 'sub/c.png'"),
        ("file,name\n../secret.png,Hat\n", "garments.csv, line 2: no file '../secret.png'"),
        ("file,name\na.png,Hat\na.png,Cap\n", "a.png: two files would be garments/a.png"),
    ],
)
def test_a_wrong_list_is_said_before_anything_is_stored(shop: Shop, listed: str, why: str) -> None:
    (shop.folder / "sub").mkdir()
    (shop.folder / "sub" / "c.png").write_bytes(b"c")
    shop.has("a.png", "../secret.png", listed=listed)

    assert why in shop.refuses()


def test_an_address_of_the_whole_disk_is_not_in_the_folder(shop: Shop) -> None:
    outside = shop.folder.parent / "outside.png"
    outside.write_bytes(b"secret")
    shop.has("a.png", listed=f"file,name\n{outside},Hat\n")

    assert "line 2: no file" in shop.refuses()


def test_a_folder_without_pictures_is_none(shop: Shop) -> None:
    shop.has("notes.txt")

    assert shop.refuses().endswith(
        "has no pictures (.png, .jpg, .jpeg, .jfif, .webp, .heic, .heif)"
    )


@pytest.mark.parametrize("name", ["missing", "file.png"])
def test_what_is_no_folder_is_none(shop: Shop, name: str) -> None:
    shop.has("file.png")
    shop.folder /= name

    assert shop.refuses() == f"{shop.folder} is not a folder"


def test_two_files_of_one_name_are_one_too_many(shop: Shop) -> None:
    shop.has("a.png", "a.jpg", "b.png")

    assert "two files would be garments/a.png" in shop.refuses()


def test_a_picture_that_is_none_is_skipped_in_words_and_the_rest_is_taken(shop: Shop) -> None:
    shop.has("a.png", "b.png", "c.png")
    (shop.folder / "b.png").write_text("photo_unsupported")

    first, second, third = shop.imported()

    spec = CATALOGUE["photo_unsupported"]
    assert (second.outcome, second.why) == ("skipped", f"{spec.message} {spec.hint}")
    assert (first.outcome, third.outcome) == ("new", "new")
    stored = ["garments/a.png", "garments/c.png"]
    assert list(shop.table.rows) == list(shop.bucket.objects) == stored


def test_a_file_that_goes_meanwhile_is_skipped(shop: Shop) -> None:
    shop.has("a.png", "b.png")
    entries = shop.read().entries
    (shop.folder / "a.png").unlink()

    first, second = shop.garments.import_entries(entries)

    assert (first.outcome, second.outcome) == ("skipped", "new")
    assert "a.png" in str(first.why)


def test_a_row_comes_only_after_its_picture(shop: Shop) -> None:
    shop.has("a.png")
    shop.bucket.away = True

    with pytest.raises(Unavailable):
        shop.do_import()

    assert shop.table.rows == {}


def test_each_is_told_when_it_is_done(shop: Shop) -> None:
    shop.has("a.png", "b.png")
    coming: Iterator[Imported] = shop.garments.import_entries(shop.read().entries)

    first = next(coming)

    assert first.entry.picture_path == "garments/a.png"
    assert list(shop.table.rows) == list(shop.bucket.objects) == ["garments/a.png"]


def test_importing_again_changes_what_changed_and_adds_nothing(shop: Shop) -> None:
    shop.has("a.png", "b.png")
    shop.do_import()
    shop.has(listed="file,name,brand,category\na.png,Hat,Nord,hats\n")
    (shop.folder / "a.png").write_bytes(b"new")
    with (shop.folder / "garments.csv").open("a") as listed:
        listed.write("b.png,B,,\n")
    shop.bucket.puts.clear()

    assert [one.outcome for one in shop.imported()] == ["changed", "unchanged"]

    assert [path for path, _, _ in shop.bucket.puts] == ["garments/a.png"]
    assert shop.table.rows == {
        "garments/a.png": ("Hat", "Nord", "hats"),
        "garments/b.png": ("B", None, None),
    }
    assert shop.bucket.objects == {
        "garments/a.png": b"png of new",
        "garments/b.png": b"png of b.png",
    }


# -- the shop -----------------------------------------------------------------------------------


def garment(number: int, picture: str) -> Garment:
    """A garment of the shop."""
    return Garment(str(number), f"Garment {number}", None, None, picture, START)


def urls(page: Page) -> list[str | None]:
    """The URLs of a page's pictures."""
    return [one.image_url for one in page.garments]


def test_a_page_asks_for_one_more_than_is_wanted(shop: Shop) -> None:
    shop.table.garments = [garment(n, f"garments/{n}.png") for n in range(3)]

    first = shop.garments.page("hats", 2)
    shop.table.garments = shop.table.garments[:2]
    last = shop.garments.page(None, 2, (START, "1"))

    assert shop.table.asked == [("hats", 3, None), (None, 3, (START, "1"))]
    assert [one.garment.id for one in first.garments] == ["0", "1"]
    assert (first.more, last.more, len(last.garments)) == (True, False, 2)


def test_all_urls_are_signed_at_once_each_picture_once(shop: Shop) -> None:
    shop.bucket.objects = {"garments/a.png": b"", "garments/b.png": b""}
    pictures = ["garments/b.png", "garments/a.png", "garments/b.png"]
    shop.table.garments = [garment(n, path) for n, path in enumerate(pictures)]

    page = shop.garments.page(None, 3)

    assert urls(page) == [f"https://signed.example/{p}" for p in pictures]
    assert [one.garment.id for one in page.garments] == ["0", "1", "2"]
    small = ["garments/a_thumbnail.webp", "garments/b_thumbnail.webp"]
    assert [set(paths) for paths in shop.bucket.signed] == [{*pictures, *small}]


def test_a_picture_that_is_not_there_has_no_url(shop: Shop) -> None:
    shop.bucket.objects = {"garments/a.png": b""}
    shop.table.garments = [garment(1, "garments/gone.png"), garment(2, "garments/a.png")]

    page = shop.garments.page(None, 5)

    assert urls(page) == [None, "https://signed.example/garments/a.png"]
    assert page.pictured


def test_a_page_is_kept_for_some_seconds(shop: Shop) -> None:
    shop.bucket.objects = {"garments/a.png": b""}
    shop.table.garments = [garment(1, "garments/a.png")]
    first = shop.garments.page("hats", 5)

    shop.seconds += KEPT_SECONDS - 0.1
    assert shop.garments.page("hats", 5) is first
    assert len(shop.table.asked) == 1
    shop.garments.page("hats", 6)
    shop.garments.page("coats", 5)
    shop.garments.page("hats", 5, (START, "1"))
    assert len(shop.table.asked) == 4
    shop.seconds += 0.2
    shop.garments.page("hats", 5)
    assert len(shop.table.asked) == 5


def test_neither_an_empty_shop_nor_an_outage_is_kept(shop: Shop) -> None:
    """It may have been filled a moment later."""
    assert shop.garments.page(None, 5).garments == []
    shop.table.garments = [garment(1, "garments/a.png")]
    assert urls(shop.garments.page(None, 5)) == [None]
    assert not shop.garments.page(None, 5).pictured
    shop.bucket.objects = {"garments/a.png": b""}

    assert urls(shop.garments.page(None, 5)) == ["https://signed.example/garments/a.png"]


def test_no_more_are_kept_than_there_is_memory_for(shop: Shop) -> None:
    shop.table.garments = [garment(n, "https://shop.example/a.png") for n in range(MOST_KEPT // 4)]
    shop.bucket.elsewhere = "https://shop.example/a.png"
    for number in range(5):
        shop.garments.page(f"category {number}", 1000)
    asked = len(shop.table.asked)

    for number in (4, 3, 2, 1):
        shop.garments.page(f"category {number}", 1000)
    assert len(shop.table.asked) == asked
    shop.garments.page("category 0", 1000)
    assert len(shop.table.asked) == asked + 1


def test_no_more_pages_are_kept_than_are_soon_gone_through(shop: Shop) -> None:
    shop.table.garments = [garment(1, shop.bucket.elsewhere)]
    for number in range(MOST_PAGES + 1):
        shop.garments.page(f"category {number}", 5)

    assert len(shop.garments._kept) == MOST_PAGES


def test_so_many_read_at_once_as_leave_the_database_to_users(shop: Shop) -> None:
    gate, reading = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        reading.release()
        assert gate.wait(5)

    shop.table.meanwhile = hold
    with ThreadPoolExecutor(READERS + 1) as threads:
        begun = [threads.submit(shop.garments.page, str(n), 5) for n in range(READERS + 1)]
        for _ in range(READERS):
            assert reading.acquire(timeout=5)
        assert not reading.acquire(blocking=False)
        gate.set()
        assert all(one.result(5) for one in begun)
    assert len(shop.table.asked) == READERS + 1


def test_who_waits_too_long_is_told() -> None:
    table = FakeTable()
    impatient = Garments(
        table=table, pictures=FakeBucket(), photos=FakeNormaliser(), reader_seconds=0.01
    )

    def ask_while_all_read() -> None:
        if len(table.asked) < READERS:
            impatient.page(str(len(table.asked)), 5)
            return
        with pytest.raises(Unavailable):
            impatient.page("one more", 5)

    table.meanwhile = ask_while_all_read
    impatient.page("first", 5)

    assert len(table.asked) == READERS


@pytest.mark.parametrize("lost", ["picture", "row", "name"])
def test_what_was_lost_of_a_garment_is_put_back(shop: Shop, lost: str) -> None:
    shop.has("a.png")
    shop.do_import()
    if lost == "picture":
        shop.bucket.objects.clear()
    elif lost == "row":
        shop.table.garments, shop.table.rows = [], {}
    else:
        shop.table.save("Another", None, None, "garments/a.png")

    assert [one.outcome for one in shop.imported()] == ["new" if lost == "row" else "changed"]

    assert shop.table.rows == {"garments/a.png": ("A", None, None)}
    assert list(shop.bucket.objects) == ["garments/a.png"]


def test_a_name_that_no_file_can_have_is_said(shop: Shop) -> None:
    shop.has(listed=f"file,name\n{'x' * 300}.png,A\n")

    assert shop.refuses().startswith("garments.csv")


def test_names_are_made_of_files_alone(shop: Shop) -> None:
    shop.has("women's-2nd_shirt.png", "---.png")
    (shop.folder / "x.png").mkdir()

    assert {entry.name for entry in shop.do_import()} == {"Women's 2nd Shirt", "---.png"}
