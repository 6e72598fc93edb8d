"""A saved state is whole or absent, and belongs to exactly one training."""

import dataclasses
import io
import json
import math
import os
from types import SimpleNamespace

import pytest
import torch
from variants import hq_sam, pa_sam

from pasam.config.schema import TrainParams
from pasam.errors import DataError, ParamsError
from pasam.models.build import build_trainable
from pasam.training import resume
from pasam.training.fit import fit, launch
from pasam.training.learner import Trainee, _Place, _State
from pasam.training.objectives import TrainingStep
from pasam.training.photograph_training import _PhotographTraining
from pasam.training.resume import Checkpointer, JsonlSink, state_key
from pasam.training.samples import CachedBatches, Sampling


class Dying:
    """A value during whose writing the process is killed."""

    def __reduce__(self):
        raise KeyboardInterrupt


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "manifest"
    path.write_bytes(b"one")
    return path


def test_equal_inputs_give_equal_keys(file, tmp_path):
    other = tmp_path / "elsewhere"
    other.write_bytes(b"one")
    key = state_key(data=file, params={"a": 1, "b": [2.5, None]})
    assert key == state_key(params={"b": [2.5, None], "a": 1}, data=other)
    assert len(key) == 16


@pytest.mark.parametrize(
    "change",
    [{"params": {"steps": 2}}, {"params": {"step": 1}}, {"seed": 1}, {"base": "b"}, {"more": None}],
)
def test_every_input_changes_the_key(change, file):
    inputs = {"data": file, "params": {"steps": 1}, "seed": 0, "base": "a"}
    assert state_key(**inputs) != state_key(**{**inputs, **change})


def test_the_bytes_of_a_file_change_the_key(file):
    before = state_key(data=file)
    file.write_bytes(b"two")
    assert state_key(data=file) != before


def test_a_state_that_other_code_has_made_is_not_gone_on_from(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "PACKAGE", tmp_path)
    code = tmp_path / "models" / "base_sam.py"
    code.parent.mkdir()
    code.write_text("a + b")
    (tmp_path / "models" / "notes.txt").touch()  # no code
    first = state_key(seed=1)
    code.write_text("a - b")
    assert state_key(seed=1) != first
    code.write_text("a + b")
    (tmp_path / "models" / "notes.txt").write_text("more")
    assert state_key(seed=1) == first


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {"weights": {"w": torch.randn(3)}, "rows": [{"loss": 0.5}], "step": 7}
    Checkpointer(tmp_path, "key").save(state)
    found = Checkpointer(tmp_path, "key").load()
    assert torch.equal(found.pop("weights")["w"], state.pop("weights")["w"])
    assert found == state


def test_a_flipped_bit_anywhere_in_a_state_is_noticed(tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"weights": {"w": torch.ones(30)}, "rows": [{"loss": 0.5}]})
    whole = checkpointer.path.read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        checkpointer.path.write_bytes(changed)
        with pytest.raises(DataError, match=r"state\.pt is damaged.* Remove it"):
            checkpointer.load()


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 500, -1])
def test_a_state_that_was_cut_off_is_noticed(length, tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})
    checkpointer.path.write_bytes(checkpointer.path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"state\.pt is damaged.* Remove it"):
        checkpointer.load()


def test_the_latest_state_counts(tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    for step in (1, 2):
        checkpointer.save({"step": step})
    assert checkpointer.load() == {"step": 2}


def test_another_training_finds_nothing(tmp_path):
    Checkpointer(tmp_path, "key").save({"step": 1})
    assert Checkpointer(tmp_path, "other").load() is None


def test_a_save_that_dies_while_writing_leaves_the_old_state(tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save({"step": 2, "weights": Dying()})
    assert checkpointer.load() == {"step": 1}
    checkpointer.save({"step": 3})
    assert checkpointer.load() == {"step": 3}


def test_a_save_that_dies_before_the_bytes_are_on_the_disk_leaves_the_old_state(
    tmp_path, monkeypatch
):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})

    def die(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save({"step": 2})
    assert checkpointer.load() == {"step": 1}


def test_clearing_forgets_the_state_and_may_be_repeated(tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})
    for _ in range(2):
        checkpointer.clear()
        assert checkpointer.load() is None
    assert list(tmp_path.iterdir()) == []


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(DataError, match="origin.json does not exist"):
        state_key(origin=tmp_path / "origin.json")


