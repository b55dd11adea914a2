"""The comparison of presets as Markdown: every preset beside the published figures, differences paired by seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.data.study_results import StudyResults, open_study
from analysis.paper.presets import markdown
from tests.analysis.factory import choice, grid, store, trial
from vmi.spec.errors import InputError

WEIGHTS = {"vae": (0, 1), "paper": (8, 0), "corrected": (8, 1)}


def results(root: Path) -> StudyResults:
    """The paper's study: three presets on MNIST, two layouts, four seeds."""
    space = {"layout": choice("n16+c10*", "n2*+n30"), "preset": choice(*WEIGHTS)}
    rows = []
    for point in grid(space, range(4)):
        mi, entropy = WEIGHTS[point["preset"]]
        rows.append(trial("paper", dataset="mnist", mi_weight=mi, entropy_weight=entropy, **point))
    return open_study(store(root, rows, name="paper", space=space, with_arrays=False))


def test_every_preset_is_a_column_and_published_figures_stand_beside_ours(tmp_path: Path) -> None:
    text = markdown(results(tmp_path), "corrected", "python sweeps/paper.py")
    assert "    python sweeps/paper.py" in text
    assert "## mnist, n16+c10*" in text and "## mnist, n2*+n30" in text
    header = (
        "| | `corrected` | `paper` | `vae` |" if "| | `corrected`" in text else "| | `vae` | `paper` | `corrected` |"
    )
    assert text.count(header) == 2
    (train,) = (line for line in text.splitlines() if line.startswith("| train acc."))
    assert "(0.21)" in train and "(0.74)" in train
    assert "Serdega & Kim 2020 (training set)" in text
    assert "| seeds | 4 | 4 | 4 |" in text


def test_differences_are_paired_against_the_reference_and_say_whether_they_are_decided(tmp_path: Path) -> None:
    text = markdown(results(tmp_path), "corrected", "x")
    (line,) = (line for line in text.splitlines() if line.startswith("- `vae`: +0.4"))
    assert "4 seeds: decided" in line
    assert not any(line.startswith("- `corrected`") for line in text.splitlines())


def test_presets_are_compared_at_equal_values_of_what_else_varies(tmp_path: Path) -> None:
    """Accuracy 0.5, 0.1 more for `corrected`, and 0.3 more at β = 2, of which `corrected` lacks a seed."""
    space = {"preset": choice("vae", "corrected"), "kl_weight": choice(1, 2)}
    points = [p for p in grid(space, range(3)) if (p["preset"], p["kl_weight"], p["seed"]) != ("corrected", 2, 2)]
    rows = [
        trial("s", mi_weight=WEIGHTS[p["preset"]][0], **p)
        | {"accuracy_majority": 0.5 + 0.1 * (p["preset"] == "corrected") + 0.3 * (p["kl_weight"] == 2)}
        for p in points
    ]
    text = markdown(open_study(store(tmp_path, rows, name="s", space=space, with_arrays=False)), "corrected", "x")
    assert [line for line in text.splitlines() if line.startswith("## ")][1:] == [
        "## digits, n16+c10*, β = 1", "## digits, n16+c10*, β = 2",
    ]  # fmt: skip
    assert [line for line in text.splitlines() if line.startswith("- `vae`:")] == [
        "- `vae`: +0.100 [+0.100, +0.100], 3 seeds: decided", "- `vae`: +0.100 [+0.100, +0.100], 2 seeds: decided",
    ]  # fmt: skip


def test_a_preset_without_the_other_parameter_is_beside_all_its_values(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "corrected"), "mi_weight": choice(4, 8)}
    points = [{"preset": "vae", "mi_weight": 0}, *({"preset": "corrected", "mi_weight": w} for w in (4, 8))]
    rows = [trial("s", **p, seed=seed) for p in points for seed in range(2)]
    where = {"mi_weight": {"preset": ["corrected"]}}
    folder = store(tmp_path, rows, name="s", space=space, conditions=where, with_arrays=False)
    text = markdown(open_study(folder), "corrected", "x")
    assert all(f"## digits, n16+c10*, λ = {w}\n" in text and f"- `digits, n16+c10*, λ = {w}`:" in text for w in (4, 8))
    assert text.count("- `vae`: ") == 2 and "No completed trial" not in text


def test_a_layout_without_a_categorical_block_shows_what_it_has(tmp_path: Path) -> None:
    part = markdown(results(tmp_path), "corrected", "x").split("## mnist, n2*+n30")[1]
    assert "accuracy" not in part
    assert "| I_q(x;z) ≥ |" in part


def test_the_rate_of_every_categorical_block_is_there_whatever_its_name(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "corrected")}
    rows = [
        trial("odd", layout="n4*+n4+c5*+c5", mi_weight=4 * (point["preset"] == "corrected"), **point)
        for point in grid(space, range(2))
    ]
    text = markdown(open_study(store(tmp_path, rows, name="odd", space=space, with_arrays=False)), "corrected", "x")
    heads = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| rate")]
    assert heads == ["rate c5", "rate c5 2", "rate"]


def test_a_study_that_does_not_vary_its_preset_is_refused(tmp_path: Path) -> None:
    rows = [trial(seed=s) for s in range(2)]
    plain = open_study(store(tmp_path, rows, with_arrays=False))
    with pytest.raises(InputError, match="a study that varies its preset"):
        markdown(plain, "corrected", "x")
    with pytest.raises(InputError, match="did you mean 'corrected'"):
        markdown(results(tmp_path), "correct", "x")


def test_the_command_writes_the_comparison_to_a_file(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from vmi.cli.app import app

    results(tmp_path)
    target = tmp_path / "paper.md"
    run = CliRunner().invoke(app, ["presets", str(tmp_path / "paper"), "--out", str(target)])
    assert run.exit_code == 0
    assert "## mnist, n16+c10*" in target.read_text(encoding="utf-8")
    assert CliRunner().invoke(app, ["presets", str(tmp_path / "paper"), "--against", "nothing"]).exit_code == 2
