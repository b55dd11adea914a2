"""What a worker is told of a pack, by the driver that hands it out."""

from __future__ import annotations

import os
from collections.abc import Callable

from vmi.driver.own_data import own_data
from vmi.driver.pruning import pruning_of
from vmi.mirror.mirror import Mirror
from vmi.results.store import Store
from vmi.runners.ledger import Ledger
from vmi.search.leading import compared_by
from vmi.search.trial_count import values_of
from vmi.spec.datasets import data_folder
from vmi.spec.trial import PackSpec
from vmi.study.study import Study
from vmi.worker.messages import Task, checkpoint_seconds


def tasks_of(
    store: Store,
    study: Callable[[], Study],
    ledger: Ledger,
    attempt: int,
    device: str,
    keep_models: bool,
    mirror: Mirror,
) -> Callable[[PackSpec], Task]:
    """The task of each pack of the study, which may grow meanwhile."""
    folder, seconds = str(data_folder().absolute()), checkpoint_seconds(os.environ)

    def task_of(pack: PackSpec) -> Task:
        mirror.renew(pack.retried)
        return Task(
            pack=pack,
            root=str(store.root),
            study=store.study,
            layouts=values_of(study(), "layout"),
            attempt=attempt,
            device=device,
            data_folder=folder,
            own_data=own_data(pack.trials[0].config.dataset),
            keep_models=keep_models,
            places=ledger.places_of(pack),
            pruning=pruning_of(study(), store, pack),
            checkpoint_seconds=seconds,
            compared_by=compared_by(study()),
        )

    return task_of
