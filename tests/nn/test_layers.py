"""Stacked layers against one torch.nn module per member."""

from __future__ import annotations

import torch
from torch import nn

from vmi.nn.layers import StackedMLP, flat_buffers, flatten_parameters

K, B, I, O = 3, 16, 6, 5  # noqa: E741


def stacked(seed: int = 0, members: int = K) -> StackedMLP:
    generators = [torch.Generator().manual_seed(seed + k) for k in range(members)]
    return StackedMLP(I, (8, 4), O, generators, torch.float64)


def plain(mlp: StackedMLP, k: int) -> nn.Sequential:
    """Member k as an ordinary network."""
    layers: list[nn.Module] = []
    linears = [*mlp.linears, mlp.head]
    for i, linear in enumerate(linears):
        weight = linear.weight_KIO[k].detach()
        layer = nn.Linear(weight.shape[0], weight.shape[1]).double()
        layer.weight.data, layer.bias.data = weight.T.clone(), linear.bias_K1O[k, 0].detach().clone()
        layers.append(layer)
        if i < len(mlp.norms):
            layers += [nn.BatchNorm1d(weight.shape[1]).double(), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def test_outputs_gradients_and_running_statistics_match_ordinary_modules() -> None:
    mlp, x = stacked(), torch.randn(K, B, I, dtype=torch.float64, requires_grad=True)
    output = mlp(x)
    gradients = torch.autograd.grad(output.square().sum(), [x, *mlp.parameters()])
    for k in range(K):
        alone, x_alone = plain(mlp, k), x[k].detach().clone().requires_grad_()
        out = alone(x_alone)
        torch.testing.assert_close(output[k], out)
        out.square().sum().backward()
        torch.testing.assert_close(gradients[0][k], x_alone.grad)
        named = dict(zip([name for name, _ in mlp.named_parameters()], gradients[1:], strict=True))
        torch.testing.assert_close(named["linears.0.weight_KIO"][k], alone[0].weight.grad.T)
        torch.testing.assert_close(named["norms.1.weight_K1F"][k, 0], alone[4].weight.grad)
        torch.testing.assert_close(named["norms.1.bias_K1F"][k, 0], alone[4].bias.grad)
        torch.testing.assert_close(named["head.bias_K1O"][k, 0], alone[-1].bias.grad)
        torch.testing.assert_close(mlp.norms[0].running_mean_K1F[k, 0], alone[1].running_mean)
        torch.testing.assert_close(mlp.norms[0].running_var_K1F[k, 0], alone[1].running_var)
        torch.testing.assert_close(mlp.eval()(x)[k], alone.eval()(x[k]))
        mlp.train()


def test_batch_norm_gradient_matches_finite_differences() -> None:
    mlp = stacked(members=1)
    x = torch.randn(1, 5, I, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: mlp(value, False), (x,))


def test_an_untracked_pass_leaves_the_running_statistics_alone() -> None:
    mlp, x = stacked(), torch.randn(K, B, I, dtype=torch.float64)
    before = [buffer.clone() for buffer in flat_buffers([mlp])]
    untracked = mlp(x, track=False)
    assert all(torch.equal(a, b) for a, b in zip(before, flat_buffers([mlp]), strict=True))
    assert torch.equal(untracked, mlp(x))
    assert not any(torch.equal(a, b) for a, b in zip(before, flat_buffers([mlp]), strict=True))


def test_flattened_parameters_are_views_of_one_row_per_member() -> None:
    mlp, x = stacked(), torch.randn(K, B, I, dtype=torch.float64)
    before = mlp(x, track=False)
    flat_KP = flatten_parameters([mlp])
    assert torch.equal(before, mlp(x, track=False))
    assert flat_KP.shape == (K, sum(p[0].numel() for p in mlp.parameters()))
    flat_KP[1].zero_()
    after = mlp(x, track=False)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert torch.equal(after[1], torch.zeros_like(after[1]))


def test_initialisation_depends_on_the_member_s_generator_alone() -> None:
    three, one = stacked(), stacked(seed=2, members=1)
    for a, b in zip(three.parameters(), one.parameters(), strict=True):
        assert torch.equal(a[2], b[0])
