"""Flows `reproduce` and `ablate`: groups of targets in order, and studies in worktrees."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from small_world import dump_yaml, load_yaml
from tracked_world import git

from pasam.config.presets import compose_text
from pasam.errors import DataError, ParamsError, RegistryError, StageError
from pipelines.dvc import STATE, Dvc
from pipelines.flows import endings, operations, studies
from pipelines.flows import reproduce as flow
from pipelines.flows.prefect_flows import is_superfluous
from pipelines.flows.reproduce import GROUPS, dvc, outputs, reproduce, results
from pipelines.flows.retrain import begin, finish, is_unfinished, loose_ends
from pipelines.flows.schedule import missed
from pipelines.flows.studies import STUDIES, ablate, lay_out


@pytest.fixture
def steps(monkeypatch, in_empty_folder):
    """Names of what was done, with stand-ins for all tasks."""
    done = []
    monkeypatch.setattr(flow, "fetch", lambda hours: done.append("fetch"))
    monkeypatch.setattr(flow, "repro", lambda group, hours, folder: done.append(group))
    monkeypatch.setattr(flow, "show_results", lambda folder: done.append("show"))
    return done


def test_the_groups_run_in_order_and_the_results_are_shown(steps):
    assert reproduce().name == "reproduced"
    assert steps == ["data", "train", "evaluate", "report", "show"]


def test_what_others_have_made_is_fetched_first_if_asked(steps):
    reproduce(pull=True)
    assert steps[:2] == ["fetch", "data"]


@pytest.fixture
def held(monkeypatch, in_empty_folder):
    """What flows do with the project, in their order, with stand-ins for DVC and git."""
    seen = []

    @contextlib.contextmanager
    def alone(self):
        seen.append(("begin", self.patience / 3600))
        yield
        seen.append("end")

    def noting(name):
        return lambda self, *targets: seen.append((name, self.project, *targets))

    monkeypatch.setattr(Dvc, "alone", alone)
    for name in ("repro", "pull", "status"):
        monkeypatch.setattr(Dvc, name, noting(name))
    monkeypatch.setattr(flow, "show_results", lambda folder: seen.append(("show", folder)))
    monkeypatch.setattr(flow, "results_note", lambda folder: None)
    return seen


def test_all_that_a_reproduction_does_is_done_alone_in_its_own_folder(held, in_empty_folder):
    here = in_empty_folder
    groups = [("repro", here, *targets) for targets in GROUPS.values()]
    reproduce(pull=True, hours=3.0)
    assert held == [("begin", 3.0), ("pull", here), *groups, ("show", Path()), "end"]
    held.clear()
    reproduce()
    assert held == [("begin", 24.0), *groups, ("show", Path()), "end"]


def test_a_study_is_done_in_its_own_folder_kept_and_only_then_cleared(held, monkeypatch):
    other = Path("other").resolve()
    monkeypatch.setattr(studies, "lay_out", lambda *given: held.append(given) or other)
    kept = lambda *given: held.append(("keep", *given)) or "kept"  # noqa: E731
    monkeypatch.setattr(studies, "keep_report", kept)
    monkeypatch.setattr(studies, "clear", lambda size: held.append(("clear", size)))
    assert ablate(size="smoke", hours=5.0).message == "The report of 'smoke' is in kept."
    groups = [("repro", other, *targets) for targets in GROUPS.values()]
    assert held == [
        ("begin", 5.0), ("smoke", 5.0), *groups, ("show", other), ("keep", "smoke", other),
        ("clear", "smoke"), "end",
    ]  # fmt: skip
    assert dvc(1.0, other).env == {"MLFLOW_TRACKING_URI": ""}, "no live curves of a study"
    assert dvc(1.0).env == {}
    held.clear()
    monkeypatch.setattr(Dvc, "repro", lambda self, *targets: raise_failure())
    with pytest.raises(StageError):
        ablate(size="smoke", hours=5.0)
    assert held == [("begin", 5.0), ("smoke", 5.0)], "an interrupted one goes on there"


def raise_failure():
    raise StageError("no")


def test_a_studys_report_takes_the_place_of_the_one_before(in_empty_folder, monkeypatch):
    study, old = Path("study"), studies.RESULTS / "smoke" / "old.md"
    (study / "reports" / "cards").mkdir(parents=True)
    (study / "reports" / "cards" / "a.md").write_text("a")
    (study / "reports" / "table.md").write_text("t")
    old.parent.mkdir(parents=True)
    old.touch()
    made = [Path("reports/cards"), Path("reports/table.md")]
    monkeypatch.setattr(studies, "outputs", lambda stage, folder: {"report": made}[stage])
    kept = studies.keep_report("smoke", study)
    files = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.md"))
    assert files == ["reports/cards/a.md", "reports/table.md"]


def test_results_are_shown_of_the_folder_that_was_asked_for(in_empty_folder, monkeypatch):
    shown, other = [], Path("other")
    other.mkdir()
    (other / "a.md").write_text("words")
    known = {".md": [other / "a.md"], ".png": [other / "b.png"], "index.html": []}
    monkeypatch.setattr(
        flow, "results", lambda suffix, folder: known[suffix] if folder == other else []
    )
    for name in ("show_text", "show_image"):
        monkeypatch.setattr(flow, name, lambda *given: shown.append(given))
    flow.show_results(other)
    assert shown == [("a", "words", "other/a.md"), ("b", other / "b.png", "other/b.png")]


def test_a_failed_group_ends_the_flow(steps, monkeypatch):
    def fail(group, hours, folder):
        steps.append(group)
        raise StageError("no")

    monkeypatch.setattr(flow, "repro", fail)
    with pytest.raises(StageError):
        reproduce()
    assert steps == ["data"]


def test_the_groups_name_every_stage_of_dvc_yaml_once(root):
    stages = load_yaml((root / "dvc.yaml").read_text())["stages"]
    wanted = [name for name, stage in stages.items() if not stage.get("frozen")]
    named = [target for group in GROUPS.values() for target in group]
    assert sorted(named) == sorted(wanted), "add the stage to GROUPS in pipelines/flows/reproduce"


def test_unfinished_work_is_remembered_by_the_next_process(root, in_empty_folder):
    assert not is_unfinished()
    begin()
    code = "from pipelines.flows.retrain import is_unfinished; print(is_unfinished())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout == "True\n"
    finish()
    finish()
    assert not is_unfinished()


NOT_JUDGED = "the last result is not judged"


@pytest.mark.parametrize(
    ("champion", "version", "left"),
    [
        (None, None, "there is no champion"), (1, None, NOT_JUDGED),
        (1, (2, None, None), NOT_JUDGED), (1, (2, "verdict", None), None),
        (1, (2, None, "barred"), None), (1, (1, None, None), None), (1, (7, None, None), None),
        (1, RegistryError("no weights"),
         "the last result cannot be judged as it is: no weights"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("recorded", [True, False])
def test_what_nobody_has_recorded_or_judged_is_loose(
    recorded, champion, version, left, monkeypatch
):
    asked = []

    def find_candidate(snapshot, model):
        asked.append((snapshot, model))
        if isinstance(version, RegistryError):
            raise version
        return SimpleNamespace(key="k")

    number, verdict, bar = version if isinstance(version, tuple) else (0, None, None)
    known = SimpleNamespace(number=number, verdict=verdict) if number else None
    standing = SimpleNamespace(
        champion=champion, champions=[7, champion], by_key=lambda key: {"k": known}[key],
        barring=lambda version: bar,
    )  # fmt: skip
    rows = [("prepare", "1"), ("train", "2" if recorded else None), ("report", None)]
    rows = [SimpleNamespace(stage=s, run=r) for s, r in rows[: 2 if recorded else 3]]
    registry = "pasam.registry"
    monkeypatch.setattr(f"{registry}.runs.overview", lambda project: rows)
    monkeypatch.setattr(f"{registry}.versions.known_standing", lambda project: standing)
    monkeypatch.setattr(f"{registry}.snapshot.take_snapshot", lambda project: "as it is")
    monkeypatch.setattr(f"{registry}.version_files.find_candidate", find_candidate)
    monkeypatch.setattr(
        "pasam.config.params_file.load_section", lambda *given: SimpleNamespace(model="own")
    )
    missing = () if recorded else ("2 stages are not recorded, such as train",)
    assert loose_ends() == (*missing, *([left] if left else []))
    assert asked == [("as it is", "own")] * (champion is not None)


def test_dvc_waits_for_another_flow_as_long_as_a_command_may_take(in_empty_folder):
    ours = dvc(2)
    assert (ours.timeout, ours.patience, ours.project) == (7200, 7200, in_empty_folder)


def test_results_and_outputs_are_those_of_the_lock_that_are_there(in_empty_folder):
    stages = {"report": {"cmd": "x", "outs": [{"path": p, "md5": "0"} for p in ("a.md", "b.md")]}}
    Path("dvc.lock").write_text(dump_yaml({"schema": "2.0", "stages": stages}))
    Path("dvc.yaml").write_text("stages: {report: {cmd: x}}\n")
    Path("params.yaml").touch()
    Path("b.md").touch()
    Path("c.md").touch()
    assert results(".md") == [Path("b.md")]
    assert outputs("report") == [Path("b.md")]
    assert outputs("train") == []


def test_neither_git_nor_dvc_looks_at_the_flows_own_folder(root):
    assert f"/{STATE}/" in (root / ".gitignore").read_text().splitlines()
    assert f"{STATE}/" in (root / ".dvcignore").read_text().splitlines()


OWN = "train: {seed: 7}  # my own\n"
MAKE = """
import os, pathlib, sys, time, yaml
name = sys.argv[1]
if name == "train":
    pathlib.Path("started").touch()
    time.sleep(float(os.environ.get("TRAINING_SECONDS", "0")))
