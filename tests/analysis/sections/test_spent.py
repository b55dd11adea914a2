"""What a study cost: sums of all trials, per setting and per trial, and what has no time said."""

from __future__ import annotations

from pathlib import Path

from analysis.data.axes import design
from analysis.data.study_results import open_study
from analysis.sections.spent import section
from tests.analysis.factory import store, trial
from tests.analysis.test_report import Elements


def test_failed_trials_cost_too_and_a_missing_time_is_counted(tmp_path: Path) -> None:
    rows = [trial(mi_weight=w, seed=s) | {"train_seconds": 10.0 + w} for w in (0, 4) for s in range(2)]
    rows += [trial(outcome="failed", reason="x", mi_weight=8) | {"train_seconds": 5.0}]
    rows += [trial(outcome="failed", reason="x", mi_weight=8, seed=1) | {"train_seconds": None}]
    results = open_study(store(tmp_path, rows))
    text = Elements(section(results, design(results))).text
    assert "53 s of training in 5 trials, of these 5 s in 1 failed." in text
    assert "Without a time: 1 trial." in text
    assert "14.00 ± 0.00" in text and "28.0" in text


def test_no_trial_costs_nothing(tmp_path: Path) -> None:
    results = open_study(store(tmp_path, []))
    assert section(results, design(results)) == ""


def test_restarts_that_were_not_chosen_were_paid_for(tmp_path: Path) -> None:
    rows = [trial(seed=s) | {"train_seconds": 10.0 + s} for s in range(4)]
    results = open_study(store(tmp_path, rows, space={}, restarts=2, choose_by="elbo_nats"))
    text = Elements(section(results, design(results))).text
    assert "46 s of training in 4 trials" in text and "46.0" in text.split("Seconds of every setting")[1]
