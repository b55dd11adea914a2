"""What a run says at its start and at its end: how many trials, what leads, what is best, what failed and why."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from vmi.driver.budget import Deadline
from vmi.driver.options import RunOptions
from vmi.monitor.under_way import shown
from vmi.results.store import Store
from vmi.runners.ledger import Ledger
from vmi.search.ranking import Confirmed, Ranking, Standing
from vmi.search.score import deciding, directions, restarts_of
from vmi.spec.intervals import Interval
from vmi.spec.words import counted
from vmi.storage.paths import AnyPath, local
from vmi.study.study import Study

SHOWN_CAUSES = SHOWN_TRIALS = 3
SHOWN_FRONT = 10


def start_line(
    ledger: Ledger, asked: Mapping[str, Any], store: Store, grows: Sequence[str], own: int, retried: Sequence[str]
) -> str:
    """`grows`: what the study has gained; `own`: how many of its trials had a row before; `retried`: outcomes."""
    planned = asked["planned"]
    before = ledger.reused - ledger.adopted
    count = f"{planned} trials"
    if before or ledger.begun:
        count = f"resuming: {before} of {planned} trials are finished"
    if grows:
        count = f"grows: {', '.join(grows)}, {own} found + {planned - own} to train"
    count += f", {ledger.begun} were in training" if ledger.begun else ""
    found = f", {ledger.adopted} found in other studies" if ledger.adopted else ""
    if again := ledger.outcomes.to_retry:
        found += f", {again} {' or '.join(retried)} before and retried"
    return f"{store.study}: {count}{found}; results go to {near(store.folder)}"


def had(retried: Sequence[str]) -> str:
    """What trials with these outcomes have done: "failed or been stopped"."""
    return " or ".join("been stopped" if outcome == "stopped" else outcome for outcome in retried)


class Notes(NamedTuple):
    """What a run is told before it starts: its options, what study.json will say, and numbers of trials.

    `own` are stored and asked for, `stored` all that are stored, `retried` those that are trained again.
    """

    options: RunOptions
    asked: Mapping[str, Any]
    own: int
    stored: int
    retried: int


def note_lines(notes: Notes, taken_over: object, wandb: str, job: Deadline | None) -> Iterator[str]:
    """What a user should know at the start of a run: of its lock, of W&B, of what is not done."""
    options, only = notes.options, bool(notes.asked.get("only"))
    if taken_over:
        yield f"note: took over the stale lock of {taken_over}"
    if wandb:
        yield f"note: {wandb}"
    if only and (more := notes.stored - notes.own):
        yield f"note: this request alone (--only); {counted(more, 'more trial')} of others are stored"
    if options.keep_models != "none" and notes.own > notes.retried:
        yield "note: finished trials are not trained again, so no model of theirs is added"
    if job:
        yield f"note: this run ends at {datetime.fromtimestamp(job.at):%Y-%m-%dT%H:%M}, a minute before its Slurm job"
    if options.retried and not notes.retried:
        of = "request" if only else "study"
        yield f"note: nothing to retry: no trial of this {of} has {had(options.retried)}"


def fewer(ledger: Ledger) -> str:
    """Why a finished study has fewer trials than were asked for."""
    short = len(ledger.ranking.confirmed) < ledger.study.confirm
    return "fewer suggestions can be confirmed than asked for" if short else "the space has no more points"


def interrupted_lines(ledger: Ledger, asked: Mapping[str, Any], store: Store, again: str) -> list[str]:
    """How many trials are finished, from where the others resume, and the command that does it."""
    return [f"interrupted: {_standing(ledger, asked, store)}", f"resume with: {again}"]


def spent_lines(why: str, ledger: Ledger, asked: Mapping[str, Any], store: Store, again: str) -> list[str]:
    """The same of a run whose budget is spent, with what has ended it and what is left."""
    left = max(0, asked["planned"] - ledger.outcomes.safe - len(ledger.going_on))
    said = f"budget spent ({why}): {_standing(ledger, asked, store)}" + (f"; left: {left}" if left else "")
    if why.startswith("--until"):  # the same time would be in the past
        without, found = re.subn(r" --until[ =]\S+", "", again)
        again = without if found else f"{again}, with a later until"
    return [said, f"resume with: {again}"]


def _standing(ledger: Ledger, asked: Mapping[str, Any], store: Store) -> str:
    said = f"{ledger.outcomes.safe} of {asked['planned']} trials are finished in {near(store.folder)}"
    if going_on := ledger.going_on:
        low, high = (100 * extreme(going_on.values()) for extreme in (min, max))
        span = f"{low:.0f} %" if round(low) == round(high) else f"{low:.0f} to {high:.0f} %"
        said += f"; {len(going_on)} more resume from {span} of their steps"
    return said


def summary_lines(ledger: Ledger, store: Store, retried: Sequence[str] = ()) -> list[str]:
    """The last lines of a run, which has trained trials again that had these outcomes."""
    outcomes, folder = ledger.outcomes, near(store.folder)
    failures = outcomes.failures
    total = len(outcomes.finished) + len(outcomes.lost)
    trained = len(outcomes.finished) - ledger.reused - ledger.stopped_now
    by_user = f" + {ledger.stopped_now} stopped" if ledger.stopped_now else ""
    counts = f"{trained} trained{by_user} in this run + {ledger.reused} found in the store, {len(failures)} failed"
    lines = [f"{store.study}: {total} trials = {counts}"]
    lines += [*_retried(outcomes.retried, retried), *outcome_lines(ledger), *causes(failures)]
    if stopped := outcomes.stopped:
        lines.append(f"{counted(len(stopped), 'trial')} stopped by `vmi stop`: --retry-stopped trains them again")
    if outcomes.without_result:
        lines.append(f"{outcomes.without_result} of the failed trials have no result: the next start trains them again")
    return [*lines, f"report: vmi report {shlex.quote(str(folder))}"]


def _retried(ended: Mapping[str, str], before: Sequence[str]) -> Iterator[str]:
    """How many trials were trained again, and how these ended."""
    words = {
        "completed": "completed", "pruned": "pruned", "stopped": "stopped", "failed": "failed again",
        "": "without a result",
    }  # fmt: skip
    counts = {word: sum(outcome == name for outcome in ended.values()) for name, word in words.items()}
    if ended:
        said = [f"{count} {word}" for word, count in counts.items() if count or word == "completed"]
        yield f"retried: {counted(len(ended), 'trial')} that had {had(before)}: {', '.join(said)}"


def outcome_lines(ledger: Ledger) -> Iterator[str]:
    """The front of several objectives, what was stopped or broke a constraint, and what is called best."""
    study, ranking = ledger.study, ledger.ranking
    if study.objectives:
        yield from _front(study, ranking.front())
    if ranking.broken:
        yield f"{counted(ranking.broken, 'suggestion')} broke a constraint ({_bounds(study)}): never best"
    if ranking.pruned:
        yield f"{counted(ranking.pruned, 'suggestion')} pruned on some seed: never best"
    if ranking.stopped:
        yield f"{counted(ranking.stopped, 'suggestion')} stopped on some seed: never best"
    if study.confirm:
        yield from _confirmed(ledger)
    elif best := ranking.best:
        yield f"best {study.metric}: {best.value} (n = {best.value.count}) at {shown(best.params)}"
        yield from _all_trials(study, best.all_trials, best.value)
    elif study.constraints and ledger.done:
        yield "no best: no suggestion keeps every constraint"


def _all_trials(study: Study, every: Interval | None, chosen: Interval) -> Iterator[str]:
    """Where replicates are chosen among restarts, the mean of all trials beside theirs."""
    if every is not None:
        yield f"  {restarts_of(study).said(every, chosen)}"


def _bounds(study: Study) -> str:
    return ", ".join(f"{metric} {bound}" for metric, bound in study.constraints.items())


def _front(study: Study, found: list[Standing]) -> Iterator[str]:
    aims = ", ".join(f"{direction} {metric}" for metric, direction in directions(study).items())
    yield f"front ({aims}): {counted(len(found), 'suggestion')} that no other beats in the means over seeds"
    for standing in found[:SHOWN_FRONT]:
        yield f"  {_values(study, standing)} at {shown(standing.suggestion.params)}"
    if len(found) > SHOWN_FRONT:
        yield f"  and {len(found) - SHOWN_FRONT} more: the report has them all"


def _values(study: Study, standing: Standing) -> str:
    return ", ".join(f"{metric} {standing.intervals[metric]}" for metric in deciding(study))


def _confirmed(ledger: Ledger) -> Iterator[str]:
    """Only a fresh figure is called best; the search's own stands beside it."""
    study, ranking = ledger.study, ledger.ranking
    best = ranking.best
    for each in ranking.confirmed:
        is_best = best is not None and each.fresh is not None and each.fresh.suggestion.params == best.params
        yield _confirmed_line(study, each, is_best)
        if each.fresh:
            yield from _all_trials(study, each.fresh.all_trials, each.fresh.intervals[study.metric])
    if not ranking.confirmed and (leader := ranking.leader):
        why = ": trials of the search are lost" if ledger.outcomes.lost else ""
        yield (
            f"search (selected, optimistic) {study.metric}: {leader.value} (n = {leader.value.count}) at "
            f"{shown(leader.params)}; not confirmed on fresh seeds{why}"
        )
        yield from _all_trials(study, leader.all_trials, leader.value)
    elif not ranking.confirmed:
        yield _nothing(ranking)
    elif best is None:
        yield "no best: no confirmed suggestion has a value that keeps every constraint on fresh seeds"


