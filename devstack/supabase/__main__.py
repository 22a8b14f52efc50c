"""`python -m devstack.supabase`: the gateway as a process of its own, on loopback only."""

import argparse
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http.unreader import SocketUnreader

from devstack.supabase.app import create_app
from devstack.supabase.database import Database
from devstack.supabase.keys import load_keys
from devstack.supabase.services import Gateway

THREADS = 200
"""Requests served at once. As many threads of a worker may be calling at the same time."""

READ_BYTES = 64 * 1024
"""Werkzeug's pieces; of larger ones gunicorn moves what is left for each piece it hands on."""


class QuickArbiter(Arbiter):  # type: ignore[misc] # gunicorn has no types
    """Ends at once on SIGTERM too: no call here is worth waiting for idle connections."""

    def handle_term(self) -> None:
        self.handle_quit()


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn with our settings, and without its command line and files."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        SocketUnreader.max_body_chunk = READ_BYTES
        settings: dict[str, Any] = {
            "bind": f"127.0.0.1:{self._options.port}",
            "worker_class": "gthread",
            "threads": THREADS,
            "worker_connections": 2000,
            # Longer than any client keeps an idle connection, so that none is closed under it.
            "keepalive": 120,
            "graceful_timeout": 3,
            "control_socket_disable": True,
            "loglevel": "warning",
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in the process that serves: the connections must not be made before the fork."""
        data: Path = self._options.data
        objects = data / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        public_url = self._options.public_url or f"http://127.0.0.1:{self._options.port}"
        database = Database(self._options.database_url)
        return create_app(Gateway(load_keys(data), database, objects, public_url.rstrip("/")))

    def run(self) -> None:
        QuickArbiter(self).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m devstack.supabase", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder for keys and objects")
    parser.add_argument("--public-url", default="", help="default: http://127.0.0.1:PORT")
    Server(parser.parse_args()).run()


if __name__ == "__main__":
    main()
