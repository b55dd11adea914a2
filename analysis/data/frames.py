"""A study's results as data frames: trials, settings with their intervals, a trial's curves."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from analysis.data.mi_checks import verdict
from analysis.data.settings import settings
from analysis.data.study_json import part_of, restarts_of
from analysis.data.study_results import StudyResults
from vmi.spec.config import FIELD_TYPES
from vmi.spec.metrics import METRICS
from vmi.spec.requests import requests_of
from vmi.spec.trial import Row


def trials_table(results: StudyResults) -> pa.Table:
    """One row per trial, as Arrow; columns as in `vmi.results.schema`.

    With restarts also which were `chosen`; of a study that has grown the number of the `request` that asked for it.
    """
    table = pa.Table.from_pylist(list(results.trials), schema=results.trials_schema)
    if len(requests_of(results.spec)) > 1:
        numbers = [results.request_numbers.get(row["trial_id"]) for row in results.trials]
        table = table.append_column("request", pa.array(numbers, pa.int64()))
    if restarts_of(results.spec).size == 1:
        return table
    chosen = chosen_trials(results)
    return table.append_column("chosen", pa.array([row["trial_id"] in chosen for row in results.trials], pa.bool_()))


def chosen_trials(results: StudyResults) -> frozenset[str]:
    """The ids of the trials that are replicates: all that count, of restarts the chosen one of each group."""
    return frozenset(row["trial_id"] for s in settings(results.counted, results.spec) for row in s.rows)


def settings_frame(results: StudyResults) -> pd.DataFrame:
    """One row per setting: its parameters, verdict, number of seeds, then each metric it has with its interval.

    `nmi` is the mean over seeds, `nmi_low` and `nmi_high` are the ends of its 95 % Student-t interval (NaN where one
    seed gives none), `nmi_n` is the number of seeds behind it. The study's own metric comes first. With restarts all of
    it is over groups, and `nmi_all_trials`, of the study's own metric, is the mean over all trials.
    """
    found = settings(results.compared, results.spec)
    first = str(results.spec.get("metric", ""))
    names = sorted((m for m in METRICS if any(s.values(m) for s in found)), key=lambda name: name != first)
    rows = []
    for setting in found:
        row = {**dict(setting.params), "verdict": verdict(setting), "seeds": len(setting.rows)}
        for name in names:
            interval = setting.interval(name)
            row[name] = interval.mean if interval else None
            row[f"{name}_low"] = interval.low if interval else None
            row[f"{name}_high"] = interval.high if interval else None
            row[f"{name}_n"] = interval.count if interval else 0
            if name == first and setting.groups:
                every = setting.all_trials(name)
                row |= {f"{name}_all_trials": every.mean if every else None,
                        f"{name}_all_trials_n": every.count if every else 0}  # fmt: skip
        rows.append(row)
    empty = [*part_of(results.spec, "space"), "verdict", "seeds"]
    return pd.DataFrame(rows, columns=None if rows else empty)


def curves_frame(results: StudyResults, row: Row) -> pd.DataFrame:
    """A trial's reports by step, with the columns that its layout has; `unfinished` says whether it is under way."""
    reports, unfinished = list(results.curve(row)), "outcome" not in row
    if not reports:  # of a trial that failed none are kept
        return pd.DataFrame(columns=[*results.curves_table.column_names, "unfinished"])
    frame = pd.DataFrame(reports).dropna(axis="columns", how="all").reset_index(drop=True)
    return frame.assign(unfinished=unfinished)


def under_way_frame(results: StudyResults) -> pd.DataFrame:
    """One row per trial under way: its id, configuration, `step` of `steps`, and its last report as `last_...`."""
    rows = []
    for row in results.under_way:
        last = (results.curve(row) or ({},))[-1]
        told = {f"last_{n}": v for n, v in last.items() if n != "attempt" and isinstance(v, int | float)}
        config = {name: row.get(name) for name in FIELD_TYPES}
        rows.append({"trial_id": row["trial_id"], "step": row["step"], **config, **told})
    if not rows:
        return pd.DataFrame(columns=["trial_id", "step", *FIELD_TYPES])
    return pd.DataFrame(rows).dropna(axis="columns", how="all")