def test_every_row_is_a_line_with_sorted_keys(tmp_path):
    sink = JsonlSink(tmp_path / "made" / "history.jsonl")
    sink.append({"loss": 0.5, "epoch": 0})
    sink.append({"loss": 0.25, "epoch": 1})
    lines = sink.path.read_text().splitlines()
    assert lines == ['{"epoch": 0.0, "loss": 0.5}', '{"epoch": 1.0, "loss": 0.25}']


def test_every_row_is_echoed_as_it_is_written_restored_ones_too(tmp_path):
    heard = []
    sink = JsonlSink(tmp_path / "history.jsonl", echo=heard.append)
    sink.restore([{"epoch": 0}, {"epoch": 1}])
    written = [json.loads(line) for line in sink.path.read_text().splitlines()]
    assert written == heard == [{"epoch": 0}, {"epoch": 1}]  # though nothing is left to train
    sink.append({"epoch": 2, "loss": 1 / 3})
    assert heard == [{"epoch": 0}, {"epoch": 1}, {"epoch": 2, "loss": 0.3333333}]


def test_values_are_rounded_to_seven_digits(tmp_path):
    sink = JsonlSink(tmp_path / "history.jsonl")
    sink.append({"loss": 1 / 3, "rate": 1.23456789e-8})
    assert json.loads(sink.path.read_text()) == {"loss": 0.3333333, "rate": 1.234568e-08}


def test_a_run_that_goes_on_continues_the_old_rows(tmp_path):
    whole, half, rest = (JsonlSink(tmp_path / name) for name in ("whole", "half", "rest"))
    rows = [{"epoch": e, "loss": 1 / (e + 3)} for e in range(4)]
    for row in rows:
        whole.append(row)
    for row in rows[:2]:
        half.append(row)
    rest.restore(half.rows)
    for row in rows[2:]:
        rest.append(row)
    assert rest.path.read_bytes() == whole.path.read_bytes()
    assert len(half.rows) == 2


def test_a_crash_while_writing_leaves_the_old_rows(tmp_path, monkeypatch):
    sink = JsonlSink(tmp_path / "history.jsonl")
    sink.append({"epoch": 0})
    before = sink.path.read_bytes()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(sink.path), "replace", die)
    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        sink.append({"epoch": 1})
    assert sink.path.read_bytes() == before


def test_nothing_but_the_history_is_left(tmp_path):
    JsonlSink(tmp_path / "history.jsonl").append({"epoch": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_sink_without_a_file_only_collects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = JsonlSink(None)
    sink.append({"epoch": 0, "loss": 0.5})
    assert sink.rows == [{"epoch": 0, "loss": 0.5}]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_a_save_that_breaks_off_anywhere_leaves_the_old_state_and_no_draft(
    part, tmp_path, monkeypatch
):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1, "weights": {"w": torch.zeros(500)}})
    whole = torch.save

    def broken_off(state, file):
        buffer = io.BytesIO()
        whole(state, buffer)
        content = buffer.getvalue()
        file.write(content[: round(part * len(content))])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", broken_off)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save({"step": 2, "weights": {"w": torch.ones(500)}})
    assert checkpointer.load()["step"] == 1
    assert [file.name for file in checkpointer.folder.iterdir()] == [checkpointer.path.name]


def test_a_save_that_breaks_off_before_the_rename_leaves_the_old_state(tmp_path, monkeypatch):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        patch.setattr(type(checkpointer.path), "replace", die)
        with pytest.raises(KeyboardInterrupt):
            checkpointer.save({"step": 2})
    assert checkpointer.load() == {"step": 1}
    assert [file.name for file in checkpointer.folder.iterdir()] == [checkpointer.path.name]


