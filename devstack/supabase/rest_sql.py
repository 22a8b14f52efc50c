"""From a parsed REST request to one SQL statement.

Names are composed as identifiers and values as literals, by psycopg.sql; what else goes in is
written here or comes from the database's own catalogue. PostgreSQL builds the JSON, so that every
type looks as it does from PostgREST. Each statement answers one row: `body`, `rows` (how many)
and, where asked for, `total` and `inserted`.
"""

from dataclasses import dataclass

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from devstack.supabase.rest_query import (
    OPERATORS,
    Column,
    Condition,
    Embed,
    Group,
    Level,
    Ordering,
    Query,
)
from devstack.supabase.rest_schema import SCHEMA, Function, Schema, Table

MAX_ROWS = 1000
"""A hosted project answers no more rows than this at once, unless told otherwise."""

Names = tuple[str, ...]
"""Columns, or the keys of the embedded tables that lead to a level."""


def _name(table: str) -> Identifier:
    return Identifier(SCHEMA, table)


def _and(conditions: list[Composable]) -> Composable:
    return SQL(" and ").join(conditions) if conditions else SQL("true")


@dataclass
class Statements:
    """Composes the statements of one request."""

    schema: Schema
    query: Query
    single: bool = False
    """Whether the one row itself is wanted, and not a list."""
    representation: bool = True
    """Whether the rows of a change are wanted back."""

    def read(self, table: Table, *, count: bool) -> Composed:
        """Select rows of a table."""
        return self._answer(SQL("with "), _name(table.name), table.name, count=count)

    def insert(
        self, table: Table, body: str, columns: Names, *, resolution: str, defaults: bool
    ) -> Composed:
        """Insert every object of the JSON array `body`."""
        target, names = _name(table.name), _names(columns)
        if columns:
            rows = self._rows(table, body, columns if defaults else ())
            head = SQL(
                "insert into {0} ({1}) select {1} from json_populate_recordset(null::{0}, {2})"
            )
            change = head.format(target, names, rows)
        else:
            head = SQL("insert into {} select from json_array_elements({})")
            change = head.format(target, _json(body))
        conflict = self._on_conflict(table, columns, resolution)
        return self._change(change + conflict, table, merges=resolution == "merge")

    def _rows(self, table: Table, body: str, defaulted: Names) -> Composable:
        """The rows to insert; a key that is missing in one becomes its column's default."""
        parts: list[Composable] = [
            SQL("{}, {}").format(Literal(column), SQL(default))
            for column in defaulted
            if (default := table.defaults[column]) is not None
        ]
        if not parts:
            return _json(body)
        return SQL(
            "(select coalesce(jsonb_agg(jsonb_build_object({}) || given), '[]')"
            " from jsonb_array_elements({}::jsonb) as given)::json"
        ).format(SQL(", ").join(parts), Literal(body))

    def _on_conflict(self, table: Table, columns: Names, resolution: str) -> Composable:
        keys = self.query.on_conflict or table.primary_key
        if not resolution or not keys:
            return SQL("")
        if resolution == "ignore" or not columns:
            return SQL(" on conflict ({}) do nothing").format(_names(keys))
        settings = [SQL("{0} = excluded.{0}").format(Identifier(name)) for name in columns]
        return SQL(" on conflict ({}) do update set {}").format(
            _names(keys), SQL(", ").join(settings)
        )

    def update(self, table: Table, body: str, columns: Names) -> Composed:
        """Set the columns of the JSON object `body` in the rows the filters choose."""
        target = _name(table.name)
        if not columns:
            nothing = SQL("select null::{} as _row, true as _inserted where false").format(target)
            return self._changed(nothing, table)
        settings = [SQL("{0} = _body.{0}").format(Identifier(name)) for name in columns]
        return self._change(
            SQL(
                "update {} set {} from json_populate_record(null::{}, {}) as _body where {}"
            ).format(
                target, SQL(", ").join(settings), target, _json(body), self._filters(table.name)
            ),
            table,
        )

    def delete(self, table: Table) -> Composed:
        """Delete the rows the filters choose."""
        filters = self._filters(table.name)
        return self._change(
            SQL("delete from {} where {}").format(_name(table.name), filters), table
        )

    def _filters(self, table: str) -> Composable:
        return _and([_condition(table, part) for part in self.query.level().conditions])

    def _change(self, change: Composable, table: Table, *, merges: bool = False) -> Composed:
        """A change, whose rows are then read like a table: `select` and embedding apply to them.

        Where nothing of them is wanted nothing is read, since that takes the right to.
        """
        row = Identifier(table.name) if self.representation else SQL("null")
        inserted = SQL("{}.xmax = 0").format(Identifier(table.name)) if merges else SQL("true")
        returning = SQL(" returning {} as _row, {} as _inserted").format(row, inserted)
        return self._changed(change + returning, table)

    def _changed(self, changed: Composable, table: Table) -> Composed:
        source = SQL("with _changed as ({})").format(changed)
        if not self.representation:
            return source + SQL(
                " select '' as body, count(*) as rows, count(*) filter (where _inserted)"
                " as inserted from _changed"
            )
        return self._answer(
            source + SQL(", "),
            SQL("(select (_row).* from _changed)"),
            table.name,
            level=Level(order=self.query.level().order),
            inserted=True,
        )

    def call(self, function: Function, body: str, given: set[str], *, count: bool) -> Composed:
        """Call a function with the arguments in the JSON object `body`."""
        called = self._called(function, body, given)
        if function.returns == "rows":
            source = SQL("with _called as (select _result.* from {}), ").format(called)
            return self._answer(
                source, SQL("_called"), function.name, count=count, one=not function.returns_set
            )
        total = SQL(", count(*) as total") if count else SQL("")
        element, nothing = (SQL(""), "[]") if function.returns_set else (SQL("->0"), "null")
        return SQL(
            "select coalesce(json_agg(_result){}, {})::text as body, count(*) as rows{} from {}"
        ).format(element, Literal(nothing), total, called)

    def _called(self, function: Function, body: str, given: set[str]) -> Composable:
        name = _name(function.name)
        if not given:
            return SQL("{}() as _result").format(name)
        named = sorted(given)
        arguments = [SQL("{0} := _given.{0}").format(Identifier(word)) for word in named]
        types = [
            SQL("{} {}").format(Identifier(word), SQL(function.parameters[word])) for word in named
        ]
        return SQL("json_to_record({}) as _given({}), lateral {}({}) as _result").format(
            _json(body), SQL(", ").join(types), name, SQL(", ").join(arguments)
        )

    def _answer(
        self,
        source: Composable,
        rows: Composable,
        table: str,
        *,
        level: Level | None = None,
        count: bool = False,
        one: bool = False,
        inserted: bool = False,
    ) -> Composed:
        """The rows of `rows`, seen as those of `table`, as one JSON text."""
        level, one = level or self.query.level(), one or self.single
        base = SQL("from {} as {} where {}").format(
            rows, Identifier(table), self._where(table, table, self.query.items, level, ())
        )
        selected = SQL("select {} {}{}").format(
            self._select(table, table, self.query.items, ()),
            base,
            _tail(table, level, None if inserted else MAX_ROWS),
        )
        extra: list[Composable] = []
        if count:
            extra.append(SQL(", (select count(*) {}) as total").format(base))
        if inserted:
            extra.append(SQL(", (select count(*) from _changed where _inserted) as inserted"))
        return SQL(
            "{}_rows_ as ({}) select coalesce(json_agg(_rows_){}, '{}')::text as body,"
            " count(*) as rows{} from _rows_"
        ).format(
            source,
            selected,
            SQL("->0" if one else ""),
            SQL("null" if one else "[]"),
            Composed(extra),
        )

    def _select(
        self, table: str, alias: str, items: tuple[Column | Embed, ...], path: Names
    ) -> Composable:
        selected: list[Composable] = []
        for item in items:
            if isinstance(item, Embed):
                if item.items:
                    embedded = self._embedded(table, alias, item, (*path, item.key))
                    selected.append(SQL("{} as {}").format(embedded, Identifier(item.key)))
            elif item.name == "*":
                selected.append(SQL("{}.*").format(Identifier(alias)))
            else:
                name = Identifier(alias, item.name)
                renamed = SQL(" as {}").format(Identifier(item.alias)) if item.alias else SQL("")
                selected.append(name + renamed)
        return SQL(", ").join(selected)

    def _embedded(self, table: str, alias: str, embed: Embed, path: Names) -> Composable:
        """The related row as an object, or the related rows as an array."""
        relation = self.schema.relation(table, embed.target, embed.hint)
        inner = f"{relation.table}_{len(path)}"
        level = self.query.level(path)
        rows = SQL("select {} {}{}").format(
            self._select(relation.table, inner, embed.items, path),
            self._joined(table, alias, embed, path),
            _tail(inner, level, None),
        )
        if relation.to_one:
            return SQL("(select row_to_json(_one) from ({}) as _one)").format(rows)
        return SQL("(select coalesce(json_agg(_many), '[]') from ({}) as _many)").format(rows)

    def _joined(self, table: str, alias: str, embed: Embed, path: Names) -> Composable:
        """`from` and `where` of the related rows that the filters on them let through."""
        relation = self.schema.relation(table, embed.target, embed.hint)
        inner = f"{relation.table}_{len(path)}"
        pairs: list[Composable] = [
            SQL("{} = {}").format(Identifier(inner, theirs), Identifier(alias, ours))
            for theirs, ours in relation.pairs
        ]
        where = self._where(relation.table, inner, embed.items, self.query.level(path), path)
        return SQL("from {} as {} where {} and {}").format(
            _name(relation.table), Identifier(inner), _and(pairs), where
        )

    def _where(
        self,
        table: str,
        alias: str,
        items: tuple[Column | Embed, ...],
        level: Level,
        path: Names,
    ) -> Composable:
        """The filters of a level, and a related row for each of its inner joins."""
        conditions = [_condition(alias, part) for part in level.conditions]
        for item in items:
            if isinstance(item, Embed) and item.inner:
                joined = self._joined(table, alias, item, (*path, item.key))
                conditions.append(SQL("exists (select {})").format(joined))
        return _and(conditions)


