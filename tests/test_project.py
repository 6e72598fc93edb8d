"""The files round the code agree with each other."""

from __future__ import annotations

import itertools
import re
import subprocess
import tomllib

import numpy as np
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
