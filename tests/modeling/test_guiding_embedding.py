"""Edges are the reference's on any processor, and the guiding embedding fits any grid."""

import cv2
import numpy as np
import pytest
import torch

from pasam.models.base_sam import PIXEL_MEAN, PIXEL_STD
from pasam.models.pa_mask_decoder import edge_channel, guiding_conv, guiding_input


def normalised(pixels: np.ndarray) -> torch.Tensor:
    values = (pixels.astype(np.float32) - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    return torch.from_numpy(values).permute(2, 0, 1)


@pytest.fixture
def pixels() -> np.ndarray:
    smooth = np.random.RandomState(0).randint(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(smooth, (40, 40), interpolation=cv2.INTER_CUBIC)


def test_negative_values_wrap_round_as_a_cast_to_bytes_does_on_x86():
    images = torch.zeros(1, 3, 12, 12)
    images[..., 6:] = -1.9  # truncated to -1, so 255 as a byte; a saturating cast gives 0
    assert edge_channel(images, "reference").sum() > 0
    images[..., 6:] = -0.9  # truncated to 0, as the other half
    assert edge_channel(images, "reference").sum() == 0


def test_reference_edges_are_canny_of_the_wrapped_bytes(pixels):
    images = normalised(pixels)
    as_bytes = np.trunc(images.permute(1, 2, 0).numpy()).astype(np.int64) % 256
    assert set(np.unique(as_bytes)) <= {0, 1, 2, 254, 255}
    expected = cv2.Canny(as_bytes.astype(np.uint8), 10, 100) / 255
    assert np.array_equal(edge_channel(images[None], "reference")[0, 0].numpy(), expected)


def test_image_edges_are_canny_of_the_image_itself(pixels):
    edges = edge_channel(normalised(pixels)[None], "image")[0, 0].numpy()
    assert np.array_equal(edges, cv2.Canny(pixels, 10, 100) / 255)
    assert edges.any()


def test_each_image_of_a_batch_gets_its_own_edges(pixels):
    images = torch.stack([normalised(pixels), normalised(pixels[::-1].copy())])
    together = edge_channel(images, "reference")
    assert together.shape == (2, 1, 40, 40)
    for i in range(2):
        assert torch.equal(together[i : i + 1], edge_channel(images[i : i + 1], "reference"))


@pytest.mark.parametrize(("side", "grid", "dim"), [(64, 8, 32), (96, 12, 64), (40, 10, 16)])
def test_the_embedding_lies_on_the_grid_whatever_the_image_size(side, grid, dim):
    joined = guiding_input(torch.randn(2, 3, side, side), grid, "reference")
    assert joined.shape == (2, 4, 4 * grid, 4 * grid)
    assert set(joined[:, 3].unique().tolist()) <= {0.0, 1.0}
    assert guiding_conv(dim)(joined).shape == (2, dim, grid, grid)


def test_from_four_times_the_size_a_pixel_is_the_mean_of_the_middle_of_its_block():
    images = torch.randn(1, 3, 64, 64)
    small = guiding_input(images, 4, "reference")[:, :3]
    middle = images.reshape(1, 3, 16, 4, 16, 4)[:, :, :, 1:3, :, 1:3].mean((3, 5))
    torch.testing.assert_close(small, middle)
