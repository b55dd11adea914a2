"""What `vmi calibrate` makes of the seconds that it has measured: medians, lines, and what is left beyond the steps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vmi.cost.measurements import ZERO, Seconds
from vmi.spec.reports import LEAST_STEPS


class Stepped(NamedTuple):
    """Seconds of a step and of a capture, as `vmi.cost.measurements.Entry` has them."""

    step: Seconds
    launched: Seconds | None = None
    capture: Seconds = ZERO

    @property
    def alone(self) -> Seconds:
        """Of a step that is launched by itself."""
        return self.step if self.launched is None else self.launched


def stepped(launched: Seconds, replayed: Seconds | None, capturing: Seconds) -> Stepped:
    """Of a pack. `replayed`: None where there was no graph; `capturing`: its first LEAST_STEPS, and their graph's."""
    if replayed is None:
        return Stepped(launched)
    return Stepped(replayed, launched, beyond(capturing, replayed, LEAST_STEPS))


def beyond(whole: Seconds, step: Seconds, steps: int) -> Seconds:
    """What it took beyond so many steps."""
    return Seconds(max(0.0, whole.cpu - steps * step.cpu), max(0.0, whole.wall - steps * step.wall))


def no_more_than(most: float, step: Seconds, device: str) -> Seconds:
    """The step, of which no more than `most` counts on this device."""
    return step._replace(wall=min(step.wall, most)) if device == "cuda" else step._replace(cpu=min(step.cpu, most))


def median(times: Sequence[Seconds]) -> Seconds:
    return Seconds(statistics.median(t.cpu for t in times), statistics.median(t.wall for t in times))


def linear(measured: Mapping[int, Seconds], size: int) -> Seconds:
    """Of a pack of this size, on the line through what was measured (through the one, where packs are of one)."""
    (small, least), (large, most) = min(measured.items()), max(measured.items())
    if small == large:
        return least
    share = (size - small) / (large - small)
    slope = Seconds(max(0.0, most.cpu - least.cpu), max(0.0, most.wall - least.wall))
    return least + slope.times(share)
