"""Commands for the operator: `flask --app wsgi …`."""

import click
from flask import Flask

from vton.cli.doctor import doctor
from vton.cli.garments import garments_commands
from vton.cli.service import keys_commands, migrate, pause, resume, stats
from vton.cli.sessions import sessions_commands
from vton.cli.storage import storage_commands
from vton.cli.users import users_commands

COMMANDS: tuple[click.Command, ...] = (
    doctor, garments_commands, keys_commands, migrate, pause, resume, sessions_commands, stats,
    storage_commands, users_commands,
)  # fmt: skip


def init_app(app: Flask) -> None:
    """Add the commands to the application."""
    for command in COMMANDS:
        app.cli.add_command(command)
