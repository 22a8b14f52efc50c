"""The HTTP client for everything that goes out but Supabase, whose own library has one.

It is bounded as a whole, in time and size. `requests` bounds each read: a server that sends a
byte now and then, of the head or of the body, holds its thread for ever. Here a timeout is for
everything until it is set again. And it can be given a policy: then a host is resolved once, the
policy checks what it resolves to, and the connection goes to exactly that address, so that a name
that answers differently a moment later (DNS rebinding) gains nothing. TLS and the Host header
keep the name.
"""

import io
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

Resolve = Callable[[str, int], Sequence[str]]
"""Returns all addresses of a host and port. Raises OSError, UnicodeError."""
AddressPolicy = Callable[[str, str, Sequence[str]], None]
"""Is given scheme, host and what it resolves to. Raises what the caller of `ask` is to see."""


class AnswerTooLarge(requests.RequestException):
    """An answer, with this status, has more bytes than were asked for."""

    def __init__(self, status: int, limit: int) -> None:
        super().__init__(f"an answer of more than {limit} bytes")
        self.status = status


class BoundedSocket:
    """A socket whose timeout is for all that is done until it is set again."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.settimeout(sock.gettimeout())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        """Have everything from now on done within so many seconds."""
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    def arm(self) -> None:
        """Give the next step what is left of the time. Raises TimeoutError."""
        left = None if self._ends_at is None else self._ends_at - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        rest = memoryview(data)
        while rest:
            self.arm()
            rest = rest[self._sock.send(rest) :]

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """Return what http.client reads an answer from."""
        return io.BufferedReader(_Reads(self, self._sock.makefile("rb", buffering=0)))


class _Reads(io.RawIOBase):
    """The reading end of a BoundedSocket; open until it is closed itself, as a socket's is."""

    def __init__(self, sock: BoundedSocket, raw: io.RawIOBase) -> None:
        self._bounded, self._raw = sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._bounded.arm()
        return cast(int | None, self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a host. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def dial(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
    """Connect to the first of the addresses that answers, within `seconds`. Raises OSError."""
    ends_at = time.monotonic() + seconds
    failure = OSError("no address")
    for tried, address in enumerate(addresses):
        share = (ends_at - time.monotonic()) / (len(addresses) - tried)
        try:
            sock = socket.create_connection((address, port), timeout=max(share, 0.01))
        except OSError as error:
            failure = error
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise failure


class _Connection(HTTPConnection):
    scheme = "http"
    resolve: Resolve
    policy: AddressPolicy | None

    def _new_conn(self) -> socket.socket:
        """Connect as urllib3 does, but within its timeout also where a host has many addresses."""
        seconds = float(cast(float, self.timeout))
        ends_at = time.monotonic() + seconds
        try:
            addresses = self.resolve(self.host, self.port)
            if time.monotonic() > ends_at:
                raise TimeoutError
            if self.policy is not None:
                self.policy(self.scheme, self.host, addresses)
            sock = dial(addresses, self.port, ends_at - time.monotonic())
        except TimeoutError:
            raise ConnectTimeoutError(self, f"no connection within {seconds:g} s") from None
        except OSError as error:
            raise NewConnectionError(self, type(error).__name__) from None
        sock.settimeout(seconds)
        return sock

    def connect(self) -> None:
        super().connect()
        self.sock = cast(socket.socket, BoundedSocket(self.sock))


class _TlsConnection(_Connection, HTTPSConnection):
    scheme = "https"

    def connect(self) -> None:
        """Say of a handshake that fails what is true of it: nothing was sent."""
        try:
            super().connect()
        except OSError as error:
            raise NewConnectionError(self, type(error).__name__) from None


class _Adapter(HTTPAdapter):
    """Gives each connection our resolver, policy and TLS context."""

    def __init__(
        self,
        connections: int,
        resolve: Resolve,
        policy: AddressPolicy | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        ours = {
            "resolve": staticmethod(resolve),
            "policy": None if policy is None else staticmethod(policy),
        }
        plain, secure = type("Plain", (_Connection,), ours), type("Tls", (_TlsConnection,), ours)
        self._pools = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        self._tls = tls
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        if self._tls is not None:
            options["ssl_context"] = self._tls
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """See no redirect: `requests` would read its whole body to learn where it leads."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; a redirect's has no content."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> dict[str, Any]:
        """Return the JSON object of the body, or an empty one where it has none."""
        try:
            body = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return body if isinstance(body, dict) else {}


def was_not_sent(error: requests.RequestException) -> bool:
    """Return whether no connection was made, so that nothing can have arrived."""
    return isinstance(_reason(error), NewConnectionError | ConnectTimeoutError)


def what_failed(error: requests.RequestException) -> str:
    """Return the name of what went wrong, for the log."""
    reason = _reason(error)
    return str(reason).rpartition(": ")[2] if reason else type(error).__name__


def _reason(error: requests.RequestException) -> HTTPError | None:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return reason if isinstance(reason, HTTPError) else None


def _read(raw: Any, most: int) -> bytes:
    """Return a body, `most` bytes of it at most. Raises HTTPError if it breaks off."""
    content: bytes = raw.read(most, decode_content=False)
    if len(content) < most:
        raw.read(1, decode_content=False)  # only now urllib3 compares it with its declared length
    return content


class HttpClient:
    """Asks others, over connections that are kept. Safe to share between threads.

    It takes nothing from the environment (no proxy, no .netrc), keeps no cookies and follows
    no redirect: what it sends goes where it was told and nowhere else.
    """

    def __init__(
        self,
        connections: int,
        *,
        resolve: Resolve = resolve,
        policy: AddressPolicy | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Nothing is unpacked, so that a small body cannot become a large one.
        self._session.headers["Accept-Encoding"] = "identity"
        adapter = _Adapter(connections, resolve, policy, tls)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        connect: float,
        seconds: float,
        limit: int,
    ) -> Answer:
        """Send a request and return its answer, of at most `limit` bytes, within `seconds`.

        `connect` bounds, each by itself, finding the host, connecting to it, the TLS
        handshake and the sending. Raises requests.RequestException, AnswerTooLarge among them,
        and what the policy raises.
        """
        timeout = Timeout(total=seconds, connect=connect)
        try:
            with self._session.request(
                method, url, json=body, headers=dict(headers), stream=True,
                timeout=cast(Any, timeout), allow_redirects=False,
            ) as response:  # fmt: skip
                status = response.status_code
                content = b"" if 300 <= status < 400 else _read(response.raw, limit + 1)
        except HTTPError as error:
            raise requests.RequestException(type(error).__name__) from None
        except UnicodeError:  # a host that no resolver takes
            raise requests.exceptions.InvalidURL("the host cannot be looked up") from None
        if len(content) > limit:
            raise AnswerTooLarge(status, limit)
        return Answer(status, response.reason or "", response.headers, content)
