"""A study that grows: what is there is found, the rest trained, its rows those of one run that asked for all."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.commands import here
from support.holding import Hold
from support.runs import Run, files, run, tables

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
    times = [at for at, _ in requests_of(results.spec)]
    assert len(times) == 3 and times == sorted(times, key=str) and all(times)
    trials = results.trials
    assert dict(trials["request"].value_counts()) == {1: 4, 2: 2, 3: 2}
    assert set(trials.loc[trials["request"] == 2, "seed"]) == {2}
    # The third asked for two seeds of a new weight; the study has three of each.
    assert set(trials.loc[trials["request"] == 3, "mi_weight"]) == {8.0} and trials["request"].isna().sum() == 1
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
    assert dict(wider.trials["request"].value_counts()) == {1: 6, 2: 3, 3: 6}
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
    cut = Run(script, "--local", "--pack-size", "3", cwd=tmp_path, VMI_CHECKPOINT_SECONDS="0", **hold.environment)
    with hold.reached(cut.process):
        os.kill(cut.process.pid, signal.SIGKILL)
    cut.wait()
    done = go(first, tmp_path / "results")  # asks for less: what was asked for is trained all the same
    found = tables(tmp_path / "results", "s")["trials"]
    assert len(done.trials) == done.planned == whole and rows.items() <= found.items()
    if first is STUDY:
        plain = run(script, "--local", "--results", "plain", cwd=tmp_path)
        assert plain.code == 0 and tables(tmp_path / "plain", "s") == tables(tmp_path / "results", "s")


def test_a_study_of_before_has_one_request_without_a_time_and_grows(tmp_path: Path) -> None:
    go(STUDY, tmp_path)
    store = Store(tmp_path, "s")
    old = store.read_study()
    assert old is not None
    store.write_study({name: value for name, value in old.items() if name != "requests"})
    assert [at for at, _ in requests_of(store.read_study() or {})] == [None]
    before = files(tmp_path)
    go(STUDY, tmp_path)
    assert files(tmp_path) == before
    results = go(STUDY, tmp_path, seeds=3)
    assert [at is None for at, _ in requests_of(results.spec)] == [True, False]
    assert "not kept" in results.report().read_text(encoding="utf-8")


def test_a_plan_says_what_the_study_would_grow_by(tmp_path: Path) -> None:
    go(STUDY, tmp_path / "results")
    script = tmp_path / "study.py"
    script.write_text(SCRIPT.format(fixed=FIXED, space="{'mi_weight': vmi.choice(0, 4)}", more=""), encoding="utf-8")
    said = here(tmp_path, "plan", script, "--results", tmp_path / "results")
    assert said.code == 0 and "grows: seeds 2 → 4" in said.out and "in the store already: 4" in said.out
