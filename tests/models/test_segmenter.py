"""Base and decoder together: batching never shows in the results, and the base never moves."""

import pytest
import torch
from variants import hq_sam, pa_sam

from pasam.models.base_sam import Encoded
from pasam.models.build import build_base, build_decoder, digest
from pasam.models.segmenter import Prediction, Prompts, Segmenter

HQ, PA = hq_sam(), pa_sam()
IMAGES, SIDE = 2, 256
INDEX = torch.tensor([1, 0, 1, 1, 0])


@pytest.fixture(scope="module", params=["sam", "hq", "pa"])
def segmenter(request) -> Segmenter:
    torch.manual_seed(0)
    base = build_base("vit_tiny").eval().requires_grad_(False)
    variants = {"hq": HQ, "pa": PA}
    own = request.param == "sam"
    decoder = base.sam.mask_decoder if own else build_decoder(base, variants[request.param])
    return Segmenter(base=base, decoder=decoder).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (IMAGES, 3, SIDE, SIDE)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def encoded(segmenter, images) -> Encoded:
    with torch.no_grad():
        return segmenter.base.encode(images)


@pytest.fixture(scope="module")
def groups() -> list[Prompts]:
    """Five prompts of three kinds, their places interleaved."""
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(2, 2, 2, generator=generator) * SIDE
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    points = torch.rand(2, 3, 2, generator=generator) * SIDE
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


def image_of(encoded: Encoded, image: int) -> Encoded:
    rows = slice(image, image + 1)
    return Encoded(embedding=encoded.embedding[rows], early=encoded.early[rows])


@torch.no_grad()
def predict(segmenter, images, encoded, index, prompts) -> Prediction:
    return segmenter(
        images=images, encoded=encoded, image_index=index, prompts=prompts, mining="top"
    )


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_mixed_prompts_of_several_images_equal_each_alone(segmenter, images, encoded, groups):
    together = predict(segmenter, images, encoded, INDEX, groups)
    assert together.masks.shape == (5, 1, 128, 128)
    for group in groups:
        for row, place in enumerate(group.indices.tolist()):
            image = int(INDEX[place])
            alone = predict(
                segmenter,
                images[image : image + 1],
                image_of(encoded, image),
                torch.tensor([0]),
                [take(group, row)],
            )
            assert_same(together.masks[place : place + 1], alone.masks)
            if alone.details is not None:
                rows = slice(place, place + 1)
                assert_same(together.details.uncertainty[rows], alone.details.uncertainty)
                assert torch.equal(together.details.positive[rows], alone.details.positive)
                assert torch.equal(together.details.negative[rows], alone.details.negative)


def test_the_order_of_kinds_and_prompts_does_not_matter(segmenter, images, encoded, groups):
    expected = predict(segmenter, images, encoded, INDEX, groups)
    singles = [take(g, r, int(p)) for g in groups for r, p in enumerate(g.indices)]
    found = predict(segmenter, images, encoded, INDEX, singles[::-1])
    assert_same(found.masks, expected.masks)


def test_several_prompts_of_an_image_equal_the_image_repeated(segmenter, images, encoded, groups):
    shared = predict(segmenter, images, encoded, INDEX, groups)
    repeated = Encoded(embedding=encoded.embedding[INDEX], early=encoded.early[INDEX])
    found = predict(segmenter, images[INDEX], repeated, torch.arange(5), groups)
    assert_same(found.masks, shared.masks)


def test_different_prompts_give_different_masks(segmenter, images, encoded, groups):
    masks = predict(segmenter, images, encoded, torch.zeros(5, dtype=torch.int64), groups).masks
    gaps = [(masks[i] - masks[j]).abs().max() for i in range(5) for j in range(i)]
    assert min(gaps) > 1e-3


def test_images_are_encoded_when_they_are_not_yet(segmenter, images, encoded, groups):
    prompts, index = [take(groups[0], 0)], torch.tensor([1])
    found = predict(segmenter, images, None, index, prompts)
    assert_same(found.masks, predict(segmenter, images, encoded, index, prompts).masks)


def test_training_mode_leaves_the_base_evaluating(segmenter, images, groups):
    before = digest(segmenter.base.state_dict())
    segmenter.train()
    assert not any(module.training for module in segmenter.base.modules())
    assert segmenter.decoder.training is (segmenter.decoder is not segmenter.base.sam.mask_decoder)
    predict(segmenter, images[:1], None, torch.tensor([0]), [take(groups[0], 0)])
    assert digest(segmenter.base.state_dict()) == before  # nor did the batch norms' means move
    segmenter.eval()
    assert not segmenter.decoder.training


def test_only_pa_sam_has_details(segmenter, images, encoded, groups):
    details = predict(segmenter, images, encoded, INDEX, groups).details
    if not hasattr(segmenter.decoder, "prompt_adapter"):
        assert details is None
        return
    assert details.uncertainty.shape == (5, 1, 32, 32)
    assert details.positive.shape == details.negative.shape == (5, 4)


def test_the_images_part_of_a_decoder_is_computed_once_for_all_kinds_of_prompt(
    segmenter, images, encoded, groups
):
    calls = []
    for name in ("guiding_conv", "compress_vit_feat"):
        part = getattr(segmenter.decoder, name, None)
        if part is not None:
            part.register_forward_hook(lambda *_, name=name: calls.append(name))
    predict(segmenter, images, encoded, INDEX, groups)
    assert len(groups) > 1
    assert len(calls) == (segmenter.decoder is not segmenter.base.sam.mask_decoder)
