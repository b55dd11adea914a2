"""One pack from its task to its rows: trained, committed and mirrored in this process, with the real parts."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.packs import trial
from support.runs import until

from vmi.data.dataset import load
from vmi.mirror.mirror import mirror_of
from vmi.mirror.writers import SERVICE
from vmi.results.store import Store
from vmi.spec.trial import PackSpec, Trial
from vmi.training import accuracy, checkpoint, train
from vmi.training.evaluation import evaluate
from vmi.worker.messages import Ended, Task, Update
from vmi.worker.work import work

# What a row says about where and when it was trained, and not about what came out.
COSTS = {"train_seconds", "pack_id", "pack_size", "attempt", "finished_at", "study"}


def members(count: int) -> list[Trial]:
    """Two settings, each on its seeds."""
    return [trial(mi_weight=(0.0, 4.0)[k % 2], seed=k // 2) for k in range(count)]


def broken() -> Trial:
    """Its loss stops being finite after a few steps."""
    return trial(mi_weight=1e6, learning_rate=10.0)


def task_of(root: Path, trials: Sequence[Trial], pack_id: str = "abc", **changes: Any) -> Task:
    given = {"study": "s", "layouts": ("n16+c10*",), "attempt": 1, "device": "cpu"}
    changes = {"checkpoint_seconds": 0.0, **changes}
    return Task(pack=PackSpec(pack_id, tuple(trials)), root=str(root), data_folder=str(root), **{**given, **changes})


def rows(root: Path, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Every row of a table without what it cost, by trial and step."""
    found = Store(root, "s").read(table).checked().to_pylist()
    keys = [(row["trial_id"], row.get("step") if table == "curves" else None) for row in found]
    assert len(set(keys)) == len(keys), "a row is there twice"
    return {key: {k: v for k, v in r.items() if k not in COSTS} for key, r in zip(keys, found, strict=True)}


def test_a_pack_becomes_rows_in_every_table_and_says_how_each_trial_ended(tmp_path: Path) -> None:
    trials = members(4)
    updates = list(work(task_of(tmp_path, trials)))
    steps = trials[0].config.steps
    assert [u.step for u in updates] == sorted(u.step for u in updates) and updates[-1].step == steps
    assert [bool(u.ended) for u in updates] == [False] * (len(updates) - 1) + [True]
    assert [(e.trial_id, e.outcome, e.step) for e in updates[-1].ended] == [
        (t.trial_id, "completed", steps) for t in trials
    ]
    stored = Store(tmp_path, "s").finished()
    assert set(stored) == {t.trial_id for t in trials}
    for ended in updates[-1].ended:
        assert ended.metrics["accuracy_majority"] == stored[ended.trial_id]["accuracy_majority"]
        assert stored[ended.trial_id]["pack_size"] == 4 and stored[ended.trial_id]["train_seconds"] > 0
    curves = Counter(trial_id for trial_id, _ in rows(tmp_path, "curves"))
    assert set(curves.values()) == {steps} and set(curves) == set(stored)
    assert len(rows(tmp_path, "arrays")) == 4
    assert not list((tmp_path / "s" / "checkpoints").rglob("*.pt"))


@pytest.mark.parametrize("layout", ["n4+c10*", "n4*"])
def test_what_scores_a_code_is_imported_before_there_are_steps_and_only_for_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """Where memory ends in the training, a library can no longer be mapped."""
    order: list[str] = []
    monkeypatch.setattr(accuracy, "load_libraries", lambda: order.append("libraries"))
    steps = train.run_steps
    monkeypatch.setattr(train, "run_steps", lambda *given: (order.append("steps"), steps(*given))[1])
    list(work(task_of(tmp_path, [trial(layout=layout, steps=2)], layouts=(layout,))))
    assert order == ["libraries"] * ("c" in layout) + ["steps"] * 2


def test_a_pack_whose_worker_died_after_the_commit_is_not_committed_twice(tmp_path: Path) -> None:
    """Its runner starts it again, for it never heard of the end."""
    task = task_of(tmp_path, members(2))
    first = list(work(task))[-1]
    (again,) = work(task)
    assert again.ended == first.ended and "finished before its worker died" in again.warning
    assert len(rows(tmp_path, "trials")) == 2


