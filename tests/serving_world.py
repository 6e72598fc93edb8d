"""A service on small models, whose names stand for files that a test may exchange."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from inference_models import BASE, make_predictor, picture
from PIL import Image

from pasam.errors import CheckpointError
from pasam.inference.image_transform import EmbeddedImage, ImageTransform
from pasam.inference.model_files import ModelFiles
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.models.base_sam import Encoded
from pasam.serving.service import ModelPool

BOX = [12, 8, 70, 50]


class Shelf:
    """Names, the kinds of model they stand for, and a file of each."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.kinds: dict[str, str] = {}
        self.broken: set[str] = set()
        self.spoiled: dict[str, float] = {}
        """Names whose weights all have one value."""
        self.opened = 0
        for name in names:
            self.place(name, name)

    def place(self, name: str, kind: str, content: str = "") -> None:
        """Let a name stand for another model."""
        draft = self.folder / "draft"
        draft.write_text(kind + content)
        draft.replace(self.folder / name)
        self.kinds[name] = kind

    def find(self, name: str) -> ModelFiles:
        path = self.folder / name
        kind = self.kinds[name]
        return ModelFiles(
            name=kind, base=path, size="tiny", kind="sam", weights=path, variant=None, origin="test"
        )

    def open(self, files: ModelFiles) -> PromptAdapterPredictor:
        if files.weights.name in self.broken:
            raise CheckpointError(f"{files.weights} is broken.")
        self.opened += 1
        made = make_predictor(files.name)
        if files.weights.name in self.spoiled:
            with torch.no_grad():
                for tensor in made.segmenter.decoder.parameters():
                    tensor.fill_(self.spoiled[files.weights.name])
        return made

    def offered(self) -> ModelPool:
        made = ModelPool(lambda: list(self.kinds), find=self.find, open_files=self.open)
        made.refresh()
        return made


def encoded_picture(image: np.ndarray | None = None, form: str = "PNG") -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    Image.fromarray(picture(60, 90) if image is None else image).save(file, form)
    return file.getvalue()


def png_that_claims(width, height):
    """A PNG of a few bytes whose header promises a large picture."""

    def chunk(kind, body):
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def form(*prompts: dict, **fields) -> dict:
    """The form of a prediction."""
    return {"prompts": json.dumps(prompts)} | fields


def small_embedding(side: int = 8, base: str = BASE) -> EmbeddedImage:
    """An embedded image of a few KB that no model has made; it grows with its side."""
    encoded = Encoded(torch.zeros(1, 1, side, side), torch.zeros(1, 1, side, side))
    pixels = torch.zeros(3, side, side, dtype=torch.uint8)
    return EmbeddedImage(ImageTransform(side, side, side, "longest"), pixels, encoded, base)


class Slow:
    """A model whose first prompts on images take the given times, by clocks of their own."""

    def __init__(self, clock, times, work=0.0):
        self.clock, self.times, self.work = clock, iter(times), work
        self.asked: list[EmbeddedImage] = []

    def embed(self, pixels):
        return small_embedding()

    def predict_many(self, requests):
        assert requests[0][0] not in self.asked, "the image was asked before"
        self.asked.append(requests[0][0])
        self.clock[0] += next(self.times)
        self.clock[1] += self.work
