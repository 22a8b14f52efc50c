"""What processes that hold keys, and those that decode, may not do."""

import subprocess
import sys

import pytest
from actors import PATIENCE, ROOT, clean_environ

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel is another one")


TELLING = """
import atexit, ctypes, runpy, sys
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
atexit.register(lambda: print("dumpable:", dumpable()))
sys.argv = sys.argv[1:]
"""


@pytest.mark.parametrize(
    "run",
    [
        "runpy.run_path('worker.py', run_name='__main__')",
        "runpy.run_module('gunicorn', run_name='__main__')",
    ],
    ids=["worker", "web"],
)
def test_nobody_reads_the_keys_of_a_process(run: str) -> None:
    """It has hidden by the time it reads its settings, of which one is missing here."""
    done = subprocess.run(
        [sys.executable, "-c", TELLING + run, "gunicorn", "wsgi:app", "-c", "gunicorn.conf.py"],
        cwd=ROOT, env=clean_environ(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip

    assert "SUPABASE_URL is not set" in done.stderr
    assert "dumpable: 0" in done.stdout


BROKEN_INTO = """
import ctypes, io, socket, sys
from vton.imaging import __main__ as decoder, convert

def break_in(data):
    def tried(what):
        try:
            what()
        except OSError as error:
            return type(error).__name__
        return "done"
    return str([tried(lambda: open("/etc/passwd")), tried(socket.socket),
                tried(lambda: open("/tmp/vton-test", "w")),
                ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)]).encode()  # PR_GET_DUMPABLE

convert.CONVERSIONS["photo"] = break_in
decoder.main("photo")
"""


def test_a_decoder_opens_no_file_and_no_socket() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_INTO], input=b"", capture_output=True, check=True, cwd=ROOT
    )

    assert done.stdout == b"['OSError', 'OSError', 'OSError', 0]", done.stderr
