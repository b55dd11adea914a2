"""How far a study is beside its finished trials: steps, and which trial under way leads. None of it is a result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from vmi.in_flight.live import Live
from vmi.runners.ledger import Ledger
from vmi.search.leading import Leading, Race, compared_by, first
from vmi.search.searcher import baseline_of
from vmi.search.trial_count import steps_of
from vmi.spec.errors import InputError
from vmi.spec.metrics import CURVE_METRICS
from vmi.spec.trial import PackSpec, Report, Row, Suggestion, row_of
from vmi.study.conditions import active
from vmi.study.study import Study
from vmi.worker.messages import Update


class Steps(NamedTuple):
    """Steps done of all steps of a study, and how many a second where that was measured; what was found is done."""

    done: int
    all: int
    rate: float | None = None

    def __str__(self) -> str:
        rate = self.rate and (f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.2g}")
        return f"{self.done:,} of {self.all:,} steps" + (f", {rate} steps/s" if rate else "")


class UnderWay:
    """The packs of a ledger that run now, as their newest updates have them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._newest: dict[str, Update] = {}
        self._found: dict[str, float] = {}  # what packs that an earlier run began had done when this one came to them
        self.grow()

    def grow(self) -> None:
        """The ledger's study may be a larger one from here on."""
        study = self._ledger.study
        self._by, self._steps, self._baseline = compared_by(study), steps_of(study), baseline(study)

    def note(self, update: Update) -> None:
        """A pack went on; after the ledger has heard of it."""
        if (spec := self._ledger.running.get(update.pack_id)) is not None:
            self._newest[update.pack_id] = update
            if update.pack_id in self._ledger.resumed:
                self._found.setdefault(update.pack_id, self._under_way(spec))
        else:
            self._newest.pop(update.pack_id, None)

    @property
    def done(self) -> float:
        """Finished trials, the shares of those that are running, and of those that wait with a checkpoint."""
        ledger = self._ledger
        running = sum(map(self._under_way, ledger.running.values()))
        return len(ledger.outcomes.finished) + running + sum(map(ledger.kept, ledger.ready))

    @property
    def taken(self) -> float:
        """The same without what was found, stored or in checkpoints of before: what says how fast this run is."""
        return self.done - self._ledger.reused - sum(self._found.values())

    def steps(self, planned: int, rate: float | None) -> Steps | None:
        """Of the study's trials, `rate` of which are done in a second; None where their numbers of steps differ."""
        if self._steps is None or not planned:
            return None
        return Steps(round(self.done * self._steps), planned * self._steps, rate and rate * self._steps)

    def leading(self) -> str | None:
        """The leading trial under way, in words."""
        ledger = self._ledger
        found = first((u.leading for i in ledger.running if (u := self._newest.get(i)) and u.leading), self._by)
        if found is None:
            return None
        own = {t.trial_id: t for spec in ledger.running.values() for t in spec.trials}
        return said(ledger.study, self._baseline, found, row_of(own[found.trial_id]))

    def packs(self) -> list[dict[str, Any]]:
        """Each running pack, as JSON values: `gpu_bytes` only where it has any."""
        return [self._pack(pack_id, len(spec.trials)) for pack_id, spec in self._ledger.running.items()]

    def _under_way(self, spec: PackSpec) -> float:
        """The shares of its trials, added; without those that ended in an earlier run, which are full ones of them."""
        if (last := self._newest.get(spec.pack_id)) is None:
            return self._ledger.kept(spec)
        finished = sum(trial.trial_id in self._ledger.outcomes.finished for trial in spec.trials)
        return max(len(spec.trials) * last.step / max(last.steps, 1) - finished, 0.0)

    def _pack(self, pack_id: str, trials: int) -> dict[str, Any]:
        last = self._newest.get(pack_id, Update(pack_id, 0, 0))
        told = {"pack": pack_id, "trials": trials, "step": last.step, "steps": last.steps}
        return told | ({"gpu_bytes": last.gpu_bytes} if last.gpu_bytes else {})


def said(study: Study, baseline: Suggestion | None, leading: Leading, row: Row) -> str:
    """ "leading (unfinished, elbo_nats at step 12000 of 150000): -123.4 at mi_weight 4"; `row` configures the trial."""
    name = compared_by(study)[leading.rank].name
    params = point_of(study, row, baseline).params
    at = f" at {shown(params)}" if params else ""
    return f"leading (unfinished, {name} at step {leading.step} of {row['steps']}): {leading.value:.4g}{at}"


def left_steps(study: Study | None, planned: int | None, finished: int, left: Sequence[Live]) -> Steps | None:
    """Of a study that nobody drives: its finished trials and what packs have left under way."""
    steps = steps_of(study) if study else None
    if not planned or steps is None:
        return None
    return Steps(finished * steps + sum(row["step"] for live in left for row in live.trials), planned * steps)


def left_leading(study: Study, left: Sequence[Live]) -> str | None:
    """The leading trial of what packs have left under way, in words."""
    race = Race(compared_by(study))
    rows = {row["trial_id"]: row for live in left for row in live.trials}
    for live in left:
        race.note(_reports(live))
    found = race.leader()
    return said(study, baseline(study), found, rows[found.trial_id]) if found else None


def left_packs(left: Sequence[Live]) -> Iterator[str]:
    """ "left under way: pack 3f2a at step 12 of 20, 3 trials", for each."""
    for live in left:
        steps = sorted({row["step"] for row in live.trials})
        reached = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
        yield f"left under way: pack {live.pack_id} at {reached} of {live.steps}, {len(live.trials)} trials"


def _reports(live: Live) -> Iterable[Report]:
    names = [name for name in CURVE_METRICS if name in live.curves.column_names]
    rows = live.curves.select(["trial_id", "step", *names]).to_pylist()
    for row in sorted(rows, key=lambda row: row["step"]):
        yield Report(row["trial_id"], row["step"], {n: row[n] for n in names if row[n] is not None})


def baseline(study: Study) -> Suggestion | None:
    """The study's baseline; None where it has none, or one with fields that this program does not know."""
    try:
        return baseline_of(study)
    except InputError:
        return None


def point_of(study: Study, row: Row, baseline: Suggestion | None) -> Suggestion:
    """The point that a row stands for: the values that were searched there, or those of the baseline."""
    if baseline is not None and row["suggestion_id"] == baseline.suggestion_id:
        return baseline
    held = {name: row.get(name) for name in study.space}
    searched = active(held, study.conditions, held)
    return Suggestion(row["suggestion_id"], {name: value for name, value in searched.items() if value is not None})


def shown(params: Mapping[str, object]) -> str:
    """ "mi_weight 4, layout n16+c10*"."""
    return ", ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in params.items())
