"""A study's results as data frames: trials, settings with their intervals, a trial's curves."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from analysis.data.mi_checks import verdict
from analysis.data.settings import settings
from analysis.data.study_json import part_of
from analysis.data.study_results import StudyResults
from vmi.spec.metrics import METRICS
from vmi.spec.trial import Row


def trials_table(results: StudyResults) -> pa.Table:
    """One row per trial, as Arrow; columns as in `vmi.results.schema`."""
    return pa.Table.from_pylist(list(results.trials), schema=results.trials_schema)


def settings_frame(results: StudyResults) -> pd.DataFrame:
    """One row per setting: its parameters, verdict, number of seeds, then each metric it has with its interval.

    `nmi` is the mean over seeds, `nmi_low` and `nmi_high` are the ends of its 95 % Student-t interval (NaN where one
    seed gives none), `nmi_n` is the number of seeds behind it. The study's own metric comes first.
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
        rows.append(row)
    empty = [*part_of(results.spec, "space"), "verdict", "seeds"]
    return pd.DataFrame(rows, columns=None if rows else empty)


def curves_frame(results: StudyResults, row: Row) -> pd.DataFrame:
    """A trial's reports by step, with the columns that its layout has."""
    reports = list(results.curve(row))
    if not reports:  # of a trial that failed none are kept
        return pd.DataFrame(columns=results.curves_table.column_names)
    return pd.DataFrame(reports).dropna(axis="columns", how="all").reset_index(drop=True)
