"""Reload parity is exact and fails for other weights; times are measured for each model."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from serving_world import Slow
from small_world import dump_yaml, load_yaml

from pasam.config.presets import compose
from pasam.config.requirements import GateParams
from pasam.errors import RegistryError
from pasam.masks.images import write_png
from pasam.masks.mask_files import read_mask
from pasam.masks.prompts import tight_box
from pasam.registry import evidence
from pasam.registry.decision_log import Entry, Standing
from pasam.registry.evidence import (
    compare,
    latencies,
    reevaluate,
    reload_parity,
    remeasure,
    trial_images,
)
from pasam.registry.gate import Gain
from pasam.registry.snapshot import MANIFEST, LockEntry, rows_md5, take_snapshot
from pasam.registry.store import quiet_pyfunc
from pasam.registry.upkeep import claims
from pasam.registry.version_files import complete_scores, find_candidate, predictor_of


@pytest.fixture
def seen(promoted):
    return trial_images(take_snapshot(promoted.folder), count=2)


def test_one_image_of_each_benchmark_is_tried(seen):
    assert len(seen) == 2
    assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in (each.box for each in seen))


@pytest.mark.long
def test_the_served_model_predicts_what_the_trained_one_does_and_no_other(
    champion_folder, seen, monkeypatch
):
    @contextlib.contextmanager
    def quiet():
        with quiet_pyfunc() as made:
            yield made
        assert served in sys.modules, "a process that has registered nothing would hear MLflow warn"

    served = "pasam.registry.pyfunc_model"
    monkeypatch.delitem(sys.modules, served, raising=False)
    monkeypatch.setattr(evidence, "quiet_pyfunc", quiet)
    model = predictor_of(champion_folder)
    assert reload_parity(champion_folder, model, seen)
    with torch.no_grad():
        for parameter in model.segmenter.decoder.parameters():
            parameter.add_(0.05)
    assert not reload_parity(champion_folder, model, seen)


def test_the_first_turn_warms_up_and_is_not_counted(seen, monkeypatch):
    clock = [0.0, 0.0]
    monkeypatch.setattr(evidence.time, "perf_counter", lambda: clock[0])
    slow = [9.0] * len(seen) + [0.001, 0.002] * evidence.TURNS
    even = [0.004] * len(seen) * (evidence.TURNS + 1)
    found = latencies([Slow(clock, slow), Slow(clock, even)], seen)
    assert found == pytest.approx([1.5, 4.0])


@pytest.fixture
def clock(monkeypatch):
    """The clock's time and the processor's, which stand still by themselves."""
    times = [0.0, 0.0]
    monkeypatch.setattr(evidence.time, "perf_counter", lambda: times[0])
    monkeypatch.setattr(evidence.time, "process_time", lambda: times[1])
    return times


def judged(times):
    return times[0] <= 1.5 * times[1]


def test_a_busy_machine_makes_no_model_slow_and_a_slow_one_is_tried_long_enough(seen, clock):
    """The candidate is disturbed in the first hundred turns, and the champion never."""
    images = len(seen)
    disturbed = [0.009] * images * 100 + [0.004] * images * evidence.LONGEST
    calm = [0.004] * images * (evidence.LONGEST + 1)
    pair = [Slow(clock, disturbed, work=0.004), Slow(clock, calm, work=0.004)]
    assert latencies(pair, seen, settled=judged) == pytest.approx([4.0, 4.0])
    slower = [0.0065] * images * (evidence.MOST_TURNS + 1)  # no more: both say so
    pair = [Slow(clock, slower, work=0.0065), Slow(clock, calm, work=0.004)]
    assert latencies(pair, seen, settled=judged) == pytest.approx([6.5, 4.0])


def test_the_processors_time_is_the_mean_of_the_turns_that_count(seen, clock):
    """More turns than the fewest would be asked for if the two did not agree on 4 ms."""
    model = Slow(clock, [0.004] * len(seen) * (evidence.TURNS + 1), work=0.004)
    assert latencies([model], seen, settled=lambda t: abs(t[0] - 4) < 0.1) == pytest.approx([4.0])


def test_a_slow_model_gains_nothing_by_a_champion_that_was_disturbed_at_first(seen, clock):
    images = len(seen)
    slow = [0.0065] * images * (evidence.LONGEST + 1)
    disturbed = [0.009] * images * 12 + [0.004] * images * evidence.LONGEST
    pair = [Slow(clock, slow, work=0.0065), Slow(clock, disturbed, work=0.004)]
    assert latencies(pair, seen, settled=judged) == pytest.approx([6.5, 4.0])


def test_where_clock_and_processor_disagree_to_the_end_the_clock_decides(seen, clock):
    waits = [0.0065] * len(seen) * (evidence.LONGEST + 1)
    calm = [0.004] * len(seen) * (evidence.LONGEST + 1)
    pair = [Slow(clock, waits, work=0.004), Slow(clock, calm, work=0.004)]
    assert latencies(pair, seen, settled=judged) == pytest.approx([6.5, 4.0])


def turn_round(stop):
    while not stop.is_set():
        sum(range(1000))


class Slower:
    """A model that takes half as long again for every prediction."""

    def __init__(self, model):
        self.model, self.embed = model, model.embed

    def predict_many(self, requests):
        start = time.process_time()
        self.model.predict_many(requests)
        until = 1.5 * time.process_time() - 0.5 * start
        while time.process_time() < until:
            pass


@pytest.mark.slow
def test_beside_five_busy_loops_20_judgements_of_one_model_agree_and_a_slower_one_never_passes(
    champion_folder, seen, root, monkeypatch
):
    monkeypatch.setattr(evidence, "MOST_TURNS", 30)  # a slow one takes all of them, 20 times
    gate = GateParams(**compose("default", root / "params")["gate"])
    model = predictor_of(champion_folder)
    limit = lambda times: min(gate.latency_ms, gate.latency_ratio * times[1])  # noqa: E731
    passing = lambda times: times[0] <= limit(times)  # noqa: E731
    stop = multiprocessing.Event()
    loops = [multiprocessing.Process(target=turn_round, args=(stop,)) for _ in range(5)]
    for loop in loops:
        loop.start()
    try:
        equal = [passing(latencies([model, model], seen, settled=passing)) for _ in range(20)]
        pair = [Slower(model), model]
        slower = [passing(latencies(pair, seen, settled=passing)) for _ in range(20)]
    finally:
        stop.set()
        for loop in loops:
            loop.join()
    assert (equal, slower) == ([True] * 20, [False] * 20)


@pytest.mark.long
def test_scores_that_somebody_edited_differ_from_a_sample_measured_again(promoted, champion_folder):
    snapshot, model = take_snapshot(promoted.folder), predictor_of(champion_folder)
    scores = find_candidate(snapshot, "pa_sam").scores
    assert remeasure(snapshot, model, scores) == pytest.approx(0.0, abs=0.01)
    better = scores.assign(boundary_iou=(scores["boundary_iou"] + 0.02).clip(0, 1))
    assert remeasure(snapshot, model, better) > 0.5
    assert math.isnan(remeasure(snapshot, model, scores.assign(image_id="other")))
    assert math.isnan(remeasure(snapshot, model, scores[1:])), "one mask of several has no score"


@pytest.mark.long
def test_a_few_scores_that_were_raised_a_lot_are_always_among_the_sample(promoted, champion_folder):
    snapshot, model = take_snapshot(promoted.folder), predictor_of(champion_folder)
    before = find_candidate(snapshot, "pa_sam").scores
    raised = before.copy()
    raised.loc[raised.index[-1], "boundary_iou"] += 0.2
    for _ in range(8):  # drawn alone, one of the two masks is missed half of the time
        assert remeasure(snapshot, model, raised, champion=before, count=1) > 4
    assert remeasure(snapshot, model, before, champion=before, count=1) == pytest.approx(0, abs=0.1)


def test_embeddings_that_were_changed_measure_nothing(tracked, promoted, champion_folder):
    snapshot, model = take_snapshot(tracked.folder), predictor_of(champion_folder)
    assert len(reevaluate(snapshot, model))
    place = tracked.path("data/embeddings/val/embedding.npy")
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    with pytest.raises(RegistryError, match="data/embeddings/val has changed since embed@val made"):
        reevaluate(snapshot, model)


@pytest.mark.long
def test_every_model_gets_a_time(champion_folder, seen):
    model = predictor_of(champion_folder)
    times = latencies([model, model], seen)
    assert len(times) == 2
    assert all(0 < time < 60_000 for time in times)


def of_other_data(snapshot):
    """The project as if its embeddings had been made of another manifest."""
    embed = snapshot.lock.stages["embed@val"]
    deps = {
        path: dataclasses.replace(entry, md5="0" * 32) if path.endswith(MANIFEST) else entry
        for path, entry in embed.deps.items()
    }
    stages = {**snapshot.lock.stages, embed.name: dataclasses.replace(embed, deps=deps)}
    return dataclasses.replace(snapshot, lock=dataclasses.replace(snapshot.lock, stages=stages))


@pytest.mark.parametrize("embedded", [True, False])
def test_measuring_again_gives_the_stages_scores(embedded, promoted, champion_folder, monkeypatch):
    encoded = []
    real = evidence._encode
    monkeypatch.setattr(evidence, "_encode", lambda *a: encoded.append(a) or real(*a))
    snapshot = take_snapshot(promoted.folder)
    if not embedded:
        snapshot = of_other_data(snapshot)
    found = reevaluate(snapshot, predictor_of(champion_folder))
    assert bool(encoded) is not embedded
    wanted = find_candidate(take_snapshot(promoted.folder), "pa_sam").scores
    order = ["benchmark", "image_id"]
    both = [f.sort_values(order, ignore_index=True)["boundary_iou"] for f in (found, wanted)]
    pd.testing.assert_series_equal(*both)


def scores(rows):
    return pd.DataFrame(rows, columns=["benchmark", "image_id", "boundary_iou"])


BEFORE = scores([("dis", "a", 0.5), ("dis", "b", 0.7), ("dis", "gone", 0.1)])


def test_known_masks_are_compared_and_new_ones_stand_alone():
    today = scores([("dis", "a", 0.5), ("dis", "b", 0.6), ("dis", "c", 0.2)])
    watch = compare(4, BEFORE, today)
    (row,) = watch.rows
    assert (row.benchmark, row.known, row.new) == ("dis", 2, 1)
    assert (row.judged, row.today, row.on_new) == pytest.approx((60, 55, 20))
    assert watch.message == (
        "Version 4 is champion; 1 mask is new since it was judged. "
        "On what is new it scores 20.00 points of boundary IoU."
    )


def test_a_masks_prompts_count_as_one_mask():
    today = scores([("dis", "c", 0.2), ("dis", "c", 0.4), ("dis", "d", 0.6)])
    (row,) = compare(1, BEFORE, today).rows
    assert row.new == 2
    assert row.on_new == pytest.approx(45)


def test_a_benchmark_without_new_images_shows_a_dash():
    watch = compare(1, BEFORE, BEFORE)
    (row,) = watch.rows
    assert math.isnan(row.on_new)
    assert row.shown() == {
        "benchmark": "dis", "known": 3, "new": 0, "when judged": "43.33", "today": "43.33",
        "on new": "-",
    }  # fmt: skip
    assert watch.message == "Version 1 is champion; no masks are new since it was judged."


def test_a_benchmark_that_is_wholly_new_has_no_past():
    (row,) = compare(1, BEFORE, scores([("own", "x", 0.9)])).rows
    assert (row.known, row.new) == (0, 1)
    assert row.shown()["when judged"] == "-"


def test_what_is_new_is_scored_over_all_new_images_and_not_over_benchmarks():
    today = scores([("dis", "a", 0.5), ("dis", "x", 0.9), ("own", "y", 0.3), ("own", "z", 0.3)])
    watch = compare(2, BEFORE, today)
    assert [(row.benchmark, row.known, row.new) for row in watch.rows] == [
        ("dis", 1, 1), ("own", 0, 2)
    ]  # fmt: skip
    assert watch.message.startswith("Version 2 is champion; 3 masks are new since it was judged.")
    assert "On what is new it scores 50.00 points" in watch.message


@pytest.fixture
def manifest():
    """Six masks of val on each of three sets, and one of train."""
    rows = [
        {"split": "val", "dataset": name, "id": f"{name}/{number}", "image": f"{name}{number}.png",
         "mask": f"{name}{number}_mask.png"}
        for name in ("dis", "coift", "other") for number in range(6)
    ]  # fmt: skip
    learned = {"split": "train", "id": "dis/train", "image": "train.png", "mask": "train_mask.png"}
    return pd.DataFrame([{**rows[0], **learned}, *rows])


def rows_of(ids, values):
    return pd.DataFrame(
        {"benchmark": [one.partition("/")[0] for one in ids], "image_id": list(ids),
         "prompt": "box", "boundary_iou": list(values)}
    )  # fmt: skip


@pytest.mark.parametrize("against", [False, True])
def test_the_sample_is_drawn_of_every_benchmark_and_has_the_largest_gains(
    against, manifest, monkeypatch
):
    ids = [f"{name}/{number}" for name in ("dis", "coift") for number in range(6)]
    handed_in = rows_of(ids, [0.5] * 12)
    champion = rows_of(ids, [0.5] * 12)
    champion.loc[[3, 5, 7, 11], "boundary_iou"] = [0.1, 0.2, 0.3, 0.4]  # of these it gains most
    drawn, measured = [], []

    def again(snapshot, predictor, rows):
        assert (snapshot.manifest is manifest, predictor) == (True, "model")
        drawn.append(sorted(rows["id"]))
        measured.append(rows)
        return rows_of(rows["id"], [0.47] * len(rows))

    monkeypatch.setattr(evidence, "reevaluate", again)
    snapshot = SimpleNamespace(manifest=manifest)
    for _ in range(6):
        difference = remeasure(
            snapshot, "model", handed_in, champion=champion if against else None, count=2
        )
        assert difference == pytest.approx(3.0)
    for names in drawn:
        by_set = [sum(each.startswith(name) for each in names) for name in ("dis", "coift")]
        assert len(names) == sum(by_set), "neither train nor sets that have no scores"
        assert min(by_set) >= 2
        assert max(by_set) <= (4 if against else 2)
        if against:
            assert {"dis/3", "dis/5", "coift/1", "coift/5"} <= set(names)
    assert len({tuple(names) for names in drawn}) > 1, "nobody knows them beforehand"


def test_every_mask_that_is_measured_needs_a_score_and_no_image_that_is_trained_on(manifest):
    ids = [f"{name}/{number}" for name in ("dis", "coift") for number in range(6)]
    scores, more = (rows_of(each, [0.5] * len(each)) for each in (ids, [*ids, "dis/train"]))
    snapshot = SimpleNamespace(manifest=manifest, benchmarks=frozenset({"dis", "coift"}))
    assert complete_scores(snapshot, scores) is scores
    with pytest.raises(
        RegistryError, match=r"of others, such as dis/train of dis \(1 in all, of 12"
    ):
        complete_scores(snapshot, more)


@pytest.mark.parametrize("given", [False, True])
def test_a_model_is_measured_on_the_rows_and_benchmarks_that_are_asked_for(
    given, manifest, monkeypatch, root, tmp_path
):
    seen = {}
    shutil.copy(root / "params.yaml", tmp_path)
    rows = manifest.head(3)
    kept = {"prompt": "box", "corruption": "none", "benchmark": "dis", "image_id": "a"}
    found = [kept, {**kept, "prompt": "points_1"}]

    def measure(entry, store, frame, params):
        seen.update(entry=entry, store=store, frame=frame, benchmarks=params.benchmarks)
        return SimpleNamespace(scores=found)

    monkeypatch.setattr(evidence, "evaluate_benchmarks", measure)
    monkeypatch.setattr(evidence, "_embedded", lambda _, base, how: f"store of {base} in {how}")
    snapshot = SimpleNamespace(project=tmp_path, manifest=manifest)
    segmenter = torch.nn.Linear(1, 1)
    segmenter.base, segmenter.device = SimpleNamespace(encoder_precision="tf32"), "cpu"
    predictor = SimpleNamespace(name="pa_sam", base="b", segmenter=segmenter)
    how = {"benchmarks": ["own"]} if given else {}
    table = reevaluate(snapshot, predictor, rows if given else None, **how)
    assert table.to_dict("records") == [kept]
    usual = tuple(compose("default", root / "params")["evaluate"]["benchmarks"])
    assert seen["benchmarks"] == (("own",) if given else usual)
    assert (seen["entry"].name, seen["entry"].segmenter, seen["store"]) == (
        "pa_sam", segmenter, "store of b in tf32"
    )  # fmt: skip
    wanted = rows if given else manifest
    assert list(seen["frame"]["id"]) == list(wanted["id"])
    for column in ("image", "mask"):
        assert list(seen["frame"][column]) == [str(tmp_path / each) for each in wanted[column]]
        assert not str(manifest[column][0]).startswith("/"), "the manifest stays as it is"


@pytest.mark.parametrize(
    ("embedded", "moved"), [(True, ["gpu!", "cpu"]), (False, ["cpu!", "cpu", "gpu!", "cpu"])]
)
def test_a_model_is_measured_again_on_the_device_that_the_run_measures_on(
    embedded, moved, manifest, monkeypatch, root, tmp_path
):
    content = load_yaml((root / "params.yaml").read_text())
    content["embed"]["accelerator"], content["evaluate"]["accelerator"] = "cpu", "gpu"
    (tmp_path / "params.yaml").write_text(dump_yaml(content))
    places = []
    segmenter = SimpleNamespace(
        device="cpu", to=places.append, base=SimpleNamespace(encoder_precision="tf32"),
    )  # fmt: skip
    chosen = {"cpu": "cpu!", "auto": "gpu!"}  # the GPU where there is one
    monkeypatch.setattr(evidence, "choose_device", chosen.get)
    store = "a store" if embedded else None
    monkeypatch.setattr(evidence, "_embedded", lambda *given: store)
    monkeypatch.setattr(evidence, "_encode", lambda *given: places[-1] == "cpu!" and "made")
    asked = []

    def measure(entry, store, frame, params):
        asked.append((store, places[-1]))
        raise KeyError

    monkeypatch.setattr(evidence, "evaluate_benchmarks", measure)
    predictor = SimpleNamespace(name="pa_sam", base="b", segmenter=segmenter)
    with pytest.raises(KeyError):
        reevaluate(SimpleNamespace(project=tmp_path, manifest=manifest), predictor)
    assert asked == [(store or "made", "gpu!")]
    assert places == moved


def test_one_image_of_each_of_the_first_benchmarks_is_tried_with_its_own_box(tmp_path, manifest):
    for number, name in enumerate(("coift", "dis", "other")):
        for which in range(6):
            drawn = np.zeros((20, 30), np.uint8)
            drawn[2 : 8 + number, 3 + which : 20] = 255
            write_png(tmp_path / f"{name}{which}_mask.png", drawn)
            write_png(tmp_path / f"{name}{which}.png", np.full((20, 30, 3), 9 * number, np.uint8))
    snapshot = SimpleNamespace(project=tmp_path, manifest=manifest)
    seen = trial_images(snapshot, count=2)
    assert [each.box for each in seen] == [
        tuple(map(float, tight_box(read_mask(tmp_path / f"{name}0_mask.png"))))
        for name in ("dis", "coift")
    ]
    assert [int(each.pixels[0, 0, 0]) for each in seen] == [9, 0]
    assert len(trial_images(snapshot, count=9)) == 3


def lock_of(tmp_path, monkeypatch, **changes):
    """A project whose embeddings are of today's data, but for what changes."""
    made = LockEntry(path="data/manifest.parquet", md5="today")
    used = LockEntry(path=made.path, md5=changes.get("data", "today"))
    stage = SimpleNamespace(
        name=changes.get("name", "embed@val"), kind=changes.get("name", "embed@val")[:5],
        deps={used.path: used}, outs={"store": LockEntry(path="store", md5="bytes")},
    )  # fmt: skip
    lock = SimpleNamespace(output=lambda suffix: made, stages={"x": stage})
    if changes.get("there", True):
        (tmp_path / "store").mkdir()
    store = SimpleNamespace(origin={"base": changes.get("base", "b")})
    store.encoder_precision = changes.get("precision", "32-true")
    monkeypatch.setattr(evidence, "open_store", lambda place: store)
    monkeypatch.setattr(evidence, "folder_md5", lambda place: changes.get("bytes", "bytes"))
    return SimpleNamespace(project=tmp_path, lock=lock), store


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"data": "before"}, {"name": "embed@train"}, {"base": "other"}, {"there": False},
        {"precision": "bf16"},
    ],
)  # fmt: skip
def test_only_embeddings_of_the_base_and_of_todays_benchmarks_are_used(
    changes, tmp_path, monkeypatch
):
    snapshot, store = lock_of(tmp_path, monkeypatch, **changes)
    assert evidence._embedded(snapshot, "b", "32-true") is (None if changes else store)


