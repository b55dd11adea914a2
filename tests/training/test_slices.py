"""Training in slices of time: whoever looks between two reports changes no number."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from support.judges import BelowMean
from support.packs import small_pack, trial, varied

from vmi.data import dataset as data
from vmi.spec.reports import LEAST_STEPS, MOST_REPORTS, REPORTS, STEPS_BETWEEN_REPORTS, report_steps, rungs
from vmi.spec.trial import Failed
from vmi.training import checkpoint
from vmi.training.pack import Pack
from vmi.training.train import GROWTH, Stop, train


class Ticking:
    """A clock by which each look takes a second."""

    def __init__(self) -> None:
        self._at = itertools.count()

    def __call__(self) -> float:
        return float(next(self._at))


@pytest.mark.parametrize("slice_seconds", [0.5, 3.0, 100.0])
def test_slices_leave_reports_and_weights_bitwise_as_they_are(slice_seconds: float) -> None:
    digits = data.load("digits")
    whole = list(train(small_pack(3, steps=60), digits))
    sliced = list(train(small_pack(3, steps=60), digits, slice_seconds=slice_seconds, clock=Ticking()))
    assert len(sliced) > len(whole)
    assert [p.reports for p in sliced if p.reports] == [p.reports for p in whole]
    last, expected = sliced[-1].pack, whole[-1].pack
    assert last is not None and expected is not None
    for name, tensor in expected.tensors().items():
        assert torch.equal(last.tensors()[name], tensor), name


def test_a_slice_grows_to_its_seconds_and_never_fast() -> None:
    """By a clock of one second a look every slice takes one: of 8 there is room for 8 times as many steps."""
    seen = [
        p.pack.steps[0]
        for p in train(small_pack(1, steps=990), data.load("digits"), slice_seconds=8.0, clock=Ticking())
        if p.pack
    ]
    slices = [b - a for a, b in itertools.pairwise([0, *seen])]
    assert slices[:3] == [1, GROWTH, GROWTH**2]
    assert max(b / a for a, b in itertools.pairwise(slices) if a + b < 99) <= GROWTH


def test_a_member_that_breaks_leaves_at_the_next_slice() -> None:
    trials = [trial(steps=900, mi_weight=1e6, learning_rate=10.0), trial(steps=900, seed=1)]
    (*_, left) = itertools.takewhile(
        lambda p: not p.failed or p.failed.keys() == {trials[0].trial_id},
        itertools.islice(train(Pack(trials), data.load("digits"), slice_seconds=0.5, clock=Ticking()), 8),
    )
    assert left.pack is not None and left.pack.trials == (trials[1],) and not left.reports
    assert left.pack.steps[0] < report_steps(900)[0]


def test_beside_a_judge_one_that_broke_leaves_at_a_report_whatever_the_time() -> None:
    """Whoever takes its place begins then, and is judged beside the others: that must not depend on a clock."""
    trials = varied(6, steps=60)
    trials[1] = trial(steps=60, mi_weight=1e6, learning_rate=10.0, seed=9)
    told = []
    for seconds in (0.5, 2.0, float("inf")):
        judge = BelowMean()
        stop = Stop(judge, "accuracy_majority")
        run = train(Pack(trials[:3]), data.load("digits"), trials[3:], stop, slice_seconds=seconds, clock=Ticking())
        failed = [(p.failed, p.reports != ()) for p in run if p.failed]
        assert [f for f, at_report in failed if at_report] and all(at_report for _, at_report in failed)
        told.append((judge.told, [f for f, _ in failed]))
    assert told[0] == told[1] == told[2]


def test_all_that_broke_leave_at_once_even_beside_a_judge() -> None:
    pack = Pack([trial(steps=900, mi_weight=1e6, learning_rate=10.0, seed=seed) for seed in (0, 1)])
    stop = Stop(BelowMean(), "accuracy_majority")
    (*_, last) = train(pack, data.load("digits"), (), stop, slice_seconds=0.5, clock=Ticking())
    assert last.pack is None
    failed = list(last.failed.values())
    assert all(isinstance(one, Failed) and one.step < report_steps(900)[0] for one in failed) and len(failed) == 2


def test_members_of_a_restored_pack_that_are_done_are_yielded_first(tmp_path: Path) -> None:
    """They were saved before they were scored."""
    digits = data.load("digits")
    (*_, last) = train(small_pack(2, steps=20), digits)
    assert last.pack is not None
    checkpoint.save(last.pack, tmp_path / "done.pt")
    (again,) = train(checkpoint.restore(tmp_path / "done.pt")[0], digits)
    assert again.done == [0, 1] and not again.reports and again.seconds == 0


@pytest.mark.parametrize("steps", [1, 9, 20, 300, 1200, 1999, 2000, 3000, 150_000])
def test_long_trainings_report_more_often_and_judges_are_asked_where_they_were(steps: int) -> None:
    marks, least = report_steps(steps), _ten(steps)
    assert marks[-1] == steps and list(marks) == sorted(set(marks)) and set(least) <= set(marks)
    assert marks == least if steps < 2 * REPORTS * STEPS_BETWEEN_REPORTS else len(marks) > len(least)
    assert len(marks) <= MOST_REPORTS + REPORTS
    if len(marks) > len(least):
        assert min(b - a for a, b in itertools.pairwise((0, *marks))) >= max(STEPS_BETWEEN_REPORTS, LEAST_STEPS)
    assert set(rungs(steps)) <= set(least[:-1])
    assert len(report_steps(150_000)) == MOST_REPORTS and len(report_steps(300)) == REPORTS


def _ten(steps: int) -> tuple[int, ...]:
    """As every training reports at least."""
    every = max(1, steps // REPORTS)
    return (*range(every, steps - every + 1, every), steps)
