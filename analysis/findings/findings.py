"""What a study says, as sentences made from its rows: the best setting, which λ it takes, collapses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.classes import SHARE, unbalanced, unlabelled
from analysis.data.goals import goals_of
from analysis.data.mi_checks import Violation, counted, primary, verdict, violations
from analysis.data.settings import Interval, Setting, interval, paired_gain
from analysis.data.study_json import restarts_of, search_seeds
from analysis.data.study_results import StudyResults
from analysis.findings import confirmation
from analysis.findings import pareto as selection
from vmi.spec.config import FIELDS
from vmi.spec.metrics import METRICS
from vmi.spec.trial import Row

MAX_LISTED = 4


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The metric that settings are judged by, the best of each data set, the references beside it, and the sentences.

    Where a study `confirms` its leaders on fresh seeds, the best setting of the search only leads. None is among the
    `leaders` before all of its seeds have ended.
    """

    score: str | None
    maximize: bool
    confirms: bool
    leaders: tuple[Setting, ...]
    unused: Interval | None
    kmeans: Interval | None
    majority: Interval | None
    violations: tuple[Violation, ...]
    sentences: tuple[str, ...]

    @property
    def best(self) -> Setting | None:
        """The one leader; None where there is none, or several data sets have one each."""
        return self.leaders[0] if len(self.leaders) == 1 else None

    def leader_of(self, setting: Setting) -> Setting | None:
        """The best setting of this one's data set: no metric compares settings across data sets."""
        return next((s for s in self.leaders if s.get("dataset") == setting.get("dataset")), None)


def findings(results: StudyResults, plan: Design) -> Findings:
    """The findings of the completed trials."""
    score = _score(results)
    maximize = _direction(results, score) != "minimize"
    goals = goals_of(results.spec)
    able = [s for s in plan.whole if goals.feasible(s)]
    leaders = _leaders(able, score, maximize)
    unused = _reference("accuracy_majority", plan, unused_only=True)
    kmeans = _reference("accuracy_kmeans", plan, unused_only=False)
    majority = _reference(SHARE, plan, unused_only=False) if unbalanced(results.completed) else None
    beside = _beside(unused, kmeans, majority) if score == "accuracy_majority" else ""
    broken = violations(results.completed)
    again = confirmation.confirmed(results, plan, score, maximize)
    parts = [
        *confirmation.sentences(results, again, goals, score),
        *_best_sentences(results, leaders, score, beside, bool(goals.confirm)),
        *_unfinished(results, plan, score),
        *selection.sentences(results, plan, goals, able),
        *_state(results, plan),
        *_equal(results, score),
        *_use(plan),
        *_collapses(plan),
    ]
    parts += [*_no_accuracy(results), *_violated(broken, len(results.completed))]
    return Findings(
        score=score,
        maximize=maximize,
        confirms=bool(goals.confirm),
        leaders=leaders,
        unused=unused,
        kmeans=kmeans,
        majority=majority,
        violations=broken,
        sentences=tuple(parts),
    )


def _score(results: StudyResults) -> str | None:
    """The study's own metric where it has values, else accuracy, else the ELBO."""
    wanted = (results.spec.get("metric"), "accuracy_majority", "elbo_nats")
    have = {name for row in results.completed for name, v in row.items() if isinstance(v, int | float)}
    return next((name for name in wanted if isinstance(name, str) and name in have), None)


def _direction(results: StudyResults, score: str | None) -> Any:
    """As the study says of its own metric, else as the metric's record says."""
    if score is None or score == results.spec.get("metric"):
        return results.spec.get("direction") if score else ""
    return METRICS[score].direction


def _leaders(found: Sequence[Setting], score: str | None, maximize: bool) -> tuple[Setting, ...]:
    """The best setting of each data set."""
    datasets = dict.fromkeys(s.get("dataset") for s in found)
    each = (_best([s for s in found if s.get("dataset") == d], score, maximize) for d in datasets)
    return tuple(best for best in each if best is not None)


def _best(found: Sequence[Setting], score: str | None, maximize: bool) -> Setting | None:
    judged = [(mean, s) for s in found if score and (mean := s.mean(score)) is not None]
    pick = max if maximize else min
    return pick(judged, key=lambda pair: pair[0])[1] if judged else None


