"""Training on photographs learns, goes on after an interruption, and ends at the base's side."""

import contextlib
import dataclasses
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from photograph_pool import picture, rectangle
from small_world import small_base

from pasam.config.schema import PhotographParams, SidePhase
from pasam.models.checkpoint import load_strictly
from pasam.training import photograph_training
from pasam.training.clickable import Clickable, worst_click
from pasam.training.object_batches import ObjectBatch, ObjectBatches, ObjectSampler, ViewMix
from pasam.training.photograph_training import (
    _PhotographTraining,
    rate_factor,
    train_on_photographs,
)
from pasam.training.resume import Checkpointer, JsonlSink

PARAMS = PhotographParams(
    folder=None, trunk=None, decoder=None, generated_fraction=0.35, emphasis=(), whole=0.4,
    crop=0.2, box_fraction=0.5, prompts_per_image=1,
    phases=(
        SidePhase(side=32, steps=4, batch_size=2, frozen_stages=0),
        SidePhase(side=64, steps=3, batch_size=2, frozen_stages=0),
    ),
    learning_rate=1e-3, trunk_rate=0.4, warmup_steps=2, weight_decay=0.01, ema_decay=0.5,
    coarseness=0.0, detail_weight=0.5, precision="32-true", accelerator="cpu", devices=1, nodes=1,
    workers=0, row_every=3, save_minutes=0.0,
)  # fmt: skip


def make_base(seed=0):
    torch.manual_seed(seed)
    return small_base()


@pytest.fixture(scope="module")
def pictures():
    return [
        picture("cats", rectangle(64, 64, 4 + k, 6, 20, 20), rectangle(64, 64, 34, 30, 24, 24),
                seed=k)
        for k in range(3)
    ]  # fmt: skip


class Interrupting(list):
    """Pictures that interrupt the process when one is looked at once too often."""

    def __init__(self, items, *, after):
        super().__init__(items)
        self.left = after

    def __getitem__(self, number):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().__getitem__(number)