def test_each_process_goes_on_with_its_own_sums_of_the_batches_so_far(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    state = _State(
        learning={"weight": weight}, optimizer=optimizer, sink=JsonlSink(None),
        schedule=torch.optim.lr_scheduler.StepLR(optimizer, step_size=1),
        checkpointer=Checkpointer(tmp_path, "key"),
    )  # fmt: skip
    state.save(_Place(1, 3), {"loss": torch.tensor([5.0, 7.0, 9.0])})
    for rank, expected in enumerate((5.0, 7.0, 9.0)):
        place = state.restore(SimpleNamespace(global_rank=rank, device="cpu"))
        assert (place.epoch, place.batches, place.sums["loss"].item()) == (1, 3, expected)


@pytest.fixture
def trained(make_base, store, tmp_path):
    """Train models, the first taking the others along, on a store, here of the fixture's."""

    def run(*variants, store=store, batch_size=4, **changes):
        params = TrainParams(
            seed=4, batch_size=batch_size, learning_rate=1e-3, accelerator="cpu", devices=1,
            nodes=1, precision="32-true", workers=0, accumulate=1, cross_entropy="image",
            outline=0.0, compile=False, together=[], deterministic=False, decode="whole",
        ).replaced(**changes)  # fmt: skip
        sampling = Sampling(batch_size=batch_size, mix="effective", mask_side=32, seed=4)
        base = make_base()
        own, *others = (
            Trainee(
                segmenter=build_trainable(base, variant), variant=variant,
                sink=JsonlSink(None), checkpointer=Checkpointer(tmp_path, variant.decoder),
            )
            for variant in variants
        )  # fmt: skip

        class Shared(CachedBatches):
            def __getitem__(self, step):
                return [super(Shared, self).__getitem__(step) for _ in variants]

        fit(
            own, params, lambda epoch: Shared(store, sampling, epoch=epoch),
            fabric=launch(params), companions=others,
        )  # fmt: skip
        return [len(each.sink.rows) for each in (own, *others)]

    return run


@pytest.mark.parametrize("variant", [hq_sam(epochs=2), pa_sam(epochs=2)], ids=["hq_sam", "pa_sam"])
def test_a_training_that_diverges_says_so_and_keeps_nothing_of_it(variant, trained, tmp_path):
    with pytest.raises(ParamsError, match=r"in epoch 1: .*train\.learning_rate, which is 1e\+30"):
        trained(variant, learning_rate=1e30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["tf32", "32-true"])
def test_a_training_in_tf32_lets_a_gpu_take_it_forward_and_back_and_only_while_it_lasts(
    precision, trained, monkeypatch
):
    taken, settings = TrainingStep.forward, torch.backends.cuda.matmul
    seen = {"before": settings.fp32_precision}

    def noted(step, *inputs, **asked):
        terms = taken(step, *inputs, **asked)
        seen["forward"] = settings.fp32_precision
        terms["loss"].register_hook(lambda _: seen.update(back=settings.fp32_precision))
        return terms

    monkeypatch.setattr(TrainingStep, "forward", noted)
    trained(hq_sam(epochs=1), precision=precision)
    within = "tf32" if precision == "tf32" else seen["before"]
    assert (seen["forward"], seen["back"]) == (within, within)
    assert settings.fp32_precision == seen["before"] != "tf32"


def test_an_epoch_whose_view_shows_too_few_masks_for_a_step_is_named(trained, store):
    index = store.index[(store.index["view"] == 0) | (store.index["row"] < 3)]
    with pytest.raises(DataError, match=r"view of epoch 2 for one step.*Lower train\.batch_size"):
        trained(pa_sam(epochs=3), store=dataclasses.replace(store, index=index), batch_size=6)


def test_a_model_that_is_ahead_takes_one_along_that_ends_before_it(trained):
    assert trained(pa_sam(epochs=2)) == [2]
    assert trained(pa_sam(epochs=3), hq_sam(epochs=1)) == [3, 1]


def test_a_model_that_has_come_further_than_another_ever_does_is_left_where_it_is(trained):
    assert trained(hq_sam(epochs=2)) == [2]
    assert trained(pa_sam(epochs=1), hq_sam(epochs=3)) == [1, 2]


class Gradient:
    """A training on photographs whose gradient is as it is; what was asked of its clipping."""

    def __init__(self, precision, value):
        weight = torch.nn.Parameter(torch.ones(1))
        weight.grad = torch.tensor([value])
        self.params = SimpleNamespace(precision=precision, learning_rate=0.5)
        self.done, self.runner, self.driver, self.fabric = 6, weight, None, self

    def clip_gradients(self, weight, _driver, **how):
        torch.nn.utils.clip_grad_norm_([weight], **how)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_photographs_training_that_diverges_says_at_which_step_and_rate(precision):
    with pytest.raises(ParamsError, match=r"step 7: .*photographs\.learning_rate, which is 0\.5"):
        _PhotographTraining._clip(Gradient(precision, math.nan))
    fine = Gradient(precision, 4.0)
    _PhotographTraining._clip(fine)
    assert fine.runner.grad.item() == pytest.approx(1.0)


def test_a_gradient_too_large_for_16_bits_leaves_out_its_step_and_ends_nothing():
    _PhotographTraining._clip(Gradient("16-mixed", math.inf))
