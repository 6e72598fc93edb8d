"""dvc.yaml agrees with the stages' code: dependencies, outputs, flags and params.

DVC does not follow imports: a module missing among the `deps` of a stage means results that stay
stale after the module changed.
"""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from pasam.config.params_file import read_params

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = sorted((ROOT / "params").glob("*.yaml"))


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml after templating."""

    name: str
    command: list[str]
    deps: frozenset[Path]
    outs: frozenset[Path]
    params: frozenset[str]

    @property
    def module(self) -> Path:
        """The stage's own file, relative to the root."""
        dotted = self.command[self.command.index("-m") + 1]
        return Path(*dotted.split(".")).with_suffix(".py")


def load_stages() -> list[Stage]:
    with Repo(str(ROOT)) as repo:
        return [
            Stage(
                name=stage.addressing,
                command=shlex.split(stage.cmd if isinstance(stage.cmd, str) else stage.cmd[-1]),
                deps=frozenset(
                    Path(dep.def_path)
                    for dep in stage.deps
                    if not isinstance(dep, ParamsDependency)
                ),
                outs=frozenset(Path(out.def_path) for out in stage.outs),
                params=frozenset(
                    key
                    for dep in stage.deps
                    if isinstance(dep, ParamsDependency)
                    for key in dep.params
                ),
            )
            for stage in repo.index.stages
            if stage.cmd
        ]


NEITHER_DEP_NOR_OUT = {
    "--catalogue": "fetched sets; prepare takes those whose checksums catalogue.lock has",
    "--docs": "Great Expectations' pages, which hold times",
    "--resume": "the state of a training that was interrupted, gone once it has ended",
    "--timing": "times, which never repeat",
}
"""Flags whose paths DVC does not know, and why."""

STAGES = load_stages()
each_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


@cache
def imported_modules(path: Path) -> set[Path]:
    """The project's own modules that a file imports at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.parent.parts[: len(path.parent.parts) + 1 - node.level])
            origin = node.module or "" if not node.level else f"{package}.{node.module or ''}"
            names.update(f"{origin.strip('.')}.{alias.name}" for alias in node.names)
            names.add(origin.strip("."))
    ours = [name for name in names if name.split(".")[0] in {"pasam", "pipelines"}]
    files = {Path(*name.split(".")).with_suffix(".py") for name in ours}
    return {file for file in files if (ROOT / file).is_file()}


def import_closure(path: Path) -> set[Path]:
    """A file and every module of the project that it needs, however indirectly.

    `__init__.py` files are left out: a test of the source tree holds that they do nothing.
    """
    found, open_ends = {path}, [path]
    while open_ends:
        for module in imported_modules(open_ends.pop()) - found:
            found.add(module)
            open_ends.append(module)
    return found


@cache
def content_of(size: Path) -> dict[str, Any]:
    return read_params(size)


def stage_function(stage: Stage) -> ast.FunctionDef:
    tree = ast.parse((ROOT / stage.module).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return next(node for node in functions if node.name == stage.module.stem)


def sections_and_flags(stage: Stage) -> tuple[dict[str, str], set[str]]:
    """Split a stage's arguments as the stage runner does: name -> dataclass, and flags."""
    arguments = stage_function(stage).args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    kinds = {argument.arg: ast.unparse(argument.annotation) for argument in every}
    sections = {name: kind for name, kind in kinds.items() if kind.endswith("Params")}
    return sections, {f"--{name.replace('_', '-')}" for name in kinds.keys() - sections.keys()}


def test_there_is_a_stage_for_every_file_of_stages_and_the_reverse():
    files = {path.relative_to(ROOT) for path in (ROOT / "pipelines" / "stages").glob("*.py")}
    files.discard(Path("pipelines/stages/__init__.py"))
    assert files
    assert {stage.module for stage in STAGES} == files


def test_the_closure_follows_indirect_imports():
    assert Path("pasam/errors.py") in import_closure(Path("pasam/config/presets.py"))
    assert Path("pasam/config/schema.py") in import_closure(Path("pasam/cli/app.py"))


