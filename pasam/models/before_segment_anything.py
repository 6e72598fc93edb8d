"""What has to happen before `segment_anything` is imported: import this module first.

Two things. The package imports torchvision's models for the sake of one resize, and those import
torch's compiler: three of the four seconds that a command takes to start. Only its parts are used
here (`segment_anything.modeling` and the like), so the package's own `__init__` waits until
somebody asks for one of its names (`from segment_anything import SamPredictor` works as ever).

And torchvision's compiled library is built against CUDA; beside a CPU build of torch it cannot be
loaded, its operators stay undefined, and `import torchvision` ends in "operator torchvision::nms
does not exist". Where that happens the operators that the import looks up are defined here in
plain torch; where the library loads nothing is done. `torch.ops.torchvision.nms` then works; the
wrappers in `torchvision.ops` and the readers in `torchvision.io` still say that the compiled
library is missing, which the project never calls.

This is the one module of the project that acts on import, because that is its whole purpose.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def non_maximum_suppression(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best of every group of boxes that overlap too much.

    Args:
        dets: Boxes as x0, y0, x1, y1, (K, 4).
        scores: Score of each box, (K,).
        iou_threshold: Boxes whose IoU with a kept, better one exceeds this are dropped.

    Returns:
        Indices of the kept boxes, best first, (K',) int64.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = dets[order].double()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = torch.ones(len(order), dtype=torch.bool, device=dets.device)
    for i in range(len(order)):
        if not alive[i]:
            continue
        low = torch.maximum(boxes[i, :2], boxes[i + 1 :, :2])
        high = torch.minimum(boxes[i, 2:], boxes[i + 1 :, 2:])
        intersection = (high - low).clamp(min=0).prod(dim=1)
        union = areas[i] + areas[i + 1 :] - intersection
        alive[i + 1 :] &= ~(intersection > iou_threshold * union)
    return order[alive]


def _quantised(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return non_maximum_suppression(dets.dequantize(), scores.dequantize(), iou_threshold)


def _is_defined(name: str) -> bool:
    try:
        torch._C._dispatch_has_kernel_for_dispatch_key(f"torchvision::{name}", "Meta")
    except RuntimeError:
        return False
    return True


def _load_compiled() -> None:
    """Load torchvision's compiled library if it is there and fits; leave torch alone otherwise."""
    spec = importlib.util.find_spec("torchvision")
    folders = () if spec is None else spec.submodule_search_locations or ()
    for folder in folders:
        for library in sorted(Path(folder).glob("_C*")):
            if library.suffix in {".so", ".pyd", ".dylib"}:
                try:
                    torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
                except OSError:
                    continue


def _define_missing() -> torch.library.Library | None:
    """Define `nms` and `qnms` unless the compiled library did; return what keeps them alive."""
    _load_compiled()
    missing = [name for name in ("nms", "qnms") if not _is_defined(name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    kernels = {
        "nms": (non_maximum_suppression, "CompositeExplicitAutograd"),
        "qnms": (_quantised, "CompositeExplicitAutograd"),
    }
    for name in missing:
        kernel, key = kernels[name]
        library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
        library.impl(name, kernel, key)  # type: ignore[no-untyped-call]
    return library


_LIBRARY = _define_missing()


class _WaitingPackage(ModuleType):
    """A package whose parts can be imported before its own `__init__` has run."""

    def __getattr__(self, name: str) -> Any:
        # Python, pytest and doctest ask every module for names like `__wrapped__`.
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _LOCK:
            if self.__class__ is _WaitingPackage:
                self.__class__ = ModuleType  # type: ignore[assignment]  # it waits no longer
                spec.loader.exec_module(self)
        return getattr(self, name)


_LOCK = threading.RLock()


def _let_wait(name: str) -> None:
    """Put a package in place whose `__init__` runs when one of its names is first wanted."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None:
        return
    package = _WaitingPackage(name)
    package.__spec__, package.__file__, package.__loader__ = spec, spec.origin, spec.loader
    package.__package__, package.__path__ = name, list(spec.submodule_search_locations or ())
    sys.modules[name] = package


_let_wait("segment_anything")
