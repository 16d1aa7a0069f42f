"""The mixed step on parameters that are sharded over processes (FSDP2) is the step on whole ones."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from amft_mm.learning.mixed_step import WHOLE, MixedStep
from tests.amft_mm.processes import finish, started


def small_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3), torch.nn.Tanh()
    )


def two_steps(model):
    """Both gradients of some data, clipped, twice, with a horizon; the second step's report and z."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, foreach=False)
    mixed = MixedStep(optimizer, max_norm=0.1, rho=0.9)
    data = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        model(data).square().sum().backward()
        product = mixed.along()
        mixed.take_exploration()
        (model(data) - 1).square().sum().backward()
        report = mixed.mix(0.3, 0.5)
        norm = mixed.step().norm
    return product, report, norm, mixed.z_norm(), list(mixed.z[WHOLE].values())


def whole(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded():
    dist.init_process_group("gloo")
    plain, split = small_model(), small_model()
    fully_shard(split)
    assert all(isinstance(p, DTensor) for p in split.parameters())
    expected, found = two_steps(plain), two_steps(split)
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    assert vars(found[1]) == pytest.approx(vars(expected[1]), rel=1e-4)
    assert found[2:4] == pytest.approx(expected[2:4], rel=1e-4)
    for a, b in zip(found[4], expected[4], strict=True):
        assert torch.allclose(whole(a), b, rtol=1e-3, atol=1e-7)
    for a, b in zip(split.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(whole(a), b, rtol=1e-5, atol=1e-6)


def test_a_sharded_step_is_the_whole_step():
    """Norms, products and z are over all shards, as if nothing were sharded."""
    finish(started(sharded, 2))
