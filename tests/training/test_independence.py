"""A member is bitwise the same whatever pack it is in and wherever in it: sizes at which a product's path would change.

Weights of a member lie where its row begins, so that their alignment in memory is another in each place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from support.coloured import held
from support.packs import trial

from vmi.data import dataset as data
from vmi.nn.ops import baddbmm, bmm, sigmoid, softplus
from vmi.training.evaluation import evaluate
from vmi.training.pack import Pack
from vmi.training.train import run_steps

BASE = {"hidden": "128-64", "layout": "n16+c10*", "batch_size": 128, "mi_weight": 4, "steps": 20}
ODD: dict[str, dict[str, Any]] = {
    **{f"batch of {size}": {"batch_size": size} for size in (2, 7, 17, 31, 333)},
    **{f"hidden {hidden}": {"hidden": hidden} for hidden in ("1", "2", "7", "33-5", "128-1", "130-17")},
    **{f"layout {layout}": {"layout": layout} for layout in ("n1*", "c2*", "n1*+c2*", "n3*+c3*+n2", "n17+c11*")},
    "one of everything": {"hidden": "1", "layout": "n1*", "batch_size": 2},
    "odd of everything": {"hidden": "33-5", "layout": "n3*+c3*+n2", "batch_size": 17},
    "odd and lower": {"hidden": "33-5", "layout": "n3*+c3*+n2", "batch_size": 17, "precision": "bfloat16"},
    "one and lower": {"hidden": "1", "layout": "n1*", "batch_size": 3, "precision": "bfloat16"},
    "odd and every term": {
        "hidden": "7", "layout": "n3*+c3*+n2", "batch_size": 17, "tc_weight": 2, "mmd_weight": 1, "factor_weight": 1,
        "generator_mi_weight": 1, "view_strength": 1.0, "view_mi_weight": 1, "view_kl_weight": 2,
        "view_pair_mi_weight": 1, "encoder_mi_weight": 1, "view_flip": 0.5, "view_elastic": 0.1,
        "learning_rate_decay": 0.1,
    },
    "odd planes": {"network": "conv", "hidden": "3-5-9", "batch_size": 127},
    "one plane": {"network": "conv", "hidden": "1-1-4", "batch_size": 17},
    **{f"{network} in colour, {'x'.join(map(str, shape))}": {
        "dataset": held(shape, levels), "network": network, "hidden": "3-5-9", "batch_size": 17, "view_strength": 1.0,
    } for network in ("mlp", "conv") for shape, levels in (((3, 10, 7), 255), ((4, 9, 9), 0), ((1, 11, 6), 0))},
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_member_is_bitwise_the_same_in_every_place_of_every_pack(name: str) -> None:
    trials = [trial(**{**BASE, "learning_rate": 1e-3 * (1 + seed % 2), **ODD[name], "seed": seed}) for seed in range(5)]
    images = data.load(trials[0].config.dataset)

    def trained(members: tuple[int, ...]) -> Pack:
        pack = Pack([trials[k] for k in members])
        pack.train_mode(True)
        run_steps(pack, images, 3)
        return pack

    whole = trained((0, 1, 2, 3, 4))
    scores = evaluate(whole, images)
    for members in ((3,), (0, 3), (2, 3, 4)):
        part = trained(members)
        k = members.index(3)
        differ = [key for key, tensor in part.tensors().items() if not torch.equal(tensor[k], whole.tensors()[key][3])]
        assert not differ, members
        metrics, _ = evaluate(part, images)[k]
        assert metrics == scores[3][0], members


@pytest.mark.parametrize("shape", [(1, 9, 4), (9, 1, 4), (9, 4, 1), (1, 300, 1), (1, 1, 300), (300, 1, 1), (1, 1, 1)])
def test_a_product_alone_is_that_among_others_with_its_gradients(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn(3, *size, generator=generator) for size in ((1, columns), (rows, inner), (inner, columns))]
    for product in (baddbmm, lambda c, a, b: bmm(a, b) + 0 * c):
        together = [x.clone().requires_grad_(True) for x in given]
        alone = [x[1:2].clone().requires_grad_(True) for x in given]
        outcomes = product(*together), product(*alone)
        for outcome in outcomes:
            outcome.square().sum().backward()
        assert torch.equal(outcomes[0][1:2], outcomes[1])
        assert torch.allclose(outcomes[0], product(*(x.double() for x in given)).float(), atol=1e-4)
        for one, other in zip(together, alone, strict=True):
            assert one.grad is not None and other.grad is not None
            assert torch.equal(one.grad[1:2], other.grad)


@pytest.mark.parametrize("shape", [(5, 17, 5), (5, 127, 784), (7, 33), (3, 64, 64), (2, 1)])
def test_a_function_of_a_member_is_what_it_is_alone_with_its_gradient(shape: tuple[int, ...]) -> None:
    values = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for function, library in ((sigmoid, torch.sigmoid), (softplus, torch.nn.functional.softplus)):
        together = values.clone().requires_grad_(True)
        y_K = function(together)
        y_K.square().sum().backward()
        assert together.grad is not None and torch.allclose(y_K, library(values))
        for k in range(len(values)):
            alone = values[k : k + 1].clone().requires_grad_(True)
            y_1 = function(alone)
            y_1.square().sum().backward()
            assert alone.grad is not None
            assert torch.equal(y_1[0], y_K[k]) and torch.equal(alone.grad[0], together.grad[k])


def test_what_the_user_has_said_to_mkl_stands() -> None:
    program = "import os, vmi; print(os.environ['MKL_CBWR'])"
    for said, found in (({}, "AUTO,STRICT"), ({"MKL_CBWR": "COMPATIBLE"}, "COMPATIBLE")):
        environ = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"} | said
        done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == found
