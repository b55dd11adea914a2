"""The requests of a study that has grown, each with the trials that it was the first to ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.data import labels
from analysis.data.study_json import part_of
from analysis.data.study_results import StudyResults
from vmi.spec.requests import requests_of

HEADS = ("request", "asked at", "seeds", "axes", "trials")


def requests(results: StudyResults) -> Iterator[tuple[str, ...]]:
    """A row for each request, as HEADS has it; none of a study that was asked for once."""
    asked = requests_of(results.spec)
    trials = Counter(results.request_numbers.values())
    for number, (at, spec, _) in enumerate(asked, 1) if len(asked) > 1 else ():
        axes = [f"{labels.symbol(name)}: {_values(domain)}" for name, domain in part_of(spec, "space").items()]
        axes += [labels.plural(spec["suggestions"], "suggestion")] if spec.get("suggestions") else []
        seeds = str(len(spec.get("seeds") or ()))
        yield str(number), at or "not kept", seeds, "; ".join(axes), str(trials[number])


def _values(domain: Mapping[str, Any]) -> str:
    if "values" in domain:
        return ", ".join(labels.value(value) for value in domain["values"])
    return f"{labels.value(domain['low'])} to {labels.value(domain['high'])}"
