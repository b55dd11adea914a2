"""The mirror, through the real W&B client, offline; and that nothing of it can stop a sweep."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile

import pytest
from support.runs import until

from vmi.mirror import runs, wandb_private
from vmi.mirror.access import mode_from
from vmi.mirror.runs import Mirrored, mirror
from vmi.spec.config import FIELD_TYPES
from vmi.spec.errors import InputError
from vmi.spec.trial import Failed
from vmi.storage.paths import ObjectPath

KEY = "0123456789abcdef" * 2 + "canary00"


@pytest.fixture
def stored(lab, store):
    """Rows of `trials` and `curves`: one trial that was completed, one that failed."""
    done, broken = lab.trial(seed=0), lab.trial(seed=1, mi_weight=0.5, entropy_weight=0)
    lab.record(store, {done: lab.completed(done), broken: Failed("loss became NaN at step 30", 30)})
    rows = sorted(store.finished().values(), key=lambda row: row["seed"])
    return rows, store.read("curves").table.to_pylist()


def run_files(folder):
    return sorted((folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)


def records(path):
    """What a run's file holds, by kind of record. The client goes on writing it for a moment after finish()."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = {}

    def whole():
        found.clear()
        for data in wandb_private.records(path.read_bytes()):
            record = Record.FromString(data)
            name = record.WhichOneof("record_type")
            found.setdefault(name, []).append(getattr(record, name))
        return "exit" in found

    assert until(whole)
    return found


def items(updates):
    """{key: value} of the items of many records, the last one standing."""
    return {(i.key or ".".join(i.nested_key)): json.loads(i.value_json) for update in updates for i in update}


def test_each_trial_is_one_offline_run_with_its_config_history_and_summary(stored, tmp_path, capfd):
    rows, curves = stored
    assert mirror(rows, curves, tmp_path, "lambda", "offline") == Mirrored(2, "")
    done, broken = (records(path) for path in run_files(tmp_path))
    assert capfd.readouterr() == ("", "")
    run = done["run"][0]
    assert (run.project, run.run_id, run.run_group) == (
        "lambda",
        rows[0]["trial_id"],
        rows[0]["suggestion_id"],
    )
    assert (run.display_name, run.job_type) == ("λ=4 η=1 seed 0", "train")
    assert sorted(run.tags) == sorted(["digits", "n16+c10*", "custom"])
    config = {k: v for k, v in items([run.config.update]).items() if k != "_wandb"}
    assert config == {name: rows[0][name] for name in FIELD_TYPES}
    history = [items([h.item]) for h in done["history"]]
    assert [(row["_step"], row["train/rate_nats"]) for row in history] == [(10, 1.0), (20, 2.0), (30, 3.0)]
    summary = items(s.update for s in done["summary"])
    assert (summary["outcome"], summary["rate_nats"], summary["accuracy_majority"]) == (
        "completed",
        2.5,
        0.75,
    )
    assert broken["run"][0].display_name == "λ=0.5 η=0 seed 1"
    summary = items(s.update for s in broken["summary"])
    assert (summary["outcome"], summary["reason"]) == ("failed", "loss became NaN at step 30")
    assert [record["exit"][0].exit_code for record in (done, broken)] == [0, 1]


def test_several_commits_in_one_process_mirror_one_after_the_other(stored, tmp_path):
    rows, curves = stored
    for number in range(3):
        assert mirror(rows, curves, tmp_path / str(number), "lambda", "offline") == Mirrored(2, "")
        assert len(run_files(tmp_path / str(number))) == 2


def test_disabled_writes_nothing(stored, tmp_path):
    assert mirror(*stored, tmp_path / "study", "lambda", "disabled") == Mirrored(0, "")
    assert not (tmp_path / "study").exists()


def test_a_folder_that_cannot_be_written_to_is_a_warning(stored, tmp_path):
    (tmp_path / "study").write_text("a file")
    mirrored = mirror(*stored, tmp_path / "study", "lambda", "offline")
    assert mirrored.runs == 0 and "study" in mirrored.warning
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "wandb").write_text("a file")
    assert mirror(*stored, tmp_path / "other", "lambda", "offline").runs == 0