@each_stage
def test_a_stage_depends_on_all_the_code_that_it_imports(stage):
    lacking = {
        str(file)
        for file in import_closure(stage.module)
        if file not in stage.deps and not stage.deps & set(file.parents)
    }
    assert lacking == set(), f"add to the deps of {stage.name} in dvc.yaml: {sorted(lacking)}"


@each_stage
def test_a_stage_depends_on_no_code_that_is_gone(stage):
    code = [dep for dep in stage.deps if dep.parts[0] in {"pasam", "pipelines"}]
    assert [str(dep) for dep in code if not (ROOT / dep).exists()] == []


@each_stage
def test_a_stages_command_gives_exactly_the_flags_of_its_signature(stage):
    given = [word for word in stage.command if re.fullmatch(r"--[a-z][a-z0-9-]*", word)]
    assert len(given) == len(set(given))
    assert set(given) == sections_and_flags(stage)[1]


def path_flags(stage: Stage) -> dict[str, Path]:
    """The paths that a stage's command names, by their flags."""
    arguments = stage_function(stage).args.args
    flags = [
        f"--{a.arg.replace('_', '-')}" for a in arguments if ast.unparse(a.annotation) == "Path"
    ]
    return {flag: Path(stage.command[stage.command.index(flag) + 1]) for flag in flags}


@each_stage
def test_every_path_that_a_command_names_is_a_dependency_or_an_output(stage):
    known = stage.deps | stage.outs
    lacking = {
        f"{flag} {path}"
        for flag, path in path_flags(stage).items()
        if flag not in NEITHER_DEP_NOR_OUT
        and not known & {path, *path.parents}
        and not any(path in each.parents for each in stage.outs)  # `--out reports`
    }
    assert lacking == set(), f"add to the deps or outs of {stage.name} in dvc.yaml"


def test_every_exception_is_still_one():
    named = {flag for stage in STAGES for flag in path_flags(stage)}
    assert named >= NEITHER_DEP_NOR_OUT.keys()


@each_stage
def test_who_needs_the_generated_images_needs_ones_own_too(stage):
    own = Path(content_of(ROOT / "params.yaml")["data"]["own"])
    if stage.module.stem != "prepare":  # makes the ones out of the others' manifest
        assert (Path("data/generated") in stage.deps) == (own in stage.deps)


def test_a_stage_writes_nothing_but_its_outputs(world):
    """Nor does it read anything but its dependencies: in the small world it has no more."""
    exceptions = {
        path
        for stage in STAGES
        for flag, path in path_flags(stage).items()
        if flag in NEITHER_DEP_NOR_OUT and flag != "--resume"  # it is gone once all is done
    }
    folders = {path.parent if path.suffix else path for path in exceptions}
    strays = [
        f"{name}: {stray}"
        for name, found in world.strays.items()
        for stray in found
        if not folders & set(stray.parents)
    ]
    assert strays == []


@each_stage
def test_a_stage_watches_every_section_that_it_reads(stage):
    sections, _ = sections_and_flags(stage)
    watched = {key.split(".")[0] for key in stage.params}
    read = {"models" if kind == "VariantParams" else name for name, kind in sections.items()}
    assert watched - {"ablations"} == read - {"ablations"}
    assert read & {"ablations"} <= watched


def test_an_ablation_watches_its_own_entry_and_the_models_that_it_changes():
    ablations = yaml.safe_load((ROOT / "params.yaml").read_text())["ablations"]
    found = {
        stage.name: {key for key in stage.params if key.split(".")[0] in {"models", "ablations"}}
        for stage in STAGES
        if stage.module.stem == "ablate"
    }
    assert found == {
        f"ablate@{name}": {f"ablations.{name}", f"models.{entry['of']}"}
        for name, entry in ablations.items()
    }


@each_stage
@pytest.mark.parametrize("size", SIZES, ids=lambda path: path.stem)
def test_a_watched_param_exists_in_every_size(stage, size):
    content = content_of(size)
    for key in stage.params:
        if key.startswith("ablations."):
            continue  # each size has its own
        node = content
        for part in key.split("."):
            assert part in node, f"{size.name} lacks {key}"
            node = node[part]
