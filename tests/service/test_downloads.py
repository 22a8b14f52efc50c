"""Results come from public addresses only, in bounds.

Against real sockets on loopback; only the resolver is ours.
"""

import gzip
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from actors import ROOT, clean_environ
from http_servers import PICTURE, Server, answer, certificate, dripping, refused, serving, within

from vton.adapters.http.client import dial
from vton.adapters.http.download import Address, Downloads, is_public, read_url, resolve
from vton.tryon.ports.provider import ResultLapsed, RetryableError

HOST = "pictures.example"
"""A host that is allowed, and leads where a test says."""


class Resolver:
    """Leads names where a test says, the last time for ever, and remembers who was asked for."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.left = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if not host.endswith(".example"):
            return resolve(host, port)  # of an address: itself
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


# -- addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:1.1.1.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::1.1.1.1",
        "64:ff9b:1::a00:1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:101:101::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
    downloads = Downloads([], Resolver(["1.1.1.1", address]))
    assert refused(lambda: downloads.get(f"https://{HOST}/a.png"))


@pytest.mark.parametrize(
    "url",
    [
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://0/",
        "https://[::1]/",
        "https://[::ffff:7f00:1]/",
        "https://localhost/",
        "https://localhost./",
        "https://LOCALHOST/",
    ],
)
def test_this_machine_by_any_name_is_refused(url: str) -> None:
    assert refused(lambda: Downloads([]).get(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.example/a.png",
        "https://pictures.example:8443/a.png",
        "https://pictures.example:80/a.png",
        "https://user@pictures.example/a.png",
        "https://user:word@pictures.example/a.png",
        "https://pictures.example\\@127.0.0.1/",
        "https://127.0.0.1\\@pictures.example/",
        "https://pictures.example#@127.0.0.1/",
        "https:///a.png",
        "https:pictures.example",
        "https://pictures.example:0/",
        "https://pictures.example:99999/",
        "https://pictures.example:443x/",
        "https://pictu\nres.example/",
        "https://pictures.example/\r\nHost: a",
        "https://[fe80::1%25eth0]/",
        "https://пример.example/",
        "ftp://pictures.example/a.png",
        "file:///etc/passwd",
        "gopher://pictures.example/",
        "data:image/png;base64,AAAA",
        "//pictures.example/a.png",
        "",
    ],
)
def test_an_address_that_is_not_plain_https_is_refused_and_nobody_is_asked(url: str) -> None:
    resolver = Resolver(["127.0.0.1"])

    assert refused(lambda: Downloads([], resolver).get(url))
    assert resolver.asked == []


def test_a_host_that_no_resolver_takes_is_refused() -> None:
    assert refused(lambda: Downloads([]).get("https://" + "a" * 70 + ".example/"))


def test_an_address_is_taken_apart() -> None:
    assert read_url("HTTPS://Pictures.Example./a%20b?c=d#e") == Address(
        "https", HOST, 443, "/a%20b?c=d"
    )
    assert read_url("http://[::1]:8080") == Address("http", "::1", 8080, "/")
    assert Address("http", "::1", 8080, "/").url == "http://[::1]:8080/"
    assert Address("https", HOST, 443, "/a").url == f"https://{HOST}/a"
    assert read_url("https://h?q") == Address("https", "h", 443, "/?q")


# -- what is fetched -------------------------------------------------------------------------


def test_a_listed_host_may_be_loopback() -> None:
    with serving(answer()) as server:
        assert Downloads(["127.0.0.1"]).get(f"{server.url}a.png") == PICTURE


def test_only_listed_hosts_are_asked_where_some_are_listed() -> None:
    resolver = Resolver(["1.1.1.1"])

    assert refused(lambda: Downloads(["127.0.0.1"], resolver).get(f"https://{HOST}/a.png"))
    assert resolver.asked == []


def test_a_garment_of_another_shop_may_be_anywhere_public() -> None:
    resolver = Resolver(["169.254.169.254"])
    downloads = Downloads(["127.0.0.1"], resolver)

    why = refused(lambda: downloads.get(f"https://{HOST}/a.png", anywhere=True))

    assert "resolves to" in why
    assert resolver.asked == [HOST]


def test_what_is_sent_is_a_plain_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    moved = answer(b"", "302 Found", Location="/b.png?token=1#part", Set_Cookie="a=b")
    with serving(moved, answer()) as server:
        assert Downloads(["127.0.0.1"]).get(f"{server.url}a b.png") == PICTURE

    first, second = server.heads
    host = f"Host: 127.0.0.1:{server.port}"
    assert first.splitlines() == ["GET /a%20b.png HTTP/1.1", host, "Accept-Encoding: identity"]
    assert second.splitlines()[0] == "GET /b.png?token=1 HTTP/1.1"
    assert "cookie" not in second.lower()


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/",
        "https://127.0.0.2:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "//127.0.0.2:{port}/",
        "http://user@127.0.0.1:{port}/",
        "file:///etc/passwd",
        "http://[",
        "http://other.example:{port}/",
    ],
)
def test_each_redirect_is_checked(location: str) -> None:
    with serving(answer(), address="127.0.0.2") as inside:
        moved = answer(b"", "302 Found", Location=location.format(port=inside.port))
        with serving(moved) as server:
            downloads = Downloads(["127.0.0.1"], Resolver(["127.0.0.2"]))

            assert refused(lambda: downloads.get(server.url))

        assert inside.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_few_redirects_are_followed_and_no_more(status: int) -> None:
    moved = answer(b"", f"{status} Moved", Location="/next")
    with serving(moved, moved, moved, answer()) as server:
        assert Downloads(["127.0.0.1"]).get(server.url) == PICTURE
    with serving(moved) as server:
        assert "redirects" in refused(lambda: Downloads(["127.0.0.1"]).get(server.url))
        assert len(server.heads) == 4


@pytest.mark.parametrize("status", ["401 No", "403 Forbidden", "404 Not Found", "410 Gone"])
def test_an_address_that_opens_nothing_any_more_is_told_apart(status: str) -> None:
    with serving(answer(b"", status)) as server, pytest.raises(ResultLapsed):
        Downloads(["127.0.0.1"]).get(server.url)


@pytest.mark.parametrize("status", ["400 Bad", "500 Oops", "206 Partial", "302 No Location"])
def test_another_status_may_be_better_later(status: str) -> None:
    with serving(answer(b"", status)) as server, pytest.raises(RetryableError):
        Downloads(["127.0.0.1"]).get(server.url)


# -- pinned ----------------------------------------------------------------------------------


def test_the_name_is_kept_for_tls_and_host_while_the_address_is_pinned(tmp_path: Path) -> None:
    tls, trust = certificate(HOST, tmp_path)
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    with serving(answer(), tls=tls) as server:
        resolver = Resolver(["127.0.0.1"])
        url = f"https://{HOST}:{server.port}/a.png"

        assert Downloads([HOST], resolver, trust).get(url) == PICTURE

    assert names == [HOST]
    assert f"Host: {HOST}:{server.port}" in server.heads[0]
    assert resolver.asked == [HOST]


def test_who_cannot_prove_the_name_gets_no_request(tmp_path: Path) -> None:
    tls, trust = certificate("other.example", tmp_path)
    with serving(answer(), tls=tls) as server:
        url = f"https://{HOST}:{server.port}/a.png"
        downloads = Downloads([HOST], Resolver(["127.0.0.1"]), trust)
        with pytest.raises(RetryableError, match="SSLCertVerificationError"):
            downloads.get(url)
        with pytest.raises(RetryableError, match=r"SSL(CertVerification)?Error"):
            Downloads([HOST], Resolver(["127.0.0.1"])).get(url)  # nor by the public roots

    assert server.heads == []


def test_a_name_that_changes_its_mind_gains_nothing(tmp_path: Path) -> None:
    """DNS rebinding: what was checked is what is connected to."""
    tls, trust = certificate(HOST, tmp_path)
    with serving(answer(), tls=tls) as server:
        resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])

        found = Downloads([HOST], resolver, trust).get(f"https://{HOST}:{server.port}/")

        assert found == PICTURE
        assert resolver.asked == [HOST]


def test_a_name_that_turns_inward_between_redirects_is_refused() -> None:
    resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
    with serving(answer(b"", "302 Found", Location="/again")) as server:
        downloads = Downloads([HOST], resolver)

        why = refused(lambda: downloads.get(f"http://{HOST}:{server.port}/"))

    assert "resolves to" in why
    assert len(server.heads) == 1


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%lo", "::ffff:169.254.169.254"])
def test_not_even_a_listed_name_leads_to_metadata(address: str) -> None:
    downloads = Downloads([HOST], Resolver([address]))

    assert "resolves to" in refused(lambda: downloads.get(f"https://{HOST}/"))


def test_a_listed_name_speaks_http_on_loopback_only() -> None:
    downloads = Downloads([HOST], Resolver(["93.184.216.34"]))

    assert "resolves to" in refused(lambda: downloads.get(f"http://{HOST}/"))


def test_a_name_that_cannot_be_resolved_may_be_later() -> None:
    def away(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with pytest.raises(RetryableError):
        Downloads([], away).get(f"https://{HOST}/")


def test_the_first_address_that_answers_is_taken() -> None:
    with serving(answer()) as server:
        url = f"http://{HOST}:{server.port}/"
        addresses = ["127.0.0.3", "127.0.0.1"]  # nobody listens on the first
        downloads = Downloads([HOST], Resolver(addresses))

        assert downloads.get(url) == PICTURE


# -- bounded ---------------------------------------------------------------------------------


def test_size_is_bounded_whatever_is_declared() -> None:
    def endless(server: Server, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.over.is_set():
            connection.sendall(bytes(65536))

    with Server(endless).running() as server:
        downloads = Downloads(["127.0.0.1"], max_bytes=1_000_000)
        assert "more than" in refused(lambda: downloads.get(server.url))
    with serving(answer(bytes(1001))) as server:
        assert refused(lambda: Downloads(["127.0.0.1"], max_bytes=1000).get(server.url))
    with serving(answer(bytes(1000))) as server:
        assert Downloads(["127.0.0.1"], max_bytes=1000).get(server.url) == bytes(1000)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /",
    ],
)
def test_a_drip_ends_in_time(start: bytes) -> None:
    with dripping(start) as server, within(10), pytest.raises(RetryableError):
        Downloads(["127.0.0.1"], seconds=0.4).get(server.url)


def test_a_handshake_that_hangs_ends_in_time() -> None:
    silent = Server(lambda _server, _connection: None)
    with silent.running() as server, within(10), pytest.raises(RetryableError):
        Downloads(["127.0.0.1"], seconds=0.4).get(f"https://127.0.0.1:{server.port}/")


def test_time_is_bounded_over_all_redirects_together() -> None:
    def wait_and_move(server: Server, connection: socket.socket) -> None:
        server.over.wait(0.2)
        connection.sendall(answer(b"", "302 Found", Location="/"))

    with Server(wait_and_move).running() as server, within(10), pytest.raises(RetryableError):
        Downloads(["127.0.0.1"], seconds=0.3).get(server.url)


def test_nothing_is_unpacked() -> None:
    bomb = gzip.compress(bytes(5_000_000))
    with serving(answer(bomb, Content_Encoding="gzip")) as server:
        assert "packed" in refused(lambda: Downloads(["127.0.0.1"]).get(server.url))


@pytest.mark.parametrize(
    "reply",
    [
        answer()[:-10],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_breaks_off_may_be_better_later(reply: bytes) -> None:
    def cut(_server: Server, connection: socket.socket) -> None:
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)

    with Server(cut).running() as server, pytest.raises(RetryableError):
        Downloads(["127.0.0.1"], seconds=2).get(server.url)


def test_many_addresses_share_the_time_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with within(10), pytest.raises(TimeoutError):
            dial(["127.0.0.1"] * 40, port, 0.4)  # 16 s, if each of them had that time
        for one in fill:
            one.close()


def test_a_bounded_download_works_with_greenlets() -> None:
    script = (
        "from gevent import monkey; monkey.patch_all()\nimport sys\n"
        "from vton.adapters.http.download import Downloads\n"
        "print(len(Downloads(['127.0.0.1']).get(sys.argv[1])))"
    )
    with serving(answer()) as server:
        done = subprocess.run(
            [sys.executable, "-c", script, server.url],
            cwd=ROOT, env=clean_environ(), capture_output=True, text=True, check=False,
            timeout=20,
        )  # fmt: skip

    assert done.stdout.strip() == str(len(PICTURE)), done.stderr