SEALED = GateParams(
    mode="on", model="m", minimum_gain=0.0, margin=1.0, confidence=0.9, n_resamples=200,
    attempts=1, seed=0, floor_mean=0.0, floor_benchmark=0.0, latency_ms=100.0, latency_ratio=1.5,
    latency="required", sealed=["secret", "more"], allow_generated=False,
)  # fmt: skip


@pytest.fixture
def claiming(monkeypatch):
    """Version 3 is champion, after 1 and 2; two claims were made, one of them on this set."""
    earlier = [Entry(event="claim", version=3, details={"set": name}) for name in ("this", "other")]
    standing = Standing(champions=[1, 2, 3], claims=earlier)
    decisions = SimpleNamespace(
        standing=standing, version=lambda which: SimpleNamespace(number=int(which)),
        entry=lambda event, number, why, **more: Entry(
            event=event, version=number, why=why, **more
        ),
    )  # fmt: skip
    made, seen = [], {}
    decisions.decide = lambda draft: made.append(draft(standing)) or made[-1].entries
    gain = Gain(mean=1.5, low=0.25, std=2.0, images=40)

    def gains(ours, theirs, gate, *, level):
        seen.update(ours=ours, theirs=theirs, confidence=gate.confidence, level=level)
        return gain, {"secret": dataclasses.replace(gain, mean=9.0)}

    for name, stand_in in (
        ("open_decisions", lambda project: decisions), ("take_snapshot", lambda project: "look"),
        ("load_section", lambda *given: "tree"), ("_sealed_set", lambda snapshot, gate: "this"),
        ("gate_in_force", lambda standing, tree: SEALED), ("gains_of", gains),
        ("_earlier", lambda standing: 1), ("per_image", lambda scores: f"images of {scores}"),
        ("_scores", lambda decisions, snapshot, gate, number: f"scores of {number}"),
        ("score_bytes", lambda scores: scores.encode()),
    ):  # fmt: skip
        monkeypatch.setattr(claims, name, stand_in)
    return SimpleNamespace(standing=standing, made=made, seen=seen, gain=gain)


