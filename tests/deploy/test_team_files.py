"""What `deploy/` tells Docker, Kubernetes and SLURM is what they take, and what we promise."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest
import yaml
from click.testing import CliRunner
from small_world import dump_yaml, load_yaml
from team_servers import ADDRESSES, INSIDE, ROOT
from tracked_world import copy_tracked

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
    return load_yaml((root / "deploy/compose.yaml").read_text())


def test_compose_is_valid_by_its_schema(root):
    check = pytest.importorskip("check_jsonschema.cli").main
    place = str(root / "deploy/compose.yaml")
    done = CliRunner().invoke(check, ["--builtin-schema", "vendor.compose-spec", place])
    assert done.exit_code == 0, done.output


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


def test_manifests_are_valid_as_they_are_written_where_nothing_renders_them(root):
    paths = sorted((root / "deploy/kubernetes").rglob("*.yaml"))
    written = [path for path in paths if path.name != "kustomization.yaml"]
    assert len(written) == 6
    for path in written:
        for manifest in yaml.safe_load_all(path.read_text()):
            strictly_valid(manifest)


def test_staging_serves_its_own_version_and_production_the_champion(root):
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
    assert models == {"staging": "--model=staging", "production": "--model=champion"}


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


@pytest.mark.parametrize(("gpus", "code"), [("4", 0), ("3", 2)])
def test_a_job_of_several_nodes_runs_what_its_own_section_fits(gpus, code, root, in_empty_folder):
    here = in_empty_folder
    (here / ".venv/bin").mkdir(parents=True)
    for name, words in {
        ".venv/bin/activate": f"PATH={here}:$PATH", "srun": 'echo "$@"', "scontrol": "echo n7",
        "dvc": "true",
        "python": f'[ "$1" = - ] && echo "-m it" || exec {sys.executable} "$@"',
    }.items():  # fmt: skip
        (here / name).write_text(f"#!/bin/sh\n{words}\n")
        (here / name).chmod(0o755)
    for name in ("dvc.yaml", "pipelines"):
        (here / name).symlink_to(root / name)
    text = (root / "params/default.yaml").read_text()  # its train.nodes is 1
    (here / "params.yaml").write_text(text.replace("  devices: 1  ", "  devices: 4  "))
    slurm = {"SUBMIT_DIR": ".", "NNODES": "2", "GPUS_ON_NODE": gpus, "JOB_ID": "5",
             "JOB_NODELIST": "n[7-8]"}  # fmt: skip
    done = subprocess.run(
        ["bash", str(root / "deploy/slurm/nodes.sbatch"), "evaluate@pa_sam"], check=False,
        env={**os.environ, **{f"SLURM_{name}": value for name, value in slurm.items()}},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("torchrun --nnodes=2 --nproc-per-node=4" in done.stdout) is (code == 0)


STAGE = """\
import os, pathlib, sys
out, *deps = sys.argv[1:]
with open(os.environ["RAN"], "a") as ran:
    ran.write(f"{out} {os.environ.get('SLURM_ARRAY_TASK_ID', '-')}\\n")
text = "".join(pathlib.Path(dep).read_text() for dep in deps)
pathlib.Path(out).write_text(f"{out}({text})")
"""
PARTS = ("part_a", "part_b", "part_c", "part_d")
GRAPH = {"first": (), **dict.fromkeys(PARTS, ("first",)), "last": PARTS}
CONFIGURATION = """\
ClusterName=pasam
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
NodeName={host} CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SMALL = "--gres=none --cpus-per-task=1 --mem=200M --time=10"


