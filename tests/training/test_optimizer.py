"""Matrices go to Muon, all else to AdamW, and saved states go on as if never saved."""

import pytest
import torch
from torch import nn

from pasam.training.optimizer import MATRIX_RATE, MuonWithAdamW


def make_model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(24 * 4 * 4, 32), nn.ReLU(), nn.Linear(32, 2),
    ).to(memory_format=torch.channels_last)  # fmt: skip


def make_optimizer(model: nn.Module, **changes) -> MuonWithAdamW:
    return MuonWithAdamW(model, **{"learning_rate": 1e-2, "weight_decay": 0.0, **changes})


def train(model, optimizer, steps):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(32, 3, 8, 8, generator=generator)
    labels = (images.mean((1, 2, 3)) > 0).long()
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_wide_weights_are_muons_and_everything_else_adamws():
    model = make_model()
    muon, adamw = (group["params"] for group in make_optimizer(model).param_groups)
    assert [id(p) for p in muon] == [id(model[2].weight), id(model[5].weight)]
    everything = {id(p) for p in model.parameters()}
    assert {id(p) for p in muon} | {id(p) for p in adamw} == everything
    assert len(muon) + len(adamw) == len(everything)


def test_a_step_of_a_convolution_is_orthogonal():
    model = make_model()
    before = model[2].weight.detach().clone()
    train(model, make_optimizer(model), steps=1)
    step = (model[2].weight.detach() - before).flatten(1)
    strengths = torch.linalg.svdvals(step)
    assert strengths.min() > 0.4 * strengths.max()  # five Newton-Schulz rounds come that near


def test_it_learns():
    model = make_model()
    losses = train(model, make_optimizer(model), steps=30)
    assert losses[-1] < 0.2 * losses[0]


def test_a_schedule_moves_both_rates():
    model = make_model()
    optimizer = make_optimizer(model, learning_rate=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step == 0 else 0.0)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.1 * MATRIX_RATE, 0.1])
    train(model, optimizer, steps=1)
    schedule.step()
    before = [p.detach().clone() for p in model.parameters()]
    train(model, optimizer, steps=1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_weights_that_learn_nothing_are_left_alone():
    model = make_model()
    model[0].requires_grad_(False)
    optimizer = make_optimizer(model)
    assert all(
        p is not model[0].weight for group in optimizer.param_groups for p in group["params"]
    )


def test_a_saved_state_goes_on_as_if_never_saved():
    whole = make_model()
    train(whole, make_optimizer(whole), steps=3)
    model = make_model()
    first = make_optimizer(model)
    optimizer = make_optimizer(model, learning_rate=9.0)
    train(model, first, steps=2)
    optimizer.load_state_dict(first.state_dict())
    train(model, optimizer, steps=1)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True)
    )


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="takes no closure"):
        make_optimizer(make_model()).step(lambda: 0.0)
