"""Layouts beside the paper's two, from a study file to store, evaluation and page: nothing is mixed up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pytest
from support.runs import inside
from typer.testing import CliRunner

from analysis.data import labels
from analysis.data.study_results import open_study
from tests.analysis.browsing import PHONE, Browser, assert_quiet
from vmi.cli.app import app
from vmi.estimation.q_fit import Settings
from vmi.results.schema import block_columns, curve_block_columns
from vmi.results.store import Store
from vmi.spec.arrays import layout_shapes
from vmi.spec.layout import Block, parse

STUDY = """
from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

fixed = {{"hidden": "24-12", "steps": 30, "batch_size": 64, "mi_weight": {weight}}}
study = Study(name="{name}", fixed=fixed, space={{"layout": choice{layouts}}}, seeds=range(2), metric="elbo_nats")
if __name__ == "__main__":
    main(study)
"""
MIXED = "n4*+n4+c5*+c2"
INFORMED = (MIXED, "n4*+n4", "c2*", "n1*", "c10*+c10*", "n2*+n30")
UNINFORMED = ("c3+n2", "n1")
# Q is fitted from scratch by `vmi evaluate`; what it reaches is not asked here.
QUICK = Settings(hidden=(24,), learning_rate=1e-2, check_every=10, patience=3, max_steps=60)


class Result(NamedTuple):
    """A finished study and the rows of its trials by layout."""

    store: Store
    rows: dict[str, list[dict[str, Any]]]


def finished(root: Path, name: str, weight: int, layouts: tuple[str, ...]) -> Result:
    script = root / f"{name}.py"
    script.write_text(STUDY.format(name=name, weight=weight, layouts=layouts), encoding="utf-8")
    done = inside(script, "--keep-models", cwd=root)
    assert (done.code, done.err) == (0, ""), done.err
    store = Store(root / "results", name)
    found = sorted(store.finished().values(), key=lambda row: row["seed"])
    return Result(store, {layout: [row for row in found if row["layout"] == layout] for layout in layouts})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd")


@pytest.fixture(scope="module")
def odd(root: Path) -> Result:
    """Layouts with an informed block."""
    return finished(root, "odd", 4, INFORMED)


@pytest.fixture(scope="module")
def plain(root: Path) -> Result:
    """Layouts without one."""
    return finished(root, "plain", 0, UNINFORMED)


@pytest.fixture
def result(request: pytest.FixtureRequest) -> Result:
    """The study that trained the layout of the test."""
    layout = request.node.callspec.params["layout"]
    found: Result = request.getfixturevalue("odd" if layout in INFORMED else "plain")
    return found


every_layout = pytest.mark.parametrize("layout", [*INFORMED, *UNINFORMED])


def own_columns(block: Block) -> set[str]:
    """The columns that a block fills: an un-informed one has no Q."""
    with_q = ("mi_decoder_bound", "mi_real_bound", "mi_paper")
    return {name for name in block_columns(block) if block.informed or not name.startswith(with_q)}


@every_layout
def test_a_trial_fills_its_blocks_columns_and_no_others(result: Result, layout: str) -> None:
    schema = pyarrow.dataset.dataset(result.store.folder_of("trials"), format="parquet").schema
    blocks = parse(layout).blocks
    every = {c for text in result.rows for b in parse(text).blocks for c in block_columns(b)}
    assert all(schema.field(name).type == pa.float64() for name in every)
    for row in result.rows[layout]:
        assert row["outcome"] == "completed", row["reason"]
        assert {name for name in every if row[name] is not None} == set().union(*map(own_columns, blocks))
        rates = [row[f"rate_{block.name}_nats"] for block in blocks]
        assert sum(rates) == pytest.approx(row["rate_nats"])
        assert len(set(rates)) == len(rates)  # each block's own, no two the same number


@every_layout
def test_curves_and_arrays_have_each_block_under_its_own_name(result: Result, layout: str) -> None:
    blocks, trial_id = parse(layout).blocks, result.rows[layout][0]["trial_id"]
    where = f"'{result.store.folder_of('curves')}/*.parquet' where trial_id = '{trial_id}'"
    for block in blocks:
        names = [n for n in curve_block_columns(block) if block.informed or n.startswith("rate")]
        (filled,) = duckdb.sql(f"select {', '.join(f'count({n})' for n in names)}, count(*) from {where}").fetchall()
        assert set(filled) == {10}
    found = open_study(result.store.folder)
    arrays = found.arrays(result.rows[layout])[trial_id]
    expected = layout_shapes(parse(layout), "digits")
    assert {f"traversal_{block.name}" for block in blocks} <= set(expected)
    assert {name: array.shape for name, array in arrays.items()} == expected
    for block in (b for b in blocks if b.is_categorical):
        assert arrays[f"assignments_{block.name}"].sum() == 360  # every held-out image once


@every_layout
def test_a_kept_model_s_card_has_every_block(result: Result, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmi.estimation.evaluate._settings", lambda _: QUICK)
    row = result.rows[layout][0]
    command = ["evaluate", str(result.store.folder), "--member", row["trial_id"], "--seeds", "2"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    printed = {cells[0]: cells[2].rstrip("*") for line in done.output.splitlines() if len(cells := line.split()) > 2}
    for block in parse(layout).blocks:
        assert set(block_columns(block)) <= set(printed), block
        # The rate needs neither Q nor samples: the account's is the stored trial's.
        assert printed[f"rate_{block.name}_nats"] == f"{row[f'rate_{block.name}_nats']:.3f}"


@pytest.fixture(scope="module")
def pages(odd: Result, plain: Result) -> dict[str, Path]:
    """The page of each study, by the command."""
    for result in (odd, plain):
        done = CliRunner().invoke(app, ["report", str(result.store.folder)])
        assert done.exit_code == 0, done.output
    return {result.store.study: result.store.folder / "report.html" for result in (odd, plain)}


@pytest.mark.parametrize("layout", INFORMED)
def test_the_page_shows_every_block_s_values_beside_its_name(odd: Result, pages: dict[str, Path], layout: str) -> None:
    text = pages["odd"].read_text(encoding="utf-8")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", text)]
    for block in parse(layout).blocks:
        (cells,) = (row for row in rows if row[:2] == [layout, block.name])
        assert cells[2:4] == ["yes" if block.informed else "no", "2"]
        for name in own_columns(block):
            mean = sum(row[name] for row in odd.rows[layout]) / 2
            assert any(cell.startswith(f"{labels.number(mean)} ± ") for cell in cells), name


@pytest.mark.parametrize("name", ["odd", "plain"])
def test_a_browser_draws_the_page_without_a_word(pages: dict[str, Path], name: str, browser: Browser) -> None:
    seen = browser.visit(pages[name], PHONE)
    assert seen.page.locator(".plot svg.main-svg").count() > 0
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert_quiet(seen, pages[name])
