"""What tests need that Python does not install: Node, and what npm has."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

JS = Path(__file__).parent / "devstack" / "js"


def required_or_skip(reason: str) -> None:
    """A browser or Node may be missing at a desk, never in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (required, since CI is set)")
    pytest.skip(reason)


def installed_from_npm(folder: Path = JS) -> Path:
    """Return what a folder's package-lock.json names, installed by whoever comes first."""
    if not (shutil.which("node") and shutil.which("npm")):
        required_or_skip("node and npm are not installed")
    modules = folder / "node_modules"
    stamp = modules / ".installed"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    name = hashlib.sha256(bytes(folder)).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"vton-npm-{os.getuid()}-{name}"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            install = ["npm", "ci", "--no-audit", "--no-fund"]
            done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                required_or_skip(f"npm ci failed: {done.stderr[-500:]}")
            stamp.write_text(wanted)
    return modules
