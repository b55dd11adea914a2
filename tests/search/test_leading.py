"""Which trial under way leads: by what its study can be told by, never a number that is none, never one that ended."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vmi.search.leading import ELBO, By, Leading, Race, compared_by, first
from vmi.search.trial_count import steps_of
from vmi.spec.trial import Report
from vmi.study.space import choice, uniform
from vmi.study.study import Study


def study(**given: Any) -> Study:
    return Study(**{"name": "s", "space": {"mi_weight": choice(0, 4)}, "seeds": range(4), **given})


def race(by: tuple[By, ...], *reports: Report) -> Race:
    made = Race(by)
    made.note(reports)
    return made


@pytest.mark.parametrize(
    ("given", "by"),
    [
        ({}, [ELBO]),
        (
            {"metric": "distortion_nats", "direction": "minimize"},
            [By("distortion_nats", "minimize", "distortion_nats")],
        ),
        ({"pruner": "median", "metric": "nmi"}, [By("judged", "maximize", "nmi as judged"), ELBO]),
        (
            {"pruner": "median", "restarts": 2, "choose_by": "mi_view_nats"},
            [By("judged", "maximize", "mi_view_nats as judged"), ELBO],
        ),
    ],
    ids=["elbo", "own", "judged", "judged among restarts"],
)
def test_trials_under_way_are_compared_by_what_their_curves_hold(given: dict[str, Any], by: list[By]) -> None:
    assert list(compared_by(study(**given))) == by


def test_the_newest_value_counts_and_not_a_better_one_before() -> None:
    reports = [
        Report("a", 1, {"elbo_nats": -1.0}),
        Report("b", 1, {"elbo_nats": -5.0}),
        Report("a", 2, {"elbo_nats": -9.0}),
    ]
    assert race((ELBO,), *reports).leader() == Leading("b", 1, -5.0, 0)


def test_who_has_ended_does_not_lead_and_no_number_tells_nothing() -> None:
    found = race((ELBO,), Report("a", 1, {"elbo_nats": -1.0}), Report("b", 1, {"elbo_nats": math.nan}))
    assert found.leader() == Leading("a", 1, -1.0, 0) and found.leader({"a"}) is None


def test_what_was_judged_goes_before_what_nobody_judged() -> None:
    by = (By("judged", "minimize", "x as judged"), ELBO)
    reports = [Report("a", 4, {"elbo_nats": -1.0}), Report("b", 4, {"elbo_nats": -9.0, "judged": 3.0})]
    assert race(by, *reports).leader() == Leading("b", 4, 3.0, 0)
    packs = [Leading("c", 9, 0.0, 1), Leading("b", 4, 3.0, 0), Leading("d", 4, 2.0, 0)]
    assert first(packs, by) == packs[2] and first([], by) is None


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, 300),
        ({"space": {"dataset": choice("digits", "mnist")}}, None),
        ({"fixed": {"steps": 20}}, 20),
        ({"fixed": {"preset": "authors"}}, 150_000),
        ({"space": {"preset": choice("paper", "authors")}}, None),
        ({"space": {"preset": choice("paper", "authors")}, "fixed": {"steps": 20}}, 20),
        ({"space": {"steps": choice(20, 30)}}, None),
        ({"space": {"steps": uniform(20, 30)}}, None),
        ({"fixed": {"steps": 20}, "baseline": {"steps": 30}}, None),
    ],
)
def test_a_study_says_its_steps_where_all_trials_have_the_same(given: dict[str, Any], steps: int | None) -> None:
    assert steps_of(study(**given)) == steps