def train(base, pictures, folder, name, **changes):
    return train_on_photographs(
        base, pictures, PARAMS.replaced(**changes), seed=1,
        sink=JsonlSink(folder / f"{name}.jsonl"), checkpointer=Checkpointer(folder, name),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(make_base(), pictures, folder, "run")


# 3 pictures are looked at when the sampler is made, then 2 at every step.
@pytest.mark.long
@pytest.mark.parametrize(
    "steps", [*(pytest.param(steps, marks=pytest.mark.slow) for steps in (1, 3, 6)), 4]
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(pictures, tmp_path, whole, steps):
    folder, weights = whole
    seen = Interrupting(pictures, after=len(pictures) + 2 * steps)
    with pytest.raises(KeyboardInterrupt):
        train(make_base(), seen, tmp_path, "resumed")
    assert Checkpointer(tmp_path, "resumed").load()["done"] == steps
    resumed = train(make_base(seed=9), pictures, tmp_path, "resumed")
    assert weights.keys() == resumed.keys()
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    assert (tmp_path / "resumed.jsonl").read_bytes() == (folder / "run.jsonl").read_bytes()


class Run:
    """A training that computes nothing: what is asked of it, and what comes of it."""

    def __init__(self, monkeypatch, folder, *, rank=0, world=1):
        self.sampled, self.batches, self.began, self.seen, self.reports = [], [], [], [], []
        self.sink = JsonlSink(folder / f"history-{rank}.jsonl")
        self.checkpointer = Checkpointer(folder, "run")
        run = self

        class Training:
            fabric = SimpleNamespace(
                is_global_zero=not rank, world_size=world, global_rank=rank,
                device=torch.device("cpu"),
            )  # fmt: skip
            side, done = 64, 0
            current, steps_left = _PhotographTraining.current, _PhotographTraining.steps_left

            def __init__(self, model, params, phase):
                self.params, self.phase = params, phase
                run.began.append((model, phase))

            def enter(self, phase):
                self.phase = phase

            def step(self, batch):
                run.seen.append(batch)
                self.done += 1
                return {"step": self.done} if self.done % 2 == 0 else None

            def state_dict(self):
                return {"phase": self.phase, "done": self.done}

            def load_state_dict(self, state):
                self.done = state["done"]

            def averaged_weights(self):
                return {"done": self.done}

        class Batches:
            def __init__(self, pictures, *, sampler, side, **named):
                self.side = side
                run.batches.append((pictures, sampler, side, named))

            def __getitem__(self, number):
                return f"{self.side}: {number}"

        def sampler(pictures, **named):
            self.sampled.append((pictures, named))
            return "sampler"

        for name, made in (("_PhotographTraining", Training), ("ObjectBatches", Batches)):
            monkeypatch.setattr(photograph_training, name, made)
        monkeypatch.setattr(photograph_training, "ObjectSampler", sampler)
        monkeypatch.setattr(
            photograph_training, "Clickable", lambda base, *, detail_weight: (base, detail_weight)
        )

    def go(self, **changes):
        ticks = iter(range(0, 10_000, 60))  # a minute passes at every look at the clock
        return train_on_photographs(
            "base", "pictures", PARAMS.replaced(**changes), seed=8, sink=self.sink,
            checkpointer=self.checkpointer, report=self.reports.append,
            clock=lambda: float(next(ticks)),
        )  # fmt: skip


def test_params_reach_the_sampler_and_the_batches_of_each_phase_in_turn(monkeypatch, tmp_path):
    run = Run(monkeypatch, tmp_path)
    phases = (
        SidePhase(side=32, steps=2, batch_size=2, frozen_stages=0),
        SidePhase(side=64, steps=3, batch_size=3, frozen_stages=1),
    )
    weights = run.go(
        phases=phases, whole=0.3, crop=0.6, box_fraction=0.7, prompts_per_image=4,
        generated_fraction=0.25, emphasis=({"dataset": "cats", "factor": 3.0},), save_minutes=60.0,
    )  # fmt: skip
    shared = {
        "views": ViewMix(whole=0.3, crop=0.6), "full_side": 64, "prompts_per_image": 4,
        "box_fraction": 0.7, "seed": 8,
    }  # fmt: skip
    assert run.began == [(("base", 0.5), 0)]
    assert run.sampled == [("pictures", {"generated_fraction": 0.25, "emphasis": {"cats": 3.0}})]
    assert run.batches == [
        ("pictures", "sampler", 32, {"batch_size": 2, **shared}),
        ("pictures", "sampler", 64, {"batch_size": 3, **shared}),
    ]
    assert run.seen == ["32: 0", "32: 1", "64: 2", "64: 3", "64: 4"]
    assert (weights, run.sink.rows) == ({"done": 5}, [{"step": 2}, {"step": 4}])
    assert run.checkpointer.load() == {"phase": 1, "done": 5, "rows": run.sink.rows}


def test_a_training_is_saved_by_the_clock_and_in_the_end_and_reported_each_time(
    monkeypatch, tmp_path
):
    run = Run(monkeypatch, tmp_path)
    run.go(save_minutes=2.0)  # saving itself takes a minute
    assert [report["done"] for report in run.reports] == [2, 4, 6, 7]
    assert run.checkpointer.load()["done"] == 7


def test_a_training_goes_on_behind_its_saved_step_with_its_phase_and_its_rows(
    monkeypatch, tmp_path
):
    run = Run(monkeypatch, tmp_path)
    run.checkpointer.save({"phase": 1, "done": 5, "rows": [{"step": 2}, {"step": 4}]})
    assert run.go() == {"done": 7}
    assert (run.began[0][1], [side for _, _, side, _ in run.batches]) == (1, [64])
    assert run.seen == ["64: 5", "64: 6"]
    assert run.sink.rows == [{"step": 2}, {"step": 4}, {"step": 6}]
    again = Run(monkeypatch, tmp_path)
    assert (again.go(), again.seen) == ({"done": 7}, [])


def test_of_several_processes_each_takes_every_other_batch_and_the_first_alone_writes(
    monkeypatch, tmp_path
):
    second = Run(monkeypatch, tmp_path, rank=1, world=2)
    assert second.go() is None
    assert second.seen == [f"{32 if n < 8 else 64}: {n}" for n in range(1, 14, 2)]
    assert (second.sink.rows, second.reports, second.checkpointer.load()) == ([], [], None)
    assert not list(tmp_path.iterdir())
    first = Run(monkeypatch, tmp_path, rank=0, world=2)
    first.go()
    assert first.seen == [f"{32 if n < 8 else 64}: {n}" for n in range(0, 14, 2)]
    assert len(first.sink.rows) == 3


@pytest.mark.long
def test_every_choice_of_the_params_reaches_sampler_and_batches(pictures, tmp_path, monkeypatch):
    made = []

    class Sampler(ObjectSampler):
        def __init__(self, pictures, **named):
            made.append(named)
            super().__init__(pictures, **named)

    class Batches(ObjectBatches):
        def __init__(self, pictures, *, sampler, **named):
            made.append(named)
            super().__init__(pictures, sampler=sampler, **named)

    def step(training, batch):
        training.done += 1

    monkeypatch.setattr(_PhotographTraining, "step", step)
    monkeypatch.setattr("pasam.training.photograph_training.ObjectSampler", Sampler)
    monkeypatch.setattr("pasam.training.photograph_training.ObjectBatches", Batches)
    phases = (
        SidePhase(side=32, steps=1, batch_size=2, frozen_stages=0),
        SidePhase(side=64, steps=2, batch_size=3, frozen_stages=1),
    )
    train_on_photographs(
        make_base(), pictures,
        PARAMS.replaced(
            phases=phases, whole=0.3, crop=0.6, box_fraction=0.7, prompts_per_image=2,
            generated_fraction=0.25, emphasis=({"dataset": "cats", "factor": 3.0},),
        ),
        seed=8, sink=JsonlSink(None), checkpointer=Checkpointer(tmp_path, "run"),
    )  # fmt: skip
    shared = {
        "views": ViewMix(whole=0.3, crop=0.6), "full_side": 64, "prompts_per_image": 2,
        "box_fraction": 0.7, "seed": 8,
    }  # fmt: skip
    assert made == [
        {"generated_fraction": 0.25, "emphasis": {"cats": 3.0}},
        {"side": 32, "batch_size": 2, **shared},
        {"side": 64, "batch_size": 3, **shared},
    ]


@pytest.mark.long
def test_a_finished_run_is_not_trained_again(pictures, whole):
    folder, first = whole
    rows = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    assert [(row["step"], row["side"]) for row in rows] == [(3, 32), (6, 64), (7, 64)]
    again = train(make_base(seed=9), pictures, folder, "run")
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.long
def test_small_images_come_first_and_the_base_leaves_at_its_own_side(
    pictures, tmp_path, monkeypatch
):
    sides, step = [], _PhotographTraining.step

    def note(training, batch):
        sides.append(batch.images.shape[-1])
        return step(training, batch)

    monkeypatch.setattr(_PhotographTraining, "step", note)
    weights = train(make_base(), pictures, tmp_path, "run")
    assert sides == [32] * 4 + [64] * 3
    load_strictly(make_base().sam, weights, source="run")


@pytest.mark.long
def test_a_state_is_saved_by_the_clock_and_brings_the_average(pictures, tmp_path):
    ticks = iter(range(0, 10_000, 60))  # a minute passes at every look at the clock
    reports = []
    train_on_photographs(
        make_base(), pictures, PARAMS.replaced(save_minutes=3.0), seed=1,
        sink=JsonlSink(None), checkpointer=Checkpointer(tmp_path, "run"), report=reports.append,
        clock=lambda: float(next(ticks)),
    )  # fmt: skip
    assert 2 <= len(reports) <= 4  # 7 steps, and the end
    load_strictly(make_base().sam, reports[0], source="report")


@pytest.mark.long
def test_moments_and_average_outlive_a_change_of_side(pictures):
    training = _PhotographTraining(_model(), PARAMS, 0)
    batches = ObjectBatches(
        pictures, sampler=ObjectSampler(pictures, generated_fraction=0.5),
        views=ViewMix(whole=1.0, crop=0.0), side=32, full_side=64, batch_size=2,
        prompts_per_image=1, box_fraction=0.5, seed=1,
    )  # fmt: skip
    for k in range(2):
        training.step(batches[k])
    name = "base.sam.image_encoder.neck.weight"
    before = training.average.module.state_dict()[name].clone()
    moments = len(training.optimizer.state)
    training.enter(1)
    assert torch.equal(training.average.module.state_dict()[name], before)
    assert int(training.average.n_averaged) == 2
    assert len(training.optimizer.state) == moments - 1  # the code of place has another shape


def test_the_weights_that_leave_are_the_moving_average_and_not_the_last_ones(pictures):
    training = _PhotographTraining(_model(), PARAMS.replaced(ema_decay=0.75), 0)
    batches = ObjectBatches(
        pictures, sampler=ObjectSampler(pictures, generated_fraction=0.5),
        views=ViewMix(whole=1.0, crop=0.0), side=32, full_side=64, batch_size=2,
        prompts_per_image=1, box_fraction=0.5, seed=1,
    )  # fmt: skip
    last = []
    for k in range(2):
        training.step(batches[k])
        last.append({k: v.clone() for k, v in training.model.base.sam.state_dict().items()})
    found = training.averaged_weights()
    load_strictly(make_base().sam, found, source="average")  # of the side at which it is used
    for name in ("neck.weight", "trunk.stem.norm.running_mean"):
        first, second = (weights[f"image_encoder.{name}"] for weights in last)
        assert not torch.equal(first, second)
        torch.testing.assert_close(found[f"image_encoder.{name}"], 0.75 * first + 0.25 * second)


def _model():
    return Clickable(make_base(), detail_weight=0.5)


@pytest.mark.parametrize("kind", ["boxes", pytest.param("points", marks=pytest.mark.long)])
def test_a_pretraining_step_reads_nothing_back_from_its_device(kind, monkeypatch):
    """On torch's device without memory nothing can be read; a GPU would be waited for."""
    monkeypatch.setattr(torch, "autocast", lambda *_given, **_named: contextlib.nullcontext())
    asked = {"boxes": torch.rand(4, 4), "points": torch.rand(4, 1, 2)}[kind].to("meta")
    targets, detail = torch.zeros(4, 32, 32), torch.zeros(2, 4, 32, 32)
    batch = ObjectBatch(
        images=torch.zeros(2, 3, 64, 64, dtype=torch.uint8).to("meta"),
        targets=targets.to("meta"), detail=detail.to("meta"),
        image_index=torch.tensor([0, 0, 1, 1]).to("meta"), rounds=2, feedback=True,
        **{"boxes": None, "points": None, kind: asked},
    )  # fmt: skip
    _model().to("meta")(batch)["loss"].backward()


def test_frozen_stages_keep_weights_and_statistics(pictures, tmp_path):
    held = PARAMS.replaced(
        ema_decay=0.0, phases=tuple(
            phase.replaced(frozen_stages=count)
            for phase, count in zip(PARAMS.phases, (0, 3), strict=True)
        )
    )  # fmt: skip
    training = _PhotographTraining(_model(), held, 0)
    small, large = (
        ObjectBatches(
            pictures, sampler=ObjectSampler(pictures, generated_fraction=0.5),
            views=ViewMix(whole=1.0, crop=0.0), side=side, full_side=64, batch_size=2,
            prompts_per_image=1, box_fraction=0.5, seed=1,
        )[0]
        for side in (32, 64)
    )  # fmt: skip
    training.step(small)
    neck = "base.sam.image_encoder.neck.weight"
    moment = training._moments()[neck]["exp_avg"].clone()
    average = training.average.module.state_dict()[neck].clone()
    training.enter(1)  # moments and average outlive the change of side
    assert torch.equal(training._moments()[neck]["exp_avg"], moment)
    assert torch.equal(training.average.module.state_dict()[neck], average)
    assert int(training.average.n_averaged) == 1
    before = {k: v.clone() for k, v in training.model.state_dict().items()}
    training.step(large)
    moved = {k for k, v in training.model.state_dict().items() if not torch.equal(v, before[k])}
    trunk = "base.sam.image_encoder.trunk."
    still = (f"{trunk}stem.", f"{trunk}stages.0.", f"{trunk}stages.1.")
    assert not [name for name in moved if name.startswith(still)]
    assert f"{trunk}stages.2.0.expand.conv.weight" in moved
    assert f"{trunk}stages.2.0.expand.norm.running_mean" in moved


def test_stages_that_an_early_phase_freezes_learn_in_a_later_one_that_does_not():
    phases = tuple(
        phase.replaced(frozen_stages=count)
        for phase, count in zip(PARAMS.phases, (3, 1), strict=True)
    )
    training = _PhotographTraining(_model(), PARAMS.replaced(phases=phases), 0)

    def held() -> list[set[str]]:
        """Parts of the trunk that do not learn, that are not stepped, that evaluate."""
        trunk = training.model.base.sam.image_encoder.trunk
        stepped = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
        named = list(trunk.named_parameters())
        found = (
            {name for name, part in named if not part.requires_grad},
            {name for name, part in named if id(part) not in stepped},
            {name for name, part in trunk.named_modules() if not part.training and "." in name},
        )
        return [{re.match(r"stages\.\d|\w+", name)[0] for name in names} for names in found]

    assert held() == 3 * [{"stem", "stages.0", "stages.1"}]
    training.enter(1)
    assert held() == 3 * [{"stem"}]


def test_the_trunk_learns_more_slowly_and_norms_do_not_decay():
    training = _PhotographTraining(_model(), PARAMS, 0)
    trunk = set(training.model.base.sam.image_encoder.trunk.parameters())
    assert len(training.optimizer.param_groups) == 4
    for group in training.optimizer.param_groups:
        assert {part in trunk for part in group["params"]} == {group["lr"] == 4e-4}
        assert (group["lr"], group["weight_decay"]) in itertools.product((4e-4, 1e-3), (0.01, 0.0))
        assert {part.ndim > 1 for part in group["params"]} == {group["weight_decay"] > 0}


def test_a_change_of_side_keeps_average_count_and_moments_of_what_learns_on():
    phases = (PARAMS.phases[0], PARAMS.phases[1].replaced(frozen_stages=1))
    training = _PhotographTraining(_model(), PARAMS.replaced(phases=phases), 0)
    for parameter in training.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for _ in range(2):
        training.optimizer.step()
        training.average.update_parameters(training.model)
    name = "base.sam.image_encoder.neck.weight"
    average = training.average.module.get_parameter(name).clone()
    before = training.optimizer.state[training.model.get_parameter(name)]["exp_avg"].clone()
    training.enter(1)
    assert int(training.average.n_averaged) == 2
    assert torch.equal(training.average.module.get_parameter(name), average)
    state, parameters = training.optimizer.state, dict(training.model.named_parameters())
    assert torch.equal(state[parameters[name]]["exp_avg"], before)
    learns = {name for name, part in parameters.items() if part.requires_grad}
    kept = {name for name, part in parameters.items() if part in state}
    assert (len(kept - learns), len(learns - kept)) == (0, 1)  # the code of place begins anew
    assert training.state_dict()["optimizer"]["state"].keys() <= set(range(len(learns)))


def test_the_rate_rises_then_falls_along_a_cosine():
    rates = [rate_factor(step, warmup=2, total=10) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi / 2)) / 2)
    assert all(late < early for early, late in zip(rates[2:], rates[3:], strict=False))


