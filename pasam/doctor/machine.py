"""The machine: Python, packages, disk and GPUs."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pasam.doctor.check import Check, gigabytes
from pasam.doctor.estimate import Memory, fitting_batch
from pasam.params import EmbedParams, TrainParams

OLDEST_PYTHON = (3, 11)
_SHOWN = 4


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """See whether Python is new enough."""
    found = ".".join(map(str, version))
    if version >= OLDEST_PYTHON:
        return Check(name="Python", state="ok", found=found)
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return Check(
        name="Python", state="missing", found=f"{found}, expected {wanted} or newer",
        remedy="make PYTHON=/path/to/python3.11",
    )  # fmt: skip


def check_packages(
    lock: Path, installed: Callable[[str], str] = importlib.metadata.version
) -> Check:
    """Compare the installed packages with the lock; another version is a note, none is missing.

    Args:
        lock: A file of `name==version` lines.
        installed: Gives the version of a package, or raises PackageNotFoundError.
    """
    remedy = f"pip install -r {lock}, or `make` for an environment of its own"
    if not lock.is_file():
        return Check(name="packages", state="note", found=f"there is no {lock} to compare with")
    pins = [
        line.split("==", 1)
        for line in lock.read_text(encoding="utf-8").splitlines()
        if "==" in line
    ]
    absent, other = [], []
    for name, version in pins:
        try:
            there = installed(name).partition("+")[0]  # +cpu and the like
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if there != version:
            other.append(f"{name} {there} instead of {version}")
    if absent:
        found = f"{len(absent)} of {len(pins)} are not installed: {_some(absent)}"
        return Check(name="packages", state="missing", found=found, remedy=remedy)
    if other:
        return Check(name="packages", state="note", found=_some(other), remedy=remedy)
    return Check(name="packages", state="ok", found=f"{len(pins)}, as {lock} has them")


def check_disk(folder: Path, needed: int, parts: str) -> Check:
    """See whether the disk has room for what is still to come.

    Args:
        folder: A folder on it.
        needed: Bytes.
        parts: What takes them.
    """
    free = shutil.disk_usage(folder).free
    found = f"{gigabytes(needed)} needed ({parts}), {gigabytes(free)} free"
    if free >= needed:
        return Check(name="disk", state="ok", found=found)
    return Check(
        name="disk", state="missing", found=found,
        remedy=f"free {gigabytes(needed - free)}, or move the project to a larger disk",
    )  # fmt: skip


def gpu_memories() -> list[int]:
    """List the memory of every GPU that torch sees, in bytes."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [int(torch.cuda.get_device_properties(index).total_memory) for index in range(count)]


def check_gpu(
    size: str,
    train: TrainParams,
    embed: EmbedParams,
    memory: Memory,
    probe: Callable[[], list[int]] = gpu_memories,
) -> Check:
    """See whether the GPUs that training asks for are there, and large enough.

    Args:
        size: The base.
        train: Which accelerator, and how many devices.
        embed: Whether the encoder runs in training.
        memory: Bytes that one process needs.
        probe: Gives the memory of every GPU.
    """
    if train.accelerator == "cpu":
        return Check(name="GPU", state="ok", found="not needed (train.accelerator: cpu)")
    needed = f"about {gigabytes(memory.total)} each: {explained(memory, train)}"
    gpus = probe()
    if train.accelerator == "auto" and not gpus:
        return Check(name="GPU", state="note", found="none; training runs on the CPU")
    wanted = f"{train.devices} wanted (train.devices), {needed}"
    if len(gpus) < train.devices:
        return Check(
            name="GPU", state="missing", found=f"{len(gpus)} there, {wanted}",
            remedy=_fewer_gpus(train, len(gpus)),
        )  # fmt: skip
    least = min(gpus[: train.devices])
    if least >= memory.total:
        return Check(name="GPU", state="ok", found=f"{gigabytes(least)} there, {wanted}")
    fits = fitting_batch(size, train, embed, least)
    remedy = f"train.batch_size: {fits}" if fits else "a smaller base (base.size), or packed views"
    return Check(
        name="GPU", state="missing", found=f"{gigabytes(least)} there, {wanted}", remedy=remedy
    )


def _fewer_gpus(train: TrainParams, count: int) -> str:
    wanted = f"a machine with {train.devices} GPUs (train.devices)"
    if not count:
        return f"{wanted}; train.accelerator: cpu works without any, slowly"
    batch = -(-train.batch_size * train.devices // count)
    return f"{wanted}, or train.devices: {count} with train.batch_size: {batch} for the same steps"


def explained(memory: Memory, train: TrainParams) -> str:
    """Write out what a process's memory is made of."""
    parts = {
        "weights": memory.weights,
        "encoder": memory.encoder,
        "decoder": memory.decoder,
        "CUDA": memory.context,
    }
    shown = ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items() if size)
    return f"{shown}, at train.batch_size {train.batch_size}"


def _some(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
