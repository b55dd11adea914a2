"""A study as an Optuna journal: Optuna's own loader finds the trials, values and states that the searcher was told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from vmi.search.optuna_export import to_optuna
from vmi.search.optuna_searcher import OptunaSearcher
from vmi.search.score import ending
from vmi.spec.errors import InputError
from vmi.spec.trial import Suggestion, outcome_of
from vmi.study.space import at_most, choice, integers, log_uniform, uniform
from vmi.study.study import Study, trials
from vmi.study.study_json import spec, study_of

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Found = dict[str, optuna.trial.FrozenTrial]


def rows_of(
    made: Study, params: Mapping[str, Any], ends: Sequence[Mapping[str, Any]], minute: int = 0, seeds: Any = None
) -> Iterator[dict[str, Any]]:
    """Rows of `trials` of one suggestion, one for each of the first seeds."""
    for trial, ended in zip(trials(made, Suggestion("", params), seeds), ends, strict=False):
        how = {"outcome": "completed", "reason": None, "step": 20, "rate_nats": 2.0, "rate_c10_nats": 1.0} | ended
        when = {"train_seconds": 30.0, "finished_at": START + timedelta(minutes=minute, seconds=trial.config.seed)}
        yield {**vars(trial.config), **trial._asdict(), **how, **when}


def loaded(file: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(file))))


def written(made: Study, rows: Sequence[Mapping[str, Any]], folder: Path) -> optuna.Study:
    """The study as Optuna reads it back from the file, with study.json as a disk has it."""
    to_optuna(json.loads(json.dumps(spec(made, 1))), rows, folder / "study.log")
    return loaded(folder / "study.log")


def by_suggestion(study: optuna.Study) -> Found:
    return {trial.user_attrs["suggestion_id"]: trial for trial in study.trials}


SEARCH = Study(
    name="λ search",
    space={"mi_weight": log_uniform(0.5, 32), "steps": integers(20, 60, step=20), "layout": choice("n2*", "n16+c10*")},
    fixed={"dataset": "digits"},
    seeds=range(2),
    searcher="tpe",
    suggestions=9,
    metric="accuracy_majority",
    constraints={"rate_nats": at_most(3.0)},
    pruner="median",
)
POINT = {"mi_weight": 4.0, "steps": 40, "layout": "n16+c10*"}


def test_a_trial_has_the_means_over_its_seeds_params_constraints_and_attributes(tmp_path: Path) -> None:
    rows = list(rows_of(SEARCH, POINT, [{"accuracy_majority": 0.5}, {"accuracy_majority": 0.75}]))
    study = written(SEARCH, rows, tmp_path)
    (trial,) = study.trials
    assert study.study_name == "λ search" and study.metric_names == ["accuracy_majority"]
    assert (trial.state, trial.values, trial.params) == (TrialState.COMPLETE, [0.625], POINT)
    assert trial.distributions == {
        "mi_weight": FloatDistribution(0.5, 32, log=True),
        "steps": IntDistribution(20, 60, step=20),
        "layout": CategoricalDistribution(("n2*", "n16+c10*")),
    }
    assert trial.constraints == {"rate_nats": -1.0} and study.best_trial.number == 0
    told = trial.user_attrs
    assert told["trial_ids"] == [row["trial_id"] for row in rows] and told["seeds"] == 2
    assert told["interval"] == pytest.approx([0.625 - 1.5883, 0.625 + 1.5883], abs=1e-3)
    assert (told["accuracy_majority"], told["rate_nats"], told["rate_c10_nats"]) == (0.625, 2.0, 1.0)
    assert "capacity_normal_nats" not in told and "confirm_trial_ids" not in told
    assert trial.datetime_complete - trial.datetime_start == timedelta(seconds=31)


def test_states_are_those_that_the_searcher_was_told(tmp_path: Path) -> None:
    stopped, failed = {"outcome": "pruned", "step": 10}, {"outcome": "failed", "reason": "NaN", "step": 3}
    points = [{**POINT, "mi_weight": float(weight)} for weight in (1, 2, 3, 5)]
    ends = [
        [{"accuracy_majority": 0.5}, {**stopped, "accuracy_majority": 0.25}],
        [failed, failed],
        [{"accuracy_majority": 0.5}],
        [{"accuracy_majority": 0.5}, failed],
    ]
    cases = zip(points, ends, range(4), strict=True)
    rows = [row for point, end, minute in cases for row in rows_of(SEARCH, point, end, minute)]
    found = written(SEARCH, rows[::-1], tmp_path).trials
    assert [trial.params["mi_weight"] for trial in found] == [1.0, 2.0, 3.0, 5.0]
    assert [t.state.name for t in found] == ["PRUNED", "FAIL", "RUNNING", "COMPLETE"]
    assert found[0].intermediate_values == {10: 0.25} and found[3].values == [0.5]
    assert [len(trial.user_attrs["trial_ids"]) for trial in found] == [2, 2, 1, 2]
    assert [trial.user_attrs["seeds"] for trial in found] == [1, 0, 1, 1]


def test_several_objectives_conditions_and_a_confirmation(tmp_path: Path) -> None:
    made = Study(
        name="front",
        space={"layout": choice("n2*", "c10*"), "temperature": uniform(0.2, 2.0)},
        conditions={"temperature": {"layout": ("c10*",)}},
        objectives={"accuracy_majority": "maximize", "rate_nats": "minimize"},
        seeds=(0,),
        confirm=1,
        confirm_seeds=(7, 8),
    )
    plain = list(rows_of(made, {"layout": "n2*"}, [{"accuracy_majority": 0.5}]))
    both = {"layout": "c10*", "temperature": 0.5}
    rows = [*plain, *rows_of(made, both, [{"accuracy_majority": 0.75}], 1)]
    rows += rows_of(made, both, [{"accuracy_majority": 0.25}] * 2, 2, seeds=(7, 8))
    study = written(made, rows, tmp_path)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.values for trial in study.trials] == [[0.5, 2.0], [0.75, 2.0]]
    assert [trial.params for trial in study.trials] == [{"layout": "n2*"}, both]
    assert [len(trial.user_attrs.get("confirm_trial_ids", ())) for trial in study.trials] == [0, 2]


def test_a_grid_and_a_baseline_outside_of_it(tmp_path: Path) -> None:
    made = Study(name="grid", space={"mi_weight": choice(0, 4)}, seeds=(0, 1), baseline={"mi_weight": 1.0})
    rows = [
        row
        for minute, (weight, score) in enumerate([(1.0, 0.1), (0.0, 0.2), (4.0, 0.3)])
        for row in rows_of(made, {"mi_weight": weight}, [{"accuracy_majority": score}] * 2, minute)
    ]
    found = written(made, rows, tmp_path).trials
    assert [trial.params for trial in found] == [{}, {"mi_weight": 0.0}, {"mi_weight": 4.0}]
    assert [trial.values for trial in found] == [[0.1], [0.2], [0.3]]
    assert found[0].user_attrs["outside_space"] == {"mi_weight": 1.0}


def test_of_restarts_the_chosen_one_is_the_value(tmp_path: Path) -> None:
    made = Study(name="r", space={"mi_weight": choice(4)}, seeds=range(4), restarts=2, choose_by="mi_view_nats")
    ends = [{"accuracy_majority": a, "mi_view_nats": v} for a, v in ((0.1, 1.0), (0.2, 2.0), (0.4, 4.0), (0.3, 3.0))]
    (trial,) = written(made, list(rows_of(made, {"mi_weight": 4.0}, ends)), tmp_path).trials
    assert trial.values == [pytest.approx(0.3)] and trial.user_attrs["seeds"] == 2


def test_what_a_searcher_keeps_of_the_same_rows_is_the_same(tmp_path: Path) -> None:
    searcher = OptunaSearcher(SEARCH, 0)
    points = [suggestion.params for suggestion in searcher.ask(6)]
    ends = [[{"accuracy_majority": i / 8}, {"accuracy_majority": i / 4}] for i in range(6)]
    groups = [list(rows_of(SEARCH, point, end, i)) for i, (point, end) in enumerate(zip(points, ends, strict=True))]
    again = OptunaSearcher(SEARCH, 0)
    again.replay([(group[0], [outcome_of(row) for row in group]) for group in groups])
    found = written(SEARCH, [row for group in groups for row in group], tmp_path).trials
    for ours, theirs in zip(found, again._optuna.trials, strict=True):
        assert (ours.state, ours.values, ours.params) == (theirs.state, theirs.values, theirs.params)
        assert (ours.distributions, ours.constraints) == (theirs.distributions, theirs.constraints)


OUTCOMES = st.sampled_from(["completed", "failed", "pruned", "stopped"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(OUTCOMES, OUTCOMES), max_size=5))
def test_whatever_the_outcomes_optuna_reads_what_the_searcher_is_told(
    tmp_path_factory: pytest.TempPathFactory, outcomes: list[tuple[str, str]]
) -> None:
    groups = [
        list(
            rows_of(
                SEARCH, {**POINT, "mi_weight": i + 1.0}, [{"outcome": one, "accuracy_majority": 0.5} for one in two]
            )
        )
        for i, two in enumerate(outcomes)
    ]
    study = written(SEARCH, [row for group in groups for row in group], tmp_path_factory.mktemp("export"))
    found = by_suggestion(study)
    assert len(study.trials) == len(groups)
    for group in groups:
        values = ending(SEARCH, [outcome_of(row) for row in group]).values
        trial = found[group[0]["suggestion_id"]]
        assert (tuple(trial.values) if trial.state == TrialState.COMPLETE else None) == values


def test_a_file_that_exists_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    for file, said in ((tmp_path / "there", "does not exist yet"), (tmp_path / "there" / "below", "can be written")):
        with pytest.raises(InputError, match=said) as refused:
            to_optuna(spec(SEARCH, 1), [], file)
        assert refused.value.problems[0].field == "--optuna"
    assert (tmp_path / "there").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_study_json_is_read_back_as_the_study_that_it_describes() -> None:
    for made in (SEARCH, Study(name="grid", space={"mi_weight": choice(0.0, 4.0)}, seeds=(3,), baseline={"steps": 9})):
        assert spec(study_of(spec(made, 5)), 5) == spec(made, 5)
