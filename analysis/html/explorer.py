"""A table that can be sorted, filtered and taken along as CSV: its first rows as HTML, all of them as inert JSON.

Without scripts, and in print, the first rows stand there; explorer.js makes the rest. A column of measured numbers
is kept as numbers; any other as its differing texts, with the value behind each, and a place in that list per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from analysis.data import labels
from analysis.data.labels import plain
from analysis.html.cells import Cell, Head, measured, short, written
from analysis.html.markup import Markup, script_json, wrap

PAGE = 25


class Line(NamedTuple):
    """A row and its class ("best", "bad" or none)."""

    css: str
    cells: Sequence[Cell]


def explorer(name: str, heads: Sequence[Head], lines: Sequence[Line], caption: str, wide: int = 0) -> Markup:
    """The table `name`; the first `wide` columns are left-aligned. A caption says what is not among the rows."""
    css = ["t" if i < wide else "" for i in range(len(heads))]
    head = "".join(_th(h.text, c) for h, c in zip(heads, css, strict=True))
    body = "\n".join(_tr(line, heads, css) for line in lines[:PAGE])
    more = f" The first {PAGE} of {len(lines):,} rows; the others need scripts." if len(lines) > PAGE else ""
    named, note = plain(caption), wrap("noscript", Markup(plain(more)))
    return Markup(
        f'<div class="explorer" id="{plain(name)}">'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{named}">'
        f"<table><caption><span>{named}{note}</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<script type="application/json" data-table="{plain(name)}">{script_json(_data(heads, lines, wide))}</script>'
        "</div>"
    )


def _th(text: str, css: str) -> str:
    attribute = f' class="{css}"' if css else ""
    return f'<th scope="col"{attribute}>{plain(text)}</th>'


def _tr(line: Line, heads: Sequence[Head], css: Sequence[str]) -> str:
    cells = zip(line.cells, heads, css, strict=True)
    inner = "".join(wrap("td", Markup(plain(_text(cell, head))), c) for cell, head, c in cells)
    return wrap("tr", Markup(inner), line.css)


def _text(cell: Cell, head: Head) -> str:
    """As explorer.js writes it, from the digits that it has."""
    if head.decimals is None or isinstance(cell, str):
        return written(cell, head.decimals)
    kept = measured(cell)
    if not isinstance(kept, list):
        return labels.number(kept, head.decimals)
    return " ± ".join(labels.number(part, head.decimals) for part in kept)


def _data(heads: Sequence[Head], lines: Sequence[Line], wide: int) -> dict[str, Any]:
    columns = [_column(head, [line.cells[i] for line in lines]) for i, head in enumerate(heads)]
    marks = {str(i): line.css for i, line in enumerate(lines) if line.css}
    return {"page": PAGE, "wide": wide, "marks": marks, "columns": columns}


def _column(head: Head, cells: Sequence[Cell]) -> dict[str, Any]:
    about = {"head": written(head.text, None), "key": written(head.key, None)}
    if head.decimals is not None:
        ends = any(isinstance(cell, tuple | list) for cell in map(measured, cells))
        return about | {"decimals": head.decimals, "ends": ends, "cells": [measured(cell) for cell in cells]}
    texts: dict[str, int] = {}
    values: list[Any] = []
    places = []
    for cell in cells:
        text = written(cell, None)
        if text not in texts:
            texts[text] = len(texts)
            values.append(_value(cell))
        places.append(texts[text])
    return about | {"texts": list(texts), "values": values, "cells": places}


def _value(cell: Cell) -> Any:
    if isinstance(cell, float):
        return short(cell)
    return cell if cell is None or isinstance(cell, int) else written(cell, None)
