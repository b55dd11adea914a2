"""The comparison report for W&B as a plain structure: the same JSON for the same results, and nothing of wandb in it.

W&B's own bands are min-max, standard deviation or standard error; ours are 95 % Student-t intervals. So the report has
a run of its own ("report run"), whose history holds the ends of our intervals, one line of it per setting, and whose
table holds them all. What is drawn of single trials is taken from their mirrored runs (`vmi mirror`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis.data import labels
from analysis.data.axes import Design, design, representative
from analysis.data.goals import restarts_said
from analysis.data.mi_checks import primary
from analysis.data.settings import Setting
from analysis.data.study_results import StudyResults
from analysis.findings.findings import Findings, findings
from analysis.html.columns import LONG
from vmi.results.schema import TABLES
from vmi.spec.errors import printable
from vmi.spec.metrics import Shown, shown

VERSION = 1
# What is drawn with intervals, beside the study's own metric.
DRAWN = shown(Shown.FIGURES)
MAX_PICTURED = 12
TABLE = "settings"

Json = dict[str, Any]


def specification(results: StudyResults, entity: str, project: str) -> Json:
    """The report of a study: title, blocks, the report run with its history, table and media, and the artifacts."""
    plan = design(results)
    found = findings(results, plan)
    run = _run(results, plan, found)
    names = {kind: f"{_slug(results.name)}-{kind}" for kind in ("page", "parts")}
    return {
        "version": VERSION,
        "entity": entity,
        "project": project,
        "title": f"{_text(results.name)[:90]} with intervals over seeds",
        "description": "Made by vmi report from the study's own store.",
        "run": run,
        "artifacts": [
            {"name": names["page"], "type": "report", "files": ["report.html"]},
            {"name": names["parts"], "type": "dataset", "files": ["study.json"], "folders": list(TABLES)},
        ],
        "blocks": list(_blocks(results, plan, found, run, names)),
    }


def _run(results: StudyResults, plan: Design, found: Findings) -> Json:
    """The report run. Its id follows from its content, because a run's history cannot be taken back."""
    metrics = _present(plan, (found.score, *DRAWN))
    content: Json = {
        "config": {"study": _text(results.name), "settings": len(plan.settings), "trials": len(results.completed)},
        "history": [_point(plan, i, s, metrics) for i, (_, group) in enumerate(plan.lines) for s in _by_x(plan, group)],
        "tables": {TABLE: _table(plan, found)},
        "media": {"traversals": list(_media(results, plan, found))},
    }
    digest = hashlib.sha256(json.dumps([results.name, content], sort_keys=True).encode()).hexdigest()[:16]
    return {
        "id": f"report-{digest}",
        "name": f"intervals of {_text(results.name)[:80]}",
        "job_type": "report",
        **content,
    }


def _by_x(plan: Design, group: Sequence[Setting]) -> list[Setting]:
    return sorted(group, key=_x(plan))


def _x(plan: Design) -> Any:
    """A setting's place on the x axis: the value of a number, else its index among the values."""
    numbers = all(isinstance(v, int | float) for v in plan.x.values)
    return lambda s: (
        float(s.get(plan.x.name)) if numbers and plan.x.name else plan.x.position(s) if plan.x.name else 0.0
    )


def _point(plan: Design, line: int, setting: Setting, metrics: Sequence[str]) -> Json:
    """One line of the history: x, and mean, low and high of each metric in the columns of this line."""
    row: Json = {"x": _x(plan)(setting)}
    for metric in metrics:
        found = setting.interval(metric)
        ends = {"mean": found.mean, "low": found.low, "high": found.high} if found else {}
        row |= {_column(metric, line, end): value for end, value in ends.items() if value is not None}
    return row


def _column(metric: str, line: int, end: str) -> str:
    """A name of letters, digits and underscores, because W&B cannot query others."""
    return f"{metric}_line{line}_{end}"


def _table(plan: Design, found: Findings) -> Json:
    """Every setting with seeds, and mean, low and high of every metric that some setting has."""
    names = [name for name, _ in plan.settings[0].params] if plan.settings else []
    metrics = _present(plan, (found.score, *LONG))
    ends = [f"{metric}_{end}" for metric in metrics for end in ("mean", "low", "high")]
    rows = []
    for setting in plan.settings:
        values: list[Any] = [labels.value(setting.get(name)) for name in names] + [len(setting.rows)]
        for metric in metrics:
            i = setting.interval(metric)
            values += [i.mean, i.low, i.high] if i else [None, None, None]
        rows.append(values)
    return {"columns": [*names, "seeds", *ends], "rows": rows}


