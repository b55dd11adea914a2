"""What packs cost on a card, where a graph takes their steps: by the stand-in for graphs, and a clock of its own.

The clock goes on by LAUNCHED for each step that is launched by itself, by REPLAYED for each that a graph takes, and by
CAPTURED for each graph that is made; nothing else takes any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import pytest
from cost.test_measurements import GRID, KIND, entry, seconds
from support.packs import small_pack
from training.test_cuda_graph import Again, refusing

from vmi.cli.calibrate import _table
from vmi.cost.forecast import Extent, forecast
from vmi.cost.measurements import ZERO, Costs, Seconds, costs_on, read, write
from vmi.data.dataset import Dataset, load
from vmi.spec.reports import LEAST_STEPS, launched_steps, report_steps
from vmi.storage.checksum import sealed
from vmi.training import cuda_graph, train
from vmi.training.pack import Pack
from vmi.worker import measure
from vmi.worker.cost_fit import Stepped
from vmi.worker.measure import _Bench

LAUNCHED, REPLAYED, CAPTURED = 3.0, 1.0, 50.0


class Clock:
    now = 0.0

    def spent(self) -> Seconds:
        return seconds(self.now)


class Ticking(Again):
    """A graph that takes time when it is made, and at each replay."""

    clock: ClassVar[Clock]

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.clock.now += CAPTURED

    def replay(self) -> None:
        super().replay()
        self.clock.now += REPLAYED


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Of steps that are trained as on a card, on a CPU."""
    for name, value in (("_SAID", set()), ("_REASONS", []), ("_EAGER", set()), ("_CAPTURED", WeakKeyDictionary())):
        monkeypatch.setattr(cuda_graph, name, value)
    ticking = Ticking.clock = Clock()
    alone: Callable[..., None] = train.launch_steps

    def launch(pack: Pack, dataset: Dataset, count: int) -> None:
        alone(pack, dataset, count)
        ticking.now += LAUNCHED * count

    as_on_a_card(monkeypatch, launch, Ticking)
    return ticking


def as_on_a_card(monkeypatch: pytest.MonkeyPatch, launch: Callable[..., None], graph: Any) -> None:
    def run(pack: Pack, dataset: Dataset, count: int) -> None:
        if not cuda_graph.replayed(pack, dataset, count, graph, {}):
            launch(pack, dataset, count)

    for module in (train, measure):
        monkeypatch.setattr(module, "launch_steps", launch)
        monkeypatch.setattr(module, "run_steps", run)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_steps_are_measured_as_a_graph_takes_them_its_capture_by_itself_and_neither_is_in_what_is_beyond(
    tmp_path: Path, clock: Clock
) -> None:
    extent = Extent(replace(GRID, fixed={"layout": "n2*"}, space={}, seeds=range(2)), (), 16)  # no k-means
    ((architecture, members),) = extent.members.items()
    bench = _Bench("cpu", tmp_path, captures=True, now=clock.spent)
    one, two = bench.entries(extent.kinds[architecture], members, ZERO, 2)
    assert (one.pack_size, two.pack_size) == (1, 2)
    for found in (one, two):
        assert (found.step, found.launched, found.capture) == tuple(map(seconds, (REPLAYED, LAUNCHED, CAPTURED)))
        assert found.rest == ZERO, "a whole task of few steps takes no graph, and no time but that of its steps"


