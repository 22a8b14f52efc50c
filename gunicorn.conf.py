"""How gunicorn runs the web process. Where it listens, PORT says (gunicorn's own default)."""

import os

workers = int(os.environ.get("WEB_CONCURRENCY") or 1)
worker_class = "gevent"
# Clients are made in each worker, after the fork: an inherited connection may answer with
# another process's rows.
preload_app = False
# Below Heroku's 30 s, after which it kills.
graceful_timeout = 25
timeout = 30
# Longer than a proxy keeps an idle connection is not needed; longer than a poll's interval is.
keepalive = 15
# Heroku's router sets X-Forwarded-Proto and is the only one that can reach the process.
forwarded_allow_ips = "*"
accesslog = None
# Nobody here uses gunicorn's control interface.
control_socket_disable = True
