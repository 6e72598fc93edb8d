"""Two clones that decide at once come to one order, whoever wins."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from tracked_world import KEPT, git, leave_servers, place_store

from pasam.errors import BusyError, PasamError, RegistryError, TrackingError
from pasam.files import sha256_of
from pasam.registry import decision_log, transitions
from pasam.registry.decision_log import (
    PROMOTED,
    DecisionLog,
    Entry,
    OutrunError,
    Standing,
    standing_of,
)
from pasam.registry.runs import sync
from pasam.registry.store import open_store, wrap_mlflow_errors
from pasam.registry.transitions import Draft, lift, open_decisions, reject, rollback
from pasam.registry.upkeep.cleaning import removable
from pasam.registry.upkeep.first_registries import _first_scores
from pasam.registry.versions import NAME, open_registry

VERSIONS = 6
RACES = int(os.environ.get("PASAM_RACES", "20"))
"""Pairs of decisions of the slow test; 200 take half an hour."""


def promote_unjudged(project, number):
    """Decide as `promote` does, with no model to load: what is barred or in use stays as it is."""
    decisions = open_decisions(project)

    def draft(standing):
        if number == standing.champion or standing.versions[number].key in standing.barred:
            return Draft()
        details = {"met": standing.champion}
        entry = decisions.entry(PROMOTED, number, "better", after=number, details=details)
        return Draft(entries=(entry,))

    return len(decisions.decide(draft))


def act(project, action, number):
    if action == "promote":
        return promote_unjudged(project, number)
    if action == "sync":
        sync(project)
        return 0
    if action == "rollback":
        rollback(project, why="worse")
    else:
        {"reject": reject, "lift": lift}[action](project, number, why="seen")
    return 1


def work(project, tracking, actions, barrier, results):
    """Do one action after the other, each together with the other clone."""
    os.environ["MLFLOW_TRACKING_URI"] = tracking
    os.environ["TMPDIR"] = str(project.parent)
    tempfile.tempdir = None  # each has a folder for temporary files of its own
    for action, number in actions:
        barrier.wait(120)
        try:
            results.put(("done", act(project, action, number)))
        except PasamError as error:
            results.put((type(error).__name__, str(error)))
        except BaseException as error:  # noqa: BLE001  (a raw error is what must not be)
            results.put(("raw", repr(error)))
        barrier.wait(120)


PAIRS = [
    (("promote", 3), ("promote", 4)), (("rollback", 0), ("promote", 5)),
    (("reject", 6), ("promote", 6)), (("lift", 6), ("promote", 2)),
    (("rollback", 0), ("rollback", 0)), (("promote", 1), ("promote", 1)),
    (("reject", 3), ("lift", 3)), (("sync", 0), ("sync", 0)), (("sync", 0), ("promote", 4)),
    # What was rolled back stays out until it is lifted: else the later ones would decide nothing.
    (("lift", 2), ("lift", 4)), (("lift", 1), ("lift", 5)),
]  # fmt: skip


def fill(project):
    """Make versions in MLflow, of which the first is champion, and let the log take them over."""
    registry = open_registry(project)
    for number in range(1, VERSIONS + 1):
        run = registry.client.create_run(registry.store.experiment_id).info
        registry.client.create_model_version(
            NAME, f"{run.artifact_uri}/gone", run_id=run.run_id, tags={"pasam.key": f"k{number}"}
        )
    registry.set_alias("champion", 1)
    open_decisions(project)


@pytest.fixture
def clones(tmp_path, mlflow_tables, monkeypatch):
    """Two clones of one remote, and MLflow's records that both use."""
    leave_servers(monkeypatch)
    git(tmp_path, "init", "--quiet", "--bare", "shared.git")
    one, two = tmp_path / "one" / "clone", tmp_path / "two" / "clone"
    for place in (one, two):
        place.parent.mkdir()
        git(tmp_path, "clone", "--quiet", "shared.git", str(place))
    place_store(mlflow_tables, one)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{one}/mlruns/mlflow.db")
    fill(one)
    return one, two


