"""`make mutants`, its second half: change the migrations in one place at a time.

The tests in `tests/sql` have to notice. What survives is printed with its difference, unless
`EQUIVALENT` says why nobody could notice it. Ends with 1 if fewer than 90 in 100 of the others were
noticed. A change that PostgreSQL refuses to apply is no mutant.

Two mutants are tested at a time, on two servers. Each gets a database of its own, which is faster
than a server of its own, and meets the tests first that its statement is about.
"""

import difflib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from queue import SimpleQueue

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sql.mutations import Change, changes, statement_at

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from devstack import postgres  # noqa: E402
from vton.errors import MigrationFailed  # noqa: E402

WANTED = 0.9
LANES = 2
PATIENCE = 60.0
"""Seconds until a mutant that makes the tests hang has been noticed."""
PYTEST = (
    "-q", "-x", "-n", "0", "-p", "xdist", "-p", "no:cacheprovider", "--tb=no",
    "--confcutdir=tests/sql",  # tests/conftest.py imports the whole service
)  # fmt: skip
FORKS = multiprocessing.get_context("forkserver")
"""Starts the tests in a copy of a process that has imported pytest: twice as fast."""
FORKS.set_forkserver_preload(["__main__", "xdist.plugin", "_pytest.assertion.rewrite"])

EVERYTHING = "tests/sql"
ADOPTION = "tests/sql/test_adoption.py tests/sql/test_adopted_policies.py"
FIRST = {
    r"^do": f"tests/sql/test_constraints.py {ADOPTION}",
    r"^(update|alter table .* set)\b|object_path": ADOPTION,
    r"^create (unique )?index": "tests/sql/test_indexes.py",
    r"storage\.": "tests/sql/test_bucket.py",
    r"^(revoke|grant|create policy|alter table)\b|schema_version": "tests/sql/test_access.py",
    r"^create table": "tests/sql/test_constraints.py",
    r"claim_submit": "tests/sql/test_claim_submit.py",
    r"record_outcome|allow_one_resubmit": "tests/sql/test_outcomes.py",
    r"tried_today|paid_today": "tests/sql/test_counts.py",
    r"create_session|undo_session": "tests/sql/test_create_session.py",
    r"trigger|record_": "tests/sql/test_erasures.py",
}
"""The first line of a statement, and the tests that are about it."""

EQUIVALENT = {
    "submit_ledger: - return; | + ":
        "without an attempt there is no session either, and no row has none",
    "submit_ledger: - where session_id = recorded.session_id and attempt = p_attempt; |"
    " + where attempt = p_attempt;":
        "an attempt claims one session",
    "new_sessions: - user_id uuid not null references auth.users (id) on delete cascade, |"
    " + user_id uuid references auth.users (id) on delete cascade,":
        "it is in the primary key",
    "new_sessions: - key text not null check (length(key) between 1 and 200), |"
    " + key text check (length(key) between 1 and 200),":
        "it is in the primary key",
}  # fmt: skip
"""A change, as `migration: - before | + after`, and why nobody can tell it from what was before."""


