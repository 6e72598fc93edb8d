"""Training fits the decoder, leaves the base alone, and survives interruptions."""

import dataclasses
import json
import types

import pytest
import torch
from torch.utils.data import Dataset
from variants import hq_sam, image_adapter, pa_sam

from pasam.config.schema import TrainParams
from pasam.errors import CheckpointError, ParamsError
from pasam.models.build import build_trainable, digest, frozen_tensors
from pasam.models.pa_mask_decoder import PaPrediction
from pasam.models.segmenter import Prediction
from pasam.training.fit import fit, launch
from pasam.training.learner import Trainee, _generator
from pasam.training.objectives import TrainingStep, objective_of
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.training.samples import CachedBatches, Sampling

PARAMS = TrainParams(
    seed=4, batch_size=4, learning_rate=1e-3, accelerator="cpu", devices=1, nodes=1,
    precision="32-true", workers=0, accumulate=1, cross_entropy="image", outline=0.0,
    compile=False, together=[], deterministic=False, decode="whole",
)  # fmt: skip
HQ = hq_sam(epochs=3, lr_step_size=2)
PA = pa_sam(epochs=3, lr_step_size=2, mining_points=2, mining_from_epoch=1)
SAMPLING = Sampling(batch_size=4, mix="effective", mask_side=32, seed=4)

each_variant = pytest.mark.parametrize(
    "variant", [pytest.param(HQ, marks=pytest.mark.slow), PA], ids=["hq_sam", "pa_sam"]
)


class OneBatch(Dataset):
    """The same batch every time; `before` is called ahead of it."""

    def __init__(self, batch, before=lambda: None):
        self.batch = batch
        self.before = before

    def __len__(self):
        return 1

    def __getitem__(self, step):
        if step > 0:
            raise IndexError(step)
        self.before()
        return self.batch


@pytest.fixture
def segmenter(make_base):
    def make(variant, *, seed=0):
        base = make_base()
        torch.manual_seed(seed)
        return build_trainable(base, variant)

    return make


@pytest.fixture
def cached(store):
    return lambda epoch: CachedBatches(store, SAMPLING, epoch=epoch)


@pytest.fixture
def train(tmp_path):
    def run(segmenter, variant, batches, name="run", **changes):
        params = PARAMS.replaced(**changes)
        trainee = Trainee(
            segmenter=segmenter, variant=variant, checkpointer=Checkpointer(tmp_path, name),
            sink=JsonlSink(tmp_path / f"{name}.jsonl"),
        )  # fmt: skip
        fit(trainee, params, batches, fabric=launch(params))
        return (tmp_path / f"{name}.jsonl").read_bytes()

    return run


def interrupted_in(epoch, batches, step=1):
    """Batches that interrupt the process in a step of an epoch."""

    class Interrupted(Dataset):
        def __init__(self, inner):
            self.inner = inner

        def __len__(self):
            return len(self.inner)

        def __getitem__(self, number):
            if number == step:
                raise KeyboardInterrupt
            return self.inner[number]

    return lambda number: Interrupted(batches(number)) if number == epoch else batches(number)


@each_variant
def test_an_interrupted_training_ends_as_an_uninterrupted_one(variant, segmenter, cached, train):
    whole, killed, resumed = segmenter(variant), segmenter(variant), segmenter(variant)
    history = train(whole, variant, cached, "whole")
    with pytest.raises(KeyboardInterrupt):
        train(killed, variant, interrupted_in(1, cached), "killed")
    assert digest(killed.state_dict()) != digest(whole.state_dict())
    assert train(resumed, variant, cached, "killed") == history
    assert digest(resumed.state_dict()) == digest(whole.state_dict())


