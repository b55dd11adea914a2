"""The budget of a run: when it ends, which packs it hands out, and how many trials of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from runners.test_ledger import completed, end, ledger_of, row_of, sampled, study
from runners.test_ledger import run as run_all

from vmi.cost.packing import pack_of
from vmi.driver.budget import MAX_HOURS, Budget, Deadline, deadlines, job_end, moment, problems
from vmi.runners.choosing import Choose, first
from vmi.runners.ledger import Ledger
from vmi.search.factory import searcher_for
from vmi.spec.trial import PackSpec
from vmi.study.space import choice

STUDY = study(space={"mi_weight": choice(0, 1, 2, 4, 8)}, seeds=range(2))
NOON = datetime(2026, 11, 27, 12, 0).timestamp()


class Clock:
    """Time as the test sets it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ledger(choose: Choose = first, under_way: Sequence[PackSpec] = (), size: int = 4) -> Ledger:
    """Ten trials, of one Architecture, for one worker."""
    return Ledger(
        STUDY, searcher_for(STUDY, 0), {}, lambda ids: {}, pack_size=size, workers=lambda: 1, under_way=under_way,
        choose=choose,
    )  # fmt: skip


def sizes(packs: Sequence[PackSpec]) -> list[int]:
    return [len(spec.trials) for spec in packs]


def within(seconds: float, predicted: float | None, clock: Clock) -> Budget:
    deadline = Deadline(clock=clock, at=clock.now + seconds, name="--hours 1")
    return Budget([deadline], predicted=lambda trials: predicted)


def test_without_a_budget_every_pack_is_handed_out() -> None:
    budget = Budget()
    made = ledger(budget.choose)
    assert sum(sizes(run_all(made))) == 10 and made.done and made.over
    assert budget.ended_by(10) == "" and not budget.spent()


@pytest.mark.parametrize("trials", range(1, 11))
def test_exactly_so_many_trials_are_handed_out_as_were_asked_for(trials: int) -> None:
    budget = Budget(trials=trials)
    made = ledger(budget.choose)
    handed_out = {trial.trial_id for spec in run_all(made) for trial in spec.trials}
    assert len(handed_out) == made.handed_out == trials
    assert made.over and made.done == (trials == 10)
    assert budget.ended_by(made.handed_out) == f"--trials {trials}" and not budget.spent()


def test_more_than_there_are_is_no_end() -> None:
    made = ledger(Budget(trials=11).choose)
    run_all(made)
    assert made.done


def test_a_pack_that_comes_back_from_a_dead_worker_counts_once() -> None:
    made = ledger(Budget(trials=5).choose)
    spec = made.next_pack()
    assert spec and made.handed_out == 4
    made.give_back(spec.pack_id)
    assert not made.over and made.next_pack() == spec and made.handed_out == 4
    assert sizes(run_all(made)) == [1]


def test_a_pack_with_a_checkpoint_is_cut_only_where_no_other_is_left() -> None:
    """Cut it would begin anew: its checkpoint is that of the whole pack."""
    begun = run_all(ledger(size=6))[0]
    made = ledger(Budget(trials=3).choose, [begun])
    (spec,) = run_all(made)
    assert len(spec.trials) == 3 and not set(spec.trials) & set(begun.trials)
    assert ledger(Budget(trials=7).choose, [begun]).next_pack() == begun
    alone = run_all(ledger(size=16))[0]
    assert sizes(run_all(ledger(Budget(trials=3).choose, [alone]))) == [3]


@pytest.mark.parametrize("searcher", ["grid", "random"])
def test_runs_of_three_trials_each_train_what_one_run_does(searcher: str) -> None:
    """They resume from rows alone, as runs of programs do."""
    made = STUDY if searcher == "grid" else sampled(seeds=range(4))
    whole = {trial.trial_id for spec in run_all(ledger_of(made)) for trial in spec.trials}
    rows: list[Any] = []
    while len(rows) < len(whole):
        part = Ledger(
            made, searcher_for(made, 0), {row["trial_id"]: row for row in rows}, lambda ids: {}, pack_size=4,
            workers=lambda: 2, choose=Budget(trials=3).choose,
        )  # fmt: skip
        trained = [row_of(trial) for spec in run_all(part) for trial in spec.trials]
        assert len(trained) == min(3, len(whole) - len(rows))
        rows += trained
    assert {row["trial_id"] for row in rows} == whole and part.done


def test_what_is_not_predicted_is_handed_out_until_the_deadline() -> None:
    clock = Clock()
    budget = within(3600, None, clock)
    made = ledger(budget.choose)
    assert made.next_pack()
    clock.now += 3599
    assert made.next_pack() and not budget.spent()
    clock.now += 1
    assert budget.spent() and made.next_pack() is None and not made.over, "two packs run"
    assert budget.ended_by(made.handed_out) == "--hours 1" and not budget.is_hurried


def test_no_pack_is_handed_out_that_is_predicted_to_end_after_the_deadline() -> None:
    clock = Clock()
    budget = within(3600, 2000, clock)
    made = ledger(budget.choose)
    assert made.next_pack()
    clock.now += 1600
    assert made.next_pack()
    clock.now += 1
    assert made.next_pack() is None and not budget.spent()
    for spec in list(made.running.values()):
        end(made, spec, map(completed, spec.trials))
    assert made.over and not made.done
    assert budget.ended_by(made.handed_out) == "--hours 1: nothing that is left is predicted to end in time"


