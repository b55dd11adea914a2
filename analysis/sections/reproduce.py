"""How to make a study again: a study file with all that was asked for, the commands, and what it ran with."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from analysis.data import labels
from analysis.data.requests import HEADS, requests
from analysis.data.study_results import StudyResults
from analysis.html.markup import Markup, element, folded, join, table, wrap
from vmi.spec.datasets import told

MAX_SEEDS = 50
# Fields of study.json in the order of a study file; seeds and bounds are written on their own.
PLAIN = (
    "metric", "direction", "objectives", "searcher", "suggestions", "pruner", "baseline", "conditions", "confirm",
    "restarts", "choose_by",
)  # fmt: skip


def section(results: StudyResults) -> Markup:
    """Versions, data, seeds, commands, and the study's description folded."""
    made = [element("li", f"{name}: {text}") for name, text in made_with(results).items()]
    pieces = [element("h2", "How to make it again"), wrap("ul", join(made))]
    if rows := list(requests(results)):
        caption = "The study has grown: each request, and how many trials it was the first to ask for"
        pieces.append(table(HEADS, [("", row) for row in rows], caption, len(HEADS) - 1))
    if results.left_out:
        more = f"{labels.plural(results.left_out, 'more trial')} of earlier requests"
        pieces.append(element("p", f"Only the last request is shown; {more} are stored."))
    text = study_file(results.spec)
    if text is not None:
        pieces.append(
            element("p", "The study below, saved as again.py in a checkout of vmi-sweeps, asks for the same:")
        )
        pieces.append(
            element("pre", f"python again.py --results again\nvmi report {shlex.quote(f'again/{results.name}')}")
        )
        pieces.append(folded("The study as a file (again.py)", element("pre", text)))
    pieces.append(folded("What was asked for (study.json)", element("pre", one_line_each(results.spec))))
    stored = f"results/{results.name}"
    parquet = f"{stored}/trials/*.parquet".replace("'", "''")
    again = f"vmi report {shlex.quote(stored)}\nSELECT * FROM '{parquet}';"
    return join(
        [
            *pieces,
            element("p", "This page from the stored results, and the same rows in DuckDB:"),
            element("pre", again),
        ]
    )


def made_with(results: StudyResults) -> Mapping[str, str]:
    """What decides the numbers beside the study itself."""
    versions = Counter(_versions(row["versions"]) for row in results.trials).most_common(5)
    finished = max((row["finished_at"] for row in results.trials if row["finished_at"]), default=None)
    data = {f"{told(str(row['dataset']))} {(row['data_fingerprint'] or '')[:16]}".strip() for row in results.trials}
    devices = Counter(labels.value(row.get("device")) for row in results.trials).most_common(5)
    fresh = results.spec.get("confirm_seeds")
    return {
        "Last trial finished": finished.isoformat(sep=" ", timespec="seconds") if finished else "–",
        "Versions": "; ".join(f"{v} ({labels.plural(n, 'trial')})" for v, n in versions) or "–",
        "Devices": "; ".join(f"{v} ({labels.plural(n, 'trial')})" for v, n in devices) or "–",
        "Data sets and their fingerprints": "; ".join(sorted(data)) or "–",
        "Seeds": _seeds(results.spec.get("seeds")),
    } | ({"Fresh seeds of the confirmation": _seeds(fresh)} if fresh else {})


def _versions(stored: Any) -> str:
    """ "torch 2.11, vmi-sweeps 0.1" of the JSON that is stored; what is no such JSON as it is."""
    try:
        found = json.loads(stored)
    except (TypeError, ValueError):
        return str(stored)
    return ", ".join(f"{name} {version}" for name, version in found.items()) if isinstance(found, dict) else str(stored)


def _seeds(given: Any) -> str:
    if not isinstance(given, list) or not given:
        return "–"
    shown = ", ".join(labels.value(seed) for seed in given[:MAX_SEEDS])
    return shown if len(given) <= MAX_SEEDS else f"{shown} and {len(given) - MAX_SEEDS:,} more"


def study_file(spec: Mapping[str, Any]) -> str | None:
    """Python that declares the study; None where the description is not one that this program wrote.

    Every value is a literal, so that a description from elsewhere is text when it is run, too.
    """
    try:
        space = {str(name): _domain(domain) for name, domain in spec["space"].items()}
        bounds = {
            str(name): f"vmi.Bound(low={b['low']!r}, high={b['high']!r})"
            for name, b in spec.get("constraints", {}).items()
        }
        lines = [f"name={spec['name']!r},", f"fixed={spec.get('fixed', {})!r},", f"space={_table(space)},"]
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    lines += [f"{name}={spec[name]!r}," for name in PLAIN if spec.get(name)]
    lines += [f"constraints={_table(bounds)},"] if bounds else []
    lines += [f"{name}={spec[name]!r}," for name in ("seeds", "confirm_seeds") if spec.get(name)]
    body = "".join(f"    {line}\n" for line in lines)
    return f'import vmi\n\nstudy = vmi.Study(\n{body})\n\nif __name__ == "__main__":\n    vmi.main(study)\n'


def _table(entries: Mapping[str, str]) -> str:
    return "{\n" + "".join(f"        {name!r}: {text},\n" for name, text in entries.items()) + "    }"


def _domain(domain: Mapping[str, Any]) -> str:
    """A domain of the space as the constructor that `vmi` has for it; KeyError or ValueError for any other."""
    if domain["kind"] == "choice":
        return f"vmi.choice({', '.join(map(repr, domain['values']))})"
    low, high, log, step = (domain[key] for key in ("low", "high", "log", "step"))
    if domain["kind"] == "int":
        return f"vmi.integers({low!r}, {high!r}, step={step!r}, log={log!r})"
    if domain["kind"] != "float" or (log and step is not None):
        raise ValueError(f"no constructor makes {domain}")
    return f"vmi.log_uniform({low!r}, {high!r})" if log else f"vmi.uniform({low!r}, {high!r}, step={step!r})"


def one_line_each(spec: Mapping[str, Any]) -> str:
    """JSON with one line per field, and per parameter of the space."""
    return "{\n  " + ",\n  ".join(_field(str(name), value) for name, value in spec.items()) + "\n}"


def _field(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict) and value:
        inner = (f"    {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
        text = "{\n" + ",\n".join(inner) + "\n  }"
    return f"{json.dumps(name)}: {text}"
