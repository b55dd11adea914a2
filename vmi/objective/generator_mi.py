"""InfoGAN's term: E log Q(code|x) on images that are generated from codes of the prior, in nats.

Chen et al. 2016 (arXiv 1606.03657). The decoder and Q both ascend it.
Shapes: K member, B batch, D pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vmi.nn.ops import added
from vmi.objective.mutual_information import expected_log_q
from vmi.objective.term import Forward, Statistics, Term


class GeneratorMI(Term):
    """Of the informed blocks together."""

    weight = "generator_mi_weight"
    ascended = True
    prior = True
    generated = True

    def value(self, seen: Statistics) -> Tensor:
        assert seen.forward.generated_KBD is not None
        return _log_q(seen.forward, seen.forward.generated_KBD)

    def of_q(self, forward: Forward) -> Tensor:
        assert forward.generated_KBD is not None
        log_q_K = _log_q(forward, forward.generated_KBD.detach())
        return torch.where(self.weight_K > 0, log_q_K, 0.0)


def _log_q(forward: Forward, generated_KBD: Tensor) -> Tensor:
    """E log Q(code|x) of the informed blocks over these images: [K]."""
    scored = forward.score(generated_KBD)
    return added(expected_log_q(scored, forward.informed(forward.prior_codes)))
