"""The verdict: published figures beside the presets `vae` (λ = 0), `paper` and `corrected`, and what differs.

Every figure of ours is a mean over seeds with its 95 % Student-t interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analysis.data import labels
from analysis.data.classes import SHARE, unbalanced, unlabelled
from analysis.data.mi_checks import counted
from analysis.data.preset_groups import Group, asked, groups
from analysis.data.study_results import StudyResults
from analysis.findings.against_published import conditions, sentences
from analysis.findings.published import published
from analysis.html.markup import Markup, element, join, table, wrap

MAX_GROUPS = 24
CAPTION = "Means ± half of the 95 % Student-t interval over seeds."
PUBLISHED = " Published: without / with the regulariser; accuracies of the training set (Serdega & Kim 2020)."


class Line(NamedTuple):
    """A quantity in a group: what it is called, its column in `trials`, its decimals."""

    title: str
    metric: str
    decimals: int


def section(results: StudyResults) -> Markup:
    """The table and its sentences; empty for a study that does not vary its preset."""
    found, presets = groups(results), asked(results)
    if not found:
        return Markup("")
    heads = ["data set, layout", "quantity", *_columns(presets)]
    shown = [(group, list(_rows(group, presets))) for group in found[:MAX_GROUPS]]
    rows = [
        ("" if i else "first", ["" if i else group.name, *cells])
        for group, lines in shown
        for i, cells in enumerate(lines)
    ]
    pieces = [element("h2", "Verdict"), table(heads, rows, _caption(found), text_columns=2)]
    points = [wrap("li", join([element("strong", f"{g.name}:"), element("span", said(g))])) for g, _ in shown]
    pieces.append(wrap("ul", join(points), "differs"))
    if how := conditions(results.completed):
        pieces.append(element("p", how, "soft"))
    return wrap("section", join(pieces), "verdict")


def markdown(results: StudyResults) -> list[str]:
    """The same as lines of Markdown; none for a study that does not vary its preset."""
    found, presets = groups(results), asked(results)
    if not found:
        return []
    heads = ["data set, layout", "quantity", *_columns(presets, "`")]
    lines = ["## Verdict", "", _caption(found), "", _line(heads), "|---" * len(heads) + "|"]
    for group in found[:MAX_GROUPS]:
        lines += [_line([_code(group) if i == 0 else "", *cells]) for i, cells in enumerate(_rows(group, presets))]
    lines += ["", *(f"- {_code(group)}: {said(group)}" for group in found[:MAX_GROUPS])]
    how = conditions(results.completed)
    return [*lines, *(["", how] if how else [])]


def said(group: Group) -> str:
    return " ".join(sentences(group))


def _columns(presets: Sequence[str], mark: str = "") -> list[str]:
    return ["published", *(f"{mark}{p}{mark} (λ = 0)" if p == "vae" else f"{mark}{p}{mark}" for p in presets)]


def _rows(group: Group, presets: Sequence[str]) -> Iterator[list[str]]:
    settings = [group.settings.get(preset) for preset in presets]
    replicate = next(iter(group.settings.values())).replicate
    yield [f"{replicate}s", "–", *(str(len(s.rows)) if s else "–" for s in settings)]
    for line in _lines(group):
        found = [s.interval(line.metric) if s else None for s in settings]
        theirs = _published(group, line.metric)
        if any(found) or theirs:
            yield [line.title, theirs or "–", *(labels.plus_minus(i, line.decimals) for i in found)]


def _lines(group: Group) -> Iterator[Line]:
    category, normal = group.block("c"), group.block("n")
    if category is not None:
        yield Line("held-out accuracy", "accuracy_majority", 3)
        yield Line("training accuracy", "accuracy_train", 3)
        if unbalanced(row for setting in group.settings.values() for row in setting.rows):
            yield Line("always the majority class", SHARE, 3)
        yield Line(f"categories {counted(category)}, of {category.size}", "categories_used", 1)
        yield Line("I_q(x;c), nats", f"mi_encoder_{category.name}_nats", 2)
        yield Line("the paper’s bound, nats", f"mi_paper_{category.name}_nats", 2)
        yield Line("KL of the category, nats", f"rate_{category.name}_nats", 2)
    if normal is not None and normal.informed:
        yield Line("I_q(x;z) at least, nats", f"mi_encoder_lower_{normal.name}_nats", 2)
        yield Line("I_q(x;z) at most, nats", f"mi_encoder_upper_{normal.name}_nats", 2)
        yield Line("the paper’s bound, nats", f"mi_paper_{normal.name}_nats", 2)
        yield Line(f"KL of {normal.name}, nats", f"rate_{normal.name}_nats", 2)
    yield Line("ELBO, nats per image", "elbo_nats", 2)


def _published(group: Group, metric: str) -> str:
    """ "0.21 / 0.74": without and with the regulariser; empty where neither was published."""
    found = [published(group.dataset, group.layout, preset, metric) for preset in ("vae", "paper")]
    return " / ".join(f"{f.value:g}" if f else "–" for f in found) if any(found) else ""


def _caption(found: Sequence[Group]) -> str:
    return CAPTION + ("" if all(unlabelled(group.row) for group in found) else PUBLISHED) + _limited(found)


def _limited(found: Sequence[Group]) -> str:
    return f" The first {MAX_GROUPS} of {len(found)} groups." if len(found) > MAX_GROUPS else ""


def _code(group: Group) -> str:
    """A layout's asterisks would be read as emphasis."""
    return "`" + group.name.replace("`", "'") + "`"


def _line(cells: Sequence[str]) -> str:
    # A bar inside a cell would end it.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
