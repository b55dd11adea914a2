"""Restarts from a study to its page: the trial chosen without labels stands for its group, wherever a mean is taken."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.commands import here
from support.holding import Hold
from support.runs import OFF, Run, inside, tables, trained

import vmi
from analysis.data.settings import paired_gain, settings
from analysis.data.study_results import open_study
from tests.runners.test_ledger import all_trials, failed, ledger_of, row_of
from tests.runners.test_ledger import run as run_ledger
from vmi.driver.summary import outcome_lines
from vmi.results.store import Store
from vmi.spec.intervals import interval
from vmi.spec.trial import Trial
from vmi.worker.messages import Ended

STUDY = vmi.Study(
    name="again",
    fixed={"dataset": "digits", "layout": "n4+c10*", "steps": 20},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(4),
    restarts=2,
    baseline={"mi_weight": 0},
)
METRIC = "accuracy_majority"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> vmi.Results:
    return trained(STUDY, tmp_path_factory.mktemp("restarts"))


def chosen_by_hand(trials: pd.DataFrame, metric: str = "mi_view_nats") -> pd.DataFrame:
    """Of each weight, of seeds 0 and 1 and of 2 and 3, the row with the largest value."""
    groups = trials.groupby(["mi_weight", trials["seed"] // 2])
    return trials.loc[groups[metric].idxmax()]


def test_one_trial_of_each_group_is_chosen_by_what_looks_at_no_label(results: vmi.Results) -> None:
    trials = results.trials
    assert len(trials) == 8 and trials["chosen"].dtype == bool
    expected = chosen_by_hand(trials)
    assert set(trials.loc[trials["chosen"], "trial_id"]) == set(expected["trial_id"]) and len(expected) == 4


def test_every_metric_of_a_setting_is_that_of_the_chosen_trials(results: vmi.Results) -> None:
    expected = chosen_by_hand(results.trials)
    for setting in results.settings.to_dict("records"):
        own = expected[expected["mi_weight"] == setting["mi_weight"]]
        for metric in (METRIC, "elbo_nats", "mi_encoder_nats", "distortion_nats"):
            by_hand = interval(own[metric])
            assert by_hand is not None and by_hand.count == setting[f"{metric}_n"] == setting["seeds"] == 2
            assert (setting[metric], setting[f"{metric}_low"]) == pytest.approx((by_hand.mean, by_hand.low))
        all_four = results.trials[results.trials["mi_weight"] == setting["mi_weight"]]
        assert setting[f"{METRIC}_all_trials"] == pytest.approx(all_four[METRIC].mean())
        assert setting[f"{METRIC}_all_trials_n"] == 4


def test_the_best_is_by_the_chosen_trials_and_names_them_and_what_all_reach(results: vmi.Results) -> None:
    best, expected = results.best, chosen_by_hand(results.trials)
    assert best is not None and best.all_trials is not None
    means = expected.groupby("mi_weight")[METRIC].mean()
    assert (best.params["mi_weight"], best.value.mean) == (means.idxmax(), pytest.approx(means.max()))
    own = expected[expected["mi_weight"] == best.params["mi_weight"]]
    assert set(best.chosen) == set(own["trial_id"]) and best.value.count == 2 and best.all_trials.count == 4


def test_terminal_status_and_page_have_all_trials_beside_the_chosen_ones(results: vmi.Results) -> None:
    best = results.best
    assert best is not None
    said = f"all trials: {best.all_trials} (n = 4); chosen of 2 by mi_view_nats: {best.value} (n = 2)"
    shown = " ".join(here(results.folder.parent, "report", results.folder).out.split())
    assert said in shown and "over groups of 2 seeds, chosen by mi_view_nats" in shown and "all trials" in shown
    assert said in results.status()
    page = results.report().read_text()
    assert said in page and '<th scope="col">all trials</th>' in page and ">chosen</th>" in page
    assert "Replicates are groups of 2 seeds, of each of which the trial best by mi_view_nats, without labels" in page
    assert "2 groups)" in page and "over n groups" in page
    looked = re.findall(r"Looked at labels: accuracy[^.]*fitted on training labels[^.]*\.", page)
    assert looked and "No label was looked at." in page


def test_a_run_says_both_and_a_second_one_trains_nothing(
    results: vmi.Results, capsys: pytest.CaptureFixture[str]
) -> None:
    again = vmi.run(STUDY, results=results.folder.parent, local=True)
    out = capsys.readouterr().out
    assert "nothing to train" in out and again.best == results.best
    assert "  all trials: 0." in out and "; chosen of 2 by mi_view_nats: 0." in out


def test_restarts_are_an_option_and_no_change_of_a_study_that_is_there(results: vmi.Results) -> None:
    with pytest.raises(vmi.InputError, match="restarts = 4: the stored study has 2"):
        vmi.run(STUDY, results=results.folder.parent, local=True, restarts=4)
    four = vmi.run(STUDY, results=results.folder.parent, local=True, restarts=4, name="four")
    assert four.best is not None and four.best.value.count == 1 and len(four.best.chosen) == 1
    assert four.trials["chosen"].sum() == 2
    plain = vmi.run(STUDY, results=results.folder.parent, local=True, restarts=1, name="plain")
    assert "chosen" not in plain.trials.columns and plain.best is not None and plain.best.value.count == 4
    assert "restarts" not in plain.spec and plain.best.chosen == ()
    text = results.compare(plain)
    assert "In the first: Replicates are groups of 2 seeds" in text and "No seed in common" in text
    assert "2 groups" in results.compare(results)


def test_differences_are_paired_by_group(results: vmi.Results) -> None:
    read, expected = open_study(results.folder), chosen_by_hand(results.trials)
    found = {s.get("mi_weight"): s for s in settings(read.compared, read.spec)}
    gain = paired_gain(found[4.0], found[0.0], METRIC)
    by_weight = {w: own.sort_values("seed")[METRIC].to_numpy() for w, own in expected.groupby("mi_weight")}
    assert gain is not None and gain == interval(by_weight[4.0] - by_weight[0.0])


def test_an_unsupervised_metric_may_be_the_study_s(tmp_path: Path) -> None:
    found = vmi.run(replace(STUDY, metric="mi_view_nats"), results=tmp_path, local=True, restarts=1)
    assert found.best is not None and found.best.metric == "mi_view_nats"
    means = found.trials.groupby("mi_weight")["mi_view_nats"].mean()
    assert (found.best.params["mi_weight"], found.best.value.mean) == (means.idxmax(), pytest.approx(means.max()))


# What each seed reaches: by view 1 and 2 are the better of their groups, by accuracy 0 and 3.
VIEW = {0: 0.1, 1: 0.2, 2: 0.4, 3: 0.3}
ACCURACY = {0: 0.9, 1: 0.5, 2: 0.6, 3: 0.8}
PURE = vmi.Study(name="s", space={"mi_weight": vmi.choice(0, 4)}, seeds=range(4), restarts=2)


def reached(trial: Trial) -> Ended:
    seed = trial.config.seed % 4
    metrics = {METRIC: ACCURACY[seed] + trial.config.mi_weight / 100, "mi_view_nats": VIEW[seed]}
    return Ended(trial.trial_id, "completed", 9, metrics)


def ended(how: Mapping[int, str]) -> Any:
    """Trials that complete, but for seeds that `how` says otherwise of."""

    def end(trial: Trial) -> Ended:
        kind = how.get(trial.config.seed, "completed")
        if kind == "failed":
            return failed(trial)
        return reached(trial)._replace(outcome=kind)

    return end


@pytest.mark.parametrize(
    ("how", "mean", "count"),
    [
        ({}, (0.5 + 0.6) / 2, 2),
        ({1: "failed"}, (0.9 + 0.6) / 2, 2),
        ({2: "pruned"}, (0.5 + 0.8) / 2, 2),
        ({0: "pruned", 1: "failed"}, 0.6, 1),
    ],
)
def test_failed_and_stopped_restarts_are_not_chosen_and_a_group_without_another_has_failed(
    how: dict[int, str], mean: float, count: int
) -> None:
    ledger = ledger_of(PURE)
    run_ledger(ledger, ended(how))
    best = ledger.ranking.best
    assert best is not None and best.params == {"mi_weight": 4.0}
    assert (best.value.mean, best.value.count) == (pytest.approx(mean + 0.04), count)
    assert (ledger.ranking.pruned, ledger.ranking.stopped) == (0, 0)
    resumed = ledger_of(PURE, [row_of(t, ended(how)(t)) for t in reversed(all_trials(PURE))])
    assert resumed.ranking.best == best and list(outcome_lines(resumed)) == list(outcome_lines(ledger))


def test_a_suggestion_without_any_chosen_trial_is_compared_with_none() -> None:
    ledger = ledger_of(PURE)
    run_ledger(ledger, failed)
    assert ledger.ranking.best is None and ledger.ranking.leader is None


def test_the_confirmation_is_chosen_in_groups_of_its_own() -> None:
    ledger = ledger_of(replace(PURE, confirm=1, confirm_seeds=range(100, 104)))
    run_ledger(ledger, reached)
    best = ledger.ranking.best
    assert best is not None and best.all_trials is not None
    assert (best.value.mean, best.value.count, best.all_trials.count) == (pytest.approx(0.55 + 0.04), 2, 4)
    assert list(outcome_lines(ledger))[1].startswith("  all trials: 0.740 ±")


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_a_pruner_judges_by_the_choice_and_leaves_each_group_its_best(tmp_path: Path, pruner: str) -> None:
    study = vmi.Study(
        name="s", fixed={"steps": 30, "layout": "n4+c10*"}, space={"mi_weight": vmi.log_uniform(0.1, 32)},
        searcher="random", suggestions=8, seeds=range(6), restarts=3, pruner=pruner, baseline={"mi_weight": 0},
    )  # fmt: skip
    results = vmi.run(study, results=tmp_path, local=True, pack_size=6)
    trials = results.trials
    stopped = trials[trials["outcome"] == "pruned"]
    assert 0 < len(stopped) <= 8 * 2 * 2 and (stopped["mi_weight"] > 0).all()
    groups = trials.groupby(["suggestion_id", trials["seed"] // 3])
    assert len(groups) == 18 and (groups["outcome"].agg(lambda found: (found == "completed").sum()) >= 1).all()
    assert (groups["chosen"].sum() == 1).all() and set(trials.loc[trials["chosen"], "outcome"]) == {"completed"}
    curves = Store(tmp_path, "s").read("curves").checked().to_pandas().dropna(subset="judged")
    told = curves.merge(trials[["trial_id", "seed", "suggestion_id", "outcome", "step"]], on="trial_id")
    last = told[(told["outcome"] == "pruned") & (told["step_x"] == told["step_y"])]
    for _, row in last.iterrows():
        mates = told[(told["suggestion_id"] == row["suggestion_id"]) & (told["seed"] // 3 == row["seed"] // 3)]
        beside = mates[(mates["step_x"] == row["step_x"]) & (mates["seed"] != row["seed"])]
        assert (beside["judged"] >= row["judged"]).any()
    assert len(last) == len(stopped)
    assert "pruned" not in results.status() and results.best is not None and results.best.value.count == 2
    assert (results.settings["seeds"] == 2).all() and len(results.settings) == 9


@pytest.mark.parametrize(
    ("given", "said"), [("3", "nearest: 2 or 4, or 3 or 6 seeds"), ("ten", "a whole number from 1")]
)
def test_a_command_line_refuses_what_makes_no_groups_before_anything_is_written(
    tmp_path: Path, given: str, said: str
) -> None:
    script = tmp_path / "study.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = inside(script, "--restarts", given, "--pack-size", "0", cwd=tmp_path)
    assert done.code == 2 and "restarts = " in done.err and said in done.err
    assert "--pack-size" in done.err and not (tmp_path / "results").exists()


SCRIPT = """
import vmi