def test_a_temporary_folder_that_cannot_be_made_is_a_warning(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    mirrored = mirror(*stored, ObjectPath("bucket", "study"), "lambda", "online")
    assert mirrored.runs == 0 and mirrored.warning.startswith("W&B mirror: FileNotFoundError: ")
    assert str(tmp_path / "gone") in mirrored.warning


def test_whatever_is_raised_is_a_warning_without_the_key(stored, tmp_path, monkeypatch):
    written = []

    class Broken:
        def __init__(self, row, *rest):
            if written:
                raise RuntimeError(f"HTTP 401 for {KEY} {'a1' * 20} wandb_v1_x\x1b[31m\nmore")

        def end(self, row, reports):
            written.append(row)

    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(runs, "TrialRun", Broken)
    mirrored = mirror(*stored, tmp_path, "lambda", "offline")
    assert mirrored == Mirrored(1, "W&B mirror: RuntimeError: HTTP 401 for [hidden] [hidden] [hidden]\\x1b[31m")


def test_wandb_that_is_not_installed_is_a_warning(stored, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    mirrored = mirror(*stored, tmp_path, "lambda", "offline")
    assert mirrored.runs == 0 and "wandb" in mirrored.warning


@pytest.mark.litters
def test_a_server_that_hangs_for_ever_is_given_up(stored, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        result = in_a_child(stored, tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert result.stdout.startswith("0 W&B mirror: ")
    assert KEY not in result.stdout + result.stderr and "wandb:" not in result.stdout + result.stderr
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def in_a_child(stored, folder, url):
    """Mirror online in a process of its own, because W&B keeps the server of its first login."""
    code = (
        "import json, os, sys; from pathlib import Path; from vmi.mirror import runs\n"
        "runs.INIT_SECONDS = 1.0\n"
        "rows, curves, folder = json.load(sys.stdin)\n"
        "print(*runs.mirror(rows, curves, Path(folder), 'lambda', 'online'), flush=True)\n"
        # As a worker ends that is killed: W&B's own farewell to a server that hangs takes 20 seconds.
        "os._exit(0)"
    )
    given = json.dumps([*stored, str(folder)], default=str)
    # W&B's clients hand their service process down to their children; this child gets its own.
    environ = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    environ |= {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url, "HOME": str(folder)}
    return subprocess.run([sys.executable, "-c", code], input=given, env=environ, capture_output=True, text=True)


def test_no_secret_of_the_environment_is_in_the_files(stored, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "WANDB_NOTES", "WANDB_IDENTITY"):
        monkeypatch.setenv(name, KEY)
    assert mirror(*stored, tmp_path, "lambda", "offline") == Mirrored(2, "")
    assert len(run_files(tmp_path)) == 2
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_importing_the_mirror_does_not_import_wandb():
    code = "import sys, vmi.mirror.runs; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("asked", [{}, {"WANDB_MODE": ""}, {"WANDB_MODE": "offline", "WANDB_API_KEY": KEY}])
def test_offline_is_the_default(tmp_path, asked):
    assert mode_from({"HOME": str(tmp_path), **asked}) == ("offline", "")


def test_online_with_a_key_is_online_wherever_the_key_is_kept(tmp_path):
    online = {"WANDB_MODE": "online", "HOME": str(tmp_path)}
    assert mode_from(online | {"WANDB_API_KEY": KEY}) == ("online", "")
    (tmp_path / "elsewhere").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert mode_from(online | {"NETRC": str(tmp_path / "elsewhere")}) == ("online", "")
    (tmp_path / "elsewhere").rename(tmp_path / ".netrc")
    assert mode_from(online) == ("online", "")
    assert mode_from(online | {"WANDB_BASE_URL": "https://wandb.example.org"}).mode == "offline"
    (tmp_path / "settings").write_text(f"[default]\napi_key = {KEY}\n")
    (tmp_path / ".netrc").unlink()
    assert mode_from(online | {"WANDB_CONFIG_DIR": str(tmp_path)}) == ("online", "")


@pytest.mark.parametrize("content", ["", "machine other.org login user password x\n", "not a netrc {", "\xff"])
def test_online_without_a_key_is_offline_and_says_so(tmp_path, content):
    (tmp_path / ".netrc").write_text(content)
    mode, note = mode_from({"WANDB_MODE": "online", "HOME": str(tmp_path), "WANDB_API_KEY": " "})
    assert mode == "offline" and "no API key" in note


def test_disabled_is_honoured_and_anything_else_refused():
    assert mode_from({"WANDB_MODE": "disabled"}) == ("disabled", "")
    with pytest.raises(InputError, match=r"WANDB_MODE = 'offlin'.*did you mean 'offline'"):
        mode_from({"WANDB_MODE": "offlin"})
