"""What a run takes up of what its store has: which packs go on, which trials are trained again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vmi.driver.options import RunOptions
from vmi.driver.stopping import Stopping, config_of
from vmi.results.rows import attempts_with
from vmi.results.store import Store
from vmi.search.trial_count import values_of
from vmi.spec.requests import in_view, requests_of
from vmi.spec.trial import PackSpec, Row, Trial, row_of
from vmi.study.study_json import study_of
from vmi.worker.takeover import packs_under_way


def to_retry(own: Mapping[str, Row], options: RunOptions, stopping: Stopping) -> dict[str, int]:
    """The trials that are trained again, with the attempts of their rows; none that a request to stop is about."""
    found = attempts_with(options.retried, own.values())
    if options.retry_stopped:
        return found  # which lifts the requests
    again = [Trial(i, own[i]["suggestion_id"], config_of(own[i])) for i in found]
    return {trial_id: found[trial_id] for trial_id in found.keys() - stopping.met_by(again).keys()}


def packs_wanted(
    store: Store, asked: Mapping[str, Any], finished: Collection[str], retry: Mapping[str, int]
) -> Iterator[PackSpec]:
    """Packs that were cut short and are of what is asked for now, all of their trials."""
    for pack in packs_under_way(store, finished, retry):
        if len(in_view(asked, [row_of(trial) for trial in pack.trials])) == len(pack.trials):
            yield pack


def is_wider(spec: Mapping[str, Any]) -> bool:
    """Whether the study has grown by a layout: its older parts lack columns, which other tools take amiss."""
    asked = requests_of(spec)
    first, last = (set(values_of(study_of(request.study), "layout")) for request in (asked[0], asked[-1]))
    return first != last
