"""A model as two ONNX graphs, one per image and one per prompt, proved to do what the model does.

The image's graph takes pixels and, for models that look at edges, the edges as an input: OpenCV's
Canny is no operator of any graph, so the caller finds them (`graph_edges`). The prompts' graph
takes what the image's gave, and prompts in the form of SAM's own ONNX export: points with labels,
a box as two points labelled 2 and 3, and -1 for "no point", which SAM appends where there is no
box.
"""

# Shapes: S the input's side, g grid cells a side, m = 4g mask pixels a side, C and E channels,
# N prompts, k points of each, boxes' corners among them.

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pasam.errors import ExportError, installing
from pasam.files import put_in_place
from pasam.inference.predictor import PromptedModel
from pasam.models.base_sam import BaseSam
from pasam.models.hq_mask_decoder import HqMaskDecoder
from pasam.models.image_adapter import ImageAdaptedMaskDecoder
from pasam.models.pa_mask_decoder import PaMaskDecoder, PaPrediction, edge_channel, shrunk
from pasam.models.segmenter import Segmenter

PIXELS, EDGES = "pixels", "edges"
EMBEDDING = "image_embeddings"
PROMPTS = ("point_coords", "point_labels", "mask_input", "has_mask_input")
IMAGE_NAME, PROMPT_NAME = "image.onnx", "prompts.onnx"
OPSET = 17
CHECKED = ((1, 2), (1, 1), (3, 4), (8, 7))
"""Numbers of prompts N and of points k with which a written file is checked."""
TOLERANCE = 1e-3
"""Largest difference of logits that counts as the same model."""


class ImageGraph(nn.Module):
    """From an image to all that its prompts need.

    Inputs: pixels, float32 (1, 3, S, S) in [0, 255], padded with SAM's mean colour; and, for
    PA-SAM and the image adapter, edges, float32 (1, 1, 4g, 4g), 1 on an edge.
    Outputs: those named in `outputs`, the image embeddings first.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter
        decoder = segmenter.decoder
        self.sees_edges = isinstance(decoder, PaMaskDecoder | ImageAdaptedMaskDecoder)
        self.outputs = [EMBEDDING]
        if isinstance(decoder, PaMaskDecoder):
            parts = decoder.prompt_adapter.parts
            self.outputs += ["guiding"]
            self.outputs += ["detail"] if parts.maps == "double" else []
            self.outputs += ["fine"] if parts.fine else []
        if isinstance(decoder, HqMaskDecoder):
            self.outputs += ["details"]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [PIXELS, EDGES] if self.sees_edges else [PIXELS]

    def forward(self, pixels: Tensor, edges: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode an image; see the class for shapes."""
        made = self.segmenter.look(pixels, edges=edges).parts
        return tuple(part for name in self.outputs if (part := made[name]) is not None)


class PromptGraph(nn.Module):
    """From what the image's graph gave, and N prompts, to masks.

    Inputs: the image's features; point_coords (N, k, 2) in pixels of the input; point_labels
    (N, k); mask_input (N, 1, m, m); has_mask_input (N,), 1 where the mask counts. All float32.
    Outputs: masks, logits (N, M, m, m), and scores (N, M): SAM's four, of which the first is the
    single-mask answer, or an adapter's one; and PA-SAM's uncertainty, (N, 1, h, h).
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.features = ImageGraph(segmenter).outputs
        decoder = segmenter.decoder
        self.outputs = ["masks", "scores"]
        if isinstance(decoder, PaMaskDecoder):
            if decoder.predicts_by in ("random", "fixed"):
                raise ExportError(
                    "this model mines its points at random, which no graph draws; it cannot be "
                    "exported. Take one whose mining.method is top, gumbel or none."
                )
            if decoder.prompt_adapter.parts.tokens:
                self.outputs += ["uncertainty"]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [*self.features, *PROMPTS]

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Predict masks; see the class for shapes."""
        features = dict(zip(self.features, given, strict=False))
        coords, labels, mask, has_mask = given[len(features) :]
        base, decoder = self.segmenter.base, self.segmenter.decoder
        inputs: dict[str, Any] = {
            **features,
            "image_pe": base.image_pe(),
            "sparse": _sparse(base, coords, labels),
            "dense": _dense(base, mask, has_mask),
            "image_index": torch.zeros_like(has_mask, dtype=torch.int64),
        }
        if isinstance(decoder, PaMaskDecoder):
            found = decoder.decode(
                **inputs, point_embeddings=base.point_embeddings(), mining=decoder.predicts_by
            )
            maps = (found.uncertainty,) if isinstance(found, PaPrediction) else ()
            return (found.masks, found.iou[:, :1], *maps)
        if isinstance(decoder, HqMaskDecoder):
            fine = decoder.decode(**inputs)
            return fine.masks, fine.iou[:, :1]
        masks, scores = decoder.decode(**inputs)
        adapted = isinstance(decoder, ImageAdaptedMaskDecoder)
        return (masks[:, :1], scores[:, :1]) if adapted else (masks, scores)


