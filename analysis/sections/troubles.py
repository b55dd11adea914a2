"""The sections of a report that account for it: every setting and trial, what went wrong, how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from analysis.data import labels
from analysis.data.classes import unlabelled
from analysis.data.mi_checks import TOLERANCE_NATS
from analysis.data.study_results import StudyResults
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, element, join, table, wrap
from vmi.spec.metrics import METRICS
from vmi.spec.trial import RETRIABLE, Row

MAX_LISTED = 200
MAX_CAUSES = 10
METHODS = (
    "Intervals are 95 % Student-t intervals over the seeds of a setting (mean ± t·s/√n). They are not "
    "clipped to a metric’s range, and one seed gives none. They speak of seeds alone: data set and "
    "split are the same in all.",
    "A gain over λ = 0 is the interval of the differences seed by seed. The code counts as used where "
    "this interval is above zero and I_q(x;c) is at least half of ln K. No correction is made for the "
    "number of settings, and the best setting was chosen on the seeds that it is reported on: with many "
    "settings its figure is optimistic.",
    "Differences between settings are the t intervals of the differences seed by seed, over the seeds that both have. "
    "Means over several settings are taken within a seed first, so that a seed counts once.",
    "Why no bootstrap over seeds: with five seeds its percentiles are too narrow. The one bootstrap here is that of "
    "parameter importance, over suggestions, of which there are many; its draws come from a fixed seed.",
    "A collapse is a paper bound within 0.3 nats of ln K with I_q(x;c) below half of ln K. “Categories "
    "lost” is as high a bound while some seed leaves a category unused: one with less than a hundredth of the images. "
    "Of more than 100 categories not all can have as many, so there none is called lost.",
    "With restarts a replicate is a group of seeds, and what is said of seeds holds of groups: each figure of a group "
    "is that of its one trial that an unsupervised metric chose, once all trials of the group had ended.",
    "Quantities are in nats per image.",
)
LABELLED = (
    labels.saw_labels(METRICS),
    "Accuracy is held-out: the map from category to class is fitted on the training split. An unused "
    "code and k-means on the pixels are scored in the same way.",
)


def troubles(results: StudyResults, found: Findings) -> Markup:
    """Failures with reasons, stopped trials, violations, missing trials, dropped ones, damaged and ignored files."""
    pieces = [*_failures(results), *_stopped(results), *_retried(results)]
    pieces += [*_violations(found), *_dropped(results), *_files(results)]
    if results.missing:
        text = f"{results.missing:,} of {labels.plural(results.planned, 'planned trial')} not finished yet. "
        text += f"{len(results.under_way):,} of them under way at their last checkpoint. " if results.under_way else ""
        pieces.insert(0, element("p", text + "Running the study again trains only what is missing."))
    nothing = element("p", "Nothing: every planned trial was completed, and every file was read.")
    return join([element("h2", "What did not go as planned"), *(pieces or [nothing])])


def _failures(results: StudyResults) -> Iterator[Markup]:
    if results.failed:
        names = _searched(results, results.failed[0])
        causes = Counter(str(row["reason"]) for row in results.failed)
        said = [f"{count} × {cause}" for cause, count in causes.most_common(MAX_CAUSES)]
        said += [f"and {labels.plural(len(causes) - MAX_CAUSES, 'further reason')}"] if len(causes) > MAX_CAUSES else []
        yield element("h3", "Failed trials")
        yield wrap("ul", join(element("li", line) for line in said))
        rows = [
            ("", [r["trial_id"], _params(r, names), str(r["seed"]), str(r["step"]), str(r["reason"])])
            for r in results.failed[:MAX_LISTED]
        ]
        caption = "Failed trials and the last step they reached."
        caption += labels.limited(len(results.failed), MAX_LISTED, "failed trials")
        yield table(["trial", "setting", "seed", "step", "reason"], rows, caption, 5)


def _stopped(results: StudyResults) -> Iterator[Markup]:
    """Who has stopped how many trials."""
    asked = Counter(str(row["reason"]) for row in results.ended_as("stopped"))
    if asked:
        said = [f"{labels.plural(count, 'trial')} {reason}" for reason, count in asked.most_common(MAX_CAUSES)]
        more = len(asked) - MAX_CAUSES
        said += [f"and by {labels.plural(more, 'further request')}"] if more > 0 else []
        yield element("h3", "Trials that were stopped")
        yield wrap("ul", join(element("li", line) for line in said))


def _retried(results: StudyResults) -> Iterator[Markup]:
    """Trials that were tried again after they had failed or were stopped, with the reason of each attempt."""
    again = [row for row in results.trials if row["trial_id"] in results.earlier]
    if not again:
        return
    completed = sum(row["outcome"] == "completed" for row in again)
    names = _searched(results, again[0])
    earlier = {row["outcome"] for rows in results.earlier.values() for row in rows}
    words = " and ".join(word for word in ("failed", "stopped") if word in earlier)
    yield element("h3", f"{words.capitalize()} trials that were tried again")
    yield element("p", f"{labels.plural(len(again), 'trial')}, of which {completed} then completed.")
    rows = [("", [r["trial_id"], _params(r, names), *_story(results, r)]) for r in again[:MAX_LISTED]]
    caption = "Trials that were tried again; the reason of each earlier attempt, the first one first."
    caption += labels.limited(len(again), MAX_LISTED, "trials that were tried again")
    yield table(["trial", "setting", "seed", "attempts", "ended", "reasons"], rows, caption, 5)


def _story(results: StudyResults, row: Row) -> tuple[str, ...]:
    """A trial's seed, how often it was tried, how it ended at last, and why each attempt without a result ended."""
    failed = [*results.earlier[row["trial_id"]], *([row] if row["outcome"] in RETRIABLE else [])]
    reasons = "; ".join(f"{number}: {one['reason']}" for number, one in enumerate(failed, 1))
    return str(row["seed"]), str(results.attempts(row["trial_id"])), str(row["outcome"]), reasons


