"""What Tune asks while it runs packs: a notice that Tune takes for itself reaches the run all the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from runners.test_dispatch import made

from vmi.process.signals import noticed
from vmi.runners.tune_hooks import AtTheEnd


@pytest.mark.parametrize("early", [True, False])
def test_sigusr1_is_heard_before_tune_s_first_step_and_after_it(tmp_path: Path, early: bool) -> None:
    heard: list[int] = []
    _, handing, _ = made(tmp_path)
    with noticed(lambda: heard.append(1)):
        stopper = AtTheEnd(handing, lambda: False)
        signal.signal(signal.SIGUSR1, lambda *_: None)  # as `tune.run` does
        if not early:
            assert not stopper.stop_all()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == ([] if early else [1])
        if early:
            stopper.close()
    assert heard == [1]


def test_where_nobody_hears_sigusr1_none_is_raised(tmp_path: Path) -> None:
    _, handing, _ = made(tmp_path)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    AtTheEnd(handing, lambda: False).close()


def test_tune_ends_once_its_workers_were_asked_and_hands_nothing_out_meanwhile(tmp_path: Path) -> None:
    ledger, handing, _ = made(tmp_path)
    stopper = AtTheEnd(handing, lambda: True)
    while not stopper.stop_all():
        assert handing.over
    stopper.close()
    assert not ledger.over and not ledger.running
