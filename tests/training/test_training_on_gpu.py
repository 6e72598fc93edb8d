"""A GPU trains as the CPU does, compiled or not; with the CPU in its place the same is walked."""

import dataclasses
import functools
import json
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd
from torch.utils.data import Dataset
from variants import hq_sam, image_adapter, pa_sam

from pasam.config.schema import TrainParams
from pasam.errors import ParamsError
from pasam.models.build import build_trainable
from pasam.models.segmenter import Segmenter
from pasam.training.fit import ORDERED_PRODUCTS, fit, launch, reproducible
from pasam.training.learner import Trainee, _Sums
from pasam.training.objectives import TrainingStep
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.training.samples import CachedBatches, Sampling

PARAMS = TrainParams(
    seed=4, batch_size=2, learning_rate=1e-3, accelerator="cpu", devices=1, nodes=1,
    precision="32-true", workers=0, accumulate=1, cross_entropy="image", outline=0.0,
    compile=False, together=[], deterministic=False, decode="whole",
)  # fmt: skip
HQ = hq_sam(epochs=2, lr_step_size=1)
PA = pa_sam(epochs=2, lr_step_size=1, mining_points=2, mining_from_epoch=1)
SAMPLING = Sampling(batch_size=2, mix="effective", mask_side=32, seed=4)

each_variant = pytest.mark.parametrize(
    "variant", [HQ, PA, image_adapter(epochs=2)], ids=["hq_sam", "pa_sam", "image_adapter"]
)


class Unencoded(Dataset):
    """The batches of an epoch without what an encoder says of them, once for each model."""

    def __init__(self, batches, models):
        self.batches, self.models = batches, models

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        bare = {"embedding": None, "early": None}
        return [dataclasses.replace(self.batches[number], **bare) for _ in range(self.models)]


def weights_of(trainee):
    """All weights of a model, one after the other, on the CPU."""
    return torch.cat([p.detach().cpu().flatten() for p in trainee.segmenter.parameters()])


@pytest.fixture
def train(make_base, store, tmp_path):
    """Train models together on a device; return how far each one's weights came, and history."""

    def run(name, device, *variants, fresh=False, **changes):
        params = PARAMS.replaced(accelerator=device.replace("cuda", "gpu"), **changes)
        sampling = dataclasses.replace(SAMPLING, accumulate=params.accumulate)
        base, trainees = make_base(), []
        for number, variant in enumerate(variants):
            torch.manual_seed(0)
            each = f"{name}-{number}"
            trainees.append(
                Trainee(
                    segmenter=build_trainable(base, variant), variant=variant,
                    checkpointer=Checkpointer(tmp_path, each),
                    sink=JsonlSink(tmp_path / f"{each}.jsonl"),
                )
            )  # fmt: skip

        def batches(epoch):
            cached = CachedBatches(store, sampling, epoch=epoch)
            return Unencoded(cached, len(trainees)) if fresh else cached

        began = [weights_of(each) for each in trainees]
        fit(trainees[0], params, batches, fabric=launch(params), companions=trainees[1:])
        return [
            (
                weights_of(each) - start,
                [json.loads(row) for row in each.sink.path.read_text().splitlines()],
            )
            for each, start in zip(trainees, began, strict=True)
        ]

    return run


def assert_alike(found, wanted, *, losses=1e-2, way=0.3):
    """Compare two trainings: losses to a share, and weights to a share of the way they went.

    Where a gradient is nearly 0, as that of a key's bias, Adam takes a whole step up or down by the
    last bit of a sum; no single weight has to be the same.
    """
    for (ours, history), (theirs, expected) in zip(found, wanted, strict=True):
        assert len(history) == len(expected) == 2
        for row, other in zip(history, expected, strict=True):
            assert row == pytest.approx(other, rel=losses, abs=1e-4)
        assert theirs.norm() > 0
        assert (ours - theirs).norm() <= way * theirs.norm()


@each_variant
def test_a_step_on_a_gpu_has_the_losses_and_gradients_of_the_cpu(
    variant, make_base, store, tested_device
):
    def step_on(device):
        torch.manual_seed(0)
        step = TrainingStep(build_trainable(make_base(), variant), variant).to(device).train()
        batch = CachedBatches(store, SAMPLING, epoch=1)[0]
        batch = launch(PARAMS.replaced(accelerator=device.replace("cuda", "gpu"))).to_device(batch)
        noise = torch.Generator().manual_seed(1)
        terms = step(batch, mining=step.mining_in(1), generator=noise)
        terms["loss"].backward()
        assert terms["loss"].device.type == device
        gradients = {n: p.grad.cpu() for n, p in step.named_parameters() if p.grad is not None}
        return {name: term.item() for name, term in terms.items()}, gradients

    (losses, gradients), (expected, wanted) = step_on(tested_device), step_on("cpu")
    assert losses == pytest.approx(expected, rel=1e-3)
    assert gradients.keys() == wanted.keys()
    longest = max(gradient.norm() for gradient in wanted.values())
    for name, gradient in gradients.items():
        assert (gradient - wanted[name]).norm() <= 1e-2 * wanted[name].norm() + 1e-4 * longest, name


