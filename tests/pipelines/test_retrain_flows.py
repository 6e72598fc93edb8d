"""Flows `retrain`, `promote` and `nightly`: order, unfinished work, verdicts, what is published."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest
import yaml

from pasam.errors import StageError, TransientError
from pasam.registry.gate import PROMOTE, REJECT, Gain, GateCheck, GateDecision
from pasam.registry.transitions import PromotionResult
from pipelines.flows import retrain as flow
from pipelines.flows.engine import Outcome
from pipelines.flows.retrain import (
    announce,
    drifted,
    is_unfinished,
    nightly,
    promote,
    promotion_outcome,
    push_and_commit,
    retrain,
)


class World:
    """Stand-ins for everything that a retraining touches."""

    def __init__(self):
        self.changed = ("train@pa_sam",)
        self.done = []
        self.told = []
        self.outcome = Outcome("promoted", "version 2 is champion now")
        self.fails = {}

    def step(self, name, result=None):
        def act(*args, **kwargs):
            self.done.append(name)
            if name in self.fails:
                raise self.fails[name]
            return getattr(self, result) if result else None

        return act


@pytest.fixture
def world(monkeypatch, in_empty_folder):
    made = World()
    monkeypatch.setattr(flow, "fetch", made.step("pull"))
    monkeypatch.setattr(flow, "changed_stages", made.step("status", "changed"))
    monkeypatch.setattr(flow, "reproduce", made.step("reproduce"))
    monkeypatch.setattr(flow, "publish_results", made.step("publish_results"))
    monkeypatch.setattr(flow, "record", made.step("record"))
    monkeypatch.setattr(flow, "register_and_judge", made.step("register_and_judge", "outcome"))
    monkeypatch.setattr("pipelines.flows.retrain.send", lambda *words: made.told.append(words))
    return made


WORK = ["reproduce", "publish_results", "record", "register_and_judge"]


def test_nothing_new_ends_unchanged_at_once(world):
    world.changed = ()
    assert retrain().name == "unchanged"
    assert world.done == ["status"]


def test_what_is_new_is_shared_before_it_is_recorded_and_judged(world):
    assert retrain(notify="https://example.org").name == "promoted"
    assert world.done == ["status", *WORK]
    assert world.told == [
        ("https://example.org", "pasam has a new champion", "version 2 is champion now")
    ]
    assert not is_unfinished()


def test_a_rejected_candidate_is_told_to_nobody(world):
    world.outcome = Outcome("rejected", "worse")
    assert retrain(notify="https://example.org") == world.outcome
    assert world.told == []


@pytest.mark.parametrize("step", WORK)
def test_work_that_was_cut_short_is_finished_although_nothing_is_new_then(step, world):
    world.fails = {step: TransientError("MLflow is away")}
    with pytest.raises(TransientError):
        retrain()
    world.fails, world.changed, world.done = {}, (), []
    assert retrain().name == "promoted"
    assert world.done == ["status", *WORK]
    world.done = []
    assert retrain().name == "unchanged"


def test_a_failed_training_is_neither_shared_nor_judged(world):
    world.fails = {"reproduce": StageError("bad mask")}
    with pytest.raises(StageError, match="bad mask"):
        retrain()
    assert world.done == ["status", "reproduce"]


def test_what_others_have_made_counts_as_not_new(world):
    retrain(pull=True)
    assert world.done[:2] == ["pull", "status"]


def test_all_steps_can_be_asked_for(world):
    world.changed = ()
    retrain(force=True)
    assert world.done == ["status", *WORK]


def decided(decision, gain=None):
    passed = decision == PROMOTE
    checks = (
        GateCheck(name="tree", passed=True, reason="the working tree is clean"),
        GateCheck(name="gain", passed=passed, reason="mean: gain -1.20"),
    )
    return GateDecision(
        decision=decision, checks=checks, mean_score=60.0, scores={}, mean_gain=gain, gains={}
    )


WINS = decided(PROMOTE, Gain(mean=1.5, low=0.25, std=6.0, images=40))
FIRST = decided(PROMOTE)
LOSES = decided(REJECT)


def promotion(promoted, judged=None, moved=False):
    return PromotionResult(
        version=3, promoted=promoted, moved=moved, gate=judged, page=Path("v.html"),
        message="version 3 x",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("promoted", "judged", "name", "words"),
    [
        (True, FIRST, "promoted", "all 2 checks hold, boundary IoU 60.00"),
        (True, WINS, "promoted",
         "all 2 checks hold, boundary IoU 60.00, gain +1.50 (at least +0.25)"),
        (False, FIRST, "accepted", "all 2 checks hold, boundary IoU 60.00"),
        (False, LOSES, "rejected", "mean: gain -1.20"),
    ],
)  # fmt: skip
def test_a_judgement_becomes_a_word_with_its_reasons(promoted, judged, name, words):
    outcome = promotion_outcome(promotion(promoted, judged, moved=promoted))
    assert outcome == Outcome(name, f"version 3 x: {words}.")


def test_a_version_that_is_champion_already_is_not_announced(monkeypatch):
    told = []
    monkeypatch.setattr(flow, "send", lambda *words: told.append(words))
    outcome = promotion_outcome(promotion(True))
    announce(outcome, "https://example.org")
    assert (outcome.name, told) == ("champion", [])


def test_a_promotion_without_a_gate_is_one_too():
    assert promotion_outcome(promotion(True, moved=True)) == Outcome("promoted", "version 3 x.")


def test_a_promotion_is_announced(monkeypatch):
    told = []
    monkeypatch.setattr(flow, "send", lambda *words: told.append(words))
    announce(Outcome("promoted", "version 3 is champion now"), "team")
    assert told == [("team", "pasam has a new champion", "version 3 is champion now")]


def test_without_a_version_the_last_reproduction_is_judged(monkeypatch, in_empty_folder):
    asked = []
    answer = Outcome("rejected", "worse")
    monkeypatch.setattr(flow, "register_and_judge", lambda *words: asked.append(words) or answer)
    assert promote(allow_local=True, why="trial") == answer
    assert asked == [(True, "trial")]


def test_a_named_version_is_judged_and_promoted(monkeypatch, in_empty_folder):
    asked = []
    answer = Outcome("champion", "version 2 is champion now")
    monkeypatch.setattr(flow, "promote_version", lambda *words: asked.append(words) or answer)
    assert promote(version="2", why="asked for") == answer
    assert asked == [("2", False, "asked for")]


@pytest.fixture
def done(monkeypatch, in_empty_folder):
    """What was done and told, with stand-ins; nothing has drifted."""
    steps = []
    monkeypatch.setattr(flow, "repro", lambda group, hours: steps.append(group))
    monkeypatch.setattr(flow, "drifted", list)
    monkeypatch.setattr(flow, "champion_on_new", lambda: "Version 1 is champion.")
    monkeypatch.setattr(flow, "send", lambda *words: steps.append(words))
    return steps


def test_only_the_datas_stages_run(done):
    outcome = nightly(notify="team")
    assert (outcome.name, outcome.message) == ("watched", "Version 1 is champion.")
    assert done == ["data"]


def test_drift_is_told(done, monkeypatch):
    row = {"dataset": "own", "quantity": "brightness", "drifted": True}
    monkeypatch.setattr(flow, "drifted", lambda: [row])
    outcome = nightly(notify="team")
    message = "The data has drifted: own (brightness). Version 1 is champion."
    assert (outcome.name, outcome.message) == ("drifted", message)
    assert done[1:] == [("team", "pasam sees drift", message)]


def test_drift_is_what_the_findings_say(monkeypatch, in_empty_folder):
    rows = [{"dataset": name, "quantity": "area", "drifted": name == "b"} for name in "abc"]
    Path("findings.json").write_text(json.dumps({"drift": rows}))
    monkeypatch.setattr(flow, "results", lambda suffix: [Path("findings.json")])
    assert drifted() == [rows[1]]


def test_without_findings_there_is_no_drift(monkeypatch):
    monkeypatch.setattr(flow, "results", lambda suffix: [])
    assert drifted() == []


class Remote:
    """DVC with a remote that counts pushes, or fails."""

    def __init__(self, error=None, there=True):
        self.pushes = 0
        self.error = error
        self.there = there

    def has_remote(self):
        return self.there

    def push(self):
        if self.error:
            raise self.error
        self.pushes += 1


def git(*arguments):
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(in_empty_folder):
    """A clone with a lock, one result that git keeps and one that it ignores, both new."""
    git("init", "--quiet", "--bare", "origin.git")
    git("clone", "--quiet", "origin.git", "clone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(in_empty_folder / "clone")
        git("config", "user.name", "T")
        git("config", "user.email", "t@example.org")
        outs = [{"path": path, "md5": "0"} for path in ("table.md", "weights.bin")]
        lock = {"schema": "2.0", "stages": {"report": {"cmd": "x", "outs": outs}}}
        Path("dvc.lock").write_text(yaml.safe_dump(lock))
        Path("dvc.yaml").write_text("stages: {report: {cmd: x}}\n")
        Path("params.yaml").touch()
        Path(".gitignore").write_text("weights.bin\n")
        Path("code.py").touch()
        git("add", ".gitignore", "code.py", "dvc.yaml", "params.yaml")
        git("commit", "--quiet", "-m", "first")
        git("push", "--quiet", "origin", "HEAD")
        git(
            "branch",
            "--quiet",
            "--set-upstream-to",
            f"origin/{git('branch', '--show-current')[:-1]}",
        )
        Path("table.md").touch()
        Path("weights.bin").touch()
        yield


@pytest.mark.usefixtures("repository")
def test_nothing_is_published_unless_it_may_be():
    remote = Remote()
    push_and_commit("nothing", dvc=remote, message="m")
    assert remote.pushes == 0
    assert git("log", "--format=%s") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_commit_holds_the_lock_and_the_results_and_no_ones_unfinished_work(caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    Path("code.py").write_text("half")
    git("add", "code.py")
    remote = Remote()
    push_and_commit("commit", dvc=remote, message="Record it")
    assert remote.pushes == 1
    assert git("show", "--format=%s", "--name-only").split() == [
        "Record", "it", "dvc.lock", "table.md",
    ]  # fmt: skip
    assert git("status", "--porcelain") == "M  code.py\n"
    assert "1 other changes are not committed, such as code.py" in caplog.text
    assert git("log", "--format=%s", "@{u}") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_push_reaches_the_remote_and_may_be_repeated():
    for _ in range(2):
        push_and_commit("push", dvc=Remote(), message="Record it")
    assert git("log", "--format=%s", "@{u}") == "Record it\nfirst\n"


@pytest.mark.usefixtures("repository")
def test_no_commit_names_bytes_that_could_not_be_pushed():
    with pytest.raises(TransientError):
        push_and_commit("commit", dvc=Remote(TransientError("no network")), message="m")
    assert git("log", "--format=%s") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_commit_needs_no_remote_but_a_push_does():
    remote = Remote(there=False)
    push_and_commit("commit", dvc=remote, message="m")
    assert remote.pushes == 0
    push_and_commit("push", dvc=remote, message="m")
    assert remote.pushes == 1


@pytest.mark.usefixtures("repository")
def test_an_unreachable_remote_of_git_is_worth_another_try():
    git("remote", "set-url", "origin", "../nowhere.git")
    with pytest.raises(TransientError, match=r"(?s)`git push` failed: .*The commit is kept"):
        push_and_commit("push", dvc=Remote(), message="m")
    assert git("log", "-1", "--format=%s") == "m\n"


@pytest.mark.usefixtures("repository")
def test_a_push_that_the_remote_refuses_needs_a_person():
    git("clone", "--quiet", "../origin.git", "../other")
    git("-C", "../other", "-c", "user.name=O", "-c", "user.email=o@example.org", "commit",
        "--quiet", "--allow-empty", "-m", "other")  # fmt: skip
    git("-C", "../other", "push", "--quiet")
    with pytest.raises(StageError, match=r"(?s)`git push` failed: .*rejected"):
        push_and_commit("push", dvc=Remote(), message="m")
