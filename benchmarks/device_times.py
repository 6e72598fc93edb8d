"""How time, work and memory are taken on a device, and the lines of the table that say them.

Work is that of the matrix products, convolutions and attention which torch's counter knows; the
share is of what the device's data sheet gives for dense products in the precision at hand. Bytes
are the fewest that the work moves: weights, inputs and outputs once. What a network writes between
its layers and reads again is not among them, so the true share of the bandwidth is larger.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from pasam.config.schema import EncoderPrecision
from pasam.config.schema import Precision as TrainPrecision

Precision = Literal["float32", "TF32", "bfloat16"]
Known = TypeVar("Known")
ENCODERS: dict[Precision, EncoderPrecision] = {
    "float32": "32-true", "TF32": "tf32", "bfloat16": "bf16",
}  # fmt: skip
"""What `base.encoder_precision` says for each."""
TRAININGS: dict[Precision, TrainPrecision] = {
    "float32": "32-true", "TF32": "tf32", "bfloat16": "tf32",
}  # fmt: skip
"""What `train.precision` says for each: an encoder in bfloat16 has a decoder in TF32 after it."""

PEAKS: dict[str, dict[Precision, float]] = {
    "A100": {"float32": 19.5, "TF32": 156.0, "bfloat16": 312.0},
    "H100": {"float32": 66.9, "TF32": 494.7, "bfloat16": 989.4},
    "H100 PCIe": {"float32": 51.2, "TF32": 378.0, "bfloat16": 756.0},
    "H100 NVL": {"float32": 60.0, "TF32": 417.5, "bfloat16": 835.5},
    "H200": {"float32": 66.9, "TF32": 494.7, "bfloat16": 989.4},
    "H200 NVL": {"float32": 60.0, "TF32": 417.5, "bfloat16": 835.5},
    "L4": {"float32": 30.3, "TF32": 60.0, "bfloat16": 121.0},
    "RTX 4090": {"float32": 82.6, "TF32": 82.6, "bfloat16": 165.2},
}
"""TFLOP/s of dense products (no sparsity), by words of the device's name; the SXM form where no
other is named."""
BANDWIDTHS: dict[str, float] = {
    "A100 40GB": 1.555, "A100 80GB": 2.039, "A100 80GB PCIe": 1.935, "H100": 3.35,
    "H100 PCIe": 2.0, "H100 NVL": 3.9, "H200": 4.8, "H200 NVL": 4.8, "L4": 0.3, "RTX 4090": 1.008,
}  # fmt: skip
"""TB/s between a device and its memory, by the same words."""
OTHERS = frozenset({"Laptop", "D", "MIG"})
"""Words of names of weaker devices, or of parts of one, that share a name above."""

WARM_UP = 3
"""Calls on a GPU before any is timed."""
FEWEST = 3
"""Calls that are timed however long they take."""
SECONDS = 4.0
"""After so long on a GPU no further call of a line is timed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where rows are measured, and how large."""

    device: torch.device
    toy: bool
    """Small sizes and few rounds: it shows that all of it works, and no time means anything."""

    @property
    def on_gpu(self) -> bool:
        """Whether times are a GPU's."""
        return self.device.type == "cuda"

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that differ there; at toy size all, so that each is walked."""
        both = self.on_gpu or self.toy
        return ("float32", "TF32", "bfloat16") if both else ("float32", "bfloat16")

    def name(self) -> str:
        """Name the device as its maker does."""
        return torch.cuda.get_device_name(self.device) if self.on_gpu else "CPU"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of the table."""

    name: str
    ours: float | None
    """Milliseconds; None where the memory does not suffice."""
    reference: float | None = None
    """Milliseconds."""
    source: str = ""
    """Whose time the reference is, or why there is none."""
    precision: Precision = "float32"
    """Of products, for the share of the peak."""
    images: int = 0
    """Images that `ours` is the time of; 0 where that is no question."""
    operations: float | None = None
    """Floating-point operations of the same work; a product and a sum are two."""
    moved: float | None = None
    """Fewest bytes of the same work: weights, inputs and outputs once."""
    memory: int | None = None
    """Most bytes of tensors on the GPU at once."""
    predicted: int | None = None
    """What `pasam doctor` reckons of them."""
    difference: float | None = None
    """Largest difference from the reference's result, as a fraction of its largest number."""

    def teraflops(self) -> float | None:
        """Give the rate of the work, in TFLOP/s."""
        if self.ours is None or self.operations is None:
            return None
        return self.operations / self.ours / 1e9

    def terabytes(self) -> float | None:
        """Give the rate at which these bytes are moved, in TB/s."""
        if self.ours is None or self.moved is None:
            return None
        return self.moved / self.ours / 1e9

    def roof(self, peak: float | None, bandwidth: float | None) -> str | None:
        """Say what limits the work at best: the device's products or its memory."""
        if not self.operations or not self.moved or peak is None or bandwidth is None:
            return None
        return "products" if self.operations / self.moved > peak / bandwidth else "memory"

    def measures(self, device: str) -> dict[str, Any]:
        """Give all that is measured and what follows of it, for JSON."""
        rate, peak = self.teraflops(), peak_of(device, self.precision)
        flow, bandwidth = self.terabytes(), of_device(device, BANDWIDTHS)
        known = self.ours is not None
        return {
            **asdict(self),
            "times_as_fast": self.reference / self.ours if known and self.reference else None,
            "images_per_second": 1000 * self.images / self.ours if known and self.images else None,
            "teraflops": rate,
            "share_of_peak": _share(rate, peak),
            "terabytes": flow,
            "share_of_bandwidth": _share(flow, bandwidth),
            "operations_per_byte": self.operations / self.moved
            if self.operations and self.moved
            else None,
            "roof": self.roof(peak, bandwidth),
        }


