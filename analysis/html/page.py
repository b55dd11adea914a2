"""One self-contained HTML document, with a policy under which nothing but its own scripts can run or load."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files

from plotly.offline import get_plotlyjs

from analysis.data.labels import plain
from analysis.html.markup import Markup, script_hash, wrap

# What draws and sorts must be there before page.js says that all is drawn.
SCRIPTS = ("values.js", "explorer.js", "page.js")


def document(title: str, head: Markup, body: Markup, refresh: int | None = None) -> str:
    """The page: its head, a list of its sections, and these. With `refresh` it loads itself again after so many s.

    Its policy admits its scripts by their hashes, data: images, inline style; no request.
    """
    # A parser reads line ends as \n, and the hash is of what it reads.
    sources = [get_plotlyjs(), *map(_own, SCRIPTS)]
    scripts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in sources]
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {' '.join(script_hash(text) for text in scripts)}; base-uri 'none'; form-action 'none'"
    )
    inline = "\n".join(f"<script>{text}</script>" for text in scripts)
    contents, anchored = outlined(body)
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">\n'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<title>{plain(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>\n{_own('page.css')}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">To the findings</a>\n'
        f'<header>\n{head}\n</header>\n<nav aria-label="Sections">\n{contents}\n</nav>\n'
        f'<main id="main">\n{anchored}\n</main>\n{inline}\n</body>\n</html>\n'
    )


def _own(name: str) -> str:
    return files("analysis.html").joinpath(name).read_text(encoding="utf-8")


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
