"""train(pack, data): the training of a pack as an iterator of reports. It never logs and never writes.

Shapes: K member, B batch, D pixels, T terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vmi.data import Dataset
from vmi.pack import Pack
from vmi.pictures import probability_histograms
from vmi.step import train_step
from vmi.trial import Failed, Report

REPORTS = 10


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
            progress = window.close(probability_histograms(pack, data))
            yield progress
            if progress.pack is None:
                return
            pack = progress.pack
            pack.train_mode(True)
            window = Window(pack)


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

    def close(self, histograms: Sequence[Mapping[str, Sequence[int]]]) -> Progress:
        """One copy to the host: reports of the members that are whole, and the reasons of those that broke."""
        assert self.sum_TK is not None
        pack, means_TK = self.pack, (self.sum_TK / self.count).cpu()
        # Of the last step that was trained: the pack stands before the next one.
        last_tau = [float(t) for t in pack.temperature_K(pack.step - 1)]
        broken = [(int(s), int(t)) for s, t in zip(pack.broken.step_K, pack.broken.term_K, strict=True)]
        whole = [k for k, (step, _) in enumerate(broken) if step < 0]
        failed = {
            pack.trials[k].trial_id: Failed(f"{self.names[term]} was not finite at step {step}", step)
            for k, (step, term) in enumerate(broken)
            if step >= 0
        }
        reports = tuple(
            Report(
                pack.trials[k].trial_id, pack.step, self._metrics(means_TK[:, k].tolist(), last_tau[k]), histograms[k]
            )
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