seed = yaml.safe_load(open("params.yaml"))["train"]["seed"]
pathlib.Path("out").mkdir(exist_ok=True)
photograph = pathlib.Path("photographs", "a.txt").read_text()
pathlib.Path("out", name + ".md").write_text(f"seed {seed}, input {photograph}")
"""
STAGES = "stages:\n" + "".join(
    f"  {name}:\n    cmd: python make.py {name}\n    deps: [make.py, photographs]\n"
    f"    params: [train]\n    outs: [out/{name}.md]\n"
    for group in GROUPS.values()
    for name in group
)


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    """A committed project whose stages have run, with photographs that git ignores."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params").mkdir()
    for path in (root / "params").glob("*.yaml"):
        (folder / "params" / path.name).write_bytes(path.read_bytes())
    (folder / "params.yaml").write_text(OWN)
    (folder / "make.py").write_text(MAKE)
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / ".gitignore").write_text("/photographs\n/out/*.md\n/.flows/\n/started\n")
    (folder / "photographs").mkdir()
    (folder / "photographs" / "a.txt").write_text("a")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.email", "test@example.org")
    git(folder, "config", "user.name", "Test")
    for command in (["init", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, check=True)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "First")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A clone with its own caches, as the current folder."""
    subprocess.run(["cp", "-r", str(made), str(tmp_path / "project")], check=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def contents(folder):
    """Bytes of all files of a project but git's, DVC's and the flows' own."""
    files = (path for path in folder.rglob("*") if path.is_file())
    parts = {path: path.relative_to(folder).parts for path in files}
    return {
        parts[path]: path.read_bytes()
        for path in parts
        if parts[path][0] not in {".git", ".dvc", ".flows"}
    }


