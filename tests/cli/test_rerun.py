"""`vmi rerun`: a stored trial trained again from its row alone is bitwise what is stored, or what differs is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from support.failures import REASON, store_failed, trial_of
from support.packs import varied
from support.runs import files
from support.worker_runs import task_of

import vmi
from tests.support.commands import here
from tests.support.commands import vmi as command
from vmi.results.schema import METRICS, TABLES
from vmi.results.store import Store
from vmi.sources import kept
from vmi.worker.work import work

STEPS = 20


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three trials that were trained in one pack."""
    root = tmp_path_factory.mktemp("stored")
    list(work(task_of(root, varied(3, steps=STEPS))))
    return Store(root, "s")


def _kinds(store: Store) -> tuple[list[str], list[pa.DataType]]:
    schema = store.read("arrays").checked().schema
    return schema.names, schema.types


def first(store: Store) -> str:
    return min(store.finished())


def changed(store: Store, root: Path, change: dict[str, Callable[[dict[str, Any]], dict[str, Any]]]) -> Store:
    """The same study elsewhere, with its rows of these tables changed."""
    new, tables = Store(root, store.study), {}
    for name in TABLES:
        table = store.read(name).checked()
        rows = [change.get(name, dict)(row) for row in table.to_pylist()]
        columns = [_column([row[field.name] for row in rows], field.type) for field in table.schema]
        tables[name] = pa.Table.from_arrays(columns, schema=table.schema)
    new.commit(**tables)
    return new


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.FixedShapeTensorType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


def test_a_member_of_a_pack_is_bitwise_the_same_alone_and_nothing_in_the_results_is_changed(
    study: Store, tmp_path: Path
) -> None:
    before = files(Path(str(study.root)))
    said = here(tmp_path, "rerun", study.folder, first(study))
    assert (said.code, said.err) == (0, "")
    (line,) = (line for line in said.out.splitlines() if line.startswith("bitwise the same"))
    row = study.finished()[first(study)]
    metrics = [name for name, value in row.items() if value is not None and (name in METRICS or "_c10_" in name)]
    metrics += [name for name in row if "_n16_" in name and row[name] is not None]
    arrays = [name for name, kind in zip(*_kinds(study), strict=True) if isinstance(kind, pa.FixedShapeTensorType)]
    assert line == f"bitwise the same: {len(metrics)} metrics, 10 reports of its curve, {len(arrays)} arrays"
    assert files(Path(str(study.root))) == before
    assert {path.name for path in tmp_path.iterdir()} <= {".cache"}  # of the home: k-means of the digits


def test_what_is_kept_is_a_store_that_opens(study: Store, tmp_path: Path) -> None:
    made = vmi.Study(name="one", fixed={"steps": STEPS}, space={"mi_weight": vmi.choice(0, 4)}, seeds=(0,))
    results = vmi.run(made, local=True, results=tmp_path / "results")
    trial_id = results.trials["trial_id"][0]
    said = here(tmp_path, "rerun", results.folder, trial_id, "--out", tmp_path / "new")
    assert said.code == 0 and f"kept in: {tmp_path / 'new' / 'one'}" in said.out
    again = vmi.open(tmp_path / "new" / "one")
    assert list(again.trials["trial_id"]) == [trial_id]
    assert again.curves(trial_id)["distortion_nats"].equals(results.curves(trial_id)["distortion_nats"])
    for place in ("new", "results", "results/one", "results/one/new"):
        refused = here(tmp_path, "rerun", results.folder, trial_id, "--out", tmp_path / place)
        assert refused.code == 2 and "--out" in refused.err, place


