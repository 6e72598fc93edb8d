"""An adapter that adds nothing leaves SAM's transformer; what it adds reaches both sides."""

import pytest
import torch

import pasam.models.torchvision_operators  # noqa: F401
from pasam.models.prompt_adapter import AdapterOutput
from pasam.models.sam_mask_decoder import AdaptedTwoWayTransformer
from segment_anything.modeling import TwoWayTransformer

SIZES = {"depth": 2, "embedding_dim": 32, "num_heads": 4, "mlp_dim": 48}


@pytest.fixture
def adapted() -> AdaptedTwoWayTransformer:
    torch.manual_seed(0)
    return AdaptedTwoWayTransformer(**SIZES)


@pytest.fixture
def inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return torch.randn(2, 32, 5, 5), torch.randn(1, 32, 5, 5), torch.randn(2, 7, 32)


def adding(tokens=0.0, dense=0.0, extra=0):
    """Make an adapter that adds constants and appends `extra` tokens."""

    def adapt(queries, keys, query_pe, _key_pe):
        new = torch.ones(len(queries), extra, queries.shape[-1])
        return AdapterOutput(
            tokens=torch.cat([torch.full_like(queries, tokens), new], dim=1),
            dense=torch.full_like(keys, dense),
            query_pe=torch.cat([query_pe, new], dim=1),
            maps=None, positive=None, negative=None,
        )  # fmt: skip

    return adapt


@torch.no_grad()
def test_an_adapter_that_adds_nothing_leaves_sams_transformer(adapted, inputs):
    plain = TwoWayTransformer(**SIZES)
    plain.load_state_dict(adapted.state_dict())
    tokens, keys, _ = adapted(*inputs, adding())
    expected_tokens, expected_keys = plain(*inputs)
    torch.testing.assert_close(tokens, expected_tokens)
    torch.testing.assert_close(keys, expected_keys)


@torch.no_grad()
@pytest.mark.parametrize("what", [{"dense": 0.5}, {"extra": 3}])
def test_what_the_adapter_adds_changes_tokens_and_image(adapted, inputs, what):
    tokens, keys, _ = adapted(*inputs, adding())
    other_tokens, other_keys, _ = adapted(*inputs, adding(**what))
    assert not torch.allclose(tokens, other_tokens[:, :7], atol=1e-3)
    assert not torch.allclose(keys, other_keys, atol=1e-3)
    assert other_tokens.shape[1] == 7 + what.get("extra", 0)


@torch.no_grad()
def test_a_constant_on_all_channels_of_the_tokens_is_normalised_away(adapted, inputs):
    tokens, _, _ = adapted(*inputs, adding())
    shifted, _, _ = adapted(*inputs, adding(tokens=0.5))
    torch.testing.assert_close(tokens, shifted, atol=1e-5, rtol=1e-5)


def test_a_single_block_is_refused():
    with pytest.raises(AssertionError, match="never adapted"):
        AdaptedTwoWayTransformer(**{**SIZES, "depth": 1})
