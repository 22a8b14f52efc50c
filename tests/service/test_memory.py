"""A dyno of 512 MB with two web processes, which Heroku's buildpack makes of a small one."""

import io
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pillow_heif
import psutil
import pytest
import requests
from actors import User, encoded, until
from PIL import Image

from devstack.processes import Processes, free_port
from devstack.stack import Stack
from vton.errors import Unavailable
from vton.imaging.photos import PictureConverter
from vton.imaging.sandbox import Sandbox
from vton.imaging.slots import DECODER_BYTES, MEGABYTE, DecoderSlots, count_slots

CGROUPS = Path("/sys/fs/cgroup")
DYNO_BYTES = 512 * MEGABYTE
USERS = 8


@pytest.mark.parametrize(
    ("megabytes", "processes", "slots"),
    [(512, 1, 1), (512, 2, 1), (256, 2, 1), (1024, 2, 2), (1024, 6, 1), (64_000, 1, 2)],
)
def test_the_memory_says_how_many_decode_at_once(
    megabytes: int, processes: int, slots: int
) -> None:
    assert count_slots(megabytes * MEGABYTE, processes) == slots
    assert slots == 1 or slots * DECODER_BYTES < megabytes * MEGABYTE


def test_slots_are_shared_by_all_who_know_the_folder(tmp_path: Path) -> None:
    one, other = DecoderSlots(tmp_path, 1), DecoderSlots(tmp_path, 1)
    with one.taken(1), pytest.raises(Unavailable), other.taken(0.1):
        pass
    with other.taken(0.1):
        pass


def test_a_decoder_that_is_killed_is_no_damaged_photo(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    converter = PictureConverter(Sandbox(decoders=DecoderSlots(tmp_path, 1)))
    photo = encoded(Image.effect_noise((3000, 3000), 60), "PNG")

    def decoder() -> psutil.Process | None:
        children = psutil.Process().children()
        return next((child for child in children if "vton.imaging" in child.cmdline()), None)

    def kill() -> None:
        until(decoder).send_signal(signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(Unavailable):
        converter.normalise_photo(photo, "somebody")
    killing.join()

    assert "ERROR" in caplog.text
    assert "signal 9" in caplog.text
    assert converter.normalise_photo(encoded(Image.new("RGB", (400, 400)), "PNG"), "somebody")


@pytest.fixture
def dyno() -> Iterator[Path]:
    """A memory cgroup of 512 MB."""
    folder = CGROUPS / "memory" / f"vton-{uuid4().hex}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(DYNO_BYTES))
    except OSError:
        pytest.skip("no memory cgroup can be made here")
    yield folder
    folder.rmdir()


@pytest.mark.thorough
def test_eight_phones_at_once_kill_nobody(
    stack: Stack, sign_up: Callable[[], User], garment_id: str, dyno: Path
) -> None:
    image = Image.effect_noise((1000, 750), 60).resize((4000, 3000)).convert("RGB")
    heic = io.BytesIO()
    pillow_heif.from_pillow(image).save(heic, quality=60)
    photos = [heic.getvalue(), encoded(image, "WEBP", quality=80)]
    port = free_port()
    environ = {**stack.child_environ, "WEB_CONCURRENCY": "2", "PORT": str(port)}
    environ["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{port}"
    processes = Processes(threading.Event(), quiet=True)
    join = f"echo $$ > {dyno}/cgroup.procs; exec gunicorn wsgi:app -c gunicorn.conf.py"
    users = [sign_up() for _ in range(USERS)]

    def upload(number: int) -> list[requests.Response]:
        return [
            users[number].call(
                "POST", f"http://127.0.0.1:{port}/api/try-on", data={"garmentId": garment_id},
                files={"userImage": photos[(number + turn) % 2]},
            )
            for turn in range(2)
        ]  # fmt: skip

    try:
        web = processes.start("web", ["sh", "-c", join], environ)
        processes.wait_until_listening(web, port)
        with ThreadPoolExecutor(USERS) as threads:
            answers = [a for some in threads.map(upload, range(USERS)) for a in some]
        workers = len(psutil.Process(web.popen.pid).children())
    finally:
        processes.stop(["web"], 10)

    counted = Counter(answer.status_code for answer in answers)
    assert set(counted) <= {202, 503}
    assert counted[202] >= USERS
    assert all("Retry-After" in answer.headers for answer in answers)
    assert "oom_kill 0" in (dyno / "memory.oom_control").read_text()
    assert workers == 2
    assert not os.WIFSIGNALED(web.popen.returncode or 0)
