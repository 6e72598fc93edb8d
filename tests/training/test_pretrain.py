"""Pretraining learns, repeats itself, and goes on after an interruption as if there were none."""

import pytest
import torch

from pasam.config.schema import PretrainParams, PretrainPhase
from pasam.models.checkpoint import load_strictly
from pasam.training.pretrain import Promptable, _correction, _Training, pretrain
from pasam.training.promptable_batches import PromptableBatches
from pasam.training.resume import Checkpointer, JsonlSink


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


SMALL_THEN_FULL = ((2, 4), (1, 3))
"""Factor and number of steps of the phases."""


def params(*phases, learning_rate=1e-3, **changes):
    values = {
        "size": "vit_tiny", "seed": 1, "generated_images": 0, "initial": None,
        "prompts_per_image": 1,
        "warmup_steps": 1, "weight_decay": 0.01, "ema_decay": 0.5, "coarseness": 0.0,
        "detail_weight": 1.0, "jitter": (0.9, 1.1), "precision": "32-true", "checkpoint_every": 2,
        "photographs": None,
    }  # fmt: skip
    steps = tuple(
        PretrainPhase(shrink=shrink, steps=steps, batch_size=2, learning_rate=learning_rate)
        for shrink, steps in phases or ((1, 5),)
    )
    return PretrainParams(phases=steps, **{**values, **changes})


def train(base, pictures, folder, name, *phases, **changes):
    return pretrain(
        base, pictures, params(*phases, **changes), sink=JsonlSink(folder / f"{name}.jsonl"),
        checkpointer=Checkpointer(folder, name), workers=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(make_base, pictures, tmp_path_factory):
    """A folder with the history of a run that nothing interrupted, and its weights."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(make_base(), pictures, folder, "run", *SMALL_THEN_FULL)


@pytest.mark.parametrize(("after", "kept"), [(7, 2), (9, 4), (13, 6)])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    make_base, pictures, tmp_path, whole, after, kept
):
    folder, weights = whole
    seen = Interrupting(pictures, after=after)  # ends in the first phase, at its end, in the second
    with pytest.raises(KeyboardInterrupt):
        train(make_base(), seen, tmp_path, "resumed", *SMALL_THEN_FULL)
    assert Checkpointer(tmp_path, "resumed").load()["step"] == kept
    resumed = train(make_base(seed=9), pictures, tmp_path, "resumed", *SMALL_THEN_FULL)
    assert weights.keys() == resumed.keys()
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    assert (tmp_path / "resumed.jsonl").read_bytes() == (folder / "run.jsonl").read_bytes()


def test_a_finished_run_is_not_trained_again(make_base, pictures, whole):
    folder, first = whole
    nothing = Interrupting(pictures, after=0)
    again = train(make_base(seed=9), nothing, folder, "run", *SMALL_THEN_FULL)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_small_images_come_first_and_the_base_leaves_at_its_own_side(
    make_base, pictures, tmp_path, monkeypatch
):
    sides, step = [], _Training.step

    def note(training, batch):
        sides.append(batch.images.shape[-1])
        return step(training, batch)

    monkeypatch.setattr(_Training, "step", note)
    weights = train(make_base(), pictures, tmp_path, "run", (2, 3), (1, 2))
    assert sides == [32, 32, 32, 64, 64]
    load_strictly(make_base().sam, weights, source="run")


def test_a_phase_goes_on_from_the_weights_of_the_one_before(make_base, pictures, tmp_path):
    still = {"learning_rate": 1e-12, "ema_decay": 0.0}
    first = train(make_base(), pictures, tmp_path, "one", (1, 4), ema_decay=0.0)
    base = make_base()
    load_strictly(base.sam, first, source="one")
    second = train(base, pictures, tmp_path, "two", (1, 2), **still)
    name = "mask_decoder.output_upscaling.0.weight"
    torch.testing.assert_close(second[name], first[name])


def test_the_history_has_a_row_per_checkpoint_and_one_for_the_rest(make_base, pictures, tmp_path):
    sink = JsonlSink(tmp_path / "history.jsonl")
    pretrain(
        make_base(), pictures, params(), sink=sink,
        checkpointer=Checkpointer(tmp_path, "run"), workers=0,
    )  # fmt: skip
    assert [row["step"] for row in sink.rows] == [2, 4, 5]
    assert {frozenset(row) for row in sink.rows} == {
        frozenset({"step", "loss", "loss_single", "loss_candidates", "loss_quality",
                   "loss_detail", "iou"})
    }  # fmt: skip


def test_the_answer_is_the_moving_average_of_the_weights(make_base, pictures, tmp_path):
    name = "image_encoder.neck.weight"
    last = {}
    for run, decay in (("slow", 0.9), ("instant", 0.0)):
        average = train(make_base(), pictures, tmp_path, run, ema_decay=decay)
        last[run] = Checkpointer(tmp_path, run).load()["model"][f"base.sam.{name}"]
        assert torch.equal(average[name], last[run]) == (decay == 0.0)
    assert torch.equal(last["slow"], last["instant"])


def test_it_learns(make_base, pictures, tmp_path):
    sink = JsonlSink(tmp_path / "history.jsonl")
    pretrain(
        make_base(), pictures, params((1, 30), checkpoint_every=10, learning_rate=3e-3),
        sink=sink, checkpointer=Checkpointer(tmp_path, "run"), workers=0,
    )  # fmt: skip
    assert sink.rows[-1]["loss"] < 0.8 * sink.rows[0]["loss"]


def test_the_detail_head_counts_by_its_weight(make_base, pictures):
    made = PromptableBatches(
        pictures, side=64, batch_size=2, prompts_per_image=1, jitter=(1.0, 1.0), seed=1, steps=1
    )
    terms = {}
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        model = Promptable(make_base(), detail_weight=weight)
        terms[weight] = model(made[0])
    without, with_detail = terms[0.0], terms[2.0]
    torch.testing.assert_close(
        with_detail["loss"] - without["loss"], 2 * without["loss_detail"], rtol=1e-4, atol=1e-4
    )


def test_a_correction_clicks_where_the_answer_is_most_surely_wrong():
    logits = torch.tensor([[[9.0, 1.0], [-2.0, -3.0]], [[9.0, -1.0], [5.0, -3.0]]])
    targets = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    nothing = {"points": None, "point_labels": None, "boxes": torch.zeros(2, 4)}
    prompt = _correction(logits, targets, nothing, 8)
    # Cells are four pixels wide: both errors are in the lower left one, with centre (1.5, 5.5).
    assert prompt["points"].tolist() == [[[1.5, 5.5]], [[1.5, 5.5]]]
    assert prompt["point_labels"].tolist() == [[1.0], [0.0]]  # missed object, wrong ground
    assert torch.equal(prompt["masks"], logits.unsqueeze(1))


def test_a_correction_keeps_the_points_there_were():
    logits = torch.tensor([[[9.0, 1.0], [-2.0, -3.0]]])
    before = {"points": torch.tensor([[[2.0, 3.0]]]), "point_labels": torch.ones(1, 1)}
    prompt = _correction(logits, torch.ones(1, 2, 2), before, 8)
    assert prompt["points"].tolist() == [[[2.0, 3.0], [5.5, 5.5]]]
    assert prompt["point_labels"].tolist() == [[1.0, 1.0]]