@pytest.mark.parametrize(("against", "before"), [(None, 1), ("2", 2)])
def test_a_claim_is_of_the_champion_and_each_on_a_set_halves_what_may_be_wrong(
    against, before, claiming
):
    found = claims.claim(Path("p"), against)
    assert claiming.seen == {
        "ours": "images of scores of 3", "theirs": f"images of scores of {before}",
        "confidence": pytest.approx(0.975), "level": pytest.approx(0.975),
    }  # fmt: skip
    assert (found.champion, found.before, found.use) == (3, before, 2)
    assert found.confidence == pytest.approx(0.975)  # 1 - 0.1 / 4
    assert (found.gain, found.gains["secret"].mean) == (claiming.gain, 9.0)
    assert found.message == (
        f"version 3 gains +1.50 points of boundary IoU over version {before} on 40 sealed images, "
        "shown: the 97.5% lower bound is +0.25 (use 2 of this set)"
    )
    nothing = dataclasses.replace(found, gain=dataclasses.replace(found.gain, low=0.0))
    assert ", not shown: the" in nothing.message
    (draft,) = claiming.made
    (entry,) = draft.entries
    assert (entry.event, entry.version, entry.why) == ("claim", 3, found.message)
    assert (entry.details["set"], entry.details["sealed"]) == ("this", ["secret", "more"])
    assert {name: draft.evidence[digest] for name, digest in entry.evidence.items()} == {
        "sealed.parquet": b"scores of 3", "sealed-before.parquet": f"scores of {before}".encode(),
    }  # fmt: skip


