"""The progress of a study: what its line says, and when it is said."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest
from rich.console import Console

from vmi.monitor.progress import MEASURED_SECONDS, PLAIN_SECONDS, Display
from vmi.runners.ledger import Ledger
from vmi.search.factory import searcher_for
from vmi.search.leading import Leading
from vmi.spec.trial import PackSpec, Trial
from vmi.study.space import choice
from vmi.study.study import Study, trials
from vmi.worker.messages import Ended, Update

STUDY = Study(name="s", space={"mi_weight": choice(0, 4)}, seeds=range(3))


class Clock:
    """Time as the test sets it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def ledger_of(
    adopted: int = 0, stored: int = 0, under_way: Iterable[PackSpec] = (), rows: Mapping[str, Ended] | None = None
) -> Ledger:
    """Six trials in packs of three. The first are found in other studies, or stored; `under_way` were begun before.

    `rows`: what the store has of packs that break.
    """
    everything = [trial for s in searcher_for(STUDY, 0).ask(9) for trial in trials(STUDY, s)]
    each = {t.trial_id: _row(t) for t in everything}
    found, own = ({i: each[i] for i in list(each)[:count]} for count in (adopted, stored))
    return Ledger(
        STUDY, searcher_for(STUDY, 0), own, lambda ids: found,
        pack_size=3, workers=lambda: 2, under_way=under_way, stored_of=lambda spec: rows or {},
    )  # fmt: skip


def _row(trial: Trial) -> dict[str, object]:
    ended = {"outcome": "completed", "step": 9, "reason": None, "accuracy_majority": 0.5}
    return {**trial.config.__dict__, "trial_id": trial.trial_id, "suggestion_id": trial.suggestion_id, **ended}


def results(spec: PackSpec) -> tuple[Ended, ...]:
    """Every trial completed, with values that tell seeds and settings apart."""
    values = {t.trial_id: t.config.mi_weight / 10 + t.config.seed / 100 for t in spec.trials}
    return tuple(Ended(i, "completed", 9, {"accuracy_majority": value}) for i, value in values.items())


def finish(ledger: Ledger, spec: PackSpec) -> Update:
    last = Update(spec.pack_id, 9, 9, results(spec))
    ledger.take(last)
    return last


def taken(ledger: Ledger) -> PackSpec:
    spec = ledger.next_pack()
    assert spec
    return spec


def display_of(ledger: Ledger, clock: Callable[[], float], console: Console | None = None) -> Display:
    return Display(ledger, 6, console or Console(file=io.StringIO()), clock)


def test_the_line_has_counts_best_with_interval_and_times() -> None:
    ledger, clock = ledger_of(), Clock()
    display = display_of(ledger, clock)
    assert display.line() == "0/6 trials, 0 failed, 0 running | 0 of 1,800 steps | 0 s elapsed"
    first, second = taken(ledger), taken(ledger)
    assert display.line() == "0/6 trials, 0 failed, 6 running | 0 of 1,800 steps | 0 s elapsed"
    display.update(Update(second.pack_id, 3, 9))
    clock.now += 90
    display.update(finish(ledger, second))
    assert display.line() == (
        "3/6 trials, 0 failed, 3 running | 900 of 1,800 steps, 6.7 steps/s | "
        "best accuracy_majority 0.410 ± 0.025 at mi_weight 4 | "
        "1 min 30 s elapsed, 2 min 15 s left"  # two of six trials in these 90 seconds
    )
    clock.now += 3600
    ledger.lose(first.pack_id, "its worker died")
    assert display.line().startswith("3/6 trials, 3 failed, 0 running | 900 of 1,800 steps, 0.16 steps/s | best")
    assert "1 h 1 min elapsed" in display.line()


def test_the_time_left_goes_by_measured_steps_alone() -> None:
    """A start of five minutes is none of them, and one look at how far a pack is does not say how fast it is."""
    ledger, clock = ledger_of(), Clock()
    display = display_of(ledger, clock)
    spec = taken(ledger)
    clock.now += 300
    display.update(Update(spec.pack_id, 1, 100))
    assert display.line().endswith("5 min elapsed")
    clock.now += MEASURED_SECONDS - 1
    display.update(Update(spec.pack_id, 30, 100))
    assert display.rate is None and display.line().endswith("5 min 4 s elapsed")
    clock.now += 6
    display.update(Update(spec.pack_id, 51, 100))
    assert display.rate == pytest.approx(0.15)  # half of three trials in ten seconds
    assert display.line().endswith("5 min 10 s elapsed, 30 s left")


