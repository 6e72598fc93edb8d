"""What `deploy/` tells Docker, Kubernetes and SLURM is what they take, and what we promise."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

KUBERNETES = ("1.30", "1.32", "1.34")
OVERLAYS = ("staging", "production")


def documents(root, overlay):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders the overlays, is not here")
    done = subprocess.run(
        ["kubectl", "kustomize", str(root / "deploy/kubernetes/overlays" / overlay)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return list(yaml.safe_load_all(done.stdout))


def strictly_valid(manifest):
    validator = pytest.importorskip("kubernetes_validate")
    for version in KUBERNETES:
        validator.validate(manifest, version, strict=True)


@pytest.fixture(scope="module")
def compose(root):
    return yaml.safe_load((root / "deploy/compose.yaml").read_text())


def test_compose_is_valid_by_its_schema(root):
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, str(root / "deploy/compose.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_nothing_but_the_proxy_listens_outside_and_nothing_of_ours_is_root_or_writes_its_image(
    compose,
):
    services = compose["services"]
    assert [name for name, one in services.items() if "ports" in one] == ["proxy"]
    assert compose["networks"]["inside"] == {"internal": True}
    for name in ("mlflow", "prefect", "worker", "serve", "proxy"):
        one = services[name]
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
    for name, one in services.items():
        assert one["deploy"]["resources"]["limits"]["memory"], name


def test_every_secret_is_a_file_and_no_address_holds_one(compose, root):
    text = (root / "deploy/compose.yaml").read_text()
    assert not re.search(r"://[^/\s\"']*:[^/\s\"']*@", text)
    assert not re.search(r"://[^/\s\"']*:[^/\s\"']*@", (root / "deploy/haproxy.cfg").read_text())
    used = {name for one in compose["services"].values() for name in one.get("secrets", ())}
    assert used == set(compose["secrets"])
    team = (root / "docs/team.md").read_text()
    for name, place in compose["secrets"].items():
        assert set(place) == {"file"}
        assert f"secrets/{name}" in team
    assert "/deploy/secrets/" in (root / ".gitignore").read_text().splitlines()


def test_the_proxy_keeps_a_client_at_its_replica_and_limits_addresses(root, tmp_path):
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy, which checks its configuration, is not here")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-keyout", "key", "-out", "crt"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    certificate = tmp_path / "certificate"
    certificate.write_text((tmp_path / "crt").read_text() + (tmp_path / "key").read_text())
    text = (root / "deploy/haproxy.cfg").read_text()
    (tmp_path / "haproxy.cfg").write_text(
        text.replace("/run/secrets/tls_certificate", str(certificate))
    )
    (tmp_path / "users").write_text("userlist team\n    user one insecure-password x\n")
    done = subprocess.run(
        ["haproxy", "-c", "-f", "haproxy.cfg", "-f", "users"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cookie PASAM insert" in text


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_valid_strictly_in_three_versions(root, overlay):
    found = documents(root, overlay)
    kinds = {one["kind"] for one in found}
    assert kinds >= {
        "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
        "Ingress", "ServiceAccount", "PersistentVolumeClaim", "ConfigMap",
    }  # fmt: skip
    assert "Secret" not in kinds
    for manifest in found:
        strictly_valid(manifest)


def test_staging_serves_the_candidate_and_production_the_champion(root):
    models = {
        overlay: next(
            argument
            for one in documents(root, overlay)
            if one["kind"] == "Deployment"
            for argument in one["spec"]["template"]["spec"]["containers"][0]["args"]
            if argument.startswith("--model")
        )
        for overlay in OVERLAYS
    }
    assert models == {"staging": "--model=candidate", "production": "--model=champion"}


def rendered_job(root, **given):
    """Fill the template of Prefect's pool in as Prefect does; typed values keep their type."""
    template = json.loads((root / "deploy/kubernetes/prefect-job-template.json").read_text())
    properties = template["variables"]["properties"]
    values = {name: one.get("default") for name, one in properties.items()} | given

    def filled(node):
        if isinstance(node, dict):
            return {key: filled(value) for key, value in node.items()}
        if isinstance(node, list):
            return [filled(value) for value in node]
        whole = re.fullmatch(r"\{\{ (\w+) \}\}", node) if isinstance(node, str) else None
        if whole:
            return values[whole[1]]
        if isinstance(node, str):
            return re.sub(r"\{\{ (\w+) \}\}", lambda one: str(values[one[1]]), node)
        return node

    return filled(template["job_configuration"]["job_manifest"])


