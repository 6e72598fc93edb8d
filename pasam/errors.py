"""Every error that pasam raises on purpose.

PasamError            exit 2: the configuration or the data is wrong, retrying cannot help
├── ParamsError       params.yaml: unknown, missing or impossible values
├── DataError         an image, a mask, a pairing or the manifest
│   └── InvalidItemError    one item that can be left out; `kind` names its fault
├── CheckpointError   weights that are missing, of another architecture, or changed
├── ExportError       a model that cannot be written for other runtimes
├── PromptError       a box, points or a mask prompt that say nothing usable
├── RefusedError      a request that the service turns away; `status` is HTTP's number
├── ShapeError        tensors that do not fit together
├── StageError        a stage or a DVC command failed; its own exit code is kept
├── RegistryError     a version or a promotion that cannot be as it was asked for
├── FileAccessError   the disk is full, or a file or folder cannot be read or written
├── MissingPackageError    a group of packages that this installation left out
└── TransientError    exit 75: a passing fault, worth another try
    ├── TrackingError     MLflow's records cannot be reached or written
    └── BusyError         another process is changing the registry

A message says what was found, what was expected and what to do.

Exit codes, one meaning each, of commands, stages and flows: 0 done; 1 judged and refused; 2 wrong
as it is, retrying cannot help; 70 a fault of pasam itself; 75 a passing fault, worth another try;
130 after Ctrl-C; 143 after SIGTERM.
"""

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path


class PasamError(Exception):
    """Root of every deliberate error; a stage that meets one exits with `exit_code`."""

    exit_code: int = 2

    def __reduce__(self) -> tuple[object, ...]:
        # By itself an exception is made again of its `args`, which lack what came by keyword: one
        # that was raised in a worker process would never arrive.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[PasamError], args: tuple[object, ...], words: Mapping[str, object]
) -> PasamError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(words)
    return error


class ParamsError(PasamError):
    """A value of `params.yaml` is unknown, missing or impossible."""


class DataError(PasamError):
    """An image, a mask, their pairing or the manifest is not fit for use."""


class InvalidItemError(DataError):
    """One image, mask or pairing is not fit for use; the others may be.

    Args:
        message: What was found, what was expected and what to do.
        kind: The fault, one of `pasam.data.manifest.KINDS`.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class CheckpointError(PasamError):
    """Weights are missing, belong to another architecture, or were changed."""


class ExportError(PasamError):
    """A model cannot be written for other runtimes, or what was written is not the model."""


class PromptError(PasamError):
    """A prompt is empty, malformed, or does not fit its image or model."""


class RefusedError(PasamError):
    """The service turns a request away.

    Args:
        message: What was found, what was expected and what to do.
        status: HTTP's status, 4xx, or 503 while it stops.
        retry_after: Seconds after which another try may succeed.
    """

    def __init__(self, message: str, *, status: int, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ShapeError(PasamError):
    """Tensors or arrays do not have the shapes that the computation needs."""


class StageError(PasamError):
    """A stage or a DVC command failed in a way that another try would not mend.

    Args:
        message: What was found, what was expected and what to do.
        exit_code: The stage's own exit code.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class FileAccessError(PasamError):
    """The disk is full, or a file or a folder cannot be read or written."""


class MissingPackageError(PasamError):
    """What was asked for needs a package of a group that is not installed."""


class RegistryError(PasamError):
    """A version does not exist, or a promotion is refused before anything was judged."""


class TransientError(PasamError):
    """A passing fault: the same call may succeed later."""

    exit_code = 75


class TrackingError(TransientError):
    """MLflow's records cannot be reached or written; every result is still in its file."""


class BusyError(TransientError):
    """Another process is changing the registry."""


DISTRIBUTION = "prompt-adapter-sam"
"""Name under which pip knows pasam; the index's `pasam` is somebody else's."""

_GROUPS = {
    "serve": "fastapi imagehash mlflow multipart pandas prometheus_client pyarrow "
    "python_multipart sqlalchemy starlette uvicorn",
    "train": "dvc great_expectations jinja2 lightning_fabric markupsafe matplotlib",
    "team": "prefect psycopg2",
    "export": "onnx onnxruntime onnxscript",
    "sign": "model_signing OpenSSL",
}
EXTRA_OF: Mapping[str, str] = {
    module: extra for extra, modules in _GROUPS.items() for module in modules.split()
}
"""The smallest group of `pyproject.toml` that brings a module which masks alone do not need."""


def installing(extra: str) -> str:
    """Write the command that adds a group of packages to this installation.

    pip takes what it needs to know from the package that is there, so the command is the same for
    a wheel, a clone and a repository's address, and asks no index for pasam itself.
    """
    return f'pip install "{DISTRIBUTION}[{extra}]"'


_FULL = ("No space left on device", "database or disk is full", "Disk quota exceeded")


def in_words(error: BaseException) -> FileAccessError | MissingPackageError | None:
    """Say of a missing package, or of the operating system's error, what a person needs.

    Args:
        error: What was raised. A full disk is found in what it was raised from, too: libraries
            word it as faults of their own.

    Returns:
        The error in words; None for any other.
    """
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            return None
        return MissingPackageError(
            f"this needs {error.name}, which the group '{extra}' brings and this installation "
            f"lacks. Add it: {installing(extra)}"
        )
    for each in _chain(error):
        full = isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or is_full(str(each)):
            where = getattr(each, "filename", None)
            return FileAccessError(
                f"the disk is full{f', while {where} was written' if where else ''}. Free some "
                "space and run this again: what was complete is kept."
            )
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return FileAccessError(
        f"{where}{error.strerror or error}. Name a file or folder that is there and that may be "
        "read and written."
    )


def is_full(text: str) -> bool:
    """Whether words of a library or of a log say that a disk is full."""
    return "the disk is full" in text or any(words in text for words in _FULL)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go from an error to those that it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


OWN_FAULT = 70
"""Exit code of a fault of pasam itself, as sysexits.h has it."""


def own_fault(error: BaseException) -> str:
    """Say that an unforeseen error is a fault of pasam, and keep its traceback in a file."""
    found = f"{type(error).__name__}: {error}".splitlines()[0]
    try:
        kept = Path(tempfile.gettempdir()) / f"pasam-{os.getpid()}.txt"
        kept.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return f"this is a fault of pasam itself ({found}). Please report it."
    return f"this is a fault of pasam itself ({found}). Please report it with {kept}."