@pytest.mark.long
def test_a_gpu_trains_on_several_batches_a_step_as_the_cpu_does(train, tested_device):
    found = train("found", tested_device, PA, accumulate=2)
    assert_alike(found, train("wanted", "cpu", PA, accumulate=2))


@pytest.mark.long
def test_a_gpu_trains_models_together_as_the_cpu_trains_each_alone(train, tested_device):
    found = train("both", tested_device, PA, HQ, fresh=True)
    alone = [train(f"alone{n}", "cpu", each, fresh=True)[0] for n, each in enumerate((PA, HQ))]
    assert_alike(found, alone)


@pytest.mark.long
def test_a_gpu_learns_in_mixed_precision_what_the_cpu_learns_in_single(train, tested_device):
    found = train("mixed", tested_device, PA, precision="bf16-mixed")
    assert_alike(found, train("single", "cpu", PA), losses=0.1, way=0.5)


def test_gradients_that_the_next_pass_writes_over_are_added_up_where_they_stay():
    heard, unheard = (torch.nn.Parameter(torch.zeros(3)) for _ in range(2))
    sums, graph, places = _Sums(), torch.zeros(3), set()
    for value in (1.0, 2.0):
        heard.grad = graph.fill_(value).detach()  # as autograd takes what a graph gives
        sums.keep([heard, unheard])
        heard.grad += graph.fill_(5.0)
        sums.keep([heard, unheard])
        graph.fill_(7.0)
        assert heard.grad.tolist() == [value + 5] * 3
        assert unheard.grad is None
        places.add(heard.grad.data_ptr())
        heard.grad = None
    assert len(places) == 1


def test_a_process_that_has_multiplied_out_of_order_cannot_train_to_the_bit(monkeypatch):
    def refuses(_self, _other):
        raise RuntimeError(f"set {ORDERED_PRODUCTS[0]}=:4096:8, or :16:8")

    monkeypatch.setattr(torch.Tensor, "mm", refuses)
    with (
        pytest.raises(ParamsError, match=r"CUBLAS_WORKSPACE_CONFIG=:4096:8.* before the process"),
        reproducible(on=True),
    ):
        pass
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_test_that_wants_more_gpus_than_there_are_is_skipped_before_anything_is_made_for_it(
    root, request, monkeypatch
):
    setup = request.config.pluginmanager.get_plugin(str(root / "tests/conftest.py"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    one, two = (
        SimpleNamespace(get_closest_marker=lambda _name, mark=mark: mark)
        for mark in (pytest.mark.gpu.mark, pytest.mark.gpu(2).mark)
    )
    setup.pytest_runtest_setup(one)
    with pytest.raises(pytest.skip.Exception, match="it needs 2 GPUs, and there are 1"):
        setup.pytest_runtest_setup(two)


def in_graphs(graph, inputs):
    """Compile as CUDA graphs do: gradients lie where the next pass writes its own."""

    def backward(traced, _inputs):
        pool = []

        def run(*given):
            found = traced(*given)
            pool.extend([None if each is None else each.clone() for each in found][len(pool) :])
            for place, each in zip(pool, found, strict=True):
                if each is not None:
                    place.copy_(each)
            return [None if place is None else place.detach() for place in pool]

        return run

    return aot_autograd(fw_compiler=lambda traced, _: traced, bw_compiler=backward)(graph, inputs)


@pytest.fixture
def compiler(request, monkeypatch):
    """The compiler of a device: Inductor on a GPU, what is like CUDA graphs on a CPU."""
    torch._dynamo.reset()
    compile_decoder = Segmenter.compile_decoder
    if request.getfixturevalue("tested_device") == "cpu":
        monkeypatch.setattr(
            Segmenter, "compile_decoder", lambda self: compile_decoder(self, in_graphs)
        )
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own, of versions and of TF32
def test_a_compiled_decoder_adds_up_the_gradients_of_several_batches(
    train, tested_device, compiler, monkeypatch
):
    places = []
    step = torch.optim.Adam.step

    def noted(self, *given, **named):
        learning = [p for group in self.param_groups for p in group["params"]]
        places.append([None if p.grad is None else p.grad.data_ptr() for p in learning])
        return step(self, *given, **named)

    plain = train("plain", tested_device, PA, accumulate=2)
    monkeypatch.setattr(torch.optim.Adam, "step", functools.wraps(step)(noted))
    compiled = train("compiled", tested_device, PA, accumulate=2, compile=True)
    assert_alike(compiled, plain, losses=1e-3)
    assert len(places) == 4
    for before, after in zip(places, places[1:], strict=False):
        for one, other in zip(before, after, strict=True):
            assert one in (other, None)
