"""What the benchmarks train: three sizes of network, each on the data it is meant for.

Everyone trains the same thing: layout n16+c10* with lambda 4 and eta 1, batches of 128, one thread.
"""

from __future__ import annotations

from typing import NamedTuple

from vmi.spec.config import TrialConfig
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training.pack import Pack

# More than any benchmark takes: nobody comes to an end while the clock runs.
STEPS = 1_000_000


class Case(NamedTuple):
    """One size of network. `sizes`: of the packs that are timed; `steps`: minibatches of one timing."""

    name: str
    dataset: str
    network: str
    hidden: str
    sizes: tuple[int, ...]
    steps: int
    plain_steps: int

    def config(self, seed: int = 0, **fields: float | str) -> TrialConfig:
        given = {"dataset": self.dataset, "network": self.network, "hidden": self.hidden, "mi_weight": 4}
        return resolve({**given, "steps": STEPS, "seed": seed, **fields})

    def pack(self, size: int, **fields: float | str) -> Pack:
        """A pack that differs in its seeds."""
        configs = [self.config(seed, **fields) for seed in range(size)]
        made = Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs])
        made.train_mode(True)
        return made


CASES = {
    case.name: case
    for case in (
        Case("tiny", "digits", "mlp", "128-64", (1, 4, 16, 32), 20, 40),
        Case("mlp", "mnist", "mlp", "512-256", (1, 4, 16), 4, 12),
        Case("conv", "mnist", "conv", "64-128-512", (1, 4), 1, 2),
    )
}
