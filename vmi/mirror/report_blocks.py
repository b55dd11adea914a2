"""A specification's blocks and panels as those of W&B's reports; one function per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Told = Mapping[str, Any]


def blocks_of(spec: Told, base: str) -> list[Any]:
    """W&B's blocks for a specification; `base` is the project's address, which links start with."""
    return [_BLOCKS[block["kind"]](block, spec, base) for block in spec["blocks"]]


def reports() -> Any:
    import wandb_workspaces.reports.v2

    return wandb_workspaces.reports.v2


def _heading(told: Told, spec: Told, base: str) -> Any:
    return reports().H2(text=told["text"])


def _paragraph(told: Told, spec: Told, base: str) -> Any:
    return reports().P(text=told["text"])


def _list(told: Told, spec: Told, base: str) -> Any:
    return reports().UnorderedList(items=list(told["items"]))


def _link(told: Told, spec: Told, base: str) -> Any:
    return reports().P(text=[reports().Link(text=told["text"], url=f"{base}/{told['path']}")])


def _artifact(told: Told, spec: Told, base: str) -> Any:
    of = reports().WeaveBlockArtifact
    return of(entity=spec["entity"], project=spec["project"], artifact=told["name"], tab="files")


def _panels(told: Told, spec: Told, base: str) -> Any:
    from wandb_workspaces import expr

    filters = [expr.Metric(name) == value for name, value in told["runs"].items()]
    runs = reports().Runset(entity=spec["entity"], project=spec["project"], name="Runs", filters=filters)
    return reports().PanelGrid(runsets=[runs], panels=[_PANELS[panel["kind"]](panel) for panel in told["panels"]])


_BLOCKS: Mapping[str, Callable[[Told, Told, str], Any]] = {
    "heading": _heading,
    "paragraph": _paragraph,
    "list": _list,
    "link": _link,
    "artifact": _artifact,
    "panels": _panels,
}


def _line(told: Told) -> Any:
    # A series is called by its run and its column.
    titles = {f"{told['run']}:{column}": name for column, name in told["y"].items()}
    marks = {f"{told['run']}:{c}": "solid" if c.endswith("_mean") else "dotted" for c in told["y"]}
    return reports().LinePlot(
        title=told["title"],
        x=told["x"],
        y=list(told["y"]),
        title_x=told["title_x"],
        line_titles=titles,
        line_marks=marks,
        layout=reports().Layout(w=12, h=8),
    )


def _curves(told: Told) -> Any:
    return reports().LinePlot(
        title=told["title"],
        x="Step",
        y=[told["y"]],
        groupby="Group",
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        layout=reports().Layout(w=12, h=8),
    )


def _scatter(told: Told) -> Any:
    of = reports()
    x, y = of.Config(told["x"]), of.SummaryMetric(told["y"])
    return of.ScatterPlot(title=told["title"], x=x, y=y, layout=of.Layout(w=12, h=8))


def _parallel(told: Told) -> Any:
    of = reports()
    columns = [of.ParallelCoordinatesPlotColumn(metric=of.Config(name)) for name in told["config"]]
    columns += [of.ParallelCoordinatesPlotColumn(metric=of.SummaryMetric(name)) for name in told["summary"]]
    return of.ParallelCoordinatesPlot(title=told["title"], columns=columns, layout=of.Layout(w=24, h=9))


def _importance(told: Told) -> Any:
    return reports().ParameterImportancePlot(with_respect_to=told["metric"], layout=reports().Layout(w=12, h=8))


def _comparer(told: Told) -> Any:
    return reports().RunComparer(diff_only="split", layout=reports().Layout(w=24, h=9))


def _media(told: Told) -> Any:
    return reports().MediaBrowser(
        title=told["title"], media_keys=list(told["keys"]), layout=reports().Layout(w=24, h=12)
    )


def _table(told: Told) -> Any:
    return reports().WeavePanelSummaryTable(table_name=told["name"], layout=reports().Layout(w=24, h=10))


_PANELS: Mapping[str, Callable[[Told], Any]] = {
    "line": _line,
    "curves": _curves,
    "scatter": _scatter,
    "parallel": _parallel,
    "importance": _importance,
    "comparer": _comparer,
    "media": _media,
    "table": _table,
}
