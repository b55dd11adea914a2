"""A checkpoint is due by the clock, less often where writing is dear, at once where the node goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmi.worker.rhythm import CHECKPOINT_SECONDS, NOTICE_SECONDS, NOTICE_VARIABLE, WRITING_SHARE, Rhythm


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def written(rhythm: Rhythm, clock: Clock, seconds: float) -> str:
    """A checkpoint that took so long."""
    began = clock.at
    clock.at += seconds
    return rhythm.wrote(began)


def test_a_checkpoint_is_due_once_its_interval_has_gone_by_since_the_last_was_written() -> None:
    clock = Clock()
    rhythm = Rhythm(None, clock, {})
    clock.at += CHECKPOINT_SECONDS - 0.1
    assert not rhythm.due() and rhythm.due(1 / 3)
    clock.at += 0.1
    assert rhythm.due()
    assert written(rhythm, clock, 0.1) == ""
    assert not rhythm.due()


@pytest.mark.parametrize("took", [1.0, 5.0, 60.0])
def test_writing_takes_two_percent_of_the_time_at_most_and_it_is_said(took: float) -> None:
    clock = Clock()
    rhythm = Rhythm(None, clock, {})
    said = written(rhythm, clock, took)
    assert took / (rhythm.interval + took) == pytest.approx(WRITING_SHARE)
    assert said == f"a checkpoint takes {took:.1f} s to write: the next ones are {rhythm.interval:.0f} s apart"
    assert written(rhythm, clock, took * 1.1) == ""  # a little more is not said again
    assert written(rhythm, clock, took / 10) == "" and rhythm.interval >= took / WRITING_SHARE


def test_an_interval_that_the_user_names_stays_as_dear_as_it_is() -> None:
    clock = Clock()
    rhythm = Rhythm(5.0, clock, {})
    assert written(rhythm, clock, 10.0) == "" and rhythm.interval == 5.0


def test_on_a_notice_a_checkpoint_is_due_at_once_and_then_every_few_seconds(tmp_path: Path) -> None:
    clock, notice = Clock(), tmp_path / "notice"
    rhythm = Rhythm(None, clock, {NOTICE_VARIABLE: str(notice)})
    assert not rhythm.due()
    notice.touch()
    assert rhythm.due()
    assert written(rhythm, clock, 20.0) == ""  # dear or not: the node goes
    assert not rhythm.due()
    clock.at += NOTICE_SECONDS
    assert rhythm.due()