def test_a_pack_whose_worker_died_before_the_commit_is_trained(tmp_path: Path) -> None:
    task = task_of(tmp_path, members(2))
    next(work(task))
    assert len(list(work(task))[-1].ended) == 2 and len(rows(tmp_path, "trials")) == 2


def test_each_trial_is_one_offline_run_and_replicates_share_a_group(tmp_path: Path) -> None:
    trials = members(4)
    last = list(work(task_of(tmp_path, trials)))[-1]
    assert sorted(last.stored) == sorted(t.trial_id for t in trials)
    assert mirror_of(Store(tmp_path, "s"), "offline", local=True).note(last.stored) == []
    files = sorted((tmp_path / "s" / "wandb").glob("offline-run-*/*.wandb"))
    assert sorted(f.stem.removeprefix("run-") for f in files) == sorted(t.trial_id for t in trials)
    named = lambda file: any(t.suggestion_id.encode() in file.read_bytes() for t in trials)  # noqa: E731
    assert until(lambda: all(map(named, files)))  # W&B's own process may write a moment longer
    groups = Counter(t.suggestion_id for f in files for t in trials if t.suggestion_id.encode() in f.read_bytes())
    assert set(groups) == {t.suggestion_id for t in trials}
    for file in files:
        owner = next(t for t in trials if t.trial_id in file.stem)
        assert owner.suggestion_id.encode() in file.read_bytes()


def test_a_member_that_breaks_fails_alone(tmp_path: Path) -> None:
    good, bad = members(3), broken()
    ended = list(work(task_of(tmp_path / "with", [good[0], bad, *good[1:]])))[-1].ended
    list(work(task_of(tmp_path / "without", good)))
    assert [e.outcome for e in ended] == ["completed", "failed", "completed", "completed"]
    failure = Store(tmp_path / "with", "s").finished()[bad.trial_id]
    assert failure["outcome"] == "failed" and ended[1].reason == failure["reason"]
    assert failure["reason"].endswith(f"was not finite at step {failure['step']}")
    assert 0 <= failure["step"] < bad.config.steps and failure["accuracy_majority"] is None
    for table in ("trials", "curves", "arrays"):
        found = {key: row for key, row in rows(tmp_path / "with", table).items() if key[0] != bad.trial_id}
        assert found == rows(tmp_path / "without", table)


def test_a_pack_of_which_every_member_breaks_is_recorded_too(tmp_path: Path) -> None:
    (ended,) = list(work(task_of(tmp_path, [broken()])))[-1].ended
    assert ended.outcome == "failed"
    assert Store(tmp_path, "s").finished()[ended.trial_id]["outcome"] == "failed"


def newest(task: Task) -> Path:
    """The newest checkpoint of the task's pack."""
    return max((Path(task.root) / task.study / "checkpoints" / task.pack.pack_id).glob("*.pt"))


def interrupted(task: Task, updates: int) -> Path:
    """Work on the task until it has yielded so often; the checkpoint that it leaves."""
    running = work(task)
    for _ in range(updates):
        next(running)
    running.close()
    return newest(task)


@pytest.mark.parametrize("updates", [2, 5, 10])
def test_a_pack_that_was_cut_short_goes_on_bitwise(tmp_path: Path, updates: int) -> None:
    trials = [*members(3), broken()]
    list(work(task_of(tmp_path / "whole", trials)))
    task = task_of(tmp_path / "cut", trials)
    interrupted(task, updates)
    resumed = list(work(task))
    assert resumed[0].step > 0 and resumed[0].warning == ""
    for table in ("trials", "curves", "arrays"):
        assert rows(tmp_path / "cut", table) == rows(tmp_path / "whole", table)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _rewritten(path: Path, **changes: Any) -> None:
    """Another whole file under a name that fits it."""
    content = io.BytesIO()
    torch.save(torch.load(path, weights_only=True) | changes, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:32]
    path.unlink()
    path.with_name(f"{path.name[:8]}-{digest}.pt").write_bytes(content.getvalue())


