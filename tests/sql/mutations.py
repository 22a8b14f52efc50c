"""Single changes of a migration, each of which a test has to notice.

No parser of SQL: it knows how our migrations are written, a keyword in lower case and a statement
beginning a line. A change that makes no SQL is found out when it is applied.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DROPPED = ""
BALANCED = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
"""What may stand between two parentheses."""
TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|\$\$|<>|<=|>=|:=|\|\||::|[\w.]+|\S")
BEFORE_A_CONDITION = {"where", "if", "elsif", "on", "when", "return", "and", "or"}
AFTER_A_CONDITION = {
    "and", "or", "then", "loop", "returning", "order", "group", "limit", ";", ",", "$$"
}  # fmt: skip
OPPOSITES = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
AT_THE_EDGE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}

REPLACED = {
    "negated": [
        (r"\bis not null\b", "is null"),
        (r"\bis null\b", "is not null"),
        (r"\bis distinct from\b", "is not distinct from"),
        (r"\bis false\b", "is not false"),
        (r"(?<!not )\bin \(", "not in ("),
        (r"\bnot between\b|\bbetween\b", "not between"),
        (r"\bnot exists(?= \()", "exists"),
        (r"(?<!not )\bexists(?= \()", "not exists"),
        (r"\bif found then\b", "if not found then"),
        (r"\bnot like\b", "like"),
        (r"(?<!not )\blike\b", "not like"),
        (r"!~\*", "~*"),
        (r"(?<=\) )= \(", "<> ("),
    ],
    "another time": [
        (r"\b24 hours\b", "24 minutes"),
        (r" at time zone 'utc'", DROPPED),
    ],
    "another number": [
        (r"\b1 and 200\b", "0 and 200"),
        (r"\b1 and 200\b", "1 and 201"),
        (r"\b26214400\b", "26214401"),
    ],
    "lock dropped": [
        (r"perform pg_advisory_xact_lock\([^;]*;", DROPPED),
        (r" for update\b(?! of)", DROPPED),
    ],
    "reference weakened": [
        (r" on delete cascade\b", DROPPED),
        (r" on delete set null\b", DROPPED),
        (r" on delete set null\b", " on delete cascade"),
        (r" references [\w.]+ \(id\)( on delete (cascade|set null))?", DROPPED),
    ],
    "statement dropped": [
        (r"(?m)^(revoke|grant|create policy|create trigger|alter table)\b[^;]*;", DROPPED),
        (r"(?m)^create (unique )?index\b[^;]*;", DROPPED),
        (r"(?m)^ +(insert into|update|delete from)\b[^;]*;", DROPPED),
        (r"(?m)^ +return;", DROPPED),
    ],
    "constraint dropped": [
        (rf"\bcheck \({BALANCED}\)", "check (true)"),
        (r"(?m)^    \['\w+', '\w+',\s[^\]]*\],$", DROPPED),
        (r",(?m:$)\s+\['\w+', '\w+',\s[^\]]*\](?=\n  \] loop)", DROPPED),
        (r"\b(user_id|error_message) is not null and ", DROPPED),
        (r" and (original_user_image_url|error_code) is not null", DROPPED),
        (r"(?<! is) not null\b", DROPPED),
        (r"(?<=[a-z]) primary key\b", DROPPED),
        (r",\s+primary key \([^)]*\)", DROPPED),
        (r"(?<=create) unique(?= index)", DROPPED),
        (r" default [^,\n]+?(?=,| check|\n|\) )", DROPPED),
    ],
    "policy opened": [
        (r"(?s)(?<!' )\busing \((?!true).*?\)(?=;)", "using (true)"),
        (r"\busing \(true\)", "using (false)"),
        (r"\bfor select\b", DROPPED),
        (r"(?<=to )anon, (?=authenticated (using|;))", DROPPED),
    ],
    "trigger or function changed": [
        (r" when \(new\.[^)]*\)", DROPPED),
        (r"(?<=after update) of status\b", DROPPED),
        (r" security definer\b", DROPPED),
        (r" set search_path = ''", DROPPED),
        (r"\bdistinct (?!from)", DROPPED),
        (r"(?<=public = )false\b", "true"),
    ],
}
"""What is replaced by what, under the name of the rule."""


@dataclass(frozen=True)
class Change:
    """Characters of a text that are replaced."""

    rule: str
    start: int
    end: int
    replacement: str

    def apply(self, text: str) -> str:
        """The changed text."""
        return text[: self.start] + self.replacement + text[self.end :]


@dataclass(frozen=True)
class Token:
    """A word or a sign, and how many parentheses it lies in."""

    text: str
    start: int
    end: int
    depth: int


def changes(text: str) -> list[Change]:
    """All changes of a migration, none of them twice."""
    code = without_comments(text)
    tokens = list(tokens_of(code))
    found = [*replacements(code), *comparisons(tokens), *conditions(tokens), *lists(code)]
    unique = {change.apply(text): change for change in reversed(found)}
    unique.pop(text, None)
    return sorted(unique.values(), key=lambda change: (change.start, change.end))


def without_comments(text: str) -> str:
    """The text with blanks instead of comments: every place stays where it is."""
    return re.sub(r"--[^\n]*", lambda match: " " * len(match[0]), text)


def tokens_of(code: str) -> Iterator[Token]:
    """The words and signs."""
    depth = 0
    for match in TOKEN.finditer(code):
        depth -= match[0] in ")]"
        yield Token(match[0], match.start(), match.end(), depth)
        depth += match[0] in "(["


def replacements(code: str) -> Iterator[Change]:
    """What `REPLACED` finds."""
    for rule, patterns in REPLACED.items():
        for pattern, replacement in patterns:
            for match in re.finditer(pattern, code):
                yield Change(rule, match.start(), match.end(), replacement)


def comparisons(tokens: list[Token]) -> Iterator[Change]:
    """Comparisons turned round, and with their edge on the other side."""
    assigning: int | None = None  # the depth of a `set` whose signs assign
    for token in tokens:
        if token.text == "set":
            assigning = token.depth
        elif token.text in ("where", ";", "as", "$$", "from", "null"):
            assigning = None
        if assigning == token.depth:
            continue
        if token.text in OPPOSITES:
            yield Change("negated", token.start, token.end, OPPOSITES[token.text])
        if token.text in AT_THE_EDGE:
            yield Change("at the edge", token.start, token.end, AT_THE_EDGE[token.text])


def conditions(tokens: list[Token]) -> Iterator[Change]:
    """Each side of an `and` or `or` dropped."""
    for at, token in enumerate(tokens):
        previous = (tokens[at - 1].text, tokens[at - 2].text)
        if token.text not in ("and", "or") or "create" in previous or "between" in previous:
            continue
        after = at + 1
        while not _ends(tokens[after], token.depth, AFTER_A_CONDITION):
            after += 1 if tokens[after].text != "between" else 3
        yield Change("condition dropped", token.start, tokens[after - 1].end, DROPPED)
        before = at - 1
        while not _ends(tokens[before], token.depth, BEFORE_A_CONDITION):
            before -= 1
        if tokens[before].text not in ("and", "or"):
            start, end = tokens[before + 1].start, tokens[at + 1].start
            yield Change("condition dropped", start, end, DROPPED)


def _ends(token: Token, depth: int, words: set[str]) -> bool:
    return token.depth < depth or (token.depth == depth and token.text in words)


def lists(code: str) -> Iterator[Change]:
    """One table or function left out of a grant."""
    for match in re.finditer(
        r"(?m)^(?:revoke|grant)\b[^;]*?\bon (?:function)?([^;]*?)\b(?:to|from) ", code
    ):
        start, end = match.span(1)
        commas = [start + comma.start() for comma in re.finditer(r",(?![^(]*\))", match[1])]
        if commas:
            yield Change("object left out", start, commas[0] + 1, " ")
        for comma, following in zip(commas, [*commas[1:], end], strict=True) if commas else ():
            yield Change("object left out", comma, following, " ")


def statement_at(text: str, place: int) -> str:
    """The first line of the statement that a place lies in."""
    starts = re.finditer(r"(?m)^(create|do|alter|revoke|grant|update|insert|drop)\b.*$", text)
    lines = [match[0] for match in starts if match.start() <= place]
    return lines[-1] if lines else ""
