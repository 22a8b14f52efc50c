"""What people read, in their language: English, and what there is a file of in `translations/`.

A file is named after its language (ISO 639) and maps our English sentences to theirs, in the
format of GNU gettext (`.po`). One more file is one more language.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from babel.messages.pofile import read_po
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

TRANSLATIONS = Path(__file__).parent / "translations"
ENGLISH = "en"
MAX_ACCEPTED = 200
"""A longer `Accept-Language` is nobody's."""
_FORMERLY = {"in": "id"}
"""Codes of old that some clients still send (Java, Android)."""


@cache
def translations(folder: Path = TRANSLATIONS) -> Mapping[str, Mapping[str, str]]:
    """Return each language's sentences by our English ones."""
    found: dict[str, Mapping[str, str]] = {ENGLISH: {}}
    for path in sorted(folder.glob("*.po")):
        with path.open("rb") as file:
            found[path.stem] = {
                str(message.id): str(message.string)
                for message in read_po(file, locale=path.stem, charset="utf-8")
                if message.id and message.string and not message.fuzzy
            }
    return found


@lru_cache(maxsize=200)
def language_of(accepted: str) -> str:
    """Return the language that suits an `Accept-Language` header (RFC 9110, 12.5.4) best."""
    if not accepted or len(accepted) > MAX_ACCEPTED:
        return ENGLISH
    wanted = parse_accept_header(accepted, LanguageAccept)
    languages = [(tag.split("-")[0].lower(), quality) for tag, quality in wanted]
    named = [(_FORMERLY.get(language, language), quality) for language, quality in languages]
    return LanguageAccept(named).best_match(list(translations()), ENGLISH)


def translated(text: str, language: str) -> str:
    """Return a sentence in a language; as it is, where that language has no other."""
    return translations().get(language, {}).get(text, text)
