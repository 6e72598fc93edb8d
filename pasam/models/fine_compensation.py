"""Dense compensation at the masks' resolution: the image itself corrects a mask's logits.

Ours, not the reference's: its dense prompt has the grid's cells, sixteen mask pixels each, and
what the frozen encoder has forgotten of an outline no prompt brings back.
"""

# Shapes: B images, N prompts, S pixels a side, m mask pixels a side, F features of a mask pixel.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.models.prompt_adapter import zero

WIDTH = 16
"""Channels at the masks' resolution."""
MIDDLE = 32
"""Channels at half of it."""
REACH = (1, 2, 4, 8)
"""Dilations of the layers at half the resolution: they see 60 mask pixels across."""
SURE = 4.0
"""Logit that counts as sure: the mask enters as tanh(logit / SURE)."""


class FineCompensation(nn.Module):
    """Correct masks by the image at full size.

    It ends in a layer of zeros, so that training starts at the masks as they are.

    Args:
        features: Channels F of the mask decoder's upscaled features.
        fold: Pixels of the image's side to one of the mask's, S / m.
    """

    def __init__(self, *, features: int, fold: int) -> None:
        super().__init__()
        self.fold = fold
        self.image = nn.Sequential(
            nn.Conv2d(3 * fold**2 + 1, WIDTH, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1),
            nn.GELU(),
        )
        seen = features + WIDTH + 1
        self.shrink = nn.Conv2d(seen, MIDDLE, kernel_size=3, stride=2, padding=1)
        self.reach = nn.ModuleList(
            nn.Conv2d(MIDDLE, MIDDLE, kernel_size=3, padding=step, dilation=step) for step in REACH
        )
        self.back = nn.Conv2d(MIDDLE, WIDTH, kernel_size=1)
        self.join = nn.Conv2d(seen, WIDTH, kernel_size=1)
        self.mix = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1)
        self.out = nn.Conv2d(WIDTH, 1, kernel_size=1)
        zero(self.out)

    def image_part(self, images: Tensor, edges: Tensor) -> Tensor:
        """Make what serves all prompts of images.

        Args:
            images: Normalised images, (B, 3, S, S).
            edges: 1 on edges, (B, 1, m, m).

        Returns:
            (B, WIDTH, m, m)
        """
        folded = F.pixel_unshuffle(images, self.fold)
        found: Tensor = self.image(torch.cat([folded, edges], dim=1))
        return found

    def forward(self, masks: Tensor, upscaled: Tensor, image: Tensor) -> Tensor:
        """Say what is to be added to masks.

        Args:
            masks: Mask logits, (N, 1, m, m).
            upscaled: Features of every mask pixel, (N, F, m, m).
            image: What `image_part` makes of each prompt's image, (N, WIDTH, m, m).

        Returns:
            Logits, (N, 1, m, m).
        """
        seen = torch.cat([upscaled, image, (masks / SURE).tanh()], dim=1)
        wide = F.gelu(self.shrink(seen))
        for layer in self.reach:
            wide = wide + F.gelu(layer(wide))
        near = F.interpolate(self.back(wide), scale_factor=2.0, mode="nearest") + self.join(seen)
        change: Tensor = self.out(F.gelu(self.mix(F.gelu(near))))
        return change
