"""W&B's record format against W&B's own client: each test says what is to be done where a new version moved it."""

from __future__ import annotations

from pathlib import Path

from support.lab import Lab

from tests.mirror.test_runs import records, run_files
from vmi.mirror import wandb_private
from vmi.mirror.runs import Mirrored, mirror
from vmi.results.store import Store


def test_what_is_read_of_a_record_is_what_its_protocol_says(lab: Lab, store: Store, tmp_path: Path) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    moved = "W&B has another record format: every run that is there would be removed and written again"
    assert Record.DESCRIPTOR.fields_by_name["exit"].number == wandb_private.EXIT, moved
    trial = lab.trial()
    lab.record(store, {trial: lab.completed(trial)})
    rows, curves = list(store.finished().values()), store.read("curves").table.to_pylist()
    assert mirror(rows, curves, tmp_path, "lambda", "offline") == Mirrored(1, "")
    for path in run_files(tmp_path):
        assert "exit" in records(path), moved
        assert wandb_private.has_ended(path.read_bytes()), moved
        for data in wandb_private.records(path.read_bytes()):
            fields = {field.number for field, _ in Record.FromString(data).ListFields()}
            assert wandb_private.fields(data) == fields, moved
            assert all(wandb_private.fields(data[:end]) <= fields for end in range(len(data)))
