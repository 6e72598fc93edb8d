"""The prompt adapter's rival: as many numbers that adapt the image features, not the prompts.

Shapes: B images of S x S pixels, C channels, g the grid of image tokens. Ours; it answers why
PA-SAM adapts prompts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pasam.models.pa_mask_decoder import MASK_HEAD, EdgeMode, guided, guiding_conv
from pasam.models.prompt_adapter import ChannelNorm, PromptAdapter, zero
from pasam.models.sam_mask_decoder import SamMaskDecoder
from segment_anything.modeling import TwoWayTransformer

ADAPTER = ("guiding_conv.", "image_adapter.")
TRAINABLE = (*MASK_HEAD, *ADAPTER)
"""Prefixes of the parameters that are trained, with the mask head as PA-SAM's reference."""


class ImageAdapter(nn.Module):
    """Add detail to image features: a residual bottleneck over features and guiding embedding.

    Its last layer starts at zero, as residual adapters do, so that it begins as SAM.

    Args:
        dim: Channels C.
        width: Channels of the bottleneck.
    """

    def __init__(self, *, dim: int, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(dim, width, kernel_size=1),
            ChannelNorm(width),
            nn.GELU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, dim, kernel_size=1),
        )
        zero(self.change[-1])

    def forward(self, features: Tensor, guiding: Tensor) -> Tensor:
        """Adapt image features.

        Args:
            features: The encoder's outputs, (B, C, g, g).
            guiding: Guiding embedding, (B, C, g, g).

        Returns:
            The adapted features, (B, C, g, g).
        """
        changed: Tensor = features + self.change(features + guiding)
        return changed


class ImageAdaptedMaskDecoder(SamMaskDecoder):
    """SAM's mask decoder, untouched, on adapted image features.

    Args:
        transformer_dim: Channels C.
        transformer: SAM's two-way transformer.
        gradient: Which edges guide the adapter, see `edge_channel`.
        trainable: Prefixes of the parameters that are trained.
        iou_head_hidden_dim: Hidden width of SAM's iou head.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        gradient: EdgeMode,
        trainable: tuple[str, ...] = TRAINABLE,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__(
            transformer_dim=transformer_dim,
            transformer=transformer,
            iou_head_hidden_dim=iou_head_hidden_dim,
        )
        self.trainable = trainable
        self.gradient: EdgeMode = gradient
        self.guiding_conv = guiding_conv(transformer_dim)
        width = width_of_equal_budget(transformer_dim, num_heads=transformer.num_heads)
        self.image_adapter = ImageAdapter(dim=transformer_dim, width=width)

    def adapted(self, image_embeddings: Tensor, joined: Tensor) -> Tensor:
        """Adapt the image features, which take the place of the encoder's.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            joined: Images with edges, (B, 4, 4g, 4g), see `guiding_input`.

        Returns:
            The adapted features, (B, C, g, g).
        """
        rows = guided(self.guiding_conv, joined).rows
        maps = rows.transpose(1, 2).reshape_as(image_embeddings)
        features: Tensor = self.image_adapter(image_embeddings, maps)
        return features

    def image_features(  # type: ignore[override]  # it sees more of the images
        self, *, image_embeddings: Tensor, joined: Tensor
    ) -> dict[str, Tensor | None]:
        """Make all that `decode` takes of images, by name; see `adapted`."""
        return {"image_embeddings": self.adapted(image_embeddings, joined)}


def width_of_equal_budget(dim: int, *, num_heads: int) -> int:
    """Find the widest bottleneck that has no more numbers than the prompt adapter.

    Both have the same guiding network besides.

    Args:
        dim: Channels C.
        num_heads: Heads of the prompt adapter's attention.
    """
    with torch.device("meta"):
        budget = _size(PromptAdapter(dim=dim, num_heads=num_heads))
        width = 1
        while _size(ImageAdapter(dim=dim, width=width + 1)) <= budget:
            width += 1
    return width


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
