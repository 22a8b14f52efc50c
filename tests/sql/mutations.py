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
AFTER_A_CONDITION = {"and", "or", "then", "returning", "order", "group", "limit", ";", ",", "$$"}
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
        (r"\bnot exists\b", "exists"),
        (r"(?<!not )\bexists\b", "not exists"),
        (r"\bif found\b", "if not found"),
    ],
    "another time": [
        (r"\b24 hours\b", "24 minutes"),
        (r" at time zone 'utc'", DROPPED),
    ],
    "another number": [
        (r"\b1 and 200\b", "0 and 200"),
        (r"\b1 and 200\b", "1 and 201"),
        (r"(?<=> )0\b", "1"),
        (r"\[1\]", "[2]"),
        (r"\[2\]", "[1]"),
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
        (r"(?<! is) not null\b", DROPPED),
        (r"(?<=[a-z]) primary key\b", DROPPED),
        (r",\s+primary key \([^)]*\)", DROPPED),
        (r"(?<=create) unique(?= index)", DROPPED),
        (r" default [^,\n]+?(?=,| check|\n|\) )", DROPPED),
    ],
    "policy opened": [
        (r"(?s)\busing \((?!true).*?\)(?=;)", "using (true)"),
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
        depth -= match[0] == ")"
        yield Token(match[0], match.start(), match.end(), depth)
        depth += match[0] == "("


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
    """Each side of an `and` or `or` dropped, and each of them made the other."""
    for at, token in enumerate(tokens):
        if token.text not in ("and", "or") or tokens[at - 2].text == "between":
            continue
        other = "or" if token.text == "and" else "and"
        yield Change(f"{token.text} became {other}", token.start, token.end, other)
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
    """One element left out of a list: of values, of tables or functions, of roles."""
    for match in re.finditer(r"(?<= in \()[^()]*(?=\))|(?<=array\[)[^\]]*(?=\])", code):
        yield from _shortened("value left out", code, match.start(), match.end())
    statements = r"(?m)^(?:revoke|grant)\b([^;]*?)\b(?:to|from) ([^;]*);"
    for match in re.finditer(statements, code):
        objects = re.compile(r"\bon (function)?\s*").search(code, match.start(1))
        assert objects is not None
        yield from _shortened("object left out", code, objects.end(), match.end(1))
        yield from _shortened("role left out", code, match.start(2), match.end(2))


def _shortened(rule: str, code: str, start: int, end: int) -> Iterator[Change]:
    """Leave out each element between the commas that are in no parentheses."""
    commas, depth = [], 0
    for place in range(start, end):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if code[place] == "," and not depth:
            commas.append(place)
    if not commas:
        return
    yield Change(rule, start, commas[0] + 1, DROPPED)
    for comma, following in zip(commas, [*commas[1:], end], strict=True):
        yield Change(rule, comma, following, " " if following == end else DROPPED)
