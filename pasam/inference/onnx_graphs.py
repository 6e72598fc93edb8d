"""A model as two graphs that other runtimes can run: one per image, one per prompt.

The image's graph takes pixels and, for models that look at edges, the edges as an input: OpenCV's
Canny is no operator of any graph, so the caller finds them (`graph_edges`). The prompts' graph
takes what the image's gave, and prompts in the form of SAM's own ONNX export: points with labels,
a box as two points labelled 2 and 3, and -1 for "no point", which SAM appends where there is no
box.
"""

# Shapes: S the input's side, g grid cells a side, m = 4g mask pixels a side, C and E channels,
# N prompts, k points of each, boxes' corners among them.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pasam.errors import ExportError
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.guiding_embedding import edge_channel, shrunk
from pasam.modeling.hq_mask_decoder import HqMaskDecoder
from pasam.modeling.image_adapter import ImageAdaptedMaskDecoder
from pasam.modeling.pa_mask_decoder import PaMaskDecoder, PaPrediction
from pasam.modeling.segmenter import Segmenter

PIXELS, EDGES = "pixels", "edges"
EMBEDDING = "image_embeddings"
PROMPTS = ("point_coords", "point_labels", "mask_input", "has_mask_input")


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
            finer = decoder.prompt_adapter.finer_maps is not None
            self.outputs += ["guiding", "detail"] if finer else ["guiding"]
        if isinstance(decoder, HqMaskDecoder):
            self.outputs += ["details"]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [PIXELS, EDGES] if self.sees_edges else [PIXELS]

    def forward(self, pixels: Tensor, edges: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode an image; see the class for shapes."""
        base, decoder = self.segmenter.base, self.segmenter.decoder
        encoded = base.encode(pixels)
        if isinstance(decoder, HqMaskDecoder):
            return encoded.embedding, decoder.details(encoded.embedding, encoded.early)
        if edges is None:
            return (encoded.embedding,)
        guided = torch.cat([shrunk(base.normalise(pixels), base.grid), edges], dim=1)
        if isinstance(decoder, ImageAdaptedMaskDecoder):
            return (decoder.adapted_from(encoded.embedding, guided),)
        assert isinstance(decoder, PaMaskDecoder), "only adapters look at edges"
        given = (encoded.embedding, decoder.guiding_from(guided))
        return (*given, decoder.detail_from(guided)) if "detail" in self.outputs else given


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
            if decoder.predicts_by == "random":
                raise ExportError(
                    "this model mines its points at random, which no graph repeats; it cannot be "
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
            masks, scores = found.masks, found.iou[:, :1]
            return (
                (masks, scores, found.uncertainty)
                if isinstance(found, PaPrediction)
                else (
                    masks,
                    scores,
                )
            )
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
