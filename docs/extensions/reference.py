"""The reference, made from the code: `{{ fields }}` alone on a line of a page stands for what `fields()` returns.

Nothing here says what a field, metric or option is; it asks the code that checks, stores or parses it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import typer
from sphinx.application import Sphinx

import vmi
from vmi.cli.app import app as command_line
from vmi.cli.arguments import Debug
from vmi.cli.run import EXIT_CODES
from vmi.driver.options import RunOptions, flag, options_of
from vmi.results import schema
from vmi.spec.arrays import picture_shape
from vmi.spec.config import FIELD_TYPES, TrialConfig
from vmi.spec.datasets import DATASETS
from vmi.spec.environment import VARIABLES
from vmi.spec.fields import records
from vmi.spec.layout import GRAMMAR, parse
from vmi.spec.metrics import CURVE_METRICS, METRICS, available
from vmi.spec.presets import PRESETS
from vmi.spec.resolving import field_problems, resolve

ROOT = Path(__file__).parents[2]
# The layout and the data set whose columns are shown.
LAYOUT, DATASET = "n2*+n14+c10*", "digits"
# Layouts that tell which block a metric asks for.
KINDS = {
    frozenset({"n2", "n2*", "c2", "c2*"}): "every layout",
    frozenset({"n2", "n2*"}): "a Normal block",
    frozenset({"c2", "c2*"}): "a categorical block",
    frozenset({"n2*", "c2*"}): "an informed block",
    frozenset({"c2*"}): "an informed categorical block",
}
# What a model of one's own is measured with, beside the names of `vmi.__all__`.
OF_MODELS = (
    "vmi.estimation.model.FixedModel",
    "vmi.estimation.model.wrap",
    "vmi.estimation.model.from_folder",
    "vmi.estimation.model.from_checkpoint",
    "vmi.estimation.evaluate.Account",
    "vmi.information.bootstrap.Estimate",
)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def code(value: object) -> str:
    return f"`{value}`" if value != "" else ""


def prose(text: str) -> str:
    """Text of the code as Markdown: formulas in it are no markup, and options are code."""
    parts = re.split(r"((?<![\w-])--[\w-]*)", text)
    return "".join(code(part) if part.startswith("--") else re.sub(r"([*_<\[\]$])", r"\\\1", part) for part in parts)


def fields() -> str:
    """Every field of a trial: what is allowed, what it is by default, what it means."""
    meanings = {name: record.meaning for name, record in records(TrialConfig).items()}
    return table(
        ("field", "meaning", "allowed", "default"),
        ((code(name), markdown(meanings[name]), prose(_allowed(name)), _default(name)) for name in FIELD_TYPES),
    )


def markdown(text: str) -> str:
    """A docstring's text as Markdown; what stands in backticks is code in both."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else prose(part) for part in parts)


def _allowed(name: str) -> str:
    """As a wrong value is told."""
    if name == "layout":
        return GRAMMAR
    return field_problems(name, "?")[0].allowed


def _default(name: str) -> str:
    own = {dataset: getattr(resolve({"dataset": dataset}), name) for dataset in DATASETS}
    groups: dict[object, list[str]] = {}
    for dataset, value in own.items():
        groups.setdefault(value, []).append(dataset)
    if len(groups) == 1 or name == "dataset":
        return code(getattr(TrialConfig, name) if name == "dataset" else next(iter(groups)))
    return "; ".join(f"{', '.join(names)}: {code(value)}" for value, names in groups.items())


def datasets() -> str:
    return table(
        ("data set", "images", "training", "held out", "classes", "from"),
        (
            (
                code(s.name),
                " x ".join(map(str, picture_shape(s))),
                s.train_count,
                s.held_out_count,
                s.classes,
                prose(s.source),
            )
            for s in DATASETS.values()
        ),
    )


def metrics() -> str:
    return table(
        ("metric", "meaning", "unit", "given by", "labels"),
        (
            (code(name), prose(m.meaning), prose(m.unit), _given_by(name), prose(m.labels or "none"))
            for name, m in METRICS.items()
        ),
    )


def _given_by(name: str) -> str:
    return KINDS[frozenset(text for text in ("n2", "n2*", "c2", "c2*") if name in available(parse(text)))]


def curve_metrics() -> str:
    return table(
        ("metric", "meaning", "unit"),
        ((code(name), prose(m.meaning), prose(m.unit)) for name, m in CURVE_METRICS.items()),
    )


def columns() -> str:
    """The columns of every table for one layout."""
    parts = []
    for name in schema.TABLES:
        rows = [_column(field) for field in schema.schema_of(name, [LAYOUT], DATASET)]
        parts += [f"## {name}", table(("column", "meaning", "type", "unit"), rows)]
    return "\n\n".join(parts)


def _column(field: Any) -> tuple[str, ...]:
    notes = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    kind = re.sub(r"^extension<arrow\.(\w+)\[.*?shape=\[([\d,]+)\].*$", r"\1 [\2]", str(field.type))
    meaning = prose(notes.get("meaning", "")) or _meaning(field.name)
    return code(field.name), meaning, prose(kind), prose(notes.get("unit", ""))


