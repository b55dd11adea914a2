"""Packs of real trials, cut by what was measured, else by an estimate that is said to be one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from cost.test_measurements import GRID, costs
from cost.test_packing import trials_of

from vmi.cli.plan import Request, plan_lines
from vmi.cost.cutting import Planner, Prices
from vmi.cost.estimate import pack_seconds
from vmi.cost.measurements import kind_of
from vmi.cost.prediction import Target
from vmi.driver.options import RunOptions
from vmi.spec.resolving import resolve

BARE = Prices({}, None, "cpu")


def test_every_trial_is_in_one_pack_of_its_architecture_in_order() -> None:
    trials = trials_of([100] * 30 + [200] * 7 + [100] * 5)
    packs = Planner(lambda: BARE)(trials, 16, 3)
    assert Counter(t.trial_id for p in packs for t in p.trials) == Counter(t.trial_id for t in trials)
    for steps in (100, 200):
        own = [t.trial_id for p in packs for t in p.trials if t.config.steps == steps]
        assert own == sorted(own)
    assert all(len({t.config.architecture for t in p.trials}) == 1 and len(p.trials) <= 16 for p in packs)
    assert not Planner(lambda: BARE)([], 16, 3)


def test_what_was_measured_decides_and_fewer_members_than_were_count_as_the_fewest() -> None:
    measured = costs()
    few = measured._replace(by_kind={k: [e for e in v if e.pack_size >= 4] for k, v in measured.by_kind.items()})
    architecture, kind = resolve({}).architecture, kind_of(resolve({}).architecture, ())
    prices = Prices({}, few, "cpu")
    assert prices.seconds(architecture, kind, 2) == prices.seconds(architecture, kind, 4)
    assert prices.measured(kind, 16) and not prices.measured(kind, 17)
    assert Prices({}, measured, "cpu").seconds(architecture, kind, 2) < prices.seconds(architecture, kind, 2)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_estimate_rises_with_members_steps_and_size(device: str) -> None:
    def of(members: int, **fields: object) -> float:
        return pack_seconds(resolve(fields).architecture, (), members, device)

    assert of(1) < of(2) < of(16) < 16 * of(1), "a pack costs something once"
    assert of(4, steps=100) < of(4, steps=1000)
    assert of(4, hidden="64-32") < of(4, hidden="512-256") and of(4) < of(4, network="conv")


def test_without_a_measurement_the_plan_says_what_it_goes_by_and_no_time(tmp_path: Path) -> None:
    said = list(plan_lines(GRID, Request(results=tmp_path, target=Target("cpu", 3, "none such"))))
    (line,) = (line for line in said if line.startswith("cut for"))
    assert "the least time, by an estimate from operations and memory" in line and "cut by architecture" in line
    assert any(line.startswith("no prediction") for line in said)
    said = list(plan_lines(GRID, Request(results=tmp_path, target=Target("cpu", 3, "none such"), prefer="cost")))
    assert any("the least work" in line for line in said)


def test_another_preference_is_refused() -> None:
    (problem,) = RunOptions(prefer="speed").problems()
    assert str(problem).startswith("--prefer = 'speed'") and "cost" in str(problem) and "time" in str(problem)
