"""One file from an address to a place: resumed where it broke off, verified, never half there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, ProtocolError, SSLError
from urllib3.util import Retry

from pasam.errors import DataError, TransientError

# --- http_transfer: A file from the web into a part file, taken up again where an earlier
# transfer broke off.

ATTEMPTS = 6
"""Failures in a row, none of them bringing a byte, after which a transfer is given up."""

Progress = Callable[[int, int | None], None]
"""Receives how many bytes are there and how many there will be, if that is known."""

_CHUNK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60  # seconds, whatever the server asks for
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class HttpTransfer:
    """One file on its way.

    Args:
        address: Where it is.
        part: Where its bytes are gathered; a file beside it remembers which version they are of.
        size: How many bytes there must be, if that is known.
        progress: Called as bytes arrive; what it raises stops the transfer.
        wait: Seconds before the third attempt; they double with every further one.
        timeout: Seconds without a byte after which an attempt has failed.
    """

    def __init__(
        self,
        address: str,
        part: Path,
        *,
        size: int | None,
        progress: Progress,
        wait: float,
        timeout: float,
    ) -> None:
        self.address = address
        self.part = part
        self.size = size
        self.progress = progress
        self.timeout = timeout
        self._retry = Retry(
            total=ATTEMPTS,
            backoff_factor=wait,
            backoff_max=_LONGEST_WAIT,
            retry_after_max=_LONGEST_WAIT,
            status_forcelist=_PASSING,
            raise_on_status=False,
        )

    def run(self) -> None:
        """Gather all bytes.

        Raises:
            DataError: There is no such file, or it is of another size.
            TransientError: The transfer failed too often; what arrived is kept.
        """
        retry = self._retry
        with self._pool() as pool:
            while True:
                before = self._there()
                try:
                    return self._attempt(pool, retry)
                except LocationValueError as error:
                    raise DataError(f"'{self.address}' is no address: {error}.") from None
                except MaxRetryError as error:
                    if isinstance(error.reason, SSLError):
                        raise DataError(
                            f"{self.address} cannot be trusted: {error.reason}. Check the address "
                            "and this machine's clock and certificates."
                        ) from None
                    raise self._given_up(error.reason or error) from None
                except HTTPError as error:  # on the way; what did arrive counts
                    has_grown = self._there() > before
                    retry = self._retry if has_grown else self._after(retry, error)
                    retry.sleep()

    def forget(self) -> None:
        """Remove the part file and what is known of it."""
        self.part.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    @property
    def _origin(self) -> Path:
        return self.part.with_name(f"{self.part.name}.origin")

    def _pool(self) -> urllib3.PoolManager:
        """Open connections as the system's proxy settings want it."""
        parts = urlsplit(self.address)
        proxy = getproxies().get(parts.scheme)
        if proxy and parts.hostname and not proxy_bypass(parts.hostname):
            return urllib3.ProxyManager(proxy, timeout=self.timeout)
        return urllib3.PoolManager(timeout=self.timeout)

    def _attempt(self, pool: urllib3.PoolManager, retry: Retry) -> None:
        there, version = self._there(), self._version()
        if there and there == self.size:
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": "pasam"}
        if there and version:
            headers |= {"Range": f"bytes={there}-", "If-Range": version}
        response = pool.request(
            "GET",
            self.address,
            headers=headers,
            retries=retry,
            preload_content=False,
            decode_content=False,
        )
        try:
            self._take(response, there, version)
        finally:
            response.close()

    def _take(self, response: BaseHTTPResponse, there: int, version: str | None) -> None:
        """Append the rest, or begin anew with the whole, as the server answers."""
        start, whole = _extent(response)
        if response.status == 416 and whole == there:
            return  # an earlier transfer had brought the last byte
        if response.status == 416 or (
            response.status == 206 and (start != there or _version_of(response) != version)
        ):
            self.forget()
            raise ProtocolError("the server answered with a part of another file")
        if response.status not in (200, 206):
            raise self._fault(response)
        if whole is not None and self.size not in (None, whole):
            raise DataError(
                f"{self.address} has {whole} bytes, expected {self.size}: it is another file. "
                "Try another source."
            )
        there = there if response.status == 206 else 0
        with self.part.open("ab" if there else "wb") as file:
            if not there:
                self._remember(_version_of(response))
            for chunk in response.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                there += len(chunk)
                self.progress(there, whole)

    def _there(self) -> int:
        """Count the bytes that can be built on."""
        return self.part.stat().st_size if self._version() and self.part.exists() else 0

    def _version(self) -> str | None:
        """Read which version of the file the part is of; none if nothing can be built on it."""
        try:
            origin = json.loads(self._origin.read_text(encoding="utf-8"))
            return str(origin["version"]) if origin["address"] == self.address else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _remember(self, version: str | None) -> None:
        self._origin.unlink(missing_ok=True)
        if version is not None:
            origin = {"address": self.address, "version": version}
            self._origin.write_text(json.dumps(origin), encoding="utf-8")

    def _after(self, retry: Retry, error: HTTPError) -> Retry:
        try:
            return retry.increment("GET", self.address, error=error)
        except HTTPError:
            raise self._given_up(error) from None

    def _given_up(self, error: object) -> TransientError:
        return TransientError(
            f"{self.address} broke off {ATTEMPTS} times ({error}). {self._there()} bytes are kept; "
            "the same command goes on from there."
        )

    def _fault(self, response: BaseHTTPResponse) -> DataError | TransientError:
        answer = f"{self.address} answers {response.status} {response.reason or ''}".rstrip()
        if response.status in _PASSING:
            return TransientError(f"{answer}, {ATTEMPTS + 1} times. Try again later.")
        return DataError(f"{answer}. Check the address, or name another source.")


def _extent(response: BaseHTTPResponse) -> tuple[int | None, int | None]:
    """Read the first byte's position and the whole file's length from the headers."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found:
        start, whole = found.groups()
        return (int(start) if start else None), (None if whole == "*" else int(whole))
    length = response.headers.get("Content-Length", "")
    return 0, (int(length) if response.status == 200 and length.isdigit() else None)


def _version_of(response: BaseHTTPResponse) -> str | None:
    """Name the version of the file, if the server tells one that a later request can rely on."""
    tag = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


# --- download: One file from an address to a place: resumed where it broke off, verified, never
# half there.


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
