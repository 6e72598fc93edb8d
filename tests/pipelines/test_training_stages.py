"""The stage `pretrain`: the small base's weights and how its training went."""

import hashlib
import importlib
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, call

import pandas as pd
import pytest
import torch
from small_world import small_base

from pasam.config.params_file import load_variant
from pasam.data.manifest import read_manifest
from pasam.errors import CheckpointError
from pasam.evaluation.diagnostics import read_diagnostics
from pasam.evaluation.model_set import ModelEntry
from pasam.evaluation.scores import read_scores
from pasam.models.adapter_weights import load_adapter, read_trained_on, read_variant
from pasam.models.build import build_trainable, freeze_decoder
from pasam.models.checkpoint import load_strictly, read_metadata, read_weights
from pasam.training.annotated import MANIFEST as ANNOTATED
from pasam.training.embeddings import open_store
from pipelines.stages.ablate import ablate
from pipelines.stages.embed import embed
from pipelines.stages.pretrain import pretrain
from pipelines.stages.repeat import repeat
from pipelines.stages.train import train

WEIGHTS = "pasam/packaged/tiny.safetensors"


@pytest.mark.long
def test_a_second_run_gives_the_same_bytes_and_leaves_no_state(world, own_world):
    own_world.run("pretrain")
    assert own_world.contents("pretrain") == world.contents("pretrain")
    assert not any(own_world.path("data/resume").glob("*"))


def test_the_weights_are_in_half_precision_and_fit_the_base(world):
    weights = read_weights(world.path(WEIGHTS))
    floating = [tensor for tensor in weights.values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floating} == {torch.float16}
    assert all(torch.isfinite(tensor).all() for tensor in floating)
    load_strictly(small_base().sam, weights, source=WEIGHTS)
    assert read_metadata(world.path(WEIGHTS)) == {"size": "tiny"}


