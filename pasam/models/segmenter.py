"""One frozen SAM with one decoder: from encoded images and prompts to masks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.errors import ParamsError
from pasam.models.base_sam import BaseSam, Encoded
from pasam.models.hq_mask_decoder import HqMaskDecoder
from pasam.models.image_adapter import ImageAdaptedMaskDecoder
from pasam.models.pa_mask_decoder import PaMaskDecoder, PaPrediction, guiding_input
from pasam.models.prompt_adapter import MiningMode
from pasam.models.sam_mask_decoder import SamMaskDecoder

# Shapes: B images, N prompts, k points, m = 4g mask pixels a side, g grid cells a side.


@dataclass(slots=True)
class Prompts:
    """Prompts of one kind, which can share a pass."""

    indices: Tensor
    """Their places among all N prompts, int64 (n,)."""
    boxes: Tensor | None = None
    """Corners in input pixels, (n, 4)."""
    points: Tensor | None = None
    """x, y in input pixels, (n, k, 2)."""
    point_labels: Tensor | None = None
    """1 foreground, 0 background, (n, k)."""
    masks: Tensor | None = None
    """Mask prompts, (n, 1, m, m)."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Masks of N prompts, and what PA-SAM has to say besides."""

    masks: Tensor
    """Mask logits, (N, 1, m, m)."""
    iou: Tensor
    """What the iou head says of SAM's first mask, (N, 1); of a refined mask it knows
    nothing, unless it was trained on it."""
    details: PaPrediction | None
    """PA-SAM's own maps and points, in the order of the prompts; None where there are no maps."""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What a decoder needs of B images; made once, it serves every pass of prompts on them."""

    parts: Mapping[str, Tensor | None]
    """By their names in the decoder's `decode`; `image_embeddings`, (B, C, g, g), among them."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        embeddings = self.parts["image_embeddings"]
        assert embeddings is not None, "every decoder takes them"
        return embeddings.device

    @staticmethod
    def joined(images: Sequence[ImageFeatures]) -> ImageFeatures:
        """Put what one decoder made of one or more images behind each other."""
        if len(images) == 1:  # no copy
            return images[0]
        parts = {name: [each.parts[name] for each in images] for name in images[0].parts}
        there = {name: [part for part in of if part is not None] for name, of in parts.items()}
        return ImageFeatures({name: torch.cat(of) if of else None for name, of in there.items()})


class KeptFeatures:
    """What several models made of the same images, each once.

    It is kept as long as the model is, and for weights that stay as they are. Every method may be
    called from several threads.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Segmenter, ImageFeatures] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, segmenter: Segmenter, make: Callable[[], ImageFeatures]) -> ImageFeatures:
        """Return what a model made, or make it now.

        Args:
            segmenter: The model; one that was moved to another device makes it anew.
            make: What it makes; of two threads that ask at once both may.
        """
        with self._lock:
            kept = self._kept.get(segmenter)
        if kept is None or kept.device != segmenter.device:
            kept = make()
            with self._lock:
                self._kept[segmenter] = kept
        return kept

    def tensors(self) -> list[Tensor]:
        """List all that is kept now."""
        with self._lock:
            everything = [each.parts.values() for each in self._kept.values()]
        return [part for parts in everything for part in parts if part is not None]


TAKES_ABSENT = (HqMaskDecoder, PaMaskDecoder, ImageAdaptedMaskDecoder)
"""Decoders that predict for prompts of all kinds in one pass. SAM's own takes one kind at a time,
and gives SAM's masks bit for bit."""


@dataclass(frozen=True, slots=True)
class _Together:
    """Prompts that share a pass, as the prompt encoder embeds them."""

    indices: Tensor
    """Their places among all N prompts, int64 (n,)."""
    sparse: Tensor
    """Sparse embeddings, (n, t, C)."""
    dense: Tensor
    """Dense embeddings, (n, C, g, g)."""
    absent: Tensor | None = None
    """Which sparse embeddings only fill up, bool (n, t); None where none does."""


COMPILED_TOKENS = 16
"""A compiled pass has prompt tokens by this number: points with a box are 12, so that all mixes of
prompts share one graph."""


