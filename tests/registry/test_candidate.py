"""A candidate is what the lock vouches for; what is measured of it before the gate, and when."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pandas as pd
import pytest

from pasam.config.requirements import GateParams
from pasam.data.manifest import read_manifest
from pasam.errors import RegistryError
from pasam.registry import promotion
from pasam.registry.decision_log import Entry, Standing, VersionStanding
from pasam.registry.gate import PROMOTE, REJECT, Gain, GateCheck, GateDecision, Preconditions
from pasam.registry.promotion import Judgement
from pasam.registry.snapshot import read_lock, take_snapshot
from pasam.registry.store import Tag
from pasam.registry.version_files import (
    _tags,
    comparable_rows,
    complete_scores,
    find_candidate,
    metadata,
    weights_label,
)


def test_a_candidate_has_its_files_scores_and_lineage(promoted):
    found = find_candidate(take_snapshot(promoted.folder), "pa_sam")
    assert found.stage == "train@pa_sam"
    assert found.adapter == promoted.path("data/adapters/pa_sam.safetensors")
    scored = [set(found.scores[column]) for column in ("benchmark", "model")]
    assert scored == [{"dis_like", "thin_like"}, {"pa_sam"}]
    assert len(found.measured.evaluation_set) == 32
    assert found.key == f"{found.lineage['adapter.sha256']}-{found.lineage['base.sha256']}"
    assert {"data.generated.seed", "validate.drift_p", "train.seed"} <= found.params.keys()
    assert json.loads(metadata(found, "0" * 64))["variant"]["decoder"] == "pa_sam"


def test_an_unknown_model_is_told_with_those_there_are(promoted):
    with pytest.raises(RegistryError, match=r"no training of 'best' .*'train@hq_sam'"):
        find_candidate(take_snapshot(promoted.folder), "best")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data/adapters/pa_sam.safetensors", "be judged: train@pa_sam is not.*has changed"),
        ("data/scores/pa_sam.parquet", "pa_sam cannot be judged: evaluate@pa_sam is not"),
    ],
)
def test_files_that_are_not_the_locks_are_refused(path, words, tracked):
    tracked.path(path).write_bytes(b"other")
    with pytest.raises(RegistryError, match=words):
        find_candidate(take_snapshot(tracked.folder), "pa_sam")


def relocked(snapshot, name, path, md5):
    """The snapshot as if a stage had made an output anew."""
    stage = snapshot.lock.stages[name]
    outs = {**stage.outs, path: dataclasses.replace(stage.outs[path], md5=md5)}
    stages = {**snapshot.lock.stages, name: dataclasses.replace(stage, outs=outs)}
    return dataclasses.replace(snapshot, lock=dataclasses.replace(snapshot.lock, stages=stages))


@pytest.mark.parametrize(
    ("stage", "path", "words"),
    [
        ("embed@val", "data/embeddings/val",
         "evaluate@pa_sam has read another data/embeddings/val than embed@val made last"),
        ("validate", "reports/validation/verdict.json",
         "has read another reports/validation/verdict.json than validate"),
    ],
)  # fmt: skip
def test_scores_of_data_that_was_made_anew_since_are_refused(stage, path, words, tracked):
    snapshot = relocked(take_snapshot(tracked.folder), stage, path, "0" * 32)
    with pytest.raises(RegistryError, match=words):
        find_candidate(snapshot, "pa_sam")


@pytest.mark.parametrize(
    ("path", "maker"),
    [("reports/validation/verdict.json", "validate"), ("data/manifest.parquet", "prepare")],
)
def test_what_was_edited_since_it_was_made_vouches_for_nothing(path, maker, tracked):
    assert take_snapshot(tracked.folder).validation() == "passed"
    place = tracked.path(path)
    place.write_bytes(place.read_bytes() + b"\n")
    snapshot = take_snapshot(tracked.folder)
    assert snapshot.validation() == "not validated"
    with pytest.raises(RegistryError, match=f"{path} has changed since {maker} made it"):
        find_candidate(snapshot, "pa_sam")


def test_every_mask_of_every_benchmark_needs_a_score(promoted):
    snapshot = take_snapshot(promoted.folder)
    scores = find_candidate(snapshot, "pa_sam").scores
    assert complete_scores(snapshot, scores) is scores
    one_less = scores.drop(index=scores.index[0])
    with pytest.raises(RegistryError, match=r"the scores lack .* of dis_like \(1 in all, of "):
        complete_scores(snapshot, one_less)
    with pytest.raises(RegistryError, match="the scores lack .* of thin_like"):
        complete_scores(snapshot, scores[scores["benchmark"] == "dis_like"])
    renamed = pd.concat([scores, scores.head(1).assign(image_id="dis_like/other")])
    with pytest.raises(RegistryError, match="are of others, such as dis_like/other"):
        complete_scores(snapshot, renamed)


def test_generated_data_the_small_base_and_real_weights_are_told_apart(promoted):
    stage = read_lock(promoted.folder).stages["train@pa_sam"]
    rows = read_manifest(promoted.path("data/manifest.parquet"))

    def label(dataset, size):
        """Name the weights of a project whose images are of these data sets."""
        snapshot = take_snapshot(promoted.folder)
        frame = rows.assign(dataset=dataset)
        vars(snapshot)["manifest"] = frame  # a cached property
        return weights_label(snapshot, stage, size=size)

    generated, own = rows["dataset"], "photographs"
    assert label(generated, "vit_b") == "generated data"
    assert label(generated, "tiny") == "generated data and the small base"
    assert label(own, "vit_b") == "real"
    first = rows.index[rows["split"] == "train"][0]
    for mixed in (
        generated.where(rows.index != first, own),
        pd.Series(own, rows.index).where(rows.index != first, "generated_train"),
    ):
        assert label(mixed, "vit_b") == "partly generated data"
        assert label(mixed, "tiny") == "partly generated data and the small base"
    only_measured = pd.Series(own, rows.index).where(rows["split"] == "train", "dis_like")
    assert label(only_measured, "vit_b") == "real"  # trained on photographs alone


def test_a_model_that_was_never_trained_is_labelled(tracked):
    stage = read_lock(tracked.folder).stages["train@pa_sam"]
    tracked.path("reports/history/pa_sam.jsonl").write_text("")
    snapshot = take_snapshot(tracked.folder)
    assert weights_label(snapshot, stage, size="vit_b") == "an untrained model"


def test_only_clean_images_with_the_box_prompt_are_compared(promoted):
    scores = find_candidate(take_snapshot(promoted.folder), "pa_sam").scores
    others = [scores.assign(corruption="blur_1"), scores.assign(prompt="points_3")]
    kept = comparable_rows(pd.concat([scores, *others]))
    pd.testing.assert_frame_equal(kept, scores)


GATE = GateParams(
    mode="on", model="m", minimum_gain=0.0, margin=1.0, confidence=0.95, n_resamples=200,
    attempts=1, seed=0, floor_mean=0.0, floor_benchmark=0.0, latency_ms=100.0, latency_ratio=1.5,
    latency="required", sealed=[], allow_generated=False,
)  # fmt: skip
TODAY = {Tag.EVALUATION_SET: "today", Tag.EVALUATOR_VERSION: "e", Tag.VALIDATION: "passed"}


def registered(number, **tags):
    made = {Tag.DIRTY: "false", Tag.PUSHED: "true", Tag.WEIGHTS: "real", **TODAY, **tags}
    entry = Entry(
        event="register", version=number, details={"key": f"k{number}", "tags": made},
        evidence={"scores.parquet": f"s{number}"},
    )  # fmt: skip
    return VersionStanding(number=number, registered=entry, status="registered", entries=(entry,))


def before_the_gate(monkeypatch, *, candidate=None, champion=1, tree=GATE, dirty=False, **how):
    """Version 2 before the gate, with stand-ins for all that is measured, and notes of them."""
    names = (
        "trial_images", "reload_parity", "corrected_images", "latencies", "reevaluate",
        "remeasure", "judge", "predictor_of", "open_files", "write_files", "scores_of",
        "same_images", "score_bytes",
    )  # fmt: skip
    made = SimpleNamespace(**{name: MagicMock(name=name) for name in names})
    for name in names:
        monkeypatch.setattr(promotion, name, getattr(made, name))
    made.predictor_of.side_effect = lambda folder: f"model of {folder}"
    made.scores_of.side_effect = lambda log, version: f"scores of {version.number}"
    made.score_bytes.side_effect = lambda scores: str(scores).encode()
    made.latencies.side_effect = lambda models, seen, settled: [float(len(m)) for m in models]
    decisions = MagicMock()
    decisions.fetched.side_effect = lambda number: nullcontext(Path(f"v{number}"))
    versions_ = {number: registered(number) for number in (1, 2)}
    standing = Standing(versions=versions_, champions=[champion] if champion else [])
    decisions.standing = standing
    decisions.entry.side_effect = lambda event, number, why="", **more: Entry(
        event=event, version=number, why=why, before=standing.champion,
        **{"after": standing.champion, **more},
    )  # fmt: skip
    snapshot = SimpleNamespace(lineage=TODAY, git=SimpleNamespace(dirty=dirty, pushed=False))
    judgement = Judgement(
        snapshot=snapshot, decisions=decisions, version=versions_[2], candidate=candidate,
        tree=tree, allow_local=how.get("allow_local", False), why=how.get("why", ""),
    )  # fmt: skip
    monkeypatch.setattr(Judgement, "_own_folder", lambda self: Path("own"))
    return judgement, standing, made


ACCEPTS = GateDecision(
    decision=PROMOTE, checks=(GateCheck(name="gain", passed=True, reason="+2"),), mean_score=60.0,
    scores={"dis": 60.0}, mean_gain=Gain(mean=2.0, low=1.0, std=3.0, images=9),
    gains={"dis": Gain(mean=2.0, low=1.0, std=3.0, images=9)},
)  # fmt: skip
REFUSES = dataclasses.replace(
    ACCEPTS, decision=REJECT, checks=(GateCheck(name="gain", passed=False, reason="-2"),)
)


@pytest.mark.parametrize("against", ["champion", "nobody yet", "nobody, for staging"])
def test_a_judgement_measures_the_version_and_what_it_is_compared_with(against, monkeypatch):
    champion = None if against == "nobody yet" else 1
    how = {"tree": GATE.replaced(latency_ms=80.0, latency_ratio=1.2), "allow_local": True}
    judgement, standing, made = before_the_gate(monkeypatch, champion=champion, **how)
    facts = judgement._facts()
    alone = against != "champion"
    _, tables = judgement._assess(standing, GATE, facts, alone=against.startswith("nobody, "))
    seen = made.trial_images.return_value
    made.trial_images.assert_called_once_with(judgement.snapshot, count=promotion.TRIALS)
    made.reload_parity.assert_called_once_with(Path("v2"), "model of v2", seen)
    theirs = None if alone else "scores of 1"
    made.remeasure.assert_called_once_with(
        judgement.snapshot, "model of v2", "scores of 2", champion=theirs
    )
    models = {"candidate": "model of v2"} | ({} if alone else {"champion": "model of v1"})
    made.corrected_images.assert_called_once_with(Path("own"), models)
    order = ["model of v2", *([] if alone else ["model of v1"])]
    (given,) = made.latencies.call_args_list
    assert given.args == (order, seen)
    settled = given.kwargs["settled"]
    if alone:
        assert (settled([100.0]), settled([100.1])) == (True, False)
    else:
        assert (settled([75.0, 50.0]), settled([75.1, 50.0])) == (True, False)
        assert (settled([100.0, 90.0]), settled([100.1, 90.0])) == (True, False)
    ours, other, checked, gate = made.judge.call_args.args
    assert (ours.scores, ours.latency_ms, gate) == ("scores of 2", 11.0, GATE)
    assert (None if other is None else other.scores) == theirs
    assert made.judge.call_args.kwargs == ({} if alone else {"attempt": 1})
    assert checked == Preconditions(
        clean=True, pushed=True, local_allowed=True, validation="passed", weights="real",
        reload_parity=made.reload_parity.return_value, remeasured=made.remeasure.return_value,
    )  # fmt: skip
    kept = {"scores.parquet": b"scores of 2"}
    assert tables == kept | ({} if alone else {"champion.parquet": b"scores of 1"})


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("otherwise", [Tag.EVALUATION_SET, Tag.EVALUATOR_VERSION])
def test_whichever_was_measured_otherwise_is_measured_again(number, otherwise, monkeypatch):
    judgement, standing, made = before_the_gate(monkeypatch)
    standing.versions[number] = registered(number, **{otherwise: "before"})
    judgement.version = standing.versions[2]
    made.reevaluate.return_value = "again"
    judgement._assess(standing, GATE, judgement._facts())
    made.reevaluate.assert_called_once_with(judgement.snapshot, f"model of v{number}")
    wanted = {1: "scores of 1", 2: "scores of 2"} | {number: "again"}
    assert [each.scores for each in made.judge.call_args.args[:2]] == [wanted[2], wanted[1]]


def test_a_champion_of_other_images_is_measured_again_and_the_candidates_scores_stay(monkeypatch):
    candidate = SimpleNamespace(scores="its own")
    judgement, standing, made = before_the_gate(monkeypatch, candidate=candidate)
    made.same_images.return_value = False
    made.reevaluate.return_value = "again"
    made.open_files.return_value = "trained"
    _, tables = judgement._assess(standing, GATE, judgement._facts())
    made.same_images.assert_called_once_with("its own", "scores of 1")
    made.reevaluate.assert_called_once_with(judgement.snapshot, "model of v1")
    assert [each.scores for each in made.judge.call_args.args[:2]] == ["its own", "again"]
    assert tables == {"scores.parquet": b"its own", "champion.parquet": b"again"}
    made.reload_parity.assert_called_once_with(
        Path("v2"), "trained", made.trial_images.return_value
    )


@pytest.mark.parametrize("own", [False, True])
def test_the_facts_of_an_older_version_are_those_it_was_registered_with(own, monkeypatch):
    judgement, standing, _ = before_the_gate(
        monkeypatch, candidate=SimpleNamespace() if own else None, dirty=True, allow_local=True
    )
    judgement.version = registered(2, **{Tag.WEIGHTS: "the small base", Tag.PUSHED: "false"})
    assert judgement._facts() == {
        "clean": not own, "pushed": False, "local_allowed": True, "validation": "passed",
        "weights": "the small base",
    }  # fmt: skip
    judgement.snapshot.git.pushed = True
    assert judgement._facts()["pushed"] is own
    judgement.version = registered(2, **{Tag.DIRTY: "unknown", Tag.PUSHED: "unknown"})
    facts = judgement._facts()
    assert (facts["clean"], facts["pushed"]) == (False, own), "only what is known is believed"


def judged(judgement, decision=ACCEPTS, **changes):
    """The version after a verdict on it."""
    details = {
        **judgement._details(decision, 1, GATE, judgement._facts()), **changes.pop("details", {})
    }  # fmt: skip
    verdict = Entry(
        event="verdict", version=2, gate=changes.get("gate", promotion.settings_digest(GATE)),
        details=details, evidence={"scores.parquet": changes.get("scores", "s2")}, number=7,
    )  # fmt: skip
    return dataclasses.replace(judgement.version, verdict=verdict)


OTHERWISE = [
    {"gate": "other"}, {"scores": "s3"}, {"details": {"champion": 3}},
    {"details": {"measured": {"evaluation_set": "before", "evaluator": "e"}}},
    {"details": {"facts": {}}},
]  # fmt: skip


@pytest.mark.parametrize("changes", [None, *OTHERWISE])
def test_a_verdict_holds_as_long_as_all_that_it_was_given_against(changes, monkeypatch):
    for decision in (ACCEPTS, REFUSES):
        judgement, standing, made = before_the_gate(monkeypatch)
        standing.versions[2] = judged(judgement, decision, **dict(changes or {}))
        made.judge.return_value = decision
        entries = judgement.draft(standing).entries
        again = [] if changes is None else ["verdict"]
        assert [each.event for each in entries] == [
            *again, *(["promote"] if decision is ACCEPTS else [])
        ]  # fmt: skip
        assert made.judge.called is bool(again)


def test_of_a_dry_run_what_was_accepted_is_judged_again_and_a_refusal_holds(monkeypatch):
    gate = GATE.replaced(mode="dry-run")
    judgement, standing, made = before_the_gate(monkeypatch, tree=gate)
    details = {"gate": promotion.settings_of(gate)}
    digest = promotion.settings_digest(gate)
    for decision, again in ((REFUSES, []), (ACCEPTS, ["verdict"])):
        standing.versions[2] = judged(judgement, decision, gate=digest, details=dict(details))
        made.judge.return_value = decision
        assert [each.event for each in judgement.draft(standing).entries] == again


@pytest.mark.parametrize(
    ("mode", "decision", "events"),
    [
        ("on", ACCEPTS, ["verdict", "promote"]), ("on", REFUSES, ["verdict"]),
        ("dry-run", ACCEPTS, ["verdict"]), ("dry-run", REFUSES, ["verdict"]),
        ("off", REFUSES, ["promote"]),
    ],
)  # fmt: skip
def test_what_follows_from_a_judgement_is_the_gates_mode(mode, decision, events, monkeypatch):
    gate = GATE.replaced(mode=mode)
    judgement, standing, made = before_the_gate(monkeypatch, tree=gate, why="a person's")
    made.judge.return_value = decision
    draft = judgement.draft(standing)
    assert [each.event for each in draft.entries] == events
    for each in draft.entries:
        assert (each.version, each.before) == (2, 1)
        assert each.after == (2 if each.event == "promote" else 1)
        assert each.why == ("a person's" if each.event == "promote" else decision.reasons[0])
    if "verdict" in events:
        verdict = draft.entries[0]
        assert verdict.gate == promotion.settings_digest(gate)
        assert verdict.details["attempt"] == 1
        assert verdict.details["champion"] == 1
        assert promotion.decision_of(verdict.details) == decision
        assert set(draft.evidence) == set(verdict.evidence.values())
        contents = {name: draft.evidence[digest] for name, digest in verdict.evidence.items()}
        assert contents == {
            "scores.parquet": b"scores of 2", "champion.parquet": b"scores of 1"
        }  # fmt: skip
    staged = judgement._draft_of_staging(standing)
    (entry,) = staged.entries
    assert (entry.event, entry.after, entry.details["environment"]) == ("stage", 1, "staging")
    assert (entry.why, entry.gate) == ("a person's", promotion.settings_digest(gate))
    kept = {name: staged.evidence[digest] for name, digest in entry.evidence.items()}
    assert kept == {"scores.parquet": b"scores of 2"}
    judgement.why = ""
    assert judgement._draft_of_staging(standing).entries[0].why == decision.reasons[0]
    assert entry.details["champion"] is None
    assert entry.details["moved"] is (mode == "off" or (mode == "on" and decision is ACCEPTS))


def test_neither_a_champion_nor_barred_numbers_nor_what_is_in_staging_are_judged(monkeypatch):
    judgement, standing, made = before_the_gate(monkeypatch)
    standing.staging = 2
    assert judgement._draft_of_staging(standing).entries == ()
    standing.champions.append(2)
    assert judgement.draft(standing).entries == ()
    standing.champions.pop()
    standing.staging = None
    standing.barred["k2"] = Entry(event="reject", version=2)
    assert judgement.draft(standing).entries == ()
    assert judgement._draft_of_staging(standing).entries == ()
    assert not made.judge.called


def test_settings_in_force_are_the_logs_but_for_the_model_and_what_it_does_not_know():
    logged = {**promotion.settings_of(GATE), "margin": 7.0, "gone": 1}
    del logged["seed"]
    standing = Standing(gate=Entry(event="gate", details={"settings": logged}))
    tree = GATE.replaced(model="other", margin=2.0, seed=9, latency_ms=5.0)
    assert promotion.gate_in_force(standing, tree) == GATE.replaced(
        model="other", margin=7.0, seed=9
    )
    assert promotion.gate_in_force(Standing(), tree) == tree
    same, different = tree.replaced(model="m"), tree.replaced(margin=2.1)
    assert promotion.settings_digest(same) == promotion.settings_digest(tree)
    assert promotion.settings_digest(different) != promotion.settings_digest(tree)


@pytest.mark.parametrize(("before", "now", "kept"), [
    ("false", "true", True), ("false", "false", False), ("true", "true", False),
    ("true", "false", False), (None, "true", False),
])  # fmt: skip
def test_a_clean_commit_is_kept_by_its_tags_and_the_scores_are_todays(before, now, kept):
    rows = [
        {"model": "m", "benchmark": name, "image_id": name, "group": name, "boundary_iou": value}
        for name, value in (("dis", 0.5), ("mean", 0.7), ("photos", 0.1))
    ]
    lineage = {Tag.DIRTY: now, Tag.COMMIT: "new", Tag.EVALUATION_SET: "today"}
    candidate = SimpleNamespace(
        scores=pd.DataFrame(rows), lineage=lineage, model="m", weights="real"
    )
    old = {Tag.DIRTY: before, Tag.COMMIT: "old", Tag.EVALUATION_SET: "then", Tag.SCORES: "{}"}
    details = {"key": "k", "tags": old}
    version = VersionStanding(
        number=1, registered=Entry(event="register", details=details), status=""
    )
    tags = _tags(candidate, None if before is None else version)
    assert tags[Tag.COMMIT] == ("old" if kept else "new")
    assert tags[Tag.EVALUATION_SET] == "today"
    assert json.loads(tags[Tag.SCORES]) == {"mean": 60.0, "dis": 50.0, "photos": 10.0}


def decisions_of(standing):
    """What a result is told of: what was decided, and where it is shown."""
    registry = SimpleNamespace(page=lambda number: f"page of {number}")
    return SimpleNamespace(standing=standing, notes=["By the way."], registry=registry)


@pytest.mark.parametrize(
    ("number", "to", "promoted", "words"),
    [
        (1, "production", True, "version 1 is the champion already; its files are the same"),
        (1, "staging", None, ""),
        (2, "staging", True, "version 2 is in staging already; its files are the same"),
        (2, "production", None, ""),
        (3, "production", False, "are barred: rejected on 2026-05-04 by Ada (halos). They stay"),
        (3, "staging", False, '`pasam registry lift 3 --why "..."`. By the way.'),
        (4, "production", False, "version 4 has bytes that are barred: rolled back as version 9"),
        (4, "staging", False, "`pasam registry lift 9 --why"),
        (5, "production", None, ""),
    ],
)
def test_what_is_in_use_there_or_barred_needs_no_judgement_and_it_is_said_why(
    number, to, promoted, words
):
    versions = {each: registered(each, **{Tag.SEED: f"{each}7"}) for each in range(1, 6)}
    standing = Standing(versions=versions, champions=[1], staging=2)
    about = {"time": "2026-05-04T10:11", "by": {"who": "Ada"}, "why": "halos"}
    standing.barred["k3"] = Entry(event="reject", version=3, **about)
    standing.barred["k4"] = Entry(event="rollback", version=9, **about)
    found = promotion._settled(decisions_of(standing), versions[number], to)
    if promoted is None:
        assert found is None
        return
    assert (found.version, found.promoted, found.moved) == (number, promoted, False)
    assert (found.address, found.seed) == (f"page of {number}", f"{number}7")
    assert words in found.message


@pytest.mark.parametrize(
    ("mode", "decision", "moved", "words"),
    [
        ("on", ACCEPTS, True, "is in staging now; `pasam registry promote staging` takes it on"),
        ("dry-run", ACCEPTS, False, "was accepted for staging; gate.mode is dry-run"),
        ("on", REFUSES, False, "was refused by staging's gate"),
        ("off", REFUSES, True, "is in staging now"),
        (None, REFUSES, False, "is in staging already"),
    ],
)
def test_staging_says_what_its_gate_said_and_what_came_of_it(
    mode, decision, moved, words, monkeypatch
):
    tree = GATE if mode is None else GATE.replaced(mode=mode)
    judgement, standing, made = before_the_gate(monkeypatch, tree=tree)
    standing.staging = 2 if mode is None else None
    made.judge.return_value = decision
    judgement.decisions.decide = lambda draft: draft(standing).entries
    judgement.decisions.notes = []
    monkeypatch.setattr(Judgement, "_page", lambda self, entry: f"page of {entry.event}")
    found = judgement.stage()
    assert (found.version, found.moved) == (2, moved)
    assert found.promoted is (moved or mode is None)
    assert found.message.startswith(f"version 2 {words}")
    assert (found.gate, found.page) == (
        (None, None) if mode is None else (decision, "page of stage")
    )


def gate_entry(**changes):
    settings = promotion.settings_of(GATE.replaced(**changes))
    digest = promotion.settings_digest(GATE.replaced(**changes))
    return Entry(event="gate", gate=digest, details={"settings": settings})


@pytest.mark.parametrize(
    ("champion", "decision", "moved", "new", "words"),
    [
        (1, ACCEPTS, True, True, "is champion now"),
        (1, ACCEPTS, True, False, "is champion now (entry 7 of the log; nothing has changed"
         " since)"),
        (1, ACCEPTS, False, True, "was accepted; gate.mode is dry-run"),
        (None, REFUSES, False, True, "was refused by the gate"),
        (1, REFUSES, False, False, "was refused by the gate, beside version 1, the champion (entry"
         " 7 of the log; nothing has changed since)"),
    ],
)  # fmt: skip
def test_a_verdict_is_told_with_the_champion_beside_it_and_whether_it_is_new(
    champion, decision, moved, new, words, monkeypatch
):
    judgement, standing, _ = before_the_gate(monkeypatch, champion=champion)
    verdict = Entry(event="verdict", number=7)
    assert judgement._message(decision, verdict, moved=moved, new=new) == words
    standing.gate = gate_entry()
    assert judgement._message(decision, verdict, moved=moved, new=new) == words
    standing.gate = gate_entry(margin=5.0)
    said = judgement._message(decision, verdict, moved=moved, new=new)
    assert said.startswith(f"{words}. The gate of params.yaml differs from the one in force")


def test_a_decision_off_the_gate_is_told_without_it_and_one_by_it_with_its_page(monkeypatch):
    for mode, decision in (("off", None), ("on", ACCEPTS), ("on", REFUSES)):
        judgement, standing, made = before_the_gate(monkeypatch, tree=GATE.replaced(mode=mode))
        made.judge.return_value = decision
        judgement.decisions.notes = []

        def decide(draft, standing=standing):
            entries = [
                dataclasses.replace(entry, number=number)
                for number, entry in enumerate(draft(standing).entries, 4)
            ]
            for entry in entries:
                standing.follow(entry)
            return tuple(entries)

        judgement.decisions.decide = decide
        monkeypatch.setattr(Judgement, "_page", lambda self, entry: f"page of {entry.number}")
        found = judgement.decide()
        moved = decision is not REFUSES
        assert (found.version, found.promoted, found.moved) == (2, moved, moved)
        assert (found.gate, found.page) == (
            (None, None) if decision is None else (decision, "page of 4")
        )
        assert "nothing has changed since" not in found.message
        assert standing.champions == ([1, 2] if moved else [1])
        again = judgement.decide()
        assert (again.promoted, again.moved) == (moved, False)
        assert ("already" in again.message) is moved


def test_a_page_of_a_verdict_that_holds_is_kept_unless_people_have_corrected_images(
    tmp_path, monkeypatch
):
    judgement, _, _ = before_the_gate(monkeypatch)
    judgement.decisions.registry.store.folder = tmp_path
    asked = []
    monkeypatch.setattr(
        promotion, "verdict_pages",
        lambda entry, corrected, place: asked.append((corrected, place))
        or {"verdict.html": f"page {len(asked)}", "verdict.md": "words"},
    )  # fmt: skip
    verdict, place = Entry(event="verdict", number=12), tmp_path / "verdicts" / "v2"
    for corrected, text in (([], "page 1"), ([], "page 1"), (["one"], "page 2")):
        judgement._corrected = corrected
        page = judgement._page(verdict)
        assert page == place / "000012-verdict.html"
        assert page.read_text() == text
    assert (place / "000012-verdict.md").read_text() == "words"
    assert asked == [([], place), (["one"], place)]


def test_a_judgement_is_made_anew_against_another_champion_and_told_so(monkeypatch):
    judgement, standing, made = before_the_gate(monkeypatch)
    made.judge.return_value = REFUSES
    judgement.decisions.notes = []
    judgement.draft(standing)
    assert judgement.decisions.notes == []
    judgement._verdict(standing, GATE, judgement._facts())
    assert made.judge.call_count == 1, "nothing has changed"
    standing.versions[3] = registered(3)
    standing.champions.append(3)
    judgement.draft(standing)
    assert made.judge.call_count == 2
    assert judgement.decisions.notes == [
        "Judged again: version 3 became champion meanwhile, or the gate's settings changed."
    ]
    stricter = GATE.replaced(minimum_gain=1.0)
    judgement._verdict(standing, stricter, judgement._facts())
    assert [each.args[3] for each in made.judge.call_args_list] == [GATE, GATE, stricter]