def _names(columns: Names) -> Composed:
    return SQL(", ").join([Identifier(name) for name in columns])


def _json(body: str) -> Composed:
    return SQL("{}::json").format(Literal(body))


def _condition(alias: str, part: Condition | Group) -> Composable:
    negation = SQL("not " if part.negated else "")
    if isinstance(part, Group):
        joint = SQL(" or " if part.joined_by == "or" else " and ")
        return negation + SQL("({})").format(joint.join([_condition(alias, p) for p in part.parts]))
    column = Identifier(alias, part.column)
    return negation + SQL("({} {})").format(column, _compared(part))


def _compared(condition: Condition) -> Composable:
    """The operator and its right side. A literal has no type yet: it takes the column's."""
    value = condition.value
    if isinstance(value, list):
        return SQL("= any ({})").format(Literal(_array(value)))
    if condition.operator == "is":
        return SQL("is " + value.replace("_", " "))
    if condition.operator in ("like", "ilike"):
        value = value.replace("*", "%")
    return SQL("{} {}").format(SQL(OPERATORS[condition.operator]), Literal(value))


def _array(values: list[str]) -> str:
    """An array in PostgreSQL's text form, so that its elements take the column's type."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


def _tail(alias: str, level: Level, cap: int | None) -> Composable:
    """Order, limit and offset."""
    parts: list[Composable] = []
    if level.order:
        terms = SQL(", ").join([_ordering(alias, ordering) for ordering in level.order])
        parts.append(SQL(" order by {}").format(terms))
    limits = [limit for limit in (level.limit, cap) if limit is not None]
    if limits:
        parts.append(SQL(" limit {}").format(Literal(min(limits))))
    if level.offset:
        parts.append(SQL(" offset {}").format(Literal(level.offset)))
    return Composed(parts)


_MODIFIERS = {"asc": "asc", "desc": "desc", "nullsfirst": "nulls first", "nullslast": "nulls last"}


def _ordering(alias: str, ordering: Ordering) -> Composable:
    words = [SQL(_MODIFIERS[modifier]) for modifier in ordering.modifiers]
    return SQL(" ").join([Identifier(alias, ordering.column), *words])
