"""dvc.yaml agrees with the stages' code: dependencies, outputs, flags and params."""

from __future__ import annotations

import ast
import math
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from filelock import FileLock
from small_world import load_yaml
from walks import nodes, tree

from pasam.config.params_file import read_params
from pasam.errors import DataError, StageError, TransientError
from pasam.registry.upkeep import damaged_cache
from pipelines.dvc import Dvc, expect_whole_results, failure

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


@cache
def stages() -> tuple[Stage, ...]:
    with Repo(str(ROOT)) as repo:
        return tuple(
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
        )


def offenders(found: Callable[[Stage], Any]) -> dict[str, Any]:
    """What is found amiss, by the stage."""
    every = {stage.name: found(stage) for stage in stages()}
    return {name: amiss for name, amiss in every.items() if amiss}


NEITHER_DEP_NOR_OUT = {
    "--catalogue": "fetched sets; prepare takes those whose checksums catalogue.lock has",
    "--docs": "Great Expectations' pages, which hold times",
    "--resume": "the state of a training that was interrupted, gone once it has ended",
    "--timing": "times, which never repeat",
    "--curve": "the packaged weights came without one",
}
"""Flags whose paths DVC does not know, and why."""


@cache
def imported_modules(path: Path) -> set[Path]:
    """The project's own modules that a file imports at any depth of its code."""
    names: set[str] = set()
    for node in nodes(path):
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
    functions = [node for node in tree(stage.module).body if isinstance(node, ast.FunctionDef)]
    return next(node for node in functions if node.name == stage.module.stem)


def sections_and_flags(stage: Stage) -> tuple[dict[str, str], set[str]]:
    """Split a stage's arguments as the stage runner does: name -> dataclass, and flags."""
    arguments = stage_function(stage).args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    kinds = {argument.arg: ast.unparse(argument.annotation) for argument in every}
    sections = {name: kind for name, kind in kinds.items() if kind.endswith("Params")}
    kinds = {name: kind for name, kind in kinds.items() if kind != "ProcessGroup"}
    return sections, {f"--{name.replace('_', '-')}" for name in kinds.keys() - sections.keys()}


def test_there_is_a_stage_for_every_file_of_stages_and_the_reverse():
    files = {path.relative_to(ROOT) for path in (ROOT / "pipelines" / "stages").glob("*.py")}
    files.discard(Path("pipelines/stages/__init__.py"))
    assert files
    assert {stage.module for stage in stages()} == files


def test_the_closure_follows_indirect_imports():
    assert Path("pasam/errors.py") in import_closure(Path("pasam/config/presets.py"))
    assert Path("pasam/config/schema.py") in import_closure(Path("pasam/cli/app.py"))


def test_a_stage_depends_on_all_the_code_that_it_imports():
    def lacking(stage: Stage) -> list[str]:
        return sorted(
            str(file)
            for file in import_closure(stage.module)
            if file not in stage.deps and not stage.deps & set(file.parents)
        )

    assert offenders(lacking) == {}, "add these to the deps in dvc.yaml"


def test_a_stage_depends_on_no_code_that_is_gone():
    deps = {dep for stage in stages() for dep in stage.deps}
    code = {dep for dep in deps if dep.parts[0] in {"pasam", "pipelines"}}
    assert [str(dep) for dep in code if not (ROOT / dep).exists()] == []


def test_a_stages_command_gives_exactly_the_flags_of_its_signature():
    def amiss(stage: Stage) -> list[str]:
        given = [word for word in stage.command if re.fullmatch(r"--[a-z][a-z0-9-]*", word)]
        twice = [flag for flag in given if given.count(flag) > 1]
        return sorted({*twice, *(set(given) ^ sections_and_flags(stage)[1])})

    assert offenders(amiss) == {}


def path_flags(stage: Stage) -> dict[str, Path]:
    """The paths that a stage's command names, by their flags."""
    arguments = stage_function(stage).args.args
    flags = [
        f"--{a.arg.replace('_', '-')}" for a in arguments if ast.unparse(a.annotation) == "Path"
    ]
    return {flag: Path(stage.command[stage.command.index(flag) + 1]) for flag in flags}


def test_every_path_that_a_command_names_is_a_dependency_or_an_output():
    def lacking(stage: Stage) -> list[str]:
        known = stage.deps | stage.outs
        return [
            f"{flag} {path}"
            for flag, path in path_flags(stage).items()
            if flag not in NEITHER_DEP_NOR_OUT
            and not known & {path, *path.parents}
            and not any(path in each.parents for each in stage.outs)  # `--out reports`
        ]

    assert offenders(lacking) == {}, "add these to the deps or outs in dvc.yaml"