def state(folder):
    """All that a study must leave alone: files, branches, what is staged."""
    return contents(folder), git(folder, "branch", "--all"), git(folder, "status", "--porcelain")


@pytest.mark.long
def test_a_study_has_the_project_as_it_is_at_another_size(project):
    (project / "make.py").write_text(MAKE + "# not committed\n")
    (project / "new.py").write_text("not known to git\n")
    before = state(project)
    folder = lay_out("smoke", 1.0)
    assert folder == project / STUDIES / "smoke"
    assert (folder / "params.yaml").read_text() == compose_text("smoke")
    assert (folder / "make.py").read_text().endswith("# not committed\n")
    assert (folder / "new.py").read_text() == "not known to git\n"
    assert (folder / "photographs" / "a.txt").read_text() == "a"
    assert not (folder / "out" / "train.md").exists(), "results are no inputs"
    cache = folder / ".dvc" / "config.local"
    assert str(project / ".dvc" / "cache") in cache.read_text()
    assert state(project) == before


@pytest.mark.slow  # a study twice
def test_a_study_that_goes_on_sees_what_has_changed_and_keeps_what_it_has_made(project):
    folder = lay_out("smoke", 1.0)
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out" / "train.md").write_text("made by the study")
    (folder / "stray.txt").touch()
    (project / "make.py").write_text("new code")
    assert lay_out("smoke", 1.0) == folder
    assert (folder / "make.py").read_text() == "new code"
    assert (folder / "out" / "train.md").read_text() == "made by the study"
    assert not (folder / "stray.txt").exists()


@pytest.mark.slow  # a study twice
def test_a_start_that_was_cut_short_is_begun_again(project):
    broken = project / STUDIES / "smoke"
    broken.mkdir(parents=True)
    (broken / "half.txt").touch()
    assert (lay_out("smoke", 1.0) / "make.py").read_text() == MAKE
    assert not (broken / "half.txt").exists()


