"""Every size of SAM by name, the decoders that are put on it, and what of them learns.

The only place with numbers. Freezing goes by parameter names; digests prove that frozen weights
did not move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import pasam.models.before_segment_anything  # noqa: F401
from pasam.config.schema import (
    EncoderPrecision,
    HqSamParams,
    ImageAdapterParams,
    MiningMethod,
    PaSamParams,
    VariantParams,
)
from pasam.errors import ParamsError
from pasam.files import sha256_of
from pasam.models import image_adapter, pa_mask_decoder
from pasam.models.base_sam import PIXEL_MEAN, PIXEL_STD, BaseSam
from pasam.models.checkpoint import SIZE_ADVICE, check_fit, load_strictly, read_weights
from pasam.models.encoders.fused_attention import fused
from pasam.models.encoders.lite import STAGES, LiteEncoder, Stage, level_widths
from pasam.models.encoders.tiny_vit import TinyVit
from pasam.models.hq_mask_decoder import HqMaskDecoder
from pasam.models.image_adapter import ImageAdaptedMaskDecoder
from pasam.models.pa_mask_decoder import PaMaskDecoder
from pasam.models.prompt_adapter import MiningMode
from pasam.models.sam_mask_decoder import SamMaskDecoder
from pasam.models.segmenter import Segmenter
from pasam.models.two_way_transformer import AdaptedTwoWayTransformer, quickened
from segment_anything.build_sam import sam_model_registry
from segment_anything.modeling import PromptEncoder, Sam, TwoWayTransformer

OFFICIAL_WIDTHS = {"vit_b": 768, "vit_l": 1024, "vit_h": 1280}
OFFICIAL_DEPTHS = {"vit_b": 12, "vit_l": 24, "vit_h": 32}
SIZES = ("tiny", "vit_t", *OFFICIAL_WIDTHS)

MINED = 4
"""Hard points of each sign that the reference mines."""

TrainedDecoder = HqMaskDecoder | PaMaskDecoder | ImageAdaptedMaskDecoder

PREDICTION: dict[MiningMethod, MiningMode] = {
    "none": "none",
    "random": "fixed",
    "top": "top",
    "gumbel": "top",
}
"""How points are mined in prediction, by how training mines them."""


def build_base(size: str) -> BaseSam:
    """Build a SAM with random weights.

    Args:
        size: `tiny` (ours: 256 px, grid 32, 128 channels), `vit_t` (MobileSAM) or an official size
            (1024 px, grid 64, 256 channels).

    Raises:
        ParamsError: There is no such size.
    """
    if size == "tiny":
        return build_lite()
    if size == "vit_t":
        return build_mobile()
    if size not in OFFICIAL_WIDTHS:
        raise ParamsError(f"base.size is {size!r}, expected one of {list(SIZES)}.")
    sam = sam_model_registry[size](checkpoint=None)
    decoder = SamMaskDecoder(transformer_dim=256, transformer=sam.mask_decoder.transformer)
    decoder.load_state_dict(sam.mask_decoder.state_dict())
    sam.mask_decoder = decoder
    fused(sam.image_encoder)
    # Every quarter of a ViT ends with global attention: blocks 2, 5, ... of 12; 5, 11, ... of 24.
    first_global = OFFICIAL_DEPTHS[size] // 4 - 1
    return BaseSam(sam=sam, early_layer=f"blocks.{first_global}", early_dim=OFFICIAL_WIDTHS[size])


def build_lite(side: int = 256, dim: int = 128, stages: Sequence[Stage] = STAGES) -> BaseSam:
    """Build `tiny`, SAM's parts behind EfficientNet-Lite0, with random weights, or a smaller one.

    Args:
        side: Input side S in pixels, a multiple of 32; the grid has S / 8 cells a side.
        dim: Channels C of the embedding, a multiple of 16.
        stages: The encoder's stages, as `pasam.models.encoders.lite.STAGES` has them.
    """
    encoder = partial(LiteEncoder, img_size=side, out_chans=dim, stages=stages)
    early = LiteEncoder.EARLY_LAYER, level_widths(stages)[1]
    return _assembled(encoder, *early, side=side, grid=side // 8, dim=dim)


def build_mobile(side: int = 1024) -> BaseSam:
    """Build `vit_t`, MobileSAM with random weights, or one for smaller images.

    Args:
        side: Input side S in pixels, a multiple of 16; the grid has S / 16 cells a side.
    """
    encoder = partial(TinyVit, img_size=side, out_chans=256)
    early = TinyVit.EARLY_LAYER, TinyVit.EARLY_DIM
    return _assembled(encoder, *early, side=side, grid=side // 16, dim=256, mlp_dim=2048)


def _assembled(
    encoder: Callable[[], nn.Module], early_layer: str, early_dim: int,
    *, side: int, grid: int, dim: int, mlp_dim: int = 1024,
) -> BaseSam:  # fmt: skip
    """Put SAM's prompt encoder and mask decoder behind an encoder.

    Args:
        encoder: Makes it.
        early_layer: Which of its layers gives the early features.
        early_dim: Channels of these.
        side: Input side S in pixels.
        grid: Grid cells g a side.
        dim: Channels C of the embedding.
        mlp_dim: Width of the mask decoder's MLPs; SAM's is 2048.
    """
    transformer = TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=8, mlp_dim=mlp_dim)
    sam = Sam(
        image_encoder=encoder(),  # after the transformer: the order of the random draws
        prompt_encoder=PromptEncoder(
            embed_dim=dim,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_chans=16,
        ),
        mask_decoder=SamMaskDecoder(
            transformer_dim=dim, transformer=transformer, iou_head_hidden_dim=dim
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    )
    return BaseSam(sam=sam, early_layer=early_layer, early_dim=early_dim)


def load_base(size: str, checkpoint: Path, precision: EncoderPrecision = "32-true") -> BaseSam:
    """Build a SAM with the weights of a file, frozen and in evaluation mode.

    Args:
        size: One of `SIZES`.
        checkpoint: Our safetensors, or an official `.pth` file.
        precision: How its encoder computes.

    Raises:
        CheckpointError: The file is missing, unreadable, or of another architecture.
    """
    base = build_base(size)
    load_strictly(base.sam, read_weights(checkpoint), source=str(checkpoint))
    return base.eval().requires_grad_(False).encode_in(precision)


def expect_base(size: str, checkpoint: Path) -> None:
    """Open a SAM's file and compare what it holds with what `load_base` wants.

    Args:
        size: One of `SIZES`.
        checkpoint: Our safetensors, or an official `.pth` file.

    Raises:
        CheckpointError: The file is unreadable, or of another architecture.
    """
    expect_sam(size, read_weights(checkpoint), source=str(checkpoint))


def expect_sam(
    size: str, weights: Mapping[str, Tensor], *, source: str, advice: str = SIZE_ADVICE
) -> None:
    """Compare tensors with those of a whole SAM; the arguments are those of `check_fit`.

    Raises:
        CheckpointError: One is missing, unknown, of another shape, or not finite.
    """
    with torch.device("meta"):  # names and shapes, and no memory
        wanted = build_base(size).sam.state_dict()
    check_fit(weights, wanted, source=source, advice=advice)


def build_decoder(base: BaseSam, variant: VariantParams) -> TrainedDecoder:
    """Build a trainable decoder that starts from the base's own.

    Every tensor that SAM's decoder has is copied from it; the new ones keep the random values of
    their layers' defaults, so seed torch first.

    Args:
        base: The SAM with its weights.
        variant: Which decoder, and its choices.
    """
    own: SamMaskDecoder = base.sam.mask_decoder
    block = own.transformer.layers[0]
    shape = {
        "depth": own.transformer.depth,
        "embedding_dim": base.dim,
        "num_heads": own.transformer.num_heads,
        "mlp_dim": block.mlp.lin1.out_features,
    }
    hidden = own.iou_prediction_head.layers[0].out_features
    decoder = _decoder(variant, base, shape, hidden)
    decoder.load_state_dict({**decoder.state_dict(), **own.state_dict()})
    return decoder


def _decoder(
    variant: VariantParams, base: BaseSam, shape: dict[str, int], hidden: int
) -> TrainedDecoder:
    if isinstance(variant, HqSamParams):
        return HqMaskDecoder(
            transformer_dim=base.dim,
            transformer=quickened(TwoWayTransformer(**shape)),
            early_dim=base.early_dim,
            iou_head_hidden_dim=hidden,
        )
    if isinstance(variant, ImageAdapterParams):
        head = pa_mask_decoder.MASK_HEAD if variant.trains == "mask_head" else ()
        return ImageAdaptedMaskDecoder(
            transformer_dim=base.dim,
            transformer=quickened(TwoWayTransformer(**shape)),
            gradient=variant.gradient,
            trainable=(*head, *image_adapter.ADAPTER),
            iou_head_hidden_dim=hidden,
        )
    return PaMaskDecoder(
        transformer_dim=base.dim,
        transformer=AdaptedTwoWayTransformer(**shape),
        gradient=variant.gradient,
        mining_points=variant.mining.points,
        score_scale=variant.mining.score_scale,
        mines_uncertain_only=variant.mining.cells == "uncertain",
        temperature=variant.mining.temperature,
        predicts_by=PREDICTION[variant.mining.method],
        parts=variant.adapter,
        trainable=trained_prefixes(variant),
        iou_head_hidden_dim=hidden,
        fold=base.side // base.mask_side,
    )


def trained_prefixes(variant: PaSamParams) -> tuple[str, ...]:
    """Name what learns of a PA-SAM's decoder, by prefixes of its parameters' names."""
    quality = pa_mask_decoder.IOU_HEAD if variant.iou_head == "trained" else ()
    parts = {
        "adapter": pa_mask_decoder.ADAPTER,
        "mask_head": pa_mask_decoder.TRAINABLE,
        "decoder": ("",),
        "everything": ("",),
    }
    return (*parts[variant.trains], *quality)


def as_published(variant: VariantParams) -> VariantParams:
    """Give a variant the choices by which the reference predicts and trains.

    PA-SAM's: edges of the normalised image, 4 hard points of each sign from any cell, a mask head
    that learns. Files in the references' form are made so, and do not say it.

    Args:
        variant: HQ-SAM's, which has no such choice, or a PA-SAM with the reference's adapter.
    """
    if not isinstance(variant, PaSamParams):
        return variant
    mining = variant.mining.replaced(method="gumbel", points=MINED, cells="all")
    return variant.replaced(
        gradient="reference", mining=mining, trains="mask_head", iou_head="frozen"
    )


def unlike_published(decoder: nn.Module) -> list[str]:
    """Say in which choices a PA-SAM would give other masks in the reference's code; of others none.

    Args:
        decoder: Any mask decoder.
    """
    if not isinstance(decoder, PaMaskDecoder):
        return []
    parts, mines = decoder.prompt_adapter.parts, decoder.predicts_by
    whole = parts.dense and parts.sparse and parts.tokens
    differs = {
        "adapter": not whole or parts.maps != "grid" or parts.fine,
        "gradient": decoder.gradient != "reference",
        "mining": mines != "top" or decoder.sampler.points != MINED or decoder.mines_uncertain_only,
    }
    return [name for name, is_so in differs.items() if is_so]


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Count all and the trainable numbers of a module."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)


def build_trainable(base: BaseSam, variant: VariantParams) -> Segmenter:
    """Put a fresh decoder on a base, with only what the variant trains learning.

    The base stays frozen unless the variant trains everything.

    Raises:
        ParamsError: It does, and the encoder computes in a precision in which it cannot learn.
    """
    decoder = build_decoder(base.requires_grad_(False), variant)
    freeze_decoder(decoder)
    if isinstance(variant, PaSamParams) and variant.trains == "everything":
        base.expect_exact("training all of SAM (trains: everything)")
        base.sam.image_encoder.requires_grad_(True)
        base.sam.prompt_encoder.requires_grad_(True)
    return Segmenter(base=base, decoder=decoder)


def freeze_decoder(decoder: TrainedDecoder) -> list[str]:
    """Let the parts of a decoder learn that its variant trains, and nothing else.

    Returns:
        Names of the parameters that learn.
    """
    return freeze_except(decoder, decoder.trainable)


def freeze_except(module: nn.Module, trainable: Iterable[str]) -> list[str]:
    """Let only the parameters learn whose names begin with one of the prefixes.

    Args:
        module: Changed in place.
        trainable: Prefixes; none freezes everything.

    Returns:
        Names of the parameters that learn.
    """
    prefixes = tuple(trainable)
    learning = []
    for name, parameter in module.named_parameters():
        learns = name.startswith(prefixes)
        parameter.requires_grad_(learns)
        if learns:
            learning.append(name)
    return learning


def frozen_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return every tensor that must not move: frozen parameters and all buffers."""
    learning = {name for name, p in module.named_parameters() if p.requires_grad}
    return {name: t for name, t in module.state_dict().items() if name not in learning}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash names and bytes of tensors; equal digests mean equal bits."""

    def parts() -> Iterator[bytes]:
        for name in sorted(tensors):
            plain = tensors[name].detach().cpu().contiguous()
            yield f"{name} {plain.dtype} {tuple(plain.shape)}".encode()
            yield plain.flatten().view(torch.uint8).numpy().tobytes()

    return sha256_of(parts())
