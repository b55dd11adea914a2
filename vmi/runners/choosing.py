"""Which of the packs that wait is handed out next: what a choice sees of them, and the choice where all are to be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from vmi.spec.trial import Trial


class Waiting(NamedTuple):
    """A pack that waits: its trials without a row, and those of this run that were handed out before.

    `begun`: it may have a checkpoint, which it keeps only as a whole.
    """

    missing: Sequence[Trial]
    handed_out: Collection[str]
    begun: bool

    @property
    def new(self) -> int:
        """How many of its trials this run would train that it has not handed out before."""
        return sum(trial.trial_id not in self.handed_out for trial in self.missing)


# Asked with the packs that wait and with how many trials were handed out so far: the index of the next pack, and how
# many of its trials without a row; None: none of them.
Choose = Callable[[Iterable[Waiting], int], tuple[int, int] | None]


def first(waiting: Iterable[Waiting], handed_out: int) -> tuple[int, int] | None:
    """The first of them, as it is."""
    return next(((0, len(pack.missing)) for pack in waiting), None)
