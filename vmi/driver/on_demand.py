"""The runner, made when there is something to train."""

from __future__ import annotations

from collections.abc import Callable

from vmi.cost.measurements import FILE, Costs
from vmi.cost.prediction import Target, costs_or_none
from vmi.cost.sizing import Room
from vmi.driver.options import RunOptions
from vmi.process.signals import importing
from vmi.runners.node_check import Needs
from vmi.runners.runner import Runner
from vmi.storage.paths import AnyPath


class OnDemand:
    """Makes the runner that the options ask for once it is needed: a finished study starts neither Ray nor torch.

    `first` is called before that, and may refuse by raising. `needs`: what every node of a cluster must see. `say` is
    told what is waited for.
    """

    def __init__(
        self,
        options: RunOptions,
        first: Callable[[], object],
        needs: Needs,
        say: Callable[[str], None],
        packs_a_gpu: Callable[[], int],
    ) -> None:
        self._options, self._first, self._needs, self._say = options, first, needs, say
        self._packs_a_gpu = packs_a_gpu
        self._made: Runner | None = None

    @property
    def runner(self) -> Runner:
        if self._made is None:
            self._first()
            self._made = _make(self._options, self._needs, self._say, self._packs_a_gpu)
        return self._made

    def workers(self) -> int:
        return self.runner.workers()

    def room(self) -> Room:
        """Of a pack, where the runner trains."""
        self.runner.workers()  # what it is asked of has to be there
        return self.runner.room()

    def costs(self, results: AnyPath) -> Costs | None:
        """What was measured on this CPU, or on a GPU, and is kept in the results."""
        return costs_or_none(Target(self.runner.device, 1), results / FILE)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()


def _make(options: RunOptions, needs: Needs, say: Callable[[str], None], packs_a_gpu: Callable[[], int]) -> Runner:
    if options.local:
        with importing():
            from vmi.runners.local import LocalRunner

        return LocalRunner(options.gpus_per_pack)
    with importing():
        from vmi.runners.tune import TuneRunner

    return TuneRunner(options.address, options.gpus_per_pack, needs, say, packs_a_gpu)
