"""What one run may take: hours, a time, trials, the Slurm job that it is part of; whichever comes first ends it.

Pure: clocks, environment and predictions are passed in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from vmi.runners.choosing import Waiting
from vmi.spec.errors import Problem
from vmi.spec.trial import Trial

# The exit code of a run whose budget is spent before its study is complete.
SPENT = 4
MAX_HOURS = 10_000
# In its job's last so many seconds a run writes checkpoints and ends.
MARGIN_SECONDS = 60.0
# The end of the job in seconds since 1970, as Slurm tells it.
JOB_END_VARIABLE = "SLURM_JOB_END_TIME"
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}")
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:?[0-9]{2})?")


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """`at` this time of `clock`, both in seconds; `name` is what has set it."""

    clock: Callable[[], float]
    at: float
    name: str

    def left(self) -> float:
        """Seconds until then, below 0 once it is past."""
        return self.at - self.clock()


class Budget:
    """What one run may take, and what has ended it.

    `predicted` gives the seconds of a pack of these trials, None where nothing like it was measured. `job` is the end
    of the job that the run is part of: that of all it has, so that nothing is waited for.
    """

    def __init__(
        self,
        deadlines: Sequence[Deadline] = (),
        *,
        job: Deadline | None = None,
        trials: int | None = None,
        predicted: Callable[[Sequence[Trial]], float | None] = lambda trials: None,
    ) -> None:
        self._deadlines, self.job, self._trials = (*deadlines, *([job] if job else ())), job, trials
        self._predicted = predicted
        self._whole = math.inf
        self._ended_by = ""
        self.is_hurried = False

    @property
    def has_deadline(self) -> bool:
        """Whether the run ends at some time."""
        return bool(self._deadlines)

    def notice(self) -> None:
        """Whoever runs this run says that its time is nearly over."""
        self._end("SIGUSR1", hurried=True)

    def spent(self) -> bool:
        """Whether what runs is to stop now."""
        for deadline in self._deadlines:
            if not self._ended_by and deadline.left() <= 0:
                self._end(deadline.name, hurried=deadline is self.job)
        return bool(self._ended_by)

    def choose(self, waiting: Iterable[Waiting], handed_out: int) -> tuple[int, int] | None:
        """The first pack that ends in time, cut to the trials that are left: its index and size; None for none.

        Where none does, one that was begun goes on: it may be nearly through, and has a checkpoint at the deadline.
        A pack of an earlier run is cut, and loses its checkpoint by that, only where no other one is left. One that
        takes more than all the time that there was at the first pack would never be trained: it is handed out.
        """
        if self.spent():
            return None
        left = min((deadline.left() for deadline in self._deadlines), default=math.inf)
        self._whole = self._whole if handed_out else left
        late: tuple[int, int] | None = None
        cut: tuple[int, int] | None = None
        for index, pack in enumerate(waiting):
            count = self._allowed(pack, handed_out)
            is_whole = count == len(pack.missing)
            if not count:
                continue
            if not self._ends_within(left, pack.missing[:count]):
                late = late or ((index, count) if pack.begun and is_whole else None)
            elif is_whole or not pack.begun:
                return index, count
            else:
                cut = cut or (index, count)
        return late or cut

    def ended_by(self, handed_out: int) -> str:
        """What has ended a run that has handed out so many trials, "" where nothing of this has."""
        if self.spent():
            return self._ended_by
        if self._trials is not None and handed_out >= self._trials:
            return f"--trials {self._trials}"
        if nearest := min(self._deadlines, key=Deadline.left, default=None):
            return f"{nearest.name}: nothing that is left is predicted to end in time"
        return ""

    def _allowed(self, pack: Waiting, handed_out: int) -> int:
        """How many of the pack's trials may be trained: those that were handed out before count once."""
        if self._trials is None:
            return len(pack.missing)
        again = len(pack.missing) - pack.new
        return min(len(pack.missing), again + self._trials - handed_out)

    def _ends_within(self, left: float, trials: Sequence[Trial]) -> bool:
        if left == math.inf:
            return True
        seconds = self._predicted(trials)
        return seconds is None or seconds <= left or seconds > self._whole

    def _end(self, name: str, hurried: bool) -> None:
        if not self._ended_by:
            self._ended_by, self.is_hurried = name, hurried


def deadlines(
    hours: float | None, until: str | None, clock: Callable[[], float], wall: Callable[[], float]
) -> Iterator[Deadline]:
    """Those that a user has set, from now on. `clock` never jumps, `wall` has seconds since 1970."""
    if hours is not None:
        yield Deadline(clock=clock, at=clock() + 3600 * hours, name=f"--hours {hours:g}")
    if until is not None and (at := moment(until, wall())) is not None:
        yield Deadline(clock=wall, at=at, name=f"--until {until}")


def job_end(environ: Mapping[str, str], wall: Callable[[], float]) -> Deadline | None:
    """A minute before the end of the Slurm job that this process is part of; of one that is over nothing counts."""
    told = environ.get(JOB_END_VARIABLE, "")
    if not re.fullmatch(r"[0-9]{1,15}", told) or int(told) <= wall():
        return None
    return Deadline(clock=wall, at=int(told) - MARGIN_SECONDS, name="the end of the Slurm job")


def moment(text: object, now: float) -> float | None:
    """The seconds since 1970 of "18:00" (today, in local time) or "2026-11-27T18:00+01:00"; None where it is neither.

    >>> moment("2026-11-27T18:00Z", 0.0)
    1795802400.0
    """
    if not isinstance(text, str):
        return None
    today = f"{datetime.fromtimestamp(now):%Y-%m-%d}"
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(f"{today}T{text}").timestamp()
        return datetime.fromisoformat(text).timestamp() if _DATE_TIME.fullmatch(text) else None
    except (ValueError, OverflowError, OSError):  # 25:00, or a year that this system has no seconds for
        return None


def problems(hours: object, until: object, now: float) -> Iterator[Problem]:
    """What is wrong with the times that a user has set; `now` in seconds since 1970."""
    is_number = isinstance(hours, int | float) and not isinstance(hours, bool)
    if hours is not None and not (is_number and 0 < hours <= MAX_HOURS):  # type: ignore[operator]
        yield Problem("--hours", hours, f"a number above 0, at most {MAX_HOURS}")
    if until is None:
        return
    at = moment(until, now)
    allowed = "a time of today, such as 18:00, or a date with one, such as 2026-11-27T18:00"
    if at is None:
        yield Problem("--until", until, allowed)
    elif at <= now:
        yield Problem("--until", until, f"a time to come: it is {datetime.fromtimestamp(now):%Y-%m-%dT%H:%M} now")
