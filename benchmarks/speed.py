"""How fast the parts are that a run at the paper's size spends its time in.

    python benchmarks/speed.py                      # one CPU thread, six rows, some four minutes
    python benchmarks/speed.py --device cuda        # whole networks on a GPU; see on_gpu.py
    python benchmarks/speed.py --toy --rows vit_b band --json FILE

Rows with a reference here alternate with it, A B A B, on the same inputs in one process, and give
the ratio of the medians. PA-SAM's own code cannot be shipped, so the decoder's rows alternate with
segment-anything's decoder, and PA-SAM's time is reckoned from its time by factors recorded once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from device_times import Line, Setting, compared, table_header, table_row
from torch.nn import functional as F
from training_rows import pretraining_lines, step_lines, together_lines
from whole_networks import (
    PARAMS,
    PLAIN,
    SEED,
    base_of,
    encoder_lines,
    image_lines,
    whole_band,
    whole_iou,
)

import pasam.models.before_segment_anything  # noqa: F401
from pasam.config.params_file import load_variant
from pasam.config.schema import Decode
from pasam.data.package_photographs import package_photographs
from pasam.evaluation.scores import Truth, score_mask
from pasam.files import temporary_folder, write_json
from pasam.inference.image_transform import ImageTransform
from pasam.masks.images import write_png
from pasam.masks.overlap import Region, band_width
from pasam.models.base_sam import Encoded
from pasam.models.build import build_trainable
from pasam.models.encoders.fused_attention import fused
from pasam.models.segmenter import Prompts
from pasam.training.embeddings import ViewTask, make_view
from pasam.training.objectives import objective_of
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling.image_encoder import Block

RECORDED = {"decoder": 1.95, "step": 2.64}
"""Times of PA-SAM's own code as multiples of what `plain_decoder` takes: a pass with one box, a
training step of four masks; one thread, vit_b, the encoder's outputs given.

PA-SAM's code took 189.2 and 2429 ms where commit e0a5354 of this project, in turn with it, took
158.7 and 2350; that commit, in turn with `plain_decoder`, took 1.64 and 2.56 times its time (31 and
9 rounds, twice, 0.3 % apart)."""


def scene(setting: Setting) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Draw an object of 8 % of 2000 x 3000 pixels and a prediction of it, jagged and shifted."""
    random = np.random.default_rng(SEED)
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 380 + random.normal(0, 25, len(angles))
    outline = np.stack([1500 + 1.05 * radius * np.cos(angles), 1000 + radius * np.sin(angles)], 1)
    truth, predicted = np.zeros((2, 2000, 3000), np.uint8)
    cv2.fillPoly(truth, [outline.astype(np.int32)], 255)
    cv2.fillPoly(predicted, [(outline + random.normal(4, 6, outline.shape)).astype(np.int32)], 255)
    if setting.toy:
        truth, predicted = (cv2.resize(each, (300, 200)) for each in (truth, predicted))
    return 255 * (truth > 128).astype(np.uint8), predicted > 0


def band(setting: Setting) -> Line:
    """Boundary IoU of the scene, the truth prepared once."""
    label, predicted = scene(setting)
    truth = Truth.of(label, boundary_fraction=0.02)
    width = band_width(*label.shape)

    def reference() -> float:
        return whole_iou(whole_band(label > 0, width), whole_band(predicted, width))

    def ours() -> float:
        return truth.band.iou(Region.of(predicted).band(truth.width))

    assert abs(reference() - ours()) < 1e-12, "the two measure the same"
    name = f"boundary IoU, 8 % of {label.shape[0]} x {label.shape[1]}"
    times = compared(ours, reference, setting, rounds=7, source="whole image")
    return Line(name=name, **times)


def evaluation(setting: Setting) -> Line:
    """Logits to scores at 1500 x 2000: resize, threshold, both measures."""
    height, width = (150, 200) if setting.toy else (1500, 2000)
    label, predicted = (
        cv2.resize(each.astype(np.uint8), (width, height)) for each in scene(setting)
    )
    label = 255 * (label > 0).astype(np.uint8)
    small = cv2.resize(predicted.astype(np.float32), (256, 256), interpolation=cv2.INTER_AREA)
    logits = torch.from_numpy(small)[None, None] - 0.5
    truth = Truth.of(label, boundary_fraction=0.02)
    wide = band_width(*label.shape)

    transform = ImageTransform(height, width, 1024, "squash")

    def reference() -> tuple[float, float]:
        whole = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        found = (whole[0, 0] > 0).numpy()
        bands = whole_band(label > 0, wide), whole_band(found, wide)
        return whole_iou(label, found), whole_iou(*bands)

    def ours() -> tuple[float, float]:
        row = score_mask(truth, transform.masks_at_original_size(logits)[0, 0].numpy())
        return float(row["iou"]), float(row["boundary_iou"])

    assert np.allclose(reference(), ours(), atol=1e-12), "the two measure the same"
    times = compared(ours, reference, setting, rounds=7, source="whole image")
    return Line(name=f"evaluation, {height} x {width}", **times)


