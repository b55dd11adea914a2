"""What store and driver of a study say about it, from any process: counts, rate, time left, best, signs of life.

Reads only. Either may be gone: a study without a driver is what its store holds, one without a store what its driver
says.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmi.driver import lock
from vmi.driver.lock import Driver
from vmi.driver.progress import shown
from vmi.results.dropped import Drop, in_force
from vmi.results.store import Store
from vmi.search.ranking import Ranking
from vmi.search.score import restarts_of
from vmi.search.searcher import baseline_of
from vmi.spec.errors import InputError, StoreError, near, printable
from vmi.spec.goals import DIRECTIONS
from vmi.spec.metrics import METRICS
from vmi.spec.requests import in_view
from vmi.spec.trial import Outcome, Row, Suggestion, outcome_of
from vmi.spec.version import STUDY_VERSION
from vmi.spec.words import duration
from vmi.storage.durable import LOCAL, storage
from vmi.storage.paths import AnyPath
from vmi.study.conditions import active
from vmi.study.study import Study
from vmi.study.study_json import study_of

MAX_PACKS = 8
MAX_STUDIES = 1000


@dataclass(frozen=True)
class Status:
    """One study at one moment. `spec` is study.json (None: absent), `part_age` that of the newest part in seconds.

    `drops` has what was dropped by hand (`vmi.results.drop`): no trial of it counts.
    """

    name: str
    folder: AnyPath
    spec: Mapping[str, Any] | None
    rows: Sequence[Row]
    driver: Driver | None
    part_age: float | None
    drops: Sequence[Drop] = ()

    @property
    def alive(self) -> bool:
        return self.driver is not None and self.driver.alive

    @property
    def exists(self) -> bool:
        return self.spec is not None or self.driver is not None or bool(self.rows)

    @property
    def planned(self) -> int | None:
        told = (self.spec or {}).get("planned", self.driver.content.get("planned") if self.driver else None)
        return told if isinstance(told, int) else None

    @property
    def failed(self) -> int:
        return sum(row["outcome"] == "failed" for row in self.rows)

    @property
    def stopped(self) -> int:
        """How many trials a user has stopped."""
        return sum(row["outcome"] == "stopped" for row in self.rows)

    @property
    def complete(self) -> bool:
        return self.planned is not None and len(self.rows) >= self.planned


def status_of(folder: AnyPath, now: float) -> Status:
    """The state of the study in a folder, which need not be there. Raises StoreError naming a damaged file."""
    store = Store(folder.absolute().parent, folder.absolute().name)
    spec = store.read_study()
    ended = list(store.finished().values())
    rows = in_view(spec or {}, ended)
    written = storage(store.folder_of("trials")).times().items()
    ages = [now - time for name, time in written if name.startswith("part-") and name.endswith(".parquet")]
    age = max(0.0, min(ages)) if ages else None
    version = (spec or {}).get("vmi_study_version", STUDY_VERSION)
    if version != STUDY_VERSION:
        raise StoreError(f"{store.study_file}: study version {version!r}; this program reads version {STUDY_VERSION}")
    drops = in_force(store.drops(), ended)
    return Status(store.study, folder, spec, rows, lock.read(folder, now), age, drops)


def studies_in(folder: AnyPath) -> list[AnyPath]:
    """The folder itself where it is a study's, else those of its folders that are."""
    if _is_study(folder) or not folder.is_dir():
        return [folder]
    found = (folder / name for name in sorted(LOCAL.names(folder)))
    return [path for path in found if path.is_dir() and _is_study(path)][:MAX_STUDIES]


def status_lines(folder: AnyPath) -> Iterator[str]:
    """What `vmi status` prints of a study's folder or of a folder of results."""
    found = studies_in(folder)
    if not found:
        yield f"no store yet: no study in {folder}"
    for path in found:
        status = status_of(path, time.time())
        if status.exists:
            yield from map(printable, describe(status))
        else:
            yield printable(f"no store yet: {path} holds no study{_near(path)}")


def describe(status: Status) -> Iterator[str]:
    """One study in a few lines."""
    yield headline(status)
    if best := best_of(status):
        yield f"  {best}"
    if status.stopped:
        yield f"  stopped by `vmi stop`: {status.stopped} of these"
    yield from (f"  dropped: {drop}" for drop in status.drops)
    if status.part_age is not None:
        yield f"  last part: {duration(status.part_age)} ago"
    elif not status.rows:
        yield "  no part yet: no pack has been committed"
    yield f"  {driver_line(status)}"
    packs = status.driver.content.get("packs") if status.driver and status.alive else None
    for pack in packs[:MAX_PACKS] if isinstance(packs, list) else ():
        if isinstance(pack, dict):
            yield f"  running: pack {pack.get('pack')} at step {pack.get('step')} of {pack.get('steps') or '?'}" + (
                f", {pack.get('trials')} trials"
            )
    if isinstance(packs, list) and len(packs) > MAX_PACKS:
        yield f"  and {len(packs) - MAX_PACKS} packs more"