class Result(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    NOT_APPLIED = "not applied"


@dataclass(frozen=True)
class Mutant:
    """A migration with a change."""

    path: Path
    change: Change

    @property
    def difference(self) -> str:
        """The migration and its lines that change."""
        before = self.path.read_text()
        lines = difflib.unified_diff(
            before.splitlines(), self.change.apply(before).splitlines(), n=0, lineterm=""
        )
        changed = [line for line in lines if line[:3] not in ("---", "+++") and line[:2] != "@@"]
        _, _, name = self.path.stem.partition("_")
        return f"{name}: " + " | ".join(f"{line[0]} {line[1:].strip()}" for line in changed)

    @property
    def title(self) -> str:
        """Where it is, and what kind of change."""
        line = self.path.read_text().count("\n", 0, self.change.start) + 1
        return f"{self.path.name}:{line} {self.change.rule}"

    @property
    def first_tests(self) -> str:
        """The tests that are most likely to notice it."""
        line = statement_at(self.path.read_text(), self.change.start)
        return next((tests for words, tests in FIRST.items() if re.search(words, line)), ADOPTION)

    def write(self, folder: Path) -> None:
        """Write all migrations to a new folder, this one changed."""
        shutil.copytree(self.path.parent, folder)
        (folder / self.path.name).write_text(self.change.apply(self.path.read_text()))


class Lane:
    """A server, and mutants that are tested on it one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = postgres.start(folder / "server")
        self._number = 0
        with self._admin() as admin:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                admin.execute(f"alter system set {setting} = off".encode())
            admin.execute("select pg_reload_conf()")
        (folder / "nothing").mkdir()
        postgres.migrate(self._server.url, folder / "nothing")  # only what Supabase brings

    def stop(self) -> None:
        """End the server."""
        self._server.stop(remove=True)

    def examine(self, mutant: Mutant | None) -> Result:
        """Run the tests against a mutant; against the migrations as they are, if it is None."""
        self._number += 1
        name, migrations = f"m{self._number}", self._folder / f"m{self._number}"
        if mutant is None:
            shutil.copytree(postgres.MIGRATIONS, migrations)
        else:
            mutant.write(migrations)
        with self._admin() as admin:
            admin.execute(f"create database {name} template postgres".encode())
            try:
                url = make_conninfo(self._server.url, dbname=name)
                postgres.migrate(url, migrations)
                for tests in (mutant.first_tests, EVERYTHING) if mutant else (EVERYTHING,):
                    if not self._passes(tests, url, migrations):
                        return Result.KILLED
                return Result.SURVIVED
            except MigrationFailed:
                return Result.NOT_APPLIED
            finally:
                admin.execute(f"drop database {name} with (force)".encode())

    def _passes(self, tests: str, url: str, migrations: Path) -> bool:
        process = FORKS.Process(target=run_tests, args=(tests, url, migrations))
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
        return process.exitcode == 0

    def _admin(self) -> psycopg.Connection:
        url = make_conninfo(self._server.url, dbname="template1")
        return psycopg.connect(url, user=postgres.SUPERUSER, autocommit=True)


def run_tests(tests: str, url: str, migrations: Path) -> None:
    """Run them in this process, and end it with their status."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(ROOT)
    os.environ |= {"VTON_DATABASE_URL": url, "VTON_MIGRATIONS": str(migrations)}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    sys.exit(pytest.main([*PYTEST, *tests.split()]))


def results(mutants: list[Mutant]) -> list[Result]:
    """Test every mutant, as many at a time as there are lanes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vton-mutants-")))
        free: SimpleQueue[Lane] = SimpleQueue()
        for number in range(LANES):
            (folder / str(number)).mkdir()
            lane = Lane(folder / str(number))
            stack.callback(lane.stop)
            free.put(lane)

        def examine(mutant: Mutant | None) -> Result:
            lane = free.get()
            try:
                return lane.examine(mutant)
            finally:
                free.put(lane)

        if examine(None) is not Result.SURVIVED:
            raise SystemExit("The tests fail without any change.")
        return list(stack.enter_context(ThreadPoolExecutor(LANES)).map(examine, mutants))


def main() -> int:
    """Make the mutants, run the tests, and say what survived."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and end the servers
    began = time.monotonic()
    mutants = [
        Mutant(path, change)
        for path in sorted(postgres.MIGRATIONS.glob("*.sql"))
        for change in changes(path.read_text())
    ]
    by_result: dict[Result, list[Mutant]] = {result: [] for result in Result}
    for mutant, result in zip(mutants, results(mutants), strict=True):
        by_result[result].append(mutant)
    survivors = by_result[Result.SURVIVED]
    alive = [mutant for mutant in survivors if mutant.difference not in EQUIVALENT]
    for mutant in alive:
        print(f"{mutant.title}\n    {mutant.difference}")
    for change in set(EQUIVALENT) - {mutant.difference for mutant in survivors}:
        print(f"No survivor, though called equivalent:\n    {change}")
    killed = len(by_result[Result.KILLED])
    count = killed + len(alive)
    print(
        f"{len(survivors) - len(alive)} are equivalent, {len(by_result[Result.NOT_APPLIED])} were"
        f" no SQL; {time.monotonic() - began:.0f} s"
    )
    print(f"{count} mutants, {killed} killed ({killed / count:.0%})")
    return 0 if killed / count >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