def encoder(setting: Setting) -> Line:
    """A quarter of vit_b's encoder: two blocks with windows and a global one, 64 x 64 cells."""
    torch.manual_seed(SEED)
    grid, dim, windows = (8, 48, (3, 3, 0)) if setting.toy else (64, 768, (14, 14, 0))
    plain, quick = (
        torch.nn.Sequential(
            *(
                Block(dim, 12, use_rel_pos=True, window_size=w, input_size=(grid, grid))
                for w in windows
            )
        ).eval()
        for _ in range(2)
    )
    for name, table in plain.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.1)
    quick.load_state_dict(plain.state_dict())
    fused(quick)
    cells = torch.randn(1, grid, grid, dim)
    wanted, given = plain(cells), quick(cells)
    difference = ((wanted - given).abs().max() / wanted.abs().max()).item()
    assert difference < 1e-5, "the same features"
    times = compared(lambda: quick(cells), lambda: plain(cells), setting, rounds=3, source=PLAIN)
    return Line(name="vit_b encoder, three blocks of twelve", difference=difference, **times)


def plain_decoder(count: int, *, step: bool) -> Callable[[], Any]:
    """Make segment-anything's decoder with random weights, or a step of it that learns a mask."""
    torch.manual_seed(SEED)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048)
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer)
    inputs = {
        "image_embeddings": torch.randn(1, 256, 64, 64), "image_pe": torch.randn(1, 256, 64, 64),
        "sparse_prompt_embeddings": torch.randn(count, 2, 256),
        "dense_prompt_embeddings": torch.randn(count, 256, 64, 64),
    }  # fmt: skip
    label = torch.zeros(count, 1, 1024, 1024)
    label[..., 256:704, 224:784] = 1

    def learn() -> None:
        with torch.enable_grad():
            decoder.zero_grad()
            logits, _ = decoder(**inputs, multimask_output=False)
            whole = F.interpolate(logits, (1024, 1024), mode="bilinear", align_corners=False)
            F.binary_cross_entropy_with_logits(whole, label).backward()

    return learn if step else partial(decoder, **inputs, multimask_output=False)


