"""Two people in two clones do what docs/team.md says, as typed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

STAGE = """\
import os, pathlib, sys
name, *deps = sys.argv[1:]
with open(os.environ["RAN"], "a") as ran:
    ran.write(f"{os.environ['WHO']} {name}\\n")
text = "".join(pathlib.Path(dep).read_text() for dep in deps)
params = pathlib.Path("params.yaml").read_text().split(f"\\n{name}:")[-1].split("\\n\\n")[0]
pathlib.Path(name).write_text(text if deps else params)
"""
GRAPH = {"robustness": (), "instances": (), "report": ("robustness", "instances")}


class Team:
    """A bare remote, a DVC remote, and two clones with their own users."""

    def __init__(self, folder, root, monkeypatch):
        self.folder = folder
        monkeypatch.setenv("RAN", str(folder / "ran"))
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "nobody"))
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        for name, code in (
            ("pasam", "from pasam.cli.app import app; app()"),
            ("dvc", "from dvc.cli import main; import sys; sys.exit(main())"),
        ):
            program = bin_folder / name
            program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
            program.chmod(0o755)
        monkeypatch.setenv("PYTHONPATH", str(root))
        python = os.path.dirname(sys.executable)  # noqa: PTH120  (a link stays one)
        monkeypatch.setenv("PATH", os.pathsep.join([str(bin_folder), python, os.environ["PATH"]]))
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", folder / "git"], check=True)
        self._begin(root)

    def _begin(self, root):
        ada = self.folder / "Ada"
        subprocess.run(["git", "clone", "-q", self.folder / "git", ada], check=True)
        shutil.copy(root / "params/default.yaml", ada / "params.yaml")
        shutil.copy(root / ".gitattributes", ada)
        (ada / "stage.py").write_text(STAGE)
        stages = {
            name: {
                "cmd": " ".join(["python", "stage.py", name, *deps]),
                "deps": ["stage.py", *deps],
                **({} if deps else {"params": [name]}),
                "outs": [name],
            }
            for name, deps in GRAPH.items()
        }
        (ada / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        self.identify("Ada")
        self.run(
            "Ada",
            "git checkout -q -B main; dvc init -q; dvc remote add -q --default team ../dvc;"
            "printf '/robustness\\n/instances\\n/report\\n' > .gitignore; dvc repro -q;"
            "git add --all; git commit -q -m Begin; dvc push -q; git push -q -u origin main",
        )
        subprocess.run(["git", "clone", "-q", self.folder / "git", self.folder / "Ben"], check=True)
        self.identify("Ben")
        self.run("Ben", "dvc pull -q")

    def identify(self, who):
        self.run(
            who, f"git config user.name {who}; git config user.email {who}@example.org;"
            "pasam merge --setup",
        )  # fmt: skip

    def run(self, who, line, *, fails=False):
        done = subprocess.run(
            ["bash", "-ec", line], cwd=self.folder / who, env={**os.environ, "WHO": who},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{who}: {line}\n{said}"
        return said

    def ran(self):
        path = self.folder / "ran"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def team(tmp_path, root, monkeypatch):
    return Team(tmp_path, root, monkeypatch)


def blocks(root):
    """The walks of docs/team.md: who types what, and whether it is to fail."""
    text = (root / "docs/team.md").read_text()
    for block in re.findall(r"```console\n# (Ada|Ben)\n(.*?)```", text, re.DOTALL):
        yield block[0], [line for line in block[1].splitlines() if line.strip()]


@pytest.mark.slow
def test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice(team, root):
    assert sorted(team.ran()) == ["Ada instances", "Ada report", "Ada robustness"]
    said, ran = [], []
    for who, lines in blocks(root):
        for line in lines:
            command, _, note = line.partition("  #")
            said.append(team.run(who, command, fails=note.strip().startswith("fails:")))
        ran.append(team.ran())
    assert ran == [
        ["Ada robustness", "Ada report"],
        ["Ben instances", "Ben report", "Ben report"],  # of her and his change together: once
        ["Ada robustness", "Ada report"],
        ["Ben robustness", "Ben report"],  # before he knew; after the merge nothing
    ]
    told = next(text for text in said if "both sides changed 1" in text)
    assert "robustness.images was 8, is 10 in ours and 12 in theirs" in told
    assert "Ada: Robustness on twelve images" in told
    team.run("Ada", "git pull -q --no-rebase --no-edit; dvc pull -q; dvc repro")
    assert team.ran() == []
    states = [team.run(who, "git rev-parse HEAD^{tree}; dvc status") for who in ("Ada", "Ben")]
    assert states[0] == states[1]
    for who in ("Ada", "Ben"):
        text = (team.folder / who / "params.yaml").read_text()
        assert "\n  images: 12\n" in text
        assert "\n  boxes_per_image: 50\n" in text
        assert team.run(who, "git status --porcelain") == ""


@pytest.mark.slow
def test_before_this_the_same_walk_ended_in_a_conflict_of_the_lock(team):
    for who, change in (("Ada", "images: 6/images: 8"), ("Ben", "image: 100/image: 50")):
        (team.folder / who / ".gitattributes").write_text("")
        team.run(who, f"sed -i 's/{change}/' params.yaml; dvc repro -q; git commit -q -am Change")
    team.run("Ada", "git push -q")
    said = team.run("Ben", "git pull --no-rebase --no-edit", fails=True)
    assert "CONFLICT (content): Merge conflict in dvc.lock" in said
    team.run("Ben", "dvc status", fails=True)
    team.run("Ben", "pasam merge; git commit -q --no-edit; dvc status")
