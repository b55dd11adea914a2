"""Trials, outcomes and recorders over real files, as small as may be; a seam that can be made to fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.spec.arrays import is_picture, layout_shapes
from vmi.spec.layout import parse
from vmi.spec.resolving import resolve
from vmi.spec.trial import Completed, Cost, Outcome, Report, Trial
from vmi.storage.durable import Files

OPERATIONS = ("make_folder", "create", "write", "sync", "close", "link", "replace", "unlink", "sync_folder")


class Hooked(Files):
    """Real file operations with a call before and after each one that changes something."""

    def __init__(self, before: Callable[[str], None], after: Callable[[str], None] = lambda name: None) -> None:
        self.before = before
        self.after = after


def _hooked(name: str) -> Callable[..., Any]:
    real = getattr(Files, name)

    def operation(self: Hooked, *arguments: Any) -> Any:
        self.before(name)
        result = real(self, *arguments)
        self.after(name)
        return result

    return operation


for _name in OPERATIONS:
    setattr(Hooked, _name, _hooked(_name))


class At:
    """Raises an OSError at the n-th operation, once, so that undoing works. `name` is what it hit."""

    def __init__(self, number: int, error: int) -> None:
        self.left = number
        self.error = error
        self.name: str | None = None

    def __call__(self, name: str) -> None:
        self.left -= 1
        if self.left == -1:
            self.name = name
            raise OSError(self.error, "injected")


class Lab:
    """What the tests of this folder build their stores from."""

    layouts = ("n16+c10*", "n2*+n30")
    now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    Hooked = Hooked
    At = At

    def trial(self, **fields: Any) -> Trial:
        config = resolve(fields)
        return Trial(config.trial_id, config.suggestion_id, config)

    def arrays(self, layout: str) -> dict[str, np.ndarray]:
        """Arrays whose neighbouring values differ, so that no transposition goes unseen."""
        found = {}
        for name, shape in layout_shapes(parse(layout), "digits").items():
            kind = np.uint8 if is_picture(name) else np.int32
            found[name] = (np.arange(np.prod(shape)) % 251).astype(kind).reshape(shape)
        return found

    def completed(self, trial: Trial, **metrics: float) -> Completed:
        known = {"rate_nats": 2.5, "accuracy_majority": 0.75}
        return Completed(trial.config.steps, known | metrics, self.arrays(trial.config.layout))

    def cost(self, attempt: int = 1) -> Cost:
        return Cost(1.5, "pack-a", 2, attempt, "cpu", "torch 2")

    def recorder(self, store: Store, attempt: int = 1) -> ParquetRecorder:
        return ParquetRecorder(store, self.layouts, "digits", attempt, lambda: self.now)

    def buffered(self, store: Store, outcomes: Mapping[Trial, Outcome], attempt: int = 1) -> ParquetRecorder:
        """A recorder that holds three reports and the outcome of each trial, nothing committed."""
        recorder = self.recorder(store, attempt)
        for trial, outcome in outcomes.items():
            for step in (10, 20, 30):
                recorder.write(Report(trial.trial_id, step, {"loss_nats": 100 / step, "rate_nats": step / 10}))
            recorder.finish(trial, outcome, self.cost(attempt))
        return recorder

    def record(self, store: Store, outcomes: Mapping[Trial, Outcome], attempt: int = 1) -> list[str]:
        """As a worker does it; the ids that were acknowledged."""
        return list(self.buffered(store, outcomes, attempt).commit().ids)

    def tree(self, root: Path) -> dict[str, bytes | None]:
        """What lies below a folder: the bytes of files, None for folders."""
        return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in root.rglob("*")}
