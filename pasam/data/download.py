"""One file from an address to a place: resumed where it broke off, verified, never half there.

Neither pooch nor `dvc get-url` takes a broken transfer up again, which a file of 30 GB needs. Bytes
are gathered in `<target>.part`; `<target>.part.origin` says of which version of the file they are.
"""

from __future__ import annotations

import json
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
from pasam.files import file_sha256, put_in_place

ATTEMPTS = 6
"""Failures in a row, none of them bringing a byte, after which a transfer is given up."""

Progress = Callable[[int, int | None], None]
"""Receives how many bytes are there and how many there will be, if that is known."""

_CHUNK = 1 << 16
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60  # seconds, whatever the server asks for
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


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
    part = _Part(target.with_name(f"{target.name}.part"), address)
    local = _local_path(address)
    fault = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if local is None:
            _Transfer(part, size=size, progress=progress, wait=wait, timeout=timeout).run()
        elif local.is_file():
            part.forget()
            shutil.copyfile(local, part.path)
        else:
            raise DataError(f"{local} is no file. Put the archive there, or name another source.")
        digest, there = file_sha256(part.path), part.path.stat().st_size
        if size is not None and there != size:
            fault = f"has {there} bytes, expected {size}"
        elif sha256 is not None and not digest.startswith(sha256):
            fault = f"has the sha256 {digest}, expected {sha256}"
        else:
            put_in_place(part.path, target, durable=True)
        part.forget()
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error}.") from None
    if fault is not None:
        raise DataError(
            f"{address} {fault}: it was changed, or damaged on its way. It was thrown away; try "
            "again, or another source."
        )
    return digest


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


class _Part:
    """The bytes that have arrived, and the version of the file that they are of."""

    def __init__(self, path: Path, address: str) -> None:
        self.path = path
        self.address = address
        self._origin = path.with_name(f"{path.name}.origin")

    def size(self) -> int:
        """Count the bytes that can be built on."""
        return self.path.stat().st_size if self.version() and self.path.exists() else 0

    def version(self) -> str | None:
        """Read which version of the file the bytes are of; none if nothing can be built on."""
        try:
            origin = json.loads(self._origin.read_text(encoding="utf-8"))
            return str(origin["version"]) if origin["address"] == self.address else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def remember(self, version: str | None) -> None:
        """Note the version of the bytes that are about to arrive."""
        self._origin.unlink(missing_ok=True)
        if version is not None:
            origin = {"address": self.address, "version": version}
            self._origin.write_text(json.dumps(origin), encoding="utf-8")

    def forget(self) -> None:
        """Remove the bytes and what is known of them."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)


class _Transfer:
    """One file on its way from the web; the arguments are those of `download`."""

    def __init__(
        self, part: _Part, *, size: int | None, progress: Progress, wait: float, timeout: float
    ) -> None:
        self.part, self.address = part, part.address
        self.size, self.progress, self.timeout = size, progress, timeout
        self._retry = Retry(
            total=ATTEMPTS,
            backoff_factor=wait,
            backoff_max=_LONGEST_WAIT,
            retry_after_max=_LONGEST_WAIT,
            status_forcelist=_TRANSIENT,
            raise_on_status=False,
        )

    def run(self) -> None:
        """Gather all bytes."""
        retry = self._retry
        with self._pool() as pool:
            while True:
                before = self.part.size()
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
                except HTTPError as error:  # on the way
                    if self.part.size() > before:
                        retry = self._retry  # what did arrive counts: the attempts begin anew
                    else:
                        retry = self._one_less(retry, error)
                    retry.sleep()

    def _pool(self) -> urllib3.PoolManager:
        """Open connections as the system's proxy settings want it."""
        parts = urlsplit(self.address)
        proxy = getproxies().get(parts.scheme)
        if proxy and parts.hostname and not proxy_bypass(parts.hostname):
            return urllib3.ProxyManager(proxy, timeout=self.timeout)
        return urllib3.PoolManager(timeout=self.timeout)

    def _attempt(self, pool: urllib3.PoolManager, retry: Retry) -> None:
        there, version = self.part.size(), self.part.version()
        if there and there == self.size:
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": "pasam"}
        if there and version:  # If-Range: of a file that has changed, the server sends the whole
            headers |= {"Range": f"bytes={there}-", "If-Range": version}
        response = pool.request(
            "GET", self.address, headers=headers, retries=retry, preload_content=False,
            decode_content=False,
        )  # fmt: skip
        try:
            self._take(response, there, version)
        finally:
            response.close()

    def _take(self, response: BaseHTTPResponse, there: int, version: str | None) -> None:
        """Append the rest, or begin anew with the whole, as the server answers."""
        start, whole = _extent(response)
        if response.status == 416 and whole == there:
            return  # an earlier transfer had brought the last byte
        is_stranger = start != there or _version(response) != version
        if response.status == 416 or (response.status == 206 and is_stranger):
            self.part.forget()
            raise ProtocolError("the server answered with a part of another file")
        if response.status not in (200, 206):
            raise self._refused(response)
        if whole is not None and self.size not in (None, whole):
            raise DataError(
                f"{self.address} has {whole} bytes, expected {self.size}: it is another file. "
                "Try another source."
            )
        there = there if response.status == 206 else 0
        with self.part.path.open("ab" if there else "wb") as file:
            if not there:
                self.part.remember(_version(response))
            for chunk in response.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                there += len(chunk)
                self.progress(there, whole)

    def _one_less(self, retry: Retry, error: HTTPError) -> Retry:
        try:
            return retry.increment("GET", self.address, error=error)
        except HTTPError:
            raise self._given_up(error) from None

    def _given_up(self, error: object) -> TransientError:
        return TransientError(
            f"{self.address} broke off {ATTEMPTS} times ({error}). {self.part.size()} bytes are "
            "kept; the same command goes on from there."
        )

    def _refused(self, response: BaseHTTPResponse) -> DataError | TransientError:
        answer = f"{self.address} answers {response.status} {response.reason or ''}".rstrip()
        if response.status in _TRANSIENT:
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


def _version(response: BaseHTTPResponse) -> str | None:
    """Name the version of the file, if the server tells one that a later request can rely on."""
    tag = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):  # weak: equal tags may have other bytes
        return tag
    return response.headers.get("Last-Modified")