def test_each_metric_report_and_array_that_differs_is_named_by_how_much_with_both_versions(
    study: Store, tmp_path: Path
) -> None:
    chosen = first(study)
    arrays = study.read("arrays").checked()
    name = next(n for n in arrays.column_names if n.startswith("assignments"))

    def of(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda row: row | change(row) if row["trial_id"] == chosen else row

    versions = json.dumps({"vmi-sweeps": "0.0.1", "torch": "1.0"})
    other = changed(study, tmp_path, {
        "trials": of(lambda row: {"nmi": row["nmi"] + 0.25, "device": "NVIDIA X", "versions": versions}),
        "curves": of(lambda row: {"rate_nats": row["rate_nats"] + (1.0 if row["step"] > 10 else 0.0)}),
        "arrays": of(lambda row: {name: [row[name][0] + 3, *row[name][1:]]}),
    })  # fmt: skip
    said = here(tmp_path, "rerun", other.folder, chosen)
    lines = [line.strip() for line in said.out.splitlines()]
    assert said.code == 1 and "not the same:" in lines
    found = lines[lines.index("not the same:") + 1 :]
    assert len(found) == 5, found
    assert found[0].startswith("curve, rate_nats: 5 of 10 reports, first at step 12: ") and found[0].endswith("(-1)")
    assert found[1].startswith("nmi: ") and found[1].endswith("(-0.25)")
    assert found[2].startswith(f"array {name}: 1 of ") and found[2].endswith("by at most 3")
    assert found[3] == "stored: vmi-sweeps 0.0.1, torch 1.0, on NVIDIA X"
    assert found[4].startswith("now: vmi-sweeps ") and torch.__version__ in found[4]


def test_a_failed_trial_fails_again_at_the_same_step_for_the_same_reason_or_what_it_does_is_said(
    tmp_path: Path,
) -> None:
    breaks = trial_of(steps=STEPS, learning_rate=10.0, mi_weight=1e6)
    list(work(task_of(tmp_path, [breaks])))
    said = here(tmp_path, "rerun", tmp_path / "s", breaks.trial_id)
    assert said.code == 0 and "failed at step 1: " in said.out and "its last step, its reason" in said.out
    fine = trial_of(steps=STEPS)
    store_failed(tmp_path, "s", [fine])
    said = here(tmp_path, "rerun", tmp_path / "s", fine.trial_id)
    assert said.code == 1
    assert f"ended: failed at step 7: {REASON} stored, completed at step {STEPS} now" in said.out


class Stops:
    """A judge that stops every member from a step on."""

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        return step >= 8


def test_one_that_was_stopped_early_is_compared_by_its_curve_up_to_there(tmp_path: Path) -> None:
    trials = varied(2, steps=STEPS)
    pruning = {"pruner": "median", "metric": "accuracy_majority"}
    list(work(task_of(tmp_path, trials, pruning=pruning), Stops()))
    store = Store(tmp_path, "s")
    assert {(row["outcome"], row["step"]) for row in store.finished().values()} == {("pruned", 8)}
    said = here(tmp_path, "rerun", store.folder, trials[0].trial_id)
    assert said.code == 0 and "compared is its curve, up to step 8" in said.out
    assert f"completed at step {STEPS}" in said.out and "bitwise the same: 4 reports of its curve" in said.out
    other = changed(store, tmp_path / "other", {"curves": lambda row: row | {"rate_nats": row["rate_nats"] + 1.0}})
    said = here(tmp_path, "rerun", other.folder, trials[0].trial_id)
    assert said.code == 1 and "curve, rate_nats: 4 of 4 reports, first at step 2" in said.out


def test_what_is_not_there_is_2_with_the_nearest(study: Store, tmp_path: Path) -> None:
    trial_id = first(study)
    said = here(tmp_path, "rerun", study.folder, f"{trial_id[:-1]}x")
    assert said.code == 2 and f"did you mean '{trial_id}'?" in said.err
    said = here(tmp_path, "rerun", study.root / "t", trial_id)
    assert said.code == 2 and "there: s" in said.err
    said = here(tmp_path, "rerun", study.folder, "?", "--out", study.folder / "new")
    assert said.code == 2 and "2 problems" in said.err and "--out" in said.err and "trial_id" in said.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data_fingerprint": "00"}, "the trial was trained on 00"),
        ({"dataset": "photos-1"}, "the data that the trial was trained on are missing"),
        ({"batch_size": 63}, "a trial whose configuration has the same numbers in this program"),
    ],
)
def test_other_data_or_another_meaning_is_2(study: Store, tmp_path: Path, change: dict[str, Any], says: str) -> None:
    other = changed(study, tmp_path / "other", {"trials": lambda row: row | change})
    said = here(tmp_path, "rerun", other.folder, first(study))
    assert said.code == 2 and says in said.err


def test_a_damaged_store_is_3(study: Store, tmp_path: Path) -> None:
    root = Path(shutil.copytree(str(study.root), tmp_path / "root"))
    part = next((root / "s" / "trials").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    said = here(tmp_path, "rerun", root / "s", first(study))
    assert said.code == 3 and part.name in said.err


def test_images_of_the_user_s_own_are_read_from_beside_the_results(tmp_path: Path) -> None:
    numbers, root = np.random.default_rng(0), tmp_path / "results"
    kinds = np.arange(60) % 3
    x = (numbers.integers(0, 100, (60, 8, 8)) + 70 * kinds[:, None, None]).astype(np.uint8)
    made = vmi.Study(
        name="own", fixed={"dataset": vmi.Dataset.from_arrays(x, kinds), "layout": "n2+c3*", "steps": STEPS},
        space={"mi_weight": vmi.choice(4)}, seeds=(0,),
    )  # fmt: skip
    trial_id = vmi.run(made, local=True, results=root).trials["trial_id"][0]
    said = command(tmp_path, "rerun", root / "own", trial_id, "--out", tmp_path / "new")
    assert said.code == 0 and "bitwise the same" in said.out, said.err
    assert len(list((tmp_path / "new" / kept.FOLDER).iterdir())) == 1, "its page finds them there"
    pixels = next((root / kept.FOLDER).glob("*/train_pixels.npy"))
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"x")
    said = command(tmp_path, "rerun", root / "own", trial_id)
    assert said.code == 3 and "a file was changed" in said.err
    shutil.rmtree(root / kept.FOLDER)
    said = command(tmp_path, "rerun", root / "own", trial_id)
    assert said.code == 2 and "are missing" in said.err
