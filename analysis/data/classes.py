"""The classes of a study's images, as its rows tell: whether there are any, and whether one outweighs the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmi.spec.datasets import find
from vmi.spec.trial import Row

# Times the share that each of as many classes would have: beyond it an accuracy is read beside that of one answer.
UNBALANCED = 1.5
SHARE = "majority_class_share"


def unlabelled(row: Row) -> bool:
    """Whether a trial's images have no labels: by its data set, or as categories were counted, not scored."""
    spec = find(row.get("dataset"))
    if spec:
        return not spec.is_labelled
    return row.get("categories_used") is not None and row.get("accuracy_majority") is None


def unbalanced(rows: Iterable[Row]) -> bool:
    """Whether always saying one class is right 1.5 times as often as chance (0.75 of two classes or of one).

    Of a data set that this process does not know, the number of classes is not known: its share is always shown.
    """
    return any(_outweighs(row) for row in rows)


def with_share(metrics: Sequence[str], rows: Iterable[Row]) -> list[str]:
    """These metrics, where classes are unbalanced with the majority class's share beside the accuracy."""
    if "accuracy_majority" not in metrics or not unbalanced(rows):
        return list(metrics)
    place = metrics.index("accuracy_majority") + 1
    return [*metrics[:place], SHARE, *(name for name in metrics[place:] if name != SHARE)]


def _outweighs(row: Row) -> bool:
    share, spec = row.get(SHARE), find(row.get("dataset"))
    return share is not None and (spec is None or share > UNBALANCED / max(2, spec.classes))