def _share(rate: float | None, most: float | None) -> float | None:
    """Give a rate as a share of the most there can be, where both are known."""
    return rate / most if rate is not None and most is not None else None


def table_header(device: str, *, toy: bool) -> str:
    """Write the table's head, which names the device and says whether all is of toy size."""
    columns = (
        f"{device}, toy size" if toy else device, "ours, ms", "reference, ms", "times as fast",
        "reference", "images/s", "TFLOP/s", "of the peak", "least GB/s", "of the bandwidth",
        "roof", "peak memory, GB", "predicted, GB", "differs by",
    )  # fmt: skip
    aligned = ["---" if name in (columns[0], "reference", "roof") else "--:" for name in columns]
    return f"| {' | '.join(columns)} |\n|{'|'.join(aligned)}|"


def table_row(measures: dict[str, Any]) -> str:
    """Write a line's measures as a row of the table."""

    def cell(name: str, form: str, scale: float = 1.0) -> str:
        value = measures[name]
        return "-" if value is None else format(value * scale, form)

    numbers = (
        cell("ours", ".1f"), cell("reference", ".1f"), cell("times_as_fast", ".2f"),
        measures["source"] or "-", cell("images_per_second", ".1f"), cell("teraflops", ".3g"),
        cell("share_of_peak", ".1%"), cell("terabytes", ".3g", 1e3),
        cell("share_of_bandwidth", ".1%"), measures["roof"] or "-", cell("memory", ".2f", 1e-9),
        cell("predicted", ".2f", 1e-9), cell("difference", ".0e"),
    )  # fmt: skip
    return f"| {measures['name']} | {' | '.join(numbers)} |"


def peak_of(device: str, precision: Precision) -> float | None:
    """Find the peak of a device by its name, in TFLOP/s; None where it is not known."""
    peaks = of_device(device, PEAKS)
    return None if peaks is None else peaks[precision]


def of_device(device: str, known: Mapping[str, Known]) -> Known | None:
    """Find what is known of a device by its name, or None: the entry of most of its words."""
    words = set(re.findall(r"\w+", device))
    named = [name for name in known if set(name.split()) <= words]
    return known[max(named, key=len)] if named and not words & OTHERS else None


class _NoModules(nullcontext[None]):
    """Stands in for what tells torch's counter which module it is in.

    That hooks every module's outputs, and fails where some of those have no gradient.
    """

    parents = frozenset({"Global"})


def operations_of(function: Callable[[], Any]) -> float:
    """Count the floating-point operations of a call."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()
    with counter:
        function()
    return float(counter.get_total_flops())


def peak_memory(function: Callable[[], Any], setting: Setting) -> int | None:
    """Find the most bytes of tensors that are on the GPU in a call; None on a CPU."""
    if not setting.on_gpu:
        function()
        return None
    torch.cuda.synchronize(setting.device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(setting.device)
    function()
    torch.cuda.synchronize(setting.device)
    return torch.cuda.max_memory_allocated(setting.device)


def milliseconds(function: Callable[[], Any], setting: Setting) -> float:
    """Time one call: on a GPU between two events, with nothing else under way."""
    if not setting.on_gpu:
        start = time.perf_counter()
        function()
        return 1000 * (time.perf_counter() - start)
    torch.cuda.synchronize(setting.device)
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    function()
    ended.record()
    ended.synchronize()
    return float(began.elapsed_time(ended))


def alternated(functions: list[Callable[[], Any]], setting: Setting, *, rounds: int) -> list[float]:
    """Time functions in turn, A B A B, after warming up; medians in milliseconds."""
    for _ in range(WARM_UP if setting.on_gpu else 1):
        for function in functions:
            function()
    times: list[list[float]] = [[] for _ in functions]
    start = time.monotonic()
    for number in range(rounds):
        if setting.on_gpu and number >= FEWEST and time.monotonic() - start > SECONDS:
            break
        for function, spent in zip(functions, times, strict=True):
            spent.append(milliseconds(function, setting))
    return [median(each) for each in times]


def compared(
    ours: Callable[[], Any],
    reference: Callable[[], Any] | None,
    setting: Setting,
    *,
    rounds: int,
    of: int = 1,
    source: str = "",
) -> dict[str, Any]:
    """Measure a function's time, in turn with a reference's, then its memory.

    Args:
        ours: The function.
        reference: What does the same work otherwise, if there is one.
        setting: Where.
        rounds: Most times that each is timed.
        of: Pieces of work in a call; times are of one.
        source: Whose the reference is.

    Returns:
        Of a `Line`: its times and their source, and the memory. Without time where a GPU has not
        the memory for it; the reference's alone is left out where that is too large.
    """
    functions = [ours] if reference is None else [ours, reference]
    try:
        times = alternated(functions, setting, rounds=rounds)
    except torch.OutOfMemoryError:
        lacks = "the memory does not suffice"
        if reference is None:
            return {"ours": None, "source": lacks}
        return {
            **compared(ours, None, setting, rounds=rounds, of=of), "source": f"{source}: {lacks}",
        }  # fmt: skip
    # Afterwards: what a compiler takes is no part of it.
    found = {"ours": times[0] / of, "memory": peak_memory(ours, setting), "source": source}
    return found if reference is None else {**found, "reference": times[1] / of}


def held_against(times: dict[str, Any], recorded: float, source: str) -> dict[str, Any]:
    """Put a recorded time beside what `compared` found of a function without a reference.

    Args:
        times: What it found.
        recorded: Milliseconds.
        source: Where that was recorded.
    """
    if times["ours"] is None:
        return times
    return {**times, "reference": recorded, "source": source}
