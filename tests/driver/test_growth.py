"""A study that grows: what is there is found, the rest trained, its rows those of one run that asked for all."""

from __future__ import annotations

import os
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars
import pytest
from support.commands import here
from support.holding import Hold
from support.runs import OFF, Run, files, inside, tables

import vmi
from vmi.results.store import Store
from vmi.spec.requests import requests_of

FIXED = {"steps": 20, "hidden": "16-8", "batch_size": 64}
STUDY = vmi.Study(name="s", fixed=FIXED, space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2))
MORE = replace(STUDY, space={"mi_weight": vmi.choice(0, 4, 16, 32)}, seeds=range(4))
SEARCH = vmi.Study(
    name="s", fixed=FIXED, space={"mi_weight": vmi.log_uniform(0.1, 16)}, searcher="tpe", suggestions=3, seeds=range(2)
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def go(study: vmi.Study, root: Path, **options: Any) -> vmi.Results:
    return vmi.run(study, results=root, local=True, **options)


def test_seeds_then_values_then_fewer_seeds_as_a_view(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = go(STUDY, tmp_path)
    best = first.best
    go(STUDY, tmp_path, seeds=4)
    assert "s: grows: seeds 2 → 4, 4 found + 4 to train" in capsys.readouterr().out
    grown = go(MORE, tmp_path)
    assert "s: grows: mi_weight 2 → 4 values, 8 found + 8 to train" in capsys.readouterr().out
    assert (grown.planned, len(grown.trials)) == (16, 16) and (grown.settings["seeds"] == 4).all()
    go(MORE, tmp_path / "whole")
    assert tables(tmp_path, "s") == tables(tmp_path / "whole", "s")

    view = go(STUDY, tmp_path, only=True)
    out = capsys.readouterr().out
    assert "note: this request alone (--only); 12 more trials of others are stored" in out and "nothing to train" in out
    assert (view.planned, len(view.trials)) == (4, 4) and view.best == best and (view.settings["seeds"] == 2).all()
    assert view.status().startswith("s: 4 of 4 trials finished") and "12 more trials of earlier requests" in (
        view.report().read_text(encoding="utf-8")
    )
    back = go(STUDY, tmp_path)  # which asks for less: all is there, and all is shown
    assert "nothing to train" in capsys.readouterr().out
    assert (back.planned, len(back.trials), len(requests_of(back.spec))) == (16, 16, 3)


def test_each_request_is_kept_with_its_time_and_its_trials(tmp_path: Path) -> None:
    go(STUDY, tmp_path)
    go(STUDY, tmp_path, seeds=3)
    results = go(replace(STUDY, space={"mi_weight": vmi.choice(8)}), tmp_path)
    times = [request.asked_at for request in requests_of(results.spec)]
    assert len(times) == 3 and times == sorted(times, key=str) and all(times)
    trials = results.trials
    assert dict(trials["request"].value_counts()) == {1: 4, 2: 2, 3: 3}
    assert set(trials.loc[trials["request"] == 2, "seed"]) == {2}
    # The third asked for two seeds of a new weight; the study has three of each.
    assert set(trials.loc[trials["request"] == 3, "mi_weight"]) == {8.0}
    page, other = results.report().read_text(encoding="utf-8"), go(STUDY, tmp_path / "other")
    assert "The study has grown" in page and "0, 4" in page
    assert "The requests of the first:" in results.compare(other)


def test_the_same_request_again_changes_no_file(tmp_path: Path) -> None:
    go(STUDY, tmp_path)
    before = files(tmp_path)
    go(STUDY, tmp_path)
    go(replace(STUDY, seeds=range(1)), tmp_path)
    assert files(tmp_path) == before


def test_what_contradicts_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    go(STUDY, tmp_path)
    before = files(tmp_path)
    with pytest.raises(vmi.InputError) as caught:
        go(replace(STUDY, fixed={**FIXED, "steps": 30}, metric="nmi", direction="minimize"), tmp_path, seeds=5)
    said = str(caught.value)
    assert "holds another study of this name" in said and "3 problems" in said
    for line in ("fixed.steps = 30: the stored study has 20", "metric = 'nmi'", "direction = 'minimize'"):
        assert line in said
    with pytest.raises(vmi.InputError, match="confirm_seeds"):  # what grows into a study that is none
        go(replace(STUDY, confirm=1, confirm_seeds=(0, 9)), tmp_path)
    assert files(tmp_path) == before


def test_a_search_goes_on_with_what_it_was_told_and_its_seeds_grow_for_all_suggestions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = go(SEARCH, tmp_path).trials
    more = go(SEARCH, tmp_path, seeds=3)
    assert "s: grows: seeds 2 → 3, 6 found + 3 to train" in capsys.readouterr().out
    assert set(more.trials["suggestion_id"]) == set(first["suggestion_id"]) and len(more.trials) == 9
    wider = go(replace(SEARCH, suggestions=6, space={"mi_weight": vmi.log_uniform(0.1, 100)}), tmp_path)
    assert set(first["suggestion_id"]) < set(wider.trials["suggestion_id"]) and len(wider.trials) == 18
    assert dict(wider.trials["request"].value_counts()) == {1: 6, 2: 3, 3: 9}
    view = go(SEARCH, tmp_path, only=True)
    assert set(view.trials["trial_id"]) == set(first["trial_id"])


def test_a_confirmation_may_follow_and_grow(tmp_path: Path) -> None:
    go(SEARCH, tmp_path)
    confirmed = go(replace(SEARCH, confirm=1, confirm_seeds=(100, 101)), tmp_path)
    assert len(confirmed.trials) == 8 and confirmed.best is not None and confirmed.best.value.count == 2
    longer = go(replace(SEARCH, confirm=2, confirm_seeds=(100, 101, 102)), tmp_path)
    assert len(longer.trials) == 12 and longer.best is not None and longer.best.value.count == 3
    assert longer.planned == 12 and "missing" not in repr(longer)


SCRIPT = """
import vmi

study = vmi.Study(name="s", fixed={fixed}, space={space}, seeds=range(4), {more})
if __name__ == "__main__":
    vmi.main(study)
"""


@pytest.mark.parametrize(
    ("space", "more", "first", "whole"),
    [
        ("{'mi_weight': vmi.choice(0, 4, 16)}", "", STUDY, 12),
        ("{'mi_weight': vmi.log_uniform(0.1, 16)}", "searcher='tpe', suggestions=5", SEARCH, 20),
    ],
)
def test_a_growth_that_was_killed_is_gone_on_with_by_the_request_of_before(
    tmp_path: Path, space: str, more: str, first: vmi.Study, whole: int
) -> None:
    before = go(first, tmp_path / "results")
    script = tmp_path / "study.py"
    script.write_text(SCRIPT.format(fixed=FIXED, space=space, more=more), encoding="utf-8")
    rows = tables(tmp_path / "results", "s")["trials"]
    hold = Hold(tmp_path, "*/trials/part-*", "trials/part-*", len(list(before.folder.glob("trials/part-*"))) + 1)
    cut = Run(
        script, "--local", "--pack-size", "3", cwd=tmp_path, VMI_CHECKPOINT_SECONDS="0", **OFF, **hold.environment
    )
    with hold.reached(cut.process):
        os.kill(cut.process.pid, signal.SIGKILL)
    cut.wait()
    done = go(first, tmp_path / "results")  # asks for less: what was asked for is trained all the same
    found = tables(tmp_path / "results", "s")["trials"]
    assert len(done.trials) == done.planned == whole and rows.items() <= found.items()
    if first is STUDY:
        plain = inside(script, "--results", "plain", cwd=tmp_path)
        assert plain.code == 0 and tables(tmp_path / "plain", "s") == tables(tmp_path / "results", "s")


def test_a_study_of_before_has_one_request_without_a_time_and_grows(tmp_path: Path) -> None:
    go(STUDY, tmp_path)
    store = Store(tmp_path, "s")
    old = store.read_study()
    assert old is not None
    store.write_study({name: value for name, value in old.items() if name != "requests"})
    assert [request.asked_at for request in requests_of(store.read_study() or {})] == [None]
    before = files(tmp_path)
    go(STUDY, tmp_path)
    assert files(tmp_path) == before
    results = go(STUDY, tmp_path, seeds=3)
    assert [request.asked_at is None for request in requests_of(results.spec)] == [True, False]
    assert "not kept" in results.report().read_text(encoding="utf-8")


def test_a_plan_says_what_the_study_would_grow_by(tmp_path: Path) -> None:
    go(STUDY, tmp_path / "results")
    script = tmp_path / "study.py"
    script.write_text(SCRIPT.format(fixed=FIXED, space="{'mi_weight': vmi.choice(0, 4)}", more=""), encoding="utf-8")
    said = here(tmp_path, "plan", script, "--results", tmp_path / "results")
    assert said.code == 0 and "grows: seeds 2 → 4" in said.out and "in the store already: 4" in said.out


# What moved when an axis came: a default that follows another axis, a baseline, a condition.
NORMAL = replace(STUDY, fixed={**FIXED, "layout": "n2*+c10*"}, space={"mi_weight": vmi.choice(1, 2)}, seeds=(0,))
LAYOUTS = vmi.choice("n4+c10*", "n6+c10*")


@pytest.mark.parametrize(
    ("first", "then", "field"),
    [
        (NORMAL, {"space": {"mi_weight": vmi.choice(1, 2), "mi_weight_normal": vmi.choice(0)}}, "mi_weight_normal"),
        (replace(STUDY, fixed={**FIXED, "kl_weight": 5}, baseline={"mi_weight": 1}),
         {"fixed": FIXED, "space": {"mi_weight": vmi.choice(0, 4), "kl_weight": vmi.choice(5, 6)}},
         "baseline.kl_weight"),
        (replace(STUDY, fixed={**FIXED, "mi_weight": 5}, space={"layout": LAYOUTS}),
         {"fixed": FIXED, "space": {"layout": LAYOUTS, "mi_weight": vmi.choice(5, 6)},
          "conditions": {"mi_weight": {"layout": ("n4+c10*",)}}}, "space = 'mi_weight'"),
    ],
)  # fmt: skip
def test_an_axis_beside_which_trials_that_are_there_would_be_no_points_is_refused(
    tmp_path: Path, first: vmi.Study, then: dict[str, Any], field: str
) -> None:
    go(first, tmp_path)
    before = files(tmp_path)
    with pytest.raises(vmi.InputError, match=re.escape(field)):
        go(replace(first, **then), tmp_path)
    assert files(tmp_path) == before


def test_a_trial_counts_whatever_preset_it_was_trained_as(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    presets = {"preset": vmi.choice("paper", "vae")}
    go(replace(STUDY, space=presets, seeds=(0,)), tmp_path)
    go(replace(STUDY, space={**presets, "kl_weight": vmi.choice(1, 4)}, seeds=(0,)), tmp_path)
    alone = replace(STUDY, space={"preset": vmi.choice("vae", "beta_vae")}, seeds=(0,))
    capsys.readouterr()
    view = go(alone, tmp_path, only=True)  # a VAE of weight 4 is a beta-VAE
    assert "nothing to train" in capsys.readouterr().out
    assert (view.planned, len(view.trials)) == (2, 2) and "2 of 2 trials finished" in view.status()


def test_a_view_compares_by_the_metric_of_the_study(tmp_path: Path) -> None:
    go(replace(STUDY, metric="elbo_nats"), tmp_path)
    view = go(STUDY, tmp_path, only=True)
    assert view.best is not None and view.best.metric == "elbo_nats"


def test_two_that_grow_in_one_process_lose_neither_request(tmp_path: Path) -> None:
    first = replace(STUDY, space={"mi_weight": vmi.choice(1)}, seeds=(0,))
    go(first, tmp_path)
    more = [replace(first, space={"mi_weight": vmi.choice(1, 2, 3)}), replace(first, seeds=(0, 1, 2))]
    threads = [threading.Thread(target=go, args=(study, tmp_path)) for study in more]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results = vmi.open(tmp_path / "s")
    assert (results.planned, len(results.trials), len(requests_of(results.spec))) == (9, 9, 3)


def test_what_was_dropped_stays_away_through_a_view(tmp_path: Path) -> None:
    go(STUDY, tmp_path)
    go(replace(STUDY, space={"mi_weight": vmi.choice(800)}), tmp_path)
    assert here(tmp_path, "drop", tmp_path / "s", "--where", "mi_weight = 800", "--yes").code == 0
    go(replace(STUDY, space={"mi_weight": vmi.choice(4)}), tmp_path, only=True)
    results = go(STUDY, tmp_path)
    assert set(results.trials["mi_weight"]) == {0.0, 4.0} and results.planned == 4


def test_what_was_asked_for_by_mistake_and_hardly_trained_is_dropped_too(tmp_path: Path) -> None:
    go(STUDY, tmp_path)
    go(replace(STUDY, seeds=range(40)), tmp_path, trials=2)
    said = here(tmp_path, "drop", tmp_path / "s", "--where", "seed > 1", "--yes")
    assert said.code == 0 and "and 74 that were only asked for" in said.out and "seeds 2, 3" in said.out
    results = go(STUDY, tmp_path)
    assert results.planned == len(results.trials) == 4


def test_dropped_seeds_of_restarts_go_in_whole_groups_and_those_of_a_confirmation_with_it(tmp_path: Path) -> None:
    study = replace(STUDY, seeds=range(4), restarts=2, confirm=1, confirm_seeds=(7, 8))
    go(study, tmp_path)
    assert here(tmp_path, "drop", tmp_path / "s", "--where", "seed in (1, 7, 8)", "--yes").code == 0
    spec = Store(tmp_path, "s").read_study() or {}
    assert spec["seeds"] == [0, 1, 2, 3] and "confirm" not in spec and "confirm_seeds" not in spec
    again = go(replace(study, confirm=0, confirm_seeds=()), tmp_path)
    assert again.best is not None and again.best.value.count == 2 and len(again.trials) == 8


def test_a_study_that_grows_by_a_layout_stays_one_table_for_other_tools(tmp_path: Path) -> None:
    layouts = {"layout": vmi.choice("n4+c10*", "n4+c5*+n3*")}
    go(replace(STUDY, space={"layout": vmi.choice("n4+c10*")}), tmp_path)
    go(replace(STUDY, space=layouts), tmp_path)
    for table in ("trials", "curves", "arrays"):
        parts = list((tmp_path / "s" / table).glob("*.parquet"))
        assert len({tuple(polars.read_parquet_schema(part)) for part in parts}) == 1
    assert len(polars.read_parquet(tmp_path / "s" / "trials" / "*.parquet")["rate_c5_nats"].drop_nulls()) == 2
