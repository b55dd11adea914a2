"""Failed trials that are tried again: handed out once more, told as they end now, in packs of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from runners.test_ledger import Listening, completed, end, failed, ids, ledger_of, none, row_of, run, sampled, study

from vmi.cost.packing import pack_of
from vmi.runners.ledger import Ledger
from vmi.spec.trial import PackSpec, Trial
from vmi.study.study import Study
from vmi.worker.messages import Ended

FIRST = 1


def retrying(
    made: Study, ended: Mapping[Trial, Ended], under_way: Iterable[PackSpec] = (), attempt: int = FIRST
) -> tuple[Ledger, Listening]:
    """A ledger that tries again what of these has failed."""
    rows = {trial.trial_id: row_of(trial, result) for trial, result in ended.items()}
    retry = {trial_id: attempt for trial_id, row in rows.items() if row["outcome"] == "failed"}
    heard = Listening(made)
    given: dict[str, Any] = {"pack_size": 4, "workers": lambda: 2, "under_way": under_way, "retry": retry}
    return Ledger(made, heard, rows, none, **given), heard


def once(made: Study) -> list[Trial]:
    """Every trial of the study."""
    return [trial for spec in run(ledger_of(made)) for trial in spec.trials]


KINDS = {"grid": study(), "random": sampled(), "tpe": sampled(searcher="tpe")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["one seed", "every seed of a suggestion", "all"])
def test_what_has_failed_is_trained_again_and_nothing_else_and_told_once_as_it_ends_now(kind: str, which: str) -> None:
    made, trials = KINDS[kind], once(KINDS[kind])
    first = trials[0]
    chosen = {
        "one seed": lambda t: t == first,
        "every seed of a suggestion": lambda t: t.suggestion_id == first.suggestion_id,
        "all": lambda t: True,
    }[which]
    again = [trial for trial in trials if chosen(trial)]
    ledger, heard = retrying(made, {t: failed(t) if t in again else completed(t) for t in trials})
    assert ledger.outcomes.to_retry == len(again) and not ledger.outcomes.failures
    packs = run(ledger)
    assert sorted(ids(packs)) == sorted(trial.trial_id for trial in again)
    assert all(spec.retried == {t.trial_id: FIRST for t in spec.trials} for spec in packs)
    assert {sid for sid, _ in heard.told} == {trial.suggestion_id for trial in again}
    assert all(type(one).__name__ == "Completed" for _, outcomes in heard.told for one in outcomes)
    assert ledger.done and len(ledger.outcomes.finished) == len(trials) and not ledger.outcomes.failures
    assert ledger.outcomes.retried == {trial.trial_id: "completed" for trial in again}
    assert ledger.reused == len(trials) - len(again)


def test_a_fresh_seed_of_the_confirmation_that_has_failed_is_tried_again() -> None:
    made = study(confirm=1, confirm_seeds=(7, 8))
    trials = once(made)
    (again,) = [trial for trial in trials if trial.config.seed == 8]
    ledger, _ = retrying(made, {t: failed(t) if t == again else completed(t) for t in trials})
    assert ids(run(ledger)) == [again.trial_id] and ledger.done
    assert ledger.outcomes.retried == {again.trial_id: "completed"} and ledger.ranking.best is not None


def test_what_fails_again_is_a_failure_and_counted() -> None:
    trials = once(study())
    ledger, _ = retrying(study(), {t: failed(t) if t in trials[:2] else completed(t) for t in trials})
    run(ledger, lambda trial: failed(trial) if trial == trials[0] else completed(trial))
    assert ledger.outcomes.retried == {trials[0].trial_id: "failed", trials[1].trial_id: "completed"}
    assert list(ledger.outcomes.failures) == [trials[0].trial_id]


def test_a_retry_without_a_result_is_failed_here_and_no_next_start_is_promised_to_train_it() -> None:
    trials = once(study())
    ledger, _ = retrying(study(), {t: failed(t) if t == trials[0] else completed(t) for t in trials})
    spec = ledger.next_pack()
    assert spec
    ledger.lose(spec.pack_id, "its worker died")
    outcomes, trial_id = ledger.outcomes, trials[0].trial_id
    assert outcomes.retried == {trial_id: ""} and outcomes.failures == {trial_id: "its worker died"}
    assert outcomes.without_result == 0


def test_missing_and_retried_trials_are_in_packs_of_their_own() -> None:
    """Else a start without the flag, which trains what is missing, would train the others with it."""
    trials = once(study())
    ended = {t: failed(t) for t in trials[:2]} | {t: completed(t) for t in trials[4:]}
    ledger, _ = retrying(study(), ended)
    for spec in run(ledger):
        assert len({t in trials[:2] for t in spec.trials}) == 1 and bool(spec.retried) == (spec.trials[0] in trials[:2])


def test_a_retry_that_was_cut_short_is_handed_out_as_it_was() -> None:
    trials = once(study())
    ended = {t: failed(t) if t in trials[:3] else completed(t) for t in trials}
    (spec, *_) = run(retrying(study(), ended)[0])
    ledger, _ = retrying(study(), ended | {spec.trials[0]: completed(spec.trials[0])}, [spec])
    assert spec in run(ledger) and ledger.done
    assert set(ledger.outcomes.retried.values()) == {"completed"} and len(ledger.outcomes.retried) == 2


def test_a_pack_that_has_trained_a_trial_to_its_failure_does_not_train_it_again() -> None:
    """Its checkpoints hold that failure: the trial goes to a pack of its own, and the rest of the old one resumes."""
    trials = once(study())
    old = pack_of(tuple(trials[:3]))  # its first trial has failed, its third one has not ended
    ended = {trials[0]: failed(trials[0])} | {t: completed(t) for t in trials[1:] if t != trials[2]}
    ledger, _ = retrying(study(), ended, [old])
    first, second = ledger.next_pack(), ledger.next_pack()
    assert first == old and second and ids([second]) == [trials[0].trial_id] and second.pack_id != old.pack_id
    end(ledger, first, [failed(trials[0]), completed(trials[1]), completed(trials[2])])
    assert trials[0].trial_id not in ledger.outcomes.finished, "the old failure that comes with it does not count"
    end(ledger, second, [completed(trials[0])])
    assert ledger.done and ledger.outcomes.retried == {trials[0].trial_id: "completed"}


def test_a_retry_that_has_failed_meanwhile_is_tried_anew() -> None:
    trials = once(study())
    ended = {t: failed(t) if t == trials[0] else completed(t) for t in trials}
    before = pack_of((trials[0],), {trials[0].trial_id: FIRST})
    ledger, _ = retrying(study(), ended, [before], attempt=FIRST + 1)
    (spec,) = run(ledger)
    assert spec.pack_id != before.pack_id and spec.retried == {trials[0].trial_id: FIRST + 1}


def test_without_the_flag_a_retry_that_was_cut_short_is_no_work() -> None:
    trials = once(study())
    spec = pack_of((trials[0],), {trials[0].trial_id: FIRST})
    rows = [row_of(t, failed(t) if t == trials[0] else completed(t)) for t in trials]
    ledger = Ledger(
        study(), Listening(study()), {row["trial_id"]: row for row in rows}, none,
        pack_size=4, workers=lambda: 2, under_way=[spec],
    )  # fmt: skip
    assert ledger.next_pack() is None and ledger.done and list(ledger.outcomes.failures) == [trials[0].trial_id]