def test_a_study_links_to_what_it_reads_and_git_does_not_hold_and_to_nothing_it_makes(
    in_empty_folder, monkeypatch
):
    listed = {
        ("--exclude-standard",): "new.py\0there.py\0.tool/\0__pycache__/\0",
        ("--ignored", "--exclude-standard"):
            "photographs/\0data/\0models/a.pth\0out/\0kept/b.md\0unread.txt\0.venv/\0",
    }  # fmt: skip

    def in_git(*words):
        assert words[:5] == ("ls-files", "--others", "--directory", "--no-empty-directory", "-z")
        return listed[words[5:]]

    monkeypatch.setattr(studies, "in_git", in_git)
    study = Path("study")
    study.mkdir()
    (study / "there.py").write_text("the study's own")
    (study / "dvc.yaml").write_text("deps: [photographs, data/raw/x.txt, models, out/a.md, kept]")
    (study / "params.yaml").touch()
    for folder, made in ((Path(), "out/a.md"), (study, "kept")):
        stages = {"x": {"cmd": "x", "outs": [{"path": made, "md5": "0"}]}}
        (folder / "dvc.lock").write_text(dump_yaml({"schema": "2.0", "stages": stages}))
    studies._link_inputs(study)
    studies._link_inputs(study)  # a study that goes on has them, wherever they lead by now
    links = {path.relative_to(study).as_posix(): path.resolve()
             for path in study.rglob("*") if path.is_symlink()}  # fmt: skip
    here = in_empty_folder
    names = ("new.py", "photographs", "data", "models/a.pth")
    assert links == {name: here / name for name in names}
    assert (study / "there.py").read_text() == "the study's own"


@pytest.mark.parametrize("again", [False, True])
def test_a_studys_tree_goes_on_at_the_commit_or_is_laid_out_anew(
    again, in_empty_folder, monkeypatch
):
    seen, tree = [], Path("tree").resolve()
    tree.mkdir()
    (tree / "left.txt").touch()
    top = f"{tree}\n" if again else f"{tree.parent}\n"
    monkeypatch.setattr(studies, "call_git", lambda *words: SimpleNamespace(stdout=top.encode()))
    monkeypatch.setattr(studies, "in_git", lambda *words, **how: seen.append((words, how)))
    studies._check_out(tree, "c0ffee")
    assert (tree / "left.txt").exists() is again
    if again:
        assert seen == [
            (("checkout", "--quiet", "--detach", "--force", "c0ffee"), {"folder": tree}),
            (("clean", "--quiet", "-d", "--force"), {"folder": tree}),
        ]
    else:
        [(words, how)] = seen
        assert (words[:2], words[-2:], how) == (("worktree", "add"), (str(tree), "c0ffee"), {})
        assert words.count("--force") == 2


def test_a_study_is_laid_out_at_its_size_with_the_projects_cache(in_empty_folder, monkeypatch):
    seen, tree = [], (STUDIES / "smoke").resolve()
    folder = tree / "part"
    (folder / ".dvc").mkdir(parents=True)
    Path(".dvc").mkdir()
    Path(".dvc/config.local").write_text("private")

    def dvc_in(hours, where=Path()):
        return SimpleNamespace(
            cache_folder=lambda: ("cache of", where, hours),
            share_cache=lambda cache: seen.append(("shared", where, hours, cache)),
        )

    monkeypatch.setattr(studies, "preset_path", lambda size: Path("sizes") / f"{size}.yaml")
    monkeypatch.setattr(studies, "present_commit", lambda: "c0ffee")
    monkeypatch.setattr(studies, "_check_out", lambda *given: seen.append(given))
    monkeypatch.setattr(studies, "in_git", lambda *words: "part/\n")
    monkeypatch.setattr(studies, "dvc", dvc_in)
    monkeypatch.setattr(studies, "write_preset", lambda size, **how: seen.append((size, how)))
    monkeypatch.setattr(studies, "_link_inputs", lambda *given: seen.append(given))
    assert lay_out("smoke", 3.0) == folder
    assert (folder / ".dvc" / "config.local").read_text() == "private"
    assert seen == [
        (tree, "c0ffee"), ("shared", folder, 3.0, ("cache of", Path(), 3.0)),
        ("smoke", {"folder": folder / "sizes", "target": folder / "params.yaml"}), (folder,),
    ]  # fmt: skip


def test_an_unknown_size_makes_nothing(project):
    with pytest.raises(ParamsError, match="there is no preset 'huge'"):
        ablate(size="huge")
    assert not (project / STUDIES).exists()


def test_without_git_it_is_said_what_a_study_needs(root, in_empty_folder):
    (in_empty_folder / "params").symlink_to(root / "params")
    with pytest.raises(DataError, match="a git repository that has a commit"):
        ablate(size="smoke")


