"""The stages that a project has are those that DVC lists."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pasam.errors import DataError
from pasam.registry.snapshot import declared_stages

GRAPH = """\
stages:
  report: {cmd: one}
  split:
    foreach: [train, val]
    do: {cmd: "two ${item}"}
  ablate:
    foreach: ${ablations}
    do: {cmd: "three ${key}"}
  repeat:
    foreach: ${repeats.models}
    do: {cmd: "four ${item}"}
  score:
    matrix: {model: "${models}", size: [1, 2]}
    cmd: five ${item.model} ${item.size}
"""
PARAMS = "models: [sam]\nablations: {no_dense: {of: pa_sam}}\nrepeats: {models: []}\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def test_lists_and_mappings_of_the_params_name_stages(project):
    assert declared_stages(project) == {
        "report", "split@train", "split@val", "ablate@no_dense", "score@sam-1", "score@sam-2",
    }  # fmt: skip


def test_the_names_are_those_that_dvc_gives(root):
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert declared_stages(root) == set(listed.stdout.split())


@pytest.mark.parametrize(
    ("graph", "params"), [("stages: [", PARAMS), ("", PARAMS), (GRAPH, "models: [sam]\n")]
)
def test_what_cannot_be_listed_is_one_error(project, graph, params):
    (project / "dvc.yaml").write_text(graph)
    (project / "params.yaml").write_text(params)
    with pytest.raises(DataError, match="`dvc status` says what is wrong"):
        declared_stages(project)
