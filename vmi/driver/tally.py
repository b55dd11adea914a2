"""prediction.json of one run: what was predicted at its start beside what it took, for the page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from vmi.cost import measurements
from vmi.cost.forecast import Extent, Forecast, forecast
from vmi.cost.measurements import Costs
from vmi.cost.packing import Size
from vmi.cost.planning import TIME
from vmi.cost.prediction import Target, costs_or_none
from vmi.results.store import Store
from vmi.storage.checksum import sealed
from vmi.storage.durable import LOCAL, Files, put_replacing
from vmi.study.study import Study
from vmi.worker.messages import Update

FILE, VERSION = "prediction.json", 1


class Kept:
    """prediction.json of one run: what was predicted at its start, and what it took, written at its end.

    It is for the page alone: a study is never compared by it, and no error in it stops a run.
    """

    def __init__(
        self,
        study: Study,
        finished: Sequence[str],
        pack_size: Size,
        target: Target,
        store: Store,
        prefer: str = TIME,
    ) -> None:
        self._store, self._began = store, time.monotonic()
        self._actual: dict[str, float] = {"worker_seconds": 0.0, "cpu_seconds": 0.0, "trials": 0, "packs": 0}
        extent = Extent(study, frozenset(finished), pack_size)
        costs = costs_or_none(target, store.root / measurements.FILE)
        cut = extent.planner(costs, target.device, prefer)
        found = forecast(extent, costs, target.workers, cut) if costs else None
        self._head = {
            "vmi_prediction_version": VERSION,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": target.device,
            "workers": target.workers,
            "trials": extent.left,
            "predicted": _predicted(found, costs) if found and costs else None,
        }

    def note(self, update: Update) -> None:
        if update.over:
            took = {"worker_seconds": update.wall_seconds, "cpu_seconds": update.cpu_seconds}
            for name, value in {**took, "trials": len(update.ended), "packs": 1}.items():
                self._actual[name] += value

    def write(self, files: Files = LOCAL) -> None:
        """Keep what was predicted and what it took so far."""
        actual = {**self._actual, "wall_seconds": time.monotonic() - self._began}
        try:
            put_replacing(self._store.folder, FILE, sealed({**self._head, "actual": actual}), files)
        except OSError:
            return  # a view of the run; what stops the store from being written is said where it is written


def _predicted(found: Forecast, costs: Costs) -> dict[str, Any]:
    schedule = found.schedule
    seconds = {"wall_seconds": schedule.makespan, "worker_seconds": schedule.busy, "cpu_seconds": found.cpu}
    made = {"hardware": costs.hardware, "measured": costs.measured, "packs": found.packs, "at_most": found.at_most}
    return {**seconds, "idle_share": schedule.idle_share, **made}
