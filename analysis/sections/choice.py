"""The section on choosing without labels: which unsupervised metric tells good seeds from bad."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.choice import MIN_TRIALS, Choices, choices
from analysis.data.study_json import restarts_of
from analysis.data.study_results import StudyResults
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, element, join, table


def section(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """Empty where the score looks at no label, or no setting has seeds enough to be put in an order."""
    made = choices(plan.settings, found.score, found.maximize, results.spec) if found.score else None
    if made is None or found.score is None:
        return Markup("")
    name, size = labels.metric(found.score), restarts_of(results.spec).size
    of = f"each group of {size} restarts" if size > 1 else "the seeds of each setting"
    mean, best = (labels.number(value, name.decimals) for value in (made.mean, made.best))
    text = f"Within a setting seeds differ in {name.short}. A metric that looks at no label is worth choosing by if it "
    text += f"puts them in the same order. The last column has {name.short} where the best of {of} is taken by it; all "
    text += f"trials have {mean}, and choosing by the labels themselves would give {best}."
    heads = ["metric", "rank correlation", "settings", "trials", f"{name.short} of its choice"]
    caption = (
        f"Spearman’s rank correlation with {name.short} among the trials of a setting: its mean over settings ± half "
    )
    caption += f"of the 95 % interval. Settings of {MIN_TRIALS} trials or more. {labels.saw_labels([found.score])}"
    head = element("h2", "Telling good seeds from bad without labels")
    return join([head, element("p", text, "soft"), table(heads, _rows(made, name.decimals), caption, 1)])


def _rows(made: Choices, decimals: int) -> Iterator[tuple[str, list[str]]]:
    for choice in made.choices:
        cells = [labels.plus_minus(choice.correlation), f"{choice.settings:,}", f"{choice.trials:,}"]
        yield "", [labels.metric(choice.metric).short, *cells, labels.number(choice.chosen, decimals)]
