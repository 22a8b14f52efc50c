"""Behind a proxy, or a client that closes: everybody sees why they were refused."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from actors import ROOT, User, jpeg, until

from devstack.processes import free_port
from devstack.stack import Stack

MEGABYTE = 1_000_000
AS_IT_COMES = """
    client_max_body_size 0;
    location / { proxy_pass http://127.0.0.1:{web}; }
"""
"""nginx's own defaults: HTTP/1.0 to the service, and the connection closed after each answer."""


@pytest.fixture(scope="module")
def nginx() -> str:
    """nginx, installed where that can be done."""
    if not shutil.which("nginx") and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "nginx-light"]
        subprocess.run(install, check=False, capture_output=True, env={**os.environ,
                       "DEBIAN_FRONTEND": "noninteractive"})  # fmt: skip
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    return program


@pytest.fixture(params=["as it comes", "docs/deploy/nginx.conf"])
def proxy(
    request: pytest.FixtureRequest, nginx: str, stack: Stack, tmp_path: Path
) -> Iterator[str]:
    """nginx in front of the service; its URL."""
    port = free_port()
    if request.param == "as it comes":
        server = f"listen 127.0.0.1:{port};" + AS_IT_COMES.replace("{web}", str(stack.ports.web))
        sites = f"server {{ {server} }}"
    else:
        sites = (ROOT / request.param).read_text()
        sites = sites.replace("listen 80;", f"listen 127.0.0.1:{port};")
        sites = sites.replace("127.0.0.1:8000", f"127.0.0.1:{stack.ports.web}")
    config = tmp_path / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
        f"events {{}} http {{ access_log off; {temporary} {sites} }}"
    )
    process = subprocess.Popen([nginx, "-c", str(config), "-p", str(tmp_path)])
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def upload(url: str, token: str, size: int, garment_id: str = "x") -> requests.Response:
    """Upload a file of so many bytes, through whatever is at that URL."""
    files = {"userImage": ("a.jpg", jpeg() + bytes(size))}
    return requests.post(
        f"{url}/api/try-on", files=files, data={"garmentId": garment_id}, timeout=60,
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip


@pytest.mark.parametrize(("size", "code"), [(11 * MEGABYTE, 413), (40 * MEGABYTE, 413)])
def test_what_is_too_large_is_told_so_through_nginx(
    proxy: str, user: User, size: int, code: int
) -> None:
    answers = [upload(proxy, user.token, size) for _ in range(6)]

    assert Counter(answer.status_code for answer in answers) == {code: 6}
    assert {answer.json()["code"] for answer in answers} == {"photo_too_large"}


def test_a_lapsed_token_is_told_so_through_nginx_whatever_comes_with_it(proxy: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        sizes = [MEGABYTE, 4 * MEGABYTE, 9 * MEGABYTE] * 4
        answers = list(threads.map(lambda size: upload(proxy, "lapsed", size), sizes))

    assert Counter(answer.status_code for answer in answers) == {401: 12}


def test_a_try_on_works_through_nginx(proxy: str, user: User, garment_id: str) -> None:
    answer = upload(proxy, user.token, 0, garment_id)

    assert answer.status_code == 202
    location = answer.headers["Location"]
    assert location.startswith(proxy) or "docs" not in proxy
    assert user.wait(answer.json()["data"]["sessionId"])["status"] == "success"


@pytest.mark.parametrize(
    ("size", "token", "status"),
    [(11 * MEGABYTE, True, 413), (40 * MEGABYTE, True, 413), (9 * MEGABYTE, False, 401)],
)
def test_a_client_that_closes_sees_why_it_was_refused(
    stack: Stack, user: User, size: int, token: bool, status: int
) -> None:
    """Python's urllib says `Connection: close`, and sends everything before it reads."""
    headers = {
        "Authorization": f"Bearer {user.token if token else 'lapsed'}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    part = b'--b\r\nContent-Disposition: form-data; name="userImage"; filename="a"\r\n\r\n'
    for _ in range(3):
        asked = urllib.request.Request(f"{stack.web_url}/api/try-on", part + bytes(size), headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=60)
        assert refused.value.code == status


def test_a_browser_behind_cloudflare_and_heroku_is_served(stack: Stack) -> None:
    headers = {f"X-Header-{number}": "x" * 200 for number in range(90)}

    assert requests.get(f"{stack.web_url}/health/live", headers=headers, timeout=10).ok


def test_proxies_that_disagree_about_the_scheme_are_no_bad_request(stack: Stack) -> None:
    headers = {
        "X-Forwarded-Proto": "https", "X-Forwarded-Protocol": "http", "X-Forwarded-Ssl": "off",
    }  # fmt: skip

    answer = requests.get(f"{stack.web_url}/health/live", headers=headers, timeout=10)

    assert answer.ok
    assert "Strict-Transport-Security" in answer.headers


def test_a_head_of_many_long_lines_is_refused_at_once(stack: Stack) -> None:
    headers = {f"X-Header-{number}": "x" * 16_000 for number in range(90)}
    began = time.monotonic()

    answer = requests.get(f"{stack.web_url}/health/live", headers=headers, timeout=10)

    assert answer.status_code == 431
    assert time.monotonic() - began < 5
