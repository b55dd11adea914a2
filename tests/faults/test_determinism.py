"""D1 to D4: a pack goes on bitwise from any step, every field of a checkpoint is needed, who trains it is no matter.

The packs have every term and schedule, views, discriminators and both orders of phases among their members.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.packs import trial
from support.worker_runs import rows, same_rows, task_of

from vmi.cost.packing import pack
from vmi.data import dataset
from vmi.data.dataset import Dataset
from vmi.results.store import Store
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training import checkpoint
from vmi.training.pack import Pack
from vmi.training.train import run_steps
from vmi.worker.work import work

pytestmark = pytest.mark.faults
# 1,437 images: 22 steps of 64 are an epoch, so steps 23 to 44 are the second one.
STEPS, EPOCH = 66, 22
# Of layouts with a category that is informed.
VIEWS = {"view_mi_weight": 3.0, "view_kl_weight": 30.0, "view_pair_mi_weight": 2.0, "encoder_mi_weight": 3.0}


def everything(layout: str, phase_order: str = "q_first") -> list[Trial]:
    """Members that have, between them, every term, schedule and stream of random numbers."""
    weights: list[dict[str, Any]] = [
        {"factor_weight": 3.0, "view_strength": 0.5, "view_target_strength": 0.3, "temperature_final": 0.1},
        {"tc_weight": 2.0, "mmd_weight": 4.0, "kl_anneal_steps": 40, "mi_weight": 4.0},
        {"generator_mi_weight": 2.0, "capacity_weight": 2.0, "capacity_steps": 30, "capacity_normal_nats": 3.0},
        {"view_strength": 1.0, "view_flip": 0.5, "view_crop": 0.2, "view_elastic": 0.1}
        | (VIEWS if "c" in layout else {}),
        {
            "factor_weight": 1.0,
            "mi_weight": 8.0,
            "temperature": 1.0,
            "temperature_final": 0.2,
            "learning_rate_decay": 0.1,
        },
    ]
    return [
        trial(layout=layout, phase_order=phase_order, steps=STEPS, seed=k, **given) for k, given in enumerate(weights)
    ]


def digest(pack: Pack) -> str:
    """SHA-256 over weights, optimiser state and everything else of a pack that training changes."""
    sha = hashlib.sha256()
    for name, tensor in sorted(pack.tensors().items()):
        sha.update(name.encode() + tensor.contiguous().numpy().tobytes())
    for name, generators in sorted(pack.generators().items()):
        for generator in generators:
            sha.update(name.encode() + generator.get_state().numpy().tobytes())
    sha.update(repr(sorted(pack.counters().items())).encode())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return dataset.load("digits")


def decoded(encoded: bytes) -> Pack:
    return checkpoint.decode(encoded)[0]


CASES = [("n4+c10*", "q_first"), ("n2*+n6", "q_first"), ("n4+c10*", "vae_first")]


@pytest.mark.parametrize(("layout", "phase_order"), CASES)
def test_killed_and_resumed_at_every_epoch_and_at_twenty_steps_within_one(
    digits: Dataset, layout: str, phase_order: str
) -> None:
    """D1: from each of these steps on, what a checkpoint gives ends as the uninterrupted run does."""
    whole = Pack(everything(layout, phase_order))
    within = 20 if (layout, phase_order) == CASES[0] else 3
    cuts = sorted({*range(EPOCH, STEPS, EPOCH), *range(EPOCH + 1, EPOCH + 1 + within)})
    saved = {}
    for step in range(STEPS):
        if step in cuts:
            saved[step] = checkpoint.encode(whole)
        run_steps(whole, digits, 1)
    expected = digest(whole)
    for step, encoded in saved.items():
        resumed = decoded(encoded)
        run_steps(resumed, digits, STEPS - step)
        assert digest(resumed) == expected, step
    print(f"{len(saved)} cuts, one digest {expected[:16]}")


def test_cut_at_every_single_step_one_after_the_other(digits: Dataset) -> None:
    whole, cut = Pack(everything("n4+c10*")), Pack(everything("n4+c10*"))
    run_steps(whole, digits, STEPS)
    for _ in range(STEPS):
        run_steps(cut, digits, 1)
        cut = decoded(checkpoint.encode(cut))
    assert digest(cut) == digest(whole)


@pytest.mark.parametrize(("layout", "phase_order"), CASES)
def test_without_any_one_field_of_a_checkpoint_the_run_is_another_or_refused(
    digits: Dataset, layout: str, phase_order: str
) -> None:
    """D2: each field as it is at the start, which is what there would be had it been forgotten."""
    begun = Pack(everything(layout, phase_order))
    fresh = _content(checkpoint.encode(begun))
    run_steps(begun, digits, EPOCH + 7)
    begun.broken.step_K[1], begun.broken.term_K[1] = 5, 2
    encoded = checkpoint.encode(begun)
    run_steps(begun, digits, 12)
    expected, content, count = digest(begun), _content(encoded), 0
    for kind in ("tensors", "counters", "generators"):
        for name in content[kind]:
            forgotten = {**content, kind: {**content[kind], name: fresh[kind][name]}}
            resumed = decoded(_bytes(forgotten))
            if _as_at_first(content[kind][name], fresh[kind][name]):
                assert name in {"q_steps", "prior", "permutation", "target", "view"}, f"{kind} {name} never changes"
                continue
            run_steps(resumed, digits, 12)
            assert digest(resumed) != expected, f"{kind} {name} does not matter"
            count += 1
            missing = {key: value for key, value in content[kind].items() if key != name}
            with pytest.raises(checkpoint.CheckpointError, match=name):
                decoded(_bytes({**content, kind: missing}))
    print(f"{count} fields, each needed")
    assert count >= 20


def _content(encoded: bytes) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(io.BytesIO(encoded), weights_only=True)
    return content


def _bytes(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _as_at_first(now: Any, then: Any) -> bool:
    if isinstance(now, torch.Tensor):
        return torch.equal(now, then)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(now, then, strict=True))


def orders(trials: list[Trial]) -> Iterator[list[tuple[Trial, ...]]]:
    """Several ways to pack and to order the same trials."""
    for size in (1, 2, 3, len(trials)):
        packs = [spec.trials for spec in pack(trials, size, 1)]
        random.Random(size).shuffle(packs)
        yield packs


def test_any_pack_size_and_any_order_give_the_same_rows(tmp_path: Path) -> None:
    """D3, in one process: nothing of a pack is left for the next one. Ray's part is in test_ray_gone.py."""
    trials = everything("n4+c10*")
    roots = []
    for number, packs in enumerate(orders(trials)):
        roots.append(tmp_path / str(number))
        for members in packs:
            list(work(task_of(roots[-1], members, layouts=("n4+c10*",))))
    for root in roots[1:]:
        same_rows(root, roots[0])