@pytest.mark.long
@pytest.mark.parametrize("accumulate", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_that_is_interrupted_within_an_epoch_goes_on_there(
    accumulate, segmenter, store, train, monkeypatch
):
    monkeypatch.setattr("pasam.training.fit._LOOK_EVERY", 1)
    monkeypatch.setattr("pasam.training.fit._SAVE_EVERY", 0)
    made = []

    def batches(epoch, step=None):
        class Noted(CachedBatches):
            def __getitem__(self, number):
                made.append((epoch, number))
                if (epoch, number) == (1, step):
                    raise KeyboardInterrupt
                return super().__getitem__(number)

        return Noted(store, dataclasses.replace(SAMPLING, batch_size=2), epoch=epoch)

    whole, killed, resumed = (segmenter(PA) for _ in range(3))
    history = train(whole, PA, batches, "whole", accumulate=accumulate)
    with pytest.raises(KeyboardInterrupt):
        train(killed, PA, lambda epoch: batches(epoch, 3), "killed", accumulate=accumulate)
    made.clear()
    assert train(resumed, PA, batches, "killed", accumulate=accumulate) == history
    assert made[0] == (1, 3 - 3 % accumulate)  # the last step that was whole is not made again
    assert digest(resumed.state_dict()) == digest(whole.state_dict())


def test_within_an_epoch_a_state_is_saved_by_the_clock(segmenter, store, train, monkeypatch):
    monkeypatch.setattr("pasam.training.fit._LOOK_EVERY", 1)
    clock, saved = iter(range(0, 10_000, 60)), []  # a minute passes between two looks
    stand_in = types.SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("pasam.training.fit.time", stand_in)
    monkeypatch.setattr(
        Checkpointer, "save", lambda _self, state: saved.append(state["batches_done"])
    )
    sampling = dataclasses.replace(SAMPLING, batch_size=1)
    train(segmenter(PA), PA.replaced(epochs=1), lambda e: CachedBatches(store, sampling, epoch=e))
    assert saved == [3, 6, 0]  # every three minutes, and after the epoch


@each_variant
def test_only_the_decoders_own_parts_move(variant, segmenter, cached, train):
    trained, untouched = segmenter(variant), segmenter(variant)
    train(trained, variant, cached)
    assert digest(frozen_tensors(trained)) == digest(frozen_tensors(untouched))
    before = dict(untouched.named_parameters())
    learning = {n: p for n, p in trained.named_parameters() if p.requires_grad}
    assert all(name.startswith("decoder.") for name in learning)
    still = [name for name, p in learning.items() if torch.equal(p, before[name])]
    # The reference trains these besides, though only the first mask is used.
    assert all(name.startswith("decoder.output_hypernetworks_mlps.") for name in still)
    assert len(still) < len(learning) / 2


def test_a_frozen_tensor_that_moves_is_an_error(segmenter, cached, train):
    model = segmenter(HQ)

    def disturb():
        with torch.no_grad():
            model.base.sam.image_encoder.neck.bias.add_(1)

    batch = cached(0)[0]
    with pytest.raises(CheckpointError, match="a frozen tensor has moved"):
        train(model, HQ, lambda _: OneBatch(batch, disturb))


@pytest.mark.long
@each_variant
def test_four_masks_can_be_learned_by_heart(variant, segmenter, cached, train):
    batch = cached(0)[0]
    variant = variant.replaced(epochs=16, lr_step_size=16)
    how = {"learning_rate": 1e-2}
    lines = train(segmenter(variant), variant, lambda _: OneBatch(batch), **how).splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert losses[-1] < 0.85 * losses[0]


@each_variant
def test_the_history_has_one_row_per_epoch_and_no_time_in_it(variant, segmenter, cached, train):
    batch = cached(0)[0]
    history = train(segmenter(variant), variant, lambda _: OneBatch(batch))
    rows = [json.loads(line) for line in history.splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-3, 1e-3, 1e-4])
    keys = set(rows[0]) - {"epoch", "learning_rate"}
    assert "loss" in keys
    assert all(key.startswith("loss") for key in keys)


def test_a_row_of_the_history_holds_the_means_over_an_epochs_batches(segmenter, cached, train):
    made = {f"{k}": lambda _, k=k: OneBatch(cached(0)[k]) for k in range(len(cached(0)))}
    still, rows = {"learning_rate": 1e-12}, {}
    for name, batches in {"all": cached, **made}.items():
        rows[name] = json.loads(train(segmenter(PA), PA.replaced(epochs=1), batches, name, **still))
    mean = sum(rows[name]["loss"] for name in made) / len(made)
    assert rows["all"]["loss"] == pytest.approx(mean, rel=1e-4)
    assert len({rows[name]["loss"] for name in made}) == len(made) > 1


def _mining_from(epoch):
    return pa_sam(epochs=3, mining_points=2, mining_from_epoch=epoch)


