"""One function trains every variant; each switch moves exactly the parameters that it names."""

import contextlib
import os
import types

import cv2
import pytest
import torch
from small_world import small_base
from variants import hq_sam, image_adapter, pa_sam

from pasam.config.schema import BaseParams, EmbedParams, TrainParams
from pasam.errors import CheckpointError, ParamsError
from pasam.models import build
from pasam.models.base_sam import BaseSam
from pasam.models.build import build_mobile, digest, frozen_tensors
from pasam.models.checkpoint import file_digest, write_weights
from pasam.models.segmenter import Prompts, Segmenter
from pasam.training import fit, learner
from pasam.training.embeddings import training_tasks, write_store
from pasam.training.fit import train_variant
from pasam.training.resume import Checkpointer
from pasam.training.samples import Sampling
from pasam.workers import ProcessGroup

TRAIN = TrainParams(
    seed=4, batch_size=4, learning_rate=1e-2, accelerator="cpu", devices=1, nodes=1,
    precision="32-true", workers=0, accumulate=1, cross_entropy="image", outline=0.0,
    compile=False, together=[], deterministic=False, decode="whole",
)  # fmt: skip
EMBED = EmbedParams(views=1, jitter=(0.9, 1.0), seed=3, batch_size=4, accelerator="cpu", devices=1)
NOTHING = {
    "adapter_dense": False, "adapter_sparse": False, "adapter_tokens": False,
    "mining_method": "none",
}  # fmt: skip
HEAD = ("mask_tokens.", "output_upscaling.", "output_hypernetworks_mlps.0.")
WHOLE_ADAPTER = ("guiding_conv.", "prompt_adapter.")


@pytest.fixture(scope="module")
def project(manifest, ids, tmp_path_factory):
    """Files that a training reads: manifest, base and packed embeddings."""
    return project_of(small_base, manifest, ids, tmp_path_factory.mktemp("project"))


def project_of(build_own, manifest, ids, folder):
    """Write the manifest, a base that a function builds, and its packed embeddings."""
    torch.manual_seed(0)
    base = build_own().eval()
    write_weights(folder / "base.safetensors", base.sam.state_dict(), metadata={})
    manifest.to_parquet(folder / "manifest.parquet")
    write_store(
        folder / "store", training_tasks(manifest, views=1, seed=3), ids, base,
        jitter=EMBED.jitter, batch_size=4, workers=1,
        origin={"base": file_digest(folder / "base.safetensors")},
    )  # fmt: skip
    return folder


def base_of(project, precision="32-true"):
    return BaseParams(
        size="tiny", checkpoint=str(project / "base.safetensors"), encoder_precision=precision
    )


