"""How much the service takes: of one request, of all that wait, and to remember."""

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
    """Pixels of a picture, H x W."""
    prompts: int = 64
    """Prompts of one request."""
    points: int = 64
    """Points of one prompt."""
    waiting_prompts: int = 256
    """Prompts that may wait for the decoder; more get 429."""
    waiting_pictures: int = 16
    """Pictures that may wait for the encoder, or to be searched for everything."""
    requests: int = 512
    """Requests in hand at once; more get 429 before their body is read."""
    batch: int = 16
    """Prompts that share a pass of the decoder."""
    batch_pixels: int = 64 * MEGA
    """Mask pixels that a pass may hold; large pictures make smaller passes."""
    cache_bytes: int = 512 * MEGA
    """Memory for embedded pictures; the one used longest ago goes first."""
    search_pixels: int = 8 * MEGA
    """Pixels of a picture in which everything is looked for, which holds many masks at once."""
    grid: int = 32
    """Points a side when everything is looked for."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                value = getattr(self, field.name)
                raise ParamsError(f"the limit {field.name} is {value}, expected 1 or more.")
