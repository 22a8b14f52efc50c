"""Uploads: time, CPU and round trips, by the photo's size and Supabase's distance."""

import io
import signal
import statistics
import time
from uuid import uuid4

import requests
from PIL import Image
from redis import Redis

from devstack.bench.stand import Bench, percentile
from devstack.bench.table import Row, Section
from vton.imaging.convert import photo_to_jpeg

COUNT = 60
LATENCIES = (0.0, 0.005, 0.03)


def photo(width: int, height: int, quality: int) -> bytes:
    """A JPEG with as much detail as a phone's."""
    noise = Image.effect_noise((width // 8, height // 8), 60).resize((width, height))
    colours = Image.merge("RGB", (noise, noise.transpose(Image.Transpose.ROTATE_180), noise))
    output = io.BytesIO()
    colours.save(output, "JPEG", quality=quality)
    return output.getvalue()


def measure() -> Section:
    """Post one after the other, on one connection; the worker is stopped meanwhile."""
    photos = {"small": photo(900, 1200, 75), "12 megapixels": photo(4032, 3024, 85)}
    rows: list[Row] = []
    with Bench(1) as bench, bench.server("devstack.bench.yardsticks:constant()") as port:
        bench.stack.end_process("worker", signal.SIGTERM)
        plain_url = f"http://127.0.0.1:{port}/"
        for name, data in photos.items():
            size = f"{name} ({len(data) / 1e6:.2f} MB)"
            form_only = statistics.median(_posts(bench, plain_url, data, 20))
            for latency in LATENCIES:
                bench.user_id, bench.token = bench.sign_up()  # one may have 6 s a minute decoded
                bench.change_gateway(latency=latency)
                _posts(bench, f"{bench.stack.web_url}/api/try-on", data, 3)
                bench.change_gateway(latency=latency)
                cpu, reads = bench.cpu("web"), _reads(bench.services.redis)
                took = _posts(bench, f"{bench.stack.web_url}/api/try-on", data, COUNT)
                cpu = (bench.cpu("web") - cpu) / COUNT
                trips = (_reads(bench.services.redis) - reads - 1) / COUNT
                calls = bench.gateway_calls()["total"] / COUNT
                p50 = statistics.median(took)
                allowed = 0.025 + 2 * latency
                rows.append(
                    Row(
                        f"{size}, {latency * 1000:.0f} ms to Supabase: p50, p95",
                        f"{p50 * 1000:.0f} ms, {percentile(took, 0.95) * 1000:.0f} ms",
                        f"a view that only reads the form: {form_only * 1000:.0f} ms; "
                        f"25 ms and two round trips: {allowed * 1000:.0f} ms",
                        p50 / allowed,
                        "1.00 or less" if name == "small" else "",
                    )
                )
            alone = _normalising(data)
            rows += [
                Row(f"{size}: CPU of the web process", f"{cpu * 1000:.0f} ms",
                    f"making the stored photo of it, alone: {alone * 1000:.0f} ms", cpu / alone,
                    "" if name == "small" else "under 60 ms"),
                Row(f"{size}: calls of Supabase", f"{calls:.2f}", "", None, "2 at most"),
                Row(f"{size}: round trips to Redis", f"{trips:.2f}", "", None, "3 at most"),
            ]  # fmt: skip
    about = f"{COUNT} uploads one after the other, each figure of one upload."
    return Section("Uploads", about, rows)


def another(photo: bytes) -> bytes:
    """The same JPEG with a comment of its own: the same photo twice is one try-on."""
    return photo[:2] + b"\xff\xfe\x00\x12" + uuid4().bytes + photo[2:]


def _posts(bench: Bench, url: str, data: bytes, count: int) -> list[float]:
    took = []
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {bench.token}"
        for _ in range(count):
            began = time.perf_counter()
            files = {"userImage": ("a.jpg", another(data))}
            answer = session.post(url, files=files, data={"garmentId": bench.garment_id})
            took.append(time.perf_counter() - began)
            assert answer.ok, answer.text
    return took


def _normalising(data: bytes) -> float:
    """CPU seconds that the photo itself takes."""
    began = time.process_time()
    for _ in range(20):
        photo_to_jpeg(data)
    return (time.process_time() - began) / 20


def _reads(redis: Redis) -> int:
    """How often Redis has read from a client: once a round trip."""
    return int(redis.info("stats")["total_reads_processed"])
