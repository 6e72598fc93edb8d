"""How much the service takes: of one request, of one client, and of all together.

Each limit is held where the thing is in hand: bodies, tokens and requests in `request_guard`,
connections in `server`, queues, pixels and fairness between clients in `jobs`, prompts and
searches in `routes`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from pasam.errors import ParamsError

MEGA = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of the service; `pasam serve --help` names those that a person may set."""

    upload_bytes: int = 32 * MEGA
    """Bytes of a request's body."""
    pixels: int = 25 * MEGA
    """Pixels of an image, H x W."""
    prompts: int = 64
    """Prompts of one request."""
    points: int = 64
    """Points of one prompt."""
    waiting_prompts: int = 256
    """Prompts that may wait for the decoder; more get 429."""
    waiting_images: int = 16
    """Images that may wait for the encoder, or to be segmented wholly."""
    requests: int = 512
    """Requests in hand at once; more get 429 before their body is read."""
    prompt_pixels: int = 80 * MEGA
    """Mask pixels that one prompt may ask for; details of a large image hold nine masks at once."""
    batch: int = 16
    """Prompts that share a pass of the decoder."""
    batch_pixels: int = 32 * MEGA
    """Mask pixels that a pass may hold; large images make smaller passes."""
    cache_bytes: int = 256 * MEGA
    """Memory for embedded images, with what adapters keep of them; the one used longest ago goes
    first."""
    search_pixels: int = 8 * MEGA
    """Pixels of an image in which everything is segmented, which holds many masks at once."""
    exported_objects: int = 2000
    """Objects whose annotations are written at once."""
    exported_pixels: int = 64 * MEGA
    """Pixels of an image whose annotations are written; of a mask's box at most `pixels`."""
    grid: int = 32
    """Points a side of the grid when everything is segmented."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ParamsError(f"the limit {field.name} is {value}, expected 1 or more.")