def test_every_exception_is_still_one():
    named = {flag for stage in stages() for flag in path_flags(stage)}
    assert named >= NEITHER_DEP_NOR_OUT.keys()


def test_who_needs_the_generated_images_needs_ones_own_too():
    own = Path(content_of(ROOT / "params.yaml")["data"]["own"])

    needing = [
        {stage.name for stage in stages() if path in stage.deps and stage.name != "prepare"}
        for path in (Path("data/generated"), own)
    ]
    assert needing[0] == needing[1]  # `prepare` makes the ones out of the others' manifest


def test_a_stage_writes_nothing_but_its_outputs(world):
    """Nor does it read anything but its dependencies: in the small world it has no more."""
    exceptions = {
        path
        for stage in stages()
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


def test_a_stage_watches_every_section_that_it_reads():
    def amiss(stage: Stage) -> list[str]:
        sections, _ = sections_and_flags(stage)
        watched = {key.split(".")[0] for key in stage.params}
        read = {"models" if kind == "VariantParams" else name for name, kind in sections.items()}
        read -= {"companions"}  # what is trained along changes no result
        # Which models an ablation changes is read from its entry, of which it watches its own.
        return sorted(((watched ^ read) - {"ablations"}) | ((read & {"ablations"}) - watched))

    assert offenders(amiss) == {}


def test_an_ablation_watches_its_own_entry_and_the_models_that_it_changes():
    ablations = load_yaml((ROOT / "params.yaml").read_text())["ablations"]
    found = {
        stage.name: {key for key in stage.params if key.split(".")[0] in {"models", "ablations"}}
        for stage in stages()
        if stage.module.stem == "ablate"
    }
    assert found == {
        f"ablate@{name}": {f"ablations.{name}", f"models.{entry['of']}"}
        for name, entry in ablations.items()
    }


@pytest.mark.parametrize("size", SIZES, ids=lambda path: path.stem)
def test_a_watched_param_exists_in_every_size(size):
    for key in {key for stage in stages() for key in stage.params}:
        if key.startswith("ablations."):
            continue  # each size has its own
        node = content_of(size)
        for part in key.split("."):
            assert part in node, f"{size.name} lacks {key}"
            node = node[part]


STAGE = """\
stages:
  first:
    cmd: python first.py
    deps: [first.py]
    outs: [first.txt]
"""
LOG = Path("x.log")


@pytest.fixture
def dvc(tmp_path):
    """DVC in a folder that has none yet."""
    return Dvc(project=tmp_path, state=tmp_path / ".flows", on_line=lambda line: None)


@pytest.fixture
def project(dvc):
    """A project with one stage, whose code a test writes."""
    Repo.init(str(dvc.project), no_scm=True).close()
    (dvc.project / "dvc.yaml").write_text(STAGE)
    return dvc


NEXT = """
  second:
    cmd: python second.py
    deps: [first.txt, second.py]
    outs: [second.txt]
"""


@pytest.mark.long
@pytest.mark.parametrize("folder", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_result_that_was_changed_in_the_cache_never_reaches_the_next_stage(project, folder):
    make = "import pathlib; p = pathlib.Path('first.txt'); "
    write = "p.mkdir(); (p / 'a').write_text('as made')" if folder else "p.write_text('as made')"
    (project.project / "first.py").write_text(make + write)
    project.repro()
    (place,) = [
        path
        for path in (project.project / ".dvc" / "cache").rglob("*")
        if path.is_file() and path.read_bytes() == b"as made"
    ]
    place.chmod(0o644)
    place.write_bytes(b"As made")
    place.chmod(0o444)  # as DVC keeps what it never looks at again
    subprocess.run(["rm", "-r", "first.txt"], cwd=project.project, check=True)
    (project.project / "dvc.yaml").write_text(STAGE + NEXT)
    (project.project / "second.py").write_text("open('second.txt', 'w').write('used')")
    with pytest.raises(DataError, match=r"were changed after they were made: .*dvc pull"):
        project.repro()
    assert not (project.project / "second.txt").exists()
    place.unlink()
    project.repro()
    assert (project.project / "second.txt").read_text() == "used"


def test_what_was_whole_is_read_again_when_it_was_touched_or_after_a_week(project, monkeypatch):
    (project.project / "first.py").write_text("open('first.txt', 'w').write('as made')")
    project.repro()
    (place,) = (project.project / ".dvc/cache/files/md5").glob("??/*")
    read, real = [], damaged_cache.file_md5
    monkeypatch.setattr(damaged_cache, "file_md5", lambda path: read.append(path) or real(path))
    for _ in range(2):
        expect_whole_results(project.project)
    assert read == [place]
    assert list(damaged_cache.damaged_cache(project.project)) == []  # as `pasam verify-cache`
    assert read == [place, place]
    looks = place.stat()
    place.chmod(0o644)
    place.write_bytes(b"As made")
    os.utime(place, ns=(looks.st_atime_ns, looks.st_mtime_ns))
    with pytest.raises(DataError, match="were changed after they were made"):
        expect_whole_results(project.project)
    place.write_bytes(b"as made")
    expect_whole_results(project.project)
    count, now = len(read), time.time()
    monkeypatch.setattr(damaged_cache.time, "time", lambda: now + 6 * 86_400)
    expect_whole_results(project.project)
    assert len(read) == count
    monkeypatch.setattr(damaged_cache.time, "time", lambda: now + 8 * 86_400)
    expect_whole_results(project.project)
    assert len(read) == count + 1


def stage_said(code, stage="train@pa_sam"):
    return (
        f"error: the stage's own words\n"
        f"ERROR: failed to reproduce '{stage}': failed to run: python x, exited with {code}\n"
    )


def test_wrong_configuration_or_data_is_never_worth_another_try():
    error = failure("dvc repro", 255, stage_said(2), LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == 2
    assert "stage train@pa_sam failed: the configuration or the data is wrong" in str(error)
    assert "error: the stage's own words" in str(error)
    assert str(LOG) in str(error)


def test_a_stages_transient_error_is_worth_another_try():
    error = failure("dvc repro", 255, stage_said(75), LOG)
    assert isinstance(error, TransientError)
    assert "stage train@pa_sam met a transient error" in str(error)


@pytest.mark.parametrize(("code", "kept"), [(143, 143), (-15, 143), (130, 130), (-2, 130)])
def test_a_stopped_stage_is_not_run_again_at_once(code, kept):
    error = failure("dvc repro", 255, stage_said(code), LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == kept
    assert "the next `dvc repro` goes on" in str(error)


@pytest.mark.parametrize(("code", "kept"), [(1, 2), (3, 3), (-9, 2), (137, 2)])
def test_an_unforeseen_failure_is_not_retried_and_its_code_is_said(code, kept):
    error = failure("dvc repro", 255, stage_said(code), LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == kept
    assert f"exit code {code}" in str(error)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("dvc repro", 255, "ERROR: Unable to acquire lock. Most likely another DVC process"),
        ("dvc repro", 255, "ERROR: 'data' is busy, it is being blocked by:"),
        ("dvc push", 255, "ERROR: failed to push data to the cloud - 3 files failed"),
        ("dvc pull train", 255, "ERROR: failed to connect to s3 (bucket/files)"),
    ],
)
def test_a_busy_project_and_an_unreachable_remote_pass(command, code, text):
    assert isinstance(failure(command, code, text, LOG), TransientError)


def test_a_busy_project_is_never_told_to_remove_dvcs_lock():
    text = "ERROR: 'data' is busy, it is being blocked by:\nremove `.dvc/tmp/rwlock`"
    assert "rwlock" not in str(failure("dvc repro", 255, text, LOG))


def test_a_full_disk_is_named_as_that_wherever_it_strikes():
    text = f"error: the disk is full, while x was written.\n{stage_said(2)}"
    error = failure("dvc repro", 255, text, LOG)
    assert "stage train@pa_sam found the disk full. Free some space" in str(error)
    assert "Another try would end the same way" not in str(error)
    pushed = failure("dvc push", 255, "ERROR: [Errno 28] No space left on device", LOG)
    assert isinstance(pushed, StageError)


def test_a_fault_of_ours_keeps_its_code():
    error = failure("dvc repro", 255, stage_said(70), LOG)
    assert (error.exit_code, "a fault of pasam itself" in str(error)) == (70, True)


def test_somebody_elses_command_is_waited_for(dvc, monkeypatch):
    said = []
    busy = ("Unable to acquire lock", "'x' is busy, it is being blocked by")
    answers = iter([*((255, words, LOG) for words in busy), (0, "done", LOG)])
    monkeypatch.setattr(Dvc, "_attempt", lambda self, arguments: next(answers))
    monkeypatch.setattr("pipelines.dvc.BUSY_PAUSE", 0.01)
    replace(dvc, patience=60.0, on_line=said.append).repro()
    assert len(said) == 2
    assert "waiting for it" in said[0]


def test_waiting_for_somebody_else_has_an_end(dvc, monkeypatch):
    monkeypatch.setattr(Dvc, "_attempt", lambda *_: (255, "Unable to acquire lock", LOG))
    with pytest.raises(TransientError, match="all the time"):
        dvc.repro()


def test_a_remote_that_knows_no_run_cache_gets_the_bytes(dvc, monkeypatch):
    seen = []

    def attempt(self, arguments):
        seen.append(arguments)
        refused = "--run-cache" in arguments
        return (255 if refused else 0), "ERROR: run-cache is not supported for http", LOG

    monkeypatch.setattr(Dvc, "_attempt", attempt)
    dvc.push()
    assert seen == [("push", "--run-cache"), ("push",)]


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("dvc push", 251, "ERROR: configuration error - config file error: no remote specified"),
        ("dvc pull", 253, "ERROR: you are not inside of a DVC repository"),
        ("dvc repro", 255, "ERROR: 'dvc.yaml' is invalid."),
    ],
)
def test_a_wrong_setting_of_dvc_does_not_pass(command, code, text):
    error = failure(command, code, text, LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "ERROR: failed to connect to ssh (/srv/dvc/files/md5) - Permission denied for user ben",
        "ERROR: unexpected error - Too many authentication failures",
        "ERROR: failed to connect to s3 (pasam/files/md5) - Unable to locate credentials",
        "ERROR: unexpected error - Forbidden: An error occurred (403) when calling HeadObject",
        "ERROR: unexpected error - [Errno 13] Permission denied: '/srv/dvc-cache/files/md5/4a'",
    ],
)
def test_who_lacks_the_remotes_password_is_told_and_not_kept_waiting(text):
    error = failure("dvc pull --run-cache", 255, text, LOG)
    assert isinstance(error, StageError), "a passing fault would be tried for minutes"
    assert "was not let in" in str(error)
    assert "pasam doctor --team" in str(error)
    assert text in str(error)


