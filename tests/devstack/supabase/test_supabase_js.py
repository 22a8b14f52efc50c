"""The client that a browser frontend uses, in Node: see tests/devstack/js/supabase.test.mjs."""

import os
import subprocess
from pathlib import Path

import pytest
from servers import JS, Servers


@pytest.mark.usefixtures("reset")
def test_supabase_js_signs_in_reads_and_stores(servers: Servers, node_modules: Path) -> None:
    environ = os.environ | {
        "SUPABASE_URL": servers.url,
        "SUPABASE_PUBLISHABLE_KEY": servers.keys.publishable,
        "SUPABASE_SECRET_KEY": servers.keys.secret,
    }

    done = subprocess.run(
        ["node", "--test", "supabase.test.mjs"],
        cwd=JS,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
