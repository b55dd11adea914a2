"""Findings that must not mislead: across data sets, and about what counts as an unused code."""

from __future__ import annotations

from pathlib import Path

from analysis.data.axes import design
from analysis.data.study_results import open_study
from analysis.findings.findings import Findings, findings
from tests.analysis.factory import LAMBDA_SPACE, choice, grid, lambda_rows, store, trial


def found(root: Path, rows: list[dict[str, object]], space: dict[str, object]) -> Findings:
    results = open_study(store(root, rows, name="s", space=space, with_arrays=False))
    return findings(results, design(results))


def test_where_data_sets_vary_each_has_its_own_best_setting(tmp_path: Path) -> None:
    space = {"dataset": choice("mnist", "fashion_mnist"), "mi_weight": choice(0, 4)}
    sentences = found(tmp_path, [trial("s", **p) for p in grid(space, range(3))], space).sentences
    best = [s for s in sentences if s.startswith("Best setting")]
    assert len(best) == 2
    assert "data set = mnist" in best[0] and "data set = fashion_mnist" in best[1]


def test_a_method_without_lambda_is_no_unused_code(tmp_path: Path) -> None:
    """InfoGAN's and JointVAE's trials have lambda = 0 and use their code: only the plain VAE is the reference."""
    methods = {"vae": {}, "info_gan": {"generator_mi_weight": 8.0}, "joint_vae": {"capacity_weight": 30.0}}
    space = {"preset": choice(*methods)}
    rows = [
        trial("s", preset=name, mi_weight=0, seed=seed, **fields)
        | {"accuracy_majority": 0.2 if name == "vae" else 0.8, "mi_weight_normal": 0.0}
        for name, fields in methods.items()
        for seed in range(3)
    ]
    unused = found(tmp_path, rows, space).unused
    assert unused is not None
    assert (round(unused.mean, 6), unused.count) == (0.2, 3)


def test_a_searched_preset_is_what_a_setting_is_called(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "corrected")}
    rows = [
        trial("s", preset=name, mi_weight=weight, seed=seed)
        for name, weight in (("vae", 0), ("corrected", 8))
        for seed in range(2)
    ]
    results = open_study(store(tmp_path, rows, name="s", space=space, with_arrays=False))
    plan = design(results)
    assert [setting.params for setting in plan.settings] == [(("preset", "vae"),), (("preset", "corrected"),)]
    assert plan.x.name == "preset"


def test_where_eta_is_searched_beside_lambda_alone_each_line_starts_at_the_unused_code(tmp_path: Path) -> None:
    rows = [row for row in lambda_rows() if row["mi_weight"] or row["entropy_weight"]]
    where = {"entropy_weight": {"mi_weight": [1, 2, 4, 8]}}
    results = open_study(store(tmp_path, rows, space=LAMBDA_SPACE, conditions=where, with_arrays=False))
    plan = design(results)
    lines = {name: [s.get("mi_weight") for s in group] for name, group in plan.lines}
    assert lines == {"η = 0": [0, 1, 2, 4, 8], "η = 1": [0, 1, 2, 4, 8]} and plan.joined
    used = [s for s in findings(results, plan).sentences if "the code is used" in s]
    assert [s.split(",")[0] for s in used] == ["With η = 0", "With η = 1"]