@pytest.fixture
def cluster(machine):
    for program in ("munged", "slurmctld", "slurmd", "sbatch"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here")
    start(machine)
    return machine


def start(machine):
    own, host = machine.folder, socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (own / name).mkdir()
    (own / "slurm.conf").write_text(
        CONFIGURATION.format(host=host, folder=own, cpus=os.cpu_count())
    )
    (own / "munge.key").write_bytes(os.urandom(1024))
    (own / "munge.key").chmod(0o600)
    machine.run("mkdir -p -m 755 /run/munge")
    programs = {name: str(shutil.which(name)) for name in ("munged", "slurmctld", "slurmd")}
    more = {"SLURM_CONF": str(own / "slurm.conf")}
    key = f"--key-file={own / 'munge.key'}"
    places = [f"--{name}-file={own / f'munge.{name}'}" for name in ("log", "pid", "seed")]
    machine.start("munged", [programs["munged"], "-F", "--force", key, *places])
    machine.wait("munged", "munge -n | unmunge")
    machine.start("slurmctld", [programs["slurmctld"], "-D"], **more)
    machine.start("slurmd", [programs["slurmd"], "-D", "-N", host], **more)
    machine.wait("slurmd", f"SLURM_CONF={own / 'slurm.conf'} sinfo -h -o %t | grep -q idle")


@pytest.fixture
def project(cluster):
    """Six small stages, of which four need the first alone."""
    folder = cluster.folder / "project"
    (folder / ".flows/logs").mkdir(parents=True)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").write_text(
        f"export PATH={cluster.folder / 'bin'}:$PATH PYTHONPATH={ROOT} "
        f"RAN={cluster.folder / 'ran'}\n"
    )
    (folder / "stage.py").write_text(STAGE)
    stages = {
        name: {
            "cmd": " ".join(["python", "stage.py", name, *deps]), "deps": ["stage.py", *deps],
            "outs": [name],
        }
        for name, deps in GRAPH.items()
    }  # fmt: skip
    (folder / "dvc.yaml").write_text(dump_yaml({"stages": stages}))
    ignored = "".join(f"/{name}\n" for name in (".flows/", ".venv/", "reports/", "deploy", *GRAPH))
    (folder / ".gitignore").write_text(ignored)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    type_in(
        cluster, "git init -q -b main; git config user.name Ada; git config user.email a@b.org;"
        "dvc init -q; git add --all; git commit -q -m Begin",
    )  # fmt: skip
    return folder


def type_in(cluster, line):
    return cluster.run(
        line, folder=cluster.folder / "project", RAN=str(cluster.folder / "ran"),
        SLURM_CONF=str(cluster.folder / "slurm.conf"), PYTHONPATH=str(ROOT),
    )  # fmt: skip


def ran(cluster):
    path = cluster.folder / "ran"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.split() for line in lines]


def until_done(cluster, project):
    end = time.monotonic() + 300
    while type_in(cluster, "squeue -h"):
        assert time.monotonic() < end, type_in(cluster, "squeue")
        time.sleep(1)
    return {path.name: path.read_text() for path in (project / ".flows/logs").glob("slurm-*.log")}


@pytest.mark.slow
def test_an_array_runs_independent_stages_and_repro_then_runs_none_of_them(cluster, project):
    type_in(cluster, "dvc repro -q first")
    assert ran(cluster) == [["first", "-"]]
    type_in(
        cluster, "dvc stage list --name-only | grep '^part' > .flows/stages;"
        f"sbatch --array=1-$(wc -l < .flows/stages)%2 {SMALL} deploy/slurm/fan_out.sbatch"
        " .flows/stages",
    )  # fmt: skip
    logs = until_done(cluster, project)
    numbered = [[name, str(number)] for number, name in enumerate(PARTS, start=1)]
    assert sorted(ran(cluster)) == numbered, "\n".join(logs.values())
    said = type_in(cluster, "dvc repro")
    assert ran(cluster) == [["last", "-"]], said
    inner = "".join(f"{name}(first())" for name in PARTS)
    assert (project / "last").read_text() == f"last({inner})"
    lock = load_yaml((project / "dvc.lock").read_text())["stages"]
    type_in(cluster, "rm -rf dvc.lock .dvc/cache first last part_?; dvc repro -q --no-run-cache")
    assert load_yaml((project / "dvc.lock").read_text())["stages"] == lock
    assert type_in(cluster, "git status --porcelain --untracked-files=all").split() == [
        "??",
        "dvc.lock",
    ]


