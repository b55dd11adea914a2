"""Packs that train at the same time, as real processes on a CPU, and what is made of their times on a card."""

from __future__ import annotations

from pathlib import Path

import pytest
from cost.test_measurements import GRID, entry
from support.packs import varied
from support.worker_runs import task_of

from vmi.cost.forecast import Extent
from vmi.cost.measurements import FILE, read, write
from vmi.cost.sharing import best_count, packs_a_gpu
from vmi.spec.errors import StoreError
from vmi.storage.checksum import sealed, unsealed
from vmi.worker.together import step_seconds


def test_packs_train_at_the_same_time_and_one_that_cannot_is_none(tmp_path: Path) -> None:
    task = task_of(tmp_path, varied(2))
    for packs in (1, 2):
        seconds = step_seconds(task, packs, 5, tmp_path)
        assert seconds is not None and 0 < seconds < 60
    assert step_seconds(task_of(tmp_path, varied(2), device="cuda:99"), 2, 5, tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["together.json"], "nothing is stored"


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        ({1: 1.0, 2: 2.0}, 1), ({1: 1.0, 2: 1.95}, 1), ({1: 1.0, 2: 1.2, 4: 3.0}, 2), ({1: 1.0, 2: 1.0, 4: 1.0}, 4),
        ({1: 1.0, 2: None}, 1), ({1: 1.0, 2: 1.1, 4: None}, 2), ({1: None}, 1),
    ],
)  # fmt: skip
def test_more_packs_share_a_gpu_while_that_trains_more(seconds: dict[int, float | None], count: int) -> None:
    assert best_count(lambda packs: seconds[packs]) == count


# Members, seconds of a step, packs a GPU: the last costs a member least.
SIZES = ((1, 0.01, 4), (16, 0.05, 2))


def test_what_was_measured_of_every_kind_decides_and_one_that_was_not_is_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE
    assert packs_a_gpu(GRID, path) == 1
    kinds = [*Extent(GRID, (), 1).kinds.values()]
    on_card = {"device": "cuda", "hardware": "test card"}
    write(path, [entry(size, step, kind=kinds[0], packs_a_gpu=n, **on_card) for size, step, n in SIZES])
    assert [e.packs_a_gpu for e in read(path)] == [4, 2]
    assert packs_a_gpu(GRID, path) == (2 if len(kinds) == 1 else 1)
    for kind in kinds:
        write(path, [entry(16, 0.05, kind=kind, packs_a_gpu=2, **on_card)])
    assert packs_a_gpu(GRID, path) == 2
    content = unsealed(path.read_bytes())
    content["entries"][0]["packs_a_gpu"] = 0
    path.write_bytes(sealed(content))
    with pytest.raises(StoreError, match="packs_a_gpu = 0"):
        read(path)
