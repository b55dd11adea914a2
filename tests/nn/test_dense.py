"""The layers whose backward pass is written by hand, against autograd's own and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, leaky_relu

from vmi.nn import dense
from vmi.nn.layers import StackedMLP
from vmi.nn.ops import squared_error

K, B, I, O = 3, 7, 5, 4  # noqa: E741


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_a_hidden_layer_is_a_product_torch_s_batch_norm_and_leaky_relu_with_all_gradients() -> None:
    x, weight, shift, scale, bias = double(K, I, B), double(K, I, O), double(K, 1, O), double(K, 1, O), double(K, 1, O)
    made = dense.hidden(x, weight, shift, scale, bias, None)
    z = weight.mT @ x + shift.mT
    composed = [
        leaky_relu(batch_norm(z[k].T, None, None, scale[k, 0], bias[k, 0], training=True), 0.2).T for k in range(K)
    ]
    expected = torch.stack(composed)
    torch.testing.assert_close(made.y_KOB, expected)
    torch.testing.assert_close(made.variance_K1O()[:, 0], z.var(-1, correction=0).detach())
    direction = torch.randn_like(expected)
    ours, theirs = (
        torch.autograd.grad((y * direction).sum(), [x, weight, shift, scale, bias], retain_graph=True)
        for y in (made.y_KOB, expected)
    )
    for own, composed_gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, composed_gradient, atol=1e-9, rtol=1e-7)
    assert not ours[2].any(), "a shift before normalisation changes nothing after it"


def test_more_channels_than_a_card_s_kernel_takes_have_the_same_bits_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, shift, scale, bias = double(K, I, B), double(K, I, O), double(K, 1, O), double(K, 1, O), double(K, 1, O)
    found = []
    for most in (dense.MAX_GROUPS, 5, 1):
        monkeypatch.setattr(dense, "MAX_GROUPS", most)
        for inputs in ([x, weight, shift, scale, bias], [x]):
            for one in (weight, shift, scale, bias):
                one.requires_grad_(len(inputs) > 1)
            y = dense.hidden(x, weight, shift, scale, bias, None).y_KOB
            found.append(torch.autograd.grad(y.square().sum(), inputs))
    for own in found[2:]:
        whole = found[0] if len(own) > 1 else found[1]
        assert all(torch.equal(one, other) for one, other in zip(own, whole, strict=True))


@pytest.mark.parametrize("rows", [False, True])
def test_an_affine_layer_has_the_gradients_of_finite_differences(rows: bool) -> None:
    x, weight, bias = double(K, I, B), double(K, I, O), double(K, 1, O)
    y = dense.affine(x, weight, bias, rows, None)
    assert y.is_contiguous() == rows
    torch.testing.assert_close(y, (weight.mT @ x).mT + bias)
    assert torch.autograd.gradcheck(lambda *given: dense.affine(*given, rows, None), (x, weight, bias))


def test_the_squared_error_has_the_gradient_of_finite_differences_in_the_image() -> None:
    x, image = torch.randn(K, B, I, dtype=torch.float64), double(K, B, I)
    torch.testing.assert_close(squared_error(x, image), (x - image).square().sum(-1).mean(-1))
    assert torch.autograd.gradcheck(lambda y: squared_error(x, y), (image,))


def test_a_frozen_network_passes_gradients_and_has_none_and_thaws_after_an_error() -> None:
    generators = [torch.Generator().manual_seed(k) for k in range(K)]
    network = StackedMLP(I, (6,), O, generators, torch.float64)
    x = double(K, B, I)
    (free,) = torch.autograd.grad(network(x).square().sum(), [x])
    with pytest.raises(KeyError), dense.frozen(network):
        y = network(x).square().sum()
        (same,) = torch.autograd.grad(y, [x], retain_graph=True)
        assert torch.equal(same, free)
        assert not any(p.requires_grad for p in network.parameters())
        raise KeyError
    assert all(p.requires_grad for p in network.parameters())
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(y, list(network.parameters()))


def test_a_feature_that_never_varies_has_no_variance_and_finite_activations() -> None:
    x, weight = torch.ones(1, 2, B), torch.ones(1, 2, 1)
    made = dense.hidden(x, weight, *(torch.full((1, 1, 1), value) for value in (0.0, 1.0, 0.5)), None)
    assert made.variance_K1O().item() == pytest.approx(0, abs=1e-11)
    assert (made.variance_K1O() >= 0).all()
    torch.testing.assert_close(made.y_KOB, torch.full((1, 1, B), 0.5))
