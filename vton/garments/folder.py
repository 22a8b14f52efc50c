"""A folder of pictures, and the list of them that a spreadsheet has written."""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import capwords

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".heic", ".heif")
LIST_FILE = "garments.csv"
COLUMNS = ("file", "name", "brand", "category")
DELIMITERS = ",;\t"
"""Where a comma is in a decimal number, Excel writes a semicolon between columns."""
UTF_16 = b"\xff\xfe", b"\xfe\xff"


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
class Folder:
    """What there is to import, and what is left out: its name, and why."""

    entries: list[Entry]
    left_out: Mapping[str, str]


def read_folder(folder: Path) -> Folder:
    """Return what a folder has. Raises ImportFailed."""
    if not folder.is_dir():
        raise ImportFailed(f"{folder} is not a folder")
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
        lists = [file for file in files if file.name.lower() == LIST_FILE]
        if len(lists) > 1:
            raise ImportFailed(f"{' and '.join(file.name for file in lists)}: which one?")
        pictures = {_composed(file.name): file for file in files if _is_picture(file)}
        left_out = {f.name: _why_not(f) for f in files if not _is_picture(f) and f not in lists}
        if lists:
            entries = list(_listed(lists[0], pictures, left_out))
            named = {entry.file for entry in entries}
            others = (file for file in pictures.values() if file not in named)
            left_out |= {file.name: f"{lists[0].name} does not name it" for file in others}
        else:
            entries = [Entry(file, _title(file), None, None) for file in pictures.values()]
    except OSError as error:
        raise ImportFailed(str(error)) from None
    if not entries:
        raise ImportFailed(f"{folder} has no pictures ({', '.join(PICTURE_SUFFIXES)})")
    paths = [entry.picture_path for entry in entries]
    for entry in entries:
        if paths.count(entry.picture_path) > 1:
            raise ImportFailed(f"{entry.file.name}: two files would be {entry.picture_path}")
    return Folder(entries, left_out)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith("._")


def _why_not(file: Path) -> str:
    if file.name.startswith("._"):
        return "what macOS notes of another file"
    return f"no picture ({', '.join(PICTURE_SUFFIXES)})"


def _title(file: Path) -> str:
    stem = _composed(file.stem)
    return capwords(re.sub(r"[-_]+", " ", stem)) or file.name


def _composed(text: str) -> str:
    """Text with its accents as one character each; macOS takes them apart in names of files."""
    return unicodedata.normalize("NFC", text)


def _listed(file: Path, pictures: Mapping[str, Path], left_out: dict[str, str]) -> Iterator[Entry]:
    """The entries of the folder's list, each with its picture checked to be there."""
    whatever_case = {name.lower(): picture for name, picture in pictures.items()}
    try:
        for line, row in _rows(file, left_out):
            values = {column: _composed(row.get(column) or "").strip() for column in COLUMNS}
            if not any(values.values()):
                continue
            wanted = values["file"].removeprefix("./")
            picture = pictures.get(wanted) or whatever_case.get(wanted.lower())
            if not values["name"]:
                raise ImportFailed(f"{file.name}, line {line}: no name")
            if picture is None:
                raise ImportFailed(f"{file.name}, line {line}: no file {values['file']!r}")
            yield Entry(
                picture, values["name"], values["brand"] or None, values["category"] or None
            )
    except csv.Error as error:
        raise ImportFailed(f"{file.name}: {error}") from None


def _rows(file: Path, left_out: dict[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row by its columns' names, and the line that it ends on."""
    text = _text(file)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = re.match(r"\s*sep=(.)\s*$", first)
    sample = text.partition(first)[2].lstrip("\r\n").partition("\n")[0] if separator else first
    delimiter = separator[1] if separator else max(DELIMITERS, key=sample.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: list[str] = []
    for row in rows:
        if not any(cell.strip() for cell in row) or (
            not columns and separator and rows.line_num == 1
        ):
            continue
        if columns:
            yield rows.line_num, dict(zip(columns, row, strict=False))
            continue
        columns = [cell.strip().lower() for cell in row]
        unknown = [name for name in columns if name and name not in COLUMNS]
        left_out |= {f"{file.name}, column {name}": "not a column of ours" for name in unknown}
        if not {"file", "name"} <= set(columns):
            break
    if not {"file", "name"} <= set(columns):
        raise ImportFailed(f"{file.name} needs the columns file and name ({COLUMNS})")


def _text(file: Path) -> str:
    """What a list says, as Excel writes it: in UTF-8, UTF-16, or Windows' own encoding."""
    data = file.read_bytes()
    encodings = ("utf-16",) if data.startswith(UTF_16) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ImportFailed(f"{file.name} is no text that can be read: save it as 'CSV UTF-8'")
