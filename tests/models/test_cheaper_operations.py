"""What is computed by fewer operations gives what the plain layers give, gradients included.

And what is computed takes the memory that `pasam doctor` reckons with.
"""

import contextlib
import weakref
from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from variants import DEFAULT

import pasam.models.before_segment_anything  # noqa: F401
from pasam.cli.space_costs import ENCODER_BYTES, LEARNER_BYTES, STEP_BYTES, training_memory
from pasam.config.params_file import load_section, load_variant
from pasam.config.schema import EmbedParams, TrainParams
from pasam.models import losses, map_values
from pasam.models.build import build_base, build_trainable
from pasam.models.encoders import fused_attention
from pasam.models.encoders.lite import _Block
from pasam.models.losses import mask_loss, uncertainty_loss, uncertainty_target
from pasam.models.map_values import _summed_in_order, values_at
from pasam.models.pa_mask_decoder import guided, guiding_conv
from pasam.models.prompt_adapter import FinerMaps
from pasam.models.sam_mask_decoder import SamMaskDecoder, on_map
from pasam.models.segmenter import Prompts
from pasam.models.two_way_transformer import ImageToTokenAttention, quickened
from pasam.training.clickable import _around
from pasam.training.fit import launch
from pasam.training.objectives import TrainingStep
from pasam.training.samples import Batch
from segment_anything.modeling import TwoWayTransformer
from segment_anything.modeling.transformer import Attention

GRID, DIM, PROMPTS = 6, 32, 3


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


def assert_same(found, expected, inputs):
    """Compare values, then the gradients of a sum that weighs every value otherwise."""
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    weight = torch.randn_like(expected)
    ours, theirs = (
        torch.autograd.grad((value * weight).sum(), inputs, retain_graph=True)
        for value in (found, expected)
    )
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, atol=2e-5, rtol=1e-4)


@pytest.fixture
def decoder():
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=32)
    return SamMaskDecoder(transformer_dim=DIM, transformer=transformer, iou_head_hidden_dim=DIM)


def test_upscaling_by_products_is_sams(decoder):
    keys = torch.randn(PROMPTS, GRID**2, DIM, requires_grad=True)
    learning = [keys, *decoder.output_upscaling.parameters()]
    assert_same(on_map(decoder.upscaled_parts(keys)), decoder.upscale(keys, GRID), learning)


def test_the_first_mask_alone_is_the_first_of_all(decoder):
    tokens = torch.randn(PROMPTS, 7, DIM, requires_grad=True)
    keys = torch.randn(PROMPTS, GRID**2, DIM, requires_grad=True)
    found = decoder.first_mask(tokens, decoder.upscaled_parts(keys))
    every = decoder.sam_masks(tokens, decoder.upscale(keys, GRID))
    assert_same(found, every[:, :1], [tokens, keys])


def test_every_hypernetwork_gets_a_gradient_as_several_processes_ask_for(decoder):
    tokens, keys = torch.randn(PROMPTS, 7, DIM), torch.randn(PROMPTS, GRID**2, DIM)
    decoder.first_mask(tokens, decoder.upscaled_parts(keys)).sum().backward()
    grads = [p.grad for p in decoder.output_hypernetworks_mlps.parameters()]
    assert all(grad is not None for grad in grads)
    assert sum(grad.abs().sum() > 0 for grad in grads) == len(grads) // 4


def test_guiding_by_products_is_the_networks_and_so_are_its_features_half_way():
    layers = guiding_conv(DIM)
    joined = torch.randn(2, 4, 4 * GRID, 4 * GRID)
    found = guided(layers, joined)
    learning = list(layers.parameters())
    assert_same(found.rows, layers(joined).flatten(2).transpose(1, 2), learning)
    assert_same(found.half, layers[:3](joined), learning[:4])