def race(clones, pairs):
    """Let both clones act at once, pair by pair; return what became of each action."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    tracking = os.environ["MLFLOW_TRACKING_URI"]
    children = [
        context.Process(
            target=work,
            args=(clone, tracking, [pair[i] for pair in pairs], barrier, results),
        )
        for i, clone in enumerate(clones)
    ]
    for child in children:
        child.start()
    found = [results.get(timeout=300) for _ in range(2 * len(pairs))]
    for child in children:
        child.join()
    return found


def check_one_order(clones, outcomes):
    """No raw error; every entry once, on the champion that there then was; MLflow shows the end."""
    assert [each for each in outcomes if each[0] == "raw"] == []
    assert {kind for kind, _ in outcomes} <= {"done", "BusyError", "RegistryError"}, outcomes
    entries = DecisionLog(clones[0]).read()
    assert DecisionLog(clones[1]).read() == entries
    made = [entry for entry in entries if entry.event != "import"]
    assert len(made) == sum(count for kind, count in outcomes if kind == "done")
    assert len({entry.digest for entry in entries}) == len(entries)
    standing = standing_of(entries)  # which refuses what contradicts the entries before
    for entry in made:
        if entry.event == PROMOTED:
            assert entry.details["met"] == entry.before
    registry = open_registry(clones[0])
    open_decisions(clones[1])
    assert registry.aliases() == standing.aliases
    return made


@pytest.mark.slow  # two processes; of two machines one wins: test_decision_log
def test_two_clones_that_decide_at_once_come_to_one_order(clones):
    outcomes = race(clones, PAIRS[:2])
    made = check_one_order(clones, outcomes)
    assert len(made) >= 3


@contextlib.contextmanager
def mlflow_server(backend, folder):
    """Run MLflow's own server on a backend; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1",
        "--port", address.rpartition(":")[2], "--backend-store-uri", backend,
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=quiet, cwd=folder)
    try:
        deadline = time.monotonic() + 300
        while not answers(f"{address}/health"):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def answers(address):
    try:
        return urllib3.request("GET", address, timeout=5.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@contextlib.contextmanager
def postgresql():
    """Run PostgreSQL in a folder of its own; give its address."""
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        Path(folder).chmod(0o777)
        data = f"{folder}/data"
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        run = [*as_postgres, "pg_ctl", "-D", data, "-l", f"{folder}/log"]
        subprocess.run(
            [*as_postgres, "initdb", "-D", data, "-A", "trust", "-U", "tests"],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        subprocess.run(
            [*run, "-o", options, "-w", "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder
        )
        try:
            yield f"postgresql://tests@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run(
                [*run, "-m", "fast", "-w", "stop"],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=folder,
            )


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_server(request, tmp_path):
    """MLflow's server on a database."""
    if request.param == "sqlite":
        with mlflow_server(f"sqlite:///{tmp_path}/server.db", tmp_path) as address:
            yield address
        return
    if shutil.which("initdb") is None or find_spec("psycopg2") is None:
        pytest.skip("PostgreSQL or psycopg2 is not installed")
    with postgresql() as backend, mlflow_server(backend, tmp_path) as address:
        yield address


@pytest.fixture
def working_clones(tracked, shared_server, tmp_path, monkeypatch):
    """Two clones of a project with results, their own folders for temporary files, one server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared_server)
    remote = tracked.folder.parent / f"{tracked.folder.name}.git"
    one, two = tmp_path / "one" / "clone", tmp_path / "two" / "clone"
    for place in (one, two):
        shutil.copytree(tracked.folder, place)
        git(place, "remote", "set-url", "origin", str(remote))
    fill(one)
    return one, two


@pytest.mark.slow
def test_many_pairs_of_decisions_at_once_come_to_one_order(working_clones):
    pairs = list(itertools.islice(itertools.cycle(PAIRS), RACES))
    made = check_one_order(working_clones, race(working_clones, pairs))
    assert len(made) >= RACES // 2  # the others were refused: barred, in use, or another champion
    store = open_store(working_clones[0])
    every = store.client.search_runs([store.experiment_id])
    runs = [run for run in every if "dvc.stage" in run.data.tags]
    stages = Counter(run.data.tags["dvc.stage"] for run in runs)
    assert stages == dict.fromkeys(KEPT, 1)  # nothing was recorded twice
    assert {run.info.status for run in runs} == {"FINISHED"}


class Log:
    """A log that others write to, too: so many times that this one is outrun."""

    def __init__(self, outrun=0, grows=0):
        self.outrun, self.grows, self.read_, self.kept = outrun, grows, 0, []
        self.entries, self.tip = (), "tip 0"

    def read(self):
        self.read_ += 1
        if self.read_ <= self.grows:
            self.tip = f"tip {self.read_}"
        return self.entries

    def append(self, entries, evidence):
        self.outrun -= 1
        if self.outrun >= 0:
            raise OutrunError("another was quicker")
        self.kept.append((entries, evidence))
        self.entries = (*self.entries, *entries)
        return tuple(entries)


def deciding(log, monkeypatch, *, writes=(), shows=None):
    """A registry that shows decisions, to which others write as often as it is said."""
    registry = SimpleNamespace(
        writes=0, log_mark=lambda: "", versions=list,
        store=SimpleNamespace(registry_uri="sqlite:///x"),
    )  # fmt: skip
    shown, foreign = [], list(writes)

    def show(registry, log, standing):
        shown.append((log.tip, standing.champion))
        registry.writes += foreign.pop(0) if foreign else 0
        if shows:
            shows(len(shown))
        return [f"shown {len(shown)}"]

    monkeypatch.setattr(transitions, "show", show)
    monkeypatch.setattr(transitions.time, "sleep", lambda seconds: None)
    return transitions.Decisions(registry, log), shown


BEGIN = Entry(event="register", version=1, details={"key": "k"})


@pytest.mark.parametrize(("outrun", "grows", "said"), [
    (0, 0, ""), (2, 1, ""), (19, 1, ""), (20, 1, "others decided 20"), (20, 0, "nobody else has"),
])  # fmt: skip
def test_a_decision_is_thought_over_as_often_as_others_are_quicker_and_then_given_up(
    outrun, grows, said, monkeypatch
):
    decisions, shown = deciding(Log(outrun, grows), monkeypatch)
    thought = []

    def draft(standing):
        thought.append(standing)
        return Draft(entries=(BEGIN,), evidence={"d": b"e"})

    if said:
        with pytest.raises(BusyError, match=said):
            decisions.decide(draft)
        assert (decisions.log.kept, shown) == ([], [])
    else:
        assert decisions.decide(draft) == (BEGIN,)
        assert decisions.log.kept == [((BEGIN,), {"d": b"e"})]
        assert set(decisions.standing.versions) == {1}
        assert decisions.notes == [], "what this very decision has moved is no news"
    assert (len(thought), decisions.log.read_) == (min(outrun + 1, 20), outrun)
    assert decisions.decide(lambda standing: Draft()) == ()


@pytest.mark.parametrize(
    ("writes", "grows", "tips"),
    [
        ([0], 0, ["tip 0"]), ([2], 0, ["tip 0"]), ([1, 0], 1, ["tip 0", "tip 1"]),
        ([1, 1, 1], 2, ["tip 0", "tip 1", "tip 2"]),
    ],
)  # fmt: skip
def test_what_was_decided_is_shown_again_where_others_have_decided_and_written_meanwhile(
    writes, grows, tips, monkeypatch
):
    decisions, shown = deciding(Log(grows=grows), monkeypatch, writes=writes)
    decisions.log.entries = (BEGIN,)
    decisions.show()
    assert [tip for tip, _ in shown] == tips
    assert decisions.notes == [f"shown {n}" for n in range(1, len(tips) + 1)]
    assert set(decisions.standing.versions) == ({1} if grows else set())


GONE = partial(MlflowException, error_code=RESOURCE_DOES_NOT_EXIST)
TOLD = [(3, TrackingError, 4), (4, TrackingError, 4), (1, RegistryError, 1), (1, GONE, 1)]


@pytest.mark.parametrize(("failures", "error", "turns"), TOLD)
def test_mlflow_is_tried_four_times_and_then_the_decision_stands_all_the_same(
    failures, error, turns, monkeypatch
):
    def shows(turn):
        if turn <= failures:
            raise error("MLflow is away.")

    decisions, shown = deciding(Log(), monkeypatch, shows=shows)
    assert decisions.decide(lambda standing: Draft(entries=(BEGIN,))) == (BEGIN,)
    assert len(shown) == turns
    assert bool(decisions.notes) is (failures != 3)
    assert all("stands in the log, but MLflow does not show it yet" in n for n in decisions.notes)


def test_an_entry_is_drafted_on_the_champion_and_the_gate_of_now(monkeypatch):
    decisions, _ = deciding(Log(), monkeypatch)
    first = decisions.entry("register", 1, "new", files={"f": "1"})
    assert (first.before, first.after, first.gate, first.files) == (None, None, "", {"f": "1"})
    decisions.standing.champions.append(5)
    decisions.standing.gate = Entry(event="gate", gate="g1")
    kept, moved = decisions.entry("reject", 1, "b\udcffd"), decisions.entry("promote", 1, after=1)
    assert (kept.before, kept.after, kept.gate, kept.why) == (5, 5, "g1", "b\\udcffd")
    assert (moved.before, moved.after, moved.why) == (5, 1, "")
    assert decisions.entry("gate", None, gate="g2").gate == "g2"


def test_evidence_is_believed_only_if_it_is_what_its_name_says(tmp_path, monkeypatch):
    git(tmp_path, "init", "--quiet")
    log, digest = DecisionLog(tmp_path), sha256_of(b"table")
    for content in (b"table", b"other"):
        monkeypatch.setattr(
            decision_log, "call_git",
            lambda *given, content=content: SimpleNamespace(returncode=0, stdout=content),
        )  # fmt: skip
        if content == b"table":
            assert log.evidence(digest) == b"table"
            continue
        with pytest.raises(RegistryError, match="is not in the log of decisions"):
            log.evidence(digest)


@pytest.mark.parametrize(
    ("says", "signed"), [
        (None, False), ("false", False), ("0", False), ("off", False), ("", False), ("true", True),
        ("1", True), ("yes", True), ("on", True),
    ],
)  # fmt: skip
def test_a_decision_is_signed_where_git_is_told_to_sign_and_nowhere_else(
    says, signed, tmp_path, monkeypatch
):
    git(tmp_path, "init", "--quiet")
    log, called = DecisionLog(tmp_path), []
    log._settings = {} if says is None else {"commit.gpgsign": says}
    monkeypatch.setattr(log, "_blobs", lambda contents: ["b" * 40] * len(contents))
    monkeypatch.setattr(log, "_git", lambda *words, **how: called.append(words) or "made\n")
    entries = [Entry(event="gate", number=n, by={"who": "ada <a@b>"}) for n in (1, 2)]
    assert log._commit(entries, {}) == "made"
    last = ("-S",) if signed else ()
    assert [words for words in called if words[0] == "commit-tree"] == [
        ("commit-tree", "made", *last), ("commit-tree", "made", "-p", "made", *last)
    ]  # fmt: skip


def test_a_decision_says_what_was_mended_before_it_and_not_what_it_has_moved_itself(monkeypatch):
    decisions, shown = deciding(Log(), monkeypatch)
    decisions.notes.append("taken over")
    decisions.show()
    assert decisions.decide(lambda standing: Draft(entries=(BEGIN,))) == (BEGIN,)
    assert len(shown) == 2
    assert decisions.notes == ["taken over", "shown 1"]


RACE = "another machine wrote the same at the same time"


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        ("BAD_REQUEST", "(psycopg2.errors.UniqueViolation) duplicate key value", RACE),
        ("BAD_REQUEST", "(sqlite3.IntegrityError) UNIQUE constraint failed: tags", RACE),
        ("INVALID_PARAMETER_VALUE", "could not serialize access", RACE),
        ("INTERNAL_ERROR", "out of memory", "out of memory"), ("BAD_REQUEST", "no such tag", None),
    ],
)  # fmt: skip
def test_two_that_write_one_row_at_once_are_a_fault_that_passes_whatever_mlflow_calls_it(
    code, words, told
):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    error = MlflowException(words, ErrorCode.Value(code))
    with (
        pytest.raises(TrackingError if told else MlflowException, match=told or words),
        wrap_mlflow_errors("postgresql://db/mlflow"),
    ):
        raise error


def test_a_log_begun_apart_from_the_remotes_is_told_and_stays_as_it_is(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare", "shared.git")
    for name in ("ours", "theirs"):
        git(tmp_path, "init", "--quiet", name)
    ours, theirs = (DecisionLog(tmp_path / name) for name in ("ours", "theirs"))
    for log, key in ((ours, "a"), (theirs, "b")):
        log.read()
        log.append([Entry(event="register", version=1, details={"key": key})])
        git(log.project, "remote", "add", "origin", "../shared.git")
    theirs = DecisionLog(theirs.project)
    theirs.read()
    for number in (2, 3):  # twice without a look between
        theirs.append([Entry(event="register", version=number, details={"key": f"b{number}"})])
    with pytest.raises(RegistryError, match="were begun apart"):
        DecisionLog(ours.project).read()
    assert DecisionLog(ours.project).read(shared=False) == ours.entries


def test_a_branch_that_was_moved_by_hand_in_a_clone_is_told_or_brought_back(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare", "shared.git")
    git(tmp_path, "clone", "--quiet", "shared.git", "one")
    log = DecisionLog(tmp_path / "one")
    log.read()
    entries = log.append([BEGIN])
    git(log.project, "update-ref", "-d", decision_log.REF)
    assert DecisionLog(log.project).read() == entries
    assert DecisionLog(log.project).read(shared=False) == entries
    git(log.project, "config", "user.name", "Eve")
    git(log.project, "config", "user.email", "eve@example.org")
    tree = git(log.project, "rev-parse", f"{log.tip}^{{tree}}").strip()
    moved = git(log.project, "commit-tree", tree, "-p", log.tip, "-m", "more").strip()
    git(log.project, "update-ref", decision_log.REF, moved)
    with pytest.raises(RegistryError, match="does not continue the one that this clone knows"):
        DecisionLog(log.project).read()


def following(*entries):
    """What follows from entries, numbered from 1."""
    return standing_of(replace(entry, number=n) for n, entry in enumerate(entries, start=1))


def about(event, version, *, champion=None, why="", **details):
    """An entry that leaves the champion as it is."""
    return Entry(
        event=event, version=version, before=champion, after=champion, why=why, details=details
    )


def test_what_was_said_of_a_version_last_is_what_it_is_said_to_be_for():
    made = [about("register", n, key=f"k{n}", why=f"made {n}") for n in (1, 2)]
    silent = about("stage", 1, moved=False)
    assert following(*made, silent).versions[1].why == "made 1", "nothing was said since"
    told = following(*made, about("reject", 1, why="halos"), about("reject", 1, why="noise"))
    assert told.versions[1].why == "noise"
    assert (told.barred["k1"].number, told.barred["k1"].why) == (4, "noise")
    lifted = following(*made, about("reject", 1, why="halos"), about("lift", 1, why="mended"))
    assert (lifted.versions[1].why, lifted.versions[1].status) == ("mended", "registered")
    waits = following(*made, about("verdict", 2, accepted=True), about("stage", 2, moved=True))
    assert (waits.candidate, waits.staging) == (2, 2), "accepted, and not in use yet"
    assert following(*made, about("verdict", 2, accepted=False)).candidate is None
    assert following(*made, about("verdict", 1, accepted=False)).candidate == 2


def test_a_champion_of_before_that_is_registered_again_and_promoted_waits_for_nothing_more():
    one, two = (about("register", n, champion=n - 1 or None, key=f"k{n}") for n in (1, 2))
    first = Entry(event="promote", version=1, after=1)
    second = Entry(event="promote", version=2, before=1, after=2)
    again = about("register", 1, champion=2, key="k1")
    assert following(one, first, two, second, again).candidate == 1
    back = Entry(event="promote", version=1, before=2, after=1)
    standing = following(one, first, two, second, again, back)
    assert standing.aliases == {"champion": 1, "previous": 2}


def test_files_that_were_removed_are_gone_until_the_version_is_registered_again():
    made = [about("register", n, key=f"k{n}") for n in (1, 2)]
    gone = [*made, about("remove", 1)]
    for more in (about("claim", 1, set="s"), about("reject", 1), about("stage", 1, moved=False)):
        standing = following(*gone, more)
        assert {n: each.removed for n, each in standing.versions.items()} == {1: True, 2: False}
        assert [entry.event for entry in standing.claims] == ["claim"] * (more.event == "claim")
        assert [entry.number for entry in standing.versions[1].entries] == [1, 3, 4]
    assert not following(*gone, about("register", 1, key="k1")).versions[1].removed
    assert not following(*gone, about("register", 3, key="k1", replaces=1)).versions[3].removed


def test_no_version_goes_that_is_in_use_was_champion_or_is_among_the_newest():
    versions = following(*(about("register", n, key=f"k{n}") for n in range(1, 10))).versions
    versions[8] = replace(versions[8], removed=True)
    standing = Standing(versions=versions, champions=[2, 4], candidate=6, staging=3)
    for keep, going in ((0, [1, 5, 7, 9]), (1, [1, 5, 7]), (3, [1]), (4, []), (9, [])):
        assert removable(standing, keep) == going


def test_a_registry_that_is_taken_over_has_its_line_of_champions_and_its_candidate():
    made = [about("import", n, key=f"k{n}", status="accepted", why=f"w{n}") for n in (1, 2, 3)]
    barred = about("import", 4, key="k4", status="rejected", barred=True)
    line = Entry(event="import", after=2, details={"champions": [1, 2], "candidate": 3})
    standing = following(*made, barred, line)
    assert standing.aliases == {"champion": 2, "previous": 1, "candidate": 3}
    assert set(standing.barred) == {"k4"}
    again = Entry(
        event="register", version=5, before=2, after=5, details={"key": "k2", "replaces": 2}
    )
    standing = following(*made, barred, line, again)
    assert standing.aliases == {"champion": 5, "previous": 1, "candidate": 3}
    assert (standing.versions[5].status, standing.versions[5].why) == ("accepted", "w2")
    lost = about("register", 6, champion=2, key="k3", replaces=3)
    assert following(*made, barred, line, lost).aliases["candidate"] == 6


def test_scores_from_before_the_log_are_those_of_the_versions_own_run_or_gone(tmp_path):
    asked = []

    def download_artifacts(run_id, place, folder):
        asked.append((run_id, place))
        if run_id == "lost":
            raise OSError("no such artifact")
        file = Path(folder) / "scores.parquet"
        file.write_bytes(b"table")
        return str(file)

    client = SimpleNamespace(download_artifacts=download_artifacts)
    registry = SimpleNamespace(client=client, store=SimpleNamespace(tracking_uri=""))
    version = SimpleNamespace(number=3, run_id="r1")
    assert _first_scores(registry, version) == {sha256_of(b"table"): b"table"}
    assert _first_scores(registry, SimpleNamespace(number=4, run_id="lost")) == {}
    places = [(run, f"registry/v{n}/scores.parquet") for run, n in (("r1", 3), ("lost", 4))]
    assert asked == places
