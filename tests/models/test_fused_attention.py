"""A cheaper encoder says the same: attention in fused kernels, and other precisions."""

from __future__ import annotations

import copy

import pytest
import torch
from small_world import small_base
from variants import pa_sam

import pasam.models.before_segment_anything  # noqa: F401
from pasam.data.package_photographs import package_photographs
from pasam.errors import ParamsError
from pasam.inference.model_files import PACKAGED
from pasam.masks.transforms import squash
from pasam.models import base_sam
from pasam.models.adapter_weights import export_merged
from pasam.models.base_sam import BaseSam
from pasam.models.build import build_trainable, load_base
from pasam.models.encoders import fused_attention
from pasam.models.encoders.fused_attention import FusedAttention, fused, with_longer_keys
from pasam.models.encoders.lite import at_side
from pasam.training.clickable import Clickable
from segment_anything.modeling import PromptEncoder, Sam
from segment_anything.modeling.image_encoder import Attention, ImageEncoderViT, get_rel_pos


def attention(height=5, width=7, dim=24, heads=3):
    torch.manual_seed(3)
    made = Attention(dim, heads, use_rel_pos=True, input_size=(height, width))
    for table in (made.rel_pos_h, made.rel_pos_w):
        torch.nn.init.normal_(table, std=0.5)  # SAM's start at zero, which would show nothing
    return made, torch.randn(2, height, width, dim)


def apart(one, other):
    return ((one - other).abs().max() / other.abs().max()).item()


@pytest.mark.parametrize(
    ("numbers", "passes"), [(1, 6), (2 * 35**2, 3), (2**24, 1)], ids=["head", "heads", "all"]
)
def test_a_bias_for_some_heads_at_a_time_gives_the_packages_attention(monkeypatch, numbers, passes):
    monkeypatch.setattr(fused_attention, "BIAS_NUMBERS", numbers)
    plain, x = attention()
    biases, attend = [], fused_attention.F.scaled_dot_product_attention

    def noted(*given, attn_mask):
        biases.append(attn_mask.shape)
        return attend(*given, attn_mask=attn_mask)

    monkeypatch.setattr(fused_attention.F, "scaled_dot_product_attention", noted)
    with torch.no_grad():
        wanted = plain(x)
        quick = fused(plain)
        assert type(quick) is FusedAttention
        assert apart(quick(x), wanted) < 1e-5
    assert biases == [(1, 6 // passes, 35, 35)] * passes


def test_longer_keys_give_the_packages_attention_as_well(monkeypatch):
    plain, x = attention()
    with torch.no_grad():
        wanted = plain(x)
        monkeypatch.setattr(fused_attention, "with_bias", with_longer_keys)
        assert apart(fused(plain)(x), wanted) < 1e-5
        assert apart(fused(plain).bfloat16()(x.bfloat16()).float(), wanted) < 0.05


def test_gradients_reach_weights_and_tables_of_positions_as_in_the_package():
    plain, x = attention()
    plain(x).square().sum().backward()
    wanted = {name: each.grad.clone() for name, each in plain.named_parameters()}
    plain.zero_grad()
    fused(plain)(x).square().sum().backward()
    for name, each in plain.named_parameters():
        assert wanted[name].abs().max() > 0
        assert apart(each.grad, wanted[name]) < 1e-4, name


def whole_encoder():
    """An encoder with windows and a global layer, and an image."""
    torch.manual_seed(5)
    encoder = ImageEncoderViT(
        img_size=96, embed_dim=32, depth=3, num_heads=4, out_chans=16, use_rel_pos=True,
        window_size=4, global_attn_indexes=(1,),
    ).eval()  # fmt: skip
    for name, table in encoder.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.5)
    return encoder, torch.randn(1, 3, 96, 96)


def test_a_whole_encoder_with_windows_and_global_layers_gives_the_same_embedding():
    encoder, image = whole_encoder()
    with torch.no_grad():
        wanted = encoder(image)
        names = list(encoder.state_dict())
        assert apart(fused(encoder)(image), wanted) < 1e-5
    assert list(encoder.state_dict()) == names
    assert sum(type(module) is FusedAttention for module in encoder.modules()) == 3


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)], ids=["float32", "half"]
)
@torch.no_grad()
def test_a_gpu_encodes_as_the_packages_attention_does_on_the_cpu(tested_device, dtype, tolerance):
    encoder, image = whole_encoder()
    wanted = encoder(image)
    quick = fused(copy.deepcopy(encoder)).to(tested_device, dtype)
    found = quick(image.to(tested_device, dtype))
    assert found.device.type == tested_device
    assert found.dtype is dtype
    assert apart(found.float().cpu(), wanted) < tolerance


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (5, 3), (27, 14), (27, 9)])
def test_distances_are_laid_out_as_the_package_indexes_them(rows, size):
    table = torch.randn(rows, 4)
    assert torch.equal(fused_attention._by_distance(table, size), get_rel_pos(size, size, table))


