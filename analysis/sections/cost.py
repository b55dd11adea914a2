"""Predicted against actual: what the last run of a study was to take, and what it took (prediction.json)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.data import labels
from analysis.data.study_json import part_of
from analysis.html.markup import Markup, element, join, table
from vmi.storage.checksum import unsealed
from vmi.storage.paths import AnyPath

FILE = "prediction.json"
# What is compared, how it is called on the page, and what it is.
ROWS = (
    ("wall_seconds", "wall time (s)"),
    ("worker_seconds", "all workers, wall time of their packs (s)"),
    ("cpu_seconds", "all workers, CPU time (s)"),
)


def section(folder: AnyPath) -> Markup:
    """The table of the last run; nothing where no run has left a prediction, or one that cannot be read."""
    kept = _read(folder / FILE)
    if kept is None:
        return Markup("")
    actual, predicted = part_of(kept, "actual"), part_of(kept, "predicted")
    rows = [("", [label, *_cells(predicted.get(name), actual.get(name))]) for name, label in ROWS]
    caption = " ".join(_caption(kept, predicted, actual))
    heads = ["the last run", "predicted", "actual", "actual / predicted"]
    return join([element("h2", "Predicted and actual cost"), table(heads, rows, caption, 1)])


def _caption(kept: Mapping[str, Any], predicted: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[str]:
    workers, trials = _number(kept.get("workers")) or 0, _number(kept.get("trials")) or 0
    done = _number(actual.get("trials")) or 0
    yield f"{done:.0f} of {labels.plural(round(trials), 'trial')} on {labels.plural(round(workers), 'worker')}."
    if not predicted:
        yield "Nothing was predicted: no measurement of such packs on this hardware (vmi calibrate makes one)."
        return
    yield f"Predicted from measurements on {predicted.get('hardware')} of {predicted.get('measured')}."
    if predicted.get("at_most"):
        yield "At most, as members may be stopped early."
    if done < trials:
        yield "The run was cut short or is under way, so the two are not of the same work."
    yield "Wall time has the start of Ray and of the driver in it, which is not predicted; CPU time does not depend"
    yield "on who else used the machine."


def _cells(predicted: Any, actual: Any) -> list[str]:
    foreseen, took = _number(predicted), _number(actual)
    ratio = took / foreseen if took is not None and foreseen else None
    return [labels.number(foreseen, 1), labels.number(took, 1), labels.number(ratio, 2)]


def _read(path: AnyPath) -> Mapping[str, Any] | None:
    """The file's content; None where it is absent or damaged, which `analysis.data.study_results` names."""
    try:
        kept = unsealed(path.read_bytes())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept.get("actual"), dict) else None


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
