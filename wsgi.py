"""The web process: `gunicorn wsgi:app -c gunicorn.conf.py`."""

from config import Config
from vton.app import create_app

app = create_app(Config.from_env())
