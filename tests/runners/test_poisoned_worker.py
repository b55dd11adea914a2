"""A CUDA error that poisons its process, raised in a real worker of Ray: it ends, and its pack goes on in a new one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.runs import ROOT, SMOKE, inside, run, tables

pytestmark = pytest.mark.linux

# Loaded by every Python process at its start. From its 8th step on one worker cannot use its card any more: each step
# raises, as with a poisoned context. Every process that trains notes its id, and whether that was after its error.
SHIM = """
import os, sys
from pathlib import Path

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "vmi.worker.work":
            return
        sys.meta_path.remove(self)
        import torch
        from vmi.training import train
        steps, notes, lost = train.run_steps, Path(os.environ["NOTES"]), []
        def poisoned(pack, *given):
            with (notes / str(os.getpid())).open("a") as file:
                file.write(f"{pack.steps[0]} {bool(lost)}\\n")
            if pack.steps[0] >= 8 and not lost:
                try:
                    (notes / "first").mkdir()
                    lost.append(1)
                except FileExistsError:
                    pass
            if lost:
                raise torch.AcceleratorError("CUDA error: device-side assert triggered\\nCompile with ...")
            steps(pack, *given)
        train.run_steps = poisoned

sys.meta_path.insert(0, Finder())
"""


def test_the_worker_ends_and_its_pack_goes_on_from_its_checkpoint_in_a_new_one(tmp_path: Path) -> None:
    shim, notes = tmp_path / "shim", tmp_path / "notes"
    for folder in (shim, notes):
        folder.mkdir()
    (shim / "sitecustomize.py").write_text(SHIM)
    paths = os.pathsep.join([str(shim), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": paths, "NOTES": str(notes), "VMI_CHECKPOINT_SECONDS": "0", "WANDB_MODE": "disabled"}
    whole = inside(SMOKE, "--results", tmp_path / "whole", cwd=tmp_path)
    done = run(SMOKE, "--prefer", "cost", "--results", tmp_path / "cut", cwd=tmp_path, **environment)
    assert whole.code == done.code == 0, done.out + done.err
    said = " ".join(done.out.split())
    assert "has lost its GPU in this process, which ends: AcceleratorError: CUDA error: device-side assert" in said
    assert "restarts from its checkpoint: its worker died" in said
    assert tables(tmp_path / "cut", "smoke") == tables(tmp_path / "whole", "smoke")
    by_worker = {path.name: path.read_text().split("\n")[:-1] for path in notes.iterdir() if path.is_file()}
    assert len(by_worker) == 2 and not any(line.endswith("True") for lines in by_worker.values() for line in lines)
    went_on = [int(lines[0].split()[0]) for lines in by_worker.values()]
    assert sorted(went_on)[0] == 0 and sorted(went_on)[1] >= 8, "from the checkpoint"
