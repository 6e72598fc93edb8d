"""Attention of SAM's ViT in the fused kernels of torch, exact, without its maps of g^4 numbers.

SAM adds a position term to every product of a query with a key: one for the distance in rows, one
for that in columns. The package makes the whole map of products and adds two more of its size;
those maps are most of the encoder's time and memory. Kernels that never hold them want either one
additive map or none, and both can be had exactly:

- A bias, made for a few heads at a time, which is fastest on a CPU.
- Longer queries and keys: q' = [q, h, w] and k' = [k, e_row, e_column], where h holds the query's
  term for each row, w for each column, and e are unit vectors. Their product is the same sum, and
  no map is needed at all: that is for GPUs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pasam.models.before_segment_anything  # noqa: F401
from segment_anything.modeling.image_encoder import Attention, get_rel_pos

# Shapes: B images or windows, H x W cells, C channels, n heads times B, d channels of a head.

BIAS_NUMBERS = 2**24
"""Numbers of a bias at once: one head's at 64 x 64 cells, 64 MB, or 436 heads' at 14 x 14."""
ALIGNMENT = 8
"""Widths of heads that fused kernels of GPUs take are multiples of it."""


class FusedAttention(Attention):  # type: ignore[misc]  # the package has no types
    """Self-attention of an image or a window; weights and their names are `Attention`'s."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each of x, (B, H, W, C); return the same shape."""
        if not self.use_rel_pos or torch.onnx.is_in_onnx_export():  # its loops would be unrolled
            plain: Tensor = super().forward(x)
            return plain
        images, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(images, height * width, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2).unbind(0)  # (n, H*W, d)
        cells = query.reshape(len(query), height, width, -1)
        rows = torch.einsum("nhwc,hkc->nhwk", cells, _by_distance(self.rel_pos_h, height))
        columns = torch.einsum("nhwc,wkc->nhwk", cells, _by_distance(self.rel_pos_w, width))
        attend = with_longer_keys if x.is_cuda else with_bias
        seen = attend(query, key, value, rows.flatten(1, 2), columns.flatten(1, 2))
        heads = seen.reshape(images, self.num_heads, height * width, -1).transpose(
            1, 2
        )  # (B, H*W, heads, d)
        attended: Tensor = self.proj(heads.reshape(x.shape))
        return attended


def _by_distance(table: Tensor, size: int) -> Tensor:
    """Lay out a table of distances, (2 * size - 1, d), for all pairs: row i - j + size - 1.

    The package does it by an index that it makes on the CPU, for which a GPU would have to be
    waited for twice in every block.

    Returns:
        (size, size, d), of query i and key j.
    """
    if len(table) != 2 * size - 1:  # of another input side, which the package interpolates
        found: Tensor = get_rel_pos(size, size, table)
        return found
    return table.unfold(0, size, 1).flip(-1).transpose(1, 2)


def with_bias(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attend with the position terms as a bias, a few heads at a time.

    Args:
        query: (n, H*W, d), not yet scaled.
        key: (n, H*W, d).
        value: (n, H*W, d).
        rows: Each query's term for every row of keys, (n, H*W, H).
        columns: Each query's term for every column of keys, (n, H*W, W).

    Returns:
        The weighted values, (n, H*W, d).
    """
    together = max(BIAS_NUMBERS // query.shape[1] ** 2, 1)
    parts = zip(
        *(torch.split(each, together) for each in (query, key, value, rows, columns)), strict=True
    )
    return torch.cat(
        [
            F.scaled_dot_product_attention(
                q[None], k[None], v[None],
                attn_mask=(row[..., :, None] + column[..., None, :]).flatten(-2)[None],
            )[0]
            for q, k, v, row, column in parts
        ]
    )  # fmt: skip


def with_longer_keys(
    query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """Attend with the position terms folded into queries and keys; as `with_bias`."""
    height, width, dim = rows.shape[-1], columns.shape[-1], query.shape[-1]
    of_row = torch.eye(height, dtype=key.dtype, device=key.device).repeat_interleave(width, 0)
    of_column = torch.eye(width, dtype=key.dtype, device=key.device).repeat(height, 1)
    places = torch.cat([of_row, of_column], dim=-1).expand(len(key), -1, -1)
    asked = torch.cat([query * dim**-0.5, rows, columns], dim=-1).to(key.dtype)
    offered = torch.cat([key, places], dim=-1)
    rest = -asked.shape[-1] % ALIGNMENT
    asked, offered = F.pad(asked, (0, rest)), F.pad(offered, (0, rest))
    # The kernels want values as wide as keys.
    wide = F.pad(value, (0, asked.shape[-1] - dim))
    seen = F.scaled_dot_product_attention(asked[None], offered[None], wide[None], scale=1.0)[0]
    return seen[..., :dim]


def fused(encoder: nn.Module) -> nn.Module:
    """Let all attention of a ViT of segment-anything run fused; weights and names stay."""
    for module in encoder.modules():
        if type(module) is Attention:
            module.__class__ = FusedAttention
    return encoder