def _packed(groups: Sequence[_Together], multiple: int = 1) -> _Together:
    """Put groups of different numbers of tokens into one, the shorter ones filled up.

    Args:
        groups: One or more.
        multiple: The tokens are filled up to a multiple of this number.
    """
    lengths = [group.sparse.shape[1] for group in groups]
    longest = -(-max(lengths) // multiple) * multiple
    sparse = [F.pad(each.sparse, (0, 0, 0, longest - each.sparse.shape[1])) for each in groups]
    absent = None
    if min(lengths) < longest:
        places = torch.arange(longest, device=sparse[0].device)
        absent = torch.cat(
            [(places >= each.sparse.shape[1]).expand(len(each.sparse), -1) for each in groups]
        )
    return _Together(
        indices=torch.cat([group.indices for group in groups]),
        sparse=torch.cat(sparse),
        dense=torch.cat([group.dense for group in groups]),
        absent=absent,
    )


class Segmenter(nn.Module):
    """A frozen base and a decoder on it.

    Args:
        base: The SAM; its encoders stay as they are, unless their parameters learn.
        decoder: What predicts masks: SAM's own decoder, HQ-SAM's, PA-SAM's or the image adapter's.
    """

    def __init__(
        self,
        *,
        base: BaseSam,
        decoder: SamMaskDecoder | HqMaskDecoder | PaMaskDecoder | ImageAdaptedMaskDecoder,
    ) -> None:
        super().__init__()
        self.base = base
        self.decoder = decoder
        self._compiled: Callable[..., Any] | None = None

    def compile_decoder(self, backend: str | Callable[..., Any] = "inductor") -> None:
        """Compile what every step of a training repeats: the decoder's pass, forth and back.

        On a GPU it is captured in CUDA graphs, so that its hundreds of kernels start as one. The
        first steps compile, which takes minutes; prediction goes on as it was.

        Args:
            backend: The compiler of `torch.compile`.
        """
        # One graph or none: nothing within the pass may wait for the device.
        self._compiled = torch.compile(
            self._decode, backend=backend, fullgraph=True, dynamic=False,
            mode="reduce-overhead" if backend == "inductor" else None,
        )  # fmt: skip

    def train(self, mode: bool = True) -> Segmenter:
        """Set the decoder's mode; the frozen base always evaluates."""
        super().train(mode)
        self.base.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.parameters()).device

    def forward(
        self,
        *,
        images: Tensor,
        encoded: Encoded | None,
        image_index: Tensor,
        prompts: Sequence[Prompts],
        edges: Tensor | None = None,
        mining: MiningMode | None = None,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict the masks of N prompts of B images, whatever kinds of prompt they are.

        The same as `answer` to what `look` gives.

        Args:
            images: Pixels, uint8 (B, 3, S, S).
            encoded: What the frozen encoder said of them, or None to run it now. An encoder that
                learns always runs.
            image_index: Image of each prompt, int64 (N,).
            prompts: The prompts by kind; together they hold each place 0..N-1 once.
            edges: The images' edges where they were found already, (B, 1, m, m).
            mining: How PA-SAM mines hard points; None as it does in prediction.
            generator: Source of PA-SAM's Gumbel noise.
        """
        if self._compiled is not None and self.training:
            decode = partial(self._decode_compiled, self._of_images(images, encoded, edges))
            groups = self._grouped(prompts, COMPILED_TOKENS)
            return self._predict(decode, image_index, groups, mining, generator)
        features = self.look(images, encoded, edges)
        return self.answer(features, image_index, prompts, mining=mining, generator=generator)

    def look(
        self, images: Tensor, encoded: Encoded | None = None, edges: Tensor | None = None
    ) -> ImageFeatures:
        """Make all that the decoder needs of B images, whatever they are asked by.

        Args:
            images: As `forward` takes them.
            encoded: Likewise.
            edges: Likewise.
        """
        seen = self._of_images(images, encoded, edges)
        return ImageFeatures(self.decoder.image_features(**seen))

    def answer(
        self,
        features: ImageFeatures,
        image_index: Tensor,
        prompts: Sequence[Prompts],
        *,
        mining: MiningMode | None = None,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict the masks of N prompts of B images that were looked at; nothing is compiled.

        Args:
            features: What `look` made of the images.
            image_index: As `forward` takes it.
            prompts: Likewise.
            mining: Likewise.
            generator: Likewise.
        """
        decode: Callable[..., Any] = self.decoder.decode
        on_images = partial(decode, **features.parts)
        return self._predict(on_images, image_index, self._grouped(prompts), mining, generator)

    def _grouped(self, prompts: Sequence[Prompts], multiple: int = 1) -> list[_Together]:
        """Embed prompts, those together that share a pass; see `_packed` for `multiple`."""
        groups = []
        for group in prompts:
            sparse, dense = self.base.embed_prompts(
                points=group.points,
                point_labels=group.point_labels,
                boxes=group.boxes,
                masks=group.masks,
            )
            groups.append(_Together(group.indices, sparse, dense))
        if isinstance(self.decoder, TAKES_ABSENT) and (multiple > 1 or len(groups) > 1):
            return [_packed(groups, multiple)]
        return groups

    def _of_images(
        self, images: Tensor, encoded: Encoded | None, edges: Tensor | None
    ) -> dict[str, Tensor]:
        """Prepare what `image_features` takes: all of the images that is there before it learns."""
        learns = any(p.requires_grad for p in self.base.sam.image_encoder.parameters())
        if encoded is None or learns:
            with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
                encoded = self.base.encode(images)
        seen = {"image_embeddings": encoded.embedding}
        if isinstance(self.decoder, HqMaskDecoder):
            seen["early"] = encoded.early
        if isinstance(self.decoder, PaMaskDecoder | ImageAdaptedMaskDecoder):
            normalised = self.base.normalise(images)
            seen["joined"] = guiding_input(normalised, self.base.grid, self.decoder.gradient, edges)
            if isinstance(self.decoder, PaMaskDecoder):
                seen["images"] = normalised
        return seen

    def _predict(
        self,
        decode: Callable[..., Any],
        image_index: Tensor,
        groups: Sequence[_Together],
        mining: MiningMode | None,
        generator: torch.Generator | None,
    ) -> Prediction:
        """Ask the decoder for the masks of all groups, in the order of the prompts.

        Args:
            decode: The decoder's pass on the images.
            image_index: Image of each prompt, int64 (N,).
            groups: The prompts.
            mining: See `forward`.
            generator: Likewise.
        """
        parts = [
            self._in_a_pass(decode, image_index[group.indices], group, mining, generator)
            for group in groups
        ]
        back = torch.cat([group.indices for group in groups]).argsort()
        masks = torch.cat([part.masks for part in parts])[back]
        iou = torch.cat([part.iou for part in parts])[back]
        details = [part.details for part in parts if part.details is not None]
        return Prediction(masks, iou, details=_join(details, back) if details else None)

    def _in_a_pass(
        self,
        decode: Callable[..., Any],
        image_index: Tensor,
        group: _Together,
        mining: MiningMode | None,
        generator: torch.Generator | None,
    ) -> Prediction:
        inputs: dict[str, Any] = {
            "image_pe": self.base.image_pe(), "image_index": image_index,
            "sparse": group.sparse, "dense": group.dense, "absent": group.absent,
        }  # fmt: skip
        if isinstance(self.decoder, PaMaskDecoder):
            how = self.decoder.predicts_by if mining is None else mining
            # Drawn here, outside of what is compiled.
            noise = None if how == "none" else self.decoder.sampler.noise(
                how, len(group.dense), self.base.grid**2,
                generator=generator, device=group.dense.device,
            )  # fmt: skip
            inputs |= {"mining": how, "noise": noise}
            inputs["point_embeddings"] = self.base.point_embeddings()
        answer = decode(**inputs)
        if isinstance(answer, tuple):
            masks, iou = answer
            return Prediction(masks[:, :1], iou[:, :1], details=None)
        details = answer if isinstance(answer, PaPrediction) else None
        return Prediction(answer.masks, answer.iou[:, :1], details)

    def _decode_compiled(self, seen: dict[str, Tensor], **inputs: Any) -> Any:
        """Do what `_decode` does, compiled."""
        assert self._compiled is not None, "`compile_decoder` made it"
        from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415  # a second to import

        if inputs["dense"].is_cuda:  # the last step's results may be written over
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        try:
            return self._compiled(seen, **inputs)
        except TorchDynamoException as error:
            raise ParamsError(
                f"train.compile: the decoder could not be compiled here ({_reason(error)}). "
                "Set train.compile: false, or install what the compiler lacks."
            ) from error

    def _decode(self, seen: dict[str, Tensor], **inputs: Any) -> Any:
        """Do all that learns: look at the images that were seen, then answer the prompts."""
        inputs |= self.decoder.image_features(**seen)
        return self.decoder.decode(**inputs)


def _reason(error: Exception) -> str:
    """Give the first line of what went wrong in the compiler, or of what dynamo says of it."""
    inner = getattr(error, "inner_exception", error)
    return next(iter(str(inner).strip().splitlines()), type(inner).__name__).rstrip(".: ")


def _join(parts: Sequence[PaPrediction], order: Tensor) -> PaPrediction:
    """Put the predictions of several groups together, in the order of the prompts."""

    def of(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])[order]

    mined = parts[0].positive is not None
    return PaPrediction(
        masks=of("masks"),
        iou=of("iou"),
        uncertainty=of("uncertainty"),
        final=of("final"),
        coarse=of("coarse"),
        refined=of("refined"),
        positive=of("positive") if mined else None,
        negative=of("negative") if mined else None,
    )