@pytest.mark.long
def test_it_learns(pictures, tmp_path):
    sink = JsonlSink(tmp_path / "history.jsonl")
    train_on_photographs(
        make_base(), pictures,
        PARAMS.replaced(
            phases=(SidePhase(side=64, steps=45, batch_size=4, frozen_stages=0),),
            row_every=15, whole=1.0, crop=0.0, box_fraction=0.99, learning_rate=3e-3,
            save_minutes=60.0,
        ),
        seed=1, sink=sink, checkpointer=Checkpointer(tmp_path, "run"),
    )  # fmt: skip
    assert [row["step"] for row in sink.rows] == [15, 30, 45]
    assert sink.rows[-1]["loss"] < 0.8 * sink.rows[0]["loss"]


IN_TWO = """
import sys
sys.path[:0] = {paths!r}
import test_photograph_training as test

if __name__ == "__main__":
    from pathlib import Path
    from photograph_pool import picture, rectangle

    seen = [picture("cats", rectangle(64, 64, 4 + k, 6, 20, 20), seed=k) for k in range(3)]
    found = test.train(test.make_base(), seen, Path({folder!r}), "two", devices=2)
    print("weights" if found is not None else "nothing", flush=True)
"""


@pytest.mark.slow  # two processes, each of which imports torch
def test_two_processes_train_together_and_the_first_alone_writes(tmp_path):
    here = Path(__file__).parent
    script = tmp_path / "two.py"
    paths = [str(here.parents[1]), str(here.parent), str(here)]
    script.write_text(IN_TWO.format(paths=paths, folder=str(tmp_path)))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=300
    )
    said = [line for line in done.stdout.splitlines() if line in ("weights", "nothing")]
    assert sorted(said) == ["nothing", "weights"]
    assert len((tmp_path / "two.jsonl").read_text().splitlines()) == 3


