"""The documentation site: built from the tree without a network, its links sound, its reference what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
import typer

import vmi
from vmi.cli.app import app
from vmi.driver.options import RunOptions, flag, options_of
from vmi.results.schema import TABLES, schema_of
from vmi.spec.config import FIELD_TYPES
from vmi.spec.environment import VARIABLES
from vmi.spec.metrics import CURVE_METRICS, METRICS
from vmi.spec.presets import PRESETS

ROOT = Path(__file__).parents[2]

# What a newcomer asks; where the start page leads to; what is read there.
QUESTIONS = [
    ("How do I add seeds?", "guides/study.html", "--seeds 10"),
    ("How do I search instead of a grid?", "guides/search.html", 'searcher="tpe"'),
    ("How do I resume?", "guides/run.html", "--resume"),
    ("How do I use two GPUs?", "guides/run.html", "--gpus-per-pack"),
    ("How do I use my notebook?", "guides/notebooks.html", "vmi.run(study"),
    ("How do I read results with pandas or DuckDB?", "guides/results.html", "pandas.read_parquet"),
    ("Which column is the accuracy?", "reference/columns.html", "accuracy_majority"),
    ("Where are my W&B runs?", "guides/wandb.html", "results/STUDY/wandb"),
    ("What is η?", "science/objective.html", "entropy_weight"),
    ('What does "collapse" mean?', "science/collapse.html", "I_q(x;c) is below half of ln K"),
]
# Whom the pages may name: sources of the science, places of the tools, and what every HTML page names.
HOSTS = {"arxiv.org", "www.sphinx-doc.org", "pradyunsg.me", "github.com", "wandb.ai", "www.w3.org", "127.0.0.1:8265"}


class Page(HTMLParser):
    """Links with their texts, anchors, what the page loads, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.loads: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.links.append((given["href"], ""))
            self._open.append(tag)
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(given["href"])
        elif "src" in given:
            self.loads.append(given["src"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open:
            href, text = self.links[-1]
            self.links[-1] = (href, text + data)


class Site(NamedTuple):
    folder: Path
    pages: dict[str, Page]

    def words(self, name: str) -> set[str]:
        """What a page names as code."""
        text = (self.folder / name).read_text(encoding="utf-8")
        found = re.findall(r"<code[^>]*>(.*?)</code>", text, re.DOTALL)
        return {unescape(re.sub(r"<[^>]+>", "", word)) for word in found}


def built(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` builds it."""
    options = ["-q", "-W", "--keep-going", "-E", "-b", "html", "-c", str(ROOT / "docs"), "-d", str(target / ".trees")]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(target)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    done = built(ROOT / "docs", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return Site(folder, {str(path.relative_to(folder)): Page(path) for path in sorted(folder.rglob("*.html"))})


def inside(site: Site, name: str) -> Iterator[tuple[str, str]]:
    """Links of a page that lead into the site: page and anchor."""
    for href, _ in site.pages[name].links:
        parts = urlsplit(href)
        if not parts.scheme and not parts.netloc:
            target = (site.folder / name).parent / unquote(parts.path) if parts.path else site.folder / name
            yield str(target.resolve().relative_to(site.folder.resolve())), unquote(parts.fragment)


def test_every_link_leads_to_a_page_and_to_an_anchor_on_it(site: Site) -> None:
    for name in site.pages:
        for page, anchor in inside(site, name):
            assert (site.folder / page).is_file(), (name, page)
            assert not anchor or page not in site.pages or anchor in site.pages[page].anchors, (name, page, anchor)


@pytest.mark.parametrize("link", ["absent.md", "index.md#absent"])
def test_a_link_to_what_is_not_there_breaks_the_build(tmp_path: Path, link: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n[there]({link})\n")
    done = built(tmp_path / "docs", tmp_path / "site")
    assert done.returncode == 1
    assert "[myst.xref_missing]" in done.stderr


def test_no_page_loads_or_names_what_is_elsewhere(site: Site) -> None:
    for name, page in site.pages.items():
        assert [place for place in page.loads if urlsplit(place).netloc] == [], name
        named = {urlsplit(url).netloc for url in re.findall(r"https?://[^\s\"'<>)]+", page.text)}
        assert named | {urlsplit(href).netloc for href, _ in page.links} <= {"", *HOSTS}, name
    for style in site.folder.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize(("question", "page", "answer"), QUESTIONS, ids=[question for question, _, _ in QUESTIONS])
def test_a_newcomer_s_question_is_answered_within_two_clicks(site: Site, question: str, page: str, answer: str) -> None:
    first = {text: href for href, text in site.pages["index.html"].links}
    assert urlsplit(first[question]).path == page
    assert answer in " ".join(site.pages[page].text.split())
    assert not (anchor := unquote(urlsplit(first[question]).fragment)) or anchor in site.pages[page].anchors


def test_the_reference_names_all_that_there_is(site: Site) -> None:
    assert set(FIELD_TYPES) <= site.words("reference/fields.html")
    assert {*METRICS, *CURVE_METRICS} <= site.words("reference/metrics.html")
    assert set(PRESETS) <= site.words("reference/presets.html")
    assert set(VARIABLES) <= site.words("reference/environment.html")
    every = {column.name for table in TABLES for column in schema_of(table, ["n2*+n14+c10*"], "digits")}
    assert every <= site.words("reference/columns.html")
    options = {flag(part.name) for part in options_of(RunOptions)}
    assert {*options, "--debug"} <= site.words("reference/options.html")


def test_the_reference_names_every_command_with_every_option(site: Site) -> None:
    page, words = site.pages["reference/commands.html"], site.words("reference/commands.html")
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"vmi-{name}" in page.anchors
        assert {option.opts[0] for option in command.params if option.param_type_name == "option"} <= words


def test_the_reference_documents_every_public_name(site: Site) -> None:
    page = site.pages["reference/api.html"]
    assert {f"vmi.{name}" for name in vmi.__all__ if name != "__version__"} <= page.anchors
    assert f"vmi.__version__ is the installed version, {vmi.__version__}" in page.text


def test_nothing_in_the_reference_lacks_its_meaning(site: Site) -> None:
    for name in ("fields", "metrics", "columns", "options", "environment", "exit-codes"):
        text = (site.folder / "reference" / f"{name}.html").read_text(encoding="utf-8")
        rows = re.findall(r'<tr class="row-[^"]*"><td>(.*?)</td>\s*<td>(.*?)</td>', text, re.DOTALL)
        assert rows
        assert [first for first, meaning in rows if not re.sub(r"<[^>]+>", "", meaning).strip()] == []
