"""The terms of the objective, written out, and the sampling of codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from vmi.information.likelihood import Decoded
from vmi.nn.distributions import Categorical, DiagonalNormal
from vmi.objective.codes import Noise, prior_codes, sample
from vmi.objective.mutual_information import MutualInformation
from vmi.objective.rate import Rate
from vmi.objective.term import Forward, Members, Statistics, Term
from vmi.objective.weighted_sum import TERMS, objective, terms_of
from vmi.spec.config import COSTLY, FIELDS, TrialConfig
from vmi.spec.layout import Layout, parse


def seen(
    layout: Layout, step: int = 7, rates: Mapping[str, list[float]] | None = None, **of_q: list[list[float]]
) -> Statistics:
    """What a step of two members has computed; what is not given is not there."""
    forward = Forward(layout.blocks, (), (), Decoded(torch.empty(0), torch.empty(0)), lambda _: ())
    of_q_K = {name: [torch.tensor(value) for value in values] for name, values in of_q.items()}
    rates_K = {name: torch.tensor(value) for name, value in (rates or {}).items()}
    log_qs, entropies = of_q_K.get("log_qs", []), of_q_K.get("entropies", [])
    return Statistics(forward, torch.tensor([step, step]), torch.tensor([5.0, 6.0]), rates_K, log_qs, entropies)


def members(layout: Layout, *given: dict[str, Any]) -> Members:
    configs = [TrialConfig(**fields) for fields in given]
    return Members(configs, layout, 100, torch.device("cpu"), torch.float32)


def test_mi_is_weighed_in_each_block_by_its_kind_and_its_entropy_by_eta() -> None:
    layout = parse("n2*+c3*")
    of_first = {"mi_weight": 0.0, "mi_weight_normal": 3.0, "entropy_weight": 1.0}
    of_second = {"mi_weight": 2.0, "mi_weight_normal": 0.5, "entropy_weight": 0.5}
    statistics = seen(layout, log_qs=[[-1.0, -2.0], [-3.0, -1.0]], entropies=[[1.0, 1.5]] * 2)
    expected = [3 * (-1 + 1), 0.5 * (-2 + 0.75) + 2 * (-1 + 0.75)]
    found = MutualInformation(members(layout, of_first, of_second)).weighted(statistics)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_rates_are_weighed_by_beta_and_their_distance_to_the_capacity_of_each_kind_by_gamma() -> None:
    layout = parse("n2+n3+c4*")
    rates = {"n2": [1.0, 2.0], "n3": [0.5, 0.5], "c4": [1.0, 0.25]}
    capacities = {"capacity_weight": 30.0, "capacity_normal_nats": 4.0, "capacity_categorical_nats": 1.0}
    term = Rate(members(layout, {"kl_weight": 1.0}, {"kl_weight": 0.0, **capacities}))
    expected = [2.5, 30 * abs(2.5 - 4) + 30 * abs(0.25 - 1)]
    torch.testing.assert_close(term.weighted(seen(layout, rates=rates)), torch.tensor(expected))


def test_kl_annealing_and_capacity_grow_linearly_and_then_stay() -> None:
    layout = parse("n2")
    annealed = {"kl_weight": 2.0, "kl_anneal_steps": 10}
    capacity = {"kl_weight": 0.0, "capacity_weight": 1.0, "capacity_normal_nats": 8.0, "capacity_steps": 4}
    term = Rate(members(layout, annealed, capacity))
    found = [term.weighted(seen(layout, step, {"n2": [3.0, 3.0]})).tolist() for step in (0, 1, 5, 10, 1000)]
    assert [pair[0] for pair in found] == pytest.approx([0, 0.6, 3, 6, 6])
    assert [pair[1] for pair in found] == pytest.approx([3, 1, 5, 5, 5])


class Plain(Term):
    """A term that is 2 for the first member and nothing finite for the second."""

    weight = "mmd_weight"

    def value(self, seen: Statistics) -> torch.Tensor:
        return torch.tensor([2.0, torch.inf])


def test_a_term_is_added_or_where_it_is_ascended_subtracted_and_is_0_where_its_weight_is() -> None:
    layout = parse("n2")
    term = Plain(members(layout, {"mmd_weight": 3.0}, {}))
    assert objective([term], seen(layout)).tolist() == [5 + 3 * 2, 6]
    term.ascended = True  # type: ignore[misc]
    assert objective([term], seen(layout)).tolist() == [5 - 3 * 2, 6]


def test_the_terms_of_a_pack_are_those_that_some_member_has_a_weight_on() -> None:
    layout = parse("n2+c3*")
    assert [type(term) for term in terms_of(members(layout, {}, {}))] == [Rate, MutualInformation]
    made = terms_of(members(layout, {}, {"mmd_weight": 1.0}, {"tc_weight": 1.0, "mmd_weight": 2.0}))
    assert [term.weight for term in made] == ["kl_weight", "mi_weight", "tc_weight", "mmd_weight"]


def test_what_the_fields_declare_and_what_the_terms_are_agree() -> None:
    """A field that says what it costs is a term's weight, or a view's strength; a term that costs has said so."""
    costly = {term.weight for term in TERMS if not term.always}
    assert costly == {name for name in COSTLY if not name.endswith("_strength")}
    assert len({term.weight for term in TERMS}) == len(TERMS)
    for term in TERMS:
        field = FIELDS[term.weight]
        assert field.range and 0 in field.range, term
        # Codes of Normal blocks, or of informed ones: no term without them.
        assert term.always or field.informed or field.informed_categorical or field.normal, term


def test_prior_codes_are_standard_normal_and_uniform_one_hot() -> None:
    noise = Noise(torch.randn(1, 20_000, 2), -torch.empty(1, 20_000, 4).exponential_().log())
    z, c = prior_codes(parse("n2+c4*").blocks, noise)
    assert torch.equal(z, noise.normal_KBZ)
    assert (c.sum(-1) == 1).all()
    assert (c.mean(1) - 0.25).abs().max() < 0.02


def test_each_block_takes_its_own_slice_of_the_noise() -> None:
    """Blocks of one kind share one noise tensor: moving one block's slice moves that block's code alone."""
    blocks = parse("n2+c3*+n1+c4").blocks
    posterior = [
        Categorical.from_logits(torch.zeros(1, 5, b.size))
        if b.is_categorical
        else DiagonalNormal(*[torch.zeros(1, 5, b.size)] * 2)
        for b in blocks
    ]
    noise = Noise(torch.randn(1, 5, 3), torch.randn(1, 5, 7))
    before = sample(blocks, posterior, noise, torch.ones(1))
    moved = Noise(
        noise.normal_KBZ + torch.tensor([0.0, 0.0, 1.0]), noise.gumbel_KBC * torch.tensor([2.0] * 3 + [1.0] * 4)
    )
    after = sample(blocks, posterior, moved, torch.ones(1))
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, False, True]
    assert [code.shape[-1] for code in before] == [2, 3, 1, 4]


def test_without_a_temperature_categorical_codes_are_hard() -> None:
    blocks = parse("c4*").blocks
    posterior = [Categorical.from_logits(torch.randn(2, 9, 4))]
    (code,) = sample(blocks, posterior, Noise(torch.empty(2, 9, 0), torch.randn(2, 9, 4)), None)
    assert ((code == 0) | (code == 1)).all()
    assert (code.sum(-1) == 1).all()
