"""What the worker of a pack has to know to stop members early: the pruner, and how members of earlier packs went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmi.results.schema import JUDGED
from vmi.results.store import Store
from vmi.search.leading import judged_by
from vmi.search.score import restarts_of
from vmi.search.searcher import baseline_of
from vmi.spec.restarts import Group
from vmi.spec.trial import PackSpec
from vmi.study.study import Study

# A task travels as text, and a pruner asks about every member that it knows at every step.
MAX_HISTORY = 200

Values = list[list[float]]


def pruning_of(study: Study, store: Store, pack: PackSpec) -> dict[str, Any] | None:
    """What `vmi.search.optuna_pruner.OptunaJudge` takes, as JSON; None where no trial of the pack may be stopped early.

    The baseline is trained to its end, as it is what others are compared with, and so is every confirmation.
    """
    if study.pruner is None:
        return None
    baseline = baseline_of(study)
    fresh, reference = set(study.confirm_seeds), baseline.suggestion_id if baseline else ""
    spared = [t.trial_id for t in pack.trials if t.suggestion_id == reference or t.config.seed in fresh]
    if len(spared) == len(pack.trials):
        return None
    metric, direction = judged_by(study)
    told = {"pruner": study.pruner, "metric": metric, "direction": direction, **_past(store), "spared": spared}
    return {**told, "steps": pack.trials[0].config.steps, "groups": _groups(study, pack)}


def _groups(study: Study, pack: PackSpec) -> list[list[str]]:
    """The pack's trials of each group of restarts. Of a group in several packs each part keeps one: never fewer."""
    if study.restarts == 1:
        return []
    group_of = {seed: group for group in restarts_of(study).groups for seed in group}
    found: dict[tuple[str, Group], list[str]] = {}
    for trial in pack.trials:
        found.setdefault((trial.suggestion_id, group_of[trial.config.seed]), []).append(trial.trial_id)
    return list(found.values())


def _past(store: Store) -> dict[str, list[Values]]:
    """The [step, value] pairs of members that completed (`history`) and of those that were stopped, the newest."""
    curves = store.read("curves").checked()
    if JUDGED not in curves.column_names:
        return {"history": [], "stopped": []}
    finished = store.finished()
    values: dict[str, dict[int, float]] = {}
    for row in curves.select(["trial_id", "attempt", "step", JUDGED]).to_pylist():
        known = finished.get(row["trial_id"])
        if known and known["attempt"] == row["attempt"] and row[JUDGED] is not None:
            values.setdefault(row["trial_id"], {})[row["step"]] = row[JUDGED]
    ordered = sorted(values, key=lambda trial_id: (finished[trial_id]["finished_at"], trial_id))
    outcomes = {"history": "completed", "stopped": "pruned"}
    return {
        part: [_pairs(values[i]) for i in ordered if finished[i]["outcome"] == outcome][-MAX_HISTORY:]
        for part, outcome in outcomes.items()
    }


def _pairs(values: Mapping[int, float]) -> Values:
    return [[step, values[step]] for step in sorted(values)]