def _reference(metric: str, plan: Design, unused_only: bool) -> Interval | None:
    """One level for the whole study; None where data set or layout vary, as one level would then mislead.

    Plain trials (no term that makes the code used) of one seed, or group of restarts, are averaged first.
    """
    names = {name for setting in plan.settings for name, _ in setting.params}
    if names & {"dataset", "layout"}:
        return None
    by_group: dict[Any, list[float]] = {}
    for group, row in (item for s in plan.settings for item in s.by_group.items()):
        if row.get(metric) is not None and (not unused_only or is_plain(row)):
            by_group.setdefault(group, []).append(row[metric])
    return interval(sum(values) / len(values) for values in by_group.values())


def is_plain(row: Row) -> bool:
    """λ = 0, and none of the other terms that may make a code used."""
    return all(not row.get(name) for name, field in FIELDS.items() if field.uses_code) and row.get("kl_weight") == 1


def _state(results: StudyResults, plan: Design) -> Iterator[str]:
    done, planned = len(results.completed), results.planned
    if not results.trials:
        yield f"No trial has finished yet ({planned:,} planned), so there is nothing to conclude."
    elif not done:
        finished = labels.plural(len(results.trials), "finished trial")
        yield f"None of the {finished} was completed, so there is nothing to compare."
    elif max((len(s.rows) for s in plan.settings), default=0) == 1:
        one = f"One {plan.settings[0].replicate} per setting"
        yield f"{one}: no interval can be given, and a difference between settings may be luck."


def _use(plan: Design) -> Iterator[str]:
    """Per line: from which λ the code is used. Needs λ as a discrete x axis with 0 on it."""
    if plan.x.name != "mi_weight" or plan.x.continuous or not plan.joined:
        return
    for name, group in plan.lines:
        unused = next((s for s in group if s.get("mi_weight") == 0), None)
        weighted = [s for s in group if s.get("mi_weight") != 0]
        gains = [paired_gain(s, unused, "accuracy_majority") if unused else None for s in weighted]
        if unused is None or not any(gain and gain.low is not None for gain in gains):
            continue
        flags = [is_used(s, gain) for s, gain in zip(weighted, gains, strict=True)]
        yield _use_sentence(f"With {name}, the code" if name else "The code", weighted, flags)


def is_used(setting: Setting, gain: Interval | None) -> bool:
    """The code carries half of ln K or more, and its gain in accuracy over λ = 0 is surely above zero."""
    block, encoder = primary(setting.rows[0], "c"), setting.mean("mi_encoder_nats")
    carries = block is not None and encoder is not None and encoder >= block.max_entropy_nats / 2
    return carries and gain is not None and gain.low is not None and gain.low > 0


def _use_sentence(subject: str, weighted: Sequence[Setting], flags: Sequence[bool]) -> str:
    values = [labels.value(s.get("mi_weight")) for s in weighted]
    used = [v for v, flag in zip(values, flags, strict=True) if flag]
    if not used:
        return f"{subject} is used at no λ: none has both a sure gain over λ = 0 and half of ln K."
    if len(values) > 1 and list(flags) == sorted(flags):
        return f"{subject} is used from λ = {used[0]} on."
    others = [v for v, flag in zip(values, flags, strict=True) if not flag]
    but = f", but not at λ = {labels.listed(others)}" if others else ""
    return f"{subject} is used at λ = {labels.listed(used)}{but}."


def _best_sentences(
    results: StudyResults, leaders: Sequence[Setting], score: str | None, beside: str, leads: bool
) -> Iterator[str]:
    for best in leaders:
        yield from _best_sentence(best, score, beside, leads)
        yield from _chosen(results, best, score)


def _unfinished(results: StudyResults, plan: Design, score: str | None) -> Iterator[str]:
    """What is not ranked, as the seeds that it still lacks may change its place."""
    count = len(plan.settings) - len(plan.whole)
    if not count or score is None:
        return
    if plan.whole:
        yield f"Unfinished, and so not ranked: {labels.plural(count, 'setting')} of which not all seeds have ended."
        return
    seeds = labels.plural(len(search_seeds(results.spec)), "seed")
    most = max(len(s.completed or s.rows) for s in plan.settings)
    yield f"Unfinished: no setting has ended on all of its {seeds} yet ({most:,} at most), so none is called best."