def train_in(
    folder, project, manifest, variant, name, file="manifest.parquet", own=small_base, **changes
):
    base = base_of(project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_base", lambda size: own())
        patch.setattr("pasam.training.fit.read_manifest", lambda path: manifest)
        return train_variant(
            base, EMBED, TRAIN.replaced(**changes), variant, name=name,
            manifest=project / file, store=project / "store",
            resume=folder / "resume", history=folder / f"{name}.jsonl",
        )  # fmt: skip


@pytest.fixture
def train(project, tmp_path, manifest):
    def run(variant, name="run", **changes):
        return train_in(tmp_path, project, manifest, variant, name, **changes)

    return run


@pytest.fixture(scope="module")
def reference(project, manifest, tmp_path_factory):
    """PA-SAM as the reference trains it; not to be changed."""
    return train_in(tmp_path_factory.mktemp("reference"), project, manifest, pa_sam(), "reference")


def moved(trained, untrained):
    """Names of the tensors that training has changed."""
    before = untrained.segmenter.state_dict()
    after = trained.segmenter.state_dict()
    return {name for name in after if not torch.equal(after[name], before[name])}


@pytest.mark.parametrize(
    ("variant", "prefixes"),
    [
        (pa_sam(), (*HEAD, *WHOLE_ADAPTER)),
        (pa_sam(trains="adapter"), WHOLE_ADAPTER),
        (pa_sam(**NOTHING), HEAD),
        (pa_sam(iou_head="trained"), (*HEAD, *WHOLE_ADAPTER, "iou_prediction_head.")),
        (pa_sam(trains="decoder"), (*HEAD, *WHOLE_ADAPTER, "transformer.", "iou_token.")),
        (image_adapter(), (*HEAD, "guiding_conv.", "image_adapter.")),
        (image_adapter(trains="adapter"), ("guiding_conv.", "image_adapter.")),
    ],
    ids=["reference", "adapter", "head", "quality", "decoder", "image", "image_alone"],
)
def test_exactly_what_a_variant_trains_moves(variant, prefixes, train):
    trained, untrained = train(variant, "some"), train(variant, "none", learning_rate=1e-30)
    names = moved(trained, untrained)
    assert all(name.startswith(tuple(f"decoder.{p}" for p in prefixes)) for name in names)
    for prefix in prefixes:
        assert any(name.startswith(f"decoder.{prefix}") for name in names), prefix
    assert digest(frozen_tensors(trained.segmenter)) == trained.frozen


@pytest.mark.long
def test_everything_moves_the_encoders_too(train):
    variant = pa_sam(trains="everything")
    names = moved(train(variant, "some"), train(variant, "none", learning_rate=1e-30))
    for part in ("base.sam.image_encoder.", "base.sam.prompt_encoder.", "decoder.transformer."):
        assert any(name.startswith(part) for name in names), part
    assert not any(name.startswith("base.sam.mask_decoder.") for name in names)


@pytest.mark.long
def test_a_quality_head_that_learns_leaves_every_mask_as_it_was(train, reference):
    taught = train(pa_sam(iou_head="trained"))
    before, after = reference.segmenter.state_dict(), taught.segmenter.state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("decoder.iou_prediction_head.") for name in changed)


@pytest.mark.parametrize("changes", [{}, {"adapter_maps": "grid"}, {"mining_temperature": 1.0}])
def test_a_switch_at_the_references_value_changes_no_bit(changes, train, reference):
    other = train(pa_sam(**changes))
    assert digest(reference.segmenter.state_dict()) == digest(other.segmenter.state_dict())


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient": "image"}, {"prompts": "thirds"}, {"prompts_per_mask": 2},
        {"uncertainty_loss": "balanced"}, {"mining_score_scale": 50.0},
        {"mining_temperature": 0.2}, {"mining_points": 2}, {"mining_method": "none"},
        {"mining_method": "random"}, {"mining_method": "top"}, {"adapter_dense": False},
        {"adapter_sparse": False}, {"adapter_start": "sam"},
        {"adapter_maps": "double"}, {"keep_sam": 1.0}, {"mining_cells": "uncertain"},
        {"adapter_fine": True},
    ],
    ids=lambda changes: "-".join(f"{k}={v}" for k, v in changes.items()),
)  # fmt: skip
def test_every_switch_changes_what_is_learned(changes, train, reference):
    other = train(pa_sam(**changes))
    before, after = reference.segmenter.state_dict(), other.segmenter.state_dict()
    shared = set(before) & set(after)
    assert any(not torch.equal(before[name], after[name]) for name in shared)


@pytest.mark.long
def test_an_interrupted_variant_goes_on_and_the_state_is_the_callers_to_clear(train):
    trained = train(hq_sam())
    assert trained.checkpointer.load() is not None
    again = train(hq_sam())
    assert digest(again.segmenter.state_dict()) == digest(trained.segmenter.state_dict())
    trained.checkpointer.clear()
    assert trained.checkpointer.load() is None


def test_other_data_begin_anew_though_all_params_are_the_same(train, project, manifest):
    manifest.iloc[1:].to_parquet(project / "other.parquet")
    first = train(hq_sam())
    other = train(hq_sam(), file="other.parquet")
    assert other.checkpointer.path != first.checkpointer.path
    assert first.checkpointer.path.is_file()  # the other training has left it alone


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(hq_sam(), id="hq_sam", marks=pytest.mark.slow),
        pytest.param(pa_sam(), id="pa_sam", marks=pytest.mark.slow),
    ],
)
def test_adapters_train_on_mobile_sams_embeddings(variant, manifest, ids, tmp_path):
    def own():
        return build_mobile(side=64)

    project = project_of(own, manifest, ids, tmp_path)
    some, none = (
        train_in(tmp_path, project, manifest, variant, str(rate), own=own, learning_rate=rate)
        for rate in (1e-3, 1e-30)
    )
    names = moved(some, none)
    learning = {name for name, t in some.segmenter.named_parameters() if t.requires_grad}
    assert names
    assert names <= learning
    assert all(name.startswith("decoder.") for name in names)
    read = "decoder.compress_vit_feat." if variant.decoder == "hq_sam" else "decoder.guiding_conv."
    assert any(name.startswith(read) for name in names)


