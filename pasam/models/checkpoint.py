"""Weights on disk: safetensors for ours, the official and the references' `.pth` files besides."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pasam.errors import CheckpointError
from pasam.files import draft_file, file_sha256, is_regular, read_text

PICKLED = (".pth", ".pt")
"""Suffixes of files that torch pickles."""

SHOWN = 3
"""Names that an error lists before it only counts."""

MOST_HEADER, MOST_TENSORS = 4_000_000, 20_000
"""Bytes that name the tensors of a file, and how many there may be; ViT-H has 596 in 0.1 MB."""
PRECISIONS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""What trained values may be stored as."""
SUMS = "SHA256SUMS"
"""File beside weights with their digests; the package's own have one. It is made anew with
`sha256sum *.safetensors > SHA256SUMS` in their folder."""
_ANEW = (
    "Install the package, or fetch the files, again; if they were trained anew, run "
    f"`sha256sum *.safetensors > {SUMS}` in their folder."
)


def write_weights(
    path: Path, weights: Mapping[str, Tensor], *, metadata: Mapping[str, str]
) -> None:
    """Write tensors as safetensors, atomically; equal tensors give equal bytes.

    They are on the disk when this returns: what they were trained from is removed next.

    Args:
        path: The file; its folder is made if need be.
        weights: Tensors by name.
        metadata: Words that travel with them (architecture, origin).
    """
    plain = {name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
    with draft_file(path, durable=True) as draft:
        safetensors.torch.save_file(plain, draft, metadata=dict(metadata))
        draft.chmod(0o644)  # safetensors makes files that only their owner may read
        _sort_metadata(draft)


def _sort_metadata(path: Path) -> None:
    """Put the words of a safetensors file in order: the library shuffles them at every writing."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        if "__metadata__" not in header:
            return
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
        content = text.encode().ljust(size)
        if len(content) != size:
            raise CheckpointError(f"{path}: its header of {size} bytes cannot be put in order.")
        file.seek(8)
        file.write(content)


def write_state_dict(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors as a plain `.pth` state dict, atomically, in the order given.

    Args:
        path: The file; its folder is made if need be.
        weights: Tensors by name.

    Raises:
        CheckpointError: The path does not end in .pth or .pt, by which it would be read again.
    """
    if path.suffix not in PICKLED:
        raise CheckpointError(f"{path} ends in '{path.suffix}', expected one of {list(PICKLED)}.")
    # A copy of its own for each, for torch saves the whole storage that a view looks into.
    plain = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    with draft_file(path) as draft:
        torch.save(plain, draft)


WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "sam_model", "sam", "params",
    "weights", "net", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "ema",
)  # fmt: skip
"""Names under which training programs keep a model's tensors, beside their own state; its moving
average where there is nothing else."""
_DEEPEST = 3  # such names within each other
PREFIXES = ("module.", "model.", "sam.", "net.", "_orig_mod.")
"""What wrappers (DataParallel, Lightning, `torch.compile`) put before every tensor's name."""
_IN_EVERY_SAM = "image_encoder."


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors, `.pth` or `.pt` file; nothing in it is ever executed.

    Of a training program's checkpoint the model's tensors are taken, without the prefix that all
    of their names have, or all of a SAM's beside what belongs to its training. Where `SHA256SUMS`
    lies beside the file and names it, its bytes are compared with that first.

    Raises:
        CheckpointError: The file is missing, is not the one that was recorded, or cannot be read
            as plain tensors.
    """
    _expect_file(path)
    _expect_recorded_bytes(path)
    try:
        if path.suffix == ".safetensors":
            _expect_small_header(path)
            return _without_prefix(safetensors.torch.load_file(path))
        _expect_plain_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file torch says the strangest things
            content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} {_why_refused(str(error))}") from None
    except Exception as error:  # noqa: BLE001  (of a hostile file the parsers raise anything)
        said = str(error).partition("\n")[0][:200] or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as weights ({said}); it is damaged or of another format. "
            "Fetch or make it again."
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected tensors by name.")
    content = _unwrapped(content)
    others = [
        f"{name!r}: {type(value).__name__}"
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if others:
        raise CheckpointError(
            f"{path} holds {_few(others)}, expected nothing but tensors by name. "
            "Save the state dict alone."
        )
    return _without_prefix(content)


def _unwrapped(content: dict[Any, Any], deepest: int = _DEEPEST) -> dict[Any, Any]:
    """Take a model's tensors out of a training program's state, which may wrap them twice.

    Other things have such names too, as `params` for how was trained; they hold no tensors.
    """
    wrapped = (content[w] for w in WRAPPERS if isinstance(content.get(w), dict))
    for each in wrapped if deepest else ():  # a pickle can hold itself
        inner = _unwrapped(each, deepest - 1)
        if any(isinstance(value, Tensor) for value in inner.values()):
            return inner
    return content


def _without_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take prefixes away that all names have, or all names of the one SAM that is there.

    Beside it may be what a loss holds (Lightning), or how many weights an average is of (torch).
    """
    for prefix in PREFIXES:
        if weights and all(name.startswith(prefix) for name in weights):
            return _without_prefix({name.removeprefix(prefix): weights[name] for name in weights})
    found = {name.partition(_IN_EVERY_SAM)[0] for name in weights if _IN_EVERY_SAM in name}
    if len(found) != 1 or "" in found:
        return weights
    (prefix,) = found
    return {k.removeprefix(prefix): each for k, each in weights.items() if k.startswith(prefix)}


