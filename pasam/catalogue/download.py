"""One file from an address to a place: resumed where it broke off, verified, never half there."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pasam.catalogue.http_transfer import HttpTransfer, Progress
from pasam.errors import DataError


def download(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress = lambda there, whole: None,
    wait: float = 0.5,
    timeout: float = 30.0,
) -> str:
    """Bring a file; what is there of it in `<target>.part` is not transferred again.

    Args:
        address: `http:`, `https:` or `file:`, or a path.
        target: The file to write; it appears, or is replaced, once the bytes are proved right.
        sha256: What the bytes must hash to, or the first digits of it.
        size: How many bytes there must be.
        progress: Called as bytes arrive; what it raises stops the transfer, which may be resumed.
        wait: Seconds before the third attempt; they double with every further one.
        timeout: Seconds without a byte after which an attempt has failed.

    Returns:
        The sha256 of the file, 64 hexadecimal digits.

    Raises:
        DataError: There is no such file, it is not the one expected, or it cannot be written.
        TransientError: The transfer failed too often; what arrived is kept.
    """
    part = target.with_name(f"{target.name}.part")
    transfer = HttpTransfer(address, part, size=size, progress=progress, wait=wait, timeout=timeout)
    local = _local_path(address)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if local is None:
            transfer.run()
        else:
            transfer.forget()
            _copy(local, part)
        digest = _synced_sha256(part)
        fault = _fault(digest, part.stat().st_size, sha256=sha256, size=size)
        if fault is None:
            part.replace(target)
            _sync_folder(target.parent)
        transfer.forget()
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error}.") from None
    if fault is not None:
        raise DataError(
            f"{address} {fault}: it was changed, or damaged on its way. It was thrown away; try "
            "again, or another source."
        )
    return digest


def file_sha256(path: Path) -> str:
    """Hash the bytes of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_on_the_web(source: str) -> bool:
    """Tell an address of the web from a file on this machine."""
    return source.startswith(("http://", "https://"))


def _local_path(address: str) -> Path | None:
    if is_on_the_web(address):
        return None
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address).path))
    if "://" in address:
        raise DataError(f"'{address}' is neither a path nor an http:, https: or file: address.")
    return Path(address)


def _copy(source: Path, part: Path) -> None:
    if not source.is_file():
        raise DataError(f"{source} is no file. Put the archive there, or name another source.")
    shutil.copyfile(source, part)


def _synced_sha256(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fault(digest: str, there: int, *, sha256: str | None, size: int | None) -> str | None:
    if size is not None and there != size:
        return f"has {there} bytes, expected {size}"
    if sha256 is not None and not digest.startswith(sha256):
        return f"has the sha256 {digest}, expected {sha256}"
    return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
