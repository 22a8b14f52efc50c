"""The web process: `gunicorn wsgi:app -c gunicorn.conf.py`. Commands: `flask --app wsgi …`."""

import os
import sys

from flask import Flask

from config import Config, ConfigError
from vton import log
from vton.app import create_app, with_commands_only
from vton.process import hide_from_others

hide_from_others()


def _application() -> Flask:
    is_command = "FLASK_RUN_FROM_CLI" in os.environ
    try:
        config = Config.from_env()
    except ConfigError as wrong:
        if not is_command:
            raise
        return with_commands_only(wrong)  # they say --help, and `doctor` says what is wrong
    application = create_app(config)
    if is_command:  # whose own output is another program's input
        log.configure(config.log_level, config.log_format, sys.stderr)
    return application


app = _application()
