"""The W&B mirror of what a study finishes, written beside the training: nobody who trains waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from vmi.record.store import Store
from vmi.record.to_wandb import missing_runs
from vmi.sweep.run_writers import Beside, Here, Writer


class Mirror:
    """Which trials of a study are to have a run, each of which is asked for once.

    `finished`: those that had a row when the driver started. `begin` has the runs written of those of them that a
    driver before this one did not come to, where W&B's folder is there. `wait` has those written once more, by another
    process, whose writer could not: W&B's own process may die, and with it every run that its client would still write.
    """

    def __init__(self, store: Store, mode: str, writer: Writer) -> None:
        self._store, self._mode, self._writer = store, mode, writer
        self.finished: set[str] = set()
        self._asked: set[str] = set()
        self._said: list[str] = []
        self._told: set[str] = set()
        self._ended = False

    def begin(self) -> None:
        if self._mode != "disabled" and isinstance(self._store.folder, Path):
            try:
                missing = missing_runs(self.finished, self._store.folder)
            except OSError as error:
                self._said.append(f"W&B mirror: {type(error).__name__}: {error}: runs of before are as they were")
                return
            self._write(missing)

    def start(self) -> None:
        if self._mode != "disabled":
            self._writer.start()

    def note(self, trial_ids: Iterable[str]) -> list[str]:
        """These trials have a row; what to be warned of."""
        known = self._asked | self.finished
        fresh = [trial_id for trial_id in dict.fromkeys(trial_ids) if trial_id not in known]
        self._asked.update(fresh)
        if self._mode != "disabled":
            self._write(fresh)
        return self._warnings()

    def end(self) -> None:
        self._ended = True
        self._writer.end()

    def wait(self, say: Callable[[str], None]) -> None:
        self._writer.wait(say)
        if missing := self._unwritten():
            self._writer.close()
            self._said += self._writer.warnings()
            self._writer = Beside(self._store, self._mode)
            self._writer.write(missing)
            self._writer.end()
            self._writer.wait(say)

    def stop(self) -> None:
        self._writer.stop()

    def close(self) -> list[str]:
        """Stop, and wait a little for it; what to be warned of."""
        self._writer.close()
        said = self._warnings()
        if self._ended and (missing := self._writer.left()):  # else the next start is what comes anyway
            later = f"vmi mirror {self._store.folder} --online writes them"
            if isinstance(self._store.folder, Path):
                later = f"the next start, or vmi mirror {self._store.folder}, writes them"
            said.append(f"trials without a W&B run so far: {missing}; {later}")
        return said

    def _unwritten(self) -> list[str]:
        """Those that were asked for and have no run, where they would be in a folder."""
        if self._mode != "offline" or not isinstance(self._store.folder, Path) or not self._writer.left():
            return []
        with contextlib.suppress(OSError):  # said already of the first run
            return missing_runs(self._asked, self._store.folder)
        return []

    def _warnings(self) -> list[str]:
        """Each is said once: what is wrong with one run mostly is with the next ones."""
        said = [line for line in dict.fromkeys(self._said + self._writer.warnings()) if line not in self._told]
        self._said = []
        self._told.update(said)
        return said

    def _write(self, trial_ids: list[str]) -> None:
        if not trial_ids:
            return
        if isinstance(self._store.folder, Path):
            with contextlib.suppress(OSError):  # said of the first run
                # What a killed driver leaves, so that the next one knows that runs are wanted.
                (self._store.folder / "wandb").mkdir(parents=True, exist_ok=True)
        self._writer.write(trial_ids)


def mirror_of(store: Store, mode: str, local: bool) -> Mirror:
    """In this process where everything is trained in it, else in one of its own."""
    return Mirror(store, mode, Here(store, mode) if local else Beside(store, mode))