def test_finer_maps_by_products_are_the_layers():
    finer = FinerMaps(DIM)
    rows = torch.randn(PROMPTS, GRID**2, DIM, requires_grad=True)
    detail = torch.randn(PROMPTS, DIM // 4, 2 * GRID, 2 * GRID, requires_grad=True)
    maps = rows.transpose(1, 2).reshape(PROMPTS, DIM, GRID, GRID)
    plain = F.gelu(finer.norm(finer.enlarge(maps))) + detail
    assert_same(finer(rows, detail), plain.flatten(2).transpose(1, 2), [rows, detail])


def test_the_image_attends_to_tokens_as_in_sam():
    plain = Attention(DIM, 4, downsample_rate=2)
    image = torch.randn(PROMPTS, GRID**2, DIM, requires_grad=True)
    keys, values = (torch.randn(PROMPTS, 9, DIM, requires_grad=True) for _ in range(2))
    expected = plain(image, keys, values)
    plain.__class__ = ImageToTokenAttention
    assert_same(plain(image, keys, values), expected, [image, keys, values])


def test_only_the_images_attention_is_changed_and_no_name():
    plain = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=32)
    names = list(plain.state_dict())
    changed = [n for n, m in quickened(plain).named_modules() if type(m) is ImageToTokenAttention]
    assert changed == [f"layers.{i}.cross_attn_image_to_token" for i in range(2)]
    assert list(plain.state_dict()) == names


@pytest.mark.parametrize("size", [(24, 24), (37, 50), (5, 3)])
def test_masks_are_resized_to_the_labels_with_torchs_gradient(size):
    masks = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 256, (2, *size), dtype=torch.uint8)
    target = label.float() / 255
    found = mask_loss(masks=masks, label=label)["loss_mask"]
    resized = F.interpolate(masks.float(), size=size, mode="bilinear", align_corners=False)
    expected = F.binary_cross_entropy_with_logits(resized.squeeze(1), target)
    assert_same(found, expected, [masks])


def test_the_uncertainty_map_is_resized_corner_on_corner_with_torchs_gradient():
    maps = torch.rand(2, 1, 8, 8).requires_grad_()
    label = torch.randint(0, 256, (2, 30, 22), dtype=torch.uint8)
    resized = F.interpolate(maps, size=(30, 22), mode="bilinear", align_corners=True).squeeze(1)
    expected = nn.functional.binary_cross_entropy(resized.clamp(0, 1), uncertainty_target(label))
    assert_same(uncertainty_loss(maps, label), expected, [maps])


def test_an_average_round_every_cell_is_taken_along_one_side_after_the_other():
    values = torch.rand(2, 16, 16)
    wanted = F.avg_pool2d(values[:, None], 5, stride=1, padding=2)[:, 0]
    torch.testing.assert_close(_around(values, 2), wanted)


