"""`trials` as CSV: every trial once, every column, the values of the store, and nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas
import pyarrow as pa
import pytest
from support.store_lab import record, trial

from tests.analysis.cases import PAYLOADS, hostile
from vmi.results.csv_export import to_csv
from vmi.results.parts import read
from vmi.results.rows import first_attempts
from vmi.results.store import Store
from vmi.spec.errors import InputError


def rows_of(folder: Path) -> pa.Table:
    return first_attempts(read(folder / "trials", "trials").checked())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results", "s")
    record(store, [0, 1])
    record(store, [1, 2], 2)  # a second attempt, of which readers count one
    return store


def test_pandas_reads_the_values_of_the_store_one_row_per_trial(store: Store, tmp_path: Path) -> None:
    to_csv(rows_of(store.folder), tmp_path / "trials.csv")
    found = pandas.read_csv(tmp_path / "trials.csv", index_col="trial_id")
    assert sorted(found.index) == sorted(trial(seed).trial_id for seed in range(3))
    for trial_id, row in store.finished().items():
        said = found.loc[trial_id]
        assert {*said.index, "trial_id"} == row.keys()
        for name, value in row.items():
            if name == "finished_at":
                assert pandas.Timestamp(said[name]) == value
            elif name != "trial_id":
                assert pandas.isna(said[name]) if value is None else said[name] == value, name


def test_no_text_is_a_formula_and_none_is_lost(tmp_path: Path) -> None:
    folder = hostile(tmp_path)
    to_csv(rows_of(folder), tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.DictReader(file) for cell in (row["reason"], row["device"])]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in cells)
    assert all(f"'{payload}" in cells for payload in PAYLOADS if payload[0] in "=+-@")


def test_a_file_that_exists_is_refused(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "trials.csv"
    file.write_text("mine")
    with pytest.raises(InputError, match="does not exist yet") as refused:
        to_csv(rows_of(store.folder), file)
    assert refused.value.problems[0].field == "--csv" and file.read_text() == "mine"