@pytest.mark.slow  # twenty commands of DVC
def test_a_killed_study_leaves_nothing_behind_for_a_retraining_and_goes_on(project, root):
    before = state(project)
    command = [sys.executable, "-m", "pipelines.flows", "ablate", "--local", "--size", "smoke"]
    environment = {**os.environ, "PYTHONPATH": str(root), "TRAINING_SECONDS": "60"}
    process = subprocess.Popen(command, cwd=project, env=environment, start_new_session=True)
    started = project / STUDIES / "smoke" / "started"
    deadline = time.monotonic() + 120
    while not started.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    assert state(project) == before
    status = [sys.executable, "-m", "dvc", "status", "--quiet"]
    assert subprocess.run(status, cwd=project, check=False).returncode == 0
    assert ablate(size="smoke").name == "studied"
    kept = project / STATE / "results" / "smoke" / "out" / "report.md"
    seed = load_yaml(compose_text("smoke"))["train"]["seed"]
    assert seed != 7
    assert kept.read_text() == f"seed {seed}, input a"
    assert state(project) == before
    assert not (project / STUDIES / "smoke").exists()
    assert git(project, "worktree", "list").count("\n") == 1
    assert Path("out/report.md").read_text() == "seed 7, input a"


KILLS = int(os.environ.get("PASAM_KILLS", "20"))
"""Kills in all, spread evenly over the time that the study takes."""


def processes_in(folder):
    """Processes whose folder is this one, or in it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            where = Path(process.cwd())
            found += [process.pid] if folder in (where, *where.parents) else []
    return set(found) - {os.getpid()}


@pytest.mark.slow
def test_whenever_a_study_is_killed_nothing_lives_on_and_the_next_one_gives_the_same(
    made, root, tmp_path
):
    temporary = tmp_path / "temporary"
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "pipelines.flows", "ablate", "--local", "--size", "smoke"]
    temporary.mkdir()

    def started(folder):
        subprocess.run(["cp", "-r", str(made), str(folder)], check=True)
        return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)

    def result(folder):
        return (folder / STATE / "results" / "smoke" / "out" / "report.md").read_text()

    began = time.monotonic()
    assert started(tmp_path / "undisturbed").wait(600) == 0
    took, wanted = time.monotonic() - began, result(tmp_path / "undisturbed")
    killed = 0
    for number in range(KILLS):
        own = tmp_path / str(number)
        process = started(own)
        before = state(made)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(took * (number + 0.5) / KILLS)
        killed += process.poll() is None
        process.kill()
        process.wait(30)
        deadline = time.monotonic() + 60
        while processes_in(own):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        shutil.rmtree(own / "reports", ignore_errors=True)  # the page of operations
        assert state(own) == before
        subprocess.run(command, cwd=own, env=environment, check=True, timeout=600)
        assert result(own) == wanted
        shutil.rmtree(own / "reports")
        assert state(own) == before
        assert not (own / STUDIES / "smoke").exists()
        assert git(own, "worktree", "list").count("\n") == 1
        assert list(temporary.iterdir()) == []
        assert not list(own.rglob("*.part"))
        shutil.rmtree(own)
    assert killed >= KILLS // 2


def kept(days, flow="retrain"):
    """An ending some days ago, kept in the file."""
    moment = (endings.now() - datetime.timedelta(days=days)).isoformat(timespec="seconds")
    made = endings.Ending(flow=flow, outcome="promoted", message="so", started=moment, ended=moment)
    endings.keep(made)
    return made


def test_an_ending_of_a_clock_that_was_wrong_keeps_no_run_from_being_due_nor_an_alarm_back(
    in_empty_folder,
):
    first = kept(12)
    kept(-3650)
    assert endings.last("retrain", succeeded=True) == first
    assert missed("retrain", [("0 3 * * 0", "UTC")])
    assert not is_superfluous("retrain", endings.now())
    told = {"alarm": (endings.now() + datetime.timedelta(days=9)).isoformat()}
    operations.TOLD.write_text(json.dumps(told))
    assert operations._told() == {}
    assert operations.watch().name == "alarmed"


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\xff\xfe", b"[]", b"7", b'{"alarm": "x"}'])
def test_what_a_power_cut_has_left_of_small_files_stops_no_alarm(content, in_empty_folder):
    kept(12)
    operations.TOLD.write_bytes(content)
    endings.SERVED.write_bytes(content)
    with endings.ENDINGS.open("ab") as file:
        file.write(content + b"\n")
    assert operations.watch().name == "alarmed"
    assert endings.next_due(endings.now()) is None