@pytest.mark.slow
def test_one_job_runs_stages_and_says_what_it_lacks(cluster, project):
    type_in(cluster, f"sbatch {SMALL} deploy/slurm/stage.sbatch part_c")
    logs = until_done(cluster, project)
    assert ran(cluster) == [["first", "-"], ["part_c", "-"]], logs
    type_in(cluster, f"sbatch {SMALL} deploy/slurm/stage.sbatch")
    assert any("name what to run" in text for text in until_done(cluster, project).values())


SERVE, TRAIN = "pasam-serve", "pasam-train"
MOST_BYTES = 1_600_000_000
CLOSED = (
    "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges",
    "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096",
)  # fmt: skip
OBJECT = [80, 15, 482, 385]

CHAMPION = """
import dataclasses, pathlib, sys
import torch
from pasam.config.params_file import load_variant
from pasam.models.adapter_weights import write_adapter
from pasam.models.build import build_trainable, load_base
from pasam.models.checkpoint import file_digest
from pasam.registry.snapshot import take_snapshot
from pasam.registry.transitions import Draft, open_decisions
from pasam.registry.version_files import find_candidate, register
root, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2])
base, project = root / "pasam/packaged/tiny.safetensors", pathlib.Path()
variant = load_variant("pa_sam", root / "params/default.yaml")
torch.manual_seed(seed)
segmenter = build_trainable(load_base("tiny", base), variant)
adapter = pathlib.Path(f"adapter-{seed}.safetensors")
write_adapter(adapter, segmenter.decoder, variant=variant, base=file_digest(base))
real = dataclasses.replace(
    find_candidate(take_snapshot(project), "pa_sam"), adapter=adapter, base=base,
    variant=variant.model_dump(), key=f"{file_digest(adapter)}-{file_digest(base)}",
)
decisions = open_decisions(project)
run = decisions.registry.client.create_run(decisions.registry.store.experiment_id)
number = register(decisions, real, run_id=run.info.run_id).number
entry = decisions.entry("promote", number, after=number)
decisions.decide(lambda standing: Draft(entries=(entry,)))
print(number)
"""
"""Make an adapter that has learned nothing, on the base that ships, champion."""


def podman(*words):
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=False)


def require_image(name):
    if shutil.which("podman") is None or podman("image", "exists", name).returncode:
        pytest.skip(f"there is no image {name} here; docs/team.md says how it is built")


