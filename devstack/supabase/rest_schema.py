"""What there is in the schema `public`: tables, foreign keys and functions."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from devstack.supabase.database import Database
from devstack.supabase.rest_errors import RestError, not_supported

SCHEMA = "public"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Table:
    name: str
    defaults: dict[str, str | None]
    """Every column in its order, with the SQL of its default."""
    primary_key: tuple[str, ...]
    unique: frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class ForeignKey:
    name: str
    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """How rows of another table belong to a row: pairs of columns, theirs and ours."""

    table: str
    pairs: tuple[tuple[str, str], ...]
    to_one: bool
    constraint: str


@dataclass(frozen=True)
class Function:
    name: str
    parameters: dict[str, str]
    """The SQL type of each named parameter."""
    required: frozenset[str]
    returns_set: bool
    returns: str
    """`void`, `scalar`, or `rows` for a composite type or a table."""
    volatile: bool


_TABLES = """
select c.relname as name,
  (select json_object_agg(a.attname, pg_get_expr(d.adbin, d.adrelid) order by a.attnum)
   from pg_attribute a left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
     and a.attgenerated = ''
   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as defaults,
  (select coalesce(json_agg(json_build_object('primary', i.indisprimary, 'columns',
     (select json_agg(a.attname order by k.n)
      from unnest(i.indkey::int2[]) with ordinality k (num, n)
      join pg_attribute a on a.attrelid = c.oid and a.attnum = k.num))), '[]')
   from pg_index i where i.indrelid = c.oid and i.indisunique and i.indpred is null
     and i.indexprs is null) as keys
from pg_class c where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""

_FOREIGN_KEYS = """
select k.conname as name, s.relname as table,
  t.relname as target,
  (select json_agg(a.attname order by n) from unnest(k.conkey) with ordinality u (num, n)
   join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.num) as columns,
  (select json_agg(a.attname order by n) from unnest(k.confkey) with ordinality u (num, n)
   join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.num) as target_columns
from pg_constraint k join pg_class s on s.oid = k.conrelid join pg_class t on t.oid = k.confrelid
where k.contype = 'f' and s.relnamespace = %s::regnamespace and t.relnamespace = s.relnamespace
"""

_FUNCTIONS = """
select p.proname as name, p.proretset as returns_set, p.provolatile = 'v' as volatile,
  case when t.typname = 'void' then 'void' when t.typtype = 'c' or p.proallargtypes is not null
    or t.typname = 'record' then 'rows' else 'scalar' end as returns,
  (select coalesce(json_agg(json_build_object('name', coalesce(p.proargnames[n], ''),
     'type', format_type(type, null), 'required', n <= p.pronargs - p.pronargdefaults)
     order by n), '[]')
   from unnest(p.proargtypes::oid[]) with ordinality a (type, n)) as arguments
from pg_proc p join pg_type t on t.oid = p.prorettype
where p.pronamespace = %s::regnamespace and p.prokind = 'f' and t.typname <> 'trigger'
"""


class Schema:
    """The cache. What is not found in it is looked for once more, in a fresh one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._tables: dict[str, Table] = {}
        self._foreign_keys: list[ForeignKey] = []
        self._functions: list[Function] = []

    def _reload(self) -> None:
        with self._lock, self._database.transaction(read_only=True) as cursor:
            tables = cursor.execute(_TABLES, (SCHEMA,)).fetchall()
            foreign_keys = cursor.execute(_FOREIGN_KEYS, (SCHEMA,)).fetchall()
            functions = cursor.execute(_FUNCTIONS, (SCHEMA,)).fetchall()
        self._tables = {row["name"]: _table(row) for row in tables}
        self._foreign_keys = [_foreign_key(row) for row in foreign_keys]
        self._functions = [_function(row) for row in functions]

    def _find(self, find: Callable[[], Found | None]) -> Found | None:
        found = find()
        if found is None:
            self._reload()
            found = find()
        return found

    def table(self, name: str) -> Table:
        """The table or view of that name; raises PGRST205."""
        found = self._find(lambda: self._tables.get(name))
        if found is None:
            raise RestError(
                404, "PGRST205", f"Could not find the table '{SCHEMA}.{name}' in the schema cache"
            )
        return found

    def check_columns(self, table: Table, names: tuple[str, ...]) -> None:
        """Raise PGRST204 for a column in a body that the table has not."""
        for name in names:
            if not self._find(partial(self._has, table.name, name)):
                message = f"Could not find the '{name}' column of '{table.name}'"
                raise RestError(400, "PGRST204", f"{message} in the schema cache")

    def _has(self, table: str, column: str) -> bool | None:
        return (table in self._tables and column in self._tables[table].defaults) or None

    def relation(self, origin: str, target: str, hint: str) -> Relation:
        """How `target` (a table, a foreign key, or its column) is related to the table `origin`.

        Raises PGRST200 where it is not, and PGRST201 where it could be in more than one way.
        """
        found = self._find(lambda: self._relations(origin, target, hint) or None)
        if not found:
            self._refuse_junction(origin, target)
            using = f" using the hint '{hint}'" if hint else ""
            raise RestError(
                400,
                "PGRST200",
                f"Could not find a relationship between '{origin}' and '{target}'"
                " in the schema cache",
                details=f"Searched for a foreign key relationship between '{origin}' and"
                f" '{target}'{using} in the schema '{SCHEMA}', but no matches were found.",
            )
        if len(found) > 1:
            ways = ", ".join(f"'{target}!{relation.constraint}'" for relation in found)
            raise RestError(
                300,
                "PGRST201",
                "Could not embed because more than one relationship was found for"
                f" '{origin}' and '{target}'",
                hint=f"Try changing '{target}' to one of the following: {ways}. "
                "Find the desired relationship in the 'details' key.",
            )
        return found[0]

    def _relations(self, origin: str, target: str, hint: str) -> list[Relation]:
        relations = []
        for key in self._foreign_keys:
            names = {key.name, *(key.columns if len(key.columns) == 1 else ())}
            hinted = not hint or hint in names
            if key.table == origin and hinted and target in {key.target, *names}:
                pairs = tuple(zip(key.target_columns, key.columns, strict=True))
                relations.append(Relation(key.target, pairs, True, key.name))
            if key.target == origin and hinted and target in {key.table, key.name}:
                pairs = tuple(zip(key.columns, key.target_columns, strict=True))
                to_one = tuple(sorted(key.columns)) in self._tables[key.table].unique
                relations.append(Relation(key.table, pairs, to_one, key.name))
        return relations

    def _refuse_junction(self, origin: str, target: str) -> None:
        targets: dict[str, set[str]] = {}
        for key in self._foreign_keys:
            targets.setdefault(key.table, set()).add(key.target)
        if any({origin, target} <= reached for reached in targets.values()):
            raise not_supported("embedding through a junction table")

    def function(self, name: str, given: set[str]) -> Function:
        """The function that takes arguments of these names; raises PGRST202 or PGRST203."""
        found = self._find(lambda: self._candidates(name, given) or None)
        if not found:
            raise _no_function(name, sorted(given))
        if len(found) > 1:
            shown = [
                f"{SCHEMA}.{name}({', '.join(f'{p} => {t}' for p, t in f.parameters.items())})"
                for f in found
            ]
            raise RestError(
                300,
                "PGRST203",
                f"Could not choose the best candidate function between: {', '.join(shown)}",
                hint="Try renaming the parameters or the function itself in the database so"
                " function overloading can be resolved",
            )
        return found[0]

    def _candidates(self, name: str, given: set[str]) -> list[Function]:
        return [
            function
            for function in self._functions
            if function.name == name and function.required <= given <= set(function.parameters)
        ]

    def parameters(self, name: str) -> set[str]:
        """Every parameter that a function of that name knows."""
        found = self._find(lambda: [f for f in self._functions if f.name == name] or None)
        return {parameter for function in found or [] for parameter in function.parameters}


def _table(row: dict[str, Any]) -> Table:
    keys = [(key["primary"], tuple(key["columns"] or ())) for key in row["keys"]]
    primary = next((columns for is_primary, columns in keys if is_primary), ())
    unique = frozenset(tuple(sorted(columns)) for _, columns in keys)
    return Table(row["name"], row["defaults"] or {}, primary, unique)


def _foreign_key(row: dict[str, Any]) -> ForeignKey:
    columns, targets = tuple(row["columns"]), tuple(row["target_columns"])
    return ForeignKey(row["name"], row["table"], columns, row["target"], targets)


def _function(row: dict[str, Any]) -> Function:
    arguments = row["arguments"]
    return Function(
        name=row["name"],
        parameters={argument["name"]: argument["type"] for argument in arguments},
        required=frozenset(argument["name"] for argument in arguments if argument["required"]),
        returns_set=row["returns_set"],
        returns=row["returns"],
        volatile=row["volatile"],
    )


def _no_function(name: str, given: list[str]) -> RestError:
    signature = f"({', '.join(given)})" if given else " without parameters"
    searched = f" with parameter{'s' if len(given) > 1 else ''} {', '.join(given)}"
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {SCHEMA}.{name}{signature} in the schema cache",
        details=f"Searched for the function {SCHEMA}.{name}"
        f"{searched if given else ' without parameters'} or with a single unnamed json/jsonb"
        " parameter, but no matches were found in the schema cache.",
    )
