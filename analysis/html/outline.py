"""The page's outline: every section can be linked to, and a list of them stands at its head."""

from __future__ import annotations

import re
from collections.abc import Iterable

from analysis.html.markup import Markup, wrap

# Only our own markup holds this: whatever is text was escaped when it became markup.
_HEADING = re.compile(r"<h2>(.*?)</h2>")


def outlined(body: Markup) -> tuple[Markup, Markup]:
    """The contents of a body as a list of links, and the body with its second-level headings as their targets."""
    titles = _HEADING.findall(body)
    places = iter(range(1, len(titles) + 1))
    anchored = _HEADING.sub(lambda found: f'<h2 id="section-{next(places)}">{found[1]}</h2>', body)
    return _contents(titles), Markup(anchored)


def _contents(titles: Iterable[str]) -> Markup:
    links = [wrap("li", Markup(f'<a href="#section-{place}">{title}</a>')) for place, title in enumerate(titles, 1)]
    return wrap("ol", Markup("".join(links)), "outline")
