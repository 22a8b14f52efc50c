"""Servers on loopback that answer as a test says, and what is asked of those who call them."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vton.tryon.ports.provider import PermanentError

PICTURE = b"\x89PNG and so on" * 1000

Reply = Callable[["Server", socket.socket], None]
"""Answers one request."""


@dataclass
class Server:
    """A listener on loopback that answers by a function, and remembers what it was sent."""

    reply: Reply
    address: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    heads: list[str] = field(default_factory=list)
    connections: int = 0

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Listen, until the block ends."""
        try:
            listener = socket.create_server((self.address, 0))
        except OSError:
            pytest.skip(f"only Linux has {self.address} without being told")
        self.port = listener.getsockname()[1]
        self.url = f"http://{self.address}:{self.port}/"
        self.over = threading.Event()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        try:
            yield self
        finally:
            self.over.set()
            with suppress(OSError):  # on macOS a listener is not connected
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as file:
                while head := self._head(file):
                    self.heads.append(head)
                    self.reply(self, connection)

    def _head(self, file: Any) -> str:
        lines, length = [], 0
        while line := file.readline().decode("latin-1").strip():
            lines.append(line)
            if line.lower().startswith("content-length:"):
                length = int(line.split(":")[1])
        file.read(length)
        return "\n".join(lines)


def answer(body: bytes = PICTURE, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer."""
    lines = {"Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def serving(*replies: bytes, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1",
            ) -> AbstractContextManager[Server]:  # fmt: skip
    """A server that gives these answers one after the other, and then the last again."""
    left = list(replies)

    def reply(_server: Server, connection: socket.socket) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return Server(reply, address, tls).running()


def dripping(start: bytes) -> AbstractContextManager[Server]:
    """A server that begins its answer so, and goes on by a byte now and then."""

    def drip(server: Server, connection: socket.socket) -> None:
        connection.sendall(start)
        while not server.over.wait(0.05):
            connection.sendall(b"x")

    return Server(drip).running()


def refused(get: Callable[[], object]) -> str:
    """Why something is refused for good."""
    with pytest.raises(PermanentError) as caught:
        get()
    return f"{caught.value.code} {caught.value}"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What takes no longer than this."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server proves that name with, and what a client believes it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / f"{name}.pem"
    private = key.private_bytes(pem, kind, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=made.public_bytes(pem).decode())
