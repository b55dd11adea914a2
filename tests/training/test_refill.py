"""Members have steps of their own: they leave a pack one by one, the next ones take their places, all bitwise alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from support.judges import BelowMean, Never, These
from support.packs import trial, varied
from torch import Tensor

from vmi.data import dataset as data
from vmi.data import random_streams
from vmi.data.dataset import Dataset
from vmi.spec.trial import Failed, Pruned, Report, Trial
from vmi.training import checkpoint
from vmi.training.evaluation import evaluate, measure
from vmi.training.pack import Pack
from vmi.training.train import Progress, Stop, report_steps, rungs, train


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


class Run(NamedTuple):
    """What came of every trial: its reports, its tensors and metrics at its last step, or how else it ended."""

    reports: dict[str, list[Report]]
    tensors: dict[str, dict[str, Tensor]]
    metrics: dict[str, Any]
    ended: dict[str, Failed | Pruned]
    sizes: list[int]

    def take(self, progress: Progress, digits: Dataset) -> None:
        for report in progress.reports:
            # What a judge was told is no part of the training.
            metrics = {name: value for name, value in report.metrics.items() if name != "judged"}
            self.reports.setdefault(report.trial_id, []).append(report._replace(metrics=metrics))
        self.ended.update({**progress.failed, **progress.pruned})
        if progress.pack is not None:
            self.sizes.append(progress.pack.size)
            for k in progress.done:
                one = progress.pack.keep([k])
                name = one.trials[0].trial_id
                self.tensors[name], self.metrics[name] = one.tensors(), evaluate(one, digits)[0].metrics


def run(pack: Pack, digits: Dataset, *arguments: Any, **options: Any) -> Run:
    found = Run({}, {}, {}, {}, [])
    for progress in train(pack, digits, *arguments, **options):
        found.take(progress, digits)
    return found


def alone(one: Trial, digits: Dataset, dtype: torch.dtype = torch.float32) -> Run:
    return run(Pack([one], dtype=dtype), digits)


def same_as_alone(found: Run, trials: Sequence[Trial], digits: Dataset) -> None:
    """Weights, moments, statistics, reports and evaluation of these trials are bitwise those of packs of one."""
    for one in trials:
        name, expected = one.trial_id, alone(one, digits)
        assert found.reports[name] == expected.reports[name]
        assert found.metrics[name] == expected.metrics[name]
        for key, tensor in expected.tensors[name].items():
            assert torch.equal(tensor, found.tensors[name][key]), key


def broken(**fields: Any) -> Trial:
    """Its loss stops being finite after a few steps."""
    return trial(mi_weight=1e6, learning_rate=10.0, **fields)


def stop(judge: Never) -> Stop:
    return Stop(judge, "accuracy_majority")


# 23 steps: reports at 2, 4, ... 20 and 23, so that those who come later do not report with those who came first.
UNEVEN = 23


def test_trials_that_wait_take_free_places_and_are_bitwise_what_they_are_alone(digits: Dataset) -> None:
    trials = varied(7, steps=UNEVEN)
    judge = These({trials[1].trial_id, trials[3].trial_id}, step=8)
    found = run(Pack(trials[:3]), digits, trials[3:], stop(judge))
    assert set(found.ended) == judge.trial_ids
    assert set(found.tensors) == {t.trial_id for t in trials} - judge.trial_ids
    assert max(found.sizes) == 3 and len({tuple(r.step for r in rs) for rs in found.reports.values()}) > 1
    same_as_alone(found, [t for t in trials if t.trial_id not in judge.trial_ids], digits)


def test_schedules_and_extra_terms_of_a_late_member_follow_its_own_steps(digits: Dataset) -> None:
    shared = {"steps": UNEVEN}
    trials = [
        trial(seed=1, **shared),
        trial(seed=2, temperature=2.0, temperature_final=0.3, **shared),
        trial(seed=3, temperature=3.0, temperature_final=0.2, kl_anneal_steps=9, **shared),
        trial(seed=4, kl_weight=0, capacity_weight=30, capacity_normal_nats=5, capacity_steps=11, **shared),
        trial(seed=5, kl_weight=0.5, mmd_weight=100, **shared),
        trial(seed=6, mi_weight=0, tc_weight=5, **shared),
        trial(seed=7, generator_mi_weight=4, **shared),
        trial(seed=8, learning_rate_decay=0.02, factor_weight=1, **shared),
    ]
    found = run(Pack(trials[:2]), digits, trials[2:], stop(These({trials[0].trial_id})))
    same_as_alone(found, trials[1:], digits)


def test_a_late_member_anneals_in_float64_as_it_does_alone(digits: Dataset) -> None:
    late = trial(seed=2, temperature=2.0, temperature_final=0.5, steps=UNEVEN)
    found = run(Pack([trial(steps=UNEVEN)], dtype=torch.float64), digits, [late])
    expected = alone(late, digits, torch.float64)
    assert found.reports[late.trial_id] == expected.reports[late.trial_id]
    steps = [report.step for report in found.reports[late.trial_id]]
    taus = [report.metrics["temperature"] for report in found.reports[late.trial_id]]
    assert taus == pytest.approx([2.0 * 0.25 ** ((step - 1) / (UNEVEN - 1)) for step in steps], abs=1e-12)
    for key, tensor in expected.tensors[late.trial_id].items():
        assert torch.equal(tensor, found.tensors[late.trial_id][key]), key


def test_annealing_does_not_depend_on_the_size_of_the_pack() -> None:
    """With 32 members and more torch takes another routine for a power than with fewer."""
    trials = [trial(seed=k, temperature=2.0 + k / 7, temperature_final=0.3, steps=101) for k in range(40)]
    wide, narrow = Pack(trials), Pack(trials[:1])
    for step in range(101):
        step_K = torch.full((40,), step)
        assert torch.equal(wide.temperature_K(step_K)[:1], narrow.temperature_K(step_K[:1])), step


def test_a_pruned_member_leaves_the_others_bitwise_as_they_are(digits: Dataset) -> None:
    trials = varied(4, steps=20)
    judge = These({trials[2].trial_id}, step=8)
    found = run(Pack(trials), digits, (), stop(judge))
    same_as_alone(found, [trials[k] for k in (0, 1, 3)], digits)
    pruned = found.ended[trials[2].trial_id]
    assert isinstance(pruned, Pruned) and pruned.step == 8
    assert pruned.metrics["accuracy_majority"] == next(
        v for i, at, v in judge.told if (i, at) == (trials[2].trial_id, 8)
    )
    assert [r.step for r in found.reports[trials[2].trial_id]] == [2, 4, 6, 8]


def test_the_place_of_a_member_that_broke_is_filled(digits: Dataset) -> None:
    bad, good = broken(steps=UNEVEN), varied(3, steps=UNEVEN)
    found = run(Pack([good[0], bad]), digits, good[1:])
    assert found.ended == alone(bad, digits).ended and set(found.ended) == {bad.trial_id}
    assert found.sizes[-1] == 1 and max(found.sizes) == 2
    same_as_alone(found, good, digits)


def test_a_pack_of_which_all_broke_goes_on_with_those_that_wait(digits: Dataset) -> None:
    good = trial(seed=3, steps=20)
    found = run(Pack([broken(steps=20)]), digits, [broken(seed=1, steps=20), good])
    assert len(found.ended) == 2
    same_as_alone(found, [good], digits)


def test_a_judge_is_told_that_a_member_broke(digits: Dataset) -> None:
    """So that it stops no other for its sake."""
    bad, judge = broken(steps=20), Never()
    found = run(Pack([trial(steps=20), bad]), digits, (), Stop(judge, "mi_view_nats"))
    (last,) = [(step, value) for i, step, value in judge.told if i == bad.trial_id and math.isnan(value)]
    ended = found.ended[bad.trial_id]
    assert isinstance(ended, Failed) and last[0] == ended.step


def test_a_late_member_that_breaks_names_its_own_step(digits: Dataset) -> None:
    bad = broken(steps=20)
    found = run(Pack([trial(steps=20)]), digits, [bad])
    assert found.ended == alone(bad, digits).ended


def test_a_judge_that_stops_everything_ends_the_training(digits: Dataset) -> None:
    trials = varied(5, steps=20)
    found = run(Pack(trials[:2]), digits, trials[2:], stop(These()))
    first = rungs(20)[0]
    assert {i: ended.step for i, ended in found.ended.items()} == {t.trial_id: first for t in trials}
    assert not found.tensors and max(found.sizes) == 2


@pytest.mark.parametrize("layout", ["n16+c10*", "n2*+n30"])
def test_being_judged_does_not_alter_training(digits: Dataset, layout: str) -> None:
    trials, judge = varied(3, steps=20, layout=layout), Never()
    judged = run(Pack(trials), digits, (), Stop(judge, "elbo_nats"))
    plain = run(Pack(trials), digits)
    assert len(judge.told) == 3 * len(rungs(20))
    assert judged.reports == plain.reports and judged.metrics == plain.metrics
    for name, tensors in plain.tensors.items():
        assert all(torch.equal(tensor, judged.tensors[name][key]) for key, tensor in tensors.items())


def test_what_a_judge_is_told_does_not_depend_on_pack_mates(digits: Dataset) -> None:
    trials = varied(4, steps=UNEVEN)
    together, apart = Never(), Never()
    run(Pack(trials[:2]), digits, trials[2:], stop(together))
    for one in trials:
        run(Pack([one]), digits, (), stop(apart))
    assert sorted(together.told) == sorted(apart.told)


def test_measure_gives_the_names_of_evaluate_and_leaves_the_pack_as_it_was(digits: Dataset) -> None:
    pack = Pack(varied(2))
    before = {name: tensor.clone() for name, tensor in pack.tensors().items()}
    quick, full = measure(pack, digits), evaluate(pack, digits)
    assert [set(metrics) for metrics in quick] == [set(evaluation.metrics) for evaluation in full]
    # All of digits is within the part, so only the sandwich has fewer images.
    assert quick[0]["accuracy_majority"] == full[0].metrics["accuracy_majority"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in pack.tensors().items())
    assert pack.encoder.training


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 23, 1200])
def test_rungs_are_early_reports(steps: int) -> None:
    assert set(rungs(steps)) <= set(report_steps(steps)[:-1])
    assert rungs(1200) == (240, 480, 720)


def test_admitted_members_join_bitwise_and_another_architecture_is_refused(digits: Dataset) -> None:
    *_, last = train(Pack(varied(2)), digits)
    assert last.pack is not None
    joined = last.pack.admit([trial(seed=9)])
    assert joined.steps == [12, 12, 0] == joined.step_K.tolist()
    fresh = Pack([trial(seed=9)])
    for name, tensor in joined.tensors().items():
        if name != "order":  # a member that has not begun has none
            assert torch.equal(tensor[:2], last.pack.tensors()[name]), name
            assert torch.equal(tensor[2:], fresh.tensors()[name]), name
    with pytest.raises(ValueError, match="one Architecture"):
        last.pack.admit([trial(batch_size=32)])


@pytest.mark.parametrize("fields", [{}, {"network": "conv", "hidden": "4-8-16"}], ids=["mlp", "conv"])
def test_no_network_is_drawn_for_members_whose_state_is_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Neither where some leave, nor where others join, nor from a checkpoint; and nothing of them is left unset."""
    pack, fresh = (
        Pack([trial(seed=seed, factor_weight=1.0, **fields) for seed in seeds]) for seeds in ((0, 1, 2), (9,))
    )
    checkpoint.save(pack, tmp_path / "pack.pt")
    empty, uniform, drawn = torch.empty, Tensor.uniform_, set[int]()

    def noted(weight: Tensor, *bounds: float, generator: torch.Generator) -> Tensor:
        drawn.add(generator.initial_seed())
        return uniform(weight, *bounds, generator=generator)

    monkeypatch.setattr(Tensor, "uniform_", noted)
    monkeypatch.setattr(torch, "empty", lambda *size, **given: empty(*size, **given).fill_(7))
    kept, joined, (restored, _) = pack.keep([0, 2]), pack.admit(fresh.trials), checkpoint.restore(tmp_path / "pack.pt")
    of = {seed: random_streams.seeded(seed, "initialise").initial_seed() for seed in (0, 1, 2, 9)}
    assert drawn & set(of.values()) == {of[9]}
    for name, tensor in pack.tensors().items():
        assert torch.equal(kept.tensors()[name], tensor[[0, 2]]) and torch.equal(restored.tensors()[name], tensor), name
        assert torch.equal(joined.tensors()[name], torch.cat([tensor, fresh.tensors()[name]])), name