def decoder_and_step(setting: Setting, *, step: bool) -> Line:
    """PA-SAM on vit_b with the encoder's outputs given: one box, or a training step of four."""
    count = 4 if step else 1
    base = base_of("vit_b", setting)
    side, grid = base.side, base.grid
    variant = load_variant("pa_sam", PARAMS)
    segmenter = build_trainable(base, variant).train(step)
    random = np.random.default_rng(SEED)
    boxes = torch.tensor([[200.0, 240.0, 800.0, 720.0]]).repeat(count, 1) * side / 1024
    prompts = [
        Prompts(
            indices=torch.arange(count), boxes=boxes, points=None, point_labels=None, masks=None
        )
    ]
    images = torch.from_numpy(random.integers(0, 255, (count, 3, side, side), np.uint8))
    encoded = Encoded(
        embedding=torch.randn(count, base.dim, grid, grid),
        early=torch.randn(count, base.early_dim, grid, grid),
    )
    labels = torch.zeros(count, side, side, dtype=torch.uint8)
    labels[:, side // 4 : side * 11 // 16, side * 14 // 64 : side * 49 // 64] = 255
    generator = torch.Generator().manual_seed(SEED)
    objective = objective_of(variant)
    learning = [each for each in segmenter.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learning)

    def predicted() -> Any:
        return segmenter(
            images=images, encoded=encoded, image_index=torch.arange(count), prompts=prompts,
            mining="gumbel" if step else None, generator=generator,
        )  # fmt: skip

    def ours() -> None:
        if not step:
            predicted()
            return
        with torch.enable_grad():
            optimizer.zero_grad()
            objective(predicted(), labels, generator)["loss"].backward()
            optimizer.step()

    name = "PA-SAM, training step of 4 masks" if step else "PA-SAM's decoder, one box"
    if setting.toy:  # the recorded factor is of another size
        return Line(name=name, **compared(ours, None, setting, rounds=3))
    plain = plain_decoder(count, step=step)
    factor = RECORDED["step" if step else "decoder"]
    source = f"recorded: {factor} times segment-anything's decoder"
    times = compared(ours, plain, setting, rounds=7 if step else 15, source=source)
    return Line(name=name, **{**times, "reference": factor * times["reference"]})


def view(setting: Setting) -> Line:
    """Make views as a training on fresh ones does, from a JPEG of 12 megapixels and its mask.

    They are not the same pixels: what is decoded near the size needed is smoother.
    """
    height, width, side, count = (300, 400, 128, 2) if setting.toy else (3000, 4000, 1024, 16)
    photograph = package_photographs()[0].read()
    tiles = -(-height // photograph.shape[0]), -(-width // photograph.shape[1]), 1
    pixels = np.tile(photograph, tiles)[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 4, height // 4), 20, 0, 360, 255, -1)
    with temporary_folder() as made_in:
        folder = Path(made_in)
        image = folder / "image.jpg"
        encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        image.write_bytes(encoded.tobytes())
        write_png(folder / "mask.png", mask)
        masks = (str(folder / "mask.png"),)
        tasks = [ViewTask(str(image), masks, view=0, seed=(SEED, n)) for n in range(count)]

        def made(decode: Decode) -> None:
            for task in tasks:
                make_view(task, side=side, jitter=(0.1, 2.0), decode=decode)

        times = compared(
            partial(made, "near"), partial(made, "whole"), setting, rounds=7, of=count,
            source="train.decode: whole",
        )  # fmt: skip
    return Line(name=f"a view of {side} px of a JPEG of {height} x {width}, near", **times)


PARTS: dict[str, Callable[[Setting], Line]] = {
    "band": band,
    "evaluation": evaluation,
    "encoder": encoder,
    "decoder": partial(decoder_and_step, step=False),
    "step": partial(decoder_and_step, step=True),
    "view": view,
}
"""Rows of one CPU thread."""
NETWORKS: dict[str, Callable[[Setting], Iterator[Line]]] = {
    "vit_b": partial(encoder_lines, "vit_b"),
    "vit_l": partial(encoder_lines, "vit_l"),
    "image": image_lines,
    "training": partial(step_lines, compiles=False),
    "compiled": partial(step_lines, compiles=True),
    "together": together_lines,
    "pretraining": pretraining_lines,
}
"""Rows of whole networks, on either device."""


def lines_of(row: str, setting: Setting) -> Iterator[Line]:
    """Measure the lines of a row."""
    if row in PARTS:
        yield PARTS[row](setting)
    else:
        yield from NETWORKS[row](setting)


def chosen_rows(words: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    known = [*PARTS, *NETWORKS]
    parser.add_argument(
        "--rows", nargs="+", choices=known, metavar="ROW",
        help=f"Some of {', '.join(known)}; by default the first six, on a GPU all others.",
    )  # fmt: skip
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--toy", action="store_true", help="Small sizes, few rounds; seconds.")
    parser.add_argument("--json", type=Path, help="File that receives all that was measured.")
    chosen = parser.parse_args(words)
    on_gpu = chosen.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch can use")
    chosen.rows = chosen.rows or list(NETWORKS if on_gpu else PARTS)
    strangers = [row for row in chosen.rows if on_gpu and row in PARTS]
    if strangers:
        parser.error(f"{', '.join(strangers)}: measured on a CPU alone")
    return chosen


def main(words: list[str] | None = None) -> None:
    """Measure and print."""
    chosen = chosen_rows(words)
    setting = Setting(torch.device(chosen.device), chosen.toy)
    if not setting.on_gpu:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
    device = setting.name()
    print(table_header(device, toy=chosen.toy))  # noqa: T201
    lines: list[dict[str, Any]] = []
    with torch.no_grad():
        for row in chosen.rows:
            for line in lines_of(row, setting):
                lines.append({"row": row, **line.measures(device)})
                print(table_row(lines[-1]), flush=True)  # noqa: T201
                if chosen.json is not None:  # line by line: what is stopped has said something
                    about = {"device": device, "toy": chosen.toy, "torch": torch.__version__}
                    write_json(chosen.json, {**about, "lines": lines})


if __name__ == "__main__":
    main()
