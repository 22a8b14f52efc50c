"""What a REST request asks for: PostgREST's query string, parsed. Knows no database.

Grammar: https://docs.postgrest.org/en/v12/references/api/tables_views.html
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from devstack.supabase.rest_errors import RestError, not_supported

OPERATORS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS |= {"like": "like", "ilike": "ilike"}
IS_VALUES = ("null", "not_null", "true", "false", "unknown")
_ELSEWHERE = {"match", "imatch", "cs", "cd", "ov", "sl", "sr", "nxl", "nxr", "adj", "isdistinct"}
_ELSEWHERE |= {"fts", "plfts", "phfts", "wfts"}


@dataclass(frozen=True)
class Column:
    """A selected column; `*` is all of them."""

    name: str
    alias: str = ""


@dataclass(frozen=True)
class Embed:
    """A related table, selected inside its parent's row."""

    target: str
    alias: str
    hint: str
    inner: bool
    items: tuple["Column | Embed", ...]

    @property
    def key(self) -> str:
        """What it is called in the answer, and in the filters that concern it."""
        return self.alias or self.target


@dataclass(frozen=True)
class Condition:
    """One comparison; `value` is a list for `in` alone."""

    column: str
    operator: str
    value: str | list[str]
    negated: bool = False


@dataclass(frozen=True)
class Group:
    """Conditions joined by `and` or `or`."""

    joined_by: str
    parts: tuple["Condition | Group", ...]
    negated: bool = False


@dataclass(frozen=True)
class Ordering:
    column: str
    modifiers: tuple[str, ...]


@dataclass
class Level:
    """What concerns one table of the answer: the one asked for, or an embedded one."""

    conditions: list[Condition | Group] = field(default_factory=list)
    order: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0


@dataclass
class Query:
    """A whole query string. `levels` are named by the path of embedded keys that leads there."""

    items: tuple[Column | Embed, ...] = (Column("*"),)
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] = ()
    levels: dict[tuple[str, ...], Level] = field(default_factory=dict)

    def level(self, path: tuple[str, ...] = ()) -> Level:
        return self.levels.setdefault(path, Level())


def parse(pairs: Iterable[tuple[str, str]]) -> Query:
    """Parse a decoded query string; raises RestError."""
    query = Query()
    for key, value in pairs:
        if key == "select":
            query.items = parse_select(value)
        elif key == "columns":
            query.columns = _names(value)
        elif key == "on_conflict":
            query.on_conflict = _names(value)
        else:
            _parse_level(query, key, value)
    _check_embedded(query)
    return query


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip().strip('"') for name in value.split(",") if name.strip())


def _parse_level(query: Query, key: str, value: str) -> None:
    """One parameter that is a filter, an order or a limit, of the table or of an embedded one."""
    negated = re.search(r"(?:^|\.)not\.(?:and|or)$", key) is not None
    parts = tuple(part.strip('"') for part in re.findall(r'"[^"]*"|[^.]+', key))
    if not parts:
        raise _unparsable("filter", key)
    name = parts[-1]
    level = query.level(parts[: -2 if negated else -1])
    if name in ("and", "or"):
        level.conditions.append(_Logic(value).group(name, negated))
    elif name == "order":
        level.order = _parse_order(value)
    elif name in ("limit", "offset"):
        if not re.fullmatch(r"-?\d+", value):
            raise _unparsable(name, value)
        if int(value) < 0:
            raise RestError.range("Limit should be greater than or equal to zero.")
        setattr(level, name, int(value))
    elif "->" in name:
        raise not_supported("a JSON path in a filter")
    else:
        level.conditions.append(_parse_filter(name, value))


def _check_embedded(query: Query) -> None:
    """Every filter on an embedded table needs that table in the select."""
    for path in query.levels:
        items = query.items
        for key in path:
            found = [item for item in items if isinstance(item, Embed) and item.key == key]
            if not found:
                raise RestError(
                    400,
                    "PGRST108",
                    f"'{key}' is not an embedded resource in this request",
                    hint=f"Verify that '{key}' is included in the 'select' query parameter.",
                )
            items = found[0].items


def _parse_filter(column: str, text: str) -> Condition:
    """`[not.]operator.value`."""
    match = re.fullmatch(r"(not\.)?([a-z]+)(\([^)]*\))?\.(.*)", text, re.DOTALL)
    if not match:
        raise _unparsable("filter", text)
    negated, operator, modifier, value = match.groups()
    if modifier:
        raise not_supported(f"the modifier '{operator}{modifier}'")
    values: str | list[str] = _Logic(value).in_list() if operator == "in" else value
    return _condition(column, operator, values, bool(negated), text)


def _condition(
    column: str, operator: str, value: str | list[str], negated: bool, text: str
) -> Condition:
    if operator in _ELSEWHERE:
        raise not_supported(f"the operator '{operator}'")
    if operator == "is":
        value = str(value).lower()
        if value not in IS_VALUES:
            raise _unparsable("filter", text)
    elif operator not in (*OPERATORS, "in"):
        raise _unparsable("filter", text)
    return Condition(column, operator, value, negated)


