"""The estimate of a pack's memory: its parameters are exact, and the peaks that the kernel counts are near it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.coloured import held
from support.memory_peaks import coloured
from support.packs import trial

from vmi.cost.footprint import SCRATCH, base_bytes, member_bytes, members_within, own_parameters, shared_bytes, trunks
from vmi.spec.layout import parse
from vmi.spec.resolving import resolve
from vmi.training.pack import Pack

# Small and large networks of either kind, a term over pairs of images, and an informed Normal block, as it has them.
MEASURED: tuple[tuple[dict[str, Any], int], ...] = (
    ({"dataset": "digits"}, 16),
    ({"dataset": "digits", "hidden": "2048-1024"}, 2),
    ({"dataset": "digits", "network": "conv", "hidden": "8-16-32"}, 4),
    ({"dataset": "digits", "network": "conv", "hidden": "64-128-512"}, 2),
    ({"dataset": "digits", "tc_weight": 4.0, "batch_size": 256}, 2),
    ({"dataset": "digits", "layout": "n8*+c10*", "batch_size": 1024}, 4),
    ({"dataset": coloured(), "hidden": "512-128"}, 4),
    ({"dataset": coloured(), "network": "conv", "hidden": "8-16-32"}, 4),
    ({"dataset": coloured(), "network": "conv", "hidden": "32-64-128-256"}, 2),
)
FACTOR = 2.0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hidden": "7"},
        {"hidden": "30-20-10", "layout": "n2*+n30"},
        {"layout": "c10*+c3+n4*", "dataset": "mnist"},
        {"layout": "n3", "dataset": "mnist", "mi_weight": 0},
        {"network": "conv", "hidden": "4-8-16"},
        {"network": "conv", "hidden": "4-16", "layout": "n2*+n30"},
        {"network": "conv", "hidden": "3-5-9", "dataset": "mnist"},
        {"network": "conv", "hidden": "16", "layout": "c4*"},
        {"preset": "authors", "dataset": "mnist"},
        {"hidden": "7", "dataset": coloured()},
        {"network": "conv", "hidden": "3-5-7-9", "dataset": coloured()},
    ],
)
def test_the_parameters_are_those_of_the_networks_one_for_one(fields: dict[str, Any]) -> None:
    made = Pack([trial(**{"steps": 1, **fields})])
    encoder, decoder, of_q = (trunk.parameters for trunk in trunks(made.architecture))
    assert (encoder + decoder, of_q) == (made.vae_adam.flat_KP.shape[1], made.q_adam.flat_KP.shape[1])


def test_the_parameters_of_a_term_s_own_network_are_one_for_one() -> None:
    (term,) = (t for t in Pack([trial(layout="n5+c10*", factor_weight=1.0)]).terms if t.weight == "factor_weight")
    found = own_parameters(parse("n5+c10*"), ["factor_weight"])
    assert found == term.tensors()["discriminator_parameters"].shape[1]
    assert own_parameters(parse("n5+c10*"), ["tc_weight", "mmd_weight"]) == 0


@pytest.mark.linux
def test_the_kernels_peak_of_a_pack_is_within_twice_and_half_of_the_estimate() -> None:
    arguments = [word for fields, members in MEASURED for word in (json.dumps(fields), str(members))]
    command = [sys.executable, str(Path(__file__).parents[1] / "support" / "memory_peaks.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for (fields, members), grown in zip(MEASURED, map(int, done.stdout.split()), strict=True):
        config = resolve(fields)
        terms = [name for name in ("tc_weight",) if getattr(config, name)]
        estimate = shared_bytes(config.architecture) + members * member_bytes(config.architecture, terms)
        print(f"{fields} x {members}: {grown / 1e6:.1f} MB, estimated {estimate / 1e6:.1f}")
        # A process that was warm has of the libraries' own memory some, or all.
        assert grown / FACTOR < estimate < FACTOR * (grown + SCRATCH), fields


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("fields", [{}, {"network": "conv", "hidden": "64-128-512", "dataset": "mnist"}])
def test_as_many_members_fit_as_the_room_holds_and_not_one_more(fields: dict[str, Any], device: str) -> None:
    architecture = resolve(fields).architecture
    before = base_bytes(architecture.dataset, device) + shared_bytes(architecture, device)
    seven = before + 7 * member_bytes(architecture, (), device)
    assert [members_within(architecture, seven + more, (), device) for more in (-1, 0, 1)] == [6, 7, 7]
    assert members_within(architecture, before, (), device) == members_within(architecture, 0, (), device) == 0


@pytest.mark.parametrize(
    "more",
    [
        {"hidden": "2048-1024"},
        {"batch_size": 1024},
        {"dataset": "mnist"},
        {"layout": "n160+c10*"},
        {"network": "conv", "hidden": "64-128-512"},
    ],
)
def test_what_is_larger_takes_more(more: dict[str, Any]) -> None:
    assert member_bytes(resolve(more).architecture) > 1.2 * member_bytes(resolve({}).architecture)


def test_numbers_in_0_to_1_are_kept_as_float32() -> None:
    bytes_, floats = held((3, 10, 7)), held((3, 10, 7), levels=0)
    pixels = (512 + 256) * 210
    for device in ("cpu", "cuda"):
        assert base_bytes(floats, device) - base_bytes(bytes_, device) == 3 * pixels


@pytest.mark.parametrize(
    "term", ["tc_weight", "factor_weight", "mmd_weight", "generator_mi_weight", "view_strength", "view_mi_weight"]
)
def test_a_costly_term_takes_more(term: str) -> None:
    architecture = resolve({"batch_size": 1024}).architecture
    assert member_bytes(architecture, [term]) > member_bytes(architecture)
