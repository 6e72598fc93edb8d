"""Where a key is set, a version is signed at registration and verified whenever it is loaded."""

from __future__ import annotations

import shutil
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pasam.errors import RegistryError
from pasam.registry.load import load_predictor, verify_versions
from pasam.registry.promotion import promote
from pasam.registry.versions import SIGNING_KEY, VERIFY_KEY, sign_files, verify_signature


@pytest.fixture
def keys(tmp_path):
    """Paths of a private key, of its public one, and of another public one."""
    pair, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    private = pair.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    places = [tmp_path / name for name in ("private.pem", "public.pem", "other.pem")]
    places[0].write_bytes(private)
    for place, key in zip(places[1:], (pair, other), strict=True):
        place.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    return places


def test_without_the_package_a_key_is_no_silent_wish(tmp_path, monkeypatch, keys):
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    monkeypatch.setenv(SIGNING_KEY, str(keys[0]))
    with pytest.raises(RegistryError, match=r"cannot be signed.*prompt-adapter-sam\[sign\]"):
        sign_files(tmp_path)


def test_without_a_key_nothing_is_signed_or_asked_for(tmp_path, monkeypatch):
    for name in (SIGNING_KEY, VERIFY_KEY):
        monkeypatch.delenv(name, raising=False)
    assert sign_files(tmp_path) is None
    verify_signature(tmp_path, 1, "000001")


def test_a_version_that_is_not_signed_is_refused_where_a_key_asks_for_it(
    promoted, monkeypatch, keys
):
    monkeypatch.setenv(VERIFY_KEY, str(keys[1]))
    with pytest.raises(RegistryError, match="version 1 is not signed, and PASAM_VERIFY_KEY asks"):
        load_predictor("champion")


def test_a_signed_version_is_verified_with_the_public_key_alone(
    project, tmp_path, monkeypatch, keys
):
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    private, public, other = keys
    monkeypatch.setenv(SIGNING_KEY, str(private))
    promote(project.folder)
    monkeypatch.delenv(SIGNING_KEY)
    monkeypatch.setenv(VERIFY_KEY, str(public))
    assert verify_versions(project.folder) == {1: ""}
    # A machine that only serves: MLflow's address, the package, the public key.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlruns/mlflow.db")
    machine = tmp_path / "machine"
    machine.mkdir()
    shutil.copy(project.path("params.yaml"), machine)
    monkeypatch.chdir(machine)
    assert load_predictor("champion").name == "pa_sam (version 1)"
    monkeypatch.setenv(VERIFY_KEY, str(other))
    with pytest.raises(RegistryError, match=r"cannot be verified \(version 1\) with .*other.pem"):
        load_predictor("champion")
    monkeypatch.setenv(VERIFY_KEY, str(public))
    (adapter,) = (project.folder / "mlruns" / "artifacts").rglob("adapter.safetensors")
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"x")
    with pytest.raises(RegistryError, match="cannot be verified"):
        load_predictor("champion")
    (signature,) = (project.folder / "mlruns" / "artifacts").rglob("*-model.sig")
    signature.write_bytes(b"[" * 1000)
    with pytest.raises(RegistryError, match="cannot be verified"):
        load_predictor("champion")
