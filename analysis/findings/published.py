"""Figures that others published, to stand beside ours, each with its source and the images it was taken on."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One published value of a metric for a preset on a data set and layout."""

    dataset: str
    layout: str
    preset: str
    metric: str
    value: float
    source: str


_VMI = "Serdega & Kim 2020 (training set)"
FIGURES = (
    Published("mnist", "n16+c10*", "vae", "accuracy_train", 0.21, _VMI),
    Published("mnist", "n16+c10*", "paper", "accuracy_train", 0.74, _VMI),
    Published("mnist", "n16+c10*", "vae", "rate_c10_nats", 0.89, _VMI),
    Published("mnist", "n16+c10*", "paper", "rate_c10_nats", 2.22, _VMI),
    Published("mnist", "n10+c10*", "joint_vae", "accuracy_majority", 0.887, "Dupont 2018"),
)


def published(dataset: str, layout: str, preset: str, metric: str) -> Published | None:
    """The published figure for exactly this, if there is one."""
    wanted = (dataset, layout, preset, metric)
    return next((figure for figure in FIGURES if figure[:4] == wanted), None)
