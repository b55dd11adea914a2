"""The section that lists everything: settings, blocks and trials, to sort, to filter and to take along."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from analysis.data import labels
from analysis.data.axes import Design, leading
from analysis.data.classes import with_share
from analysis.data.frames import chosen_trials
from analysis.data.mi_checks import verdict
from analysis.data.settings import Setting
from analysis.data.study_json import restarts_of
from analysis.data.study_results import StudyResults
from analysis.findings.findings import Findings
from analysis.html import columns, downloads
from analysis.html.cells import Cell, Head
from analysis.html.explorer import Line, explorer
from analysis.html.markup import Markup, element, folded, join
from analysis.sections import blocks
from vmi.spec.metrics import METRICS, Shown, shown
from vmi.spec.trial import Row

# 10,000 trials must still make a page of less than 10 MB.
MAX_SETTINGS = 1000
MAX_TRIALS = 10_000
HELP = (
    "A head sorts: upwards, downwards, as it was. A field under it filters: text that a cell holds, or a comparison "
    "such as >0.5, =4 or 1..4. CSV has the rows that are left, five digits of each number, and half-widths apart."
)


def section(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """Every setting, every block where a layout has several of a kind and, folded, every trial."""
    pieces = [element("h2", "All settings and trials"), element("p", HELP, "soft screen")]
    if plan.settings:
        wanted = columns.of_settings(plan, found.score, columns.LONG) + columns.block_rates(plan)
        best = leading(plan.settings, found.score, found.maximize, MAX_SETTINGS)
        lines = [Line(_css(s, found), [c.value(s) for c in wanted]) for s in best]
        metrics = [m for m in with_share(columns.LONG, results.completed) if any(s.values(m) for s in plan.settings)]
        caption = f"Settings: mean ± half of the 95 % interval over n {plan.settings[0].replicate}s. "
        caption += labels.saw_labels(metrics)
        caption += labels.limited(len(plan.settings), MAX_SETTINGS, "settings, the best by the score")
        pieces.append(explorer("settings", [c.named for c in wanted], lines, caption, len(plan.settings[0].params)))
    of_blocks = blocks.of_settings(plan)
    pieces += [of_blocks] if of_blocks else []
    return join([*pieces, _trials(results, plan), downloads.trials_link(results)])


def _css(setting: Setting, found: Findings) -> str:
    return "best" if setting is found.leader_of(setting) else "bad" if verdict(setting) == "collapse" else ""


def _trials(results: StudyResults, plan: Design) -> Markup:
    names = [name for name, _ in plan.settings[0].params] if plan.settings else list(results.spec.get("space", {}))
    wanted = with_share(shown(Shown.TRIALS), results.completed)
    metrics = [m for m in wanted if any(row.get(m) is not None for row in results.trials)]
    heads = [Head("trial", "trial_id"), *(Head(labels.symbol(n), n) for n in names)]
    chosen = chosen_trials(results) if restarts_of(results.spec).size > 1 else None
    heads += [Head("seed", "seed"), Head("outcome", "outcome")]
    heads += [Head("chosen", "chosen")] if chosen is not None else []
    heads += [Head(labels.metric(m).short, m, _decimals(m)) for m in metrics]
    heads += [Head("seconds", "train_seconds", 1)]
    ordered = [row for s in plan.settings for row in s.completed or s.rows]
    listed = {row["trial_id"] for row in ordered}
    ordered += [row for row in results.trials if row["trial_id"] not in listed]
    lines = [
        Line("bad" if r["outcome"] == "failed" else "", _trial(r, names, metrics, chosen)) for r in ordered[:MAX_TRIALS]
    ]
    caption = f"Trials, one row each. {labels.saw_labels(metrics)}"
    caption += labels.limited(len(results.trials), MAX_TRIALS, "trials")
    return folded(f"Every trial ({len(results.trials):,})", explorer("trials", heads, lines, caption, 1))


def _decimals(metric: str) -> int:
    return 0 if METRICS[metric].integer else METRICS[metric].decimals


def _trial(row: Row, names: Sequence[str], metrics: Sequence[str], chosen: Collection[str] | None) -> list[Cell]:
    who: list[Cell] = [row["trial_id"], *(row.get(n) for n in names), row["seed"], row["outcome"]]
    who += ["yes" if row["trial_id"] in chosen else "no"] if chosen is not None else []
    return [*who, *(row.get(m) for m in metrics), row["train_seconds"]]