@pytest.mark.parametrize("learns", [True, False])
def test_channels_are_filtered_in_float32_within_bfloat16_on_a_cpu(learns):
    block = _Block(8, 8, kernel=5, stride=1, expansion=2).train(learns)
    seen = []
    block.depthwise.register_forward_pre_hook(
        lambda _module, given: seen.append((given[0].dtype, torch.is_autocast_enabled("cpu")))
    )
    features = torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = block(features)
    plain = block(features)
    assert seen == [(torch.float32, False)] * 2
    torch.testing.assert_close(mixed.float(), plain, atol=0.05, rtol=0.05)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_values_whose_gradients_are_added_in_order_are_the_same(height, width, seed):
    noise = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, 9, 2, generator=noise)
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5 / width, 0.5 / height]])
    points = torch.cat([drawn, corners.expand(2, -1, -1)], dim=1)
    maps = torch.randn(2, 1, height, width, generator=noise)
    found = []
    for values in (values_at, _summed_in_order):
        learning = maps.clone().requires_grad_()
        given = values(learning, points)
        (given * torch.arange(given.numel()).view_as(given)).sum().backward()
        found.append((given.detach(), learning.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that were made and are still held, and their most so far.

    Args:
        given: Tensors that do not count.
    """

    def __init__(self, given):
        super().__init__()
        self.held = {tensor.untyped_storage()._cdata for tensor in given}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._hold(tensor.untyped_storage())
        return result

    def _hold(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key not in self.held:
            self.held.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key, size):
        self.held.discard(key)
        self.now -= size


CUDAS_FLOAT32 = {
    "binary_cross_entropy_with_logits", "cross_entropy", "cumsum", "exp", "expm1", "group_norm",
    "l1_loss", "layer_norm", "log", "log1p", "log_softmax", "mse_loss", "nll_loss", "norm", "pow",
    "__pow__", "prod", "rsqrt", "softmax", "softplus", "sum",
}  # fmt: skip


class AsOnCuda(TorchFunctionMode):
    """Lets the CPU's autocast compute in float32 what CUDA's does; its own list is shorter."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        given = args, kwargs or {}
        if getattr(function, "__name__", "") in CUDAS_FLOAT32 and torch.is_autocast_enabled("cpu"):
            given = tree_map(self._widened, given)
        return function(*given[0], **given[1])

    def _widened(self, value):
        is_number = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.float() if is_number else value


@contextlib.contextmanager
def mixed(*, on):
    with contextlib.ExitStack() as stack:
        if on:
            stack.enter_context(AsOnCuda())
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        yield


@pytest.fixture
def without_numbers(monkeypatch):
    """Tensors of a CPU with shapes and no numbers, of code that takes a GPU's way."""
    monkeypatch.setattr(fused_attention, "with_bias", fused_attention.with_longer_keys)
    monkeypatch.setattr(losses, "band", losses.pooled_band)
    map_values._line_weights.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
    map_values._line_weights.cache_clear()  # what was kept has no numbers


def built(size, make):
    """What is made of a base of this size, without numbers."""
    with torch.device("meta"):
        made = make(build_base(size).eval().requires_grad_(False))
    for module in made.modules():
        for kept in (module._parameters, module._buffers):
            for name, tensor in kept.items():
                if tensor is not None:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                    if kept is module._parameters:
                        empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
                    kept[name] = empty
    return made


def rarely(*values):
    return [pytest.param(value, marks=pytest.mark.long) for value in values]


@pytest.mark.parametrize("precision", ["float32", "mixed", "bf16"])
@pytest.mark.parametrize("size", ["tiny", *rarely("vit_t", "vit_b", "vit_l", "vit_h")])
def test_an_encoder_holds_the_bytes_that_the_doctor_reckons_with(size, precision, without_numbers):
    base = built(size, lambda base: base.encode_in("bf16" if precision == "bf16" else "32-true"))
    images = torch.zeros(4, 3, base.side, base.side, dtype=torch.uint8)
    live = LiveBytes([*base.parameters(), *base.buffers(), images])
    with mixed(on=precision == "mixed"), torch.no_grad(), live:
        base.encode(images)
    assert live.peak / 4 == pytest.approx(ENCODER_BYTES[size][precision], rel=0.01)


def batch_of(base, count):
    """Masks with ten points and a mask each, encoded."""
    side, grid = base.side, base.grid
    prompts = Prompts(
        indices=torch.arange(count), boxes=None, points=torch.ones(count, 10, 2),
        point_labels=torch.ones(count, 10, dtype=torch.int64),
        masks=torch.zeros(count, 1, 4 * grid, 4 * grid),
    )  # fmt: skip
    return Batch(
        images=torch.zeros(count, 3, side, side, dtype=torch.uint8),
        embedding=torch.zeros(count, base.dim, grid, grid),
        early=torch.zeros(count, base.early_dim, grid, grid), image_index=torch.arange(count),
        labels=torch.zeros(count, side, side, dtype=torch.uint8), prompts=[prompts],
        edges=torch.zeros(count, 1, 4 * grid, 4 * grid),
    )  # fmt: skip


def step_bytes(size, variant, precision):
    """Bytes of a step for each of four masks at its peak, and those that outlast it."""
    segmenter = built(size, lambda base: build_trainable(base, variant))
    step = TrainingStep(segmenter, variant).train()
    optimizer = torch.optim.Adam([p for p in segmenter.parameters() if p.requires_grad])
    batch = batch_of(segmenter.base, 4)
    seen = [getattr(part, f.name) for part in (batch, *batch.prompts) for f in fields(part)]
    given = [*filter(torch.is_tensor, seen), *segmenter.parameters(), *segmenter.buffers()]
    with LiveBytes(given) as live:
        for _ in range(2):  # Adam's moments are there from the first one on
            live.peak = live.now
            optimizer.zero_grad()
            with mixed(on=precision == "mixed"):
                terms = step(batch, mining=step.mining_in(1), generator=None)
            terms["loss"].backward()
            del terms
            optimizer.step()
    own = sum(p.numel() * 4 for p in segmenter.decoder.parameters())
    return (live.peak - live.now) / 4, live.now + own


@pytest.mark.parametrize("precision", ["mixed", *rarely("float32")])
@pytest.mark.parametrize("size", ["tiny", *rarely("vit_b")])
@pytest.mark.parametrize(
    "name", ["hq_sam", *rarely("pa_sam", "pa_sam_plus", "head_only", "image_adapter")]
)
def test_a_step_holds_at_most_the_bytes_that_the_doctor_reckons_with(
    name, size, precision, without_numbers
):
    each, lasting = step_bytes(size, load_variant(name, DEFAULT), precision)
    grid = 32 if size == "tiny" else 64
    assert lasting <= LEARNER_BYTES[grid]
    assert each <= STEP_BYTES[grid][precision] * 1.01
    if name == ("pa_sam" if (size, precision) == ("vit_b", "mixed") else "hq_sam"):
        assert each == pytest.approx(STEP_BYTES[grid][precision], rel=0.01)
        assert lasting == pytest.approx(LEARNER_BYTES[grid], rel=0.4)


def peak_on(device, work):
    """Bytes of tensors at the peak of some work that makes all of them on a device."""
    if device == "cpu":
        with LiveBytes([]) as live:
            work()
        return live.peak
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.long
@pytest.mark.parametrize(
    ("device", "size"),
    [
        pytest.param("cpu", "tiny", id="on_cpu"),
        pytest.param("cuda", "vit_b", id="on_cuda", marks=pytest.mark.gpu),
    ],
)
def test_a_training_on_fresh_views_takes_the_memory_that_the_doctor_predicts(
    device, size, monkeypatch
):
    train = load_section(TrainParams, "train", DEFAULT).replaced(batch_size=4, together=[])
    embed = load_section(EmbedParams, "embed", DEFAULT).replaced(views=0)
    memory = training_memory(size, train, embed)
    predicted = memory.needed - memory.context
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 1.5 * predicted:
        pytest.skip(f"it needs {1.5 * predicted / 1e9:.1f} GB of free memory")
    monkeypatch.setattr(losses, "band", losses.pooled_band)  # as a GPU has it
    fabric = launch(train.replaced(accelerator="gpu" if device == "cuda" else "cpu"))

    def two_steps():
        variant = load_variant("hq_sam", DEFAULT)
        segmenter = build_trainable(build_base(size), variant).to(device)
        step = TrainingStep(segmenter, variant).train()
        optimizer = torch.optim.Adam([p for p in segmenter.parameters() if p.requires_grad])
        batch = fabric.to_device(batch_of(segmenter.base, 4))
        for _ in range(2):  # Adam's moments are there from the first one on
            optimizer.zero_grad()
            batch.embedding = batch.early = None
            terms = step(batch, mining=step.mining_in(1), generator=torch.Generator())
            terms["loss"].backward()
            del terms
            optimizer.step()

    assert peak_on(device, two_steps) == pytest.approx(predicted, rel=0.15)
