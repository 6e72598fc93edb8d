"""A whole project in a folder of its own, so small that all its stages run in seconds.

The stages, their flags and their outputs are those of `dvc.yaml`; only `tiny` is built smaller.
"""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from walks import Walk, traced

from pasam.config.presets import compose
from pasam.files import SafeLoader

STAGE = """\
import os, pathlib, sys, time
out, *deps = sys.argv[1:]
began = time.monotonic()
seen = os.environ.get(os.environ.get("LOGGED", ""), "-")
time.sleep(float(os.environ.get("SECONDS_EACH", "0")))
with open(os.environ["RAN"], "a") as ran:  # at once: others write there, too
    ran.write(f"{out} {seen} {began} {time.monotonic()}\\n")
if out in os.environ.get("BROKEN", "").split():
    sys.exit(2)
text = "".join(pathlib.Path(dep).read_text() for dep in deps)
pathlib.Path(out).write_text(f"{out}({text})")
"""
"""Run as `python stage.py OUT DEPS`, with variables: RAN, the file to which each run adds OUT, the
value of the variable that LOGGED names, begin and end; SECONDS_EACH; BROKEN, stages that fail."""

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "data": {
        "generated": {"train_images": 6, "benchmark_images": 2, "side": 64, "seed": 7},
        "workers": 1,
        "catalogue": [],
    },
    "pretrain": {"generated_images": 4},
    "pretrain.photographs": {
        "prompts_per_image": 1, "warmup_steps": 1, "workers": 0, "row_every": 2,
        "save_minutes": 0.0,
        "phases": [
            {"side": 32, "steps": 2, "batch_size": 2, "frozen_stages": 0},
            {"side": 64, "steps": 2, "batch_size": 2, "frozen_stages": 0},
        ],
    },
    "embed": {"views": 2, "batch_size": 4},
    "train": {"batch_size": 2},
    "ablations": {
        "unchanged": {"of": "pa_sam", "change": {}},
        "bare_head": {
            "of": "pa_sam",
            "change": {
                "epochs": 1,
                "adapter": {"dense": False, "sparse": False, "tokens": False},
                "mining": {"method": "none"},
            },
        },
    },
    "evaluate": {
        "benchmarks": ["dis_like", "thin_like"], "baselines": ["sam", "oracle"], "batch_size": 2,
        "development": ["dis_dev", "thin_dev"],
    },
    "instances": {
        "seginw": {
            "name": "seginw_like", "sets": ["animals", "x_ray"],
            "folder": "data/instances/seginw_like/sets",
            "detections": "data/instances/seginw_like/detections",
        },
    },
    "report": {"n_resamples": 50, "figure_rows": 1},
}  # fmt: skip
"""What differs from the preset `smoke`."""


STAGES = (
    (3, 1, 1, 8, 1), (3, 2, 2, 16, 1), (5, 2, 2, 16, 1), (3, 2, 2, 24, 1), (5, 1, 2, 24, 1),
    (5, 2, 2, 32, 1), (3, 1, 2, 32, 1),
)  # fmt: skip
"""An encoder of `tiny`'s kind with a hundredth of its weights."""


def small_base(size: str = "tiny", *, side: int = 64, dim: int = 32):
    """Build a base of 64 x 64 input pixels, an 8 x 8 grid and 32 channels."""
    from torch import nn

    from pasam.models.build import build_lite

    assert size == "tiny"
    base = build_lite(side=side, dim=dim, stages=STAGES)
    for part in base.sam.image_encoder.trunk.modules():
        if isinstance(part, nn.Conv2d):  # default weights would let nothing of the image through
            nn.init.kaiming_normal_(part.weight)
    return base


WALKED = (
    "prepare", "validate", "embed@val", "train@pa_sam", "evaluate@pa_sam", "report",
)  # fmt: skip
"""Stages of which `test_walks` asks which files they walk through: tracing doubles their time."""


@dataclass(frozen=True)
class Stage:
    """A stage of `dvc.yaml` after templating."""

    module: str
    arguments: tuple[str, ...]
    deps: tuple[str, ...]
    """Files and folders; code and params left out."""
    outs: tuple[str, ...]