def read_metadata(path: Path) -> dict[str, str]:
    """Read the words that travel with a safetensors file.

    Raises:
        CheckpointError: The file is missing or not safetensors.
    """
    _expect_file(path)
    try:
        _expect_small_header(path)
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}.") from None


SIZE_ADVICE = "Check base.size against base.checkpoint."


def load_strictly(
    module: nn.Module, weights: Mapping[str, Tensor], *, source: str, advice: str = SIZE_ADVICE
) -> None:
    """Load tensors into a module that has exactly these names and shapes.

    Half-precision tensors are widened to the module's precision. On error the module is unchanged.

    Args:
        module: What receives the weights.
        weights: Tensors by name.
        source: Where they come from, for the error.
        advice: What to do when they do not fit, for the error.

    Raises:
        CheckpointError: A tensor is missing, unknown, or of another shape.
    """
    check_fit(weights, module.state_dict(), source=source, advice=advice)
    module.load_state_dict(dict(weights), strict=True)


def check_fit(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    source: str,
    advice: str = SIZE_ADVICE,
) -> None:
    """Check that tensors have exactly the names and shapes that are wanted.

    Args:
        found: Tensors by name.
        wanted: Tensors by name, whose values do not matter.
        source: Where the found ones come from, for the error.
        advice: What to do when they do not fit, for the error.

    Raises:
        CheckpointError: A tensor is missing, unknown, of another shape or kind of number, or holds
            NaN or infinity.
    """
    missing = sorted(set(wanted) - set(found))
    unknown = sorted(set(found) - set(wanted))
    other = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in sorted(set(wanted) & set(found))
        if found[name].shape != wanted[name].shape
    ]
    if missing or unknown or other:
        raise CheckpointError(
            f"{source} does not fit this architecture ({len(wanted)} tensors expected, "
            f"{len(found)} found): missing {_few(missing)}; unknown {_few(unknown)}; "
            f"of another shape {_few(other)}. {advice}"
        )
    _expect_numbers(found, wanted, source)