def _media(results: StudyResults, plan: Design, found: Findings) -> Iterator[Json]:
    """Where the traversals of one seed of each setting are stored: a trial, the name of an array, and what to say."""
    chosen = representative(plan.settings, found.score, found.maximize, MAX_PICTURED)
    first = [(s, min(s.rows, key=lambda row: (row["seed"] is None, row["seed"]))) for s in chosen]
    arrays = results.arrays(row for _, row in first)
    for setting, row in first:
        block = primary(row, "c") or primary(row, "n")
        array = f"traversal_{block.name}" if block else ""
        if array in arrays.get(row["trial_id"], {}):
            caption = f"{labels.setting(setting)}, seed {row['seed']}"
            yield {"trial_id": row["trial_id"], "array": array, "caption": caption}


def _blocks(
    results: StudyResults, plan: Design, found: Findings, run: Mapping[str, Any], names: Mapping[str, str]
) -> Iterator[Json]:
    yield {"kind": "heading", "text": "What the study says"}
    yield {"kind": "list", "items": [_text(sentence) for sentence in found.sentences]}
    if said := restarts_said(results.spec):
        yield {"kind": "paragraph", "text": _text(said)}
    yield {"kind": "link", "text": "The whole page, as an artifact", "path": f"artifacts/report/{names['page']}"}
    if plan.settings:
        yield {"kind": "heading", "text": "Over settings, with our 95 % Student-t intervals over seeds"}
        yield {"kind": "paragraph", "text": _axis_said(plan)}
        yield {"kind": "panels", "runs": {"ID": run["id"]}, "panels": list(_interval_panels(plan, found, run))}
        yield {"kind": "heading", "text": "Trials"}
        said = "One run per trial; runs of one setting share a group. Missing ones are sent by `vmi mirror --online`."
        yield {"kind": "paragraph", "text": said}
        yield {"kind": "panels", "runs": {"JobType": "train"}, "panels": list(_trial_panels(plan, found))}
    yield {"kind": "heading", "text": "Files"}
    yield from ({"kind": "artifact", "name": name} for name in names.values())


def _axis_said(plan: Design) -> str:
    if not plan.x.name:
        return "There is one setting: nothing is varied."
    text = f"x is {_text(plan.x.title)}"
    if all(isinstance(v, int | float) for v in plan.x.values):
        return f"{text}. Each line has its mean and the two ends of its interval."
    places = ", ".join(f"{i}: {labels.value(v)}" for i, v in enumerate(plan.x.values))
    return f"{text}, by place ({places}). Each line has its mean and the two ends of its interval."


def _interval_panels(plan: Design, found: Findings, run: Mapping[str, Any]) -> Iterator[Json]:
    for metric in _present(plan, (found.score, *DRAWN)):
        columns = {
            _column(metric, i, end): f"{_text(name) or 'all'}, {end}"
            for i, (name, _) in enumerate(plan.lines)
            for end in ("mean", "low", "high")
        }
        title = labels.metric(metric).title
        title_x = _text(plan.x.title) or "the one setting"
        yield {"kind": "line", "title": title, "x": "x", "y": columns, "title_x": title_x, "run": run["id"]}
    yield {"kind": "table", "name": TABLE}
    if run["media"]["traversals"]:
        yield {"kind": "media", "title": "What the decoder draws", "keys": ["traversals"]}


def _trial_panels(plan: Design, found: Findings) -> Iterator[Json]:
    names = [name for name, _ in plan.settings[0].params if re.fullmatch(r"\w+", name)]
    score = found.score
    if score and names and all(isinstance(v, int | float) for v in plan.x.values):
        title = f"{labels.metric(score).title}, every trial"
        yield {"kind": "scatter", "title": title, "x": plan.x.name, "y": score}
    if score:
        metrics = _present(plan, (score, "mi_encoder_nats", "rate_nats"))
        yield {
            "kind": "parallel",
            "title": "Settings and what they reach",
            "config": [*names, "seed"],
            "summary": metrics,
        }
        yield {"kind": "importance", "metric": score}
    yield {"kind": "curves", "title": "Training: loss, mean and standard error over seeds", "y": "train/loss_nats"}
    yield {"kind": "comparer"}


def _present(plan: Design, metrics: Sequence[str | None]) -> list[str]:
    """Those metrics that some setting has, each once."""
    return [m for m in dict.fromkeys(metrics) if m and any(s.values(m) for s in plan.settings)]


def _slug(name: str) -> str:
    """A name that W&B takes for an artifact."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:100] or "study"


def _text(text: str) -> str:
    return printable(text).replace("\n", "\\n")