study = vmi.Study(
    name="s", fixed={"steps": 20, "layout": "n4+c10*"}, space={"mi_weight": vmi.log_uniform(0.1, 16)},
    searcher="tpe", suggestions=3, seeds=range(4), restarts=2, pruner="median", confirm=1, confirm_seeds=(100, 101),
)
if __name__ == "__main__":
    vmi.main(study)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_cut_short_ends_as_an_undisturbed_one(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "study.py"
    script.write_text(SCRIPT, encoding="utf-8")
    hold = Hold(tmp_path, "*/checkpoints/*.pt", "trials/part-*", 1)
    cut = Run(
        script, "--local", "--pack-size", "3", cwd=tmp_path, VMI_CHECKPOINT_SECONDS="0", **OFF, **hold.environment
    )
    with hold.reached(cut.process):
        os.kill(cut.process.pid, how)
    cut.wait()
    store = Store(tmp_path / "results", "s")
    assert cut.code != 0 and 0 < len(store.finished()) < 14
    last = inside(script, "--pack-size", "3", cwd=tmp_path)
    whole = inside(script, "--pack-size", "3", "--results", tmp_path / "whole", cwd=tmp_path)
    assert (last.code, whole.code) == (0, 0), last.err + whole.err
    assert tables(tmp_path / "results", "s") == tables(tmp_path / "whole", "s")
    one, other = vmi.open(tmp_path / "results" / "s"), vmi.open(tmp_path / "whole" / "s")
    assert one.best is not None and one.best == other.best and one.best.confirmed and one.best.value.count == 1
    chosen = [set(found.trials.loc[found.trials["chosen"], "trial_id"]) for found in (one, other)]
    assert chosen[0] == chosen[1]
    for lines in (last.out, whole.out):
        assert "chosen of 2 by mi_view_nats" in lines
