"""Packs of a run that was cut short: found beside their checkpoints, and handed out as they were, before others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runners.test_ledger import completed, end, ids, ledger_of, none, row_of, run, sampled, study

from vmi.cost.packing import pack_of
from vmi.results.store import Store
from vmi.runners.ledger import Ledger
from vmi.search.factory import searcher_for
from vmi.spec.trial import PackSpec
from vmi.worker.messages import Task
from vmi.worker.takeover import begin, packs_under_way


def task_of(root: Path, spec: PackSpec) -> Task:
    given: dict[str, Any] = {"study": "s", "layouts": ("c10*",), "attempt": 1}
    return Task(pack=spec, root=str(root), data_folder=str(root), device="cpu", **given)


def resumed(made: Any, stored: Any, under_way: list[PackSpec], pack_size: int = 4) -> Ledger:
    rows = {row["trial_id"]: row for row in stored}
    searcher = searcher_for(made, 0)
    return Ledger(made, searcher, rows, none, pack_size=pack_size, workers=lambda: 2, under_way=under_way)


def test_a_pack_that_has_begun_is_found_until_its_trials_are_stored(tmp_path: Path) -> None:
    (first, second, *_) = run(ledger_of(study()))
    store = Store(tmp_path, "s")
    for spec in (first, second):
        assert not begin(task_of(tmp_path, spec)).again
    assert begin(task_of(tmp_path, first)).again
    assert sorted(packs_under_way(store, {})) == sorted([first, second])
    finished = {trial.trial_id for trial in first.trials}
    assert packs_under_way(store, finished) == [second]
    assert [path.name for path in store.checkpoints.iterdir()] == [second.pack_id], "the other one is cleared away"


def test_a_retry_that_was_cut_short_is_no_part_of_the_pack_that_it_failed_in(tmp_path: Path) -> None:
    """Both are under way; a real part of the pack, which the pack has the trials of, goes."""
    (whole, *_) = run(ledger_of(study()))
    retried = pack_of(whole.trials[:1], {whole.trials[0].trial_id: 1})
    part, store = pack_of(whole.trials[2:]), Store(tmp_path, "s")
    for spec in (whole, retried, part):
        begin(task_of(tmp_path, spec))
    found = packs_under_way(store, {}, {whole.trials[0].trial_id: 1})
    assert sorted(found) == sorted([whole, retried])


@pytest.mark.parametrize("damage", [b"", b"{", b'{"trials": [["x", "y", {}]]}', b'{"trials": 3}', b"[]"])
def test_what_cannot_be_read_is_no_pack_and_is_cleared_away(tmp_path: Path, damage: bytes) -> None:
    spec, store = run(ledger_of(study()))[0], Store(tmp_path, "s")
    kept = begin(task_of(tmp_path, spec)).kept
    kept.write_plan(damage)
    assert packs_under_way(store, {}) == [] and not list(store.checkpoints.iterdir())


@pytest.mark.parametrize("made", [study(), sampled(), sampled(searcher="tpe"), sampled(baseline={"mi_weight": 0})])
def test_it_is_handed_out_as_it_was_whatever_has_finished_meanwhile(made: Any) -> None:
    """Packed anew, what is missing would come in other packs, and no checkpoint would fit any of them."""
    ledger = ledger_of(made, pack_size=2)
    first, second = ledger.next_pack(), ledger.next_pack()
    assert first and second
    end(ledger, first, [completed(trial) for trial in first.trials])
    again = resumed(made, map(row_of, first.trials), [second], pack_size=3)
    packs = run(again)
    assert second in packs
    whole = [trial.trial_id for spec in run(ledger_of(made)) for trial in spec.trials]
    assert len(set(ids(packs))) == len(ids(packs)) == len(whole) - len(first.trials)
    assert len(again.outcomes.finished) == len(whole)
    if made.searcher != "tpe":
        assert set(again.outcomes.finished) == set(whole)


@pytest.mark.parametrize("made", [study(), sampled()])
def test_one_of_which_some_trials_are_stored_already_is_handed_out_whole_and_settled_once(made: Any) -> None:
    ledger = ledger_of(made)
    spec = ledger.next_pack()
    assert spec
    stored = spec.trials[:2]
    again = resumed(made, map(row_of, stored), [spec])
    assert again.has_work() and again.begun == len(spec.trials) - 2
    packs = run(again)
    assert packs[0] == spec and again.done
    assert sorted(set(ids(packs))) == sorted(again.outcomes.finished) and again.reused == 2


def test_one_that_is_not_all_wanted_is_left_and_its_trials_are_packed_anew() -> None:
    made = study()
    spec = run(ledger_of(made))[0]
    foreign = run(ledger_of(study(seeds=range(5, 8))))[0]
    mixed = PackSpec("mixed", (*spec.trials[:2], *foreign.trials[:2]))
    packs = run(resumed(made, [], [mixed]))
    assert mixed not in packs
    assert sorted(ids(packs)) == sorted(t.trial_id for s in run(ledger_of(made)) for t in s.trials)
