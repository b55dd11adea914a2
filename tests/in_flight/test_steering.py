"""Requests to stop trials: durable and sealed, in force in their order, for whoever looks, until they are lifted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.packs import trial

from vmi.in_flight.steering import FOLDER, StopRequests, put_stop, stop_request
from vmi.results.fsck import check
from vmi.results.store import Store
from vmi.spec.errors import InputError, StoreError
from vmi.storage.paths import AnyPath, ObjectPath

NOW = datetime(2026, 11, 27, 8, 0, 0, tzinfo=UTC)
TRIALS = [trial(mi_weight=weight, seed=seed) for weight in (0.0, 8.0) for seed in (0, 1)]


def asked(root: AnyPath) -> Store:
    """A store with two requests that overlap in one trial."""
    store = Store(root, "s")
    for minutes, condition in ((0, "mi_weight = 8"), (1, "seed = 1")):
        put_stop(store, stop_request(condition, NOW + timedelta(minutes=minutes)))
    return store


def test_the_oldest_request_that_a_trial_meets_is_the_reason(tmp_path: Path) -> None:
    store = asked(tmp_path)
    requests = StopRequests(store)
    assert [request.where for request in requests.look()] == ["mi_weight = 8", "seed = 1"]
    found = requests.met_by(TRIALS)
    first, second = (str(request) for request in requests.all)
    assert [found.get(t.trial_id) for t in TRIALS] == [None, second, first, first]
    assert first.startswith("stopped by ") and first.endswith(" at 2026-11-27 08:00:00 UTC")
    assert StopRequests(store).checked() == requests.all and check(store.folder).counts["requests"] == 2


def test_a_request_is_found_once_and_looked_for_seldom(tmp_path: Path) -> None:
    now = [0.0]
    store, requests = Store(tmp_path, "s"), StopRequests(Store(tmp_path, "s"), lambda: now[0])
    assert requests.look() == []
    put_stop(store, stop_request("seed = 1", NOW))
    assert requests.look() == []
    now[0] = 2.0
    assert len(requests.look()) == 1
    now[0] = 4.0
    assert requests.look() == [] and len(requests.all) == 1


@pytest.mark.parametrize("condition", ["nmi > 0.5", "outcome = 'failed'", "mi_weight =", "mi_weight = 'x'"])
def test_what_a_trial_without_a_row_does_not_have_is_refused(condition: str) -> None:
    with pytest.raises(InputError, match="--where") as caught:
        stop_request(condition, NOW).met_by(TRIALS)
    assert ("a field of the configuration" in str(caught.value)) == condition.startswith(("nmi", "outcome"))


def test_a_damaged_request_is_named_at_a_start_and_asks_for_nothing_meanwhile(tmp_path: Path) -> None:
    store = asked(tmp_path)
    path = sorted((tmp_path / "s" / FOLDER).iterdir())[0]
    path.write_bytes(path.read_bytes().replace(b"mi_weight = 8", b"mi_weight = 0"))
    with pytest.raises(StoreError, match=path.name):
        StopRequests(store).checked()
    requests = StopRequests(store)
    assert [request.where for request in requests.look()] == ["seed = 1"]
    assert [str(item.path) for item in check(store.folder).damaged] == [str(path)]


def test_lifted_requests_are_gone(tmp_path: Path) -> None:
    store = asked(tmp_path)
    requests = StopRequests(store)
    requests.checked()
    requests.lift()
    assert requests.met_by(TRIALS) == {} and StopRequests(store).checked() == []


def test_an_object_store_keeps_them_too(root: ObjectPath) -> None:
    requests = StopRequests(asked(root))
    assert len(requests.look()) == 2 and len(requests.met_by(TRIALS)) == 3
    requests.lift()
    assert StopRequests(Store(root, "s")).checked() == []