@pytest.mark.slow
def test_the_small_image_is_small_not_root_and_has_no_pipeline():
    require_image(SERVE)
    about = json.loads(podman("image", "inspect", SERVE).stdout)[0]
    assert about["Config"]["User"] == "10001:10001"
    assert about["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert about["Size"] <= MOST_BYTES
    code = (
        "import importlib.util as u, os, pathlib; print(os.getuid(), sorted(n for n in ('dvc', "
        "'prefect', 'great_expectations', 'setuptools', 'pytest') if u.find_spec(n)))\n"
        "for place in ('/x', '/opt/pasam/x'):\n"
        "    try: pathlib.Path(place).touch(); print('written')\n"
        "    except OSError: pass\n"
        "pathlib.Path('/cache/x').touch()"
    )
    said = podman("run", "--rm", *CLOSED, "--entrypoint", "python", SERVE, "-c", code)
    assert said.stdout == "10001 []\n", said.stderr


@pytest.mark.slow
def test_the_small_image_predicts_serves_and_follows_a_champion(machine, tracked_once, root):
    require_image(SERVE)
    from PIL import Image
    from skimage import data

    cache = machine.folder / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    Image.fromarray(data.coffee()).save(cache / "coffee.png")
    box = ",".join(map(str, OBJECT))
    mounted = f"--volume={cache}:/cache"
    said = podman("run", "--rm", *CLOSED, mounted, SERVE, "predict", "coffee.png", "--box", box)
    assert said.returncode == 0, said.stderr
    assert (cache / "predictions/coffee_mask.png").is_file()

    own = copy_tracked(tracked_once, machine.folder / "world")
    machine.start_postgres()
    machine.start_mlflow()

    def promote(seed):
        (machine.folder / "champion.py").write_text(CHAMPION)
        line = f"python {machine.folder}/champion.py {root} {seed}"
        machine.run(line, folder=own.folder, MLFLOW_TRACKING_URI=INSIDE)

    promote(1)
    # As docs/team.md has it: the container's user, who is not root, reads it by its group.
    os.chown(machine.folder / "secrets/pasam_token", 0, 10001)
    address = ADDRESSES[0]
    command = machine.of_compose("serve", {"0.0.0.0": address})
    network = f"--network=ns:/proc/{machine.holder.pid}/ns/net"
    files = (
        f"--volume={machine.folder / 'hosts'}:/etc/hosts:ro",
        f"--volume={machine.folder / 'secrets/pasam_token'}:/run/secrets/pasam_token:ro",
    )
    words = ["podman", "run", "--rm", "--name=pasam-serve-test", *CLOSED, network, *files, mounted,
             f"--env=MLFLOW_TRACKING_URI={INSIDE}", SERVE, *command]  # fmt: skip
    machine.start("serve", words, inside=False)
    try:
        machine.wait("serve", f"curl -sf http://{address}:8000/ready")

        def answer():
            token = (machine.folder / "secrets/pasam_token").read_text().strip()
            prompts = json.dumps([{"box": OBJECT}])
            return json.loads(
                machine.run(
                    f"curl -sf -H 'Authorization: Bearer {token}' -F image=@{cache}/coffee.png"
                    f" -F 'prompts={prompts}' http://{address}:8000/predict"
                )
            )

        first = answer()
        assert first["model"]["kind"].endswith("(version 1)")
        assert first["masks"][0]["segmentation"]["size"] == [400, 600]
        promote(2)
        line = (
            f'curl -sf -H "Authorization: Bearer $(cat {machine.folder}/secrets/pasam_token)"'
            f" http://{address}:8000/models | grep -q 'version 2'"
        )
        machine.wait("serve", line)
        assert answer()["model"]["kind"].endswith("(version 2)")
    finally:
        podman("stop", "--time=30", "pasam-serve-test")
        code = machine.processes.pop("serve").wait(60)
    assert code in (0, 143), machine.log("serve")
    assert "Application shutdown complete" in machine.log("serve")
    kept = list((cache / ".cache/pasam").rglob("last.json"))
    assert len(kept) == 1, "the volume has the last good version, for a start without MLflow"


@pytest.mark.slow
@pytest.mark.parametrize(("image", "cuda"), [(TRAIN, "None"), (f"{TRAIN}-cuda", "13.0")])
def test_a_training_image_runs_the_whole_pipeline_without_a_network_or_a_file_of_its_own(
    tmp_path, root, image, cuda
):
    require_image(image)
    about = json.loads(podman("image", "inspect", image).stdout)[0]
    assert about["Config"]["User"] == "10001:10001"
    project, cache = tmp_path / "project", tmp_path / "cache"
    subprocess.run(["git", "clone", "--quiet", str(root), str(project)], check=True)
    (project / "dvc.lock").unlink()
    cache.mkdir()
    for place in (project, cache):
        subprocess.run(["chown", "-R", "10001:10001", str(place)], check=True)
    line = (
        "python -c 'from pasam.cli.app import app; app()' params use smoke && dvc repro --quiet"
        " && dvc status && ! touch /opt/pasam/x"
        " && python -c 'import os, torch; print(os.getuid(), torch.version.cuda)'"
    )
    said = podman(
        "run", "--rm", *CLOSED, "--network=none", "--shm-size=1g", f"--volume={project}:/project",
        f"--volume={cache}:/cache", "--env=OMP_NUM_THREADS=1", image, "bash", "-ec", line,
    )  # fmt: skip
    assert said.returncode == 0, (said.stdout + said.stderr)[-4000:]
    assert "Data and pipelines are up to date." in said.stdout
    assert said.stdout.splitlines()[-1] == f"10001 {cuda}"
    assert "PA-SAM" in (project / "reports/table1.md").read_text()
    owners = {path.stat().st_uid for path in project.rglob("*") if path.is_file()}
    assert owners == {10001}