def _meaning(name: str) -> str:
    if name in FIELD_TYPES:
        return markdown(records(TrialConfig)[name].meaning)
    if name in schema.MEANINGS:
        return prose(schema.MEANINGS[name])
    for block in parse(LAYOUT).blocks:
        base = name.replace(f"_{block.name}", "")
        if base != name:
            metric = METRICS.get(base) or CURVE_METRICS.get(base)
            about = schema.MEANINGS.get(base) or (metric.meaning if metric else "")
            return f"of block `{block.name}`: {prose(about)}"
    return ""


def presets() -> str:
    def values(given: Mapping[str, object]) -> str:
        return ", ".join(
            f"`{name}` {value:g}" if isinstance(value, float) else f"`{name}` {value}" for name, value in given.items()
        )

    return table(
        ("preset", "sets (may not be contradicted)", "suggests (may be overridden)"),
        ((code(name), values(preset.sets), values(preset.suggests)) for name, preset in PRESETS.items()),
    )


def study_options() -> str:
    rows = []
    for part in options_of(RunOptions):
        kind = "switch" if isinstance(part.default, bool) else part.metadata["metavar"] or "TEXT"
        rows.append((code(flag(part.name)), prose(part.metadata["help"]), kind, _shown(part.default), code(part.name)))
    rows.append((code("--debug"), prose(get_args(Debug)[1].help), "switch", "", ""))
    return table(("option", "meaning", "value", "default", "in `vmi.run`"), rows)


def commands() -> str:
    group: Any = typer.main.get_command(command_line)
    names = sorted(group.commands)
    shown = [part for name in names for part in _command(name, group.commands[name])]
    return "\n\n".join([_linked(names, "vmi-"), *shown])


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments)
    yield f"## vmi {name}"
    yield prose(inspect.cleandoc(command.help or ""))
    yield f"```text\nvmi {name}{' [OPTIONS]' if options else ''}{f' {usage}' if usage else ''}\n```"
    rows = [(code(p.name.upper()), prose(p.help or ""), "", _shown(p.default)) for p in arguments]
    for option in options:
        value = "switch" if option.is_flag else option.metavar or "TEXT"
        rows.append((code(option.opts[0]), prose(option.help or ""), value, _shown(option.default)))
    if rows:
        yield table(("argument or option", "meaning", "value", "default"), rows)


def _linked(names: Iterable[str], before: str = "") -> str:
    """Links to the headings of this page."""
    return ", ".join(f"[{name}](#{before}{name.lower()})" for name in names)


def _shown(default: object) -> str:
    return "" if default in (None, False) else code(default)


def exit_codes() -> str:
    return table(("code", "meaning"), ((code(number), prose(meaning)) for number, meaning in EXIT_CODES.items()))


def variables() -> str:
    return table(("variable", "meaning"), ((code(name), markdown(meaning)) for name, meaning in VARIABLES.items()))


def node_variables() -> str:
    """From the head of `cluster/setup.sh`."""
    head = (ROOT / "cluster" / "setup.sh").read_text(encoding="utf-8")
    found = re.findall(r"^#   (VMI_\w+) +(.*?) *\(default: (.*)\)$", head, re.MULTILINE)
    return table(
        ("variable", "meaning", "default"), ((code(n), prose(what), prose(default)) for n, what, default in found)
    )


def api() -> str:
    """Every public name, by its docstring."""
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": []}
    for name in vmi.__all__:
        if name.startswith("__"):
            continue
        thing = getattr(vmi, name)
        error = isinstance(thing, type) and issubclass(thing, BaseException)
        kinds["Errors" if error else "Classes" if isinstance(thing, type) else "Functions"].append(f"vmi.{name}")
    kinds["A model of your own"] = list(OF_MODELS)
    parts = [f"`vmi.__version__` is the installed version, `{vmi.__version__}`."]
    parts += [
        "\n".join(f"- {title}: {_linked(path.rpartition('.')[2] for path in paths)}" for title, paths in kinds.items())
    ]
    for title, names in kinds.items():
        parts += [f"## {title}", *(_documented(name) for name in names)]
    return "\n\n".join(parts)


def _documented(path: str) -> str:
    home, _, name = path.rpartition(".")
    thing = getattr(vmi if home == "vmi" else __import__(home, fromlist=[name]), name)
    directive = f".. autoclass:: {path}\n   :members:" if isinstance(thing, type) else f".. autofunction:: {path}"
    return f"### {name}\n\n```{{eval-rst}}\n{directive}\n```"


MADE: Mapping[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        api, columns, commands, curve_metrics, datasets, exit_codes, fields, metrics, node_variables, presets,
        study_options, variables,
    )
}  # fmt: skip


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put what is made in place of its name."""
    source[0] = re.sub(r"^\{\{ (\w+) \}\}$", lambda found: MADE[found[1]](), source[0], flags=re.MULTILINE)
    if "{{ " in source[0]:
        raise ValueError(f"{page}: a name in braces that nothing is made for")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
