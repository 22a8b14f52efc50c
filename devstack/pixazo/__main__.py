"""`python -m devstack.pixazo`: serve the simulator on loopback until SIGTERM."""

from __future__ import annotations

import argparse
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from devstack.pixazo.app import create_app
from devstack.pixazo.settings import CONTRACTS, GARMENT_FIELDS, RESULT_FORMATS, Settings


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with one process, since ledger and tasks are in its memory, and many threads."""

    def __init__(self, app: Flask, port: int) -> None:
        self.app = app
        self.options: dict[str, Any] = {
            "bind": f"127.0.0.1:{port}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": 256,  # a slow fault holds one
            "keepalive": 75,
            "timeout": 0,  # never restart the worker: the ledger would be lost
            "graceful_timeout": 0,  # SIGTERM ends it at once
            "loglevel": "warning",
            "control_socket_disable": True,
            "when_ready": announce,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self.app


def announce(server: Any) -> None:
    """Say where it listens, which is news with `--port 0`."""
    host, port = server.LISTENERS[0].sock.getsockname()
    print(f"Pixazo simulator on http://{host}:{port}", flush=True)


def main() -> None:
    """Read the options and serve."""
    initial = Settings()
    parser = argparse.ArgumentParser(prog="python -m devstack.pixazo", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, default=8002, help="0: a free one, printed when ready")
    add("--key", default="simulator", help="the only valid subscription key")
    add("--delay", type=float, default=initial.delay, help="seconds from submit to COMPLETED")
    add("--contract", choices=CONTRACTS, default=initial.contract)
    add("--garment-field", choices=GARMENT_FIELDS, default=initial.garment_field)
    add("--result-format", choices=RESULT_FORMATS, default=initial.result_format)
    add("--redis", default="", help="the service's Redis, in which a reset ends its pause")
    options = vars(parser.parse_args())
    port, key, redis_url = (options.pop(name) for name in ("port", "key", "redis"))
    try:
        settings = initial.changed(options)
    except ValueError as error:
        parser.error(str(error))
    Server(create_app(key, settings, redis_url), port).run()


if __name__ == "__main__":
    main()
