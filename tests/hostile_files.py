"""Hostile and damaged files of every kind that comes from outside, made from small good ones."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image

Made = tuple[str, bytes]
"""Name with its suffix, and content."""

EVIL = (
    b"", b"\0", b"\xff\xfe", b"PK\x03\x04", b"<html>no</html>", b"\x1b[31mred\x1b[0m",
    b"[" * 100_000,
    b'{"a":' * 50_000, b"9" * 5_000, b"null", b"NaN", b"[]", b"{}", b'"\\ud800"', b"1e999",
    b"\n" * 9999,
)  # fmt: skip
NUMBERS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e300",
    "3e8",
    "-1",
    "9" * 400,
    "null",
    '"x"',
    "[]",
    "{}",
)
NAMES = (
    "../../x.png",
    "/etc/passwd",
    "a\\u0000b",
    "x" * 300,
    "\\ud800",
    "",
    ".",
    "C:\\\\x",
    "\\u001b[2J",
)


EXIF = (
    b"Exif\0\0II*\0\x08\0\0\0\x02\0"  # two tags: the orientation as a text, one far outside
    b"\x12\x01\x02\0\x04\0\0\0x\0\0\0" b"\x0e\x01\x02\0\xff\xff\xff\x7f\xf0\xff\xff\xff" b"\0\0\0\0"
)  # fmt: skip


def damaged(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies with bytes flipped, cut off, doubled or put in."""
    rng = random.Random(seed)
    for turn in range(count):
        place = rng.randrange(max(len(content), 1))
        if turn % 4 == 0:
            yield content[:place]
        elif turn % 4 == 1:
            yield content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
        elif turn % 4 == 2:
            yield content[:place] + rng.randbytes(8) + content[place + 8 :]
        else:
            yield content[:place] + content[place // 2 :]


def weights() -> Iterator[Made]:
    """Files of weights."""
    good = {"iou_token.weight": torch.zeros(1, 4), "hf_token.weight": torch.ones(2, 3)}
    plain = safetensors.torch.save(good, metadata={"decoder": "pa_sam", "base": "0"})
    file = io.BytesIO()
    torch.save(good, file)
    for number, content in enumerate(EVIL):
        yield f"evil{number}.safetensors", content
        yield f"evil{number}.pth", content
    for number, content in enumerate(damaged(plain, 40, 1)):
        yield f"damaged{number}.safetensors", content
    for number, content in enumerate(damaged(file.getvalue(), 40, 2)):
        yield f"damaged{number}.pth", content
    for number, words in enumerate((*NUMBERS, "[" * 9000, '{"decoder": ["x"]}', '{"decoder": 3}')):
        said = {"decoder": "pa_sam", "base": "0", "variant": words}
        yield f"variant{number}.safetensors", safetensors.torch.save(good, metadata=said)
    for size in (0, 1, 2**31, 2**63, 2**64 - 1):
        yield f"header{size}.safetensors", size.to_bytes(8, "little") + b"{}"
    for number, shape in enumerate(([-1], [2**62, 8], [[1]], "x", [1.5], [10**30])):
        header = json.dumps(
            {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}
        ).encode()
        yield f"shape{number}.safetensors", len(header).to_bytes(8, "little") + header + bytes(4)
    for kind in ("F8_E4M3", "I8", "BOOL", "Q9"):
        header = json.dumps({"a": {"dtype": kind, "shape": [4], "data_offsets": [0, 4]}}).encode()
        yield f"{kind}.safetensors", len(header).to_bytes(8, "little") + header + bytes(4)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + b"(" * 1_000_000 + b".")
        archive.writestr("x/data/0", bytes(50_000_000))
    yield "bomb.pth", packed.getvalue()
    for depth in (1_000, 100_000):
        nested = io.BytesIO()
        with zipfile.ZipFile(nested, "w") as archive:
            archive.writestr("x/data.pkl", b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")
        yield f"nested{depth}.pth", nested.getvalue()
    code = torch.tensor(1.0)  # of no dimension
    yield "flat.safetensors", safetensors.torch.save({"image_encoder.pos_embed": code})


def yaml_files() -> Iterator[Made]:
    """Params files."""
    good = b"seed: 1\nmodels:\n  a:\n    decoder: pa_sam\nbase:\n  size: tiny\n"
    for number, content in enumerate(EVIL):
        yield f"evil{number}.yaml", content
    for number, content in enumerate(damaged(good, 40, 3)):
        yield f"damaged{number}.yaml", content
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for number, text in enumerate((
        bomb, "a: &a [*a]", "seed: 1\nseed: 2", "? [a]\n: b",
        "!!python/object/apply:os.system [ls]",
        "a: 2001-99-99", "<<: [1]", "models: {1: 2}", "models: [x]", "models:", "- a", "&a a: *b",
        "a: !!int x", "a: !!binary '?'", "a: !!timestamp x",
    )):  # fmt: skip
        yield f"special{number}.yaml", text.encode()


def coco_files() -> Iterator[Made]:
    """Annotations."""

    def content(name='"a.png"', number="1", corner="3", width="9"):
        return (
            f'{{"images":[{{"id":1,"file_name":{name},"height":9,"width":{width}}}],'
            '"categories":[{"id":1,"name":"x"}],"annotations":[{"id":'
            f'{number},"image_id":1,"category_id":1,"iscrowd":0,"area":9,"bbox":[1,1,{corner},3],'
            f'"segmentation":[[1,1,{corner},1,3,3,1,3]]}}]}}'
        ).encode()  # fmt: skip

    for number, evil in enumerate(EVIL):
        yield f"evil{number}.json", evil
    for number, one in enumerate(damaged(content(), 30, 4)):
        yield f"damaged{number}.json", one
    for number, value in enumerate(NUMBERS):
        yield f"corner{number}.json", content(corner=value)
        yield f"id{number}.json", content(number=value)
        yield f"width{number}.json", content(width=value)
    for number, name in enumerate(NAMES):
        yield f"name{number}.json", content(name=f'"{name}"')
        yield f"named{number}.json", content(number=f'"{name}"')


def images() -> Iterator[Made]:
    """Images."""
    pixels = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        for number, content in enumerate(damaged(file.getvalue(), 30, len(kind))):
            yield f"damaged{number}.{kind.lower()}", content
        if kind not in ("PNG", "JPEG", "WEBP"):
            continue
        for number, tag in enumerate((b"Exif\0\0", b"", b"Exif\0\0II*\0\xff\xff\xff\xff", EXIF)):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, kind, exif=tag)
            yield f"exif{number}.{kind.lower()}", file.getvalue()
        for number, content in enumerate(damaged(file.getvalue(), 20, len(kind))):
            yield f"damaged-exif{number}.{kind.lower()}", content
    for number, content in enumerate(EVIL):
        yield f"evil{number}.png", content
    for number, values in enumerate((
        np.full((4, 4), np.nan, np.float32), np.full((4, 4), np.inf, np.float32),
        np.full((4, 4), 1e38, np.float32), np.full((4, 4), 2**31 - 1, np.int32),
    )):  # fmt: skip
        file = io.BytesIO()
        Image.fromarray(values).save(file, "TIFF")
        yield f"values{number}.tiff", file.getvalue()


def requests() -> Iterator[Made]:
    """Prompts and bodies of HTTP."""
    good = b'[{"box": [12, 8, 70, 50], "points": [[1, 2]], "labels": [1]}]'
    for number, content in enumerate(EVIL):
        yield f"evil{number}.prompts", content
    for number, content in enumerate(damaged(good, 30, 5)):
        yield f"damaged{number}.prompts", content
    for number, value in enumerate(NUMBERS):
        yield f"box{number}.prompts", f'[{{"box": [1, 2, {value}, 4]}}]'.encode()
        yield f"label{number}.prompts", f'[{{"points": [[1, 2]], "labels": [{value}]}}]'.encode()
        yield f"mask{number}.prompts", f'[{{"mask": {value}}}]'.encode()
        yield f"key{number}.prompts", f'[{{"x": {value}}}]'.encode()


def write_all(folder: Path, made: Iterator[Made]) -> list[Path]:
    """Write files; their paths, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in made:
        path = folder / name
        path.write_bytes(content)
        paths.append(path)
    return paths
