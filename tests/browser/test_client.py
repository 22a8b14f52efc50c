"""`vton-client.js` in Node, by Node's own test runner."""

import os
import subprocess
from pathlib import Path

from actors import ROOT

HERE = Path(__file__).parent
CLIENT = ROOT / "clients" / "js" / "vton-client.js"


def test_the_client_keeps_its_promises(node: str, tmp_path: Path) -> None:
    module = tmp_path / "vton-client.mjs"  # Node 20 takes a module by its name's ending
    module.write_bytes(CLIENT.read_bytes())
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", str(HERE / "vton_client.test.mjs")],
        env={**os.environ, "VTON_CLIENT": module.as_uri()},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
