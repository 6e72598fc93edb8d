"""What learns and what stays, bit for bit."""

import pytest
import torch
from torch import nn

from pasam.models.adapter_weights import digest, freeze_except, frozen_tensors


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2))


def take_steps(module: nn.Module, count: int = 3) -> None:
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(count):
        optimizer.zero_grad()
        module(torch.ones(5, 3)).square().sum().backward()
        optimizer.step()


def test_only_names_with_a_prefix_learn(module):
    assert freeze_except(module, ("2.",)) == ["2.weight", "2.bias"]
    assert [n for n, p in module.named_parameters() if p.requires_grad] == ["2.weight", "2.bias"]


def test_no_prefix_freezes_everything(module):
    assert freeze_except(module, ()) == []
    assert frozen_tensors(module).keys() == module.state_dict().keys()


def test_freezing_again_thaws_what_is_now_named(module):
    freeze_except(module, ())
    assert freeze_except(module, ("0.bias",)) == ["0.bias"]


def test_frozen_weights_keep_every_bit_while_the_others_learn(module):
    learning = freeze_except(module, ("2.",))
    frozen = digest(frozen_tensors(module))
    before = {name: module.state_dict()[name].clone() for name in learning}
    take_steps(module)
    assert digest(frozen_tensors(module)) == frozen
    assert all(not torch.equal(module.state_dict()[name], old) for name, old in before.items())


def test_buffers_count_as_frozen():
    module = nn.BatchNorm1d(2)
    frozen = frozen_tensors(module)
    assert frozen.keys() == {"running_mean", "running_var", "num_batches_tracked"}
    before = digest(frozen)
    module(torch.randn(4, 2))
    assert digest(frozen_tensors(module)) != before


@pytest.mark.parametrize("bit", [0, 13, 31])
def test_one_bit_changes_the_digest(bit):
    weights = {"a": torch.randn(7, 5), "b": torch.randn(3)}
    before = digest(weights)
    bits = weights["a"].view(torch.int32)
    bits[6, 4] ^= torch.tensor(1 << bit).to(torch.int32)
    assert digest(weights) != before
    bits[6, 4] ^= torch.tensor(1 << bit).to(torch.int32)
    assert digest(weights) == before


def test_the_digest_sees_names_shapes_and_types_but_not_order():
    zeros = torch.zeros(4)
    assert digest({"a": zeros, "b": zeros}) == digest({"b": zeros, "a": zeros})
    others = [{"b": zeros}, {"a": zeros.reshape(2, 2)}, {"a": zeros.int()}, {"a": torch.zeros(5)}]
    assert len({digest(w) for w in [{"a": zeros}, *others]}) == 5
