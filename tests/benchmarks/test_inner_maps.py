"""Maps from inside the adapter are what it computed, and taking them changes nothing."""

import numpy as np
import pytest
import torch
from small_world import small_base
from variants import hq_sam, pa_sam

from pasam.evaluation.diagnostics import InnerMaps
from pasam.models.build import build_decoder
from pasam.models.segmenter import Prompts, Segmenter

SIDE, GRID, BOXES = 64, 8, 2


def segmenter_of(variant) -> Segmenter:
    torch.manual_seed(0)
    base = small_base().eval().requires_grad_(False)
    return Segmenter(base=base, decoder=build_decoder(base, variant)).eval()


@torch.no_grad()
def predict(segmenter):
    noise = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (BOXES, 3, SIDE, SIDE), dtype=torch.uint8, generator=noise)
    corners = torch.tensor([[4.0, 6.0, 40.0, 50.0], [0.0, 0.0, 30.0, 30.0]])
    prompts = Prompts(torch.arange(BOXES), corners, points=None, point_labels=None, masks=None)
    return segmenter(
        images=images, encoded=None, image_index=torch.arange(BOXES), prompts=[prompts]
    )


@pytest.fixture(scope="module")
def seen_and_prediction():
    segmenter = segmenter_of(pa_sam())
    with InnerMaps(segmenter) as maps:
        prediction = predict(segmenter)
    predict(segmenter)  # after the watch: not seen
    return maps.seen, prediction


def test_every_prompt_has_its_maps_on_the_grid(seen_and_prediction):
    seen, _ = seen_and_prediction
    assert len(seen) == BOXES
    assert sorted(seen[0]) == ["attention", "coarse", "dense_change", "guiding", "refined"]
    assert all(values.shape == (GRID, GRID) for values in seen[0].values())


def test_masks_of_the_tokens_are_the_predictions_own(seen_and_prediction):
    seen, prediction = seen_and_prediction
    for number in range(BOXES):
        for name in ("coarse", "refined"):
            own = getattr(prediction.details, name)[number, 0].half().numpy()
            np.testing.assert_array_equal(seen[number][name], own)


def test_attention_is_a_distribution_over_the_cells(seen_and_prediction):
    seen, _ = seen_and_prediction
    assert all((maps["attention"] >= 0).all() for maps in seen)
    assert [float(maps["attention"].sum()) for maps in seen] == pytest.approx([1, 1], abs=0.01)


def test_attention_reproduces_what_the_token_received():
    segmenter = segmenter_of(pa_sam())
    attention = segmenter.decoder.prompt_adapter.cross_attn_token_to_image
    received = {}
    attention.v_proj.register_forward_hook(lambda m, i, out: received.update(values=out))
    attention.out_proj.register_forward_hook(lambda m, i, out: received.update(mixed=i[0]))
    heads = attention.num_heads
    with torch.no_grad():
        for head in range(1, heads):  # with one head that differs, the mean tells it apart
            width = attention.q_proj.out_features // heads
            rows = slice(head * width, (head + 1) * width)
            for layer in (attention.q_proj, attention.k_proj):
                layer.weight[rows] = layer.weight[:width]
                layer.bias[rows] = layer.bias[:width]
    with InnerMaps(segmenter) as maps:
        predict(segmenter)
    weights = torch.from_numpy(np.stack([m["attention"].ravel() for m in maps.seen])).float()
    expected = (weights[:, None] @ received["values"])[:, 0]
    torch.testing.assert_close(received["mixed"][:, 1], expected, atol=2e-3, rtol=1e-2)


def test_taking_maps_changes_no_prediction():
    segmenter = segmenter_of(pa_sam())
    alone = predict(segmenter)
    with InnerMaps(segmenter):
        assert torch.equal(predict(segmenter).masks, alone.masks)


def test_a_model_without_the_adapter_leaves_none():
    segmenter = segmenter_of(hq_sam())
    with InnerMaps(segmenter) as maps:
        predict(segmenter)
    assert maps.seen == []
