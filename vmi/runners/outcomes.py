"""How each trial of a study stands: it ended, is lost, or has a row while its pack still runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from vmi.worker.messages import Ended

_NONE: Mapping[str, float] = {}


class Outcomes:
    """Trials by id. `retry`: those with a row of before that are trained again."""

    def __init__(self, retry: Iterable[str]) -> None:
        self.finished: dict[str, Ended] = {}  # without their metrics, which the ranking and the searcher have
        self.lost: dict[str, str] = {}
        self._committed: set[str] = set()  # that are not finished: how they ended is told once their pack ends
        self._failed: dict[str, str] = {}
        self._retry = frozenset(retry)

    def keep(self, result: Ended) -> None:
        """It has ended."""
        self.finished[result.trial_id] = result._replace(metrics=_NONE)
        self._committed.discard(result.trial_id)
        self.lost.pop(result.trial_id, None)
        if result.outcome == "failed":
            self._failed[result.trial_id] = result.reason

    def lose(self, trial_id: str, reason: str) -> None:
        """No result came back: it stays unfinished, and counts as failed in this run."""
        self.lost[trial_id] = reason

    def commit(self, trial_ids: Collection[str]) -> None:
        """They have a row, and their pack runs on."""
        self._committed |= set(trial_ids) - self.finished.keys()

    def has_row(self, trial_id: str) -> bool:
        """Whether it is known to be in the store."""
        return trial_id in self._committed or trial_id in self.finished

    @property
    def safe(self) -> int:
        """How many trials are known to be in the store, those of packs that still run included."""
        return len(self.finished) + len(self._committed)

    @property
    def stopped(self) -> frozenset[str]:
        """The finished trials that a user has stopped, in this run or before."""
        return frozenset(trial_id for trial_id, ended in self.finished.items() if ended.outcome == "stopped")

    @property
    def without_result(self) -> int:
        """How many trials were lost without a row: the next start trains them again."""
        return len(self.lost.keys() - self._committed - self._retry)

    @property
    def to_retry(self) -> int:
        """How many stored trials that have failed or were stopped are to be trained again, in all."""
        return len(self._retry)

    @property
    def retried(self) -> dict[str, str]:
        """How those of them ended that were trained by now, by trial id; "" where no result came back."""
        ended = {trial_id: result.outcome for trial_id, result in self.finished.items() if trial_id in self._retry}
        return ended | {trial_id: "" for trial_id in self.lost if trial_id in self._retry}

    @property
    def failures(self) -> Mapping[str, str]:
        """Reason by trial id, of everything that failed in this run or was found failed in the store."""
        return self._failed | self.lost
