"""The adapter changes the mask token's row alone and adds points where the masks disagree."""

import pytest
import torch

from pasam.modeling.prompt_adapter import MASK_ROW, AdapterOutput, Mining, PromptAdapter

PROMPTS, TOKENS, DIM, CELLS, POINTS = 2, 7, 32, 36, 3


@pytest.fixture
def adapter() -> PromptAdapter:
    torch.manual_seed(0)
    return PromptAdapter(dim=DIM, num_heads=4)


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "tokens": torch.randn(PROMPTS, TOKENS, DIM),
        "keys": torch.randn(PROMPTS, CELLS, DIM),
        "query_pe": torch.randn(PROMPTS, TOKENS, DIM),
        "key_pe": torch.randn(1, CELLS, DIM),
        "guiding": torch.randn(PROMPTS, CELLS, DIM),
    }


def mining(noise: torch.Tensor | None = None) -> Mining:
    embeddings = torch.stack([torch.full((DIM,), -1.0), torch.full((DIM,), 1.0)])
    return Mining(points=POINTS, point_embeddings=embeddings, noise=noise)


@torch.no_grad()
def test_only_the_mask_tokens_row_differs_from_plain_attention(adapter, inputs):
    output = adapter(**inputs, mining=None)
    dense = inputs["guiding"] * inputs["keys"]
    plain = adapter.cross_attn_token_to_image(
        q=inputs["tokens"] + inputs["query_pe"], k=dense + inputs["key_pe"], v=dense
    )
    rest = [row for row in range(TOKENS) if row != MASK_ROW]
    assert torch.equal(output.tokens[:, rest], plain[:, rest])
    assert not torch.allclose(output.tokens[:, MASK_ROW], plain[:, MASK_ROW])
    assert torch.equal(output.dense, dense)
    torch.testing.assert_close(output.coarse, (dense * plain[:, MASK_ROW, None]).sum(-1))
    torch.testing.assert_close(output.refined, (dense * output.tokens[:, MASK_ROW, None]).sum(-1))


@torch.no_grad()
def test_without_mining_nothing_is_appended(adapter, inputs):
    output = adapter(**inputs, mining=None)
    assert output.tokens.shape == (PROMPTS, TOKENS, DIM)
    assert output.query_pe is inputs["query_pe"]
    assert output.positive is None
    assert output.negative is None


@torch.no_grad()
def test_points_lie_where_the_refined_mask_corrects_the_coarse_one_most(adapter, inputs):
    output: AdapterOutput = adapter(**inputs, mining=mining())
    scores = output.uncertainty * (output.refined.sigmoid() - output.coarse.sigmoid())
    assert torch.equal(output.positive, scores.topk(POINTS).indices.sort().values)
    assert torch.equal(output.negative, scores.topk(POINTS, largest=False).indices.sort().values)


@torch.no_grad()
def test_a_point_is_its_cells_content_and_its_place_with_the_sign(adapter, inputs):
    output = adapter(**inputs, mining=mining())
    assert output.tokens.shape == output.query_pe.shape == (PROMPTS, TOKENS + 2 * POINTS, DIM)
    content = inputs["keys"] + output.dense
    for prompt in range(PROMPTS):
        cells = torch.cat([output.positive[prompt], output.negative[prompt]])
        sign = torch.tensor([1.0] * POINTS + [-1.0] * POINTS)[:, None]
        assert torch.equal(output.tokens[prompt, TOKENS:], content[prompt, cells])
        places = inputs["key_pe"][0, cells] + sign
        assert torch.equal(output.query_pe[prompt, TOKENS:], places)


@torch.no_grad()
def test_positive_and_negative_points_use_their_own_noise(adapter, inputs):
    noise = torch.zeros(PROMPTS, 2, CELLS)
    noise[:, 0, [4, 9, 20]] = 100
    noise[:, 1, [1, 2, 33]] = 100
    output = adapter(**inputs, mining=mining(noise))
    assert output.positive.tolist() == [[4, 9, 20]] * PROMPTS
    assert output.negative.tolist() == [[1, 2, 33]] * PROMPTS


def test_only_relaxed_points_carry_a_gradient_to_the_scores(adapter, inputs):
    def static_gradient(noise):
        adapter.zero_grad()
        adapter(**inputs, mining=mining(noise)).tokens[:, TOKENS:].sum().backward()
        return adapter.static_uncertain_token.weight.grad

    assert static_gradient(None) is None
    assert static_gradient(torch.zeros(PROMPTS, 2, CELLS)).abs().sum() > 0