def test_the_time_left_goes_by_what_was_seen_lately() -> None:
    """After an hour at one speed and another at half of it, the second counts."""
    ledger, clock = ledger_of(), Clock()
    display = display_of(ledger, clock)
    spec = taken(ledger)
    for minute in range(121):
        display.update(Update(spec.pack_id, 1 + 2 * min(minute, 60) + max(0, minute - 60), 1000))
        clock.now += 60
    assert display.rate == pytest.approx(3 / 1000 / 60, rel=0.05)


def test_what_was_found_in_the_store_says_nothing_about_speed() -> None:
    ledger, clock = ledger_of(adopted=4), Clock()
    display = display_of(ledger, clock)  # before the ledger finds the four
    spec = taken(ledger)
    clock.now += 20
    assert display.line().endswith("20 s elapsed")
    display.update(Update(spec.pack_id, 0, 10))
    display.update(Update(spec.pack_id, 1, 10))
    clock.now += 10
    display.update(Update(spec.pack_id, 6, 10))
    assert display.line().endswith("30 s elapsed, 8 s left")  # halves of two trials in ten seconds


def test_what_resumed_packs_had_done_before_says_nothing_about_speed() -> None:
    first = ledger_of()
    under_way, clock = [taken(first), taken(first)], Clock()
    ledger = ledger_of(under_way=under_way)
    display = display_of(ledger, clock)
    for step in (60, 61, 66):
        for spec in under_way if step > 60 else (taken(ledger), taken(ledger)):
            display.update(Update(spec.pack_id, step, 100))
            clock.now += 5
    assert "1,188 of 1,800 steps, " in display.line()
    assert display.rate == pytest.approx(0.33 / 20)  # from the first step that was seen on, in trials
    assert display.line().endswith("30 s elapsed, 2 min 4 s left")


def test_trials_of_a_resumed_pack_that_have_a_row_are_done_once() -> None:
    """Two of its three were stored before the kill, and its mean step has these as full."""
    spec = taken(ledger_of())
    ledger, clock = ledger_of(stored=2, under_way=[spec]), Clock()
    display = display_of(ledger, clock)
    assert taken(ledger) == spec
    assert "2/6 trials" in display.line() and "| 600 of 1,800 steps |" in display.line()
    for step in (80, 81, 90):  # that of the third is 40, 43 and 70
        display.update(Update(spec.pack_id, step, 100))
        clock.now += 10
    assert "| 810 of 1,800 steps, " in display.line()
    assert display.rate == pytest.approx(0.27 / 20)  # from the first step that was seen on, in trials
    display.update(finish(ledger, spec))
    assert "3/6 trials" in display.line() and "| 900 of 1,800 steps, " in display.line()


def test_trials_that_are_found_in_mid_run_say_nothing_about_speed() -> None:
    """As where a study grows by what another one has trained."""
    everything = [trial for s in searcher_for(STUDY, 0).ask(9) for trial in trials(STUDY, s)]
    small = replace(STUDY, seeds=range(2))
    own = [trial for s in searcher_for(small, 0).ask(9) for trial in trials(small, s)]
    rows = {t.trial_id: _row(t) for t in everything if t not in own}
    ledger = Ledger(small, searcher_for(small, 0), {}, lambda ids: rows, pack_size=4, workers=lambda: 1)
    clock = Clock()
    display = display_of(ledger, clock)
    spec = taken(ledger)
    for step in (1, 11, 21):
        display.update(Update(spec.pack_id, step, 100))
        clock.now += 10
    before = display.rate
    ledger.grow(STUDY, searcher_for(STUDY, 0), {})
    display.under_way.grow()
    assert not ledger.has_work() and ledger.reused == 2 and display.rate == pytest.approx(before)
    display.update(Update(spec.pack_id, 31, 100))
    assert display.rate == pytest.approx(0.04) and "| 972 of 1,800 steps, " in display.line()


