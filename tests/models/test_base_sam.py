"""The frozen base: sizes by name, normalisation, early features and batched prompts."""

import copy
import dataclasses

import pytest
import torch
from small_world import small_base
from variants import hq_sam, pa_sam

from pasam.errors import ParamsError, ShapeError
from pasam.models.base_sam import BaseSam, Encoded, choose_device
from pasam.models.build import build_base, build_decoder, build_trainable, digest
from pasam.models.segmenter import (
    ImageFeatures,
    KeptFeatures,
    Prediction,
    Prompts,
    Segmenter,
)
from segment_anything.modeling import ImageEncoderViT, PromptEncoder, Sam

SIDE = 256


@pytest.fixture(scope="module")
def base() -> BaseSam:
    torch.manual_seed(0)
    return build_base("tiny").eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (2, 3, SIDE, SIDE)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_sizes_go_by_name(base):
    assert (base.side, base.grid, base.dim, base.early_dim, base.mask_side) == (
        256,
        32,
        128,
        40,
        128,
    )


def test_normalisation_is_that_of_sam(base, images):
    normal = base.normalise(images)
    red, green, blue = (float(v) for v in images[1, :, 7, 9])
    expected = [(red - 123.675) / 58.395, (green - 116.28) / 57.12, (blue - 103.53) / 57.375]
    assert normal.dtype == torch.float32
    torch.testing.assert_close(normal[1, :, 7, 9], torch.tensor(expected))


def test_encoding_gives_embedding_and_early_feature(base, images):
    encoded = base.encode(images)
    assert encoded.embedding.shape == (2, 128, 32, 32)
    assert encoded.early.shape == (2, 40, 32, 32)
    normal = base.normalise(images)
    encoder = base.sam.image_encoder
    assert torch.equal(encoded.embedding, encoder(normal))
    assert torch.equal(encoded.early, encoder.trunk(normal)[1])


def test_a_vits_early_feature_is_turned_to_channels_first():
    torch.manual_seed(0)
    vit = ImageEncoderViT(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, out_chans=8,
        use_rel_pos=True, window_size=2, global_attn_indexes=(0, 1),
    )  # fmt: skip
    prompts = PromptEncoder(
        embed_dim=8, image_embedding_size=(4, 4), input_image_size=(32, 32), mask_in_chans=16
    )
    sam = Sam(vit, prompts, torch.nn.Identity())
    base = BaseSam(sam=sam, early_layer="blocks.0", early_dim=16).requires_grad_(False)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    early = base.encode(images).early
    tokens = vit.blocks[0](vit.patch_embed(base.normalise(images)) + vit.pos_embed)
    assert early.shape == (2, 16, 4, 4)
    torch.testing.assert_close(early[1, :, 2, 3], tokens[1, 2, 3])


def test_encoding_leaves_no_hook_behind(base, images):
    base.encode(images[:1])
    layer = base.sam.image_encoder.get_submodule(base.early_layer)
    assert not layer._forward_hooks


def test_images_of_another_side_are_refused(base):
    with pytest.raises(ShapeError, match=r"\(B, 3, 256, 256\), got \(1, 3, 128, 256\)"):
        base.encode(torch.zeros(1, 3, 128, 256, dtype=torch.uint8))


def test_prompts_are_embedded_each_by_itself(base):
    boxes = torch.tensor([[10.0, 20.0, 90.0, 200.0], [0.0, 0.0, 255.0, 255.0]])
    masks = torch.rand(2, 1, base.mask_side, base.mask_side)
    sparse, dense = base.embed_prompts(boxes=boxes, masks=masks)
    assert sparse.shape == (2, 2, base.dim)
    assert dense.shape == (2, base.dim, base.grid, base.grid)
    for i in range(2):
        alone = base.embed_prompts(boxes=boxes[i : i + 1], masks=masks[i : i + 1])
        torch.testing.assert_close(alone[0], sparse[i : i + 1])
        torch.testing.assert_close(alone[1], dense[i : i + 1])


def test_ten_points_become_eleven_tokens(base):
    points = torch.rand(3, 10, 2) * SIDE
    sparse, dense = base.embed_prompts(points=points, point_labels=torch.ones(3, 10))
    assert sparse.shape == (3, 11, base.dim)
    assert dense.shape == (3, base.dim, base.grid, base.grid)


