"""The Dockerfile, step by step where no engine is at hand: what it copies, installs and runs."""

import json
import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
import requests
import yaml
from actors import until

from devstack.processes import free_port
from devstack.stack import ROOT, Stack, procfile

STEPS = [
    (word, rest.strip())
    for word, rest in re.findall(
        r"^([A-Z]+) (.*)$", (ROOT / "Dockerfile").read_text().replace("\\\n", " "), re.M
    )
]


def steps(word: str) -> list[str]:
    """What stands behind an instruction, each time that it is given."""
    return [rest for instruction, rest in STEPS if instruction == word]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folder /app, of what the Dockerfile copies."""
    app = tmp_path / "app"
    app.mkdir()
    for copied in steps("COPY"):
        *sources, target = copied.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, app / target)
            else:
                shutil.copy(ROOT / source, app / target)
    return app


def test_it_is_copied_from_what_the_context_lets_through() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }

    assert {source for copied in steps("COPY") for source in copied.split()[:-1]} == allowed


def test_it_starts_as_the_procfile_does_and_not_as_root() -> None:
    assert " ".join(json.loads(steps("CMD")[0])) == procfile()["web"]
    assert [word for word, _ in STEPS].index("USER") > max(
        number for number, (word, _) in enumerate(STEPS) if word == "RUN"
    )
    assert steps("USER") == ["vton"]


def test_the_services_of_compose_run_the_procfiles_lines() -> None:
    services = yaml.safe_load((ROOT / "docs/deploy/compose.yml").read_text())["services"]

    assert services["worker"]["command"] == procfile()["worker"]
    assert services["migrate"]["command"] == f'sh -c "{procfile()["release"]}"'
    assert "command" not in services["web"]
    assert services["web"]["ports"] == ["127.0.0.1:8000:8000"]
    assert "--maxmemory-policy noeviction" in services["valkey"]["command"]


@pytest.mark.thorough
def test_it_installs_serves_and_is_found_healthy(stack: Stack, image: Path) -> None:
    """What is pinned for a deployment is enough: nothing of the tests or the stack is there."""
    binaries = image.parent / "venv" / "bin"
    venv.create(image.parent / "venv", with_pip=True, symlinks=True)
    port = free_port()
    environ = {
        **{k: v for k, v in stack.child_environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")},
        "PATH": f"{binaries}:{os.defpath}", "PORT": str(port),
    }  # fmt: skip

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=image, env=environ, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    for command in steps("RUN"):
        if not command.startswith("useradd"):
            done = run(command)
            assert done.returncode == 0, done.stdout
    check = steps("HEALTHCHECK")[0].partition("CMD ")[2]
    assert run(check).returncode != 0, "nothing listens yet"
    web = subprocess.Popen(json.loads(steps("CMD")[0]), cwd=image, env=environ)
    try:
        until(lambda: run(check).returncode == 0)
        answer = requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=10)
        migrated = run(procfile()["release"])
        worker = run(f"{binaries}/python -c 'import worker'")
    finally:
        web.terminate()
        web.wait(30)

    assert answer.status_code == 200
    assert migrated.stdout.startswith("The database is up to date.\n")
    assert re.search(r"checks: 0 failed, \d to look at.\n$", migrated.stdout)
    assert worker.returncode == 0, worker.stdout
