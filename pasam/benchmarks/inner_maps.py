"""Maps from inside PA-SAM's adapter, for pictures: read by a hook, so that nothing changes."""

# Shapes: N prompts of a call, n tokens each, C channels, g grid cells a side, h of a mask map.

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pasam.modeling.pa_mask_decoder import PaMaskDecoder
from pasam.modeling.prompt_adapter import MASK_ROW, AdapterOutput
from pasam.modeling.segmenter import Segmenter

Maps = dict[str, NDArray[np.float16]]


class InnerMaps:
    """Collects, prompt by prompt in the order of prediction, the adapter's maps.

    `guiding` is the size of the guiding embedding, `dense_change` the size of the dense change as
    a share of what it changes, `attention` where the mask token looks (it sums to one), all
    (g, g); `coarse` and `refined` are the tokens' mask logits, (h, h). Parts that a variant lacks
    are left out. Use it as a context round the predictions.

    Args:
        segmenter: The model; one without a prompt adapter leaves nothing.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.seen: list[Maps] = []
        self._decoder = segmenter.decoder
        self._handle: Any = None

    def __enter__(self) -> Self:
        if isinstance(self._decoder, PaMaskDecoder):
            adapter = self._decoder.prompt_adapter
            self._handle = adapter.register_forward_hook(self._adapted, with_kwargs=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.remove()

    def _adapted(
        self, adapter: nn.Module, inputs: Any, named: dict[str, Any], output: AdapterOutput
    ) -> None:
        tokens, keys, query_pe, key_pe = inputs
        guiding: Tensor = named["guiding"]
        maps = {
            "guiding": torch.linalg.vector_norm(guiding, dim=-1),
            "dense_change": _size(output.dense) / _size(keys),
        }
        attention = getattr(adapter, "cross_attn_token_to_image", None)
        if attention is not None:
            query = (tokens + query_pe)[:, MASK_ROW : MASK_ROW + 1]
            maps["attention"] = _weights(attention, query, guiding * keys + key_pe)
        if output.maps is not None:
            maps |= {"coarse": output.maps.coarse, "refined": output.maps.refined}
        for number in range(len(tokens)):
            self.seen.append({name: _square(values[number]) for name, values in maps.items()})


def _size(rows: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return size


def _weights(attention: nn.Module, query: Tensor, keys: Tensor) -> Tensor:
    """Attention of one token over the cells, averaged over heads, (N, g*g)."""
    parts: Any = attention
    q, k = (
        rows.unflatten(-1, (parts.num_heads, -1)).transpose(1, 2)  # (N, heads, rows, width)
        for rows in (parts.q_proj(query), parts.k_proj(keys))
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights: Tensor = scores.softmax(dim=-1).mean(dim=1)[:, 0]
    return weights


def _square(values: Tensor) -> NDArray[np.float16]:
    side = math.isqrt(values.numel())
    half: NDArray[np.float16] = values.detach().cpu().numpy().astype(np.float16)
    return half.reshape(side, side)
