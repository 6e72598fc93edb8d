"""Promotion registers, judges and decides; what a person decided holds, and verdicts expire."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, call

import pandas as pd
import pytest
from tracked_world import commit, copy_tracked, standing_in, write_lock
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.config.requirements import GateParams
from pasam.errors import RegistryError
from pasam.models.checkpoint import file_digest, read_metadata, read_weights, write_weights
from pasam.registry import evidence, promotion, versions
from pasam.registry import snapshot as snapshots
from pasam.registry.decision_log import (
    CLAIM,
    PROMOTED,
    DecisionLog,
    Entry,
    Standing,
    VersionStanding,
)
from pasam.registry.promotion import Judgement, promote, set_gate
from pasam.registry.snapshot import take_snapshot
from pasam.registry.store import Tag
from pasam.registry.transitions import Draft, check, lift, open_decisions, reject, rollback
from pasam.registry.upkeep.champion_history import reigns
from pasam.registry.version_files import find_candidate, register
from pasam.registry.versions import open_registry


def set_params(project, **values):
    """Change the gate of the tree, and let the log follow where it has one."""
    project.change("gate", **values)
    commit(project.folder)


def adopt(project, **values):
    set_params(project, **values)
    set_gate(project.folder, why="for this test")


def events(project):
    return [entry.event for entry in DecisionLog(project.folder).read()]


@pytest.mark.long
def test_a_dry_run_judges_and_a_person_follows_it(project, aliases):
    set_params(project, mode="dry-run")
    judged = promote(project.folder)
    assert (judged.promoted, judged.gate.accepted) == (False, True)
    assert aliases() == {"candidate": 1}
    adopt(project, mode="on")
    assert promote(project.folder, "candidate", why="looks good").moved
    assert aliases() == {"champion": 1}
    assert events(project) == ["gate", "register", "verdict", "gate", "verdict", "promote"]
    gates = [each for each in DecisionLog(project.folder).read() if each.event == "gate"]
    assert [each.details["changed"] for each in gates] == [[], ["mode dry-run -> on"]]


@pytest.mark.long
def test_the_story_of_two_versions(own_promoted, aliases):
    project = own_promoted
    assert aliases() == {"champion": 1}
    begun = events(project)
    adopt(project, model="hq_sam", minimum_gain=50.0)
    refused = promote(project.folder)
    assert (refused.version, refused.promoted) == (2, False)
    assert aliases() == {"champion": 1}
    version = open_registry(project.folder).version(2)
    assert version.status == "refused"
    assert "above +50.00 is asked for" in version.tags["pasam.why"]
    assert len(version.tags) <= 8
    again = promote(project.folder)
    assert again.message.startswith(
        "version 2 was refused by the gate, beside version 1, the champion (entry 7 of the log; "
    )
    forged = {"gate.decision": "promote", "pasam.status": "accepted", "gate.champion": "1"}
    open_registry(project.folder).tag_version(2, forged)
    assert not promote(project.folder, 2, why="MLflow says so").promoted
    assert open_registry(project.folder).version(2).status == "refused"
    assert events(project)[len(begun) :] == ["gate", "register", "verdict"]

    adopt(project, mode="off")
    assert promote(project.folder).gate is None
    assert aliases() == {"champion": 2, "previous": 1}
    again = promote(project.folder)
    assert (again.version, again.promoted, again.moved, again.gate) == (2, True, False, None)

    assert rollback(project.folder, why="halos").to == 1
    assert aliases() == {"champion": 1}
    for which in (None, 2):
        out = promote(project.folder, which, why="I want it")
        assert (out.promoted, out.gate) == (False, None)
        assert "barred: rolled back on " in out.message
        assert "(halos)" in out.message
    assert events(project)[len(begun) + 3 :] == ["gate", "promote", "rollback"]
    lift(project.folder, 2, why="the photographs were mislabelled")
    assert promote(project.folder, 2, why="again").moved
    assert check(project.folder).found == ()


@pytest.mark.slow  # the story has it of a rollback
def test_a_person_bars_bytes_before_they_are_judged_again(project, aliases):
    set_params(project, mode="dry-run")
    promote(project.folder)
    reject(project.folder, 1, why="halos")
    adopt(project, mode="on")
    assert not promote(project.folder).promoted
    assert not promote(project.folder, "1", why="x").promoted
    assert aliases() == {}
    lift(project.folder, 1, why="seen again")
    assert promote(project.folder).moved


@pytest.mark.long
def test_barred_numbers_do_not_come_back_in_a_file_of_other_words(second, aliases):
    adopt(second, mode="off")
    assert promote(second.folder).moved
    rollback(second.folder, why="halos")
    file = second.path("data/adapters/hq_sam.safetensors")
    words = {**read_metadata(file), "trained_on": '["photos"]'}
    write_weights(file, read_weights(file), metadata=words)
    write_lock(second)
    commit(second.folder)
    out = promote(second.folder)
    assert (out.version, out.promoted) == (3, False)
    assert "barred: rolled back as version 2 on " in out.message
    assert aliases()["champion"] == 1
    lift(second.folder, 2, why="the photographs were mislabelled")
    assert promote(second.folder).moved


def test_a_dirty_or_unpushed_tree_is_refused_before_anything_is_recorded(fresh):
    project = fresh
    commit(project.folder, push=False)
    with pytest.raises(RegistryError, match="at a commit that no remote has.*--allow-local"):
        promote(project.folder)
    lock = project.path("dvc.lock")
    lock.write_text(lock.read_text() + "\n")
    with pytest.raises(RegistryError, match="only dvc.lock differs .*git checkout dvc.lock"):
        promote(project.folder)
    (project.folder / "new.py").write_text("")
    with pytest.raises(RegistryError, match="has uncommitted changes"):
        promote(project.folder)
    assert not list((project.folder / "mlruns").glob("artifacts/**/*.parquet"))


def count_calls(monkeypatch, *functions):
    """Count how often each function of a module is called."""
    counts = {}
    for module, name in functions:
        real, counts[name] = getattr(module, name), 0

        def counted(*arguments, real=real, name=name, **options):
            counts[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, counted)
    return counts


@pytest.mark.long
def test_everything_is_read_once(fresh, monkeypatch):
    read = count_calls(
        monkeypatch,
        (snapshots, "parse_lock"),
        (snapshots, "git_state"),
        (snapshots, "_declared"),
        (versions, "open_store"),
    )
    promote(fresh.folder, allow_local=True)
    assert read == {"parse_lock": 1, "git_state": 1, "_declared": 1, "open_store": 1}


@pytest.fixture
def second(own_promoted):
    """Version 1 is champion; the next call of `promote` registers and judges version 2."""
    set_params(own_promoted, model="hq_sam", minimum_gain=0.0)
    return own_promoted


def last_verdict(project):
    entries = DecisionLog(project.folder).read()
    return next(entry for entry in reversed(entries) if entry.event == "verdict")


def test_tables_are_of_the_same_images_in_any_order_and_not_of_other_prompts():
    rows = pd.DataFrame(
        {"benchmark": ["a", "a", "b"], "image_id": ["1", "2", "1"], "prompt": "box", "iou": 0.5}
    )
    assert promotion.same_images(rows, rows[::-1].assign(iou=0.1))
    assert not promotion.same_images(rows, rows[:2])
    for column in ("benchmark", "image_id", "prompt"):
        assert not promotion.same_images(rows, rows.assign(**{column: "x"}))


def test_only_judgements_against_a_champion_on_todays_images_use_up_the_error_rate():
    def entry(event, images, champion=1):
        words = {"champion": champion, "measured": {"evaluation_set": images}}
        return Entry(event=event, version=2, details=words)

    entries = [entry("verdict", "old"), entry("verdict", "old"), entry("verdict", "today", None)]
    entries += [entry("stage", "today"), entry("verdict", "today"), entry("verdict", "today", 3)]
    known = VersionStanding(
        number=2, registered=Entry(event="register"), status="", entries=tuple(entries)
    )
    lineage = {Tag.EVALUATION_SET: "today", Tag.EVALUATOR_VERSION: "e"}
    judgement = Judgement(
        snapshot=SimpleNamespace(lineage=lineage), decisions=None, version=known, candidate=None,
        tree=None, allow_local=False, why="",
    )  # fmt: skip
    assert judgement._attempt(Standing(versions={2: known})) == 3
    other = dataclasses.replace(known, number=4, entries=tuple(entries[-1:]))
    assert judgement._attempt(Standing(versions={4: other, 2: known})) == 4, "of all versions"


@pytest.mark.long
def test_a_champion_of_another_evaluator_is_measured_again(second, monkeypatch):
    calls = count_calls(monkeypatch, (promotion, "reevaluate"))
    measured_of = promotion.measured_of
    older = lambda version: dataclasses.replace(measured_of(version), evaluator="older")  # noqa: E731
    monkeypatch.setattr(promotion, "measured_of", older)
    promote(second.folder)
    assert calls == {"reevaluate": 1}
    verdict = last_verdict(second).details
    assert set(verdict["gains"]) == {"dis_like", "thin_like"}
    assert verdict["champion"] == 1


@pytest.mark.slow  # whoever is outrun decides anew: test_transitions
def test_who_judges_while_another_machine_promotes_judges_again_on_the_new_champion(
    second, monkeypatch
):
    set_params(second, model="pa_sam")
    adopt(second, mode="dry-run", model="hq_sam")
    promote(second.folder)
    adopt(second, mode="on", minimum_gain=-0.0)
    other, real, met = open_decisions(second.folder), promotion.latencies, []

    def meanwhile(models, seen, **options):
        if not met:
            other.refresh()
            entry = other.entry(PROMOTED, 2, "by another machine", after=2)
            other.decide(lambda standing: Draft(entries=(entry,)))
        met.append(len(models))
        return real(models, seen, **options)

    monkeypatch.setattr(promotion, "latencies", meanwhile)
    result = promote(second.folder, 2, why="x")
    assert met == [2]
    assert (result.promoted, result.moved) == (True, False)
    assert result.message.startswith("version 2 is the champion already")
    assert open_decisions(second.folder).standing.champions == [1, 2]


@pytest.fixture(scope="module")
def judged_once(champion_once, tmp_path_factory):
    """Version 2 judged beside the champion by a tree that asks for something else; and the page."""
    own = copy_tracked(champion_once, tmp_path_factory.mktemp("judged") / "world")
    set_params(own, model="hq_sam", minimum_gain=0.0, margin=100.0, mode="off")
    with standing_in(own):
        return own, promote(own.folder)


@pytest.mark.long
def test_a_verdict_names_all_it_was_given_against_and_its_scores_are_kept(judged_once):
    project, _ = judged_once
    log = DecisionLog(project.folder)
    log.read()
    entry = last_verdict(project)
    given = entry.details
    assert given["champion"] == 1
    assert set(given["measured"]) == {"evaluation_set", "evaluator"}
    assert entry.gate
    assert set(entry.evidence) == {"scores.parquet", "champion.parquet"}
    assert all(log.evidence(digest) for digest in entry.evidence.values())
    assert entry.by["commit"]


@pytest.mark.long
def test_a_version_carries_its_entries_and_their_evidence_numbered(judged_once, tmp_path):
    project, judged = judged_once
    page = judged.page
    registry = open_registry(project.folder)
    folder = versions.fetch(registry, registry.version(2), tmp_path)
    entries = [e for e in DecisionLog(project.folder).read() if e.version == 2]
    assert len(entries) >= 2
    for entry in entries:
        place = folder / "decisions" / f"{entry.number:06}.json"
        assert place.read_bytes() == entry.content()
    stem = f"{last_verdict(project).number:06}"
    words = json.loads((folder / "evidence" / f"{stem}-verdict.json").read_text())
    assert words["champion"] == 1
    assert page.name == f"{stem}-verdict.html"
    assert page.read_text() == (folder / "evidence" / f"{stem}-verdict.html").read_text()
    frame = pd.read_parquet(folder / "evidence" / f"{stem}-champion.parquet")
    assert set(frame["model"]) == {"pa_sam"}


@pytest.mark.long
def test_the_gates_settings_are_the_logs_and_not_those_of_the_tree_under_judgement(judged_once):
    project, judged = judged_once
    assert judged.gate is not None
    assert last_verdict(project).details["gate"]["margin"] == 2.0
    assert "pasam registry gate --adopt" in judged.message


@pytest.mark.slow  # two promotions
def test_evidence_does_not_depend_on_the_run_or_on_mlflows_files(second):
    registry = open_registry(second.folder)
    registry.client.delete_run(registry.version(1).run_id)
    for file in (second.folder / "mlruns").rglob("*scores.parquet"):
        file.write_bytes(b"lowered")
    result = promote(second.folder)
    assert result.gate.mean_gain is not None
    assert "evidence/000002-scores.parquet was changed" in " ".join(check(second.folder).found)


@pytest.mark.long
def test_a_version_whose_files_are_gone_is_registered_anew_in_its_place(own_promoted, aliases):
    project = own_promoted
    for file in (project.folder / "mlruns").rglob("adapter.safetensors"):
        file.write_bytes(b"x" + file.read_bytes()[1:])
    assert any("adapter.safetensors is" in line for line in check(project.folder).found)
    set_params(project, margin=2.0)
    again = promote(project.folder)
    assert (again.version, again.promoted) == (2, True)
    assert aliases() == {"champion": 2}
    assert check(project.folder).found == (
        "version 1 is in MLflow and not in the log, so that nothing promotes it",
    )


def test_a_version_deleted_in_mlflow_comes_back_by_a_repair(second, aliases):
    registry = open_registry(second.folder)
    registry.client.delete_model_version(versions.NAME, "1")
    assert check(second.folder).found[0] == "version 1 is not in MLflow any more and is champion"
    assert check(second.folder, repair=True).left == ()
    assert aliases() == {"champion": 2}
    entries = DecisionLog(second.folder).read()
    assert entries[-1].why == "version 1 was deleted in MLflow"
    assert (entries[-1].before, entries[-1].after) == (1, 2)
    assert [each.version for each in reigns(entries)] == [1, 2]  # in use by its number of today


@pytest.mark.long
def test_without_a_commit_elsewhere_a_trial_on_this_machine_says_so(project):
    (project.folder / "new.py").write_text("")
    result = promote(project.folder, allow_local=True)
    assert result.moved
    assert last_verdict(project).details["facts"]["clean"] is False
    assert Path(result.page).is_file()


def stage(project, which=None, **how):
    return promote(project.folder, which, to="staging", **how)


def change_gate(project, **values):
    project.change("gate", **values)
    commit(project.folder)


@pytest.mark.long
def test_a_version_goes_through_staging_to_production_by_two_commands(project, aliases):
    first = stage(project)
    assert (first.version, first.promoted, first.moved) == (1, True, True)
    assert "is in staging now; `pasam registry promote staging` takes it on" in first.message
    assert first.page.is_file()
    assert aliases() == {"staging": 1, "candidate": 1}
    again = stage(project, allow_local=True)
    assert (again.promoted, again.moved) == (True, False)
    assert "is in staging already" in again.message
    done = CliRunner().invoke(app, ["registry", "promote", "staging", "--why", "looked at it"])
    assert done.exit_code == 0, done.output
    assert aliases() == {"staging": 1, "champion": 1}
    events = [entry.event for entry in DecisionLog(project.folder).read()]
    assert events == ["gate", "register", "stage", "verdict", "promote"]
    assert check(project.folder).found == ()


@pytest.mark.slow  # three promotions
def test_stagings_gate_compares_with_nobody_and_productions_does(own_promoted, aliases):
    project = own_promoted
    adopt(project, model="hq_sam", minimum_gain=50.0)
    found = stage(project)
    assert (found.version, found.moved) == (2, True)
    assert found.gate.mean_gain is None
    assert aliases()["champion"] == 1, "production stays as it is"
    assert aliases()["staging"] == 2
    refused = promote(project.folder, "staging", why="try")
    assert not refused.promoted
    assert (aliases()["champion"], aliases()["staging"]) == (1, 2)


@pytest.mark.long
def test_staging_has_floors_and_a_refusal_changes_nothing(project, aliases):
    change_gate(project, floor_mean=100.0)
    refused = CliRunner().invoke(app, ["registry", "promote", "--to", "staging"])
    assert refused.exit_code == 1
    assert "was refused by staging's gate" in refused.output
    assert "staging" not in aliases()
    (entry,) = (e for e in DecisionLog(project.folder).read() if e.event == "stage")
    assert (entry.details["accepted"], entry.details["moved"]) == (False, False)


@pytest.mark.long
@pytest.mark.parametrize(
    ("mode", "moved"), [("dry-run", False), pytest.param("off", True, marks=pytest.mark.slow)]
)
def test_the_gates_mode_holds_for_staging_too(project, aliases, mode, moved):
    change_gate(project, mode=mode)
    assert stage(project).moved is moved
    assert ("staging" in aliases()) is moved


@pytest.mark.slow  # tests/registry/test_decision_log, test_transitions
def test_what_a_person_rejects_leaves_staging_until_that_is_lifted(project, aliases):
    stage(project)
    reject(project.folder, "staging", why="halos")
    assert "staging" not in aliases()
    barred = stage(project, allow_local=True)
    assert not barred.promoted
    assert "bytes that are barred" in barred.message
    lift(project.folder, 1, why="the images were wrong")
    assert stage(project, allow_local=True).moved


@pytest.fixture
def called(monkeypatch, in_empty_folder):
    """Stand-ins for all that `promote` calls, with notes of it."""
    names = (
        "load_section", "take_snapshot", "find_candidate", "_require_shared", "open_decisions",
        "change_gate", "_settled", "is_whole", "record_runs", "register", "Judgement",
    )  # fmt: skip
    made = SimpleNamespace(**{name: MagicMock(name=name) for name in names})
    for name in names:
        monkeypatch.setattr(promotion, name, getattr(made, name))
    decisions = made.open_decisions.return_value
    decisions.registry.store.registry_uri = "sqlite:///x"
    decisions.standing.gate = None
    decisions.standing.by_key.return_value = None
    made.find_candidate.return_value.stage = "train@m"
    made.record_runs.return_value.runs = {"train@m": "r1", "train@n": "r2"}
    return made


@pytest.mark.parametrize("allow_local", [False, True])
@pytest.mark.parametrize("to", ["production", "staging"])
@pytest.mark.parametrize("which", [None, "3"])
def test_what_was_asked_for_is_what_is_judged_where_and_as_it_was_allowed(
    which, to, allow_local, called
):
    project = Path("p")
    found = promote(
        project, which, to=to, allow_local=allow_local, why="w", flow_run="f"
    )  # fmt: skip
    tree, snapshot = called.load_section.return_value, called.take_snapshot.return_value
    decisions, own = called.open_decisions.return_value, called.find_candidate.return_value
    called.take_snapshot.assert_called_once_with(project, flow_run="f")
    called.open_decisions.assert_called_once_with(project, flow_run="f")
    called.change_gate.assert_called_once_with(decisions, tree, "the first settings")
    assert called._require_shared.call_args_list == (
        [call(snapshot)] if which is None and not allow_local else []
    )
    if which is None:
        called.find_candidate.assert_called_once_with(snapshot, tree.model)
        decisions.standing.by_key.assert_called_once_with(own.key)
        called.record_runs.assert_called_once_with(snapshot, decisions.registry.store)
        called.register.assert_called_once_with(decisions, own, run_id="r1")
        version = called.register.return_value
    else:
        assert not called.find_candidate.called
        assert not called.register.called
        decisions.version.assert_called_once_with("3")
        version = decisions.version.return_value
    called.Judgement.assert_called_once_with(
        snapshot=snapshot, decisions=decisions, version=version,
        candidate=own if which is None else None, tree=tree, allow_local=allow_local, why="w",
    )  # fmt: skip
    judgement = called.Judgement.return_value
    wanted = judgement.stage if to == "staging" else judgement.decide
    assert found is wanted.return_value


@pytest.mark.parametrize(
    ("promoted", "whole", "registered"),
    [(True, True, False), (True, False, True), (False, False, False), (None, True, True)],
)
def test_bytes_that_are_in_use_or_barred_are_not_judged_again_unless_their_files_are_lost(
    promoted, whole, registered, called
):
    decisions = called.open_decisions.return_value
    known = decisions.standing.by_key.return_value = MagicMock()
    decisions.standing.gate = "known"
    settled = None if promoted is None else SimpleNamespace(promoted=promoted)
    called._settled.return_value, called.is_whole.return_value = settled, whole
    found = promote(Path("p"), to="staging")
    called._settled.assert_called_once_with(decisions, known, "staging")
    assert not called.change_gate.called, "the log has settings already"
    assert called.register.called is registered
    assert (found is settled) is not registered


@pytest.mark.parametrize("changed", [True, False])
def test_the_settings_of_the_tree_are_taken_with_their_reason_by_the_projects_log(changed, called):
    called.change_gate.return_value = changed
    assert set_gate(Path("p"), why="twice the images") is changed
    called.load_section.assert_called_once_with(GateParams, "gate", Path("p/params.yaml"))
    called.open_decisions.assert_called_once_with(Path("p"))
    called.change_gate.assert_called_once_with(
        called.open_decisions.return_value, called.load_section.return_value, "twice the images"
    )


def test_models_are_tried_on_the_first_image_of_each_of_the_manifests_first_benchmarks(
    monkeypatch,
):
    monkeypatch.setattr(evidence, "read_image", lambda path: f"pixels of {path.as_posix()}")
    monkeypatch.setattr(evidence, "read_mask", lambda path: path)
    monkeypatch.setattr(evidence, "tight_box", lambda mask: (1, 2, 3, int(mask.name)))
    rows = [
        ("val", "wild", "w2", "8"), ("train", "dis", "d0", "5"), ("val", "dis", "d7", "7"),
        ("val", "wild", "w1", "9"), ("val", "dis", "d1", "6"), ("val", "xyz", "x", "4")
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["split", "dataset", "image", "mask"])
    found = evidence.trial_images(SimpleNamespace(manifest=frame, project=Path("p")), count=2)
    assert [(each.pixels, each.box) for each in found] == [
        ("pixels of p/w2", (1.0, 2.0, 3.0, 8.0)), ("pixels of p/d7", (1.0, 2.0, 3.0, 7.0))
    ]  # fmt: skip


def test_a_model_of_another_base_is_measured_on_images_embedded_as_the_params_say(
    tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(evidence, "benchmark_tasks", lambda frame: ["tasks", *frame["id"]])
    monkeypatch.setattr(evidence, "write_store", lambda *given, **how: seen.append((given, how)))
    monkeypatch.setattr(evidence, "open_store", lambda folder: f"store in {folder.name}")
    frame = pd.DataFrame({"mask": ["m1", "m2"], "id": ["a", "b"]})
    params = SimpleNamespace(jitter=0.25, batch_size=7, model_dump=lambda: {"views": 2})
    found = evidence._encode(SimpleNamespace(base="base"), frame, tmp_path / "here", params)
    assert found == "store in here"
    given = (tmp_path / "here", ["tasks", "a", "b"], {"m1": "a", "m2": "b"}, "base")
    how = {"jitter": 0.25, "batch_size": 7, "workers": 1, "origin": {"split": "val", "views": 2}}
    assert seen == [(given, how)]


@pytest.mark.long
def test_two_clones_with_an_mlflow_each_never_give_one_number_to_two_models(project, tmp_path):
    second = tmp_path / "second"
    shutil.copytree(project.folder, second)
    candidate = find_candidate(take_snapshot(project.folder), "pa_sam")
    weights = {n: 1 + values for n, values in read_weights(candidate.adapter).items()}
    write_weights(tmp_path / "b.safetensors", weights, metadata=read_metadata(candidate.adapter))
    adapter, base = file_digest(tmp_path / "b.safetensors"), candidate.key.partition("-")[2]
    other = dataclasses.replace(
        candidate, adapter=tmp_path / "b.safetensors", key=f"{adapter}-{base}", tensors="b"
    )
    here, there = open_decisions(project.folder), open_decisions(second)  # nothing is decided yet
    runs = [each.registry.client.create_run("0").info.run_id for each in (here, there)]
    version = register(here, candidate, run_id=runs[0])
    promoting = here.entry(PROMOTED, version.number, after=version.number)
    here.decide(lambda standing: Draft(entries=(promoting,)))
    assert register(there, other, run_id=runs[1]).number == 2
    standing = there.standing
    assert (standing.champion, standing.candidate) == (1, 2)
    assert standing.versions[1].key == candidate.key
    assert [each.number for each in there.registry.versions()] == [2]


@pytest.mark.long
def test_a_model_that_somebody_deletes_in_mlflow_keeps_nobody_from_deciding(own_promoted):
    decisions = open_decisions(own_promoted.folder)
    model = decisions.version(1).registered.details["model_id"]
    decisions.registry.client.delete_logged_model(model)
    claim = decisions.entry(CLAIM, 1, details={"set": "s"})
    decisions.decide(lambda standing: Draft(entries=(claim,)))
    assert open_decisions(own_promoted.folder).standing.champion == 1
    (left,) = check(own_promoted.folder, repair=True).left
    assert left.endswith("is not stored with it")