def test_only_the_tail_of_a_long_log_is_in_the_message():
    text = "".join(f"line {number}\n" for number in range(100)) + stage_said(1)
    message = str(failure("dvc repro", 255, text, LOG))
    assert "line 99" in message
    assert "line 80" not in message


def test_a_second_command_is_told_that_one_is_running(dvc):
    held = threading.Event()
    done = threading.Event()

    def hold():
        with dvc.alone():
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        with pytest.raises(TransientError, match=r"repro.lock for 0 s. Wait until"):
            dvc.repro("x")
    finally:
        done.set()
        holder.join()


def test_a_patient_command_says_that_it_waits_and_then_runs(dvc):
    held = threading.Event()
    lines = []

    def hold():
        with dvc.alone():
            held.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    patient = Dvc(project=dvc.project, state=dvc.state, on_line=lines.append, patience=30)
    with patient.alone():
        assert not holder.is_alive() or holder.join() is None
    assert lines == ["Another run is at work on this project; waiting for it."]


def test_who_holds_the_lock_may_take_it_again(dvc):
    with dvc.alone(), dvc.alone():
        pass


def test_the_oldest_logs_make_room(dvc, monkeypatch):
    monkeypatch.setattr("pipelines.dvc.KEPT_LOGS", 3)
    (dvc.state / "logs").mkdir(parents=True)
    made = []
    for number in range(5):
        made.append(dvc._new_log(("repro", f"data/x {number}")))
        made[-1].touch()
    assert sorted((dvc.state / "logs").iterdir()) == made[-3:]
    assert made[-1].name.endswith("-repro-data-x-4.log")