@pytest.mark.parametrize("kind", [torch.int64, torch.float32])
@pytest.mark.parametrize("has_box", [False, True])
@pytest.mark.parametrize("has_mask", [False, True])
def test_points_are_embedded_as_segment_anything_does_to_the_bit(base, kind, has_box, has_mask):
    points = torch.rand(4, 3, 2) * SIDE
    labels = torch.tensor([[1, 0, -1], [0, 0, 0], [-1, -1, 1], [1, 1, 1]]).to(kind)
    boxes = torch.rand(4, 4) * SIDE if has_box else None
    masks = torch.randn(4, 1, base.mask_side, base.mask_side) if has_mask else None
    wanted = base.sam.prompt_encoder(points=(points, labels), boxes=boxes, masks=masks)
    found = base.embed_prompts(points=points, point_labels=labels, boxes=boxes, masks=masks)
    assert all(map(torch.equal, found, wanted))
    assert [part.dtype for part in found] == [part.dtype for part in wanted]


def test_point_codes_are_background_then_foreground(base):
    background, foreground = base.point_embeddings()
    place = base.sam.prompt_encoder.pe_layer.forward_with_coords(
        torch.tensor([[[8.5, 16.5]]]), (SIDE, SIDE)
    )[0, 0]
    sparse, _ = base.embed_prompts(
        points=torch.tensor([[[8.0, 16.0], [8.0, 16.0]]]), point_labels=torch.tensor([[0, 1]])
    )
    torch.testing.assert_close(sparse[0, 0], place + background)
    torch.testing.assert_close(sparse[0, 1], place + foreground)


def test_the_position_code_covers_the_grid(base):
    assert base.image_pe().shape == (1, base.dim, base.grid, base.grid)


def test_a_device_that_is_not_here_is_refused_in_one_line_with_what_named_it(monkeypatch):
    for name in ("tpu", "cuda:99"):
        with pytest.raises(ParamsError, match=f"the device is '{name}'") as caught:
            choose_device(name)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "empty", _no_gpu)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(ParamsError, match=r"evaluate.accelerator is 'gpu'.*no GPU"):
        choose_device("gpu", key="evaluate.accelerator")


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (choose_device("auto").type, choose_device("cpu").type) == ("cuda", "cpu")