def graph_edges(segmenter: Segmenter, pixels: Tensor) -> Tensor:
    """Find the edges that the image's graph asks for.

    Args:
        segmenter: The model.
        pixels: Pixels, (1, 3, S, S) in [0, 255].

    Returns:
        1 on edges and 0 elsewhere, float32 (1, 1, 4g, 4g).
    """
    base, decoder = segmenter.base, segmenter.decoder
    assert isinstance(decoder, PaMaskDecoder | ImageAdaptedMaskDecoder), "others see no edges"
    return edge_channel(shrunk(base.normalise(pixels), base.grid), decoder.gradient)


def _sparse(base: BaseSam, coords: Tensor, labels: Tensor) -> Tensor:
    """Embed points and corners, (N, k, C), by their labels alone, as a graph has to."""
    encoder = base.sam.prompt_encoder
    code = encoder.pe_layer._pe_encoding((coords + 0.5) / base.side)
    kind = labels.unsqueeze(-1)
    embedded = torch.where(kind == -1, encoder.not_a_point_embed.weight, code)
    for number, table in enumerate(encoder.point_embeddings):
        embedded = embedded + table.weight * (kind == number)
    return embedded


def _dense(base: BaseSam, mask: Tensor, has_mask: Tensor) -> Tensor:
    """Embed mask prompts, (N, C, g, g), or SAM's code of "no mask" where there is none."""
    encoder = base.sam.prompt_encoder
    nothing = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    return torch.where(has_mask.reshape(-1, 1, 1, 1) > 0, encoder.mask_downscaling(mask), nothing)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the written graphs are from the model, over all that was tried."""

    difference: float
    """Largest difference of a mask's logit."""
    iou: float
    """IoU of the masks by the one with the masks by the other, all pixels together."""
    prompts: int
    """Prompts that were tried."""


def export_onnx(model: PromptedModel, folder: Path) -> Parity:
    """Write a model as two graphs and run both against it.

    Args:
        model: The model, on the CPU.
        folder: Gets `image.onnx` and `prompts.onnx`; nothing is left there when they are wrong.

    Raises:
        ExportError: ONNX is not installed, the model mines at random, or the graphs differ from
            the model.
        ParamsError: The base's encoder was opened in another precision than its file has.
    """
    _expect_packages()
    model.segmenter.base.expect_exact("writing graphs")
    image_graph, prompt_graph = ImageGraph(model.segmenter), PromptGraph(model.segmenter)
    seen, features = _run_on_noise(image_graph)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export.") as draft:
        image_file, prompt_file = Path(draft) / IMAGE_NAME, Path(draft) / PROMPT_NAME
        metadata = _metadata(model)
        _write(image_graph, seen, image_file, dynamic={}, metadata=metadata)
        counts: dict[str, dict[int, str]] = {name: {0: "N"} for name in PROMPTS}
        counts |= {name: {0: "N"} for name in prompt_graph.outputs}
        counts["point_coords"][1] = counts["point_labels"][1] = "k"
        given = (*features, *_prompts(model.segmenter.base, 2, 3))
        _write(prompt_graph, given, prompt_file, dynamic=counts, metadata=metadata)
        parity = check_parity(model, Path(draft))
        if parity.difference > TOLERANCE:
            raise ExportError(
                f"the written graphs differ from {model.name} by {parity.difference:.2g} in a "
                f"logit, expected at most {TOLERANCE:g}; nothing was kept. Try other versions of "
                "onnx and onnxruntime."
            )
        for file in sorted(Path(draft).iterdir()):
            put_in_place(file, folder / file.name)
    return parity