def test_there_is_no_claim_without_a_champion_and_another_before_it_nor_of_one_that_has_gone(
    claiming, monkeypatch
):
    with pytest.raises(RegistryError, match="no champion, or none before it"):
        claims.claim(Path("p"), "3")
    monkeypatch.setattr(claims, "_earlier", lambda standing: None)
    with pytest.raises(RegistryError, match="no champion, or none before it"):
        claims.claim(Path("p"))
    score = claims._scores
    monkeypatch.setattr(
        claims, "_scores", lambda *given: claiming.standing.champions.append(4) or score(*given)
    )
    with pytest.raises(RegistryError, match="version 4 became champion; claim again"):
        claims.claim(Path("p"), "1")
    claiming.standing.champions.clear()
    with pytest.raises(RegistryError, match="no champion, or none before it"):
        claims.claim(Path("p"), "1")
    assert claiming.made == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"sealed": []}, "no data set is sealed: add one"),
        ({"measured": {"dis", "more"}}, r"\['more'\] are sealed, and the last run was measured"),
        ({"sealed": ["secret", "none"]}, r"no images of \['none'\] in its split val"),
        ({"shared": "secret/0"}, "1 sealed images are also trained or measured on"),
    ],
)
def test_sealed_images_are_of_val_and_neither_measured_nor_trained_on(changes, words):
    rows = [
        {"split": split, "dataset": name, "id": f"{name}/{n}", "image_sha256": f"{name}/{n}",
         "mask_sha256": "m"}
        for split, name in (("val", "secret"), ("val", "more"), ("val", "dis"), ("train", "own"),
                            ("train", "none"))
        for n in range(2)
    ]  # fmt: skip
    if "shared" in changes:
        rows[-1]["image_sha256"] = changes["shared"]
    frame = pd.DataFrame(rows)
    look = SimpleNamespace(
        manifest=frame, benchmarks=frozenset(changes.get("measured", {"dis", "own"}))
    )
    gate = SEALED.replaced(sealed=changes.get("sealed", ["secret", "more"]))
    if words is None:
        assert claims._sealed_set(look, gate) == rows_md5(frame[:4])
        return
    with pytest.raises(RegistryError, match=words):
        claims._sealed_set(look, gate)