def small_vit() -> BaseSam:
    prompts = PromptEncoder(
        embed_dim=16, image_embedding_size=(6, 6), input_image_size=(96, 96), mask_in_chans=16
    )
    sam = Sam(fused(whole_encoder()[0]), prompts, torch.nn.Identity())
    return BaseSam(sam=sam, early_layer="blocks.1", early_dim=32).eval().requires_grad_(False)


def packaged_tiny() -> BaseSam:
    return load_base("tiny", PACKAGED / "tiny.safetensors")


def looked_at(base: BaseSam) -> torch.Tensor:
    """A photograph as the encoder sees it, twice, once mirrored."""
    photograph = squash(package_photographs()[0].read(), base.side)
    shown = torch.from_numpy(photograph.copy()).permute(2, 0, 1)
    return torch.stack([shown, shown.flip(-1)])


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Root mean square of the difference, as a fraction of what is wanted."""
    return ((found - wanted).square().mean() / wanted.square().mean()).sqrt().item()


# What docs/performance.md states, of the embedding and of the early features.
TOLERANCES = {small_vit: (0.02, 0.02), packaged_tiny: (0.05, 0.08)}
ENCODERS = pytest.mark.parametrize("build", [small_vit, packaged_tiny], ids=["vit", "tiny"])


@ENCODERS
def test_an_encoder_in_bfloat16_says_in_float32_nearly_the_same(build):
    base = build()
    names, images = list(base.state_dict()), looked_at(base)
    wanted = base.encode(images)
    found = base.encode_in("bf16").encode(images)
    assert (found.embedding.dtype, found.early.dtype) == (torch.float32, torch.float32)
    embedding, early = TOLERANCES[build]
    assert 1e-4 < error(found.embedding, wanted.embedding) < embedding
    assert 1e-4 < error(found.early, wanted.early) < early
    assert list(base.state_dict()) == names


class Casts(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes which memory is cast to another kind of number."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: set[int] = set()

    def __torch_dispatch__(self, operation, _types, given=(), how=None):
        if operation is torch.ops.aten._to_copy.default and "dtype" in (how or {}):
            self.sources.add(given[0].data_ptr())
        return operation(*given, **(how or {}))


def test_weights_are_cast_once_and_not_in_each_pass():
    base = small_vit()
    with Casts() as casts:
        base.encode_in("bf16")
    encoder = base.sam.image_encoder
    assert len(casts.sources) == len(list(encoder.parameters()))
    own = {each.data_ptr() for each in (*encoder.parameters(), *encoder.buffers())}
    assert {each.dtype for each in encoder.parameters()} == {torch.bfloat16}
    with Casts() as casts:
        base.encode(looked_at(base))
    assert casts.sources
    assert not casts.sources & own
    assert sum(type(module) is FusedAttention for module in encoder.modules()) == 3


def test_only_the_encoder_is_cast_and_its_batch_norms_are_not():
    base = packaged_tiny().encode_in("bf16")
    plain = packaged_tiny().sam.state_dict()
    halves = []
    for name, tensor in base.sam.state_dict().items():
        if tensor.dtype == torch.bfloat16:
            halves.append(name)
        else:
            assert torch.equal(tensor, plain[name])
    assert halves
    assert all(name.startswith("image_encoder.") for name in halves)
    assert not any(".norm." in name for name in halves)


@pytest.fixture
def settings():
    """Torch's settings as somebody may have chosen them, and a way to read them."""
    places = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = "ieee"
    yield lambda: [place.fp32_precision for place in places]
    for place, chosen in zip(places, before, strict=True):
        place.fp32_precision = chosen


