"""R1: twenty SIGKILLs of the driver lose nothing that was finished and train none of it again; Tuner.restore does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.litters]  # a killed driver's cluster leaves its own temporary folder


def test_twenty_kills_of_the_driver_beside_the_same_with_tune_alone() -> None:
    script = Path(__file__).with_name("r1_beside_tune.py")
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as short:  # it holds sockets
        done = subprocess.run([sys.executable, str(script), short], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    ours = json.loads(done.stdout.splitlines()[-1])["vmi-sweeps"]
    assert ours["kills"] == 20 and ours["code"] == 0 and ours["trials"] == 40
    assert ours["forgotten"] == ours["trained_again"] == 0
    # A pack that was killed before its first checkpoint starts over: no more than run at a time, for each kill.
    assert ours["packs_from_their_start"] <= ours["kills"] * ours["packs_at_a_time"]
