"""Intervals over images: every quantity of the MI card is H(mean_i p_i) + mean_i t_i, so one bootstrap serves them all.

Images are resampled; the marginal, and with it its entropy, is computed anew for every resample. The interval is the
percentile one with its ends moved back by twice the bootstrap's estimate of the bias, mean(resampled) - value: an
entropy of a sample is below the population's, that of a resample is below both, and the plain percentile interval of a
uniform marginal then covers the truth never (measured: 0 of 300; moved: 299 of 300). Where there is no marginal the
bias is 0 and the interval is the percentile one.
The sandwich of a Normal block compares each code with every image, and a duplicate would undo its leave-one-out; so its
terms t_i are kept and resampled. That is exact to first order: what image j adds to the mixture moves the mean by
1 - E_z q(z|x_j)/m(z), which is 0.
Shapes: K member (seed of Q), N images, C categories, R resamples.
Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 10 and 13.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vmi.information.bounds import entropy
from vmi.spec.intervals import LEVEL, interval

ROWS = 100


class Statistic(NamedTuple):
    """A quantity as terms [K, N] per image (K is 1 where no Q enters) and, with a marginal, probabilities [N, C]."""

    terms_KN: Tensor
    probabilities_NC: Tensor | None = None
    cap_nats: float | None = None

    def double(self) -> Statistic:
        probabilities_NC = None if self.probabilities_NC is None else self.probabilities_NC.double()
        return Statistic(self.terms_KN.double(), probabilities_NC, self.cap_nats)

    def at(self, weights_RN: Tensor) -> Tensor:
        """H(sum_i w_i p_i) + sum_i w_i t_i for each row of weights, which sum to 1: [R, K]."""
        mean_RK = weights_RN @ self.terms_KN.mT
        if self.probabilities_NC is None:
            return mean_RK
        return mean_RK + entropy(weights_RN @ self.probabilities_NC)[:, None]


class Estimate(NamedTuple):
    """A quantity and two separate 95 % intervals: `low` to `high` over images, `seeds_low` to `seeds_high` over seeds.

    Attributes:
        value: mean over the seeds of Q
        low: of that mean when the held-out images are resampled, Q as it is
        high: the interval's other end
        seeds_low: of that mean over the seeds of Q on the same images; None without Q or with one seed
        seeds_high: the interval's other end
        cap_nats: what the quantity cannot exceed whatever the MI is (ln C, ln N); None where there is no cap
    """

    value: float
    low: float
    high: float
    seeds_low: float | None
    seeds_high: float | None
    cap_nats: float | None

    @property
    def at_cap(self) -> bool:
        """Within 0.05 nats of the cap: the MI may be larger than what is shown."""
        return self.cap_nats is not None and self.value > self.cap_nats - 0.05


def estimate(statistic: Statistic, resamples: int, generator: Generator) -> Estimate:
    """The value and its intervals; the same generator state gives the same resamples. Float64 throughout."""
    exact = statistic.double()
    count = exact.terms_KN.shape[1]
    value_K = exact.at(torch.full((1, count), 1 / count, dtype=torch.float64, device=exact.terms_KN.device))[0]
    value = value_K.mean()
    resampled_R = torch.cat(
        [
            exact.at(weights(count, min(ROWS, resamples - start), generator).to(value.device)).mean(-1)
            for start in range(0, resamples, ROWS)
        ]
    )
    ends = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64, device=value.device)
    low, high = (resampled_R.quantile(ends) - 2 * (resampled_R.mean() - value)).tolist()
    over_seeds = interval(value_K.tolist())
    seeds_low, seeds_high = (over_seeds.low, over_seeds.high) if over_seeds else (None, None)
    return Estimate(float(value), low, high, seeds_low, seeds_high, statistic.cap_nats)


def weights(count: int, resamples: int, generator: Generator) -> Tensor:
    """Share of each of `count` images in each resample of as many, drawn with replacement: [R, N]."""
    drawn_RN = torch.randint(count, (resamples, count), generator=generator)
    return torch.zeros(resamples, count, dtype=torch.float64).scatter_add_(
        1, drawn_RN, torch.full((resamples, count), 1 / count, dtype=torch.float64)
    )
