"""Live progress of a study: a bar on a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import html
import sys
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from vmi.monitor.under_way import UnderWay, shown
from vmi.process.console import say, sayable
from vmi.runners.ledger import Ledger
from vmi.spec.errors import printable
from vmi.spec.redaction import redacted
from vmi.spec.words import duration
from vmi.worker.messages import Update

PLAIN_SECONDS, CELL_SECONDS = 10.0, 1.0
# Time left is said once steps were seen for so long, and goes by the last so many seconds, or the last half of all.
MEASURED_SECONDS, RECENT_SECONDS = 5.0, 60.0


class Display:
    """Shows trials done, failed and running, steps done and their speed, the best so far with its interval, which trial
    under way leads, time elapsed and left.

    Where the study confirms its winner, what the search has so far is leading, not best.

    `clock` gives seconds; a terminal gets a bar that moves with the steps of running packs, anything else gets a line
    every ten seconds and whenever a pack ends.
    """

    def __init__(self, ledger: Ledger, planned: int, console: Console, clock: Callable[[], float]) -> None:
        self.ledger, self.planned, self.console, self._clock = ledger, planned, console, clock
        self._started = self._last = clock()
        self.under_way = UnderWay(ledger)
        self._seen: deque[tuple[float, float]] = deque()  # when, and how much of the study was done then
        self._first: float | None = None
        # Wrapped where the terminal is narrow: Rich would cut off the time that is left.
        text = TextColumn("{task.description}", table_column=Column(no_wrap=False))
        self._bar = Progress(BarColumn(28), text, console=console, transient=True)
        self._task = self._bar.add_task("starting", total=max(planned, 1), completed=ledger.reused)
        self._cell: NotebookBar | None = None

    def __enter__(self) -> Self:
        if self.console.is_interactive:
            self._bar.start()
        elif in_notebook():
            self._cell = NotebookBar(self.planned)
            self._cell.show(self.done, "starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_interactive:
            self._bar.stop()
        elif self._cell is not None:
            self._cell.show(self.done, self.line())

    def update(self, update: Update) -> None:
        """A pack went on; shows it when there is something to show."""
        self.under_way.note(update)
        if update.warning:
            self.warn(update.warning)
        self._measure()
        due = self._clock() - self._last >= (CELL_SECONDS if self._cell else PLAIN_SECONDS) or update.over
        if self.console.is_interactive:  # which a dumb terminal is not
            line = sayable(self.line(), self.console.encoding)
            self._bar.update(self._task, completed=self.done, description=escape(line))
        elif due:
            self._last = self._clock()
            if self._cell is not None:
                self._cell.show(self.done, self.line())
            else:
                say(self.console, self.line())

    def grow(self, planned: int) -> None:
        """The study has so many trials from here on."""
        self.planned = planned
        self.under_way.grow()
        self._bar.update(self._task, total=max(planned, 1))

    def warn(self, said: str) -> None:
        self.console.print(f"[yellow]warning[/]: {escape(printable(redacted(said)))}", highlight=False)

    def line(self) -> str:
        """ "37/50 trials, 0 failed, 13 running | 11,750 of 15,000 steps, 300 steps/s | best nmi 0.743 ± 0.029 at
        mi_weight 4 | leading (unfinished, elbo_nats at step 150 of 300): -71.3 at mi_weight 8 | 31 s elapsed, 9 s left"
        """
        ledger = self.ledger
        counts = f"{len(ledger.outcomes.failures)} failed, {ledger.in_training} running"
        parts = [f"{ledger.outcomes.safe}/{self.planned} trials, {counts}"]
        told = (self.under_way.steps(self.planned, self.rate), best_of(ledger), self.under_way.leading())
        parts += [str(one) for one in told if one is not None]
        elapsed = self._clock() - self._started
        left = self._left()
        parts.append(f"{duration(elapsed)} elapsed" + (f", {duration(left)} left" if left is not None else ""))
        return printable(" | ".join(parts))

    @property
    def done(self) -> float:
        """Finished trials and the shares of those that are running."""
        return self.under_way.done

    @property
    def rate(self) -> float | None:
        """Trials a second, by the steps that were taken lately; None where there is too little to go by."""
        if not self._seen:
            return None
        (began, before), now = self._seen[0], self._clock()
        taken = self.under_way.taken - before
        return taken / (now - began) if taken > 0 and now - began >= MEASURED_SECONDS else None

    def _measure(self) -> None:
        """Keep how much is taken by now, once a step was taken; what is older than counts is let go of."""
        now, taken = self._clock(), self.under_way.taken
        if taken <= 0 or (self._seen and now - self._seen[-1][0] < 1):
            return
        self._seen.append((now, taken))
        self._first = self._first if self._first is not None else now
        recent = max(RECENT_SECONDS, (now - self._first) / 2)
        while len(self._seen) > 2 and now - self._seen[1][0] >= recent:
            self._seen.popleft()

    def _left(self) -> float | None:
        rate, left = self.rate, self.planned - self.done
        return left / rate if rate and left > 0 else None


def best_of(ledger: Ledger) -> str | None:
    """ "best nmi 0.743 ± 0.029 at mi_weight 4"; "leading ..." where a winner is still to be confirmed."""
    ranking = ledger.ranking
    word, best = ("best", ranking.best) if ranking.best else ("leading", ranking.leader)
    if best is None:
        return None
    chosen = f" (chosen of {ledger.study.restarts}; all trials {best.all_trials})" if best.all_trials else ""
    return f"{word} {ledger.study.metric} {best.value}{chosen} at {shown(best.params)}"


def in_notebook() -> bool:
    """Whether the kernel of a notebook runs this process; loads nothing."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class NotebookBar:
    """A bar and a line in the output of a notebook's cell, by what every front end shows: HTML that is replaced."""

    def __init__(self, total: int) -> None:
        self._total, self._handle = total, None

    def show(self, done: float, line: str) -> None:
        """So much is done; the line beside it."""
        from IPython.display import HTML, display

        bar = f'<progress max="{max(self._total, 1)}" value="{done:.3f}" style="width: 16em"></progress>'
        made = HTML(f"{bar} {html.escape(line)}")  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(made, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(made)
