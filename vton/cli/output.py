"""What commands have in common: what they work with, and how they say it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, cast
from uuid import UUID

import click
import orjson
from flask import current_app
from tabulate import tabulate

from vton.errors import Problem, Reason, Unavailable
from vton.garments.service import Garments
from vton.operations.model import Finding
from vton.operations.ports import GarmentRemoval, Pauses, Records
from vton.tryon.ports.storage import Pictures
from vton.tryon.service import TryOns
from vton.tryon.starter import Starter
from vton.web.health import Health

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the commands work with. `migrate` is there where the database's address is known.

    `database_now` asks the database for its time, and raises Unavailable.
    """

    starter: Starter
    tryons: TryOns
    garments: Garments
    garment_removal: GarmentRemoval
    pictures: Pictures
    records: Records
    pauses: Pauses
    health: Health
    database_now: Callable[[], datetime]
    migrate: Callable[[bool], Iterator[str]] | None


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What `doctor` and `keys check` look at, each yielding what it finds.

    `try_on` makes one paid try-on, stores the picture in the file that it is given, and yields
    what it does meanwhile.
    """

    all: Callable[[], Iterator[Finding]]
    keys: Callable[[], Iterator[Finding]] | None = None
    try_on: Callable[[str], Iterator[str]] | None = None


def tools() -> Tools:
    """Return what this command works with; end it where the settings do not allow any work."""
    if error := current_app.extensions.get("config_error"):
        raise click.ClickException(str(error))
    return cast(Tools, current_app.extensions["tools"])


def checks() -> Checks:
    """Return the checks; without usable settings, those of the settings alone."""
    return cast(Checks, current_app.extensions["checks"])


@contextmanager
def said_plainly() -> Iterator[None]:
    """End the command with one line where a part is away, or a limit or rule is against it."""
    try:
        yield
    except Unavailable as away:
        raise click.ClickException(f"{away.why}.") from None
    except Problem as problem:
        wrong = [why for reasons in (problem.errors or {}).values() for why in reasons]
        reasons = [f"{why.text} {why.detail}" if isinstance(why, Reason) else why for why in wrong]
        told = " ".join(reasons) or problem.spec.detail or problem.spec.hint
        raise click.ClickException(f"{problem.message} {told}") from None


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, none: str = "None.") -> None:
    """Print rows as a table, or as JSON; `none` is said in place of an empty table."""
    if as_json:
        show_json(list(rows))
    elif rows:
        shown = [{name: _cell(value) for name, value in row.items()} for row in rows]
        click.echo(tabulate(shown, headers="keys", disable_numparse=True))
    else:
        click.echo(none)


def show_json(data: object) -> None:
    """Print something as JSON."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    click.echo(orjson.dumps(data, default=str, option=options).decode())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return printable(value)


def printable(text: object) -> str:
    """Return what others have named so that a terminal only shows it."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def seconds_between(start: str | None, end: str | None) -> str:
    """Return how long something took, or nothing where it has no end."""
    if not start or not end:
        return ""
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.1f}"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that costs or deletes; end the command where the answer is no."""
    if not yes:
        click.confirm(question, abort=True)


def refuse(why: str) -> NoReturn:
    """End the command with a line."""
    raise click.ClickException(why)


class Uuid(click.ParamType[Any]):
    """An id, as the database writes it."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id; fail where it is none."""
        try:
            return str(UUID(str(value)))
        except ValueError:
            self.fail(f"{value!r} is no id", param, ctx)


class Since(click.ParamType[Any]):
    """A time: `90m`, `12h`, `7d` ago, or a date and time in UTC."""

    name = "since"
    _UNITS = {"m": "minutes", "h": "hours", "d": "days"}  # noqa: RUF012 - it is never changed

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time; fail where it is none."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            if unit := self._UNITS.get(text[-1:]):
                return datetime.now(UTC) - timedelta(**{unit: float(text[:-1])})
            found = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither 90m, 12h or 7d nor a date such as 2026-11-27", param, ctx
            )
        return found if found.tzinfo else found.replace(tzinfo=UTC)
