"""SAM's layer norm over channels in one fused operation, under the same parameter names."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

import pasam.modeling.torchvision_operators  # noqa: F401  (must come before segment_anything)
from segment_anything.modeling.common import LayerNorm2d


class ChannelNorm(LayerNorm2d):  # type: ignore[misc]  # the package has no types
    """Normalise every pixel over its channels, as `LayerNorm2d` does.

    Written out as means and squares, the original passes over its input eight times; at mask
    resolution that is half the time of a convolution block's training step.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised tensor, (N, C, H, W) like `x`; its memory is channels-last."""
        last = x.permute(0, 2, 3, 1)
        normal = F.layer_norm(last, self.weight.shape, self.weight, self.bias, self.eps)
        return normal.permute(0, 3, 1, 2)