def check_parity(
    model: PromptedModel, folder: Path, tried: Sequence[tuple[int, int]] = CHECKED
) -> Parity:
    """Run written graphs and the model on noise and random prompts, and compare the masks.

    Args:
        model: The model, on the CPU.
        folder: Holds `image.onnx` and `prompts.onnx`.
        tried: Numbers of prompts N and of points k.
    """
    import onnxruntime

    image_graph, prompt_graph = ImageGraph(model.segmenter), PromptGraph(model.segmenter)
    seen, features = _run_on_noise(image_graph)
    sessions = [onnxruntime.InferenceSession(folder / n) for n in (IMAGE_NAME, PROMPT_NAME)]
    written = sessions[0].run(None, _named(image_graph.inputs, seen))
    difference, both, either = 0.0, 0, 0
    for prompts, points in tried:
        given = _prompts(model.segmenter.base, prompts, points)
        with torch.no_grad():
            expected: NDArray[np.float32] = prompt_graph(*features, *given)[0].numpy()
        named = {**dict(zip(prompt_graph.features, written, strict=True)), **_named(PROMPTS, given)}
        found = sessions[1].run(None, named)[0]
        difference = max(difference, float(np.abs(found - expected).max()))
        both += int(((found > 0) & (expected > 0)).sum())
        either += int(((found > 0) | (expected > 0)).sum())
    iou = both / either if either else 1.0
    return Parity(difference, iou, sum(prompts for prompts, _ in tried))


def _write(
    graph: ImageGraph | PromptGraph, given: tuple[Tensor, ...], path: Path,
    *, dynamic: dict[str, dict[int, str]], metadata: dict[str, str],
) -> None:  # fmt: skip
    import onnx

    # The tracer, not torch.export: the latter is ten times slower here and fixes the numbers of
    # prompts and points.
    with warnings.catch_warnings():
        # The tracer's notes: what it wrote is checked against the model.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(), given, path, input_names=graph.inputs, output_names=graph.outputs,
            dynamic_axes=dynamic, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    model = onnx.load(path, load_external_data=False)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def _metadata(model: PromptedModel) -> dict[str, str]:
    base, decoder = model.segmenter.base, model.segmenter.decoder
    return {
        "model": model.name, "base": model.base, "resize": model.resize, "side": str(base.side),
        "mask_side": str(base.mask_side), "gradient": str(getattr(decoder, "gradient", "none")),
    }  # fmt: skip


def _run_on_noise(graph: ImageGraph) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Draw an image with edges, blocks of random colours; return the graph's inputs and outputs."""
    side = graph.segmenter.base.side
    blocks = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    pixels = blocks.repeat_interleave(side // 8, 2).repeat_interleave(side // 8, 3)
    seen = (pixels, graph_edges(graph.segmenter, pixels)) if graph.sees_edges else (pixels,)
    with torch.no_grad():
        return seen, graph(*seen)


def _prompts(base: BaseSam, prompts: int, points: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw prompts with every label there is, half of them with a mask."""
    generator = torch.Generator().manual_seed(prompts * 100 + points)
    coords = torch.rand(prompts, points, 2, generator=generator) * base.side
    labels = torch.randint(-1, 4, (prompts, points), generator=generator).float()
    mask = torch.randn(prompts, 1, base.mask_side, base.mask_side, generator=generator) * 5
    return coords, labels, mask, (torch.arange(prompts) % 2).float()


def _named(names: Sequence[str], tensors: Sequence[Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


def _expect_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"ONNX is not installed ({error}). Add its group: {installing('export')}"
        ) from None
