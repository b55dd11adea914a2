"""train(pack, data): the two-phase training of a pack, as an iterator of reports. It never logs and never writes.

Per minibatch (Serdega & Kim 2020, section 3.3): first ascend E log Q(code|x_hat) in Q's parameters, then descend
J = distortion + beta rate - lambda (E log Q + eta H) in the encoder's and decoder's through the updated Q. With Q
first and the same noise, the encoder's and decoder's forward pass is shared by both phases: bitwise the same result.
Shapes: K member, B batch, D pixels, T terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from vmi import bounds
from vmi.data import Dataset
from vmi.distributions import Distribution
from vmi.objective import Noise, code_entropy, expected_log_q, objective, sample
from vmi.pack import Pack
from vmi.trial import Failed, Report

REPORTS = 10
T = TypeVar("T")


class Forward(NamedTuple):
    """One pass through encoder and decoder: what both phases share."""

    posterior: tuple[Distribution, ...]
    codes: tuple[Tensor, ...]
    logits_KBD: Tensor


class Progress(NamedTuple):
    """What a training yields at a report: the pack (without members that broke; None when all did), their reports."""

    pack: Pack | None
    reports: tuple[Report, ...]
    failed: Mapping[str, Failed]


def train(pack: Pack, data: Dataset, reports: int = REPORTS) -> Iterator[Progress]:
    """Train every member to its last step, yielding `reports` times (always at the last step).

    A member whose loss stops being finite leaves the pack at the next report as Failed, with the step and the term;
    the others go on bitwise as they would have. Goes on from `pack.step`, so a restored pack continues.
    """
    steps = pack.architecture.steps
    every = max(1, steps // reports)
    pack.train_mode(True)
    window = Window(pack)
    while pack.step < steps:
        images_KBD = data.images(data.train, pack.minibatches.next().to(pack.device), pack.dtype)
        window.add(train_step(pack, images_KBD, pack.noise()))
        if (pack.step % every == 0 and pack.step + every <= steps) or pack.step == steps:
            progress = window.close()
            yield progress
            if progress.pack is None:
                return
            pack = progress.pack
            pack.train_mode(True)
            window = Window(pack)


def train_step(pack: Pack, images_KBD: Tensor, noise: Noise) -> dict[str, Tensor]:
    """Both phases on one minibatch; advances the pack by one step and returns its terms, [K] each, detached."""
    forward = encode_decode(pack, images_KBD, noise)
    q_phase(pack, forward)
    terms = vae_phase(pack, images_KBD, forward)
    pack.broken.watch(torch.stack(list(terms.values())), pack.step)
    pack.step += 1
    return terms


def encode_decode(pack: Pack, images_KBD: Tensor, noise: Noise) -> Forward:
    """x -> q(z,c|x) -> relaxed code -> pixel logits."""
    posterior = pack.encoder(images_KBD)
    codes = sample(pack.layout.blocks, posterior, noise, pack.temperature_K())
    return Forward(posterior, codes, pack.decoder(torch.cat(codes, dim=-1)))


def q_phase(pack: Pack, forward: Forward) -> None:
    """Phase 1: one Adam step on -E log Q(code|x_hat) in Q's parameters alone."""
    if not pack.layout.informed:
        return
    reconstruction = forward.logits_KBD.detach().sigmoid()
    codes = [code.detach() for code in _informed(pack, forward.codes)]
    loss_K = -torch.stack(expected_log_q(pack.auxiliary(reconstruction), codes)).sum(0)
    pack.q_adam.step(torch.autograd.grad(loss_K.sum(), pack.q_parameters))