def _other(path: Path) -> None:
    _rewritten(path, tensors={})


def _noteless(path: Path) -> None:
    _rewritten(path, notes='{"reports": []}')


def _older(path: Path) -> None:
    _rewritten(path, format=1)


DAMAGES = [_truncate, _empty, _flip, _other, _noteless, _older]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("places", [None, 1])
def test_where_the_newest_checkpoint_is_damaged_the_one_before_gives_the_same_rows(
    tmp_path: Path, damage: Any, places: int | None
) -> None:
    trials = members(2)
    list(work(task_of(tmp_path / "whole", trials)))
    task = task_of(tmp_path / "cut", trials, places=places)
    path = interrupted(task, 5)
    damage(path)
    updates = list(work(task))
    assert updates[0].step > 0 and path.name[:8] in updates[0].warning
    assert "resumes from the previous checkpoint" in updates[0].warning
    for table in ("trials", "curves", "arrays"):
        assert rows(tmp_path / "cut", table) == rows(tmp_path / "whole", table)


@pytest.mark.parametrize("damage", [_flip, _older])
def test_where_no_checkpoint_can_be_used_it_is_said_and_the_pack_starts_over(tmp_path: Path, damage: Any) -> None:
    trials = members(2)
    list(work(task_of(tmp_path / "whole", trials)))
    task = task_of(tmp_path / "cut", trials)
    both = sorted(interrupted(task, 5).parent.glob("*.pt"))
    assert len(both) == 2
    for path in both:
        damage(path)
    updates = list(work(task))
    assert updates[0].step == 0 and all(path.name[:8] in updates[0].warning for path in both)
    assert "starts over" in updates[0].warning
    for table in ("trials", "curves", "arrays"):
        assert rows(tmp_path / "cut", table) == rows(tmp_path / "whole", table)


def test_after_a_server_that_hangs_no_later_run_waits_for_it_and_each_is_kept_offline(tmp_path: Path) -> None:
    """In a process of its own, because what W&B was told once it keeps."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        address = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        program = Path(__file__).parents[1] / "support" / "two_packs.py"
        alone = {name: value for name, value in os.environ.items() if name != SERVICE}  # that of tests before it
        environment = alone | {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, str(program), str(tmp_path)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
    first, second = json.loads(done.stdout.splitlines()[-1])
    assert "W&B" in first and "offline from here on" in first
    assert second == ""
    assert len(list((tmp_path / "s" / "wandb").glob("offline-run-*/*.wandb"))) == 4


def test_kept_models_are_what_was_trained_and_can_be_evaluated(tmp_path: Path) -> None:
    trials = members(2)
    list(work(task_of(tmp_path, trials, keep_models=True)))
    (kept,) = Store(tmp_path, "s").models.glob("*.pt")
    pack, _ = checkpoint.restore(kept)
    found = evaluate(pack, load("digits"))
    for one, evaluation in zip(trials, found, strict=True):
        stored = Store(tmp_path, "s").finished()[one.trial_id]
        assert stored["accuracy_majority"] == evaluation.metrics["accuracy_majority"]
        assert stored["mi_encoder_nats"] == pytest.approx(evaluation.metrics["mi_encoder_nats"], abs=1e-12)


def test_models_are_not_kept_unless_asked_for(tmp_path: Path) -> None:
    list(work(task_of(tmp_path, members(1))))
    assert not Store(tmp_path, "s").models.exists()


def test_a_task_comes_back_from_json_as_it_went(tmp_path: Path) -> None:
    task = task_of(tmp_path / "ü b", [trial(mi_weight=0.1 + 0.2, seed=2**63 - 1), *members(2)])
    assert Task.from_json(task.to_json()) == task


def test_an_update_comes_back_from_json_as_it_went() -> None:
    ended = (Ended("a", "completed", 9, {"nmi": 1 / 3}), Ended("b", "failed", 3, {}, 'said "no"\n'))
    for update in (Update("p", 3, 9), Update("p", 9, 9, ended, "warned"), Update("p", 0, 1, warning="w")):
        assert Update.from_json(update.to_json()) == update
    assert json.loads(Update("p", 3, 9).to_json())[0] == "p"
