"""The gateway as a process, and the keys it shares with others."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jwt
import pytest
from servers import Servers, answers, wait_until

from devstack.processes import free_port
from devstack.supabase.keys import load_keys


def test_keys_are_made_once_and_are_nobody_elses(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_keys(tmp_path / "a"), range(8)))
    other = load_keys(tmp_path / "b")

    assert all(keys == found[0] for keys in found)
    assert other.secret != found[0].secret
    assert found[0].publishable.startswith("sb_publishable_")
    assert found[0].secret.startswith("sb_secret_")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["keys.json"]
    assert (tmp_path / "a" / "keys.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_though_clients_are_connected(
    database_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "devstack.supabase", "--port", str(port)]
    command += ["--database-url", database_url, "--data", str(tmp_path)]
    command += ["--public-url", "https://project.example/"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(f"{url}/auth/v1/health"), "the gateway")
    with httpx.Client() as client:
        signed_up = client.post(
            f"{url}/auth/v1/signup", json={}, headers={"apikey": load_keys(tmp_path).publishable}
        )

        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=30)

    assert "Traceback" not in said
    assert process.returncode in (0, -number)
    claims = jwt.decode(signed_up.json()["access_token"], options={"verify_signature": False})
    assert claims["iss"] == "https://project.example/auth/v1"
    wait_until(lambda: not answers(f"{url}/auth/v1/health"), "the end of the gateway")


def test_it_listens_on_one_address_only(servers: Servers) -> None:
    port = int(servers.url.rsplit(":", 1)[1])

    socket.create_connection(("127.0.0.1", port), timeout=10).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=10)