def test_what_breaks_is_a_failed_row_with_its_step_and_leaves_its_pack_mates_alone(tmp_path: Path) -> None:
    """D4: NaN and inf at any point, and a KL that explodes."""
    bad = [
        trial(mi_weight=1e6, learning_rate=10.0),
        trial(kl_weight=1e6, learning_rate=10.0, seed=1),
        trial(learning_rate=10.0, likelihood_variance=1e-6, seed=2),
    ]
    good = [trial(seed=k) for k in range(3)]
    mixed = [t for pair in zip(bad, good, strict=True) for t in pair]
    ended = list(work(task_of(tmp_path / "mixed", mixed)))[-1].ended
    list(work(task_of(tmp_path / "good", good)))
    failed = {e.trial_id: e for e in ended if e.outcome == "failed"}
    print([e.reason for e in failed.values()])
    assert failed and failed.keys() <= {t.trial_id for t in bad}
    for trial_id, end in failed.items():
        row = Store(tmp_path / "mixed", "s").finished()[trial_id]
        assert row["reason"] == end.reason and " at step " in end.reason and row["step"] == end.step
        assert row["accuracy_majority"] is None and end.as_outcome().__class__.__name__ == "Failed"
    same_rows(tmp_path / "mixed", tmp_path / "good", without=[t.trial_id for t in bad])
    assert len(rows(tmp_path / "mixed", "trials")) == 6


def test_every_field_of_a_configuration_is_in_the_checkpoint() -> None:
    """A member comes back with all of its configuration: its schedules are made from it."""
    given = everything("n4+c10*")
    restored = decoded(checkpoint.encode(Pack(given)))
    assert restored.trials == tuple(given)
    assert resolve({}).__dict__.keys() == restored.trials[0].config.__dict__.keys()
