"""Stopping members early: what the driver tells a worker, and what Optuna's pruners say of the members there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.driver.pruning import pruning_of
from vmi.results.schema import JUDGED, schema_of
from vmi.results.store import Store
from vmi.search.factory import searcher_for
from vmi.search.optuna_pruner import OptunaJudge
from vmi.spec.trial import PackSpec, Trial
from vmi.study.goal_checks import PRUNERS
from vmi.study.space import log_uniform
from vmi.study.study import Study, trials

HISTORY = [[[100, x], [200, x + 0.1], [300, x + 0.2]] for x in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]


def told(pruner: str = "median", **changes: Any) -> dict[str, Any]:
    return {"pruner": pruner, "metric": "accuracy_majority", "direction": "maximize", "history": HISTORY, **changes}


def study(**changes: Any) -> Study:
    fields = {"name": "s", "space": {"mi_weight": log_uniform(0.5, 32)}, "seeds": range(2), "searcher": "random"}
    return Study(**{**fields, "suggestions": 8, "pruner": "median", "baseline": {"mi_weight": 0}, **changes})


def test_the_median_of_earlier_members_stops_those_below_it() -> None:
    judged = OptunaJudge(told())
    assert judged.stops("low", 100, 0.3) and not judged.stops("high", 100, 0.4)
    assert judged.stops("low", 200, 0.9), "what was stopped stays stopped"
    assert judged.stops("high", 200, 0.4), "0.4 + 0.05 is the median there"


def test_where_less_is_better_the_high_ones_are_stopped() -> None:
    judged = OptunaJudge(told(direction="minimize"))
    assert not judged.stops("low", 100, 0.3) and judged.stops("high", 100, 0.4)


@pytest.mark.parametrize("history", [[], HISTORY[:4]])
def test_too_few_earlier_members_stop_nobody(history: list[Any]) -> None:
    judged = OptunaJudge(told(history=history))
    assert not any(judged.stops(name, step, -1.0) for step in (100, 200) for name in ("a", "b", "c"))


@pytest.mark.parametrize("pruner", PRUNERS)
def test_spared_members_and_values_that_are_none_are_never_stopped(pruner: str) -> None:
    judged = OptunaJudge(told(pruner, spared=["baseline"], steps=300))
    assert not any(judged.stops("baseline", step, -1.0) for step in (100, 200, 300))
    assert not judged.stops("a", 100, float("nan"))


GROUPS = [["a", "b", "c"], ["d"]]


def test_of_restarts_none_is_stopped_but_beside_one_that_goes_on_and_was_as_good() -> None:
    judged = OptunaJudge(told(groups=GROUPS))
    assert not judged.stops("b", 100, 0.1), "no other of its group is known to be as good"
    assert judged.stops("c", 100, 0.05) and not judged.stops("a", 100, 0.2)
    assert judged.stops("b", 200, 0.1) is False, "a has not come as far"
    assert not judged.stops("a", 200, 0.3) and judged.stops("b", 300, 0.1) is False
    assert not judged.stops("d", 100, -1.0), "it is alone in this pack"
    assert OptunaJudge(told()).stops("d", 100, -1.0)


def test_a_restart_that_broke_saves_no_other_from_being_the_last() -> None:
    judged = OptunaJudge(told(groups=[["a", "b"]]))
    assert not judged.stops("a", 100, 0.3) and not judged.stops("a", 150, float("nan"))
    assert not judged.stops("b", 100, 0.1)


@pytest.mark.parametrize("pruner", PRUNERS)
@given(data=st.data())
def test_no_group_is_stopped_as_a_whole_and_the_best_at_each_step_never(pruner: str, data: st.DataObject) -> None:
    """Whatever is measured, in whatever order members are asked about and break."""
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    groups = [[f"{g}-{i}" for i in range(size)] for g, size in enumerate(sizes)]
    direction = data.draw(st.sampled_from(("maximize", "minimize")))
    judged = OptunaJudge(told(pruner, direction=direction, groups=groups, steps=300))
    alive = {name for group in groups for name in group}
    better = max if direction == "maximize" else min
    for step in (60, 120, 180):
        broken = data.draw(st.sets(st.sampled_from(sorted(alive)))) if alive else set()
        for name in sorted(broken):
            judged.stops(name, step, float("nan"))
        alive -= broken
        values = {name: data.draw(st.floats(-1, 1)) for name in sorted(alive)}
        stopped = {n for n in data.draw(st.permutations(sorted(alive))) if judged.stops(n, step, values[n])}
        for group in groups:
            left = alive.intersection(group)
            assert not left or left - stopped, "one goes on"
            if left:
                best = better(values[n] for n in left)
                assert any(values[n] == best for n in left - stopped)
        alive -= stopped


def asked(pruning: dict[str, Any]) -> list[tuple[str, int]]:
    """Nine members in step; which are stopped, and where."""
    judged, stopped = OptunaJudge(pruning), []
    for step in range(30, 271, 30):
        for i in reversed(range(9)):  # successive halving compares with those who came before
            if f"m{i}" not in dict(stopped) and judged.stops(f"m{i}", step, i / 10 + step / 1000):
                stopped.append((f"m{i}", step))
    return stopped


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("history", [[], HISTORY])
def test_the_same_questions_get_the_same_answers(pruner: str, history: list[Any]) -> None:
    pruning = json.loads(json.dumps(told(pruner, history=history, steps=270)))
    assert asked(pruning) == asked(pruning)


def test_successive_halving_judges_members_of_one_pack_by_each_other() -> None:
    stopped = dict(asked(told("successive_halving", history=[], steps=270)))
    assert 3 <= len(stopped) < 9 and "m8" not in stopped, "the best is kept"


def test_successive_halving_counts_members_that_were_stopped_in_earlier_packs() -> None:
    few = OptunaJudge(told("successive_halving", history=[], steps=270))
    assert not few.stops("a", 10, 0.25), "alone it is the best"
    known = [[[10, x]] for x in (0.1, 0.2, 0.3, 0.4, 0.5)]
    many = OptunaJudge(told("successive_halving", history=[], stopped=known, steps=270))
    assert many.stops("a", 10, 0.25)


def members(made: Study, count: int) -> list[Trial]:
    return [trial for s in searcher_for(made, 0).ask(count) for trial in trials(made, s)]


def stored(folder: Path, found: list[Trial], outcomes: list[str], metric: str) -> Store:
    """The trials as finished rows with curves that have the metric; an orphan of a commit that was cut short too."""
    store, layouts = Store(folder, "s"), ("n16+c10*",)
    rows = [
        {**t.config.__dict__, "study": "s", "trial_id": t.trial_id, "suggestion_id": t.suggestion_id, "attempt": 2,
         "outcome": outcome, "step": 20, "finished_at": datetime(2026, 1, 1, 0, i, tzinfo=UTC)}
        for i, (t, outcome) in enumerate(zip(found, outcomes, strict=True))
    ]  # fmt: skip
    curves = [
        {"study": "s", "trial_id": t.trial_id, "attempt": attempt, "step": step, metric: i + step / 100}
        for i, t in enumerate(found)
        for attempt, step in ((2, 20), (2, 10), (1, 10))
    ]
    schema = schema_of("curves", layouts, "digits")
    tables = {"trials": pa.Table.from_pylist(rows, schema_of("trials", layouts, "digits"))}
    empty = schema_of("arrays", layouts, "digits").empty_table()
    store.commit(pa.Table.from_pylist(curves, schema), empty, tables["trials"])
    return store


def test_the_driver_tells_what_finished_members_went_through(tmp_path: Path) -> None:
    made = study()
    found = members(made, 4)
    outcomes = ["completed", "pruned", "failed", "completed", "pruned", "completed", "completed", "completed"]
    store = stored(tmp_path, found, outcomes, JUDGED)
    spec = PackSpec("p", tuple(members(made, 6)))
    pruning = pruning_of(made, store, spec)
    assert pruning is not None and json.loads(json.dumps(pruning)) == pruning
    assert pruning["history"] == [[[10, i + 0.1], [20, i + 0.2]] for i in (0, 3, 5, 6, 7)]
    assert pruning["stopped"] == [[[10, i + 0.1], [20, i + 0.2]] for i in (1, 4)]
    assert pruning["spared"] == [trial.trial_id for trial in spec.trials[:2]], "the baseline"
    assert (pruning["pruner"], pruning["direction"], pruning["steps"]) == ("median", "maximize", 300)


def test_training_values_of_the_same_name_are_no_history(tmp_path: Path) -> None:
    made = study(metric="distortion_nats", direction="minimize")
    store = stored(tmp_path, members(made, 1), ["completed"] * 2, "distortion_nats")
    pruning = pruning_of(made, store, PackSpec("p", tuple(members(made, 2))))
    assert pruning is not None and pruning["history"] == []


def test_nothing_is_told_where_nobody_may_be_stopped(tmp_path: Path) -> None:
    store, made = Store(tmp_path, "s"), study(confirm=1, confirm_seeds=(7, 8))
    found = searcher_for(made, 0).ask(3)
    fresh = PackSpec("p", trials(made, found[1], made.confirm_seeds))
    assert pruning_of(made, store, fresh) is None
    assert pruning_of(made, store, PackSpec("p", trials(made, found[0]))) is None, "the baseline alone"
    assert pruning_of(study(pruner=None), store, PackSpec("p", trials(made, found[1]))) is None
    assert pruning_of(made, store, PackSpec("p", trials(made, found[1]))) is not None


def test_restarts_are_judged_by_what_they_are_chosen_by_in_its_own_direction(tmp_path: Path) -> None:
    made = study(seeds=range(4), restarts=2, choose_by="distortion_nats", confirm=1, confirm_seeds=(7, 8))
    spec = PackSpec("p", tuple(members(made, 2)[3:]))  # of the baseline the last seed, and the four of a suggestion
    pruning = pruning_of(made, Store(tmp_path, "s"), spec)
    assert pruning is not None and json.loads(json.dumps(pruning)) == pruning
    assert (pruning["metric"], pruning["direction"]) == ("distortion_nats", "minimize")
    ids = [trial.trial_id for trial in spec.trials]
    assert pruning["groups"] == [ids[:1], ids[1:3], ids[3:]]
    plain = pruning_of(study(), Store(tmp_path, "s"), PackSpec("p", tuple(members(study(), 2))))
    assert plain is not None and (plain["metric"], plain["groups"]) == ("accuracy_majority", [])
