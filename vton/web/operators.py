"""Who may see the operator's pages: HTTP Basic by a password, or a token for what scrapes."""

import hmac
import logging
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import quote

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
        address = request.remote_addr or ""
        self.rate.check_logins(_network(address))
        sent = request.authorization
        basic = sent.parameters if sent is not None and sent.type == "basic" else {}
        # Both are compared, so that the time it takes tells nothing about either.
        right_user = _equal(basic.get("username") or "", self.user)
        right_password = _equal(basic.get("password") or "", self.password)
        if not (right_user and right_password):
            if basic:
                where = cleaned(quote(request.path), 60)
                logger.warning("a sign-in to %s failed, from %s", where, address)
                self.rate.count_failed_login(_network(address))
            raise Problem("admin_login_needed")

    def check_token(self) -> None:
        """Raise Problem unless the request has METRICS_TOKEN as its bearer token.

        It is too long to be guessed, so that tries need no limit, which could shut out who has it.
        """
        sent = request.authorization
        token = (sent.token if sent is not None and sent.type == "bearer" else None) or ""
        if not _equal(token, self.metrics_token):
            raise Problem("metrics_token_needed")


def _network(address: str) -> str:
    """Return what one client has of addresses: of IPv6, a whole network of 64 bits."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    return str(ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def _equal(sent: str, wanted: str) -> bool:
    return hmac.compare_digest(sent.encode(), wanted.encode()) and bool(wanted)