@pytest.fixture
def asked(project, tmp_path, manifest, monkeypatch):
    """Ask for a training, and see what it would be made of; nothing is trained."""
    seen = {}
    frame = manifest.assign(dataset=["learnt" if s == "train" else "measured"
                                     for s in manifest["split"]])  # fmt: skip

    def launch(params):
        seen["nodes"] = params.nodes
        return seen["fabric"]

    def batches(embed, samplings, **named):
        (sampling,) = samplings
        seen.update(named, embed=embed, sampling=sampling)

    def built(base, variant):
        seen.update(seed=torch.initial_seed(), variant=variant)
        return types.SimpleNamespace(base=base)

    monkeypatch.setattr(fit, "launch", launch)
    monkeypatch.setattr(fit, "load_base", lambda size, checkpoint, precision: small_base())
    monkeypatch.setattr(fit, "build_trainable", built)
    monkeypatch.setattr(fit, "batches_by_epoch", batches)
    monkeypatch.setattr(fit, "frozen_tensors", lambda segmenter: {})
    monkeypatch.setattr(fit, "read_manifest", lambda path: frame)

    def trained(own, params, _batches, *, fabric, companions):
        assert (fabric, companions) == (seen["fabric"], [])
        seen.update(params=params, sink=own.sink, checkpointer=own.checkpointer)

    monkeypatch.setattr(fit, "fit", trained)

    def ask(variant=None, *, rank=0, world=1, embed=EMBED, name="run", echo=None, **changes):
        seen["fabric"] = types.SimpleNamespace(
            global_rank=rank, world_size=world, local_rank=rank % 4, is_global_zero=rank == 0
        )
        base = base_of(project)
        trained = train_variant(
            base, embed, TRAIN.replaced(**changes), variant or pa_sam(), name=name,
            manifest=project / "manifest.parquet", store=project / "store",
            resume=tmp_path / "resume", history=tmp_path / "history.jsonl", echo=echo,
        )  # fmt: skip
        return trained, seen

    return ask


def test_every_choice_of_a_training_reaches_its_place(asked, project, tmp_path):
    variant, heard = pa_sam(prompts="thirds", prompts_per_mask=2, gradient="image"), []
    shared = {"seed": 11, "batch_size": 3, "accumulate": 5, "nodes": 2, "devices": 4}
    trained, seen = asked(variant, rank=6, world=8, echo=heard.append, **shared)
    assert seen["sampling"] == Sampling(
        batch_size=3, mix="thirds", mask_side=32, seed=11, rank=6, world=8, prompts_per_mask=2,
        accumulate=5, edges="image",
    )  # fmt: skip
    assert (seen["nodes"], seen["seed"], seen["embed"]) == (2, 11, EMBED)
    assert (seen["variant"], seen["params"].learning_rate) == (variant, TRAIN.learning_rate)
    assert (seen["store"], seen["checkpoint"]) == (project / "store", project / "base.safetensors")
    assert trained.trained_on == ("learnt",)
    assert (trained.group, trained.writes) == (ProcessGroup(6, 8, 2, 4), False)
    assert trained.base == file_digest(project / "base.safetensors")
    assert (seen["sink"].path, seen["sink"].echo) == (None, None)  # the first process alone writes
    first, seen = asked(variant, world=8, echo=heard.append, **shared)
    seen["sink"].append({"epoch": 0})
    assert (seen["sink"].path, heard) == (tmp_path / "history.jsonl", [{"epoch": 0}])
    assert first.writes
    assert first.checkpointer.path == trained.checkpointer.path == seen["checkpointer"].path