def test_where_no_step_can_be_captured_they_are_measured_as_they_are_launched(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_card(monkeypatch, measure.launch_steps, refusing)
    bench = _Bench("cpu", tmp_path, captures=True, now=clock.spent)
    with pytest.warns(RuntimeWarning, match="capturing failed"):
        steps = bench._steps({2: list(small_pack(2).trials)}, load("digits"), bounded=False)
    assert steps == {2: Stepped(seconds(LAUNCHED))}
    on_a_cpu = _Bench("cpu", tmp_path, now=clock.spent)
    assert on_a_cpu._steps({1: list(small_pack(1).trials)}, load("digits"), bounded=False)[1].launched is None


@pytest.mark.filterwarnings("ignore:steps are launched one by one")
@pytest.mark.parametrize("steps", [57, 59, 62])
def test_a_training_takes_the_steps_by_a_graph_that_the_model_counts(clock: Clock, steps: int) -> None:
    """In three stretches of 19 none is long enough, of 59 the last one is, of 62 every one."""
    reports, alone = 3, {57: 57, 59: 38, 62: 0}[steps]
    assert launched_steps(steps, reports) == alone
    pack = small_pack(1, steps=steps)
    for _ in train.train(pack, load("digits"), reports=reports):
        pass
    assert clock.now == LAUNCHED * alone + (CAPTURED + REPLAYED * (steps - alone) if alone < steps else 0)


def test_a_long_run_is_taken_by_a_graph_from_its_first_step_and_a_short_one_not_at_all() -> None:
    assert [launched_steps(n) for n in (1, 10, 190, 10 * LEAST_STEPS, 150_000)] == [1, 10, 190, 0, 0]
    assert launched_steps(195) == report_steps(195)[-2] == 171
    card = entry(1, REPLAYED, launched=seconds(LAUNCHED), capture=seconds(CAPTURED))
    assert card.taken(190) == seconds(190 * LAUNCHED)
    assert card.taken(195) == seconds(171 * LAUNCHED + CAPTURED + 24 * REPLAYED)
    assert card.taken(1000) == seconds(CAPTURED + 1000 * REPLAYED)
    assert entry(1, 2.0).taken(1000) == seconds(2000), "on a CPU no step is captured"


def on_a_card() -> Costs:
    measured: partial[Any] = partial(entry, device="cuda", hardware="test card", start=ZERO, data=ZERO, reference=ZERO)
    small = measured(1, 0.01, 1.0, launched=seconds(0.03), capture=seconds(2.0))
    large = measured(11, 0.02, 1.0, launched=seconds(0.04), capture=seconds(4.0))
    found = costs_on([small, large], "cuda", None)
    assert found
    return found


def test_each_pack_and_each_round_of_its_places_pays_for_a_graph_of_its_own() -> None:
    costs = on_a_card()
    assert costs.pack(KIND, 6, 1000).cpu == pytest.approx(1000 * 0.015 + 3.0 + 1.0), "half-way between the sizes"
    assert costs.pack(KIND, 1, 1000, rounds=3).cpu == pytest.approx(3 * (1000 * 0.01 + 2.0 + 1.0))
    assert costs.pack(KIND, 6, 100).cpu == pytest.approx(100 * 0.035 + 1.0)


def test_the_forecast_of_a_card_has_the_graphs_in_it() -> None:
    study = replace(GRID, fixed={"steps": 1000})
    found = forecast(Extent(study, (), 10), on_a_card(), 2)
    assert found and found.packs == 2
    assert found.schedule.makespan == pytest.approx(2 * (1000 * 0.019 + 3.8 + 1.0)), "wall time"


def test_a_calibration_keeps_the_graphs_and_one_of_before_is_read_without(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    kept = [entry(1, 0.01, launched=seconds(0.03), capture=seconds(2.0)), entry(4, 0.02)]
    write(path, kept)
    assert list(read(path)) == kept
    content = json.loads(path.read_text())
    for given in content["entries"]:
        del given["launched"], given["capture"]
    path.write_bytes(sealed({name: value for name, value in content.items() if name != "sha256"}))
    assert list(read(path)) == [entry(1, 0.01), entry(4, 0.02)]


def test_the_table_of_a_card_says_what_the_graph_costs_and_saves() -> None:
    (measured,) = on_a_card().by_kind.values()
    assert next(_table(measured)).endswith(", 4.00 s to capture the step (60.00 ms without)")
    assert next(_table([entry(1, 0.01, device="cuda")])).endswith("beyond its steps, launched one by one")
    assert next(_table([entry(1, 0.01)])).endswith("beyond its steps")
