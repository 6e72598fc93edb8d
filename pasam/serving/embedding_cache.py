"""Embedded pictures that are kept for the next prompt, bounded by their bytes."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

from pasam.errors import RefusedError
from pasam.inference.embedded_image import EmbeddedImage


class EmbeddingCache:
    """Keep what was used last; every method may be called from several threads.

    Args:
        most_bytes: Memory of all entries together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[str, EmbeddedImage] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Memory that the entries take."""
        with self._lock:
            return self._bytes

    def put(self, image: EmbeddedImage) -> str:
        """Keep an embedded picture and name it; whoever used theirs longest ago loses it.

        The name cannot be guessed, so that nobody sees the picture of somebody else. A picture
        that alone exceeds the memory is not kept, and its name is unknown at once.
        """
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = image
            self._bytes += image.nbytes
            while self._bytes > self.most_bytes:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes
        return name

    def get(self, name: str) -> EmbeddedImage:
        """Return a picture that was kept, and count it as used.

        Raises:
            RefusedError: 404; it never was here, or had to go.
        """
        with self._lock:
            image = self._kept.get(name)
            if image is not None:
                self._kept.move_to_end(name)
                return image
        raise RefusedError(
            f"there is no embedding {name[:40]!r} (any more): it was never made here, or others "
            "took its place. Send the picture to /embed again.",
            status=404,
        )
