"""Data sets of the user's own in a study: files that it names are read, named by content, kept beside the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vmi.spec.config import TrialConfig
from vmi.spec.datasets import DATASETS, is_place, place_of, spec_of, spec_to_json
from vmi.spec.errors import InputError, Problem
from vmi.storage.paths import AnyPath
from vmi.study.space import Choice
from vmi.study.study import Study


def adopted(study: Study, skip_broken: bool = False) -> tuple[Study, tuple[Problem, ...]]:
    """The study with names in place of files, which are read; and what is wrong with these, for which digits stand."""
    problems: list[Problem] = []

    def named(value: Any) -> Any:
        if not is_place(value):
            return value
        try:
            return read(value, skip_broken)
        except InputError as error:
            problems.extend(error.problems)
            return TrialConfig.dataset

    def within(fields: Any) -> Any:
        if not isinstance(fields, Mapping) or "dataset" not in fields:
            return fields
        value = fields["dataset"]
        of_choice = isinstance(value, Choice) and isinstance(value.values, tuple)
        return {**fields, "dataset": Choice(tuple(map(named, value.values))) if of_choice else named(value)}

    changed = replace(study, fixed=within(study.fixed), space=within(study.space), baseline=within(study.baseline))
    return changed, tuple(dict.fromkeys(problems))


def keep(name: str, root: AnyPath) -> None:
    """Put a data set of the user's own beside the results, where every worker finds it."""
    if name in DATASETS:
        return
    from vmi.sources import kept
    from vmi.sources.dataset import made

    if (found := made(name)) is not None:
        kept.keep(found, root)
    else:
        kept.register_kept(root)


def register_beside(path: AnyPath) -> None:
    """Make known what is kept beside the results that this path belongs to: a study, or a file of one."""
    from vmi.sources import kept

    path = path.absolute() if isinstance(path, Path) else path
    for _ in range(5):  # up from results/STUDY/checkpoints/PACK/FILE
        kept.register_kept(path)
        path = path.parent


def read(place: str, skip_broken: bool = False) -> str:
    """The name of the data set that lies there. Raises InputError with what is wrong with it."""
    from vmi.sources.dataset import Dataset

    return Dataset.from_file(place, skip_broken).name


def own_data(name: str) -> Mapping[str, Any] | None:
    """What a worker has to be told of it; None for one of the catalogue."""
    return None if name in DATASETS else {"spec": spec_to_json(spec_of(name)), "place": place_of(name)}