def _parse_order(text: str) -> tuple[Ordering, ...]:
    """`column[.asc|.desc][.nullsfirst|.nullslast]`, comma-separated."""
    orderings = []
    for term in text.split(","):
        column, *modifiers = term.strip().split(".")
        if "(" in column or "->" in column:
            raise not_supported("an order by a related table or a JSON path")
        directions = [modifier for modifier in modifiers if modifier in ("asc", "desc")]
        nulls = [modifier for modifier in modifiers if modifier in ("nullsfirst", "nullslast")]
        if not column or directions + nulls != modifiers or len(directions) > 1 or len(nulls) > 1:
            raise _unparsable("order", text)
        orderings.append(Ordering(column.strip('"'), tuple(modifiers)))
    return tuple(orderings)


def _unparsable(what: str, text: str) -> RestError:
    return RestError(400, "PGRST100", f'"failed to parse {what} ({text})" (line 1, column 1)')


class _Text:
    """A text being read from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, token: str) -> bool:
        """Move past `token` if it comes next."""
        found = self.text.startswith(token, self.at)
        if found:
            self.at += len(token)
        return found

    def until(self, stops: str) -> str:
        """A quoted name or value, or everything up to one of `stops`."""
        pattern = r'"((?:[^"\\]|\\.)*)"' if self.peek() == '"' else f"([^{re.escape(stops)}]*)"
        match = re.compile(pattern, re.DOTALL).match(self.text, self.at)
        if not match:
            raise self.error()
        self.at = match.end()
        return re.sub(r"\\(.)", r"\1", match[1]) if match[0].startswith('"') else match[1]

    def error(self, what: str = "filter") -> RestError:
        return _unparsable(what, self.text)


def parse_select(text: str) -> tuple[Column | Embed, ...]:
    """The value of `select`; an empty one is `*`."""
    reader = _Text(re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", text))
    if not reader.text:
        return (Column("*"),)
    items = _select_items(reader)
    if reader.at != len(reader.text):
        raise reader.error("select parameter")
    return items


def _select_items(reader: _Text) -> tuple[Column | Embed, ...]:
    items: list[Column | Embed] = []
    while reader.peek() not in (")", ""):
        items.append(_select_item(reader))
        if not reader.take(","):
            break
    return tuple(items)


def _select_item(reader: _Text) -> Column | Embed:
    """`[alias:]column`, or `[alias:]table[!hint][!inner](items)`."""
    if reader.take("..."):
        raise not_supported("spreading an embedded table")
    alias, name = "", reader.until(",():!")
    if reader.take("::"):
        raise not_supported("a cast")
    if reader.take(":"):
        alias, name = name, reader.until(",():!")
    hints = []
    while reader.take("!"):
        hints.append(reader.until(",():!"))
    if reader.take("("):
        items = _select_items(reader)
        if not reader.take(")") or not name:
            raise reader.error("select parameter")
        if name == "count" or ".count" in name:
            raise not_supported("an aggregate")
        hint = "".join(word for word in hints if word not in ("inner", "left"))
        return Embed(name, alias, hint, "inner" in hints, items)
    if reader.take("::"):
        raise not_supported("a cast")
    if "->" in name:
        raise not_supported("a JSON path in select")
    if not name or hints:
        raise reader.error("select parameter")
    return Column(name, alias)


class _Logic(_Text):
    """The value of `or`, `and` or `in`: terms in parentheses."""

    def group(self, joined_by: str, negated: bool) -> Group:
        """The whole text as one group."""
        group = Group(joined_by, self._terms(), negated)
        if self.at != len(self.text):
            raise self.error("logic tree")
        return group

    def _terms(self) -> tuple[Condition | Group, ...]:
        if not self.take("("):
            raise self.error("logic tree")
        terms = [self._term()]
        while self.take(","):
            terms.append(self._term())
        if not self.take(")"):
            raise self.error("logic tree")
        return tuple(terms)

    def _term(self) -> Condition | Group:
        for word in ("and", "or"):
            for negation in ("", "not."):
                if self.text.startswith(f"{negation}{word}(", self.at):
                    self.at += len(negation) + len(word)
                    return Group(word, self._terms(), bool(negation))
        column = self.until(".,()")
        if not self.take(".") or "->" in column:
            raise self.error("logic tree")
        negated = self.take("not.")
        operator = self.until(".,()")
        if self.peek() == "(":
            raise not_supported(f"a modifier of the operator '{operator}'")
        if not self.take("."):
            raise self.error("logic tree")
        value: str | list[str] = self._values() if operator == "in" else self.until(",)")
        return _condition(column, operator, value, negated, self.text)

    def in_list(self) -> list[str]:
        """The whole text as the values of `in`."""
        values = self._values()
        if self.at != len(self.text):
            raise self.error()
        return values

    def _values(self) -> list[str]:
        if not self.take("("):
            raise self.error()
        if self.take(")"):
            return []
        values = [self.until(",)")]
        while self.take(","):
            values.append(self.until(",)"))
        if not self.take(")"):
            raise self.error()
        return values