def test_whatever_decides_the_result_decides_which_state_is_gone_on_with(asked, project):
    def state(**change):
        return asked(**change)[0].checkpointer.folder.name

    changes = (
        {}, {"embed": EMBED.replaced(jitter=(0.5, 1.0))}, {"variant": pa_sam(keep_sam=1.0)},
        {"learning_rate": 1e-3}, {"seed": 5}, {"outline": 0.5}, {"name": "other"},
    )  # fmt: skip
    before = [state(**change) for change in changes]
    assert before[0] == state() == state(workers=3) == state(together=["some", "more"])
    assert len(set(before)) == len(before)
    for file in ("base.safetensors", "store/origin.json"):
        content = (project / file).read_bytes()
        (project / file).write_bytes(content + b" ")
        try:
            other = state()
        finally:
            (project / file).write_bytes(content)
        assert other not in before, file


@pytest.fixture
def compiler(monkeypatch):
    """A compiler that keeps the graphs it is given, and runs them as they are."""
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compile_decoder = Segmenter.compile_decoder
    monkeypatch.setattr(Segmenter, "compile_decoder", lambda self: compile_decoder(self, backend))
    yield graphs
    torch._dynamo.reset()


@pytest.mark.long
@pytest.mark.parametrize(
    ("variant", "graphs"),
    [(pa_sam(prompts="intended"), 2), (hq_sam(), 1), (image_adapter(), 1)],
    ids=["pa_sam", "hq_sam", "image_adapter"],
)
def test_a_compiled_decoder_learns_the_same_by_one_graph_for_all_prompts(
    variant, graphs, train, compiler
):
    how = {"epochs": 2} | ({"mining": variant.mining.replaced(from_epoch=1)} if graphs == 2 else {})
    variant = variant.replaced(**how)
    plain = train(variant, "plain")
    assert not compiler
    compiled = train(variant, "compiled", compile=True)
    assert len(compiler) == graphs  # with hard points and without
    rows = zip(plain.history, compiled.history, strict=True)
    for before, after in rows:
        assert after == pytest.approx(before, rel=1e-4)
    weights = plain.segmenter.state_dict()
    for name, tensor in compiled.segmenter.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-3, atol=1e-3)


@pytest.mark.long
def test_what_is_compiled_is_the_training_alone(train, compiler):
    trained = train(hq_sam(), compile=True)
    seen = len(compiler)
    segmenter = trained.segmenter.eval()
    prompts = Prompts(torch.arange(1), torch.tensor([[4.0, 8, 25, 30]]), None, None, None)
    asked = {
        "images": torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "encoded": None,
        "image_index": torch.zeros(1, dtype=torch.int64), "prompts": [prompts],
    }  # fmt: skip
    plain = Segmenter(base=segmenter.base, decoder=segmenter.decoder).eval()
    assert torch.equal(segmenter(**asked).masks, plain(**asked).masks)
    assert len(compiler) == seen == 1


@pytest.mark.long
def test_a_decoder_that_cannot_be_compiled_is_an_error_that_says_what_to_do(train, monkeypatch):
    def backend(_graph, _inputs):
        raise RuntimeError("no compiler of C++ was found")

    torch._dynamo.reset()
    compile_decoder = Segmenter.compile_decoder
    monkeypatch.setattr(Segmenter, "compile_decoder", lambda self: compile_decoder(self, backend))
    with pytest.raises(ParamsError, match=r"no compiler of C\+\+.* Set train.compile: false"):
        train(hq_sam(), compile=True)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own, of versions and of TF32