def _expect_numbers(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str) -> None:
    """Refuse values with which every mask would be empty: NaN, infinite, or cast from integers."""
    kinds = [
        f"{name} is {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in sorted(found.items())
        if tensor.dtype != wanted[name].dtype
        and not (wanted[name].is_floating_point() and tensor.dtype in PRECISIONS)
    ]
    if kinds:
        raise CheckpointError(
            f"{source} holds numbers of a kind that is not loaded: {_few(kinds)}; expected 32 or "
            "16 bit floating point. Save the weights unquantised."
        )
    expect_finite(found, source)


def expect_finite(found: Mapping[str, Tensor], source: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        CheckpointError: A tensor holds one.
    """
    try:
        broken = [name for name in sorted(found) if not torch.isfinite(found[name]).all()]
    except (NotImplementedError, RuntimeError) as error:  # sparse, quantised or of 8 bits
        raise CheckpointError(
            f"{source} holds tensors of a kind that is not read ({str(error)[:80]}). Save the "
            "weights dense and unquantised."
        ) from None
    if broken:
        raise CheckpointError(
            f"{source} holds NaN or infinity in {_few(broken)}: its training diverged, or the file "
            "was changed. Train or fetch it again."
        )


def file_digest(path: Path) -> str:
    """Hash a file's bytes with sha256, as 64 hexadecimal digits.

    Raises:
        CheckpointError: The file is missing.
    """
    _expect_file(path)
    return file_sha256(path)


def _expect_recorded_bytes(path: Path) -> None:
    sums = path.with_name(SUMS)
    if not is_regular(sums):
        return
    lines = read_text(sums, advice=_ANEW, error=CheckpointError).splitlines()
    recorded = {name.lstrip(" *"): digest for digest, _, name in (i.partition(" ") for i in lines)}
    expected, found = recorded.get(path.name), file_sha256(path)
    if expected not in (None, found):
        raise CheckpointError(
            f"{path} has sha256 {found[:12]}..., expected {str(expected)[:12]}... as {sums} "
            f"records: it was damaged or changed. {_ANEW}"
        )


def _expect_small_header(path: Path) -> None:
    """Refuse a safetensors file that names more than a model has, before a library reads it."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if size <= MOST_HEADER else b""
    named = header.count(b"data_offsets")
    if MOST_HEADER < size <= path.stat().st_size or named > MOST_TENSORS:
        raise CheckpointError(
            f"{path} names {named or 'more'} tensors in {size} bytes; at most {MOST_TENSORS} in "
            f"{MOST_HEADER} are read. It is no model of this kind."
        )


def _expect_plain_archive(path: Path) -> None:
    """Refuse a `.pth` file that would grow when it is read, or that torch did not write.

    torch stores tensors uncompressed in a zip archive; what is packed, or stands in a larger
    pickle, is none of its.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = [each for each in members if each.compress_type != zipfile.ZIP_STORED]
    whole = sum(each.file_size for each in members)
    pickled = sum(each.file_size for each in members if each.filename.endswith(".pkl"))
    if packed or whole > path.stat().st_size or len(members) > MOST_TENSORS:
        raise CheckpointError(
            f"{path} unpacks to {whole} bytes in {len(members)} parts; torch writes at most "
            f"{MOST_TENSORS}, uncompressed. Save the state dict with torch.save."
        )
    if pickled > MOST_HEADER // 8:
        raise CheckpointError(
            f"{path} describes its tensors in {pickled} bytes; at most {MOST_HEADER // 8} are "
            "read. Save the state dict alone."
        )


def _expect_file(path: Path) -> None:
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise CheckpointError(f"{path} is no regular file. Give a file of weights.")
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist. Put the weights there, or set base.checkpoint in params.yaml "
            "to where they are."
        )


def _why_refused(error: str) -> str:
    """Say in words what torch refused; its own message advises to execute the file."""
    asked = re.search(r"GLOBAL (\S+) ", error)
    if asked is None:
        return "cannot be read as weights; it is damaged or holds more than tensors."
    return (
        f"asks for {asked[1]}, expected nothing but tensors by name; it was not executed. "
        "Save the state dict alone."
    )


def _few(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