def test_the_lock_is_let_go_after_an_error_even_if_somebody_still_has_its_object(dvc):
    dvc.state.mkdir()
    lock = FileLock((dvc.state / "repro.lock").resolve(), is_singleton=True)
    with pytest.raises(ZeroDivisionError), dvc.alone():
        math.sqrt(1 / (1 - lock.is_locked))
    assert not lock.is_locked


@pytest.mark.long
def test_a_project_runs_says_what_changed_and_maps_its_stages_code(project):
    script = project.project / "first.py"
    script.write_text("import os; open('first.txt', 'w').write('1'); print('made')")
    lines = []
    told = Dvc(project=project.project, state=project.state, on_line=lines.append)
    assert told.status() == ("first",)
    told.repro("first")
    assert "made" in lines
    assert told.status() == ()
    script.write_text("raise SystemExit(75)")
    with pytest.raises(TransientError, match="stage first met a transient error"):
        told.repro()


@pytest.mark.slow
def test_a_stopped_repro_leaves_no_process_and_the_next_one_runs(project):
    script = project.project / "first.py"
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "def save(number, frame):\n"
        "    pathlib.Path('saved').touch()\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "if not pathlib.Path('saved').exists():\n"
        "    print('training', flush=True)\n    time.sleep(600)\n"
        "pathlib.Path('first.txt').touch()\n"
    )

    def interrupt(line):
        if line == "training":
            os.kill(os.getpid(), signal.SIGINT)

    stopped = Dvc(project=project.project, state=project.state, on_line=interrupt)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stopped.repro()
    assert time.monotonic() - start < 60
    assert (project.project / "saved").exists()
    project.repro()
    assert (project.project / "first.txt").exists()
