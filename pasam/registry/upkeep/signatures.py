"""Signatures of a version's files, in OpenSSF's format, where a key is set."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import RegistryError, installing
from pasam.files import temporary_folder

if TYPE_CHECKING:
    from model_signing.hashing import Config as Hashing

SIGNATURE = "model.sig"
"""A signature of all files of a version, among its evidence."""
SIGNING_KEY, VERIFY_KEY = "PASAM_SIGNING_KEY", "PASAM_VERIFY_KEY"
"""Variables that name the files of the private and of the public key."""
DECISIONS, EVIDENCE = "decisions", "evidence"
"""Folders of a version for its entries of the log, and for what they rest on; they grow."""


def lacks_signature(evidence: Container[str]) -> bool:
    """Whether what there is about a version has no signature, though a key to sign with is set."""
    return bool(os.environ.get(SIGNING_KEY)) and SIGNATURE not in evidence


def sign_files(folder: Path) -> bytes | None:
    """Sign a version's files with the key that `PASAM_SIGNING_KEY` names; None where it names none.

    Returns:
        A signature in OpenSSF's format, which `model_signing verify` understands, too.

    Raises:
        RegistryError: The key, or the package for it, cannot be used.
    """
    key = os.environ.get(SIGNING_KEY)
    if not key:
        return None
    with temporary_folder() as place, _signing_errors(SIGNING_KEY, key, "be signed"):
        from model_signing.signing import Config

        signature = Path(place) / SIGNATURE
        signer = Config().set_hashing_config(_hashing()).use_elliptic_key_signer(private_key=key)
        signer.sign(folder, signature)
        return signature.read_bytes()


def verify_signature(folder: Path, number: int, stem: str) -> None:
    """Verify a version's files with the key that `PASAM_VERIFY_KEY` names, if it names one.

    Args:
        folder: The version's fetched folder.
        number: Which version it is.
        stem: Number of the entry that registered it, as the files that it carries are named.

    Raises:
        RegistryError: The files are not signed by that key, or the key cannot be used.
    """
    key = os.environ.get(VERIFY_KEY)
    if not key:
        return
    signature = folder / EVIDENCE / f"{stem}-{SIGNATURE}"
    if not signature.is_file():
        raise RegistryError(
            f"version {number} is not signed, and {VERIFY_KEY} asks for a signature. Register it "
            f"again with `pasam registry promote` where {SIGNING_KEY} names the private key."
        )
    with _signing_errors(VERIFY_KEY, key, f"be verified (version {number})"):
        from model_signing.verifying import Config

        verifier = Config().set_hashing_config(_hashing()).use_elliptic_key_verifier(public_key=key)
        verifier.verify(folder, signature)


def _hashing() -> Hashing:
    """Say how files are hashed: all bytes of all of them, but of those folders that grow.

    With BLAKE3, one of that format's three, for ViT-L's 1.25 GB take SHA-256 over a second on one
    core, and BLAKE3 a quarter of one; `digests_of` has the SHA-256 besides.
    """
    from model_signing.hashing import Config

    hashing = Config().use_file_serialization(hashing_algorithm="blake3")
    return hashing.set_ignored_paths(paths=[DECISIONS, EVIDENCE])


@contextmanager
def _signing_errors(variable: str, key: str, what: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise RegistryError(
            f"{variable} is set and the files cannot {what}: {error.name} is not installed. "
            f"Add its group: {installing('sign')}"
        ) from None
    except Exception as error:  # noqa: BLE001  (whatever a foreign parser raises of foreign bytes)
        raise RegistryError(
            f"the files cannot {what} with {key}, which {variable} names: "
            f"{type(error).__name__}: {str(error)[:200]}"
        ) from None
