"""The service while others hold connections open, send slowly, or send much; in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import resource
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from pasam.masks.run_lengths import encode

pytestmark = pytest.mark.slow
HALF_OPEN, SLOW, SECONDS = 1100, 500, 6
MEGABYTE = 1_000_000


def image(height, width, form="PNG"):
    """A smooth image as a file, which is small whatever its size."""
    drawn = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(drawn).resize((width, height), Image.Resampling.BICUBIC).save(file, form)
    return file.getvalue()


@pytest.fixture
def served(tmp_path):
    """The packaged models behind `pasam serve`, as many descriptors as systems usually give."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    code = "from pasam.cli.app import app; app()"
    command = [sys.executable, "-c", code, "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        address = ""
        for line in process.stdout:
            if line.startswith("Page: "):
                address = line.split()[1]
                break
        yield process.pid, address
        process.terminate()
        process.wait(30)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(pid, kind):
    """Resident megabytes of a process, now (VmRSS) or at most since the last reset (VmHWM)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123
        (line,) = [line for line in file if line.startswith(kind)]
    return int(line.split()[1]) * 1024 / MEGABYTE


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("5")


async def attacked(address):
    """Open connections and never finish; return how long others wait meanwhile."""
    host, port = httpx.URL(address).host, httpx.URL(address).port
    small, held, waits = image(200, 300), [], []

    async def half():
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: loc")
        held.append(writer)

    async def slow():
        _, writer = await asyncio.open_connection(host, port)
        held.append(writer)
        writer.write(
            b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )

    for _ in range(HALF_OPEN // 100):
        await asyncio.gather(*[half() for _ in range(100)])
    await asyncio.gather(*[slow() for _ in range(SLOW)])
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            start = time.monotonic()
            health = await client.get("health")
            prompts = {"prompts": '[{"box": [10, 10, 200, 150]}]'}
            honest = await client.post("predict", data=prompts, files={"image": small})
            waits.append((health.status_code, honest.status_code, time.monotonic() - start))
    for writer in held:
        writer.close()
    return waits


def test_half_open_connections_and_slow_bodies_shut_nobody_out(served):
    pid, address = served
    waits = asyncio.run(attacked(address))
    assert {statuses[:2] for statuses in waits} == {(200, 200)}
    assert max(seconds for *_, seconds in waits) < 20
    assert memory(pid, "VmRSS") < 1200


def test_one_large_image_takes_a_bounded_memory(served):
    pid, address = served
    large = image(5000, 5000, "JPEG")
    asked = {"prompts": '[{"box": [100, 100, 4000, 4000]}]'}
    whole = encode(np.ones((5000, 5000), np.uint8))
    drawn = [{"file_name": "a.png", "height": 5000, "width": 5000}]
    drawn[0]["objects"] = [{"name": "x", "segmentation": whole}]
    with httpx.Client(base_url=address, timeout=120) as client:
        client.post("predict", data=asked, files={"image": image(500, 700)})  # warms up
        for fields, status in (({}, 200), ({"format": "png"}, 200), ({"details": "true"}, 413)):
            reset_peak(pid)
            before = memory(pid, "VmRSS")
            answer = client.post("predict", data=asked | fields, files={"image": large})
            assert answer.status_code == status
            assert memory(pid, "VmHWM") - before <= 300, fields
        reset_peak(pid)
        before = memory(pid, "VmRSS")
        answer = client.post("annotations", data={"images": json.dumps(drawn)})
        assert answer.status_code == 200
        assert memory(pid, "VmHWM") - before <= 300
