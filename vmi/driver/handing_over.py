"""A worker is free, nothing waits, a pack has many steps left: it is asked to part (`vmi.in_flight.parting`).

It is where what is predicted to be gained exceeds what it costs. With r seconds left of a pack of K members, by the
pace of its last updates, p packs of it are through after

    r seconds(ceil(K / p)) / seconds(K) + look + start + once + WRITING

seconds: the request is seen at the next look, a worker may have to start and load, checkpoints are written and read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from vmi.cost.cutting import Prices, priced
from vmi.cost.packing import by_architecture
from vmi.driver.budget import Budget
from vmi.in_flight.checkpoints import Checkpoints
from vmi.in_flight.parting import clear_parts, put_part
from vmi.in_flight.steering import look_seconds
from vmi.results.store import Store
from vmi.runners.ledger import Ledger
from vmi.spec.trial import PackSpec
from vmi.spec.words import counted
from vmi.storage.paths import AnyPath
from vmi.worker.messages import Update

# A pack's pace is known after so long.
MEASURED_SECONDS = 5.0
# Checkpoints of the pack and its parts; what a part takes to be built and read.
WRITING = 2.0


class Pace(NamedTuple):
    """Where a pack stood when it was first seen to train, and when it was seen last."""

    began: float
    first: int
    now: float
    step: int
    steps: int

    @property
    def left(self) -> float | None:
        """Seconds until its last step, None while it is too early to say."""
        if self.now - self.began < MEASURED_SECONDS or self.step <= self.first:
            return None
        return (self.steps - self.step) * (self.now - self.began) / (self.step - self.first)


def handing_over(
    ledger: Ledger,
    store: Store,
    workers: int,
    prices: Callable[[], Prices],
    budget: Budget,
    say: Callable[[str], object],
    present: Callable[[], int],
) -> Callable[[Update], None]:
    """What sees to it, at every update, that no worker is free beside a pack that could give it members.

    `workers` there were when packs were planned, and no more run at a time; `present` asks how many there are now.
    With a deadline a part might not be begun any more, where the whole would have gone on.
    """
    if workers < 2 or budget.has_deadline:
        clear_parts(store)
        return lambda update: None
    return HandingOver(ledger, store, workers, prices, say, present).update


class HandingOver:
    """Sees every update of a run, after the ledger. `workers`: how many packs run at a time; `say` is told of it."""

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        workers: int,
        prices: Callable[[], Prices],
        say: Callable[[str], object],
        present: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._store, self._workers = ledger, store, workers
        self._prices, self._say, self._present, self._clock = prices, say, present, clock
        self._paces: dict[str, Pace] = {}
        self._asked: dict[str, tuple[AnyPath, int]] = {}
        self._whole: set[str] = set()  # packs that were asked and did not part: another time they would not either
        self._parted: set[str] = set()  # packs that others have taken the place of, and that are not removed yet
        clear_parts(store)

    def update(self, update: Update) -> None:
        """A pack went on. A pack that was parted is let go of before any part of it is handed out."""
        if update.parted:
            self._parted.add(update.pack_id)
        for pack_id in list(self._parted):
            with contextlib.suppress(OSError):  # another time: until then a kill costs what its parts have trained
                Checkpoints(self._store, pack_id).retire()
                self._parted.discard(pack_id)
        self._note(update)
        if update.whole:
            self._whole.add(update.pack_id)
        for pack_id in self._asked.keys() - (self._ledger.running.keys() - self._whole):
            with contextlib.suppress(OSError):
                self._store.files.unlink(self._asked.pop(pack_id)[0])
        self._ask()

    def _note(self, update: Update) -> None:
        if update.over or update.pack_id not in self._ledger.running:
            self._paces.pop(update.pack_id, None)
        elif update.step:
            now, first = self._clock(), self._paces.get(update.pack_id)
            began = (first.began, first.first) if first and first.step <= update.step else (now, update.step)
            self._paces[update.pack_id] = Pace(*began, now, update.step, update.steps)

    def _ask(self) -> None:
        """Ask the pack that gains most by it, where workers are free and nothing waits for one."""
        busy = len(self._ledger.running) + sum(parts - 1 for _, parts in self._asked.values())
        if self._workers <= busy or self._ledger.study.pruner or self._ledger.waits:
            return
        free = self._workers - busy
        best = self._best(free)
        if best and (left := self._present() - busy) < free:  # asked of a cluster only where something is gained
            free, best = left, self._best(left)
        if best is None:
            return
        gain, parts, spec = best
        with contextlib.suppress(OSError):  # it would only save time
            self._asked[spec.pack_id] = put_part(self._store, spec.pack_id, parts), parts
            self._say(
                f"{self._store.study}: {counted(free, 'worker')} free: pack {spec.pack_id} is to become {parts}, "
                f"about {gain:.0f} s sooner"
            )

    def _best(self, free: int) -> tuple[float, int, PackSpec] | None:
        """The pack that gains most: by how many seconds, and as how many packs; None where none gains."""
        found = [(gain, parts, spec) for spec in self._candidates() for parts, gain in self._gains(spec, free)]
        best = max(found, default=None, key=lambda one: one[0])
        return best if best and best[0] > 0 else None

    def _candidates(self) -> list[PackSpec]:
        """Packs that run, were not asked, and whose members are all trained at a time."""
        asked = self._asked.keys() | self._whole
        running = (spec for pack_id, spec in self._ledger.running.items() if pack_id not in asked)
        return [spec for spec in running if len(spec.trials) <= self._ledger.places_of(spec)]

    def _gains(self, spec: PackSpec, free: int) -> list[tuple[int, float]]:
        """For each number of parts the seconds by which the pack is through sooner."""
        members = self._ledger.going(spec)
        left = pace.left if (pace := self._paces.get(spec.pack_id)) else None
        if left is None or len(members) < 2:
            return []
        (group,), start = priced(self._prices(), by_architecture(members), len(members))
        cost = look_seconds(self._store) + start + sum(group.once.values()) + WRITING
        shares = range(2, min(len(members), free + 1) + 1)
        return [(parts, left * (1 - group.of[-(-len(members) // parts)] / group.of[-1]) - cost) for parts in shares]
