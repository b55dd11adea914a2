"""Live progress of a study: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from vmi.console import say, sayable
from vmi.errors import printable
from vmi.secrecy import redacted
from vmi.sweep.ledger import Ledger
from vmi.sweep.task import Update

PLAIN_SECONDS = 10.0


class Display:
    """Shows trials done, failed and running, the best so far with its interval, time elapsed and left.

    Where the study confirms its winner, what the search has so far is leading, not best.

    `clock` gives seconds; a terminal gets a bar that moves with the steps of running packs, anything else gets a line
    every ten seconds and whenever a pack ends.
    """

    def __init__(self, ledger: Ledger, planned: int, console: Console, clock: Callable[[], float]) -> None:
        self.ledger, self.planned, self.console, self._clock = ledger, planned, console, clock
        self._started = self._last = clock()
        self._fractions: dict[str, float] = {}
        # Wrapped where the terminal is narrow: Rich would cut off the time that is left.
        text = TextColumn("{task.description}", table_column=Column(no_wrap=False))
        self._bar = Progress(BarColumn(28), text, console=console, transient=True)
        self._task = self._bar.add_task("starting", total=max(planned, 1), completed=ledger.reused)

    def __enter__(self) -> Self:
        if self.console.is_interactive:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_interactive:
            self._bar.stop()

    def update(self, update: Update) -> None:
        """A pack went on; shows it when there is something to show."""
        self._fractions[update.pack_id] = update.step / max(update.steps, 1)
        if update.warning:
            self.warn(update.warning)
        due = self._clock() - self._last >= PLAIN_SECONDS or bool(update.ended)
        if self.console.is_interactive:  # which a dumb terminal is not
            line = sayable(self.line(), self.console.encoding)
            self._bar.update(self._task, completed=self.done, description=escape(line))
        elif due:
            self._last = self._clock()
            say(self.console, self.line())

    def warn(self, said: str) -> None:
        self.console.print(f"[yellow]warning[/]: {escape(printable(redacted(said)))}", highlight=False)

    def line(self) -> str:
        """ "37/50 trials, 0 failed, 13 running | best nmi 0.743 ± 0.029 at mi_weight 4 | 0:31 elapsed, 0:11 left"."""
        ledger = self.ledger
        counts = f"{len(ledger.failures())} failed, {ledger.in_training} running"
        parts = [f"{ledger.safe}/{self.planned} trials, {counts}"]
        word, best = ("best", ledger.best) if ledger.best else ("leading", ledger.ranking.leader)
        if best:
            parts.append(f"{word} {ledger.study.metric} {best.value} at {shown(best.params)}")
        elapsed = self._clock() - self._started
        left = self._left(elapsed)
        parts.append(f"{_clock(elapsed)} elapsed" + (f", {_clock(left)} left" if left is not None else ""))
        return printable(" | ".join(parts))

    @property
    def done(self) -> float:
        """Finished trials and the shares of those that are running."""
        running = self.ledger.running.items()
        return len(self.ledger.finished) + sum(len(s.trials) * self._fractions.get(i, 0.0) for i, s in running)

    def _left(self, elapsed: float) -> float | None:
        done = self.done - self.ledger.reused
        return elapsed * max(self.planned - self.done, 0) / done if done > 0 else None


def shown(params: Mapping[str, object]) -> str:
    """ "mi_weight 4, layout n16+c10*"."""
    return ", ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in params.items())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
