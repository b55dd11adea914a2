"""The sections of a report that account for it: every setting and trial, what went wrong, how it was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from analysis import blocks, columns, labels
from analysis.aggregate import Setting
from analysis.design import Design
from analysis.findings import Findings
from analysis.information import TOLERANCE_NATS, verdict
from analysis.markup import Markup, element, folded, join, table, wrap
from analysis.read import Row, StudyResults

# 10,000 trials must still make a page of less than 10 MB.
MAX_SETTINGS = 500
MAX_TRIALS = 2000
MAX_LISTED = 200
MAX_CAUSES = 10
TRIAL_METRICS = (
    "accuracy_majority", "mi_encoder_nats", "mi_paper_nats", "categories_used", "mi_encoder_lower_nats",
    "rate_nats", "distortion_nats",
)  # fmt: skip
METHODS = (
    "Intervals are 95 % Student-t intervals over the seeds of a setting (mean ± t·s/√n). They are not "
    "clipped to a metric’s range, and one seed gives none. They speak of seeds alone: data set and "
    "split are the same in all.",
    "A gain over λ = 0 is the interval of the differences seed by seed. The code counts as used where "
    "this interval is above zero and I_q(x;c) is at least half of ln K. No correction is made for the "
    "number of settings, and the best setting was chosen on the seeds that it is reported on: with many "
    "settings its figure is optimistic.",
    "A collapse is a paper bound within 0.3 nats of ln K with I_q(x;c) below half of ln K. “Categories "
    "lost” is as high a bound while some seed leaves a category unused.",
    "Accuracy is held-out: the map from category to class is fitted on the training split. An unused "
    "code and k-means on the pixels are scored in the same way. Quantities are in nats per image.",
)


def tables(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """Every setting, every block where a layout has several of a kind and, folded, every trial."""
    wanted = columns.of_settings(plan, found.score, columns.LONG) + columns.block_rates(plan)
    rows = [(_css(s, found), [c.cell(s) for c in wanted]) for s in plan.settings[:MAX_SETTINGS]]
    caption = "Settings: mean ± half of the 95 % interval over n seeds."
    caption += _limited(len(plan.settings), MAX_SETTINGS, "settings")
    pieces = [element("h2", "All settings and trials")]
    if rows:
        pieces.append(table([c.head for c in wanted], rows, caption, len(plan.settings[0].params)))
    of_blocks = blocks.of_settings(plan)
    pieces += [of_blocks] if of_blocks else []
    return join([*pieces, _trials(results, plan)])


def _limited(count: int, limit: int, noun: str) -> str:
    return f" The first {limit:,} of {count:,} {noun}; all are in the Parquet files." if count > limit else ""


def _css(setting: Setting, found: Findings) -> str:
    return "best" if setting is found.best else "bad" if verdict(setting) == "collapse" else ""


def _trials(results: StudyResults, plan: Design) -> Markup:
    names = [name for name, _ in plan.settings[0].params] if plan.settings else list(results.spec.get("space", {}))
    metrics = [m for m in TRIAL_METRICS if any(row.get(m) is not None for row in results.trials)]
    heads = ["trial", *map(labels.symbol, names), "seed", "outcome"]
    heads += [*(labels.metric(m).short for m in metrics), "seconds"]
    ordered = [row for s in plan.settings for row in s.rows]
    listed = {row["trial_id"] for row in ordered}
    ordered += [row for row in results.trials if row["trial_id"] not in listed]
    rows = [(_trial_css(row), _trial(row, names, metrics)) for row in ordered[:MAX_TRIALS]]
    caption = f"Trials, one row each.{_limited(len(results.trials), MAX_TRIALS, 'trials')}"
    return folded(f"Every trial ({len(results.trials):,})", table(heads, rows, caption, 1))


def _trial_css(row: Row) -> str:
    return "bad" if row["outcome"] == "failed" else ""


def _trial(row: Row, names: list[str], metrics: list[str]) -> list[str]:
    who = [row["trial_id"], *(labels.value(row.get(n)) for n in names), str(row["seed"]), str(row["outcome"])]
    values = [labels.number(row.get(m), 0 if m == "categories_used" else labels.metric(m).decimals) for m in metrics]
    return [*who, *values, labels.number(row["train_seconds"], 1)]


def troubles(results: StudyResults, found: Findings) -> Markup:
    """Failures with reasons, violations, missing trials, damaged and ignored files."""
    pieces = [*_failures(results), *_violations(found), *_files(results)]
    if results.missing:
        text = f"{results.missing:,} of {labels.plural(results.planned, 'planned trial')} not finished yet. "
        pieces.insert(0, element("p", text + "Running the study again trains only what is missing."))
    nothing = element("p", "Nothing: every planned trial was completed, and every file was read.")
    return join([element("h2", "What did not go as planned"), *(pieces or [nothing])])


def _failures(results: StudyResults) -> Iterator[Markup]:
    if results.failed:
        names = [name for name in results.spec.get("space", {}) if name in results.failed[0]]
        causes = Counter(str(row["reason"]) for row in results.failed).most_common(MAX_CAUSES)
        yield element("h3", "Failed trials")
        yield wrap("ul", join(element("li", f"{count} × {cause}") for cause, count in causes))
        rows = [
            ("", [r["trial_id"], _params(r, names), str(r["seed"]), str(r["step"]), str(r["reason"])])
            for r in results.failed[:MAX_LISTED]
        ]
        caption = "Failed trials and the last step they reached."
        caption += _limited(len(results.failed), MAX_LISTED, "failed trials")
        yield table(["trial", "setting", "seed", "step", "reason"], rows, caption, 5)


def _params(row: Row, names: list[str]) -> str:
    return ", ".join(f"{labels.symbol(n)} = {labels.value(row[n])}" for n in names)


def _violations(found: Findings) -> Iterator[Markup]:
    if found.violations:
        text = f"Shown as measured, never clipped. Up to {TOLERANCE_NATS:g} nats count as rounding (float32)."
        yield element("h3", "Violations of what must hold")
        yield element("p", text)
        rows = [("bad", [v.trial_id, v.what, f"{v.excess_nats:.3g}"]) for v in found.violations[:MAX_LISTED]]
        caption = f"Violations.{_limited(len(found.violations), MAX_LISTED, 'violations')}"
        yield table(["trial", "must hold", "violated by (nats)"], rows, caption, 2)


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
    """How intervals, verdicts and references were made, and how to make the study again."""
    made = [element("li", f"{name}: {text}") for name, text in _made_with(results).items()]
    again = f"vmi report results/{results.name}\nSELECT * FROM 'results/{results.name}/trials/*.parquet';"
    return join([
        element("h2", "How this was made"), *(element("p", text) for text in METHODS),
        element("h3", "To make it again"), wrap("ul", join(made)),
        element("p", "What was asked for (study.json):"), element("pre", _one_line_each(results.spec)),
        element("p", "This page from the stored results, and the same rows in DuckDB:"),
        element("pre", again),
    ])  # fmt: skip


def _made_with(results: StudyResults) -> Mapping[str, str]:
    versions = Counter(str(row["versions"]) for row in results.trials).most_common(5)
    finished = max((row["finished_at"] for row in results.trials if row["finished_at"]), default=None)
    data = {f"{row['dataset']} {(row['data_fingerprint'] or '')[:16]}".strip() for row in results.trials}
    return {
        "Last trial finished": finished.isoformat(sep=" ", timespec="seconds") if finished else "–",
        "Versions": "; ".join(f"{v} ({labels.plural(n, 'trial')})" for v, n in versions) or "–",
        "Data sets and their fingerprints": "; ".join(sorted(data)) or "–",
    }


def _one_line_each(spec: Mapping[str, Any]) -> str:
    """JSON with one line per field, and per parameter of the space."""
    return "{\n  " + ",\n  ".join(_field(str(name), value) for name, value in spec.items()) + "\n}"


def _field(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict) and value:
        inner = (f"    {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
        text = "{\n" + ",\n".join(inner) + "\n  }"
    return f"{json.dumps(name)}: {text}"