def _nothing(ranking: Ranking) -> str:
    kept = ", none keeps every constraint" if ranking.broken else ""
    return f"nothing to confirm: no suggestion of the search can be compared{kept}"


def _confirmed_line(study: Study, each: Confirmed, is_best: bool) -> str:
    name, searched = study.metric, each.searched.intervals[study.metric]
    fresh = each.fresh.intervals[name] if each.fresh else None
    figure = f"{fresh} (n = {fresh.count}, fresh seeds)" if fresh else "no value on fresh seeds"
    broken = [m for m, excess in (each.fresh.score.excess if each.fresh else {}).items() if excess > 0]
    note = f", breaks {', '.join(f'{m} {study.constraints[m]}' for m in broken)}" if broken else ""
    return (
        f"{'best' if is_best else 'confirmed'} {name}: {figure}{note} at {shown(each.searched.suggestion.params)}; "
        f"search (selected, optimistic): {searched} (n = {searched.count})"
    )


def causes(failures: Mapping[str, str]) -> list[str]:
    """The commonest causes of failure, each with some of its trials."""
    trials: dict[str, list[str]] = {}
    for trial_id, reason in failures.items():
        trials.setdefault(reason, []).append(trial_id)
    commonest = sorted(trials.items(), key=lambda item: -len(item[1]))[:SHOWN_CAUSES]
    return [
        f"{len(ids)} failed: {reason} ({', '.join(ids[:SHOWN_TRIALS])}{', …' if len(ids) > SHOWN_TRIALS else ''})"
        for reason, ids in commonest
    ]


def near(folder: AnyPath) -> AnyPath:
    """The folder as seen from here, where it lies below."""
    here = Path.cwd()
    own = local(folder)
    return own.relative_to(here) if own and own.is_relative_to(here) else folder
