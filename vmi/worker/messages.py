"""What travels between the driver and a worker: a task there, updates and how trials ended back. Loads no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from vmi.search.leading import ELBO, By, Leading
from vmi.spec.config import FIELD_TYPES, TrialConfig
from vmi.spec.datasets import register, spec_from_json
from vmi.spec.errors import InputError, Problem
from vmi.spec.trial import Completed, Failed, Outcome, PackSpec, Pruned, Row, Stopped, Trial, metrics_of

# How often packs write a checkpoint, for tests and for nodes that may go at any moment.
CHECKPOINT_VARIABLE = "VMI_CHECKPOINT_SECONDS"
UPDATE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """Trials of one Architecture and where their results go. `layouts` are the whole study's: they fix the columns.

    own_data  of a data set of the user's own: its `spec` and the `place` where it is kept
    places   how many trials are trained at a time (None: all); the others wait for a place
    pruning  what a judge is made from (`vmi.worker.judge`; None: no trial is pruned). Its "pruner" is the name
             that the rows of pruned trials bear, its "metric" is what is judged
    exhausted  worker after worker was killed for want of memory: fewer of the next trials are trained at a time, or,
               where it is one already, that one has failed
    checkpoint_seconds  between two checkpoints, as the user has named it (None: as `vmi.worker.rhythm` has it)
    update_seconds      about how long a worker that has nothing else to say trains without an update
    compared_by  what the pack's leading trial is told by
    """

    pack: PackSpec
    root: str
    study: str
    layouts: tuple[str, ...]
    attempt: int
    device: str
    data_folder: str
    own_data: Mapping[str, Any] | None = None
    keep_models: bool = False
    places: int | None = None
    pruning: Mapping[str, Any] | None = None
    exhausted: bool = False
    checkpoint_seconds: float | None = None
    update_seconds: float = UPDATE_SECONDS
    compared_by: tuple[By, ...] = (ELBO,)

    @property
    def dataset(self) -> str:
        return self.pack.trials[0].config.dataset

    def to_json(self) -> str:
        return json.dumps(
            {
                **vars(self),
                "pack": [self.pack[0], [[*t[:2], vars(t.config)] for t in self.pack.trials], {**self.pack.retried}],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Task:
        content = json.loads(text)
        if own := content["own_data"]:
            register(spec_from_json(own["spec"]), own["place"])
        pack_id, trials, retried = content.pop("pack")
        spec = PackSpec(pack_id, tuple(Trial(i, s, TrialConfig(**config)) for i, s, config in trials), retried)
        by = tuple(By(*one) for one in content["compared_by"])
        return cls(pack=spec, **{**content, "layouts": tuple(content["layouts"]), "compared_by": by})


class Update(NamedTuple):
    """How far a pack is (the mean over its trials), what to be warned of, and in its last update how each ended.

    The last update also has the seconds that the pack took, and those of CPU time that its process has spent since the
    end of its previous pack: with the first one its start-up. `places`: how many members are trained at a time, 0 where
    that is not known. `stored`: trials that were committed since the update before. `saved`: the step from which the
    pack would go on, were its worker killed now (the mean over its trials). `leading`: which of its trials under way
    has reported the best. `gpu_bytes`: the most that the pack has held of a GPU's memory so far, 0 without one.
    `parted`: the trials of each pack that goes on with a part of this one, which is over (`vmi.worker.parting`).
    `whole`: it was asked to part, and stays as it is.
    """

    pack_id: str
    step: int
    steps: int
    ended: tuple[Ended, ...] = ()
    warning: str = ""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    places: int = 0
    stored: tuple[str, ...] = ()
    saved: int = 0
    leading: Leading | None = None
    gpu_bytes: int = 0
    parted: tuple[tuple[str, ...], ...] = ()
    whole: bool = False

    @property
    def over(self) -> bool:
        """Whether it is the pack's last."""
        return bool(self.ended or self.parted)

    @property
    def news(self) -> bool:
        """Whether it has more to say than how far the pack is; that it has begun, too."""
        return bool(self.over or self.warning or self.stored or self.whole) or not self.step

    def to_json(self) -> str:
        return json.dumps([*self[:3], [ended._asdict() for ended in self.ended], *self[4:]])

    @classmethod
    def from_json(cls, text: str) -> Update:
        fields = dict(zip(cls._fields, json.loads(text), strict=True))
        ended = tuple(Ended(**one) for one in fields["ended"])
        leading = Leading(*fields["leading"]) if fields["leading"] else None
        parted = tuple(tuple(ids) for ids in fields["parted"])
        return cls(**fields | {"ended": ended, "stored": tuple(fields["stored"]), "leading": leading, "parted": parted})


def checkpoint_seconds(environ: Mapping[str, str]) -> float | None:
    """As the environment says, None where it says nothing. Raises InputError."""
    text = environ.get(CHECKPOINT_VARIABLE)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 1e6:
        raise InputError([Problem(CHECKPOINT_VARIABLE, text, "seconds between two checkpoints, from 0 to 1000000")])
    return seconds


class Ended(NamedTuple):
    """How one trial ended, as it travels from a worker: kind, last step, final metrics and the reason of a failure."""

    trial_id: str
    outcome: str
    step: int
    metrics: Mapping[str, float]
    reason: str = ""

    def as_outcome(self) -> Outcome:
        if self.outcome == "failed":
            return Failed(self.reason, self.step)
        if self.outcome == "completed":
            return Completed(self.step, self.metrics, {})
        return (Stopped if self.outcome == "stopped" else Pruned)(self.step, self.metrics)


def is_current(row: Row) -> bool:
    """Whether this program would give the row's configuration the row's id."""
    return bool(TrialConfig(**{name: row[name] for name in FIELD_TYPES}).trial_id == row["trial_id"])


def ended_of(row: Row) -> Ended:
    """A stored row of `trials` as the way it ended."""
    return Ended(row["trial_id"], row["outcome"], int(row["step"] or 0), metrics_of(row), row["reason"] or "")