@pytest.mark.parametrize("precision", ["32-true", "tf32", "bf16"])
def test_tf32_is_set_for_the_pass_and_set_back_whatever_happens(precision, settings):
    base, seen, asked = small_vit().encode_in(precision), [], []
    images = looked_at(base)

    def note(*_):
        seen.append(settings())
        asked.append(torch.get_float32_matmul_precision())

    base.sam.image_encoder.register_forward_hook(note)
    base.encode(images)
    assert seen == [["tf32" if precision == "tf32" else "ieee"] * 2]
    assert asked == ["high" if precision == "tf32" else "highest"], "as torch's compiler asks"
    assert settings() == ["ieee", "ieee"]
    base.sam.image_encoder.forward = None
    with pytest.raises(TypeError):
        base.encode(images)
    assert settings() == ["ieee", "ieee"]


def test_a_mixed_precision_of_the_training_holds_for_an_encoder_without_one_of_its_own():
    base = small_vit()
    images = looked_at(base)
    wanted = base.encode(images)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = base.encode(images)
        own = base.encode_in("tf32").encode(images)
        half = base.encode_in("bf16").encode(images)
    assert not torch.equal(mixed.embedding.float(), wanted.embedding)
    assert torch.equal(own.embedding, wanted.embedding), "a CPU has no TF32"
    assert torch.equal(half.embedding, base.encode(images).embedding)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_an_encoder_that_learns_or_is_written_has_to_be_exact(precision, tmp_path):
    base = small_base().encode_in(precision)
    words = f"needs base.encoder_precision: 32-true, but it is {precision}"
    with pytest.raises(ParamsError, match=rf"trains: everything\) {words}"):
        build_trainable(base, pa_sam(trains="everything"))
    decoder = build_trainable(base, pa_sam(trains="decoder")).decoder
    with pytest.raises(ParamsError, match=f"training the base itself {words}"):
        Clickable(base, detail_weight=1.0)
    with pytest.raises(ParamsError, match=f"writing a whole SAM {words}"):
        export_merged(base, decoder, tmp_path / "merged.pth")
    assert at_side(base, 32).encoder_precision == precision


def test_a_precision_that_nobody_knows_is_refused():
    with pytest.raises(ParamsError, match="encoder_precision is 'half', expected one of"):
        small_vit().encode_in("half")


@ENCODERS
@pytest.mark.parametrize("precision", ["32-true", "bf16"])
@pytest.mark.long
def test_large_batches_are_encoded_in_parts_and_say_the_same(build, precision, monkeypatch):
    base, seen = build().encode_in(precision), []
    images = looked_at(base)[[0, 1, 1, 0, 1]]
    base.sam.image_encoder.register_forward_hook(lambda _m, given, _o: seen.append(len(given[0])))
    with torch.no_grad():
        whole = base.encode(images)
        assert seen == [5]
        monkeypatch.setattr(base_sam, "PIXELS_AT_ONCE", 2 * base.side**2 + 1)
        parts = base.encode(images)
        assert seen == [5, 2, 2, 1]
        monkeypatch.setattr(base_sam, "PIXELS_AT_ONCE", 1)
        base.encode(images[:2])
        assert seen == [5, 2, 2, 1, 1, 1]
    slack = 1e-5 if precision == "32-true" else 0.02
    assert error(parts.embedding, whole.embedding) < slack
    assert error(parts.early, whole.early) < slack
    base.encode(images)  # which keeps gradients
    assert seen[6:] == [5]


@ENCODERS
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_gpu_encodes_in_each_precision_what_a_cpu_does_in_float32(
    build, precision, tested_device
):
    base = build()
    images = looked_at(base)
    wanted = base.encode(images)
    found = base.to(tested_device).encode_in(precision).encode(images.to(tested_device))
    tolerances = TOLERANCES[build] if precision == "bf16" else (0.01, 0.01)
    assert found.embedding.device.type == tested_device
    assert error(found.embedding.cpu(), wanted.embedding) < tolerances[0]
    assert error(found.early.cpu(), wanted.early) < tolerances[1]
