"""The arithmetic of costs and predictions: what is measured is used, and what was not measured is not guessed."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmi.cost.forecast import Extent, PackSeconds, forecast
from vmi.cost.measurements import Costs, Entry, Seconds, costs_on, kind_of, read, sizes_up_to, write
from vmi.cost.packing import pack
from vmi.cost.prediction import Target, cut_line, prediction_lines, simulation_lines
from vmi.search.factory import searcher_for
from vmi.spec.errors import StoreError
from vmi.spec.resolving import resolve
from vmi.storage.checksum import sealed
from vmi.study.space import choice, integers, log_uniform
from vmi.study.study import Study, trials

GRID = Study(name="s", fixed={"steps": 100}, space={"mi_weight": choice(0, 1, 2, 4)}, seeds=range(5))
CONFIG = resolve({})
KIND = kind_of(CONFIG.architecture, [CONFIG])


def seconds(value: float) -> Seconds:
    return Seconds(value, 2 * value)


def entry(size: int, step: float, rest: float = 1.0, **other: Any) -> Entry:
    return Entry(
        **{
            "device": "cpu", "hardware": "test CPU", "cores": 2, "torch": "2", "measured": "2026-01-01T00:00:00+00:00",
            "kind": KIND, "pack_size": size, "step": seconds(step), "rest": seconds(rest), "start": seconds(8.0),
            "data": seconds(0.5), "reference": seconds(0.25), **other,
        }
    )  # fmt: skip


ENTRIES = (entry(1, 0.01, 1), entry(4, 0.02, 4), entry(16, 0.05, 16))


def costs() -> Costs:
    found = costs_on(ENTRIES, "cpu", "test CPU")
    assert found
    return found


def test_a_pack_costs_its_steps_and_what_is_beyond_them() -> None:
    assert costs().pack(KIND, 4, 100) == seconds(100 * 0.02 + 4)
    assert costs().pack(KIND, 4, 100, rounds=3).cpu == pytest.approx(3 * (100 * 0.02 + 4))


def test_cost_is_linear_in_steps() -> None:
    one, two, three = (costs().pack(KIND, 16, n).cpu for n in (0, 1000, 2000))
    assert three - two == pytest.approx(two - one) == pytest.approx(50)


def test_between_measured_sizes_a_step_is_on_the_line_and_outside_there_is_none() -> None:
    assert costs().pack(KIND, 10, 1).cpu == pytest.approx((0.02 + 0.05) / 2 + 10)
    assert not costs().has(KIND, 17) and not costs().has(KIND._replace(batch_size=64), 1)
    with pytest.raises(KeyError):
        costs().pack(KIND, 17, 1)


def test_a_pack_is_predicted_by_its_members_and_the_places_that_they_have() -> None:
    every = [trial for s in searcher_for(GRID, 0).ask(99) for trial in trials(GRID, s)]
    asked: list[int] = []
    predicted = PackSeconds(GRID, lambda: asked.append(1) or costs(), lambda architecture: 4)
    assert predicted(every[:4]) == pytest.approx(100 * 0.02 + 4)
    assert predicted(every[:1]) == pytest.approx(100 * 0.01 + 1)
    assert predicted(every[:12]) == pytest.approx(3 * (100 * 0.02 + 4))
    assert asked == [1]
    other = resolve({"steps": 50, "mi_weight": 3})  # which the study's own points do not have
    assert predicted([every[0]._replace(config=other)]) == pytest.approx(50 * 0.01 + 1)
    unknown = resolve({"batch_size": 64})
    assert predicted([every[0]._replace(config=unknown)]) is None
    assert PackSeconds(GRID, lambda: None, lambda architecture: 4)(every[:4]) is None


def test_costly_terms_make_another_kind() -> None:
    config = resolve({"factor_weight": 3.0, "layout": "n10+c10*"})
    assert kind_of(config.architecture, [config, CONFIG]).terms == "factor_weight"
    assert KIND.terms == ""


@pytest.mark.parametrize(("size", "expected"), [(1, (1,)), (2, (1, 2)), (16, (1, 4, 16)), (20, (1, 4, 16, 20))])
def test_sizes_are_measured_up_to_the_study_s(size: int, expected: tuple[int, ...]) -> None:
    assert sizes_up_to(size) == expected


def test_entries_are_kept_and_measured_anew_in_place(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "calibration.json"
    assert read(path) == ()
    write(path, ENTRIES)
    write(path, [entry(4, 0.03), entry(4, 0.04, hardware="other CPU")])
    found = {(e.hardware, e.pack_size): e.step.cpu for e in read(path)}
    assert found == {("test CPU", 1): 0.01, ("test CPU", 4): 0.03, ("test CPU", 16): 0.05, ("other CPU", 4): 0.04}
    assert [p.name for p in path.parent.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"vmi_calibration_version": 2}', "null", "\x00"])
def test_a_damaged_calibration_is_named_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"calibration\.json"):
        write(path, ENTRIES)
    assert path.read_text() == text


def test_seconds_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write(path, ENTRIES)
    changed = json.loads(path.read_text().replace('"cpu": 0.01', '"cpu": -1'))
    with pytest.raises(StoreError, match="checksum"):
        path.write_text(json.dumps(changed))
        read(path)
    path.write_bytes(sealed({name: value for name, value in changed.items() if name != "sha256"}))
    with pytest.raises(StoreError, match="step"):
        read(path)


def test_the_forecast_of_a_grid_is_its_packs_on_the_workers() -> None:
    """20 trials: 16 at most make 2 packs of 10 on two workers; a step of 10 is half-way between those of 4 and 16."""
    found = forecast(Extent(GRID, (), 16), costs(), 2)
    assert found and (found.packs, found.trials, found.at_most) == (2, 20, False)
    pack = 100 * 0.035 + 10
    assert found.schedule.makespan == pytest.approx(8 + 0.75 + pack)
    assert found.cpu == pytest.approx(2 * (8.75 + pack))


def test_on_a_gpu_wall_time_counts() -> None:
    found = forecast(Extent(GRID, (), 16), costs()._replace(device="cuda"), 2)
    assert found and found.schedule.makespan == pytest.approx(2 * (8 + 0.75 + 100 * 0.035 + 10))


def test_what_is_finished_is_not_forecast() -> None:
    every = [t.trial_id for s in Extent(GRID, (), 16).suggestions for t in trials(GRID, s)]
    found = forecast(Extent(GRID, every[:16], 16), costs(), 1)
    assert found and (found.packs, found.trials) == (1, 4)
    assert Extent(GRID, every, 16).left == 0


SEARCH = Study(
    name="s", space={"mi_weight": log_uniform(0.5, 32), "layout": choice("n16+c10*", "n8+c10*+c2*")}, seeds=range(2),
    searcher="tpe", suggestions=16, confirm=2, confirm_seeds=range(100, 103),
)  # fmt: skip


def test_a_sampler_is_planned_with_its_suggestions_in_rounds() -> None:
    extent = Extent(SEARCH, (), 4)
    rounds = extent.rounds(2, pack)
    assert extent.left == 16 * 2 + 2 * 3
    assert [sum(len(spec.trials) for spec in part) for part in rounds] == [8, 8, 8, 8, 6]
    layouts = {spec.trials[0].config.layout for part in rounds for spec in part}
    assert layouts == {"n16+c10*", "n8+c10*+c2*"}
    assert (
        sum(len(s.trials) for part in Extent(SEARCH, {f"{i}" for i in range(34)}, 4).rounds(2, pack) for s in part) == 4
    )


def test_members_that_may_be_stopped_make_it_an_upper_bound() -> None:
    study = replace(SEARCH, space={"mi_weight": log_uniform(0.5, 32)}, pruner="median", confirm=0)
    found = forecast(Extent(study, (), 4), costs(), 1)
    assert found and found.at_most and found.trials == 32


def test_a_wide_range_of_shapes_is_not_foreseen_and_says_so(tmp_path: Path) -> None:
    study = replace(SEARCH, space={"batch_size": integers(32, 1024)}, confirm=0)
    extent = Extent(study, (), 4)
    assert not extent.is_foreseen and extent.left == 32
    assert any("wide range" in line for line in lines(extent, tmp_path / "none"))


def lines(extent: Extent, path: Path, **target: Any) -> list[str]:
    wanted = Target(**{"device": "cpu", "workers": 2, "hardware": "test CPU", **target})
    return list(prediction_lines(extent, wanted, wanted.costs(path), "vmi calibrate x.py"))


def test_the_plan_says_time_cost_and_idle(tmp_path: Path) -> None:
    write(tmp_path / "c.json", ENTRIES)
    said = lines(Extent(GRID, (), 16), tmp_path / "c.json", gpu_hour=3600.0)
    assert said[0] == "predicted on 2 CPU cores: 22 s, 0.0124 CPU core-hours, 44.50 at 3600 an hour"
    assert said[1] == "  of that idle: 0%; start-up and loading: 18 s"
    assert said[3].startswith("  measured on test CPU, 2026-01-01")


def test_without_a_measurement_there_is_the_command_and_no_figure(tmp_path: Path) -> None:
    for target in ({}, {"hardware": "other CPU"}, {"device": "cuda", "hardware": None}):
        said = lines(Extent(GRID, (), 16), tmp_path / "none.json", **target)
        assert said[0].startswith("no prediction: a pack of 16 of digits n16+c10* mlp 128-64 was not measured on")
        assert said[1] == "  measure it there with: vmi calibrate x.py" and len(said) == 2
    write(tmp_path / "c.json", ENTRIES[:2])
    assert lines(Extent(GRID, (), 16), tmp_path / "c.json")[0].startswith("no prediction: a pack of 16")
    assert lines(Extent(GRID, (), 4), tmp_path / "c.json")[0].startswith("predicted")


@pytest.mark.parametrize("prefer", ["time", "cost"])
def test_a_pack_size_beyond_the_measured_ones_is_no_prediction_and_no_error(tmp_path: Path, prefer: str) -> None:
    """The cut is an estimate's then, and its packs may be larger than any that was measured."""
    write(tmp_path / "c.json", ENTRIES)
    target = Target("cpu", 1, "test CPU")
    costs = target.costs(tmp_path / "c.json")
    assert costs is not None
    said = set()
    for seeds, size, workers in itertools.product((1, 4, 5, 9), (3, 16, 17, 19, 24, 64), (1, 2, 7)):
        extent = Extent(replace(GRID, seeds=range(seeds)), (), size)
        found = forecast(extent, costs, workers, extent.planner(costs, "cpu", prefer))
        assert (found is None) == (min(size, extent.left) > 16)
        wanted = replace(target, workers=workers)
        (first, *_) = prediction_lines(extent, wanted, costs, "vmi calibrate x.py", prefer)
        (cut,) = cut_line(extent, wanted, costs, prefer)
        assert ("by what was measured" in cut) == (found is not None) == first.startswith("predicted")
        said.add(found is None)
    assert said == {True, False}


def test_a_simulation_has_a_row_per_number_of_workers() -> None:
    target = Target("cpu", 1, "test CPU")
    said = list(simulation_lines(Extent(GRID, (), 16), target, costs(), (1, 2, 1000)))
    assert [line.split()[0] for line in said] == ["CPU", "1", "2", "1000"]
    assert "100%" in said[3]
    assert not list(simulation_lines(Extent(GRID, (), 16), target, None, (1,)))
