"""A study's folder is read whole: duplicates resolved, damage named, nothing guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.data.study_results import open_study
from tests.analysis.cases import usual
from tests.analysis.factory import lambda_rows, publish, store, trial
from vmi.spec.errors import InputError, StoreError
from vmi.storage.checksum import sealed


def test_everything_is_there(tmp_path: Path) -> None:
    results = open_study(usual(tmp_path))
    assert (len(results.trials), results.planned, results.missing) == (50, 50, 0)
    assert (results.damaged, results.ignored, results.duplicates) == ((), 0, 0)
    row = results.trials[0]
    assert [report["step"] for report in results.curve(row)] == [100, 200, 300]
    arrays = results.arrays([row])[row["trial_id"]]
    assert arrays["assignments_c10"].shape == (10, 10)
    assert arrays["traversal_c10"].shape == (8, 10, 8, 8)


def test_a_missing_study_names_the_nearest(tmp_path: Path) -> None:
    usual(tmp_path)
    with pytest.raises(InputError, match="did you mean 'lambda'"):
        open_study(tmp_path / "lamda")
    with pytest.raises(InputError, match="there: lambda"):
        open_study(tmp_path / "zzz")


def test_a_broken_or_newer_study_file_is_named_and_kept(tmp_path: Path) -> None:
    file = usual(tmp_path) / "study.json"
    for text, message in (
        (b"{", "damaged, kept as it is"),
        (b"[]", "not a JSON object"),
        (b'{"vmi_study_version": 1}', "no checksum"),
        (file.read_bytes().replace(b"maximize", b"minimize"), "does not match its checksum"),
        (sealed({"space": {"a": 1}}), "not a study"),
        (sealed({"fixed": 1}), "not a study"),
        (sealed({"vmi_study_version": 9}), "9"),
    ):
        file.write_bytes(text)
        with pytest.raises(StoreError, match=message):
            open_study(file.parent)
        assert file.read_bytes() == text


def test_duplicates_count_once_and_curves_follow_the_kept_attempt(tmp_path: Path) -> None:
    row = trial()
    again = row | {"attempt": 2, "accuracy_majority": 0.99}
    failed = trial(seed=1, outcome="failed", reason="x") | {"attempt": 1}
    folder = store(tmp_path, [row, failed])
    publish(folder, "trials", [again, trial(seed=1) | {"attempt": 2}])
    publish(folder, "curves", [{"study": "lambda", "trial_id": row["trial_id"], "attempt": 2, "step": 7}])
    results = open_study(folder)
    assert results.duplicates == 1 and list(results.earlier) == [failed["trial_id"]], "a retry repeats nothing"
    assert (results.attempts(failed["trial_id"]), results.attempts(row["trial_id"])) == (2, 1)
    assert [r["outcome"] for r in results.trials] == ["completed", "completed"]
    kept = next(r for r in results.trials if r["trial_id"] == row["trial_id"])
    assert kept["attempt"] == 1 and kept["accuracy_majority"] == row["accuracy_majority"]
    assert [report["step"] for report in results.curve(kept)] == [100, 200, 300]


def test_what_a_commit_cut_short_had_published_of_a_curve_counts_once(tmp_path: Path) -> None:
    row = trial()
    folder = store(tmp_path, [row])
    before = open_study(folder)
    reports = before.curves_table.to_pylist()
    publish(folder, "curves", reports[:2])
    results = open_study(folder)
    assert results.curves_table.num_rows == before.curves_table.num_rows + 2
    assert results.curve(results.trials[0]) == before.curve(before.trials[0])


def test_a_damaged_part_is_named_and_the_rest_read(tmp_path: Path) -> None:
    folder = usual(tmp_path)
    part = sorted((folder / "trials").glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:-1])
    (folder / "trials" / ".tmp-x").write_bytes(b"")
    results = open_study(folder)
    assert len(results.trials) == 40 and results.missing == 10 and results.ignored == 1
    (named,) = results.damaged
    assert part.name in named


def test_a_metric_that_is_nan_is_absent(tmp_path: Path) -> None:
    rows = lambda_rows([0])
    rows[0]["accuracy_majority"] = float("nan")
    results = open_study(store(tmp_path, rows, with_arrays=False))
    assert any(row["accuracy_majority"] is None for row in results.trials)
