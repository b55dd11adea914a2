"""One self-contained HTML document, with a policy under which nothing but its own scripts can run or load."""

from __future__ import annotations

from importlib.resources import files

from plotly.offline import get_plotlyjs

from analysis.labels import plain
from analysis.markup import Markup, script_hash


def document(title: str, body: Markup) -> str:
    """The page. Its policy admits two scripts by their hashes, data: images, inline style; no request."""
    # A parser reads line ends as \n, and the hash is of what it reads.
    scripts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in (get_plotlyjs(), _own("page.js"))]
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {' '.join(script_hash(text) for text in scripts)}; base-uri 'none'; form-action 'none'"
    )
    inline = "\n".join(f"<script>{text}</script>" for text in scripts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<title>{plain(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>\n{_own('page.css')}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{inline}\n</body>\n</html>\n"
    )


def _own(name: str) -> str:
    return files("analysis").joinpath(name).read_text(encoding="utf-8")