def vae_phase(pack: Pack, images_KBD: Tensor, forward: Forward) -> dict[str, Tensor]:
    """Phase 2: one Adam step on J in the encoder's and decoder's parameters, through Q but not into it."""
    likelihood = getattr(bounds, f"distortion_{pack.architecture.likelihood}")
    distortion_K = likelihood(images_KBD, forward.logits_KBD, pack.weights.variance_K)
    rates = {b.name: q.kl().mean(-1) for b, q in zip(pack.layout.blocks, forward.posterior, strict=True)}
    codes = _informed(pack, forward.codes)
    log_qs: list[Tensor] = []
    if codes:
        # The same minibatch passes Q a second time: its running statistics have already moved.
        log_qs = expected_log_q(pack.auxiliary(forward.logits_KBD.sigmoid(), track=False), codes)
    entropies = [code_entropy(q, code) for q, code in zip(_informed(pack, forward.posterior), codes, strict=True)]
    loss_K = objective(pack.weights, distortion_K, rates, log_qs, entropies)
    # Only the gradients asked for are computed: none of Q's parameters.
    pack.vae_adam.step(torch.autograd.grad(loss_K.sum(), pack.vae_parameters))
    # In the order of computation: the first that is not finite is the one that broke.
    terms = {**{f"rate_{name}": rate for name, rate in rates.items()}, "distortion": distortion_K}
    for block, log_q_K, entropy_K in zip(pack.layout.informed, log_qs, entropies, strict=True):
        terms |= {f"log_q_{block.name}": log_q_K, f"code_entropy_{block.name}": entropy_K}
    return {name: term.detach() for name, term in (terms | {"loss": loss_K}).items()}


class Window:
    """Sums of the terms since the last report, kept on the device until it closes."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.names: tuple[str, ...] = ()
        self.sum_TK: Tensor | None = None
        self.count = 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        stacked_TK = torch.stack(list(terms.values()))
        self.names = tuple(terms)
        self.sum_TK = stacked_TK if self.sum_TK is None else self.sum_TK + stacked_TK
        self.count += 1

    def close(self) -> Progress:
        """One copy to the host: reports of the members that are whole, and the reasons of those that broke."""
        assert self.sum_TK is not None
        pack, means_TK = self.pack, (self.sum_TK / self.count).cpu()
        last_tau = [float(t) for t in pack.temperature_K()]
        broken = [(int(s), int(t)) for s, t in zip(pack.broken.step_K, pack.broken.term_K, strict=True)]
        whole = [k for k, (step, _) in enumerate(broken) if step < 0]
        failed = {
            pack.trials[k].trial_id: Failed(f"{self.names[term]} was not finite at step {step}", step)
            for k, (step, term) in enumerate(broken)
            if step >= 0
        }
        reports = tuple(
            Report(pack.trials[k].trial_id, pack.step, self._metrics(means_TK[:, k].tolist(), last_tau[k]))
            for k in whole
        )
        kept = pack.keep(whole) if 0 < len(whole) < pack.size else pack
        return Progress(kept if whole else None, reports, failed)

    def _metrics(self, means: Sequence[float], temperature: float) -> dict[str, float]:
        """Stored names, with units, from the terms' means."""
        mean = dict(zip(self.names, means, strict=True))
        blocks = self.pack.layout.blocks
        metrics = {"loss_nats": mean["loss"], "distortion_nats": mean["distortion"], "temperature": temperature}
        metrics |= {f"rate_{b.name}_nats": mean[f"rate_{b.name}"] for b in blocks}
        metrics["rate_nats"] = sum(mean[f"rate_{b.name}"] for b in blocks)
        metrics["elbo_nats"] = -(metrics["distortion_nats"] + metrics["rate_nats"])
        for block in self.pack.layout.informed:
            metrics[f"code_entropy_{block.name}_nats"] = mean[f"code_entropy_{block.name}"]
            metrics[f"mi_paper_{block.name}_nats"] = block.prior_entropy_nats + mean[f"log_q_{block.name}"]
        return metrics


def _informed(pack: Pack, per_block: Sequence[T]) -> list[T]:
    """What belongs to the informed blocks, from one item per block of the layout."""
    return [item for block, item in zip(pack.layout.blocks, per_block, strict=True) if block.informed]