def headline(status: Status) -> str:
    """ "lambda: 37 of 50 trials finished, 1 failed, 13 running; 1.2 trials/min, 11 min left"."""
    finished = len(status.rows)
    of = f" of {status.planned}" if status.planned is not None else ""
    line = f"{status.name}: {finished}{of} trials finished, {status.failed} failed"
    if not status.alive or status.driver is None:
        return line
    line += f", {status.driver.content.get('running', 0)} running"
    rate = _rate(status)
    if not rate:
        return line
    left = max(0.0, (status.planned or 0) - _number(status.driver, "done")) / rate
    return f"{line}; {60 * rate:.3g} trials/min, {duration(left)} left"


def driver_line(status: Status) -> str:
    """Who runs it, and whether that one is alive."""
    if status.driver is None:
        return "driver: none" + ("" if status.complete else "; start the study again to train what is missing")
    if status.alive:
        return f"driver: alive, {status.driver}"
    return f"driver: dead, {status.driver}; the next start of the study takes over"


def best_of(status: Status) -> str | None:
    """The best so far with its interval, as the driver says it, or else from the rows."""
    told = status.driver.content.get("best") if status.driver and status.alive else None
    if isinstance(told, str):
        return told
    ranking = ranking_of(status)
    if ranking is None:
        return None
    word, best = ("best", ranking.best) if ranking.best else ("leading", ranking.leader)
    if best is None:
        return None
    beside = f"; {restarts_of(ranking.study).said(best.all_trials, best.value)}" if best.all_trials else ""
    return f"{word} {ranking.study.metric} {best.value} (n = {best.value.count}) at {shown(best.params)}{beside}"


def _is_ranked(spec: Mapping[str, Any]) -> bool:
    """Whether the study says by what it compares, in names of this program."""
    aims = {spec.get("metric"): spec.get("direction"), **spec.get("objectives", {})}
    named = {*aims, *spec.get("constraints", {}), *([spec["choose_by"]] if "choose_by" in spec else [])}
    known = named <= METRICS.keys()
    return known and all(direction in DIRECTIONS for direction in aims.values())


def ranking_of(status: Status) -> Ranking | None:
    """As the driver ranks, the search, then what was confirmed; None where nothing is there, or says by what."""
    spec, rows = status.spec, status.rows
    if spec is None or not rows or not _is_ranked(spec):
        return None
    study = study_of(spec)
    ranking, baseline = Ranking(study), _baseline(study)
    for chosen in _whole(rows, set(study.seeds)):
        ranking.note(_suggestion(spec, chosen[0], baseline), _by_seed(chosen))
    known = {s.suggestion_id for s in ranking.candidates()} if study.confirm else set()
    for chosen in _whole(rows, set(study.confirm_seeds)) if known else ():
        if chosen[0]["suggestion_id"] in known:
            suggestion = _suggestion(spec, chosen[0], baseline)
            ranking.note_confirmed(suggestion, _by_seed(chosen))
    return ranking


def _whole(rows: Sequence[Row], seeds: set[int]) -> Iterator[list[Row]]:
    """The rows on these seeds of every suggestion that has them all."""
    groups: dict[str, list[Row]] = {}
    for row in (row for row in rows if row["seed"] in seeds):
        groups.setdefault(row["suggestion_id"], []).append(row)
    yield from (group for group in groups.values() if {row["seed"] for row in group} == seeds)


def _by_seed(rows: Sequence[Row]) -> dict[int, Outcome]:
    return {row["seed"]: outcome_of(row) for row in rows}


def _baseline(study: Study) -> Suggestion | None:
    with contextlib.suppress(InputError):  # of a program with other fields: its row is shown as any other
        return baseline_of(study)
    return None


def _suggestion(spec: Mapping[str, Any], row: Row, baseline: Suggestion | None) -> Suggestion:
    """The point that a row stands for: the values that were searched there, or those of the baseline."""
    if baseline is not None and row["suggestion_id"] == baseline.suggestion_id:
        return baseline
    held = {name: row.get(name) for name in spec.get("space", {})}
    searched = active(held, spec.get("conditions", {}), held)
    return Suggestion(row["suggestion_id"], {name: value for name, value in searched.items() if value is not None})


def _rate(status: Status) -> float | None:
    """Trials per second, as the driver has measured it; None before there is anything to go by."""
    return (_number(status.driver, "rate") or None) if status.driver else None


def _number(driver: Driver, name: str) -> float:
    value = driver.content.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _is_study(folder: AnyPath) -> bool:
    return any((folder / name).exists() for name in ("study.json", lock.FILE, "trials"))


def _near(folder: AnyPath) -> str:
    beside = [path.name for path in studies_in(folder.absolute().parent) if path != folder.absolute().parent]
    hint = near(folder.name, beside)
    return f" ({hint})" if hint else ""