def test_packs_that_wait_with_a_checkpoint_have_their_steps() -> None:
    ledger = ledger_of()
    display = display_of(ledger, Clock())
    spec = taken(ledger)
    ledger.take(last := Update(spec.pack_id, 50, 100, saved=50))
    display.update(last)
    ids = tuple(trial.trial_id for trial in spec.trials)
    parted = Update(spec.pack_id, 60, 100, saved=60, parted=(ids[:2], ids[2:]))
    ledger.take(parted)
    display.update(parted)
    assert "| 540 of 1,800 steps | " in display.line()
    assert ledger.going_on == dict.fromkeys(ids, 0.6)
    first = taken(ledger)
    assert len(first.trials) == 2 and "| 540 of 1,800 steps | " in display.line()
    ledger.give_back(first.pack_id)
    assert ledger.going_on == dict.fromkeys(ids, 0.6) and "| 540 of 1,800 steps | " in display.line()


def test_off_a_terminal_lines_are_plain_and_few() -> None:
    ledger, clock, out = ledger_of(), Clock(), io.StringIO()
    with display_of(ledger, clock, Console(file=out)) as display:
        first, second = taken(ledger), taken(ledger)
        for step in range(1, 9):
            display.update(Update(first.pack_id, step, 9))
        assert out.getvalue() == ""
        clock.now += PLAIN_SECONDS
        display.update(Update(first.pack_id, 8, 9))
        display.update(Update(first.pack_id, 8, 9))
        assert len(out.getvalue().splitlines()) == 1
        display.update(finish(ledger, first))
        display.update(finish(ledger, second))
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["0/6", "3/6", "6/6"]
    assert "\x1b" not in out.getvalue()


def test_a_warning_is_shown_at_once_and_cannot_drive_the_terminal() -> None:
    ledger, out = ledger_of(), io.StringIO()
    display = display_of(ledger, Clock(), Console(file=out))
    display.update(Update(taken(ledger).pack_id, 0, 9, warning="disk [red]full\x1b[2J"))
    assert out.getvalue() == "warning: disk [red]full\\x1b[2J\n"


def test_the_leading_trial_under_way_is_said_to_be_unfinished() -> None:
    """Best of all packs that run, by what the first of them names; gone once its pack has ended."""
    ledger = ledger_of()
    display = display_of(ledger, Clock())
    first, second = taken(ledger), taken(ledger)
    found = [Leading(spec.trials[1].trial_id, 200, value, 0) for spec, value in ((first, -71.26), (second, -80.0))]
    for spec, leading in zip((first, second), found, strict=True):
        display.update(Update(spec.pack_id, 225, 300, leading=leading))
    at = f"at mi_weight {first.trials[1].config.mi_weight:.4g}"
    assert f" | leading (unfinished, elbo_nats at step 200 of 300): -71.26 {at} | " in display.line()
    assert "1,350 of 1,800 steps" in display.line() and "best" not in display.line()
    display.update(finish(ledger, first))
    assert "leading (unfinished, elbo_nats at step 200 of 300): -80 at" in display.line()
    display.update(finish(ledger, second))
    assert "unfinished" not in display.line() and "1,800 of 1,800 steps" in display.line()


def test_trials_of_different_lengths_have_no_number_of_steps() -> None:
    study = Study(name="s", space={"steps": choice(5, 9)}, seeds=range(3))
    ledger = Ledger(study, searcher_for(study, 0), {}, lambda ids: {}, pack_size=3, workers=lambda: 2)
    assert display_of(ledger, Clock()).line() == "0/6 trials, 0 failed, 0 running | 0 s elapsed"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_on_a_terminal_there_is_a_bar_and_nothing_is_cut_off(width: int) -> None:
    ledger, clock, out = ledger_of(), Clock(), io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    with display_of(ledger, clock, console) as display:
        spec = taken(ledger)
        display.update(Update(spec.pack_id, 3, 9))
        clock.now += 30
        display.update(finish(ledger, spec))
        display._bar.refresh()
    shown = out.getvalue()
    assert "━" in shown
    words = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━╸╺]", "", shown).split())
    assert "best accuracy_majority 0.010 ± 0.025 at mi_weight 0" in words
    assert "30 s elapsed, 45 s left" in words
    assert "…" not in words
