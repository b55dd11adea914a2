"""Who of a task is trained now, who waits, and where each stands: from its newest whole checkpoint on."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from vmi.in_flight.checkpoints import Checkpoints
from vmi.spec.trial import Trial
from vmi.storage.paths import AnyPath
from vmi.training import checkpoint
from vmi.training.out_of_memory import is_out_of_memory
from vmi.training.pack import Pack
from vmi.worker.messages import Ended, Task

OUT_OF_MEMORY = "out of memory at step"
# What a checkpoint holds beside the members and the queue, which is the session's.
_NOTES = ("reports", "failed", "pruned", "seconds", "seen")


class Parked(NamedTuple):
    """Members that stand in a checkpoint and wait until there is memory for them: its name, and their steps."""

    name: str
    steps: Mapping[str, int]


class Members:
    """The trials of a task that have not ended: in the pack, parked in a checkpoint, or waiting.

    stored    those of the task that have a row, which the caller adds to
    places    how many are trained at a time
    warnings  what went wrong is added there
    """

    def __init__(
        self, task: Task, kept: Checkpoints, stored: Mapping[str, Ended], places: int, warnings: list[str]
    ) -> None:
        self.places = places
        self.pack: Pack | None = None
        self.waiting: list[Trial] = []
        self.parked: deque[Parked] = deque()
        self._by_id = {trial.trial_id: trial for trial in task.pack.trials}
        self._device, self._kept, self._stored, self._warnings = task.device, kept, stored, warnings

    def resume(self) -> Mapping[str, Any]:
        """Stand as the newest whole checkpoint has it, else as at first; the session's notes in it, empty where none.

        Trials that were stored since the checkpoint are trained again, to the same end, so that a judge sees what it
        saw; they are not stored again. Those that there was no memory for are not. Where there is no memory to read a
        checkpoint, fewer places may do; one member by itself does without it, and fails only if it can't be trained.
        """
        damaged = []
        for path, found in self._kept.newest_first():
            try:
                if found is None:
                    raise checkpoint.CheckpointError(f"{path}: its content does not match the hash in its name")
                notes = self._taken(path, found)
            except Exception as error:  # a checkpoint only saves time: nothing that is wrong with one stops the pack
                if is_out_of_memory(error) and self.places > 1:
                    raise
                damaged.append(_unread(path, error))
                continue
            if damaged:
                self._warnings.append(
                    f"{'; '.join(damaged)}: the pack resumes from the previous checkpoint, {path.name}"
                )
            return notes
        found = None  # or its bytes would be held while the pack is made
        if damaged:
            self._warnings.append(f"{'; '.join(damaged)}: the pack starts over")
        self.parked = deque()
        self.waiting = [trial for trial in self._by_id.values() if trial.trial_id not in self._stored]
        self._fill()
        return {}

    def go_on(self) -> None:
        """The pack is done: those that are parked become the next one, as many as there are places."""
        self.waiting = []
        self._fill()

    def let_go(self, trial_ids: Collection[str]) -> dict[str, int]:
        """Those of these that are parked wait no longer: their steps."""
        groups = [Parked(name, {i: n for i, n in steps.items() if i not in trial_ids}) for name, steps in self.parked]
        gone = {i: n for group in self.parked for i, n in group.steps.items() if i in trial_ids}
        self.parked = deque(group for group in groups if group.steps)
        return gone

    def steps(self) -> dict[str, int]:
        """The step of each member of the pack, and of each that is parked."""
        parked = {trial_id: step for group in self.parked for trial_id, step in group.steps.items()}
        return parked | (self.pack.standing() if self.pack else {})

    def order(self) -> list[str]:
        """The trials in the order in which they are trained: those of the pack, the parked ones, those that wait."""
        standing = self.pack.standing() if self.pack else {}
        parked = [trial_id for group in self.parked for trial_id in group.steps]
        order = [*standing, *parked, *(trial.trial_id for trial in self.waiting)]
        return order or list(self._by_id)  # before anybody stands anywhere

    def notes(self, waiting: Sequence[Trial]) -> dict[str, Any]:
        """What a checkpoint of the pack says of the others, as JSON values; `waiting` are those that wait by now."""
        ids = [trial.trial_id for trial in waiting]
        return {"waiting": ids, "parked": list(self.parked), "places": self.places}

    def _taken(self, path: AnyPath, found: bytes) -> Mapping[str, Any]:
        """Stand as one checkpoint has it; the session's notes."""
        saved = checkpoint.Saved(found, str(path))
        notes = json.loads(saved.notes)
        kept = {name: notes[name] for name in _NOTES}
        waiting = [self._by_id[trial_id] for trial_id in notes["waiting"]]
        parked = [Parked(name, dict(steps)) for name, steps in notes["parked"]]
        self.places = min(self.places, notes["places"])
        self.parked = deque([Parked(path.name, saved.steps), *parked])
        self.waiting = [trial for trial in waiting if not self._ran_out(trial.trial_id)]
        self._fill(saved)
        return kept

    def _fill(self, saved: checkpoint.Saved | None = None) -> None:
        """As many of the first parked ones as there are places become the pack; `saved` is their checkpoint, if read.

        Where nobody is parked any more, the first of those that wait do.
        """
        self.pack = None
        while self.parked and self.pack is None:
            name, steps = self.parked[0]
            ids = [trial_id for trial_id in steps if not self._ran_out(trial_id)]
            if ids:
                self.pack = self._unparked(name, ids[: self.places], saved)
            self.parked.popleft()
            if rest := ids[self.places :]:
                self.parked.appendleft(Parked(name, {trial_id: steps[trial_id] for trial_id in rest}))
            saved = None
        if self.pack is None and self.waiting:
            self.pack = Pack(self.waiting[: self.places], self._device)
            self.waiting = self.waiting[self.places :]

    def _unparked(self, name: str, ids: Sequence[str], saved: checkpoint.Saved | None) -> Pack:
        if saved is not None:
            return saved.pack(self._device, ids)
        try:
            found = checkpoint.Saved(self._kept.read(name) or b"", str(self._kept.folder / name))
            return found.pack(self._device, ids)
        except Exception as error:
            if is_out_of_memory(error) and self.places > 1:
                raise
            self._warnings.append(f"{_unread(self._kept.folder / name, error)}: {len(ids)} trials start over")
        # Not while the exception is handled, on which what was read hangs.
        return Pack([self._by_id[trial_id] for trial_id in ids], self._device)

    def _ran_out(self, trial_id: str) -> bool:
        return trial_id in self._stored and self._stored[trial_id].reason.startswith(OUT_OF_MEMORY)


def _unread(path: AnyPath, error: Exception) -> str:
    """What to say of a checkpoint that could not be read."""
    if is_out_of_memory(error):
        return f"{path}: there was no memory to read it"
    return str(error) if isinstance(error, checkpoint.CheckpointError) else f"{path}: {error!r}"
