"""What store and driver of a study say about it, from any process: counts, rate, time left, best, signs of life.

Reads only. Either may be gone: a study without a driver is what its store holds, one without a store what its driver
says.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vmi.in_flight.live import Live, read_live
from vmi.in_flight.steering import StopRequest, StopRequests
from vmi.monitor import lock
from vmi.monitor.lock import Driver
from vmi.monitor.ranked import ranking
from vmi.monitor.under_way import Steps, left_leading, left_packs, left_steps, shown
from vmi.results.dropped import Drop, in_force
from vmi.results.store import Store
from vmi.search.ranking import Ranking
from vmi.search.score import restarts_of
from vmi.spec.errors import InputError, Problem, StoreError, near, printable
from vmi.spec.goals import DIRECTIONS
from vmi.spec.metrics import METRICS
from vmi.spec.requests import in_view
from vmi.spec.trial import Row
from vmi.spec.version import STUDY_VERSION
from vmi.spec.words import duration
from vmi.storage.durable import LOCAL, storage
from vmi.storage.paths import AnyPath, file_on
from vmi.study.study import Study
from vmi.study.study_json import study_of

MAX_PACKS = 8
MAX_STUDIES = 1000


@dataclass(frozen=True)
class Status:
    """One study at one moment. `spec` is study.json (None: absent), `part_age` that of the newest part in seconds.

    `drops` has what was dropped by hand (`vmi.results.drop`): no trial of it counts. `left` has what packs have left
    under way, where no driver is alive; one that is tells of them itself. `stops` are the requests to stop in force.
    """

    name: str
    folder: AnyPath
    spec: Mapping[str, Any] | None
    rows: Sequence[Row]
    driver: Driver | None
    part_age: float | None
    drops: Sequence[Drop] = ()
    left: Sequence[Live] = ()
    stops: Sequence[StopRequest] = ()

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
    def study(self) -> Study | None:
        """What was asked for; None where that is not there, or says in other names than this program's."""
        return study_of(self.spec) if self.spec is not None and _is_ranked(self.spec) else None

    @property
    def complete(self) -> bool:
        return self.planned is not None and len(self.rows) >= self.planned


def status_of(folder: AnyPath, now: float) -> Status:
    """The state of the study in a folder, which need not be there.

    Raises InputError where a file is in its place, and StoreError naming a damaged one.
    """
    if path := file_on(folder):
        raise InputError(
            [Problem("folder", str(folder), "a study's results, or a folder of them", f"{path} is a file")]
        )
    store = Store(folder.absolute().parent, folder.absolute().name)
    spec = store.read_study()
    finished = store.finished()
    rows = in_view(spec or {}, list(finished.values()))
    written = storage(store.folder_of("trials")).times().items()
    ages = [now - time for name, time in written if name.startswith("part-") and name.endswith(".parquet")]
    age = max(0.0, min(ages)) if ages else None
    version = (spec or {}).get("vmi_study_version", STUDY_VERSION)
    if version != STUDY_VERSION:
        raise StoreError(f"{store.study_file}: study version {version!r}; this program reads version {STUDY_VERSION}")
    drops = in_force(store.drops(), finished.values())
    driver = lock.read(folder, now)
    left = () if driver is not None and driver.alive else _in_view(spec or {}, read_live(store, finished))
    return Status(store.study, folder, spec, rows, driver, age, drops, tuple(left), StopRequests(store).checked())


def _in_view(spec: Mapping[str, Any], left: Iterable[Live]) -> Iterator[Live]:
    for live in left:
        if trials := in_view(spec, live.trials):
            yield replace(live, trials=tuple(trials))


def studies_in(folder: AnyPath) -> list[AnyPath]:
    """The folder itself where it is a study's, else those of its folders that are."""
    if _is_study(folder) or not folder.is_dir():
        return [folder]
    found = (folder / name for name in sorted(LOCAL.names(folder)))
    return [path for path in found if path.is_dir() and _is_study(path)]


def status_lines(folder: AnyPath) -> Iterator[str]:
    """What `vmi status` prints of a study's folder or of a folder of results.

    Raises StoreError with what is damaged, once all else is said.
    """
    found, damage = studies_in(folder), list[str]()
    if not found:
        yield f"no store yet: no study in {folder}"
    for path in found[:MAX_STUDIES]:
        try:
            status = status_of(path, time.time())
        except StoreError as error:
            damage.append(str(error))
            continue
        if status.exists:
            yield from map(printable, describe(status))
        else:
            yield printable(f"no store yet: {path} holds no study{_near(path)}")
    if len(found) > MAX_STUDIES:
        yield f"and {len(found) - MAX_STUDIES} studies more"
    if damage:
        raise StoreError("\n".join(damage))