def test_a_gpu_learns_the_same_from_a_compiled_decoder(train):
    plain = train(pa_sam(), "plain", accelerator="gpu")
    compiled = train(pa_sam(), "compiled", accelerator="gpu", compile=True)
    for before, after in zip(plain.history, compiled.history, strict=True):
        assert after == pytest.approx(before, rel=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_the_compiler_of_c_learns_the_same(train):
    plain, compiled = train(pa_sam(), "plain"), train(pa_sam(), "compiled", compile=True)
    for before, after in zip(plain.history, compiled.history, strict=True):
        assert after == pytest.approx(before, rel=1e-3)


FRESH = EMBED.replaced(views=0)
SHORT, LONG = hq_sam(epochs=2, lr_step_size=1), pa_sam(epochs=3, lr_step_size=2)
BOTH = {"short": SHORT, "long": LONG}


@contextlib.contextmanager
def fresh_in(tmp_path, project, manifest):
    """Train models on fresh views, alone or along with others, and count the encoder's passes."""
    passes, encode, patch = [], BaseSam.encode, pytest.MonkeyPatch()

    def run(
        name, companions=(), folder="run", embed=FRESH, variants=BOTH, precision="32-true",
        **changes,
    ):  # fmt: skip
        return train_variant(
            base_of(project, precision), embed,
            TRAIN.replaced(**changes), variants[name], name=name,
            manifest=project / "manifest.parquet", store=project / "store",
            resume=tmp_path / folder / "resume", history=tmp_path / folder / f"{name}.jsonl",
            companions={other: variants[other] for other in companions},
        )  # fmt: skip

    patch.setattr(build, "build_base", lambda size: small_base())
    patch.setattr(fit, "read_manifest", lambda path: manifest)
    patch.setattr(BaseSam, "encode", lambda *given: (passes.append(1), encode(*given))[1])
    run.passes = passes
    yield run
    patch.undo()


@pytest.fixture
def fresh(tmp_path, project, manifest):
    with fresh_in(tmp_path, project, manifest) as run:
        yield run


def result(trained):
    return digest(trained.segmenter.state_dict()), trained.history


@pytest.fixture(scope="module")
def alone(project, manifest, tmp_path_factory):
    """What each model is when it trains by itself, and the passes that it takes."""
    found = {}
    for name in BOTH:
        with fresh_in(tmp_path_factory.mktemp("alone"), project, manifest) as run:
            found[name] = result(run(name)), len(run.passes)
    return found


@pytest.mark.parametrize(
    "order", [("short", "long"), pytest.param(("long", "short"), marks=pytest.mark.long)],
    ids=["short_first", "long_first"],
)  # fmt: skip
def test_models_that_train_together_are_what_each_is_alone_by_the_passes_of_the_longest(
    order, fresh, alone
):
    first, second = order
    for name, other in (order, reversed(order)):
        assert result(fresh(name, [other])) == alone[name][0]
    # Twelve masks are three batches of four an epoch.
    assert (alone["short"][1], alone["long"][1]) == (6, 9)
    assert len(fresh.passes) == 9


@pytest.mark.long
def test_a_model_whose_training_was_ended_and_noted_is_taken_along_no_more(fresh, alone):
    trained = fresh("long")
    trained.checkpointer.clear(note=True)
    assert not trained.checkpointer.path.exists()
    fresh("short", ["long"])
    assert not trained.checkpointer.path.exists()
    # Other choices make another training, and it may be asked for again itself.
    fresh("short", ["long"], seed=5)
    assert len(list(trained.checkpointer.folder.parent.glob("long-*/state.pt"))) == 1
    assert result(fresh("long")) == alone["long"][0]


def test_models_learn_in_float32_from_an_encoder_in_bfloat16_that_stays_as_it_is(fresh, alone):
    trained = fresh("short", precision="bf16")
    segmenter = trained.segmenter
    assert trained.frozen == digest(frozen_tensors(segmenter))
    assert segmenter.base.sam.image_encoder.pos_embed.dtype == torch.bfloat16
    assert {p.dtype for p in segmenter.parameters() if p.requires_grad} == {torch.float32}
    for found, exact in zip(trained.history, alone["short"][0][1], strict=True):
        assert found != exact
        assert found == pytest.approx(exact, rel=0.05)
    with pytest.raises(CheckpointError, match="made in 32-true, but base.encoder_precision is bf"):
        fresh("short", embed=EMBED, precision="bf16")


@pytest.mark.long
def test_models_train_together_in_bfloat16_as_alone_and_apart_from_those_in_float32(fresh, alone):
    by_itself = result(fresh("short", folder="by itself", precision="bf16"))
    assert result(fresh("short", ["long"], precision="bf16")) == by_itself
    assert result(fresh("short")) == alone["short"][0], "no state in bfloat16 is gone on from"


def test_where_embeddings_are_cached_each_model_trains_by_itself(fresh):
    trained = fresh("short", ["long"], embed=EMBED)
    kept = trained.checkpointer.folder.parent
    assert [folder.name[:5] for folder in kept.iterdir()] == ["short"]
    assert not fresh.passes


@pytest.mark.long
@pytest.mark.parametrize("when", [2, 4, 7])
def test_models_that_were_interrupted_together_go_on_wherever_each_was(
    when, fresh, alone, monkeypatch
):
    monkeypatch.setattr(fit, "_LOOK_EVERY", 1)
    monkeypatch.setattr(fit, "_SAVE_EVERY", 0)
    saves, save = [], Checkpointer.save

    def dying(checkpointer, state):
        saves.append(checkpointer)
        if len(saves) == when:  # one of the two is a step behind the other, or an epoch
            raise KeyboardInterrupt
        save(checkpointer, state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpointer, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            fresh("short", ["long"])
    assert result(fresh("short", ["long"])) == alone["short"][0]
    assert result(fresh("long", ["short"])) == alone["long"][0]


@pytest.mark.long
def test_an_older_state_of_one_is_made_up_for_before_the_other_goes_on(fresh, alone):
    trained = fresh("long", folder="run", variants={"long": LONG})
    trained.checkpointer.clear()
    saved, save = [], Checkpointer.save

    def first_epoch(checkpointer, state):
        saved.append(state["epochs_done"])
        save(checkpointer, state)
        if len(saved) == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointer, "save", first_epoch)
        with pytest.raises(KeyboardInterrupt):
            fresh("long")  # an epoch further than the other, which has not begun
    fresh.passes.clear()
    assert result(fresh("short", ["long"])) == alone["short"][0]
    assert len(fresh.passes) == 6
    assert result(fresh("long", ["short"])) == alone["long"][0]
    assert len(fresh.passes) == 9


def test_loading_processes_start_once_for_all_epochs(fresh, monkeypatch):
    made = []

    class Loader(fit.DataLoader):
        def __init__(self, *given, **named):
            made.append(named["num_workers"])
            super().__init__(*given, **named, timeout=60)

    threads = cv2.getNumThreads()
    plain = result(fresh("short", folder="plain"))  # OpenCV has started its threads here
    monkeypatch.setattr(fit, "DataLoader", Loader)
    assert result(fresh("short", folder="loaded", workers=2)) == plain
    assert made == [2]
    assert cv2.getNumThreads() == threads


@pytest.mark.long
def test_who_trains_along_is_said_in_a_line(fresh, caplog):
    with caplog.at_level("INFO"):
        fresh("short")
        assert not caplog.messages
        fresh("short", ["long"])
    assert caplog.messages == ["long learns on the same passes of the encoder."]


def test_a_reproducible_training_asks_torch_for_ordered_sums_and_only_while_it_lasts(
    fresh, monkeypatch
):
    seen, forward, began, load = [], learner.TrainingStep.forward, [], fit.load_base

    def loaded(*given):  # before there is anything to multiply
        began.append(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        return load(*given)

    def noted(*given, **named):
        asked = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
        seen.append((*asked, os.environ.get("CUBLAS_WORKSPACE_CONFIG")))
        return forward(*given, **named)

    monkeypatch.setattr(fit, "load_base", loaded)
    monkeypatch.setattr(learner.TrainingStep, "forward", noted)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    plain = result(fresh("short", folder="plain"))
    assert set(seen) == {(False, True, None)}
    seen.clear()
    # On a CPU nothing else is computed.
    assert result(fresh("short", folder="reproducible", deterministic=True)) == plain
    assert set(seen) == {(True, False, ":4096:8")}
    assert began == [None, ":4096:8"]
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(BOTH))
def test_a_reproducible_training_on_a_gpu_gives_the_same_bits_again(name, fresh):
    first, second = (
        result(fresh(name, folder=folder, accelerator="gpu", deterministic=True))
        for folder in ("first", "second")
    )
    assert first == second