def test_mining_begins_in_the_stated_epoch(segmenter, cached, train):
    histories = [
        train(segmenter(PA), _mining_from(first), cached, f"{first}") for first in (1, 2, 3)
    ]
    from_1, from_2, never = (history.splitlines() for history in histories)
    assert from_1[0] == from_2[0] == never[0]
    assert from_1[1] != from_2[1] == never[1]
    assert from_2[2] != never[2]


def test_only_pa_sam_mines(segmenter):
    assert TrainingStep(segmenter(HQ), HQ).mining_in(99) == "none"
    step = TrainingStep(segmenter(PA), PA)
    assert [step.mining_in(epoch) for epoch in (0, 1, 2)] == ["none", "gumbel", "gumbel"]


def test_batches_that_are_not_encoded_train_the_same(segmenter, cached, train):
    batch = cached(0)[0]
    bare = dataclasses.replace(batch, embedding=None, early=None)
    variant = HQ.replaced(epochs=1)
    made = {"cached": lambda _: OneBatch(batch), "bare": lambda _: OneBatch(bare)}
    loss = [json.loads(train(segmenter(HQ), variant, b, name))["loss"] for name, b in made.items()]
    assert loss[0] == pytest.approx(loss[1], rel=1e-2)  # the cache holds half precision


MASK = {"loss_mask", "loss_dice"}
MAPS = {"loss_mask_final", "loss_dice_final", "loss_uncertain_map"}
IMAGE = image_adapter()
NO_TOKENS = {"adapter_tokens": False, "mining_method": "none"}


@pytest.fixture
def labels():
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    labels[:, 10:40, 20:50] = 255
    return labels


@pytest.fixture
def prediction():
    noise = torch.Generator().manual_seed(0)
    masks, *maps = (torch.randn(2, 1, side, side, generator=noise) for side in (32, 8, 8, 8))
    details = PaPrediction(
        masks=masks, iou=torch.rand(2, 4), uncertainty=maps[0].sigmoid(), final=maps[1],
        coarse=maps[1], refined=maps[2], positive=None, negative=None,
    )  # fmt: skip
    return Prediction(masks=masks, iou=torch.rand(2, 1, generator=noise), details=details)


def terms(variant, prediction, labels, **choices):
    return objective_of(variant, **choices)(prediction, labels, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (pa_sam(), MASK | MAPS),
        (hq_sam(), MASK),
        (IMAGE, MASK),
        (pa_sam(**NO_TOKENS), MASK),
        (pa_sam(iou_head="trained"), MASK | MAPS | {"loss_quality"}),
        (pa_sam(**NO_TOKENS, iou_head="trained"), MASK | {"loss_quality"}),
    ],
    ids=["pa_sam", "hq_sam", "image", "no_tokens", "quality", "no_tokens_quality"],
)
def test_a_model_has_the_terms_of_what_it_has(variant, expected, prediction, labels):
    found = terms(variant, prediction, labels)
    assert set(found) == expected | {"loss"}
    assert found["loss"].item() == pytest.approx(sum(found[name].item() for name in expected))


def test_hq_sam_learns_at_points_and_the_others_on_all_pixels(prediction, labels):
    points = terms(hq_sam(), prediction, labels)
    assert torch.equal(
        terms(IMAGE, prediction, labels)["loss_mask"],
        terms(pa_sam(), prediction, labels)["loss_mask"],
    )
    assert not torch.equal(points["loss_mask"], terms(IMAGE, prediction, labels)["loss_mask"])


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"uncertainty_loss": "balanced"}, {"loss_uncertain_map", "loss"}),
        ({"mining_score_scale": 9.0, "gradient": "image", "prompts": "intended"}, set()),
    ],
)
def test_a_switch_changes_the_terms_that_it_names(changes, changed, prediction, labels):
    before, after = (
        terms(variant, prediction, labels) for variant in (pa_sam(), pa_sam(**changes))
    )
    assert {name for name in before if not torch.equal(before[name], after[name])} == changed