@dataclass(frozen=True)
class SmallWorld:
    """A project's folder and its stages by name, in the order of `dvc.yaml`."""

    folder: Path
    stages: Mapping[str, Stage]
    strays: dict[str, list[Path]] = field(default_factory=dict)
    """Files that a stage has written besides its outputs, by its name."""
    walks: dict[str, Walk] = field(default_factory=dict)
    """Files of the project that a stage has walked through, by its name."""
    has_small_base: bool = True
    """Whether `tiny` is built smaller, and is the only base."""

    def path(self, name: str) -> Path:
        """A file or folder of the project."""
        return self.folder / name

    def run(self, name: str) -> None:
        """Run a stage as its command line does, in this process; outputs go first, as with DVC."""
        import pasam.models.build
        import pipelines.stages.pretrain
        from pipelines.stage_runner import run

        stage = self.stages[name]
        function = getattr(importlib.import_module(stage.module), stage.module.split(".")[-1])
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            if self.has_small_base:
                patch.setattr(pasam.models.build, "build_base", small_base)
                patch.setattr(pipelines.stages.pretrain, "build_base", small_base)
            self.remove_outs(name)
            try:
                run(function, stage.arguments)
            finally:
                signal.signal(signal.SIGTERM, handler)

    def run_alone(self, name: str, folder: Path) -> None:
        """Run a stage in a folder that has its dependencies and nothing else; keep what it wrote.

        A stage that reads what `dvc.yaml` does not list fails here.
        """
        alone = SmallWorld(folder, self.stages)
        given = ("params.yaml", *self.stages[name].deps)
        for path in given:
            _link(self.path(path), alone.path(path))
        try:
            importlib.import_module(self.stages[name].module)  # what it imports is no walk
            with traced() if name in WALKED else nullcontext(Walk()) as self.walks[name]:
                alone.run(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, it is told)
            raise RuntimeError(f"{name} needs more than its deps in dvc.yaml: {error!r}") from error
        known = {Path(path) for path in (*given, *self.stages[name].outs)}
        written = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
        self.strays[name] = [p for p in written if not known & {p, *p.parents}]
        for path in (*self.stages[name].outs, *self.strays[name]):
            _link(alone.path(str(path)), self.path(str(path)))
        shutil.rmtree(folder)

    def remove_outs(self, name: str) -> None:
        """Remove what a stage has written."""
        for out in self.stages[name].outs:
            path = self.path(out)
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)

    def contents(self, name: str) -> dict[str, bytes]:
        """Bytes of every file among a stage's declared outputs, which must all be there."""
        found = {}
        for out in self.stages[name].outs:
            path = self.path(out)
            files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            assert files, f"{name} left {out} empty"
            found |= {str(file.relative_to(self.folder)): file.read_bytes() for file in files}
        return found

    def change(self, section: str, **values: Any) -> None:
        """Change values of a section of the params file."""
        path = self.path("params.yaml")
        params = read_yaml(path)
        node = params
        for part in section.split("."):
            node = node[part]
        node.update(values)
        write_yaml(path, params)

    def copy(self, folder: Path) -> SmallWorld:
        """Copy everything to another folder, but for Great Expectations' pages, a third of it."""
        subprocess.run(["cp", "-R", "-p", str(self.folder), str(folder)], check=True)
        shutil.rmtree(folder / "reports" / "validation" / "data_docs", ignore_errors=True)
        return SmallWorld(folder, self.stages)


def load_yaml(text: str) -> Any:
    """Parse YAML by libyaml, which takes a tenth of the time."""
    return yaml.load(text, SafeLoader)


def dump_yaml(content: Any, **how: Any) -> str:
    """Say in YAML by libyaml."""
    text: str = yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), **how)
    return text


def read_yaml(path: Path) -> Any:
    """Read YAML by libyaml."""
    return load_yaml(path.read_text())


def write_yaml(path: Path, content: Any, **how: Any) -> None:
    """Write YAML by libyaml."""
    path.write_text(dump_yaml(content, **how))


def _link_file(source: str, target: str) -> None:
    if not Path(target).exists():  # a file and its folder may both be dependencies
        os.link(source, target)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file, dirs_exist_ok=True)
    elif source.is_file():
        _link_file(str(source), str(target))


def make_world(folder: Path, root: Path) -> SmallWorld:
    """Lay out the project in an empty folder; nothing has run yet."""
    params = compose("smoke", root / "params")
    for section, values in CHANGES.items():
        node = params
        for part in section.split("."):
            node = node[part]
        node.update(values)
    return lay_out(folder, root, params)


def lay_out(folder: Path, root: Path, params: dict[str, Any], **how: Any) -> SmallWorld:
    """Lay out a project with these params in an empty folder."""
    write_yaml(folder / "params.yaml", params)
    (folder / "data" / "own").mkdir(parents=True)
    (folder / "data" / "quarantine.csv").write_text("file,sha256,reason\n")
    (folder / "data" / "accepted.json").write_text('{"sets": []}\n')
    shutil.copy(root / "dvc.yaml", folder)
    return SmallWorld(folder, _stages(folder), **how)


def _is_code(path: str) -> bool:
    return path.startswith(("pasam/", "pipelines/"))


def _stages(folder: Path) -> dict[str, Stage]:
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    Repo.init(str(folder), no_scm=True).close()
    with Repo(str(folder)) as repo:
        stages = {}
        for stage in repo.index.stages:
            words = shlex.split(stage.cmd if isinstance(stage.cmd, str) else stage.cmd[-1])
            assert words[:2] == ["python", "-m"]
            outs = tuple(out.def_path for out in stage.outs)
            deps = tuple(
                dep.def_path
                for dep in stage.deps
                if not isinstance(dep, ParamsDependency)
                and (dep.def_path.startswith("pasam/packaged") or not _is_code(dep.def_path))
            )
            stages[stage.name] = Stage(words[2], tuple(words[3:]), deps, outs)
    return stages
