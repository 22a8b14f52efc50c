"""Pictures from the internet, fetched so that nobody can make us ask what is not public.

The address of a result comes from somebody else, and redirects lead anywhere. So a host is
resolved once, what it resolves to is checked, and the connection goes to exactly that address:
a name that answers differently a moment later (DNS rebinding) gains nothing. TLS and the Host
header keep the name. No key, cookie, proxy or .netrc is involved.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import cast
from urllib.parse import urljoin

from requests.utils import DEFAULT_CA_BUNDLE_PATH, requote_uri

from vton.adapters.bounded import BoundedSocket, dial, resolve
from vton.tryon.ports import Later, Never

MAX_BYTES = 20 * 1024 * 1024
MAX_REDIRECTS = 3
TOTAL_SECONDS = 60.0
"""How long a whole download may take, redirects and dripping heads included."""
CONNECT_SECONDS = 5.0
CHUNK = 64 * 1024
_PORTS = {"https": 443, "http": 80}
_REDIRECTS = (301, 302, 303, 307, 308)
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

Resolve = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Address:
    """An http or https URL, taken apart; the host in lower case."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """The host as HTTP writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


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
        self._resolve = resolve
        self._tls = tls
        self._seconds = seconds
        self._max_bytes = max_bytes

    def get(self, url: str, *, anywhere: bool = False) -> bytes:
        """Return what is behind a URL. Raises Later, or Never where it may not be asked.

        Where hosts are allowed, others are asked only with `anywhere`.
        """
        ends_at = time.monotonic() + self._seconds
        try:
            for _ in range(MAX_REDIRECTS + 1):
                where = self._check(url, anywhere)
                with self._ask(where, ends_at) as response:
                    location = response.headers.get("Location", "")
                    if response.status not in _REDIRECTS or not location:
                        return self._body(response)
                    url = urljoin(url, location)
        except TimeoutError:
            raise Later("the download took too long") from None
        except (OSError, http.client.HTTPException) as error:
            raise Later(f"download: {type(error).__name__}") from None
        except ValueError:  # of urljoin or an IDNA host
            raise _refused("an address that is none") from None
        raise Never("result_unusable", "too many redirects")

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

    def _addresses(self, where: Address) -> Sequence[str]:
        """Resolve a host, once; every address must be one that may be asked."""
        # What is behind the % of fe80::1%eth0 is no part of the address.
        found = [text.partition("%")[0] for text in self._resolve(where.host, where.port)]
        may_be_asked = self._is_fine_for_allowed if where.host in self._allowed else is_public
        if where.scheme == "http":
            may_be_asked = is_loopback
        if not found or not all(may_be_asked(address) for address in found):
            raise _refused(f"what {where.host} resolves to")
        return found

    def _is_fine_for_allowed(self, text: str) -> bool:
        """Whether an allowed host may have this address: metadata services are link-local."""
        address = ipaddress.ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None) or address
        return not (mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified)

    @contextmanager
    def _ask(self, where: Address, ends_at: float) -> Iterator[http.client.HTTPResponse]:
        """Send a GET to an address that was checked; the answer's body is still to be read."""
        addresses = self._addresses(where)
        with closing(dial(addresses, where.port, min(CONNECT_SECONDS, _left(ends_at)))) as plain:
            plain.settimeout(min(CONNECT_SECONDS, _left(ends_at)))
            with closing(self._secured(plain, where)) as sock:
                bounded = BoundedSocket(sock)
                bounded.settimeout(_left(ends_at))
                connection = http.client.HTTPConnection(where.host, where.port)
                connection.sock = cast(socket.socket, bounded)
                headers = {"Host": where.host_header, "Accept-Encoding": "identity"}
                connection.request("GET", where.path, headers=headers)
                with connection.getresponse() as response:
                    yield response

    def _secured(self, sock: socket.socket, where: Address) -> socket.socket:
        """Speak TLS with whoever can prove to be that host."""
        if where.scheme == "http":
            return sock
        tls = self._tls or _public_roots()
        return tls.wrap_socket(sock, server_hostname=where.host)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """Read a whole body, in bounds; nothing is unpacked, which a bomb would need."""
        if response.status != 200:
            raise Later(f"download answered {response.status}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Never("result_unusable", "the result comes packed")
        parts, size = [], 0
        while part := response.read(CHUNK):
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise Never("result_unusable", f"larger than {self._max_bytes} bytes")
        if response.length:  # http.client does not complain when it reads in parts
            raise Later("the download was cut")
        return b"".join(parts)


@cache
def _public_roots() -> ssl.SSLContext:
    """Trust whom browsers trust; read when it is first needed, which takes a moment."""
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _refused(what: str) -> Never:
    return Never("result_unusable", f"a result is not fetched from {what}")