@pytest.mark.parametrize(
    ("variant", "changed"),
    [(pa_sam(), {"loss_mask", "loss"}), (IMAGE, {"loss_mask", "loss"}), (hq_sam(), set())],
    ids=["pa_sam", "image", "hq_sam"],
)
def test_the_cross_entropy_of_the_object_is_the_masks_alone(variant, changed, prediction, labels):
    before, after = (
        terms(variant, prediction, labels, cross_entropy=over) for over in ("image", "object")
    )
    assert {name for name in before if not torch.equal(before[name], after[name])} == changed


def test_training_takes_the_cross_entropy_of_its_params(segmenter, cached, train):
    losses = [
        json.loads(train(segmenter(PA), PA.replaced(epochs=1), cached, over, cross_entropy=over))
        for over in ("image", "object")
    ]
    assert losses[0]["loss_mask"] != losses[1]["loss_mask"]


@each_variant
def test_the_outlines_weight_adds_its_term_and_leaves_the_others(variant, segmenter, cached, train):
    without, with_it = (
        json.loads(
            train(segmenter(variant), variant.replaced(epochs=1), cached, str(over), outline=over)
        )
        for over in (0.0, 1.0)
    )
    assert set(with_it) - set(without) == {"loss_outline"}
    assert with_it["loss_outline"] > 0


def test_a_model_that_begins_at_sam_goes_only_a_part_of_the_way(segmenter, cached, train):
    plus = pa_sam(epochs=1, mining_points=2, adapter_start="sam")
    name = "decoder.mask_tokens.weight"
    began, all_the_way, some = (segmenter(plus) for _ in range(3))
    train(all_the_way, plus, cached, "all")
    train(some, plus.replaced(interpolation=0.25), cached, "some")
    start, end, found = (
        dict(each.named_parameters())[name].detach() for each in (began, all_the_way, some)
    )
    assert not torch.equal(start, end)
    torch.testing.assert_close(found, start + 0.25 * (end - start))


@pytest.mark.long
def test_a_part_of_the_way_is_of_the_whole_way_though_it_was_interrupted(segmenter, cached, train):
    plus = pa_sam(epochs=2, mining_points=2, adapter_start="sam", interpolation=0.25)
    batch = cached(0)[0]

    def batches(epoch):
        return Batches(batch)

    whole, killed, resumed = segmenter(plus), segmenter(plus), segmenter(plus)
    train(whole, plus, batches, "whole")
    with pytest.raises(KeyboardInterrupt):
        train(killed, plus, interrupted_in(1, batches, step=0), "killed")
    train(resumed, plus, batches, "killed")
    assert digest(resumed.state_dict()) == digest(whole.state_dict())


def test_each_step_goes_by_the_mean_of_its_own_batches_and_the_history_by_that_of_all(
    segmenter, cached, train, monkeypatch
):
    some, variant = [cached(0)[0], cached(0)[1], cached(1)[0]], IMAGE.replaced(epochs=1)
    step = TrainingStep(segmenter(variant), variant)
    learning = [p for p in step.parameters() if p.requires_grad]
    losses = [step(b, mining="none", generator=torch.Generator())["loss"] for b in some]
    first, second, last = (torch.autograd.grad(loss, learning) for loss in losses)
    taken, adam = [], torch.optim.Adam.step

    def noted(self, *arguments, **names):
        taken.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        return adam(self, *arguments, **names)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    row = train(
        segmenter(variant), variant, lambda _: Batches(*some), accumulate=2, learning_rate=1e-30
    )
    assert json.loads(row)["loss"] == pytest.approx(
        sum(loss.item() for loss in losses) / 3, rel=1e-5
    )
    means = [(one + other) / 2 for one, other in zip(first, second, strict=True)], last
    for found, mean in zip(taken, means, strict=True):
        found, mean = (
            torch.cat([g.flatten() for g in each]).sort().values for each in (found, mean)
        )
        torch.testing.assert_close(found, mean, rtol=1e-3, atol=1e-6)


