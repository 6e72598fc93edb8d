"""Maps at twice the grid keep every cell in its place."""

import pytest
import torch

from pasam.models.prompt_adapter import FinerMaps, to_grid

DIM, GRID = 16, 3


@pytest.fixture
def finer() -> FinerMaps:
    torch.manual_seed(0)
    return FinerMaps(DIM)


@torch.no_grad()
@pytest.mark.parametrize("cell", [0, 4, 7])
def test_a_cell_of_the_grid_decides_its_own_four_pixels(finer, cell):
    consistent, detail = torch.randn(1, GRID**2, DIM), torch.zeros(1, DIM // 4, 2 * GRID, 2 * GRID)
    other = consistent.clone()
    other[0, cell] += torch.randn(DIM)
    changed = (finer(consistent, detail) != finer(other, detail)).any(dim=-1)
    row, column = divmod(cell, GRID)
    inside = torch.zeros(2 * GRID, 2 * GRID, dtype=torch.bool)
    inside[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = True
    assert torch.equal(changed[0].reshape(2 * GRID, 2 * GRID), inside)


@torch.no_grad()
def test_the_images_detail_reaches_single_pixels(finer):
    consistent = torch.randn(1, GRID**2, DIM)
    detail = torch.zeros(1, DIM // 4, 2 * GRID, 2 * GRID)
    other = detail.clone()
    other[0, :, 1, 2] = 1
    changed = (finer(consistent, detail) != finer(consistent, other)).any(dim=-1)
    assert changed[0].nonzero().flatten().tolist() == [1 * 2 * GRID + 2]


@torch.no_grad()
def test_tokens_become_as_narrow_as_the_features(finer):
    features = finer(torch.randn(2, GRID**2, DIM), torch.zeros(2, DIM // 4, 2 * GRID, 2 * GRID))
    assert features.shape == (2, 4 * GRID**2, DIM // 4)
    assert finer.shrink(torch.randn(2, DIM)).shape == (2, DIM // 4)


def test_maps_are_averaged_to_the_grids_cells():
    maps = torch.arange(16.0).reshape(1, 16)
    assert to_grid(maps, 4).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert to_grid(maps, 16) is maps
