"""The web process: `gunicorn wsgi:app -c gunicorn.conf.py`."""

from config import Config
from vton.app import create_app
from vton.process import hide_from_others

hide_from_others()
app = create_app(Config.from_env())