def test_a_click_is_the_middle_of_its_mask_pixel_in_pixels_of_the_input():
    target = torch.zeros(1, 16, 16)
    target[0, 3, 5] = 1
    for side, place in ((32, [10.5, 6.5]), (64, [21.5, 13.5]), (16, [5.0, 3.0])):
        click, _ = worst_click(target - 1, target, side=side)
        assert click.tolist() == [[place]]


@pytest.mark.parametrize("missed", [True, False])
def test_what_is_shown_beside_its_place_is_two_thin_errors_and_not_a_thick_one(missed):
    strip, beside, block = torch.zeros(3, 1, 32, 32)
    strip[0, 6:26, 4:7] = beside[0, 6:26, 7:10] = block[0, 10:15, 20:25] = 1
    wanted, shown = strip + block * missed, beside + block * (not missed)
    click, sign = worst_click(2 * shown - 1, wanted, side=32)
    assert sign.tolist() == [[float(missed)]]
    assert block[0, int(click[0, 0, 1]), int(click[0, 0, 0])] == 1


def test_a_row_is_the_mean_of_its_steps_and_the_last_one_comes_with_the_last_step():
    def nothing(*given, **named):
        pass

    training = SimpleNamespace(
        params=SimpleNamespace(row_every=3, warmup_steps=1), total=7, done=0, counted=0, sums={},
        optimizer=SimpleNamespace(param_groups=[{"lr": 0.0}]), rates=[1.0], model=None,
        runner=lambda batch: {"loss": torch.tensor(float(batch))},
        fabric=SimpleNamespace(to_device=lambda batch: batch, backward=nothing), _clip=nothing,
        driver=SimpleNamespace(step=nothing, zero_grad=nothing),
        average=SimpleNamespace(update_parameters=nothing), current=SimpleNamespace(side=32),
    )  # fmt: skip
    rows = [_PhotographTraining.step(training, number) for number in range(7)]
    assert [number for number, row in enumerate(rows) if row] == [2, 5, 6]
    assert [row for row in rows if row] == [
        {"step": step, "side": 32, "loss": loss} for step, loss in ((3, 1.0), (6, 4.0), (7, 6.0))
    ]