def test_all_terms_at_once_add_up_each_by_its_weight(segmenter, cached):
    batch = cached(0)[0]

    def terms(outline, keep):
        variant = pa_sam(keep_sam=keep, iou_head="trained", mining_method="none")
        step = TrainingStep(segmenter(variant), variant, cross_entropy="object", outline=outline)
        found = step(batch, mining="none", generator=torch.Generator())
        return {name: value.item() for name, value in found.items()}

    one, more = terms(1.0, 2.0), terms(3.0, 5.0)
    for found in (one, more):
        assert set(found) == MASK | MAPS | {"loss_quality", "loss_outline", "loss_keep", "loss"}
        assert found["loss"] == pytest.approx(sum(found.values()) - found["loss"], rel=1e-5)
    factors = {name: more[name] / one[name] for name in one if name != "loss"}
    expected = {**dict.fromkeys(factors, 1.0), "loss_outline": 3.0, "loss_keep": 2.5}
    assert factors == pytest.approx(expected, rel=1e-4)


def far_from_sam(model, batch):
    """How far a model's masks are from SAM's, in logits, where SAM is right."""
    step = TrainingStep(model, pa_sam(keep_sam=1.0))
    return step(batch, mining="none", generator=torch.Generator())["loss_keep"].item()


@pytest.mark.long
def test_a_loss_that_keeps_holds_the_masks_to_sams(segmenter, cached, train):
    free = pa_sam(epochs=8, lr_step_size=8, adapter_start="sam", mining_method="none")
    kept = free.replaced(keep_sam=30.0)
    batch = cached(0)[0]
    left, held, began = segmenter(free), segmenter(kept), segmenter(free)
    for name, model, variant in (("left", left, free), ("held", held, kept)):
        train(model, variant, lambda _: OneBatch(batch), name, learning_rate=1e-2)
    assert far_from_sam(began, batch) == pytest.approx(0, abs=1e-6)  # it begins at SAM
    assert 0 < far_from_sam(held, batch) < 0.5 * far_from_sam(left, batch)


def test_the_loss_that_keeps_is_part_of_what_is_minimised(segmenter, cached):
    batch = cached(0)[0]
    found = {}
    for weight in (0.0, 2.0, 4.0):
        variant = pa_sam(keep_sam=weight, mining_method="none")
        step = TrainingStep(segmenter(variant), variant)
        found[weight] = step(batch, mining="none", generator=torch.Generator())
    assert "loss_keep" not in found[0.0]
    assert found[4.0]["loss_keep"].item() == pytest.approx(2 * found[2.0]["loss_keep"].item())
    grown = found[4.0]["loss"] - found[0.0]["loss"]
    assert grown.item() == pytest.approx(found[4.0]["loss_keep"].item(), abs=1e-6)


def test_views_that_are_not_cached_are_encoded_once_for_both_decoders(
    segmenter, cached, monkeypatch
):
    bare = dataclasses.replace(cached(0)[0], embedding=None, early=None)
    variant = pa_sam(keep_sam=1.0, mining_method="none")
    step = TrainingStep(segmenter(variant), variant)
    base, seen = type(step.segmenter.base), []
    encode = base.encode
    monkeypatch.setattr(base, "encode", lambda *given: seen.append(1) or encode(*given))
    assert step(bare, mining="none", generator=torch.Generator())["loss_keep"].item() > 0
    assert len(seen) == 1


def test_the_adapter_learns_at_its_own_rate(segmenter, cached, train):
    def moved(factor):
        variant = pa_sam(epochs=1, mining_points=2, adapter_rate=factor)
        began, ended = segmenter(variant), segmenter(variant)
        row = json.loads(train(ended, variant, lambda _: OneBatch(cached(0)[0]), f"{factor}"))
        assert row["learning_rate"] == PARAMS.learning_rate  # the head's
        before = dict(began.named_parameters())
        far = {n: (p - before[n]).abs().max().item() for n, p in ended.named_parameters()}
        return tuple(far[f"decoder.{n}.weight"] for n in ("mask_tokens", "guiding_conv.6"))

    # Adam's first step is as long as the rate, whatever the gradient.
    assert moved(1.0) == pytest.approx((1e-3, 1e-3), rel=1e-2)
    assert moved(0.1) == pytest.approx((1e-3, 1e-4), rel=1e-2)


def test_every_epoch_batch_and_seed_has_noise_of_its_own():
    places = [(seed, epoch, n) for seed in (0, 1, 4) for epoch in (0, 1, 2) for n in (0, 1, 1009)]
    draws = {tuple(torch.rand(3, generator=_generator(*place)).tolist()) for place in places}
    assert len(draws) == len(places)


