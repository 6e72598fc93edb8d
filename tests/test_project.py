"""The files round the code agree with each other."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import skimage
import torch
from check_jsonschema.cli import main as check_jsonschema
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from photograph_pool import rectangle, write_pool
from small_world import load_yaml, small_base

from benchmarks import photographs as script
from pasam.cli.space_costs import training_memory
from pasam.config.params_file import load_section
from pasam.config.schema import EmbedParams, TrainParams


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pins(root):
    return {name: version for name, (version, _) in locked(root, "requirements.lock").items()}


def locked(root, name):
    """By package, the version of a lock and the hashes of its files."""
    text = (root / name).read_text()
    blocks = re.findall(r"^([\w.-]+)==(\S+)[^\n]*\n((?:    .*\n)*)", text, re.MULTILINE)
    return {
        name: (version, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", hashes))
        for name, version, hashes in blocks
    }


def committed(root, name):
    """The last commit's text of a file; outside a git checkout, the file's own."""
    done = subprocess.run(
        ["git", "show", f"HEAD:{name}"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else (root / name).read_text()


def test_the_params_file_is_committed_at_its_default_size(root):
    assert committed(root, "params.yaml") == committed(root, "params/default.yaml")


def test_the_lock_holds_plain_pins_only(pins, root):
    assert all(Version(version).local is None for version in pins.values())
    assert pins["torch"] == "2.13.0"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cuda.lock"])
def test_each_package_of_a_lock_is_bound_to_its_bytes_from_wherever_they_come(name, root):
    text = (root / name).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    found = locked(root, name)
    assert len(found) == len(re.findall(r"^\w", text, re.MULTILINE))
    assert [package for package, (_, hashes) in found.items() if not hashes] == []
    cuda = {package for package in found if re.match("nvidia-|cuda-|triton$", package)}
    assert cuda == (set(found) if name == "requirements-cuda.lock" else set())


def test_the_cpu_build_is_the_locked_release(root):
    assert locked(root, "requirements-cpu.lock")["torch"][0] == "2.13.0+cpu"
    assert locked(root, "requirements.lock")["torch"][0] == "2.13.0"


def test_the_lock_serves_linux_and_macos_and_three_versions_of_python(root):
    found = locked(root, "requirements.lock")
    for package in ("numpy", "torch", "pycocotools", "opencv-python-headless"):
        assert len(found[package][1]) >= 5, package  # all files of the release, not this machine's


def test_make_installs_nothing_whose_bytes_are_not_in_a_lock(root):
    recipe = (root / "Makefile").read_text()
    installs = re.findall(r"^.*\$\(PIP\) (.*)$", recipe, re.MULTILINE)
    assert "--no-deps" in re.search("^PIP := (.*)$", recipe, re.MULTILINE)[1]
    assert [each for each in installs if not each.startswith("--require-hashes -r ")] == [
        "--no-build-isolation -e ."
    ]


def test_the_lock_satisfies_every_requirement_of_the_project(project, pins):
    versions = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    wanted = [
        *project["project"]["dependencies"],
        *itertools.chain(*project["project"]["optional-dependencies"].values()),
        *project["build-system"]["requires"],
    ]
    for requirement in map(Requirement, wanted):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_make_help_names_every_target(root):
    text = (root / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    done = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True)
    listed = re.findall(r"^ *make ([a-z]+) +\w", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())


def test_continuous_integration_runs_only_what_the_readme_says(root):
    script = (root / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if line.startswith("make ")]
    assert {"make test", "make long"} <= {*commands}  # together, all that is not slow
    readme = (root / "README.md").read_text()
    assert [command for command in commands if command not in readme] == []


def test_pre_commit_runs_the_commands_of_make_check(root):
    hooks = (root / ".pre-commit-config.yaml").read_text()
    recipe = (root / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    for tool in re.findall(r"^\t@(\S+(?: check| format --check)?)", recipe, re.MULTILINE):
        assert f".venv/bin/{tool}" in hooks


@pytest.mark.parametrize("path", ["requirements.lock", "Makefile", ".ci/run", "dvc.yaml"])
def test_nothing_depends_on_one_machine(path, root):
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work|opt)/", (root / path).read_text())


def test_trainings_start_where_slurms_client_is_installed_and_warnings_are_errors(
    tmp_path, monkeypatch
):
    from lightning_fabric.plugins.environments import SLURMEnvironment

    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not SLURMEnvironment.detect()


def test_the_citation_names_the_papers_authors_as_the_readme_does(root):
    content = load_yaml((root / "CITATION.cff").read_text())
    (paper,) = content["references"]
    names = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    assert f"{{{names}}}" in (root / "README.md").read_text()
    assert paper["identifiers"][0]["value"] == "arXiv:2401.13051"


def test_the_readmes_first_lines_give_a_mask_in_any_folder(root, tmp_path, monkeypatch):
    readme = (root / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    block = readme.partition("```python\n")[2].partition("```")[0]
    names = {"image": skimage.data.coffee()}
    exec(block, names)
    assert names["masks"].shape == (1, 400, 600)
    assert 0.3 < names["masks"].mean() < 0.6  # cup and saucer fill about half of it


WORKFLOWS = ("tests", "slow", "pull-request", "release")


@pytest.fixture(scope="module")
def workflows(root):
    folder = root / ".github" / "workflows"
    assert {path.stem for path in folder.iterdir()} == set(WORKFLOWS)
    return {name: load_yaml((folder / f"{name}.yml").read_text()) for name in WORKFLOWS}


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        (("vendor.github-workflows",), [f".github/workflows/{name}.yml" for name in WORKFLOWS]),
        (("vendor.gitlab-ci", "--data-transform", "gitlab-ci"), [".gitlab-ci.yml"]),
    ],
    ids=["GitHub", "GitLab"],
)
def test_workflows_are_what_their_servers_read(schema, files, root):
    places = [str(root / file) for file in files]
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", *schema, *places])
    assert done.exit_code == 0, done.output


def test_every_python_that_is_promised_is_tested_on_linux_and_macos(project, workflows, root):
    named = "Programming Language :: Python :: "
    promised = [c.removeprefix(named) for c in project["project"]["classifiers"] if named in c]
    for job in ("tests", "wheel"):
        matrix = workflows["tests"]["jobs"][job]["strategy"]["matrix"]
        assert matrix["python"] == promised
        assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"}
    gitlab = load_yaml((root / ".gitlab-ci.yml").read_text())
    assert gitlab["tests"]["parallel"]["matrix"] == [{"PYTHON_VERSION": promised}]


def test_workflows_call_what_is_there(workflows, root):
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(path.read_text() for path in (root / ".github/workflows").glob("*.yml"))
    text += (root / ".gitlab-ci.yml").read_text()
    made = set(re.findall(r"\bmake (?!\.venv)(\S+)", text))
    assert made
    assert made <= targets


def test_what_others_wrote_is_pinned_by_commit_and_a_pull_requests_code_gets_no_rights(workflows):
    for workflow in workflows.values():
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", "a@" + "0" * 40))
    smoke, comment = (workflows["pull-request"]["jobs"][name] for name in ("smoke", "comment"))
    assert "permissions" not in smoke
    assert "secrets." not in str(workflows["pull-request"])
    assert not any("checkout" in step.get("uses", "") for step in comment["steps"])


def test_a_release_has_wheel_source_image_bill_of_materials_and_signature(workflows, root):
    recipe = (root / "Makefile").read_text().partition("\nwheel:")[2].partition("\n\n")[0]
    assert "python -m build" in recipe  # a wheel and a source archive
    assert "cyclonedx_py" in recipe
    steps = [step.get("run", "") for step in workflows["release"]["jobs"]["build"]["steps"]]
    assert steps.index("make wheel") < steps.index(".venv/bin/sigstore sign dist/*")
    image = str(workflows["release"]["jobs"]["image"])
    for words in ("--target serve", "--sbom=true", "sigstore sign image.txt"):
        assert words in image
    assert "twine" not in str(workflows["release"])  # the index is not ours to fill


def truth(*box):
    return rectangle(40, 60, *box) > 128


def test_the_first_click_lies_where_the_object_is_thickest():
    mask = truth(4, 10, 20, 20) | truth(24, 18, 30, 3)
    assert script.thickest(mask, np.zeros_like(mask)) == ((13, 19), 1)


def test_later_clicks_go_to_the_larger_error():
    mask = truth(4, 4, 10, 10)
    place, sign = script.thickest(mask, truth(4, 4, 10, 8) | truth(30, 10, 20, 20))
    assert sign == 0
    assert 30 <= place[0] < 50


def test_a_photograph_of_the_pool_is_scored_mask_by_mask(tmp_path):
    pool = write_pool(tmp_path)
    torch.manual_seed(0)
    base = small_base().eval()
    listed = list(script._listed(pool, "val", None, None))
    assert [(dataset, len(masks)) for dataset, _, masks in listed] == [("cats", 2), ("cups", 2)]
    rows = script.measure(base, script._of_folder(pool, *listed[0]), clicks=3)
    assert [row.filled for row in rows] == [100.0, 100.0]  # the objects are rectangles
    assert all(0 <= getattr(row, score) <= 100 for row in rows for score in script.SCORES)
    assert "| cats | 1 | 2 | 100.0 |" in script.table(rows)


def test_intervals_draw_photographs_with_all_their_masks():
    def row(image, value):
        return script.Row("s", image, "m", *[value] * len(script.SCORES))

    rows = [row("many", 0.0)] * 20 + [row("one", 100.0)]
    low, high = script.interval_by_photograph(rows, "box")
    assert (low, high) == (0.0, 100.0)  # by mask it would be 0 to 14
    few = [row("ab"[n % 2], value) for n, value in enumerate((40.0, 50.0) * 9)]
    assert script.interval_by_photograph(few, "box") == pytest.approx((0, 100))  # 45 plus minus 64
    [line] = [line for line in script.table(few[:1]).splitlines() if line.startswith("| s |")]
    assert line.split(" | ")[5] == ""


@pytest.fixture
def scripts(root, monkeypatch):
    """Import the benchmarks as they import each other."""
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return importlib.import_module


def test_each_benchmark_finds_what_it_imports(scripts, root):
    for path in sorted((root / "benchmarks").glob("*.py")):
        assert scripts(path.stem).__doc__


@pytest.mark.parametrize(
    ("device", "precision", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4),
        ("NVIDIA H100 PCIe", "TF32", 378.0),
        ("NVIDIA A100-SXM4-80GB", "float32", 19.5),
        ("NVIDIA L4", "bfloat16", 121.0),
        ("NVIDIA L40S", "bfloat16", None),
        ("NVIDIA GeForce RTX 4090", "TF32", 82.6),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "TF32", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "float32", None),
        ("CPU", "float32", None),
    ],
)
def test_a_devices_peak_goes_by_its_whole_name_and_none_is_guessed(
    scripts, device, precision, peak
):
    assert scripts("device_times").peak_of(device, precision) == peak


def test_a_devices_bandwidth_goes_by_its_name_and_the_size_of_its_memory(scripts):
    times = scripts("device_times")
    names = ("A100-SXM4-80GB", "A100 80GB PCIe", "A100-PCIE-40GB", "A100", "H200")
    found = [times.of_device(f"NVIDIA {name}", times.BANDWIDTHS) for name in names]
    assert found == [2.039, 1.935, 1.555, None, 4.8]


def test_a_line_says_rates_and_shares_and_leaves_out_what_is_not_known(scripts):
    times = scripts("device_times")
    line = times.Line(
        name="a", ours=10.0, reference=25.0, source="b", precision="bfloat16", images=8,
        operations=2e12, moved=12e9, memory=3_000_000_000, predicted=2_500_000_000,
        difference=0.0123,
    )  # fmt: skip
    found = line.measures("NVIDIA H200")
    assert (found["times_as_fast"], found["images_per_second"]) == (2.5, 800.0)
    assert (found["teraflops"], found["share_of_peak"]) == (200.0, 200 / 989.4)
    assert times.table_row(found) == (
        "| a | 10.0 | 25.0 | 2.50 | b | 800.0 | 200 | 20.2% | 1.2e+03 | 25.0% | memory | 3.00 |"
        " 2.50 | 1e-02 |"
    )  # 167 operations a byte, where the device does 206 while it moves one
    assert times.table_row(line.measures("another")).split(" | ")[7:11] == [
        "-",
        "1.2e+03",
        "-",
        "-",
    ]
    fewer = replace(line, moved=1e9).measures("NVIDIA H200")
    assert (fewer["roof"], fewer["operations_per_byte"]) == ("products", 2000.0)
    alone = times.Line(name="a", ours=None, operations=1.0, images=3, source="too large")
    assert times.table_row(alone.measures("NVIDIA H200")) == (
        "| a | - | - | - | too large | - | - | - | - | - | - | - | - | - |"
    )


@pytest.fixture
def pretended_gpu(scripts, monkeypatch):
    """A GPU on which each call takes 5 ms by its own clock, and 7 bytes; calls are noted."""
    done = []

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self):
            done.append("event")

        def synchronize(self):
            done.append("waited")

        def elapsed_time(self, _other):
            return 5.0

    stand_in = {
        "Event": Event, "synchronize": lambda _device: done.append("idle"),
        "empty_cache": lambda: None, "max_memory_allocated": lambda _device: 7,
        "reset_peak_memory_stats": lambda _device: done.append("reset"),
    }  # fmt: skip
    for name, function in stand_in.items():
        monkeypatch.setattr(torch.cuda, name, function)
    times = scripts("device_times")
    return times, times.Setting(torch.device("cuda"), toy=False), done


def test_on_a_gpu_calls_are_timed_between_events_when_nothing_else_is_under_way(pretended_gpu):
    times, setting, done = pretended_gpu
    found = times.compared(
        lambda: done.append("ours"), lambda: done.append("other"), setting, rounds=2, of=4
    )
    assert found == {"ours": 1.25, "reference": 1.25, "memory": 7, "source": ""}
    timed = [["idle", "event", name, "event", "waited"] for name in ("ours", "other")] * 2
    warm = ["ours", "other"] * times.WARM_UP
    assert done == [*warm, *itertools.chain(*timed), "idle", "reset", "ours", "idle"]


def test_what_a_gpu_has_not_the_memory_for_leaves_the_rest_to_be_measured(pretended_gpu):
    times, setting, _ = pretended_gpu

    def too_large():
        raise torch.OutOfMemoryError

    found = times.compared(lambda: None, too_large, setting, rounds=1, source="plain")
    assert found == {"ours": 5.0, "memory": 7, "source": "plain: the memory does not suffice"}
    lacking = times.compared(too_large, None, setting, rounds=1)
    assert lacking["ours"] is None
    assert times.held_against(lacking, 471.0, "recorded") == lacking


def test_a_recorded_time_stands_beside_one_that_has_no_reference_of_its_own(pretended_gpu):
    times, setting, _ = pretended_gpu
    found = times.compared(lambda: None, None, setting, rounds=1)
    line = times.Line(name="a", **times.held_against(found, 471.0, "recorded, H100"))
    assert (line.ours, line.reference, line.source) == (5.0, 471.0, "recorded, H100")


def test_after_some_seconds_on_a_gpu_no_further_call_is_timed(pretended_gpu, monkeypatch):
    times, setting, done = pretended_gpu
    clock = itertools.count(0, 10)
    monkeypatch.setattr(times.time, "monotonic", lambda: float(next(clock)))
    times.alternated([lambda: done.append("ours")], setting, rounds=50)
    assert done.count("ours") == times.WARM_UP + times.FEWEST


def test_a_reference_has_the_packages_attention_and_the_same_weights(scripts):
    networks = scripts("whole_networks")
    base = networks.base_of("vit_b", SimpleNamespace(toy=True, device=torch.device("cpu")))
    plain = networks.plain_copy(base)
    kinds = [type(each) for each in plain.modules()]
    assert kinds.count(networks.Attention) == 4
    assert networks.FusedAttention not in kinds
    assert networks.FusedAttention in [type(each) for each in base.modules()]
    for one, other in zip(base.parameters(), plain.parameters(), strict=True):
        assert one is other


def test_the_memory_beside_a_rows_is_what_the_doctor_reckons_without_cudas_own(scripts, root):
    networks = scripts("whole_networks")
    setting = SimpleNamespace(toy=False)

    def asked(**changes):
        given = {"batch": 4, "half": False, "encodes": True, "trains": True, **changes}
        return networks.predicted_memory("vit_b", setting, **given)

    embed = load_section(EmbedParams, "embed", root / "params.yaml").replaced(views=0)
    train = load_section(TrainParams, "train", root / "params.yaml").replaced(batch_size=4)
    memory = training_memory("vit_b", train, embed)
    assert asked() == memory.needed - memory.context
    assert asked(trains=False) == asked() - max(memory.decoder - memory.encoder, 0)
    assert asked(encodes=False) == asked() - max(memory.encoder - memory.decoder, 0)
    assert asked(half=True) < asked()
    assert networks.predicted_memory(
        "vit_b", SimpleNamespace(toy=True), batch=4, half=False, encodes=True, trains=True
    ) is None  # fmt: skip


def is_over(process):
    """Say whether a process ends within five seconds."""
    for _ in range(100):
        if not psutil.pid_exists(process) or psutil.Process(process).status() == "zombie":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.long
def test_a_part_is_ended_with_its_children_when_its_time_is_up(scripts, tmp_path):
    file = tmp_path / "child"
    command = ["sh", "-c", f"sleep 600 & echo $! > {file}; wait"]
    part = scripts("on_gpu").ended("slow", command, 1.0)
    assert is_over(int(file.read_text()))
    assert part.code is None
    assert part.told == f"slow: stopped after {part.seconds:.0f} s"
    good = scripts("on_gpu").ended("tests", [sys.executable, "-c", "print('4 passed')"], 60.0)
    assert (good.code, good.told) == (0, "tests: 4 passed")
    bad = scripts("on_gpu").ended("vit_b", [sys.executable, "-c", "raise SystemExit('no')"], 60.0)
    assert (bad.code, bad.told) == (1, "vit_b: failed with 1: no")


def test_all_that_runs_on_a_gpu_is_over_within_eight_minutes_whatever_a_part_takes(
    scripts, monkeypatch, tmp_path
):
    script_of_all = scripts("on_gpu")
    assert sum(script_of_all.LIMITS.values()) <= 480
    assert list(script_of_all.LIMITS) == ["tests", *NETWORK_ROWS, "slow tests"]
    given = []

    def ended(name, command, seconds):
        given.append((name, seconds))
        return script_of_all.Part(name, None if name == "vit_l" else 0, 10.0, "")

    monkeypatch.setattr(script_of_all, "ended", ended)
    assert not script_of_all.measure(tmp_path / "all.json", "some", toy=False)
    left = 0.0
    for name, seconds in given:  # what a part leaves over is the next one's
        assert seconds == left + script_of_all.LIMITS[name]
        left = seconds - 10.0
    parts = json.loads((tmp_path / "all.json").read_text())["parts"]
    assert [(part["name"], part["code"]) for part in parts if part["code"] != 0] == [
        ("vit_l", None)
    ]


NETWORK_ROWS = ["vit_b", "vit_l", "image", "training", "together", "pretraining", "compiled"]


def test_lines_of_a_row_that_was_stopped_are_kept(scripts, monkeypatch, tmp_path, capsys):
    script_of_all = scripts("on_gpu")
    line = scripts("device_times").Line(name="half of it", ours=1.0).measures("some")

    def ended(name, command, seconds):
        if "--json" in command:
            file = Path(command[command.index("--json") + 1])
            file.write_text(json.dumps({"lines": [{"row": name, **line}]}))
        return script_of_all.Part(name, None, seconds, "")

    monkeypatch.setattr(script_of_all, "ended", ended)
    script_of_all.measure(tmp_path / "all.json", "some", toy=False)
    found = json.loads((tmp_path / "all.json").read_text())["lines"]
    assert [each["row"] for each in found] == NETWORK_ROWS
    assert capsys.readouterr().out.count("| half of it | 1.0 |") == len(NETWORK_ROWS)


def test_without_a_gpu_one_line_says_so(scripts, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert scripts("on_gpu").main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "there is no GPU here that torch can use; --toy runs on the CPU\n"
    with pytest.raises(SystemExit, match="2"):
        scripts("speed").main(["--device", "cuda"])


@pytest.mark.slow
def test_all_that_runs_on_a_gpu_runs_at_toy_size_on_the_cpu(root, tmp_path):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, root / "benchmarks" / "on_gpu.py", "--toy", "--json", "all.json"],
        cwd=tmp_path, env=inherited, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "all.json").read_text())
    assert (found["device"], found["toy"]) == ("CPU", True)
    assert [part["name"] for part in found["parts"]] == ["tests", *NETWORK_ROWS, "slow tests"]
    assert re.search(r"[1-9]\d passed", found["parts"][0]["told"])
    assert re.search(r"[1-9] passed", found["parts"][-1]["told"])
    assert list(dict.fromkeys(line["row"] for line in found["lines"])) == NETWORK_ROWS
    assert all(line["ours"] > 0 for line in found["lines"])
    encoders = [line for line in found["lines"] if line["row"] in ("vit_b", "vit_l")]
    assert {line["precision"] for line in encoders} == {"float32", "TF32", "bfloat16"}
    for line in encoders:
        assert line["difference"] < (0.05 if line["precision"] == "bfloat16" else 1e-5)
    assert len(done.stdout.splitlines()) == 2 + len(found["lines"])


@pytest.mark.slow
def test_the_rows_of_a_gpu_run_with_the_cpu_in_its_place(pretended_gpu, scripts, monkeypatch):
    times = pretended_gpu[0]
    networks, training, speed = map(scripts, ("whole_networks", "training_rows", "speed"))
    launch = training.launch

    def launched(params, **named):
        assert params.accelerator == "gpu"
        return launch(params.replaced(accelerator="cpu"), **named)

    monkeypatch.setattr(times.Setting, "on_gpu", property(lambda _: True))
    monkeypatch.setattr(times, "FEWEST", 1)
    monkeypatch.setattr(times, "SECONDS", 0.0)
    monkeypatch.setattr(networks, "build_base", lambda _size: networks._toy_base())
    monkeypatch.setattr(training, "build_base", lambda _size: small_base())
    monkeypatch.setattr(training, "launch", launched)
    monkeypatch.setattr("pasam.training.photograph_training.launch", launched)
    setting = times.Setting(torch.device("cpu"), toy=False)
    found = {
        row: [line.measures("NVIDIA H200") for line in speed.lines_of(row, setting)]
        for row in NETWORK_ROWS
        if row != "compiled"
    }
    for row, lines in found.items():
        assert {line["precision"] for line in lines} >= {"TF32", "bfloat16"}, row
        if row != "together":
            assert all(line["memory"] == 7 and line["share_of_peak"] > 0 for line in lines), row
    for row in ("vit_b", "vit_l", "training"):
        assert all(line["predicted"] > 1e8 for line in found[row])
    for row in ("vit_b", "vit_l"):
        assert all(line["roof"] and line["share_of_bandwidth"] > 0 for line in found[row])
    recorded = [line["reference"] for line in found["training"]]
    assert recorded == [None, 471.0, None, 471.0, 471.0]


@pytest.mark.long
def test_the_rows_of_one_cpu_thread_run_at_toy_size(scripts, tmp_path, capsys):
    scripts("speed").main(["--toy", "--json", str(tmp_path / "rows.json")])
    found = json.loads((tmp_path / "rows.json").read_text())["lines"]
    rows = ["band", "evaluation", "encoder", "decoder", "step", "view"]
    assert [line["row"] for line in found] == rows
    assert "| CPU, toy size | ours, ms |" in capsys.readouterr().out