def _beside(unused: Interval | None, kmeans: Interval | None, majority: Interval | None) -> str:
    """What an accuracy is read beside, as the end of a sentence; empty where there is nothing."""
    levels = {"an unused code (λ = 0)": unused, "k-means on the pixels": kmeans, "always the majority class": majority}
    said = [f"{labels.number(level.mean, 3)} for {name}" for name, level in levels.items() if level]
    return f", beside {labels.listed(said)}" if said else ""


def _best_sentence(best: Setting, score: str | None, beside: str, leads: bool) -> Iterator[str]:
    found = best.interval(score) if score else None
    if score is None or found is None:
        return
    name = labels.metric(score)
    start = "Leading in the search, by the seeds that it was selected on" if leads else "Best setting"
    text = f"{start}: {labels.setting(best)}, with" if best.params else "The one setting has"
    ends = labels.from_to(found, name.decimals, best.replicate)
    text += f" {name.short} {labels.number(found.mean, name.decimals)} ({ends})"
    yield f"{text}{beside}."


def _chosen(results: StudyResults, best: Setting, score: str | None) -> Iterator[str]:
    """With restarts, what all trials of the best setting reach beside the chosen ones."""
    found, every = (best.interval(score), best.all_trials(score)) if score else (None, None)
    if found is not None and every is not None and score is not None:
        said = restarts_of(results.spec).said(every, found)
        yield f"In {labels.metric(score).short} there, {said}. The choice within a group looked at no label."


def _equal(results: StudyResults, score: str | None) -> Iterator[str]:
    values = {row.get(score) for row in results.completed} if score else set()
    if len(results.completed) > 1 and len(values) == 1:
        yield "All trials have the very same score: neither what was varied nor the seed made a difference."


def _collapses(plan: Design) -> Iterator[str]:
    fallen = [s for s in plan.settings if verdict(s) == "collapse"]
    if fallen:
        where = labels.listed([labels.setting(s) for s in fallen])
        if len(fallen) > MAX_LISTED:
            where = f"{len(fallen)} of {len(plan.settings)} settings (marked in the table)"
        worst = min(fallen, key=lambda s: s.mean("mi_encoder_nats") or 0.0)
        yield f"High MI that is a collapse: {where}. {_evidence(worst)}"
    lost = [s for s in plan.settings if verdict(s) == "categories lost"]
    if lost:
        count = labels.plural(len(lost), "further setting")
        yield f"In {count} the paper’s bound is as high while a seed leaves categories unused."


def _evidence(s: Setting) -> str:
    block = primary(s.rows[0], "c")
    size, cap = (block.size, labels.number(block.max_entropy_nats)) if block else (0, "–")
    used = labels.number(s.mean("categories_used"), 1).removesuffix(".0")
    own = f"{block.name}_nats" if block else ""
    paper, encoder = (labels.number(s.mean(f"{quantity}_{own}")) for quantity in ("mi_paper", "mi_encoder"))
    return (
        f"At {labels.setting(s)} the paper’s bound reads {paper} of ln {size} = {cap} nats, "
        f"while I_q(x;c) is {encoder} nats and {used} of {size} categories {counted(block) if block else 'used'}."
    )


def _no_accuracy(results: StudyResults) -> Iterator[str]:
    if blind := sorted({str(r["dataset"]) for r in results.completed if unlabelled(r)}):
        names = labels.listed([labels.value(v) for v in blind[:MAX_LISTED]])
        yield f"No accuracy: the images of {names} have no labels."
        return
    without = sorted({str(r["layout"]) for r in results.completed if r.get("accuracy_majority") is None})
    if without:
        names = labels.listed([labels.value(v) for v in without[:MAX_LISTED]])
        yield f"No accuracy for layout {names}: a layout without a categorical block classifies nothing."


def _violated(broken: Sequence[Violation], completed: int) -> Iterator[str]:
    if broken:
        trials = len({v.trial_id for v in broken})
        yield (
            f"What must hold does not in {labels.plural(trials, 'trial')} "
            f"({labels.plural(len(broken), 'violation')}, listed below): distrust its account of MI."
        )
    elif completed:
        where = "the one completed trial" if completed == 1 else f"all {completed:,} completed trials"
        yield f"Every bound that must hold does, in {where}."
