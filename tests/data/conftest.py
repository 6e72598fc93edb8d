"""Small sets, miniature archives in the published layout, and a web server with faults."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pasam.masks.images import write_png


class FaultyServer(ThreadingHTTPServer):
    """Serves files from memory; each fault holds for as many requests as it is ordered for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        """Name and Range header of every request."""
        self.orders: Counter[str] = Counter()
        """cut, busy: how many requests are to suffer from it."""
        self.refuses_ranges = False
        self.ignores_if_range = False
        self.has_versions = True
        self.weak = False
        """Whether equal versions may have other bytes."""
        self.interrupts_at: int | None = None
        """Number of the request at which Ctrl-C is pressed."""
        self.pause = 0.0
        """Seconds before every eighth of a file."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when a client goes away."""

    def suffers(self, fault: str) -> bool:
        if self.orders[fault] == 0:
            return False
        self.orders[fault] -= 1
        return True


class _Handler(BaseHTTPRequestHandler):
    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip("/"), self.headers.get("Range")
        self.server.requests.append((name, wanted))
        if self.server.interrupts_at == len(self.server.requests):
            time.sleep(0.1)  # by now all transfers have begun
            os.kill(os.getpid(), signal.SIGINT)  # as if a person pressed Ctrl-C
        if self.server.suffers("busy"):
            return self.answer(503, b"", {})
        if name not in self.server.files:
            return self.answer(404, b"", {})
        content = self.server.files[name]
        version = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        version = f"W/{version}" if self.server.weak else version
        headers = {"ETag": version} if self.server.has_versions else {}
        same = self.server.ignores_if_range or self.headers.get("If-Range") in (None, version)
        if wanted is None or self.server.refuses_ranges or not same:
            return self.answer(200, content, headers)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return self.answer(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
        extent = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self.answer(206, content[start:], {**headers, "Content-Range": extent})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body and self.server.suffers("cut"):
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        step = max(1, len(body) // 8)
        for start in range(0, len(body), step):
            time.sleep(self.server.pause)
            self.wfile.write(body[start : start + step])


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """A server on this machine, shut down and closed at the end."""
    with FaultyServer() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def _zipped(files: dict[str, bytes]) -> bytes:
    """Pack files as a zip."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(zipfile.ZipInfo(name), content)
    return memory.getvalue()


def _pairs(images: str, masks: str, count: int) -> dict[str, bytes]:
    """Files of `count` images and masks; their content does not matter here."""
    made: dict[str, bytes] = {}
    for number in range(count):
        made[f"{images}/{number}.jpg"] = f"image {images} {number}".encode()
        made[f"{masks}/{number}.png"] = f"mask {masks} {number}".encode()
    return made


@pytest.fixture
def zipped() -> Callable[[dict[str, bytes]], bytes]:
    """Pack files as a zip."""
    return _zipped


@pytest.fixture
def pairs() -> Callable[[str, str, int], dict[str, bytes]]:
    """Make images and masks of given folders, so and so many."""
    return _pairs


@pytest.fixture
def published() -> dict[str, bytes]:
    """HQSeg-44K's three archives in small, as they are published.

    `DIS5K.zip` holds its own folder; the others were packed without theirs.
    """
    thin = {
        **_pairs("ThinObject5K/images_train", "ThinObject5K/masks_train", 3),
        **_pairs("ThinObject5K/images_test", "ThinObject5K/masks_test", 2),
        **_pairs("COIFT/images", "COIFT/masks", 2),
        **_pairs("HRSOD/images", "HRSOD/masks_max255", 2),
    }
    cascade: dict[str, bytes] = {}
    for name in ("fss_all", "DUTS-TR", "DUTS-TE", "ecssd", "MSRA_10K"):
        cascade |= _pairs(name, name, 4)
    dis = {
        "DIS5K/DIS5K Dataset Terms of Use.pdf": b"terms",
        **_pairs("DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt", 5),
        **_pairs("DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt", 1),
    }
    return {
        "DIS5K.zip": _zipped(dis),
        "cascade_psp.zip": _zipped(cascade),
        "thin_object_detection.zip": _zipped(thin),
    }


@pytest.fixture
def tree() -> Callable[[Path], list[str]]:
    """List all that lies in a folder, as sorted posix paths."""

    def list_all(folder: Path) -> list[str]:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))

    return list_all


SIDE = 12


def draw_set(folder: Path, count: int = 10) -> tuple[Path, Path]:
    """Write `count` images and one mask each; return the two folders."""
    rng = np.random.default_rng(0)
    for number in range(count):
        write_png(
            folder / "photos" / f"{number:02d}.png", rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        )
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[2 : 4 + number % 8, 2:9] = 255
        write_png(folder / "masks" / f"{number:02d}.png", mask)
    return folder / "photos", folder / "masks"


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Ten photographs and their masks."""
    return draw_set(tmp_path / "source")


@pytest.fixture
def draw() -> Callable[..., tuple[Path, Path]]:
    """Write photographs and masks to a folder."""
    return draw_set
