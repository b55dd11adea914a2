"""The W&B mirror of what a study finishes, written beside the training: nobody who trains waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from vmi.mirror.run_folders import missing_runs, remove_runs
from vmi.mirror.runs import finish_service
from vmi.mirror.writers import Beside, Here, Writer
from vmi.results.store import Store
from vmi.storage.paths import local


class Mirror:
    """Which trials of a study are to have a run, each of which is asked for once.

    `finished`: those that had a row when the driver started. `begin` has the runs written of those of them that a
    driver before this one did not come to, where W&B's folder is there. `wait` has those written once more, by another
    process, that have no whole run: W&B's own process may die, and with it every run that its client would still write,
    of which some count as written.
    """

    def __init__(self, store: Store, mode: str, writer: Writer) -> None:
        self._store, self._mode, self._writer = store, mode, writer
        self._folder = local(store.folder)
        self.finished: set[str] = set()
        self._asked: set[str] = set()
        self._said: list[str] = []
        self._told: set[str] = set()
        self._saved: dict[str, int] = {}
        self._ended = False

    def begin(self) -> None:
        if self._mode != "disabled" and self._folder is not None:
            try:
                missing = missing_runs(self.finished, self._folder)
            except OSError as error:
                self._said.append(f"W&B mirror: {type(error).__name__}: {error}: earlier runs are unchanged")
                return
            self._asked.update(missing)
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

    def look(self, pack_id: str, saved: int, trial_ids: Iterable[str]) -> None:
        """A pack under way is durable up to the step `saved`: online its trials' reports are sent meanwhile."""
        if self._mode != "online" or saved <= self._saved.get(pack_id, 0):
            return
        self._saved[pack_id] = saved
        under_way = [i for i in trial_ids if i not in self._asked and i not in self.finished]
        if under_way:
            self._make_folder()
            self._writer.look(pack_id, under_way)

    def renew(self, trial_ids: Iterable[str]) -> None:
        """These trials, which have failed, are about to be tried again: their runs go, to be written of the new rows.

        So no run is ever of another row than the one that counts, whatever is killed: a missing one is written by the
        next start. Of those that `note` has seen since the driver started the run stays.
        """
        fresh = {trial_id for trial_id in trial_ids if trial_id not in self._asked}
        if not fresh or self._folder is None:
            return
        try:
            remove_runs(fresh, self._folder)
        except OSError as error:
            self._said.append(f"W&B mirror: {type(error).__name__}: {error}: a failed attempt's run is still there")

    def end(self) -> None:
        self._ended = True
        self._writer.end()

    def wait(self, say: Callable[[str], None]) -> None:
        self._writer.wait(say)
        if not self._keeps_folder():
            return
        self._close_writer()  # one that is silent, but lives, could still write a run that is looked at, and removed
        if missing := self._without_run():
            finish_service()  # where this process wrote them W&B's may be dead, which its client says with a traceback
            self._writer = Beside(self._store, self._mode)
            self._writer.write(missing)
            self._writer.end()
            self._writer.wait(say)

    def stop(self) -> None:
        self._writer.stop()

    def close(self) -> list[str]:
        """Stop, and wait a little for it; what to be warned of."""
        self._close_writer()
        missing = self._left() if self._ended else 0  # else the next start is what comes anyway
        said = self._warnings()
        if missing:
            later = f"vmi mirror {self._store.folder} --online writes them"
            if self._folder is not None:
                later = f"the next start, or vmi mirror {self._store.folder}, writes them"
            said.append(f"trials without a W&B run so far: {missing}; {later}")
        return said

    def _close_writer(self) -> None:
        self._writer.close()
        self._said += self._writer.warnings()

    def _left(self) -> int:
        """How many of those that were asked for have no run: by W&B's folder, or as the writer counts."""
        if self._keeps_folder() and (missing := self._without_run()) is not None:
            return len(missing)
        return self._writer.left()

    def _keeps_folder(self) -> bool:
        """Whether runs are kept in W&B's folder, and it is there."""
        return self._mode == "offline" and self._folder is not None and (self._folder / "wandb").is_dir()

    def _without_run(self) -> list[str] | None:
        """Those that were asked for and have no whole run in W&B's folder, now that nobody writes; None: unknown."""
        assert self._folder is not None
        try:
            return missing_runs(self._asked, self._folder)
        except OSError as error:
            self._said.append(f"W&B mirror: {type(error).__name__}: {error}: torn runs are unchanged")
            return None

    def _warnings(self) -> list[str]:
        """Each is said once: what is wrong with one run mostly is with the next ones."""
        said = [line for line in dict.fromkeys(self._said + self._writer.warnings()) if line not in self._told]
        self._said = []
        self._told.update(said)
        return said

    def _write(self, trial_ids: list[str]) -> None:
        if trial_ids:
            self._make_folder()
            self._writer.write(trial_ids)

    def _make_folder(self) -> None:
        """What a killed driver leaves, so that the next one knows that runs are wanted."""
        if self._folder is not None:
            with contextlib.suppress(OSError):  # said of the first run
                (self._folder / "wandb").mkdir(parents=True, exist_ok=True)


def mirror_of(store: Store, mode: str, local: bool) -> Mirror:
    """In this process where everything is trained in it, unless that may have to wait for a server."""
    return Mirror(store, mode, Here(store, mode) if local and mode != "online" else Beside(store, mode))
