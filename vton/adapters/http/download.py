"""Pictures from the internet, fetched so that nobody can make us ask what is not public.

The address of a result comes from somebody else, and redirects lead anywhere. So each is a GET
under a policy: only public addresses, or those of hosts that are listed.
"""

import ipaddress
import re
import ssl
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests
from requests.utils import requote_uri
from urllib3.util import SKIP_HEADER

from vton.adapters.http.client import (
    Answer,
    AnswerTooLarge,
    HttpClient,
    Resolve,
    resolve,
    what_failed,
)
from vton.tryon.ports.provider import PermanentError, ResultLapsed, RetryableError

MAX_BYTES = 20 * 1024 * 1024
MAX_REDIRECTS = 3
TOTAL_SECONDS = 60.0
"""How long a whole download may take, redirects and dripping heads included."""
CONNECT_SECONDS = 5.0
CONNECTIONS = 20
"""How many are kept; more are made when they are needed."""
_PLAIN: dict[str, Any] = {"User-Agent": SKIP_HEADER, "Accept": None, "Connection": None}
"""A request says nothing of who asks."""
_PORTS = {"https": 443, "http": 80}
_REDIRECTS = (301, 302, 303, 307, 308)
_LAPSED = (401, 403, 404, 410)
"""What a signed URL answers that has lapsed, at one storage or another."""
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>([/?][!-~]*)?)",
    re.IGNORECASE | re.ASCII,
)
"""No user, no backslash, no blank: nothing that two parsers could read in two ways."""

_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "2002::/16",  # 6to4: an IPv4 address in IPv6's clothes
        "2001::/23",  # Teredo and other protocols' own
        "3fff::/20",  # documentation (RFC 9637), newer than Python 3.11's list
        "192.0.0.0/24",  # protocols' own
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # Azure's platform services, metadata among them
    )
]


@dataclass(frozen=True, slots=True)
class Address:
    """An http or https URL, taken apart; the host in lower case."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The URL, with nothing in it that two parsers could read in two ways."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def read_url(url: str) -> Address | None:
    """Take a URL apart; None where it is not plainly scheme, host, port and path."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme, host = found["scheme"].lower(), found["host"].lower().strip("[]").rstrip(".")
    port = int(found["port"] or _PORTS[scheme])
    path = found["path"].partition("#")[0]
    if not host or not 0 < port < 65536:
        return None
    return Address(scheme, host, port, path if path.startswith("/") else f"/{path}")


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet.

    IPv4 inside IPv6 (mapped, 6to4, NAT64) is not: no public host needs it, and it hides where
    it leads.
    """
    address = ipaddress.ip_address(text)
    if address.version == 6 and address not in _UNICAST:
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_loopback(text: str) -> bool:
    """Whether an IP address or host name is this machine's own."""
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return text == "localhost" or text.endswith(".localhost")


class Downloads:
    """Fetches pictures. Safe to share between threads.

    Of a host that is not in `allowed_hosts` only https on port 443 of public addresses is
    asked. One that is may have any port and address but a link-local one, and speak http on
    loopback.
    """

    def __init__(
        self,
        allowed_hosts: Collection[str],
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        seconds: float = TOTAL_SECONDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._http = HttpClient(CONNECTIONS, resolve=resolve, policy=self._check_addresses, tls=tls)
        self._seconds = seconds
        self._max_bytes = max_bytes

    def get(self, url: str, *, anywhere: bool = False) -> bytes:
        """Return what is behind a URL, in bounds; nothing is unpacked, which a bomb would need.

        Where hosts are allowed, others are asked only with `anywhere`. Raises RetryableError,
        ResultLapsed where the URL opens nothing, and PermanentError where it may not be asked.
        """
        ends_at = time.monotonic() + self._seconds
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._ask(self._check(url, anywhere), ends_at)
                location = answer.headers.get("Location", "")
                if answer.status not in _REDIRECTS or not location:
                    return _picture(answer)
                url = urljoin(url, location)
        except AnswerTooLarge as error:
            if error.status != 200:
                raise RetryableError(f"download answered {error.status}") from None
            raise PermanentError("result_unusable", str(error)) from None
        except ValueError:  # of urljoin, or requests' InvalidURL
            raise _refused("an address that is none") from None
        except requests.RequestException as error:
            raise RetryableError(f"download: {what_failed(error)}") from None
        raise PermanentError("result_unusable", "too many redirects")

    def _check(self, url: str, anywhere: bool) -> Address:
        """Take apart a URL that may be asked, as far as it tells by itself."""
        where = read_url(requote_uri(url))
        if where is None or not url.isprintable():
            raise _refused("an address that is none")
        if where.host in self._allowed:
            return where
        if where.scheme != "https" or where.port != 443 or (self._allowed and not anywhere):
            raise _refused(f"{where.scheme}://{where.host}:{where.port}")
        return where

    def _ask(self, where: Address, ends_at: float) -> Answer:
        left = ends_at - time.monotonic()
        if left <= 0:
            raise RetryableError("the download took too long")
        return self._http.ask(
            "GET", where.url, headers=_PLAIN,
            connect=min(CONNECT_SECONDS, left), seconds=left, limit=self._max_bytes,
        )  # fmt: skip

    def _check_addresses(self, scheme: str, host: str, addresses: Sequence[str]) -> None:
        """Refuse a host unless every address it resolves to may be asked."""
        may_be_asked = _is_fine_for_allowed if host in self._allowed else is_public
        if scheme == "http":
            may_be_asked = is_loopback
        # What is behind the % of fe80::1%eth0 is no part of the address.
        plain = [address.partition("%")[0] for address in addresses]
        if not plain or not all(may_be_asked(address) for address in plain):
            raise _refused(f"what {host} resolves to")


def _is_fine_for_allowed(text: str) -> bool:
    """Whether an allowed host may have this address: metadata services are link-local."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return not (mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified)


def _picture(answer: Answer) -> bytes:
    if answer.status in _LAPSED:
        raise ResultLapsed(f"download answered {answer.status}")
    if answer.status != 200:
        raise RetryableError(f"download answered {answer.status}")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise PermanentError("result_unusable", "the result comes packed")
    return answer.content


def _refused(what: str) -> PermanentError:
    return PermanentError("result_unusable", f"a result is not fetched from {what}")