def drawing(pictures, **changes):
    values = {
        "side": 64, "full_side": 64, "batch_size": 1, "prompts_per_image": 2, "box_fraction": 0.99,
        "seed": 1, "views": ViewMix(whole=1.0, crop=0.0),
    }  # fmt: skip
    sampler = ObjectSampler(pictures, generated_fraction=0.35)
    return ObjectBatches(pictures, sampler=sampler, **{**values, **changes})


def test_a_part_of_a_whole_view_has_the_images_shape_at_full_scale():
    views = drawing([picture("s", rectangle(128, 512, 60, 50, 9, 9))], full_side=128)
    rng = np.random.default_rng(0)
    windows = [views._whole(views.pictures[0], 0, rng) for _ in range(40)]
    assert {(x1 - x0, y1 - y0) for x0, y0, x1, y1 in windows} == {(512, 128), (256, 64)}
    assert all(0 <= x0 <= 60 and 0 <= y0 <= 50 for x0, y0, _, _ in windows)


def test_a_zoom_on_a_speck_ends_at_four_pixels_for_one_give_or_take_the_stretch():
    views = drawing([picture("s", rectangle(400, 400, 200, 200, 2, 2))])
    rng = np.random.default_rng(0)
    windows = [views._zoom(views.pictures[0], 0, rng) for _ in range(60)]
    widths = [x1 - x0 for x0, _, x1, _ in windows]
    assert min(widths) >= 12  # 64 pixels of the view are 16 of the image, times 0.78 or more
    assert np.median(widths) <= 21


