"""Small pieces of HTML. Whatever is given as text is escaped here; whatever is given as `Markup` is not."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, NewType

from analysis.data.labels import plain

Markup = NewType("Markup", str)

# JSON inside a script element: no character that could end the element or a line of script.
_IN_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def join(pieces: Iterable[Markup]) -> Markup:
    return Markup("\n".join(pieces))


def element(tag: str, text: object, css: str = "") -> Markup:
    """An element around text."""
    return wrap(tag, Markup(plain(text)), css)


def wrap(tag: str, inner: Markup, css: str = "") -> Markup:
    """An element around markup."""
    attribute = f' class="{plain(css)}"' if css else ""
    return Markup(f"<{tag}{attribute}>{inner}</{tag}>")


def anchored(anchor: str, inner: Markup, css: str) -> Markup:
    """A section that a link of the page can name."""
    return Markup(f'<section id="{plain(anchor)}" class="{plain(css)}">{inner}</section>')


def link(anchor: str, text: str) -> Markup:
    """A link to a section of this page."""
    return Markup(f'<a href="#{plain(anchor)}">{plain(text)}</a>')


def table(
    heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], caption: str, text_columns: int = 0
) -> Markup:
    """A table that scrolls in its box; rows are (class, cells); the first `text_columns` are left-aligned."""
    css = ["t" if i < text_columns else "" for i in range(len(heads))]
    head = "".join(wrap("th", Markup(plain(h)), c) for h, c in zip(heads, css, strict=True))
    body = "\n".join(
        wrap("tr", Markup("".join(element("td", cell, c) for cell, c in zip(cells, css, strict=True))), row_css)
        for row_css, cells in rows
    )
    named = plain(caption)
    return Markup(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{named}">'
        f"<table><caption><span>{named}</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def plot(name: str, figure: dict[str, Any], title: str, caption: str) -> Markup:
    """A figure with its title, its caption, and its data as inert JSON: page.js draws it, values.js makes its table."""
    height = int(figure["layout"].get("height", 380))
    return Markup(
        f'<figure><p class="name">{plain(title)}</p><div class="plot" id="{plain(name)}" role="img" '
        f'aria-label="{plain(title)}. {plain(caption)}" style="height:{height}px"></div>'
        f'<script type="application/json" data-plot="{plain(name)}">{script_json(figure)}</script>'
        f"<figcaption>{plain(caption)}</figcaption>"
        f'<details class="values"><summary>Values<span class="hidden"> of: {plain(title)}</span></summary>'
        "</details></figure>"
    )


class Plot(NamedTuple):
    """A figure that markup holds: its title, and its data as plain JSON values."""

    title: str
    figure: dict[str, Any]


# Only `plot` writes this: whatever is text was escaped when it became markup.
_PLOT = re.compile(
    r'<figure><p class="name">([^<]*)</p><div class="plot" id="([^"]*)"[^>]*></div><script [^>]*>([^<]*)</script>'
)


def plots_in(body: Markup) -> dict[str, Plot]:
    """The figures of a page by their names, in its order."""
    found = ((html.unescape(title), html.unescape(name), data) for title, name, data in _PLOT.findall(body))
    return {name: Plot(title, json.loads(data)) for title, name, data in found}


def picture(uri: str, title: str, caption: str, columns: int) -> Markup:
    """An image given as a data: address, enlarged without smoothing."""
    return Markup(
        f'<figure class="picture"><p class="name">{plain(title)}</p>'
        f'<img src="{plain(uri)}" alt="{plain(title)}. {plain(caption)}" style="max-width:{columns * 34}px">'
        f"<figcaption>{plain(caption)}</figcaption></figure>"
    )


def folded(summary: str, inner: Markup) -> Markup:
    return Markup(f"<details><summary>{plain(summary)}</summary>{inner}</details>")


def script_json(content: Any) -> str:
    """JSON that is inert in a script element."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_IN_SCRIPT)


def script_hash(source: str) -> str:
    """The hash by which a content security policy admits this inline script."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode("ascii") + "'"