def _searched(results: StudyResults, row: Row) -> list[str]:
    return [name for name in results.spec.get("space", {}) if name in row]


def _params(row: Row, names: list[str]) -> str:
    return ", ".join(f"{labels.symbol(n)} = {labels.value(row[n])}" for n in names)


def _violations(found: Findings) -> Iterator[Markup]:
    if found.violations:
        text = f"Shown as measured, never clipped. Up to {TOLERANCE_NATS:g} nats count as rounding (float32)."
        yield element("h3", "Violations of what must hold")
        yield element("p", text)
        rows = [("bad", [v.trial_id, v.what, f"{v.excess_nats:.3g}"]) for v in found.violations[:MAX_LISTED]]
        caption = f"Violations.{labels.limited(len(found.violations), MAX_LISTED, 'violations')}"
        yield table(["trial", "must hold", "violated by (nats)"], rows, caption, 2)


def _dropped(results: StudyResults) -> Iterator[Markup]:
    if results.drops:
        yield element("h3", "Dropped trials")
        text = "Taken out by hand with vmi drop, and no part of any figure here. Their files are kept in quarantine/."
        yield element("p", text)
        yield wrap("ul", join(element("li", f"{drop}") for drop in results.drops))


def _files(results: StudyResults) -> Iterator[Markup]:
    if results.damaged:
        yield element("h3", "Damaged files")
        yield element("p", "Their rows are not in this report. The files are kept as they are.")
        yield wrap("ul", join(element("li", item) for item in results.damaged))
    if results.ignored:
        text = f"{labels.plural(results.ignored, 'file')} in the folders of tables: no parts, so ignored."
        yield element("p", text, "soft")
    if results.duplicates:
        text = f"{labels.plural(results.duplicates, 'row')} repeated a trial that was there; each trial counts once."
        yield element("p", text, "soft")


def methods(results: StudyResults) -> Markup:
    """How intervals, verdicts and, where images have labels, references were made."""
    said = METHODS if any(map(unlabelled, results.trials)) else (*METHODS[:-1], *LABELLED, METHODS[-1])
    return join([element("h2", "How this was made"), *(element("p", text) for text in said)])
