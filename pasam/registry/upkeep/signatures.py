"""Signatures of a version's files, in OpenSSF's format, where a key is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pasam.errors import RegistryError, installing
from pasam.files import temporary_folder

SIGNATURE = "model.sig"
"""A signature of all files of a version, among its evidence."""
SIGNING_KEY, VERIFY_KEY = "PASAM_SIGNING_KEY", "PASAM_VERIFY_KEY"
"""Variables that name the files of the private and of the public key."""
DECISIONS, EVIDENCE = "decisions", "evidence"
"""Folders of a version for its entries of the log, and for what they rest on; they grow."""


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
        Config().use_elliptic_key_signer(private_key=key).sign(folder, signature)
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
        from model_signing.hashing import Config as Hashing
        from model_signing.verifying import Config

        grows = Hashing().set_ignored_paths(paths=[DECISIONS, EVIDENCE])
        verifier = Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(grows)
        verifier.verify(folder, signature)


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
