"""The fused norm is SAM's: same names, same values, same gradients."""

import pytest
import torch

from pasam.models.prompt_adapter import ChannelNorm
from segment_anything.modeling.common import LayerNorm2d


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_computes_what_sams_layer_norm_computes(layout):
    torch.manual_seed(0)
    theirs, ours = LayerNorm2d(6), ChannelNorm(6)
    with torch.no_grad():
        theirs.weight.normal_()
        theirs.bias.normal_()
    ours.load_state_dict(theirs.state_dict())
    x = (7 * torch.randn(3, 6, 5, 4) + 2).to(memory_format=layout)
    wanted = torch.randn(3, 6, 5, 4)
    results = []
    for norm in (theirs, ours):
        seen = x.clone().requires_grad_()
        answer = norm(seen)
        (answer * wanted).sum().backward()
        results.append([answer, seen.grad, norm.weight.grad, norm.bias.grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
