"""Processes that are started together and end together, leaving nothing behind."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

PATIENCE = 30.0
"""Seconds until a process that does not answer has failed to start."""


class StartError(Exception):
    """A part could not be started; the message says which and why, in one line."""


class Stopped(Exception):
    """Everything is asked to end, before it had all started."""


@dataclass(frozen=True)
class Running:
    """One process of ours, in a session of its own, so that Ctrl-C reaches only us."""

    name: str
    popen: subprocess.Popen[str]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def end(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic seconds), then kill the whole group."""
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(max(0.05, deadline - time.monotonic()))
        self.signal(signal.SIGKILL)
        self.popen.wait()


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Have Linux kill this process when the stack is killed, which can then end nothing itself."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """Starts processes, prints what they say behind their names, and ends them."""

    def __init__(self, stopping: threading.Event, *, quiet: bool = False) -> None:
        self._stopping = stopping
        self._running: list[Running] = []
        self._started: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {}
        self._quiet = quiet
        self.output: dict[str, list[str]] = {}

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> Running:
        """Start a process and return at once. Raises Stopped once that was asked for."""
        if self._stopping.is_set():
            raise Stopped
        popen = subprocess.Popen(
            command,
            env=dict(environ) | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        running = Running(name, popen)
        self._running.append(running)
        self._started[name] = command, environ
        self.output[name] = []
        threading.Thread(target=self._relay, args=(running,), daemon=True).start()
        return running

    def wait_until_listening(self, running: Running, port: int) -> None:
        """Return once the process takes connections on a loopback port.

        Raises StartError if it never does, and Stopped.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._stopping.is_set():
                raise Stopped
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if running.popen.poll() is not None:
                break
            time.sleep(0.02)
        lines = self.output[running.name][-3:]
        raise StartError(f"{running.name} did not start: {' | '.join(lines) or 'no output'}")

    def ended(self) -> Running | None:
        """Return a process that has ended by itself, if one has."""
        return next((one for one in self._running if one.popen.poll() is not None), None)

    def stop(self, names: Sequence[str], seconds: float) -> None:
        """End the named processes: SIGINT (quick, for all of ours), then SIGKILL."""
        leaving = [one for one in self._running if one.name in names]
        deadline = time.monotonic() + seconds
        for one in leaving:
            one.signal(signal.SIGINT)
        for one in leaving:
            one.end(deadline)
            self._running.remove(one)

    def end(self, name: str, number: signal.Signals, seconds: float = PATIENCE) -> int:
        """Send a signal to a process and all that it started, and return its exit code.

        Raises subprocess.TimeoutExpired if it does not end within `seconds`.
        """
        one = self.find(name)
        one.signal(number)
        code = one.popen.wait(seconds)
        self._running.remove(one)
        return code

    def start_again(self, name: str) -> Running:
        """Start a process that ended, as it was started before."""
        command, environ = self._started[name]
        return self.start(name, command, environ)

    def find(self, name: str) -> Running:
        """The running process of that name."""
        return next(one for one in self._running if one.name == name)

    def names(self) -> list[str]:
        """The names of all processes that run."""
        return [one.name for one in self._running]

    def _relay(self, running: Running) -> None:
        assert running.popen.stdout is not None
        for line in running.popen.stdout:
            lines = self.output[running.name]
            lines.append(line.rstrip())
            del lines[:-1000]
            if not self._quiet and not self._stopping.is_set():
                sys.stdout.write(f"{running.name:>8} | {line}")
                sys.stdout.flush()


def is_free(port: int) -> bool:
    """Whether a loopback port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port
