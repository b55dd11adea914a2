"""The recorder: a typed row per trial, its curve and its arrays, all of them durable at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmi.results.schema import METRICS, trials_schema
from vmi.results.store import Store
from vmi.results.writer import Committed
from vmi.spec.config import FIELD_TYPES
from vmi.spec.datasets import spec_of
from vmi.spec.trial import Completed, Failed, Pruned, Report

METRIC_NAMES = sorted(set(METRICS) - {"categories_used"})


def one_row(store):
    (row,) = store.read("trials").checked().to_pylist()
    return row


def test_a_completed_trial_is_one_typed_row(lab, store):
    trial = lab.trial(mi_weight=8, seed=3, preset="corrected")
    assert lab.record(store, {trial: lab.completed(trial, categories_used=9.0, rate_c10_nats=1.25)}) == [trial.trial_id]
    row = one_row(store)
    assert {name: row[name] for name in FIELD_TYPES} == {name: getattr(trial.config, name) for name in FIELD_TYPES}
    assert row["data_fingerprint"] == spec_of("digits").fingerprint
    known = {
        "study": "lambda",
        "trial_id": trial.trial_id,
        "suggestion_id": trial.suggestion_id,
        "reason": None,
    }
    known |= {"outcome": "completed", "step": trial.config.steps, "finished_at": lab.now, "nmi": None}
    known |= {"rate_nats": 2.5, "accuracy_majority": 0.75, "categories_used": 9, "rate_c10_nats": 1.25}
    known |= lab.cost()._asdict()
    assert {name: row[name] for name in known} == known
    assert store.read("trials").table.schema.equals(trials_schema(lab.layouts))


def test_pruned_and_failed_trials_keep_what_they_reached_and_have_no_arrays(lab, store):
    cut, broken = lab.trial(seed=1), lab.trial(seed=2)
    lab.record(store, {cut: Pruned(20, {"nmi": 0.5}), broken: Failed("loss became NaN at step 30", 30)})
    rows = store.finished()
    ended = ("outcome", "reason", "step", "nmi")
    assert [rows[cut.trial_id][name] for name in ended] == ["pruned", None, 20, 0.5]
    assert [rows[broken.trial_id][name] for name in ended] == [
        "failed",
        "loss became NaN at step 30",
        30,
        None,
    ]
    assert store.read("curves").table.num_rows == 6 and store.read("arrays").table.num_rows == 0


@pytest.mark.parametrize("kind", [Completed, Pruned])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_is_a_failed_trial_with_the_reason(lab, store, kind, value):
    trial = lab.trial()
    metrics = {"rate_nats": 2.5, "categories_used": value, "elbo_nats": value}
    outcome = Pruned(7, metrics) if kind is Pruned else Completed(7, metrics, lab.arrays(trial.config.layout))
    lab.record(store, {trial: outcome})
    row = one_row(store)
    assert row["outcome"] == "failed"
    assert row["reason"] == f"categories_used became {value}, elbo_nats became {value} at step 7"
    assert (row["rate_nats"], row["categories_used"], row["elbo_nats"]) == (2.5, None, None)
    assert store.read("arrays").table.num_rows == 0


@pytest.mark.parametrize("value", [None, "0.5", True, [0.5], np.ones(2)], ids=str)
def test_a_metric_that_is_no_number_is_a_failed_trial_with_the_reason(lab, store, value):
    trial = lab.trial()
    lab.record(store, {trial: Completed(7, {"rate_nats": 2.5, "nmi": value}, {})})
    row = one_row(store)
    assert (row["outcome"], row["nmi"], row["rate_nats"]) == ("failed", None, 2.5)
    assert row["reason"] == f"nmi became {value!r} at step 7"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metrics=st.dictionaries(st.sampled_from(METRIC_NAMES), st.floats(allow_subnormal=False)))
def test_no_metric_in_the_store_is_ever_nan_or_infinite(lab, tmp_path_factory, metrics):
    store, trial = Store(tmp_path_factory.mktemp("results"), "s"), lab.trial()
    lab.record(store, {trial: Completed(7, metrics, {})})
    row = one_row(store)
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    assert {name: row[name] for name in METRIC_NAMES if row[name] is not None} == finite
    assert row["outcome"] == ("completed" if finite == metrics else "failed")


def test_curves_carry_every_report_in_order_and_nothing_is_rounded(lab, store):
    trial, recorder = lab.trial(), lab.recorder(store, attempt=2)
    for step, value in [(10, math.nan), (20, math.inf), (30, 1 / 3)]:
        recorder.write(Report(trial.trial_id, step, {"loss_nats": value, "code_entropy_c10_nats": 0.5}))
    recorder.finish(trial, Failed("why", 30), lab.cost(attempt=2))
    recorder.commit()
    curves = store.read("curves").table.to_pylist()
    assert [(row["step"], row["attempt"], row["study"]) for row in curves] == [(s, 2, "lambda") for s in (10, 20, 30)]
    assert math.isnan(curves[0]["loss_nats"]) and [row["loss_nats"] for row in curves[1:]] == [
        math.inf,
        1 / 3,
    ]
    assert curves[0]["rate_nats"] is None and curves[0]["code_entropy_c10_nats"] == 0.5


def test_arrays_of_two_layouts_are_tensors_with_null_where_there_is_no_block(lab, store):
    first, second = lab.trial(), lab.trial(layout="n2*+n30")
    lab.record(store, {first: lab.completed(first), second: lab.completed(second)})
    table = store.read("arrays").checked()
    assert table["trial_id"].to_pylist() == [first.trial_id, second.trial_id]
    for row, trial in enumerate((first, second)):
        wanted = lab.arrays(trial.config.layout)
        for name in set(table.column_names) - {"study", "trial_id", "attempt"}:
            column = table[name].combine_chunks()
            assert column[row].is_valid == (name in wanted), name
            if name in wanted:
                tensor = column.slice(row, 1).to_numpy_ndarray()[0]
                assert tensor.dtype == wanted[name].dtype and np.array_equal(tensor, wanted[name]), name


def test_nothing_is_finished_before_the_commit_and_the_buffers_are_empty_after_it(lab, store):
    trial = lab.trial()
    recorder = lab.buffered(store, {trial: lab.completed(trial)})
    assert store.finished() == {}
    committed = recorder.commit()
    assert committed.ids == (trial.trial_id,)
    assert committed.trials == (one_row(store),) and one_row(store) == store.finished()[trial.trial_id]
    assert list(committed.curves) == store.read("curves").table.to_pylist()
    assert recorder.commit() == Committed((), ())
    assert len(list(store.folder_of("trials").iterdir())) == 1


def test_the_curve_of_a_trial_that_goes_on_is_published_with_it(lab, store):
    cut, going = lab.trial(seed=1), lab.trial(seed=2)
    recorder = lab.buffered(store, {cut: Pruned(30, {})})
    recorder.write(Report(going.trial_id, 10, {"loss_nats": 1.0}))
    assert recorder.commit().ids == (cut.trial_id,)
    assert set(store.read("curves").table["trial_id"].to_pylist()) == {cut.trial_id}
    recorder.finish(going, Failed("why", 11), lab.cost())
    assert recorder.commit().ids == (going.trial_id,)
    assert store.read("curves").table.num_rows == 4


def test_what_has_no_column_is_refused_by_name(lab, store):
    trial, recorder = lab.trial(), lab.recorder(store)
    with pytest.raises(KeyError, match="nmii"):
        recorder.finish(trial, Completed(1, {"nmi": 0.5, "nmii": 0.5}, {}), lab.cost())
    with pytest.raises(KeyError, match="rate_c7_nats"):
        recorder.finish(trial, Pruned(1, {"rate_c7_nats": 0.5}), lab.cost())
    with pytest.raises(KeyError, match="nmi"):
        recorder.write(Report(trial.trial_id, 1, {"nmi": 0.5}))
    with pytest.raises(KeyError, match="traversal_c7"):
        recorder.finish(trial, Completed(1, {}, {"traversal_c7": np.zeros((8, 7, 8, 8), np.uint8)}), lab.cost())
    assert recorder.commit().ids == ()


def test_what_does_not_fit_its_column_is_refused(lab, store):
    trial, recorder = lab.trial(), lab.recorder(store)
    for wrong in (np.zeros((10, 9), np.int32), np.zeros((10, 10), np.int64), np.zeros(100, np.int32)):
        with pytest.raises(ValueError, match=r"assignments_c10 .* int32 \[10, 10\]"):
            recorder.finish(trial, Completed(1, {}, {"assignments_c10": wrong}), lab.cost())
    with pytest.raises(ValueError, match=r"categories_used = 9\.5"):
        recorder.finish(trial, Completed(1, {"categories_used": 9.5}, {}), lab.cost())
    with pytest.raises(ValueError, match="attempt 2"):
        recorder.finish(trial, Completed(1, {}, {}), lab.cost(attempt=2))
    assert recorder.commit().ids == ()
