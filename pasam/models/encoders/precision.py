"""In which precision a frozen image encoder computes; docs/performance.md says what each one costs.

- `32-true`: float32, and torch as it is found. Its own defaults take float32 for matrix products
  and, on a GPU that has it, TF32 for cuDNN's convolutions. `train.precision` holds for the encoder,
  too, where it runs within a step of training.
- `tf32`: float32 numbers, of which a GPU (Ampere and later) takes 10 bits of the mantissa into its
  products, in matrix products and in convolutions alike, whatever torch's defaults are. A CPU
  computes in float32. The references' code leaves torch's defaults, and PA-SAM's environment
  (envname.yml) has torch 1.10, whose defaults were these.
- `bf16`: weights that are cast once, and all between the normalised image and the outputs, in
  bfloat16; batch norms keep their numbers in float32, as a mixed precision keeps them.

In the last two the encoder computes so wherever it runs, whatever `train.precision` says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from pasam.config.schema import EncoderPrecision

_SETTING = threading.Lock()


def cast(encoder: nn.Module) -> None:
    """Bring an encoder's weights to bfloat16, those of batch norms apart; their names stay."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            continue
        for own in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if own.is_floating_point():
                own.data = own.data.to(torch.bfloat16)


@contextmanager
def set_for(precision: EncoderPrecision, device: torch.device) -> Iterator[None]:
    """Set torch for the pass of an encoder with a precision of its own, and set it back.

    Args:
        precision: That of the encoder, `tf32` or `bf16`.
        device: Where it runs.
    """
    products = tf32() if precision == "tf32" else nullcontext()
    with torch.autocast(device.type, enabled=False), products:
        yield


@contextmanager
def tf32() -> Iterator[None]:
    """Let GPUs take TF32 for matrix products and for convolutions, and set both back.

    Torch knows one setting for the whole process: passes in several threads take turns, or one
    would take the other's for what was there before.
    """
    matmul = torch.backends.cuda.matmul
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    with _SETTING:
        before = matmul.fp32_precision, conv.fp32_precision
        matmul.fp32_precision = conv.fp32_precision = "tf32"
        try:
            yield
        finally:
            matmul.fp32_precision, conv.fp32_precision = before
