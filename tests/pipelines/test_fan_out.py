"""Stages that do not need each other, in clones of a small DVC project of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from small_world import STAGE, load_yaml

from pasam.errors import DataError, ParamsError, StageError
from pipelines.dvc import Dvc, Graph, read_graph
from pipelines.flows import fan_out as fan_out_flows
from pipelines.flows.fan_out import Apart, Worker, fan_out, run_apart, stage_apart

GRAPH = {"first": (), "left": ("first",), "right": ("first",), "last": ("left", "right")}


def git(*arguments):
    subprocess.run(["git", *arguments], check=True, capture_output=True)


@pytest.fixture
def project(in_empty_folder, monkeypatch):
    """Four stages, a diamond; `RAN` names a file that each run adds a line to."""
    monkeypatch.setenv("LOGGED", "CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("RAN", str(in_empty_folder.with_name("ran")))
    Path(os.environ["RAN"]).unlink(missing_ok=True)
    Path("stage.py").write_text(STAGE)
    stages = "".join(
        f"  {name}:\n    cmd: python stage.py {name} {' '.join(deps)}\n"
        f"    deps: [stage.py, {', '.join(deps)}]\n    outs: [{name}]\n"
        for name, deps in GRAPH.items()
    )
    Path("dvc.yaml").write_text(f"stages:\n{stages}")
    Path(".gitignore").write_text("/.flows/\n/first\n/left\n/right\n/last\n")
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.email", "test@example.org")
    git("config", "user.name", "Test")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    git("add", "--all")
    git("commit", "--quiet", "-m", "begin")
    return in_empty_folder


def runs():
    lines = Path(os.environ["RAN"]).read_text().splitlines()
    return [line.split() for line in lines if len(line.split()) > 3]


def status():
    return Dvc(project=Path(), state=Path(".flows"), on_line=lambda line: None).status()


def test_the_graph_is_read_with_stages_that_stand_alone():
    dot = (
        'strict digraph  {\n"a";\n"train@b";\nc;\n"train@b" -> "evaluate@b-x";\n'
        '"a" -> "train@b";\n}\n'
    )
    graph = read_graph(dot)
    assert graph.needs["evaluate@b-x"] == {"train@b"}
    assert graph.needs["a"] == frozenset()
    assert graph.after({"train@b"}) == {"train@b", "evaluate@b-x"}


def test_a_number_of_workers_that_is_none_is_refused():
    with pytest.raises(ParamsError, match="workers is 0"):
        fan_out(workers=0)


@pytest.fixture
def told(monkeypatch, in_empty_folder):
    """What a flow hands on, with stand-ins; nothing runs."""
    seen = []

    @contextlib.contextmanager
    def alone(self):
        seen.append(("begin", self.patience / 3600))
        yield
        seen.append("end")

    monkeypatch.setattr(Dvc, "alone", alone)
    monkeypatch.setattr(Dvc, "graph", lambda self: Graph({"train@a": frozenset()}))
    for name in ("fetch", "run_groups"):
        monkeypatch.setattr(fan_out_flows, name, lambda *given, name=name: seen.append(given))
    monkeypatch.setattr(fan_out_flows, "run_apart", lambda *given: seen.append(given) or 5)
    return seen


@pytest.mark.parametrize(
    ("given", "count", "gpus"),
    [({}, 2, 0), ({"workers": 3}, 3, 0), ({"gpus": 4}, 4, 4), ({"workers": 3, "gpus": 1}, 1, 1)],
)
def test_as_many_stages_run_at_once_as_there_are_gpus_or_else_workers(given, count, gpus, told):
    found = fan_out(**given, pull=True, hours=2.0)
    assert told == [("begin", 2.0), (2.0,), (count, gpus, 2.0), (2.0,), "end"]
    assert found.message == f"5 stages ran in {count} clones of the project."
    told.clear()
    fan_out(**given)
    assert told == [("begin", 24.0), (count, gpus, 24.0), (24.0,), "end"]


def test_fewer_gpus_than_none_are_refused():
    with pytest.raises(ParamsError, match="gpus -1"):
        fan_out(gpus=-1)


@pytest.mark.parametrize(("clone", "remote"), [("", False), ("elsewhere", True)])
def test_one_stage_runs_in_its_own_clone_until_it_is_done(clone, remote, told, monkeypatch):
    ends = [False, False, True]

    class Noting(Apart):
        @contextlib.contextmanager
        def clones(self, folders, gpus=0):
            told.append((*folders, gpus, self.seconds))
            yield ["worker"]
            told.append("gone")

        def start(self, worker, stage, graph, *, remote=False):
            told.append((worker, stage, remote))

        def wait(self, worker):
            told.append("waited")

        def finish(self, worker, *, remote=False):
            told.append(("finish", remote))
            return ends.pop(0)

    monkeypatch.setattr(fan_out_flows, "Apart", Noting)
    stage_apart(stage="train@a", clone=clone, remote=remote, hours=0.5)
    folder = Path(clone) if clone else Path(".flows/workers/train@a")
    tried = [("worker", "train@a", remote), "waited", ("finish", remote)]
    assert told == [(folder.resolve(), 0, 1800.0), *tried * 3, "gone"]


def test_a_stage_that_there_is_not_is_refused_with_those_there_are(told):
    with pytest.raises(ParamsError, match=r"no stage 'up'. Known stages: \['train@a'\]"):
        stage_apart(stage="up")
    assert told == []


@pytest.mark.parametrize(
    ("unknown", "named"),
    [("dvc.lock\0", None), ("dvc.lock\0n\u00e4w one.py\0x.py\0", "2 files, n\u00e4w one.py")],
)
def test_a_clone_is_made_of_what_git_knows_and_a_first_runs_lock(unknown, named, monkeypatch):
    apart = Apart(SimpleNamespace(project=Path(), state=Path(".flows")), hours=1.0)
    monkeypatch.setattr(fan_out_flows, "in_git", lambda *words, folder: unknown)
    monkeypatch.setattr(fan_out_flows, "present_commit", lambda: "c0ffee")
    if named is None:
        assert apart._commit() == "c0ffee"
        return
    with pytest.raises(DataError, match=f"git does not know {named} for one"):
        apart._commit()


def test_a_record_is_taken_over_beside_those_that_came_while_it_was_made(in_empty_folder):
    record = "  {}:\n    cmd: python {}.py\n"
    before, first, second, meanwhile = (record.format(*[name] * 2) for name in "abcd")
    clone = Path("clone")
    clone.mkdir()
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n{before}{meanwhile}{first}")
    (clone / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n{before}{second}")
    apart = Apart(SimpleNamespace(project=Path(), state=Path(".flows")), hours=1.0)
    apart._take_over(Worker(clone, None, base=f"schema: '2.0'\nstages:\n{before}"))
    assert set(load_yaml(Path("dvc.lock").read_text())["stages"]) == {"a", "b", "c", "d"}


class Clone(Apart):
    """A project of four stages, given out to stand-ins that end at once."""

    def __init__(self, changed, ends=lambda stage: True):
        super().__init__(SimpleNamespace(project=Path(), state=Path(".flows")), hours=1.0)
        self.project.status = lambda: changed
        self.project.graph = lambda: Graph({k: frozenset(v) for k, v in GRAPH.items()})
        self.log, self.ends, self.stopped = [], ends, []

    @contextlib.contextmanager
    def clones(self, folders, gpus=0):
        self.log.append((len(folders), gpus))
        yield [Worker(folder, None) for folder in folders]

    def start(self, worker, stage, graph, *, remote=False):
        worker.stage, worker.process = stage, SimpleNamespace(poll=lambda: 0)
        worker.since = time.monotonic()
        self.log.append(stage)

    def finish(self, worker, *, remote=False):
        return self.ends(worker.stage)

    def _stop(self, worker):
        self.stopped.append(worker.stage)


@pytest.mark.parametrize(
    ("changed", "count", "order"),
    [
        (("first",), 2, [(2, 0), "first", "left", "right", "last"]),
        (("right",), 5, [(2, 0), "right", "last"]),
        (("left", "right"), 1, [(1, 0), "left", "right", "last"]),
        ((), 2, []),
    ],
)
def test_a_stage_is_given_out_once_all_that_it_needs_is_done(
    changed, count, order, in_empty_folder, monkeypatch
):
    monkeypatch.setattr(fan_out_flows, "_PAUSE", 0.0)
    apart = Clone(changed)
    assert apart.run(count, 0) == max(0, len(order) - 1)
    assert apart.log == order


def test_what_is_at_work_is_stopped_when_another_stage_fails(in_empty_folder, monkeypatch):
    monkeypatch.setattr(fan_out_flows, "_PAUSE", 0.0)

    def ends(stage):
        if stage == "left":
            raise StageError("left failed")
        return True

    apart = Clone(("left", "right"), ends)
    with pytest.raises(StageError, match="left failed"):
        apart.run(2, 2)
    assert apart.log == [(2, 2), "left", "right"]
    assert apart.stopped == ["right"]
    with pytest.raises(DataError, match=r"a\.dvc: the files differ"):
        Clone(("left", "a.dvc")).run(1, 0)


def test_a_stage_that_takes_too_long_is_stopped_and_said(in_empty_folder):
    apart = Clone(("left",))
    late = Worker(Path(), None, "left", SimpleNamespace(), Path("its.log"))
    late.since = time.monotonic() - 3599
    apart._end_late_ones([late])
    late.since -= 2
    with pytest.raises(StageError, match="left took longer than 1 h") as ended:
        apart._end_late_ones([late])
    assert (ended.value.exit_code, apart.stopped) == (143, ["left"])


@pytest.fixture
def apart(in_empty_folder, monkeypatch):
    """A project whose git and DVC only note what they are asked for."""
    seen = []
    made = Apart(
        SimpleNamespace(
            project=Path(), state=Path(".flows"), environment=lambda: {"OWN": "1"},
            cache_folder=lambda: Path("cache"),
        ),
        hours=1.0,
    )  # fmt: skip

    def in_git(*words, folder):
        assert folder == in_empty_folder
        seen.append(("git", *words))
        return "data/my own.dvc\0" if words[:2] == ("ls-files", "-z") else ""

    monkeypatch.setattr(fan_out_flows, "in_git", in_git)
    monkeypatch.setattr(made, "_dvc", lambda *words: seen.append(words))
    monkeypatch.setattr(made, "_commit", lambda: "c0ffee")
    monkeypatch.setattr(fan_out_flows, "guarded", lambda pid, grace: contextlib.nullcontext())
    made.seen = seen
    return made


@pytest.mark.parametrize(
    ("gpu", "remote", "how"), [(None, False, "checkout"), (0, True, "pull"), (3, False, "checkout")]
)
def test_a_stage_begins_in_its_clone_with_all_that_it_needs(gpu, remote, how, apart, monkeypatch):
    started, clone = [], Path("clone").resolve()
    (clone / ".dvc" / "tmp").mkdir(parents=True)
    (clone / ".dvc" / "tmp" / "rwlock").touch()
    Path("dvc.lock").write_text("as it is now")

    def start(command, **given):
        started.append((command, given))
        return SimpleNamespace(pid=5)

    monkeypatch.setattr(fan_out_flows.subprocess, "Popen", start)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    graph = Graph({"train@a": frozenset({"validate", "embed"})})
    worker = Worker(clone, gpu)
    for count in (1, 2):
        apart.start(worker, "train@a", graph, remote=remote)
        assert apart.tries == {"train@a": count}
    ((command, given), _) = started
    assert command[1:] == ["-m", "dvc", "repro", "--single-item", "train@a"]
    assert given["cwd"] == clone
    visible = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)}
    assert given["env"] == {"OWN": "1", **visible}
    assert given["start_new_session"] is True
    assert (worker.stage, worker.base) == ("train@a", "as it is now")
    assert (clone / "dvc.lock").read_text() == "as it is now"
    assert not (clone / ".dvc" / "tmp" / "rwlock").exists()
    assert worker.log == Path(".flows/logs/fan_out-train@a.log")
    assert time.monotonic() - worker.since < 60
    wanted = ["embed", "validate", "data/my own.dvc"]
    assert (clone, how, "--quiet", "--force", "--allow-missing", *wanted) in apart.seen


def test_a_stage_that_is_waited_for_is_stopped_when_the_wait_is_interrupted(apart, monkeypatch):
    polled, stopped = iter([None, None, 0]), []
    worker = Worker(Path("clone"), None, "left", SimpleNamespace(poll=lambda: next(polled)))
    worker.since = time.monotonic()
    monkeypatch.setattr(apart, "_stop", stopped.append)
    monkeypatch.setattr(fan_out_flows, "_PAUSE", 0.0)
    apart.wait(worker)
    assert stopped == []
    worker.process = SimpleNamespace(poll=lambda: None)
    monkeypatch.setattr(
        apart, "_end_late_ones", lambda busy: (_ for _ in ()).throw(InterruptedError)
    )
    with pytest.raises(InterruptedError):
        apart.wait(worker)
    assert stopped == [worker]


def test_a_stopped_worker_is_ended_with_its_group_and_its_guard_goes_once(apart, monkeypatch):
    seen, process = [], SimpleNamespace()
    worker = Worker(Path("clone"), None, "left", process)
    worker.guards.callback(seen.append, "guard gone")
    monkeypatch.setattr(fan_out_flows, "end_group", lambda *given: seen.append(given))
    for _ in range(2):
        apart._stop(worker)
    assert seen == [(process, fan_out_flows.GRACE), "guard gone"]
    assert worker.process is None


@pytest.mark.parametrize("remote", [False, True])
def test_what_a_stage_made_is_pushed_where_asked_and_only_then_taken_over(
    remote, apart, monkeypatch
):
    log = Path("log")
    log.write_text("words")
    monkeypatch.setattr(apart, "_stop", lambda worker: apart.seen.append("stopped"))
    monkeypatch.setattr(apart, "_take_over", lambda worker: apart.seen.append("taken over"))
    worker = Worker(Path("clone"), None, "left", SimpleNamespace(returncode=0), log)
    assert apart.finish(worker, remote=remote)
    pushed = [(Path("clone"), "push", "--quiet", "--run-cache", "left")] * remote
    assert apart.seen == ["stopped", *pushed, "taken over"]


@pytest.mark.parametrize(
    ("code", "said", "again"),
    [
        (255, "exited with 75", True), (-9, "", True), (137, "", True),
        (255, "exited with 75\nexited with 2", False), (255, "exited with 3", False),
    ],
)  # fmt: skip
def test_a_stage_is_given_out_again_after_a_kill_or_a_passing_fault_alone(
    code, said, again, apart, monkeypatch
):
    log = Path("log")
    log.write_text(said)
    monkeypatch.setattr(apart, "_stop", lambda worker: None)
    monkeypatch.setattr(apart, "_take_over", lambda worker: pytest.fail("it made nothing"))
    apart.tries["left"] = 1
    worker = Worker(Path("clone"), None, "left", SimpleNamespace(returncode=code), log)
    if again:
        assert not apart.finish(worker)
        return
    with pytest.raises(StageError):
        apart.finish(worker)


@pytest.mark.parametrize("gpus", [0, 2])
def test_clones_are_of_the_present_tree_with_its_cache_and_are_gone_however_it_ends(
    gpus, apart, monkeypatch
):
    root = Path.cwd()
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config.local").write_text("private")
    (root / fan_out_flows.UNTRACKED[0]).mkdir(parents=True)
    folders = [root / ".flows" / "workers" / str(number) for number in (0, 1)]
    for folder in folders:
        (folder / ".dvc").mkdir(parents=True)
        (folder / "stale").touch()
    git = fan_out_flows.in_git

    def cloning(*words, folder):
        git(*words, folder=folder)
        if words[0] == "clone":
            (Path(words[-1]) / ".dvc").mkdir(parents=True)
        return ""

    monkeypatch.setattr(fan_out_flows, "in_git", cloning)
    with pytest.raises(KeyboardInterrupt), apart.clones(folders, gpus) as made:  # noqa: PT012
        assert [worker.folder for worker in made] == folders
        assert [worker.gpu for worker in made] == ([0, 1] if gpus else [None, None])
        for folder in folders:
            assert not (folder / "stale").exists()
            assert (folder / ".dvc" / "config.local").read_text() == "private"
            link = folder / fan_out_flows.UNTRACKED[0]
            assert link.resolve() == root / fan_out_flows.UNTRACKED[0]
            assert not (folder / fan_out_flows.UNTRACKED[1]).is_symlink()
        raise KeyboardInterrupt
    for folder in folders:
        assert ("git", "-C", str(folder), "checkout", "--quiet", "--detach", "c0ffee") in apart.seen
        assert (folder, "config", "--local", "cache.dir", str(root / "cache")) in apart.seen
        assert not folder.exists()
    assert not (root / ".flows" / "workers").exists()
    assert (root / fan_out_flows.UNTRACKED[0]).is_dir()


@pytest.mark.slow
def test_each_stage_runs_once_apart_and_repro_then_restores_all_and_runs_nothing(
    project, monkeypatch
):
    monkeypatch.setenv("SECONDS_EACH", "6")
    Path("stage.py").write_text(STAGE + "# not committed\n")
    assert run_apart(2, 0, 1.0) == 4
    ran = runs()
    assert sorted(name for name, *_ in ran) == sorted(GRAPH)
    spans = {name: (float(start), float(end)) for name, _, start, end in ran}
    assert max(spans["left"][0], spans["right"][0]) < min(spans["left"][1], spans["right"][1])
    before = Path("dvc.lock").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], capture_output=True, text=True, check=True
    )
    assert "Running stage" not in done.stdout
    assert Path("last").read_text() == "last(left(first())right(first()))"
    assert Path("dvc.lock").read_bytes() == before
    assert len(runs()) == 4
    assert status() == ()
    assert not Path(".flows/workers").exists()
    sequential = project.with_name("sequential")
    subprocess.run(["git", "clone", "--quiet", ".", str(sequential)], check=True)
    (sequential / "stage.py").write_text(STAGE + "# not committed\n")
    monkeypatch.setenv("SECONDS_EACH", "0")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=sequential, check=True)
    assert sorted((sequential / "dvc.lock").read_text().splitlines()) == sorted(
        before.decode().splitlines()
    )


@pytest.mark.slow
def test_a_stage_of_a_killed_worker_is_given_out_again_and_each_sees_one_gpu(project, monkeypatch):
    monkeypatch.setenv("SECONDS_EACH", "4")
    killed = []

    def kill():
        while len(killed) < 3:
            time.sleep(0.5)
            for process in psutil.process_iter(["cmdline"]):
                words = process.info["cmdline"] or []
                with contextlib.suppress(psutil.Error):  # it has just ended
                    if words[1:2] == ["stage.py"] and str(project) in process.cwd():
                        process.kill()
                        killed.append(words[2])
                        break

    thread = threading.Thread(target=kill)
    thread.start()
    assert run_apart(2, 2, 1.0) == 4
    thread.join()
    assert len(killed) == 3
    assert {gpu for _, gpu, *_ in runs()} == {"0", "1"}
    assert status() == ("first", "last", "left", "right")  # nothing is checked out yet
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    assert Path("last").read_text() == "last(left(first())right(first()))"


def test_a_stage_whose_worker_is_killed_each_time_is_given_out_again_ten_times(tmp_path):
    apart = Apart(Dvc(project=tmp_path, state=tmp_path, on_line=lambda line: None), hours=1.0)
    ended = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(1)"])
    ended.wait()
    log = tmp_path / "log"
    log.write_text("ERROR: failed to reproduce 'left': failed to run: x, exited with -9\n")
    for given in range(1, 11):
        apart.tries["left"] = given  # counted where it is given out
        assert not apart.finish(Worker(tmp_path, None, "left", ended, log))
    apart.tries["left"] = 11
    with pytest.raises(StageError, match="stage left failed: exit code -9"):
        apart.finish(Worker(tmp_path, None, "left", ended, log))


@pytest.mark.slow
def test_a_stage_that_fails_ends_the_flow_with_its_lines_and_no_process_is_left(
    project, monkeypatch
):
    monkeypatch.setenv("BROKEN", "left")
    with pytest.raises(StageError, match="stage left failed: the configuration or the data"):
        run_apart(2, 0, 1.0)
    here = [p for p in psutil.process_iter(["cmdline"]) if "stage.py" in (p.info["cmdline"] or [])]
    assert [p for p in here if str(project) in p.cwd()] == []


@pytest.mark.slow
def test_stages_given_out_by_somebody_else_are_restored_too(project, root, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(root))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", "first"], check=True)
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", "pipelines.flows", "stage_apart", "--local", "--stage", stage]
        )
        for stage in ("left", "right")
    ]
    assert [job.wait() for job in jobs] == [0, 0]
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    assert sorted(name for name, *_ in runs()) == sorted(GRAPH)
    assert Path("last").read_text() == "last(left(first())right(first()))"
    with pytest.raises(ParamsError, match="no stage 'up'"):
        stage_apart(stage="up")


@pytest.mark.slow
def test_files_that_a_clone_would_lack_are_named(project):
    Path("new.py").write_text("")
    with pytest.raises(DataError, match=r"new\.py"):
        run_apart(2, 0, 1.0)


def smoke_clone(root, folder, monkeypatch):
    """A clone of the project at smoke size with nothing run."""
    subprocess.run(["git", "clone", "--quiet", str(root), str(folder)], check=True)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    use = "from pasam.cli.app import app; app(['params', 'use', 'smoke'])"
    subprocess.run([sys.executable, "-c", use], cwd=folder, check=True, stdout=sys.stderr)
    (folder / "dvc.lock").unlink()


def results_of(folder):
    """What a run recorded: params, digests of all that was read and made. An ordinary run is next,
    which has nothing to do."""
    stages = load_yaml((folder / "dvc.lock").read_text())["stages"]
    again = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=folder, check=True, text=True,
        capture_output=True,
    )  # fmt: skip
    assert "Running stage" not in again.stdout
    return stages


def kill_workers(folder, count, over):
    """Kill workers of different stages, with -9, until so many are dead or all is over."""
    killed = []
    while len(killed) < count and not over.wait(1.5):
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            with contextlib.suppress(psutil.Error):  # it has just ended
                is_worker = "--single-item" in words and str(folder) in process.cwd()
                if is_worker and killed.count(words[-1]) < 2:
                    process.kill()
                    killed.append(words[-1])
                    break
    return killed


@pytest.mark.slow
def test_the_smoke_run_apart_equals_the_sequential_one_byte_for_byte_and_survives_ten_kills(
    root, tmp_path, monkeypatch
):
    locks, seconds, killed = {}, {}, []
    for name, command in (
        ("sequential", ("-m", "dvc", "repro", "--quiet")),
        ("killed", ("-m", "pipelines.flows", "fan_out", "--local", "--workers", "4")),
    ):
        folder = tmp_path / name
        smoke_clone(root, folder, monkeypatch)
        over, began = threading.Event(), time.monotonic()
        job = subprocess.Popen([sys.executable, *command], cwd=folder)
        if name == "killed":
            killer = threading.Thread(
                target=lambda folder=folder, over=over: killed.extend(
                    kill_workers(folder, 10, over)
                )
            )
            killer.start()
        assert job.wait() == 0, name
        if name == "killed":
            over.set()
            killer.join()
        seconds[name] = round(time.monotonic() - began)
        locks[name] = results_of(folder)
    logging.getLogger(__name__).warning("seconds: %s", seconds)
    assert len(killed) == 10, killed
    assert len(set(killed)) >= 5
    assert locks["killed"] == locks["sequential"]
