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
    yield from _wanted(study)
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


def _wanted(study: Study) -> Iterator[str]:
    """What decides between suggestions, where that is more than one metric on the seeds of the search."""
    if study.objectives:
        aims = ", ".join(f"{direction} {metric}" for metric, direction in study.objectives.items())
        yield f"objectives: {aims}; the front is ranked by {study.metric}"
    for metric, bound in study.constraints.items():
        yield f"constraint: {metric} {bound}; a suggestion that breaks it is never best"
    for name, parents in study.conditions.items():
        where = " and ".join(f"{parent} is {' or '.join(map(str, values))}" for parent, values in parents.items())
        yield f"condition: {name} is searched where {where}"
    if study.pruner:
        yield f"pruner: {study.pruner}, by {study.metric}; the baseline and the confirmation are trained to their end"
    if study.confirm:
        fresh = len(tuple(study.confirm_seeds))
        best = f"the best {study.confirm} suggestions" if study.confirm > 1 else "the best suggestion"
        yield f"confirmation: {best} on {fresh} fresh seed{'s' if fresh != 1 else ''}; only that figure is called best"


def _store(study: Study, results: Path) -> Store:
    store = Store(results.absolute(), study.name)
    for path in (store.root, store.folder):
        if path.exists() and not path.is_dir():
            raise InputError([Problem("results", str(results), "a folder", f"{path} is a file")])
    return store


def warnings(config: TrialConfig) -> Iterator[str]:
    """What is allowed but known to go wrong: the paper's objective above beta, ramps that the run is too short for."""
    layout = latents.parse(config.layout)
    for block in layout.informed if config.entropy_weight == 0 and not config.capacity_weight else ():
        name = "mi_weight" if block.is_categorical else "mi_weight_normal"
        weight = getattr(config, name)
        if weight > config.kl_weight:
            reach = f"{name} {weight:g} > kl_weight {config.kl_weight:g} with entropy_weight 0"
            if block.is_categorical:
                yield f"{reach} collapses a categorical code to few categories ({block.name} of {layout})"
            else:
                yield f"{reach} is unbounded above: the Normal block's variance shrinks ({block.name} of {layout})"
    for name in ("kl_anneal_steps", "capacity_steps"):
        if getattr(config, name) > config.steps:
            yield f"{name} {getattr(config, name)} is above steps {config.steps}: its end is never reached"
