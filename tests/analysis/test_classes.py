"""Studies of images without labels, and of unbalanced classes, run and shown: page, terminal, comparisons."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from support.images import MANY, THREE, small_images
from typer.testing import CliRunner

import vmi
from analysis.compare import markdown as compared
from analysis.data.classes import with_share
from analysis.data.study_results import StudyResults, open_study
from analysis.paper.presets import markdown as presets
from analysis.terminal import terminal
from analysis.wandb_report import specification
from tests.analysis.browsing import PHONE, Browser, assert_quiet
from vmi.cli.app import app
from vmi.cli.run import guarded
from vmi.driver.launch import launch
from vmi.driver.options import RunOptions
from vmi.spec.metrics import METRICS

LABELLED = [name for name, metric in METRICS.items() if metric.labels]
SEEN = re.compile(r"accurac|NMI|ARI\b|k-means|maj\. class|one-to-one|classif", re.IGNORECASE)


def ran(root: Path, name: str, shares: tuple[float, ...] = (), **changes: Any) -> StudyResults:
    small_images(name, shares)
    fields = {"space": {"mi_weight": vmi.choice(0, 4)}, "fixed": {"dataset": name, "layout": "n4+c10*"}}
    vmi.run(vmi.Study(name=name, **{**fields, "seeds": range(2), **changes}), results=root, local=True)
    return open_study(root / name)


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    return ran(tmp_path_factory.mktemp("blind"), "blind")


def printed(results: StudyResults) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal(results))
    return console.file.getvalue()  # type: ignore[attr-defined]


def no_accuracy(text: str) -> bool:
    """Nothing of labels is said but that there are none."""
    said = text.replace("No accuracy: the images of blind have no labels.", "").replace("No accuracy: the images", "")
    return SEEN.search(said) is None


def test_without_labels_a_study_is_judged_by_information(blind: StudyResults) -> None:
    assert blind.spec["metric"] == "mi_encoder_nats"
    assert len(blind.completed) == 4
    for row in blind.completed:
        assert [name for name in LABELLED if row[name] is not None] == []
        assert row["categories_used"] >= 1 and row["mi_encoder_nats"] is not None
    stored = blind.arrays(blind.completed)
    assert all(a["gallery_c10"].shape == (10, 8, 8, 8) and "assignments_c10" not in a for a in stored.values())


def test_its_page_shows_the_images_of_each_category(blind: StudyResults, browser: Browser) -> None:
    path = vmi.open(blind.folder).report()
    seen = browser.visit(path, PHONE)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert_quiet(seen, path)
    text = seen.page.inner_text("main")
    assert "No accuracy: the images of blind have no labels." in text and no_accuracy(text)
    section = seen.page.locator("h3", has_text="Which images a category holds")
    assert section.count() == 1 and seen.page.locator("h3", has_text="Which classes").count() == 0
    caption = seen.page.locator("figure.picture figcaption", has_text="Images with q(c|x) ≥ ½").first.inner_text()
    counts = [int(n) for n in caption.partition("from the first row on: ")[2].rstrip(".").split(", ")]
    assert len(counts) == 10 and sum(counts) <= 60


def test_terminal_status_and_reports_say_no_accuracy(blind: StudyResults) -> None:
    assert no_accuracy(printed(blind))
    report = json.dumps(specification(blind, "a", "b"))
    assert no_accuracy(report) and "mi_encoder_nats" in report
    for command in (["status", str(blind.folder)], ["report", str(blind.folder)]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0 and no_accuracy(result.output), result.output
    assert no_accuracy(compared(blind, blind, []))


def test_presets_are_compared_by_information(tmp_path: Path, browser: Browser) -> None:
    results = ran(tmp_path, "blind", space={"preset": vmi.choice("vae", "paper", "corrected")})
    text = presets(results, "corrected", "made so")
    assert no_accuracy(text)
    assert "Paired by seed, I_q(x;c) of `corrected` minus that of" in text
    assert "No accuracy: the images have no labels. I_q(x;c) is " in text
    path = vmi.open(results.folder).report()
    seen = browser.visit(path)
    assert_quiet(seen, path)
    assert no_accuracy(seen.page.inner_text("main"))


def test_normal_latents_without_labels_are_judged_by_their_bound(tmp_path: Path) -> None:
    results = ran(tmp_path, "blind", fixed={"dataset": "blind", "layout": "n2*+n4"})
    assert results.spec["metric"] == "mi_encoder_lower_nats"
    assert "No accuracy: the images of blind have no labels." in printed(results)


@pytest.mark.parametrize(
    "changes",
    [
        {"searcher": "tpe", "suggestions": 4, "pruner": "median", "space": {"mi_weight": vmi.uniform(0, 4)}},
        {"seeds": range(4), "restarts": 2},
        {"objectives": {"mi_encoder_nats": "maximize", "distortion_nats": "minimize"}, "searcher": "random",
         "suggestions": 3, "constraints": {"categories_used": vmi.at_least(1)}},
        {"confirm": 1, "confirm_seeds": (7, 8)},
    ],
)  # fmt: skip
def test_searches_prune_choose_and_confirm_without_labels(changes: dict[str, Any], tmp_path: Path) -> None:
    results = ran(tmp_path, "blind", **changes)
    assert not results.failed and not results.missing
    assert all(row[name] is None for row in results.trials for name in LABELLED)
    assert no_accuracy(printed(results))


def test_a_metric_of_labels_ends_the_command_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_images("blind")
    study = vmi.Study(name="s", space={"mi_weight": vmi.choice(0)}, fixed={"dataset": "blind"}, metric="nmi")
    options = RunOptions(local=True, results=tmp_path)
    assert guarded(lambda: launch(study, options, Console())) == 2
    assert not list(tmp_path.iterdir())
    assert "metric = 'nmi': one that looks at no label, as blind has none" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("name", "shares"), [("three", THREE), ("many", MANY)])
def test_unbalanced_classes_have_the_majority_class_beside_the_accuracy(
    name: str, shares: tuple[float, ...], tmp_path: Path, browser: Browser
) -> None:
    results = ran(tmp_path, name, shares)
    share = np.mean([row["majority_class_share"] for row in results.completed])
    text = printed(results)
    assert re.search(r"accuracy +maj\. class", text)
    assert f"{share:.3f} for always the majority class" in " ".join(text.split())
    assert f"| maj. class | {share:.3f} ± 0.000 |" in compared(results, results, [])
    seen = browser.visit(vmi.open(results.folder).report())
    assert "majority class" in seen.page.inner_text(".plot >> nth=0")


def test_balanced_classes_and_older_rows_have_it_nowhere() -> None:
    shown = ["nmi", "accuracy_majority", "ari"]
    assert with_share(shown, [{"dataset": "digits", "majority_class_share": 0.1}]) == shown
    assert with_share(shown, [{"dataset": "digits"}]) == shown
    beside = ["nmi", "accuracy_majority", "majority_class_share", "ari"]
    assert with_share(shown, [{"dataset": "digits", "majority_class_share": 0.16}]) == beside
    assert with_share(shown, [{"dataset": "elsewhere", "majority_class_share": 0.1}]) == beside
    assert with_share(["nmi"], [{"dataset": "elsewhere", "majority_class_share": 0.9}]) == ["nmi"]
