"""What people read: in words for shoppers, and in each language that there is a file of."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vton.errors import CATALOGUE, REASONS, Problem, Reason
from vton.web.envelope import failure_body
from vton.words import TRANSLATIONS, language_of, translated, translations

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "js" / "vton-client.js"
PAGE = ROOT / "vton" / "demo"
SENTENCES = {
    *REASONS.values(),
    *(sentence for spec in CATALOGUE.values() for sentence in (spec.message, spec.hint)),
}
LANGUAGES = sorted(set(translations()) - {"en"})


def _words_of_programmers() -> Iterator[str]:
    yield from ("API", "CORS", "GET", "HTTP", "JSON", "KB", "POST", "URL", "UUID")
    yield from ("Supabase", "access token", "docs/", "header", "multipart", "'errors'", "key")


@pytest.mark.parametrize("sentence", sorted(SENTENCES))
def test_a_shopper_can_read_it(sentence: str) -> None:
    found = [word for word in _words_of_programmers() if re.search(rf"{word}\b", sentence)]

    assert found == []
    assert re.fullmatch(r"[A-Z].*\.", sentence)


def test_there_is_indonesian() -> None:
    assert "id" in LANGUAGES


def spoken_by(text: str, function: str) -> set[str]:
    """The sentences that a script or template hands to its translating function."""
    found = re.findall(rf"\b{function}\(\s*'((?:[^'\\]|\\.)*)'", text)
    return {sentence.replace("\\'", "'") for sentence in found}


def of_the_page() -> set[str]:
    """Every sentence of the page."""
    files = [*(PAGE / "static").glob("*.js"), PAGE / "templates" / "index.html"]
    return set().union(*(spoken_by(file.read_text(encoding="utf-8"), "t") for file in files))


def words_of_the_client() -> dict[str, str]:
    """The client's own Indonesian."""
    table = CLIENT.read_text(encoding="utf-8").partition("const WORDS = {")[2].partition("\n};")[0]
    return dict(re.findall(r"'([^']+)':\s*'([^']+)'", table))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_sentence_and_no_other(language: str) -> None:
    known = translations()[language]

    assert set(known) == SENTENCES | of_the_page() | set(words_of_the_client())
    for sentence, text in known.items():
        assert text.strip()
        assert re.findall(r"{\w+}", sentence) == re.findall(r"{\w+}", text)


def test_the_client_says_the_same_as_the_service() -> None:
    words, client = words_of_the_client(), CLIENT.read_text(encoding="utf-8")

    assert words == {sentence: translations()["id"][sentence] for sentence in words}
    said = set(re.findall(r"'([A-Z][^']+\.)'", client.partition("\n};")[2]))
    assert said - {"Error during try-on:"} <= set(words)


def test_one_more_file_is_one_more_language(tmp_path: Path) -> None:
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    sentence = 'msgid "The photo is too small."\nmsgstr "Das Foto ist zu klein."\n'
    (tmp_path / "de.po").write_text(header + sentence, encoding="utf-8")

    assert translations(tmp_path) == {
        "en": {},
        "de": {"The photo is too small.": "Das Foto ist zu klein."},
    }


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("*", "en"),
        ("id", "id"),
        ("id-ID", "id"),
        ("ID", "id"),
        ("in-ID", "id"),  # Java's and old Android's
        ("id-ID,id;q=0.9,en-US;q=0.8,en;q=0.7", "id"),
        ("en-US,en;q=0.9,id;q=0.8", "en"),
        ("id-ID,en;q=0.5", "id"),
        ("en-GB,id;q=0.5", "en"),
        ("fr,id;q=0.5", "id"),
        ("fr", "en"),
        ("id;q=0", "en"),
        ("id;q=x", "en"),
        (";;;,,,=", "en"),
        ("id," * 100, "en"),
        ("../../etc/passwd", "en"),
    ],
)
def test_the_language_is_the_one_that_suits_best(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_what_has_no_other_words_stays() -> None:
    assert translated("Never heard of.", "id") == "Never heard of."
    assert translated("Please sign in.", "xx") == "Please sign in."


def test_the_reasons_of_wrong_fields_are_the_message() -> None:
    problem = Problem(
        "invalid_fields",
        errors={
            "userImage": [Reason(REASONS["photo_missing"], "Required.")],
            "garmentId": [Reason(REASONS["garment_missing"], "Not a garment id (a UUID).")],
        },
    )

    assert failure_body(problem, "1", "id") == {
        "success": False,
        "message": "Silakan pilih foto. Silakan pilih pakaian.",
        "code": "invalid_fields",
        "hint": "Silakan periksa lalu coba lagi.",
        "retryable": False,
        "request_id": "1",
        "detail": "userImage: Required. garmentId: Not a garment id (a UUID).",
        "errors": {
            "userImage": ["Silakan pilih foto."],
            "garmentId": ["Silakan pilih pakaian."],
        },
    }


def test_each_file_is_named_after_a_language() -> None:
    assert all(re.fullmatch("[a-z]{2,3}", path.stem) for path in TRANSLATIONS.iterdir())
