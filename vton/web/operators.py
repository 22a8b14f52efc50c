"""Who may see the operator's pages: HTTP Basic by a password, or a token for what scrapes."""

import hmac
import logging
from dataclasses import dataclass, field

from flask import request

from vton.errors import Problem
from vton.log import cleaned
from vton.web.limits import RequestRate

logger = logging.getLogger(__name__)

LOGIN = 'Basic realm="operator", charset="UTF-8"'
"""The `WWW-Authenticate` of these pages."""


@dataclass(frozen=True)
class Operators:
    """Lets in who knows the secrets. An empty one lets nobody in."""

    rate: RequestRate
    user: str
    password: str = field(repr=False)
    metrics_token: str = field(repr=False)

    def check_login(self) -> None:
        """Raise Problem unless the request has the operator's name and password."""
        sent = request.authorization
        basic = sent.parameters if sent is not None and sent.type == "basic" else {}
        # Both are compared, so that the time it takes tells nothing about either.
        right_user = _equal(basic.get("username") or "", self.user)
        right_password = _equal(basic.get("password") or "", self.password)
        self._check("admin_login_needed", bool(basic), right_user and right_password)

    def check_token(self) -> None:
        """Raise Problem unless the request has METRICS_TOKEN as its bearer token."""
        sent = request.authorization
        token = (sent.token if sent is not None and sent.type == "bearer" else None) or ""
        self._check("metrics_token_needed", bool(token), _equal(token, self.metrics_token))

    def _check(self, code: str, tried: bool, right: bool) -> None:
        address = request.remote_addr or ""
        self.rate.check_logins(address)
        if not right:
            if tried:
                where = cleaned(request.path, 60), cleaned(address)
                logger.warning("a sign-in to %s failed, from %s", *where)
                self.rate.count_failed_login(address)
            raise Problem(code)


def _equal(sent: str, wanted: str) -> bool:
    return hmac.compare_digest(sent.encode(), wanted.encode()) and bool(wanted)