def describe(status: Status) -> Iterator[str]:
    """One study in a few lines."""
    yield headline(status)
    yield from (f"  {told}" for told in (best_of(status), leading_of(status)) if told)
    if status.stopped:
        yield f"  stopped by `vmi stop`: {status.stopped} of these"
    yield from (f"  in force: trials where {stop.where} are {stop}" for stop in status.stops)
    yield from (f"  dropped: {drop}" for drop in status.drops)
    if status.part_age is not None:
        yield f"  last part: {duration(status.part_age)} ago"
    elif not status.rows:
        yield "  no part yet: no pack has been committed"
    yield f"  {driver_line(status)}"
    packs = [_running(pack) for pack in _packs(status)] or list(left_packs(status.left))
    yield from (f"  {pack}" for pack in packs[:MAX_PACKS])
    if len(packs) > MAX_PACKS:
        yield f"  and {len(packs) - MAX_PACKS} packs more"


def _packs(status: Status) -> list[Mapping[str, Any]]:
    """The running packs, as a living driver tells of them."""
    packs = status.driver.content.get("packs") if status.driver and status.alive else None
    return [pack for pack in packs if isinstance(pack, dict)] if isinstance(packs, list) else []


def _running(pack: Mapping[str, Any]) -> str:
    line = f"running: pack {pack.get('pack')} at step {pack.get('step')} of {pack.get('steps') or '?'}"
    held = pack.get("gpu_bytes")
    memory = f", up to {held / 1e9:.1f} GB of GPU memory" if isinstance(held, int | float) and held else ""
    return f"{line}, {pack.get('trials')} trials{memory}"


def headline(status: Status) -> str:
    """ "lambda: 37 of 50 trials finished, 1 failed, 13 running; 11,750 of 15,000 steps, 300 steps/s; 11 min left".

    Where no driver is alive and packs were cut short, the steps that are safe.
    """
    finished = len(status.rows)
    of = f" of {status.planned}" if status.planned is not None else ""
    line = f"{status.name}: {finished}{of} trials finished, {status.failed} failed"
    steps = steps_done(status)
    if not status.alive or status.driver is None:
        return f"{line}; {steps}" if status.left and steps else line
    line += f", {status.driver.content.get('running', 0)} running" + (f"; {steps}" if steps else "")
    rate = _rate(status)
    if not rate:
        return line
    left = max(0.0, (status.planned or 0) - _number(status.driver, "done")) / rate
    return f"{line}; {60 * rate:.3g} trials/min, {duration(left)} left"


def steps_done(status: Status) -> Steps | None:
    """Steps done of all, as a living driver says, else those that are safe; None where trials differ in them."""
    if not status.alive or status.driver is None:
        return left_steps(status.study, status.planned, len(status.rows), status.left)
    told = status.driver.content.get("steps")
    if not isinstance(told, list) or len(told) != 3 or not all(isinstance(n, int) for n in told[:2]):
        return None
    return Steps(told[0], told[1], told[2] if isinstance(told[2], int | float) else None)


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


def leading_of(status: Status) -> str | None:
    """Which trial under way leads, said to be unfinished: by the driver, or by what packs have left."""
    if status.alive and status.driver is not None:
        told = status.driver.content.get("leading")
        return told if isinstance(told, str) else None
    return left_leading(status.study, status.left) if status.study else None


def _is_ranked(spec: Mapping[str, Any]) -> bool:
    """Whether the study says by what it compares, in names of this program."""
    aims = {spec.get("metric"): spec.get("direction"), **spec.get("objectives", {})}
    named = {*aims, *spec.get("constraints", {}), *([spec["choose_by"]] if "choose_by" in spec else [])}
    known = named <= METRICS.keys()
    return known and all(direction in DIRECTIONS for direction in aims.values())


def ranking_of(status: Status) -> Ranking | None:
    """As the driver ranks; None where nothing is there, or says by what."""
    return ranking(status.study, status.rows) if status.study is not None and status.rows else None


def _rate(status: Status) -> float | None:
    """Trials per second, as the driver has measured it; None before there is anything to go by."""
    return (_number(status.driver, "rate") or None) if status.driver else None


def _number(driver: Driver, name: str) -> float:
    value = driver.content.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _is_study(folder: AnyPath) -> bool:
    try:
        trials = folder / "trials"
        if any((folder / name).exists() for name in ("study.json", lock.FILE)):
            return True
        return trials.exists() and not _is_study(trials)  # else one that was named so
    except PermissionError:  # somebody else's, beside one's own
        return False


def _near(folder: AnyPath) -> str:
    beside = [path.name for path in studies_in(folder.absolute().parent) if path != folder.absolute().parent]
    hint = near(folder.name, beside)
    return f" ({hint})" if hint else ""