def test_a_refilled_pack_goes_on_from_a_checkpoint_bitwise(digits: Dataset, tmp_path: Path) -> None:
    """At every report of a pack whose members are at different steps, in the middle of their windows."""
    trials = varied(6, steps=UNEVEN)
    stopped, apart = {trials[1].trial_id}, []
    ends, expected = Run({}, {}, {}, {}, []), []
    for progress in train(Pack(trials[:3]), digits, trials[3:], stop(These(stopped))):
        assert progress.pack is not None
        apart += [len(expected)] if len(progress.reports) < progress.pack.size else []
        ends.take(progress, digits)
        expected.append(progress)
    assert len(apart) >= 4
    for cut in (0, 1, 9, *apart, len(expected) - 2):
        going = train(Pack(trials[:3]), digits, trials[3:], stop(These(stopped)))
        progress = [next(going) for _ in range(cut + 1)][-1]
        pack = progress.pack
        assert pack is not None
        if not progress.going:
            continue
        checkpoint.save(pack.keep(progress.going), tmp_path / "pack.pt")
        restored, _ = checkpoint.restore(tmp_path / "pack.pt")
        rest = list(train(restored, digits, progress.waiting, stop(These(stopped)), places=3))
        assert [p.reports for p in rest] == [p.reports for p in expected[cut + 1 :]], cut
        for progress in rest:
            for k in progress.done:
                tensors = progress.pack.keep([k]).tensors()
                found = ends.tensors[progress.pack.trials[k].trial_id]
                assert all(torch.equal(tensor, found[name]) for name, tensor in tensors.items())


def test_a_judge_that_compares_sees_all_trials_in_one_order(digits: Dataset) -> None:
    trials = varied(6, steps=20)
    first, second = BelowMean(), BelowMean()
    ends = [run(Pack(trials[:2]), digits, trials[2:], stop(judge)).ended for judge in (first, second)]
    assert first.told == second.told and ends[0] == ends[1] != {}