def test_the_epochs_of_a_training_draw_their_noise_from_their_own_place(
    segmenter, cached, train, monkeypatch
):
    seen = []
    forward = TrainingStep.forward

    def recorded(self, batch, *, mining, generator):
        seen.append(generator.initial_seed())
        return forward(self, batch, mining=mining, generator=generator)

    monkeypatch.setattr(TrainingStep, "forward", recorded)
    train(segmenter(HQ), HQ, lambda epoch: OneBatch(cached(0)[0]))
    assert seen == [_generator(PARAMS.seed, epoch, 0).initial_seed() for epoch in range(3)]
    seen.clear()  # each of the batches that make one step has noise of its own
    short, batch = HQ.replaced(epochs=1, lr_step_size=1), cached(0)[0]
    train(segmenter(short), short, lambda epoch: Batches(batch, batch), "two", accumulate=2)
    assert seen == [_generator(PARAMS.seed, 0, number).initial_seed() for number in range(2)]


def test_denormal_numbers_are_nothing_while_a_model_trains_and_only_then(
    segmenter, cached, train, monkeypatch
):
    def smallest():
        return torch.full((64,), 1e-40).mul(0.5).max().item()

    seen = []

    def failing(self, batch, *, mining, generator):
        seen.append(smallest())
        raise KeyError

    monkeypatch.setattr(TrainingStep, "forward", failing)
    with pytest.raises(KeyError):
        train(segmenter(HQ), HQ, lambda epoch: OneBatch(cached(0)[0]))
    assert seen == [0.0]
    assert smallest() > 0


class Batches(Dataset):
    """Some batches, in order."""

    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, step):
        return self.batches[step]


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 3), (2, 2), (3, 1), (5, 1)])
def test_the_last_step_of_an_epoch_takes_the_batches_that_are_left(
    accumulate, steps, segmenter, cached, train, monkeypatch
):
    taken, step = [], torch.optim.Adam.step

    def counted(self, *arguments, **names):
        taken.append(1)
        return step(self, *arguments, **names)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    three, variant = Batches(*[cached(0)[0]] * 3), IMAGE.replaced(epochs=1, lr_step_size=1)
    train(segmenter(variant), variant, lambda _: three, accumulate=accumulate)
    assert len(taken) == steps


def test_a_machine_with_slurms_commands_gets_no_advice_about_them(tmp_path, monkeypatch):
    from lightning_fabric.plugins.environments import SLURMEnvironment

    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.warns(UserWarning, match="srun"):
        SLURMEnvironment.detect()
    launch(PARAMS)  # a warning is an error here


def test_a_launch_whose_processes_do_not_fit_the_params_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ParamsError, match=r"2 .* own.devices 1 on own.nodes 1 are 1.*<own.nodes>"):
        launch(PARAMS, section="own")


def test_devices_machines_and_precision_of_the_params_are_those_that_are_launched(monkeypatch):
    made = []

    class Fabric:
        def __init__(self, **named):
            made.append(named)

        def launch(self):
            made.append("launched")

    monkeypatch.setattr("lightning_fabric.Fabric", Fabric)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    launch(PARAMS.replaced(precision="bf16-mixed"))
    launch(PARAMS.replaced(devices=2, nodes=3))
    monkeypatch.setenv("WORLD_SIZE", "6")
    launch(PARAMS.replaced(devices=2, nodes=3))
    alone = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto",
             "precision": "bf16-mixed", "plugins": None}  # fmt: skip
    many = {**alone, "devices": 2, "num_nodes": 3, "precision": "32-true",
            "strategy": "ddp_find_unused_parameters_true"}  # fmt: skip
    assert made == [alone, "launched", many, "launched", many, "launched"]


@pytest.mark.long
def test_a_gpu_goes_on_with_an_interrupted_training(segmenter, cached, train, tested_device):
    where = {"accelerator": tested_device.replace("cuda", "gpu")}
    whole, killed, resumed = segmenter(PA), segmenter(PA), segmenter(PA)
    train(whole, PA, cached, "whole", **where)
    with pytest.raises(KeyboardInterrupt):
        train(killed, PA, interrupted_in(1, cached), "killed", **where)
    train(resumed, PA, cached, "killed", **where)
    torch.testing.assert_close([*resumed.parameters()], [*whole.parameters()], rtol=1e-3, atol=1e-4)
