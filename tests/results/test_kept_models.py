"""Which packs of kept models go: none whose trials are not all finished, none that has the best trial of a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.packs import trial

from vmi.results.fsck import check
from vmi.results.kept_models import KeptModels, write_list
from vmi.results.store import Store
from vmi.spec.trial import Trial

# Two settings of three seeds each.
A0, A1, A2 = (trial(mi_weight=1.0, seed=seed) for seed in range(3))
B0, B1, B2 = (trial(mi_weight=2.0, seed=seed) for seed in range(3))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "s")


def kept(store: Store, packs: Mapping[str, tuple[Trial, ...]]) -> KeptModels:
    for name, trials in packs.items():
        write_list(store, name, trials)
        (store.models / f"{name}.pt").write_bytes(b"")
    return KeptModels(store)


def there(store: Store) -> set[str]:
    return {path.stem for path in store.models.glob("*.pt")}


def losses(values: Mapping[Trial, float | None]) -> dict[str, float | None]:
    return {one.trial_id: value for one, value in values.items()}


def test_a_pack_stays_for_one_best_trial_and_goes_without(store: Store) -> None:
    models = kept(store, {"p": (A0, B0), "q": (A1, B1), "r": (A2, B2)})
    models.thin(losses({A0: 3, A1: 1, A2: 2, B0: 1, B1: 2, B2: 3}))
    assert there(store) == {"p", "q"} and not (store.models / "r.json").exists()
    models.thin(losses({A0: 3, A1: 1, A2: 2, B0: 1, B1: 2, B2: 3}))
    assert there(store) == {"p", "q"}


def test_a_pack_with_a_trial_that_has_no_row_stays_and_counts_for_nothing(store: Store) -> None:
    models = kept(store, {"p": (A0,), "q": (A1, A2)})
    models.thin(losses({A0: 3, A1: 9}))
    assert there(store) == {"p", "q"}
    models.thin(losses({A0: 3, A1: 9, A2: 1}))
    assert there(store) == {"q"}


def test_what_did_not_complete_is_no_best_and_a_value_that_is_no_number_is_the_worst(store: Store) -> None:
    models = kept(store, {"p": (A0,), "q": (A1,), "r": (A2,), "s": (B0,), "t": (B1,)})
    models.thin(losses({A0: None, A1: math.nan, A2: 5, B0: math.nan, B1: None}))
    assert there(store) == {"r", "s"}


def test_a_finished_trial_whose_model_was_not_kept_takes_nobody_s_place(store: Store) -> None:
    kept(store, {"p": (A0,), "q": (A1,)}).thin(losses({A0: 3, A1: 2, A2: 1}))
    assert there(store) == {"q"}


def test_of_a_trial_that_is_in_two_packs_one_is_enough(store: Store) -> None:
    kept(store, {"p": (A0,), "q": (A0, A1)}).thin(losses({A0: 1, A1: 2}))
    assert there(store) == {"p"}


def test_a_pack_without_a_list_stays_and_a_list_without_its_pack_goes_once_its_trials_are_finished(
    store: Store,
) -> None:
    models = kept(store, {"p": (A0,), "q": (A1,), "r": (A2,)})
    (store.models / "whole.pt").write_bytes(b"")
    (store.models / "p.pt").unlink()  # removed, and killed before the list went
    (store.models / "r.pt").unlink()  # about to be written
    models.thin(losses({A0: 1, A1: 2}))
    assert {path.name for path in store.models.iterdir()} == {"q.pt", "q.json", "r.json", "whole.pt"}


def test_a_damaged_list_keeps_its_pack_and_fsck_names_it(store: Store) -> None:
    models = kept(store, {"p": (A0,), "q": (A1,)})
    path = store.models / "p.json"
    path.write_bytes(path.read_bytes().replace(A0.trial_id.encode(), A2.trial_id.encode()))
    models.thin(losses({A0: 5, A1: 1, A2: 9}))
    assert there(store) == {"p", "q"}
    damaged = {item.path.name: item.reason for item in check(store.folder).damaged}
    assert "does not match its checksum" in damaged["p.json"] and "q.json" not in damaged


def test_without_models_there_is_nothing_to_thin(store: Store) -> None:
    KeptModels(store).thin(losses({A0: 1}))
    assert not store.folder.exists()
