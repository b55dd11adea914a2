"""Convolutional trunks against ordinary torch.nn networks, one per member."""

from __future__ import annotations

import math

import pytest
import torch
from support.packs import trial
from torch import nn

from vmi.data import dataset
from vmi.nn import ops
from vmi.nn.convolution import ConvolutionalDecoder, ConvolutionalEncoder, StackedConvolution
from vmi.training.pack import Pack
from vmi.training.train import train

K, B = 2, 6
SHAPES = [(1, 8, 8), (3, 8, 8), (1, 7, 11), (4, 9, 6), (2, 5, 4)]


def generators(members: int = K) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(k) for k in range(members)]


def dense(stacked: nn.Module, k: int) -> list[nn.Module]:
    """The fully connected part of member k."""
    layers: list[nn.Module] = []
    for linear in [*stacked.linears, stacked.head]:
        weight = linear.weight_KIO[k].detach()
        layer = nn.Linear(*weight.shape).double()
        layer.weight.data, layer.bias.data = weight.T.clone(), linear.bias_K1O[k, 0].detach().clone()
        layers += (
            [layer] if linear is stacked.head else [layer, nn.BatchNorm1d(weight.shape[1]).double(), nn.LeakyReLU(0.2)]
        )
    return layers


def convolution(stacked: nn.Module, k: int) -> nn.Module:
    weight = stacked.weight_K[k].detach()
    kind = nn.ConvTranspose2d if stacked.transposed else nn.Conv2d
    channels = weight.shape[:2] if stacked.transposed else weight.shape[1::-1]
    more = {"output_padding": stacked.odd} if stacked.transposed else {}
    layer = kind(*channels, 4, 2, 1, **more).double()
    layer.weight.data, layer.bias.data = weight.clone(), stacked.bias_KC[k].detach().clone()
    return layer


@pytest.mark.parametrize("shape", SHAPES)
def test_encoder_matches_ordinary_modules_with_gradients_and_in_evaluation(shape: tuple[int, int, int]) -> None:
    stacked = ConvolutionalEncoder(shape, (3, 5, 7), 4, generators(), torch.float64)
    x = torch.randn(K, B, math.prod(shape), dtype=torch.float64)
    output = stacked(x)
    gradients = dict(
        zip(
            dict(stacked.named_parameters()),
            torch.autograd.grad(output.square().sum(), stacked.parameters()),
            strict=True,
        )
    )
    for k in range(K):
        layers: list[nn.Module] = [nn.Unflatten(1, shape)]
        for conv, channels in zip(stacked.convolutions, (3, 5), strict=True):
            layers += [convolution(conv, k), nn.BatchNorm2d(channels).double(), nn.LeakyReLU(0.2)]
        plain = nn.Sequential(*layers, nn.Flatten(), *dense(stacked.dense, k))
        out = plain(x[k])
        torch.testing.assert_close(output[k], out)
        out.square().sum().backward()
        torch.testing.assert_close(gradients["convolutions.0.weight_K"][k], plain[1].weight.grad)
        torch.testing.assert_close(gradients["norms.1.weight_K1F"][k].flatten(), plain[5].weight.grad)
        torch.testing.assert_close(stacked.norms[0].running_var_K1F[k].flatten(), plain[2].running_var)
        torch.testing.assert_close(stacked.eval()(x)[k], plain.eval()(x[k]))
        stacked.train()


@pytest.mark.parametrize("shape", SHAPES)
def test_decoder_matches_ordinary_modules(shape: tuple[int, int, int]) -> None:
    stacked = ConvolutionalDecoder(shape, 9, (7, 5, 3), generators(), torch.float64)
    code = torch.randn(K, B, 9, dtype=torch.float64)
    output = stacked(code)
    assert output.shape == (K, B, math.prod(shape))
    for k in range(K):
        layers: list[nn.Module] = [*dense(stacked.dense, k), nn.Unflatten(1, (5, shape[1] // 4, shape[2] // 4))]
        for conv, norm_channels in zip(stacked.convolutions, (5, 3), strict=True):
            layers += [nn.BatchNorm2d(norm_channels).double(), nn.LeakyReLU(0.2), convolution(conv, k)]
        torch.testing.assert_close(output[k], nn.Sequential(*layers, nn.Flatten())(code[k]))


@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 5, 7), (1, 8, 8), (2, 2, 3)])
def test_a_transposed_layer_is_the_adjoint_of_the_layer_it_mirrors(shape: tuple[int, int, int]) -> None:
    """<conv x, y> = <x, convT y> with one weight and no bias: same planes, and every pixel is reached."""
    odd = (shape[1] % 2, shape[2] % 2)
    down = StackedConvolution(shape[0], 4, generators(1), torch.float64)
    up = StackedConvolution(4, shape[0], generators(1), torch.float64, True, odd)
    up.weight_K.data.copy_(down.weight_K.data)
    for layer in (down, up):
        layer.bias_KC.data.zero_()
    x = torch.randn(1, *shape, dtype=torch.float64)
    (y,) = down([x])
    other = torch.randn_like(y)
    (back,) = up([other])
    assert back.shape == x.shape
    torch.testing.assert_close((y * other).sum(), (x * back).sum())
    assert (back.abs() > 0).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_initial_weights_are_within_torch_s_bounds(transposed: bool) -> None:
    ours = StackedConvolution(6, 10, generators(1), torch.float64, transposed)
    theirs = (nn.ConvTranspose2d if transposed else nn.Conv2d)(6, 10, 4)
    assert ours.weight_K[0].shape == theirs.weight.shape
    assert ours.weight_K.abs().max().item() == pytest.approx(theirs.weight.abs().max().item(), rel=0.05)


def test_members_are_bitwise_the_same_in_packs_of_1_and_3() -> None:
    digits = dataset.load("digits")
    trials = [trial(network="conv", hidden="4-8-16", steps=4, seed=seed) for seed in range(3)]
    (*_, three) = train(Pack(trials), digits)
    (*_, one) = train(Pack(trials[1:2]), digits)
    assert three.pack is not None and one.pack is not None
    for name, tensor in one.pack.tensors().items():
        assert torch.equal(tensor[0], three.pack.tensors()[name][1]), name


@pytest.mark.parametrize("shape", SHAPES)
def test_members_as_groups_of_one_convolution_are_what_they_are_one_by_one(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(K, B, math.prod(shape), dtype=torch.float64, requires_grad=True)
    found = []
    for grouped in (False, True):
        monkeypatch.setattr(ops, "on_card", lambda _, grouped=grouped: grouped)
        encoder = ConvolutionalEncoder(shape, (3, 5, 7), 9, generators(), torch.float64)
        decoder = ConvolutionalDecoder(shape, 9, (7, 5, 3), generators(), torch.float64)
        y = decoder(encoder(x))
        parameters = [*encoder.parameters(), *decoder.parameters()]
        gradients = torch.autograd.grad(y.square().sum(), [x, *parameters])
        found.append([y, *gradients, *encoder.buffers(), *decoder.buffers()])
    for alone, together in zip(*found, strict=True):
        torch.testing.assert_close(together, alone)