@pytest.mark.parametrize(("asked", "kind"), [({}, "cpu"), ({"mps": True}, "mps")])
def test_apples_gpu_is_taken_only_where_it_was_allowed(asked, kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto", **asked).type == kind


def test_each_process_of_a_machine_takes_a_gpu_of_its_own_and_one_too_many_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    own = []
    monkeypatch.setattr(torch.cuda, "set_device", own.append)
    for name in ("auto", "gpu", "cuda"):
        assert choose_device(name, local_rank=1) == torch.device("cuda", 1)
        assert own.pop() == 1, "what names no GPU is on this one, too"
        with pytest.raises(ParamsError, match="process 3 of this machine finds 2 GPUs"):
            choose_device(name, local_rank=2)
    assert choose_device("cpu", local_rank=2).type == "cpu"


def _no_gpu(*size: int, device: torch.device) -> torch.Tensor:
    if device.type != "cpu":
        raise RuntimeError("no GPU\nand a trace")
    return torch.zeros(*size)


HQ, PA = hq_sam(), pa_sam()
IMAGES, SEGMENTER_SIDE = 2, 256
INDEX = torch.tensor([1, 0, 1, 1, 0])


@pytest.fixture(scope="module", params=["sam", "hq", "pa"])
def segmenter(request) -> Segmenter:
    torch.manual_seed(0)
    base = build_base("tiny").eval().requires_grad_(False)
    variants = {"hq": HQ, "pa": PA}
    own = request.param == "sam"
    decoder = base.sam.mask_decoder if own else build_decoder(base, variants[request.param])
    return Segmenter(base=base, decoder=decoder).eval()


@pytest.fixture(scope="module")
def segmenter_images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (IMAGES, 3, SEGMENTER_SIDE, SEGMENTER_SIDE)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def encoded(segmenter, segmenter_images) -> Encoded:
    with torch.no_grad():
        return segmenter.base.encode(segmenter_images)


@pytest.fixture(scope="module")
def groups() -> list[Prompts]:
    """Five prompts of three kinds, their places interleaved."""
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(2, 2, 2, generator=generator) * SEGMENTER_SIDE
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    points = torch.rand(2, 3, 2, generator=generator) * SEGMENTER_SIDE
    masks = (torch.rand(1, 1, 128, 128, generator=generator) > 0.5) * 255.0
    kinds = {"boxes": None, "points": None, "point_labels": None, "masks": None}
    return [
        Prompts(**{**kinds, "indices": torch.tensor([3, 0]), "boxes": boxes}),
        Prompts(
            **{
                **kinds,
                "indices": torch.tensor([1, 4]),
                "points": points,
                "point_labels": torch.tensor([[1, 1, 0], [1, 1, 1]]),
            }
        ),
        Prompts(**{**kinds, "indices": torch.tensor([2]), "masks": masks}),
    ]


def take(group: Prompts, row: int, place: int = 0) -> Prompts:
    """Take one prompt of a group."""
    parts = {
        name: None if (t := getattr(group, name)) is None else t[row : row + 1]
        for name in ("boxes", "points", "point_labels", "masks")
    }
    return Prompts(indices=torch.tensor([place]), **parts)


def replaced(group: Prompts, indices: torch.Tensor) -> Prompts:
    """The same prompts at other places."""
    return dataclasses.replace(group, indices=indices)


def on(device: str, group: Prompts) -> Prompts:
    """The same prompts on a device."""
    parts = {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    return Prompts(
        **{name: part if part is None else part.to(device) for name, part in parts.items()}
    )


def image_of(encoded: Encoded, image: int) -> Encoded:
    rows = slice(image, image + 1)
    return Encoded(embedding=encoded.embedding[rows], early=encoded.early[rows])


@torch.no_grad()
def predict(segmenter, segmenter_images, encoded, index, prompts) -> Prediction:
    return segmenter(
        images=segmenter_images, encoded=encoded, image_index=index, prompts=prompts, mining="top"
    )


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_mixed_prompts_of_several_images_equal_each_alone(
    segmenter, segmenter_images, encoded, groups
):
    together = predict(segmenter, segmenter_images, encoded, INDEX, groups)
    assert together.masks.shape == (5, 1, 128, 128)
    for group in groups:
        for row, place in enumerate(group.indices.tolist()):
            image = int(INDEX[place])
            alone = predict(
                segmenter,
                segmenter_images[image : image + 1],
                image_of(encoded, image),
                torch.tensor([0]),
                [take(group, row)],
            )
            rows = slice(place, place + 1)
            assert_same(together.masks[rows], alone.masks)
            assert_same(together.iou[rows], alone.iou)
            if alone.details is not None:
                for name in ("masks", "iou", "uncertainty", "coarse", "refined", "final"):
                    of_all, of_one = (getattr(p.details, name) for p in (together, alone))
                    assert_same(of_all[rows], of_one)
                assert torch.equal(together.details.positive[rows], alone.details.positive)
                assert torch.equal(together.details.negative[rows], alone.details.negative)


@pytest.mark.parametrize("kind", [0, 1], ids=["boxes", "points"])
def test_tokens_that_fill_up_a_compiled_pass_of_one_kind_of_prompt_count_for_nothing(
    kind, segmenter, segmenter_images, encoded, groups, monkeypatch
):
    monkeypatch.setattr(torch, "compile", lambda run, **_: run)
    prompts = [replaced(groups[kind], torch.tensor([0, 1]))]
    learner = Segmenter(base=segmenter.base, decoder=copy.deepcopy(segmenter.decoder)).train()
    asked = (segmenter_images, encoded, torch.tensor([1, 0]), prompts)
    plain = predict(learner, *asked)
    learner.compile_decoder()
    compiled = predict(learner, *asked)
    assert_same(compiled.masks, plain.masks)
    assert_same(compiled.iou, plain.iou)


def test_prompts_of_all_kinds_go_through_a_trained_decoder_together_and_teach_it_the_same(
    segmenter, segmenter_images, encoded, groups, monkeypatch
):
    learning = {n: p for n, p in segmenter.decoder.named_parameters() if p.requires_grad}
    passes, decode = [], segmenter.decoder.decode

    def counted(**inputs):
        passes.append(len(inputs["sparse"]))
        return decode(**inputs)

    monkeypatch.setattr(segmenter.decoder, "decode", counted)

    def lessons(parts):
        segmenter.zero_grad()
        asked = {"images": segmenter_images, "encoded": encoded, "mining": "top"}
        for part in parts:
            places = torch.cat([group.indices for group in part]).sort().values
            own = [replaced(group, torch.searchsorted(places, group.indices)) for group in part]
            masks = segmenter(**asked, image_index=INDEX[places], prompts=own).masks
            weights = torch.linspace(-1, 1, masks[0].numel()).reshape(masks[0].shape)
            (masks * weights).sum().backward()
        return {n: p.grad.clone() for n, p in learning.items() if p.grad is not None}

    if not learning:  # SAM's own decoder takes one kind at a time
        predict(segmenter, segmenter_images, encoded, INDEX, groups)
        assert passes == [2, 2, 1]
        return
    together = lessons([groups])
    assert passes == [5]
    apart = lessons([[group] for group in groups])
    assert passes == [5, 2, 2, 1]
    assert together.keys() == apart.keys()
    largest = max(float(gradient.abs().max()) for gradient in apart.values())
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, apart[name], rtol=1e-3, atol=1e-6 * largest)


@pytest.mark.long
def test_a_gpu_predicts_for_prompts_of_all_kinds_what_the_cpu_does(
    segmenter, segmenter_images, encoded, groups, tested_device
):
    wanted = predict(segmenter, segmenter_images, encoded, INDEX, groups)
    moved = copy.deepcopy(segmenter).to(tested_device)
    given = Encoded(encoded.embedding.to(tested_device), encoded.early.to(tested_device))
    prompts = [on(tested_device, group) for group in groups]
    found = predict(
        moved, segmenter_images.to(tested_device), given, INDEX.to(tested_device), prompts
    )
    assert found.masks.device.type == tested_device
    pairs = [(found.masks, wanted.masks), (found.iou, wanted.iou)]
    if wanted.details is not None:
        pairs.append((found.details.uncertainty, wanted.details.uncertainty))
        assert torch.equal(found.details.positive.cpu(), wanted.details.positive)
        assert torch.equal(found.details.negative.cpu(), wanted.details.negative)
    for one, other in pairs:
        apart = (one.cpu() - other).abs() > 1e-3 * other.abs().max()
        # Beside the threshold of uncertainty a pixel may be the coarse mask's or the refined one's.
        assert apart.float().mean() < 1e-3


def test_the_order_of_kinds_and_prompts_does_not_matter(
    segmenter, segmenter_images, encoded, groups
):
    expected = predict(segmenter, segmenter_images, encoded, INDEX, groups)
    singles = [take(g, r, int(p)) for g in groups for r, p in enumerate(g.indices)]
    found = predict(segmenter, segmenter_images, encoded, INDEX, singles[::-1])
    assert_same(found.masks, expected.masks)


@pytest.mark.long
def test_several_prompts_of_an_image_equal_the_image_repeated(
    segmenter, segmenter_images, encoded, groups
):
    shared = predict(segmenter, segmenter_images, encoded, INDEX, groups)
    repeated = Encoded(embedding=encoded.embedding[INDEX], early=encoded.early[INDEX])
    found = predict(segmenter, segmenter_images[INDEX], repeated, torch.arange(5), groups)
    assert_same(found.masks, shared.masks)


def test_the_base_evaluates_while_its_decoder_learns():
    learner = build_trainable(small_base(), hq_sam())
    for mode in (True, False):
        assert learner.train(mode) is learner
        assert {part.training for part in learner.decoder.modules()} == {mode}
        assert {part.training for part in learner.base.modules()} == {False}
        assert learner.training is mode


def test_an_encoder_that_learns_runs_though_its_answers_are_given_and_another_does_not():
    learner = build_trainable(small_base(), hq_sam()).eval()
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    known = learner.base.encode(pixels)
    blank = Encoded(embedding=known.embedding * 0, early=known.early * 0)
    box = Prompts(
        indices=torch.tensor([0]), boxes=torch.tensor([[4.0, 4.0, 40.0, 30.0]]), points=None,
        point_labels=None, masks=None,
    )  # fmt: skip

    def masks(encoded):
        asked = {"images": pixels, "image_index": torch.tensor([0]), "prompts": [box]}
        return learner(**asked, encoded=encoded).masks

    assert torch.equal(masks(known), masks(None))
    assert not torch.equal(masks(blank), masks(None))
    learner.base.sam.image_encoder.requires_grad_(True)
    assert torch.equal(masks(blank), masks(None))
    masks(blank).sum().backward()
    assert learner.base.sam.image_encoder.neck.weight.grad.any()
    with torch.no_grad():
        assert not masks(None).requires_grad


def test_different_prompts_give_different_masks(segmenter, segmenter_images, encoded, groups):
    masks = predict(
        segmenter, segmenter_images, encoded, torch.zeros(5, dtype=torch.int64), groups
    ).masks
    gaps = [(masks[i] - masks[j]).abs().max() for i in range(5) for j in range(i)]
    assert min(gaps) > 1e-3


def test_different_prompts_have_different_predicted_ious(
    segmenter, segmenter_images, encoded, groups
):
    iou = predict(segmenter, segmenter_images, encoded, INDEX, groups).iou.flatten()
    assert iou.sort().values.diff().min() > 1e-3, "else their order could not be told"


def test_images_are_encoded_when_they_are_not_yet(segmenter, segmenter_images, encoded, groups):
    prompts, index = [take(groups[0], 0)], torch.tensor([1])
    found = predict(segmenter, segmenter_images, None, index, prompts)
    assert_same(found.masks, predict(segmenter, segmenter_images, encoded, index, prompts).masks)


def test_training_mode_leaves_the_base_evaluating(segmenter, segmenter_images, groups):
    before = digest(segmenter.base.state_dict())
    segmenter.train()
    assert not any(module.training for module in segmenter.base.modules())
    assert segmenter.decoder.training is (segmenter.decoder is not segmenter.base.sam.mask_decoder)
    predict(segmenter, segmenter_images[:1], None, torch.tensor([0]), [take(groups[0], 0)])
    assert digest(segmenter.base.state_dict()) == before  # nor did the batch norms' means move
    segmenter.eval()
    assert not segmenter.decoder.training


def test_only_pa_sam_has_details(segmenter, segmenter_images, encoded, groups):
    details = predict(segmenter, segmenter_images, encoded, INDEX, groups).details
    if not hasattr(segmenter.decoder, "prompt_adapter"):
        assert details is None
        return
    assert details.uncertainty.shape == (5, 1, 32, 32)
    assert details.positive.shape == details.negative.shape == (5, 4)


def test_the_images_part_of_a_decoder_is_computed_once_for_all_kinds_of_prompt(
    segmenter, segmenter_images, encoded, groups, monkeypatch
):
    calls, makes = [], segmenter.decoder.image_features
    monkeypatch.setattr(
        segmenter.decoder, "image_features", lambda **seen: calls.append(seen) or makes(**seen)
    )
    predict(segmenter, segmenter_images, encoded, INDEX, groups)
    assert len(groups) > 1
    assert len(calls) == 1


@torch.no_grad()
def test_images_that_were_looked_at_answer_any_pass_of_prompts_as_at_once_to_the_bit(
    segmenter, segmenter_images, encoded, groups
):
    looked = segmenter.look(segmenter_images, encoded)
    apart = [
        segmenter.look(
            segmenter_images[i : i + 1],
            Encoded(embedding=encoded.embedding[i : i + 1], early=encoded.early[i : i + 1]),
        )
        for i in range(len(segmenter_images))
    ]
    boxes = [replaced(groups[0], torch.arange(2))]
    for index, own in ((INDEX, groups), (torch.tensor([1, 0]), boxes)):
        expected = predict(segmenter, segmenter_images, encoded, index, own)
        for features in (looked, ImageFeatures.joined(apart)):
            found = segmenter.answer(features, index, own, mining="top")
            assert torch.equal(found.masks, expected.masks)
            assert torch.equal(found.iou, expected.iou)


def test_what_models_made_of_an_image_is_made_once_and_goes_with_the_model_or_its_device():
    class Model:
        device = torch.device("cpu")

    made = []

    def make():
        made.append(ImageFeatures({"image_embeddings": torch.zeros(2, device=one.device)}))
        return made[-1]

    one, other, kept = Model(), Model(), KeptFeatures()
    assert kept.of(one, make) is kept.of(one, make) is made[0]
    assert kept.of(other, make) is made[1] is not made[0]
    assert len(kept.tensors()) == 2
    one.device = torch.device("meta")
    assert kept.of(one, make) is made[2]
    assert kept.of(one, make).device == torch.device("meta")
    del one.device
    assert kept.of(one, make) is made[3]
    del other
    assert [part.device.type for part in kept.tensors()] == ["cpu"]
