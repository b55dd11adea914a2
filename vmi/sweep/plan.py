"""What running a study would do, without doing it: loads neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vmi import latents
from vmi.config import TrialConfig, resolve
from vmi.errors import InputError, Problem, printable
from vmi.record.store import Store
from vmi.sweep.extent import EVERYTHING, values_of
from vmi.sweep.options import DEFAULT_PACK_SIZE
from vmi.sweep.packing import pack
from vmi.sweep.preflight import asked_of
from vmi.sweep.search import GridSearcher
from vmi.sweep.study import Study, trials, validate


def plan_lines(study: Study, results: Path) -> Iterator[str]:
    """The plan, line by line. Raises InputError when the study is not valid, StoreError when its store is damaged."""
    validate(study)
    store = _store(study, results)
    planned, finished = asked_of(study, store)["planned"], store.finished()
    seeds, datasets = len(tuple(study.seeds)), ", ".join(values_of(study, "dataset"))
    yield f"{study.name}: {planned} trials ({study.searcher}, {seeds} seeds each) on {datasets}"
    yield f"in the store already: {len(finished)}"
    if study.searcher == "grid":
        suggestions = GridSearcher(study).ask(EVERYTHING)
        missing = [t for s in suggestions for t in trials(study, s) if t.trial_id not in finished]
        packs = pack(missing, DEFAULT_PACK_SIZE, workers=1)
        architectures = {t.config.architecture for t in missing}
        yield f"to train: {len(missing)} trials of {len(architectures)} architectures, in {len(packs)} packs or more"
        configs = [resolve({**study.fixed, **s.params}) for s in suggestions]
        for warning in dict.fromkeys(printable(w) for config in configs for w in warnings(config)):
            yield f"warning: {warning}"


def _store(study: Study, results: Path) -> Store:
    store = Store(results.absolute(), study.name)
    for path in (store.root, store.folder):
        if path.exists() and not path.is_dir():
            raise InputError([Problem("results", str(results), "a folder", f"{path} is a file")])
    return store


def warnings(config: TrialConfig) -> Iterator[str]:
    """What is allowed but known to go wrong (DESIGN: the paper's objective)."""
    if config.entropy_weight > 0 or config.mi_weight <= config.kl_weight:
        return
    layout = latents.parse(config.layout)
    reach = f"mi_weight {config.mi_weight:g} > kl_weight {config.kl_weight:g} with entropy_weight 0"
    for block in layout.informed:
        where = f"({block.name} of {config.layout})"
        if block.is_categorical:
            yield f"{reach} collapses a categorical code to few categories {where}"
        else:
            yield f"{reach} is unbounded above for a Normal block, whose variance shrinks {where}"