def test_the_history_has_a_row_per_saved_state(world):
    lines = world.path("reports/pretraining/curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]


@pytest.mark.slow  # a training
def test_it_can_start_from_given_weights(world, own_world):
    initial = own_world.path("initial.safetensors")
    initial.write_bytes(own_world.path(WEIGHTS).read_bytes())
    own_world.change("pretrain", initial="initial.safetensors")
    own_world.run("pretrain")
    given, scratch = read_weights(initial), world.contents("pretrain")[WEIGHTS]
    assert own_world.contents("pretrain")[WEIGHTS] != scratch
    # Four small steps from there do not lead far.
    moved = read_weights(own_world.path(WEIGHTS))
    name = "image_encoder.neck.weight"
    assert (moved[name].float() - given[name].float()).abs().max() < 0.05


each_split = pytest.mark.parametrize("split", ["train", "val"])


@pytest.fixture(scope="module")
def manifest(world):
    return read_manifest(world.path("data/manifest.parquet"))


@each_split
def test_a_second_run_gives_the_same_bytes_of_embed(split, world, own_world):
    own_world.run(f"embed@{split}")
    assert own_world.contents(f"embed@{split}") == world.contents(f"embed@{split}")


@each_split
def test_a_store_says_what_it_was_made_from(split, world):
    origin = open_store(world.path(f"data/embeddings/{split}")).origin
    base = world.path("pasam/packaged/tiny.safetensors").read_bytes()
    assert origin["base"] == hashlib.sha256(base).hexdigest()
    assert (origin["split"], origin["views"]) == (split, 2)


def test_training_images_are_seen_in_several_views(world):
    store = open_store(world.path("data/embeddings/train"))
    assert len(store.images) == len(store.embedding) == len(store.early) == 6 * 2
    assert set(store.index["view"]) == {0, 1}
    assert len(store.labels) == len(store.index)


def test_every_mask_of_the_benchmarks_is_there_once(world, manifest):
    store = open_store(world.path("data/embeddings/val"))
    wanted = manifest[manifest["split"] == "val"]["id"]
    assert sorted(store.index["id"]) == sorted(wanted)
    assert len(store.images) == 4 * 2 + 4 * 1  # benchmarks and development sets


def test_without_views_the_store_of_training_holds_nothing(own_world):
    own_world.change("embed", views=0)
    own_world.run("embed@train")
    assert list(own_world.contents("embed@train")) == ["data/embeddings/train/origin.json"]


BASE = "pasam/packaged/tiny.safetensors"

each_model = pytest.mark.parametrize("model", ["hq_sam", "pa_sam"])


@pytest.fixture
def build(world):
    """Build a model as the stage begins with it."""

    def make(model):
        base = small_base()
        load_strictly(base.sam, read_weights(world.path(BASE)), source=BASE)
        torch.manual_seed(42)
        return build_trainable(base, load_variant(model, world.path("params.yaml")))

    return make


@pytest.mark.long
@each_model
def test_a_second_run_gives_the_same_bytes_of_train(model, world, own_world):
    own_world.run(f"train@{model}")
    assert own_world.contents(f"train@{model}") == world.contents(f"train@{model}")


@each_model
def test_the_file_holds_what_learns_and_names_its_base_and_its_choices(model, world, build):
    path = world.path(f"data/adapters/{model}.safetensors")
    assert sorted(read_weights(path)) == sorted(freeze_decoder(build(model).decoder))
    digest = hashlib.sha256(world.path(BASE).read_bytes()).hexdigest()
    words = read_metadata(path)
    assert (words["decoder"], words["base"]) == (model, digest)
    assert read_variant(path) == load_variant(model, world.path("params.yaml"))
    assert read_trained_on(path) == ["generated_train"]


@each_model
def test_training_moves_the_adapter_and_the_frozen_tensors_stay_the_bases(model, world, build):
    segmenter = build(model)
    fresh = {name: t.clone() for name, t in segmenter.decoder.state_dict().items()}
    path = world.path(f"data/adapters/{model}.safetensors")
    load_adapter(segmenter.decoder, path, kind=model, base=read_metadata(path)["base"])
    trained, learning = segmenter.decoder.state_dict(), freeze_decoder(segmenter.decoder)
    own = read_weights(world.path(BASE))
    frozen = [n for n in trained if n not in learning and f"mask_decoder.{n}" in own]
    assert len(frozen) > 50
    assert all(torch.equal(trained[n], own[f"mask_decoder.{n}"].float()) for n in frozen)
    moved = [n for n in learning if not torch.equal(trained[n], fresh[n])]
    assert len(moved) > len(learning) / 2


@each_model
def test_the_history_has_one_row_per_epoch(model, world):
    lines = world.path(f"reports/history/{model}.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]


def test_without_packed_views_it_trains_on_fresh_ones(world, own_world):
    own_world.change("embed", views=0)
    own_world.change("models.hq_sam", epochs=1)
    own_world.run("embed@train")
    own_world.run("train@hq_sam")
    name = "data/adapters/hq_sam.safetensors"
    assert own_world.contents("train@hq_sam")[name] != world.contents("train@hq_sam")[name]
    assert sorted(read_weights(own_world.path(name))) == sorted(read_weights(world.path(name)))


KEYS = ["seed", "benchmark", "image_id", "prompt"]
MEASURED = ["iou", "boundary_iou", "intersection", "union"]


def rows_of(world, name):
    return read_scores(world.path(f"data/ablations/{name}.parquet"))


def test_a_second_run_gives_the_same_bytes_of_ablate_and_leaves_no_state(world, own_world):
    own_world.run("ablate@bare_head")
    assert own_world.contents("ablate@bare_head") == world.contents("ablate@bare_head")
    assert not any(own_world.path("data/resume").glob("*"))


def test_an_ablation_that_changes_nothing_differs_by_exactly_zero(world):
    unchanged = rows_of(world, "unchanged").sort_values(KEYS, ignore_index=True)
    model = read_scores(world.path("data/development.parquet"))
    model = model[model["model"] == "pa_sam"].sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(unchanged[KEYS + MEASURED], model[KEYS + MEASURED])
    histories = [world.path(f"reports/history/{n}.jsonl") for n in ("unchanged", "pa_sam")]
    assert histories[0].read_bytes() == histories[1].read_bytes()


def test_an_ablation_that_changes_something_differs(world):
    names = ["benchmark", "image_id"]
    pair = [
        rows_of(world, n).sort_values(names)["iou"].tolist() for n in ("unchanged", "bare_head")
    ]
    assert len(pair[0]) == len(pair[1]) == 2
    assert pair[0] != pair[1]


@pytest.mark.parametrize("name", ["unchanged", "bare_head"])
def test_every_score_has_its_diagnosis(name, world):
    scores, inside = (
        rows_of(world, name),
        read_diagnostics(world.path(f"data/ablations/{name}-diagnostics.parquet")),
    )
    keys = ["model", *KEYS]
    pd.testing.assert_frame_equal(
        scores[keys].sort_values(keys, ignore_index=True),
        inside[keys].sort_values(keys, ignore_index=True),
    )
    assert inside["predicted_iou"].notna().all()


def test_only_an_adapter_with_its_tokens_has_maps_to_judge(world):
    whole, head = (
        read_diagnostics(world.path(f"data/ablations/{name}-diagnostics.parquet"))
        for name in ("unchanged", "bare_head")
    )
    for measure in ("coarse_iou", "refined_iou", "final_iou", "point_spread", "points_right"):
        assert whole[measure].notna().all(), measure
        assert head[measure].isna().all(), measure
    assert (whole["dense_change"] > 0).all()
    assert (head["dense_change"] == 0).all()
    assert (head["sparse_change"] == 0).all()


@pytest.mark.parametrize("name", ["unchanged", "bare_head"])
def test_the_frozen_weights_are_the_same_before_and_after(name, world):
    facts = json.loads(world.path(f"data/ablations/{name}.json").read_text())
    assert facts["frozen_before"] == facts["frozen_after"]
    assert facts["trainable"] < facts["parameters"]
    assert ("prompt_adapter" in facts["trained"]) == (name == "unchanged")


SCORES, HISTORY = "data/repeats/pa_sam.parquet", "reports/history/pa_sam-repeats.jsonl"


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_second_run_gives_the_same_bytes_of_repeat_and_leaves_no_state(world, own_world):
    own_world.run("repeat@pa_sam")
    assert own_world.contents("repeat@pa_sam") == world.contents("repeat@pa_sam")
    assert not any(own_world.path("data/resume").glob("*"))


def test_the_main_seed_among_the_further_ones_would_give_the_main_scores(world, own_world):
    own_world.change("train", seed=41)
    own_world.change("repeats", seeds=[42])
    own_world.run("repeat@pa_sam")
    keys = ["benchmark", "image_id"]
    first = read_scores(world.path("data/scores/pa_sam.parquet"))
    pd.testing.assert_frame_equal(
        read_scores(own_world.path(SCORES)).sort_values(keys, ignore_index=True),
        first.sort_values(keys, ignore_index=True),
    )


@pytest.mark.long
def test_a_training_that_finished_before_an_interruption_is_not_repeated(own_world, monkeypatch):
    before = own_world.contents("repeat@pa_sam")
    monkeypatch.setattr("pipelines.stages.repeat.write_scores", interrupt)
    with pytest.raises(SystemExit):
        own_world.run("repeat@pa_sam")
    assert any(own_world.path("data/resume").iterdir())
    monkeypatch.undo()
    monkeypatch.setattr("pasam.training.fit.Learner.learn", None)
    own_world.run("repeat@pa_sam")
    assert own_world.contents("repeat@pa_sam") == before
    assert not any(own_world.path("data/resume").iterdir())


@pytest.mark.long
def test_every_seed_scores_every_image_of_every_benchmark(own_world):
    own_world.change("repeats", seeds=[44, 43])
    own_world.run("repeat@pa_sam")
    again = read_scores(own_world.path(SCORES))
    first = read_scores(own_world.path("data/scores/pa_sam.parquet"))
    assert sorted(set(again["seed"])) == [43, 44]
    for _, rows in again.groupby("seed"):
        assert sorted(rows["image_id"]) == sorted(first["image_id"])
    lines = own_world.path(HISTORY).read_text().splitlines()
    assert {json.loads(line)["seed"] for line in lines} == {43, 44}


def test_every_stage_with_a_verdict_waits_for_data_that_passed(own_world, capsys):
    path = own_world.path("reports/validation/verdict.json")
    verdict = json.loads(path.read_text())
    path.write_text(json.dumps({**verdict, "passed": False, "errors": ["masks_are_unique"]}))
    waiting = [name for name, each in own_world.stages.items() if "--verdict" in each.arguments]
    waiting.remove("validate")
    kinds = {name.partition("@")[0] for name in waiting}
    assert kinds == {"embed", "train", "repeat", "ablate"}
    for name in waiting:
        with pytest.raises(SystemExit) as stopped:
            own_world.run(name)
        said = capsys.readouterr().err
        assert (stopped.value.code, "masks_are_unique failed" in said) == (2, True), name


def test_the_main_seed_is_no_further_seed(own_world, capsys):
    own_world.change("repeats", seeds=[41, 42])
    with pytest.raises(SystemExit) as stopped:
        own_world.run("repeat@pa_sam")
    assert stopped.value.code == 2
    assert "repeats.seeds is [41, 42], expected others than train.seed, 42." in (
        capsys.readouterr().err
    )


def stand_in(stage, monkeypatch, *names):
    """Put something that notes its calls in the place of what a stage calls."""
    made = SimpleNamespace(**{name: MagicMock(name=name) for name in names})
    for name in names:
        monkeypatch.setattr(f"pipelines.stages.{stage}.{name}", getattr(made, name))
    return made


PLACES = [Path(name) for name in "abcdefgh"]
OWN_BASE = SimpleNamespace(size="vit_b", checkpoint="base.pth", encoder_precision="bf16")


def hollow(stage, monkeypatch):
    """A stage, with stand-ins for all that it calls, and something for each parameter."""
    module = importlib.import_module(f"pipelines.stages.{stage}")
    run, made = getattr(module, stage), {}
    for name, each in list(vars(module).items()):
        if name != stage and (callable(each) or name == "pd"):
            monkeypatch.setattr(module, name, made.setdefault(name, MagicMock(name=name)))
    given = {name: MagicMock(name=name) for name in inspect.signature(run).parameters}
    given["evaluate"].benchmarks, given["predictions"] = ("a", "b"), Path("p")
    if stage == "instances":
        made["instance_sets"].return_value = ["a set"], []
    return run, made, {name: given[name] for name in inspect.signature(run).parameters}


@pytest.mark.parametrize("stage", ["evaluate", "baseline", "instances", "robustness", "develop"])
@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_has_a_device_of_its_own_and_the_first_alone_writes(stage, rank, monkeypatch):
    run, made, given = hollow(stage, monkeypatch)
    given["group"] = MagicMock(rank=rank, local_rank=rank + 2)
    run(**given)
    made["choose_device"].assert_called_once_with(
        given["evaluate"].accelerator, key="evaluate.accelerator", local_rank=rank + 2
    )
    assert {each.called for name, each in made.items() if name.startswith("write_")} == {not rank}
    assert given["group"].gather.called or made["evaluate_benchmark"]().gathered.called


@pytest.mark.parametrize("stage", ["evaluate", "baseline"])
def test_rows_and_seconds_are_those_of_all_benchmarks_and_masks_lie_by_benchmark(
    stage, monkeypatch
):
    run, made, given = hollow(stage, monkeypatch)
    found = SimpleNamespace(scores=[1, 2], seconds=[0.5, 0.25], predictions={})
    given["group"].rank, share = 0, made["replace" if stage == "evaluate" else "evaluate_benchmark"]
    share.return_value.gathered.return_value = found
    run(**given)
    made["write_scores"].assert_called_once_with([1, 2, 1, 2], given["scores"])
    made["write_timing"].assert_called_once_with(
        given["timing"], masks=4, decoder_seconds=1.5,
        encoder_ms=made["encoder_milliseconds"].return_value,
    )  # fmt: skip
    written = [each.args[0] for each in made["write_predictions"].call_args_list]
    assert written == [Path("p/a.npz"), Path("p/b.npz")]


@pytest.mark.parametrize("split", ["train", "val"])
def test_embed_hands_on_what_its_params_say(split, monkeypatch):
    made = stand_in(
        "embed", monkeypatch, "read_manifest", "require_passed", "training_tasks",
        "benchmark_tasks", "made_by", "choose_device", "load_base", "write_store",
        "write_empty_store",
    )  # fmt: skip
    made.read_manifest.return_value = frame = {"mask": ["m", "n"], "id": ["1", "2"]}
    manifest, verdict, store = PLACES[:3]
    data, params, group = MagicMock(), MagicMock(views=2), MagicMock()
    params.model_dump.return_value, made.made_by.return_value = {"views": 2}, {"base": "b"}
    embed(data, OWN_BASE, params, split, manifest, verdict, store, group)
    made.read_manifest.assert_called_once_with(manifest)
    made.require_passed.assert_called_once_with(verdict, manifest)
    made.load_base.assert_called_once_with("vit_b", Path("base.pth"), "bf16")
    made.choose_device.assert_called_once_with(
        params.accelerator, key="embed.accelerator", local_rank=group.local_rank
    )
    encoder = made.load_base.return_value.to
    encoder.assert_called_once_with(made.choose_device.return_value)
    tasks = made.training_tasks if split == "train" else made.benchmark_tasks
    how = {"views": 2, "seed": params.seed} if split == "train" else {}
    tasks.assert_called_once_with(frame, **how)
    made.made_by.assert_called_once_with(OWN_BASE)
    group.workers.assert_called_once_with(data.workers)
    origin = {"base": "b", "split": split, "views": 2}
    made.write_store.assert_called_once_with(
        store, tasks.return_value, {"m": "1", "n": "2"}, encoder.return_value,
        jitter=params.jitter, batch_size=params.batch_size, origin=origin,
        workers=group.workers.return_value, group=group,
    )  # fmt: skip
    params.views, params.model_dump.return_value = 0, {}
    for rank in (1, 0):
        group.rank = rank
        embed(data, OWN_BASE, params, "train", manifest, verdict, store, group)
        assert made.write_empty_store.called is not bool(rank)
    made.write_empty_store.assert_called_once_with(store, {"base": "b", "split": "train"})
    assert made.write_store.call_count == 1


def test_train_hands_on_what_its_params_say_and_keeps_its_state_until_its_weights_load(monkeypatch):
    made = stand_in(
        "train", monkeypatch, "require_passed", "live_curves", "train_variant", "write_adapter",
        "reload_parity",
    )  # fmt: skip
    base, params, own, variant = (MagicMock() for _ in range(4))
    along, (manifest, verdict, store, resume, weights, history) = {}, PLACES[:6]
    given = (base, params, own, variant, along, "m", *PLACES[:6])
    trained = made.train_variant.return_value
    made.reload_parity.side_effect = CheckpointError("not the same")
    with pytest.raises(CheckpointError):
        train(*given)
    trained.checkpointer.clear.assert_not_called()
    made.reload_parity.side_effect = None
    trained.writes = False
    train(*given)
    trained.checkpointer.clear.assert_not_called()
    trained.writes = True
    train(*given)
    trained.checkpointer.clear.assert_called_once_with(note=False)
    along["n"] = MagicMock()
    train(*given)
    trained.checkpointer.clear.assert_called_with(note=True)  # whoever would train it along
    made.require_passed.assert_called_with(verdict, manifest)
    made.live_curves.assert_called_with("train@m")
    made.train_variant.assert_called_with(
        base, params, own, variant, name="m", manifest=manifest, store=store, resume=resume,
        history=history, companions=along,
        echo=made.live_curves.return_value.__enter__.return_value.append,
    )  # fmt: skip
    assert made.write_adapter.call_args_list == [
        call(weights, trained.segmenter.decoder, variant=variant, base=trained.base,
             trained_on=trained.trained_on)
    ] * 3  # fmt: skip
    made.reload_parity.assert_called_with(trained.segmenter, variant, weights, base=trained.base)


def test_ablate_hands_on_what_its_params_say(monkeypatch):
    made = stand_in(
        "ablate", monkeypatch, "require_passed", "open_store", "train_variant", "AdapterProbe",
        "evaluate_benchmarks", "read_manifest", "diagnose", "write_scores", "write_diagnostics",
        "write_facts",
    )  # fmt: skip
    params, own, measure, variant = (MagicMock() for _ in range(4))
    manifest, verdict, store, benchmarks, resume, scores, diagnostics, facts = PLACES
    history = Path("i")
    given = (
        OWN_BASE, params, own, measure, variant, "m", manifest, verdict, store, benchmarks, resume,
        scores, diagnostics, facts, history,
    )  # fmt: skip
    trained = made.train_variant.return_value
    trained.group.gather.side_effect = lambda rows: [rows, "others"]
    trained.writes = False
    ablate(*given)
    assert trained.group.gather.call_count == 2, "all of them have scored"
    assert not made.write_scores.called
    trained.writes = True
    ablate(*given)
    made.require_passed.assert_called_with(verdict, manifest)
    made.open_store.assert_called_with(benchmarks)
    opened, segmenter = made.open_store.return_value, trained.segmenter
    opened.check_base.assert_called_with(Path("base.pth"), "bf16")
    made.train_variant.assert_called_with(
        OWN_BASE, params, own, variant, name="m", manifest=manifest, store=store, resume=resume,
        history=history,
    )  # fmt: skip
    made.read_manifest.assert_called_with(manifest)
    made.evaluate_benchmarks.assert_called_with(
        ModelEntry("m", own.seed, segmenter), opened, made.read_manifest.return_value, measure,
        names=measure.compared_on, group=trained.group,
    )  # fmt: skip
    found = made.evaluate_benchmarks.return_value.scores
    made.AdapterProbe.assert_called_with(segmenter)
    probe = made.AdapterProbe.return_value.__enter__.return_value
    made.diagnose.assert_called_with(found, probe.seen, opened, grid=segmenter.base.grid)
    made.write_scores.assert_called_once_with([found, "others"], scores)
    made.write_diagnostics.assert_called_once_with([made.diagnose(), "others"], diagnostics)
    made.write_facts.assert_called_once_with(
        facts, segmenter, model="m", frozen_before=trained.frozen, base=trained.base
    )
    trained.checkpointer.clear.assert_called_once_with()


def test_repeat_trains_and_scores_every_seed_and_forgets_no_state_too_early(monkeypatch):
    made = stand_in(
        "repeat", monkeypatch, "require_passed", "open_store", "read_manifest", "train_variant",
        "evaluate_benchmarks", "write_scores", "write_json_lines",
    )  # fmt: skip
    params, measure, variant = (MagicMock() for _ in range(3))
    own = MagicMock(seed=42)
    own.replaced.side_effect = lambda seed: ("train", seed)
    trained = [MagicMock(history=[{"epoch": number}]) for number in (0, 1)]
    for each in trained:
        each.group.gather.side_effect = lambda rows: [f"row of {rows}"]
    made.train_variant.side_effect = trained * 2
    measured = [SimpleNamespace(scores=f"seed {seed}") for seed in (43, 44)]
    made.evaluate_benchmarks.side_effect = measured * 2
    manifest, verdict, store, benchmarks, resume, scores, history = PLACES[:7]
    given = (
        OWN_BASE, params, own, measure, SimpleNamespace(models=("m",), seeds=(43, 44)), variant,
        "m", manifest, verdict, store, benchmarks, resume, scores, history,
    )  # fmt: skip
    made.write_json_lines.side_effect = OSError("full")
    with pytest.raises(OSError, match="full"):
        repeat(*given)
    assert not any(each.checkpointer.clear.called for each in trained)
    made.write_json_lines.side_effect = None
    repeat(*given)
    assert [each.checkpointer.clear.call_count for each in trained] == [1, 1]
    made.require_passed.assert_called_with(verdict, manifest)
    made.open_store.assert_called_with(benchmarks)
    made.open_store.return_value.check_base.assert_called_with(Path("base.pth"), "bf16")
    made.read_manifest.assert_called_with(manifest)
    assert made.train_variant.call_args_list[2:] == [
        call(OWN_BASE, params, ("train", seed), variant, name=f"m-{seed}", manifest=manifest,
             store=store, resume=resume, history=None)
        for seed in (43, 44)
    ]  # fmt: skip
    assert made.evaluate_benchmarks.call_args_list[2:] == [
        call(ModelEntry("m", seed, each.segmenter), made.open_store.return_value,
             made.read_manifest.return_value, measure, group=each.group)
        for seed, each in zip((43, 44), trained, strict=True)
    ]  # fmt: skip
    made.write_scores.assert_called_with(["row of seed 43", "row of seed 44"], scores)
    made.write_json_lines.assert_called_with(
        history, [{"seed": 43, "epoch": 0}, {"seed": 44, "epoch": 1}]
    )


def test_pretrain_draws_trains_and_keeps_its_state_as_its_params_say(monkeypatch, tmp_path):
    made = stand_in(
        "pretrain", monkeypatch, "state_key", "Checkpointer", "draw_scenes", "read_photographs",
        "build_base", "_initialise", "train_on_photographs", "JsonlSink", "_write_halves",
    )  # fmt: skip
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # each of two processes has its part of the five
    data, params = MagicMock(workers=5), MagicMock(seed=5, initial="first.pth")
    photographs = params.photographs
    photographs.folder, photographs.trunk, photographs.decoder = "photos", "trunk.pth", None
    made.read_photographs.return_value, made.draw_scenes.return_value = ["photo"], ["scene"]
    resume, checkpoint, curve = PLACES[:3]
    made.train_on_photographs.return_value = None
    made.Checkpointer.return_value.folder = tmp_path
    pretrain(data, params, resume, checkpoint, curve)
    assert not made._write_halves.called
    assert not made.Checkpointer.return_value.clear.called
    made.train_on_photographs.return_value = {"w": 1}
    seen = []
    made.build_base.side_effect = lambda size: seen.append((size, torch.initial_seed())) or "base"
    pretrain(data, params, resume, checkpoint, curve)
    assert seen == [("tiny", 5)]
    made.state_key.assert_called_with(
        params=photographs.model_dump.return_value, seed=5,
        scenes=[params.generated_images, data.generated.seed, data.generated.side],
        photographs=Path("photos") / ANNOTATED, initial=Path("first.pth"),
        trunk=Path("trunk.pth"), decoder=None,
    )  # fmt: skip
    made.Checkpointer.assert_called_with(resume, made.state_key.return_value)
    made.draw_scenes.assert_called_with(
        params.generated_images, seed=data.generated.seed, side=data.generated.side,
        coarseness=photographs.coarseness, workers=2,
    )  # fmt: skip
    made.read_photographs.assert_called_with(
        Path("photos"), coarseness=photographs.coarseness, workers=2
    )
    made._initialise.assert_called_with("base", photographs, "first.pth")
    given = made.train_on_photographs.call_args
    report = given.kwargs.pop("report")
    assert given == call(
        "base", ["photo", "scene"], photographs, seed=5, sink=made.JsonlSink.return_value,
        checkpointer=made.Checkpointer.return_value,
    )  # fmt: skip
    made.JsonlSink.assert_called_with(curve)
    report({"w": 0})
    assert made._write_halves.call_args_list == [
        call(checkpoint, {"w": 1}), call(tmp_path / "average.safetensors", {"w": 0})
    ]  # fmt: skip
    made.Checkpointer.return_value.clear.assert_called_once_with()
    photographs.folder = None
    pretrain(data, params, resume, checkpoint, curve)
    assert made.train_on_photographs.call_args.args[1] == ["scene"]
