"""`vmi.open`: the results of a study, in the forms that a notebook or a program takes."""

from __future__ import annotations

import time
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vmi.driver.options import place_problems
from vmi.spec.errors import InputError, Problem, StoreError, did_you_mean, printable
from vmi.spec.intervals import Interval
from vmi.storage.paths import AnyPath, opened

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl
    import pyarrow as pa

    from analysis.data.study_results import StudyResults

# Rows of the table of settings that a notebook shows without being asked for more.
MAX_SHOWN = 8


class Best(NamedTuple):
    """The best suggestion of a study.

    Attributes:
        params: its searched values
        metric: the study's metric
        value: that metric's interval over seeds, or groups of restarts
        confirmed: whether these seeds are fresh, so that nothing was selected on them
        all_trials: with restarts the interval over all of its trials, chosen or not
        chosen: with restarts the ids of the trials that were chosen, one of each group
    """

    params: dict[str, Any]
    metric: str
    value: Interval
    confirmed: bool
    all_trials: Interval | None = None
    chosen: tuple[str, ...] = ()


class Comparison(str):
    """Two studies side by side, as Markdown; a notebook shows it as that."""

    def _repr_markdown_(self) -> str:
        return str(self)


class Results:
    """The results of one study, of a run that is over or still going: read when first asked for, then kept.

    Attributes:
        folder: where they are, whatever the working directory becomes
    """

    def __init__(self, folder: AnyPath) -> None:
        self.folder = folder.absolute()

    @property
    def name(self) -> str:
        """The study's name."""
        return self._read.name

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked for: study.json."""
        return dict(self._read.spec)

    @property
    def planned(self) -> int:
        """How many trials were asked for."""
        return self._read.planned

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial that has ended: configuration, outcome, metrics. See `arrow`, `polars`.

        With restarts `chosen` says which trials count as replicates.
        Whole numbers that some trial lacks (`categories_used` of a failed one) are floats, as pandas has it.
        """
        return self.arrow().to_pandas()

    @property
    def failed(self) -> pd.DataFrame:
        """The trials that failed, with their newest reasons, and how often each was tried (`attempts`)."""
        trials = self.trials
        trials["attempts"] = [self._read.attempts(trial_id) for trial_id in trials["trial_id"]]
        first = ["trial_id", "reason", "attempts"]
        rest = [name for name in trials.columns if name not in first]
        return trials.loc[trials["outcome"] == "failed", first + rest].reset_index(drop=True)

    @property
    def under_way(self) -> pd.DataFrame:
        """One row per trial that is trained now, or was when its driver ended: no result, and in nothing else here.

        Its id, configuration, `step` of `steps` as its last checkpoint has it, and its last report: `last_step`,
        `last_elbo_nats`, ...
        """
        from analysis.data.frames import under_way_frame

        return under_way_frame(self._read)

    def arrow(self) -> pa.Table:
        """`trials` as an Arrow table."""
        from analysis.data.frames import trials_table

        return trials_table(self._read)

    def polars(self) -> pl.DataFrame:
        """`trials` as a Polars frame. Raises ImportError where Polars is not installed."""
        import polars

        made = polars.from_arrow(self.arrow())
        assert isinstance(made, polars.DataFrame)
        return made

    @property
    def settings(self) -> pd.DataFrame:
        """One row per setting (trials equal but for the seed): parameters, verdict, seeds, metrics with intervals.

        `nmi` is the mean over seeds, `nmi_low` and `nmi_high` are the ends of its 95 % Student-t interval, `nmi_n` is
        the number of seeds behind it. `verdict` is "collapse" where a high MI bound is none.
        """
        from analysis.data.frames import settings_frame

        return settings_frame(self._read)

    @property
    def best(self) -> Best | None:
        """The best suggestion; None where none is, as long as nothing is confirmed in a study that confirms."""
        from vmi.monitor.status import ranking_of, status_of

        ranking = ranking_of(status_of(self.folder, time.time()))
        if ranking is None or ranking.best is None:
            return None
        study, best = ranking.study, ranking.best
        seeds = study.confirm_seeds if study.confirm else study.seeds
        chosen = self._chosen(best.suggestion_id, set(seeds)) if study.restarts > 1 else ()
        return Best(dict(best.params), study.metric, best.value, bool(study.confirm), best.all_trials, chosen)

    @property
    def findings(self) -> tuple[str, ...]:
        """What the study says, as sentences made from its data: those of the report."""
        from analysis.data.axes import design
        from analysis.findings.findings import findings

        return tuple(findings(self._read, design(self._read)).sentences)

    def curves(self, trial_id: str) -> pd.DataFrame:
        """A trial's reports during training, one row per step; `unfinished` where it is under way.

        Raises InputError for a trial that is not there.
        """
        from analysis.data.frames import curves_frame

        return curves_frame(self._read, self._row(trial_id))

    def arrays(self, trial_id: str) -> dict[str, np.ndarray]:
        """A trial's arrays by name: reconstructions, samples, traversals, counts. Raises InputError as `curves`."""
        return dict(self._read.arrays([self._row(trial_id)]).get(trial_id, {}))

    @property
    def figures(self) -> dict[str, str]:
        """The names that `figure` takes, each with its figure's title."""
        return {name: plot.title for name, plot in self._plots.items()}

    def figure(self, name: str) -> go.Figure:
        """One figure of the report, for plotly: "score" is the first whose name begins with it.

        Raises InputError naming the nearest where there is none.
        """
        import plotly.graph_objects as go

        found = [n for n in self._plots if n == name or n.startswith(f"{name}-")] if isinstance(name, str) else []
        if not found:
            names = list(self._plots)
            allowed = f"one of {', '.join(names)}" if names else "none is there: no trial has completed"
            near = did_you_mean(name, [*names, *(known.partition("-")[0] for known in names)])
            raise InputError([Problem("figure", name, allowed, near)])
        return go.Figure(self._plots[name if name in found else found[0]].figure)

    def report(self) -> Path:
        """Write report.html into the study's folder, one page that needs no network; its path.

        Beside a study in an object store, STUDY-report.html here as well, whose path it is.
        """
        from analysis.report import publish

        return publish(self._read)

    def compare(self, other: Results | str | Path) -> Comparison:
        """This study and another one side by side, paired by seed; differences are the other's minus this one's."""
        from analysis.compare import markdown
        from vmi.study.study_json import differences

        pair = self._read, (other if isinstance(other, Results) else open(other))._read
        for results in pair:
            if results.damaged:
                raise StoreError(f"{results.folder}: damaged, kept as they are: {', '.join(results.damaged)}")
        fields = [problem.field for problem in differences(pair[0].spec, pair[1].spec)]
        return Comparison(markdown(*pair, fields))

    def status(self) -> str:
        """How the study stands, read anew: finished trials, running packs, time left, the best so far."""
        from vmi.monitor.status import describe, status_of

        return printable("\n".join(describe(status_of(self.folder, time.time()))))

    def reload(self) -> Results:
        """The same study as it is now."""
        return Results(self.folder)

    @cached_property
    def _read(self) -> StudyResults:
        from analysis.data.study_results import open_study
        from vmi.driver.own_data import register_beside

        found = open_study(self.folder)
        register_beside(self.folder)
        return found

    @cached_property
    def _plots(self) -> dict[str, Any]:
        from analysis.report import figures

        return figures(self._read)

    def _chosen(self, suggestion_id: str, seeds: set[int]) -> tuple[str, ...]:
        """The chosen trials of a suggestion on these seeds."""
        from analysis.data.frames import chosen_trials

        chosen, own = chosen_trials(self._read), [r for r in self._read.trials if r["suggestion_id"] == suggestion_id]
        return tuple(row["trial_id"] for row in own if row["seed"] in seeds and row["trial_id"] in chosen)

    def _row(self, trial_id: str) -> Any:
        rows = {row["trial_id"]: row for row in (*self._read.under_way, *self._read.trials)}
        if not isinstance(trial_id, str) or trial_id not in rows:
            allowed = f"a trial of {self.name}: its trial_id in `trials` or `under_way`"
            raise InputError([Problem("trial_id", trial_id, allowed, did_you_mean(trial_id, rows))])
        return rows[trial_id]

    def __repr__(self) -> str:
        return printable(f"<vmi.Results {self._counts()}; {self.folder}>")

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self._counts())}</b><br>{escape(self._best_line())}</p>{self._table()}"

    def _counts(self) -> str:
        read = self._read
        damaged, running = len(read.damaged), len(read.under_way)
        counts = [(len(read.ended_as(word)), word) for word in ("pruned", "stopped", "failed")]
        counts += [(running, "under way"), (max(0, read.missing - running), "missing")]
        more = [f"{n} {word}" for n, word in counts if n]
        more += [f"{damaged} damaged files"] if damaged else []
        return ", ".join([f"{read.name}: {len(read.completed)} of {read.planned} trials completed", *more])

    def _best_line(self) -> str:
        best = self.best
        if best is None:
            return "no best yet"
        params = ", ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in best.params.items())
        seeds = f"n = {best.value.count}{', fresh seeds' if best.confirmed else ''}"
        beside = f"; all trials {best.all_trials} (n = {best.all_trials.count})" if best.all_trials else ""
        return f"best {best.metric} {best.value} ({seeds}) at {params}{beside}"

    def _table(self) -> str:
        """The settings that lead by the study's metric, as the report's table has them."""
        from analysis.data.axes import design, representative
        from analysis.findings.findings import findings
        from analysis.html import columns

        plan = design(self._read)
        if not plan.settings:
            return ""
        found = findings(self._read, plan)
        shown = representative(plan.settings, found.score, found.maximize, MAX_SHOWN)
        wanted = columns.of_settings(plan, found.score, columns.SHORT)
        head = "".join(f"<th>{escape(column.head)}</th>" for column in wanted)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(column.cell(setting))}</td>' for column in wanted)}</tr>" for setting in shown
        )
        left = len(plan.settings) - len(shown)
        more = f"<p>and {left} settings more: see <code>.settings</code></p>" if left > 0 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def open(folder: str | AnyPath) -> Results:
    """The results of a study in a folder or a bucket (s3://BUCKET/PREFIX/STUDY), whether its run is over or not.

    Raises InputError where no study is, naming the nearest, StoreError where its files are damaged.
    """
    if not isinstance(folder, str | AnyPath):
        raise InputError([Problem("folder", folder, "a study's results, such as results/lambda")])
    if problems := list(place_problems("folder", folder)):
        raise InputError(problems)
    results = Results(opened(folder))
    _ = results.name
    return results
