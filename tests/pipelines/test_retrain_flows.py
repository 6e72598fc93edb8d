"""Flows `retrain`, `promote` and `nightly`: order, unfinished work, loose ends, verdicts."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from html import escape
from pathlib import Path
from types import SimpleNamespace

import pytest
from tracked_world import git

from pasam.cli.sets import deciding
from pasam.config.params_file import load_section
from pasam.config.requirements import ValidateParams
from pasam.errors import StageError, TransientError
from pasam.registry.decision_log import DecisionLog
from pasam.registry.gate import PROMOTE, REJECT, Gain, GateCheck, GateDecision
from pasam.registry.snapshot import read_lock
from pasam.registry.transitions import PromotionResult
from pasam.serving.demand import Demand
from pipelines.dvc import Dvc
from pipelines.flows import endings, operations
from pipelines.flows import retrain as flow
from pipelines.flows.engine import Outcome
from pipelines.flows.publishing import MESSAGE
from pipelines.flows.reproduce import dvc
from pipelines.flows.retrain import (
    drifted,
    is_unfinished,
    loose_ends,
    nightly,
    promote,
    promotion_outcome,
    retrain,
)


class World:
    """Stand-ins for everything that a retraining touches."""

    def __init__(self):
        self.changed = ("train@pa_sam",)
        self.done = []
        self.loose = ()
        self.note = ""
        self.outcome = Outcome("promoted", "version 2 is champion now")
        self.fails, self.given = {}, {}

    def step(self, name, result=None):
        def act(*args, **kwargs):
            self.done.append(name)
            self.given[name] = args, kwargs
            if name in self.fails:
                raise self.fails[name]
            return getattr(self, result) if result else None

        return act


@pytest.fixture
def steps(monkeypatch, in_empty_folder):
    made = World()
    monkeypatch.setattr(flow, "take_news", made.step("news"))
    monkeypatch.setattr(flow, "loose_ends", made.step("loose ends", "loose"))
    monkeypatch.setattr(flow, "require_publishable", made.step("may publish"))
    monkeypatch.setattr(flow, "warn_of_changes", lambda: None)
    monkeypatch.setattr(flow, "fetch", made.step("pull"))
    monkeypatch.setattr(flow, "changed_stages", made.step("status", "changed"))
    monkeypatch.setattr(flow, "reproduce", made.step("reproduce"))
    monkeypatch.setattr(flow, "publish_results", made.step("publish_results", "note"))
    monkeypatch.setattr(flow, "record", made.step("record"))
    monkeypatch.setattr(flow, "register_and_judge", made.step("register_and_judge", "outcome"))
    return made


BEGIN = ["news", "status"]
WORK = ["may publish", "reproduce", "publish_results", "record", "register_and_judge"]


def test_nothing_new_ends_unchanged_at_once(steps):
    steps.changed = ()
    assert retrain().name == "unchanged"
    assert steps.done == [*BEGIN, "loose ends"]


def test_what_is_new_is_shared_before_it_is_recorded_and_judged(steps):
    assert retrain().name == "promoted"
    assert steps.done == [*BEGIN, *WORK]
    assert not is_unfinished()


def test_what_nobody_has_recorded_or_judged_is_although_nothing_is_new(steps):
    steps.changed, steps.loose = (), ("there is no champion",)
    assert retrain() == steps.outcome
    assert steps.done == [*BEGIN, "loose ends", *WORK]


@pytest.mark.parametrize("step", WORK)
def test_work_that_was_cut_short_is_finished_although_nothing_is_new_then(step, steps):
    steps.fails = {step: StageError("no more disk")}
    with pytest.raises(StageError):
        retrain()
    steps.fails, steps.changed, steps.done = {}, (), []
    steps.changed = () if is_unfinished() else ("train",)
    assert is_unfinished() == (step != "may publish")
    assert retrain().name == "promoted"
    assert steps.done == [*BEGIN, *WORK]
    steps.done, steps.changed = [], ()
    assert retrain().name == "unchanged"


@pytest.mark.parametrize("step", ["publish_results", "record", "register_and_judge"])
def test_a_server_that_is_away_postpones_what_it_is_needed_for(step, steps):
    steps.fails = {step: TransientError("MLflow is away")}
    outcome = retrain()
    assert outcome.name == "postponed"
    assert "made and kept" in outcome.message
    assert "MLflow is away" in outcome.message
    assert is_unfinished()
    steps.fails, steps.changed = {}, ()
    assert retrain().name == "promoted"


def test_it_is_not_called_unchanged_while_nobody_can_see_whether_all_is_judged(steps):
    steps.changed, steps.fails = (), {"loose ends": TransientError("MLflow is away")}
    assert retrain().name == "postponed"


def test_nothing_is_trained_that_could_not_be_published(steps):
    steps.fails = {"may publish": StageError("no right to push")}
    with pytest.raises(StageError, match="no right to push"):
        retrain(publish="push")
    assert "reproduce" not in steps.done


def test_it_is_told_where_results_went_that_did_not_fit(steps):
    steps.note = "The results are on the branch b."
    assert retrain().message.endswith("is champion now The results are on the branch b.")


def test_a_failed_training_is_neither_shared_nor_judged(steps):
    steps.fails = {"reproduce": StageError("bad mask")}
    with pytest.raises(StageError, match="bad mask"):
        retrain()
    assert steps.done == [*BEGIN, *WORK[:2]]


def test_what_others_have_made_counts_as_not_new(steps):
    retrain(pull=True)
    assert steps.done[:3] == ["news", "pull", "status"]


def test_all_steps_can_be_asked_for(steps):
    steps.changed = ()
    retrain(force=True)
    assert steps.done == [*BEGIN, *WORK]


@pytest.fixture
def judged(champion_once, tmp_path, monkeypatch):
    """A copy of it, as the current folder, at whose decisions no remote has a part."""
    from tracked_world import leave_servers

    leave_servers(monkeypatch)
    own = champion_once.copy(tmp_path / "world")
    git(own.folder, "remote", "remove", "origin")
    monkeypatch.chdir(own.folder)
    return own


@pytest.mark.long
def test_a_result_that_is_recorded_and_judged_has_no_loose_ends(judged):
    assert loose_ends() == ()


def test_lost_records_are_made_anew(judged, mlflow_tables):
    shutil.copy(mlflow_tables, "mlruns/mlflow.db")
    (reason,) = loose_ends()
    assert "stages are not recorded, such as prepare" in reason


def test_a_lost_log_of_decisions_means_that_there_is_no_champion(judged):
    git(judged.folder, "update-ref", "-d", "refs/heads/pasam-decisions")
    assert loose_ends() == ("there is no champion",)


def test_a_result_that_was_made_by_hand_is_judged(judged):
    from tracked_world import write_lock

    weights = next(judged.folder.glob("data/adapters/pa_sam.safetensors"))
    other = next(judged.folder.glob("data/adapters/hq_sam.safetensors"))
    weights.write_bytes(other.read_bytes())
    write_lock(judged)
    assert "the last result is not judged" in loose_ends()


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
def test_a_judgement_becomes_a_word_with_its_reasons(
    promoted, judged, name, words, in_empty_folder
):
    Path("v.md").write_text("# Version 3")
    outcome = promotion_outcome(promotion(promoted, judged, moved=promoted))
    assert outcome == Outcome(name, f"version 3 x: {words}.")


def test_a_runs_page_has_the_verdict_and_a_link_to_the_version(in_empty_folder, monkeypatch):
    shown = []
    for name in ("show_text", "show_link"):
        monkeypatch.setattr(flow, name, lambda *a: shown.append(a))
    Path("v.md").write_text("# Version 3: promote")
    page = "https://mlflow.example.org/#/models/pasam/versions/3"
    promotion_outcome(replace(promotion(True, FIRST, moved=True), address=page))
    assert shown == [
        ("version-3", "# Version 3: promote", "The verdict"),
        ("version", page, "Version 3 in MLflow, with its verdict and scores"),
    ]


def test_a_promotion_without_a_gate_is_one_too():
    assert promotion_outcome(promotion(True, moved=True)) == Outcome("promoted", "version 3 x.")
    assert promotion_outcome(promotion(True)) == Outcome("champion", "version 3 x.")
    assert promotion_outcome(promotion(False)) == Outcome("rejected", "version 3 x.")


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
    monkeypatch.setattr(flow, "asked_for", lambda feedback: None)
    monkeypatch.setattr(flow, "watch", lambda notify: steps.append(notify))
    return steps


def test_only_the_datas_stages_run(done):
    outcome = nightly(notify="team")
    assert (outcome.name, outcome.message) == ("watched", "Version 1 is champion.")
    assert done == ["data", "team"], "the sign of life, too"


def test_drift_is_an_ending_of_its_own(done, monkeypatch):
    row = {"dataset": "own", "quantity": "brightness", "drifted": True}
    monkeypatch.setattr(flow, "drifted", lambda: [row])
    outcome = nightly(notify="team")
    message = "The data has drifted: own (brightness). Version 1 is champion."
    assert (outcome.name, outcome.message) == ("drifted", message)


def test_what_services_are_asked_for_is_told_and_may_have_drifted(done, monkeypatch):
    row = {"quantity": "brightness", "drifted": True}
    found = Demand(
        days=30, answered=200, corrected=10, waiting=3, uncertainty=0.2, measured=60, drift=(row,)
    )
    monkeypatch.setattr(flow, "asked_for", lambda feedback: found)
    outcome = nightly(notify="team")
    assert outcome.name == "drifted"
    assert outcome.message.startswith("Version 1 is champion. In 30 days 200 prompts were answered")
    assert "10 corrected (5.0%)" in outcome.message
    assert outcome.message.endswith("not what was trained on: brightness.")
    calm = dataclasses.replace(found, drift=())
    monkeypatch.setattr(flow, "asked_for", lambda feedback: calm)
    assert nightly(notify="team").name == "watched"


def test_drift_is_what_the_findings_say(monkeypatch, in_empty_folder):
    rows = [{"dataset": name, "quantity": "area", "drifted": name == "b"} for name in "abc"]
    Path("findings.json").write_text(json.dumps({"drift": rows}))
    monkeypatch.setattr(flow, "results", lambda suffix: [Path("findings.json")])
    assert drifted() == [rows[1]]


def test_without_findings_there_is_no_drift(monkeypatch):
    monkeypatch.setattr(flow, "results", lambda suffix: [])
    assert drifted() == []


@pytest.fixture
def held(monkeypatch):
    """Where flows keep others off the project, and for how many hours, with what is done in it."""
    seen = []

    @contextmanager
    def alone(self):
        seen.append(("begin", self.patience / 3600))
        yield
        seen.append("end")

    monkeypatch.setattr(Dvc, "alone", alone)
    return seen


def test_what_a_retraining_was_told_reaches_every_step_and_all_run_alone(steps, held):
    steps.done = held
    retrain(pull=True, publish="push", allow_local=True, hours=7.0)
    assert held == [("begin", 7.0), "news", "pull", "status", *WORK, "end"]
    assert steps.given == {
        "news": ((), {}), "pull": ((7.0,), {}), "status": ((7.0,), {}),
        "may publish": (("push", dvc(7.0)), {}), "reproduce": ((), {"hours": 7.0}),
        "publish_results": (("push", 7.0), {}), "record": ((), {}),
        "register_and_judge": ((True,), {}),
    }  # fmt: skip
    retrain()
    assert steps.given["publish_results"] == (("commit", 24.0), {})
    assert steps.given["register_and_judge"] == ((False,), {})


def test_work_that_was_cut_short_is_finished_without_asking_what_else_is_loose(steps):
    flow.begin()
    steps.changed = ()
    assert retrain().name == "promoted"
    assert "loose ends" not in steps.done
    assert not is_unfinished()


def test_promotions_and_the_nightly_watch_run_alone_with_what_they_were_told(
    held, done, monkeypatch
):
    answer = Outcome("promoted", "x")
    monkeypatch.setattr(flow, "register_and_judge", lambda *words: held.append(words) or answer)
    monkeypatch.setattr(flow, "promote_version", lambda *words: held.append(words) or answer)
    monkeypatch.setattr(flow, "warn_of_changes", lambda: held.append("warned"))
    promote(allow_local=True, why="w", hours=2.0)
    promote(version="3", allow_local=True, why="w", hours=3.0)
    assert held == [
        ("begin", 2.0), "warned", (True, "w"), "end", ("begin", 3.0), ("3", True, "w"), "end"
    ]  # fmt: skip
    held.clear()
    monkeypatch.setattr(flow, "repro", lambda *words: held.append(words))
    monkeypatch.setattr(flow, "asked_for", held.append)
    monkeypatch.setattr(flow, "champion_on_new", lambda: held.append("champion") or "")
    nightly(hours=4.0, feedback="kept", notify="team")
    assert held == [("begin", 4.0), ("data", 4.0), "champion", "kept", "end"]
    assert done == ["team"]


@pytest.mark.parametrize("local", [False, True])
def test_a_judgement_of_a_flow_names_the_flow_and_what_a_person_allowed(local, monkeypatch):
    asked = []
    monkeypatch.setattr(flow, "flow_run_id", lambda: "run-1")
    monkeypatch.setattr(flow, "promotion_outcome", lambda made: made)
    monkeypatch.setattr(
        "pasam.registry.promotion.promote", lambda *given, **how: asked.append((given, how))
    )
    flow.register_and_judge(local, "w")
    flow.promote_version("3", local, "w")
    how = {"allow_local": local, "why": "w", "flow_run": "run-1"}
    assert asked == [((Path(),), how), ((Path(), "3"), how)]
    found = SimpleNamespace(new=("train",), runs={"train": "1"}, address="a", page=None)
    monkeypatch.setattr(
        "pasam.registry.runs.sync", lambda *given, **how: asked.append((given, how)) or found
    )
    flow.record()
    assert asked[2:] == [((Path(),), {"flow_run": "run-1"})]
    monkeypatch.setattr(flow, "push_and_commit", lambda *given, **how: asked.append((given, how)))
    flow.publish_results("push", 5.0)
    assert asked[3:] == [(("push",), {"dvc": dvc(5.0), "message": MESSAGE})]


@pytest.mark.parametrize("feedback", [None, "kept"])
def test_what_services_are_asked_for_is_compared_with_the_inventory(feedback, monkeypatch, root):
    monkeypatch.chdir(root)
    asked, shown = [], []
    found = SimpleNamespace(drift=[{"quantity": "area"}], message="m")
    monkeypatch.setattr(
        "pasam.serving.demand.read_demand", lambda *given: asked.append(given) or found
    )
    monkeypatch.setattr(flow, "results", lambda suffix: [Path(suffix)])
    monkeypatch.setattr(flow, "show_table", lambda *words: shown.append(words))
    assert flow.asked_for(feedback) is found
    params = load_section(ValidateParams, "validate", Path("params.yaml"))
    folder = deciding.FEEDBACK if feedback is None else Path("kept")
    assert asked == [(folder, Path("inventory.parquet"), params)]
    assert shown == [("asked", found.drift, "m")]


def test_one_page_says_who_is_champion_why_and_what_came_besides(judged, root):
    shutil.copy(root / "prefect.yaml", "prefect.yaml")
    run = Outcome("skipped", "It came late <and> was done.")
    operations.end("nightly", run, endings.now(), None)
    operations.followed(lambda **_: Outcome("unchanged", "Nothing new."), {})
    page = operations.PAGE.read_text()
    entries = DecisionLog(Path()).read(shared=False)
    (promoted,) = (e for e in entries if e.event == "promote")
    tags = entries[-1].details.get("tags") or next(
        e.details["tags"] for e in entries if e.event == "register"
    )
    for words in (
        "Version 1 is in use.", promoted.time[:16], promoted.by["who"], promoted.why,
        tags["git.commit"], tags["data.manifest_md5"], tags["params.sha256"],
        "It came late <and> was done.", "weekly retraining", "0 3 * * 0 UTC",
        "Nothing is left unfinished", "drift", "No schedule is active here",
        "every Sunday at 03:00", "every Monday to Saturday at 03:00",
        "can it be made again", ": whole", "still in use", "only the floors counted",
    ):  # fmt: skip
        assert escape(words) in page, words
    params = read_lock(Path()).stages["train@pa_sam"].section("train")
    for name in ("learning_rate", "batch_size", "seed"):
        assert f"<td>train.{name}</td><td>{params[name]}</td>" in page
    shown = operations.as_markdown(operations.write_page())
    assert "## Champion" in shown
    assert promoted.why in shown


def test_the_page_leads_to_verdict_card_data_mlflow_and_prefect(judged, monkeypatch):
    shutil.rmtree("mlruns")
    operations.write_page()
    assert "verdict.html" not in operations.PAGE.read_text(), "it is not in this clone"
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example.org/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    entry = DecisionLog(Path()).read(shared=False)[-1]
    assert entry.event == "promote"
    verdict = Path("mlruns", "verdicts", "v1", f"{entry.number - 1:06}-verdict.html")
    verdict.parent.mkdir(parents=True)
    verdict.touch()
    operations.end("retrain", Outcome("promoted", "Version 1."), endings.now(), None, "run-1")
    page = operations.PAGE.read_text()
    links = set(re.findall('href="([^"]*)"', page))
    assert links >= {
        "https://prefect.example.org/runs/flow-run/run-1",
        "https://mlflow.example.org/#/models/pasam/versions/1",
    }
    files = {link for link in links if not link.startswith("https:")}
    assert {Path(link).name for link in files} == {verdict.name, "pa_sam.md", "index.html"}
    assert all((operations.PAGE.parent / link).exists() for link in files)
    assert "of this version" in page
    shown = operations.as_markdown(operations.write_page())
    assert "[retrain](https://prefect.example.org/runs/flow-run/run-1)" in shown
    assert "verdict.html" not in shown, "Prefect's page has no files of the project"


def test_the_page_says_whether_schedules_are_active_and_when_they_run_next(in_empty_folder, root):
    shutil.copy(root / "prefect.yaml", "prefect.yaml")
    moments = [f"{endings.now().year + years}-02-03T03:00:00+00:00" for years in (-1, 1, 2)]
    endings.note_served({"retrain": moments, "nightly": []})
    operations.write_page()
    page = operations.PAGE.read_text()
    assert "The schedules are active" in page
    assert f"<td>{moments[1][:10]} 03:00 UTC</td>" in page
    assert moments[0][:10] not in page
    assert moments[2][:10] not in page
    content = json.loads(endings.SERVED.read_text())
    content["process"][1] -= 1  # another process has the number by now
    endings.SERVED.write_text(json.dumps(content))
    operations.write_page()
    assert "The schedules are active" not in operations.PAGE.read_text()
    assert operations.PAGE.read_text().count("<td>none: not active</td>") == 2


def test_the_page_is_there_before_anything_was_decided(in_empty_folder):
    operations.write_page()
    assert "No version is in use yet." in operations.PAGE.read_text()


def test_the_trend_is_drawn_over_the_versions():
    def version(number, score):
        verdict = SimpleNamespace(details={"mean_score": score})
        return SimpleNamespace(number=number, verdict=verdict)

    standing = SimpleNamespace(versions={n: version(n, 60.0 + n) for n in (1, 2, 3)})
    assert "<svg" in operations._trend(standing)
    assert operations._trend(SimpleNamespace(versions={1: version(1, 60.0)})) == ""


@pytest.mark.parametrize(
    ("silent", "name", "told"),
    [
        (timedelta(days=10), "watched", "alive"),
        (timedelta(days=10, seconds=1), "alarmed", "no success"),
    ],
)
def test_an_alarm_and_a_sign_of_life_come_when_their_time_is_past_and_not_before(
    silent, name, told, in_empty_folder, monkeypatch
):
    moment, sent = [endings.now().replace(microsecond=0)], []
    monkeypatch.setattr(operations, "now", lambda: moment[0])
    monkeypatch.setattr(operations, "renew_page", lambda: None)
    monkeypatch.setattr(operations, "notify", lambda *words: sent.append(words) or True)
    assert operations.watch(notify="team").message == "No flow has run here yet."
    for flow_name, outcome, ago in (
        ("retrain", "rejected", silent), ("retrain", "failed", timedelta(days=7)),
        ("nightly", "watched", timedelta(days=7, seconds=-1)),
    ):  # fmt: skip
        begun, text = ((moment[0] - ago - took).isoformat() for took in (timedelta(1), timedelta()))
        endings.keep(
            endings.Ending(flow=flow_name, outcome=outcome, message="m", started=begun, ended=text)
        )
    assert operations.watch(notify="team").name == name
    ((address, subject, text),) = sent
    assert (address, subject) == ("team", f"{endings.project_name()}: {told}")
    if name == "watched":
        assert "In the last week: 1 x nightly watched. Last success of retrain: " in text
    else:
        assert "has not succeeded for 10 days; the last run failed: m" in text
    again = operations.ALARM_AGAIN if name == "alarmed" else operations.SIGN_OF_LIFE
    for wait, count in ((again, 1), (timedelta(seconds=1), 2)):
        moment[0] += wait
        operations.watch(notify="team", days=10 if name == "alarmed" else 99)
        assert len(sent) == count


def test_each_kind_of_message_has_a_time_of_its_own(in_empty_folder, monkeypatch):
    monkeypatch.setattr(operations, "notify", lambda *words: True)
    for kind in ("alarm", "sign of life", "alarm"):
        operations._tell(kind, "subject", "text", None, operations._told())
        known = operations._told()
        assert known[kind] == max(known.values())
    assert set(known) == {"alarm", "sign of life"}


def test_where_no_retraining_ever_succeeded_the_first_run_counts_and_no_later_one(
    in_empty_folder, monkeypatch
):
    monkeypatch.setattr(operations, "renew_page", lambda: None)
    monkeypatch.setattr(operations, "notify", lambda *words: True)
    for days in (11, 5, 1):  # each night puts nothing off
        text = (endings.now() - timedelta(days=days)).isoformat()
        endings.keep(
            endings.Ending(flow="nightly", outcome="watched", message="m", started=text, ended=text)
        )
    outcome = operations.watch(notify="team", days=10)
    assert (outcome.name, "for 11 days" in outcome.message) == ("alarmed", True)


def test_what_was_put_off_left_out_or_broken_off_is_no_success():
    ending = endings.Ending(
        flow="retrain", outcome="rejected", message="", started="s", ended="e", run=""
    )
    assert ending.succeeded  # it did all that it was there for
    for outcome in ("failed", "crashed", "cancelled", "postponed", "skipped"):
        assert not dataclasses.replace(ending, outcome=outcome).succeeded, outcome
