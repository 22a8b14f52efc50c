"""`make run`, as somebody who has just cloned the project."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import requests
from actors import PATIENCE, ROOT, clean_environ

ENDS_WITHIN = 30.0
"""On a busy machine; how fast it is on an idle one is a figure for the bench."""


NO_MEMORY_LIMIT = """
import resource
setrlimit = resource.setrlimit

def refuse(limit, values):
    if limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        raise ValueError("current limit exceeds maximum limit")
    setrlimit(limit, values)

resource.setrlimit = refuse
"""
"""What macOS answers, for whatever is limited; https://github.com/python/cpython/issues/78783."""


@contextmanager
def make_run(
    data: Path, port: int, python: str = sys.executable, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """What `make run` starts, in a process group of its own, as a terminal would."""
    command = [python, "-m", "devstack.stack", "--data", str(data)]
    environ = clean_environ(PORT=str(port), PYTHONUNBUFFERED="1", **settings)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the process printed up to and with a line that has `text` in it."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(seen)


def four_free_ports() -> int:
    """A port that is free, and the three behind it: none that the system gives to connections."""
    first = os.getpid() % 1200
    for port in (20_000 + 10 * ((first + step) % 1200) for step in range(1200)):
        with suppress(OSError):
            for offset in range(4):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
            return port
    raise AssertionError("no free ports")


def descendants(data: Path) -> list[str]:
    """The processes that name the data folder or were started with it in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            command = " ".join(process.cmdline())
            if str(data) in command or process.environ().get("VTON_TEST") == str(data):
                found.append(command)
    return found


def test_it_starts_ends_and_remembers(tmp_path: Path) -> None:
    port = four_free_ports()
    web = f"http://127.0.0.1:{port}"
    with make_run(tmp_path, port, VTON_TEST=str(tmp_path)) as process:
        seen = read_until(process, "Ctrl-C")
        assert f"Open {web}" in seen
        first = requests.get(f"{web}/api/garments", timeout=10).json()["data"]
        assert len(first) >= 6
        assert "Virtual try-on" in requests.get(web, timeout=10).text
        settings = (tmp_path / "settings.env").read_text()
        for kept in (tmp_path, tmp_path / "settings.env"):
            assert kept.stat().st_mode & 0o077 == 0
        misled = requests.get(
            f"http://127.0.0.1:{port}/", headers={"Host": "evil.example"}, timeout=10
        )
        assert misled.status_code == 400
        assert f"SUPABASE_URL=http://127.0.0.1:{port + 1}\n" in settings
        assert descendants(tmp_path)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(2 * ENDS_WITHIN) == 0
        assert time.monotonic() - began < ENDS_WITHIN
    assert descendants(tmp_path) == []

    with make_run(tmp_path, port) as process:
        read_until(process, "Ctrl-C")
        again = requests.get(f"{web}/api/garments", timeout=10).json()["data"]
        assert [garment["id"] for garment in again] == [garment["id"] for garment in first]


def python_without_memory_limits(folder: Path) -> str:
    """This Python on a platform that refuses them: in all of its processes, whatever starts it."""
    venv.create(folder, symlinks=True)
    ours = Path(sysconfig.get_path("purelib"))
    theirs = folder / ours.relative_to(sys.prefix)
    (theirs / "ours.pth").write_text(str(ours))
    (theirs / "sitecustomize.py").write_text(NO_MEMORY_LIMIT)
    python = folder / "bin" / "python"
    gunicorn = folder / "bin" / "gunicorn"
    gunicorn.write_text(f"#!{python}\nfrom gunicorn.app.wsgiapp import run\nrun()\n")
    gunicorn.chmod(0o755)
    return str(python)


def test_it_starts_where_memory_cannot_be_limited(tmp_path: Path) -> None:
    port = four_free_ports()
    python = python_without_memory_limits(tmp_path / "python")
    with make_run(tmp_path / "data", port, python) as process:
        read_until(process, "Ctrl-C")  # the sample garments were decoded and stored
        garments = requests.get(f"http://127.0.0.1:{port}/api/garments", timeout=10).json()["data"]

    assert len(garments) >= 6
    assert all(garment["image_url"] for garment in garments)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the orphans of a kill -9")
def test_a_killed_run_leaves_nothing_in_the_way_of_the_next(tmp_path: Path) -> None:
    port = four_free_ports()
    with make_run(tmp_path, port) as process:
        read_until(process, "Ctrl-C")
        process.kill()
        process.wait()

    with make_run(tmp_path, port) as process:
        read_until(process, "Ctrl-C")
        assert requests.get(f"http://127.0.0.1:{port}/api/garments", timeout=10).ok


def test_a_busy_port_is_said_in_one_line(tmp_path: Path) -> None:
    port = four_free_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        with make_run(tmp_path, port) as process:
            output, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert output.strip() == (
        f"Port {port + 1} is busy: end what uses it, or choose others: PORT={port + 100} make run"
    )


def test_a_missing_setting_beside_a_given_one_is_named(tmp_path: Path) -> None:
    settings = {"SUPABASE_URL": "http://127.0.0.1:1", "PIXAZO_API_KEY": "k"}
    with make_run(tmp_path, four_free_ports(), **settings) as process:
        output, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert "SUPABASE_SERVICE_ROLE_KEY is not set" in output
    assert not (tmp_path / "postgres").exists()


def test_a_project_of_ones_own_that_is_not_ready_is_said_at_once(tmp_path: Path) -> None:
    own = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x"}
    with make_run(tmp_path, four_free_ports(), **own) as process:
        output, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert "The database is not ready: Supabase cannot be reached." in output


@pytest.mark.parametrize("value", ["eighty", "0", "99999"])
def test_a_port_that_is_none_is_said(tmp_path: Path, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devstack.stack", "--data", str(tmp_path)],
        cwd=ROOT,
        env=clean_environ(PORT=value),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.strip() == f"PORT must be a number from 1 to 65000, not {value!r}."


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ('echo "Python 3.9.2"; exit 1', "Python 3.11 or newer is needed"),
        ('case "$*" in *version_info*) exit 0;; *) exit 1;; esac', "venv module is missing"),
    ],
)
def test_make_says_what_python_it_needs(tmp_path: Path, python: str, message: str) -> None:
    for name in ("python3", *(f"python3.{minor}" for minor in range(11, 15))):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\n{python}\n")
        script.chmod(0o755)
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements-dev.txt").touch()

    done = made(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_on_windows_make_says_in_a_line_that_it_wants_wsl(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())

    done = made(tmp_path, OS="Windows_NT")  # as Windows sets it

    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "inside WSL" in line


def made(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """What `make run` says in a folder; what this run's own make was told does not count."""
    inherited = {k: v for k, v in os.environ.items() if "MAKE" not in k and k != "PYTHON"}
    return subprocess.run(
        ["make", "run"], cwd=folder, env={**inherited, **environ}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