def test_a_view_shows_the_sampled_object_and_twice_as_many_others_as_are_prompted_for():
    many = picture("s", *(rectangle(64, 64, 8 * k, 8, 7, 40) for k in range(8)))
    (shown,) = {
        tuple(drawing([many]).view(0, 5, np.random.default_rng(seed)).fine) for seed in (0, 1)
    }
    assert shown == (5, 0, 1, 2, 3)


@pytest.mark.parametrize(("pixels", "prompted"), [(8, 8), (7, 32 * 32)])
def test_an_object_of_fewer_pixels_than_points_may_have_is_prompted_for_by_its_coarse_mask(
    pixels, prompted, monkeypatch
):
    fine, coarse = rectangle(64, 64, 30, 30, pixels, 1), rectangle(64, 64, 16, 16, 32, 32)
    drawn = picture("s", fine)
    hurried = dataclasses.replace(drawn, coarse=np.packbits(coarse[None] > 0, axis=-1))
    labels = []
    monkeypatch.setattr(
        "pasam.training.object_batches._box",
        lambda label, rng: labels.append(label) or np.float32([0, 0, 9, 9]),
    )
    batches = drawing([hurried])
    view = batches._look(hurried, 0, (0, 0, 64, 64), np.random.default_rng(0), padded=False)
    monkeypatch.setattr(batches, "view", lambda *given: view)
    assert batches[0].boxes is not None
    assert {int((label > 128).sum()) for label in labels} == {prompted}