def test_the_pools_job_is_valid_and_has_what_a_training_needs(root):
    job = rendered_job(
        root, name="retrain", env=[{"name": "A", "value": "b"}], command=["prefect", "flow-run"],
        gpus=1, memory="32Gi",
    )  # fmt: skip
    strictly_valid(job)
    spec = job["spec"]["template"]["spec"]
    container = spec["containers"][0]
    assert container["resources"]["limits"] == {"memory": "32Gi", "nvidia.com/gpu": 1}
    assert job["spec"]["activeDeadlineSeconds"] == 172800
    mounts = {one["mountPath"] for one in container["volumeMounts"]}
    assert mounts >= {"/dev/shm", "/cache", "/run/secrets/git"}
    assert container["envFrom"] == [{"secretRef": {"name": "pasam-job"}}]
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_every_secret_that_kubernetes_asks_for_is_in_docs(root):
    team = (root / "docs/team.md").read_text()
    texts = [path.read_text() for path in (root / "deploy/kubernetes").rglob("*.yaml")]
    texts.append((root / "deploy/kubernetes/prefect-job-template.json").read_text())
    pattern = r"(?:secretKeyRef|secretRef)\W+name\W+([\w-]+)|secretName\W+([\w-]+)"
    names = {a or b for text in texts for a, b in re.findall(pattern, text)}
    assert names == {"pasam-mlflow", "pasam-token", "pasam-tls", "pasam-job", "pasam-git"}
    assert [name for name in sorted(names) if name not in team] == []


def stages(root):
    text = (root / "deploy/Dockerfile").read_text()
    parts = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    return {re.match(r"\S+ AS (\w+)", part)[1]: part for part in parts}


@pytest.mark.parametrize("target", ["serve", "train"])
def test_an_image_is_not_root_and_says_whether_it_is_well(root, target):
    part = stages(root)[target]
    assert "USER 10001:10001" in part
    assert "HEALTHCHECK" in part
    assert not re.search(r"(?i)^(ARG|ENV).*(token|password|secret)", part, re.MULTILINE)


def test_an_image_takes_packages_by_hash_only(root):
    text = (root / "deploy/Dockerfile").read_text().replace("\\\n", "")
    installs = re.findall(r"pip install ([^&;\n]*)", text)
    assert len(installs) == 5
    for command in installs:
        own = command.split()[-1] == "."
        assert "--no-build-isolation" in command if own else "--require-hashes" in command


def test_the_small_image_has_no_pipeline_and_its_lock_is_a_part_of_the_whole(root):
    def blocks(name):
        text = (root / name).read_text()
        return set(re.findall(r"^[A-Za-z0-9].*\n(?:    .*\n)*", text, re.MULTILINE))

    small, whole = blocks("deploy/serve.lock"), blocks("requirements.lock")
    assert small < whole
    names = {block.partition("==")[0] for block in small}
    assert names >= {"torch", "fastapi", "uvicorn", "mlflow-skinny", "segment-anything"}
    assert names.isdisjoint({"dvc", "prefect", "great-expectations", "mlflow", "pytest"})


def test_the_small_images_lock_is_what_make_lock_writes(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / ".ci"))
    spec = importlib.util.spec_from_file_location("serve_lock", root / ".ci/serve_lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.serve_lock(root) == (root / "deploy/serve.lock").read_text()


def jobs(root):
    return sorted((root / "deploy/slurm").glob("*.sbatch"))


def test_slurms_jobs_are_sound_shell(root):
    assert [path.stem for path in jobs(root)] == ["fan_out", "node", "nodes", "stage"]
    for path in jobs(root):
        subprocess.run(["bash", "-n", str(path)], check=True)


def test_shellcheck_finds_nothing_in_slurms_jobs(root):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not here")
    done = subprocess.run(
        ["shellcheck", *map(str, jobs(root))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_slurms_jobs_ask_for_a_word_before_the_end_and_name_their_limits(root):
    for path in jobs(root):
        text = path.read_text()
        for option in ("--time=", "--mem=", "--cpus-per-task=", "--output="):
            assert f"#SBATCH {option}" in text, (path, option)
        assert "set -euo pipefail" in text