def test_one_that_was_begun_goes_on_where_no_other_ends_in_time() -> None:
    """It may be nearly through; what it is predicted to take is that of all its steps."""
    clock, whole = Clock(), run_all(ledger())
    budget = within(3600, 2500, clock)
    made = ledger(budget.choose, under_way=whole[:2])
    assert made.next_pack() == whole[0]
    clock.now += 1600
    end(made, whole[0], map(completed, whole[0].trials))
    assert made.next_pack() == whole[1]
    end(made, whole[1], map(completed, whole[1].trials))
    assert made.over and made.next_pack() is None, "the third was not begun"


def test_a_smaller_pack_that_ends_in_time_goes_before_a_larger_one_that_does_not() -> None:
    clock = Clock()
    deadline = Deadline(clock=clock, at=clock.now + 100, name="--hours 1")
    budget = Budget([deadline], predicted=lambda trials: 20.0 * len(trials))
    made = ledger(budget.choose)
    assert len((made.next_pack() or pack_of(())).trials) == 4
    clock.now += 30
    assert len((made.next_pack() or pack_of(())).trials) == 3


@pytest.mark.parametrize("predicted", [3600.001, 1e9])
def test_a_pack_that_needs_more_than_the_whole_budget_is_begun(predicted: float) -> None:
    clock = Clock()
    budget = within(3600, predicted, clock)
    made = ledger(budget.choose)
    assert made.next_pack()
    clock.now += 3000
    assert made.next_pack() and not budget.spent()


def test_the_first_pack_is_begun_even_if_time_has_passed_before_it() -> None:
    """Ray's start takes some: a pack between what was left before and after it would never be trained."""
    clock = Clock()
    made = ledger(within(3600, 3599, clock).choose)
    assert made.has_work() and not made.over
    clock.now += 10
    assert made.next_pack()


def test_the_first_of_two_ends_counts() -> None:
    clock, wall = Clock(), Clock()
    wall.now = NOON
    for hours, until, name in ((1, "13:01", "--hours 1"), (1, "12:59", "--until 12:59")):
        budget = Budget(list(deadlines(hours, until, clock, wall)), trials=4)
        assert budget.ended_by(4) == "--trials 4" and not budget.spent()
        clock.now, wall.now = clock.now + 3599, wall.now + 3599
        assert budget.spent() == name.startswith("--until")
        clock.now, wall.now = clock.now + 1, wall.now + 1
        assert budget.spent() and budget.ended_by(4) == name
        wall.now = NOON


def test_the_clock_of_hours_does_not_follow_the_wall() -> None:
    clock, wall = Clock(), Clock()
    (hours,) = deadlines(0.5, None, clock, wall)
    wall.now += 1e6
    assert hours.left() == 1800


def test_a_notice_ends_it_at_once_and_in_a_hurry() -> None:
    budget = Budget(trials=9)
    budget.notice()
    assert budget.spent() and budget.is_hurried and budget.ended_by(0) == "SIGUSR1"
    assert ledger(budget.choose).next_pack() is None


def test_a_slurm_job_s_end_less_a_minute_is_a_deadline() -> None:
    wall = Clock()
    job = job_end({"SLURM_JOB_END_TIME": "1100"}, wall)
    assert job and job.left() == 40
    budget = Budget(job=job)
    assert not budget.spent()
    wall.now = 1040
    assert budget.spent() and budget.is_hurried and budget.ended_by(0) == "the end of the Slurm job"


@pytest.mark.parametrize("told", ["", "1000", "999", "0", "-1", "soon", "1e9", "9" * 99])
def test_what_is_no_end_of_a_job_to_come_is_none(told: str) -> None:
    assert job_end({"SLURM_JOB_END_TIME": told}, Clock()) is None and job_end({}, Clock()) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12:01", 60),
        ("23:59", 11 * 3600 + 59 * 60),
        ("2026-11-27T12:01", 60),
        ("2026-11-27T12:00:01", 1),
        ("2026-11-28T12:00", 86_400),
    ],
)
def test_a_time_is_one_of_today_or_has_a_date(text: str, seconds: float) -> None:
    found = moment(text, NOON)
    assert found is not None and found - NOON == seconds and list(problems(None, text, NOON)) == []


def test_a_date_may_have_a_zone() -> None:
    assert moment("2026-11-27T18:00Z", NOON) == moment("2026-11-27T19:00+01:00", 0) == 1795802400
    assert moment("2026-11-27T18:00+0000", NOON) == 1795802400


@pytest.mark.parametrize(
    "until",
    ["25:00", "12:60", "soon", "", "9:00", "١٢:٣٠", "12:00:00:00", "2026-11-27", "2026-13-01T00:00", "18:00 ", 18, None,
     1.5, True, b"18:00", "2026-02-30T12:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_what_is_one(until: Any) -> None:
    assert moment(until, NOON) is None
    if until is not None:
        (problem,) = problems(None, until, NOON)
        assert problem.field == "--until" and "such as 18:00, or a date with one" in str(problem)


@pytest.mark.parametrize("until", ["11:59", "12:00", "00:00", "2026-11-26T12:00", "1970-01-01T00:00Z"])
def test_a_time_that_has_passed_is_refused_with_the_present_one(until: str) -> None:
    (problem,) = problems(None, until, NOON)
    assert str(problem) == f"--until = {until!r}: a time to come: it is 2026-11-27T12:00 now"


@pytest.mark.parametrize("hours", [0, -1, "ten", "2", math.nan, math.inf, 1e9, True, [1], 10**400])
def test_hours_are_a_number_above_0(hours: Any) -> None:
    (problem,) = problems(hours, None, NOON)
    assert problem.field == "--hours" and f"above 0, at most {MAX_HOURS}" in str(problem)


def test_the_ends_of_the_hours_are_allowed() -> None:
    assert not [problem for hours in (1e-9, 2, MAX_HOURS) for problem in problems(hours, None, NOON)]
